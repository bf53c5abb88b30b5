/* SPDX-License-Identifier: MIT
 *
 * Internal: the steps of the handshake that set up the session.
 */
#ifndef RLKI_NET_SESSION_H
#define RLKI_NET_SESSION_H

#include "steps.h"

extern const conn_step rlki_step_setname;
#ifndef RLK_RESP2_ONLY
extern const conn_step rlki_step_tracking;
#endif
extern const conn_step rlki_step_client_id;
extern const conn_step rlki_step_select;

#endif
