/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "server.h"
#include "admin.h"
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVER_TEXTS    16
#define SERVER_SENT     8
#define SERVER_WAIT_MS  10000
#define SERVER_PATH_MAX 256

struct server {
    server *next; /* of all that live */
    char *folder;
    char *password;
    char *user;
    char *user_password;
    char path[108]; /* of sockaddr_un */
    char log[SERVER_PATH_MAX];
    char url[SERVER_PATH_MAX];
    char tcp_url[SERVER_PATH_MAX];
    char tcp6_url[SERVER_PATH_MAX];
    char tls_url[SERVER_PATH_MAX];
    pid_t pid;
    bool paused;
    int port;
    int reserved;  /* bound to the port, never listening: nobody else gets it */
    int reserved6; /* -1: no IPv6 here */
    int bus;       /* the port of the cluster's bus; 0: no cluster's node */
    int bus_reserved;
    int fd; /* administrator's connection, -1: none */
    int sent[SERVER_SENT];
    size_t sent_len;
    admin_text texts[SERVER_TEXTS];
    size_t text_next;
};

static server *server_all;

static char *server_copy(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

/* ---- Address ---- */

/*
 * Binds without SO_REUSEADDR, so that the port is surely nobody's, and sets it then: redis-server,
 * which sets it too, may bind the same port as long as this socket doesn't listen, and nobody else
 * is given it. So there is no race among tests, and a server that is down keeps its address.
 */
static int server_reserve(int family, int *port)
{
    struct sockaddr_in6 address6;
    struct sockaddr_in address;
    struct sockaddr *any =
        family == AF_INET ? (struct sockaddr *)&address : (struct sockaddr *)&address6;
    socklen_t len = family == AF_INET ? sizeof address : sizeof address6;
    int one = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)*port);
    memset(&address6, 0, sizeof address6);
    address6.sin6_family = AF_INET6;
    address6.sin6_addr = in6addr_loopback;
    address6.sin6_port = htons((uint16_t)*port);
    if (fd < 0)
        return -1;
    if (bind(fd, any, len) != 0 || getsockname(fd, any, &len) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(family == AF_INET ? address.sin_port : address6.sin6_port);
    return fd;
}

static void server_reserve_both(server *redis)
{
    bool with_ipv6 = true;
    int attempt;

    for (attempt = 0; attempt < 50; attempt++) {
        redis->port = 0;
        redis->reserved = server_reserve(AF_INET, &redis->port);
        if (redis->reserved < 0)
            support_fail("no TCP port: %s", strerror(errno));
        redis->reserved6 = server_reserve(AF_INET6, &redis->port);
        if (redis->reserved6 >= 0)
            break;
        with_ipv6 = errno == EADDRINUSE;
        if (!with_ipv6)
            break;
        close(redis->reserved);
    }
    snprintf(redis->tcp_url, sizeof redis->tcp_url, "redis://127.0.0.1:%d", redis->port);
    snprintf(redis->tls_url, sizeof redis->tls_url, "rediss://localhost:%d", redis->port);
    if (redis->reserved6 >= 0)
        snprintf(redis->tcp6_url, sizeof redis->tcp6_url, "redis://[::1]:%d", redis->port);
}

/* Old versions of TLS need a lower level of security than Debian's. */
static void server_configure_tls(FILE *file, const server_config *config)
{
    bool of_clients = config->tls_clients != NULL;

    fprintf(file, "tls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\ntls-auth-clients %s\n",
            config->tls_cert, config->tls_key, of_clients ? config->tls_clients : config->tls_cert,
            of_clients ? "yes" : "no");
    if (config->tls_versions != NULL)
        fprintf(file, "tls-protocols \"%s\"\ntls-ciphers DEFAULT:@SECLEVEL=0\n",
                config->tls_versions);
}

