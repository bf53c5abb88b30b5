/* SPDX-License-Identifier: MIT */
#include "zone.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ZONE_NAMES     8
#define ZONE_WAITING   512
#define ZONE_PACKET    512
#define ZONE_TYPE_A    1
#define ZONE_TYPE_AAAA 28

typedef struct zone_name {
    char name[64];
    char addresses[128];
    zone_answer answer;
    int delay_ms;
    int asked;
} zone_name;

/* A reply whose time has not come. */
typedef struct zone_reply {
    int64_t due_ms; /* 0: none */
    struct sockaddr_in to;
    size_t len;
    uint8_t bytes[ZONE_PACKET];
} zone_reply;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t released;
    zone_name names[ZONE_NAMES];
    unsigned releases;
    int hanging;
    pthread_t thread;
    int fd;
    int stop[2];
    char text[32];
    zone_reply waiting[ZONE_WAITING]; /* of the server's thread */
} zone = {.mutex = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER};

static zone_name *zone_find(const char *name)
{
    size_t i;

    for (i = 0; i < ZONE_NAMES; i++)
        if (strcasecmp(zone.names[i].name, name) == 0)
            return &zone.names[i];
    return NULL;
}

/* The next address of a text with commas. False: there is none more. */
static bool zone_next(const char **at, char out[64])
{
    size_t len = strcspn(*at, ",");

    if (len == 0 || len >= 64)
        return false;
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += len + ((*at)[len] == ',');
    return true;
}

/* ---- The server ---- */

static void zone_put(zone_reply *reply, unsigned value, unsigned bytes)
{
    while (bytes-- > 0)
        reply->bytes[reply->len++] = (uint8_t)(value >> (8 * bytes));
}

/* One record for each address of the type. Returns their number. */
static unsigned zone_records(zone_reply *reply, const zone_name *entry, unsigned type)
{
    int family = type == ZONE_TYPE_A ? AF_INET : AF_INET6;
    size_t size = type == ZONE_TYPE_A ? 4 : 16;
    const char *at = entry->addresses;
    unsigned count = 0;
    char text[64];
    uint8_t ip[16];

    while (zone_next(&at, text)) {
        if (inet_pton(family, text, ip) != 1)
            continue;
        zone_put(reply, 0xc00c, 2); /* the name of the question */
        zone_put(reply, type, 2);
        zone_put(reply, 1, 2);
        zone_put(reply, 0, 4); /* TTL */
        zone_put(reply, (unsigned)size, 2);
        memcpy(reply->bytes + reply->len, ip, size);
        reply->len += size;
        count++;
    }
    return count;
}

/* The name of a question as a text; the bytes that it has, 0: malformed. */
static size_t zone_question(const uint8_t *packet, size_t len, char name[64])
{
    size_t at = 12;
    size_t out = 0;

    while (at < len && packet[at] != 0) {
        size_t label = packet[at++];

        if (label > 63 || at + label > len || out + label + 1 >= 64)
            return 0;
        if (out > 0)
            name[out++] = '.';
        memcpy(name + out, packet + at, label);
        out += label;
        at += label;
    }
    name[out] = '\0';
    return at + 5 <= len ? at + 5 - 12 : 0;
}

/* Makes the reply to a packet, under the mutex. Returns how long it waits, -1: forever. */
static int zone_reply_to(zone_reply *reply, const uint8_t *packet, size_t len)
{
    char name[64];
    size_t question = zone_question(packet, len, name);
    zone_name *entry;
    zone_answer answer;
    unsigned type;
    unsigned count = 0;

    if (len < 12 || question == 0)
        return -1;
    type = (unsigned)packet[12 + question - 4] << 8 | packet[12 + question - 3];
    entry = zone_find(name);
    answer = entry != NULL ? entry->answer : ZONE_NXDOMAIN;
    if (entry != NULL)
        entry->asked += type == ZONE_TYPE_A;
    if (answer == ZONE_SILENT)
        return -1;
    memcpy(reply->bytes, packet, 12 + question);
    reply->len = 12 + question;
    if (answer == ZONE_ADDRESSES)
        count = zone_records(reply, entry, type);
    reply->bytes[2] = 0x84 | (packet[2] & 1); /* an answer, with authority */
    reply->bytes[3] = answer == ZONE_NXDOMAIN ? 3 : answer == ZONE_SERVFAIL ? 2 : 0;
    memset(reply->bytes + 4, 0, 8);
    reply->bytes[5] = 1;
    reply->bytes[7] = (uint8_t)count;
    return entry != NULL ? entry->delay_ms : 0;
}

