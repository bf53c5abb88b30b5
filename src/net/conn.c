/* SPDX-License-Identifier: MIT
 *
 * The connection: its life, its ports, its clock. No I/O.
 *
 *              due, _connecting           _connected             last reply
 *    WAITING -------------------> CONNECTING ------> HANDSHAKE ------------> READY
 *      ^  ^                           |                  |                     |
 *      |  |  _closed by the driver    |                  |                     |
 *      |  +---------------------------+------------------+---------------------+
 *      |                              |                  |                     |
 *      |    _closed                   v time-out, or     v refused, time-out   v time-out,
 *      +-------------------------- CLOSING <-------------+---------------------' protocol,
 *      |                              |  ^  either: a text of the caller changed   condemned
 *      |                              |  '-- _reset, from any of the three: due at once
 *      | _reset                       | _closed, refused for a reason that doesn't pass
 *      '------- FATAL <---------------'
 *
 *    _closed by the peer in HANDSHAKE, at a step that it may not know: to WAITING with the next
 *    attempt due, and no failure (rlki_handshake_hung_up)
 *    _shutdown: from anywhere to CLOSED
 *
 * Everything in flight is lost on the way out of HANDSHAKE and READY. `changed` is called on
 * arrival in READY, and on arrival in WAITING or FATAL after a failure.
 *
 * The backoff grows until a request was answered (condemn.c), or a stream has lasted longer than
 * the longest pause: a peer that closes after each good handshake makes no storm (fault 117).
 */
#include "conn_internal.h"

#include "condemn.h"
#include "limit.h"

#include <string.h>

/* Longest client name: RLK_CONN_TX_MIN reckons with it. */
#define CONN_NAME_MAX 64u

#ifdef RLK_NO_TEXT
#define CONN_WORD(word) ""
#else
#define CONN_WORD(word) (word)
#endif

/* So many changes without a push are no accident. */
#define CONN_MISSED_MAX 2u

/* ---- Small parts ------------------------------------------------------------------------- */

#ifndef RLK_NO_TRACE
static const char *conn_state_name(unsigned state)
{
#ifdef RLK_NO_TEXT
    (void)state;
    return "";
#else
    static const char *const names[] = {"WAITING", "CONNECTING", "HANDSHAKE", "READY",
                                        "CLOSING", "FATAL",      "CLOSED"};
    return names[state];
#endif
}
#endif

static void conn_enter(rlk_conn *conn, rlk_conn_state state)
{
    conn->state = (uint8_t)state;
    CONN_TRACE(conn, false, conn_state_name(state));
}

static bool conn_is_fatal(int result)
{
    return rlk_result_class((rlk_result)result) == RLK_KIND_FATAL;
}

static void conn_changed(rlk_conn *conn)
{
    conn->calls->changed(conn->calls_context, conn);
}

/* Name of the step under way, plus 1; 0: none. */
static uint8_t conn_current_step(const rlk_conn *conn)
{
    if (conn->state != RLK_CONN_HANDSHAKE)
        return 0;
    if (conn->ring_used != 0)
        return (uint8_t)(conn->ring[conn->ring_head].kind + 1u);
    return (uint8_t)(conn->step + 1u);
}

/* ---- Texts of the caller ----------------------------------------------------------------- */

static uint32_t conn_hash(uint32_t hash, const char *text, size_t len)
{
    return text != NULL ? rlk_key_hash(hash, text, len) : hash;
}

/* Of all texts that a connection leaves where the caller has them. */
static uint32_t conn_texts(const rlk_conn *conn)
{
    const rlk_url *url = &conn->url;
    const char *name = conn->client_name;
    uint32_t hash = RLK_KEY_HASH;
    size_t n;

    hash = conn_hash(hash, url->host, url->host_len);
    hash = conn_hash(hash, url->path, url->path_len);
    hash = conn_hash(hash, url->user, url->user_len);
    hash = conn_hash(hash, url->password, url->password_len);
    for (n = 0; name != NULL && n <= CONN_NAME_MAX && name[n] != '\0'; n++)
        continue;
    return conn_hash(hash, name, n);
}

