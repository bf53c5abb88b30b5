/* SPDX-License-Identifier: MIT
 *
 * Internal: our address at the server, in little memory.
 */
#ifndef RLKI_NET_LOCAL_H
#define RLKI_NET_LOCAL_H

#include "resplock/net.h"

/* Packs "ip:port" into what is all zero. So it stays where the text is longer than an address, or
 * has a letter that no address has. */
void rlki_local_pack(rlk_conn_local *local, const char *text);

/* Unpacks it, terminated. */
void rlki_local_text(const rlk_conn_local *local, char text[RLK_CONN_LOCAL]);

static inline bool rlki_local_is_known(const rlk_conn_local *local)
{
    return local->words[0] != 0;
}

#endif
