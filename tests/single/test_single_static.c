/* SPDX-License-Identifier: MIT
 *
 * Two files of one program, each with a static library of its own in it (RESPLOCK_STATIC), beside
 * the one that the fixtures are linked with: none meets another, and all understand each other.
 */
#define RESPLOCK_STATIC
#include "static_other.h"

#include "server.h"
#include "support.h"

static void test_single_static_files_have_a_library_each(void **state)
{
    (void)state;
    assert_true((uintptr_t)&rlk_version != static_other_version());
}

static void test_single_static_locks_exclude_each_other(void **state)
{
    server *redis = server_start(NULL);
    rlk_posix_client posix;
    rlk_lock lock;

    (void)state;
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(static_other_try(server_url(redis), "foobar"), RLK_BUSY);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(static_other_try(server_url(redis), "foobar"), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS foobar"), 0);

    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
}

/* Structs are the same in both, so one library may go on with what the other began. */
static void test_single_static_lock_is_handed_over(void **state)
{
    server *redis = server_start(NULL);
    rlk_posix_client posix;
    rlk_lock lock;

    (void)state;
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(static_other_release(&lock), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS foobar"), 0);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);

    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_static_files_have_a_library_each),
        support_test(test_single_static_locks_exclude_each_other),
        support_test(test_single_static_lock_is_handed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
