/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <string.h>

/* ---- Streams ----------------------------------------------------------------------------- */

static void bench_link_down(bench_link *link)
{
    while (link->queue.len != 0) {
        if (link->queue.commands[0].kind != BENCH_OTHER && !link->queue.commands[0].executed)
            *bench_add(&link->loose) = link->queue.commands[0];
        bench_shift(&link->queue);
    }
    link->up = false;
}

/* Opens, refuses, closes what the connection wants opened or closed. */
static bool bench_open_close(bench_link *link)
{
    bench *b = link->bench;
    unsigned wants = rlk_conn_wants(&link->conn);

    if ((wants & RLK_WANT_CLOSE) != 0) {
        bench_link_down(link);
        rlk_conn_closed(&link->conn, RLK_OK, 0, b->now_ms);
        return true;
    }
    if ((wants & RLK_WANT_CONNECT) == 0)
        return false;
    rlk_conn_connecting(&link->conn, b->now_ms);
    if (link->server->refuses) {
        rlk_result why = link->server->refusal != RLK_OK ? link->server->refusal : RLK_E_CONNECT;
        rlk_conn_closed(&link->conn, why, why == RLK_E_CONNECT ? 111 : 0, b->now_ms);
    } else if (!link->server->swallows) {
        link->stream = ++link->server->streams;
        link->up = true;
        link->queue.len = 0;
        link->tracking = false;
        memset(link->watched, 0, sizeof link->watched);
        stream_reset(&link->tracker);
        rlk_conn_connected(&link->conn, 0, NULL, b->now_ms);
    }
    return true;
}

static bool bench_take(bench_link *link)
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
            bench_command *command = bench_add(&link->queue);

            bench_decode(link, command, link->tracker.words);
            link->server->count[command->kind]++;
        }
    }
    rlk_conn_tx_ack(&link->conn, len, link->bench->now_ms);
    return true;
}

void bench_say(bench_link *link, const void *bytes, size_t len)
{
    const uint8_t *at = (const uint8_t *)bytes;

    while (len != 0 && (rlk_conn_wants(&link->conn) & RLK_WANT_READ) != 0) {
        size_t cap;
        uint8_t *room = rlk_conn_rx_buf(&link->conn, &cap);
        size_t n = len < cap ? len : cap;

        memcpy(room, at, n);
        at += n;
        len -= n;
        rlk_conn_rx_ack(&link->conn, n, link->bench->now_ms);
    }
}

bool bench_deliver(bench_link *link)
{
    char reply[sizeof bench_head(link)->reply];
    bench_command *head = bench_head(link);

    if (head == NULL || !head->executed)
        return false;
    memcpy(reply, head->reply, sizeof reply);
    bench_shift(&link->queue); /* before: the answer may bring new commands */
    bench_say(link, reply, strlen(reply));
    return true;
}

/* Answers what the server answers by itself. */
static bool bench_answer(bench_link *link)
{
    bench_command *head = bench_head(link);

    if (!link->up || head == NULL || link->server->mute ||
        (head->kind != BENCH_OTHER && !link->server->automatic))
        return false;
    if (!head->executed)
        (void)bench_execute(link);
    return bench_deliver(link);
}

void bench_run(bench *b)
{
    unsigned moves = 0;
    bool moved = true;

    while (moved) {
        unsigned c;
        unsigned i;

        moved = false;
        for (c = 0; c < b->clients; c++) {
            for (i = 0; i < b->nodes; i++) {
                bench_link *link = &b->members[c].links[i];

                moved = bench_open_close(link) || moved;
                moved = bench_take(link) || moved;
                moved = bench_answer(link) || moved;
            }
        }
        assert_true(++moves < 10000); /* a storm */
    }
}

void bench_cut_link(bench_link *link)
{
    if (!link->up)
        return;
    bench_link_down(link);
    rlk_conn_closed(&link->conn, RLK_E_EOF, 0, link->bench->now_ms);
}

void bench_cut(bench *b, unsigned node)
{
    bench_cut_link(bench_link_of(b, node));
}

/* ---- Time -------------------------------------------------------------------------------- */

static int64_t bench_deadline(const bench *b)
{
    int64_t deadline_ms = RLK_NEVER;
    unsigned c;

    for (c = 0; c < b->clients; c++) {
        int64_t own_ms = rlk_client_deadline(&b->members[c].client);

        deadline_ms = own_ms < deadline_ms ? own_ms : deadline_ms;
    }
    return deadline_ms;
}

static void bench_tick(bench *b)
{
    unsigned c;

    for (c = 0; c < b->clients; c++)
        rlk_client_tick(&b->members[c].client);
    bench_run(b);
    for (c = 0; c < b->clients; c++) {
        const rlk_client *client = &b->members[c].client;

        assert_true(b->forked || rlk_client_deadline(client) > b->now_ms);
    }
}

