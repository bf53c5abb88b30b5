/* SPDX-License-Identifier: MIT
 *
 * The script on a real server: its digest and length, and what it does with every kind
 * of key, on servers with and without GETEX, and on a replica.
 */
#include "server.h"
#include "support.h"

#include "lock/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The third argument of the SCRIPT LOAD. */
static const char *script_text(size_t *len)
{
    const char *at = rlki_script.load;
    size_t i;

    for (i = 0; i < 5; i++) /* *3 $6 SCRIPT $4 LOAD */
        at = strchr(at, '\n') + 1;
    assert_int_equal(*at, '$');
    *len = (size_t)atoi(at + 1);
    return strchr(at, '\n') + 1;
}

static void load(server *redis)
{
    size_t len;
    const char *text = script_text(&len);

    assert_string_equal(server_text(redis, "SCRIPT LOAD %b", (const void *)text, len),
                        RLKI_SCRIPT_DIGEST);
}

/* ---- Digest and header ---- */

static void test_scripts_digest_is_the_servers_own(void **state)
{
    server *redis = server_start(NULL);

    (void)state;
    load(redis);
    assert_string_equal(server_text(redis, "SCRIPT EXISTS %s", RLKI_SCRIPT_DIGEST), "1");
}

static void test_scripts_header_is_right(void **state)
{
    static const char begin[] = "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$";
    size_t len;
    const char *text = script_text(&len);

    (void)state;
    assert_memory_equal(rlki_script.load, begin, sizeof begin - 1);
    assert_int_equal(rlki_script.load_len, strlen(rlki_script.load));
    assert_int_equal((text - rlki_script.load) + (long)len + 2, rlki_script.load_len);
    assert_memory_equal(text + len, "\r\n", 2);
    assert_int_equal(strlen(RLKI_SCRIPT_DIGEST), 40);
}

/* ---- What it does ---- */

static bool by_get; /* GETEX can't be used: the reply says so ... */
static bool asked;  /* ... unless it was said to the script before */

/* The reply itself. */
static const char *plain(const char *reply)
{
    static char text[32];

    if (!by_get || asked || (reply[0] == '-' && reply[1] > '9')) /* an error is as it is */
        return reply;
    snprintf(text, sizeof text, "%lld", RLKI_BY_GET - atoll(reply));
    return text;
}

static const char *release(server *redis)
{
    return plain(asked ? server_text(redis, "EVALSHA %s 1 k token %b 1", RLKI_SCRIPT_DIGEST,
                                     (const void *)"", (size_t)0)
                       : server_text(redis, "EVALSHA %s 1 k token", RLKI_SCRIPT_DIGEST));
}

static const char *raise_to(server *redis, int ms)
{
    return plain(server_text(redis, asked ? "EVALSHA %s 1 k token %d 1" : "EVALSHA %s 1 k token %d",
                             RLKI_SCRIPT_DIGEST, ms));
}

/* What is under the key before; commands as of server_do. */
static const struct {
    const char *name;
    const char *set; /* NULL: nothing */
    const char *released;
    bool ours;
} keys[] = {
    {"ours", "SET k token PX 20000", "1", true},
    {"ours without TTL", "SET k token", "1", true},
    {"foreign", "SET k tokem PX 20000", "-3", false},
    {"longer", "SET k token2 PX 20000", "-3", false},
    {"shorter", "SET k toke PX 20000", "-3", false},
    {"none", NULL, "-2", false},
};

static void set_key(server *redis, size_t i)
{
    (void)server_text(redis, "DEL k");
    if (keys[i].set != NULL)
        server_do(redis, keys[i].set);
}

static void check_release(server *redis)
{
    size_t i;

    for (i = 0; i < COUNT_OF(keys); i++) {
        bool left = keys[i].set != NULL && !keys[i].ours;

        set_key(redis, i);
        assert_string_equal(release(redis), keys[i].released);
        assert_int_equal(server_integer(redis, "EXISTS k"), left);
        if (left) /* as it was */
            assert_between(server_integer(redis, "PTTL k"), 10000, 20000);
    }
}

static void check_raise(server *redis)
{
    /* PTTL of the reply, for a key of ours with 20 s, and one without TTL */
    static const struct {
        int to_ms;
        int64_t low;
        int64_t high;
        bool without; /* -1 stays -1 */
    } cases[] = {
        {60000, 50000, 60000, false}, /* larger */
        {5000, 10000, 20000, false},  /* smaller: nothing is cut */
        {1, 10000, 20000, false},
        {-1, 10000, 20000, true}, /* a check */
        {2073600000, 2073590000, 2073600000, false},
    };
    size_t i;
    size_t k;

    for (i = 0; i < COUNT_OF(cases); i++) {
        for (k = 0; k < COUNT_OF(keys); k++) {
            const char *reply;

            set_key(redis, k);
            reply = raise_to(redis, cases[i].to_ms);
            if (!keys[k].ours) {
                assert_string_equal(reply, keys[k].set != NULL ? "-3" : "-2");
                assert_int_equal(server_integer(redis, "EXISTS k"), keys[k].set != NULL);
                if (keys[k].set != NULL)
                    assert_between(server_integer(redis, "PTTL k"), 10000, 20000);
                continue;
            }
            if (strstr(keys[k].name, "without") == NULL) {
                assert_between(atoll(reply), cases[i].low, cases[i].high);
                assert_between(server_integer(redis, "PTTL k"), cases[i].low, cases[i].high);
            } else if (cases[i].without) {
                assert_string_equal(reply, "-1");
                assert_int_equal(server_integer(redis, "PTTL k"), -1);
            } else if (cases[i].to_ms > 1) {
                assert_between(atoll(reply), cases[i].to_ms / 2, cases[i].to_ms);
            }
            if (cases[i].to_ms > 1 || strstr(keys[k].name, "without") == NULL)
                assert_string_equal(server_text(redis, "GET k"), "token");
        }
    }
}

