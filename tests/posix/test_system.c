/* SPDX-License-Identifier: MIT
 *
 * Clock, entropy and fork mark. The program defines the system calls that can fail, so that the
 * library's calls come here; each goes on to the kernel unless a test said otherwise.
 */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Faults ------------------------------------------------------------------------------ */

static struct {
    int boottime;          /* errno of that clock; 0: it works; here and below */
    int monotonic;         /* as well */
    int getrandom;         /* as well */
    int madvise;           /* as well */
    bool madvise_pretends; /* accepts any advice, and follows none */
    int mmap;              /* as well */
    int fstat;             /* as well */
    int read;              /* as well, of /dev/urandom */
    int interrupts;        /* calls of getrandom and read to be interrupted first */
    int open_interrupts;   /* of open */
    bool nothing;          /* getrandom gives 0 bytes */
    size_t most;           /* bytes that getrandom and read give at once; 0: all */
    const char *urandom;   /* opened in place of /dev/urandom; NULL: itself */
} fault;

static unsigned getrandom_calls;
static unsigned urandom_reads;
static int urandom_fd = -1;

static int fail_with(int error)
{
    errno = error;
    return -1;
}

static bool interrupted(int *interrupts)
{
    if (*interrupts == 0) {
        return false;
    }
    (*interrupts)--;
    errno = EINTR;
    return true;
}

static size_t at_most(size_t len)
{
    return fault.most != 0 && len > fault.most ? fault.most : len;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    if (id == CLOCK_BOOTTIME && fault.boottime != 0) {
        return fail_with(fault.boottime);
    }
    if (id == CLOCK_MONOTONIC && fault.monotonic != 0) {
        return fail_with(fault.monotonic);
    }
    return (int)syscall(SYS_clock_gettime, id, now);
}

ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
    getrandom_calls++;
    if (fault.getrandom != 0) {
        return fail_with(fault.getrandom);
    }
    if (fault.nothing) {
        return 0;
    }
    return interrupted(&fault.interrupts)
               ? -1
               : (ssize_t)syscall(SYS_getrandom, buf, at_most(len), flags);
}

int open(const char *path, int flags, ...)
{
    bool is_urandom = strcmp(path, "/dev/urandom") == 0;
    int mode = 0;
    int fd;

    if ((flags & O_CREAT) != 0) {
        va_list arguments;

        va_start(arguments, flags);
        mode = va_arg(arguments, int);
        va_end(arguments);
    }
    if (is_urandom && interrupted(&fault.open_interrupts)) {
        return -1;
    }
    if (is_urandom && fault.urandom != NULL) {
        path = fault.urandom;
    }
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (is_urandom) {
        urandom_fd = fd;
    }
    return fd;
}

ssize_t read(int fd, void *buf, size_t len)
{
    if (fd == urandom_fd) {
        urandom_reads++;
        if (fault.read != 0) {
            return fail_with(fault.read);
        }
        return interrupted(&fault.interrupts) ? -1
                                              : (ssize_t)syscall(SYS_read, fd, buf, at_most(len));
    }
    return (ssize_t)syscall(SYS_read, fd, buf, len);
}

int fstat(int fd, struct stat *status)
{
    if (fault.fstat != 0) {
        return fail_with(fault.fstat);
    }
    return fstatat(fd, "", status, AT_EMPTY_PATH);
}

int madvise(void *start, size_t len, int advice)
{
    if (fault.madvise != 0) {
        return fail_with(fault.madvise);
    }
    if (fault.madvise_pretends) {
        return 0;
    }
    return (int)syscall(SYS_madvise, start, len, advice);
}

void *mmap(void *start, size_t len, int protection, int flags, int fd, off_t offset)
{
    if (fault.mmap != 0) {
        errno = fault.mmap;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, start, len, protection, flags, fd, offset);
}

static int end_faults(void **state)
{
    (void)state;
    memset(&fault, 0, sizeof fault);
    getrandom_calls = 0;
    urandom_reads = 0;
    return 0;
}

#define faulty_test(function) cmocka_unit_test_setup_teardown(function, end_faults, end_faults)

/* ---- Clock ------------------------------------------------------------------------------- */

