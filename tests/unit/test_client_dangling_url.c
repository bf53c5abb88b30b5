/* SPDX-License-Identifier: MIT
 *
 * Memory of a URL that something else overwrote (fault 119).
 */
#include "lock_dangling.h"

#include <string.h>

static harness h;
static dangling memory;

/* At each connect, the first and a later one, whichever text it is. */
static void test_fault_119_url_is_compared_at_each_connect(void **state)
{
    static char text[] = "redis://me:secret@n0:7";
    static const size_t places[] = {8 /* user */, 11 /* password */, 18 /* host */};
    size_t i;
    unsigned later;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(places)); i++)
        for (later = 0; later <= 1; later++) {
            char *at = text + places[i];
            char was = *at;
            rlk_lock lock;
            rlk_url url;
            unsigned streams;

            memset(&h, 0, sizeof h);
            assert_result(rlk_url_parse(&url, text), RLK_OK);
            h.url = &url;
            harness_open(&h, 1, 1);
            h.servers[0].automatic = true;
            if (later != 0)
                harness_run(&h);
            dangling_init(&h, &memory, &lock, false);
            streams = h.servers[0].count[HARNESS_OTHER];
            *at = 'X';
            if (later != 0)
                harness_cut(&h, 0);
            assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
            harness_advance(&h, 1000);
            harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_DANGLING);
            assert_text_contains(rlk_client_error(h.client), "E_DANGLING: ");
            assert_null(strstr(rlk_client_error(h.client), "n0"));
            assert_int_equal(h.servers[0].count[HARNESS_OTHER], streams); /* nothing was sent */
            *at = was;
            assert_result(rlk_acquire_start(&lock, 5000), RLK_PENDING);
            harness_advance(&h, 5000);
            harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
            assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
        }
    h.url = NULL;
}

/* A lock that is held stays so while its stream is up; then until its deadline. */
static void test_fault_119_url_of_a_stream_that_is_up(void **state)
{
    static char text[] = "redis://n0";
    rlk_lock lock;
    rlk_url url;

    (void)state;
    memset(&h, 0, sizeof h);
    assert_result(rlk_url_parse(&url, text), RLK_OK);
    h.url = &url;
    harness_start_automatic(&h, 1);
    dangling_init(&h, &memory, &lock, false);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    text[9] = '1';
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_OK);
    harness_cut(&h, 0);
    harness_advance(&h, 1000);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_PENDING);
    dangling_expect_soon(&h, RLK_OP_RENEW, RLK_E_DANGLING);
    assert_true(rlk_is_held(&lock));
    harness_advance(&h, TTL);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    h.url = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_119_url_is_compared_at_each_connect),
        cmocka_unit_test(test_fault_119_url_of_a_stream_that_is_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
