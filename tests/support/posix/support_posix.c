/* SPDX-License-Identifier: MIT
 *
 * The part of support.h that needs a system: time, teardown, folders.
 */
#define _GNU_SOURCE
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int64_t support_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void support_sleep_ms(int64_t ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000L};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

bool support_has_ipv6(void)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof name) == 0;

    if (fd >= 0)
        close(fd);
    if (!bound)
        fprintf(stderr, "no IPv6 here: not tested\n");
    return bound;
}

/* ---- Teardown ---- */

#define SUPPORT_ENDS_MAX 8

static void (*support_ends[SUPPORT_ENDS_MAX])(void);
static size_t support_ends_len;
static pid_t support_owner;

static void support_end_all(void)
{
    size_t i;

    /* A child forked by a test must not end what belongs to its parent. */
    if (getpid() != support_owner)
        return;
    /* The last kind first: proxies before the servers behind them. */
    for (i = support_ends_len; i > 0; i--)
        support_ends[i - 1]();
}

void support_at_teardown(void (*end)(void))
{
    size_t i;

    if (support_owner == 0) {
        support_owner = getpid();
        atexit(support_end_all);
    }
    for (i = 0; i < support_ends_len; i++) {
        if (support_ends[i] == end)
            return;
    }
    if (support_ends_len == SUPPORT_ENDS_MAX)
        abort();
    support_ends[support_ends_len++] = end;
}

int support_teardown(void **state)
{
    support_end_all();
    return support_report_row(state);
}

/* ---- Folders ---- */

char *support_folder_new(void)
{
    const char *top = getenv("TMPDIR");
    char path[4096];

    /* A socket's path has 107 bytes at most, so long folders are not for us. */
    if (top == NULL || top[0] == '\0' || strlen(top) > 60)
        top = "/tmp";
    snprintf(path, sizeof path, "%s/resplock.XXXXXX", top);
    if (mkdtemp(path) == NULL)
        support_fail("mkdtemp %s: %s", path, strerror(errno));
    return strdup(path);
}

static void support_remove_files(const char *path, bool with_folders)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    char name[4096];

    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) != 0 && with_folders) {
            support_remove_files(name, false);
            rmdir(name);
        }
    }
    closedir(folder);
}

void support_folder_remove(const char *path)
{
    support_remove_files(path, true);
    rmdir(path);
}
