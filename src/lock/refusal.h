/* SPDX-License-Identifier: MIT
 *
 * Numbers that were refused, and those that fit.
 */
#ifndef RLKI_LOCK_REFUSAL_H
#define RLKI_LOCK_REFUSAL_H

#include "state.h"

/* Remembers which number was refused, and from where to where it fits (`most` UINT32_MAX: no
 * bound); a NULL name: none was. */
#ifdef RLK_NO_TEXT
#define RLKI_REFUSE(client, name, number, least, most)                                             \
    ((void)(client), (void)(name), (void)(number))
#else
#define RLKI_REFUSE(client, name, number, least, most)                                             \
    rlki_refuse((client), (name), (int64_t)(number), (uint32_t)(least), (uint32_t)(most))
void rlki_refuse(rlk_client *client, const char *name, int64_t number, uint32_t least,
                 uint32_t most);

/* Returns the least TTL that outlasts drift and one attempt on one node. node_timeout_ms 0: the
 * default, which follows the TTL. */
uint32_t rlki_ttl_least(const rlk_client *client, int64_t node_timeout_ms);

struct text_out;
/* Writes what the client refused last; what the last handshake of a connection lacked; what an
 * operation would have taken. */
void rlki_text_refusal(struct text_out *out, const rlk_client *client);
void rlki_text_conn_limit(struct text_out *out, const rlk_conn *conn, rlk_result error);
void rlki_text_lock_limit(struct text_out *out, const rlk_lock *lock, unsigned operation,
                          rlk_result result);
#endif

/* Takes a time limit of a configuration, as rlki_limit_take does; false, and refused: it is out of
 * range. */
bool rlki_client_take_limit(rlk_client *client, uint32_t *out_ms, int64_t value_ms,
                            uint32_t default_ms, const char *name);

#endif
