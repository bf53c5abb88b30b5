/* SPDX-License-Identifier: MIT
 *
 * Cancel and time-out at every byte offset of an exchange (CVE-2023-28858 and its like): the stream
 * stops in the middle of a command, or of a reply, one lock gives up, the stream goes on. Three
 * other locks are in flight on the same connection, each with a reply of another form, so that one
 * that goes astray is seen: they end as if nothing had been, and the server says the same.
 *
 *   to the server:   SET a | the victim's command | EVALSHA raise b | EVALSHA release c
 *   to the client:   +OK   | its reply            | :59999          | :1
 */
#include "clock.h"
#include "proxied.h"

#include <string.h>

typedef enum ending {
    BY_CANCEL,
    BY_DEADLINE
} ending;

/* Locks, in the order of their commands. */
enum {
    ACQUIRES,
    VICTIM,
    RENEWS,
    RELEASES,
    LOCKS
};

static const char *const keys[LOCKS] = {"acquires", "victim", "renews", "releases"};

/* The victim's deadline is this much before that of the others. */
#define HEAD_START_MS 2000
#define OPERATION_MS  5000

/* Between two runs: an acquire that comes sooner leaves others a gap (fault 121). */
#define GAP_MS 1000

static proxied world;
static rlk_lock locks[LOCKS];
static test_clock clock_of_client;

/* What came of one run. */
static int results[LOCKS];
static int events_lost;
static int events_settled;
static rlk_holder victim_holder; /* of a query that the victim starts when it has given up */
static int victim_query;

static rlk_posix_client *client(void)
{
    return &world.set.posix;
}

static proxy *middle(void)
{
    return world.proxies[0];
}

static server *redis(void)
{
    return world.set.servers[0];
}

static void start(void)
{
    static const test_clock real = TEST_CLOCK_REAL;
    rlk_posix_options options = proxied_options();
    rlk_holder holder;
    size_t i;

    clock_of_client = real;
    options.env = test_clock_env(&clock_of_client);
    options.operation_timeout_ms = OPERATION_MS;
    options.response_timeout_ms = 600000; /* the connection is never at fault */
    options.settle_timeout_ms = 600000;
    proxied_start(&world, 1, false, NULL, &options);
    for (i = 0; i < LOCKS; i++) {
        rlk_lock_config config = config_unwatched;

        config.ttl_ms = 30000;
        config.node_timeout_ms = 9000;
        assert_result(rlk_lock_init(&locks[i], &client()->client, keys[i], &config), RLK_OK);
    }
    assert_result(rlk_query(&locks[0], &holder, 1), RLK_NOT_HELD);
}

static void stop(void)
{
    size_t i;

    assert_int_equal(proxy_accepted(middle()), 1); /* one connection did it all */
    for (i = 0; i < LOCKS; i++)
        assert_result(rlk_lock_close(&locks[i]), RLK_OK);
    proxied_close(&world);
    support_teardown(NULL);
}

static rlk_result victim_start(rlk_operation operation)
{
    switch (operation) {
    case RLK_OP_ACQUIRE:
        return rlk_acquire_start(&locks[VICTIM], OPERATION_MS);
    case RLK_OP_EXTEND:
        return rlk_extend_start(&locks[VICTIM], 30000);
    case RLK_OP_CHECK:
        return rlk_check_start(&locks[VICTIM]);
    default:
        return rlk_release_start(&locks[VICTIM]);
    }
}

/* Starts all four; the commands are in one piece in the connection's buffer. */
static void start_all(rlk_operation operation)
{
    size_t i;

    for (i = 0; i < LOCKS; i++)
        results[i] = INT32_MAX; /* none yet */
    events_lost = 0;
    events_settled = 0;
    victim_query = RLK_OK; /* unless it starts one */
    assert_result(rlk_acquire_start(&locks[ACQUIRES], RLK_FOREVER), RLK_PENDING);
    assert_result(victim_start(operation), RLK_PENDING);
    test_clock_jump(&clock_of_client, HEAD_START_MS);
    assert_result(rlk_renew_start(&locks[RENEWS], 60000), RLK_PENDING);
    assert_result(rlk_release_start(&locks[RELEASES]), RLK_PENDING);
}

/* Pulls what events there are. */
static void collect(void)
{
    rlk_event event;

    while (rlk_client_next_event(&client()->client, &event)) {
        size_t i = (size_t)(event.lock - locks);

        assert_true(i < LOCKS);
        if (event.type == RLK_EV_LOST) {
            events_lost++;
            continue;
        }
        if (event.type == RLK_EV_SETTLED) { /* a release that was given up has deleted the key */
            assert_int_equal(i, VICTIM);
            assert_int_equal(results[i], RLK_UNKNOWN);
            assert_result(event.result, RLK_OK);
            events_settled++;
            continue;
        }
        if (event.operation == RLK_OP_QUERY) {
            assert_int_equal(victim_query, INT32_MAX);
            victim_query = event.result;
            continue;
        }
        assert_int_equal(results[i], INT32_MAX); /* each ends once */
        results[i] = event.result;
    }
}

