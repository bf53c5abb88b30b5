/* SPDX-License-Identifier: MIT
 *
 * In an event loop: nothing here blocks but poll itself. Two locks on one connection.
 *     loop redis://127.0.0.1 first-key second-key
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <inttypes.h>
#include <stdio.h>

static int failures;

/* What the application has to do when something happened to a lock; true while it goes on. */
static bool on_event(const rlk_event *event)
{
    const char *key = (const char *)event->user;

    switch (event->type) {
    case RLK_EV_ACQUIRED:
        printf("%s: acquired, for %" PRId64 " ms\n", key, rlk_remaining_ms(event->lock));
        /* The work would be started here, and the release when it is done. */
        if (rlk_release_start(event->lock) == RLK_PENDING)
            return true;
        break;
    case RLK_EV_LOST:
        printf("%s: lost: stop the work\n", key);
        break;
    case RLK_EV_RESULT:
        if (event->operation == RLK_OP_RELEASE && event->result == RLK_OK) {
            printf("%s: released\n", key);
            return false;
        }
        if (event->result == RLK_TIMED_OUT) {
            printf("%s: somebody else has it\n", key);
            break;
        }
        /* fall through */
    default:
        printf("%s\n", rlk_lock_error(event->lock));
        break;
    }
    failures++;
    return false;
}

int main(int argc, char **argv)
{
    rlk_posix_client redis;
    rlk_lock locks[2];
    int busy = 0;
    int i;

    if (argc != 4) {
        fprintf(stderr, "usage: %s URL KEY KEY\n", argv[0]);
        return 2;
    }
    if (rlk_posix_open(&redis, argv[1], NULL) != RLK_OK) {
        fprintf(stderr, "%s\n", rlk_client_error(&redis.client));
        return 1;
    }
    for (i = 0; i < 2; i++) {
        rlk_lock_config config = {.ttl_ms = 10000, .user = argv[2 + i]};

        if (rlk_lock_init(&locks[i], &redis.client, argv[2 + i], &config) == RLK_OK &&
            rlk_acquire_start(&locks[i], 5000) == RLK_PENDING) {
            busy++;
        } else {
            fprintf(stderr, "%s: %s\n", argv[2 + i], rlk_client_error(&redis.client));
            failures++;
        }
    }

    while (busy > 0) {
        struct pollfd fds[RLK_MAX_FDS];
        int timeout_ms;
        nfds_t n = rlk_posix_prepare(&redis, fds, RLK_MAX_FDS, &timeout_ms);
        rlk_event event;

        poll(fds, n, timeout_ms);
        rlk_posix_service(&redis, fds, n);
        while (rlk_client_next_event(&redis.client, &event)) {
            if (!on_event(&event))
                busy--;
        }
    }

    for (i = 0; i < 2; i++)
        rlk_lock_close(&locks[i]);
    rlk_posix_close(&redis);
    return failures == 0 ? 0 : 1;
}
