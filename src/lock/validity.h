/* SPDX-License-Identifier: MIT
 *
 * Arithmetic of leases: drift and quorum. Pure functions (rule 2 of docs/correctness.md).
 */
#ifndef RLKI_VALIDITY_H
#define RLKI_VALIDITY_H

#include "resplock/lock.h"

/* The expiry of a node that does not have our token: before all times. */
#define RLKI_EXPIRED INT64_MIN

/* Greatest drift_ppm that rlki_drift takes: half of the horizon. */
#define RLKI_DRIFT_PPM_MAX 500000u

/* By how much the two clocks may differ after horizon_ms, rounded up; at most INT32_MAX. */
uint32_t rlki_drift(uint32_t horizon_ms, uint32_t drift_ppm, uint32_t drift_ms);

/* Nodes of n that must agree: n/2 + 1. */
unsigned rlki_quorum(unsigned nodes);

/* The q-th largest of n values (1 <= q <= n <= RLK_MAX_NODES): at this time a quorum of q is still
 * there, if values are expiries. */
int64_t rlki_quorum_value(const int64_t *values, unsigned n, unsigned q);

/*
 * New expiry of a node whose script began no earlier than t0_ms and said at now_ms that p_ms
 * remain: t0 + p for certain. The known one stays if it lies within what that answer allows and
 * was confirmed on the same stream (then it is the same fact, known better).
 */
int64_t rlki_confirmed_expiry(int64_t known_ms, bool same_stream, int64_t t0_ms, int64_t now_ms,
                              int64_t p_ms);

/* a + b without overflow, b >= 0. */
int64_t rlki_later(int64_t time_ms, int64_t duration_ms);

#endif
