/* SPDX-License-Identifier: MIT
 *
 * A storm over resplock: scripts/storm runs it, tests/README.md says how to read it.
 *
 *     storm [--seconds N] [--seed N] [--nodes 1|3|5|all] [--cheat NAME]
 *
 * Exit code 0: nothing was found. 1: findings. 2: wrong arguments.
 */
#define _GNU_SOURCE
#include "director.h"

#include "child.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PYTHON        "/usr/bin/python3"
#define TICK_MS       5
#define PROGRESS_US   (INT64_C(5) * 1000000)
#define CALM_LEAD_US  (INT64_C(700) * 1000) /* of calm, before shares are counted */
#define END_US        (INT64_C(15) * 1000000)
#define FINDINGS_LAST 12 /* of one rule; further ones are only counted */

static const char *const kind_names[KINDS] = {
    "blocking", "loop", "elected", "poller", "foreign", "redis-py",
};
static const char *const phase_names[PHASES] = {"settle", "calm", "mixed", "faults", "stop"};
static const char *const count_names[COUNTS] = {
    "acquired", "busy", "timed out", "cancelled", "unknown", "errors", "renewed", "lost", "counted",
};
static const char *const rule_names[RULES] = {
    "exclusion", "loss", "counter", "ending", "share", "starving", "leak",
};
static const char *const cheat_names[CHEATS] = {
    "none", "held", "delete", "count", "starve", "hang", "leak", "forever", "die",
};

static storm_board *board;
static int board_fd;
static storm_world worlds[STORM_ARENAS];
static size_t world_count;
static uint64_t seed;
static storm_cheat cheat;
static int64_t began_us;
static unsigned findings[RULES];

double storm_seconds(int64_t time_us)
{
    return (double)(time_us - began_us) / 1e6;
}

const char *client_name(const storm_world *world, size_t i)
{
    return kind_names[world->clients[i].kind];
}

void finding(const storm_world *world, storm_rule rule, const char *format, ...)
{
    va_list arguments;

    findings[rule]++;
    if (findings[rule] > FINDINGS_LAST)
        return;
    printf("  FINDING at %.3f s, %s: %s: ", storm_seconds(storm_now_us()), world->name,
           rule_names[rule]);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("%s\n", findings[rule] == FINDINGS_LAST ? " (further ones are only counted)" : "");
    fflush(stdout);
}

static unsigned findings_sum(void)
{
    unsigned sum = 0;
    size_t i;

    for (i = 0; i < RULES; i++)
        sum += findings[i];
    return sum;
}

/* ---- Processes ---- */

/* argv of a client: --client ARENA SLOT KIND CHEAT SEED BOARD-FD, and of each server two URLs */
static int client_main(int argc, char **argv)
{
    static storm_job job;
    size_t arena = (size_t)atoi(argv[2]);
    size_t slot = (size_t)atoi(argv[3]);
    int fd = atoi(argv[7]);
    size_t node;

    board = (storm_board *)mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (board == MAP_FAILED || argc < 10)
        return 2;
    close(fd);
    job.arena = &board->arenas[arena];
    job.slot = &job.arena->slots[slot];
    job.kind = (storm_kind)atoi(argv[4]);
    job.cheat = (storm_cheat)atoi(argv[5]);
    job.dice.state = strtoull(argv[6], NULL, 10);
    job.nodes = (size_t)(argc - 8) / 2;
    for (node = 0; node < job.nodes && node < STORM_NODES; node++) {
        job.urls[node] = argv[8 + 2 * node];
        job.detour[node] = argv[9 + 2 * node];
    }
    return job.kind == KIND_FOREIGN ? foreign_run(&job) : client_run(&job);
}

