/* SPDX-License-Identifier: MIT
 *
 * The harm that a storm does, chosen by its seed.
 *
 * Without operators exclusion is promised: servers write their data before each reply and come back
 * with them, or come back empty when the longest TTL is over.
 */
#define _GNU_SOURCE
#include "director.h"

#include "child.h"
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define AWAY_US ((STORM_TTL_MS + 300) * INT64_C(1000)) /* of a server that forgets */

const char *const fault_names[FAULTS] = {
    [FAULT_KILL_CLIENT] = "SIGKILL to a client",
    [FAULT_STOP_CLIENT] = "SIGSTOP to a client",
    [FAULT_STOP_SERVER] = "SIGSTOP to a server",
    [FAULT_RESTART_SERVER] = "SIGKILL to a server, back with its data",
    [FAULT_EMPTY_SERVER] = "SIGKILL to a server, back without data after the TTL",
    [FAULT_KILL_CONNECTIONS] = "CLIENT KILL",
    [FAULT_PAUSE_CLIENTS] = "CLIENT PAUSE",
    [FAULT_FLUSH_SCRIPTS] = "SCRIPT FLUSH",
    [FAULT_DELAY] = "delay on the way",
    [FAULT_DRIBBLE] = "one byte at a time",
    [FAULT_CUT] = "connections cut after some bytes",
    [FAULT_CUT_REPLY] = "cut before a command's reply",
    [FAULT_CUT_LATE] = "cut, and the command comes late",
    [FAULT_HOLD] = "nothing gets through",
    [FAULT_HALF_OPEN] = "half-open connections",
    [FAULT_REFUSE] = "connections refused",
    [FAULT_DROP_PUSHES] = "notifications lost",
    [FAULT_DELETE] = "DEL by an operator",
    [FAULT_FLUSH] = "FLUSHALL by an operator",
    [FAULT_OVERWRITE] = "SET by an operator",
};

/* How often each is chosen, of the sum. */
static const unsigned fault_weights[FAULTS] = {
    [FAULT_KILL_CLIENT] = 8,    [FAULT_STOP_CLIENT] = 8,   [FAULT_STOP_SERVER] = 5,
    [FAULT_RESTART_SERVER] = 4, [FAULT_EMPTY_SERVER] = 2,  [FAULT_KILL_CONNECTIONS] = 6,
    [FAULT_PAUSE_CLIENTS] = 4,  [FAULT_FLUSH_SCRIPTS] = 2, [FAULT_DELAY] = 3,
    [FAULT_DRIBBLE] = 2,        [FAULT_CUT] = 5,           [FAULT_CUT_REPLY] = 5,
    [FAULT_CUT_LATE] = 5,       [FAULT_HOLD] = 4,          [FAULT_HALF_OPEN] = 3,
    [FAULT_REFUSE] = 2,         [FAULT_DROP_PUSHES] = 3,   [FAULT_DELETE] = 10,
    [FAULT_FLUSH] = 5,          [FAULT_OVERWRITE] = 5,
};

static int64_t dice_us(storm_world *world, unsigned from_ms, unsigned to_ms)
{
    return (int64_t)(from_ms + dice_roll(&world->dice, to_ms - from_ms)) * 1000;
}

/* ---- Clients ---- */

/* Stops it where it does not write the counter: between its check of the lock and the writing any
 * other could get the lock, which no lock can prevent. False: it writes. */
static bool client_freeze(storm_world *world, size_t i)
{
    storm_client *posix = &world->clients[i];

    if (posix->pid == 0 || posix->stopped)
        return false;
    child_stop(posix->pid);
    if (board_get(&world->board->slots[i].writing) == 0)
        return true;
    child_continue(posix->pid);
    return false;
}

static void client_thaw(storm_world *world, size_t i)
{
    world->clients[i].stopped = false;
    world->clients[i].excuse_us = storm_now_us();
    child_continue(world->clients[i].pid);
}

static void client_kill(storm_world *world, size_t i, int64_t until_us)
{
    storm_client *posix = &world->clients[i];

    if (!client_freeze(world, i))
        return;
    kill(posix->pid, SIGKILL);
    (void)child_exit_code(posix->pid);
    posix->pid = 0;
    posix->until_us = until_us;
    referee_killed(world, i, storm_now_us());
}

