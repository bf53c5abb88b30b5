/* SPDX-License-Identifier: MIT
 *
 * resplock's clients of a storm: blocking calls, event loops, elections, single attempts.
 */
#define _GNU_SOURCE
#include "storm.h"

#include "nodes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STEP_MS   4    /* of a lease: between two checks of it */
#define LATEST_MS 5000 /* an answer that is this late is none */

static nodes set;
static rlk_lock lock;

/* ---- Results ---- */

/* A result that no operation may have here: an error of usage, or fatal. */
static void note_odd(storm_job *job, rlk_result result)
{
    rlk_result_kind kind = rlk_result_class(result);

    if (kind == RLK_KIND_USAGE || kind == RLK_KIND_FATAL) {
        fprintf(stderr, "storm: odd result %s: %s\n", rlk_result_name(result),
                rlk_lock_error(&lock));
        board_set(&job->slot->odd, result);
    }
}

static void note_result(storm_job *job, rlk_result result)
{
    note_odd(job, result);
    if (result == RLK_BUSY)
        client_add(job, COUNT_BUSY);
    else if (result == RLK_TIMED_OUT)
        client_add(job, COUNT_TIMED_OUT);
    else if (result == RLK_CANCELLED)
        client_add(job, COUNT_CANCELLED);
    else if (result == RLK_UNKNOWN)
        client_add(job, COUNT_UNKNOWN);
    else if (result < 0)
        client_add(job, COUNT_ERROR);
}

/* ---- The lease ---- */

/* When it ends as of now, or 0. The clock is read before the lease: it may end later, not sooner.
 */
static int64_t lease_until_us(void)
{
    int64_t now_ms = rlk_system_now_ms(NULL);
    int64_t left_ms = rlk_remaining_ms(&lock);

    return left_ms > 0 ? (now_ms + left_ms) * 1000 : 0;
}

/* False: it was won too late. */
static bool lease_begin(storm_job *job)
{
    int64_t until_us = lease_until_us();

    if (until_us == 0)
        return false;
    claim_begin(job, until_us);
    if (job->cheat == CHEAT_LEAK)
        (void)open("/dev/null", O_RDONLY);
    return true;
}

/* A call follows that may renew it, or find it lost. */
static void lease_call(storm_job *job)
{
    board_set(&job->slot->in_call_us, storm_now_us());
}

/* ... and was made: true if the lease is still valid. */
static bool lease_goes_on(storm_job *job)
{
    int64_t until_us = lease_until_us();
    int64_t began_us = job->slot->in_call_us;

    if (until_us > 0) {
        claim_until(job, until_us);
    } else {
        /* lost at its deadline, or before: then the server said so */
        bool early = storm_now_us() < board_get(&job->slot->open.end_us);

        claim_end(job, early ? began_us : INT64_MAX, early);
        client_add(job, COUNT_LOST);
    }
    board_set(&job->slot->in_call_us, 0);
    return until_us > 0;
}

/* Before the call that releases. */
static void lease_end(storm_job *job, int64_t counter)
{
    board_set(&job->slot->writing, 1);
    counter_write(job, counter, rlk_remaining_ms(&lock));
    board_set(&job->slot->writing, 0);
    if (job->cheat == CHEAT_HELD)
        claim_end(job, storm_now_us() + 20000, false);
    claim_end(job, storm_now_us(), false);
}

/* ---- Blocking ---- */

static void hold_blocking(storm_job *job)
{
    int64_t counter = counter_read(job);
    int64_t end_ms = support_now_ms() + client_hold_ms(job);

    while (support_now_ms() < end_ms && !client_leaves(job)) {
        support_sleep_ms(STEP_MS < end_ms - support_now_ms() ? STEP_MS : 1);
        lease_call(job);
        client_op(job, LATEST_MS);
        note_odd(job, rlk_keep_alive(&lock));
        client_op(job, 0);
        if (!lease_goes_on(job))
            return;
    }
    lease_end(job, counter);
}

static void release_blocking(storm_job *job)
{
    client_op(job, STORM_OPERATION + STORM_SETTLE);
    note_result(job, rlk_release(&lock));
    client_op(job, 0);
}

static void run_blocking(storm_job *job)
{
    bool tries = job->kind == KIND_POLLER;

    while (!client_leaves(job)) {
        int64_t wait_ms = tries ? RLK_TRY : STORM_WAIT_MS;
        int64_t pause_ms;
        rlk_result result;

        if (tries && board_get(&job->arena->phase) == PHASE_CALM) {
            support_sleep_ms(20);
            continue;
        }
        client_op(job, (tries ? STORM_OPERATION : STORM_WAIT_MS) + STORM_SETTLE);
        result = rlk_acquire(&lock, wait_ms);
        client_op(job, 0);
        note_result(job, result);
        if (result == RLK_OK) {
            if (lease_begin(job))
                hold_blocking(job);
            release_blocking(job);
        }
        pause_ms = client_pause_ms(job);
        if (result != RLK_OK) /* a poll, or an error that came at once */
            pause_ms += 1 + dice_roll(&job->dice, 5);
        if (pause_ms > 0) /* a sleep of 0 takes some time, too */
            support_sleep_ms(pause_ms);
    }
}

/* ---- In a loop ---- */

