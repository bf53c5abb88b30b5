/* SPDX-License-Identifier: MIT
 *
 * Internal: the step HELLO.
 */
#ifndef RLKI_NET_HELLO_H
#define RLKI_NET_HELLO_H

#include "steps.h"

#ifndef RLK_RESP2_ONLY
extern const conn_step rlki_step_hello;
#endif

#endif
