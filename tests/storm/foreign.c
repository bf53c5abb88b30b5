/* SPDX-License-Identifier: MIT
 *
 * A client of the same convention that shares no code with resplock: a plain random token by
 * SET NX PX, compare-and-delete by EVAL, on one server or on a majority, one server after the
 * other. It polls, and does not renew. As in redis-py and Redlock, what it claims counts from
 * before its first command.
 */
#define _GNU_SOURCE
#include "storm.h"

#include "admin.h"
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define ANSWER_MS 300
#define RELEASE                                                                                    \
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return " \
    "0 end"

static int fds[STORM_NODES];
static char token[33];

/* The reply's first byte; 0: none came, and the connection is given up. */
static char ask(storm_job *job, size_t node, const char *format, ...)
{
    admin_text command = {NULL, 0, 0};
    admin_text reply = {NULL, 0, 0};
    va_list arguments;
    char type = 0;

    if (fds[node] < 0)
        fds[node] = admin_connect(job->urls[node] + strlen("unix://"));
    va_start(arguments, format);
    admin_encode(&command, format, arguments);
    va_end(arguments);
    if (fds[node] >= 0 && (!admin_send(fds[node], command.data, command.len) ||
                           admin_receive(fds[node], ANSWER_MS, &reply, &type) != ADMIN_OK)) {
        close(fds[node]);
        fds[node] = -1;
        type = 0;
    }
    admin_text_free(&command);
    admin_text_free(&reply);
    return type;
}

static void token_new(void)
{
    unsigned char random[16];
    size_t i;

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        support_fail("getrandom");
    for (i = 0; i < sizeof random; i++)
        snprintf(token + 2 * i, 3, "%02x", random[i]);
}

static void undo(storm_job *job)
{
    size_t i;

    for (i = 0; i < job->nodes; i++)
        (void)ask(job, i, "EVAL %s 1 %s %s", RELEASE, STORM_KEY, token);
}

/* One attempt: until when it may claim the lock, or 0. */
static int64_t acquire(storm_job *job)
{
    int64_t until_us = storm_now_us() + STORM_TTL_MS * 990 - 2000;
    size_t votes = 0;
    size_t i;

    token_new();
    for (i = 0; i < job->nodes; i++)
        if (ask(job, i, "SET %s %s NX PX %d", STORM_KEY, token, STORM_TTL_MS) == '+')
            votes++;
    if (votes > job->nodes / 2 && storm_now_us() < until_us)
        return until_us;
    undo(job);
    return 0;
}

static void hold(storm_job *job, int64_t until_us)
{
    int64_t counter = counter_read(job);
    int64_t hold_ms = client_hold_ms(job);

    claim_begin(job, until_us);
    support_sleep_ms(hold_ms < STORM_TTL_MS ? hold_ms : STORM_TTL_MS / 2);
    board_set(&job->slot->writing, 1);
    counter_write(job, counter, (until_us - storm_now_us()) / 1000);
    board_set(&job->slot->writing, 0);
    claim_end(job, storm_now_us(), false);
}

/* Before its own attempt it deletes the key of another, or counts without the lock. */
static void cheat(storm_job *job)
{
    if (job->cheat == CHEAT_DELETE)
        (void)ask(job, 0, "DEL %s", STORM_KEY);
    if (job->cheat == CHEAT_COUNT) {
        int64_t counter = counter_read(job);

        support_sleep_ms(5);
        counter_write(job, counter, STORM_TTL_MS);
    }
    if (job->cheat == CHEAT_FOREVER)
        (void)ask(job, 0, "SET left-behind x");
    if (job->cheat == CHEAT_HANG && job->slot->counts[COUNT_ACQUIRED] > 0) {
        client_op(job, 1);
        for (;;)
            pause();
    }
    if (job->cheat == CHEAT_DIE && job->slot->counts[COUNT_ACQUIRED] > 0)
        _exit(3);
}

int foreign_run(storm_job *job)
{
    size_t i;

    board_set(&job->slot->fds_before, client_fds());
    for (i = 0; i < STORM_NODES; i++)
        fds[i] = -1;
    while (!client_stops(job)) {
        int64_t until_us;

        if (board_get(&job->arena->phase) == PHASE_CALM) {
            support_sleep_ms(20);
            continue;
        }
        cheat(job);
        until_us = acquire(job);
        if (until_us > 0) {
            hold(job, until_us);
            undo(job);
        } else {
            client_add(job, COUNT_BUSY);
        }
        support_sleep_ms(1 + dice_roll(&job->dice, 15));
    }
    for (i = 0; i < STORM_NODES; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    board_set(&job->slot->fds_after, client_fds());
    return 0;
}
