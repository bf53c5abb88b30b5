/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <string.h>

/* Of the history, without its end: where nothing can be had, operations are few. */
#define RUN_LONGEST_US (120 * 1000 * SIM_MS)
#define RUN_OPERATIONS 200
#define RUN_GREEDY     3200 /* of share.c: two windows */

static void run_paths(sim_rng *rng)
{
    unsigned p;
    unsigned s;

    for (p = 0; p < sim.processes; p++) {
        for (s = 0; s < sim.servers; s++) {
            sim_path *path = &sim.paths[p][s];

            memset(path, 0, sizeof *path);
            path->usual_us = sim_between(rng, 50, 1500);
            if (share_is_greedy() && p > 0) /* ways that are alike */
                path->usual_us = sim.paths[0][s].usual_us;
            path->delay_us = path->usual_us;
            path->jitter_us = (uint32_t)path->usual_us;
        }
    }
}

/* Two clocks drift apart by less than the bound, unless that is what is shown. */
static sim_clock run_clock(sim_rng *rng, int64_t most_ppm)
{
    sim_clock clock;

    /* around 2^32 ms, or anywhere; and within a millisecond */
    if (sim_chance(rng, 200))
        clock.offset_us = (INT64_C(1) << 32) * SIM_MS - 3000000;
    else
        clock.offset_us = sim_between(rng, 1, 1000000000) * SIM_MS;
    clock.offset_us += sim_between(rng, 0, 999);
    clock.ppm = sim_between(rng, -most_ppm, most_ppm);
    return clock;
}

static void run_servers(sim_rng *rng)
{
    bool drift = (sim.faults & SIM_FAULT_DRIFT) != 0;
    unsigned s;

    for (s = 0; s < sim.servers; s++) {
        sim_host *host = &sim.hosts[s];

        host->clock = run_clock(rng, 4900);
        if (drift)
            host->clock.ppm = 150000;
        host_start(s);
        if ((sim.faults & SIM_FAULT_NO_IDS) != 0 && sim_chance(rng, 700)) {
            MET(NO_IDS);
            host->model.no_ids = true;
        }
        if ((sim.faults & SIM_FAULT_OLD_SERVER) != 0 && sim_chance(rng, 500)) {
            MET(OLD_SERVER);
            host->model.old = true;
        } else if ((sim.faults & SIM_FAULT_OLD_SERVER) != 0 && sim_chance(rng, 500)) {
            MET(UNTRACKED);
            host->model.untracked = true;
        }
        host->model.tracked_max = (sim.faults & SIM_FAULT_TABLE) != 0 ? 1 : 0;
    }
}

static void run_processes(sim_rng *rng)
{
    unsigned p;
    unsigned n;

    for (p = 0; p < sim.processes; p++) {
        sim_process *process = &sim.members[p];

        process->index = p;
        process->clock = run_clock(rng, 4900);
        process->rng = sim_rng_new(sim.seed, 100 + p, NULL);
        process->births = 0;
        process->acts = 0;
        process->handled = 0;
        process->begins = 0;
        process->errors = 0;
        process->error_us = -1000 * SIM_MS;
        process->plain = false;
        process->chunk = 0;
        memset(process->counts, 0, sizeof process->counts);
        process->pace_us = (uint32_t)sim_between(rng, 2, 40) * 1000;
        process->locks_len = share_is_greedy() ? 1 : (uint8_t)sim_between(rng, 1, SIM_LOCKS);
        process->granted = 0;
        for (n = 0; n < sim.nodes; n++) {
            unsigned first = (sim.faults & SIM_FAULT_LISTS) != 0 && p > 0 ? sim.nodes - 1 : 0;

            process->server_of[n] = (uint8_t)((first + n) % sim.servers);
        }
        process_begin(process);
    }
}

