/* SPDX-License-Identifier: MIT
 *
 * The connection is cut at every byte offset of acquire, extend and release, in either direction,
 * by FIN and by RST. Each operation recovers, because the new connection fences the old one; and
 * each result is held against what the server has.
 */
#include "proxied.h"

#define KEY "foobar"

static proxied world;
static rlk_lock lock;

static server *redis(void)
{
    return world.set.servers[0];
}

static void assert_server_has(const char *token)
{
    const char *value = server_text(redis(), "GET " KEY);

    if (token != NULL) {
        assert_non_null(value);
        assert_string_equal(value, token);
    } else {
        assert_null(value);
    }
}

/* Acquire, extend, release. Returns what release came to. */
static rlk_result whole_life(void)
{
    rlk_result released;

    assert_result(rlk_acquire(&lock, 20000), RLK_OK);
    assert_server_has(token_of(&lock));
    assert_between(server_integer(redis(), "PTTL " KEY), 20000, 30000);
    assert_between(rlk_remaining_ms(&lock), 20000, 30000 - 302);
    assert_result(rlk_extend(&lock, 30000), RLK_OK);
    assert_server_has(token_of(&lock));
    /* once, whatever was repeated */
    assert_between(server_integer(redis(), "PTTL " KEY), 50000, 60000);
    assert_between(rlk_remaining_ms(&lock), 50000, 60000 - 602);
    released = rlk_release(&lock);
    assert_false(rlk_is_held(&lock));
    assert_server_has(NULL);
    return released;
}

static void start(bool tcp)
{
    rlk_posix_options options = proxied_options();

    options.backoff_min_ms = 1;
    options.backoff_max_ms = 1;
    options.operation_timeout_ms = 20000;
    proxied_start(&world, 1, tcp, NULL, &options);
    proxied_lock_init(&world, &lock, KEY, NULL);
}

static void stop(void)
{
    rlk_lock_close(&lock);
    proxied_close(&world);
    support_teardown(NULL);
}

/* Cuts at each offset, up to the last byte; or, if the bytes before the cut are not passed on, up
 * to the last one of acquire. Returns how many there were. */
static size_t cut_everywhere(bool tcp, proxy_direction direction, proxy_ending ending, bool pass)
{
    proxy *middle;
    size_t before;
    size_t bytes;
    size_t gone = 0;
    size_t n;

    start(tcp);
    middle = world.proxies[0];
    before = proxy_bytes(middle, direction);
    if (pass) {
        assert_result(whole_life(), RLK_OK);
    } else {
        assert_result(rlk_acquire(&lock, 20000), RLK_OK);
        proxied_calm(&world);
    }
    bytes = proxy_bytes(middle, direction) - before;
    if (!pass)
        assert_result(rlk_release(&lock), RLK_OK);
    for (n = 1; n <= bytes; n++) {
        int accepted;
        rlk_result released;
        /* from a connection that is known to be up */
        serve_until(&world.set.posix, rlk_conn_get_state(rlk_client_conn(&world.set.posix.client,
                                                                         0)) == RLK_CONN_READY);

        accepted = proxy_accepted(middle);
        proxy_cut_after(middle, direction, n, ending, pass);
        released = whole_life();
        if (released != RLK_GONE)
            assert_result(released, RLK_OK);
        gone += released == RLK_GONE;
        serve_until(&world.set.posix, proxy_accepted(middle) == accepted + 1);
        serve_until(&world.set.posix, rlk_conn_get_state(rlk_client_conn(&world.set.posix.client,
                                                                         0)) == RLK_CONN_READY);

        assert_server_has(NULL);
    }
    /* An OK of release must be the rule: GONE is for a deletion whose reply was lost. */
    assert_true(gone <= (direction == PROXY_TO_CLIENT ? 8u : 4u));
    if (direction == PROXY_TO_CLIENT && pass)
        assert_true(gone > 0);
    stop();
    return bytes;
}

static void test_fault_30_cut_at_every_byte_to_the_server(void **state)
{
    (void)state;
    assert_true(cut_everywhere(true, PROXY_TO_SERVER, PROXY_FIN, true) > 300);
    assert_true(cut_everywhere(true, PROXY_TO_SERVER, PROXY_RST, true) > 300);
}

static void test_fault_29_cut_before_every_byte_to_the_server(void **state)
{
    (void)state;
    assert_true(cut_everywhere(true, PROXY_TO_SERVER, PROXY_RST, false) > 80);
    assert_true(cut_everywhere(false, PROXY_TO_SERVER, PROXY_FIN, false) > 80);
}

static void test_fault_31_cut_at_every_byte_of_the_replies(void **state)
{
    (void)state;
    /* +OK; the new TTL; 1 */
    assert_int_equal(cut_everywhere(true, PROXY_TO_CLIENT, PROXY_FIN, true), 5 + 8 + 4);
    assert_int_equal(cut_everywhere(true, PROXY_TO_CLIENT, PROXY_RST, true), 5 + 8 + 4);
    assert_int_equal(cut_everywhere(false, PROXY_TO_CLIENT, PROXY_FIN, true), 5 + 8 + 4);
    assert_int_equal(cut_everywhere(true, PROXY_TO_CLIENT, PROXY_RST, false), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_30_cut_at_every_byte_to_the_server),
        support_test(test_fault_29_cut_before_every_byte_to_the_server),
        support_test(test_fault_31_cut_at_every_byte_of_the_replies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
