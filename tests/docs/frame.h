/* SPDX-License-Identifier: MIT
 *
 * What a sample of README.md, docs/guide.md or lock.h may use without declaring it. samples.py, in
 * this folder, puts it before each sample that is marked "body" or "functions". It is compiled
 * only, never linked, so nothing here has a definition.
 */
#ifndef TEST_DOCS_FRAME_H
#define TEST_DOCS_FRAME_H

#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern rlk_posix_client redis;
extern rlk_lock lock;                  /* of `redis` */
extern volatile sig_atomic_t stopping; /* set when the program is about to end */

/* Prints `why`. */
void report(const char *why);

/* The same, and returns 1. */
int fail(const char *why);

void start_work(void);
void stop_work(void);
void work(void);
bool more_work(void);
void lead_for_less_than_a_third_of_the_ttl(void);
void work_for_less_than_a_third_of_the_ttl(void);

#endif
