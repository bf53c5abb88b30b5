/* SPDX-License-Identifier: MIT
 *
 * Random answers, delays, cuts and cancels, over servers that do what Redis does. Whatever happens:
 *   - no two locks hold one key at once;
 *   - after BUSY, TIMED_OUT, CANCELLED, an error of an acquire, and OK of a release, the token is
 *     on fewer than q nodes, and never again on q;
 *   - each operation ends exactly once, within its time and the settling time;
 *   - in the end all is quiet, and nothing is left on the servers.
 *
 * RANDOM_SEEDS sets the number of seeds, RANDOM_SEED the one to run alone.
 */
#include "bench.h"

#include "lock/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCKS    4
#define STEPS    300
#define DEAD_MAX 512
#define TTL_MS   4000
#define DIGITS   32 /* of the random part of a token */

typedef struct subject {
    rlk_lock lock;
    rlk_client *client;
    rlk_holder holders[RLK_MAX_NODES];
    rlk_operation pending;
    int64_t limit_ms; /* when its result is due */
    uint32_t round;   /* last one before the acquire under way */
    char base[DIGITS + 1];
} subject;

/* Tokens that must not come back: of a random part, the rounds in (after, upto]. */
typedef struct dead {
    char base[DIGITS + 1];
    uint32_t after;
    uint32_t upto;
} dead;

static bench b;
static subject subjects[LOCKS];
static unsigned subjects_len;
static dead deads[DEAD_MAX];
static unsigned deads_len;
static uint64_t state64;
static uint64_t seed;
/* The longest time without a tick so far: the deadline may be seen so much late, and the end of the
 * settling after it once more. */
static int64_t slack_ms;
static unsigned acquired;

static uint32_t dice(uint32_t n)
{
    state64 ^= state64 << 13;
    state64 ^= state64 >> 7;
    state64 ^= state64 << 17;
    return (uint32_t)(state64 >> 33) % n;
}

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            support_fail("seed %llu: %s", (unsigned long long)seed, #condition);                   \
    } while (0)

/* ---- What must hold ---- */

static uint32_t round_of(const char *token)
{
    return (uint32_t)strtoul(token + DIGITS, NULL, 16);
}

static bool is_dead(const char *token)
{
    unsigned i;
    for (i = 0; i < deads_len; i++)
        if (strncmp(deads[i].base, token, DIGITS) == 0 && round_of(token) > deads[i].after &&
            round_of(token) <= deads[i].upto)
            return true;
    return false;
}

static void check_servers(void)
{
    unsigned i;
    for (i = 0; i < b.nodes; i++) {
        const bench_entry *entry = bench_find(&b, &b.servers[i], BENCH_KEY);
        if (entry && is_dead(entry->token))
            REQUIRE(bench_holding(&b, BENCH_KEY, entry->token) < b.nodes / 2 + 1);
    }
}

static void check_exclusion(void)
{
    unsigned held = 0;
    unsigned i;
    for (i = 0; i < subjects_len; i++)
        held += rlk_is_held(&subjects[i].lock);
    REQUIRE(held <= 1);
}

/* The tokens of the acquire, or of the holding, that is over. */
static void bury(subject *s, rlk_operation operation)
{
    char token[RLK_TOKEN_MAX + 1];
    dead *grave = &deads[deads_len];
    if (rlk_lock_token(&s->lock, token, sizeof token) == 0)
        return;
    REQUIRE(deads_len < DEAD_MAX);
    (void)snprintf(grave->base, sizeof grave->base, "%.*s", DIGITS, token);
    grave->upto = round_of(token);
    grave->after = strncmp(s->base, token, DIGITS) == 0 ? s->round : 0;
    if (operation == RLK_OP_RELEASE)
        grave->after = grave->upto - 1;
    deads_len++;
}

