/* SPDX-License-Identifier: MIT
 *
 * What others do to a key that is held, on real servers that notify of it: the loss is known at
 * once, long before a renewal is due; and not before the key was compared, so that a mere touch
 * loses nothing. With auto_renew and without, in a loop and by rlk_keep_alive.
 */
#include "proxied.h"

#include <string.h>

#define KEY "foobar"

static proxied world;
static rlk_lock lock;
static int scripts_before; /* EVALSHAs, all nodes together, when it was acquired */

static const size_t sizes[] = {1, 3};

static rlk_posix_client *client(void)
{
    return &world.set.posix;
}

static int scripts(void)
{
    return proxied_count(&world, "EVALSHA") - scripts_before;
}

static void flush_all(server *redis)
{
    server_do(redis, "FLUSHALL");
}

/* Has it on all nodes, from servers without data, and it is watched there. */
static void acquire_anew(void)
{
    nodes_each(&world.set, flush_all);
    proxied_calm(&world);
    scripts_before = proxied_count(&world, "EVALSHA");
    proxied_acquire(&world, &lock, KEY);
    serve_until(client(), scripts() >= (int)world.set.count);

    proxied_calm(&world);
    scripts_before = proxied_count(&world, "EVALSHA");
}

/* A renewal is due after 10 s. */
static void start(size_t count, bool auto_renew)
{
    rlk_lock_config config = config_renewing(30000);

    config.auto_renew = auto_renew;
    config.watch_after_ms = 1;
    proxied_start(&world, count, false, NULL, NULL);
    proxied_lock_init(&world, &lock, KEY, &config);
    acquire_anew();
}

static void stop(void)
{
    rlk_lock_close(&lock);
    proxied_close(&world);
    support_teardown(NULL);
}

static void on(size_t count, void (*act)(server *redis))
{
    size_t i;

    for (i = 0; i < count; i++)
        act(world.set.servers[i]);
}

/* ---- What takes the key away ---- */

static void delete_it(server *redis)
{
    assert_int_equal(server_integer(redis, "DEL " KEY), 1);
}

static void unlink_it(server *redis)
{
    assert_int_equal(server_integer(redis, "UNLINK " KEY), 1);
}

static void expire_it(server *redis)
{
    assert_int_equal(server_integer(redis, "PEXPIRE " KEY " 1"), 1);
}

static void move_it(server *redis)
{
    assert_int_equal(server_integer(redis, "MOVE " KEY " 1"), 1);
}

static void rename_it(server *redis)
{
    server_do(redis, "RENAME " KEY " elsewhere");
}

static void delete_in_a_script(server *redis)
{
    assert_int_equal(server_integer(redis, "EVAL %s 0", "return redis.call('DEL','" KEY "')"), 1);
}

static void flush_db(server *redis)
{
    server_do(redis, "FLUSHDB ASYNC");
}

/* Fault 75: the key goes with the next command of anybody. */
static void evict_it(server *redis)
{
    server_do(redis, "CONFIG SET maxmemory-policy allkeys-random");
    server_do(redis, "CONFIG SET maxmemory 1");
    wait_until(server_integer(redis, "EXISTS " KEY) == 0);

    server_do(redis, "CONFIG SET maxmemory 0");
}

static void overwrite_it(server *redis)
{
    server_do(redis, "SET " KEY " stranger PX 60000");
}

static void take_it_over(server *redis) /* deleted and had by another before we compare */
{
    server_text(redis, "EVAL %s 0",
                "redis.call('DEL','" KEY "') redis.call('SET','" KEY "','stranger','NX')");
}

static void put_a_list_there(server *redis)
{
    assert_int_equal(server_integer(redis, "LPUSH other stranger"), 1);
    server_do(redis, "RENAME other " KEY);
}

typedef struct change {
    const char *name;
    void (*act)(server *redis);
    const char *type; /* of what is in the key then */
} change;

