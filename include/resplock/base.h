/* SPDX-License-Identifier: MIT
 *
 * resplock/base.h: what all layers share: version, linkage, results.
 */
#ifndef RESPLOCK_BASE_H
#define RESPLOCK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resplock/config.h"

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
