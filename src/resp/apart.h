/* SPDX-License-Identifier: MIT
 *
 * Internal: functions that stay apart from their callers.
 */
#ifndef RLKI_APART_H
#define RLKI_APART_H

/* Not inlined, though it is called from one place only. */
#if defined(__GNUC__)
#define RLKI_APART __attribute__((noinline))
#else
#define RLKI_APART
#endif

/* The same where bytes count: of what is called from several places. */
#if defined(__OPTIMIZE_SIZE__)
#define RLKI_APART_FOR_SIZE RLKI_APART
#else
#define RLKI_APART_FOR_SIZE
#endif

#endif
