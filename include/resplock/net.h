/* SPDX-License-Identifier: MIT
 *
 * resplock/net.h: one connection to one server, as an engine without I/O.
 *
 * Bytes go in and out through ports (rlk_conn_tx_buf, rlk_conn_rx_buf ...), time comes as an
 * argument, memory is the caller's. A driver (resplock/socket.h, or your own) moves the bytes.
 * The engine does the handshake, and keeps the ring of requests in flight. It gives each reply to
 * the request that it answers, and to no other. It asks the driver to connect, to close, and to
 * call again at a time. Nothing here calls the operating system.
 *
 * rlk_conn_init checks pointers. The other functions take what it has initialised, and NULL only
 * where they say so.
 *
 *     the owner of requests    rlk_conn_init, _submit, _withdraw, rlk_conn_calls
 *     a driver                 rlk_conn_wants, _connecting, _connected, _tx_buf, _tx_ack, _rx_buf,
 *                              _rx_ack, _closed
 *     both                     rlk_conn_deadline, _tick, and questions such as _get_state, _result
 *
 * resplock/net_layout.h has the fields of the structs, which are private.
 */
#ifndef RESPLOCK_NET_H
#define RESPLOCK_NET_H

#include "resplock/net_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Time limits ------------------------------------------------------------------------- */

/* Defaults, in milliseconds. Those of a lock are in resplock/lock.h. */
#define RLK_CONNECT_TIMEOUT_MS  5000 /* one attempt, all addresses, until the stream is up */
#define RLK_RESPONSE_TIMEOUT_MS 2000 /* without any progress of a reply that is due: close */
#define RLK_BACKOFF_MIN_MS      50   /* first reconnect: a random time up to this (full jitter) */
#define RLK_BACKOFF_MAX_MS      2000 /* doubles up to this */
/* If all addresses of a server were left because of its words (READONLY, ...): the time from one
 * visit to them to the next. Also the time that LOADING or MASTERDOWN lasts before an address is
 * left: see rlk_conn_is_condemned. */
#define RLK_CONDEMN_MS     3000
#define RLK_TIME_LIMIT_MAX INT64_C(86400000) /* greatest of any time limit: a day */

/* ---- Requests and replies ---------------------------------------------------------------- */

/* A reply as its owner sees it. Valid during the call that brings it. */
typedef struct rlk_reply {
    rlk_resp_type type;  /* ARRAY, MAP, SET: contents are not handed over */
    int64_t value;       /* INTEGER, BOOLEAN; of strings the whole length, -1 unknown */
    const uint8_t *data; /* strings and errors; a string too long for the receive buffer: NULL,
                            an error: as many of its first bytes as were kept */
    size_t len;          /* bytes at `data` */
    rlk_result error;    /* ERROR, BLOB_ERROR: what it means; RLK_OK for other types */
} rlk_reply;

/*
 * What the connection reports to the layer above. Called in the middle of an engine call, whose
 * time is rlk_conn_now. The callee may submit and withdraw requests, and have scripts loaded, on
 * any connection. It may reject the reply that it is given. It may do nothing else.
 */
typedef struct rlk_conn_calls {
    /*
     * Writes the command(s) of `request` and returns how many replies they will have (1..255).
     * When writer->len exceeds its room, nothing is sent and it is called again when there is more.
     * 0: it sends nothing after all. The request is IDLE again when the caller has it back,
     * and no other call follows.
     */
    unsigned (*encode)(void *context, rlk_conn *conn, rlk_request *request,
                       rlk_resp_writer *writer);
    /* One reply; `left` more to come. With left == 0 the request is IDLE again. */
    void (*reply)(void *context, rlk_conn *conn, rlk_request *request, const rlk_reply *reply,
                  unsigned left);
    /*
     * The connection ended before the last reply of `request`, which is IDLE again. maybe_sent:
     * at least one byte of it was handed to the driver, so that the server may execute it, even
     * later. False also where the server refused the first of its commands that was not answered
     * yet, and with it the stream (READONLY): then rlk_conn_result says how. Requests in the send
     * list stay there.
     */
    void (*lost)(void *context, rlk_conn *conn, rlk_request *request, bool maybe_sent);
    /* The connection became ready, or an attempt or it failed, and the stream is closed: by then
     * the state is READY, or (after all calls of `lost`) WAITING or FATAL. */
    void (*changed)(void *context, rlk_conn *conn);
    /*
     * A push of CLIENT TRACKING: the key with this hash changed (rlk_key_hash), or, with `all`,
     * any may have. It comes in the order of the replies: that change happened before the server
     * executed the command that is answered next.
     */
    void (*invalidated)(void *context, rlk_conn *conn, uint32_t key_hash, bool all);
    /* rlk_conn_rx_ack ends: no other call comes for the bytes that it was given. What `reply` and
     * `invalidated` put off is done now. NULL: nothing was. */
    void (*received)(void *context, rlk_conn *conn);
#ifndef RLK_NO_TRACE
    /* For onlookers: its new state, "READY", or (step) the command of the handshake that it sends,
     * "HELLO"; constant text. Must not call the engine. NULL: none. */
    void (*trace)(void *context, rlk_conn *conn, bool step, const char *what);
#endif
} rlk_conn_calls;

