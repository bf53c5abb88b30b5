/* SPDX-License-Identifier: MIT
 *
 * What goes wrong, and when it is mended.
 */
#include "world.h"

#include <string.h>

/* What is sent while a path is slow arrives later than it is mended, by less than that. */
#define FAULT_LATE_US (1000 * SIM_MS)

/* ---- Faults under way -------------------------------------------------------------------- */

sim_fault *fault_begin(int kind, int64_t lasts_us)
{
    unsigned i = 0;

    while (i < SIM_FAULTS && sim.active[i].kind != 0)
        i++;
    if (i == SIM_FAULTS)
        return NULL;
    sim.active[i].kind = kind;
    world_at(sim.now_us + lasts_us, SIM_EVENT_MEND, i, 0);
    return &sim.active[i];
}

static bool fault_is_on(int kind, unsigned server)
{
    unsigned i;

    for (i = 0; i < SIM_FAULTS; i++)
        if (sim.active[i].kind == kind && sim.active[i].server == server)
            return true;
    return false;
}

void fault_trouble(unsigned process, unsigned server, int64_t until_us)
{
    unsigned p;
    unsigned s;

    for (p = 0; p < sim.processes; p++)
        for (s = 0; s < sim.servers; s++)
            if ((process == SIM_PROCESSES || p == process) &&
                (server == SIM_SERVERS || s == server) && sim.trouble_us[p][s] < until_us)
                sim.trouble_us[p][s] = until_us;
}

bool fault_was_sound(const sim_process *process, int64_t since_us)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++) {
        const sim_link *link = &process->links[i];

        if (sim.trouble_us[process->index][process->server_of[i]] >= since_us ||
            link->ready_us > since_us || link->stream < 0 || /* or half-open */
            sim.streams[link->stream].pipes[SIM_UP].limited ||
            sim.streams[link->stream].pipes[SIM_DOWN].limited)
            return false;
    }
    return true;
}

/* A server to which something can be done. */
static sim_host *fault_server(sim_rng *rng)
{
    sim_host *host = &sim.hosts[sim_dice(rng, sim.servers)];

    return host->down || host->stopped ? NULL : host;
}

/* ---- Network ----------------------------------------------------------------------------- */

static sim_stream *fault_stream(sim_rng *rng)
{
    const sim_process *process = &sim.members[sim_dice(rng, sim.processes)];
    const sim_link *link = &process->links[sim_dice(rng, sim.nodes)];

    return process->alive && link->stream >= 0 ? &sim.streams[link->stream] : NULL;
}

static void fault_cut(sim_rng *rng)
{
    sim_stream *stream = fault_stream(rng);
    uint32_t up;
    uint32_t down;

    if (stream == NULL || !stream->server_open)
        return;
    up = sim_dice(rng, net_under_way(stream, SIM_UP) + 1);
    down = sim_dice(rng, net_under_way(stream, SIM_DOWN) + 1);
    TRACE("cut: process %u and server %u", stream->process, stream->server);
    MET(CUT);
    fault_trouble(stream->process, stream->server, sim.now_us);
    if (up > 0 && up < net_under_way(stream, SIM_UP))
        MET(CUT_IN_COMMAND);
    if (down > 0 && down < net_under_way(stream, SIM_DOWN))
        MET(CUT_IN_REPLY);
    net_cut(stream, SIM_UP, up, true);
    net_cut(stream, SIM_DOWN, down, true);
}

static void fault_half_open(sim_rng *rng)
{
    sim_stream *stream = fault_stream(rng);

    if (stream == NULL || !stream->server_open)
        return;
    fault_trouble(stream->process, stream->server, sim.now_us);
    if (sim_chance(rng, 500)) {
        TRACE("half-open: server %u closed, process %u does not know", stream->server,
              stream->process);
        MET(HALF_OPEN_CLIENT);
        net_cut(stream, SIM_DOWN, sim_dice(rng, net_under_way(stream, SIM_DOWN) + 1), false);
        host_kill(&sim.hosts[stream->server], stream->slot);
    } else {
        TRACE("half-open: process %u is cut off, server %u does not know", stream->process,
              stream->server);
        MET(HALF_OPEN_SERVER);
        net_cut(stream, SIM_UP, sim_dice(rng, net_under_way(stream, SIM_UP) + 1), false);
        net_cut(stream, SIM_DOWN, sim_dice(rng, net_under_way(stream, SIM_DOWN) + 1), true);
    }
}

