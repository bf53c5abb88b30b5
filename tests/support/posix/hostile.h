/* SPDX-License-Identifier: MIT
 *
 * hostile.h: a server that plays a script, in a thread of its own: for what neither a real server
 * nor a rule of the proxy can do.
 *
 *     static const hostile_step steps[] = {
 *         {"HELLO", "-NOPROTO unsupported protocol version\r\n", HOSTILE_STAY},
 *         {"AUTH", "-WRONGPASS invalid username-password pair\r\n", HOSTILE_CLOSE},
 *     };
 *     hostile *peer = hostile_start(steps, COUNT_OF(steps), true);
 */
#ifndef TEST_HOSTILE_H
#define TEST_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct hostile hostile;

typedef enum hostile_then {
    HOSTILE_STAY,
    HOSTILE_CLOSE,  /* FIN after the answer */
    HOSTILE_RESET,  /* RST after the answer */
    HOSTILE_SILENT, /* reads on, and never answers again */
    HOSTILE_REPEAT  /* the step stays for the next such command; else a step acts once */
} hostile_then;

/* One step, from the start again for each connection. */
typedef struct hostile_step {
    const char *words;  /* the command begins with them, in any case; "": any command;
                           NULL: the first bytes that come, whatever they are */
    const char *answer; /* may be "" */
    hostile_then then;
} hostile_step;

/* A command takes the first step left that matches; what matches none is answered by +OK. Steps
 * and their texts must outlive the server. tcp: on 127.0.0.1, else on a Unix socket. */
hostile *hostile_start(const hostile_step *steps, size_t count, bool tcp);

/* Speaks first: sends these bytes to each connection at once ("-ERR max number of clients reached
 * \r\n", an SMTP banner), then closes it or stays. */
hostile *hostile_greet(const char *bytes, hostile_then then, bool tcp);

/* A TCP address where SYNs vanish, as behind a firewall: connecting neither works nor fails. */
hostile *hostile_black_hole(void);

void hostile_free(hostile *peer);

const char *hostile_url(const hostile *peer);
int hostile_accepted(hostile *peer);
/* Commands so far that began with these words; "" counts all. */
int hostile_count(hostile *peer, const char *words);

#endif
