/* SPDX-License-Identifier: MIT
 *
 * The connection engine between a hostile server, an erratic driver and a layer above that submits,
 * withdraws and rejects at any moment, in the middle of the engine's own calls too.
 *
 * Input: a few bytes of configuration, then steps: a byte that chooses one, and what it takes.
 *
 * Whatever happens:
 *   - the n-th reply of a stream goes to who asked the n-th command, as the reference reader reads
 *     it, and to nobody else; each request ends once: answered, lost or withdrawn;
 *   - `lost` says maybe_sent if and only if the driver was shown a byte of the request, unless it
 * was refused for the stream's sake;
 *   - bytes that were shown do not move and do not change until they are acknowledged;
 *   - the deadline advances with each tick, and there is one while anything is awaited;
 *   - the handshake takes its steps in their order, with the right words, and ends well only after
 *     a good answer to each that must have one, and badly only for an answer that it can't go on
 *     with; what a peer shows of itself is known, and nothing else;
 *   - a peer that hangs up in the handshake is asked for less at the third attempt, and not before;
 *   - pushes of changes reach the layer above, once, in order, and nothing else;
 *   - it says "fenced" only where nothing was left open, or the old connection was dealt with;
 *   - no password is left in the buffers when the handshake is over.
 */
#include "conn_world.h"

#include <string.h>

#define INPUT_MAX 1024
#define START_MS  INT64_C(1000)
#define PASSWORD  "s3cr:t%45!" /* PLAIN, escaped as in a URL */
#define RUN_ID    "0123456789abcdef0123456789abcdef01234567"
#define RUN_LINE  "run_id:" RUN_ID "\r\n"

/* ---- The driver -------------------------------------------------------------------------- */

static void begin_stream(world *w)
{
    conn_judge_stream(w);
    stream_reset(&w->sent);
    w->shown = NULL;
    w->shown_len = 0;
    w->commands_len = 0;
    w->begun = false;
    w->encoded_len = 0;
    w->encoded_shown = 0;
    w->plain = w->plain_next;
    w->address = 0;
    w->local[0] = '\0';
    w->said_len = 0;
    w->deliveries_len = 0;
    w->changes_len = 0;
    w->delivered_len = 0;
    w->honest = 0;
    w->ready = false;
    memset(w->rx, 0, w->config.rx_cap); /* what a server said once it was ready */
}

/* Its first byte was shown. */
static command *begin_command(world *w)
{
    command *c = &w->commands[w->commands_len];

    FUZZ_REQUIRE(w->commands_len < COMMANDS_MAX);
    memset(c, 0, sizeof *c);
    w->commands_len++;
    return c;
}

/* Commands of the layer above come in the order in which it wrote them. */
static void number_command(world *w, command *c)
{
    FUZZ_REQUIRE(w->encoded_shown < w->encoded_len);
    c->echo = w->encoded[w->encoded_shown++];
}

static void note_command(world *w)
{
    const char *words = w->sent.words;
    command *c = w->begun ? &w->commands[w->commands_len - 1] : begin_command(w);
    char own[32];

    (void)snprintf(c->name, sizeof c->name, "%.159s", words);
    if (!w->ready) {
        conn_judge_command(w);
    } else if (!stream_matches(words, "SCRIPT LOAD")) {
        if (!w->begun)
            number_command(w, c);
        (void)snprintf(own, sizeof own, "%s %u",
                       stream_matches(words, "EVAL") ? "EVAL return 1 1" : "ECHO", c->echo);
        FUZZ_REQUIRE(stream_matches(words, own));
    }
    w->begun = false;
}

/* An EVAL is shown up to its script, then the script, then what is behind it. */
static void note_begun(world *w)
{
    command *c;

    if (!w->sent.inside || w->begun)
        return;
    c = begin_command(w);
    if (w->ready)
        number_command(w, c);
    w->begun = true;
}