/* Hash of a key: FNV-1a of 32 bits. `hash`: RLK_KEY_HASH, or that of the bytes before. */
#define RLK_KEY_HASH UINT32_C(2166136261)
RLK_API uint32_t rlk_key_hash(uint32_t hash, const void *key, size_t len);

/*
 * A script that the handshake loads. `load` is the whole SCRIPT LOAD command, in RESP, constant:
 * it leaves straight from where it is.
 *
 * `probe`, of the first script, is a command of RESP, terminated by NUL and constant, that the
 * handshake sends behind the scripts: EVALSHA without keys. The script then answers by a number, or
 * by "ERR unknown command ..." where the server lacks a command that it needs. Only with a probe
 * the connection can do without SCRIPT LOAD: where EVALSHA, or EVAL with the script, was answered.
 * NULL: none.
 */
typedef struct rlk_conn_script {
    const char *load;
    const char *probe;
    uint16_t load_len;
} rlk_conn_script;

/* ---- Configuration ----------------------------------------------------------------------- */

/* User and password as they are (not percent-encoded). user NULL: the default user. */
typedef struct rlk_credentials {
    const char *user;
    const char *password; /* NULL: do not authenticate */
    size_t user_len;
    size_t password_len;
} rlk_credentials;

/*
 * Asked at every handshake (a second time in it where the server doesn't know HELLO); what it fills
 * in must stay valid until the next call or until the handshake is over. Returns 0, or another
 * number when there is none: RLK_E_CREDENTIALS, retried. RLK_E_DANGLING: so, with that result.
 */
typedef int (*rlk_credentials_hook)(void *context, rlk_credentials *out);

typedef struct rlk_conn_config {
    rlk_url url; /* texts of the caller, which outlive the connection, unchanged: this is compared
                    when the connection connects, and a change is RLK_E_DANGLING */
    const char *client_name; /* the same. For CLIENT SETNAME; NULL: none. No spaces, at most 64
                                bytes */
    rlk_credentials_hook credentials; /* NULL: those of the URL */
    void *credentials_context;
    int64_t connect_timeout_ms; /* 0: the default, here and below */
    int64_t response_timeout_ms;
    int64_t backoff_min_ms;
    int64_t backoff_max_ms;
    uint32_t jitter_seed; /* any number; different ones for different processes */
    const rlk_conn_script *scripts;
    uint8_t scripts_len;
    bool resp2_only;      /* skip HELLO; always so with RLK_RESP2_ONLY */
    bool no_tracking;     /* skip CLIENT TRACKING */
    rlk_conn_entry *ring; /* caller's memory, at least RLK_CONN_RING_MIN entries */
    uint16_t ring_len;
    uint8_t *tx; /* caller's memory, at least RLK_CONN_TX_MIN bytes, and room for credentials */
    size_t tx_cap;
    uint8_t *rx; /* caller's memory, at least RLK_CONN_RX_MIN bytes */
    size_t rx_cap;
    const rlk_conn_calls *calls; /* constant; outlives the connection */
    void *calls_context;         /* first argument of each */
} rlk_conn_config;

#define RLK_CONN_RING_MIN 4
#define RLK_CONN_TX_MIN   160 /* HELLO 3 SETNAME of 64 bytes; the fence */
#define RLK_CONN_RX_MIN   64  /* one line of a number; the digest of a script */

/* Transmit buffer for a handshake with such lengths of user and password. */
#define RLK_CONN_TX_AUTH(user_len, password_len)                                                   \
    (RLK_CONN_TX_MIN + 48 + (user_len) + (password_len))

