/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "stream_socket.h"
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void stream_parse(stream_address *address, const char *url)
{
    memset(address, 0, sizeof *address);
    if (strncmp(url, "unix://", 7) == 0) {
        address->of.un.sun_family = AF_UNIX;
        snprintf(address->of.un.sun_path, sizeof address->of.un.sun_path, "%s", url + 7);
        address->len = sizeof address->of.un;
    } else if (strncmp(url, "redis://127.0.0.1:", 18) == 0) {
        address->of.in.sin_family = AF_INET;
        address->of.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->of.in.sin_port = htons((uint16_t)atoi(url + 18));
        address->len = sizeof address->of.in;
    } else {
        support_fail("no such address: %s", url);
    }
}

int stream_port(const stream_address *address)
{
    return address->of.any.sa_family == AF_INET ? ntohs(address->of.in.sin_port) : 0;
}

int stream_bind(stream_address *address, bool tcp, const char *path)
{
    int one = 1;
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (address->len == 0) {
        char url[256];

        if (tcp)
            snprintf(url, sizeof url, "redis://127.0.0.1:0");
        else
            snprintf(url, sizeof url, "unix://%s", path);
        stream_parse(address, url);
    }
    if (!tcp)
        unlink(address->of.un.sun_path);
    else if (stream_port(address) != 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, &address->of.any, address->len) != 0)
        support_fail("bind: %s", strerror(errno));
    if (tcp) {
        getsockname(fd, &address->of.any, &address->len);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    return fd;
}

void stream_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int stream_connect(const stream_address *address)
{
    int one = 1;
    int fd = socket(address->of.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    /* Loopback: at once, or refused. */
    while (connect(fd, &address->of.any, address->len) != 0) {
        if (errno != EINTR) {
            close(fd);
            return -1;
        }
    }
    if (address->of.any.sa_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    stream_nonblocking(fd);
    return fd;
}

void stream_close_rst(int fd)
{
    struct linger hard = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}
