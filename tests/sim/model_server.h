/* SPDX-License-Identifier: MIT
 *
 * model_server.h: what redis-server 7.0 does with the commands that resplock sends, and with those
 * that others send between them: data and expiry (lazy and active), clients and their ids, scripts
 * by digest (resplock's own only, by what it means), CLIENT PAUSE, client tracking with NOLOOP; of
 * other databases only that a change there causes a push, too.
 * No I/O and no clock: bytes are handed in and out, time is set. test_model_server compares it with
 * the real server, byte by byte.
 */
#ifndef MODEL_SERVER_H
#define MODEL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_KEYS    8
#define MODEL_CLIENTS 64
#define MODEL_TEXT    111  /* longest key or value */
#define MODEL_INPUT   2048 /* longest command */
#define MODEL_RUN_ID  40

typedef struct model_server model_server;

typedef struct model_key {
    uint8_t key_len;
    uint8_t value_len;
    bool present;
    bool list;        /* a list: not a string */
    bool tracked;     /* in the tracking table, perhaps for nobody any more */
    int64_t when_ms;  /* expired behind it; INT64_MAX: never */
    uint64_t readers; /* clients that get a push of a change */
    char key[MODEL_TEXT];
    char value[MODEL_TEXT];
} model_key;

typedef struct model_client {
    bool open;
    bool blocked; /* its next command waits for the end of a pause */
    bool tracking;
    bool noloop;
    uint8_t protocol;
    bool elsewhere; /* in another database */
    uint64_t id;
    uint64_t blocked_since; /* they go on in this order */
    uint32_t input_len;
    char address[24];
    uint8_t input[MODEL_INPUT];
} model_client;

/* Why a key changed. */
typedef enum model_change {
    MODEL_STORED,
    MODEL_DELETED, /* by a command */
    MODEL_EXPIRED,
    MODEL_LENGTHENED, /* its expiry moved */
    MODEL_REPLACED,   /* its value is about to be another */
    MODEL_LOST        /* by what is no command: restart, eviction, flush */
} model_change;

/* What a command was, for who counts and judges. */
typedef enum model_command {
    MODEL_OTHER,
    MODEL_SET,
    MODEL_RAISE,
    MODEL_CHECK,
    MODEL_RELEASE,
    MODEL_GET,
    MODEL_PTTL,
    MODEL_DEL,
    MODEL_KILL,
    MODEL_LOAD,
    MODEL_COMMANDS
} model_command;

/* How the server refuses to do what it is asked. */
typedef enum model_refusal {
    MODEL_WILLING,
    MODEL_LOADING,  /* all except HELLO, INFO, CLIENT */
    MODEL_READONLY, /* a replica */
    MODEL_OOM,
    MODEL_MISCONF,
    MODEL_STRANGE,      /* an error that resplock doesn't know, nothing is done */
    MODEL_STRANGE_DONE, /* the same, and it is done: a proxy's */
    MODEL_REFUSALS
} model_refusal;

typedef struct model_hooks {
    void *context;
    /* Bytes to a client. */
    void (*emit)(void *context, unsigned client, const char *bytes, size_t len);
    /* The server closes a client (CLIENT KILL); it is not open any more. */
    void (*killed)(void *context, unsigned client);
    /* A key changed. `value` is what it held before (of STORED: after). NULL: nobody cares. */
    void (*changed)(void *context, const model_key *key, model_change change);
    /* A command is executed. `key` and `token` may be NULL. */
    void (*executed)(void *context, unsigned client, model_command command, const char *key,
                     size_t key_len, const char *token, size_t token_len);
    /* Which one of n keys is dropped from the tracking table. */
    unsigned (*choose)(void *context, unsigned n);
} model_hooks;

struct model_server {
    model_hooks hooks;
    int64_t now_ms; /* its own clock */
    int64_t pause_until_ms;
    uint64_t next_id;
    uint64_t waits;   /* commands that waited for the end of a pause, counted */
    unsigned current; /* client whose command is executed; MODEL_CLIENTS: none */
    unsigned keys_len;
    unsigned used; /* clients below this one were used */
    unsigned tracked;
    unsigned tracked_max; /* keys in the tracking table; 0: no bound */
    model_refusal refusal;
    bool pause_all; /* else only what writes */
    bool script;    /* resplock's script is loaded */
    bool old;       /* knows no HELLO */
    bool no_ids;    /* shows neither ids nor its run_id: nothing can be fenced */
    bool untracked; /* refuses CLIENT TRACKING */
    bool silent;    /* the command that is executed gets no reply */
    bool deferred_null;
    unsigned deferred_len; /* pushes to the current client, behind its reply */
    unsigned deferred[MODEL_KEYS];
    char run_id[MODEL_RUN_ID + 1];
    model_key keys[MODEL_KEYS];
    model_client clients[MODEL_CLIENTS];
};

/* Empty, at now_ms. `instance` makes the run_id. */
void model_start(model_server *server, const model_hooks *hooks, uint64_t instance, int64_t now_ms);

/* Another instance with the same data: all clients are gone, ids begin anew. */
void model_restart(model_server *server, uint64_t instance);

/* A new client; MODEL_CLIENTS when there is no room. `address`: ip:port. */
unsigned model_open(model_server *server, const char *address);
void model_close(model_server *server, unsigned client);

/* Bytes of a client: executes what is complete. False: no room, it is closed. */
bool model_input(model_server *server, unsigned client, const uint8_t *bytes, size_t len);

/* Time goes on; a pause may end, and what waited for it is executed. */
void model_set_time(model_server *server, int64_t now_ms);

bool model_is_paused(const model_server *server);

/* The active expiry: deletes what has expired. */
void model_expire(model_server *server);

/* ---- What others do to the data ---- */

/* The key as it is now; NULL if it is not there (any more). Changes nothing. */
const model_key *model_find(const model_server *server, const char *key, size_t len);

/* The key is gone without a command: evicted, or lost. */
void model_drop(model_server *server, const char *key, size_t len);
void model_drop_all(model_server *server);

/* Puts back what was copied from `keys` earlier. */
void model_bring_back(model_server *server, const model_key *keys, unsigned keys_len);

#endif