/* ---- Initialisation ---------------------------------------------------------------------- */

/* CLIENT SETNAME takes printable characters, without spaces. */
static bool conn_is_name(const char *name)
{
    size_t n = 0;

    while (name[n] > ' ' && name[n] < 0x7f && n <= CONN_NAME_MAX)
        n++;
    return n > 0 && n <= CONN_NAME_MAX && name[n] == '\0';
}

static bool conn_buffer_fits(size_t size, size_t least)
{
    return size >= least && size <= RLKI_BUFFER_MAX;
}

const char *rlki_conn_bad_buffer(const rlk_conn_config *config, size_t *size, size_t *least)
{
    *size = config->ring_len;
    *least = RLK_CONN_RING_MIN;
    if (!conn_buffer_fits(*size, *least))
        return CONN_WORD("ring_len");
    *size = config->rx_cap;
    *least = RLK_CONN_RX_MIN;
    if (!conn_buffer_fits(*size, *least))
        return CONN_WORD("rx_cap");
    *size = config->tx_cap;
    *least = config->credentials == NULL ? rlki_handshake_room(&config->url) : RLK_CONN_TX_MIN;
    return conn_buffer_fits(*size, *least) ? NULL : CONN_WORD("tx_cap");
}

static rlk_result conn_check(const rlk_conn_config *config)
{
    const rlk_conn_calls *calls = config->calls;
    size_t size;
    size_t least;
    unsigned i;

    if ((config->url.host == NULL && config->url.path == NULL) || config->ring == NULL ||
        config->tx == NULL || config->rx == NULL || calls == NULL || calls->encode == NULL ||
        calls->reply == NULL || calls->lost == NULL || calls->changed == NULL ||
        calls->invalidated == NULL)
        return RLK_E_ARGUMENT;
    if (config->client_name != NULL && !conn_is_name(config->client_name))
        return RLK_E_ARGUMENT;
    if (config->scripts == NULL && config->scripts_len != 0)
        return RLK_E_ARGUMENT;
    for (i = 0; i < config->scripts_len; i++)
        if (config->scripts[i].load == NULL || config->scripts[i].load_len == 0)
            return RLK_E_ARGUMENT;
    return rlki_conn_bad_buffer(config, &size, &least) != NULL ? RLK_E_BUFFER : RLK_OK;
}

static void conn_copy(rlk_conn *conn, const rlk_conn_config *config)
{
    conn->url = config->url;
    conn->calls = config->calls;
    conn->calls_context = config->calls_context;
    conn->credentials = config->credentials;
    conn->credentials_context = config->credentials_context;
    conn->client_name = config->client_name;
    conn->scripts = config->scripts;
    conn->scripts_len = config->scripts_len;
    conn->script = config->scripts_len;
    conn->ring = config->ring;
    conn->ring_len = config->ring_len;
    conn->tx = config->tx;
    conn->tx_cap = (uint32_t)config->tx_cap;
    conn->rx = config->rx;
    conn->rx_cap = (uint32_t)config->rx_cap;
    conn->flags = (uint16_t)((config->resp2_only ? CONN_RESP2_ONLY : 0u) |
                             (config->no_tracking ? CONN_NO_TRACKING : 0u));
    conn->texts = conn_texts(conn);
    conn->jitter = config->jitter_seed != 0 ? config->jitter_seed : 1u; /* 0 is its fixed point */
}

/* The next attempt is due. The deadline stays in the past until the driver begins it, so that no
 * loop goes to sleep over it. */
static void conn_make_due(rlk_conn *conn)
{
    conn->deadline_ms = conn->now_ms;
    conn->flags |= CONN_DUE;
}