static void client_stop(storm_world *world, size_t i, int64_t until_us)
{
    if (!client_freeze(world, i))
        return;
    world->clients[i].stopped = true;
    world->clients[i].until_us = until_us;
}

static void clients_tick(storm_world *world, int64_t now_us)
{
    size_t i;

    for (i = 0; i < world->client_count; i++) {
        storm_client *posix = &world->clients[i];

        if (posix->until_us == 0 || posix->until_us > now_us)
            continue;
        posix->until_us = 0;
        if (posix->pid == 0)
            client_start(world, i);
        else if (posix->stopped)
            client_thaw(world, i);
    }
}

/* ---- Servers ---- */

static void server_forget_data(const server *redis)
{
    char path[512];

    snprintf(path, sizeof path, "%s/appendonlydir", server_folder(redis));
    support_folder_remove(path);
}

static void servers_tick(storm_world *world, int64_t now_us)
{
    size_t i;

    for (i = 0; i < world->nodes; i++) {
        storm_server *it = &world->servers[i];

        if (it->proxy_until_us != 0 && it->proxy_until_us <= now_us) {
            it->proxy_until_us = 0;
            proxy_clear(it->middle);
            proxy_release(it->middle);
        }
        if (it->state == SERVER_UP || it->until_us > now_us)
            continue;
        if (it->state == SERVER_STOPPED)
            server_resume(it->redis);
        if (it->state == SERVER_EMPTY)
            server_forget_data(it->redis);
        if (it->state == SERVER_DOWN || it->state == SERVER_EMPTY)
            server_restart(it->redis, true);
        it->state = SERVER_UP;
    }
}

/* One that is up; mostly only while a quorum of others is. NULL: none. */
static storm_server *server_to_harm(storm_world *world)
{
    storm_server *it = &world->servers[dice_roll(&world->dice, (unsigned)world->nodes)];
    unsigned more = dice_roll(&world->dice, 6);
    size_t away = 0;
    size_t i;

    for (i = 0; i < world->nodes; i++)
        if (world->servers[i].state != SERVER_UP)
            away++;
    if (it->state != SERVER_UP || (world->nodes > 1 && away >= world->nodes / 2 && more != 0))
        return NULL;
    return it;
}

static void server_harm(storm_world *world, storm_fault fault, storm_server *it)
{
    int64_t now_us = storm_now_us();

    switch (fault) {
    case FAULT_STOP_SERVER:
        it->state = SERVER_STOPPED;
        it->until_us = now_us + dice_us(world, 30, STORM_TTL_MS * 3 / 2);
        server_pause(it->redis);
        break;
    case FAULT_RESTART_SERVER:
        it->state = SERVER_DOWN;
        it->until_us = now_us + dice_us(world, 1, 600);
        server_kill(it->redis);
        break;
    case FAULT_EMPTY_SERVER:
        server_kill(it->redis);
        it->state = SERVER_EMPTY;
        it->until_us = storm_now_us() + AWAY_US;
        break;
    case FAULT_KILL_CONNECTIONS:
        server_integer(it->redis, "CLIENT KILL TYPE normal SKIPME yes");
        break;
    case FAULT_PAUSE_CLIENTS: {
        int64_t pause_us = dice_us(world, 20, 600);
        bool writes = dice_roll(&world->dice, 2) == 0;

        server_do(it->redis, "CLIENT PAUSE %lld %s", (long long)pause_us / 1000,
                  writes ? "WRITE" : "ALL");
        it->state = SERVER_PAUSED;
        it->until_us = now_us + pause_us + 20000;
        break;
    }
    default:
        server_do(it->redis, "SCRIPT FLUSH");
        break;
    }
}

/* ---- The way ---- */

