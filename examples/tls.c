/* SPDX-License-Identifier: MIT
 *
 * Over TLS, by OpenSSL. The server must have a certificate of that CA for the host of the URL.
 *     tls rediss://localhost:6380 ca.crt my-key
 */
#include "resplock/tls/openssl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void die(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

int main(int argc, char **argv)
{
    rlk_openssl tls;
    rlk_posix_client redis;
    rlk_lock lock;
    rlk_result result;

    if (argc != 4) {
        fprintf(stderr, "usage: %s URL CA-FILE KEY\n", argv[0]);
        return 2;
    }
    if (rlk_openssl_init(&tls, &(rlk_tls_config){.ca_file = argv[2]}) != RLK_OK)
        die(rlk_openssl_error(&tls));
    if (rlk_posix_open(&redis, argv[1], &(rlk_posix_options){.tls = &tls.tls}) != RLK_OK)
        die(rlk_client_error(&redis.client));
    if (rlk_lock_init(&lock, &redis.client, argv[3], NULL) != RLK_OK)
        die(rlk_client_error(&redis.client));

    result = rlk_acquire(&lock, 5000);
    if (result == RLK_OK) {
        printf("acquired, for %" PRId64 " ms\n", rlk_remaining_ms(&lock));
        /* the work */
        result = rlk_release(&lock);
        printf("release: %s\n", rlk_result_name(result));
    }
    if (result != RLK_OK)
        fprintf(stderr, "%s\n", rlk_lock_error(&lock));

    rlk_lock_close(&lock);
    rlk_posix_close(&redis);
    rlk_openssl_close(&tls);
    return result == RLK_OK ? 0 : 1;
}
