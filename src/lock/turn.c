/* SPDX-License-Identifier: MIT
 *
 * Turns: who acquires a lock again and again leaves it to others in between. The client remembers,
 * for some keys, that others want the lock too:
 *
 *                  somebody else was seen
 *      ALONE --------------------------------> CONTENDED, a turn begins
 *        |  a long lease is released,        ^
 *        |  TURN_LONE after the last turn    |
 *        +-----------------------------------+ for one turn, which is over
 *        ^                                      |     ^
 *        |                                      |     | acquired after a wait, or after the pause:
 *        |                                      |     | the next turn
 *        +--------------------------------------+-----+
 *          nobody was, in TURN_ALONE consecutive turns
 *
 * In a turn the lock is acquired again at once: a hand-off costs several round trips, and so a
 * turn lasts some of them. After it an acquire begins with a pause, in which others have the lock.
 * The pause counts from the release, so who comes later than that does not wait.
 * Then it waits like them. Where several wait, it hurries only when most of its last waiting time
 * has passed: those that wait for longer are faster, and who has to be fast are few. That several
 * wait shows when an attempt that a notification caused comes too late. Who waits alone hurries.
 *
 * Who is faster at each release sees nobody, while others wait. So with long leases one pause in
 * TURN_LONE lets them in. Short ones end often enough for others to be faster once.
 *
 * What is remembered is a hint: a wrong one costs some milliseconds. A key whose place another key
 * takes is ALONE again.
 */
#include "turn.h"
#include "clock.h"
#include "lease.h"

#define TURN_MS          48 /* of a turn, and */
#define TURN_ATTEMPTS    16 /* ... this number of times what an attempt takes */
#define TURN_PAUSE_MIN   4  /* of the pause, and of a waiter that need not hurry, and */
#define TURN_PAUSE_MAX   16
#define TURN_REACTION    4    /* attempts: one for the release, and others' way to the lock */
#define TURN_WAIT_MAX    1500 /* of the waiting time that counts */
#define TURN_ATTEMPT_MAX 1000 /* ... and of an attempt's */
#define TURN_ALONE       8
#define TURN_LEASE       100 /* ms of a long lease */
#define TURN_LONE        500 /* ms in which nobody else was seen */
#define TURN_CROWD       16  /* turns for which one attempt that came too late counts */
#define TURN_PART        16  /* attempt_part counts in parts of a millisecond, */
#define TURN_SHARE       8   /* and takes so large a share of what is new */

static rlk_turn *turn_of(const rlk_lock *lock)
{
    return &lock->client->turns[lock->key_hash % RLK_TURNS];
}

bool rlki_turn_contended(const rlk_lock *lock)
{
    const rlk_turn *turn = turn_of(lock);

    return turn->waited_ms > 0 && turn->key_hash == lock->key_hash >> 16;
}

static void turn_begin(rlk_lock *lock, int64_t waited_ms, int64_t attempt_ms)
{
    rlk_turn *turn = turn_of(lock);

    turn->key_hash = (uint16_t)(lock->key_hash >> 16);
    turn->began_ms = (uint32_t)lock->client->clock_ms;
    if (turn->crowd > 0)
        turn->crowd--;
    turn->waited_ms = (uint16_t)(waited_ms < 1               ? 1
                                 : waited_ms > TURN_WAIT_MAX ? TURN_WAIT_MAX
                                                             : waited_ms);
    if (attempt_ms > TURN_ATTEMPT_MAX)
        attempt_ms = TURN_ATTEMPT_MAX;
    turn->attempt_part = (uint16_t)(turn->attempt_part - turn->attempt_part / TURN_SHARE +
                                    (uint32_t)attempt_ms * TURN_PART / TURN_SHARE);
}

static uint32_t turn_attempt_ms(const rlk_turn *turn)
{
    return turn->attempt_part / TURN_PART;
}

void rlki_turn_contend(rlk_lock *lock)
{
    if (!rlki_turn_contended(lock)) {
        turn_of(lock)->attempt_part = 0; /* another key's */
        turn_of(lock)->crowd = 0;
        turn_begin(lock, 0, 0);
    }
    turn_of(lock)->alone = 0;
}