static bool bench_has_event(const bench *b)
{
    unsigned c;

    for (c = 0; c < b->clients; c++)
        if (b->members[c].client.event_head != NULL)
            return true;
    return false;
}

static bool bench_advance_to(bench *b, int64_t end_ms, bool stop_at_event)
{
    bench_run(b);
    for (;;) {
        int64_t next_ms = bench_deadline(b);

        if (stop_at_event && bench_has_event(b))
            return true;
        if (next_ms > end_ms || b->now_ms >= end_ms)
            break;
        b->now_ms = next_ms > b->now_ms ? next_ms : b->now_ms;
        bench_tick(b);
    }
    b->now_ms = end_ms > b->now_ms ? end_ms : b->now_ms;
    bench_tick(b);
    return stop_at_event && bench_has_event(b);
}

void bench_advance(bench *b, int64_t ms)
{
    (void)bench_advance_to(b, b->now_ms + ms, false);
}

bool bench_next_event(bench *b, rlk_event *event, int64_t ms)
{
    unsigned c;

    (void)bench_advance_to(b, b->now_ms + ms, true);
    for (c = 0; c < b->clients; c++)
        if (rlk_client_next_event(&b->members[c].client, event))
            return true;
    return false;
}

/* ---- Environment ------------------------------------------------------------------------- */

static int64_t bench_env_now(void *context)
{
    return ((const bench_client *)context)->bench->now_ms;
}