/* Reads what must be sent, all of it; acknowledges some of it. */
static void act_take(world *w, size_t len)
{
    bool wanted = (rlk_conn_wants(&w->conn) & RLK_WANT_WRITE) != 0;
    size_t count;
    const uint8_t *bytes = rlk_conn_tx_buf(&w->conn, &count);
    size_t i;

    FUZZ_REQUIRE((bytes != NULL) == (count != 0) && (count != 0) == wanted);
    if (count == 0)
        return;
    FUZZ_REQUIRE(count < STREAM_MAX && count >= w->shown_len);
    if (w->shown_len != 0)
        FUZZ_REQUIRE(bytes == w->shown && memcmp(bytes, w->shown_copy, w->shown_len) == 0);
    for (i = w->shown_len; i < count; i++) {
        stream_event event = stream_feed(&w->sent, (char)bytes[i]);

        FUZZ_REQUIRE(event != STREAM_BROKEN);
        if (event == STREAM_VALUE)
            note_command(w);
    }
    FUZZ_REQUIRE(!w->sent.inside ||
                 w->conn.scripts.segment_left != 0); /* whole commands are shown */
    note_begun(w);
    if (len > count)
        len = count;
    w->shown = bytes + len;
    w->shown_len = count - len;
    memcpy(w->shown_copy, bytes + len, w->shown_len);
    rlk_conn_tx_ack(&w->conn, len, w->now_ms);
}

static void say(world *w, const void *bytes, size_t len)
{
    const uint8_t *at = (const uint8_t *)bytes;

    while (len != 0 && (rlk_conn_wants(&w->conn) & RLK_WANT_READ) != 0) {
        size_t cap;
        uint8_t *room = rlk_conn_rx_buf(&w->conn, &cap);
        size_t n;

        FUZZ_REQUIRE(room != NULL && cap > 0);
        FUZZ_REQUIRE(room >= w->rx && room + cap <= w->rx + w->config.rx_cap);
        n = len < cap ? len : cap;
        if (n > STREAM_MAX - w->said_len)
            return;
        memcpy(room, at, n);
        memcpy(w->said + w->said_len, at, n);
        w->said_len += n;
        at += n;
        len -= n;
        rlk_conn_rx_ack(&w->conn, n, w->now_ms);
        if (rlk_conn_get_state(&w->conn) == RLK_CONN_CLOSING)
            conn_judge_refused(w);
    }
}

static void act_say(world *w)
{
    const uint8_t *bytes;
    size_t len = fuzz_bytes(w->input, 1u + fuzz_byte(w->input), &bytes);

    say(w, bytes, len);
}

/* Answers the next command as Redis would, if replies and commands are in step. */
static void act_answer(world *w)
{
    static const char *const answers[][2] = {
        {"HELLO", "%2\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:77\r\n"},
        {"INFO", "$49\r\n" RUN_LINE "\r\n"},
        {"CLIENT ID", ":78\r\n"},
        {"CLIENT KILL", ":1\r\n"},
        {"SCRIPT LOAD", "$40\r\n" RUN_ID "\r\n"},
        {"ECHO", NULL},
        {"EVAL", NULL}, /* the probe's number is 0 */
        {"EVALSHA", ":0\r\n"},
        {"", "+OK\r\n"},
    };
    char reply[32];
    const command *c;
    unsigned i = 0;

    if (w->honest >= w->commands_len || !rlk_resp_parser_idle(&w->conn.parser))
        return;
    c = &w->commands[w->honest++];
    while (answers[i][0][0] != '\0' && !stream_matches(c->name, answers[i][0]))
        i++;
    (void)snprintf(reply, sizeof reply, ":%u\r\n", c->echo);
    say(w, answers[i][1] != NULL ? answers[i][1] : reply,
        strlen(answers[i][1] != NULL ? answers[i][1] : reply));
}

/* What the server pushes; of keys also. */
static const char *push(const world *w)
{
    static const char *const pushes[] = {">2\r\n+a\r\n+b\r\n",
                                         ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n",
                                         ">2\r\n$10\r\ninvalidate\r\n_\r\n"};

    return pushes[w->honest % (sizeof pushes / sizeof pushes[0])];
}

