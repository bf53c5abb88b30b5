/* SPDX-License-Identifier: MIT
 *
 * resplock/env.h: what the engine needs of its surroundings: time, randomness, waiting.
 * The caller fills one small struct; the engine itself calls no operating system.
 */
#ifndef RESPLOCK_ENV_H
#define RESPLOCK_ENV_H

#include "resplock/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlk_client rlk_client;
typedef struct rlk_lock rlk_lock;
#ifndef RLK_NO_TRACE
typedef struct rlk_trace rlk_trace;
#endif

/* posix.h fills what you leave NULL. With bare ports you fill all that you use. */
typedef struct rlk_env {
    void *context; /* first argument of each */
    /* Returns milliseconds of a clock that never goes back and goes on in sleep, or
     * RLK_NO_CLOCK_MS: it can't be read. Required. */
    int64_t (*now_ms)(void *context);
    /* Fills buf with len bytes of a CSPRNG. Returns 0, or another number: it can't. Required. */
    int (*random)(void *context, void *buf, size_t len);
    /*
     * Moves bytes for the connections of the client. Returns when something came, at deadline_ms at
     * the latest.
     *   0              go on
     *   RLK_CANCELLED  the blocking call ends as by rlk_cancel. An acquire first waits on, for its
     *                  undo. If the call has ended already, the next rlk_acquire of the client ends
     *   other          it can't wait: the blocking call ends as if cancelled, at once
     * NULL: only the started forms work.
     */
    int (*wait)(void *context, rlk_client *client, int64_t deadline_ms);
    /* Returns true in the process that made the client. NULL: there is no fork. */
    bool (*same_process)(void *context, const rlk_client *client);
    /*
     * Reports that the blocking acquire of this lock has waited for waited_ms, and goes on: what
     * RLK_EV_WAITING reports to programs with events, at the same times. It may call what `wait`
     * may call, rlk_lock_error (the reason in words) and rlk_cancel. NULL: no report.
     */
    void (*waiting)(void *context, rlk_lock *lock, rlk_result why, int64_t waited_ms);
    /*
     * Notifies a driver that a call of a lock, or rlk_client_reset, begins. What must be sent,
     * the deadline and the events may be others when it ends. So the driver serves the connections
     * soon. It may only note that, or wake its loop: it must not call the library. NULL: not
     * notified. For an rlk_posix_client see rlk_posix_set_loop.
     */
    void (*changed)(void *context, rlk_client *client);
#ifndef RLK_NO_TEXT
    /* Returns constant words for the number that a driver passed to rlk_conn_closed, or NULL: it
     * has none. NULL: texts have the number alone. */
    const char *(*errno_text)(void *context, int number);
#endif
#ifndef RLK_NO_TRACE
    /* Receives each step: see trace.h. It must not call the library. NULL: no trace. */
    void (*trace)(void *context, const rlk_trace *trace);
#endif
} rlk_env;

#ifdef __cplusplus
}
#endif

#endif
