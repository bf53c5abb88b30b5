/* SPDX-License-Identifier: MIT
 *
 * The ways through the code that scripts/hops counts, each in one scenario of the harness. Only the
 * library is built with -finstrument-functions, so that only its functions are recorded. Prints a
 * line "= NAME" for each way, and then "DEPTH ADDRESS" for each call.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOPS_MAX 20000
#define FOREIGN  "foreign"

static harness h;

/* ---- The record ---------------------------------------------------------------------------- */

static struct {
    bool on;
    unsigned depth;
    size_t len;
    void *functions[HOPS_MAX];
    unsigned depths[HOPS_MAX];
} record;

void __cyg_profile_func_enter(void *function, void *caller);
void __cyg_profile_func_exit(void *function, void *caller);

void __cyg_profile_func_enter(void *function, void *caller)
{
    (void)caller;
    if (!record.on)
        return;
    if (record.len == HOPS_MAX)
        abort();
    record.functions[record.len] = function;
    record.depths[record.len] = ++record.depth;
    record.len++;
}

void __cyg_profile_func_exit(void *function, void *caller)
{
    (void)function;
    (void)caller;
    if (record.on)
        record.depth--;
}

static void record_print(const char *way)
{
    size_t i;

    assert_int_equal(record.depth, 0);
    assert_int_not_equal(record.len, 0);
    printf("= %s\n", way);
    for (i = 0; i < record.len; i++)
        printf("%u %p\n", record.depths[i], record.functions[i]);
    record.len = 0;
}

/* ---- Steps of the ways --------------------------------------------------------------------- */

static bool has_bytes(void)
{
    size_t len;

    return rlk_conn_tx_buf(&harness_link_of(&h, 0)->conn, &len) != NULL && len != 0;
}

/* Receives these bytes as one read. Records what the connection does with them. */
static void receive(const char *bytes)
{
    rlk_conn *conn = &harness_link_of(&h, 0)->conn;
    size_t len = strlen(bytes);
    size_t cap;
    uint8_t *to = rlk_conn_rx_buf(conn, &cap);

    assert_true(len <= cap);
    memcpy(to, bytes, len);
    record.on = true;
    rlk_conn_rx_ack(conn, len, h.now_ms);
    record.on = false;
}

/* Ticks at each deadline until bytes are ready. Records the ticks: all, or the last one only. */
static void tick_until_bytes(bool all)
{
    unsigned ticks;

    for (ticks = 0; !has_bytes(); ticks++) {
        assert_true(ticks < 100);
        h.now_ms = rlk_client_deadline(h.client);
        if (!all)
            record.len = 0;
        record.on = true;
        rlk_client_tick(h.client);
        record.on = false;
    }
}

/* ---- The ways ------------------------------------------------------------------------------ */

/* Records what the reply of the oldest command brings about: the server has it already. */
static void receive_reply(void)
{
    char reply[64];

    assert_true(harness_execute(harness_link_of(&h, 0)));
    (void)snprintf(reply, sizeof reply, "%s", harness_head(harness_link_of(&h, 0))->reply);
    harness_shift(&harness_link_of(&h, 0)->queue);
    receive(reply);
}

/* A call of rlk_acquire_start, until its SET is ready to leave; then the answer to that. */
static void acquire(void)
{
    rlk_lock lock;

    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    record.on = true;
    assert_int_equal(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    record.on = false;
    assert_true(has_bytes());
    record_print("acquire");
    assert_int_equal(harness_expect(&h, 0, HARNESS_SET)->ms, 30000);
    receive_reply();
    record_print("answer");
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A notification for the one waiter, until its next SET is ready to leave. */
static void push(void)
{
    rlk_lock lock;
    unsigned sets;

    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, 1, 1);
    h.servers[0].tracking = true;
    harness_advance(&h, 0);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, 30000);
    harness_lock(&h, &lock, 30000);
    assert_int_equal(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    assert_false(has_bytes());
    sets = h.servers[0].count[HARNESS_SET];
    receive(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n" HARNESS_KEY "\r\n");
    tick_until_bytes(true);
    record_print("push");
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_int_equal(h.servers[0].count[HARNESS_SET], sets + 1);
}

/* A renewal in the background: from the tick that begins it to the event that reports it. */
static void renewal(void)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;

    config.ttl_ms = 30000;
    config.auto_renew = true;
    harness_start(&h, 1);
    assert_int_equal(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_int_equal(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    tick_until_bytes(false);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    receive_reply();
    record_print("renewal");
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
}

int main(void)
{
    acquire();
    push();
    renewal();
    return 0;
}