/* Replies of the wrong kind, and what is no reply. */
static void act_answer_wrong(world *w)
{
    static const char *const answers[] = {
        "-ERR unknown command `HELLO`, with args beginning with: `3` `" PLAIN "`\r\n",
        "-NOPROTO unsupported protocol version\r\n",
        "-NOPERM this user has no permissions\r\n",
        "-ERR No such client\r\n",
        "-WRONGPASS invalid username-password pair\r\n",
        "$49\r\nrun_id:0123456789abcdef0123456789abcdef01234568\r\n\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        ":0\r\n",
        ":1\r\n",
        "_\r\n",
        "$-1\r\n",
        NULL,
        "|1\r\n+a\r\n:1\r\n",
        "*2\r\n:1\r\n*0\r\n",
        "$?\r\n;2\r\nab\r\n;0\r\n",
        "%?\r\n$2\r\nid\r\n:5\r\n.\r\n",
        "=53\r\ntxt:" RUN_LINE "\r\n",
        "+OK\r\n",
        "*4\r\n$2\r\nid\r\n:5\r\n$5\r\nproto\r\n:2\r\n",
        "%2\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:6\r\n",
        "%2\r\n$17\r\ndragonfly_version\r\n$5\r\nv1.20\r\n$2\r\nid\r\n:7\r\n",
        "%1\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n",
        "%2\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$7\r\nreplica\r\n",
        "*0\r\n",
        "-NOSCRIPT No matching script. Please use EVAL.\r\n",
        "-ERR what\r\n",
        "-BUSY Redis is busy\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-NOAUTH Authentication required.\r\n",
        "-DENIED Redis is running in protected mode\r\n",
        "-ERR max number of clients reached\r\n",
        "-ERR unknown command\r\n",
        "$71\r\nrun_id:abababababababababababababababababababababababababababababababab\r\n",
        "$24\r\nx\r\nredis_mode:cluster\r\nr\r\n",
        "$21\r\n\nredis_mode:sentinel\n\r\n",
        "$2\r\nOK\r\n",
    };
    const char *answer = answers[fuzz_below(w->input, sizeof answers / sizeof answers[0])];

    if (answer == NULL)
        answer = push(w);
    w->honest += answer[0] != '>' && answer[0] != '|';
    say(w, answer, strlen(answer));
}

static void act_connect(world *w)
{
    unsigned how = fuzz_byte(w->input);

    if (rlk_conn_get_state(&w->conn) == RLK_CONN_WAITING && (how & 1u) == 0)
        w->now_ms +=
            rlk_conn_deadline(&w->conn) > w->now_ms ? rlk_conn_deadline(&w->conn) - w->now_ms : 0;
    rlk_conn_tick(&w->conn, w->now_ms);
    if ((rlk_conn_wants(&w->conn) & RLK_WANT_CONNECT) == 0)
        return;
    begin_stream(w);
    rlk_conn_connecting(&w->conn, w->now_ms);
    if ((how & 2u) != 0)
        return; /* it goes on, or fails later */
    w->address = how >> 6;
    if ((how & 4u) != 0)
        (void)snprintf(w->local, sizeof w->local, "127.0.0.1:4711");
    rlk_conn_connected(&w->conn, w->address, w->local[0] != '\0' ? w->local : NULL, w->now_ms);
}

static void close_stream(world *w, rlk_result why)
{
    bool hung_up =
        rlk_conn_get_state(&w->conn) == RLK_CONN_HANDSHAKE && (why == RLK_E_EOF || why == RLK_E_IO);
    unsigned reports = w->reports;
    uint32_t failures = rlk_conn_failures(&w->conn);

    rlk_conn_closed(&w->conn, why, 0, w->now_ms);
    if (!hung_up)
        return;
    FUZZ_REQUIRE((w->reports == reports) == (rlk_conn_failures(&w->conn) == failures));
    FUZZ_REQUIRE(w->reports != reports ||
                 (rlk_conn_wants(&w->conn) & RLK_WANT_CONNECT) != 0); /* at once */
    conn_judge_hung_up(w, w->reports != reports);
}

static void act_close(world *w)
{
    static const rlk_result why[] = {RLK_E_EOF, RLK_E_IO, RLK_E_CONNECT, RLK_OK};

    conn_judge_changes(w);
    close_stream(w, why[fuzz_below(w->input, 4)]);
}

/* Does what the connection wants done, answers all, until nothing moves. */
static void act_serve(world *w)
{
    unsigned rounds;

    for (rounds = 0; rounds < 40; rounds++) {
        if ((rlk_conn_wants(&w->conn) & RLK_WANT_CLOSE) != 0)
            rlk_conn_closed(&w->conn, RLK_OK, 0, w->now_ms);
        if ((rlk_conn_wants(&w->conn) & RLK_WANT_WRITE) != 0)
            act_take(w, SIZE_MAX);
        else if (w->honest < w->commands_len)
            act_answer(w);
        else
            return;
    }
}

