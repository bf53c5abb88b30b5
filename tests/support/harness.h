/* SPDX-License-Identifier: MIT
 *
 * harness.h: a harness for the lock layer: clients over real connection engines, 1..5 scripted
 * servers, a virtual clock; no socket, no real time, so a case costs microseconds.
 *
 * A server does the handshake without the test. What the lock layer sends is in a queue, decoded,
 * until the test (or, in `automatic` mode, the server itself) executes it against the server's
 * small store and delivers the reply. So a test says when a command runs, when its answer comes,
 * and when the stream is cut in between. harness_advance also checks of every test that deadlines
 * advance: a deadline that stays in the past would be a busy loop.
 */
#ifndef TEST_HARNESS_H
#define TEST_HARNESS_H

#include "stream.h"
#include "support.h"

#define HARNESS_CLIENTS 3
#define HARNESS_KEY     "k" /* of a test that needs one only */
#define HARNESS_START   INT64_C(1000000)
#define HARNESS_ERRNO   111 /* for which env.errno_text has words */

typedef enum harness_kind {
    HARNESS_OTHER, /* handshake and SCRIPT LOAD: answered by the server itself */
    HARNESS_SET,
    HARNESS_RAISE,
    HARNESS_CHECK, /* a raise to -1 */
    HARNESS_RELEASE,
    HARNESS_GET,
    HARNESS_PTTL,
    HARNESS_DEL,
    HARNESS_KINDS
} harness_kind;

typedef struct harness_command {
    harness_kind kind;
    bool executed;   /* `reply` is what it came to */
    bool by_digest;  /* EVALSHA: the server must know the script */
    bool by_text;    /* EVAL: from now on it does */
    bool by_get;     /* the script should use GET at once */
    int64_t ms;      /* SET: PX; raise: to */
    int64_t sent_ms; /* when it came */
    unsigned stream; /* on which: its id at the server */
    char key[24];
    char token[RLK_TOKEN_MAX + 1];
    char reply[192];
} harness_command;

#define HARNESS_QUEUE 64

typedef struct harness_queue {
    size_t len; /* oldest first */
    harness_command commands[HARNESS_QUEUE];
} harness_queue;

typedef struct harness_entry {
    char key[24];                   /* empty: no such entry */
    char token[RLK_TOKEN_MAX + 16]; /* or what is too long for one */
    int64_t expiry_ms;              /* RLK_NEVER: none */
    bool wrong_type;
} harness_entry;

typedef struct harness_server {
    bool automatic;     /* executes and answers at once */
    bool refuses;       /* connections */
    rlk_result refusal; /* why; 0: RLK_E_CONNECT */
    bool swallows;      /* attempts to connect: no answer */
    bool mute;          /* does not answer the handshake either */
    bool tracking;     /* understands CLIENT TRACKING: notifies of changes to keys that were read */
    bool no_ids;       /* sends neither id nor run_id, so nothing can be fenced */
    bool no_hello;     /* does not know HELLO: RESP2 */
    bool array;        /* answers HELLO by an array, with proto 2 */
    bool dragonfly;    /* says so to HELLO */
    const char *mode;  /* which it says to HELLO; NULL: none */
    const char *role;  /* the same */
    bool no_load;      /* does not know SCRIPT LOAD */
    bool wants_key;    /* refuses calls without a key, as proxies do that route by them */
    bool no_getex;     /* does not know GETEX */
    bool silent;       /* grants tracking, and sends no pushes */
    bool script;       /* knows the script */
    int kill_result;   /* answer of CLIENT KILL */
    unsigned run;      /* instance: part of the run_id */
    unsigned alias_of; /* number of the server whose run_id it has, plus 1 */
    const char *hello; /* its answer to HELLO, or to the first command instead; NULL: a good one */
    const char *fails; /* automatic mode: every command gets this reply; NULL: none does */
    harness_entry entries[4];
    unsigned count[HARNESS_KINDS]; /* commands that came */
    unsigned loads;                /* SCRIPT LOADs */
    unsigned kills;
    unsigned streams;
} harness_server;

/* A connection of one client to one server. */
typedef struct harness_link {
    rlk_conn conn;
    struct harness *harness;
    harness_server *server;
    unsigned stream; /* id of the one under way */
    bool up;
    bool resp3;
    bool tracking;
    char watched[4][24]; /* keys of which a change is notified, once */
    bool stuck;          /* takes nothing from the connection: what is sent waits there */
    stream_tracker tracker;
    harness_queue queue; /* of the stream under way */
    harness_queue loose; /* of streams that ended: may still execute, until they are fenced */
    rlk_conn_entry ring[16];
    uint8_t tx[1024];
    uint8_t rx[512];
} harness_link;

