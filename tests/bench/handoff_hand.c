/* SPDX-License-Identifier: MIT
 *
 * Waiting for a lock as it is written by hand, on raw sockets: by client tracking, and by polling.
 *
 * By tracking: PTTL, a read, has the server remember who asks for the key, and it notifies each of
 * them once when the key changes. It follows the SET and leaves with it, so that there is no gap:
 * whatever happens behind PTTL is notified. There are no deadlines but the TTL of the key, no
 * reconnect, and no check of what the server would only say if something went wrong.
 */
#include "floor.h"
#include "handoff.h"
#include "rounds.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HAND_MS       INT64_C(1000000)
#define HAND_PAUSE_MS 100
#define HAND_BUF      512

typedef enum hand_state {
    HAND_RESTING,
    HAND_TRYING,  /* SET is sent */
    HAND_ASKING,  /* it was refused, the reply to PTTL comes */
    HAND_WAITING, /* for the push or for due_ns */
    HAND_HOLDING,
    HAND_RELEASING,
} hand_state;

typedef struct hand_client {
    int fd;
    hand_state state;
    bool ttl_follows; /* the next integer is that of PTTL */
    bool in_push;
    int64_t due_ns;
    floor_parser parser;
    size_t in_len;
    uint8_t in[HAND_BUF];
    char token[FLOOR_TOKEN];
} hand_client;

static hand_client hands[HANDOFF_CLIENTS];

static struct {
    const handoff_scheme *scheme;
    bool tracks;
    size_t key_len;
    char digest[FLOOR_DIGEST];
} hand_scheme;

/* ---- Commands ---------------------------------------------------------------------------- */

static void hand_try(hand_client *hand)
{
    const void *set[] = {"SET", hand_scheme.scheme->key, hand->token, "NX", "PX", HANDOFF_TTL};
    size_t set_lens[] = {3, hand_scheme.key_len, FLOOR_TOKEN, 2, 2, sizeof HANDOFF_TTL - 1};
    uint8_t buf[HAND_BUF];
    size_t len = floor_encode(buf, COUNT_OF(set), set, set_lens);

    if (hand_scheme.tracks) {
        const void *pttl[] = {"PTTL", hand_scheme.scheme->key};
        size_t pttl_lens[] = {4, hand_scheme.key_len};

        len += floor_encode(buf + len, COUNT_OF(pttl), pttl, pttl_lens);
    }
    hand->ttl_follows = hand_scheme.tracks;
    hand->state = HAND_TRYING;
    hand->due_ns = HANDOFF_NEVER;
    floor_write(hand->fd, buf, len);
}

static void hand_acquire(unsigned client)
{
    floor_token_draw(hands[client].token);
    hand_try(&hands[client]);
}

static void hand_release(unsigned client)
{
    hand_client *hand = &hands[client];
    const void *argv[] = {"EVALSHA", hand_scheme.digest, "1", hand_scheme.scheme->key, hand->token};
    size_t lens[] = {7, FLOOR_DIGEST, 1, hand_scheme.key_len, FLOOR_TOKEN};
    uint8_t buf[HAND_BUF];

    hand->state = HAND_RELEASING;
    floor_write(hand->fd, buf, floor_encode(buf, COUNT_OF(argv), argv, lens));
}

/* ---- Replies ----------------------------------------------------------------------------- */

static handoff_event hand_take_set(hand_client *hand, const floor_token *reply)
{
    rounds_require(hand->state == HAND_TRYING);
    if (reply->data != NULL) {
        rounds_require(reply->len == 2 && memcmp(reply->data, "OK", 2) == 0);
        hand->state = HAND_HOLDING;
        return HANDOFF_ACQUIRED;
    }
    hand->state = hand_scheme.tracks ? HAND_ASKING : HAND_WAITING;
    if (!hand_scheme.tracks)
        hand->due_ns = handoff_now_ns() + HAND_PAUSE_MS * HAND_MS;
    return HANDOFF_NOTHING;
}

static handoff_event hand_take_integer(hand_client *hand, int64_t value)
{
    if (hand->ttl_follows) {
        hand->ttl_follows = false;
        if (hand->state != HAND_ASKING)
            return HANDOFF_NOTHING;
        hand->state = HAND_WAITING;
        /* -2: it went in between */
        if (value < 0)
            hand_try(hand);
        else
            hand->due_ns = handoff_now_ns() + (value + 1) * HAND_MS;
        return HANDOFF_NOTHING;
    }
    rounds_require(hand->state == HAND_RELEASING && value == 1);
    hand->state = HAND_RESTING;
    return HANDOFF_RELEASED;
}

