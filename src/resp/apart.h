/* SPDX-License-Identifier: MIT
 *
 * Internal: functions that stay apart from their callers, or become part of them.
 *
 * A function that is `inline` in a header has one copy, where a file says `extern inline`. The
 * compiler makes it part of a caller where it finds that this pays: at -Os rarely.
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

/* Part of each caller, also in other files, unless bytes count: of small ones that run in each
 * cycle. In a header, with `extern inline` in one file. */
#if defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#define RLKI_INTO_CALLERS inline __attribute__((always_inline))
#else
#define RLKI_INTO_CALLERS inline
#endif

#endif