static void client_exec(const storm_world *world, size_t i)
{
    const storm_client *posix = &world->clients[i];
    bool cheats = cheat != CHEAT_NONE && (i == 0 || posix->kind == KIND_FOREIGN);
    char texts[8][32];
    const char *argv[9 + 2 * STORM_NODES] = {"storm", "--client"};
    size_t at = 2;
    size_t node;

    fcntl(board_fd, F_SETFD, 0);
    if (posix->kind == KIND_PYTHON) {
        snprintf(texts[0], 32, "%d", board_fd);
        snprintf(texts[1], 32, "%td", (char *)world->board - (char *)board);
        snprintf(texts[2], 32, "%td", (char *)&world->board->slots[i] - (char *)board);
        snprintf(texts[3], 32, "%d", STORM_TTL_MS);
        snprintf(texts[4], 32, "%d", STORM_MARGIN_MS);
        snprintf(texts[5], 32, "%d", STORM_RING);
        execl(PYTHON, "python3", TEST_SOURCE_DIR "/tests/storm/foreign.py", texts[0], texts[1],
              texts[2], server_path(world->servers[0].redis), texts[3], texts[4], texts[5],
              (char *)NULL);
        _exit(127);
    }
    snprintf(texts[0], 32, "%zu", world->number);
    snprintf(texts[1], 32, "%zu", i);
    snprintf(texts[2], 32, "%d", (int)posix->kind);
    snprintf(texts[3], 32, "%d", cheats ? (int)cheat : CHEAT_NONE);
    snprintf(texts[4], 32, "%" PRIu64,
             seed * 1000003 + world->number * 10007 + i * 101 + posix->generation);
    snprintf(texts[5], 32, "%d", board_fd);
    for (node = 0; node < 6; node++)
        argv[at++] = texts[node];
    for (node = 0; node < world->nodes; node++) {
        const storm_server *it = &world->servers[node];

        argv[at++] = server_url(it->redis);
        argv[at++] = i % 2 == 0 ? server_url(it->redis) : proxy_url(it->middle);
    }
    execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    _exit(127);
}

void client_start(storm_world *world, size_t i)
{
    storm_client *posix = &world->clients[i];

    posix->generation++;
    posix->stopped = false;
    posix->hangs = false;
    world->board->slots[i].fds_after = 0;
    posix->pid = child_fork();
    if (posix->pid == 0)
        client_exec(world, i);
}

