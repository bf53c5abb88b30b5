/* SPDX-License-Identifier: MIT
 *
 * What OpenSSL has for each thread, an error queue, and for all of them: one rlk_openssl serves
 * clients of several threads.
 */
#include "certificates.h"
#include "nodes.h"
#include "server.h"
#include "support.h"

#include "resplock/adapters/keeper.h"
#include "resplock/tls/openssl.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define THREADS 4
#define CYCLES  25

static rlk_openssl tls;

static void init_tls(void)
{
    rlk_tls_config config;

    memset(&config, 0, sizeof config);
    config.ca_file = certificate_authority("ca");
    assert_result(rlk_openssl_init(&tls, &config), RLK_OK);
}

/* An error that the program has left in the queue is not taken for one of the stream. */
static void leave_an_error(void)
{
    ERR_raise(ERR_LIB_USER, 42);
    assert_true(ERR_peek_error() != 0);
}

/* Each call begins with somebody else's error, and ends with none, whatever becomes of it. */
static void test_tls_openssl_leaves_the_error_queue_clean(void **state)
{
    server *redis = certificate_server("DNS:localhost", NULL);
    server *wrong = certificate_server("DNS:wrong.example", NULL);
    rlk_posix_options options;
    rlk_posix_client posix;
    rlk_tls_config config;
    rlk_openssl other;
    rlk_lock lock;

    (void)state;
    memset(&options, 0, sizeof options);
    memset(&config, 0, sizeof config);
    leave_an_error();
    init_tls();
    assert_int_equal(ERR_peek_error(), 0);
    leave_an_error();
    config.ca_file = "no-such-file";
    assert_result(rlk_openssl_init(&other, &config), RLK_E_TLS);
    assert_int_equal(ERR_peek_error(), 0);
    leave_an_error();
    config.ca_file = certificate_text("empty", "nothing");
    assert_result(rlk_openssl_init(&other, &config), RLK_E_TLS);
    assert_int_equal(ERR_peek_error(), 0);

    options.tls = &tls.tls;
    assert_result(rlk_posix_open(&posix, server_tls_url(redis), &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "key", &config_unwatched), RLK_OK);
    leave_an_error();
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_int_equal(ERR_peek_error(), 0);
    leave_an_error();
    assert_result(rlk_extend(&lock, 30000), RLK_OK);
    assert_int_equal(ERR_peek_error(), 0);
    leave_an_error();
    loop_serve(&posix, 20);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(ERR_peek_error(), 0);
    server_kill(redis);
    leave_an_error();
    serve_until(&posix, rlk_conn_failures(rlk_client_conn(&posix.client, 0)) > 0);

    assert_result(rlk_conn_result(rlk_client_conn(&posix.client, 0)), RLK_E_TLS_CUT);
    assert_int_equal(ERR_peek_error(), 0);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);

    assert_result(rlk_posix_open(&posix, server_tls_url(wrong), &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "key", &config_unwatched), RLK_OK);
    leave_an_error();
    assert_result(rlk_acquire(&lock, 5000), RLK_E_TLS_REFUSED);
    assert_int_equal(ERR_peek_error(), 0);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    rlk_openssl_close(&tls);
}

typedef struct worker {
    pthread_t thread;
    const char *url;
    char key[16];
    rlk_result result;
} worker;

/* Connects anew every few cycles, so that sessions are kept and resumed meanwhile. */
static void *work(void *context)
{
    worker *own = (worker *)context;
    rlk_posix_options options;
    rlk_posix_client posix;
    rlk_lock lock;
    int i;

    memset(&options, 0, sizeof options);
    options.tls = &tls.tls;
    own->result = rlk_posix_open(&posix, own->url, &options);
    if (own->result != RLK_OK)
        return NULL;
    own->result = rlk_lock_init(&lock, &posix.client, own->key, &config_unwatched);
    for (i = 0; i < CYCLES && own->result == RLK_OK; i++) {
        own->result = rlk_acquire(&lock, 10000);
        if (own->result == RLK_OK)
            own->result = rlk_release(&lock);
        if (own->result == RLK_OK && i % 5 == 0)
            own->result = rlk_client_reset(&posix.client);
    }
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    return NULL;
}

static void test_tls_openssl_serves_several_threads(void **state)
{
    worker workers[THREADS];
    server *redis = certificate_server("DNS:localhost", NULL);
    unsigned i;

    (void)state;
    init_tls();
    for (i = 0; i < THREADS; i++) {
        workers[i].url = server_tls_url(redis);
        workers[i].result = RLK_E_ARGUMENT;
        snprintf(workers[i].key, sizeof workers[i].key, "key%u", i);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_result(workers[i].result, RLK_OK);
    }
    assert_int_equal(server_calls(redis, "set"), THREADS * CYCLES);
    rlk_openssl_close(&tls);
}

/* A keeper's thread has a client of its own, over the same rlk_openssl. */
static void test_tls_openssl_serves_a_keeper(void **state)
{
    static rlk_keeper keeper;
    server *redis = certificate_server("DNS:localhost", NULL);
    const char *url = server_tls_url(redis);
    rlk_posix_options options;
    rlk_posix_client posix;
    rlk_kept kept;
    rlk_lock lock;

    (void)state;
    init_tls();
    memset(&options, 0, sizeof options);
    memset(&kept, 0, sizeof kept);
    options.tls = &tls.tls;
    assert_result(rlk_keeper_start(&keeper, &url, NULL, 1, &options), RLK_OK);
    assert_result(rlk_posix_open(&posix, url, &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "key", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_OK);
    assert_true(rlk_keeper_is_held(&keeper, &kept));
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
    rlk_keeper_stop(&keeper);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    rlk_openssl_close(&tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_openssl_leaves_the_error_queue_clean),
        support_test(test_tls_openssl_serves_several_threads),
        support_test(test_tls_openssl_serves_a_keeper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
