/* SPDX-License-Identifier: MIT
 *
 * A process with the library in it: what a driver and a loop do for it, on the virtual network.
 */
#include "world.h"

#include <string.h>

#define PROCESS_ROUNDS 500 /* of moving bytes until quiet: more is a storm */

/* Limits as a program would set them, but short. */
#define PROCESS_CONNECT_MS  400
#define PROCESS_RESPONSE_MS 300
#define PROCESS_BACKOFF_MS  150

int64_t process_now_ms(const sim_process *process)
{
    return sim_clock_ms(&process->clock, sim.now_us);
}

/* ---- Environment ------------------------------------------------------------------------- */

static int64_t process_env_now(void *context)
{
    return process_now_ms((const sim_process *)context);
}

/* A token's random part begins with its number, so that it can be known again. */
static int process_env_random(void *context, void *buf, size_t len)
{
    sim_process *process = (sim_process *)context;
    uint8_t *out = (uint8_t *)buf;
    size_t i = 0;

    if (process->drawing != NULL && len == 16) {
        uint32_t serial = check_new_serial(process->drawing);

        for (; i < 4; i++)
            out[i] = (uint8_t)(serial >> (24 - 8 * i));
    }
    for (; i < len; i++)
        out[i] = (uint8_t)sim_dice(&process->rng, 256);
    return 0;
}

#ifndef RLK_NO_TRACE
/* What a lock does, in the words of its trace. */
static void process_show(const sim_process *process, const rlk_trace *trace)
{
    static const char *const words[] = {"is",   "asks", "sends", "is answered",
                                        "gets", "is",   "is in", "ends with"};
    const sim_lock *own = trace->lock != NULL ? (const sim_lock *)trace->lock->user : NULL;
    char who[32];
    char number[32];

    if (own != NULL && trace->node >= 0)
        (void)snprintf(who, sizeof who, "lock %u: node %d", own->index, trace->node);
    else if (own != NULL)
        (void)snprintf(who, sizeof who, "lock %u", own->index);
    else
        (void)snprintf(who, sizeof who, "node %d", trace->node);
    (void)snprintf(number, sizeof number, ", %lld", (long long)trace->number);
    world_trace("process %u: %s: it %s %s%s%s", process->index, who, words[trace->kind],
                trace->what,
                trace->kind == RLK_TRACE_REPLY    ? number
                : trace->kind == RLK_TRACE_PHASE  ? ", by "
                : trace->kind == RLK_TRACE_RESULT ? ", "
                                                  : "",
                trace->kind == RLK_TRACE_PHASE    ? rlk_cause_name((rlk_cause)trace->number)
                : trace->kind == RLK_TRACE_RESULT ? rlk_result_name((rlk_result)trace->number)
                                                  : "");
}

static void process_env_trace(void *context, const rlk_trace *trace)
{
    const sim_process *process = (const sim_process *)context;

    if (trace->kind == RLK_TRACE_PUSH && trace->number == RLK_CAUSE_LOCAL)
        queue_handed((sim_lock *)trace->lock->user);
    if (trace->kind == RLK_TRACE_REPLY)
        notify_answered((sim_lock *)trace->lock->user, (unsigned)trace->node, trace->number);
    if (trace->kind == RLK_TRACE_COMMAND)
        notify_sends((sim_lock *)trace->lock->user, (unsigned)trace->node);
    if (sim.trace != NULL)
        process_show(process, trace);
}
#endif

/* ---- Life -------------------------------------------------------------------------------- */

