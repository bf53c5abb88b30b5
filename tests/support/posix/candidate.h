/* SPDX-License-Identifier: MIT
 *
 * candidate.h: processes that campaign, and what each writes of it into shared memory before its
 * application gets the event.
 *
 *     candidate *anna = candidate_new(urls, 1, "service", "anna", 1000);
 *     candidate_start(anna, CANDIDATE_LOOP);
 *     wait_until(candidate_terms(anna, &count) && count == 1);
 *     candidate_kill(anna);
 *
 * Each call but candidate_resign has had its effect when it returns. They die with the test.
 */
#ifndef TEST_CANDIDATE_H
#define TEST_CANDIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct candidate candidate;

typedef enum candidate_way {
    CANDIDATE_LOOP,    /* rlk_campaign_start in an event loop */
    CANDIDATE_BLOCKING /* rlk_acquire and rlk_keep_alive */
} candidate_way;

/* How a process learned that it leads no longer. */
typedef enum candidate_end {
    CANDIDATE_LEADS, /* it did not */
    CANDIDATE_LOST,
    CANDIDATE_RESIGNED
} candidate_end;

/* One time of leading, by the clock of all processes (rlk_system_now_ms). */
typedef struct candidate_term {
    int64_t begin_ms;
    int64_t deadline_ms; /* of its lease, as it was last before the application went on */
    int64_t end_ms;      /* LOST was received, or resign was called; 0: neither */
    candidate_end how;
} candidate_term;

/* Texts are not copied. `name` is the token's prefix, behind it a number of the process and '/':
 * "anna.2/". */
candidate *candidate_new(const char *const *urls, size_t count, const char *key, const char *name,
                         int64_t ttl_ms);

/* A new process. */
void candidate_start(candidate *who, candidate_way way);

void candidate_kill(candidate *who); /* kill -9 */
void candidate_pause(candidate *who);
void candidate_resume(candidate *who);
/* It resigns if it leads, and ends; if it follows it ends when it leads, or at once. */
void candidate_resign(candidate *who);

/* False when it has ended; fails the test if that was for an error. */
bool candidate_runs(candidate *who);

/* Its name now, "anna.2/". */
const char *candidate_name(const candidate *who);

/* All its terms so far, of all its processes. */
const candidate_term *candidate_terms(const candidate *who, size_t *count);

#endif
