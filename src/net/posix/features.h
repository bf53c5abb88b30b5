/* SPDX-License-Identifier: MIT
 *
 * Internal: before the first header of the system. -std=c99 hides POSIX, and what the first header
 * decided stays: a file that comes too late says so here, in one error rather than in a hundred.
 */
#ifndef RLKI_NET_FEATURES_H
#define RLKI_NET_FEATURES_H

#include "resplock/config.h"

#ifdef RLKI_POSIX

#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#endif

#include <fcntl.h>
#include <netdb.h>
#include <time.h>

#if !defined(AI_NUMERICHOST) || !defined(CLOCK_MONOTONIC) || !defined(O_CLOEXEC)
#error "resplock needs POSIX of 2008: include it before all else, or compile with \
-D_POSIX_C_SOURCE=200809L, or with -DRLK_NO_POSIX for the engine alone"
#define RLK_NO_POSIX /* so that no error follows in the one file */
#undef RLKI_POSIX
#endif

#endif /* RLKI_POSIX */

#endif
