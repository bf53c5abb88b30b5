/* SPDX-License-Identifier: MIT
 *
 * Three processes campaign, in event loops and in blocking calls as it falls, and are killed,
 * stopped, continued and asked to resign at random; of three servers one may be down or stopped
 * beside. Each writes in shared memory when it leads, before its application knows of it
 * (candidate.h). Afterwards it is judged that
 *
 *   never two led at once, each until its own deadline, LOST or resigning;
 *   never none led for longer than promised, while a candidate ran: WAKE_MS after the lock was
 * free, which is when the leader resigned, or at most a TTL after it was killed or stopped.
 *
 * RESPLOCK_ELECTION_SECONDS: for how long, all tests together; 12. RESPLOCK_ELECTION_SEED: of what
 * is done, not of what comes of it.
 */
#include "candidate.h"
#include "proxied.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CANDIDATES   3
#define SERVERS_MAX  3
#define HAPPENED_MAX 4096
#define TERMS_MAX    4096

/*
 * One wake-up: up to RLK_RETRY_MIN_MS after the key has lapsed, so 51 ms. With several servers two
 * that wake at once can keep each other from a quorum, and one that answers nothing costs an
 * attempt a third of the TTL: up to two more attempts, and as many pauses of RLK_RETRY_MAX_MS. The
 * rest is for processes to start and for connections to come back, on a busy machine.
 */
#define WAKE_MS ((world.count == 1 ? 350 : 1000) * (int64_t)support_time_factor())
#define TTL_MS  (INT64_C(1000) * support_time_factor())

/* ---- What was done ---- */

typedef enum happening {
    RUNS,    /* a candidate was started, or continued */
    STANDS,  /* ... was stopped, killed, or asked to resign */
    ORPHANED /* ... and the lock had been its: the leader was killed or stopped */
} happening;

typedef struct happened {
    int64_t time_ms;
    happening what;
    size_t who;
    int64_t free_ms; /* ORPHANED: when the key lapses, at most a TTL later */
} happened;

typedef struct player { /* one candidate, as the director knows it */
    candidate *who;
    bool runs;
    bool stopped; /* else: has ended */
    int64_t until_ms;
} player;

static struct world {
    size_t count; /* of servers */
    server *servers[SERVERS_MAX];
    const char *urls[SERVERS_MAX];
    player players[CANDIDATES];
    size_t bad_server; /* the one of several that is stopped or down */
    int64_t bad_until_ms;
    happened log[HAPPENED_MAX];
    size_t log_len;
    unsigned kills, pauses, resigns;
} world;

static unsigned dice_state;

static unsigned dice(unsigned sides)
{
    dice_state = dice_state * 1103515245u + 12345u;
    return (dice_state >> 16) % sides;
}

static int64_t dice_ms(int64_t from_ms, int64_t to_ms)
{
    return from_ms + (int64_t)dice((unsigned)(to_ms - from_ms + 1));
}

static int64_t now_ms(void)
{
    return rlk_system_now_ms(NULL);
}

static happened *note(happening what, size_t who)
{
    happened *next = &world.log[world.log_len++];

    if (world.log_len == HAPPENED_MAX)
        support_fail("too much happened");
    next->time_ms = now_ms();
    next->what = what;
    next->who = who;
    return next;
}

/* For how long the token of a candidate that does nothing any more is in the key; of several
 * servers, on any that answers. 0: it is not. */
static int64_t owns_for(const candidate *who)
{
    const char *name = candidate_name(who);
    int64_t longest_ms = 0;
    size_t i;

    for (i = 0; i < world.count; i++) {
        const char *token;
        int64_t left_ms;

        if (world.bad_until_ms != 0 && i == world.bad_server)
            continue;
        server_settle(world.servers[i]);
        token = server_text(world.servers[i], "GET service");
        left_ms = server_integer(world.servers[i], "PTTL service");
        if (token != NULL && strncmp(token, name, strlen(name)) == 0 && left_ms > longest_ms)
            longest_ms = left_ms;
    }
    return longest_ms;
}

static void starts(size_t i)
{
    player *it = &world.players[i];

    note(RUNS, i);
    if (it->stopped)
        candidate_resume(it->who);
    else
        candidate_start(it->who, dice(2) != 0 ? CANDIDATE_LOOP : CANDIDATE_BLOCKING);
    it->runs = true;
    it->stopped = false;
}

