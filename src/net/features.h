/* SPDX-License-Identifier: MIT
 *
 * Internal: before the first header of the system. -std=c99 hides POSIX, and what the first header
 * decided stays: a file that comes too late says so here, rather than in a hundred errors.
 */
#ifndef RLKI_NET_FEATURES_H
#define RLKI_NET_FEATURES_H

#include "resplock/config.h"

#ifndef RLK_NO_POSIX

#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#endif

#include <netdb.h>
#include <time.h>

#if !defined(CLOCK_MONOTONIC) || !defined(AI_NUMERICHOST)
#error                                                                                             \
    "resplock: POSIX is hidden: include resplock before all else, or compile with -D_DEFAULT_SOURCE"
#endif

#endif /* RLK_NO_POSIX */

#endif
