/* SPDX-License-Identifier: MIT
 *
 * world.h: what the files of the simulator share.
 *
 *   world.c         true time, events, clocks, decisions
 *   network.c       streams of bytes between processes and servers
 *   host.c          a machine with a model server on it
 *   process.c       a process with the library in it: drives ports, timers, events
 *   actor.c         what the application does with its locks
 *   fault.c         what goes wrong, and when it is mended
 *   others.c        ... because others use the keys
 *   check.c         what must hold: instants and intervals
 *   judge.c         what must hold: results of operations
 *   event.c         what must hold: events that are no results
 *   notification.c  what must hold: which notifications waiters and holders get, and act on
 *   queue.c         what must hold: waiters wait in order, and at no cost
 *   decision.c      which state decisions of the design were met
 *   finish.c     the quiet end of a history, and what must hold then
 *   run.c        one history
 *   profile.c, minimise.c, sim_main.c
 *
 * Times: *_us are true time, microseconds from 0; *_ms are a process's or a server's own clock.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "model_server.h"
#include "rng.h"
#include "sim.h"

#include "resplock.h"

#define SIM_SERVERS   5
#define SIM_PROCESSES 3
#define SIM_LOCKS     3 /* of one process */
#define SIM_KEYS      2
#define SIM_SERIALS   4096
#define SIM_STREAMS   160
#define SIM_EVENTS    2048
#define SIM_PIPE      16384 /* bytes in flight one way; a power of two */
#define SIM_SEGMENTS  32
#define SIM_FAULTS    24 /* under way at once */
#define SIM_MS        INT64_C(1000)
#define SIM_NEVER     INT64_MAX

/* Time limits of the clients, short ones. */
#define SIM_RETRY_MS INT64_C(40)
/* More than an answer takes where nothing is wrong: shorter tries may fail. */
#define SIM_ROUND_TRIP_MS INT64_C(10)
#define SIM_OPERATION_MS  INT64_C(800)
#define SIM_REPORT_MS     INT64_C(1500) /* between the reports of a wait */
#define SIM_SETTLE_MS     INT64_C(400)

/* The design's: SIM_SPURIOUS consecutive attempts that pushes cause without success begin at once.
 * Then one begins each SIM_SPURIOUS_MS. */
#define SIM_SPURIOUS    8
#define SIM_SPURIOUS_MS 16

#define SIM_CYCLE_MS 100 /* of a server: active expiry, the end of a pause */

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef struct sim_world sim_world;

/* ---- world.c ----------------------------------------------------------------------------- */

/* Shows offset + true time, at a rate of its own. */
typedef struct sim_clock {
    int64_t offset_us;
    int64_t ppm; /* its rate error */
} sim_clock;

int64_t sim_clock_ms(const sim_clock *clock, int64_t true_us);
/* True time at which the clock begins to show local_ms. */
int64_t sim_clock_when(const sim_clock *clock, int64_t local_ms);

typedef enum sim_event_kind {
    SIM_EVENT_PIPE,    /* a segment arrives: stream, direction */
    SIM_EVENT_CONNECT, /* a connection is there, or refused: process and node; attempt */
    SIM_EVENT_TIMER,   /* a process's own deadline */
    SIM_EVENT_RESUME,  /* a process that stood still goes on */
    SIM_EVENT_REBORN,  /* a process that crashed begins anew */
    SIM_EVENT_ACT,     /* the application does something */
    SIM_EVENT_SERVER,  /* a server's own time: the end of a pause, active expiry */
    SIM_EVENT_FAULT,   /* something breaks */
    SIM_EVENT_MEND     /* ... and is mended */
} sim_event_kind;

typedef struct sim_event {
    int64_t at_us;
    uint32_t order; /* of events at the same time */
    uint16_t who;
    uint8_t kind;
    uint32_t arg;
} sim_event;

void world_at(int64_t at_us, sim_event_kind kind, unsigned who, uint32_t arg);
/* Handles events until `until_us`, a violation, or enough operations (0: no bound). */
void world_run(int64_t until_us, unsigned operations);

/* Where one decision's randomness comes from; false: leave it out. */
bool world_decide(unsigned source, unsigned number, sim_rng *rng);

void world_violate(sim_rule rule, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

const char *world_operation_name(rlk_operation operation);

/* Arguments are evaluated only when there is a trace. */
#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (sim.trace != NULL)                                                                     \
            world_trace(__VA_ARGS__);                                                              \
    } while (0)

#define MET(name) (sim_met[SIM_MET_##name]++)

/* ---- network.c --------------------------------------------------------------------------- */

