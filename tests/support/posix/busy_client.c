/* SPDX-License-Identifier: MIT */
#include "busy_client.h"

rlk_lock_config busy_config(int64_t ttl_ms)
{
    rlk_lock_config config = config_renewing(ttl_ms);

    config.recheck_max_ms = 3600000;
    config.watch_after_ms = config_unwatched.watch_after_ms;
    return config;
}

void busy_open(busy_client *busy, server *redis, const char *url, const rlk_posix_options *options,
               int64_t ttl_ms)
{
    rlk_lock_config config = busy_config(ttl_ms);
    rlk_posix_client *posix = &busy->posix;

    assert_result(rlk_posix_open(posix, url, options), RLK_OK);
    assert_result(rlk_lock_init(&busy->renewing, &posix->client, BUSY_HELD, &config), RLK_OK);
    assert_result(rlk_lock_init(&busy->waiting, &posix->client, BUSY_WANTED, &config), RLK_OK);
    assert_result(rlk_lock_init(&busy->behind, &posix->client, BUSY_WANTED, &config), RLK_OK);
    server_do(redis, "SET " BUSY_WANTED " stranger");
    assert_result(rlk_acquire_start(&busy->waiting, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&busy->behind, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire(&busy->renewing, RLK_TRY), RLK_OK);
}

rlk_event busy_next_event(busy_client *busy)
{
    rlk_event event;

    do {
        if (!loop_next_event(&busy->posix, &event, scaled(10000)))
            support_fail("no event came");
    } while (event.type == RLK_EV_RENEWED);
    return event;
}

void busy_assert_acquired(busy_client *busy, const rlk_lock *lock)
{
    rlk_event event = busy_next_event(busy);

    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_ptr_equal(event.lock, lock);
}
