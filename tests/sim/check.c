/* SPDX-License-Identifier: MIT
 *
 * What must hold at every instant, seen with all clocks and all servers in view.
 */
#include "world.h"

#include <string.h>

#define CHECK_ROUND_TRIP_MS 15 /* where nothing is wrong */
#define CHECK_LONGEST_MS    6000

/* ---- Tokens ------------------------------------------------------------------------------ */

uint32_t check_new_serial(sim_lock *lock)
{
    sim_serial *serial = &sim.serials[sim.serials_len];

    if (sim.serials_len == SIM_SERIALS - 1)
        world_violate(SIM_SELF, "too many tokens");
    else
        sim.serials_len++;
    memset(serial, 0, sizeof *serial);
    serial->process = (uint8_t)lock->process->index;
    serial->lock = lock->index;
    serial->key = lock->key;
    return (uint32_t)(serial - sim.serials);
}

/* Reads four bytes. The upper halves come first, and the lower ones `apart` digits behind them. */
static bool check_hex(const char *digits, unsigned apart, uint8_t *bytes)
{
    unsigned i;

    for (i = 0; i < 8; i++) {
        char c = digits[i / 2 + i % 2 * apart];
        uint8_t *byte = &bytes[i / 2];

        if (c >= '0' && c <= '9')
            *byte = (uint8_t)(*byte << 4 | (c - '0'));
        else if (c >= 'a' && c <= 'f')
            *byte = (uint8_t)(*byte << 4 | (c - 'a' + 10));
        else
            return false;
    }
    return true;
}

/* The random part begins with the highest byte of the serial, see process.c. The library writes the
 * lowest byte of the attempt first. */
bool check_parse(const char *token, size_t len, uint32_t *serial, uint32_t *attempt)
{
    uint8_t high[4] = {0};
    uint8_t low[4] = {0};

    if (len != RLK_TOKEN_DIGITS || !check_hex(token, 8, high) ||
        !check_hex(token + RLK_TOKEN_DIGITS - 8, 4, low))
        return false;
    *serial = (uint32_t)high[0] << 24 | (uint32_t)high[1] << 16 | (uint32_t)high[2] << 8 | high[3];
    *attempt = (uint32_t)low[3] << 24 | (uint32_t)low[2] << 16 | (uint32_t)low[1] << 8 | low[0];
    return *serial < sim.serials_len;
}

bool check_token_of(const sim_lock *lock, uint32_t *serial, uint32_t *attempt)
{
    char token[RLK_TOKEN_MAX + 1];
    size_t len = rlk_lock_token(&lock->lock, token, sizeof token);

    return len > 0 && check_parse(token, len, serial, attempt);
}

bool check_is_current(const sim_lock *lock, uint32_t serial, uint32_t attempt)
{
    uint32_t own;
    uint32_t own_attempt;

    return check_token_of(lock, &own, &own_attempt) && own == serial && own_attempt == attempt;
}

bool check_is_excused(uint32_t serial, uint32_t attempt)
{
    return sim.serials[serial].exempt || attempt <= sim.serials[serial].reported;
}

int check_key(const char *key, size_t len)
{
    return len == 2 && key[0] == 'k' ? key[1] - '0' : -1;
}

/* ---- Servers ----------------------------------------------------------------------------- */

static const model_key *check_entry(const sim_host *host, unsigned key)
{
    unsigned i;

    for (i = 0; i < host->model.keys_len; i++)
        if (check_key(host->model.keys[i].key, host->model.keys[i].key_len) == (int)key)
            return host->model.keys[i].present ? &host->model.keys[i] : NULL;
    return NULL;
}

/* True time at which it is not there any more. */
static int64_t check_end_us(const sim_host *host, const model_key *key)
{
    return key->when_ms == INT64_MAX ? SIM_NEVER : sim_clock_when(&host->clock, key->when_ms + 1);
}

unsigned check_count(const sim_lock *lock, const char *token, int64_t until_us)
{
    unsigned count = 0;
    unsigned i;

    for (i = 0; i < sim.nodes; i++) {
        const sim_host *host = &sim.hosts[lock->process->server_of[i]];
        const model_key *key = check_entry(host, lock->key);

        count += key != NULL && key->value_len == RLK_TOKEN_DIGITS &&
                 memcmp(key->value, token, RLK_TOKEN_DIGITS) == 0 &&
                 check_end_us(host, key) >= until_us;
    }
    return count;
}

void check_note(sim_lock *lock)
{
    char token[RLK_TOKEN_MAX + 1];

    if (rlk_lock_token(&lock->lock, token, sizeof token) != RLK_TOKEN_DIGITS)
        return;
    if (check_count(lock, token, sim.now_us + 1) >= sim_quorum())
        lock->was_long = true;
    else
        lock->was_short = true;
}

