/* SPDX-License-Identifier: MIT
 *
 * floor.h: what a good programmer writes by hand who needs this one thing and no library: the least
 * that parses, encodes, and takes and gives back a lock, correctly. Results show what resplock
 * costs in multiples of it.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- Replies ---- */

#define FLOOR_DEPTH 8

typedef struct floor_parser {
    size_t need;                /* bytes of the string under way, with its frame */
    unsigned depth;             /* aggregates that are open; 0 behind a whole reply */
    uint32_t left[FLOOR_DEPTH]; /* their elements still to come */
} floor_parser;

/* A scalar, or the head of an aggregate. */
typedef struct floor_token {
    uint8_t type;
    const uint8_t *data; /* strings: into the buffer; NULL for a null */
    size_t len;
    int64_t value; /* of integers; elements of aggregates */
} floor_token;

/* The next token of buf[0..len). Returns its bytes; 0: it is not all there yet, show it again with
 * more; -1: malformed. Checks types, digits, bounds and both bytes of every CRLF. */
ssize_t floor_next(floor_parser *parser, const uint8_t *buf, size_t len, floor_token *token);

/* ---- Commands ---- */

/* An array of bulk strings; `out` has room for it. Returns its bytes. */
size_t floor_encode(uint8_t *out, size_t argc, const void *const *argv, const size_t *lens);

/* ---- Tokens ---- */

#define FLOOR_TOKEN 40 /* hex digits */

/* 160 random bits of the system, as hex digits. */
void floor_token_draw(char *out);

/* ---- The lock ---- */

#define FLOOR_DIGEST 40 /* hex digits of a SHA-1 */

/* The compare-and-delete of the Redis manual. */
extern const char floor_script[];

/* A blocking stream to the path of a Unix socket or to a port of 127.0.0.1. */
int floor_connect(const char *address);

/* Milliseconds of a monotonic clock. */
int64_t floor_now_ms(void);

/* Loads the script; `digest` gets what the server calls it. */
void floor_load_script(int fd, char *digest);

/* Waits for the next reply, which must be a scalar; `buf` is where it lies. */
void floor_read(int fd, uint8_t *buf, size_t cap, floor_token *token);

/* Writes all of it. */
void floor_write(int fd, const uint8_t *bytes, size_t len);

#endif
