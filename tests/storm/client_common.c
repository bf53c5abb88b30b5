/* SPDX-License-Identifier: MIT
 *
 * What clients of a storm write on the board.
 */
#define _GNU_SOURCE
#include "storm.h"

#include <dirent.h>
#include <time.h>

int64_t storm_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

unsigned dice_roll(storm_dice *dice, unsigned sides)
{
    uint64_t mixed;

    dice->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    mixed = dice->state;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((mixed ^ (mixed >> 31)) % sides);
}

void client_add(storm_job *job, storm_count which)
{
    board_set(&job->slot->counts[which], job->slot->counts[which] + 1);
}

bool client_stops(const storm_job *job)
{
    return board_get(&job->arena->phase) == PHASE_STOP;
}

bool client_leaves(const storm_job *job)
{
    return client_stops(job) || (board_get(&job->arena->phase) == PHASE_CALM) != job->calm;
}

void client_op(storm_job *job, int64_t bound_ms)
{
    board_set(&job->slot->op_bound_ms, bound_ms);
    board_set(&job->slot->op_us, bound_ms != 0 ? storm_now_us() : 0);
}

/* ---- Claims ---- */

void claim_begin(storm_job *job, int64_t until_us)
{
    storm_claim *claim = &job->slot->open;

    claim->begin_us = storm_now_us();
    claim->asked_us = until_us - STORM_TTL_MS * 1000;
    claim->lost = 0;
    board_set(&claim->end_us, until_us);
    board_set(&job->slot->is_open, 1);
    client_add(job, COUNT_ACQUIRED);
}

void claim_until(storm_job *job, int64_t until_us)
{
    board_set(&job->slot->open.end_us, until_us);
}

void claim_end(storm_job *job, int64_t end_us, bool lost)
{
    storm_slot *slot = job->slot;
    storm_claim claim = slot->open;

    if (board_get(&slot->is_open) == 0)
        return;
    if (end_us < claim.end_us)
        claim.end_us = end_us;
    claim.lost = lost ? 1 : 0;
    if (slot->head - board_get(&slot->tail) < STORM_RING) { /* else the director sleeps */
        slot->ring[slot->head % STORM_RING] = claim;
        board_set(&slot->is_open, 0);
        board_set(&slot->head, slot->head + 1);
    }
    board_set(&slot->is_open, 0);
}

/* ---- Times ---- */

int64_t client_hold_ms(storm_job *job)
{
    switch (board_get(&job->arena->phase)) {
    case PHASE_CALM:
        return 3;
    case PHASE_FAULTS:
        return dice_roll(&job->dice, 25) == 0 ? STORM_TTL_MS * 3 / 2 : dice_roll(&job->dice, 12);
    default:
        return dice_roll(&job->dice, 60) == 0 ? STORM_TTL_MS * 5 / 4 : dice_roll(&job->dice, 8);
    }
}

int64_t client_pause_ms(storm_job *job)
{
    if (board_get(&job->arena->phase) == PHASE_CALM)
        return job->cheat == CHEAT_STARVE ? 400 : 0;
    return dice_roll(&job->dice, 4) == 0 ? 0 : dice_roll(&job->dice, 20);
}

/* ---- The counter ---- */

int64_t counter_read(storm_job *job)
{
    return board_get(&job->arena->counting) != 0 ? board_get(&job->arena->counter) : -1;
}

void counter_write(storm_job *job, int64_t read, int64_t left_ms)
{
    if (read < 0 || left_ms < STORM_MARGIN_MS)
        return;
    board_set(&job->arena->counter, read + 1);
    client_add(job, COUNT_COUNTED);
}

int64_t client_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = 0;

    if (folder == NULL)
        return -1;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}
