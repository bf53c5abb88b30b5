/* SPDX-License-Identifier: MIT
 *
 * Others who use the servers: other libraries, people who delete keys by hand, other databases.
 */
#include "world.h"

static const char *const others_keys[SIM_KEYS] = {"k0", "k1"};

/* Another library: takes the lock on all servers that it can reach at once, and lets it lapse; or
 * one without TTL (redis-py's default), released when the fault is mended. */
void others_take(sim_rng *rng)
{
    static const char *const values[SIM_KEYS] = {"0-another-library", "1-another-library"};
    unsigned key = sim_dice(rng, sim.keys);
    bool endless = sim_chance(rng, 200);
    char ms[8];
    const char *words[] = {"SET", others_keys[key], values[key], "NX", "PX", ms};
    unsigned s;

    (void)snprintf(ms, sizeof ms, "%u", 20 + sim_dice(rng, 400));
    if (endless && fault_begin(SIM_FAULT_FOREIGN, sim_between(rng, 20, 400) * SIM_MS) == NULL)
        return;
    for (s = 0; s < sim.servers; s++)
        if (!sim.hosts[s].down && !sim.hosts[s].stopped)
            host_command(&sim.hosts[s], words, endless ? 4 : 6);
    if (endless)
        MET(FOREIGN_FOREVER);
    MET(FOREIGN);
}

void others_give_back(void)
{
    unsigned s;
    unsigned i;

    for (s = 0; s < sim.servers; s++) {
        const model_server *model = &sim.hosts[s].model;

        for (i = 0; i < model->keys_len; i++)
            if (model->keys[i].present && model->keys[i].when_ms == INT64_MAX)
                host_drop(&sim.hosts[s], model->keys[i].key);
    }
}

static void others_flush(sim_host *host)
{
    const char *words[] = {"FLUSHALL"};
    unsigned i;

    for (i = 0; i < sim.keys; i++)
        check_meddled(i);
    MET(FLUSHED);
    host_command(host, words, 1);
}

/* By hand, without asking whose it is. */
void others_meddle(sim_host *host, sim_rng *rng)
{
    unsigned key = sim_dice(rng, sim.keys);
    const char *value = key == 0 ? "0-by-hand" : "1-by-hand";
    const char *del[] = {"DEL", others_keys[key]};
    const char *set[] = {"SET", others_keys[key], value, "PX", "100"};
    const char *push[] = {"RPUSH", others_keys[key], value};

    if (model_is_paused(&host->model) || host->model.refusal != MODEL_WILLING)
        return;
    check_meddled(key);
    switch (sim_dice(rng, 4)) {
    case 0:
        MET(MEDDLED);
        host_command(host, del, 2);
        break;
    case 1:
        MET(OVERWRITTEN);
        host_command(host, set, 5);
        break;
    case 2:
        others_flush(host);
        break;
    default:
        if (fault_begin(SIM_FAULT_FOREIGN, 80 * SIM_MS) == NULL)
            return;
        MET(WRONG_TYPE);
        host_command(host, del, 2);
        host_command(host, push, 3);
        break;
    }
}

/* Causes pushes that concern nobody here: of the key of this name in another database, or of all
 * keys there. */
void others_touch(sim_host *host, sim_rng *rng, unsigned times)
{
    const char *set[] = {"SET", others_keys[sim_dice(rng, sim.keys)], "elsewhere"};
    const char *flush[] = {"FLUSHDB"};
    sim_fault *again;

    if (sim_chance(rng, 800))
        host_command_elsewhere(host, set, 3);
    else
        host_command_elsewhere(host, flush, 1);
    MET(TOUCHED);
    if (times < 2)
        return;
    again = fault_begin(SIM_FAULT_TOUCH, sim_between(rng, 300, 2500));
    if (again == NULL)
        return;
    again->server = (uint8_t)host->index;
    again->ways = (uint8_t)(times - 1);
}
