/* SPDX-License-Identifier: MIT
 *
 * The commands of the model server, as far as resplock and the tests send them, with well-formed
 * arguments.
 */
#include "model_internal.h"

#include "lock/script.h"

#include <strings.h>

#define COMMAND_DIGEST_LEN (sizeof(RLKI_SCRIPT_DIGEST) - 1)

#define COMMAND_UNKNOWN   "-ERR unknown command\r\n"
#define COMMAND_NOPERM    "-NOPERM this user has no permissions to run this command\r\n"
#define COMMAND_WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

static const model_word command_nothing = {NULL, 0};

static bool command_is(model_word word, const char *text)
{
    size_t len = strlen(text);

    return word.len == len && strncasecmp(word.text, text, len) == 0;
}

static int64_t command_number(model_word word)
{
    bool negative = word.len > 0 && word.text[0] == '-';
    int64_t value = 0;
    size_t i;

    for (i = negative; i < word.len; i++)
        value = value * 10 + (word.text[i] - '0');
    return negative ? -value : value;
}

static bool command_same(const model_key *key, model_word value)
{
    return key->value_len == value.len && memcmp(key->value, value.text, value.len) == 0;
}

static void command_report(const model_server *server, model_command command, model_word key,
                           model_word token)
{
    if (server->hooks.executed != NULL)
        server->hooks.executed(server->hooks.context, server->current, command, key.text, key.len,
                               token.text, token.len);
}

/* ---- Connections ------------------------------------------------------------------------- */

static void command_hello(model_server *server)
{
    model_client *client = &server->clients[server->current];

    if (server->old) {
        model_reply(server, COMMAND_UNKNOWN);
        return;
    }
    client->protocol = 3;
    model_reply(server, "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"
                        "$5\r\nproto\r\n:3\r\n$2\r\nid\r\n");
    model_reply_integer(server, ':', server->no_ids ? 0 : (int64_t)client->id);
    model_reply(server, "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
                        "$7\r\nmodules\r\n*0\r\n");
}

static void command_info(model_server *server)
{
    static const char before[] = "# Server\r\nredis_version:7.0.15\r\nrun_id:";
    static const char after[] = "\r\ntcp_port:6379\r\n";
    bool verbatim = server->clients[server->current].protocol == 3;
    size_t len = sizeof before - 1 + MODEL_RUN_ID + sizeof after - 1;

    if (server->no_ids) {
        model_reply(server, COMMAND_NOPERM);
        return;
    }
    model_reply_integer(server, verbatim ? '=' : '$', (int64_t)(verbatim ? len + 4 : len));
    if (verbatim)
        model_reply(server, "txt:");
    model_reply(server, before);
    model_reply(server, server->run_id);
    model_reply(server, after);
    model_reply(server, "\r\n");
}

/* CLIENT KILL ID n [ADDR a] */
static void command_kill(model_server *server, const model_word *words, unsigned count)
{
    uint64_t id = (uint64_t)command_number(words[3]);
    int64_t killed = 0;
    unsigned i;

    command_report(server, MODEL_KILL, command_nothing, command_nothing);
    if (server->no_ids) {
        model_reply(server, COMMAND_NOPERM);
        return;
    }
    for (i = 0; i < server->used; i++) {
        const model_client *client = &server->clients[i];

        if (!client->open || client->id != id || i == server->current)
            continue;
        if (count > 5 && !(strlen(client->address) == words[5].len &&
                           memcmp(client->address, words[5].text, words[5].len) == 0))
            continue;
        model_kill(server, i);
        killed++;
    }
    model_reply_integer(server, ':', killed);
}

