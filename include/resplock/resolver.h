/* SPDX-License-Identifier: MIT
 *
 * resplock/resolver.h: what resolves the host names of a client on POSIX sockets.
 *
 * rlk_posix_options.resolver names one. These are there, each a header and at most one source
 * beside the library: resplock/adapters/resolver_thread.h (a thread with getaddrinfo), cares.h
 * (c-ares), uv_resolver.h (libuv). This header is for those who write another.
 *
 * A resolver is asked at each attempt to connect, within the connect time. It remembers nothing on
 * behalf of the library, so that a name which moves is followed. Several clients may share one, in
 * several threads if the resolver permits that.
 *
 *     start                    the driver asks; at once, or later, follow any number of
 *       rlk_lookup_add          ... addresses, in the order in which to try them, and
 *       rlk_lookup_done         ... the end of the answer, once
 *     service                  called when the lookup's descriptor is readable or its deadline past
 *     close                    called once for each start: answered, out of time, or abandoned
 *
 * The driver calls start, service and close on the client's thread. Calls of rlk_lookup_add and
 * rlk_lookup_done come on that thread too, between start and close, and never after close: so a
 * late answer goes nowhere. They may come from within start and service, or from a callback of the
 * loop that serves the client.
 */
#ifndef RESPLOCK_RESOLVER_H
#define RESPLOCK_RESOLVER_H

#include "resplock/base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sockaddr;

typedef struct rlk_resolver rlk_resolver;

/* One name that is asked for. A part of the driver, which does not move. */
typedef struct rlk_lookup {
    /* The resolver's. The driver sets them before start: NULL, -1, RLK_NEVER. */
    void *own;
    int fd; /* readable when service must be called; -1: none. Stays the same, and open, until
               close, which closes it */
    int64_t deadline_ms; /* when service must be called at the latest; on the clock of now_ms */
    /* These are private. */
    rlk_resolver *resolver; /* that is asked; NULL: none */
    const char *why;
    int sys_errno;
    uint16_t found; /* addresses of the answer, also those beyond RLK_MAX_ADDRESSES */
    bool done;
    bool waits; /* an answer now comes from outside of the driver */
} rlk_lookup;

typedef struct rlk_resolver_calls {
    /* Asks for `host`, a text that is valid during the call. `port` is the URL's. Does not block.
     */
    void (*start)(rlk_resolver *resolver, rlk_lookup *lookup, const char *host, uint16_t port,
                  int64_t now_ms);
    /* Does what its descriptor or deadline asks for. Harmless where neither did. Does not block.
     * NULL: neither is set. */
    void (*service)(rlk_lookup *lookup, int64_t now_ms);
    /* Ends the lookup: closes its descriptor, frees what it needed. Does not block, and nothing of
     * the lookup is touched afterwards. In a forked child it does the same, and leaves the parent's
     * lookup alone. NULL: there is nothing to end. */
    void (*close)(rlk_lookup *lookup);
    /* Answers come only while the program's loop runs. A blocking call asks the system instead. */
    bool loop_only;
} rlk_resolver_calls;

/* First member of a resolver. It outlives the clients that use it. */
struct rlk_resolver {
    const rlk_resolver_calls *calls;
};

/*
 * Adds an address to the answer. Port 0 means the URL's. Families other than AF_INET and AF_INET6
 * are left out. Add all that there are: an attempt to connect tries RLK_MAX_ADDRESSES, and if it
 * comes to the last of them, the next attempt begins with those that follow.
 */
RLK_API void rlk_lookup_add(rlk_lookup *lookup, const struct sockaddr *address);

/*
 * Ends the answer. why NULL: the addresses are all that there are; none makes RLK_E_RESOLVE.
 * Otherwise resolving failed (RLK_E_RESOLVE), and `why`, a constant text, says why in words;
 * sys_errno is an errno that goes with it, or 0.
 */
RLK_API void rlk_lookup_done(rlk_lookup *lookup, int sys_errno, const char *why);

#ifdef __cplusplus
}
#endif

#endif
