/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/keeper.h: a thread that renews leases while the program blocks in other work.
 * Optional: not part of the library. Compile src/adapters/keeper.c with the program, or link to
 * resplock::keeper; needs POSIX threads.
 *
 *     rlk_keeper_start(&keeper, &url, NULL, 1, NULL);
 *     rlk_acquire(&lock, RLK_FOREVER);
 *     if (rlk_keeper_keep(&keeper, &kept, &lock) == RLK_OK) {
 *         while (more_work() && rlk_keeper_is_held(&keeper, &kept))
 *             work_for_as_long_as_it_takes();
 *         rlk_keeper_give_back(&keeper, &kept, &lock);
 *     }
 *     rlk_release(&lock);
 *
 * A lease has one owner. rlk_keeper_keep moves it from your lock to the keeper (rlk_lock_detach),
 * which renews it by a client of its own; rlk_keeper_give_back moves it back. In between your lock
 * is not held: ask rlk_keeper_is_held, from any thread. The keeper raises the expiry of the key,
 * and never creates the key again. When a lease is lost, the keeper deletes what is left of its
 * token, as a lock does.
 *
 * Nothing stops work that goes on after a loss: ask rlk_keeper_is_held before each step that must
 * not overlap with another holder, or poll rlk_keeper_fd.
 */
#ifndef RESPLOCK_ADAPTERS_KEEPER_H
#define RESPLOCK_ADAPTERS_KEEPER_H

#include "resplock.h"

#ifdef RLK_NO_POSIX
#error "RLK_NO_POSIX is defined: do not include resplock/adapters/keeper.h, and do not compile \
src/adapters/keeper.c"
#elif defined(RLKI_POSIX) /* else socket.h has the error: no other follows */

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlk_keeper rlk_keeper;

/* One lease that is kept: the caller's memory, zeroed before its first use. It stays in place from
 * rlk_keeper_keep to rlk_keeper_give_back. Fields are private. */
typedef struct rlk_kept {
    rlk_lock lock;         /* of the keeper's client: its thread only */
    rlk_lease lease;       /* on its way in or out; this and the rest under the keeper's mutex */
    struct rlk_kept *next; /* of those that are kept */
    int64_t until_ms;
    rlk_result result;
    int state;
    bool wanted; /* the thread must give it up */
    bool reported;
} rlk_kept;

/* Fields are private. Must not be moved once started. */
struct rlk_keeper {
    rlk_posix_client posix;
    pthread_t thread;
    pthread_mutex_t mutex; /* held for no system call that waits */
    pthread_cond_t moved;  /* a lease came out, or the thread has ended */
    rlk_kept *first;
    int loss[2]; /* a pipe: readable while a loss was not seen by rlk_keeper_next_lost */
    bool stopping;
    bool ended;
};

/*
 * Opens a client and starts the thread. `urls`, `memory`, `nodes` and `options` are those of
 * rlk_posix_open_nodes: the same servers in the same order as those of the locks whose leases will
 * be kept. memory NULL: one server, as rlk_posix_open. The texts outlive the keeper. Touches no
 * network. The thread blocks all signals. Hooks for credentials and names are called in it.
 * options->env and options->buckets are not used: the clock is the system's, as that of the locks.
 * RLK_OK, or as rlk_posix_open_nodes; RLK_E_PIPE: the system has no pipe, or no thread. After an
 * error rlk_keeper_stop is not needed.
 */
rlk_result rlk_keeper_start(rlk_keeper *keeper, const char *const *urls, rlk_posix_memory *memory,
                            size_t nodes, const rlk_posix_options *options);

/*
 * Moves the lease of `lock`, which the calling thread owns and which is held, to the keeper. `kept`
 * is idle. The key and token_prefix of the lock outlive it.
 * RLK_OK: kept; `lock` is not held. Else nothing has moved: as rlk_lock_detach; RLK_E_STATE also if
 * `kept` is in use; RLK_E_CLOSED: the keeper has stopped.
 */
rlk_result rlk_keeper_keep(rlk_keeper *keeper, rlk_kept *kept, rlk_lock *lock);

/*
 * Moves the lease, as it is now, back to a lock of the same key, and ends the keeping: `kept` is
 * idle afterwards. Waits for the thread: a moment, or as long as the system resolves a name. Works
 * after rlk_keeper_stop, too. One thread calls it for one `kept`. RLK_OK: `lock` is held; release
 * it when done. RLK_LOST: it was lost meanwhile. RLK_NOT_HELD: nothing is kept. Else as
 * rlk_lock_attach; then the key stays until its TTL.
 */
rlk_result rlk_keeper_give_back(rlk_keeper *keeper, rlk_kept *kept, rlk_lock *lock);

/* Returns true while the lease is valid. Any thread, no network; false in a forked child. */
bool rlk_keeper_is_held(rlk_keeper *keeper, const rlk_kept *kept);

/* Returns until when it is valid as far as is known now, in milliseconds of rlk_system_now_ms; 0:
 * it is not. Any thread. */
int64_t rlk_keeper_until_ms(rlk_keeper *keeper, const rlk_kept *kept);

/* Returns RLK_OK: kept; RLK_LOST; RLK_NOT_HELD: nothing is; or an error: the keeper's client could
 * not take it over (RLK_E_KEY: too long for its buffers). Then it is valid until its end, and not
 * renewed. Any thread. */
rlk_result rlk_keeper_result(rlk_keeper *keeper, const rlk_kept *kept);

/* Returns a descriptor for poll, readable while rlk_keeper_next_lost has a loss to return. */
int rlk_keeper_fd(const rlk_keeper *keeper);

/* Returns the next lease that was lost or could not be taken over, once each; NULL: none. You still
 * have to end it by rlk_keeper_give_back. Any thread. */
rlk_kept *rlk_keeper_next_lost(rlk_keeper *keeper);

/*
 * Ends the thread and closes the client. Leases that are kept are renewed no more, and not
 * released: rlk_keeper_give_back still moves them back while they are valid, so the keeper's memory
 * stays until then. No other thread uses the keeper meanwhile. In a forked child: closes what it
 * inherited. Harmless if it has stopped.
 */
void rlk_keeper_stop(rlk_keeper *keeper);

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
