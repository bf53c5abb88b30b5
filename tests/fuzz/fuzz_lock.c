/* SPDX-License-Identifier: MIT
 *
 * A client and its locks over servers that lie: any answer to any command, at any time, cuts, time
 * that passes or jumps, calls of the user.
 *
 * Input: a byte of configuration, then steps: a byte that chooses one, and what it takes. Of the
 * first byte 128 to 159 mean that the servers notify of changes (CLIENT TRACKING), truly or out of
 * turn, and that locks renew in the background and campaign.
 *
 * What a server says may be wrong. But whatever it says:
 *   - an operation is RLK_OK only if a quorum of nodes has said yes to its own commands;
 *   - BUSY only if a node said that somebody else has the lock;
 *   - no lease is longer than what a quorum of nodes was asked for, from when it was asked, and an
 *     extend or renew that failed has lengthened none;
 *   - a renewal in the background is reported as done only if a quorum said yes to it, and as
 *     refused only if the lock is not held any more;
 *   - a lock that campaigns follows again after each loss that was pulled, until it resigns;
 *   - a token for which a release was sent to a node is never set there again;
 *   - each operation ends once, within its deadline and the settling time, and an acquire,
 *     extend or renew never well by an answer that is read at its deadline or later;
 *   - deadlines advance, and no command asks for a TTL of 0 or less (the harness checks);
 *   - once the servers are honest again all comes to rest, and locks work.
 */
#include "harness.h"
#include "input.h"
#include "resp_reader.h"

#include "../../src/lock/script.h"

#include <string.h>

#define INPUT_MAX  1024
#define LOCKS      3
#define TTL_MS     4000
#define LEDGER_MAX 256
#define LATE_MS    1  /* an end that comes while the queue position is handed on: the next tick */
#define LOOSE_MAX  12 /* the harness has room for what three more streams leave behind */

typedef struct subject {
    rlk_lock lock;
    rlk_holder holders[RLK_MAX_NODES];
    rlk_operation pending;
    int64_t try_ms;   /* end of the trying */
    int64_t limit_ms; /* when its result is due */
    int64_t valid_ms; /* lease when it began, 0 if none */
    unsigned began;   /* number of the last answer before it */
    unsigned renewed; /* the same of a renewal in the background: the last one that was reported */
    bool renews;
    bool leads;
} subject;

/* What a node has said of a token: numbers of the answers, 0 if there is none. */
typedef struct record {
    char token[RLK_TOKEN_MAX + 1];
    unsigned node;
    int64_t until_ms; /* asked for and granted, the latest */
    unsigned granted; /* to SET, raise */
    unsigned raised;
    unsigned checked; /* "ours" to anything */
    unsigned deleted;
    bool released; /* a release was seen */
} record;

static harness h;
static subject subjects[LOCKS];
static record ledger[LEDGER_MAX];
static unsigned ledger_len;
static unsigned answers;  /* counted */
static unsigned refused;  /* number of the last nil to a SET, or "not ours" */
static int64_t ticked_ms; /* last */
static int64_t slack_ms;  /* longest time without a tick so far */
static bool notifies;     /* the servers notify of changes */

/* ---- The ledger -------------------------------------------------------------------------- */

static record *find(unsigned node, const char *token)
{
    unsigned i;

    for (i = 0; i < ledger_len; i++)
        if (ledger[i].node == node && strcmp(ledger[i].token, token) == 0)
            return &ledger[i];
    if (ledger_len == LEDGER_MAX)
        return NULL;
    memset(&ledger[ledger_len], 0, sizeof ledger[0]);
    (void)snprintf(ledger[ledger_len].token, sizeof ledger[0].token, "%s", token);
    ledger[ledger_len].node = node;
    return &ledger[ledger_len++];
}

static unsigned quorum(void)
{
    return h.nodes / 2 + 1;
}

static void note_grant(record *r, const harness_command *command)
{
    r->granted = answers;
    r->checked = answers;
    if (r->until_ms < command->sent_ms + command->ms)
        r->until_ms = command->sent_ms + command->ms;
}

/* What the script returned, also where it had to use GET. */
static int64_t script_value(const resp_event *event)
{
    return event->value <= RLKI_BY_GET - RLKI_NOT_OURS ? RLKI_BY_GET - event->value : event->value;
}

