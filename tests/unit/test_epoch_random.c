/* SPDX-License-Identifier: MIT
 *
 * Where a clock begins changes nothing. One random history runs in several worlds at once, whose
 * clocks differ by a constant: so the client's own clock begins anew at other moments in each. All
 * that a program or a server can see is the same in all of them, and no lease outlives its key.
 */
#include "harness.h"

#include "lock/state.h"
#include "resplock/transfer.h"

#include <string.h>

#define WORLDS    3
#define LOCKS     6 /* lock i: client i % 2, key i / 2 % 2 */
#define HISTORIES 200
#define STEPS     60

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

typedef struct world {
    harness h;
    rlk_lock locks[LOCKS];
    rlk_lease lease;
    bool detached;
    int64_t end_ms[LOCKS]; /* of the acquire under way */
    bool meddled;          /* somebody deleted a key: leases may outlive it */
    rlk_holder holders[LOCKS][RLK_MAX_NODES];
} world;

static world worlds[WORLDS];
static uint64_t numbers;
static unsigned locks; /* that are used: two, one a client, or all */

/* splitmix64 */
static uint64_t number(void)
{
    uint64_t z = (numbers += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t between(int64_t least, int64_t most)
{
    return least + (int64_t)(number() % (uint64_t)(most - least + 1));
}

static bool chance(int64_t percent)
{
    return between(1, 100) <= percent;
}

/* A time: of each order, and about the numbers at which 24, 31 and 32 bits end. */
static int64_t some_time(void)
{
    switch (between(0, 9)) {
    case 0:
        return between(0, 3);
    case 1:
    case 2:
        return between(0, 1000);
    case 3:
    case 4:
        return between(0, 60000);
    case 5:
        return between(1, 5) * RLKI_CLOCK_UNIT + between(-2, 2);
    case 6:
        return between(0, 24) * HOUR + between(0, 1000);
    case 7:
        return between(0, 26) * DAY + between(0, 1000);
    case 8:
        return (INT64_C(1) << 31) + between(-1000, 20000000);
    default:
        return (INT64_C(1) << between(24, 33)) + between(-3, 30000);
    }
}

static int64_t some_ttl(void)
{
    static const int64_t ttls[] = {5000, 30000, HOUR, 5 * HOUR, 3 * DAY, RLK_TTL_MAX};

    return ttls[between(0, COUNT_OF(ttls) - 1)];
}

static const char *key_of(unsigned lock)
{
    return lock / 2 % 2 == 0 ? "a" : "b";
}

/* ---- The worlds ---- */

static void world_open(world *w, uint64_t seed, unsigned nodes, int64_t offset_ms,
                       const rlk_lock_config *configs)
{
    unsigned i;

    memset(&w->h, 0, sizeof w->h);
    w->h.random = seed | 1;
    w->h.offset_ms = offset_ms;
    w->detached = false;
    w->meddled = false;
    harness_open(&w->h, nodes, 2);
    for (i = 0; i < nodes; i++)
        w->h.servers[i].automatic = true;
    harness_advance(&w->h, 0);
    for (i = 0; i < LOCKS; i++) {
        rlk_lock_config config = configs[i];

        assert_result(rlk_lock_init(&w->locks[i], &w->h.members[i % 2].client, key_of(i), &config),
                      RLK_OK);
        w->end_ms[i] = RLK_NEVER;
    }
}

/* The nodes on which the key is there, with this lock's token, until later than until_ms. */
static unsigned world_holding(world *w, unsigned lock, int64_t until_ms)
{
    char token[RLK_TOKEN_MAX + 1];
    unsigned holding = 0;
    unsigned i;

    assert_true(rlk_lock_token(&w->locks[lock], token, sizeof token) > 0);
    for (i = 0; i < w->h.nodes; i++) {
        const harness_entry *entry = harness_find(&w->h, &w->h.servers[i], key_of(lock));

        holding += entry != NULL && strcmp(entry->token, token) == 0 && entry->expiry_ms > until_ms;
    }
    return holding;
}

/* The law: as long as a lock says that it is held, a quorum of servers has its token. */
static void world_check(world *w)
{
    unsigned i;

    for (i = 0; i < LOCKS; i++) {
        const rlk_lock *lock = &w->locks[i];
        int64_t until_ms = rlk_valid_until_ms(lock);

        if (!rlk_is_held(lock))
            continue;
        assert_int_equal(rlk_remaining_ms(lock), until_ms - w->h.now_ms);
        assert_true(until_ms <= w->h.now_ms + RLK_TTL_MAX);
        if (!w->meddled)
            assert_true(world_holding(w, i, until_ms) > w->h.nodes / 2);
    }
}

/* After a tick no operation tries beyond its end, and none has ended before. */
static void world_check_ticked(world *w)
{
    unsigned i;

    for (i = 0; i < LOCKS; i++) {
        const rlk_lock *lock = &w->locks[i];
        bool tries = rlk_lock_operation(lock) == RLK_OP_ACQUIRE && lock->phase != RLKI_PHASE_SETTLE;

        assert_false(tries && w->h.now_ms >= w->end_ms[i]);
        assert_false(lock->state == RLKI_HELD && !rlk_is_held(lock));
    }
}

/* ---- What all worlds do, and see ---- */

#define EACH_WORLD(w) for (w = worlds; w < worlds + WORLDS; w++)

/* A number that is the same in all worlds. Not where many locks are used: those that are due at
 * once come in no order, and each takes the next random pause. */
static void same(const world *w, int64_t *first, int64_t value)
{
    if (w == worlds || locks > 2)
        *first = value;
    assert_int_equal(value, *first);
}

#define SAME(w, value)                                                                             \
    do {                                                                                           \
        static int64_t first_;                                                                     \
        same((w), &first_, (int64_t)(value));                                                      \
    } while (0)

/* Pulls one event in each world. False: no world has one. */
static bool see_event(void)
{
    bool any = false;
    world *w;

    EACH_WORLD(w)
    {
        rlk_event event;
        bool pulled;
        unsigned lock = 0;

        memset(&event, 0, sizeof event);
        pulled = rlk_client_next_event(&w->h.members[0].client, &event) ||
                 rlk_client_next_event(&w->h.members[1].client, &event);
        if (pulled)
            lock = (unsigned)(event.lock - w->locks);
        SAME(w, pulled);
        SAME(w, lock);
        SAME(w, event.type);
        SAME(w, event.operation);
        SAME(w, event.result);
        SAME(w, event.lost_cause);

        if (event.operation == RLK_OP_ACQUIRE && event.result == RLK_TIMED_OUT)
            assert_true(w->h.now_ms >= w->end_ms[lock]);
        any = any || pulled;
    }
    return any;
}

static int64_t deadline_of(const world *w, unsigned client)
{
    int64_t deadline_ms = rlk_client_deadline(&w->h.members[client].client);

    return deadline_ms == RLK_NEVER ? RLK_NEVER : deadline_ms - w->h.offset_ms;
}

static void see_lock(unsigned i)
{
    world *w;

    EACH_WORLD(w)
    {
        const rlk_lock *lock = &w->locks[i];

        SAME(w, rlk_lock_operation(lock));
        SAME(w, rlk_is_held(lock));
        SAME(w, rlk_is_held(lock) ? rlk_valid_until_ms(lock) - w->h.offset_ms : 0);
        SAME(w, rlk_remaining_ms(lock));
        SAME(w, rlk_held_ms(lock));
    }
}

/* ticked: nothing is due. */
static void see(bool ticked)
{
    world *w;
    unsigned i;

    while (ticked && see_event()) {
    }
    EACH_WORLD(w)
    {
        world_check(w);
        SAME(w, harness_commands(&w->h));

        if (!ticked)
            continue;
        world_check_ticked(w);
        SAME(w, deadline_of(w, 0));
        SAME(w, deadline_of(w, 1));
    }
    for (i = 0; i < LOCKS; i++)
        see_lock(i);
}

/* A sleep: nothing ticks before its end, and then once or not at all. */
static void sleeps(int64_t ms, bool tick)
{
    world *w;

    EACH_WORLD(w)
    {
        w->h.now_ms += ms;
        if (tick)
            harness_advance(&w->h, 0);
    }
    see(tick);
}

static void passes(void)
{
    int64_t ms = some_time();
    world *w;

    if (ms > 60000 || chance(30)) {
        sleeps(ms, chance(60)); /* else whatever comes next finds the process just awake */
        return;
    }
    EACH_WORLD(w)
    harness_advance(&w->h, ms); /* a loop that serves each deadline */
    see(true);
}

static void begins(void)
{
    unsigned lock = (unsigned)between(0, locks - 1);
    int64_t kind = between(0, 9);
    int64_t time_ms = some_time();
    int64_t wait_ms = chance(20) ? (chance(50) ? RLK_TRY : RLK_FOREVER) : time_ms + 1;
    world *w;

    if (chance(10))
        wait_ms = (time_ms + 1) * 200;
    EACH_WORLD(w)
    {
        rlk_lock *it = &w->locks[lock];
        rlk_result result;

        switch (kind) {
        case 0:
            result = rlk_release_start(it);
            break;
        case 1:
            result = rlk_extend_start(it, time_ms);
            break;
        case 2:
            result = rlk_renew_start(it, time_ms);
            break;
        case 3:
            result = rlk_check_start(it);
            break;
        case 4:
            result = rlk_cancel(it);
            break;
        case 5:
            result = rlk_query_start(it, w->holders[lock], RLK_MAX_NODES);
            break;
        default:
            result = rlk_acquire_start(it, wait_ms);
            if (result == RLK_PENDING)
                w->end_ms[lock] = wait_ms == RLK_TRY || wait_ms == RLK_FOREVER
                                      ? RLK_NEVER
                                      : w->h.now_ms + wait_ms;
            break;
        }
        SAME(w, result);
    }
}

static void moves(void)
{
    unsigned from = (unsigned)between(0, locks - 1);
    unsigned to = from / 2 * 2 + (unsigned)between(0, 1);
    world *w;

    EACH_WORLD(w)
    {
        rlk_result result;

        if (!w->detached) {
            result = rlk_lock_detach(&w->locks[from], &w->lease);
            w->detached = result == RLK_OK;
        } else {
            result = rlk_lock_attach(&w->locks[to], &w->lease);
            if (result != RLK_E_STATE && result != RLK_E_KEY)
                w->detached = false;
        }
        SAME(w, result);
    }
}

static void happens(void)
{
    unsigned node = (unsigned)between(0, worlds[0].h.nodes - 1);
    unsigned client = (unsigned)between(0, 1);
    unsigned key = (unsigned)between(0, 3);
    int64_t kind = between(0, 4);
    int64_t ttl_ms = chance(30) ? -1 : some_time() + 1;
    world *w;

    EACH_WORLD(w)
    {
        harness_link *link = &w->h.members[client].links[node];

        switch (kind) {
        case 0:
            harness_cut_link(link);
            break;
        case 1:
            w->h.servers[node].automatic = !w->h.servers[node].automatic;
            break;
        case 2:
            w->h.servers[node].refuses = !w->h.servers[node].refuses;
            break;
        case 3:
            if (harness_find(&w->h, &w->h.servers[node], key_of(key)) == NULL)
                harness_put(&w->h, node, key_of(key), "foreign", ttl_ms);
            break;
        default:
            if (harness_find(&w->h, &w->h.servers[node], key_of(key)) != NULL) {
                w->meddled = true;
                harness_delete(&w->h, node, key_of(key));
            }
            break;
        }
    }
}

static void history(uint64_t seed)
{
    int64_t unit_ms = RLKI_CLOCK_UNIT;
    unsigned nodes;
    rlk_lock_config configs[LOCKS];
    unsigned i;

    numbers = seed;
    locks = chance(60) ? 2 : LOCKS;
    nodes = chance(50) ? 3 : 1;
    for (i = 0; i < LOCKS; i++) {
        configs[i] = rlk_lock_config_default();
        configs[i].ttl_ms = some_ttl();
        configs[i].auto_renew = chance(40);
        configs[i].report_ms = RLK_TIME_LIMIT_MAX;
        if (chance(20))
            configs[i].max_hold_ms =
                configs[i].ttl_ms + between(0, RLK_TTL_MAX - configs[i].ttl_ms);
        if (chance(30))
            configs[i].recheck_max_ms = between(1, RLK_TIME_LIMIT_MAX);
        if (chance(20))
            configs[i].node_timeout_ms = configs[i].ttl_ms / 4 < RLK_TIME_LIMIT_MAX
                                             ? configs[i].ttl_ms / 4
                                             : RLK_TIME_LIMIT_MAX;
    }
    for (i = 0; i < WORLDS; i++) {
        static const int64_t begins_ms[] = {0,
                                            -HARNESS_START,
                                            -HARNESS_START - 1,
                                            INT64_C(1) << 31,
                                            -(INT64_C(1) << 31),
                                            INT64_C(1) << 60,
                                            -(INT64_C(1) << 60)};
        int64_t offset_ms = begins_ms[between(0, COUNT_OF(begins_ms) - 1)];

        if (i > 0)
            offset_ms += between(0, unit_ms);
        if (locks > 2 && chance(50)) /* it begins anew soon */
            offset_ms = (i + 1) * unit_ms - HARNESS_START - between(1, 100000);
        world_open(&worlds[i], seed, nodes, i > 0 || locks > 2 ? offset_ms : 0, configs);
    }
    see(true);
    for (i = 0; i < STEPS; i++) {
        int64_t what = between(0, 99);

        if (what < 45)
            passes();
        else if (what < 85)
            begins();
        else if (what < 90)
            moves();
        else
            happens();
        if (chance(80)) {
            world *w;

            EACH_WORLD(w)
            harness_advance(&w->h, 0);
            see(true);
        }
    }
}

static void test_epoch_random_where_a_clock_begins_changes_nothing(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, HISTORIES); i++)
        history(((uint64_t)support_random_seed() << 20) + i + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epoch_random_where_a_clock_begins_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
