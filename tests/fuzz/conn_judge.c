/* SPDX-License-Identifier: MIT
 *
 * Of fuzz_conn: the judge. It knows what the driver was shown, what the server said, as the
 * reference reader reads it, and what the layer above got.
 */
#include "conn_world.h"
#include "resp_reader.h"

#include <string.h>

/* ---- What the server said ---------------------------------------------------------------- */

/* The reference reader's events that are replies, by their numbers. */
typedef struct replies {
    resp_log log;
    const resp_event *at[COMMANDS_MAX];
    unsigned len;
} replies;

static void read_replies(const world *w, replies *r)
{
    size_t i;

    r->len = 0;
    resp_reader_read(&r->log, w->said, w->said_len);
    for (i = 0; i < r->log.count && r->len < COMMANDS_MAX; i++) {
        const resp_event *event = &r->log.events[i];

        if (event->depth == 0 && event->type != RLK_RESP_END &&
            (event->flags & (RLK_RESP_IN_ATTRIBUTE | RLK_RESP_IN_PUSH)) == 0)
            r->at[r->len++] = event;
    }
}

/* ---- What is looked at when the connection becomes ready --------------------------------- */

bool conn_holds(const uint8_t *memory, size_t len, const char *text)
{
    size_t n = strlen(text);
    size_t i;

    for (i = 0; i + n <= len; i++)
        if (memcmp(memory + i, text, n) == 0)
            return true;
    return false;
}

/* After a handshake; bytes of the server that are not parsed yet are its own affair. */
static void check_wiped(const world *w)
{
    FUZZ_REQUIRE(!conn_holds(w->rx, w->conn.rx_begin, PLAIN));
    FUZZ_REQUIRE(!conn_holds(w->rx + w->conn.rx_end, w->config.rx_cap - w->conn.rx_end, PLAIN));
}

static bool sent_step(const world *w, const char *name)
{
    unsigned i;

    for (i = 0; i < w->commands_len; i++)
        if (stream_matches(w->commands[i].name, name))
            return true;
    return false;
}

/* The answer to a step that must have a good one. */
static bool is_good(const world *w, const command *c, const resp_event *answer)
{
    if (stream_matches(c->name, "HELLO") && rlk_conn_protocol(&w->conn) == 3)
        return answer->type == RLK_RESP_MAP;
    if (stream_matches(c->name, "HELLO"))
        return answer->type == RLK_RESP_ERROR || answer->type == RLK_RESP_BLOB_ERROR;
    if (stream_matches(c->name, "AUTH") || stream_matches(c->name, "SELECT"))
        return answer->type == RLK_RESP_SIMPLE;
    return !stream_matches(c->name, "SCRIPT LOAD") || answer->type == RLK_RESP_BULK;
}

/* What CLIENT KILL came to: 1 did it; nobody of that id is as good, if the server is known to be
 * the same. */
static bool is_fenced(const world *w, const command *c, const replies *r, const resp_event *answer)
{
    const uint8_t *run_id = rlk_conn_run_id(&w->conn);
    bool by_id = strstr(c->name, "ADDR") == NULL;

    if (by_id)
        FUZZ_REQUIRE(w->has_old_run_id && run_id != NULL &&
                     memcmp(run_id, w->old_run_id, sizeof w->old_run_id) == 0);
    if (answer->type == RLK_RESP_INTEGER)
        return answer->value == 1 || (answer->value == 0 && by_id);
    return by_id && answer->len >= 5 && memcmp(r->log.bytes + answer->at, "ERR N", 5) == 0;
}

/* In a handshake, also in one that failed later. */
static void settle_fence(world *w, const replies *r)
{
    unsigned i;

    for (i = 0; i < w->commands_len && i < r->len; i++)
        if (w->open && stream_matches(w->commands[i].name, "CLIENT KILL"))
            w->open = !is_fenced(w, &w->commands[i], r, r->at[i]);
}

