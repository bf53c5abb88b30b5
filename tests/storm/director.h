/* SPDX-License-Identifier: MIT
 *
 * director.h: what the director of a storm knows of its arenas.
 */
#ifndef STORM_DIRECTOR_H
#define STORM_DIRECTOR_H

#include "proxy.h"
#include "server.h"
#include "storm.h"

#include <sys/types.h>

typedef enum server_state {
    SERVER_UP,
    SERVER_STOPPED, /* SIGSTOP */
    SERVER_PAUSED,  /* CLIENT PAUSE: ends without us */
    SERVER_DOWN,    /* killed; comes back with its data, written before each reply */
    SERVER_EMPTY    /* killed; comes back without data, after the longest TTL */
} server_state;

typedef struct storm_server {
    server *redis;
    proxy *middle; /* for every other client */
    server_state state;
    int64_t until_us;       /* of the state */
    int64_t proxy_until_us; /* of what the proxy does; 0: nothing */
} storm_server;

typedef struct storm_client {
    storm_kind kind;
    pid_t pid; /* 0: none */
    bool stopped;
    unsigned generation;
    int64_t until_us;  /* stopped or away until then; 0: neither */
    int64_t excuse_us; /* continued then: its calls may end that much later */
    bool hangs;        /* reported */
    int64_t calm;      /* COUNT_ACQUIRED when the window of calm began */
    int64_t calm_sum;  /* acquired in all windows */
    int64_t quiet;     /* acquired in phases without faults */
    int64_t quiet_from;
} storm_client;

typedef enum storm_fault {
    FAULT_KILL_CLIENT,
    FAULT_STOP_CLIENT,
    FAULT_STOP_SERVER,
    FAULT_RESTART_SERVER,
    FAULT_EMPTY_SERVER,
    FAULT_KILL_CONNECTIONS,
    FAULT_PAUSE_CLIENTS,
    FAULT_FLUSH_SCRIPTS,
    FAULT_DELAY,
    FAULT_DRIBBLE,
    FAULT_CUT,
    FAULT_CUT_REPLY,
    FAULT_CUT_LATE,
    FAULT_HOLD,
    FAULT_HALF_OPEN,
    FAULT_REFUSE,
    FAULT_DROP_PUSHES,
    FAULT_DELETE, /* by an operator: exclusion is not promised */
    FAULT_FLUSH,
    FAULT_OVERWRITE,
    FAULTS
} storm_fault;

extern const char *const fault_names[FAULTS];

/* When an operator changed the key himself: between the two. */
typedef struct storm_meddling {
    int64_t begin_us;
    int64_t end_us;
} storm_meddling;

#define MEDDLINGS 256

/* A claim that was taken from the board, and whose it is. */
typedef struct storm_taken {
    storm_claim claim;
    size_t who;
} storm_taken;

typedef struct storm_world {
    const char *name;
    size_t number;
    size_t nodes;
    storm_arena *board;
    storm_server servers[STORM_NODES];
    storm_client clients[STORM_CLIENTS];
    size_t client_count;
    storm_dice dice;

    storm_phase phase;
    int64_t phase_begin_us;
    int64_t phase_end_us;
    int64_t calm_from_us; /* shares are counted since then; 0: not */
    bool operators;       /* of the phase of faults */
    unsigned phases;      /* so far */
    int64_t next_fault_us;
    unsigned faults[FAULTS];

    storm_meddling meddlings[MEDDLINGS]; /* the last ones, a ring */
    size_t meddling_len;

    storm_taken *claims; /* of the last seconds, to be compared with new ones */
    size_t claim_len;
    size_t claim_cap;
    int64_t judged;     /* claims */
    int64_t exempt;     /* pairs that overlap because of an operator */
    unsigned windows;   /* of calm, judged */
    double least_share; /* of any window, of an even one */
    double whole_share; /* the least over all windows together */
    int64_t rate;       /* leases a second in the last window of calm */
} storm_world;

/* What a finding breaks. */
typedef enum storm_rule {
    RULE_EXCLUSION,
    RULE_LOSS,
    RULE_COUNTER,
    RULE_ENDING,
    RULE_SHARE,
    RULE_STARVING,
    RULE_LEAK,
    RULES
} storm_rule;

/* A finding; the storm fails. The first of each rule are printed at once, all are counted. */
void finding(const storm_world *world, storm_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- storm.c ---- */

/* Seconds from the start of the storm to a time of a claim. */
double storm_seconds(int64_t time_us);

/* "blocking" ... */
const char *client_name(const storm_world *world, size_t i);

void client_start(storm_world *world, size_t i);

/* ---- faults.c ---- */

/* Does what is due, and in the phase of faults some harm. */
void faults_tick(storm_world *world, int64_t now_us);

/* Ends all harm, whether it is due or not. */
void faults_mend(storm_world *world);

/* ---- referee.c ---- */

/* Takes the claims that were closed, and compares them. */
void referee_tick(storm_world *world, int64_t now_us);

/* A client was killed: closes the claim that it had. */
void referee_killed(storm_world *world, size_t i, int64_t now_us);

/* Counts shares from now on, and judges them. */
void referee_calm_begins(storm_world *world, int64_t now_us);
void referee_calm_ends(storm_world *world, int64_t now_us);

/* When all clients have ended. */
void referee_finish(storm_world *world);

#endif
