/* SPDX-License-Identifier: MIT
 *
 * Internal: TLS between a connection and its descriptor.
 */
#ifndef RLKI_TLS_STREAM_H
#define RLKI_TLS_STREAM_H

#include "features.h"

#include "resplock/socket.h"

#include <sys/types.h>

/* rlk_socket_tls.flags */
#define RLKI_TLS_BEGUN            0x01u /* the session has a stream */
#define RLKI_TLS_UP               0x40u /* through the handshake, and nothing has failed since */
#define RLKI_TLS_MORE             0x02u /* it has bytes that poll doesn't see any more */
#define RLKI_TLS_WANTS_WRITE      0x04u /* handshake, or read: goes on when it can be written */
#define RLKI_TLS_WRITE_WANTS_READ 0x08u /* write: goes on when there is something to read */
#define RLKI_TLS_MAY_WAIT         0x10u /* the next recv waits */
#define RLKI_TLS_INTERRUPTED      0x20u /* ... and a signal has ended that */

static inline bool rlki_tls_is_on(const rlk_socket *sock)
{
    return sock->tls.backend != NULL;
}

/* Returns true if the stream goes on: DONE, or a wait. */
static inline bool rlki_tls_goes_on(rlk_tls_status status)
{
    return status <= RLK_TLS_WANT_WRITE;
}

/* tls_stream.c, which only a backend's rlk_tls names. */
struct rlk_tls_driver {
    rlk_tls_status (*begin)(rlk_socket *sock);
    rlk_tls_status (*handshake)(rlk_socket *sock);
    rlk_tls_status (*transfer)(rlk_socket *sock, bool readable, bool writeable, int64_t now_ms);
    rlk_tls_status (*wait)(rlk_socket *sock, uint8_t *room, size_t cap, size_t *len);
    void (*end)(rlk_socket *sock, bool notify);
    void (*close)(rlk_socket *sock);
    rlk_result (*result)(rlk_socket *sock, rlk_tls_status status, int *error);
};

/* Begins TLS on the descriptor. FAILED: no memory is left. */
static inline rlk_tls_status rlki_tls_begin(rlk_socket *sock)
{
    return sock->tls.backend->driver->begin(sock);
}

/* Goes on with the handshake. */
static inline rlk_tls_status rlki_tls_handshake(rlk_socket *sock)
{
    return sock->tls.backend->driver->handshake(sock);
}

/* Reads, then writes, what goes without waiting. */
static inline rlk_tls_status rlki_tls_transfer(rlk_socket *sock, bool readable, bool writeable,
                                               int64_t now_ms)
{
    return sock->tls.backend->driver->transfer(sock, readable, writeable, now_ms);
}

/* Reads at most `cap` bytes; its first recv waits. The bytes are for rlki_socket_take. */
static inline rlk_tls_status rlki_tls_wait(rlk_socket *sock, uint8_t *room, size_t cap, size_t *len)
{
    return sock->tls.backend->driver->wait(sock, room, cap, len);
}

/* Ends TLS on the descriptor, which is open yet, if there is TLS. notify: says so to the peer. */
static inline void rlki_tls_end(rlk_socket *sock, bool notify)
{
    if (rlki_tls_is_on(sock)) {
        sock->tls.backend->driver->end(sock, notify);
    }
}

/* Gives the session back, without a word to the peer, if there is TLS. */
static inline void rlki_tls_close(rlk_socket *sock)
{
    if (rlki_tls_is_on(sock)) {
        sock->tls.backend->driver->close(sock);
    }
}

/* Has the connection keep the words for how TLS has ended. Returns the result, and errno where that
 * says more. */
static inline rlk_result rlki_tls_result(rlk_socket *sock, rlk_tls_status status, int *error)
{
    return sock->tls.backend->driver->result(sock, status, error);
}

#endif
