/* SPDX-License-Identifier: MIT
 *
 * The client's index has, by the hash of the key, the locks that are held, and of those that wait
 * for one key the first: it asks the server for all of them. The others queue behind it and cost
 * nothing.
 *
 *    bucket --> held --> first waiter --> held (another key) ...
 *                         | behind_head  behind_tail |
 *                         +--> waiter <--> waiter <--+
 *
 *                   waits: first of its key             acquired
 *         NONE ------------------------------> FIRST -----------------> HOLDER
 *          | ^                                 ^   |                      |  ^ acquired by one
 *          | | leaves: the next is first       |   +----------------+     |  | attempt only
 *          | +---------------------------------|--------------------+-----+  |
 *          | waits behind it                   | the first left              |
 *          +-------------------------------> BEHIND            NONE ---------+
 *
 * Two keys with one hash wake each other's locks, which costs an attempt.
 */
#include "wait_queue.h"
#include "token.h"

#include <string.h>

static rlk_lock **queue_head(const rlk_client *client, uint32_t key_hash)
{
    return &client->buckets[key_hash & client->buckets_mask];
}

rlk_lock *rlki_queue_bucket(const rlk_client *client, uint32_t key_hash)
{
    return *queue_head(client, key_hash);
}

/* True of two locks of one client for the same key. */
static bool queue_same_key(const rlk_lock *a, const rlk_lock *b)
{
    return a->key_hash == b->key_hash && a->key_len == b->key_len &&
           memcmp(a->key, b->key, a->key_len) == 0;
}

static void queue_put(rlk_lock *lock, unsigned position)
{
    rlk_lock **bucket = queue_head(lock->client, lock->key_hash);

    lock->position = (uint8_t)position;
    lock->queue_prev = NULL;
    lock->queue_next = *bucket;
    if (*bucket != NULL)
        (*bucket)->queue_prev = lock;
    *bucket = lock;
}

static void queue_take(rlk_lock *lock)
{
    if (lock->queue_prev != NULL)
        lock->queue_prev->queue_next = lock->queue_next;
    else
        *queue_head(lock->client, lock->key_hash) = lock->queue_next;
    if (lock->queue_next != NULL)
        lock->queue_next->queue_prev = lock->queue_prev;
    lock->position = RLKI_POSITION_NONE;
}

/* The first waiter for the key of a lock. */
static rlk_lock *queue_first(const rlk_lock *lock)
{
    rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    while (other != NULL &&
           (other->position != RLKI_POSITION_FIRST || !queue_same_key(lock, other)))
        other = other->queue_next;
    return other;
}

const rlk_lock *rlki_queue_asker(const rlk_lock *lock)
{
    return lock->position == RLKI_POSITION_BEHIND ? queue_first(lock) : lock;
}

const rlk_lock *rlki_queue_holder(const rlk_lock *lock)
{
    const rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    /* one that has not noticed yet that its lease is over is held no longer */
    while (other != NULL &&
           (other->position != RLKI_POSITION_HOLDER || !queue_same_key(lock, other) ||
            lock->client->now_ms >= other->as.hold.valid_ms))
        other = other->queue_next;
    return other;
}

bool rlki_queue_is_held(const rlk_lock *lock)
{
    const rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    for (; other != NULL; other = other->queue_next)
        if (queue_same_key(lock, other) &&
            (other->position == RLKI_POSITION_HOLDER || (other->flags & RLKI_LOCK_HOLDER) != 0))
            return true;
    return false;
}

bool rlki_queue_is_watched(const rlk_lock *lock)
{
    const rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    for (; other != NULL; other = other->queue_next)
        if (other->position == RLKI_POSITION_HOLDER && queue_same_key(lock, other) &&
            !other->as.hold.watched)
            return false;
    return true;
}

void rlki_queue_count(rlk_lock *lock, const rlk_lock *before, bool handed)
{
    unsigned handoffs = before->handoffs;

    if (handed && handoffs <= lock->client->max_handoffs) /* one too many is as good as more */
        handoffs++;
    if (lock->handoffs < handoffs)
        lock->handoffs = (uint8_t)handoffs;
}

void rlki_queue_recount(rlk_lock *lock)
{
    const rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    lock->handoffs = 0;
    for (; other != NULL; other = other->queue_next)
        if (other->position == RLKI_POSITION_HOLDER && queue_same_key(lock, other))
            rlki_queue_count(lock, other, true);
}

bool rlki_queue_wait(rlk_lock *lock)
{
    rlk_lock *first = queue_first(lock);

    if (first == NULL) {
        rlki_queue_recount(lock);
        lock->behind_head = NULL;
        lock->behind_tail = NULL;
        queue_put(lock, RLKI_POSITION_FIRST);
        return true;
    }
    lock->position = RLKI_POSITION_BEHIND;
    lock->queue_next = NULL;
    lock->queue_prev = first->behind_tail;
    if (first->behind_tail != NULL)
        first->behind_tail->queue_next = lock;
    else
        first->behind_head = lock;
    first->behind_tail = lock;
    return false;
}

/* The first of a queue that the lock is at an end of. Not by the key: that may have changed. */
static rlk_lock *queue_first_of(const rlk_lock *lock)
{
    rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    while (other != NULL && (other->position != RLKI_POSITION_FIRST ||
                             (other->behind_head != lock && other->behind_tail != lock)))
        other = other->queue_next;
    return other;
}

static void queue_leave_behind(rlk_lock *lock)
{
    rlk_lock *first = queue_first_of(lock);

    if (lock->queue_prev != NULL)
        lock->queue_prev->queue_next = lock->queue_next;
    else
        first->behind_head = lock->queue_next;
    if (lock->queue_next != NULL)
        lock->queue_next->queue_prev = lock->queue_prev;
    else
        first->behind_tail = lock->queue_prev;
    lock->position = RLKI_POSITION_NONE;
}

/* The first leaves, and the next one is the first. */
static rlk_lock *queue_leave_first(rlk_lock *lock)
{
    rlk_lock *next = lock->behind_head;

    queue_take(lock);
    if (next == NULL)
        return NULL;
    next->behind_head = next->queue_next;
    next->behind_tail = next->behind_head != NULL ? lock->behind_tail : NULL;
    if (next->behind_head != NULL)
        next->behind_head->queue_prev = NULL;
    queue_put(next, RLKI_POSITION_FIRST);
    return next;
}

rlk_lock *rlki_queue_leave(rlk_lock *lock)
{
    switch (lock->position) {
    case RLKI_POSITION_HOLDER:
        queue_take(lock);
        break;
    case RLKI_POSITION_FIRST:
        return queue_leave_first(lock);
    case RLKI_POSITION_BEHIND:
        queue_leave_behind(lock);
        break;
    default:
        break;
    }
    return NULL;
}

rlk_lock *rlki_queue_hold(rlk_lock *lock)
{
    rlk_lock *next = rlki_queue_leave(lock);

    queue_put(lock, RLKI_POSITION_HOLDER);
    return next;
}