/* Enters what this answer means for this command. */
static void note_answer(unsigned node, const harness_command *command, const resp_log *log,
                        const resp_event *event)
{
    record *r = find(node, command->token);
    bool integer = event->type == RLK_RESP_INTEGER;

    answers++;
    if (r == NULL)
        return;
    switch (command->kind) {
    case HARNESS_SET:
        if (event->type == RLK_RESP_SIMPLE && event->len == 2 &&
            memcmp(log->bytes + event->at, "OK", 2) == 0)
            note_grant(r, command);
        if (event->type == RLK_RESP_NULL && event->value == 0)
            refused = answers;
        break;
    case HARNESS_RAISE:
        if (integer && script_value(event) >= -1) {
            note_grant(r, command);
            r->raised = answers;
        }
        if (!integer || script_value(event) < -1)
            refused = answers; /* WRONGTYPE is such an answer, too */
        break;
    case HARNESS_CHECK:
        if (integer && script_value(event) >= -1)
            r->checked = answers;
        break;
    case HARNESS_RELEASE:
        if (integer && script_value(event) == 1)
            r->deleted = answers;
        break;
    default:
        break;
    }
}

/* Reads what waits at a node, once. */
static void read_queue(unsigned node)
{
    const harness_link *link = harness_link_of(&h, node);
    size_t i;

    for (i = 0; i < link->queue.len; i++) {
        const harness_command *command = &link->queue.commands[i];
        record *r = command->token[0] != '\0' ? find(node, command->token) : NULL;

        if (r == NULL)
            continue;
        if (command->kind == HARNESS_RELEASE)
            r->released = true;
        /* rule 3; in one stream, so that what comes later was sent later */
        FUZZ_REQUIRE(command->kind != HARNESS_SET || !r->released || r->deleted == 0);
    }
}

/* Nodes that gave the answer, after the one of this number. */
static unsigned count_since(const subject *s, size_t member, unsigned since)
{
    char token[RLK_TOKEN_MAX + 1];
    unsigned nodes = 0;
    unsigned i;

    if (rlk_lock_token(&s->lock, token, sizeof token) == 0)
        return 0;
    for (i = 0; i < h.nodes; i++) {
        const record *r = find(i, token);

        nodes += r == NULL || /* the ledger is full */
                 *(const unsigned *)(const void *)((const char *)r + member) > since;
    }
    return nodes;
}

/* ... since the operation began. */
static unsigned count(const subject *s, size_t member)
{
    return count_since(s, member, s->began);
}

/* The time up to which a quorum granted the token in use. */
static int64_t granted_until(const subject *s)
{
    char token[RLK_TOKEN_MAX + 1];
    int64_t until[RLK_MAX_NODES];
    unsigned i;
    unsigned k;

    (void)rlk_lock_token(&s->lock, token, sizeof token);
    for (i = 0; i < h.nodes; i++) {
        const record *r = find(i, token);
        int64_t own = r != NULL ? r->until_ms : RLK_NEVER;

        for (k = i; k > 0 && until[k - 1] < own; k--)
            until[k] = until[k - 1];
        until[k] = own;
    }
    return until[quorum() - 1];
}

/* ---- What must hold ---------------------------------------------------------------------- */

static void judge_ok(const subject *s, rlk_operation operation)
{
    switch (operation) {
    case RLK_OP_ACQUIRE:
        FUZZ_REQUIRE(rlk_is_held(&s->lock) || slack_ms > 0);
        FUZZ_REQUIRE(count(s, offsetof(record, granted)) >= quorum());
        break;
    case RLK_OP_EXTEND:
    case RLK_OP_RENEW:
        FUZZ_REQUIRE(count(s, offsetof(record, raised)) >= quorum());
        break;
    case RLK_OP_CHECK:
        FUZZ_REQUIRE(count(s, offsetof(record, checked)) >= quorum());
        break;
    case RLK_OP_RELEASE:
        FUZZ_REQUIRE(count(s, offsetof(record, deleted)) >= quorum());
        break;
    default:
        break;
    }
}