/* What an operation came to. */
static void judge(subject *s, rlk_operation operation, rlk_result result)
{
    switch (operation) {
    case RLK_OP_ACQUIRE:
        REQUIRE(result == RLK_OK || result == RLK_BUSY || result == RLK_TIMED_OUT ||
                result == RLK_CANCELLED || result == RLK_UNKNOWN || result < RLK_E_WAIT);
        acquired += result == RLK_OK;
        if (result != RLK_OK && result != RLK_UNKNOWN)
            bury(s, operation);
        break;
    case RLK_OP_RELEASE:
        REQUIRE(result == RLK_OK || result == RLK_NOT_OWNER || result == RLK_GONE ||
                result == RLK_LOST || result == RLK_UNKNOWN || result < RLK_E_WAIT);
        REQUIRE(!rlk_is_held(&s->lock));
        if (result == RLK_OK)
            bury(s, operation);
        break;
    case RLK_OP_EXTEND:
    case RLK_OP_RENEW:
    case RLK_OP_CHECK:
        if (result == RLK_NOT_OWNER || result == RLK_LOST)
            REQUIRE(!rlk_is_held(&s->lock));
        break;
    default:
        break;
    }
}

static void pull_events(void)
{
    unsigned c;
    rlk_event event;
    for (c = 0; c < b.clients; c++) {
        while (rlk_client_next_event(&b.members[c].client, &event)) {
            subject *s = (subject *)event.user;
            REQUIRE(event.lock == &s->lock);
            if (event.type == RLK_EV_LOST) {
                REQUIRE(s->pending == RLK_OP_NONE || s->pending == RLK_OP_QUERY);
                continue;
            }
            REQUIRE(event.operation == s->pending);
            REQUIRE(b.now_ms <= s->limit_ms + 2 * slack_ms);
            s->pending = RLK_OP_NONE;
            judge(s, event.operation, event.result);
        }
    }
}

static void check(void)
{
    unsigned i;
    check_exclusion();
    check_servers();
    pull_events();
    check_servers();
    for (i = 0; i < subjects_len; i++) {
        REQUIRE(rlk_lock_operation(&subjects[i].lock) == subjects[i].pending);
        REQUIRE(subjects[i].pending == RLK_OP_NONE ||
                b.now_ms <= subjects[i].limit_ms + 2 * slack_ms);
    }
}

/* ---- What happens ---- */

static void open_subject(subject *s)
{
    rlk_lock_config config = rlk_lock_config_default();
    config.ttl_ms = TTL_MS;
    config.node_ms = 1 + dice(1000);
    config.user = s;
    assert_result(rlk_lock_init(&s->lock, s->client, BENCH_KEY, &config), RLK_OK);
    s->pending = RLK_OP_NONE;
    s->round = 0;
    s->base[0] = '\0';
}

static void started(subject *s, rlk_operation operation, rlk_result result, int64_t time_ms)
{
    if (s->pending != RLK_OP_NONE) {
        if (result == RLK_E_STATE)
            return;
        /* the call found that the time of the operation before was over: its result is still to
         * be pulled, unless it began another */
        REQUIRE(slack_ms > 0);
        if (s->lock.events & RLKI_EVENT_RESULT)
            return;
        s->pending = RLK_OP_NONE;
    }
    if (result == RLK_PENDING) {
        s->pending = operation;
        s->limit_ms = time_ms == RLK_FOREVER ? RLK_FOREVER - 1000000 : b.now_ms + time_ms;
        return;
    }
    if (result != RLK_NOT_HELD && result != RLK_E_STATE)
        judge(s, operation, result);
}

static void act_acquire(subject *s)
{
    char token[RLK_TOKEN_MAX + 1];
    int64_t wait_ms = RLK_FOREVER;
    int64_t time_ms = RLK_FOREVER;
    if (s->pending == RLK_OP_NONE && !rlk_is_held(&s->lock) &&
        rlk_lock_token(&s->lock, token, sizeof token) != 0) {
        (void)snprintf(s->base, sizeof s->base, "%.*s", DIGITS, token);
        s->round = round_of(token);
    }
    switch (dice(3)) {
    case 0:
        wait_ms = RLK_TRY;
        time_ms = RLK_OPERATION_MS + RLK_SETTLE_MS;
        break;
    case 1:
        wait_ms = 1 + dice(3000);
        time_ms = wait_ms + RLK_SETTLE_MS;
        break;
    default:
        break;
    }
    started(s, RLK_OP_ACQUIRE, rlk_acquire_start(&s->lock, wait_ms), time_ms);
}