static void zone_receive(void)
{
    uint8_t packet[ZONE_PACKET];
    zone_reply *reply = zone.waiting;
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t n = recvfrom(zone.fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &from_len);
    int delay_ms;

    while (reply->due_ms != 0 && reply < &zone.waiting[ZONE_WAITING - 1])
        reply++;
    if (n <= 0)
        return;
    (void)pthread_mutex_lock(&zone.mutex);
    delay_ms = zone_reply_to(reply, packet, (size_t)n);
    (void)pthread_mutex_unlock(&zone.mutex);
    reply->to = from;
    reply->due_ms = delay_ms >= 0 ? rlk_system_now_ms(NULL) + delay_ms : 0;
}

/* Sends what is due. Returns for how long nothing is; -1: ever. */
static int zone_send(void)
{
    int64_t now_ms = rlk_system_now_ms(NULL);
    int64_t next_ms = -1;
    size_t i;

    for (i = 0; i < ZONE_WAITING; i++) {
        zone_reply *reply = &zone.waiting[i];

        if (reply->due_ms == 0)
            continue;
        if (reply->due_ms <= now_ms) {
            (void)sendto(zone.fd, reply->bytes, reply->len, 0, (struct sockaddr *)&reply->to,
                         sizeof reply->to);
            reply->due_ms = 0;
        } else if (next_ms < 0 || reply->due_ms - now_ms < next_ms) {
            next_ms = reply->due_ms - now_ms;
        }
    }
    return (int)next_ms;
}

static void *zone_serve(void *argument)
{
    struct pollfd fds[2];

    fds[0].fd = zone.fd;
    fds[1].fd = zone.stop[0];
    fds[0].events = fds[1].events = POLLIN;
    do {
        fds[0].revents = fds[1].revents = 0;
        (void)poll(fds, 2, zone_send());
        if (fds[0].revents != 0)
            zone_receive();
    } while (fds[1].revents == 0);
    return argument;
}

static void zone_end(void)
{
    if (zone.text[0] == '\0') /* it has ended */
        return;
    zone.text[0] = '\0';
    zone_release();
    wait_until(zone_hanging() == 0);

    assert_int_equal(write(zone.stop[1], "", 1), 1);
    (void)pthread_join(zone.thread, NULL);
    (void)close(zone.fd);
    (void)close(zone.stop[0]);
    (void)close(zone.stop[1]);
}