static int64_t read_clock_ms(clockid_t id)
{
    struct timespec now;

    assert_int_equal(syscall(SYS_clock_gettime, id, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* CLOCK_MONOTONIC stands still in suspend (fault 44). */
static void test_system_clock_is_the_one_that_counts_suspend(void **state)
{
    int64_t before = read_clock_ms(CLOCK_BOOTTIME);
    int64_t now = rlk_system_now_ms(NULL);

    (void)state;
    assert_between(now, before, read_clock_ms(CLOCK_BOOTTIME));
    fault.monotonic = EINVAL; /* not asked */
    now = rlk_system_now_ms(NULL);
    assert_between(now, before, read_clock_ms(CLOCK_BOOTTIME));
}

static void test_system_clock_falls_back_to_monotonic(void **state)
{
    int64_t before = read_clock_ms(CLOCK_MONOTONIC);
    int64_t now;

    (void)state;
    fault.boottime = EINVAL;
    now = rlk_system_now_ms(NULL);
    assert_between(now, before, read_clock_ms(CLOCK_MONOTONIC));
}

/* Without a clock nothing is valid any more; and adding a time limit does not overflow. */
static void test_system_without_clock_it_is_late(void **state)
{
    (void)state;
    fault.boottime = EINVAL;
    fault.monotonic = EINVAL;
    assert_between(rlk_system_now_ms(NULL), INT64_C(1) << 60, INT64_MAX - RLK_TTL_MAX);
}

/* ---- Entropy ----------------------------------------------------------------------------- */

/* Fills 1000 bytes twice: all of them, not less, not more, and not the same again. */
static void assert_random_works(void)
{
    uint8_t a[1002];
    uint8_t b[1002];
    size_t i;
    size_t same = 0;

    memset(a, 0x55, sizeof a);
    memset(b, 0x55, sizeof b);
    assert_int_equal(rlk_system_random(NULL, a + 1, 1000), 0);
    assert_int_equal(rlk_system_random(NULL, b + 1, 1000), 0);
    assert_int_equal(a[0], 0x55);
    assert_int_equal(a[1001], 0x55);
    for (i = 1; i <= 1000; i++) {
        same += a[i] == b[i];
    }
    assert_true(same < 100); /* about 4 are expected */
    assert_memory_not_equal(a + 985, b + 985, 16);
}

static void test_system_random_fills_every_byte(void **state)
{
    (void)state;
    assert_random_works();
    assert_int_equal(getrandom_calls, 2);
    assert_int_equal(rlk_system_random(NULL, NULL, 0), 0);
}

/* Fault 47; and getrandom may stop after 256 bytes when a signal comes. */
static void test_system_random_goes_on_after_signals(void **state)
{
    (void)state;
    fault.interrupts = 3;
    fault.most = 256;
    assert_random_works();
    assert_int_equal(fault.interrupts, 0);
    assert_int_equal(getrandom_calls, 8 + 3);
    assert_int_equal(urandom_reads, 0);
}

/* A kernel without the call, or a sandbox. */
static void test_system_random_falls_back_to_urandom(void **state)
{
    static const int errors[] = {ENOSYS, EPERM};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(errors); i++) {
        fault.getrandom = errors[i];
        urandom_reads = 0;
        assert_random_works();
        assert_int_equal(urandom_reads, 2);
        assert_int_equal(fcntl(urandom_fd, F_GETFD), -1); /* closed */
    }
}

static void test_system_random_reads_urandom_to_the_end(void **state)
{
    (void)state;
    fault.getrandom = ENOSYS;
    fault.interrupts = 2;
    fault.open_interrupts = 2;
    fault.most = 300;
    assert_random_works();
    assert_int_equal(fault.interrupts, 0);
    assert_int_equal(urandom_reads, 8 + 2);
}

/* Fault 49. A plain file in place of the device would give everybody the same token. */
static void test_system_random_fails_closed(void **state)
{
    static const struct {
        const char *urandom;
        int fstat;
        int read;
        bool nothing;
    } rows[] = {
        {"/nonexistent/urandom", 0, 0, false},
        {"/proc/self/exe", 0, 0, false}, /* a plain file */
        {"/dev/null", 0, 0, false},      /* a device that ends at once */
        {NULL, EIO, 0, false},
        {NULL, 0, EIO, false},
        {"/dev/null", 0, 0, true},
    };
    static const uint8_t zeros[32];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        uint8_t buf[32];

        fault.urandom = rows[i].urandom;
        fault.fstat = rows[i].fstat;
        fault.read = rows[i].read;
        fault.nothing = rows[i].nothing;
        fault.getrandom = rows[i].nothing ? 0 : ENOSYS;
        memset(buf, 0x55, sizeof buf);
        assert_int_equal(rlk_system_random(NULL, buf, sizeof buf), -1);
        assert_memory_equal(buf, zeros, sizeof buf);
        assert_int_equal(fcntl(urandom_fd, F_GETFD), -1);
    }
}

/* ---- Fork -------------------------------------------------------------------------------- */

/* What `same` says in a child and in a grandchild: bits 0 and 1; bit 2: of a mark that the child
 * made for itself, which must be true. */
static int check_in_descendants(rlk_system_fork *mark)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int seen = rlk_system_fork_same(mark) ? 1 : 0;
        pid_t grandchild = fork();
        rlk_system_fork own;

        if (grandchild == 0) {
            _exit(rlk_system_fork_same(mark) ? 1 : 0);
        }
        if (waitpid(grandchild, &status, 0) != grandchild || WEXITSTATUS(status) != 0) {
            seen |= 2;
        }
        rlk_system_fork_init(&own);
        seen |= rlk_system_fork_same(&own) ? 4 : 0;
        rlk_system_fork_close(&own);
        rlk_system_fork_close(mark);
        _exit(seen);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Fault 45. */
static void test_system_fork_is_noticed(void **state)
{
    rlk_system_fork mark;

    (void)state;
    rlk_system_fork_init(&mark);
    assert_non_null((const void *)(uintptr_t)mark.mark);
    assert_true(rlk_system_fork_same(&mark));
    assert_int_equal(check_in_descendants(&mark), 4);
    assert_true(rlk_system_fork_same(&mark)); /* the parent is what it was */
    rlk_system_fork_close(&mark);
    rlk_system_fork_close(&mark);
    assert_null((const void *)(uintptr_t)mark.mark);
    assert_true(rlk_system_fork_same(&mark)); /* by its number, from now on */
}

static void assert_fork_noticed_by_pid(void)
{
    rlk_system_fork mark;

    rlk_system_fork_init(&mark);
    assert_null((const void *)(uintptr_t)mark.mark);
    assert_true(rlk_system_fork_same(&mark));
    assert_int_equal(check_in_descendants(&mark), 4);
    assert_true(rlk_system_fork_same(&mark));
    rlk_system_fork_close(&mark);
}

/* Linux before 4.14. */
static void test_system_fork_is_noticed_without_wipeonfork(void **state)
{
    (void)state;
    fault.madvise = EINVAL;
    assert_fork_noticed_by_pid();
}

/* Fault 118: qemu-user, sandboxes. */
static void test_system_fork_is_noticed_where_any_advice_is_accepted(void **state)
{
    (void)state;
    fault.madvise_pretends = true;
    assert_fork_noticed_by_pid();
}

static void test_system_fork_is_noticed_without_memory(void **state)
{
    (void)state;
    fault.mmap = ENOMEM;
    assert_fork_noticed_by_pid();
}

/* ---- Words ------------------------------------------------------------------------------- */

#ifndef RLK_NO_TEXT
static void test_system_words_of_each_errno(void **state)
{
    static const struct {
        int number;
        const char *words;
    } rows[] = {
        {ECONNREFUSED, "connection refused"},
        {ECONNRESET, "connection reset by the peer"},
        {EPIPE, "the peer has closed the connection"},
        {ETIMEDOUT, "timed out"},
        {EHOSTUNREACH, "no route to the host"},
        {ENETUNREACH, "the network is unreachable"},
        {ENETDOWN, "the network is down"},
        {EADDRNOTAVAIL, "no local address or port is free"},
        {EAFNOSUPPORT, "the system lacks this kind of address"},
        {ENOENT, "no such socket"},
        {ENOTDIR, "a part of the path is not a folder"},
        {ENOTSOCK, "not a socket"},
        {ENAMETOOLONG, "the path is too long"},
        {EACCES, "permission denied"},
        {EPERM, "forbidden, perhaps by a firewall"},
        {EAGAIN, "the server's queue of connections is full"},
        {EMFILE, "too many open files in this process"},
        {ENFILE, "too many open files in the system"},
        {ENOBUFS, "the system has no buffer left"},
        {ENOMEM, "the system has no memory left"},
        {EPROTOTYPE, "a socket of another type"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        assert_string_equal(rlk_system_errno_text(NULL, rows[i].number), rows[i].words);
    }
    assert_null(rlk_system_errno_text(NULL, 9999));
}
#endif

int main(void)
{
    static const struct CMUnitTest tests[] = {
        faulty_test(test_system_clock_is_the_one_that_counts_suspend),
        faulty_test(test_system_clock_falls_back_to_monotonic),
        faulty_test(test_system_without_clock_it_is_late),
        faulty_test(test_system_random_fills_every_byte),
        faulty_test(test_system_random_goes_on_after_signals),
        faulty_test(test_system_random_falls_back_to_urandom),
        faulty_test(test_system_random_reads_urandom_to_the_end),
        faulty_test(test_system_random_fails_closed),
        faulty_test(test_system_fork_is_noticed),
        faulty_test(test_system_fork_is_noticed_without_wipeonfork),
        faulty_test(test_system_fork_is_noticed_where_any_advice_is_accepted),
        faulty_test(test_system_fork_is_noticed_without_memory),
#ifndef RLK_NO_TEXT
        faulty_test(test_system_words_of_each_errno),
#endif
    };

    return cmocka_run_group_tests_name("system", tests, NULL, NULL);
}