/* A whole push, or a reply. */
static handoff_event hand_take(hand_client *hand, const floor_token *token)
{
    if (hand->in_push || token->type == '>') {
        hand->in_push = hand->parser.depth > 0;
        /* one that comes earlier is older than the PTTL that is under way */
        if (!hand->in_push && hand->state == HAND_WAITING)
            hand_try(hand);
        return HANDOFF_NOTHING;
    }
    return token->type == ':' ? hand_take_integer(hand, token->value) : hand_take_set(hand, token);
}

/* floor_next, and the null of RESP3. */
static ssize_t hand_next(hand_client *hand, size_t at, floor_token *token)
{
    static const floor_token null = {.type = '_'};
    size_t len = hand->in_len - at;

    if (len == 0 || hand->in[at] != '_')
        return floor_next(&hand->parser, hand->in + at, len, token);
    *token = null;
    return len >= 3 ? 3 : 0;
}

/* At most one thing happens to a client at a time. */
static handoff_event hand_serve(unsigned client, const struct pollfd *fd)
{
    hand_client *hand = &hands[client];
    handoff_event event = HANDOFF_NOTHING;
    floor_token token;
    size_t at = 0;
    ssize_t used;
    ssize_t got;

    if (fd->revents == 0) {
        hand_try(hand); /* due */
        return HANDOFF_NOTHING;
    }
    got = recv(hand->fd, hand->in + hand->in_len, sizeof hand->in - hand->in_len, 0);
    rounds_require(got > 0);
    hand->in_len += (size_t)got;
    while ((used = hand_next(hand, at, &token)) > 0) {
        handoff_event own = hand_take(hand, &token);

        at += (size_t)used;
        if (own != HANDOFF_NOTHING) {
            rounds_require(event == HANDOFF_NOTHING);
            event = own;
        }
    }
    rounds_require(used == 0);
    hand->in_len -= at;
    memmove(hand->in, hand->in + at, hand->in_len);
    return event;
}

static void hand_watch(unsigned client, struct pollfd *fd, int64_t *due_ns)
{
    fd->fd = hands[client].fd;
    fd->events = POLLIN;
    *due_ns = hands[client].due_ns;
}

/* ---- Connections ------------------------------------------------------------------------- */

static void hand_open(unsigned client, const char *address, const handoff_scheme *scheme)
{
    hand_client *hand = &hands[client];

    hand->fd = floor_connect(address);
    hand->due_ns = HANDOFF_NEVER;
    hand_scheme.scheme = scheme;
    hand_scheme.key_len = strlen(scheme->key);
    if (client == 0)
        floor_load_script(hand->fd, hand_scheme.digest);
}

static void hand_open_poller(unsigned client, const char *address)
{
    hand_open(client, address, &handoff_poller);
}

static void hand_open_tracking(unsigned client, const char *address)
{
    static const char hello[] = "HELLO 3\r\nCLIENT TRACKING ON NOLOOP\r\n";
    static const char last[] = "\r\n+OK\r\n";
    const size_t last_len = sizeof last - 1;
    uint8_t buf[4096];
    size_t len = 0;

    hand_open(client, address, &handoff_tracking);
    hand_scheme.tracks = true;
    floor_write(hands[client].fd, (const uint8_t *)hello, sizeof hello - 1);
    do {
        ssize_t got = recv(hands[client].fd, buf + len, sizeof buf - len, 0);

        rounds_require(got > 0);
        len += (size_t)got;
        rounds_require(buf[0] == '%'); /* a map: of RESP3 */
    } while (len < last_len || memcmp(buf + len - last_len, last, last_len) != 0);
}

const handoff_scheme handoff_tracking = {
    .key = "lock:handoff:tracking",
    .open = hand_open_tracking,
    .acquire = hand_acquire,
    .release = hand_release,
    .serve = hand_serve,
    .watch = hand_watch,
};

const handoff_scheme handoff_poller = {
    .key = "lock:handoff:bypoller",
    .pause_ns = HAND_PAUSE_MS * HAND_MS,
    .open = hand_open_poller,
    .acquire = hand_acquire,
    .release = hand_release,
    .serve = hand_serve,
    .watch = hand_watch,
};
