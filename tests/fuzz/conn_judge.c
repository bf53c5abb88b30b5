/* SPDX-License-Identifier: MIT
 *
 * Of fuzz_conn: the judge. It knows what the driver was shown, what the server said, as the
 * reference reader reads it, and what the layer above got.
 */
#include "conn_world.h"
#include "resp_reader.h"

#include "net/condemn.h"
#include "net/local.h"

#include <string.h>

/* ---- What the server said ---------------------------------------------------------------- */

static void read_replies(const world *w, replies *r)
{
    size_t i;

    r->len = 0;
    r->whole = 0;
    resp_reader_read(&r->log, w->said, w->said_len);
    for (i = 0; i < r->log.count && r->len < COMMANDS_MAX; i++) {
        const resp_event *event = &r->log.events[i];

        if ((event->flags & (RLK_RESP_IN_ATTRIBUTE | RLK_RESP_IN_PUSH)) != 0)
            continue;
        if (event->depth == 0 && event->type != RLK_RESP_END)
            r->at[r->len++] = event;
        if ((event->flags & RLK_RESP_DONE) != 0)
            r->whole = r->len;
    }
}

/* ---- What is checked when the connection becomes ready ----------------------------------- */

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
    FUZZ_REQUIRE(!conn_holds(w->rx, w->conn.rx.begin, PLAIN));
    FUZZ_REQUIRE(!conn_holds(w->rx + w->conn.rx.end, w->config.rx_cap - w->conn.rx.end, PLAIN));
}

/* ---- The handshake ----------------------------------------------------------------------- */

void conn_judge_command(const world *w)
{
    static replies r;
    handshake s;

    read_replies(w, &r);
    (void)conn_judge_steps(w, &r, &s);
}

/* A reply that nobody waits for is unsolicited, except an error before all others. */
static bool is_unsolicited(const world *w, const replies *r, rlk_result why)
{
    const resp_event *event = r->len > w->commands_len ? r->at[w->commands_len] : NULL;

    if (why == RLK_E_UNSOLICITED)
        return event != NULL || r->log.outcome != RESP_COMPLETE; /* a string that has only begun */
    return event != NULL && (event->type == RLK_RESP_ERROR || event->type == RLK_RESP_BLOB_ERROR) &&
           (event->len > RLK_CONN_RX_MIN - 2 ||
            why == rlk_server_error(r->log.bytes + event->at, event->len));
}

void conn_judge_refused(const world *w)
{
    static replies r;
    handshake s;
    rlk_result why = rlk_conn_result(&w->conn);
    rlk_result result;

    read_replies(w, &r);
    memset(&s, 0, sizeof s);
    result = w->ready ? RLK_OK : conn_judge_steps(w, &r, &s);
    if (s.vague)
        return;
    if (result != RLK_OK)
        FUZZ_REQUIRE(why == result);
    else if (why == RLK_E_PROTOCOL || why == RLK_E_NOT_RESP)
        FUZZ_REQUIRE(r.log.outcome == RESP_MALFORMED);
    else if (!w->ready || why == RLK_E_UNSOLICITED)
        FUZZ_REQUIRE(is_unsolicited(w, &r, why));
    else
        FUZZ_REQUIRE(why == RLK_E_UNEXPECTED || conn_is_condemning(why)); /* rejected, or refused */
}

/* Two consecutive ones are no failure; then what can be left out is, until an attempt fails. */
void conn_judge_hung_up(world *w, bool reported)
{
    static replies r;
    handshake s;

    read_replies(w, &r);
    (void)conn_judge_steps(w, &r, &s);
    if (reported) {
        FUZZ_REQUIRE(!s.extra || w->plain || w->whole || s.vague);
        return;
    }
    FUZZ_REQUIRE(!w->plain && !w->whole && w->hangs < 2);
    w->hangs++;
    w->plain_next = w->hangs == 2;
}

void conn_judge_reset(world *w)
{
    w->hangs = 0;
    w->plain_next = false;
    w->whole = false;
}

