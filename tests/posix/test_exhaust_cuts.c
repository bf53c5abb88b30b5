/* SPDX-License-Identifier: MIT
 *
 * Every send and every recv of a lock's life is cut at every length; once the rest goes on, once
 * the stream breaks there. The same with every buffer at its minimum.
 */
#include "exhaust.h"

static server *redis;
static exhaust_life life;

/* Lives with the cut; false: the call does not move so much. */
static bool live_with_cut(exhaust_call call, unsigned at, size_t most, int error)
{
    exhaust_reset();
    kernel.cut = (exhaust_cut){call, at, most, error};
    snprintf(life.what, sizeof life.what, "%s %u cut at %zu, then %d", exhaust_names[call], at,
             most, error);
    exhaust_live(&life);
    if (kernel.met > 0) {
        exhaust_assert_ridden_out(&life, error == 0);
    }
    return kernel.met > 0;
}

/* Cuts each call at each length until none is left to be cut; in larger steps where that takes too
 * long. */
static void cut_each(exhaust_call call, int error)
{
    unsigned at;
    size_t total = 0;

    for (at = 0;; at++) {
        size_t most = 1;

        while (live_with_cut(call, at, most, error)) {
            most += (size_t)support_time_factor();
            total++;
        }
        if (kernel.count[call] <= at) {
            break;
        }
    }
    assert_true(total * (size_t)support_time_factor() > 500);
}

static void test_exhaust_cuts_of_send_go_on(void **state)
{
    (void)state;
    cut_each(EX_SEND, 0);
}

static void test_exhaust_cuts_of_recv_go_on(void **state)
{
    (void)state;
    cut_each(EX_RECV, 0);
}

static void test_exhaust_cuts_of_send_break(void **state)
{
    (void)state;
    cut_each(EX_SEND, EPIPE);
}

static void test_exhaust_cuts_of_recv_break(void **state)
{
    (void)state;
    cut_each(EX_RECV, ECONNRESET);
}

static void live_with_most(size_t most)
{
    exhaust_reset();
    kernel.most = most;
    snprintf(life.what, sizeof life.what, "%zu bytes at once, buffers of %zu and %zu", most,
             life.tx_cap, life.rx_cap);
    exhaust_live(&life);
    exhaust_assert_ridden_out(&life, true);
}

/* Each send and recv moves no more than so much. */
static void test_exhaust_cuts_everywhere(void **state)
{
    size_t most;

    (void)state;
    for (most = 1; most <= 300; most++) {
        live_with_most(most);
    }
}

/* ---- Buffers ----------------------------------------------------------------------------- */

static size_t least_tx(void)
{
    size_t lock = RLK_TX_MIN(sizeof EXHAUST_KEY - 1);

    return lock > RLK_CONN_TX_MIN ? lock : RLK_CONN_TX_MIN;
}

static void use_least(bool tx, bool rx, bool ring)
{
    life.tx_cap = tx ? least_tx() : 1024;
    life.rx_cap = rx ? RLK_CONN_RX_MIN : 512;
    life.ring_len = ring ? RLK_CONN_RING_MIN : 32;
}

static void test_exhaust_least_buffers(void **state)
{
    unsigned which;
    size_t most;

    (void)state;
    for (which = 1; which < 8; which++) {
        use_least((which & 1) != 0, (which & 2) != 0, (which & 4) != 0);
        live_with_most(0);
        for (most = 1; most <= 20; most++) {
            live_with_most(most);
        }
    }
}

static void test_exhaust_least_buffers_cut(void **state)
{
    (void)state;
    use_least(true, true, true);
    cut_each(EX_SEND, 0);
    cut_each(EX_RECV, 0);
    cut_each(EX_SEND, ECONNRESET);
    cut_each(EX_RECV, ECONNRESET);
}

/* One byte or entry less, and the client or the lock is refused. */
static void test_exhaust_less_than_least(void **state)
{
    unsigned descriptors = exhaust_descriptors();
    unsigned which;

    (void)state;
    exhaust_reset();
    for (which = 0; which < 3; which++) {
        size_t i;

        use_least(true, true, true);
        life.tx_cap = which == 0 ? RLK_CONN_TX_MIN - 1 : life.tx_cap;
        life.rx_cap -= which == 1;
        life.ring_len = (uint16_t)(life.ring_len - (which == 2));
        assert_result(exhaust_open(&life), RLK_E_BUFFER);
        for (i = 0; i < life.nodes; i++) {
            free(life.tx[i]);
            free(life.rx[i]);
        }
    }
    use_least(true, true, true);
    life.tx_cap--;
    assert_result(exhaust_open(&life), RLK_OK);
    assert_result(rlk_lock_init(&life.lock, &life.posix.client, EXHAUST_KEY, NULL), RLK_E_KEY);
    rlk_posix_close(&life.posix);
    free(life.tx[0]);
    free(life.rx[0]);
    assert_int_equal(exhaust_descriptors(), descriptors);
}

static int start(void **state)
{
    (void)state;
    exhaust_reset();
    redis = server_start(NULL);
    exhaust_life_init(&life, redis);
    return 0;
}

#define cut_test(function) cmocka_unit_test_setup_teardown(function, start, support_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cut_test(test_exhaust_cuts_of_send_go_on), cut_test(test_exhaust_cuts_of_recv_go_on),
        cut_test(test_exhaust_cuts_of_send_break), cut_test(test_exhaust_cuts_of_recv_break),
        cut_test(test_exhaust_cuts_everywhere),    cut_test(test_exhaust_least_buffers),
        cut_test(test_exhaust_least_buffers_cut),  cut_test(test_exhaust_less_than_least),
    };

    return cmocka_run_group_tests_name("exhaust_cuts", tests, NULL, NULL);
}
