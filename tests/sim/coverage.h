/* SPDX-License-Identifier: MIT
 *
 * coverage.h: what histories have met, counted: operations and their results, faults, and the state
 * decisions of the design. A run in which one of them stays 0 has shown nothing about it.
 */
#ifndef SIM_COVERAGE_H
#define SIM_COVERAGE_H

#include <stdint.h>

/* name, words, and whether the run fails when it stays 0 */
#define SIM_COVERS(X)                                                                              \
    /* operations that ended, by result */                                                         \
    X(ACQUIRED, "acquire: OK")                                                                     \
    X(BUSY, "acquire: BUSY")                                                                       \
    X(TIMED_OUT, "acquire: TIMED_OUT")                                                             \
    X(CANCELLED, "acquire: CANCELLED")                                                             \
    X(ACQUIRE_UNKNOWN, "acquire: UNKNOWN")                                                         \
    X(ACQUIRE_ERROR, "acquire: an error")                                                          \
    X(RELEASED, "release: OK")                                                                     \
    X(RELEASE_NOT_OWNER, "release: NOT_OWNER")                                                     \
    X(RELEASE_GONE, "release: GONE")                                                               \
    X(RELEASE_UNKNOWN, "release: UNKNOWN")                                                         \
    X(RELEASE_LOST, "release: LOST")                                                               \
    X(RELEASE_ERROR, "release: an error")                                                          \
    X(EXTENDED, "extend: OK")                                                                      \
    X(RENEWED, "renew: OK")                                                                        \
    X(SHORTENED, "renew to less: nothing sent")                                                    \
    X(HOLD_UNKNOWN, "extend or renew: UNKNOWN")                                                    \
    X(HOLD_NOT_OWNER, "extend, renew or check: NOT_OWNER")                                         \
    X(HOLD_LOST, "extend, renew or check: LOST")                                                   \
    X(CHECKED, "check: OK")                                                                        \
    X(QUERIED, "query: OK")                                                                        \
    X(QUERY_NOT_HELD, "query: NOT_HELD")                                                           \
    X(FORCED, "force_release: OK")                                                                 \
    X(LOST, "LOST reported")                                                                       \
    X(LOST_EARLY, "... before the lease was over")                                                 \
    X(CAPPED, "... at the cap of the hold time")                                                   \
    X(WAITS, "WAITING")                                                                            \
    X(WAITS_FOR_AN_ERROR, "... for an error's sake")                                               \
    X(SETTLED, "SETTLED: OK")                                                                      \
    X(SETTLED_UNKNOWN, "SETTLED: UNKNOWN")                                                         \
    X(AUTO_RENEWED, "RENEWED")                                                                     \
    X(FOLLOWER_KNOWS, "a follower knows who leads")                                                \
    X(RENEW_UNKNOWN, "RENEW_FAILED: unknown")                                                      \
    X(RENEW_REFUSED, "RENEW_FAILED: refused")                                                      \
    X(LED, "elected")                                                                              \
    X(FOLLOWS_AGAIN, "lost, and follows again")                                                    \
    X(STEPPED_DOWN, "stepped down")                                                                \
    X(RESIGNED_FOLLOWER, "resigned, and only followed")                                            \
    /* what attempts that succeeded were due to */                                                 \
    X(BY_START, "acquired by START")                                                               \
    X(BY_PUSH, "acquired by PUSH")                                                                 \
    X(BY_FLUSH, "acquired by FLUSH")                                                               \
    X(BY_LOCAL, "acquired by LOCAL")                                                               \
    X(BY_EXPIRY, "acquired by EXPIRY")                                                             \
    X(BY_RECHECK, "acquired by RECHECK")                                                           \
    X(BY_RETRY, "acquired by RETRY")                                                               \
    X(BY_YIELD, "acquired by YIELD")                                                               \
    X(BY_RECONNECT, "acquired by RECONNECT")                                                       \
    X(QUEUE, "waited behind another lock of its client")                                           \
    X(HOLD_CANCELLED, "extend, renew or check cancelled")                                          \
    /* what clients do */                                                                          \
    X(CLOSED_WHILE_BUSY, "lock closed with an operation under way")                                \
    X(CLOSED_UNKNOWN, "lock closed, orphan reported")                                              \
    X(CLIENT_ENDED, "client ended in order")                                                       \
    X(PROCESS_CRASHED, "process crashed")                                                          \
    X(POWER_LOST, "machine crashed: half-open connections")                                        \
    X(PROCESS_STALLED, "process stood still")                                                      \
    X(STALLED_BEYOND_TTL, "process stood still for longer than its lease")                         \
    X(INPUT_BEFORE_TICK, "input handed over before the tick")                                      \
    X(SHORT_READ, "read of a few bytes")                                                           \
    X(SHORT_WRITE, "write of a few bytes")                                                         \
    X(FULL, "ring or transmit buffer full: commands wait")                                         \
    /* network */                                                                                  \
    X(CUT, "connection cut")                                                                       \
    X(CUT_IN_COMMAND, "... in the middle of what was sent")                                        \
    X(CUT_IN_REPLY, "... in the middle of a reply")                                                \
    X(HALF_OPEN_CLIENT, "half-open: the client does not know")                                     \
    X(HALF_OPEN_SERVER, "half-open: the server does not know")                                     \
    X(PARTITION, "partition, both ways")                                                           \
    X(PARTITION_ONE_WAY, "partition, one way")                                                     \
    X(CLOG, "one connection's data held up")                                                       \
    X(LOSS, "packet lost: stall")                                                                  \
    X(SLOW_PATH, "long delays")                                                                    \
    X(AFTER_CLOSE, "data executed after its sender had closed")                                    \
    X(CONNECT_REFUSED, "connection refused")                                                       \
    X(CONNECT_SWALLOWED, "connection attempt without answer")                                      \
    /* servers */                                                                                  \
    X(SERVER_STOPPED, "server stopped (SIGSTOP)")                                                  \
    X(PAUSE_WRITE, "CLIENT PAUSE WRITE")                                                           \
    X(PAUSE_ALL, "CLIENT PAUSE ALL")                                                               \
    X(SCRIPT_FLUSHED, "SCRIPT FLUSH")                                                              \
    X(RESTARTED, "server restarted with its data")                                                 \
    X(RESTARTED_EMPTY, "server back without data, after the longest TTL")                          \
    X(LOADING, "LOADING")                                                                          \
    X(READONLY, "READONLY")                                                                        \
    X(OOM, "OOM")                                                                                  \
    X(MISCONF, "MISCONF")                                                                          \
    X(STRANGE, "unknown error, not executed")                                                      \
    X(STRANGE_DONE, "unknown error, executed")                                                     \
    X(KILLED, "clients killed by the operator")                                                    \
    X(FENCED, "connection fenced by CLIENT KILL")                                                  \
    X(FENCE_HIT, "... which was still there")                                                      \
    X(NO_IDS, "server that can't fence")                                                           \
    X(OLD_SERVER, "server without HELLO")                                                          \
    X(UNTRACKED, "server that refuses to notify of changes")                                       \
    X(EXPIRED_LAZILY, "key expired, seen by a command or the cycle")                               \
    /* others */                                                                                   \
    X(FOREIGN, "key held by another library")                                                      \
    X(FOREIGN_FOREVER, "... without expiry")                                                       \
    X(MEDDLED, "key deleted by hand")                                                              \
    X(FLUSHED, "all keys deleted by hand")                                                         \
    X(TOUCHED, "another database's key, or all of them, changed")                                  \
    X(PUSHED, "a push")                                                                            \
    X(PUSHED_NULL, "a push of any key")                                                            \
    X(PUSH_LOST, "a push that got lost")                                                           \
    X(TABLE_FULL, "a key left the tracking table")                                                 \
    X(OVERWRITTEN, "key overwritten by hand")                                                      \
    X(WRONG_TYPE, "key of a wrong type")                                                           \
    /* state decisions */                                                                          \
    X(D_TOO_LATE, "trying x OK too late: undo, new token")                                         \
    X(D_OUT_OF_REACH, "trying x quorum out of reach: the attempt ends")                            \
    X(D_NODE_SKIPPED, "trying x node with an unresolved token: skipped")                           \
    X(D_RIDDEN_OUT, "trying x transport error: ridden out")                                        \
    X(D_COMPARED, "trying x SET lost with its connection: compared on the next")                   \
    X(D_LATE_MINORITY, "acquired x late OK of the minority: counts")                               \
    X(D_MINORITY_NOT_OWNER, "held x a minority says not owner: held on")                           \
    X(D_MINORITY_RENEWED, "held x a minority renewed: kept")                                       \
    X(D_RELEASE_IN_RENEWAL, "release called x renewal in flight: reply ignored")                   \
    X(D_GONE, "releasing x 0 after an unanswered release: GONE")                                   \
    X(D_UNFENCED_RELEASE, "released x an unfenced earlier SET: UNKNOWN")                           \
    X(D_RELEASED_N, "release on N nodes: RELEASED")                                                \
    X(D_NOT_OWNER_N, "release on N nodes: NOT_OWNER")                                              \
    X(D_UNKNOWN_N, "release on N nodes: UNKNOWN")                                                  \
    X(D_LOST_UNDO, "lost: undo on all nodes")                                                      \
    X(D_LATE_OK, "OK on its way at the deadline: undo, TIMED_OUT")                                 \
    X(D_CLOSE_UNKNOWN, "destroy while unknown: the orphan is reported")

typedef enum sim_cover {
#define SIM_COVER_NAME(name, words) SIM_MET_##name,
    SIM_COVERS(SIM_COVER_NAME)
#undef SIM_COVER_NAME
    SIM_MET_COUNT
} sim_cover;

extern const char *const sim_cover_words[SIM_MET_COUNT];

#endif
