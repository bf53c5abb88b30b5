/* SPDX-License-Identifier: MIT
 *
 * Every system call of the driver fails in turn, once and for good, with every errno that its
 * manual page has. The driver survives one failure; what goes on failing ends in a result that is
 * true; afterwards everything works, and nothing is left.
 */
#include "exhaust.h"

#include <limits.h>

#define MAX_ERRORS 24

/* What a failure that comes once may do to the calls. */
typedef enum effect {
    UNSEEN,     /* nothing, and the connection stays */
    RIDDEN_OUT, /* nothing, on a connection that may be another one */
    SHOWN       /* a result other than RLK_OK */
} effect;

typedef struct row {
    exhaust_call call;
    effect once;
    int errors[MAX_ERRORS]; /* up to the first END */
} row;

#define END (-1000)

/* Calls of every connection. */
static const row stream_rows[] = {
    {EX_SOCKET,
     RIDDEN_OUT,
     {EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTONOSUPPORT, END}},
    {EX_CONNECT, RIDDEN_OUT, {EACCES,       EPERM,    EADDRINUSE,   EADDRNOTAVAIL, EAFNOSUPPORT,
                              EAGAIN,       EALREADY, EBADF,        EISCONN,       ENETUNREACH,
                              EHOSTUNREACH, ENETDOWN, ENOBUFS,      EPROTOTYPE,    ECONNRESET,
                              ENOENT,       ENOTDIR,  ECONNREFUSED, ELOOP,         ETIMEDOUT,
                              EINVAL,       END}},
    {EX_CONNECT, UNSEEN, {EINPROGRESS, EINTR, END}},
    {EX_SEND, RIDDEN_OUT, {EACCES,   EBADF,      ECONNRESET,  EDESTADDRREQ, EINVAL,
                           EISCONN,  EMSGSIZE,   ENOBUFS,     ENOMEM,       ENOTCONN,
                           ENOTSOCK, EOPNOTSUPP, EPIPE,       EIO,          ENETDOWN,
                           EPERM,    ETIMEDOUT,  ENETUNREACH, EHOSTUNREACH, END}},
    {EX_SEND, UNSEEN, {EAGAIN, EINTR, END}},
    {EX_RECV,
     RIDDEN_OUT,
     {0, EBADF, ECONNREFUSED, ECONNRESET, EINVAL, ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP,
      ETIMEDOUT, EIO, EHOSTUNREACH, ENETDOWN, EPIPE, END}},
    {EX_RECV, UNSEEN, {EAGAIN, EINTR, END}},
    {EX_POLL, UNSEEN, {0, EINTR, END}},
    {EX_POLL, SHOWN, {EAGAIN, EFAULT, EINVAL, ENOMEM, END}},
    {EX_REVENTS,
     UNSEEN,
     {POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL, POLLPRI, POLLIN | POLLHUP, END}},
    {EX_CLOSE, UNSEEN, {EBADF, EINTR, EIO, ENOSPC, EDQUOT, END}},
};

/* Calls by which recv is made to wait, where there is one connection only; TCP has other options.
 */
static const row wait_rows[] = {
    {EX_SETSOCKOPT, UNSEEN, {EBADF, EINVAL, ENOBUFS, ENOMEM, ENOPROTOOPT, ENOTSOCK, END}},
    {EX_FCNTL, UNSEEN, {EACCES, EAGAIN, EBADF, EINVAL, EPERM, END}},
};

/* Calls of a connection over TCP. */
static const row tcp_rows[] = {
    {EX_GETSOCKOPT, RIDDEN_OUT, {EBADF, EINVAL, ENOBUFS, ENOMEM, ENOPROTOOPT, ENOTSOCK, END}},
    {EX_SO_ERROR,
     RIDDEN_OUT,
     {ECONNREFUSED, ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EPIPE, EIO,
      EACCES, END}},
    {EX_GETPEERNAME, UNSEEN, {EBADF, EINVAL, ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, END}},
    {EX_GETSOCKNAME, UNSEEN, {EBADF, EINVAL, ENOBUFS, ENOMEM, ENOTSOCK, END}},
    {EX_GETADDRINFO,
     RIDDEN_OUT,
     {EAI_AGAIN, EAI_BADFLAGS, EAI_FAIL, EAI_FAMILY, EAI_MEMORY, EAI_NONAME, EAI_SERVICE,
      EAI_SOCKTYPE, EMFILE, ENOMEM, EIO, EINTR, END}},
};