static bool all_ended(void)
{
    size_t i;

    collect();
    for (i = 0; i < LOCKS; i++)
        if (results[i] == INT32_MAX)
            return false;
    return victim_query != INT32_MAX;
}

static void assert_key(size_t i, bool held)
{
    const char *value = server_text(redis(), "GET %s", keys[i]);

    assert_int_equal(rlk_is_held(&locks[i]), held);
    if (held) {
        assert_non_null(value);
        assert_string_equal(value, token_of(&locks[i]));
    } else {
        assert_null(value);
    }
}

/* Whom the stop does not concern. */
static void assert_others(void)
{
    assert_int_equal(results[ACQUIRES], RLK_OK);
    assert_key(ACQUIRES, true);
    assert_between(rlk_remaining_ms(&locks[ACQUIRES]), 10000, 30000 - 302);
    assert_int_equal(results[RENEWS], RLK_OK);
    assert_key(RENEWS, true);
    assert_between(server_integer(redis(), "PTTL %s", keys[RENEWS]), 40000, 60000);
    assert_int_equal(results[RELEASES], RLK_OK);
    assert_key(RELEASES, false);
    assert_int_equal(events_lost, 0);
}

static void assert_victim(rlk_operation operation, ending how)
{
    int result = results[VICTIM];

    switch (operation) {
    case RLK_OP_ACQUIRE:
        if (result != RLK_OK)
            assert_int_equal(result, how == BY_CANCEL ? RLK_CANCELLED : RLK_E_RESPONSE_TIMEOUT);
        assert_key(VICTIM, result == RLK_OK);
        break;
    case RLK_OP_EXTEND:
        if (result != RLK_OK)
            assert_int_equal(result, RLK_UNKNOWN);
        assert_key(VICTIM, true);
        break;
    case RLK_OP_CHECK:
        if (result != RLK_OK)
            assert_int_equal(result, how == BY_CANCEL ? RLK_CANCELLED : RLK_E_RESPONSE_TIMEOUT);
        assert_key(VICTIM, true);
        break;
    default:
        if (result != RLK_OK)
            assert_int_equal(result, RLK_UNKNOWN);
        assert_key(VICTIM, false); /* the cleaning went on, */
        break;
    }
    collect(); /* and was reported */
    assert_int_equal(events_settled, operation == RLK_OP_RELEASE && result == RLK_UNKNOWN);
}

/* Replies still go to whom they belong to, and the next run finds everything free. */
static void assert_in_step(void)
{
    rlk_holder holder;
    size_t i;

    for (i = 0; i < LOCKS; i++) {
        bool held = rlk_is_held(&locks[i]);

        assert_result(rlk_check(&locks[i]), held ? RLK_OK : RLK_NOT_HELD);
        assert_result(rlk_query(&locks[i], &holder, 1), held ? RLK_OK : RLK_NOT_HELD);
        assert_int_equal(holder.ours, held);
        if (held)
            assert_result(rlk_release(&locks[i]), RLK_OK);
    }
    assert_int_equal(server_integer(redis(), "DBSIZE"), 0);
    collect();
    assert_int_equal(events_lost, 0);
}

static void hold_what_is_needed(rlk_operation operation)
{
    assert_result(rlk_acquire(&locks[RENEWS], RLK_TRY), RLK_OK);
    assert_result(rlk_acquire(&locks[RELEASES], RLK_TRY), RLK_OK);
    if (operation != RLK_OP_ACQUIRE)
        assert_result(rlk_acquire(&locks[VICTIM], RLK_TRY), RLK_OK);
}

/* One run with the stream stopped behind its nth byte. True if the victim had to give up. */
static bool run(rlk_operation operation, ending how, proxy_direction direction, size_t n,
                size_t total)
{
    bool queries = false;
    int scripts;

    test_clock_jump(&clock_of_client, GAP_MS);
    hold_what_is_needed(operation);
    scripts = proxy_count(middle(), "EVALSHA");
    proxy_hold_after(middle(), direction, n);
    start_all(operation);
    serve_until(client(), proxy_held(middle(), direction) == total - n);

    loop_serve(client(), 1); /* what came of the replies is read */
    collect();
    if (how == BY_DEADLINE)
        test_clock_jump(&clock_of_client, OPERATION_MS - HEAD_START_MS / 2);
    else if (results[VICTIM] == INT32_MAX)
        assert_result(rlk_cancel(&locks[VICTIM]), RLK_OK);
    loop_serve(client(), 1);
    collect();
    if (results[VICTIM] != INT32_MAX && rlk_is_held(&locks[VICTIM])) {
        /* its next replies are not to be mistaken for the one that it waits for no more */
        victim_query = INT32_MAX;
        queries = true;
        assert_result(rlk_query_start(&locks[VICTIM], &victim_holder, 1), RLK_PENDING);
    }
    proxy_release(middle());
    serve_until(client(), all_ended());

    /* behind whatever is left of the cleaning */
    assert_result(rlk_check(&locks[ACQUIRES]), RLK_OK);
    assert_others();
    assert_victim(operation, how);
    assert_int_equal(victim_query, RLK_OK);
    if (queries) {
        assert_string_equal(victim_holder.token, token_of(&locks[VICTIM]));
        assert_true(victim_holder.ours);
    }
    /* two others', the check, the victim's or its undo: no reply was missed, none asked for twice
     */
    scripts += operation == RLK_OP_ACQUIRE && results[VICTIM] == RLK_OK ? 3 : 4;
    assert_int_equal(proxy_count(middle(), "EVALSHA"), scripts);
    assert_in_step();
    return results[VICTIM] != RLK_OK;
}

