/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <string.h>

/* ---- Streams ----------------------------------------------------------------------------- */

static void harness_link_down(harness_link *link)
{
    while (link->queue.len != 0) {
        if (link->queue.commands[0].kind != HARNESS_OTHER && !link->queue.commands[0].executed)
            *harness_add(&link->loose) = link->queue.commands[0];
        harness_shift(&link->queue);
    }
    link->up = false;
}

/* Opens, refuses, closes what the connection wants opened or closed. */
static bool harness_open_close(harness_link *link)
{
    harness *h = link->harness;
    unsigned wants = rlk_conn_wants(&link->conn);

    if ((wants & RLK_WANT_CLOSE) != 0) {
        harness_link_down(link);
        rlk_conn_closed(&link->conn, RLK_OK, 0, h->now_ms);
        return true;
    }
    if ((wants & RLK_WANT_CONNECT) == 0)
        return false;
    rlk_conn_connecting(&link->conn, h->now_ms);
    if (link->server->refuses) {
        rlk_result why = link->server->refusal != RLK_OK ? link->server->refusal : RLK_E_CONNECT;

        rlk_conn_closed(&link->conn, why, why == RLK_E_CONNECT ? 111 : 0, h->now_ms);
    } else if (!link->server->swallows) {
        link->stream = ++link->server->streams;
        link->up = true;
        link->queue.len = 0;
        link->resp3 = false;
        link->tracking = false;
        memset(link->watched, 0, sizeof link->watched);
        stream_reset(&link->tracker);
        rlk_conn_connected(&link->conn, 0, NULL, h->now_ms);
    }
    return true;
}

static bool harness_take(harness_link *link)
{
    const uint8_t *bytes;
    size_t len;
    size_t i;

    if (!link->up || link->stuck || (rlk_conn_wants(&link->conn) & RLK_WANT_WRITE) == 0)
        return false;
    bytes = rlk_conn_tx_buf(&link->conn, &len);
    for (i = 0; i < len; i++) {
        stream_event event = stream_feed(&link->tracker, (char)bytes[i]);

        assert_int_not_equal(event, STREAM_BROKEN);
        if (event == STREAM_VALUE) {
            harness_command *command = harness_add(&link->queue);

            harness_decode(link, command, link->tracker.words);
            link->server->count[command->kind]++;
        }
    }
    rlk_conn_tx_ack(&link->conn, len, link->harness->now_ms);
    return true;
}

void harness_say(harness_link *link, const void *bytes, size_t len)
{
    const uint8_t *at = (const uint8_t *)bytes;

    while (len != 0 && (rlk_conn_wants(&link->conn) & RLK_WANT_READ) != 0) {
        size_t cap;
        uint8_t *room = rlk_conn_rx_buf(&link->conn, &cap);
        size_t n = len < cap ? len : cap;

        memcpy(room, at, n);
        at += n;
        len -= n;
        rlk_conn_rx_ack(&link->conn, n, link->harness->now_ms);
    }
}

bool harness_deliver(harness_link *link)
{
    char reply[sizeof harness_head(link)->reply];
    harness_command *head = harness_head(link);

    if (head == NULL || !head->executed)
        return false;
    memcpy(reply, head->reply, sizeof reply);
    harness_shift(&link->queue); /* before: the answer may bring new commands */
    harness_say(link, reply, strlen(reply));
    return true;
}

/* Answers what the server answers without the test. */
static bool harness_answer(harness_link *link)
{
    harness_command *head = harness_head(link);

    if (!link->up || head == NULL || link->server->mute ||
        (head->kind != HARNESS_OTHER && !link->server->automatic))
        return false;
    if (!head->executed)
        (void)harness_execute(link);
    return harness_deliver(link);
}

void harness_run(harness *h)
{
    unsigned moves = 0;
    bool moved = true;

    while (moved) {
        unsigned c;
        unsigned i;

        moved = false;
        for (c = 0; c < h->clients; c++) {
            for (i = 0; i < h->nodes; i++) {
                harness_link *link = &h->members[c].links[i];

                moved = harness_open_close(link) || moved;
                moved = harness_take(link) || moved;
                moved = harness_answer(link) || moved;
            }
        }
        assert_true(++moves < 10000); /* a storm */
    }
}

void harness_cut_link(harness_link *link)
{
    if (!link->up)
        return;
    harness_link_down(link);
    rlk_conn_closed(&link->conn, RLK_E_EOF, 0, link->harness->now_ms);
}

void harness_cut(harness *h, unsigned node)
{
    harness_cut_link(harness_link_of(h, node));
}

/* ---- Time -------------------------------------------------------------------------------- */

