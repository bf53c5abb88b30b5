/* SPDX-License-Identifier: MIT
 *
 * Fault 53: what the contract allows is free of races: a client belongs to one thread at a time,
 * and clients share nothing. To be run under the thread sanitizer too.
 */
#include "server.h"
#include "support.h"

#include <pthread.h>
#include <string.h>

#define THREADS 4
#define ROUNDS  20

typedef struct worker {
    const char *url;
    int *inside;     /* of all workers, atomic */
    unsigned rounds; /* done */
    rlk_result bad;  /* first unexpected result */
    bool crowded;    /* somebody else was in the critical section */
} worker;

static void work(worker *self, rlk_lock *lock)
{
    while (self->rounds < ROUNDS) {
        rlk_result result = rlk_acquire(lock, 60000);

        if (result == RLK_OK) {
            if (__atomic_fetch_add(self->inside, 1, __ATOMIC_RELAXED) != 0)
                self->crowded = true;
            if (self->rounds % 4 == 0)
                result = rlk_extend(lock, 1000);
            __atomic_fetch_sub(self->inside, 1, __ATOMIC_RELAXED);
        }
        if (result == RLK_OK)
            result = rlk_release(lock);
        if (result != RLK_OK) {
            self->bad = result;
            return;
        }
        self->rounds++;
    }
}

static void *run(void *argument)
{
    rlk_lock_config config = rlk_lock_config_default();
    worker *self = (worker *)argument;
    rlk_posix_client posix;
    rlk_lock lock;

    config.retry_min_ms = 1;
    config.retry_max_ms = 5;
    self->bad = rlk_posix_open(&posix, self->url, NULL);
    if (self->bad != RLK_OK)
        return NULL;
    self->bad = rlk_lock_init(&lock, &posix.client, "foobar", &config);
    if (self->bad == RLK_OK)
        work(self, &lock);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    return NULL;
}

/* Fault 53: one client a thread, all on one key: nobody is in it with another. */
static void test_fault_53_one_client_a_thread(void **state)
{
    server *redis = server_start(NULL);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    int inside = 0;
    size_t i;

    (void)state;
    memset(workers, 0, sizeof workers);
    for (i = 0; i < THREADS; i++) {
        workers[i].url = server_url(redis);
        workers[i].inside = &inside;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
    }
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (i = 0; i < THREADS; i++) {
        assert_result(workers[i].bad, RLK_OK);
        assert_int_equal(workers[i].rounds, ROUNDS);
        assert_false(workers[i].crowded);
    }
    assert_int_equal(server_integer(redis, "EXISTS foobar"), 0);
    assert_true(server_calls(redis, "set") >= THREADS * ROUNDS);
}

/* One client and its lock, handed from thread to thread under a mutex. */
typedef struct shared {
    pthread_mutex_t mutex;
    rlk_posix_client posix;
    rlk_lock lock;
    unsigned turns;
    rlk_result bad;
} shared;

static void *run_shared(void *argument)
{
    shared *common = (shared *)argument;
    unsigned i;

    for (i = 0; i < ROUNDS; i++) {
        rlk_result result;

        pthread_mutex_lock(&common->mutex);
        /* the next thread goes on with what the last one left */
        result = rlk_is_held(&common->lock) ? rlk_release(&common->lock)
                                            : rlk_acquire(&common->lock, RLK_TRY);
        if (result != RLK_OK)
            common->bad = result;
        common->turns++;
        pthread_mutex_unlock(&common->mutex);
    }
    return NULL;
}

/* Fault 53: one client, one thread at a time. */
static void test_fault_53_one_client_under_a_mutex(void **state)
{
    static shared common;
    server *redis = server_start(NULL);
    pthread_t threads[THREADS];
    size_t i;

    (void)state;
    assert_int_equal(pthread_mutex_init(&common.mutex, NULL), 0);
    assert_result(rlk_posix_open(&common.posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&common.lock, &common.posix.client, "foobar", NULL), RLK_OK);
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_shared, &common), 0);
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_result(common.bad, RLK_OK);
    assert_int_equal(common.turns, THREADS * ROUNDS);
    assert_false(rlk_is_held(&common.lock)); /* an even number of turns */
    assert_int_equal(server_calls(redis, "set"), THREADS * ROUNDS / 2);
    rlk_lock_close(&common.lock);
    rlk_posix_close(&common.posix);
    pthread_mutex_destroy(&common.mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_53_one_client_a_thread),
        support_test(test_fault_53_one_client_under_a_mutex),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
