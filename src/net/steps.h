/* SPDX-License-Identifier: MIT
 *
 * Internal: the steps of the handshake, as entries of the ring.
 */
#ifndef RLKI_NET_STEPS_H
#define RLKI_NET_STEPS_H

#include "resplock/net.h"

/* rlk_conn_entry.kind: a step of the handshake, in the order in which they are sent; or a request
 * of the layer above. */
enum {
#ifndef RLK_RESP2_ONLY
    CONN_STEP_HELLO,
#endif
    CONN_STEP_AUTH,
    CONN_STEP_SETNAME,
#ifndef RLK_RESP2_ONLY
    CONN_STEP_TRACKING,
#endif
    CONN_STEP_CLIENT_ID,
    CONN_STEP_SELECT,
    CONN_STEP_INFO,
    CONN_STEP_FENCE,
    CONN_STEP_SCRIPTS, /* at any time, if the server forgot them */
    CONN_STEP_PROBE,
    CONN_STEP_EVAL,
    CONN_STEPS,
    CONN_REQUEST = 0xff
};

/* conn_step.flags */
#define CONN_STEP_OPTIONAL 0x01u /* an error is tolerated */
#define CONN_STEP_SECRET   0x02u /* the command has the password in it */
#define CONN_STEP_EXTRA    0x04u /* left out where the peer hangs up at what it does not know */

typedef struct conn_step {
    const char *name;
    /* Writes the command. RLK_OK; with nothing written the step is skipped. RLK_PENDING: it waits
     * until all earlier replies were read. Or why the attempt fails. */
    rlk_result (*encode)(rlk_conn *conn, rlk_resp_writer *writer);
    void (*token)(rlk_conn *conn, const rlk_resp_token *token);  /* NULL: ignored */
    rlk_result (*reply)(rlk_conn *conn, const rlk_reply *reply); /* NULL: any will do */
    uint8_t flags;
} conn_step;

/* Name of CONN_STEP_SCRIPTS. */
#define CONN_SCRIPT_LOAD "SCRIPT LOAD"

/* Begins a command: writes the words of `words`, which one space each separates. `more` arguments
 * follow. */
void rlki_step_command(rlk_resp_writer *writer, const char *words, uint32_t more);

/* Writes one argument of a command. */
void rlki_step_word(rlk_resp_writer *writer, const char *word);

/* True of an error that says nothing of the command: any other would meet it too. */
bool rlki_step_is_refused(rlk_result error);

/* RLK_OK if the reply is a simple string, else what it says instead. */
rlk_result rlki_step_simple(const rlk_reply *reply);

#endif
