/* SPDX-License-Identifier: MIT
 *
 * The shim can fail: each assertion, once where it holds and once where it doesn't, each way of
 * ending a test, and what setup and teardown come to. Built against the real cmocka it says that
 * both mean the same.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

static int one = 1;
static int two = 2;
static unsigned teardowns;
static unsigned reached; /* lines behind the end of a test */

#define SELF_CASE(name, statement)                                                                 \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        statement;                                                                                 \
        reached++;                                                                                 \
    }

#define SELF_HOLDS(kind, ...) SELF_CASE(holds_##kind, assert_##kind(__VA_ARGS__))
#define SELF_FAILS(kind, ...) SELF_CASE(fails_##kind, assert_##kind(__VA_ARGS__))

SELF_HOLDS(true, one == 1)
SELF_FAILS(true, one == 2)
SELF_HOLDS(false, one == 2)
SELF_FAILS(false, one == 1)
SELF_HOLDS(null, *state)
SELF_FAILS(null, &one)
SELF_HOLDS(non_null, &one)
SELF_FAILS(non_null, *state)
SELF_HOLDS(int_equal, -one, -1)
SELF_FAILS(int_equal, one, two)
SELF_HOLDS(int_not_equal, INT64_C(1) << 40, INT64_C(1) << 41)
SELF_FAILS(int_not_equal, two, 2)
SELF_HOLDS(ptr_equal, &one, &one)
SELF_FAILS(ptr_equal, &one, &two)
SELF_HOLDS(ptr_not_equal, &one, &two)
SELF_FAILS(ptr_not_equal, &one, &one)
SELF_HOLDS(string_equal, "lock", "lock")
SELF_FAILS(string_equal, "lock", "locks")
SELF_HOLDS(string_not_equal, "lock", "")
SELF_FAILS(string_not_equal, "lock", "lock")
SELF_HOLDS(memory_equal, "abcd", "abce", 3)
SELF_FAILS(memory_equal, "abcd", "abce", 4)
SELF_HOLDS(memory_not_equal, "abcd", "abce", 4)
SELF_FAILS(memory_not_equal, "abcd", "abce", 3)
SELF_CASE(fails_by_itself, fail())
SELF_CASE(fails_with_message, fail_msg("the number is %d", two))
SELF_CASE(is_skipped, skip())
SELF_CASE(does_nothing, (void)0)

static int fixture_fails(void **state)
{
    (void)state;
    return 1;
}

static int fixture_asserts(void **state)
{
    (void)state;
    assert_int_equal(one, two);
    return 0;
}

static int fixture_counts(void **state)
{
    (void)state;
    teardowns++;
    return 0;
}

static int fixture_state(void **state)
{
    *state = &two;
    return 0;
}

static void test_sees_state(void **state)
{
    assert_ptr_equal(*state, &two);
    reached++;
}

static unsigned bad;

static void expect(const char *what, unsigned actual, unsigned expected)
{
    if (actual != expected) {
        printf("SELF-TEST: %s: %u, not %u\n", what, actual, expected);
        bad++;
    }
}

/* One test as a group of its own: its status, and whether it came to its last line. */
static void run_one(struct CMUnitTest test, unsigned failures, unsigned lines)
{
    const struct CMUnitTest tests[] = {test};

    reached = 0;
    expect(test.name, (unsigned)cmocka_run_group_tests(tests, NULL, NULL), failures);
    expect(test.name, reached, lines);
}

#define SELF_RUN(kind)                                                                             \
    do {                                                                                           \
        run_one((struct CMUnitTest)cmocka_unit_test(holds_##kind), 0, 1);                          \
        run_one((struct CMUnitTest)cmocka_unit_test(fails_##kind), 1, 0);                          \
    } while (0)

static void run_assertions(void)
{
    SELF_RUN(true);
    SELF_RUN(false);
    SELF_RUN(null);
    SELF_RUN(non_null);
    SELF_RUN(int_equal);
    SELF_RUN(int_not_equal);
    SELF_RUN(ptr_equal);
    SELF_RUN(ptr_not_equal);
    SELF_RUN(string_equal);
    SELF_RUN(string_not_equal);
    SELF_RUN(memory_equal);
    SELF_RUN(memory_not_equal);
    run_one((struct CMUnitTest)cmocka_unit_test(fails_by_itself), 1, 0);
    run_one((struct CMUnitTest)cmocka_unit_test(fails_with_message), 1, 0);
    run_one((struct CMUnitTest)cmocka_unit_test(is_skipped), 0, 0);
}

#define SELF_WITH(test, setup, teardown)                                                           \
    (struct CMUnitTest) cmocka_unit_test_setup_teardown(test, setup, teardown)

static void run_fixtures(void)
{
    run_one(SELF_WITH(does_nothing, fixture_fails, NULL), 1, 0);
    run_one(SELF_WITH(does_nothing, fixture_asserts, NULL), 1, 0);
    run_one(SELF_WITH(does_nothing, NULL, fixture_fails), 1, 1);
    run_one(SELF_WITH(does_nothing, NULL, fixture_asserts), 1, 1);
    run_one(SELF_WITH(test_sees_state, fixture_state, NULL), 0, 1);
    teardowns = 0;
    run_one(SELF_WITH(fails_true, NULL, fixture_counts), 1, 0);
    expect("teardown after a failure", teardowns, 1);
}

static void run_groups(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_true),
        cmocka_unit_test(fails_true),
        cmocka_unit_test(fails_false),
        cmocka_unit_test(holds_false),
    };

    reached = 0;
    expect("group", (unsigned)cmocka_run_group_tests(tests, NULL, NULL), 2);
    expect("tests after a failed one", reached, 2);
    reached = 0;
    cmocka_set_test_filter("fails_false");
    expect("one of a group", (unsigned)cmocka_run_group_tests(tests, NULL, NULL), 1);
    cmocka_set_test_filter("holds_false");
    expect("another of a group", (unsigned)cmocka_run_group_tests(tests, NULL, NULL), 0);
    expect("only that one", reached, 1);
    cmocka_set_test_filter(NULL);
    reached = 0;
    if (cmocka_run_group_tests(tests, fixture_fails, NULL) == 0)
        expect("setup of the group", 0, 1);
    expect("tests after a failed setup", reached, 0);
}

int main(void)
{
    run_assertions();
    run_fixtures();
    run_groups();
    printf("SELF-TEST: %u differences\n", bad);
    return bad != 0;
}
