/* SPDX-License-Identifier: MIT
 *
 * The client's index has, by the hash of the key, the locks that are held, and of those that wait
 * for one key the first: it asks the server for all of them. The others queue behind it and cost
 * nothing.
 *
 *    bucket --> held --> first waiter --> held (another key) ...
 *                         | queue.last
 *             waiter <--> waiter          (a ring: behind the last comes the next to be first)
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
    lock->queue_next = *bucket;
    *bucket = lock;
}

/* By a walk through the bucket, as short as those of queue_first. */
static void queue_take(rlk_lock *lock)
{
    rlk_lock **link = queue_head(lock->client, lock->key_hash);

    while (*link != lock)
        link = &(*link)->queue_next;
    *link = lock->queue_next;
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
    const rlk_lock *first = lock->position == RLKI_POSITION_BEHIND ? queue_first(lock) : NULL;

    return first != NULL ? first : lock;
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
            other->as.hold.watch_ms != RLKI_NEVER)
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

/* Those behind the first are a ring: the next of the last one is the one that came first. */
static void queue_append(rlk_lock *first, rlk_lock *lock)
{
    rlk_lock *last = first->queue.last != NULL ? first->queue.last : lock;

    lock->queue.prev = last;
    lock->queue_next = last != lock ? last->queue_next : lock;
    last->queue_next = lock;
    lock->queue_next->queue.prev = lock;
    first->queue.last = lock;
}

bool rlki_queue_wait(rlk_lock *lock)
{
    rlk_lock *first = queue_first(lock);

    if (first == NULL) {
        rlki_queue_recount(lock);
        lock->queue.last = NULL;
        queue_put(lock, RLKI_POSITION_FIRST);
        return true;
    }
    lock->position = RLKI_POSITION_BEHIND;
    queue_append(first, lock);
    return false;
}

/* The first waiter of a queue of which the lock is the last, or NULL. Not by the key: that may have
 * changed. */
static rlk_lock *queue_first_of(const rlk_lock *lock)
{
    rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    while (other != NULL && (other->position != RLKI_POSITION_FIRST || other->queue.last != lock))
        other = other->queue_next;
    return other;
}

static void queue_leave_behind(rlk_lock *lock)
{
    rlk_lock *first = queue_first_of(lock);

    if (first != NULL)
        first->queue.last = lock->queue_next != lock ? lock->queue.prev : NULL;
    lock->queue.prev->queue_next = lock->queue_next;
    lock->queue_next->queue.prev = lock->queue.prev;
    lock->position = RLKI_POSITION_NONE;
}

/* The first leaves, and the next one is the first. */
static rlk_lock *queue_leave_first(rlk_lock *lock)
{
    rlk_lock *last = lock->queue.last;
    rlk_lock *next;

    queue_take(lock);
    if (last == NULL)
        return NULL;
    next = last->queue_next;
    last->queue_next = next->queue_next;
    last->queue_next->queue.prev = last;
    next->queue.last = next != last ? last : NULL;
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