static void command_client(model_server *server, const model_word *words, unsigned count)
{
    model_word what = words[1];

    if (command_is(what, "KILL")) {
        command_kill(server, words, count);
    } else if (command_is(what, "ID")) {
        if (server->no_ids)
            model_reply(server, COMMAND_NOPERM);
        else
            model_reply_integer(server, ':', (int64_t)server->clients[server->current].id);
    } else if (command_is(what, "PAUSE")) {
        server->pause_until_ms = server->now_ms + command_number(words[2]);
        server->pause_all = count < 4 || command_is(words[3], "ALL");
        model_reply(server, "+OK\r\n");
    } else if (command_is(what, "UNPAUSE")) {
        if (server->pause_until_ms != INT64_MIN)
            server->pause_until_ms = server->now_ms; /* who waits goes on when time does */
        model_reply(server, "+OK\r\n");
    } else if (command_is(what, "TRACKING") && server->untracked) {
        model_reply(server, "-NOPERM this user has no permissions to run the 'client|tracking' "
                            "command\r\n");
    } else if (command_is(what, "TRACKING")) {
        model_track(server, command_is(words[2], "ON"), count > 3);
        model_reply(server, "+OK\r\n");
    } else if (command_is(what, "SETNAME")) {
        model_reply(server, "+OK\r\n");
    } else {
        model_reply(server, "-ERR unknown subcommand\r\n");
    }
}

/* ---- Scripts ----------------------------------------------------------------------------- */

static bool command_is_eval(model_word name)
{
    return command_is(name, "EVALSHA") || command_is(name, "EVAL");
}

/* Its text stands behind the third header of the library's own command. */
static bool command_is_script(model_word word)
{
    size_t whole = rlki_script.load_len - 2u;

    return whole >= word.len &&
           memcmp(rlki_script.load + whole - word.len, word.text, word.len) == 0;
}

static void command_script(model_server *server, const model_word *words)
{
    if (command_is(words[1], "FLUSH")) {
        server->script = false;
        model_reply(server, "+OK\r\n");
        return;
    }
    command_report(server, MODEL_LOAD, command_nothing, command_nothing);
    if (!command_is_script(words[2])) {
        model_reply(server, "-ERR the model knows resplock's script only\r\n");
        return;
    }
    server->script = true;
    model_reply_bulk(server, RLKI_SCRIPT_DIGEST, COMMAND_DIGEST_LEN);
}

static int64_t command_pttl(const model_server *server, const model_key *key)
{
    return key->when_ms == MODEL_NEVER ? -1 : key->when_ms - server->now_ms;
}

static void command_lengthen(model_server *server, model_key *key, int64_t ms)
{
    if (ms <= 0) {
        model_delete(server, key, MODEL_DELETED);
        return;
    }
    key->when_ms = server->now_ms + ms;
    model_touch(server, key);
    if (server->hooks.changed != NULL)
        server->hooks.changed(server->hooks.context, key, MODEL_LENGTHENED);
}

/* The script's raise: PTTL, after PEXPIRE where that is less. */
static int64_t command_raise(model_server *server, model_key *key, model_word word, int64_t to_ms)
{
    int64_t left_ms = command_pttl(server, key);

    model_remember(server, word);
    if (left_ms >= to_ms)
        return left_ms;
    command_lengthen(server, key, to_ms);
    model_remember(server, word);
    return key->present ? command_pttl(server, key) : -2;
}

