/* SPDX-License-Identifier: MIT
 *
 * From one holder to the next: the time from the call of release to the moment when another client
 * that waited has the lock. The case is the number of waiters. Unit: a hand-off.
 *
 * Holder and waiters are clients in one loop, by one clock: what is compared is how they learn that
 * the lock is free, and a process for each would make it a benchmark of the scheduler. A round:
 *   1. one has it, the others begin to wait, one after the other, so that pollers are out of step;
 *   2. for a while nothing happens: what does waiting alone cost the server?
 *   3. hand-offs. Who had the lock waits again as soon as the next one has it; that one keeps it
 *      until the rest got their no, and for a random time: where they poll, as long as it takes
 *      until one of them tries, so that it is released at any moment of that;
 *   4. nobody waits again: each waiter gets the lock once, and releases it at once.
 * Notes of a round: commands of 2; nanoseconds of 2; commands of 3; nanoseconds of 4, from the
 * first release until the last waiter has it; nanoseconds of each hand-off of 3.
 */
#define _GNU_SOURCE
#include "handoff.h"

#include "floor.h"
#include "patience.h"
#include "rounds.h"

#include "resplock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HANDOFF_MS        INT64_C(1000000)
#define HANDOFF_APART_NS  (1 * HANDOFF_MS)   /* beginnings of waiters */
#define HANDOFF_IDLE_NS   (20 * HANDOFF_MS)  /* of 2., for each waiter */
#define HANDOFF_HOLD_NS   INT64_C(500000)    /* of 3.: at least, and */
#define HANDOFF_HERD_NS   INT64_C(40000)     /* for each waiter that must get its no, and */
#define HANDOFF_RANDOM_NS INT64_C(500000)    /* a random part of this, or of what pollers need */
#define HANDOFF_ROUND_NS  (400 * HANDOFF_MS) /* of 3.: then the round has fewer hand-offs */
#define HANDOFF_STUCK_NS  (PATIENCE_MS * HANDOFF_MS)
#define HANDOFF_NOBODY    HANDOFF_CLIENTS

typedef enum handoff_state {
    HANDOFF_RESTING,
    HANDOFF_WAITING,
    HANDOFF_HOLDING,
    HANDOFF_RELEASING,
} handoff_state;

static struct {
    const handoff_scheme *scheme;
    int control;      /* asks the server what it did */
    unsigned clients; /* of this round */
    unsigned next;    /* who is served first after the next poll */
    unsigned holder;  /* or nobody */
    int64_t had_ns;   /* since when */
    uint64_t random;
    handoff_state states[HANDOFF_CLIENTS];
    struct pollfd fds[HANDOFF_CLIENTS];
    int64_t due_ns[HANDOFF_CLIENTS];
} handoff;

int64_t handoff_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- The loop ---------------------------------------------------------------------------- */

static void handoff_watch(unsigned client)
{
    handoff.scheme->watch(client, &handoff.fds[client], &handoff.due_ns[client]);
}

static void handoff_acquire(unsigned client)
{
    rounds_require(handoff.states[client] == HANDOFF_RESTING);
    handoff.states[client] = HANDOFF_WAITING;
    handoff.scheme->acquire(client);
    handoff_watch(client);
}

/* By who has it; since when it is under way. */
static int64_t handoff_release(void)
{
    unsigned client = handoff.holder;
    int64_t begin_ns;

    rounds_require(client != HANDOFF_NOBODY && handoff.states[client] == HANDOFF_HOLDING);
    handoff.states[client] = HANDOFF_RELEASING;
    handoff.holder = HANDOFF_NOBODY;
    begin_ns = handoff_now_ns();
    handoff.scheme->release(client);
    handoff_watch(client);
    return begin_ns;
}

/* True: it has the lock now. */
static bool handoff_serve(unsigned client)
{
    handoff_event event = handoff.scheme->serve(client, &handoff.fds[client]);

    if (event == HANDOFF_ACQUIRED) {
        handoff.had_ns = handoff_now_ns();
        rounds_require(handoff.holder == HANDOFF_NOBODY); /* never two */
        rounds_require(handoff.states[client] == HANDOFF_WAITING);
        handoff.states[client] = HANDOFF_HOLDING;
        handoff.holder = client;
    } else if (event == HANDOFF_RELEASED) {
        rounds_require(handoff.states[client] == HANDOFF_RELEASING);
        handoff.states[client] = HANDOFF_RESTING;
    }
    handoff_watch(client);
    return event == HANDOFF_ACQUIRED;
}

/* Waits for the first thing to do, until `until_ns`, and does what there is; or less, when
 * somebody gets the lock: the rest comes next time, beginning with the neighbour. */