static void fault_block(const sim_fault *fault, bool block)
{
    if ((fault->ways & 1) != 0)
        net_block(fault->process, fault->server, SIM_UP, block);
    if ((fault->ways & 2) != 0)
        net_block(fault->process, fault->server, SIM_DOWN, block);
}

/* One server from all processes, one process from all servers, or one from one. */
static void fault_partition(sim_rng *rng)
{
    unsigned process = sim_dice(rng, sim.processes + 1); /* one more: all */
    unsigned server = sim_dice(rng, sim.servers + 1);
    unsigned ways = 1 + sim_dice(rng, 3);
    int64_t lasts_us = sim_between(rng, 1, 900) * SIM_MS;
    unsigned p;
    unsigned s;

    if (process == sim.processes && server == sim.servers && sim_chance(rng, 800))
        server = sim_dice(rng, sim.servers);
    for (p = 0; p < sim.processes; p++) {
        for (s = 0; s < sim.servers; s++) {
            sim_fault *fault;

            if ((process < sim.processes && p != process) || (server < sim.servers && s != server))
                continue;
            fault = fault_begin(SIM_FAULT_PARTITION, lasts_us);
            if (fault == NULL)
                return;
            TRACE("partition: process %u, server %u, ways %u, %lld us", p, s, ways,
                  (long long)lasts_us);
            fault->process = (uint8_t)p;
            fault->server = (uint8_t)s;
            fault->ways = (uint8_t)ways;
            fault_block(fault, true);
            fault_trouble(p, s, sim.now_us + lasts_us);
            if (ways == 3)
                MET(PARTITION);
            else
                MET(PARTITION_ONE_WAY);
        }
    }
}

/* Delays and losses between one process and one server. */
static void fault_path(int kind, sim_rng *rng)
{
    int64_t lasts_us = sim_between(rng, 50, 1500) * SIM_MS;
    sim_fault *fault = fault_begin(kind, lasts_us);
    sim_path *path;

    if (fault == NULL)
        return;
    fault->process = (uint8_t)sim_dice(rng, sim.processes);
    fault->server = (uint8_t)sim_dice(rng, sim.servers);
    fault_trouble(fault->process, fault->server, sim.now_us + lasts_us + FAULT_LATE_US);
    path = &sim.paths[fault->process][fault->server];
    TRACE("process %u, server %u: %s", fault->process, fault->server,
          kind == SIM_FAULT_LOSS ? "loss" : "delays");
    if (kind == SIM_FAULT_LOSS) {
        path->loss = (uint16_t)sim_between(rng, 50, 500);
    } else if (kind == SIM_FAULT_SLOW) {
        MET(SLOW_PATH);
        path->delay_us = sim_between(rng, 10, 120) * SIM_MS;
        path->jitter_us = (uint32_t)path->delay_us;
    } else {
        MET(CLOG);
        path->delay_us = sim_between(rng, 200, 700) * SIM_MS;
    }
}

/* ---- Processes --------------------------------------------------------------------------- */

/* For how long a process stands still: often until just behind the deadline of a lock that it
 * holds, with a renewal under way. */
static int64_t fault_stall_us(sim_process *process, sim_rng *rng)
{
    sim_lock *lock = &process->locks[sim_dice(rng, process->locks_len)];

    process_wake(process);
    if (sim_chance(rng, 500) && lock->pending == RLK_OP_NONE && rlk_is_held(&lock->lock) &&
        lock->until_us - sim.now_us < 3000 * SIM_MS) {
        int64_t until_us = lock->until_us;

        actor_renew(lock);
        process_drive(process);
        return until_us - sim.now_us + sim_between(rng, 0, 20) * SIM_MS;
    }
    return sim_chance(rng, 700) ? sim_between(rng, 1, 200) * SIM_MS
                                : sim_between(rng, 200, 3000) * SIM_MS;
}

