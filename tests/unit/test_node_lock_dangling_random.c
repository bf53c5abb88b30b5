/* SPDX-License-Identifier: MIT
 *
 * Memory of a key that something else overwrites at any moment (fault 119): no command leaves with
 * another key, and the lock works again when the memory is as it was.
 */
#include "lock_dangling.h"

static harness h;
static dangling memory;

static uint32_t random_state;
static unsigned reported; /* results E_DANGLING */
static unsigned acquired;

static uint32_t random_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % n;
}

/* One random act of a program, a network or a server. */
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
            reported += event.result == RLK_E_DANGLING;
            acquired += event.type == RLK_EV_ACQUIRED;
        }
        break;
    default:
        harness_advance(&h, 1 + (int64_t)random_below(2000));
        break;
    }
}

/* No command leaves with another key, whatever is under way when the memory changes and changes
 * back; the lock works again in the end. */
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
        dangling_put_other(&h);
        dangling_init(&h, &memory, &locks[0], false);
        dangling_init(&h, &memory, &locks[1], false);
        for (i = 0; i < 80; i++) {
            if (random_below(4) == 0)
                dangling_set_key(&memory, random_below(2) != 0 ? OTHER : HARNESS_KEY);
            act(&locks[random_below(2)], holders, nodes);
            harness_run(&h);
            dangling_expect_other(&h);
        }
        dangling_set_key(&memory, HARNESS_KEY);
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
    assert_true(reported > 100); /* else this test shows nothing */
    assert_true(acquired > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_119_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
