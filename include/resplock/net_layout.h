/* SPDX-License-Identifier: MIT
 *
 * resplock/net_layout.h: the memory of connections and requests.
 * Structs are visible so that their size is known. Every field in this file is private, except
 * rlk_request.tag.
 */
#ifndef RESPLOCK_NET_LAYOUT_H
#define RESPLOCK_NET_LAYOUT_H

#include "resplock/resp.h"
#include "resplock/url.h"

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
