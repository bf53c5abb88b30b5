/* SPDX-License-Identifier: MIT
 *
 * What happened: counters and the trace hook.
 */
#include "internal.h"

const char *rlk_cause_name(rlk_cause cause)
{
#ifdef RLK_NO_TEXT
    (void)cause;
    return "";
#else
    static const char *const names[RLK_CAUSES] = {"START",  "PUSH",  "FLUSH", "LOCAL",    "EXPIRY",
                                                  "SAFETY", "RETRY", "YIELD", "RECONNECT"};
    return (unsigned)cause < RLK_CAUSES ? names[cause] : "?";
#endif
}

const char *rlk_lost_cause_name(rlk_lost_cause cause)
{
#ifdef RLK_NO_TEXT
    (void)cause;
    return "";
#else
    static const char *const names[RLK_LOST_CAUSES] = {"NOT", "EXPIRED", "DELETED", "OVERWRITTEN",
                                                       "WRONG_TYPE"};
    return (unsigned)cause < RLK_LOST_CAUSES ? names[cause] : "?";
#endif
}

#ifndef RLK_NO_TRACE
static void trace_tell(const rlk_client *client, rlk_trace *trace)
{
    trace->client = client;
    if (client->env.trace)
        client->env.trace(client->env.context, trace);
}

void rlki_trace(const rlk_lock *lock, rlk_trace_kind kind, int node, const char *what,
                int64_t number)
{
    rlk_trace trace;
    trace.kind = kind;
    trace.now_ms = lock->client->now_ms;
    trace.lock = lock;
    trace.node = node;
    trace.what = what;
    trace.number = number;
    trace_tell(lock->client, &trace);
}

void rlki_trace_conn(const rlk_client *client, const rlk_conn *conn, unsigned node, bool step,
                     const char *what)
{
    rlk_trace trace;
    trace.kind = step ? RLK_TRACE_STEP : RLK_TRACE_CONN;
    trace.now_ms = rlk_conn_now(conn);
    trace.lock = NULL;
    trace.node = (int)node;
    trace.what = what;
    trace.number = (int64_t)rlk_conn_result(conn);
    trace_tell(client, &trace);
}

void rlk_client_stats(const rlk_client *client, rlk_stats *stats)
{
    unsigned i;
    memset(stats, 0, sizeof(*stats));
    if (!client || client->state != RLKI_CLIENT_OPEN)
        return;
    *stats = client->stats;
    for (i = 0; i < client->nodes; i++) {
        const rlk_conn *conn = client->conns[i];
        stats->connects += rlk_conn_generation(conn);
        stats->fences += conn->fences;
        stats->bytes_sent += conn->bytes_sent;
        stats->bytes_received += conn->bytes_received;
    }
}

const uint8_t *rlk_lock_key(const rlk_lock *lock, size_t *len)
{
    *len = lock->key_len;
    return lock->key;
}
#endif