/* Kills or stops, for a time. */
static void ends(size_t i, bool stop, int64_t for_ms)
{
    player *it = &world.players[i];
    int64_t owned_ms;

    if (stop)
        candidate_pause(it->who);
    else
        candidate_kill(it->who);
    it->runs = false;
    it->stopped = stop;
    it->until_ms = now_ms() + for_ms;
    note(STANDS, i);
    owned_ms = owns_for(it->who);
    assert_between(owned_ms, 0, TTL_MS);
    if (owned_ms > 0)
        note(ORPHANED, i)->free_ms = now_ms() + owned_ms;
}

/* The candidate that leads as far as can be seen; else any. */
static size_t leader(void)
{
    size_t i;

    for (i = 0; i < CANDIDATES; i++)
        if (world.players[i].runs && owns_for(world.players[i].who) > 0)
            return i;
    return dice(CANDIDATES);
}

/* One that has resigned is gone, and starts again. */
static void reap_ended(void)
{
    size_t i;

    for (i = 0; i < CANDIDATES; i++) {
        player *it = &world.players[i];

        if (it->runs && !candidate_runs(it->who)) {
            note(STANDS, i);
            it->runs = false;
            it->until_ms = now_ms() + dice_ms(0, TTL_MS);
        }
    }
}

/* Of several servers one is stopped for a time, or killed and without data away for longer than
 * the longest TTL. */
static void harm_server(void)
{
    size_t i = dice((unsigned)world.count);

    if (world.count == 1 || world.bad_until_ms != 0)
        return;
    world.bad_server = i;
    world.bad_until_ms = now_ms() + dice_ms(TTL_MS * 6 / 5, TTL_MS * 2);
    if (dice(2) != 0)
        server_pause(world.servers[i]);
    else
        server_kill(world.servers[i]);
}

static void mend_server(void)
{
    server *bad = world.servers[world.bad_server];

    if (server_pid(bad) == 0)
        server_restart(bad, false);
    else
        server_resume(bad);
    server_settle(bad);
    world.bad_until_ms = 0;
}

static void act(void)
{
    unsigned what = world.kills == 0     ? 1
                    : world.pauses == 0  ? 4
                    : world.resigns == 0 ? 7
                                         : dice(10);
    size_t i = dice(4) != 0 || what > 6 ? leader() : dice(CANDIDATES);
    player *it = &world.players[i];

    if (what == 0)
        harm_server();
    if (!it->runs)
        return;
    if (what < 4) {
        world.kills++;
        ends(i, false, dice_ms(0, TTL_MS));
    } else if (what < 7) {
        world.pauses++;
        ends(i, true, dice(3) != 0 ? dice_ms(TTL_MS, TTL_MS * 5 / 2) : dice_ms(0, TTL_MS / 2));
    } else if (owns_for(it->who) > 0) {
        world.resigns++;
        candidate_resign(it->who);
    }
}

/* ---- What came of it ---- */

typedef struct span {
    int64_t begin_ms;
    int64_t end_ms; /* the earliest of what ended it */
    candidate_end how;
    size_t who;
} span;

static span spans[TERMS_MAX];
static size_t spans_len;

static int span_order(const void *a, const void *b)
{
    const span *first = (const span *)a;
    const span *second = (const span *)b;

    if (first->begin_ms != second->begin_ms)
        return first->begin_ms < second->begin_ms ? -1 : 1;
    return (first->end_ms > second->end_ms) - (first->end_ms < second->end_ms);
}

static void spans_take(void)
{
    size_t i;

    spans_len = 0;
    for (i = 0; i < CANDIDATES; i++) {
        size_t count;
        const candidate_term *term = candidate_terms(world.players[i].who, &count);

        for (; count > 0; count--, term++) {
            span *next = &spans[spans_len++];

            if (spans_len > TERMS_MAX)
                support_fail("too many terms");
            next->begin_ms = term->begin_ms;
            next->end_ms = term->deadline_ms;
            next->how = CANDIDATE_LEADS;
            next->who = i;
            if (term->end_ms != 0 && term->end_ms <= term->deadline_ms) {
                next->end_ms = term->end_ms;
                next->how = term->how;
            }
        }
    }
    qsort(spans, spans_len, sizeof spans[0], span_order);
}

