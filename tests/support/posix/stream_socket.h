/* SPDX-License-Identifier: MIT
 *
 * stream_socket.h: sockets, for the proxy and the hostile server.
 */
#ifndef TEST_STREAM_SOCKET_H
#define TEST_STREAM_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

typedef struct stream_address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } of;
    socklen_t len;
} stream_address;

/* "unix:///path" or "redis://127.0.0.1:port"; anything else fails the test. */
void stream_parse(stream_address *address, const char *url);

/* A socket bound to 127.0.0.1 (any port) or to the path; *address is where. */
int stream_bind(stream_address *address, bool tcp, const char *path);

/* A non-blocking connection; -1: refused. */
int stream_connect(const stream_address *address);

int stream_port(const stream_address *address);
void stream_nonblocking(int fd);

/* Closes so that a TCP peer gets RST. */
void stream_close_rst(int fd);

#endif
