/* SPDX-License-Identifier: MIT */
#include "model_internal.h"

#include <stdio.h>

/* ---- Replies ----------------------------------------------------------------------------- */

void model_emit(model_server *server, const char *bytes, size_t len)
{
    if (server->silent)
        return;
    server->hooks.emit(server->hooks.context, server->current, bytes, len);
}

void model_reply(model_server *server, const char *text)
{
    model_emit(server, text, strlen(text));
}

size_t model_digits(char *out, int64_t value)
{
    char reversed[24];
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t n = 0;
    size_t len = 0;

    do {
        reversed[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0)
        out[len++] = '-';
    while (n > 0)
        out[len++] = reversed[--n];
    return len;
}

void model_reply_integer(model_server *server, char type, int64_t value)
{
    char text[32];
    size_t len = 1;

    text[0] = type;
    len += model_digits(text + 1, value);
    memcpy(text + len, "\r\n", 2);
    model_emit(server, text, len + 2);
}

static size_t model_bulk(char *out, const char *text, size_t len)
{
    size_t n = 1;

    out[0] = '$';
    n += model_digits(out + 1, (int64_t)len);
    memcpy(out + n, "\r\n", 2);
    memcpy(out + n + 2, text, len);
    memcpy(out + n + 2 + len, "\r\n", 2);
    return n + len + 4;
}

void model_reply_bulk(model_server *server, const char *text, size_t len)
{
    char out[MODEL_TEXT + 32];

    model_emit(server, out, model_bulk(out, text, len));
}

void model_reply_null(model_server *server)
{
    model_reply(server, server->clients[server->current].protocol == 3 ? "_\r\n" : "$-1\r\n");
}

/* ---- Tracking ---------------------------------------------------------------------------- */

/* RESP2 has no pushes: such a client gets nothing (redirection is not modelled). */
static void model_push(model_server *server, unsigned client, const model_key *key)
{
    char out[MODEL_TEXT + 64];
    size_t len;

    if (server->clients[client].protocol != 3)
        return;
    memcpy(out, ">2\r\n$10\r\ninvalidate\r\n", 21);
    len = 21;
    if (key == NULL) {
        memcpy(out + len, "_\r\n", 3);
        len += 3;
    } else {
        memcpy(out + len, "*1\r\n", 4);
        len += 4;
        len += model_bulk(out + len, key->key, key->key_len);
    }
    server->hooks.emit(server->hooks.context, client, out, len);
}

static void model_untrack(model_server *server, model_key *key)
{
    if (key->tracked)
        server->tracked--;
    key->tracked = false;
    key->readers = 0;
}

void model_touch(model_server *server, model_key *key)
{
    unsigned i;

    for (i = 0; i < server->used && key->readers >> i != 0; i++) {
        const model_client *client = &server->clients[i];

        if ((key->readers >> i & 1) == 0 || !client->open || !client->tracking)
            continue;
        /* whatever the reason: also of a key that had expired, or left the table; and yet its
         * interest is consumed */
        if (client->noloop && i == server->current)
            continue;
        if (i == server->current)
            server->deferred[server->deferred_len++] = (unsigned)(key - server->keys);
        else
            model_push(server, i, key);
    }
    model_untrack(server, key);
}

void model_remember(model_server *server, model_word word)
{
    const model_client *client = &server->clients[server->current];
    model_key *key = client->tracking ? model_place(server, word) : NULL;

    if (key == NULL)
        return;
    if (!key->tracked)
        server->tracked++;
    key->tracked = true;
    key->readers |= UINT64_C(1) << server->current;
}

void model_track(model_server *server, bool on, bool noloop)
{
    model_client *client = &server->clients[server->current];

    client->tracking = on;
    client->noloop = on && noloop;
}

/* Before a command: the table is brought back to its bound. */
static void model_bound_table(model_server *server)
{
    while (server->tracked_max != 0 && server->tracked > server->tracked_max) {
        unsigned n = server->hooks.choose(server->hooks.context, server->tracked);
        unsigned i = 0;

        for (;; i++)
            if (server->keys[i].tracked && n-- == 0)
                break;
        model_touch(server, &server->keys[i]);
    }
}

static void model_push_deferred(model_server *server)
{
    unsigned i;

    for (i = 0; i < server->deferred_len; i++)
        model_push(server, server->current, &server->keys[server->deferred[i]]);
    if (server->deferred_null)
        model_push(server, server->current, NULL);
    server->deferred_len = 0;
    server->deferred_null = false;
}

/* ---- Data -------------------------------------------------------------------------------- */

static model_key *model_search(const model_server *server, const char *text, size_t len)
{
    unsigned i;

    for (i = 0; i < server->keys_len; i++) {
        const model_key *key = &server->keys[i];

        if (key->key_len == len && memcmp(key->key, text, len) == 0)
            return (model_key *)(size_t)key;
    }
    return NULL;
}

static bool model_is_over(const model_server *server, const model_key *key)
{
    return server->now_ms > key->when_ms;
}

model_key *model_entry(model_server *server, model_word word)
{
    return model_search(server, word.text, word.len);
}

const model_key *model_find(const model_server *server, const char *text, size_t len)
{
    const model_key *key = model_search(server, text, len);

    return key != NULL && key->present && !model_is_over(server, key) ? key : NULL;
}

model_key *model_place(model_server *server, model_word word)
{
    model_key *key = model_search(server, word.text, word.len);

    if (key != NULL || server->keys_len == MODEL_KEYS || word.len > MODEL_TEXT)
        return key;
    key = &server->keys[server->keys_len++];
    memset(key, 0, sizeof *key);
    memcpy(key->key, word.text, word.len);
    key->key_len = (uint8_t)word.len;
    return key;
}

static void model_report(const model_server *server, const model_key *key, model_change change)
{
    if (server->hooks.changed != NULL)
        server->hooks.changed(server->hooks.context, key, change);
}

void model_store(model_server *server, model_key *key, model_word value, int64_t when_ms)
{
    if (key->present)
        model_report(server, key, MODEL_REPLACED);
    key->present = true;
    key->list = false;
    key->when_ms = when_ms;
    key->value_len = (uint8_t)value.len;
    memcpy(key->value, value.text, value.len);
    model_touch(server, key);
    model_report(server, key, MODEL_STORED);
}

void model_delete(model_server *server, model_key *key, model_change change)
{
    key->present = false;
    model_touch(server, key);
    model_report(server, key, change);
}

model_key *model_lookup(model_server *server, model_word word)
{
    model_key *key = model_search(server, word.text, word.len);

    if (key == NULL || !key->present)
        return NULL;
    if (!model_is_over(server, key))
        return key;
    if (!model_is_paused(server))
        model_delete(server, key, MODEL_EXPIRED);
    return NULL;
}

void model_expire(model_server *server)
{
    unsigned i;

    if (model_is_paused(server))
        return;
    for (i = 0; i < server->keys_len; i++)
        if (server->keys[i].present && model_is_over(server, &server->keys[i]))
            model_delete(server, &server->keys[i], MODEL_EXPIRED);
}

void model_flush_tracking(model_server *server)
{
    unsigned i;

    for (i = 0; i < server->keys_len; i++)
        model_untrack(server, &server->keys[i]);
    for (i = 0; i < server->used; i++) {
        if (!server->clients[i].open || !server->clients[i].tracking)
            continue;
        if (i == server->current)
            server->deferred_null = true;
        else
            model_push(server, i, NULL);
    }
}

void model_flush(model_server *server)
{
    unsigned i;

    model_flush_tracking(server);
    for (i = 0; i < server->keys_len; i++) {
        if (server->keys[i].present) {
            server->keys[i].present = false;
            model_report(server, &server->keys[i], MODEL_LOST);
        }
    }
}

void model_drop(model_server *server, const char *text, size_t len)
{
    model_key *key = model_search(server, text, len);

    if (key != NULL && key->present)
        model_delete(server, key, MODEL_LOST);
}

void model_drop_all(model_server *server)
{
    model_flush(server);
}

void model_bring_back(model_server *server, const model_key *keys, unsigned keys_len)
{
    unsigned i;

    for (i = 0; i < server->keys_len; i++)
        model_drop(server, server->keys[i].key, server->keys[i].key_len);
    for (i = 0; i < keys_len; i++) {
        model_word word = {keys[i].key, keys[i].key_len};
        model_key *key = model_place(server, word);

        if (!keys[i].present)
            continue;
        key->present = true;
        key->list = keys[i].list;
        key->when_ms = keys[i].when_ms;
        key->value_len = keys[i].value_len;
        memcpy(key->value, keys[i].value, sizeof key->value);
        model_report(server, key, MODEL_STORED);
    }
}

/* ---- Clients ----------------------------------------------------------------------------- */

static void model_new_instance(model_server *server, uint64_t instance)
{
    server->current = MODEL_CLIENTS;
    server->next_id = 1;
    server->waits = 0;
    server->used = 0;
    server->pause_until_ms = INT64_MIN;
    server->script = false;
    server->deferred_len = 0;
    server->deferred_null = false;
    (void)snprintf(server->run_id, sizeof server->run_id, "%040llx", (unsigned long long)instance);
}

void model_start(model_server *server, const model_hooks *hooks, uint64_t instance, int64_t now_ms)
{
    server->hooks = *hooks;
    server->now_ms = now_ms;
    server->keys_len = 0;
    server->tracked = 0;
    server->tracked_max = 0;
    server->refusal = MODEL_WILLING;
    server->pause_all = false;
    server->old = false;
    server->no_ids = false;
    server->untracked = false;
    server->silent = false;
    model_new_instance(server, instance);
}

void model_restart(model_server *server, uint64_t instance)
{
    unsigned i;

    for (i = 0; i < server->keys_len; i++)
        model_untrack(server, &server->keys[i]);
    model_new_instance(server, instance);
}

unsigned model_open(model_server *server, const char *address)
{
    model_client *client;
    unsigned i = 0;

    while (i < server->used && server->clients[i].open)
        i++;
    if (i == MODEL_CLIENTS)
        return MODEL_CLIENTS;
    if (i == server->used)
        server->used++;
    client = &server->clients[i];
    client->open = true;
    client->blocked = false;
    client->tracking = false;
    client->noloop = false;
    client->protocol = 2;
    client->elsewhere = false;
    client->id = server->next_id++;
    client->input_len = 0;
    (void)strncpy(client->address, address, sizeof client->address - 1);
    client->address[sizeof client->address - 1] = '\0';
    return i;
}

void model_close(model_server *server, unsigned client)
{
    unsigned i;

    server->clients[client].open = false;
    for (i = 0; i < server->keys_len; i++)
        server->keys[i].readers &= ~(UINT64_C(1) << client);
}

void model_kill(model_server *server, unsigned client)
{
    model_close(server, client);
    server->hooks.killed(server->hooks.context, client);
}

/* ---- Input ------------------------------------------------------------------------------- */

#define MODEL_WORDS 16

/* A number behind `mark`. Returns the bytes that it takes, 0 if they are not all there. */
static size_t model_header(const uint8_t *bytes, size_t len, char mark, size_t *value)
{
    size_t n = 1;

    *value = 0;
    if (len == 0 || bytes[0] != (uint8_t)mark)
        return 0;
    while (n < len && bytes[n] >= '0' && bytes[n] <= '9')
        *value = *value * 10 + (size_t)(bytes[n++] - '0');
    return n + 2 <= len && bytes[n] == '\r' ? n + 2 : 0;
}

/* Splits the command that begins here. Returns its length, 0 if it is not all there. */
static size_t model_split(const uint8_t *bytes, size_t len, model_word *words, unsigned *count)
{
    size_t n;
    size_t i;
    size_t at = model_header(bytes, len, '*', &n);

    if (at == 0 || n > MODEL_WORDS)
        return 0;
    for (i = 0; i < n; i++) {
        size_t word_len;
        size_t header = model_header(bytes + at, len - at, '$', &word_len);

        if (header == 0 || at + header + word_len + 2 > len)
            return 0;
        words[i].text = (const char *)bytes + at + header;
        words[i].len = word_len;
        at += header + word_len + 2;
    }
    *count = (unsigned)n;
    return at;
}

/* Executes what is complete; stops at a command that waits for the end of a pause. */
static void model_process(model_server *server, unsigned number)
{
    model_client *client = &server->clients[number];
    model_word words[MODEL_WORDS];
    unsigned count;
    size_t done = 0;
    size_t len;

    while (client->open &&
           (len = model_split(client->input + done, client->input_len - done, words, &count)) > 0) {
        server->current = number;
        model_bound_table(server);
        client->blocked = !model_execute(server, words, count);
        if (client->open && !client->blocked)
            model_push_deferred(server);
        server->current = MODEL_CLIENTS;
        if (client->blocked) {
            client->blocked_since = server->waits++;
            break;
        }
        done += len;
    }
    client->input_len -= (uint32_t)done;
    if (client->input_len > 0 && done > 0)
        memmove(client->input, client->input + done, client->input_len);
}

bool model_input(model_server *server, unsigned number, const uint8_t *bytes, size_t len)
{
    model_client *client = &server->clients[number];

    if (len > MODEL_INPUT - client->input_len) {
        model_kill(server, number);
        return false;
    }
    memcpy(client->input + client->input_len, bytes, len);
    client->input_len += (uint32_t)len;
    if (!client->blocked)
        model_process(server, number);
    return true;
}

/* ---- Time -------------------------------------------------------------------------------- */

bool model_is_paused(const model_server *server)
{
    return server->now_ms < server->pause_until_ms;
}

void model_unpause(model_server *server)
{
    server->pause_until_ms = INT64_MIN;
}

/* Who has waited longest; MODEL_CLIENTS: nobody waits. */
static unsigned model_first_blocked(const model_server *server)
{
    unsigned first = MODEL_CLIENTS;
    unsigned i;

    for (i = 0; i < server->used; i++) {
        const model_client *client = &server->clients[i];

        if (client->open && client->blocked &&
            (first == MODEL_CLIENTS ||
             client->blocked_since < server->clients[first].blocked_since))
            first = i;
    }
    return first;
}

void model_set_time(model_server *server, int64_t now_ms)
{
    unsigned i;

    server->now_ms = now_ms;
    if (server->pause_until_ms == INT64_MIN || model_is_paused(server))
        return;
    model_unpause(server);
    /* one of them may pause it again */
    while (!model_is_paused(server) && (i = model_first_blocked(server)) != MODEL_CLIENTS) {
        server->clients[i].blocked = false;
        model_process(server, i);
    }
}
