/* SPDX-License-Identifier: MIT
 *
 * conn_world.h: what the parts of fuzz_conn share: the connection, the layer above it
 * (conn_layer.c), and all that was said on a stream, for the judge (conn_judge.c).
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

/* A request of the layer above: 1 to 3 times "ECHO n", n unlike any other. */
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
    char name[32];
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

/* What the layer above was told that has changed. */
typedef struct change {
    uint32_t key_hash;
    bool all;
} change;

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

    /* of the stream under way */
    const uint8_t *shown; /* not acknowledged */
    size_t shown_len;
    stream_tracker sent;
    unsigned commands_len;
    size_t said_len;
    unsigned deliveries_len;
    size_t delivered_len;
    unsigned honest; /* commands that the honest server has answered, or skipped */
    bool ready;      /* was */
    size_t greeted;  /* of what was said: read when it became so */
    unsigned changes_len;

    bool open; /* something of an earlier stream may still execute, on that instance */
    bool has_old_run_id;
    uint8_t old_run_id[20];

    /* not cleared for each input */
    uint8_t shown_copy[STREAM_MAX];
    uint8_t said[STREAM_MAX];
    uint8_t delivered[STREAM_MAX];
    command commands[COMMANDS_MAX];
    delivery deliveries[COMMANDS_MAX];
    change changes[CHANGES_MAX];
} world;

/* ---- conn_layer.c: the layer above ---- */

/* Submits an idle request; a request that is under way stays as it is. */
void conn_submit(world *w, subject *s);
void conn_withdraw(world *w, subject *s);

/* The calls of a connection, with `w` as context. */
void conn_layer(world *w, rlk_conn_config *config);

/* ---- conn_judge.c ---- */

bool conn_holds(const uint8_t *memory, size_t len, const char *text);

/* The connection has changed: what must hold of the handshake that ended. */
void conn_judge_change(world *w);

/* While it is up: the layer above knows of each change that was told. */
void conn_judge_changes(const world *w);

/* A stream is over: its replies went to who asked, and what it left open is noted. */
void conn_judge_stream(world *w);

#endif