static rlk_conn *process_open_link(sim_process *process, unsigned node)
{
    static const char *const hosts[SIM_SERVERS] = {"s0", "s1", "s2", "s3", "s4"};
    sim_link *link = &process->links[node];
    rlk_conn_config config;

    memset(&config, 0, sizeof config);
    config.url.host = hosts[process->server_of[node]];
    config.url.host_len = 2;
    config.url.port = 6379;
    rlk_client_conn_config(&process->client, &config);
    config.connect_timeout_ms = PROCESS_CONNECT_MS;
    config.response_timeout_ms = PROCESS_RESPONSE_MS;
    config.backoff_min_ms = 10;
    config.backoff_max_ms = PROCESS_BACKOFF_MS;
    config.jitter_seed = sim_bits(&process->rng) | 1u;
    config.resp2_only = process->resp2;
    config.no_tracking = process->no_tracking;
    config.ring = link->ring;
    config.ring_len =
        (uint16_t)sim_between(&process->rng, RLK_CONN_RING_MIN, (int64_t)COUNT_OF(link->ring));
    config.tx = link->tx;
    config.tx_cap =
        (size_t)sim_between(&process->rng, (int64_t)RLK_TX_MIN(2), (int64_t)sizeof link->tx);
    config.rx = link->rx;
    config.rx_cap = (size_t)sim_between(&process->rng, RLK_CONN_RX_MIN, (int64_t)sizeof link->rx);
    link->stream = -1;
    link->ready_us = SIM_NEVER;
    link->dialled = SIM_DIAL_NOTHING;
    link->attempt++;
    if (rlk_conn_init(&link->conn, &config, process_now_ms(process)) != RLK_OK)
        world_violate(SIM_SELF, "rlk_conn_init");
    return &link->conn;
}

void process_open_lock(sim_process *process, unsigned index, sim_rng *rng)
{
    static const char *const keys[SIM_KEYS] = {"k0", "k1"};
    sim_lock *own = &process->locks[index];
    rlk_lock_config config = rlk_lock_config_default();

    own->process = process;
    own->index = (uint8_t)index;
    own->key = (uint8_t)sim_dice(rng, sim.keys);
    own->retry_ms = sim_between(rng, 5, SIM_RETRY_MS);
    own->ttl_ms = (sim.faults & SIM_FAULT_LONG_TTL) != 0 ? 3600000 : sim_between(rng, 100, 900);
    own->node_timeout_ms = own->ttl_ms / 3;
    if (sim_chance(rng, 500))
        own->node_timeout_ms = sim_between(rng, 8, own->ttl_ms < 600 ? 40 : 150);
    own->recheck_max_ms =
        sim_chance(rng, 300) ? sim_between(rng, 60, 300) : sim_between(rng, 1000, 3000);
    own->max_hold_ms = sim_chance(rng, 200) ? own->ttl_ms + sim_dice(rng, 2000) : 0;
    own->auto_renew = sim_chance(rng, 350);
    own->elects = sim_chance(rng, 250);
    if (share_is_greedy())
        share_open(own);
    config.holders = own->holders;
    own->pending = RLK_OP_NONE;
    own->leads = false;
    own->again = false;
    own->held = false;
    own->owed = false;
    own->refused = false;
    own->unsettled = false;
    own->first = false;
    own->unsent = false;
    own->tainted = false;
    own->commands = 0;
    own->tried = 0;
    memset(&own->leader, 0, sizeof own->leader);
    config.ttl_ms = own->ttl_ms;
    config.node_timeout_ms =
        own->node_timeout_ms < RLK_NODE_TIMEOUT_MAX_MS ? own->node_timeout_ms : 0;
    config.retry_min_ms = own->retry_ms;
    config.retry_max_ms = own->retry_ms * 3;
    config.recheck_max_ms = own->recheck_max_ms;
    config.max_hold_ms = own->max_hold_ms;
    config.report_ms = SIM_REPORT_MS;
    config.auto_renew = own->auto_renew;
    config.user = own;
    if (rlk_lock_init(&own->lock, &process->client, keys[own->key], &config) != RLK_OK)
        world_violate(SIM_SELF, "rlk_lock_init");
}