/* Bytes of the four commands, or of their replies, and where the victim's begin and end. */
typedef struct span {
    size_t begin;
    size_t end;
    size_t total;
} span;

/* The four exchanges one after the other, undisturbed. */
static span measure(rlk_operation operation, proxy_direction direction)
{
    span bytes = {0, 0, 0};
    size_t before;

    hold_what_is_needed(operation);
    before = proxy_bytes(middle(), direction);
    assert_result(rlk_acquire(&locks[ACQUIRES], RLK_TRY), RLK_OK);
    proxied_calm(&world);
    bytes.begin = proxy_bytes(middle(), direction) - before;
    assert_result(victim_start(operation), RLK_PENDING);
    results[VICTIM] = INT32_MAX;
    serve_until(client(), (collect(), results[VICTIM] != INT32_MAX));

    assert_int_equal(results[VICTIM], RLK_OK);
    proxied_calm(&world);
    bytes.end = proxy_bytes(middle(), direction) - before;
    assert_result(rlk_renew(&locks[RENEWS], 60000), RLK_OK);
    assert_result(rlk_release(&locks[RELEASES]), RLK_OK);
    bytes.total = proxy_bytes(middle(), direction) - before;
    assert_in_step();
    return bytes;
}

/* Every byte of the victim's, its borders, and a few places more. */
static bool is_offset_wanted(const span *bytes, size_t n)
{
    return bytes->total < 64 || (n + 2 >= bytes->begin && n <= bytes->end + 2) || n % 16 == 0;
}

static void at_every_offset(rlk_operation operation, proxy_direction direction)
{
    size_t gave_up = 0;
    span bytes;
    size_t n;

    start();
    bytes = measure(operation, direction);
    for (n = 0; n < bytes.total; n++) {
        size_t given_up = 0;

        if (!is_offset_wanted(&bytes, n))
            continue;
        given_up += run(operation, BY_CANCEL, direction, n, bytes.total);
        given_up += run(operation, BY_DEADLINE, direction, n, bytes.total);
        if (n < bytes.end)
            assert_int_equal(given_up, 2);
        gave_up += given_up;
    }
    assert_true(gave_up > 0);
    stop();
}

static void test_cancel_offsets_acquire_to_server(void **state)
{
    (void)state;
    at_every_offset(RLK_OP_ACQUIRE, PROXY_TO_SERVER);
}

static void test_cancel_offsets_acquire_to_client(void **state)
{
    (void)state;
    at_every_offset(RLK_OP_ACQUIRE, PROXY_TO_CLIENT);
}

static void test_cancel_offsets_extend_to_server(void **state)
{
    (void)state;
    at_every_offset(RLK_OP_EXTEND, PROXY_TO_SERVER);
}

static void test_cancel_offsets_extend_to_client(void **state)
{
    (void)state;
    at_every_offset(RLK_OP_EXTEND, PROXY_TO_CLIENT);
}

static void test_cancel_offsets_check_to_client(void **state)
{
    (void)state;
    at_every_offset(RLK_OP_CHECK, PROXY_TO_CLIENT);
}

static void test_cancel_offsets_release_to_server(void **state)
{
    (void)state;
    at_every_offset(RLK_OP_RELEASE, PROXY_TO_SERVER);
}

static void test_cancel_offsets_release_to_client(void **state)
{
    (void)state;
    at_every_offset(RLK_OP_RELEASE, PROXY_TO_CLIENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_cancel_offsets_acquire_to_server),
        support_test(test_cancel_offsets_acquire_to_client),
        support_test(test_cancel_offsets_extend_to_server),
        support_test(test_cancel_offsets_extend_to_client),
        support_test(test_cancel_offsets_check_to_client),
        support_test(test_cancel_offsets_release_to_server),
        support_test(test_cancel_offsets_release_to_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