typedef struct harness_client {
    rlk_client client;
    struct harness *harness;
    harness_link links[RLK_MAX_NODES];
} harness_client;

typedef struct harness {
    int64_t now_ms;
    int64_t offset_ms; /* so long after HARNESS_START its clock begins; to be set before */
    unsigned nodes;
    unsigned clients;
    rlk_client *client; /* the first */
    rlk_client_config config;
    harness_server servers[RLK_MAX_NODES];
    harness_client members[HARNESS_CLIENTS];
    uint64_t random;
    const rlk_url *url; /* of node 0, to be set before; NULL: redis://n0 */
    int (*credentials)(void *harness, rlk_credentials *out); /* of all nodes; the same */
    bool no_entropy;
    bool forked;
    /* of env.wait, if set: called before time moves; another number than 0: env.wait's answer */
    int (*on_wait)(struct harness *harness);
    bool ends_wait; /* set by on_wait: something happened, so this wait ends before time moves */
    unsigned waits;
} harness;

/* Clients over `nodes` servers, nothing connected; h->config may be set before (zero it
 * first). The harness is large, and must be zeroed or used before. */
void harness_open(harness *h, unsigned nodes, unsigned clients);

/* harness_open with defaults and one client, whose connections are ready. */
void harness_start(harness *h, unsigned nodes);

/* As harness_start, with automatic servers. */
void harness_start_automatic(harness *h, unsigned nodes);

/* As harness_start, of a client whose operations end before any time limit of a connection. */
void harness_start_impatient(harness *h, unsigned nodes, int64_t operation_timeout_ms);

/* As harness_start_automatic with one node, of a client that reckons with so much drift. */
void harness_start_drifting(harness *h, int64_t drift_ms);

harness_link *harness_link_of(harness *h, unsigned node);

/* No random bytes from now on, none of those that clients have drawn either. */
void harness_end_entropy(harness *h);

/* Lets the lock pause as long between its tries whatever the random numbers are, and so that no try
 * is due at the very end of an operation: it would be unanswered then. */
void harness_steady_pauses(rlk_lock *lock);

/* Moves bytes until none moves any more. */
void harness_run(harness *h);

/* Lets time pass, ticking at each deadline. */
void harness_advance(harness *h, int64_t ms);

/* harness_advance until an event is there to pull or `ms` passed; true: *event. */
bool harness_next_event(harness *h, rlk_event *event, int64_t ms);

/* The oldest command that is not answered, NULL if there is none. */
harness_command *harness_head(harness_link *link);

/* The same of the first client; it must be of this kind, and the only one unless more follow. */
#define harness_expect(h, node, kind) harness_expect_at((h), (node), (kind), __FILE__, __LINE__)
harness_command *harness_expect_at(harness *h, unsigned node, harness_kind kind, const char *file,
                                   int line);

/* No command waits at this node, or at any (node >= nodes). */
#define harness_expect_quiet(h, node) harness_expect_quiet_at((h), (node), __FILE__, __LINE__)
void harness_expect_quiet_at(harness *h, unsigned node, const char *file, int line);

/* ... at each of the nodes from <= node < to. */
#define harness_expect_all(h, from, to, kind)                                                      \
    harness_expect_all_at((h), (from), (to), (kind), __FILE__, __LINE__)
void harness_expect_all_at(harness *h, unsigned from, unsigned to, harness_kind kind,
                           const char *file, int line);

/* Answers the oldest command with these bytes. */
void harness_reply(harness *h, unsigned node, const char *reply);
void harness_reply_all(harness *h, unsigned from, unsigned to, const char *reply);

/* Executes the oldest command that was not executed; false: there is none. */
bool harness_execute(harness_link *link);

/* Delivers the reply of the oldest command, which must be executed; false: it is not. */
bool harness_deliver(harness_link *link);

/* The server notifies a stream that a key changed, or all keys (NULL); behind what it has executed.
 */
void harness_push(harness_link *link, const char *key);

/* Bytes of the server, out of turn: the queue is as before. */
void harness_say(harness_link *link, const void *bytes, size_t len);