static void server_configure(const server *redis, const server_config *config)
{
    char name[SERVER_PATH_MAX];
    FILE *file;
    size_t i;

    snprintf(name, sizeof name, "%s/redis.conf", redis->folder);
    file = fopen(name, "we");
    if (file == NULL)
        support_fail("%s: %s", name, strerror(errno));
    fprintf(file, "%s %d\n", config->tls_cert != NULL ? "port 0\ntls-port" : "port", redis->port);
    if (config->tls_cert != NULL)
        server_configure_tls(file, config);
    if (redis->port != 0)
        fprintf(file, "bind 127.0.0.1%s\n", redis->reserved6 >= 0 ? " ::1" : "");
    else if (redis->bus != 0)
        fprintf(file, "bind 127.0.0.1\n"); /* of the bus */
    if (redis->bus != 0)
        fprintf(file, "cluster-enabled yes\ncluster-port %d\n", redis->bus);
    fprintf(file, "unixsocket %s\nunixsocketperm 700\ndir %s\nlogfile %s\n", redis->path,
            redis->folder, redis->log);
    fprintf(file, "save \"\"\nappendonly no\ndaemonize no\nenable-debug-command yes\n");
    if (redis->password != NULL)
        fprintf(file, "requirepass %s\n", redis->password);
    for (i = 0; config->lines != NULL && config->lines[i] != NULL; i++)
        fprintf(file, "%s\n", config->lines[i]);
    fclose(file);
}

/* ---- Administration ---- */

static void server_disconnect(server *redis)
{
    if (redis->fd >= 0)
        close(redis->fd);
    redis->fd = -1;
}

static admin_text *server_text_new(server *redis)
{
    return &redis->texts[redis->text_next++ % SERVER_TEXTS];
}

/* Not through the ring of texts: it is done in the middle of other commands. */
static bool server_authenticate(const server *redis, int fd)
{
    const char *words[4];
    admin_text out = {NULL, 0, 0};
    char head[64];
    size_t count = 0;
    size_t i;
    char type = 0;
    bool ok;

    if (redis->password == NULL && redis->user == NULL)
        return true;
    words[count++] = "AUTH";
    if (redis->user != NULL)
        words[count++] = redis->user;
    words[count++] = redis->user != NULL ? redis->user_password : redis->password;
    snprintf(head, sizeof head, "*%zu\r\n", count);
    admin_append(&out, head, strlen(head));
    for (i = 0; i < count; i++) {
        snprintf(head, sizeof head, "$%zu\r\n", strlen(words[i]));
        admin_append(&out, head, strlen(head));
        admin_append(&out, words[i], strlen(words[i]));
        admin_append(&out, "\r\n", 2);
    }
    ok = admin_send(fd, out.data, out.len) &&
         admin_receive(fd, SERVER_WAIT_MS, &out, &type) == ADMIN_OK;
    admin_text_free(&out);
    return ok;
}

static bool server_connect(server *redis)
{
    if (redis->fd >= 0)
        return true;
    redis->fd = admin_connect(redis->path);
    if (redis->fd >= 0 && !server_authenticate(redis, redis->fd))
        server_disconnect(redis);
    return redis->fd >= 0;
}

/* A connection that broke since its last use (CLIENT KILL of a test) is made anew once. */
static admin_status server_exchange(server *redis, const admin_text *command, admin_text *reply,
                                    char *type)
{
    admin_status status = ADMIN_BROKEN;
    int attempt;

    for (attempt = 0; attempt < 2 && status == ADMIN_BROKEN; attempt++) {
        if (!server_connect(redis))
            continue;
        if (admin_send(redis->fd, command->data, command->len))
            status = admin_receive(redis->fd, SERVER_WAIT_MS * support_time_factor(), reply, type);
        if (status != ADMIN_OK)
            server_disconnect(redis);
    }
    return status;
}

static const admin_text *server_command(server *redis, char *type, const char *format,
                                        va_list arguments)
{
    admin_text command = {NULL, 0, 0};
    admin_text *reply = server_text_new(redis);
    admin_status status;

    admin_encode(&command, format, arguments);
    status = server_exchange(redis, &command, reply, type);
    admin_text_free(&command);
    if (status != ADMIN_OK)
        support_fail("server %s: %s: %s", redis->url, format,
                     status == ADMIN_LATE ? "no reply in time" : "connection lost");
    return reply;
}

const char *server_bytes(server *redis, size_t *len, const char *format, ...)
{
    const admin_text *reply;
    va_list arguments;
    char type = 0;

    va_start(arguments, format);
    reply = server_command(redis, &type, format, arguments);
    va_end(arguments);
    *len = reply->len;
    return type == '_' ? NULL : reply->data;
}

const char *server_text(server *redis, const char *format, ...)
{
    const admin_text *reply;
    va_list arguments;
    char type = 0;

    va_start(arguments, format);
    reply = server_command(redis, &type, format, arguments);
    va_end(arguments);
    return type == '_' ? NULL : reply->data;
}

