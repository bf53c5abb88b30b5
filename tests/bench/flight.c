/* SPDX-License-Identifier: MIT
 *
 * Many locks at once on one connection: as soon as one was released it is acquired again, and as
 * many commands are in flight as there are locks. The case is their number. Unit: acquire and
 * release of one.
 */
#include "floor.h"
#include "patience.h"
#include "rounds.h"

#include "resplock.h"

#include <hiredis/async.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FLIGHT_MAX     1000
#define FLIGHT_KEY_LEN 9 /* "lock:0000" */
#define FLIGHT_TTL_MS  30000
#define FLIGHT_TTL     "30000"
#define FLIGHT_COMMAND 192 /* room for one */

#define FLIGHT_CONTENDER(name)                                                                     \
    {                                                                                              \
        "flight", #name, flight_open_##name, flight_run_##name                                     \
    }

/* A lock of the floor and of hiredis. */
typedef struct flight_lock {
    char key[FLIGHT_KEY_LEN + 1];
    char token[FLOOR_TOKEN];
    bool releasing;
} flight_lock;

static flight_lock flight_locks[FLIGHT_MAX];

/* Cycles of the round: to begin, and done. */
static struct {
    unsigned long left;
    unsigned long done;
} flight_cycles;

static unsigned flight_begin(const char *name, unsigned long units)
{
    unsigned number = (unsigned)atoi(name);

    rounds_require(number >= 1 && number <= FLIGHT_MAX);
    flight_cycles.left = units;
    flight_cycles.done = 0;
    return number;
}

/* One more cycle may begin. */
static bool flight_next(void)
{
    if (flight_cycles.left == 0)
        return false;
    flight_cycles.left--;
    return true;
}

static void flight_keys(void)
{
    unsigned i;

    for (i = 0; i < FLIGHT_MAX; i++)
        (void)snprintf(flight_locks[i].key, sizeof flight_locks[i].key, "lock:%04u", i % 10000);
}

/* The commands of a lock, as arguments with lengths. */
typedef struct flight_command {
    const void *argv[6];
    size_t lens[6];
    size_t argc;
} flight_command;

static flight_command flight_command_of(const flight_lock *lock, const char *digest)
{
    flight_command set = {{"SET", lock->key, lock->token, "NX", "PX", FLIGHT_TTL},
                          {3, FLIGHT_KEY_LEN, FLOOR_TOKEN, 2, 2, sizeof FLIGHT_TTL - 1},
                          6};
    flight_command release = {{"EVALSHA", digest, "1", lock->key, lock->token},
                              {7, FLOOR_DIGEST, 1, FLIGHT_KEY_LEN, FLOOR_TOKEN},
                              5};

    return lock->releasing ? release : set;
}

/* ---- Floor ------------------------------------------------------------------------------- */

static struct {
    int fd;
    char digest[FLOOR_DIGEST];
    flight_lock *sent[FLIGHT_MAX]; /* whose reply comes next: a ring */
    unsigned first;
    unsigned used;
    size_t out_len;
    size_t in_len;
    uint8_t out[FLIGHT_MAX * FLIGHT_COMMAND];
    uint8_t in[16384];
} flight_floor;

static void flight_open_floor(char *const *addresses, size_t count)
{
    rounds_require(count == 1);
    flight_keys();
    flight_floor.fd = floor_connect(addresses[0]);
    floor_load_script(flight_floor.fd, flight_floor.digest);
}

static void flight_floor_send(flight_lock *lock)
{
    flight_command command = flight_command_of(lock, flight_floor.digest);
    unsigned last = flight_floor.first + flight_floor.used++;

    flight_floor.sent[last < FLIGHT_MAX ? last : last - FLIGHT_MAX] = lock;
    flight_floor.out_len += floor_encode(flight_floor.out + flight_floor.out_len, command.argc,
                                         command.argv, command.lens);
}

static void flight_floor_acquire(flight_lock *lock)
{
    if (!flight_next())
        return;
    floor_token_draw(lock->token);
    lock->releasing = false;
    flight_floor_send(lock);
}