void process_begin(sim_process *process)
{
    rlk_conn *conns[SIM_SERVERS];
    rlk_client_config config;
    unsigned i;

    TRACE("process %u: begins", process->index);
    process->alive = true;
    process->stalled = false;
    process->missed = false;
    process->drawing = NULL;
    process->timer_us = SIM_NEVER;
    process->births++;
    notify_forget(process);
    process->resp2 = sim_chance(&process->rng, 100);
    process->no_tracking = sim_chance(&process->rng, 100);
    if (share_is_greedy())
        process->resp2 = process->no_tracking = false;
    process->max_handoffs =
        (uint8_t)(sim_chance(&process->rng, 500) ? RLK_MAX_HANDOFFS
                                                 : sim_between(&process->rng, 1, 4));
    process->unix_socket = sim_chance(&process->rng, 300);
    for (i = 0; i < sim.nodes; i++)
        conns[i] = process_open_link(process, i);
    memset(&config, 0, sizeof config);
    config.env.context = process;
    config.env.now_ms = process_env_now;
    config.env.random = process_env_random;
#ifndef RLK_NO_TRACE
    config.env.trace = process_env_trace;
#endif
    config.operation_timeout_ms = SIM_OPERATION_MS;
    config.settle_timeout_ms = SIM_SETTLE_MS;
    config.max_handoffs = process->max_handoffs;
    if (sim_chance(&process->rng, 300)) {
        config.buckets = &process->bucket;
        config.buckets_len = 1;
    }
    if (rlk_client_init(&process->client, conns, sim.nodes, &config) != RLK_OK)
        world_violate(SIM_SELF, "rlk_client_init");
    for (i = 0; i < process->locks_len; i++)
        process_open_lock(process, i, &process->rng);
    process_wake(process);
    if (!sim.finishing)
        world_at(sim.now_us + (int64_t)sim_dice(&process->rng, process->pace_us), SIM_EVENT_ACT,
                 process->index, process->births);
}

/* What is lost with a process: its locks are held no more, its tokens may stay. */
static void process_gone(sim_process *process)
{
    unsigned i;
    uint32_t serial;
    uint32_t attempt;

    for (i = 0; i < process->locks_len; i++) {
        sim_lock *own = &process->locks[i];

        own->held = false;
        own->pending = RLK_OP_NONE;
        if (check_token_of(own, &serial, &attempt))
            sim.serials[serial].exempt = true;
    }
    process->alive = false;
    process->stalled = false;
    process->births++;
    if (!sim.finishing)
        world_at(sim.now_us + (int64_t)sim_dice(&process->rng, 300000), SIM_EVENT_REBORN,
                 process->index, 0);
    else
        world_at(sim.now_us, SIM_EVENT_REBORN, process->index, 0);
}

static void process_hang_up(sim_process *process, sim_link *link)
{
    if (link->stream < 0)
        return;
    sim.streams[link->stream].client_open = false;
    net_close(&sim.streams[link->stream], SIM_UP);
    link->stream = -1;
    (void)process;
}

void process_crash(sim_process *process, bool power, sim_rng *rng)
{
    unsigned i;

    TRACE("process %u: %s", process->index, power ? "loses power" : "crashes");
    for (i = 0; i < sim.nodes; i++) {
        sim_link *link = &process->links[i];

        if (power && link->stream >= 0) {
            sim_stream *stream = &sim.streams[link->stream];

            net_cut(stream, SIM_UP, sim_dice(rng, net_under_way(stream, SIM_UP) + 1), false);
        }
        process_hang_up(process, link);
    }
    process_gone(process);
}

void process_end(sim_process *process)
{
    unsigned i;

    TRACE("process %u: ends its client", process->index);
    process_gone(process);
    rlk_client_close(&process->client);
    for (i = 0; i < sim.nodes; i++) {
        sim_link *link = &process->links[i];

        if (link->stream >= 0 && (rlk_conn_wants(&link->conn) & RLK_WANT_CLOSE) == 0)
            world_violate(SIM_ADVANCE, "a stream outlives its client");
        process_hang_up(process, link);
    }
}

/* ---- Ports ------------------------------------------------------------------------------- */

static void process_dial(sim_process *process, sim_link *link, unsigned node)
{
    const sim_path *path = &sim.paths[process->index][process->server_of[node]];

    rlk_conn_connecting(&link->conn, process_now_ms(process));
    link->attempt++;
    link->dialled = SIM_DIAL_NOTHING;
    if (path->blocked[SIM_UP] > 0 || path->blocked[SIM_DOWN] > 0) {
        MET(CONNECT_SWALLOWED);
        return;
    }
    world_at(sim.now_us + 2 * path->delay_us + (int64_t)sim_dice(&process->rng, 200),
             SIM_EVENT_CONNECT, process->index * SIM_SERVERS + node, link->attempt);
}