/* splitmix64: the same numbers in every run. */
static int bench_env_random(void *context, void *buf, size_t len)
{
    bench *b = ((bench_client *)context)->bench;
    uint8_t *out = (uint8_t *)buf;
    size_t i;

    if (b->no_entropy)
        return -1;
    for (i = 0; i < len; i++) {
        uint64_t z = (b->random += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        out[i] = (uint8_t)(z >> 56);
    }
    return 0;
}

static int bench_env_wait(void *context, rlk_client *client, int64_t deadline_ms)
{
    bench *b = ((bench_client *)context)->bench;

    b->waits++;
    assert_true(b->waits < 100000);
    assert_ptr_equal(client, &((bench_client *)context)->client);
    if (b->on_wait != NULL && b->on_wait(b) != 0)
        return -1;
    bench_run(b);
    if (b->woken) {
        b->woken = false;
        return 0;
    }
    if (client->event_head == NULL && deadline_ms > b->now_ms &&
        rlk_client_deadline(client) != RLK_NEVER) {
        if (bench_deadline(b) > b->now_ms)
            b->now_ms = bench_deadline(b);
        bench_tick(b);
    }
    return 0;
}

static bool bench_env_same(void *context, const rlk_client *client)
{
    (void)client;
    return !((const bench_client *)context)->bench->forked;
}

/* ---- Life -------------------------------------------------------------------------------- */

bench_link *bench_link_of(bench *b, unsigned node)
{
    return &b->members[0].links[node];
}

static void bench_open_link(bench *b, bench_client *member, unsigned node)
{
    static const char *const hosts[] = {"n0", "n1", "n2", "n3", "n4"};
    bench_link *link = &member->links[node];
    rlk_conn_config config;

    memset(link, 0, sizeof *link);
    memset(&config, 0, sizeof config);
    link->bench = b;
    link->server = &b->servers[node];
    config.url.host = hosts[node];
    config.url.host_len = 2;
    config.url.port = 6379;
    if (node == 0 && b->url != NULL)
        config.url = *b->url;
    rlk_client_conn_config(&member->client, &config);
    config.ring = link->ring;
    config.ring_len = COUNT_OF(link->ring);
    config.tx = link->tx;
    config.tx_cap = sizeof link->tx;
    config.rx = link->rx;
    config.rx_cap = sizeof link->rx;
    config.jitter_seed = (uint32_t)b->random + node + 1;
    assert_result(rlk_conn_init(&link->conn, &config, b->now_ms), RLK_OK);
}

void bench_open(bench *b, unsigned nodes, unsigned clients)
{
    unsigned c;
    unsigned i;

    b->nodes = nodes;
    b->clients = clients;
    b->client = &b->members[0].client;
    b->now_ms = BENCH_START;
    b->no_entropy = false;
    b->forked = false;
    b->on_wait = NULL;
    b->woken = false;
    b->waits = 0;
    memset(b->servers, 0, sizeof b->servers);
    for (i = 0; i < nodes; i++)
        b->servers[i].kill_result = 1;
    for (c = 0; c < clients; c++) {
        bench_client *member = &b->members[c];
        rlk_conn *conns[RLK_MAX_NODES];
        rlk_client_config config = b->config;

        member->bench = b;
        for (i = 0; i < nodes; i++) {
            bench_open_link(b, member, i);
            conns[i] = &member->links[i].conn;
        }
        config.env.context = member;
        config.env.now_ms = bench_env_now;
        config.env.random = bench_env_random;
        config.env.wait = bench_env_wait;
        config.env.same_process = bench_env_same;
        assert_result(rlk_client_init(&member->client, conns, nodes, &config), RLK_OK);
    }
}

void bench_start(bench *b, unsigned nodes)
{
    unsigned i;

    memset(&b->config, 0, sizeof b->config);
    bench_open(b, nodes, 1);
    bench_advance(b, 0);
    for (i = 0; i < nodes; i++)
        assert_int_equal(rlk_conn_get_state(&bench_link_of(b, i)->conn), RLK_CONN_READY);
}

static void bench_automatic(bench *b, bool automatic)
{
    unsigned i;

    for (i = 0; i < b->nodes; i++)
        b->servers[i].automatic = automatic;
}

void bench_start_automatic(bench *b, unsigned nodes)
{
    bench_start(b, nodes);
    bench_automatic(b, true);
}

void bench_lock(bench *b, rlk_lock *lock, int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = ttl_ms;
    config.user = b;
    assert_result(rlk_lock_init(lock, b->client, BENCH_KEY, &config), RLK_OK);
}

void bench_held(bench *b, rlk_lock *lock, int64_t ttl_ms)
{
    bench_lock(b, lock, ttl_ms);
    bench_automatic(b, true);
    assert_result(rlk_acquire(lock, RLK_TRY), RLK_OK);
    bench_automatic(b, false);
    bench_expect_quiet(b, b->nodes);
}

/* ---- Expectations ------------------------------------------------------------------------ */

static const char *bench_kind_name(bench_kind kind)
{
    static const char *const names[BENCH_KINDS] = {"other",   "SET", "raise", "check",
                                                   "release", "GET", "PTTL",  "DEL"};

    return names[kind];
}

bench_command *bench_expect_at(bench *b, unsigned node, bench_kind kind, const char *file, int line)
{
    bench_command *head;

    bench_run(b);
    head = bench_head(bench_link_of(b, node));
    if (head == NULL || head->kind != kind)
        support_fail_at(file, line, "node %u: expected %s, there is %s", node,
                        bench_kind_name(kind),
                        head != NULL ? bench_kind_name(head->kind) : "nothing");
    return head;
}

void bench_expect_quiet_at(bench *b, unsigned node, const char *file, int line)
{
    unsigned i;

    bench_run(b);
    for (i = 0; i < b->nodes; i++) {
        const bench_command *head = bench_head(bench_link_of(b, i));

        if ((node == i || node >= b->nodes) && head != NULL)
            support_fail_at(file, line, "node %u: expected nothing, there is %s", i,
                            bench_kind_name(head->kind));
    }
}

void bench_reply(bench *b, unsigned node, const char *reply)
{
    bench_link *link = bench_link_of(b, node);
    bench_command *head;

    bench_run(b);
    head = bench_head(link);
    assert_non_null(head);
    bench_shift(&link->queue);
    bench_say(link, reply, strlen(reply));
    bench_run(b);
}

void bench_serve(bench *b, unsigned node)
{
    bench_link *link = bench_link_of(b, node);

    bench_run(b);
    while (bench_head(link) != NULL) {
        (void)bench_execute(link);
        (void)bench_deliver(link);
        bench_run(b);
    }
}

void bench_expect_event_at(bench *b, rlk_event_type type, rlk_result result, const char *file,
                           int line)
{
    rlk_event event;

    if (!rlk_client_next_event(b->client, &event))
        support_fail_at(file, line, "no event, expected %s", rlk_result_name(result));
    if (event.type != type || event.result != result)
        support_fail_at(file, line, "event %d %s, expected %d %s", (int)event.type,
                        rlk_result_name(event.result), (int)type, rlk_result_name(result));
}

void bench_expect_no_event_at(bench *b, const char *file, int line)
{
    rlk_event event;

    if (rlk_client_next_event(b->client, &event))
        support_fail_at(file, line, "event %d %s, expected none", (int)event.type,
                        rlk_result_name(event.result));
}

void bench_expect_all_at(bench *b, unsigned from, unsigned to, bench_kind kind, const char *file,
                         int line)
{
    unsigned node;

    for (node = from; node < to; node++)
        (void)bench_expect_at(b, node, kind, file, line);
}

void bench_reply_all(bench *b, unsigned from, unsigned to, const char *reply)
{
    unsigned node;

    for (node = from; node < to; node++)
        bench_reply(b, node, reply);
}
