/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <stdarg.h>
#include <string.h>

#define WORLD_SOURCES (2 * SIM_PROCESSES + 1) /* each process twice, and the faults */

sim_world sim;
uint64_t sim_met[SIM_MET_COUNT];

const char *const sim_cover_words[SIM_MET_COUNT] = {
#define SIM_COVER_WORDS(name, words) words,
    SIM_COVERS(SIM_COVER_WORDS)
#undef SIM_COVER_WORDS
};

const char *sim_rule_name(sim_rule rule)
{
    static const char *const names[SIM_RULES] = {
        "fine",  "exclusion", "backing",  "truth", "foreign", "leak",     "ending",
        "reply", "advance",   "liveness", "wake",  "share",   "simulator"};

    return names[rule];
}

/* ---- Clocks ------------------------------------------------------------------------------ */

static int64_t clock_us(const sim_clock *clock, int64_t true_us)
{
    return clock->offset_us + true_us + true_us * clock->ppm / 1000000;
}

int64_t sim_clock_ms(const sim_clock *clock, int64_t true_us)
{
    return clock_us(clock, true_us) / SIM_MS;
}

int64_t sim_clock_when(const sim_clock *clock, int64_t local_ms)
{
    int64_t ahead_us = local_ms * SIM_MS - clock->offset_us;
    int64_t true_us = ahead_us - ahead_us * clock->ppm / (1000000 + clock->ppm);

    while (clock_us(clock, true_us) < local_ms * SIM_MS)
        true_us++;
    while (clock_us(clock, true_us - 1) >= local_ms * SIM_MS)
        true_us--;
    return true_us;
}

/* ---- Events: a binary heap --------------------------------------------------------------- */

static bool event_before(const sim_event *a, const sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void world_at(int64_t at_us, sim_event_kind kind, unsigned who, uint32_t arg)
{
    sim_event event;
    unsigned at = sim.events_len;

    if (at == SIM_EVENTS) {
        world_violate(SIM_SELF, "too many events");
        return;
    }
    event.at_us = at_us > sim.now_us ? at_us : sim.now_us;
    event.order = sim.order++;
    event.kind = (uint8_t)kind;
    event.who = (uint16_t)who;
    event.arg = arg;
    sim.events_len++;
    while (at > 0 && event_before(&event, &sim.events[(at - 1) / 2])) {
        sim.events[at] = sim.events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim.events[at] = event;
}

static sim_event world_next(void)
{
    sim_event first = sim.events[0];
    const sim_event *last = &sim.events[--sim.events_len];
    unsigned at = 0;

    for (;;) {
        unsigned child = 2 * at + 1;

        if (child >= sim.events_len)
            break;
        if (child + 1 < sim.events_len && event_before(&sim.events[child + 1], &sim.events[child]))
            child++;
        if (!event_before(&sim.events[child], last))
            break;
        sim.events[at] = sim.events[child];
        at = child;
    }
    sim.events[at] = *last;
    return first;
}

static void world_handle(const sim_event *event)
{
    sim_process *process = &sim.members[event->who % SIM_PROCESSES];

    switch (event->kind) {
    case SIM_EVENT_PIPE:
        net_arrive(event->who / 2u, (sim_way)(event->who % 2u), event->arg);
        break;
    case SIM_EVENT_CONNECT:
        process_connected(event->who / SIM_SERVERS, event->who % SIM_SERVERS, event->arg);
        break;
    case SIM_EVENT_TIMER:
        if (process->timer_us == event->at_us) {
            process->timer_us = SIM_NEVER;
            process_wake(process);
        }
        break;
    case SIM_EVENT_RESUME:
        if (process->stalled && process->stall_end_us == event->at_us)
            process_resume(process);
        break;
    case SIM_EVENT_REBORN:
        if (!process->alive)
            process_begin(process);
        break;
    case SIM_EVENT_ACT:
        if (!sim.finishing && process->births == event->arg && process->alive)
            actor_act(process);
        break;
    case SIM_EVENT_SERVER:
        host_event(event->who);
        break;
    case SIM_EVENT_FAULT:
        fault_happen();
        break;
    default: /* SIM_EVENT_MEND */
        fault_mend(event->who);
        break;
    }
}

void world_run(int64_t until_us, unsigned operations)
{
    while (sim.verdict->rule == SIM_FINE && sim.events_len > 0 && sim.events[0].at_us <= until_us &&
           (operations == 0 || sim.operations < operations)) {
        sim_event event = world_next();

        sim.now_us = event.at_us;
        sim.verdict->print = sim_mix(sim.verdict->print ^ (uint64_t)event.at_us << 20 ^
                                     (uint64_t)event.kind << 16 ^ event.who);
        world_handle(&event);
    }
    if (operations == 0 && sim.verdict->rule == SIM_FINE && sim.now_us < until_us)
        sim.now_us = until_us;
}

/* ---- Decisions --------------------------------------------------------------------------- */

bool world_decide(unsigned source, unsigned number, sim_rng *rng)
{
    /* A number that stays its own when others are left out. */
    unsigned decision = number * WORLD_SOURCES + source;
    const sim_options *options = sim.options;

    *rng = sim_rng_new(sim.seed, 1000 + decision, &sim.schedule);
    if (decision >= sim.verdict->decisions)
        sim.verdict->decisions = decision + 1;
    return decision / 8 >= options->skip_len ||
           (options->skip[decision / 8] >> decision % 8 & 1) == 0;
}

/* ---- Words ------------------------------------------------------------------------------- */

void world_violate(sim_rule rule, const char *format, ...)
{
    sim_verdict *verdict = sim.verdict;
    int len;
    va_list arguments;

    if (verdict->rule != SIM_FINE)
        return;
    verdict->rule = rule;
    len = snprintf(verdict->text, sizeof verdict->text,
                   "at %lld.%06lld: %s: ", (long long)(sim.now_us / 1000000),
                   (long long)(sim.now_us % 1000000), sim_rule_name(rule));
    va_start(arguments, format);
    (void)vsnprintf(verdict->text + len, sizeof verdict->text - (size_t)len, format, arguments);
    va_end(arguments);
    TRACE("VIOLATION: %s", verdict->text);
}

const char *world_operation_name(rlk_operation operation)
{
    static const char *const names[] = {"nothing", "acquire", "release", "extend",
                                        "renew",   "check",   "query",   "force_release"};

    return names[operation];
}

void world_trace(const char *format, ...)
{
    va_list arguments;

    (void)fprintf(sim.trace, "%4lld.%06lld  ", (long long)(sim.now_us / 1000000),
                  (long long)(sim.now_us % 1000000));
    va_start(arguments, format);
    (void)vfprintf(sim.trace, format, arguments);
    va_end(arguments);
    (void)fputc('\n', sim.trace);
}