void process_connected(unsigned number, unsigned node, uint32_t attempt)
{
    sim_process *process = &sim.members[number];
    sim_link *link = &process->links[node];
    unsigned server = process->server_of[node];
    sim_stream *stream = NULL;
    char address[24];

    if (link->attempt != attempt || !process->alive ||
        rlk_conn_get_state(&link->conn) != RLK_CONN_CONNECTING)
        return;
    (void)snprintf(address, sizeof address, "10.0.0.%u:%u", number, ++sim.ports);
    if (!sim.hosts[server].down)
        stream = net_open(number, node, server, address);
    link->dialled = stream != NULL ? SIM_DIAL_UP : SIM_DIAL_REFUSED;
    if (stream != NULL)
        link->stream = (int16_t)(stream - sim.streams);
    else
        MET(CONNECT_REFUSED);
    process_wake(process);
}

/* Reports to the connection how the attempt ended. */
static void process_answer(sim_process *process, sim_link *link, unsigned node)
{
    int64_t now_ms = process_now_ms(process);
    uint8_t dialled = link->dialled;

    if (dialled == SIM_DIAL_NOTHING)
        return;
    link->dialled = SIM_DIAL_NOTHING;
    if (rlk_conn_get_state(&link->conn) != RLK_CONN_CONNECTING) {
        process_hang_up(process, link); /* given up meanwhile */
        return;
    }
    if (dialled == SIM_DIAL_REFUSED) {
        rlk_conn_closed(&link->conn, RLK_E_CONNECT, 111, now_ms);
    } else {
        const sim_stream *stream = &sim.streams[link->stream];
        const model_server *model = &sim.hosts[stream->server].model;

        TRACE("process %u: node %u: connected as %s", process->index, node,
              model->clients[stream->slot].address);
        rlk_conn_connected(&link->conn, stream->server + 1u,
                           process->unix_socket ? NULL : model->clients[stream->slot].address,
                           now_ms);
    }
}

static size_t process_chunk(sim_process *process, size_t len, bool reading)
{
    size_t most = process->chunk;

    if (most == 0 || len <= most)
        return len;
    if (reading)
        MET(SHORT_READ);
    else
        MET(SHORT_WRITE);
    return 1 + sim_dice(&process->rng, (uint32_t)most);
}

static bool process_read(sim_process *process, sim_link *link)
{
    int64_t now_ms = process_now_ms(process);
    bool moved = false;
    sim_stream *stream;
    const uint8_t *bytes;
    uint8_t *room;
    size_t cap;
    size_t len;

    while (link->stream >= 0) {
        stream = &sim.streams[link->stream];
        bytes = net_peek(stream, SIM_DOWN, &len);
        room = rlk_conn_rx_buf(&link->conn, &cap);
        if (len == 0 || room == NULL)
            break;
        len = process_chunk(process, len < cap ? len : cap, true);
        memcpy(room, bytes, len);
        net_skip(stream, SIM_DOWN, len);
        rlk_conn_rx_ack(&link->conn, len, now_ms);
        moved = true;
    }
    if (link->stream >= 0 && net_at_end(&sim.streams[link->stream], SIM_DOWN) &&
        link->dialled == SIM_DIAL_NOTHING && (rlk_conn_wants(&link->conn) & RLK_WANT_READ) != 0) {
        process_hang_up(process, link);
        rlk_conn_closed(&link->conn, RLK_E_EOF, 0, now_ms);
        moved = true;
    }
    return moved;
}

static bool process_write(sim_process *process, sim_link *link)
{
    int64_t now_ms = process_now_ms(process);
    bool moved = false;

    while (link->stream >= 0 && (rlk_conn_wants(&link->conn) & RLK_WANT_WRITE) != 0) {
        sim_stream *stream = &sim.streams[link->stream];
        size_t len;
        const uint8_t *bytes = rlk_conn_tx_buf(&link->conn, &len);

        len = net_write(stream, SIM_UP, bytes, process_chunk(process, len, false));
        if (len == 0)
            break; /* the kernel's buffer is full */
        rlk_conn_tx_ack(&link->conn, len, now_ms);
        moved = true;
    }
    if (moved && link->stream >= 0)
        net_flush(&sim.streams[link->stream], SIM_UP);
    return moved;
}

