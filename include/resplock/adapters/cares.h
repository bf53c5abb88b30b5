/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/cares.h: names of hosts by c-ares, without a thread. Optional: not part of the
 * library. Compile src/adapters/cares.c with the program, or link to resplock::cares; needs c-ares
 * 1.16.
 *
 *     rlk_cares names;
 *     rlk_cares_init(&names, NULL);
 *     rlk_posix_open(&redis, "redis://redis", &(rlk_posix_options){.resolver = &names.resolver});
 *     ...
 *     rlk_posix_close(&redis);
 *     rlk_cares_close(&names);
 *
 * Each lookup has a channel of its own. So it reads /etc/resolv.conf and /etc/hosts anew, as a
 * container's DNS may change; nothing is left of a lookup that is abandoned; and one of these
 * serves any number of clients, in any threads. On Linux the channel's sockets are behind one epoll
 * descriptor, which the client's loop polls. Elsewhere, or where the system has none
 * left, the client serves the lookup each RLK_CARES_POLL_MS.
 */
#ifndef RESPLOCK_ADAPTERS_CARES_H
#define RESPLOCK_ADAPTERS_CARES_H

#include "resplock.h"

#ifdef RLK_NO_POSIX
#error "RLK_NO_POSIX is defined: do not include resplock/adapters/cares.h, and do not compile \
src/adapters/cares.c"
#elif defined(RLKI_POSIX) /* else socket.h has the error: no other follows */

#include <sys/select.h> /* ares.h takes it for granted */

#include <ares.h>

#ifdef __cplusplus
extern "C" {
#endif

/* See above. */
#ifndef RLK_CARES_POLL_MS
#define RLK_CARES_POLL_MS 10
#endif

/* Most sockets of one lookup. */
#ifndef RLK_CARES_SOCKETS
#define RLK_CARES_SOCKETS 16
#endif

typedef struct rlk_cares_config {
    /* Of each channel, as ares_init_options takes them: time-outs, tries, lookups ... Both outlive
     * the clients. ARES_OPT_SOCK_STATE_CB is used here. */
    const struct ares_options *options;
    int optmask;
    /* Called for each new channel: ares_set_servers_ports_csv and the like. Returns ARES_SUCCESS,
     * or why the lookup fails. NULL: none. */
    int (*configure)(void *context, ares_channel channel);
    void *context;
} rlk_cares_config;

typedef struct rlk_cares {
    rlk_resolver resolver;   /* for rlk_posix_options.resolver; first */
    rlk_cares_config config; /* private */
} rlk_cares;

/* Makes a resolver, which must not be moved while a client uses it. `config` is copied; NULL: all
 * as the system has it. Calls ares_library_init. */
void rlk_cares_init(rlk_cares *names, const rlk_cares_config *config);

/* Ends it, after the clients that use it are closed. Calls ares_library_cleanup. */
void rlk_cares_close(rlk_cares *names);

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
