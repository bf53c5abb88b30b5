/* SPDX-License-Identifier: MIT
 *
 * What must hold of waiting, seen from the servers. Each change that makes a key free sends a
 * notification to a process, or would have if the process had asked for it. When that has arrived,
 * the first of its locks that wait reads the key again: at once, or after the short pauses that the
 * design has. A timer that happened to be due does not count, so no timer can hide a lost wake-up.
 * A lock that is held and was taken away is compared.
 *
 * Of what a process can't know (a push that was lost, a key that left the tracking table) nothing
 * is expected until it has read the key again. Reads the lock's fields, for the time of its
 * recheck.
 */
#include "world.h"

#include "lock/clock.h"
#include "lock/node_lock.h"
#include "lock/turn.h"
#include "lock/wait_queue.h"

#include <string.h>

/* The longest pause of any lock, whichever was the first of the queue when it began. */
#define NOTIFY_SOON_MS (3 * SIM_RETRY_MS + 1)

/* ---- Notifications of a process ---------------------------------------------------------- */

static sim_link *notify_link(sim_process *process, unsigned server)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++)
        if (process->server_of[i] == server)
            return &process->links[i];
    return NULL;
}

static sim_stream *notify_stream(const sim_link *link)
{
    return link != NULL && link->stream >= 0 ? &sim.streams[link->stream] : NULL;
}

/* Returns true if a change now would notify the process. */
static bool notify_reaches(const sim_process *process, const sim_link *link,
                           const sim_stream *stream)
{
    const model_client *client = &sim.hosts[stream->server].model.clients[stream->slot];

    return process->alive && stream->server_open && !stream->pipes[SIM_DOWN].limited &&
           client->tracking && client->protocol == 3 &&
           rlk_conn_get_state(&link->conn) == RLK_CONN_READY;
}

static void notify_note(sim_word *word, const sim_stream *stream)
{
    int16_t number = (int16_t)(stream - sim.streams);

    if (word->is && word->stream == number && word->generation == stream->generation)
        return; /* the notification of the first change has not arrived yet */
    word->is = true;
    word->arrived = false;
    word->stream = number;
    word->generation = stream->generation;
    word->at_us = SIM_NEVER;
    sim.unsent = true;
}

/* A token that a process has put there. */
static bool notify_is_of(const model_key *key, const sim_process *process)
{
    uint32_t serial;
    uint32_t attempt;

    return check_parse(key->value, key->value_len, &serial, &attempt) &&
           sim.serials[serial].process == process->index;
}

/* A lock of the process waits for the answer to its release. */
static bool notify_is_releasing(const sim_process *process, unsigned server, unsigned key)
{
    unsigned i;
    unsigned n;

    for (i = 0; i < process->locks_len; i++) {
        const rlk_lock *lock = &process->locks[i].lock;

        for (n = 0; process->locks[i].key == key && n < sim.nodes; n++)
            if (process->server_of[n] == server && lock->nodes[n].request.tag == RLKI_RELEASE &&
                lock->nodes[n].request.state != RLK_REQUEST_IDLE)
                return true;
    }
    return false;
}

/* A lock of the process waits there for an answer that will notify others. */
static bool notify_is_busy(const sim_process *process, unsigned node, unsigned key)
{
    unsigned i;

    for (i = 0; i < process->locks_len; i++) {
        const rlk_lock *lock = &process->locks[i].lock;
        unsigned command = lock->nodes[node].request.tag;

        if (process->locks[i].key == key &&
            (command == RLKI_RELEASE || command == RLKI_DEL ||
             (command != RLKI_NO_COMMAND && lock->position == RLKI_POSITION_HOLDER)))
            return true;
    }
    return false;
}

/* NOLOOP: what a process deletes itself it learns by the answer to its release, unless that is an
 * error, or nobody waits for it any more. */
static bool notify_by_answer(const sim_process *process, const sim_host *host, unsigned key)
{
    return !host->model.silent && sim.command == MODEL_RELEASE &&
           notify_is_releasing(process, host->index, key);
}

