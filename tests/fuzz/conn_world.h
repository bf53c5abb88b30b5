/* SPDX-License-Identifier: MIT
 *
 * conn_world.h: what the parts of fuzz_conn share: the connection, the layer above it
 * (conn_layer.c), and all that was said on a stream, for the judge (conn_judge.c) and his rules of
 * the handshake (conn_steps.c).
 */
#ifndef TEST_FUZZ_CONN_WORLD_H
#define TEST_FUZZ_CONN_WORLD_H

#include "input.h"
#include "resp_log.h"
#include "stream.h"

#include "resplock/net.h"

#define REQUESTS     6
#define STREAM_MAX   (64u * 1024)
#define COMMANDS_MAX 2048
#define CHANGES_MAX  STREAM_MAX /* less than one a byte */
#define PLAIN        "s3cr:tE!" /* the password */
#define CONN_DIGEST  "x"

/* A request of the layer above: 1 to 3 times "ECHO n", n unlike any other. Where the script leaves
 * with each call, the first is an EVAL of n. */
typedef struct subject {
    rlk_request request;
    unsigned first; /* number of its first command; those submitted later have greater ones */
    unsigned commands;
    unsigned replies;
    bool encoded; /* on this stream: its end may lose it */
    bool awaits;  /* submitted, and not ended */
    size_t padding;
} subject;

/* A command as the driver saw it. */
typedef struct command {
    unsigned echo; /* number; 0: of the handshake, or a SCRIPT LOAD */
    char name[160];
} command;

/* A reply as the layer above got it. */
typedef struct delivery {
    unsigned echo;
    rlk_resp_type type;
    int64_t value;
    size_t at; /* data, in `delivered` */
    size_t len;
    bool has_data;
} delivery;

/* A change that was reported to the layer above. */
typedef struct change {
    uint32_t key_hash;
    bool all;
} change;

/* The reference reader's events that are replies, by their numbers. */
typedef struct replies {
    resp_log log;
    const resp_event *at[COMMANDS_MAX];
    unsigned len;
    unsigned whole; /* the last one may have only begun */
} replies;

/* Who was at the other end, as far as that is known. */
typedef struct peer {
    uint64_t id;
    uint64_t address;
    char local[RLK_CONN_LOCAL];
    uint64_t run_id; /* 0: not known */
} peer;

/* How a connection that was lost is fenced. */
typedef enum conn_kill {
    KILL_IMPOSSIBLE,
    KILL_NOBODY, /* its server is gone, and with it what it had to execute */
    KILL_ID,
    KILL_ID_ADDRESS
} conn_kill;

/* What follows from the commands and replies of a handshake so far. */
typedef struct handshake {
    unsigned step;
    unsigned loads;      /* SCRIPT LOADs */
    unsigned unanswered; /* commands */
    int protocol;        /* 0: not known yet */
    peer self;
    bool vague; /* nothing is judged from here on */
    bool plain;
    bool fenced; /* the connection before */
    bool extra;  /* a command is not answered that can be left out */
    bool took_hello;
    bool named; /* AUTH had a name */
    bool tracking;
    bool sentinel;
    bool cluster;
    bool replica;
    bool dragonfly;
    bool no_load;
    bool evalsha;
    bool keyless; /* EVAL needs no key */
} handshake;

typedef struct world {
    rlk_conn conn;
    rlk_conn_config config;
    fuzz_input *input;
    int64_t now_ms;
    uint8_t *tx;
    uint8_t *rx;
    rlk_conn_entry *ring;
    subject subjects[REQUESTS];
    unsigned numbers;
    const char *secret; /* of the URL; NULL: none */
    const char *user;

    /* of the stream under way */
    const uint8_t *shown; /* not acknowledged */
    size_t shown_len;
    stream_tracker sent;
    unsigned commands_len;
    bool begun; /* of the last one only the beginning was shown: an EVAL, up to its script */
    unsigned encoded_len;
    unsigned encoded_shown;
    size_t said_len;
    unsigned deliveries_len;
    size_t delivered_len;
    unsigned honest; /* commands that the honest server has answered, or skipped */
    bool ready;      /* was */
    size_t greeted;  /* of what was said: read when it became so */
    unsigned changes_len;
    uint64_t address;
    char local[RLK_CONN_LOCAL];
    bool plain; /* it leaves out what the peer may not know */

    bool open;  /* something of an earlier stream may still execute */
    peer old;   /* of the last stream that was ready */
    bool whole; /* a peer took all of a handshake */
    bool plain_next;
    unsigned hangs;   /* ends of handshakes, one after the other, that were not reported */
    unsigned reports; /* calls of `changed` */

    /* not cleared for each input */
    uint8_t shown_copy[STREAM_MAX];
    uint8_t said[STREAM_MAX];
    uint8_t delivered[STREAM_MAX];
    command commands[COMMANDS_MAX];
    unsigned encoded[COMMANDS_MAX]; /* numbers of the commands of the layer above, in their order */
    delivery deliveries[COMMANDS_MAX];
    change changes[CHANGES_MAX];
} world;

/* ---- conn_layer.c: the layer above ---- */

/* Submits an idle request; a request that is under way stays as it is. */
void conn_submit(world *w, subject *s);
void conn_withdraw(world *w, subject *s);

/* The server's own errors that end a stream. */
bool conn_is_condemning(rlk_result why);

/* The calls of a connection, with `w` as context. */
void conn_layer(world *w, rlk_conn_config *config);

/* ---- conn_judge.c ---- */

bool conn_holds(const uint8_t *memory, size_t len, const char *text);

/* A command of the handshake was shown: it is the one whose turn it is. */
void conn_judge_command(const world *w);

/* What the server said ended the handshake, or the stream: it had to. */
void conn_judge_refused(const world *w);

/* A peer ended the handshake, and that was reported, or not. */
void conn_judge_hung_up(world *w, bool reported);

/* The connection has changed: what must hold of the handshake that ended. */
void conn_judge_change(world *w);

/* It was reset with no stream. */
void conn_judge_reset(world *w);

/* While it is up: the layer above knows of each change of which a push came. */
void conn_judge_changes(const world *w);

/* A stream is over: its replies went to who asked, and what it left open is noted. */
void conn_judge_stream(world *w);

/* ---- conn_steps.c: the rules of the handshake ---- */

conn_kill conn_judge_kill(const peer *old, const peer *fresh);

/* Goes through commands and replies; RLK_OK, or why the attempt had to fail. */
rlk_result conn_judge_steps(const world *w, const replies *r, handshake *s);

/* No further command is due. */
bool conn_judge_is_over(const world *w, handshake *s);

#endif
