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

/* What the engine needs of its surroundings; resplock/posix.h fills it for POSIX. */
typedef struct rlk_env {
    void *context; /* first argument of each */
    /* Milliseconds of a clock that never goes back and goes on in sleep; RLK_NO_CLOCK_MS: it can't
     * be read. Required. */
    int64_t (*now_ms)(void *context);
    /* Fills buf with len bytes of a CSPRNG; 0, or another number when it can't. Required. */
    int (*random)(void *context, void *buf, size_t len);
    /*
     * Moves bytes for the connections of the client, and returns when something came or at
     * deadline_ms, or earlier. 0; RLK_CANCELLED: the blocking call is to end, as by rlk_cancel,
     * with the undo of an acquire, for which it waits on; if it has ended already, the next
     * rlk_acquire of the client ends so. Another number: it can't wait, and the blocking call ends
     * as if cancelled, at once. NULL: only the started forms work.
     */
    int (*wait)(void *context, rlk_client *client, int64_t deadline_ms);
    /* True while this is the process that made the client. NULL: there is no fork. */
    bool (*same_process)(void *context, const rlk_client *client);
    /*
     * The blocking acquire of this lock still waits, since waited_ms. Receives what RLK_EV_WAITING
     * reports to programs with events, at the same times. May call what `wait` may call:
     * rlk_lock_error, which has the reason in words, and rlk_cancel. NULL: no report.
     */
    void (*waiting)(void *context, rlk_lock *lock, rlk_result why, int64_t waited_ms);
#ifndef RLK_NO_TEXT
    /* Returns words, constant ones, for the number that a driver gave rlk_conn_closed; NULL: it has
     * none. NULL: the number stands alone in texts. */
    const char *(*errno_text)(void *context, int number);
#endif
#ifndef RLK_NO_TRACE
    /* Sees what happens: see rlk_trace. Must not call the library. NULL: nobody looks. */
    void (*trace)(void *context, const rlk_trace *trace);
#endif
} rlk_env;

#ifdef __cplusplus
}
#endif

#endif