void notify_changed(sim_host *host, const model_key *key, model_change change)
{
    int number = check_key(key->key, key->key_len);
    bool gone = change == MODEL_DELETED || change == MODEL_EXPIRED || change == MODEL_LOST;
    unsigned p;

    if (number >= 0)
        host->lives[number] += gone;
    for (p = 0; number >= 0 && p < sim.processes; p++) {
        sim_process *process = &sim.members[p];
        const sim_link *link = notify_link(process, host->index);
        const sim_stream *stream = notify_stream(link);
        sim_watch *watch = &sim.watches[p][host->index][number];
        bool own = stream != NULL && stream->server_open && host->model.current == stream->slot;

        if (own)
            process->counts[number].own++;
        if (stream == NULL || !notify_reaches(process, link, stream))
            continue;
        if (own && !notify_by_answer(process, host, (unsigned)number)) {
            watch->missed = true;
            continue;
        }
        if (gone)
            notify_note(&watch->gone, stream);
        if ((gone || change == MODEL_REPLACED) && notify_is_of(key, process) && !own) {
            notify_note(&watch->changed, stream);
            (void)check_parse(key->value, key->value_len, &watch->serial, &watch->attempt);
        }
    }
}

/* Notes where in the stream the notification is, and when it comes. What should have been sent, and
 * was not, would take as long as anything. */
static void notify_leave(sim_word *word)
{
    const sim_stream *stream = &sim.streams[word->stream];
    const sim_pipe *pipe = &stream->pipes[SIM_DOWN];
    const sim_path *path = &sim.paths[stream->process][stream->server];

    if (!word->is || word->at_us != SIM_NEVER)
        return;
    word->mark = pipe->sent;
    word->at_us = sim.now_us + path->delay_us + (int64_t)path->jitter_us;
    if (pipe->used > 0) {
        int64_t last_us = pipe->segments[(pipe->head + pipe->used - 1u) % SIM_SEGMENTS].at_us;

        if (last_us > word->at_us)
            word->at_us = last_us;
    }
}

void notify_flushed(const sim_host *host)
{
    unsigned p;
    unsigned k;

    if (!sim.unsent)
        return;
    sim.unsent = false;
    for (p = 0; p < sim.processes; p++) {
        for (k = 0; k < sim.keys; k++) {
            notify_leave(&sim.watches[p][host->index][k].gone);
            notify_leave(&sim.watches[p][host->index][k].changed);
            notify_leave(&sim.watches[p][host->index][k].pushed);
        }
    }
}

static void notify_pushed_one(const sim_host *host, const sim_stream *stream, unsigned key,
                              bool any)
{
    sim_watch *watch = &sim.watches[stream->process][host->index][key];

    if (host->mute) {
        watch->missed = sim.profile->finds != SIM_WAKE;
        return;
    }
    sim.members[stream->process].counts[key].pushes++;
    watch->pushed.is = false;
    notify_note(&watch->pushed, stream);
    if (any)
        watch->flushes++;
    else
        watch->pushes++;
}

bool notify_pushed(const sim_host *host, const sim_stream *stream, const char *key)
{
    unsigned i;

    if (host->mute)
        MET(PUSH_LOST);
    else if (key == NULL)
        MET(PUSHED_NULL);
    else
        MET(PUSHED);
    for (i = 0; i < sim.keys; i++)
        if (key == NULL || check_key(key, 2) == (int)i)
            notify_pushed_one(host, stream, i, key == NULL);
    return !host->mute;
}

/* A process gets no push of what a command of its own drives out of the table. */
void notify_evicted(const sim_host *host, const model_key *key)
{
    int number = check_key(key->key, key->key_len);
    unsigned current = host->model.current;

    MET(TABLE_FULL);
    if (number < 0 || current == host->hand || current == MODEL_CLIENTS ||
        (key->readers >> current & 1) == 0)
        return;
    sim.watches[sim.streams[host->streams[current]].process][host->index][number].missed = true;
}

/* ---- What it does ------------------------------------------------------------------------ */

