/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "child.h"

#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t child_fork(void)
{
    pid_t parent = getpid();
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid < 0)
        support_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) /* died before that */
            _exit(1);
    }
    return pid;
}

static int wait_for(pid_t pid, int flags)
{
    int status = 0;
    pid_t found;

    do
        found = waitpid(pid, &status, flags);
    while (found < 0 && errno == EINTR);
    assert_int_equal(found, pid);
    return status;
}

int child_exit_code(pid_t pid)
{
    int status = wait_for(pid, 0);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void child_wait_stopped(pid_t pid)
{
    assert_true(WIFSTOPPED(wait_for(pid, WUNTRACED)));
}

void child_stop(pid_t pid)
{
    assert_int_equal(kill(pid, SIGSTOP), 0);
    child_wait_stopped(pid);
}

void child_continue(pid_t pid)
{
    assert_int_equal(kill(pid, SIGCONT), 0);
}

void child_check(int good, const char *file, int line, const char *condition)
{
    if (good != 0)
        return;
    print_error("child: %s:%d: %s\n", file, line, condition);
    _exit(1);
}