static void judge(const subject *s, rlk_operation operation, rlk_result result)
{
    if (result == RLK_OK)
        judge_ok(s, operation);
    if (result == RLK_BUSY)
        FUZZ_REQUIRE(refused > s->began);
    if (operation == RLK_OP_ACQUIRE || operation == RLK_OP_RELEASE)
        FUZZ_REQUIRE(result == RLK_OK || !rlk_is_held(&s->lock));
    if (operation == RLK_OP_RELEASE)
        FUZZ_REQUIRE(!rlk_is_held(&s->lock));
    if (!s->renews && !s->leads && (operation == RLK_OP_EXTEND || operation == RLK_OP_RENEW) &&
        result != RLK_OK && h.nodes == 1 && rlk_is_held(&s->lock))
        FUZZ_REQUIRE(h.now_ms + rlk_remaining_ms(&s->lock) <= s->valid_ms);
}

/* Events that are no results. */
static void take_word(subject *s, const rlk_event *event)
{
    bool held = rlk_is_held(&s->lock);

    FUZZ_REQUIRE(event->operation == RLK_OP_NONE);
    switch (event->type) {
    case RLK_EV_SETTLED:
        FUZZ_REQUIRE(!held && (event->result == RLK_OK || event->result == RLK_UNKNOWN));
        return;
    case RLK_EV_RENEWED:
        FUZZ_REQUIRE(s->renews || s->leads);
        FUZZ_REQUIRE(count_since(s, offsetof(record, raised), s->renewed) >= quorum());
        s->renewed = answers;
        return;
    case RLK_EV_RENEW_FAILED:
        FUZZ_REQUIRE(s->renews || s->leads);
        FUZZ_REQUIRE(!held || (event->result != RLK_NOT_OWNER && event->result != RLK_E_WRONGTYPE));
        FUZZ_REQUIRE(event->result == RLK_NOT_OWNER || event->result == RLK_UNKNOWN ||
                     event->result < 0);
        return;
    case RLK_EV_WAITING:
        FUZZ_REQUIRE(
            !held && s->pending == RLK_OP_ACQUIRE &&
            (event->result == RLK_BUSY || event->result == RLK_PENDING || event->result < 0));
        return;
    default:
        FUZZ_REQUIRE(event->type == RLK_EV_LOST && !held);
        return;
    }
}

/* A leader follows again automatically, once its loss was pulled. */
static void follow(subject *s)
{
    if (!s->leads || s->pending != RLK_OP_NONE || rlk_lock_operation(&s->lock) != RLK_OP_ACQUIRE)
        return;
    s->pending = RLK_OP_ACQUIRE;
    s->began = answers;
    s->try_ms = RLK_FOREVER / 2;
    s->limit_ms = s->try_ms;
}

static void take_event(const rlk_event *event)
{
    subject *s = (subject *)event->user;

    FUZZ_REQUIRE(event->lock == &s->lock);
    if (event->type > RLK_EV_RESULT) {
        take_word(s, event);
        follow(s);
        return;
    }
    FUZZ_REQUIRE(event->operation == s->pending && s->pending != RLK_OP_NONE);
    FUZZ_REQUIRE(h.now_ms <= s->limit_ms + 2 * slack_ms + LATE_MS);
    s->pending = RLK_OP_NONE;
    FUZZ_REQUIRE((event->type == RLK_EV_ACQUIRED) ==
                 (event->operation == RLK_OP_ACQUIRE && event->result == RLK_OK));
    if (event->result == RLK_OK &&
        (event->operation == RLK_OP_ACQUIRE || event->operation == RLK_OP_EXTEND ||
         event->operation == RLK_OP_RENEW))
        FUZZ_REQUIRE(h.now_ms < s->try_ms);
    judge(s, event->operation, event->result);
    s->renewed = answers;
    if (event->operation == RLK_OP_ACQUIRE && event->result != RLK_OK)
        s->leads = false;
    follow(s);
}

static void check(void)
{
    rlk_event event;
    unsigned i;

    harness_run(&h);
    for (i = 0; i < h.nodes; i++) {
        read_queue(i);
        while (harness_link_of(&h, i)->loose.len > LOOSE_MAX)
            (void)harness_execute_loose(harness_link_of(&h, i));
    }
    while (rlk_client_next_event(h.client, &event))
        take_event(&event);
    for (i = 0; i < LOCKS; i++) {
        const subject *s = &subjects[i];

        FUZZ_REQUIRE(rlk_lock_operation(&s->lock) == s->pending);
        FUZZ_REQUIRE(s->pending == RLK_OP_NONE || h.now_ms <= s->limit_ms + 2 * slack_ms + LATE_MS);
        if (rlk_is_held(&s->lock))
            FUZZ_REQUIRE(h.now_ms + rlk_remaining_ms(&s->lock) < granted_until(s));
        else
            FUZZ_REQUIRE(rlk_remaining_ms(&s->lock) == 0);
    }
}