/* Clock, entropy and the fork mark: where one call fails, another serves. */
static const row system_rows[] = {
    {EX_CLOCK, UNSEEN, {EINVAL, EPERM, EFAULT, ENODEV, END}},
    {EX_GETRANDOM, UNSEEN, {ENOSYS, EPERM, EAGAIN, EFAULT, EINVAL, EINTR, END}},
    {EX_MMAP, UNSEEN, {ENOMEM, EAGAIN, EPERM, EINVAL, ENFILE, END}},
    {EX_MADVISE, UNSEEN, {EINVAL, ENOMEM, EAGAIN, EPERM, EIO, EBADF, END}},
    {EX_MUNMAP, UNSEEN, {EINVAL, ENOMEM, END}},
};

/* Of the calls that replace getrandom. */
static const row urandom_rows[] = {
    {EX_OPEN, SHOWN, {EACCES, EMFILE, ENFILE, ENOENT, ENODEV, ENXIO, EPERM, ENOMEM, ELOOP, END}},
    {EX_OPEN, UNSEEN, {EINTR, END}},
    {EX_FSTAT, SHOWN, {EBADF, EIO, ENOMEM, EOVERFLOW, EACCES, END}},
    {EX_READ, SHOWN, {0, EAGAIN, EBADF, EFAULT, EINVAL, EIO, EISDIR, END}},
    {EX_READ, UNSEEN, {EINTR, END}},
    {EX_CLOSE, UNSEEN, {EBADF, EINTR, EIO, END}},
};

static server *redis;
static exhaust_life life;
static struct sockaddr_in address;
static struct addrinfo info = {.ai_family = AF_INET,
                               .ai_socktype = SOCK_STREAM,
                               .ai_addr = (struct sockaddr *)&address,
                               .ai_addrlen = sizeof address};
static char name_url[64];

static void use_unix(void)
{
    exhaust_life_init(&life, redis);
}

/* By a name, so that it is resolved at each connect. */
static void use_tcp(void)
{
    exhaust_life_init(&life, redis);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    exhaust_list = &info;
    snprintf(name_url, sizeof name_url, "redis://exhausted.test:%d", server_port(redis));
    life.urls[0] = name_url;
}

/*
 * Each call fails with each errno. Where that takes long, as below valgrind, it fails with one of
 * them: of three, the first, fourth, seventh call with the first one.
 */
static unsigned error_step(const row *it)
{
    unsigned errors = 0;

    if (support_time_factor() < 10) {
        return 1;
    }
    while (it->errors[errors] != END) {
        errors++;
    }
    return errors;
}

/* Each call of each kind fails once. `standing` is there all the time. */
static void fail_once_each(const row *rows, size_t len, const exhaust_fault *standing)
{
    size_t i;
    size_t k;
    unsigned at;

    for (i = 0; i < len; i++) {
        unsigned step = error_step(&rows[i]);

        for (k = 0; rows[i].errors[k] != END; k++) {
            for (at = step > 1 ? (unsigned)k : 0;; at += step) {
                exhaust_reset();
                if (standing != NULL) {
                    kernel.faults[1] = *standing;
                }
                kernel.faults[0] = (exhaust_fault){rows[i].call, at, at + 1, rows[i].errors[k]};
                snprintf(life.what, sizeof life.what, "%s %u, error %d",
                         exhaust_names[rows[i].call], at, rows[i].errors[k]);
                exhaust_live(&life);
                if (kernel.met == 0) {
                    break;
                }
                if (rows[i].once != SHOWN) {
                    exhaust_assert_ridden_out(&life, rows[i].once == UNSEEN);
                }
            }
            exhaust_assert(&life, at > 0);
        }
    }
}

/* From its nth call on, a kind fails until the lock's life is over. */
static void fail_from_each(const row *rows, size_t len, const exhaust_fault *standing)
{
    size_t i;
    size_t k;
    unsigned at;

    for (i = 0; i < len; i++) {
        unsigned step = error_step(&rows[i]);

        for (k = 0; rows[i].errors[k] != END; k++) {
            for (at = step > 1 ? (unsigned)k : 0;; at += step) {
                exhaust_reset();
                kernel.hurries = true;
                life.options.env.now_ms = exhaust_now_ms;
                life.options.backoff_min_ms = life.options.backoff_max_ms = 500;
                if (standing != NULL) {
                    kernel.faults[1] = *standing;
                }
                kernel.faults[0] = (exhaust_fault){rows[i].call, at, UINT_MAX, rows[i].errors[k]};
                snprintf(life.what, sizeof life.what, "%s from %u on, error %d",
                         exhaust_names[rows[i].call], at, rows[i].errors[k]);
                exhaust_live(&life);
                if (kernel.met == 0) {
                    break;
                }
            }
            exhaust_assert(&life, at > 0);
        }
    }
}