/* The key holds something that is no string (fault 19). */
static void check_wrong_type(server *redis)
{
    (void)server_text(redis, "DEL k");
    (void)server_text(redis, "LPUSH k token");
    assert_contains(release(redis), "-WRONGTYPE");
    assert_contains(raise_to(redis, 60000), "-WRONGTYPE");
    assert_contains(raise_to(redis, -1), "-WRONGTYPE");
    assert_int_equal(server_integer(redis, "PTTL k"), -1);
    assert_int_equal(server_integer(redis, "LLEN k"), 1);
}

static void check_all(server *redis)
{
    load(redis);
    check_release(redis);
    check_raise(redis);
    check_wrong_type(redis);
}

static void test_scripts_with_getex(void **state)
{
    server *redis = server_start(NULL);

    (void)state;
    check_all(redis);
    assert_true(server_calls(redis, "getex") > 0);
}

/* Before 6.2 there is none: GET serves. */
static void test_scripts_without_getex(void **state)
{
    server_config config = {0};
    server *redis;

    (void)state;
    config.lines = SERVER_LINES("rename-command GETEX \"\"");
    redis = server_start(&config);
    by_get = true;
    check_all(redis);
    asked = true;
    check_all(redis);
    by_get = false;
    asked = false;
    assert_int_equal(server_calls(redis, "getex"), 0);
}

/* The ACL user may not run it (the least set of permissions): GET serves, too. */
static void test_scripts_without_permission_for_getex(void **state)
{
    server_config config = {0};
    server *redis;

    (void)state;
    config.lines = SERVER_LINES("user default on nopass ~* &* +@all -getex");
    redis = server_start(&config);
    by_get = true;
    check_all(redis);
    asked = true;
    check_all(redis);
    by_get = false;
    asked = false;
    assert_int_equal(server_calls(redis, "getex"), 0);
}

/* Nor may it run GET: an error, and no false "not ours". */
static void test_scripts_without_permission_to_read(void **state)
{
    server_config config = {0};
    server *redis;

    (void)state;
    config.lines = SERVER_LINES("user default on nopass ~* &* +@all -getex -get");
    redis = server_start(&config);
    load(redis);
    server_do(redis, "SET k token PX 20000");
    assert_int_equal(release(redis)[0], '-');
    assert_int_equal(raise_to(redis, 60000)[0], '-');
    assert_int_equal(server_integer(redis, "EXISTS k"), 1);
}

/* fault 2, 63: a replica says READONLY, and not "not ours" */
static void test_scripts_on_a_replica(void **state)
{
    server_config config = {0};
    server *redis;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    load(redis);
    for (i = 0; i < 2; i++) { /* with our token, and with none */
        if (i == 0)
            server_do(redis, "SET k token PX 60000");
        else
            (void)server_text(redis, "DEL k");
        server_do(redis, "REPLICAOF 127.0.0.1 1");
        assert_contains(release(redis), "-READONLY");
        assert_contains(raise_to(redis, 70000), "-READONLY");
        assert_contains(raise_to(redis, -1), "-READONLY");
        server_do(redis, "REPLICAOF NO ONE");
        assert_int_equal(server_integer(redis, "EXISTS k"), i == 0);
    }
    /* without GETEX that can't be: a key that the replica has not is "not ours" */
    config.lines = SERVER_LINES("rename-command GETEX \"\"");
    redis = server_start(&config);
    load(redis);
    server_do(redis, "SET k token PX 60000");
    server_do(redis, "REPLICAOF 127.0.0.1 1");
    assert_contains(release(redis), "-READONLY");
    assert_int_equal(server_integer(redis, "EXISTS k"), 1);
}

/* Tokens and keys are data, never text of the script. */
static void test_scripts_take_any_bytes(void **state)
{
    static const char key[] = "k\0'\r\n]]";
    static const char token[] = "t\0\"\r\n--";
    server *redis = server_start(NULL);

    (void)state;
    load(redis);
    server_do(redis, "SET %b %b PX 20000", (const void *)key, sizeof key, (const void *)token,
              sizeof token);
    assert_between(server_integer(redis, "EVALSHA %s 1 %b %b 60000", RLKI_SCRIPT_DIGEST,
                                  (const void *)key, sizeof key, (const void *)token, sizeof token),
                   50000, 60000);
    assert_int_equal(server_integer(redis, "EVALSHA %s 1 %b %b", RLKI_SCRIPT_DIGEST,
                                    (const void *)key, sizeof key, (const void *)token,
                                    sizeof token - 1),
                     -3);
    assert_int_equal(server_integer(redis, "EVALSHA %s 1 %b %b", RLKI_SCRIPT_DIGEST,
                                    (const void *)key, sizeof key, (const void *)token,
                                    sizeof token),
                     1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_scripts_digest_is_the_servers_own),
        support_test(test_scripts_header_is_right),
        support_test(test_scripts_with_getex),
        support_test(test_scripts_without_getex),
        support_test(test_scripts_without_permission_for_getex),
        support_test(test_scripts_without_permission_to_read),
        support_test(test_scripts_on_a_replica),
        support_test(test_scripts_take_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