/* EVALSHA digest 1 key token [ms]; EVALSHA digest 0; EVAL script ... */
static void command_evalsha(model_server *server, const model_word *words, unsigned count)
{
    model_key *key;

    server->script =
        server->script || (command_is(words[0], "EVAL") && command_is_script(words[1]));
    if (!server->script || (command_is(words[0], "EVALSHA") &&
                            (words[1].len != COMMAND_DIGEST_LEN ||
                             memcmp(words[1].text, RLKI_SCRIPT_DIGEST, COMMAND_DIGEST_LEN) != 0))) {
        model_reply(server, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
        return;
    }
    if (count < 5) { /* the probe */
        model_reply_integer(server, ':', 0);
        return;
    }
    key = model_lookup(server, words[3]);
    if (key != NULL && key->list) {
        model_reply(server, COMMAND_WRONGTYPE);
    } else if (key == NULL || !command_same(key, words[4])) {
        model_reply_integer(server, ':', key == NULL ? RLKI_ABSENT : RLKI_NOT_OURS);
    } else if (count > 5) {
        model_reply_integer(server, ':',
                            command_raise(server, key, words[3], command_number(words[5])));
    } else {
        model_delete(server, key, MODEL_DELETED);
        model_reply_integer(server, ':', 1);
    }
}

/* ---- Data -------------------------------------------------------------------------------- */

/* SET key value [NX] [PX ms] */
static void command_set(model_server *server, const model_word *words, unsigned count)
{
    int64_t when_ms = MODEL_NEVER;
    bool if_absent = false;
    model_key *key;
    unsigned i;

    for (i = 3; i < count; i++) {
        if (command_is(words[i], "NX"))
            if_absent = true;
        else if (command_is(words[i], "PX"))
            when_ms = server->now_ms + command_number(words[++i]);
    }
    if (if_absent && model_lookup(server, words[1]) != NULL) {
        model_reply_null(server);
        return;
    }
    key = model_place(server, words[1]);
    if (key == NULL || words[2].len > MODEL_TEXT) {
        model_reply(server, "-ERR the model has no room\r\n");
        return;
    }
    model_store(server, key, words[2], when_ms);
    model_reply(server, "+OK\r\n");
}

static void command_get(model_server *server, model_word word)
{
    const model_key *key = model_lookup(server, word);

    if (key != NULL && key->list)
        model_reply(server, COMMAND_WRONGTYPE);
    else if (key == NULL)
        model_reply_null(server);
    else
        model_reply_bulk(server, key->value, key->value_len);
    model_remember(server, word);
}

static void command_del(model_server *server, model_word word)
{
    model_key *key = model_lookup(server, word);

    if (key != NULL)
        model_delete(server, key, MODEL_DELETED);
    model_reply_integer(server, ':', key != NULL);
}

static void command_pexpire(model_server *server, model_word word, int64_t ms)
{
    model_key *key = model_lookup(server, word);

    if (key != NULL)
        command_lengthen(server, key, ms);
    model_reply_integer(server, ':', key != NULL);
}

/* RPUSH of one element to a key that is not there: what is no string. */
static void command_rpush(model_server *server, const model_word *words)
{
    model_key *key = model_lookup(server, words[1]);
    bool new_key = key == NULL;

    if (!new_key) {
        model_reply(server,
                    key->list ? "-ERR the model's lists have one element\r\n" : COMMAND_WRONGTYPE);
        return;
    }
    key = model_place(server, words[1]);
    model_store(server, key, words[2], MODEL_NEVER);
    key->list = true;
    model_reply_integer(server, ':', 1);
}

/* ---- All --------------------------------------------------------------------------------- */

/* What the judges want to know of a command. */
static void command_announce(const model_server *server, const model_word *words, unsigned count)
{
    model_word name = words[0];

    if (command_is(name, "SET"))
        command_report(server, MODEL_SET, words[1], words[2]);
    else if (command_is_eval(name) && count > 4)
        command_report(server,
                       count == 5                                    ? MODEL_RELEASE
                       : words[5].len > 0 && words[5].text[0] == '-' ? MODEL_CHECK
                                                                     : MODEL_RAISE,
                       words[3], words[4]);
    else if (command_is(name, "GET"))
        command_report(server, MODEL_GET, words[1], command_nothing);
    else if (command_is(name, "PTTL"))
        command_report(server, MODEL_PTTL, words[1], command_nothing);
    else if (command_is(name, "DEL"))
        command_report(server, MODEL_DEL, words[1], command_nothing);
}

static bool command_writes(model_word name)
{
    return command_is(name, "SET") || command_is_eval(name) || command_is(name, "DEL") ||
           command_is(name, "PEXPIRE") || command_is(name, "RPUSH") ||
           command_is(name, "FLUSHALL") || command_is(name, "FLUSHDB");
}

/* NULL: it does what it is asked. */
static const char *command_refusal(const model_server *server, model_word name, unsigned count)
{
    bool probe = command_is_eval(name) && count < 5; /* writes nothing */
    bool writes = command_writes(name) && !probe;

    switch (server->refusal) {
    case MODEL_LOADING:
        return command_is(name, "HELLO") || command_is(name, "INFO") || command_is(name, "CLIENT")
                   ? NULL
                   : "-LOADING Redis is loading the dataset in memory\r\n";
    case MODEL_READONLY:
        return writes ? "-READONLY You can't write against a read only replica.\r\n" : NULL;
    case MODEL_OOM: /* what frees memory is let through, and scripts fail at their first write */
        return command_is(name, "SET")
                   ? "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
                   : NULL;
    case MODEL_MISCONF:
        return writes ? "-MISCONF Redis is configured to save RDB snapshots, but it's currently "
                        "unable to persist to disk.\r\n"
                      : NULL;
    case MODEL_STRANGE:
    case MODEL_STRANGE_DONE:
        return writes ? "-ODD words of a proxy\r\n" : NULL;
    default:
        return NULL;
    }
}

static void command_select(model_server *server, model_word db)
{
    server->clients[server->current].elsewhere = command_number(db) != 0;
    model_reply(server, "+OK\r\n");
}

/* In another database: nothing is kept, but clients track keys of all databases by their names. */
static void command_run_elsewhere(model_server *server, const model_word *words)
{
    model_word name = words[0];

    if (command_is(name, "SET")) {
        model_key *key = model_entry(server, words[1]);

        if (key != NULL)
            model_touch(server, key);
        model_reply(server, "+OK\r\n");
    } else if (command_is(name, "FLUSHDB")) {
        model_flush_tracking(server);
        model_reply(server, "+OK\r\n");
    } else if (command_is(name, "SELECT")) {
        command_select(server, words[1]);
    } else {
        model_reply(server, "-ERR the model has one database\r\n");
    }
}

static void command_run(model_server *server, const model_word *words, unsigned count)
{
    model_word name = words[0];

    if (server->clients[server->current].elsewhere) {
        command_run_elsewhere(server, words);
        return;
    }
    command_announce(server, words, count);
    if (command_is(name, "SET")) {
        command_set(server, words, count);
    } else if (command_is_eval(name)) {
        command_evalsha(server, words, count);
    } else if (command_is(name, "GET")) {
        command_get(server, words[1]);
    } else if (command_is(name, "PTTL")) {
        const model_key *key = model_lookup(server, words[1]);

        model_reply_integer(server, ':', key != NULL ? command_pttl(server, key) : -2);
        model_remember(server, words[1]);
    } else if (command_is(name, "DEL")) {
        command_del(server, words[1]);
    } else if (command_is(name, "HELLO")) {
        command_hello(server);
    } else if (command_is(name, "CLIENT")) {
        command_client(server, words, count);
    } else if (command_is(name, "INFO")) {
        command_info(server);
    } else if (command_is(name, "SCRIPT")) {
        command_script(server, words);
    } else if (command_is(name, "PEXPIRE")) {
        command_pexpire(server, words[1], command_number(words[2]));
    } else if (command_is(name, "RPUSH")) {
        command_rpush(server, words);
    } else if (command_is(name, "FLUSHALL") || command_is(name, "FLUSHDB")) {
        model_flush(server);
        model_reply(server, "+OK\r\n");
    } else if (command_is(name, "PING")) {
        model_reply(server, "+PONG\r\n");
    } else if (command_is(name, "SELECT")) {
        command_select(server, words[1]);
    } else {
        model_reply(server, COMMAND_UNKNOWN);
    }
}

bool model_execute(model_server *server, const model_word *words, unsigned count)
{
    const char *refusal;

    if (model_is_paused(server) && (server->pause_all || command_writes(words[0])))
        return false;
    refusal = command_refusal(server, words[0], count);
    if (refusal == NULL) {
        command_run(server, words, count);
        return true;
    }
    if (server->refusal == MODEL_STRANGE_DONE) {
        server->silent = true;
        command_run(server, words, count);
        server->silent = false;
    }
    model_reply(server, refusal);
    return true;
}
