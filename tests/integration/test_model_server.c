/* SPDX-License-Identifier: MIT
 *
 * The simulator's model server against the real one: the same commands on both, and every reply and
 * push compared, byte by byte. The real server's clock is the test's, so that expiry and PTTL are
 * compared to the millisecond.
 *
 * MODEL_SEED sets the seed of the random sequences, MODEL_STEPS their length.
 */
#include "model_server.h"
#include "rng.h"
#include "server.h"
#include "stream_socket.h"
#include "support.h"

#include "lock/script.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PEERS      4
#define ROOM       8192
#define PATIENCE   10000 /* ms that the real server may take */
#define STEPS      4000
#define TRACE_ROOM 8192

/* A client of both servers. */
typedef struct peer {
    int fd; /* at the real one; -1: closed */
    unsigned slot;
    bool waits; /* a command of it waits for the end of a pause */
    size_t got;
    size_t want;
    char from_real[ROOM];
    char from_model[ROOM];
} peer;

static server *redis;
static model_server model;
static peer peers[PEERS];
static volatile int64_t *clock_us;
static char *clock_folder;
static char clock_path[256];
static sim_rng rng;
static uint64_t seed;
static unsigned evicted; /* which key the model drops from its table */
static char history[TRACE_ROOM];

/* ---- Both servers ------------------------------------------------------------------------ */

static peer *peer_of(unsigned slot)
{
    unsigned i;

    for (i = 0; i < PEERS; i++)
        if (peers[i].fd >= 0 && peers[i].slot == slot)
            return &peers[i];
    support_fail("the model speaks to nobody");
}

static void on_emit(void *context, unsigned slot, const char *bytes, size_t len)
{
    peer *to = peer_of(slot);

    (void)context;
    assert_true(to->want + len <= ROOM);
    memcpy(to->from_model + to->want, bytes, len);
    to->want += len;
}

static void on_killed(void *context, unsigned slot)
{
    (void)context;
    peer_of(slot)->slot = MODEL_CLIENTS; /* the side that asked for it closes the other end */
}

static unsigned on_choose(void *context, unsigned n)
{
    (void)context;
    return evicted % n;
}

static int64_t now_ms(void)
{
    return *clock_us / 1000;
}

static void clock_end(void)
{
    if (clock_folder == NULL)
        return;
    support_folder_remove(clock_folder);
    free(clock_folder);
    clock_folder = NULL;
}

/* For the servers that are started while it is on. */
static void on_our_clock(bool on)
{
    if (on) {
        setenv("TEST_CLOCK_FILE", clock_path, 1);
        setenv("LD_PRELOAD", TEST_CLOCK_PRELOAD, 1);
    } else {
        unsetenv("LD_PRELOAD");
        unsetenv("TEST_CLOCK_FILE");
    }
}

/* The same on both. The clocks stand at a whole number of milliseconds. */
static void begin(void)
{
    model_hooks hooks = {NULL, on_emit, on_killed, NULL, NULL, on_choose};
    int64_t start_us = support_now_ms() * 1000 + INT64_C(1700000000000000);
    int fd;
    unsigned i;

    support_at_teardown(clock_end);
    clock_folder = support_folder_new();
    snprintf(clock_path, sizeof clock_path, "%s/clock", clock_folder);
    fd = open(clock_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &start_us, sizeof start_us), sizeof start_us);
    clock_us =
        (volatile int64_t *)mmap(NULL, sizeof *clock_us, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(clock_us != MAP_FAILED);
    close(fd);
    on_our_clock(true);
    redis = server_start(&(server_config){.lines = SERVER_LINES("enable-debug-command yes")});
    on_our_clock(false);
    server_do(redis, "DEBUG SET-ACTIVE-EXPIRE 0");
    model_start(&model, &hooks, 1, now_ms());
    for (i = 0; i < PEERS; i++)
        peers[i].fd = -1;
    history[0] = '\0';
}

static void end(void)
{
    unsigned i;

    for (i = 0; i < PEERS; i++)
        if (peers[i].fd >= 0)
            close(peers[i].fd);
    server_free(redis);
    munmap((void *)(size_t)clock_us, sizeof *clock_us);
    clock_end();
}

/* ---- Comparison -------------------------------------------------------------------------- */

