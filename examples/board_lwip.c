/* SPDX-License-Identifier: MIT
 *
 * The board of lwip.c and freertos.c (BOARD_FREERTOS) as a process: lwIP with one interface that
 * leads back to itself. Behind a port of it is the real server, reached through a socket of the
 * system.
 *     lwip 127.0.0.1 6379
 */
#include "board.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <lwip/ip_addr.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/tcpip.h>

#define BOARD_ADDRESS "10.0.0.1"
#define BOARD_PORT    6379

/* One connection of the board, and its other half to the server. */
typedef struct relay {
    struct tcp_pcb *pcb; /* NULL: gone */
    int fd;
} relay;

static struct sockaddr_in server;
static struct netif loop;
static sem_t done;
static int status;

bool board_random(void *buf, size_t len)
{
    return getrandom(buf, len, 0) == (ssize_t)len;
}

void board_print(const char *line)
{
    printf("%s\n", line);
    fflush(stdout);
}

void board_done(int result)
{
    status = result;
    sem_post(&done);
}

/* ---- The relay; its callbacks run in the thread of lwIP ---- */

static void relay_end(relay *r)
{
    if (r->pcb != NULL) {
        tcp_arg(r->pcb, NULL);
        tcp_recv(r->pcb, NULL);
        tcp_err(r->pcb, NULL);
        tcp_close(r->pcb);
        r->pcb = NULL;
    }
    shutdown(r->fd, SHUT_RDWR); /* its thread wakes up and frees it */
}

static void on_error(void *context, err_t error)
{
    relay *r = (relay *)context;

    (void)error;
    r->pcb = NULL;
    relay_end(r);
}

static err_t on_received(void *context, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    relay *r = (relay *)context;
    const struct pbuf *part;

    (void)error;
    if (p == NULL) {
        relay_end(r);
        return ERR_OK;
    }
    for (part = p; part != NULL; part = part->next)
        if (send(r->fd, part->payload, part->len, MSG_NOSIGNAL) != part->len)
            break; /* the server hung up: the thread sees it */
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

/* False: the board hung up. */
static bool relay_give(relay *r, const char *bytes, size_t len)
{
    bool given = false;

    while (!given) {
        LOCK_TCPIP_CORE();
        if (r->pcb == NULL) {
            UNLOCK_TCPIP_CORE();
            return false;
        }
        given = tcp_write(r->pcb, bytes, (u16_t)len, TCP_WRITE_FLAG_COPY) == ERR_OK;
        tcp_output(r->pcb);
        UNLOCK_TCPIP_CORE();
        if (!given)
            usleep(1000);
    }
    return true;
}

static void *relay_thread(void *context)
{
    relay *r = (relay *)context;
    char bytes[1024];
    ssize_t n;

    do {
        n = recv(r->fd, bytes, sizeof bytes, 0);
    } while (n > 0 && relay_give(r, bytes, (size_t)n));
    LOCK_TCPIP_CORE();
    relay_end(r);
    UNLOCK_TCPIP_CORE();
    close(r->fd);
    free(r);
    return NULL;
}

static err_t on_accepted(void *context, struct tcp_pcb *pcb, err_t error)
{
    relay *r = (relay *)calloc(1, sizeof *r);
    pthread_t thread;

    (void)context;
    if (error != ERR_OK || r == NULL)
        abort();
    r->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(r->fd, (struct sockaddr *)&server, sizeof server) != 0) {
        close(r->fd);
        free(r);
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    r->pcb = pcb;
    tcp_nagle_disable(pcb);
    tcp_arg(pcb, r);
    tcp_recv(pcb, on_received);
    tcp_err(pcb, on_error);
    if (pthread_create(&thread, NULL, relay_thread, r) != 0)
        abort();
    pthread_detach(thread);
    return ERR_OK;
}

/* ---- lwIP ---- */

static err_t loop_output(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
    (void)to;
    return netif_loop_output(netif, p);
}

static err_t loop_init(struct netif *netif)
{
    netif->name[0] = 'l';
    netif->name[1] = 'o';
    netif->mtu = 1500;
    netif->output = loop_output;
    return ERR_OK;
}

#ifdef BOARD_FREERTOS
static void *board_task(void *address)
{
    lock_task(address);
    return NULL;
}

static void board_begin(void)
{
    static char address[] = BOARD_ADDRESS;
    pthread_t task;

    if (pthread_create(&task, NULL, board_task, address) != 0)
        abort();
    pthread_detach(task);
}
#else
static void board_begin(void)
{
    lwip_start(BOARD_ADDRESS, BOARD_PORT);
}
#endif

/* In the thread of lwIP. */
static void on_started(void *context)
{
    struct tcp_pcb *pcb = tcp_new();
    ip4_addr_t address;
    ip4_addr_t mask;

    (void)context;
    ip4addr_aton(BOARD_ADDRESS, &address);
    ip4addr_aton("255.0.0.0", &mask);
    netif_add(&loop, &address, &mask, &address, NULL, loop_init, tcpip_input);
    netif_set_default(&loop);
    netif_set_up(&loop);
    netif_set_link_up(&loop);
    if (pcb == NULL || tcp_bind(pcb, IP_ANY_TYPE, BOARD_PORT) != ERR_OK)
        abort();
    tcp_accept(tcp_listen(pcb), on_accepted);
    board_begin();
}

int main(int argc, char **argv)
{
    if (argc != 3 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
        fprintf(stderr, "usage: %s ADDRESS PORT\n", argv[0]);
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    sem_init(&done, 0, 0);
    tcpip_init(on_started, NULL);
    sem_wait(&done);
    return status;
}
