/* SPDX-License-Identifier: MIT */
#include "epoch.h"
#include "clock.h"
#include "operation.h"
#include "timers.h"

extern inline void rlki_client_advance(rlk_client *client, int64_t clock_ms);

extern inline void rlki_client_now(rlk_client *client);

/* A unit begins where the caller's clock is a multiple of it. */
static int32_t epoch_now(const rlk_client *client)
{
    return (int32_t)(client->clock_ms & (RLKI_CLOCK_UNIT - 1));
}

void rlki_client_begin_time(rlk_client *client)
{
    client->clock_ms = client->env.now_ms(client->env.context);
    client->now_ms = epoch_now(client);
    rlki_timers_init(&client->timers, client->now_ms);
}

/* ---- The own clock begins anew ---- */

#define EPOCH_TIME(field) ((uint16_t)offsetof(rlk_lock, field))

/* The times that a lock has in any state, and those of an acquire and of a lease. */
static const uint16_t epoch_of_lock[] = {EPOCH_TIME(phase_ms), EPOCH_TIME(retry_ms),
                                         EPOCH_TIME(cleanup_ms)};
static const uint16_t epoch_of_waiter[] = {EPOCH_TIME(as.wait.gate_ms),
                                           EPOCH_TIME(as.wait.report_ms)};
static const uint16_t epoch_of_hold[] = {
    EPOCH_TIME(as.hold.target_ms), EPOCH_TIME(as.hold.claim_ms), EPOCH_TIME(as.hold.valid_ms),
    EPOCH_TIME(as.hold.renew_ms), EPOCH_TIME(as.hold.watch_ms)};

static void epoch_time(int32_t *time_ms, uint32_t by_ms)
{
    *time_ms = rlki_earlier(*time_ms, by_ms);
}

static void epoch_times(rlk_lock *lock, const uint16_t *offsets, size_t len, uint32_t by_ms)
{
    size_t i;

    for (i = 0; i < len; i++)
        epoch_time((int32_t *)(void *)((uint8_t *)lock + offsets[i]), by_ms);
}

#define EPOCH_TIMES(lock, table, by_ms)                                                            \
    epoch_times((lock), (table), sizeof(table) / sizeof(table)[0], (by_ms))

/* Units of RLKI_CLOCK_UNIT, in milliseconds; 256 are more than any time has. */
static uint32_t epoch_units(uint32_t units)
{
    return units < 256 ? units * RLKI_CLOCK_UNIT : UINT32_MAX;
}

/* An end that was too far away for 32 bits comes nearer first. */
static void epoch_deadline(rlk_lock *lock, uint32_t units)
{
    uint32_t later = units < lock->later ? units : lock->later;

    lock->later = (uint16_t)(lock->later - later);
    epoch_time(&lock->deadline_ms, epoch_units(units - later));
}

static void epoch_lock(rlk_lock *lock, uint32_t units)
{
    uint32_t by_ms = epoch_units(units);
    bool waits = lock->op != NULL && (lock->op->flags & RLKI_OP_WAITS) != 0;
    unsigned i;

    if (lock->timer.link != NULL) { /* due: the lock sets it anew */
        lock->timer.link = NULL;
        rlki_timers_set(&lock->client->timers, &lock->timer, lock->client->now_ms);
    }
    epoch_deadline(lock, units);
    EPOCH_TIMES(lock, epoch_of_lock, by_ms);
    if (waits)
        EPOCH_TIMES(lock, epoch_of_waiter, by_ms);
    else
        EPOCH_TIMES(lock, epoch_of_hold, by_ms);
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        epoch_time(&node->expiry_ms, by_ms);
        if (node->request.state != RLK_REQUEST_QUEUED) /* one that is answered now is IDLE */
            epoch_time(&node->request.as.owner_ms, by_ms);
        if (waits)
            epoch_time(&lock->as.wait.recheck_at_ms[i], by_ms);
    }
}

void rlki_client_turn_back(rlk_client *client, uint64_t passed_ms)
{
    uint64_t units = (passed_ms + (uint32_t)client->now_ms) / (uint32_t)RLKI_CLOCK_UNIT;
    uint32_t whole = units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
    rlk_lock *lock;

    client->now_ms = epoch_now(client);
    client->served_ms = rlki_earlier(client->served_ms, epoch_units(whole));
    client->hurried_ms = rlki_earlier(client->hurried_ms, epoch_units(whole));
    rlki_timers_init(&client->timers, client->now_ms);
    for (lock = client->locks; lock != NULL; lock = lock->next)
        epoch_lock(lock, whole);
}
