/* SPDX-License-Identifier: MIT
 *
 * resplock/posix.h: clients on POSIX sockets: open by URL, blocking calls, service by a loop.
 *
 * An rlk_posix_client is an rlk_client and what that needs of the system: sockets, a fork notice,
 * the memory of one connection. Calls named rlk_posix_... take the whole. All others take its
 * `client`:
 *     rlk_posix_open(&redis, "redis://localhost", NULL);
 *     rlk_lock_init(&lock, &redis.client, "foobar", NULL);
 */
#ifndef RESPLOCK_POSIX_H
#define RESPLOCK_POSIX_H

#include "resplock/lock.h"
#include "resplock/socket.h"

#ifdef RLKI_POSIX
#include <poll.h>
#else
struct pollfd; /* socket.h has the error: so that no other follows */
typedef unsigned nfds_t;
#endif
#ifdef RLK_NO_URL
#error "RLK_NO_URL needs RLK_NO_POSIX: rlk_posix_open takes a URL"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Most descriptors of one client. */
#define RLK_MAX_FDS RLK_MAX_NODES

/*
 * Overrides and settings. 0 or NULL in a field means what the URL has, or the default, which net.h
 * and lock.h have under the field's name: RLK_CONNECT_TIMEOUT_MS, 5 s. Texts are not copied and
 * outlive the client, unchanged: see RLK_E_DANGLING at rlk_posix_open.
 */
typedef struct rlk_posix_options {
    const char *user; /* as they are, not percent-encoded; either replaces both of the URL */
    const char *password;
    int db;                           /* > 0: overrides the URL's */
    const char *client_name;          /* no spaces, at most 64 bytes; NULL: "resplock" */
    rlk_credentials_hook credentials; /* overrides user and password */
    void *credentials_context;
    rlk_resolver *resolver; /* of host names; outlives the client. NULL: a blocking call waits for
                               the system's, and a name in a loop is RLK_E_RESOLVER */
    /* TLS for rediss:// and valkeys://, of a backend (resplock/tls/openssl.h ...) that is not
     * closed before the client. With it, a URL of redis:// or valkey:// is refused; unix:// stays
     * plain. */
    const rlk_tls *tls;
    int64_t connect_timeout_ms;   /* of one attempt: name, all addresses, TLS */
    int64_t response_timeout_ms;  /* without any progress of a reply that is due */
    int64_t backoff_min_ms;       /* before the first reconnect: a random time up to this, which */
    int64_t backoff_max_ms;       /* doubles up to this */
    int64_t operation_timeout_ms; /* of all operations but an acquire; and of RLK_TRY */
    int64_t settle_timeout_ms;    /* after the deadline, until the outcome is settled */
    uint32_t drift_ppm;           /* a lease ends earlier by this part of it, per million, */
    int64_t drift_ms;             /* and by this: for the drift of clocks */
    bool resp2_only;
    bool no_tracking; /* no CLIENT TRACKING: waiters retry after pauses */
    bool interrupts;  /* for rlk_posix_interrupt; costs a pipe, and a poll in each blocking call */
    /* A signal handler that interrupts the wait of a blocking call (EINTR) ends the call, as
     * rlk_posix_interrupt does, once it has undone what it sent. A signal that comes between two
     * waits is missed: where none may be, call rlk_posix_interrupt in the handler. False: the call
     * goes on. */
    bool return_on_signal;
    uint32_t max_handoffs; /* as in rlk_client_config */
    rlk_lock **buckets;    /* as in rlk_client_config */
    size_t buckets_len;
    rlk_env env; /* fields that are not NULL replace the system's clock, randomness, waiting, fork
                    notice, words of an errno; context is theirs. `changed` is not used: see
                    rlk_posix_set_loop */
} rlk_posix_options;

/* One server of a client: connection and driver. Fields are private. */
typedef struct rlk_posix_node {
    rlk_conn conn; /* first: of what the client knows, the node is found by it */
    rlk_socket socket;
    const char *user; /* of rlk_posix_options */
    const char *password;
    uint32_t texts; /* hash of both */
} rlk_posix_node;

/* Memory of one node of rlk_posix_open_nodes; the caller's, outlives the client. */
typedef struct rlk_posix_memory {
    rlk_posix_node node;
    rlk_conn_entry *ring; /* at least RLK_CONN_RING_MIN */
    uint16_t ring_len;
    uint8_t *tx; /* at least RLK_CONN_TX_MIN, RLK_CONN_TX_AUTH and RLK_TX_MIN */
    size_t tx_cap;
    uint8_t *rx; /* at least RLK_CONN_RX_MIN */
    size_t rx_cap;
} rlk_posix_memory;

