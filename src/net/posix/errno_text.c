/* SPDX-License-Identifier: MIT
 *
 * What an errno says of a connection, in words.
 */
#include "features.h"

#include "resplock/socket.h"

#ifndef RLK_NO_TEXT

#include <errno.h>

const char *rlk_system_errno_text(void *context, int number)
{
    (void)context;
    switch (number) {
    case ECONNREFUSED:
        return "connection refused";
    case ECONNRESET:
        return "connection reset by the peer";
    case EPIPE:
        return "the peer has closed the connection";
    case ETIMEDOUT:
        return "timed out";
    case EHOSTUNREACH:
        return "no route to the host";
    case ENETUNREACH:
        return "the network is unreachable";
    case ENETDOWN:
        return "the network is down";
    case EADDRNOTAVAIL:
        return "no local address or port is free";
    case EAFNOSUPPORT:
        return "the system lacks this kind of address";
    case ENOENT:
        return "no such socket";
    case ENOTDIR:
        return "a part of the path is not a folder";
    case ENOTSOCK:
        return "not a socket";
    case ENAMETOOLONG:
        return "the path is too long";
    case EACCES:
        return "permission denied";
    case EPERM:
        return "forbidden, perhaps by a firewall";
    case EAGAIN:
        return "the server's queue of connections is full";
    case EMFILE:
        return "too many open files in this process";
    case ENFILE:
        return "too many open files in the system";
    case ENOBUFS:
        return "the system has no buffer left";
    case ENOMEM:
        return "the system has no memory left";
    case EPROTOTYPE:
        return "a socket of another type";
    default:
        return NULL;
    }
}

#endif /* RLK_NO_TEXT */