static int64_t harness_deadline(const harness *h)
{
    int64_t deadline_ms = RLK_NEVER;
    unsigned c;

    for (c = 0; c < h->clients; c++) {
        int64_t own_ms = rlk_client_deadline(&h->members[c].client);

        deadline_ms = own_ms < deadline_ms ? own_ms : deadline_ms;
    }
    return deadline_ms;
}

static void harness_tick(harness *h)
{
    unsigned c;

    for (c = 0; c < h->clients; c++)
        rlk_client_tick(&h->members[c].client);
    harness_run(h);
    for (c = 0; c < h->clients; c++) {
        const rlk_client *client = &h->members[c].client;

        assert_true(h->forked || rlk_client_deadline(client) > h->now_ms);
    }
}

static bool harness_has_event(const harness *h)
{
    unsigned c;

    for (c = 0; c < h->clients; c++)
        if (h->members[c].client.events != NULL)
            return true;
    return false;
}

static bool harness_advance_to(harness *h, int64_t end_ms, bool stop_at_event)
{
    harness_run(h);
    for (;;) {
        int64_t next_ms = harness_deadline(h);

        if (stop_at_event && harness_has_event(h))
            return true;
        if (next_ms > end_ms || h->now_ms >= end_ms)
            break;
        h->now_ms = next_ms > h->now_ms ? next_ms : h->now_ms;
        harness_tick(h);
    }
    h->now_ms = end_ms > h->now_ms ? end_ms : h->now_ms;
    harness_tick(h);
    return stop_at_event && harness_has_event(h);
}

void harness_advance(harness *h, int64_t ms)
{
    (void)harness_advance_to(h, h->now_ms + ms, false);
}

bool harness_next_event(harness *h, rlk_event *event, int64_t ms)
{
    unsigned c;

    (void)harness_advance_to(h, h->now_ms + ms, true);
    for (c = 0; c < h->clients; c++)
        if (rlk_client_next_event(&h->members[c].client, event))
            return true;
    return false;
}

/* ---- Environment ------------------------------------------------------------------------- */

static int64_t harness_env_now(void *context)
{
    return ((const harness_client *)context)->harness->now_ms;
}

