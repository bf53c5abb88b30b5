/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <string.h>

#define PROFILE_NETWORK                                                                            \
    (SIM_FAULT_CUT | SIM_FAULT_HALF_OPEN | SIM_FAULT_PARTITION | SIM_FAULT_CLOG | SIM_FAULT_LOSS | \
     SIM_FAULT_SLOW | SIM_FAULT_DRIBBLE)
#define PROFILE_SERVERS                                                                            \
    (SIM_FAULT_STOP | SIM_FAULT_PAUSE | SIM_FAULT_FLUSH | SIM_FAULT_RESTART | SIM_FAULT_EMPTY |    \
     SIM_FAULT_REFUSE | SIM_FAULT_KILL)
#define PROFILE_PROCESSES (SIM_FAULT_STALL | SIM_FAULT_CRASH)

const sim_profile sim_profiles[] = {
    {"standard", "everything that the assumptions allow", SIM_FAULT_INSIDE, SIM_FINE, 0, 0},
    {"calm", "nothing goes wrong", 0, SIM_FINE, 0, 0},
    {"network", "only the network fails", PROFILE_NETWORK, SIM_FINE, 0, 0},
    {"servers", "only servers fail", PROFILE_SERVERS, SIM_FINE, 0, 0},
    {"processes", "only processes fail", PROFILE_PROCESSES, SIM_FINE, 0, 0},
    {"drift", "outside: the server's clock is faster than the bound", SIM_FAULT_DRIFT,
     SIM_EXCLUSION, 1, 0},
    {"lossy-restart", "outside: a server comes back at once, without its data", SIM_FAULT_LOSE,
     SIM_EXCLUSION, 1, 0},
    {"rolling-restarts", "outside: servers of a quorum come back at once, one after the other",
     SIM_FAULT_LOSE, SIM_EXCLUSION, 0, 3},
    {"old-data", "outside: a server comes back with older data", SIM_FAULT_OLD_DATA, SIM_EXCLUSION,
     1, 0},
    {"failover", "outside: a failover loses the last writes", SIM_FAULT_FAILOVER, SIM_EXCLUSION, 1,
     0},
    {"clock-jump", "outside: the server's clock jumps", SIM_FAULT_JUMP, SIM_EXCLUSION, 1, 0},
    {"eviction", "outside: the server evicts the key", SIM_FAULT_EVICT, SIM_EXCLUSION, 1, 0},
    {"node-lists", "outside: clients have different lists of nodes", SIM_FAULT_LISTS, SIM_EXCLUSION,
     3, 3},
};

const size_t sim_profiles_len = COUNT_OF(sim_profiles);

const sim_profile *sim_profile_named(const char *name)
{
    size_t i;

    for (i = 0; i < sim_profiles_len; i++)
        if (strcmp(sim_profiles[i].name, name) == 0)
            return &sim_profiles[i];
    return NULL;
}
