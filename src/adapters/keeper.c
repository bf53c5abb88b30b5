/* SPDX-License-Identifier: MIT
 *
 * A thread that renews leases. Of one lease:
 *
 *            keep             the thread took it over             lost
 *     IDLE -------> GIVEN ------------------------------> KEPT ------------> OVER
 *      ^              | |                                  |                  |
 *      |              | | it can't (an error)              | wanted           | wanted: closed
 *      |              | +---------> REFUSED                v                  v
 *      |              |                |               RETURNED              GONE
 *      |              |                |                   |                  |
 *      +--------------+----------------+-------------------+------------------+
 *                                  give_back
 *
 * In GIVEN, REFUSED and RETURNED the lease is in kept->lease. In KEPT kept->lock has it, and in
 * OVER undoes it: there that lock is open, and belongs to the thread, which gives it up when it is
 * wanted. Everything that two threads touch is under the mutex. The thread waits outside of it, and
 * rlk_posix_interrupt ends its wait. What others see of a validity is a number that the thread
 * writes after each wait, from a clock that it reads before: so it is never later than what the
 * lock itself says.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#elif !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "resplock/adapters/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    KEPT_IDLE,
    KEPT_GIVEN,
    KEPT_KEPT,
    KEPT_RETURNED,
    KEPT_REFUSED,
    KEPT_OVER,
    KEPT_GONE
};

/* A wait that fails at once (ENOMEM, say) is tried again after this time. */
#define KEEPER_PAUSE_MS 20

/* ---- The thread ---- */

/* Notifies of a lease that is renewed no more. */
static void keeper_notify(rlk_keeper *keeper, rlk_kept *kept, int state, rlk_result result)
{
    kept->state = state;
    kept->result = result;
    kept->reported = false;
    while (write(keeper->loss[1], "", 1) < 0 && errno == EINTR) {
    }
}

/* Takes a lease over, with the times of the lock that it comes from. */
static void keeper_take(rlk_keeper *keeper, rlk_kept *kept)
{
    rlk_lock_config config;
    rlk_result result;

    memset(&config, 0, sizeof config);
    config.ttl_ms = kept->lease.ttl_ms;
    config.node_timeout_ms = kept->lease.node_timeout_ms;
    config.max_hold_ms = kept->lease.max_hold_ms;
    config.token_prefix = kept->lease.prefix;
    config.user = kept;
    config.auto_renew = true;
    result = rlk_lock_init_n(&kept->lock, &keeper->posix.client, kept->lease.key,
                             kept->lease.key_len, &config);
    if (result == RLK_OK) {
        result = rlk_lock_attach(&kept->lock, &kept->lease);
    }
    kept->state = KEPT_KEPT;
    if (result != RLK_OK && result != RLK_LOST) { /* of a loss an event follows */
        (void)rlk_lock_close(&kept->lock);
        keeper_notify(keeper, kept, KEPT_REFUSED, result);
    }
}

/* Losses. The other events are nobody's business: what follows from them is in the validity. */
static void keeper_events(rlk_keeper *keeper)
{
    rlk_event event;

    while (rlk_client_next_event(&keeper->posix.client, &event)) {
        if (event.type == RLK_EV_LOST) {
            keeper_notify(keeper, (rlk_kept *)event.user, KEPT_OVER, RLK_LOST);
        }
    }
}

/* Gives a lease up, with the lock that has it. */
static void keeper_give_up(rlk_kept *kept)
{
    if (kept->state == KEPT_KEPT && rlk_lock_detach(&kept->lock, &kept->lease) == RLK_OK) {
        kept->state = KEPT_RETURNED;
        kept->until_ms = kept->lease.until_ms;
    } else {
        kept->state = KEPT_GONE;
        kept->result = RLK_LOST;
        kept->until_ms = 0;
    }
    (void)rlk_lock_close(&kept->lock);
}

static void keeper_turn(rlk_keeper *keeper)
{
    rlk_kept *kept;

    for (kept = keeper->first; kept != NULL; kept = kept->next) {
        if (kept->state == KEPT_GIVEN && !keeper->stopping) {
            keeper_take(keeper, kept);
        }
    }
    keeper_events(keeper);
    for (kept = keeper->first; kept != NULL; kept = kept->next) {
        int64_t now_ms = rlk_system_now_ms(NULL);
        bool open = kept->state == KEPT_KEPT || kept->state == KEPT_OVER;

        if (open && (kept->wanted || keeper->stopping)) {
            keeper_give_up(kept);
        } else if (open) {
            int64_t left_ms = rlk_remaining_ms(&kept->lock);

            kept->until_ms = left_ms > 0 ? now_ms + left_ms : 0;
        }
    }
    (void)pthread_cond_broadcast(&keeper->moved);
}