/* splitmix64: the same numbers in every run with the same TEST_RANDOM. */
static int harness_env_random(void *context, void *buf, size_t len)
{
    harness *h = ((harness_client *)context)->harness;
    uint8_t *out = (uint8_t *)buf;
    size_t i;

    if (h->no_entropy)
        return -1;
    for (i = 0; i < len; i++) {
        uint64_t z = (h->random += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        out[i] = (uint8_t)(z >> 56);
    }
    return 0;
}

void harness_end_entropy(harness *h)
{
    h->no_entropy = true;
#if RLKI_RANDOM_BLOCK > 0
    {
        unsigned c;

        for (c = 0; c < h->clients; c++)
            h->members[c].client.random_left = 0;
    }
#endif
}

static int harness_env_wait(void *context, rlk_client *client, int64_t deadline_ms)
{
    harness *h = ((harness_client *)context)->harness;

    h->waits++;
    assert_true(h->waits < 100000);
    assert_ptr_equal(client, &((harness_client *)context)->client);
    if (h->on_wait != NULL) {
        int answer = h->on_wait(h);

        if (answer != 0)
            return answer;
    }
    harness_run(h);
    if (h->ends_wait) {
        h->ends_wait = false;
        return 0;
    }
    if (client->events == NULL && deadline_ms > h->now_ms &&
        rlk_client_deadline(client) != RLK_NEVER) {
        if (harness_deadline(h) > h->now_ms)
            h->now_ms = harness_deadline(h);
        harness_tick(h);
    }
    return 0;
}

#ifndef RLK_NO_TEXT
/* Words for one number only. */
static const char *harness_env_errno(void *context, int number)
{
    const harness_client *member = (const harness_client *)context;

    assert_non_null(member->harness);
    return number == HARNESS_ERRNO ? "connection refused" : NULL;
}
#endif

static bool harness_env_same(void *context, const rlk_client *client)
{
    (void)client;
    return !((const harness_client *)context)->harness->forked;
}

/* ---- Life -------------------------------------------------------------------------------- */

harness_link *harness_link_of(harness *h, unsigned node)
{
    return &h->members[0].links[node];
}

static void harness_open_link(harness *h, harness_client *member, unsigned node)
{
    static const char *const hosts[] = {"n0", "n1", "n2", "n3", "n4"};
    harness_link *link = &member->links[node];
    rlk_conn_config config;

    memset(link, 0, sizeof *link);
    memset(&config, 0, sizeof config);
    link->harness = h;
    link->server = &h->servers[node];
    config.url.host = hosts[node];
    config.url.host_len = 2;
    config.url.port = 6379;
    if (node == 0 && h->url != NULL)
        config.url = *h->url;
    config.credentials = h->credentials;
    config.credentials_context = h;
    rlk_client_conn_config(&member->client, &config);
    config.ring = link->ring;
    config.ring_len = COUNT_OF(link->ring);
    config.tx = link->tx;
    config.tx_cap = sizeof link->tx;
    config.rx = link->rx;
    config.rx_cap = sizeof link->rx;
    config.jitter_seed = (uint32_t)h->random + node + 1;
    assert_result(rlk_conn_init(&link->conn, &config, h->now_ms), RLK_OK);
}

void harness_open(harness *h, unsigned nodes, unsigned clients)
{
    unsigned c;
    unsigned i;

    h->nodes = nodes;
    h->clients = clients;
    h->client = &h->members[0].client;
    h->now_ms = HARNESS_START + h->offset_ms;
    if (h->random == 0)
        h->random = support_random_seed();
    h->no_entropy = false;
    h->forked = false;
    h->on_wait = NULL;
    h->ends_wait = false;
    h->waits = 0;
    memset(h->servers, 0, sizeof h->servers);
    for (i = 0; i < nodes; i++)
        h->servers[i].kill_result = 1;
    for (c = 0; c < clients; c++) {
        harness_client *member = &h->members[c];
        rlk_conn *conns[RLK_MAX_NODES];
        rlk_client_config config = h->config;

        member->harness = h;
        for (i = 0; i < nodes; i++) {
            harness_open_link(h, member, i);
            conns[i] = &member->links[i].conn;
        }
        config.env.context = member;
        config.env.now_ms = harness_env_now;
        config.env.random = harness_env_random;
        config.env.wait = harness_env_wait;
        config.env.same_process = harness_env_same;
#ifndef RLK_NO_TEXT
        config.env.errno_text = harness_env_errno;
#endif
        assert_result(rlk_client_init(&member->client, conns, nodes, &config), RLK_OK);
    }
}

void harness_start(harness *h, unsigned nodes)
{
    unsigned i;

    memset(&h->config, 0, sizeof h->config);
    harness_open(h, nodes, 1);
    harness_advance(h, 0);
    for (i = 0; i < nodes; i++)
        assert_int_equal(rlk_conn_get_state(&harness_link_of(h, i)->conn), RLK_CONN_READY);
}

/* Opens one client with h->config, and forgets that. */
static void harness_open_configured(harness *h, unsigned nodes)
{
    harness_open(h, nodes, 1);
    memset(&h->config, 0, sizeof h->config);
    harness_advance(h, 0);
}

void harness_start_impatient(harness *h, unsigned nodes, int64_t operation_timeout_ms)
{
    memset(&h->config, 0, sizeof h->config);
    h->config.operation_timeout_ms = operation_timeout_ms;
    harness_open_configured(h, nodes);
}

static void harness_automatic(harness *h, bool automatic)
{
    unsigned i;

    for (i = 0; i < h->nodes; i++)
        h->servers[i].automatic = automatic;
}

void harness_start_drifting(harness *h, int64_t drift_ms)
{
    memset(&h->config, 0, sizeof h->config);
    h->config.drift_ms = drift_ms;
    harness_open_configured(h, 1);
    harness_automatic(h, true);
}

void harness_start_automatic(harness *h, unsigned nodes)
{
    harness_start(h, nodes);
    harness_automatic(h, true);
}

void harness_lock(harness *h, rlk_lock *lock, int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = ttl_ms;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    config.user = h;
    assert_result(rlk_lock_init(lock, h->client, HARNESS_KEY, &config), RLK_OK);
}

void harness_acquire_foreign(harness *h, rlk_lock *lock, int (*on_wait)(harness *),
                             rlk_result expected)
{
    harness_start_automatic(h, 1);
    harness_put(h, 0, HARNESS_KEY, "foreign", -1);
    harness_lock(h, lock, 30000);
    h->on_wait = on_wait;
    assert_result(rlk_acquire(lock, RLK_FOREVER), expected);
    harness_expect_no_event(h);
}

int64_t harness_no_time(void *context)
{
    (void)context;
    return 0;
}

int harness_no_random(void *context, void *buf, size_t len)
{
    (void)context;
    (void)buf;
    (void)len;
    return -1;
}

void harness_held(harness *h, rlk_lock *lock, int64_t ttl_ms)
{
    harness_lock(h, lock, ttl_ms);
    harness_automatic(h, true);
    assert_result(rlk_acquire(lock, RLK_TRY), RLK_OK);
    harness_automatic(h, false);
    harness_expect_quiet(h, h->nodes);
}

void harness_steady_pauses(rlk_lock *lock)
{
    lock->retry_min_ms = 240;
    lock->retry_max_ms = 240;
}

/* ---- Expectations ------------------------------------------------------------------------ */

static const char *harness_kind_name(harness_kind kind)
{
    static const char *const names[HARNESS_KINDS] = {"other",   "SET", "raise", "check",
                                                     "release", "GET", "PTTL",  "DEL"};

    return names[kind];
}

harness_command *harness_expect_at(harness *h, unsigned node, harness_kind kind, const char *file,
                                   int line)
{
    harness_command *head;

    harness_run(h);
    head = harness_head(harness_link_of(h, node));
    if (head == NULL || head->kind != kind)
        support_fail_at(file, line, "node %u: expected %s, there is %s", node,
                        harness_kind_name(kind),
                        head != NULL ? harness_kind_name(head->kind) : "nothing");
    return head;
}

void harness_expect_quiet_at(harness *h, unsigned node, const char *file, int line)
{
    unsigned i;

    harness_run(h);
    for (i = 0; i < h->nodes; i++) {
        const harness_command *head = harness_head(harness_link_of(h, i));

        if ((node == i || node >= h->nodes) && head != NULL)
            support_fail_at(file, line, "node %u: expected nothing, there is %s", i,
                            harness_kind_name(head->kind));
    }
}

void harness_reply(harness *h, unsigned node, const char *reply)
{
    harness_link *link = harness_link_of(h, node);
    harness_command *head;

    harness_run(h);
    head = harness_head(link);
    assert_non_null(head);
    harness_shift(&link->queue);
    harness_say(link, reply, strlen(reply));
    harness_run(h);
}

void harness_serve(harness *h, unsigned node)
{
    harness_link *link = harness_link_of(h, node);

    harness_run(h);
    while (harness_head(link) != NULL) {
        (void)harness_execute(link);
        (void)harness_deliver(link);
        harness_run(h);
    }
}

rlk_result harness_begin(rlk_lock *lock, rlk_operation operation)
{
    static rlk_holder holders[RLK_MAX_NODES];

    switch (operation) {
    case RLK_OP_ACQUIRE:
        return rlk_acquire_start(lock, RLK_FOREVER);
    case RLK_OP_RELEASE:
        return rlk_release_start(lock);
    case RLK_OP_EXTEND:
        return rlk_extend_start(lock, 1000);
    case RLK_OP_RENEW:
        return rlk_renew_start(lock, 60000);
    case RLK_OP_CHECK:
        return rlk_check_start(lock);
    case RLK_OP_QUERY:
        return rlk_query_start(lock, holders, RLK_MAX_NODES);
    default:
        return rlk_force_release_start(lock);
    }
}

void harness_serve_all(harness *h)
{
    unsigned i;

    for (i = 0; i < h->nodes; i++)
        harness_serve(h, i);
}

unsigned harness_count(const harness *h, harness_kind kind)
{
    unsigned count = 0;
    unsigned i;

    for (i = 0; i < h->nodes; i++)
        count += h->servers[i].count[kind];
    return count;
}

unsigned harness_commands(const harness *h)
{
    unsigned count = 0;
    unsigned kind;

    for (kind = HARNESS_SET; kind < HARNESS_KINDS; kind++)
        count += harness_count(h, (harness_kind)kind);
    return count;
}

void harness_expect_event_at(harness *h, rlk_event_type type, rlk_result result, const char *file,
                             int line)
{
    rlk_event event;

    if (!rlk_client_next_event(h->client, &event))
        support_fail_at(file, line, "no event, expected %s", rlk_result_name(result));
    if (event.type != type || event.result != result)
        support_fail_at(file, line, "event %d %s, expected %d %s", (int)event.type,
                        rlk_result_name(event.result), (int)type, rlk_result_name(result));
}

void harness_expect_result_at(harness *h, rlk_operation operation, rlk_result result,
                              const char *file, int line)
{
    rlk_event event;

    if (!rlk_client_next_event(h->client, &event))
        support_fail_at(file, line, "no event, expected %s", rlk_result_name(result));
    support_assert_end(&event, operation, result, file, line);
}

void harness_expect_no_event_at(harness *h, const char *file, int line)
{
    rlk_event event;

    if (rlk_client_next_event(h->client, &event))
        support_fail_at(file, line, "event %d %s, expected none", (int)event.type,
                        rlk_result_name(event.result));
}

void harness_expect_all_at(harness *h, unsigned from, unsigned to, harness_kind kind,
                           const char *file, int line)
{
    unsigned node;

    for (node = from; node < to; node++)
        (void)harness_expect_at(h, node, kind, file, line);
}

void harness_reply_all(harness *h, unsigned from, unsigned to, const char *reply)
{
    unsigned node;

    for (node = from; node < to; node++)
        harness_reply(h, node, reply);
}