typedef struct sim_segment {
    int64_t at_us;
    uint32_t upto;
    bool end;
} sim_segment;

/* One direction of a stream. Positions count bytes, modulo 2^32. */
typedef struct sim_pipe {
    uint32_t written; /* by the sender */
    uint32_t sent;    /* in segments */
    uint32_t arrived; /* in the receiver's kernel */
    uint32_t read;    /* by the receiver */
    uint32_t limit;   /* no byte behind it arrives, if `limited` */
    bool limited;
    bool silent; /* the peer gets no end */
    bool ending; /* the end is on its way */
    bool ended;  /* and has come */
    bool held;   /* something is due, and the path is blocked */
    bool scheduled;
    uint8_t head; /* segments under way */
    uint8_t used;
    sim_segment segments[SIM_SEGMENTS];
    uint8_t bytes[SIM_PIPE];
} sim_pipe;

typedef enum sim_way {
    SIM_UP,
    SIM_DOWN
} sim_way; /* up: to the server */

typedef struct sim_stream {
    bool client_open; /* as each side sees it */
    bool server_open;
    uint8_t process;
    uint8_t node; /* of the process's client */
    uint8_t server;
    uint8_t slot;        /* the server's number for it */
    uint32_t generation; /* of the use of this memory */
    sim_pipe pipes[2];
} sim_stream;

/* Between one process and one server. */
typedef struct sim_path {
    int64_t usual_us; /* delay when nothing is wrong */
    int64_t delay_us;
    uint32_t jitter_us;
    uint16_t loss;      /* per thousand segments */
    uint8_t blocked[2]; /* counted */
} sim_path;

/* A connection at both ends; NULL: the server refuses. */
sim_stream *net_open(unsigned process, unsigned node, unsigned server, const char *address);
/* As many bytes as there is room for; they leave with net_flush. */
size_t net_write(sim_stream *stream, sim_way way, const void *bytes, size_t len);
void net_flush(sim_stream *stream, sim_way way);
/* Bytes that can be read at once; *len is 0 if there are none. */
const uint8_t *net_peek(const sim_stream *stream, sim_way way, size_t *len);
void net_skip(sim_stream *stream, sim_way way, size_t len);
bool net_at_end(const sim_stream *stream, sim_way way);
/* One side closes: what it sent still arrives, then the end. */
void net_close(sim_stream *stream, sim_way way);
/* Of what is under way only `bytes` bytes arrive, and the end only if `ends`. */
void net_cut(sim_stream *stream, sim_way way, uint32_t bytes, bool ends);
uint32_t net_under_way(const sim_stream *stream, sim_way way);
void net_block(unsigned process, unsigned server, sim_way way, bool block);
void net_arrive(unsigned stream, sim_way way, uint32_t generation);

/* ---- host.c ------------------------------------------------------------------------------ */

typedef struct sim_host {
    model_server model;
    sim_clock clock;
    unsigned index;
    bool down;
    bool stopped;             /* SIGSTOP */
    bool cron;                /* an event is on its way */
    bool mute;                /* its pushes get lost */
    uint32_t lives[SIM_KEYS]; /* how often a key was freed */
    unsigned hand;            /* the model's number of who acts by hand; MODEL_CLIENTS: nobody */
    unsigned instance;
    uint8_t streams[MODEL_CLIENTS]; /* by the model's number */
    unsigned dirty_len;
    uint8_t dirty[MODEL_CLIENTS];
    /* data as they were once: for restarts and failovers that go back to them */
    model_key kept[MODEL_KEYS];
    unsigned kept_len;
} sim_host;

void host_start(unsigned server);
/* The model's clock shows the time. */
void host_sync(sim_host *host);
/* Executes what came on a stream, unless the server stands still. */
void host_read(sim_stream *stream);
void host_serve_all(sim_host *host);
void host_event(unsigned server);
/* The process ends: connections break, what is in their buffers is lost. */
void host_stop(sim_host *host, sim_rng *rng);
/* ... and another one begins, with the data that the last one left. */
void host_restart(sim_host *host);
/* Something will happen at the end of a pause. */
void host_schedule(sim_host *host);
void host_keep(sim_host *host);
void host_bring_back(sim_host *host);
void host_kill(sim_host *host, unsigned slot);
/* A command of nobody's: an operator's, or another library's, executed at once. */
void host_command(sim_host *host, const char *const *words, unsigned count);
/* The same in another database. */
void host_command_elsewhere(sim_host *host, const char *const *words, unsigned count);
/* A key is gone, or all, by nobody's command. */
void host_drop(sim_host *host, const char *key);
void host_clear(sim_host *host);

/* ---- process.c --------------------------------------------------------------------------- */

