/* SPDX-License-Identifier: MIT
 *
 * resplock/socket.h: the POSIX driver. One connection, one file descriptor, no thread; and the
 * system's clock, entropy and fork notice. Link with nothing but the C library.
 */
#ifndef RESPLOCK_SOCKET_H
#define RESPLOCK_SOCKET_H

#include "resplock/net.h"
#include "resplock/resolver.h"
#include "resplock/tls.h"

/* Nothing below needs what is missing then, so no other error follows. */
#ifdef RLK_NO_POSIX
#error "RLK_NO_POSIX is defined: include neither resplock/socket.h nor resplock/posix.h, and \
compile neither src/net/posix nor src/lock/posix.c"
#elif !defined(RLKI_POSIX)
#error "resplock finds no POSIX headers: define RLK_NO_POSIX for the engine alone"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Most reads, and most writes, of one call of rlk_socket_service. So one busy connection can't
 * starve the others of its loop. */
#ifndef RLK_SOCKET_ROUNDS
#define RLK_SOCKET_ROUNDS 16
#endif

/* An IP address and a port. */
typedef struct rlk_address {
    uint8_t ip[16]; /* 4 or 16 bytes used, network order */
    uint32_t scope; /* of a link-local IPv6 address, else 0 */
    uint16_t port;  /* host order */
    uint8_t is_ipv6;
} rlk_address;

/*
 * The event loop that polls descriptors of this library: first member of a struct of the caller.
 * None of its functions may call the library. They only note what they are notified of, and change
 * what the loop polls.
 */
typedef struct rlk_loop rlk_loop;
typedef struct rlk_loop_calls {
    /* A call of the application may have changed what must be sent, the events or the deadline:
     * the loop serves the client in its next turn. At most once until the next
     * rlk_posix_prepare. Also each time when a resolver answers outside of a call of the client:
     * in a callback of the loop. */
    void (*changed)(rlk_loop *loop);
    /* The descriptor of this slot (a stream, or a name being resolved) is closed after this call.
     * The loop stops polling it now, whether it does poll it or not. The next descriptor of the
     * slot may have the same number. */
    void (*closing)(rlk_loop *loop, unsigned slot, int fd);
    /* The client is closed, or leaves the loop (rlk_posix_set_loop with NULL). The loop stops
     * polling what it still polls, and forgets the client now. Nothing follows. The client's memory
     * may go after the call that this comes from. */
    void (*removed)(rlk_loop *loop);
} rlk_loop_calls;
struct rlk_loop {
    const rlk_loop_calls *calls; /* constant */
};

/* TLS of one driver. Fields are private. */
typedef struct rlk_socket_tls {
    const rlk_tls *backend; /* NULL: none */
    void *session;          /* the backend's; NULL: none yet */
    size_t unfinished;      /* bytes of a write that TLS wants repeated as it was; 0: none */
    int error;              /* errno of the stream below; 0: it works */
    uint8_t flags;
} rlk_socket_tls;

/* Fields are private. Must not be moved while its connection uses it. */
typedef struct rlk_socket {
    rlk_lookup lookup; /* first: of what a resolver is given, the socket is found by it */
    rlk_conn *conn;
    rlk_loop *loop; /* NULL: nobody is notified */
    rlk_resolver *resolver;
    int64_t address_deadline_ms; /* for the address under way */
    int fd;                      /* -1: none */
    int last_errno;
    int wait_ms; /* longest wait of a recv that waits (SO_RCVTIMEO); 0: it does not wait */
    uint8_t state;
    uint8_t addresses_len;
    uint8_t address_next;
    uint8_t page; /* of the answer, which has RLK_MAX_ADDRESSES a page: the one that is tried */
    uint8_t slot; /* number of this descriptor for the loop */
    bool blocked; /* the kernel's send buffer was full */
    int16_t why;  /* the attempt ends with, if no address is left */
    rlk_socket_tls tls;
    rlk_address addresses[RLK_MAX_ADDRESSES];
} rlk_socket;

/*
 * Ties a driver to an initialised connection. Literals and `localhost` (127.0.0.1, then ::1) need
 * no resolver. Of other names `resolver` is asked, which outlives the driver; NULL: in blocking
 * calls the system's getaddrinfo, in loops they fail.
 */
