/* SPDX-License-Identifier: MIT
 *
 * Internal: the step INFO.
 */
#ifndef RLKI_NET_INFO_H
#define RLKI_NET_INFO_H

#include "steps.h"

/* Takes note of the server's mode, "standalone", "cluster" or "sentinel", by its first two letters:
 * as HELLO and INFO have it. */
void rlki_info_mode(rlk_conn *conn, uint8_t first, uint8_t second);

extern const conn_step rlki_step_info;

#endif
