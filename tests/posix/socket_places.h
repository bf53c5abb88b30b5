/* SPDX-License-Identifier: MIT
 *
 * socket_places.h: where a connection may lead to: addresses at which nobody answers, and names.
 */
#ifndef TEST_SOCKET_PLACES_H
#define TEST_SOCKET_PLACES_H

#include "socket_fixture.h"

/* ---- Places where nobody answers --------------------------------------------------------- */

/* A port that is taken, and where nobody listens: connecting is refused. */
typedef struct silent {
    int fd;
    uint16_t port;
} silent;

FIXTURE void silent_init(silent *s, int family)
{
    s->fd = listener_new(family, 0, &s->port, false);
    assert_true(s->fd >= 0);
}

/* A port whose queue is full: the kernel drops what knocks there (fault 28). */
typedef struct hole {
    int listener;
    uint16_t port;
    int waiting[8];
    size_t waiting_len;
} hole;

FIXTURE void hole_init(hole *h)
{
    struct sockaddr_in name;
    bool full = false;

    memset(h, 0, sizeof *h);
    h->listener = listener_new(AF_INET, 0, &h->port, false);
    assert_true(h->listener >= 0);
    assert_int_equal(listen(h->listener, 0), 0);
    memset(&name, 0, sizeof name);
    name.sin_family = AF_INET;
    name.sin_port = htons(h->port);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (!full) {
        struct pollfd one;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_true(fd >= 0 && h->waiting_len < COUNT_OF(h->waiting));
        h->waiting[h->waiting_len++] = fd;
        (void)connect(fd, (struct sockaddr *)&name, sizeof name);
        one.fd = fd;
        one.events = POLLOUT;
        full = poll(&one, 1, 100) == 0;
    }
}

FIXTURE void hole_end(hole *h)
{
    while (h->waiting_len > 0) {
        assert_int_equal(close(h->waiting[--h->waiting_len]), 0);
    }
    assert_int_equal(close(h->listener), 0);
}

/* ---- A resolver -------------------------------------------------------------------------- */

typedef struct names {
    rlk_resolver resolver; /* first */
    rlk_address addresses[RLK_MAX_ADDRESSES + 1];
    int n;           /* what it says */
    bool later;      /* not in start: when the test says so, or in service */
    bool answers;    /* in service */
    const char *why; /* it fails, in these words */
    int sys_errno;
    int fd;              /* of a lookup; -1: none */
    int64_t deadline_ms; /* of a lookup, from its start; 0: none */
    rlk_lookup *lookup;  /* that is open; NULL: none */
    int asked;
    int served;
    int closed;
    char host[256];
    uint16_t port;
} names;

FIXTURE void names_add(names *book, bool is_ipv6, uint16_t port)
{
    rlk_address *address = &book->addresses[book->n++];

    memset(address, 0, sizeof *address);
    address->is_ipv6 = is_ipv6;
    address->port = port;
    if (is_ipv6) {
        address->ip[15] = 1;
    } else {
        address->ip[0] = 127;
        address->ip[3] = 1;
    }
}

/* Answers the lookup that is open. */
FIXTURE void names_answer(names *book)
{
    int i;

    assert_non_null(book->lookup);
    for (i = 0; i < book->n; i++) {
        const rlk_address *address = &book->addresses[i];
        struct sockaddr_in6 v6;
        struct sockaddr_in v4;

        memset(&v6, 0, sizeof v6);
        memset(&v4, 0, sizeof v4);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(address->port);
        memcpy(&v6.sin6_addr, address->ip, 16);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(address->port);
        memcpy(&v4.sin_addr, address->ip, 4);
        rlk_lookup_add(book->lookup, address->is_ipv6 != 0 ? (const struct sockaddr *)&v6
                                                           : (const struct sockaddr *)&v4);
    }
    rlk_lookup_done(book->lookup, book->sys_errno, book->why);
}

FIXTURE void names_start(rlk_resolver *resolver, rlk_lookup *lookup, const char *host,
                         uint16_t port, int64_t now_ms)
{
    names *book = (names *)(void *)resolver;

    assert_null(book->lookup);
    assert_null(lookup->own);
    assert_int_equal(lookup->fd, -1);
    assert_true(lookup->deadline_ms == RLK_NEVER);
    book->lookup = lookup;
    book->asked++;
    (void)snprintf(book->host, sizeof book->host, "%s", host);
    book->port = port;
    lookup->own = book;
    if (book->later) {
        lookup->fd = book->fd;
        lookup->deadline_ms = book->deadline_ms != 0 ? now_ms + book->deadline_ms : RLK_NEVER;
    } else {
        names_answer(book);
    }
}

FIXTURE void names_service(rlk_lookup *lookup, int64_t now_ms)
{
    names *book = (names *)lookup->own;

    (void)now_ms;
    assert_ptr_equal(lookup, book->lookup);
    book->served++;
    lookup->deadline_ms = RLK_NEVER;
    if (book->answers) {
        names_answer(book);
    }
}

FIXTURE void names_close(rlk_lookup *lookup)
{
    names *book = (names *)lookup->own;

    assert_ptr_equal(lookup, book->lookup);
    book->closed++;
    book->lookup = NULL;
}

FIXTURE void names_init(names *book)
{
    static const rlk_resolver_calls names_calls = {names_start, names_service, names_close, false};

    memset(book, 0, sizeof *book);
    book->resolver.calls = &names_calls;
    book->fd = -1;
}

FIXTURE void client_init_names(client *c, names *book)
{
    client_init(c, "redis://db.example:7000", &book->resolver);
}

#endif