rlk_result rlki_conn_init(rlk_conn *conn, const rlk_conn_config *config, int64_t now_ms,
                          size_t size, uint32_t layout)
{
    rlk_result result;

    if (conn == NULL || config == NULL)
        return RLK_E_ARGUMENT;
    memset(conn, 0, size); /* of the caller's struct, whichever it is */
    if (size != sizeof *conn || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    conn->state = RLK_CONN_CLOSED; /* so that nothing happens with a bad configuration */
    conn->deadline_ms = RLK_NEVER;
    result = conn_check(config);
    if (result != RLK_OK)
        return result;
    if (!rlki_limit_take(&conn->connect_timeout_ms, config->connect_timeout_ms,
                         RLK_CONNECT_TIMEOUT_MS) ||
        !rlki_limit_take(&conn->response_timeout_ms, config->response_timeout_ms,
                         RLK_RESPONSE_TIMEOUT_MS) ||
        !rlki_limit_take(&conn->backoff_min_ms, config->backoff_min_ms, RLK_BACKOFF_MIN_MS) ||
        !rlki_limit_take(&conn->backoff_max_ms, config->backoff_max_ms, RLK_BACKOFF_MAX_MS))
        return RLK_E_TIMES;
    conn_copy(conn, config);
    conn->now_ms = now_ms;
    conn->state = RLK_CONN_WAITING;
    conn->result = RLK_E_NOT_CONNECTED;
    rlki_backoff_reset(conn);
    conn_make_due(conn);
    return RLK_OK;
}

/* ---- Ends -------------------------------------------------------------------------------- */

/* Drops the stream's bytes. What stands in tx in the handshake may be a password. */
static void conn_drop_stream(rlk_conn *conn)
{
    if (conn->state == RLK_CONN_HANDSHAKE) {
        rlki_wipe(conn->tx + conn->tx_begin, conn->tx_end - conn->tx_begin);
        rlki_wipe(conn->rx, conn->rx_end);
    }
    conn->segment_left = 0;
    conn->flags &= (uint16_t)~CONN_DUE;
}

/* Ends what is in flight, and goes to `state`, in which nothing more is parsed or sent. fence: even
 * if all requests were answered. */
static void conn_end(rlk_conn *conn, rlk_conn_state state, bool fence)
{
    conn->step_ended = conn_current_step(conn);
    if ((conn->flags & CONN_HEARD) == 0) {
        if (conn->hung <= 1) /* nor on the streams before */
            conn->protocol = 0;
        if (conn->hung != 0) /* tells more than the first step of a plain attempt */
            conn->step_ended = conn->hung;
    }
    conn_drop_stream(conn);
    if (fence || !rlki_ring_was_answered(conn)) {
        conn->old = conn->identity;
        conn->flags |= CONN_FENCE_DUE;
    }
    conn_enter(conn, state);
    conn->deadline_ms = conn->now_ms;
    rlki_ring_lose(conn);
}

/* A stream that was ready may be tried again as it was; an attempt that failed is no proof. */
static void conn_note_failure(rlk_conn *conn, rlk_result why, int sys_errno)
{
    if (conn->state == RLK_CONN_READY &&
        (uint32_t)conn->now_ms - conn->ready_ms >= conn->backoff_max_ms)
        rlki_backoff_reset(conn);
    if (conn->state != RLK_CONN_READY)
        conn->flags &= (uint16_t)~CONN_PLAIN;
    conn->result = (int16_t)why;
    conn->sys_errno = (int16_t)sys_errno;
    conn->failures++;
}

/* Nothing failed, as far as the next attempt goes; that is due at once. */
static void conn_begin_anew(rlk_conn *conn)
{
    conn->flags &= (uint16_t) ~(CONN_RESET | CONN_PLAIN | CONN_WHOLE);
    conn->hung = 0;
    conn_enter(conn, RLK_CONN_WAITING);
    conn->result = RLK_E_NOT_CONNECTED;
    conn->sys_errno = 0;
    conn->step_ended = 0;
    rlki_mask_forget(conn);
    rlki_condemn_forget(conn);
    rlki_backoff_reset(conn);
    conn_make_due(conn);
}

/* After a failure, with no stream any more. */
static void conn_settle(rlk_conn *conn)
{
    conn->flags &= (uint16_t)~CONN_OPEN;
    conn->hung = 0;
    if ((conn->flags & CONN_RESET) != 0) {
        conn_begin_anew(conn);
    } else if (conn_is_fatal(conn->result)) {
        conn_enter(conn, RLK_CONN_FATAL);
        conn->deadline_ms = RLK_NEVER;
    } else {
        conn_enter(conn, RLK_CONN_WAITING);
        conn->deadline_ms = conn->now_ms + rlki_backoff_next(conn);
    }
    conn_changed(conn);
}

/* Ends the attempt or the stream for `why`. */
static void conn_fail(rlk_conn *conn, rlk_result why)
{
    conn_note_failure(conn, why, 0);
    conn_end(conn, RLK_CONN_CLOSING, false);
}

/* A text that is another now (fault 119) may lead to another server: the attempt fails. */
static bool conn_dangles(rlk_conn *conn)
{
    if (conn_texts(conn) == conn->texts)
        return false;
    conn_fail(conn, RLK_E_DANGLING);
    return true;
}

void rlk_conn_closed(rlk_conn *conn, rlk_result why, int sys_errno, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_HANDSHAKE && (why == RLK_E_EOF || why == RLK_E_IO) &&
        rlki_handshake_hung_up(conn)) {
        conn_end(conn, RLK_CONN_WAITING, false);
        conn->flags &= (uint16_t)~CONN_OPEN;
        conn_make_due(conn);
        return;
    }
    switch (conn->state) {
    case RLK_CONN_CONNECTING:
    case RLK_CONN_HANDSHAKE:
    case RLK_CONN_READY:
        conn_note_failure(conn, why < 0 ? why : RLK_E_EOF, sys_errno);
        conn_end(conn, RLK_CONN_CLOSING, false);
        conn_settle(conn);
        break;
    case RLK_CONN_CLOSING:
        conn_settle(conn);
        break;
    default:
        conn->flags &= (uint16_t)~CONN_OPEN;
        break;
    }
}

