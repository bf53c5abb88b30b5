/* SPDX-License-Identifier: MIT
 *
 * The hash of a key.
 */
#include "fake.h"

/* Values of its authors (isthe.com/chongo/tech/comp/fnv). */
static void test_key_hash_is_fnv_1a(void **state)
{
    uint32_t hash;

    (void)state;
    assert_int_equal(rlk_key_hash(RLK_KEY_HASH, "", 0), UINT32_C(0x811c9dc5));
    assert_int_equal(rlk_key_hash(RLK_KEY_HASH, NULL, 0), UINT32_C(0x811c9dc5));
    assert_int_equal(rlk_key_hash(RLK_KEY_HASH, "a", 1), UINT32_C(0xe40c292c));
    assert_int_equal(rlk_key_hash(RLK_KEY_HASH, "foobar", 6), UINT32_C(0xbf9cf968));
    hash = rlk_key_hash(RLK_KEY_HASH, "foo", 3);
    assert_int_equal(rlk_key_hash(hash, "bar", 3), UINT32_C(0xbf9cf968));
    assert_int_equal(rlk_key_hash(RLK_KEY_HASH, "\0\xff", 2),
                     ((UINT32_C(0x811c9dc5) * 16777619u) ^ 0xffu) * 16777619u);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_hash_is_fnv_1a),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