static void show(const char *name, const char *bytes, size_t len)
{
    size_t i;

    fprintf(stderr, "%s: ", name);
    for (i = 0; i < len; i++)
        fputs(bytes[i] == '\r'   ? "\\r"
              : bytes[i] == '\n' ? "\\n"
                                 : (const char[2]){bytes[i], '\0'},
              stderr);
    fputc('\n', stderr);
}

/* Reads until there is as much as the model said, or for as long as the real server may take. */
static void compare(peer *p)
{
    int64_t end_ms = support_now_ms() + PATIENCE * support_time_factor();
    ssize_t n = 1;

    while (p->got < p->want && n > 0) {
        struct pollfd fd = {p->fd, POLLIN, 0};

        if (support_now_ms() > end_ms || poll(&fd, 1, PATIENCE) <= 0)
            break;
        n = read(p->fd, p->from_real + p->got, ROOM - p->got);
        p->got += n > 0 ? (size_t)n : 0;
    }
    if (p->got != p->want || memcmp(p->from_real, p->from_model, p->want) != 0) {
        fprintf(stderr, "%s", history);
        show("real", p->from_real, p->got);
        show("model", p->from_model, p->want);
        support_fail("seed %llu: peer %d", (unsigned long long)seed, (int)(p - peers));
    }
    p->got = 0;
    p->want = 0;
}

static void compare_all(void)
{
    unsigned i;

    for (i = 0; i < PEERS; i++)
        if (peers[i].fd >= 0)
            compare(&peers[i]);
}

/* Nothing more than was compared has come. */
static void expect_silence(peer *p)
{
    char byte;

    assert_int_equal(server_integer(redis, "EXISTS no-such-key"), 0); /* it has been round */
    if (recv(p->fd, &byte, 1, MSG_DONTWAIT) > 0) {
        fprintf(stderr, "%s", history);
        support_fail("seed %llu: peer %d: the real server says more: %c", (unsigned long long)seed,
                     (int)(p - peers), byte);
    }
}

/* ---- Steps ------------------------------------------------------------------------------- */