static const change changes[] = {
    {"DEL", delete_it, "none"},           {"UNLINK", unlink_it, "none"},
    {"PEXPIRE 1", expire_it, "none"},     {"MOVE", move_it, "none"},
    {"RENAME", rename_it, "none"},        {"DEL in a script", delete_in_a_script, "none"},
    {"FLUSHALL", flush_all, "none"},      {"FLUSHDB", flush_db, "none"},
    {"eviction", evict_it, "none"},       {"SET", overwrite_it, "string"},
    {"DEL, SET", take_it_over, "string"}, {"RENAME of a list", put_a_list_there, "list"},
};

/* Nobody but the other has changed it since. */
static void assert_left(const change *what)
{
    size_t i;

    for (i = 0; i < world.set.count; i++) {
        server *redis = world.set.servers[i];

        if (strcmp(what->type, "none") == 0) /* of a minority that had it yet it is undone */
            serve_until(client(), server_integer(redis, "EXISTS " KEY) == 0);

        assert_string_equal(server_text(redis, "TYPE " KEY), what->type);
        if (strcmp(what->type, "string") == 0)
            assert_string_equal(server_text(redis, "GET " KEY), "stranger");
        if (strcmp(what->type, "list") == 0)
            assert_int_equal(server_integer(redis, "LLEN " KEY), 1);
    }
}

static void notified_of(const change *what)
{
    size_t count = world.set.count;
    int sets = proxied_count(&world, "SET");
    int64_t start_ms = support_now_ms();
    rlk_event event;

    on(count, what->act);
    if (!loop_next_event(client(), &event, scaled(5000)))
        support_fail("%s: nothing was reported", what->name);
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_result(event.result, RLK_LOST);
    assert_ptr_equal(event.lock, &lock);
    assert_between(support_now_ms() - start_ms, 0, scaled(1000)); /* a renewal: after 10 s */
    assert_false(rlk_is_held(&lock));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    loop_quiet(client(), scaled(20));
    assert_left(what);
    /* the key was compared before that was believed, on each node; twice where it changed twice */
    assert_between(scripts(), client()->client.quorum, 2 * count);
    assert_int_equal(proxied_count(&world, "SET"), sets);
    assert_result(rlk_release(&lock), RLK_LOST);
    assert_left(what);
}

/* Faults 23, 24 and 75; 25 is the same to us. */
static void test_fault_23_24_75_loss_is_notified_at_once(void **state)
{
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < 2 * COUNT_OF(sizes); i++) {
        start(sizes[i / 2], i % 2 == 0);
        for (k = 0; k < COUNT_OF(changes); k++) {
            notified_of(&changes[k]);
            acquire_anew();
        }
        stop();
    }
}

/* The same without a loop: the next rlk_keep_alive knows, though no renewal is due. */
static void keep_knows_of(const change *what)
{
    rlk_result result = RLK_OK;
    int64_t start_ms = support_now_ms();

    assert_result(rlk_keep_alive(&lock), RLK_OK);
    on(world.set.count, what->act);
    wait_until((result = rlk_keep_alive(&lock)) != RLK_OK); /* pushes take their time */

    if (result != RLK_LOST) /* which is said where the compare of an earlier call was answered */
        assert_result(result, strcmp(what->type, "list") == 0 ? RLK_E_WRONGTYPE : RLK_NOT_OWNER);
    assert_between(support_now_ms() - start_ms, 0, scaled(700)); /* no wait for idleness, either */
    assert_false(rlk_is_held(&lock));
    assert_left(what);
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
}

static void test_fault_23_24_75_keep_alive_knows_at_once(void **state)
{
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        start(sizes[i], false);
        for (k = 0; k < COUNT_OF(changes); k++) {
            keep_knows_of(&changes[k]);
            acquire_anew();
        }
        stop();
    }
}