static void act_reset(world *w)
{
    rlk_conn_state state = rlk_conn_get_state(&w->conn);

    rlk_conn_reset(&w->conn, w->now_ms);
    if (state == RLK_CONN_WAITING || state == RLK_CONN_FATAL)
        conn_judge_reset(w);
}

static void act_time(world *w)
{
    static const int64_t steps[] = {0, 1, 10, 100, 1000, 2000, 5000, 100000};

    w->now_ms += steps[fuzz_below(w->input, 8)];
    rlk_conn_tick(&w->conn, w->now_ms);
}

/* ---- After each step --------------------------------------------------------------------- */

static void check(world *w)
{
    const rlk_conn *conn = &w->conn;
    int64_t deadline_ms = rlk_conn_deadline(conn);
    unsigned wants = rlk_conn_wants(conn);
    rlk_conn_state state = rlk_conn_get_state(conn);
    unsigned i;

    rlk_conn_tick(&w->conn, w->now_ms);
    if (deadline_ms <= w->now_ms && rlk_conn_deadline(conn) <= w->now_ms)
        FUZZ_REQUIRE((rlk_conn_wants(conn) & (RLK_WANT_CONNECT | RLK_WANT_CLOSE)) != 0);
    if (state == RLK_CONN_CONNECTING || state == RLK_CONN_HANDSHAKE || conn->ring.used != 0)
        FUZZ_REQUIRE(deadline_ms <= w->now_ms + RLK_CONNECT_TIMEOUT_MS);
    if (state == RLK_CONN_READY && conn->ring.used == 0)
        FUZZ_REQUIRE(deadline_ms == RLK_NEVER);
    FUZZ_REQUIRE(state != RLK_CONN_WAITING ||
                 rlk_result_class(rlk_conn_result(conn)) != RLK_KIND_FATAL);
    if (state == RLK_CONN_FATAL || state == RLK_CONN_CLOSED)
        FUZZ_REQUIRE(deadline_ms == RLK_NEVER);
    FUZZ_REQUIRE((wants & RLK_WANT_READ) == 0 || (wants & RLK_WANT_CLOSE) == 0);
    FUZZ_REQUIRE(strlen(rlk_conn_text(conn)) < RLKI_CONN_TEXT);
    if (rlk_conn_get_state(conn) != RLK_CONN_HANDSHAKE)
        FUZZ_REQUIRE(!conn_holds(w->tx, w->config.tx_cap, PLAIN));
    for (i = 0; i < REQUESTS; i++) {
        const subject *s = &w->subjects[i];

        FUZZ_REQUIRE(s->awaits == (s->request.state != RLK_REQUEST_IDLE));
        FUZZ_REQUIRE(s->request.state != RLK_REQUEST_SENT || state == RLK_CONN_READY ||
                     rlk_conn_get_state(conn) != state);
    }
}

static void step(world *w)
{
    subject *s;

    switch (fuzz_below(w->input, 24)) {
    case 0:
        act_say(w);
        break;
    case 1:
    case 2:
        act_take(w, fuzz_byte(w->input));
        break;
    case 3:
    case 4:
    case 5:
        act_answer(w);
        break;
    case 6:
    case 7:
        act_answer_wrong(w);
        break;
    case 8:
    case 9:
        act_connect(w);
        break;
    case 10:
        act_close(w);
        break;
    case 11:
        act_time(w);
        break;
    case 12:
    case 13:
    case 14:
        s = &w->subjects[fuzz_below(w->input, REQUESTS)];
        conn_submit(w, s);
        break;
    case 15:
        s = &w->subjects[fuzz_below(w->input, REQUESTS)];
        conn_withdraw(w, s);
        break;
    case 16:
        rlk_conn_load_scripts(&w->conn, w->now_ms);
        break;
    case 17:
        act_reset(w);
        break;
    case 18:
        rlk_conn_hurry(&w->conn, w->now_ms);
        break;
    case 19:
        if (fuzz_below(w->input, 8) == 0)
            rlk_conn_close(&w->conn, w->now_ms);
        break;
    default:
        act_serve(w);
        break;
    }
    check(w);
}

/* ---- A world ----------------------------------------------------------------------------- */

