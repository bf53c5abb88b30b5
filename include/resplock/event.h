/* SPDX-License-Identifier: MIT
 *
 * resplock/event.h: the events of locks, which rlk_client_next_event (lock.h) returns.
 */
#ifndef RESPLOCK_EVENT_H
#define RESPLOCK_EVENT_H

#include "resplock/env.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rlk_operation {
    RLK_OP_NONE,
    RLK_OP_ACQUIRE,
    RLK_OP_RELEASE,
    RLK_OP_EXTEND,
    RLK_OP_RENEW,
    RLK_OP_CHECK,
    RLK_OP_QUERY,
    RLK_OP_FORCE_RELEASE
} rlk_operation;

/* Of one lock, rlk_client_next_event returns them in this order. The first two end an operation. */
typedef enum rlk_event_type {
    RLK_EV_ACQUIRED = 1, /* an acquire ends with RLK_OK */
    RLK_EV_RESULT,       /* any other end of an operation: see `operation` and `result` */
    RLK_EV_SETTLED,      /* after an acquire that ended with RLK_UNKNOWN, or a release that ended
                            with RLK_UNKNOWN or an error. RLK_OK: the token is not in the key, and
                            never will be. RLK_UNKNOWN: an orphan is possible, or nobody answered
                            until the TTL had passed */
    RLK_EV_RENEWED,      /* auto_renew: RLK_OK. Of renewals that were not pulled the last counts. A
                            renewal that a call of this lock overtook is not reported */
    RLK_EV_RENEW_FAILED, /* auto_renew. RLK_NOT_OWNER, RLK_E_WRONGTYPE: RLK_EV_LOST follows.
                            RLK_UNKNOWN or another error: still held, and tried again */
    RLK_EV_LOST,         /* the lease ended without a release: lost_cause says why */
    RLK_EV_WAITING       /* an acquire goes on waiting. RLK_BUSY: another has the lock. RLK_PENDING:
                            no answer yet. An error: why no attempt succeeds. Comes every report_ms,
                            and after a tenth of it where the reason is new. Never after a result */
} rlk_event_type;

/* Why a lease ended without a release: what was seen, and no more. */
typedef enum rlk_lost_cause {
    RLK_LOST_NOT,         /* it did not */
    RLK_LOST_EXPIRED,     /* the client's own deadline came: not renewed in time */
    RLK_LOST_REFUSED,     /* the same, and the last answer to a renewal was an error of a server */
    RLK_LOST_DELETED,     /* the key was not there: deleted, evicted, expired by the server's clock,
                             or gone with the server's data */
    RLK_LOST_OVERWRITTEN, /* the key had another value, on at least one node */
    RLK_LOST_WRONG_TYPE,  /* the key had something that is not a string */
    RLK_LOST_CAUSES
} rlk_lost_cause;

typedef struct rlk_event {
    rlk_event_type type;
    rlk_operation operation; /* that ends; else RLK_OP_NONE */
    rlk_result result;
    rlk_lost_cause lost_cause; /* of RLK_EV_LOST; else RLK_LOST_NOT */
    rlk_lock *lock;
    void *user; /* of the lock's configuration */
} rlk_event;

#ifdef __cplusplus
}
#endif

#endif
