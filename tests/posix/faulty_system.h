/* SPDX-License-Identifier: MIT
 *
 * faulty_system.h: the system as a source of failures. The program defines every system call of the
 * driver, so that the library's calls come here: they are counted, and the nth of a kind can be
 * made to fail, or to be cut short. Include it in one file of a program.
 */
#ifndef TEST_FAULTY_SYSTEM_H
#define TEST_FAULTY_SYSTEM_H

#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXHAUST static __attribute__((unused))

/* ---- System calls ------------------------------------------------------------------------ */

typedef enum exhaust_call {
    EX_SOCKET,
    EX_SETSOCKOPT,
    EX_CONNECT,
    EX_GETSOCKOPT,
    EX_SO_ERROR, /* getsockopt works, and reports this error */
    EX_GETPEERNAME,
    EX_GETSOCKNAME,
    EX_SEND,
    EX_RECV,    /* error 0: the end of the stream */
    EX_POLL,    /* error 0: nothing happened */
    EX_REVENTS, /* poll works, and reports these events of the first descriptor */
    EX_FCNTL,
    EX_CLOSE,
    EX_GETADDRINFO, /* EAI_*, or an errno behind EAI_SYSTEM */
    EX_CLOCK,
    EX_GETRANDOM,
    EX_OPEN,
    EX_FSTAT,
    EX_READ,
    EX_MMAP,
    EX_MADVISE,
    EX_MUNMAP,
    EX_CALLS
} exhaust_call;

static const char *const exhaust_names[EX_CALLS] = {
    "socket",      "setsockopt",  "connect", "getsockopt", "SO_ERROR", "getpeername",
    "getsockname", "send",        "recv",    "poll",       "revents",  "fcntl",
    "close",       "getaddrinfo", "clock",   "getrandom",  "open",     "fstat",
    "read",        "mmap",        "madvise", "munmap"};

/* Calls from..to-1 of a kind fail. */
typedef struct exhaust_fault {
    exhaust_call call;
    unsigned from;
    unsigned to; /* 0: this fault is none */
    int error;
} exhaust_fault;

/* The nth send or recv moves `most` bytes, if it would move more; the next one fails. */
typedef struct exhaust_cut {
    exhaust_call call;
    unsigned at;
    size_t most; /* 0: this cut is none */
    int error;   /* 0: the next one works */
} exhaust_cut;

static struct {
    bool armed; /* the library is being called */
    exhaust_fault faults[3];
    exhaust_cut cut;
    size_t most;              /* bytes of every send and recv; 0: all */
    unsigned count[EX_CALLS]; /* calls while armed */
    unsigned met;             /* calls that the first fault or the cut met */
    size_t moved[2][256];     /* bytes of each send [0] and recv [1] */
    int lists;                /* of getaddrinfo, not freed yet */
    int pages;                /* mapped, not unmapped yet */
    bool hurries;             /* waiting and failing pass the time of exhaust_now_ms only */
    int64_t skipped_ms;
    int64_t receive_ms; /* time limit of recv that was set last */
} kernel;

static struct addrinfo *exhaust_list; /* what getaddrinfo finds */

static int exhaust_fail(int error)
{
    errno = error;
    return -1;
}

/* Counts the call; true: it fails, with *error. */
static bool exhaust_fails(exhaust_call call, int *error)
{
    unsigned n;
    size_t i;

    if (!kernel.armed) {
        return false;
    }
    n = kernel.count[call]++;
    for (i = 0; i < COUNT_OF(kernel.faults); i++) {
        const exhaust_fault *fault = &kernel.faults[i];

        if (fault->call == call && n >= fault->from && n < fault->to) {
            kernel.met += i == 0;
            kernel.skipped_ms += kernel.hurries;
            *error = fault->error;
            return true;
        }
    }
    if (kernel.cut.most != 0 && kernel.cut.error != 0 && kernel.cut.call == call &&
        n == kernel.cut.at + 1) {
        *error = kernel.cut.error;
        return true;
    }
    return false;
}

