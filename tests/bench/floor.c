/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "floor.h"

#include "rounds.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---- Replies ----------------------------------------------------------------------------- */

#define FLOOR_DIGITS_MAX 18 /* no int64_t overflows with as many */
#define FLOOR_LEN_MAX    (512 * 1024 * 1024)

/* The line of a number behind its type byte. */
static ssize_t floor_number(const uint8_t *buf, size_t len, int64_t *value)
{
    const uint8_t *at = buf + 1;
    const uint8_t *end = buf + len;
    const uint8_t *digits;
    bool negative = at < end && *at == '-';
    int64_t sum = 0;

    at += negative;
    digits = at;
    while (at < end && *at >= '0' && *at <= '9')
        sum = sum * 10 + (*at++ - '0');
    if (at - digits > FLOOR_DIGITS_MAX)
        return -1;
    if (at == end)
        return 0;
    if (at == digits || *at != '\r')
        return -1;
    if (at + 1 == end)
        return 0;
    if (at[1] != '\n')
        return -1;
    *value = negative ? -sum : sum;
    return at + 2 - buf;
}

static ssize_t floor_line(const uint8_t *buf, size_t len, floor_token *token)
{
    const uint8_t *at = buf + 1;
    const uint8_t *end = buf + len;

    for (; at < end && *at != '\r'; at++)
        if (*at == '\n')
            return -1;
    if (end - at < 2)
        return 0;
    if (at[1] != '\n')
        return -1;
    token->data = buf + 1;
    token->len = (size_t)(at - token->data);
    return at + 2 - buf;
}

static ssize_t floor_bulk(floor_parser *parser, const uint8_t *buf, size_t len, floor_token *token)
{
    int64_t size;
    ssize_t head = floor_number(buf, len, &size);

    parser->need = 0;
    if (head <= 0)
        return head;
    if (size == -1)
        return head;
    if (size < 0 || size > FLOOR_LEN_MAX)
        return -1;
    if (len < (size_t)(head + size + 2)) {
        parser->need = (size_t)(head + size + 2);
        return 0;
    }
    token->data = buf + head;
    token->len = (size_t)size;
    if (token->data[size] != '\r' || token->data[size + 1] != '\n')
        return -1;
    return head + size + 2;
}

ssize_t floor_next(floor_parser *parser, const uint8_t *buf, size_t len, floor_token *token)
{
    ssize_t used;

    if (len == 0 || len < parser->need)
        return 0;
    token->type = *buf;
    token->data = NULL;
    token->len = 0;
    switch (*buf) {
    case '+':
    case '-':
        used = floor_line(buf, len, token);
        break;
    case ':':
        used = floor_number(buf, len, &token->value);
        break;
    case '$':
        used = floor_bulk(parser, buf, len, token);
        break;
    case '*':
    case '>':
        used = floor_number(buf, len, &token->value);
        if (used <= 0)
            return used;
        if (token->value > 0) {
            if (parser->depth == FLOOR_DEPTH || token->value > UINT32_MAX)
                return -1;
            parser->left[parser->depth++] = (uint32_t)token->value;
            return used;
        }
        break;
    default:
        return -1;
    }
    if (used <= 0)
        return used;
    while (parser->depth > 0 && --parser->left[parser->depth - 1] == 0)
        parser->depth--;
    return used;
}

/* ---- Commands ---------------------------------------------------------------------------- */

static uint8_t *floor_put_number(uint8_t *out, char type, size_t value)
{
    uint8_t digits[20];
    size_t len = 0;

    *out++ = (uint8_t)type;
    do {
        digits[len++] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (len > 0)
        *out++ = digits[--len];
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

size_t floor_encode(uint8_t *out, size_t argc, const void *const *argv, const size_t *lens)
{
    uint8_t *at = floor_put_number(out, '*', argc);
    size_t i;

    for (i = 0; i < argc; i++) {
        at = floor_put_number(at, '$', lens[i]);
        memcpy(at, argv[i], lens[i]);
        at += lens[i];
        *at++ = '\r';
        *at++ = '\n';
    }
    return (size_t)(at - out);
}

/* ---- Tokens ------------------------------------------------------------------------------ */

void floor_token_draw(char *out)
{
    static uint8_t pool[12 * FLOOR_TOKEN / 2]; /* as many as getrandom gives at once, unbroken */
    static size_t left;
    const uint8_t *bytes;
    size_t i;

    if (left == 0) {
        rounds_require(getrandom(pool, sizeof pool, 0) == (ssize_t)sizeof pool);
        left = sizeof pool;
    }
    left -= FLOOR_TOKEN / 2;
    bytes = pool + left;
    for (i = 0; i < FLOOR_TOKEN / 2; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

/* ---- The lock ---------------------------------------------------------------------------- */

const char floor_script[] = "if redis.call('get',KEYS[1])==ARGV[1] then "
                            "return redis.call('del',KEYS[1]) else return 0 end";

int64_t floor_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int floor_connect(const char *address)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in remote = {.sin_family = AF_INET};
    int on = 1;
    int fd;

    if (*address == '/') {
        rounds_require(strlen(address) < sizeof local.sun_path);
        memcpy(local.sun_path, address, strlen(address) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rounds_require(fd >= 0 && connect(fd, (struct sockaddr *)&local, sizeof local) == 0);
        return fd;
    }
    remote.sin_port = htons((uint16_t)atoi(address));
    remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rounds_require(fd >= 0 && connect(fd, (struct sockaddr *)&remote, sizeof remote) == 0);
    rounds_require(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    return fd;
}

void floor_write(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

        rounds_require(sent > 0);
        bytes += sent;
        len -= (size_t)sent;
    }
}

void floor_read(int fd, uint8_t *buf, size_t cap, floor_token *token)
{
    floor_parser parser = {0};
    size_t len = 0;
    ssize_t used;

    do {
        ssize_t got = recv(fd, buf + len, cap - len, 0);

        rounds_require(got > 0);
        len += (size_t)got;
        used = floor_next(&parser, buf, len, token);
        rounds_require(used >= 0 && parser.depth == 0);
    } while (used == 0);
    rounds_require((size_t)used == len); /* nobody asked for more */
}

void floor_load_script(int fd, char *digest)
{
    const void *argv[] = {"SCRIPT", "LOAD", floor_script};
    size_t lens[] = {6, 4, strlen(floor_script)};
    uint8_t buf[512];
    floor_token token;

    floor_write(fd, buf, floor_encode(buf, COUNT_OF(argv), argv, lens));
    floor_read(fd, buf, sizeof buf, &token);
    rounds_require(token.type == '$' && token.len == FLOOR_DIGEST);
    memcpy(digest, token.data, FLOOR_DIGEST);
}
