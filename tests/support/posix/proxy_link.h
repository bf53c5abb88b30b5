/* SPDX-License-Identifier: MIT
 *
 * proxy_link.h: inside of the proxy: links, lanes, rules. Everything here is called with the
 * proxy's mutex held.
 */
#ifndef TEST_PROXY_LINK_H
#define TEST_PROXY_LINK_H

#include "admin.h"
#include "proxy.h"
#include "stream.h"
#include "stream_socket.h"

#include <poll.h>

/* Bytes as they came, with the time at which they may go on. */
typedef struct proxy_chunk {
    struct proxy_chunk *next;
    int64_t due_us;
    size_t len;
    size_t taken;
    char data[];
} proxy_chunk;

/*
 * One direction of a link:
 *
 *   socket --read--> queue --pump: rules, cuts--> out --write: dribble--> socket
 *                      |            |
 *                  delay, hold   collected: bytes of a value that a rule may want
 */
typedef struct proxy_lane {
    proxy_chunk *head;
    proxy_chunk *tail;
    admin_text out;
    size_t out_start;
    admin_text collected;
    stream_tracker tracker;
    int64_t next_us; /* dribble */
    bool collecting;
    bool held;
    bool ended;  /* no more will come */
    bool closed; /* the end was passed on */
    bool reset;  /* ... it was an RST */
} proxy_lane;

/* What will happen to a reply. */
typedef struct proxy_due {
    struct proxy_due *next;
    long number; /* of the reply; an answer goes before the real reply of this number */
    proxy_action action;
    proxy_ending ending;
    char *bytes;
    size_t len;
} proxy_due;

typedef struct proxy_link {
    struct proxy_link *next;
    int client; /* -1: closed */
    int server;
    bool half_open;
    proxy_lane lanes[2]; /* by direction */
    long commands;       /* passed on */
    long replies;        /* come */
    proxy_due *dues;     /* oldest first */
} proxy_link;

typedef struct proxy_rule {
    struct proxy_rule *next;
    char *words;
    int left; /* 1: acts on the next match; 0: on every one */
    proxy_action action;
    proxy_ending ending;
    char *bytes;
    size_t len;
} proxy_rule;

typedef struct proxy_cut_rule {
    bool armed;
    bool pass;
    bool hold; /* not cut: held */
    size_t left;
    proxy_ending ending;
} proxy_cut_rule;

/* What links need of their proxy. */
typedef struct proxy_state {
    proxy_link *links;
    proxy_rule *rules;
    proxy_cut_rule cuts[2];
    int dribble_us[2];
    int delay_ms[2];
    bool drop_pushes;
    size_t passed[2];
    char **log; /* words of all commands */
    size_t log_len;
} proxy_state;

int64_t proxy_now_us(void);

proxy_link *proxy_link_new(proxy_state *state, int client, int server);

/* Ends the client's side now; what was passed on for the server still goes there. */
void proxy_link_cut(proxy_link *link, proxy_ending ending);

/* Closes the client's side only. */
void proxy_link_cut_client(proxy_link *link, proxy_ending ending);

/* Reads what the sockets have. */
void proxy_link_read(proxy_state *state, proxy_link *link, bool client, bool server);

/* Passes on what may go. *next_us: lowered to when it wants to be called again. */
void proxy_link_step(proxy_state *state, proxy_link *link, int64_t *next_us);

/* Puts bytes between two replies. */
void proxy_link_inject(proxy_link *link, const void *bytes, size_t len);

size_t proxy_lane_waiting(const proxy_lane *lane);

/* Frees links that are over; all of them with `every`. */
void proxy_links_sweep(proxy_state *state, bool every);

void proxy_rule_free(proxy_rule *rule);

#endif