RLK_API void rlk_socket_init(rlk_socket *sock, rlk_conn *conn, rlk_resolver *resolver);

/* Has `loop` notified before the descriptor is closed (`closing`, with this slot; `changed` and
 * `removed` are of clients: rlk_posix_set_loop). NULL: nobody. */
RLK_API void rlk_socket_set_loop(rlk_socket *sock, rlk_loop *loop, unsigned slot);

/* Has all streams over TCP speak TLS, by a backend that outlives the driver: after _init, before
 * the first attempt. A Unix socket stays as it is. The handshake counts as connect time. */
RLK_API void rlk_socket_use_tls(rlk_socket *sock, const rlk_tls *tls);

/* Returns the driver's side of TLS, for a backend's init: rlk_tls.driver. */
RLK_API const rlk_tls_driver *rlk_socket_tls_driver(void);

/* Returns the descriptor to poll, -1 if there is none. It may change with each call of _service:
 * each attempt and each address has its own, and so has a name that is being resolved. */
RLK_API int rlk_socket_fd(const rlk_socket *sock);

/* Returns what to poll it for: POLLIN, POLLOUT or both. */
RLK_API short rlk_socket_events(const rlk_socket *sock);

/* Returns when to call rlk_socket_service even if nothing happened (the driver's own timer, not the
 * connection's), or RLK_NEVER. 0, so at once, where the connection wants to connect or to close, or
 * TLS has bytes that poll doesn't see: so ask after rlk_conn_tick, and call _service after a
 * submit.
 */
RLK_API int64_t rlk_socket_deadline(const rlk_socket *sock);

/*
 * Does all that the connection wants and the descriptor allows, without waiting: connects, writes,
 * closes; reads if `revents` (of poll; 0: only write and connect) says so. may_block: where there
 * is no resolver, or one that needs the program's loop, names are resolved by getaddrinfo here.
 * That can take as long as the system's resolver takes, and counts as connect time. Else a name
 * without resolver fails with RLK_E_RESOLVER. Errors end at the connection (rlk_conn_result). Each
 * address has its part of the connect time: what is left of it, by the addresses left.
 */
RLK_API void rlk_socket_service(rlk_socket *sock, short revents, bool may_block, int64_t now_ms);

/* Closes the descriptor, the lookup of a name and the TLS session, and does not notify the
 * connection. Sends nothing, so it is harmless in a child after fork: the parent's stream goes on.
 */
RLK_API void rlk_socket_close(rlk_socket *sock);

/* ---- The system ---- */

/* Returns milliseconds of a clock that never goes back: CLOCK_BOOTTIME of Linux, which goes on in
 * suspend, else CLOCK_MONOTONIC. RLK_NO_CLOCK_MS if neither can be read. `context` is ignored. */
RLK_API int64_t rlk_system_now_ms(void *context);

/* Fills `buf` with `len` bytes of the system's CSPRNG (getrandom, else /dev/urandom). 0, or -1: no
 * entropy, nothing usable written. */
RLK_API int rlk_system_random(void *context, void *buf, size_t len);

#ifndef RLK_NO_TEXT
/* Returns words for an errno that a connection ended with; NULL for a rare one. `context` is
 * ignored. */
RLK_API const char *rlk_system_errno_text(void *context, int number);
#endif

/*
 * Notices fork. The mark is one page that the kernel empties in a child (MADV_WIPEONFORK). So a
 * check costs no system call. Where the system has none, a check compares the process id.
 */
typedef struct rlk_system_fork {
    volatile uint32_t *mark; /* NULL: compare process ids */
    int64_t pid;
} rlk_system_fork;

RLK_API void rlk_system_fork_init(rlk_system_fork *fork_mark);

/* Returns false in a process that was forked since _init. */
RLK_API bool rlk_system_fork_same(const rlk_system_fork *fork_mark);

/* Gives the page back. */
RLK_API void rlk_system_fork_close(rlk_system_fork *fork_mark);

/* A pipe by which a signal handler or another thread wakes a wait. Fields are private. */
typedef struct rlk_system_wakeup {
    int fds[2]; /* to read, to write; -1: none */
} rlk_system_wakeup;

#ifdef __cplusplus
}
#endif

#endif
