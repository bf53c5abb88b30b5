/* SPDX-License-Identifier: MIT
 *
 * Where the random bytes of tokens come from, that no two tokens share any, and what their text is.
 */
#include "harness.h"

#include <string.h>

enum {
    DRAWN_CAP = 4096,
    TOKENS_A_DRAW = RLKI_RANDOM_BLOCK > 0 ? RLKI_RANDOM_BLOCK / RLKI_TOKEN_BYTES : 1
};

/* A source that remembers what it gave, and which bytes of that are in a token. */
static struct {
    uint8_t bytes[DRAWN_CAP];
    bool used[DRAWN_CAP];
    size_t len;
    unsigned calls;
    bool fails; /* after it has written the bytes */
} drawn;

static harness h;

static int drawn_random(void *context, void *buf, size_t len)
{
    uint8_t *out = (uint8_t *)buf;
    size_t i;

    (void)context;
    assert_true(drawn.len + len <= DRAWN_CAP);
    drawn.calls++;
    for (i = 0; i < len; i++) {
        uint64_t z = (drawn.len + i + 1) * UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        out[i] = (uint8_t)((z >> 40) | 1); /* never 0: what is erased shows */
    }
    memcpy(drawn.bytes + drawn.len, out, len);
    if (drawn.fails)
        return -1;
    drawn.len += len;
    return 0;
}

static void start(void)
{
    harness_start_automatic(&h, 1);
    memset(&drawn, 0, sizeof drawn);
    h.client->env.random = drawn_random;
}

/* Byte `i` of the random part: of eight bytes the upper halves come first. */
static uint8_t token_byte(const char *text, size_t i)
{
    static const char digits[] = "0123456789abcdef";
    const char *upper = text + i / 8 * 16 + i % 8;

    return (uint8_t)((strchr(digits, upper[0]) - digits) << 4 |
                     (strchr(digits, upper[8]) - digits));
}

/* Acquires and releases; returns where the token's bytes are in what was drawn. They are in no
 * other token. */
static size_t take_token(rlk_lock *lock)
{
    char text[RLK_TOKEN_MAX + 1];
    uint8_t base[RLKI_TOKEN_BYTES];
    size_t at;
    size_t i;

    assert_result(rlk_acquire(lock, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_lock_token(lock, text, sizeof text), RLK_TOKEN_DIGITS);
    for (i = 0; i < sizeof base; i++)
        base[i] = token_byte(text, i);
    for (at = 0; memcmp(drawn.bytes + at, base, sizeof base) != 0; at++)
        assert_true(at + sizeof base < drawn.len);
    assert_true(at + sizeof base <= drawn.len);
    for (i = at; i < at + sizeof base; i++) {
        assert_false(drawn.used[i]);
        drawn.used[i] = true;
    }
    assert_result(rlk_release(lock), RLK_OK);
    return at;
}

#if RLKI_RANDOM_BLOCK > 0
/* The client keeps the bytes that are in no token yet, and no others. */
static void expect_kept(size_t left)
{
    size_t i;

    for (i = 0; i < sizeof h.client->random; i++)
        assert_int_equal(h.client->random[i] != 0, i < left);
}
#else
static void expect_kept(size_t left)
{
    (void)left;
}
#endif

static void test_token_uses_no_byte_twice(void **state)
{
    rlk_lock locks[2];
    unsigned i;

    (void)state;
    start();
    harness_lock(&h, &locks[0], 3000);
    harness_lock(&h, &locks[1], 3000);
    for (i = 0; i < 3 * TOKENS_A_DRAW; i++) {
        (void)take_token(&locks[i % 2]);
        assert_int_equal(drawn.calls, i / TOKENS_A_DRAW + 1);
        expect_kept((size_t)(TOKENS_A_DRAW - 1 - i % TOKENS_A_DRAW) * RLKI_TOKEN_BYTES);
    }
    (void)take_token(&locks[0]);
    rlk_client_close(h.client);
    expect_kept(0);
}

/* The machine may have been copied since the bytes were drawn. */
static void test_token_bytes_are_dropped_at_ready(void **state)
{
    rlk_lock lock;
    size_t before;

    (void)state;
    start();
    harness_lock(&h, &lock, 3000);
    (void)take_token(&lock);
    before = drawn.len;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_int_equal(rlk_conn_get_state(&harness_link_of(&h, 0)->conn), RLK_CONN_READY);
    expect_kept(0);
    assert_true(take_token(&lock) >= before);
}

/* A child that the client can notice draws nothing, and one that it can't would have its parent's
 * bytes: then each token draws its own. */
static void test_token_bytes_are_not_shared_with_a_child(void **state)
{
    rlk_lock lock;
    unsigned calls;
    unsigned i;

    (void)state;
    start();
    harness_lock(&h, &lock, 3000);
    (void)take_token(&lock);
    calls = drawn.calls;
    h.forked = true;
    for (i = 0; i < 2 * TOKENS_A_DRAW; i++)
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_FORKED);
    assert_int_equal(drawn.calls, calls);
    expect_kept((TOKENS_A_DRAW - 1) * RLKI_TOKEN_BYTES);
    h.forked = false;
    h.client->env.same_process = NULL;
    for (i = 0; i < 3; i++) {
        size_t before = drawn.len;

        assert_int_equal(take_token(&lock), before);
        assert_int_equal(drawn.len, before + RLKI_TOKEN_BYTES);
    }
}

/* fault 49: what a source wrote before it failed is in no token. */
static void test_token_entropy_ends_with_the_block(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    start();
    harness_lock(&h, &lock, 3000);
    (void)take_token(&lock);
    drawn.fails = true;
    for (i = 1; i < TOKENS_A_DRAW; i++)
        (void)take_token(&lock);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_ENTROPY);
    expect_kept(0);
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_ENTROPY);
    drawn.fails = false;
    (void)take_token(&lock);
}

/* On machines of both byte orders: all parts of the text, and the digits 0 to f. */
static void test_token_has_one_text_on_every_machine(void **state)
{
    rlk_lock lock;
    char text[RLK_TOKEN_MAX + 1];
    unsigned i;

    (void)state;
    start();
    harness_lock(&h, &lock, 3000);
    for (i = 0; i < sizeof lock.base; i++)
        lock.base[i] = (uint8_t)(0x1f + 0x11 * i);
    lock.token = UINT32_C(0x12c4e6f8);
    assert_int_equal(rlk_lock_token(&lock, text, sizeof text), RLK_TOKEN_DIGITS);
    assert_string_equal(text, "13456789f0123456abcdef01789abcdefec18642");
    lock.prefix = "host:";
    lock.prefix_len = 5;
    lock.token = 16;
    assert_int_equal(rlk_lock_token(&lock, text, sizeof text), 5 + RLK_TOKEN_DIGITS);
    assert_string_equal(text, "host:13456789f0123456abcdef01789abcde10000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_uses_no_byte_twice),
        cmocka_unit_test(test_token_bytes_are_dropped_at_ready),
        cmocka_unit_test(test_token_bytes_are_not_shared_with_a_child),
        cmocka_unit_test(test_token_entropy_ends_with_the_block),
        cmocka_unit_test(test_token_has_one_text_on_every_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
