/* SPDX-License-Identifier: MIT
 *
 * What happened: counters and the trace hook.
 */
#include "trace.h"

#include <string.h>

const char *rlk_cause_name(rlk_cause cause)
{
#ifdef RLK_NO_TEXT
    (void)cause;
    return "";
#else
    static const char *const names[RLK_CAUSES] = {"START",   "PUSH",  "FLUSH", "LOCAL",    "EXPIRY",
                                                  "RECHECK", "RETRY", "YIELD", "RECONNECT"};

    return (unsigned)cause < RLK_CAUSES ? names[cause] : "?";
#endif
}

const char *rlk_lost_cause_name(rlk_lost_cause cause)
{
#ifdef RLK_NO_TEXT
    (void)cause;
    return "";
#else
    static const char *const names[RLK_LOST_CAUSES] = {"NOT",     "EXPIRED",     "REFUSED",
                                                       "DELETED", "OVERWRITTEN", "WRONG_TYPE"};

    return (unsigned)cause < RLK_LOST_CAUSES ? names[cause] : "?";
#endif
}

#ifndef RLK_NO_TRACE
static void trace_report(const rlk_client *client, rlk_trace *trace)
{
    trace->client = client;
    if (client->env.trace != NULL)
        client->env.trace(client->env.context, trace);
}

void rlki_trace(const rlk_lock *lock, rlk_trace_kind kind, int node, const char *what,
                int64_t number)
{
    rlk_trace trace;

    trace.kind = kind;
    trace.now_ms = lock->client->clock_ms;
    trace.lock = lock;
    trace.node = node;
    trace.what = what;
    trace.number = number;
    trace_report(lock->client, &trace);
}

void rlki_trace_conn(const rlk_client *client, const rlk_conn *conn, unsigned node, bool step,
                     const char *what)
{
    rlk_trace trace;

    trace.kind = step ? RLK_TRACE_STEP : RLK_TRACE_CONN;
    trace.now_ms = rlki_conn_now(conn);
    trace.lock = NULL;
    trace.node = (int)node;
    trace.what = what;
    trace.number = (int64_t)rlk_conn_result(conn);
    trace_report(client, &trace);
}

void rlk_client_stats(const rlk_client *client, rlk_stats *stats)
{
    unsigned i;

    memset(stats, 0, sizeof *stats);
    if (client == NULL || client->state != RLKI_CLIENT_OPEN)
        return;
    *stats = client->stats;
    for (i = 0; i < client->nodes; i++) {
        rlk_traffic traffic = rlk_conn_traffic(client->conns[i]);

        stats->connects += rlki_conn_generation(client->conns[i]);
        stats->fences += traffic.fences;
        stats->bytes_sent += traffic.bytes_sent;
        stats->bytes_received += traffic.bytes_received;
    }
}

/* ---- A line of text ---- */

/* Decimal digits of any number of 64 bits. */
#define TRACE_DIGITS 20

typedef struct trace_line {
    char *out;
    size_t cap;
    size_t len; /* of the whole line, also where less fits */
} trace_line;

static void trace_char(trace_line *line, char c)
{
    if (line->len + 1 < line->cap)
        line->out[line->len] = c;
    line->len++;
}

/* In decimal digits, of which the last `decimals` follow a point. Bit by bit: there is no division
 * of 64 bits. */
static void trace_number(trace_line *line, int64_t number, unsigned decimals)
{
    uint8_t digits[TRACE_DIGITS] = {0}; /* the last one first */
    uint64_t rest = number < 0 ? 0u - (uint64_t)number : (uint64_t)number;
    unsigned bit;
    unsigned k;

    if (number < 0)
        trace_char(line, '-');
    for (bit = 0; bit < 64; bit++) {
        unsigned carry = (unsigned)(rest >> 63);

        rest <<= 1;
        for (k = 0; k < TRACE_DIGITS; k++) {
            unsigned digit = 2u * digits[k] + carry;

            carry = digit > 9;
            digits[k] = (uint8_t)(carry != 0 ? digit - 10 : digit);
        }
    }
    k = TRACE_DIGITS;
    while (k > decimals + 1 && digits[k - 1] == 0)
        k--;
    while (k > 0) {
        if (k == decimals)
            trace_char(line, '.');
        trace_char(line, (char)('0' + digits[--k]));
    }
}