static void fault_process(int kind, sim_rng *rng)
{
    sim_process *process = &sim.members[sim_dice(rng, sim.processes)];
    sim_fault *fault;

    if (!process->alive || process->stalled)
        return;
    if (kind == SIM_FAULT_STALL) {
        MET(PROCESS_STALLED);
        process_stall(process, fault_stall_us(process, rng));
    } else if (kind == SIM_FAULT_DRIBBLE) {
        fault = fault_begin(kind, sim_between(rng, 20, 200) * SIM_MS);
        if (fault == NULL)
            return;
        fault->process = (uint8_t)process->index;
        process->chunk = (uint8_t)sim_between(rng, 1, 40);
    } else if (sim_chance(rng, 400)) {
        MET(PROCESS_CRASHED);
        process_crash(process, false, rng);
    } else if (sim_chance(rng, 500)) {
        MET(POWER_LOST);
        process_crash(process, true, rng);
    } else {
        MET(CLIENT_ENDED);
        process_end(process);
    }
}

/* ---- Servers ----------------------------------------------------------------------------- */

static sim_fault *fault_on_server(int kind, sim_host *host, int64_t lasts_ms)
{
    sim_fault *fault = fault_begin(kind, lasts_ms * SIM_MS);

    if (fault == NULL)
        return NULL;
    fault->server = (uint8_t)host->index;
    if (kind != SIM_FAULT_MUTE)
        fault_trouble(SIM_PROCESSES, host->index, sim.now_us + lasts_ms * SIM_MS);
    return fault;
}

static void fault_pause(sim_host *host, sim_rng *rng)
{
    char text[8];
    unsigned ms = 1 + sim_dice(rng, 600);
    bool all = sim_chance(rng, 300);
    const char *words[] = {"CLIENT", "PAUSE", text, all ? "ALL" : "WRITE"};

    (void)snprintf(text, sizeof text, "%u", ms);
    if (model_is_paused(&host->model))
        return;
    /* who waits goes on at the server's next cycle */
    fault_trouble(SIM_PROCESSES, host->index, sim.now_us + (ms + SIM_CYCLE_MS + 5) * SIM_MS);
    if (all)
        MET(PAUSE_ALL);
    else
        MET(PAUSE_WRITE);
    host_command(host, words, 4);
}

static void fault_refuse(sim_host *host, sim_rng *rng)
{
    static const sim_cover covers[MODEL_REFUSALS] = {
        SIM_MET_COUNT,   SIM_MET_LOADING, SIM_MET_READONLY,    SIM_MET_OOM,
        SIM_MET_MISCONF, SIM_MET_STRANGE, SIM_MET_STRANGE_DONE};
    unsigned refusal = 1 + sim_dice(rng, MODEL_REFUSALS - 1);

    if (fault_is_on(SIM_FAULT_REFUSE, host->index) ||
        fault_on_server(SIM_FAULT_REFUSE, host, sim_between(rng, 1, 250)) == NULL)
        return;
    TRACE("server %u: refuses, %s", host->index, sim_cover_words[covers[refusal]]);
    host->model.refusal = (model_refusal)refusal;
    sim_met[covers[refusal]]++;
}

/* True time at which the last lease that the server knows of has passed. */
static int64_t fault_leases_end(const sim_host *host)
{
    int64_t end_us = sim.now_us;
    unsigned i;

    for (i = 0; i < host->model.keys_len; i++) {
        const model_key *key = &host->model.keys[i];

        if (key->present && sim_clock_when(&host->clock, key->when_ms + 1) > end_us)
            end_us = sim_clock_when(&host->clock, key->when_ms + 1);
    }
    return end_us;
}

static bool fault_has_endless(const sim_host *host)
{
    unsigned i;

    for (i = 0; i < host->model.keys_len; i++)
        if (host->model.keys[i].present && host->model.keys[i].when_ms == INT64_MAX)
            return true;
    return false;
}