static void handoff_turn(int64_t until_ns)
{
    struct timespec left = {0};
    int64_t now_ns;
    unsigned i;

    for (i = 0; i < handoff.clients; i++)
        until_ns = handoff.due_ns[i] < until_ns ? handoff.due_ns[i] : until_ns;
    now_ns = handoff_now_ns();
    if (until_ns > now_ns) {
        left.tv_sec = (time_t)((until_ns - now_ns) / INT64_C(1000000000));
        left.tv_nsec = (long)((until_ns - now_ns) % INT64_C(1000000000));
    }
    rounds_require(ppoll(handoff.fds, handoff.clients, &left, NULL) >= 0);
    now_ns = handoff_now_ns();
    for (i = 0; i < handoff.clients; i++) {
        unsigned client = handoff.next;

        handoff.next = client + 1 < handoff.clients ? client + 1 : 0;
        if ((handoff.fds[client].revents != 0 || handoff.due_ns[client] <= now_ns) &&
            handoff_serve(client))
            return;
    }
}

static void handoff_pass(int64_t ns)
{
    int64_t until_ns = handoff_now_ns() + ns;

    while (handoff_now_ns() < until_ns)
        handoff_turn(until_ns);
}

/* Until somebody has it. */
static void handoff_await_holder(void)
{
    int64_t until_ns = handoff_now_ns() + HANDOFF_STUCK_NS;

    while (handoff.holder == HANDOFF_NOBODY) {
        handoff_turn(until_ns);
        rounds_require(handoff_now_ns() < until_ns);
    }
}

/* Until its release is confirmed. */
static void handoff_await_rest(unsigned client)
{
    int64_t until_ns = handoff_now_ns() + HANDOFF_STUCK_NS;

    while (handoff.states[client] != HANDOFF_RESTING) {
        handoff_turn(until_ns);
        rounds_require(handoff_now_ns() < until_ns);
    }
}

/* ---- The server's commands --------------------------------------------------------------- */

static unsigned long handoff_calls(const char *stats, const char *name)
{
    const char *line = strstr(stats, name);

    return line != NULL ? strtoul(line + strlen(name), NULL, 10) : 0;
}

/* Commands that clients sent to the server so far. */
static unsigned long handoff_commands(void)
{
    static const void *const argv[] = {"INFO", "commandstats"};
    static const size_t lens[] = {4, 12};
    static uint8_t buf[32768];
    char stats[sizeof buf];
    const char *at = stats;
    unsigned long sum = 0;
    floor_token reply;

    floor_write(handoff.control, buf, floor_encode(buf, COUNT_OF(argv), argv, lens));
    floor_read(handoff.control, buf, sizeof buf, &reply);
    rounds_require(reply.type == '$' && reply.data != NULL);
    memcpy(stats, reply.data, reply.len);
    stats[reply.len] = '\0';
    while ((at = strstr(at, ":calls=")) != NULL) {
        at += sizeof ":calls=" - 1;
        sum += strtoul(at, NULL, 10);
    }
    /* not those of the asking, nor the GET and DEL of each release, which its script calls */
    return sum - handoff_calls(stats, "cmdstat_info:calls=") -
           2 * handoff_calls(stats, "cmdstat_evalsha:calls=");
}

/* ---- A round ----------------------------------------------------------------------------- */