typedef struct sim_process sim_process;

typedef struct sim_link {
    rlk_conn conn;
    int16_t stream;      /* -1: none */
    uint32_t generation; /* of the connection, when it became ready last */
    int64_t ready_us;
    uint8_t dialled; /* what came of the attempt to connect: SIM_DIAL_* */
    uint32_t attempt;
    rlk_conn_entry ring[8];
    uint8_t tx[512];
    uint8_t rx[256];
} sim_link;

enum {
    SIM_DIAL_NOTHING,
    SIM_DIAL_UP,
    SIM_DIAL_REFUSED
};

/* What attempts are due to. */
typedef struct sim_toll {
    uint32_t failures; /* of connections */
    uint32_t errors;   /* of servers */
    uint32_t pushes;
    uint32_t own;
    uint32_t probes;
    uint32_t turns;
} sim_toll;

typedef struct sim_lock {
    rlk_lock lock;
    sim_process *process;
    uint8_t index;
    uint8_t key;
    bool auto_renew;
    bool elects; /* campaigns instead of acquiring */
    bool leads;  /* rlk_campaign_start, and no end of it yet */
    bool again;  /* ... and its loss was reported: it follows once nothing else is under way */
    rlk_holder holders[SIM_SERVERS];
    rlk_leader_info leader;
    int64_t ttl_ms;
    int64_t node_timeout_ms;
    int64_t retry_ms; /* shortest pause, a third of the longest */
    int64_t recheck_max_ms;
    int64_t max_hold_ms; /* 0: none */
    /* operation under way */
    rlk_operation pending;
    bool first;  /* no extend or renew since the acquire */
    bool unsent; /* the first one was cancelled before it left: no raise may come */
    bool cancelled;
    bool was_short; /* at some instant of it the token was on fewer than q nodes */
    bool was_long;  /* ... on q */
    int64_t limit_ms;
    int64_t started_us;
    uint32_t serial_before; /* token before an acquire */
    uint32_t attempt_before;
    uint32_t commands; /* executed for it, since the operation began */
    sim_toll toll;     /* what had happened to its process, and its key, when it began */
    /* waiting */
    bool once;       /* RLK_TRY: beside the row */
    uint32_t began;  /* order among the acquires of its process */
    uint32_t tried;  /* number of the last attempt */
    bool behind;     /* it began behind another one of its process */
    bool handed;     /* another one of its process was released, and it has not tried since */
    bool took_over;  /* ... when it tried last */
    uint32_t pushed; /* attempts that pushes caused, since it began */
    uint8_t seen;    /* nodes whose last answer said that somebody has it, a bit each */
    uint32_t life[SIM_SERVERS]; /* of the key there, when they were asked */
    int64_t tries_ms;           /* no longer than that */
    int64_t reported_ms;        /* its wait was reported last, or began */
    /* holding, as the application sees it */
    bool held;
    bool owed;     /* it was lost, and nothing has said so yet */
    bool refused;  /* a renewal was refused, and LOST not yet */
    bool tainted;  /* by who deleted the key by hand: exclusion can't be promised */
    bool extended; /* the caller asked for another expiry: no cap */
    bool moved;    /* ... since the last check: it may be less */
    int64_t since_ms;
    int64_t until_ms;
    int64_t until_us;
    char token[RLK_TOKEN_DIGITS + 1];
    /* the fate of its token is due: SETTLED */
    bool unsettled;
    uint32_t settle_serial;
    uint32_t settle_after; /* attempts behind this one, up to that one */
    uint32_t settle_upto;
    uint32_t settle_reported; /* reported before */
    int64_t asked_ms;         /* latest expiry that was asked for */
    int64_t settle_from_ms;   /* by time alone not before this, and in any case before that */
    int64_t settle_by_ms;
} sim_lock;

/* Of a key, in one process: counted. */
typedef struct sim_counts {
    uint32_t pushes;     /* that the servers sent it about the key */
    uint32_t own;        /* changes of its own commands */
    uint32_t probes;     /* PTTL */
    uint32_t turns;      /* changes in the wait queue of its locks */
    uint32_t chain;      /* hand-overs from one of its locks to the next */
    int64_t released_us; /* one of its locks had it last, and released it then; -1: no */
} sim_counts;

/* A notification of something that happened to a key: on its way to a process, by that stream. */
typedef struct sim_word {
    bool is;
    bool arrived; /* ... and was dealt with */
    int16_t stream;
    uint32_t generation;
    uint32_t mark; /* byte of the stream behind it */
    int64_t at_us; /* when it arrives, if nothing holds it up */
} sim_word;