int64_t server_integer(server *redis, const char *format, ...)
{
    const admin_text *reply;
    va_list arguments;
    char type = 0;

    va_start(arguments, format);
    reply = server_command(redis, &type, format, arguments);
    va_end(arguments);
    if (type != ':')
        support_fail("server: %s: no integer: %s", format, reply->data);
    return strtoll(reply->data, NULL, 10);
}

void server_do(server *redis, const char *format, ...)
{
    const admin_text *reply;
    va_list arguments;
    char type = 0;

    va_start(arguments, format);
    reply = server_command(redis, &type, format, arguments);
    va_end(arguments);
    if (type != '+' || strcmp(reply->data, "OK") != 0)
        support_fail("server: %s: not OK: %s", format, reply->data);
}

void server_send(server *redis, const char *format, ...)
{
    admin_text command = {NULL, 0, 0};
    va_list arguments;
    int fd;

    if (redis->sent_len == SERVER_SENT)
        support_fail("server_send: more than %d", SERVER_SENT);
    va_start(arguments, format);
    admin_encode(&command, format, arguments);
    va_end(arguments);
    fd = admin_connect(redis->path);
    if (fd < 0 || !server_authenticate(redis, fd) || !admin_send(fd, command.data, command.len))
        support_fail("server_send: %s: connection lost", format);
    redis->sent[redis->sent_len++] = fd;
    admin_text_free(&command);
}

int64_t server_info(server *redis, const char *section, const char *name)
{
    const char *text = server_text(redis, "INFO %s", section);
    char line[128];
    const char *found;

    snprintf(line, sizeof line, "\n%s:", name);
    found = strstr(text, line);
    return found != NULL ? strtoll(found + strlen(line), NULL, 10) : 0;
}

int64_t server_calls(server *redis, const char *command)
{
    const char *text = server_text(redis, "INFO commandstats");
    int64_t calls = 0;
    char line[128];
    const char *found;

    snprintf(line, sizeof line, "\ncmdstat_%s:calls=", command);
    found = strstr(text, line);
    if (found != NULL)
        calls = strtoll(found + strlen(line), NULL, 10);
    /* The server executes what several clients sent, and then replies to them, in any order. */
    (void)server_text(redis, "ECHO replied");
    return calls;
}

/* ---- Life ---- */

static void server_launch(server *redis)
{
    char config[SERVER_PATH_MAX];
    pid_t parent = getpid();
    pid_t pid;

    snprintf(config, sizeof config, "%s/redis.conf", redis->folder);
    unlink(redis->path);
    pid = fork();
    if (pid < 0)
        support_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        const char *other = getenv("RESPLOCK_TEST_SERVER");
        const char *program = other != NULL && *other != '\0' ? other : "redis-server";
        sigset_t none;
        int null = open("/dev/null", O_RDWR);

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execlp(program, program, config, (char *)NULL);
        _exit(127);
    }
    redis->pid = pid;
    redis->paused = false;
}

