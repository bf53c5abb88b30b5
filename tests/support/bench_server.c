/* SPDX-License-Identifier: MIT
 *
 * The servers of the bench: their store, the commands that they understand.
 */
#include "bench.h"

#include "../../src/lock/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The store --------------------------------------------------------------------------- */

/* Who reads a key is told when it changes; once. */
static void bench_watch(bench_link *link, const char *key)
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

void bench_push(bench_link *link, const char *key)
{
    bench_queue *queue = &link->queue;
    bench_command *command;
    size_t at = 0;

    while (at < queue->len && queue->commands[at].executed)
        at++;
    (void)bench_add(queue);
    command = &queue->commands[at];
    memmove(command + 1, command, (queue->len - 1 - at) * sizeof *command);
    memset(command, 0, sizeof *command);
    command->kind = BENCH_OTHER;
    command->executed = true;
    if (key == NULL)
        (void)snprintf(command->reply, sizeof command->reply, ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    else
        (void)snprintf(command->reply, sizeof command->reply,
                       ">2\r\n$10\r\ninvalidate\r\n*1\r\n$%zu\r\n%s\r\n", strlen(key), key);
}

/* All are told but the one that did it (NOLOOP), whose interest ends all the same. */
static void bench_changed(bench *b, const bench_server *server, const char *key,
                          const bench_link *own)
{
    unsigned c;
    unsigned n;
    size_t i;

    for (c = 0; c < b->clients; c++)
        for (n = 0; n < b->nodes; n++) {
            bench_link *link = &b->members[c].links[n];

            for (i = 0; i < COUNT_OF(link->watched) && link->server == server; i++)
                if (key[0] != '\0' && strcmp(link->watched[i], key) == 0) {
                    link->watched[i][0] = '\0';
                    if (link != own && link->up)
                        bench_push(link, key);
                }
        }
}

void bench_delete(bench *b, unsigned node, const char *key)
{
    bench_entry *entry = bench_find(b, &b->servers[node], key);

    assert_non_null(entry);
    entry->key[0] = '\0';
    bench_changed(b, &b->servers[node], key, NULL);
}

bench_entry *bench_find(bench *b, bench_server *server, const char *key)
{
    size_t i;

    for (i = 0; i < COUNT_OF(server->entries); i++) {
        bench_entry *entry = &server->entries[i];

        if (entry->key[0] != '\0' && entry->expiry_ms <= b->now_ms) {
            char gone[sizeof entry->key];

            memcpy(gone, entry->key, sizeof gone);
            entry->key[0] = '\0';
            bench_changed(b, server, gone, NULL);
        }
        if (strcmp(entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

static void bench_store(bench *b, bench_server *server, const char *key, const char *token,
                        int64_t ttl_ms)
{
    bench_entry *entry = bench_find(b, server, key);

    if (entry == NULL)
        entry = bench_find(b, server, "");
    assert_non_null(entry);
    (void)snprintf(entry->key, sizeof entry->key, "%s", key);
    (void)snprintf(entry->token, sizeof entry->token, "%s", token);
    entry->expiry_ms = ttl_ms < 0 ? RLK_NEVER : b->now_ms + ttl_ms;
    entry->wrong_type = false;
}

void bench_put(bench *b, unsigned node, const char *key, const char *token, int64_t ttl_ms)
{
    bench_store(b, &b->servers[node], key, token, ttl_ms);
}

unsigned bench_holding(bench *b, const char *key, const char *token)
{
    unsigned holding = 0;
    unsigned i;

    for (i = 0; i < b->nodes; i++) {
        const bench_entry *entry = bench_find(b, &b->servers[i], key);

        holding += entry != NULL && (token == NULL || strcmp(entry->token, token) == 0);
    }
    return holding;
}

static long long bench_pttl(const bench *b, const bench_entry *entry)
{
    if (entry == NULL)
        return -2;
    return entry->expiry_ms == RLK_NEVER ? -1 : (long long)(entry->expiry_ms - b->now_ms);
}

static long long bench_raise(bench *b, bench_link *link, bench_entry *entry,
                             const bench_command *command)
{
    if (entry == NULL || strcmp(entry->token, command->token) != 0)
        return RLKI_NOT_OURS;
    if (bench_pttl(b, entry) < command->ms) {
        entry->expiry_ms = b->now_ms + command->ms;
        bench_changed(b, link->server, command->key, link);
    }
    bench_watch(link, command->key);
    return bench_pttl(b, entry);
}

/* Does what Redis does with it, and writes the reply. */
static void bench_perform(bench_link *link, bench_command *command)
{
    bench *b = link->bench;
    bench_server *server = link->server;
    bench_entry *entry = bench_find(b, server, command->key);
    bool ours = entry != NULL && strcmp(entry->token, command->token) == 0;
    char *reply = command->reply;
    size_t cap = sizeof command->reply;

    if (entry != NULL && entry->wrong_type &&
        (command->kind == BENCH_RAISE || command->kind == BENCH_CHECK ||
         command->kind == BENCH_RELEASE || command->kind == BENCH_GET)) {
        (void)snprintf(reply, cap, BENCH_WRONGTYPE);
        return;
    }
    switch (command->kind) {
    case BENCH_SET:
        (void)snprintf(reply, cap, entry != NULL ? BENCH_NIL : BENCH_OK);
        if (entry == NULL) {
            bench_store(b, server, command->key, command->token, command->ms);
            bench_changed(b, server, command->key, link);
        }
        break;
    case BENCH_RAISE:
    case BENCH_CHECK:
        (void)snprintf(reply, cap, ":%lld\r\n", bench_raise(b, link, entry, command));
        break;
    case BENCH_RELEASE:
    case BENCH_DEL:
        ours = ours || (entry != NULL && command->kind == BENCH_DEL);
        (void)snprintf(reply, cap, ":%d\r\n",
                       ours                             ? 1
                       : command->kind == BENCH_RELEASE ? RLKI_NOT_OURS
                                                        : 0);
        if (ours) {
            entry->key[0] = '\0';
            bench_changed(b, server, command->key, link);
        }
        break;
    case BENCH_GET:
        bench_watch(link, command->key);
        if (entry == NULL)
            (void)snprintf(reply, cap, BENCH_NIL);
        else
            (void)snprintf(reply, cap, "$%zu\r\n%s\r\n", strlen(entry->token), entry->token);
        break;
    default: /* BENCH_PTTL */
        bench_watch(link, command->key);
        (void)snprintf(reply, cap, ":%lld\r\n", bench_pttl(b, entry));
        break;
    }
}

/* ---- The queue --------------------------------------------------------------------------- */

void bench_shift(bench_queue *queue)
{
    queue->len--;
    memmove(&queue->commands[0], &queue->commands[1], queue->len * sizeof queue->commands[0]);
}

bench_command *bench_add(bench_queue *queue)
{
    bench_command *command;

    assert_true(queue->len < BENCH_QUEUE);
    command = &queue->commands[queue->len++];
    memset(command, 0, sizeof *command);
    return command;
}

bench_command *bench_head(bench_link *link)
{
    return link->queue.len != 0 ? &link->queue.commands[0] : NULL;
}

/* ---- Commands ---------------------------------------------------------------------------- */

/* CLIENT KILL: what that stream still had to execute is gone. */
static void bench_fence(bench_link *link, unsigned stream)
{
    size_t i;
    size_t kept = 0;

    for (i = 0; i < link->loose.len; i++)
        if (link->loose.commands[i].stream != stream)
            link->loose.commands[kept++] = link->loose.commands[i];
    link->loose.len = kept;
}

/* What the server itself answers: the handshake. NULL: it is a command of the lock room. */
static const char *bench_handshake(bench_link *link, const char *words, char *reply, size_t cap)
{
    bench_server *server = link->server;
    unsigned own = (unsigned)(server - link->bench->servers);
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
        (void)snprintf(reply, cap, server->tracking ? BENCH_OK : BENCH_NOPERM);
    } else if (stream_matches(words, "INFO")) {
        if (server->no_ids)
            (void)snprintf(reply, cap, BENCH_NOPERM);
        else
            (void)snprintf(reply, cap, "$50\r\nrun_id:%040u\r\n\n\r\n",
                           server->run * 10 + instance);
    } else if (stream_matches(words, "CLIENT ID")) {
        if (server->no_ids)
            (void)snprintf(reply, cap, BENCH_NOPERM);
        else
            (void)snprintf(reply, cap, ":%u\r\n", link->stream);
    } else if (stream_matches(words, "CLIENT KILL")) {
        server->kills++;
        bench_fence(link, (unsigned)atoi(words + strlen("CLIENT KILL ID ")));
        (void)snprintf(reply, cap, ":%d\r\n", server->kill_result);
    } else if (stream_matches(words, "SCRIPT LOAD")) {
        server->loads++;
        (void)snprintf(reply, cap, "$40\r\n%s\r\n", RLKI_SCRIPT_DIGEST);
    } else {
        return NULL;
    }
    return reply;
}

/* The next word; the rest is where it ended. */
static char *bench_word(char **rest)
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

static void bench_decode_script(bench_command *command, char *rest)
{
    assert_string_equal(bench_word(&rest), RLKI_SCRIPT_DIGEST);
    assert_string_equal(bench_word(&rest), "1");
    (void)snprintf(command->key, sizeof command->key, "%s", bench_word(&rest));
    (void)snprintf(command->token, sizeof command->token, "%s", bench_word(&rest));
    command->kind = BENCH_RELEASE;
    if (rest[0] != '\0') {
        command->ms = atoll(bench_word(&rest));
        command->kind = command->ms == -1 ? BENCH_CHECK : BENCH_RAISE;
        assert_true(command->ms == -1 || command->ms > 0); /* rule 6: PEXPIRE of 0 deletes */
    }
    assert_string_equal(rest, "");
}

void bench_decode(bench_link *link, bench_command *command, char *words)
{
    char *rest = words;
    const char *name;

    command->sent_ms = link->bench->now_ms;
    command->stream = link->stream;
    if (bench_handshake(link, words, command->reply, sizeof command->reply) != NULL) {
        command->kind = BENCH_OTHER;
        command->executed = true;
        return;
    }
    name = bench_word(&rest);
    if (strcmp(name, "EVALSHA") == 0) {
        bench_decode_script(command, rest);
        return;
    }
    (void)snprintf(command->key, sizeof command->key, "%s", bench_word(&rest));
    if (strcmp(name, "SET") == 0) {
        command->kind = BENCH_SET;
        (void)snprintf(command->token, sizeof command->token, "%s", bench_word(&rest));
        assert_string_equal(bench_word(&rest), "NX");
        assert_string_equal(bench_word(&rest), "PX");
        command->ms = atoll(bench_word(&rest));
    } else if (strcmp(name, "GET") == 0) {
        command->kind = BENCH_GET;
    } else if (strcmp(name, "PTTL") == 0) {
        command->kind = BENCH_PTTL;
    } else {
        assert_string_equal(name, "DEL");
        command->kind = BENCH_DEL;
    }
    assert_string_equal(rest, "");
}

bool bench_execute(bench_link *link)
{
    size_t i;

    for (i = 0; i < link->queue.len; i++) {
        bench_command *command = &link->queue.commands[i];

        if (command->executed)
            continue;
        command->executed = true;
        if (link->server->fails != NULL)
            (void)snprintf(command->reply, sizeof command->reply, "%s", link->server->fails);
        else
            bench_perform(link, command);
        return true;
    }
    return false;
}

bool bench_execute_loose(bench_link *link)
{
    if (link->loose.len == 0)
        return false;
    bench_perform(link, &link->loose.commands[0]);
    bench_shift(&link->loose);
    return true;
}
