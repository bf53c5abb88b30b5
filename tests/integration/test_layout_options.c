/* SPDX-License-Identifier: MIT
 *
 * A program whose compiler has other options for enums or packing than the library's had
 * (fault 120): each init sees it. CMakeLists.txt compiles layout_caller.c with each.
 */
#include "layout_caller.h"
#include "support.h"

#include <string.h>

static void test_fault_120_options_of_the_compiler(void **state)
{
    static const struct {
        const char *name;
        layout_caller *caller;
    } rows[] = {
        {"plain", layout_plain},        {"short enums", layout_short_enums},
        {"packed to 1", layout_pack_1}, {"packed to 2", layout_pack_2},
        {"packed to 4", layout_pack_4},
    };
    static rlk_conn_entry ring[RLK_CONN_RING_MIN];
    static uint8_t tx[RLK_CONN_TX_MIN];
    static uint8_t rx[RLK_CONN_RX_MIN];
    static rlk_posix_client posix;
    rlk_conn_config config;
    unsigned others = 0;
    size_t i;

    (void)state;
    assert_result(rlk_posix_open(&posix, "redis://h", NULL), RLK_OK);
    memset(&config, 0, sizeof config);
    assert_result(rlk_url_parse(&config.url, "redis://h"), RLK_OK);
    config.ring = ring;
    config.ring_len = RLK_CONN_RING_MIN;
    config.tx = tx;
    config.tx_cap = sizeof tx;
    config.rx = rx;
    config.rx_cap = sizeof rx;
    rlk_client_conn_config(&posix.client, &config); /* and is not used by a client */
    assert_result(rlk_posix_open(&posix, "redis://h", NULL), RLK_OK);
    for (i = 0; i < COUNT_OF(rows); i++) {
        layout_results results = rows[i].caller(&config, &posix);
        bool same = results.enum_size == (int)sizeof(rlk_event_type) &&
                    results.offset == (int)offsetof(rlki_layout, number);

        others += !same;
        if ((results.open == RLK_E_LAYOUT) == same || (results.init == RLK_E_LAYOUT) == same ||
            (results.conn == RLK_E_LAYOUT) == same || (results.lock == RLK_E_LAYOUT) == same)
            support_fail("%s: %d, %d, %d, %d", rows[i].name, results.open, results.init,
                         results.conn, results.lock);
        if (i == 0) {
            assert_true(same);
            assert_int_equal(results.open, RLK_OK);
            assert_int_equal(results.conn, RLK_OK);
            assert_int_equal(results.lock, RLK_OK);
        }
    }
    assert_between(others, 3,
                   4); /* where a number of 8 bytes lies at multiples of 4: not the last */
    rlk_posix_close(&posix);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        support_test(test_fault_120_options_of_the_compiler),
    };

    return cmocka_run_group_tests_name("layout options", tests, NULL, NULL);
}