/* Must not be moved while it is open. */
typedef struct rlk_posix_client {
    rlk_client client; /* what locks and all calls of lock.h take; first */
    /* These are private. */
    rlk_system_fork fork_mark;
    rlk_system_wakeup wakeup; /* of rlk_posix_interrupt */
    rlk_loop *loop;           /* of rlk_posix_set_loop; NULL: none */
    bool return_on_signal;
    rlk_posix_node node; /* of rlk_posix_open */
    rlk_conn_entry ring[RLK_NODE_RING];
    uint8_t tx[RLK_NODE_TX];
    uint8_t rx[RLK_NODE_RX];
} rlk_posix_client;

/*
 *     rlk_posix_open(posix, url, options)
 *
 * Opens a client for one server. Parses, touches no network: the first call, or rlk_posix_service,
 * connects. `url`, whose forms rlk_url_parse has, is not copied and outlives the client, unchanged:
 * if it is another text when the client connects, operations end with RLK_E_DANGLING. `options` may
 * be NULL. It need not outlive the call, but its texts outlive the client.
 * RLK_OK, RLK_E_URL_* (RLK_E_URL_TLS, RLK_E_URL_PLAIN: URL and options->tls don't agree),
 * RLK_E_ARGUMENT (also: the init of options->tls has failed), RLK_E_BUFFER (credentials too long
 * for RLK_NODE_TX: use rlk_posix_open_nodes with one node), RLK_E_TIMES, RLK_E_CLOCK, RLK_E_PIPE,
 * RLK_E_LAYOUT. After an error the client is closed, rlk_client_error() says why, and
 * rlk_posix_close is not needed. After RLK_E_LAYOUT that text is empty: library and program do not
 * agree where it is.
 */
#define rlk_posix_open(posix, url, ...)                                                            \
    rlki_posix_open((posix), (url), (__VA_ARGS__), sizeof(rlk_posix_client), RLK_LAYOUT)
RLK_API rlk_result rlki_posix_open(rlk_posix_client *posix, const char *url,
                                   const rlk_posix_options *options, size_t size, uint32_t layout);

/*
 *     rlk_posix_open_nodes(posix, urls, memory, nodes, options)
 *
 * Opens a client for a quorum of `nodes` independent servers: not replicas of each other. Each has
 * its own memory. The texts of `urls` and `memory` outlive the client. Also RLK_E_NODES,
 * RLK_E_SAME_NODE. An even number works but is warned of (rlk_client_warnings). For one server with
 * buffers of another size: nodes 1.
 */
#define rlk_posix_open_nodes(posix, urls, memory, nodes, ...)                                      \
    rlki_posix_open_nodes((posix), (urls), (memory), (nodes), (__VA_ARGS__),                       \
                          sizeof(rlk_posix_client), RLK_LAYOUT)
RLK_API rlk_result rlki_posix_open_nodes(rlk_posix_client *posix, const char *const *urls,
                                         rlk_posix_memory *memory, size_t nodes,
                                         const rlk_posix_options *options, size_t size,
                                         uint32_t layout);

/*
 * Closes the connections and detaches all locks (rlk_client_close). In a forked child: closes the
 * inherited descriptors; the parent's connections go on. Harmless if it is closed already.
 */
RLK_API void rlk_posix_close(rlk_posix_client *posix);

/*
 * Ends a blocking call from a signal handler or another thread. The one call of this library that
 * is async-signal-safe and that any thread may make while another uses the client; it keeps errno.
 * The client was opened with `interrupts`, and stays open during the call.
 *
 * The blocking call that waits ends as by rlk_cancel. An acquire, also one with RLK_FOREVER, is
 * undone, and returns RLK_CANCELLED. It returns RLK_UNKNOWN where that is not answered within
 * settle_timeout_ms. Release and force_release return RLK_UNKNOWN if sent. Extend and renew return
 * RLK_UNKNOWN or RLK_CANCELLED, and the lock stays held. rlk_keep_alive returns RLK_OK while it is.
 * If none waits, the interrupt is kept: the next rlk_acquire of the client returns RLK_CANCELLED
 * and sends nothing. Other calls in between work, so that a lock can still be released. None is
 * lost; several that come before a call has ended count as one. Started forms are not ended, nor
 * is the system's resolver (set another: rlk_posix_options.resolver).
 *
 * RLK_OK; RLK_E_STATE: without `interrupts`; RLK_E_FORKED: in a child, which interrupts nobody;
 * RLK_E_CLOSED, RLK_E_ARGUMENT.
 */
