/* SPDX-License-Identifier: MIT
 *
 * A recv that waits: what poll and recv do, in one system call, for a blocking call that waits for
 * one connection only. In two steps, because deadlines come before input: a late reply must not
 * revive what ran out while it was waited for.
 */
#ifndef RLKI_SOCKET_WAIT_H
#define RLKI_SOCKET_WAIT_H

#include "features.h"

#include "resplock/socket.h"

/* What recv came to. */
typedef struct rlki_socket_got {
    size_t len;     /* bytes that came */
    rlk_result why; /* RLK_OK, or how the stream ended */
    int error;      /* errno, where no bytes came; EINTR: a signal has ended the wait */
} rlki_socket_got;

/* Sends what there is, and waits for input, at most timeout_ms (-1: for long). now_ms is the time
 * of the call. False: not with this socket now, or not for so short a time; serve and poll it. */
bool rlki_socket_wait(rlk_socket *sock, int timeout_ms, int64_t now_ms, rlki_socket_got *got);

/* Hands over what came, and does what follows from it. */
void rlki_socket_take(rlk_socket *sock, const rlki_socket_got *got, int64_t now_ms);

#endif
