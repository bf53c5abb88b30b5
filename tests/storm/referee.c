/* SPDX-License-Identifier: MIT
 *
 * Judges a storm, by what clients wrote on the board and with no part in the locks:
 *
 *   exclusion  two claims of an arena do not overlap, unless an operator changed the key between
 * the first one's SET and the second one's beginning; loss       no lease is lost before its
 * deadline without an operator; counter    in phases without operators it is what the clients say
 * that they added; ending     a call returns within its bound; a client ends when it is asked to,
 * with exit code 0 and as many descriptors as before; share      in calm each waiter gets at least
 * a third of an even share; starving   each of the others gets the lock sometimes, where there are
 * no faults; leak       no key is left, once the longest TTL is over.
 */
#include "director.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_US      (INT64_C(30) * 1000000) /* claims that may still meet a new one */
#define SLACK_US     (INT64_C(5) * 1000000)  /* of a loaded machine, beyond a call's bound */
#define WINDOW_US    (INT64_C(2) * 1000000)  /* of calm: a shorter one says nothing */
#define WINDOW_LEAST 12                      /* leases to a waiter: less say nothing */
#define SHARE_WINDOW (1.0 / 6)               /* of an even share, in each window: by chance */
#define SHARE_WHOLE  (1.0 / 3)               /* ... and in all windows together */

/* ---- Claims ---- */

static bool meddled(const storm_world *world, int64_t from_us, int64_t to_us)
{
    size_t i;

    for (i = 0; i < MEDDLINGS && i < world->meddling_len; i++)
        if (world->meddlings[i].end_us >= from_us && world->meddlings[i].begin_us <= to_us)
            return true;
    return false;
}

static void claims_forget(storm_world *world, int64_t now_us)
{
    size_t kept = 0;
    size_t i;

    for (i = 0; i < world->claim_len; i++)
        if (world->claims[i].claim.end_us > now_us - KEPT_US)
            world->claims[kept++] = world->claims[i];
    world->claim_len = kept;
}

/* Two claims, the one that began first before the other. */
static void claims_compare(storm_world *world, const storm_taken *first, const storm_taken *second)
{
    if (second->claim.begin_us >= first->claim.end_us)
        return;
    if (meddled(world, first->claim.asked_us, second->claim.begin_us)) {
        world->exempt++;
        return;
    }
    finding(world, RULE_EXCLUSION,
            "client %zu (%s) holds from %.6f to %.6f s, client %zu (%s) from %.6f to "
            "%.6f s",
            first->who, client_name(world, first->who), storm_seconds(first->claim.begin_us),
            storm_seconds(first->claim.end_us), second->who, client_name(world, second->who),
            storm_seconds(second->claim.begin_us), storm_seconds(second->claim.end_us));
}

static void claim_judge(storm_world *world, const storm_taken *taken)
{
    const storm_claim *claim = &taken->claim;
    size_t i;

    world->judged++;
    for (i = 0; i < world->claim_len; i++) {
        const storm_taken *other = &world->claims[i];

        if (other->claim.begin_us < claim->begin_us)
            claims_compare(world, other, taken);
        else
            claims_compare(world, taken, other);
    }
    if (claim->lost != 0 && !meddled(world, claim->asked_us, storm_now_us()))
        finding(world, RULE_LOSS, "client %zu (%s) lost its lease at %.6f s, before its deadline",
                taken->who, client_name(world, taken->who), storm_seconds(claim->end_us));
}

static void claim_take(storm_world *world, size_t who, const storm_claim *claim)
{
    storm_taken taken = {*claim, who};

    claim_judge(world, &taken);
    if (world->claim_len == world->claim_cap) {
        world->claim_cap = world->claim_cap * 2 + 1024;
        world->claims =
            (storm_taken *)realloc(world->claims, world->claim_cap * sizeof *world->claims);
        if (world->claims == NULL)
            abort();
    }
    world->claims[world->claim_len++] = taken;
}

static void slot_take(storm_world *world, size_t who)
{
    storm_slot *slot = &world->board->slots[who];
    int64_t head = board_get(&slot->head);

    for (; slot->tail < head; board_set(&slot->tail, slot->tail + 1))
        claim_take(world, who, &slot->ring[slot->tail % STORM_RING]);
}

void referee_killed(storm_world *world, size_t i, int64_t now_us)
{
    storm_slot *slot = &world->board->slots[i];
    storm_claim claim = slot->open;

    slot_take(world, i);
    /* within a call it may have learned that the lease is lost */
    if (slot->in_call_us != 0)
        now_us = slot->in_call_us;
    if (claim.end_us > now_us)
        claim.end_us = now_us;
    if (slot->is_open != 0 && claim.end_us > claim.begin_us)
        claim_take(world, i, &claim);
    slot->is_open = 0;
    slot->in_call_us = 0;
    slot->writing = 0;
    slot->op_us = 0;
}

/* ---- Calls ---- */