/* ---- The connection ---------------------------------------------------------------------- */

typedef enum rlk_conn_state {
    RLK_CONN_WAITING,    /* for the next attempt, whose time is the deadline */
    RLK_CONN_CONNECTING, /* the driver is at it */
    RLK_CONN_HANDSHAKE,
    RLK_CONN_READY,
    RLK_CONN_CLOSING, /* the driver must close the stream, then WAITING or FATAL */
    RLK_CONN_FATAL,   /* refused for a reason that does not pass; until rlk_conn_reset */
    RLK_CONN_CLOSED   /* by rlk_conn_close */
} rlk_conn_state;

/* What a stream showed of its server: bits of rlk_conn_server. */
#define RLK_SERVER_HELLO     0x01u /* took HELLO; else the stream is RESP2, with AUTH */
#define RLK_SERVER_NAMED     0x02u /* AUTH had a user's name */
#define RLK_SERVER_DRAGONFLY 0x04u
#define RLK_SERVER_SENTINEL  0x08u
#define RLK_SERVER_CLUSTER   0x10u   /* a node of a cluster: serves some of the keys */
#define RLK_SERVER_REPLICA   0x20u   /* said so to HELLO; it may be promoted since */
#define RLK_SERVER_NO_LOAD   0x40u   /* no SCRIPT LOAD: refused, or left out */
#define RLK_SERVER_EVALSHA   0x80u   /* answered the probe */
#define RLK_SERVER_EVAL      0x100u  /* NO_LOAD, then NOSCRIPT: the script leaves with each call */
#define RLK_SERVER_NO_GETEX  0x200u  /* GETEX is not known or not permitted (rlk_conn_note) */
#define RLK_SERVER_PLAIN     0x400u  /* hangs up at unknown commands: HELLO and others left out */
#define RLK_SERVER_SILENT    0x800u  /* granted CLIENT TRACKING, and sends no pushes */
#define RLK_SERVER_IDENTITY  0x1000u /* gave enough to fence this stream when it is lost */

/*
 *     rlk_conn_init(conn, config, now_ms)
 *
 * Starts in WAITING with the first attempt due at once. The config is copied; what it points to is
 * not. RLK_OK, RLK_E_ARGUMENT (NULL where something must be, such as `calls`, which
 * rlk_client_conn_config sets; a bad client name), RLK_E_BUFFER (ring, tx or rx below its minimum,
 * or too small for the URL's credentials), RLK_E_TIMES, RLK_E_LAYOUT.
 */
#define rlk_conn_init(conn, config, now_ms)                                                        \
    rlki_conn_init((conn), (config), (now_ms), sizeof(rlk_conn), RLK_LAYOUT)
RLK_API rlk_result rlki_conn_init(rlk_conn *conn, const rlk_conn_config *config, int64_t now_ms,
                                  size_t size, uint32_t layout);

/* Ends everything: requests in flight are lost, those in the send list stay with their owner to
 * withdraw. Then CLOSED; rlk_conn_wants then asks the driver to close the stream. */
RLK_API void rlk_conn_close(rlk_conn *conn, int64_t now_ms);

/*
 * Connects anew, at once, from any state but CLOSED; forgets the last failure, and the addresses
 * that were condemned. A stream or an attempt under way ends: what is in flight is lost, and
 * fenced. In FATAL and WAITING the next attempt is due. Elsewhere the driver must close first.
 */
RLK_API void rlk_conn_reset(rlk_conn *conn, int64_t now_ms);

/* In WAITING: makes the next attempt due at once. No effect in other states, FATAL among them. */
RLK_API void rlk_conn_hurry(rlk_conn *conn, int64_t now_ms);

/* ---- Requests (used by the lock layer) ---- */

/* Puts an IDLE request at the end of the send list and sends what can be sent. Never fails: in any
 * state it waits there until the connection is ready and has room. */
RLK_API void rlk_conn_submit(rlk_conn *conn, rlk_request *request, int64_t now_ms);

/* Takes a request back in O(1). True: it was IDLE or QUEUED, and not a byte of it was or will be
 * sent. False: it was SENT; its replies will be consumed and discarded at their place. */
RLK_API bool rlk_conn_withdraw(rlk_conn *conn, rlk_request *request);

/*
 * From within `reply`: this can't be the answer to that request, so no answer on this stream can be
 * trusted any more. Ends it with RLK_E_UNEXPECTED: what is in flight is lost, and fenced.
 */
