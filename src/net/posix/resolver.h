/* SPDX-License-Identifier: MIT
 *
 * Internal: from the host of a URL to addresses.
 */
#ifndef RLKI_NET_RESOLVER_H
#define RLKI_NET_RESOLVER_H

#include "resplock/socket.h"

/*
 * Fills sock->addresses for the host of `url` and sets sock->addresses_len. Literals and localhost
 * need nobody's help; of other names the hook is asked, without hook the system if may_block.
 * RLK_OK with one address at least; RLK_E_RESOLVE, with the system's errno in sock->last_errno
 * where it is known; RLK_E_RESOLVER when there is nobody to ask.
 */
rlk_result rlki_resolve(rlk_socket *sock, const rlk_url *url, bool may_block);

#endif