/* One that ended though nobody asked it to. */
static void clients_watch(storm_world *world)
{
    size_t i;

    for (i = 0; i < world->client_count; i++) {
        storm_client *posix = &world->clients[i];
        int status;

        if (posix->pid == 0 || waitpid(posix->pid, &status, WNOHANG) != posix->pid)
            continue;
        posix->pid = 0;
        if (world->phase != PHASE_STOP || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            finding(world, RULE_ENDING, "client %zu (%s) has ended with status %#x", i,
                    client_name(world, i), (unsigned)status);
    }
}

/* ---- Phases ---- */

static int64_t phase_us(storm_world *world, storm_phase phase)
{
    static const unsigned ms[PHASES] = {
        [PHASE_SETTLE] = 2500, [PHASE_CALM] = 5000, [PHASE_MIXED] = 2500, [PHASE_FAULTS] = 8000};

    return (int64_t)(ms[phase] * 4 / 5 + dice_roll(&world->dice, ms[phase] * 2 / 5)) * 1000;
}

/* What each had while there were no faults. */
static void quiet_count(storm_world *world, bool begins)
{
    size_t i;

    for (i = 0; i < world->client_count; i++) {
        int64_t now = board_get(&world->board->slots[i].counts[COUNT_ACQUIRED]);

        if (!begins)
            world->clients[i].quiet += now - world->clients[i].quiet_from;
        world->clients[i].quiet_from = now;
    }
}

static void phase_leave(storm_world *world)
{
    if (world->phase == PHASE_CALM)
        referee_calm_ends(world, storm_now_us());
    if (world->phase == PHASE_FAULTS)
        faults_mend(world);
    else
        quiet_count(world, false);
}

static void phase_enter(storm_world *world, storm_phase phase)
{
    int64_t now_us = storm_now_us();

    world->phase = phase;
    world->phase_begin_us = now_us;
    world->phase_end_us = now_us + phase_us(world, phase);
    if (phase == PHASE_FAULTS)
        world->operators = world->phases++ % 3 == 1;
    else
        quiet_count(world, true);
    board_set(&world->board->counting,
              phase != PHASE_SETTLE && !(phase == PHASE_FAULTS && world->operators));
    board_set(&world->board->phase, phase);
}

static void world_tick(storm_world *world)
{
    int64_t now_us = storm_now_us();

    clients_watch(world);
    faults_tick(world, now_us);
    referee_tick(world, now_us);
    if (world->phase == PHASE_CALM && world->calm_from_us == 0 &&
        now_us > world->phase_begin_us + CALM_LEAD_US)
        referee_calm_begins(world, now_us);
    if (now_us >= world->phase_end_us) {
        phase_leave(world);
        phase_enter(world,
                    world->phase == PHASE_FAULTS ? PHASE_SETTLE : (storm_phase)(world->phase + 1));
    }
}

static void world_start(storm_world *world, size_t number, size_t nodes)
{
    static const storm_kind kinds[] = {KIND_BLOCKING, KIND_BLOCKING, KIND_LOOP,   KIND_LOOP,
                                       KIND_ELECTED,  KIND_POLLER,   KIND_FOREIGN};
    const server_config config = {.lines = SERVER_LINES("appendonly yes", "appendfsync always")};
    size_t i;

    world->name = nodes == 1 ? "1 node" : nodes == 3 ? "3 nodes" : "5 nodes";
    world->number = number;
    world->nodes = nodes;
    world->board = &board->arenas[number];
    world->dice.state = seed * 7919 + nodes;
    for (i = 0; i < nodes; i++) {
        world->servers[i].redis = server_start(&config);
        world->servers[i].middle = proxy_start(server_url(world->servers[i].redis), true);
    }
    for (i = 0; i < COUNT_OF(kinds); i++)
        world->clients[i].kind = kinds[i];
    world->client_count = i;
    if (nodes == 1 && access(PYTHON, X_OK) == 0 &&
        system(PYTHON " -c 'import redis' 2>/dev/null") == 0)
        world->clients[world->client_count++].kind = KIND_PYTHON;
    phase_enter(world, PHASE_SETTLE);
    for (i = 0; i < world->client_count; i++)
        client_start(world, i);
}

/* ---- The end ---- */

static bool world_is_whole(const storm_world *world)
{
    size_t i;

    for (i = 0; i < world->nodes; i++)
        if (world->servers[i].state != SERVER_UP)
            return false;
    for (i = 0; i < world->client_count; i++)
        if (world->clients[i].until_us != 0)
            return false;
    return true;
}

static bool world_has_clients(const storm_world *world)
{
    size_t i;

    for (i = 0; i < world->client_count; i++)
        if (world->clients[i].pid != 0)
            return true;
    return false;
}

static void worlds_tick_until(bool (*is_over)(const storm_world *), bool wanted)
{
    int64_t end_us = storm_now_us() + END_US;
    size_t waiting = world_count;

    while (waiting > 0 && storm_now_us() < end_us) {
        size_t i;

        waiting = 0;
        for (i = 0; i < world_count; i++) {
            clients_watch(&worlds[i]);
            faults_tick(&worlds[i], storm_now_us());
            referee_tick(&worlds[i], storm_now_us());
            if (is_over(&worlds[i]) != wanted)
                waiting++;
        }
        support_sleep_ms(TICK_MS);
    }
}

static void worlds_finish(void)
{
    size_t i;
    size_t c;

    for (i = 0; i < world_count; i++) {
        phase_leave(&worlds[i]);
        worlds[i].phase = PHASE_SETTLE; /* no more harm, and clients go on */
        board_set(&worlds[i].board->phase, PHASE_SETTLE);
        faults_mend(&worlds[i]);
    }
    worlds_tick_until(world_is_whole, true);
    for (i = 0; i < world_count; i++) {
        worlds[i].phase = PHASE_STOP;
        board_set(&worlds[i].board->phase, PHASE_STOP);
    }
    worlds_tick_until(world_has_clients, false);
    for (i = 0; i < world_count; i++) {
        for (c = 0; c < worlds[i].client_count; c++) {
            storm_client *posix = &worlds[i].clients[c];

            if (posix->pid == 0)
                continue;
            finding(&worlds[i], RULE_ENDING, "client %zu (%s) does not end", c,
                    kind_names[posix->kind]);
            kill(posix->pid, SIGKILL);
            (void)child_exit_code(posix->pid);
        }
        referee_finish(&worlds[i]);
    }
}

/* ---- What it prints ---- */

static int64_t world_sum(const storm_world *world, storm_count which)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i < world->client_count; i++)
        sum += board_get(&world->board->slots[i].counts[which]);
    return sum;
}

static void print_progress(void)
{
    size_t i;

    printf("%6.0f s", storm_seconds(storm_now_us()));
    for (i = 0; i < world_count; i++)
        printf("  %s: %s, %" PRId64 " leases", worlds[i].name,
               worlds[i].operators && worlds[i].phase == PHASE_FAULTS
                   ? "operators"
                   : phase_names[worlds[i].phase],
               world_sum(&worlds[i], COUNT_ACQUIRED));
    printf("  findings: %u\n", findings_sum());
    fflush(stdout);
}

static void print_world(const storm_world *world)
{
    size_t i;
    size_t c;

    printf("\n%s: %" PRId64 " claims judged, %" PRId64 " overlaps exempt by an operator; counter "
           "%" PRId64 "\n",
           world->name, world->judged, world->exempt, board_get(&world->board->counter));
    printf("  calm: %u windows, least share %.2f of an even one, %.2f in one window; %" PRId64
           " leases/s in the last\n",
           world->windows, world->whole_share, world->least_share, world->rate);
    printf("  %-10s", "client");
    for (c = 0; c < COUNTS; c++)
        printf(" %10s", count_names[c]);
    printf("\n");
    for (i = 0; i < world->client_count; i++) {
        printf("  %zu %-8s", i, kind_names[world->clients[i].kind]);
        for (c = 0; c < COUNTS; c++)
            printf(" %10" PRId64, world->board->slots[i].counts[c]);
        printf("\n");
    }
}

