/* SPDX-License-Identifier: MIT
 *
 * Internal: what the entries of the ring are.
 */
#ifndef RLKI_NET_STEPS_H
#define RLKI_NET_STEPS_H

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

/* Name of CONN_STEP_SCRIPTS. */
#define CONN_SCRIPT_LOAD "SCRIPT LOAD"

#endif