static void keeper_wait(rlk_keeper *keeper)
{
    rlk_client *client = &keeper->posix.client;
    struct timespec pause = {0, KEEPER_PAUSE_MS * 1000000L};
    int answer = client->env.wait(client->env.context, client, rlk_client_deadline(client));

    if (answer != 0 && answer != (int)RLK_CANCELLED) {
        (void)nanosleep(&pause, NULL);
    }
    rlk_client_tick(client);
}

static void *keeper_run(void *argument)
{
    rlk_keeper *keeper = (rlk_keeper *)argument;
    bool stopping;

    do {
        (void)pthread_mutex_lock(&keeper->mutex);
        keeper_turn(keeper);
        stopping = keeper->stopping;
        keeper->ended = stopping;
        (void)pthread_mutex_unlock(&keeper->mutex);
        if (!stopping) {
            keeper_wait(keeper);
        }
    } while (!stopping);
    return NULL;
}

/* ---- Start and stop ---- */

static bool keeper_pipe(rlk_keeper *keeper)
{
    unsigned i;

    if (pipe(keeper->loss) != 0) {
        return false;
    }
    for (i = 0; i < 2; i++) {
        (void)fcntl(keeper->loss[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(keeper->loss[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

static void keeper_close(rlk_keeper *keeper)
{
    rlk_posix_close(&keeper->posix);
    (void)close(keeper->loss[0]);
    (void)close(keeper->loss[1]);
    keeper->loss[0] = -1;
    keeper->loss[1] = -1;
}

/* Without signals: handlers run in the program's threads. */
static bool keeper_thread(rlk_keeper *keeper)
{
    sigset_t all;
    sigset_t before;
    bool good;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    good = pthread_create(&keeper->thread, NULL, keeper_run, keeper) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return good;
}

static rlk_result keeper_open(rlk_keeper *keeper, const char *const *urls, rlk_posix_memory *memory,
                              size_t nodes, const rlk_posix_options *options)
{
    rlk_posix_options own;

    memset(&own, 0, sizeof own);
    if (options != NULL) {
        own = *options;
        memset(&own.env, 0, sizeof own.env);
        own.buckets = NULL; /* another client's */
        own.buckets_len = 0;
    }
    own.interrupts = true;
    own.return_on_signal = false;
    if (urls == NULL || (memory == NULL && nodes != 1)) {
        return RLK_E_ARGUMENT;
    }
    if (memory == NULL) {
        return rlk_posix_open(&keeper->posix, urls[0], &own);
    }
    return rlk_posix_open_nodes(&keeper->posix, urls, memory, nodes, &own);
}

rlk_result rlk_keeper_start(rlk_keeper *keeper, const char *const *urls, rlk_posix_memory *memory,
                            size_t nodes, const rlk_posix_options *options)
{
    rlk_result result;

    if (keeper == NULL) {
        return RLK_E_ARGUMENT;
    }
    memset(keeper, 0, sizeof *keeper);
    keeper->loss[0] = -1;
    keeper->loss[1] = -1;
    keeper->ended = true;
    result = keeper_open(keeper, urls, memory, nodes, options);
    if (result != RLK_OK) {
        return result;
    }
    if (!keeper_pipe(keeper)) {
        rlk_posix_close(&keeper->posix);
        return RLK_E_PIPE;
    }
    (void)pthread_mutex_init(&keeper->mutex, NULL);
    (void)pthread_cond_init(&keeper->moved, NULL);
    keeper->ended = false;
    if (!keeper_thread(keeper)) {
        keeper->ended = true;
        keeper_close(keeper);
        return RLK_E_PIPE;
    }
    return RLK_OK;
}

/* False in a forked child: its mutex may be held by a thread that does not exist there. */
static bool keeper_same_process(const rlk_keeper *keeper)
{
    return rlk_system_fork_same(&keeper->posix.fork_mark);
}

void rlk_keeper_stop(rlk_keeper *keeper)
{
    if (keeper == NULL || keeper->loss[0] < 0) {
        return;
    }
    if (!keeper_same_process(keeper)) {
        keeper_close(keeper);
        return;
    }
    (void)pthread_mutex_lock(&keeper->mutex);
    keeper->stopping = true;
    (void)pthread_mutex_unlock(&keeper->mutex);
    (void)rlk_posix_interrupt(&keeper->posix);
    (void)pthread_join(keeper->thread, NULL);
    keeper_close(keeper);
}

/* ---- Leases ---- */

rlk_result rlk_keeper_keep(rlk_keeper *keeper, rlk_kept *kept, rlk_lock *lock)
{
    rlk_result result = RLK_E_STATE;

    if (keeper == NULL || kept == NULL || lock == NULL) {
        return RLK_E_ARGUMENT;
    }
    if (!keeper_same_process(keeper)) {
        return RLK_E_FORKED;
    }
    (void)pthread_mutex_lock(&keeper->mutex);
    if (keeper->ended || keeper->stopping) {
        result = RLK_E_CLOSED;
    } else if (kept->state == KEPT_IDLE) {
        result = rlk_lock_detach(lock, &kept->lease);
    }
    if (result == RLK_OK) {
        kept->until_ms = kept->lease.until_ms;
        kept->result = RLK_OK;
        kept->wanted = false;
        kept->reported = true;
        kept->state = KEPT_GIVEN;
        kept->next = keeper->first;
        keeper->first = kept;
    }
    (void)pthread_mutex_unlock(&keeper->mutex);
    if (result == RLK_OK) {
        (void)rlk_posix_interrupt(&keeper->posix);
    }
    return result;
}

/* Waits until the thread has given the lock of `kept` up; under the mutex. */
static void keeper_demand(rlk_keeper *keeper, rlk_kept *kept)
{
    kept->wanted = true;
    if (kept->state == KEPT_KEPT || kept->state == KEPT_OVER) {
        (void)rlk_posix_interrupt(&keeper->posix);
    }
    while (kept->state == KEPT_KEPT || kept->state == KEPT_OVER) {
        (void)pthread_cond_wait(&keeper->moved, &keeper->mutex);
    }
}

static void keeper_unlink(rlk_keeper *keeper, const rlk_kept *kept)
{
    rlk_kept **link = &keeper->first;

    while (*link != kept) {
        link = &(*link)->next;
    }
    *link = kept->next;
}

rlk_result rlk_keeper_give_back(rlk_keeper *keeper, rlk_kept *kept, rlk_lock *lock)
{
    rlk_result result = RLK_NOT_HELD;

    if (keeper == NULL || kept == NULL || lock == NULL) {
        return RLK_E_ARGUMENT;
    }
    if (!keeper_same_process(keeper)) {
        return RLK_E_FORKED;
    }
    (void)pthread_mutex_lock(&keeper->mutex);
    if (kept->state != KEPT_IDLE) {
        keeper_demand(keeper, kept);
        keeper_unlink(keeper, kept);
        result = kept->state == KEPT_GONE ? RLK_LOST : RLK_OK;
        kept->state = KEPT_IDLE;
        kept->until_ms = 0;
    }
    (void)pthread_mutex_unlock(&keeper->mutex);
    return result == RLK_OK ? rlk_lock_attach(lock, &kept->lease) : result;
}

/* ---- Questions ---- */

int64_t rlk_keeper_until_ms(rlk_keeper *keeper, const rlk_kept *kept)
{
    int64_t until_ms;

    if (keeper == NULL || kept == NULL || !keeper_same_process(keeper)) {
        return 0;
    }
    (void)pthread_mutex_lock(&keeper->mutex);
    until_ms = kept->until_ms;
    (void)pthread_mutex_unlock(&keeper->mutex);
    return until_ms > rlk_system_now_ms(NULL) ? until_ms : 0;
}

bool rlk_keeper_is_held(rlk_keeper *keeper, const rlk_kept *kept)
{
    return rlk_keeper_until_ms(keeper, kept) > 0;
}

rlk_result rlk_keeper_result(rlk_keeper *keeper, const rlk_kept *kept)
{
    rlk_result result;

    if (keeper == NULL || kept == NULL) {
        return RLK_E_ARGUMENT;
    }
    if (!keeper_same_process(keeper)) {
        return RLK_E_FORKED;
    }
    (void)pthread_mutex_lock(&keeper->mutex);
    result = kept->state == KEPT_IDLE ? RLK_NOT_HELD : kept->result;
    (void)pthread_mutex_unlock(&keeper->mutex);
    return result;
}

int rlk_keeper_fd(const rlk_keeper *keeper)
{
    return keeper != NULL ? keeper->loss[0] : -1;
}

static void keeper_drain(const rlk_keeper *keeper)
{
    char bytes[64];
    ssize_t n;

    do {
        n = read(keeper->loss[0], bytes, sizeof bytes);
    } while (n == (ssize_t)sizeof bytes || (n < 0 && errno == EINTR));
}

rlk_kept *rlk_keeper_next_lost(rlk_keeper *keeper)
{
    rlk_kept *kept;

    if (keeper == NULL || !keeper_same_process(keeper)) {
        return NULL;
    }
    (void)pthread_mutex_lock(&keeper->mutex);
    kept = keeper->first;
    while (kept != NULL && kept->reported) {
        kept = kept->next;
    }
    if (kept != NULL) {
        kept->reported = true;
    } else if (keeper->loss[0] >= 0) {
        keeper_drain(keeper);
    }
    (void)pthread_mutex_unlock(&keeper->mutex);
    return kept;
}