/* ---- The user ---------------------------------------------------------------------------- */

static void open_subject(subject *s, fuzz_input *input)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = TTL_MS;
    config.node_timeout_ms = 1 + 4 * (int64_t)fuzz_byte(input);
    config.user = s;
    if (notifies) {
        unsigned more = fuzz_byte(input);

        config.auto_renew = (more & 1u) != 0;
        config.max_hold_ms = (more & 2u) != 0 ? TTL_MS * 2 : 0;
        config.recheck_max_ms = (more & 4u) != 0 ? 100 : 0;
        config.holders = (more & 8u) != 0 ? s->holders : NULL;
    }
    s->renews = config.auto_renew;
    s->leads = false;
    s->renewed = answers;
    FUZZ_REQUIRE(rlk_lock_init(&s->lock, h.client, s == subjects ? "other" : HARNESS_KEY,
                               &config) == RLK_OK);
    s->pending = RLK_OP_NONE;
}

/* A call reads the clock, and may end what was under way before it begins its own. */
static void before_call(subject *s)
{
    rlk_client_tick(h.client);
    ticked_ms = h.now_ms;
    check();
    if (s->pending != RLK_OP_NONE)
        return;
    s->began = answers;
    s->valid_ms = rlk_is_held(&s->lock) ? h.now_ms + rlk_remaining_ms(&s->lock) : 0;
}

static void after_call(subject *s, rlk_operation operation, rlk_result result, int64_t time_ms)
{
    if (s->pending != RLK_OP_NONE) {
        FUZZ_REQUIRE(result == RLK_E_STATE);
        return;
    }
    if (operation == RLK_OP_RELEASE && result != RLK_E_STATE)
        s->leads = false;
    if (result == RLK_PENDING) {
        s->pending = operation;
        s->try_ms = time_ms == RLK_FOREVER ? RLK_FOREVER / 2 : h.now_ms + time_ms;
        s->limit_ms = s->try_ms + (operation == RLK_OP_ACQUIRE ? RLK_SETTLE_TIMEOUT_MS : 0);
    } else if (result != RLK_OK && result != RLK_E_STATE) { /* OK: a renew that shortens */
        judge(s, operation, result);
    }
}

static void act_acquire(subject *s, fuzz_input *input)
{
    static const int64_t waits[] = {RLK_TRY, RLK_FOREVER, 1, 300, 3000};
    int64_t wait_ms = waits[fuzz_below(input, COUNT_OF(waits))];
    int64_t time_ms = wait_ms == RLK_TRY ? RLK_OPERATION_TIMEOUT_MS : wait_ms;

    after_call(s, RLK_OP_ACQUIRE, rlk_acquire_start(&s->lock, wait_ms), time_ms);
}

static void act_lead(subject *s)
{
    bool free = s->pending == RLK_OP_NONE;
    rlk_result result = rlk_campaign_start(&s->lock);

    after_call(s, RLK_OP_ACQUIRE, result, RLK_FOREVER);
    if (free && result == RLK_PENDING)
        s->leads = true;
}

static void act_resign(subject *s)
{
    bool follows = s->pending == RLK_OP_ACQUIRE;
    rlk_result result = rlk_resign_start(&s->lock);

    if (!follows) {
        after_call(s, RLK_OP_RELEASE, result, RLK_OPERATION_TIMEOUT_MS);
        return;
    }
    s->leads = false;
    if (result == RLK_PENDING) {
        if (s->limit_ms > h.now_ms + RLK_SETTLE_TIMEOUT_MS)
            s->limit_ms = h.now_ms + RLK_SETTLE_TIMEOUT_MS;
        return;
    }
    s->pending = RLK_OP_NONE;
    FUZZ_REQUIRE(result != RLK_OK);
    judge(s, RLK_OP_ACQUIRE, result);
}

