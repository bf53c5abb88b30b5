/* SPDX-License-Identifier: MIT
 *
 * Of fuzz_conn: the rules of the handshake, once more, and whole: from the configuration and the
 * replies so far follow the command that comes next, word by word, and what a reply makes of the
 * attempt. Where a reply has strings that the engine may see in pieces, nothing more is judged.
 */
#include "conn_world.h"

#include <string.h>

enum {
    STEP_HELLO,
    STEP_AUTH,
    STEP_SETNAME,
    STEP_TRACKING,
    STEP_ID,
    STEP_SELECT,
    STEP_INFO,
    STEP_KILL,
    STEP_LOAD,
    STEP_PROBE,
    STEP_EVAL,
    STEP_END
};

static bool may_eval(const world *w)
{
    return w->config.scripts_len != 0 && w->config.scripts[0].probe != NULL;
}

/* ---- The fence --------------------------------------------------------------------------- */

conn_kill conn_judge_kill(const peer *old, const peer *fresh)
{
    if (old->run_id != 0 && fresh->run_id != 0) {
        if (old->run_id != fresh->run_id)
            return old->address == fresh->address ? KILL_NOBODY : KILL_IMPOSSIBLE;
        return old->id != 0 ? KILL_ID : KILL_IMPOSSIBLE;
    }
    return old->id != 0 && old->local[0] != '\0' ? KILL_ID_ADDRESS : KILL_IMPOSSIBLE;
}

static bool put_kill(const world *w, const handshake *s, char *text, size_t cap)
{
    const peer *old = &w->old;

    switch (conn_judge_kill(old, &s->self)) {
    case KILL_ID:
        (void)snprintf(text, cap, "CLIENT KILL ID %llu", (unsigned long long)old->id);
        return true;
    case KILL_ID_ADDRESS:
        if (s->dragonfly)
            (void)snprintf(text, cap, "CLIENT KILL ADDR %s", old->local);
        else
            (void)snprintf(text, cap, "CLIENT KILL ID %llu ADDR %s", (unsigned long long)old->id,
                           old->local);
        return true;
    default:
        return false;
    }
}

/* ---- Which command comes next ------------------------------------------------------------ */

static bool put_hello(const world *w, char *text, size_t cap)
{
    (void)snprintf(text, cap, "HELLO 3%s%s%s%s%s", w->secret != NULL ? " AUTH " : "",
                   w->secret == NULL ? ""
                   : w->user != NULL ? w->user
                                     : "default",
                   w->secret != NULL ? " " PLAIN : "",
                   w->config.client_name != NULL ? " SETNAME " : "",
                   w->config.client_name != NULL ? w->config.client_name : "");
    return true;
}

static bool put_auth(const world *w, const handshake *s, char *text, size_t cap)
{
    if (s->took_hello || w->secret == NULL)
        return false;
    (void)snprintf(text, cap, "AUTH %s%s" PLAIN, w->user != NULL ? w->user : "",
                   w->user != NULL ? " " : "");
    return true;
}

static bool put_eval(const handshake *s, char *text, size_t cap)
{
    (void)snprintf(text, cap, "EVAL return 1 %s", s->keyless ? "0" : "1 resplock");
    return true;
}

/* Steps that a plain attempt leaves out. */
static bool is_extra(unsigned step)
{
    return step == STEP_HELLO || step == STEP_SETNAME || step == STEP_TRACKING || step == STEP_ID ||
           step == STEP_INFO || step == STEP_KILL || step == STEP_PROBE;
}