void rlki_turn_acquired(rlk_lock *lock)
{
    rlk_turn *turn = turn_of(lock);
    int64_t now_ms = lock->client->clock_ms;
    int64_t waited_ms;
    bool contended = rlki_turn_contended(lock);

    if ((lock->flags & RLKI_LOCK_TRY) != 0 || lock->cause == RLK_CAUSE_LOCAL)
        return;
    if ((lock->flags & RLKI_LOCK_HOLDER) != 0)
        rlki_turn_contend(lock);
    else if (!contended)
        return;
    if (contended && lock->cause == RLK_CAUSE_START)
        return; /* in its turn, or after a pause that was over */
    waited_ms = now_ms - lock->as.wait.began_ms;
    turn_begin(lock, waited_ms < TURN_MS ? TURN_MS : waited_ms,
               (uint32_t)now_ms - lock->as.wait.attempt_ms);
    if ((lock->flags & RLKI_LOCK_HOLDER) == 0 && ++turn->alone >= TURN_ALONE)
        turn->waited_ms = 0;
}

/* Returns how long a turn lasts. */
static uint32_t turn_length_ms(const rlk_turn *turn)
{
    return TURN_MS + TURN_ATTEMPTS * turn_attempt_ms(turn);
}

/* Returns how long ago the turn, contended or not, ended; < 0: it has not. */
static int32_t turn_over_ms(const rlk_lock *lock)
{
    const rlk_turn *turn = turn_of(lock);
    uint32_t past_ms = (uint32_t)lock->client->clock_ms - turn->began_ms;
    uint32_t length_ms = turn_length_ms(turn);

    if (past_ms < length_ms)
        return -1;
    past_ms -= length_ms;
    return past_ms < INT32_MAX ? (int32_t)past_ms : INT32_MAX;
}

/* Returns true if nobody else was seen for so long that others may well be too slow to be. */
static bool turn_is_suspect(const rlk_lock *lock)
{
    rlk_turn *turn = turn_of(lock);

    if (turn->waited_ms > 0 || lock->client->clock_ms - lock->as.hold.since_ms < TURN_LEASE)
        return false; /* another key is contended, or the lease was short */
    if (turn->key_hash != lock->key_hash >> 16) {
        turn->key_hash = (uint16_t)(lock->key_hash >> 16);
        turn->began_ms = (uint32_t)lock->as.hold.since_ms;
    }
    return (uint32_t)lock->client->clock_ms - turn->began_ms >= TURN_LONE;
}

void rlki_turn_released(rlk_lock *lock)
{
    rlk_turn *turn = turn_of(lock);

    if (!rlki_turn_contended(lock)) {
        if (!turn_is_suspect(lock))
            return;
        rlki_turn_contend(lock);
        turn->alone = TURN_ALONE - 1;
    } else if (turn_over_ms(lock) < 0) {
        return;
    }
    turn->began_ms = (uint32_t)lock->client->clock_ms - turn_length_ms(turn); /* over by now */
}

uint32_t rlki_turn_pause(rlk_lock *lock)
{
    int32_t over_ms = turn_over_ms(lock);
    int32_t left_ms = rlki_left(lock, lock->deadline_ms) / 2;
    int32_t pause_ms;

    if (!rlki_turn_contended(lock) || over_ms < 0)
        return 0;
    pause_ms = (int32_t)(rlki_client_jitter(lock->client, TURN_PAUSE_MIN, TURN_PAUSE_MAX) +
                         TURN_REACTION * turn_attempt_ms(turn_of(lock)));
    if (pause_ms <= over_ms)
        return 0; /* others have had their time */
    pause_ms -= over_ms;
    return (uint32_t)(pause_ms < left_ms ? pause_ms : left_ms);
}

uint32_t rlki_turn_patience(rlk_lock *lock)
{
    int64_t waited_ms = lock->client->clock_ms - lock->as.wait.began_ms;
    uint32_t most_ms = turn_of(lock)->waited_ms - 1u; /* none, before the first turn */
    uint32_t pause_ms;

    if (!rlki_turn_contended(lock) || turn_of(lock)->crowd == 0 || waited_ms >= (int64_t)most_ms)
        return 0;
    pause_ms = rlki_client_jitter(lock->client, TURN_PAUSE_MIN, TURN_PAUSE_MAX);
    most_ms -= (uint32_t)waited_ms;
    return pause_ms < most_ms ? pause_ms : most_ms;
}

void rlki_turn_crowd(rlk_lock *lock)
{
    if (rlki_turn_contended(lock))
        turn_of(lock)->crowd = TURN_CROWD;
}
