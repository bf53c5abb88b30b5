/* SPDX-License-Identifier: MIT
 *
 * Who is to be told that a key changed. The client's index has, by the hash of the key, the locks
 * that are held, and of those that wait for one key the first: it asks the server for all of them.
 * The others stand in a row behind it and cost nothing.
 *
 *    bucket --> held --> first waiter --> held (another key) ...
 *                         | row_head        row_tail |
 *                         +--> waiter <--> waiter <--+
 *
 *                   waits: first of its key             acquired
 *         NONE ------------------------------> FIRST -----------------> HOLDER
 *          | ^                                 ^   |                      |  ^ acquired by one
 *          | | leaves: the next is first       |   +----------------+     |  | attempt only
 *          | +---------------------------------|--------------------+-----+  |
 *          | waits behind it                   | the first left              |
 *          +-------------------------------> ROW               NONE ---------+
 *
 * Two keys with one hash wake each other's locks, which costs an attempt.
 */
#include "../net/condemn.h"
#include "internal.h"

static rlk_lock **watch_bucket(const rlk_client *client, uint32_t key_hash)
{
    return &client->buckets[key_hash & client->buckets_mask];
}

static void watch_put(rlk_lock *lock, unsigned place)
{
    rlk_lock **bucket = watch_bucket(lock->client, lock->key_hash);
    lock->place = (uint8_t)place;
    lock->place_prev = NULL;
    lock->place_next = *bucket;
    if (*bucket)
        (*bucket)->place_prev = lock;
    *bucket = lock;
}

static void watch_take(rlk_lock *lock)
{
    if (lock->place_prev)
        lock->place_prev->place_next = lock->place_next;
    else
        *watch_bucket(lock->client, lock->key_hash) = lock->place_next;
    if (lock->place_next)
        lock->place_next->place_prev = lock->place_prev;
    lock->place = RLKI_PLACE_NONE;
}

/* The first waiter for the key of a lock. */
static rlk_lock *watch_first(const rlk_lock *lock)
{
    rlk_lock *other = *watch_bucket(lock->client, lock->key_hash);
    while (other && (other->place != RLKI_PLACE_FIRST || !rlki_lock_same_key(lock, other)))
        other = other->place_next;
    return other;
}

const rlk_lock *rlki_watch_asker(const rlk_lock *lock)
{
    return lock->place == RLKI_PLACE_ROW ? watch_first(lock) : lock;
}

const rlk_lock *rlki_watch_owner(const rlk_lock *lock, const char *token, size_t len)
{
    const rlk_lock *other;
    uint8_t own[RLK_TOKEN_MAX];
    for (other = *watch_bucket(lock->client, lock->key_hash); other; other = other->place_next) {
        if (other->place != RLKI_PLACE_HOLDER || rlki_token_len(other) != len ||
            !rlki_lock_same_key(lock, other))
            continue;
        rlki_token_write(other, other->round, own);
        if (memcmp(own, token, len) == 0)
            break;
    }
    return other;
}

bool rlki_watch_is_held(const rlk_lock *lock)
{
    const rlk_lock *other = *watch_bucket(lock->client, lock->key_hash);
    for (; other; other = other->place_next)
        if (rlki_lock_same_key(lock, other) &&
            (other->place == RLKI_PLACE_HOLDER || other->flags & RLKI_LOCK_HOLDER))
            return true;
    return false;
}

void rlki_watch_count(rlk_lock *lock, const rlk_lock *before, bool handed)
{
    unsigned streak = before->streak;
    if (handed && streak <= lock->client->max_handoffs) /* one too many is as good as more */
        streak++;
    if (lock->streak < streak)
        lock->streak = (uint8_t)streak;
}

void rlki_watch_recount(rlk_lock *lock)
{
    const rlk_lock *other = *watch_bucket(lock->client, lock->key_hash);
    lock->streak = 0;
    for (; other; other = other->place_next)
        if (other->place == RLKI_PLACE_HOLDER && rlki_lock_same_key(lock, other))
            rlki_watch_count(lock, other, true);
}

bool rlki_watch_wait(rlk_lock *lock)
{
    rlk_lock *first = watch_first(lock);
    if (!first) {
        rlki_watch_recount(lock);
        lock->row_head = NULL;
        lock->row_tail = NULL;
        watch_put(lock, RLKI_PLACE_FIRST);
        return true;
    }
    lock->place = RLKI_PLACE_ROW;
    lock->place_next = NULL;
    lock->place_prev = first->row_tail;
    if (first->row_tail)
        first->row_tail->place_next = lock;
    else
        first->row_head = lock;
    first->row_tail = lock;
    return false;
}