/* Not watched yet: the loss is noticed when it would be. */
static void test_fault_23_deleted_before_it_is_watched(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        rlk_lock_config config = config_renewing(30000);
        int64_t start_ms;

        config.watch_after_ms = scaled(500);
        proxied_start(&world, sizes[i], false, NULL, NULL);
        proxied_lock_init(&world, &lock, KEY, &config);
        start_ms = support_now_ms();
        proxied_acquire(&world, &lock, KEY);
        on(sizes[i], delete_it);
        assert_event(client(), RLK_EV_LOST, RLK_LOST);
        assert_between(support_now_ms() - start_ms, config.watch_after_ms, scaled(5000));
        assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_DELETED);
        stop();
    }
}

/* A lock that is released before costs each server one SET and one script call. */
static void test_loss_costs_a_short_lock_nothing(void **state)
{
    const int cycles = 10;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        rlk_lock_config config = config_renewing(300000);
        int cycle;
        int sets;
        int pttls;

        config.watch_after_ms = scaled(60000);
        proxied_start(&world, sizes[i], false, NULL, NULL);
        proxied_lock_init(&world, &lock, KEY, &config);
        scripts_before = proxied_count(&world, "EVALSHA");
        sets = proxied_count(&world, "SET");
        pttls = proxied_count(&world, "PTTL");
        for (cycle = 0; cycle < cycles; cycle++) {
            proxied_acquire(&world, &lock, KEY);
            assert_result(rlk_release(&lock), RLK_OK);
            proxied_calm(&world);
        }
        assert_int_equal(proxied_count(&world, "SET") - sets, cycles * (int)sizes[i]);
        assert_int_equal(scripts(), cycles * (int)sizes[i]);
        assert_int_equal(proxied_count(&world, "PTTL"), pttls);
        stop();
    }
}

/* A minority loses nothing; the next node of it does. */
static void test_loss_of_a_minority_is_none(void **state)
{
    size_t i;

    (void)state;
    start(3, true);
    for (i = 0; i < COUNT_OF(changes); i++) {
        on(1, changes[i].act);
        serve_until(client(), scripts() >= 1);

        proxied_calm(&world);
        loop_quiet(client(), 1);
        assert_true(rlk_is_held(&lock));
        assert_true(rlk_remaining_ms(&lock) > scaled(18000));
        changes[i].act(world.set.servers[1]);
        assert_event(client(), RLK_EV_LOST, RLK_LOST);
        /* where it was still ours, it is cleaned up */
        serve_until(client(), server_text(world.set.servers[2], "GET " KEY) == NULL);

        acquire_anew();
    }
    stop();
}

/* ---- What only touches it ---- */

static void lengthen_it(server *redis)
{
    assert_int_equal(server_integer(redis, "PEXPIRE " KEY " %d", 3600000), 1);
}

static void shorten_it(server *redis)
{
    assert_int_equal(server_integer(redis, "PEXPIRE " KEY " %d", (int)scaled(25000)), 1);
}

static void set_the_same(server *redis)
{
    server_do(redis, "SET " KEY " %s KEEPTTL", token_of(&lock));
}

static void there_and_back(server *redis)
{
    server_text(redis, "EVAL %s 0",
                "redis.call('RENAME','" KEY "','t') redis.call('RENAME','t','" KEY "')");
}

/* Fault 85: pushes don't say of which database. */
static void in_another_database(server *redis)
{
    server_do(redis, "SELECT 1");
    server_do(redis, "SET " KEY " stranger");
    server_do(redis, "SELECT 0");
}

static void take_the_expiry_away(server *redis)
{
    assert_int_equal(server_integer(redis, "PERSIST " KEY), 1);
    assert_int_equal(server_integer(redis, "PEXPIRE " KEY " %d", (int)scaled(24000)), 1);
}

typedef struct touch {
    const char *name;
    void (*act)(server *redis);
} touch;

static const touch touches[] = {
    {"PEXPIRE, longer", lengthen_it},    {"PEXPIRE, shorter", shorten_it},
    {"SET of the same", set_the_same},   {"RENAME and back", there_and_back},
    {"another db", in_another_database}, {"PERSIST, PEXPIRE", take_the_expiry_away},
};

