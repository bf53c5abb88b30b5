/* SPDX-License-Identifier: MIT
 *
 * outage.h: ways in which servers fail, and come back.
 *
 *     outage_begin(&outage_stopped, &world, 0, 2);
 *     ...
 *     outage_end(&outage_stopped, &world, 0, 2);
 *
 * Both have had their effect when they return. A server that restarts answers by then.
 */
#ifndef TEST_OUTAGE_H
#define TEST_OUTAGE_H

#include "proxied.h"

typedef struct outage {
    const char *name;
    void (*begin)(proxied *world, size_t node);
    void (*end)(proxied *world, size_t node);
} outage;

extern const outage outage_stopped; /* SIGSTOP, SIGCONT */
extern const outage
    outage_swallowed;               /* nothing passes, nothing connects; what was sent comes late */
extern const outage outage_unheard; /* the same of replies only: the server goes on executing */
extern const outage outage_refused; /* streams end, and none is accepted */
extern const outage outage_killed;  /* kill -9; restarts with its data */
extern const outage outage_emptied; /* kill -9; restarts without its data */

/* Of the servers first <= node < end. */
void outage_begin(const outage *what, proxied *world, size_t first, size_t end);
void outage_end(const outage *what, proxied *world, size_t first, size_t end);

#endif