static void print_findings(void)
{
    size_t i;

    printf("\nfindings");
    for (i = 0; i < RULES; i++)
        printf("%s %s %u", i > 0 ? "," : ":", rule_names[i], findings[i]);
    printf("\n");
}

static void print_faults(void)
{
    size_t f;
    size_t i;

    printf("\n%-52s", "faults");
    for (i = 0; i < world_count; i++)
        printf(" %8s", worlds[i].name);
    printf("\n");
    for (f = 0; f < FAULTS; f++) {
        printf("  %-50s", fault_names[f]);
        for (i = 0; i < world_count; i++)
            printf(" %8u", worlds[i].faults[f]);
        printf("\n");
    }
}

/* ---- Arguments ---- */

typedef struct storm_options {
    long seconds;
    size_t nodes; /* 0: all */
} storm_options;

static int usage(const char *word)
{
    fprintf(stderr,
            "storm: no such argument: %s\n"
            "usage: storm [--seconds N] [--seed N] [--nodes 1|3|5|all] [--cheat NAME]\n",
            word);
    return 2;
}

static bool option_number(const char *text, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool option_set(storm_options *options, const char *name, const char *value)
{
    uint64_t number = 0;
    size_t i;

    if (strcmp(name, "--cheat") == 0) {
        for (i = 0; i < CHEATS; i++)
            if (strcmp(value, cheat_names[i]) == 0)
                cheat = (storm_cheat)i;
        return cheat != CHEAT_NONE;
    }
    if (strcmp(name, "--nodes") == 0 && strcmp(value, "all") == 0)
        return true;
    if (!option_number(value, &number))
        return false;
    if (strcmp(name, "--seconds") == 0)
        options->seconds = (long)number;
    else if (strcmp(name, "--seed") == 0)
        seed = number;
    else if (strcmp(name, "--nodes") == 0 && (number == 1 || number == 3 || number == 5))
        options->nodes = (size_t)number;
    else
        return false;
    return options->seconds > 0;
}

/* ---- */

static void storm_run(const storm_options *options)
{
    static const size_t sizes[STORM_ARENAS] = {1, 3, 5};
    int64_t end_us;
    int64_t progress_us;
    size_t i;

    began_us = storm_now_us();
    for (i = 0; i < STORM_ARENAS; i++) {
        if (options->nodes == 0 || options->nodes == sizes[i]) {
            world_start(&worlds[world_count], world_count, sizes[i]);
            world_count++;
        }
    }
    end_us = storm_now_us() + (int64_t)options->seconds * 1000000;
    progress_us = began_us + PROGRESS_US;
    while (storm_now_us() < end_us) {
        for (i = 0; i < world_count; i++)
            world_tick(&worlds[i]);
        if (storm_now_us() >= progress_us) {
            print_progress();
            progress_us += PROGRESS_US;
        }
        support_sleep_ms(TICK_MS);
    }
    worlds_finish();
    for (i = 0; i < world_count; i++)
        print_world(&worlds[i]);
    print_faults();
}

int main(int argc, char **argv)
{
    storm_options options = {60, 0};
    int64_t fds = client_fds();
    int i;

    if (argc > 8 && strcmp(argv[1], "--client") == 0)
        return client_main(argc, argv);
    seed = (uint64_t)storm_now_us() % 1000000;
    for (i = 1; i < argc; i += 2)
        if (i + 1 == argc || !option_set(&options, argv[i], argv[i + 1]))
            return usage(i + 1 == argc ? argv[i] : argv[i + 1]);
    board_fd = memfd_create("resplock-storm", MFD_CLOEXEC);
    if (board_fd < 0 || ftruncate(board_fd, sizeof *board) != 0)
        support_fail("no memory for the board: %s", strerror(errno));
    board =
        (storm_board *)mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0);
    if (board == MAP_FAILED)
        support_fail("no memory for the board: %s", strerror(errno));
    printf("storm: seed %" PRIu64 ", %ld s\n", seed, options.seconds);
    fflush(stdout);
    storm_run(&options);
    support_teardown(NULL);
    close(board_fd);
    if (client_fds() != fds) {
        findings[RULE_LEAK]++;
        printf("  FINDING: leak: the director has %" PRId64 " descriptors, and had %" PRId64 "\n",
               client_fds(), fds);
    }
    print_findings();
    printf("\nstorm: seed %" PRIu64 ", %.0f s, %u findings: %s\n", seed,
           storm_seconds(storm_now_us()), findings_sum(), findings_sum() == 0 ? "ok" : "failed");
    return findings_sum() == 0 ? 0 : 1;
}