/* How many servers, and which of the profile's faults this history has. */
static void run_shape(sim_rng *rng)
{
    static const unsigned sizes[] = {1, 1, 1, 1, 1, 3, 3, 3, 5, 2};
    unsigned most = sim.profile->most_nodes != 0 ? sim.profile->most_nodes : SIM_SERVERS;
    unsigned least = sim.profile->least_nodes;
    unsigned bit;

    if (most > RLK_MAX_NODES)
        most = RLK_MAX_NODES;
    if (least > RLK_MAX_NODES) {
        world_violate(SIM_SELF, "a profile for more nodes than the library is built for");
        least = 1;
    }
    do
        sim.nodes = sizes[sim_dice(rng, COUNT_OF(sizes))];
    while (sim.nodes > most || sim.nodes < least);
    sim.servers = sim.nodes;
    if ((sim.profile->always & SIM_FAULT_LISTS) != 0)
        sim.servers = 2 * sim.nodes - 1;
    if (sim.servers > SIM_SERVERS) {
        sim.nodes = 3;
        sim.servers = 5;
    }
    sim.processes = (unsigned)sim_between(rng, 2, SIM_PROCESSES);
    sim.keys = (unsigned)sim_between(rng, 1, SIM_KEYS);
    if ((sim.profile->always & SIM_GREEDY) != 0) {
        sim.keys = 1;
        sim.hold_us = (uint32_t)sim_between(rng, 500, 5000);
    }
    sim.faults = sim.profile->always;
    for (bit = 0; bit < SIM_FAULT_EVENTS_LEN; bit++)
        if (sim_chance(rng, 350))
            sim.faults |= sim.profile->faults & 1u << bit;
    if (sim_chance(rng, 150))
        sim.faults |= sim.profile->faults & SIM_FAULT_NO_IDS;
    if (sim_chance(rng, 150))
        sim.faults |= sim.profile->faults & SIM_FAULT_OLD_SERVER;
    if (sim_chance(rng, 150))
        sim.faults |= sim.profile->faults & SIM_FAULT_TABLE;
    if (sim_chance(rng, 250))
        sim.faults |= sim.profile->faults & SIM_FAULT_LONG_TTL;
    if (sim_chance(rng, 50)) /* nothing goes wrong */
        sim.faults = sim.profile->always;
    if ((sim.faults & SIM_FAULT_LONG_TTL) != 0)
        sim.faults &= ~(unsigned)SIM_FAULT_EMPTY; /* its leases would have to end first */
    sim.fault_pace_us = (uint32_t)sim_between(rng, 10, 250) * 1000;
}

static void run_reset(uint64_t seed, const sim_options *options, sim_verdict *verdict)
{
    unsigned i;

    memset(verdict, 0, sizeof *verdict);
    sim.now_us = 0;
    sim.seed = seed;
    sim.options = options;
    sim.profile = options->profile != NULL ? options->profile : &sim_profiles[0];
    sim.verdict = verdict;
    sim.trace = options->trace;
    sim.schedule.bytes = options->schedule;
    sim.schedule.len = options->schedule_len;
    sim.schedule.used = 0;
    sim.operations = 0;
    sim.faults_met = 0;
    sim.order = 0;
    sim.ports = 0;
    sim.serials_len = 0;
    sim.granted = 0;
    sim.finishing = false;
    sim.executes = NULL;
    sim.events_len = 0;
    sim.unsent = false;
    memset(sim.trouble_us, 0xff, sizeof sim.trouble_us); /* -1: before it began */
    memset(sim.watches, 0, sizeof sim.watches);
    for (i = 0; i < SIM_FAULTS; i++)
        sim.active[i].kind = 0;
    for (i = 0; i < SIM_STREAMS; i++) {
        sim.streams[i].client_open = false;
        sim.streams[i].server_open = false;
        sim.streams[i].pipes[SIM_UP].held = false;
        sim.streams[i].pipes[SIM_DOWN].held = false;
    }
}

void sim_run(uint64_t seed, const sim_options *options, sim_verdict *verdict)
{
    sim_rng rng;

    run_reset(seed, options, verdict);
    rng = sim_rng_new(seed, 0, &sim.schedule);
    run_shape(&rng);
    TRACE("seed %llu: %u processes, %u servers, %u nodes each, faults %x", (unsigned long long)seed,
          sim.processes, sim.servers, sim.nodes, sim.faults);
    run_paths(&rng);
    run_servers(&rng);
    run_processes(&rng);
    world_at(sim_dice(&rng, sim.fault_pace_us), SIM_EVENT_FAULT, 0, 0);
    world_run(options->until_us != 0 ? options->until_us : RUN_LONGEST_US,
              options->operations != 0 ? options->operations
              : share_is_greedy()      ? RUN_GREEDY
                                       : RUN_OPERATIONS);
    verdict->acted_us = sim.now_us;
    if (verdict->rule == SIM_FINE)
        finish_history();
    verdict->operations = sim.operations;
    verdict->simulated_us = sim.now_us;
}
