/* SPDX-License-Identifier: MIT
 *
 * Internal: what a connection counts and traces. Nothing at all with RLK_NO_TRACE.
 */
#ifndef RLKI_NET_CONN_TRACE_H
#define RLKI_NET_CONN_TRACE_H

#include "resplock/net.h"

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