static void act_cancel(subject *s)
{
    rlk_result result = rlk_cancel(&s->lock);

    if (s->pending == RLK_OP_ACQUIRE)
        s->leads = false;
    FUZZ_REQUIRE(result == (s->pending == RLK_OP_NONE ? RLK_NOT_HELD : RLK_OK));
    if (s->pending != RLK_OP_NONE && s->limit_ms > h.now_ms + RLK_SETTLE_TIMEOUT_MS)
        s->limit_ms = h.now_ms + RLK_SETTLE_TIMEOUT_MS;
}

static void act_close(subject *s, fuzz_input *input)
{
    bool held = rlk_is_held(&s->lock);
    rlk_result result = rlk_lock_close(&s->lock);

    FUZZ_REQUIRE(result == RLK_UNKNOWN || (result == RLK_OK && !held));
    open_subject(s, input);
}

static void act_user(fuzz_input *input)
{
    subject *s = &subjects[fuzz_below(input, LOCKS)];

    before_call(s);
    switch (fuzz_below(input, notifies ? 18 : 14)) {
    case 3:
    case 4:
        after_call(s, RLK_OP_RELEASE, rlk_release_start(&s->lock), RLK_OPERATION_TIMEOUT_MS);
        break;
    case 5:
    case 6:
        after_call(s, RLK_OP_RENEW, rlk_renew_start(&s->lock, 1400 + 20 * fuzz_byte(input)),
                   RLK_OPERATION_TIMEOUT_MS);
        break;
    case 7:
        after_call(s, RLK_OP_EXTEND, rlk_extend_start(&s->lock, 1 + 10 * fuzz_byte(input)),
                   RLK_OPERATION_TIMEOUT_MS);
        break;
    case 8:
        after_call(s, RLK_OP_CHECK, rlk_check_start(&s->lock), RLK_OPERATION_TIMEOUT_MS);
        break;
    case 9:
        after_call(s, RLK_OP_QUERY, rlk_query_start(&s->lock, s->holders, RLK_MAX_NODES),
                   RLK_OPERATION_TIMEOUT_MS);
        break;
    case 10:
        after_call(s, RLK_OP_FORCE_RELEASE, rlk_force_release_start(&s->lock),
                   RLK_OPERATION_TIMEOUT_MS);
        break;
    case 11:
        act_cancel(s);
        break;
    case 12:
        act_close(s, input);
        break;
    case 14:
    case 15:
        act_lead(s);
        break;
    case 16:
        act_resign(s);
        break;
    default:
        act_acquire(s, input);
        break;
    }
}

/* ---- The servers ------------------------------------------------------------------------- */

/* Puts a push among the server's answers. */
static void push(unsigned node)
{
    harness_link *link = harness_link_of(&h, node);

    while (link->up && harness_head(link) != NULL && harness_head(link)->executed &&
           harness_head(link)->reply[0] == '>') {
        char text[sizeof harness_head(link)->reply];

        memcpy(text, harness_head(link)->reply, sizeof text);
        harness_shift(&link->queue);
        harness_say(link, text, strlen(text));
    }
}

/* Bytes that count as answers to the oldest commands, as far as they are any; what breaks off, or
 * is malformed, is the end of the stream. */
static void answer(unsigned node, const void *bytes, size_t len)
{
    harness_link *link = harness_link_of(&h, node);
    resp_log log;
    size_t i;

    push(node);
    if (!link->up)
        return;
    read_queue(node);
    memset(&log, 0, sizeof log);
    resp_reader_read(&log, (const uint8_t *)bytes, len);
    for (i = 0; i < log.count && harness_head(link) != NULL; i++) {
        const resp_event *event = &log.events[i];

        if (event->depth != 0 || event->type == RLK_RESP_END ||
            (event->flags & (RLK_RESP_IN_ATTRIBUTE | RLK_RESP_IN_PUSH)) != 0)
            continue;
        note_answer(node, harness_head(link), &log, event);
        harness_shift(&link->queue);
    }
    harness_say(link, bytes, len);
    if (log.outcome != RESP_COMPLETE)
        harness_cut_link(link);
    resp_log_free(&log);
}

static void answer_text(unsigned node, const char *text)
{
    answer(node, text, strlen(text));
}