RLK_API rlk_result rlk_posix_interrupt(const rlk_posix_client *posix);

/* ---- Event loops ----
 *
 * resplock/adapters/ has adapters for loops: epoll.h, uv.h, libevent.h, glib.h, sdevent.h. With
 * those, nothing below is called by the application. A loop around poll needs rlk_posix_prepare and
 * rlk_posix_service alone: examples/loop.c.
 *
 * Rules for an adapter of your own (resplock/adapter.h has what is the same in all):
 *
 * 1. Take a turn so: rlk_posix_service, then events (rlk_client_next_event), then
 *    rlk_posix_prepare. Then compare each slot (rlk_posix_fd) with what the loop polls. A poller
 *    belongs to a slot AND a descriptor. Each attempt to connect has a descriptor of its own, often
 *    of the same number, so a number that is the same says nothing.
 *
 * 2. In `closing` remove the poller at once. A loop that polls a closed descriptor polls the next
 *    file of that number, or, where a forked child has a copy, reports it forever.
 *
 * 3. Pass on an error or a hang-up of a descriptor, as POLLERR or POLLHUP: a connect that fails is
 *    one. If the loop reports it apart, and stops polling, pass on POLLERR, and poll anew.
 *
 * 4. Set one timer to timeout_ms of the last rlk_posix_prepare. Count from that call, and not from
 *    a time that the loop has cached. Set it also where there is no descriptor: pauses between
 *    attempts to connect, time-outs and leases end by it.
 *
 * 5. In `changed` have the loop take a turn soon, and do nothing else. So nobody has to compare
 *    descriptors after a call of the library, and events come from the loop's own turn.
 *
 * 6. The handler of an event may call all of this library, and may free client, lock and adapter.
 *    Touch nothing of them after it, unless you know that they are there.
 *
 * 7. In a forked child call rlk_posix_close and nothing else. That notifies by `removed` alone: an
 *    epoll instance is shared with the parent, whose polls go on.
 *
 * 8. A name that is being resolved is polled in the slot of its node, like a stream: no slot is
 *    added. Without a resolver names fail in a loop, so that DNS never blocks it.
 */

/*
 * Has a loop notified: see rlk_loop_calls. NULL removes the client from its loop, which is notified
 * by `removed`: an adapter then serves nobody, and is still to be stopped. `loop` stays where it is
 * until then, or until the client is closed. One client has one loop at most, and a loop may have
 * many clients.
 * RLK_OK; RLK_E_STATE: it has one; RLK_E_FORKED, RLK_E_CLOSED, RLK_E_ARGUMENT.
 */
RLK_API rlk_result rlk_posix_set_loop(rlk_posix_client *posix, rlk_loop *loop);

/* Returns the number of slots, at most RLK_MAX_FDS, and always the same while the client is open: a
 * slot for each node, in their order. 0: the client is not open, or in a forked child. */
RLK_API unsigned rlk_posix_slots(const rlk_posix_client *posix);

/* Returns the descriptor of a slot, and in *events what to poll it for: POLLIN, POLLOUT or both.
 * While a name is asked for, it is that of the resolver, if that has one.
 * -1: it has none now. To be asked after rlk_posix_prepare. */
RLK_API int rlk_posix_fd(const rlk_posix_client *posix, unsigned slot, short *events);

/*
 * For an event loop, before poll: connects, and sends what is ready, without waiting. Fills `fds`
 * with what you must poll for, and *timeout_ms with how long: until the next deadline, 0 if it is
 * past or an event is there, -1 if there is none. timeout_ms may be NULL. Returns the number of
 * descriptors, at most RLK_MAX_FDS. These are 0 and -1 if the client is not open, in a forked
 * child, and with a `cap` below rlk_client_nodes().
 */
RLK_API nfds_t rlk_posix_prepare(rlk_posix_client *posix, struct pollfd *fds, nfds_t cap,
                                 int *timeout_ms);

/* After poll: deadlines, then input and output of the descriptors, of which those with fd -1 are
 * left out. Never blocks (names need a resolver). RLK_OK, RLK_E_FORKED, RLK_E_CLOSED. */
RLK_API rlk_result rlk_posix_service(rlk_posix_client *posix, const struct pollfd *fds, nfds_t n);

#ifdef __cplusplus
}
#endif

#endif