void notify_executed(sim_host *host, const sim_stream *stream, model_command command,
                     const char *name, const char *token)
{
    unsigned key = (unsigned)check_key(name, 2);
    const model_key *entry = model_find(&host->model, name, 2);
    sim_process *process = &sim.members[stream->process];
    sim_watch *watch = &sim.watches[stream->process][host->index][key];
    bool compares = command != MODEL_SET && token != NULL && host->model.script;

    if (stream != notify_stream(notify_link(process, host->index)))
        return; /* late, of an earlier connection */
    if (command ==
        MODEL_GET) /* the PTTL that follows is a probe only of a follower: notify_sends */
        process->counts[key].probes--;
    if (command == MODEL_PTTL) {
        process->counts[key].probes++;
        if (watch->missed) /* of that no push will come */
            watch->changed.is = false;
        if (entry == NULL) /* gone since the SET: as good as a push */
            watch->pushes++;
    }
    /* it reads the key */
    if (command == MODEL_PTTL || command == MODEL_SET || compares)
        watch->fresh = false;
    if (command == MODEL_PTTL || command == MODEL_SET)
        watch->gone.is = false;
    if (command == MODEL_SET || compares)
        watch->changed.is = false;
    /* ... and will be notified of changes */
    if (compares && command != MODEL_RELEASE && entry != NULL &&
        entry->value_len == RLK_TOKEN_DIGITS && memcmp(entry->value, token, RLK_TOKEN_DIGITS) == 0)
        watch->gone.is = watch->missed = false;
    if (command == MODEL_PTTL)
        watch->missed = false;
}

static void notify_receive(const sim_link *link, sim_word *word)
{
    const sim_stream *stream = &sim.streams[word->stream];

    if (!word->is)
        return;
    if (link->stream != word->stream || stream->generation != word->generation)
        word->is = false; /* the next connection will bring it */
    else if (!word->arrived)
        word->arrived =
            sim.now_us >= word->at_us && (int32_t)(stream->pipes[SIM_DOWN].read - word->mark) >= 0;
}

static sim_watch *notify_watch(const sim_lock *own, unsigned node)
{
    const sim_process *process = own->process;

    return &sim.watches[process->index][process->server_of[node]][own->key];
}

/* The lock that was the first before, and gave up, may have been refused: the next lock sees the
 * pause that this caused. */
static bool notify_has_inherited_pause(const sim_lock *own)
{
    return own->behind &&
           sim.now_us - own->process->error_us <= (NOTIFY_SOON_MS + SIM_ROUND_TRIP_MS) * SIM_MS;
}

/* Of the one server. */
static void notify_cause(const sim_lock *own, const sim_watch *watch)
{
    const rlk_lock *lock = &own->lock;
    bool wrong = false;

    switch (lock->cause) {
    case RLK_CAUSE_PUSH:
        wrong = watch->pushes == 0;
        break;
    case RLK_CAUSE_FLUSH:
        wrong = watch->flushes == 0;
        break;
    case RLK_CAUSE_RECHECK: /* unless it would have been restrained for longer than that, or began
                               before, and leaves only now */
        wrong = watch->gone.is && watch->gone.arrived && !watch->missed && !watch->restrained &&
                queue_recheck_ms(own) > NOTIFY_SOON_MS &&
                lock->as.wait.attempt_ms == (uint32_t)process_now_ms(own->process);
        break;
    case RLK_CAUSE_RETRY:
        /* not where the attempt before had to wait for its turn to be sent, and never was */
        wrong = rlk_conn_is_tracking(&own->process->links[0].conn) && queue_was_smooth(own) &&
                own->tried + 1 == lock->token && !notify_has_inherited_pause(own);
        break;
    default:
        break;
    }
    if (wrong)
        world_violate(SIM_WAKE, "process %u lock %u: it tries again by %s, and that is no reason",
                      own->process->index, own->index, rlk_cause_name((rlk_cause)lock->cause));
}

/* An attempt must not begin when the lock knows that the nodes left are no quorum. */
static void notify_attempt(const sim_lock *own)
{
    unsigned taken = 0;
    unsigned i;

    for (i = 0; i < sim.nodes; i++)
        taken += (own->seen >> i & 1) != 0 &&
                 sim.hosts[own->process->server_of[i]].lives[own->key] == own->life[i] &&
                 notify_watch(own, i)->pushes == 0; /* else it may not be: a change was notified */
    if (sim.nodes > 1 && taken > sim.nodes - sim_quorum())
        world_violate(SIM_WAKE, "process %u lock %u: tries, and knows that %u nodes are taken",
                      own->process->index, own->index, taken);
}

