/* SPDX-License-Identifier: MIT
 *
 * server.h: private, real redis-servers, each in a folder of its own, and an administrator's
 * connection to each that shares no code with resplock.
 *
 *     server *redis = server_start(NULL);
 *     rlk_posix_open(&posix, server_url(redis), NULL);
 *     ...
 *     assert_string_equal(server_text(redis, "GET %s", key), token);
 *     assert_between(server_integer(redis, "PTTL %s", key), 29000, 30000);
 *
 * What goes wrong in the fixture fails the test. To be used from the test's main thread only: a
 * server dies with the thread that started it. Use support_test(), so that a failed test leaves
 * no server behind.
 */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct server server;

/* 0, NULL and false are the defaults. */
typedef struct server_config {
    bool tcp;                 /* also on 127.0.0.1 and, where there is IPv6, ::1; the port stays
                                 reserved over stops and restarts */
    bool cluster;             /* a cluster's node, with a bus port that is nobody's */
    const char *tls_cert;     /* the TCP port speaks TLS, with these files (certificates.h); the */
    const char *tls_key;      /* administrator stays on the Unix socket */
    const char *tls_clients;  /* authority whose certificates clients must have; NULL: they need
                                 none */
    const char *tls_versions; /* "TLSv1.2 TLSv1.3"; NULL: the server's choice */
    const char *password;     /* requirepass; the administrator uses it too */
    const char *const *lines; /* of redis.conf, ended by NULL: "maxclients 3", "user x on ..." */
    const char *user;         /* administrator's ACL user, where `lines` spoil the default one */
    const char *user_password;
} server_config;

/* Lines for `lines`: NULL-terminated for you. */
#define SERVER_LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Servers whose clients may not kill others, so that there is no fence between two connections. The
 * administrator may do all. */
extern const server_config server_unfenced;

/* Starts a server, and waits until it answers. NULL: on a Unix socket, without persistence. */
server *server_start(const server_config *config);

/* SIGTERM, then SIGKILL; the folder goes too. */
void server_free(server *redis);

/* ---- Where it is. Texts live as long as the server object. ---- */
const char *server_url(const server *redis);      /* unix:///... */
const char *server_tcp_url(const server *redis);  /* redis://127.0.0.1:port */
const char *server_tcp6_url(const server *redis); /* redis://[::1]:port */
const char *server_tls_url(const server *redis);  /* rediss://localhost:port */
const char *server_path(const server *redis);     /* of the socket */
const char *server_folder(const server *redis);
int server_port(const server *redis);
pid_t server_pid(const server *redis); /* 0 while it is down */

/* ---- Life ---- */

/* Ends it, keeping address and folder. server_stop: SIGTERM, as an operator would. server_kill:
 * SIGKILL. */
void server_stop(server *redis);
void server_kill(server *redis);

/* Writes the data to the folder (SAVE): what a later server_restart brings back. */
void server_save(server *redis);

/* Kills it if it runs, and starts it again on the same address. keep_data: with what was saved
 * last; else empty. */
void server_restart(server *redis, bool keep_data);

/* As server_restart, but doesn't wait until it answers (LOADING, black-outs). */
void server_restart_begin(server *redis, bool keep_data);
void server_wait_ready(server *redis);

/* SIGSTOP and SIGCONT. */
void server_pause(server *redis);
void server_resume(server *redis);

/* ---- Administration ----
 *
 * Commands are printf formats that are split into arguments at their spaces; what a conversion
 * inserts is never split: server_text(redis, "SET %s %s", "a key", "a b"). Conversions: %s, %d,
 * %ld, %lld, %zu, and %b (const void *, size_t) for any bytes. Each waits up to 10 s for its reply.
 */

/*
 * Reply as a text: a string as it is, NULL for nil, "-ERR ..." for an error, an integer in digits,
 * elements of an array on lines of their own. Lives until the 16th next call.
 */
const char *server_text(server *redis, const char *format, ...);

/* The same with its length, for values with NUL in them. */
const char *server_bytes(server *redis, size_t *len, const char *format, ...);

/* Reply that must be an integer. */
int64_t server_integer(server *redis, const char *format, ...);

/* Reply that must be OK. */
void server_do(server *redis, const char *format, ...);

/* Sends a command on a connection of its own and doesn't read the reply (DEBUG SLEEP, a script that
 * runs for long). The connection stays open until the server object goes. */
void server_send(server *redis, const char *format, ...);

/* Number after "name:" in INFO of a section: server_info(redis, "clients", "connected_clients"). */
int64_t server_info(server *redis, const char *section, const char *name);

/* Calls of a command since the start, or since CONFIG RESETSTAT ("set", "evalsha"). The server has
 * sent the replies to all of them. */
int64_t server_calls(server *redis, const char *command);

#endif
