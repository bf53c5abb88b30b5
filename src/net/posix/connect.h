/* SPDX-License-Identifier: MIT
 *
 * Internal: from a URL to a stream.
 */
#ifndef RLKI_CONNECT_H
#define RLKI_CONNECT_H

#include "features.h"

#include "resplock/socket.h"

/* rlk_socket.state */
enum {
    RLKI_SOCKET_IDLE,
    RLKI_SOCKET_RESOLVING, /* these three: an attempt to connect is under way */
    RLKI_SOCKET_CONNECTING,
    RLKI_SOCKET_TLS,
    RLKI_SOCKET_UP
};

/*
 * Begins an attempt, with the addresses that the host has now. may_block: the system may be asked
 * for them. Returns RLK_OK: the stream is up, and the connection was notified. RLK_PENDING: goes on
 * with rlki_connect_go_on. Else the attempt is over, with errno in sock->last_errno, or 0.
 */
rlk_result rlki_connect_begin(rlk_socket *sock, bool may_block, int64_t now_ms);

/* Goes on after RLK_PENDING, with the same results. revents: as poll says. */
rlk_result rlki_connect_go_on(rlk_socket *sock, short revents, bool may_block, int64_t now_ms);

/* Returns in words what takes too long, or took it, if it is not the connect itself; else "". */
const char *rlki_connect_overdue(const rlk_socket *sock);

/* Ends the attempt or the stream, and closes the descriptor: IDLE. notify: after a close_notify of
 * TLS. */
void rlki_connect_shut(rlk_socket *sock, bool notify);

#endif
