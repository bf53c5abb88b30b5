/* SPDX-License-Identifier: MIT */
#include "wakeup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool wakeup_set_flags(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

bool rlki_wakeup_open(rlk_system_wakeup *wakeup)
{
    if (pipe(wakeup->fds) != 0) {
        wakeup->fds[0] = -1;
        wakeup->fds[1] = -1;
        return false;
    }
    if (wakeup_set_flags(wakeup->fds[0]) && wakeup_set_flags(wakeup->fds[1])) {
        return true;
    }
    rlki_wakeup_close(wakeup);
    return false;
}

void rlki_wakeup_close(rlk_system_wakeup *wakeup)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        if (wakeup->fds[i] >= 0) {
            (void)close(wakeup->fds[i]);
        }
        wakeup->fds[i] = -1;
    }
}

void rlki_wakeup_send(const rlk_system_wakeup *wakeup)
{
    int error = errno;
    ssize_t n;

    do {
        n = write(wakeup->fds[1], "", 1);
    } while (n < 0 && errno == EINTR);
    errno = error;
}

bool rlki_wakeup_take(const rlk_system_wakeup *wakeup)
{
    char bytes[64];
    bool sent = false;
    ssize_t n;

    do {
        n = read(wakeup->fds[0], bytes, sizeof bytes);
        sent = sent || n > 0;
    } while (n == (ssize_t)sizeof bytes || (n < 0 && errno == EINTR));
    return sent;
}