static void remember(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void remember(const char *format, ...)
{
    size_t len = strlen(history);
    va_list arguments;

    if (len > TRACE_ROOM / 2) { /* the last ones are enough */
        memmove(history, history + len / 2, len - len / 2 + 1);
        len = strlen(history);
    }
    va_start(arguments, format);
    (void)vsnprintf(history + len, TRACE_ROOM - len, format, arguments);
    va_end(arguments);
}

static void send_real(const peer *p, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(p->fd, bytes, len, MSG_NOSIGNAL);

        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

/* A command to both: words, ended by NULL. */
static void command(unsigned number, const char *const *words)
{
    peer *p = &peers[number];
    char text[2048];
    int count = 0;
    int len;
    int i;

    while (words[count] != NULL)
        count++;
    remember("%lld peer %u:", (long long)now_ms(), number);
    len = snprintf(text, sizeof text, "*%d\r\n", count);
    for (i = 0; i < count; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, "$%zu\r\n%s\r\n", strlen(words[i]),
                        words[i]);
        remember(" %.60s", words[i]);
    }
    remember("\n");
    send_real(p, text, (size_t)len);
    assert_true(model_input(&model, p->slot, (const uint8_t *)text, (size_t)len));
    p->waits = model.clients[p->slot].blocked;
    compare_all();
    if (p->waits)
        expect_silence(p);
}

#define COMMAND(number, ...) command((number), (const char *const[]){__VA_ARGS__, NULL})

static void connect_peer(unsigned number, bool resp3)
{
    peer *p = &peers[number];
    stream_address address;
    struct pollfd fd;
    char reply[64];

    stream_parse(&address, server_url(redis));
    p->fd = stream_connect(&address);
    assert_true(p->fd >= 0);
    assert_int_equal(fcntl(p->fd, F_SETFL, 0), 0);
    send_real(p, "*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n", 24);
    fd = (struct pollfd){p->fd, POLLIN, 0};
    assert_int_equal(poll(&fd, 1, PATIENCE), 1);
    assert_true(read(p->fd, reply, sizeof reply) > 1);
    model.next_id = (uint64_t)atoll(reply + 1); /* the administrator has clients too */
    p->slot = model_open(&model, "unix");
    p->waits = false;
    p->got = 0;
    p->want = 0;
    remember("peer %u connects\n", number);
    COMMAND(number, "CLIENT", "ID");
    if (resp3)
        COMMAND(number, "HELLO", "3");
}

/* The real server checks for the end of a pause every 100 ms of its clock. */
static void advance(int64_t ms)
{
    unsigned i;

    if (model_is_paused(&model) && now_ms() + ms >= model.pause_until_ms)
        ms += 110;
    remember("%lld ms go by\n", (long long)ms);
    *clock_us += ms * 1000;
    model_set_time(&model, now_ms());
    compare_all(); /* what waited for the end of a pause */
    for (i = 0; i < PEERS; i++)
        peers[i].waits = peers[i].fd >= 0 && model.clients[peers[i].slot].blocked;
}

static void load_script(unsigned number)
{
    static char body[1024];
    const char *text = strchr(rlki_script.load, 'L') + 6; /* behind LOAD\r\n */
    size_t len = (size_t)atoi(text + 1);

    assert_true(len < sizeof body);
    memcpy(body, strchr(text, '\n') + 1, len);
    body[len] = '\0';
    COMMAND(number, "SCRIPT", "LOAD", body);
}

/* ---- Random sequences -------------------------------------------------------------------- */

static const char *const keys[] = {"k0", "k1", "k2"};
static const char *const tokens[] = {"token-a", "token-b",
                                     "0123456789012345678901234567890123456789"};

#define ANY(list) list[sim_dice(&rng, COUNT_OF(list))]

static const char *number_of(int64_t low, int64_t high)
{
    static char text[4][24];
    static unsigned next;
    char *out = text[next++ % 4];

    snprintf(out, sizeof text[0], "%lld", (long long)sim_between(&rng, low, high));
    return out;
}

static void random_data(unsigned p)
{
    const char *key = ANY(keys);
    const char *token = ANY(tokens);

    switch (sim_dice(&rng, 12)) {
    case 0:
    case 1:
    case 2:
        COMMAND(p, "SET", key, token, "NX", "PX", number_of(1, 300));
        break;
    case 3:
        COMMAND(p, "SET", key, token);
        break;
    case 4:
        COMMAND(p, "SET", key, token, "PX", number_of(1, 300));
        break;
    case 5:
    case 6:
        COMMAND(p, "GET", key);
        break;
    case 7:
    case 8:
        COMMAND(p, "PTTL", key);
        break;
    case 9:
        COMMAND(p, "DEL", key);
        break;
    case 10:
        COMMAND(p, "PEXPIRE", key, number_of(-5, 300));
        break;
    default:
        if (model_find(&model, key, strlen(key)) == NULL)
            COMMAND(p, "RPUSH", key, "element");
        break;
    }
}

static void random_script(unsigned p)
{
    const char *key = ANY(keys);
    const char *token = ANY(tokens);

    switch (sim_dice(&rng, 10)) {
    case 0:
    case 1:
    case 2:
        COMMAND(p, "EVALSHA", RLKI_SCRIPT_DIGEST, "1", key, token);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        COMMAND(p, "EVALSHA", RLKI_SCRIPT_DIGEST, "1", key, token, number_of(1, 400));
        break;
    case 7:
    case 8:
        COMMAND(p, "EVALSHA", RLKI_SCRIPT_DIGEST, "1", key, token, "-1");
        break;
    default:
        if (sim_chance(&rng, 300))
            COMMAND(p, "SCRIPT", "FLUSH");
        load_script(p);
        break;
    }
}

static void kill_peer(unsigned by, unsigned victim)
{
    char id[24];
    peer *p = &peers[victim];

    snprintf(id, sizeof id, "%llu", (unsigned long long)model.clients[p->slot].id);
    COMMAND(by, "CLIENT", "KILL", "ID", id);
    if (by != victim) { /* who kills is spared by the filter */
        close(p->fd);
        p->fd = -1;
    }
}

/* What changes in another database: clients are notified of it by the names of its keys. */
static void random_elsewhere(unsigned p)
{
    if (model_is_paused(&model))
        return; /* a write would wait, and what follows it with it */
    COMMAND(p, "SELECT", "1");
    if (sim_chance(&rng, 800))
        COMMAND(p, "SET", ANY(keys), ANY(tokens));
    else
        COMMAND(p, "FLUSHDB");
    COMMAND(p, "SELECT", "0");
}

static void random_connection(unsigned p)
{
    unsigned other = sim_dice(&rng, PEERS);

    switch (sim_dice(&rng, 14)) {
    case 0:
    case 1:
    case 2:
        COMMAND(p, "CLIENT", "TRACKING", "ON", "NOLOOP");
        break;
    case 3:
        COMMAND(p, "CLIENT", "TRACKING", "OFF");
        break;
    case 4:
        COMMAND(p, "CLIENT", "TRACKING", "OFF");
        COMMAND(p, "CLIENT", "TRACKING", "ON");
        break;
    case 5:
        if (!model_is_paused(&model))
            COMMAND(p, "CLIENT", "PAUSE", number_of(1, 200), "WRITE");
        break;
    case 6:
        if (peers[other].fd >= 0 && !peers[other].waits)
            kill_peer(p, other);
        break;
    case 7:
        COMMAND(p, "CLIENT", "KILL", "ID", "1000000");
        break;
    case 8:
        if (sim_chance(&rng, 200))
            COMMAND(p, "FLUSHALL");
        break;
    case 9:
    case 10:
        random_elsewhere(p);
        break;
    default:
        COMMAND(p, "CLIENT", "ID");
        break;
    }
}

static void random_step(void)
{
    unsigned p = sim_dice(&rng, PEERS);

    if (sim_chance(&rng, 250)) {
        advance(sim_chance(&rng, 900) ? sim_between(&rng, 0, 40) : sim_between(&rng, 0, 400));
    } else if (peers[p].fd < 0) {
        connect_peer(p, sim_chance(&rng, 700));
    } else if (!peers[p].waits) {
        unsigned dice = sim_dice(&rng, 100);

        if (dice < 50)
            random_data(p);
        else if (dice < 85)
            random_script(p);
        else
            random_connection(p);
    }
}

static void test_model_random_sequences(void **state)
{
    const char *chosen = getenv("MODEL_SEED");
    const char *length = getenv("MODEL_STEPS");
    long steps = length != NULL ? atol(length) : STEPS;

    (void)state;
    seed = chosen != NULL ? strtoull(chosen, NULL, 10) : 1;
    rng = sim_rng_new(seed, 0, NULL);
    begin();
    while (steps-- > 0)
        random_step();
    end();
}

/* ---- What random sequences do not reach -------------------------------------------------- */

static void test_model_handshake(void **state)
{
    unsigned i;

    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, false);
    for (i = 0; i < 2; i++) {
        load_script(i);
        COMMAND(i, "CLIENT", "KILL", "ID", "999999");
        COMMAND(i, "CLIENT", "KILL", "ID", "999999", "ADDR", "127.0.0.1:1");
        COMMAND(i, "SELECT", "0");
        COMMAND(i, "PING");
        COMMAND(i, "GET", "k0");
    }
    COMMAND(0, "EVALSHA", "0123456789012345678901234567890123456789", "1", "k0", "token");
    end();
}

