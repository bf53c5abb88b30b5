/* SPDX-License-Identifier: MIT
 *
 * The transmit buffer: bytes do not move until they are acknowledged.
 */
#include "fake.h"

/* The bytes that the driver was shown stay where they are until it says that they were sent. */
static void test_conn_tx_does_not_move(void **state)
{
    static fake_request requests[6];
    fake server;
    const uint8_t *bytes;
    size_t len;
    size_t more;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    fake_submit(&server, &requests[0], 0);
    bytes = rlk_conn_tx_buf(&server.conn, &len);
    fake_submit(&server, &requests[1], 1);
    fake_submit(&server, &requests[2], 2);
    assert_ptr_equal(rlk_conn_tx_buf(&server.conn, &more), bytes);
    assert_true(more > len);
    rlk_conn_tx_ack(&server.conn, 3, server.now_ms);
    assert_ptr_equal(rlk_conn_tx_buf(&server.conn, &len), bytes + 3);
    assert_int_equal(len, more - 3);
    /* more than was shown is not believed */
    fake_submit(&server, &requests[3], 3);
    rlk_conn_tx_ack(&server.conn, 10000, server.now_ms);
    assert_ptr_equal(rlk_conn_tx_buf(&server.conn, &len), bytes + more);
    assert_true(len > 0);
    rlk_conn_tx_ack(&server.conn, len, server.now_ms);
    rlk_conn_tx_ack(&server.conn, 5, server.now_ms);
    assert_null(rlk_conn_tx_buf(&server.conn, &len));
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_tx_does_not_move),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
