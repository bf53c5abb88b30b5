/* SPDX-License-Identifier: MIT
 *
 * A lock with something to say is in its client's list, at most once, however much it has to say:
 * one result (an operation has one, and the next can't begin before) and sticky bits.
 */
#include "events.h"
#include "clock.h"

extern inline void rlki_event_link(rlk_lock *lock);

static void events_unlink(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    rlk_lock *next = lock->event_next;

    if (client->events == lock)
        client->events = next;
    else
        lock->event_prev->event_next = next;
    if (next == NULL)
        next = client->events;
    if (next != NULL)
        next->event_prev = lock->event_prev;
    lock->events = 0;
}

extern inline void rlki_event_raise(rlk_lock *lock, unsigned event);

extern inline void rlki_event_drop(rlk_lock *lock, unsigned events);

void rlki_event_drop_these(rlk_lock *lock, unsigned events)
{
    lock->events = (uint8_t)(lock->events & ~events);
    if (lock->events == RLKI_EVENT_LINKED)
        events_unlink(lock);
}

bool rlk_client_next_event(rlk_client *client, rlk_event *event)
{
    rlk_lock *lock;
    unsigned pulled = RLKI_EVENT_LOST;

    if (client == NULL || event == NULL || client->state != RLKI_CLIENT_OPEN ||
        client->events == NULL || !rlki_client_same_process(client))
        return false;
    lock = client->events;
    event->lock = lock;
    event->user = lock->user;
    event->operation = RLK_OP_NONE;
    event->lost_cause = RLK_LOST_NOT;
    if ((lock->events & RLKI_EVENT_RESULT) != 0) {
        pulled = RLKI_EVENT_RESULT;
        event->operation = (rlk_operation)lock->done_operation;
        event->result = (rlk_result)lock->done_result;
        event->type = event->operation == RLK_OP_ACQUIRE && event->result == RLK_OK
                          ? RLK_EV_ACQUIRED
                          : RLK_EV_RESULT;
    } else if ((lock->events & RLKI_EVENT_SETTLED) != 0) {
        pulled = RLKI_EVENT_SETTLED;
        event->result = (lock->options & RLKI_OPTION_SETTLED) != 0 ? RLK_OK : RLK_UNKNOWN;
        event->type = RLK_EV_SETTLED;
    } else if ((lock->events & RLKI_EVENT_RENEWAL) != 0) {
        pulled = RLKI_EVENT_RENEWAL;
        event->result = (rlk_result)lock->renewal;
        event->type = event->result == RLK_OK ? RLK_EV_RENEWED : RLK_EV_RENEW_FAILED;
    } else if ((lock->events & RLKI_EVENT_LOST) != 0) {
        event->result = RLK_LOST;
        event->type = RLK_EV_LOST;
        event->lost_cause = (rlk_lost_cause)lock->lost_cause;
    } else {
        pulled = RLKI_EVENT_WAITING;
        event->result = (rlk_result)lock->as.wait.reported;
        event->type = RLK_EV_WAITING;
    }
    rlki_event_drop(lock, pulled);
    if ((lock->events & RLKI_EVENT_LOST) == 0 && rlki_lock_campaigns(lock))
        client->campaign->follow_again(lock);
    return true;
}