static void proxy_harm(storm_world *world, storm_fault fault, storm_server *it)
{
    static const char *const commands[] = {"SET", "EVALSHA", "CLIENT", "HELLO"};
    const char *command = commands[dice_roll(&world->dice, 4)];
    proxy_direction direction = dice_roll(&world->dice, 2) != 0 ? PROXY_TO_SERVER : PROXY_TO_CLIENT;
    unsigned number = dice_roll(&world->dice, 400);
    proxy_ending ending = dice_roll(&world->dice, 2) != 0 ? PROXY_FIN : PROXY_RST;
    proxy *middle = it->middle;

    it->proxy_until_us = storm_now_us() + dice_us(world, 50, 1500);
    switch (fault) {
    case FAULT_DELAY:
        proxy_delay(middle, direction, 1 + (int)number % 60);
        break;
    case FAULT_DRIBBLE:
        proxy_dribble(middle, direction, 50 + (int)number);
        break;
    case FAULT_CUT:
        proxy_cut_after(middle, direction, number, ending, number % 2 == 0);
        break;
    case FAULT_CUT_REPLY:
        proxy_on_bytes(middle, command, 1, PROXY_CUT_REPLY, ending, "", 0);
        break;
    case FAULT_CUT_LATE:
        proxy_on_bytes(middle, command, 1, PROXY_CUT_LATE, ending, "", 0);
        break;
    case FAULT_HOLD:
        proxy_hold_after(middle, direction, number);
        break;
    case FAULT_HALF_OPEN:
        proxy_half_open(middle);
        break;
    case FAULT_REFUSE:
        proxy_refuse(middle, true);
        proxy_cut(middle, ending);
        break;
    default:
        proxy_drop_pushes(middle, true);
        break;
    }
}

/* ---- Operators ---- */

static void meddle(storm_world *world, storm_fault fault, storm_server *it)
{
    storm_meddling *meddling = &world->meddlings[world->meddling_len++ % MEDDLINGS];

    meddling->begin_us = storm_now_us();
    meddling->end_us = INT64_MAX;
    if (fault == FAULT_DELETE)
        server_integer(it->redis, "DEL " STORM_KEY);
    else if (fault == FAULT_FLUSH)
        server_do(it->redis, "FLUSHALL");
    else
        server_do(it->redis, "SET " STORM_KEY " operator PX 200");
    meddling->end_us = storm_now_us();
}

/* ---- All of it ---- */

static storm_fault fault_choose(storm_world *world)
{
    unsigned sum = 0;
    unsigned at;
    size_t i;

    for (i = 0; i < FAULTS; i++)
        if (i < FAULT_DELETE || world->operators)
            sum += fault_weights[i];
    at = dice_roll(&world->dice, sum);
    for (i = 0; at >= fault_weights[i]; i++)
        at -= fault_weights[i];
    return (storm_fault)i;
}

static void fault_do(storm_world *world, storm_fault fault)
{
    size_t posix = dice_roll(&world->dice, (unsigned)world->client_count);
    int64_t now_us = storm_now_us();
    storm_server *it;

    world->faults[fault]++;
    if (fault == FAULT_KILL_CLIENT) {
        client_kill(world, posix, now_us + dice_us(world, 1, 500));
        return;
    }
    if (fault == FAULT_STOP_CLIENT) {
        client_stop(world, posix, now_us + dice_us(world, 20, STORM_TTL_MS * 9 / 5));
        return;
    }
    it = server_to_harm(world);
    if (it == NULL) {
        world->faults[fault]--;
        return;
    }
    if (fault >= FAULT_DELETE)
        meddle(world, fault, it);
    else if (fault >= FAULT_DELAY)
        proxy_harm(world, fault, it);
    else
        server_harm(world, fault, it);
}

void faults_tick(storm_world *world, int64_t now_us)
{
    clients_tick(world, now_us);
    servers_tick(world, now_us);
    if (world->phase == PHASE_FAULTS && world->next_fault_us <= now_us) {
        fault_do(world, fault_choose(world));
        world->next_fault_us = now_us + dice_us(world, 50, 600);
    }
}

void faults_mend(storm_world *world)
{
    size_t i;

    for (i = 0; i < world->nodes; i++) {
        storm_server *it = &world->servers[i];

        proxy_clear(it->middle);
        proxy_release(it->middle);
        it->proxy_until_us = 0;
        /* one that forgets stays away for its time; one that pauses goes on without us */
        if (it->state == SERVER_STOPPED || it->state == SERVER_DOWN)
            it->until_us = 0;
    }
    for (i = 0; i < world->client_count; i++)
        if (world->clients[i].until_us != 0)
            world->clients[i].until_us = 1;
    faults_tick(world, storm_now_us());
}
