/* SPDX-License-Identifier: MIT
 *
 * Outcomes that wait to be pulled.
 */
#ifndef RLKI_LOCK_EVENTS_H
#define RLKI_LOCK_EVENTS_H

#include "state.h"

/* Pending events of a lock, in the order in which they are pulled. */
#define RLKI_EVENT_RESULT  0x01u
#define RLKI_EVENT_SETTLED 0x02u
#define RLKI_EVENT_RENEWAL 0x04u
#define RLKI_EVENT_LOST    0x08u
#define RLKI_EVENT_WAITING 0x10u
#define RLKI_EVENT_ALL     0x1fu
#define RLKI_EVENT_LINKED  0x80u /* in the client's list */

/* Puts a lock into the client's list of those that have something to report. */
inline void rlki_event_link(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    if ((lock->events & RLKI_EVENT_LINKED) != 0)
        return;
    lock->events |= RLKI_EVENT_LINKED;
    lock->event_next = NULL;
    lock->event_prev = lock;
    if (client->events == NULL) {
        client->events = lock;
        return;
    }
    lock->event_prev = client->events->event_prev;
    lock->event_prev->event_next = lock;
    client->events->event_prev = lock;
}

RLKI_INTO_CALLERS void rlki_event_raise(rlk_lock *lock, unsigned event)
{
    rlki_event_link(lock);
    lock->events = (uint8_t)(lock->events | event);
}

/* Takes events away without showing them (a blocking call returns them). */
void rlki_event_drop_these(rlk_lock *lock, unsigned events);
inline void rlki_event_drop(rlk_lock *lock, unsigned events)
{
    if ((lock->events & events) != 0)
        rlki_event_drop_these(lock, events);
}

#endif