/* INFO's text is the server's own; its form, and the line with the run_id, are not. */
static void test_model_info(void **state)
{
    unsigned i;

    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, false);
    for (i = 0; i < 2; i++) {
        peer *p = &peers[i];
        struct pollfd fd = {p->fd, POLLIN, 0};
        const char *line;
        ssize_t n;

        send_real(p, "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n", 26);
        assert_int_equal(poll(&fd, 1, PATIENCE), 1);
        n = read(p->fd, p->from_real, ROOM - 1);
        assert_true(n > 0);
        p->from_real[n] = '\0';
        (void)model_input(&model, p->slot, (const uint8_t *)"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n",
                          26);
        p->from_model[p->want] = '\0';
        assert_int_equal(p->from_real[0], p->from_model[0]);
        assert_int_equal(strstr(p->from_real, "\r\ntxt:# Server\r\n") != NULL, i == 0);
        assert_int_equal(strstr(p->from_model, "\r\ntxt:# Server\r\n") != NULL, i == 0);
        line = strstr(p->from_real, "\r\nrun_id:");
        assert_non_null(line);
        assert_int_equal(strspn(line + 9, "0123456789abcdef"), MODEL_RUN_ID);
        line = strstr(p->from_model, "\r\nrun_id:");
        assert_non_null(line);
        assert_int_equal(strspn(line + 9, "0123456789abcdef"), MODEL_RUN_ID);
        p->want = 0;
    }
    end();
}