/* The same where what was answered is to be fenced too: replies and requests turned out not to
 * match, or the answer was one of several. */
static void conn_distrust(rlk_conn *conn, rlk_result why)
{
    bool fence = conn->state == RLK_CONN_READY; /* before, there were no requests */

    conn_note_failure(conn, why, 0);
    conn_end(conn, RLK_CONN_CLOSING, fence);
}

void rlk_conn_reject(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_READY)
        conn_distrust(conn, RLK_E_UNEXPECTED);
}

void rlk_conn_close(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_CLOSED)
        return;
    conn_end(conn, RLK_CONN_CLOSED, false);
    conn->result = RLK_E_CLOSED;
    conn->deadline_ms = RLK_NEVER;
}

/* ---- Beginnings -------------------------------------------------------------------------- */

void rlk_conn_reset(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    switch (conn->state) {
    case RLK_CONN_WAITING:
    case RLK_CONN_FATAL:
        conn->flags |= CONN_REPLACED;
        conn_begin_anew(conn);
        break;
    case RLK_CONN_CONNECTING:
    case RLK_CONN_HANDSHAKE:
    case RLK_CONN_READY:
        conn_fail(conn, RLK_E_NOT_CONNECTED);
        conn->flags |= CONN_RESET | CONN_REPLACED;
        break;
    case RLK_CONN_CLOSING:
        conn->flags |= CONN_RESET | CONN_REPLACED;
        break;
    default:
        break;
    }
}

void rlk_conn_hurry(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_WAITING)
        conn_make_due(conn);
}

void rlk_conn_connecting(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state != RLK_CONN_WAITING)
        return;
    conn_enter(conn, RLK_CONN_CONNECTING);
    conn->flags &= (uint16_t)~CONN_DUE;
    conn->flags |= CONN_OPEN;
    conn->deadline_ms = now_ms + conn->connect_timeout_ms;
    (void)conn_dangles(conn);
}