static void fault_restart(int kind, sim_host *host, sim_rng *rng)
{
    /* a replica lags by less than an old file */
    int64_t lasts_ms = sim_between(rng, 1, kind == SIM_FAULT_FAILOVER ? 20 : 400);

    if (kind == SIM_FAULT_EMPTY) {
        if (fault_has_endless(host))
            return;
        lasts_ms += (fault_leases_end(host) - sim.now_us) / SIM_MS;
    }
    if (fault_on_server(kind, host, lasts_ms) == NULL)
        return;
    if (kind == SIM_FAULT_OLD_DATA || kind == SIM_FAULT_FAILOVER)
        host_keep(host); /* what it comes back with, when it ends a while later */
    else
        host_stop(host, rng);
}

static void fault_flush_scripts(sim_host *host)
{
    const char *words[] = {"SCRIPT", "FLUSH"};

    MET(SCRIPT_FLUSHED);
    host_command(host, words, 2);
}

static void fault_kill(sim_host *host, sim_rng *rng)
{
    unsigned slot = sim_dice(rng, host->model.used + 1);

    if (slot == host->model.used || !host->model.clients[slot].open)
        return;
    TRACE("server %u: client %u killed by hand", host->index, slot);
    MET(KILLED);
    fault_trouble(SIM_PROCESSES, host->index, sim.now_us);
    host_kill(host, slot);
}

static void fault_mute(sim_host *host, sim_rng *rng)
{
    if (host->mute || fault_on_server(SIM_FAULT_MUTE, host, sim_between(rng, 1, 300)) == NULL)
        return;
    TRACE("server %u: its pushes get lost", host->index);
    host->mute = true;
}

/* ---- One fault --------------------------------------------------------------------------- */

/* One of those that this history has. */
static int fault_pick(sim_rng *rng, unsigned mask)
{
    unsigned n = 0;
    unsigned bit;

    for (bit = 0; bit < 32; bit++)
        n += mask >> bit & 1;
    n = sim_dice(rng, n);
    for (bit = 0;; bit++)
        if ((mask >> bit & 1) != 0 && n-- == 0)
            return (int)(1u << bit);
}

static void fault_server_one(int kind, sim_host *host, sim_rng *rng)
{
    switch (kind) {
    case SIM_FAULT_STOP:
        if (fault_on_server(kind, host, sim_between(rng, 1, 500)) != NULL) {
            TRACE("server %u: stopped", host->index);
            MET(SERVER_STOPPED);
            host->stopped = true;
        }
        break;
    case SIM_FAULT_PAUSE:
        fault_pause(host, rng);
        break;
    case SIM_FAULT_FLUSH:
        fault_flush_scripts(host);
        break;
    case SIM_FAULT_REFUSE:
        fault_refuse(host, rng);
        break;
    case SIM_FAULT_KILL:
        fault_kill(host, rng);
        break;
    case SIM_FAULT_MEDDLE:
        others_meddle(host, rng);
        break;
    case SIM_FAULT_TOUCH:
        others_touch(host, rng, 1 + (sim_chance(rng, 300) ? sim_dice(rng, 100) : 0));
        break;
    case SIM_FAULT_MUTE:
        fault_mute(host, rng);
        break;
    case SIM_FAULT_JUMP:
        TRACE("server %u: clock jumps", host->index);
        host->clock.offset_us += sim_between(rng, -1000, 2000) * SIM_MS;
        fault_trouble(SIM_PROCESSES, host->index, sim.now_us);
        break;
    case SIM_FAULT_EVICT:
        host_drop(host, sim_dice(rng, 2) < 1 ? "k0" : "k1");
        break;
    default: /* RESTART, EMPTY, LOSE, OLD_DATA, FAILOVER */
        fault_restart(kind, host, rng);
        break;
    }
}