/* What is left of a length for the call that was counted last. */
static size_t exhaust_most(exhaust_call call, size_t len)
{
    if (!kernel.armed) {
        return len;
    }
    if (kernel.cut.most != 0 && kernel.cut.call == call &&
        kernel.count[call] == kernel.cut.at + 1 && len > kernel.cut.most) {
        kernel.met++;
        return kernel.cut.most;
    }
    return kernel.most != 0 && len > kernel.most ? kernel.most : len;
}

static void exhaust_note(exhaust_call call, ssize_t n)
{
    unsigned index = kernel.count[call] - 1;

    if (kernel.armed && n > 0 && index < COUNT_OF(kernel.moved[0])) {
        kernel.moved[call == EX_RECV][index] = (size_t)n;
    }
}

int socket(int family, int type, int protocol)
{
    int error;

    return exhaust_fails(EX_SOCKET, &error) ? exhaust_fail(error)
                                            : (int)syscall(SYS_socket, family, type, protocol);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    int error;

    if (exhaust_fails(EX_SETSOCKOPT, &error)) {
        return exhaust_fail(error);
    }
    if (kernel.armed && option == SO_RCVTIMEO) {
        const struct timeval *limit = (const struct timeval *)value;

        kernel.receive_ms = (int64_t)limit->tv_sec * 1000 + limit->tv_usec / 1000;
    }
    return (int)syscall(SYS_setsockopt, fd, level, option, value, len);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;
    int error;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    return exhaust_fails(EX_FCNTL, &error) ? exhaust_fail(error)
                                           : (int)syscall(SYS_fcntl, fd, command, argument);
}

/* Interrupted or in progress, it goes on in the background. */
int connect(int fd, const struct sockaddr *name, socklen_t len)
{
    int error;

    if (!exhaust_fails(EX_CONNECT, &error)) {
        return (int)syscall(SYS_connect, fd, name, len);
    }
    if (error == EINTR || error == EINPROGRESS) {
        (void)syscall(SYS_connect, fd, name, len);
    }
    return exhaust_fail(error);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
    int error;
    int result;

    if (exhaust_fails(EX_GETSOCKOPT, &error)) {
        return exhaust_fail(error);
    }
    result = (int)syscall(SYS_getsockopt, fd, level, option, value, len);
    if (exhaust_fails(EX_SO_ERROR, &error)) {
        memcpy(value, &error, sizeof error);
    }
    return result;
}

int getpeername(int fd, struct sockaddr *name, socklen_t *len)
{
    int error;

    return exhaust_fails(EX_GETPEERNAME, &error) ? exhaust_fail(error)
                                                 : (int)syscall(SYS_getpeername, fd, name, len);
}

int getsockname(int fd, struct sockaddr *name, socklen_t *len)
{
    int error;

    return exhaust_fails(EX_GETSOCKNAME, &error) ? exhaust_fail(error)
                                                 : (int)syscall(SYS_getsockname, fd, name, len);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    int error;
    ssize_t n;

    if (exhaust_fails(EX_SEND, &error)) {
        return exhaust_fail(error);
    }
    n = sendto(fd, buf, exhaust_most(EX_SEND, len), flags, NULL, 0);
    exhaust_note(EX_SEND, n);
    return n;
}

static int exhaust_wait(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct timespec time = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000L};

    return (int)syscall(SYS_ppoll, fds, n, timeout_ms >= 0 ? &time : NULL, NULL, (size_t)8);
}

/* In a hurry a recv that would wait has waited after 10 ms. */
static bool exhaust_nothing_came(int fd, int flags)
{
    struct pollfd ready = {fd, POLLIN, 0};

    if (!kernel.armed || !kernel.hurries || (flags & MSG_DONTWAIT) != 0 ||
        exhaust_wait(&ready, 1, 10) != 0) {
        return false;
    }
    kernel.skipped_ms += kernel.receive_ms;
    return true;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    int error;
    ssize_t n;

    if (exhaust_fails(EX_RECV, &error)) {
        return error == 0 ? 0 : exhaust_fail(error);
    }
    if (exhaust_nothing_came(fd, flags)) {
        return exhaust_fail(EAGAIN);
    }
    n = recvfrom(fd, buf, exhaust_most(EX_RECV, len), flags, NULL, NULL);
    exhaust_note(EX_RECV, n);
    return n;
}