/* splitmix64: the same in every run. */
static int64_t handoff_random(int64_t below)
{
    uint64_t z = (handoff.random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (int64_t)((z ^ (z >> 31)) % (uint64_t)below);
}

static int64_t handoff_hold_ns(void)
{
    return HANDOFF_HOLD_NS + HANDOFF_HERD_NS * (handoff.clients - 1);
}

static void handoff_begin(unsigned waiters)
{
    unsigned i;

    handoff.clients = waiters + 1;
    handoff.next = 0;
    handoff.holder = HANDOFF_NOBODY;
    for (i = 0; i < handoff.clients; i++)
        handoff_watch(i);
    handoff_acquire(0);
    handoff_await_holder();
    for (i = 1; i < handoff.clients; i++) {
        handoff_acquire(i);
        handoff_pass(HANDOFF_APART_NS);
    }
}

static void handoff_idle(void)
{
    unsigned long commands;
    int64_t begin_ns;

    handoff_pass(handoff_hold_ns());
    commands = handoff_commands();
    begin_ns = handoff_now_ns();
    handoff_pass(HANDOFF_IDLE_NS * (handoff.clients - 1));
    rounds_note(handoff_commands() - commands);
    rounds_note((uint64_t)(handoff_now_ns() - begin_ns));
}

/* Returns how many there were. */
static unsigned long handoff_hand_on(unsigned long units, int64_t *laps)
{
    int64_t try_ns = handoff.scheme->pause_ns / (handoff.clients - 1);
    int64_t random_ns = try_ns > HANDOFF_RANDOM_NS ? try_ns : HANDOFF_RANDOM_NS;
    int64_t end_ns = handoff_now_ns() + HANDOFF_ROUND_NS;
    unsigned long i;

    for (i = 0; i < units && handoff_now_ns() < end_ns; i++) {
        unsigned former = handoff.holder;
        int64_t begin_ns;

        handoff_pass(handoff_random(random_ns));
        begin_ns = handoff_release();
        handoff_await_holder();
        laps[i] = handoff.had_ns - begin_ns;
        handoff_await_rest(former);
        handoff_acquire(former);
        handoff_pass(handoff_hold_ns());
    }
    return i;
}

/* Returns the time that it takes. */
static int64_t handoff_drain(void)
{
    int64_t begin_ns = handoff_release();
    int64_t drained_ns;
    unsigned i;

    for (i = 1; i < handoff.clients; i++) {
        handoff_await_holder();
        if (i + 1 < handoff.clients)
            (void)handoff_release();
    }
    drained_ns = handoff.had_ns - begin_ns;
    (void)handoff_release();
    for (i = 0; i < handoff.clients; i++)
        handoff_await_rest(i);
    return drained_ns;
}

static unsigned long handoff_run(const char *name, unsigned long units)
{
    static int64_t laps[ROUNDS_NOTES - 4];
    unsigned waiters = (unsigned)atoi(name);
    unsigned long commands;
    unsigned long i;

    rounds_require(waiters >= 1 && waiters <= HANDOFF_WAITERS);
    rounds_require(units >= 1 && units <= COUNT_OF(laps));
    handoff_begin(waiters);
    handoff_idle();
    commands = handoff_commands();
    units = handoff_hand_on(units, laps);
    rounds_note(handoff_commands() - commands);
    rounds_note((uint64_t)handoff_drain());
    for (i = 0; i < units; i++)
        rounds_note((uint64_t)laps[i]);
    return units;
}

static void handoff_open(const handoff_scheme *scheme, char *const *addresses, size_t count)
{
    unsigned i;

    rounds_require(count == 1);
    handoff.scheme = scheme;
    handoff.control = floor_connect(addresses[0]);
    for (i = 0; i < HANDOFF_CLIENTS; i++)
        scheme->open(i, addresses[0]);
}

/* ---- resplock ---------------------------------------------------------------------------- */

static struct {
    rlk_posix_client clients[HANDOFF_CLIENTS];
    rlk_lock locks[HANDOFF_CLIENTS];
    char url[128];
} handoff_rlk;

static const handoff_scheme handoff_resplock;

static void handoff_rlk_open(unsigned client, const char *address)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = HANDOFF_TTL_MS;
    config.node_timeout_ms = PATIENCE_NODE_MS;
    (void)snprintf(handoff_rlk.url, sizeof handoff_rlk.url, "%s%s",
                   address[0] == '/' ? "unix://" : "redis://127.0.0.1:", address);
    rounds_require(rlk_posix_open(&handoff_rlk.clients[client], handoff_rlk.url, &patience) ==
                   RLK_OK);
    rounds_require(rlk_lock_init(&handoff_rlk.locks[client], &handoff_rlk.clients[client].client,
                                 handoff_resplock.key, &config) == RLK_OK);
}

static void handoff_rlk_acquire(unsigned client)
{
    rounds_require(rlk_acquire_start(&handoff_rlk.locks[client], RLK_FOREVER) == RLK_PENDING);
}

static void handoff_rlk_release(unsigned client)
{
    rounds_require(rlk_release_start(&handoff_rlk.locks[client]) == RLK_PENDING);
}

static handoff_event handoff_rlk_serve(unsigned client, const struct pollfd *fd)
{
    rlk_event event;

    rounds_require(rlk_posix_service(&handoff_rlk.clients[client], fd, fd->fd >= 0) == RLK_OK);
    if (!rlk_client_next_event(&handoff_rlk.clients[client].client, &event))
        return HANDOFF_NOTHING;
    rounds_require(event.result == RLK_OK);
    rounds_require(event.type <= RLK_EV_RESULT && event.result == RLK_OK);
    return event.type == RLK_EV_ACQUIRED ? HANDOFF_ACQUIRED : HANDOFF_RELEASED;
}

static void handoff_rlk_watch(unsigned client, struct pollfd *fd, int64_t *due_ns)
{
    int timeout_ms;

    if (rlk_posix_prepare(&handoff_rlk.clients[client], fd, 1, &timeout_ms) == 0)
        fd->fd = -1;
    *due_ns = timeout_ms < 0 ? HANDOFF_NEVER : handoff_now_ns() + timeout_ms * HANDOFF_MS;
}

static const handoff_scheme handoff_resplock = {
    .key = "lock:handoff:resplock",
    .open = handoff_rlk_open,
    .acquire = handoff_rlk_acquire,
    .release = handoff_rlk_release,
    .serve = handoff_rlk_serve,
    .watch = handoff_rlk_watch,
};

static void handoff_open_resplock(char *const *addresses, size_t count)
{
    handoff_open(&handoff_resplock, addresses, count);
}

static void handoff_open_tracking(char *const *addresses, size_t count)
{
    handoff_open(&handoff_tracking, addresses, count);
}

static void handoff_open_poller(char *const *addresses, size_t count)
{
    handoff_open(&handoff_poller, addresses, count);
}

const rounds_contender handoff_contenders[3] = {
    {"handoff", "tracking", handoff_open_tracking, handoff_run},
    {"handoff", "poller", handoff_open_poller, handoff_run},
    {"handoff", "resplock", handoff_open_resplock, handoff_run},
};
