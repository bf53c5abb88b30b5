/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/uv_resolver.h: names of hosts by libuv's uv_getaddrinfo, for a client in a
 * libuv loop (resplock/adapters/uv.h). Optional: not part of the library. Compile
 * src/adapters/uv_resolver.c with the program, or link to resplock::uv_resolver; needs libuv 1.
 *
 *     rlk_uv_resolver names;
 *     rlk_uv_resolver_init(&names, loop);
 *     rlk_posix_open(&redis, "redis://redis", &(rlk_posix_options){.resolver = &names.resolver});
 *
 * It needs no closing, and outlives its clients. One serves any number of clients of one loop. A
 * blocking call runs no loop: there the system's getaddrinfo is asked, which waits.
 *
 * A lookup that is abandoned lives on in libuv's pool until getaddrinfo returns; its answer goes
 * nowhere, also when the client is gone. Like any request of libuv it keeps uv_run from returning
 * until then, and uv_loop_close from working. libuv runs two of these at once (half of its
 * threads): two that hang hold up other names, and never the loop.
 */
#ifndef RESPLOCK_ADAPTERS_UV_RESOLVER_H
#define RESPLOCK_ADAPTERS_UV_RESOLVER_H

#include "resplock.h"

#ifdef RLK_NO_POSIX
#error "RLK_NO_POSIX is defined: do not include resplock/adapters/uv_resolver.h, and do not \
compile src/adapters/uv_resolver.c"
#elif defined(RLKI_POSIX) /* else socket.h has the error: no other follows */

#ifdef __cplusplus
extern "C" {
#endif

struct uv_loop_s; /* uv_loop_t */

typedef struct rlk_uv_resolver {
    rlk_resolver resolver;  /* for rlk_posix_options.resolver; first */
    struct uv_loop_s *loop; /* private */
} rlk_uv_resolver;

/* Makes a resolver, which must not be moved while a client uses it. */
void rlk_uv_resolver_init(rlk_uv_resolver *names, struct uv_loop_s *loop);

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