/* Executes, and says so. */
static void act_honest(unsigned node)
{
    char reply[sizeof((harness_command *)0)->reply];
    harness_link *link = harness_link_of(&h, node);

    push(node);
    if (harness_head(link) == NULL)
        return;
    if (!harness_head(link)->executed)
        (void)harness_execute(link);
    memcpy(reply, harness_head(link)->reply, sizeof reply);
    answer_text(node, reply);
}

static void act_lie(fuzz_input *input, unsigned node)
{
    static const char *const lies[] = {HARNESS_OK,
                                       HARNESS_NIL,
                                       HARNESS_NOT_OURS,
                                       HARNESS_READONLY,
                                       HARNESS_NOSCRIPT,
                                       HARNESS_WRONGTYPE,
                                       HARNESS_NOPERM,
                                       ":0\r\n",
                                       ":1\r\n",
                                       ":-1\r\n",
                                       ":-2\r\n",
                                       ":9223372036854775807\r\n",
                                       ":4000\r\n",
                                       "-LOADING wait\r\n",
                                       "-MOVED 1 127.0.0.1:1\r\n",
                                       "-ERR what\r\n",
                                       ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
                                       "$2\r\nxy\r\n",
                                       "*2\r\n+OK\r\n:1\r\n",
                                       "|1\r\n+a\r\n:1\r\n+OK\r\n",
                                       "+NO\r\n",
                                       "$2\r\nOK\r\n",
                                       "#t\r\n",
                                       "%0\r\n",
                                       ":-98\r\n",
                                       ":-101\r\n",
                                       ":-4100\r\n",
                                       "*-1\r\n",
                                       "-MASTERDOWN Link with MASTER is down\r\n",
                                       "-NOAUTH Authentication required.\r\n",
                                       "-ERR unknown command\r\n"};

    answer_text(node, lies[fuzz_below(input, COUNT_OF(lies))]);
}

/* Of a key, of another one, of any; or the key goes by another's doing. */
static void act_push(fuzz_input *input, unsigned node)
{
    static const char *const pushes[] = {">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
                                         ">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nother\r\n",
                                         ">2\r\n$10\r\ninvalidate\r\n_\r\n"};
    unsigned which = fuzz_below(input, COUNT_OF(pushes) + 1);
    harness_link *link = harness_link_of(&h, node);

    if (which < COUNT_OF(pushes) && link->up)
        harness_say(link, pushes[which], strlen(pushes[which]));
    else if (which == COUNT_OF(pushes) && harness_find(&h, link->server, HARNESS_KEY) != NULL)
        harness_delete(&h, node, HARNESS_KEY);
}

static void act_bytes(fuzz_input *input, unsigned node)
{
    const uint8_t *bytes;
    size_t len = fuzz_bytes(input, 1u + fuzz_below(input, 64), &bytes);

    answer(node, bytes, len);
}

static void act_mood(fuzz_input *input, unsigned node)
{
    harness_link *link = harness_link_of(&h, node);
    unsigned mood = fuzz_byte(input);

    link->server->refuses = (mood & 0x03u) == 1;
    link->server->swallows = (mood & 0x03u) == 2;
    link->server->mute = (mood & 0x0cu) == 4;
    link->stuck = (mood & 0x30u) == 0x10;
    link->server->no_ids = (mood & 0x40u) != 0;
    link->server->kill_result = (mood & 0x80u) == 0;
}

/* Another product, a proxy, or another configuration. */
static void act_product(fuzz_input *input, unsigned node)
{
    harness_server *server = harness_link_of(&h, node)->server;
    unsigned product = fuzz_byte(input);

    server->no_hello = (product & 0x03u) == 1;
    server->array = (product & 0x03u) == 2;
    server->dragonfly = (product & 0x03u) == 3;
    server->no_load = (product & 0x04u) != 0;
    server->wants_key = (product & 0x08u) != 0;
    server->no_getex = (product & 0x10u) != 0;
    server->silent = (product & 0x20u) != 0;
    server->script = server->script && (product & 0xc0u) == 0;
}

