/* SPDX-License-Identifier: MIT
 *
 * A client's time. The caller's clock has 64 bits. The client's own has 32, in which its times and
 * those of its locks take half the memory:
 *
 *     caller's clock  ----+-----------+-----------+-----------+---->
 *                         |           |           |
 *     own clock           0 ... UNIT, 0 ... UNIT, 0 ... UNIT, ...    (RLKI_CLOCK_UNIT)
 *
 * Where the own clock begins anew, all times of the client go back by as much. What is too long ago
 * for 32 bits stays RLKI_EXPIRED then: it is past, however long a process sleeps.
 */
#ifndef RLKI_LOCK_EPOCH_H
#define RLKI_LOCK_EPOCH_H

#include "state.h"

/* Sets the own clock passed_ms on, beyond RLKI_CLOCK_UNIT, to client->clock_ms: all times go back.
 */
void rlki_client_turn_back(rlk_client *client, uint64_t passed_ms);

/* Takes a time of the caller's clock; never goes back. */
inline void rlki_client_advance(rlk_client *client, int64_t clock_ms)
{
    uint64_t passed_ms = (uint64_t)clock_ms - (uint64_t)client->clock_ms;

    if (clock_ms <= client->clock_ms)
        return;
    client->clock_ms = clock_ms;
    if (passed_ms < (uint32_t)(RLKI_CLOCK_UNIT - client->now_ms))
        client->now_ms += (int32_t)passed_ms;
    else
        rlki_client_turn_back(client, passed_ms);
}

/* Samples the caller's clock; never goes back. */
inline void rlki_client_now(rlk_client *client)
{
    rlki_client_advance(client, client->env.now_ms(client->env.context));
}

/* Begins the client's time. */
void rlki_client_begin_time(rlk_client *client);

#endif
