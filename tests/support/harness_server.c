/* SPDX-License-Identifier: MIT
 *
 * The servers of the harness: their store, the commands that they understand.
 */
#include "harness.h"

#include "../../src/lock/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The store --------------------------------------------------------------------------- */

/* A stream that reads a key is notified when it changes; once. */
static void harness_watch(harness_link *link, const char *key)
{
    size_t i;

    if (!link->tracking)
        return;
    for (i = 0; i < COUNT_OF(link->watched); i++)
        if (strcmp(link->watched[i], key) == 0)
            return;
    for (i = 0; i < COUNT_OF(link->watched); i++) {
        if (link->watched[i][0] == '\0') {
            (void)snprintf(link->watched[i], sizeof link->watched[i], "%s", key);
            return;
        }
    }
    fail_msg("no room to watch %s", key);
}

void harness_push(harness_link *link, const char *key)
{
    harness_queue *queue = &link->queue;
    harness_command *command;
    size_t at = 0;

    while (at < queue->len && queue->commands[at].executed)
        at++;
    (void)harness_add(queue);
    command = &queue->commands[at];
    memmove(command + 1, command, (queue->len - 1 - at) * sizeof *command);
    memset(command, 0, sizeof *command);
    command->kind = HARNESS_OTHER;
    command->executed = true;
    if (key == NULL)
        (void)snprintf(command->reply, sizeof command->reply, ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    else
        (void)snprintf(command->reply, sizeof command->reply,
                       ">2\r\n$10\r\ninvalidate\r\n*1\r\n$%zu\r\n%s\r\n", strlen(key), key);
}

/* Notifies all except the stream that did it (NOLOOP), whose interest ends all the same. */
static void harness_changed(harness *h, const harness_server *server, const char *key,
                            const harness_link *own)
{
    unsigned c;
    unsigned n;
    size_t i;

    for (c = 0; c < h->clients; c++)
        for (n = 0; n < h->nodes; n++) {
            harness_link *link = &h->members[c].links[n];

            for (i = 0; i < COUNT_OF(link->watched) && link->server == server; i++)
                if (key[0] != '\0' && strcmp(link->watched[i], key) == 0) {
                    link->watched[i][0] = '\0';
                    if (link != own && link->up && !server->silent)
                        harness_push(link, key);
                }
        }
}

void harness_remove(harness *h, unsigned node, const char *key)
{
    harness_entry *entry = harness_find(h, &h->servers[node], key);

    assert_non_null(entry);
    entry->key[0] = '\0';
}

void harness_delete(harness *h, unsigned node, const char *key)
{
    harness_remove(h, node, key);
    harness_changed(h, &h->servers[node], key, NULL);
}

harness_entry *harness_find(harness *h, harness_server *server, const char *key)
{
    size_t i;

    for (i = 0; i < COUNT_OF(server->entries); i++) {
        harness_entry *entry = &server->entries[i];

        if (entry->key[0] != '\0' && entry->expiry_ms <= h->now_ms) {
            char gone[sizeof entry->key];

            memcpy(gone, entry->key, sizeof gone);
            entry->key[0] = '\0';
            harness_changed(h, server, gone, NULL);
        }
        if (strcmp(entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

static void harness_store(harness *h, harness_server *server, const char *key, const char *token,
                          int64_t ttl_ms)
{
    harness_entry *entry = harness_find(h, server, key);

    if (entry == NULL)
        entry = harness_find(h, server, "");
    assert_non_null(entry);
    (void)snprintf(entry->key, sizeof entry->key, "%s", key);
    (void)snprintf(entry->token, sizeof entry->token, "%s", token);
    entry->expiry_ms = ttl_ms < 0 ? RLK_NEVER : h->now_ms + ttl_ms;
    entry->wrong_type = false;
}

void harness_put(harness *h, unsigned node, const char *key, const char *token, int64_t ttl_ms)
{
    harness_store(h, &h->servers[node], key, token, ttl_ms);
}

unsigned harness_holding(harness *h, const char *key, const char *token)
{
    unsigned holding = 0;
    unsigned i;

    for (i = 0; i < h->nodes; i++) {
        const harness_entry *entry = harness_find(h, &h->servers[i], key);

        holding += entry != NULL && (token == NULL || strcmp(entry->token, token) == 0);
    }
    return holding;
}

static long long harness_pttl(const harness *h, const harness_entry *entry)
{
    if (entry == NULL)
        return -2;
    return entry->expiry_ms == RLK_NEVER ? -1 : (long long)(entry->expiry_ms - h->now_ms);
}

static long long harness_raise(harness *h, harness_link *link, harness_entry *entry,
                               const harness_command *command)
{
    if (entry == NULL || strcmp(entry->token, command->token) != 0)
        return entry == NULL ? RLKI_ABSENT : RLKI_NOT_OURS;
    if (harness_pttl(h, entry) < command->ms) {
        entry->expiry_ms = h->now_ms + command->ms;
        harness_changed(h, link->server, command->key, link);
    }
    harness_watch(link, command->key);
    return harness_pttl(h, entry);
}

static void harness_execute_del(harness *h, harness_link *link, harness_entry *entry)
{
    char gone[sizeof entry->key];

    memcpy(gone, entry->key, sizeof gone);
    entry->key[0] = '\0';
    harness_changed(h, link->server, gone, link);
}

static const char *harness_nil(const harness_link *link)
{
    return link->resp3 ? "_\r\n" : "$-1\r\n";
}

/* What the script returns, which says if it had to use GET. */
static void harness_script_reply(const harness_server *server, harness_command *command,
                                 long long value)
{
    bool by_get = server->no_getex && !command->by_get;

    (void)snprintf(command->reply, sizeof command->reply, ":%lld\r\n",
                   by_get ? RLKI_BY_GET - value : value);
}

/* Does what Redis does with it, and writes the reply. */
static void harness_perform(harness_link *link, harness_command *command)
{
    harness *h = link->harness;
    harness_server *server = link->server;
    harness_entry *entry = harness_find(h, server, command->key);
    bool ours = entry != NULL && strcmp(entry->token, command->token) == 0;
    char *reply = command->reply;
    size_t cap = sizeof command->reply;

    if (command->by_digest && !server->script) {
        (void)snprintf(reply, cap, HARNESS_NOSCRIPT);
        return;
    }
    server->script = server->script || command->by_text;
    if (entry != NULL && entry->wrong_type &&
        (command->kind == HARNESS_RAISE || command->kind == HARNESS_CHECK ||
         command->kind == HARNESS_RELEASE || command->kind == HARNESS_GET)) {
        (void)snprintf(reply, cap, HARNESS_WRONGTYPE);
        return;
    }
    switch (command->kind) {
    case HARNESS_SET:
        (void)snprintf(reply, cap, "%s", entry != NULL ? harness_nil(link) : HARNESS_OK);
        if (entry == NULL) {
            harness_store(h, server, command->key, command->token, command->ms);
            harness_changed(h, server, command->key, link);
        }
        break;
    case HARNESS_RAISE:
    case HARNESS_CHECK:
        harness_script_reply(server, command, harness_raise(h, link, entry, command));
        break;
    case HARNESS_RELEASE:
        harness_script_reply(server, command,
                             ours            ? 1
                             : entry == NULL ? RLKI_ABSENT
                                             : RLKI_NOT_OURS);
        if (ours)
            harness_execute_del(h, link, entry);
        break;
    case HARNESS_DEL:
        (void)snprintf(reply, cap, ":%d\r\n", entry != NULL);
        if (entry != NULL)
            harness_execute_del(h, link, entry);
        break;
    case HARNESS_GET:
        harness_watch(link, command->key);
        if (entry == NULL)
            (void)snprintf(reply, cap, "%s", harness_nil(link));
        else
            (void)snprintf(reply, cap, "$%zu\r\n%s\r\n", strlen(entry->token), entry->token);
        break;
    default: /* HARNESS_PTTL */
        harness_watch(link, command->key);
        (void)snprintf(reply, cap, ":%lld\r\n", harness_pttl(h, entry));
        break;
    }
}

/* ---- The queue --------------------------------------------------------------------------- */

void harness_shift(harness_queue *queue)
{
    queue->len--;
    memmove(&queue->commands[0], &queue->commands[1], queue->len * sizeof queue->commands[0]);
}

harness_command *harness_add(harness_queue *queue)
{
    harness_command *command;

    assert_true(queue->len < HARNESS_QUEUE);
    command = &queue->commands[queue->len++];
    memset(command, 0, sizeof *command);
    return command;
}

harness_command *harness_head(harness_link *link)
{
    return link->queue.len != 0 ? &link->queue.commands[0] : NULL;
}

/* ---- Commands ---------------------------------------------------------------------------- */

/* CLIENT KILL: what that stream still had to execute is gone. */
static void harness_fence(harness_link *link, unsigned stream)
{
    size_t i;
    size_t kept = 0;

    for (i = 0; i < link->loose.len; i++)
        if (link->loose.commands[i].stream != stream)
            link->loose.commands[kept++] = link->loose.commands[i];
    link->loose.len = kept;
}

/* Its id and its protocol, and what it is. */
static void harness_hello(harness_link *link, char *reply, size_t cap)
{
    const harness_server *server = link->server;
    unsigned pairs =
        1u + !server->no_ids + server->dragonfly + (server->mode != NULL) + (server->role != NULL);
    size_t len;

    if (server->no_hello) {
        (void)snprintf(reply, cap, HARNESS_UNKNOWN);
        return;
    }
    link->resp3 = !server->array;
    (void)snprintf(reply, cap, "%c%u\r\n$5\r\nproto\r\n:%d\r\n", server->array ? '*' : '%',
                   server->array ? 2 * pairs : pairs, server->array ? 2 : 3);
    len = strlen(reply);
    if (!server->no_ids)
        (void)snprintf(reply + len, cap - len, "$2\r\nid\r\n:%u\r\n", link->stream);
    len = strlen(reply);
    if (server->dragonfly)
        (void)snprintf(reply + len, cap - len, "$17\r\ndragonfly_version\r\n$5\r\nv1.20\r\n");
    len = strlen(reply);
    if (server->mode != NULL)
        (void)snprintf(reply + len, cap - len, "$4\r\nmode\r\n$%zu\r\n%s\r\n", strlen(server->mode),
                       server->mode);
    len = strlen(reply);
    if (server->role != NULL)
        (void)snprintf(reply + len, cap - len, "$4\r\nrole\r\n$%zu\r\n%s\r\n", strlen(server->role),
                       server->role);
}

/* Dragonfly takes NOLOOP, and then sends no pushes at all. */
static void harness_track(harness_link *link, const char *words, char *reply, size_t cap)
{
    const harness_server *server = link->server;
    bool noloop = strcmp(words, "CLIENT TRACKING ON NOLOOP") == 0;

    assert_true(noloop || strcmp(words, "CLIENT TRACKING ON") == 0);
    link->tracking = server->tracking && !(noloop && server->dragonfly);
    (void)snprintf(reply, cap, server->tracking ? HARNESS_OK : HARNESS_NOPERM);
}

/* By the id alone, since the harness sends no addresses; and only where ids are sent. */
static void harness_kill(harness_link *link, const char *words, char *reply, size_t cap)
{
    assert_true(stream_matches(words, "CLIENT KILL ID"));
    link->server->kills++;
    harness_fence(link, (unsigned)atoi(words + strlen("CLIENT KILL ID ")));
    (void)snprintf(reply, cap, ":%d\r\n", link->server->kill_result);
}

static void harness_info(const harness_link *link, char *reply, size_t cap)
{
    const harness_server *server = link->server;
    unsigned own = (unsigned)(server - link->harness->servers);
    unsigned instance = server->alias_of != 0 ? server->alias_of - 1 : own;

    (void)snprintf(reply, cap, "$50\r\nrun_id:%040u\r\n\n\r\n", server->run * 10 + instance + 1);
}

/* Behind the script of an EVAL; NULL: it is none, or not with the script of the library. */
static char *harness_eval_rest(char *words)
{
    const char *script = strstr(rlki_script.load, "local ");
    size_t len = rlki_script.load_len - (size_t)(script - rlki_script.load) - 2; /* CRLF */

    if (!stream_matches(words, "EVAL") || strncmp(words + strlen("EVAL "), script, len) != 0)
        return NULL;
    words += strlen("EVAL ") + len;
    return *words == ' ' ? words + 1 : NULL;
}

/* SCRIPT LOAD, and the script that only probes. */
static bool harness_script(harness_link *link, char *words, char *reply, size_t cap)
{
    harness_server *server = link->server;
    const char *rest = harness_eval_rest(words);
    bool by_digest = strcmp(words, "EVALSHA " RLKI_SCRIPT_DIGEST " 0") == 0;
    bool keyless = by_digest || (rest != NULL && strcmp(rest, "0") == 0);

    if (stream_matches(words, "SCRIPT LOAD")) {
        server->loads++;
        server->script = server->script || !server->no_load;
        if (server->no_load)
            (void)snprintf(reply, cap, HARNESS_UNKNOWN);
        else
            (void)snprintf(reply, cap, "$40\r\n%s\r\n", RLKI_SCRIPT_DIGEST);
        return true;
    }
    if (!keyless && (rest == NULL || strcmp(rest, "1 resplock") != 0))
        return false;
    if (keyless && server->wants_key)
        (void)snprintf(reply, cap, "-ERR no key\r\n");
    else if (by_digest && !server->script)
        (void)snprintf(reply, cap, HARNESS_NOSCRIPT);
    else
        (void)snprintf(reply, cap, ":0\r\n");
    server->script = server->script || (rest != NULL && reply[0] == ':');
    return true;
}

/* Answers the handshake. Returns false for a command of the lock layer. */
static bool harness_handshake(harness_link *link, char *words, char *reply, size_t cap)
{
    const harness_server *server = link->server;

    if (server->hello != NULL)
        (void)snprintf(reply, cap, "%s", server->hello);
    else if (stream_matches(words, "HELLO 3"))
        harness_hello(link, reply, cap);
    else if (stream_matches(words, "CLIENT TRACKING ON"))
        harness_track(link, words, reply, cap);
    else if (server->no_ids &&
             (strcmp(words, "INFO server") == 0 || strcmp(words, "CLIENT ID") == 0))
        (void)snprintf(reply, cap, HARNESS_NOPERM);
    else if (strcmp(words, "INFO server") == 0)
        harness_info(link, reply, cap);
    else if (strcmp(words, "CLIENT ID") == 0)
        (void)snprintf(reply, cap, ":%u\r\n", link->stream);
    else if (stream_matches(words, "CLIENT KILL"))
        harness_kill(link, words, reply, cap);
    else
        return harness_script(link, words, reply, cap);
    return true;
}

/* The next word; the rest is where it ended. */
static char *harness_word(char **rest)
{
    char *word = *rest;
    char *end = strchr(word, ' ');

    if (end == NULL) {
        *rest = word + strlen(word);
    } else {
        *end = '\0';
        *rest = end + 1;
    }
    return word;
}

/* Behind the digest, or behind the script. */
static void harness_decode_script(harness_command *command, char *rest)
{
    const char *ms;

    assert_string_equal(harness_word(&rest), "1");
    (void)snprintf(command->key, sizeof command->key, "%s", harness_word(&rest));
    (void)snprintf(command->token, sizeof command->token, "%s", harness_word(&rest));
    command->kind = HARNESS_RELEASE;
    if (rest[0] == '\0')
        return;
    ms = harness_word(&rest); /* empty, where a release should use GET */
    if (ms[0] != '\0') {
        command->ms = atoll(ms);
        command->kind = command->ms == -1 ? HARNESS_CHECK : HARNESS_RAISE;
        assert_true(command->ms == -1 || command->ms > 0); /* rule 6: PEXPIRE of 0 deletes */
    }
    command->by_get = rest[0] != '\0';
    assert_true(command->by_get || ms[0] != '\0');
    assert_string_equal(rest, command->by_get ? "1" : "");
}

void harness_decode(harness_link *link, harness_command *command, char *words)
{
    char *rest = words;
    char *behind = harness_eval_rest(words);
    const char *name;

    command->sent_ms = link->harness->now_ms;
    command->stream = link->stream;
    if (harness_handshake(link, words, command->reply, sizeof command->reply)) {
        command->kind = HARNESS_OTHER;
        command->executed = true;
        return;
    }
    if (behind != NULL) {
        command->by_text = true;
        harness_decode_script(command, behind);
        return;
    }
    name = harness_word(&rest);
    if (strcmp(name, "EVALSHA") == 0) {
        assert_string_equal(harness_word(&rest), RLKI_SCRIPT_DIGEST);
        command->by_digest = true;
        harness_decode_script(command, rest);
        return;
    }
    (void)snprintf(command->key, sizeof command->key, "%s", harness_word(&rest));
    if (strcmp(name, "SET") == 0) {
        command->kind = HARNESS_SET;
        (void)snprintf(command->token, sizeof command->token, "%s", harness_word(&rest));
        assert_string_equal(harness_word(&rest), "NX");
        assert_string_equal(harness_word(&rest), "PX");
        command->ms = atoll(harness_word(&rest));
    } else if (strcmp(name, "GET") == 0) {
        command->kind = HARNESS_GET;
    } else if (strcmp(name, "PTTL") == 0) {
        command->kind = HARNESS_PTTL;
    } else {
        assert_string_equal(name, "DEL");
        command->kind = HARNESS_DEL;
    }
    assert_string_equal(rest, "");
}

bool harness_execute(harness_link *link)
{
    size_t i;

    for (i = 0; i < link->queue.len; i++) {
        harness_command *command = &link->queue.commands[i];

        if (command->executed)
            continue;
        command->executed = true;
        if (link->server->fails != NULL)
            (void)snprintf(command->reply, sizeof command->reply, "%s", link->server->fails);
        else
            harness_perform(link, command);
        return true;
    }
    return false;
}

bool harness_execute_loose(harness_link *link)
{
    if (link->loose.len == 0)
        return false;
    harness_perform(link, &link->loose.commands[0]);
    harness_shift(&link->loose);
    return true;
}