/* What a process must know of a key on a server. */
typedef struct sim_watch {
    sim_word gone;    /* it is free, and the process has not read it since */
    sim_word changed; /* a token of the process was deleted or replaced by others, and it has not
                         compared since */
    uint32_t serial;  /* ... that one */
    uint32_t attempt;
    bool fresh;      /* the process has not read the key since it is connected */
    bool missed;     /* it can't know: a push was lost, or it left the table */
    bool restrained; /* after too many spurious wake-ups it may wait a little */
    uint32_t pushes; /* since it read the key, or under way when it did */
    uint32_t flushes;
    sim_word pushed; /* the last of them */
} sim_watch;

struct sim_process {
    rlk_client client;
    sim_clock clock;
    unsigned index;
    bool alive;
    bool stalled;
    bool missed; /* something came while it was stalled */
    bool resp2;
    bool no_tracking;
    bool unix_socket; /* no address of its own */
    uint8_t locks_len;
    uint8_t max_handoffs;
    uint8_t chunk; /* bytes of a short read or write; 0: all that there are */
    uint8_t server_of[SIM_SERVERS];
    int64_t timer_us; /* an event is on its way for then */
    int64_t stall_end_us;
    uint32_t births;
    uint32_t acts;
    uint32_t handled;
    uint32_t begins;
    uint32_t errors;  /* that servers replied */
    int64_t error_us; /* the last of them */
    bool plain;       /* has taken a server for one that hangs up at what it does not know */
    uint32_t pace_us;
    uint32_t granted;  /* acquisitions in a window of share.c */
    sim_lock *drawing; /* whose token is being drawn */
    rlk_lock *bucket;  /* the only one, if it has no more */
    sim_counts counts[SIM_KEYS];
    sim_rng rng;
    sim_link links[SIM_SERVERS];
    sim_lock locks[SIM_LOCKS];
};

void process_begin(sim_process *process);
/* Something came for it: it handles that, unless it is stalled. */
void process_wake(sim_process *process);
/* Moves bytes and pulls events, after a call. */
void process_drive(sim_process *process);
void process_connected(unsigned process, unsigned node, uint32_t attempt);
void process_stall(sim_process *process, int64_t us);
void process_resume(sim_process *process);
/* power: its kernel says no good-bye. */
void process_crash(sim_process *process, bool power, sim_rng *rng);
void process_end(sim_process *process);
void process_open_lock(sim_process *process, unsigned index, sim_rng *rng);
int64_t process_now_ms(const sim_process *process);

/* ---- actor.c ----------------------------------------------------------------------------- */

void actor_act(sim_process *process);
/* Removes what was reported as left behind. */
void actor_sweep(void);
void actor_close(sim_lock *lock, sim_rng *rng);
/* Calls, and what must be remembered of them. */
void actor_acquire(sim_lock *lock, int64_t wait_ms);
void actor_lead(sim_lock *lock);
void actor_resign(sim_lock *lock);
void actor_release(sim_lock *lock);
void actor_renew(sim_lock *lock);
void actor_cancel(sim_lock *lock);
/* Right after an event was pulled. */
void actor_handle(sim_lock *lock, rlk_operation operation, rlk_result result);

/* ---- share.c ----------------------------------------------------------------------------- */

void share_open(sim_lock *own);
void share_act(sim_process *process);
void share_handle(sim_lock *own, rlk_operation operation, rlk_result result);

/* ---- fault.c ----------------------------------------------------------------------------- */

/* What may go wrong; sim_profile.faults. */
enum {
    SIM_FAULT_CUT = 1 << 0,
    SIM_FAULT_HALF_OPEN = 1 << 1,
    SIM_FAULT_PARTITION = 1 << 2,
    SIM_FAULT_CLOG = 1 << 3,
    SIM_FAULT_LOSS = 1 << 4,
    SIM_FAULT_SLOW = 1 << 5,
    SIM_FAULT_DRIBBLE = 1 << 6,
    SIM_FAULT_STALL = 1 << 7,
    SIM_FAULT_CRASH = 1 << 8,
    SIM_FAULT_STOP = 1 << 9,
    SIM_FAULT_PAUSE = 1 << 10,
    SIM_FAULT_FLUSH = 1 << 11,
    SIM_FAULT_RESTART = 1 << 12,
    SIM_FAULT_EMPTY = 1 << 13,
    SIM_FAULT_REFUSE = 1 << 14,
    SIM_FAULT_KILL = 1 << 15,
    SIM_FAULT_FOREIGN = 1 << 16,
    SIM_FAULT_MEDDLE = 1 << 17,
    SIM_FAULT_TOUCH = 1 << 18,        /* pushes for nothing */
    SIM_FAULT_MUTE = 1 << 19,         /* pushes are lost */
    SIM_FAULT_EVENTS = (1 << 20) - 1, /* those above happen at some time */
    /* the whole history */
    SIM_FAULT_NO_IDS = 1 << 20,
    SIM_FAULT_OLD_SERVER = 1 << 21,
    SIM_FAULT_TABLE = 1 << 22,    /* one key has room in the servers' tracking table */
    SIM_FAULT_LONG_TTL = 1 << 23, /* an hour: no key expires */
    SIM_FAULT_INSIDE = (1 << 24) - 1,
    /* outside of the assumptions */
    SIM_FAULT_DRIFT = 1 << 24,
    SIM_FAULT_LOSE = 1 << 25,
    SIM_FAULT_OLD_DATA = 1 << 26,
    SIM_FAULT_FAILOVER = 1 << 27,
    SIM_FAULT_JUMP = 1 << 28,
    SIM_FAULT_LISTS = 1 << 29,
    SIM_FAULT_EVICT = 1 << 30
};

