/* SPDX-License-Identifier: MIT
 *
 * What the errors of servers mean, by their first words.
 */
#include "fake.h"

#include "net/error.h"

#include <stdlib.h>
#include <string.h>

/* What `len` bytes of a text mean behind a code; in memory that ends with them. */
static void expect_error(const char *code, const char *text, size_t len, rlk_result result)
{
    size_t code_len = strlen(code);
    uint8_t *exact = (uint8_t *)malloc(1 + code_len + len);
    rlk_result meaning;

    assert_non_null(exact);
    memcpy(exact + 1, code, code_len);
    memcpy(exact + 1 + code_len, text, len);
    meaning = rlk_server_error(exact + 1, code_len + len);
    if (meaning != result)
        support_fail("%zu bytes of \"%s%s\" mean %s", code_len + len, code, text,
                     rlk_result_name(meaning));
    free(exact);
}

static void test_server_errors_by_their_first_words(void **state)
{
    static const struct {
        const char *text;
        rlk_result result;
    } rows[] = {
        {"LOADING Redis is loading the dataset in memory", RLK_E_LOADING}, /* fault 1 */
        {"READONLY You can't write against a read only replica.", RLK_E_READONLY},
        {"MASTERDOWN Link with MASTER is down", RLK_E_MASTERDOWN},
        {"MISCONF Redis is configured to save RDB snapshots", RLK_E_MISCONF},
        {"OOM command not allowed when used memory > 'maxmemory'.", RLK_E_OOM},
        {"BUSY Redis is busy running a script.", RLK_E_SCRIPT_BUSY},
        {"NOSCRIPT No matching script. Please use EVAL.", RLK_E_NOSCRIPT},
        {"NOAUTH Authentication required.", RLK_E_NOAUTH}, /* faults 9, 94 */
        {"WRONGPASS invalid username-password pair or user is disabled.", RLK_E_AUTH},
        {"ERR invalid password", RLK_E_AUTH},
        {"ERR Client sent AUTH, but no password is set", RLK_E_AUTH},
        {"ERR AUTH <password> called without any password configured for the default user.",
         RLK_E_AUTH},
        {"NOPERM this user has no permissions to run the 'set' command", RLK_E_NOPERM},
        {"ERR The user executing the script can't run this command or subcommand script: x",
         RLK_E_NOPERM},
        {"ERR ACL failure in script: User x has no permissions", RLK_E_NOPERM},
        {"MOVED 3999 127.0.0.1:6381", RLK_E_MOVED}, /* fault 11 */
        {"ASK 3999 127.0.0.1:6381", RLK_E_ASK},
        {"CLUSTERDOWN The cluster is down", RLK_E_CLUSTERDOWN}, /* fault 12 */
        {"TRYAGAIN Multiple keys request during rehashing of slot", RLK_E_TRYAGAIN},
        {"CROSSSLOT Keys in request don't hash to the same slot", RLK_E_CROSSSLOT},
        {"NOREPLICAS Not enough good replicas to write.", RLK_E_NOREPLICAS}, /* fault 14 */
        {"NOPROTO unsupported protocol version", RLK_E_UNSUPPORTED},         /* fault 15 */
        {"ERR unknown command `HELLO`, with args beginning with: `3`, ", RLK_E_UNSUPPORTED},
        {"ERR Unknown subcommand or wrong number of arguments for 'ID'", RLK_E_UNSUPPORTED},
        {"ERR unknown subcommand 'ID'. Try CLIENT HELP.", RLK_E_UNSUPPORTED},
        {"ERR max number of clients reached", RLK_E_SERVER_FULL}, /* fault 16 */
        {"ERR max number of clients + cluster connections reached", RLK_E_SERVER_FULL},
        {"DENIED Redis is running in protected mode", RLK_E_PROTECTED}, /* fault 17 */
        {"WRONGTYPE Operation against a key holding the wrong kind of value", RLK_E_WRONGTYPE},
        /* errors inside scripts, before Redis 7 */
        {"ERR Error running script (call to f_0123456789): @user_script:1: @user_script: 1: "
         "-READONLY You can't write against a read only replica. ",
         RLK_E_READONLY},
        {"ERR Error running script (call to f_0123456789): @user_script:1: WRONGTYPE Operation",
         RLK_E_WRONGTYPE},
        {"ERR Error running script (call to f_0123456789): @user_script:1: - -OOM", RLK_E_OOM},
        {"ERR Error running script  (two spaces) and nothing known ", RLK_E_SERVER},
        {"ERR Error running script", RLK_E_SERVER},
        /* fault 18: what is not known */
        {"ERR value is not an integer or out of range", RLK_E_SERVER},
        {"ERR", RLK_E_SERVER},
        {"ERR ", RLK_E_SERVER},
        {"", RLK_E_SERVER},
        {" ", RLK_E_SERVER},
        {"OO", RLK_E_SERVER},
        {"OOMX no", RLK_E_SERVER},
        {"OOM", RLK_E_OOM},
        {"BNJQ the lower half of its hash is that of NOAUTH", RLK_E_SERVER},
        {"NOAUTHORITY begins like NOAUTH", RLK_E_SERVER},
        {"BUSYGROUP Consumer Group name already exists", RLK_E_SERVER},
        {"FOO max number of clients reached", RLK_E_SERVER},
        {"oom command", RLK_E_SERVER},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++)
        expect_error("", rows[i].text, strlen(rows[i].text), rows[i].result);
}

/* Each row of the tables: its text means what the row says, and one byte less means nothing. */
static void test_server_errors_by_the_hash_of_each_row(void **state)
{
    static const struct {
        const char *code; /* before the text */
        const char *text;
        uint32_t hash;
        rlk_result result;
        rlki_scope scope;
    } rows[] = {
#define CODE(text, hash, result, scope)     {"", text, hash, result, RLKI_SCOPE_##scope},
#define SENTENCE(text, hash, result, scope) {"ERR ", text, hash, result, RLKI_SCOPE_##scope},
        RLKI_ERROR_CODES(CODE) RLKI_ERROR_SENTENCES(SENTENCE)};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        size_t len = strlen(rows[i].text);
        rlk_result result = rows[i].result == RLK_OK ? RLK_E_SERVER : rows[i].result;

        if (rlk_key_hash(RLK_KEY_HASH, rows[i].text, len) != rows[i].hash)
            support_fail("the hash of \"%s\" is 0x%08x", rows[i].text,
                         (unsigned)rlk_key_hash(RLK_KEY_HASH, rows[i].text, len));
        expect_error(rows[i].code, rows[i].text, len, result);
        expect_error(rows[i].code, rows[i].text, len - 1, RLK_E_SERVER);
        assert_int_equal(rlki_error_scope(result), rows[i].scope);
        for (k = 0; k < i; k++) {
            assert_int_not_equal(rows[i].hash, rows[k].hash);
            /* the sentences are in the order of their lengths */
            assert_true(rows[i].code[0] == '\0' || rows[k].code[0] == '\0' ||
                        strlen(rows[k].text) <= len);
        }
    }
    assert_int_equal(rlki_error_scope(RLK_E_SERVER), RLKI_SCOPE_UNKNOWN);
    assert_int_equal(rlki_error_scope(RLK_OK), RLKI_SCOPE_UNKNOWN);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_errors_by_their_first_words),
        cmocka_unit_test(test_server_errors_by_the_hash_of_each_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
