/* SPDX-License-Identifier: MIT
 *
 * A machine with a model server on it: streams in, replies out, its own time.
 */
#include "world.h"

#include <string.h>

static sim_stream *host_stream(const sim_host *host, unsigned slot)
{
    return &sim.streams[host->streams[slot]];
}

/* ---- Hooks of the model ------------------------------------------------------------------ */

/* False: it gets lost. */
static bool host_push(const sim_host *host, const sim_stream *stream, const char *bytes, size_t len)
{
    bool any = bytes[len - 3] == '_';

    TRACE("server %u: notifies process %u of %s%s", host->index, stream->process,
          any                     ? "any key"
          : bytes[len - 3] == '0' ? "k0"
                                  : "k1",
          host->mute ? ", which is lost" : "");
    return notify_pushed(host, stream, any ? NULL : bytes + len - 4);
}

static void host_emit(void *context, unsigned slot, const char *bytes, size_t len)
{
    sim_host *host = (sim_host *)context;
    sim_stream *stream;
    unsigned i = 0;

    if (slot == host->hand)
        return; /* the operator sees it */
    stream = host_stream(host, slot);
    if (bytes[0] == '>' && !host_push(host, stream, bytes, len))
        return;
    if (bytes[0] == '-') {
        sim.members[stream->process].errors++;
        sim.members[stream->process].error_us = sim.now_us;
    }
    if (net_write(stream, SIM_DOWN, bytes, len) != len)
        world_violate(SIM_SELF, "no room for a reply");
    while (i < host->dirty_len && host->dirty[i] != host->streams[slot])
        i++;
    if (i == host->dirty_len)
        host->dirty[host->dirty_len++] = host->streams[slot];
}

static void host_flush(sim_host *host)
{
    unsigned i;

    for (i = 0; i < host->dirty_len; i++)
        net_flush(&sim.streams[host->dirty[i]], SIM_DOWN);
    host->dirty_len = 0;
    notify_flushed(host);
}

static void host_lose_client(sim_stream *stream)
{
    stream->server_open = false;
    net_close(stream, SIM_DOWN);
    net_cut(stream, SIM_UP, 0, false);
}

static void host_killed(void *context, unsigned slot)
{
    sim_host *host = (sim_host *)context;

    TRACE("server %u: closes its client %u", host->index, slot);
    MET(FENCE_HIT);
    host_lose_client(host_stream(host, slot));
}

static void host_changed(void *context, const model_key *key, model_change change)
{
    static const char *const words[] = {"stored",     "deleted",  "expired",
                                        "lengthened", "replaced", "lost"};
    sim_host *host = (sim_host *)context;

    TRACE("server %u: %.*s %s: %.*s", host->index, (int)key->key_len, key->key, words[change],
          (int)key->value_len, key->value);
    if (change == MODEL_EXPIRED)
        MET(EXPIRED_LAZILY);
    check_changed(host, key, change);
    notify_changed(host, key, change);
}

static void host_executed(void *context, unsigned slot, model_command command, const char *key,
                          size_t key_len, const char *token, size_t token_len)
{
    static const char *const names[MODEL_COMMANDS] = {"",    "SET",  "raise", "check", "release",
                                                      "GET", "PTTL", "DEL",   "KILL",  "LOAD"};
    sim_host *host = (sim_host *)context;
    uint32_t serial;
    uint32_t attempt;

    sim.executes = NULL;
    sim.command = command;
    if (slot == host->hand)
        return;
    if (command != MODEL_DEL) /* that is force_release: of any owner's token */
        sim.executes = &sim.members[host_stream(host, slot)->process];
    TRACE("server %u: client %u of process %u: %s %.*s", host->index, slot,
          host_stream(host, slot)->process, names[command], (int)token_len,
          token != NULL ? token : "");
    if (!host_stream(host, slot)->client_open)
        MET(AFTER_CLOSE);
    if (command == MODEL_KILL)
        MET(FENCED);
    if (token != NULL && check_parse(token, token_len, &serial, &attempt)) {
        const sim_serial *owner = &sim.serials[serial];

        check_command(&sim.members[owner->process].locks[owner->lock], command, serial);
    }
    if (key != NULL && check_key(key, key_len) >= 0)
        notify_executed(host, host_stream(host, slot), command, key,
                        token_len == RLK_TOKEN_DIGITS ? token : NULL);
}

static unsigned host_choose(void *context, unsigned n)
{
    sim_host *host = (sim_host *)context;
    unsigned chosen = sim_dice(&sim.members[0].rng, n);
    unsigned left = chosen;
    unsigned i;

    for (i = 0; i < host->model.keys_len; i++)
        if (host->model.keys[i].tracked && left-- == 0)
            notify_evicted(host, &host->model.keys[i]);
    return chosen;
}

/* ---- Serving ----------------------------------------------------------------------------- */

void host_sync(sim_host *host)
{
    host->model.now_ms = sim_clock_ms(&host->clock, sim.now_us);
}

void host_schedule(sim_host *host)
{
    int64_t at_ms = host->model.now_ms + SIM_CYCLE_MS;

    if (host->cron)
        return;
    if (model_is_paused(&host->model) && host->model.pause_until_ms < at_ms)
        at_ms = host->model.pause_until_ms;
    host->cron = true;
    world_at(sim_clock_when(&host->clock, at_ms), SIM_EVENT_SERVER, host->index, 0);
}

/* There is something that its own time would change. */
static bool host_is_idle(const sim_host *host)
{
    unsigned i;

    if (host->model.pause_until_ms != INT64_MIN)
        return false;
    for (i = 0; i < host->model.keys_len; i++)
        if (host->model.keys[i].present)
            return false;
    return true;
}