#define SIM_FAULT_EVENTS_LEN 20

/* No fault: all want one lock all the time. See share.c. */
#define SIM_GREEDY (1u << 31)

typedef struct sim_fault {
    int kind; /* 0: free */
    uint8_t process;
    uint8_t server;
    uint8_t ways; /* of TOUCH: how often yet */
} sim_fault;

void fault_happen(void);
/* NULL: too many are under way. */
sim_fault *fault_begin(int kind, int64_t lasts_us);
/* Between this process and that server something is wrong, or was, until then; SIM_PROCESSES,
 * SIM_SERVERS: each. */
void fault_trouble(unsigned process, unsigned server, int64_t until_us);
/* Nothing was wrong since then between a process and all of its servers. */
bool fault_was_sound(const sim_process *process, int64_t since_us);
void fault_mend(unsigned number);
void fault_mend_all(void);

/* ---- others.c ---------------------------------------------------------------------------- */

void others_take(sim_rng *rng);
void others_give_back(void);
void others_meddle(sim_host *host, sim_rng *rng);
void others_touch(sim_host *host, sim_rng *rng, unsigned times);

/* ---- Tokens ------------------------------------------------------------------------------ */

/* A drawn token: who has it. */
typedef struct sim_serial {
    uint8_t process;
    uint8_t lock;
    uint8_t key;
    bool exempt;       /* may be left behind: closed, or its process crashed */
    bool quorum;       /* may be left behind on fewer than a quorum: closed with less */
    uint32_t reported; /* as unknown: attempts up to this one may be left behind */
    uint8_t dead_len;
    struct {
        uint32_t after; /* attempts after this one up to that one must not come back */
        uint32_t upto;
    } dead[4];
} sim_serial;

/* ---- The world --------------------------------------------------------------------------- */

struct sim_world {
    int64_t now_us;
    uint64_t seed;
    const sim_options *options;
    const sim_profile *profile;
    sim_verdict *verdict;
    FILE *trace;
    sim_schedule schedule;
    unsigned faults; /* those of this history */
    unsigned servers;
    unsigned nodes; /* of each client */
    unsigned processes;
    unsigned keys;
    unsigned operations;
    unsigned faults_met;
    uint32_t fault_pace_us;
    uint32_t order;
    uint32_t ports;
    uint32_t serials_len;
    uint32_t granted;      /* acquisitions that share.c has counted */
    uint32_t hold_us;      /* ... after which the lock is released */
    bool finishing;        /* nobody acts, nothing breaks */
    sim_process *executes; /* whose command is executed; NULL: by hand, or to free a lock */
    model_command command; /* ... and which one */
    unsigned events_len;
    bool unsent; /* a notification has still to leave */
    int64_t trouble_us[SIM_PROCESSES][SIM_SERVERS];
    sim_watch watches[SIM_PROCESSES][SIM_SERVERS][SIM_KEYS];
    sim_path paths[SIM_PROCESSES][SIM_SERVERS];
    sim_fault active[SIM_FAULTS];
    sim_event events[SIM_EVENTS];
    sim_serial serials[SIM_SERIALS];
    sim_process members[SIM_PROCESSES];
    sim_host hosts[SIM_SERVERS];
    sim_stream streams[SIM_STREAMS];
};

extern sim_world sim;

#include "judges.h"

static inline bool share_is_greedy(void)
{
    return (sim.faults & SIM_GREEDY) != 0;
}

/* Reckoned here, not asked of the library. */
static inline unsigned sim_quorum(void)
{
    return sim.nodes / 2 + 1;
}

#endif
