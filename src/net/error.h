/* SPDX-License-Identifier: MIT
 *
 * Internal: whom an error reply concerns.
 */
#ifndef RLKI_NET_ERROR_H
#define RLKI_NET_ERROR_H

#include "resplock/net.h"

typedef enum rlki_scope {
    RLKI_SCOPE_UNKNOWN, /* no error that servers are known for: the command was executed or not */
    /* The others say for certain that the command was not executed. */
    RLKI_SCOPE_COMMAND, /* refused for now: the same may be asked again on this stream */
    RLKI_SCOPE_STREAM,  /* this stream leads to the wrong server, or says nothing more to us */
    RLKI_SCOPE_LASTING, /* the same, if it lasts */
    RLKI_SCOPE_FINAL    /* refused for good: not to be asked again */
} rlki_scope;

/* Whom the error concerns that rlk_server_error read; RLKI_SCOPE_UNKNOWN of other results. */
rlki_scope rlki_error_scope(rlk_result error);

#endif
