/* SPDX-License-Identifier: MIT
 *
 * storm.h: what the director of a storm and its clients share: the board, in shared memory.
 *
 * An arena is 1, 3 or 5 servers and the clients that want one lock there. The director (storm.c)
 * starts all processes, does harm to them by a seed (faults.c), and judges (referee.c). Each client
 * (client.c, foreign.c, foreign.py) writes into its slot what it does, and in particular its
 * claims: from when until when its library says that it holds the lock.
 *
 *     phase    waiters                          pollers, foreign clients   faults
 *     SETTLE   hold and pause at random         the same                   none; not judged
 *     CALM     acquire again at once            rest                       none: shares are judged
 *     MIXED    hold and pause at random         the same                   none
 *     FAULTS   the same, for long sometimes     the same                   by seed
 *
 * Every other client reaches the servers by TCP and a proxy, except in calm: shares compare equals.
 *
 * Times are microseconds of CLOCK_BOOTTIME, which is the library's clock too.
 */
#ifndef STORM_H
#define STORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORM_KEY    "storm"
#define STORM_TTL_MS 1000
/* A counter is written only with this much of the lease left: a process may lose the processor. */
#define STORM_MARGIN_MS 60
#define STORM_WAIT_MS   2000 /* of an acquire that is bounded */
#define STORM_OPERATION 1500 /* operation_timeout_ms */
#define STORM_SETTLE    500  /* settle_timeout_ms */

#define STORM_ARENAS  3
#define STORM_NODES   5
#define STORM_CLIENTS 8
#define STORM_RING    512 /* claims that the director has not yet taken */

typedef enum storm_phase {
    PHASE_SETTLE,
    PHASE_CALM,
    PHASE_MIXED,
    PHASE_FAULTS,
    PHASE_STOP, /* clients close, and end */
    PHASES
} storm_phase;

typedef enum storm_kind {
    KIND_BLOCKING, /* rlk_acquire, rlk_keep_alive, rlk_release */
    KIND_LOOP,     /* an event loop, auto_renew */
    KIND_ELECTED,  /* rlk_campaign_start, rlk_resign_start */
    KIND_POLLER,   /* rlk_acquire with RLK_TRY */
    KIND_FOREIGN,  /* foreign.c: the same convention by hand */
    KIND_PYTHON,   /* redis-py */
    KINDS
} storm_kind;

/* Kinds that are notified of a release, so that they can have even shares. */
static inline bool kind_waits(storm_kind kind)
{
    return kind <= KIND_ELECTED;
}

/* What a client does wrong when it is asked to: a storm that does not fail then sees nothing. */
typedef enum storm_cheat {
    CHEAT_NONE,
    CHEAT_HELD,    /* claims the lock for a while after its release */
    CHEAT_DELETE,  /* deletes the key of another before it acquires */
    CHEAT_COUNT,   /* counts without the lock */
    CHEAT_STARVE,  /* seldom asks for the lock in calm */
    CHEAT_HANG,    /* a call does not return */
    CHEAT_LEAK,    /* opens a descriptor for each lease */
    CHEAT_FOREVER, /* leaves a key without TTL */
    CHEAT_DIE,     /* ends */
    CHEATS
} storm_cheat;

/* The layout is that of foreign.py, too: 64-bit numbers, in the same order. */
typedef struct storm_claim {
    int64_t asked_us; /* the key was not ours before */
    int64_t begin_us;
    int64_t end_us;
    int64_t lost; /* 1: the server took it before its deadline */
} storm_claim;

typedef enum storm_count {
    COUNT_ACQUIRED,
    COUNT_BUSY,
    COUNT_TIMED_OUT,
    COUNT_CANCELLED,
    COUNT_UNKNOWN, /* of any operation */
    COUNT_ERROR,
    COUNT_RENEWED,
    COUNT_LOST, /* leases that ended before they were released */
    COUNT_COUNTED,
    COUNTS
} storm_count;

/* Each is written by its client only, and read by the director. */
typedef struct storm_slot {
    int64_t counts[COUNTS];
    /* claims: [tail, head) are closed and not yet taken; `tail` is the director's */
    int64_t head;
    int64_t tail;
    int64_t is_open; /* the claim under way: asked, begin, and its end as of now */
    storm_claim open;
    int64_t in_call_us;  /* since then a call may find that it is lost; 0: none */
    int64_t writing;     /* between the last check of the lock and the writing of the counter */
    int64_t op_us;       /* a call began then; 0: none */
    int64_t op_bound_ms; /* by when it returns */
    int64_t fds_before;
    int64_t fds_after;
    int64_t odd; /* a result that must not be; 0: none */
    storm_claim ring[STORM_RING];
} storm_slot;

typedef struct storm_arena {
    int64_t phase;
    int64_t counting; /* exclusion is promised, so the counter must be exact */
    int64_t counter;
    storm_slot slots[STORM_CLIENTS];
} storm_arena;

typedef struct storm_board {
    storm_arena arenas[STORM_ARENAS];
} storm_board;

static inline int64_t board_get(const int64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void board_set(int64_t *word, int64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* Microseconds of CLOCK_BOOTTIME. */
int64_t storm_now_us(void);

/* Numbers by seed. */
typedef struct storm_dice {
    uint64_t state;
} storm_dice;

/* 0 .. sides - 1 */
unsigned dice_roll(storm_dice *dice, unsigned sides);

/* ---- Clients (processes of their own) ---- */

typedef struct storm_job {
    storm_arena *arena;
    storm_slot *slot;
    storm_kind kind;
    storm_cheat cheat;
    storm_dice dice;
    const char *urls[STORM_NODES];   /* "unix:///..." */
    const char *detour[STORM_NODES]; /* the same servers by TCP and proxies; or as urls */
    size_t nodes;
    bool calm; /* since it opened its connections, which are direct then */
} storm_job;

/* Run until PHASE_STOP. The exit code. */
int client_run(storm_job *job);
int foreign_run(storm_job *job);

/* client_common.c: for both */

void client_add(storm_job *job, storm_count which);
bool client_stops(const storm_job *job);

/* ... or goes another way: in calm all have equal ones. */
bool client_leaves(const storm_job *job);

/* The call that begins returns in `bound_ms`; client_op(job, 0): it has. */
void client_op(storm_job *job, int64_t bound_ms);

/* A lease that is valid until then. */
void claim_begin(storm_job *job, int64_t until_us);

/* ... is valid until then now: it was renewed. */
void claim_until(storm_job *job, int64_t until_us);

/* ... and ends: at `end_us`, or when it is no longer valid if that is earlier. */
void claim_end(storm_job *job, int64_t end_us, bool lost);

/* Time to hold the lease, and between two leases, in this phase. */
int64_t client_hold_ms(storm_job *job);
int64_t client_pause_ms(storm_job *job);

/* Reads the counter for a lease, -1 where it is not counted; writes it by 1 more if the lease has
 * `left_ms`. */
int64_t counter_read(storm_job *job);
void counter_write(storm_job *job, int64_t read, int64_t left_ms);

int64_t client_fds(void);

#endif