/* ---- Holding ----------------------------------------------------------------------------- */

static bool check_is_held(const sim_lock *lock)
{
    return lock->held && lock->until_us > sim.now_us;
}

static void check_overlap(const sim_lock *lock)
{
    unsigned p;
    unsigned i;

    for (p = 0; p < sim.processes; p++) {
        for (i = 0; i < sim.members[p].locks_len; i++) {
            const sim_lock *other = &sim.members[p].locks[i];

            if (other != lock && other->key == lock->key && check_is_held(other) &&
                !other->tainted && !lock->tainted)
                world_violate(SIM_EXCLUSION,
                              "k%u: process %u lock %u and process %u lock %u, "
                              "which holds it for %lld us yet",
                              lock->key, lock->process->index, lock->index, p, i,
                              (long long)(other->until_us - sim.now_us));
        }
    }
}

static void check_backing(const sim_lock *lock)
{
    unsigned count;

    if (!check_is_held(lock) || lock->tainted || sim.profile->finds != SIM_FINE)
        return;
    count = check_count(lock, lock->token, lock->until_us);
    if (count < sim_quorum())
        world_violate(SIM_BACKING,
                      "k%u: process %u lock %u holds it for %lld us yet, on %u servers", lock->key,
                      lock->process->index, lock->index, (long long)(lock->until_us - sim.now_us),
                      count);
}

/* What was over can't come back, whatever a server says. */
static void check_revival(const sim_lock *lock, const char *token)
{
    if (lock->held && lock->until_us <= sim.now_us && strcmp(lock->token, token) == 0)
        world_violate(SIM_TRUTH, "process %u lock %u: held again, after its deadline",
                      lock->process->index, lock->index);
}

/* It ends sooner than it did, and nobody asked for that. Each answer is reckoned from when it was
 * asked for, and with a drift of its own. */
static void check_cut(const sim_lock *lock, int64_t left_ms, int64_t until_ms)
{
    if (lock->held && !lock->moved && !lock->tainted && sim.profile->finds == SIM_FINE &&
        until_ms < lock->until_ms - left_ms / 50 - CHECK_ROUND_TRIP_MS &&
        (until_ms < lock->until_ms - left_ms / 50 - CHECK_LONGEST_MS ||
         fault_was_sound(lock->process, sim.now_us - 1000 * SIM_MS)))
        world_violate(SIM_TRUTH, "process %u lock %u: its lease is cut by %lld ms",
                      lock->process->index, lock->index, (long long)(lock->until_ms - until_ms));
}

static void check_cap(const sim_lock *lock, int64_t until_ms)
{
    if (lock->max_hold_ms > 0 && !lock->extended && until_ms > lock->since_ms + lock->max_hold_ms)
        world_violate(SIM_TRUTH, "process %u lock %u: held for %lld ms, and the cap is %lld",
                      lock->process->index, lock->index, (long long)(until_ms - lock->since_ms),
                      (long long)lock->max_hold_ms);
}

void check_hold(sim_lock *lock)
{
    int64_t left_ms = rlk_remaining_ms(&lock->lock);
    int64_t until_ms = process_now_ms(lock->process) + left_ms;
    char token[RLK_TOKEN_MAX + 1];

    if (left_ms > 0 ? rlk_valid_until_ms(&lock->lock) != until_ms
                    : process_now_ms(lock->process) < rlk_valid_until_ms(&lock->lock))
        world_violate(SIM_TRUTH, "process %u lock %u: valid until another time than it is held",
                      lock->process->index, lock->index);
    if (left_ms <= 0) {
        lock->owed = lock->owed || lock->held;
        lock->held = false;
        return;
    }
    if (lock->held && until_ms == lock->until_ms)
        return;
    check_cut(lock, left_ms, until_ms);
    check_cap(lock, until_ms);
    (void)rlk_lock_token(&lock->lock, token, sizeof token);
    check_revival(lock, token);
    lock->moved = lock->pending == RLK_OP_EXTEND || lock->pending == RLK_OP_RENEW;
    memcpy(lock->token, token, sizeof lock->token);
    lock->held = true;
    lock->until_ms = until_ms;
    lock->until_us = sim_clock_when(&lock->process->clock, until_ms);
    TRACE("process %u: lock %u: holds k%u for %lld ms: %s", lock->process->index, lock->index,
          lock->key, (long long)left_ms, lock->token);
    check_overlap(lock);
    check_backing(lock);
}