/* Executes and answers all that waits. */
void harness_serve(harness *h, unsigned node);

/* The same at each node, one after the other. */
void harness_serve_all(harness *h);

/* Commands of this kind that came to all nodes, or of any kind. */
unsigned harness_count(const harness *h, harness_kind kind);
unsigned harness_commands(const harness *h);

/* Ends the stream: what was not executed becomes loose. */
void harness_cut_link(harness_link *link);
void harness_cut(harness *h, unsigned node);

/* Executes the oldest loose command. */
bool harness_execute_loose(harness_link *link);

/* A change by somebody outside of the harness: the key is gone, and streams that watch it are
 * notified. */
void harness_delete(harness *h, unsigned node, const char *key);

/* The same, and no stream is notified. The key must be there. */
void harness_remove(harness *h, unsigned node, const char *key);

/* What a server has under a key, NULL if nothing (any more). */
harness_entry *harness_find(harness *h, harness_server *server, const char *key);

/* Puts a token there. ttl_ms -1: without expiry. */
void harness_put(harness *h, unsigned node, const char *key, const char *token, int64_t ttl_ms);

/* On how many servers the key holds this token (NULL: any). */
unsigned harness_holding(harness *h, const char *key, const char *token);

/* A lock on HARNESS_KEY of the first client. It does not report that it waits. */
void harness_lock(harness *h, rlk_lock *lock, int64_t ttl_ms);

/* Starts anew, and acquires a lock that somebody else holds, with a hook at each wait. Expects the
 * result, and no event. */
void harness_acquire_foreign(harness *h, rlk_lock *lock, int (*on_wait)(harness *),
                             rlk_result expected);

/* Functions of an environment that is refused: a clock that stands at 0, and no randomness. */
int64_t harness_no_time(void *context);
int harness_no_random(void *context, void *buf, size_t len);

/* A word of a trace, as the library has it. */
#ifdef RLK_NO_TEXT
#define HARNESS_WORD(word) ((void)(word), "")
#else
#define HARNESS_WORD(word) (word)
#endif

/* The same, held: automatic servers, for a moment. */
void harness_held(harness *h, rlk_lock *lock, int64_t ttl_ms);

/* Starts an operation of a lock, with numbers that suit a TTL of 30 s or less. */
rlk_result harness_begin(rlk_lock *lock, rlk_operation operation);

/* The next event, without time passing, is this one. */
#define harness_expect_event(h, type, result)                                                      \
    harness_expect_event_at((h), (type), (result), __FILE__, __LINE__)
/* The end of an operation: RLK_EV_RESULT, or RLK_EV_ACQUIRED. */
#define harness_expect_result(h, operation, result)                                                \
    harness_expect_result_at((h), (operation), (result), __FILE__, __LINE__)
void harness_expect_result_at(harness *h, rlk_operation operation, rlk_result result,
                              const char *file, int line);
void harness_expect_event_at(harness *h, rlk_event_type type, rlk_result result, const char *file,
                             int line);

/* There is no event. */
#define harness_expect_no_event(h) harness_expect_no_event_at((h), __FILE__, __LINE__)
void harness_expect_no_event_at(harness *h, const char *file, int line);

/* ---- Between harness.c and harness_server.c ---- */

/* The words of a command: what it is, and the reply if the server has it without the test. */
void harness_decode(harness_link *link, harness_command *command, char *words);

harness_command *harness_add(harness_queue *queue);
void harness_shift(harness_queue *queue); /* drops the oldest */

/* ---- Replies ---- */

#define HARNESS_OK "+OK\r\n"
#ifdef RLK_RESP2_ONLY
#define HARNESS_NIL "$-1\r\n"
#else
#define HARNESS_NIL "_\r\n"
#endif
#define HARNESS_NOT_OURS  ":-3\r\n"
#define HARNESS_READONLY  "-READONLY You can't write against a read only replica.\r\n"
#define HARNESS_MISCONF   "-MISCONF Redis is configured to save RDB snapshots, but can't\r\n"
#define HARNESS_NOSCRIPT  "-NOSCRIPT No matching script.\r\n"
#define HARNESS_WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define HARNESS_WRONGPASS "-WRONGPASS invalid username-password pair\r\n"
#define HARNESS_NOPERM    "-NOPERM this user has no permissions to run this command\r\n"
#define HARNESS_UNKNOWN   "-ERR unknown command\r\n"

#endif
