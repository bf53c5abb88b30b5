/* SPDX-License-Identifier: MIT
 *
 * What is counted and traced; nothing at all with RLK_NO_TRACE.
 */
#ifndef RLKI_LOCK_TRACE_H
#define RLKI_LOCK_TRACE_H

#include "state.h"

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
void rlki_trace(const rlk_lock *lock, rlk_trace_kind kind, int node, const char *what,
                int64_t number);
void rlki_trace_conn(const rlk_client *client, const rlk_conn *conn, unsigned node, bool step,
                     const char *what);
#endif

#endif