static void show(void)
{
    static const char *const whats[] = {"runs", "stands", "was the leader"};
    static const char *const hows[] = {"its deadline", "LOST", "resigning"};
    int64_t zero_ms = world.log[0].time_ms;
    size_t i;

    for (i = 0; i < spans_len; i++)
        print_error("%6d .. %6d  %zu led, until %s\n", (int)(spans[i].begin_ms - zero_ms),
                    (int)(spans[i].end_ms - zero_ms), spans[i].who, hows[spans[i].how]);
    for (i = 0; i < world.log_len; i++)
        print_error("%6d  %zu %s\n", (int)(world.log[i].time_ms - zero_ms), world.log[i].who,
                    whats[world.log[i].what]);
}

static void judge_exclusion(void)
{
    int64_t end_ms = INT64_MIN;
    size_t i;

    for (i = 0; i < spans_len; i++) {
        if (spans[i].begin_ms < end_ms && spans[i].begin_ms < spans[i].end_ms) {
            show();
            support_fail("two led at %d", (int)(spans[i].begin_ms - world.log[0].time_ms));
        }
        if (spans[i].end_ms > end_ms)
            end_ms = spans[i].end_ms;
    }
}

/* When the lock was free, if nobody led since `last` (NULL: at all) until before_ms: it was given
 * back, or the key of a leader that was killed or stopped lapsed, perhaps of one that did not know
 * yet that it led. */
static int64_t gap_free(const span *last, int64_t before_ms)
{
    bool known = last == NULL || last->how == CANDIDATE_RESIGNED;
    int64_t free_ms = last != NULL ? last->end_ms : INT64_MIN;
    size_t i;

    for (i = 0; i < world.log_len && world.log[i].time_ms < before_ms; i++) {
        const happened *it = &world.log[i];

        if (it->what != ORPHANED || (last != NULL && it->time_ms < last->begin_ms))
            continue;
        known = true;
        if (it->free_ms > free_ms)
            free_ms = it->free_ms;
    }
    return known ? free_ms : free_ms + TTL_MS;
}

/* The time until which a candidate ran that began at the i-th happening. */
static int64_t ran_until(size_t i)
{
    size_t k;

    for (k = i + 1; k < world.log_len; k++)
        if (world.log[k].what == STANDS && world.log[k].who == world.log[i].who)
            return world.log[k].time_ms;
    return INT64_MAX;
}

static int64_t longest_wake_ms; /* of what WAKE_MS allows */

/* Nobody led from the end of `last` (NULL: from the start) until end_ms: was that promised? Returns
 * by how many candidates it could be judged. */
static unsigned judge_gap(const span *last, int64_t end_ms)
{
    unsigned judged = 0;
    int64_t free_ms = gap_free(last, end_ms);
    size_t i;

    for (i = 0; i < world.log_len && world.log[i].time_ms < end_ms; i++) {
        const happened *it = &world.log[i];
        int64_t from_ms = it->time_ms > free_ms ? it->time_ms : free_ms;

        if (it->what != RUNS || ran_until(i) < from_ms + WAKE_MS)
            continue;
        if (end_ms > from_ms + WAKE_MS) {
            show();
            support_fail("nobody led from %d to %d, though %zu ran",
                         (int)(from_ms - world.log[0].time_ms),
                         (int)(end_ms - world.log[0].time_ms), it->who);
        }
        if (end_ms - from_ms > longest_wake_ms)
            longest_wake_ms = end_ms - from_ms;
        judged++;
    }
    return judged;
}

static unsigned judge_gaps(void)
{
    unsigned judged = judge_gap(NULL, spans_len > 0 ? spans[0].begin_ms : now_ms());
    size_t i;

    for (i = 1; i < spans_len; i++)
        judged += judge_gap(&spans[i - 1], spans[i].begin_ms) > 0;
    return judged;
}

/* ---- The play ---- */

static void begin(size_t servers)
{
    static const char *const names[CANDIDATES] = {"anna", "bert", "carl"};
    size_t i;

    memset(&world, 0, sizeof world);
    world.count = servers;
    for (i = 0; i < servers; i++) {
        world.servers[i] = server_start(NULL);
        world.urls[i] = server_url(world.servers[i]);
    }
    /* else the server itself notifies soon that a key has expired, which it does not promise */
    if (servers == 1)
        server_do(world.servers[0], "DEBUG SET-ACTIVE-EXPIRE 0");
    for (i = 0; i < CANDIDATES; i++) {
        world.players[i].who = candidate_new(world.urls, servers, "service", names[i], TTL_MS);
        starts(i);
    }
}

