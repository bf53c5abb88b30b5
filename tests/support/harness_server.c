/* SPDX-License-Identifier: MIT
 *
 * The servers of the harness: their store, the commands that they understand.
 */
#include "harness.h"

#include "../../src/lock/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The store --------------------------------------------------------------------------- */

/* Who reads a key is told when it changes; once. */
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

/* All are told but the one that did it (NOLOOP), whose interest ends all the same. */
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
                    if (link != own && link->up)
                        harness_push(link, key);
                }
        }
}

void harness_delete(harness *h, unsigned node, const char *key)
{
    harness_entry *entry = harness_find(h, &h->servers[node], key);

    assert_non_null(entry);
    entry->key[0] = '\0';
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

/* Does what Redis does with it, and writes the reply. */
static void harness_perform(harness_link *link, harness_command *command)
{
    harness *h = link->harness;
    harness_server *server = link->server;
    harness_entry *entry = harness_find(h, server, command->key);
    bool ours = entry != NULL && strcmp(entry->token, command->token) == 0;
    char *reply = command->reply;
    size_t cap = sizeof command->reply;

    if (entry != NULL && entry->wrong_type &&
        (command->kind == HARNESS_RAISE || command->kind == HARNESS_CHECK ||
         command->kind == HARNESS_RELEASE || command->kind == HARNESS_GET)) {
        (void)snprintf(reply, cap, HARNESS_WRONGTYPE);
        return;
    }
    switch (command->kind) {
    case HARNESS_SET:
        (void)snprintf(reply, cap, entry != NULL ? HARNESS_NIL : HARNESS_OK);
        if (entry == NULL) {
            harness_store(h, server, command->key, command->token, command->ms);
            harness_changed(h, server, command->key, link);
        }
        break;
    case HARNESS_RAISE:
    case HARNESS_CHECK:
        (void)snprintf(reply, cap, ":%lld\r\n", harness_raise(h, link, entry, command));
        break;
    case HARNESS_RELEASE:
    case HARNESS_DEL:
        ours = ours || (entry != NULL && command->kind == HARNESS_DEL);
        (void)snprintf(reply, cap, ":%d\r\n",
                       ours                           ? 1
                       : command->kind == HARNESS_DEL ? 0
                       : entry == NULL                ? RLKI_ABSENT
                                                      : RLKI_NOT_OURS);
        if (ours) {
            entry->key[0] = '\0';
            harness_changed(h, server, command->key, link);
        }
        break;
    case HARNESS_GET:
        harness_watch(link, command->key);
        if (entry == NULL)
            (void)snprintf(reply, cap, HARNESS_NIL);
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

/* What the server itself answers: the handshake. NULL: it is a command of the lock room. */
static const char *harness_handshake(harness_link *link, const char *words, char *reply, size_t cap)
{
    harness_server *server = link->server;
    unsigned own = (unsigned)(server - link->harness->servers);
    unsigned instance = server->alias_of != 0 ? server->alias_of - 1 : own;

    if (server->hello != NULL) {
        (void)snprintf(reply, cap, "%s", server->hello);
    } else if (stream_matches(words, "HELLO")) {
        if (server->no_ids)
            (void)snprintf(reply, cap, "%%1\r\n$5\r\nproto\r\n:3\r\n");
        else
            (void)snprintf(reply, cap, "%%1\r\n$2\r\nid\r\n:%u\r\n", link->stream);
    } else if (stream_matches(words, "CLIENT TRACKING")) {
        link->tracking = server->tracking;
        (void)snprintf(reply, cap, server->tracking ? HARNESS_OK : HARNESS_NOPERM);
    } else if (stream_matches(words, "INFO")) {
        if (server->no_ids)
            (void)snprintf(reply, cap, HARNESS_NOPERM);
        else
            (void)snprintf(reply, cap, "$50\r\nrun_id:%040u\r\n\n\r\n",
                           server->run * 10 + instance);
    } else if (stream_matches(words, "CLIENT ID")) {
        if (server->no_ids)
            (void)snprintf(reply, cap, HARNESS_NOPERM);
        else
            (void)snprintf(reply, cap, ":%u\r\n", link->stream);
    } else if (stream_matches(words, "CLIENT KILL")) {
        server->kills++;
        harness_fence(link, (unsigned)atoi(words + strlen("CLIENT KILL ID ")));
        (void)snprintf(reply, cap, ":%d\r\n", server->kill_result);
    } else if (stream_matches(words, "SCRIPT LOAD")) {
        server->loads++;
        (void)snprintf(reply, cap, "$40\r\n%s\r\n", RLKI_SCRIPT_DIGEST);
    } else if (stream_matches(words, "EVALSHA " RLKI_SCRIPT_DIGEST " 0")) {
        (void)snprintf(reply, cap, ":0\r\n");
    } else {
        return NULL;
    }
    return reply;
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

static void harness_decode_script(harness_command *command, char *rest)
{
    assert_string_equal(harness_word(&rest), RLKI_SCRIPT_DIGEST);
    assert_string_equal(harness_word(&rest), "1");
    (void)snprintf(command->key, sizeof command->key, "%s", harness_word(&rest));
    (void)snprintf(command->token, sizeof command->token, "%s", harness_word(&rest));
    command->kind = HARNESS_RELEASE;
    if (rest[0] != '\0') {
        command->ms = atoll(harness_word(&rest));
        command->kind = command->ms == -1 ? HARNESS_CHECK : HARNESS_RAISE;
        assert_true(command->ms == -1 || command->ms > 0); /* rule 6: PEXPIRE of 0 deletes */
    }
    assert_string_equal(rest, "");
}

void harness_decode(harness_link *link, harness_command *command, char *words)
{
    char *rest = words;
    const char *name;

    command->sent_ms = link->harness->now_ms;
    command->stream = link->stream;
    if (harness_handshake(link, words, command->reply, sizeof command->reply) != NULL) {
        command->kind = HARNESS_OTHER;
        command->executed = true;
        return;
    }
    name = harness_word(&rest);
    if (strcmp(name, "EVALSHA") == 0) {
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
