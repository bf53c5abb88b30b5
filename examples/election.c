/* SPDX-License-Identifier: MIT
 *
 * Leader election in an event loop. Start it several times: one leads, and the others follow and
 * print whom. When the leader ends, the next one leads at once. When it dies, the next one leads
 * after the TTL at the latest. SIGTERM and SIGINT end it in good order. Its name, or the address
 * where others reach it, goes into the token, where they find it:
 *     election redis://127.0.0.1 my-service 10.0.0.7:8080
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TTL_MS    3000
#define PAUSE_MS  500  /* after an error */
#define REPORT_MS 5000 /* between reports that it still waits; a new reason after a tenth */

static const char *name;
static rlk_posix_client redis;
static rlk_lock candidate;
static rlk_holder holder;      /* one for each server: what it says while the candidate follows */
static rlk_leader_info leader; /* what is known: zero at first */
static int64_t campaign_ms;    /* when to campaign again, after an error; RLK_NEVER */
static bool ending;
static bool done;

/* A signal can come at any time: a byte in a pipe ends the next poll, too. */
static int signals[2];

static void on_signal(int number)
{
    int before = errno;
    ssize_t written = write(signals[1], "", 1);

    (void)number;
    (void)written;
    errno = before;
}

static int64_t now_ms(void)
{
    return rlk_system_now_ms(NULL);
}

/* ---- Leading ---- */

static void campaign(void)
{
    rlk_result result = rlk_campaign_start(&candidate);

    campaign_ms = RLK_NEVER;
    if (result != RLK_PENDING) {
        printf("%s: %s\n", name, rlk_lock_error(&candidate));
        campaign_ms = now_ms() + PAUSE_MS;
    }
}

static void resign(void)
{
    rlk_result result;

    if (ending)
        return;
    ending = true;
    campaign_ms = RLK_NEVER;
    result = rlk_resign_start(&candidate);
    if (result == RLK_PENDING)
        return; /* an event reports the result */
    printf("%s resigns: %s\n", name, rlk_result_name(result));
    done = true;
}

static void on_candidate(const rlk_event *event)
{
    switch (event->type) {
    case RLK_EV_ACQUIRED:
        printf("%s leads\n", name);
        break;
    case RLK_EV_LOST: /* somebody else may lead already: stop at once. It follows again */
        printf("%s leads no longer\n", name);
        leader.known = false;
        break;
    case RLK_EV_RENEWED:
        break;
    case RLK_EV_RENEW_FAILED: /* leads on and tries again, or RLK_EV_LOST follows */
        printf("%s leads for %" PRId64 " ms yet: %s\n", name, rlk_remaining_ms(&candidate),
               rlk_lock_error(&candidate));
        break;
    case RLK_EV_WAITING: /* follows on; somebody who leads is no news */
        if (event->result != RLK_BUSY)
            printf("%s: %s\n", name, rlk_lock_error(&candidate));
        break;
    case RLK_EV_RESULT:
        /* a fatal error (nothing is tried until rlk_client_reset), or RLK_UNKNOWN */
        if (event->operation == RLK_OP_ACQUIRE && event->result != RLK_CANCELLED) {
            printf("%s: %s\n", name, rlk_lock_error(&candidate));
            campaign_ms = now_ms() + PAUSE_MS;
            break;
        }
        printf("%s resigns: %s\n", name, rlk_result_name(event->result));
        done = true;
        break;
    default:
        break;
    }
}

/* ---- Following ---- */

static void print_leader(void)
{
    if (leader.name_len > 0)
        printf("%s follows %.*s", name, leader.name_len, leader.token);
    else /* a lock of another library, or made without token_prefix */
        printf("%s follows somebody", name);
    if (leader.until_ms != RLK_NEVER)
        printf(", whose lease is for %" PRId64 " ms yet", leader.until_ms - now_ms());
    printf("\n");
}

/* Says what is new. */
static void follow(void)
{
    rlk_leader_info before = leader;

    if (rlk_leader(&candidate, &leader) == RLK_OK && !leader.ours &&
        (!before.known || memcmp(before.token, leader.token, sizeof before.token) != 0))
        print_leader();
}

/* ---- The loop ---- */

static int until(int64_t when_ms, int timeout_ms)
{
    int64_t left_ms = when_ms - now_ms();

    if (left_ms < 0)
        left_ms = 0;
    return timeout_ms < 0 || left_ms < timeout_ms ? (int)left_ms : timeout_ms;
}

static void turn(void)
{
    struct pollfd fds[RLK_MAX_FDS + 1];
    int timeout_ms;
    nfds_t n = rlk_posix_prepare(&redis, fds, RLK_MAX_FDS, &timeout_ms);
    rlk_event event;
    char byte;

    fds[n] = (struct pollfd){.fd = signals[0], .events = POLLIN};
    if (campaign_ms != RLK_NEVER)
        timeout_ms = until(campaign_ms, timeout_ms);
    if (poll(fds, n + 1, timeout_ms) < 0)
        fds[n].revents = 0; /* a signal; its byte is found next time */
    rlk_posix_service(&redis, fds, n);
    while (rlk_client_next_event(&redis.client, &event))
        on_candidate(&event);
    follow();
    if (now_ms() >= campaign_ms) {
        rlk_client_reset(&redis.client);
        campaign();
    }
    if ((fds[n].revents & POLLIN) != 0 && read(signals[0], &byte, 1) == 1)
        resign();
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    rlk_lock_config config = {.ttl_ms = TTL_MS};

    if (argc != 4) {
        fprintf(stderr, "usage: %s URL KEY NAME\n", argv[0]);
        return 2;
    }
    name = argv[3];
    config.token_prefix = name;
    config.holders = &holder;
    config.report_ms = REPORT_MS;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (rlk_posix_open(&redis, argv[1], NULL) != RLK_OK ||
        rlk_lock_init(&candidate, &redis.client, argv[2], &config) != RLK_OK) {
        fprintf(stderr, "%s\n", rlk_client_error(&redis.client));
        return 1;
    }
    if (pipe(signals) != 0) {
        perror("pipe");
        return 1;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    campaign();
    while (!done)
        turn();

    rlk_lock_close(&candidate);
    rlk_posix_close(&redis);
    return 0;
}
