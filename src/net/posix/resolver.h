/* SPDX-License-Identifier: MIT
 *
 * Internal: from the host of a URL to addresses.
 */
#ifndef RLKI_NET_RESOLVER_H
#define RLKI_NET_RESOLVER_H

#include "resplock/socket.h"

/*
 * Finds sock->addresses for the host of `url`. Literals and localhost need nobody's help. Of other
 * names the resolver is asked, and the system if may_block where there is none that would answer.
 * RLK_OK with one address at least; RLK_PENDING: asked, go on by rlki_resolver_go_on.
 * RLK_E_RESOLVE, with the system's errno in sock->last_errno where it is known; RLK_E_RESOLVER when
 * there is nobody to ask.
 */
rlk_result rlki_resolver_begin(rlk_socket *sock, const rlk_url *url, bool may_block,
                               int64_t now_ms);

/* Goes on after RLK_PENDING, with the same results. ready: the lookup's descriptor is readable. */
rlk_result rlki_resolver_go_on(rlk_socket *sock, bool ready, bool may_block, int64_t now_ms);

/* Returns in words why it came to RLK_E_RESOLVE. */
const char *rlki_resolver_why(const rlk_socket *sock);

/* Ends the lookup under way; none may be. */
void rlki_resolver_end(rlk_socket *sock);

#endif