#ifndef RLK_NO_TEXT
#define TRACE_KEY_MAX 48

static void trace_string(trace_line *line, const char *string)
{
    while (*string != '\0')
        trace_char(line, *string++);
}

static void trace_key(trace_line *line, const rlk_lock *lock)
{
    uint32_t i;

    trace_string(line, " \"");
    for (i = 0; i < lock->key_len && i < TRACE_KEY_MAX; i++) {
        char c = (char)lock->key[i];

        trace_char(line, c >= ' ' && c <= '~' ? c : '?');
    }
    trace_string(line, lock->key_len > TRACE_KEY_MAX ? "...\"" : "\"");
}

static void trace_result(trace_line *line, int64_t number)
{
    trace_string(line, ": ");
    trace_string(line, rlk_result_name((rlk_result)number));
}

/* What the number of the trace means. */
static void trace_meaning(trace_line *line, const rlk_trace *trace)
{
    switch (trace->kind) {
    case RLK_TRACE_CONN:
        if (trace->number < (int64_t)RLK_E_NOT_CONNECTED) /* else nothing failed */
            trace_result(line, trace->number);
        break;
    case RLK_TRACE_REPLY:
        if (trace->number <= (int64_t)RLK_E_NOT_CONNECTED)
            trace_result(line, trace->number);
        else {
            trace_string(line, ": ");
            trace_number(line, trace->number, 0);
        }
        break;
    case RLK_TRACE_PHASE:
        trace_string(line, ", ");
        trace_string(line, rlk_cause_name((rlk_cause)trace->number));
        break;
    case RLK_TRACE_RESULT:
        trace_result(line, trace->number);
        break;
    case RLK_TRACE_STATE: /* FREE, HELD, LOST */
        if (trace->what[0] == 'H') {
            trace_string(line, " for ");
            trace_number(line, trace->number, 0);
            trace_string(line, " ms");
        } else if (trace->what[0] == 'L') {
            trace_string(line, ", ");
            trace_string(line, rlk_lost_cause_name((rlk_lost_cause)trace->number));
        }
        break;
    default: /* sent, or notified */
        break;
    }
}

static void trace_text(trace_line *line, const rlk_trace *trace)
{
    static const char *const verbs[] = {
        ": is ",           ": sends ", ": sends ", ": has a reply to ",
        ": is notified: ", ": is ",    ": is in ", ": ends "};

    trace_number(line, trace->now_ms, 3);
    if (trace->node >= 0) {
        trace_string(line, " node ");
        trace_number(line, trace->node, 0);
    }
    if (trace->lock != NULL)
        trace_key(line, trace->lock);
    trace_string(line, verbs[trace->kind]);
    trace_string(line, trace->what);
    trace_meaning(line, trace);
}

#else /* RLK_NO_TEXT: numbers */

static void trace_text(trace_line *line, const rlk_trace *trace)
{
    trace_number(line, trace->now_ms, 0);
    trace_char(line, ' ');
    trace_number(line, trace->kind, 0);
    trace_char(line, ' ');
    trace_number(line, trace->node, 0);
    trace_char(line, ' ');
    trace_number(line, trace->number, 0);
}
#endif

size_t rlk_trace_format(const rlk_trace *trace, char *out, size_t cap)
{
    trace_line line;

    line.out = out;
    line.cap = out != NULL ? cap : 0;
    line.len = 0;
    trace_text(&line, trace);
    if (out != NULL && cap > 0)
        out[line.len < line.cap ? line.len : line.cap - 1] = '\0';
    return line.len;
}

const uint8_t *rlk_lock_key(const rlk_lock *lock, size_t *len)
{
    *len = lock->key_len;
    return lock->key;
}
#endif