static void conn_become_ready(rlk_conn *conn)
{
    conn->result = RLK_OK;
    conn_enter(conn, RLK_CONN_READY);
    conn->deadline_ms = RLK_NEVER;
    conn->sys_errno = 0;
    conn->step_ended = 0;
    conn->generation++;
    conn->hung = 0;
    if ((conn->flags & CONN_PLAIN) == 0)
        conn->flags |= CONN_WHOLE;
    if (rlki_handshake_fence(&conn->identity, &conn->identity) != CONN_FENCE_NONE)
        rlk_conn_note(conn, RLK_SERVER_IDENTITY);
    if ((conn->flags & CONN_FENCE_DUE) != 0) /* tried, in vain */
        conn->flags |= CONN_UNFENCED;
    conn->flags &= (uint16_t)~CONN_FENCE_DUE;
    rlki_mask_forget(conn);
    conn->ready_ms = (uint32_t)conn->now_ms;
    conn_changed(conn);
    conn->flags &= (uint16_t)~CONN_REPLACED;
}

/* Sends what can be sent: steps of the handshake, scripts, requests. */
static void conn_pump(rlk_conn *conn)
{
    if (conn->state == RLK_CONN_HANDSHAKE) {
        rlk_result result = rlki_handshake_pump(conn);

        if (result != RLK_OK)
            conn_fail(conn, result);
        else if (rlki_handshake_is_over(conn))
            conn_become_ready(conn);
    }
    if (conn->state == RLK_CONN_READY)
        rlki_send_flush(conn);
}

static void conn_identify(rlk_conn *conn, uint64_t peer, const char *local)
{
    size_t len = local != NULL ? strlen(local) : 0;

    memset(&conn->identity, 0, sizeof conn->identity);
    conn->identity.peer = peer;
    if (len < sizeof conn->identity.local)
        memcpy(conn->identity.local, local != NULL ? local : "", len);
}

void rlk_conn_connected(rlk_conn *conn, uint64_t peer, const char *local, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state != RLK_CONN_CONNECTING)
        return;
    conn_enter(conn, RLK_CONN_HANDSHAKE);
    conn->flags &= (uint16_t) ~(CONN_HEARD | CONN_UNFENCED | CONN_TRACKING | CONN_SERVED);
    conn->lasting_ms = 0;
    conn->server = (conn->flags & CONN_PLAIN) != 0 ? RLK_SERVER_PLAIN : 0;
    if (conn->server != 0 && rlki_handshake_may_eval(conn))
        conn->server |= RLK_SERVER_NO_LOAD;
    conn->protocol = conn_is_resp2_only(conn) || conn->server != 0 ? 2 : 0;
    conn->script = conn->scripts_len;
    conn->loads = 0;
    conn->tx_needed = 0;
    conn->missed = 0;
    conn->step = 0;
    conn->tx_begin = 0;
    conn->tx_end = 0;
    conn->tx_position = 0;
    conn->tx_handed = 0;
    conn->rx_begin = 0;
    conn->rx_end = 0;
    conn_identify(conn, peer, local);
    rlk_resp_parser_init(&conn->parser, conn->rx_cap - 2); /* a string and its CRLF fit */
    if (!conn_dangles(conn))                               /* credentials and name leave now */
        conn_pump(conn);
}

/* ---- Transmit port ----------------------------------------------------------------------- */

/*
 *    tx:   | sent | before the segment | behind it | free |
 *          tx_begin        segment_at      tx_end
 *
 * The segment, of constant memory, leaves when tx is sent up to segment_at.
 */
static bool conn_segment_is_next(const rlk_conn *conn)
{
    return conn_has_segment(conn) && conn->tx_begin == conn->segment_at;
}

const uint8_t *rlk_conn_tx_buf(rlk_conn *conn, size_t *len)
{
    const uint8_t *bytes = conn->tx + conn->tx_begin;
    uint32_t count = (conn_has_segment(conn) ? conn->segment_at : conn->tx_end) - conn->tx_begin;

    if (conn_segment_is_next(conn)) {
        bytes = conn->segment;
        count = conn->segment_left;
    }
    if (!conn_is_up(conn))
        count = 0;
    *len = count;
    if (count == 0)
        return NULL;
    conn->tx_handed = conn->tx_position + count;
    return bytes;
}

