/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/resolver_thread.h: names of hosts by the system's getaddrinfo, in threads, so
 * that no loop waits for DNS. Optional: not part of the library. Compile
 * src/adapters/resolver_thread.c with the program, or link to resplock::resolver_thread; needs
 * POSIX threads.
 *
 *     rlk_resolver_thread names;
 *     rlk_resolver_thread_init(&names);
 *     rlk_posix_open(&redis, "redis://redis", &(rlk_posix_options){.resolver = &names.resolver});
 *     ...
 *     rlk_posix_close(&redis);
 *     rlk_resolver_thread_close(&names);
 *
 * A thread exists only while there are names to resolve. It is detached and blocks all signals.
 * While one is busy, the next name gets another, up to RLK_RESOLVER_THREADS; names beyond that
 * wait, each within its connect time. So a name that hangs holds up others only when as many hang
 * at once, and until the first of them returns.
 *
 * Nothing waits for a thread that hangs: not a loop, a blocking call, rlk_posix_close or
 * rlk_resolver_thread_close. What such a thread touches is memory of its own from the heap, which
 * it frees when getaddrinfo returns. So do not unload this code (dlclose) before.
 *
 * One of these serves any number of clients, in any threads.
 */
#ifndef RESPLOCK_ADAPTERS_RESOLVER_THREAD_H
#define RESPLOCK_ADAPTERS_RESOLVER_THREAD_H

#include "resplock.h"

#ifdef RLK_NO_POSIX
#error "RLK_NO_POSIX is defined: do not include resplock/adapters/resolver_thread.h, and do not \
compile src/adapters/resolver_thread.c"
#elif defined(RLKI_POSIX) /* else socket.h has the error: no other follows */

#ifdef __cplusplus
extern "C" {
#endif

/* Most threads at once. */
#ifndef RLK_RESOLVER_THREADS
#define RLK_RESOLVER_THREADS 4
#endif

typedef struct rlk_resolver_thread {
    rlk_resolver resolver;                 /* for rlk_posix_options.resolver; first */
    struct rlk_resolver_thread_pool *pool; /* private */
} rlk_resolver_thread;

/* Makes a resolver, which must not be moved while a client uses it. Starts no thread. Without
 * memory it fails later: each name that it is asked for. */
void rlk_resolver_thread_init(rlk_resolver_thread *names);

/*
 * Ends it. A client that still uses it is answered with an error, and needs `names` until it is
 * closed. Waits for no thread. In a forked child it leaves everything to the parent; a child that
 * resolves names makes one of its own, because the parent's threads are not in the child. Harmless
 * if it is closed already.
 */
void rlk_resolver_thread_close(rlk_resolver_thread *names);

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