static void test_exhaust_stream_calls_fail_once_unix(void **state)
{
    (void)state;
    use_unix();
    fail_once_each(stream_rows, COUNT_OF(stream_rows), NULL);
    fail_once_each(wait_rows, COUNT_OF(wait_rows), NULL);
}

static void test_exhaust_stream_calls_fail_once_tcp(void **state)
{
    (void)state;
    use_tcp();
    fail_once_each(stream_rows, COUNT_OF(stream_rows), NULL);
    fail_once_each(wait_rows, COUNT_OF(wait_rows), NULL);
    fail_once_each(tcp_rows, COUNT_OF(tcp_rows), NULL);
}

static void test_exhaust_system_calls_fail_once(void **state)
{
    static const exhaust_fault no_getrandom = {EX_GETRANDOM, 0, 1000, ENOSYS};

    (void)state;
    use_unix();
    fail_once_each(system_rows, COUNT_OF(system_rows), NULL);
    fail_once_each(urandom_rows, COUNT_OF(urandom_rows), &no_getrandom);
}

static void test_exhaust_stream_calls_fail_for_good_unix(void **state)
{
    (void)state;
    use_unix();
    fail_from_each(stream_rows, COUNT_OF(stream_rows), NULL);
    fail_from_each(wait_rows, COUNT_OF(wait_rows), NULL);
}

static void test_exhaust_stream_calls_fail_for_good_tcp(void **state)
{
    (void)state;
    use_tcp();
    fail_from_each(stream_rows, COUNT_OF(stream_rows), NULL);
    fail_from_each(wait_rows, COUNT_OF(wait_rows), NULL);
    fail_from_each(tcp_rows, COUNT_OF(tcp_rows), NULL);
}

/* A clock that has worked has no reason to fail: not so before. */
static void test_exhaust_no_clock(void **state)
{
    (void)state;
    use_unix();
    exhaust_reset();
    kernel.faults[0] = (exhaust_fault){EX_CLOCK, 0, UINT_MAX, EINVAL};
    kernel.armed = true;
    assert_result(rlk_posix_open(&life.posix, life.urls[0], &life.options), RLK_E_CLOCK);
    kernel.armed = false;
    assert_int_equal(kernel.pages, 0);
}

/* On three nodes, one of which is concerned at a time, if it is not the slowest anyway. */
static void test_exhaust_calls_fail_once_on_three_nodes(void **state)
{
    size_t i;

    (void)state;
    use_unix();
    life.nodes = 3;
    for (i = 1; i < life.nodes; i++) {
        life.servers[i] = server_start(NULL);
        life.urls[i] = server_url(life.servers[i]);
    }
    fail_once_each(stream_rows, COUNT_OF(stream_rows), NULL);
}

static int start(void **state)
{
    static const server_config config = {.tcp = true};

    (void)state;
    exhaust_reset();
    redis = server_start(&config);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exhaust_stream_calls_fail_once_unix, start,
                                        support_teardown),
        cmocka_unit_test_setup_teardown(test_exhaust_stream_calls_fail_once_tcp, start,
                                        support_teardown),
        cmocka_unit_test_setup_teardown(test_exhaust_stream_calls_fail_for_good_unix, start,
                                        support_teardown),
        cmocka_unit_test_setup_teardown(test_exhaust_stream_calls_fail_for_good_tcp, start,
                                        support_teardown),
        cmocka_unit_test_setup_teardown(test_exhaust_no_clock, start, support_teardown),
        cmocka_unit_test_setup_teardown(test_exhaust_calls_fail_once_on_three_nodes, start,
                                        support_teardown),
        cmocka_unit_test_setup_teardown(test_exhaust_system_calls_fail_once, start,
                                        support_teardown),
    };

    return cmocka_run_group_tests_name("exhaust_errors", tests, NULL, NULL);
}
