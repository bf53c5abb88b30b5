/* SPDX-License-Identifier: MIT
 *
 * What the files of the model server share.
 *
 *   model_server.c    data, expiry, tracking, clients, pauses
 *   model_commands.c  the commands
 */
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

#include "model_server.h"

#include <string.h>

#define MODEL_NEVER INT64_MAX

typedef struct model_word {
    const char *text;
    size_t len;
} model_word;

/* ---- model_server.c ---- */

/* The key for a command: NULL if it is not there; one that has expired is deleted, unless the
 * server is paused. */
model_key *model_lookup(model_server *server, model_word key);
/* The key's entry, there or not; NULL: nobody has ever named it. */
model_key *model_entry(model_server *server, model_word key);
/* The same, where it has none yet, too; NULL when all places are taken. */
model_key *model_place(model_server *server, model_word key);
void model_store(model_server *server, model_key *key, model_word value, int64_t when_ms);
void model_delete(model_server *server, model_key *key, model_change change);
/* Notifies the clients that read the key. */
void model_touch(model_server *server, model_key *key);
/* Notes the client of the command for notifications of changes of this key. */
void model_remember(model_server *server, model_word key);
void model_track(model_server *server, bool on, bool noloop);
/* All keys are gone. */
void model_flush(model_server *server);
/* All keys of a database are gone, of this one or another: notifies the clients that track any. */
void model_flush_tracking(model_server *server);
void model_kill(model_server *server, unsigned client);
void model_unpause(model_server *server);

void model_emit(model_server *server, const char *bytes, size_t len);
void model_reply(model_server *server, const char *text);
void model_reply_integer(model_server *server, char type, int64_t value);
void model_reply_bulk(model_server *server, const char *text, size_t len);
void model_reply_null(model_server *server);
/* Digits of a number; returns how many. */
size_t model_digits(char *out, int64_t value);

/* ---- model_commands.c ---- */

/* False: it must wait for the end of the pause. */
bool model_execute(model_server *server, const model_word *words, unsigned count);

#endif
