/* SPDX-License-Identifier: MIT
 *
 * Names of hosts by uv_getaddrinfo. A lookup is a piece of heap memory from start until libuv has
 * called back, which it does once, whether or not the lookup was closed before.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#elif !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "resplock/adapters/uv_resolver.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
#include <uv.h>

/* One lookup. */
typedef struct uv_job {
    uv_getaddrinfo_t request; /* first */
    rlk_lookup *lookup;       /* NULL: abandoned */
    pid_t pid;
} uv_job;

static void uv_resolved(uv_getaddrinfo_t *request, int error, struct addrinfo *found)
{
    uv_job *job = (uv_job *)(void *)request;
    rlk_lookup *lookup = job->lookup;
    const struct addrinfo *info;

    free(job);
    if (lookup != NULL) {
        lookup->own = NULL;
        for (info = found; info != NULL; info = info->ai_next) {
            rlk_lookup_add(lookup, info->ai_addr);
        }
        rlk_lookup_done(lookup, 0, error != 0 ? uv_strerror(error) : NULL);
    }
    uv_freeaddrinfo(found);
}

static void uv_start(rlk_resolver *resolver, rlk_lookup *lookup, const char *host, uint16_t port,
                     int64_t now_ms)
{
    const rlk_uv_resolver *names = (const rlk_uv_resolver *)(const void *)resolver;
    uv_job *job = (uv_job *)malloc(sizeof *job);
    struct addrinfo hints;
    int error;

    (void)port;
    (void)now_ms;
    if (job == NULL) {
        rlk_lookup_done(lookup, ENOMEM, "no memory to resolve it");
        return;
    }
    job->lookup = lookup;
    job->pid = getpid();
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    error = uv_getaddrinfo(names->loop, &job->request, uv_resolved, host, NULL, &hints);
    if (error != 0) {
        free(job);
        rlk_lookup_done(lookup, 0, uv_strerror(error));
        return;
    }
    lookup->own = job;
}

static void uv_end(rlk_lookup *lookup)
{
    uv_job *job = (uv_job *)lookup->own;

    if (job == NULL || job->pid != getpid()) { /* answered; or a child, whose loop has no threads */
        return;
    }
    job->lookup = NULL;
    (void)uv_cancel((uv_req_t *)(void *)&job->request); /* calls back in any case, later */
}

void rlk_uv_resolver_init(rlk_uv_resolver *names, uv_loop_t *loop)
{
    static const rlk_resolver_calls calls = {uv_start, NULL, uv_end, true};

    names->resolver.calls = &calls;
    names->loop = loop;
}