/* The first of a row that the lock is at an end of. Not by the key: that may have changed. */
static rlk_lock *watch_first_of_row(const rlk_lock *lock)
{
    rlk_lock *other = *watch_bucket(lock->client, lock->key_hash);
    while (other && (other->place != RLKI_PLACE_FIRST ||
                     (other->row_head != lock && other->row_tail != lock)))
        other = other->place_next;
    return other;
}

static void watch_leave_row(rlk_lock *lock)
{
    rlk_lock *first = watch_first_of_row(lock);
    if (lock->place_prev)
        lock->place_prev->place_next = lock->place_next;
    else
        first->row_head = lock->place_next;
    if (lock->place_next)
        lock->place_next->place_prev = lock->place_prev;
    else
        first->row_tail = lock->place_prev;
    lock->place = RLKI_PLACE_NONE;
}

/* The first leaves, and the next one is the first. */
static void watch_leave_first(rlk_lock *lock)
{
    rlk_lock *next = lock->row_head;
    watch_take(lock);
    if (!next)
        return;
    next->row_head = next->place_next;
    next->row_tail = next->row_head ? lock->row_tail : NULL;
    if (next->row_head)
        next->row_head->place_prev = NULL;
    watch_put(next, RLKI_PLACE_FIRST);
    rlki_acquire_first(next, lock);
}

void rlki_watch_leave(rlk_lock *lock)
{
    switch (lock->place) {
    case RLKI_PLACE_HOLDER:
        watch_take(lock);
        break;
    case RLKI_PLACE_FIRST:
        watch_leave_first(lock);
        break;
    case RLKI_PLACE_ROW:
        watch_leave_row(lock);
        break;
    default:
        break;
    }
}

void rlki_watch_hold(rlk_lock *lock)
{
    rlki_watch_leave(lock);
    watch_put(lock, RLKI_PLACE_HOLDER);
}

/* A connection that came back: a lock is looked after where the server is to tell of its loss, or
 * where it renews by itself. Others are their caller's, unless it may be another server. */
static bool watch_concerns(const rlk_lock *lock, unsigned node, rlk_cause cause)
{
    return cause != RLK_CAUSE_RECONNECT || rlk_conn_is_tracking(rlki_route(lock, node)) ||
           rlki_condemn_was_replaced(rlki_route(lock, node)) ||
           lock->options & (RLKI_OPTION_RENEW | RLKI_OPTION_LEAD);
}

/* What is due comes first: a lock that is over need not be told. */
static void watch_tell(rlk_lock *lock, unsigned node, rlk_cause cause)
{
    bool first = lock->place == RLKI_PLACE_FIRST;
    if (lock->client->now_ms >= lock->timer.deadline_ms) /* who waits, or holds, has a timer */
        rlki_lock_timer(lock);
    if (first && lock->place != RLKI_PLACE_FIRST) /* waits no longer: the next in the row does */
        lock = watch_first(lock);
    if (!lock)
        return;
    RLKI_TRACE(lock, RLK_TRACE_PUSH, node, rlk_cause_name(cause), cause);
    if (lock->place == RLKI_PLACE_FIRST)
        rlki_acquire_woken(lock, node, cause);
    else if (lock->place == RLKI_PLACE_HOLDER && watch_concerns(lock, node, cause))
        rlki_hold_touched(lock, node);
}

void rlki_watch_tell(rlk_client *client, unsigned node, uint32_t key_hash, rlk_cause cause,
                     const rlk_lock *own)
{
    rlk_lock *lock = *watch_bucket(client, key_hash);
    while (lock) {
        rlk_lock *next = lock->place_next; /* whoever is told may leave, and put another in front */
        bool told = lock->key_hash == key_hash && lock != own;
        /* by the first node that answers: meanwhile `own` may wait anew, with a streak of its own
         */
        if (own && lock->place == RLKI_PLACE_FIRST && told)
            rlki_watch_count(lock, own, true);
        /* what a closed lock deletes is answered to nobody: it may be behind what this one asks */
        if (told && own && own->state == RLKI_CLOSED)
            lock->overtaken |= UINT32_C(1) << node;
        if (told && (!own || lock->place == RLKI_PLACE_FIRST))
            watch_tell(lock, node, cause);
        lock = next;
    }
}

void rlki_watch_tell_all(rlk_client *client, unsigned node, rlk_cause cause)
{
    rlk_lock *lock;
    for (lock = client->locks; lock; lock = lock->next)
        if (lock->place == RLKI_PLACE_FIRST || lock->place == RLKI_PLACE_HOLDER)
            watch_tell(lock, node, cause);
}
