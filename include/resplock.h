/* SPDX-License-Identifier: MIT
 *
 * resplock.h: distributed locks over RESP servers. All of the public interface.
 */
#ifndef RESPLOCK_H
#define RESPLOCK_H

#include "resplock/base.h"
#include "resplock/resp.h"
#include "resplock/net.h"
#include "resplock/lock.h"
#include "resplock/ticks.h"
#ifndef RLK_NO_POSIX
#include "resplock/socket.h"
#include "resplock/posix.h"
#endif

#endif
