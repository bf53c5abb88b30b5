/* SPDX-License-Identifier: MIT
 *
 * From the host of a URL to addresses. Nothing is remembered: every attempt asks anew, so that a
 * name which moves is followed.
 *
 * A resolver writes its answer into the driver, whose lookup it was given, and the driver goes on
 * when it is served next. Nothing of the driver is called in the middle of the resolver's code.
 */
#include "features.h"

#include "resplock/socket.h"

#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Longest host name, and longest literal with its zone. */
#ifndef RLK_RESOLVER_NAME_MAX
#define RLK_RESOLVER_NAME_MAX 255
#endif

/* Adds an address of the answer. The first page is always there. Of the others only the one that is
 * tried is, and replaces it, as far as it goes. */
static void resolver_add(rlk_socket *sock, bool is_ipv6, const void *ip, uint32_t scope,
                         uint16_t port)
{
    unsigned number = sock->lookup.found;
    rlk_address *address = &sock->addresses[number % RLK_MAX_ADDRESSES];

    if (number == UINT16_MAX) {
        return;
    }
    sock->lookup.found++;
    if (number < RLK_MAX_ADDRESSES) {
        sock->addresses_len++;
    } else if (number / RLK_MAX_ADDRESSES != sock->page) {
        return;
    }
    memset(address, 0, sizeof *address);
    memcpy(address->ip, ip, is_ipv6 ? 16 : 4);
    address->is_ipv6 = is_ipv6;
    address->scope = scope;
    address->port = port;
}

/* The number of a zone such as "eth0" or "2"; 0: there is no such interface. */
static uint32_t resolver_zone(const char *zone)
{
    uint32_t number = 0;
    const char *at;

    for (at = zone; *at >= '0' && *at <= '9' && number < 100000000u; at++) {
        number = number * 10 + (uint32_t)(*at - '0');
    }
    return *at == '\0' ? number : (uint32_t)if_nametoindex(zone);
}

/* An address of IPv6 with its zone, "fe80::1%25eth0" (RFC 6874). Cuts `host` at the percent. */
static bool resolver_literal6(rlk_socket *sock, char *host, uint16_t port)
{
    char *percent = strchr(host, '%');
    uint32_t scope = 0;
    uint8_t ip[16];

    if (percent != NULL) {
        *percent = '\0';
        scope = strncmp(percent + 1, "25", 2) == 0 ? resolver_zone(percent + 3) : 0;
        if (scope == 0) {
            return false;
        }
    }
    if (inet_pton(AF_INET6, host, ip) != 1) {
        return false;
    }
    resolver_add(sock, true, ip, scope, port);
    return true;
}

/* Known without asking. 127.0.0.1 first: that is what a server binds to that binds to one only. */
static void resolver_localhost(rlk_socket *sock, uint16_t port)
{
    static const uint8_t loopback4[4] = {127, 0, 0, 1};
    static const uint8_t loopback6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

    resolver_add(sock, false, loopback4, 0, port);
    resolver_add(sock, true, loopback6, 0, port);
}

/* The driver whose lookup it is. */
static rlk_socket *resolver_socket(rlk_lookup *lookup)
{
    return (rlk_socket *)(void *)lookup;
}

void rlk_lookup_add(rlk_lookup *lookup, const struct sockaddr *address)
{
    rlk_socket *sock = resolver_socket(lookup);
    uint16_t port = rlk_conn_url(sock->conn)->port;

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;

        resolver_add(sock, false, &v4->sin_addr, 0, v4->sin_port != 0 ? ntohs(v4->sin_port) : port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;

        resolver_add(sock, true, &v6->sin6_addr, v6->sin6_scope_id,
                     v6->sin6_port != 0 ? ntohs(v6->sin6_port) : port);
    }
}

void rlk_lookup_done(rlk_lookup *lookup, int sys_errno, const char *why)
{
    bool outside = lookup->waits;
    const rlk_socket *sock = resolver_socket(lookup);

    lookup->done = true;
    lookup->sys_errno = sys_errno;
    lookup->why = why;
    lookup->waits = false;
    if (outside && sock->loop != NULL) {
        sock->loop->calls->changed(sock->loop);
    }
}

/* In the order of the system (RFC 6724). Without AI_ADDRCONFIG: it hides the addresses of a host
 * that has only its loopback, and a family that can't be reached fails at once when tried. */
static void resolver_ask_system(rlk_socket *sock, const char *host)
{
    struct addrinfo hints;
    struct addrinfo *list = NULL;
    struct addrinfo *info;
    int error;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    error = getaddrinfo(host, NULL, &hints, &list);
    if (error != 0) {
        sock->last_errno = error == EAI_SYSTEM ? errno : 0;
        sock->lookup.why = gai_strerror(error);
        return;
    }
    for (info = list; info != NULL; info = info->ai_next) {
        rlk_lookup_add(&sock->lookup, info->ai_addr);
    }
    freeaddrinfo(list);
}

