/* SPDX-License-Identifier: MIT */
#include "nodes.h"

#include <poll.h>
#include <string.h>

void nodes_open_urls(nodes *set, const char *const *urls, size_t count,
                     const rlk_posix_options *options)
{
    size_t i;

    set->count = count;
    for (i = 0; i < count; i++) {
        set->memory[i].ring = set->rings[i];
        set->memory[i].ring_len = COUNT_OF(set->rings[i]);
        set->memory[i].tx = set->tx[i];
        set->memory[i].tx_cap = sizeof set->tx[i];
        set->memory[i].rx = set->rx[i];
        set->memory[i].rx_cap = sizeof set->rx[i];
    }
    assert_result(rlk_posix_open_nodes(&set->posix, urls, set->memory, count, options), RLK_OK);
}

static void nodes_open_servers(nodes *set, const rlk_posix_options *options)
{
    const char *urls[RLK_MAX_NODES];
    size_t i;

    for (i = 0; i < set->count; i++)
        urls[i] = server_url(set->servers[i]);
    nodes_open_urls(set, urls, set->count, options);
}

void nodes_start(nodes *set, size_t count, const server_config *config,
                 const rlk_posix_options *options)
{
    size_t i;

    set->count = count;
    for (i = 0; i < count; i++)
        set->servers[i] = server_start(config);
    nodes_open_servers(set, options);
}

void nodes_open_again(nodes *set, const nodes *other, const rlk_posix_options *options)
{
    set->count = other->count;
    memcpy(set->servers, other->servers, sizeof set->servers);
    nodes_open_servers(set, options);
}

bool nodes_ready(nodes *set)
{
    size_t i;

    for (i = 0; i < set->count; i++)
        if (rlk_conn_get_state(rlk_client_conn(&set->posix.client, i)) != RLK_CONN_READY)
            return false;
    return true;
}

void nodes_connect(nodes *set)
{
    serve_until(&set->posix, nodes_ready(set));
}

void nodes_each(const nodes *set, void (*act)(server *redis))
{
    size_t i;

    for (i = 0; i < set->count; i++)
        act(set->servers[i]);
}

void nodes_close(nodes *set)
{
    rlk_posix_close(&set->posix);
}

size_t nodes_holding(const nodes *set, const char *key, const char *token)
{
    size_t holding = 0;
    size_t i;

    for (i = 0; i < set->count; i++) {
        const char *value;

        if (server_pid(set->servers[i]) == 0)
            continue;
        value = server_text(set->servers[i], "GET %s", key);
        if (value != NULL && (token == NULL || strcmp(value, token) == 0))
            holding++;
    }
    return holding;
}

const rlk_lock_config config_unwatched = {.watch_after_ms = RLK_TIME_LIMIT_MAX};

rlk_lock_config config_renewing(int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = scaled(ttl_ms);
    config.auto_renew = true;
    return config;
}

const char *token_of(const rlk_lock *lock)
{
    static char texts[4][RLK_TOKEN_MAX + 1];
    static unsigned next;
    char *text = texts[next++ % 4];

    assert_true(rlk_lock_token(lock, text, sizeof texts[0]) > 0);
    return text;
}

/* One turn of an event loop; waits at most until `end`. */
static void loop_turn(rlk_posix_client *posix, int64_t end)
{
    struct pollfd fds[RLK_MAX_FDS];
    int timeout;
    nfds_t n = rlk_posix_prepare(posix, fds, RLK_MAX_FDS, &timeout);
    int64_t left = end - support_now_ms();

    if (left < 0)
        left = 0;
    if (timeout < 0 || timeout > left)
        timeout = (int)left;
    poll(fds, n, timeout);
    assert_result(rlk_posix_service(posix, fds, n), RLK_OK);
}

bool loop_next_event(rlk_posix_client *posix, rlk_event *event, int64_t ms)
{
    int64_t end = support_now_ms() + ms;

    while (!rlk_client_next_event(&posix->client, event) || event->type == RLK_EV_WAITING) {
        if (support_now_ms() >= end)
            return false;
        loop_turn(posix, end);
    }
    return true;
}

void loop_serve(rlk_posix_client *posix, int64_t ms)
{
    int64_t end = support_now_ms() + ms;

    do {
        loop_turn(posix, end);
    } while (support_now_ms() < end);
}

void loop_quiet(rlk_posix_client *posix, int64_t ms)
{
    rlk_event event;
    bool came = loop_next_event(posix, &event, ms);

    if (!came) { /* what was due in this time, even if this process had no turn since */
        loop_turn(posix, 0);
        came = loop_next_event(posix, &event, 0);
    }
    if (came)
        support_fail("unexpected event %d, result %s", (int)event.type,
                     rlk_result_name(event.result));
}

void loop_assert_event(rlk_posix_client *posix, rlk_event_type type, rlk_result result,
                       const char *file, int line)
{
    rlk_event event;

    if (!loop_next_event(posix, &event, INT64_C(10000) * support_time_factor()))
        support_fail_at(file, line, "no event came");
    if (event.type != type || event.result != result)
        support_fail_at(file, line, "event %d with %s instead of %d with %s", (int)event.type,
                        rlk_result_name(event.result), (int)type, rlk_result_name(result));
}

void loop_assert_result(rlk_posix_client *posix, rlk_operation operation, rlk_result result,
                        const char *file, int line)
{
    rlk_event event;

    if (!loop_next_event(posix, &event, INT64_C(10000) * support_time_factor()))
        support_fail_at(file, line, "no event came");
    support_assert_end(&event, operation, result, file, line);
}
