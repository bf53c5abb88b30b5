/* SPDX-License-Identifier: MIT
 *
 * The simulator's command; see usage().
 */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAIN_SHOWN 10 /* violations that are printed by each worker */
#define MAIN_JOBS  64
#define MAIN_AGAIN 64 /* one of this number of histories is run twice, and must be the same */

typedef struct sim_command {
    sim_options options;
    uint64_t first;
    uint64_t last;
    unsigned jobs;
    bool all_met; /* what was never met is a failure */
    bool minimise;
} sim_command;

/* What a worker reports. */
typedef struct sim_sums {
    uint64_t histories;
    uint64_t operations;
    uint64_t acquired;
    uint64_t found; /* violations that the profile is there to show */
    uint64_t violations;
    int64_t simulated_us;
    uint64_t met[SIM_MET_COUNT];
} sim_sums;

static int usage(void)
{
    size_t i;

    fputs("sim [--profile NAME] [--seeds A..B] [--jobs N] [--operations N] [--all-met]\n"
          "    runs histories; exits with 1 if one breaks a rule (or, outside of the assumptions,\n"
          "    none does). --all-met: also if a fault or a decision was never met\n"
          "sim --seed N [--profile NAME] [--minimise] [--only N,N...] [--until US]\n"
          "    one history, with its trace\n"
          "profiles:\n",
          stderr);
    for (i = 0; i < sim_profiles_len; i++)
        fprintf(stderr, "    %-18s%s\n", sim_profiles[i].name, sim_profiles[i].words);
    return 2;
}

/* ---- Arguments --------------------------------------------------------------------------- */

static bool main_number(const char *text, uint64_t *value, char end)
{
    char *rest;

    errno = 0;
    *value = strtoull(text, &rest, 10);
    return errno == 0 && rest != text && *rest == end;
}

static bool main_range(sim_command *command, const char *text)
{
    const char *dots = strstr(text, "..");

    return dots != NULL && main_number(text, &command->first, '.') &&
           main_number(dots + 2, &command->last, '\0') && command->first <= command->last;
}

/* Decisions that are left in: numbers, with commas between. */
static bool main_only(sim_command *command, const char *text)
{
    static uint8_t skip[SIM_SKIP_BYTES];
    char *rest;

    memset(skip, 0xff, sizeof skip);
    while (*text != '\0') {
        unsigned long decision = strtoul(text, &rest, 10);

        if (rest == text || decision >= 8 * SIM_SKIP_BYTES)
            return false;
        skip[decision / 8] &= (uint8_t) ~(1u << decision % 8);
        text = *rest == ',' ? rest + 1 : rest;
    }
    command->options.skip = skip;
    command->options.skip_len = sizeof skip;
    return true;
}

static bool main_option(sim_command *command, const char *name, const char *value)
{
    uint64_t number = 0;

    if (value == NULL)
        return false;
    if (strcmp(name, "--profile") == 0)
        return (command->options.profile = sim_profile_named(value)) != NULL;
    if (strcmp(name, "--seeds") == 0)
        return main_range(command, value);
    if (strcmp(name, "--only") == 0)
        return main_only(command, value);
    if (!main_number(value, &number, '\0'))
        return false;
    if (strcmp(name, "--seed") == 0) {
        command->first = number;
        command->last = number;
        command->options.trace = stdout;
    } else if (strcmp(name, "--operations") == 0) {
        command->options.operations = (unsigned)number;
    } else if (strcmp(name, "--until") == 0) {
        command->options.until_us = (int64_t)number;
    } else if (strcmp(name, "--jobs") == 0) {
        command->jobs = (unsigned)number;
        return number >= 1 && number <= MAIN_JOBS;
    } else {
        return false;
    }
    return true;
}

