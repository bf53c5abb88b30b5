/* SPDX-License-Identifier: MIT
 *
 * Memory of a key that something else overwrites at any moment (fault 119): no command leaves with
 * another key, and the lock works again when the memory is as it was.
 */
#include "harness.h"

#include <string.h>

#define TTL   10000
#define OTHER "o" /* what stands in the memory of the key then, a lock of somebody */
#define TOKEN "token of somebody"

static harness h;
static char key[] = HARNESS_KEY;
static char prefix[] = "host-7:";

static void set_key(const char *to)
{
    memcpy(key, to, sizeof key);
}

static void init_lock(rlk_lock *lock, const char *token_prefix)
{
    rlk_lock_config config;

    set_key(HARNESS_KEY);
    memcpy(prefix, "host-7:", sizeof prefix);
    memset(&config, 0, sizeof config);
    config.ttl_ms = TTL;
    config.token_prefix = token_prefix;
    assert_result(rlk_lock_init(lock, h.client, key, &config), RLK_OK);
}

/* The key of somebody is as it was, and nobody even asked for it. */
static void assert_other_untouched(unsigned nodes)
{
    assert_int_equal(harness_holding(&h, OTHER, TOKEN), nodes);
}

static uint32_t random_state;
static unsigned told;   /* results that say it */
static unsigned worked; /* acquires */

static uint32_t random_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % n;
}

/* One thing that a program, a network or a server may do. */
static void act(rlk_lock *lock, rlk_holder *holders, unsigned nodes)
{
    unsigned node = random_below(nodes);
    rlk_event event;

    switch (random_below(16)) {
    case 0:
    case 1:
        (void)rlk_acquire_start(lock, random_below(2) != 0 ? RLK_FOREVER : RLK_TRY);
        break;
    case 2:
        (void)rlk_release_start(lock);
        break;
    case 3:
        (void)rlk_extend_start(lock, 1000);
        break;
    case 4:
        (void)rlk_renew_start(lock, RLK_DEFAULT);
        break;
    case 5:
        (void)rlk_check_start(lock);
        break;
    case 6:
        (void)rlk_query_start(lock, holders, 3);
        break;
    case 7:
        (void)rlk_force_release_start(lock);
        break;
    case 8:
        (void)rlk_cancel(lock);
        break;
    case 9:
        harness_cut(&h, node);
        break;
    case 10:
        h.servers[node].automatic = !h.servers[node].automatic;
        break;
    case 11:
        harness_serve(&h, node);
        break;
    case 12:
        while (rlk_client_next_event(h.client, &event)) {
            told += event.result == RLK_E_DANGLING;
            worked += event.type == RLK_EV_ACQUIRED;
        }
        break;
    default:
        harness_advance(&h, 1 + (int64_t)random_below(2000));
        break;
    }
}

/* No command with another key, whatever is under way when the memory changes, and changes back; and
 * the lock works again in the end. */
static void test_fault_119_at_any_moment(void **state)
{
    uint32_t seed;

    (void)state;
    for (seed = 1; seed <= 400; seed++) {
        unsigned nodes = (seed % 2) != 0 ? 1 : 3;
        rlk_holder holders[3];
        rlk_lock locks[2];
        rlk_event event;
        unsigned i;

        random_state = seed * UINT32_C(2654435761);
        harness_start_automatic(&h, nodes);
        for (i = 0; i < nodes; i++)
            harness_put(&h, i, OTHER, TOKEN, -1);
        init_lock(&locks[0], NULL);
        init_lock(&locks[1], NULL);
        for (i = 0; i < 80; i++) {
            if (random_below(4) == 0)
                set_key(random_below(2) != 0 ? OTHER : HARNESS_KEY);
            act(&locks[random_below(2)], holders, nodes);
            harness_run(&h);
            assert_other_untouched(nodes);
        }
        set_key(HARNESS_KEY);
        for (i = 0; i < nodes; i++)
            h.servers[i].automatic = true;
        for (i = 0; i < 2; i++) {
            (void)rlk_cancel(&locks[i]);
            (void)rlk_release_start(&locks[i]);
        }
        harness_advance(&h, 3 * TTL);
        for (i = 0; i < nodes; i++)
            harness_serve(&h, i);
        harness_advance(&h, 3 * TTL);
        while (rlk_client_next_event(h.client, &event))
            continue;
        assert_result(rlk_acquire_start(&locks[0], 10000), RLK_PENDING);
        if (!harness_next_event(&h, &event, 10000) || event.type != RLK_EV_ACQUIRED)
            support_fail("seed %u: %s", (unsigned)seed, rlk_lock_error(&locks[0]));
        (void)rlk_lock_close(&locks[0]);
        (void)rlk_lock_close(&locks[1]);
    }
    assert_true(told > 100); /* else this shows nothing */
    assert_true(worked > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_119_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
