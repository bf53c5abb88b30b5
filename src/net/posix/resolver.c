/* SPDX-License-Identifier: MIT
 *
 * From the host of a URL to addresses. Nothing is remembered: every attempt asks anew, so that a
 * name which moves is followed.
 */
#include "features.h"

#include "resplock/socket.h"

#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Longest host name, and longest literal with its zone. */
#ifndef RLK_RESOLVER_NAME_MAX
#define RLK_RESOLVER_NAME_MAX 255
#endif

static void resolver_add(rlk_socket *sock, bool is_ipv6, const void *ip, uint32_t scope,
                         uint16_t port)
{
    rlk_address *address = &sock->addresses[sock->addresses_len++];

    memset(address, 0, sizeof *address);
    memcpy(address->ip, ip, is_ipv6 ? 16 : 4);
    address->is_ipv6 = is_ipv6;
    address->scope = scope;
    address->port = port;
}

/* The number of a zone such as "eth0" or "2"; 0: there is no such interface. */
static uint32_t resolver_zone(const char *zone)
{
    uint32_t number = 0;
    const char *at;

    for (at = zone; *at >= '0' && *at <= '9' && number < 100000000u; at++) {
        number = number * 10 + (uint32_t)(*at - '0');
    }
    return *at == '\0' ? number : (uint32_t)if_nametoindex(zone);
}

/* An address of IPv6 with its zone, "fe80::1%25eth0" (RFC 6874). Cuts `host` at the percent. */
static bool resolver_literal6(rlk_socket *sock, char *host, uint16_t port)
{
    char *percent = strchr(host, '%');
    uint32_t scope = 0;
    uint8_t ip[16];

    if (percent != NULL) {
        *percent = '\0';
        scope = strncmp(percent + 1, "25", 2) == 0 ? resolver_zone(percent + 3) : 0;
        if (scope == 0) {
            return false;
        }
    }
    if (inet_pton(AF_INET6, host, ip) != 1) {
        return false;
    }
    resolver_add(sock, true, ip, scope, port);
    return true;
}

/* Known without asking. 127.0.0.1 first: that is what a server binds to that binds to one only. */
static void resolver_localhost(rlk_socket *sock, uint16_t port)
{
    static const uint8_t loopback4[4] = {127, 0, 0, 1};
    static const uint8_t loopback6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

    resolver_add(sock, false, loopback4, 0, port);
    resolver_add(sock, true, loopback6, 0, port);
}

static void resolver_ask_hook(rlk_socket *sock, const char *host, uint16_t port)
{
    int n = sock->resolver(sock->resolver_context, host, port, sock->addresses, RLK_MAX_ADDRESSES);

    if (n > RLK_MAX_ADDRESSES) {
        n = RLK_MAX_ADDRESSES;
    }
    sock->addresses_len = (uint8_t)(n > 0 ? n : 0);
}

/* In the order of the system (RFC 6724). Without AI_ADDRCONFIG: it hides the addresses of a host
 * that has only its loopback, and a family that can't be reached fails at once when tried. */
static void resolver_ask_system(rlk_socket *sock, const char *host, uint16_t port)
{
    struct addrinfo hints;
    struct addrinfo *list = NULL;
    struct addrinfo *info;
    int error;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    error = getaddrinfo(host, NULL, &hints, &list);
    if (error != 0) {
        sock->last_errno = error == EAI_SYSTEM ? errno : 0;
        return;
    }
    for (info = list; info != NULL && sock->addresses_len < RLK_MAX_ADDRESSES;
         info = info->ai_next) {
        if (info->ai_family == AF_INET) {
            const struct sockaddr_in *v4 = (const struct sockaddr_in *)(void *)info->ai_addr;

            resolver_add(sock, false, &v4->sin_addr, 0, port);
        } else if (info->ai_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(void *)info->ai_addr;

            resolver_add(sock, true, &v6->sin6_addr, v6->sin6_scope_id, port);
        }
    }
    freeaddrinfo(list);
}

rlk_result rlki_resolve(rlk_socket *sock, const rlk_url *url, bool may_block)
{
    char host[RLK_RESOLVER_NAME_MAX + 1];
    uint8_t ip4[4];

    sock->addresses_len = 0;
    if (url->host_len > RLK_RESOLVER_NAME_MAX) {
        return RLK_E_RESOLVE;
    }
    memcpy(host, url->host, url->host_len);
    host[url->host_len] = '\0';

    if (strchr(host, ':') != NULL) {
        return resolver_literal6(sock, host, url->port) ? RLK_OK : RLK_E_RESOLVE;
    }
    if (inet_pton(AF_INET, host, ip4) == 1) {
        resolver_add(sock, false, ip4, 0, url->port);
    } else if (strcasecmp(host, "localhost") == 0) {
        resolver_localhost(sock, url->port);
    } else if (sock->resolver != NULL) {
        resolver_ask_hook(sock, host, url->port);
    } else if (may_block) {
        resolver_ask_system(sock, host, url->port);
    } else {
        return RLK_E_RESOLVER;
    }
    return sock->addresses_len > 0 ? RLK_OK : RLK_E_RESOLVE;
}
