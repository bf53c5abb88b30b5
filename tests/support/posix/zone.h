/* SPDX-License-Identifier: MIT
 *
 * zone.h: names of hosts that the test decides on: by a DNS server of its own (UDP, on a port of
 * the loopback) and by getaddrinfo, which a program defines by calling zone_getaddrinfo. Both
 * answer from the same entries.
 */
#ifndef TEST_ZONE_H
#define TEST_ZONE_H

#include "support.h"

#include <netdb.h>

typedef enum zone_answer {
    ZONE_ADDRESSES,
    ZONE_NXDOMAIN, /* there is no such name */
    ZONE_SERVFAIL, /* the server can't say */
    ZONE_SILENT    /* no answer; getaddrinfo hangs until zone_release */
} zone_answer;

/* Starts the DNS server. It ends with the test. */
void zone_start(void);

/* Returns "127.0.0.1:port" of the server. */
const char *zone_server(void);

/* Decides on a name, from now on. `addresses` are texts of IPv4 and IPv6, with commas. Names that
 * nobody has decided on do not exist. */
void zone_set(const char *name, zone_answer answer, const char *addresses);

/* Answers for this name take so long. */
void zone_delay(const char *name, int ms);

/* Lets every getaddrinfo that hangs go on, with EAI_AGAIN. */
void zone_release(void);

/* Returns the number of questions for this name so far, by whichever way; those of the server count
 * once for A and AAAA. */
int zone_asked(const char *name);

/* Returns the number of getaddrinfo under way. */
int zone_hanging(void);

/* What getaddrinfo and freeaddrinfo of the program call. */
int zone_getaddrinfo(const char *host, const struct addrinfo *hints, struct addrinfo **list);
void zone_freeaddrinfo(struct addrinfo *list);

#endif
