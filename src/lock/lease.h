/* SPDX-License-Identifier: MIT
 *
 * Until when a lock may say that it is held: pure arithmetic of drift, expiry and quorum (rule 2 of
 * docs/correctness.md). Nothing here asks a clock or sends a command.
 */
#ifndef RLKI_LOCK_LEASE_H
#define RLKI_LOCK_LEASE_H

#include "state.h"

/* Greatest drift_ppm that rlki_drift takes: half of the horizon. */
#define RLKI_DRIFT_PPM_MAX 500000u

/* Returns by how much the two clocks may differ after horizon_ms, rounded up; at most INT32_MAX. */
uint32_t rlki_drift(uint32_t horizon_ms, uint32_t drift_ppm, uint32_t drift_ms);

/* The same with the drift that a client reckons with. */
uint32_t rlki_client_drift(const rlk_client *client, uint32_t horizon_ms);

/* Returns how many nodes of n must agree: n/2 + 1. */
unsigned rlki_quorum(unsigned nodes);

/* Returns the q-th largest of n values (1 <= q <= n <= RLK_MAX_NODES): at this time a quorum of q
 * is still there, if values are expiries. */
int32_t rlki_quorum_value(const int32_t *values, unsigned n, unsigned q);

/*
 * Returns the new expiry of a node whose script began no earlier than t0_ms and said at now_ms that
 * p_ms remain: t0 + p for certain. The known one stays if it lies within what that answer allows
 * and was confirmed on the same stream (then it is the same fact, known better).
 */
int32_t rlki_confirmed_expiry(int32_t known_ms, bool same_stream, int32_t t0_ms, int32_t now_ms,
                              int32_t p_ms);

/* Returns time_ms + duration_ms without overflow; duration_ms >= 0. */
int32_t rlki_later(int32_t time_ms, int32_t duration_ms);

/* Returns the time duration_ms after the client's, without overflow. */
int32_t rlki_from_now(const rlk_lock *lock, uint32_t duration_ms);

/* Returns how long it is until a time, without overflow: negative where that is past. */
int32_t rlki_left(const rlk_lock *lock, int32_t time_ms);

/* ---- One node ---- */

/* Returns until when the lock counts as held on a node: its expiry less drift. */
int32_t rlki_node_until(const rlk_client *client, const rlk_node_lock *node);

/* The key on the node expires at expiry_ms, as was asked for at t0_ms on this stream. */
inline void rlki_node_confirm(rlk_node_lock *node, int32_t expiry_ms, int32_t t0_ms,
                              uint32_t generation)
{
    node->expiry_ms = expiry_ms;
    node->horizon_ms = expiry_ms > t0_ms ? (uint32_t)expiry_ms - (uint32_t)t0_ms : 0;
    node->generation = generation;
}

/*
 * The script says that p_ms remain. No more is believed than was known before or is asked for
 * (asked_ms; RLKI_EXPIRED of a check, which asks for nothing): a server whose clock went back, or
 * an extend that was given up, must not lengthen a lease behind the caller's back (rule 8).
 */
void rlki_node_confirm_left(const rlk_client *client, rlk_node_lock *node, int32_t asked_ms,
                            int32_t t0_ms, int32_t p_ms, uint32_t generation);

/* ---- All nodes of a lock ---- */

/* Returns until when a quorum of nodes has the token, as they confirmed it, less drift. */
int32_t rlki_lease_until(const rlk_lock *lock);

/* Begins the lease of a lock that was acquired now, and lasts until valid_ms: it takes the place of
 * what the acquire knew. */
void rlki_lease_begin(rlk_lock *lock, int32_t valid_ms);

/* Recomputes the lease's deadline from what the nodes confirmed. */
void rlki_lease_validate(rlk_lock *lock);

/* Returns the expiry that the lock may claim, before drift. */
int32_t rlki_lease_expiry(const rlk_lock *lock);

/* Sets the expiry that is claimed from now on, whatever the nodes have; horizon_ms: from when it
 * was asked for on. */
void rlki_lease_claim(rlk_lock *lock, int32_t expiry_ms, uint32_t horizon_ms);

/* Sets the expiry that an extend or renew asks for. */
void rlki_lease_ask(rlk_lock *lock, int32_t target_ms);

/* ---- Renewal ---- */

/* Returns when a renewal of the lease as it is now is due: of a fresh one when a third of its TTL
 * has passed, or, where drift takes half of it or more, two thirds of what drift leaves. */
int32_t rlki_lease_renew_at(const rlk_lock *lock);

/* Returns the expiry that a renewal by the TTL asks for, not beyond the cap of the hold time;
 * RLKI_NEVER: a renewal gains nothing. */
int32_t rlki_lease_renew_target(const rlk_lock *lock);

/* Returns true if the lease would last longer by a raise to target_ms. */
bool rlki_lease_gains(const rlk_lock *lock, int32_t target_ms);

#endif