/* In a hurry it waits 10 ms for the server at most, and says that all the time has passed. */
static int exhaust_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int wait_ms = n == 0 ? 0 : 10;
    int ready;

    if (!kernel.armed || !kernel.hurries || (timeout_ms >= 0 && timeout_ms <= wait_ms)) {
        return exhaust_wait(fds, n, timeout_ms);
    }
    ready = exhaust_wait(fds, n, wait_ms);
    if (ready == 0 && timeout_ms > 0) {
        kernel.skipped_ms += timeout_ms - wait_ms;
    }
    return ready;
}

int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int error;
    int ready;

    if (exhaust_fails(EX_POLL, &error)) {
        return error == 0 ? 0 : exhaust_fail(error);
    }
    ready = exhaust_poll(fds, n, timeout_ms);
    if (ready > 0 && exhaust_fails(EX_REVENTS, &error)) {
        fds[0].revents = (short)error;
    }
    return ready;
}

/* Failed or not, the descriptor is gone. */
int close(int fd)
{
    int error;
    bool fails = exhaust_fails(EX_CLOSE, &error);
    int result = (int)syscall(SYS_close, fd);

    return fails ? exhaust_fail(error) : result;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    int error;

    (void)host;
    (void)service;
    (void)hints;
    if (exhaust_fails(EX_GETADDRINFO, &error)) {
        if (error > 0) {
            errno = error;
            return EAI_SYSTEM;
        }
        return error;
    }
    kernel.lists++;
    *list = exhaust_list;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    assert_ptr_equal(list, exhaust_list);
    kernel.lists--;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int error;

    return exhaust_fails(EX_CLOCK, &error) ? exhaust_fail(error)
                                           : (int)syscall(SYS_clock_gettime, id, now);
}

ssize_t getrandom(void *buf, size_t len, unsigned flags);

ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
    int error;

    return exhaust_fails(EX_GETRANDOM, &error) ? exhaust_fail(error)
                                               : (ssize_t)syscall(SYS_getrandom, buf, len, flags);
}

int open(const char *path, int flags, ...)
{
    int error;
    int mode = 0;

    if ((flags & O_CREAT) != 0) {
        va_list arguments;

        va_start(arguments, flags);
        mode = va_arg(arguments, int);
        va_end(arguments);
    }
    return exhaust_fails(EX_OPEN, &error) ? exhaust_fail(error)
                                          : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fstat(int fd, struct stat *status)
{
    int error;

    return exhaust_fails(EX_FSTAT, &error) ? exhaust_fail(error)
                                           : (int)syscall(SYS_fstat, fd, status);
}

ssize_t read(int fd, void *buf, size_t len)
{
    int error;

    if (exhaust_fails(EX_READ, &error)) {
        return error == 0 ? 0 : exhaust_fail(error);
    }
    return (ssize_t)syscall(SYS_read, fd, buf, len);
}

void *mmap(void *start, size_t len, int protection, int flags, int fd, off_t offset)
{
    int error;

    if (exhaust_fails(EX_MMAP, &error)) {
        errno = error;
        return MAP_FAILED;
    }
    kernel.pages += kernel.armed;
    return (void *)syscall(SYS_mmap, start, len, protection, flags, fd, offset);
}

int madvise(void *start, size_t len, int advice)
{
    int error;

    return exhaust_fails(EX_MADVISE, &error) ? exhaust_fail(error)
                                             : (int)syscall(SYS_madvise, start, len, advice);
}

int munmap(void *start, size_t len)
{
    int error;
    int result;

    if (exhaust_fails(EX_MUNMAP, &error)) {
        (void)exhaust_fail(error);
        result = -1;
    } else {
        result = (int)syscall(SYS_munmap, start, len);
    }
    kernel.pages -= kernel.armed;
    return result;
}

EXHAUST int64_t exhaust_now_ms(void *context)
{
    return rlk_system_now_ms(context) + kernel.skipped_ms;
}

EXHAUST unsigned exhaust_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        n++;
    }
    closedir(folder);
    return n;
}

#endif