/* Of bytes of tx. Those of the handshake are wiped: a password may be among them. */
static void conn_ack_tx(rlk_conn *conn, uint32_t len)
{
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->tx + conn->tx_begin, len);
    conn->tx_begin += len;
    if (conn->tx_begin == conn->tx_end) {
        conn->tx_begin = 0;
        conn->tx_end = 0;
        conn->segment_at = 0;
    }
}

void rlk_conn_tx_ack(rlk_conn *conn, size_t len, int64_t now_ms)
{
    uint32_t shown = conn->tx_handed - conn->tx_position;
    uint32_t acked = len < shown ? (uint32_t)len : shown;

    conn->now_ms = now_ms;
    if (!conn_is_up(conn) || acked == 0)
        return;
    conn->tx_position += acked;
    CONN_COUNT(conn, bytes_sent, acked);
    if (conn_segment_is_next(conn)) {
        conn->segment += acked;
        conn->segment_left = (uint16_t)(conn->segment_left - acked);
    } else {
        conn_ack_tx(conn, acked);
    }
    conn_pump(conn);
}

/* ---- Received bytes ---------------------------------------------------------------------- */

/* A whole reply, to the oldest entry. */
static void conn_take_reply(rlk_conn *conn, const rlk_conn_entry *entry, const rlk_reply *reply)
{
    if (conn->state == RLK_CONN_HANDSHAKE) {
        rlk_result result = rlki_handshake_reply(conn, entry->kind, reply);

        if (result != RLK_OK) {
            rlki_condemn_address(conn, result);
            conn_fail(conn, result);
            return;
        }
    } else if (rlki_condemn(conn, reply->error)) {
        bool more = entry->replies > 1; /* commands of the same request, which may execute */

        rlki_ring_refuse(conn);
        if (more)
            conn_distrust(conn, reply->error);
        else
            conn_fail(conn, reply->error);
        return;
    }
    if (entry->kind == CONN_STEP_SCRIPTS)
        conn->loads--;
    rlki_ring_reply(conn, reply);
}

/* A token of a reply. */
static void conn_take_token(rlk_conn *conn, const rlk_resp_token *token)
{
    const rlk_conn_entry *entry = rlki_ring_due(conn);
    bool handshake = conn->state == RLK_CONN_HANDSHAKE;
    rlk_reply reply;

    /* A server that is full or protected says so before it has read anything (fault 16). */
    if (entry == NULL && !(handshake && rlki_receive_is_error(conn))) {
        conn_distrust(conn, RLK_E_UNSOLICITED);
        return;
    }
    conn->deadline_ms = conn->now_ms + conn->response_timeout_ms;
    if (entry != NULL && handshake)
        rlki_handshake_token(conn, entry->kind, token);
    if ((token->flags & RLK_RESP_DONE) == 0)
        return;
    rlki_receive_reply(conn, token, &reply);
    if (reply.error != RLK_OK)
        rlki_mask_text(conn, reply.error, entry != NULL && rlki_handshake_is_secret(entry->kind));
    if (entry != NULL)
        conn_take_reply(conn, entry, &reply);
    else
        conn_fail(conn, reply.error);
}

void rlk_conn_rx_ack(rlk_conn *conn, size_t len, int64_t now_ms)
{
    rlk_resp_token token;
    rlk_resp_status status = RLK_RESP_TOKEN;

    conn->now_ms = now_ms;
    if (!rlki_receive_add(conn, len))
        return;
    while (conn_is_up(conn) && status == RLK_RESP_TOKEN) {
        status = rlki_receive_next(conn, &token);
        if (status == RLK_RESP_TOKEN)
            conn_take_token(conn, &token);
        else if (status != RLK_RESP_MORE)
            conn_distrust(conn, (conn->flags & CONN_HEARD) != 0 ? RLK_E_PROTOCOL : RLK_E_NOT_RESP);
    }
    conn_pump(conn);
}

/* ---- Time and questions ------------------------------------------------------------------ */

int64_t rlk_conn_now(const rlk_conn *conn)
{
    return conn->now_ms;
}

