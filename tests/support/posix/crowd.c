/* SPDX-License-Identifier: MIT */
#include "crowd.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Life ---- */

static void crowd_trace(void *context, const rlk_trace *trace)
{
    crowd_member *member = (crowd_member *)context;

    if (trace->kind == RLK_TRACE_COMMAND)
        member->commands++;
    if (trace->kind == RLK_TRACE_PUSH && trace->number == RLK_CAUSE_PUSH)
        member->pushes++;
}

static void crowd_join(crowd *many, crowd_member *member, const rlk_posix_options *options,
                       const char *key, const rlk_lock_config *config)
{
    const char *urls[CROWD_NODES];
    rlk_posix_options own;
    size_t i;

    memset(member, 0, sizeof *member);
    memset(&own, 0, sizeof own);
    if (options != NULL)
        own = *options;
    own.env.context = member;
    own.env.trace = crowd_trace;
    member->of = many;
    for (i = 0; i < many->nodes; i++) {
        urls[i] = server_url(many->servers[i]);
        member->memory[i].ring = member->rings[i];
        member->memory[i].ring_len = COUNT_OF(member->rings[i]);
        member->memory[i].tx = member->tx[i];
        member->memory[i].tx_cap = sizeof member->tx[i];
        member->memory[i].rx = member->rx[i];
        member->memory[i].rx_cap = sizeof member->rx[i];
    }
    assert_result(rlk_posix_open_nodes(&member->posix, urls, member->memory, many->nodes, &own),
                  RLK_OK);
    assert_result(rlk_lock_init(&member->lock, &member->posix.client, key, config), RLK_OK);
}

void crowd_open_keys(crowd *many, size_t count, server *const *servers, size_t node_count,
                     const rlk_posix_options *options, const char *const *keys, size_t keys_len,
                     const rlk_lock_config *config)
{
    size_t i;

    assert_true(count <= CROWD_MAX && node_count <= CROWD_NODES);
    many->count = count;
    many->nodes = node_count;
    many->holding = 0;
    many->last = NULL;
    memcpy(many->servers, servers, node_count * sizeof *servers);
    for (i = 0; i < count; i++)
        crowd_join(many, &many->members[i], options, keys[i % keys_len], config);
}

void crowd_open(crowd *many, size_t count, server *const *servers, size_t node_count,
                const rlk_posix_options *options, const char *key, const rlk_lock_config *config)
{
    crowd_open_keys(many, count, servers, node_count, options, &key, 1, config);
}

void crowd_close(crowd *many)
{
    size_t i;

    for (i = 0; i < many->count; i++)
        rlk_posix_close(&many->members[i].posix);
    many->count = 0;
}

/* ---- Serving ---- */

static void crowd_event(crowd *many, const rlk_event *event)
{
    size_t i = 0;

    while (&many->members[i].lock != event->lock)
        i++;
    switch (event->type) {
    case RLK_EV_ACQUIRED:
        many->members[i].acquired++;
        many->holding++;
        many->last = &many->members[i];
        break;
    case RLK_EV_RESULT:
        if (event->operation != RLK_OP_RELEASE || event->result != RLK_OK)
            support_fail("member %zu: operation %d ends with %s", i, (int)event->operation,
                         rlk_result_name(event->result));
        many->holding--;
        break;
    case RLK_EV_RENEWED:
        break;
    default:
        support_fail("member %zu: event %d, result %s", i, (int)event->type,
                     rlk_result_name(event->result));
    }
}

static void crowd_turn(crowd *many, int64_t end)
{
    static struct pollfd fds[CROWD_MAX * CROWD_NODES];
    nfds_t counts[CROWD_MAX];
    int64_t left = end - support_now_ms();
    rlk_event event;
    nfds_t n = 0;
    nfds_t first = 0;
    size_t i;

    if (left < 0)
        left = 0;
    for (i = 0; i < many->count; i++) {
        rlk_posix_client *posix = &many->members[i].posix;
        int timeout;

        counts[i] = rlk_posix_prepare(posix, fds + n, CROWD_NODES, &timeout);
        n += counts[i];
        if (timeout >= 0 && timeout < left)
            left = timeout;
    }
    poll(fds, n, (int)left);
    for (i = 0; i < many->count; i++) {
        rlk_posix_client *posix = &many->members[i].posix;

        assert_result(rlk_posix_service(posix, fds + first, counts[i]), RLK_OK);
        first += counts[i];
        while (rlk_client_next_event(&posix->client, &event))
            crowd_event(many, &event);
    }
}

