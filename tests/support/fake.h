/* SPDX-License-Identifier: MIT
 *
 * fake.h: a connection in a harness. The engine, the layer above it, and a scripted server that
 * answers command by command, with any number of bytes at a time; no socket, no real time.
 */
#ifndef TEST_FAKE_H
#define TEST_FAKE_H

#include "support.h"

/* What the server answers to a command that begins with these words. First match wins. ECHO needs
 * none. */
typedef struct fake_rule {
    const char *command; /* words with single spaces between them; NULL ends the list */
    const char *reply;   /* RESP; NULL: none, ever */
} fake_rule;

/* A request of the layer above: `commands` times "ECHO n", where n is the number of request and
 * command. */
typedef struct fake_request {
    rlk_request request;
    int number;
    unsigned commands;
    size_t padding;   /* bytes of another argument */
    unsigned replies; /* that came */
    unsigned lost;
    bool maybe_sent;
    bool withdrawn; /* then no reply may come any more */
} fake_request;

typedef struct fake {
    rlk_conn conn;
    rlk_conn_config config;
    rlk_conn_calls calls; /* those of the configuration */
    int64_t now_ms;
    const fake_rule *rules;
    size_t chunk;   /* most bytes moved at once; 0: no limit */
    size_t out_max; /* the server takes no more than this of a stream */
    size_t in_max;  /* and no more than this of its replies arrives */
    uint64_t peer;
    const char *local;

    char *out; /* what the server got on this stream */
    size_t out_len;
    size_t out_parsed;
    char *in; /* what it said */
    size_t in_len;
    size_t in_fed;
    char commands[2048]; /* the first of them, "HELLO 3;INFO server;" */

    unsigned changed; /* calls */
    unsigned became_ready;
    unsigned lost;
    unsigned invalidated;      /* keys of pushes */
    unsigned invalidated_all;  /* pushes of null */
    uint32_t invalidated_hash; /* of the last key */
    rlk_reply reply;           /* the last one, without its data */
    char reply_data[128];
    int last_lost; /* number of the request */
    /* called in the middle of a reply, a loss, a change, if set */
    void (*on_reply)(struct fake *fake, fake_request *request, unsigned left);
    void (*on_lost)(struct fake *fake, fake_request *request);
    void (*on_changed)(struct fake *fake);
    fake_request *spare; /* for those */
} fake;

extern const fake_rule fake_good_server[];

/* What a server says to HELLO that is older than it. */
#define HELLO_UNKNOWN                                                                              \
    "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `user`, `secret`, \r\n"

/* Fills in the configuration: buffers of these sizes on the heap, so that tools see any byte
 * beyond. 0: ample. */
void fake_init(fake *fake, size_t tx_cap, size_t rx_cap, uint16_t ring_len);

/* rlk_conn_init with fake->config. */
void fake_start(fake *fake);

void fake_free(fake *fake);

/* A connection to fake_good_server, which is ready. */
void fake_ready(fake *fake, size_t tx_cap, size_t rx_cap, uint16_t ring_len);

/* Waits for the time of the next attempt, says _connecting and _connected, runs. */
void fake_connect(fake *fake);

/* The same without running. */
void fake_open(fake *fake);

/* Moves bytes until none moves any more. */
void fake_run(fake *fake);

/* Takes what the connection has to send, up to the limits; false: nothing. */
bool fake_take(fake *fake);

/* Hands over what the server said; false: nothing. */
bool fake_give(fake *fake);

/* Bytes of the server, out of turn. */
void fake_say(fake *fake, const char *bytes);
void fake_say_bytes(fake *fake, const void *bytes, size_t len);

/* If the connection wants its stream closed: closes it. */
void fake_close(fake *fake);

void fake_submit(fake *fake, fake_request *request, int number);

/* `count` of them, numbered from 0. */
void fake_submit_all(fake *fake, fake_request *requests, int count);

/* All of these got all their replies, and none was lost. */
void fake_assert_answered(const fake_request *requests, int count);

/* True if `word` is anywhere in the memory. */
bool fake_holds(const void *memory, size_t len, const char *word);

#endif