int64_t rlk_conn_deadline(const rlk_conn *conn)
{
    return conn->deadline_ms;
}

void rlk_conn_tick(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (now_ms < conn->deadline_ms)
        return;
    switch (conn->state) {
    case RLK_CONN_WAITING:
        conn->flags |= CONN_DUE;
        break;
    case RLK_CONN_CONNECTING:
        conn_fail(conn, RLK_E_CONNECT_TIMEOUT);
        break;
    case RLK_CONN_HANDSHAKE:
    case RLK_CONN_READY:
        conn_fail(conn, RLK_E_RESPONSE_TIMEOUT);
        break;
    default:
        break;
    }
}

unsigned rlk_conn_wants(const rlk_conn *conn)
{
    switch (conn->state) {
    case RLK_CONN_WAITING:
        return (conn->flags & CONN_DUE) != 0 ? RLK_WANT_CONNECT : 0;
    case RLK_CONN_HANDSHAKE:
    case RLK_CONN_READY:
        if (conn->tx_end != conn->tx_begin || conn_has_segment(conn))
            return RLK_WANT_READ | RLK_WANT_WRITE;
        return RLK_WANT_READ;
    case RLK_CONN_CLOSING:
        return RLK_WANT_CLOSE;
    case RLK_CONN_CLOSED:
        return (conn->flags & CONN_OPEN) != 0 ? RLK_WANT_CLOSE : 0;
    default:
        return 0;
    }
}

const rlk_url *rlk_conn_url(const rlk_conn *conn)
{
    return &conn->url;
}

rlk_conn_state rlk_conn_get_state(const rlk_conn *conn)
{
    return (rlk_conn_state)conn->state;
}

rlk_result rlk_conn_result(const rlk_conn *conn)
{
    return (rlk_result)conn->result;
}

int rlk_conn_errno(const rlk_conn *conn)
{
    return conn->sys_errno;
}

const char *rlk_conn_text(const rlk_conn *conn)
{
    return conn->text;
}

const char *rlk_conn_step(const rlk_conn *conn)
{
    uint8_t step = conn->state == RLK_CONN_HANDSHAKE ? conn_current_step(conn) : conn->step_ended;

    return step != 0 ? rlki_handshake_name(step - 1u) : "";
}

uint32_t rlk_conn_generation(const rlk_conn *conn)
{
    return conn->generation;
}

uint32_t rlk_conn_failures(const rlk_conn *conn)
{
    return conn->failures;
}

#ifndef RLK_NO_TRACE
rlk_traffic rlk_conn_traffic(const rlk_conn *conn)
{
    rlk_traffic traffic;

    traffic.fences = conn->fences;
    traffic.bytes_sent = conn->bytes_sent;
    traffic.bytes_received = conn->bytes_received;
    return traffic;
}
#endif

bool rlk_conn_fenced(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_READY && (conn->flags & CONN_UNFENCED) == 0;
}

bool rlk_conn_is_tracking(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_READY && (conn->flags & CONN_TRACKING) != 0 &&
           (conn->server & RLK_SERVER_SILENT) == 0;
}

bool rlk_conn_missed(rlk_conn *conn)
{
    if (!rlk_conn_is_tracking(conn) || ++conn->missed < CONN_MISSED_MAX)
        return false;
    rlk_conn_note(conn, RLK_SERVER_SILENT);
    return true;
}

const uint8_t *rlk_conn_run_id(const rlk_conn *conn)
{
    return conn->identity.has_run_id ? conn->identity.run_id : NULL;
}

unsigned rlk_conn_server(const rlk_conn *conn)
{
    return conn->server;
}

void rlk_conn_note(rlk_conn *conn, unsigned server)
{
    conn->server = (uint16_t)(conn->server | server);
}

size_t rlk_conn_tx_cap(const rlk_conn *conn)
{
    return conn->tx_cap;
}

size_t rlk_conn_tx_needed(const rlk_conn *conn)
{
    return conn->tx_needed;
}

int rlk_conn_protocol(const rlk_conn *conn)
{
    return conn->protocol;
}
