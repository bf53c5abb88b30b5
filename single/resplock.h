/* SPDX-License-Identifier: MIT
 *
 * resplock 0.1.0 in one file: distributed locks over RESP servers (Redis, Valkey and others).
 *
 * Made by cmake/single.cmake from the sources of resplock 0.1.0: change those, not this.
 *
 * In one file of the program, C99 or C++17, before all other includes:
 *
 *     #define RESPLOCK_IMPLEMENTATION
 *     #include "resplock.h"
 *
 * In all others: #include "resplock.h". What else may be defined, in all of them alike, by the
 * compiler's options or before the include:
 *
 *     RESPLOCK_STATIC   each file has an implementation of its own (RESPLOCK_IMPLEMENTATION is not
 *                       needed), and every function is static: nothing can collide
 *     RLK_NO_POSIX      no sockets and no system: the engine, on ports that you serve
 *     RLK_NO_TEXT, RLK_MAX_NODES ... what config.h lists (below), and all that stands in #ifndef
 *
 * -std=c99 hides POSIX, so the implementation defines _DEFAULT_SOURCE on Linux. Where a header of
 * the system came before it, it is too late for that, and an #error says so.
 *
 * MIT License
 *
 * Copyright (c) 2026 the resplock authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy
 * of this software and associated documentation files (the "Software"), to deal
 * in the Software without restriction, including without limitation the rights
 * to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
 * copies of the Software, and to permit persons to whom the Software is
 * furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all
 * copies or substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 * FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 * LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 * OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
 * SOFTWARE.
 */

#if defined(RESPLOCK_STATIC) && !defined(RESPLOCK_IMPLEMENTATION)
#define RESPLOCK_IMPLEMENTATION
#endif

/* ==== include/resplock/config.h ====
 *
 * resplock/config.h: limits and switches that change the layout of structs. The library and all
 * that is compiled against it must see the same ones; a program that doesn't gets RLK_E_LAYOUT from
 * rlk_posix_open, rlk_client_init, rlk_conn_init and rlk_lock_init.
 *
 * Used from its sources: define others (-DRLK_MAX_NODES=1) for every file, or edit this one.
 * Built by CMake: they are its options (-DRESPLOCK_MAX_NODES=1). CMake reads the list from here and
 * makes a copy with fixed values, for its own build and for installing.
 */
#ifndef RESPLOCK_CONFIG_H
#define RESPLOCK_CONFIG_H

/* ---- Limits: a number -------------------------------------------------------------------- */

/* The most nodes that a client may have. 1 leaves the quorum out. */
#ifndef RLK_MAX_NODES
#define RLK_MAX_NODES 5
#endif

/* Longest prefix of a token; the token is the prefix and 40 hex digits. */
#ifndef RLK_PREFIX_MAX
#define RLK_PREFIX_MAX 64
#endif

/* Longest text that rlk_client_error and rlk_lock_error render, with its terminator. */
#ifndef RLK_TEXT_CAP
#define RLK_TEXT_CAP 384
#endif

/* Longest text of the server that a connection keeps, with its terminator. */
#ifndef RLK_CONN_TEXT
#define RLK_CONN_TEXT 76
#endif

/* Aggregates inside aggregates: a top-level scalar is at depth 0. One level more is an error. */
#ifndef RLK_RESP_MAX_DEPTH
#define RLK_RESP_MAX_DEPTH 8
#endif

/* Most addresses of one name that are tried in one attempt; the next goes on behind them. */
#ifndef RLK_MAX_ADDRESSES
#define RLK_MAX_ADDRESSES 8
#endif

/* Memory of the node that rlk_posix_open embeds: entries of its ring, bytes of its buffers. */
#ifndef RLK_NODE_RING
#define RLK_NODE_RING 32
#endif
#ifndef RLK_NODE_TX
#define RLK_NODE_TX 1024
#endif
#ifndef RLK_NODE_RX
#define RLK_NODE_RX 512
#endif

/* Buckets of a client's own index of keys, a power of two. */
#ifndef RLK_BUCKETS
#define RLK_BUCKETS 16
#endif

/* Random bytes that a client draws at once, for tokens of 16 bytes; below 32 each token draws its
 * own. With RLK_NO_POSIX a client always does: there, entropy is no system call. */
#ifndef RLK_RANDOM_BLOCK
#define RLK_RANDOM_BLOCK 512
#endif

/* ---- Switches: what is left out when they are defined ------------------------------------- */

/* Sockets, system clock, rlk_posix_open: what is left is the engine, for bare ports. resplock.h
 * then includes neither socket.h nor posix.h. Compile neither src/net/posix nor src/lock/posix.c.
 */
/* #define RLK_NO_POSIX */

/* rlk_url_parse: you fill in an rlk_url by hand. Needs RLK_NO_POSIX. */
/* #define RLK_NO_URL */

/* Names and texts of results. */
/* #define RLK_NO_TEXT */

/* Counters and the trace hook. */
/* #define RLK_NO_TRACE */

/* HELLO and the types of RESP3, and with them the wake-up by the server: waiters ask again. */
/* #define RLK_RESP2_ONLY */

/* Defined if POSIX is not switched off, and there, as far as its headers show. */
#ifndef RLK_NO_POSIX
#ifndef __has_include
#define RLKI_POSIX
#elif __has_include(<netdb.h>) && __has_include(<poll.h>) && __has_include(<sys/socket.h>)
#define RLKI_POSIX
#endif
#endif

/* ---- What can't be ----------------------------------------------------------------------- */

/* Behind the first error follows what lets the compiler end without another. */
#if !defined(__cplusplus) && (defined(__STDC_VERSION__) || defined(__STRICT_ANSI__))
#if !defined(__STDC_VERSION__) || __STDC_VERSION__ < 199901L
#error "resplock needs C99: compile with -std=c99 or later"
#define inline
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wlong-long"
#pragma GCC diagnostic ignored "-Wvariadic-macros"
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
#endif
#endif

/* Too small a RLK_NODE_* is RLK_E_BUFFER when a client is opened. */
#if RLK_MAX_NODES < 1 || RLK_MAX_NODES > 31
#error "RLK_MAX_NODES is not in 1..31"
#endif
#if RLK_PREFIX_MAX < 0 || RLK_PREFIX_MAX > 255
#error "RLK_PREFIX_MAX is not in 0..255"
#endif
#if RLK_TEXT_CAP < 16
#error "RLK_TEXT_CAP is below 16"
#endif
#if RLK_CONN_TEXT < 48 || RLK_CONN_TEXT > 255 /* the words that distinguish errors fit */
#error "RLK_CONN_TEXT is not in 48..255"
#endif
#if RLK_RESP_MAX_DEPTH < 4 || RLK_RESP_MAX_DEPTH > 254 /* HELLO, of a server with modules */
#error "RLK_RESP_MAX_DEPTH is not in 4..254"
#endif
#if RLK_BUCKETS < 1 || RLK_BUCKETS > 65536 || (RLK_BUCKETS & (RLK_BUCKETS - 1)) != 0
#error "RLK_BUCKETS is not a power of two in 1..65536"
#endif
#if RLK_RANDOM_BLOCK < 0 || RLK_RANDOM_BLOCK > 4096
#error "RLK_RANDOM_BLOCK is not in 0..4096"
#endif
#if RLK_MAX_ADDRESSES < 2 || RLK_MAX_ADDRESSES > 255 /* localhost has two */
#error "RLK_MAX_ADDRESSES is not in 2..255"
#endif

#endif

#ifdef RESPLOCK_IMPLEMENTATION

/* Linkage of what only the implementation calls. */
#ifndef RLKI_API
#ifdef __GNUC__
#define RLKI_API static __attribute__((unused))
#else
#define RLKI_API static
#endif
#endif

/* ==== src/net/posix/features.h ====
 *
 * Internal: before the first header of the system. -std=c99 hides POSIX, and what the first header
 * decided stays: a file that comes too late says so here, in one error rather than in a hundred.
 */
#ifndef RLKI_NET_FEATURES_H
#define RLKI_NET_FEATURES_H

#ifdef RLKI_POSIX

#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#endif

#include <fcntl.h>
#include <netdb.h>
#include <time.h>

#if !defined(AI_NUMERICHOST) || !defined(CLOCK_MONOTONIC) || !defined(O_CLOEXEC)
#error "resplock needs POSIX of 2008: include it before all else, or compile with \
-D_POSIX_C_SOURCE=200809L, or with -DRLK_NO_POSIX for the engine alone"
#define RLK_NO_POSIX /* so that no error follows in the one file */
#undef RLKI_POSIX
#endif

#endif /* RLKI_POSIX */

#endif

#endif /* RESPLOCK_IMPLEMENTATION */

#ifndef RESPLOCK_H
#define RESPLOCK_H

#ifdef RESPLOCK_STATIC
#define RLK_API RLKI_API
#endif

/* ==== include/resplock/base.h ====
 *
 * resplock/base.h: what all layers share: version, linkage, results.
 */
#ifndef RESPLOCK_BASE_H
#define RESPLOCK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RLK_VERSION_MAJOR  0
#define RLK_VERSION_MINOR  1
#define RLK_VERSION_PATCH  0
#define RLK_VERSION_STRING "0.1.0"

/* A number of 5 + 6 + 8 + 8 + 5 bits: the version, and the limits that change a struct whose size
 * is not passed. 8 more bits say what options of the compiler do to enums and to structs
 * (-fshort-enums, -fpack-struct, #pragma pack). An odd factor distributes them over all bits. */
#define RLK_LAYOUT                                                                                 \
    ((UINT32_C(1) << 27) * RLK_VERSION_MAJOR + (UINT32_C(1) << 21) * RLK_VERSION_MINOR +           \
     (UINT32_C(1) << 13) * RLK_RESP_MAX_DEPTH + (UINT32_C(1) << 5) * RLK_PREFIX_MAX +              \
     RLK_MAX_NODES + UINT32_C(0x9e3779b1) * RLKI_LAYOUT_OPTIONS)
#define RLKI_LAYOUT_OPTIONS (UINT32_C(16) * RLKI_LAYOUT_ENUM + RLKI_LAYOUT_NUMBER)
typedef struct rlki_layout {
    char byte;
    int64_t number;
} rlki_layout;

/* Linkage of every public function. Define it before the first include to choose another. */
#ifndef RLK_API
#if defined(__GNUC__)
#define RLK_API __attribute__((visibility("default")))
#else
#define RLK_API
#endif
#endif

/* Longest TTL, in milliseconds: 24 days. Redis itself accepts PX 9223370000000000000. */
#ifndef RLK_TTL_MAX
#define RLK_TTL_MAX INT64_C(2073600000)
#endif
#if RLK_TTL_MAX < 1 || RLK_TTL_MAX > 2130706431 /* inside, times are 32 bits: RLKI_CLOCK_UNIT */
#error "RLK_TTL_MAX is not in 1..2130706431"
#endif

/* A deadline that never comes. */
#define RLK_NEVER INT64_MAX

/* The time of a clock that can't be read: so late that no lease is valid. */
#define RLK_NO_CLOCK_MS (INT64_MAX / 4)

/*
 * The result of a call.
 *   0         it worked
 *   positive  an outcome that a correct program meets in normal operation
 *   negative  an error, in ranges: rlk_result_class() returns which
 *
 * BUSY, TIMED_OUT and CANCELLED of an acquire, and OK of a release, claim something: the lock's
 * token is not in the key, and never will be. On several nodes it is not on a quorum of them. Where
 * that can't be known, the result is RLK_UNKNOWN.
 */
typedef enum rlk_result {
    RLK_OK = 0,

    RLK_PENDING = 1,   /* started; the result comes as an event */
    RLK_BUSY = 2,      /* somebody else has the lock (an attempt with RLK_TRY) */
    RLK_TIMED_OUT = 3, /* somebody else was seen to have it, and it was not acquired in time */
    RLK_NOT_OWNER = 4, /* the server says that the lock is not, or no longer, ours */
    RLK_NOT_HELD = 5,  /* nothing to do: this lock is not held (or: nobody has it, of a query) */
    RLK_LOST = 6,      /* its validity ran out before it was released or renewed, or the key was
                          deleted or overwritten */
    RLK_GONE = 7,      /* of a release: it is not there now; an earlier try whose reply was lost
                          may have removed it, or it expired */
    RLK_UNKNOWN = 8,   /* the outcome can't be known (yet): see rlk_acquire, rlk_release */
    RLK_CANCELLED = 9, /* ended by rlk_cancel */

    /* usage: the call or the configuration is wrong; the same call fails again */
    RLK_E_ARGUMENT = -1, /* a pointer that must not be NULL, a number out of its range */
    RLK_E_TTL = -2,      /* TTL of 0, negative, above RLK_TTL_MAX, or not above drift + node time */
    RLK_E_KEY = -3,      /* empty key, or one that can't fit the transmit buffer */
    RLK_E_URL = -4,      /* not a URL that resplock understands */
    RLK_E_URL_SCHEME = -5, /* none of redis://, valkey://, rediss://, valkeys://, unix:// */
    RLK_E_URL_HOST = -6,   /* host malformed */
    RLK_E_URL_PORT = -7,   /* port not in 1..65535 */
    RLK_E_URL_DB = -8,     /* database not a number in 0..2147483647, or two of them */
    RLK_E_URL_ESCAPE = -9, /* a character as it is that must be escaped: @ / ? # % + */
    RLK_E_URL_PATH = -10,  /* socket path missing or too long */
    RLK_E_URL_QUERY = -11, /* a parameter that resplock doesn't know, or credentials twice */
    RLK_E_BUFFER = -12,    /* a buffer below its minimum */
    RLK_E_LAYOUT = -13,    /* compiled against another layout of the struct */
    RLK_E_STATE = -14,     /* another operation of this lock is under way, or it is held already */
    RLK_E_FORKED = -15,    /* this process inherited the client by fork; it belongs to the parent */
    RLK_E_SAME_NODE = -16, /* the same server is listed twice */
    RLK_E_NODES = -17,     /* number of nodes not in 1..RLK_MAX_NODES */
    RLK_E_RESOLVER = -18,  /* a host name in loop use, without a resolver */
    RLK_E_PREFIX = -19,    /* token prefix too long */
    RLK_E_CLOSED = -20,    /* the client or the lock was closed */
    RLK_E_ENTROPY = -21,   /* no random bytes to be had, so no token */
    RLK_E_TIMES = -22, /* a time limit negative or too large; max_hold_ms not from TTL to TTL_MAX */
    RLK_E_CREDENTIALS = -23, /* the credentials hook gave none, or they can't fit the buffer */
    RLK_E_WAIT = -24,        /* the environment can't wait: a blocking call without env.wait */
    RLK_E_CLOCK = -25,       /* no clock to be had, so no lease would ever end */
    RLK_E_URL_TLS = -26,     /* rediss:// or valkeys://, and no TLS library was given */
    RLK_E_PIPE = -27,        /* no pipe to be had, for rlk_posix_interrupt */
    RLK_E_DANGLING = -28,  /* a text of the caller has changed: key, prefix, URL, name, password */
    RLK_E_URL_PLAIN = -29, /* redis:// or valkey://, and a TLS library was given */

    /* transport: the server can't be reached (now) */
    RLK_E_NOT_CONNECTED = -101,    /* not connected yet, and no attempt failed yet */
    RLK_E_RESOLVE = -102,          /* the host name can't be resolved: rlk_conn_text() */
    RLK_E_CONNECT = -103,          /* refused, no route, no such socket: rlk_conn_errno() */
    RLK_E_CONNECT_TIMEOUT = -104,  /* no connection within the connect time */
    RLK_E_RESPONSE_TIMEOUT = -105, /* no progress for the response time, or no answer in time */
    RLK_E_EOF = -106,              /* the server closed the connection */
    RLK_E_IO = -107,               /* reading or writing failed: rlk_conn_errno() */
    RLK_E_TLS_CUT = -108,          /* the stream ended without TLS's close_notify */
    RLK_E_TLS = -109,              /* TLS failed: rlk_conn_text() */

    /* protocol: what came is not what RESP allows here; the connection is closed */
    RLK_E_PROTOCOL = -201,    /* malformed RESP, or beyond a bound */
    RLK_E_NOT_RESP = -202,    /* the peer speaks something else (HTTP, TLS, ...) */
    RLK_E_UNSOLICITED = -203, /* a reply to no request */
    RLK_E_UNEXPECTED = -204,  /* a reply of a type that the command doesn't have */

    /* server: the server refused; may pass */
    RLK_E_SERVER = -301,      /* an error with a prefix that resplock doesn't know */
    RLK_E_LOADING = -302,     /* the server is loading its data */
    RLK_E_READONLY = -303,    /* the server is a replica */
    RLK_E_MASTERDOWN = -304,  /* a replica that lost its primary */
    RLK_E_MISCONF = -305,     /* the server can't persist, and so refuses writes */
    RLK_E_OOM = -306,         /* the server is out of memory */
    RLK_E_SCRIPT_BUSY = -307, /* the server is busy running a script (error BUSY) */
    RLK_E_NOSCRIPT = -308,    /* our script is not in the server's cache, even after loading it */
    RLK_E_MOVED = -309,       /* the key lives on another node of a cluster (MOVED); not retried,
                                 nor are ASK and CROSSSLOT */
    RLK_E_ASK = -310,         /* the key is being moved (ASK) */
    RLK_E_CLUSTERDOWN = -311, /* the cluster is down */
    RLK_E_TRYAGAIN = -312,    /* the cluster is resharding (TRYAGAIN) */
    RLK_E_CROSSSLOT = -313,   /* keys of one command in different slots */
    RLK_E_NOREPLICAS = -314,  /* not enough replicas to write */
    RLK_E_SERVER_FULL = -315, /* max number of clients reached */
    RLK_E_WRONGTYPE = -316,   /* the key holds something that is not a string: not a lock */
    RLK_E_NOAUTH = -317,      /* the server asks a stream to authenticate that had done so (NOAUTH);
                                 of a handshake: RLK_E_AUTH */

    /* fatal: stays until rlk_client_reset(); not retried */
    RLK_E_AUTH = -401,        /* wrong or missing password */
    RLK_E_NOPERM = -402,      /* the ACL user may not run a command that resplock needs */
    RLK_E_PROTECTED = -403,   /* the server is in protected mode */
    RLK_E_DATABASE = -404,    /* SELECT refused: no such database, or no SELECT */
    RLK_E_UNSUPPORTED = -405, /* the server lacks a command that resplock needs */
    RLK_E_SENTINEL = -406,    /* this is Sentinel's port, which keeps no keys */
    RLK_E_USER = -407, /* AUTH with a user's name refused: a server before Redis 6 knows none */
    RLK_E_TLS_REFUSED = -408 /* TLS refused a certificate, the server's or ours, or the version:
                                rlk_conn_text() */
} rlk_result;

/* Range of a result. */
typedef enum rlk_result_kind {
    RLK_KIND_OUTCOME,   /* >= 0 */
    RLK_KIND_USAGE,     /* -1 .. -99 */
    RLK_KIND_TRANSPORT, /* -101 .. -199 */
    RLK_KIND_PROTOCOL,  /* -201 .. -299 */
    RLK_KIND_SERVER,    /* -301 .. -399 */
    RLK_KIND_FATAL      /* -401 .. */
} rlk_result_kind;

/* For RLK_LAYOUT. */
enum {
    RLKI_LAYOUT_ENUM = sizeof(rlk_result_kind),
    RLKI_LAYOUT_NUMBER = offsetof(rlki_layout, number)
};

/* Returns the range of a result. */
RLK_API rlk_result_kind rlk_result_class(rlk_result result);

/* Returns the name of a result without its prefix, such as "TIMED_OUT" or "E_TTL"; "?" if it is
 * none. With RLK_NO_TEXT "", here and below. */
RLK_API const char *rlk_result_name(rlk_result result);

/* Returns what a result means and what to do, in one line of constant text; "" if it is none. */
RLK_API const char *rlk_result_text(rlk_result result);

/* Returns RLK_VERSION_STRING of the library that is linked. */
RLK_API const char *rlk_version(void);

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/resp.h ====
 *
 * resplock/resp.h: the codec. Bytes to RESP2/RESP3 tokens and commands to bytes.
 *
 * Knows nothing of sockets, connections or locks; keeps no memory but the caller's; calls nothing
 * but memcpy and memcmp, and so can be used alone.
 *
 * Source of the rules: the RESP specification (redis.io/docs/reference/protocol-spec) and the
 * RESP3 specification (github.com/antirez/RESP3), named beside each rule.
 */
#ifndef RESPLOCK_RESP_H
#define RESPLOCK_RESP_H

#ifdef __cplusplus
extern "C" {
#endif

/* Longest string, in bytes (Redis: proto-max-bulk-len, 512 MiB). At most 2147483647. */
#ifndef RLK_RESP_MAX_LEN
#define RLK_RESP_MAX_LEN UINT32_C(536870912)
#endif

/* Most elements of one aggregate; a map or attribute of n pairs has 2n. At most 1073741823. */
#ifndef RLK_RESP_MAX_COUNT
#define RLK_RESP_MAX_COUNT UINT32_C(1048576)
#endif

/* Longest line of a number, a double, a boolean or a length, without CRLF. */
#ifndef RLK_RESP_MAX_NUMBER
#define RLK_RESP_MAX_NUMBER 48
#endif

/* ---- Encoding ---------------------------------------------------------------------------- */

/*
 * Writes commands (arrays of bulk strings) into the caller's memory, all or nothing: a writer
 * that runs out of room goes on counting, writes nothing more, and says how much it needs.
 * Fields may be read; only the functions below write them.
 */
typedef struct rlk_resp_writer {
    uint8_t *buf;
    size_t cap;
    size_t len; /* bytes written, or needed when that is more than `cap` */
} rlk_resp_writer;

/* Starts writing at buf[0]. `buf` may be NULL when `cap` is 0: then it only counts. */
RLK_API void rlk_resp_writer_init(rlk_resp_writer *writer, uint8_t *buf, size_t cap);

/* Begins a command of `argc` arguments, its name included. */
RLK_API void rlk_resp_put_command(rlk_resp_writer *writer, uint32_t argc);

/* One argument: `len` bytes, any bytes. */
RLK_API void rlk_resp_put_bulk(rlk_resp_writer *writer, const void *data, size_t len);

/* One argument: the decimal text of `value`. */
RLK_API void rlk_resp_put_integer(rlk_resp_writer *writer, int64_t value);

/* `len` bytes of RESP as they are: the part of a command that is the same each time. */
RLK_API void rlk_resp_put_raw(rlk_resp_writer *writer, const void *data, size_t len);

/*
 * One argument of `len` bytes that the caller fills in himself, all of them, before the next call.
 * Returns where to, or NULL when there is no room (the length is counted all the same).
 */
RLK_API uint8_t *rlk_resp_put_hole(rlk_resp_writer *writer, size_t len);

/* RLK_OK, or RLK_E_BUFFER when writer->len exceeds the room: then nothing of it may be sent. */
RLK_API rlk_result rlk_resp_writer_result(const rlk_resp_writer *writer);

/*
 * A whole command at once: `argc` arguments, argv[i] of lens[i] bytes. Returns the bytes needed;
 * written if and only if that is <= cap, else the contents of `buf` are undefined.
 */
RLK_API size_t rlk_resp_encode(uint8_t *buf, size_t cap, uint32_t argc, const void *const *argv,
                               const size_t *lens);

/* ---- Parsing ----------------------------------------------------------------------------- */

typedef enum rlk_resp_type {
    RLK_RESP_SIMPLE = '+',     /* data: text */
    RLK_RESP_ERROR = '-',      /* data: text */
    RLK_RESP_INTEGER = ':',    /* value */
    RLK_RESP_BULK = '$',       /* data */
    RLK_RESP_ARRAY = '*',      /* value: elements, -1 when streamed */
    RLK_RESP_NULL = '_',       /* also the old nulls $-1, and *-1: value 1, else 0 */
    RLK_RESP_BOOLEAN = '#',    /* value: 0 or 1 */
    RLK_RESP_DOUBLE = ',',     /* data: its text, syntax checked */
    RLK_RESP_BIG_NUMBER = '(', /* data: its text, syntax checked */
    RLK_RESP_BLOB_ERROR = '!', /* data */
    RLK_RESP_VERBATIM = '=',   /* data: the three letters of the format, ':', and the text */
    RLK_RESP_MAP = '%',        /* value: keys and values (2 a pair), -1 when streamed */
    RLK_RESP_SET = '~',        /* value: elements, -1 when streamed */
    RLK_RESP_ATTRIBUTE = '|',  /* value: as of a map; belongs to the value that follows */
    RLK_RESP_PUSH = '>',       /* value: elements; only at the top level */
    RLK_RESP_END = '.'         /* end of a streamed aggregate */
} rlk_resp_type;

/* Flags of a token. */
#define RLK_RESP_FIRST        0x01u /* first (or only) fragment of a string; set for all else too */
#define RLK_RESP_LAST         0x02u /* last (or only) fragment of a string; set for all else too */
#define RLK_RESP_DONE         0x04u /* with it a top-level value is complete */
#define RLK_RESP_IN_ATTRIBUTE 0x08u /* an attribute, or part of one: not part of any reply */
#define RLK_RESP_IN_PUSH      0x10u /* a push, or part of one: not part of any reply */

typedef struct rlk_resp_token {
    rlk_resp_type type;
    uint8_t flags;
    uint8_t depth;       /* aggregates around it */
    const uint8_t *data; /* strings, doubles, big numbers: into the caller's buffer, until the
                            bytes are consumed; NULL for other types */
    size_t len;          /* bytes at `data` */
    int64_t value;       /* by type, see there; of strings the whole length, -1 when it is not
                            known (streamed, or a line longer than `whole_max`) */
} rlk_resp_token;

typedef enum rlk_resp_status {
    RLK_RESP_TOKEN, /* a token */
    RLK_RESP_MORE,  /* the bytes end before the next token does: come again with more of them */
    RLK_RESP_BAD    /* protocol error; final */
} rlk_resp_status;

/* What was wrong, after RLK_RESP_BAD. */
typedef enum rlk_resp_fault {
    RLK_RESP_FAULT_NONE,
    RLK_RESP_FAULT_TYPE,       /* first byte is no type of RESP, or not allowed at this place */
    RLK_RESP_FAULT_NUMBER,     /* malformed number, length or count */
    RLK_RESP_FAULT_RANGE,      /* number, length, count or line beyond its bound */
    RLK_RESP_FAULT_DEPTH,      /* nested too deep */
    RLK_RESP_FAULT_TERMINATOR, /* something other than CRLF where CRLF must be */
    RLK_RESP_FAULT_TEXT        /* malformed boolean, double, big number, null, verbatim format */
} rlk_resp_fault;

/* Parser state. Fields are private. */
typedef struct rlk_resp_parser {
    uint32_t whole_max;
    uint32_t wanted;    /* with fewer unconsumed bytes there is nothing to say */
    uint32_t length;    /* of a string: its own; of a streamed one: the pieces so far; of a line:
                           unconsumed bytes already scanned */
    uint32_t remaining; /* payload bytes still to come; of a line: still allowed */
    uint8_t state;
    uint8_t type; /* of the string under way */
    uint8_t flags;
    uint8_t depth;
    uint8_t attribute_depth; /* where the attribute under way began, plus 1 */
    uint8_t fault;
    uint32_t left[RLK_RESP_MAX_DEPTH]; /* elements still to come, and what the aggregate is */
} rlk_resp_parser;

/*
 * Begins at the start of a stream. Strings of up to `whole_max` bytes always come in one piece
 * (FIRST and LAST both set). Longer ones come in fragments, as their bytes arrive: any length in a
 * constant memory. The caller must be able to show whole_max + 2 bytes in one buffer, and at least
 * RLK_RESP_MAX_NUMBER + 3. whole_max may be 0.
 */
RLK_API void rlk_resp_parser_init(rlk_resp_parser *parser, uint32_t whole_max);

/*
 * Parses the next token of buf[0..len). On return *consumed bytes are done with: the next call must
 * begin with the byte behind them (they may be > 0 with RLK_RESP_MORE too). After RLK_RESP_MORE the
 * same unconsumed bytes must be shown again, with more behind them. Token data points into `buf`.
 *
 * Order of tokens: an aggregate's token, then its elements; an attribute's, its elements, then the
 * value that it belongs to. Of a string in fragments only the last may be empty; the first of a
 * verbatim string has at least its format. A streamed string is a BULK of value -1 in fragments. A
 * streamed aggregate ends with RLK_RESP_END (at the aggregate's own depth).
 *
 * Strict where RESP says so: CRLF and nothing else ends a line or a payload, and a line contains
 * neither CR nor LF; numbers have a sign, lengths and counts none (but $-1 and *-1); a double has
 * digits before its point; a push is at the top level only; a streamed map has a value for each
 * key; an attribute has a value behind it. Leading zeros are allowed. The tokens of a stream do not
 * depend on how it was cut.
 */
RLK_API rlk_resp_status rlk_resp_next(rlk_resp_parser *parser, const uint8_t *buf, size_t len,
                                      size_t *consumed, rlk_resp_token *token);

/* Reason of RLK_RESP_BAD. */
RLK_API rlk_resp_fault rlk_resp_parser_fault(const rlk_resp_parser *parser);

/* True between two top-level values: nothing has been consumed of the next one. */
RLK_API bool rlk_resp_parser_idle(const rlk_resp_parser *parser);

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/url.h ====
 *
 * resplock/url.h: where a server is.
 */
#ifndef RESPLOCK_URL_H
#define RESPLOCK_URL_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A parsed URL. Texts point into the URL's own string, still percent-encoded, not terminated;
 * that string must outlive whatever the result is used for.
 */
typedef struct rlk_url {
    const char *host; /* without the brackets of an IPv6 literal; NULL for a Unix socket */
    const char *path; /* of a Unix socket, percent-encoded; NULL for TCP */
    const char *user; /* NULL: none */
    const char *password;
    uint16_t host_len;
    uint16_t path_len;
    uint16_t user_len;
    uint16_t password_len;
    uint16_t port; /* default 6379; 0 for a Unix socket */
    uint32_t db;   /* default 0 */
} rlk_url;

/*
 * Parses
 *     redis://[[user][:password]@][host][:[port]][/[db]][?parameters]
 *     unix://[[user][:password]@]/path/of/socket[?parameters]
 * as the IANA registration of the redis scheme and redis-py have them; valkey:// is redis://. For
 * rediss:// and valkeys://, which are the same over TLS, it returns RLK_E_URL_TLS and fills in all
 * of `url`: a driver that has TLS goes on.
 *   host        a name, an IPv4 address, or an IPv6 address in brackets, where a zone follows %25:
 *               [fe80::1%25eth0]. None: localhost. Without a port: 6379
 *   user        alone, as in user@host: with an empty password. A password alone: :password@host
 *   parameters  db=n, username=text, password=text, joined by &: where the parts before have none.
 *               A database may be said twice, if it is the same
 * White space around the text is not part of it; a slash at the end has no meaning.
 * Percent-encoding in user, password and path (a NUL in a path is refused). The characters @ / ? #
 * % must be escaped there, and + & of a parameter: %40 %2F %3F %23 %25 %2B %26. Returns RLK_OK or
 * the RLK_E_URL_* that names the part; touches no network.
 */
#ifndef RLK_NO_URL
RLK_API rlk_result rlk_url_parse(rlk_url *url, const char *text);
#endif

/*
 * Decodes percent-encoding of text[0..len) into out, which has room for `cap` bytes. Returns the
 * length of the decoded text, which is written only if it is <= cap. `out` may be NULL with cap 0.
 */
RLK_API size_t rlk_url_decode(const char *text, size_t len, uint8_t *out, size_t cap);

/* Returns true if both name the same server and port or the same socket (letters of the text, no
 * DNS). */
RLK_API bool rlk_url_same_server(const rlk_url *a, const rlk_url *b);

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/net_layout.h ====
 *
 * resplock/net_layout.h: the memory of connections and requests.
 * Structs are visible so that their size is known. Every field in this file is private, except
 * rlk_request.tag.
 */
#ifndef RESPLOCK_NET_LAYOUT_H
#define RESPLOCK_NET_LAYOUT_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlk_conn rlk_conn;

/* In net.h. */
struct rlk_conn_calls;
struct rlk_conn_script;
struct rlk_credentials;

/* One command, or a few that belong together, on its way. It is part of its owner. */
typedef struct rlk_request {
    union {
        struct { /* of the send list: while QUEUED, before it is encoded */
            struct rlk_request *next;
            struct rlk_request *prev; /* of the first one: the last */
        } list;
        int32_t owner_ms; /* the owner's, untouched here, from when it is encoded on */
    } as;
    uint16_t slot; /* ring entry while SENT */
    uint8_t state;
    uint8_t tag; /* the owner's, untouched here */
} rlk_request;

enum {
    RLK_REQUEST_IDLE,   /* with its owner */
    RLK_REQUEST_QUEUED, /* in the send list: no byte of it exists yet */
    RLK_REQUEST_SENT    /* in the ring: encoded, perhaps sent */
};

/* Entry of the ring of requests in flight. */
typedef struct rlk_conn_entry {
    rlk_request *owner; /* NULL: abandoned, its replies are consumed and discarded */
    uint32_t begin;     /* position of its first byte in the stream, modulo 2^32 */
    uint8_t replies;    /* still to come */
    uint8_t kind;       /* a request, or a step of the handshake */
} rlk_conn_entry;

/* Longest "ip:port" is 47 bytes: an IPv6 address in brackets. With its terminator, in whole words.
 */
#define RLK_CONN_LOCAL 49

/* Our own address as CLIENT KILL writes it, packed: local.c. All zero: not known. */
typedef struct rlk_conn_local {
    uint32_t words[RLK_CONN_LOCAL / 7];
} rlk_conn_local;

/* What identifies a connection at its server: for the fence. */
typedef struct rlk_conn_identity {
    uint64_t client_id; /* 0: not known */
    uint64_t run_id;    /* of the server (INFO server), its last 64 bits; 0: not known */
    uint32_t peer;      /* number of the address that it reached: rlki_condemn_number */
    rlk_conn_local local;
} rlk_conn_identity;

/* Text of the server that a connection keeps: with RLK_NO_TEXT the words that distinguish errors.
 */
#ifdef RLK_NO_TEXT
#define RLKI_CONN_TEXT 48
#else
#define RLKI_CONN_TEXT RLK_CONN_TEXT
#endif

/* Must not be moved after rlk_conn_init. Small fields first: short offsets make short
 * instructions. */
struct rlk_conn {
    uint8_t state;
    uint8_t step;       /* handshake: next step to send */
    uint8_t step_ended; /* handshake: step at which the last attempt failed, plus 1 */
    uint8_t match;      /* progress of a scan through a reply of the handshake, or a push */
    uint8_t protocol;   /* 2 or 3; 0: not known yet */
    uint8_t reply_type; /* of the reply under way */
    uint8_t hung;       /* handshake: step at which the peer hung up, plus 1; 0: it did not */
    uint8_t missed;     /* changes on this stream that no push reported: rlk_conn_missed */
    uint8_t text_len;
    uint8_t segment; /* script of which scripts.segment_left bytes are left */
    uint16_t flags;
    uint16_t server; /* RLK_SERVER_*: what is known of the peer of this stream */
    int16_t result;  /* why the last attempt or connection ended; RLK_OK once ready */
    int16_t sys_errno;
#ifndef RLK_NO_TRACE
    uint16_t fences; /* done, counted */
#endif

    struct {
        uint8_t count;
        uint8_t next; /* to load; count: none */
        uint16_t
            segment_left; /* last bytes of a script: they leave when tx is sent up to segment_at */
        uint32_t segment_at;
        const struct rlk_conn_script *all;
    } scripts;

    struct { /* what is in flight */
        rlk_conn_entry *entries;
        uint16_t len;
        uint16_t head;
        uint16_t used;
        uint16_t loads; /* script loads among them */
    } ring;

    struct { /* transmit.c has a picture */
        uint8_t *bytes;
        uint32_t cap;
        uint32_t begin; /* bytes[begin..end) waits to be sent */
        uint32_t end;
        uint32_t position; /* bytes of all streams that have left, modulo 2^32: that of `begin` */
        uint32_t handed;   /* position behind the last byte shown to the driver */
        uint32_t needed;   /* by credentials that did not fit; 0: they did */
    } tx;

    struct { /* receive.c has a picture */
        uint8_t *bytes;
        uint32_t cap;
        uint32_t begin; /* bytes[begin..end) is not parsed yet */
        uint32_t end;
        uint32_t fragment; /* of the string under way: of a reply its length, UINT32_MAX if that is
                              not known; of a push the hash of the key so far */
    } rx;

    rlk_request *send; /* list of requests that are QUEUED */
    const struct rlk_conn_calls *calls;
    void *calls_context;
    uint32_t connect_timeout_ms; /* configuration, as rlk_conn_config has it */
    uint32_t response_timeout_ms;
    int64_t now_ms;      /* of the call under way, or the last one */
    int64_t deadline_ms; /* of the state: next attempt, connect, progress */

    struct {
        uint32_t min_ms;
        uint32_t max_ms;
        uint32_t bound_ms; /* of the next pause */
        uint32_t random;   /* state of the generator */
    } backoff;

    struct {                  /* condemn.c has a picture. Times are modulo 2^32 */
        uint32_t address;     /* number of the one that was condemned last; 0: none */
        uint32_t round_first; /* ... first in the round of addresses that began at round_ms */
        uint32_t round_ms;    /* 0: none did */
    } condemn;

    uint32_t texts;      /* hash of the URL's texts and the name, at rlk_conn_init */
    uint32_t generation; /* connections that became ready, counted */
    uint32_t failures;   /* attempts and connections that ended, counted */
#ifndef RLK_NO_TRACE
    uint32_t bytes_received; /* modulo 2^32 */
#endif

    struct {
        int (*hook)(void *context, struct rlk_credentials *out); /* NULL: those of the URL */
        void *context;
    } login;

    union { /* by state. Times are modulo 2^32 */
        struct {
            const char *password; /* as the hook or the URL has it */
            size_t password_len;
            uint32_t words; /* hash of what was read last of HELLO's reply, or INFO's */
        } handshake;
        struct {
            uint32_t since_ms;   /* when it became ready */
            uint32_t lasting_ms; /* since when LOADING or MASTERDOWN lasts; 0: it does not */
        } ready;
    } phase;

    const char *client_name;
    rlk_url url;
    rlk_resp_parser parser;
    char text[RLKI_CONN_TEXT];  /* of the last error of the server */
    rlk_conn_identity identity; /* of the connection under way */
    rlk_conn_identity old;      /* of the last one that ended with requests unanswered */
};

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/net.h ====
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

/* ==== include/resplock/env.h ====
 *
 * resplock/env.h: what the engine needs of its surroundings: time, randomness, waiting.
 * The caller fills one small struct; the engine itself calls no operating system.
 */
#ifndef RESPLOCK_ENV_H
#define RESPLOCK_ENV_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlk_client rlk_client;
typedef struct rlk_lock rlk_lock;
#ifndef RLK_NO_TRACE
typedef struct rlk_trace rlk_trace;
#endif

/* posix.h fills what you leave NULL. With bare ports you fill all that you use. */
typedef struct rlk_env {
    void *context; /* first argument of each */
    /* Returns milliseconds of a clock that never goes back and goes on in sleep, or
     * RLK_NO_CLOCK_MS: it can't be read. Required. */
    int64_t (*now_ms)(void *context);
    /* Fills buf with len bytes of a CSPRNG. Returns 0, or another number: it can't. Required. */
    int (*random)(void *context, void *buf, size_t len);
    /*
     * Moves bytes for the connections of the client. Returns when something came, at deadline_ms at
     * the latest.
     *   0              go on
     *   RLK_CANCELLED  the blocking call ends as by rlk_cancel. An acquire first waits on, for its
     *                  undo. If the call has ended already, the next rlk_acquire of the client ends
     *   other          it can't wait: the blocking call ends as if cancelled, at once
     * NULL: only the started forms work.
     */
    int (*wait)(void *context, rlk_client *client, int64_t deadline_ms);
    /* Returns true in the process that made the client. NULL: there is no fork. */
    bool (*same_process)(void *context, const rlk_client *client);
    /*
     * Reports that the blocking acquire of this lock has waited for waited_ms, and goes on: what
     * RLK_EV_WAITING reports to programs with events, at the same times. It may call what `wait`
     * may call, rlk_lock_error (the reason in words) and rlk_cancel. NULL: no report.
     */
    void (*waiting)(void *context, rlk_lock *lock, rlk_result why, int64_t waited_ms);
    /*
     * Notifies a driver that a call of a lock, or rlk_client_reset, begins. What must be sent,
     * the deadline and the events may be others when it ends. So the driver serves the connections
     * soon. It may only note that, or wake its loop: it must not call the library. NULL: not
     * notified. For an rlk_posix_client see rlk_posix_set_loop.
     */
    void (*changed)(void *context, rlk_client *client);
#ifndef RLK_NO_TEXT
    /* Returns constant words for the number that a driver passed to rlk_conn_closed, or NULL: it
     * has none. NULL: texts have the number alone. */
    const char *(*errno_text)(void *context, int number);
#endif
#ifndef RLK_NO_TRACE
    /* Receives each step: see trace.h. It must not call the library. NULL: no trace. */
    void (*trace)(void *context, const rlk_trace *trace);
#endif
} rlk_env;

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/event.h ====
 *
 * resplock/event.h: the events of locks, which rlk_client_next_event (lock.h) returns.
 */
#ifndef RESPLOCK_EVENT_H
#define RESPLOCK_EVENT_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rlk_operation {
    RLK_OP_NONE,
    RLK_OP_ACQUIRE,
    RLK_OP_RELEASE,
    RLK_OP_EXTEND,
    RLK_OP_RENEW,
    RLK_OP_CHECK,
    RLK_OP_QUERY,
    RLK_OP_FORCE_RELEASE
} rlk_operation;

/* Of one lock, rlk_client_next_event returns them in this order. The first two end an operation. */
typedef enum rlk_event_type {
    RLK_EV_ACQUIRED = 1, /* an acquire ends with RLK_OK */
    RLK_EV_RESULT,       /* any other end of an operation: see `operation` and `result` */
    RLK_EV_SETTLED,      /* after an acquire that ended with RLK_UNKNOWN, or a release that ended
                            with RLK_UNKNOWN or an error. RLK_OK: the token is not in the key, and
                            never will be. RLK_UNKNOWN: an orphan is possible, or nobody answered
                            until the TTL had passed */
    RLK_EV_RENEWED,      /* auto_renew: RLK_OK. Of renewals that were not pulled the last counts. A
                            renewal that a call of this lock overtook is not reported */
    RLK_EV_RENEW_FAILED, /* auto_renew. RLK_NOT_OWNER, RLK_E_WRONGTYPE: RLK_EV_LOST follows.
                            RLK_UNKNOWN or another error: still held, and tried again */
    RLK_EV_LOST,         /* the lease ended without a release: lost_cause says why */
    RLK_EV_WAITING       /* an acquire goes on waiting. RLK_BUSY: another has the lock. RLK_PENDING:
                            no answer yet. An error: why no attempt succeeds. Comes every report_ms,
                            and after a tenth of it where the reason is new. Never after a result */
} rlk_event_type;

/* Why a lease ended without a release: what was seen, and no more. */
typedef enum rlk_lost_cause {
    RLK_LOST_NOT,         /* it did not */
    RLK_LOST_EXPIRED,     /* the client's own deadline came: not renewed in time */
    RLK_LOST_REFUSED,     /* the same, and the last answer to a renewal was an error of a server */
    RLK_LOST_DELETED,     /* the key was not there: deleted, evicted, expired by the server's clock,
                             or gone with the server's data */
    RLK_LOST_OVERWRITTEN, /* the key had another value, on at least one node */
    RLK_LOST_WRONG_TYPE,  /* the key had something that is not a string */
    RLK_LOST_CAUSES
} rlk_lost_cause;

typedef struct rlk_event {
    rlk_event_type type;
    rlk_operation operation; /* that ends; else RLK_OP_NONE */
    rlk_result result;
    rlk_lost_cause lost_cause; /* of RLK_EV_LOST; else RLK_LOST_NOT */
    rlk_lock *lock;
    void *user; /* of the lock's configuration */
} rlk_event;

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/trace.h ====
 *
 * resplock/trace.h: counters of a client, and a hook that receives each step. RLK_NO_TRACE leaves
 * both out, except the causes of attempts.
 */
#ifndef RESPLOCK_TRACE_H
#define RESPLOCK_TRACE_H

#ifdef __cplusplus
extern "C" {
#endif

/* What caused an attempt on a lock. */
typedef enum rlk_cause {
    RLK_CAUSE_START,     /* the call */
    RLK_CAUSE_PUSH,      /* the server notified that the key has changed or is gone */
    RLK_CAUSE_FLUSH,     /* the server notified that any key may have changed */
    RLK_CAUSE_LOCAL,     /* another lock of the client released it, or left the wait queue */
    RLK_CAUSE_EXPIRY,    /* the holder's TTL had passed */
    RLK_CAUSE_RECHECK,   /* no notification for RLK_RECHECK_MAX_MS */
    RLK_CAUSE_RETRY,     /* the pause between attempts was over: no notifications, or an error */
    RLK_CAUSE_YIELD,     /* the pause for other processes was over: after max_handoffs, after a turn
                            of this client, or after a lease that was lost at once */
    RLK_CAUSE_RECONNECT, /* a connection is back */
    RLK_CAUSES
} rlk_cause;

/* Returns the name of a cause, "PUSH"; "?" if it is none. With RLK_NO_TEXT "". */
RLK_API const char *rlk_cause_name(rlk_cause cause);

#ifndef RLK_NO_TRACE
/* Counters since rlk_client_init, of connections since rlk_conn_init, modulo their range. */
typedef struct rlk_stats {
    uint32_t attempts; /* of all acquires, each on all nodes at once */
    uint32_t acquired;
    uint32_t causes[RLK_CAUSES]; /* attempts by cause */
    uint32_t probes;             /* of a quorum's nodes before an attempt: still held? */
    uint32_t renewed;            /* in the background; none that a call overtook */
    uint32_t renew_unknown;
    uint32_t renew_refused;
    uint32_t lost;     /* leases */
    uint32_t connects; /* connections that became ready */
    uint32_t fences;   /* of streams that ended with a command that might still execute */
    uint32_t silent;   /* connections that are polled, because promised pushes did not come */
    uint32_t bytes_sent;
    uint32_t bytes_received;
} rlk_stats;

/* Writes the counters; zeros of a client that is not open. */
RLK_API void rlk_client_stats(const rlk_client *client, rlk_stats *stats);

/* What happened, and what `what` and `number` of a trace are then. */
typedef enum rlk_trace_kind {
    RLK_TRACE_CONN,    /* a connection: its new state, "CONNECTING"; its rlk_result */
    RLK_TRACE_STEP,    /* it sends a command of its handshake, "HELLO" */
    RLK_TRACE_COMMAND, /* a lock sends a command, "EVALSHA (raise)"; the number of replies to come:
                          2 of "GET, PTTL", else 1 */
    RLK_TRACE_REPLY,   /* it has a reply; the integer, the length of a string, or the rlk_result of
                          an error */
    RLK_TRACE_PUSH,    /* the server notifies that a lock's key has changed */
    RLK_TRACE_STATE,   /* a lock is "FREE"; "HELD", for ms; or "LOST", an rlk_lost_cause */
    RLK_TRACE_PHASE,   /* an acquire goes on: "QUEUE", "WATCH", "ATTEMPT", "PAUSE", "SETTLE"; an
                          rlk_cause */
    RLK_TRACE_RESULT   /* an operation ends, "acquire"; its rlk_result */
} rlk_trace_kind;

/* One step, as rlk_env.trace receives it, valid during the call. It has no token and no password:
 * of a command only its name, and its key by the lock. */
struct rlk_trace {
    rlk_trace_kind kind;
    int64_t now_ms;
    const rlk_client *client;
    const rlk_lock *lock; /* NULL: of a connection */
    int node;             /* -1: of all */
    const char *what;     /* constant text; with RLK_NO_TEXT "" */
    int64_t number;
};

/* Returns the key of a lock, for a trace. */
RLK_API const uint8_t *rlk_lock_key(const rlk_lock *lock, size_t *len);

/* Longest line of rlk_trace_format, and its end. */
#define RLK_TRACE_CAP 160

/*
 * Writes a trace as one line of text, terminated, without an end of line and without printf:
 *     12.345 node 0 "reports:nightly": has a reply to SET: 1
 * The time is in seconds of the client's clock. Of a key it writes 48 bytes, "?" for each that is
 * not printable. Returns the length of the whole line; what does not fit into cap bytes is left
 * out. Call it within rlk_env.trace. With RLK_NO_TEXT the line is numbers: time in ms, kind, node,
 * number.
 */
RLK_API size_t rlk_trace_format(const rlk_trace *trace, char *out, size_t cap);
#endif

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/lock_layout.h ====
 *
 * resplock/lock_layout.h: the memory of clients and locks.
 * Structs are visible so that their size is known. Every field in this file is private.
 */
#ifndef RESPLOCK_LOCK_LAYOUT_H
#define RESPLOCK_LOCK_LAYOUT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Text of rlk_client_error and rlk_lock_error: with RLK_NO_TEXT a few numbers. */
#ifdef RLK_NO_TEXT
#define RLKI_TEXT_CAP 16
#else
#define RLKI_TEXT_CAP RLK_TEXT_CAP
#endif

/* Random bytes of a token, and of those that a client draws at once; 0: it draws none. */
#define RLKI_TOKEN_BYTES 16
#if defined(RLK_NO_POSIX) || RLK_RANDOM_BLOCK < 2 * RLKI_TOKEN_BYTES
#define RLKI_RANDOM_BLOCK 0
#else
#define RLKI_RANDOM_BLOCK RLK_RANDOM_BLOCK
#endif

/*
 * Times of a client and its locks in 32 bits are milliseconds of a clock of its own, which begins
 * anew every RLKI_CLOCK_UNIT, 4.7 hours. Then all times go back by as much: epoch.c. So the least
 * number means "past", the greatest "never", and a time that is not further away than
 * RLK_TTL_MAX fits in between.
 */
#define RLKI_CLOCK_UNIT (INT32_C(1) << 24)

/* Lists of a client's timers: see timers.c. Fields are private. */
#define RLK_TIMERS_LISTS 13

typedef struct rlk_timer {
    struct rlk_timer *next;
    struct rlk_timer **link; /* what points to it; NULL: not set */
    int32_t deadline_ms;
} rlk_timer;

typedef struct rlk_timers {
    int32_t now_ms; /* all before it has fired */
    uint16_t used;  /* a bit for each list that may have timers */
    rlk_timer *lists[RLK_TIMERS_LISTS];
} rlk_timers;

/* Keys of a client for which it remembers that others want the lock too: who acquires such a lock
 * again and again leaves it to them in between. */
#define RLK_TURNS 4

/* What a client remembers of a lock that others want too: see turn.c. Fields are private. */
typedef struct rlk_turn {
    uint32_t began_ms;     /* the turn; low half of the caller's clock */
    uint16_t key_hash;     /* upper half of the key's */
    uint16_t waited_ms;    /* for it; 0: nothing is remembered */
    uint16_t attempt_part; /* what an attempt takes, in parts of a millisecond */
    uint8_t alone;         /* consecutive turns in which nobody else was seen */
    uint8_t crowd;         /* turns for which several others count as waiting */
} rlk_turn;

struct rlki_operation;
struct rlki_campaign;
struct rlki_renewal;

#ifndef RLK_NO_TEXT
/* A number that was refused, and what fits. Fields are private. */
typedef struct rlk_refusal {
    const char *name; /* of the field; NULL: none was */
    int64_t number;
    uint32_t least;
    uint32_t most; /* UINT32_MAX: no bound */
} rlk_refusal;
#endif

/* Fields are private. Must not be moved once initialised. Small ones first: short offsets make
 * short instructions. */
struct rlk_client {
    uint8_t nodes;
    uint8_t quorum;
    uint8_t state;
    uint8_t warnings;
    uint8_t max_handoffs;
    uint8_t failed_node;
    uint8_t failed_command;
    bool checked;       /* rlk_client_check was RLK_OK, and no operation has failed since */
    bool interruptible; /* an interrupt may come between two blocking calls: see blocking.c */
    bool interrupted;   /* one did, and no acquire has taken it yet */
    int16_t failed;     /* error of the last operation of any lock, RLK_OK if it had none */
    int16_t error;      /* last failure of open and init */
    uint16_t error_node;
#if RLKI_RANDOM_BLOCK > 0
    uint16_t random_left; /* bytes of `random` that are in no token yet: the first ones */
#endif
    rlk_env env;
    const struct rlki_renewal *renewal;   /* NULL: no lock renews in the background */
    const struct rlki_campaign *campaign; /* NULL: no lock was in an election */
    rlk_lock *locks;                      /* attached */
    rlk_lock *events;                     /* locks with events: the first */
    rlk_lock *ready;                      /* locks to be stepped before this call ends: the last */
    rlk_conn *conns[RLK_MAX_NODES];
    uint32_t operation_timeout_ms;
    uint32_t settle_timeout_ms;
    uint32_t drift_ppm;
    uint32_t drift_ms;
    uint32_t jitter;
    uint32_t unfenced[RLK_MAX_NODES]; /* streams up to this one may still execute what they sent */
    int32_t now_ms;                   /* clock_ms by the client's own clock */
    int64_t clock_ms;                 /* by the caller's; clamped: never goes back */
    int32_t served_ms;                /* by a blocking call, last */
    int32_t hurried_ms;               /* connections, by an operation, last */
    rlk_lock **buckets;               /* by the hash of the key: see wait_queue.c */
    uint32_t buckets_mask;
    rlk_turn turns[RLK_TURNS]; /* by the hash of the key */
    rlk_lock *own_buckets[RLK_BUCKETS];
    rlk_timers timers;
#if RLKI_RANDOM_BLOCK > 0
    uint8_t random[RLKI_RANDOM_BLOCK];
#endif
#ifndef RLK_NO_TRACE
    rlk_stats stats;
#endif
#ifndef RLK_NO_TEXT
    rlk_refusal refusal;
#endif
    char text[RLKI_TEXT_CAP];
};

/* A lock on one node. Fields are private. */
typedef struct rlk_node_lock {
    rlk_request request; /* its tag is the command; once that is encoded, owner_ms is when it was */
    uint8_t index;
    uint8_t vote; /* of the node, in the operation under way */
    uint8_t flags;
    uint8_t orphans; /* SETs of this token that may still execute: sent, unanswered, not fenced */
    uint32_t token;  /* number of the token that is, or may be, here */
    uint32_t generation; /* stream of the SET, or of what confirmed `expiry_ms` since */
    uint32_t horizon_ms; /* ... counted from then on: drift is of this */
    int32_t expiry_ms;   /* last confirmed expiry of the key here; see lease.h */
} rlk_node_lock;

/* A set of nodes, a bit each. */
#if RLK_MAX_NODES <= 8
typedef uint8_t rlk_node_mask;
#elif RLK_MAX_NODES <= 16
typedef uint16_t rlk_node_mask;
#else
typedef uint32_t rlk_node_mask;
#endif

/* What an acquire knows. */
typedef struct rlk_waiter {
    int64_t began_ms; /* by the caller's clock */
    uint8_t spurious; /* spurious wake-ups; fewer as time passes */
    uint8_t failures; /* consecutive attempts that failed */
    uint8_t gate; /* the node, counted from 1, that an attempt asks before the others; 0: none */
    rlk_node_mask busy;      /* nodes where somebody holds it, as far as is known */
    rlk_node_mask compared;  /* nodes that were compared in this attempt */
    rlk_node_mask read;      /* nodes that said who holds it, since they were found busy last */
    rlk_node_mask overtaken; /* nodes where another lock of the client lets go behind our command */
    rlk_node_mask lasting;   /* nodes where the key outlives a recheck by time that runs late */
    uint8_t recheck_cause[RLK_MAX_NODES]; /* of a busy node: an rlk_cause */
    int16_t reported;                     /* reason that the last report gave, or the next gives */
    int32_t recheck_at_ms[RLK_MAX_NODES]; /* of a busy node */
    int32_t gate_ms;   /* when the gate alone is asked no longer, or RLKI_NEVER */
    int32_t report_ms; /* next report that it waits, or RLKI_NEVER */
    uint32_t
        attempt_ms; /* begin of the last attempt or probe; low half of the caller's clock: it
                       lengthens or shortens pauses of milliseconds, and decides nothing else */
} rlk_waiter;

/* What is known of a lock that is held, or was until it was lost. */
typedef struct rlk_hold {
    int64_t since_ms;    /* when it was acquired, by the caller's clock */
    rlk_node_mask dirty; /* nodes where somebody changed the key */
    rlk_node_mask read;  /* nodes where a raise or a compare found our token: they notify */
    uint32_t drift_ms;   /* of claim_ms: valid_ms is never beyond claim_ms less this */
    uint32_t horizon_ms; /* of target_ms, from when it was asked for on: drift is of this */
    int32_t target_ms;   /* expiry that the last extend or renew asks for */
    int32_t claim_ms;    /* expiry asked for last, before drift: none counts beyond it */
    int32_t valid_ms;    /* the lease's deadline: held before it, lost from it on */
    int32_t renew_ms;    /* when the next renewal is due, or RLKI_NEVER */
    int32_t watch_ms;    /* when the key begins to be watched; RLKI_NEVER: it is */
} rlk_hold;

/* Fields are private. Must not be moved once initialised. */
struct rlk_lock {
    rlk_timer timer; /* first: the timers find the lock by it */
    rlk_client *client;
    const struct rlki_operation *op; /* under way; NULL: none */
    uint8_t state;
    uint8_t phase;
    uint8_t flags;
    uint8_t options;
    uint8_t position; /* in the client's index: see wait_queue.c */
    uint8_t handoffs; /* local ones, consecutive */
    uint8_t events;   /* pending */
    uint8_t falls;    /* consecutive leases that were lost at once */
    uint8_t prefix_len;
    uint8_t done_operation; /* of the pending result */
    uint8_t lost_cause;     /* of the lease: an rlk_lost_cause, and while held of a minority */
    uint8_t error_node;
    uint8_t error_command;
    uint8_t cause;            /* of the last attempt: an rlk_cause */
    rlk_node_mask second_try; /* nodes: the operation under way, if it ends at the first error, has
                                 one more try there after its stream ends */
    int16_t error;            /* last error met */
    int16_t outcome;          /* what the operation comes to once settled */
    int16_t done_result;
    int16_t renewal; /* result of the last one by auto_renew */
    uint16_t later;  /* units of RLKI_CLOCK_UNIT by which the operation ends after deadline_ms */
    uint32_t token;  /* number of the token in use */
    uint32_t ttl_ms;
    uint32_t wait_ms;
    uint32_t node_timeout_ms;
    uint32_t retry_min_ms;
    uint32_t retry_max_ms;
    uint32_t recheck_max_ms;
    uint32_t watch_after_ms;
    uint32_t max_hold_ms; /* 0: none */
    uint32_t report_interval_ms;
    uint32_t key_hash;
    uint32_t key_len;
    size_t texts; /* hash of key and prefix, at init */
    const uint8_t *key;
    const char *prefix;
    rlk_lock *next; /* locks of the client */
    rlk_lock *prev;
    rlk_lock *ready_next; /* to be stepped; of the last: the first; NULL: not to be */
    rlk_lock *event_next;
    rlk_lock *event_prev; /* of the first: the last */
    rlk_lock *queue_next; /* in a bucket; in the ring of those behind the first waiter */
    union {
        rlk_lock *last; /* of the first waiter: the last of those behind it; NULL: nobody is */
        rlk_lock *prev; /* of one behind the first */
        struct rlk_holder *asked; /* of a query, which waits in no queue: the caller's array */
    } queue;
    struct rlk_holder *holders; /* of the configuration: what nodes said last */
    void *user;
    int32_t deadline_ms; /* of the operation: end of the trying; see later */
    int32_t phase_ms;    /* end of the phase: of the attempt, of the pause, of the settling */
    int32_t retry_ms;    /* when refused undos and raises are sent again, or RLKI_NEVER */
    int32_t cleanup_ms;  /* when undos that are refused are given up */
    uint8_t base[RLKI_TOKEN_BYTES]; /* random part of the token, new for each acquire */
    union {
        rlk_waiter wait; /* of an acquire, from its begin to its end */
        rlk_hold hold;   /* of a lock that is held or lost */
    } as;
    rlk_node_lock nodes[RLK_MAX_NODES];
};

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/lock.h ====
 *
 * resplock/lock.h: the client (connections, timers, events) and the lock.
 *
 * A lock is a key with a random token and an expiry: `SET key token NX PX ttl`. It is on one
 * server, or on a quorum of independent ones (Redlock). redis-py, redsync, node-redlock and
 * aioredis-lock follow the same convention. They exclude resplock, and resplock excludes them.
 *
 *     rlk_posix_client redis;
 *     rlk_lock lock;
 *
 *     if (rlk_posix_open(&redis, "redis://localhost", NULL) != RLK_OK ||  // posix.h
 *         rlk_lock_init(&lock, &redis.client, "reports:nightly", NULL) != RLK_OK)
 *         return fail(rlk_client_error(&redis.client));
 *     if (rlk_acquire(&lock, 5000) == RLK_OK) {                   // waits for up to 5 s
 *         while (more_work() && rlk_keep_alive(&lock) == RLK_OK)  // renews when it is due
 *             work_for_less_than_a_third_of_the_ttl();
 *         rlk_release(&lock);
 *     } else {
 *         report(rlk_lock_error(&lock));  // what is wrong, and the remedy
 *     }
 *     rlk_lock_close(&lock);
 *     rlk_posix_close(&redis);
 *
 * You hold the lock while rlk_is_held() is true, and no longer. That time counts on your own clock,
 * from before the first byte of the attempt leaves. It allows for the drift of clocks.
 *
 *   blocking            started                   what it does
 *   rlk_acquire         rlk_acquire_start         A  makes one attempt, or waits for the lock
 *   rlk_release         rlk_release_start         R  deletes the key if it has the lock's token
 *   rlk_extend          rlk_extend_start          E  adds time to the lease
 *   rlk_renew           rlk_renew_start           E  makes the lease end a TTL from now
 *   rlk_check           rlk_check_start           C  asks whether the key has the lock's token
 *   rlk_query           rlk_query_start           Q  asks who has the lock, and for how long
 *   rlk_force_release   rlk_force_release_start   F  deletes the key of any holder
 *   rlk_keep_alive      `auto_renew`              K  renews when a third of the TTL has passed
 *   rlk_cancel          the same                     ends the operation under way
 *   rlk_is_held, rlk_remaining_ms ...                answer from memory, without the network
 *
 * A blocking call waits (by env.wait) and returns the result. A started call returns RLK_PENDING,
 * and the result comes by rlk_client_next_event. Any other value that it returns is the result, and
 * no event follows. One lock has one operation at a time: a second one is RLK_E_STATE.
 *
 *   result          A R E C Q F K   meaning, and what holds afterwards
 *   RLK_OK          x x x x x x x   it worked; on several nodes: on a quorum
 *   RLK_BUSY        x . . . . . .   RLK_TRY: another holder was seen
 *   RLK_TIMED_OUT   x . . . . . .   another holder was seen, and the deadline came
 *   RLK_CANCELLED   x . x x x x .   by rlk_cancel; nothing is left of the operation
 *   RLK_NOT_OWNER   . x x x . . x   the key does not have the lock's token: not held
 *   RLK_NOT_HELD    . x x x x . x   nothing was held; of a query: nobody has the lock
 *   RLK_GONE        . x . . . . .   as RLK_NOT_OWNER, but an earlier attempt of this release got no
 *                                   reply, and may have deleted the key
 *   RLK_LOST        . x x x . . x   the lease had ended before the call, or before its answer
 *   RLK_UNKNOWN     x x x . . x .   a command was sent and not answered: each call says what holds
 *   an error, < 0   x x x x x x x   the last error of transport, protocol or server. No quorum
 *                                   answered and no error came: RLK_E_RESPONSE_TIMEOUT. Wrong use:
 *                                   RLK_E_STATE, RLK_E_CLOSED, RLK_E_FORKED, RLK_E_ARGUMENT,
 *                                   RLK_E_DANGLING, RLK_E_WAIT (blocking, and env.wait is NULL)
 *
 * Defaults: 0 in a field is its default. RLK_DEFAULT in an argument is the configuration's value.
 *
 * Threads: a client, with its connections and locks, belongs to one thread at a time.
 *
 * Other headers: event.h has the events. posix.h opens clients on sockets. election.h elects a
 * leader. trace.h counts and traces. scoped.h ends a lock with its block. transfer.h moves a lease
 * to another client.
 */
#ifndef RESPLOCK_LOCK_H
#define RESPLOCK_LOCK_H

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Arguments and limits ---------------------------------------------------------------- */

#define RLK_TRY     INT64_C(0)  /* of a wait: one attempt */
#define RLK_FOREVER INT64_MAX   /* of a wait: no deadline */
#define RLK_DEFAULT INT64_C(-1) /* of a wait or TTL: the configuration's */

/* Default time limits, in milliseconds. net.h has those of a connection. */
#define RLK_TTL_MS               30000 /* TTL of the key */
#define RLK_WAIT_MS              30000 /* deadline of an acquire with RLK_DEFAULT */
#define RLK_NODE_TIMEOUT_MAX_MS  2000  /* one attempt on a node: a third of the TTL, at most this */
#define RLK_OPERATION_TIMEOUT_MS 5000  /* all other operations, and an acquire with RLK_TRY */
#define RLK_SETTLE_TIMEOUT_MS    2000  /* after the deadline, until the outcome is settled */
/* Pause between attempts, where the server does not notify waiters (no RESP3, tracking refused, or
 * `no_tracking`), or after an error: a random time between these. */
#define RLK_RETRY_MIN_MS 50
#define RLK_RETRY_MAX_MS 250
/* A push can get lost. So a waiter without a notification rechecks the key after a random time,
 * from a fifth of this up to it. */
#define RLK_RECHECK_MAX_MS 5000
/* A lock that is held for this time is watched: the library compares the key once. From then on the
 * server notifies of a deletion at once, where it notifies of changes. The compare finds an earlier
 * deletion. A lock that is released earlier costs nothing for it. */
#define RLK_WATCH_AFTER_MS 100
#define RLK_REPORT_MS      10000 /* between reports of a wait without a deadline */
#define RLK_DRIFT_PPM      10000 /* drift: 1 % of the time in question, and ... */
#define RLK_DRIFT_MS       2     /* ... 2 ms: the bound of Redlock and node-redlock */

/* A token is its prefix, of up to RLK_PREFIX_MAX bytes, and 40 hex digits. */
#define RLK_TOKEN_DIGITS 40
#define RLK_TOKEN_MAX    (RLK_PREFIX_MAX + RLK_TOKEN_DIGITS)

/* Least transmit buffer for keys of key_len bytes and token prefixes of prefix_len bytes: two
 * commands with the key (query), or an EVALSHA with its arguments. */
#define RLK_TX_MIN_PREFIX(key_len, prefix_len) (160 + 2 * (key_len) + (prefix_len))
#define RLK_TX_MIN(key_len)                    RLK_TX_MIN_PREFIX(key_len, 0)

/* Locks of one client that wait for one key form a wait queue. Only its first asks the server. A
 * release hands the key to the next at once. After this number of consecutive local hand-offs the
 * queue pauses for a retry time. Then other processes have their turn. */
#define RLK_MAX_HANDOFFS 16

/* ---- Client ------------------------------------------------------------------------------ */

typedef struct rlk_client_config {
    rlk_env env;
    int64_t operation_timeout_ms;
    int64_t settle_timeout_ms;
    uint32_t drift_ppm; /* of the two clocks against each other, parts per million */
    int64_t drift_ms;
    uint32_t max_handoffs; /* at most 254 */
    /* The index of keys that locks wait for or hold: a power of two of buckets, in memory that
     * outlives the client. NULL: RLK_BUCKETS in the client, ample for some hundred keys. */
    rlk_lock **buckets;
    size_t buckets_len;
} rlk_client_config;

/* Bits of rlk_client_warnings. */
#define RLK_WARN_EVEN  0x01u /* an even number of nodes tolerates no more failures than one less */
#define RLK_WARN_ALIAS 0x02u /* two nodes turned out to be one server (same run_id) */

/* Sets what a connection needs from the lock layer: its calls and scripts. If you make connections
 * (bare ports), call it on each config, before rlk_conn_init. rlk_posix_open does it for you. */
RLK_API void rlk_client_conn_config(rlk_client *client, rlk_conn_config *config);

/*
 *     rlk_client_init(client, conns, nodes, config)
 *
 * Makes a client over connections that you initialised (see above). They outlive the client, and
 * are the nodes of a quorum of n/2 + 1. On POSIX use rlk_posix_open instead. The last argument of
 * this macro, as of rlk_lock_init, may be a compound literal, commas and all.
 * Returns RLK_OK, RLK_E_NODES, RLK_E_SAME_NODE, RLK_E_TIMES, RLK_E_CLOCK, RLK_E_LAYOUT, or
 * RLK_E_ARGUMENT: now_ms or random missing, max_handoffs or buckets_len out of bounds.
 */
#define rlk_client_init(client, conns, nodes, ...)                                                 \
    rlki_client_init((client), (conns), (nodes), (__VA_ARGS__), sizeof(rlk_client), RLK_LAYOUT)
RLK_API rlk_result rlki_client_init(rlk_client *client, rlk_conn *const *conns, size_t nodes,
                                    const rlk_client_config *config, size_t size, uint32_t layout);

/* Detaches every lock and closes the connections. Operations under way end as RLK_E_CLOSED, without
 * an event. It does not release locks that are held. Later calls on them return RLK_E_CLOSED. Of a
 * client on POSIX it leaves the descriptors open: rlk_posix_close is for that, also afterwards. */
RLK_API void rlk_client_close(rlk_client *client);

/* Returns when to call rlk_client_tick: the earliest deadline of locks and connections, or
 * RLK_NEVER. It leaves out the deadlines of drivers. */
RLK_API int64_t rlk_client_deadline(const rlk_client *client);

/* Does what is due now. Deadlines come first: call it before you feed input. */
RLK_API void rlk_client_tick(rlk_client *client);

/* Takes the next event; false if there is none. */
RLK_API bool rlk_client_next_event(rlk_client *client, rlk_event *event);

/*
 * Connects anew on all connections, also out of fatal states, and resolves names anew. Commands in
 * flight are lost and fenced; their operations go on. Locks that are held are checked on the new
 * connections: RLK_EV_LOST where the key is not theirs. Does not wait: the client connects while
 * you serve it, or in the next blocking call.
 */
RLK_API rlk_result rlk_client_reset(rlk_client *client);

/*
 * Connects to every node, and returns whether each can do what a lock needs: for the start of a
 * program. Sends a handshake, and nothing about a key. Blocks, for at most operation_timeout_ms. A
 * failed attempt ends it.
 *   RLK_OK         every node is ready. rlk_client_error() then has in words what one can't do, as
 *                  far as is known, or "": notify waiters (they retry after pauses), be fenced
 *                  (more results are RLK_UNKNOWN), serve every key (a node of a cluster)
 *   RLK_CANCELLED  interrupted
 *   an error       of the first node that is not ready: unreachable, password, a missing command
 *                  (RLK_E_UNSUPPORTED names it), RLK_E_READONLY of a replica where HELLO says so
 * On a quorum a lock may work although one node has an error. A check needs no key. So a command
 * that the ACL user may not run within the script shows at its first use (RLK_E_NOPERM).
 */
RLK_API rlk_result rlk_client_check(rlk_client *client);

/* Return the number of nodes; the connection of one (net.h); a set of RLK_WARN_*. */
RLK_API size_t rlk_client_nodes(const rlk_client *client);
RLK_API rlk_conn *rlk_client_conn(rlk_client *client, size_t node);
RLK_API unsigned rlk_client_warnings(const rlk_client *client);

/*
 * Returns what is wrong with the client, in words, or "": why open or rlk_lock_init refused; why a
 * connection is down; the error that ended the last operation of any lock, or keeps one waiting;
 * after rlk_client_check what a server can't do. The text is in the client's memory, until the next
 * call of it or of rlk_lock_error. With RLK_NO_TEXT it is number and node only: "-401 @0".
 */
RLK_API const char *rlk_client_error(rlk_client *client);

/* ---- Lock -------------------------------------------------------------------------------- */

/* What one node says of the key. */
typedef struct rlk_holder {
    rlk_result result;             /* RLK_OK: answered; RLK_PENDING: not (yet); else the error */
    int64_t ttl_ms;                /* remaining; -1 without expiry, -2 no such key */
    int64_t answered_ms;           /* when it said so, by the client's clock */
    uint32_t token_len;            /* more than RLK_TOKEN_MAX: the token is cut, or left out */
    bool ours;                     /* it is the token of this lock */
    char token[RLK_TOKEN_MAX + 1]; /* terminated; may contain NUL if somebody put one there */
} rlk_holder;

typedef struct rlk_lock_config {
    int64_t ttl_ms;
    int64_t wait_ms;         /* of an acquire with RLK_DEFAULT: a time */
    int64_t node_timeout_ms; /* one attempt on one node */
    int64_t retry_min_ms;
    int64_t retry_max_ms;
    int64_t recheck_max_ms;
    int64_t watch_after_ms; /* from the acquire until the key is watched, which costs one command a
                               node; up to RLK_TIME_LIMIT_MAX, else RLK_E_TIMES. 1: at once.
                               Default: RLK_WATCH_AFTER_MS */
    int64_t max_hold_ms; /* renewals (auto_renew, rlk_keep_alive) end this time after the acquire,
                            and the lease with them: RLK_LOST. From the TTL to RLK_TTL_MAX, else
                            RLK_E_TIMES; default: no limit */
    int64_t report_ms;   /* between reports (RLK_EV_WAITING, env.waiting) of each wait; default:
                            RLK_REPORT_MS of a wait without a deadline, none of another */

    const char *token_prefix; /* of the token, such as a host name, for people who read the key;
                                 outlives the lock. NULL: none */
    rlk_holder *holders; /* of rlk_leader (election.h): rlk_client_nodes() entries, for what the
                            nodes said last; outlives the lock. NULL: none */
    void *user;          /* comes back with every event */
    bool auto_renew;     /* renews in the background, when a third of the TTL has passed, at
                            each call of the library: rlk_posix_service, or a blocking call on
                            the client. Call one at least that often */
} rlk_lock_config;

/* Returns all defaults, for languages without designated initialisers. */
RLK_API rlk_lock_config rlk_lock_config_default(void);

/*
 *     rlk_lock_init(lock, client, key, config)
 *     rlk_lock_init_n(lock, client, key, key_len, config)
 *
 * Ties a lock to a client and a key, without the network. config NULL: all defaults. Close a lock
 * before you initialise it again. `key` (any bytes; rlk_lock_init: up to its NUL) and token_prefix
 * are not copied: they outlive the lock, unchanged. Each command checks that. One with another key
 * never leaves, its operation ends with RLK_E_DANGLING, and an undo leaves the key to its TTL.
 * Returns RLK_OK; RLK_E_TTL: out of range, or not above drift + node time; RLK_E_KEY: empty, or too
 * long for the transmit buffer of a connection (RLK_TX_MIN_PREFIX); RLK_E_PREFIX, RLK_E_TIMES,
 * RLK_E_ARGUMENT, RLK_E_LAYOUT, RLK_E_CLOSED, RLK_E_FORKED. After an error the lock is closed.
 */
#define rlk_lock_init(lock, client, key, ...)                                                      \
    rlki_lock_init((lock), (client), (key), (__VA_ARGS__), sizeof(rlk_lock), RLK_LAYOUT)
#define rlk_lock_init_n(lock, client, key, key_len, ...)                                           \
    rlki_lock_init_n((lock), (client), (key), (key_len), (__VA_ARGS__), sizeof(rlk_lock),          \
                     RLK_LAYOUT)
RLK_API rlk_result rlki_lock_create(rlk_lock *lock, rlk_client *client, const char *key,
                                    const rlk_lock_config *config, size_t size, uint32_t layout);
RLK_API rlk_result rlki_lock_create_n(rlk_lock *lock, rlk_client *client, const void *key,
                                      size_t key_len, const rlk_lock_config *config, size_t size,
                                      uint32_t layout);
RLK_API void rlki_lock_auto_renew(rlk_lock *lock);

/* Inline, so that a program whose configurations have no auto_renew does not link the renewals in
 * the background. The compiler knows a configuration that is constant, or made in the call. */
static inline rlk_result rlki_lock_init(rlk_lock *lock, rlk_client *client, const char *key,
                                        const rlk_lock_config *config, size_t size, uint32_t layout)
{
    bool auto_renew = config != NULL && config->auto_renew;
    rlk_result result = rlki_lock_create(lock, client, key, config, size, layout);

    if (auto_renew && result == RLK_OK)
        rlki_lock_auto_renew(lock);
    return result;
}

static inline rlk_result rlki_lock_init_n(rlk_lock *lock, rlk_client *client, const void *key,
                                          size_t key_len, const rlk_lock_config *config,
                                          size_t size, uint32_t layout)
{
    bool auto_renew = config != NULL && config->auto_renew;
    rlk_result result = rlki_lock_create_n(lock, client, key, key_len, config, size, layout);

    if (auto_renew && result == RLK_OK)
        rlki_lock_auto_renew(lock);
    return result;
}

/* Unties the lock, in any state; O(nodes). An operation under way ends without an event. Pending
 * events are dropped. Nothing is sent that is not encoded yet. It does not release. RLK_OK: the
 * token is not on a quorum, and never will be. RLK_UNKNOWN: an orphan is possible, which blocks
 * others until its TTL ends; also of a held lock. RLK_E_FORKED: in a child, and untied there. */
RLK_API rlk_result rlk_lock_close(rlk_lock *lock);

/* ---- Operations: the table at the top has their results ---------------------------------- */

/*
 * Acquires. wait_ms: RLK_TRY for one attempt; a time; RLK_FOREVER; RLK_DEFAULT. Locks of a client
 * that wait for one key have it in the order in which they came. A single attempt does not queue.
 * The deadline limits the attempts. The result comes within settle_timeout_ms after it. With
 * RLK_TRY the deadline is operation_timeout_ms.
 *   RLK_UNKNOWN  the token may be in the key, until the TTL at the latest. The undo goes on while
 *                you serve the client. You may acquire again
 *   errors       the last one, if no holder was seen until the deadline. Fatal errors come at once.
 *                With RLK_TRY each does, after one more attempt where the stream that ended is
 *                older than the call, and fenced. RLK_E_STATE: held already. RLK_E_TIMES: a
 *                negative wait. RLK_E_ENTROPY
 * Unless the result is RLK_OK, RLK_UNKNOWN or RLK_E_STATE, the token is not in the key and never
 * will be. An RLK_EV_LOST of the lease before, not pulled yet, is dropped.
 */
RLK_API rlk_result rlk_acquire(rlk_lock *lock, int64_t wait_ms);
RLK_API rlk_result rlk_acquire_start(rlk_lock *lock, int64_t wait_ms);

/*
 * Releases. The lock is not held from the call on, whatever the result. Only RLK_E_STATE and
 * RLK_E_WAIT begin nothing. A second after the last call rlk_release first reads what has come. A
 * loss that it reads has the result that the release itself would have: RLK_NOT_OWNER.
 *   RLK_LOST     the cleaning-up of what is left goes on; the call waited for it, for at most
 *                settle_timeout_ms
 *   RLK_UNKNOWN  no answer in time, or an earlier SET may still execute; cleaning up goes on
 *   errors       the server refused: the key may stay until its TTL
 */
RLK_API rlk_result rlk_release(rlk_lock *lock);
RLK_API rlk_result rlk_release_start(rlk_lock *lock);

/*
 * Extends by added_ms: the new expiry is the old one plus added_ms, at most now + RLK_TTL_MAX. The
 * server only raises an expiry, so that a repeat is harmless, and never creates the key anew. After
 * RLK_OK, rlk_remaining_ms() has grown. After RLK_NOT_OWNER, RLK_EV_LOST follows.
 *   RLK_UNKNOWN  held until the old deadline; the key may live longer
 *   errors       held until the old deadline, and nothing is unanswered. RLK_E_TTL: added_ms is
 *                below 1, or nothing is left below the limit
 */
RLK_API rlk_result rlk_extend(rlk_lock *lock, int64_t added_ms);
RLK_API rlk_result rlk_extend_start(rlk_lock *lock, int64_t added_ms);

/*
 * Renews: the new expiry is now + ttl_ms, or RLK_DEFAULT. Results are as of rlk_extend. RLK_E_TTL
 * also means that ttl_ms is not above drift + node time. If the lease would not get longer, only
 * the local deadline moves, to that time, and nothing is sent: the key expires later than that, or
 * a release deletes it.
 */
RLK_API rlk_result rlk_renew(rlk_lock *lock, int64_t ttl_ms);
RLK_API rlk_result rlk_renew_start(rlk_lock *lock, int64_t ttl_ms);

/*
 * Renews by the configured TTL, if a third of it has passed, up to max_hold_ms. Else it only reads
 * what the server has sent, and checks the key if that changed. Call it at least every third of the
 * TTL: there are no threads. Takes node_timeout_ms at most. Returns RLK_OK while the lock is held,
 * even if a renewal failed: the next call tries again.
 */
RLK_API rlk_result rlk_keep_alive(rlk_lock *lock);

/* Checks whether the key has the lock's token, by a write command without effect, which a replica
 * refuses. After RLK_NOT_OWNER the lock is not held. */
RLK_API rlk_result rlk_check(rlk_lock *lock);
RLK_API rlk_result rlk_check_start(rlk_lock *lock);

/* Reads from every node who has the lock, and for how long. `holders` has space for `cap` >=
 * rlk_client_nodes() entries, and stays in use until the result. RLK_OK: one token has a quorum.
 * RLK_NOT_HELD: a quorum answered, and no token has one. */
RLK_API rlk_result rlk_query(rlk_lock *lock, rlk_holder *holders, size_t cap);
RLK_API rlk_result rlk_query_start(rlk_lock *lock, rlk_holder *holders, size_t cap);

/* Deletes the key of any holder: for an operator who frees a lock that is stuck. Its holder
 * learns at its next renewal or check. RLK_OK: a quorum answered, also if nothing was there.
 * RLK_E_STATE: this lock is held, or busy. */
RLK_API rlk_result rlk_force_release(rlk_lock *lock);
RLK_API rlk_result rlk_force_release_start(rlk_lock *lock);

/*
 * Ends the operation under way; RLK_NOT_HELD: there is none. The result of that operation comes as
 * an event, or from the blocking call (rlk_cancel from within env.wait):
 *   acquire                 it is undone, then RLK_CANCELLED; RLK_UNKNOWN after settle_timeout_ms
 *   release                 RLK_UNKNOWN; cleaning up goes on
 *   extend, renew           RLK_UNKNOWN if sent, else RLK_CANCELLED; still held
 *   force_release           RLK_UNKNOWN if sent, else RLK_CANCELLED
 *   check, query            RLK_CANCELLED
 */
RLK_API rlk_result rlk_cancel(rlk_lock *lock);

/* ---- Questions, answered from memory ------------------------------------------------------ */

/* Returns true while the lock is held, by reading the clock now; false in a forked child. */
RLK_API bool rlk_is_held(const rlk_lock *lock);

/* Returns the time of the client's clock (env.now_ms) until which the lock is held. If it is not
 * held, or in a forked child: INT64_MIN, which no time precedes. Reads no clock. You may pass the
 * number to other threads; a release or a loss makes it void, a renewal calls for a new one. */
RLK_API int64_t rlk_valid_until_ms(const rlk_lock *lock);

/* Returns true if `now_ms`, a time of the client's clock, precedes rlk_valid_until_ms(). */
RLK_API bool rlk_is_held_at(const rlk_lock *lock, int64_t now_ms);

/* Returns the time for which it is still held; 0 if it is not. */
RLK_API int64_t rlk_remaining_ms(const rlk_lock *lock);

/* Returns the time since the answer that acquired it; 0 if it is not held. */
RLK_API int64_t rlk_held_ms(const rlk_lock *lock);

/* Returns the operation under way, or RLK_OP_NONE. */
RLK_API rlk_operation rlk_lock_operation(const rlk_lock *lock);

/* Returns why the last lease ended without a release, or why rlk_release did not find the token.
 * RLK_LOST_NOT while the lock is held, and after a release that worked. Until the next acquire. */
RLK_API rlk_lost_cause rlk_lock_lost_cause(const rlk_lock *lock);

/* Returns the name of a cause, "DELETED"; "?" if it is none. With RLK_NO_TEXT "". */
RLK_API const char *rlk_lost_cause_name(rlk_lost_cause cause);

/* Writes the token in use, terminated, if it is shorter than `cap`: RLK_TOKEN_MAX + 1 bytes are
 * always enough. Returns its length; 0 before the first acquire. */
RLK_API size_t rlk_lock_token(const rlk_lock *lock, char *out, size_t cap);

/*
 * Returns the last result of this lock in words: node, command, key, what the server said, the
 * remedy; or what has happened to its lease since: a renewal in the background, a loss. While an
 * acquire goes on: how long it has waited, and why. The text is in the client's memory, until the
 * next call of it or of rlk_client_error.
 */
RLK_API const char *rlk_lock_error(rlk_lock *lock);

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/election.h ====
 *
 * resplock/election.h: one leader among several processes, by a lock that each of them wants.
 *
 *     rlk_campaign_start(&lock);           follows, and leads when it acquires the lock
 *         RLK_EV_ACQUIRED                  leads, and renews at each call of the library
 *         RLK_EV_LOST                      leads no longer; follows again
 *         RLK_EV_RESULT, RLK_OP_ACQUIRE    the campaign is over: RLK_UNKNOWN, or a lasting error
 *     rlk_resign_start(&lock);             ends it
 *
 * Programs that only block call rlk_acquire and rlk_keep_alive in a loop instead.
 */
#ifndef RESPLOCK_ELECTION_H
#define RESPLOCK_ELECTION_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Campaigns: acquires without a deadline, and renews, with or without auto_renew. After a loss it
 * follows again, once you have pulled its RLK_EV_LOST. The campaign ends with rlk_resign,
 * rlk_release of a leader, rlk_cancel of a follower, or an RLK_EV_RESULT of the acquire: start
 * again when that is mended. Call the library (rlk_posix_service, or a blocking call on the client)
 * at least every third of the TTL: it sends renewals and reads their answers there. Results as of
 * rlk_acquire_start.
 */
RLK_API rlk_result rlk_campaign_start(rlk_lock *lock);

/* Resigns: ends the campaign of a leader or a follower. Results as of rlk_release; RLK_CANCELLED of
 * a follower; RLK_NOT_HELD of neither. */
RLK_API rlk_result rlk_resign(rlk_lock *lock);
RLK_API rlk_result rlk_resign_start(rlk_lock *lock);

/* Who leads. Zero it before the first rlk_leader: it remembers since when. Times are of the
 * client's clock. */
typedef struct rlk_leader_info {
    bool known; /* somebody leads, and the rest is valid */
    bool ours;  /* it is a lock of this client, which holds it */
    uint8_t name_len;
    int64_t since_ms; /* when it was acquired, if it is ours. Else when rlk_leader first saw it */
    int64_t until_ms; /* end of its lease, unless it is renewed; RLK_NEVER: it has no expiry */
    char token[RLK_TOKEN_MAX + 1]; /* the first name_len bytes are its token_prefix: its name */
} rlk_leader_info;

/*
 * Finds the leader, without the network: a lock of this client that holds the key, or what a quorum
 * of nodes said last. A follower asks them each time that it finds the key held, if its
 * configuration has memory for the answers: `holders`. So does an rlk_query into the same memory,
 * by a lock that does not campaign. Without that memory only leaders of this client are found.
 * RLK_NOT_HELD: nobody leads, as far as is known, or the key has more than a token can be. Else
 * RLK_OK, RLK_E_ARGUMENT, RLK_E_CLOSED, RLK_E_FORKED.
 */
RLK_API rlk_result rlk_leader(rlk_lock *lock, rlk_leader_info *leader);

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/scoped.h ====
 *
 * resplock/scoped.h: a lock that is released and closed at the end of its block.
 */
#ifndef RESPLOCK_SCOPED_H
#define RESPLOCK_SCOPED_H

#ifdef __cplusplus
extern "C" {
#endif

/* Cancels or releases what goes on, and closes. The forms below call it. */
RLK_API void rlki_lock_scope_end(rlk_lock *lock);

#if defined(__GNUC__) && !defined(__cplusplus)
/*
 *     RLK_SCOPED(name, client, key, config);
 *
 * Declares and initialises a lock. Every exit from its block releases and closes it. For GCC and
 * Clang.
 *     RLK_SCOPED(lock, &redis.client, "foobar", NULL);
 *     if (rlk_acquire(&lock, RLK_DEFAULT) != RLK_OK)
 *         return -1;
 */
#define RLK_SCOPED(name, client, key, ...)                                                         \
    __attribute__((cleanup(rlki_lock_scope_end))) rlk_lock name;                                   \
    (void)rlk_lock_init(&name, (client), (key), __VA_ARGS__)
#endif

#ifdef __cplusplus
}

#if __cplusplus >= 201103L
#ifdef RESPLOCK_STATIC
namespace
{
#endif
/*
 * The same for C++11, as an object; its address is the lock's.
 *     rlk_scoped lock(&redis.client, "foobar");
 *     if (rlk_acquire(&lock, RLK_DEFAULT) != RLK_OK)
 *         return;
 * Where rlk_lock_init refuses, every call on it is RLK_E_CLOSED, and rlk_client_error() says why.
 */
struct rlk_scoped : rlk_lock {
    rlk_scoped(rlk_client *owner, const char *name,
               const rlk_lock_config *config = nullptr) noexcept
    {
        (void)rlk_lock_init(this, owner, name, config);
    }
    ~rlk_scoped()
    {
        rlki_lock_scope_end(this);
    }
    rlk_scoped(const rlk_scoped &) = delete;
    rlk_scoped &operator=(const rlk_scoped &) = delete;
};
#ifdef RESPLOCK_STATIC
}
#endif
#endif
#endif

#endif

/* ==== include/resplock/transfer.h ====
 *
 * resplock/transfer.h: the lease of a lock that is held moves to a lock of another client. That
 * lock goes on to renew and to release it. One lock owns a lease at any time.
 */
#ifndef RESPLOCK_TRANSFER_H
#define RESPLOCK_TRANSFER_H

#ifdef __cplusplus
extern "C" {
#endif

/* A lease between two locks. It may be copied, but attached only once. Fields are private. */
typedef struct rlk_lease {
    const uint8_t *key; /* of the lock that held it, as its prefix; both outlive the lease */
    const char *prefix;
    size_t texts; /* hash of both */
    uint32_t key_len;
    uint32_t ttl_ms;
    uint32_t node_timeout_ms;
    uint32_t max_hold_ms;
    uint32_t token;
    uint32_t present; /* nodes that hold the token, a bit each */
    uint8_t nodes;
    uint8_t base[16];
    int64_t node_until_ms[RLK_MAX_NODES]; /* expiry less drift */
    int64_t since_ms;
    int64_t target_ms;
    int64_t claim_ms;
    int64_t until_ms; /* valid before it: never longer than the lock was that held it */
} rlk_lease;

/*
 * Takes the lease off a lock that is held: afterwards the lock is not held, and its next acquire
 * has another token. Sends nothing to the nodes that hold the key; on other nodes, where a SET of
 * the acquire may still be executed, it is undone in the background. A renewal in the background is
 * abandoned. Without an attach the key stays until its TTL.
 * RLK_OK; RLK_NOT_HELD, RLK_LOST; RLK_E_STATE: an operation is under way; or fewer than a quorum of
 * nodes have answered that they hold the key; or one of these may get it again, from a SET that was
 * lost with its stream. RLK_E_ARGUMENT, RLK_E_CLOSED, RLK_E_FORKED.
 */
RLK_API rlk_result rlk_lock_detach(rlk_lock *lock, rlk_lease *lease);

/*
 * Hands the lease to a lock, which holds it from then on: for as long as it was valid before, and
 * no longer until a renewal is answered. The lock has the same key and token_prefix. Its client has
 * the same servers in the same order, and the same clock. It asks them at once whether the key
 * is still there. Both clients may belong to different threads: then the caller orders the two
 * calls. RLK_OK; RLK_LOST: attached, and over already: it is undone, and RLK_EV_LOST follows;
 * RLK_E_STATE: the lock is held, busy, or owns tokens of its own whose undo goes on; RLK_E_KEY:
 * another key or prefix; RLK_E_NODES: another number of nodes; RLK_E_ARGUMENT, RLK_E_CLOSED,
 * RLK_E_FORKED.
 */
RLK_API rlk_result rlk_lock_attach(rlk_lock *lock, const rlk_lease *lease);

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/ticks.h ====
 *
 * resplock/ticks.h: a clock of 64 bits made of a counter that wraps. For rlk_env.now_ms where there
 * is no better clock: a microcontroller's timer, its RTC, the tick count of an RTOS.
 *
 *     static rlk_ticks ticks;
 *
 *     rlk_ticks_init(&ticks, 32768, 24, RTC->COUNTER);      // 24 bits at 32768 Hz
 *     int64_t now_ms(void *context)
 *     {
 *         return rlk_ticks_ms(&ticks, RTC->COUNTER);
 *     }
 *
 * The counter must go on in sleep, tickless sleep included, and must never be set: a lock is held
 * for as long as this clock says.
 */
#ifndef RESPLOCK_TICKS_H
#define RESPLOCK_TICKS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Fastest counter, in ticks a second: its arithmetic is of 32 bits. */
#define RLK_TICKS_HZ_MAX UINT32_C(4000000)

/* Fields are private. */
typedef struct rlk_ticks {
    int64_t ms;    /* counted so far */
    uint32_t last; /* the counter at that time */
    uint32_t rest; /* ticks * 1000 that are no whole millisecond yet: less than hz */
    uint32_t hz;
    uint32_t mask; /* of the counter's bits */
} rlk_ticks;

/*
 * Starts at 0 ms. hz: ticks a second, 1 to RLK_TICKS_HZ_MAX; the true figure, for an error of it is
 * one of every lease (rlk_client_config.drift_ppm). bits: of the counter, 1 to 32. now: the
 * counter.
 */
static inline void rlk_ticks_init(rlk_ticks *ticks, uint32_t hz, unsigned bits, uint32_t now)
{
    ticks->ms = 0;
    ticks->rest = 0;
    ticks->hz = hz;
    ticks->mask = UINT32_MAX >> (32u - bits);
    ticks->last = now & ticks->mask;
}

/*
 * Returns the milliseconds since rlk_ticks_init, from the counter as it is now. Call it at least
 * once in each round of the counter (RLK_TICKS_ROUND_MS), even when idle, and never sleep for
 * longer. A missed round is missing from the time: locks would seem to be held for longer than they
 * are. A counter that steps back seems to have gone round: time jumps ahead, and held locks are
 * lost rather than held too long.
 * Two callers, such as an interrupt and the main loop, must not call it at the same time.
 */
static inline int64_t rlk_ticks_ms(rlk_ticks *ticks, uint32_t now)
{
    uint32_t passed = (now - ticks->last) & ticks->mask;
    uint32_t part = passed % ticks->hz * 1000u + ticks->rest; /* < 2^32 for all hz allowed */

    ticks->last = now & ticks->mask;
    ticks->ms += passed / ticks->hz * INT64_C(1000) + part / ticks->hz;
    ticks->rest = part % ticks->hz;
    return ticks->ms;
}

/* One round of a counter in whole milliseconds, 49 days of 32 bits at 1 kHz; of constants. */
#define RLK_TICKS_ROUND_MS(hz, bits) (INT64_C(1000) * (INT64_C(1) << (bits)) / (hz))

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/tls.h ====
 *
 * resplock/tls.h: what a TLS library does for a driver: the interface of all backends, and their
 * configuration. Nothing here needs a TLS library or an operating system, or is linked to a program
 * without TLS.
 *
 * Programs include the header of a backend, such as resplock/tls/openssl.h, and give its `tls` to
 * rlk_posix_open:
 *     rlk_openssl tls;
 *     rlk_openssl_init(&tls, &(rlk_tls_config){.ca_file = "ca.crt"});
 *     rlk_posix_open(&redis, "rediss://example.com", &(rlk_posix_options){.tls = &tls.tls});
 *
 * What is below rlk_tls_config is for those who write a backend, or a driver.
 */
#ifndef RESPLOCK_TLS_H
#define RESPLOCK_TLS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a pin: SHA-256. */
#define RLK_TLS_PIN 32

/*
 * Configuration of a backend. All of it may be 0. A backend's init reads the files, and copies what
 * it keeps: nothing here need outlive init, except server_name.
 *
 * Without insecure_any_certificate a server's certificate must have a chain to a trusted CA, be
 * valid now, be for servers, as the CAs must, and have the host of the URL among its
 * subjectAltNames: a DNS name, where "*" may stand for the whole first label, or an IP address
 * (RFC 9525, RFC 6125). The common name counts only where a certificate has no DNS name among them.
 * A session is resumed only for the same host, and while the certificate is valid. TLS 1.2 is the
 * least (RFC 8996); 1.3 is used where both sides have it (RFC 8446).
 */
typedef struct rlk_tls_config {
    const char *ca_file;      /* trusted CAs, PEM */
    const char *ca_dir;       /* folder of them. Neither ca_file nor ca_dir: the system's store */
    const char *cert_file;    /* the client's certificate, then its chain, PEM; NULL: none */
    const char *key_file;     /* its private key, PEM; NULL: in cert_file */
    const char *key_password; /* of an encrypted key; NULL: it is not encrypted */
    /* Name, or IP address as a text, that the certificate must have instead of the URL's host; a
     * name is also sent as SNI (RFC 6066). Outlives the backend, unchanged. NULL: the URL's host.
     */
    const char *server_name;
    /* RLK_TLS_PIN bytes: SHA-256 of the SubjectPublicKeyInfo (DER) of the server's certificate. It
     * must match *besides* all else. NULL: none. */
    const uint8_t *pin;
    /* Takes any certificate, of anybody, so that anyone on the way can read and change all. Only
     * `pin` is still compared. For experiments. */
    bool insecure_any_certificate;
} rlk_tls_config;

/* ---- For backends and drivers ------------------------------------------------------------ */

/* How one step ended. */
typedef enum rlk_tls_status {
    RLK_TLS_DONE,
    RLK_TLS_WANT_READ,  /* repeat it when the stream is readable */
    RLK_TLS_WANT_WRITE, /* repeat it when the stream can be written */
    RLK_TLS_CLOSED,     /* the peer ended TLS as it should, by close_notify */
    RLK_TLS_CUT,        /* the stream ended without close_notify: perhaps not by the peer */
    RLK_TLS_FAILED,     /* it failed and may succeed the next time; `error` says why */
    RLK_TLS_REFUSED     /* it failed and will fail again: certificate, version, client's certificate
                           refused; `error` says why */
} rlk_tls_status;

/* Returned by rlk_tls_io; other values are numbers of bytes. */
#define RLK_TLS_IO_AGAIN  (-1) /* would block: WANT_READ or WANT_WRITE */
#define RLK_TLS_IO_FAILED (-2) /* the stream is broken; the driver keeps the reason: FAILED */

/* The stream below TLS: the driver's. Neither call waits, except a recv by the driver's own wish,
 * and neither raises SIGPIPE. Backends touch no descriptor. */
typedef struct rlk_tls_io {
    /* Returns how many of `len` > 0 bytes the system took, > 0; or RLK_TLS_IO_*. */
    ptrdiff_t (*send)(void *context, const void *bytes, size_t len);
    /* Returns how many of `cap` > 0 bytes came; 0 at the stream's end; or RLK_TLS_IO_*. */
    ptrdiff_t (*recv)(void *context, void *room, size_t cap);
    void *context;
} rlk_tls_io;

/* Whom the stream must lead to. Valid during `begin` only. */
typedef struct rlk_tls_peer {
    const char *name; /* terminated, not empty, no dot at either end. Of an address: its text */
    uint8_t ip[16];   /* of an address, in network order; else zeros */
    uint8_t ip_len;   /* 4, 16; 0: it is a name, which is sent as SNI */
} rlk_tls_peer;

typedef struct rlk_tls rlk_tls;

/*
 * What a backend does. A session is the memory of one node: its streams, one after the other, so
 * that each can resume the TLS session of the one before.
 *
 *     open, then for each stream: begin, handshake until DONE, read and write, end; then close
 *
 * After CLOSED, CUT, FAILED or REFUSED only `error`, `end` and `close` follow on that stream. After
 * WANT_* of a write, a read may come before the write is repeated, and the reverse. The calls for
 * one session come from one thread at a time; those for all sessions of an rlk_tls too, unless its
 * backend says otherwise. They leave nothing behind in per-thread state of the TLS library, such as
 * an error queue.
 */
typedef struct rlk_tls_calls {
    /* Returns a new session, in memory of the TLS library; NULL: there is none left. */
    void *(*open)(const rlk_tls *tls);

    /* Gives it back, in the middle of a stream too. Sends nothing: also called in a forked child.
     */
    void (*close)(void *session);

    /* Begins a stream, whatever the one before came to. Copies `io`, and what it needs of `peer`.
     * DONE, FAILED, REFUSED: it is no name of a host, for which nothing would be verified. */
    rlk_tls_status (*begin)(void *session, const rlk_tls_io *io, const rlk_tls_peer *peer);

    /* Does what it can of the handshake, verification included. Any status. */
    rlk_tls_status (*handshake)(void *session);

    /* Reads 1 to `cap` bytes, *len of them where DONE. Any status: a refusal of the client's
     * certificate can come here (RFC 8446, 4.4.2.4). */
    rlk_tls_status (*read)(void *session, void *room, size_t cap, size_t *len);

    /* Writes 1 to `len` bytes, *done of them where DONE. After WANT_* the driver repeats it with
     * the same bytes, at the same place or another, and the same length. */
    rlk_tls_status (*write)(void *session, const void *bytes, size_t len, size_t *done);

    /* Asked after a handshake or a read that returned DONE: returns true if the next read may have
     * bytes that the descriptor doesn't show any more. */
    bool (*pending)(const void *session);

    /* Ends the stream. notify: sends close_notify, if that goes without waiting and no step has
     * failed. Keeps what resumption needs. The stream's descriptor is still open. */
    void (*end)(void *session, bool notify);

    /* Returns why the last step FAILED or was REFUSED, in the caller's words: terminated, without
     * a dot. What matters comes first: a connection keeps RLK_CONN_TEXT - 1 bytes of it. */
    const char *(*error)(const void *session);
} rlk_tls_calls;

/* The driver's side of TLS, between a connection and its descriptor. It is reached by the backend
 * only, so that a program without one does not link it. */
typedef struct rlk_tls_driver rlk_tls_driver;

/* First member of each backend's struct. A backend's init sets all of it. */
struct rlk_tls {
    const rlk_tls_calls *calls;
    const rlk_tls_driver *driver; /* rlk_socket_tls_driver(); with RLK_NO_POSIX none */
    const char *server_name;      /* of rlk_tls_config */
};

/* For backends. Returns what an alert of the server means if it is about what stays as it is
 * (RFC 8446, 6.2; RFC 5246, 7.2.2): REFUSED. NULL: it may pass, FAILED. `verified`: the server has
 * shown its certificate; `shown`: the client has one. */
static inline const char *rlki_tls_alert(int alert, bool verified, bool shown)
{
    switch (alert) {
    case 40: /* handshake_failure */
        return verified && !shown ? "server wants a client certificate (cert_file)"
                                  : "server refused the handshake: nothing in common";
    case 42: /* bad_certificate */
    case 43: /* unsupported_certificate */
    case 44: /* certificate_revoked */
    case 45: /* certificate_expired */
    case 46: /* certificate_unknown */
    case 48: /* unknown_ca */
    case 49: /* access_denied */
        if (shown)
            return "server refused the client certificate (cert_file)";
        return "server wants a client certificate (cert_file)";
    case 116: /* certificate_required */
        return "server wants a client certificate (cert_file)";
    case 70: /* protocol_version */
        return "server has no TLS version in common: 1.2 at least";
    case 71: /* insufficient_security */
        return "server wants stronger ciphers";
    case 112: /* unrecognized_name */
        return "server does not know the name that it was asked for";
    default:
        return NULL;
    }
}

#ifdef __cplusplus
}
#endif

#endif

#ifndef RLK_NO_POSIX

/* ==== include/resplock/resolver.h ====
 *
 * resplock/resolver.h: what resolves the host names of a client on POSIX sockets.
 *
 * rlk_posix_options.resolver names one. These are there, each a header and at most one source
 * beside the library: resplock/adapters/resolver_thread.h (a thread with getaddrinfo), cares.h
 * (c-ares), uv_resolver.h (libuv). This header is for those who write another.
 *
 * A resolver is asked at each attempt to connect, within the connect time. It remembers nothing on
 * behalf of the library, so that a name which moves is followed. Several clients may share one, in
 * several threads if the resolver permits that.
 *
 *     start                    the driver asks; at once, or later, follow any number of
 *       rlk_lookup_add          ... addresses, in the order in which to try them, and
 *       rlk_lookup_done         ... the end of the answer, once
 *     service                  called when the lookup's descriptor is readable or its deadline past
 *     close                    called once for each start: answered, out of time, or abandoned
 *
 * The driver calls start, service and close on the client's thread. Calls of rlk_lookup_add and
 * rlk_lookup_done come on that thread too, between start and close, and never after close: so a
 * late answer goes nowhere. They may come from within start and service, or from a callback of the
 * loop that serves the client.
 */
#ifndef RESPLOCK_RESOLVER_H
#define RESPLOCK_RESOLVER_H

#ifdef __cplusplus
extern "C" {
#endif

struct sockaddr;

typedef struct rlk_resolver rlk_resolver;

/* One name that is asked for. A part of the driver, which does not move. */
typedef struct rlk_lookup {
    /* The resolver's. The driver sets them before start: NULL, -1, RLK_NEVER. */
    void *own;
    int fd; /* readable when service must be called; -1: none. Stays the same, and open, until
               close, which closes it */
    int64_t deadline_ms; /* when service must be called at the latest; on the clock of now_ms */
    /* These are private. */
    rlk_resolver *resolver; /* that is asked; NULL: none */
    const char *why;
    int sys_errno;
    uint16_t found; /* addresses of the answer, also those beyond RLK_MAX_ADDRESSES */
    bool done;
    bool waits; /* an answer now comes from outside of the driver */
} rlk_lookup;

typedef struct rlk_resolver_calls {
    /* Asks for `host`, a text that is valid during the call. `port` is the URL's. Does not block.
     */
    void (*start)(rlk_resolver *resolver, rlk_lookup *lookup, const char *host, uint16_t port,
                  int64_t now_ms);
    /* Does what its descriptor or deadline asks for. Harmless where neither did. Does not block.
     * NULL: neither is set. */
    void (*service)(rlk_lookup *lookup, int64_t now_ms);
    /* Ends the lookup: closes its descriptor, frees what it needed. Does not block, and nothing of
     * the lookup is touched afterwards. In a forked child it does the same, and leaves the parent's
     * lookup alone. NULL: there is nothing to end. */
    void (*close)(rlk_lookup *lookup);
    /* Answers come only while the program's loop runs. A blocking call asks the system instead. */
    bool loop_only;
} rlk_resolver_calls;

/* First member of a resolver. It outlives the clients that use it. */
struct rlk_resolver {
    const rlk_resolver_calls *calls;
};

/*
 * Adds an address to the answer. Port 0 means the URL's. Families other than AF_INET and AF_INET6
 * are left out. Add all that there are: an attempt to connect tries RLK_MAX_ADDRESSES, and if it
 * comes to the last of them, the next attempt begins with those that follow.
 */
RLK_API void rlk_lookup_add(rlk_lookup *lookup, const struct sockaddr *address);

/*
 * Ends the answer. why NULL: the addresses are all that there are; none makes RLK_E_RESOLVE.
 * Otherwise resolving failed (RLK_E_RESOLVE), and `why`, a constant text, says why in words;
 * sys_errno is an errno that goes with it, or 0.
 */
RLK_API void rlk_lookup_done(rlk_lookup *lookup, int sys_errno, const char *why);

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/socket.h ====
 *
 * resplock/socket.h: the POSIX driver. One connection, one file descriptor, no thread; and the
 * system's clock, entropy and fork notice. Link with nothing but the C library.
 */
#ifndef RESPLOCK_SOCKET_H
#define RESPLOCK_SOCKET_H

/* Nothing below needs what is missing then, so no other error follows. */
#ifdef RLK_NO_POSIX
#error "RLK_NO_POSIX is defined: include neither resplock/socket.h nor resplock/posix.h, and \
compile neither src/net/posix nor src/lock/posix.c"
#elif !defined(RLKI_POSIX)
#error "resplock finds no POSIX headers: define RLK_NO_POSIX for the engine alone"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Most reads, and most writes, of one call of rlk_socket_service. So one busy connection can't
 * starve the others of its loop. */
#ifndef RLK_SOCKET_ROUNDS
#define RLK_SOCKET_ROUNDS 16
#endif

/* An IP address and a port. */
typedef struct rlk_address {
    uint8_t ip[16]; /* 4 or 16 bytes used, network order */
    uint32_t scope; /* of a link-local IPv6 address, else 0 */
    uint16_t port;  /* host order */
    uint8_t is_ipv6;
} rlk_address;

/*
 * The event loop that polls descriptors of this library: first member of a struct of the caller.
 * None of its functions may call the library. They only note what they are notified of, and change
 * what the loop polls.
 */
typedef struct rlk_loop rlk_loop;
typedef struct rlk_loop_calls {
    /* A call of the application may have changed what must be sent, the events or the deadline:
     * the loop serves the client in its next turn. At most once until the next
     * rlk_posix_prepare. Also each time when a resolver answers outside of a call of the client:
     * in a callback of the loop. */
    void (*changed)(rlk_loop *loop);
    /* The descriptor of this slot (a stream, or a name being resolved) is closed after this call.
     * The loop stops polling it now, whether it does poll it or not. The next descriptor of the
     * slot may have the same number. */
    void (*closing)(rlk_loop *loop, unsigned slot, int fd);
    /* The client is closed, or leaves the loop (rlk_posix_set_loop with NULL). The loop stops
     * polling what it still polls, and forgets the client now. Nothing follows. The client's memory
     * may go after the call that this comes from. */
    void (*removed)(rlk_loop *loop);
} rlk_loop_calls;
struct rlk_loop {
    const rlk_loop_calls *calls; /* constant */
};

/* TLS of one driver. Fields are private. */
typedef struct rlk_socket_tls {
    const rlk_tls *backend; /* NULL: none */
    void *session;          /* the backend's; NULL: none yet */
    size_t unfinished;      /* bytes of a write that TLS wants repeated as it was; 0: none */
    int error;              /* errno of the stream below; 0: it works */
    uint8_t flags;
} rlk_socket_tls;

/* Fields are private. Must not be moved while its connection uses it. */
typedef struct rlk_socket {
    rlk_lookup lookup; /* first: of what a resolver is given, the socket is found by it */
    rlk_conn *conn;
    rlk_loop *loop; /* NULL: nobody is notified */
    rlk_resolver *resolver;
    int64_t address_deadline_ms; /* for the address under way */
    int fd;                      /* -1: none */
    int last_errno;
    int wait_ms; /* longest wait of a recv that waits (SO_RCVTIMEO); 0: it does not wait */
    uint8_t state;
    uint8_t addresses_len;
    uint8_t address_next;
    uint8_t page; /* of the answer, which has RLK_MAX_ADDRESSES a page: the one that is tried */
    uint8_t slot; /* number of this descriptor for the loop */
    bool blocked; /* the kernel's send buffer was full */
    int16_t why;  /* the attempt ends with, if no address is left */
    rlk_socket_tls tls;
    rlk_address addresses[RLK_MAX_ADDRESSES];
} rlk_socket;

/*
 * Ties a driver to an initialised connection. Literals and `localhost` (127.0.0.1, then ::1) need
 * no resolver. Of other names `resolver` is asked, which outlives the driver; NULL: in blocking
 * calls the system's getaddrinfo, in loops they fail.
 */
RLK_API void rlk_socket_init(rlk_socket *sock, rlk_conn *conn, rlk_resolver *resolver);

/* Has `loop` notified before the descriptor is closed (`closing`, with this slot; `changed` and
 * `removed` are of clients: rlk_posix_set_loop). NULL: nobody. */
RLK_API void rlk_socket_set_loop(rlk_socket *sock, rlk_loop *loop, unsigned slot);

/* Has all streams over TCP speak TLS, by a backend that outlives the driver: after _init, before
 * the first attempt. A Unix socket stays as it is. The handshake counts as connect time. */
RLK_API void rlk_socket_use_tls(rlk_socket *sock, const rlk_tls *tls);

/* Returns the driver's side of TLS, for a backend's init: rlk_tls.driver. */
RLK_API const rlk_tls_driver *rlk_socket_tls_driver(void);

/* Returns the descriptor to poll, -1 if there is none. It may change with each call of _service:
 * each attempt and each address has its own, and so has a name that is being resolved. */
RLK_API int rlk_socket_fd(const rlk_socket *sock);

/* Returns what to poll it for: POLLIN, POLLOUT or both. */
RLK_API short rlk_socket_events(const rlk_socket *sock);

/* Returns when to call rlk_socket_service even if nothing happened (the driver's own timer, not the
 * connection's), or RLK_NEVER. 0, so at once, where the connection wants to connect or to close, or
 * TLS has bytes that poll doesn't see: so ask after rlk_conn_tick, and call _service after a
 * submit.
 */
RLK_API int64_t rlk_socket_deadline(const rlk_socket *sock);

/*
 * Does all that the connection wants and the descriptor allows, without waiting: connects, writes,
 * closes; reads if `revents` (of poll; 0: only write and connect) says so. may_block: where there
 * is no resolver, or one that needs the program's loop, names are resolved by getaddrinfo here.
 * That can take as long as the system's resolver takes, and counts as connect time. Else a name
 * without resolver fails with RLK_E_RESOLVER. Errors end at the connection (rlk_conn_result). Each
 * address has its part of the connect time: what is left of it, by the addresses left.
 */
RLK_API void rlk_socket_service(rlk_socket *sock, short revents, bool may_block, int64_t now_ms);

/* Closes the descriptor, the lookup of a name and the TLS session, and does not notify the
 * connection. Sends nothing, so it is harmless in a child after fork: the parent's stream goes on.
 */
RLK_API void rlk_socket_close(rlk_socket *sock);

/* ---- The system ---- */

/* Returns milliseconds of a clock that never goes back: CLOCK_BOOTTIME of Linux, which goes on in
 * suspend, else CLOCK_MONOTONIC. RLK_NO_CLOCK_MS if neither can be read. `context` is ignored. */
RLK_API int64_t rlk_system_now_ms(void *context);

/* Fills `buf` with `len` bytes of the system's CSPRNG (getrandom, else /dev/urandom). 0, or -1: no
 * entropy, nothing usable written. */
RLK_API int rlk_system_random(void *context, void *buf, size_t len);

#ifndef RLK_NO_TEXT
/* Returns words for an errno that a connection ended with; NULL for a rare one. `context` is
 * ignored. */
RLK_API const char *rlk_system_errno_text(void *context, int number);
#endif

/*
 * Notices fork. The mark is one page that the kernel empties in a child (MADV_WIPEONFORK). So a
 * check costs no system call. Where the system has none, a check compares the process id.
 */
typedef struct rlk_system_fork {
    volatile uint32_t *mark; /* NULL: compare process ids */
    int64_t pid;
} rlk_system_fork;

RLK_API void rlk_system_fork_init(rlk_system_fork *fork_mark);

/* Returns false in a process that was forked since _init. */
RLK_API bool rlk_system_fork_same(const rlk_system_fork *fork_mark);

/* Gives the page back. */
RLK_API void rlk_system_fork_close(rlk_system_fork *fork_mark);

/* A pipe by which a signal handler or another thread wakes a wait. Fields are private. */
typedef struct rlk_system_wakeup {
    int fds[2]; /* to read, to write; -1: none */
} rlk_system_wakeup;

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/posix.h ====
 *
 * resplock/posix.h: clients on POSIX sockets: open by URL, blocking calls, service by a loop.
 *
 * An rlk_posix_client is an rlk_client and what that needs of the system: sockets, a fork notice,
 * the memory of one connection. Calls named rlk_posix_... take the whole. All others take its
 * `client`:
 *     rlk_posix_open(&redis, "redis://localhost", NULL);
 *     rlk_lock_init(&lock, &redis.client, "foobar", NULL);
 */
#ifndef RESPLOCK_POSIX_H
#define RESPLOCK_POSIX_H

#ifdef RLKI_POSIX
#include <poll.h>
#else
struct pollfd; /* socket.h has the error: so that no other follows */
typedef unsigned nfds_t;
#endif
#ifdef RLK_NO_URL
#error "RLK_NO_URL needs RLK_NO_POSIX: rlk_posix_open takes a URL"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Most descriptors of one client. */
#define RLK_MAX_FDS RLK_MAX_NODES

/*
 * Overrides and settings. 0 or NULL in a field means what the URL has, or the default, which net.h
 * and lock.h have under the field's name: RLK_CONNECT_TIMEOUT_MS, 5 s. Texts are not copied and
 * outlive the client, unchanged: see RLK_E_DANGLING at rlk_posix_open.
 */
typedef struct rlk_posix_options {
    const char *user; /* as they are, not percent-encoded; either replaces both of the URL */
    const char *password;
    int db;                           /* > 0: overrides the URL's */
    const char *client_name;          /* no spaces, at most 64 bytes; NULL: "resplock" */
    rlk_credentials_hook credentials; /* overrides user and password */
    void *credentials_context;
    rlk_resolver *resolver; /* of host names; outlives the client. NULL: a blocking call waits for
                               the system's, and a name in a loop is RLK_E_RESOLVER */
    /* TLS for rediss:// and valkeys://, of a backend (resplock/tls/openssl.h ...) that is not
     * closed before the client. With it, a URL of redis:// or valkey:// is refused; unix:// stays
     * plain. */
    const rlk_tls *tls;
    int64_t connect_timeout_ms;   /* of one attempt: name, all addresses, TLS */
    int64_t response_timeout_ms;  /* without any progress of a reply that is due */
    int64_t backoff_min_ms;       /* before the first reconnect: a random time up to this, which */
    int64_t backoff_max_ms;       /* doubles up to this */
    int64_t operation_timeout_ms; /* of all operations but an acquire; and of RLK_TRY */
    int64_t settle_timeout_ms;    /* after the deadline, until the outcome is settled */
    uint32_t drift_ppm;           /* a lease ends earlier by this part of it, per million, */
    int64_t drift_ms;             /* and by this: for the drift of clocks */
    bool resp2_only;
    bool no_tracking; /* no CLIENT TRACKING: waiters retry after pauses */
    bool interrupts;  /* for rlk_posix_interrupt; costs a pipe, and a poll in each blocking call */
    /* A signal handler that interrupts the wait of a blocking call (EINTR) ends the call, as
     * rlk_posix_interrupt does, once it has undone what it sent. A signal that comes between two
     * waits is missed: where none may be, call rlk_posix_interrupt in the handler. False: the call
     * goes on. */
    bool return_on_signal;
    uint32_t max_handoffs; /* as in rlk_client_config */
    rlk_lock **buckets;    /* as in rlk_client_config */
    size_t buckets_len;
    rlk_env env; /* fields that are not NULL replace the system's clock, randomness, waiting, fork
                    notice, words of an errno; context is theirs. `changed` is not used: see
                    rlk_posix_set_loop */
} rlk_posix_options;

/* One server of a client: connection and driver. Fields are private. */
typedef struct rlk_posix_node {
    rlk_conn conn; /* first: of what the client knows, the node is found by it */
    rlk_socket socket;
    const char *user; /* of rlk_posix_options */
    const char *password;
    uint32_t texts; /* hash of both */
} rlk_posix_node;

/* Memory of one node of rlk_posix_open_nodes; the caller's, outlives the client. */
typedef struct rlk_posix_memory {
    rlk_posix_node node;
    rlk_conn_entry *ring; /* at least RLK_CONN_RING_MIN */
    uint16_t ring_len;
    uint8_t *tx; /* at least RLK_CONN_TX_MIN, RLK_CONN_TX_AUTH and RLK_TX_MIN */
    size_t tx_cap;
    uint8_t *rx; /* at least RLK_CONN_RX_MIN */
    size_t rx_cap;
} rlk_posix_memory;

/* Must not be moved while it is open. */
typedef struct rlk_posix_client {
    rlk_client client; /* what locks and all calls of lock.h take; first */
    /* These are private. */
    rlk_system_fork fork_mark;
    rlk_system_wakeup wakeup; /* of rlk_posix_interrupt */
    rlk_loop *loop;           /* of rlk_posix_set_loop; NULL: none */
    bool return_on_signal;
    rlk_posix_node node; /* of rlk_posix_open */
    rlk_conn_entry ring[RLK_NODE_RING];
    uint8_t tx[RLK_NODE_TX];
    uint8_t rx[RLK_NODE_RX];
} rlk_posix_client;

/*
 *     rlk_posix_open(posix, url, options)
 *
 * Opens a client for one server. Parses, touches no network: the first call, or rlk_posix_service,
 * connects. `url`, whose forms rlk_url_parse has, is not copied and outlives the client, unchanged:
 * if it is another text when the client connects, operations end with RLK_E_DANGLING. `options` may
 * be NULL. It need not outlive the call, but its texts outlive the client.
 * RLK_OK, RLK_E_URL_* (RLK_E_URL_TLS, RLK_E_URL_PLAIN: URL and options->tls don't agree),
 * RLK_E_ARGUMENT (also: the init of options->tls has failed), RLK_E_BUFFER (credentials too long
 * for RLK_NODE_TX: use rlk_posix_open_nodes with one node), RLK_E_TIMES, RLK_E_CLOCK, RLK_E_PIPE,
 * RLK_E_LAYOUT. After an error the client is closed, rlk_client_error() says why, and
 * rlk_posix_close is not needed. After RLK_E_LAYOUT that text is empty: library and program do not
 * agree where it is.
 */
#define rlk_posix_open(posix, url, ...)                                                            \
    rlki_posix_open((posix), (url), (__VA_ARGS__), sizeof(rlk_posix_client), RLK_LAYOUT)
RLK_API rlk_result rlki_posix_open(rlk_posix_client *posix, const char *url,
                                   const rlk_posix_options *options, size_t size, uint32_t layout);

/*
 *     rlk_posix_open_nodes(posix, urls, memory, nodes, options)
 *
 * Opens a client for a quorum of `nodes` independent servers: not replicas of each other. Each has
 * its own memory. The texts of `urls` and `memory` outlive the client. Also RLK_E_NODES,
 * RLK_E_SAME_NODE. An even number works but is warned of (rlk_client_warnings). For one server with
 * buffers of another size: nodes 1.
 */
#define rlk_posix_open_nodes(posix, urls, memory, nodes, ...)                                      \
    rlki_posix_open_nodes((posix), (urls), (memory), (nodes), (__VA_ARGS__),                       \
                          sizeof(rlk_posix_client), RLK_LAYOUT)
RLK_API rlk_result rlki_posix_open_nodes(rlk_posix_client *posix, const char *const *urls,
                                         rlk_posix_memory *memory, size_t nodes,
                                         const rlk_posix_options *options, size_t size,
                                         uint32_t layout);

/*
 * Closes the connections and detaches all locks (rlk_client_close). In a forked child: closes the
 * inherited descriptors; the parent's connections go on. Harmless if it is closed already.
 */
RLK_API void rlk_posix_close(rlk_posix_client *posix);

/*
 * Ends a blocking call from a signal handler or another thread. The one call of this library that
 * is async-signal-safe and that any thread may make while another uses the client; it keeps errno.
 * The client was opened with `interrupts`, and stays open during the call.
 *
 * The blocking call that waits ends as by rlk_cancel. An acquire, also one with RLK_FOREVER, is
 * undone, and returns RLK_CANCELLED. It returns RLK_UNKNOWN where that is not answered within
 * settle_timeout_ms. Release and force_release return RLK_UNKNOWN if sent. Extend and renew return
 * RLK_UNKNOWN or RLK_CANCELLED, and the lock stays held. rlk_keep_alive returns RLK_OK while it is.
 * If none waits, the interrupt is kept: the next rlk_acquire of the client returns RLK_CANCELLED
 * and sends nothing. Other calls in between work, so that a lock can still be released. None is
 * lost; several that come before a call has ended count as one. Started forms are not ended, nor
 * is the system's resolver (set another: rlk_posix_options.resolver).
 *
 * RLK_OK; RLK_E_STATE: without `interrupts`; RLK_E_FORKED: in a child, which interrupts nobody;
 * RLK_E_CLOSED, RLK_E_ARGUMENT.
 */
RLK_API rlk_result rlk_posix_interrupt(const rlk_posix_client *posix);

/* ---- Event loops ----
 *
 * resplock/adapters/ has adapters for loops: epoll.h, uv.h, libevent.h, glib.h, sdevent.h. With
 * those, nothing below is called by the application. A loop around poll needs rlk_posix_prepare and
 * rlk_posix_service alone: examples/loop.c.
 *
 * Rules for an adapter of your own (resplock/adapter.h has what is the same in all):
 *
 * 1. Take a turn so: rlk_posix_service, then events (rlk_client_next_event), then
 *    rlk_posix_prepare. Then compare each slot (rlk_posix_fd) with what the loop polls. A poller
 *    belongs to a slot AND a descriptor. Each attempt to connect has a descriptor of its own, often
 *    of the same number, so a number that is the same says nothing.
 *
 * 2. In `closing` remove the poller at once. A loop that polls a closed descriptor polls the next
 *    file of that number, or, where a forked child has a copy, reports it forever.
 *
 * 3. Pass on an error or a hang-up of a descriptor, as POLLERR or POLLHUP: a connect that fails is
 *    one. If the loop reports it apart, and stops polling, pass on POLLERR, and poll anew.
 *
 * 4. Set one timer to timeout_ms of the last rlk_posix_prepare. Count from that call, and not from
 *    a time that the loop has cached. Set it also where there is no descriptor: pauses between
 *    attempts to connect, time-outs and leases end by it.
 *
 * 5. In `changed` have the loop take a turn soon, and do nothing else. So nobody has to compare
 *    descriptors after a call of the library, and events come from the loop's own turn.
 *
 * 6. The handler of an event may call all of this library, and may free client, lock and adapter.
 *    Touch nothing of them after it, unless you know that they are there.
 *
 * 7. In a forked child call rlk_posix_close and nothing else. That notifies by `removed` alone: an
 *    epoll instance is shared with the parent, whose polls go on.
 *
 * 8. A name that is being resolved is polled in the slot of its node, like a stream: no slot is
 *    added. Without a resolver names fail in a loop, so that DNS never blocks it.
 */

/*
 * Has a loop notified: see rlk_loop_calls. NULL removes the client from its loop, which is notified
 * by `removed`: an adapter then serves nobody, and is still to be stopped. `loop` stays where it is
 * until then, or until the client is closed. One client has one loop at most, and a loop may have
 * many clients.
 * RLK_OK; RLK_E_STATE: it has one; RLK_E_FORKED, RLK_E_CLOSED, RLK_E_ARGUMENT.
 */
RLK_API rlk_result rlk_posix_set_loop(rlk_posix_client *posix, rlk_loop *loop);

/* Returns the number of slots, at most RLK_MAX_FDS, and always the same while the client is open: a
 * slot for each node, in their order. 0: the client is not open, or in a forked child. */
RLK_API unsigned rlk_posix_slots(const rlk_posix_client *posix);

/* Returns the descriptor of a slot, and in *events what to poll it for: POLLIN, POLLOUT or both.
 * While a name is asked for, it is that of the resolver, if that has one.
 * -1: it has none now. To be asked after rlk_posix_prepare. */
RLK_API int rlk_posix_fd(const rlk_posix_client *posix, unsigned slot, short *events);

/*
 * For an event loop, before poll: connects, and sends what is ready, without waiting. Fills `fds`
 * with what you must poll for, and *timeout_ms with how long: until the next deadline, 0 if it is
 * past or an event is there, -1 if there is none. timeout_ms may be NULL. Returns the number of
 * descriptors, at most RLK_MAX_FDS. These are 0 and -1 if the client is not open, in a forked
 * child, and with a `cap` below rlk_client_nodes().
 */
RLK_API nfds_t rlk_posix_prepare(rlk_posix_client *posix, struct pollfd *fds, nfds_t cap,
                                 int *timeout_ms);

/* After poll: deadlines, then input and output of the descriptors, of which those with fd -1 are
 * left out. Never blocks (names need a resolver). RLK_OK, RLK_E_FORKED, RLK_E_CLOSED. */
RLK_API rlk_result rlk_posix_service(rlk_posix_client *posix, const struct pollfd *fds, nfds_t n);

#ifdef __cplusplus
}
#endif

#endif

/* ==== include/resplock/adapter.h ====
 *
 * resplock/adapter.h: what all adapters of event loops have in common. Programs include the adapter
 * of their loop: resplock/adapters/epoll.h, uv.h, libevent.h, glib.h, sdevent.h. This header is for
 * who writes another one. Functions in headers only: a program without a loop has nothing of it.
 *
 * An adapter is a struct of the caller's with an rlk_adapter first, two functions
 * (rlk_adapter_calls), and three for the application:
 *
 *     start    rlk_adapter_start; a timer of the loop, which calls rlk_adapter_turn;
 *              rlk_adapter_update, for the first turn
 *     update   rlk_adapter_update
 *     stop     rlk_adapter_stop, and the end of the timer
 *
 * When the loop reports a descriptor, rlk_adapter_ready takes what it reports, and rlk_adapter_turn
 * does the rest:
 *
 *     loop: a descriptor, or the timer
 *       |
 *       v           rlk_posix_service    on_event, for each event     rlk_posix_prepare, compare
 *     turn --------> input, deadlines --> the application calls ----> bytes leave; poll(), timer()
 *                                         what it wants
 *
 * A call of the application outside of a turn has the timer fire at once, so that its turn comes.
 */
#ifndef RESPLOCK_ADAPTER_H
#define RESPLOCK_ADAPTER_H

#ifdef RLKI_POSIX /* else socket.h has the error: no other follows */

#include <errno.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most events of one turn. The others come in the next, so that an application whose calls end at
 * once can't keep the loop from its other work. */
#ifndef RLK_ADAPTER_EVENTS
#define RLK_ADAPTER_EVENTS 64
#endif

/* Where a loop refuses a descriptor (no memory, a limit), the client serves it without, this often,
 * and asks the loop again. */
#define RLK_ADAPTER_RETRY_MS 100

/*
 * Receives the events of all locks of a client, from the loop's own turn, and never from within a
 * call of the application. In it the application may call all of the library, blocking calls too,
 * which keep the loop waiting. In particular it may:
 * - close a lock (rlk_lock_close), then free it;
 * - close the client (rlk_posix_close), then free it;
 * - stop the adapter, then free it: with libuv in the hook that rlk_uv_stop calls;
 * - start the adapter again, for the same client or another.
 * After a stop or a close no other event comes, not even one that waited already. The hook
 * returns: no longjmp and no exception leaves it.
 */
typedef void (*rlk_event_hook)(void *app, const rlk_event *event);

typedef struct rlk_adapter rlk_adapter;

/* What an adapter does with its loop. */
typedef struct rlk_adapter_calls {
    /* Polls `fd` for `events` (POLLIN, POLLOUT or both) for this slot from now on; 0: no longer,
     * which must work at once, and where it is not polled. False: the loop refuses, and is asked
     * again, whether or not it still polls for what it did before. */
    bool (*poll)(rlk_adapter *adapter, unsigned slot, int fd, short events);
    /* Has rlk_adapter_turn called once, after this time from now on, in place of the time before.
     * 0: soon, but not from within this call; -1: not at all. */
    void (*timer)(rlk_adapter *adapter, int timeout_ms);
} rlk_adapter_calls;

/* Fields are private. */
struct rlk_adapter {
    rlk_loop loop; /* first */
    const rlk_adapter_calls *calls;
    rlk_posix_client *client; /* NULL: stopped, or the client is closed or has left */
    rlk_event_hook on_event;
    void *app;
    bool *ended; /* in a turn: set by whatever ends the adapter's work; NULL: in none */
    /* What the loop polls, by slot. events 0 with a descriptor: the loop has refused it. */
    struct pollfd polled[RLK_MAX_FDS];
};

/* Stops polling what is polled for a slot. */
static inline void rlki_adapter_forget(rlk_adapter *adapter, unsigned slot)
{
    struct pollfd *polled = &adapter->polled[slot];

    if (polled->fd >= 0) {
        (void)adapter->calls->poll(adapter, slot, polled->fd, 0);
    }
    polled->fd = -1;
    polled->events = 0;
    polled->revents = 0;
}

/* Returns the adapter whose first member it is. */
static inline rlk_adapter *rlki_adapter_of(void *loop)
{
#ifdef __cplusplus
    return static_cast<rlk_adapter *>(loop);
#else
    return loop;
#endif
}

static inline void rlki_adapter_changed(rlk_loop *loop)
{
    rlk_adapter *adapter = rlki_adapter_of(loop);

    if (adapter->ended == NULL) { /* else the turn that it comes in prepares */
        adapter->calls->timer(adapter, 0);
    }
}

static inline void rlki_adapter_closing(rlk_loop *loop, unsigned slot, int fd)
{
    (void)fd;
    rlki_adapter_forget(rlki_adapter_of(loop), slot);
}

/* Ends the work for the client, and the turn that it ends in. */
static inline void rlki_adapter_removed(rlk_loop *loop)
{
    rlk_adapter *adapter = rlki_adapter_of(loop);
    unsigned i;

    for (i = 0; i < RLK_MAX_FDS; i++) {
        rlki_adapter_forget(adapter, i);
    }
    adapter->client = NULL;
    adapter->calls->timer(adapter, -1);
    if (adapter->ended != NULL) {
        *adapter->ended = true;
        adapter->ended = NULL;
    }
}

/*
 * Begins; rlk_adapter_update has the first turn come. An adapter that was started before has been
 * stopped, also where its client has closed: what the loop has of it is here. `size` is that of the
 * whole struct, all of which is set to zeros first. 0, or a negative errno: -EALREADY: the adapter
 * serves the client already, and goes on: nothing was changed; -EBUSY: the client has another loop;
 * -EINVAL: it is not open, or of the parent of this process, or a pointer is NULL.
 */
static inline int rlk_adapter_start(rlk_adapter *adapter, size_t size,
                                    const rlk_adapter_calls *calls, rlk_posix_client *client,
                                    rlk_event_hook on_event, void *app)
{
    static const rlk_loop_calls loop_calls = {rlki_adapter_changed, rlki_adapter_closing,
                                              rlki_adapter_removed};
    rlk_result result;
    unsigned i;

    if (client != NULL && rlk_posix_slots(client) > 0 && client->loop == &adapter->loop) {
        return -EALREADY;
    }
    memset(adapter, 0, size);
    adapter->loop.calls = &loop_calls;
    adapter->calls = calls;
    adapter->on_event = on_event;
    adapter->app = app;
    for (i = 0; i < RLK_MAX_FDS; i++) {
        adapter->polled[i].fd = -1;
    }
    if (client == NULL || on_event == NULL) {
        return -EINVAL;
    }
    result = rlk_posix_set_loop(client, &adapter->loop);
    if (result != RLK_OK) {
        return result == RLK_E_STATE ? -EBUSY : -EINVAL;
    }
    adapter->client = client;
    return 0;
}

/* THE comparison: what the client wants, slot by slot, and what the loop polls. */
static inline void rlki_adapter_compare(rlk_adapter *adapter)
{
    struct pollfd all[RLK_MAX_FDS];
    int timeout_ms;
    unsigned i;
    unsigned slots;
    bool refused = false;

    (void)rlk_posix_prepare(adapter->client, all, RLK_MAX_FDS, &timeout_ms);
    slots = rlk_posix_slots(adapter->client);
    for (i = 0; i < slots; i++) {
        struct pollfd *polled = &adapter->polled[i];
        short events;
        int fd = rlk_posix_fd(adapter->client, i, &events);

        if (polled->fd == fd && (fd < 0 || polled->events == events)) {
            continue;
        }
        if (polled->fd != fd) {
            rlki_adapter_forget(adapter, i);
        }
        if (fd < 0) {
            continue;
        }
        polled->fd = fd;
        if (adapter->calls->poll(adapter, i, fd, events)) {
            polled->events = events;
        } else {
            polled->events = 0;
            polled->revents = POLLIN | POLLOUT;
            refused = true;
        }
    }
    if (refused && (timeout_ms < 0 || timeout_ms > RLK_ADAPTER_RETRY_MS)) {
        timeout_ms = RLK_ADAPTER_RETRY_MS;
    }
    adapter->calls->timer(adapter, timeout_ms);
}

/* Takes what the loop reports of a descriptor: POLLIN, POLLOUT, POLLERR, POLLHUP. One that is not
 * polled is ignored. A turn must follow. */
static inline void rlk_adapter_ready(rlk_adapter *adapter, int fd, short revents)
{
    unsigned i;

    for (i = 0; i < RLK_MAX_FDS; i++) {
        if (adapter->polled[i].fd == fd) {
            adapter->polled[i].revents |= revents;
        }
    }
}

/*
 * A turn: from the loop only, never from within a call of the application. May end with the adapter
 * stopped, or freed: touch nothing of it afterwards. Does nothing where it was stopped, and from
 * within another turn of the same adapter. In a forked child, and after rlk_client_close alone, it
 * closes the client.
 */
static inline void rlk_adapter_turn(rlk_adapter *adapter)
{
    rlk_posix_client *client = adapter->client;
    bool ended = false;
    rlk_event event;
    unsigned i;

    if (client == NULL || adapter->ended != NULL) {
        return;
    }
    adapter->ended = &ended;
    if (rlk_posix_service(client, adapter->polled, RLK_MAX_FDS) != RLK_OK) {
        rlk_posix_close(client); /* has it end */
        return;
    }
    for (i = 0; i < RLK_MAX_FDS; i++) {
        adapter->polled[i].revents = 0;
    }
    for (i = 0; i < RLK_ADAPTER_EVENTS && rlk_client_next_event(&client->client, &event); i++) {
        adapter->on_event(adapter->app, &event);
        if (ended) {
            return;
        }
    }
    rlki_adapter_compare(adapter);
    adapter->ended = NULL;
}

/* Has a turn come soon, as any call of the library has: for what the library does not see, such as
 * a suspend that has ended. Harmless after a stop. In a forked child, and after rlk_client_close
 * alone, it closes the client. */
static inline void rlk_adapter_update(rlk_adapter *adapter)
{
    if (adapter->client == NULL) {
        return;
    }
    if (rlk_posix_slots(adapter->client) > 0) {
        rlki_adapter_changed(&adapter->loop);
    } else { /* a child, whose timer may be the parent's too; or closed */
        rlk_posix_close(adapter->client);
    }
}

/* Ends: no call of the loop comes any more, and no event. The client and its connections stay as
 * they are. In a forked child it closes the client. Harmless after a stop, and after the client. */
static inline void rlk_adapter_stop(rlk_adapter *adapter)
{
    if (adapter->client == NULL) {
        return;
    }
    if (rlk_posix_set_loop(adapter->client, NULL) != RLK_OK) { /* else `removed` has come */
        rlk_posix_close(adapter->client);
    }
}

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif

#endif /* RLK_NO_POSIX */

#endif /* RESPLOCK_H */

#if defined(RESPLOCK_IMPLEMENTATION) && !defined(RESPLOCK_IMPLEMENTED)
#define RESPLOCK_IMPLEMENTED

/* ==== src/resp/apart.h ====
 *
 * Internal: functions that stay apart from their callers, or become part of them.
 *
 * A function that is `inline` in a header has one copy, where a file says `extern inline`. The
 * compiler makes it part of a caller where it finds that this pays: at -Os rarely.
 */
#ifndef RLKI_APART_H
#define RLKI_APART_H

/* Not inlined, though it is called from one place only. */
#if defined(__GNUC__)
#define RLKI_APART __attribute__((noinline))
#else
#define RLKI_APART
#endif

/* The same where bytes count: of what is called from several places. */
#if defined(__OPTIMIZE_SIZE__)
#define RLKI_APART_FOR_SIZE RLKI_APART
#else
#define RLKI_APART_FOR_SIZE
#endif

/* Part of each caller, also in other files, unless bytes count: of small ones that run in each
 * cycle. In a header, with `extern inline` in one file. */
#if defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#define RLKI_INTO_CALLERS inline __attribute__((always_inline))
#else
#define RLKI_INTO_CALLERS inline
#endif

#endif

/* ==== src/resp/parser.c ====
 *
 * Bytes to tokens. One pass, no recursion, no memory but the parser's own few bytes.
 *
 *        number, null, boolean, double,
 *        aggregate, end of a streamed one
 *                     .-----.
 *                     v     |
 *    init -------> START or VALUE ------------------.
 *                  |  ^   |  ^  ^                   | $?
 *            + - ( |  |   |  |  |        ;0         v
 *                  v  |   |  |  '---------------- CHUNK <-.
 *                 LINE    |  |                      |     |
 *           text, CRLF    |  | payload, CRLF     ;n |     | payload, CRLF
 *                $n !n =n v  |                      v     |
 *                        STRING                   PIECE --'
 *
 *    START  before a value, or before the end of a streamed aggregate
 *    VALUE  the same behind an attribute: a value must come, since the attribute belongs to it
 *    BAD    from anywhere, and it stays
 *
 * Errors are found at the byte that makes them, never later because of how the bytes were cut:
 * what a stream comes to depends on its bytes alone.
 */

#include <string.h>

#if RLK_RESP_MAX_LEN > 2147483647 || RLK_RESP_MAX_COUNT > 1073741823
#error "a bound of RESP beyond what the parser's fields hold"
#endif

/* Conditions with it are constant: what RESP2 has no use for is left out by the compiler. */
#ifdef RLK_RESP2_ONLY
#define PARSER_RESP3 0
#else
#define PARSER_RESP3 1
#endif

enum parser_state {
    PARSER_START,
    PARSER_VALUE,
    PARSER_CHUNK,  /* header of a piece of a streamed string */
    PARSER_PIECE,  /* its payload, and its CRLF */
    PARSER_STRING, /* payload of known length, and its CRLF */
    PARSER_LINE,   /* text of a simple string, an error, a big number */
    PARSER_BAD
};

/* What a step came to. */
enum parser_step {
    PARSER_STEP_OPEN = RLK_RESP_TOKEN, /* an aggregate begins, its token is ready */
    PARSER_STEP_MORE = RLK_RESP_MORE,
    PARSER_STEP_EMPTY, /* the same, and its only element is over */
    PARSER_STEP_PART,  /* a fragment, not the last one */
    PARSER_STEP_LAST,  /* the last or only fragment, or a value that has none */
    PARSER_STEP_ON,    /* go on in the new state */
    PARSER_STEP_FAULT  /* and above: bad, by this rlk_resp_fault */
};

/* What follows a type byte. */
enum parser_trait {
    PARSER_TEXT = 0x01,                      /* a line of text */
    PARSER_NUMBER = 0x02,                    /* a line with a number, a length or a count */
    PARSER_SIGNED = 0x04,                    /* it may have a sign */
    PARSER_NULLABLE = 0x08,                  /* it may be -1: an old null */
    PARSER_STREAMABLE = 0x10 * PARSER_RESP3, /* it may be `?` */
    PARSER_PAYLOAD = 0x20,                   /* it is the length of a string */
    PARSER_PAIRS = 0x40 * PARSER_RESP3       /* it counts two elements each */
};

/* What is shown and not consumed yet. */
typedef struct parser_input {
    const uint8_t *at;
    const uint8_t *end;
} parser_input;

/* Beside the count in `left`, what the aggregate is. That of a streamed one counts down from the
 * bound. */
#define PARSER_STREAMED     UINT32_C(0x80000000)
#define PARSER_ATTRIBUTE    UINT32_C(0x40000000)
#define PARSER_STREAMED_MAP (PARSER_STREAMED | PARSER_ATTRIBUTE) /* attributes are not streamed */
#define PARSER_COUNT        UINT32_C(0x3FFFFFFF)

/* A little above INT64_MAX / 10, and easy to compare with on 32 bits. Another digit can't wrap 64
 * bits below it, and what is not below it exceeds every bound with that digit. */
#define PARSER_TENTH_OF_MAX UINT64_C(0x0CCCCCCD00000000)

/* Format and colon of a verbatim string. */
#define PARSER_FORMAT_LEN 4u

/* Type byte of a piece of a streamed string: of no token. */
#define PARSER_PIECE_TYPE ';'

/* The frequent ones first: they are searched. */
static const struct {
    uint8_t type;
    uint8_t traits;
} parser_types[] = {
    {RLK_RESP_SIMPLE, PARSER_TEXT},
    {RLK_RESP_BULK, PARSER_NUMBER | PARSER_PAYLOAD | PARSER_NULLABLE | PARSER_STREAMABLE},
    {RLK_RESP_INTEGER, PARSER_NUMBER | PARSER_SIGNED},
    {RLK_RESP_ARRAY, PARSER_NUMBER | PARSER_NULLABLE | PARSER_STREAMABLE},
    {RLK_RESP_ERROR, PARSER_TEXT},
#if PARSER_RESP3
    {RLK_RESP_PUSH, PARSER_NUMBER},
    {RLK_RESP_MAP, PARSER_NUMBER | PARSER_PAIRS | PARSER_STREAMABLE},
    {RLK_RESP_VERBATIM, PARSER_NUMBER | PARSER_PAYLOAD},
    {RLK_RESP_BLOB_ERROR, PARSER_NUMBER | PARSER_PAYLOAD},
    {RLK_RESP_SET, PARSER_NUMBER | PARSER_STREAMABLE},
    {RLK_RESP_ATTRIBUTE, PARSER_NUMBER | PARSER_PAIRS},
    {RLK_RESP_BIG_NUMBER, PARSER_TEXT},
#endif
};

static unsigned parser_traits(uint8_t type)
{
    unsigned i;

    for (i = 0; i < sizeof parser_types / sizeof parser_types[0]; i++)
        if (parser_types[i].type == type)
            return parser_types[i].traits;
    return 0;
}

/* The traits of a type that allow what stands where its first digit may. */
static unsigned parser_sign_trait(uint8_t sign)
{
    if (sign == '-')
        return PARSER_SIGNED | PARSER_NULLABLE;
    if (sign == '+')
        return PARSER_SIGNED;
    return sign == '?' ? PARSER_STREAMABLE : 0;
}

static int parser_fail(rlk_resp_fault fault)
{
    return PARSER_STEP_FAULT + (int)fault;
}

static bool parser_is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') <= 9;
}

static bool parser_is_sign(uint8_t byte)
{
    return byte == '-' || byte == '+';
}

static const uint8_t *parser_skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && parser_is_digit(*at))
        at++;
    return at;
}

/* Is CRLF at `at`? ON if so. */
static int parser_line_end(const uint8_t *at, const uint8_t *end)
{
    if (end - at >= 2 && memcmp(at, "\r\n", 2) == 0)
        return PARSER_STEP_ON;
    if (at < end && (*at != '\r' || end - at >= 2))
        return parser_fail(RLK_RESP_FAULT_TERMINATOR);
    return PARSER_STEP_MORE;
}

/*
 * A value is complete, and with it every aggregate whose last element it is. Returns DONE when
 * that reaches the top level.
 */
static unsigned parser_complete(rlk_resp_parser *parser)
{
    unsigned level = parser->depth;

    parser->state = PARSER_START;
    while (level != 0) {
        uint32_t left = --parser->left[--level];

        parser->flags |= RLK_RESP_FIRST;
        if ((left & (PARSER_COUNT | PARSER_STREAMED)) != 0)
            return 0;
        parser->depth = (uint8_t)level;
        if (PARSER_RESP3 && left == PARSER_ATTRIBUTE) { /* no element of what is around it */
            parser->state = PARSER_VALUE;
            if (parser->attribute_depth == level + 1u) {
                parser->attribute_depth = 0;
                parser->flags = (uint8_t)(parser->flags & ~RLK_RESP_IN_ATTRIBUTE);
            }
            return 0;
        }
    }
    parser->flags = RLK_RESP_FIRST;
    return RLK_RESP_DONE;
}

/*
 * [sign] digits [. digits] [e [sign] digits], or inf, -inf, nan. Returns the first byte that
 * can't belong to it; *whole: what is before it is a double already.
 */
static const uint8_t *parser_double_text(const uint8_t *at, const uint8_t *end, bool *whole)
{
    const char *word = "nan";
    const uint8_t *part;

    *whole = false;
    if (at < end && parser_is_sign(*at)) {
        word = *at == '-' ? "inf" : "";
        at++;
    } else if (at < end && *at == 'i') {
        word = "inf";
    }
    part = at;
    at = parser_skip_digits(at, end);
    if (at == part) {
        for (; at < end && *word != '\0' && *at == (uint8_t)*word; at++)
            word++;
        *whole = at > part && *word == '\0';
        return at;
    }
    if (at < end && *at == '.') {
        part = ++at;
        at = parser_skip_digits(at, end);
        if (at == part)
            return at;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && parser_is_sign(*at))
            at++;
        part = at;
        at = parser_skip_digits(at, end);
        if (at == part)
            return at;
    }
    *whole = true;
    return at;
}

/* Null, boolean, double, end of a streamed aggregate. */
static int parser_scalar(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token)
{
    uint8_t type = *in->at;
    const uint8_t *end = in->end;
    const uint8_t *text = in->at + 1;
    const uint8_t *at = text;
    const uint8_t *bound = end - text > RLK_RESP_MAX_NUMBER ? text + RLK_RESP_MAX_NUMBER : end;
    bool whole = true;
    unsigned level = parser->depth - 1u;
    int step;

    switch (type) {
    case RLK_RESP_NULL:
        break;
    case RLK_RESP_BOOLEAN:
        if (at == end)
            return PARSER_STEP_MORE;
        token->value = *at == 't' ? 1 : 0;
        whole = *at == 't' || *at == 'f';
        at++;
        break;
    case RLK_RESP_DOUBLE:
        at = parser_double_text(text, bound, &whole);
        if (at == end && !whole)
            return PARSER_STEP_MORE;
        if (at < end && *at != '\r') {
            if (at == bound)
                return parser_fail(RLK_RESP_FAULT_RANGE);
            whole = false;
        }
        token->data = text;
        token->len = (size_t)(at - text);
        token->value = at - text;
        break;
    case RLK_RESP_END:
        if (parser->state == PARSER_VALUE || parser->depth == 0 ||
            (parser->left[level] & PARSER_STREAMED) == 0 ||
            /* a key without its value */
            (parser->left[level] >= PARSER_STREAMED_MAP &&
             ((RLK_RESP_MAX_COUNT - parser->left[level]) & 1u) != 0))
            return parser_fail(RLK_RESP_FAULT_TYPE);
        break;
    default:
        return parser_fail(RLK_RESP_FAULT_TYPE);
    }
    if (!whole)
        return parser_fail(RLK_RESP_FAULT_TEXT);
    step = parser_line_end(at, end);
    if (step != PARSER_STEP_ON)
        return step;
    in->at = at + 2;
    token->type = (rlk_resp_type)type;
    if (type == RLK_RESP_END)
        parser->depth = (uint8_t)level; /* closed: an element of what is around it */
    return PARSER_STEP_LAST;
}

/* An aggregate of `count` elements, or pairs, or a streamed one. */
static int parser_open(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type, uint32_t count,
                       unsigned traits, bool is_streamed)
{
    unsigned level = parser->depth;
    unsigned shift = (traits & PARSER_PAIRS) != 0 ? 1u : 0u;
    uint32_t kind = 0;
    int step = PARSER_STEP_OPEN;

    if (count > RLK_RESP_MAX_COUNT >> shift)
        return parser_fail(RLK_RESP_FAULT_RANGE);
    if (level == RLK_RESP_MAX_DEPTH)
        return parser_fail(RLK_RESP_FAULT_DEPTH);
    count <<= shift;
    if (PARSER_RESP3 && type == RLK_RESP_PUSH)
        parser->flags |= RLK_RESP_IN_PUSH;
    if (PARSER_RESP3 && type == RLK_RESP_ATTRIBUTE) {
        kind = PARSER_ATTRIBUTE;
        if (parser->attribute_depth == 0) {
            parser->attribute_depth = (uint8_t)(level + 1u);
            parser->flags |= RLK_RESP_IN_ATTRIBUTE;
        }
    }
    token->type = (rlk_resp_type)type;
    token->depth = (uint8_t)level;
    token->value = is_streamed ? -1 : (int64_t)count;
    token->flags = (uint8_t)(parser->flags | RLK_RESP_LAST);
    parser->state = PARSER_START;
    parser->depth = (uint8_t)(level + 1u);
    if (is_streamed) {
        count = RLK_RESP_MAX_COUNT | (type == RLK_RESP_MAP ? PARSER_STREAMED_MAP : PARSER_STREAMED);
    } else if (count == 0) { /* complete, as behind the only element of a longer one */
        step = PARSER_STEP_EMPTY;
        count = 1;
    }
    parser->left[level] = count | kind;
    return step;
}

/* A length: `$`, `!`, `=` begin a string, `;` goes on with one. */
static int parser_payload(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type,
                          uint32_t len)
{
    bool piece = PARSER_RESP3 && type == PARSER_PIECE_TYPE;
    uint32_t before = piece ? parser->length : 0;

    if (len > RLK_RESP_MAX_LEN - before)
        return parser_fail(RLK_RESP_FAULT_RANGE);
    parser->length = before + len;
    parser->remaining = len;
    if (piece) {
        token->type = RLK_RESP_BULK;
        token->value = -1;
        if (len == 0)
            return PARSER_STEP_LAST;
        parser->state = PARSER_PIECE;
        return PARSER_STEP_ON;
    }
    parser->type = type;
    parser->state = PARSER_STRING;
    if (PARSER_RESP3 && type == RLK_RESP_VERBATIM) {
        if (len < PARSER_FORMAT_LEN)
            return parser_fail(RLK_RESP_FAULT_TEXT);
    } else if (len <= parser->whole_max) {
        parser->wanted = len + 1u; /* nothing to say before its terminator begins */
    }
    return PARSER_STEP_ON;
}

/* An integer, or a length or count with what it announces. */
static int parser_number(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token,
                         unsigned traits)
{
    uint8_t type = *in->at;
    const uint8_t *end = in->end;
    const uint8_t *begin = in->at + 1;
    const uint8_t *at = begin;
    const uint8_t *stop = end;
    uint8_t sign = 0;
    uint64_t value = 0;
    int step;

    if (at < end && !parser_is_digit(*at)) {
        sign = *at++;
        if ((traits & parser_sign_trait(sign)) == 0 ||
            (sign != '?' && at < end && !parser_is_digit(*at)))
            return parser_fail(RLK_RESP_FAULT_NUMBER);
        if (PARSER_RESP3 && sign == '?')
            stop = at; /* no digits */
    }
    for (; at < stop; at++) {
        unsigned digit = *at - (unsigned)'0';

        if (digit > 9)
            break;
        if (value >= PARSER_TENTH_OF_MAX)
            return parser_fail(RLK_RESP_FAULT_RANGE);
        value = value * 10u + digit;
    }
    if (at - begin > RLK_RESP_MAX_NUMBER ||
        (value > INT64_MAX && (sign != '-' || value - 1u > INT64_MAX)))
        return parser_fail(RLK_RESP_FAULT_RANGE);
    step = parser_line_end(at, end);
    if (step > PARSER_STEP_FAULT && *at != '\r')
        return parser_fail(at - begin < RLK_RESP_MAX_NUMBER ? RLK_RESP_FAULT_NUMBER
                                                            : RLK_RESP_FAULT_RANGE);
    if (step != PARSER_STEP_ON)
        return step;
    in->at = at + 2;
    if ((traits & PARSER_SIGNED) != 0) {
        if (sign == '-')
            value = UINT64_C(0) - value;
        memcpy(&token->value, &value, sizeof value); /* its bits: INT64_MIN has no positive */
        token->type = (rlk_resp_type)type;
        return PARSER_STEP_LAST;
    }
    if (sign == '-') {
        token->type = RLK_RESP_NULL;
        token->value = type == RLK_RESP_ARRAY;
        return value == 1u ? PARSER_STEP_LAST : parser_fail(RLK_RESP_FAULT_NUMBER);
    }
    if ((uint32_t)(value >> 32) != 0)
        return parser_fail(RLK_RESP_FAULT_RANGE);
    if ((traits & PARSER_PAYLOAD) != 0) {
        token->data = in->at; /* of an empty last piece too */
        if (!PARSER_RESP3 || sign == 0)
            return parser_payload(parser, token, type, (uint32_t)value);
        parser->length = 0;
        parser->type = type;
        parser->state = PARSER_CHUNK;
        return PARSER_STEP_ON;
    }
    return parser_open(parser, token, type, (uint32_t)value, traits, PARSER_RESP3 && sign == '?');
}

/* From a type byte to the end of its line, or to the text or payload behind it. */
static int parser_head(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token)
{
    uint8_t type;
    unsigned traits;

    type = *in->at;
    traits = parser_traits(type);
    if (PARSER_RESP3 && parser->state == PARSER_CHUNK) {
        if (type != PARSER_PIECE_TYPE)
            return parser_fail(RLK_RESP_FAULT_TYPE);
        traits = PARSER_NUMBER | PARSER_PAYLOAD;
    } else if (PARSER_RESP3 && parser->depth > 0) {
        if (type == RLK_RESP_PUSH)
            return parser_fail(RLK_RESP_FAULT_TYPE);
        if ((parser->left[parser->depth - 1u] & PARSER_COUNT) == 0 && type != RLK_RESP_END)
            return parser_fail(RLK_RESP_FAULT_RANGE); /* a streamed one at its bound */
    }
    if ((traits & PARSER_TEXT) != 0) {
        in->at++;
        parser->type = type;
        parser->state = PARSER_LINE;
        parser->length = 0;
        parser->remaining = RLK_RESP_MAX_LEN;
        return PARSER_STEP_ON;
    }
    if ((traits & PARSER_NUMBER) != 0)
        return parser_number(parser, in, token, traits);
    return PARSER_RESP3 ? parser_scalar(parser, in, token) : parser_fail(RLK_RESP_FAULT_TYPE);
}

/* Returns the first byte from `at` that ends the text of the line, or that no line may have. */
static const uint8_t *parser_scan(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at > '\r' || (*at != '\r' && *at != '\n')))
        at++;
    return at;
}

static int parser_line(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token)
{
    const uint8_t *begin = in->at;
    const uint8_t *end = in->end;
    const uint8_t *at = begin + parser->length;
    bool first = (parser->flags & RLK_RESP_FIRST) != 0;
    size_t len;
    int step;

    if (PARSER_RESP3 && parser->type == RLK_RESP_BIG_NUMBER) {
        if (first && at == begin && at < end && parser_is_sign(*at))
            at++;
        at = parser_skip_digits(at, end);
        if (at < end && (*at != '\r' || (first && (at == begin || !parser_is_digit(at[-1])))))
            return parser_fail(RLK_RESP_FAULT_TEXT);
    } else {
        at = parser_scan(at, end);
    }
    len = (size_t)(at - begin);
    if (first && len <= parser->whole_max)
        token->value = (int64_t)len;
    else if (len <= parser->remaining)
        token->value = -1; /* in fragments */
    else
        return parser_fail(RLK_RESP_FAULT_RANGE);
    step = parser_line_end(at, end);
    if (step > PARSER_STEP_FAULT)
        return step;
    if (step == PARSER_STEP_ON) {
        in->at = at + 2;
        step = PARSER_STEP_LAST;
    } else {
        if (token->value >= 0 || len == 0 ||
            /* a sign doesn't go without a digit */
            (PARSER_RESP3 && first && len == 1 && parser->type == RLK_RESP_BIG_NUMBER)) {
            parser->length = (uint32_t)len;
            return step;
        }
        in->at = at;
        parser->length = 0;
        parser->remaining -= (uint32_t)len;
        step = PARSER_STEP_PART;
    }
    token->type = (rlk_resp_type)parser->type;
    token->data = begin;
    token->len = len;
    return step;
}

/* Payload of a string, or of a piece of a streamed one. */
static int parser_string(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token)
{
    const uint8_t *begin = in->at;
    size_t len = (size_t)(in->end - begin);
    uint32_t remaining = parser->remaining;
    bool piece = PARSER_RESP3 && parser->state == PARSER_PIECE;
    int step = PARSER_STEP_MORE;

    if (PARSER_RESP3 && parser->type == RLK_RESP_VERBATIM &&
        (parser->flags & RLK_RESP_FIRST) != 0) {
        if (len < PARSER_FORMAT_LEN)
            return step;
        if (begin[PARSER_FORMAT_LEN - 1u] != ':')
            return parser_fail(RLK_RESP_FAULT_TEXT);
    }
    if (len > remaining) {
        len = remaining;
        step = parser_line_end(begin + len, in->end);
    }
    if (step == PARSER_STEP_ON) {
        in->at = begin + len + 2;
        step = PARSER_STEP_LAST;
        if (piece) {
            parser->state = PARSER_CHUNK;
            if (len == 0)
                return PARSER_STEP_ON;
            step = PARSER_STEP_PART;
        }
    } else if (step > PARSER_STEP_FAULT || len == 0 ||
               (!piece && parser->length <= parser->whole_max)) {
        return step;
    } else {
        in->at = begin + len;
        step = PARSER_STEP_PART;
    }
    parser->wanted = 1;
    parser->remaining = remaining - (uint32_t)len;
    token->type = (rlk_resp_type)parser->type;
    token->data = begin;
    token->len = len;
    token->value = piece ? -1 : (int64_t)parser->length;
    return step;
}

/* Up to a token, or to the end of the bytes, of which there is at least one. Apart: all in one
 * function needs more registers than Thumb has. */
static RLKI_APART_FOR_SIZE int parser_run(rlk_resp_parser *parser, parser_input *in,
                                          rlk_resp_token *token)
{
    do {
        int step;

        if (parser->state <= PARSER_CHUNK) {
            step = parser_head(parser, in, token);
            if (step != PARSER_STEP_ON)
                return step;
        }
        if (parser->state == PARSER_LINE)
            return parser_line(parser, in, token);
        if (parser->state == PARSER_BAD)
            return PARSER_STEP_FAULT + parser->fault;
        if (parser->state != PARSER_CHUNK) {
            step = parser_string(parser, in, token);
            if (step != PARSER_STEP_ON)
                return step;
        }
    } while (in->at < in->end);
    return PARSER_STEP_MORE;
}

/* Apart from rlk_resp_next, whose most frequent call ends before it: that one needs no frame. */
static RLKI_APART rlk_resp_status parser_token(rlk_resp_parser *parser, const uint8_t *buf,
                                               size_t len, size_t *consumed, rlk_resp_token *token)
{
    parser_input in;
    int step;

    in.at = buf;
    in.end = len != 0 ? buf + len : buf; /* which may be NULL */
    token->data = NULL;
    token->len = 0;
    token->value = 0;
    step = parser_run(parser, &in, token);
    *consumed = (size_t)(in.at - buf);
    if (step < PARSER_STEP_EMPTY)
        return (rlk_resp_status)step;
    if (step > PARSER_STEP_FAULT) {
        parser->state = PARSER_BAD;
        parser->wanted = 0;
        parser->fault = (uint8_t)(step - PARSER_STEP_FAULT);
        return RLK_RESP_BAD;
    }
    if (step != PARSER_STEP_EMPTY) {
        token->depth = parser->depth;
        token->flags = parser->flags;
        if (step == PARSER_STEP_PART) {
            parser->flags = (uint8_t)(parser->flags & ~RLK_RESP_FIRST);
            return RLK_RESP_TOKEN;
        }
    }
    token->flags = (uint8_t)(token->flags | RLK_RESP_LAST | parser_complete(parser));
    return RLK_RESP_TOKEN;
}

void rlk_resp_parser_init(rlk_resp_parser *parser, uint32_t whole_max)
{
    parser->whole_max = whole_max < RLK_RESP_MAX_LEN ? whole_max : RLK_RESP_MAX_LEN;
    parser->wanted = 1;
    parser->length = 0;
    parser->remaining = 0;
    parser->state = PARSER_START;
    parser->type = 0;
    parser->flags = RLK_RESP_FIRST;
    parser->depth = 0;
    parser->attribute_depth = 0;
    parser->fault = RLK_RESP_FAULT_NONE;
    /* `left` is written before it is read: an aggregate opens */
}

bool rlk_resp_parser_idle(const rlk_resp_parser *parser)
{
    return parser->state == PARSER_START && parser->depth == 0;
}

rlk_resp_status rlk_resp_next(rlk_resp_parser *parser, const uint8_t *buf, size_t len,
                              size_t *consumed, rlk_resp_token *token)
{
    if (len < parser->wanted) { /* a reply that drips in: most calls end here */
        *consumed = 0;
        return RLK_RESP_MORE;
    }
    return parser_token(parser, buf, len, consumed, token);
}

rlk_resp_fault rlk_resp_parser_fault(const rlk_resp_parser *parser)
{
    return (rlk_resp_fault)parser->fault;
}

/* ==== src/resp/result.c ====
 *
 * Names and meanings of results.
 */

#ifndef RLK_NO_TEXT
typedef struct result_row {
    int16_t code;
    const char *name;
    const char *text;
} result_row;

static const result_row result_rows[] = {
    {RLK_OK, "OK", "done"},
    {RLK_PENDING, "PENDING", "under way: the result comes as an event"},
    {RLK_BUSY, "BUSY", "somebody else has the lock; rlk_query says who and for how long"},
    {RLK_TIMED_OUT, "TIMED_OUT",
     "somebody else had it until the deadline; rlk_query says who has it and for how long"},
    {RLK_NOT_OWNER, "NOT_OWNER",
     "the server does not have this lock's token under the key: it expired, was deleted or "
     "overwritten"},
    {RLK_NOT_HELD, "NOT_HELD", "nothing to do: the lock is not held (a query: nobody has it)"},
    {RLK_LOST, "LOST",
     "the lease is over: it ran out, or the key was deleted or overwritten; stop using what it "
     "protects"},
    {RLK_GONE, "GONE",
     "the key is not this lock's now; a try whose reply was lost may have deleted it, or it "
     "expired"},
    {RLK_UNKNOWN, "UNKNOWN",
     "not answered in time, so the outcome is open: the key may hold this lock's token until its "
     "TTL is "
     "over"},
    {RLK_CANCELLED, "CANCELLED", "ended by rlk_cancel"},
    {RLK_E_ARGUMENT, "E_ARGUMENT", "an argument is NULL or out of its range"},
    {RLK_E_TTL, "E_TTL",
     "the TTL or the time added is not positive, too long, or no longer than drift and one try on "
     "one node (node_timeout_ms)"},
    {RLK_E_KEY, "E_KEY",
     "the key is empty, or too long for the transmit buffer: rlk_posix_open_nodes takes larger "
     "ones (tx_cap), also for one node"},
    {RLK_E_URL, "E_URL",
     "not a URL that resplock knows: write redis://[[user]:password@]host[:port][/db], "
     "valkey://..., rediss://... for TLS, or unix:///path, without quotes or spaces"},
    {RLK_E_URL_SCHEME, "E_URL_SCHEME",
     "the URL's scheme is not known: write redis:// or valkey:// for TCP, rediss:// for TLS, "
     "unix:///path for a socket"},
    {RLK_E_URL_TLS, "E_URL_TLS",
     "rediss:// and valkeys:// need a TLS library: with resplock/tls/openssl.h write "
     "rlk_openssl_init(&tls, NULL); and set options.tls = &tls.tls;"},
    {RLK_E_URL_HOST, "E_URL_HOST",
     "the URL's host is malformed: it names one server; an IPv6 address is in brackets, and its "
     "zone behind %25: redis://[fe80::1%25eth0]"},
    {RLK_E_URL_PORT, "E_URL_PORT",
     "the URL's port is not a number from 1 to 65535; an @ ends a password: "
     "redis://:password@host"},
    {RLK_E_URL_DB, "E_URL_DB",
     "the URL's database is not a number from 0 to 2147483647, or it names two; the path of a "
     "socket is unix:///path"},
    {RLK_E_URL_ESCAPE, "E_URL_ESCAPE",
     "the URL has a character that must be escaped: in user, password and path write @ : / ? # % + "
     "& as %40 %3A %2F %3F %23 %25 %2B %26"},
    {RLK_E_URL_PATH, "E_URL_PATH",
     "the URL's socket path is missing, too long, or has a NUL; it begins with a third slash: "
     "unix:///path"},
    {RLK_E_URL_QUERY, "E_URL_QUERY",
     "the URL has a parameter other than db, username and password, or credentials twice; settings "
     "are in rlk_posix_options"},
    {RLK_E_BUFFER, "E_BUFFER",
     "a buffer is too small for the connection, or for its credentials: rlk_posix_open_nodes "
     "takes larger ones (tx_cap, rx_cap, ring_len), also for one node"},
    {RLK_E_LAYOUT, "E_LAYOUT",
     "compiled against another layout of the structs: use the headers of this library"},
    {RLK_E_STATE, "E_STATE", "another operation of this lock is under way, or it is held already"},
    {RLK_E_FORKED, "E_FORKED",
     "this process inherited the client by fork; it belongs to the parent: open a new one"},
    {RLK_E_SAME_NODE, "E_SAME_NODE",
     "the same server is listed twice; a quorum needs independent ones"},
    {RLK_E_NODES, "E_NODES", "the number of nodes is 0, or more than the library was built for"},
    {RLK_E_RESOLVER, "E_RESOLVER",
     "a host name in an event loop needs a resolver: use an address, or set one in "
     "rlk_posix_options"},
    {RLK_E_PREFIX, "E_PREFIX", "the token prefix is too long"},
    {RLK_E_CLOSED, "E_CLOSED", "the client or the lock is closed, or was never initialised"},
    {RLK_E_ENTROPY, "E_ENTROPY", "the system gave no random bytes, so there is no token"},
    {RLK_E_TIMES, "E_TIMES",
     "a time limit is negative or longer than a day, or max_hold_ms is shorter than the TTL or too "
     "long"},
    {RLK_E_CREDENTIALS, "E_CREDENTIALS",
     "the credentials hook gave none, or they do not fit the transmit buffer: "
     "rlk_posix_open_nodes takes larger ones (tx_cap), also for one node"},
    {RLK_E_WAIT, "E_WAIT",
     "the environment can't wait: use the started forms, or give it a wait function"},
    {RLK_E_CLOCK, "E_CLOCK", "the system's clock can't be read"},
    {RLK_E_PIPE, "E_PIPE",
     "the system has no pipe for rlk_posix_interrupt: raise the limit of open files, or close "
     "some"},
    {RLK_E_DANGLING, "E_DANGLING",
     "a text has changed since init: keep key, token prefix, URL and texts of the options as they "
     "are while the lock or the client is in use"},
    {RLK_E_URL_PLAIN, "E_URL_PLAIN",
     "the URL is not encrypted, but options.tls is set: write rediss:// or valkeys://"},
    {RLK_E_NOT_CONNECTED, "E_NOT_CONNECTED",
     "not connected yet: is it the right port, and does the server answer?"},
    {RLK_E_RESOLVE, "E_RESOLVE",
     "the host name can't be resolved: is it spelt right, and does DNS know it?"},
    {RLK_E_CONNECT, "E_CONNECT", "can't connect: is the server running, and the address right?"},
    {RLK_E_CONNECT_TIMEOUT, "E_CONNECT_TIMEOUT",
     "no connection within the connect time: is DNS slow, or is a firewall between?"},
    {RLK_E_RESPONSE_TIMEOUT, "E_RESPONSE_TIMEOUT",
     "no answer in time: is the server stopped, overloaded, or another kind of server?"},
    {RLK_E_EOF, "E_EOF", "the server closed the connection"},
    {RLK_E_IO, "E_IO", "reading from or writing to the server failed"},
    {RLK_E_TLS_CUT, "E_TLS_CUT",
     "the stream ended without TLS's close_notify: the server died, or somebody cut it"},
    {RLK_E_TLS, "E_TLS", "TLS with the server failed"},
    {RLK_E_PROTOCOL, "E_PROTOCOL", "the server sent something that is not valid RESP"},
    {RLK_E_NOT_RESP, "E_NOT_RESP", "this is not a RESP server: is it an HTTP or a TLS port?"},
    {RLK_E_UNSOLICITED, "E_UNSOLICITED",
     "the server sent a reply to no request; is a proxy between?"},
    {RLK_E_UNEXPECTED, "E_UNEXPECTED",
     "the server sent a reply of a type that the command does not have"},
    {RLK_E_SERVER, "E_SERVER", "the server refused the command"},
    {RLK_E_LOADING, "E_LOADING", "the server is loading its data; it will answer when it is done"},
    {RLK_E_READONLY, "E_READONLY", "the server is a replica: connect to the primary"},
    {RLK_E_MASTERDOWN, "E_MASTERDOWN", "the server is a replica that lost its primary"},
    {RLK_E_MISCONF, "E_MISCONF", "the server refuses writes because it can't persist: see its log"},
    {RLK_E_OOM, "E_OOM", "the server is out of memory: raise maxmemory or free some"},
    {RLK_E_SCRIPT_BUSY, "E_SCRIPT_BUSY",
     "the server is busy with somebody's script; SCRIPT KILL ends that"},
    {RLK_E_NOSCRIPT, "E_NOSCRIPT",
     "the server forgot the script right after loading it; is a proxy between?"},
    {RLK_E_MOVED, "E_MOVED",
     "this is a node of a Redis Cluster, and the key lives on another: connect to a server without "
     "Cluster"},
    {RLK_E_ASK, "E_ASK",
     "this is a node of a Redis Cluster, and the key moves to another: connect to a server without "
     "Cluster"},
    {RLK_E_CLUSTERDOWN, "E_CLUSTERDOWN", "the cluster is down"},
    {RLK_E_TRYAGAIN, "E_TRYAGAIN", "the cluster is moving the key"},
    {RLK_E_CROSSSLOT, "E_CROSSSLOT", "keys of one command are in different slots"},
    {RLK_E_NOREPLICAS, "E_NOREPLICAS", "the server has not enough replicas to accept writes"},
    {RLK_E_SERVER_FULL, "E_SERVER_FULL",
     "the server has reached its maximum number of clients (maxclients)"},
    {RLK_E_WRONGTYPE, "E_WRONGTYPE",
     "the key holds something that is not a string: it is used for something else"},
    {RLK_E_NOAUTH, "E_NOAUTH",
     "the server asks for a password again on this connection; the next connection sends it"},
    {RLK_E_AUTH, "E_AUTH",
     "wrong or missing user or password; in a URL a password alone is redis://:password@host"},
    {RLK_E_NOPERM, "E_NOPERM",
     "the ACL user may not do this: docs/guide.md lists the permissions that it needs"},
    {RLK_E_PROTECTED, "E_PROTECTED", "the server is in protected mode: set a password or bind it"},
    {RLK_E_DATABASE, "E_DATABASE",
     "there is no such database, or no SELECT, as in a cluster or behind a proxy: use database 0"},
    {RLK_E_UNSUPPORTED, "E_UNSUPPORTED",
     "the server lacks a command that resplock needs, or it has another name there"},
    {RLK_E_SENTINEL, "E_SENTINEL",
     "this is a Sentinel's port, which keeps no keys: connect to the primary that it names"},
    {RLK_E_USER, "E_USER",
     "the server takes no user's name (before Redis 6, or a proxy): give the password alone"},
    {RLK_E_TLS_REFUSED, "E_TLS_REFUSED",
     "TLS refused a certificate or the version: mend that, then rlk_client_reset"},
};

static const result_row *result_find(rlk_result result)
{
    size_t i;

    for (i = 0; i < sizeof result_rows / sizeof result_rows[0]; i++)
        if (result_rows[i].code == (int16_t)result)
            return &result_rows[i];
    return NULL;
}

const char *rlk_result_name(rlk_result result)
{
    const result_row *row = result_find(result);

    return row != NULL ? row->name : "?";
}

const char *rlk_result_text(rlk_result result)
{
    const result_row *row = result_find(result);

    return row != NULL ? row->text : "";
}

#else
const char *rlk_result_name(rlk_result result)
{
    (void)result;
    return "";
}

const char *rlk_result_text(rlk_result result)
{
    (void)result;
    return "";
}
#endif

rlk_result_kind rlk_result_class(rlk_result result)
{
    /* a hundred codes each, in the order of the kinds */
    unsigned kind = (unsigned)RLK_KIND_USAGE + (unsigned)-result / 100u;

    if (result >= 0)
        return RLK_KIND_OUTCOME;
    return kind < (unsigned)RLK_KIND_FATAL ? (rlk_result_kind)kind : RLK_KIND_FATAL;
}

const char *rlk_version(void)
{
    return RLK_VERSION_STRING;
}

/* ==== src/resp/writer.h ====
 *
 * Internal: room for what a writer writes.
 */
#ifndef RLKI_RESP_WRITER_H
#define RLKI_RESP_WRITER_H

#include <string.h>

#define WRITER_CRLF_LEN 2

/* What surrounds the digits of a count: type byte and CRLF. */
#define WRITER_COUNT_FRAME (1 + WRITER_CRLF_LEN)

/* What surrounds the digits of a length and the payload. */
#define WRITER_BULK_FRAME (WRITER_COUNT_FRAME + WRITER_CRLF_LEN)

/* A count beyond it saturates: the sum of two that are not, and a frame, does not wrap. */
#define WRITER_COUNT_MAX (SIZE_MAX / 4)

/*
 * Counts `frame` + `len` bytes more, and returns where they go: NULL when they don't fit. Once they
 * didn't, nothing later can: the count stays beyond the room. It saturates rather than wrap.
 */
RLKI_API inline uint8_t *rlki_writer_reserve(rlk_resp_writer *writer, size_t frame, size_t len)
{
    size_t at = writer->len;

    if (at > WRITER_COUNT_MAX || len > WRITER_COUNT_MAX) {
        writer->len = SIZE_MAX;
        return NULL;
    }
    writer->len = at + frame + len;
    return writer->len <= writer->cap ? writer->buf + at : NULL;
}

/* The line of a count, or of a length and the CRLF behind as many bytes. Returns the byte behind
 * the line, or NULL when there is no room. */
RLKI_API RLKI_INTO_CALLERS uint8_t *rlki_writer_put(rlk_resp_writer *writer, rlk_resp_type type,
                                           size_t number)
{
    bool is_bulk = type == RLK_RESP_BULK;
    size_t width = 1;
    size_t rest;
    uint8_t *at;
    uint8_t *digit;

    for (rest = number; rest >= 10u; rest /= 10u)
        width++;
    at = rlki_writer_reserve(writer, width + (is_bulk ? WRITER_BULK_FRAME : WRITER_COUNT_FRAME),
                             is_bulk ? number : 0);
    if (at == NULL)
        return NULL;
    *at++ = (uint8_t)type;
    at += width;
    if (is_bulk)
        memcpy(at + WRITER_CRLF_LEN + number, "\r\n", WRITER_CRLF_LEN);
    digit = at;
    while (number >= 10u) {
        *--digit = (uint8_t)('0' + number % 10u);
        number /= 10u;
    }
    *--digit = (uint8_t)('0' + number);
    memcpy(at, "\r\n", WRITER_CRLF_LEN);
    return at + WRITER_CRLF_LEN;
}

#endif

/* ==== src/resp/writer.c ====
 *
 * Commands to bytes: arrays of bulk strings, written straight into the caller's memory.
 */

#include <string.h>

/* Digits of UINT64_MAX. */
#define WRITER_DIGITS_MAX 20

/*
 * Divides by ten and returns the remainder. In pieces that 32-bit machines can divide: a
 * 64-bit division is a library call there.
 */
static uint32_t writer_divide_by_ten(uint64_t *value)
{
    uint32_t high = (uint32_t)(*value >> 32);
    uint32_t low = (uint32_t)*value;
    uint32_t middle = (high % 10u) << 16 | low >> 16;
    uint32_t last = (middle % 10u) << 16 | (low & 0xFFFFu);

    *value = (uint64_t)(high / 10u) << 32 | (uint64_t)(middle / 10u) << 16 | last / 10u;
    return last % 10u;
}

/* Writes the digits of `value` so that they end before `end`; returns where they begin. */
static uint8_t *writer_digits(uint8_t *end, uint64_t value)
{
    uint32_t low;

    while (value > UINT32_MAX)
        *--end = (uint8_t)('0' + writer_divide_by_ten(&value));
    low = (uint32_t)value;
    do {
        *--end = (uint8_t)('0' + low % 10u);
        low /= 10u;
    } while (low != 0);
    return end;
}

extern inline uint8_t *rlki_writer_reserve(rlk_resp_writer *writer, size_t frame, size_t len);

void rlk_resp_writer_init(rlk_resp_writer *writer, uint8_t *buf, size_t cap)
{
    writer->buf = buf;
    writer->cap = cap;
    writer->len = 0;
}

void rlk_resp_put_raw(rlk_resp_writer *writer, const void *data, size_t len)
{
    uint8_t *at = rlki_writer_reserve(writer, 0, len);

    if (at != NULL && len != 0)
        memcpy(at, data, len);
}

extern inline uint8_t *rlki_writer_put(rlk_resp_writer *writer, rlk_resp_type type, size_t number);

void rlk_resp_put_command(rlk_resp_writer *writer, uint32_t argc)
{
    (void)rlki_writer_put(writer, RLK_RESP_ARRAY, argc);
}

uint8_t *rlk_resp_put_hole(rlk_resp_writer *writer, size_t len)
{
    return rlki_writer_put(writer, RLK_RESP_BULK, len);
}

static inline void writer_bulk(rlk_resp_writer *writer, const void *data, size_t len)
{
    uint8_t *at = rlki_writer_put(writer, RLK_RESP_BULK, len);

    if (at != NULL && len != 0)
        memcpy(at, data, len);
}

void rlk_resp_put_bulk(rlk_resp_writer *writer, const void *data, size_t len)
{
    writer_bulk(writer, data, len);
}

void rlk_resp_put_integer(rlk_resp_writer *writer, int64_t value)
{
    uint8_t text[WRITER_DIGITS_MAX + 1];
    uint8_t *end = text + sizeof text;
    uint8_t *begin;

    /* INT64_MIN has no positive; its bits, negated without a sign, are right all the same */
    begin = writer_digits(end, value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--begin = '-';
    writer_bulk(writer, begin, (size_t)(end - begin));
}

rlk_result rlk_resp_writer_result(const rlk_resp_writer *writer)
{
    /* a count that saturated is more than any room */
    return writer->len <= writer->cap && writer->len != SIZE_MAX ? RLK_OK : RLK_E_BUFFER;
}

size_t rlk_resp_encode(uint8_t *buf, size_t cap, uint32_t argc, const void *const *argv,
                       const size_t *lens)
{
    rlk_resp_writer writer;
    uint32_t i;

    rlk_resp_writer_init(&writer, buf, cap);
    rlk_resp_put_command(&writer, argc);
    for (i = 0; i < argc; i++)
        rlk_resp_put_bulk(&writer, argv[i], lens[i]);
    return writer.len;
}

/* ==== src/net/backoff.h ====
 *
 * Internal: pauses between two attempts to connect.
 */
#ifndef RLKI_NET_BACKOFF_H
#define RLKI_NET_BACKOFF_H

/* Back to the shortest bound. */
RLKI_API void rlki_backoff_reset(rlk_conn *conn);

/* Time to the next attempt: random in 1..bound; then the bound doubles up to its cap. */
RLKI_API uint32_t rlki_backoff_next(rlk_conn *conn);

#endif

/* ==== src/net/backoff.c ====
 *
 * Time between two attempts to connect: exponential backoff with full jitter, so that the clients
 * of a server that comes back don't come back in step.
 */

/* Marsaglia's xorshift, 13/17/5: full period over all states but 0. */
static uint32_t backoff_random(rlk_conn *conn)
{
    uint32_t x = conn->backoff.random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    conn->backoff.random = x;
    return x;
}

void rlki_backoff_reset(rlk_conn *conn)
{
    conn->backoff.bound_ms =
        conn->backoff.min_ms < conn->backoff.max_ms ? conn->backoff.min_ms : conn->backoff.max_ms;
}

uint32_t rlki_backoff_next(rlk_conn *conn)
{
    uint32_t bound = conn->backoff.bound_ms;
    /* Scaled by multiplication: no division, and no bias that matters here. */
    uint32_t delay = (uint32_t)(((uint64_t)backoff_random(conn) * bound) >> 32);

    conn->backoff.bound_ms = bound > conn->backoff.max_ms / 2 ? conn->backoff.max_ms : bound * 2;
    return delay + 1;
}

/* ==== src/net/conn_flags.h ====
 *
 * Internal: rlk_conn.flags, and what is asked of a connection all the time.
 */
#ifndef RLKI_NET_CONN_FLAGS_H
#define RLKI_NET_CONN_FLAGS_H

#define CONN_DUE         0x01u /* WAITING: the next attempt is due */
#define CONN_OPEN        0x02u /* the driver has a stream or an attempt that it must close */
#define CONN_PLAIN       0x04u /* the next attempts leave out what the peer may not know */
#define CONN_FENCE_DUE   0x08u /* `old` may still have commands on their way */
#define CONN_RESP2_ONLY  0x10u /* configured */
#define CONN_RECEIVED    0x20u /* at least one token came on this stream */
#define CONN_UNFENCED    0x40u /* became ready without the fence that was due */
#define CONN_NO_TRACKING 0x80u /* configured */
#define CONN_TRACKING    0x100u
#define CONN_SERVED      0x200u /* a request was answered on this stream, last by a server at work */
#define CONN_REPLACED                                                                              \
    0x400u                 /* the stream before was condemned or reset; until READY is reported    \
                            */
#define CONN_RESET 0x800u  /* CLOSING: then forget why, and connect at once */
#define CONN_WHOLE 0x1000u /* the peer took a handshake that left nothing out, once */
#define CONN_MUTE  0x2000u /* the last failure was of a peer that had not replied */

/* A stream is up, and bytes may go and come. */
static inline bool conn_is_up(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_HANDSHAKE || conn->state == RLK_CONN_READY;
}

/* What rlk_conn_get_state and the like return, as parts of their callers. */
static inline rlk_conn_state rlki_conn_state(const rlk_conn *conn)
{
    return (rlk_conn_state)conn->state;
}

static inline int64_t rlki_conn_now(const rlk_conn *conn)
{
    return conn->now_ms;
}

static inline int64_t rlki_conn_deadline(const rlk_conn *conn)
{
    return conn->deadline_ms;
}

static inline uint32_t rlki_conn_generation(const rlk_conn *conn)
{
    return conn->generation;
}

static inline unsigned rlki_conn_server(const rlk_conn *conn)
{
    return conn->server;
}

/* The last failure was of a peer that had not sent a reply. */
static inline bool rlki_conn_was_mute(const rlk_conn *conn)
{
    return (conn->flags & CONN_MUTE) != 0;
}

/* HELLO is left out: the stream begins as RESP2. */
static inline bool conn_is_resp2_only(const rlk_conn *conn)
{
#ifdef RLK_RESP2_ONLY
    (void)conn;
    return true;
#else
    return (conn->flags & CONN_RESP2_ONLY) != 0;
#endif
}

#endif

/* ==== src/net/condemn.h ====
 *
 * Internal: streams that are ended because of what the server says.
 */
#ifndef RLKI_NET_CONDEMN_H
#define RLKI_NET_CONDEMN_H

/* Returns the number of an address in 32 bits, which is not 0. `peer` is the driver's, and may
 * differ in any of its bits. */
RLKI_API uint32_t rlki_condemn_number(uint64_t peer);

/* True of an error that can condemn a stream. */
RLKI_API bool rlki_condemn_is_for(rlk_result error);

/* Takes note of what a request was answered (RLK_OK: no error). True: the stream must end for it.
 */
RLKI_API bool rlki_condemn_by(rlk_conn *conn, rlk_result error);
RLKI_API inline bool rlki_condemn(rlk_conn *conn, rlk_result error)
{
    if (error == RLK_OK && (conn->flags & CONN_SERVED) != 0)
        return false;
    return rlki_condemn_by(conn, error);
}

/* The same of an error that ends a handshake: the next attempt begins behind this address. */
RLKI_API void rlki_condemn_address(rlk_conn *conn, rlk_result error);

/* Forgets all streams that were condemned. */
RLKI_API void rlki_condemn_forget(rlk_conn *conn);

/* From within `changed` that reports READY: true if this stream takes the place of one that was
 * condemned, or that rlk_conn_reset ended. */
RLKI_API bool rlki_condemn_was_replaced(const rlk_conn *conn);

#endif

/* ==== src/net/error.h ====
 *
 * Internal: what error replies of servers mean, and whom they concern.
 */
#ifndef RLKI_NET_ERROR_H
#define RLKI_NET_ERROR_H

/*
 * The one table of errors: the beginning of what a server says, its rlk_key_hash, what it means and
 * whom it concerns (rlki_scope). The library holds the hash alone: test_error compares each
 * one with its text. The first table has the first words of replies.
 */
#define RLKI_ERROR_CODES(X)                                                                        \
    X("NOSCRIPT", 0x5ff0ed11, RLK_E_NOSCRIPT, COMMAND)                                             \
    X("READONLY", 0xaf103577, RLK_E_READONLY, STREAM)                                              \
    X("LOADING", 0xe91c1557, RLK_E_LOADING, LASTING)                                               \
    X("BUSY", 0x06b6a1c0, RLK_E_SCRIPT_BUSY, COMMAND)                                              \
    X("MASTERDOWN", 0xd6a670ef, RLK_E_MASTERDOWN, LASTING)                                         \
    X("MISCONF", 0x65d5f2b6, RLK_E_MISCONF, COMMAND)                                               \
    X("OOM", 0x2903b4ea, RLK_E_OOM, COMMAND)                                                       \
    X("WRONGTYPE", 0x9b226866, RLK_E_WRONGTYPE, COMMAND)                                           \
    X("NOREPLICAS", 0x2ea2817b, RLK_E_NOREPLICAS, COMMAND)                                         \
    X("MOVED", 0x7fd86c30, RLK_E_MOVED, FINAL)                                                     \
    X("ASK", 0x5cad7d72, RLK_E_ASK, FINAL)                                                         \
    X("CLUSTERDOWN", 0xda213d1d, RLK_E_CLUSTERDOWN, COMMAND)                                       \
    X("TRYAGAIN", 0x88ac9676, RLK_E_TRYAGAIN, COMMAND)                                             \
    X("CROSSSLOT", 0x9a4c6bc7, RLK_E_CROSSSLOT, FINAL)                                             \
    X("NOPERM", 0x3a60866c, RLK_E_NOPERM, FINAL)                                                   \
    X("NOAUTH", 0x411ecab0, RLK_E_NOAUTH, STREAM)                                                  \
    X("WRONGPASS", 0x3cdac087, RLK_E_AUTH, FINAL)                                                  \
    X("DENIED", 0x86d8fef6, RLK_E_PROTECTED, FINAL)                                                \
    X("NOPROTO", 0x1f06bb10, RLK_E_UNSUPPORTED, FINAL)

/*
 * The second table has texts behind the code ERR, the shorter ones first. RLK_OK: the text has the
 * code of a command inside a script among its words, before Redis 7. Two more are of ACL denials
 * inside a script, in Redis 7.0 and later.
 */
#define RLKI_ERROR_SENTENCES(X)                                                                    \
    X("unknown command", 0xb2e7ae38, RLK_E_UNSUPPORTED, FINAL)                                     \
    X("invalid password", 0x4af404f9, RLK_E_AUTH, FINAL)                                           \
    X("unknown subcommand", 0x65504dec, RLK_E_UNSUPPORTED, FINAL)                                  \
    X("Unknown subcommand", 0xe7a45d8c, RLK_E_UNSUPPORTED, FINAL)                                  \
    X("Error running script", 0x94d77db5, RLK_OK, UNKNOWN)                                         \
    X("max number of clients", 0xcb3cb34f, RLK_E_SERVER_FULL, COMMAND)                             \
    X("ACL failure in script", 0xc38f1f7f, RLK_E_NOPERM, FINAL)                                    \
    X("The user executing the script", 0x84a4b6db, RLK_E_NOPERM, FINAL)                            \
    X("Could not find scripting engine", 0x14c2bac7, RLK_E_UNSUPPORTED, FINAL)                     \
    X("Client sent AUTH, but no password is set", 0xb21ebdab, RLK_E_AUTH, FINAL)                   \
    X("AUTH <password> called without any password", 0x80eb4ad4, RLK_E_AUTH, FINAL)                \
    X("This instance has Lua scripting support disabled", 0x81346408, RLK_E_UNSUPPORTED, FINAL)

typedef enum rlki_scope {
    RLKI_SCOPE_UNKNOWN, /* no error that servers are known for: the command was executed or not */
    /* The others say for certain that the command was not executed. */
    RLKI_SCOPE_COMMAND, /* refused for now: the same may be asked again on this stream */
    RLKI_SCOPE_STREAM,  /* this stream leads to the wrong server, or says nothing more to us */
    RLKI_SCOPE_LASTING, /* the same, if it lasts */
    RLKI_SCOPE_FINAL    /* refused for good: not to be asked again */
} rlki_scope;

/* Whom the error concerns that rlk_server_error read; RLKI_SCOPE_UNKNOWN of other results. */
RLKI_API rlki_scope rlki_error_scope(rlk_result error);

#endif

/* ==== src/net/error.c ====
 *
 * What the error replies of servers mean.
 */

#include <string.h>

/* A row of the tables. The length of a code is that of its word: none is needed. */
typedef struct error_row {
    uint32_t hash;
    int16_t meaning;
    uint8_t scope;
    uint8_t len;
} error_row;

#define ERROR_CODE(text, hash, meaning, scope) {hash, meaning, RLKI_SCOPE_##scope, 0},
#define ERROR_SENTENCE(text, hash, meaning, scope)                                                 \
    {hash, meaning, RLKI_SCOPE_##scope, sizeof(text) - 1},

/* A term of a sum.
 * NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define ERROR_ONE(text, hash, meaning, scope) +1

enum {
    ERROR_CODES_LEN = 0 RLKI_ERROR_CODES(ERROR_ONE),
    ERROR_LEN = ERROR_CODES_LEN RLKI_ERROR_SENTENCES(ERROR_ONE)
};

static const error_row error_rows[ERROR_LEN] = {RLKI_ERROR_CODES(ERROR_CODE)
                                                    RLKI_ERROR_SENTENCES(ERROR_SENTENCE)};

static size_t error_word(const uint8_t *text, size_t len)
{
    size_t n = 0;

    while (n < len && text[n] != ' ')
        n++;
    return n;
}

/* What a whole word means as a code. */
static int error_code(const uint8_t *word, size_t len)
{
    uint32_t hash = rlk_key_hash(RLK_KEY_HASH, word, len);
    unsigned i;

    for (i = 0; i < ERROR_CODES_LEN; i++)
        if (error_rows[i].hash == hash)
            return error_rows[i].meaning;
    return RLK_E_SERVER;
}

/* What a text behind ERR means, by its beginning. RLK_OK: error_inside knows. */
static int error_sentence(const uint8_t *text, size_t len)
{
    uint32_t hash = RLK_KEY_HASH;
    size_t hashed = 0;
    unsigned i;

    for (i = ERROR_CODES_LEN; i < ERROR_LEN && error_rows[i].len <= len; i++) {
        size_t n = error_rows[i].len;

        hash = rlk_key_hash(hash, text + hashed, n - hashed);
        hashed = n;
        if (error_rows[i].hash == hash)
            return error_rows[i].meaning;
    }
    return RLK_E_SERVER;
}

/* The first error code among the words, which old servers precede with a dash. */
static int error_inside(const uint8_t *text, size_t len)
{
    int result = RLK_E_SERVER;

    while (len > 0 && result == RLK_E_SERVER) {
        size_t n = error_word(text, len);
        size_t dash = n > 0 && text[0] == '-';

        result = error_code(text + dash, n - dash);
        if (n < len)
            n++;
        text += n;
        len -= n;
    }
    return result;
}

RLKI_APART_FOR_SIZE rlk_result rlk_server_error(const uint8_t *text, size_t len)
{
    size_t n = error_word(text, len);
    int meaning;

    if (n == len || n != 3 || memcmp(text, "ERR", 3) != 0)
        return (rlk_result)error_code(text, n);
    text += n + 1;
    len -= n + 1;
    meaning = error_sentence(text, len);
    return (rlk_result)(meaning == RLK_OK ? error_inside(text, len) : meaning);
}

rlki_scope rlki_error_scope(rlk_result error)
{
    unsigned i;

    for (i = 0; i < ERROR_LEN; i++)
        if (error_rows[i].meaning == (int)error)
            return (rlki_scope)error_rows[i].scope;
    return RLKI_SCOPE_UNKNOWN;
}

/* ==== src/net/condemn.c ====
 *
 * Errors that condemn the stream: the server is not, or no longer, the one that the URL means.
 *
 *                    READONLY, NOAUTH: the last round began long ago,
 *                    or this address is not condemned in it yet
 *           READY ----------------------------------------------------> CLOSING
 *            |  ^ |    LOADING, MASTERDOWN: the same, once it lasts         |
 *            |  | |                                                         | resolved anew, from
 *            |  +-' else the error is the command's own                     | the address behind
 *            v                                                              v
 *        (any answer but these: the server serves)              WAITING ... HANDSHAKE
 *                                                                 ^             | LOADING ...
 *                                                                 +-------------'
 *
 * A server that was demoted keeps its connections, and the name means another by now. So the
 * stream ends, and the driver resolves the name anew. Of several addresses it takes the one behind
 * the condemned one. A round is a visit to each of them. A new one begins RLK_CONDEMN_MS after the
 * last one began: a name without any primary makes no storm of connections.
 *
 * The command that was refused is lost with its stream, as one that was never sent. So its owner
 * asks again on the next stream by the same path as after any other loss, and there is no second
 * path for calls that end at their first error. A refusal that condemns nothing goes to its owner.
 */

/* A time in 32 bits, and not 0. What it is compared with is less than 49 days away, or one more
 * stream is kept for a while. */
static uint32_t condemn_stamp(const rlk_conn *conn)
{
    return (uint32_t)conn->now_ms | 1u;
}

static bool condemn_is_past(const rlk_conn *conn, uint32_t since)
{
    return condemn_stamp(conn) - since >= RLK_CONDEMN_MS;
}

uint32_t rlki_condemn_number(uint64_t peer)
{
    return rlk_key_hash(RLK_KEY_HASH, &peer, sizeof peer) | 1u;
}

/* The server serves: connecting to it is no storm, unless it went from address to address. */
static void condemn_served(rlk_conn *conn)
{
    conn->flags |= CONN_SERVED;
    conn->phase.ready.lasting_ms = 0;
    if (conn->condemn.round_ms == 0 || condemn_is_past(conn, conn->condemn.round_ms))
        rlki_backoff_reset(conn);
}

/* It does not, for now. True if that has lasted. */
static bool condemn_lasts(rlk_conn *conn)
{
    conn->flags &= (uint16_t)~CONN_SERVED;
    if (conn->phase.ready.lasting_ms == 0)
        conn->phase.ready.lasting_ms = condemn_stamp(conn);
    return condemn_is_past(conn, conn->phase.ready.lasting_ms);
}

/* True if a round may go on, or begin, with the address of this stream. */
static bool condemn_in_round(rlk_conn *conn)
{
    uint32_t number = conn->identity.peer;

    if (conn->condemn.round_ms != 0 && !condemn_is_past(conn, conn->condemn.round_ms))
        return number != conn->condemn.round_first && number != conn->condemn.address;
    conn->condemn.round_ms = condemn_stamp(conn);
    conn->condemn.round_first = number;
    return true;
}

bool rlki_condemn_is_for(rlk_result error)
{
    rlki_scope scope = rlki_error_scope(error);

    return scope == RLKI_SCOPE_STREAM || scope == RLKI_SCOPE_LASTING;
}

extern inline bool rlki_condemn(rlk_conn *conn, rlk_result error);

bool rlki_condemn_by(rlk_conn *conn, rlk_result error)
{
    if (!rlki_condemn_is_for(error)) {
        condemn_served(conn);
        return false;
    }
    if (rlki_error_scope(error) == RLKI_SCOPE_LASTING && !condemn_lasts(conn))
        return false;
    if (!condemn_in_round(conn))
        return false;
    conn->condemn.address = conn->identity.peer;
    conn->flags |= CONN_REPLACED;
    return true;
}

void rlki_condemn_address(rlk_conn *conn, rlk_result error)
{
    if (rlki_condemn_is_for(error))
        conn->condemn.address = conn->identity.peer;
}

void rlki_condemn_forget(rlk_conn *conn)
{
    conn->condemn.address = 0;
    conn->condemn.round_ms = 0;
}

bool rlki_condemn_was_replaced(const rlk_conn *conn)
{
    return (conn->flags & CONN_REPLACED) != 0;
}

bool rlk_conn_is_condemned(const rlk_conn *conn, uint64_t peer)
{
    return conn->condemn.address == rlki_condemn_number(peer);
}

/* ==== src/net/conn_config.h ====
 *
 * Internal: the configuration of a connection.
 */
#ifndef RLKI_NET_CONN_CONFIG_H
#define RLKI_NET_CONN_CONFIG_H

/* RLK_OK, and the configuration is copied; or what is wrong with it. */
RLKI_API rlk_result rlki_config_take(rlk_conn *conn, const rlk_conn_config *config);

/* True if a text that the connection leaves where the caller has it is another now. */
RLKI_API bool rlki_config_dangles(const rlk_conn *conn);

/* Name of the first buffer of a configuration that is too small (*size, of which *least is needed)
 * or too large; NULL: none is. With RLK_NO_TEXT the name is "". */
RLKI_API const char *rlki_conn_bad_buffer(const rlk_conn_config *config, size_t *size, size_t *least);

#endif

/* ==== src/net/limit.h ====
 *
 * Limits of a configuration.
 */
#ifndef RLKI_LIMIT_H
#define RLKI_LIMIT_H

/* Positions in buffers are 32 bits, and their differences are compared with a sign. */
#define RLKI_BUFFER_MAX 0x40000000u

/* Takes a limit as users give it: 0 is the default. False: negative, or beyond RLK_TIME_LIMIT_MAX.
 */
RLKI_API bool rlki_limit_take(uint32_t *out_ms, int64_t value_ms, uint32_t default_ms);

#endif

/* ==== src/net/limit.c ==== */

RLKI_APART_FOR_SIZE bool rlki_limit_take(uint32_t *out_ms, int64_t value_ms, uint32_t default_ms)
{
    *out_ms = value_ms == 0 ? default_ms : (uint32_t)value_ms;
    return value_ms >= 0 && value_ms <= RLK_TIME_LIMIT_MAX;
}

/* ==== src/net/steps.h ====
 *
 * Internal: the steps of the handshake, as entries of the ring.
 */
#ifndef RLKI_NET_STEPS_H
#define RLKI_NET_STEPS_H

/* rlk_conn_entry.kind: a step of the handshake, in the order in which they are sent; or a request
 * of the layer above. */
enum {
#ifndef RLK_RESP2_ONLY
    CONN_STEP_HELLO,
#endif
    CONN_STEP_AUTH,
    CONN_STEP_SETNAME,
#ifndef RLK_RESP2_ONLY
    CONN_STEP_TRACKING,
#endif
    CONN_STEP_CLIENT_ID,
    CONN_STEP_SELECT,
    CONN_STEP_INFO,
    CONN_STEP_FENCE,
    CONN_STEP_SCRIPTS, /* at any time, if the server forgot them */
    CONN_STEP_PROBE,
    CONN_STEP_EVAL,
    CONN_STEPS,
    CONN_REQUEST = 0xff
};

/* conn_step.flags */
#define CONN_STEP_OPTIONAL 0x01u /* an error is tolerated */
#define CONN_STEP_SECRET   0x02u /* the command has the password in it */
#define CONN_STEP_EXTRA    0x04u /* left out where the peer hangs up at what it does not know */

typedef struct conn_step {
    const char *name;
    /* Writes the command. RLK_OK; with nothing written the step is skipped. RLK_PENDING: it waits
     * until all earlier replies were read. Or why the attempt fails. */
    rlk_result (*encode)(rlk_conn *conn, rlk_resp_writer *writer);
    void (*token)(rlk_conn *conn, const rlk_resp_token *token);  /* NULL: ignored */
    rlk_result (*reply)(rlk_conn *conn, const rlk_reply *reply); /* NULL: any will do */
    uint8_t flags;
} conn_step;

/* Name of CONN_STEP_SCRIPTS. */
#define CONN_SCRIPT_LOAD "SCRIPT LOAD"

/* Begins a command: writes the words of `words`, which one space each separates. `more` arguments
 * follow. */
RLKI_API void rlki_step_command(rlk_resp_writer *writer, const char *words, uint32_t more);

/* Writes one argument of a command. */
RLKI_API void rlki_step_word(rlk_resp_writer *writer, const char *word);

/* True of an error that says nothing of the command: any other would meet it too. */
RLKI_API bool rlki_step_is_refused(rlk_result error);

/* RLK_OK if the reply is a simple string, else what it says instead. */
RLKI_API rlk_result rlki_step_simple(const rlk_reply *reply);

#endif

/* ==== src/net/steps.c ==== */

#include <string.h>

/* Length of the word at the beginning of a text. */
static size_t step_word_len(const char *text)
{
    size_t n = 0;

    while (text[n] != ' ' && text[n] != '\0')
        n++;
    return n;
}

void rlki_step_command(rlk_resp_writer *writer, const char *words, uint32_t more)
{
    const char *at;

    for (at = words; *at != '\0'; at++)
        if (*at == ' ')
            more++;
    rlk_resp_put_command(writer, more + 1);
    do {
        size_t n = step_word_len(words);

        rlk_resp_put_bulk(writer, words, n);
        words += n;
    } while (*words++ != '\0');
}

void rlki_step_word(rlk_resp_writer *writer, const char *word)
{
    rlk_resp_put_bulk(writer, word, strlen(word));
}

bool rlki_step_is_refused(rlk_result error)
{
    switch (error) {
    case RLK_E_LOADING:
    case RLK_E_SCRIPT_BUSY:
    case RLK_E_MASTERDOWN:
    case RLK_E_PROTECTED:
    case RLK_E_SERVER_FULL:
        return true;
    default:
        return false;
    }
}

rlk_result rlki_step_simple(const rlk_reply *reply)
{
    if (reply->error != RLK_OK)
        return reply->error;
    return reply->type == RLK_RESP_SIMPLE ? RLK_OK : RLK_E_UNEXPECTED;
}

/* ==== src/net/login.h ====
 *
 * Internal: user and password, for the steps of the handshake that have them.
 */
#ifndef RLKI_NET_LOGIN_H
#define RLKI_NET_LOGIN_H

/* Texts are where the caller or the URL has them; only the transmit buffer gets a copy. */
typedef struct rlki_login {
    rlk_credentials texts;
    bool escaped; /* percent-encoded, as in the URL */
    bool wanted;
} rlki_login;

/* Asks for them: the hook, or the URL. RLK_OK, RLK_E_CREDENTIALS, RLK_E_DANGLING. */
RLKI_API rlk_result rlki_login_ask(rlk_conn *conn, rlki_login *login);

/* Writes the user, if it has one, and the password: an argument of a command each. */
RLKI_API void rlki_login_put(rlk_resp_writer *writer, const rlki_login *login);

/* Room in tx that the URL's credentials need, RLK_CONN_TX_MIN without any. */
RLKI_API size_t rlki_login_room(const rlk_url *url);

#endif

/* ==== src/net/login.c ====
 *
 * User and password, and the step AUTH. HELLO has them too (hello.c).
 */

#include <string.h>

/* ---- Credentials ------------------------------------------------------------------------- */

/* Those of the URL. A user alone has an empty password; ":@" is nobody. */
static RLKI_APART_FOR_SIZE void login_of_url(const rlk_url *url, rlki_login *login)
{
    login->texts.user = url->user;
    login->texts.user_len = url->user != NULL ? url->user_len : 0;
    login->texts.password = url->password;
    login->texts.password_len = url->password != NULL ? url->password_len : 0;
    login->escaped = true;
    login->wanted = (login->texts.user_len | login->texts.password_len) != 0;
}

/* Those of the hook. */
static rlk_result login_of_hook(const rlk_conn *conn, rlki_login *login)
{
    int refused;

    memset(login, 0, sizeof *login);
    refused = conn->login.hook(conn->login.context, &login->texts);
    if (refused != 0)
        return refused == RLK_E_DANGLING ? RLK_E_DANGLING : RLK_E_CREDENTIALS;
    if (login->texts.user == NULL)
        login->texts.user_len = 0;
    login->wanted = login->texts.password != NULL;
    return RLK_OK;
}

/* The connection remembers where the password is, as long as its owner leaves it there: until the
 * handshake is over. */
rlk_result rlki_login_ask(rlk_conn *conn, rlki_login *login)
{
    rlk_result result = RLK_OK;

    if (conn->login.hook == NULL)
        login_of_url(&conn->url, login);
    else
        result = login_of_hook(conn, login);
#ifndef RLK_NO_TEXT
    conn->phase.handshake.password = login->texts.password;
    conn->phase.handshake.password_len = login->wanted ? login->texts.password_len : 0;
#endif
    return result;
}

static size_t login_plain_len(const char *text, size_t len, bool escaped)
{
    return escaped ? rlk_url_decode(text, len, NULL, 0) : len;
}

static void login_put(rlk_resp_writer *writer, const char *text, size_t len, bool escaped)
{
    size_t plain = login_plain_len(text, len, escaped);
    uint8_t *hole = rlk_resp_put_hole(writer, plain);

    if (hole == NULL || plain == 0)
        return;
    if (escaped)
        (void)rlk_url_decode(text, len, hole, plain);
    else
        memcpy(hole, text, len);
}

void rlki_login_put(rlk_resp_writer *writer, const rlki_login *login)
{
    if (login->texts.user_len != 0)
        login_put(writer, login->texts.user, login->texts.user_len, login->escaped);
    login_put(writer, login->texts.password, login->texts.password_len, login->escaped);
}

size_t rlki_login_room(const rlk_url *url)
{
    rlki_login login;

    login_of_url(url, &login);
    if (!login.wanted)
        return RLK_CONN_TX_MIN;
    return RLK_CONN_TX_AUTH(login_plain_len(login.texts.user, login.texts.user_len, true),
                            login_plain_len(login.texts.password, login.texts.password_len, true));
}

/* ---- AUTH -------------------------------------------------------------------------------- */

/* Unless HELLO did it: while that is not known, it waits. The default user is who gives no name: so
 * servers before Redis 6, which know no names, take him too (fault 101). */
static rlk_result login_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlki_login login;
    rlk_result result;

    if ((conn->server & RLK_SERVER_HELLO) != 0)
        return RLK_OK;
    if (conn->ring.used != 0)
        return RLK_PENDING;
    result = rlki_login_ask(conn, &login);
    if (result != RLK_OK || !login.wanted)
        return result;
    if (login.texts.user_len == 7 && memcmp(login.texts.user, "default", 7) == 0)
        login.texts.user_len = 0;
    if (login.texts.user_len != 0)
        conn->server |= RLK_SERVER_NAMED;
    rlki_step_command(writer, "AUTH", login.texts.user_len != 0 ? 2 : 1);
    rlki_login_put(writer, &login);
    return RLK_OK;
}

/*
 * A refusal in words that nobody knows is fatal all the same: the same password would meet the same
 * words, and servers count failures against a user (fault 108). With a user's name it is most
 * likely the name that is not known: "wrong number of arguments" (fault 101).
 */
static rlk_result login_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->error == RLK_E_SERVER)
        return (conn->server & RLK_SERVER_NAMED) != 0 ? RLK_E_USER : RLK_E_AUTH;
    return rlki_step_simple(reply);
}

RLKI_API const conn_step rlki_step_auth = {
    "AUTH", login_encode, NULL, login_reply, CONN_STEP_SECRET,
};

/* ==== src/net/conn_config.c ====
 *
 * The configuration of a connection. It is checked once. Texts stay where the caller has them, and
 * their hash says whether they are still the same.
 */

/* Longest client name: RLK_CONN_TX_MIN reckons with it. */
#define CONFIG_NAME_MAX 64u

#ifdef RLK_NO_TEXT
#define CONFIG_WORD(word) ""
#else
#define CONFIG_WORD(word) (word)
#endif

/* ---- Texts of the caller ----------------------------------------------------------------- */

static uint32_t config_hash(uint32_t hash, const char *text, size_t len)
{
    return text != NULL ? rlk_key_hash(hash, text, len) : hash;
}

/* Of all texts that a connection leaves where the caller has them. */
static uint32_t config_texts(const rlk_conn *conn)
{
    const rlk_url *url = &conn->url;
    const char *name = conn->client_name;
    uint32_t hash = RLK_KEY_HASH;
    size_t n;

    hash = config_hash(hash, url->host, url->host_len);
    hash = config_hash(hash, url->path, url->path_len);
    hash = config_hash(hash, url->user, url->user_len);
    hash = config_hash(hash, url->password, url->password_len);
    for (n = 0; name != NULL && n <= CONFIG_NAME_MAX && name[n] != '\0'; n++)
        continue;
    return config_hash(hash, name, n);
}

bool rlki_config_dangles(const rlk_conn *conn)
{
    return config_texts(conn) != conn->texts;
}

/* ---- What is wrong ----------------------------------------------------------------------- */

/* CLIENT SETNAME takes printable characters, without spaces. */
static bool config_is_name(const char *name)
{
    size_t n = 0;

    while (name[n] > ' ' && name[n] < 0x7f && n <= CONFIG_NAME_MAX)
        n++;
    return n > 0 && n <= CONFIG_NAME_MAX && name[n] == '\0';
}

static bool config_buffer_fits(size_t size, size_t least)
{
    return size >= least && size <= RLKI_BUFFER_MAX;
}

const char *rlki_conn_bad_buffer(const rlk_conn_config *config, size_t *size, size_t *least)
{
    *size = config->ring_len;
    *least = RLK_CONN_RING_MIN;
    if (!config_buffer_fits(*size, *least))
        return CONFIG_WORD("ring_len");
    *size = config->rx_cap;
    *least = RLK_CONN_RX_MIN;
    if (!config_buffer_fits(*size, *least))
        return CONFIG_WORD("rx_cap");
    *size = config->tx_cap;
    *least = config->credentials == NULL ? rlki_login_room(&config->url) : RLK_CONN_TX_MIN;
    return config_buffer_fits(*size, *least) ? NULL : CONFIG_WORD("tx_cap");
}

/* Of all except the time limits. */
static RLKI_APART_FOR_SIZE rlk_result config_check(const rlk_conn_config *config)
{
    const rlk_conn_calls *calls = config->calls;
    size_t size;
    size_t least;
    unsigned i;

    if ((config->url.host == NULL && config->url.path == NULL) || config->ring == NULL ||
        config->tx == NULL || config->rx == NULL || calls == NULL || calls->encode == NULL ||
        calls->reply == NULL || calls->lost == NULL || calls->changed == NULL ||
        calls->invalidated == NULL)
        return RLK_E_ARGUMENT;
    if (config->client_name != NULL && !config_is_name(config->client_name))
        return RLK_E_ARGUMENT;
    if (config->scripts == NULL && config->scripts_len != 0)
        return RLK_E_ARGUMENT;
    for (i = 0; i < config->scripts_len; i++)
        if (config->scripts[i].load == NULL || config->scripts[i].load_len == 0)
            return RLK_E_ARGUMENT;
    return rlki_conn_bad_buffer(config, &size, &least) != NULL ? RLK_E_BUFFER : RLK_OK;
}

/* ---- Taken ------------------------------------------------------------------------------- */

static void config_copy(rlk_conn *conn, const rlk_conn_config *config)
{
    conn->url = config->url;
    conn->calls = config->calls;
    conn->calls_context = config->calls_context;
    conn->login.hook = config->credentials;
    conn->login.context = config->credentials_context;
    conn->client_name = config->client_name;
    conn->scripts.all = config->scripts;
    conn->scripts.count = config->scripts_len;
    conn->scripts.next = config->scripts_len;
    conn->ring.entries = config->ring;
    conn->ring.len = config->ring_len;
    conn->tx.bytes = config->tx;
    conn->tx.cap = (uint32_t)config->tx_cap;
    conn->rx.bytes = config->rx;
    conn->rx.cap = (uint32_t)config->rx_cap;
    conn->flags = (uint16_t)((config->resp2_only ? CONN_RESP2_ONLY : 0u) |
                             (config->no_tracking ? CONN_NO_TRACKING : 0u));
    conn->texts = config_texts(conn);
    conn->backoff.random =
        config->jitter_seed != 0 ? config->jitter_seed : 1u; /* 0 is its fixed point */
}

rlk_result rlki_config_take(rlk_conn *conn, const rlk_conn_config *config)
{
    rlk_result result = config_check(config);

    if (result != RLK_OK)
        return result;
    if (!rlki_limit_take(&conn->connect_timeout_ms, config->connect_timeout_ms,
                         RLK_CONNECT_TIMEOUT_MS) ||
        !rlki_limit_take(&conn->response_timeout_ms, config->response_timeout_ms,
                         RLK_RESPONSE_TIMEOUT_MS) ||
        !rlki_limit_take(&conn->backoff.min_ms, config->backoff_min_ms, RLK_BACKOFF_MIN_MS) ||
        !rlki_limit_take(&conn->backoff.max_ms, config->backoff_max_ms, RLK_BACKOFF_MAX_MS))
        return RLK_E_TIMES;
    config_copy(conn, config);
    return RLK_OK;
}

/* ==== src/net/conn_trace.h ====
 *
 * Internal: what a connection counts and traces. Nothing at all with RLK_NO_TRACE.
 */
#ifndef RLKI_NET_CONN_TRACE_H
#define RLKI_NET_CONN_TRACE_H

#ifdef RLK_NO_TRACE
#define CONN_COUNT(conn, counter, by)
#define CONN_TRACE(conn, step, what)
#else
#define CONN_COUNT(conn, counter, by) ((conn)->counter += (uint32_t)(by))
#define CONN_TRACE(conn, step, what)                                                               \
    do {                                                                                           \
        if ((conn)->calls->trace != NULL)                                                          \
            (conn)->calls->trace((conn)->calls_context, (conn), (step), (what));                   \
    } while (0)
#endif

#endif

/* ==== src/net/fence.h ====
 *
 * Internal: the fence between one connection and the next.
 */
#ifndef RLKI_NET_FENCE_H
#define RLKI_NET_FENCE_H

typedef enum rlki_fence {
    RLKI_FENCE_NONE,     /* the old connection can't be fenced */
    RLKI_FENCE_GONE,     /* its instance of the server is gone, and its commands with it */
    RLKI_FENCE_KILL,     /* CLIENT KILL ID: 1 and 0 both fence */
    RLKI_FENCE_KILL_ADDR /* CLIENT KILL ID ADDR: only 1 fences */
} rlki_fence;

/* How the connection `old` can be fenced over `fresh`. */
RLKI_API rlki_fence rlki_fence_decide(const rlk_conn_identity *old, const rlk_conn_identity *fresh);

#endif

/* ==== src/net/local.h ====
 *
 * Internal: our address at the server, in little memory.
 */
#ifndef RLKI_NET_LOCAL_H
#define RLKI_NET_LOCAL_H

/* Packs "ip:port" into what is all zero. So it stays where the text is longer than an address, or
 * has a letter that no address has. */
RLKI_API void rlki_local_pack(rlk_conn_local *local, const char *text);

/* Unpacks it, terminated. */
RLKI_API void rlki_local_text(const rlk_conn_local *local, char text[RLK_CONN_LOCAL]);

static inline bool rlki_local_is_known(const rlk_conn_local *local)
{
    return local->words[0] != 0;
}

#endif

/* ==== src/net/local.c ====
 *
 * Our address at the server is kept twice, of this stream and of the one before, and only CLIENT
 * KILL needs it. So it is packed: each word has seven letters, as digits of base 21.
 */

#include <string.h>

#define LOCAL_BASE      21u /* 21^7 is less than 2^32 */
#define LOCAL_WORD_LEN  7u
#define LOCAL_WORDS_LEN (RLK_CONN_LOCAL / LOCAL_WORD_LEN)

/* The digit of a letter is its place here. Zero ends the text. */
static const char local_letters[] = "\0000123456789abcdef.:[]";

/* Returns the digit of a letter, LOCAL_BASE if it has none. */
static uint32_t local_digit(char letter)
{
    uint32_t digit = 0;

    while (digit < LOCAL_BASE && local_letters[digit] != letter)
        digit++;
    return digit;
}

void rlki_local_pack(rlk_conn_local *local, const char *text)
{
    unsigned i;

    for (i = 0; i < RLK_CONN_LOCAL; i++) {
        uint32_t *word = &local->words[i / LOCAL_WORD_LEN];
        uint32_t digit = local_digit(*text);

        if (digit == LOCAL_BASE || (digit != 0 && i == RLK_CONN_LOCAL - 1))
            break; /* no address */
        *word = *word * LOCAL_BASE + digit;
        if (digit != 0)
            text++;
    }
    if (*text != '\0')
        memset(local, 0, sizeof *local);
}

void rlki_local_text(const rlk_conn_local *local, char text[RLK_CONN_LOCAL])
{
    unsigned i;
    unsigned k;

    for (i = 0; i < LOCAL_WORDS_LEN; i++) {
        uint32_t word = local->words[i];

        for (k = LOCAL_WORD_LEN; k-- > 0; word /= LOCAL_BASE)
            text[i * LOCAL_WORD_LEN + k] = local_letters[word % LOCAL_BASE];
    }
}

/* ==== src/net/server_text.h ====
 *
 * Internal: the text of a server's error, as a connection keeps it.
 */
#ifndef RLKI_NET_SERVER_TEXT_H
#define RLKI_NET_SERVER_TEXT_H

/* Forgets the text, every byte of it. */
RLKI_API void rlki_text_forget(rlk_conn *conn);

/* Appends as much of a token as there is room for; the first one of a string begins anew. */
RLKI_API void rlki_text_keep(rlk_conn *conn, const rlk_resp_token *token);

/* Masks what the text, which means `error`, repeats of a command: the password, if that was
 * `secret`, and tokens. */
RLKI_API void rlki_text_mask(rlk_conn *conn, rlk_result error, bool secret);

#endif

/* ==== src/net/wipe.h ====
 *
 * Internal: memory that had a secret in it.
 */
#ifndef RLKI_NET_WIPE_H
#define RLKI_NET_WIPE_H

/* Zeros that the compiler can't leave out. */
RLKI_API void rlki_wipe(void *memory, size_t len);

#endif

/* ==== src/net/wipe.c ==== */

void rlki_wipe(void *memory, size_t len)
{
    volatile uint8_t *at = (volatile uint8_t *)memory;

    while (len-- > 0)
        *at++ = 0;
}

/* ==== src/net/server_text.c ====
 *
 * The text of a server's error, as a connection keeps it: its first bytes, without control bytes.
 * Servers repeat commands in their errors. Passwords and tokens don't stay in the text, in whatever
 * words they came. What is masked, in this order:
 *
 *   all behind the comma of   ERR unknown command `AUTH`, with args beginning with: `secret`
 *   the password, as it was sent, wherever it is; as far as the text or the server has cut it
 *   quoted arguments of HELLO and AUTH, which a server may have escaped
 *   digits of a token: 16 or more hex digits, and those that the text ends with where it is cut
 *
 * Three asterisks take the place of each, so that its length does not show either.
 */

#include <string.h>

/* Behind `at` nothing is left. */
static void text_mask_cut(rlk_conn *conn, size_t at)
{
    rlki_wipe(conn->text + at, sizeof conn->text - at);
    conn->text_len = (uint8_t)at;
}

void rlki_text_forget(rlk_conn *conn)
{
    text_mask_cut(conn, 0);
}

/* Control bytes of a server's text don't reach terminals and logs. */
#define TEXT_CONTROL_MARK '?'

void rlki_text_keep(rlk_conn *conn, const rlk_resp_token *token)
{
    size_t i;

    if ((token->flags & RLK_RESP_FIRST) != 0)
        rlki_text_forget(conn);
    for (i = 0; i < token->len && conn->text_len < sizeof conn->text - 1; i++) {
        uint8_t byte = token->data[i];

        conn->text[conn->text_len] = (char)(byte < 0x20 || byte == 0x7f ? TEXT_CONTROL_MARK : byte);
        conn->text_len++;
    }
}

void rlk_conn_explain(rlk_conn *conn, const char *text)
{
    rlk_resp_token token;

    memset(&token, 0, sizeof token);
    token.flags = RLK_RESP_FIRST;
    token.data = (const uint8_t *)text;
    token.len = strlen(text);
    rlki_text_keep(conn, &token);
}

#ifndef RLK_NO_TEXT

/* That many hex digits are no word. A token has RLK_TOKEN_DIGITS. */
#define TEXT_MASK_DIGITS_MIN 16u

/* A password of that length is not in the text by chance, wherever it is found. */
#define TEXT_MASK_WORD_MAX 8u

/* So much of a longer one is its beginning, which the server has cut. */
#define TEXT_MASK_BEGINNING 16u

#define TEXT_MASK_LEN 3u

/* Masks text[at..at + len); returns where it goes on. */
static size_t text_mask_range(rlk_conn *conn, size_t at, size_t len)
{
    size_t stays = len < TEXT_MASK_LEN ? len : TEXT_MASK_LEN;
    size_t left = conn->text_len - (at + len);

    memset(conn->text + at, '*', stays);
    memmove(conn->text + at + stays, conn->text + at + len, left);
    text_mask_cut(conn, at + stays + left);
    return at + stays;
}

static bool text_mask_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool text_mask_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool text_mask_is_hex(char c)
{
    return text_mask_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool text_mask_is_word(char c)
{
    return text_mask_is_letter(c) || text_mask_is_digit(c) || c == '-' || c == '_';
}

/* A word, or an argument, may begin at `at`, or end before it. */
static bool text_mask_is_bound(const rlk_conn *conn, size_t at, bool begins)
{
    if (begins)
        return at == 0 || !text_mask_is_word(conn->text[at - 1]);
    return at == conn->text_len || !text_mask_is_word(conn->text[at]);
}

static void text_mask_digits(rlk_conn *conn, bool cut)
{
    size_t at = 0;

    while (at < conn->text_len) {
        size_t n = 0;

        while (at + n < conn->text_len && text_mask_is_hex(conn->text[at + n]))
            n++;
        if (n >= TEXT_MASK_DIGITS_MIN || (cut && n > 0 && at + n == conn->text_len))
            at = text_mask_range(conn, at, n);
        else
            at += n > 0 ? n : 1;
    }
}

/* The next byte of the password as it was sent, from *at on. */
static uint8_t text_mask_password_byte(const rlk_conn *conn, size_t *at)
{
    const char *byte = conn->phase.handshake.password + *at;
    uint8_t plain = (uint8_t)*byte;
    size_t width = conn->login.hook == NULL && *byte == '%' ? 3 : 1;

    if (conn->login.hook == NULL) /* of the URL */
        (void)rlk_url_decode(byte, width, &plain, 1);
    *at += width;
    return plain;
}

/* Control bytes reach the text as other characters, here or by the server. */
static bool text_mask_is_same(uint8_t sent, char shown)
{
    if (sent < ' ' || sent == 0x7f)
        return shown == '?' || shown == ' ';
    return (char)sent == shown;
}

/* Bytes of the text at `at` that are the password's: all of it, or its beginning. */
static size_t text_mask_password_at(const rlk_conn *conn, size_t at, bool *whole)
{
    size_t n = 0;
    size_t i = 0;

    *whole = false;
    while (i < conn->phase.handshake.password_len && at + n < conn->text_len) {
        if (!text_mask_is_same(text_mask_password_byte(conn, &i), conn->text[at + n]))
            return n;
        n++;
    }
    *whole = i >= conn->phase.handshake.password_len;
    return n;
}

static bool text_mask_is_password(const rlk_conn *conn, size_t at, size_t n, bool whole, bool cut)
{
    if (n >= TEXT_MASK_BEGINNING || (whole && n >= TEXT_MASK_WORD_MAX))
        return true;
    if (n == 0 || !text_mask_is_bound(conn, at, true))
        return false;
    return (whole && text_mask_is_bound(conn, at + n, false)) || (cut && at + n == conn->text_len);
}

static void text_mask_password(rlk_conn *conn, bool cut)
{
    size_t at = 0;

    while (at < conn->text_len) {
        bool whole;
        size_t n = text_mask_password_at(conn, at, &whole);

        at = text_mask_is_password(conn, at, n, whole, cut) ? text_mask_range(conn, at, n) : at + 1;
    }
}

/* Names of commands stay, and what was masked already. */
static bool text_mask_stays(const char *quoted, size_t len)
{
    static const char *const names[] = {"auth", "hello", "***"};
    size_t i;
    size_t k;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (k = 0; k < len && names[i][k] != '\0' && (quoted[k] | 0x20) == (names[i][k] | 0x20);)
            k++;
        if (k == len && names[i][k] == '\0')
            return true;
    }
    return false;
}

static void text_mask_quoted(rlk_conn *conn)
{
    size_t at = 0;

    while (at < conn->text_len) {
        char quote = conn->text[at];
        size_t n = 0;

        at++;
        if ((quote != '\'' && quote != '`' && quote != '"') ||
            !text_mask_is_bound(conn, at - 1, true)) /* the apostrophe of a word */
            continue;
        while (at + n < conn->text_len && conn->text[at + n] != quote)
            n += conn->text[at + n] == '\\' && at + n + 1 < conn->text_len ? 2 : 1;
        at = (text_mask_stays(conn->text + at, n) ? at + n : text_mask_range(conn, at, n)) + 1;
    }
}

#endif /* RLK_NO_TEXT */

void rlki_text_mask(rlk_conn *conn, rlk_result error, bool secret)
{
#ifndef RLK_NO_TEXT
    bool cut = conn->text_len == sizeof conn->text - 1;
#endif
    size_t i = 0;

    while (error == RLK_E_UNSUPPORTED && i < conn->text_len && conn->text[i] != ',')
        i++;
    if (error == RLK_E_UNSUPPORTED)
        text_mask_cut(conn, i);
#ifdef RLK_NO_TEXT
    (void)secret;
#else
    if (secret) {
        text_mask_password(conn, cut);
        text_mask_quoted(conn);
    }
    text_mask_digits(conn, cut);
#endif
}

/* ==== src/net/fence.c ====
 *
 * The fence, a step of the handshake.
 *
 * Commands of a connection that ended may still be in buffers of the system or of the server, and
 * execute after this connection's first. CLIENT KILL of the old connection by its id empties them.
 * The server must be known to be the same instance before, since ids begin anew with each instance,
 * and an innocent client may have the old one:
 *
 *    run id     address      decision
 *    the same   any          KILL        by the id: 1 and 0 both fence
 *    another    the same     GONE        the old process is gone, and nothing is sent
 *    another    another      NONE        the old instance may live on
 *    unknown    known, TCP   KILL_ADDR   by id and address: only 1 fences
 */

#include <string.h>

rlki_fence rlki_fence_decide(const rlk_conn_identity *old, const rlk_conn_identity *fresh)
{
    bool known = old->run_id != 0 && fresh->run_id != 0;

    /* Another address: the old instance may live on there (fault 91). */
    if (known && old->run_id != fresh->run_id)
        return old->peer == fresh->peer ? RLKI_FENCE_GONE : RLKI_FENCE_NONE;
    if (old->client_id == 0)
        return RLKI_FENCE_NONE;
    if (known)
        return RLKI_FENCE_KILL;
    /* The id alone could be an innocent client's by now (fault 71), id and address hardly. */
    return rlki_local_is_known(&old->local) ? RLKI_FENCE_KILL_ADDR : RLKI_FENCE_NONE;
}

static void fence_done(rlk_conn *conn)
{
    conn->flags &= (uint16_t)~CONN_FENCE_DUE;
#ifndef RLK_NO_TRACE
    conn->fences++;
#endif
}

static rlk_result fence_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlki_fence fence;
    bool by_id; /* too; Dragonfly takes one filter only, and the address is the one that lasts */

    if ((conn->flags & CONN_FENCE_DUE) == 0)
        return RLK_OK;
    if (conn->ring.used != 0)
        return RLK_PENDING;
    fence = rlki_fence_decide(&conn->old, &conn->identity);
    if (fence == RLKI_FENCE_GONE)
        fence_done(conn);
    if (fence != RLKI_FENCE_KILL && fence != RLKI_FENCE_KILL_ADDR)
        return RLK_OK;
    by_id = fence == RLKI_FENCE_KILL || (conn->server & RLK_SERVER_DRAGONFLY) == 0;
    rlki_step_command(writer, "CLIENT KILL", fence == RLKI_FENCE_KILL_ADDR && by_id ? 4 : 2);
    if (by_id) {
        rlki_step_word(writer, "ID");
        rlk_resp_put_integer(writer, (int64_t)conn->old.client_id);
    }
    if (fence == RLKI_FENCE_KILL_ADDR) {
        char text[RLK_CONN_LOCAL];

        rlki_local_text(&conn->old.local, text);
        rlki_step_word(writer, "ADDR");
        rlki_step_word(writer, text);
    }
    return RLK_OK;
}

/* A client that is not there can't send any more; said so by the old form of the command. */
#define FENCE_NO_CLIENT "ERR No such client"

/* Clients that were killed: 1 or 0; -1: it is not known. */
static int fence_killed(const rlk_reply *reply)
{
    size_t n = sizeof FENCE_NO_CLIENT - 1;

    if (reply->type == RLK_RESP_INTEGER)
        return reply->value == 0 || reply->value == 1 ? (int)reply->value : -1;
    if (reply->error == RLK_E_SERVER && reply->len >= n &&
        memcmp(reply->data, FENCE_NO_CLIENT, n) == 0)
        return 0;
    return -1;
}

/* Not fenced is no failure: the connection says so (rlk_conn_fenced). */
static rlk_result fence_reply(rlk_conn *conn, const rlk_reply *reply)
{
    int killed = fence_killed(reply);
    bool by_id = rlki_fence_decide(&conn->old, &conn->identity) == RLKI_FENCE_KILL;

    if (killed == 1 || (killed == 0 && by_id))
        fence_done(conn);
    rlki_text_forget(conn);
    return RLK_OK;
}

RLKI_API const conn_step rlki_step_fence = {
    "CLIENT KILL", fence_encode, NULL, fence_reply, CONN_STEP_EXTRA,
};

/* ==== src/net/handshake.h ====
 *
 * Internal: the handshake. `kind` is that of an entry of the ring.
 */
#ifndef RLKI_NET_HANDSHAKE_H
#define RLKI_NET_HANDSHAKE_H

/* Sends the steps that may leave now. RLK_OK, or why the attempt fails. */
RLKI_API rlk_result rlki_handshake_pump(rlk_conn *conn);

/* True when all were answered. */
RLKI_API bool rlki_handshake_is_over(const rlk_conn *conn);

/* A token of the reply to a step. */
RLKI_API void rlki_handshake_token(rlk_conn *conn, unsigned kind, const rlk_resp_token *token);

/* The whole reply to it. RLK_OK to go on, or why the attempt fails. */
RLKI_API rlk_result rlki_handshake_reply(rlk_conn *conn, unsigned kind, const rlk_reply *reply);

/* True of a step whose command has the password in it; not of a request. */
RLKI_API bool rlki_handshake_is_secret(unsigned kind);

/* The peer ended the stream. True: with a step under way that the lock can do without, so the next
 * attempt is made at once; after two consecutive such ends it leaves out all such steps. */
RLKI_API bool rlki_handshake_hung_up(rlk_conn *conn);

/* The step under way, plus 1; 0: none. */
RLKI_API uint8_t rlki_handshake_step(const rlk_conn *conn);

/* Name of a step. */
RLKI_API const char *rlki_handshake_name(unsigned kind);

#endif

/* ==== src/net/hello.h ====
 *
 * Internal: the step HELLO.
 */
#ifndef RLKI_NET_HELLO_H
#define RLKI_NET_HELLO_H

#ifndef RLK_RESP2_ONLY
#endif

#endif

/* ==== src/net/info.h ====
 *
 * Internal: what a server says of itself, to HELLO and to INFO.
 */
#ifndef RLKI_NET_INFO_H
#define RLKI_NET_INFO_H

/*
 * What is noted: a key of HELLO, or a key and its value in one. The mode of INFO is noted as
 * HELLO's. The library holds its rlk_key_hash alone: test_info compares each one with its text.
 */
#define RLKI_INFO_FACTS(X)                                                                         \
    X("modecluster", 0x4fb10994, RLK_SERVER_CLUSTER)                                               \
    X("modesentinel", 0x9faa2956, RLK_SERVER_SENTINEL)                                             \
    X("rolereplica", 0x06ca5533, RLK_SERVER_REPLICA)                                               \
    X("roleslave", 0x5f8cc6d4, RLK_SERVER_REPLICA)                                                 \
    X("dragonfly_version", 0x79f77ddc, RLK_SERVER_DRAGONFLY)                                       \
    X("dfly_version", 0x33dfc29f, RLK_SERVER_DRAGONFLY)

/* The same of other keys. */
#define RLKI_INFO_ID          UINT32_C(0x37386ae0) /* "id" */
#define RLKI_INFO_PROTO       UINT32_C(0x73c00bb1) /* "proto" */
#define RLKI_INFO_MODE        UINT32_C(0xec6ee012) /* "mode", of HELLO */
#define RLKI_INFO_RUN_ID      UINT32_C(0x16ce6bc2) /* "run_id", of INFO like those below */
#define RLKI_INFO_REDIS_MODE  UINT32_C(0x7683b62e) /* "redis_mode" */
#define RLKI_INFO_SERVER_MODE UINT32_C(0x88ea5410) /* "server_mode": Valkey's */

/* Notes the fact whose hash is handshake.words. */
RLKI_API void rlki_info_note(rlk_conn *conn);

/* RLK_OK, or RLK_E_SENTINEL if that was noted. */
RLKI_API rlk_result rlki_info_result(const rlk_conn *conn);

#endif

/* ==== src/net/info.c ====
 *
 * The step INFO server, of which two lines are read: the run id, which differs for each
 * instance of a server, and the mode. Lines are known by their keys: the values of others change
 * from one moment to the next, and the hash of any text is one that is noted, once in a while.
 */

typedef struct info_fact {
    uint32_t hash;
    uint16_t server;
} info_fact;

#define INFO_FACT(text, hash, server) {hash, server},

static const info_fact info_facts[] = {RLKI_INFO_FACTS(INFO_FACT)};

void rlki_info_note(rlk_conn *conn)
{
    unsigned i;

    for (i = 0; i < sizeof info_facts / sizeof info_facts[0]; i++)
        if (info_facts[i].hash == conn->phase.handshake.words)
            conn->server |= info_facts[i].server;
}

rlk_result rlki_info_result(const rlk_conn *conn)
{
    return (conn->server & RLK_SERVER_SENTINEL) != 0 ? RLK_E_SENTINEL : RLK_OK;
}

/* match: what the next byte of a line is. */
enum {
    INFO_KEY,
    INFO_DIGIT, /* the first one of the run id; up to the last one */
    INFO_DIGIT_LAST = INFO_DIGIT + 39,
    INFO_MODE, /* of its value */
    INFO_OTHER /* of what is not read */
};

static rlk_result info_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)conn;
    rlki_step_command(writer, "INFO server", 0);
    return RLK_OK;
}

static int info_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return -1;
}

/* Only all the digits make a run id. */
static void info_take_digit(rlk_conn *conn, int digit)
{
    if (digit < 0) {
        conn->match = INFO_OTHER;
        conn->identity.run_id = 0;
        return;
    }
    conn->identity.run_id = conn->identity.run_id << 4 | (unsigned)digit;
    conn->match = conn->match < INFO_DIGIT_LAST ? conn->match + 1u : (unsigned)INFO_OTHER;
}

/* Returns what the key that has ended says of its value. */
static uint8_t info_value(rlk_conn *conn)
{
    /* A proxy's run_id says nothing of the server behind it. */
    bool foreign = (conn->server & RLK_SERVER_HELLO) != 0 && conn->protocol == 2;
    uint32_t *words = &conn->phase.handshake.words;

    if (*words == RLKI_INFO_RUN_ID && !foreign)
        return INFO_DIGIT;
    if (*words != RLKI_INFO_REDIS_MODE && *words != RLKI_INFO_SERVER_MODE)
        return INFO_OTHER;
    *words = RLKI_INFO_MODE;
    return INFO_MODE;
}

static void info_end_line(rlk_conn *conn)
{
    if (conn->match == INFO_MODE)
        rlki_info_note(conn);
    conn->match = INFO_KEY;
    conn->phase.handshake.words = RLK_KEY_HASH;
}

static void info_byte(rlk_conn *conn, uint8_t byte)
{
    uint32_t *words = &conn->phase.handshake.words;

    if (conn->match >= INFO_DIGIT && conn->match <= INFO_DIGIT_LAST)
        info_take_digit(conn, info_digit(byte));
    if (byte < ' ')
        info_end_line(conn);
    else if (conn->match == INFO_KEY && byte == ':')
        conn->match = info_value(conn);
    else
        *words = rlk_key_hash(*words, &byte, 1);
}

/* A text that comes in fragments of any size, line by line. */
static void info_token(rlk_conn *conn, const rlk_resp_token *token)
{
    size_t i;

    if (token->depth != 0 || (token->type != RLK_RESP_BULK && token->type != RLK_RESP_VERBATIM))
        return;
    if ((token->flags & RLK_RESP_FIRST) != 0) {
        conn->match = INFO_KEY;
        conn->phase.handshake.words = RLK_KEY_HASH;
    }
    for (i = 0; i < token->len; i++)
        info_byte(conn, token->data[i]);
    if ((token->flags & RLK_RESP_LAST) != 0)
        info_byte(conn, '\n');
}

static rlk_result info_reply(rlk_conn *conn, const rlk_reply *reply)
{
    (void)reply;
    return rlki_info_result(conn);
}

RLKI_API const conn_step rlki_step_info = {
    "INFO", info_encode, info_token, info_reply, CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

/* ==== src/net/hello.c ====
 *
 * The step HELLO 3, with AUTH and SETNAME in it: RESP3, and the server shows of itself its id for
 * this connection, its role and its mode.
 *
 *    HELLO 3 --map--------------------------> RESP3
 *            --map with proto 2, or array --> RESP2, AUTH and SETNAME are done
 *            --refused in any words but those of hello_refused --> RESP2, AUTH and SETNAME follow
 */

#ifndef RLK_RESP2_ONLY

/* match: what the next element of the map is. */
enum {
    HELLO_KEY,
    HELLO_VALUE
};

static rlk_result hello_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlki_login login;
    rlk_result result;

    if (conn_is_resp2_only(conn))
        return RLK_OK;
    result = rlki_login_ask(conn, &login);
    if (result != RLK_OK)
        return result;
    rlki_step_command(writer, "HELLO 3",
                      (login.wanted ? 3u : 0u) + (conn->client_name != NULL ? 2u : 0u));
    if (login.wanted) {
        rlki_step_word(writer, "AUTH");
        if (login.texts.user_len == 0)
            rlki_step_word(writer, "default");
        rlki_login_put(writer, &login);
    }
    if (conn->client_name != NULL) {
        rlki_step_word(writer, "SETNAME");
        rlki_step_word(writer, conn->client_name);
    }
    return RLK_OK;
}

/* A map, or an array of its keys and values in turn. Values may be aggregates: only what is at
 * depth 1 counts. */
static void hello_token(rlk_conn *conn, const rlk_resp_token *token)
{
    uint32_t *words = &conn->phase.handshake.words;
    bool is_key = conn->match == HELLO_KEY;

    if (token->depth == 0)
        conn->match = HELLO_KEY;
    if (token->depth != 1 || token->type == RLK_RESP_END || (token->flags & RLK_RESP_FIRST) == 0)
        return;
    *words = rlk_key_hash(is_key ? RLK_KEY_HASH : *words, token->data, token->len);
    conn->match = is_key ? HELLO_VALUE : HELLO_KEY;
    rlki_info_note(conn);
    if (is_key || token->type != RLK_RESP_INTEGER)
        return;
    if (*words == RLKI_INFO_ID && token->value > 0)
        conn->identity.client_id = (uint64_t)token->value;
    if (*words == RLKI_INFO_PROTO && token->value == 2)
        conn->protocol = 2;
}

/* These say more than "no HELLO here", whatever their words (fault 98): the next step would meet
 * them too. NOAUTH is none of them: proxies answer it to a HELLO that had AUTH. */
static bool hello_refused(const rlk_reply *reply)
{
    return rlki_step_is_refused(reply->error) ||
           (reply->error == RLK_E_AUTH && reply->data[0] == 'W'); /* WRONGPASS */
}

/*
 * An array is a yes too, and so is a map that says proto 2: the stream goes on as RESP2, with AUTH
 * and SETNAME done (fault 99). Servers that answer so are proxies or other products: whose ids and
 * run_id theirs are is not known, so the fence goes by address too.
 */
static rlk_result hello_reply(rlk_conn *conn, const rlk_reply *reply)
{
    bool is_map = reply->type == RLK_RESP_MAP;

    if (reply->error != RLK_OK) {
        if (hello_refused(reply))
            return reply->error;
        rlki_text_forget(conn);
        conn->protocol = 2;
        return RLK_OK;
    }
    if (!is_map && reply->type != RLK_RESP_ARRAY)
        return RLK_E_UNEXPECTED;
    conn->server |= RLK_SERVER_HELLO;
    if (conn->protocol == 0)
        conn->protocol = is_map ? 3 : 2;
    return rlki_info_result(conn);
}

RLKI_API const conn_step rlki_step_hello = {
    "HELLO", hello_encode, hello_token, hello_reply, CONN_STEP_SECRET | CONN_STEP_EXTRA,
};

#endif /* RLK_RESP2_ONLY */

/* ==== src/net/ring.h ====
 *
 * Internal: the ring of what is in flight.
 */
#ifndef RLKI_NET_RING_H
#define RLKI_NET_RING_H

static inline bool rlki_ring_is_full(const rlk_conn *conn)
{
    return conn->ring.used == conn->ring.len;
}

/* The entry that has `offset` older ones. */
RLKI_API inline rlk_conn_entry *rlki_ring_at(const rlk_conn *conn, uint32_t offset)
{
    uint32_t slot = (uint32_t)conn->ring.head + offset;

    if (slot >= conn->ring.len)
        slot -= conn->ring.len;
    return &conn->ring.entries[slot];
}

/* True if the driver was shown a byte of it. */
RLKI_API inline bool rlki_ring_was_handed(const rlk_conn *conn, const rlk_conn_entry *entry)
{
    /* modulo 2^32: what is in flight is never near half of that */
    return (int32_t)(entry->begin - conn->tx.handed) < 0;
}

/* Enters what begins at the end of tx: `replies` will come for it. The ring is not full. */
RLKI_API inline void rlki_ring_push(rlk_conn *conn, rlk_request *owner, unsigned kind, unsigned replies)
{
    rlk_conn_entry *entry = rlki_ring_at(conn, conn->ring.used);

    entry->owner = owner;
    entry->begin = conn->tx.position + (conn->tx.end - conn->tx.begin);
    entry->replies = (uint8_t)replies;
    entry->kind = (uint8_t)kind;
    if (owner != NULL) {
        owner->state = RLK_REQUEST_SENT;
        owner->slot = (uint16_t)(entry - conn->ring.entries);
    }
    if (conn->ring.used == 0)
        conn->deadline_ms = conn->now_ms + conn->response_timeout_ms;
    conn->ring.used++;
}

/* What the entry is that has `before` older ones: a step of the handshake, or a request. */
RLKI_API unsigned rlki_ring_kind(const rlk_conn *conn, uint32_t before);

/* Takes the owner from the entry of a request that is SENT. */
RLKI_API void rlki_ring_abandon(rlk_conn *conn, const rlk_request *request);

/* The oldest entry, if a reply to it is due. Else NULL. */
RLKI_API inline rlk_conn_entry *rlki_ring_due(const rlk_conn *conn)
{
    rlk_conn_entry *entry = rlki_ring_at(conn, 0);

    return conn->ring.used != 0 && rlki_ring_was_handed(conn, entry) ? entry : NULL;
}

/* Takes the oldest entry out. */
RLKI_API inline void rlki_ring_pop(rlk_conn *conn)
{
    rlk_conn_entry *entry = rlki_ring_at(conn, 0);

    if (entry->owner != NULL)
        entry->owner->state = RLK_REQUEST_IDLE;
    conn->ring.head++;
    if (conn->ring.head == conn->ring.len)
        conn->ring.head = 0;
    conn->ring.used--;
}

/* Gives a whole reply to the oldest entry. */
RLKI_API RLKI_INTO_CALLERS void rlki_ring_reply(rlk_conn *conn, const rlk_reply *reply)
{
    rlk_conn_entry *entry = rlki_ring_at(conn, 0);
    rlk_request *owner = entry->owner;
    unsigned left;

    entry->replies--;
    left = entry->replies;
    if (left == 0) /* before the call, so that the owner can submit again in it */
        rlki_ring_pop(conn);
    if (conn->state == RLK_CONN_READY && conn->ring.used == 0)
        conn->deadline_ms = RLK_NEVER;
    if (owner != NULL)
        conn->calls->reply(conn->calls_context, conn, owner, reply, left);
}

/* Has the oldest entry count as never sent. */
RLKI_API void rlki_ring_refuse(rlk_conn *conn);

/* True if the server can have no request that it did not answer. */
RLKI_API bool rlki_ring_was_answered(const rlk_conn *conn);

/* Empties the ring, oldest first, and reports to the owners. */
RLKI_API void rlki_ring_lose(rlk_conn *conn);

#endif

/* ==== src/net/ring.c ====
 *
 * The ring of what is in flight, oldest first.
 *
 *          push                    last reply
 *    ... ---------> entry, SENT ------------------> IDLE
 *                     |   |   stream ends: lost
 *                     |   '-----------------------> IDLE
 *                     |  withdrawn
 *                     '---> entry without owner, whose replies are discarded
 *
 * An entry knows where in the stream its first byte stands. What lies before tx_handed was shown
 * to the driver, and counts as sent. Replies come in the order of the entries. That order keeps a
 * reply from another's request, and so does that no entry leaves before its last reply.
 */

extern inline rlk_conn_entry *rlki_ring_at(const rlk_conn *conn, uint32_t offset);
extern inline bool rlki_ring_was_handed(const rlk_conn *conn, const rlk_conn_entry *entry);

extern inline void rlki_ring_pop(rlk_conn *conn);

extern inline void rlki_ring_push(rlk_conn *conn, rlk_request *owner, unsigned kind,
                                  unsigned replies);

extern inline rlk_conn_entry *rlki_ring_due(const rlk_conn *conn);

extern inline void rlki_ring_reply(rlk_conn *conn, const rlk_reply *reply);

void rlki_ring_refuse(rlk_conn *conn)
{
    rlki_ring_at(conn, 0)->begin = conn->tx.handed;
}

unsigned rlki_ring_kind(const rlk_conn *conn, uint32_t before)
{
    return rlki_ring_at(conn, before)->kind;
}

void rlki_ring_abandon(rlk_conn *conn, const rlk_request *request)
{
    conn->ring.entries[request->slot].owner = NULL;
}

bool rlki_ring_was_answered(const rlk_conn *conn)
{
    uint32_t i;

    for (i = 0; i < conn->ring.used; i++) {
        const rlk_conn_entry *entry = rlki_ring_at(conn, i);

        if (entry->kind == CONN_REQUEST && rlki_ring_was_handed(conn, entry))
            return false;
    }
    return true;
}

void rlki_ring_lose(rlk_conn *conn)
{
    while (conn->ring.used != 0) {
        rlk_conn_entry entry = *rlki_ring_at(conn, 0);

        rlki_ring_pop(conn);
        if (entry.owner != NULL)
            conn->calls->lost(conn->calls_context, conn, entry.owner,
                              rlki_ring_was_handed(conn, &entry));
    }
}

/* ==== src/net/script_steps.h ====
 *
 * Internal: the steps of the handshake that make sure that the script can run.
 */
#ifndef RLKI_NET_SCRIPT_STEPS_H
#define RLKI_NET_SCRIPT_STEPS_H

/* True if the connection can do without SCRIPT LOAD: there is a probe. */
RLKI_API bool rlki_script_may_eval(const rlk_conn *conn);

#endif

/* ==== src/net/script_steps.c ====
 *
 * The steps SCRIPT LOAD, EVALSHA and EVAL.
 *
 * Before the first SET it is certain that the script can run, so that no undo depends on a round
 * trip (rule 4). SCRIPT LOAD and EVALSHA leave in one go; only where the server takes no SCRIPT
 * LOAD (proxies route by keys, and refuse it in many words) EVAL follows, with the script in it:
 *
 *    SCRIPT LOAD --OK-------> EVALSHA --any answer but "it can't"--> ready
 *        | refused               | answered --> ready
 *        '---------> EVALSHA ----+
 *    (plain)                     | refused
 *        '-----------------------+----------> EVAL --answered--> ready
 *                                                  refused: the attempt fails
 *
 * Scripts without a probe need SCRIPT LOAD.
 */

#include <string.h>

bool rlki_script_may_eval(const rlk_conn *conn)
{
    return conn->scripts.count != 0 && conn->scripts.all[0].probe != NULL;
}

/* Only begins: their bytes are no part of tx. */
static rlk_result script_load_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)writer;
    if ((conn->server & RLK_SERVER_NO_LOAD) == 0)
        conn->scripts.next = 0;
    return RLK_OK;
}

/* Another refusal is met again by EVAL: it is passing, or the same for both. */
static rlk_result script_load_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->error == RLK_OK)
        return reply->type == RLK_RESP_BULK ? RLK_OK : RLK_E_UNEXPECTED;
    if (!rlki_script_may_eval(conn) ||
        (reply->error != RLK_E_UNSUPPORTED && reply->error != RLK_E_NOPERM &&
         reply->error != RLK_E_SERVER))
        return reply->error;
    conn->server |= RLK_SERVER_NO_LOAD;
    rlki_text_forget(conn);
    return RLK_OK;
}

static rlk_result script_probe_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if (rlki_script_may_eval(conn))
        rlk_resp_put_raw(writer, conn->scripts.all[0].probe, strlen(conn->scripts.all[0].probe));
    return RLK_OK;
}

/* An error in words that nobody knows is no answer: proxies want keys. */
static rlk_result script_probe_reply(rlk_conn *conn, const rlk_reply *reply)
{
    bool no_load = (conn->server & RLK_SERVER_NO_LOAD) != 0;
    bool denied = reply->error == RLK_E_UNSUPPORTED || reply->error == RLK_E_NOPERM;

    if ((denied && !no_load) || rlki_step_is_refused(reply->error))
        return reply->error;
    if (reply->error == RLK_OK) {
        conn->server |= RLK_SERVER_EVALSHA;
        return RLK_OK;
    }
    if (reply->error == RLK_E_NOSCRIPT && no_load) /* EVALSHA is known, keys are not asked for */
        conn->server |= RLK_SERVER_EVAL;
    rlki_text_forget(conn);
    return RLK_OK;
}

/* Waits, because the answers before it say whether it is needed. Without further arguments the
 * script only probes, and touches no key. Proxies want one to route by; where it was not asked for,
 * none: the user may have keys of his own only. */
static rlk_result script_eval_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    bool keyless = (conn->server & RLK_SERVER_EVAL) != 0;

    if (!rlki_script_may_eval(conn))
        return RLK_OK;
    if (conn->ring.used != 0)
        return RLK_PENDING;
    if ((conn->server & (RLK_SERVER_NO_LOAD | RLK_SERVER_EVALSHA)) != RLK_SERVER_NO_LOAD)
        return RLK_OK;
    rlk_resp_put_command(writer, keyless ? 3 : 4);
    rlk_conn_put_script(conn, writer);
    rlk_resp_put_integer(writer, keyless ? 0 : 1);
    if (!keyless)
        rlki_step_word(writer, "resplock");
    return RLK_OK;
}

/* EVALSHA works from now on, until NOSCRIPT. What a plain attempt is refused a full one may get, if
 * the hang-ups before were accidents: so it is not fatal. */
static rlk_result script_eval_reply(rlk_conn *conn, const rlk_reply *reply)
{
    conn->server &= (uint16_t)~RLK_SERVER_EVAL;
    if (reply->error != RLK_OK && (conn->server & RLK_SERVER_PLAIN) != 0)
        return RLK_E_SERVER;
    return reply->error;
}

RLKI_API const conn_step rlki_step_scripts = {
    CONN_SCRIPT_LOAD, script_load_encode, NULL, script_load_reply, 0,
};

RLKI_API const conn_step rlki_step_probe = {
    "EVALSHA", script_probe_encode, NULL, script_probe_reply, CONN_STEP_EXTRA,
};

RLKI_API const conn_step rlki_step_eval = {
    "SCRIPT LOAD, EVAL", script_eval_encode, NULL, script_eval_reply, 0,
};

/* ==== src/net/send.h ====
 *
 * Internal: what waits to be sent.
 */
#ifndef RLKI_NET_SEND_H
#define RLKI_NET_SEND_H

/* True if a script or a request waits. */
static inline bool rlki_send_waits(const rlk_conn *conn)
{
    return conn->send != NULL || conn->scripts.next < conn->scripts.count;
}

/* Encodes scripts, and in READY requests, while there is room. */
RLKI_API void rlki_send_flush(rlk_conn *conn);

#endif

/* ==== src/net/transmit.h ====
 *
 * Internal: the transmit buffer.
 */
#ifndef RLKI_NET_TRANSMIT_H
#define RLKI_NET_TRANSMIT_H

/* True while constant bytes wait to leave: until then nothing may be encoded. */
RLKI_API inline bool rlki_transmit_has_segment(const rlk_conn *conn)
{
    return conn->scripts.segment_left != 0;
}

/* True if all has left, and was acknowledged. */
static inline bool rlki_transmit_is_empty(const rlk_conn *conn)
{
    return conn->tx.end == conn->tx.begin && conn->scripts.segment_left == 0;
}

/* True while a stream is up and nothing waits to leave: RLK_WANT_READ is all that is wanted. */
static inline bool rlki_transmit_is_quiet(const rlk_conn *conn)
{
    return conn_is_up(conn) && rlki_transmit_is_empty(conn);
}

/* Begins a stream. */
RLKI_API void rlki_transmit_begin(rlk_conn *conn);

/* A writer into the free end. */
RLKI_API inline void rlki_transmit_writer(rlk_conn *conn, rlk_resp_writer *writer)
{
    conn->scripts.segment_at =
        0; /* no script is asked for; it would have a command's header before it */
    writer->buf = conn->tx.bytes + conn->tx.end;
    writer->cap = conn->tx.cap - conn->tx.end;
    writer->len = 0;
}

/* True if all fitted that was written to it. */
static inline bool rlki_transmit_fits(const rlk_resp_writer *writer)
{
    return writer->len <= writer->cap;
}

/* Takes the `written` bytes that it wrote. The script begins to leave that rlk_conn_put_script
 * asked for. */
RLKI_API void rlki_transmit_take(rlk_conn *conn, size_t written);

/* Has the command that loads a script leave, from where it is, behind all that was taken. */
RLKI_API void rlki_transmit_script(rlk_conn *conn, unsigned script);

/* True if those leave before the rest of tx. */
RLKI_API inline bool rlki_transmit_segment_is_next(const rlk_conn *conn)
{
    return rlki_transmit_has_segment(conn) && conn->tx.begin == conn->scripts.segment_at;
}

/* Of bytes of tx. Those of the handshake are wiped: a password may be among them. */
RLKI_API inline void rlki_transmit_ack_tx(rlk_conn *conn, uint32_t len)
{
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->tx.bytes + conn->tx.begin, len);
    conn->tx.begin += len;
    if (conn->tx.begin == conn->tx.end) {
        conn->tx.begin = 0;
        conn->tx.end = 0;
        conn->scripts.segment_at = 0;
    }
}

/* The first `len` bytes of what was shown to the driver have left. False: none. A stream is up.
 */
RLKI_API RLKI_INTO_CALLERS bool rlki_transmit_ack(rlk_conn *conn, size_t len)
{
    uint32_t shown = conn->tx.handed - conn->tx.position;
    uint32_t acked = len < shown ? (uint32_t)len : shown;

    if (acked == 0)
        return false;
    conn->tx.position += acked;
    if (rlki_transmit_segment_is_next(conn)) {
        conn->scripts.segment_left = (uint16_t)(conn->scripts.segment_left - acked);
    } else {
        rlki_transmit_ack_tx(conn, acked);
    }
    return true;
}

/* Drops all of it. */
RLKI_API void rlki_transmit_drop(rlk_conn *conn);

#endif

/* ==== src/net/transmit.c ====
 *
 * The transmit buffer, and the constant bytes that leave from where they are.
 *
 *    tx:   | sent | before the segment | behind it | free |
 *          tx_begin        segment_at      tx_end
 *
 * The segment, of constant memory, leaves when tx is sent up to segment_at: a script. Bytes do not
 * move until they are acknowledged.
 */

void rlki_transmit_begin(rlk_conn *conn)
{
    conn->tx.begin = 0;
    conn->tx.end = 0;
    conn->tx.handed = conn->tx.position;
}

/* ---- In ---------------------------------------------------------------------------------- */

/* SCRIPT LOAD's own words, before the script's length: what is behind them is EVAL's too. */
#define TRANSMIT_LOAD_HEAD (sizeof "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n" - 1)

/* Has what is behind the first bytes of a script's load leave. */
static void transmit_segment(rlk_conn *conn, unsigned script, size_t from)
{
    conn->segment = (uint8_t)script;
    conn->scripts.segment_left = (uint16_t)(conn->scripts.all[script].load_len - from);
}

void rlk_conn_put_script(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_resp_put_bulk(writer, "EVAL", 4);
    conn->scripts.segment_at = conn->tx.end + (uint32_t)writer->len;
}

extern inline void rlki_transmit_writer(rlk_conn *conn, rlk_resp_writer *writer);

void rlki_transmit_take(rlk_conn *conn, size_t written)
{
    if (conn->scripts.segment_at != 0)
        transmit_segment(conn, 0, TRANSMIT_LOAD_HEAD);
    conn->tx.end += (uint32_t)written;
}

void rlki_transmit_script(rlk_conn *conn, unsigned script)
{
    transmit_segment(conn, script, 0);
    conn->scripts.segment_at = conn->tx.end;
}

/* ---- Out --------------------------------------------------------------------------------- */

const uint8_t *rlk_conn_tx_buf(rlk_conn *conn, size_t *len)
{
    const uint8_t *bytes = conn->tx.bytes + conn->tx.begin;
    uint32_t end = rlki_transmit_has_segment(conn) ? conn->scripts.segment_at : conn->tx.end;
    uint32_t count = end - conn->tx.begin;

    if (rlki_transmit_segment_is_next(conn)) {
        const rlk_conn_script *script = &conn->scripts.all[conn->segment];

        count = conn->scripts.segment_left;
        bytes = (const uint8_t *)script->load + script->load_len - count;
    }
    if (!conn_is_up(conn))
        count = 0;
    *len = count;
    if (count == 0)
        return NULL;
    conn->tx.handed = conn->tx.position + count;
    return bytes;
}

extern inline bool rlki_transmit_has_segment(const rlk_conn *conn);
extern inline bool rlki_transmit_segment_is_next(const rlk_conn *conn);
extern inline void rlki_transmit_ack_tx(rlk_conn *conn, uint32_t len);
extern inline bool rlki_transmit_ack(rlk_conn *conn, size_t len);

RLKI_APART_FOR_SIZE void rlki_transmit_drop(rlk_conn *conn)
{
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->tx.bytes + conn->tx.begin, conn->tx.end - conn->tx.begin);
    conn->scripts.segment_left = 0;
}

/* ==== src/net/send.c ====
 *
 * The send list: requests that wait to be encoded, and the scripts, which leave before them.
 *
 *              submit              room, ready
 *    IDLE ---------------> QUEUED --------------> SENT, in the ring
 *      ^                     |
 *      |  withdraw, or the   |
 *      '---------------------'
 *         owner writes nothing
 */

static RLKI_APART_FOR_SIZE void send_unlink(rlk_conn *conn, rlk_request *request)
{
    rlk_request *next = request->as.list.next;

    if (request == conn->send)
        conn->send = next;
    else
        request->as.list.prev->as.list.next = next;
    if (next == NULL)
        next = conn->send;
    if (next != NULL)
        next->as.list.prev = request->as.list.prev;
}

/* Puts a request back that was the first. */
static void send_put_back(rlk_conn *conn, rlk_request *request)
{
    rlk_request *first = conn->send;

    request->as.list.next = first;
    request->as.list.prev = request;
    if (first != NULL) {
        request->as.list.prev = first->as.list.prev;
        first->as.list.prev = request;
    }
    conn->send = request;
}

/* Encodes the first of the send list. False: no room for it now. */
static bool send_next(rlk_conn *conn)
{
    rlk_request *request = conn->send;
    rlk_resp_writer writer;
    unsigned replies;

    send_unlink(conn, request); /* the owner may use the place of its links */
    rlki_transmit_writer(conn, &writer);
    replies = conn->calls->encode(conn->calls_context, conn, request, &writer);
    if (!rlki_transmit_fits(&writer)) {
        send_put_back(conn, request);
        return false;
    }
    if (replies == 0) {
        request->state = RLK_REQUEST_IDLE;
        return true;
    }
    rlki_ring_push(conn, request, CONN_REQUEST, replies);
    rlki_transmit_take(conn, writer.len);
    return true;
}

void rlki_send_flush(rlk_conn *conn)
{
    /* Nothing may be encoded behind a script until all of it has left. */
    while (!rlki_transmit_has_segment(conn) && !rlki_ring_is_full(conn)) {
        if (conn->scripts.next < conn->scripts.count) {
            CONN_TRACE(conn, true, CONN_SCRIPT_LOAD);
            rlki_ring_push(conn, NULL, CONN_STEP_SCRIPTS, 1);
            rlki_transmit_script(conn, conn->scripts.next);
            conn->scripts.next++;
            conn->ring.loads++;
        } else if (conn->state != RLK_CONN_READY || conn->send == NULL || !send_next(conn)) {
            return;
        }
    }
}

void rlk_conn_submit(rlk_conn *conn, rlk_request *request, int64_t now_ms)
{
    rlk_request *first = conn->send;

    conn->now_ms = now_ms;
    if (request->state != RLK_REQUEST_IDLE)
        return;
    request->state = RLK_REQUEST_QUEUED;
    request->as.list.next = NULL;
    if (first != NULL) { /* whatever it waits for flushes the list when it comes */
        request->as.list.prev = first->as.list.prev;
        first->as.list.prev->as.list.next = request;
        first->as.list.prev = request;
        return;
    }
    request->as.list.prev = request;
    conn->send = request;
    if (conn->state == RLK_CONN_READY)
        rlki_send_flush(conn);
}

bool rlk_conn_withdraw(rlk_conn *conn, rlk_request *request)
{
    bool unsent = request->state != RLK_REQUEST_SENT;

    if (request->state == RLK_REQUEST_QUEUED)
        send_unlink(conn, request);
    else if (!unsent)
        rlki_ring_abandon(conn, request);
    request->state = RLK_REQUEST_IDLE;
    return unsent;
}

void rlk_conn_load_scripts(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state != RLK_CONN_READY)
        return; /* the handshake loads them */
    if ((conn->server & RLK_SERVER_NO_LOAD) != 0) {
        conn->server |= RLK_SERVER_EVAL;
        return;
    }
    /*
     * A thousand locks may find the scripts missing at once. A load of which no reply has come, or
     * which has not left yet, is behind the command whose refusal made the caller ask, and so
     * serves him too.
     */
    if (conn->ring.loads == conn->scripts.next || rlki_transmit_has_segment(conn))
        return;
    conn->scripts.next = 0;
    rlki_send_flush(conn);
}

/* ==== src/net/session.h ====
 *
 * Internal: the steps of the handshake that set up the session.
 */
#ifndef RLKI_NET_SESSION_H
#define RLKI_NET_SESSION_H

#ifndef RLK_RESP2_ONLY
#endif

#endif

/* ==== src/net/session.c ====
 *
 * The steps that set up the session: its name, its database, notifications of changes, and its id
 * at the server, by which the next connection can fence it.
 */

/* ---- CLIENT SETNAME ------------------------------------------------------------------ */

/* HELLO sets the name too. */
static rlk_result session_setname_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if ((conn->server & RLK_SERVER_HELLO) == 0 && conn->client_name != NULL) {
        rlki_step_command(writer, "CLIENT SETNAME", 1);
        rlki_step_word(writer, conn->client_name);
    }
    return RLK_OK;
}

RLKI_API const conn_step rlki_step_setname = {
    "CLIENT SETNAME", session_setname_encode, NULL, NULL, CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

/* ---- CLIENT TRACKING ----------------------------------------------------------------- */

#ifndef RLK_RESP2_ONLY

/* NOLOOP: no pushes for what this connection changes itself. Dragonfly takes it, and then sends no
 * pushes at all. */
static rlk_result session_tracking_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if (conn->protocol == 3 && (conn->flags & CONN_NO_TRACKING) == 0)
        rlki_step_command(writer,
                          (conn->server & RLK_SERVER_DRAGONFLY) != 0 ? "CLIENT TRACKING ON"
                                                                     : "CLIENT TRACKING ON NOLOOP",
                          0);
    return RLK_OK;
}

static rlk_result session_tracking_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->type == RLK_RESP_SIMPLE)
        conn->flags |= CONN_TRACKING;
    return RLK_OK;
}

RLKI_API const conn_step rlki_step_tracking = {
    "CLIENT TRACKING",
    session_tracking_encode,
    NULL,
    session_tracking_reply,
    CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

#endif /* RLK_RESP2_ONLY */

/* That many changes without a push are no accident. */
#define SESSION_MISSED_MAX 2u

bool rlk_conn_is_tracking(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_READY && (conn->flags & CONN_TRACKING) != 0 &&
           (conn->server & RLK_SERVER_SILENT) == 0;
}

bool rlk_conn_missed(rlk_conn *conn)
{
    if (!rlk_conn_is_tracking(conn) || ++conn->missed < SESSION_MISSED_MAX)
        return false;
    conn->server |= RLK_SERVER_SILENT;
    return true;
}

/* ---- CLIENT ID ----------------------------------------------------------------------- */

static rlk_result session_client_id_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if (conn->identity.client_id == 0)
        rlki_step_command(writer, "CLIENT ID", 0);
    return RLK_OK;
}

static rlk_result session_client_id_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->type == RLK_RESP_INTEGER && reply->value > 0)
        conn->identity.client_id = (uint64_t)reply->value;
    return RLK_OK;
}

RLKI_API const conn_step rlki_step_client_id = {
    "CLIENT ID",
    session_client_id_encode,
    NULL,
    session_client_id_reply,
    CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

/* ---- SELECT -------------------------------------------------------------------------- */

static rlk_result session_select_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if (conn->url.db != 0) {
        rlki_step_command(writer, "SELECT", 1);
        rlk_resp_put_integer(writer, (int64_t)conn->url.db);
    }
    return RLK_OK;
}

/* A lock in another database than the others' is none (fault 72), whatever the words of the refusal
 * (fault 104). */
static rlk_result session_select_reply(rlk_conn *conn, const rlk_reply *reply)
{
    (void)conn;
    if (reply->error == RLK_E_SERVER || reply->error == RLK_E_UNSUPPORTED)
        return RLK_E_DATABASE;
    return rlki_step_simple(reply);
}

RLKI_API const conn_step rlki_step_select = {
    "SELECT", session_select_encode, NULL, session_select_reply, 0,
};

/* ==== src/net/handshake.c ====
 *
 * The handshake: a table of steps, sent in order, as many at once as need not wait for each other.
 *
 *    HELLO 3 | --map---> [CLIENT TRACKING] ------> [CLIENT ID] SELECT [INFO] | [fence] scripts
 *              | --proto 2, array -----------------> ^                                   |
 *              '-refused--> AUTH [CLIENT SETNAME] ---'                                   ready
 *
 *    [ ] optional: refused is good enough       | barrier: first all replies before it
 *
 * Where no fence is due, two round trips. The fence waits for INFO, since that says how.
 */

/* By CONN_STEP_*. */
static const conn_step *const handshake_steps[CONN_STEPS] = {
#ifndef RLK_RESP2_ONLY
    &rlki_step_hello,
#endif
    &rlki_step_auth,      &rlki_step_setname,
#ifndef RLK_RESP2_ONLY
    &rlki_step_tracking,
#endif
    &rlki_step_client_id, &rlki_step_select,  &rlki_step_info, &rlki_step_fence,
    &rlki_step_scripts,   &rlki_step_probe,   &rlki_step_eval,
};

const char *rlki_handshake_name(unsigned kind)
{
    /* Behind the last step: only the driver's word is awaited that the last bytes have left. */
    return handshake_steps[kind < CONN_STEPS ? kind : (unsigned)CONN_STEP_SCRIPTS]->name;
}

/* Sends the next step, or skips it. False: not now, or *result says why the handshake fails. */
static bool handshake_send(rlk_conn *conn, rlk_result *result)
{
    const conn_step *step = handshake_steps[conn->step];
    rlk_resp_writer writer;
    bool plain = (conn->flags & CONN_PLAIN) != 0;

    /* What keeps a script back keeps all else back too. */
    if (rlki_transmit_has_segment(conn) || rlki_ring_is_full(conn))
        return false;
    rlki_transmit_writer(conn, &writer);
    if (!plain || (step->flags & CONN_STEP_EXTRA) == 0)
        *result = step->encode(conn, &writer);
    if (*result == RLK_OK && !rlki_transmit_fits(&writer)) {
        rlki_wipe(writer.buf, writer.cap);
        if (conn->tx.end != 0)
            return false;
        /* All the buffer is free, and only credentials can be too long for it. */
        conn->tx.needed = writer.len < UINT32_MAX ? (uint32_t)writer.len : UINT32_MAX;
        *result = RLK_E_CREDENTIALS;
    }
    if (*result != RLK_OK)
        return false;
    if (writer.len != 0) {
        CONN_TRACE(conn, true, step->name);
        rlki_ring_push(conn, NULL, conn->step, 1);
        rlki_transmit_take(conn, writer.len);
    }
    conn->step++;
    return true;
}

rlk_result rlki_handshake_pump(rlk_conn *conn)
{
    rlk_result result = RLK_OK;

    do
        rlki_send_flush(conn); /* scripts */
    while (conn->step < CONN_STEPS && handshake_send(conn, &result));
    return result < 0 ? result : RLK_OK;
}

/* The last steps have waited until all scripts have left. What was not acknowledged yet is not
 * wiped yet: a driver may report a reply before it reports that the last bytes have left. */
bool rlki_handshake_is_over(const rlk_conn *conn)
{
    return conn->step == CONN_STEPS && conn->ring.used == 0 && conn->tx.end == conn->tx.begin;
}

void rlki_handshake_token(rlk_conn *conn, unsigned kind, const rlk_resp_token *token)
{
    if (handshake_steps[kind]->token != NULL)
        handshake_steps[kind]->token(conn, token);
}

/*
 * Some proxies end the stream at a command that they do not know (fault 103). It may be
 * an accident, so the first time the attempt is made again as it was. If it ends so again, the
 * next one leaves out HELLO and whatever the lock can do without. If that one gets through, so do
 * later ones, until one fails:
 *
 *    full --hung up--> full --hung up--> plain --ready--> plain ...
 *      ^                 | another         | any failure
 *      '-----------------+-----------------'
 *
 * A peer that took a full handshake before knows all of it: so what must be fenced can be.
 */
bool rlki_handshake_hung_up(rlk_conn *conn)
{
    bool extra = false; /* among those that were sent: answers before it may be lost too */
    uint32_t i;

    for (i = 0; i < conn->ring.used; i++) {
        unsigned kind = rlki_ring_kind(conn, i);

        if ((handshake_steps[kind]->flags & CONN_STEP_EXTRA) != 0 ||
            (kind == CONN_STEP_SCRIPTS && rlki_script_may_eval(conn)))
            extra = true;
    }
    if (!extra || (conn->flags & (CONN_PLAIN | CONN_WHOLE)) != 0)
        return false;
    if (conn->hung != 0)
        conn->flags |= CONN_PLAIN;
    else
        conn->hung = (uint8_t)(rlki_ring_kind(conn, 0) + 1u);
    return true;
}

bool rlki_handshake_is_secret(unsigned kind)
{
    return kind != CONN_REQUEST && (handshake_steps[kind]->flags & CONN_STEP_SECRET) != 0;
}

/* Errors that say the same at any step; HELLO sees to them itself. */
static bool handshake_is_final(unsigned kind, rlk_result error)
{
#ifdef RLK_RESP2_ONLY
    (void)kind;
#else
    if (kind == CONN_STEP_HELLO)
        return false;
#endif
    return error == RLK_E_AUTH || error == RLK_E_NOAUTH || error == RLK_E_PROTECTED ||
           error == RLK_E_SERVER_FULL;
}

rlk_result rlki_handshake_reply(rlk_conn *conn, unsigned kind, const rlk_reply *reply)
{
    const conn_step *step = handshake_steps[kind];

    if (handshake_is_final(kind, reply->error)) /* NOAUTH is the credentials' fault here */
        return reply->error == RLK_E_NOAUTH ? RLK_E_AUTH : reply->error;
    if (reply->error != RLK_OK && (step->flags & CONN_STEP_OPTIONAL) != 0) {
        rlki_text_forget(conn);
        return RLK_OK;
    }
    return step->reply != NULL ? step->reply(conn, reply) : RLK_OK;
}

uint8_t rlki_handshake_step(const rlk_conn *conn)
{
    if (conn->state != RLK_CONN_HANDSHAKE)
        return 0;
    if (conn->ring.used != 0)
        return (uint8_t)(rlki_ring_kind(conn, 0) + 1u);
    /* Answered before the driver has acknowledged all of it. */
    if (rlki_transmit_has_segment(conn))
        return CONN_STEP_SCRIPTS + 1u;
    return (uint8_t)(conn->step + 1u);
}

/* ==== src/net/receive.h ====
 *
 * Internal: received bytes.
 */
#ifndef RLKI_NET_RECEIVE_H
#define RLKI_NET_RECEIVE_H

/* Begins a stream. */
RLKI_API void rlki_receive_begin(rlk_conn *conn);

/* Drops what it has shown, as far as it may be secret. */
RLKI_API void rlki_receive_drop(rlk_conn *conn);

/* Takes note of `len` bytes that were received. False: there was no room for as many, or none. */
static inline bool rlki_receive_add(rlk_conn *conn, size_t len)
{
    if (!conn_is_up(conn) || len == 0 || len > conn->rx.cap - conn->rx.end)
        return false;
    conn->rx.end += (uint32_t)len;
    CONN_COUNT(conn, bytes_received, len);
    return true;
}

/* True in READY if all that was received is taken: then the buffer begins anew. */
static inline bool rlki_receive_is_over(rlk_conn *conn)
{
    if (conn->rx.begin != conn->rx.end || conn->state != RLK_CONN_READY)
        return false;
    conn->rx.begin = 0;
    conn->rx.end = 0;
    return true;
}

/* RLK_RESP_TOKEN: the next token of a reply. RLK_RESP_MORE: all that was received is taken. Else it
 * is no RESP. Pushes are reported by `invalidated`. */
RLKI_API rlk_resp_status rlki_receive_next(rlk_conn *conn, rlk_resp_token *token);

/* True if the reply of the last token is an error. */
RLKI_API inline bool rlki_receive_is_error(const rlk_conn *conn)
{
    return conn->reply_type == RLK_RESP_ERROR || conn->reply_type == RLK_RESP_BLOB_ERROR;
}

/* Makes the reply of its last token. What came in fragments is not in one place any more. */
RLKI_API RLKI_INTO_CALLERS void rlki_receive_reply(const rlk_conn *conn, const rlk_resp_token *token,
                                          rlk_reply *reply)
{
    bool whole = token->depth == 0 && (token->flags & RLK_RESP_FIRST) != 0;

    reply->type = (rlk_resp_type)conn->reply_type;
    reply->error = RLK_OK;
    if (whole && token->type != RLK_RESP_END) {
        reply->value = token->value;
        reply->data = token->data;
        reply->len = token->len;
    } else {
        reply->value = conn->rx.fragment == UINT32_MAX ? -1 : (int64_t)conn->rx.fragment;
        reply->data = NULL;
        reply->len = 0;
    }
    if (!rlki_receive_is_error(conn))
        return;
    if (reply->data == NULL) {
        reply->data = (const uint8_t *)conn->text;
        reply->len = conn->text_len;
    }
    reply->error = rlk_server_error(reply->data, reply->len);
}

#endif

/* ==== src/net/receive.c ====
 *
 * The receive port: bytes to tokens, tokens to the reply that is due, in place.
 *
 *    rx:   | parsed | begins a token, not all of it here | room for the driver |
 *                   rx_begin                             rx_end
 *
 * Pushes and attributes are no replies wherever they stand. Of the pushes those of client tracking
 * are understood: >2 "invalidate" and an array of keys, or a null where any key may have changed.
 * Of a key, which may be longer than the buffer, only its hash is kept. A reply that nobody waits
 * for, or bytes that are no RESP, end the stream: after either, no later reply could be trusted.
 */

#include <string.h>

void rlki_receive_begin(rlk_conn *conn)
{
    conn->rx.begin = 0;
    conn->rx.end = 0;
    rlk_resp_parser_init(&conn->parser, conn->rx.cap - 2); /* a string and its CRLF fit */
}

/* Servers repeat arguments in errors: passwords among them. */
void rlki_receive_drop(rlk_conn *conn)
{
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->rx.bytes, conn->rx.end);
}

extern inline bool rlki_receive_is_error(const rlk_conn *conn);

extern inline void rlki_receive_reply(const rlk_conn *conn, const rlk_resp_token *token,
                                      rlk_reply *reply);

/* A token of a reply: not of a push, not of an attribute. */
static void receive_take_reply(rlk_conn *conn, const rlk_resp_token *token)
{
    if (token->depth == 0 && token->type != RLK_RESP_END && (token->flags & RLK_RESP_FIRST) != 0) {
        conn->reply_type = (uint8_t)token->type;
        conn->rx.fragment =
            token->value >= 0 && token->value <= INT32_MAX ? (uint32_t)token->value : UINT32_MAX;
    }
    if (rlki_receive_is_error(conn))
        rlki_text_keep(conn, token);
}

#ifndef RLK_RESP2_ONLY

/* match: the push under way is an invalidation. */
enum {
    RECEIVE_OTHER,
    RECEIVE_INVALIDATE
};

#define RECEIVE_WORD     "invalidate"
#define RECEIVE_WORD_LEN (sizeof RECEIVE_WORD - 1)

static bool receive_is_string(const rlk_resp_token *token)
{
    return token->type == RLK_RESP_BULK || token->type == RLK_RESP_SIMPLE;
}

static void receive_take_key(rlk_conn *conn, const rlk_resp_token *token)
{
    if ((token->flags & RLK_RESP_FIRST) != 0)
        conn->rx.fragment = RLK_KEY_HASH;
    conn->rx.fragment = rlk_key_hash(conn->rx.fragment, token->data, token->len);
    if ((token->flags & RLK_RESP_LAST) != 0)
        conn->calls->invalidated(conn->calls_context, conn, conn->rx.fragment, false);
}

static void receive_take_push(rlk_conn *conn, const rlk_resp_token *token)
{
    bool is_string = receive_is_string(token);

    if (token->depth == 0)
        conn->match = RECEIVE_OTHER;
    else if (token->depth == 1 && is_string)
        conn->match = token->len == RECEIVE_WORD_LEN &&
                              memcmp(token->data, RECEIVE_WORD, RECEIVE_WORD_LEN) == 0
                          ? RECEIVE_INVALIDATE
                          : RECEIVE_OTHER;
    else if (conn->match == RECEIVE_INVALIDATE && token->depth == 2 && is_string)
        receive_take_key(conn, token);
    else if (conn->match == RECEIVE_INVALIDATE && token->depth == 1 && token->type == RLK_RESP_NULL)
        conn->calls->invalidated(conn->calls_context, conn, 0, true);
}

#endif /* RLK_RESP2_ONLY */

/* True of a token of a reply. */
static bool receive_take(rlk_conn *conn, const rlk_resp_token *token)
{
    conn->flags |= CONN_RECEIVED;
    if ((token->flags & (RLK_RESP_IN_PUSH | RLK_RESP_IN_ATTRIBUTE)) == 0) {
        receive_take_reply(conn, token);
        return true;
    }
#ifndef RLK_RESP2_ONLY
    if ((token->flags & RLK_RESP_IN_ATTRIBUTE) == 0 &&
        conn->state == RLK_CONN_READY) /* before, nothing was read */
        receive_take_push(conn, token);
#endif
    return false;
}

/* Moves what is not parsed yet to the front. */
static void receive_compact(rlk_conn *conn)
{
    uint32_t left = conn->rx.end - conn->rx.begin;

    memmove(conn->rx.bytes, conn->rx.bytes + conn->rx.begin, left);
    /* Servers repeat arguments in errors: passwords among them. */
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->rx.bytes + left, conn->rx.end - left);
    conn->rx.begin = 0;
    conn->rx.end = left;
}

rlk_resp_status rlki_receive_next(rlk_conn *conn, rlk_resp_token *token)
{
    rlk_resp_status status;

    do {
        size_t consumed;

        status = rlk_resp_next(&conn->parser, conn->rx.bytes + conn->rx.begin,
                               (size_t)(conn->rx.end - conn->rx.begin), &consumed, token);
        conn->rx.begin += (uint32_t)consumed;
    } while (status == RLK_RESP_TOKEN && !receive_take(conn, token));
    if (status == RLK_RESP_MORE && conn->state == RLK_CONN_HANDSHAKE)
        receive_compact(conn);
    return status;
}

uint8_t *rlk_conn_rx_buf(rlk_conn *conn, size_t *cap)
{
    *cap = 0;
    if (!conn_is_up(conn))
        return NULL;
    /* Rarely: what is left over is most often nothing, else the beginning of a reply. */
    if (conn->rx.begin != 0 && conn->rx.cap - conn->rx.end < conn->rx.cap / 2)
        receive_compact(conn);
    *cap = conn->rx.cap - conn->rx.end;
    return conn->rx.bytes + conn->rx.end;
}

/* ==== src/net/conn.c ====
 *
 * The connection: its life, its ports, its clock. No I/O.
 *
 *              due, _connecting           _connected             last reply
 *    WAITING -------------------> CONNECTING ------> HANDSHAKE ------------> READY
 *      ^  ^                           |                  |                     |
 *      |  |  _closed by the driver    |                  |                     |
 *      |  +---------------------------+------------------+---------------------+
 *      |                              |                  |                     |
 *      |    _closed                   v time-out, or     v refused, time-out   v time-out,
 *      +-------------------------- CLOSING <-------------+---------------------' protocol,
 *      |                              |  ^  either: a text of the caller changed   condemned
 *      |                              |  '-- _reset, from any of the three: due at once
 *      | _reset                       | _closed, refused for a reason that doesn't pass
 *      '------- FATAL <---------------'
 *
 *    _closed by the peer in HANDSHAKE, at a step that it may not know: to WAITING with the next
 *    attempt due, and no failure (rlki_handshake_hung_up)
 *    _close: from anywhere to CLOSED
 *
 * Everything in flight is lost on the way out of HANDSHAKE and READY. `changed` is called on
 * arrival in READY, and on arrival in WAITING or FATAL after a failure.
 *
 * The backoff grows until a request was answered (condemn.c), or a stream has lasted longer than
 * the longest pause: a peer that closes after each good handshake makes no storm (fault 117).
 */

#include <string.h>

/* ---- Small parts ------------------------------------------------------------------------- */

#ifndef RLK_NO_TRACE
static const char *conn_state_name(unsigned state)
{
#ifdef RLK_NO_TEXT
    (void)state;
    return "";
#else
    static const char *const names[] = {"WAITING", "CONNECTING", "HANDSHAKE", "READY",
                                        "CLOSING", "FATAL",      "CLOSED"};

    return names[state];
#endif
}
#endif

static void conn_enter(rlk_conn *conn, rlk_conn_state state)
{
    conn->state = (uint8_t)state;
    CONN_TRACE(conn, false, conn_state_name(state));
}

static bool conn_is_fatal(int result)
{
    return rlk_result_class((rlk_result)result) == RLK_KIND_FATAL;
}

static void conn_changed(rlk_conn *conn)
{
    conn->calls->changed(conn->calls_context, conn);
}

/* The next attempt is due. The deadline stays in the past until the driver begins it, so that no
 * loop goes to sleep over it. */
static void conn_make_due(rlk_conn *conn)
{
    conn->deadline_ms = conn->now_ms;
    conn->flags |= CONN_DUE;
}

rlk_result rlki_conn_init(rlk_conn *conn, const rlk_conn_config *config, int64_t now_ms,
                          size_t size, uint32_t layout)
{
    rlk_result result;

    if (conn == NULL || config == NULL)
        return RLK_E_ARGUMENT;
    memset(conn, 0, size); /* of the caller's struct, whichever it is */
    if (size != sizeof *conn || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    conn->state = RLK_CONN_CLOSED; /* so that nothing happens with a bad configuration */
    conn->deadline_ms = RLK_NEVER;
    result = rlki_config_take(conn, config);
    if (result != RLK_OK)
        return result;
    conn->now_ms = now_ms;
    conn->state = RLK_CONN_WAITING;
    conn->result = RLK_E_NOT_CONNECTED;
    rlki_backoff_reset(conn);
    conn_make_due(conn);
    return RLK_OK;
}

/* ---- Ends -------------------------------------------------------------------------------- */

/* Drops the stream's bytes. What is in tx in the handshake may be a password. */
static void conn_drop_stream(rlk_conn *conn)
{
    rlki_transmit_drop(conn);
    rlki_receive_drop(conn);
    conn->flags &= (uint16_t)~CONN_DUE;
}

/* Ends what is in flight, and goes to `state`, in which nothing more is parsed or sent. fence: even
 * if all requests were answered. */
static void conn_end(rlk_conn *conn, rlk_conn_state state, bool fence)
{
    conn->step_ended = rlki_handshake_step(conn);
    if ((conn->flags & CONN_RECEIVED) == 0) {
        if (conn->hung <= 1) /* nor on the streams before */
            conn->protocol = 0;
        if (conn->hung != 0) /* says more than the first step of a plain attempt */
            conn->step_ended = conn->hung;
    }
    conn_drop_stream(conn);
    if (fence || !rlki_ring_was_answered(conn)) {
        conn->old = conn->identity;
        conn->flags |= CONN_FENCE_DUE;
    }
    conn_enter(conn, state);
    conn->deadline_ms = conn->now_ms;
    rlki_ring_lose(conn);
}

/* A stream that was ready may be tried again as it was; an attempt that failed is no proof. */
static void conn_note_failure(rlk_conn *conn, rlk_result why, int sys_errno)
{
    if (conn->state == RLK_CONN_READY &&
        (uint32_t)conn->now_ms - conn->phase.ready.since_ms >= conn->backoff.max_ms)
        rlki_backoff_reset(conn);
    if (conn->state != RLK_CONN_READY)
        conn->flags &= (uint16_t)~CONN_PLAIN;
    conn->flags &= (uint16_t)~CONN_MUTE;
    if ((conn->flags & CONN_RECEIVED) == 0 && conn->hung <= 1) /* nor on the streams before */
        conn->flags |= CONN_MUTE;
    conn->result = (int16_t)why;
    conn->sys_errno = (int16_t)sys_errno;
    conn->failures++;
}

/* Nothing failed, as far as the next attempt goes; that is due at once. */
static void conn_begin_anew(rlk_conn *conn)
{
    conn->flags &= (uint16_t) ~(CONN_RESET | CONN_PLAIN | CONN_WHOLE);
    conn->hung = 0;
    conn_enter(conn, RLK_CONN_WAITING);
    conn->result = RLK_E_NOT_CONNECTED;
    conn->sys_errno = 0;
    conn->step_ended = 0;
    rlki_text_forget(conn);
    rlki_condemn_forget(conn);
    rlki_backoff_reset(conn);
    conn_make_due(conn);
}

/* After a failure, with no stream any more. */
static void conn_settle(rlk_conn *conn)
{
    conn->hung = 0;
    if ((conn->flags & CONN_RESET) != 0) {
        conn_begin_anew(conn);
    } else if (conn_is_fatal(conn->result)) {
        conn_enter(conn, RLK_CONN_FATAL);
        conn->deadline_ms = RLK_NEVER;
    } else {
        conn_enter(conn, RLK_CONN_WAITING);
        conn->deadline_ms = conn->now_ms + rlki_backoff_next(conn);
    }
    conn_changed(conn);
}

/* Ends the attempt or the stream for `why`. */
static void conn_fail(rlk_conn *conn, rlk_result why)
{
    conn_note_failure(conn, why, 0);
    conn_end(conn, RLK_CONN_CLOSING, false);
}

/* A text that is another now (fault 119) may lead to another server: the attempt fails. */
static bool conn_dangles(rlk_conn *conn)
{
    bool dangles = rlki_config_dangles(conn);

    if (dangles)
        conn_fail(conn, RLK_E_DANGLING);
    return dangles;
}

void rlk_conn_closed(rlk_conn *conn, rlk_result why, int sys_errno, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_HANDSHAKE && why <= RLK_E_EOF && why >= RLK_E_TLS_CUT &&
        rlki_handshake_hung_up(conn)) {
        conn_end(conn, RLK_CONN_WAITING, false);
        conn->flags &= (uint16_t)~CONN_OPEN;
        conn_make_due(conn);
        return;
    }
    if (conn->state == RLK_CONN_CONNECTING || conn_is_up(conn)) {
        conn_note_failure(conn, why < 0 ? why : RLK_E_EOF, sys_errno);
        conn_end(conn, RLK_CONN_CLOSING, false);
    }
    conn->flags &= (uint16_t)~CONN_OPEN;
    if (conn->state == RLK_CONN_CLOSING)
        conn_settle(conn);
}

/* The same where what was answered must be fenced too: replies and requests did not match, or the
 * answer was one of several. */
static void conn_distrust(rlk_conn *conn, rlk_result why)
{
    bool fence = conn->state == RLK_CONN_READY; /* before, there were no requests */

    conn_note_failure(conn, why, 0);
    conn_end(conn, RLK_CONN_CLOSING, fence);
}

void rlk_conn_reject(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_READY)
        conn_distrust(conn, RLK_E_UNEXPECTED);
}

void rlk_conn_close(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_CLOSED)
        return;
    conn_end(conn, RLK_CONN_CLOSED, false);
    conn->result = RLK_E_CLOSED;
    conn->deadline_ms = RLK_NEVER;
}

/* ---- Beginnings -------------------------------------------------------------------------- */

void rlk_conn_reset(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    switch (conn->state) {
    case RLK_CONN_WAITING:
    case RLK_CONN_FATAL:
        conn->flags |= CONN_REPLACED;
        conn_begin_anew(conn);
        break;
    case RLK_CONN_CONNECTING:
    case RLK_CONN_HANDSHAKE:
    case RLK_CONN_READY:
        conn_fail(conn, RLK_E_NOT_CONNECTED);
        conn->flags |= CONN_RESET | CONN_REPLACED;
        break;
    case RLK_CONN_CLOSING:
        conn->flags |= CONN_RESET | CONN_REPLACED;
        break;
    default:
        break;
    }
}

void rlk_conn_hurry(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_WAITING)
        conn_make_due(conn);
}

void rlk_conn_connecting(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state != RLK_CONN_WAITING)
        return;
    conn_enter(conn, RLK_CONN_CONNECTING);
    conn->flags &= (uint16_t)~CONN_DUE;
    conn->flags |= CONN_OPEN;
    conn->deadline_ms = now_ms + conn->connect_timeout_ms;
    (void)conn_dangles(conn);
}

static void conn_become_ready(rlk_conn *conn)
{
    conn->result = RLK_OK;
    conn_enter(conn, RLK_CONN_READY);
    conn->deadline_ms = RLK_NEVER;
    conn->sys_errno = 0;
    conn->step_ended = 0;
    conn->generation++;
    conn->hung = 0;
    if ((conn->flags & CONN_PLAIN) == 0)
        conn->flags |= CONN_WHOLE;
    if (rlki_fence_decide(&conn->identity, &conn->identity) != RLKI_FENCE_NONE)
        conn->server |= RLK_SERVER_IDENTITY;
    if ((conn->flags & CONN_FENCE_DUE) != 0) /* tried, without success */
        conn->flags |= CONN_UNFENCED;
    conn->flags &= (uint16_t)~CONN_FENCE_DUE;
    rlki_text_forget(conn);
    conn->phase.ready.since_ms = (uint32_t)conn->now_ms;
    conn->phase.ready.lasting_ms = 0;
    conn_changed(conn);
    conn->flags &= (uint16_t)~CONN_REPLACED;
}

/* Sends what can be sent: steps of the handshake, scripts, requests. */
static inline void conn_pump(rlk_conn *conn)
{
    if (conn->state == RLK_CONN_HANDSHAKE) {
        rlk_result result = rlki_handshake_pump(conn);

        if (result != RLK_OK)
            conn_fail(conn, result);
        else if (rlki_handshake_is_over(conn))
            conn_become_ready(conn);
    }
    if (conn->state == RLK_CONN_READY && rlki_send_waits(conn))
        rlki_send_flush(conn);
}

void rlk_conn_connected(rlk_conn *conn, uint64_t peer, const char *local, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state != RLK_CONN_CONNECTING)
        return;
    conn_enter(conn, RLK_CONN_HANDSHAKE);
    conn->flags &= (uint16_t) ~(CONN_RECEIVED | CONN_UNFENCED | CONN_TRACKING | CONN_SERVED);
    conn->server = (conn->flags & CONN_PLAIN) != 0 ? RLK_SERVER_PLAIN : 0;
    if (conn->server != 0 && rlki_script_may_eval(conn))
        conn->server |= RLK_SERVER_NO_LOAD;
    conn->protocol = conn_is_resp2_only(conn) || conn->server != 0 ? 2 : 0;
    conn->scripts.next = conn->scripts.count;
    conn->ring.loads = 0;
    conn->tx.needed = 0;
    conn->missed = 0;
    conn->step = 0;
    memset(&conn->identity, 0, sizeof conn->identity);
    conn->identity.peer = rlki_condemn_number(peer);
    if (local != NULL)
        rlki_local_pack(&conn->identity.local, local);
    rlki_transmit_begin(conn);
    rlki_receive_begin(conn);
    if (!conn_dangles(conn)) /* credentials and name leave now */
        conn_pump(conn);
}

/* ---- Transmit port ----------------------------------------------------------------------- */

void rlk_conn_tx_ack(rlk_conn *conn, size_t len, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn_is_up(conn) && rlki_transmit_ack(conn, len))
        conn_pump(conn);
}

/* ---- Received bytes ---------------------------------------------------------------------- */

/* A whole reply, to the oldest entry. */
static void conn_take_reply(rlk_conn *conn, const rlk_conn_entry *entry, const rlk_reply *reply)
{
    if (conn->state == RLK_CONN_HANDSHAKE) {
        rlk_result result = rlki_handshake_reply(conn, entry->kind, reply);

        if (result != RLK_OK) {
            rlki_condemn_address(conn, result);
            conn_fail(conn, result);
            return;
        }
    } else if (rlki_condemn(conn, reply->error)) {
        bool more = entry->replies > 1; /* commands of the same request, which may execute */

        rlki_ring_refuse(conn);
        if (more)
            conn_distrust(conn, reply->error);
        else
            conn_fail(conn, reply->error);
        return;
    }
    if (entry->kind == CONN_STEP_SCRIPTS)
        conn->ring.loads--;
    rlki_ring_reply(conn, reply);
}

/* A token of a reply. */
static void conn_take_token(rlk_conn *conn, const rlk_resp_token *token)
{
    const rlk_conn_entry *entry = rlki_ring_due(conn);
    bool handshake = conn->state == RLK_CONN_HANDSHAKE;
    rlk_reply reply;

    /* A server that is full or protected says so before it has read anything (fault 16). */
    if (entry == NULL && !(handshake && rlki_receive_is_error(conn))) {
        conn_distrust(conn, RLK_E_UNSOLICITED);
        return;
    }
    conn->deadline_ms = conn->now_ms + conn->response_timeout_ms;
    if (entry != NULL && handshake)
        rlki_handshake_token(conn, entry->kind, token);
    if ((token->flags & RLK_RESP_DONE) == 0)
        return;
    rlki_receive_reply(conn, token, &reply);
    if (reply.error != RLK_OK)
        rlki_text_mask(conn, reply.error, entry != NULL && rlki_handshake_is_secret(entry->kind));
    if (entry != NULL)
        conn_take_reply(conn, entry, &reply);
    else
        conn_fail(conn, reply.error);
}

void rlk_conn_rx_ack(rlk_conn *conn, size_t len, int64_t now_ms)
{
    rlk_resp_token token;
    rlk_resp_status status = RLK_RESP_TOKEN;

    conn->now_ms = now_ms;
    if (!rlki_receive_add(conn, len))
        return;
    while (status == RLK_RESP_TOKEN && conn_is_up(conn) && !rlki_receive_is_over(conn)) {
        status = rlki_receive_next(conn, &token);
        if (status == RLK_RESP_TOKEN)
            conn_take_token(conn, &token);
        else if (status != RLK_RESP_MORE)
            conn_distrust(conn,
                          (conn->flags & CONN_RECEIVED) != 0 ? RLK_E_PROTOCOL : RLK_E_NOT_RESP);
    }
    if (conn->calls->received != NULL)
        conn->calls->received(conn->calls_context, conn);
    conn_pump(conn);
}

/* ---- Time -------------------------------------------------------------------------------- */

void rlk_conn_tick(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (now_ms < conn->deadline_ms)
        return;
    switch (conn->state) {
    case RLK_CONN_WAITING:
        conn->flags |= CONN_DUE;
        break;
    case RLK_CONN_CONNECTING:
        conn_fail(conn, RLK_E_CONNECT_TIMEOUT);
        break;
    case RLK_CONN_HANDSHAKE:
    case RLK_CONN_READY:
        conn_fail(conn, RLK_E_RESPONSE_TIMEOUT);
        break;
    default:
        break;
    }
}

unsigned rlk_conn_wants(const rlk_conn *conn)
{
    if (conn_is_up(conn))
        return rlki_transmit_is_empty(conn) ? RLK_WANT_READ : RLK_WANT_READ | RLK_WANT_WRITE;
    switch (conn->state) {
    case RLK_CONN_WAITING:
        return (conn->flags & CONN_DUE) != 0 ? RLK_WANT_CONNECT : 0;
    case RLK_CONN_CLOSING:
        return RLK_WANT_CLOSE;
    case RLK_CONN_CLOSED:
        return (conn->flags & CONN_OPEN) != 0 ? RLK_WANT_CLOSE : 0;
    default:
        return 0;
    }
}

/* ==== src/net/conn_status.c ====
 *
 * What a connection answers when it is asked about itself.
 */

int64_t rlk_conn_now(const rlk_conn *conn)
{
    return conn->now_ms;
}

int64_t rlk_conn_deadline(const rlk_conn *conn)
{
    return conn->deadline_ms;
}

const rlk_url *rlk_conn_url(const rlk_conn *conn)
{
    return &conn->url;
}

rlk_conn_state rlk_conn_get_state(const rlk_conn *conn)
{
    return (rlk_conn_state)conn->state;
}

rlk_result rlk_conn_result(const rlk_conn *conn)
{
    return (rlk_result)conn->result;
}

int rlk_conn_errno(const rlk_conn *conn)
{
    return conn->sys_errno;
}

const char *rlk_conn_text(const rlk_conn *conn)
{
    return conn->text;
}

const char *rlk_conn_step(const rlk_conn *conn)
{
    uint8_t step = conn->state == RLK_CONN_HANDSHAKE ? rlki_handshake_step(conn) : conn->step_ended;

    return step != 0 ? rlki_handshake_name(step - 1u) : "";
}

uint32_t rlk_conn_generation(const rlk_conn *conn)
{
    return conn->generation;
}

uint32_t rlk_conn_failures(const rlk_conn *conn)
{
    return conn->failures;
}

#ifndef RLK_NO_TRACE
rlk_traffic rlk_conn_traffic(const rlk_conn *conn)
{
    rlk_traffic traffic;

    traffic.fences = conn->fences;
    traffic.bytes_sent = conn->tx.position;
    traffic.bytes_received = conn->bytes_received;
    return traffic;
}
#endif

bool rlk_conn_fenced(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_READY && (conn->flags & CONN_UNFENCED) == 0;
}

uint64_t rlk_conn_run_id(const rlk_conn *conn)
{
    return conn->identity.run_id;
}

unsigned rlk_conn_server(const rlk_conn *conn)
{
    return conn->server;
}

void rlk_conn_note(rlk_conn *conn, unsigned server)
{
    conn->server = (uint16_t)(conn->server | server);
}

size_t rlk_conn_tx_cap(const rlk_conn *conn)
{
    return conn->tx.cap;
}

size_t rlk_conn_tx_needed(const rlk_conn *conn)
{
    return conn->tx.needed;
}

int rlk_conn_protocol(const rlk_conn *conn)
{
    return conn->protocol;
}

/* ==== src/net/key_hash.c ====
 *
 * The hash of keys, and of the texts of errors.
 */

uint32_t rlk_key_hash(uint32_t hash, const void *key, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)key;
    size_t i;

    for (i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * UINT32_C(16777619);
    return hash;
}

/* ==== src/net/url.c ====
 *
 * URLs of servers: redis://, valkey:// and unix://, by RFC 3986, the registration of the redis
 * scheme and redis-py. The result points into the text; nothing is copied or decoded here.
 *
 *     redis://user:password@host:6379/0?db=0
 *     |-----| |-----------| |-------| | |---|
 *     scheme   credentials  authority path query
 *                           (host)
 *
 * Where the rules leave a choice: the scheme's letters have no case; white space around the text is
 * not part of it; an empty host is localhost, an empty port the default; credentials end at the
 * last '@' before the path; a database said twice must be the same one, and credentials are said
 * once.
 *
 * A character that ends a part too early, because nobody escaped it, must not lead to another
 * server: an '@' behind the authority and a '#' anywhere are refused.
 */

#include <string.h>

/* Longest URL. The lengths in rlk_url are 16 bits wide. */
#ifndef RLK_URL_MAX
#define RLK_URL_MAX 65535u
#endif

/* Longest host, zone included. DNS allows 253. */
#ifndef RLK_URL_HOST_MAX
#define RLK_URL_HOST_MAX 255
#endif

/* Longest decoded path of a Unix socket: sun_path of Linux without its terminator. Where that is
 * shorter, the driver refuses the rest. */
#ifndef RLK_URL_PATH_MAX
#define RLK_URL_PATH_MAX 107
#endif

#define URL_HOST     "localhost"
#define URL_PORT     6379u
#define URL_PORT_MAX 65535u
#define URL_DB_MAX   2147483647u

/* ---- Characters -------------------------------------------------------------------------- */

static bool url_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char url_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Value of a hex digit, -1 for any other character. */
static int url_hex(char c)
{
    char lower = url_lower(c);

    if (url_is_digit(c)) {
        return c - '0';
    }
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* True if begin[0..len) is `lower` without regard to case. */
static bool url_same_letters(const char *begin, const char *lower, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (url_lower(begin[i]) != url_lower(lower[i])) {
            return false;
        }
    }
    return true;
}

/* The byte at *at, which moves behind it. A '%' without two hex digits stands for itself. */
static uint8_t url_next_byte(const char **at, const char *end)
{
    const char *p = *at;

    if (*p == '%' && end - p >= 3 && url_hex(p[1]) >= 0 && url_hex(p[2]) >= 0) {
        *at = p + 3;
        return (uint8_t)(url_hex(p[1]) * 16 + url_hex(p[2]));
    }
    *at = p + 1;
    return (uint8_t)*p;
}

size_t rlk_url_decode(const char *text, size_t len, uint8_t *out, size_t cap)
{
    const char *end;
    const char *at;
    size_t n = 0;

    if (len == 0) { /* text may be NULL */
        return 0;
    }
    end = text + len;
    for (at = text; at < end; n++) {
        (void)url_next_byte(&at, end);
    }
    if (n <= cap) {
        for (at = text; at < end;) {
            *out++ = url_next_byte(&at, end);
        }
    }
    return n;
}

/* ---- Comparison -------------------------------------------------------------------------- */

static bool url_same_path(const rlk_url *a, const rlk_url *b)
{
    const char *at = a->path;
    const char *end = at + a->path_len;
    const char *bt = b->path;
    const char *bend = bt + b->path_len;

    while (at < end && bt < bend) {
        if (url_next_byte(&at, end) != url_next_byte(&bt, bend)) {
            return false;
        }
    }
    return at == end && bt == bend;
}

bool rlk_url_same_server(const rlk_url *a, const rlk_url *b)
{
    if (a->host != NULL && b->host != NULL) {
        return a->port == b->port && a->host_len == b->host_len &&
               url_same_letters(a->host, b->host, a->host_len);
    }
    return a->path != NULL && b->path != NULL && url_same_path(a, b);
}

/* ---- Parsing ----------------------------------------------------------------------------- */

#ifndef RLK_NO_URL

/* Characters of a host name, and of the zone of an IPv6 address. */
static bool url_is_name_char(char c)
{
    char lower = url_lower(c);

    return (lower >= 'a' && lower <= 'z') || url_is_digit(c) || c == '-' || c == '.' || c == '_';
}

static const char *url_find(const char *begin, const char *end, char c)
{
    while (begin < end && *begin != c) {
        begin++;
    }
    return begin;
}

/* The last one; `end` if there is none. */
static const char *url_find_last(const char *begin, const char *end, char c)
{
    const char *at = end;

    while (at > begin) {
        if (*--at == c) {
            return at;
        }
    }
    return end;
}

static bool url_is_word(const char *begin, const char *end, const char *word)
{
    size_t len = strlen(word);

    return (size_t)(end - begin) == len && memcmp(begin, word, len) == 0;
}

static bool url_is_scheme(const char *begin, const char *end, const char *scheme)
{
    size_t len = (size_t)(end - begin);

    return len == strlen(scheme) && url_same_letters(begin, scheme, len);
}

/* Digits only, at least one, at most `max` (< 2^32). */
static bool url_number(const char *begin, const char *end, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;

    if (begin == end) {
        return false;
    }
    for (; begin < end; begin++) {
        if (!url_is_digit(*begin)) {
            return false;
        }
        value = value * 10 + (uint64_t)(*begin - '0');
        if (value > max) {
            return false;
        }
    }
    *out = (uint32_t)value;
    return true;
}

static bool url_escapes_are_good(const char *begin, const char *end)
{
    for (; begin < end; begin++) {
        if (*begin == '%' && (end - begin < 3 || url_hex(begin[1]) < 0 || url_hex(begin[2]) < 0)) {
            return false;
        }
    }
    return true;
}

/* ---- Host -------------------------------------------------------------------------------- */

/* Four decimal numbers of 0..255 without leading zeros, as inet_pton has them. */
static bool url_is_ipv4(const char *begin, const char *end)
{
    unsigned parts = 0;

    for (;;) {
        const char *stop = url_find(begin, end, '.');
        uint32_t value;

        if (!url_number(begin, stop, 255, &value) || (*begin == '0' && stop - begin > 1)) {
            return false;
        }
        parts++;
        if (stop == end) {
            return parts == 4;
        }
        begin = stop + 1;
    }
}

/* RFC 4291: eight groups of one to four hex digits, one run of zero groups perhaps as "::", the
 * last two groups perhaps as an IPv4 address. */
static bool url_is_ipv6(const char *begin, const char *end)
{
    const char *at = begin;
    unsigned groups = 0;
    bool gap = false;

    if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
        gap = true;
        at += 2;
    }
    while (at < end) {
        const char *group = at;

        while (at < end && at - group < 4 && url_hex(*at) >= 0) {
            at++;
        }
        if (at < end && *at == '.' && url_is_ipv4(group, end)) {
            groups += 2;
            break;
        }
        if (at == group) {
            return false;
        }
        groups++;
        if (at == end) {
            break;
        }
        if (*at != ':' || ++at == end) {
            return false;
        }
        if (*at == ':') {
            if (gap) {
                return false;
            }
            gap = true;
            at++;
        }
    }
    return gap ? groups <= 7 : groups == 8;
}

/* What stands between the brackets: an IPv6 address, behind it perhaps "%25" and a zone
 * (RFC 6874). */
static bool url_is_bracketed(const char *begin, const char *end)
{
    const char *percent = url_find(begin, end, '%');
    const char *at;

    if (!url_is_ipv6(begin, percent)) {
        return false;
    }
    if (percent == end) {
        return true;
    }
    if (end - percent < 4 || percent[1] != '2' || percent[2] != '5') {
        return false;
    }
    for (at = percent + 3; at < end && url_is_name_char(*at); at++) {
    }
    return at == end;
}

/* A name or an IPv4 address; not empty. What has only digits and dots can't be a name: 1.2.3,
 * 256.1.1.1. */
static bool url_is_host(const char *begin, const char *end)
{
    bool numeric = true;
    const char *at;

    for (at = begin; at < end; at++) {
        if (!url_is_name_char(*at)) {
            return false;
        }
        numeric = numeric && (url_is_digit(*at) || *at == '.');
    }
    return !numeric || url_is_ipv4(begin, end);
}

/* ---- Parts ------------------------------------------------------------------------------- */

/* host[:port], both of which may be empty. The host ends at the last colon, so that an IPv6 address
 * without its brackets is a wrong host and not a wrong port. */
static rlk_result url_parse_host(rlk_url *url, const char *begin, const char *end)
{
    const char *host = begin;
    const char *host_end;
    const char *colon;
    uint32_t port = URL_PORT;

    if (begin < end && *begin == '[') {
        host++;
        host_end = url_find(host, end, ']');
        if (host_end == end || !url_is_bracketed(host, host_end)) {
            return RLK_E_URL_HOST;
        }
        colon = host_end + 1;
        if (colon < end && *colon != ':') {
            return RLK_E_URL_HOST;
        }
    } else {
        colon = url_find_last(begin, end, ':');
        host_end = colon;
        if (host == host_end) {
            host = URL_HOST;
            host_end = host + sizeof URL_HOST - 1;
        }
        if (!url_is_host(host, host_end)) {
            return RLK_E_URL_HOST;
        }
    }
    if (host_end - host > RLK_URL_HOST_MAX) {
        return RLK_E_URL_HOST;
    }
    if (end - colon > 1 && (!url_number(colon + 1, end, URL_PORT_MAX, &port) || port == 0)) {
        return RLK_E_URL_PORT;
    }
    url->host = host;
    url->host_len = (uint16_t)(host_end - host);
    url->port = (uint16_t)port;
    return RLK_OK;
}

/* [user][:password]. An empty user is none; so is an empty password without a user, as comes from
 * a template with nothing to fill in. */
static rlk_result url_parse_credentials(rlk_url *url, const char *begin, const char *end)
{
    const char *colon = url_find(begin, end, ':');

    if (!url_escapes_are_good(begin, end)) {
        return RLK_E_URL_ESCAPE;
    }
    if (colon > begin) {
        url->user = begin;
        url->user_len = (uint16_t)(colon - begin);
    }
    if (colon < end && (colon > begin || colon + 1 < end)) {
        url->password = colon + 1;
        url->password_len = (uint16_t)(end - url->password);
    }
    return RLK_OK;
}

/* The path of a Unix socket: absolute, and something to name. */
static rlk_result url_parse_path(rlk_url *url, const char *begin, const char *end)
{
    const char *at = begin;
    size_t len = 0;

    if (!url_escapes_are_good(begin, end)) {
        return RLK_E_URL_ESCAPE;
    }
    for (; at < end; len++) {
        if (url_next_byte(&at, end) == 0) {
            return RLK_E_URL_PATH;
        }
    }
    if (len < 2 || len > RLK_URL_PATH_MAX) {
        return RLK_E_URL_PATH;
    }
    url->path = begin;
    url->path_len = (uint16_t)(end - begin);
    return RLK_OK;
}

/* /[db][/] */
static rlk_result url_parse_db(rlk_url *url, const char *begin, const char *end, bool *has_db)
{
    if (begin < end) {
        begin++;
    }
    if (begin < end && end[-1] == '/') {
        end--;
    }
    *has_db = begin < end;
    return !*has_db || url_number(begin, end, URL_DB_MAX, &url->db) ? RLK_OK : RLK_E_URL_DB;
}

/* The value of a user or password in the query, where an empty one is none. Of a '+' some make a
 * space there. */
static rlk_result url_take_value(const char **text, uint16_t *len, const char *begin,
                                 const char *end)
{
    if (*text != NULL) {
        return RLK_E_URL_QUERY;
    }
    if (!url_escapes_are_good(begin, end) || url_find(begin, end, '+') < end) {
        return RLK_E_URL_ESCAPE;
    }
    if (begin < end) {
        *text = begin;
        *len = (uint16_t)(end - begin);
    }
    return RLK_OK;
}

/* One name=value. has_db: the database was said already. */
static rlk_result url_parse_pair(rlk_url *url, const char *begin, const char *end, bool *has_db)
{
    const char *equals = url_find(begin, end, '=');
    const char *value = equals < end ? equals + 1 : end;
    uint32_t db;

    if (url_is_word(begin, equals, "username")) {
        return url_take_value(&url->user, &url->user_len, value, end);
    }
    if (url_is_word(begin, equals, "password")) {
        return url_take_value(&url->password, &url->password_len, value, end);
    }
    if (!url_is_word(begin, equals, "db")) {
        return RLK_E_URL_QUERY;
    }
    if (!url_number(value, end, URL_DB_MAX, &db) || (*has_db && db != url->db)) {
        return RLK_E_URL_DB;
    }
    url->db = db;
    *has_db = true;
    return RLK_OK;
}

/* Pairs joined by '&'. */
static rlk_result url_parse_query(rlk_url *url, const char *begin, const char *end, bool has_db)
{
    rlk_result result = RLK_OK;

    while (begin < end && result == RLK_OK) {
        const char *stop = url_find(begin, end, '&');

        result = url_parse_pair(url, begin, stop, &has_db);
        begin = stop < end ? stop + 1 : end;
    }
    return result;
}

/* ---- The whole --------------------------------------------------------------------------- */

static bool url_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The text without the white space around it, such as the end of a line. False: it has a character
 * that no URL has, or no end. */
static bool url_trim(const char **begin, const char **end)
{
    const char *text = *begin;
    size_t len = 0;
    size_t i;

    while (url_is_space(*text)) {
        text++;
    }
    while (text[len] != '\0') {
        if (len++ == RLK_URL_MAX) {
            return false;
        }
    }
    while (len > 0 && url_is_space(text[len - 1])) {
        len--;
    }
    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c <= ' ' || c == 0x7f || c == '"') {
            return false;
        }
    }
    *begin = text;
    *end = text + len;
    return *text != '\'';
}

/* What is behind "scheme://". */
static rlk_result url_parse_rest(rlk_url *url, bool is_unix, const char *begin, const char *end)
{
    const char *question = url_find(begin, end, '?');
    const char *slash = url_find(begin, question, '/');
    const char *at = url_find_last(begin, slash, '@');
    const char *query = question < end ? question + 1 : end;
    bool has_db = false;
    rlk_result result = RLK_OK;

    if (url_find(begin, end, '#') < end) {
        return RLK_E_URL_ESCAPE;
    }
    if (at < slash) {
        result = url_parse_credentials(url, begin, at);
        begin = at + 1;
    }
    if (result != RLK_OK) {
        return result;
    }
    /* credentials that a character of theirs has cut short; the path of a socket may have an '@' */
    if (!(is_unix && begin == slash) && url_find(slash, end, '@') < end) {
        return RLK_E_URL_ESCAPE;
    }
    if (is_unix) {
        /* unix://run/redis.sock: a slash was forgotten */
        result = begin < slash ? RLK_E_URL_PATH : url_parse_path(url, slash, question);
    } else {
        result = url_parse_host(url, begin, slash);
        if (result == RLK_OK) {
            result = url_parse_db(url, slash, question, &has_db);
        }
    }
    return result != RLK_OK ? result : url_parse_query(url, query, end, has_db);
}

static rlk_result url_parse_text(rlk_url *url, const char *text)
{
    const char *end;
    const char *colon;
    bool is_unix;
    bool is_tls;
    rlk_result result;

    if (!url_trim(&text, &end)) {
        return RLK_E_URL;
    }
    colon = url_find(text, end, ':');
    if (end - colon < 3 || colon[1] != '/' || colon[2] != '/') {
        return RLK_E_URL;
    }
    is_unix = url_is_scheme(text, colon, "unix");
    is_tls = url_is_scheme(text, colon, "rediss") || url_is_scheme(text, colon, "valkeys");
    if (!is_unix && !is_tls && !url_is_scheme(text, colon, "redis") &&
        !url_is_scheme(text, colon, "valkey")) {
        return RLK_E_URL_SCHEME;
    }
    result = url_parse_rest(url, is_unix, colon + 3, end);
    return result == RLK_OK && is_tls ? RLK_E_URL_TLS : result;
}

rlk_result rlk_url_parse(rlk_url *url, const char *text)
{
    rlk_result result;

    if (url == NULL) {
        return RLK_E_ARGUMENT;
    }
    memset(url, 0, sizeof *url);
    if (text == NULL) {
        return RLK_E_ARGUMENT;
    }
    result = url_parse_text(url, text);
    if (result != RLK_OK && result != RLK_E_URL_TLS) {
        memset(url, 0, sizeof *url);
    }
    return result;
}

#endif /* RLK_NO_URL */

/* ==== src/lock/script.h ====
 *
 * The Lua script of the lock, as a SCRIPT LOAD command and a digest.
 *
 * It reads the token by GETEX, a write command without effect: so a replica or a demoted primary
 * answers READONLY instead of a false "not ours", and a paused server lets it wait behind the SETs
 * that came before (rules 5 and 6). Where the server does not know GETEX (before 6.2), or the ACL
 * user may not run it, it uses GET.
 *
 *   KEYS[1] key, ARGV[1] token              release. 1: deleted
 *   KEYS[1] key, ARGV[1] token, ARGV[2] ms  raise: the PTTL, raised to ms if it was less, or none.
 *                                           ms = -1 raises nothing: a check
 *   of both, without the token              -2: there is no such key. -3: it holds another value
 *   no argument, with a key or without      0, or "ERR unknown command ...": one that the script
 *                                           or the lock needs is missing, or has another name
 *
 * What came of GET because GETEX can't be used comes as RLKI_BY_GET less the reply: the caller
 * remembers that, and passes ARGV[3] = 1 from then on (of a release with ARGV[2] empty), so that
 * the script uses GET at once and no denial is logged (fault 106).
 *
 * EVALSHA's digest is fixed here; a test compares it with the server's own.
 */
#ifndef RLKI_SCRIPTS_H
#define RLKI_SCRIPTS_H

#define RLKI_SCRIPT_DIGEST "cf0fa691994b553610beb3adf90d35b481bfff75"

#define RLKI_ABSENT   (-2)
#define RLKI_NOT_OURS (-3)

/* Replies of the script itself are -3 and above, so that these are -97 and below. */
#define RLKI_BY_GET (-100)

#endif

/* ==== src/lock/script.c ==== */

/* k: the key; v: the token in it, false if there is none; r: the reply; g: GET instead of GETEX. An
 * error but "no such command" and "not allowed" (words of Redis 5 to 8 and Valkey) is the script's
 * own reply. Without arguments each command is called without its own: known, it says so before it
 * does anything or asks for permissions. The header of the script has its length; a test compares
 * it. */
static const char script_load[] =
    /* clang-format off */
    "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$697\r\n"
    "local k,a,v=KEYS[1],ARGV\n"
    "if not a[1] then\n"
    "for _,c in ipairs{'SET','GET','DEL','PTTL','PEXPIRE'} do\n"
    "local e=redis.pcall(c)\n"
    "if e.err:find('nknown') then return redis.error_reply('ERR unknown command '..c) end\n"
    "end\n"
    "return 0\n"
    "end\n"
    "local g=a[3]\n"
    "if not g then\n"
    "v=redis.pcall('GETEX',k)\n"
    "if type(v)=='table' then\n"
    "local e=v.err\n"
    "if not(e:find('nknown') or e:find(\"can't run\") or e:find('permissions to run')) then return v end\n"
    "g=1\n"
    "end\n"
    "end\n"
    "if g then v=redis.call('GET',k) end\n"
    "local r=v and -3 or -2\n"
    "if v==a[1] then\n"
    "local t=tonumber(a[2])\n"
    "if t then\n"
    "r=redis.call('PTTL',k)\n"
    "if r<t then\n"
    "redis.call('PEXPIRE',k,a[2])\n"
    "r=redis.call('PTTL',k)\n"
    "end\n"
    "else\n"
    "r=redis.call('DEL',k)\n"
    "end\n"
    "end\n"
    "if g~=a[3] then r=-100-r end\n"
    "return r\n"
    "\r\n";
/* clang-format on */

static const char script_probe[] =
    "*3\r\n$7\r\nEVALSHA\r\n$40\r\n" RLKI_SCRIPT_DIGEST "\r\n$1\r\n0\r\n";

RLKI_API const rlk_conn_script rlki_script = {script_load, script_probe, sizeof script_load - 1};

/* ==== src/lock/state.h ====
 *
 * The states of a client and of a lock, and how many nodes there are. What the structs mean that
 * resplock/lock_layout.h lays out.
 */
#ifndef RLKI_LOCK_STATE_H
#define RLKI_LOCK_STATE_H

/* Of times in 32 bits: a deadline that never comes, and what is before all times. */
#define RLKI_NEVER   INT32_MAX
#define RLKI_EXPIRED INT32_MIN

/* A client or a lock that is not initialised, or closed, is all bytes zero. */
enum {
    RLKI_CLIENT_CLOSED,
    RLKI_CLIENT_OPEN
};

/* State of a lock, apart from its operation. */
enum {
    RLKI_CLOSED,
    RLKI_FREE,
    RLKI_HELD,
    RLKI_LOST /* was held, ran out, and nobody has asked for release or acquire since */
};

/* Phase of an acquire. The other operations have RLKI_PHASE_WORK only. */
enum {
    RLKI_PHASE_WORK,
    RLKI_PHASE_QUEUE,   /* behind another lock of the client that waits for the same key */
    RLKI_PHASE_WATCH,   /* until a quorum of nodes is ready, and not known to be held */
    RLKI_PHASE_ATTEMPT, /* SETs are out */
    RLKI_PHASE_PAUSE,   /* before the next attempt */
    RLKI_PHASE_SETTLE   /* outcome decided; undos are out */
};

/* Flags of a lock: of the operation under way, and gone when the next one begins. */
#define RLKI_LOCK_TRY         0x01u /* acquire: one attempt */
#define RLKI_LOCK_HOLDER      0x02u /* acquire: somebody else was seen to have it */
#define RLKI_LOCK_JITTERED    0x04u /* acquire: has paused since a quorum came free */
#define RLKI_LOCK_MAYBE_SENT  0x08u /* a raise or DEL was sent whose reply will never come */
#define RLKI_LOCK_FORCE_LOST  0x10u /* release: of a lock that was lost before */
#define RLKI_LOCK_QUORUM_DOES 0x20u /* query: nodes that are late are not waited for */

/* Options of a lock: they outlast its operations. */
#define RLKI_OPTION_RENEW     0x01u /* auto_renew */
#define RLKI_OPTION_UNSETTLED 0x02u /* an RLK_EV_SETTLED is due */
#define RLKI_OPTION_SETTLED   0x04u /* ... and says that our token is not in the key */
#define RLKI_OPTION_RENEWED   0x08u /* in the background, well or not, since its last result */
#define RLKI_OPTION_CAMPAIGN  0x20u /* in an election */
#define RLKI_OPTION_FELL      0x10u /* lost since then, without a call */

struct rlki_report;

/* What an election adds to an acquire. Only rlk_campaign_start names it, so that a program without
 * an election does not link it. The last two are for a lock with memory for holders. */
typedef struct rlki_campaign {
    void (*follow_again)(rlk_lock *lock); /* its loss was pulled */
    void (*ask)(rlk_lock *lock);          /* it waits: asks busy nodes who holds the key */
    void (*observe)(rlk_lock *lock, rlk_node_lock *node, const struct rlki_report *report);
} rlki_campaign;

/* What renewals in the background add to a client. Only a lock with auto_renew, and
 * rlk_campaign_start, name it, so that a program without them does not link it. */
typedef struct rlki_renewal {
    void (*due)(rlk_lock *lock); /* lock->as.hold.renew_ms has come */
    void (*schedule)(rlk_lock *lock, bool anew);
} rlki_renewal;

/* Nodes of an open client, and how many of them must agree. Where there is room for one only, the
 * compiler knows both, and leaves loops and counts out. */
static inline unsigned rlki_nodes(const rlk_client *client)
{
    return RLK_MAX_NODES == 1 ? 1u : client->nodes;
}

static inline unsigned rlki_needed(const rlk_client *client)
{
    return RLK_MAX_NODES == 1 ? 1u : client->quorum;
}

static inline unsigned rlki_index(const rlk_node_lock *node)
{
    return RLK_MAX_NODES == 1 ? 0 : node->index;
}

static inline rlk_node_mask rlki_bit(unsigned node)
{
    return (rlk_node_mask)(RLK_MAX_NODES == 1 ? 1 : UINT32_C(1) << node);
}

/* Returns true of a lock in an election. */
static inline bool rlki_lock_campaigns(const rlk_lock *lock)
{
    return (lock->options & RLKI_OPTION_CAMPAIGN) != 0;
}

static inline void rlki_lock_leave_election(rlk_lock *lock)
{
    lock->options = (uint8_t)(lock->options & ~RLKI_OPTION_CAMPAIGN);
}

/* Returns true if a lock that is held renews in the background. */
static inline bool rlki_lock_renews(const rlk_lock *lock)
{
    return (lock->options & (RLKI_OPTION_RENEW | RLKI_OPTION_CAMPAIGN)) != 0;
}

/* Of a lock that is held: sets hold.renew_ms for the lease as it is now; RLKI_NEVER where nobody
 * wants renewals. anew: the lease was set anew. If it is much shorter than the TTL (by drift, a
 * cap, the caller's or the server's word), it is not due at once, but when a third of it is over.
 */
static inline void rlki_renewal_schedule(rlk_lock *lock, bool anew)
{
    if (lock->client->renewal != NULL)
        lock->client->renewal->schedule(lock, anew);
}

/* The connection of a lock's node: the route. Constant, for one server and for a quorum of
 * independent ones. */
static inline rlk_conn *rlki_route(const rlk_lock *lock, unsigned node)
{
    return lock->client->conns[RLK_MAX_NODES == 1 ? 0 : node];
}

static inline bool rlki_conn_is_ready(const rlk_conn *conn)
{
    return rlki_conn_state(conn) == RLK_CONN_READY;
}

/* Returns true if the connection will not come back until it is reset. */
static inline bool rlki_conn_is_over(const rlk_conn *conn)
{
    rlk_conn_state state = rlki_conn_state(conn);

    return state == RLK_CONN_FATAL || state == RLK_CONN_CLOSED;
}

/* Remembers the last error of a lock, for its result and its text. */
static inline void rlki_lock_note(rlk_lock *lock, unsigned node, unsigned command, rlk_result error)
{
    lock->error = (int16_t)error;
    lock->error_node = (uint8_t)node;
    lock->error_command = (uint8_t)command;
}

#endif

/* ==== src/lock/command.h ====
 *
 * The commands of a lock: what each sends, and which replies a server may give to it.
 */
#ifndef RLKI_LOCK_COMMAND_H
#define RLKI_LOCK_COMMAND_H

/* The tag of a node lock's request. */
enum {
    RLKI_NO_COMMAND,
    RLKI_SET,     /* SET key token NX PX ttl */
    RLKI_PROBE,   /* PTTL; a server that tracks what is read notifies of the key from then on */
    RLKI_CONFIRM, /* the script: ours? then raised to the TTL */
    RLKI_RAISE,   /* ours? then raised to hold.target_ms */
    RLKI_CHECK,   /* ours? raises nothing, and is tracked like PTTL */
    RLKI_RELEASE, /* ours? then deleted */
    RLKI_QUERY,   /* GET and PTTL */
    RLKI_DEL
};

/* What PTTL answers: the time that the key has yet, and */
#define RLKI_TTL_NONE    (-1) /* no expiry */
#define RLKI_TTL_ABSENT  (-2) /* no such key */
#define RLKI_TTL_UNKNOWN (-3) /* no answer */

/* Returns true of a command that is a call of the script. */
RLKI_API inline bool rlki_command_is_script(unsigned command)
{
    return command >= RLKI_CONFIRM && command <= RLKI_RELEASE;
}

/* Writes the command of a node, and returns how many replies it will have. */
RLKI_API unsigned rlki_command_put(const rlk_lock *lock, const rlk_node_lock *node, rlk_conn *conn,
                          rlk_resp_writer *writer);

/* Returns the number of the reply: of a script that had to use GET, and says so with its reply
 * (script.h), without that; *by_get is then true. */
RLKI_API RLKI_INTO_CALLERS int64_t rlki_command_value(unsigned command, const rlk_reply *reply, bool *by_get)
{
    *by_get = rlki_command_is_script(command) && reply->type == RLK_RESP_INTEGER &&
              reply->value <= RLKI_BY_GET - RLKI_NOT_OURS;
    return *by_get ? RLKI_BY_GET - reply->value : reply->value;
}

RLKI_API inline bool rlki_command_is_ok(const rlk_reply *reply)
{
    return reply->type == RLK_RESP_SIMPLE && reply->len == 2 && reply->data[0] == 'O' &&
           reply->data[1] == 'K';
}

/* *-1 is the null of an array, which commands that answer by a string never give (fault 113). */
RLKI_API inline bool rlki_command_is_nil(const rlk_reply *reply)
{
    return reply->type == RLK_RESP_NULL && reply->value == 0;
}

/* Returns false of a reply that no server gives to such a command: replies and requests do not
 * match. value: of rlki_command_value; left: replies still to come. */
RLKI_API RLKI_INTO_CALLERS bool rlki_command_is_answer(unsigned command, const rlk_reply *reply,
                                              int64_t value, unsigned left)
{
    /* the least number that answers it: of PTTL, of the script, of DEL */
    static const int8_t least[] = {
        0,
        0,
        RLKI_TTL_ABSENT,
        RLKI_NOT_OURS,
        RLKI_NOT_OURS,
        RLKI_NOT_OURS,
        RLKI_NOT_OURS,
        RLKI_TTL_ABSENT,
        0,
    };
    bool counts = command == RLKI_RELEASE || command == RLKI_DEL; /* keys that were deleted */

    if (reply->error != RLK_OK)
        return true;
    if (command == RLKI_SET)
        return rlki_command_is_ok(reply) || rlki_command_is_nil(reply);
    if (command == RLKI_QUERY && left > 0)
        return rlki_command_is_nil(reply) || (reply->type == RLK_RESP_BULK && value >= 0);
    return reply->type == RLK_RESP_INTEGER && value >= least[command] &&
           !(counts && (value > 1 || value == RLKI_TTL_NONE));
}

/* Name of a command, for texts; "" with RLK_NO_TEXT. */
#ifdef RLK_NO_TEXT
static inline const char *rlki_command_name(unsigned command)
{
    (void)command;
    return "";
}
#else
RLKI_API const char *rlki_command_name(unsigned command);
#endif

#endif

/* ==== src/lock/lease.h ====
 *
 * Until when a lock may say that it is held: pure arithmetic of drift, expiry and quorum (rule 2 of
 * docs/correctness.md). Nothing here asks a clock or sends a command.
 */
#ifndef RLKI_LOCK_LEASE_H
#define RLKI_LOCK_LEASE_H

/* Greatest drift_ppm that rlki_drift takes: half of the horizon. */
#define RLKI_DRIFT_PPM_MAX 500000u

/* Returns by how much the two clocks may differ after horizon_ms, rounded up; at most INT32_MAX. */
RLKI_API uint32_t rlki_drift(uint32_t horizon_ms, uint32_t drift_ppm, uint32_t drift_ms);

/* The same with the drift that a client reckons with. */
RLKI_API uint32_t rlki_client_drift(const rlk_client *client, uint32_t horizon_ms);

/* Returns how many nodes of n must agree: n/2 + 1. */
RLKI_API unsigned rlki_quorum(unsigned nodes);

/* Returns the q-th largest of n values (1 <= q <= n <= RLK_MAX_NODES): at this time a quorum of q
 * is still there, if values are expiries. */
RLKI_API int32_t rlki_quorum_value(const int32_t *values, unsigned n, unsigned q);

/*
 * Returns the new expiry of a node whose script began no earlier than t0_ms and said at now_ms that
 * p_ms remain: t0 + p for certain. The known one stays if it lies within what that answer allows
 * and was confirmed on the same stream (then it is the same fact, known better).
 */
RLKI_API int32_t rlki_confirmed_expiry(int32_t known_ms, bool same_stream, int32_t t0_ms, int32_t now_ms,
                              int32_t p_ms);

/* Returns time_ms + duration_ms without overflow; duration_ms >= 0. */
RLKI_API int32_t rlki_later(int32_t time_ms, int32_t duration_ms);

/* Returns the time duration_ms after the client's, without overflow. */
RLKI_API int32_t rlki_from_now(const rlk_lock *lock, uint32_t duration_ms);

/* Returns how long it is until a time, without overflow: negative where that is past. */
RLKI_API int32_t rlki_left(const rlk_lock *lock, int32_t time_ms);

/* ---- One node ---- */

/* Returns until when the lock counts as held on a node: its expiry less drift. */
RLKI_API int32_t rlki_node_until(const rlk_client *client, const rlk_node_lock *node);

/* The key on the node expires at expiry_ms, as was asked for at t0_ms on this stream. */
RLKI_API inline void rlki_node_confirm(rlk_node_lock *node, int32_t expiry_ms, int32_t t0_ms,
                              uint32_t generation)
{
    node->expiry_ms = expiry_ms;
    node->horizon_ms = expiry_ms > t0_ms ? (uint32_t)expiry_ms - (uint32_t)t0_ms : 0;
    node->generation = generation;
}

/*
 * The script says that p_ms remain. No more is believed than was known before or is asked for
 * (asked_ms; RLKI_EXPIRED of a check, which asks for nothing): a server whose clock went back, or
 * an extend that was given up, must not lengthen a lease behind the caller's back (rule 8).
 */
RLKI_API void rlki_node_confirm_left(const rlk_client *client, rlk_node_lock *node, int32_t asked_ms,
                            int32_t t0_ms, int32_t p_ms, uint32_t generation);

/* ---- All nodes of a lock ---- */

/* Returns until when a quorum of nodes has the token, as they confirmed it, less drift. */
RLKI_API int32_t rlki_lease_until(const rlk_lock *lock);

/* Begins the lease of a lock that was acquired now, and lasts until valid_ms: it takes the place of
 * what the acquire knew. */
RLKI_API void rlki_lease_begin(rlk_lock *lock, int32_t valid_ms);

/* Recomputes the lease's deadline from what the nodes confirmed. */
RLKI_API void rlki_lease_validate(rlk_lock *lock);

/* Returns the expiry that the lock may claim, before drift. */
RLKI_API int32_t rlki_lease_expiry(const rlk_lock *lock);

/* Sets the expiry that is claimed from now on, whatever the nodes have; horizon_ms: from when it
 * was asked for on. */
RLKI_API void rlki_lease_claim(rlk_lock *lock, int32_t expiry_ms, uint32_t horizon_ms);

/* Sets the expiry that an extend or renew asks for. */
RLKI_API void rlki_lease_ask(rlk_lock *lock, int32_t target_ms);

/* ---- Renewal ---- */

/* Returns when a renewal of the lease as it is now is due: of a fresh one when a third of its TTL
 * has passed, or, where drift takes half of it or more, two thirds of what drift leaves. */
RLKI_API int32_t rlki_lease_renew_at(const rlk_lock *lock);

/* Returns the expiry that a renewal by the TTL asks for, not beyond the cap of the hold time;
 * RLKI_NEVER: a renewal gains nothing. */
RLKI_API int32_t rlki_lease_renew_target(const rlk_lock *lock);

/* Returns true if the lease would last longer by a raise to target_ms. */
RLKI_API bool rlki_lease_gains(const rlk_lock *lock, int32_t target_ms);

#endif

/* ==== src/lock/clock.h ====
 *
 * A client's chance and process: what it has of its environment. And the ready list.
 */
#ifndef RLKI_LOCK_CLOCK_H
#define RLKI_LOCK_CLOCK_H

/* True unless this process inherited the client by fork. */
RLKI_API inline bool rlki_client_same_process(const rlk_client *client)
{
    const rlk_env *env = &client->env;

    return env->same_process == NULL || env->same_process(env->context, client);
}

/* RLK_OK of a client that is open, in the process that opened it. */
RLKI_API rlk_result rlki_client_enter(const rlk_client *client);

/* Notifies the driver that a call of the application begins. */
RLKI_API inline void rlki_client_changing(rlk_client *client)
{
    if (client->env.changed != NULL)
        client->env.changed(client->env.context, client);
}

/* Returns a time by the caller's clock: RLK_NEVER for RLKI_NEVER. */
RLKI_API RLKI_INTO_CALLERS int64_t rlki_client_clock_of(const rlk_client *client, int32_t time_ms)
{
    return time_ms == RLKI_NEVER ? RLK_NEVER : client->clock_ms - client->now_ms + time_ms;
}

/* Returns a time of the caller's clock by the own one. One that is too far away for 32 bits comes
 * nearer: it is RLKI_EXPIRED, or comes before RLKI_NEVER. */
RLKI_API int32_t rlki_client_time_of(const rlk_client *client, int64_t clock_ms);

/* Returns time_ms - duration_ms: RLKI_EXPIRED where that is too long ago; RLKI_NEVER stays. */
RLKI_API RLKI_INTO_CALLERS int32_t rlki_earlier(int32_t time_ms, uint32_t duration_ms)
{
    uint32_t left_ms = (uint32_t)time_ms - (uint32_t)RLKI_EXPIRED;

    if (time_ms == RLKI_NEVER)
        return RLKI_NEVER;
    return left_ms < duration_ms ? RLKI_EXPIRED : (int32_t)((int64_t)time_ms - duration_ms);
}

/* Returns a random number from min to max, for pauses: not secret. */
RLKI_API uint32_t rlki_client_jitter(rlk_client *client, uint32_t min, uint32_t max);

/* Returns a random pause between attempts of a lock. */
RLKI_API uint32_t rlki_lock_pause(const rlk_lock *lock);

/* Puts a lock on the list of those that are stepped before the call into the engine ends, or, where
 * a connection encodes on its own (rlk_conn_tx_buf), at the next tick. */
RLKI_API inline void rlki_ready(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    if (lock->ready_next != NULL)
        return;
    lock->ready_next = lock;
    if (client->ready != NULL) {
        lock->ready_next = client->ready->ready_next;
        client->ready->ready_next = lock;
    }
    client->ready = lock;
}

/* Takes the first lock off it; NULL: there is none. */
RLKI_API inline rlk_lock *rlki_ready_take(rlk_client *client)
{
    rlk_lock *last = client->ready;
    rlk_lock *lock;

    if (last == NULL)
        return NULL;
    lock = last->ready_next;
    last->ready_next = lock->ready_next;
    if (lock == last)
        client->ready = NULL;
    lock->ready_next = NULL;
    return lock;
}

#endif

/* ==== src/lock/clock.c ==== */

extern inline bool rlki_client_same_process(const rlk_client *client);

rlk_result rlki_client_enter(const rlk_client *client)
{
    if (client == NULL)
        return RLK_E_ARGUMENT;
    if (client->state != RLKI_CLIENT_OPEN)
        return RLK_E_CLOSED;
    return rlki_client_same_process(client) ? RLK_OK : RLK_E_FORKED;
}

extern inline void rlki_client_changing(rlk_client *client);

extern inline int64_t rlki_client_clock_of(const rlk_client *client, int32_t time_ms);

int32_t rlki_client_time_of(const rlk_client *client, int64_t clock_ms)
{
    int64_t time_ms = clock_ms - (client->clock_ms - client->now_ms);

    if (time_ms < RLKI_EXPIRED)
        return RLKI_EXPIRED;
    return time_ms < RLKI_NEVER ? (int32_t)time_ms : RLKI_NEVER - 1;
}

extern inline int32_t rlki_earlier(int32_t time_ms, uint32_t duration_ms);

uint32_t rlki_client_jitter(rlk_client *client, uint32_t min, uint32_t max)
{
    uint32_t x = client->jitter;

    x ^= x << 13; /* xorshift32 (Marsaglia 2003) */
    x ^= x >> 17;
    x ^= x << 5;
    client->jitter = x;
    return max > min ? min + x % (max - min + 1) : min;
}

uint32_t rlki_lock_pause(const rlk_lock *lock)
{
    return rlki_client_jitter(lock->client, lock->retry_min_ms, lock->retry_max_ms);
}

extern inline void rlki_ready(rlk_lock *lock);

extern inline rlk_lock *rlki_ready_take(rlk_client *client);

/* ==== src/lock/lease.c ==== */

/* 2^32 / 10^6, rounded up: parts per million to a binary fraction, without a 64-bit division. */
#define LEASE_PPM_UNIT 4295u

uint32_t rlki_drift(uint32_t horizon_ms, uint32_t drift_ppm, uint32_t drift_ms)
{
    uint64_t part = ((uint64_t)horizon_ms * (drift_ppm * LEASE_PPM_UNIT)) >> 32;
    uint64_t drift = part + 1 + drift_ms;

    return drift > INT32_MAX ? (uint32_t)INT32_MAX : (uint32_t)drift;
}

unsigned rlki_quorum(unsigned nodes)
{
    return nodes / 2 + 1;
}

int32_t rlki_quorum_value(const int32_t *values, unsigned n, unsigned q)
{
    int32_t sorted[RLK_MAX_NODES]; /* descending */
    unsigned i;

    if (RLK_MAX_NODES == 1 || n == 1)
        return values[0];
    sorted[0] = values[0];
    for (i = 1; i < n; i++) {
        unsigned at = i;

        while (at > 0 && sorted[at - 1] < values[i]) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = values[i];
    }
    return sorted[q - 1];
}

RLKI_APART_FOR_SIZE int32_t rlki_later(int32_t time_ms, int32_t duration_ms)
{
    return time_ms > RLKI_NEVER - duration_ms ? RLKI_NEVER : time_ms + duration_ms;
}

RLKI_APART_FOR_SIZE int32_t rlki_from_now(const rlk_lock *lock, uint32_t duration_ms)
{
    return rlki_later(lock->client->now_ms, (int32_t)duration_ms);
}

int32_t rlki_left(const rlk_lock *lock, int32_t time_ms)
{
    return rlki_earlier(time_ms, (uint32_t)lock->client->now_ms);
}

int32_t rlki_confirmed_expiry(int32_t known_ms, bool same_stream, int32_t t0_ms, int32_t now_ms,
                              int32_t p_ms)
{
    int32_t earliest = rlki_later(t0_ms, p_ms);

    if (same_stream && known_ms >= earliest && known_ms <= rlki_later(now_ms, p_ms))
        return known_ms;
    return earliest;
}

uint32_t rlki_client_drift(const rlk_client *client, uint32_t horizon_ms)
{
    return rlki_drift(horizon_ms, client->drift_ppm, client->drift_ms);
}

/* ---- One node ---- */

int32_t rlki_node_until(const rlk_client *client, const rlk_node_lock *node)
{
    return rlki_earlier(node->expiry_ms, rlki_client_drift(client, node->horizon_ms));
}

extern inline void rlki_node_confirm(rlk_node_lock *node, int32_t expiry_ms, int32_t t0_ms,
                                     uint32_t generation);

/*
 * What was known stays with its own horizon: the drift that it counts with runs from when it was
 * asked for. A raise takes the answer instead, where that leaves more: it has hardly any drift yet,
 * and that of a long extend may be more than a TTL.
 */
void rlki_node_confirm_left(const rlk_client *client, rlk_node_lock *node, int32_t asked_ms,
                            int32_t t0_ms, int32_t p_ms, uint32_t generation)
{
    bool same = node->generation == generation;
    bool checked = asked_ms == RLKI_EXPIRED;
    int32_t known_ms = rlki_node_until(client, node);
    uint32_t horizon_ms = node->horizon_ms;
    int32_t said_ms = rlki_later(t0_ms, p_ms);
    int32_t most_ms = node->expiry_ms > asked_ms ? node->expiry_ms : asked_ms;
    int32_t expiry_ms = rlki_confirmed_expiry(node->expiry_ms, same, t0_ms, client->now_ms, p_ms);
    bool stays;

    if (expiry_ms > most_ms)
        expiry_ms = most_ms;
    stays = expiry_ms == node->expiry_ms && expiry_ms != said_ms;
    rlki_node_confirm(node, said_ms < most_ms ? said_ms : most_ms, t0_ms, generation);
    if (stays && (checked || rlki_node_until(client, node) <= known_ms)) {
        node->expiry_ms = expiry_ms;
        node->horizon_ms = horizon_ms;
    }
}

/* ---- All nodes of a lock ---- */

int32_t rlki_lease_until(const rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    int32_t until_ms[RLK_MAX_NODES];
    unsigned i = 0;

    do /* one at least, as in rlki_lease_expiry */
        until_ms[i] = rlki_node_until(client, &lock->nodes[i]);
    while (++i < rlki_nodes(client));
    return rlki_quorum_value(until_ms, rlki_nodes(client), rlki_needed(client));
}

void rlki_lease_validate(rlk_lock *lock)
{
    rlk_hold *hold = &lock->as.hold;
    int32_t limit_ms = rlki_earlier(hold->claim_ms, hold->drift_ms);

    hold->valid_ms = rlki_lease_until(lock);
    if (hold->valid_ms > limit_ms)
        hold->valid_ms = limit_ms;
}

int32_t rlki_lease_expiry(const rlk_lock *lock)
{
    int32_t expiry_ms[RLK_MAX_NODES];
    int32_t quorum_ms;
    unsigned i = 0;

    do /* one at least: compilers that inline rlki_quorum_value warn of none */
        expiry_ms[i] = lock->nodes[i].expiry_ms;
    while (++i < rlki_nodes(lock->client));
    quorum_ms = rlki_quorum_value(expiry_ms, rlki_nodes(lock->client), rlki_needed(lock->client));
    return quorum_ms < lock->as.hold.claim_ms ? quorum_ms : lock->as.hold.claim_ms;
}

void rlki_lease_claim(rlk_lock *lock, int32_t expiry_ms, uint32_t horizon_ms)
{
    lock->as.hold.claim_ms = expiry_ms;
    lock->as.hold.drift_ms = rlki_client_drift(lock->client, horizon_ms);
}

void rlki_lease_ask(rlk_lock *lock, int32_t target_ms)
{
    lock->as.hold.target_ms = target_ms;
    lock->as.hold.horizon_ms = (uint32_t)target_ms - (uint32_t)lock->client->now_ms;
}

/* The claim cuts nothing off: extends that no quorum answered lengthen the lease all the same. */
void rlki_lease_begin(rlk_lock *lock, int32_t valid_ms)
{
    rlk_hold *hold = &lock->as.hold;

    hold->dirty = 0;
    hold->read = 0;
    hold->since_ms = lock->client->clock_ms;
    hold->renew_ms = RLKI_NEVER;
    hold->watch_ms = rlki_from_now(lock, lock->watch_after_ms);
    rlki_lease_ask(lock, lock->client->now_ms);
    hold->claim_ms = rlki_from_now(lock, (uint32_t)RLK_TTL_MAX);
    hold->drift_ms = 0;
    hold->valid_ms = valid_ms;
}

/* ---- Renewal ---- */

int32_t rlki_lease_renew_at(const rlk_lock *lock)
{
    uint32_t lease_ms = lock->ttl_ms - rlki_client_drift(lock->client, lock->ttl_ms);
    uint32_t left_ms = lease_ms / 3;

    if (lease_ms - left_ms > lock->ttl_ms / 3)
        left_ms = lease_ms - lock->ttl_ms / 3;
    return rlki_earlier(lock->as.hold.valid_ms, left_ms);
}

bool rlki_lease_gains(const rlk_lock *lock, int32_t target_ms)
{
    /* > 0: a TTL from now, or beyond the expiry of what is held */
    uint32_t horizon_ms = (uint32_t)target_ms - (uint32_t)lock->client->now_ms;

    return rlki_earlier(target_ms, rlki_client_drift(lock->client, horizon_ms)) >
           lock->as.hold.valid_ms;
}

int32_t rlki_lease_renew_target(const rlk_lock *lock)
{
    int32_t target_ms = rlki_from_now(lock, lock->ttl_ms);
    int32_t cap_ms = rlki_client_time_of(lock->client, lock->as.hold.since_ms + lock->max_hold_ms);

    if (lock->max_hold_ms > 0 && cap_ms < target_ms) {
        target_ms = cap_ms;
        if (cap_ms <= rlki_lease_expiry(lock)) /* it has it: only its drift would shrink */
            return RLKI_NEVER;
    }
    return rlki_lease_gains(lock, target_ms) ? target_ms : RLKI_NEVER;
}

/* ==== src/lock/token.h ====
 *
 * The token of a lock.
 */
#ifndef RLKI_LOCK_TOKEN_H
#define RLKI_LOCK_TOKEN_H

#include <string.h>

/* Draws the random part anew. False: no entropy. */
RLKI_API bool rlki_token_draw(rlk_lock *lock);

/* Erases the random bytes that the client has drawn for tokens to come. */
#if RLKI_RANDOM_BLOCK > 0
RLKI_API void rlki_token_forget(rlk_client *client);
#else
static inline void rlki_token_forget(rlk_client *client)
{
    (void)client;
}
#endif

/* Length of a lock's tokens. */
RLKI_API inline size_t rlki_token_len(const rlk_lock *lock)
{
    return (size_t)lock->prefix_len + RLK_TOKEN_DIGITS;
}

/* Writes the token with this number: rlki_token_len bytes. */
RLKI_API void rlki_token_write(const rlk_lock *lock, uint32_t number, uint8_t *out);

/* The step of FNV-1a with a factor of full width: other bytes in one word are always another hash.
 */
RLKI_API inline size_t rlki_token_fold(size_t hash, size_t word)
{
    return (hash ^ word) * (size_t)UINT64_C(0x9e3779b97f4a7c15);
}

/* By words, for it is asked at each command; the last one may overlap the one before. */
RLKI_API inline size_t rlki_token_mix(size_t hash, const void *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t word;

    while (len > sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = rlki_token_fold(hash, word);
        at += sizeof word;
        len -= sizeof word;
        if (len < sizeof word) {
            at -= sizeof word - len;
            len = sizeof word;
        }
    }
    if (len == sizeof word) {
        memcpy(&word, at, sizeof word);
        return rlki_token_fold(hash, word);
    }
    while (len-- > 0)
        hash = rlki_token_fold(hash, *at++);
    return hash;
}

/* Hash of the texts that a lock leaves where the caller has them: key and prefix. */
RLKI_API inline size_t rlki_token_texts(const rlk_lock *lock)
{
    size_t hash = rlki_token_mix(lock->key_len, lock->key, lock->key_len);

    return lock->prefix != NULL ? rlki_token_mix(hash, lock->prefix, lock->prefix_len) : hash;
}

/* True if these have changed since init (fault 119): a command would have another key, or another
 * token. */
RLKI_API RLKI_INTO_CALLERS bool rlki_token_dangles(const rlk_lock *lock)
{
    return rlki_token_texts(lock) != lock->texts;
}

#endif

/* ==== src/lock/token.c ====
 *
 * A token is the caller's prefix, 32 hex digits of 128 random bits, and 8 of the number of the
 * attempt. A token for which a release is queued is never used again (rule 3). So each attempt
 * takes the next number. A node lock remembers which token may be on the node by that number alone.
 */

#include <string.h>

#if RLKI_RANDOM_BLOCK > 0

/* Erases, also where the compiler knows that nothing reads it again. */
static void token_wipe(uint8_t *bytes, size_t len)
{
    volatile uint8_t *at = bytes;

    while (len-- > 0)
        *at++ = 0;
}

void rlki_token_forget(rlk_client *client)
{
    token_wipe(client->random, sizeof client->random);
    client->random_left = 0;
}

/*
 * Takes the bytes of a token from the client's block, which is drawn anew when it has no more.
 * Each byte is in one token of one process:
 * - A child never comes here, since each call checks the process first. Without that check there
 *   is no block: the child of a fork would have the parent's.
 * - Two clones of a virtual machine have the same block. They lose their connections, and
 *   client_changed drops the block at each that becomes ready.
 */
static bool token_random(rlk_client *client, uint8_t *out)
{
    const rlk_env *env = &client->env;
    uint8_t *bytes;

    if (env->same_process == NULL)
        return env->random(env->context, out, RLKI_TOKEN_BYTES) == 0;
    if (client->random_left < RLKI_TOKEN_BYTES) {
        if (env->random(env->context, client->random, sizeof client->random) != 0) {
            rlki_token_forget(client);
            return false;
        }
        client->random_left = sizeof client->random;
    }
    client->random_left = (uint16_t)(client->random_left - RLKI_TOKEN_BYTES);
    bytes = client->random + client->random_left;
    memcpy(out, bytes, RLKI_TOKEN_BYTES);
    memset(bytes, 0, RLKI_TOKEN_BYTES); /* which the next token may read, for all compilers know */
    return true;
}

#else

static bool token_random(rlk_client *client, uint8_t *out)
{
    return client->env.random(client->env.context, out, RLKI_TOKEN_BYTES) == 0;
}

#endif

bool rlki_token_draw(rlk_lock *lock)
{
    return token_random(lock->client, lock->base);
}

extern inline size_t rlki_token_len(const rlk_lock *lock);

extern inline size_t rlki_token_fold(size_t hash, size_t word);

extern inline size_t rlki_token_mix(size_t hash, const void *text, size_t len);

extern inline size_t rlki_token_texts(const rlk_lock *lock);

extern inline bool rlki_token_dangles(const rlk_lock *lock);

/*
 * Writes the nibbles of eight bytes as eight digits, in one word: '0' more, and where the nibble is
 * above 9, 39 more for a letter.
 */
static uint8_t *token_hex(uint8_t *out, uint64_t word)
{
    word &= UINT64_C(0x0f0f0f0f0f0f0f0f);
    word += UINT64_C(0x3030303030303030) +
            ((word + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101)) * 39;
    memcpy(out, &word, sizeof word);
    return out + sizeof word;
}

/*
 * Puts the halves of a number's four bytes into one word. In memory they are in the same order on
 * every machine: the lowest byte first, and all upper halves before the lower ones. A token is only
 * compared: the order of a reader would cost as much again.
 */
static uint64_t token_halves(uint32_t number)
{
#if defined __BYTE_ORDER__ && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    number = number >> 24 | (number >> 8 & UINT32_C(0xff00)) | (number & UINT32_C(0xff00)) << 8 |
             number << 24;
    return (uint64_t)(number >> 4) << 32 | number;
#else
    return (uint64_t)number << 32 | number >> 4;
#endif
}

void rlki_token_write(const rlk_lock *lock, uint32_t number, uint8_t *out)
{
    uint64_t word;
    unsigned i;

    if (lock->prefix_len > 0)
        memcpy(out, lock->prefix, lock->prefix_len);
    out += lock->prefix_len;
    for (i = 0; i < RLKI_TOKEN_BYTES; i += sizeof word) {
        memcpy(&word, lock->base + i, sizeof word);
        out = token_hex(out, word >> 4);
        out = token_hex(out, word);
    }
    (void)token_hex(out, token_halves(number));
}

/* ==== src/lock/command.c ====
 *
 * A command is a table of bytes around a key and a token. What is the same in each leaves in one
 * piece.
 */

#include <string.h>

/* Where the compiler knows `len`, it copies in a few words. */
static inline void command_put(rlk_resp_writer *writer, const char *text, size_t len)
{
    uint8_t *at = rlki_writer_reserve(writer, 0, len);

    if (at != NULL)
        memcpy(at, text, len);
}

#define COMMAND_PUT(writer, text) command_put((writer), (text), sizeof(text) - 1)

/* Writes the beginning of a script's call, up to the number of its keys. The count of its arguments
 * is one digit, which is put into the constant bytes. */
static RLKI_INTO_CALLERS void command_put_script(rlk_conn *conn, rlk_resp_writer *writer,
                                                 unsigned argc)
{
    size_t begin = writer->len;

    if ((rlki_conn_server(conn) & RLK_SERVER_EVAL) != 0) {
        COMMAND_PUT(writer, "*5\r\n");
        rlk_conn_put_script(conn, writer);
        COMMAND_PUT(writer, "$1\r\n1\r\n");
    } else {
        COMMAND_PUT(writer, "*5\r\n$7\r\nEVALSHA\r\n$40\r\n" RLKI_SCRIPT_DIGEST "\r\n$1\r\n1\r\n");
    }
    if (rlki_transmit_fits(writer))
        writer->buf[begin + 1] = (uint8_t)('0' + argc);
}

static RLKI_INTO_CALLERS void command_put_key(const rlk_lock *lock, rlk_resp_writer *writer)
{
    uint8_t *at = rlki_writer_put(writer, RLK_RESP_BULK, lock->key_len);

    if (at != NULL)
        memcpy(at, lock->key, lock->key_len);
}

static RLKI_INTO_CALLERS void command_put_key_token(const rlk_lock *lock, const rlk_node_lock *node,
                                                    rlk_resp_writer *writer)
{
    uint8_t *token;

    command_put_key(lock, writer);
    token = rlki_writer_put(writer, RLK_RESP_BULK, rlki_token_len(lock));
    if (token != NULL)
        rlki_token_write(lock, node->token, token);
}

static void command_put_pttl(const rlk_lock *lock, rlk_resp_writer *writer)
{
    COMMAND_PUT(writer, "*2\r\n$4\r\nPTTL\r\n");
    command_put_key(lock, writer);
}

/* Returns the milliseconds to which a script raises the TTL. -1 raises nothing: for a check, and
 * once the target is past (a PEXPIRE of 0 or less would delete). */
static int64_t command_raise_to(const rlk_lock *lock, unsigned command)
{
    int64_t to_ms;

    if (command == RLKI_CONFIRM)
        return lock->ttl_ms;
    if (command == RLKI_CHECK)
        return -1;
    to_ms = (int64_t)lock->as.hold.target_ms - lock->client->now_ms;
    return to_ms > 0 ? to_ms : -1;
}

unsigned rlki_command_put(const rlk_lock *lock, const rlk_node_lock *node, rlk_conn *conn,
                          rlk_resp_writer *writer)
{
    unsigned command = node->request.tag;
    bool by_get = (rlki_conn_server(conn) & RLK_SERVER_NO_GETEX) != 0;

    switch (command) {
    case RLKI_SET:
        COMMAND_PUT(writer, "*6\r\n$3\r\nSET\r\n");
        command_put_key_token(lock, node, writer);
        COMMAND_PUT(writer, "$2\r\nNX\r\n$2\r\nPX\r\n");
        rlk_resp_put_integer(writer, lock->ttl_ms);
        return 1;
    case RLKI_CONFIRM:
    case RLKI_RAISE:
    case RLKI_CHECK:
        command_put_script(conn, writer, by_get ? 7 : 6);
        command_put_key_token(lock, node, writer);
        rlk_resp_put_integer(writer, command_raise_to(lock, command));
        if (by_get)
            COMMAND_PUT(writer, "$1\r\n1\r\n");
        return 1;
    case RLKI_RELEASE:
        command_put_script(conn, writer, by_get ? 7 : 5);
        command_put_key_token(lock, node, writer);
        if (by_get)
            COMMAND_PUT(writer, "$0\r\n\r\n$1\r\n1\r\n");
        return 1;
    case RLKI_QUERY:
        COMMAND_PUT(writer, "*2\r\n$3\r\nGET\r\n");
        command_put_key(lock, writer);
        command_put_pttl(lock, writer);
        return 2;
    case RLKI_PROBE:
        command_put_pttl(lock, writer);
        return 1;
    default: /* RLKI_DEL */
        COMMAND_PUT(writer, "*2\r\n$3\r\nDEL\r\n");
        command_put_key(lock, writer);
        return 1;
    }
}

extern inline bool rlki_command_is_script(unsigned command);
extern inline int64_t rlki_command_value(unsigned command, const rlk_reply *reply, bool *by_get);

extern inline bool rlki_command_is_ok(const rlk_reply *reply);
extern inline bool rlki_command_is_nil(const rlk_reply *reply);
extern inline bool rlki_command_is_answer(unsigned command, const rlk_reply *reply, int64_t value,
                                          unsigned left);

#ifndef RLK_NO_TEXT
const char *rlki_command_name(unsigned command)
{
    static const char *const names[] = {"",
                                        "SET",
                                        "PTTL",
                                        "EVALSHA (raise)",
                                        "EVALSHA (raise)",
                                        "EVALSHA (check)",
                                        "EVALSHA (release)",
                                        "GET, PTTL",
                                        "DEL"};

    return names[command];
}
#endif

/* ==== src/lock/node_lock.h ====
 *
 * A node lock: one lock on one node. It sends commands, one at a time, keeps what is known of our
 * token there, and reports how each command ended. It knows no operation.
 */
#ifndef RLKI_LOCK_NODE_LOCK_H
#define RLKI_LOCK_NODE_LOCK_H

/* What a node has said in the operation under way. rlki_tally counts them in this order. */
enum {
    RLKI_VOTE_NONE,     /* nothing yet */
    RLKI_VOTE_YES,      /* done */
    RLKI_VOTE_NO,       /* somebody else has it (SET); not our token (scripts, first answer) */
    RLKI_VOTE_NO_AFTER, /* not our token, after an earlier release whose reply was lost */
    RLKI_VOTE_ERROR,    /* it refused, or can't be reached */
    RLKI_VOTE_SKIPPED   /* has no part in this attempt */
};

/* Flags of a node lock. */
#define RLKI_NODE_POSSIBLE 0x01u /* our token may be on the node */
#define RLKI_NODE_PRESENT  0x02u /* it is, or was when the node answered last */
#define RLKI_NODE_FENCE    0x04u /* a SET of it was lost with its stream; not settled yet */
#define RLKI_NODE_REPEATED 0x08u /* a release of it was sent whose reply was lost */
#define RLKI_NODE_NOSCRIPT 0x10u /* scripts were loaded again for the command under way */
#define RLKI_NODE_RETRY    0x20u /* the command was refused, or held back; at lock->retry_ms again */
#define RLKI_NODE_IN_DOUBT 0x40u /* whether an orphan is left can't be known */
#define RLKI_NODE_ASKED    0x80u /* the operation under way asked for the command under way */

/* How a command ended. */
enum {
    RLKI_REPORT_NOTHING,  /* it goes on: sent again, or going to be */
    RLKI_REPORT_PART,     /* the first of a query's two replies */
    RLKI_REPORT_DONE,     /* our token is there; deleted; or a question is answered */
    RLKI_REPORT_HELD,     /* somebody has the key, for ttl_ms yet; of a probe, perhaps nobody */
    RLKI_REPORT_NOT_OURS, /* compared: our token is not there */
    RLKI_REPORT_REFUSED,  /* an error, or no answer to such a command */
    RLKI_REPORT_LOST      /* its stream ended before the answer */
};

typedef struct rlki_report {
    uint8_t kind;
    uint8_t command;
    uint8_t lost_cause;     /* of NOT_OURS: an rlk_lost_cause */
    bool votes;             /* the operation under way asked */
    bool maybe_sent;        /* of LOST: the server may execute it, even later */
    bool repeated;          /* of NOT_OURS: after an earlier release whose reply was lost */
    int16_t error;          /* of REFUSED and LOST; of NOT_OURS RLK_E_WRONGTYPE, or RLK_OK */
    int32_t ttl_ms;         /* of HELD, as PTTL says it, or RLKI_TTL_UNKNOWN */
    const rlk_reply *reply; /* of a query; valid as long as the reply is */
} rlki_report;

/* Returns true of a command that only asks who holds the key, or for how long. */
static inline bool rlki_is_question(unsigned command)
{
    return command == RLKI_PROBE || command == RLKI_QUERY;
}

/* The lock that a node lock is part of. */
static inline rlk_lock *rlki_node_lock_owner(rlk_node_lock *node)
{
    uint8_t *first = (uint8_t *)(node - rlki_index(node));

    return (rlk_lock *)(void *)(first - offsetof(rlk_lock, nodes));
}

/* Returns true if our token is on the node, or may be, now or later. */
RLKI_API inline bool rlki_node_lock_has_token(const rlk_node_lock *node)
{
    unsigned there = RLKI_NODE_POSSIBLE | RLKI_NODE_PRESENT | RLKI_NODE_FENCE;

    return (node->flags & there) != 0 || node->orphans > 0;
}

/* Returns true if it is not and never will be, and nothing is under way. */
RLKI_API inline bool rlki_node_lock_is_clean(const rlk_node_lock *node)
{
    return node->request.state == RLK_REQUEST_IDLE && !rlki_node_lock_has_token(node);
}

/* Sends a command, as the operation under way asks (its answer is a vote), or beside it. The node
 * has no other under way. */
RLKI_API void rlki_node_lock_ask(rlk_node_lock *node, unsigned command);
RLKI_API void rlki_node_lock_send(rlk_node_lock *node, unsigned command);

/* The answer to the command under way is a vote from now on. */
RLKI_API void rlki_node_lock_count(rlk_node_lock *node);

/* Sends the refused command of a report again, after a pause: at lock->retry_ms. */
RLKI_API void rlki_node_lock_retry(rlk_node_lock *node, const rlki_report *report);
RLKI_API void rlki_node_lock_resend(rlk_node_lock *node);

/* Takes the command under way back; true if not a byte of it was sent. Its effect is then recorded
 * in the flags: an abandoned SET leaves the token POSSIBLE. */
RLKI_API bool rlki_node_lock_abandon(rlk_node_lock *node);

/* Undoes every node but those of `except`: sends the compare-and-delete behind whatever was sent,
 * if there is anything to undo. The token is retired. expiry_ms: the latest that an operation asked
 * for; the undo goes on until the key has expired. */
RLKI_API void rlki_node_locks_undo(rlk_lock *lock, int32_t expiry_ms, rlk_node_mask except);

/* Writes the command that is under way; returns its replies, 0 for none. */
RLKI_API unsigned rlki_node_lock_encode(rlk_node_lock *node, rlk_conn *conn, rlk_resp_writer *writer);

/* Takes a reply to the command under way (left: more to come), or the end of its stream. */
RLKI_API void rlki_node_lock_reply(rlk_node_lock *node, const rlk_reply *reply, unsigned left,
                          rlki_report *report);
RLKI_API void rlki_node_lock_lost(rlk_node_lock *node, bool maybe_sent, rlki_report *report);

/* Refuses the command that waits to be sent again, as a server does that always will. */
RLKI_API void rlki_node_lock_refuse(rlk_node_lock *node, rlki_report *report);

/* Another operation comes first: takes back the command that waits to be sent again, except an
 * undo. The answer to one that is under way is no vote any more. */
RLKI_API RLKI_INTO_CALLERS void rlki_node_lock_renounce(rlk_node_lock *node)
{
    if ((node->flags & RLKI_NODE_RETRY) != 0 && node->request.tag != RLKI_RELEASE)
        (void)rlki_node_lock_abandon(node);
    node->flags = (uint8_t)(node->flags & ~RLKI_NODE_ASKED);
}

/* Another random part of the token: no doubt of the one before concerns it. */
RLKI_API void rlki_node_locks_forget_doubts(rlk_lock *lock);

/* Returns true for errors that the same call meets again: fatal, and wrong use. */
RLKI_API bool rlki_is_final(rlk_result result);

#endif

/* ==== src/lock/trace.h ====
 *
 * What is counted and traced; nothing at all with RLK_NO_TRACE.
 */
#ifndef RLKI_LOCK_TRACE_H
#define RLKI_LOCK_TRACE_H

#ifdef RLK_NO_TEXT
#define RLKI_WORD(word) ""
#else
#define RLKI_WORD(word) (word)
#endif

#ifdef RLK_NO_TRACE
#define RLKI_COUNT(client, counter)
#define RLKI_TRACE(lock, kind, node, what, number)
#else
#define RLKI_COUNT(client, counter) ((client)->stats.counter++)
#define RLKI_TRACE(lock, kind, node, what, number)                                                 \
    do {                                                                                           \
        if ((lock)->client->env.trace != NULL)                                                     \
            rlki_trace((lock), (kind), (int)(node), (what), (int64_t)(number));                    \
    } while (0)
RLKI_API void rlki_trace(const rlk_lock *lock, rlk_trace_kind kind, int node, const char *what,
                int64_t number);
RLKI_API void rlki_trace_conn(const rlk_client *client, const rlk_conn *conn, unsigned node, bool step,
                     const char *what);
#endif

#endif

/* ==== src/lock/trace.c ====
 *
 * What happened: counters and the trace hook.
 */

#include <string.h>

const char *rlk_cause_name(rlk_cause cause)
{
#ifdef RLK_NO_TEXT
    (void)cause;
    return "";
#else
    static const char *const names[RLK_CAUSES] = {"START",   "PUSH",  "FLUSH", "LOCAL",    "EXPIRY",
                                                  "RECHECK", "RETRY", "YIELD", "RECONNECT"};

    return (unsigned)cause < RLK_CAUSES ? names[cause] : "?";
#endif
}

const char *rlk_lost_cause_name(rlk_lost_cause cause)
{
#ifdef RLK_NO_TEXT
    (void)cause;
    return "";
#else
    static const char *const names[RLK_LOST_CAUSES] = {"NOT",     "EXPIRED",     "REFUSED",
                                                       "DELETED", "OVERWRITTEN", "WRONG_TYPE"};

    return (unsigned)cause < RLK_LOST_CAUSES ? names[cause] : "?";
#endif
}

#ifndef RLK_NO_TRACE
static void trace_report(const rlk_client *client, rlk_trace *trace)
{
    trace->client = client;
    if (client->env.trace != NULL)
        client->env.trace(client->env.context, trace);
}

void rlki_trace(const rlk_lock *lock, rlk_trace_kind kind, int node, const char *what,
                int64_t number)
{
    rlk_trace trace;

    trace.kind = kind;
    trace.now_ms = lock->client->clock_ms;
    trace.lock = lock;
    trace.node = node;
    trace.what = what;
    trace.number = number;
    trace_report(lock->client, &trace);
}

void rlki_trace_conn(const rlk_client *client, const rlk_conn *conn, unsigned node, bool step,
                     const char *what)
{
    rlk_trace trace;

    trace.kind = step ? RLK_TRACE_STEP : RLK_TRACE_CONN;
    trace.now_ms = rlki_conn_now(conn);
    trace.lock = NULL;
    trace.node = (int)node;
    trace.what = what;
    trace.number = (int64_t)rlk_conn_result(conn);
    trace_report(client, &trace);
}

void rlk_client_stats(const rlk_client *client, rlk_stats *stats)
{
    unsigned i;

    memset(stats, 0, sizeof *stats);
    if (client == NULL || client->state != RLKI_CLIENT_OPEN)
        return;
    *stats = client->stats;
    for (i = 0; i < client->nodes; i++) {
        rlk_traffic traffic = rlk_conn_traffic(client->conns[i]);

        stats->connects += rlki_conn_generation(client->conns[i]);
        stats->fences += traffic.fences;
        stats->bytes_sent += traffic.bytes_sent;
        stats->bytes_received += traffic.bytes_received;
    }
}

/* ---- A line of text ---- */

/* Decimal digits of any number of 64 bits. */
#define TRACE_DIGITS 20

typedef struct trace_line {
    char *out;
    size_t cap;
    size_t len; /* of the whole line, also where less fits */
} trace_line;

static void trace_char(trace_line *line, char c)
{
    if (line->len + 1 < line->cap)
        line->out[line->len] = c;
    line->len++;
}

/* In decimal digits, of which the last `decimals` follow a point. Bit by bit: there is no division
 * of 64 bits. */
static void trace_number(trace_line *line, int64_t number, unsigned decimals)
{
    uint8_t digits[TRACE_DIGITS] = {0}; /* the last one first */
    uint64_t rest = number < 0 ? 0u - (uint64_t)number : (uint64_t)number;
    unsigned bit;
    unsigned k;

    if (number < 0)
        trace_char(line, '-');
    for (bit = 0; bit < 64; bit++) {
        unsigned carry = (unsigned)(rest >> 63);

        rest <<= 1;
        for (k = 0; k < TRACE_DIGITS; k++) {
            unsigned digit = 2u * digits[k] + carry;

            carry = digit > 9;
            digits[k] = (uint8_t)(carry != 0 ? digit - 10 : digit);
        }
    }
    k = TRACE_DIGITS;
    while (k > decimals + 1 && digits[k - 1] == 0)
        k--;
    while (k > 0) {
        if (k == decimals)
            trace_char(line, '.');
        trace_char(line, (char)('0' + digits[--k]));
    }
}

#ifndef RLK_NO_TEXT
#define TRACE_KEY_MAX 48

static void trace_string(trace_line *line, const char *string)
{
    while (*string != '\0')
        trace_char(line, *string++);
}

static void trace_key(trace_line *line, const rlk_lock *lock)
{
    uint32_t i;

    trace_string(line, " \"");
    for (i = 0; i < lock->key_len && i < TRACE_KEY_MAX; i++) {
        char c = (char)lock->key[i];

        trace_char(line, c >= ' ' && c <= '~' ? c : '?');
    }
    trace_string(line, lock->key_len > TRACE_KEY_MAX ? "...\"" : "\"");
}

static void trace_result(trace_line *line, int64_t number)
{
    trace_string(line, ": ");
    trace_string(line, rlk_result_name((rlk_result)number));
}

/* What the number of the trace means. */
static void trace_meaning(trace_line *line, const rlk_trace *trace)
{
    switch (trace->kind) {
    case RLK_TRACE_CONN:
        if (trace->number < (int64_t)RLK_E_NOT_CONNECTED) /* else nothing failed */
            trace_result(line, trace->number);
        break;
    case RLK_TRACE_REPLY:
        if (trace->number <= (int64_t)RLK_E_NOT_CONNECTED)
            trace_result(line, trace->number);
        else {
            trace_string(line, ": ");
            trace_number(line, trace->number, 0);
        }
        break;
    case RLK_TRACE_PHASE:
        trace_string(line, ", ");
        trace_string(line, rlk_cause_name((rlk_cause)trace->number));
        break;
    case RLK_TRACE_RESULT:
        trace_result(line, trace->number);
        break;
    case RLK_TRACE_STATE: /* FREE, HELD, LOST */
        if (trace->what[0] == 'H') {
            trace_string(line, " for ");
            trace_number(line, trace->number, 0);
            trace_string(line, " ms");
        } else if (trace->what[0] == 'L') {
            trace_string(line, ", ");
            trace_string(line, rlk_lost_cause_name((rlk_lost_cause)trace->number));
        }
        break;
    default: /* sent, or notified */
        break;
    }
}

static void trace_text(trace_line *line, const rlk_trace *trace)
{
    static const char *const verbs[] = {
        ": is ",           ": sends ", ": sends ", ": has a reply to ",
        ": is notified: ", ": is ",    ": is in ", ": ends "};

    trace_number(line, trace->now_ms, 3);
    if (trace->node >= 0) {
        trace_string(line, " node ");
        trace_number(line, trace->node, 0);
    }
    if (trace->lock != NULL)
        trace_key(line, trace->lock);
    trace_string(line, verbs[trace->kind]);
    trace_string(line, trace->what);
    trace_meaning(line, trace);
}

#else /* RLK_NO_TEXT: numbers */

static void trace_text(trace_line *line, const rlk_trace *trace)
{
    trace_number(line, trace->now_ms, 0);
    trace_char(line, ' ');
    trace_number(line, trace->kind, 0);
    trace_char(line, ' ');
    trace_number(line, trace->node, 0);
    trace_char(line, ' ');
    trace_number(line, trace->number, 0);
}
#endif

size_t rlk_trace_format(const rlk_trace *trace, char *out, size_t cap)
{
    trace_line line;

    line.out = out;
    line.cap = out != NULL ? cap : 0;
    line.len = 0;
    trace_text(&line, trace);
    if (out != NULL && cap > 0)
        out[line.len < line.cap ? line.len : line.cap - 1] = '\0';
    return line.len;
}

const uint8_t *rlk_lock_key(const rlk_lock *lock, size_t *len)
{
    *len = lock->key_len;
    return lock->key;
}
#endif

/* ==== src/lock/node_lock.c ====
 *
 * What is known of our token on one node:
 *
 *             SET sent                  OK, or compared: ours
 *   absent ------------> POSSIBLE ------------------------------> POSSIBLE + PRESENT
 *     ^                     |  nil, refused, compared: not ours          |
 *     +---------------------+                                            |
 *     +------------------------------------------------------------------+
 *               compare-and-delete answered; compared: not ours
 *
 * A SET that is sent and not answered carries the flag FENCE and the number of its stream. What is
 * answered later on that stream settles it, because a server executes a stream in order. What is
 * sent on a later stream doesn't, unless the connection was fenced in between: if not, the SET is
 * an orphan, possibly: it may execute at any later time, and a compare that says "not ours" proves
 * nothing (rule 5 of docs/correctness.md). A compare that says "ours" uses one orphan up, for
 * nothing else can have put the token there. Where an orphan is left when the token is deleted, the
 * node is IN_DOUBT: nobody can say whether it comes. That lasts until the lock draws another random
 * part.
 *
 * A command leaves only with the right key and token: where the caller's texts have changed since
 * init, it is answered RLK_E_DANGLING here, as by a server that refuses for good. What is on the
 * node stays there until its TTL: after an undo the node is IN_DOUBT too.
 *
 * Requests are   idle -> queued (send list) -> sent (ring) -> idle by reply or loss;
 * an abandoned one leaves its entry in the ring, ownerless, so its reply finds nobody, and what is
 * sent afterwards on the same stream comes behind it.
 *
 * A compare (CHECK) and an undo (RELEASE) are repeated here until they are answered. The operation
 * decides about another command that was refused or lost.
 */

#include <string.h>

extern inline bool rlki_node_lock_has_token(const rlk_node_lock *node);

extern inline bool rlki_node_lock_is_clean(const rlk_node_lock *node);

bool rlki_is_final(rlk_result result)
{
    rlk_result_kind kind = rlk_result_class(result);

    return kind == RLK_KIND_FATAL || kind == RLK_KIND_USAGE ||
           rlki_error_scope(result) == RLKI_SCOPE_FINAL;
}

static void node_lock_set(rlk_node_lock *node, unsigned flags)
{
    node->flags = (uint8_t)(node->flags | flags);
}

static void node_lock_clear(rlk_node_lock *node, unsigned flags)
{
    node->flags = (uint8_t)(node->flags & ~flags);
}

static rlk_conn *node_lock_conn(rlk_node_lock *node)
{
    return rlki_route(rlki_node_lock_owner(node), rlki_index(node));
}

/* ---- sending ---- */

static void node_lock_submit(rlk_node_lock *node, unsigned command)
{
    node->request.tag = (uint8_t)command;
    rlk_conn_submit(node_lock_conn(node), &node->request,
                    rlki_node_lock_owner(node)->client->clock_ms);
}

/* It is not sent again. The last one of the lock takes the time with it: else the next operation's
 * command would be sent again at that time, and not at its own. */
static void node_lock_drop_retry(rlk_node_lock *node)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    unsigned waiting = 0;
    unsigned i;

    if ((node->flags & RLKI_NODE_RETRY) == 0)
        return;
    node_lock_clear(node, RLKI_NODE_RETRY);
    for (i = 0; i < rlki_nodes(lock->client); i++)
        waiting |= lock->nodes[i].flags & RLKI_NODE_RETRY;
    if (waiting == 0)
        lock->retry_ms = RLKI_NEVER;
}

static void node_lock_begin(rlk_node_lock *node, unsigned command, unsigned asked)
{
    node_lock_clear(node, RLKI_NODE_NOSCRIPT | RLKI_NODE_RETRY | RLKI_NODE_ASKED);
    node_lock_set(node, asked);
    if (command == RLKI_SET)
        node_lock_clear(node, RLKI_NODE_REPEATED);
    node_lock_submit(node, command);
}

void rlki_node_lock_ask(rlk_node_lock *node, unsigned command)
{
    node_lock_begin(node, command, RLKI_NODE_ASKED);
}

void rlki_node_lock_send(rlk_node_lock *node, unsigned command)
{
    node_lock_begin(node, command, 0);
}

void rlki_node_lock_count(rlk_node_lock *node)
{
    node_lock_set(node, RLKI_NODE_ASKED);
}

void rlki_node_lock_resend(rlk_node_lock *node)
{
    node_lock_begin(node, node->request.tag, node->flags & RLKI_NODE_ASKED);
}

bool rlki_node_lock_abandon(rlk_node_lock *node)
{
    /* Idle, and not to be sent again: it is being answered at this moment, so it was sent. */
    bool answered = node->request.tag != RLKI_NO_COMMAND &&
                    node->request.state == RLK_REQUEST_IDLE && (node->flags & RLKI_NODE_RETRY) == 0;

    node->request.tag = RLKI_NO_COMMAND;
    node_lock_clear(node, RLKI_NODE_ASKED);
    node_lock_drop_retry(node);
    return rlk_conn_withdraw(node_lock_conn(node), &node->request) && !answered;
}

static void node_lock_undo(rlk_node_lock *node)
{
    bool releasing = node->request.tag == RLKI_RELEASE;

    if (releasing &&
        (node->request.state != RLK_REQUEST_IDLE || (node->flags & RLKI_NODE_RETRY) != 0))
        return;
    if (node->request.tag != RLKI_NO_COMMAND)
        (void)rlki_node_lock_abandon(node);
    node->expiry_ms = RLKI_EXPIRED;
    if (!rlki_node_lock_is_clean(node))
        rlki_node_lock_send(node, RLKI_RELEASE);
}

void rlki_node_locks_undo(rlk_lock *lock, int32_t expiry_ms, rlk_node_mask except)
{
    int32_t until_ms = rlki_from_now(lock, lock->ttl_ms);
    unsigned i;

    if (expiry_ms > until_ms)
        until_ms = expiry_ms;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (lock->nodes[i].expiry_ms > until_ms)
            until_ms = lock->nodes[i].expiry_ms;
    lock->cleanup_ms = until_ms;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if ((except & rlki_bit(i)) == 0)
            node_lock_undo(&lock->nodes[i]);
}

/* The first command after an unanswered SET: is that settled by the stream, by a fence, or not? */
static void node_lock_settle_stream(const rlk_lock *lock, rlk_node_lock *node, uint32_t generation)
{
    if ((node->flags & RLKI_NODE_FENCE) == 0 || node->generation == generation)
        return;
    node_lock_clear(node, RLKI_NODE_FENCE);
    /* Beside an orphan a fenced SET counts as one too: if the token is found, nobody can say which
     * of them put it there, and so whether the orphan is used up. */
    if (node->generation > lock->client->unfenced[rlki_index(node)] && node->orphans == 0)
        return;
    if (node->orphans < UINT8_MAX)
        node->orphans++;
}

unsigned rlki_node_lock_encode(rlk_node_lock *node, rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    unsigned replies;

    if (rlki_token_dangles(lock)) {
        /* Refused when the lock is stepped: the caller is in the middle of something. */
        node_lock_set(node, RLKI_NODE_RETRY);
        lock->retry_ms = lock->client->now_ms;
        rlki_ready(lock);
        return 0;
    }
    node_lock_settle_stream(lock, node, rlki_conn_generation(conn));
    node->request.as.owner_ms = lock->client->now_ms;
    replies = rlki_command_put(lock, node, conn, writer);
    if (!rlki_transmit_fits(writer))
        return replies;
    if (node->request.tag == RLKI_SET) {
        node_lock_set(node, RLKI_NODE_POSSIBLE | RLKI_NODE_FENCE);
        node->generation = rlki_conn_generation(conn);
    }
    RLKI_TRACE(lock, RLK_TRACE_COMMAND, rlki_index(node), rlki_command_name(node->request.tag),
               replies);
    return replies;
}

/* ---- what is known ---- */

/* Our token is not on the node (now: an orphan may still come). */
static RLKI_APART_FOR_SIZE void node_lock_absent(rlk_node_lock *node)
{
    node_lock_clear(node, RLKI_NODE_POSSIBLE | RLKI_NODE_PRESENT | RLKI_NODE_FENCE);
    node->expiry_ms = RLKI_EXPIRED;
}

/* The token was found. If no SET was answered OK, and none is unanswered on this very stream, an
 * orphan has been executed. */
static void node_lock_use_up(rlk_node_lock *node)
{
    if ((node->flags & (RLKI_NODE_PRESENT | RLKI_NODE_FENCE)) == 0 && node->orphans > 0)
        node->orphans--;
}

static void node_lock_present(rlk_node_lock *node)
{
    node_lock_use_up(node);
    node_lock_clear(node, RLKI_NODE_FENCE);
    node_lock_set(node, RLKI_NODE_POSSIBLE | RLKI_NODE_PRESENT);
}

/* Errors that say for certain that the command was not executed. An unknown one doesn't: proxies
 * have errors of their own. */
static bool node_lock_refused(rlk_result error)
{
    return rlki_error_scope(error) != RLKI_SCOPE_UNKNOWN;
}

/* ---- replies ---- */

/* Reports that the same command is under way again, or will be, for the operation that asked. */
static void node_lock_goes_on(rlk_node_lock *node, rlki_report *report)
{
    report->kind = RLKI_REPORT_NOTHING;
    node->request.tag = report->command;
    node_lock_set(node, report->votes ? RLKI_NODE_ASKED : 0);
}

/* Loads the scripts and repeats the command, once. */
static bool node_lock_reload(rlk_node_lock *node, rlki_report *report)
{
    if (report->error != RLK_E_NOSCRIPT || (node->flags & RLKI_NODE_NOSCRIPT) != 0)
        return false;
    node_lock_set(node, RLKI_NODE_NOSCRIPT);
    rlk_conn_load_scripts(node_lock_conn(node), rlki_node_lock_owner(node)->client->clock_ms);
    node_lock_goes_on(node, report);
    node_lock_submit(node, report->command);
    return true;
}

void rlki_node_lock_retry(rlk_node_lock *node, const rlki_report *report)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    int32_t when_ms = rlki_from_now(lock, rlki_lock_pause(lock));

    rlki_lock_note(lock, rlki_index(node), report->command, (rlk_result)report->error);
    node->request.tag = report->command;
    node_lock_set(node, RLKI_NODE_RETRY | (report->votes ? RLKI_NODE_ASKED : 0));
    if (when_ms < lock->retry_ms)
        lock->retry_ms = when_ms;
}

static void node_lock_reply_set(rlk_lock *lock, rlk_node_lock *node, const rlk_reply *reply,
                                int32_t t0_ms, rlki_report *report)
{
    if (report->error != RLK_E_UNEXPECTED) /* that is no answer */
        node_lock_clear(node, RLKI_NODE_FENCE);
    if (report->error != RLK_OK) {
        if (node_lock_refused((rlk_result)report->error))
            node_lock_absent(node);
    } else if (reply->type == RLK_RESP_NULL) {
        node_lock_absent(node);
        report->kind = RLKI_REPORT_HELD;
    } else {
        node_lock_set(node, RLKI_NODE_PRESENT); /* by this SET, not by an orphan */
        node_lock_present(node);
        rlki_node_confirm(node, rlki_later(t0_ms, (int32_t)lock->ttl_ms), t0_ms,
                          rlki_conn_generation(node_lock_conn(node)));
        report->kind = RLKI_REPORT_DONE;
    }
}

/* What a node says instead of our token. */
static void node_lock_not_ours(rlki_report *report, int32_t value)
{
    report->kind = RLKI_REPORT_NOT_OURS;
    report->lost_cause = report->error == RLK_E_WRONGTYPE ? RLK_LOST_WRONG_TYPE
                         : value == RLKI_NOT_OURS         ? RLK_LOST_OVERWRITTEN
                                                          : RLK_LOST_DELETED;
}

/* Expiry that a compare asks for. */
static int32_t node_lock_asked(const rlk_lock *lock, unsigned command, int32_t t0_ms)
{
    switch (command) {
    case RLKI_CONFIRM:
        return rlki_later(t0_ms, (int32_t)lock->ttl_ms);
    case RLKI_RAISE:
        return lock->as.hold.target_ms;
    default:
        return RLKI_EXPIRED;
    }
}

static void node_lock_reply_compare(rlk_lock *lock, rlk_node_lock *node, int32_t value,
                                    int32_t t0_ms, rlki_report *report)
{
    if (report->error == RLK_OK && value >= RLKI_TTL_NONE) {
        node_lock_present(node);
        if (value >= 0) /* else somebody took its expiry away: what is known stands */
            rlki_node_confirm_left(lock->client, node,
                                   node_lock_asked(lock, report->command, t0_ms), t0_ms, value,
                                   rlki_conn_generation(node_lock_conn(node)));
        report->kind = RLKI_REPORT_DONE;
    } else if (report->error == RLK_OK || report->error == RLK_E_WRONGTYPE) {
        node_lock_absent(node);
        node_lock_not_ours(report, value);
        if (report->error != RLK_OK)
            rlki_lock_note(lock, rlki_index(node), report->command, RLK_E_WRONGTYPE);
    } else {
        (void)node_lock_reload(node, report);
    }
}

/* The undo is over: answered, or nothing more can be done. */
static void node_lock_undone(rlk_node_lock *node)
{
    node_lock_absent(node);
    if (node->orphans > 0)
        node_lock_set(node, RLKI_NODE_IN_DOUBT);
    node->orphans = 0;
    node_lock_clear(node, RLKI_NODE_REPEATED | RLKI_NODE_RETRY);
}

static void node_lock_reply_release(rlk_lock *lock, rlk_node_lock *node, int32_t value,
                                    rlki_report *report)
{
    rlk_result error = (rlk_result)report->error;

    if (error == RLK_OK || error == RLK_E_WRONGTYPE) {
        report->repeated = (node->flags & RLKI_NODE_REPEATED) != 0;
        if (error == RLK_OK && value > 0) {
            node_lock_use_up(node);
            report->kind = RLKI_REPORT_DONE;
        } else {
            node_lock_not_ours(report, value);
            if (error != RLK_OK)
                rlki_lock_note(lock, rlki_index(node), RLKI_RELEASE, error);
            else if (value == 0) /* no script of ours: nothing is said of the key */
                report->lost_cause = RLK_LOST_NOT;
        }
        node_lock_undone(node);
        return;
    }
    if (node_lock_reload(node, report))
        return;
    if (!node_lock_refused(error)) /* executed or not */
        node_lock_set(node, RLKI_NODE_REPEATED);
    if (rlki_is_final(error) || lock->client->now_ms >= lock->cleanup_ms) {
        node_lock_undone(node);
        node_lock_set(node, RLKI_NODE_IN_DOUBT);
        rlki_lock_note(lock, rlki_index(node), RLKI_RELEASE, error);
        return;
    }
    rlki_node_lock_retry(node, report);
    report->kind = RLKI_REPORT_NOTHING;
}

void rlki_node_lock_reply(rlk_node_lock *node, const rlk_reply *reply, unsigned left,
                          rlki_report *report)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    int32_t t0_ms = node->request.as.owner_ms;
    unsigned command = node->request.tag;
    bool by_get;
    int64_t value = rlki_command_value(command, reply, &by_get);
    int32_t left_ms; /* as a script or PTTL says it */

    if (by_get)
        rlk_conn_note(node_lock_conn(node), RLK_SERVER_NO_GETEX);
    RLKI_TRACE(lock, RLK_TRACE_REPLY, rlki_index(node), rlki_command_name(command),
               reply->error != RLK_OK ? (int64_t)reply->error : value);
    memset(report, 0, sizeof *report);
    report->kind = RLKI_REPORT_REFUSED;
    report->command = (uint8_t)command;
    report->votes = (node->flags & RLKI_NODE_ASKED) != 0;
    report->error = (int16_t)reply->error;
    report->reply = reply;
    if (!rlki_command_is_answer(command, reply, value, left))
        report->error = RLK_E_UNEXPECTED;
    left_ms = value < INT32_MAX ? (int32_t)value : INT32_MAX;
    report->ttl_ms = report->error == RLK_OK ? left_ms : RLKI_TTL_UNKNOWN;
    if (left == 0) {
        node->request.tag = RLKI_NO_COMMAND;
        node_lock_clear(node, RLKI_NODE_ASKED);
    }
    switch (command) {
    case RLKI_SET:
        report->ttl_ms = RLKI_TTL_UNKNOWN;
        node_lock_reply_set(lock, node, reply, t0_ms, report);
        break;
    case RLKI_PROBE:
        report->kind = RLKI_REPORT_HELD;
        break;
    case RLKI_CONFIRM:
    case RLKI_RAISE:
    case RLKI_CHECK:
        node_lock_reply_compare(lock, node, left_ms, t0_ms, report);
        break;
    case RLKI_RELEASE:
        node_lock_reply_release(lock, node, left_ms, report);
        break;
    default: /* RLKI_QUERY, RLKI_DEL */
        if (left > 0)
            report->kind = RLKI_REPORT_PART;
        else if (report->error == RLK_OK)
            report->kind = RLKI_REPORT_DONE;
        break;
    }
}

void rlki_node_lock_refuse(rlk_node_lock *node, rlki_report *report)
{
    static const rlk_reply refused = {RLK_RESP_ERROR, 0, NULL, 0, RLK_E_DANGLING};

    node_lock_clear(node, RLKI_NODE_RETRY);
    rlki_node_lock_reply(node, &refused, 0, report);
}

/* ---- losses ---- */

void rlki_node_lock_lost(rlk_node_lock *node, bool maybe_sent, rlki_report *report)
{
    unsigned command = node->request.tag;

    memset(report, 0, sizeof *report);
    report->kind = RLKI_REPORT_LOST;
    report->command = (uint8_t)command;
    report->votes = (node->flags & RLKI_NODE_ASKED) != 0;
    report->maybe_sent = maybe_sent;
    report->error = (int16_t)rlk_conn_result(node_lock_conn(node));
    report->ttl_ms = RLKI_TTL_UNKNOWN;
    node->request.tag = RLKI_NO_COMMAND;
    node_lock_clear(node, RLKI_NODE_ASKED);
    switch (command) {
    case RLKI_SET:
        if (!maybe_sent)
            node_lock_absent(node);
        break;
    case RLKI_CHECK:
        node_lock_goes_on(node, report);
        node_lock_clear(node, RLKI_NODE_NOSCRIPT);
        node_lock_submit(node, command);
        break;
    case RLKI_RELEASE:
        if (maybe_sent)
            node_lock_set(node, RLKI_NODE_REPEATED);
        node_lock_goes_on(node, report);
        node_lock_submit(node, command);
        break;
    default:
        break;
    }
}

/* ---- all nodes ---- */

extern inline void rlki_node_lock_renounce(rlk_node_lock *node);

void rlki_node_locks_forget_doubts(rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++)
        node_lock_clear(&lock->nodes[i], RLKI_NODE_IN_DOUBT);
}

/* ==== src/lock/operation.h ====
 *
 * An operation is one constant row: what it does at each step, with each report of a node, when it
 * is cancelled and when it ends. A call is another row: how it begins which operation. It sets
 * lock->op to that one, so that a program links the calls and operations that it names, and no
 * others.
 */
#ifndef RLKI_LOCK_OPERATION_H
#define RLKI_LOCK_OPERATION_H

/* Flags of a row. */
#define RLKI_OP_LEASE 0x01u /* needs a lease, and ends with it */
#define RLKI_OP_ONCE  0x02u /* an error of a node is its vote; nothing waits for the node */
#define RLKI_OP_WAITS 0x04u /* has rechecks and reports, and no lease */

/* Flags of a call. */
#define RLKI_CALL_YIELDS 0x01u /* a renewal that is due comes first */
#define RLKI_CALL_SERVED 0x02u /* in its blocking form it first receives what has come */

typedef struct rlki_operation {
    uint8_t id; /* rlk_operation; RLK_OP_NONE: nobody called for it */
    uint8_t flags;

    /* Goes on as far as votes, times and connections let it, at client->now_ms. True: there may be
     * another step. Called by the dispatcher (machine.c) only. */
    bool (*step)(rlk_lock *lock);

    /* A node reports: with report->votes on what the operation asked, else on something else. */
    void (*report)(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report);

    /* The connection of a node became ready, or failed. NULL: a failure that lasts is the node's
     * vote. */
    void (*changed)(rlk_lock *lock, rlk_node_lock *node, bool ready);

    /* A node can't be had, and has voted RLKI_VOTE_ERROR. NULL: nothing else to do. */
    void (*failed)(rlk_lock *lock, rlk_node_lock *node, rlk_result why);

    void (*cancel)(rlk_lock *lock);

    /* It has ended, and lock->op is NULL. NULL: nothing else to do. */
    void (*ended)(rlk_lock *lock, rlk_result result);
} rlki_operation;

typedef struct rlki_call {
    const rlki_operation *op; /* begin() begins it, or one with the same results */
    uint8_t flags;

    /* argument: the wait, the time added, the TTL, the entries of `holders`. RLK_PENDING: begun.
     * Else why not, or that there was nothing to do. */
    rlk_result (*begin)(rlk_lock *lock, int64_t argument, rlk_holder *holders);
} rlki_call;

/* Returns true if a caller's operation is under way. */
RLKI_API inline bool rlki_operation_is_on(const rlk_lock *lock)
{
    return lock->op != NULL && lock->op->id != RLK_OP_NONE;
}

/* Begins an operation: no votes, trying until deadline_ms. */
RLKI_API void rlki_operation_begin(rlk_lock *lock, const rlki_operation *op, int32_t deadline_ms);

/* Ends it with a result, which becomes an event if somebody called for it. */
RLKI_API void rlki_operation_finish(rlk_lock *lock, rlk_result result);

/* Sets the lock's last result, of an operation that could not begin too. */
RLKI_API void rlki_operation_note(rlk_lock *lock, unsigned id, rlk_result result);

/* The same, as an event. */
RLKI_API void rlki_operation_report(rlk_lock *lock, unsigned id, rlk_result result);

/* The connection of a node failed: the node votes RLKI_VOTE_ERROR. */
RLKI_API void rlki_operation_node_failed(rlk_lock *lock, rlk_node_lock *node);

/* Returns true if the end of a node's stream, before which the operation under way began, is not
 * its answer. */
RLKI_API bool rlki_operation_tries_again(const rlk_lock *lock, unsigned node);

/* Returns what an operation came to that no quorum answered: the last error, or that nobody
 * answered. */
RLKI_API rlk_result rlki_operation_unanswered(rlk_lock *lock);

/* Name of an operation, for texts; "" with RLK_NO_TEXT. */
#ifdef RLK_NO_TEXT
static inline const char *rlki_operation_name(unsigned id)
{
    (void)id;
    return "";
}
#else
RLKI_API const char *rlki_operation_name(unsigned id);
#endif

#endif

/* ==== src/lock/events.h ====
 *
 * Outcomes that wait to be pulled.
 */
#ifndef RLKI_LOCK_EVENTS_H
#define RLKI_LOCK_EVENTS_H

/* Pending events of a lock, in the order in which they are pulled. */
#define RLKI_EVENT_RESULT  0x01u
#define RLKI_EVENT_SETTLED 0x02u
#define RLKI_EVENT_RENEWAL 0x04u
#define RLKI_EVENT_LOST    0x08u
#define RLKI_EVENT_WAITING 0x10u
#define RLKI_EVENT_ALL     0x1fu
#define RLKI_EVENT_LINKED  0x80u /* in the client's list */

/* Puts a lock into the client's list of those that have something to report. */
RLKI_API inline void rlki_event_link(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    if ((lock->events & RLKI_EVENT_LINKED) != 0)
        return;
    lock->events |= RLKI_EVENT_LINKED;
    lock->event_next = NULL;
    lock->event_prev = lock;
    if (client->events == NULL) {
        client->events = lock;
        return;
    }
    lock->event_prev = client->events->event_prev;
    lock->event_prev->event_next = lock;
    client->events->event_prev = lock;
}

RLKI_API RLKI_INTO_CALLERS void rlki_event_raise(rlk_lock *lock, unsigned event)
{
    rlki_event_link(lock);
    lock->events = (uint8_t)(lock->events | event);
}

/* Takes events away without showing them (a blocking call returns them). */
RLKI_API void rlki_event_drop_these(rlk_lock *lock, unsigned events);
RLKI_API inline void rlki_event_drop(rlk_lock *lock, unsigned events)
{
    if ((lock->events & events) != 0)
        rlki_event_drop_these(lock, events);
}

#endif

/* ==== src/lock/events.c ====
 *
 * A lock with something to say is in its client's list, at most once, however much it has to say:
 * one result (an operation has one, and the next can't begin before) and sticky bits.
 */

extern inline void rlki_event_link(rlk_lock *lock);

static void events_unlink(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    rlk_lock *next = lock->event_next;

    if (client->events == lock)
        client->events = next;
    else
        lock->event_prev->event_next = next;
    if (next == NULL)
        next = client->events;
    if (next != NULL)
        next->event_prev = lock->event_prev;
    lock->events = 0;
}

extern inline void rlki_event_raise(rlk_lock *lock, unsigned event);

extern inline void rlki_event_drop(rlk_lock *lock, unsigned events);

void rlki_event_drop_these(rlk_lock *lock, unsigned events)
{
    lock->events = (uint8_t)(lock->events & ~events);
    if (lock->events == RLKI_EVENT_LINKED)
        events_unlink(lock);
}

bool rlk_client_next_event(rlk_client *client, rlk_event *event)
{
    rlk_lock *lock;
    unsigned pulled = RLKI_EVENT_LOST;

    if (client == NULL || event == NULL || client->state != RLKI_CLIENT_OPEN ||
        client->events == NULL || !rlki_client_same_process(client))
        return false;
    lock = client->events;
    event->lock = lock;
    event->user = lock->user;
    event->operation = RLK_OP_NONE;
    event->lost_cause = RLK_LOST_NOT;
    if ((lock->events & RLKI_EVENT_RESULT) != 0) {
        pulled = RLKI_EVENT_RESULT;
        event->operation = (rlk_operation)lock->done_operation;
        event->result = (rlk_result)lock->done_result;
        event->type = event->operation == RLK_OP_ACQUIRE && event->result == RLK_OK
                          ? RLK_EV_ACQUIRED
                          : RLK_EV_RESULT;
    } else if ((lock->events & RLKI_EVENT_SETTLED) != 0) {
        pulled = RLKI_EVENT_SETTLED;
        event->result = (lock->options & RLKI_OPTION_SETTLED) != 0 ? RLK_OK : RLK_UNKNOWN;
        event->type = RLK_EV_SETTLED;
    } else if ((lock->events & RLKI_EVENT_RENEWAL) != 0) {
        pulled = RLKI_EVENT_RENEWAL;
        event->result = (rlk_result)lock->renewal;
        event->type = event->result == RLK_OK ? RLK_EV_RENEWED : RLK_EV_RENEW_FAILED;
    } else if ((lock->events & RLKI_EVENT_LOST) != 0) {
        event->result = RLK_LOST;
        event->type = RLK_EV_LOST;
        event->lost_cause = (rlk_lost_cause)lock->lost_cause;
    } else {
        pulled = RLKI_EVENT_WAITING;
        event->result = (rlk_result)lock->as.wait.reported;
        event->type = RLK_EV_WAITING;
    }
    rlki_event_drop(lock, pulled);
    if ((lock->events & RLKI_EVENT_LOST) == 0 && rlki_lock_campaigns(lock))
        client->campaign->follow_again(lock);
    return true;
}

/* ==== src/lock/operation.c ====
 *
 * What all operations share: a lock has at most one.
 *
 *            begin: no votes         finish: the result is an event
 *     none -----------------> on ----------------------------------> none
 *                            |  ^
 *                            +--+ step, report
 */

extern inline bool rlki_operation_is_on(const rlk_lock *lock);

rlk_result rlki_operation_unanswered(rlk_lock *lock)
{
    unsigned silent = 0;
    unsigned i;

    /* nobody said anything: is it that nobody could be asked? */
    for (i = 0; lock->error == RLK_OK && i < rlki_nodes(lock->client); i++) {
        rlk_conn *conn = rlki_route(lock, i);

        if (!rlki_conn_is_ready(conn))
            rlki_lock_note(lock, i, RLKI_NO_COMMAND, rlk_conn_result(conn));
        else if (lock->nodes[i].vote == RLKI_VOTE_NONE)
            silent = i;
    }
    if (lock->error == RLK_OK)
        rlki_lock_note(lock, silent, lock->nodes[silent].request.tag, RLK_E_RESPONSE_TIMEOUT);
    return (rlk_result)lock->error;
}

void rlki_operation_node_failed(rlk_lock *lock, rlk_node_lock *node)
{
    rlk_result why = rlk_conn_result(rlki_route(lock, rlki_index(node)));

    rlki_lock_note(lock, rlki_index(node), RLKI_NO_COMMAND, why);
    node->vote = RLKI_VOTE_ERROR;
    if (lock->op->failed != NULL)
        lock->op->failed(lock, node, why);
}

void rlki_operation_begin(rlk_lock *lock, const rlki_operation *op, int32_t deadline_ms)
{
    rlk_client *client = lock->client;
    unsigned i;
    bool called = op->id != RLK_OP_NONE;
    /* the renewals of a thousand locks leave the connections their backoff */
    bool hurries =
        called || client->hurried_ms <= rlki_earlier(client->now_ms, lock->node_timeout_ms);

    /* the caller who starts the next has no use for the result of the last one */
    if (called)
        rlki_event_drop(lock, RLKI_EVENT_RESULT);
    if (hurries)
        client->hurried_ms = client->now_ms;
    lock->op = op;
    lock->phase = RLKI_PHASE_WORK;
    lock->flags = 0;
    lock->deadline_ms = deadline_ms;
    lock->later = 0;
    lock->phase_ms = RLKI_NEVER;
    lock->outcome = RLK_OK;
    lock->error = RLK_OK;
    lock->second_try = 0;
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        rlk_conn *conn = rlki_route(lock, i);

        rlki_node_lock_renounce(node);
        node->vote = RLKI_VOTE_NONE;
        if (rlki_conn_is_ready(conn)) {
            lock->second_try |= rlki_bit(i);
            continue;
        }
        if (hurries)
            rlk_conn_hurry(conn, client->clock_ms);
        if (op->changed == NULL && rlki_conn_is_over(conn))
            rlki_operation_node_failed(lock, node);
    }
}

/* A stream that was there before the call may have been dead already (fault 115): nobody has read
 * from it, and no clock can say. And one that the server condemned says nothing of the next. What
 * begins anew then, on a stream of its own, ends at the next error. */
bool rlki_operation_tries_again(const rlk_lock *lock, unsigned node)
{
    rlk_result why = rlk_conn_result(rlki_route(lock, node));

    return (lock->second_try & rlki_bit(node)) != 0 &&
           ((lock->op->flags & RLKI_OP_ONCE) != 0 || (lock->flags & RLKI_LOCK_TRY) != 0) &&
           (rlk_result_class(why) == RLK_KIND_TRANSPORT || rlki_condemn_is_for(why));
}

void rlki_operation_note(rlk_lock *lock, unsigned id, rlk_result result)
{
    lock->done_operation = (uint8_t)id;
    lock->done_result = (int16_t)result;
    lock->options = (uint8_t)(lock->options & ~(RLKI_OPTION_RENEWED | RLKI_OPTION_FELL));
}

void rlki_operation_report(rlk_lock *lock, unsigned id, rlk_result result)
{
    rlki_operation_note(lock, id, result);
    rlki_event_raise(lock, RLKI_EVENT_RESULT);
}

void rlki_operation_finish(rlk_lock *lock, rlk_result result)
{
    rlk_client *client = lock->client;
    const rlki_operation *op = lock->op;

    RLKI_TRACE(lock, RLK_TRACE_RESULT, -1,
               rlki_operation_name(op->id != RLK_OP_NONE ? op->id : (unsigned)RLK_OP_RENEW),
               result);
    client->failed = (int16_t)(result < 0 ? result : RLK_OK);
    if (result < 0)
        client->checked = false;
    client->failed_node = lock->error_node;
    client->failed_command = lock->error_command;
    if (result == RLK_OK)
        lock->error = RLK_OK; /* the operation survived it: it is not why the lease will end */
    lock->op = NULL;
    lock->deadline_ms = RLKI_NEVER;
    lock->phase_ms = RLKI_NEVER;
    if (op->ended != NULL)
        op->ended(lock, result);
    if (op->id == RLK_OP_NONE)
        return;
    rlki_operation_report(lock, op->id, result);
    rlki_renewal_schedule(lock, false);
}

#ifndef RLK_NO_TEXT
const char *rlki_operation_name(unsigned id)
{
    static const char *const names[] = {"lock",  "acquire", "release", "extend",
                                        "renew", "check",   "query",   "force_release"};

    return names[id];
}
#endif

/* ==== src/lock/acquire.h ====
 *
 * Acquire: attempts, until one wins.
 */
#ifndef RLKI_LOCK_ACQUIRE_H
#define RLKI_LOCK_ACQUIRE_H

/* Returns true while it tries: not any more once its outcome is decided. */
static inline bool rlki_acquire_is_trying(const rlk_lock *lock)
{
    return lock->op != NULL && lock->op->id == RLK_OP_ACQUIRE && lock->phase != RLKI_PHASE_SETTLE;
}

#endif

/* ==== src/lock/notify.h ====
 *
 * A key changed: to the locks of a client that wait for it or hold it.
 */
#ifndef RLKI_LOCK_NOTIFY_H
#define RLKI_LOCK_NOTIFY_H

/* Notifies the locks that wait for a key of a change on a node. Without `own` (by another client)
 * those that hold it too; else `own` has let go of it, and is left out. They are stepped before the
 * call into the engine ends. */
RLKI_API void rlki_notify(rlk_client *client, unsigned node, uint32_t key_hash, rlk_cause cause,
                 const rlk_lock *own);

/* The same where it may have been any key. */
RLKI_API void rlki_notify_all(rlk_client *client, unsigned node, rlk_cause cause);

/* Notifies now the locks that wait for the key, or hold it: nobody waits any more for what an
 * earlier force_release of the lock sent, and their commands go behind it. */
RLKI_API void rlki_notify_forget(rlk_lock *lock);

#endif

/* ==== src/lock/recheck.h ====
 *
 * When a waiter asks again: of each node where somebody holds the key, the time and the cause of
 * the next recheck.
 */
#ifndef RLKI_LOCK_RECHECK_H
#define RLKI_LOCK_RECHECK_H

/* Begins a phase of an acquire. */
RLKI_API void rlki_recheck_phase(rlk_lock *lock, unsigned phase);

/* Begins RLKI_PHASE_WATCH. */
RLKI_API void rlki_recheck_begin(rlk_lock *lock);

/* Returns true of a follower that can say who leads. */
RLKI_API inline bool rlki_recheck_is_observed(const rlk_lock *lock)
{
    return (lock->options & RLKI_OPTION_CAMPAIGN) != 0 && lock->holders != NULL;
}

/* Returns the command that probes a node: PTTL, and of a follower that can say who leads GET with
 * it. */
RLKI_API unsigned rlki_recheck_question(const rlk_lock *lock);

/* Somebody has the key on a node, as far as is known: when to ask again, and why. */
RLKI_API void rlki_recheck_later(rlk_lock *lock, rlk_node_lock *node, uint32_t pause_ms, rlk_cause cause);

/* A node that said no to a SET, or was probed: ttl_ms is the key's, as PTTL says it, or
 * RLKI_TTL_UNKNOWN. */
RLKI_API void rlki_recheck_answered(rlk_lock *lock, rlk_node_lock *node, int32_t ttl_ms);

/* An undo is over on a node. Unless it has deleted our token, the node has somebody's, perhaps: it
 * does not count as free before it was asked. */
RLKI_API void rlki_recheck_undone(rlk_lock *lock, rlk_node_lock *node, bool deleted);

/* The key changed on a node, as far as is known: the server's notification, or one of our own. */
RLKI_API void rlki_recheck_notified(rlk_lock *lock, unsigned index, rlk_cause cause);

/* Counts a spurious wake-up if a push caused the attempt under way, or a probe of several nodes,
 * that failed. */
RLKI_API void rlki_recheck_failed(rlk_lock *lock);

/* Prepares the next attempt or probe: with time, spurious wake-ups are forgotten. */
RLKI_API void rlki_recheck_attempt(rlk_lock *lock);

/* The key is gone from a node of which no notification came. */
RLKI_API void rlki_recheck_missed(rlk_lock *lock, const rlk_node_lock *node);

/* Returns the first node that an attempt can ask: all waiters that reach the same nodes ask this
 * one first, and only who has it asks the others, so that they do not take a quorum from each
 * other. The number of nodes: there is none. */
RLKI_API unsigned rlki_recheck_gate(const rlk_lock *lock);

/* Nodes that can take part in an attempt now, those that are about to be able to, and those that
 * may be: a change was notified, and not rechecked yet. */
typedef struct rlki_recheck_count {
    unsigned ready;
    unsigned undoing;
    unsigned changed;
} rlki_recheck_count;

/* Asks the nodes whose time has come, and counts. */
RLKI_API rlki_recheck_count rlki_recheck_nodes(rlk_lock *lock);

/* Returns when the next node is asked again, or RLKI_NEVER. */
RLKI_API int32_t rlki_recheck_next(const rlk_lock *lock);

/* The lock waits no longer, or holds the key from now on: the next in the queue asks. */
RLKI_API void rlki_recheck_leave(rlk_lock *lock);
RLKI_API void rlki_recheck_hold(rlk_lock *lock);

#endif

/* ==== src/lock/turn.h ====
 *
 * When to leave a lock to others.
 */
#ifndef RLKI_LOCK_TURN_H
#define RLKI_LOCK_TURN_H

/* Returns true if others are known to want the lock too. */
RLKI_API bool rlki_turn_contended(const rlk_lock *lock);

/* Others were seen to. */
RLKI_API void rlki_turn_contend(rlk_lock *lock);

/* The lock was acquired, by the cause that it has. */
RLKI_API void rlki_turn_acquired(rlk_lock *lock);

/* The lock is about to be released, and is held. */
RLKI_API void rlki_turn_released(rlk_lock *lock);

/* Returns milliseconds for which an acquire that begins leaves the lock to others first. */
RLKI_API uint32_t rlki_turn_pause(rlk_lock *lock);

/* Returns milliseconds after which a waiter reacts to a change; 0: it has waited for long. */
RLKI_API uint32_t rlki_turn_patience(rlk_lock *lock);

/* An attempt came too late: another waiter had been faster. */
RLKI_API void rlki_turn_crowd(rlk_lock *lock);

#endif

/* ==== src/lock/turn.c ====
 *
 * Turns: who acquires a lock again and again leaves it to others in between. The client remembers,
 * for some keys, that others want the lock too:
 *
 *                  somebody else was seen
 *      ALONE --------------------------------> CONTENDED, a turn begins
 *        |  a long lease is released,        ^
 *        |  TURN_LONE after the last turn    |
 *        +-----------------------------------+ for one turn, which is over
 *        ^                                      |     ^
 *        |                                      |     | acquired after a wait, or after the pause:
 *        |                                      |     | the next turn
 *        +--------------------------------------+-----+
 *          nobody was, in TURN_ALONE consecutive turns
 *
 * In a turn the lock is acquired again at once: a hand-off costs several round trips, and so a
 * turn lasts some of them. After it an acquire begins with a pause, in which others have the lock.
 * The pause counts from the release, so who comes later than that does not wait.
 * Then it waits like them. Where several wait, it hurries only when most of its last waiting time
 * has passed: those that wait for longer are faster, and who has to be fast are few. That several
 * wait shows when an attempt that a notification caused comes too late. Who waits alone hurries.
 *
 * Who is faster at each release sees nobody, while others wait. So with long leases one pause in
 * TURN_LONE lets them in. Short ones end often enough for others to be faster once.
 *
 * What is remembered is a hint: a wrong one costs some milliseconds. A key whose place another key
 * takes is ALONE again.
 */

#define TURN_MS          48 /* of a turn, and */
#define TURN_ATTEMPTS    16 /* ... this number of times what an attempt takes */
#define TURN_PAUSE_MIN   4  /* of the pause, and of a waiter that need not hurry, and */
#define TURN_PAUSE_MAX   16
#define TURN_REACTION    4    /* attempts: one for the release, and others' way to the lock */
#define TURN_WAIT_MAX    1500 /* of the waiting time that counts */
#define TURN_ATTEMPT_MAX 1000 /* ... and of an attempt's */
#define TURN_ALONE       8
#define TURN_LEASE       100 /* ms of a long lease */
#define TURN_LONE        500 /* ms in which nobody else was seen */
#define TURN_CROWD       16  /* turns for which one attempt that came too late counts */
#define TURN_PART        16  /* attempt_part counts in parts of a millisecond, */
#define TURN_SHARE       8   /* and takes so large a share of what is new */

static rlk_turn *turn_of(const rlk_lock *lock)
{
    return &lock->client->turns[lock->key_hash % RLK_TURNS];
}

bool rlki_turn_contended(const rlk_lock *lock)
{
    const rlk_turn *turn = turn_of(lock);

    return turn->waited_ms > 0 && turn->key_hash == lock->key_hash >> 16;
}

static void turn_begin(rlk_lock *lock, int64_t waited_ms, int64_t attempt_ms)
{
    rlk_turn *turn = turn_of(lock);

    turn->key_hash = (uint16_t)(lock->key_hash >> 16);
    turn->began_ms = (uint32_t)lock->client->clock_ms;
    if (turn->crowd > 0)
        turn->crowd--;
    turn->waited_ms = (uint16_t)(waited_ms < 1               ? 1
                                 : waited_ms > TURN_WAIT_MAX ? TURN_WAIT_MAX
                                                             : waited_ms);
    if (attempt_ms > TURN_ATTEMPT_MAX)
        attempt_ms = TURN_ATTEMPT_MAX;
    turn->attempt_part = (uint16_t)(turn->attempt_part - turn->attempt_part / TURN_SHARE +
                                    (uint32_t)attempt_ms * TURN_PART / TURN_SHARE);
}

static uint32_t turn_attempt_ms(const rlk_turn *turn)
{
    return turn->attempt_part / TURN_PART;
}

void rlki_turn_contend(rlk_lock *lock)
{
    if (!rlki_turn_contended(lock)) {
        turn_of(lock)->attempt_part = 0; /* another key's */
        turn_of(lock)->crowd = 0;
        turn_begin(lock, 0, 0);
    }
    turn_of(lock)->alone = 0;
}

void rlki_turn_acquired(rlk_lock *lock)
{
    rlk_turn *turn = turn_of(lock);
    int64_t now_ms = lock->client->clock_ms;
    int64_t waited_ms;
    bool contended = rlki_turn_contended(lock);

    if ((lock->flags & RLKI_LOCK_TRY) != 0 || lock->cause == RLK_CAUSE_LOCAL)
        return;
    if ((lock->flags & RLKI_LOCK_HOLDER) != 0)
        rlki_turn_contend(lock);
    else if (!contended)
        return;
    if (contended && lock->cause == RLK_CAUSE_START)
        return; /* in its turn, or after a pause that was over */
    waited_ms = now_ms - lock->as.wait.began_ms;
    turn_begin(lock, waited_ms < TURN_MS ? TURN_MS : waited_ms,
               (uint32_t)now_ms - lock->as.wait.attempt_ms);
    if ((lock->flags & RLKI_LOCK_HOLDER) == 0 && ++turn->alone >= TURN_ALONE)
        turn->waited_ms = 0;
}

/* Returns how long a turn lasts. */
static uint32_t turn_length_ms(const rlk_turn *turn)
{
    return TURN_MS + TURN_ATTEMPTS * turn_attempt_ms(turn);
}

/* Returns how long ago the turn, contended or not, ended; < 0: it has not. */
static int32_t turn_over_ms(const rlk_lock *lock)
{
    const rlk_turn *turn = turn_of(lock);
    uint32_t past_ms = (uint32_t)lock->client->clock_ms - turn->began_ms;
    uint32_t length_ms = turn_length_ms(turn);

    if (past_ms < length_ms)
        return -1;
    past_ms -= length_ms;
    return past_ms < INT32_MAX ? (int32_t)past_ms : INT32_MAX;
}

/* Returns true if nobody else was seen for so long that others may well be too slow to be. */
static bool turn_is_suspect(const rlk_lock *lock)
{
    rlk_turn *turn = turn_of(lock);

    if (turn->waited_ms > 0 || lock->client->clock_ms - lock->as.hold.since_ms < TURN_LEASE)
        return false; /* another key is contended, or the lease was short */
    if (turn->key_hash != lock->key_hash >> 16) {
        turn->key_hash = (uint16_t)(lock->key_hash >> 16);
        turn->began_ms = (uint32_t)lock->as.hold.since_ms;
    }
    return (uint32_t)lock->client->clock_ms - turn->began_ms >= TURN_LONE;
}

void rlki_turn_released(rlk_lock *lock)
{
    rlk_turn *turn = turn_of(lock);

    if (!rlki_turn_contended(lock)) {
        if (!turn_is_suspect(lock))
            return;
        rlki_turn_contend(lock);
        turn->alone = TURN_ALONE - 1;
    } else if (turn_over_ms(lock) < 0) {
        return;
    }
    turn->began_ms = (uint32_t)lock->client->clock_ms - turn_length_ms(turn); /* over by now */
}

uint32_t rlki_turn_pause(rlk_lock *lock)
{
    int32_t over_ms = turn_over_ms(lock);
    int32_t left_ms = rlki_left(lock, lock->deadline_ms) / 2;
    int32_t pause_ms;

    if (!rlki_turn_contended(lock) || over_ms < 0)
        return 0;
    pause_ms = (int32_t)(rlki_client_jitter(lock->client, TURN_PAUSE_MIN, TURN_PAUSE_MAX) +
                         TURN_REACTION * turn_attempt_ms(turn_of(lock)));
    if (pause_ms <= over_ms)
        return 0; /* others have had their time */
    pause_ms -= over_ms;
    return (uint32_t)(pause_ms < left_ms ? pause_ms : left_ms);
}

uint32_t rlki_turn_patience(rlk_lock *lock)
{
    int64_t waited_ms = lock->client->clock_ms - lock->as.wait.began_ms;
    uint32_t most_ms = turn_of(lock)->waited_ms - 1u; /* none, before the first turn */
    uint32_t pause_ms;

    if (!rlki_turn_contended(lock) || turn_of(lock)->crowd == 0 || waited_ms >= (int64_t)most_ms)
        return 0;
    pause_ms = rlki_client_jitter(lock->client, TURN_PAUSE_MIN, TURN_PAUSE_MAX);
    most_ms -= (uint32_t)waited_ms;
    return pause_ms < most_ms ? pause_ms : most_ms;
}

void rlki_turn_crowd(rlk_lock *lock)
{
    if (rlki_turn_contended(lock))
        turn_of(lock)->crowd = TURN_CROWD;
}

/* ==== src/lock/wait_queue.h ====
 *
 * The client's index of keys: who holds one, and who waits for it in which order.
 */
#ifndef RLKI_LOCK_WAIT_QUEUE_H
#define RLKI_LOCK_WAIT_QUEUE_H

/* Position of a lock in the client's index. */
enum {
    RLKI_POSITION_NONE,
    RLKI_POSITION_HOLDER,
    RLKI_POSITION_FIRST, /* of those that wait for the key */
    RLKI_POSITION_BEHIND /* the first */
};

/* Returns the first lock of the bucket of a hash; queue_next leads to the others. */
RLKI_API rlk_lock *rlki_queue_bucket(const rlk_client *client, uint32_t key_hash);

/* Returns the client's lock that holds the key of this one now; NULL: none. */
RLKI_API const rlk_lock *rlki_queue_holder(const rlk_lock *lock);

/* Returns true if a lock of the client holds the key of this one, or waits for it and has seen a
 * holder. */
RLKI_API bool rlki_queue_is_held(const rlk_lock *lock);

/* Returns false if a lock of the client holds the key of this one, and has not had the server
 * notify of it there. */
RLKI_API bool rlki_queue_is_watched(const rlk_lock *lock);

/* Counts consecutive local hand-offs, if `lock` has the key next without a pause: at least what
 * `before` counts, and (`handed`) the one from that lock to this. The first lock counts for the
 * queue, so that it makes no difference which lock's notification wakes it. */
RLKI_API void rlki_queue_count(rlk_lock *lock, const rlk_lock *before, bool handed);

/* Counts anew: from those of this client that hold the key, if any. */
RLKI_API void rlki_queue_recount(rlk_lock *lock);

/* Waits in the queue of the key; true if the lock is the first. */
RLKI_API bool rlki_queue_wait(rlk_lock *lock);

/* Returns the lock that asks the server for this waiter: itself, or the first of its queue. Itself
 * too where the key of one of them has changed in the caller's memory. */
RLKI_API const rlk_lock *rlki_queue_asker(const rlk_lock *lock);

/* The lock is held from now on. Returns the next in the queue, which is the first now; NULL: none
 * became it. */
RLKI_API rlk_lock *rlki_queue_hold(rlk_lock *lock);

/* The lock neither waits nor is held. Returns as rlki_queue_hold. */
RLKI_API rlk_lock *rlki_queue_leave(rlk_lock *lock);

#endif

/* ==== src/lock/wait_queue.c ====
 *
 * The client's index has, by the hash of the key, the locks that are held, and of those that wait
 * for one key the first: it asks the server for all of them. The others queue behind it and cost
 * nothing.
 *
 *    bucket --> held --> first waiter --> held (another key) ...
 *                         | queue.last
 *             waiter <--> waiter          (a ring: behind the last comes the next to be first)
 *
 *                   waits: first of its key             acquired
 *         NONE ------------------------------> FIRST -----------------> HOLDER
 *          | ^                                 ^   |                      |  ^ acquired by one
 *          | | leaves: the next is first       |   +----------------+     |  | attempt only
 *          | +---------------------------------|--------------------+-----+  |
 *          | waits behind it                   | the first left              |
 *          +-------------------------------> BEHIND            NONE ---------+
 *
 * Two keys with one hash wake each other's locks, which costs an attempt.
 */

#include <string.h>

static rlk_lock **queue_head(const rlk_client *client, uint32_t key_hash)
{
    return &client->buckets[key_hash & client->buckets_mask];
}

rlk_lock *rlki_queue_bucket(const rlk_client *client, uint32_t key_hash)
{
    return *queue_head(client, key_hash);
}

/* True of two locks of one client for the same key. */
static bool queue_same_key(const rlk_lock *a, const rlk_lock *b)
{
    return a->key_hash == b->key_hash && a->key_len == b->key_len &&
           memcmp(a->key, b->key, a->key_len) == 0;
}

static void queue_put(rlk_lock *lock, unsigned position)
{
    rlk_lock **bucket = queue_head(lock->client, lock->key_hash);

    lock->position = (uint8_t)position;
    lock->queue_next = *bucket;
    *bucket = lock;
}

/* By a walk through the bucket, as short as those of queue_first. */
static void queue_take(rlk_lock *lock)
{
    rlk_lock **link = queue_head(lock->client, lock->key_hash);

    while (*link != lock)
        link = &(*link)->queue_next;
    *link = lock->queue_next;
    lock->position = RLKI_POSITION_NONE;
}

/* The first waiter for the key of a lock. */
static rlk_lock *queue_first(const rlk_lock *lock)
{
    rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    while (other != NULL &&
           (other->position != RLKI_POSITION_FIRST || !queue_same_key(lock, other)))
        other = other->queue_next;
    return other;
}

const rlk_lock *rlki_queue_asker(const rlk_lock *lock)
{
    const rlk_lock *first = lock->position == RLKI_POSITION_BEHIND ? queue_first(lock) : NULL;

    return first != NULL ? first : lock;
}

const rlk_lock *rlki_queue_holder(const rlk_lock *lock)
{
    const rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    /* one that has not noticed yet that its lease is over is held no longer */
    while (other != NULL &&
           (other->position != RLKI_POSITION_HOLDER || !queue_same_key(lock, other) ||
            lock->client->now_ms >= other->as.hold.valid_ms))
        other = other->queue_next;
    return other;
}

bool rlki_queue_is_held(const rlk_lock *lock)
{
    const rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    for (; other != NULL; other = other->queue_next)
        if (queue_same_key(lock, other) &&
            (other->position == RLKI_POSITION_HOLDER || (other->flags & RLKI_LOCK_HOLDER) != 0))
            return true;
    return false;
}

bool rlki_queue_is_watched(const rlk_lock *lock)
{
    const rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    for (; other != NULL; other = other->queue_next)
        if (other->position == RLKI_POSITION_HOLDER && queue_same_key(lock, other) &&
            other->as.hold.watch_ms != RLKI_NEVER)
            return false;
    return true;
}

void rlki_queue_count(rlk_lock *lock, const rlk_lock *before, bool handed)
{
    unsigned handoffs = before->handoffs;

    if (handed && handoffs <= lock->client->max_handoffs) /* one too many is as good as more */
        handoffs++;
    if (lock->handoffs < handoffs)
        lock->handoffs = (uint8_t)handoffs;
}

void rlki_queue_recount(rlk_lock *lock)
{
    const rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    lock->handoffs = 0;
    for (; other != NULL; other = other->queue_next)
        if (other->position == RLKI_POSITION_HOLDER && queue_same_key(lock, other))
            rlki_queue_count(lock, other, true);
}

/* Those behind the first are a ring: the next of the last one is the one that came first. */
static void queue_append(rlk_lock *first, rlk_lock *lock)
{
    rlk_lock *last = first->queue.last != NULL ? first->queue.last : lock;

    lock->queue.prev = last;
    lock->queue_next = last != lock ? last->queue_next : lock;
    last->queue_next = lock;
    lock->queue_next->queue.prev = lock;
    first->queue.last = lock;
}

bool rlki_queue_wait(rlk_lock *lock)
{
    rlk_lock *first = queue_first(lock);

    if (first == NULL) {
        rlki_queue_recount(lock);
        lock->queue.last = NULL;
        queue_put(lock, RLKI_POSITION_FIRST);
        return true;
    }
    lock->position = RLKI_POSITION_BEHIND;
    queue_append(first, lock);
    return false;
}

/* The first waiter of a queue of which the lock is the last, or NULL. Not by the key: that may have
 * changed. */
static rlk_lock *queue_first_of(const rlk_lock *lock)
{
    rlk_lock *other = rlki_queue_bucket(lock->client, lock->key_hash);

    while (other != NULL && (other->position != RLKI_POSITION_FIRST || other->queue.last != lock))
        other = other->queue_next;
    return other;
}

static void queue_leave_behind(rlk_lock *lock)
{
    rlk_lock *first = queue_first_of(lock);

    if (first != NULL)
        first->queue.last = lock->queue_next != lock ? lock->queue.prev : NULL;
    lock->queue.prev->queue_next = lock->queue_next;
    lock->queue_next->queue.prev = lock->queue.prev;
    lock->position = RLKI_POSITION_NONE;
}

/* The first leaves, and the next one is the first. */
static rlk_lock *queue_leave_first(rlk_lock *lock)
{
    rlk_lock *last = lock->queue.last;
    rlk_lock *next;

    queue_take(lock);
    if (last == NULL)
        return NULL;
    next = last->queue_next;
    last->queue_next = next->queue_next;
    last->queue_next->queue.prev = last;
    next->queue.last = next != last ? last : NULL;
    queue_put(next, RLKI_POSITION_FIRST);
    return next;
}

rlk_lock *rlki_queue_leave(rlk_lock *lock)
{
    switch (lock->position) {
    case RLKI_POSITION_HOLDER:
        queue_take(lock);
        break;
    case RLKI_POSITION_FIRST:
        return queue_leave_first(lock);
    case RLKI_POSITION_BEHIND:
        queue_leave_behind(lock);
        break;
    default:
        break;
    }
    return NULL;
}

rlk_lock *rlki_queue_hold(rlk_lock *lock)
{
    rlk_lock *next = rlki_queue_leave(lock);

    queue_put(lock, RLKI_POSITION_HOLDER);
    return next;
}

/* ==== src/lock/recheck.c ====
 *
 * Rechecks. A node where somebody holds the key is busy until its time has come:
 *
 *            SET, probe: somebody's; or it was notified
 *     free ---------------------------------------------> busy, until a time, for a cause
 *      ^                                                   |  ^
 *      |   one node: the time has come (an attempt)        |  | probe: still there
 *      +---------------------------------------------------+  |
 *      |   several: PTTL says that it is gone              |  |
 *      +--------------------------- probed <---------------+--+ the time has come
 *
 * The time is when the holder's TTL ends, if nothing is notified before. Where the server notifies
 * of changes (CLIENT TRACKING), PTTL is also what makes it do so. What it notifies before PTTL was
 * answered happened before PTTL saw the key, and is ignored.
 *
 * One node: a push, or that time, makes it free, and the next attempt begins. Several: the node is
 * asked by a PTTL first, since an attempt costs others theirs.
 */

/* Up to RECHECK_SPURIOUS_MAX consecutive attempts that a push caused without success are let
 * through at once. Each further one waits for a random time below RECHECK_SPURIOUS_MS milliseconds,
 * so that a key that changes all the time makes no storm. */
#define RECHECK_SPURIOUS_MAX     8
#define RECHECK_SPURIOUS_MS      16
#define RECHECK_SPURIOUS_TURN_MS 2 /* where it is known that others have their turns */

void rlki_recheck_phase(rlk_lock *lock, unsigned phase)
{
#if !defined(RLK_NO_TRACE) && !defined(RLK_NO_TEXT)
    static const char *const names[] = {"", "QUEUE", "WATCH", "ATTEMPT", "PAUSE", "SETTLE"};
#endif

    RLKI_TRACE(lock, RLK_TRACE_PHASE, -1, RLKI_WORD(names[phase]), lock->cause);
    lock->phase = (uint8_t)phase;
    if (RLK_MAX_NODES > 1)
        lock->as.wait.gate_ms = RLKI_NEVER; /* it ends with its attempt */
}

void rlki_recheck_begin(rlk_lock *lock)
{
    rlki_recheck_phase(lock, RLKI_PHASE_WATCH);
    lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
}

static bool recheck_is_busy(const rlk_lock *lock, unsigned node)
{
    return (lock->as.wait.busy & rlki_bit(node)) != 0;
}

extern inline bool rlki_recheck_is_observed(const rlk_lock *lock);

unsigned rlki_recheck_question(const rlk_lock *lock)
{
    return rlki_recheck_is_observed(lock) ? RLKI_QUERY : RLKI_PROBE;
}

void rlki_recheck_later(rlk_lock *lock, rlk_node_lock *node, uint32_t pause_ms, rlk_cause cause)
{
    lock->as.wait.busy |= rlki_bit(rlki_index(node));
    lock->as.wait.recheck_at_ms[rlki_index(node)] = rlki_from_now(lock, pause_ms);
    lock->as.wait.recheck_cause[rlki_index(node)] = (uint8_t)cause;
    lock->as.wait.lasting &= (rlk_node_mask)~rlki_bit(rlki_index(node));
}

/* Nothing but time makes the lock ask again, before the key there expires at expiry_ms. */
static void recheck_by_time(rlk_lock *lock, rlk_node_lock *node, uint32_t pause_ms,
                            int32_t expiry_ms)
{
    unsigned i = rlki_index(node);

    rlki_recheck_later(lock, node, pause_ms, RLK_CAUSE_RECHECK);
    if (rlki_earlier(expiry_ms, 2 * lock->node_timeout_ms) > lock->as.wait.recheck_at_ms[i])
        lock->as.wait.lasting |= rlki_bit(i);
}

/* Returns true if the recheck of a node comes later than in pause_ms. */
static bool recheck_is_after(const rlk_lock *lock, unsigned node, uint32_t pause_ms)
{
    return lock->as.wait.recheck_at_ms[node] > rlki_from_now(lock, pause_ms);
}

/* Returns true after max_handoffs consecutive local hand-offs: the next waits for others' turn. */
static bool recheck_has_to_yield(const rlk_lock *lock)
{
    return lock->handoffs > lock->client->max_handoffs;
}

/* A lock of this client has let go of the key, perhaps: rechecks now, or when others had a turn. */
static void recheck_local(rlk_lock *lock, rlk_node_lock *node)
{
    if (recheck_has_to_yield(lock))
        rlki_recheck_later(lock, node, rlki_lock_pause(lock), RLK_CAUSE_YIELD);
    else
        rlki_recheck_later(lock, node, 0, RLK_CAUSE_LOCAL);
}

/* A random time, for the case that a notification is lost. */
static uint32_t recheck_slow(const rlk_lock *lock)
{
    return rlki_client_jitter(lock->client, lock->recheck_max_ms / 5, lock->recheck_max_ms);
}

/* ---- Restraint ---- */

/* Returns the spurious wake-ups that the time since the last attempt makes up for. */
static unsigned recheck_earned(const rlk_lock *lock)
{
    uint32_t since_ms = (uint32_t)lock->client->clock_ms - lock->as.wait.attempt_ms;

    if (since_ms >= RECHECK_SPURIOUS_MAX * RECHECK_SPURIOUS_MS)
        return RECHECK_SPURIOUS_MAX;
    return since_ms / RECHECK_SPURIOUS_MS;
}

/* What woke the lock last is the server's word. */
static bool recheck_was_notified(const rlk_lock *lock)
{
    return lock->cause == RLK_CAUSE_PUSH || lock->cause == RLK_CAUSE_FLUSH;
}

/* Returns true after too many spurious wake-ups: the next attempt has to wait. An attempt that is
 * answered on the only node, and not over yet, counts. */
static bool recheck_is_restrained(const rlk_lock *lock)
{
    bool answered = rlki_nodes(lock->client) == 1 && lock->phase == RLKI_PHASE_ATTEMPT &&
                    lock->as.wait.busy != 0 && recheck_was_notified(lock);

    return lock->as.wait.spurious + (unsigned)answered >= RECHECK_SPURIOUS_MAX &&
           recheck_earned(lock) == 0;
}

/* Returns how long an attempt that `cause` asks for must wait. */
static uint32_t recheck_restraint(rlk_lock *lock, rlk_cause cause)
{
    uint32_t pause_ms = cause == RLK_CAUSE_LOCAL ? 0 : rlki_turn_patience(lock);

    if (pause_ms > 0 || !recheck_is_restrained(lock))
        return pause_ms;
    return rlki_client_jitter(lock->client, 1,
                              rlki_turn_contended(lock) ? RECHECK_SPURIOUS_TURN_MS
                                                        : RECHECK_SPURIOUS_MS - 1);
}

void rlki_recheck_attempt(rlk_lock *lock)
{
    unsigned earned = recheck_earned(lock);

    lock->as.wait.spurious =
        (uint8_t)(lock->as.wait.spurious > earned ? lock->as.wait.spurious - earned : 0);
    lock->as.wait.attempt_ms = (uint32_t)lock->client->clock_ms;
}

void rlki_recheck_failed(rlk_lock *lock)
{
    if (!recheck_was_notified(lock))
        return;
    lock->as.wait.spurious =
        (uint8_t)(lock->as.wait.spurious + (lock->as.wait.spurious < RECHECK_SPURIOUS_MAX));
    rlki_turn_crowd(lock);
}

/* ---- What nodes answer ---- */

/* Returns true if the key there can not have expired before the answer to a recheck by time. A
 * program that runs late sends the recheck late, and reads both answers late: the one to PTTL and
 * this one. The push of an expiry may come behind the answer, which is no broken word. */
static bool recheck_unexpired(const rlk_lock *lock, unsigned node)
{
    return (lock->as.wait.lasting & rlki_bit(node)) != 0 &&
           rlki_earlier(lock->client->now_ms, lock->node_timeout_ms) <
               lock->as.wait.recheck_at_ms[node];
}

/*
 * The server has broken its word if the node was asked by time only, that is: this stream read
 * the key under tracking; its TTL, if any, is longer than the time until now, so it did not
 * expire (recheck_unexpired); since then nothing has notified of it: no push, no lock of this
 * client that let go of it, no new stream (rlki_recheck_notified). A push comes before the reply
 * that shows the change, and an eviction from the server's table of keys is notified too. What is
 * left are clocks of servers that jump: so once is an accident. Where a lock of this client has the
 * key, that one has read it, once it is watched (held.c). A connection that breaks its word counts
 * as one without tracking until the next stream, which costs commands and nothing else (fault 107).
 */
void rlki_recheck_missed(rlk_lock *lock, const rlk_node_lock *node)
{
    if (lock->as.wait.recheck_cause[rlki_index(node)] == RLK_CAUSE_RECHECK &&
        recheck_unexpired(lock, rlki_index(node)) && rlki_queue_is_watched(lock) &&
        rlk_conn_missed(rlki_route(lock, rlki_index(node)))) {
        RLKI_COUNT(lock->client, silent);
    }
    lock->as.wait.recheck_cause[rlki_index(node)] = RLK_CAUSE_RETRY; /* a change counts once */
}

/* Nothing is under way there that a recheck waits for. */
static bool recheck_is_idle(const rlk_node_lock *node)
{
    return node->request.tag == RLKI_NO_COMMAND;
}

/* A change was notified there, and not rechecked yet. */
static bool recheck_is_changed(const rlk_lock *lock, const rlk_node_lock *node)
{
    return recheck_is_busy(lock, rlki_index(node)) && recheck_is_idle(node) &&
           lock->as.wait.recheck_cause[rlki_index(node)] == RLK_CAUSE_PUSH;
}

/* True if an attempt may find a quorum of nodes free. */
static bool recheck_may_be_free(const rlk_lock *lock)
{
    unsigned count = 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_node_lock *node = &lock->nodes[i];

        count += recheck_is_changed(lock, node) ||
                 (!recheck_is_busy(lock, i) && rlki_node_lock_is_clean(node) &&
                  rlki_conn_is_ready(rlki_route(lock, i)));
    }
    return count >= rlki_needed(lock->client);
}

/* The key is gone since the node was last asked, or between SET and PTTL. */
static void recheck_gone(rlk_lock *lock, rlk_node_lock *node)
{
    bool one = rlki_nodes(lock->client) == 1;
    uint32_t pause_ms = one ? recheck_restraint(lock, RLK_CAUSE_PUSH) : 0;

    /* it changes hands while we wait */
    if ((lock->flags & RLKI_LOCK_HOLDER) != 0 && recheck_may_be_free(lock))
        rlki_turn_contend(lock);
    if (one)
        lock->cause = RLK_CAUSE_PUSH;
    if (lock->phase != RLKI_PHASE_ATTEMPT) /* a probe's answer */
        rlki_recheck_missed(lock, node);
    if (pause_ms > 0)
        rlki_recheck_later(lock, node, pause_ms, RLK_CAUSE_PUSH);
}

void rlki_recheck_answered(rlk_lock *lock, rlk_node_lock *node, int32_t ttl_ms)
{
    rlk_node_mask bit = rlki_bit(rlki_index(node));
    uint32_t slow_ms;

    lock->as.wait.busy &= (rlk_node_mask)~bit;
    if ((lock->as.wait.overtaken & bit) != 0) {
        lock->as.wait.overtaken &= (rlk_node_mask)~bit;
        recheck_local(lock, node);
        return;
    }
    if (ttl_ms == RLKI_TTL_ABSENT) {
        recheck_gone(lock, node);
        return;
    }
    if (rlki_nodes(lock->client) > 1 && lock->phase != RLKI_PHASE_ATTEMPT) /* a probe's answer */
        rlki_recheck_failed(lock);
    if (ttl_ms == RLKI_TTL_UNKNOWN || !rlk_conn_is_tracking(rlki_route(lock, rlki_index(node)))) {
        rlki_recheck_later(lock, node, rlki_lock_pause(lock), RLK_CAUSE_RETRY);
        return;
    }
    slow_ms = recheck_slow(lock);
    if (ttl_ms >= 0 && ttl_ms < (int32_t)slow_ms)
        rlki_recheck_later(lock, node,
                           (uint32_t)ttl_ms + 1 +
                               rlki_client_jitter(lock->client, 0, lock->retry_min_ms),
                           RLK_CAUSE_EXPIRY);
    else
        recheck_by_time(lock, node, slow_ms,
                        ttl_ms < 0 ? RLKI_NEVER : rlki_from_now(lock, (uint32_t)ttl_ms));
}

void rlki_recheck_undone(rlk_lock *lock, rlk_node_lock *node, bool deleted)
{
    rlk_node_mask bit = rlki_bit(rlki_index(node));

    if (deleted)
        lock->as.wait.busy &=
            (rlk_node_mask)~bit; /* the first of the queue before took it for another's */
    else if ((lock->as.wait.busy & bit) != 0) /* the undo took the place of its time */
        recheck_local(lock, node);
    else if (rlki_nodes(lock->client) > 1 && (lock->flags & RLKI_LOCK_HOLDER) != 0 &&
             lock->phase != RLKI_PHASE_SETTLE)
        rlki_recheck_later(lock, node, 0, RLK_CAUSE_RETRY);
}

/* ---- The queue ---- */

/* The lock is the first of the queue now, and `before` was: it sees what that one saw, in the time
 * of this call too; or that one has the key itself. */
static void recheck_promoted(rlk_lock *lock, const rlk_lock *before)
{
    bool held = before->state == RLKI_HELD;
    /* reckoned with the time-out of the lock before */
    rlk_node_mask lasting =
        lock->node_timeout_ms <= before->node_timeout_ms ? before->as.wait.lasting : 0;
    unsigned i;

    rlki_recheck_begin(lock);
    lock->as.wait.lasting = 0;
    if (held)
        lock->flags |= RLKI_LOCK_HOLDER;
    lock->flags |= (uint8_t)(before->flags & RLKI_LOCK_HOLDER);
    lock->cause = RLK_CAUSE_LOCAL;
    lock->handoffs = 0;
    rlki_queue_count(lock, before, held);
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        const rlk_node_lock *other = &before->nodes[i];
        bool known = recheck_is_busy(before, i) && other->request.state == RLK_REQUEST_IDLE;

        if (held && other->vote == RLKI_VOTE_YES) { /* it will notify of its end */
            recheck_by_time(lock, node, recheck_slow(lock), other->expiry_ms);
        } else if (known && recheck_is_after(before, i, lock->recheck_max_ms)) {
            rlki_recheck_later(lock, node, recheck_slow(lock), RLK_CAUSE_RECHECK);
            lock->as.wait.lasting |= (rlk_node_mask)(lasting & rlki_bit(i));
        } else if (known) {
            lock->as.wait.lasting |= (rlk_node_mask)(lasting & rlki_bit(i));
            lock->as.wait.busy |= rlki_bit(i);
            lock->as.wait.recheck_at_ms[i] = before->as.wait.recheck_at_ms[i];
            lock->as.wait.recheck_cause[i] = before->as.wait.recheck_cause[i];
        } else if (recheck_has_to_yield(lock)) {
            rlki_recheck_later(lock, node, rlki_lock_pause(lock), RLK_CAUSE_YIELD);
        }
    }
    rlki_ready(lock);
}

void rlki_recheck_leave(rlk_lock *lock)
{
    rlk_lock *next = rlki_queue_leave(lock);

    if (next != NULL)
        recheck_promoted(next, lock);
}

void rlki_recheck_hold(rlk_lock *lock)
{
    rlk_lock *next = rlki_queue_hold(lock);

    if (next != NULL)
        recheck_promoted(next, lock);
}

/* ---- Notifications ---- */

unsigned rlki_recheck_gate(const rlk_lock *lock)
{
    unsigned i = 0;

    while (i < rlki_nodes(lock->client) &&
           (!rlki_conn_is_ready(rlki_route(lock, i)) ||
            !(recheck_is_busy(lock, i) || rlki_node_lock_is_clean(&lock->nodes[i]))))
        i++;
    return i;
}

/* Another node than the gate, and that is held: the change there can wait. Without a gate no bit is
 * set. */
static bool recheck_waits_for_gate(const rlk_lock *lock, unsigned node)
{
    unsigned gate = rlki_recheck_gate(lock);

    return gate != node && recheck_is_busy(lock, gate);
}

/* The node is asked at the moment: PTTL will see what happened before. What a busy node is asked
 * before its time may be taken back, so its time is set all the same. */
static bool recheck_is_asked(const rlk_node_lock *node, bool busy)
{
    switch (node->request.tag) {
    case RLKI_QUERY:
        return !busy;
    case RLKI_SET:
    case RLKI_PROBE:
    case RLKI_CONFIRM:
    case RLKI_RAISE:
        return true;
    default:
        return false;
    }
}

void rlki_recheck_notified(rlk_lock *lock, unsigned index, rlk_cause cause)
{
    rlk_node_lock *node = &lock->nodes[index];
    uint32_t pause_ms = recheck_restraint(lock, cause);
    bool one = rlki_nodes(lock->client) == 1;
    bool busy = recheck_is_busy(lock, index);

    if (lock->as.wait.recheck_cause[index] == RLK_CAUSE_RECHECK)
        lock->as.wait.recheck_cause[index] = (uint8_t)cause; /* it is not by time only now */
    /* behind the nil: PTTL will not find the key, and it is from us that this one takes it over */
    if (cause == RLK_CAUSE_LOCAL && lock->phase == RLKI_PHASE_ATTEMPT &&
        rlki_is_question(node->request.tag))
        lock->as.wait.overtaken |= rlki_bit(index);
    /* between GET and PTTL: that one sees the change, and the token is the one before */
    if (node->request.tag == RLKI_QUERY)
        lock->as.wait.read &= (rlk_node_mask)~rlki_bit(index);
    if (recheck_is_asked(node, busy) || (one && lock->phase == RLKI_PHASE_PAUSE))
        return;
    if (!busy && node->vote != RLKI_VOTE_YES && (one || cause == RLK_CAUSE_RECONNECT))
        return; /* not known to be held: an attempt is due anyway */
    if (busy && cause == RLK_CAUSE_LOCAL && lock->as.wait.recheck_cause[index] == RLK_CAUSE_YIELD)
        return; /* others have their turn until then, whichever lock of ours lets go meanwhile */
    if (pause_ms > 0 && !one && cause == RLK_CAUSE_PUSH && recheck_waits_for_gate(lock, index))
        pause_ms = lock->retry_min_ms;
    if (cause == RLK_CAUSE_LOCAL && recheck_has_to_yield(lock))
        recheck_local(lock, node);
    else if (pause_ms == 0 || !busy || recheck_is_after(lock, index, pause_ms))
        rlki_recheck_later(lock, node, pause_ms, cause);
}

/* ---- The time has come ---- */

/* Rechecks a node: asks for the TTL, or makes it free for an attempt. Who is restrained tries: its
 * attempt comes at a random time, and so meets the gap between two leases of a client whose way to
 * the server is shorter. What comes of the next notification is then tried at once. */
static void recheck_node(rlk_lock *lock, rlk_node_lock *node)
{
    bool tries = rlki_nodes(lock->client) == 1;

    lock->cause = lock->as.wait.recheck_cause[rlki_index(node)];
    if (lock->cause == RLK_CAUSE_YIELD)
        rlki_queue_recount(lock);
    if (lock->cause == RLK_CAUSE_PUSH && lock->as.wait.spurious == RECHECK_SPURIOUS_MAX) {
        lock->as.wait.spurious -= 2;
        tries = tries || (rlki_index(node) == rlki_recheck_gate(lock) && recheck_may_be_free(lock));
    }
    if (tries) {
        lock->as.wait.busy &= (rlk_node_mask)~rlki_bit(rlki_index(node));
        return;
    }
    rlki_recheck_attempt(lock);
    RLKI_COUNT(lock->client, probes);
    lock->as.wait.overtaken &= (rlk_node_mask)~rlki_bit(rlki_index(node));
    rlki_node_lock_send(node, rlki_recheck_question(lock));
}

/* The node is busy, and nothing but its time is waited for. */
static bool recheck_waits(const rlk_lock *lock, unsigned node)
{
    return recheck_is_busy(lock, node) && recheck_is_idle(&lock->nodes[node]) &&
           rlki_conn_is_ready(rlki_route(lock, node));
}

/* Rechecks a node if its time has come. */
static void recheck_when_due(rlk_lock *lock, rlk_node_lock *node)
{
    if (!recheck_is_after(lock, rlki_index(node), 0))
        recheck_node(lock, node);
}

int32_t rlki_recheck_next(const rlk_lock *lock)
{
    int32_t next_ms = RLKI_NEVER;
    unsigned i;

    for (i = 0; lock->phase == RLKI_PHASE_WATCH && i < rlki_nodes(lock->client); i++) {
        int32_t at_ms = lock->as.wait.recheck_at_ms[i];

        if (recheck_waits(lock, i) && at_ms < next_ms)
            next_ms = at_ms;
    }
    return next_ms;
}

rlki_recheck_count rlki_recheck_nodes(rlk_lock *lock)
{
    rlki_recheck_count count = {0, 0, 0};
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (!rlki_conn_is_ready(rlki_route(lock, i)))
            continue;
        if (recheck_waits(lock, i))
            recheck_when_due(lock, node);
        if (recheck_is_busy(lock, i))
            count.changed += recheck_is_changed(lock, node);
        else if (rlki_node_lock_is_clean(node))
            count.ready++;
        else if ((node->flags & RLKI_NODE_RETRY) == 0) /* refused: nobody knows for how long */
            count.undoing++;
    }
    return count;
}

/* ==== src/lock/notify.c ====
 *
 * A notification marks what is known, in the order in which the server sent it, and puts the lock
 * on the client's ready list. It steps nobody.
 */

/* Returns true if a cause concerns a lock that is held. After a reconnect that is a lock that the
 * server must notify of its loss, or that renews in the background. Another lock is its caller's
 * concern, unless the server may be another. */
static bool notify_concerns(const rlk_lock *lock, unsigned node, rlk_cause cause)
{
    return cause != RLK_CAUSE_RECONNECT || rlk_conn_is_tracking(rlki_route(lock, node)) ||
           rlki_condemn_was_replaced(rlki_route(lock, node)) || rlki_lock_renews(lock);
}

static void notify_lock(rlk_lock *lock, unsigned node, rlk_cause cause)
{
    RLKI_TRACE(lock, RLK_TRACE_PUSH, node, rlk_cause_name(cause), cause);
    if (lock->position == RLKI_POSITION_FIRST)
        rlki_recheck_notified(lock, node, cause);
    else if (notify_concerns(lock, node, cause))
        lock->as.hold.dirty |= rlki_bit(node);
    rlki_ready(lock);
}

void rlki_notify(rlk_client *client, unsigned node, uint32_t key_hash, rlk_cause cause,
                 const rlk_lock *own)
{
    rlk_lock *lock = rlki_queue_bucket(client, key_hash);

    for (; lock != NULL; lock = lock->queue_next) {
        bool first = lock->position == RLKI_POSITION_FIRST;

        if (lock->key_hash != key_hash || lock == own || (own != NULL && !first))
            continue;
        /* by the first node that answers: meanwhile `own` may wait anew, and count for itself */
        if (own != NULL)
            rlki_queue_count(lock, own, true);
        /* what a closed lock deletes is answered to nobody: it may be behind what this one asks */
        if (own != NULL && own->state == RLKI_CLOSED)
            lock->as.wait.overtaken |= rlki_bit(node);
        notify_lock(lock, node, cause);
    }
}

void rlki_notify_all(rlk_client *client, unsigned node, rlk_cause cause)
{
    rlk_lock *lock;

    for (lock = client->locks; lock != NULL; lock = lock->next)
        if (lock->position == RLKI_POSITION_FIRST || lock->position == RLKI_POSITION_HOLDER)
            notify_lock(lock, node, cause);
}

void rlki_notify_forget(rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (lock->nodes[i].request.tag != RLKI_DEL)
            continue;
        (void)rlki_node_lock_abandon(&lock->nodes[i]);
        rlki_notify(lock->client, i, lock->key_hash, RLK_CAUSE_LOCAL, NULL);
    }
}

/* ==== src/lock/tally.h ====
 *
 * Votes of all nodes, counted. One node and five are the same code.
 */
#ifndef RLKI_LOCK_TALLY_H
#define RLKI_LOCK_TALLY_H

/* Nodes. The first fields are those of the votes, in their order. */
typedef struct rlki_tally {
    uint8_t pending; /* RLKI_VOTE_NONE */
    uint8_t yes;
    uint8_t no; /* RLKI_VOTE_NO */
    uint8_t no_after;
    uint8_t error; /* and those that have no part */
    uint8_t skipped;
    uint8_t unclean; /* not clean, or in doubt */
    uint8_t doubt;
} rlki_tally;

/* Counts the votes of a lock's nodes. */
RLKI_API RLKI_INTO_CALLERS rlki_tally rlki_tally_of(const rlk_lock *lock)
{
    rlki_tally tally = {0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t *votes = (uint8_t *)&tally;
    unsigned i;

    for (i = 0; i < (RLK_MAX_NODES == 1 ? 1u : lock->client->nodes); i++) {
        const rlk_node_lock *node = &lock->nodes[i];
        bool doubt = (node->flags & RLKI_NODE_IN_DOUBT) != 0;

        votes[node->vote]++;
        if (doubt || !rlki_node_lock_is_clean(node))
            tally.unclean++;
        tally.doubt = (uint8_t)(tally.doubt + doubt);
    }
    tally.error = (uint8_t)(tally.error + tally.skipped);
    return tally;
}

#endif

/* ==== src/lock/tally.c ==== */

extern inline rlki_tally rlki_tally_of(const rlk_lock *lock);

/* ==== src/lock/waiting.h ====
 *
 * Reports of a wait: that it goes on, and why.
 */
#ifndef RLKI_LOCK_WAITING_H
#define RLKI_LOCK_WAITING_H

/* What keeps a waiter from the lock. */
typedef struct rlki_reason {
    rlk_result result; /* RLK_BUSY: somebody has it; else an error */
    uint8_t node;      /* of the error */
    uint8_t command;
} rlki_reason;

/* Returns what keeps a lock that is trying from success. */
RLKI_API rlki_reason rlki_waiting_reason(const rlk_lock *lock);

/* Begins the reports of an acquire that makes more than one attempt. */
RLKI_API void rlki_waiting_begin(rlk_lock *lock);

/* Reports now, and again when the next report is due. */
RLKI_API void rlki_waiting_report(rlk_lock *lock);

/* The reason may be another one: if it is, the next report comes soon. */
RLKI_API void rlki_waiting_changed(rlk_lock *lock);

#endif

/* ==== src/lock/waiting.c ====
 *
 * An acquire that waits without end reports every report_ms that it goes on, and why; with a
 * deadline it does if report_ms is configured:
 *
 *            report_ms later             reported
 *     begin -----------------> due ---------------------+
 *              ^    ^                                    |
 *              |    | a tenth of report_ms later         |
 *              |  another reason (a connection comes or goes, an attempt ends otherwise)
 *              +-----------------------------------------+
 *
 * A report changes nothing: the acquire goes on in its phase. It ends with the trying.
 */

static uint32_t waiting_interval(const rlk_lock *lock)
{
    return lock->report_interval_ms > 0 ? lock->report_interval_ms : RLK_REPORT_MS;
}

/* Returns the first node whose connection is not ready, if the others are no quorum; else
 * RLK_MAX_NODES. */
static unsigned waiting_down(const rlk_lock *lock)
{
    unsigned down = RLK_MAX_NODES;
    unsigned ready = 0;
    unsigned i = rlki_nodes(lock->client);

    while (i-- > 0) {
        if (rlki_conn_is_ready(rlki_route(lock, i)))
            ready++;
        else
            down = i;
    }
    return ready >= rlki_needed(lock->client) ? RLK_MAX_NODES : down;
}

rlki_reason rlki_waiting_reason(const rlk_lock *lock)
{
    const rlk_lock *asker = rlki_queue_asker(lock);
    unsigned down = waiting_down(lock);
    rlki_reason reason;

    reason.node = 0;
    reason.command = RLKI_NO_COMMAND;
    if (down < RLK_MAX_NODES) {
        reason.result = rlk_conn_result(rlki_route(lock, down));
        reason.node = (uint8_t)down;
        return reason;
    }
    /* all can be asked, and none has answered (yet) */
    reason.result = lock->client->clock_ms - lock->as.wait.began_ms < (int64_t)lock->node_timeout_ms
                        ? RLK_PENDING
                        : RLK_E_RESPONSE_TIMEOUT;
    if (asker->error < 0) {
        reason.result = (rlk_result)asker->error;
        reason.node = asker->error_node;
        reason.command = asker->error_command;
    }
    if (asker->as.wait.busy != 0 || (asker->error >= 0 && (asker->flags & RLKI_LOCK_HOLDER) != 0))
        reason.result = RLK_BUSY;
    return reason;
}

void rlki_waiting_begin(rlk_lock *lock)
{
    lock->as.wait.reported = RLK_BUSY; /* which is no news of a wait that has just begun */
    if (lock->report_interval_ms > 0 || lock->deadline_ms == RLKI_NEVER)
        lock->as.wait.report_ms = rlki_from_now(lock, waiting_interval(lock));
}

void rlki_waiting_report(rlk_lock *lock)
{
    lock->as.wait.reported = (int16_t)rlki_waiting_reason(lock).result;
    lock->as.wait.report_ms = rlki_from_now(lock, waiting_interval(lock));
    rlki_event_raise(lock, RLKI_EVENT_WAITING);
}

void rlki_waiting_changed(rlk_lock *lock)
{
    int32_t soon_ms = rlki_from_now(lock, waiting_interval(lock) / 10);
    rlk_result why = rlki_waiting_reason(lock).result;

    if (why == lock->as.wait.reported || why == RLK_PENDING || why == RLK_E_NOT_CONNECTED)
        return; /* or about to be: the wait is for the first connection */
    lock->as.wait.reported = (int16_t)why;
    if (soon_ms < lock->as.wait.report_ms && lock->as.wait.report_ms != RLKI_NEVER)
        lock->as.wait.report_ms = soon_ms;
}

/* ==== src/lock/acquire.c ====
 *
 * Acquire. An attempt is one token tried on all nodes at once:
 *
 *   begin --> QUEUE  behind another lock of the client
 *        |     | first of the queue
 *        v     v
 *       WATCH -------------------------> ATTEMPT -------------------------> (held, RLK_OK)
 *         ^  a quorum of nodes is ready,   |   a quorum said OK, in time
 *         |  clean, and not known to be    |
 *         |  held by somebody              | quorum out of reach, or the attempt's time is over:
 *         |                                v undo on all nodes that were asked
 *         +------- PAUSE <-----------------+
 *         |          jitter                | held by somebody, at the gate or so that no quorum
 *         |                                | is left
 *         +--------------------------------+
 *         |                                | one attempt only, deadline, cancelled, final error
 *         | the same                       v
 *         +----------------------------> SETTLE --> (outcome, or RLK_UNKNOWN)
 *                                          fewer than a quorum of nodes is unresolved, or the
 *                                          settling time is over
 *
 * A SET that is answered nil is followed by PTTL, and so the node is busy until a time (recheck.c).
 * When a quorum has come free, the attempt begins at its gate, the first node that can be asked:
 * all waiters meet there, one of them has it, and that one asks the others. Where the gate alone is
 * held, or does not answer, all nodes are asked after a pause.
 *
 *   ATTEMPT:  gate asked ---OK, or no answer soon---> all asked, node_timeout_ms from then ---> ...
 *                 |
 *                 +-- nil --> gate probed, and nobody else is asked --> WATCH, with nothing to undo
 *
 * An acquire begins with a PAUSE where the last turn of the client is over (turn.c), or where the
 * lease before was lost at once.
 *
 * Each phase checks the deadline before anything else: an OK read at the deadline is too late, and
 * is undone. A node whose undo is not answered yet has no part in the next attempt.
 */

#include <string.h>

/* After consecutive failures the pause doubles up to 2^3, unless a holder explains them. */
#define ACQUIRE_BACKOFF_MAX 3

/* A lease that was lost so soon is followed by a pause: a key that somebody deletes each time makes
 * no storm. */
#define ACQUIRE_FALL_MS 250

/* Units of RLKI_CLOCK_UNIT that fit into 32 bits, and one more: 12 days. */
#define ACQUIRE_NEAR 64

static void acquire_pause_begin(rlk_lock *lock, uint32_t pause_ms)
{
    rlki_recheck_phase(lock, RLKI_PHASE_PAUSE);
    lock->phase_ms = rlki_from_now(lock, pause_ms);
}

/* How long the first attempt waits, after a lease that was lost at once or at the end of a turn. */
static uint32_t acquire_first_pause(rlk_lock *lock, bool fell)
{
    if (!fell) {
        lock->falls = 0;
        return rlki_turn_pause(lock);
    }
    if (lock->falls < ACQUIRE_BACKOFF_MAX)
        lock->falls++;
    return rlki_lock_pause(lock) << (lock->falls - 1);
}

/* It is the first of those that wait. */
static void acquire_first_begin(rlk_lock *lock, uint32_t pause_ms)
{
    if (pause_ms == 0) {
        rlki_recheck_begin(lock);
        return;
    }
    lock->cause = RLK_CAUSE_YIELD;
    acquire_pause_begin(lock, pause_ms);
}

/* ---- Outcome ---- */

/* Decides the outcome; what was sent is undone before it is reported. */
static void acquire_settle(rlk_lock *lock, rlk_result outcome)
{
    lock->outcome = (int16_t)outcome;
    rlki_recheck_phase(lock, RLKI_PHASE_SETTLE);
    rlki_node_locks_undo(lock, 0, 0);
    rlki_recheck_leave(lock);
    lock->as.wait.report_ms = RLKI_NEVER;
    rlki_event_drop(lock, RLKI_EVENT_WAITING);
    lock->deadline_ms = RLKI_NEVER;
    lock->phase_ms = rlki_from_now(lock, lock->client->settle_timeout_ms);
}

static void acquire_cancel(rlk_lock *lock)
{
    rlki_lock_leave_election(lock);
    if (lock->phase == RLKI_PHASE_SETTLE)
        lock->outcome = RLK_CANCELLED;
    else
        acquire_settle(lock, RLK_CANCELLED);
}

/* What the trying came to, when its time is over. */
static rlk_result acquire_outcome(rlk_lock *lock)
{
    /* behind another lock of the client it did not ask, and that one may know */
    if (lock->phase == RLKI_PHASE_QUEUE && rlki_queue_is_held(lock))
        lock->flags |= RLKI_LOCK_HOLDER;
    if ((lock->flags & RLKI_LOCK_HOLDER) != 0)
        return (lock->flags & RLKI_LOCK_TRY) != 0 ? RLK_BUSY : RLK_TIMED_OUT;
    return rlki_operation_unanswered(lock);
}

/* Returns true if too few nodes are left for any attempt to succeed; lock->error says why. */
static bool acquire_is_hopeless(rlk_lock *lock)
{
    unsigned hope = 0;
    unsigned down = 0; /* the last of them */
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_conn *conn = rlki_route(lock, i);
        /* What failed before this call began may work now, unless it is fatal. */
        bool failed = lock->nodes[i].vote == RLKI_VOTE_ERROR &&
                      ((lock->flags & RLKI_LOCK_TRY) != 0 || rlki_is_final(rlk_conn_result(conn)));

        if (!rlki_conn_is_over(conn) && !failed)
            hope++;
        else
            down = i;
    }
    if (hope >= rlki_needed(lock->client))
        return false;
    rlki_lock_note(lock, down, RLKI_NO_COMMAND, rlk_conn_result(rlki_route(lock, down)));
    return true;
}

static bool acquire_settle_hopeless(rlk_lock *lock)
{
    if (!acquire_is_hopeless(lock))
        return false;
    acquire_settle(lock, (rlk_result)lock->error);
    return true;
}

/* ---- An attempt ---- */

static void acquire_ask(rlk_lock *lock, rlk_node_lock *node)
{
    rlk_node_mask bit = rlki_bit(rlki_index(node));

    lock->as.wait.busy &= (rlk_node_mask)~bit;
    lock->as.wait.overtaken &= (rlk_node_mask)~bit;
    rlki_node_lock_ask(node, RLKI_SET);
}

/* The node, counted from 1, that an attempt asks before the others; 0: none. */
static unsigned acquire_gate(const rlk_lock *lock)
{
    return RLK_MAX_NODES == 1 ? 0 : lock->as.wait.gate;
}

/* A node of the attempt under way that has not been asked yet. */
static bool acquire_holds_back(const rlk_lock *lock, unsigned node)
{
    return lock->nodes[node].vote == RLKI_VOTE_NONE && node + 1 != acquire_gate(lock);
}

/* Ends the time in which the gate alone is asked: the others are asked, or have no part. */
static void acquire_open(rlk_lock *lock, bool ask)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (!acquire_holds_back(lock, i))
            continue;
        if (ask)
            acquire_ask(lock, &lock->nodes[i]);
        else
            lock->nodes[i].vote = RLKI_VOTE_SKIPPED;
    }
    if (ask) /* each has the time of an attempt, from when it was asked */
        lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
    lock->as.wait.gate = 0;
    lock->as.wait.gate_ms = RLKI_NEVER;
}

static bool acquire_can_use(const rlk_conn *conn)
{
    rlk_conn_state state = rlki_conn_state(conn);

    return state == RLK_CONN_READY || state == RLK_CONN_HANDSHAKE || state == RLK_CONN_CONNECTING;
}

static void acquire_attempt_begin(rlk_lock *lock, bool gated)
{
    unsigned i;

    rlki_recheck_attempt(lock);
    rlki_recheck_phase(lock, RLKI_PHASE_ATTEMPT);
    lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
    lock->as.wait.gate = 0;
    lock->as.wait.compared = 0;
    lock->flags &= (uint8_t)~RLKI_LOCK_JITTERED;
    RLKI_COUNT(lock->client, attempts);
    RLKI_COUNT(lock->client, causes[lock->cause]);
    lock->token++;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        rlk_conn *conn = rlki_route(lock, i);

        node->vote = RLKI_VOTE_SKIPPED;
        if (rlki_is_question(node->request.tag)) /* the SET answers it */
            (void)rlki_node_lock_abandon(node);
        if (!acquire_can_use(conn) || !rlki_node_lock_is_clean(node))
            continue;
        node->vote = RLKI_VOTE_NONE;
        node->token = lock->token;
        node->expiry_ms = RLKI_EXPIRED;
        if (!gated) {
            acquire_ask(lock, node);
        } else if (acquire_gate(lock) == 0 && rlki_conn_is_ready(conn)) {
            lock->as.wait.gate = (uint8_t)(i + 1);
            lock->as.wait.gate_ms = rlki_from_now(lock, lock->retry_min_ms);
            acquire_ask(lock, node);
        }
    }
}

static bool acquire_step_watch(rlk_lock *lock)
{
    rlki_recheck_count count;
    bool together = rlki_nodes(lock->client) > 1 && lock->cause != RLK_CAUSE_START;
    unsigned gate;
    bool gated;

    count = rlki_recheck_nodes(lock);
    if (count.ready < rlki_needed(lock->client) && acquire_settle_hopeless(lock))
        return true;
    /* A node that is about to answer its undo is waited for, as long as one attempt takes. */
    if (lock->client->now_ms >= lock->phase_ms)
        lock->phase_ms = RLKI_NEVER;
    gate = together ? rlki_recheck_gate(lock) : 0;
    gated =
        together && gate < rlki_nodes(lock->client) && (lock->as.wait.busy & rlki_bit(gate)) == 0;
    if (count.ready + (gated ? count.changed : 0) < rlki_needed(lock->client)) {
        lock->flags &= (uint8_t)~RLKI_LOCK_JITTERED;
        if (rlki_recheck_is_observed(lock))
            lock->client->campaign->ask(lock);
        return false;
    }
    if (count.undoing > 0 && lock->phase_ms != RLKI_NEVER)
        return false;
    /* Held at the gate alone: somebody is about to ask the others. If not, all are asked. */
    if (together && !gated && (lock->flags & RLKI_LOCK_JITTERED) == 0) {
        lock->flags |= RLKI_LOCK_JITTERED;
        acquire_pause_begin(lock, rlki_client_jitter(lock->client, lock->retry_min_ms / 10,
                                                     lock->retry_min_ms / 5));
        return true;
    }
    acquire_attempt_begin(lock, gated); /* on a quorum of nodes, and none has answered yet */
    return false;
}

/* A quorum said OK: held, if there is time left of it. */
static bool acquire_win(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    rlk_node_mask busy = lock->as.wait.busy;
    int32_t valid_ms = rlki_lease_until(lock);
    unsigned i;

    if (client->now_ms >= valid_ms)
        return false;
    /* SETs that are under way, or wait for their node to come up, still count when answered: they
     * make the lease outlive more failures. A release takes them back. */
    lock->state = RLKI_HELD;
    lock->lost_cause = RLK_LOST_NOT;
    if (lock->cause != RLK_CAUSE_LOCAL)
        lock->handoffs = 0;
    rlki_turn_acquired(lock);
    RLKI_COUNT(lock->client, acquired);
    if (rlki_nodes(client) == 1 && lock->cause == RLK_CAUSE_RECHECK)
        rlki_recheck_missed(lock, &lock->nodes[0]); /* of several nodes the probe has said it */
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("HELD"), valid_ms - client->now_ms);
    rlki_recheck_hold(lock); /* the next of the queue gets what was known of the other nodes */
    rlki_lease_begin(lock, valid_ms);
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (node->vote == RLKI_VOTE_YES) /* changed after our SET */
            lock->as.hold.dirty |= (rlk_node_mask)(busy & rlki_bit(i));
        else if (node->request.tag == RLKI_CONFIRM && node->request.state == RLK_REQUEST_QUEUED)
            node->request.tag = RLKI_CHECK; /* late: it only compares */
    }
    rlki_operation_finish(lock, RLK_OK);
    return true;
}

static bool acquire_is_final(const rlk_lock *lock, const rlki_tally *tally)
{
    return rlki_is_final((rlk_result)lock->error) &&
           tally->error > rlki_nodes(lock->client) - rlki_needed(lock->client);
}

/* Somebody has it: a node whose remaining time is being asked for is asked on. */
static rlk_node_mask acquire_asked(rlk_lock *lock)
{
    rlk_node_mask asked = 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (!rlki_is_question(lock->nodes[i].request.tag))
            continue;
        asked |= rlki_bit(i);
        rlki_recheck_later(lock, &lock->nodes[i], 0, RLK_CAUSE_RETRY);
    }
    return asked;
}

/* Somebody has it: nodes that did not answer in this attempt are asked before they count as free.
 * Where an undo is under way, that is answered first: rlki_recheck_undone. */
static void acquire_ask_others(rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if ((node->vote == RLKI_VOTE_NONE || node->vote == RLKI_VOTE_SKIPPED) &&
            rlki_node_lock_is_clean(node) && (lock->as.wait.busy & rlki_bit(i)) == 0)
            rlki_recheck_later(lock, node, 0, RLK_CAUSE_RETRY);
    }
}

/* After an attempt without success: is it over, and if not, how long till the next? */
static void acquire_failed(rlk_lock *lock, const rlki_tally *tally, bool shut)
{
    bool final = !shut && acquire_is_final(lock, tally);
    rlk_node_mask asked = 0;
    uint32_t pause_ms;

    if (tally->no > 0) { /* not for errors alone: somebody else has it */
        lock->flags |= RLKI_LOCK_HOLDER;
        lock->as.wait.failures = 0;
    }
    if ((lock->flags & RLKI_LOCK_TRY) != 0 || final) {
        acquire_settle(lock, final ? (rlk_result)lock->error : acquire_outcome(lock));
        return;
    }
    rlki_waiting_changed(lock);
    if (tally->no > 0 && rlki_nodes(lock->client) > 1)
        asked = acquire_asked(lock);
    rlki_node_locks_undo(lock, 0, asked);
    if (tally->no > 0 && rlki_nodes(lock->client) > 1)
        acquire_ask_others(lock);
    if (shut || tally->no > rlki_nodes(lock->client) - rlki_needed(lock->client)) {
        rlki_recheck_failed(lock); /* the next attempt has to wait for a change */
        if (rlki_nodes(lock->client) > 1)
            lock->cause = RLK_CAUSE_RETRY;
        rlki_recheck_begin(lock);
        return;
    }
    pause_ms = rlki_lock_pause(lock) << lock->as.wait.failures;
    if ((lock->flags & RLKI_LOCK_HOLDER) == 0 && lock->as.wait.failures < ACQUIRE_BACKOFF_MAX)
        lock->as.wait.failures++;
    lock->cause = RLK_CAUSE_RETRY;
    lock->flags |= RLKI_LOCK_JITTERED;
    acquire_pause_begin(lock, pause_ms);
}

/* Has the gate answered, or kept us waiting for too long? True: somebody else has it there. */
static bool acquire_step_gate(rlk_lock *lock)
{
    unsigned gate = acquire_gate(lock);
    unsigned vote = gate != 0 ? lock->nodes[gate - 1].vote : (unsigned)RLKI_VOTE_NONE;

    if (gate != 0 && (vote != RLKI_VOTE_NONE || lock->client->now_ms >= lock->as.wait.gate_ms))
        acquire_open(lock, vote != RLKI_VOTE_NO);
    return vote == RLKI_VOTE_NO;
}

static bool acquire_step_attempt(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    bool shut = acquire_step_gate(lock);
    rlki_tally tally = rlki_tally_of(lock);

    if (tally.yes >= rlki_needed(client) && acquire_win(lock))
        return false;
    if (tally.yes < rlki_needed(client) && tally.yes + tally.pending >= rlki_needed(client) &&
        client->now_ms < lock->phase_ms)
        return false;
    acquire_failed(lock, &tally, shut);
    return true;
}

static bool acquire_step_pause(rlk_lock *lock)
{
    unsigned i;

    if (lock->client->now_ms < lock->phase_ms)
        return false;
    rlki_recheck_begin(lock);
    for (i = 0; i < rlki_nodes(lock->client); i++)
        lock->nodes[i].vote = RLKI_VOTE_NONE;
    return true;
}

static void acquire_step_settle(rlk_lock *lock)
{
    rlki_tally tally = rlki_tally_of(lock);

    if (tally.unclean < rlki_needed(lock->client))
        rlki_operation_finish(lock, (rlk_result)lock->outcome);
    else if (tally.doubt >= rlki_needed(lock->client) || lock->client->now_ms >= lock->phase_ms)
        rlki_operation_finish(lock, RLK_UNKNOWN);
}

static bool acquire_step(rlk_lock *lock)
{
    if (lock->client->now_ms >= lock->deadline_ms) {
        acquire_settle(lock, acquire_outcome(lock));
        return true;
    }
    if (lock->client->now_ms >= lock->as.wait.report_ms)
        rlki_waiting_report(lock);
    switch (lock->phase) {
    case RLKI_PHASE_QUEUE: /* nobody but the first asks; but what is hopeless for it is for all */
        return acquire_settle_hopeless(lock);
    case RLKI_PHASE_WATCH:
        return acquire_step_watch(lock);
    case RLKI_PHASE_ATTEMPT:
        return acquire_step_attempt(lock);
    case RLKI_PHASE_PAUSE:
        return acquire_step_pause(lock);
    default: /* RLKI_PHASE_SETTLE */
        acquire_step_settle(lock);
        return false;
    }
}

/* ---- What nodes report ---- */

/* Somebody has the key: no, unless it may be an orphan of our own. */
static void acquire_busy(rlk_lock *lock, rlk_node_lock *node)
{
    if (node->orphans > 0) { /* once: no SET leaves after a compare that this one asks for */
        lock->as.wait.compared |= rlki_bit(rlki_index(node));
        rlki_node_lock_ask(node, RLKI_CONFIRM);
        return;
    }
    /* the TTL says when to ask again, and PTTL has the server notify of the key */
    if ((lock->flags & RLKI_LOCK_TRY) == 0 &&
        rlk_conn_is_tracking(rlki_route(lock, rlki_index(node)))) {
        rlki_node_lock_ask(node, rlki_recheck_question(lock));
        lock->as.wait.gate_ms = RLKI_NEVER;
        lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
        return;
    }
    rlki_recheck_answered(lock, node, RLKI_TTL_UNKNOWN);
    node->vote = RLKI_VOTE_NO;
}

/* A compare did not find our token: a SET that was lost did not come through, or an orphan is not
 * what the node has. */
static void acquire_not_ours(rlk_lock *lock, rlk_node_lock *node, rlk_result error)
{
    if (error == RLK_OK && (lock->as.wait.compared & rlki_bit(rlki_index(node))) == 0) {
        rlki_node_lock_ask(node, RLKI_SET);
        return;
    }
    rlki_recheck_answered(lock, node, RLKI_TTL_UNKNOWN);
    node->vote = RLKI_VOTE_NO;
}

static void acquire_voted(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_result error = (rlk_result)report->error;

    switch (report->kind) {
    case RLKI_REPORT_DONE:
        node->vote = RLKI_VOTE_YES;
        break;
    case RLKI_REPORT_HELD: /* of a SET: nil */
        if (node->orphans == 0)
            lock->flags |= RLKI_LOCK_HOLDER;
        acquire_busy(lock, node);
        break;
    case RLKI_REPORT_NOT_OURS:
        acquire_not_ours(lock, node, error);
        break;
    case RLKI_REPORT_LOST:
        if ((lock->flags & RLKI_LOCK_TRY) != 0 &&
            !rlki_operation_tries_again(lock, rlki_index(node))) {
            rlki_lock_note(lock, rlki_index(node), report->command, error);
            node->vote = RLKI_VOTE_ERROR;
        } else {
            rlki_node_lock_ask(node, report->maybe_sent ? (unsigned)RLKI_CONFIRM : report->command);
        }
        break;
    default: /* RLKI_REPORT_REFUSED */
        rlki_lock_note(lock, rlki_index(node), report->command, error);
        node->vote = RLKI_VOTE_ERROR;
        break;
    }
}

/* A node was probed, in an attempt behind a nil, or by a recheck. */
static void acquire_probed(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    if (report->kind == RLKI_REPORT_PART)
        return; /* the PTTL follows */
    if (report->kind == RLKI_REPORT_LOST && !report->votes)
        return;                       /* probed again when the node is back */
    rlki_recheck_answered(lock, node, /* the SET that follows is refused too, and ends it */
                          report->error == RLK_E_DANGLING ? RLKI_TTL_ABSENT : report->ttl_ms);
    if (report->votes)
        node->vote = RLKI_VOTE_NO;
}

static void acquire_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    if (rlki_is_question(report->command))
        acquire_probed(lock, node, report);
    else if (report->command == RLKI_RELEASE)
        rlki_recheck_undone(lock, node, report->kind == RLKI_REPORT_DONE);
    else if (report->votes)
        acquire_voted(lock, node, report);
    if (rlki_recheck_is_observed(lock))
        lock->client->campaign->observe(lock, node, report);
}

static void acquire_changed(rlk_lock *lock, rlk_node_lock *node, bool ready)
{
    /* One attempt goes on upon a second stream only if nothing can come from the first. */
    bool unfenced = ready && (lock->flags & RLKI_LOCK_TRY) != 0 &&
                    (node->flags & RLKI_NODE_FENCE) != 0 &&
                    !rlk_conn_fenced(rlki_route(lock, rlki_index(node)));

    if (lock->phase == RLKI_PHASE_WATCH || lock->phase == RLKI_PHASE_QUEUE)
        node->vote = ready ? RLKI_VOTE_NONE : RLKI_VOTE_ERROR;
    if (lock->phase != RLKI_PHASE_SETTLE)
        rlki_waiting_changed(lock);
    if (lock->phase != RLKI_PHASE_ATTEMPT || (ready && !unfenced) || node->vote != RLKI_VOTE_NONE)
        return;
    /* Nor is a node that would have been asked later. */
    if (acquire_gate(lock) != 0 && acquire_holds_back(lock, rlki_index(node)))
        node->vote = RLKI_VOTE_ERROR;
    /* A SET that did not leave is not waited for in this attempt. A lost one is, unless there is
     * one attempt only: it has become a compare. */
    if (node->request.tag != RLKI_SET && (lock->flags & RLKI_LOCK_TRY) == 0)
        return;
    (void)rlki_node_lock_abandon(node);
    node->vote = RLKI_VOTE_ERROR;
}

static void acquire_ended(rlk_lock *lock, rlk_result result)
{
    rlki_event_drop(lock, RLKI_EVENT_WAITING);
    if (result == RLK_UNKNOWN)
        lock->options |= RLKI_OPTION_UNSETTLED;
}

RLKI_API const rlki_operation rlki_acquire = {
    RLK_OP_ACQUIRE,  RLKI_OP_WAITS, acquire_step,   acquire_report,
    acquire_changed, NULL,          acquire_cancel, acquire_ended,
};

/* ---- The call ---- */

/* A node that may still have a token of ours remembers it by its number: then the random part of
 * the token must stay, and only numbers go on. */
static bool acquire_has_token(const rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (rlki_node_lock_has_token(&lock->nodes[i]))
            return true;
    return false;
}

/* True unless a new token is needed and can't be drawn. */
static bool acquire_take_token(rlk_lock *lock)
{
    if (acquire_has_token(lock))
        return true;
    if (!rlki_token_draw(lock))
        return false;
    rlki_node_locks_forget_doubts(lock);
    return true;
}

/* Sets the end of the trying: what is too far away for 32 bits, by units of the client's clock. */
static void acquire_end_after(rlk_lock *lock, int64_t wait_ms)
{
    int64_t units = wait_ms / RLKI_CLOCK_UNIT;

    if (units > UINT16_MAX)
        return; /* 34 years: without end */
    lock->later = (uint16_t)(units > ACQUIRE_NEAR ? units - ACQUIRE_NEAR : 0);
    lock->deadline_ms =
        rlki_from_now(lock, (uint32_t)(wait_ms - (int64_t)lock->later * RLKI_CLOCK_UNIT));
}

static void acquire_begin(rlk_lock *lock, int64_t wait_ms)
{
    int64_t clock_ms = lock->client->clock_ms;
    bool one_try = wait_ms == RLK_TRY;
    bool fell = lock->state == RLKI_LOST && clock_ms - lock->as.hold.since_ms < ACQUIRE_FALL_MS;

    rlki_notify_forget(lock);
    lock->state = RLKI_FREE;
    rlki_operation_begin(lock, &rlki_acquire, RLKI_NEVER);
    acquire_end_after(lock, one_try ? (int64_t)lock->client->operation_timeout_ms : wait_ms);
    memset(&lock->as.wait, 0, sizeof lock->as.wait);
    lock->cause = RLK_CAUSE_START;
    lock->as.wait.began_ms = clock_ms;
    lock->as.wait.report_ms = RLKI_NEVER;
    lock->options &= (uint8_t) ~(RLKI_OPTION_UNSETTLED | RLKI_OPTION_SETTLED);
    rlki_lock_leave_election(lock);
    if (one_try) {
        lock->flags |= RLKI_LOCK_TRY;
        rlki_recheck_begin(lock);
        return;
    }
    rlki_waiting_begin(lock);
    if (rlki_queue_wait(lock))
        acquire_first_begin(lock, acquire_first_pause(lock, fell));
    else
        rlki_recheck_phase(lock, RLKI_PHASE_QUEUE);
}

static rlk_result acquire_call(rlk_lock *lock, int64_t wait_ms, rlk_holder *holders)
{
    (void)holders;
    if (lock->state == RLKI_HELD)
        return RLK_E_STATE;
    if (wait_ms == RLK_DEFAULT)
        wait_ms = lock->wait_ms;
    if (wait_ms < 0)
        return RLK_E_TIMES;
    if (!acquire_take_token(lock))
        return RLK_E_ENTROPY;
    rlki_event_drop(lock, RLKI_EVENT_ALL); /* of the lease before */
    acquire_begin(lock, wait_ms);
    return RLK_PENDING;
}

RLKI_API const rlki_call rlki_call_acquire = {&rlki_acquire, 0, acquire_call};

/* ==== src/lock/machine.h ====
 *
 * The dispatcher: the one place that steps an operation.
 */
#ifndef RLKI_LOCK_MACHINE_H
#define RLKI_LOCK_MACHINE_H

/* Enters a public call: the fork check, the clock, the lock's own deadlines. */
RLKI_API rlk_result rlki_machine_enter(rlk_lock *lock);

/* Steps the lock as far as it can go, and the locks that were put on the ready list meanwhile. */
RLKI_API void rlki_machine_run(rlk_lock *lock);

/* Steps the locks of the ready list. */
RLKI_API void rlki_machine_drain_all(rlk_client *client);

static inline void rlki_machine_drain(rlk_client *client)
{
    if (client->ready != NULL)
        rlki_machine_drain_all(client);
}

/* Does what is due on a lock at client->now_ms. */
RLKI_API void rlki_machine_tick(rlk_lock *lock);

/* A node has answered, or the stream ended before it did. */
RLKI_API void rlki_machine_reply(rlk_node_lock *node, rlk_conn *conn, const rlk_reply *reply, unsigned left);
RLKI_API void rlki_machine_lost(rlk_node_lock *node, bool maybe_sent);

/* The connection of a node became ready, or failed. */
RLKI_API void rlki_machine_changed(rlk_lock *lock, unsigned index);

#endif

/* ==== src/lock/epoch.h ====
 *
 * A client's time. The caller's clock has 64 bits. The client's own has 32, in which its times and
 * those of its locks take half the memory:
 *
 *     caller's clock  ----+-----------+-----------+-----------+---->
 *                         |           |           |
 *     own clock           0 ... UNIT, 0 ... UNIT, 0 ... UNIT, ...    (RLKI_CLOCK_UNIT)
 *
 * Where the own clock begins anew, all times of the client go back by as much. What is too long ago
 * for 32 bits stays RLKI_EXPIRED then: it is past, however long a process sleeps.
 */
#ifndef RLKI_LOCK_EPOCH_H
#define RLKI_LOCK_EPOCH_H

/* Sets the own clock passed_ms on, beyond RLKI_CLOCK_UNIT, to client->clock_ms: all times go back.
 */
RLKI_API void rlki_client_turn_back(rlk_client *client, uint64_t passed_ms);

/* Takes a time of the caller's clock; never goes back. */
RLKI_API inline void rlki_client_advance(rlk_client *client, int64_t clock_ms)
{
    uint64_t passed_ms = (uint64_t)clock_ms - (uint64_t)client->clock_ms;

    if (clock_ms <= client->clock_ms)
        return;
    client->clock_ms = clock_ms;
    if (passed_ms < (uint32_t)(RLKI_CLOCK_UNIT - client->now_ms))
        client->now_ms += (int32_t)passed_ms;
    else
        rlki_client_turn_back(client, passed_ms);
}

/* Samples the caller's clock; never goes back. */
RLKI_API inline void rlki_client_now(rlk_client *client)
{
    rlki_client_advance(client, client->env.now_ms(client->env.context));
}

/* Begins the client's time. */
RLKI_API void rlki_client_begin_time(rlk_client *client);

#endif

/* ==== src/lock/timers.h ====
 *
 * Timers: intrusive, exact, constant time to set and cancel, whatever the number of timers.
 */
#ifndef RLKI_TIMERS_H
#define RLKI_TIMERS_H

RLKI_API void rlki_timers_init(rlk_timers *timers, int32_t now_ms);

/* Sets a timer that is not set, to its deadline_ms. */
RLKI_API void rlki_timers_insert(rlk_timers *timers, rlk_timer *timer);

/* Harmless when it is not set. */
RLKI_API RLKI_INTO_CALLERS void rlki_timers_cancel(rlk_timer *timer)
{
    if (timer->link == NULL)
        return;
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->link = NULL;
}

/* Sets (or moves) a timer. A deadline that is past fires at the next pop. */
RLKI_API RLKI_INTO_CALLERS void rlki_timers_set(rlk_timers *timers, rlk_timer *timer, int32_t deadline_ms)
{
    if (timer->link != NULL && timer->deadline_ms == deadline_ms)
        return;
    rlki_timers_cancel(timer);
    timer->deadline_ms = deadline_ms;
    rlki_timers_insert(timers, timer);
}

/* A timer whose deadline is <= now_ms, no longer set; NULL when there is none left. Earlier
 * deadlines come first, but in any order those that were past when they were set. */
RLKI_API rlk_timer *rlki_timers_pop(rlk_timers *timers, int32_t now_ms);

/* No timer is due before this: the earliest deadline, or a time shortly before it where many timers
 * are about as far away. A few pops at such times reach the deadline. RLKI_NEVER when no timer is
 * set. Always later than the last pop's now_ms, unless a timer was set for a past time since. */
RLKI_API int32_t rlki_timers_deadline(const rlk_timers *timers);

#endif

/* ==== src/lock/timers.c ====
 *
 * A radix heap. Deadlines and timers->now_ms are numbers of digits of TIMERS_BITS bits. A timer is
 * in the list of the highest digit in which its deadline differs from now_ms: list 1 is that of the
 * lowest digit. List 0 has the timers that are due. So every deadline in a list is earlier than all
 * deadlines in the lists above it.
 *
 * When now_ms goes on to a time that differs in digit d, the timers of list d move down. No timer
 * moves more often than 2^TIMERS_BITS - 1 times a digit, and the others cost it nothing. There is
 * no list above that of the highest digit of TIMERS_SPAN. It has all timers beyond too, and keeps
 * them when now_ms goes on: they are moved once in 70 minutes.
 *
 * A list's link points at what points at the timer, so that unlinking needs no head.
 */

#define TIMERS_BITS 2
/* The digits that are compared: 4.6 hours. */
#define TIMERS_SPAN ((UINT32_C(1) << (TIMERS_BITS * (RLK_TIMERS_LISTS - 1))) - 1)
/* Most timers of a list that are compared one by one. Of a longer one the beginning is known. */
#define TIMERS_FEW 16

/* List of a time, when now_ms is another. */
static unsigned timers_level(int32_t time_ms, int32_t now_ms)
{
    uint32_t differs = (uint32_t)time_ms ^ (uint32_t)now_ms;
    uint32_t rest = differs > TIMERS_SPAN ? TIMERS_SPAN : differs;

#ifdef __GNUC__
    return (unsigned)(32 + TIMERS_BITS - 1 - __builtin_clz(rest)) / TIMERS_BITS;
#else
    unsigned level = 0;

    for (; rest != 0; rest >>= TIMERS_BITS)
        level++;
    return level;
#endif
}

/* The lowest number in a set that is not empty. */
static unsigned timers_lowest(unsigned set)
{
#ifdef __GNUC__
    return (unsigned)__builtin_ctz(set);
#else
    unsigned level = 0;

    for (; (set & 1u) == 0; set >>= 1)
        level++;
    return level;
#endif
}

/* The lists that may have timers, without those before the first that has one. */
static unsigned timers_used(const rlk_timers *timers)
{
    unsigned used = timers->used;

    while (used != 0 && timers->lists[timers_lowest(used)] == NULL)
        used &= used - 1;
    return used;
}

void rlki_timers_init(rlk_timers *timers, int32_t now_ms)
{
    unsigned level;

    timers->now_ms = now_ms;
    timers->used = 0;
    for (level = 0; level < RLK_TIMERS_LISTS; level++)
        timers->lists[level] = NULL;
}

static RLKI_INTO_CALLERS void timers_put(rlk_timers *timers, rlk_timer *timer)
{
    unsigned level = 0;
    rlk_timer **list;
    rlk_timer *next;

    if (timer->deadline_ms > timers->now_ms)
        level = timers_level(timer->deadline_ms, timers->now_ms);
    timers->used = (uint16_t)(timers->used | 1u << level);
    list = &timers->lists[level];
    next = *list;
    timer->link = list;
    if (next != NULL)
        next->link = &timer->next;
    *list = timer;
    timer->next = next;
}

void rlki_timers_insert(rlk_timers *timers, rlk_timer *timer)
{
    timers_put(timers, timer);
}

extern inline void rlki_timers_cancel(rlk_timer *timer);

extern inline void rlki_timers_set(rlk_timers *timers, rlk_timer *timer, int32_t deadline_ms);

/* Moves now_ms on, and the timers down that are in the list of that digit. */
static void timers_advance(rlk_timers *timers, int32_t now_ms)
{
    unsigned level = timers_level(now_ms, timers->now_ms);
    rlk_timer *timer = timers->lists[level];

    timers->lists[level] = NULL;
    timers->now_ms = now_ms;
    while (timer != NULL) {
        rlk_timer *next = timer->next;

        timers_put(timers, timer);
        timer = next;
    }
}

rlk_timer *rlki_timers_pop(rlk_timers *timers, int32_t now_ms)
{
    rlk_timer *timer;

    /* No step is beyond a deadline, so the lists below the one that moves are empty. */
    while (timers->lists[0] == NULL && timers->now_ms < now_ms) {
        int32_t next_ms;

        timers->used = (uint16_t)timers_used(timers);
        next_ms = rlki_timers_deadline(timers);
        timers_advance(timers, next_ms < now_ms ? next_ms : now_ms);
    }
    timer = timers->now_ms <= now_ms ? timers->lists[0] : NULL;
    if (timer != NULL)
        rlki_timers_cancel(timer);
    return timer;
}

int32_t rlki_timers_deadline(const rlk_timers *timers)
{
    const rlk_timer *timer;
    int32_t best_ms = RLKI_NEVER;
    uint32_t below;
    unsigned used = timers_used(timers);
    unsigned level;
    unsigned few;

    if (used == 0)
        return RLKI_NEVER;
    level = timers_lowest(used);
    if (level == 0)
        return timers->now_ms;
    timer = timers->lists[level];
    for (few = 0; few < TIMERS_FEW; few++) {
        if (timer->deadline_ms < best_ms)
            best_ms = timer->deadline_ms;
        timer = timer->next;
        if (timer == NULL)
            return best_ms;
    }
    /* all of them are in the next step of the digit, or later */
    below = (UINT32_C(1) << (TIMERS_BITS * (level - 1))) - 1;
    return (timers->now_ms | (int32_t)below) + 1;
}

/* ==== src/lock/epoch.c ==== */

extern inline void rlki_client_advance(rlk_client *client, int64_t clock_ms);

extern inline void rlki_client_now(rlk_client *client);

/* A unit begins where the caller's clock is a multiple of it. */
static int32_t epoch_now(const rlk_client *client)
{
    return (int32_t)(client->clock_ms & (RLKI_CLOCK_UNIT - 1));
}

void rlki_client_begin_time(rlk_client *client)
{
    client->clock_ms = client->env.now_ms(client->env.context);
    client->now_ms = epoch_now(client);
    rlki_timers_init(&client->timers, client->now_ms);
}

/* ---- The own clock begins anew ---- */

#define EPOCH_TIME(field) ((uint16_t)offsetof(rlk_lock, field))

/* The times that a lock has in any state, and those of an acquire and of a lease. */
static const uint16_t epoch_of_lock[] = {EPOCH_TIME(phase_ms), EPOCH_TIME(retry_ms),
                                         EPOCH_TIME(cleanup_ms)};
static const uint16_t epoch_of_waiter[] = {EPOCH_TIME(as.wait.gate_ms),
                                           EPOCH_TIME(as.wait.report_ms)};
static const uint16_t epoch_of_hold[] = {
    EPOCH_TIME(as.hold.target_ms), EPOCH_TIME(as.hold.claim_ms), EPOCH_TIME(as.hold.valid_ms),
    EPOCH_TIME(as.hold.renew_ms), EPOCH_TIME(as.hold.watch_ms)};

static void epoch_time(int32_t *time_ms, uint32_t by_ms)
{
    *time_ms = rlki_earlier(*time_ms, by_ms);
}

static void epoch_times(rlk_lock *lock, const uint16_t *offsets, size_t len, uint32_t by_ms)
{
    size_t i;

    for (i = 0; i < len; i++)
        epoch_time((int32_t *)(void *)((uint8_t *)lock + offsets[i]), by_ms);
}

#define EPOCH_TIMES(lock, table, by_ms)                                                            \
    epoch_times((lock), (table), sizeof(table) / sizeof(table)[0], (by_ms))

/* Units of RLKI_CLOCK_UNIT, in milliseconds; 256 are more than any time has. */
static uint32_t epoch_units(uint32_t units)
{
    return units < 256 ? units * RLKI_CLOCK_UNIT : UINT32_MAX;
}

/* An end that was too far away for 32 bits comes nearer first. */
static void epoch_deadline(rlk_lock *lock, uint32_t units)
{
    uint32_t later = units < lock->later ? units : lock->later;

    lock->later = (uint16_t)(lock->later - later);
    epoch_time(&lock->deadline_ms, epoch_units(units - later));
}

static void epoch_lock(rlk_lock *lock, uint32_t units)
{
    uint32_t by_ms = epoch_units(units);
    bool waits = lock->op != NULL && (lock->op->flags & RLKI_OP_WAITS) != 0;
    unsigned i;

    if (lock->timer.link != NULL) { /* due: the lock sets it anew */
        lock->timer.link = NULL;
        rlki_timers_set(&lock->client->timers, &lock->timer, lock->client->now_ms);
    }
    epoch_deadline(lock, units);
    EPOCH_TIMES(lock, epoch_of_lock, by_ms);
    if (waits)
        EPOCH_TIMES(lock, epoch_of_waiter, by_ms);
    else
        EPOCH_TIMES(lock, epoch_of_hold, by_ms);
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        epoch_time(&node->expiry_ms, by_ms);
        if (node->request.state != RLK_REQUEST_QUEUED) /* one that is answered now is IDLE */
            epoch_time(&node->request.as.owner_ms, by_ms);
        if (waits)
            epoch_time(&lock->as.wait.recheck_at_ms[i], by_ms);
    }
}

void rlki_client_turn_back(rlk_client *client, uint64_t passed_ms)
{
    uint64_t units = (passed_ms + (uint32_t)client->now_ms) / (uint32_t)RLKI_CLOCK_UNIT;
    uint32_t whole = units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
    rlk_lock *lock;

    client->now_ms = epoch_now(client);
    client->served_ms = rlki_earlier(client->served_ms, epoch_units(whole));
    client->hurried_ms = rlki_earlier(client->hurried_ms, epoch_units(whole));
    rlki_timers_init(&client->timers, client->now_ms);
    for (lock = client->locks; lock != NULL; lock = lock->next)
        epoch_lock(lock, whole);
}

/* ==== src/lock/held.h ====
 *
 * A lock that is held: its loss, and the compares of nodes where somebody changed the key.
 */
#ifndef RLKI_LOCK_HELD_H
#define RLKI_LOCK_HELD_H

/* The lock is held no more without having been released: `result` is what an operation under way
 * comes to that needs the lease. */
RLKI_API void rlki_held_lose(rlk_lock *lock, rlk_result result);

/* Compares dirty nodes, as soon as they can be asked. */
RLKI_API void rlki_held_compare_dirty(rlk_lock *lock);
static inline void rlki_held_compare(rlk_lock *lock)
{
    if (lock->as.hold.dirty != 0 || lock->client->now_ms >= lock->as.hold.watch_ms)
        rlki_held_compare_dirty(lock);
}

/* Takes what a node reports of a lock that is held. */
RLKI_API void rlki_held_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report);

/* Returns true if too few nodes are left that may have our token for a quorum. */
RLKI_API bool rlki_held_is_absent(const rlk_lock *lock);

#endif

/* ==== src/lock/held.c ====
 *
 * A node of a lock that is held is dirty from when the key changed there, as far as is known, until
 * it was compared:
 *
 *              notified; held for so long that it is watched; idle: CHECK
 *     clean ----------------------------------> dirty <-------------------> compared
 *       ^                                                 refused for now     | answered
 *       +---------------------------------------------------------------------+
 *
 *                       validity over, or a quorum of nodes is without our token
 *     HELD ----------------------------------------------------------------------> LOST
 *                                                                    undone on every node
 */

/* Returns true if the last word on a renewal, since the last operation that worked, is an error of
 * a server. */
static bool held_renewal_refused(const rlk_lock *lock)
{
    return lock->error_command == RLKI_RAISE &&
           rlk_result_class((rlk_result)lock->error) >= RLK_KIND_SERVER;
}

void rlki_held_lose(rlk_lock *lock, rlk_result result)
{
    lock->state = RLKI_LOST;
    if (result == RLK_LOST) /* else the nodes said what it was */
        lock->lost_cause = held_renewal_refused(lock) ? RLK_LOST_REFUSED : RLK_LOST_EXPIRED;
    lock->options |= RLKI_OPTION_FELL; /* unless the operation under way reports it */
    RLKI_COUNT(lock->client, lost);
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("LOST"), lock->lost_cause);
    rlki_node_locks_undo(lock, lock->as.hold.target_ms, 0);
    (void)rlki_queue_leave(lock); /* a holder: nobody is next for that */
    if (lock->op != NULL && (lock->op->flags & RLKI_OP_LEASE) != 0)
        rlki_operation_finish(lock, result);
    rlki_event_raise(lock, RLKI_EVENT_LOST);
}

bool rlki_held_is_absent(const rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    unsigned absent = 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(client); i++)
        absent += rlki_node_lock_is_clean(&lock->nodes[i]);
    return absent > rlki_nodes(client) - rlki_needed(client);
}

/* Where the server notifies of changes, a compare makes it do so; unless one has, or a raise. */
static void held_watch(rlk_lock *lock, const rlk_node_lock *node)
{
    if ((node->flags & RLKI_NODE_PRESENT) != 0 &&
        (lock->as.hold.read & rlki_bit(rlki_index(node))) == 0 &&
        rlk_conn_is_tracking(rlki_route(lock, rlki_index(node))))
        lock->as.hold.dirty |= rlki_bit(rlki_index(node));
}

static void held_watch_all(rlk_lock *lock)
{
    unsigned i;

    lock->as.hold.watch_ms = RLKI_NEVER;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        held_watch(lock, &lock->nodes[i]);
}

void rlki_held_compare_dirty(rlk_lock *lock)
{
    unsigned i;

    if (lock->client->now_ms >= lock->as.hold.watch_ms)
        held_watch_all(lock);
    for (i = 0; lock->as.hold.dirty != 0 && i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        rlk_node_mask bit = rlki_bit(i);

        if ((lock->as.hold.dirty & bit) == 0 || node->request.tag != RLKI_NO_COMMAND)
            continue; /* behind it; if it compares, its answer will see what was notified before */
        if (rlki_node_lock_is_clean(node))
            lock->as.hold.dirty &= (rlk_node_mask)~bit;
        else
            rlki_node_lock_send(node, RLKI_CHECK);
    }
}

/* A compare of a dirty node was refused. It is sent again, unless an operation waits for the node:
 * then it comes again behind that one's command. */
static void held_refused(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    if (rlki_is_final((rlk_result)report->error))
        rlki_lock_note(lock, rlki_index(node), report->command, (rlk_result)report->error);
    else if (report->command == RLKI_CHECK && (lock->op == NULL || node->vote != RLKI_VOTE_NONE))
        rlki_node_lock_retry(node, report);
}

void rlki_held_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    unsigned command = report->command;
    bool compared = command == RLKI_CONFIRM || command == RLKI_RAISE || command == RLKI_CHECK;
    rlk_result error = (rlk_result)report->error;

    if (report->kind == RLKI_REPORT_NOT_OURS && lock->lost_cause < report->lost_cause)
        lock->lost_cause = report->lost_cause;
    if (command == RLKI_SET && report->kind == RLKI_REPORT_HELD)
        rlki_turn_contend(lock); /* late: the other nodes have it held */
    if (command == RLKI_SET && report->kind == RLKI_REPORT_DONE &&
        lock->as.hold.watch_ms == RLKI_NEVER)
        held_watch(lock, node); /* late, too: the others are watched already */
    /* a change, or another stream, makes the node dirty, so that it is compared all the same */
    if (compared && report->kind == RLKI_REPORT_DONE)
        lock->as.hold.read |= rlki_bit(rlki_index(node));
    if (compared && !report->votes && report->kind == RLKI_REPORT_REFUSED)
        held_refused(lock, node, report);
    if (compared && node->request.tag == RLKI_NO_COMMAND &&
        (error == RLK_OK || rlki_is_final(error) || error == RLK_E_WRONGTYPE))
        lock->as.hold.dirty &= (rlk_node_mask)~rlki_bit(rlki_index(node));
}

/* ==== src/lock/machine.c ====
 *
 * The dispatcher. A lock has a state, and at most one operation over it:
 *
 *             acquire: OK                      validity over, or q nodes say "not ours"
 *     FREE ---------------------> HELD -----------------------------------------------> LOST
 *      ^ ^    release called       |                                                      |
 *      | +-------------------------+                 release or acquire called            |
 *      +----------------------------------------------------------------------------------+
 *
 * What happens to a lock comes here, and goes one way:
 *
 *     deadline ---> node lock ---> operation ---> lease ---> timer
 *     (tick)        (report)       (step)
 *
 * Deadlines come first, so that a late answer can't revive what is over. What concerns other locks
 * puts them on the ready list, which is drained before the call into the engine ends.
 */

/* ---- The timer ---- */

static int32_t machine_earlier(int32_t a_ms, int32_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* Sets the lock's one timer to the earliest of its deadlines. */
static void machine_arm(rlk_lock *lock)
{
    int32_t deadline_ms = lock->retry_ms;

    if (lock->op != NULL) {
        deadline_ms = machine_earlier(deadline_ms, lock->deadline_ms);
        deadline_ms = machine_earlier(deadline_ms, lock->phase_ms);
    } else if ((lock->options & RLKI_OPTION_UNSETTLED) != 0) {
        deadline_ms = machine_earlier(deadline_ms, lock->cleanup_ms);
    }
    if (lock->state == RLKI_HELD) {
        deadline_ms = machine_earlier(deadline_ms, lock->as.hold.valid_ms);
        deadline_ms = machine_earlier(deadline_ms, lock->as.hold.renew_ms);
        deadline_ms = machine_earlier(deadline_ms, lock->as.hold.watch_ms);
    } else if (lock->op != NULL && (lock->op->flags & RLKI_OP_WAITS) != 0) {
        deadline_ms = machine_earlier(deadline_ms, rlki_recheck_next(lock));
        if (RLK_MAX_NODES > 1)
            deadline_ms = machine_earlier(deadline_ms, lock->as.wait.gate_ms);
        deadline_ms = machine_earlier(deadline_ms, lock->as.wait.report_ms);
    }
    if (deadline_ms == RLKI_NEVER) {
        rlki_timers_cancel(&lock->timer);
        return;
    }
    /* a retry, where a driver reports that a stream ended before it ticks: at the next tick */
    if (deadline_ms <= lock->client->now_ms)
        deadline_ms = lock->client->now_ms + 1;
    rlki_timers_set(&lock->client->timers, &lock->timer, deadline_ms);
}

static bool machine_is_due(const rlk_lock *lock)
{
    return lock->timer.link != NULL && lock->client->now_ms >= lock->timer.deadline_ms;
}

/* ---- The step ---- */

/* One step of the operation; true if there may be another. */
static bool machine_step_operation(rlk_lock *lock)
{
    return lock->op != NULL && lock->op->step(lock);
}

/* What the nodes say of a lease counts outside of an operation too. */
static void machine_step_lease(rlk_lock *lock)
{
    int32_t before_ms = lock->as.hold.valid_ms;

    rlki_lease_validate(lock);
    if (lock->client->now_ms >= lock->as.hold.valid_ms) {
        rlki_held_lose(lock, rlki_held_is_absent(lock) ? RLK_NOT_OWNER : RLK_LOST);
        (void)machine_step_operation(lock); /* a query, that the undo took back, asks again */
    } else if (lock->as.hold.valid_ms < before_ms && lock->op == NULL) {
        rlki_renewal_schedule(lock, true); /* somebody has shortened it: due earlier */
    }
}

/* Reports what an acquire or a release could not report, when it is known or when the key has
 * expired. */
static void machine_settle(rlk_lock *lock)
{
    rlki_tally tally = rlki_tally_of(lock);
    unsigned needed = rlki_needed(lock->client);
    bool settled = tally.unclean < needed;

    if (!settled && tally.doubt < needed && lock->client->now_ms < lock->cleanup_ms)
        return;
    lock->options = (uint8_t)((lock->options & ~(RLKI_OPTION_UNSETTLED | RLKI_OPTION_SETTLED)) |
                              (settled ? RLKI_OPTION_SETTLED : 0u));
    rlki_event_raise(lock, RLKI_EVENT_SETTLED);
}

static void machine_step(rlk_lock *lock)
{
    bool was_held = lock->state == RLKI_HELD;

    while (machine_step_operation(lock)) {
    }
    if (lock->state == RLKI_HELD) {
        rlki_held_compare(lock);
        if (was_held) /* else acquired by this step: validated already */
            machine_step_lease(lock);
    }
    if ((lock->options & RLKI_OPTION_UNSETTLED) != 0 && lock->op == NULL)
        machine_settle(lock);
    machine_arm(lock);
}

/* ---- What nodes report ---- */

/* Somebody else may have the key now: our own deletion, which no server notifies us of, or a token
 * of ours that turned out not to be there. */
static void machine_notify(rlk_lock *lock, const rlk_node_lock *node, unsigned command,
                           bool answered, bool had)
{
    bool gone = had && (node->flags & RLKI_NODE_PRESENT) == 0;

    if ((answered && command == RLKI_RELEASE) || gone)
        rlki_notify(lock->client, rlki_index(node), lock->key_hash, RLK_CAUSE_LOCAL, lock);
    else if (answered && command == RLKI_DEL)
        rlki_notify(lock->client, rlki_index(node), lock->key_hash, RLK_CAUSE_LOCAL, NULL);
}

static RLKI_INTO_CALLERS void machine_report(rlk_lock *lock, rlk_node_lock *node,
                                             rlki_report *report)
{
    report->votes = report->votes && lock->op != NULL; /* what it asked may outlive an operation */
    if (report->kind == RLKI_REPORT_NOTHING)
        return;
    if (lock->state == RLKI_HELD)
        rlki_held_report(lock, node, report);
    if (lock->op != NULL)
        lock->op->report(lock, node, report);
}

/* ---- Deadlines ---- */

/* Sends again what was refused and waits for it, or refuses it where the lock's texts have
 * changed. */
static void machine_retry(rlk_lock *lock)
{
    bool dangles = rlki_token_dangles(lock);
    unsigned i;

    lock->retry_ms = RLKI_NEVER;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        rlki_report report;

        if ((node->flags & RLKI_NODE_RETRY) == 0)
            continue;
        if (!dangles) {
            rlki_node_lock_resend(node);
            continue;
        }
        rlki_node_lock_refuse(node, &report);
        machine_report(lock, node, &report);
    }
}

void rlki_machine_tick(rlk_lock *lock)
{
    int32_t now_ms = lock->client->now_ms;

    if (lock->state == RLKI_HELD && now_ms >= lock->as.hold.valid_ms)
        rlki_held_lose(lock, RLK_LOST);
    if (now_ms >= lock->retry_ms && now_ms < lock->deadline_ms) /* else behind the result */
        machine_retry(lock);
    if (lock->state == RLKI_HELD && now_ms >= lock->as.hold.renew_ms)
        lock->client->renewal->due(lock);
    machine_step(lock);
}

/* ---- Replies ---- */

/* Does what is due before a reply is read. Returns true if that abandoned the command that is
 * answered: its reply then means nothing, and what was sent behind it settles the matter. */
static bool machine_is_overtaken(rlk_lock *lock, const rlk_node_lock *node)
{
    uint8_t tag = node->request.tag;
    uint8_t state = node->request.state;

    if (!machine_is_due(lock))
        return false;
    rlki_machine_tick(lock);
    return node->request.tag != tag || node->request.state != state;
}

void rlki_machine_reply(rlk_node_lock *node, rlk_conn *conn, const rlk_reply *reply, unsigned left)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    unsigned command = node->request.tag;
    bool had = (node->flags & RLKI_NODE_PRESENT) != 0;
    rlki_report report;

    rlki_client_advance(lock->client, rlki_conn_now(conn));
    if (!machine_is_overtaken(lock, node)) {
        rlki_node_lock_reply(node, reply, left, &report);
        machine_report(lock, node, &report);
        if (report.error == RLK_E_UNEXPECTED)
            rlk_conn_reject(conn, lock->client->clock_ms);
        rlki_ready(lock);
    }
    machine_notify(lock, node, command, reply->error == RLK_OK, had);
}

void rlki_machine_lost(rlk_node_lock *node, bool maybe_sent)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    rlki_report report;

    rlki_node_lock_lost(node, maybe_sent, &report);
    if (rlki_condemn_is_for((rlk_result)report.error))
        lock->second_try |= rlki_bit(rlki_index(node));
    machine_report(lock, node, &report);
    machine_step(lock);
}

/* ---- Entrances ---- */

void rlki_machine_drain_all(rlk_client *client)
{
    rlk_lock *lock;

    while ((lock = rlki_ready_take(client)) != NULL) {
        if (machine_is_due(lock))
            rlki_machine_tick(lock);
        else
            machine_step(lock);
    }
}

void rlki_machine_run(rlk_lock *lock)
{
    machine_step(lock);
    rlki_machine_drain(lock->client);
}

rlk_result rlki_machine_enter(rlk_lock *lock)
{
    rlk_client *client;

    if (lock == NULL)
        return RLK_E_ARGUMENT;
    client = lock->client;
    if (client == NULL || lock->state == RLKI_CLOSED)
        return RLK_E_CLOSED;
    if (!rlki_client_same_process(client))
        return RLK_E_FORKED;
    rlki_client_changing(client);
    rlki_client_now(client);
    if (machine_is_due(lock))
        rlki_machine_tick(lock);
    rlki_machine_drain(client);
    return RLK_OK;
}

/* A connection that can't be had answers, in its way, what waits for it. */
static bool machine_fails_with(const rlk_lock *lock, rlk_conn *conn)
{
    return (lock->op->flags & RLKI_OP_ONCE) != 0 || rlki_conn_state(conn) == RLK_CONN_FATAL ||
           rlki_is_final(rlk_conn_result(conn));
}

void rlki_machine_changed(rlk_lock *lock, unsigned index)
{
    rlk_node_lock *node = &lock->nodes[index];
    rlk_conn *conn = rlki_route(lock, index);
    bool ready = rlki_conn_is_ready(conn);
    bool again; /* the next stream answers */

    if (lock->op == NULL)
        return;
    again = !ready && !rlki_conn_is_over(conn) && rlki_operation_tries_again(lock, index);
    if (!ready)
        lock->second_try &= (rlk_node_mask)~rlki_bit(index);
    if (!ready && lock->phase != RLKI_PHASE_SETTLE)
        rlki_lock_note(lock, index, RLKI_NO_COMMAND, rlk_conn_result(conn));
    if (lock->op->changed != NULL) {
        if (!again)
            lock->op->changed(lock, node, ready);
    } else if (!ready && !again && node->vote == RLKI_VOTE_NONE && machine_fails_with(lock, conn)) {
        if (node->request.tag != RLKI_RELEASE) /* an undo stays, for when the node is back */
            (void)rlki_node_lock_abandon(node);
        rlki_operation_node_failed(lock, node);
    }
    machine_step(lock);
}

/* ==== src/lock/api.h ====
 *
 * What the started and the blocking forms of the calls share.
 */
#ifndef RLKI_LOCK_API_H
#define RLKI_LOCK_API_H

/* Every public operation in its started form. argument: the wait, the time added, the TTL, the size
 * of `holders`. */
RLKI_API rlk_result rlki_api_start(rlk_lock *lock, const rlki_call *call, int64_t argument,
                          rlk_holder *holders);

/* The same of a lock that was entered; entered: what that came to. */
RLKI_API RLKI_INTO_CALLERS rlk_result rlki_api_begin(rlk_lock *lock, rlk_result entered,
                                            const rlki_call *call, int64_t argument,
                                            rlk_holder *holders)
{
    rlk_result result = entered;

    if (result == RLK_OK && rlki_operation_is_on(lock))
        result = RLK_E_STATE;
    if (result == RLK_OK) {
        /* else who never pauses would starve it */
        if ((call->flags & RLKI_CALL_YIELDS) != 0 && lock->state == RLKI_HELD &&
            lock->client->now_ms >= lock->as.hold.renew_ms) {
            lock->client->renewal->due(lock);
            rlki_machine_run(lock);
        }
        result = call->begin(lock, argument, holders); /* PENDING: begun; OK: nothing to do */
        if (result == RLK_PENDING || result == RLK_OK)
            rlki_machine_run(lock);
    }
    if (result == RLK_PENDING) {
        if ((lock->events & RLKI_EVENT_RESULT) == 0)
            return RLK_PENDING;
        rlki_event_drop(lock, RLKI_EVENT_RESULT); /* it is over already */
        return (rlk_result)lock->done_result;
    }
    /* For rlk_lock_error, unless another's result is under way or still to be pulled. */
    if (lock != NULL && lock->client != NULL && !rlki_operation_is_on(lock) &&
        (lock->events & RLKI_EVENT_RESULT) == 0)
        rlki_operation_note(lock, call->op->id, result);
    return result;
}

#endif

/* ==== src/lock/extend.h ====
 *
 * Extend, renew, check: operations on a lock that is held.
 */
#ifndef RLKI_LOCK_EXTEND_H
#define RLKI_LOCK_EXTEND_H

/* Begins a renew if a renewal is due, or a check if the key is being compared. Ends as either. */

/* Begins a row of this file, or one of the same kind. target_ms: the expiry to ask for. */
RLKI_API void rlki_extend_begin(rlk_lock *lock, const rlki_operation *op, int32_t target_ms,
                       int32_t deadline_ms);

/* The step and the reports of such a row. */
RLKI_API bool rlki_extend_step(rlk_lock *lock);
RLKI_API void rlki_extend_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report);

/* Returns true if a lease of ttl_ms outlasts drift and the time of one attempt: else none can be
 * won. */
RLKI_API bool rlki_extend_is_enough(const rlk_lock *lock, int64_t ttl_ms);

#endif

/* ==== src/lock/extend.c ====
 *
 * Extend, renew, check: one script on every node that may have our token, until a quorum has
 * answered yes:
 *
 *                        a quorum: ours       (the lease's deadline moves; RLK_OK)
 *   begin ---> WORK ---- q out of reach ----> LOST (RLK_NOT_OWNER)
 *               |  ^     lease runs out ----> LOST (RLK_LOST)
 *               |  |     deadline ----------> still held, as before (RLK_UNKNOWN or an error)
 *               +--+
 *       refused for now, or the stream was lost: again
 *
 * The target E' is fixed once, and each command asks for what is left until then: so a repeat after
 * a lost reply does no harm, and nothing is ever shortened at the server (rule 6).
 */

static bool extend_is_check(const rlk_lock *lock)
{
    return lock->op->id == RLK_OP_CHECK;
}

/* Takes back checks under way, and raises if they are meant too; true if something of a raise was
 * sent. */
static bool extend_abandon(rlk_lock *lock, bool raises)
{
    bool sent = (lock->flags & RLKI_LOCK_MAYBE_SENT) != 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        bool raise = node->request.tag == RLKI_RAISE || node->request.tag == RLKI_CONFIRM;

        if (node->request.tag != RLKI_CHECK && !(raises && raise))
            continue;
        if (!rlki_node_lock_abandon(node) && raise) /* a check that was sent raises nothing */
            sent = true;
    }
    return sent && raises;
}

void rlki_extend_begin(rlk_lock *lock, const rlki_operation *op, int32_t target_ms,
                       int32_t deadline_ms)
{
    bool raises = op->id != RLK_OP_CHECK;

    /* What was sent before must not delay this: a check, or a raise that the acquire left on a late
     * node. A check leaves a raise alone. It may be a renewal in the background, and a caller who
     * checks without a pause must not keep it from being answered. */
    (void)extend_abandon(lock, raises);
    if (raises)
        rlki_lease_ask(lock, target_ms);
    rlki_operation_begin(lock, op, deadline_ms);
}

static void extend_ask(rlk_lock *lock)
{
    unsigned command = extend_is_check(lock) ? RLKI_CHECK : RLKI_RAISE;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (node->vote != RLKI_VOTE_NONE || node->request.tag != RLKI_NO_COMMAND)
            continue; /* a SET that is still under way comes first */
        if (rlki_node_lock_is_clean(node))
            node->vote = RLKI_VOTE_NO;
        else
            rlki_node_lock_ask(node, command);
    }
}

static void extend_succeed(rlk_lock *lock)
{
    bool raises = !extend_is_check(lock);

    (void)extend_abandon(lock, raises); /* nodes that are late: their expiry stays as it is known */
    if (raises)
        rlki_lease_claim(lock, lock->as.hold.target_ms, lock->as.hold.horizon_ms);
    rlki_lease_validate(lock);
    if (lock->client->now_ms >= lock->as.hold.valid_ms)
        rlki_held_lose(lock, RLK_LOST);
    else
        rlki_operation_finish(lock, RLK_OK);
}

bool rlki_extend_step(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    bool over = client->now_ms >= lock->deadline_ms;
    rlki_tally tally;

    if (!over)
        extend_ask(lock);
    tally = rlki_tally_of(lock);
    if (tally.yes >= rlki_needed(client)) {
        extend_succeed(lock);
    } else if (tally.no > rlki_nodes(client) - rlki_needed(client)) {
        rlki_held_lose(lock, lock->error == RLK_E_WRONGTYPE ? RLK_E_WRONGTYPE : RLK_NOT_OWNER);
    } else if (over || tally.yes + tally.pending < rlki_needed(client)) {
        rlk_result unanswered = rlki_operation_unanswered(lock);
        bool sent = extend_abandon(lock, !extend_is_check(lock));

        rlki_operation_finish(lock, sent ? RLK_UNKNOWN : unanswered);
    }
    return false;
}

void rlki_extend_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    bool raise = report->command == RLKI_RAISE;
    rlk_result error = (rlk_result)report->error;

    if (!report->votes)
        return;
    switch (report->kind) {
    case RLKI_REPORT_DONE:
        node->vote = RLKI_VOTE_YES;
        break;
    case RLKI_REPORT_NOT_OURS:
        node->vote = RLKI_VOTE_NO;
        break;
    case RLKI_REPORT_REFUSED:
        if (raise && error == RLK_E_UNEXPECTED)
            lock->flags |= RLKI_LOCK_MAYBE_SENT;
        if (!rlki_is_final(error)) {
            rlki_node_lock_retry(node, report);
            break;
        }
        rlki_lock_note(lock, rlki_index(node), report->command, error);
        node->vote = RLKI_VOTE_ERROR;
        break;
    default: /* RLKI_REPORT_LOST, a raise: the node lock repeats checks */
        if (report->maybe_sent)
            lock->flags |= RLKI_LOCK_MAYBE_SENT;
        rlki_node_lock_ask(node, report->command);
        break;
    }
}

static void extend_cancel(rlk_lock *lock)
{
    rlki_operation_finish(lock, extend_abandon(lock, !extend_is_check(lock)) ? RLK_UNKNOWN
                                                                             : RLK_CANCELLED);
}

/* One row for each result that a caller sees: they do the same. */
#define EXTEND_ROW(id)                                                                             \
    {                                                                                              \
        id, RLKI_OP_LEASE, rlki_extend_step, rlki_extend_report, NULL, NULL, extend_cancel, NULL   \
    }

static const rlki_operation extend_extend = EXTEND_ROW(RLK_OP_EXTEND);
static const rlki_operation extend_renew = EXTEND_ROW(RLK_OP_RENEW);
static const rlki_operation extend_check = EXTEND_ROW(RLK_OP_CHECK);

/* ---- Calls ---- */

bool rlki_extend_is_enough(const rlk_lock *lock, int64_t ttl_ms)
{
    if (ttl_ms < 1 || ttl_ms > RLK_TTL_MAX)
        return false;
    return ttl_ms > (int64_t)rlki_client_drift(lock->client, (uint32_t)ttl_ms) +
                        (int64_t)lock->node_timeout_ms;
}

/* RLK_OK of a lock that is held. */
static rlk_result extend_enter(const rlk_lock *lock)
{
    if (lock->state == RLKI_HELD)
        return RLK_OK;
    return lock->state == RLKI_LOST ? RLK_LOST : RLK_NOT_HELD;
}

static int32_t extend_deadline(const rlk_lock *lock)
{
    return rlki_from_now(lock, lock->client->operation_timeout_ms);
}

static rlk_result extend_call(rlk_lock *lock, int64_t added_ms, rlk_holder *holders)
{
    rlk_result result = extend_enter(lock);
    int32_t expiry_ms;
    int32_t target_ms;
    int32_t most_ms;

    (void)holders;
    if (result != RLK_OK)
        return result;
    if (added_ms < 1 || added_ms > RLK_TTL_MAX)
        return RLK_E_TTL;
    expiry_ms = rlki_lease_expiry(lock);
    target_ms = rlki_later(expiry_ms, (int32_t)added_ms);
    most_ms = rlki_from_now(lock, (uint32_t)RLK_TTL_MAX);
    if (target_ms > most_ms)
        target_ms = most_ms;
    if (target_ms <= expiry_ms)
        return RLK_E_TTL;
    rlki_extend_begin(lock, &extend_extend, target_ms, extend_deadline(lock));
    return RLK_PENDING;
}

RLKI_API const rlki_call rlki_call_extend = {&extend_extend, 0, extend_call};

static rlk_result extend_renew_call(rlk_lock *lock, int64_t ttl_ms, rlk_holder *holders)
{
    rlk_result result = extend_enter(lock);
    int32_t target_ms;

    (void)holders;
    if (result != RLK_OK)
        return result;
    if (ttl_ms == RLK_DEFAULT)
        ttl_ms = lock->ttl_ms;
    if (!rlki_extend_is_enough(lock, ttl_ms))
        return RLK_E_TTL;
    target_ms = rlki_from_now(lock, (uint32_t)ttl_ms);
    if (!rlki_lease_gains(lock, target_ms)) {
        /* sooner: only said here (rule 6), and a renewal under way is not wanted any more */
        lock->op = NULL;
        rlki_lease_claim(lock, target_ms, (uint32_t)ttl_ms);
        rlki_lease_validate(lock);
        rlki_renewal_schedule(lock, true);
        return RLK_OK;
    }
    rlki_extend_begin(lock, &extend_renew, target_ms, extend_deadline(lock));
    return RLK_PENDING;
}

RLKI_API const rlki_call rlki_call_renew = {&extend_renew, 0, extend_renew_call};

static rlk_result extend_check_call(rlk_lock *lock, int64_t argument, rlk_holder *holders)
{
    rlk_result result = extend_enter(lock);

    (void)argument;
    (void)holders;
    if (result != RLK_OK)
        return result;
    rlki_extend_begin(lock, &extend_check, 0, extend_deadline(lock));
    return RLK_PENDING;
}

RLKI_API const rlki_call rlki_call_check = {&extend_check, RLKI_CALL_YIELDS, extend_check_call};

/* A key is being compared, because the server notified that it changed. */
static bool extend_is_comparing(const rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (lock->nodes[i].request.tag == RLKI_CHECK)
            return true;
    return false;
}

static rlk_result extend_keep_alive_call(rlk_lock *lock, int64_t argument, rlk_holder *holders)
{
    rlk_result result = extend_enter(lock);
    int32_t now_ms = lock->client->now_ms;
    int32_t deadline_ms = rlki_from_now(lock, lock->node_timeout_ms);
    int32_t target_ms;

    (void)argument;
    (void)holders;
    if (result != RLK_OK)
        return result;
    target_ms = rlki_lease_renew_target(lock);
    /* A renewal compares too, and comes first: a node that owes its check must not put it off. */
    if (now_ms >= rlki_lease_renew_at(lock) && target_ms != RLKI_NEVER)
        rlki_extend_begin(lock, &extend_renew, target_ms, deadline_ms);
    else if (extend_is_comparing(lock))
        rlki_extend_begin(lock, &extend_check, 0, deadline_ms);
    else
        return RLK_OK; /* not due, or not any more */
    return RLK_PENDING;
}

RLKI_API const rlki_call rlki_call_keep_alive = {&extend_renew, RLKI_CALL_SERVED, extend_keep_alive_call};

/* ==== src/lock/inspect.h ====
 *
 * Query and force_release.
 */
#ifndef RLKI_LOCK_INSPECT_H
#define RLKI_LOCK_INSPECT_H

/* Keeps what a node said in a report on RLKI_QUERY, or why it said nothing. */
RLKI_API void rlki_inspect_keep(rlk_lock *lock, rlk_holder *holder, const rlki_report *report);

/* Returns how many nodes have the same token as `holder`, itself among them; 0 if it has none. */
RLKI_API unsigned rlki_inspect_agree(const rlk_client *client, const rlk_holder *holders,
                            const rlk_holder *holder);

#endif

/* ==== src/lock/inspect.c ====
 *
 * Query (GET and PTTL in one write) and force_release (DEL), on every node. Each ends when all
 * nodes have answered; when a quorum has, and the others had the time of one attempt; or at the
 * deadline. A node that can't be reached has answered: with that error.
 */

#include <string.h>

static void inspect_clear(rlk_holder *holder)
{
    holder->ttl_ms = RLKI_TTL_ABSENT;
    holder->token_len = 0;
    holder->token[0] = '\0';
    holder->ours = false;
}

/* What one node answers to GET: begins its answer anew, whatever an earlier one that was cut in
 * half had said. */
static void inspect_keep_token(rlk_lock *lock, rlk_holder *holder, const rlk_reply *reply)
{
    uint8_t own[RLK_TOKEN_MAX];
    size_t own_len = rlki_token_len(lock);
    size_t len = reply->len < RLK_TOKEN_MAX ? reply->len : RLK_TOKEN_MAX;

    inspect_clear(holder);
    holder->result = RLK_PENDING;
    if (reply->type == RLK_RESP_NULL)
        return;
    if (reply->error != RLK_OK) {
        holder->result = reply->error;
        return;
    }
    holder->ttl_ms = RLKI_TTL_NONE; /* it is there; PTTL follows */
    holder->token_len = (uint32_t)reply->value;
    if (reply->data == NULL)
        return;
    memcpy(holder->token, reply->data, len);
    holder->token[len] = '\0';
    rlki_token_write(lock, lock->token, own);
    holder->ours =
        reply->len == own_len && lock->token != 0 && memcmp(reply->data, own, own_len) == 0;
}

/* ... and to PTTL. A key that came between the two is not there yet, one that went is gone. */
static void inspect_keep_ttl(rlk_holder *holder, const rlk_reply *reply)
{
    if (holder->result != RLK_PENDING)
        return;
    holder->result = reply->error;
    if (reply->error != RLK_OK)
        return;
    if (holder->ttl_ms == RLKI_TTL_ABSENT || reply->value == RLKI_TTL_ABSENT)
        inspect_clear(holder);
    else
        holder->ttl_ms = reply->value;
}

static rlk_holder *inspect_holder(const rlk_lock *lock, const rlk_node_lock *node)
{
    return &lock->queue.asked[rlki_index(node)];
}

static void inspect_failed(rlk_lock *lock, rlk_node_lock *node, rlk_result why)
{
    inspect_holder(lock, node)->result = why;
}

/* The stream of a node ended: its vote, unless the next stream answers (the step asks again). A DEL
 * is never sent twice. */
static void inspect_lost(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_result why = (rlk_result)report->error;
    bool deletes = report->command == RLKI_DEL;

    if (rlki_operation_tries_again(lock, rlki_index(node)) && !(deletes && report->maybe_sent))
        return;
    if (deletes && report->maybe_sent)
        lock->flags |= RLKI_LOCK_MAYBE_SENT;
    if (!deletes)
        inspect_failed(lock, node, why);
    rlki_lock_note(lock, rlki_index(node), report->command, why);
    node->vote = RLKI_VOTE_ERROR;
}

static void inspect_answered(rlk_lock *lock, rlk_node_lock *node, unsigned command,
                             rlk_result result)
{
    if (result == RLK_OK) {
        node->vote = RLKI_VOTE_YES;
        return;
    }
    rlki_lock_note(lock, rlki_index(node), command, result);
    node->vote = RLKI_VOTE_ERROR;
}

void rlki_inspect_keep(rlk_lock *lock, rlk_holder *holder, const rlki_report *report)
{
    rlk_reply reply;

    if (report->kind == RLKI_REPORT_LOST) {
        holder->result = (rlk_result)report->error;
        return;
    }
    reply = *report->reply;
    if (report->error != RLK_OK) { /* also of what is no answer */
        reply.type = RLK_RESP_ERROR;
        reply.error = (rlk_result)report->error;
    }
    if (report->kind == RLKI_REPORT_PART) {
        inspect_keep_token(lock, holder, &reply);
        return;
    }
    inspect_keep_ttl(holder, &reply);
    holder->answered_ms = lock->client->clock_ms;
}

static void inspect_query_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_holder *holder = inspect_holder(lock, node);

    if (!report->votes)
        return;
    if (report->kind == RLKI_REPORT_LOST) {
        inspect_lost(lock, node, report);
        return;
    }
    rlki_inspect_keep(lock, holder, report);
    if (report->kind != RLKI_REPORT_PART)
        inspect_answered(lock, node, RLKI_QUERY, holder->result);
}

static void inspect_force_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_result error = (rlk_result)report->error;

    if (!report->votes)
        return;
    if (report->kind == RLKI_REPORT_LOST) {
        inspect_lost(lock, node, report);
        return;
    }
    if (error == RLK_E_UNEXPECTED)
        lock->flags |= RLKI_LOCK_MAYBE_SENT;
    inspect_answered(lock, node, RLKI_DEL, error);
}

static bool inspect_same_token(const rlk_holder *a, const rlk_holder *b)
{
    size_t len = a->token_len < RLK_TOKEN_MAX ? a->token_len : RLK_TOKEN_MAX;

    return a->token_len == b->token_len && memcmp(a->token, b->token, len) == 0;
}

unsigned rlki_inspect_agree(const rlk_client *client, const rlk_holder *holders,
                            const rlk_holder *holder)
{
    unsigned same = 0;
    unsigned i;

    if (holder->result != RLK_OK || holder->ttl_ms == RLKI_TTL_ABSENT)
        return 0;
    for (i = 0; i < rlki_nodes(client); i++)
        if (holders[i].result == RLK_OK && holders[i].ttl_ms != RLKI_TTL_ABSENT &&
            inspect_same_token(&holders[i], holder))
            same++;
    return same;
}

/* True if one token is on a quorum of nodes. */
static bool inspect_is_held(const rlk_lock *lock)
{
    const rlk_holder *holders = lock->queue.asked;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (rlki_inspect_agree(lock->client, holders, &holders[i]) >= rlki_needed(lock->client))
            return true;
    return false;
}

/* Takes back what is under way; true if a DEL was sent that is not answered. That one stays: what
 * it deletes is notified to our own waiters by nobody else. */
static bool inspect_abandon(rlk_lock *lock)
{
    bool sent = (lock->flags & RLKI_LOCK_MAYBE_SENT) != 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (node->request.tag == RLKI_DEL && node->request.state == RLK_REQUEST_SENT)
            sent = true;
        else if (node->request.tag == RLKI_QUERY || node->request.tag == RLKI_DEL)
            sent = !rlki_node_lock_abandon(node) || sent;
    }
    return sent;
}

/* Asks the nodes that have not answered yet; true when it is over: *quorum is then whether one has
 * answered. */
static bool inspect_is_over(rlk_lock *lock, unsigned command, bool *quorum)
{
    const rlk_client *client = lock->client;
    bool over = client->now_ms >= lock->deadline_ms;
    rlki_tally tally;
    unsigned i;

    for (i = 0; i < rlki_nodes(client) && !over; i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (node->vote == RLKI_VOTE_NONE && node->request.tag == RLKI_NO_COMMAND)
            rlki_node_lock_ask(node, command);
    }
    tally = rlki_tally_of(lock);
    *quorum = tally.yes >= rlki_needed(client);
    if (client->now_ms >= lock->phase_ms) {
        lock->phase_ms = RLKI_NEVER; /* a quorum is enough from now on */
        lock->flags |= RLKI_LOCK_QUORUM_DOES;
    }
    return over || tally.pending == 0 || (*quorum && (lock->flags & RLKI_LOCK_QUORUM_DOES) != 0);
}

static bool inspect_query_step(rlk_lock *lock)
{
    bool quorum;
    rlk_result result;

    if (!inspect_is_over(lock, RLKI_QUERY, &quorum))
        return false;
    if (!quorum)
        result = rlki_operation_unanswered(lock);
    else
        result = inspect_is_held(lock) ? RLK_OK : RLK_NOT_HELD;
    (void)inspect_abandon(lock);
    rlki_operation_finish(lock, result);
    return false;
}

static bool inspect_force_step(rlk_lock *lock)
{
    bool quorum;
    bool sent;
    rlk_result result;

    if (!inspect_is_over(lock, RLKI_DEL, &quorum))
        return false;
    result = quorum ? RLK_OK : rlki_operation_unanswered(lock);
    sent = inspect_abandon(lock);
    rlki_operation_finish(lock, sent && !quorum ? RLK_UNKNOWN : result);
    return false;
}

static void inspect_query_cancel(rlk_lock *lock)
{
    (void)inspect_abandon(lock);
    rlki_operation_finish(lock, RLK_CANCELLED);
}

static void inspect_force_cancel(rlk_lock *lock)
{
    rlki_operation_finish(lock, inspect_abandon(lock) ? RLK_UNKNOWN : RLK_CANCELLED);
}

static const rlki_operation inspect_query = {
    RLK_OP_QUERY, RLKI_OP_ONCE,   inspect_query_step,   inspect_query_report,
    NULL,         inspect_failed, inspect_query_cancel, NULL,
};

static const rlki_operation inspect_force = {
    RLK_OP_FORCE_RELEASE, RLKI_OP_ONCE, inspect_force_step, inspect_force_report, NULL, NULL,
    inspect_force_cancel, NULL,
};

/* ---- Calls ---- */

static void inspect_begin(rlk_lock *lock, const rlki_operation *op)
{
    rlki_notify_forget(lock); /* an earlier DEL is no answer to this one */
    rlki_operation_begin(lock, op, rlki_from_now(lock, lock->client->operation_timeout_ms));
    lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
}

static rlk_result inspect_query_call(rlk_lock *lock, int64_t cap, rlk_holder *holders)
{
    size_t i;

    if (holders == NULL || cap < rlki_nodes(lock->client))
        return RLK_E_ARGUMENT;
    memset(holders, 0, (size_t)cap * sizeof *holders);
    for (i = 0; i < (size_t)cap; i++) {
        holders[i].result = RLK_PENDING;
        holders[i].ttl_ms = RLKI_TTL_ABSENT;
    }
    lock->queue.asked = holders;
    inspect_begin(lock, &inspect_query);
    return RLK_PENDING;
}

RLKI_API const rlki_call rlki_call_query = {&inspect_query, RLKI_CALL_YIELDS, inspect_query_call};

static rlk_result inspect_force_call(rlk_lock *lock, int64_t argument, rlk_holder *holders)
{
    (void)argument;
    (void)holders;
    if (lock->state == RLKI_HELD)
        return RLK_E_STATE;
    inspect_begin(lock, &inspect_force);
    return RLK_PENDING;
}

RLKI_API const rlki_call rlki_call_force_release = {&inspect_force, RLKI_CALL_SERVED, inspect_force_call};

/* ==== src/lock/release.h ==== */
#ifndef RLKI_LOCK_RELEASE_H
#define RLKI_LOCK_RELEASE_H

#endif

/* ==== src/lock/release.c ====
 *
 * Release: compare-and-delete on every node that may have our token, behind whatever is under way
 * there. Not held from the call on.
 *
 *   begin ---> WORK --- q deleted -----------------------> RLK_OK
 *               |  ---- more than N-q said "not ours",
 *               |       as their first answer -----------> RLK_NOT_OWNER
 *               |  ---- all answered, some only after a
 *               |       reply was lost ------------------> RLK_GONE
 *               |  ---- a quorum may still get an orphan,
 *               |       or the deadline -----------------> RLK_UNKNOWN (or the server's refusal)
 *
 * A node lock without an answer when the result is reported goes on asking, as after an undo. No
 * operation takes part in that.
 */

static void release_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    if (!report->votes)
        return;
    switch (report->kind) {
    case RLKI_REPORT_DONE:
        node->vote = RLKI_VOTE_YES;
        break;
    case RLKI_REPORT_NOT_OURS:
        node->vote = report->repeated ? RLKI_VOTE_NO_AFTER : RLKI_VOTE_NO;
        if ((lock->flags & RLKI_LOCK_FORCE_LOST) == 0 && lock->lost_cause < report->lost_cause)
            lock->lost_cause = report->lost_cause;
        break;
    default: /* RLKI_REPORT_REFUSED */
        node->vote = RLKI_VOTE_ERROR;
        break;
    }
}

/* What the answers amount to; RLK_PENDING while that is open. */
static rlk_result release_result(const rlk_lock *lock, const rlki_tally *tally)
{
    const rlk_client *client = lock->client;
    unsigned absent = (unsigned)tally->no + tally->no_after + tally->yes;
    bool answered = tally->pending == 0;

    if (tally->doubt >= rlki_needed(client))
        return tally->error > 0 && lock->error < 0 ? (rlk_result)lock->error : RLK_UNKNOWN;
    if (tally->yes >= rlki_needed(client) && tally->unclean < rlki_needed(client))
        return RLK_OK;
    if (tally->no > rlki_nodes(client) - rlki_needed(client))
        return lock->error == RLK_E_WRONGTYPE ? RLK_E_WRONGTYPE : RLK_NOT_OWNER;
    if (absent >= rlki_needed(client) &&
        (answered || tally->no_after > rlki_nodes(client) - rlki_needed(client)))
        return RLK_GONE;
    if (answered)
        return lock->error < 0 ? (rlk_result)lock->error : RLK_UNKNOWN;
    return RLK_PENDING;
}

/* At the deadline: a server's refusal, if that is all that every open node has said. */
static rlk_result release_late(const rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_node_lock *node = &lock->nodes[i];

        if (node->vote == RLKI_VOTE_NONE && (node->flags & RLKI_NODE_RETRY) == 0)
            return RLK_UNKNOWN;
    }
    return lock->error < 0 ? (rlk_result)lock->error : RLK_UNKNOWN;
}

static bool release_step(rlk_lock *lock)
{
    rlki_tally tally = rlki_tally_of(lock);
    rlk_result result = release_result(lock, &tally);

    if (result == RLK_PENDING) {
        if (lock->client->now_ms < lock->deadline_ms)
            return false;
        result = release_late(lock);
    }
    if ((lock->flags & RLKI_LOCK_FORCE_LOST) != 0)
        result = RLK_LOST;
    else if (result != RLK_NOT_OWNER && result != RLK_E_WRONGTYPE) /* of a minority */
        lock->lost_cause = RLK_LOST_NOT;
    rlki_operation_finish(lock, result);
    return false;
}

/* The undos go on behind it. */
static void release_cancel(rlk_lock *lock)
{
    rlki_operation_finish(lock, RLK_UNKNOWN);
}

static void release_ended(rlk_lock *lock, rlk_result result)
{
    if (result == RLK_UNKNOWN || result < 0)
        lock->options |= RLKI_OPTION_UNSETTLED;
}

static const rlki_operation release_operation = {
    RLK_OP_RELEASE, 0, release_step, release_report, NULL, NULL, release_cancel, release_ended,
};

/* ---- The call ---- */

static rlk_result release_call(rlk_lock *lock, int64_t argument, rlk_holder *holders)
{
    rlk_client *client = lock->client;
    bool lost = lock->state == RLKI_LOST;
    unsigned i;

    (void)argument;
    (void)holders;
    if (lock->state == RLKI_FREE)
        return RLK_NOT_HELD;
    rlki_event_drop(lock, RLKI_EVENT_ALL); /* the result says it */
    rlki_lock_leave_election(lock);
    lock->state = RLKI_FREE;
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("FREE"), 0);
    rlki_recheck_leave(lock);
    if (lost) /* a lock that is held has sent no DEL */
        rlki_notify_forget(lock);
    else
        rlki_turn_released(lock);
    rlki_operation_begin(
        lock, &release_operation,
        rlki_from_now(lock, lost ? client->settle_timeout_ms : client->operation_timeout_ms));
    if (lost)
        lock->flags |= RLKI_LOCK_FORCE_LOST;
    else
        lock->lost_cause = RLK_LOST_NOT;
    rlki_node_locks_undo(lock, lock->as.hold.target_ms, 0);
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (rlki_node_lock_is_clean(node) || node->token != lock->token)
            node->vote = RLKI_VOTE_NO; /* never asked, or known not to have it */
        else
            rlki_node_lock_count(node);
    }
    return RLK_PENDING;
}

RLKI_API const rlki_call rlki_call_release = {&release_operation, 0, release_call};

/* ==== src/lock/calls.h ====
 *
 * The operations of a lock that have a blocking and a started form. Both forms of a call begin the
 * same row with the same argument, so each is in this table once: api.c makes the started forms of
 * it, blocking.c the blocking ones. lock.h declares and explains both.
 */
#ifndef RLKI_LOCK_CALLS_H
#define RLKI_LOCK_CALLS_H

/* X(name, parameters, argument, holders): rlk_<name> and rlk_<name>_start begin rlki_call_<name>.
 * In a macro the formatter takes stars for products. */
/* clang-format off */
#define RLKI_CALLS(X)                                                                              \
    X(acquire, (rlk_lock *lock, int64_t wait_ms), wait_ms, NULL)                                   \
    X(release, (rlk_lock *lock), 0, NULL)                                                          \
    X(extend, (rlk_lock *lock, int64_t added_ms), added_ms, NULL)                                  \
    X(renew, (rlk_lock *lock, int64_t ttl_ms), ttl_ms, NULL)                                       \
    X(check, (rlk_lock *lock), 0, NULL)                                                            \
    X(query, (rlk_lock *lock, rlk_holder *holders, size_t cap), (int64_t)cap, holders)             \
    X(force_release, (rlk_lock *lock), 0, NULL)
/* clang-format on */

#endif

/* ==== src/lock/api.c ====
 *
 * The public calls of a lock, in their started form.
 */

extern inline rlk_result rlki_api_begin(rlk_lock *lock, rlk_result entered, const rlki_call *call,
                                        int64_t argument, rlk_holder *holders);

rlk_result rlki_api_start(rlk_lock *lock, const rlki_call *call, int64_t argument,
                          rlk_holder *holders)
{
    return rlki_api_begin(lock, rlki_machine_enter(lock), call, argument, holders);
}

rlk_result rlk_cancel(rlk_lock *lock)
{
    rlk_result result = rlki_machine_enter(lock);

    if (result != RLK_OK)
        return result;
    if (!rlki_operation_is_on(lock))
        return RLK_NOT_HELD;
    lock->op->cancel(lock);
    rlki_machine_run(lock);
    return RLK_OK;
}

#define API_STARTED(name, parameters, argument, holders)                                           \
    rlk_result rlk_##name##_start parameters                                                       \
    {                                                                                              \
        return rlki_api_start(lock, &rlki_call_##name, (argument), (holders));                     \
    }
RLKI_CALLS(API_STARTED)

/* ==== src/lock/client.h ====
 *
 * The deadline and tick of the client for a caller that has entered a call already: no checks.
 */
#ifndef RLKI_LOCK_CLIENT_H
#define RLKI_LOCK_CLIENT_H

/* Returns when the client has something to do: rlk_client_deadline. */
RLKI_API int64_t rlki_client_deadline(const rlk_client *client);

/* Does what is due: rlk_client_tick. */
RLKI_API void rlki_client_tick(rlk_client *client);

#endif

/* ==== src/lock/refusal.h ====
 *
 * Numbers that were refused, and those that fit.
 */
#ifndef RLKI_LOCK_REFUSAL_H
#define RLKI_LOCK_REFUSAL_H

/* Remembers which number was refused, and from where to where it fits (`most` UINT32_MAX: no
 * bound); a NULL name: none was. */
#ifdef RLK_NO_TEXT
#define RLKI_REFUSE(client, name, number, least, most)                                             \
    ((void)(client), (void)(name), (void)(number))
#else
#define RLKI_REFUSE(client, name, number, least, most)                                             \
    rlki_refuse((client), (name), (int64_t)(number), (uint32_t)(least), (uint32_t)(most))
RLKI_API void rlki_refuse(rlk_client *client, const char *name, int64_t number, uint32_t least,
                 uint32_t most);

/* Returns the least TTL that outlasts drift and one attempt on one node. node_timeout_ms 0: the
 * default, which follows the TTL. */
RLKI_API uint32_t rlki_ttl_least(const rlk_client *client, int64_t node_timeout_ms);

struct text_out;
/* Writes what the client refused last; what the last handshake of a connection lacked; what an
 * operation would have taken. */
RLKI_API void rlki_text_refusal(struct text_out *out, const rlk_client *client);
RLKI_API void rlki_text_conn_limit(struct text_out *out, const rlk_conn *conn, rlk_result error);
RLKI_API void rlki_text_lock_limit(struct text_out *out, const rlk_lock *lock, unsigned operation,
                          rlk_result result);
#endif

/* Takes a time limit of a configuration, as rlki_limit_take does; false, and refused: it is out of
 * range. */
RLKI_API bool rlki_client_take_limit(rlk_client *client, uint32_t *out_ms, int64_t value_ms,
                            uint32_t default_ms, const char *name);

#endif

/* ==== src/lock/text_out.h ====
 *
 * A terminated text under construction.
 */
#ifndef RLKI_TEXT_OUT_H
#define RLKI_TEXT_OUT_H

/* What does not fit is cut off. */
typedef struct text_out {
    char *at;
    char *end; /* last byte, for the terminator */
} text_out;

static inline text_out text_begin(char *text, size_t cap)
{
    text_out out;

    out.at = text;
    out.end = text + cap - 1;
    *out.at = '\0';
    return out;
}

RLKI_API void rlki_text_char(text_out *out, char c);
RLKI_API void rlki_text_number(text_out *out, uint32_t number);

#ifndef RLK_NO_TEXT
RLKI_API void rlki_text_string(text_out *out, const char *string);
#endif

#endif

/* ==== src/lock/text_out.c ==== */

void rlki_text_char(text_out *out, char c)
{
    if (out->at == out->end)
        return;
    *out->at++ = c >= ' ' && c <= '~' ? c : '?';
    *out->at = '\0';
}

void rlki_text_number(text_out *out, uint32_t number)
{
    char digits[10];
    unsigned n = 0;

    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (n > 0)
        rlki_text_char(out, digits[--n]);
}

#ifndef RLK_NO_TEXT
void rlki_text_string(text_out *out, const char *string)
{
    while (*string != '\0')
        rlki_text_char(out, *string++);
}
#endif

/* ==== src/lock/refusal.c ====
 *
 * Numbers that were refused, and those that fit: for the texts of rlk_client_error and
 * rlk_lock_error.
 */

bool rlki_client_take_limit(rlk_client *client, uint32_t *out_ms, int64_t value_ms,
                            uint32_t default_ms, const char *name)
{
    if (rlki_limit_take(out_ms, value_ms, default_ms))
        return true;
    RLKI_REFUSE(client, name, value_ms, 0, RLK_TIME_LIMIT_MAX);
    return false;
}

#ifndef RLK_NO_TEXT

void rlki_refuse(rlk_client *client, const char *name, int64_t number, uint32_t least,
                 uint32_t most)
{
    client->refusal.name = name;
    client->refusal.number = number;
    client->refusal.least = least;
    client->refusal.most = most;
}

uint32_t rlki_ttl_least(const rlk_client *client, int64_t node_timeout_ms)
{
    uint32_t ttl_ms = 0;
    uint32_t next_ms;

    /* Drift is half of the TTL at most, and a default node_timeout_ms a third: each step leaves at
     * most five sixths of the way. A node_timeout_ms that is too long is refused next: the longest
     * is meant. */
    for (;;) {
        uint32_t third_ms = ttl_ms / 3;
        uint32_t try_ms = third_ms < RLK_NODE_TIMEOUT_MAX_MS ? third_ms : RLK_NODE_TIMEOUT_MAX_MS;

        if (node_timeout_ms > 0)
            try_ms = (uint32_t)(node_timeout_ms < RLK_TIME_LIMIT_MAX ? node_timeout_ms
                                                                     : RLK_TIME_LIMIT_MAX);
        next_ms = rlki_client_drift(client, ttl_ms) + try_ms + 1;
        if (next_ms <= ttl_ms)
            return ttl_ms;
        ttl_ms = next_ms;
    }
}

/* "; ttl_ms is 1000, and must be from 2024 to 2073600000", "... must be at least 2708" */
static void refusal_put(text_out *out, const rlk_refusal *refusal)
{
    bool negative = refusal->number < 0;
    int64_t size = negative ? -(refusal->number + 1) : refusal->number; /* of INT64_MIN too */

    rlki_text_string(out, "; ");
    rlki_text_string(out, refusal->name);
    if (refusal->most == 0) /* words alone */
        return;
    if (size < (int64_t)UINT32_MAX) {
        rlki_text_string(out, negative ? " is -" : " is ");
        rlki_text_number(out, (uint32_t)size + negative);
        rlki_text_string(out, ", and");
    }
    rlki_text_string(out, refusal->most == UINT32_MAX ? " must be at least " : " must be from ");
    rlki_text_number(out, refusal->least);
    if (refusal->most == UINT32_MAX)
        return;
    rlki_text_string(out, " to ");
    rlki_text_number(out, refusal->most);
}

void rlki_text_refusal(text_out *out, const rlk_client *client)
{
    if (client->refusal.name != NULL)
        refusal_put(out, &client->refusal);
}

void rlki_text_conn_limit(text_out *out, const rlk_conn *conn, rlk_result error)
{
    rlk_refusal refusal;

    refusal.name = "tx_cap";
    refusal.number = (int64_t)rlk_conn_tx_cap(conn);
    refusal.least = (uint32_t)rlk_conn_tx_needed(conn);
    refusal.most = UINT32_MAX;
    if (error == RLK_E_CREDENTIALS && refusal.least > 0)
        refusal_put(out, &refusal);
}

void rlki_text_lock_limit(text_out *out, const rlk_lock *lock, unsigned operation,
                          rlk_result result)
{
    const rlk_client *client = lock->client;
    int64_t left_ms;
    rlk_refusal refusal;

    if (result != RLK_E_TTL || lock->state != RLKI_HELD)
        return;
    left_ms = (int64_t)rlki_lease_expiry(lock) - client->now_ms;
    refusal.number = INT64_MAX; /* the caller has it */
    refusal.most = (uint32_t)RLK_TTL_MAX;
    if (operation == RLK_OP_EXTEND) {
        refusal.name = "added_ms";
        refusal.least = 1;
        if (left_ms > 0)
            refusal.most = left_ms < RLK_TTL_MAX ? (uint32_t)(RLK_TTL_MAX - left_ms) : 0;
    } else {
        refusal.name = "ttl_ms";
        refusal.least = rlki_ttl_least(client, lock->node_timeout_ms);
    }
    if (refusal.most == 0) {
        rlki_text_string(out, "; the lease is as long as it may be");
        return;
    }
    refusal_put(out, &refusal);
    if (operation == RLK_OP_EXTEND)
        return;
    rlki_text_string(out, " with a node_timeout_ms of ");
    rlki_text_number(out, lock->node_timeout_ms);
}

#endif /* RLK_NO_TEXT */

/* ==== src/lock/client.c ====
 *
 * The client: a set of connections, the clock, the timers, the locks. It stands between the
 * connections, which know requests, and the locks, which own them.
 */

#include <string.h>

/* If the stream of a node is not fenced, remembers that all earlier ones may still execute. */
static void client_note_fence(rlk_client *client, unsigned node)
{
    const rlk_conn *conn = client->conns[node];
    uint32_t generation = rlki_conn_generation(conn);

    if (generation > 0 && !rlk_conn_fenced(conn))
        client->unfenced[node] = generation - 1;
}

/* ---- calls of the connections ---- */

static rlk_node_lock *client_node_lock(rlk_request *request)
{
    return (rlk_node_lock *)(void *)request; /* its first member */
}

static unsigned client_encode(void *context, rlk_conn *conn, rlk_request *request,
                              rlk_resp_writer *writer)
{
    (void)context;
    return rlki_node_lock_encode(client_node_lock(request), conn, writer);
}

static void client_reply(void *context, rlk_conn *conn, rlk_request *request,
                         const rlk_reply *reply, unsigned left)
{
    (void)context;
    rlki_machine_reply(client_node_lock(request), conn, reply, left);
}

static void client_lost(void *context, rlk_conn *conn, rlk_request *request, bool maybe_sent)
{
    rlk_client *client = (rlk_client *)context;

    rlki_client_advance(client, rlki_conn_now(conn));
    rlki_machine_lost(client_node_lock(request), maybe_sent);
    rlki_machine_drain(client);
}

/* Two names for one server make no quorum. */
static void client_find_alias(rlk_client *client, unsigned node)
{
    uint64_t run_id = rlk_conn_run_id(client->conns[node]);
    unsigned i;

    for (i = 0; run_id != 0 && i < rlki_nodes(client); i++)
        if (i != node && rlk_conn_run_id(client->conns[i]) == run_id)
            client->warnings |= RLK_WARN_ALIAS;
}

static unsigned client_node(const rlk_client *client, const rlk_conn *conn)
{
    unsigned node = 0;

    while (client->conns[node] != conn)
        node++;
    return node;
}

static void client_changed(void *context, rlk_conn *conn)
{
    rlk_client *client = (rlk_client *)context;
    rlk_lock *lock;
    unsigned node;

    if (client->state != RLKI_CLIENT_OPEN)
        return;
    rlki_client_advance(client, rlki_conn_now(conn));
    node = client_node(client, conn);
    if (rlki_conn_state(conn) == RLK_CONN_READY) {
        rlki_token_forget(client); /* the machine may be a clone of one that drew the same */
        client_note_fence(client, node);
        client_find_alias(client, node);
    }
    for (lock = client->locks; lock != NULL; lock = lock->next)
        rlki_machine_changed(lock, node);
    /* Of what happened meanwhile nobody notifies; nor of anything from now on of keys that this
     * stream has not read. */
    if (rlki_conn_state(conn) == RLK_CONN_READY)
        rlki_notify_all(client, node, RLK_CAUSE_RECONNECT);
    rlki_machine_drain(client);
}

static void client_invalidated(void *context, rlk_conn *conn, uint32_t key_hash, bool all)
{
    rlk_client *client = (rlk_client *)context;

    if (client->state != RLKI_CLIENT_OPEN)
        return;
    rlki_client_advance(client, rlki_conn_now(conn));
    if (all)
        rlki_notify_all(client, client_node(client, conn), RLK_CAUSE_FLUSH);
    else
        rlki_notify(client, client_node(client, conn), key_hash, RLK_CAUSE_PUSH, NULL);
}

/* Replies and pushes have been taken, in their order: now the locks go on. */
static void client_received(void *context, rlk_conn *conn)
{
    (void)conn;
    rlki_machine_drain((rlk_client *)context);
}

#ifndef RLK_NO_TRACE
static void client_trace(void *context, rlk_conn *conn, bool step, const char *what)
{
    rlk_client *client = (rlk_client *)context;

    if (client->state == RLKI_CLIENT_OPEN)
        rlki_trace_conn(client, conn, client_node(client, conn), step, what);
}
#endif

void rlk_client_conn_config(rlk_client *client, rlk_conn_config *config)
{
    static const rlk_conn_calls calls = {
        client_encode,  client_reply,       client_lost,
        client_changed, client_invalidated, client_received,
#ifndef RLK_NO_TRACE
        client_trace,
#endif
    };

    client->state = RLKI_CLIENT_CLOSED; /* its connections may come and go before it begins */
    config->calls = &calls;
    config->calls_context = client;
    config->scripts = &rlki_script;
    config->scripts_len = 1;
}

/* ---- life ---- */

static bool client_take_times(rlk_client *client, const rlk_client_config *config)
{
    client->drift_ppm = config->drift_ppm == 0 ? RLK_DRIFT_PPM : config->drift_ppm;
    if (client->drift_ppm > RLKI_DRIFT_PPM_MAX) {
        RLKI_REFUSE(client, RLKI_WORD("drift_ppm"), client->drift_ppm, 0, RLKI_DRIFT_PPM_MAX);
        return false;
    }
    return rlki_client_take_limit(client, &client->operation_timeout_ms,
                                  config->operation_timeout_ms, RLK_OPERATION_TIMEOUT_MS,
                                  RLKI_WORD("operation_timeout_ms")) &&
           rlki_client_take_limit(client, &client->settle_timeout_ms, config->settle_timeout_ms,
                                  RLK_SETTLE_TIMEOUT_MS, RLKI_WORD("settle_timeout_ms")) &&
           rlki_client_take_limit(client, &client->drift_ms, config->drift_ms, RLK_DRIFT_MS,
                                  RLKI_WORD("drift_ms"));
}

/* The index: the caller's buckets, or our own. False: they can't be used. */
static bool client_take_buckets(rlk_client *client, const rlk_client_config *config)
{
    size_t len = config->buckets != NULL ? config->buckets_len : RLK_BUCKETS;
    size_t i;

    if (len == 0 || (len & (len - 1)) != 0 || len > UINT32_MAX)
        return false;
    client->buckets = config->buckets != NULL ? config->buckets : client->own_buckets;
    client->buckets_mask = (uint32_t)(len - 1);
    for (i = 0; i < len; i++)
        client->buckets[i] = NULL;
    return true;
}

static rlk_result client_check(rlk_client *client, rlk_conn *const *conns, size_t nodes,
                               const rlk_client_config *config, unsigned *bad_node)
{
    size_t i;
    size_t k;

    if (conns == NULL || config == NULL || config->env.now_ms == NULL ||
        config->env.random == NULL || !client_take_buckets(client, config))
        return RLK_E_ARGUMENT;
    if (config->max_handoffs >= UINT8_MAX) {
        RLKI_REFUSE(client, RLKI_WORD("max_handoffs"), config->max_handoffs, 0, UINT8_MAX - 1);
        return RLK_E_ARGUMENT;
    }
    client->max_handoffs =
        (uint8_t)(config->max_handoffs != 0 ? config->max_handoffs : RLK_MAX_HANDOFFS);
    if (nodes == 0 || nodes > RLK_MAX_NODES) {
        RLKI_REFUSE(client, RLKI_WORD("nodes"), nodes, 1, RLK_MAX_NODES);
        return RLK_E_NODES;
    }
    if (!client_take_times(client, config))
        return RLK_E_TIMES;
    if (config->env.now_ms(config->env.context) >= RLK_NO_CLOCK_MS)
        return RLK_E_CLOCK; /* it would stand still, and leases with it */
    for (i = 0; i < nodes; i++) {
        *bad_node = (unsigned)i;
        if (conns[i] == NULL)
            return RLK_E_ARGUMENT;
        for (k = 0; k < i; k++)
            if (rlk_url_same_server(rlk_conn_url(conns[i]), rlk_conn_url(conns[k])))
                return RLK_E_SAME_NODE;
    }
    return RLK_OK;
}

rlk_result rlki_client_init(rlk_client *client, rlk_conn *const *conns, size_t nodes,
                            const rlk_client_config *config, size_t size, uint32_t layout)
{
    rlk_result result;
    unsigned bad_node = 0;
    unsigned i;

    if (client == NULL)
        return RLK_E_ARGUMENT;
    if (size != sizeof *client || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    client->state = RLKI_CLIENT_CLOSED;
    client->nodes = 0;
    client->renewal = NULL;
    client->locks = NULL;
    client->campaign = NULL;
    client->events = NULL;
    client->ready = NULL;
    client->warnings = 0;
    client->failed = RLK_OK;
    client->checked = false;
    client->interruptible = false;
    client->interrupted = false;
    rlki_token_forget(client);
    RLKI_REFUSE(client, NULL, 0, 0, 0);
    result = client_check(client, conns, nodes, config, &bad_node);
    client->error = (int16_t)result;
    client->error_node = (uint16_t)bad_node;
    if (result != RLK_OK)
        return result;
    client->env = config->env;
    for (i = 0; i < nodes; i++) {
        client->conns[i] = conns[i];
        client->unfenced[i] = 0;
    }
    memset(client->turns, 0, sizeof client->turns);
    client->nodes = (uint8_t)nodes;
    client->quorum = (uint8_t)rlki_quorum(client->nodes);
    if (nodes % 2 == 0)
        client->warnings |= RLK_WARN_EVEN;
#ifndef RLK_NO_TRACE
    memset(&client->stats, 0, sizeof client->stats);
#endif
    rlki_client_begin_time(client);
    client->served_ms = client->now_ms;
    client->hurried_ms = client->now_ms;
    if (client->env.random(client->env.context, &client->jitter, sizeof client->jitter) != 0)
        client->jitter = (uint32_t)client->clock_ms; /* not secret; tokens fail on their own */
    client->jitter |= 1u;
    client->state = RLKI_CLIENT_OPEN;
    return RLK_OK;
}

void rlk_client_close(rlk_client *client)
{
    rlk_lock *lock;
    unsigned i;

    if (client == NULL || client->state != RLKI_CLIENT_OPEN)
        return;
    client->state = RLKI_CLIENT_CLOSED;
    for (lock = client->locks; lock != NULL; lock = lock->next)
        for (i = 0; i < rlki_nodes(client); i++)
            (void)rlki_node_lock_abandon(&lock->nodes[i]);
    while (client->locks != NULL) {
        lock = client->locks;
        client->locks = lock->next;
        lock->client = NULL;
        lock->state = RLKI_CLOSED;
        lock->position = RLKI_POSITION_NONE;
    }
    client->events = NULL;
    client->ready = NULL;
    rlki_token_forget(client);
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_close(client->conns[i], client->clock_ms);
}

int64_t rlki_client_deadline(const rlk_client *client)
{
    int64_t deadline_ms;
    unsigned i;

    if (client->ready != NULL) /* of a command that did not leave */
        return client->clock_ms + 1;
    deadline_ms = rlki_client_clock_of(client, rlki_timers_deadline(&client->timers));
    for (i = 0; i < rlki_nodes(client); i++) {
        int64_t conn_ms = rlki_conn_deadline(client->conns[i]);

        if (conn_ms < deadline_ms)
            deadline_ms = conn_ms;
    }
    return deadline_ms;
}

int64_t rlk_client_deadline(const rlk_client *client)
{
    return rlki_client_enter(client) == RLK_OK ? rlki_client_deadline(client) : RLK_NEVER;
}

void rlki_client_tick(rlk_client *client)
{
    int64_t clock_ms;
    int32_t now_ms;
    rlk_timer *timer;
    unsigned i;

    rlki_client_now(client);
    clock_ms = client->clock_ms;
    now_ms = client->now_ms;
    while ((timer = rlki_timers_pop(&client->timers, now_ms)) != NULL)
        rlki_machine_tick((rlk_lock *)(void *)timer); /* its first member */
    rlki_machine_drain(client);
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_tick(client->conns[i], clock_ms);
}

void rlk_client_tick(rlk_client *client)
{
    if (rlki_client_enter(client) == RLK_OK)
        rlki_client_tick(client);
}

rlk_result rlk_client_reset(rlk_client *client)
{
    rlk_result result = rlki_client_enter(client);
    unsigned i;

    if (result != RLK_OK)
        return result;
    rlki_client_changing(client);
    rlki_client_now(client);
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_reset(client->conns[i], client->clock_ms);
    return RLK_OK;
}

size_t rlk_client_nodes(const rlk_client *client)
{
    return client != NULL ? client->nodes : 0;
}

rlk_conn *rlk_client_conn(rlk_client *client, size_t node)
{
    return client != NULL && node < client->nodes ? client->conns[node] : NULL;
}

unsigned rlk_client_warnings(const rlk_client *client)
{
    return client != NULL ? client->warnings : 0;
}

/* ==== src/lock/blocking.c ====
 *
 * The blocking calls: start, then wait until the result. One loop, for any driver; the operation's
 * own deadlines end it.
 *
 * An interrupt is RLK_CANCELLED, answered by env.wait:
 *
 *            call                       interrupt: rlk_cancel
 *     IDLE ---------------> WAITING -----------------------------> ENDING (a further interrupt is
 *      | ^    result         | | ^                                  |      this one)
 *      | +-------------------+ | +-- acquire's undo: waits on ------+
 *      | +-----------------------+---------- result ----------------+
 *      |                       | result, and an interrupt in the same wait
 *      | interrupt             v
 *      +-------------> INTERRUPTED --- acquire: ended before it sends anything ---> IDLE
 *        (seen when the    | ^         (RLK_CANCELLED)
 *        next call begins) +-+ another call: as in IDLE, and the interrupt stays
 */

/* Ends an operation whose driver can't wait: what is not settled now will not be. */
static void blocking_give_up(rlk_lock *lock)
{
    (void)rlk_cancel(lock);
    if (!rlki_operation_is_on(lock))
        return;
    /* an acquire whose undo would have to be waited for */
    rlki_operation_finish(lock, RLK_UNKNOWN);
    rlki_machine_run(lock);
}

/* Returns true while the call's own operation is under way. Its event may have been pulled while
 * waiting. Then another may have followed automatically (follow_again). */
static bool blocking_is_on(const rlk_lock *lock, const rlki_operation *op)
{
    return op != NULL && lock->op == op;
}

/* What started forms learn by an event is passed to the hook. False: which closed the lock. The
 * next wait reckons with the time that the hook took. */
static bool blocking_report(rlk_lock *lock)
{
    rlk_client *client = lock->client;
    const rlk_env *env = &client->env;

    if ((lock->events & RLKI_EVENT_WAITING) == 0)
        return true;
    rlki_event_drop(lock, RLKI_EVENT_WAITING);
    if (env->waiting != NULL)
        env->waiting(env->context, lock, rlki_waiting_reason(lock).result,
                     client->clock_ms - lock->as.wait.began_ms);
    if (lock->client != client)
        return false;
    rlki_client_now(client);
    return true;
}

/* One wait of a call whose operation goes on. False: the call is over, whatever the operation is.
 */
static RLKI_INTO_CALLERS bool blocking_turn(rlk_lock *lock, const rlki_operation *op,
                                            bool *cancelled)
{
    rlk_client *client = lock->client;
    int answer = client->env.wait(client->env.context, client, rlki_client_deadline(client));

    if (lock->client != client) /* a hook closed it while waiting */
        return false;
    if (answer == RLK_CANCELLED && !blocking_is_on(lock, op))
        client->interrupted = true;
    else if (answer == RLK_CANCELLED && !*cancelled) {
        *cancelled = true;
        (void)rlk_cancel(lock);
    } else if (answer != 0 && answer != RLK_CANCELLED && blocking_is_on(lock, op)) {
        blocking_give_up(lock);
    }
    if (!blocking_is_on(lock, op))
        return true;
    rlki_client_tick(client);
    return blocking_report(lock);
}

static RLKI_INTO_CALLERS rlk_result blocking_wait(rlk_lock *lock)
{
    rlk_client *client = lock->client;
    const rlki_operation *op = lock->op;
    bool cancelled = false;
    rlk_result result;

    while (blocking_is_on(lock, op))
        if (!blocking_turn(lock, op, &cancelled))
            return RLK_E_CLOSED;
    client->served_ms = client->now_ms;
    result = (rlk_result)lock->done_result;
    if (rlki_operation_is_on(lock))
        return result;
    rlki_event_drop(lock, RLKI_EVENT_RESULT);
    if ((lock->events & RLKI_EVENT_LOST) == 0 && rlki_lock_campaigns(lock))
        client->campaign->follow_again(lock); /* its loss was pulled while waiting */
    return result;
}

/* Between blocking calls nobody serves the connections. After this time a call first reads what has
 * come meanwhile: above all, that a server closed an idle connection. */
#define BLOCKING_IDLE_MS 1000

/* Before starting: without a way to wait nothing is started. `serves`: reads in any case. */
static RLKI_INTO_CALLERS rlk_result blocking_enter(rlk_lock *lock, bool serves)
{
    rlk_result result = rlki_machine_enter(lock);
    rlk_client *client;

    if (result != RLK_OK)
        return result;
    client = lock->client;
    if (client->env.wait == NULL)
        return RLK_E_WAIT;
    if (rlki_operation_is_on(lock))
        return RLK_OK; /* this call is refused, and must not end that one on the way */
    if (!serves && !client->interruptible &&
        rlki_earlier(client->now_ms, BLOCKING_IDLE_MS) < client->served_ms)
        return RLK_OK;
    client->served_ms = client->now_ms;
    if (client->env.wait(client->env.context, client, client->clock_ms) == RLK_CANCELLED)
        client->interrupted = true; /* before this call */
    return rlki_machine_enter(lock);
}

/* An acquire that would begin takes an interrupt that came before. Nothing of it was sent, so what
 * is known of the token is what an earlier operation left. */
static rlk_result blocking_take_interrupt(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    if (!client->interrupted || lock->state == RLKI_HELD || rlki_operation_is_on(lock))
        return RLK_OK;
    client->interrupted = false;
    return rlki_tally_of(lock).unclean < rlki_needed(client) ? RLK_CANCELLED : RLK_UNKNOWN;
}

/* A lease may be lost while the call begins. Whether that comes in its first wait or in a later one
 * must not change its result: RLK_NOT_OWNER where the nodes said so. held: before the call. */
static rlk_result blocking_take_loss(const rlk_lock *lock, bool held)
{
    bool lost = held && lock->state == RLKI_LOST;

    return lost && lock->lost_cause >= RLK_LOST_DELETED ? RLK_NOT_OWNER : RLK_OK;
}

static rlk_result blocking_call(rlk_lock *lock, const rlki_call *call, int64_t argument,
                                rlk_holder *holders)
{
    /* A call that keeps a lease first reads whether it was lost. So does a DEL: it is not sent
     * twice, so a stream that is known to be dead must not take it (fault 115). */
    rlk_result entered;
    rlk_result result;
    rlk_result loss = RLK_OK;
    bool held;
    bool lease = (call->op->flags & RLKI_OP_LEASE) != 0;

    if (lock == NULL)
        return RLK_E_ARGUMENT;
    held = lock->state == RLKI_HELD;
    entered = blocking_enter(lock, (call->flags & RLKI_CALL_SERVED) != 0 && (!lease || held));
    if (entered == RLK_OK && (call->op->flags & RLKI_OP_WAITS) != 0)
        entered = blocking_take_interrupt(lock);
    if (entered == RLK_OK)
        loss = blocking_take_loss(lock, held);
    if (lease && loss != RLK_OK)
        entered = loss;
    result = rlki_api_begin(lock, entered, call, argument, holders);
    if (result == RLK_PENDING)
        result = blocking_wait(lock);
    if (result == RLK_LOST && loss != RLK_OK) { /* a release: as its own script would say */
        rlki_operation_note(lock, RLK_OP_RELEASE, loss);
        result = loss;
    }
    return result;
}

#define BLOCKING_CALL(name, parameters, argument, holders)                                         \
    rlk_result rlk_##name parameters                                                               \
    {                                                                                              \
        return blocking_call(lock, &rlki_call_##name, (argument), (holders));                      \
    }
RLKI_CALLS(BLOCKING_CALL)

rlk_result rlk_resign(rlk_lock *lock)
{
    rlk_result result = blocking_enter(lock, false);

    if (result == RLK_OK)
        result = rlk_resign_start(lock);
    return result == RLK_PENDING ? blocking_wait(lock) : result;
}

rlk_result rlk_keep_alive(rlk_lock *lock)
{
    rlk_result result = blocking_call(lock, &rlki_call_keep_alive, 0, NULL);

    /* A renewal that failed is tried again at the next call, while the lease lasts. */
    if (result != RLK_E_WAIT && rlk_is_held(lock))
        return RLK_OK;
    return result == RLK_OK || result == RLK_UNKNOWN ? RLK_LOST : result;
}

void rlki_lock_scope_end(rlk_lock *lock)
{
    rlki_lock_leave_election(lock);
    if (rlk_lock_operation(lock) != RLK_OP_NONE && rlk_cancel(lock) == RLK_OK &&
        lock->client->env.wait != NULL)
        (void)blocking_wait(lock);
    if (rlk_release(lock) == RLK_E_WAIT)
        (void)rlk_release_start(lock); /* what is encoded leaves with the loop's next turn */
    (void)rlk_lock_close(lock);
}

/* ==== src/lock/check.c ====
 *
 * rlk_client_check: connects, and says whether the servers can do what a lock needs. It sends what
 * the handshake sends, and no more:
 *
 *           call                 each node is ready, or its attempt failed, or the time is over
 *     IDLE --------> CONNECTING ----------------------------------------------------------> IDLE
 *                        |                                                                   ^
 *                        +----- interrupted: RLK_CANCELLED, connections go on ---------------+
 */

/* Begins: what ended unnoticed is noticed, and who was a replica may not be one any more. */
static rlk_result check_begin(rlk_client *client, uint32_t *failures)
{
    unsigned i;
    int answer;

    rlki_client_now(client);
    answer = client->env.wait(client->env.context, client, client->clock_ms);
    if (client->state != RLKI_CLIENT_OPEN)
        return RLK_E_CLOSED;
    if (answer != 0)
        return answer == RLK_CANCELLED ? RLK_CANCELLED : RLK_E_WAIT;
    rlki_client_now(client);
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_conn *conn = client->conns[i];

        if ((rlki_conn_server(conn) & RLK_SERVER_REPLICA) != 0)
            rlk_conn_reset(conn, client->clock_ms);
        rlk_conn_hurry(conn, client->clock_ms);
        failures[i] = rlk_conn_failures(conn);
    }
    return RLK_OK;
}

static bool check_is_over(const rlk_client *client, const uint32_t *failures)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(client); i++) {
        const rlk_conn *conn = client->conns[i];

        if (rlki_conn_state(conn) != RLK_CONN_READY && !rlki_conn_is_over(conn) &&
            rlk_conn_failures(conn) == failures[i])
            return false;
    }
    return true;
}

static rlk_result check_wait(rlk_client *client, const uint32_t *failures)
{
    int64_t end_ms = client->clock_ms + client->operation_timeout_ms;

    while (!check_is_over(client, failures) && client->clock_ms < end_ms) {
        int64_t deadline_ms = rlk_client_deadline(client);
        int answer = client->env.wait(client->env.context, client,
                                      deadline_ms < end_ms ? deadline_ms : end_ms);

        if (client->state != RLKI_CLIENT_OPEN)
            return RLK_E_CLOSED;
        if (answer != 0)
            return answer == RLK_CANCELLED ? RLK_CANCELLED : RLK_E_WAIT;
        rlk_client_tick(client);
        rlki_client_now(client);
    }
    return RLK_OK;
}

static rlk_result check_node(const rlk_conn *conn)
{
    rlk_result result = rlk_conn_result(conn); /* RLK_OK: it is ready */

    if (result == RLK_OK && (rlki_conn_server(conn) & RLK_SERVER_REPLICA) != 0)
        return RLK_E_READONLY;
    return result;
}

rlk_result rlk_client_check(rlk_client *client)
{
    uint32_t failures[RLK_MAX_NODES] = {0};
    rlk_result result = rlki_client_enter(client);
    unsigned i;

    if (result != RLK_OK)
        return result;
    if (client->env.wait == NULL)
        return RLK_E_WAIT;
    rlki_client_changing(client);
    result = check_begin(client, failures);
    if (result == RLK_OK)
        result = check_wait(client, failures);
    client->served_ms = client->now_ms;
    for (i = 0; i < rlki_nodes(client) && result == RLK_OK; i++) {
        result = check_node(client->conns[i]);
        client->failed_node = (uint8_t)i;
    }
    client->failed_command = RLKI_NO_COMMAND;
    client->failed = (int16_t)(result < 0 ? result : RLK_OK);
    client->checked = result == RLK_OK;
    return result;
}

/* ==== src/lock/renewal.h ====
 *
 * Renewals that nobody calls for.
 */
#ifndef RLKI_LOCK_RENEWAL_H
#define RLKI_LOCK_RENEWAL_H

/* The locks of a client may renew from now on: those of which rlki_lock_renews is true. */
RLKI_API void rlki_renewal_begin(rlk_client *client);

#endif

/* ==== src/lock/renewal.c ====
 *
 * Renewals in the background (auto_renew, rlk_campaign_start): an operation of its own, whose
 * result is no caller's. An operation that a caller starts has precedence:
 *
 *            a third of the TTL has passed         a quorum: ours       (RLK_EV_RENEWED)
 *    wait -----------------------------------> RENEW ----------------> wait
 *      ^ ^                                      | |
 *      | | jittered pause                       | | no answer in node_timeout_ms, an error
 *      | +--------------------------------------+ |                     (RLK_EV_RENEW_FAILED)
 *      |   a caller's operation, when that is     |
 *      +------------------------------------------+ q out of reach      (RLK_EV_RENEW_FAILED)
 *          over                                   +----> LOST
 *
 * The lease's own deadline ends it all, without the network (machine.c). What a minority has
 * raised stays with its nodes, and adds up over several attempts.
 */

static void renewal_schedule(rlk_lock *lock, bool anew)
{
    int32_t now_ms = lock->client->now_ms;
    int32_t left_ms;

    if (lock->state != RLKI_HELD)
        return; /* it waits, perhaps, and has no lease */
    left_ms = rlki_left(lock, lock->as.hold.valid_ms);
    lock->as.hold.renew_ms = rlki_lock_renews(lock) ? rlki_lease_renew_at(lock) : RLKI_NEVER;
    if (anew && lock->as.hold.renew_ms <= now_ms)
        lock->as.hold.renew_ms = now_ms + 1 + left_ms / 3;
}

static void renewal_ended(rlk_lock *lock, rlk_result result)
{
    if (result == RLK_LOST)
        return; /* which is reported as such */
    if (result == RLK_E_WRONGTYPE && lock->state == RLKI_HELD)
        result = RLK_UNKNOWN; /* a minority says so: that is no refusal */
    lock->renewal = (int16_t)result;
    lock->options |= RLKI_OPTION_RENEWED;
    rlki_event_raise(lock, RLKI_EVENT_RENEWAL);
    if (result == RLK_OK) {
        RLKI_COUNT(lock->client, renewed);
        renewal_schedule(lock, true);
    } else if (lock->state == RLKI_HELD) {
        int32_t now_ms = lock->client->now_ms;
        /* for more than one attempt */
        int32_t half_ms = rlki_left(lock, lock->as.hold.valid_ms) / 2;
        int32_t pause_ms = (int32_t)rlki_lock_pause(lock);

        RLKI_COUNT(lock->client, renew_unknown);
        lock->as.hold.renew_ms = now_ms + 1 + (half_ms < pause_ms ? half_ms : pause_ms);
    } else {
        RLKI_COUNT(lock->client, renew_refused);
    }
}

static const rlki_operation renewal_operation = {
    RLK_OP_NONE, RLKI_OP_LEASE, rlki_extend_step, rlki_extend_report, NULL,
    NULL,        NULL,          renewal_ended,
};

/* Begins a renewal, unless an operation is under way. */
static void renewal_due(rlk_lock *lock)
{
    int32_t now_ms = lock->client->now_ms;
    int32_t target_ms;

    lock->as.hold.renew_ms = RLKI_NEVER;
    if (lock->op != NULL)
        return; /* scheduled again when the operation is over */
    target_ms = rlki_lease_renew_target(lock);
    if (target_ms == RLKI_NEVER) {
        renewal_schedule(lock, true); /* with much drift a renewal gains nothing yet */
        return;
    }
    rlki_lease_claim(lock, target_ms, (uint32_t)(target_ms - now_ms));
    rlki_extend_begin(lock, &renewal_operation, target_ms,
                      rlki_from_now(lock, lock->node_timeout_ms));
}

void rlki_renewal_begin(rlk_client *client)
{
    static const rlki_renewal renewal = {renewal_due, renewal_schedule};

    client->renewal = &renewal;
}

void rlki_lock_auto_renew(rlk_lock *lock)
{
    lock->options |= RLKI_OPTION_RENEW;
    rlki_renewal_begin(lock->client);
}

/* ==== src/lock/election.c ====
 *
 * Leader and followers: a lock that wants to be held without end.
 *
 *                          acquired              rlk_resign
 *    rlk_campaign_start --> FOLLOWS ----------> LEADS -------------> (RELEASED ...)
 *                        |   ^                | lost: RLK_EV_LOST
 *                        |   +----------------+ is pulled
 *                        | rlk_resign
 *                        +---------------------------------------> (CANCELLED ...)
 *
 * It is the acquire without a deadline, and the renewals in the background. What is added: it
 * begins again, and not before its loss was pulled.
 */

#include <string.h>

static void election_follow_again(rlk_lock *lock)
{
    rlk_result result;

    if (lock->state != RLKI_LOST || rlki_operation_is_on(lock)) /* a query: when that is pulled */
        return;
    result = rlk_campaign_start(lock);
    if (result == RLK_PENDING)
        return;
    rlki_lock_leave_election(lock);
    rlki_operation_report(lock, RLK_OP_ACQUIRE, result);
}

static void election_ask(rlk_lock *lock)
{
    rlk_node_mask ask = lock->as.wait.busy & ~lock->as.wait.read;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if ((ask & rlki_bit(i)) == 0 || node->request.tag != RLKI_NO_COMMAND ||
            !rlki_conn_is_ready(rlki_route(lock, i)))
            continue;
        rlki_node_lock_send(node, RLKI_QUERY);
    }
}

/* The first half of an answer: the token is the one that was known. */
static bool election_is_same(const rlk_holder *holder, const rlk_reply *reply)
{
    return holder->result == RLK_OK && reply->type == RLK_RESP_BULK &&
           reply->len == holder->token_len && holder->token_len <= RLK_TOKEN_MAX &&
           memcmp(reply->data, holder->token, reply->len) == 0;
}

/* Keeps an answer. What was known stays until there is more: between two halves of an answer, and
 * where the stream ends. */
static void election_answered(rlk_lock *lock, rlk_holder *holder, const rlki_report *report)
{
    if (report->kind == RLKI_REPORT_PART && election_is_same(holder, report->reply))
        return;
    if (holder->result == RLK_OK && report->kind == RLKI_REPORT_LOST)
        return;
    if (holder->result == RLK_OK && report->kind != RLKI_REPORT_PART)
        holder->result = RLK_PENDING; /* of the second half */
    rlki_inspect_keep(lock, holder, report);
}

/* A node answers who holds the key; or anything else, behind which that is asked again. */
static void election_observe(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_node_mask bit = rlki_bit(rlki_index(node));
    rlk_holder *holder = &lock->holders[rlki_index(node)];

    if (report->command == RLKI_QUERY)
        election_answered(lock, holder, report);
    else if (report->kind == RLKI_REPORT_HELD && node->request.tag == RLKI_CONFIRM)
        holder->result = RLK_PENDING;
    if (report->kind == RLKI_REPORT_PART)
        lock->as.wait.read |= bit; /* until a change, or behind another command */
    else if (report->command != RLKI_QUERY || report->kind == RLKI_REPORT_LOST)
        lock->as.wait.read &= (rlk_node_mask)~bit;
}

rlk_result rlk_campaign_start(rlk_lock *lock)
{
    static const rlki_campaign campaign = {election_follow_again, election_ask, election_observe};
    rlk_result result = rlki_api_start(lock, &rlki_call_acquire, RLK_FOREVER, NULL);

    if (result == RLK_PENDING) {
        rlki_renewal_begin(lock->client);
        lock->client->campaign = &campaign;
        lock->options |= RLKI_OPTION_CAMPAIGN;
    }
    return result;
}

rlk_result rlk_resign_start(rlk_lock *lock)
{
    rlk_result result = rlki_machine_enter(lock);

    if (result != RLK_OK)
        return result;
    if (lock->op != &rlki_acquire)
        return rlk_release_start(lock);
    (void)rlk_cancel(lock);
    if (rlki_operation_is_on(lock))
        return RLK_PENDING;
    rlki_event_drop(lock, RLKI_EVENT_RESULT); /* it is over already */
    return (rlk_result)lock->done_result;
}

/* The server's word: any time. */
static int64_t election_later(int64_t time_ms, int64_t ttl_ms)
{
    return time_ms > RLK_NEVER - ttl_ms ? RLK_NEVER : time_ms + ttl_ms;
}

/* Returns the greatest time that a quorum has, or a later one. */
static int64_t election_quorum_time(const int64_t *times_ms, unsigned nodes, unsigned needed)
{
    int64_t best_ms = INT64_MIN;
    unsigned i;
    unsigned k;

    for (i = 0; i < nodes; i++) {
        unsigned reached = 0;

        for (k = 0; k < nodes; k++)
            reached += times_ms[k] >= times_ms[i];
        if (reached >= needed && times_ms[i] > best_ms)
            best_ms = times_ms[i];
    }
    return best_ms;
}

/* Returns the token that a quorum of nodes said last, and until when it is there (RLK_NEVER: it has
 * no expiry); NULL: none. Two tokens can't have a quorum, so the first that has one is it. */
static const rlk_holder *election_find(const rlk_client *client, const rlk_holder *holders,
                                       int64_t *until_ms)
{
    const rlk_holder *found = NULL;
    int64_t times_ms[RLK_MAX_NODES];
    unsigned i = 0;

    if (holders == NULL)
        return NULL;
    do { /* one at least, as in rlki_lease_expiry */
        times_ms[i] = INT64_MIN;
        if (rlki_inspect_agree(client, holders, &holders[i]) < rlki_needed(client))
            continue;
        found = &holders[i];
        times_ms[i] =
            found->ttl_ms < 0 ? RLK_NEVER : election_later(found->answered_ms, found->ttl_ms);
    } while (++i < rlki_nodes(client));
    *until_ms = election_quorum_time(times_ms, rlki_nodes(client), rlki_needed(client));
    if (found == NULL || found->token_len > RLK_TOKEN_MAX || *until_ms < client->clock_ms)
        return NULL;
    return found;
}

/* What was said last: to the lock itself, or to the first of its queue, which alone asks. */
static const rlk_holder *election_said(const rlk_lock *lock, int64_t *until_ms)
{
    const rlk_holder *own = election_find(lock->client, lock->holders, until_ms);
    int64_t first_ms = RLK_NEVER;
    const rlk_holder *first =
        election_find(lock->client, rlki_queue_asker(lock)->holders, &first_ms);

    if (first == NULL || (own != NULL && own->answered_ms > first->answered_ms))
        return own;
    *until_ms = first_ms;
    return first;
}

static uint8_t election_name_len(size_t len)
{
    return (uint8_t)(len > RLK_TOKEN_DIGITS ? len - RLK_TOKEN_DIGITS : 0);
}

rlk_result rlk_leader(rlk_lock *lock, rlk_leader_info *leader)
{
    const rlk_holder *holder;
    const rlk_lock *own;
    char token[RLK_TOKEN_MAX + 1] = {0};
    rlk_result result = rlki_machine_enter(lock);
    int64_t until_ms = RLK_NEVER;
    size_t len = 0;

    if (result != RLK_OK)
        return result;
    if (leader == NULL)
        return RLK_E_ARGUMENT;
    holder = election_said(lock, &until_ms);
    own = rlki_queue_holder(lock);
    if (own != NULL)
        len = rlk_lock_token(own, token, sizeof token);
    if (own != NULL && (holder == NULL || holder->answered_ms <= own->as.hold.since_ms)) {
        until_ms = rlk_valid_until_ms(own);
    } else if (holder != NULL) { /* said since */
        if (memcmp(token, holder->token, sizeof token) != 0)
            own = NULL;
        memcpy(token, holder->token, sizeof token);
        len = holder->token_len;
    } else {
        leader->known = false;
        leader->ours = false;
        return RLK_NOT_HELD;
    }
    if (own != NULL)
        leader->since_ms = own->as.hold.since_ms;
    else if (!leader->known || memcmp(leader->token, token, sizeof token) != 0)
        leader->since_ms = lock->client->clock_ms;
    memcpy(leader->token, token, sizeof token);
    leader->known = true;
    leader->ours = own != NULL;
    leader->name_len = election_name_len(len);
    leader->until_ms = until_ms;
    return RLK_OK;
}

/* ==== src/lock/error_text.c ====
 *
 * Errors in words, rendered on demand into the client's one buffer.
 */

#include <string.h>

#ifndef RLK_NO_TEXT
/* Longest part of a key that is shown. */
#define TEXT_KEY_MAX 48

/* Longest part of a host or path that is shown: its end, which says more than its beginning. */
#define TEXT_ADDRESS_MAX 108u
#endif

static text_out text_start(rlk_client *client)
{
    return text_begin(client->text, sizeof client->text);
}

#ifndef RLK_NO_TEXT
static void text_bytes(text_out *out, const char *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        rlki_text_char(out, bytes[i]);
}

/* "NAME: meaning" */
static void text_result(text_out *out, rlk_result result)
{
    rlki_text_string(out, rlk_result_name(result));
    rlki_text_string(out, ": ");
    rlki_text_string(out, rlk_result_text(result));
}

/* What ended a lease; NULL: nothing is known. */
static const char *text_lost_cause(unsigned cause)
{
    static const char *const causes[RLK_LOST_CAUSES] = {
        NULL,
        "the lease ran out before it was renewed",
        "the lease ran out, because the server refused to renew it",
        "the key is gone: deleted, evicted, expired, or lost with the server's data",
        "the key has another value: somebody wrote it, or deleted and acquired it",
        "the key has something that is not a string"};

    return causes[cause];
}

/* What a result means to an operation; NULL: what it means to all. */
static const char *text_of_operation(unsigned operation, rlk_result result)
{
    switch (operation) {
    case RLK_OP_ACQUIRE:
        return result == RLK_E_TIMES ? "the wait is negative: RLK_TRY, RLK_FOREVER, RLK_DEFAULT or "
                                       "milliseconds"
                                     : NULL;
    case RLK_OP_QUERY:
        if (result == RLK_E_ARGUMENT)
            return "holders is NULL, or has room for less than rlk_client_nodes()";
        return result == RLK_NOT_HELD ? "nobody has the lock" : NULL;
    case RLK_OP_EXTEND:
    case RLK_OP_RENEW:
        return result == RLK_UNKNOWN ? "sent, but not answered in time: held until the deadline of "
                                       "before, and the key may live longer"
                                     : NULL;
    case RLK_OP_RELEASE:
        return result == RLK_UNKNOWN ? "not answered in time: the key may stay until its TTL is "
                                       "over; the delete is repeated while the client is served"
                                     : NULL;
    case RLK_OP_FORCE_RELEASE:
        return result == RLK_UNKNOWN ? "sent, but not answered in time: perhaps the key is deleted"
                                     : NULL;
    default:
        return NULL;
    }
}

/* "NAME: meaning", of a lock's operation */
static void text_lock_result(text_out *out, const rlk_lock *lock, unsigned operation,
                             rlk_result result)
{
    const char *meaning = text_of_operation(operation, result);
    bool lost = result == RLK_LOST || result == RLK_NOT_OWNER;

    if (lost)
        meaning = text_lost_cause(lock->lost_cause);
    rlki_text_string(out, rlk_result_name(result));
    rlki_text_string(out, ": ");
    rlki_text_string(out, meaning != NULL ? meaning : rlk_result_text(result));
    rlki_text_lock_limit(out, lock, operation, result);
    if (result == RLK_LOST)
        rlki_text_string(out, "; stop using what it protects");
}

/* The end of a text that may be long. */
static void text_tail(text_out *out, const char *bytes, size_t len)
{
    if (len > TEXT_ADDRESS_MAX) {
        rlki_text_string(out, "...");
        bytes += len - TEXT_ADDRESS_MAX;
        len = TEXT_ADDRESS_MAX;
    }
    text_bytes(out, bytes, len);
}

/* "127.0.0.1:6379", "[::1]:6379", "/run/redis.sock" */
static void text_address(text_out *out, const rlk_url *url)
{
    bool v6 = false;
    uint16_t i;

    if (url->host != NULL) {
        for (i = 0; i < url->host_len; i++)
            v6 = v6 || url->host[i] == ':';
        rlki_text_string(out, v6 ? "[" : "");
        text_tail(out, url->host, url->host_len);
        rlki_text_string(out, v6 ? "]:" : ":");
        rlki_text_number(out, url->port);
    } else {
        text_tail(out, url->path, url->path_len);
    }
}

/* A node answers, as far as the last operation of the lock (NULL: the connection) has seen. */
static bool text_answers(const rlk_client *client, const rlk_lock *lock, unsigned node)
{
    unsigned vote = lock != NULL ? lock->nodes[node].vote : (unsigned)RLKI_VOTE_NONE;

    if (rlki_conn_state(client->conns[node]) != RLK_CONN_READY || vote == RLKI_VOTE_ERROR)
        return false;
    return lock == NULL || vote != RLKI_VOTE_NONE || lock->error != RLK_E_RESPONSE_TIMEOUT;
}

/* "; 2 of 5 nodes answer, 3 are needed" */
static void text_quorum(text_out *out, const rlk_client *client, const rlk_lock *lock)
{
    unsigned answering = 0;
    unsigned i;

    if (rlki_nodes(client) == 1)
        return;
    for (i = 0; i < rlki_nodes(client); i++)
        answering += text_answers(client, lock, i);
    rlki_text_string(out, "; ");
    rlki_text_number(out, answering);
    rlki_text_string(out, " of ");
    rlki_text_number(out, rlki_nodes(client));
    rlki_text_string(out, answering == 1 ? " nodes answers, " : " nodes answer, ");
    rlki_text_number(out, rlki_needed(client));
    rlki_text_string(out, " are needed");
}

/* "; connection refused, errno 111" */
static void text_errno(text_out *out, const rlk_env *env, int number)
{
    const char *words = env->errno_text != NULL ? env->errno_text(env->context, number) : NULL;

    rlki_text_string(out, "; ");
    if (words != NULL) {
        rlki_text_string(out, words);
        rlki_text_string(out, ", ");
    }
    rlki_text_string(out, "errno ");
    rlki_text_number(out, (uint32_t)number);
}

/* The connection's text has the driver's words, not the server's. */
static bool text_is_drivers(rlk_result error)
{
    return error == RLK_E_NOT_CONNECTED || error == RLK_E_RESOLVE ||
           error == RLK_E_CONNECT_TIMEOUT || error == RLK_E_TLS || error == RLK_E_TLS_REFUSED;
}

/* " (node 0, 127.0.0.1:6379, HELLO; the server said: ...; errno 111)" */
static void text_node(text_out *out, rlk_client *client, unsigned node, const char *command,
                      rlk_result error)
{
    rlk_conn *conn = client->conns[node];
    rlk_result_kind kind = rlk_result_class(error);
    const char *said = rlk_conn_text(conn);

    rlki_text_string(out, " (node ");
    rlki_text_number(out, node);
    if (error != RLK_E_DANGLING) { /* else whose memory the URL's is now is not known */
        rlki_text_string(out, ", ");
        text_address(out, rlk_conn_url(conn));
    }
    if (command[0] != '\0') {
        rlki_text_string(out, ", ");
        rlki_text_string(out, command);
    }
    if (said[0] != '\0' &&
        (kind == RLK_KIND_SERVER || kind == RLK_KIND_FATAL || text_is_drivers(error))) {
        rlki_text_string(out, text_is_drivers(error) ? "; " : "; the server said: ");
        rlki_text_string(out, said);
    }
    /* Redis hangs up without a word on its TLS port; other servers have sent RLK_E_NOT_RESP. */
    if ((error == RLK_E_EOF || error == RLK_E_IO) && rlki_conn_was_mute(conn))
        rlki_text_string(out, "; hung up before the first reply: is it a TLS port?");
    if (kind == RLK_KIND_TRANSPORT && rlk_conn_errno(conn) > 0)
        text_errno(out, &client->env, rlk_conn_errno(conn));
    rlki_text_char(out, ')');
}

/* The same, of an operation's command; RLKI_NO_COMMAND: of the connection's own. */
static void text_command_node(text_out *out, rlk_client *client, const rlk_lock *lock,
                              unsigned node, unsigned command, rlk_result error)
{
    const char *name = command != RLKI_NO_COMMAND ? rlki_command_name(command)
                                                  : rlk_conn_step(client->conns[node]);

    rlki_text_conn_limit(out, client->conns[node], error);
    text_quorum(out, client, lock);
    text_node(out, client, node, name, error);
}

/* What rlk_lock_init or open refused, of one node if that is not the first. */
static void text_refused(text_out *out, const rlk_client *client)
{
    unsigned node = client->error_node;

    text_result(out, (rlk_result)client->error);
    rlki_text_refusal(out, client);
    if (node == 0)
        return;
    rlki_text_string(out, " (node ");
    rlki_text_number(out, node);
    rlki_text_char(out, ')');
}

/* "acquire "foobar": " */
static void text_lock(text_out *out, const rlk_lock *lock, unsigned operation)
{
    rlki_text_string(out, rlki_operation_name(operation));
    if (lock->error == RLK_E_DANGLING) {
        rlki_text_string(out, ": ");
        return;
    }
    rlki_text_string(out, " \"");
    text_bytes(out, (const char *)lock->key,
               lock->key_len < TEXT_KEY_MAX ? lock->key_len : TEXT_KEY_MAX);
    rlki_text_string(out, lock->key_len > TEXT_KEY_MAX ? "...\": " : "\": ");
}

/* "still waiting after 30 s: " */
static void text_waiting(text_out *out, const rlk_lock *lock)
{
    int64_t waited_ms = lock->client->clock_ms - lock->as.wait.began_ms;

    rlki_text_string(out, "still waiting after ");
    rlki_text_number(out,
                     (waited_ms < (int64_t)UINT32_MAX ? (uint32_t)waited_ms : UINT32_MAX) / 1000);
    rlki_text_string(out, " s: ");
}

static void text_last_error(text_out *out, rlk_result error)
{
    rlki_text_string(out, "; last error ");
    rlki_text_string(out, rlk_result_name(error));
}

#else /* RLK_NO_TEXT: numbers */

static void text_result(text_out *out, rlk_result result)
{
    if (result < 0)
        rlki_text_char(out, '-');
    rlki_text_number(out, (uint32_t)(result < 0 ? -(int)result : (int)result));
}

static void text_lock_result(text_out *out, const rlk_lock *lock, unsigned operation,
                             rlk_result result)
{
    (void)lock;
    (void)operation;
    text_result(out, result);
}

static void text_refused(text_out *out, const rlk_client *client)
{
    unsigned node = client->error_node;
    text_result(out, (rlk_result)client->error);
    rlki_text_char(out, ' ');
    rlki_text_char(out, '@');
    rlki_text_number(out, node);
}

static void text_command_node(text_out *out, rlk_client *client, const rlk_lock *lock,
                              unsigned node, unsigned command, rlk_result error)
{
    (void)lock;
    (void)client;
    (void)command;
    (void)error;
    rlki_text_char(out, ' ');
    rlki_text_char(out, '@');
    rlki_text_number(out, node);
}

static void text_lock(text_out *out, const rlk_lock *lock, unsigned operation)
{
    (void)out;
    (void)lock;
    (void)operation;
}

static void text_waiting(text_out *out, const rlk_lock *lock)
{
    (void)out;
    (void)lock;
}

static void text_last_error(text_out *out, rlk_result error)
{
    rlki_text_char(out, ' ');
    text_result(out, error);
}
#endif

/* ---- what a server can't do ---- */

#ifndef RLK_NO_TEXT
static void text_limit(text_out *out, const rlk_client *client, unsigned node, const char *limit)
{
    rlki_text_string(out, *client->text != '\0' ? "; " : "works, but ");
    if (rlki_nodes(client) > 1) {
        rlki_text_string(out, "node ");
        rlki_text_number(out, node);
        rlki_text_char(out, ' ');
    }
    rlki_text_string(out, limit);
}
#endif

/* Of a client that works: "works, but ...; ...", or nothing. */
static void text_limits(text_out *out, const rlk_client *client)
{
#ifdef RLK_NO_TEXT
    (void)out;
    (void)client;
#else
    unsigned i;

    for (i = 0; i < rlki_nodes(client); i++) {
        const rlk_conn *conn = client->conns[i];
        unsigned server = rlki_conn_server(conn);

        if (!rlk_conn_is_tracking(conn))
            text_limit(out, client, i, "does not notify waiters: they ask again after pauses");
        if ((server & RLK_SERVER_IDENTITY) == 0)
            text_limit(out, client, i, "can't fence lost connections: more results are UNKNOWN");
        if ((server & RLK_SERVER_CLUSTER) != 0)
            text_limit(out, client, i, "is a cluster's node: refuses keys of other nodes");
        if ((server & RLK_SERVER_NO_LOAD) != 0)
            text_limit(out, client, i, "takes no SCRIPT LOAD: the script may leave with each call");
    }
#endif
}

/* ---- the public calls ---- */

/* The first node whose connection has failed; the number of nodes if there is none. */
static unsigned text_failed_node(const rlk_client *client)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(client); i++)
        if (rlk_conn_result(client->conns[i]) != RLK_OK)
            break;
    return i;
}

/* The error that keeps a lock of the client waiting; false: none does. */
static bool text_waiter(const rlk_client *client, rlki_reason *reason)
{
    const rlk_lock *lock;

    for (lock = client->locks; lock != NULL; lock = lock->next) {
        if (!rlki_acquire_is_trying(lock))
            continue;
        *reason = rlki_waiting_reason(lock);
        if (reason->result < 0)
            return true;
    }
    return false;
}

const char *rlk_client_error(rlk_client *client)
{
    rlki_reason reason;
    text_out out;
    unsigned node;

    if (client == NULL)
        return rlk_result_text(RLK_E_ARGUMENT);
    out = text_start(client);
    if (client->error != RLK_OK) {
        text_refused(&out, client);
        return client->text;
    }
    if (client->state != RLKI_CLIENT_OPEN)
        return client->text;
    node = text_failed_node(client);
    if (node < rlki_nodes(client)) {
        rlk_result result = rlk_conn_result(client->conns[node]);

        text_result(&out, result);
        text_command_node(&out, client, NULL, node, RLKI_NO_COMMAND, result);
    } else if (text_waiter(client, &reason)) {
        text_result(&out, reason.result);
        text_command_node(&out, client, NULL, reason.node, reason.command, reason.result);
    } else if (client->failed != RLK_OK) {
        rlk_result result = (rlk_result)client->failed;

        text_result(&out, result);
        text_command_node(&out, client, NULL, client->failed_node, client->failed_command, result);
    } else if (client->checked) {
        text_limits(&out, client);
    }
    return client->text;
}

/* Returns what came last: the result of the last call, or of a renewal or a loss since then. */
static rlk_result text_outcome(const rlk_lock *lock, unsigned *operation)
{
    bool renewed = (lock->options & RLKI_OPTION_RENEWED) != 0;
    bool fell = (lock->options & RLKI_OPTION_FELL) != 0;

    *operation = lock->done_operation;
    if (renewed || fell)
        *operation = renewed ? RLK_OP_RENEW : RLK_OP_NONE;
    if (fell && !(renewed && lock->renewal == RLK_NOT_OWNER))
        return RLK_LOST;
    return (rlk_result)(renewed ? lock->renewal : lock->done_result);
}

/* What an acquire that goes on waits for. */
static void text_still_waits(text_out *out, const rlk_lock *lock)
{
    rlki_reason reason = rlki_waiting_reason(lock);

    text_lock(out, lock, RLK_OP_ACQUIRE);
    text_waiting(out, lock);
    text_result(out, reason.result);
    if (reason.result < 0)
        text_command_node(out, lock->client, NULL, reason.node, reason.command, reason.result);
}

/* Returns true if the next acquire has just begun behind a loss, of which the words are. */
static bool text_has_just_lost(const rlk_lock *lock)
{
    return (lock->options & RLKI_OPTION_FELL) != 0 &&
           lock->as.wait.began_ms == lock->client->clock_ms;
}

const char *rlk_lock_error(rlk_lock *lock)
{
    rlk_client *client;
    unsigned operation;
    rlk_result result;
    rlk_result error;
    text_out out;

    if (lock == NULL || lock->client == NULL)
        return rlk_result_text(RLK_E_CLOSED);
    client = lock->client;
    out = text_start(client);
    if (rlki_acquire_is_trying(lock) && !text_has_just_lost(lock)) {
        text_still_waits(&out, lock);
        return client->text;
    }
    result = text_outcome(lock, &operation);
    error = (rlk_result)lock->error;
    text_lock(&out, lock, operation);
    text_lock_result(&out, lock, operation, result);
    /* of wrong use a connection has a text of some only (RLK_E_RESOLVER, RLK_E_CREDENTIALS) */
    if (error < 0 && (rlk_result_class(result) != RLK_KIND_USAGE || error == result)) {
        if (error != result)
            text_last_error(&out, error);
        text_command_node(&out, client, lock, lock->error_node, lock->error_command, error);
    }
    return client->text;
}

/* ==== src/lock/lock.c ====
 *
 * The life of a lock, and what can be asked of it without the network.
 */

#include <string.h>

/* ---- init ---- */

rlk_lock_config rlk_lock_config_default(void)
{
    rlk_lock_config config;

    config.ttl_ms = RLK_TTL_MS;
    config.wait_ms = RLK_WAIT_MS;
    config.node_timeout_ms = 0; /* follows the TTL */
    config.retry_min_ms = RLK_RETRY_MIN_MS;
    config.retry_max_ms = RLK_RETRY_MAX_MS;
    config.recheck_max_ms = RLK_RECHECK_MAX_MS;
    config.watch_after_ms = RLK_WATCH_AFTER_MS;
    config.max_hold_ms = 0; /* none */
    config.report_ms = 0;   /* of waits without end */
    config.token_prefix = NULL;
    config.holders = NULL;
    config.user = NULL;
    config.auto_renew = false;
    return config;
}

static bool lock_take_times(rlk_lock *lock, const rlk_lock_config *config)
{
    rlk_client *client = lock->client;
    uint32_t third_ms = lock->ttl_ms / 3;
    uint32_t try_ms = third_ms < RLK_NODE_TIMEOUT_MAX_MS ? third_ms : RLK_NODE_TIMEOUT_MAX_MS;

    if (!rlki_client_take_limit(client, &lock->node_timeout_ms, config->node_timeout_ms, try_ms,
                                RLKI_WORD("node_timeout_ms")) ||
        !rlki_client_take_limit(client, &lock->retry_min_ms, config->retry_min_ms, RLK_RETRY_MIN_MS,
                                RLKI_WORD("retry_min_ms")) ||
        !rlki_client_take_limit(client, &lock->retry_max_ms, config->retry_max_ms, RLK_RETRY_MAX_MS,
                                RLKI_WORD("retry_max_ms")) ||
        !rlki_client_take_limit(client, &lock->recheck_max_ms, config->recheck_max_ms,
                                RLK_RECHECK_MAX_MS, RLKI_WORD("recheck_max_ms")) ||
        !rlki_client_take_limit(client, &lock->watch_after_ms, config->watch_after_ms,
                                RLK_WATCH_AFTER_MS, RLKI_WORD("watch_after_ms")) ||
        !rlki_client_take_limit(client, &lock->wait_ms, config->wait_ms, RLK_WAIT_MS,
                                RLKI_WORD("wait_ms")) ||
        !rlki_client_take_limit(client, &lock->report_interval_ms, config->report_ms, 0,
                                RLKI_WORD("report_ms")))
        return false;
    if (config->max_hold_ms != 0 &&
        (config->max_hold_ms < (int64_t)lock->ttl_ms || config->max_hold_ms > RLK_TTL_MAX)) {
        RLKI_REFUSE(client, RLKI_WORD("max_hold_ms"), config->max_hold_ms, lock->ttl_ms,
                    RLK_TTL_MAX);
        return false; /* the first lease is longer already */
    }
    lock->max_hold_ms = (uint32_t)config->max_hold_ms;
    if (lock->retry_max_ms < lock->retry_min_ms) /* one of them alone was set */
        lock->retry_max_ms = lock->retry_min_ms;
    return true;
}

static rlk_result lock_refuse_ttl(const rlk_lock *lock, const rlk_lock_config *config)
{
    RLKI_REFUSE(lock->client, RLKI_WORD("ttl_ms"), config->ttl_ms,
                rlki_ttl_least(lock->client, config->node_timeout_ms), RLK_TTL_MAX);
    return RLK_E_TTL;
}

static rlk_result lock_configure(rlk_lock *lock, const rlk_lock_config *config)
{
    unsigned i;

    if (config->ttl_ms < 0 || config->ttl_ms > RLK_TTL_MAX)
        return lock_refuse_ttl(lock, config);
    lock->ttl_ms = config->ttl_ms == 0 ? RLK_TTL_MS : (uint32_t)config->ttl_ms;
    if (!lock_take_times(lock, config))
        return RLK_E_TIMES;
    lock->user = config->user;
    lock->holders = config->holders;
    for (i = 0; lock->holders != NULL && i < rlki_nodes(lock->client); i++) {
        memset(&lock->holders[i], 0, sizeof lock->holders[i]);
        lock->holders[i].result = RLK_PENDING;
    }
    lock->prefix = config->token_prefix;
    if (lock->prefix != NULL) {
        size_t len = strlen(lock->prefix);

        if (len > RLK_PREFIX_MAX) {
            RLKI_REFUSE(lock->client, RLKI_WORD("its length"), len, 0, RLK_PREFIX_MAX);
            return RLK_E_PREFIX;
        }
        lock->prefix_len = (uint8_t)len;
    }
    return rlki_extend_is_enough(lock, lock->ttl_ms) ? RLK_OK : lock_refuse_ttl(lock, config);
}

/* The transmit buffer of each connection takes the key twice, and the prefix (RLK_TX_MIN_PREFIX).
 */
static rlk_result lock_key_fits(const rlk_lock *lock, size_t key_len)
{
    size_t frame = RLK_TX_MIN_PREFIX(0, (size_t)lock->prefix_len);
    size_t most = SIZE_MAX;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        size_t cap = rlk_conn_tx_cap(lock->client->conns[i]);
        size_t fits = cap > frame ? (cap - frame) / 2 : 0;

        if (fits < most)
            most = fits;
    }
    if (key_len != 0 && key_len <= most)
        return RLK_OK;
    RLKI_REFUSE(lock->client, RLKI_WORD("its length"),
                key_len < INT32_MAX ? (int64_t)key_len : INT64_MAX, 1, most);
    return RLK_E_KEY;
}

static rlk_result lock_init(rlk_lock *lock, rlk_client *client, const void *key, size_t key_len,
                            const rlk_lock_config *config)
{
    static const rlk_lock_config all_defaults = {0, 0, 0,    0,    0,    0,    0,
                                                 0, 0, NULL, NULL, NULL, false};
    rlk_result result;
    unsigned i;

    if (client == NULL)
        return RLK_E_ARGUMENT;
    if (client->state != RLKI_CLIENT_OPEN)
        return key != NULL ? RLK_E_CLOSED : RLK_E_ARGUMENT;
    if (!rlki_client_same_process(client))
        return RLK_E_FORKED;
    lock->client = client;
    RLKI_REFUSE(client, NULL, 0, 0, 0);
    result = key != NULL ? lock_configure(lock, config != NULL ? config : &all_defaults)
                         : RLK_E_ARGUMENT;
    if (result == RLK_OK)
        result = lock_key_fits(lock, key_len);
    if (result != RLK_OK) {
        lock->client = NULL;
        client->error = (int16_t)result; /* the lock has no memory for texts */
        client->error_node = 0;
        return result;
    }
    lock->key = (const uint8_t *)key;
    lock->key_len = (uint32_t)key_len;
    lock->key_hash = rlk_key_hash(RLK_KEY_HASH, key, key_len);
    lock->texts = rlki_token_texts(lock);
    lock->retry_ms = RLKI_NEVER;
    lock->deadline_ms = RLKI_NEVER;
    lock->phase_ms = RLKI_NEVER;
    for (i = 0; i < RLK_MAX_NODES; i++) {
        lock->nodes[i].index = (uint8_t)i;
        lock->nodes[i].expiry_ms = RLKI_EXPIRED;
    }
    client->error = RLK_OK; /* of a lock that was refused before: the caller went on */
    lock->next = client->locks;
    if (lock->next != NULL)
        lock->next->prev = lock;
    client->locks = lock;
    lock->state = RLKI_FREE;
    return RLK_OK;
}

rlk_result rlki_lock_create_n(rlk_lock *lock, rlk_client *client, const void *key, size_t key_len,
                              const rlk_lock_config *config, size_t size, uint32_t layout)
{
    if (lock == NULL)
        return RLK_E_ARGUMENT;
    memset(lock, 0, size); /* closed, whatever follows */
    if (size != sizeof *lock || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    return lock_init(lock, client, key, key_len, config);
}

rlk_result rlki_lock_create(rlk_lock *lock, rlk_client *client, const char *key,
                            const rlk_lock_config *config, size_t size, uint32_t layout)
{
    return rlki_lock_create_n(lock, client, key, key != NULL ? strlen(key) : 0, config, size,
                              layout);
}

rlk_result rlk_lock_close(rlk_lock *lock)
{
    rlk_client *client;
    rlki_tally tally;
    bool deleting[RLK_MAX_NODES];
    unsigned i;
    rlk_result result = rlki_machine_enter(lock);

    if (result != RLK_OK && result != RLK_E_FORKED)
        return result;
    client = lock->client;
    for (i = 0; i < rlki_nodes(client); i++) {
        bool del = lock->nodes[i].request.tag == RLKI_DEL;

        deleting[i] = !rlki_node_lock_abandon(&lock->nodes[i]) && del;
    }
    /* now only tokens count, not a query that was under way or a SET that never left */
    tally = rlki_tally_of(lock);
    rlki_timers_cancel(&lock->timer);
    rlki_event_drop(lock, RLKI_EVENT_ALL);
    rlki_recheck_leave(lock);
    if (lock->prev != NULL)
        lock->prev->next = lock->next;
    else
        client->locks = lock->next;
    if (lock->next != NULL)
        lock->next->prev = lock->prev;
    lock->state = RLKI_CLOSED;
    lock->op = NULL;
    lock->client = NULL;
    if (result == RLK_E_FORKED) /* untied in this process, for its memory may go; nothing is sent */
        return result;
    /* Nobody gets the answer to what may still be deleted on our behalf. So others are notified
     * now: their SETs go behind it. */
    for (i = 0; i < rlki_nodes(client); i++)
        /* The first loop set each of them.
         * NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch) */
        if (deleting[i] || !rlki_node_lock_is_clean(&lock->nodes[i]))
            rlki_notify(client, i, lock->key_hash, RLK_CAUSE_LOCAL, deleting[i] ? NULL : lock);
    rlki_machine_drain(client);
    return tally.unclean >= rlki_needed(client) ? RLK_UNKNOWN : RLK_OK;
}

/* ---- questions ---- */

int64_t rlk_valid_until_ms(const rlk_lock *lock)
{
    bool held = lock != NULL && lock->client != NULL && lock->state == RLKI_HELD;

    return held && rlki_client_same_process(lock->client)
               ? rlki_client_clock_of(lock->client, lock->as.hold.valid_ms)
               : INT64_MIN;
}

bool rlk_is_held_at(const rlk_lock *lock, int64_t now_ms)
{
    return now_ms < rlk_valid_until_ms(lock);
}

/* The clock, as the client would take it. */
static int64_t lock_now(const rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    int64_t now_ms = client->env.now_ms(client->env.context);

    return now_ms > client->clock_ms ? now_ms : client->clock_ms;
}

int64_t rlk_remaining_ms(const rlk_lock *lock)
{
    int64_t until_ms = rlk_valid_until_ms(lock);
    int64_t now_ms;

    if (until_ms == INT64_MIN) /* then there may be no client either */
        return 0;
    now_ms = lock_now(lock);
    return now_ms < until_ms ? until_ms - now_ms : 0;
}

bool rlk_is_held(const rlk_lock *lock)
{
    return rlk_remaining_ms(lock) > 0;
}

int64_t rlk_held_ms(const rlk_lock *lock)
{
    return rlk_is_held(lock) ? lock_now(lock) - lock->as.hold.since_ms : 0;
}

rlk_operation rlk_lock_operation(const rlk_lock *lock)
{
    return lock != NULL && lock->client != NULL && rlki_operation_is_on(lock)
               ? (rlk_operation)lock->op->id
               : RLK_OP_NONE;
}

rlk_lost_cause rlk_lock_lost_cause(const rlk_lock *lock)
{
    /* of a lock that is held a minority may have said something */
    bool over = lock != NULL && lock->client != NULL && lock->state != RLKI_HELD;

    return over ? (rlk_lost_cause)lock->lost_cause : RLK_LOST_NOT;
}

size_t rlk_lock_token(const rlk_lock *lock, char *out, size_t cap)
{
    size_t len;

    if (lock == NULL || lock->client == NULL || lock->token == 0)
        return 0;
    len = rlki_token_len(lock);
    if (out != NULL && len < cap) {
        rlki_token_write(lock, lock->token, (uint8_t *)out);
        out[len] = '\0';
    }
    return len;
}

/* ==== src/lock/transfer.c ====
 *
 * A lease moves from one lock to another:
 *
 *            rlk_lock_detach                       rlk_lock_attach
 *     HELD -----------------> FREE   (rlk_lease)   FREE, LOST -----------------> HELD
 *      |                                                         valid no more +-> LOST (undone)
 *      +-- nodes where the token was confirmed: their expiry moves, the node is clean
 *      +-- other nodes: undone by the lock that sent the SET, behind it on its own stream
 *
 * Exclusion needs no more than for one lock, since one lock owns the lease at any time: what the
 * other knows is forgotten with the move, so it neither renews, nor undoes what is not its own. A
 * raise that is still under way from before finds the token, and raises; or does not, and does
 * nothing.
 *
 * The lease is valid as long as before, or a few milliseconds less: of each node moves the time
 * until which it counted, by the drift that its client reckons with, and not the expiry, which
 * another drift would lengthen. It is of no stream of the new client, so the first answer counts as
 * that of a new stream does (rule 8 of docs/correctness.md).
 *
 * A token is a random part and a number. The lock that gave the lease away goes on with numbers
 * from another half, if nodes that owe an undo keep it from drawing the random part anew: so no two
 * locks ever have one token.
 */

#include <string.h>

/* The other half of the numbers. */
#define TRANSFER_HALF UINT32_C(0x80000000)

/* True if the node is known to hold the token, and nothing that was sent can bring it, or an
 * earlier one, again. (No SET is under way where a token is PRESENT.) */
static bool transfer_moves(const rlk_lock *lock, const rlk_node_lock *node)
{
    return (node->flags & RLKI_NODE_PRESENT) != 0 && (node->flags & RLKI_NODE_IN_DOUBT) == 0 &&
           node->orphans == 0 && node->token == lock->token;
}

/* Fills in what the nodes that move hold. False: they are no quorum for any time. */
static bool transfer_fill(const rlk_lock *lock, rlk_lease *lease)
{
    const rlk_client *client = lock->client;
    int32_t until_ms[RLK_MAX_NODES];
    int32_t valid_ms;
    unsigned i = 0;

    do { /* one at least, as in rlki_lease_expiry */
        const rlk_node_lock *node = &lock->nodes[i];

        until_ms[i] = RLKI_EXPIRED;
        if (!transfer_moves(lock, node))
            continue;
        until_ms[i] = rlki_node_until(client, node);
        lease->node_until_ms[i] = rlki_client_clock_of(client, until_ms[i]);
        lease->present |= UINT32_C(1) << i;
    } while (++i < rlki_nodes(client));
    valid_ms = rlki_quorum_value(until_ms, rlki_nodes(client), rlki_needed(client));
    if (valid_ms > lock->as.hold.valid_ms)
        valid_ms = lock->as.hold.valid_ms;
    lease->until_ms = rlki_client_clock_of(client, valid_ms);
    return client->now_ms < valid_ms;
}

rlk_result rlk_lock_detach(rlk_lock *lock, rlk_lease *lease)
{
    rlk_result result = rlki_machine_enter(lock);
    unsigned i;

    if (result != RLK_OK)
        return result;
    if (lease == NULL)
        return RLK_E_ARGUMENT;
    if (rlki_operation_is_on(lock))
        return RLK_E_STATE;
    if (lock->state != RLKI_HELD)
        return lock->state == RLKI_LOST ? RLK_LOST : RLK_NOT_HELD;
    memset(lease, 0, sizeof *lease);
    if (!transfer_fill(lock, lease))
        return RLK_E_STATE;
    lease->key = lock->key;
    lease->key_len = lock->key_len;
    lease->prefix = lock->prefix;
    lease->texts = lock->texts;
    lease->ttl_ms = lock->ttl_ms;
    lease->node_timeout_ms = lock->node_timeout_ms;
    lease->max_hold_ms = lock->max_hold_ms;
    lease->token = lock->token;
    lease->nodes = lock->client->nodes;
    memcpy(lease->base, lock->base, sizeof lease->base);
    lease->since_ms = lock->as.hold.since_ms;
    lease->target_ms = rlki_client_clock_of(lock->client, lock->as.hold.target_ms);
    lease->claim_ms = rlki_client_clock_of(lock->client, lock->as.hold.claim_ms);

    lock->op = NULL; /* a renewal */
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if ((lease->present & UINT32_C(1) << i) == 0)
            continue;
        (void)rlki_node_lock_abandon(node);
        node->flags = 0; /* not this lock's any more: nothing is undone */
    }
    rlki_event_drop(lock, RLKI_EVENT_ALL);
    rlki_lock_leave_election(lock);
    lock->state = RLKI_FREE;
    rlki_node_locks_undo(lock, lock->as.hold.target_ms, 0); /* the other nodes */
    (void)rlki_queue_leave(lock);
    lock->token ^= TRANSFER_HALF;
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("FREE"), 0);
    rlki_machine_run(lock);
    return RLK_OK;
}

/* False: the lock has something of its own that the lease would mix with. */
static bool transfer_fits(const rlk_lock *lock, const rlk_lease *lease)
{
    bool same_base = memcmp(lock->base, lease->base, sizeof lease->base) == 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_node_lock *node = &lock->nodes[i];

        if (!rlki_node_lock_is_clean(node) &&
            (!same_base || (lease->present & UINT32_C(1) << i) != 0))
            return false;
    }
    return true;
}

rlk_result rlk_lock_attach(rlk_lock *lock, const rlk_lease *lease)
{
    rlk_result result = rlki_machine_enter(lock);
    unsigned i;

    if (result != RLK_OK)
        return result;
    if (lease == NULL)
        return RLK_E_ARGUMENT;
    if (lease->texts != lock->texts)
        return RLK_E_KEY;
    if (lease->nodes != lock->client->nodes)
        return RLK_E_NODES;
    if (rlki_operation_is_on(lock) || lock->state == RLKI_HELD || !transfer_fits(lock, lease))
        return RLK_E_STATE;
    rlki_event_drop(lock, RLKI_EVENT_ALL); /* of the lease before */
    lock->options = lock->options & (RLKI_OPTION_RENEW | RLKI_OPTION_CAMPAIGN);
    memcpy(lock->base, lease->base, sizeof lock->base);
    lock->token = lease->token;
    lock->as.hold.since_ms = lease->since_ms;
    lock->as.hold.target_ms = rlki_client_time_of(lock->client, lease->target_ms);
    lock->as.hold.claim_ms = rlki_client_time_of(lock->client, lease->claim_ms);
    lock->as.hold.drift_ms = (uint32_t)(lease->claim_ms - lease->until_ms);
    lock->as.hold.read = 0;
    lock->as.hold.watch_ms = RLKI_NEVER;
    lock->as.hold.renew_ms = RLKI_NEVER;
    lock->as.hold.dirty =
        (rlk_node_mask)lease->present; /* asked now, and so notified of from now on */
    lock->error = RLK_OK;
    lock->lost_cause = RLK_LOST_NOT;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if ((lease->present & UINT32_C(1) << i) == 0)
            continue;
        node->flags = RLKI_NODE_POSSIBLE | RLKI_NODE_PRESENT;
        node->token = lease->token;
        node->generation = 0; /* of no stream here */
        /* in which its drift is counted already */
        node->expiry_ms = rlki_client_time_of(lock->client, lease->node_until_ms[i]);
        node->horizon_ms = 0;
    }
    lock->state = RLKI_HELD;
    rlki_operation_note(lock, RLK_OP_ACQUIRE, RLK_OK);
    (void)rlki_queue_hold(lock);
    rlki_lease_validate(lock);
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("HELD"),
               rlki_left(lock, lock->as.hold.valid_ms));
    rlki_renewal_schedule(lock, true);
    rlki_machine_run(lock); /* lost, if it is over */
    return lock->state == RLKI_HELD ? RLK_OK : RLK_LOST;
}

#ifdef RLKI_POSIX

/* ==== src/net/posix/connect.h ====
 *
 * Internal: from a URL to a stream.
 */
#ifndef RLKI_CONNECT_H
#define RLKI_CONNECT_H

/* rlk_socket.state */
enum {
    RLKI_SOCKET_IDLE,
    RLKI_SOCKET_RESOLVING, /* these three: an attempt to connect is under way */
    RLKI_SOCKET_CONNECTING,
    RLKI_SOCKET_TLS,
    RLKI_SOCKET_UP
};

/*
 * Begins an attempt, with the addresses that the host has now. may_block: the system may be asked
 * for them. Returns RLK_OK: the stream is up, and the connection was notified. RLK_PENDING: goes on
 * with rlki_connect_go_on. Else the attempt is over, with errno in sock->last_errno, or 0.
 */
RLKI_API rlk_result rlki_connect_begin(rlk_socket *sock, bool may_block, int64_t now_ms);

/* Goes on after RLK_PENDING, with the same results. revents: as poll says. */
RLKI_API rlk_result rlki_connect_go_on(rlk_socket *sock, short revents, bool may_block, int64_t now_ms);

/* Returns in words what takes too long, or took it, if it is not the connect itself; else "". */
RLKI_API const char *rlki_connect_overdue(const rlk_socket *sock);

/* Ends the attempt or the stream, and closes the descriptor: IDLE. notify: after a close_notify of
 * TLS. */
RLKI_API void rlki_connect_shut(rlk_socket *sock, bool notify);

#endif

/* ==== src/net/posix/name.h ====
 *
 * Names of sockets: of paths and addresses, and as texts.
 */
#ifndef RLKI_NAME_H
#define RLKI_NAME_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* "[" address "]:" port, with its terminator. */
#define RLKI_NAME_TEXT (INET6_ADDRSTRLEN + 8)

typedef union rlki_name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
} rlki_name;

/* Both write a name that was all zeros, and return its length; of a path 0, and ENAMETOOLONG in
 * errno, if it doesn't fit this system's sun_path. */
RLKI_API socklen_t rlki_name_of_path(rlki_name *name, const rlk_url *url);
RLKI_API socklen_t rlki_name_of_address(rlki_name *name, const rlk_address *address);

/* A number for the server's address, never 0. */
RLKI_API uint64_t rlki_name_peer(const rlk_address *address);

/* The name of an address as the server writes it in CLIENT LIST. */
RLKI_API void rlki_name_format(const rlki_name *name, char out[RLKI_NAME_TEXT]);

#endif

/* ==== src/net/posix/name.c ==== */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

socklen_t rlki_name_of_path(rlki_name *name, const rlk_url *url)
{
    size_t cap = sizeof name->path.sun_path - 1;

    name->path.sun_family = AF_UNIX;
    if (rlk_url_decode(url->path, url->path_len, (uint8_t *)name->path.sun_path, cap) > cap) {
        errno = ENAMETOOLONG;
        return 0;
    }
    return (socklen_t)sizeof name->path;
}

socklen_t rlki_name_of_address(rlki_name *name, const rlk_address *address)
{
    if (address->is_ipv6 != 0) {
        name->v6.sin6_family = AF_INET6;
        name->v6.sin6_port = htons(address->port);
        name->v6.sin6_scope_id = address->scope;
        memcpy(&name->v6.sin6_addr, address->ip, 16);
        return (socklen_t)sizeof name->v6;
    }
    name->v4.sin_family = AF_INET;
    name->v4.sin_port = htons(address->port);
    memcpy(&name->v4.sin_addr, address->ip, 4);
    return (socklen_t)sizeof name->v4;
}

static uint64_t name_hash(uint64_t hash, const uint8_t *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) { /* FNV-1a */
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

uint64_t rlki_name_peer(const rlk_address *address)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    uint8_t rest[6];

    rest[0] = (uint8_t)(address->port >> 8);
    rest[1] = (uint8_t)address->port;
    rest[2] = (uint8_t)(address->scope >> 24);
    rest[3] = (uint8_t)(address->scope >> 16);
    rest[4] = (uint8_t)(address->scope >> 8);
    rest[5] = (uint8_t)address->scope;
    hash = name_hash(hash, address->ip, address->is_ipv6 != 0 ? 16 : 4);
    hash = name_hash(hash, rest, sizeof rest);
    return hash | 1u;
}

/* ":" and the digits of `port`, terminated. */
static void name_put_port(char *out, unsigned port)
{
    char digits[5];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    *out++ = ':';
    while (n > 0) {
        *out++ = digits[--n];
    }
    *out = '\0';
}

/* The name as the server writes it in CLIENT LIST. Who is reached by an address such as
 * ::ffff:127.0.0.1 sees plain IPv4. inet_ntop can't fail here: the room is enough for any. */
void rlki_name_format(const rlki_name *name, char out[RLKI_NAME_TEXT])
{
    size_t len;

    if (name->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &name->v4.sin_addr, out, INET6_ADDRSTRLEN);
    } else if (IN6_IS_ADDR_V4MAPPED(&name->v6.sin6_addr) != 0) {
        (void)inet_ntop(AF_INET, &name->v6.sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);

    } else {
        out[0] = '[';
        (void)inet_ntop(AF_INET6, &name->v6.sin6_addr, out + 1, INET6_ADDRSTRLEN);
        len = strlen(out);
        out[len] = ']';
        out[len + 1] = '\0';
    }
    name_put_port(out + strlen(out),
                  ntohs(name->any.sa_family == AF_INET ? name->v4.sin_port : name->v6.sin6_port));
}

/* ==== src/net/posix/resolver.h ====
 *
 * Internal: from the host of a URL to addresses.
 */
#ifndef RLKI_NET_RESOLVER_H
#define RLKI_NET_RESOLVER_H

/*
 * Finds sock->addresses for the host of `url`. Literals and localhost need nobody's help. Of other
 * names the resolver is asked, and the system if may_block where there is none that would answer.
 * RLK_OK with one address at least; RLK_PENDING: asked, go on by rlki_resolver_go_on.
 * RLK_E_RESOLVE, with the system's errno in sock->last_errno where it is known; RLK_E_RESOLVER when
 * there is nobody to ask.
 */
RLKI_API rlk_result rlki_resolver_begin(rlk_socket *sock, const rlk_url *url, bool may_block,
                               int64_t now_ms);

/* Goes on after RLK_PENDING, with the same results. ready: the lookup's descriptor is readable. */
RLKI_API rlk_result rlki_resolver_go_on(rlk_socket *sock, bool ready, bool may_block, int64_t now_ms);

/* Returns in words why it came to RLK_E_RESOLVE. */
RLKI_API const char *rlki_resolver_why(const rlk_socket *sock);

/* Ends the lookup under way; none may be. */
RLKI_API void rlki_resolver_end(rlk_socket *sock);

#endif

/* ==== src/net/posix/resolver.c ====
 *
 * From the host of a URL to addresses. Nothing is remembered: every attempt asks anew, so that a
 * name which moves is followed.
 *
 * A resolver writes its answer into the driver, whose lookup it was given, and the driver goes on
 * when it is served next. Nothing of the driver is called in the middle of the resolver's code.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Longest host name, and longest literal with its zone. */
#ifndef RLK_RESOLVER_NAME_MAX
#define RLK_RESOLVER_NAME_MAX 255
#endif

/* Adds an address of the answer. The first page is always there. Of the others only the one that is
 * tried is, and replaces it, as far as it goes. */
static void resolver_add(rlk_socket *sock, bool is_ipv6, const void *ip, uint32_t scope,
                         uint16_t port)
{
    unsigned number = sock->lookup.found;
    rlk_address *address = &sock->addresses[number % RLK_MAX_ADDRESSES];

    if (number == UINT16_MAX) {
        return;
    }
    sock->lookup.found++;
    if (number < RLK_MAX_ADDRESSES) {
        sock->addresses_len++;
    } else if (number / RLK_MAX_ADDRESSES != sock->page) {
        return;
    }
    memset(address, 0, sizeof *address);
    memcpy(address->ip, ip, is_ipv6 ? 16 : 4);
    address->is_ipv6 = is_ipv6;
    address->scope = scope;
    address->port = port;
}

/* The number of a zone such as "eth0" or "2"; 0: there is no such interface. */
static uint32_t resolver_zone(const char *zone)
{
    uint32_t number = 0;
    const char *at;

    for (at = zone; *at >= '0' && *at <= '9' && number < 100000000u; at++) {
        number = number * 10 + (uint32_t)(*at - '0');
    }
    return *at == '\0' ? number : (uint32_t)if_nametoindex(zone);
}

/* An address of IPv6 with its zone, "fe80::1%25eth0" (RFC 6874). Cuts `host` at the percent. */
static bool resolver_literal6(rlk_socket *sock, char *host, uint16_t port)
{
    char *percent = strchr(host, '%');
    uint32_t scope = 0;
    uint8_t ip[16];

    if (percent != NULL) {
        *percent = '\0';
        scope = strncmp(percent + 1, "25", 2) == 0 ? resolver_zone(percent + 3) : 0;
        if (scope == 0) {
            return false;
        }
    }
    if (inet_pton(AF_INET6, host, ip) != 1) {
        return false;
    }
    resolver_add(sock, true, ip, scope, port);
    return true;
}

/* Known without asking. 127.0.0.1 first: that is what a server binds to that binds to one only. */
static void resolver_localhost(rlk_socket *sock, uint16_t port)
{
    static const uint8_t loopback4[4] = {127, 0, 0, 1};
    static const uint8_t loopback6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

    resolver_add(sock, false, loopback4, 0, port);
    resolver_add(sock, true, loopback6, 0, port);
}

/* The driver whose lookup it is. */
static rlk_socket *resolver_socket(rlk_lookup *lookup)
{
    return (rlk_socket *)(void *)lookup;
}

void rlk_lookup_add(rlk_lookup *lookup, const struct sockaddr *address)
{
    rlk_socket *sock = resolver_socket(lookup);
    uint16_t port = rlk_conn_url(sock->conn)->port;

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;

        resolver_add(sock, false, &v4->sin_addr, 0, v4->sin_port != 0 ? ntohs(v4->sin_port) : port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;

        resolver_add(sock, true, &v6->sin6_addr, v6->sin6_scope_id,
                     v6->sin6_port != 0 ? ntohs(v6->sin6_port) : port);
    }
}

void rlk_lookup_done(rlk_lookup *lookup, int sys_errno, const char *why)
{
    bool outside = lookup->waits;
    const rlk_socket *sock = resolver_socket(lookup);

    lookup->done = true;
    lookup->sys_errno = sys_errno;
    lookup->why = why;
    lookup->waits = false;
    if (outside && sock->loop != NULL) {
        sock->loop->calls->changed(sock->loop);
    }
}

/* In the order of the system (RFC 6724). Without AI_ADDRCONFIG: it hides the addresses of a host
 * that has only its loopback, and a family that can't be reached fails at once when tried. */
static void resolver_ask_system(rlk_socket *sock, const char *host)
{
    struct addrinfo hints;
    struct addrinfo *list = NULL;
    struct addrinfo *info;
    int error;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    error = getaddrinfo(host, NULL, &hints, &list);
    if (error != 0) {
        sock->last_errno = error == EAI_SYSTEM ? errno : 0;
        sock->lookup.why = gai_strerror(error);
        return;
    }
    for (info = list; info != NULL; info = info->ai_next) {
        rlk_lookup_add(&sock->lookup, info->ai_addr);
    }
    freeaddrinfo(list);
}

/* The host as a text that ends with a zero. False: too long for a name. */
static bool resolver_host(const rlk_url *url, char host[RLK_RESOLVER_NAME_MAX + 1])
{
    if (url->host_len > RLK_RESOLVER_NAME_MAX) {
        return false;
    }
    memcpy(host, url->host, url->host_len);
    host[url->host_len] = '\0';
    return true;
}

static rlk_result resolver_result(const rlk_socket *sock)
{
    return sock->addresses_len > 0 ? RLK_OK : RLK_E_RESOLVE;
}

/* What a lookup has come to. */
static rlk_result resolver_answer(rlk_socket *sock)
{
    rlk_lookup *lookup = &sock->lookup;

    lookup->waits = !lookup->done;
    if (lookup->waits) {
        return RLK_PENDING;
    }
    rlki_resolver_end(sock);
    sock->last_errno = lookup->sys_errno;
    if (lookup->why != NULL) {
        return RLK_E_RESOLVE;
    }
    return resolver_result(sock);
}

/* Whom to ask for a name that needs somebody. */
static rlk_result resolver_ask(rlk_socket *sock, const char *host, uint16_t port, bool may_block,
                               int64_t now_ms)
{
    rlk_resolver *resolver = sock->resolver;

    if (resolver != NULL && !(may_block && resolver->calls->loop_only)) {
        sock->lookup.resolver = resolver;
        resolver->calls->start(resolver, &sock->lookup, host, port, now_ms);
        return resolver_answer(sock);
    }
    if (!may_block) {
        return RLK_E_RESOLVER;
    }
    resolver_ask_system(sock, host);
    return resolver_result(sock);
}

/* Returns the page for the next answer: the one behind, if the attempt before came to its last
 * address, and else the same, also after an attempt without an answer. */
static uint8_t resolver_page(const rlk_socket *sock)
{
    unsigned next = sock->page + 1u;

    if (sock->address_next < sock->addresses_len || sock->lookup.found == 0) {
        return sock->page;
    }
    return next * RLK_MAX_ADDRESSES < sock->lookup.found && next <= UINT8_MAX ? (uint8_t)next : 0;
}

rlk_result rlki_resolver_begin(rlk_socket *sock, const rlk_url *url, bool may_block, int64_t now_ms)
{
    char host[RLK_RESOLVER_NAME_MAX + 1];
    uint8_t ip4[4];

    sock->page = resolver_page(sock);
    memset(&sock->lookup, 0, sizeof sock->lookup);
    sock->lookup.fd = -1;
    sock->lookup.deadline_ms = RLK_NEVER;
    sock->addresses_len = 0;
    sock->address_next = 0;
    if (!resolver_host(url, host)) {
        return RLK_E_RESOLVE;
    }
    if (strchr(host, ':') != NULL) {
        return resolver_literal6(sock, host, url->port) ? RLK_OK : RLK_E_RESOLVE;
    }
    if (inet_pton(AF_INET, host, ip4) == 1) {
        resolver_add(sock, false, ip4, 0, url->port);
    } else if (strcasecmp(host, "localhost") == 0) {
        resolver_localhost(sock, url->port);
    } else {
        return resolver_ask(sock, host, url->port, may_block, now_ms);
    }
    return RLK_OK;
}

rlk_result rlki_resolver_go_on(rlk_socket *sock, bool ready, bool may_block, int64_t now_ms)
{
    rlk_lookup *lookup = &sock->lookup;
    const rlk_resolver_calls *calls = lookup->resolver->calls;

    if (!lookup->done && may_block && calls->loop_only) { /* no loop runs in a blocking call */
        rlki_resolver_end(sock);
        return rlki_resolver_begin(sock, rlk_conn_url(sock->conn), true, now_ms);
    }
    if (!lookup->done && (ready || now_ms >= lookup->deadline_ms) && calls->service != NULL) {
        lookup->waits = false;
        calls->service(lookup, now_ms);
    }
    return resolver_answer(sock);
}

const char *rlki_resolver_why(const rlk_socket *sock)
{
    return sock->lookup.why != NULL ? sock->lookup.why : "it has no address";
}

void rlki_resolver_end(rlk_socket *sock)
{
    rlk_lookup *lookup = &sock->lookup;
    const rlk_resolver *resolver = lookup->resolver;

    if (resolver == NULL) {
        return;
    }
    lookup->resolver = NULL;
    if (lookup->fd >= 0 && sock->loop != NULL) {
        sock->loop->calls->closing(sock->loop, sock->slot, lookup->fd);
    }
    if (resolver->calls->close != NULL) {
        resolver->calls->close(lookup);
    }
    lookup->fd = -1;
}

/* ==== src/net/posix/socket_io.h ====
 *
 * Internal: what poll, recv and send have in common, with and without TLS.
 */
#ifndef RLKI_SOCKET_IO_H
#define RLKI_SOCKET_IO_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

/* What poll reports of a descriptor that recv, or send, has an answer for: an error too. */
#define RLKI_READABLE  (POLLIN | POLLERR | POLLHUP | POLLNVAL)
#define RLKI_WRITEABLE (POLLOUT | POLLERR | POLLHUP | POLLNVAL)

/* A recv that does not wait, whatever the descriptor is set to. */
#ifdef MSG_DONTWAIT
#define RLKI_RECEIVE_FLAGS MSG_DONTWAIT
#else
#define RLKI_RECEIVE_FLAGS 0 /* descriptors are non-blocking for good */
#endif

/* A send that does not wait, and raises no SIGPIPE. */
#ifdef MSG_NOSIGNAL
#define RLKI_SEND_FLAGS (MSG_NOSIGNAL | RLKI_RECEIVE_FLAGS)
#else
#define RLKI_SEND_FLAGS RLKI_RECEIVE_FLAGS /* SO_NOSIGPIPE it is */
#endif

/* Returns true for an errno that says: later. */
static inline bool rlki_socket_would_block(int error)
{
#if EWOULDBLOCK != EAGAIN
    if (error == EWOULDBLOCK) {
        return true;
    }
#endif
    return error == EAGAIN;
}

#endif

/* ==== src/net/posix/socket_wait.h ====
 *
 * A recv that waits: what poll and recv do, in one system call, for a blocking call that waits for
 * one connection only. In two steps, because deadlines come before input: a late reply must not
 * revive what ran out while it was waited for.
 */
#ifndef RLKI_SOCKET_WAIT_H
#define RLKI_SOCKET_WAIT_H

/* What recv came to. */
typedef struct rlki_socket_got {
    size_t len;     /* bytes that came */
    rlk_result why; /* RLK_OK, or how the stream ended */
    int error;      /* errno, where no bytes came; EINTR: a signal has ended the wait */
} rlki_socket_got;

/* Sends what there is, and waits for input, at most timeout_ms (-1: for long). now_ms is the time
 * of the call. False: not with this socket now, or not for so short a time; serve and poll it. */
RLKI_API bool rlki_socket_wait(rlk_socket *sock, int timeout_ms, int64_t now_ms, rlki_socket_got *got);

/* Hands over what came, and does what follows from it. */
RLKI_API void rlki_socket_take(rlk_socket *sock, const rlki_socket_got *got, int64_t now_ms);

#endif

/* ==== src/net/posix/tls_stream.h ====
 *
 * Internal: TLS between a connection and its descriptor.
 */
#ifndef RLKI_TLS_STREAM_H
#define RLKI_TLS_STREAM_H

/* rlk_socket_tls.flags, as far as it is the driver's business what TLS waits for */
#define RLKI_TLS_MORE             0x01u /* it has bytes that poll doesn't see any more */
#define RLKI_TLS_WANTS_WRITE      0x02u /* handshake, or read: goes on when it can be written */
#define RLKI_TLS_WRITE_WANTS_READ 0x04u /* write: goes on when there is something to read */

static inline bool rlki_tls_is_on(const rlk_socket *sock)
{
    return sock->tls.backend != NULL;
}

/* tls_stream.c, which only a backend's rlk_tls names. */
struct rlk_tls_driver {
    const char *no_answer; /* words, while the handshake waits for the server */
    rlk_result (*secure)(rlk_socket *sock, int *error);
    rlk_result (*transfer)(rlk_socket *sock, bool readable, bool writeable, int *error,
                           int64_t now_ms);
    bool (*wait)(rlk_socket *sock, rlki_socket_got *got);
    void (*end)(rlk_socket *sock, bool notify);
    void (*close)(rlk_socket *sock);
};

/*
 * Begins the handshake on the descriptor, or goes on with it. Returns RLK_OK: it is through.
 * RLK_PENDING: it waits. RLK_E_TLS, RLK_E_TLS_REFUSED: it has failed. Of these *error is errno,
 * where that says more, or 0; the connection keeps the words.
 */
static inline rlk_result rlki_tls_secure(rlk_socket *sock, int *error)
{
    return sock->tls.backend->driver->secure(sock, error);
}

/* Reads, then writes, what goes without waiting. Returns RLK_OK, or how the stream ended, as
 * rlki_tls_secure. */
static inline rlk_result rlki_tls_transfer(rlk_socket *sock, bool readable, bool writeable,
                                           int *error, int64_t now_ms)
{
    return sock->tls.backend->driver->transfer(sock, readable, writeable, error, now_ms);
}

/* Reads once; its first recv waits. Returns false if no recv shows what TLS waits for. */
static inline bool rlki_tls_wait(rlk_socket *sock, rlki_socket_got *got)
{
    return sock->tls.backend->driver->wait(sock, got);
}

/* Ends TLS on the descriptor, which is open yet, if there is TLS. notify: says so to the peer. */
static inline void rlki_tls_end(rlk_socket *sock, bool notify)
{
    if (rlki_tls_is_on(sock)) {
        sock->tls.backend->driver->end(sock, notify);
    }
}

/* Gives the session back, without a word to the peer, if there is TLS. */
static inline void rlki_tls_close(rlk_socket *sock)
{
    if (rlki_tls_is_on(sock)) {
        sock->tls.backend->driver->close(sock);
    }
}

#endif

/* ==== src/net/posix/tls_stream.c ====
 *
 * TLS between a connection and its descriptor. What TLS is, the backend knows (resplock/tls.h).
 *
 *     +------+  rlki_tls_secure  +-----------+  DONE   +----+
 *     | NONE | ----------------> | HANDSHAKE | ------> | UP |
 *     +------+                   +-----------+         +----+
 *        ^                             |                  |
 *        +-----------------------------+------------------+
 *           rlki_tls_end: with close_notify only from UP, and only if nothing has failed
 *
 * NONE is without TLS_BEGUN, UP is with TLS_UP. The backend's session lives from the first
 * handshake to rlki_tls_close, so that it can be resumed.
 *
 * A send that fails is no failure to the backend, so that it still reads what the server said
 * before it hung up, an alert above all. Then the stream ends. In the handshake the send counts as
 * done, because the backend would not read before. In UP it would block, because what counts as
 * done there counts as sent by the connection, too.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Longest name of a peer. */
#define TLS_NAME_MAX 255u

/* rlk_socket_tls.flags, beside those of the header */
#define TLS_BEGUN       0x10u /* the session has a stream */
#define TLS_UP          0x20u /* through the handshake, and nothing has failed since */
#define TLS_MAY_WAIT    0x40u /* the next recv waits */
#define TLS_INTERRUPTED 0x80u /* ... and a signal has ended that */

/* Returns true if the stream goes on: DONE, or a wait. */
static bool tls_goes_on(rlk_tls_status status)
{
    return status <= RLK_TLS_WANT_WRITE;
}

/* ---- The stream below TLS ---------------------------------------------------------------- */

/* Interrupted, it is tried again after a poll. */
static bool tls_would_block(int error)
{
    return rlki_socket_would_block(error) || error == EINTR;
}

static ptrdiff_t tls_io_send(void *context, const void *bytes, size_t len)
{
    rlk_socket *sock = (rlk_socket *)context;
    ssize_t n = send(sock->fd, bytes, len, RLKI_SEND_FLAGS);

    if (n >= 0) {
        return n;
    }
    if (tls_would_block(errno)) {
        return RLK_TLS_IO_AGAIN;
    }
    sock->tls.error = errno;
    return (sock->tls.flags & TLS_UP) != 0 ? RLK_TLS_IO_AGAIN : (ptrdiff_t)len;
}

static ptrdiff_t tls_io_recv(void *context, void *room, size_t cap)
{
    rlk_socket *sock = (rlk_socket *)context;
    bool waits = (sock->tls.flags & TLS_MAY_WAIT) != 0;
    ssize_t n;

    sock->tls.flags &= (uint8_t)~TLS_MAY_WAIT;
    n = recv(sock->fd, room, cap, waits ? 0 : RLKI_RECEIVE_FLAGS);
    if (n >= 0) {
        return n;
    }
    if (waits && errno == EINTR) {
        sock->tls.flags |= TLS_INTERRUPTED;
    }
    if (tls_would_block(errno)) {
        return RLK_TLS_IO_AGAIN;
    }
    sock->tls.error = errno;
    return RLK_TLS_IO_FAILED;
}

/* ---- Begin and end ----------------------------------------------------------------------- */

/* The dot at a name's end says that it is complete (RFC 6066, 3); the zone of an address is this
 * host's business alone. */
static void tls_trim(rlk_tls_peer *peer, char *name, size_t len)
{
    uint8_t ip[16]; /* some systems write into it even where they fail */
    char *zone;

    if (len > 1 && name[len - 1] == '.') {
        name[len - 1] = '\0';
    }
    if (inet_pton(AF_INET, name, ip) == 1) {
        peer->ip_len = 4;
        memcpy(peer->ip, ip, 4);
        return;
    }
    zone = strchr(name, '%');
    if (zone != NULL) {
        *zone = '\0';
    }
    if (inet_pton(AF_INET6, name, ip) == 1) {
        peer->ip_len = 16;
        memcpy(peer->ip, ip, 16);
    } else if (zone != NULL) {
        *zone = '%';
    }
}

/* Whom the certificate must be for: the name of the configuration, or the URL's host. False: it is
 * no name of a host. TLS libraries verify no name where it is empty, and take any name of a domain
 * where a dot is first. */
static bool tls_peer(const rlk_socket *sock, rlk_tls_peer *peer, char name[TLS_NAME_MAX + 1])
{
    const rlk_url *url = rlk_conn_url(sock->conn);
    const char *from = sock->tls.backend->server_name;
    size_t len = from != NULL ? strlen(from) : url->host_len;

    if (from == NULL) {
        from = url->host;
    }
    if (len == 0 || len > TLS_NAME_MAX || *from == '.') {
        return false;
    }
    memset(peer, 0, sizeof *peer);
    peer->name = name;
    memcpy(name, from, len);
    name[len] = '\0';
    tls_trim(peer, name, len);
    return true;
}

static rlk_tls_status tls_begin(rlk_socket *sock)
{
    const rlk_tls_calls *calls = sock->tls.backend->calls;
    char name[TLS_NAME_MAX + 1];
    rlk_tls_peer peer;
    rlk_tls_io io;

    if (sock->tls.session == NULL) {
        sock->tls.session = calls->open(sock->tls.backend);
    }
    if (sock->tls.session == NULL) {
        return RLK_TLS_FAILED;
    }
    if (!tls_peer(sock, &peer, name)) {
        return RLK_TLS_REFUSED;
    }
    io.send = tls_io_send;
    io.recv = tls_io_recv;
    io.context = sock;
    sock->tls.flags = TLS_BEGUN;
    sock->tls.unfinished = 0;
    sock->tls.error = 0;
    return calls->begin(sock->tls.session, &io, &peer);
}

static void tls_end(rlk_socket *sock, bool notify)
{
    if ((sock->tls.flags & TLS_BEGUN) != 0) {
        bool up = (sock->tls.flags & TLS_UP) != 0 && sock->tls.error == 0;

        sock->tls.backend->calls->end(sock->tls.session, notify && up);
    }
    sock->tls.flags = 0;
}

static void tls_close(rlk_socket *sock)
{
    tls_end(sock, false);
    if (sock->tls.session != NULL) {
        sock->tls.backend->calls->close(sock->tls.session);
        sock->tls.session = NULL;
    }
}

/* ---- Steps ------------------------------------------------------------------------------- */

/* Behind a failure no close_notify may follow. */
static rlk_tls_status tls_check(rlk_socket *sock, rlk_tls_status status)
{
    if (!tls_goes_on(status)) {
        sock->tls.flags &= (uint8_t)~TLS_UP;
    }
    return status;
}

/* The same of handshake and read: what they wait for is noted. A stream that broke in a send has
 * nothing to wait for. */
static rlk_tls_status tls_note(rlk_socket *sock, rlk_tls_status status)
{
    const rlk_tls_calls *calls = sock->tls.backend->calls;

    sock->tls.flags &= (uint8_t) ~(RLKI_TLS_MORE | RLKI_TLS_WANTS_WRITE);
    if (status == RLK_TLS_DONE && calls->pending(sock->tls.session)) {
        sock->tls.flags |= RLKI_TLS_MORE;
    } else if (status != RLK_TLS_DONE && tls_goes_on(status) && sock->tls.error != 0) {
        status = RLK_TLS_FAILED;
    } else if (status == RLK_TLS_WANT_WRITE) {
        sock->tls.flags |= RLKI_TLS_WANTS_WRITE;
    }
    return tls_check(sock, status);
}

static rlk_tls_status tls_read(rlk_socket *sock, uint8_t *room, size_t cap, size_t *len)
{
    return tls_note(sock, sock->tls.backend->calls->read(sock->tls.session, room, cap, len));
}

/* Reads until TLS has no more, as poll would not say so; but one stream must not keep the others
 * of its loop waiting. */
static rlk_tls_status tls_receive(rlk_socket *sock, int64_t now_ms)
{
    rlk_tls_status status = RLK_TLS_DONE;
    int round;

    for (round = 0; round < RLK_SOCKET_ROUNDS; round++) {
        size_t cap = 0;
        size_t len = 0;
        uint8_t *room = rlk_conn_rx_buf(sock->conn, &cap);

        if (cap == 0) {
            return RLK_TLS_DONE; /* the connection is about to close */
        }
        status = tls_read(sock, room, cap, &len);
        if (status != RLK_TLS_DONE) {
            return status;
        }
        rlk_conn_rx_ack(sock->conn, len, now_ms);
        if ((sock->tls.flags & RLKI_TLS_MORE) == 0) {
            return RLK_TLS_DONE;
        }
    }
    return status;
}

/* Writes what TLS takes. What it did not take is repeated with as many bytes as before, even if
 * there are more by now. */
static rlk_tls_status tls_send(rlk_socket *sock, int64_t now_ms)
{
    const rlk_tls_calls *calls = sock->tls.backend->calls;
    int round;

    sock->blocked = false;
    sock->tls.flags &= (uint8_t)~RLKI_TLS_WRITE_WANTS_READ;
    for (round = 0; round < RLK_SOCKET_ROUNDS; round++) {
        size_t len = 0;
        size_t done = 0;
        const uint8_t *bytes = rlk_conn_tx_buf(sock->conn, &len);
        rlk_tls_status status;

        if (len == 0) {
            return RLK_TLS_DONE;
        }
        if (sock->tls.unfinished != 0) {
            len = sock->tls.unfinished;
        }
        status = calls->write(sock->tls.session, bytes, len, &done);
        if (status != RLK_TLS_DONE) {
            sock->blocked = true; /* until poll says otherwise */
            sock->tls.unfinished = len;
            if (status == RLK_TLS_WANT_READ) {
                sock->tls.flags |= RLKI_TLS_WRITE_WANTS_READ;
            }
            return tls_check(sock, status);
        }
        sock->tls.unfinished = 0;
        rlk_conn_tx_ack(sock->conn, done, now_ms);
    }
    return RLK_TLS_DONE;
}

/* Reads first, so that what the replies set off leaves in the same call. */
static rlk_tls_status tls_exchange(rlk_socket *sock, bool readable, bool writeable, int64_t now_ms)
{
    unsigned flags = sock->tls.flags;
    bool reads = readable || (flags & RLKI_TLS_MORE) != 0 ||
                 (writeable && (flags & RLKI_TLS_WANTS_WRITE) != 0);
    bool writes =
        !sock->blocked || writeable || (reads && (flags & RLKI_TLS_WRITE_WANTS_READ) != 0);
    rlk_tls_status status = RLK_TLS_DONE;

    if (reads) {
        status = tls_receive(sock, now_ms);
    }
    if (!tls_goes_on(status) || !writes) {
        return status;
    }
    status = tls_send(sock, now_ms);
    if (sock->tls.error != 0 && tls_goes_on(status)) {
        status = tls_receive(sock, now_ms); /* what it said before it hung up */
        return tls_goes_on(status) ? RLK_TLS_FAILED : status;
    }
    return status;
}

/* ---- Why it ended ------------------------------------------------------------------------ */

/* In the handshake: all of it is TLS's. */
static const char *tls_handshake_words(const rlk_socket *sock, rlk_tls_status status)
{
    if (sock->tls.session == NULL) {
        return "no memory is left for TLS";
    }
    if ((sock->tls.flags & TLS_BEGUN) == 0) {
        return "the server's name is empty or too long, or a dot is first";
    }
    if (status != RLK_TLS_REFUSED && sock->tls.error != 0) {
        return "the stream broke in the TLS handshake";
    }
    return status == RLK_TLS_FAILED || status == RLK_TLS_REFUSED
               ? sock->tls.backend->calls->error(sock->tls.session)
               : "the server hung up in the TLS handshake: is it a TLS port?";
}

static rlk_result tls_result(rlk_socket *sock, rlk_tls_status status, int *error)
{
    bool up = rlk_conn_get_state(sock->conn) != RLK_CONN_CONNECTING;

    *error = 0;
    if (status == RLK_TLS_REFUSED) {
        rlk_conn_explain(sock->conn, tls_handshake_words(sock, status));
        return RLK_E_TLS_REFUSED;
    }
    if (!up) {
        rlk_conn_explain(sock->conn, tls_handshake_words(sock, status));
        *error = sock->tls.error;
        return RLK_E_TLS;
    }
    if (status == RLK_TLS_CLOSED) {
        return RLK_E_EOF;
    }
    if (status == RLK_TLS_CUT || sock->tls.error == EPIPE) {
        return RLK_E_TLS_CUT;
    }
    if (sock->tls.error != 0) {
        *error = sock->tls.error;
        return RLK_E_IO;
    }
    rlk_conn_explain(sock->conn, sock->tls.backend->calls->error(sock->tls.session));
    return RLK_E_TLS;
}

/* ---- The driver's calls ------------------------------------------------------------------- */

static rlk_result tls_secure(rlk_socket *sock, int *error)
{
    rlk_tls_status status = RLK_TLS_DONE;

    if ((sock->tls.flags & TLS_BEGUN) == 0) {
        status = tls_begin(sock);
    }
    if (status == RLK_TLS_DONE) {
        status = tls_note(sock, sock->tls.backend->calls->handshake(sock->tls.session));
    }
    if (status == RLK_TLS_DONE) {
        sock->tls.flags |= TLS_UP;
        return RLK_OK;
    }
    return tls_goes_on(status) ? RLK_PENDING : tls_result(sock, status, error);
}

static rlk_result tls_transfer(rlk_socket *sock, bool readable, bool writeable, int *error,
                               int64_t now_ms)
{
    rlk_tls_status status = tls_exchange(sock, readable, writeable, now_ms);

    return tls_goes_on(status) ? RLK_OK : tls_result(sock, status, error);
}

static bool tls_wait(rlk_socket *sock, rlki_socket_got *got)
{
    size_t cap = 0;
    uint8_t *room = rlk_conn_rx_buf(sock->conn, &cap);
    rlk_tls_status status;

    if ((sock->tls.flags & (RLKI_TLS_MORE | RLKI_TLS_WANTS_WRITE)) != 0) {
        return false;
    }
    got->len = 0;
    got->why = RLK_OK;
    sock->tls.flags &= (uint8_t)~TLS_INTERRUPTED;
    sock->tls.flags |= TLS_MAY_WAIT;
    status = tls_read(sock, room, cap, &got->len);
    sock->tls.flags &= (uint8_t)~TLS_MAY_WAIT; /* TLS had bytes already */
    got->error = (sock->tls.flags & TLS_INTERRUPTED) != 0 ? EINTR : 0;
    if (!tls_goes_on(status)) {
        got->why = tls_result(sock, status, &got->error);
    }
    return true;
}

const rlk_tls_driver *rlk_socket_tls_driver(void)
{
    static const rlk_tls_driver tls_driver = {
        "no answer to TLS's handshake: is it a TLS port?", /* a plain port waits for a line */
        tls_secure,
        tls_transfer,
        tls_wait,
        tls_end,
        tls_close};

    return &tls_driver;
}

/* ==== src/net/posix/connect.c ====
 *
 * From a URL to a stream: resolves the host, tries its addresses one after the other, without
 * waiting.
 *
 *     rlki_connect_begin
 *        |        | a resolver answers later
 *        |        v
 *        |  +-----------+  no address: RLK_E_RESOLVE
 *        |  | RESOLVING | --------------------------------------------------------------> over
 *        |  +-----------+
 *        |        | addresses
 *        v        v
 *     +-----------------+  refused, or its time is over: next address; none: RLK_E_CONNECT
 *     |   CONNECTING    | --------------------------------------------------------------> over
 *     +-----------------+
 *        |        | with TLS: connect() at once, or writable without an error
 *        |        v
 *        |  +-----------+  fails: next address; none: RLK_E_TLS
 *        |  |           |  its time is over: next address; none: RLK_E_CONNECT_TIMEOUT
 *        |  |    TLS    |  refused for good: RLK_E_TLS_REFUSED
 *        |  +-----------+ --------------------------------------------------------------> over
 *        v        v
 *       the connection is notified: UP (socket.c)
 *
 * All of it shares the connect time, whose end is the connection's: it wants CLOSE. On each way out
 * of RESOLVING the lookup is closed: an answer that comes later goes nowhere. The descriptor of a
 * lookup is the resolver's (resolver.h).
 *
 * CONNECTING without a descriptor: the server's queue of a Unix socket was full (EAGAIN), and the
 * attempt pauses. The first address is the one behind that which the connection has condemned.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What one address came to, so far. */
typedef enum connect_outcome {
    CONNECT_FAILED, /* the next one is tried */
    CONNECT_UNDER_WAY,
    CONNECT_DONE
} connect_outcome;

/* ---- Descriptors ------------------------------------------------------------------------- */

/* Non-blocking and close-on-exec; -1 and errno if there is none to be had. */
static int connect_open(int family)
{
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    int fd = socket(family, SOCK_STREAM, 0);

    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)) {
        int error = errno;

        (void)close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
#endif
}

/* Wishes, not needs: a system that refuses one is served all the same. */
static void connect_set_options(int fd, int family)
{
    int on = 1;

#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    if (family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
}

void rlki_connect_shut(rlk_socket *sock, bool notify)
{
    rlki_resolver_end(sock);
    rlki_tls_end(sock, notify);
    if (sock->fd >= 0) {
        if (sock->loop != NULL) {
            sock->loop->calls->closing(sock->loop, sock->slot, sock->fd);
        }
        (void)close(sock->fd); /* after EINTR too the descriptor is gone, or another thread's */
        sock->fd = -1;
    }
    sock->state = RLKI_SOCKET_IDLE;
    sock->blocked = false;
    sock->wait_ms = 0;
}

/* ---- Connecting -------------------------------------------------------------------------- */

/* This host has no way to the address. */
static bool connect_lacks(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == ENETUNREACH;
}

/* The address under way failed. A refusal by the server itself says more than a lack of this host,
 * or a time-out, and what came of TLS more than all of these. */
static void connect_failed(rlk_socket *sock, int error)
{
    rlki_connect_shut(sock, false);
    if (sock->last_errno != ECONNREFUSED && sock->why == RLK_E_CONNECT &&
        (sock->last_errno == 0 || !connect_lacks(error))) {
        sock->last_errno = error;
    }
}

/* Until the first attempt is over, its words say what an acquire waits for that ends before it. */
static void connect_explain_wait(const rlk_socket *sock, const char *words)
{
    if (rlk_conn_result(sock->conn) == RLK_E_NOT_CONNECTED) {
        rlk_conn_explain(sock->conn, words);
    }
}

/* Begins TLS, or goes on with it. */
static connect_outcome connect_secure(rlk_socket *sock)
{
    int error;
    rlk_result why = rlki_tls_secure(sock, &error);

    sock->state = RLKI_SOCKET_TLS;
    if (why == RLK_OK || why == RLK_PENDING) {
        connect_explain_wait(sock, why == RLK_OK ? "" : sock->tls.backend->driver->no_answer);
        return why == RLK_OK ? CONNECT_DONE : CONNECT_UNDER_WAY;
    }
    if (why == RLK_E_TLS_REFUSED) { /* the other addresses would say the same */
        sock->address_next = sock->addresses_len;
    }
    sock->why = (int16_t)why;
    sock->last_errno = error;
    return CONNECT_FAILED;
}

/* Writes the socket's own address to `local`. False: it is the server's as well. Where the server's
 * port is one of those that the system gives to clients, and nobody listens there, it can happen
 * that the two ends meet, and then the server can't have its port back. */
static bool connect_local(const rlk_socket *sock, const rlk_address *address,
                          char local[RLKI_NAME_TEXT])
{
    char server[RLKI_NAME_TEXT];
    rlki_name name;
    socklen_t len = (socklen_t)sizeof name;

    memset(&name, 0, sizeof name);
    (void)rlki_name_of_address(&name, address);
    rlki_name_format(&name, server);
    if (getsockname(sock->fd, &name.any, &len) != 0) {
        local[0] = '\0';
    } else {
        rlki_name_format(&name, local);
    }
    return strcmp(local, server) != 0;
}

/* Connected: once TLS is through, where there is any, the connection is notified. */
static connect_outcome connect_through(rlk_socket *sock, int64_t now_ms)
{
    char local[RLKI_NAME_TEXT];
    const rlk_address *address;
    connect_outcome outcome = CONNECT_DONE;

    if (rlk_conn_url(sock->conn)->path != NULL) {
        sock->state = RLKI_SOCKET_UP;
        rlk_conn_connected(sock->conn, 0, NULL, now_ms);
        return CONNECT_DONE;
    }
    address = &sock->addresses[sock->address_next - 1];
    if (!connect_local(sock, address, local)) {
        errno = ECONNREFUSED;
        return CONNECT_FAILED;
    }
    if (rlki_tls_is_on(sock)) {
        outcome = connect_secure(sock);
    }
    if (outcome == CONNECT_DONE) {
        sock->state = RLKI_SOCKET_UP;
        rlk_conn_connected(sock->conn, rlki_name_peer(address), local[0] != '\0' ? local : NULL,
                           now_ms);
    }
    return outcome;
}

/* One socket() and connect() to the address sock->address_next. */
static connect_outcome connect_start(rlk_socket *sock)
{
    const rlk_url *url = rlk_conn_url(sock->conn);
    rlki_name name;
    socklen_t len;

    memset(&name, 0, sizeof name);
    len = url->path != NULL ? rlki_name_of_path(&name, url)
                            : rlki_name_of_address(&name, &sock->addresses[sock->address_next]);
    if (len == 0) {
        return CONNECT_FAILED;
    }
    sock->fd = connect_open(name.any.sa_family);
    if (sock->fd < 0) {
        return CONNECT_FAILED;
    }
    connect_set_options(sock->fd, name.any.sa_family);
    if (connect(sock->fd, &name.any, len) == 0) {
        return CONNECT_DONE;
    }
    /* interrupted, it goes on in the background like any other */
    return errno == EINPROGRESS || errno == EINTR ? CONNECT_UNDER_WAY : CONNECT_FAILED;
}

/* The address under way may have its part of the time that is left; the last one all of it, and
 * then it is the connection that ends the attempt. */
static int64_t connect_address_deadline(const rlk_socket *sock, int64_t now_ms)
{
    uint32_t others = (uint32_t)(sock->addresses_len - sock->address_next);
    int64_t left_ms = rlk_conn_deadline(sock->conn) - now_ms;

    if (others == 0) {
        return RLK_NEVER;
    }
    if (left_ms <= 0) {
        return now_ms;
    }
    return now_ms + (int64_t)((uint32_t)left_ms / (others + 1)); /* at most RLK_TIME_LIMIT_MAX */
}

/* Between two attempts on a server whose queue is full. */
#define CONNECT_FULL_MS 10

/* Nothing reports when the queue of a Unix socket has room again (fault 116). False: the connect
 * time is over before the next attempt. */
static bool connect_pause(rlk_socket *sock, int64_t now_ms)
{
    if (rlk_conn_deadline(sock->conn) - now_ms <= CONNECT_FULL_MS) {
        return false;
    }
    rlki_connect_shut(sock, false);
    sock->state = RLKI_SOCKET_CONNECTING;
    sock->address_next = 0; /* the path, once more */
    sock->address_deadline_ms = now_ms + CONNECT_FULL_MS;
    return true;
}

/* Tries addresses until one answers at once or needs a wait, or none is left. */
static rlk_result connect_try(rlk_socket *sock, int64_t now_ms)
{
    while (sock->address_next < sock->addresses_len) {
        connect_outcome outcome = connect_start(sock);
        int error = errno;

        sock->address_next++;
        sock->address_deadline_ms = connect_address_deadline(sock, now_ms);
        if (outcome == CONNECT_UNDER_WAY) {
            sock->state = RLKI_SOCKET_CONNECTING;
        } else if (outcome == CONNECT_DONE) {
            outcome = connect_through(sock, now_ms);
            error = errno;
        } else if (error == EAGAIN && rlk_conn_url(sock->conn)->path != NULL &&
                   connect_pause(sock, now_ms)) {
            outcome = CONNECT_UNDER_WAY;
        }
        if (outcome != CONNECT_FAILED) {
            return outcome == CONNECT_DONE ? RLK_OK : RLK_PENDING;
        }
        connect_failed(sock, error);
    }
    return (rlk_result)sock->why;
}

/* Begins with the address behind the one that the connection has left for what its server said
 * (fault 93). */
static void connect_turn(rlk_socket *sock)
{
    unsigned len = sock->addresses_len;
    unsigned turns = 0;
    unsigned i;

    for (i = 0; i < len; i++) {
        if (rlk_conn_is_condemned(sock->conn, rlki_name_peer(&sock->addresses[i]))) {
            turns = i + 1;
        }
    }
    for (; turns > 0 && turns < len; turns--) {
        rlk_address first = sock->addresses[0];

        memmove(&sock->addresses[0], &sock->addresses[1], (len - 1) * sizeof first);
        sock->addresses[len - 1] = first;
    }
}

#define CONNECT_NOT_RESOLVED "the host name was not resolved in time"

/* Resolving has come to `result`. */
static rlk_result connect_resolved(rlk_socket *sock, rlk_result result, int64_t now_ms)
{
    if (result == RLK_OK) {
        connect_explain_wait(sock, "");
        connect_turn(sock);
        return connect_try(sock, now_ms);
    }
    if (result == RLK_PENDING) {
        sock->state = RLKI_SOCKET_RESOLVING;
        connect_explain_wait(sock, CONNECT_NOT_RESOLVED);
    } else if (result == RLK_E_RESOLVE) {
        rlk_conn_explain(sock->conn, rlki_resolver_why(sock));
    }
    return result;
}

rlk_result rlki_connect_begin(rlk_socket *sock, bool may_block, int64_t now_ms)
{
    const rlk_url *url = rlk_conn_url(sock->conn);

    sock->why = RLK_E_CONNECT;
    sock->last_errno = 0;
    rlk_conn_connecting(sock->conn, now_ms);
    if ((rlk_conn_wants(sock->conn) & RLK_WANT_CLOSE) != 0) {
        return RLK_E_CONNECT; /* what to connect to is not known */
    }
    if (url->path != NULL) {
        sock->addresses_len = 1; /* the path */
        sock->address_next = 0;
        return connect_try(sock, now_ms);
    }
    return connect_resolved(sock, rlki_resolver_begin(sock, url, may_block, now_ms), now_ms);
}

/* How the connect under way stands; of one that failed errno says why. */
static connect_outcome connect_progress(const rlk_socket *sock, short revents)
{
    rlki_name peer;
    socklen_t peer_len = (socklen_t)sizeof peer;
    int error = 0;
    socklen_t len = (socklen_t)sizeof error;

    if ((revents & RLKI_WRITEABLE) == 0) {
        return CONNECT_UNDER_WAY;
    }
    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return CONNECT_FAILED;
    }
    if (error != 0) {
        errno = error;
        return CONNECT_FAILED;
    }
    /* else those were the events of an older descriptor */
    return getpeername(sock->fd, &peer.any, &peer_len) == 0 ? CONNECT_DONE : CONNECT_UNDER_WAY;
}

/* Goes on with the address under way, or with the next one. */
static rlk_result connect_continue(rlk_socket *sock, short revents, int64_t now_ms)
{
    connect_outcome outcome = CONNECT_UNDER_WAY;

    if (sock->fd < 0) { /* a pause */
        return now_ms >= sock->address_deadline_ms ? connect_try(sock, now_ms) : RLK_PENDING;
    }
    if (sock->state == RLKI_SOCKET_CONNECTING) {
        outcome = connect_progress(sock, revents);
    }
    if (outcome == CONNECT_DONE || (sock->state == RLKI_SOCKET_TLS && revents != 0)) {
        outcome = connect_through(sock, now_ms);
    }
    if (outcome == CONNECT_UNDER_WAY && now_ms >= sock->address_deadline_ms) {
        if (sock->state == RLKI_SOCKET_TLS && sock->why == RLK_E_CONNECT) {
            sock->why = RLK_E_CONNECT_TIMEOUT;
            sock->last_errno = 0;
        }
        outcome = CONNECT_FAILED;
        errno = ETIMEDOUT;
    }
    if (outcome == CONNECT_FAILED) {
        connect_failed(sock, errno);
        return connect_try(sock, now_ms);
    }
    return outcome == CONNECT_DONE ? RLK_OK : RLK_PENDING;
}

rlk_result rlki_connect_go_on(rlk_socket *sock, short revents, bool may_block, int64_t now_ms)
{
    bool ready = (revents & RLKI_READABLE) != 0;

    if (sock->state == RLKI_SOCKET_RESOLVING) {
        return connect_resolved(sock, rlki_resolver_go_on(sock, ready, may_block, now_ms), now_ms);
    }
    return connect_continue(sock, revents, now_ms);
}

const char *rlki_connect_overdue(const rlk_socket *sock)
{
    if (sock->state == RLKI_SOCKET_RESOLVING) {
        return CONNECT_NOT_RESOLVED;
    }
    if (sock->state == RLKI_SOCKET_TLS || sock->why == RLK_E_CONNECT_TIMEOUT) {
        return sock->tls.backend->driver->no_answer;
    }
    return "";
}

/* ==== src/net/posix/errno_text.c ====
 *
 * What an errno says of a connection, in words.
 */

#ifndef RLK_NO_TEXT

#include <errno.h>

const char *rlk_system_errno_text(void *context, int number)
{
    (void)context;
    switch (number) {
    case ECONNREFUSED:
        return "connection refused";
    case ECONNRESET:
        return "connection reset by the peer";
    case EPIPE:
        return "the peer has closed the connection";
    case ETIMEDOUT:
        return "timed out";
    case EHOSTUNREACH:
        return "no route to the host";
    case ENETUNREACH:
        return "the network is unreachable";
    case ENETDOWN:
        return "the network is down";
    case EADDRNOTAVAIL:
        return "no local address or port is free";
    case EAFNOSUPPORT:
        return "the system lacks this kind of address";
    case ENOENT:
        return "no such socket";
    case ENOTDIR:
        return "a part of the path is not a folder";
    case ENOTSOCK:
        return "not a socket";
    case ENAMETOOLONG:
        return "the path is too long";
    case EACCES:
        return "permission denied";
    case EPERM:
        return "forbidden, perhaps by a firewall";
    case EAGAIN:
        return "the server's queue of connections is full";
    case EMFILE:
        return "too many open files in this process";
    case ENFILE:
        return "too many open files in the system";
    case ENOBUFS:
        return "the system has no buffer left";
    case ENOMEM:
        return "the system has no memory left";
    case EPROTOTYPE:
        return "a socket of another type";
    default:
        return NULL;
    }
}

#endif /* RLK_NO_TEXT */

/* ==== src/net/posix/socket.c ====
 *
 * The POSIX driver: moves the bytes of one connection through one descriptor, without waiting.
 *
 *     +------+  wants CONNECT   +------------+          +----+
 *     | IDLE | ---------------> | connect.c: | -------> | UP |
 *     +------+                  | an attempt |          +----+
 *        ^                      +------------+            |
 *        |                            |                   | end of stream: RLK_E_EOF
 *        +----------------------------+-------------------+ error: RLK_E_IO
 *              it fails, or wants CLOSE                     wants CLOSE
 *
 * With TLS, tls_stream.c moves the bytes of UP.
 *
 * System calls in UP: one recv for a readable descriptor, one more only where it filled the whole
 * buffer; one send for what is ready, no matter whether poll said so. A blocking call of a
 * client with one connection doesn't poll: there recv itself waits (socket_wait.h).
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>

/* ---- The end ---------------------------------------------------------------------------- */

void rlk_socket_close(rlk_socket *sock)
{
    rlki_tls_close(sock);
    rlki_connect_shut(sock, false);
}

/* The stream, or the attempt, is over. */
static void socket_end(rlk_socket *sock, rlk_result why, int error, int64_t now_ms)
{
    rlki_connect_shut(sock, why == RLK_OK && sock->state == RLKI_SOCKET_UP);
    rlk_conn_closed(sock->conn, why, error, now_ms);
}

/* ---- Transfer ---------------------------------------------------------------------------- */

/* Reads what is there. False: the stream is over, *error is 0 at its end. */
static bool socket_receive(rlk_socket *sock, int *error, int64_t now_ms)
{
    int round;

    for (round = 0; round < RLK_SOCKET_ROUNDS; round++) {
        size_t cap = 0;
        uint8_t *buf = rlk_conn_rx_buf(sock->conn, &cap);
        ssize_t n;

        if (cap == 0) {
            return true; /* the connection is about to close */
        }
        n = recv(sock->fd, buf, cap, RLKI_RECEIVE_FLAGS);
        if (n > 0) {
            rlk_conn_rx_ack(sock->conn, (size_t)n, now_ms);
            if ((size_t)n < cap) {
                return true; /* that was all: no read that ends with EAGAIN */
            }
        } else if (n == 0) {
            *error = 0;
            return false;
        } else if (rlki_socket_would_block(errno)) {
            return true;
        } else if (errno != EINTR) {
            *error = errno;
            return false;
        }
    }
    return true;
}

/* Writes what the kernel takes. False: the stream is over. */
static RLKI_INTO_CALLERS bool socket_send(rlk_socket *sock, int *error, int64_t now_ms)
{
    int round = 0;

    sock->blocked = false;
    while (round++ < RLK_SOCKET_ROUNDS && !rlki_transmit_is_quiet(sock->conn)) {
        size_t len = 0;
        const uint8_t *buf = rlk_conn_tx_buf(sock->conn, &len);
        ssize_t n;

        if (len == 0) {
            return true;
        }
        n = send(sock->fd, buf, len, RLKI_SEND_FLAGS);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && !rlki_socket_would_block(errno)) {
            *error = errno;
            return false;
        }
        if (n > 0) {
            rlk_conn_tx_ack(sock->conn, (size_t)n, now_ms);
        }
        if (n < (ssize_t)len) {
            sock->blocked = true; /* until poll says otherwise */
            return true;
        }
    }
    return true;
}

/* Reads first, so that what the replies set off leaves in the same call. RLK_OK, or how the stream
 * ended. */
static RLKI_INTO_CALLERS rlk_result socket_exchange(rlk_socket *sock, short revents, int *error,
                                                    int64_t now_ms)
{
    bool up = true;

    if ((revents & RLKI_READABLE) != 0) {
        up = socket_receive(sock, error, now_ms);
    }
    if (up && (!sock->blocked || (revents & RLKI_WRITEABLE) != 0)) {
        up = socket_send(sock, error, now_ms);
        if (!up) {
            /* what it said before it hung up: "-ERR max number of clients reached" */
            int ignored;

            (void)socket_receive(sock, &ignored, now_ms);
        }
    }
    if (up) {
        return RLK_OK;
    }
    return *error == 0 || *error == EPIPE ? RLK_E_EOF : RLK_E_IO;
}

/* Moves what can be moved. Returns what the connection wants after that. */
static RLKI_INTO_CALLERS unsigned socket_transfer(rlk_socket *sock, short revents, int64_t now_ms)
{
    int error = 0;
    unsigned wants;
    rlk_result why;

    if (rlki_tls_is_on(sock)) {
        why = rlki_tls_transfer(sock, (revents & RLKI_READABLE) != 0,
                                (revents & RLKI_WRITEABLE) != 0, &error, now_ms);
    } else {
        why = socket_exchange(sock, revents, &error, now_ms);
    }
    if (why == RLK_OK && rlki_transmit_is_quiet(sock->conn)) {
        return RLK_WANT_READ;
    }
    wants = rlk_conn_wants(sock->conn);
    if (why != RLK_OK || (wants & RLK_WANT_CLOSE) != 0) {
        socket_end(sock, why, error, now_ms);
        wants = rlk_conn_wants(sock->conn);
    }
    return wants;
}

/* ---- Waiting ----------------------------------------------------------------------------- */

/* Shorter waits are poll's: a socket's own timer is coarse. */
#define SOCKET_WAIT_MIN_MS 40

#define SOCKET_WAIT_MAX_MS 3600000

/* Has recv wait, at most timeout_ms and at least a quarter of that. What was set the last time is
 * most often right again, also where waits of two lengths take turns. */
static bool socket_set_wait(rlk_socket *sock, int timeout_ms)
{
#ifdef MSG_DONTWAIT
    struct timeval limit;
    int least_ms = (int)((unsigned)timeout_ms / 4);
    int wait_ms = timeout_ms - least_ms;

    if (sock->wait_ms <= timeout_ms && sock->wait_ms >= least_ms) {
        return true;
    }
    limit.tv_sec = wait_ms / 1000;
    limit.tv_usec = wait_ms % 1000 * 1000;
    if (setsockopt(sock->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, (socklen_t)sizeof limit) != 0) {
        return false;
    }
    if (sock->wait_ms == 0) {
        int flags = fcntl(sock->fd, F_GETFL);

        if (flags < 0 || fcntl(sock->fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
            return false;
        }
    }
    sock->wait_ms = wait_ms;
    return true;
#else
    (void)sock;
    (void)timeout_ms;
    return false;
#endif
}

static void socket_wait_plain(rlk_socket *sock, rlki_socket_got *got)
{
    size_t cap = 0;
    uint8_t *buf = rlk_conn_rx_buf(sock->conn, &cap);
    ssize_t n = recv(sock->fd, buf, cap, 0);

    got->len = n > 0 ? (size_t)n : 0;
    got->error = n < 0 ? errno : 0;
    got->why = n == 0 ? RLK_E_EOF : RLK_OK;
    if (n < 0 && got->error != EINTR && !rlki_socket_would_block(got->error)) {
        got->why = RLK_E_IO;
    }
}

bool rlki_socket_wait(rlk_socket *sock, int timeout_ms, int64_t now_ms, rlki_socket_got *got)
{
    if (timeout_ms < 0 || timeout_ms > SOCKET_WAIT_MAX_MS) {
        timeout_ms = SOCKET_WAIT_MAX_MS;
    }
    if (timeout_ms < SOCKET_WAIT_MIN_MS || sock->state != RLKI_SOCKET_UP || sock->blocked ||
        sock->loop != NULL || /* which may set O_NONBLOCK at any time */
        rlki_conn_state(sock->conn) != RLK_CONN_READY ||
        socket_transfer(sock, 0, now_ms) != RLK_WANT_READ || !socket_set_wait(sock, timeout_ms)) {
        return false;
    }
    if (rlki_tls_is_on(sock)) {
        return rlki_tls_wait(sock, got);
    }
    socket_wait_plain(sock, got);
    return true;
}

void rlki_socket_take(rlk_socket *sock, const rlki_socket_got *got, int64_t now_ms)
{
    if (got->why != RLK_OK) {
        socket_end(sock, got->why, got->error, now_ms);
        return;
    }
    if (got->len > 0) {
        rlk_conn_rx_ack(sock->conn, got->len, now_ms); /* nothing, if it closes by now */
    }
    if (!rlki_transmit_is_quiet(sock->conn) || (sock->tls.flags & RLKI_TLS_MORE) != 0) {
        (void)socket_transfer(sock, 0, now_ms);
    }
}

/* ---- Public ------------------------------------------------------------------------------ */

void rlk_socket_init(rlk_socket *sock, rlk_conn *conn, rlk_resolver *resolver)
{
    memset(sock, 0, sizeof *sock);
    sock->conn = conn;
    sock->resolver = resolver;
    sock->fd = -1;
}

void rlk_socket_set_loop(rlk_socket *sock, rlk_loop *loop, unsigned slot)
{
    sock->loop = loop;
    sock->slot = (uint8_t)slot;
    sock->wait_ms = 0; /* a recv that waits clears O_NONBLOCK, which loops set, anew */
}

void rlk_socket_use_tls(rlk_socket *sock, const rlk_tls *tls)
{
    if (rlk_conn_url(sock->conn)->path == NULL) {
        sock->tls.backend = tls;
    }
}

int rlk_socket_fd(const rlk_socket *sock)
{
    return sock->state == RLKI_SOCKET_RESOLVING ? sock->lookup.fd : sock->fd;
}

short rlk_socket_events(const rlk_socket *sock)
{
    bool wants_write = (sock->tls.flags & RLKI_TLS_WANTS_WRITE) != 0;

    switch (sock->state) {
    case RLKI_SOCKET_RESOLVING:
        return sock->lookup.fd >= 0 ? POLLIN : 0;
    case RLKI_SOCKET_CONNECTING:
        return POLLOUT;
    case RLKI_SOCKET_TLS:
        return wants_write ? POLLOUT : POLLIN;
    case RLKI_SOCKET_UP:
        wants_write = wants_write || ((rlk_conn_wants(sock->conn) & RLK_WANT_WRITE) != 0 &&
                                      (sock->tls.flags & RLKI_TLS_WRITE_WANTS_READ) == 0);
        return wants_write ? POLLIN | POLLOUT : POLLIN;
    default:
        return 0;
    }
}

int64_t rlk_socket_deadline(const rlk_socket *sock)
{
    if ((rlk_conn_wants(sock->conn) & (RLK_WANT_CONNECT | RLK_WANT_CLOSE)) != 0) {
        return 0;
    }
    switch (sock->state) {
    case RLKI_SOCKET_RESOLVING:
        return sock->lookup.done ? 0 : sock->lookup.deadline_ms;
    case RLKI_SOCKET_CONNECTING:
    case RLKI_SOCKET_TLS:
        return sock->address_deadline_ms;
    case RLKI_SOCKET_UP:
        return (sock->tls.flags & RLKI_TLS_MORE) != 0 ? 0 : RLK_NEVER;
    default:
        return RLK_NEVER;
    }
}

void rlk_socket_service(rlk_socket *sock, short revents, bool may_block, int64_t now_ms)
{
    rlk_result result = RLK_OK;

    if ((rlk_conn_wants(sock->conn) & RLK_WANT_CLOSE) != 0) {
        if (rlk_conn_result(sock->conn) == RLK_E_CONNECT_TIMEOUT) {
            rlk_conn_explain(sock->conn, rlki_connect_overdue(sock));
        }
        socket_end(sock, RLK_OK, 0, now_ms);
    }
    if (sock->state == RLKI_SOCKET_UP) {
        (void)socket_transfer(sock, revents, now_ms);
        return;
    }
    if (sock->state != RLKI_SOCKET_IDLE) {
        result = rlki_connect_go_on(sock, revents, may_block, now_ms);
    } else if ((rlk_conn_wants(sock->conn) & RLK_WANT_CONNECT) != 0) {
        result = rlki_connect_begin(sock, may_block, now_ms);
    }
    if (result != RLK_OK && result != RLK_PENDING) {
        if (result == RLK_E_CONNECT_TIMEOUT) {
            rlk_conn_explain(sock->conn, rlki_connect_overdue(sock));
        }
        socket_end(sock, result, sock->last_errno, now_ms);
    } else if (sock->state == RLKI_SOCKET_UP) {
        (void)socket_transfer(sock, 0, now_ms); /* those events were not the stream's */
    }
}

/* ==== src/net/posix/system.c ====
 *
 * What the engine asks of a POSIX system: time, random bytes, and whether this process is still
 * the one that it was.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* RLK_NO_GETRANDOM: for a C library without it (glibc before 2.25). */
#if (defined(__linux__) || defined(__FreeBSD__)) && !defined(RLK_NO_GETRANDOM)
#include <sys/random.h>
#define SYSTEM_HAS_GETRANDOM 1
#endif

/* ---- Clock ------------------------------------------------------------------------------- */

static bool system_clock(clockid_t id, int64_t *now_ms)
{
    struct timespec now;

    if (clock_gettime(id, &now) != 0) {
        return false;
    }
    *now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return true;
}

int64_t rlk_system_now_ms(void *context)
{
    int64_t now_ms;

    (void)context;
#ifdef CLOCK_BOOTTIME
    if (system_clock(CLOCK_BOOTTIME, &now_ms)) {
        return now_ms;
    }
#endif
    return system_clock(CLOCK_MONOTONIC, &now_ms) ? now_ms : RLK_NO_CLOCK_MS;
}

/* ---- Entropy ----------------------------------------------------------------------------- */

#ifdef SYSTEM_HAS_GETRANDOM
/* Blocks only while the system, just booted, has gathered no entropy yet. */
static bool system_getrandom(uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = getrandom(buf, len, 0);

        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}
#endif

static int system_open(const char *path)
{
    int fd;

    do {
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static bool system_read_all(int fd, uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, buf, len);

        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* A kernel without getrandom, or a sandbox that forbids it. */
static bool system_urandom(uint8_t *buf, size_t len)
{
    struct stat status;
    bool good;
    int fd = system_open("/dev/urandom");

    if (fd < 0) {
        return false;
    }
    /* in a careless chroot it may be a plain file: the same bytes for everybody */
    good = fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && system_read_all(fd, buf, len);
    (void)close(fd);
    return good;
}

int rlk_system_random(void *context, void *buf, size_t len)
{
    uint8_t *bytes = (uint8_t *)buf;

    (void)context;
#ifdef SYSTEM_HAS_GETRANDOM
    if (system_getrandom(bytes, len)) {
        return 0;
    }
#endif
    if (system_urandom(bytes, len)) {
        return 0;
    }
    memset(bytes, 0, len);
    return -1;
}

/* ---- Fork -------------------------------------------------------------------------------- */

/* Bytes to map: the kernel makes a page of it. */
#define SYSTEM_MARK_LEN 4096u
#define SYSTEM_MARK     1u

/* Advice that no kernel knows. A system that accepts it takes any advice and follows none, as
 * emulators do (fault 118): then it accepts MADV_WIPEONFORK too, and the child finds the mark. */
#define SYSTEM_NO_ADVICE (-1)

/* A page that the kernel hands to a child, and to the child's children, filled with zeros. NULL:
 * there is none, and process ids are compared. */
static volatile uint32_t *system_map_mark(void)
{
#ifdef MADV_WIPEONFORK
    void *page =
        mmap(NULL, SYSTEM_MARK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint32_t *mark = (volatile uint32_t *)page;

    if (page == MAP_FAILED) {
        return NULL;
    }
    if (madvise(page, SYSTEM_MARK_LEN, SYSTEM_NO_ADVICE) != 0 &&
        madvise(page, SYSTEM_MARK_LEN, MADV_WIPEONFORK) == 0) {
        *mark = SYSTEM_MARK;
        return mark;
    }
    (void)munmap(page, SYSTEM_MARK_LEN); /* Linux before 4.14, an emulator */
#endif
    return NULL;
}

void rlk_system_fork_init(rlk_system_fork *fork_mark)
{
    fork_mark->pid = (int64_t)getpid();
    fork_mark->mark = system_map_mark();
}

bool rlk_system_fork_same(const rlk_system_fork *fork_mark)
{
    if (fork_mark->mark != NULL) {
        return *fork_mark->mark == SYSTEM_MARK;
    }
    return fork_mark->pid == (int64_t)getpid();
}

void rlk_system_fork_close(rlk_system_fork *fork_mark)
{
    if (fork_mark->mark != NULL) {
        (void)munmap((void *)(uintptr_t)fork_mark->mark, SYSTEM_MARK_LEN);
        fork_mark->mark = NULL;
    }
}

/* ==== src/net/posix/wakeup.h ====
 *
 * A pipe by which a signal handler or another thread wakes a wait: a byte in it stays until it is
 * read, so a wake-up between a check and the wait is not lost.
 */
#ifndef RLKI_WAKEUP_H
#define RLKI_WAKEUP_H

/* Opens both, non-blocking and close-on-exec. False, and -1: the system has none. */
RLKI_API bool rlki_wakeup_open(rlk_system_wakeup *wakeup);

/* Harmless where there is none. */
RLKI_API void rlki_wakeup_close(rlk_system_wakeup *wakeup);

/* Wakes. Async-signal-safe, keeps errno; any thread. A full pipe wakes already. */
RLKI_API void rlki_wakeup_send(const rlk_system_wakeup *wakeup);

/* Empties the pipe; true if there was a byte in it. */
RLKI_API bool rlki_wakeup_take(const rlk_system_wakeup *wakeup);

#endif

/* ==== src/net/posix/wakeup.c ==== */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool wakeup_set_flags(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

bool rlki_wakeup_open(rlk_system_wakeup *wakeup)
{
    if (pipe(wakeup->fds) != 0) {
        wakeup->fds[0] = -1;
        wakeup->fds[1] = -1;
        return false;
    }
    if (wakeup_set_flags(wakeup->fds[0]) && wakeup_set_flags(wakeup->fds[1])) {
        return true;
    }
    rlki_wakeup_close(wakeup);
    return false;
}

void rlki_wakeup_close(rlk_system_wakeup *wakeup)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        if (wakeup->fds[i] >= 0) {
            (void)close(wakeup->fds[i]);
        }
        wakeup->fds[i] = -1;
    }
}

void rlki_wakeup_send(const rlk_system_wakeup *wakeup)
{
    int error = errno;
    ssize_t n;

    do {
        n = write(wakeup->fds[1], "", 1);
    } while (n < 0 && errno == EINTR);
    errno = error;
}

bool rlki_wakeup_take(const rlk_system_wakeup *wakeup)
{
    char bytes[64];
    bool sent = false;
    ssize_t n;

    do {
        n = read(wakeup->fds[0], bytes, sizeof bytes);
        sent = sent || n > 0;
    } while (n == (ssize_t)sizeof bytes || (n < 0 && errno == EINTR));
    return sent;
}

/* ==== src/lock/posix.c ====
 *
 * Clients on POSIX sockets: the glue between the engine and the drivers.
 */

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- the environment ---- */

/* A client that is in an rlk_posix_client is its first member, and a connection its node's. */
static rlk_posix_client *posix_of(rlk_client *client)
{
    return (rlk_posix_client *)(void *)client;
}

static rlk_posix_node *posix_node_of(const rlk_posix_client *posix, unsigned node)
{
    return (rlk_posix_node *)(void *)posix->client.conns[node];
}

static bool posix_same_process(void *context, const rlk_client *client)
{
    (void)context;
    return rlk_system_fork_same(&((const rlk_posix_client *)(const void *)client)->fork_mark);
}

static int64_t posix_deadline(const rlk_posix_client *posix, int64_t deadline_ms)
{
    unsigned i;

    for (i = 0; i < posix->client.nodes; i++) {
        int64_t socket_ms = rlk_socket_deadline(&posix_node_of(posix, i)->socket);

        if (socket_ms < deadline_ms) {
            deadline_ms = socket_ms;
        }
    }
    return deadline_ms;
}

/* Milliseconds for poll, from a clock reading that is as fresh as the deadlines are. */
static int posix_timeout(const rlk_posix_client *posix, int64_t deadline_ms)
{
    int64_t left_ms;

    if (deadline_ms == RLK_NEVER) {
        return -1;
    }
    left_ms = deadline_ms - posix->client.clock_ms;
    if (left_ms <= 0) {
        return 0;
    }
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static nfds_t posix_fill(const rlk_posix_client *posix, struct pollfd *fds)
{
    nfds_t n = 0;
    unsigned i;

    for (i = 0; i < posix->client.nodes; i++) {
        const rlk_socket *sock = &posix_node_of(posix, i)->socket;

        if (rlk_socket_fd(sock) < 0) {
            continue;
        }
        fds[n].fd = rlk_socket_fd(sock);
        fds[n].events = rlk_socket_events(sock);
        fds[n].revents = 0;
        n++;
    }
    return n;
}

static void posix_serve(rlk_posix_client *posix, const struct pollfd *fds, nfds_t n, bool may_block)
{
    unsigned i;
    nfds_t k;

    for (i = 0; i < posix->client.nodes; i++) {
        rlk_socket *sock = &posix_node_of(posix, i)->socket;
        int fd = rlk_socket_fd(sock);
        short revents = 0;

        for (k = 0; k < n; k++) {
            if (fd >= 0 && fds[k].fd == fd) {
                revents = fds[k].revents;
            }
        }
        rlk_socket_service(sock, revents, may_block, posix->client.clock_ms);
    }
}

/* What a signal handler that interrupted a wait makes of it. */
static int posix_signalled(const rlk_posix_client *posix)
{
    return posix->return_on_signal ? (int)RLK_CANCELLED : 0;
}

/* Sends what there is, and waits for the one connection that there is: in one system call instead
 * of two, and with nothing between. False: can't. */
static bool posix_wait_one(rlk_posix_client *posix, int64_t deadline_ms, int *answer)
{
    rlk_client *client = &posix->client;
    rlk_socket *sock = &posix_node_of(posix, 0)->socket;
    rlki_socket_got got;

    if (rlki_nodes(client) != 1 || client->interruptible ||
        !rlki_socket_wait(sock, posix_timeout(posix, deadline_ms), client->clock_ms, &got)) {
        return false;
    }
    *answer = got.error == EINTR ? posix_signalled(posix) : 0;
    rlki_client_tick(client); /* deadlines before input */
    rlki_socket_take(sock, &got, client->clock_ms);
    return true;
}

/* Polls, and serves what poll says. Behind the connections, where there is one, the pipe. */
static int posix_wait_all(rlk_posix_client *posix, int timeout_ms)
{
    struct pollfd fds[RLK_MAX_FDS + 1];
    nfds_t n = posix_fill(posix, fds);
    int ready;

    fds[n].fd = posix->wakeup.fds[0];
    fds[n].events = POLLIN;
    fds[n].revents = 0;
    ready = poll(fds, posix->client.interruptible ? n + 1 : n, timeout_ms);
    if (ready < 0 && errno != EINTR) {
        return -1;
    }
    rlki_client_tick(&posix->client); /* deadlines before input */
    if (ready < 0) {
        return posix_signalled(posix);
    }
    if (ready > 0) {
        posix_serve(posix, fds, n, true);
    }
    return fds[n].revents != 0 && rlki_wakeup_take(&posix->wakeup) ? (int)RLK_CANCELLED : 0;
}

/* env.wait: sends what there is, then waits for input or the deadline, once. */
static int posix_wait(void *context, rlk_client *client, int64_t deadline_ms)
{
    rlk_posix_client *posix = posix_of(client);
    int answer;
    int64_t moved_ms;

    (void)context;
    if (posix_wait_one(posix, deadline_ms, &answer)) {
        return answer;
    }
    posix_serve(posix, NULL, 0, true);
    moved_ms = rlki_client_deadline(client); /* by what was sent, or failed, just now */
    if (moved_ms < deadline_ms) {
        deadline_ms = moved_ms;
    }
    rlki_client_now(client);
    return posix_wait_all(posix, posix_timeout(posix, posix_deadline(posix, deadline_ms)));
}

/* ---- open and close ---- */

static void posix_env(rlk_env *env, const rlk_env *own)
{
    *env = *own;
    env->changed = NULL;
    if (env->now_ms == NULL) {
        env->now_ms = rlk_system_now_ms;
    }
    if (env->random == NULL) {
        env->random = rlk_system_random;
    }
    if (env->wait == NULL) {
        env->wait = posix_wait;
    }
    if (env->same_process == NULL) {
        env->same_process = posix_same_process;
    }
#ifndef RLK_NO_TEXT
    if (env->errno_text == NULL) {
        env->errno_text = rlk_system_errno_text;
    }
#endif
}

static size_t posix_length(const char *text)
{
    return text != NULL ? strlen(text) : 0;
}

static uint32_t posix_texts(const rlk_posix_node *node)
{
    uint32_t hash = rlk_key_hash(RLK_KEY_HASH, node->user, posix_length(node->user));

    return rlk_key_hash(hash, node->password, posix_length(node->password));
}

/* Credentials of the options, as a hook: they are not percent-encoded. */
static int posix_credentials(void *context, rlk_credentials *out)
{
    const rlk_posix_node *node = (const rlk_posix_node *)context;

    if (posix_texts(node) != node->texts) {
        return RLK_E_DANGLING;
    }
    out->user = node->user;
    out->user_len = posix_length(node->user);
    /* a user alone: an empty password */
    out->password = node->password != NULL ? node->password : "";
    out->password_len = posix_length(node->password);
    return 0;
}

/* The hook for the credentials of the options, where there are any. */
static rlk_result posix_take_credentials(rlk_client *client, rlk_conn_config *config,
                                         rlk_posix_node *node, const rlk_posix_options *options)
{
    size_t need;

    config->credentials = options->credentials;
    config->credentials_context = options->credentials_context;
    node->user = options->user;
    node->password = options->password;
    node->texts = posix_texts(node);
    if (config->credentials != NULL || (options->user == NULL && options->password == NULL)) {
        return RLK_OK;
    }
    need = RLK_CONN_TX_AUTH(posix_length(options->user), posix_length(options->password));
    if (config->tx_cap < need) {
        RLKI_REFUSE(client, RLKI_WORD("tx_cap"), config->tx_cap, need, RLKI_BUFFER_MAX);
        return RLK_E_BUFFER;
    }
    config->credentials = posix_credentials;
    config->credentials_context = node;
    return RLK_OK;
}

static rlk_result posix_conn_config(rlk_client *client, rlk_conn_config *config,
                                    rlk_posix_node *node, const char *url,
                                    const rlk_posix_options *options)
{
    rlk_result result = rlk_url_parse(&config->url, url);

    if (options->tls != NULL && (options->tls->calls == NULL || options->tls->driver == NULL)) {
        RLKI_REFUSE(client, RLKI_WORD("options.tls is not ready: has its init failed?"), 0, 0, 0);
        return RLK_E_ARGUMENT;
    }
    if (result == RLK_OK && config->url.host != NULL && options->tls != NULL) {
        return RLK_E_URL_PLAIN; /* else nobody would notice that nothing is encrypted */
    }
    if (result != RLK_OK && (result != RLK_E_URL_TLS || options->tls == NULL)) {
        return result;
    }
    if (options->db < 0) {
        return RLK_E_URL_DB;
    }
    if (options->db > 0) {
        config->url.db = (uint32_t)options->db;
    }
    config->client_name = options->client_name != NULL ? options->client_name : "resplock";
    result = posix_take_credentials(client, config, node, options);
    if (result != RLK_OK) {
        return result;
    }
    config->connect_timeout_ms = options->connect_timeout_ms;
    config->response_timeout_ms = options->response_timeout_ms;
    config->backoff_min_ms = options->backoff_min_ms;
    config->backoff_max_ms = options->backoff_max_ms;
    config->resp2_only = options->resp2_only;
    config->no_tracking = options->no_tracking;
    rlk_client_conn_config(client, config);
    return RLK_OK;
}

/* Why rlk_conn_init refused, which has no memory for it. */
static void posix_explain(rlk_client *client, const rlk_conn_config *config, rlk_result result)
{
    uint32_t taken_ms;
    size_t number;
    size_t least;
    const char *buffer = rlki_conn_bad_buffer(config, &number, &least);

    if (result == RLK_E_BUFFER && buffer != NULL) {
        RLKI_REFUSE(client, buffer, number < INT32_MAX ? (int64_t)number : INT64_MAX, least,
                    RLKI_BUFFER_MAX);
    }
    if (result == RLK_E_TIMES) {
        (void)(rlki_client_take_limit(client, &taken_ms, config->connect_timeout_ms, 0,
                                      RLKI_WORD("connect_timeout_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->response_timeout_ms, 0,
                                      RLKI_WORD("response_timeout_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->backoff_min_ms, 0,
                                      RLKI_WORD("backoff_min_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->backoff_max_ms, 0,
                                      RLKI_WORD("backoff_max_ms")));
    }
}

/* One node: its connection over the memory that `config` names already, and its driver. */
static rlk_result posix_node(rlk_client *client, rlk_posix_node *node, rlk_conn_config *config,
                             const char *url, const rlk_posix_options *options, int64_t now_ms)
{
    rlk_result result;

    if (url == NULL) {
        return RLK_E_ARGUMENT;
    }
    memset(node, 0, sizeof *node);
    result = posix_conn_config(client, config, node, url, options);
    if (result != RLK_OK) {
        return result;
    }
    if (rlk_system_random(NULL, &config->jitter_seed, sizeof config->jitter_seed) != 0) {
        config->jitter_seed = (uint32_t)now_ms;
    }
    result = rlk_conn_init(&node->conn, config, now_ms);
    if (result == RLK_OK) {
        rlk_socket_init(&node->socket, &node->conn, options->resolver);
        rlk_socket_use_tls(&node->socket, options->tls);
    } else {
        posix_explain(client, config, result);
    }
    return result;
}

static rlk_result posix_refuse(rlk_client *client, rlk_result result, size_t node)
{
    client->state = RLKI_CLIENT_CLOSED;
    client->nodes = 0;
    client->warnings = 0;
    client->failed = RLK_OK;
    client->error = (int16_t)result;
    client->error_node = (uint16_t)node;
    return result;
}

/* env.changed, while a loop serves the client and is not notified yet. */
static void posix_changed(void *context, rlk_client *client)
{
    rlk_loop *loop = posix_of(client)->loop;

    (void)context;
    client->env.changed = NULL; /* until the next rlk_posix_prepare */
    loop->calls->changed(loop);
}

/* The pipe of rlk_posix_interrupt, where it is asked for. */
static rlk_result posix_interrupts(rlk_posix_client *posix, const rlk_posix_options *options)
{
    posix->loop = NULL;
    posix->return_on_signal = options->return_on_signal;
    posix->client.interruptible = options->interrupts;
    posix->wakeup.fds[0] = -1;
    posix->wakeup.fds[1] = -1;
    return !options->interrupts || rlki_wakeup_open(&posix->wakeup) ? RLK_OK : RLK_E_PIPE;
}

static rlk_result posix_start(rlk_posix_client *posix, rlk_conn *const *conns, size_t nodes,
                              const rlk_posix_options *options)
{
    rlk_client_config config;
    rlk_result result;

    memset(&config, 0, sizeof config);
    posix_env(&config.env, &options->env);
    config.operation_timeout_ms = options->operation_timeout_ms;
    config.settle_timeout_ms = options->settle_timeout_ms;
    config.drift_ppm = options->drift_ppm;
    config.drift_ms = options->drift_ms;
    config.max_handoffs = options->max_handoffs;
    config.buckets = options->buckets;
    config.buckets_len = options->buckets_len;
    rlk_system_fork_init(&posix->fork_mark);
    result = rlk_client_init(&posix->client, conns, nodes, &config);
    if (result == RLK_OK) {
        result = posix_interrupts(posix, options);
        if (result != RLK_OK) {
            posix_refuse(&posix->client, result, 0);
        }
    }
    if (result != RLK_OK) {
        rlk_system_fork_close(&posix->fork_mark);
    }
    return result;
}

/* What both forms of open begin with: the layout, and options where there are none. */
static rlk_result posix_begin(rlk_posix_client *posix, const rlk_posix_options **options,
                              rlk_posix_options *none, size_t size, uint32_t layout)
{
    if (posix == NULL) {
        return RLK_E_ARGUMENT;
    }
    if (size != sizeof *posix || layout != RLK_LAYOUT) {
        memset(posix, 0, size); /* closed, as far as the caller's struct goes */
        return RLK_E_LAYOUT;
    }
    RLKI_REFUSE(&posix->client, NULL, 0, 0, 0);
    if (*options == NULL) {
        memset(none, 0, sizeof *none);
        *options = none;
    }
    return RLK_OK;
}

static int64_t posix_now(const rlk_posix_options *options)
{
    return options->env.now_ms != NULL ? options->env.now_ms(options->env.context)
                                       : rlk_system_now_ms(NULL);
}

rlk_result rlki_posix_open(rlk_posix_client *posix, const char *url,
                           const rlk_posix_options *options, size_t size, uint32_t layout)
{
    rlk_conn *conn;
    rlk_conn_config config;
    rlk_posix_options none;
    rlk_result result = posix_begin(posix, &options, &none, size, layout);

    if (result != RLK_OK) {
        return result;
    }
    memset(&config, 0, sizeof config);
    config.ring = posix->ring;
    config.ring_len = RLK_NODE_RING;
    config.tx = posix->tx;
    config.tx_cap = RLK_NODE_TX;
    config.rx = posix->rx;
    config.rx_cap = RLK_NODE_RX;
    result = posix_node(&posix->client, &posix->node, &config, url, options, posix_now(options));
    if (result != RLK_OK) {
        return posix_refuse(&posix->client, result, 0);
    }
    conn = &posix->node.conn;
    return posix_start(posix, &conn, 1, options);
}

rlk_result rlki_posix_open_nodes(rlk_posix_client *posix, const char *const *urls,
                                 rlk_posix_memory *memory, size_t nodes,
                                 const rlk_posix_options *options, size_t size, uint32_t layout)
{
    rlk_conn *conns[RLK_MAX_NODES];
    rlk_posix_options none;
    int64_t now_ms;
    size_t i;
    rlk_result begun = posix_begin(posix, &options, &none, size, layout);

    if (begun != RLK_OK) {
        return begun;
    }
    if (nodes == 0 || nodes > RLK_MAX_NODES) {
        RLKI_REFUSE(&posix->client, RLKI_WORD("nodes"), nodes, 1, RLK_MAX_NODES);
        return posix_refuse(&posix->client, RLK_E_NODES, 0);
    }
    if (urls == NULL || memory == NULL) {
        return posix_refuse(&posix->client, RLK_E_ARGUMENT, 0);
    }
    now_ms = posix_now(options);
    for (i = 0; i < nodes; i++) {
        rlk_conn_config config;
        rlk_result result;

        memset(&config, 0, sizeof config);
        config.ring = memory[i].ring;
        config.ring_len = memory[i].ring_len;
        config.tx = memory[i].tx;
        config.tx_cap = memory[i].tx_cap;
        config.rx = memory[i].rx;
        config.rx_cap = memory[i].rx_cap;
        result = posix_node(&posix->client, &memory[i].node, &config, urls[i], options, now_ms);
        if (result != RLK_OK) {
            return posix_refuse(&posix->client, result, i);
        }
        conns[i] = &memory[i].node.conn;
    }
    return posix_start(posix, conns, nodes, options);
}

static void posix_set_loop(rlk_posix_client *posix, rlk_loop *loop)
{
    unsigned i;

    posix->loop = loop;
    posix->client.env.changed = loop != NULL ? posix_changed : NULL;
    for (i = 0; i < posix->client.nodes; i++) {
        rlk_socket_set_loop(&posix_node_of(posix, i)->socket, loop, i);
    }
}

/* The loop that a client has left, if it had one. */
static void posix_notify_removed(rlk_loop *loop)
{
    if (loop != NULL) {
        loop->calls->removed(loop);
    }
}

void rlk_posix_close(rlk_posix_client *posix)
{
    rlk_loop *loop;
    unsigned i;

    if (posix == NULL || posix->client.nodes == 0) { /* not after rlk_client_close alone */
        return;
    }
    loop = posix->loop;
    if (!rlki_client_same_process(&posix->client)) {
        posix_set_loop(posix, NULL); /* an epoll descriptor is shared: the parent's polls go on */
    }
    for (i = 0; i < posix->client.nodes; i++) {
        rlk_socket *sock = &posix_node_of(posix, i)->socket;

        rlki_tls_end(sock, rlk_system_fork_same(&posix->fork_mark)); /* a child sends nothing */
        rlk_socket_close(sock);
    }
    rlk_client_close(&posix->client);
    posix->client.nodes = 0;
    rlki_wakeup_close(&posix->wakeup);
    rlk_system_fork_close(&posix->fork_mark);
    posix_set_loop(posix, NULL);
    posix_notify_removed(loop);
}

/* Reads nothing that changes while the client is open, and writes nothing but a byte to the pipe.
 */
rlk_result rlk_posix_interrupt(const rlk_posix_client *posix)
{
    if (posix == NULL) {
        return RLK_E_ARGUMENT;
    }
    if (posix->client.state != RLKI_CLIENT_OPEN) {
        return RLK_E_CLOSED;
    }
    if (!rlk_system_fork_same(&posix->fork_mark)) { /* a child would interrupt its parent */
        return RLK_E_FORKED;
    }
    if (!posix->client.interruptible) {
        return RLK_E_STATE;
    }
    rlki_wakeup_send(&posix->wakeup);
    return RLK_OK;
}

/* ---- loops ---- */

static rlk_result posix_enter(const rlk_posix_client *posix)
{
    return posix == NULL ? RLK_E_ARGUMENT : rlki_client_enter(&posix->client);
}

rlk_result rlk_posix_set_loop(rlk_posix_client *posix, rlk_loop *loop)
{
    rlk_result result = posix_enter(posix);
    rlk_loop *before;

    if (result != RLK_OK) {
        return result;
    }
    before = posix->loop;
    if (loop != NULL && before != NULL) {
        return RLK_E_STATE;
    }
    posix_set_loop(posix, loop);
    posix_notify_removed(before);
    return RLK_OK;
}

unsigned rlk_posix_slots(const rlk_posix_client *posix)
{
    return posix_enter(posix) == RLK_OK ? posix->client.nodes : 0;
}

int rlk_posix_fd(const rlk_posix_client *posix, unsigned slot, short *events)
{
    const rlk_socket *sock;

    *events = 0;
    if (slot >= rlk_posix_slots(posix)) {
        return -1;
    }
    sock = &posix_node_of(posix, slot)->socket;
    *events = rlk_socket_events(sock);
    return rlk_socket_fd(sock);
}

/* Returns true if a node is not connected: to resolve its name may take long, so that the clock has
 * gone on. */
static bool posix_connects(const rlk_posix_client *posix)
{
    unsigned i;

    for (i = 0; i < posix->client.nodes; i++) {
        if (rlk_conn_get_state(posix->client.conns[i]) != RLK_CONN_READY) {
            return true;
        }
    }
    return false;
}

nfds_t rlk_posix_prepare(rlk_posix_client *posix, struct pollfd *fds, nfds_t cap, int *timeout_ms)
{
    int ignored;
    bool connects;
    rlk_client *client;

    if (timeout_ms == NULL) {
        timeout_ms = &ignored;
    }
    *timeout_ms = -1;
    if (posix_enter(posix) != RLK_OK || fds == NULL || cap < posix->client.nodes) {
        return 0;
    }
    client = &posix->client;
    if (posix->loop != NULL) {
        client->env.changed = posix_changed;
    }
    rlki_client_now(client);
    connects = posix_connects(posix);
    posix_serve(posix, NULL, 0, false);
    if (client->events != NULL) {
        *timeout_ms = 0;
    } else {
        if (connects) {
            rlki_client_now(client);
        }
        *timeout_ms = posix_timeout(posix, posix_deadline(posix, rlk_client_deadline(client)));
    }
    return posix_fill(posix, fds);
}

rlk_result rlk_posix_service(rlk_posix_client *posix, const struct pollfd *fds, nfds_t n)
{
    rlk_result result = posix_enter(posix);

    if (result != RLK_OK) {
        return result;
    }
    rlk_client_tick(&posix->client);
    posix_serve(posix, fds, fds != NULL ? n : 0, false);
    return RLK_OK;
}

#endif /* RLKI_POSIX */

#endif /* RESPLOCK_IMPLEMENTATION */
