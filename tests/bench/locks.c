/* SPDX-License-Identifier: MIT
 *
 * Few and many locks on one client: does what happens to one cost more, the more there are? All of
 * them are held, and one after the other is released and acquired again, while a clock goes on
 * and moves their timers. The server is a few lines in this process, so that nothing else is
 * measured. The case is the number of locks. Unit: one event.
 */
#include "floor.h"
#include "rounds.h"

#include "resplock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCKS_MAX      100000
#define LOCKS_BUCKETS  65536 /* the caller's, for 100,000 locks: see rlk_client_config */
#define LOCKS_KEY_CAP  16
#define LOCKS_STRIDE   7919 /* a prime: every lock once, and not the next one in memory */
#define LOCKS_BEGIN_MS 1000000
#define LOCKS_EVENTS_MS                                                                            \
    20 /* events in a millisecond: none of 100000 waits for longer than its TTL */

static struct {
    rlk_posix_client posix;
    rlk_conn conn;
    rlk_conn_entry ring[RLK_CONN_RING_MIN];
    uint8_t tx[512];
    uint8_t rx[512];
    rlk_lock *locks;
    char (*keys)[LOCKS_KEY_CAP];
    unsigned number; /* locks that are held */
    unsigned at;     /* whose turn it is */
    unsigned events; /* of this millisecond */
    int64_t now_ms;
    uint64_t random;
} locks;

/* ---- Environment ------------------------------------------------------------------------- */

static int64_t locks_now_ms(void *context)
{
    (void)context;
    return locks.now_ms;
}

/* splitmix64: cheap, and the same in every run. */
static int locks_random(void *context, void *buf, size_t len)
{
    uint8_t *out = buf;

    (void)context;
    while (len > 0) {
        uint64_t z = (locks.random += UINT64_C(0x9e3779b97f4a7c15));
        size_t n = len < sizeof z ? len : sizeof z;

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        memcpy(out, &z, n);
        out += n;
        len -= n;
    }
    return 0;
}

/* ---- The server -------------------------------------------------------------------------- */

static void locks_say(const char *reply)
{
    size_t cap;
    uint8_t *room = rlk_conn_rx_buf(&locks.conn, &cap);
    size_t len = strlen(reply);

    rounds_require(len <= cap);
    memcpy(room, reply, len);
    rlk_conn_rx_ack(&locks.conn, len, locks.now_ms);
}

/* The handshake: commands one after the other. What is optional is refused. */
static void locks_shake_hands(const uint8_t *bytes, size_t len)
{
    floor_parser parser = {0};
    floor_token token;
    ssize_t used;
    bool is_first = false;

    for (; len > 0; bytes += used, len -= (size_t)used) {
        used = floor_next(&parser, bytes, len, &token);
        rounds_require(used > 0);
        if (is_first)
            locks_say(token.len == 6 && memcmp(token.data, "SCRIPT", 6) == 0 ? "$2\r\nok\r\n"
                                                                             : "-ERR refused\r\n");
        is_first = token.type == '*';
    }
}

/* Moves bytes until there are no more. */
static void locks_serve(void)
{
    while ((rlk_conn_wants(&locks.conn) & RLK_WANT_WRITE) != 0) {
        static const char set[] = "*6\r\n$3\r\nSET";
        static const char evalsha[] = "*5\r\n$7\r\nEVALSHA";
        size_t len;
        const uint8_t *bytes = rlk_conn_tx_buf(&locks.conn, &len);
        uint8_t copy[4096]; /* a script is longer than tx: it leaves from where it is */

        rounds_require(len >= sizeof evalsha);
        if (rlk_conn_get_state(&locks.conn) == RLK_CONN_READY) {
            bool is_set = memcmp(bytes, set, sizeof set - 1) == 0;

            rounds_require(is_set || memcmp(bytes, evalsha, sizeof evalsha - 1) == 0);
            rlk_conn_tx_ack(&locks.conn, len, locks.now_ms);
            locks_say(is_set ? "+OK\r\n" : ":1\r\n");
        } else {
            rounds_require(len <= sizeof copy);
            memcpy(copy, bytes, len);
            rlk_conn_tx_ack(&locks.conn, len, locks.now_ms);
            locks_shake_hands(copy, len);
        }
    }
}