static void note_report(world *w, bool ready)
{
    w->reports++;
    w->hangs = 0;
    if (ready)
        w->whole |= !w->plain;
    else if (!w->ready)
        w->plain_next = false;
    if (rlk_conn_result(&w->conn) == RLK_E_NOT_CONNECTED)
        conn_judge_reset(w);
}

/* The connection before was fenced in this handshake, also in one that failed later. */
static void settle_fence(world *w, const replies *r)
{
    handshake s;

    (void)conn_judge_steps(w, r, &s);
    w->open = w->open && !s.fenced && !s.vague;
}

static unsigned server_bits(const handshake *s)
{
    return (s->took_hello ? RLK_SERVER_HELLO : 0u) | (s->named ? RLK_SERVER_NAMED : 0u) |
           (s->dragonfly ? RLK_SERVER_DRAGONFLY : 0u) | (s->cluster ? RLK_SERVER_CLUSTER : 0u) |
           (s->replica ? RLK_SERVER_REPLICA : 0u) | (s->no_load ? RLK_SERVER_NO_LOAD : 0u) |
           (s->evalsha ? RLK_SERVER_EVALSHA : 0u) | (s->plain ? RLK_SERVER_PLAIN : 0u) |
           (conn_judge_kill(&s->self, &s->self) != KILL_IMPOSSIBLE ? RLK_SERVER_IDENTITY : 0u);
}

static void check_identity(const world *w, const handshake *s)
{
    char local[RLK_CONN_LOCAL];

    FUZZ_REQUIRE(w->conn.identity.client_id == s->self.id);
    FUZZ_REQUIRE(w->conn.identity.peer == rlki_condemn_number(s->self.address));
    rlki_local_text(&w->conn.identity.local, local);
    FUZZ_REQUIRE(strcmp(local, s->self.local) == 0);
    FUZZ_REQUIRE(rlk_conn_run_id(&w->conn) == s->self.run_id);
    FUZZ_REQUIRE(rlk_conn_server(&w->conn) == server_bits(s));
}

/* Where the judge could see it, it is right (check_identity). */
static void note_peer(peer *p, const world *w)
{
    const rlk_conn_identity *identity = &w->conn.identity;

    p->id = identity->client_id;
    p->address = w->address;
    rlki_local_text(&identity->local, p->local);
    p->run_id = identity->run_id;
}

/* Each step was taken in its turn, and answered as it must be. Fenced: the old connection was
 * killed, or the server is another instance than then. */
static void check_ready(world *w)
{
    static replies r;
    const rlk_conn *conn = &w->conn;
    rlk_result result;
    handshake s;

    read_replies(w, &r);
    FUZZ_REQUIRE(!w->ready && w->deliveries_len == 0 && r.whole >= w->commands_len && !w->begun);
    FUZZ_REQUIRE(rlk_conn_result(conn) == RLK_OK && rlk_conn_text(conn)[0] == '\0');
    result = conn_judge_steps(w, &r, &s);
    if (!s.vague) {
        FUZZ_REQUIRE(result == RLK_OK && s.unanswered == 0 && conn_judge_is_over(w, &s));
        FUZZ_REQUIRE(rlk_conn_protocol(conn) == s.protocol);
        FUZZ_REQUIRE(rlk_conn_is_tracking(conn) == s.tracking);
        FUZZ_REQUIRE(!w->open || rlk_conn_fenced(conn) == s.fenced);
        check_identity(w, &s);
    }
    w->open = false; /* from here on it is the generation that says what is not fenced */
    w->ready = true;
    w->greeted = w->said_len - (conn->rx.end - conn->rx.begin);
    note_peer(&w->old, w);
}

/* Something of the stream that ends may still execute. */
static void note_open(world *w)
{
    w->open = true;
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

/* Returns true if this event reports a change. */
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

/* Nothing else was reported than the server said, in its order. */
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
    note_report(w, state == RLK_CONN_READY);
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
    for (i = r.whole; i < w->commands_len; i++) /* sent, and never answered */
        if (w->commands[i].echo != 0)
            note_open(w);
}
