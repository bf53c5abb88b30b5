/* SPDX-License-Identifier: MIT
 *
 * Internal: TLS between a connection and its descriptor.
 */
#ifndef RLKI_TLS_STREAM_H
#define RLKI_TLS_STREAM_H

#include "features.h"

#include "resplock/socket.h"

#include "socket_wait.h"

/* rlk_socket_tls.flags, as far as it is the driver's business what TLS waits for */
#define RLKI_TLS_MORE             0x01u /* it has bytes that poll doesn't see any more */
#define RLKI_TLS_WANTS_WRITE      0x02u /* handshake, or read: goes on when it can be written */
#define RLKI_TLS_WRITE_WANTS_READ 0x04u /* write: goes on when there is something to read */

static inline bool rlki_tls_is_on(const rlk_socket *sock)
{
    return sock->tls.backend != NULL;
}

/* tls_stream.c, which only a backend's rlk_tls names. */
struct rlk_tls_driver {
    const char *no_answer; /* words, while the handshake waits for the server */
    rlk_result (*secure)(rlk_socket *sock, int *error);
    rlk_result (*transfer)(rlk_socket *sock, bool readable, bool writeable, int *error,
                           int64_t now_ms);
    bool (*wait)(rlk_socket *sock, rlki_socket_got *got);
    void (*end)(rlk_socket *sock, bool notify);
    void (*close)(rlk_socket *sock);
};

/*
 * Begins the handshake on the descriptor, or goes on with it. Returns RLK_OK: it is through.
 * RLK_PENDING: it waits. RLK_E_TLS, RLK_E_TLS_REFUSED: it has failed. Of these *error is errno,
 * where that says more, or 0; the connection keeps the words.
 */
static inline rlk_result rlki_tls_secure(rlk_socket *sock, int *error)
{
    return sock->tls.backend->driver->secure(sock, error);
}

/* Reads, then writes, what goes without waiting. Returns RLK_OK, or how the stream ended, as
 * rlki_tls_secure. */
static inline rlk_result rlki_tls_transfer(rlk_socket *sock, bool readable, bool writeable,
                                           int *error, int64_t now_ms)
{
    return sock->tls.backend->driver->transfer(sock, readable, writeable, error, now_ms);
}

/* Reads once; its first recv waits. Returns false if no recv shows what TLS waits for. */
static inline bool rlki_tls_wait(rlk_socket *sock, rlki_socket_got *got)
{
    return sock->tls.backend->driver->wait(sock, got);
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

#endif
