/* SPDX-License-Identifier: MIT
 *
 * proxy.h: a proxy between client and server that plays the faults of networks, and of servers
 * where a real one can't be brought to them. It runs in a thread of its own; every call here may
 * be made from any thread, and has taken effect when it returns.
 *
 *     proxy *middle = proxy_start(server_url(redis), true);
 *     rlk_posix_open(&posix, proxy_url(middle), NULL);
 *     proxy_on(middle, "SET", 1, PROXY_CUT_REPLY, NULL);     the next SET is executed, unanswered
 *     proxy_on(middle, "SET", 1, PROXY_ANSWER, "-LOADING Redis is loading\r\n");
 *     proxy_cut_after(middle, PROXY_TO_SERVER, 17, PROXY_RST, true);
 *
 * A link is one client's connection and its own connection to the server. What is not RESP is
 * passed on as bytes; rules on commands don't see it.
 */
#ifndef TEST_PROXY_H
#define TEST_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct proxy proxy;

typedef enum proxy_direction {
    PROXY_TO_SERVER,
    PROXY_TO_CLIENT
} proxy_direction;

/* How the client learns that its connection is cut. A Unix socket has no RST: the same as FIN. */
typedef enum proxy_ending {
    PROXY_FIN,
    PROXY_RST
} proxy_ending;

/* Starts a proxy before a server: "unix:///path" or "redis://127.0.0.1:port". tcp: clients come by
 * TCP (127.0.0.1), else by a Unix socket. */
proxy *proxy_start(const char *server_url, bool tcp);
void proxy_free(proxy *middle);

const char *proxy_url(const proxy *middle);

/* ---- Rules on commands ---- */

typedef enum proxy_action {
    PROXY_ANSWER,     /* the server doesn't see it; `bytes` are its reply, in its turn */
    PROXY_REWRITE,    /* the server executes it; `bytes` replace its reply ("": no reply) */
    PROXY_DUPLICATE,  /* the server executes it; its reply comes twice */
    PROXY_CUT_BEFORE, /* the server doesn't see it; both sides are cut */
    PROXY_CUT_REPLY,  /* the server executes it; when its reply has come, both sides are cut and
                         the client gets nothing of it */
    PROXY_CUT_LATE,   /* the client is cut at once; the server gets the command (and what the
                         client sent behind it) at proxy_release, from a connection that stays
                         open until then: bytes that arrive after the client's end */
    PROXY_HOLD        /* it and what is behind it on its link waits for proxy_release */
} proxy_action;

/*
 * A rule for the nth coming command (1: the next; 0: every one) that begins with these words, in
 * any case: "SET", "CLIENT KILL", "SET lock:a". Cuts are FIN unless the name says RST. Of several
 * rules that match, the oldest acts. Rules that have acted are gone, except those of nth 0.
 */
void proxy_on(proxy *middle, const char *words, int nth, proxy_action action, const char *bytes);

/* The same with RST where it cuts, and with bytes that may hold NUL. */
void proxy_on_bytes(proxy *middle, const char *words, int nth, proxy_action action,
                    proxy_ending ending, const void *bytes, size_t len);

/* Forgets all rules, and all that is set below. What is held stays held. */
void proxy_clear(proxy *middle);

/* Commands that began with these words, and came complete, since the start. */
int proxy_count(proxy *middle, const char *words);

/* ---- Rules on bytes ---- */

/*
 * Cuts the link on which the nth byte from now passes in this direction, of whatever link. The
 * bytes up to it are passed on, and no more; or, pass false, none of them are. n 0: at once, if
 * there is a link; else the next one as soon as it is accepted.
 */
void proxy_cut_after(proxy *middle, proxy_direction direction, size_t n, proxy_ending ending,
                     bool pass);

/* Cuts all links now. What came and was not passed on is dropped. */
void proxy_cut(proxy *middle, proxy_ending ending);

/* The links that exist now pass nothing more in this direction until proxy_release. Also the end
 * of stream waits: bytes of a client that has gone reach the server when released. */
void proxy_hold(proxy *middle, proxy_direction direction);

/* The link on which the nth byte from now passes in this direction passes nothing more behind it
 * until proxy_release. n 0: proxy_hold. */
void proxy_hold_after(proxy *middle, proxy_direction direction, size_t n);

/* Cuts the client's side of all links now; the server's side stays, with what is held for it. */
void proxy_cut_client(proxy *middle, proxy_ending ending);

/* Lets go of what is held, in both directions, by proxy_hold, PROXY_HOLD or PROXY_CUT_LATE. */
void proxy_release(proxy *middle);

/* The server's side of all links closes, and clients get no notice: half-open. */
void proxy_half_open(proxy *middle);

/* These bytes go to all clients now, between two replies. */
void proxy_inject(proxy *middle, const void *bytes, size_t len);

/* ---- Lasting behaviour, of old and new links ---- */

/* One byte at a time, this far apart. 0: off. */
void proxy_dribble(proxy *middle, proxy_direction direction, int interval_us);

/* Every byte comes this much later. */
void proxy_delay(proxy *middle, proxy_direction direction, int ms);

/* True: what servers push (RESP3) gets lost on the way, replies don't. */
void proxy_drop_pushes(proxy *middle, bool drop);

/* True: new connections are refused; the address stays reserved. */
void proxy_refuse(proxy *middle, bool refuse);

/* True: new connections are accepted and held, both directions, until proxy_release. */
void proxy_mute(proxy *middle, bool mute);

/* Another server for new links: a fail-over behind one address. */
void proxy_redirect(proxy *middle, const char *server_url);

/* ---- Counts ---- */

int proxy_accepted(proxy *middle);                            /* since the start */
int proxy_links(proxy *middle);                               /* with a client, now */
size_t proxy_bytes(proxy *middle, proxy_direction direction); /* passed on */
size_t proxy_held(proxy *middle, proxy_direction direction);  /* come, not passed on */

#endif