static void flight_floor_take(const floor_token *reply)
{
    flight_lock *lock = flight_floor.sent[flight_floor.first];

    rounds_require(flight_floor.used > 0);
    flight_floor.used--;
    if (++flight_floor.first == FLIGHT_MAX)
        flight_floor.first = 0;
    if (!lock->releasing) {
        rounds_require(reply->type == '+' && reply->len == 2 && memcmp(reply->data, "OK", 2) == 0);
        lock->releasing = true;
        flight_floor_send(lock);
        return;
    }
    rounds_require(reply->type == ':' && reply->value == 1);
    flight_cycles.done++;
    flight_floor_acquire(lock);
}

static void flight_floor_receive(void)
{
    floor_parser parser = {0};
    floor_token reply;
    size_t at = 0;
    ssize_t used;
    ssize_t got = recv(flight_floor.fd, flight_floor.in + flight_floor.in_len,
                       sizeof flight_floor.in - flight_floor.in_len, 0);

    rounds_require(got > 0);
    flight_floor.in_len += (size_t)got;
    while ((used = floor_next(&parser, flight_floor.in + at, flight_floor.in_len - at, &reply)) >
           0) {
        at += (size_t)used;
        flight_floor_take(&reply);
    }
    rounds_require(used == 0 && parser.depth == 0);
    flight_floor.in_len -= at;
    memmove(flight_floor.in, flight_floor.in + at, flight_floor.in_len);
}

static unsigned long flight_run_floor(const char *name, unsigned long units)
{
    unsigned number = flight_begin(name, units);
    unsigned i;

    for (i = 0; i < number; i++)
        flight_floor_acquire(&flight_locks[i]);
    while (flight_cycles.done < units) {
        floor_write(flight_floor.fd, flight_floor.out, flight_floor.out_len);
        flight_floor.out_len = 0;
        flight_floor_receive();
    }
    return units;
}

/* ---- hiredis, its asynchronous interface on poll() ---------------------------------------- */

static struct {
    redisAsyncContext *context;
    char digest[FLOOR_DIGEST];
    short events;
} flight_hiredis;

static void flight_hiredis_add_read(void *data)
{
    (void)data;
    flight_hiredis.events |= POLLIN;
}

static void flight_hiredis_del_read(void *data)
{
    (void)data;
    flight_hiredis.events &= ~POLLIN;
}

static void flight_hiredis_add_write(void *data)
{
    (void)data;
    flight_hiredis.events |= POLLOUT;
}

static void flight_hiredis_del_write(void *data)
{
    (void)data;
    flight_hiredis.events &= ~POLLOUT;
}

static void flight_hiredis_poll(void)
{
    struct pollfd fd = {flight_hiredis.context->c.fd, flight_hiredis.events, 0};

    rounds_require(poll(&fd, 1, -1) == 1);
    if ((fd.revents & POLLOUT) != 0)
        redisAsyncHandleWrite(flight_hiredis.context);
    if ((fd.revents & POLLIN) != 0)
        redisAsyncHandleRead(flight_hiredis.context);
}

static void flight_open_hiredis(char *const *addresses, size_t count)
{
    redisAsyncContext *context;
    int fd;

    rounds_require(count == 1);
    flight_keys();
    fd = floor_connect(addresses[0]);
    floor_load_script(fd, flight_hiredis.digest);
    context = addresses[0][0] == '/' ? redisAsyncConnectUnix(addresses[0])
                                     : redisAsyncConnect("127.0.0.1", atoi(addresses[0]));
    rounds_require(context != NULL && context->err == 0);
    context->ev.data = context;
    context->ev.addRead = flight_hiredis_add_read;
    context->ev.delRead = flight_hiredis_del_read;
    context->ev.addWrite = flight_hiredis_add_write;
    context->ev.delWrite = flight_hiredis_del_write;
    flight_hiredis.context = context;
    flight_hiredis.events = POLLOUT; /* connected */
}

static void flight_hiredis_reply(redisAsyncContext *context, void *data, void *user);

static void flight_hiredis_send(flight_lock *lock)
{
    flight_command command = flight_command_of(lock, flight_hiredis.digest);
    const char *argv[6];

    memcpy(argv, command.argv, sizeof argv);
    rounds_require(redisAsyncCommandArgv(flight_hiredis.context, flight_hiredis_reply, lock,
                                         (int)command.argc, argv, command.lens) == REDIS_OK);
}

static void flight_hiredis_acquire(flight_lock *lock)
{
    if (!flight_next())
        return;
    floor_token_draw(lock->token);
    lock->releasing = false;
    flight_hiredis_send(lock);
}