static void configure(world *w)
{
    static const char *const urls[] = {"redis://h", "redis://:" PASSWORD "@h",
                                       "redis://user:" PASSWORD "@h/3", "unix:///s?db=1",
                                       "redis://default:" PASSWORD "@h/3"};
    static const char load[] = "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 1\r\n";
    static const char more[] = "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 2\r\n";
    static const char probe[] = "*3\r\n$7\r\nEVALSHA\r\n$1\r\n" CONN_DIGEST "\r\n$1\r\n0\r\n";
    static const rlk_conn_script scripts[][2] = {
        {{load, NULL, sizeof load - 1}, {more, NULL, sizeof more - 1}},
        {{load, probe, sizeof load - 1}, {more, NULL, sizeof more - 1}}};
    static const uint16_t caps[] = {0, 1, 16, 1024};
    rlk_conn_config *config = &w->config;
    unsigned flags = fuzz_byte(w->input);
    unsigned sizes = fuzz_byte(w->input);
    unsigned url = (flags & 3u) == 2 && (sizes & 0xc0u) == 0x40 ? 4 : flags & 3u;

    FUZZ_REQUIRE(rlk_url_parse(&config->url, urls[url]) == RLK_OK);
    config->client_name = (flags & 4u) != 0 ? "fuzzer" : NULL;
#ifdef RLK_RESP2_ONLY
    config->resp2_only = true; /* what the connection does without being asked */
#else
    config->resp2_only = (flags & 8u) != 0;
#endif
    config->no_tracking = (sizes & 0xc0u) == 0xc0;
    w->secret = url == 1 || url == 2 || url == 4 ? PLAIN : NULL;
    w->user = url == 2 ? "user" : NULL; /* `default` is nobody's name */
    config->scripts = scripts[flags >> 7];
    config->scripts_len = (uint8_t)((flags >> 4) % 3u);
    config->jitter_seed = flags;
    config->ring_len = (uint16_t)(RLK_CONN_RING_MIN + (sizes & 3u));
    config->tx_cap = RLK_CONN_TX_AUTH(7u, strlen(PLAIN)) + caps[(sizes >> 2) & 3u];
    config->rx_cap = RLK_CONN_RX_MIN + (size_t)caps[(sizes >> 4) & 3u];
    conn_layer(w, config);
}

static void allocate(world *w)
{
    rlk_conn_config *config = &w->config;

    w->tx = (uint8_t *)calloc(1, config->tx_cap);
    w->rx = (uint8_t *)calloc(1, config->rx_cap);
    w->ring = (rlk_conn_entry *)calloc(config->ring_len, sizeof *w->ring);
    if (w->tx == NULL || w->rx == NULL || w->ring == NULL)
        abort();
    config->tx = w->tx;
    config->rx = w->rx;
    config->ring = w->ring;
}

/* Whatever happened, an honest server and a good driver bring everything to its end. */
static void finish(world *w)
{
    unsigned i;

    conn_judge_changes(w);
    if (rlk_conn_get_state(&w->conn) != RLK_CONN_CLOSED) {
        close_stream(w, RLK_E_EOF);
        act_reset(w);
        act_connect(w); /* the input is at its end: zeros, which connect at once */
        if (rlk_conn_get_state(&w->conn) == RLK_CONN_CONNECTING)
            rlk_conn_connected(&w->conn, 0, NULL, w->now_ms);
        for (i = 0; i < 20; i++)
            act_serve(w);
        FUZZ_REQUIRE(rlk_conn_get_state(&w->conn) == RLK_CONN_READY);
        for (i = 0; i < REQUESTS; i++)
            FUZZ_REQUIRE(!w->subjects[i].awaits);
        check(w);
        rlk_conn_close(&w->conn, w->now_ms);
    }
    for (i = 0; i < REQUESTS; i++) {
        FUZZ_REQUIRE(w->subjects[i].request.state != RLK_REQUEST_SENT);
        conn_withdraw(w, &w->subjects[i]);
    }
    conn_judge_stream(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    fuzz_input input = {data, size};

    if (size > INPUT_MAX)
        return 0;
    memset(&w, 0, offsetof(world, shown_copy));
    w.input = &input;
    w.now_ms = START_MS;
    configure(&w);
    allocate(&w);
    FUZZ_REQUIRE(rlk_conn_init(&w.conn, &w.config, w.now_ms) == RLK_OK);
    while (input.left != 0)
        step(&w);
    finish(&w);
    free(w.tx);
    free(w.rx);
    free(w.ring);
    return 0;
}
