/* SPDX-License-Identifier: MIT */
#include "name.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

socklen_t rlki_name_of_path(rlki_name *name, const rlk_url *url)
{
    size_t cap = sizeof name->path.sun_path - 1;

    name->path.sun_family = AF_UNIX;
    if (rlk_url_decode(url->path, url->path_len, (uint8_t *)name->path.sun_path, cap) > cap) {
        errno = ENAMETOOLONG;
        return 0;
    }
    return (socklen_t)sizeof name->path;
}

socklen_t rlki_name_of_address(rlki_name *name, const rlk_address *address)
{
    if (address->is_ipv6 != 0) {
        name->v6.sin6_family = AF_INET6;
        name->v6.sin6_port = htons(address->port);
        name->v6.sin6_scope_id = address->scope;
        memcpy(&name->v6.sin6_addr, address->ip, 16);
        return (socklen_t)sizeof name->v6;
    }
    name->v4.sin_family = AF_INET;
    name->v4.sin_port = htons(address->port);
    memcpy(&name->v4.sin_addr, address->ip, 4);
    return (socklen_t)sizeof name->v4;
}

static uint64_t name_hash(uint64_t hash, const uint8_t *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) { /* FNV-1a */
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

uint64_t rlki_name_peer(const rlk_address *address)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    uint8_t rest[6];

    rest[0] = (uint8_t)(address->port >> 8);
    rest[1] = (uint8_t)address->port;
    rest[2] = (uint8_t)(address->scope >> 24);
    rest[3] = (uint8_t)(address->scope >> 16);
    rest[4] = (uint8_t)(address->scope >> 8);
    rest[5] = (uint8_t)address->scope;
    hash = name_hash(hash, address->ip, address->is_ipv6 != 0 ? 16 : 4);
    hash = name_hash(hash, rest, sizeof rest);
    return hash | 1u;
}

/* ":" and the digits of `port`, terminated. */
static void name_put_port(char *out, unsigned port)
{
    char digits[5];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    *out++ = ':';
    while (n > 0) {
        *out++ = digits[--n];
    }
    *out = '\0';
}

/* The name as the server writes it in CLIENT LIST. Who is reached by an address such as
 * ::ffff:127.0.0.1 sees plain IPv4. inet_ntop can't fail here: the room is enough for any. */
void rlki_name_format(const rlki_name *name, char out[RLKI_NAME_TEXT])
{
    size_t len;

    if (name->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &name->v4.sin_addr, out, INET6_ADDRSTRLEN);
    } else if (IN6_IS_ADDR_V4MAPPED(&name->v6.sin6_addr) != 0) {
        (void)inet_ntop(AF_INET, &name->v6.sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);

    } else {
        out[0] = '[';
        (void)inet_ntop(AF_INET6, &name->v6.sin6_addr, out + 1, INET6_ADDRSTRLEN);
        len = strlen(out);
        out[len] = ']';
        out[len + 1] = '\0';
    }
    name_put_port(out + strlen(out),
                  ntohs(name->any.sa_family == AF_INET ? name->v4.sin_port : name->v6.sin6_port));
}
