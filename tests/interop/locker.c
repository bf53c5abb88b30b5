/* SPDX-License-Identifier: MIT
 *
 * A resplock lock as a process: run.py sends an order in each line and reads one line of answer.
 * locker.js and locker.py answer the same orders by other libraries.
 *
 *     locker TTL_MS KEY SOCKET...       one socket: one server; several: a quorum
 *
 *     acquire MS            "yes" or "no"; waits at most that time, 0: one attempt
 *     release               "ok" if a key of this token was deleted, else "no"
 *     extend MS             "ok" if the lock is now held for MS, else "no"
 *     token                 the token in use
 *     count FILE N GUARD    increments the number in FILE N times, each by a read, a pause and a
 *                           write: GUARD "lock" under the lock, "free" without; "done N"
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOCKER_NODES 5
#define PAUSE_MS     5 /* between two increments: others have their turn */

static rlk_posix_client posix;
static rlk_lock lock;
static rlk_posix_memory memory[LOCKER_NODES];
static rlk_conn_entry rings[LOCKER_NODES][16];
static uint8_t tx[LOCKER_NODES][2048];
static uint8_t rx[LOCKER_NODES][1024];
static char urls[LOCKER_NODES][256];
static const char *url_list[LOCKER_NODES];

static void sleep_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&pause, NULL);
}

static bool locker_open(long ttl_ms, const char *key, char *const *sockets, size_t count)
{
    rlk_lock_config config = {.ttl_ms = ttl_ms};
    size_t i;

    if (count == 0 || count > LOCKER_NODES)
        return false;
    for (i = 0; i < count; i++) {
        snprintf(urls[i], sizeof urls[i], "unix://%s", sockets[i]);
        url_list[i] = urls[i];
        memory[i].ring = rings[i];
        memory[i].ring_len = sizeof rings[i] / sizeof rings[i][0];
        memory[i].tx = tx[i];
        memory[i].tx_cap = sizeof tx[i];
        memory[i].rx = rx[i];
        memory[i].rx_cap = sizeof rx[i];
    }
    return rlk_posix_open_nodes(&posix, url_list, memory, count, NULL) == RLK_OK &&
           rlk_lock_init(&lock, &posix.client, key, &config) == RLK_OK;
}

/* Adds 1 to the number in the file, in the way that loses what others add meanwhile. */
static bool count_once(const char *path)
{
    FILE *file = fopen(path, "r");
    long number = 0;
    bool ok = file != NULL && fscanf(file, "%ld", &number) == 1;

    if (file != NULL)
        fclose(file);
    sleep_ms(1);
    file = ok ? fopen(path, "r+") : NULL; /* in place: nobody reads it while it is empty */
    if (file == NULL)
        return false;
    ok = fprintf(file, "%09ld\n", number + 1) > 0;
    return fclose(file) == 0 && ok;
}

/* Returns how many increments were made under a lock that was held before and after. */
static long count(const char *path, long times, bool guarded)
{
    long made = 0;

    while (made < times) {
        bool ok;

        if (guarded && rlk_acquire(&lock, 30000) != RLK_OK)
            break;
        ok = count_once(path);
        if (guarded)
            ok = rlk_is_held(&lock) && rlk_release(&lock) == RLK_OK && ok;
        if (!ok)
            break;
        made++;
        sleep_ms(rand() % PAUSE_MS);
    }
    return made;
}

static void answer(char *line)
{
    const char *word = strtok(line, " \n");
    const char *first = strtok(NULL, " \n");
    const char *second = strtok(NULL, " \n");
    const char *third = strtok(NULL, " \n");
    long ms = first != NULL ? strtol(first, NULL, 10) : 0;

    if (word == NULL) {
        puts("what?");
    } else if (strcmp(word, "acquire") == 0) {
        puts(rlk_acquire(&lock, ms) == RLK_OK ? "yes" : "no");
    } else if (strcmp(word, "release") == 0) {
        puts(rlk_release(&lock) == RLK_OK ? "ok" : "no");
    } else if (strcmp(word, "extend") == 0) {
        puts(rlk_renew(&lock, ms) == RLK_OK ? "ok" : "no");
    } else if (strcmp(word, "token") == 0) {
        char token[RLK_TOKEN_MAX + 1];

        puts(rlk_lock_token(&lock, token, sizeof token) > 0 ? token : "none");
    } else if (strcmp(word, "count") == 0 && third != NULL) {
        long times = strtol(second, NULL, 10);

        printf("done %ld\n", count(first, times, strcmp(third, "lock") == 0));
    } else {
        puts("what?");
    }
}

int main(int argc, char **argv)
{
    char line[512];

    if (argc < 4 || !locker_open(strtol(argv[1], NULL, 10), argv[2], argv + 3, (size_t)argc - 3)) {
        fprintf(stderr, "usage: locker TTL_MS KEY SOCKET... %s\n",
                argc < 4 ? "" : rlk_client_error(&posix.client));
        return 2;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        answer(line);
        fflush(stdout);
    }
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    return 0;
}