static void act_server(fuzz_input *input)
{
    unsigned choice = fuzz_byte(input);
    unsigned node = (choice >> 4) % h.nodes;

    switch (choice & 15u) {
    case 0:
        act_bytes(input, node);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        act_lie(input, node);
        break;
    case 5:
        harness_cut_link(harness_link_of(&h, node));
        break;
    case 6:
        (void)harness_execute_loose(harness_link_of(&h, node));
        break;
    case 7:
        act_mood(input, node);
        break;
    case 8: /* executed, and the answer never comes */
        (void)harness_execute(harness_link_of(&h, node));
        harness_cut_link(harness_link_of(&h, node));
        break;
    case 10:
        if (notifies)
            act_push(input, node);
        else
            act_honest(node);
        break;
    case 11:
        act_product(input, node);
        break;
    case 9:
        for (node = 0; node < h.nodes; node++)
            act_honest(node);
        break;
    default:
        act_honest(node);
        break;
    }
}

/* ---- Time -------------------------------------------------------------------------------- */

/* Lets time pass, and judges each event when it comes. */
static void pass(int64_t ms)
{
    int64_t end_ms = h.now_ms + ms;
    rlk_event event;

    while (harness_next_event(&h, &event, end_ms - h.now_ms)) {
        take_event(&event);
        check();
    }
    ticked_ms = h.now_ms;
}

static void act_time(fuzz_input *input)
{
    static const int64_t steps[] = {0, 1, 10, 50, 250, 700, 1500, 4000};
    unsigned choice = fuzz_byte(input);
    int64_t ms = steps[choice & 7u];

    if ((choice >> 3) != 1) {
        pass(ms);
        return;
    }
    h.now_ms += ms; /* the process stands still: input comes before the tick */
    if (h.now_ms - ticked_ms > slack_ms)
        slack_ms = h.now_ms - ticked_ms;
}

/* ---- One input --------------------------------------------------------------------------- */

static void begin(fuzz_input *input)
{
    static const unsigned sizes[] = {1, 3, 5, 2};
    unsigned first = fuzz_byte(input);
    unsigned nodes;
    unsigned i;

    memset(&h.config, 0, sizeof h.config);
    h.random = 1;
    ledger_len = 0;
    answers = 0;
    refused = 0;
    slack_ms = 0;
    ticked_ms = HARNESS_START;
    nodes = sizes[first % COUNT_OF(sizes)];
    notifies = first >> 5 == 4;
    harness_open(&h, nodes < RLK_MAX_NODES ? nodes : RLK_MAX_NODES, 1);
    for (i = 0; i < h.nodes; i++)
        h.servers[i].tracking = notifies;
    for (i = 0; i < LOCKS; i++)
        open_subject(&subjects[i], input);
}

/* Honest servers, and time: everything comes to rest, and works. */
static void end(void)
{
    unsigned i;

    for (i = 0; i < h.nodes; i++) {
        harness_link *link = harness_link_of(&h, i);

        while (harness_execute_loose(link)) {
        }
        harness_cut_link(link);
        link->loose.len = 0;
        link->stuck = false;
        link->server->refuses = false;
        link->server->swallows = false;
        link->server->mute = false;
        link->server->automatic = true;
    }
    FUZZ_REQUIRE(rlk_client_reset(h.client) == RLK_OK);
    for (i = 0; i < LOCKS; i++) {
        (void)rlk_cancel(&subjects[i].lock);
        (void)rlk_lock_close(&subjects[i].lock);
    }
    harness_advance(&h, INT64_C(60000));
    for (i = 0; i < LOCKS; i++) {
        rlk_lock *lock = &subjects[i].lock;

        FUZZ_REQUIRE(rlk_lock_init(lock, h.client, "last", NULL) == RLK_OK);
        FUZZ_REQUIRE(rlk_acquire(lock, RLK_TRY) == RLK_OK);
        FUZZ_REQUIRE(rlk_release(lock) == RLK_OK);
        FUZZ_REQUIRE(rlk_lock_close(lock) == RLK_OK);
    }
    FUZZ_REQUIRE(rlk_client_deadline(h.client) == RLK_NEVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};

    if (size > INPUT_MAX)
        return 0;
    begin(&input);
    while (input.left != 0 && ledger_len < LEDGER_MAX) {
        switch (fuzz_below(&input, 8)) {
        case 0:
        case 1:
            act_user(&input);
            break;
        case 2:
            act_time(&input);
            break;
        default:
            act_server(&input);
            break;
        }
        check();
    }
    end();
    return 0;
}
