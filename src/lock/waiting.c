/* SPDX-License-Identifier: MIT
 *
 * An acquire that waits without end reports every report_ms that it goes on, and why; with a
 * deadline it does if report_ms is configured:
 *
 *            report_ms later             reported
 *     begin -----------------> due ---------------------+
 *              ^    ^                                    |
 *              |    | a tenth of report_ms later         |
 *              |  another reason (a connection comes or goes, an attempt ends otherwise)
 *              +-----------------------------------------+
 *
 * A report changes nothing: the acquire goes on in its phase. It ends with the trying.
 */
#include "waiting.h"
#include "command.h"
#include "events.h"
#include "lease.h"
#include "wait_queue.h"

static uint32_t waiting_interval(const rlk_lock *lock)
{
    return lock->report_interval_ms > 0 ? lock->report_interval_ms : RLK_REPORT_MS;
}

/* Returns the first node whose connection is not ready, if the others are no quorum; else
 * RLK_MAX_NODES. */
static unsigned waiting_down(const rlk_lock *lock)
{
    unsigned down = RLK_MAX_NODES;
    unsigned ready = 0;
    unsigned i = rlki_nodes(lock->client);

    while (i-- > 0) {
        if (rlki_conn_is_ready(rlki_route(lock, i)))
            ready++;
        else
            down = i;
    }
    return ready >= rlki_needed(lock->client) ? RLK_MAX_NODES : down;
}

rlki_reason rlki_waiting_reason(const rlk_lock *lock)
{
    const rlk_lock *asker = rlki_queue_asker(lock);
    unsigned down = waiting_down(lock);
    rlki_reason reason;

    reason.node = 0;
    reason.command = RLKI_NO_COMMAND;
    if (down < RLK_MAX_NODES) {
        reason.result = rlk_conn_result(rlki_route(lock, down));
        reason.node = (uint8_t)down;
        return reason;
    }
    /* all can be asked, and none has answered (yet) */
    reason.result = lock->client->clock_ms - lock->as.wait.began_ms < (int64_t)lock->node_timeout_ms
                        ? RLK_PENDING
                        : RLK_E_RESPONSE_TIMEOUT;
    if (asker->error < 0) {
        reason.result = (rlk_result)asker->error;
        reason.node = asker->error_node;
        reason.command = asker->error_command;
    }
    if (asker->as.wait.busy != 0 || (asker->error >= 0 && (asker->flags & RLKI_LOCK_HOLDER) != 0))
        reason.result = RLK_BUSY;
    return reason;
}

void rlki_waiting_begin(rlk_lock *lock)
{
    lock->as.wait.reported = RLK_BUSY; /* which is no news of a wait that has just begun */
    if (lock->report_interval_ms > 0 || lock->deadline_ms == RLKI_NEVER)
        lock->as.wait.report_ms = rlki_from_now(lock, waiting_interval(lock));
}

void rlki_waiting_report(rlk_lock *lock)
{
    lock->as.wait.reported = (int16_t)rlki_waiting_reason(lock).result;
    lock->as.wait.report_ms = rlki_from_now(lock, waiting_interval(lock));
    rlki_event_raise(lock, RLKI_EVENT_WAITING);
}

void rlki_waiting_changed(rlk_lock *lock)
{
    int32_t soon_ms = rlki_from_now(lock, waiting_interval(lock) / 10);
    rlk_result why = rlki_waiting_reason(lock).result;

    if (why == lock->as.wait.reported || why == RLK_PENDING || why == RLK_E_NOT_CONNECTED)
        return; /* or about to be: the wait is for the first connection */
    lock->as.wait.reported = (int16_t)why;
    if (soon_ms < lock->as.wait.report_ms && lock->as.wait.report_ms != RLKI_NEVER)
        lock->as.wait.report_ms = soon_ms;
}
