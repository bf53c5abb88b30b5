/* SPDX-License-Identifier: MIT
 *
 * Internal: what poll, recv and send have in common, with and without TLS.
 */
#ifndef RLKI_SOCKET_IO_H
#define RLKI_SOCKET_IO_H

#include "features.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

/* What poll reports of a descriptor that recv, or send, has an answer for: an error too. */
#define RLKI_READABLE  (POLLIN | POLLERR | POLLHUP | POLLNVAL)
#define RLKI_WRITEABLE (POLLOUT | POLLERR | POLLHUP | POLLNVAL)

/* A recv that does not wait, whatever the descriptor is set to. */
#ifdef MSG_DONTWAIT
#define RLKI_RECEIVE_FLAGS MSG_DONTWAIT
#else
#define RLKI_RECEIVE_FLAGS 0 /* descriptors are non-blocking for good */
#endif

/* A send that does not wait, and raises no SIGPIPE. */
#ifdef MSG_NOSIGNAL
#define RLKI_SEND_FLAGS (MSG_NOSIGNAL | RLKI_RECEIVE_FLAGS)
#else
#define RLKI_SEND_FLAGS RLKI_RECEIVE_FLAGS /* SO_NOSIGPIPE it is */
#endif

/* Returns true for an errno that says: later. */
static inline bool rlki_socket_would_block(int error)
{
#if EWOULDBLOCK != EAGAIN
    if (error == EWOULDBLOCK) {
        return true;
    }
#endif
    return error == EAGAIN;
}

#endif
