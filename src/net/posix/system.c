/* SPDX-License-Identifier: MIT
 *
 * What the engine asks of a POSIX system: time, random bytes, and whether this process is still
 * the one that it was.
 */
#include "features.h"

#include "resplock/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* RLK_NO_GETRANDOM: for a C library without it (glibc before 2.25). */
#if (defined(__linux__) || defined(__FreeBSD__)) && !defined(RLK_NO_GETRANDOM)
#include <sys/random.h>
#define SYSTEM_HAS_GETRANDOM 1
#endif

/* ---- Clock ------------------------------------------------------------------------------- */

static bool system_clock(clockid_t id, int64_t *now_ms)
{
    struct timespec now;

    if (clock_gettime(id, &now) != 0) {
        return false;
    }
    *now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return true;
}

int64_t rlk_system_now_ms(void *context)
{
    int64_t now_ms;

    (void)context;
#ifdef CLOCK_BOOTTIME
    if (system_clock(CLOCK_BOOTTIME, &now_ms)) {
        return now_ms;
    }
#endif
    return system_clock(CLOCK_MONOTONIC, &now_ms) ? now_ms : RLK_NO_CLOCK_MS;
}

/* ---- Entropy ----------------------------------------------------------------------------- */

#ifdef SYSTEM_HAS_GETRANDOM
/* Blocks only while the system, just booted, has gathered no entropy yet. */
static bool system_getrandom(uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = getrandom(buf, len, 0);

        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}
#endif

static int system_open(const char *path)
{
    int fd;

    do {
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static bool system_read_all(int fd, uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, buf, len);

        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* A kernel without getrandom, or a sandbox that forbids it. */
static bool system_urandom(uint8_t *buf, size_t len)
{
    struct stat status;
    bool good;
    int fd = system_open("/dev/urandom");

    if (fd < 0) {
        return false;
    }
    /* in a careless chroot it may be a plain file: the same bytes for everybody */
    good = fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && system_read_all(fd, buf, len);
    (void)close(fd);
    return good;
}

int rlk_system_random(void *context, void *buf, size_t len)
{
    uint8_t *bytes = (uint8_t *)buf;

    (void)context;
#ifdef SYSTEM_HAS_GETRANDOM
    if (system_getrandom(bytes, len)) {
        return 0;
    }
#endif
    if (system_urandom(bytes, len)) {
        return 0;
    }
    memset(bytes, 0, len);
    return -1;
}

/* ---- Fork -------------------------------------------------------------------------------- */

/* Bytes to map: the kernel makes a page of it. */
#define SYSTEM_MARK_LEN 4096u
#define SYSTEM_MARK     1u

/* Advice that no kernel knows. A system that accepts it takes any advice and follows none, as
 * emulators do (fault 118): then it accepts MADV_WIPEONFORK too, and the child finds the mark. */
#define SYSTEM_NO_ADVICE (-1)

/* A page that the kernel hands to a child, and to the child's children, filled with zeros. NULL:
 * there is none, and process ids are compared. */
static volatile uint32_t *system_map_mark(void)
{
#ifdef MADV_WIPEONFORK
    void *page =
        mmap(NULL, SYSTEM_MARK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint32_t *mark = (volatile uint32_t *)page;

    if (page == MAP_FAILED) {
        return NULL;
    }
    if (madvise(page, SYSTEM_MARK_LEN, SYSTEM_NO_ADVICE) != 0 &&
        madvise(page, SYSTEM_MARK_LEN, MADV_WIPEONFORK) == 0) {
        *mark = SYSTEM_MARK;
        return mark;
    }
    (void)munmap(page, SYSTEM_MARK_LEN); /* Linux before 4.14, an emulator */
#endif
    return NULL;
}

void rlk_system_fork_init(rlk_system_fork *fork_mark)
{
    fork_mark->pid = (int64_t)getpid();
    fork_mark->mark = system_map_mark();
}

bool rlk_system_fork_same(const rlk_system_fork *fork_mark)
{
    if (fork_mark->mark != NULL) {
        return *fork_mark->mark == SYSTEM_MARK;
    }
    return fork_mark->pid == (int64_t)getpid();
}

void rlk_system_fork_close(rlk_system_fork *fork_mark)
{
    if (fork_mark->mark != NULL) {
        (void)munmap((void *)(uintptr_t)fork_mark->mark, SYSTEM_MARK_LEN);
        fork_mark->mark = NULL;
    }
}