void host_event(unsigned server)
{
    sim_host *host = &sim.hosts[server];

    host->cron = false;
    host_sync(host);
    if (!host->down && !host->stopped) {
        model_set_time(&host->model, host->model.now_ms);
        model_expire(&host->model);
        host_flush(host);
    }
    if (!host_is_idle(host))
        host_schedule(host);
}

void host_read(sim_stream *stream)
{
    sim_host *host = &sim.hosts[stream->server];
    const uint8_t *bytes;
    size_t len;

    if (!stream->server_open || host->stopped)
        return;
    host_sync(host);
    while (stream->server_open && (bytes = net_peek(stream, SIM_UP, &len), len > 0)) {
        net_skip(stream, SIM_UP, len);
        (void)model_input(&host->model, stream->slot, bytes, len);
    }
    host_flush(host);
    if (stream->server_open && net_at_end(stream, SIM_UP)) {
        stream->server_open = false;
        model_close(&host->model, stream->slot);
        net_close(stream, SIM_DOWN);
    }
    if (!host->cron && !host_is_idle(host))
        host_schedule(host);
}

void host_serve_all(sim_host *host)
{
    unsigned i;

    for (i = 0; i < host->model.used; i++)
        if (host->model.clients[i].open)
            host_read(host_stream(host, i));
}

/* ---- Life -------------------------------------------------------------------------------- */

static uint64_t host_instance(const sim_host *host)
{
    /* never 0: a run_id of zeros is none */
    return UINT64_C(1) << 63 | sim.seed << 8 | (uint64_t)host->index << 5 | (host->instance & 31u);
}

void host_start(unsigned server)
{
    sim_host *host = &sim.hosts[server];
    model_hooks hooks = {host, host_emit, host_killed, host_changed, host_executed, host_choose};

    host->index = server;
    host->down = false;
    host->stopped = false;
    host->cron = false;
    host->mute = false;
    memset(host->lives, 0, sizeof host->lives);
    host->hand = MODEL_CLIENTS;
    host->instance = 0;
    host->dirty_len = 0;
    host->kept_len = 0;
    model_start(&host->model, &hooks, host_instance(host), sim_clock_ms(&host->clock, sim.now_us));
}

void host_stop(sim_host *host, sim_rng *rng)
{
    unsigned i;

    TRACE("server %u: ends", host->index);
    host->down = true;
    for (i = 0; i < host->model.used; i++) {
        sim_stream *stream = host_stream(host, i);
        bool ends;

        if (!host->model.clients[i].open)
            continue;
        model_close(&host->model, i);
        stream->server_open = false;
        ends = !sim_chance(rng, 200);
        net_cut(stream, SIM_DOWN, sim_dice(rng, net_under_way(stream, SIM_DOWN) + 1), ends);
        net_cut(stream, SIM_UP, 0, false);
    }
}

void host_restart(sim_host *host)
{
    host->down = false;
    host->stopped = false;
    host->instance++;
    TRACE("server %u: begins anew", host->index);
    host_sync(host);
    model_restart(&host->model, host_instance(host));
    host_schedule(host);
}

void host_keep(sim_host *host)
{
    host->kept_len = host->model.keys_len;
    memcpy(host->kept, host->model.keys, sizeof host->kept);
}

void host_bring_back(sim_host *host)
{
    TRACE("server %u: has older data", host->index);
    host_sync(host);
    model_bring_back(&host->model, host->kept, host->kept_len);
}

void host_kill(sim_host *host, unsigned slot)
{
    model_close(&host->model, slot);
    host_lose_client(host_stream(host, slot));
}

/* ---- By hand ----------------------------------------------------------------------------- */

static size_t host_put(char *text, size_t room, const char *const *words, unsigned count)
{
    int len = snprintf(text, room, "*%u\r\n", count);
    unsigned i;

    for (i = 0; i < count; i++)
        len +=
            snprintf(text + len, room - (size_t)len, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    return (size_t)len;
}

static void host_by_hand(sim_host *host, const char *text, size_t len)
{
    unsigned slot;

    host_sync(host);
    slot = model_open(&host->model, "operator");
    if (slot == MODEL_CLIENTS)
        return;
    host->hand = slot;
    sim.executes = NULL;
    (void)model_input(&host->model, slot, (const uint8_t *)text, len);
    host->hand = MODEL_CLIENTS;
    model_close(&host->model, slot);
    host_flush(host);
    host_schedule(host);
}

void host_command(sim_host *host, const char *const *words, unsigned count)
{
    char text[512];

    TRACE("server %u: by hand: %s %s %s", host->index, words[0], count > 1 ? words[1] : "",
          count > 2 ? words[2] : "");
    host_by_hand(host, text, host_put(text, sizeof text, words, count));
}

void host_command_elsewhere(sim_host *host, const char *const *words, unsigned count)
{
    static const char *const select[] = {"SELECT", "1"};
    char text[512];
    size_t len = host_put(text, sizeof text, select, 2);

    TRACE("server %u: in another database: %s %s", host->index, words[0],
          count > 1 ? words[1] : "");
    len += host_put(text + len, sizeof text - len, words, count);
    host_by_hand(host, text, len);
}

void host_drop(sim_host *host, const char *key)
{
    host_sync(host);
    model_drop(&host->model, key, 2);
    host_flush(host);
}

void host_clear(sim_host *host)
{
    host_sync(host);
    model_drop_all(&host->model);
    host_flush(host);
}