/* The table of tracked keys is at its bound: one is dropped before the next command, whichever. */
static void test_model_tracking_table_eviction(void **state)
{
    peer *p = &peers[0];
    struct pollfd fd;
    const char *real_key;

    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, true);
    COMMAND(0, "CLIENT", "TRACKING", "ON", "NOLOOP");
    COMMAND(0, "GET", "k0");
    COMMAND(0, "GET", "k1");
    server_do(redis, "CONFIG SET tracking-table-max-keys 1");
    /* the server's choice is random: it shows it, and the model follows */
    fd = (struct pollfd){p->fd, POLLIN, 0};
    assert_int_equal(server_integer(redis, "EXISTS k0"), 0);
    assert_int_equal(poll(&fd, 1, PATIENCE), 1);
    p->got = (size_t)read(p->fd, p->from_real, ROOM - 1);
    p->from_real[p->got] = '\0';
    real_key = strstr(p->from_real, "\r\nk");
    assert_non_null(real_key);
    evicted = real_key[3] == '1';
    model.tracked_max = 1;
    COMMAND(1, "PING");
    /* the other one is still tracked, this one is not */
    COMMAND(1, "SET", "k0", "x");
    COMMAND(1, "SET", "k1", "x");
    end();
}

/* A key that nobody reads is deleted in the end, and its readers are notified. */
static void test_model_active_expiry(void **state)
{
    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, true);
    COMMAND(0, "CLIENT", "TRACKING", "ON", "NOLOOP");
    COMMAND(1, "SET", "k0", "x", "PX", "50");
    COMMAND(0, "GET", "k0");
    server_do(redis, "DEBUG SET-ACTIVE-EXPIRE 1");
    *clock_us += 50 * 1000; /* not yet: PTTL is 0, and it is there */
    model_set_time(&model, now_ms());
    COMMAND(1, "PTTL", "k0");
    *clock_us += 150 * 1000;
    model_set_time(&model, now_ms());
    model_expire(&model);
    compare_all();
    COMMAND(1, "PTTL", "k0");
    end();
}

static void test_model_flush(void **state)
{
    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, true);
    connect_peer(2, false);
    COMMAND(0, "CLIENT", "TRACKING", "ON", "NOLOOP");
    COMMAND(1, "CLIENT", "TRACKING", "ON");
    COMMAND(2, "CLIENT", "TRACKING", "ON");
    COMMAND(0, "SET", "k0", "x");
    COMMAND(1, "GET", "k0");
    COMMAND(0, "FLUSHALL");
    COMMAND(1, "FLUSHALL");
    COMMAND(1, "SET", "k0", "y");
    end();
}

/* FLUSHDB of another database leaves the keys of this one, but nobody tracks them any more. */
static void test_model_other_database(void **state)
{
    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, true);
    COMMAND(0, "CLIENT", "TRACKING", "ON", "NOLOOP");
    COMMAND(1, "SET", "k0", "x");
    COMMAND(0, "GET", "k0");
    COMMAND(1, "SELECT", "1");
    COMMAND(1, "SET", "k0", "y");
    COMMAND(1, "SET", "k0", "z"); /* notified already */
    COMMAND(1, "SELECT", "0");
    COMMAND(0, "GET", "k0");
    COMMAND(1, "SELECT", "1");
    COMMAND(1, "FLUSHDB");
    COMMAND(1, "SELECT", "0");
    COMMAND(1, "SET", "k0", "y");
    COMMAND(0, "GET", "k0");
    COMMAND(1, "FLUSHDB");
    COMMAND(0, "GET", "k0");
    end();
}

