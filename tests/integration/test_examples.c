/* SPDX-License-Identifier: MIT
 *
 * The examples, as they are, against a real server.
 */
#include "program.h"
#include "server.h"
#include "support.h"

#include <signal.h>
#include <string.h>

static void test_examples_blocking(void **state)
{
    server *redis = server_start(NULL);
    program *run;

    (void)state;
    run = program_start(program_example("blocking"), server_url(redis), "key", NULL);
    assert_int_equal(program_wait(run), 0);
    program_expect(run, "acquired, for 2");
    program_expect(run, "extended, to 5");
    program_expect(run, "release: OK");
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);

    server_do(redis, "SET key somebody PX 60000");
    run = program_start(program_example("blocking"), server_url(redis), "key", NULL);
    assert_int_equal(program_wait(run), 1);
    program_expect(run, "somebody has it, for 5");
    assert_string_equal(server_text(redis, "GET key"), "somebody");

    server_integer(redis, "RPUSH list something");
    run = program_start(program_example("blocking"), server_url(redis), "list", NULL);
    assert_int_equal(program_wait(run), 1);
    program_expect(run, "query \"list\": E_WRONGTYPE: ");

    server_kill(redis);
    run = program_start(program_example("blocking"), server_url(redis), "key", NULL);
    assert_int_equal(program_wait(run), 1);
    program_expect(run, "E_CONNECT: can't connect");
}

static void test_examples_blocking_refuses_a_bad_url(void **state)
{
    program *run = program_start(program_example("blocking"), "http://localhost", "key", NULL);

    (void)state;
    assert_int_equal(program_wait(run), 1);
    assert_memory_equal(program_output(run), "E_URL_SCHEME: ", 14);
    assert_null(strstr(program_output(run) + 1, "E_URL_SCHEME"));
}

static void test_examples_loop(void **state)
{
    server_config config;
    server *redis;
    program *run;

    (void)state;
    memset(&config, 0, sizeof config);
    config.tcp = true;
    redis = server_start(&config);
    run = program_start(program_example("loop"), server_tcp_url(redis), "a", "b", NULL);
    assert_int_equal(program_wait(run), 0);
    assert_contains(program_output(run), "a: acquired, for 9");
    assert_contains(program_output(run), "b: acquired, for 9");
    assert_contains(program_output(run), "a: released");
    assert_contains(program_output(run), "b: released");
    assert_int_equal(server_integer(redis, "EXISTS a b"), 0);

    server_do(redis, "SET a somebody");
    run = program_start(program_example("loop"), server_tcp_url(redis), "a", "b", NULL);
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "a: somebody else has it");
    assert_contains(program_output(run), "b: released");

    run = program_start(program_example("loop"), server_tcp_url(redis), "a", "", NULL);
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_KEY: ");

    server_kill(redis);
    run = program_start(program_example("loop"), server_tcp_url(redis), "a", "b", NULL);
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "acquire \"a\": E_CONNECT: ");
    assert_contains(program_output(run), "acquire \"b\": E_CONNECT: ");
}

static void test_examples_leader(void **state)
{
    server *redis = server_start(NULL);
    const char *url = server_url(redis);
    program *anna = program_start(program_example("leader"), url, "service", "anna", NULL);
    program *bert;

    (void)state;
    program_expect(anna, "anna leads");
    bert = program_start(program_example("leader"), url, "service", "bert", NULL);
    wait_until(server_info(redis, "clients", "connected_clients") == 3);

    /* longer than the TTL: it is renewed */
    support_sleep_ms(3500);
    assert_memory_equal(server_text(redis, "GET service"), "anna", 4);
    program_signal(anna, SIGKILL);
    assert_int_equal(program_wait(anna), 128 + SIGKILL);
    program_expect(bert, "bert leads");
    program_signal(bert, SIGTERM);
    assert_int_equal(program_wait(bert), 0);
    program_expect(bert, "bert resigns: OK");
    assert_int_equal(server_integer(redis, "EXISTS service"), 0);
}

static void test_examples_leader_learns_that_it_lost(void **state)
{
    server *redis = server_start(NULL);
    program *anna =
        program_start(program_example("leader"), server_url(redis), "service", "anna", NULL);

    (void)state;
    program_expect(anna, "anna leads");
    server_do(redis, "SET service usurper");
    program_expect(anna, "anna leads no longer: NOT_OWNER");
    assert_string_equal(server_text(redis, "GET service"), "usurper");
    assert_int_equal(server_integer(redis, "DEL service"), 1);
    program_expect(anna, "anna leads");
}

static void test_examples_leader_outlives_a_fatal_error(void **state)
{
    server *redis = server_start(NULL);
    program *anna;

    (void)state;
    server_do(redis, "CONFIG SET requirepass secret");
    anna = program_start(program_example("leader"), server_url(redis), "service", "anna", NULL);
    program_expect(anna, "anna: acquire \"service\": E_AUTH");
    server_do(redis, "ACL SETUSER default nopass");
    program_expect(anna, "anna leads");
}