static bool main_parse(sim_command *command, int argc, char **argv)
{
    int i;

    memset(command, 0, sizeof *command);
    command->options.profile = &sim_profiles[0];
    command->first = 1;
    command->last = 1000;
    command->jobs = 1;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all-met") == 0)
            command->all_met = true;
        else if (strcmp(argv[i], "--minimise") == 0)
            command->minimise = true;
        else if (!main_option(command, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            return false;
        else
            i++;
    }
    return true;
}

/* ---- One history ------------------------------------------------------------------------- */

static void main_print_only(const sim_command *command, const sim_options *options, unsigned left)
{
    unsigned i;
    const char *comma = "";

    printf("%u decisions are left:\n  sim --profile %s --seed %llu", left, options->profile->name,
           (unsigned long long)command->first);
    if (options->until_us != 0)
        printf(" --until %lld", (long long)options->until_us);
    printf(" --only ");
    for (i = 0; i < 8 * SIM_SKIP_BYTES; i++) {
        if ((options->skip[i / 8] >> i % 8 & 1) == 0) {
            printf("%s%u", comma, i);
            comma = ",";
        }
    }
    printf("\n");
}

static int main_one(sim_command *command)
{
    static uint8_t skip[SIM_SKIP_BYTES];
    sim_options options = command->options;
    sim_verdict verdict;

    if (command->minimise) {
        unsigned left = sim_minimise(command->first, &options, skip);

        main_print_only(command, &options, left);
    }
    sim_run(command->first, &options, &verdict);
    printf("%s\n", verdict.rule == SIM_FINE ? "fine" : verdict.text);
    return verdict.rule != SIM_FINE;
}

/* ---- Many -------------------------------------------------------------------------------- */

static void main_count(const sim_command *command, uint64_t seed, const sim_verdict *verdict,
                       sim_sums *sums)
{
    const sim_profile *profile = command->options.profile;

    sums->histories++;
    sums->operations += verdict->operations;
    sums->acquired += verdict->acquired;
    sums->simulated_us += verdict->simulated_us;
    if (verdict->rule == SIM_FINE)
        return;
    if (verdict->rule == profile->finds) {
        sums->found++;
        return;
    }
    if (sums->violations++ < MAIN_SHOWN) {
        printf("seed %llu %s\n", (unsigned long long)seed, verdict->text);
        fflush(stdout);
    }
}

/* The world keeps nothing of the history before. */
static void main_again(const sim_command *command, uint64_t seed, const sim_verdict *before,
                       sim_sums *sums)
{
    sim_verdict verdict;

    sim_run(seed, &command->options, &verdict);
    if (verdict.print == before->print)
        return;
    sums->violations++;
    printf("seed %llu is another history when it is run again\n", (unsigned long long)seed);
    fflush(stdout);
}

static void main_work(const sim_command *command, unsigned job, sim_sums *sums)
{
    uint64_t seed;

    memset(sums, 0, sizeof *sums);
    for (seed = command->first + job; seed <= command->last; seed += command->jobs) {
        sim_verdict verdict;

        sim_run(seed, &command->options, &verdict);
        main_count(command, seed, &verdict, sums);
        if (seed % MAIN_AGAIN == 0)
            main_again(command, seed, &verdict, sums);
    }
    memcpy(sums->met, sim_met, sizeof sums->met);
}

static void main_add(sim_sums *all, const sim_sums *one)
{
    unsigned i;

    all->histories += one->histories;
    all->operations += one->operations;
    all->acquired += one->acquired;
    all->found += one->found;
    all->violations += one->violations;
    all->simulated_us += one->simulated_us;
    for (i = 0; i < SIM_MET_COUNT; i++)
        all->met[i] += one->met[i];
}

/* Each worker is a process of its own, since there is one world in each. */
static bool main_share(const sim_command *command, sim_sums *all)
{
    int ends[MAIN_JOBS];
    bool good = true;
    unsigned i;

    memset(all, 0, sizeof *all);
    for (i = 0; i < command->jobs; i++) {
        int pair[2];
        sim_sums sums;

        if (pipe(pair) != 0)
            return false;
        if (fork() == 0) {
            main_work(command, i, &sums);
            _exit(write(pair[1], &sums, sizeof sums) != (ssize_t)sizeof sums);
        }
        close(pair[1]);
        ends[i] = pair[0];
    }
    for (i = 0; i < command->jobs; i++) {
        sim_sums sums;

        /* less than a pipe holds: it comes at once, or the worker died */
        if (read(ends[i], &sums, sizeof sums) == (ssize_t)sizeof sums)
            main_add(all, &sums);
        else
            good = false;
        close(ends[i]);
    }
    while (wait(NULL) > 0) {
    }
    return good;
}

static double main_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static unsigned main_print_met(const sim_sums *all)
{
    unsigned missing = 0;
    unsigned i;

    for (i = 0; i < SIM_MET_COUNT; i++) {
        printf("%12llu  %s\n", (unsigned long long)all->met[i], sim_cover_words[i]);
        missing += all->met[i] == 0;
    }
    return missing;
}

static int main_many(const sim_command *command)
{
    const sim_profile *profile = command->options.profile;
    double begin = main_seconds();
    double took;
    bool good;
    sim_sums all;

    good = main_share(command, &all);
    took = main_seconds() - begin;
    if (!good)
        printf("a worker died\n");
    if (command->all_met && main_print_met(&all) > 0) {
        printf("what was never met has shown nothing\n");
        good = false;
    }
    printf("%s: %llu histories in %.1f s, %.0f per second, each %.0f operations, %.0f acquired, "
           "%.1f s; %.0f simulated seconds per second\n",
           profile->name, (unsigned long long)all.histories, took, (double)all.histories / took,
           (double)all.operations / (double)all.histories,
           (double)all.acquired / (double)all.histories,
           (double)all.simulated_us / 1e6 / (double)all.histories,
           (double)all.simulated_us / 1e6 / took);
    if (profile->finds != SIM_FINE)
        printf("%s: %s found in %llu\n", profile->name, sim_rule_name(profile->finds),
               (unsigned long long)all.found);
    if (all.violations > 0)
        printf("%s: %llu broke a rule: sim --profile %s --seed N --minimise\n", profile->name,
               (unsigned long long)all.violations, profile->name);
    return !good || all.violations > 0 || (profile->finds != SIM_FINE && all.found == 0);
}

int main(int argc, char **argv)
{
    sim_command command;

    if (!main_parse(&command, argc, argv))
        return usage();
    return command.first == command.last ? main_one(&command) : main_many(&command);
}
