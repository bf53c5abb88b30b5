/* SPDX-License-Identifier: MIT
 *
 * handoff.h: a way of waiting for a lock that somebody has, to be compared in handoff.c. All of its
 * clients, each with a connection of its own, are served by one loop of one thread.
 */
#ifndef BENCH_HANDOFF_H
#define BENCH_HANDOFF_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define HANDOFF_WAITERS 100
#define HANDOFF_CLIENTS (HANDOFF_WAITERS + 1) /* one has it */
#define HANDOFF_TTL_MS  30000
#define HANDOFF_TTL     "30000"
#define HANDOFF_NEVER   INT64_MAX

typedef enum handoff_event {
    HANDOFF_NOTHING,
    HANDOFF_ACQUIRED,
    HANDOFF_RELEASED,
} handoff_event;

typedef struct handoff_scheme {
    const char *key;  /* each its own, so that nobody who rests is notified of what others do */
    int64_t pause_ns; /* between tries of those that only poll; 0: a notification says when */
    void (*open)(unsigned client, const char *address);
    void (*acquire)(unsigned client); /* begins; waits for as long as it takes */
    void (*release)(unsigned client);
    /* After poll: moves bytes, does what is due. */
    handoff_event (*serve)(unsigned client, const struct pollfd *fd);
    /* Before poll, after any of the above: sends what waits to be sent, and says what to wait for.
     */
    void (*watch)(unsigned client, struct pollfd *fd, int64_t *due_ns);
} handoff_scheme;

extern const handoff_scheme handoff_tracking;
extern const handoff_scheme handoff_poller;

/* CLOCK_MONOTONIC, which all times here are of. */
int64_t handoff_now_ns(void);

#endif