/* The lease can't be renewed, ends, and is taken again when that is possible. */
static void test_examples_leader_follows_while_the_server_stands(void **state)
{
    server *redis = server_start(NULL);
    program *anna =
        program_start(program_example("leader"), server_url(redis), "service", "anna", NULL);

    (void)state;
    program_expect(anna, "anna leads");
    server_pause(redis);
    program_expect(anna, "anna leads no longer: LOST");
    server_resume(redis);
    program_expect(anna, "anna leads");
}

/* ---- log ---- */

static void test_examples_log(void **state)
{
    server *redis = server_start(NULL);
    program *run = program_start(program_example("log"), server_url(redis), "key", NULL);

    (void)state;
    assert_int_equal(program_wait(run), 0);
    program_expect(run, "node 0: is CONNECTING\n");
    program_expect(run, "node 0: sends HELLO\n");
    program_expect(run, "node 0: is READY\n");
    program_expect(run, "\"key\": is HELD for ");
    program_expect(run, "\"key\": ends release: OK\n");
    program_expect(run, "release \"key\": OK: ");

    server_do(redis, "SET key somebody");
    run = program_start(program_example("log"), server_url(redis), "key", NULL);
    program_expect(run, "acquire \"key\": still waiting after 2 s: BUSY: ");
    program_expect(run, "acquire \"key\": still waiting after 4 s: BUSY: ");
    server_kill(redis);
    program_expect(run, " s: E_CONNECT: ");
    program_signal(run, SIGINT);
    assert_int_equal(program_wait(run), 1);
    program_expect(run, "acquire \"key\": CANCELLED: ");
    assert_null(strstr(program_output(run), "somebody has"));
}

/* ---- keeper ---- */

static void test_examples_keeper(void **state)
{
    server *redis = server_start(NULL);
    program *run = program_start(program_example("keeper"), server_url(redis), "key", "4", NULL);

    (void)state;
    program_expect(run, "kept\n");
    support_sleep_ms(2500); /* longer than the TTL */
    assert_int_equal(server_integer(redis, "EXISTS key"), 1);
    assert_int_equal(program_wait(run), 0);
    program_expect(run, "worked, and held all along\n");
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);

    run = program_start(program_example("keeper"), server_url(redis), "key", "60", NULL);
    program_expect(run, "kept\n");
    server_do(redis, "SET key usurper");
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "the lease is over");
    assert_string_equal(server_text(redis, "GET key"), "usurper");
}

/* ---- election ---- */

static program *stand(const server *redis, const char *name)
{
    return program_start(program_example("election"), server_url(redis), "service", name, NULL);
}

static void test_examples_election(void **state)
{
    server *redis = server_start(NULL);
    program *anna = stand(redis, "10.0.0.7:8080");
    program *bert;
    program *carl;

    (void)state;
    program_expect(anna, "10.0.0.7:8080 leads\n");
    bert = stand(redis, "bert");
    program_expect(bert, "bert follows 10.0.0.7:8080, whose lease is for 2");
    /* longer than the TTL: it is renewed */
    support_sleep_ms(3500);
    assert_memory_equal(server_text(redis, "GET service"), "10.0.0.7:8080", 13);
    program_signal(anna, SIGKILL);
    assert_int_equal(program_wait(anna), 128 + SIGKILL);
    assert_null(strstr(program_output(anna), "yet"));
    program_expect(bert, "bert leads\n");

    carl = stand(redis, "carl");
    program_expect(carl, "carl follows bert");
    program_signal(bert, SIGTERM);
    assert_int_equal(program_wait(bert), 0);
    program_expect(bert, "bert resigns: OK\n");
    program_expect(carl, "carl leads\n");
    bert = stand(redis, "bert");
    program_expect(bert, "bert follows carl");
    program_signal(bert, SIGINT);
    assert_int_equal(program_wait(bert), 0);
    program_expect(bert, "bert resigns: CANCELLED\n");
    program_signal(carl, SIGTERM);
    assert_int_equal(program_wait(carl), 0);
    assert_int_equal(server_integer(redis, "EXISTS service"), 0);
}

static void test_examples_election_learns_that_it_lost(void **state)
{
    server *redis = server_start(NULL);
    program *anna = stand(redis, "anna");

    (void)state;
    program_expect(anna, "anna leads\n");
    server_do(redis, "SET service usurper");
    program_expect(anna, "anna leads no longer\n");
    program_expect(anna, "anna follows somebody\n");
    assert_string_equal(server_text(redis, "GET service"), "usurper");
    server_do(redis, "SET service x-0123456789012345678901234567890123456789 PX 60000");
    program_expect(anna, "anna follows x-, whose lease is for ");
    assert_int_equal(server_integer(redis, "DEL service"), 1);
    program_expect(anna, "anna leads\n");
}

