/* SPDX-License-Identifier: MIT
 *
 * What TLS costs: acquire and release of a free lock over TCP, plain and by each backend.
 * Addresses: a port of 127.0.0.1, and with TLS the file of its CA. Cases: "cycle", a unit is both;
 * "reconnect", a connection that resumes the TLS session of the one before, and a cycle; "connect",
 * the same with a new client. Notes: bytes sent and received, TLS and all.
 */
#include "patience.h"
#include "rounds.h"

#include "resplock/tls/mbedtls.h"
#include "resplock/tls/openssl.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TLS_CONTENDER(name)                                                                        \
    {                                                                                              \
        "tls", #name, tls_open_##name, tls_run                                                     \
    }

static struct {
    rlk_posix_client posix;
    rlk_lock lock;
    rlk_posix_options options;
    rlk_openssl openssl;
    rlk_mbedtls mbedtls;
    char url[64];
    uint64_t sent;
    uint64_t received;
} tls;

static void tls_connect(void)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.node_timeout_ms = PATIENCE_NODE_MS;
    rounds_require(rlk_posix_open(&tls.posix, tls.url, &tls.options) == RLK_OK);
    rounds_require(rlk_lock_init(&tls.lock, &tls.posix.client, "lock:resource", &config) == RLK_OK);
}

static void tls_close(void)
{
    rounds_require(rlk_lock_close(&tls.lock) == RLK_OK);
    rlk_posix_close(&tls.posix);
}

static void tls_open(const rlk_tls *backend, char *const *addresses)
{
    (void)snprintf(tls.url, sizeof tls.url, "%s://127.0.0.1:%s",
                   backend != NULL ? "rediss" : "redis", addresses[0]);
    tls.options = patience;
    tls.options.tls = backend;
    tls_connect();
}

static void tls_open_plain(char *const *addresses, size_t count)
{
    rounds_require(count == 1);
    tls_open(NULL, addresses);
}

static void tls_open_openssl(char *const *addresses, size_t count)
{
    rlk_tls_config config;

    rounds_require(count == 2);
    memset(&config, 0, sizeof config);
    config.ca_file = addresses[1];
    rounds_require(rlk_openssl_init(&tls.openssl, &config) == RLK_OK);
    tls_open(&tls.openssl.tls, addresses);
}

static void tls_open_mbedtls(char *const *addresses, size_t count)
{
    rlk_tls_config config;

    rounds_require(count == 2);
    memset(&config, 0, sizeof config);
    config.ca_file = addresses[1];
    rounds_require(rlk_mbedtls_init(&tls.mbedtls, &config) == RLK_OK);
    tls_open(&tls.mbedtls.tls, addresses);
}

/* Adds what this connection has moved so far; or takes it off. */
static void tls_count(bool begins)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    int fd = rlk_socket_fd(&tls.posix.node.socket);

    memset(&info, 0, sizeof info);
    rounds_require(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    if (begins) {
        tls.sent -= info.tcpi_bytes_sent;
        tls.received -= info.tcpi_bytes_received;
    } else {
        tls.sent += info.tcpi_bytes_sent;
        tls.received += info.tcpi_bytes_received;
    }
}

static void tls_cycle(void)
{
    rounds_require(rlk_acquire(&tls.lock, PATIENCE_MS) == RLK_OK);
    rounds_require(rlk_release(&tls.lock) == RLK_OK);
}

static unsigned long tls_run(const char *name, unsigned long units)
{
    bool cycles = strcmp(name, "cycle") == 0;
    unsigned long i;

    tls.sent = 0;
    tls.received = 0;
    if (cycles) {
        tls_cycle(); /* is connected */
        tls_count(true);
    }
    for (i = 0; i < units; i++) {
        if (strcmp(name, "reconnect") == 0) {
            rounds_require(rlk_client_reset(&tls.posix.client) == RLK_OK);
        } else if (!cycles) {
            tls_close();
            tls_connect();
        }
        tls_cycle();
        if (!cycles)
            tls_count(false);
        rounds_lap();
    }
    if (cycles)
        tls_count(false);
    rounds_note(tls.sent);
    rounds_note(tls.received);
    return units;
}

const rounds_contender tls_contenders[3] = {
    TLS_CONTENDER(plain),
    TLS_CONTENDER(openssl),
    TLS_CONTENDER(mbedtls),
};