/* ---- The application --------------------------------------------------------------------- */

static void locks_open(char *const *addresses, size_t count)
{
    rlk_conn *conns[] = {&locks.conn};
    rlk_conn_config config = {
        .url = {.host = "server", .host_len = 6, .port = 6379},
        .ring = locks.ring,
        .ring_len = RLK_CONN_RING_MIN,
        .tx = locks.tx,
        .tx_cap = sizeof locks.tx,
        .rx = locks.rx,
        .rx_cap = sizeof locks.rx,
        .resp2_only = true,
    };
    rlk_client_config client_config = {.env = {.now_ms = locks_now_ms, .random = locks_random},
                                       .buckets_len = LOCKS_BUCKETS};

    (void)addresses;
    rounds_require(count == 0);
    locks.now_ms = LOCKS_BEGIN_MS;
    client_config.buckets = calloc(LOCKS_BUCKETS, sizeof *client_config.buckets);
    rounds_require(client_config.buckets != NULL);
    rlk_client_conn_config(&locks.posix.client, &config);
    rounds_require(rlk_conn_init(&locks.conn, &config, locks.now_ms) == RLK_OK);
    rounds_require(rlk_client_init(&locks.posix.client, conns, 1, &client_config) == RLK_OK);
    rlk_conn_connecting(&locks.conn, locks.now_ms);
    rlk_conn_connected(&locks.conn, 0, NULL, locks.now_ms);
    locks_serve();
    rounds_require(rlk_conn_get_state(&locks.conn) == RLK_CONN_READY);
    locks.locks = calloc(LOCKS_MAX, sizeof *locks.locks);
    locks.keys = calloc(LOCKS_MAX, sizeof *locks.keys);
    rounds_require(locks.locks != NULL && locks.keys != NULL);
}

/* What was started on `lock` comes to this event. */
static void locks_expect(const rlk_lock *lock, rlk_operation operation)
{
    rlk_event event;

    locks_serve();
    rounds_require(rlk_client_next_event(&locks.posix.client, &event));
    rounds_require(event.lock == lock && event.operation == operation && event.result == RLK_OK);
    if (++locks.events < LOCKS_EVENTS_MS)
        return;
    locks.events = 0;
    locks.now_ms++;
    rlk_client_tick(&locks.posix.client);
}

static void locks_acquire(rlk_lock *lock)
{
    rounds_require(rlk_acquire_start(lock, RLK_TRY) == RLK_PENDING);
    locks_expect(lock, RLK_OP_ACQUIRE);
}

static void locks_release(rlk_lock *lock)
{
    rounds_require(rlk_release_start(lock) == RLK_PENDING);
    locks_expect(lock, RLK_OP_RELEASE);
}

/* Acquires until `number` locks are held. */
static void locks_grow(unsigned number)
{
    for (; locks.number < number; locks.number++) {
        rlk_lock *lock = &locks.locks[locks.number];
        char *key = locks.keys[locks.number];

        (void)snprintf(key, LOCKS_KEY_CAP, "lock:%u", locks.number);
        rounds_require(rlk_lock_init(lock, &locks.posix.client, key, NULL) == RLK_OK);
        locks_acquire(lock);
    }
}

static unsigned long locks_run(const char *name, unsigned long units)
{
    unsigned number = (unsigned)atoi(name);
    unsigned long i;

    rounds_require(number >= locks.number && number <= LOCKS_MAX);
    locks_grow(number);
    for (i = 0; i < units; i += 2) {
        rlk_lock *lock = &locks.locks[locks.at];

        rounds_require(rlk_is_held(lock));
        locks_release(lock);
        locks_acquire(lock);
        locks.at = (locks.at + LOCKS_STRIDE) % number;
    }
    return i;
}

const rounds_contender locks_contenders[1] = {
    {"locks", "resplock", locks_open, locks_run},
};