/* The host as a text that ends with a zero. False: too long for a name. */
static bool resolver_host(const rlk_url *url, char host[RLK_RESOLVER_NAME_MAX + 1])
{
    if (url->host_len > RLK_RESOLVER_NAME_MAX) {
        return false;
    }
    memcpy(host, url->host, url->host_len);
    host[url->host_len] = '\0';
    return true;
}

static rlk_result resolver_result(const rlk_socket *sock)
{
    return sock->addresses_len > 0 ? RLK_OK : RLK_E_RESOLVE;
}

/* What a lookup has come to. */
static rlk_result resolver_answer(rlk_socket *sock)
{
    rlk_lookup *lookup = &sock->lookup;

    lookup->waits = !lookup->done;
    if (lookup->waits) {
        return RLK_PENDING;
    }
    rlki_resolver_end(sock);
    sock->last_errno = lookup->sys_errno;
    if (lookup->why != NULL) {
        return RLK_E_RESOLVE;
    }
    return resolver_result(sock);
}

/* Whom to ask for a name that needs somebody. */
static rlk_result resolver_ask(rlk_socket *sock, const char *host, uint16_t port, bool may_block,
                               int64_t now_ms)
{
    rlk_resolver *resolver = sock->resolver;

    if (resolver != NULL && !(may_block && resolver->calls->loop_only)) {
        sock->lookup.resolver = resolver;
        resolver->calls->start(resolver, &sock->lookup, host, port, now_ms);
        return resolver_answer(sock);
    }
    if (!may_block) {
        return RLK_E_RESOLVER;
    }
    resolver_ask_system(sock, host);
    return resolver_result(sock);
}

/* Returns the page for the next answer: the one behind, if the attempt before came to its last
 * address, and else the same, also after an attempt without an answer. */
static uint8_t resolver_page(const rlk_socket *sock)
{
    unsigned next = sock->page + 1u;

    if (sock->address_next < sock->addresses_len || sock->lookup.found == 0) {
        return sock->page;
    }
    return next * RLK_MAX_ADDRESSES < sock->lookup.found && next <= UINT8_MAX ? (uint8_t)next : 0;
}

rlk_result rlki_resolver_begin(rlk_socket *sock, const rlk_url *url, bool may_block, int64_t now_ms)
{
    char host[RLK_RESOLVER_NAME_MAX + 1];
    uint8_t ip4[4];

    sock->page = resolver_page(sock);
    memset(&sock->lookup, 0, sizeof sock->lookup);
    sock->lookup.fd = -1;
    sock->lookup.deadline_ms = RLK_NEVER;
    sock->addresses_len = 0;
    sock->address_next = 0;
    if (!resolver_host(url, host)) {
        return RLK_E_RESOLVE;
    }
    if (strchr(host, ':') != NULL) {
        return resolver_literal6(sock, host, url->port) ? RLK_OK : RLK_E_RESOLVE;
    }
    if (inet_pton(AF_INET, host, ip4) == 1) {
        resolver_add(sock, false, ip4, 0, url->port);
    } else if (strcasecmp(host, "localhost") == 0) {
        resolver_localhost(sock, url->port);
    } else {
        return resolver_ask(sock, host, url->port, may_block, now_ms);
    }
    return RLK_OK;
}

rlk_result rlki_resolver_go_on(rlk_socket *sock, bool ready, bool may_block, int64_t now_ms)
{
    rlk_lookup *lookup = &sock->lookup;
    const rlk_resolver_calls *calls = lookup->resolver->calls;

    if (!lookup->done && may_block && calls->loop_only) { /* no loop runs in a blocking call */
        rlki_resolver_end(sock);
        return rlki_resolver_begin(sock, rlk_conn_url(sock->conn), true, now_ms);
    }
    if (!lookup->done && (ready || now_ms >= lookup->deadline_ms) && calls->service != NULL) {
        lookup->waits = false;
        calls->service(lookup, now_ms);
    }
    return resolver_answer(sock);
}

const char *rlki_resolver_why(const rlk_socket *sock)
{
    return sock->lookup.why != NULL ? sock->lookup.why : "it has no address";
}

void rlki_resolver_end(rlk_socket *sock)
{
    rlk_lookup *lookup = &sock->lookup;
    const rlk_resolver *resolver = lookup->resolver;

    if (resolver == NULL) {
        return;
    }
    lookup->resolver = NULL;
    if (lookup->fd >= 0 && sock->loop != NULL) {
        sock->loop->calls->closing(sock->loop, sock->slot, lookup->fd);
    }
    if (resolver->calls->close != NULL) {
        resolver->calls->close(lookup);
    }
    lookup->fd = -1;
}
