/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <string.h>

#define PROFILE_NETWORK                                                                            \
    (SIM_FAULT_CUT | SIM_FAULT_HALF_OPEN | SIM_FAULT_PARTITION | SIM_FAULT_CLOG | SIM_FAULT_LOSS | \
     SIM_FAULT_SLOW | SIM_FAULT_DRIBBLE)
#define PROFILE_PUSHES                                                                             \
    (SIM_FAULT_TOUCH | SIM_FAULT_MUTE | SIM_FAULT_TABLE | SIM_FAULT_FOREIGN | SIM_FAULT_MEDDLE |   \
     SIM_FAULT_DRIBBLE)
#define PROFILE_SERVERS                                                                            \
    (SIM_FAULT_STOP | SIM_FAULT_PAUSE | SIM_FAULT_FLUSH | SIM_FAULT_RESTART | SIM_FAULT_EMPTY |    \
     SIM_FAULT_REFUSE | SIM_FAULT_KILL)
#define PROFILE_PROCESSES (SIM_FAULT_STALL | SIM_FAULT_CRASH)

#define PROFILE_INSIDE(name, words, faults, always)                                                \
    {                                                                                              \
        name, words, faults, always, SIM_FINE, 0, 0                                                \
    }
#define PROFILE_OUTSIDE(name, words, always, most_nodes, least_nodes)                              \
    {                                                                                              \
        name, "outside: " words, 0, always, SIM_EXCLUSION, most_nodes, least_nodes                 \
    }

const sim_profile sim_profiles[] = {
    PROFILE_INSIDE("standard", "everything that the assumptions allow", SIM_FAULT_INSIDE, 0),
    PROFILE_INSIDE("calm", "nothing goes wrong", 0, 0),
    PROFILE_INSIDE("network", "only the network fails", PROFILE_NETWORK, 0),
    PROFILE_INSIDE("servers", "only servers fail", PROFILE_SERVERS, 0),
    PROFILE_INSIDE("processes", "only processes fail", PROFILE_PROCESSES, 0),
    PROFILE_INSIDE("pushes", "pushes come for nothing, or get lost", PROFILE_PUSHES, 0),
    PROFILE_INSIDE("endless", "TTLs of an hour: no key expires", SIM_FAULT_INSIDE,
                   SIM_FAULT_LONG_TTL),
    PROFILE_INSIDE("unfenced", "no server can fence a connection that was lost",
                   PROFILE_NETWORK | SIM_FAULT_LONG_TTL, SIM_FAULT_NO_IDS | SIM_FAULT_HALF_OPEN),
    PROFILE_INSIDE("shares", "all want one lock all the time", 0, SIM_GREEDY),
    PROFILE_OUTSIDE("drift", "the server's clock is faster than the bound", SIM_FAULT_DRIFT, 1, 0),
    PROFILE_OUTSIDE("lossy-restart", "a server comes back at once, without its data",
                    SIM_FAULT_LOSE, 1, 0),
    PROFILE_OUTSIDE("rolling-restarts", "servers of a quorum do, one after the other",
                    SIM_FAULT_LOSE, 0, 3),
    PROFILE_OUTSIDE("old-data", "a server comes back with older data", SIM_FAULT_OLD_DATA, 1, 0),
    PROFILE_OUTSIDE("failover", "a failover loses the last writes", SIM_FAULT_FAILOVER, 1, 0),
    PROFILE_OUTSIDE("clock-jump", "the server's clock jumps", SIM_FAULT_JUMP, 1, 0),
    PROFILE_OUTSIDE("eviction", "the server evicts the key", SIM_FAULT_EVICT, 1, 0),
#ifndef RLK_RESP2_ONLY /* else there are none */
    {"deaf", "outside: pushes get lost, and the judge does not allow for it", 0, SIM_FAULT_MUTE,
     SIM_WAKE, 1, 0},
#endif
    PROFILE_OUTSIDE("node-lists", "clients have different lists of nodes", SIM_FAULT_LISTS, 3, 3),
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
