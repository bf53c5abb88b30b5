/* SPDX-License-Identifier: MIT */
#include "validity.h"

/* 2^32 / 10^6, rounded up: parts per million to a binary fraction, without a 64-bit division. */
#define VALIDITY_PPM_UNIT 4295u

uint32_t rlki_drift(uint32_t horizon_ms, uint32_t drift_ppm, uint32_t drift_ms)
{
    uint64_t part = ((uint64_t)horizon_ms * (drift_ppm * VALIDITY_PPM_UNIT)) >> 32;
    uint64_t drift = part + 1 + drift_ms;
    return drift > INT32_MAX ? (uint32_t)INT32_MAX : (uint32_t)drift;
}

unsigned rlki_quorum(unsigned nodes)
{
    return nodes / 2 + 1;
}

int64_t rlki_quorum_value(const int64_t *values, unsigned n, unsigned q)
{
    int64_t sorted[RLK_MAX_NODES]; /* descending */
    unsigned i;
    if (RLK_MAX_NODES == 1)
        return values[0];
    sorted[0] = values[0];
    for (i = 1; i < n; i++) {
        unsigned at = i;
        while (at > 0 && sorted[at - 1] < values[i]) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = values[i];
    }
    return sorted[q - 1];
}

int64_t rlki_later(int64_t time_ms, int64_t duration_ms)
{
    return time_ms > INT64_MAX - duration_ms ? INT64_MAX : time_ms + duration_ms;
}

int64_t rlki_confirmed_expiry(int64_t known_ms, bool same_stream, int64_t t0_ms, int64_t now_ms,
                              int64_t p_ms)
{
    int64_t earliest = rlki_later(t0_ms, p_ms);
    if (same_stream && known_ms >= earliest && known_ms <= rlki_later(now_ms, p_ms))
        return known_ms;
    return earliest;
}