void fault_happen(void)
{
    unsigned mask = sim.faults & (SIM_FAULT_EVENTS | SIM_FAULT_LOSE | SIM_FAULT_OLD_DATA |
                                  SIM_FAULT_FAILOVER | SIM_FAULT_JUMP | SIM_FAULT_EVICT);
    sim_rng rng;
    bool wanted = world_decide(2 * SIM_PROCESSES, sim.faults_met++, &rng);
    sim_host *host;
    int kind;

    if (sim.finishing || mask == 0)
        return;
    world_at(sim.now_us + 1 + (int64_t)sim_dice(&rng, sim.fault_pace_us), SIM_EVENT_FAULT, 0, 0);
    if (!wanted)
        return;
    kind = fault_pick(&rng, mask);
    switch (kind) {
    case SIM_FAULT_CUT:
        fault_cut(&rng);
        break;
    case SIM_FAULT_HALF_OPEN:
        fault_half_open(&rng);
        break;
    case SIM_FAULT_PARTITION:
        fault_partition(&rng);
        break;
    case SIM_FAULT_CLOG:
    case SIM_FAULT_LOSS:
    case SIM_FAULT_SLOW:
        fault_path(kind, &rng);
        break;
    case SIM_FAULT_DRIBBLE:
    case SIM_FAULT_STALL:
    case SIM_FAULT_CRASH:
        fault_process(kind, &rng);
        break;
    case SIM_FAULT_FOREIGN:
        others_take(&rng);
        break;
    default:
        host = fault_server(&rng);
        if (host != NULL)
            fault_server_one(kind, host, &rng);
        break;
    }
}

/* ---- Mending ----------------------------------------------------------------------------- */

static void fault_return(int kind, sim_host *host)
{
    sim_rng rng = sim_rng_new(sim.seed, sim.order, NULL);

    if (kind == SIM_FAULT_OLD_DATA || kind == SIM_FAULT_FAILOVER) {
        if (host->down)
            return;
        host_stop(host, &rng);
        host_bring_back(host);
    } else if (kind == SIM_FAULT_RESTART) {
        MET(RESTARTED);
    } else {
        if (kind == SIM_FAULT_EMPTY)
            MET(RESTARTED_EMPTY);
        host_sync(host);
        model_drop_all(&host->model);
    }
    host_restart(host);
}

void fault_mend(unsigned number)
{
    sim_fault fault = sim.active[number];
    sim_host *host = &sim.hosts[fault.server];
    sim_path *path = &sim.paths[fault.process][fault.server];

    sim.active[number].kind = 0;
    switch (fault.kind) {
    case SIM_FAULT_PARTITION:
        fault_block(&fault, false);
        break;
    case SIM_FAULT_CLOG:
    case SIM_FAULT_SLOW:
        path->delay_us = path->usual_us;
        path->jitter_us = (uint32_t)path->usual_us;
        break;
    case SIM_FAULT_LOSS:
        path->loss = 0;
        break;
    case SIM_FAULT_DRIBBLE:
        sim.members[fault.process].chunk = 0;
        break;
    case SIM_FAULT_STOP:
        host->stopped = false;
        host_serve_all(host);
        break;
    case SIM_FAULT_REFUSE:
        host->model.refusal = MODEL_WILLING;
        break;
    case SIM_FAULT_FOREIGN:
        others_give_back();
        break;
    case SIM_FAULT_TOUCH:
        if (!sim.finishing && !host->down && !host->stopped) {
            sim_rng rng = sim_rng_new(sim.seed, sim.order, NULL);

            others_touch(host, &rng, fault.ways);
        }
        break;
    case SIM_FAULT_MUTE:
        host->mute = false;
        break;
    case 0:
        break; /* mended already */
    default:
        fault_return(fault.kind, host);
        break;
    }
}

void fault_mend_all(void)
{
    unsigned i;

    for (i = 0; i < SIM_FAULTS; i++)
        if (sim.active[i].kind != SIM_FAULT_EMPTY) /* that one has to wait */
            fault_mend(i);
    for (i = 0; i < SIM_STREAMS; i++) { /* what keepalive finds */
        sim_stream *stream = &sim.streams[i];

        if (stream->server_open && !stream->client_open && !sim.hosts[stream->server].down &&
            stream->pipes[SIM_UP].limited)
            host_kill(&sim.hosts[stream->server], stream->slot);
    }
    for (i = 0; i < sim.processes; i++)
        if (sim.members[i].stalled)
            process_resume(&sim.members[i]);
}