static void test_examples_election_waits_for_the_server(void **state)
{
    server *redis = server_start(NULL);
    program *anna;

    (void)state;
    server_kill(redis);
    anna = stand(redis, "anna");
    program_expect(anna, "anna: acquire \"service\": still waiting after 0 s: E_CONNECT: ");
    server_restart(redis, false);
    program_expect(anna, "anna leads\n");
    server_pause(redis);
    program_expect(anna, " ms yet: renew \"");
    program_expect(anna, "anna leads no longer\n");
    server_resume(redis);
    program_expect(anna, "anna leads\n");
    server_kill(redis);
    program_signal(anna, SIGTERM);
    assert_int_equal(program_wait(anna), 0);
    program_expect(anna, "anna resigns: UNKNOWN\n");
}

static void test_examples_election_outlives_a_fatal_error(void **state)
{
    server *redis = server_start(NULL);
    program *anna;
    program *bert;

    (void)state;
    server_do(redis, "CONFIG SET requirepass secret");
    anna = stand(redis, "anna");
    bert = stand(redis, "bert");
    program_expect(anna, "anna: acquire \"service\": E_AUTH");
    program_expect(bert, "bert: acquire \"service\": E_AUTH");
    program_signal(bert, SIGTERM);
    assert_int_equal(program_wait(bert), 0);
    program_expect(bert, "bert resigns: ");
    server_do(redis, "ACL SETUSER default nopass");
    program_expect(anna, "anna leads\n");
}

static void test_examples_election_refuses_what_is_wrong(void **state)
{
    char long_name[RLK_PREFIX_MAX + 2];
    const char *path = program_example("election");
    program *run = program_start(path, "redis://localhost", "service", NULL);

    (void)state;
    assert_int_equal(program_wait(run), 2);
    assert_contains(program_output(run), "usage: ");
    assert_contains(program_output(run), " URL KEY NAME\n");
    run = program_start(path, "http://localhost", "service", "anna", NULL);
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_URL_SCHEME: ");
    run = program_start(path, "redis://localhost", "", "anna", NULL);
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_KEY: ");
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    run = program_start(path, "redis://localhost", "service", long_name, NULL);
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_PREFIX: ");
}

/* ---- demo ---- */

static void test_examples_demo(void **state)
{
    server *redis = server_start(NULL);
    program *run = program_start(program_example("demo"), server_url(redis), NULL);

    (void)state;
    program_expect(run, "bob    tries once: BUSY");
    program_expect(run, "bob    asks who: token alice-");
    program_expect(run, "alice  extended by 2000 ms");
    program_expect(run, "bob    has released the lock");
    /* When the lock goes from one to the other both print: in which order is open. */
    assert_contains(program_output(run), "alice  has released the lock");
    assert_contains(program_output(run), "bob    has the lock");
    program_expect(run, "carol  leads");
    program_expect(run, "dave   follows carol\n");
    program_expect(run, "kill -9 carol");
    program_expect(run, "dave   leads");
    program_expect(run, "dave   resigns");
    assert_int_equal(program_wait(run), 0);
    program_expect(run, "Done.");
    assert_null(strchr(program_output(run), '\033'));
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
}

static void test_examples_demo_refuses_a_bad_url(void **state)
{
    program *run = program_start(program_example("demo"), "http://localhost", NULL);

    (void)state;
    program_expect(run, "E_URL_SCHEME");
    assert_int_equal(program_wait(run), 1);
    program_expect(run, "Something went wrong.");
    assert_null(strstr(program_output(run), "carol"));
}

static void test_examples_demo_ends_without_a_server(void **state)
{
    server *redis = server_start(NULL);
    program *run;

    (void)state;
    server_kill(redis);
    run = program_start(program_example("demo"), server_url(redis), NULL);
    program_expect(run, "alice  acquire \"demo:job\": E_CONNECT");
    program_expect(run, "bob    query \"demo:job\": E_CONNECT");
    assert_int_equal(program_wait(run), 1);
    program_expect(run, "Something went wrong.");
    assert_null(strstr(program_output(run), "carol"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_examples_blocking),
        support_test(test_examples_blocking_refuses_a_bad_url),
        support_test(test_examples_loop),
        support_test(test_examples_leader),
        support_test(test_examples_leader_learns_that_it_lost),
        support_test(test_examples_leader_outlives_a_fatal_error),
        support_test(test_examples_leader_follows_while_the_server_stands),
        support_test(test_examples_log),
        support_test(test_examples_keeper),
        support_test(test_examples_election),
        support_test(test_examples_election_learns_that_it_lost),
        support_test(test_examples_election_waits_for_the_server),
        support_test(test_examples_election_outlives_a_fatal_error),
        support_test(test_examples_election_refuses_what_is_wrong),
        support_test(test_examples_demo),
        support_test(test_examples_demo_refuses_a_bad_url),
        support_test(test_examples_demo_ends_without_a_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
