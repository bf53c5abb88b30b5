/* SPDX-License-Identifier: MIT
 *
 * Names of sockets: of paths and addresses, and as texts.
 */
#ifndef RLKI_NAME_H
#define RLKI_NAME_H

#include "features.h"

#include "resplock/socket.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* "[" address "]:" port, with its terminator. */
#define RLKI_NAME_TEXT (INET6_ADDRSTRLEN + 8)

typedef union rlki_name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
} rlki_name;

/* Both write a name that was all zeros, and return its length; of a path 0, and ENAMETOOLONG in
 * errno, if it doesn't fit this system's sun_path. */
socklen_t rlki_name_of_path(rlki_name *name, const rlk_url *url);
socklen_t rlki_name_of_address(rlki_name *name, const rlk_address *address);

/* A number for the server's address, never 0. */
uint64_t rlki_name_peer(const rlk_address *address);

/* The name of an address as the server writes it in CLIENT LIST. */
void rlki_name_format(const rlki_name *name, char out[RLKI_NAME_TEXT]);

#endif
