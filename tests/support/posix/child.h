/* SPDX-License-Identifier: MIT
 *
 * child.h: children of a test: forked, stopped, continued, and how they end. A child dies with the
 * test.
 *
 *     pid_t pid = child_fork();
 *     if (pid == 0) {
 *         CHILD_CHECK(rlk_acquire(&lock, RLK_TRY) == RLK_E_FORKED);
 *         _exit(0);
 *     }
 *     assert_int_equal(child_exit_code(pid), 0);
 */
#ifndef TEST_CHILD_H
#define TEST_CHILD_H

#include <sys/types.h>

/* As fork, and fails the test if that fails. What stdio has buffered is written before. */
pid_t child_fork(void);

/* Waits for its end. Its exit code, or -1 if a signal ended it. */
int child_exit_code(pid_t pid);

/* SIGSTOP; returns when it has stopped. */
void child_stop(pid_t pid);

/* Returns when the child has stopped of its own accord (raise(SIGSTOP)). */
void child_wait_stopped(pid_t pid);

void child_continue(pid_t pid);

/* In a child an assertion would end the parent's test twice. This prints the line, and ends the
 * child with exit code 1. */
#define CHILD_CHECK(condition) child_check((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
void child_check(int good, const char *file, int line, const char *condition);

#endif
