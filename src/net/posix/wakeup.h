/* SPDX-License-Identifier: MIT
 *
 * A pipe by which a signal handler or another thread wakes a wait: a byte in it stays until it is
 * read, so a wake-up between a check and the wait is not lost.
 */
#ifndef RLKI_WAKEUP_H
#define RLKI_WAKEUP_H

#include "features.h"

#include "resplock/socket.h"

/* Opens both, non-blocking and close-on-exec. False, and -1: the system has none. */
bool rlki_wakeup_open(rlk_system_wakeup *wakeup);

/* Harmless where there is none. */
void rlki_wakeup_close(rlk_system_wakeup *wakeup);

/* Wakes. Async-signal-safe, keeps errno; any thread. A full pipe wakes already. */
void rlki_wakeup_send(const rlk_system_wakeup *wakeup);

/* Empties the pipe; true if there was a byte in it. */
bool rlki_wakeup_take(const rlk_system_wakeup *wakeup);

#endif
