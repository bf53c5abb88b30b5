/* SPDX-License-Identifier: MIT
 *
 * What bare.c needs of a board, and lwip.c and freertos.c need some of. board_posix.c and
 * board_lwip.c are boards that are processes, to try these out.
 */
#ifndef EXAMPLE_BOARD_H
#define EXAMPLE_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A counter that goes on in sleep. */
#define BOARD_HZ   1000
#define BOARD_BITS 32
uint32_t board_ticks(void);

/* Bytes of a true random number generator; false: it has none to give (yet). */
bool board_random(void *buf, size_t len);

/* Sleeps until something happened on the stream, or for so long. */
void board_sleep(uint32_t ms);

void board_print(const char *line);

/* ---- One TCP stream to the server; none of these waits ---- */

typedef enum board_link {
    BOARD_DOWN,
    BOARD_CONNECTING,
    BOARD_UP
} board_link;

void board_connect(void);
void board_close(void);
board_link board_stream(void);

/* Our own end as "ip:port", NULL if it is not known. */
const char *board_local(void);

/* How many bytes were taken, or had come. 0: none now; board_stream() returns if more can come. */
size_t board_send(const void *bytes, size_t len);
size_t board_receive(void *room, size_t cap);

/* ---- The programs: called once all of the above works ---- */

int bare_main(void); /* 0: done */

/* The others call board_done() at their end. */
void lwip_start(const char *address, uint16_t port); /* in the thread of lwIP: returns at once */
void lock_task(void *server);                        /* a task of its own */
void board_done(int result);

#endif
