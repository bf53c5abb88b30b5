/* SPDX-License-Identifier: MIT
 *
 * bench.h: the lock room on the bench. Clients over real connection engines, 1..5 scripted servers,
 * a virtual clock; no socket, no real time, so a case costs microseconds.
 *
 * A server does the handshake by itself. What the lock room sends it stands in a queue, decoded,
 * until the test (or, in `automatic` mode, the server itself) executes it against the server's
 * small store and delivers the reply. So a test says when a command runs, when its answer comes,
 * and when the stream is cut in between. bench_advance also checks of every test that deadlines
 * advance: a deadline that stays in the past would be a busy loop.
 */
#ifndef TEST_BENCH_H
#define TEST_BENCH_H

#include "stream.h"
#include "support.h"

#define BENCH_CLIENTS 3
#define BENCH_KEY     "k" /* of a test that needs one only */
#define BENCH_START   INT64_C(1000000)

typedef enum bench_kind {
    BENCH_OTHER, /* handshake and SCRIPT LOAD: answered by the server itself */
    BENCH_SET,
    BENCH_RAISE,
    BENCH_CHECK, /* a raise to -1 */
    BENCH_RELEASE,
    BENCH_GET,
    BENCH_PTTL,
    BENCH_DEL,
    BENCH_KINDS
} bench_kind;

typedef struct bench_command {
    bench_kind kind;
    bool executed;   /* `reply` is what it came to */
    int64_t ms;      /* SET: PX; raise: to */
    int64_t sent_ms; /* when it came */
    unsigned stream; /* on which: its id at the server */
    char key[24];
    char token[RLK_TOKEN_MAX + 1];
    char reply[192];
} bench_command;

#define BENCH_QUEUE 64

typedef struct bench_queue {
    size_t len; /* oldest first */
    bench_command commands[BENCH_QUEUE];
} bench_queue;

typedef struct bench_entry {
    char key[24]; /* empty: no such entry */
    char token[RLK_TOKEN_MAX + 1];
    int64_t expiry_ms; /* RLK_NEVER: none */
    bool wrong_type;
} bench_entry;

typedef struct bench_server {
    bool automatic;     /* executes and answers at once */
    bool refuses;       /* connections */
    rlk_result refusal; /* why; 0: RLK_E_CONNECT */
    bool swallows;      /* attempts to connect: no answer */
    bool mute;          /* does not answer the handshake either */
    bool tracking;      /* understands CLIENT TRACKING: tells of changes to keys that were read */
    bool no_ids;        /* tells neither id nor run_id, so nothing can be fenced */
    int kill_result;    /* answer of CLIENT KILL */
    unsigned run;       /* instance: part of the run_id */
    unsigned alias_of;  /* number of the server whose run_id it has, plus 1 */
    const char *hello;  /* its answer to HELLO, or to the first command instead; NULL: a good one */
    const char *fails;  /* automatic mode: every command gets this reply; NULL: none does */
    bench_entry entries[4];
    unsigned count[BENCH_KINDS]; /* commands that came */
    unsigned loads;              /* SCRIPT LOADs */
    unsigned kills;
    unsigned streams;
} bench_server;

/* A connection of one client to one server. */
typedef struct bench_link {
    rlk_conn conn;
    struct bench *bench;
    bench_server *server;
    unsigned stream; /* id of the one under way */
    bool up;
    bool tracking;
    char watched[4][24]; /* keys whose change it is told, once */
    bool stuck;          /* takes nothing from the connection: what is sent waits there */
    stream_tracker tracker;
    bench_queue queue; /* of the stream under way */
    bench_queue loose; /* of streams that ended: may still execute, until they are fenced */
    rlk_conn_entry ring[16];
    uint8_t tx[1024];
    uint8_t rx[512];
} bench_link;

typedef struct bench_client {
    rlk_client client;
    struct bench *bench;
    bench_link links[RLK_MAX_NODES];
} bench_client;

typedef struct bench {
    int64_t now_ms;
    unsigned nodes;
    unsigned clients;
    rlk_client *client; /* the first */
    rlk_client_config config;
    bench_server servers[RLK_MAX_NODES];
    bench_client members[BENCH_CLIENTS];
    uint64_t random;
    const rlk_url *url; /* of node 0, to be set before; NULL: redis://n0 */
    bool no_entropy;
    bool forked;
    /* of env.wait, if set: called before time moves; another number than 0: it can't wait */
    int (*on_wait)(struct bench *bench);
    bool woken; /* set by on_wait: something happened, so this wait ends before time moves */
    unsigned waits;
} bench;

/* Clients over `nodes` servers, nothing connected; bench->config may be set before (zero it
 * first). The bench is large, and must be zeroed or used before. */
void bench_open(bench *b, unsigned nodes, unsigned clients);

/* bench_open with defaults and one client, whose connections are ready. */
void bench_start(bench *b, unsigned nodes);