static void call_judge(storm_world *world, size_t i, int64_t now_us)
{
    storm_slot *slot = &world->board->slots[i];
    storm_client *posix = &world->clients[i];
    int64_t began_us = board_get(&slot->op_us);
    int64_t bound_us = board_get(&slot->op_bound_ms) * 1000;

    if (board_get(&slot->odd) != 0) {
        finding(world, RULE_ENDING, "client %zu (%s) had the result %s", i, client_name(world, i),
                rlk_result_name((rlk_result)slot->odd));
        board_set(&slot->odd, 0);
    }
    if (began_us == 0 || posix->stopped || posix->pid == 0)
        return;
    if (began_us < posix->excuse_us)
        began_us = posix->excuse_us;
    if (now_us > began_us + bound_us + SLACK_US && !posix->hangs) {
        posix->hangs = true;
        finding(world, RULE_ENDING,
                "a call of client %zu (%s), bounded by %lld ms, has not returned", i,
                client_name(world, i), (long long)bound_us / 1000);
    }
}

void referee_tick(storm_world *world, int64_t now_us)
{
    size_t i;

    for (i = 0; i < world->client_count; i++) {
        slot_take(world, i);
        call_judge(world, i, now_us);
    }
    claims_forget(world, now_us);
}

/* ---- Shares ---- */

static int64_t acquired(const storm_world *world, size_t i)
{
    return board_get(&world->board->slots[i].counts[COUNT_ACQUIRED]);
}

void referee_calm_begins(storm_world *world, int64_t now_us)
{
    size_t i;

    world->calm_from_us = now_us;
    for (i = 0; i < world->client_count; i++)
        world->clients[i].calm = acquired(world, i);
}

/* Who had the least, by what `had` of each waiter says. */
typedef struct share {
    int64_t total;
    int64_t waiters;
    int64_t least;
    size_t who;
    double part; /* of an even share */
} share;

static share share_of(const storm_world *world, int64_t (*had)(const storm_world *, size_t))
{
    share it = {0, 0, INT64_MAX, 0, 0};
    size_t i;

    for (i = 0; i < world->client_count; i++) {
        int64_t its = had(world, i);

        if (!kind_waits(world->clients[i].kind))
            continue;
        it.waiters++;
        it.total += its;
        if (its < it.least) {
            it.least = its;
            it.who = i;
        }
    }
    if (it.total > 0)
        it.part = (double)it.least * (double)it.waiters / (double)it.total;
    return it;
}

static void share_judge(const storm_world *world, const share *it, double least, const char *when)
{
    if (it->part < least)
        finding(world, RULE_SHARE,
                "client %zu (%s) had %lld of %lld leases in %s, of %lld waiters: %.2f of an "
                "even share",
                it->who, client_name(world, it->who), (long long)it->least, (long long)it->total,
                when, (long long)it->waiters, it->part);
}

static int64_t had_in_window(const storm_world *world, size_t i)
{
    return acquired(world, i) - world->clients[i].calm;
}

static int64_t had_in_calm(const storm_world *world, size_t i)
{
    return world->clients[i].calm_sum;
}

void referee_calm_ends(storm_world *world, int64_t now_us)
{
    int64_t window_us = now_us - world->calm_from_us;
    bool counts = world->calm_from_us != 0 && window_us >= WINDOW_US;
    share it = share_of(world, had_in_window);
    size_t i;

    world->calm_from_us = 0;
    if (!counts || it.total < it.waiters * WINDOW_LEAST)
        return;
    for (i = 0; i < world->client_count; i++)
        world->clients[i].calm_sum += had_in_window(world, i);
    world->windows++;
    world->rate = it.total * 1000000 / window_us;
    if (world->windows == 1 || it.part < world->least_share)
        world->least_share = it.part;
    share_judge(world, &it, SHARE_WINDOW, "one window of calm");
}

/* ---- The end ---- */

static void keys_judge(const storm_world *world, server *redis)
{
    int64_t end_us = storm_now_us() + (STORM_TTL_MS + 4000) * INT64_C(1000);
    const char *key = "";

    while (server_integer(redis, "DBSIZE") > 0 && storm_now_us() < end_us)
        support_sleep_ms(20);
    if (server_integer(redis, "DBSIZE") == 0)
        return;
    key = server_text(redis, "RANDOMKEY");
    finding(world, RULE_LEAK, "%s is left, with a TTL of %lld ms", key != NULL ? key : "?",
            key != NULL ? (long long)server_integer(redis, "PTTL %s", key) : 0);
}

void referee_finish(storm_world *world)
{
    int64_t counted = 0;
    size_t i;

    referee_tick(world, storm_now_us());
    for (i = 0; i < world->client_count; i++) {
        const storm_slot *slot = &world->board->slots[i];

        counted += slot->counts[COUNT_COUNTED];
        if (slot->fds_after != 0 && slot->fds_after != slot->fds_before)
            finding(world, RULE_LEAK, "client %zu began with %lld descriptors and ends with %lld",
                    i, (long long)slot->fds_before, (long long)slot->fds_after);
        if (world->clients[i].quiet == 0 && world->windows > 1)
            finding(world, RULE_STARVING,
                    "client %zu (%s) never had the lock where there were no faults", i,
                    client_name(world, i));
    }
    if (counted != world->board->counter)
        finding(world, RULE_COUNTER, "%lld were added and it is %lld", (long long)counted,
                (long long)world->board->counter);
    if (world->windows == 0) {
        finding(world, RULE_SHARE, "no window of calm had enough leases to judge");
    } else {
        share it = share_of(world, had_in_calm);

        world->whole_share = it.part;
        share_judge(world, &it, SHARE_WHOLE, "all windows of calm");
    }
    for (i = 0; i < world->nodes; i++)
        keys_judge(world, world->servers[i].redis);
    free(world->claims);
}
