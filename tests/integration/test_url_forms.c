/* SPDX-License-Identifier: MIT
 *
 * URLs as other programs have them in their environment: each takes a lock on a real server with a
 * password, in the database that the URL names (faults 125 and 126).
 */
#include "nodes.h"

#include <stdio.h>

/* All characters that end a part of a URL. */
#define PASSWORD "a@b:c/d?e#f%g+h&i"
#define ESCAPED  "a%40b%3Ac%2Fd%3Fe%23f%25g%2Bh%26i"

/* A URL around the port of the server, or the path of its socket. */
typedef struct url_form {
    const char *before;
    const char *behind;
    int db;
} url_form;

static void assert_taken(server *redis, const char *url, int db)
{
    rlk_posix_client posix;
    rlk_lock lock;

    if (rlk_posix_open(&posix, url, NULL) != RLK_OK)
        support_fail("%s: %s", url, rlk_client_error(&posix.client));
    assert_result(rlk_lock_init(&lock, &posix.client, "key", NULL), RLK_OK);
    if (rlk_acquire(&lock, 5000) != RLK_OK)
        support_fail("%s: %s", url, rlk_lock_error(&lock));
    server_do(redis, "SELECT %d", db);
    assert_int_equal(server_integer(redis, "EXISTS key"), 1);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
}

static void assert_all_taken(const url_form *forms, size_t n, bool tcp)
{
    server_config config = {.tcp = tcp, .password = PASSWORD};
    server *redis = server_start(&config);
    char port[16];
    size_t i;

    snprintf(port, sizeof port, "%d", tcp ? server_port(redis) : 0);
    for (i = 0; i < n; i++) {
        char url[512];

        snprintf(url, sizeof url, "%s%s%s", forms[i].before, tcp ? port : server_path(redis),
                 forms[i].behind);
        assert_taken(redis, url, forms[i].db);
    }
}

static void test_fault_125_without_a_host_it_is_localhost(void **state)
{
    static const url_form forms[] = {
        {"redis://:" ESCAPED "@:", "", 0},
        {"redis://default:" ESCAPED "@:", "/1", 1},
        {"redis://:", "?password=" ESCAPED, 0},
    };

    (void)state;
    assert_all_taken(forms, COUNT_OF(forms), true);
}

static void test_fault_126_forms_of_other_programs(void **state)
{
    static const url_form forms[] = {
        {"valkey://:" ESCAPED "@localhost:", "/1", 1},
        {"redis://:" ESCAPED "@127.0.0.1:", "/2/", 2},
        {"redis://:" ESCAPED "@localhost:", "/", 0},
        {"redis://:a@b:c%2Fd%3Fe%23f%25g+h&i@localhost:", "", 0}, /* these need no escape there */
        {"redis://localhost:", "?username=default&password=" ESCAPED "&db=3", 3},
        {" redis://:" ESCAPED "@localhost:", "/4\r\n", 4},
    };

    (void)state;
    assert_all_taken(forms, COUNT_OF(forms), true);
}

static void test_fault_126_forms_of_sockets(void **state)
{
    static const url_form forms[] = {
        {"unix://:" ESCAPED "@", "?db=1", 1},
        {"unix://default@", "?db=2&password=" ESCAPED, 2},
        {"unix://", "?password=" ESCAPED "\n", 0},
    };

    (void)state;
    assert_all_taken(forms, COUNT_OF(forms), false);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        support_test(test_fault_125_without_a_host_it_is_localhost),
        support_test(test_fault_126_forms_of_other_programs),
        support_test(test_fault_126_forms_of_sockets),
    };

    return cmocka_run_group_tests_name("url forms", tests, NULL, NULL);
}