/* The server has promised to tell of changes. */
static bool is_told(const world *w, const replies *r)
{
    unsigned i;

    for (i = 0; i < w->commands_len; i++)
        if (stream_matches(w->commands[i].name, "CLIENT TRACKING"))
            return r->at[i]->type == RLK_RESP_SIMPLE;
    return false;
}

/* Each step was answered as it must be. Fenced: nothing was open, the old connection was killed, or
 * the server told of another instance of itself. */
static void check_ready(world *w)
{
    static replies r;
    const rlk_conn *conn = &w->conn;
    unsigned i;

    read_replies(w, &r);
    FUZZ_REQUIRE(!w->ready && w->deliveries_len == 0 && r.len >= w->commands_len);
    FUZZ_REQUIRE(rlk_conn_result(conn) == RLK_OK && rlk_conn_text(conn)[0] == '\0');
    FUZZ_REQUIRE(rlk_conn_protocol(conn) == 2 ||
                 (rlk_conn_protocol(conn) == 3 && !w->config.resp2_only));
    FUZZ_REQUIRE(rlk_conn_is_tracking(conn) == is_told(w, &r));
    FUZZ_REQUIRE(w->config.url.db == 0 || sent_step(w, "SELECT"));
    FUZZ_REQUIRE(w->config.url.password == NULL || sent_step(w, "HELLO") || sent_step(w, "AUTH"));
    FUZZ_REQUIRE(w->config.scripts_len == 0 || sent_step(w, "SCRIPT LOAD"));
    for (i = 0; i < w->commands_len; i++)
        FUZZ_REQUIRE(is_good(w, &w->commands[i], r.at[i]));
    settle_fence(w, &r);
    if (rlk_conn_fenced(conn) && w->open)
        FUZZ_REQUIRE(!sent_step(w, "CLIENT KILL") && w->has_old_run_id &&
                     rlk_conn_run_id(conn) != NULL);
    w->open = false; /* from here on it is the generation that says what is not fenced */
    w->ready = true;
    w->greeted = w->said_len - (conn->rx_end - conn->rx_begin);
}

/* Something of the stream that ends may still execute. */
static void note_open(world *w)
{
    const uint8_t *run_id = rlk_conn_run_id(&w->conn);

    w->open = true;
    w->has_old_run_id = run_id != NULL;
    if (run_id != NULL)
        memcpy(w->old_run_id, run_id, sizeof w->old_run_id);
}

/* ---- What the server said of changes ----------------------------------------------------- */

static bool is_string(const resp_event *event)
{
    return event->type == RLK_RESP_BULK || event->type == RLK_RESP_SIMPLE;
}

/* The reader of pushes: what the one under way is. */
typedef struct pushes {
    bool is_invalidation;
    bool is_vague; /* from here on nothing is judged */
} pushes;

static bool is_word(const resp_log *log, const resp_event *event, pushes *p)
{
    static const char word[] = "invalidate";
    const uint8_t *text = log->bytes + event->at;

    /* in fragments of any size: a piece may be the word */
    p->is_vague |= is_string(event) && (event->value < 0 || event->len > RLK_CONN_RX_MIN - 2);
    return is_string(event) && event->len == sizeof word - 1 &&
           memcmp(text, word, sizeof word - 1) == 0;
}

/* True if this event tells of a change. */
static bool read_change(const resp_log *log, const resp_event *event, pushes *p, change *c)
{
    if ((event->flags & RLK_RESP_IN_PUSH) == 0 || (event->flags & RLK_RESP_IN_ATTRIBUTE) != 0)
        return false;
    if (event->depth == 0)
        p->is_invalidation = false;
    else if (event->depth == 1 && is_string(event))
        p->is_invalidation = is_word(log, event, p);
    c->all = event->depth == 1 && event->type == RLK_RESP_NULL;
    c->key_hash = 0;
    if (event->depth == 2 && is_string(event))
        c->key_hash = rlk_key_hash(RLK_KEY_HASH, log->bytes + event->at, event->len);
    return p->is_invalidation && (c->all || (event->depth == 2 && is_string(event)));
}

