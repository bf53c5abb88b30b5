/* SPDX-License-Identifier: MIT
 *
 * Of fuzz_conn: the layer above the connection. It submits, withdraws and rejects as the input
 * says, in the middle of the engine's own calls too, and keeps what it gets for the judge.
 */
#include "conn_world.h"

#include <string.h>

#define ECHO_MAX 48 /* bytes of one, without the padding */

static subject *subject_of(rlk_request *request)
{
    return (subject *)(void *)request;
}

void conn_submit(world *w, subject *s)
{
    if (s->request.state == RLK_REQUEST_IDLE && !s->awaits) {
        s->commands = 1 + fuzz_below(w->input, 3);
        s->padding = fuzz_below(w->input, 4) == 1 ? w->config.tx_cap / s->commands - ECHO_MAX : 0;
        s->first = w->numbers + 1;
        s->replies = 0;
        s->encoded = false;
        s->awaits = true;
        w->numbers += s->commands;
    }
    rlk_conn_submit(&w->conn, &s->request, w->now_ms);
}

static bool was_shown(const world *w, const subject *s)
{
    unsigned i;

    for (i = 0; i < w->commands_len; i++)
        if (w->commands[i].echo == s->first)
            return true;
    return false;
}

void conn_withdraw(world *w, subject *s)
{
    bool sent = s->request.state == RLK_REQUEST_SENT;
    bool unsent = rlk_conn_withdraw(&w->conn, &s->request);

    FUZZ_REQUIRE(unsent == !sent);
    FUZZ_REQUIRE(s->request.state == RLK_REQUEST_IDLE);
    s->awaits = false;
}

/* Whatever may be done from within a call of the engine. */
static void meddle(world *w)
{
    subject *s = &w->subjects[fuzz_below(w->input, REQUESTS)];

    switch (fuzz_below(w->input, 16)) {
    case 1:
        conn_submit(w, s);
        break;
    case 2:
        conn_withdraw(w, s);
        break;
    case 3:
        rlk_conn_load_scripts(&w->conn, w->now_ms);
        break;
    default:
        break;
    }
}

static unsigned on_encode(void *context, rlk_conn *conn, rlk_request *request,
                          rlk_resp_writer *writer)
{
    static const char padding[4096];
    world *w = (world *)context;
    subject *s = subject_of(request);
    unsigned i;

    FUZZ_REQUIRE(rlk_conn_get_state(conn) == RLK_CONN_READY);
    FUZZ_REQUIRE(request->state == RLK_REQUEST_QUEUED && s->awaits);
    for (i = 0; i < REQUESTS; i++) /* in the order in which they were submitted */
        FUZZ_REQUIRE(w->subjects[i].request.state != RLK_REQUEST_QUEUED ||
                     w->subjects[i].first >= s->first);
    for (i = 0; i < s->commands; i++) {
        bool eval = i == 0 && (rlk_conn_server(conn) & RLK_SERVER_EVAL) != 0;

        rlk_resp_put_command(writer, eval ? 4 : s->padding != 0 ? 3 : 2);
        if (eval)
            rlk_conn_put_script(conn, writer);
        else
            rlk_resp_put_bulk(writer, "ECHO", 4);
        if (eval)
            rlk_resp_put_integer(writer, 1);
        rlk_resp_put_integer(writer, s->first + i);
        if (s->padding != 0 && !eval)
            rlk_resp_put_bulk(writer, padding, s->padding);
    }
    s->encoded = rlk_resp_writer_result(writer) == RLK_OK;
    for (i = 0; i < s->commands && s->encoded; i++) {
        FUZZ_REQUIRE(w->encoded_len < COMMANDS_MAX);
        w->encoded[w->encoded_len++] = s->first + i;
    }
    return s->commands;
}

static void on_reply(void *context, rlk_conn *conn, rlk_request *request, const rlk_reply *reply,
                     unsigned left)
{
    world *w = (world *)context;
    subject *s = subject_of(request);
    delivery *d = &w->deliveries[w->deliveries_len];

    FUZZ_REQUIRE(s->awaits && s->encoded);
    FUZZ_REQUIRE(rlk_conn_get_state(conn) == RLK_CONN_READY);
    FUZZ_REQUIRE(left == s->commands - s->replies - 1);
    FUZZ_REQUIRE(request->state == (left == 0 ? RLK_REQUEST_IDLE : RLK_REQUEST_SENT));
    FUZZ_REQUIRE(was_shown(w, s) && w->deliveries_len < COMMANDS_MAX);
    d->echo = s->first + s->replies;
    d->type = reply->type;
    d->value = reply->value;
    d->len = reply->len;
    d->has_data = reply->data != NULL;
    d->at = w->delivered_len;
    FUZZ_REQUIRE(reply->len <= sizeof w->delivered - w->delivered_len);
    if (reply->data != NULL)
        memcpy(w->delivered + d->at, reply->data, reply->len);
    w->delivered_len += reply->len;
    w->deliveries_len++;
    s->replies++;
    s->awaits = left != 0;
    if (fuzz_below(w->input, 64) == 1)
        rlk_conn_reject(&w->conn, w->now_ms);
    meddle(w);
}

/* Then one request was refused, and is as good as never sent. */
bool conn_is_condemning(rlk_result why)
{
    return why == RLK_E_READONLY || why == RLK_E_NOAUTH || why == RLK_E_LOADING ||
           why == RLK_E_MASTERDOWN;
}

static void on_lost(void *context, rlk_conn *conn, rlk_request *request, bool maybe_sent)
{
    world *w = (world *)context;
    subject *s = subject_of(request);

    FUZZ_REQUIRE(s->awaits && s->encoded);
    FUZZ_REQUIRE(rlk_conn_get_state(conn) != RLK_CONN_READY);
    FUZZ_REQUIRE(request->state == RLK_REQUEST_IDLE);
    FUZZ_REQUIRE(maybe_sent == was_shown(w, s) ||
                 (!maybe_sent && conn_is_condemning(rlk_conn_result(conn))));
    s->awaits = false;
    meddle(w);
}
static void on_changed(void *context, rlk_conn *conn)
{
    world *w = (world *)context;

    (void)conn;
    conn_judge_change(w);
    meddle(w);
}

/* Only of a stream that is ready, and said that it would. */
static void on_invalidated(void *context, rlk_conn *conn, uint32_t key_hash, bool all)
{
    world *w = (world *)context;

    FUZZ_REQUIRE(rlk_conn_get_state(conn) == RLK_CONN_READY);
    FUZZ_REQUIRE(!all || key_hash == 0);
    FUZZ_REQUIRE(w->changes_len < CHANGES_MAX);
    w->changes[w->changes_len].key_hash = key_hash;
    w->changes[w->changes_len].all = all;
    w->changes_len++;
    meddle(w);
}

void conn_layer(world *w, rlk_conn_config *config)
{
    static const rlk_conn_calls calls = {.encode = on_encode,
                                         .reply = on_reply,
                                         .lost = on_lost,
                                         .changed = on_changed,
                                         .invalidated = on_invalidated};

    config->calls = &calls;
    config->calls_context = w;
}
