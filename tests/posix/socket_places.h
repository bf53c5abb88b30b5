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
    rlk_address addresses[RLK_MAX_ADDRESSES];
    int n; /* what it says */
    int asked;
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

FIXTURE int names_resolve(void *context, const char *host, uint16_t port, rlk_address *out, int cap)
{
    names *book = (names *)context;
    int i;

    book->asked++;
    (void)snprintf(book->host, sizeof book->host, "%s", host);
    book->port = port;
    for (i = 0; i < book->n && i < cap; i++) {
        out[i] = book->addresses[i];
    }
    return book->n;
}

FIXTURE void client_init_names(client *c, names *book)
{
    client_init(c, "redis://db.example:7000", names_resolve, book);
}

#endif