/* Nothing else was told than the server said, in its order. */
static void check_changes(const world *w, bool all_of_them)
{
    static resp_log log;
    pushes p = {false, false};
    unsigned n = 0;
    size_t i;

    resp_reader_read(&log, w->said, w->greeted);
    if (log.outcome != RESP_COMPLETE)
        return;
    i = log.count;
    resp_reader_read(&log, w->said, w->said_len);
    for (; i < log.count && !p.is_vague; i++) {
        change c;

        if (!read_change(&log, &log.events[i], &p, &c))
            continue;
        if (n == w->changes_len) { /* it has not come to it */
            FUZZ_REQUIRE(!all_of_them);
            return;
        }
        FUZZ_REQUIRE(w->changes[n].all == c.all && w->changes[n].key_hash == c.key_hash);
        n++;
    }
    FUZZ_REQUIRE(p.is_vague || n == w->changes_len);
}

void conn_judge_changes(const world *w)
{
    if (rlk_conn_get_state(&w->conn) == RLK_CONN_READY)
        check_changes(w, true);
}

static bool is_distrust(rlk_result result)
{
    return result == RLK_E_PROTOCOL || result == RLK_E_UNSOLICITED || result == RLK_E_UNEXPECTED;
}

void conn_judge_change(world *w)
{
    rlk_conn_state state = rlk_conn_get_state(&w->conn);

    FUZZ_REQUIRE(state == RLK_CONN_READY || state == RLK_CONN_WAITING || state == RLK_CONN_FATAL);
    if (!w->ready)
        check_wiped(w);
    if (state == RLK_CONN_READY) {
        check_ready(w);
        return;
    }
    FUZZ_REQUIRE(rlk_conn_result(&w->conn) < 0);
    if (w->ready && is_distrust(rlk_conn_result(&w->conn)))
        note_open(w);
}

/* ---- The end of a stream ----------------------------------------------------------------- */

static bool is_text(rlk_resp_type type)
{
    return type == RLK_RESP_SIMPLE || type == RLK_RESP_BULK || type == RLK_RESP_VERBATIM ||
           type == RLK_RESP_DOUBLE || type == RLK_RESP_BIG_NUMBER;
}

static void check_delivery(const world *w, const replies *r, const delivery *d, unsigned ordinal)
{
    const resp_event *event;

    FUZZ_REQUIRE(ordinal < w->commands_len && ordinal < r->len);
    event = r->at[ordinal];
    FUZZ_REQUIRE(event->type == d->type);
    if (event->type == RLK_RESP_INTEGER || event->type == RLK_RESP_BOOLEAN ||
        event->type == RLK_RESP_NULL)
        FUZZ_REQUIRE(d->value == event->value);
    if (is_text(event->type) && d->has_data)
        FUZZ_REQUIRE(
            d->len == event->len && d->value == event->value &&
            (d->len == 0 || memcmp(w->delivered + d->at, r->log.bytes + event->at, d->len) == 0));
}

/* Deliveries come in the order of the commands. */
void conn_judge_stream(world *w)
{
    static replies r;
    unsigned ordinal = 0;
    unsigned i;

    read_replies(w, &r);
    for (i = 0; i < w->deliveries_len; i++, ordinal++) {
        while (ordinal < w->commands_len && w->commands[ordinal].echo != w->deliveries[i].echo)
            ordinal++;
        check_delivery(w, &r, &w->deliveries[i], ordinal);
    }
    if (w->ready)
        check_changes(w, false);
    else
        settle_fence(w, &r);
    for (i = r.len; i < w->commands_len; i++) /* sent, and never answered */
        if (w->commands[i].echo != 0)
            note_open(w);
}