static void act_cancel(subject *s)
{
    rlk_result result = rlk_cancel(&s->lock);
    if (s->pending == RLK_OP_NONE)
        REQUIRE(result == RLK_NOT_HELD);
    else if (s->limit_ms > b.now_ms + RLK_SETTLE_MS)
        s->limit_ms = b.now_ms + RLK_SETTLE_MS;
}

/* Closing says whether an orphan is possible. */
static void act_close(subject *s)
{
    bool held = rlk_is_held(&s->lock);
    rlk_result result = rlk_lock_close(&s->lock);
    REQUIRE(result == RLK_OK || result == RLK_UNKNOWN);
    REQUIRE(!held || result == RLK_UNKNOWN);
    open_subject(s);
}

static void act_client(subject *s)
{
    switch (dice(12)) {
    case 0:
    case 1:
    case 2:
        act_acquire(s);
        break;
    case 3:
    case 4:
        started(s, RLK_OP_RELEASE, rlk_release_start(&s->lock), RLK_OPERATION_MS);
        break;
    case 5:
        started(s, RLK_OP_RENEW, rlk_renew_start(&s->lock, 1400 + dice(4000)), RLK_OPERATION_MS);
        break;
    case 6:
        started(s, RLK_OP_EXTEND, rlk_extend_start(&s->lock, 1 + dice(2000)), RLK_OPERATION_MS);
        break;
    case 7:
        started(s, RLK_OP_CHECK, rlk_check_start(&s->lock), RLK_OPERATION_MS);
        break;
    case 8:
        started(s, RLK_OP_QUERY, rlk_query_start(&s->lock, s->holders, RLK_MAX_NODES),
                RLK_OPERATION_MS);
        break;
    case 9:
    case 10:
        act_cancel(s);
        break;
    default:
        if (dice(4) == 0)
            act_close(s);
        break;
    }
}

/* The oldest command that was not executed gets an error instead. */
static void act_refuse(bench_link *link)
{
    static const char *const errors[] = {BENCH_READONLY, BENCH_NOSCRIPT, "-LOADING wait\r\n",
                                         "-OOM command not allowed\r\n", "-ODD of a proxy\r\n"};
    const char *error = errors[dice(COUNT_OF(errors))];
    size_t i;
    for (i = 0; i < link->queue.len; i++) {
        bench_command *command = &link->queue.commands[i];
        if (command->executed)
            continue;
        if (strcmp(error, errors[4]) == 0) /* such may have been executed, or not */
            (void)(dice(2) ? bench_execute(link) : false);
        if (strcmp(error, BENCH_NOSCRIPT) == 0 && command->kind != BENCH_RAISE &&
            command->kind != BENCH_CHECK && command->kind != BENCH_RELEASE)
            return;
        command->executed = true;
        (void)snprintf(command->reply, sizeof command->reply, "%s", error);
        return;
    }
}

static void act_server(bench_link *link)
{
    switch (dice(24)) {
    case 0:
        if (dice(3) == 0)
            bench_cut_link(link);
        break;
    case 1:
        link->server->refuses = dice(3) == 0;
        break;
    case 2:
        act_refuse(link);
        break;
    case 3:
        (void)bench_execute_loose(link);
        break;
    case 4:
        link->stuck = dice(3) == 0;
        break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
        (void)bench_execute(link);
        break;
    default:
        (void)bench_execute(link);
        (void)bench_deliver(link);
        break;
    }
}