/* A user who must not track: an error, and no push. */
static void test_model_tracking_refused(void **state)
{
    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, true);
    server_do(redis, "ACL SETUSER default -client|tracking");
    model.untracked = true;
    COMMAND(0, "CLIENT", "TRACKING", "ON", "NOLOOP");
    COMMAND(0, "GET", "k0");
    COMMAND(1, "SET", "k0", "x");
    expect_silence(&peers[0]);
    end();
}

static void test_model_pause_all(void **state)
{
    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, true);
    COMMAND(1, "SET", "k0", "x", "PX", "50");
    COMMAND(0, "CLIENT", "PAUSE", "200", "ALL");
    remember("GET waits, too\n");
    send_real(&peers[1], "*2\r\n$3\r\nGET\r\n$2\r\nk0\r\n", 22);
    assert_true(
        model_input(&model, peers[1].slot, (const uint8_t *)"*2\r\n$3\r\nGET\r\n$2\r\nk0\r\n", 22));
    assert_true(model.clients[peers[1].slot].blocked);
    advance(210);
    COMMAND(0, "PTTL", "k0");
    end();
}

/* The ways in which a server refuses to write. */
static void test_model_refusals(void **state)
{
    static const char *const words[][7] = {
        {"SET", "k1", "x", "NX", "PX", "100", NULL},
        {"SET", "k0", "x", "NX", "PX", "100", NULL},
        {"EVALSHA", RLKI_SCRIPT_DIGEST, "1", "k0", "x", "100", NULL},
        {"EVALSHA", RLKI_SCRIPT_DIGEST, "1", "k0", "other", "-1", NULL},
        {"EVALSHA", RLKI_SCRIPT_DIGEST, "1", "k0", "x", NULL},
        {"GET", "k0", NULL},
        {"DEL", "k0", NULL},
    };
    size_t i;

    (void)state;
    begin();
    connect_peer(0, true);
    load_script(0);
    COMMAND(0, "SET", "k0", "x");
    server_do(redis, "REPLICAOF 127.0.0.1 1");
    model.refusal = MODEL_READONLY;
    for (i = 0; i < COUNT_OF(words); i++)
        command(0, words[i]);
    server_do(redis, "REPLICAOF NO ONE");
    server_do(redis, "CONFIG SET maxmemory 1");
    model.refusal = MODEL_OOM;
    for (i = 0; i < COUNT_OF(words); i++)
        command(0, words[i]);
    end();
}

/* Another instance, with the same data: no scripts, ids from the beginning, nobody tracks. */
static void test_model_restart(void **state)
{
    unsigned i;

    (void)state;
    begin();
    connect_peer(0, true);
    connect_peer(1, false);
    COMMAND(0, "CLIENT", "TRACKING", "ON", "NOLOOP");
    load_script(0);
    COMMAND(0, "SET", "k0", "x", "PX", "500");
    COMMAND(0, "SET", "k1", "y", "PX", "10");
    COMMAND(0, "GET", "k0");
    server_save(redis);
    for (i = 0; i < 2; i++) {
        close(peers[i].fd);
        peers[i].fd = -1;
    }
    *clock_us += 100 * 1000; /* k1 has expired when it comes back */
    on_our_clock(true);
    server_restart(redis, true);
    on_our_clock(false);
    server_do(redis, "DEBUG SET-ACTIVE-EXPIRE 0");
    model_restart(&model, 2);
    model_set_time(&model, now_ms());
    connect_peer(0, true);
    assert_true(model.clients[peers[0].slot].id < 10);
    connect_peer(1, true);
    COMMAND(0, "EVALSHA", RLKI_SCRIPT_DIGEST, "1", "k0", "x", "1000");
    load_script(0);
    COMMAND(1, "GET", "k0");
    COMMAND(0, "PTTL", "k1");
    COMMAND(0, "EVALSHA", RLKI_SCRIPT_DIGEST, "1", "k0", "x", "1000");
    COMMAND(0, "EVALSHA", RLKI_SCRIPT_DIGEST, "1", "k0", "x");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_model_random_sequences),
        support_test(test_model_handshake),
        support_test(test_model_info),
        support_test(test_model_tracking_table_eviction),
        support_test(test_model_active_expiry),
        support_test(test_model_flush),
        support_test(test_model_other_database),
        support_test(test_model_tracking_refused),
        support_test(test_model_pause_all),
        support_test(test_model_refusals),
        support_test(test_model_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
