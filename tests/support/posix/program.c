/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "program.h"
#include "admin.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM_ARGUMENTS 32
#define PROGRAM_WAIT_MS   20000

struct program {
    program *next; /* of all */
    pid_t pid;     /* 0: has ended */
    int status;
    int fd; /* what it prints; -1 at its end */
    admin_text output;
    size_t seen; /* by program_expect */
};

static program *program_all;

static void program_reap(program *run)
{
    int status = 0;

    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
        ;
    run->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    run->pid = 0;
}

static void program_free_all(void)
{
    while (program_all != NULL) {
        program *run = program_all;

        program_all = run->next;
        if (run->pid > 0) {
            kill(run->pid, SIGKILL);
            program_reap(run);
        }
        if (run->fd >= 0)
            close(run->fd);
        admin_text_free(&run->output);
        free(run);
    }
}

const char *program_example(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/examples/%s", TEST_BINARY_DIR, name);
    return path;
}

static void program_exec(char **arguments, int out, pid_t parent)
{
    int in = open("/dev/null", O_RDONLY);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    execvp(arguments[0], arguments);
    _exit(127);
}

program *program_start(const char *path, ...)
{
    program *run = (program *)calloc(1, sizeof *run);
    char *arguments[PROGRAM_ARGUMENTS + 1];
    pid_t parent = getpid();
    va_list list;
    int ends[2];
    size_t n = 0;

    if (run == NULL)
        abort();
    support_at_teardown(program_free_all);
    arguments[n++] = (char *)path;
    va_start(list, path);
    while (n < PROGRAM_ARGUMENTS && (arguments[n] = va_arg(list, char *)) != NULL)
        n++;
    va_end(list);
    arguments[n] = NULL;
    if (pipe2(ends, O_CLOEXEC) != 0)
        support_fail("pipe: %s", strerror(errno));
    run->pid = fork();
    if (run->pid < 0)
        support_fail("fork: %s", strerror(errno));
    if (run->pid == 0)
        program_exec(arguments, ends[1], parent);
    close(ends[1]);
    run->fd = ends[0];
    admin_append(&run->output, "", 0);
    run->next = program_all;
    program_all = run;
    return run;
}

/* False: nothing more will come. */
static bool program_read(program *run, int64_t end_ms)
{
    struct pollfd ready = {run->fd, POLLIN, 0};
    int64_t left_ms = end_ms - support_now_ms();
    char data[4096];
    ssize_t n;

    if (run->fd < 0)
        return false;
    if (left_ms <= 0 || poll(&ready, 1, (int)left_ms) == 0)
        support_fail("the program prints nothing more; so far: %s", run->output.data);
    n = read(run->fd, data, sizeof data);
    if (n > 0) {
        admin_append(&run->output, data, (size_t)n);
    } else if (n == 0 || errno != EINTR) {
        close(run->fd);
        run->fd = -1;
    }
    return run->fd >= 0;
}

void program_expect(program *run, const char *text)
{
    int64_t end_ms = support_now_ms() + (int64_t)PROGRAM_WAIT_MS * support_time_factor();
    const char *found;

    while ((found = strstr(run->output.data + run->seen, text)) == NULL) {
        if (!program_read(run, end_ms) && strstr(run->output.data + run->seen, text) == NULL)
            support_fail("\"%s\" was not printed; but: %s", text, run->output.data);
    }
    run->seen = (size_t)(found - run->output.data) + strlen(text);
}

int program_wait(program *run)
{
    int64_t end_ms = support_now_ms() + (int64_t)PROGRAM_WAIT_MS * support_time_factor();

    while (program_read(run, end_ms))
        ;
    if (run->pid > 0)
        program_reap(run);
    return run->status;
}

const char *program_output(program *run)
{
    return run->output.data;
}

void program_signal(program *run, int number)
{
    if (run->pid > 0)
        kill(run->pid, number);
}