static void play(int64_t for_ms)
{
    int64_t end_ms = now_ms() + for_ms;
    int64_t act_ms = now_ms() + TTL_MS;
    size_t i;

    while (now_ms() < end_ms) {
        support_sleep_ms(2);
        reap_ended();
        for (i = 0; i < CANDIDATES; i++)
            if (!world.players[i].runs && now_ms() >= world.players[i].until_ms)
                starts(i);
        if (world.bad_until_ms != 0 && now_ms() >= world.bad_until_ms)
            mend_server();
        if (now_ms() < act_ms)
            continue;
        act();
        /* now at once, now when the next has led for a while */
        act_ms = now_ms() +
                 (dice(3) != 0 ? dice_ms(0, TTL_MS) : dice_ms(TTL_MS * 3 / 2, TTL_MS * 5 / 2));
    }
}

/* On how many servers the key holds this token. */
static size_t holding(const char *token)
{
    size_t count = 0;
    size_t i;

    for (i = 0; i < world.count; i++) {
        const char *held = server_text(world.servers[i], "GET service");

        count += held != NULL && strcmp(held, token) == 0;
    }
    return count;
}

/*
 * What a resignation that is OK promises: the token is on fewer than a quorum of the servers, and
 * stays there no longer than its TTL. A process that ends at once leaves it on a server that had
 * not answered yet; and so does one that was killed while it tried, with a token of its own.
 */
static void nobody_leads(void)
{
    int64_t end_ms = now_ms() + TTL_MS + WAKE_MS;
    size_t i;

    for (i = 0; i < world.count; i++) {
        char token[RLK_TOKEN_MAX + 1] = "";
        const char *held = server_text(world.servers[i], "GET service");

        if (held != NULL) {
            snprintf(token, sizeof token, "%s", held);
            assert_true(holding(token) < world.count / 2 + 1);
        }
    }
    for (i = 0; i < world.count; i++) {
        while (server_integer(world.servers[i], "EXISTS service") != 0) {
            if (now_ms() > end_ms)
                support_fail("server %zu has the key for longer than its TTL", i);
            support_sleep_ms(5);
        }
    }
}

/* All run again: one leads within the time; then all resign, and nothing is left. */
static void finish(void)
{
    size_t i;

    if (world.bad_until_ms != 0)
        mend_server();
    for (i = 0; i < CANDIDATES; i++)
        if (!world.players[i].runs)
            starts(i);
    support_sleep_ms(TTL_MS + WAKE_MS);
    reap_ended();
    for (i = 0; i < CANDIDATES; i++) {
        note(STANDS, i);
        candidate_resign(world.players[i].who);
    }
    for (i = 0; i < CANDIDATES; i++)
        wait_until(!candidate_runs(world.players[i].who));

    nobody_leads();
}

static void elect(size_t servers)
{
    const char *seconds = getenv("RESPLOCK_ELECTION_SECONDS");
    const char *seed = getenv("RESPLOCK_ELECTION_SEED");
    int64_t for_ms = INT64_C(1000) * (seconds != NULL ? atoi(seconds) : 12) / 2;
    unsigned gaps;

    dice_state = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)now_ms();
    print_message("RESPLOCK_ELECTION_SEED=%u\n", dice_state);
    begin(servers);
    play(for_ms);
    finish();
    spans_take();
    judge_exclusion();
    longest_wake_ms = INT64_MIN;
    gaps = judge_gaps();
    print_message("%u kills, %u stops, %u resigns; %zu terms, %u gaps judged, "
                  "the longest wake-up %d ms\n",
                  world.kills, world.pauses, world.resigns, spans_len, gaps, (int)longest_wake_ms);
    /* or it was no test */
    assert_true(spans_len >= 1);
    if (for_ms >= 20 * TTL_MS) {
        assert_true(world.kills > 0 && world.pauses > 0 && world.resigns > 0);
        assert_true(spans_len >= (size_t)(for_ms / TTL_MS / 8));
        assert_true(gaps >= (unsigned)(for_ms / TTL_MS / 10));
    }
}

static void test_election_one_server(void **state)
{
    (void)state;
    elect(1);
}

static void test_election_three_servers(void **state)
{
    (void)state;
    elect(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_election_one_server),
        support_test(test_election_three_servers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