static void flight_hiredis_reply(redisAsyncContext *context, void *data, void *user)
{
    const redisReply *reply = data;
    flight_lock *lock = user;

    (void)context;
    rounds_require(reply != NULL);
    if (!lock->releasing) {
        rounds_require(reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0);
        lock->releasing = true;
        flight_hiredis_send(lock);
        return;
    }
    rounds_require(reply->type == REDIS_REPLY_INTEGER && reply->integer == 1);
    flight_cycles.done++;
    flight_hiredis_acquire(lock);
}

static unsigned long flight_run_hiredis(const char *name, unsigned long units)
{
    unsigned number = flight_begin(name, units);
    unsigned i;

    for (i = 0; i < number; i++)
        flight_hiredis_acquire(&flight_locks[i]);
    while (flight_cycles.done < units)
        flight_hiredis_poll();
    return units;
}

/* ---- resplock ---------------------------------------------------------------------------- */

static struct {
    rlk_posix_client posix;
    rlk_lock locks[FLIGHT_MAX];
    rlk_posix_memory memory;
    rlk_conn_entry ring[FLIGHT_MAX];
    uint8_t tx[FLIGHT_MAX * FLIGHT_COMMAND];
    uint8_t rx[16384];
    char url[128];
} flight_resplock;

static void flight_open_resplock(char *const *addresses, size_t count)
{
    const char *url = flight_resplock.url;
    rlk_lock_config config = rlk_lock_config_default();
    unsigned i;

    rounds_require(count == 1);
    flight_keys();
    (void)snprintf(flight_resplock.url, sizeof flight_resplock.url, "%s%s",
                   addresses[0][0] == '/' ? "unix://" : "redis://127.0.0.1:", addresses[0]);
    flight_resplock.memory.ring = flight_resplock.ring;
    flight_resplock.memory.ring_len = COUNT_OF(flight_resplock.ring);
    flight_resplock.memory.tx = flight_resplock.tx;
    flight_resplock.memory.tx_cap = sizeof flight_resplock.tx;
    flight_resplock.memory.rx = flight_resplock.rx;
    flight_resplock.memory.rx_cap = sizeof flight_resplock.rx;
    rounds_require(rlk_posix_open_nodes(&flight_resplock.posix, &url, &flight_resplock.memory, 1,
                                        &patience) == RLK_OK);
    config.ttl_ms = FLIGHT_TTL_MS;
    config.node_timeout_ms = PATIENCE_NODE_MS;
    for (i = 0; i < FLIGHT_MAX; i++)
        rounds_require(rlk_lock_init(&flight_resplock.locks[i], &flight_resplock.posix.client,
                                     flight_locks[i].key, &config) == RLK_OK);
}

static void flight_resplock_acquire(rlk_lock *lock)
{
    if (flight_next())
        rounds_require(rlk_acquire_start(lock, RLK_TRY) == RLK_PENDING);
}

static void flight_resplock_take(const rlk_event *event)
{
    rounds_require(event->result == RLK_OK);
    if (event->type == RLK_EV_ACQUIRED) {
        rounds_require(rlk_release_start(event->lock) == RLK_PENDING);
        return;
    }
    rounds_require(event->operation == RLK_OP_RELEASE && event->result == RLK_OK);
    flight_cycles.done++;
    flight_resplock_acquire(event->lock);
}

static unsigned long flight_run_resplock(const char *name, unsigned long units)
{
    rlk_posix_client *posix = &flight_resplock.posix;
    unsigned number = flight_begin(name, units);
    unsigned i;

    for (i = 0; i < number; i++)
        flight_resplock_acquire(&flight_resplock.locks[i]);
    while (flight_cycles.done < units) {
        struct pollfd fds[RLK_MAX_FDS];
        int timeout_ms;
        nfds_t n = rlk_posix_prepare(posix, fds, RLK_MAX_FDS, &timeout_ms);
        rlk_event event;

        rounds_require(poll(fds, n, timeout_ms) >= 0);
        rounds_require(rlk_posix_service(posix, fds, n) == RLK_OK);
        while (rlk_client_next_event(&posix->client, &event))
            flight_resplock_take(&event);
    }
    return units;
}

const rounds_contender flight_contenders[3] = {
    FLIGHT_CONTENDER(floor),
    FLIGHT_CONTENDER(hiredis),
    FLIGHT_CONTENDER(resplock),
};