/* A question of an acquire, which has the server notify: PTTL, or GET and PTTL. */
static bool notify_probes(const sim_lock *own, unsigned node)
{
    unsigned command = own->lock.nodes[node].request.tag;

    return command == RLKI_PROBE ||
           (command == RLKI_QUERY && rlk_lock_operation(&own->lock) == RLK_OP_ACQUIRE);
}

void notify_answered(sim_lock *own, unsigned node, int64_t number)
{
    bool whole = own->lock.nodes[node].request.state == RLK_REQUEST_IDLE; /* by PTTL */

    if (notify_probes(own, node) && whole && number >= -1)
        own->seen |= (uint8_t)(1u << node);
}

/* An attempt uses up the notifications that have arrived. One that is still under way may come when
 * the attempt is over, where that is not answered in time: then it is a reason for the next. */
static void notify_forget_pushes(const sim_link *link, sim_watch *watch)
{
    notify_receive(link, &watch->pushed);
    if (watch->pushed.is && !watch->pushed.arrived)
        return;
    watch->pushes = 0;
    watch->flushes = 0;
}

void notify_sends(sim_lock *own, unsigned node)
{
    unsigned command = own->lock.nodes[node].request.tag;
    sim_watch *watch = notify_watch(own, node);

    if (command == RLKI_SET && own->tried != own->lock.token) {
        notify_attempt(own);
        own->seen = 0;
    }
    if (command == RLKI_QUERY && notify_probes(own, node))
        own->process->counts[own->key].probes++;
    if (command == RLKI_SET || notify_probes(own, node)) {
        own->seen &= (uint8_t) ~(1u << node);
        own->life[node] = sim.hosts[own->process->server_of[node]].lives[own->key];
    }
    if (command == RLKI_SET) {
        queue_in_turn(own, "tries");
        if (sim.nodes == 1 && own->tried != own->lock.token) /* else it is repeated */
            notify_cause(own, watch);
        if (own->tried != own->lock.token)
            queue_tries(own);
    }
    /* the question of who is restrained is part of its attempt */
    if (own->lock.position == RLKI_POSITION_FIRST &&
        (command == RLKI_SET || (notify_probes(own, node) && sim.nodes > 1))) {
        notify_forget_pushes(&own->process->links[node], watch);
        watch->restrained = false;
    }
}

void notify_freed(const sim_lock *own)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++)
        notify_watch(own, i)->missed = true;
}

void notify_held(const sim_lock *own)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++) {
        if (own->lock.nodes[i].vote == RLKI_VOTE_YES) /* the next lock waits for this one's end */
            notify_watch(own, i)->gone.is = false;
        else /* of a token before */
            notify_watch(own, i)->changed.is = false;
        if (own->once) /* an acquire without a wait is not notified while it tries */
            notify_watch(own, i)->missed = true;
    }
}

/* ---- After each step --------------------------------------------------------------------- */

/* Returns true if the server, or the lock of its own process that has the key, notifies it. */
static bool notify_is_expected(const sim_lock *own, unsigned node)
{
    const sim_process *process = own->process;
    const sim_stream *stream = notify_stream(&process->links[node]);
    unsigned i;

    for (i = 0; i < process->locks_len; i++)
        if (process->locks[i].key == own->key &&
            (process->locks[i].lock.position == RLKI_POSITION_HOLDER ||
             process->locks[i].lock.nodes[node].request.tag == RLKI_RELEASE))
            return true;
    return stream == NULL || !stream->server_open ||
           sim.hosts[stream->server].model.clients[stream->slot].tracking;
}