/* As bench_start, and tells servers to be automatic. */
void bench_start_automatic(bench *b, unsigned nodes);

bench_link *bench_link_of(bench *b, unsigned node);

/* Moves bytes until none moves any more. */
void bench_run(bench *b);

/* Lets time pass, ticking at each deadline. */
void bench_advance(bench *b, int64_t ms);

/* bench_advance until an event is there to pull or `ms` passed; true: *event. */
bool bench_next_event(bench *b, rlk_event *event, int64_t ms);

/* The oldest command that is not answered, NULL if there is none. */
bench_command *bench_head(bench_link *link);

/* The same of the first client; it must be of this kind, and the only one unless more follow. */
#define bench_expect(b, node, kind) bench_expect_at((b), (node), (kind), __FILE__, __LINE__)
bench_command *bench_expect_at(bench *b, unsigned node, bench_kind kind, const char *file,
                               int line);

/* No command waits at this node, or at any (node >= nodes). */
#define bench_expect_quiet(b, node) bench_expect_quiet_at((b), (node), __FILE__, __LINE__)
void bench_expect_quiet_at(bench *b, unsigned node, const char *file, int line);

/* ... at each of the nodes from <= node < to. */
#define bench_expect_all(b, from, to, kind)                                                        \
    bench_expect_all_at((b), (from), (to), (kind), __FILE__, __LINE__)
void bench_expect_all_at(bench *b, unsigned from, unsigned to, bench_kind kind, const char *file,
                         int line);

/* Answers the oldest command with these bytes. */
void bench_reply(bench *b, unsigned node, const char *reply);
void bench_reply_all(bench *b, unsigned from, unsigned to, const char *reply);

/* Executes the oldest command that was not executed; false: there is none. */
bool bench_execute(bench_link *link);

/* Delivers the reply of the oldest command, which must be executed; false: it is not. */
bool bench_deliver(bench_link *link);

/* The server tells a stream that a key changed, all keys (NULL); behind what it has executed. */
void bench_push(bench_link *link, const char *key);

/* Bytes of the server, out of turn: the queue is as before. */
void bench_say(bench_link *link, const void *bytes, size_t len);

/* Executes and answers all that waits. */
void bench_serve(bench *b, unsigned node);

/* Ends the stream: what was not executed becomes loose. */
void bench_cut_link(bench_link *link);
void bench_cut(bench *b, unsigned node);

/* Executes the oldest loose command. */
bool bench_execute_loose(bench_link *link);

/* A change by somebody who is not on the bench: the key is gone, and who watches it is told. */
void bench_delete(bench *b, unsigned node, const char *key);

/* What a server has under a key, NULL if nothing (any more). */
bench_entry *bench_find(bench *b, bench_server *server, const char *key);

/* Puts a token there. ttl_ms -1: without expiry. */
void bench_put(bench *b, unsigned node, const char *key, const char *token, int64_t ttl_ms);

/* On how many servers the key holds this token (NULL: any). */
unsigned bench_holding(bench *b, const char *key, const char *token);

/* A lock on BENCH_KEY of the first client. */
void bench_lock(bench *b, rlk_lock *lock, int64_t ttl_ms);

/* The same, held: automatic servers, for a moment. */
void bench_held(bench *b, rlk_lock *lock, int64_t ttl_ms);

/* The next event, without time passing, is this one. */
#define bench_expect_event(b, type, result)                                                        \
    bench_expect_event_at((b), (type), (result), __FILE__, __LINE__)
void bench_expect_event_at(bench *b, rlk_event_type type, rlk_result result, const char *file,
                           int line);

/* There is no event. */
#define bench_expect_no_event(b) bench_expect_no_event_at((b), __FILE__, __LINE__)
void bench_expect_no_event_at(bench *b, const char *file, int line);

/* ---- Between bench.c and bench_server.c ---- */

/* The words of a command: what it is, and the reply if the server has it by itself. */
void bench_decode(bench_link *link, bench_command *command, char *words);

bench_command *bench_add(bench_queue *queue);
void bench_shift(bench_queue *queue); /* drops the oldest */

/* ---- Replies ---- */

#define BENCH_OK "+OK\r\n"
#ifdef RLK_RESP2_ONLY
#define BENCH_NIL "$-1\r\n"
#else
#define BENCH_NIL "_\r\n"
#endif
#define BENCH_NOT_OURS  ":-3\r\n"
#define BENCH_READONLY  "-READONLY You can't write against a read only replica.\r\n"
#define BENCH_NOSCRIPT  "-NOSCRIPT No matching script.\r\n"
#define BENCH_WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define BENCH_WRONGPASS "-WRONGPASS invalid username-password pair\r\n"
#define BENCH_NOPERM    "-NOPERM this user has no permissions to run this command\r\n"

#endif