static void server_reap(server *redis)
{
    while (waitpid(redis->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    redis->pid = 0;
    redis->paused = false;
    server_disconnect(redis);
}

static void server_show_log(const server *redis)
{
    FILE *file = fopen(redis->log, "re");
    char line[512];

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        print_error("%s", line);
    if (file != NULL)
        fclose(file);
}

void server_wait_ready(server *redis)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    int64_t end_ms = support_now_ms() + (int64_t)SERVER_WAIT_MS * support_time_factor();

    for (;;) {
        admin_text reply = {NULL, 0, 0};
        bool ready = false;
        char type = 0;

        if (server_connect(redis) && admin_send(redis->fd, ping, sizeof ping - 1) &&
            admin_receive(redis->fd, SERVER_WAIT_MS, &reply, &type) == ADMIN_OK)
            ready = strncmp(reply.data, "-LOADING", 8) != 0;
        else
            server_disconnect(redis);
        admin_text_free(&reply);
        if (ready)
            return;
        if (waitpid(redis->pid, NULL, WNOHANG) == redis->pid) {
            redis->pid = 0;
            server_show_log(redis);
            support_fail("redis-server didn't start (is it installed?)");
        }
        if (support_now_ms() > end_ms) {
            server_show_log(redis);
            support_fail("redis-server doesn't answer");
        }
        support_sleep_ms(2);
    }
}

static void server_free_all(void)
{
    while (server_all != NULL)
        server_free(server_all);
}

const server_config server_unfenced = {
    .lines = SERVER_LINES("user admin on >secret ~* &* +@all",
                          "user default on nopass ~* &* +@all -client|kill"),
    .user = "admin",
    .user_password = "secret",
};

server *server_start(const server_config *config)
{
    static const server_config defaults;
    server *redis = (server *)calloc(1, sizeof *redis);

    if (redis == NULL)
        abort();
    if (config == NULL)
        config = &defaults;
    support_at_teardown(server_free_all);
    redis->fd = -1;
    redis->reserved = -1;
    redis->reserved6 = -1;
    redis->bus_reserved = -1;
    redis->folder = support_folder_new();
    redis->next = server_all;
    server_all = redis;
    redis->password = server_copy(config->password);
    redis->user = server_copy(config->user);
    redis->user_password = server_copy(config->user_password);
    snprintf(redis->path, sizeof redis->path, "%s/redis.sock", redis->folder);
    snprintf(redis->log, sizeof redis->log, "%s/redis.log", redis->folder);
    snprintf(redis->url, sizeof redis->url, "unix://%s", redis->path);
    if (config->tcp)
        server_reserve_both(redis);
    if (config->cluster) {
        redis->bus_reserved = server_reserve(AF_INET, &redis->bus);
        if (redis->bus_reserved < 0)
            support_fail("no TCP port: %s", strerror(errno));
    }
    server_configure(redis, config);
    server_launch(redis);
    server_wait_ready(redis);
    return redis;
}

void server_kill(server *redis)
{
    if (redis->pid == 0)
        return;
    kill(redis->pid, SIGKILL);
    server_reap(redis);
}

void server_stop(server *redis)
{
    int64_t end_ms = support_now_ms() + 5000;

    if (redis->pid == 0)
        return;
    server_resume(redis);
    kill(redis->pid, SIGTERM);
    while (support_now_ms() < end_ms) {
        if (waitpid(redis->pid, NULL, WNOHANG) == redis->pid) {
            redis->pid = 0;
            server_disconnect(redis);
            return;
        }
        support_sleep_ms(1);
    }
    server_kill(redis);
}

void server_free(server *redis)
{
    server **link = &server_all;
    size_t i;

    while (*link != NULL && *link != redis)
        link = &(*link)->next;
    if (*link != NULL)
        *link = redis->next;
    server_kill(redis);
    server_disconnect(redis);
    for (i = 0; i < redis->sent_len; i++)
        close(redis->sent[i]);
    if (redis->reserved >= 0)
        close(redis->reserved);
    if (redis->reserved6 >= 0)
        close(redis->reserved6);
    if (redis->bus_reserved >= 0)
        close(redis->bus_reserved);
    for (i = 0; i < SERVER_TEXTS; i++)
        admin_text_free(&redis->texts[i]);
    support_folder_remove(redis->folder);
    free(redis->folder);
    free(redis->password);
    free(redis->user);
    free(redis->user_password);
    free(redis);
}

void server_save(server *redis)
{
    server_do(redis, "SAVE");
}

void server_restart_begin(server *redis, bool keep_data)
{
    char name[SERVER_PATH_MAX];

    server_kill(redis);
    if (!keep_data) {
        snprintf(name, sizeof name, "%s/dump.rdb", redis->folder);
        unlink(name);
    }
    server_launch(redis);
}

void server_restart(server *redis, bool keep_data)
{
    server_restart_begin(redis, keep_data);
    server_wait_ready(redis);
}

/* Waits until the kernel says that it has stopped: a signal is not instantaneous. */
void server_pause(server *redis)
{
    int status;

    if (redis->paused || redis->pid == 0)
        return;
    kill(redis->pid, SIGSTOP);
    while (waitpid(redis->pid, &status, WUNTRACED) < 0 && errno == EINTR)
        ;
    redis->paused = true;
}

void server_resume(server *redis)
{
    if (!redis->paused)
        return;
    kill(redis->pid, SIGCONT);
    redis->paused = false;
}

/* ---- Where it is ---- */

const char *server_url(const server *redis)
{
    return redis->url;
}

const char *server_tcp_url(const server *redis)
{
    return redis->tcp_url;
}

const char *server_tcp6_url(const server *redis)
{
    return redis->tcp6_url;
}

const char *server_tls_url(const server *redis)
{
    return redis->tls_url;
}

const char *server_path(const server *redis)
{
    return redis->path;
}

const char *server_folder(const server *redis)
{
    return redis->folder;
}

int server_port(const server *redis)
{
    return redis->port;
}

pid_t server_pid(const server *redis)
{
    return redis->pid;
}
