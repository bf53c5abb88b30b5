/* SPDX-License-Identifier: MIT
 *
 * judges.h: what must hold, and what was met: the second half of world.h, which includes it.
 */
#ifndef SIM_JUDGES_H
#define SIM_JUDGES_H

/* ---- check.c ----------------------------------------------------------------------------- */

uint32_t check_new_serial(sim_lock *lock);
/* Numbers of a token of resplock's; false: somebody else's. */
bool check_parse(const char *token, size_t len, uint32_t *serial, uint32_t *attempt);
/* Token that a lock uses now; false: none yet. */
bool check_token_of(const sim_lock *lock, uint32_t *serial, uint32_t *attempt);
bool check_is_current(const sim_lock *lock, uint32_t serial, uint32_t attempt);
/* On how many of a process's nodes the key holds it, until_us: true time that it must outlast. */
unsigned check_count(const sim_lock *lock, const char *token, int64_t until_us);
/* A server's data changed. */
void check_changed(sim_host *host, const model_key *key, model_change change);
/* The key was changed by hand: its holder, or the next one, can't be blamed. */
void check_meddled(unsigned key);
/* Checks how a lock is held now. */
void check_hold(sim_lock *lock);
/* That this attempt's token may be left behind is known. */
bool check_is_excused(uint32_t serial, uint32_t attempt);
/* A command of the lock is executed, with a token of it. */
void check_command(sim_lock *lock, model_command command, uint32_t serial);
void check_bury(const sim_lock *lock, uint32_t serial, uint32_t after, uint32_t upto);
/* Notes whether the token is on a quorum now. */
void check_note(sim_lock *lock);
int check_key(const char *key, size_t len);

/* ---- judge.c ----------------------------------------------------------------------------- */

/* A follower says who leads. */
void judge_follower(sim_lock *lock);
void judge_begin(sim_lock *lock, rlk_operation operation, int64_t time_ms);
/* The result of a call, or the one that an event brought. */
void judge_result(sim_lock *lock, rlk_operation operation, rlk_result result);
void judge_event(sim_process *process, const rlk_event *event);
/* The lock says it, and it is true. */
void judge_says(bool true_, const sim_lock *lock, const char *what);
/* What was its token last may be left behind, and is known to. */
void judge_exempt(const sim_lock *lock);
/* After each step of a process: nothing is late, and deadlines advance. */
void judge_step(sim_process *process);

/* ---- event.c ----------------------------------------------------------------------------- */

/* An event that is no result of an operation. */
void event_come(sim_lock *lock, const rlk_event *event);
/* A leader that lost follows again. */
void event_follow(sim_lock *lock);
/* SETTLED is due for an operation that ended so, or isn't. */
void event_expect(sim_lock *lock, rlk_operation operation, rlk_result result);
/* After each step of a process: nothing is overdue. */
void event_step(const sim_lock *lock, int64_t now_ms);

/* ---- notification.c ---------------------------------------------------------------------- */

/* A command of the lock leaves. */
void notify_sends(sim_lock *lock, unsigned node);
/* It has an answer: an integer, or an error's number. */
void notify_answered(sim_lock *lock, unsigned node, int64_t number);
/* A command of a process on a key is about to be executed; token: NULL, or what it is about. */
void notify_executed(sim_host *host, const sim_stream *stream, model_command command,
                     const char *name, const char *token);
/* A key changed: it is free, or was taken from whom it belonged to. */
void notify_changed(sim_host *host, const model_key *key, model_change change);
/* The pushes of a server have left. */
void notify_flushed(const sim_host *host);
/* A push leaves; key NULL: any key. False: it gets lost. */
bool notify_pushed(const sim_host *host, const sim_stream *stream, const char *key);
/* A key leaves the tracking table. */
void notify_evicted(const sim_host *host, const model_key *key);
/* A process may delete the lock's key, and will get no answer. */
void notify_freed(const sim_lock *lock);
/* It was acquired. */
void notify_held(const sim_lock *lock);
/* After each step of a process. */
void notify_step(sim_process *process);
/* It begins. */
void notify_forget(const sim_process *process);

/* ---- queue.c ----------------------------------------------------------------------------- */

/* The lock begins to wait, for that time (RLK_FOREVER). The token before: of its numbers. */
void queue_begins(sim_lock *lock, int64_t time_ms, uint32_t serial, uint32_t attempt);
/* An operation with the key begins, or ends. */
void queue_turned(sim_lock *lock);
/* What may be a reason for attempts, counted until now. */
sim_toll queue_toll(const sim_lock *lock);
/* A lock of the same process has notified the lock that the key may be free. */
void queue_handed(sim_lock *lock);
/* An attempt of it begins. */
void queue_tries(sim_lock *lock);
/* Its application releases the lock that it holds; false: it has lost it, or it is deleted. */
void queue_released(const sim_lock *lock, bool is);
void queue_granted(sim_lock *lock);
/* None that waits for longer is passed over; what: by what it does. */
void queue_in_turn(const sim_lock *lock, const char *what);
/* After each step of a process. */
void queue_check(const sim_lock *lock);
/* The shortest recheck_max_ms of the locks that may be the first. */
int64_t queue_recheck_ms(const sim_lock *lock);
/* Since the acquire began nothing failed, and nothing was refused. */
bool queue_was_smooth(const sim_lock *lock);
/* The commands of an acquire that ends are not more than there were reasons for. */
void queue_cost(const sim_lock *lock);

/* ---- decision.c -------------------------------------------------------------------------- */

void decision_before(sim_process *process);
void decision_after(sim_process *process);
void decision_drive(const sim_process *process);
void decision_result(const sim_lock *lock, rlk_operation operation, rlk_result result);

/* ---- finish.c ---------------------------------------------------------------------------- */

void finish_history(void);

#endif
