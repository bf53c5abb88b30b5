/* SPDX-License-Identifier: MIT
 *
 * The main job, to watch: two processes want one lock; then a leader is killed -9, and a follower
 * takes over. scripts/demo starts a private server and runs it:
 *     demo unix:///path/of/redis.sock
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TTL_MS   3000
#define LEADER_TTL_MS 2000
#define WAIT_MS       10000 /* a server that dies must not leave the demo hanging */

static const char *url;
static int64_t start_ms;
static bool coloured;
static volatile sig_atomic_t children[2]; /* read by the handler */

/* ---- Output ---- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&time, NULL);
}

/* One line by one write, so that those of several processes don't mix. */
__attribute__((format(printf, 3, 4))) static void say(const char *colour, const char *who,
                                                      const char *format, ...)
{
    int64_t time_ms = now_ms() - start_ms;
    va_list arguments;
    char text[512];

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("%s%3" PRId64 ".%03" PRId64 "  %-6s %s%s\n", coloured ? colour : "", time_ms / 1000,
           time_ms % 1000, who, text, coloured ? "\033[0m" : "");
    fflush(stdout);
}

#define GREEN  "\033[32m"
#define CYAN   "\033[36m"
#define YELLOW "\033[33m"
#define RED    "\033[31m"
#define BOLD   "\033[1m"

static void fail(const char *who, const char *why)
{
    say(RED, who, "%s", why);
    exit(1);
}

static void must(rlk_result result, const char *who, rlk_lock *lock)
{
    if (result != RLK_OK)
        fail(who, rlk_lock_error(lock));
}

/* ---- Two processes and one lock ---- */

static rlk_holder said; /* by the server, of who has a lock */

static void open_lock(rlk_posix_client *redis, rlk_lock *lock, const char *key, const char *prefix,
                      int64_t ttl_ms)
{
    rlk_lock_config config = {.ttl_ms = ttl_ms, .token_prefix = prefix, .holders = &said};

    if (rlk_posix_open(redis, url, NULL) != RLK_OK ||
        rlk_lock_init(lock, &redis->client, key, &config) != RLK_OK)
        fail("", rlk_client_error(&redis->client));
}

static void close_lock(rlk_posix_client *redis, rlk_lock *lock)
{
    rlk_lock_close(lock);
    rlk_posix_close(redis);
}

static void alice(void)
{
    rlk_posix_client redis;
    rlk_lock lock;

    open_lock(&redis, &lock, "demo:job", "alice-", LOCK_TTL_MS);
    must(rlk_acquire(&lock, RLK_TRY), "alice", &lock);
    say(GREEN, "alice", "has the lock, for %" PRId64 " ms", rlk_remaining_ms(&lock));
    pause_ms(1000);
    say(GREEN, "alice", "works; %" PRId64 " ms left", rlk_remaining_ms(&lock));
    must(rlk_extend(&lock, 2000), "alice", &lock);
    say(GREEN, "alice", "extended by 2000 ms; %" PRId64 " ms left", rlk_remaining_ms(&lock));
    pause_ms(1500);
    say(GREEN, "alice", "is done; releases with %" PRId64 " ms left", rlk_remaining_ms(&lock));
    must(rlk_release(&lock), "alice", &lock);
    say(GREEN, "alice", "has released the lock");
    close_lock(&redis, &lock);
}

static void bob(void)
{
    rlk_posix_client redis;
    rlk_lock lock;
    rlk_holder holder;
    int64_t asked_ms;

    pause_ms(300);
    open_lock(&redis, &lock, "demo:job", "bob-", LOCK_TTL_MS);
    say(CYAN, "bob", "tries once: %s", rlk_result_name(rlk_acquire(&lock, RLK_TRY)));
    must(rlk_query(&lock, &holder, 1), "bob", &lock);
    say(CYAN, "bob", "asks who: token %.15s..., %" PRId64 " ms left", holder.token, holder.ttl_ms);
    say(CYAN, "bob", "waits");
    asked_ms = now_ms();
    must(rlk_acquire(&lock, WAIT_MS), "bob", &lock);
    say(CYAN, "bob", "has the lock after %" PRId64 " ms of waiting, for %" PRId64 " ms",
        now_ms() - asked_ms, rlk_remaining_ms(&lock));
    pause_ms(700);
    must(rlk_release(&lock), "bob", &lock);
    say(CYAN, "bob", "has released the lock");
    close_lock(&redis, &lock);
}

/* ---- A leader and a follower ---- */

/* The token begins with the leader's name. */
static void say_who_leads(const char *colour, const char *name, rlk_lock *lock)
{
    rlk_leader_info leader = {0};

    if (rlk_query(lock, &said, 1) == RLK_OK && rlk_leader(lock, &leader) == RLK_OK)
        say(colour, name, "follows %.*s", leader.name_len, leader.token);
}

static void lead(const char *colour, const char *name, int64_t lead_ms)
{
    rlk_posix_client redis;
    rlk_lock lock;
    int64_t end_ms;
    int turn = 1;

    open_lock(&redis, &lock, "demo:leader", name, LEADER_TTL_MS);
    say_who_leads(colour, name, &lock);
    must(rlk_acquire(&lock, WAIT_MS), name, &lock);
    say(colour, name, "leads");
    end_ms = now_ms() + lead_ms;
    while (rlk_keep_alive(&lock) == RLK_OK && now_ms() < end_ms) {
        if (turn++ % 3 == 0)
            say(colour, name, "leads on; %" PRId64 " ms left", rlk_remaining_ms(&lock));
        pause_ms(LEADER_TTL_MS / 8);
    }
    must(rlk_release(&lock), name, &lock);
    say(colour, name, "resigns");
    close_lock(&redis, &lock);
}

static void carol(void)
{
    lead(GREEN, "carol", 60000);
}

static void dave(void)
{
    pause_ms(300);
    lead(CYAN, "dave", 1800);
}

/* ---- The stage ---- */

static void on_signal(int number)
{
    int i;

    for (i = 0; i < 2; i++) {
        if (children[i] > 0) {
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
    }
    _exit(128 + number);
}

static pid_t begin(int place, void (*act)(void))
{
    pid_t pid = fork();

    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        act();
        exit(0);
    }
    children[place] = (sig_atomic_t)pid;
    return pid;
}

static bool end(int place)
{
    int status = 0;
    pid_t pid = children[place];

    waitpid(pid, &status, 0);
    children[place] = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    bool good;

    if (argc != 2) {
        fprintf(stderr, "usage: %s URL\n", argv[0]);
        return 2;
    }
    url = argv[1];
    start_ms = now_ms();
    coloured = isatty(STDOUT_FILENO) == 1;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    say(BOLD, "", "Two processes, one lock (key demo:job, TTL %d ms)", LOCK_TTL_MS);
    begin(0, alice);
    begin(1, bob);
    good = end(0);
    good = end(1) && good;
    if (!good) {
        say(BOLD, "", "Something went wrong.");
        return 1;
    }

    say(BOLD, "", "A leader and a follower (key demo:leader, TTL %d ms)", LEADER_TTL_MS);
    begin(0, carol);
    begin(1, dave);
    pause_ms(3000);
    say(RED, "", "kill -9 carol; what she holds lapses within %d ms", LEADER_TTL_MS);
    kill(children[0], SIGKILL);
    end(0);
    good = end(1) && good;
    say(BOLD, "", good ? "Done." : "Something went wrong.");
    return good ? 0 : 1;
}