static void notify_waiter(const sim_lock *own, unsigned node)
{
    const rlk_node_lock *node_lock = &own->lock.nodes[node];
    sim_watch *watch = notify_watch(own, node);
    int64_t left_ms =
        rlki_client_clock_of(own->lock.client, own->lock.as.wait.recheck_at_ms[node]) -
        process_now_ms(own->process);
    int64_t most_ms = own->recheck_max_ms > NOTIFY_SOON_MS ? own->recheck_max_ms : NOTIFY_SOON_MS;

    if ((own->lock.as.wait.busy >> node & 1) == 0 || node_lock->request.tag != RLKI_NO_COMMAND ||
        notify_is_busy(own->process, node, own->key) ||
        rlk_conn_get_state(&own->process->links[node].conn) != RLK_CONN_READY)
        return;
    if (left_ms > most_ms + own->retry_ms + 1) /* a TTL that ends before, and a little */
        world_violate(SIM_WAKE, "process %u lock %u: rechecks node %u in %lld ms",
                      own->process->index, own->index, node, (long long)left_ms);
    if (left_ms > NOTIFY_SOON_MS && !notify_is_expected(own, node))
        world_violate(SIM_WAKE,
                      "process %u lock %u: rechecks node %u, which never notifies, in %lld ms",
                      own->process->index, own->index, node, (long long)left_ms);
    if (left_ms > NOTIFY_SOON_MS && watch->fresh)
        world_violate(SIM_WAKE, "process %u lock %u: rechecks node %u, which is back, in %lld ms",
                      own->process->index, own->index, node, (long long)left_ms);
    if (own->lock.as.wait.spurious >= SIM_SPURIOUS || rlki_turn_contended(&own->lock))
        watch->restrained = true;
    if (watch->gone.is && watch->gone.arrived && !watch->missed && left_ms > NOTIFY_SOON_MS)
        world_violate(SIM_WAKE,
                      "process %u lock %u: k%u is free on node %u, and it rechecks in %lld ms",
                      own->process->index, own->index, own->key, node, (long long)left_ms);
}

static void notify_holder(const sim_lock *own, unsigned node)
{
    const rlk_node_lock *node_lock = &own->lock.nodes[node];
    const sim_watch *watch = notify_watch(own, node);

    if (watch->changed.is && watch->changed.arrived && !watch->missed &&
        check_is_current(own, watch->serial, watch->attempt) &&
        (own->lock.as.hold.dirty >> node & 1) == 0 && node_lock->request.tag == RLKI_NO_COMMAND &&
        !rlki_node_lock_is_clean(node_lock))
        world_violate(SIM_WAKE,
                      "process %u lock %u: k%u was taken from it on node %u, and it does "
                      "not compare",
                      own->process->index, own->index, own->key, node);
}

static void notify_lock(const sim_lock *own)
{
    unsigned i;

    switch (own->lock.position) {
    case RLKI_POSITION_FIRST:
        for (i = 0; i < sim.nodes; i++)
            notify_waiter(own, i);
        break;
    case RLKI_POSITION_HOLDER:
        for (i = 0; i < sim.nodes; i++)
            notify_holder(own, i);
        break;
    default:
        break;
    }
}

void notify_step(sim_process *process)
{
    unsigned i;
    unsigned k;

    for (i = 0; i < sim.nodes; i++) {
        sim_link *link = &process->links[i];
        bool fresh = false;

        if (rlk_conn_get_state(&link->conn) != RLK_CONN_READY) {
            link->ready_us = SIM_NEVER;
        } else if (link->ready_us == SIM_NEVER ||
                   link->generation != rlk_conn_generation(&link->conn)) {
            link->ready_us = sim.now_us;
            link->generation = rlk_conn_generation(&link->conn);
            fresh = true;
        }
        for (k = 0; k < sim.keys; k++) {
            sim_watch *watch = &sim.watches[process->index][process->server_of[i]][k];

            watch->fresh = watch->fresh || fresh;
            watch->missed = watch->missed || fresh; /* it has read nothing on this stream */
            notify_receive(link, &watch->gone);
            notify_receive(link, &watch->changed);
            notify_receive(link, &watch->pushed);
        }
    }
    for (i = 0; i < process->locks_len; i++) {
        notify_lock(&process->locks[i]);
        queue_check(&process->locks[i]);
    }
}

void notify_forget(const sim_process *process)
{
    memset(sim.watches[process->index], 0, sizeof sim.watches[process->index]);
}