void zone_start(void)
{
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    sigset_t all;
    sigset_t before;

    memset(zone.names, 0, sizeof zone.names);
    memset(zone.waiting, 0, sizeof zone.waiting);
    memset(&name, 0, sizeof name);
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    zone.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(zone.fd >= 0);
    assert_int_equal(bind(zone.fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(getsockname(zone.fd, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(pipe(zone.stop), 0);
    (void)snprintf(zone.text, sizeof zone.text, "127.0.0.1:%d", ntohs(name.sin_port));
    (void)sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before),
                     0); /* for the test's own thread */
    assert_int_equal(pthread_create(&zone.thread, NULL, zone_serve, NULL), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    support_at_teardown(zone_end);
}

const char *zone_server(void)
{
    return zone.text;
}

/* ---- The entries ---- */

static zone_name *zone_entry(const char *name)
{
    zone_name *entry = zone_find(name);

    if (entry == NULL) {
        entry = zone_find("");
        assert_non_null(entry);
        (void)snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    return entry;
}

void zone_set(const char *name, zone_answer answer, const char *addresses)
{
    zone_name *entry;

    (void)pthread_mutex_lock(&zone.mutex);
    entry = zone_entry(name);
    entry->answer = answer;
    (void)snprintf(entry->addresses, sizeof entry->addresses, "%s",
                   addresses != NULL ? addresses : "");
    (void)pthread_mutex_unlock(&zone.mutex);
}

void zone_delay(const char *name, int ms)
{
    (void)pthread_mutex_lock(&zone.mutex);
    zone_entry(name)->delay_ms = ms;
    (void)pthread_mutex_unlock(&zone.mutex);
}

void zone_release(void)
{
    (void)pthread_mutex_lock(&zone.mutex);
    zone.releases++;
    (void)pthread_cond_broadcast(&zone.released);
    (void)pthread_mutex_unlock(&zone.mutex);
}

int zone_asked(const char *name)
{
    const zone_name *entry;
    int asked;

    (void)pthread_mutex_lock(&zone.mutex);
    entry = zone_find(name);
    asked = entry != NULL ? entry->asked : 0;
    (void)pthread_mutex_unlock(&zone.mutex);
    return asked;
}

int zone_hanging(void)
{
    int hanging;

    (void)pthread_mutex_lock(&zone.mutex);
    hanging = zone.hanging;
    (void)pthread_mutex_unlock(&zone.mutex);
    return hanging;
}

/* ---- getaddrinfo ---- */

/* An entry, and its address, in one piece of memory. */
typedef struct zone_info {
    struct addrinfo info; /* first */
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;
} zone_info;

static struct addrinfo *zone_info_new(const char *text)
{
    zone_info *made = (zone_info *)calloc(1, sizeof *made);

    if (made == NULL)
        abort();
    made->info.ai_socktype = SOCK_STREAM;
    if (inet_pton(AF_INET, text, &made->v4.sin_addr) == 1) {
        made->info.ai_family = made->v4.sin_family = AF_INET;
        made->info.ai_addr = (struct sockaddr *)&made->v4;
        made->info.ai_addrlen = sizeof made->v4;
    } else {
        (void)inet_pton(AF_INET6, text, &made->v6.sin6_addr);
        made->info.ai_family = made->v6.sin6_family = AF_INET6;
        made->info.ai_addr = (struct sockaddr *)&made->v6;
        made->info.ai_addrlen = sizeof made->v6;
    }
    return &made->info;
}

static int zone_list(const char *addresses, struct addrinfo **list)
{
    struct addrinfo **last = list;
    char text[64];

    *list = NULL;
    while (zone_next(&addresses, text)) {
        *last = zone_info_new(text);
        last = &(*last)->ai_next;
    }
    return *list != NULL ? 0 : EAI_NONAME;
}

int zone_getaddrinfo(const char *host, const struct addrinfo *hints, struct addrinfo **list)
{
    zone_answer answer = ZONE_NXDOMAIN;
    char addresses[128] = "";
    zone_name *entry;
    int delay_ms = 0;

    (void)hints;
    (void)pthread_mutex_lock(&zone.mutex);
    entry = zone_find(host);
    zone.hanging++;
    if (entry != NULL) {
        unsigned releases = zone.releases;

        entry->asked++;
        answer = entry->answer;
        delay_ms = entry->delay_ms;
        memcpy(addresses, entry->addresses, sizeof addresses);
        while (answer == ZONE_SILENT && zone.releases == releases)
            (void)pthread_cond_wait(&zone.released, &zone.mutex);
    }
    (void)pthread_mutex_unlock(&zone.mutex);
    if (delay_ms > 0)
        support_sleep_ms(delay_ms);
    (void)pthread_mutex_lock(&zone.mutex);
    zone.hanging--;
    (void)pthread_mutex_unlock(&zone.mutex);
    switch (answer) {
    case ZONE_ADDRESSES:
        return zone_list(addresses, list);
    case ZONE_NXDOMAIN:
        return EAI_NONAME;
    default:
        return EAI_AGAIN;
    }
}

void zone_freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;

        free(list);
        list = next;
    }
}