static void act_time(void)
{
    int64_t ms = dice(6) ? dice(60) : dice(1200);
    if (dice(30) == 0) { /* the process stands still: input comes before the tick */
        if (ms > slack_ms)
            slack_ms = ms;
        b.now_ms += ms;
        return;
    }
    /* no more than is due, so that a result is looked at when it comes */
    while (ms-- > 0) {
        bench_advance(&b, 1);
        check();
    }
}

static void step(void)
{
    bench_link *link = &b.members[dice(b.clients)].links[dice(b.nodes)];
    switch (dice(10)) {
    case 0:
        act_client(&subjects[dice(subjects_len)]);
        break;
    case 1:
        act_time();
        break;
    default:
        act_server(link);
        break;
    }
    bench_run(&b);
    check();
}

/* ---- One seed ---- */

static void begin(void)
{
    static const unsigned sizes[] = {1, 3, 3, 3, 5, 2};
    bool unfenced = dice(3) == 0;
    unsigned i;
    memset(&b.config, 0, sizeof b.config);
    b.random = seed;
    deads_len = 0;
    slack_ms = 0;
    bench_open(&b, sizes[dice(COUNT_OF(sizes))], 2 + dice(2));
    for (i = 0; i < b.nodes; i++) {
        b.servers[i].no_ids = unfenced && dice(2);
        b.servers[i].kill_result = (int)dice(2);
    }
    subjects_len = b.clients + dice(LOCKS - b.clients + 1);
    for (i = 0; i < subjects_len; i++) {
        subjects[i].client = &b.members[i % b.clients].client;
        open_subject(&subjects[i]);
    }
}

/* All works again: everything comes to its end. */
static void end(void)
{
    unsigned c;
    unsigned i;
    for (i = 0; i < b.nodes; i++) {
        b.servers[i].refuses = false;
        b.servers[i].automatic = true;
        for (c = 0; c < b.clients; c++) {
            bench_link *link = &b.members[c].links[i];
            link->stuck = false;
            link->server->no_ids = false;
            while (bench_execute_loose(link)) {
            }
        }
    }
    for (i = 0; i < subjects_len; i++)
        if (subjects[i].pending != RLK_OP_NONE)
            act_cancel(&subjects[i]);
    if (slack_ms < 250)
        slack_ms = 250; /* time goes in larger steps from now on */
    for (i = 0; i < 40; i++) {
        bench_advance(&b, 250);
        check();
    }
    for (i = 0; i < subjects_len; i++) {
        REQUIRE(subjects[i].pending == RLK_OP_NONE);
        REQUIRE(!rlk_is_held(&subjects[i].lock)); /* 10 s are longer than any lease here */
        started(&subjects[i], RLK_OP_RELEASE, rlk_release_start(&subjects[i].lock), 1000);
    }
    bench_advance(&b, 60000);
    check();
    for (c = 0; c < b.clients; c++) {
        REQUIRE(rlk_client_deadline(&b.members[c].client) == RLK_NEVER);
        for (i = 0; i < b.nodes; i++)
            REQUIRE(bench_head(&b.members[c].links[i]) == NULL);
    }
    REQUIRE(bench_holding(&b, BENCH_KEY, NULL) == 0);
    for (i = 0; i < subjects_len; i++) { /* it still works */
        assert_result(rlk_acquire(&subjects[i].lock, RLK_TRY), RLK_OK);
        assert_result(rlk_release(&subjects[i].lock), RLK_OK);
        assert_result(rlk_lock_close(&subjects[i].lock), RLK_OK);
    }
}

static void run(uint64_t number)
{
    unsigned i;
    seed = number;
    state64 = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    begin();
    for (i = 0; i < STEPS; i++)
        step();
    end();
}

static void test_lock_random_faults(void **state)
{
    const char *count = getenv("RANDOM_SEEDS");
    const char *one = getenv("RANDOM_SEED");
    uint64_t seeds = count ? strtoull(count, NULL, 10) : 2400 / (unsigned)support_time_factor();
    uint64_t i;
    (void)state;
    acquired = 0;
    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    for (i = 1; i <= seeds; i++)
        run(i);
    assert_true(acquired >= seeds); /* it is not all failure */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_random_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