RLK_API void rlk_conn_reject(rlk_conn *conn, int64_t now_ms);

/* The server forgot the scripts (NOSCRIPT): loads them again, before whatever is submitted after
 * this call. Where it takes no SCRIPT LOAD: RLK_SERVER_EVAL from now on. */
RLK_API void rlk_conn_load_scripts(rlk_conn *conn, int64_t now_ms);

/* From within `encode`: writes "EVAL" and has the first script leave behind it, from where it is.
 * The caller wrote the command's header before, and writes the other arguments behind. Once a
 * command. */
RLK_API void rlk_conn_put_script(rlk_conn *conn, rlk_resp_writer *writer);

/*
 * Notes a change that no push reported: a reply shows that a key has changed that was read under
 * CLIENT TRACKING. The second time on a stream, the stream counts as not tracking
 * (RLK_SERVER_SILENT). Returns true that second time.
 */
RLK_API bool rlk_conn_missed(rlk_conn *conn);

/* Adds to rlk_conn_server what use has shown of it: RLK_SERVER_NO_GETEX. */
RLK_API void rlk_conn_note(rlk_conn *conn, unsigned server);

/* ---- Ports (used by a driver) ---- */

#define RLK_WANT_CONNECT 0x01u /* open a stream to rlk_conn_url(): say _connecting, _connected */
#define RLK_WANT_WRITE   0x02u /* rlk_conn_tx_buf has bytes */
#define RLK_WANT_READ    0x04u /* bytes of the server are welcome (always, while a stream is up) */
#define RLK_WANT_CLOSE   0x08u /* close the stream (or give up the attempt), then say _closed */

/* Returns what the connection wants of its driver now: a set of RLK_WANT_*. */
RLK_API unsigned rlk_conn_wants(const rlk_conn *conn);

/* Returns where to connect to. */
RLK_API const rlk_url *rlk_conn_url(const rlk_conn *conn);

/*
 * Asked by a driver, before each attempt, about each address that the host has now; `peer` is its
 * number for it, as in rlk_conn_connected. True of one address at most: the last one whose server
 * said that it is not the one to ask (READONLY, NOAUTH on a stream that had authenticated; LOADING
 * or MASTERDOWN, in a handshake or for RLK_CONDEMN_MS). The attempt begins with the address behind
 * it, behind the last with the first, and tries all. A driver that knows one address only need not
 * ask.
 */
RLK_API bool rlk_conn_is_condemned(const rlk_conn *conn, uint64_t peer);

/* The driver has begun an attempt: the connect time runs. Or, where the URL's text has changed
 * since rlk_conn_init, the attempt has failed already: RLK_WANT_CLOSE. */
RLK_API void rlk_conn_connecting(rlk_conn *conn, int64_t now_ms);

/*
 * The stream is up. `peer`: a number that differs for different server addresses (a hash), 0 if
 * it is always the same. `local`: our own address as "ip:port" in the form of CLIENT LIST, in lower
 * case; NULL for a Unix socket or where it is not known; without it, and without run_id, an old
 * connection can't be fenced.
 */
RLK_API void rlk_conn_connected(rlk_conn *conn, uint64_t peer, const char *local, int64_t now_ms);

/*
 * The stream is gone, or never came: RLK_E_EOF, RLK_E_IO, RLK_E_TLS_CUT, RLK_E_CONNECT,
 * RLK_E_RESOLVE, RLK_E_RESOLVER ... with errno where there is one, else 0. Also the answer to
 * RLK_WANT_CLOSE, where `why` is ignored because the connection has its own reason.
 */
RLK_API void rlk_conn_closed(rlk_conn *conn, rlk_result why, int sys_errno, int64_t now_ms);

/* Keeps a driver's own words for why the stream or the attempt fails, of which rlk_conn_closed then
 * has the result: RLK_E_RESOLVE, RLK_E_TLS, RLK_E_TLS_REFUSED; or for what the first attempt waits.
 * rlk_conn_text has them, as far as they fit. */
RLK_API void rlk_conn_explain(rlk_conn *conn, const char *text);

/* Returns bytes to send, *len of them; NULL and 0 if there are none. They do not move until
 * acknowledged, and count as possibly sent from this call on. */
RLK_API const uint8_t *rlk_conn_tx_buf(rlk_conn *conn, size_t *len);

