/* SPDX-License-Identifier: MIT
 *
 * resplock.h: distributed locks over RESP servers. All of the public interface.
 */
#if (defined(RESPLOCK_IMPLEMENTATION) || defined(RESPLOCK_STATIC)) && !defined(RESPLOCK_IMPLEMENTED)
#error "this resplock.h has no implementation in it; the one that has is single/resplock.h"
#endif

#ifndef RESPLOCK_H
#define RESPLOCK_H

#include "resplock/base.h"
#include "resplock/resp.h"
#include "resplock/url.h"
#include "resplock/net.h"
#include "resplock/lock.h"
#include "resplock/trace.h"
#include "resplock/election.h"
#include "resplock/scoped.h"
#include "resplock/transfer.h"
#include "resplock/ticks.h"
#include "resplock/tls.h"
#ifndef RLK_NO_POSIX
#include "resplock/socket.h"
#include "resplock/posix.h"
#include "resplock/adapter.h"
#endif

#endif