/* The command of this step; false: it is left out. due: the one before may have left something. */
static bool put_step(const world *w, const handshake *s, bool due, char *text, size_t cap)
{
    const char *name = w->config.client_name;

    if (s->plain && is_extra(s->step))
        return false;
    switch (s->step) {
    case STEP_HELLO:
        return !w->config.resp2_only && put_hello(w, text, cap);
    case STEP_AUTH:
        return put_auth(w, s, text, cap);
    case STEP_SETNAME:
        (void)snprintf(text, cap, "CLIENT SETNAME %s", name != NULL ? name : "");
        return !s->took_hello && name != NULL;
    case STEP_TRACKING:
        (void)snprintf(text, cap, "CLIENT TRACKING ON%s", s->dragonfly ? "" : " NOLOOP");
        return s->protocol == 3 && !w->config.no_tracking;
    case STEP_ID:
        (void)snprintf(text, cap, "CLIENT ID");
        return s->self.id == 0;
    case STEP_SELECT:
        (void)snprintf(text, cap, "SELECT %u", (unsigned)w->config.url.db);
        return w->config.url.db != 0;
    case STEP_INFO:
        (void)snprintf(text, cap, "INFO server");
        return true;
    case STEP_KILL:
        return due && put_kill(w, s, text, cap);
    case STEP_LOAD:
        (void)snprintf(text, cap, "SCRIPT LOAD return %u", s->loads + 1);
        return s->loads < w->config.scripts_len && !(s->plain && may_eval(w));
    case STEP_PROBE:
        (void)snprintf(text, cap, "EVALSHA " CONN_DIGEST " 0");
        return may_eval(w);
    default: /* STEP_EVAL */
        return may_eval(w) && s->no_load && !s->evalsha && put_eval(s, text, cap);
    }
}

/* It may leave while `unanswered` commands before it are, of `sent`. */
static bool may_leave(const world *w, const handshake *s, unsigned sent)
{
    bool barrier = s->step == STEP_AUTH || s->step == STEP_KILL || s->step == STEP_EVAL;
    bool greets = !w->config.resp2_only && !s->plain; /* all wait for the reply to HELLO */

    return s->unanswered == 0 || (!barrier && !(greets && s->unanswered == sent));
}

/* ---- What a reply says ------------------------------------------------------------------- */

static bool is_error(const resp_event *e)
{
    return e->type == RLK_RESP_ERROR || e->type == RLK_RESP_BLOB_ERROR;
}

static bool may_be_in_pieces(const resp_event *e)
{
    return e->value < 0 || e->len > RLK_CONN_RX_MIN - 2;
}

static bool is_text(const resp_log *log, const resp_event *e, const char *text)
{
    return e->len == strlen(text) && memcmp(log->bytes + e->at, text, e->len) == 0;
}

static bool begins(const resp_log *log, const resp_event *e, const char *text)
{
    return e->len >= strlen(text) && memcmp(log->bytes + e->at, text, strlen(text)) == 0;
}

static void take_hello_pair(handshake *s, const resp_log *log, const resp_event *key,
                            const resp_event *value)
{
    bool number = value->type == RLK_RESP_INTEGER;

    if (is_text(log, key, "id") && number && value->value > 0)
        s->self.id = (uint64_t)value->value;
    if (is_text(log, key, "proto") && number && value->value == 2)
        s->protocol = 2;
    if (is_text(log, key, "mode")) {
        s->sentinel |= is_text(log, value, "sentinel");
        s->cluster |= is_text(log, value, "cluster");
    }
    if (is_text(log, key, "role"))
        s->replica |= is_text(log, value, "replica") || is_text(log, value, "slave");
}

static bool is_string_type(rlk_resp_type type)
{
    return type != RLK_RESP_INTEGER && type != RLK_RESP_NULL && type != RLK_RESP_BOOLEAN &&
           type != RLK_RESP_ARRAY && type != RLK_RESP_MAP && type != RLK_RESP_SET;
}

/* Elements at depth 1 in turn: key, value. Keys of Dragonfly have a meaning without a value. */
static void take_hello(handshake *s, const resp_log *log, const resp_event *answer)
{
    const resp_event *key = NULL;
    const resp_event *e;

    for (e = answer + 1; e < log->events + log->count && e->depth > 0; e++) {
        if (e->depth != 1 || e->type == RLK_RESP_END ||
            (e->flags & (RLK_RESP_IN_ATTRIBUTE | RLK_RESP_IN_PUSH)) != 0)
            continue;
        s->vague |= is_string_type(e->type) && may_be_in_pieces(e);
        if (key != NULL)
            take_hello_pair(s, log, key, e);
        else if (is_text(log, e, "dfly_version") || is_text(log, e, "dragonfly_version"))
            s->dragonfly = true;
        key = key == NULL ? e : NULL;
    }
    s->took_hello = true;
    if (s->protocol == 0)
        s->protocol = answer->type == RLK_RESP_MAP ? 3 : 2;
}

