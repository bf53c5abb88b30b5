// SPDX-License-Identifier: MIT
//
// A C++17 program: the headers as they are, and the lock that is an object.
#include "resplock.h"

#include <stdexcept>
#include <string>
#include <type_traits>

extern "C" {
#include "server.h"
#include "support.h"
}

static_assert(!std::is_copy_constructible_v<rlk_scoped> && !std::is_copy_assignable_v<rlk_scoped>);
static_assert(!std::is_move_constructible_v<rlk_scoped> && !std::is_move_assignable_v<rlk_scoped>);

namespace
{

// A server, a client to it, and what the server has in the key.
struct fixture {
    server *redis = server_start(nullptr);
    rlk_posix_client posix;

    fixture()
    {
        assert_result(rlk_posix_open(&posix, server_url(redis), nullptr), RLK_OK);
    }
    ~fixture()
    {
        rlk_posix_close(&posix);
    }
    bool is_taken()
    {
        return server_integer(redis, "EXISTS foobar") == 1;
    }
};

std::string token_of(const rlk_lock &lock)
{
    char token[RLK_TOKEN_MAX + 1];
    return std::string(token, rlk_lock_token(&lock, token, sizeof token));
}

void test_cxx_lock_is_released_at_the_end_of_its_block(void **)
{
    fixture f;
    {
        rlk_scoped lock(&f.posix.client, "foobar");
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        assert_true(rlk_is_held(&lock));
        assert_string_equal(server_text(f.redis, "GET foobar"), token_of(lock).c_str());
        assert_result(rlk_extend(&lock, 1000), RLK_OK);

        rlk_scoped other(&f.posix.client, "foobar");
        assert_result(rlk_acquire(&other, RLK_TRY), RLK_BUSY);
    }
    assert_false(f.is_taken());
}

bool leave_early(fixture &f)
{
    rlk_scoped lock(&f.posix.client, "foobar");
    if (rlk_acquire(&lock, RLK_TRY) == RLK_OK)
        return f.is_taken();
    return false;
}

void leave_by_exception(fixture &f)
{
    rlk_scoped lock(&f.posix.client, "foobar");
    if (rlk_acquire(&lock, RLK_TRY) == RLK_OK && f.is_taken())
        throw std::runtime_error("held");
}

void test_cxx_lock_is_released_on_every_way_out(void **)
{
    fixture f;
    assert_true(leave_early(f));
    assert_false(f.is_taken());

    std::string what;
    try {
        leave_by_exception(f);
    } catch (const std::runtime_error &error) {
        what = error.what();
    }
    assert_string_equal(what.c_str(), "held");
    assert_false(f.is_taken());
}

// An acquire that is still waiting when its block ends, and a lock of somebody else.
void test_cxx_end_of_a_block_ends_what_is_under_way(void **)
{
    fixture f;
    rlk_scoped holder(&f.posix.client, "foobar");
    assert_result(rlk_acquire(&holder, RLK_TRY), RLK_OK);
    {
        rlk_scoped waiter(&f.posix.client, "foobar");
        assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    }
    assert_string_equal(server_text(f.redis, "GET foobar"), token_of(holder).c_str());
    assert_result(rlk_check(&holder), RLK_OK);
}

void test_cxx_configuration_starts_from_the_defaults(void **)
{
    fixture f;
    rlk_lock_config config = rlk_lock_config_default();
    assert_int_equal(config.ttl_ms, RLK_TTL_MS);
    config.ttl_ms = 5000;
    config.token_prefix = "cxx-";

    rlk_scoped lock(&f.posix.client, "foobar", &config);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_between(server_integer(f.redis, "PTTL foobar"), 1, 5000);
    assert_string_equal(token_of(lock).substr(0, 4).c_str(), "cxx-");
}

void test_cxx_lock_that_is_refused_says_why(void **)
{
    fixture f;
    rlk_scoped lock(&f.posix.client, "");
    assert_contains(rlk_client_error(&f.posix.client), "E_KEY");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CLOSED);
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        support_test(test_cxx_lock_is_released_at_the_end_of_its_block),
        support_test(test_cxx_lock_is_released_on_every_way_out),
        support_test(test_cxx_end_of_a_block_ends_what_is_under_way),
        support_test(test_cxx_configuration_starts_from_the_defaults),
        support_test(test_cxx_lock_that_is_refused_says_why),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
