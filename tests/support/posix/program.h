/* SPDX-License-Identifier: MIT
 *
 * program.h: other programs under test (examples, redis-py, the command), with what they print.
 *
 *     program *leader = program_start("leader", url, "key", "anna", NULL);
 *     program_expect(leader, "anna leads");
 *     program_signal(leader, SIGTERM);
 *     assert_int_equal(program_wait(leader), 0);
 */
#ifndef TEST_PROGRAM_H
#define TEST_PROGRAM_H

#include <sys/types.h>

typedef struct program program;

/* Path of an example's program; lives until the next call. */
const char *program_example(const char *name);

/* Starts a program with arguments up to NULL. It dies with the test. Output and error output come
 * together; input is empty. */
program *program_start(const char *path, ...);

/* Waits until what it printed since the last expect contains the text, and goes behind it; fails
 * the test when the program ends before, or after 20 s (times the time factor). */
void program_expect(program *run, const char *text);

/* Waits for its end. Exit status, or 128 + signal. The object stays until the test ends. */
int program_wait(program *run);

/* All that it printed and was read: complete after program_wait. */
const char *program_output(program *run);

void program_signal(program *run, int number);

#endif