/* Serves until the lock has no operation: its result is taken. */
static rlk_result loop_result(storm_job *job, int64_t bound_ms)
{
    rlk_event event;

    client_op(job, bound_ms);
    event.result = RLK_PENDING;
    while (rlk_lock_operation(&lock) != RLK_OP_NONE)
        if (loop_next_event(&set.posix, &event, 20) && event.operation != RLK_OP_NONE)
            note_result(job, event.result);
    client_op(job, 0);
    while (rlk_client_next_event(&set.posix.client, &event))
        if (event.operation != RLK_OP_NONE)
            note_result(job, event.result);
    return event.result;
}

/* Waits until the lease begins; false: the operation is over. */
static bool loop_wait(storm_job *job, int64_t patience_ms)
{
    int64_t end_ms = support_now_ms() + patience_ms;
    rlk_event event;

    while (!client_leaves(job) && support_now_ms() < end_ms) {
        if (!loop_next_event(&set.posix, &event, 10))
            continue;
        if (event.type == RLK_EV_ACQUIRED)
            return lease_begin(job);
        if (event.operation == RLK_OP_ACQUIRE) {
            note_result(job, event.result);
            return false;
        }
    }
    return false;
}

/* Serves for as long as it holds the lease. */
static void hold_in_loop(storm_job *job)
{
    int64_t counter = counter_read(job);
    int64_t end_ms = support_now_ms() + client_hold_ms(job);

    while (support_now_ms() < end_ms && !client_leaves(job)) {
        int64_t left_ms = end_ms - support_now_ms();
        rlk_event event;

        lease_call(job);
        if (loop_next_event(&set.posix, &event, left_ms < 10 ? left_ms : 10) &&
            event.type == RLK_EV_RENEWED)
            client_add(job, COUNT_RENEWED);
        if (!lease_goes_on(job))
            return;
    }
    lease_end(job, counter);
}

static void end_in_loop(storm_job *job, rlk_result started)
{
    if (started == RLK_PENDING)
        loop_result(job, STORM_OPERATION + STORM_SETTLE);
    else
        note_result(job, started);
}

static void run_in_loop(storm_job *job)
{
    while (!client_leaves(job)) {
        rlk_result result = rlk_acquire_start(&lock, RLK_FOREVER);
        bool faults = board_get(&job->arena->phase) == PHASE_FAULTS;

        if (result != RLK_PENDING) {
            note_result(job, result);
            support_sleep_ms(5);
            continue;
        }
        if (loop_wait(job, faults && dice_roll(&job->dice, 4) == 0 ? dice_roll(&job->dice, 300)
                                                                   : INT64_C(1) << 40))
            hold_in_loop(job);
        if (rlk_lock_operation(&lock) != RLK_OP_NONE) {
            (void)rlk_cancel(&lock);
            loop_result(job, STORM_SETTLE);
            if (rlk_is_held(&lock)) /* it came first */
                end_in_loop(job, rlk_release_start(&lock));
        } else {
            end_in_loop(job, rlk_release_start(&lock));
        }
        loop_serve(&set.posix, client_pause_ms(job));
    }
}

/* ---- Elected ---- */

static void run_elected(storm_job *job)
{
    while (!client_leaves(job)) {
        rlk_result result = rlk_campaign_start(&lock);

        if (result != RLK_PENDING) {
            note_result(job, result);
            rlk_client_reset(&set.posix.client);
            support_sleep_ms(5);
            continue;
        }
        /* after a loss it follows again without a call, so it may lead several times */
        while (loop_wait(job, INT64_C(1) << 40)) {
            hold_in_loop(job);
            if (rlk_is_held(&lock))
                break;
        }
        end_in_loop(job, rlk_resign_start(&lock));
        loop_serve(&set.posix, client_pause_ms(job));
    }
    if (rlk_is_held(&lock))
        end_in_loop(job, rlk_release_start(&lock));
}

/* ---- All of them ---- */

static void client_open(storm_job *job)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.response_timeout_ms = 400;
    options.backoff_max_ms = 100;
    options.operation_timeout_ms = STORM_OPERATION;
    options.settle_timeout_ms = STORM_SETTLE;
    config.ttl_ms = STORM_TTL_MS;
    config.auto_renew = job->kind == KIND_LOOP;
    config.recheck_max_ms = 1000;
    job->calm = board_get(&job->arena->phase) == PHASE_CALM;
    if (!job->calm && dice_roll(&job->dice, 2) == 0)
        config.watch_after_ms = 1; /* a deletion is noticed in short leases too */
    nodes_open_urls(&set, job->calm ? job->urls : job->detour, job->nodes, &options);
    assert_result(rlk_lock_init(&lock, &set.posix.client, STORM_KEY, &config), RLK_OK);
}

static void client_close(storm_job *job)
{
    if (rlk_lock_close(&lock) == RLK_UNKNOWN)
        client_add(job, COUNT_UNKNOWN);
    nodes_close(&set);
}

int client_run(storm_job *job)
{
    board_set(&job->slot->fds_before, client_fds());
    while (!client_stops(job)) {
        client_open(job);
        if (job->kind == KIND_LOOP)
            run_in_loop(job);
        else if (job->kind == KIND_ELECTED)
            run_elected(job);
        else
            run_blocking(job);
        client_close(job);
    }
    board_set(&job->slot->fds_after, client_fds());
    return 0;
}