void crowd_serve(crowd *many, int64_t ms)
{
    int64_t end = support_now_ms() + ms;

    do {
        crowd_turn(many, end);
    } while (support_now_ms() < end);
}

void crowd_calm(crowd *many)
{
    crowd_count before;
    crowd_count after = crowd_calls(many);

    do {
        before = after;
        crowd_serve(many, INT64_C(20) * support_time_factor());
        after = crowd_calls(many);
    } while (memcmp(&before, &after, sizeof before) != 0);
}

static bool crowd_all_tried(const crowd *many)
{
    rlk_stats stats;
    size_t i;

    for (i = 0; i < many->count; i++) {
        rlk_client_stats(&many->members[i].posix.client, &stats);
        if (stats.attempts == 0)
            return false;
    }
    return true;
}

void crowd_wait(crowd *many)
{
    size_t i;

    for (i = 0; i < many->count; i++)
        assert_result(rlk_acquire_start(&many->members[i].lock, RLK_FOREVER), RLK_PENDING);
    crowd_until(many, crowd_all_tried(many));

    crowd_calm(many);
}

/* ---- Counting ---- */

static int64_t crowd_calls_of(const char *text, const char *command)
{
    char line[64];
    const char *found;

    snprintf(line, sizeof line, "\ncmdstat_%s:calls=", command);
    found = strstr(text, line);
    return found != NULL ? strtoll(found + strlen(line), NULL, 10) : 0;
}

crowd_count server_count(server *redis)
{
    const char *text = server_text(redis, "INFO commandstats"); /* all at one instant */
    crowd_count count;

    count.sets = crowd_calls_of(text, "set");
    count.pttls = crowd_calls_of(text, "pttl");
    count.scripts = crowd_calls_of(text, "evalsha");
    return count;
}

crowd_count crowd_calls(const crowd *many)
{
    crowd_count sum = {0, 0, 0};
    size_t i;

    for (i = 0; i < many->nodes; i++) {
        crowd_count one = server_count(many->servers[i]);

        sum.sets += one.sets;
        sum.pttls += one.pttls;
        sum.scripts += one.scripts;
    }
    return sum;
}

rlk_stats crowd_stats(const crowd *many)
{
    rlk_stats sum;
    rlk_stats one;
    size_t i;
    int cause;

    memset(&sum, 0, sizeof sum);
    for (i = 0; i < many->count; i++) {
        rlk_client_stats(&many->members[i].posix.client, &one);
        sum.attempts += one.attempts;
        sum.acquired += one.acquired;
        sum.probes += one.probes;
        sum.renewed += one.renewed;
        sum.lost += one.lost;
        sum.connects += one.connects;
        for (cause = 0; cause < RLK_CAUSES; cause++)
            sum.causes[cause] += one.causes[cause];
    }
    return sum;
}

unsigned crowd_pushes(const crowd *many)
{
    unsigned sum = 0;
    size_t i;

    for (i = 0; i < many->count; i++)
        sum += many->members[i].pushes;
    return sum;
}

unsigned crowd_commands(const crowd *many)
{
    unsigned sum = 0;
    size_t i;

    for (i = 0; i < many->count; i++)
        sum += many->members[i].commands;
    return sum;
}

uint32_t cause_count(const rlk_posix_client *posix, rlk_cause cause)
{
    rlk_stats stats;

    rlk_client_stats(&posix->client, &stats);
    return stats.causes[cause];
}

void crowd_assert_causes(const rlk_posix_client *posix, const uint32_t *expected, const char *file,
                         int line)
{
    rlk_stats stats;
    uint32_t sum = 0;
    int cause;

    rlk_client_stats(&posix->client, &stats);
    for (cause = 0; cause < RLK_CAUSES; cause++) {
        sum += expected[cause];
        if (stats.causes[cause] != expected[cause])
            support_fail_at(file, line, "%u attempts by %s instead of %u", stats.causes[cause],
                            rlk_cause_name((rlk_cause)cause), expected[cause]);
    }
    if (stats.attempts != sum)
        support_fail_at(file, line, "%u attempts instead of %u", stats.attempts, sum);
}
