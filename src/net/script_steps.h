/* SPDX-License-Identifier: MIT
 *
 * Internal: the steps of the handshake that make sure that the script can run.
 */
#ifndef RLKI_NET_SCRIPT_STEPS_H
#define RLKI_NET_SCRIPT_STEPS_H

#include "steps.h"

/* True if the connection can do without SCRIPT LOAD: there is a probe. */
bool rlki_script_may_eval(const rlk_conn *conn);

extern const conn_step rlki_step_scripts;
extern const conn_step rlki_step_probe;
extern const conn_step rlki_step_eval;

#endif