static bool process_manage(sim_process *process, sim_link *link, unsigned node)
{
    unsigned wants = rlk_conn_wants(&link->conn);

    if ((wants & RLK_WANT_CLOSE) != 0) {
        TRACE("process %u: node %u: closes, %s", process->index, node,
              rlk_result_name(rlk_conn_result(&link->conn)));
        process_hang_up(process, link);
        link->dialled = SIM_DIAL_NOTHING;
        rlk_conn_closed(&link->conn, RLK_OK, 0, process_now_ms(process));
        return true;
    }
    if ((wants & RLK_WANT_CONNECT) != 0) {
        process_dial(process, link, node);
        return true;
    }
    return false;
}

static void process_input(sim_process *process)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++) {
        process_answer(process, &process->links[i], i);
        (void)process_read(process, &process->links[i]);
    }
}

static void process_events(sim_process *process)
{
    rlk_event event;

    for (;;) {
        const rlk_lock *next = process->client.events;
        uint32_t serial = SIM_SERIALS;
        uint32_t attempt = 0;
        bool any;

        if (next == NULL)
            return;
        process->drawing = (sim_lock *)next->user; /* a leader that lost may campaign again */
        (void)check_token_of(process->drawing, &serial, &attempt);
        any = rlk_client_next_event(&process->client, &event);
        if (any && (event.type == RLK_EV_LOST || process->drawing->again))
            queue_begins(process->drawing, RLK_FOREVER, serial, attempt);
        process->drawing = NULL;
        if (!any)
            return;
        judge_event(process, &event);
    }
}

/* Moves what wants to be moved; true if anything did. */
static bool process_move(sim_process *process)
{
    bool moved = false;
    unsigned i;

    for (i = 0; i < sim.nodes; i++) {
        moved = process_manage(process, &process->links[i], i) || moved;
        moved = process_write(process, &process->links[i]) || moved;
    }
    return moved;
}

void process_drive(sim_process *process)
{
    unsigned rounds = 0;
    int64_t deadline_ms;
    int64_t at_us;

    do {
        process_events(process);
        if (++rounds > PROCESS_ROUNDS)
            world_violate(SIM_ADVANCE, "process %u: a storm", process->index);
    } while (process_move(process) && sim.verdict->rule == SIM_FINE);
    process_events(process);
    judge_step(process);
    notify_step(process);
    decision_drive(process);
    deadline_ms = rlk_client_deadline(&process->client);
    if (deadline_ms == RLK_NEVER || !process->alive)
        return;
    at_us = sim_clock_when(&process->clock, deadline_ms);
    if (at_us < process->timer_us) {
        process->timer_us = at_us;
        world_at(at_us, SIM_EVENT_TIMER, process->index, 0);
    }
}

static void process_step(sim_process *process, bool input_first)
{
    decision_before(process);
    if (input_first) {
        MET(INPUT_BEFORE_TICK);
        process_input(process);
    }
    rlk_client_tick(&process->client);
    process_input(process);
    decision_after(process);
    process_drive(process);
}

void process_wake(sim_process *process)
{
    if (!process->alive || sim.verdict->rule != SIM_FINE)
        return;
    if (process->stalled)
        process->missed = true;
    else
        process_step(process, false);
}

/* ---- Standing still ---------------------------------------------------------------------- */

void process_stall(sim_process *process, int64_t us)
{
    unsigned i;

    TRACE("process %u: stands still for %lld us", process->index, (long long)us);
    process->stalled = true;
    process->stall_end_us = sim.now_us + us;
    world_at(process->stall_end_us, SIM_EVENT_RESUME, process->index, 0);
    fault_trouble(process->index, SIM_SERVERS, process->stall_end_us);
    for (i = 0; i < process->locks_len; i++) {
        sim_lock *own = &process->locks[i];

        /* Its limits may pass unseen, and what follows them begins so much later. */
        if (own->limit_ms < RLK_NEVER - 10000000)
            own->limit_ms += us / SIM_MS + us / SIM_MS / 50 + 2;
        if (own->held && own->until_us < process->stall_end_us)
            MET(STALLED_BEYOND_TTL);
    }
}

void process_resume(sim_process *process)
{
    TRACE("process %u: goes on", process->index);
    process->stalled = false;
    process_step(process, sim_chance(&process->rng, 500));
}