static int digit(uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = byte != 0 ? strchr(digits, byte) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* The value behind "run_id:": its last 16 digits, 0 unless it has 40. */
static uint64_t read_run_id(const uint8_t *text, size_t len)
{
    uint64_t id = 0;
    size_t i;

    for (i = 0; i < 40; i++) {
        if (i == len || digit(text[i]) < 0)
            return 0;
        id = id << 4 | (unsigned)digit(text[i]);
    }
    return id;
}

static bool is_line(const uint8_t *line, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(line, text, len) == 0;
}

static void take_info_line(handshake *s, const uint8_t *line, size_t len)
{
    static const char run_id[] = "run_id:";
    bool foreign = s->took_hello && s->protocol == 2; /* a proxy's own is not believed */
    size_t n = sizeof run_id - 1;

    s->cluster |= is_line(line, len, "redis_mode:cluster");
    s->cluster |= is_line(line, len, "server_mode:cluster");
    s->sentinel |= is_line(line, len, "redis_mode:sentinel");
    s->sentinel |= is_line(line, len, "server_mode:sentinel");
    if (!foreign && len >= n && memcmp(line, run_id, n) == 0)
        s->self.run_id = read_run_id(line + n, len - n);
}

/* Line by line. */
static void take_info(handshake *s, const resp_log *log, const resp_event *e)
{
    const uint8_t *text = log->bytes + e->at;
    size_t begin = 0;
    size_t i;

    if (e->type != RLK_RESP_BULK && e->type != RLK_RESP_VERBATIM)
        return;
    for (i = 0; i <= e->len; i++) {
        if (i < e->len && text[i] >= ' ')
            continue;
        take_info_line(s, text + begin, i - begin);
        begin = i + 1;
    }
}

/* ---- What it makes of the attempt -------------------------------------------------------- */

static bool is_simple(const resp_event *e)
{
    return e->type == RLK_RESP_SIMPLE;
}

static rlk_result judge_hello(handshake *s, const resp_log *log, const resp_event *e,
                              rlk_result error)
{
    switch (error) {
    case RLK_E_LOADING:
    case RLK_E_SCRIPT_BUSY:
    case RLK_E_MASTERDOWN:
    case RLK_E_PROTECTED:
    case RLK_E_SERVER_FULL:
        return error;
    case RLK_OK:
        break;
    default:
        s->protocol = 2;
        return begins(log, e, "WRONGPASS ") || is_text(log, e, "WRONGPASS") ? RLK_E_AUTH : RLK_OK;
    }
    if (e->type != RLK_RESP_MAP && e->type != RLK_RESP_ARRAY)
        return RLK_E_UNEXPECTED;
    take_hello(s, log, e);
    return s->sentinel ? RLK_E_SENTINEL : RLK_OK;
}

static rlk_result judge_needed(const resp_event *e, rlk_result error)
{
    if (error != RLK_OK)
        return error;
    return is_simple(e) ? RLK_OK : RLK_E_UNEXPECTED;
}

static rlk_result judge_auth(const world *w, handshake *s, const resp_event *e, rlk_result error)
{
    s->named = w->user != NULL;
    if (error == RLK_E_SERVER)
        return w->user != NULL ? RLK_E_USER : RLK_E_AUTH;
    return judge_needed(e, error);
}

static rlk_result judge_select(const resp_event *e, rlk_result error)
{
    if (error == RLK_E_SERVER || error == RLK_E_UNSUPPORTED)
        return RLK_E_DATABASE;
    return judge_needed(e, error);
}

static rlk_result judge_load(const world *w, handshake *s, const resp_event *e, rlk_result error)
{
    if (error == RLK_OK)
        return e->type == RLK_RESP_BULK ? RLK_OK : RLK_E_UNEXPECTED;
    if (may_eval(w) &&
        (error == RLK_E_UNSUPPORTED || error == RLK_E_NOPERM || error == RLK_E_SERVER)) {
        s->no_load = true;
        return RLK_OK;
    }
    return error;
}

static rlk_result judge_probe(handshake *s, rlk_result error)
{
    switch (error) {
    case RLK_OK:
        s->evalsha = true;
        return RLK_OK;
    case RLK_E_UNSUPPORTED:
    case RLK_E_NOPERM:
        return s->no_load ? RLK_OK : error;
    case RLK_E_LOADING:
    case RLK_E_SCRIPT_BUSY:
    case RLK_E_MASTERDOWN:
        return error;
    default:
        s->keyless |= error == RLK_E_NOSCRIPT && s->no_load;
        return RLK_OK;
    }
}

/* Nobody of that id can send any more; nobody of that id and address may be the wrong address. */
static void judge_killed(const world *w, handshake *s, const resp_log *log, const resp_event *e)
{
    bool by_id = conn_judge_kill(&w->old, &s->self) == KILL_ID;

    if (e->type == RLK_RESP_INTEGER)
        s->fenced |= e->value == 1 || (e->value == 0 && by_id);
    else if (is_error(e))
        s->fenced |= by_id && begins(log, e, "ERR No such client");
}

static bool is_final(rlk_result error)
{
    return error == RLK_E_AUTH || error == RLK_E_NOAUTH || error == RLK_E_PROTECTED ||
           error == RLK_E_SERVER_FULL;
}

/* RLK_OK: the handshake goes on. */
static rlk_result judge_reply(const world *w, handshake *s, const resp_log *log,
                              const resp_event *e)
{
    rlk_result error = is_error(e) ? rlk_server_error(log->bytes + e->at, e->len) : RLK_OK;

    s->vague |= is_error(e) && may_be_in_pieces(e);
    if (s->step != STEP_HELLO && is_final(error))
        return error == RLK_E_NOAUTH ? RLK_E_AUTH : error;
    switch (s->step) {
    case STEP_HELLO:
        return judge_hello(s, log, e, error);
    case STEP_AUTH:
        return judge_auth(w, s, e, error);
    case STEP_TRACKING:
        s->tracking = is_simple(e);
        return RLK_OK;
    case STEP_ID:
        if (e->type == RLK_RESP_INTEGER && e->value > 0)
            s->self.id = (uint64_t)e->value;
        return RLK_OK;
    case STEP_SELECT:
        return judge_select(e, error);
    case STEP_INFO:
        take_info(s, log, e);
        s->fenced |= conn_judge_kill(&w->old, &s->self) == KILL_NOBODY;
        return s->sentinel ? RLK_E_SENTINEL : RLK_OK;
    case STEP_KILL:
        judge_killed(w, s, log, e);
        return RLK_OK;
    case STEP_LOAD:
        return judge_load(w, s, e, error);
    case STEP_PROBE:
        return judge_probe(s, error);
    case STEP_EVAL:
        return error != RLK_OK && s->plain ? RLK_E_SERVER : error;
    default: /* STEP_SETNAME */
        return RLK_OK;
    }
}

/* ---- All of it --------------------------------------------------------------------------- */

/* Goes to the step whose command this is. Only of an EVAL the beginning alone may be shown. */
static void find_step(const world *w, handshake *s, const command *c)
{
    bool due = w->open || stream_matches(c->name, "CLIENT KILL");
    char text[sizeof c->name];

    while (s->step < STEP_END && !put_step(w, s, due, text, sizeof text))
        s->step++;
    FUZZ_REQUIRE(s->step < STEP_END);
    FUZZ_REQUIRE(c->name[0] == '\0' ? s->step == STEP_EVAL : strcmp(c->name, text) == 0);
}

rlk_result conn_judge_steps(const world *w, const replies *r, handshake *s)
{
    rlk_result result = RLK_OK;
    unsigned i;

    memset(s, 0, sizeof *s);
    s->plain = w->plain;
    s->no_load = w->plain && may_eval(w);
    s->protocol = w->plain || w->config.resp2_only ? 2 : 0;
    s->self.address = w->address;
    memcpy(s->self.local, w->local, sizeof s->self.local);
    for (i = 0; i < w->commands_len && result == RLK_OK && !s->vague; i++) {
        find_step(w, s, &w->commands[i]);
        FUZZ_REQUIRE(may_leave(w, s, i));
        if (i < r->whole) {
            result = judge_reply(w, s, &r->log, r->at[i]);
        } else {
            s->unanswered++;
            s->extra |= is_extra(s->step) || (s->step == STEP_LOAD && may_eval(w));
        }
        if (s->step == STEP_LOAD)
            s->loads++;
        else
            s->step++;
    }
    return result;
}

bool conn_judge_is_over(const world *w, handshake *s)
{
    char text[sizeof w->commands[0].name];

    while (s->step < STEP_END && !put_step(w, s, w->open, text, sizeof text))
        s->step++;
    return s->step == STEP_END;
}
