/* SPDX-License-Identifier: MIT
 *
 * The board of bare.c as a process: its stream is a socket, its counter the system's clock.
 *     bare 127.0.0.1 6379
 */
#define _DEFAULT_SOURCE
#include "board.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in server;
static int fd = -1;
static board_link link_state;

/* Like a counter that has been running for 49 days: it wraps within the first second. */
uint32_t board_ticks(void)
{
    static bool started;
    static uint32_t offset;
    struct timespec now;
    uint32_t ms;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (uint32_t)((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    if (!started)
        offset = UINT32_MAX - 800 - ms;
    started = true;
    return ms + offset;
}

bool board_random(void *buf, size_t len)
{
    return getrandom(buf, len, 0) == (ssize_t)len;
}

void board_sleep(uint32_t ms)
{
    struct pollfd stream = {.fd = fd, .events = link_state == BOARD_CONNECTING ? POLLOUT : POLLIN};

    poll(&stream, 1, (int)ms);
}

void board_print(const char *line)
{
    printf("%s\n", line);
    fflush(stdout);
}

void board_connect(void)
{
    fd = socket(AF_INET, SOCK_STREAM, 0);
    link_state = BOARD_CONNECTING;
    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        (connect(fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS))
        link_state = BOARD_DOWN;
}

void board_close(void)
{
    if (fd >= 0)
        close(fd);
    fd = -1;
    link_state = BOARD_DOWN;
}

board_link board_stream(void)
{
    struct pollfd stream = {.fd = fd, .events = POLLOUT};

    if (link_state == BOARD_CONNECTING && poll(&stream, 1, 0) == 1) {
        int error = 0;
        socklen_t len = sizeof error;

        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        link_state = error == 0 ? BOARD_UP : BOARD_DOWN;
    }
    return link_state;
}

const char *board_local(void)
{
    static char text[INET_ADDRSTRLEN + 8];
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    char ip[INET_ADDRSTRLEN];

    if (getsockname(fd, (struct sockaddr *)&name, &len) != 0)
        return NULL;
    inet_ntop(AF_INET, &name.sin_addr, ip, sizeof ip);
    snprintf(text, sizeof text, "%s:%d", ip, ntohs(name.sin_port));
    return text;
}

/* Returns the bytes that a call on the socket moved. Each error except "not now" ends the stream.
 */
static size_t board_count(ssize_t n)
{
    if (n > 0)
        return (size_t)n;
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        link_state = BOARD_DOWN;
    return 0;
}

size_t board_send(const void *bytes, size_t len)
{
    return board_count(send(fd, bytes, len, MSG_NOSIGNAL));
}

size_t board_receive(void *room, size_t cap)
{
    return board_count(recv(fd, room, cap, 0));
}

int main(int argc, char **argv)
{
    if (argc != 3 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
        fprintf(stderr, "usage: %s ADDRESS PORT\n", argv[0]);
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    return bare_main();
}