void check_command(sim_lock *lock, model_command command, uint32_t serial)
{
    uint32_t own;
    uint32_t attempt;
    bool is_own = check_token_of(lock, &own, &attempt) && own == serial;

    /* not those of an earlier lock here, which a partition held up until now */
    if (is_own)
        lock->commands++;
    if (command == MODEL_RAISE && lock->pending == RLK_OP_ACQUIRE)
        MET(D_COMPARED);
    if (command == MODEL_RAISE && lock->unsent && lock->process->alive && is_own)
        world_violate(SIM_TRUTH, "process %u lock %u: CANCELLED, and yet it was sent",
                      lock->process->index, lock->index);
}

void check_meddled(unsigned key)
{
    unsigned p;
    unsigned i;

    for (p = 0; p < sim.processes; p++) {
        for (i = 0; i < sim.members[p].locks_len; i++) {
            sim_lock *lock = &sim.members[p].locks[i];

            if (lock->key == key && (lock->held || lock->pending == RLK_OP_ACQUIRE))
                lock->tainted = true;
        }
    }
}

/* ---- Tokens that must not come back ------------------------------------------------------ */

static bool check_is_dead(const sim_serial *serial, uint32_t attempt)
{
    unsigned i;

    for (i = 0; i < serial->dead_len; i++)
        if (attempt > serial->dead[i].after && attempt <= serial->dead[i].upto)
            return true;
    return false;
}

/* What this server has is on a quorum, and was said never to be. */
static void check_dead(const model_key *key)
{
    uint32_t number;
    uint32_t attempt;
    const sim_serial *serial;
    const sim_process *owner;

    if (!check_parse(key->value, key->value_len, &number, &attempt))
        return;
    serial = &sim.serials[number];
    owner = &sim.members[serial->process];
    if (check_is_dead(serial, attempt) && sim.profile->finds == SIM_FINE &&
        check_count(&owner->locks[serial->lock], key->value, sim.now_us + 1) >= sim_quorum())
        world_violate(SIM_TRUTH, "k%u: token %.*s of process %u is there, and was said not to be",
                      serial->key, (int)key->value_len, key->value, serial->process);
}

void check_bury(const sim_lock *lock, uint32_t number, uint32_t after, uint32_t upto)
{
    sim_serial *serial = &sim.serials[number];
    unsigned i;

    if (after >= upto)
        return;
    if (serial->dead_len == COUNT_OF(serial->dead)) {
        memmove(&serial->dead[0], &serial->dead[1], sizeof serial->dead - sizeof serial->dead[0]);
        serial->dead_len--;
    }
    serial->dead[serial->dead_len].after = after;
    serial->dead[serial->dead_len].upto = upto;
    serial->dead_len++;
    for (i = 0; i < sim.nodes; i++) {
        const model_key *key = check_entry(&sim.hosts[lock->process->server_of[i]], lock->key);

        if (key != NULL)
            check_dead(key);
    }
}

/* ---- Changes ----------------------------------------------------------------------------- */

/* Only the process that a token belongs to deletes it, or moves its expiry. */
static void check_owner(const model_key *key)
{
    uint32_t number;
    uint32_t attempt;

    if (sim.executes == NULL)
        return;
    if (!check_parse(key->value, key->value_len, &number, &attempt) ||
        sim.serials[number].process != sim.executes->index)
        world_violate(SIM_FOREIGN, "process %u deletes or raises %.*s", sim.executes->index,
                      (int)key->value_len, key->value);
}

static bool check_is_asking(const sim_lock *lock)
{
    return lock->pending == RLK_OP_RELEASE || lock->pending == RLK_OP_EXTEND ||
           lock->pending == RLK_OP_RENEW || lock->pending == RLK_OP_CHECK;
}

void check_changed(sim_host *host, const model_key *key, model_change change)
{
    int number = check_key(key->key, key->key_len);
    unsigned p;
    unsigned i;

    (void)host;
    if (number < 0)
        return;
    if (change == MODEL_STORED)
        check_dead(key);
    if (change == MODEL_DELETED || change == MODEL_LENGTHENED)
        check_owner(key);
    if (change == MODEL_DELETED && sim.executes == NULL)
        check_meddled((unsigned)number);
    for (p = 0; p < sim.processes; p++) {
        for (i = 0; i < sim.members[p].locks_len; i++) {
            sim_lock *lock = &sim.members[p].locks[i];

            if (lock->key != number)
                continue;
            if (change != MODEL_STORED)
                check_backing(lock);
            /* what the release itself deletes is no reason to say "not ours" */
            if (check_is_asking(lock) &&
                !(lock->pending == RLK_OP_RELEASE && change == MODEL_DELETED &&
                  sim.executes == lock->process))
                check_note(lock);
        }
    }
}