/* Each is notified and compared, and after each the server notifies again. */
static void touched(size_t count, bool auto_renew)
{
    size_t i;

    start(count, auto_renew);
    for (i = 0; i < COUNT_OF(touches); i++) {
        int before = scripts();

        on(count, touches[i].act);
        serve_until(client(), scripts() >= before + (int)count);

        proxied_calm(&world);
        loop_quiet(client(), 1);
        if (!rlk_is_held(&lock))
            support_fail("lost by %s", touches[i].name);
        assert_between(rlk_remaining_ms(&lock), scaled(20000), scaled(30000));
        assert_between(scripts() - before, count, 2 * count);
        assert_int_equal(proxied_holding(&world, KEY, token_of(&lock)), count);
    }
    on(count, delete_it);
    assert_event(client(), RLK_EV_LOST, RLK_LOST);
    stop();
}

static void test_fault_85_touch_loses_nothing(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        touched(sizes[i], true);
        touched(sizes[i], false);
    }
}

/* Fault 77 of the holder: what the lock does itself takes the server's interest away, and puts it
 * back: renewals, extends, checks. */
static rlk_result do_renew(void)
{
    return rlk_renew(&lock, scaled(60000));
}

static rlk_result do_extend(void)
{
    return rlk_extend(&lock, scaled(1000));
}

static rlk_result do_check(void)
{
    return rlk_check(&lock);
}

static void test_fault_77_notified_after_changes_of_its_own(void **state)
{
    static rlk_result (*const own[])(void) = {do_renew, do_extend, do_check};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(own) * COUNT_OF(sizes); i++) {
        int n;

        start(sizes[i % COUNT_OF(sizes)], true);
        for (n = 0; n < 3; n++)
            assert_result(own[i / COUNT_OF(sizes)](), RLK_OK);
        proxied_calm(&world);
        loop_quiet(client(), 1); /* of its own changes no push comes */
        on(world.set.count, delete_it);
        assert_event(client(), RLK_EV_LOST, RLK_LOST);
        stop();
    }
}

/* ---- What is no push of ours ---- */

/* Fault 40: pushes that nobody sent; and of other kinds. Each is a question at most. */
static void test_fault_40_injected_pushes(void **state)
{
    static const char *const pushes[] = {
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nfoobar\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*3\r\n$1\r\nx\r\n$6\r\nfoobar\r\n$0\r\n\r\n",
        ">2\r\n$10\r\ninvalidate\r\n_\r\n",
        ">2\r\n+invalidate\r\n*1\r\n+foobar\r\n",
        ">3\r\n$7\r\nmessage\r\n$6\r\nfoobar\r\n$10\r\ninvalidate\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*0\r\n",
        ">1\r\n$10\r\ninvalidate\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nfooba\r\n",
    };
    static const int asked[] = {1, 1, 1, 1, 0, 0, 0, 0};
    size_t i;

    (void)state;
    start(1, true);
    for (i = 0; i < COUNT_OF(pushes); i++) {
        int before = scripts();

        proxy_inject(world.proxies[0], pushes[i], strlen(pushes[i]));
        serve_until(client(), scripts() >= before + asked[i]);

        proxied_calm(&world);
        loop_quiet(client(), 1);
        assert_int_equal(scripts(), before + asked[i]);
        assert_true(rlk_is_held(&lock));
    }
    assert_int_equal(proxied_accepted(&world), 1); /* none of them is an error of the protocol */
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_23_24_75_loss_is_notified_at_once),
        support_test(test_fault_23_24_75_keep_alive_knows_at_once),
        support_test(test_fault_23_deleted_before_it_is_watched),
        support_test(test_loss_costs_a_short_lock_nothing),
        support_test(test_loss_of_a_minority_is_none),
        support_test(test_fault_85_touch_loses_nothing),
        support_test(test_fault_77_notified_after_changes_of_its_own),
        support_test(test_fault_40_injected_pushes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