/* Acknowledges that the first `len` of them were sent. */
RLK_API void rlk_conn_tx_ack(rlk_conn *conn, size_t len, int64_t now_ms);

/* Returns memory for received bytes, *cap of them (> 0 while a stream is up); NULL and 0 otherwise.
 */
RLK_API uint8_t *rlk_conn_rx_buf(rlk_conn *conn, size_t *cap);

/* Parses `len` bytes that were put there, and hands replies to their owners. */
RLK_API void rlk_conn_rx_ack(rlk_conn *conn, size_t len, int64_t now_ms);

/* ---- Time ---- */

/* Returns the time of the engine call under way, or of the last one. */
RLK_API int64_t rlk_conn_now(const rlk_conn *conn);

/* Returns when to call rlk_conn_tick, or RLK_NEVER. It is past while the driver must connect or
 * close. */
RLK_API int64_t rlk_conn_deadline(const rlk_conn *conn);

/* Does what is due at now_ms. Calling it early does nothing. */
RLK_API void rlk_conn_tick(rlk_conn *conn, int64_t now_ms);

/* ---- Questions ---- */

RLK_API rlk_conn_state rlk_conn_get_state(const rlk_conn *conn);

/* Returns why the last attempt or connection ended; RLK_OK once ready; RLK_E_NOT_CONNECTED before
 * the first attempt is over; RLK_E_CLOSED after rlk_conn_close. */
RLK_API rlk_result rlk_conn_result(const rlk_conn *conn);

/* Returns the errno that came with it, else 0. */
RLK_API int rlk_conn_errno(const rlk_conn *conn);

/* Returns what the server said when it refused (its last error, terminated, control bytes
 * replaced), or what rlk_conn_explain was given, else "". Passwords and digits of tokens that it
 * repeats are masked: "***". Stays until the next good handshake. */
RLK_API const char *rlk_conn_text(const rlk_conn *conn);

/* Returns the command of the handshake under way, or that failed last: "HELLO", "AUTH" ...; else
 * "". */
RLK_API const char *rlk_conn_step(const rlk_conn *conn);

/* Returns how often it became ready; the same number means the same stream. */
RLK_API uint32_t rlk_conn_generation(const rlk_conn *conn);

/* Returns the number of attempts and connections that ended. */
RLK_API uint32_t rlk_conn_failures(const rlk_conn *conn);

#ifndef RLK_NO_TRACE
/* What a connection has counted since rlk_conn_init, modulo 2^32. */
typedef struct rlk_traffic {
    uint32_t fences; /* of streams that ended with a command that might still execute */
    uint32_t bytes_sent;
    uint32_t bytes_received;
} rlk_traffic;

RLK_API rlk_traffic rlk_conn_traffic(const rlk_conn *conn);
#endif

/* In READY: returns true if no command of the stream before this one can execute any more. Each was
 * answered, or never sent, or fenced (by CLIENT KILL, or its server is gone). */
RLK_API bool rlk_conn_fenced(const rlk_conn *conn);

/* In READY: returns true if the server has promised to notify of changes to keys that this stream
 * read. False once it has broken that twice. */
RLK_API bool rlk_conn_is_tracking(const rlk_conn *conn);

/* Returns the last 64 bits of the server's run_id, which differ for each instance of a server. 0
 * where it is not known. */
RLK_API uint64_t rlk_conn_run_id(const rlk_conn *conn);

/* Returns what its server showed of itself on this stream, or the last one: a set of RLK_SERVER_*.
 */
RLK_API unsigned rlk_conn_server(const rlk_conn *conn);

/* Returns the bytes of the transmit buffer: no command can be longer. */
RLK_API size_t rlk_conn_tx_cap(const rlk_conn *conn);

/* If the last handshake ended with RLK_E_CREDENTIALS: returns the bytes of the transmit buffer that
 * it needed. Else 0. */
RLK_API size_t rlk_conn_tx_needed(const rlk_conn *conn);

/* Returns 3 or 2; 0 before the handshake. */
RLK_API int rlk_conn_protocol(const rlk_conn *conn);

/* Returns what an error reply means, by its prefix ("READONLY ...": RLK_E_READONLY); RLK_E_SERVER
 * where the prefix is not known. */
RLK_API rlk_result rlk_server_error(const uint8_t *text, size_t len);

#ifdef __cplusplus
}
#endif

#endif
