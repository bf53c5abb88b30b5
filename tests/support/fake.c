/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_STREAM_MAX (256u * 1024)

#define FAKE_INFO                                                                                  \
    "# Server\r\nredis_version:7.0.15\r\nprocess_id:42\r\n"                                        \
    "run_id:0123456789abcdef0123456789abcdef01234567\r\ntcp_port:6379\r\n"

const fake_rule fake_good_server[] = {
    {"HELLO 3", "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"
                "$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:77\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
                "$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*1\r\n%2\r\n$2\r\nid\r\n:1\r\n"
                "$4\r\nname\r\n$2\r\nid\r\n"},
    {"AUTH", "+OK\r\n"},
    {"CLIENT SETNAME", "+OK\r\n"},
    {"CLIENT ID", ":78\r\n"},
    {"SELECT", "+OK\r\n"},
    {"INFO server", "=115\r\ntxt:" FAKE_INFO "\r\n"},
    {"CLIENT KILL", ":1\r\n"},
    {"SCRIPT LOAD", "$40\r\n0123456789abcdef0123456789abcdef01234567\r\n"},
    {NULL, NULL},
};

/* ---- The layer above --------------------------------------------------------------------- */

static fake_request *fake_owner(rlk_request *request)
{
    return (fake_request *)(void *)request;
}

static unsigned fake_encode(void *context, rlk_conn *conn, rlk_request *request,
                            rlk_resp_writer *writer)
{
    static const char padding[4096];
    fake_request *own = fake_owner(request);
    unsigned i;

    (void)context;
    assert_int_equal(rlk_conn_get_state(conn), RLK_CONN_READY);
    assert_int_equal(request->state, RLK_REQUEST_QUEUED);
    for (i = 0; i < own->commands; i++) {
        rlk_resp_put_command(writer, own->padding != 0 ? 3 : 2);
        rlk_resp_put_bulk(writer, "ECHO", 4);
        rlk_resp_put_integer(writer, own->number * 10 + (int)i);
        if (own->padding != 0)
            rlk_resp_put_bulk(writer, padding, own->padding);
    }
    return own->commands;
}

static void fake_on_reply(void *context, rlk_conn *conn, rlk_request *request,
                          const rlk_reply *reply, unsigned left)
{
    fake *self = (fake *)context;
    fake_request *own = fake_owner(request);

    assert_ptr_equal(conn, &self->conn);
    assert_int_equal(rlk_conn_now(conn), self->now_ms);
    assert_false(own->withdrawn);
    assert_int_equal(request->state, left == 0 ? RLK_REQUEST_IDLE : RLK_REQUEST_SENT);
    assert_int_equal(left, own->commands - own->replies - 1);
    if (reply->type == RLK_RESP_INTEGER) /* never another's */
        assert_int_equal(reply->value, own->number * 10 + (int)own->replies);
    own->replies++;
    self->reply = *reply;
    self->reply.data = NULL;
    memset(self->reply_data, 0, sizeof self->reply_data);
    if (reply->data != NULL && reply->len < sizeof self->reply_data)
        memcpy(self->reply_data, reply->data, reply->len);
    if (self->on_reply != NULL)
        self->on_reply(self, own, left);
}

static void fake_on_lost(void *context, rlk_conn *conn, rlk_request *request, bool maybe_sent)
{
    fake *self = (fake *)context;
    fake_request *own = fake_owner(request);

    assert_ptr_equal(conn, &self->conn);
    assert_int_equal(rlk_conn_now(conn), self->now_ms);
    assert_false(own->withdrawn);
    assert_int_equal(request->state, RLK_REQUEST_IDLE);
    own->lost++;
    own->maybe_sent = maybe_sent;
    self->lost++;
    self->last_lost = own->number;
    if (self->on_lost != NULL)
        self->on_lost(self, own);
}

static void fake_on_changed(void *context, rlk_conn *conn)
{
    fake *self = (fake *)context;
    rlk_conn_state state = rlk_conn_get_state(conn);

    assert_int_equal(rlk_conn_now(conn), self->now_ms);
    assert_true(state == RLK_CONN_READY || state == RLK_CONN_WAITING || state == RLK_CONN_FATAL);
    self->changed++;
    self->became_ready += state == RLK_CONN_READY;
    if (self->on_changed != NULL)
        self->on_changed(self);
}

static void fake_on_invalidated(void *context, rlk_conn *conn, uint32_t key_hash, bool all)
{
    fake *self = (fake *)context;

    assert_int_equal(rlk_conn_now(conn), self->now_ms);
    assert_int_equal(rlk_conn_get_state(conn), RLK_CONN_READY);
    self->invalidated += !all;
    self->invalidated_all += all;
    self->invalidated_hash = key_hash;
}

void fake_submit(fake *self, fake_request *request, int number)
{
    memset(request, 0, sizeof *request);
    request->number = number;
    request->commands = 1;
    rlk_conn_submit(&self->conn, &request->request, self->now_ms);
}

void fake_submit_all(fake *self, fake_request *requests, int count)
{
    int i;

    for (i = 0; i < count; i++)
        fake_submit(self, &requests[i], i);
}

void fake_assert_answered(const fake_request *requests, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        assert_int_equal(requests[i].replies, requests[i].commands);
        assert_int_equal(requests[i].lost, 0);
    }
}

/* ---- The server -------------------------------------------------------------------------- */

void fake_say_bytes(fake *self, const void *bytes, size_t len)
{
    assert_true(self->in_len + len <= FAKE_STREAM_MAX);
    memcpy(self->in + self->in_len, bytes, len);
    self->in_len += len;
}

void fake_say(fake *self, const char *bytes)
{
    fake_say_bytes(self, bytes, strlen(bytes));
}

static void fake_answer(fake *self, const char *command)
{
    const fake_rule *rule = self->rules;
    char reply[32];
    size_t used = strlen(self->commands);
    bool echo = strncmp(command, "ECHO ", 5) == 0;

    while (rule->command != NULL && strncmp(command, rule->command, strlen(rule->command)) != 0)
        rule++;
    if (echo && rule->command == NULL) {
        (void)snprintf(reply, sizeof reply, ":%d\r\n", atoi(command + 5));
        fake_say(self, reply);
        return;
    }
    if (!echo)
        (void)snprintf(self->commands + used, sizeof self->commands - used, "%s;", command);
    if (rule->command == NULL) /* special rules come before the good ones */
        for (rule = fake_good_server;
             rule->command != NULL && strncmp(command, rule->command, strlen(rule->command)) != 0;)
            rule++;
    assert_non_null(rule->command);
    if (rule->reply != NULL)
        fake_say(self, rule->reply);
}

/* A number line; 0: not all of it is here. */
static size_t fake_number(const char *at, size_t len, char type, size_t *value)
{
    const char *end = (const char *)memchr(at, '\n', len);

    if (end == NULL)
        return 0;
    assert_int_equal(at[0], type);
    *value = (size_t)atoi(at + 1);
    return (size_t)(end - at) + 1;
}

/* The next command, as words with spaces between them. */
static bool fake_command(fake *self, char *text, size_t cap)
{
    size_t at = self->out_parsed;
    size_t count;
    size_t n = fake_number(self->out + at, self->out_len - at, '*', &count);
    size_t used = 0;

    if (n == 0)
        return false;
    for (at += n; count > 0; count--) {
        size_t len;
        size_t i;

        n = fake_number(self->out + at, self->out_len - at, '$', &len);
        if (n == 0 || self->out_len - at - n < len + 2)
            return false;
        at += n;
        if (used != 0 && used < cap - 1)
            text[used++] = ' ';
        for (i = 0; i < len && used < cap - 1; i++)
            text[used++] = self->out[at + i];
        assert_memory_equal(self->out + at + len, "\r\n", 2);
        at += len + 2;
    }
    text[used] = '\0';
    self->out_parsed = at;
    return true;
}

static size_t fake_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t fake_portion(const fake *self, size_t len, size_t left)
{
    len = fake_least(len, left);
    return self->chunk != 0 ? fake_least(len, self->chunk) : len;
}

bool fake_take(fake *self)
{
    size_t len;
    const uint8_t *bytes = rlk_conn_tx_buf(&self->conn, &len);
    char command[1024];

    assert_int_equal(len != 0, (rlk_conn_wants(&self->conn) & RLK_WANT_WRITE) != 0);
    assert_int_equal(len != 0, bytes != NULL);
    len = fake_portion(self, len, self->out_max - self->out_len);
    if (len == 0)
        return false;
    assert_true(self->out_len + len <= FAKE_STREAM_MAX);
    memcpy(self->out + self->out_len, bytes, len);
    self->out_len += len;
    rlk_conn_tx_ack(&self->conn, len, self->now_ms);
    while (fake_command(self, command, sizeof command))
        fake_answer(self, command);
    return true;
}

bool fake_give(fake *self)
{
    size_t cap;
    uint8_t *room;
    size_t len = fake_portion(self, self->in_len - self->in_fed, self->in_max - self->in_fed);

    if (len == 0)
        return false;
    room = rlk_conn_rx_buf(&self->conn, &cap);
    assert_int_equal(cap != 0, (rlk_conn_wants(&self->conn) & RLK_WANT_READ) != 0);
    len = fake_least(len, cap);
    if (len == 0)
        return false;
    memcpy(room, self->in + self->in_fed, len);
    self->in_fed += len;
    rlk_conn_rx_ack(&self->conn, len, self->now_ms);
    return true;
}

void fake_run(fake *self)
{
    bool moved;

    do {
        moved = fake_take(self);
        moved = fake_give(self) || moved;
    } while (moved);
}

/* ---- Life -------------------------------------------------------------------------------- */

void fake_init(fake *self, size_t tx_cap, size_t rx_cap, uint16_t ring_len)
{
    memset(self, 0, sizeof *self);
    self->config.tx_cap = tx_cap != 0 ? tx_cap : 4096;
    self->config.rx_cap = rx_cap != 0 ? rx_cap : 4096;
    self->config.ring_len = ring_len != 0 ? ring_len : 64;
    self->config.tx = (uint8_t *)malloc(self->config.tx_cap);
    self->config.rx = (uint8_t *)malloc(self->config.rx_cap);
    self->config.ring = (rlk_conn_entry *)malloc(self->config.ring_len * sizeof(rlk_conn_entry));
    self->out = (char *)malloc(FAKE_STREAM_MAX);
    self->in = (char *)malloc(FAKE_STREAM_MAX);
    assert_true(self->config.tx != NULL && self->config.rx != NULL && self->config.ring != NULL &&
                self->out != NULL && self->in != NULL);
    memset(self->config.tx, 0, self->config.tx_cap); /* tests search it for secrets */
    memset(self->config.rx, 0, self->config.rx_cap);
    self->calls.encode = fake_encode;
    self->calls.reply = fake_on_reply;
    self->calls.lost = fake_on_lost;
    self->calls.changed = fake_on_changed;
    self->calls.invalidated = fake_on_invalidated;
    self->config.calls = &self->calls;
    self->config.calls_context = self;
    self->config.no_tracking = true; /* one command less; test_session_tracking has its own */
    self->config.jitter_seed = 1234;
    self->rules = fake_good_server;
    self->out_max = SIZE_MAX;
    self->in_max = SIZE_MAX;
    self->now_ms = 1000000;
    self->local = "10.0.0.1:50000";
    self->config.url.host = "localhost";
    self->config.url.host_len = 9;
    self->config.url.port = 6379;
}

void fake_start(fake *self)
{
    assert_result(rlk_conn_init(&self->conn, &self->config, self->now_ms), RLK_OK);
}

void fake_free(fake *self)
{
    free(self->config.tx);
    free(self->config.rx);
    free(self->config.ring);
    free(self->out);
    free(self->in);
}

void fake_open(fake *self)
{
    if (rlk_conn_deadline(&self->conn) > self->now_ms)
        self->now_ms = rlk_conn_deadline(&self->conn);
    rlk_conn_tick(&self->conn, self->now_ms);
    assert_int_equal(rlk_conn_wants(&self->conn), RLK_WANT_CONNECT);
    rlk_conn_connecting(&self->conn, self->now_ms);
    self->out_len = 0;
    self->out_parsed = 0;
    self->in_len = 0;
    self->in_fed = 0;
    self->commands[0] = '\0';
    rlk_conn_connected(&self->conn, self->peer, self->local, self->now_ms);
}

void fake_connect(fake *self)
{
    fake_open(self);
    fake_run(self);
}

void fake_ready(fake *self, size_t tx_cap, size_t rx_cap, uint16_t ring_len)
{
    fake_init(self, tx_cap, rx_cap, ring_len);
    fake_start(self);
    fake_connect(self);
    assert_int_equal(rlk_conn_get_state(&self->conn), RLK_CONN_READY);
}

void fake_close(fake *self)
{
    if ((rlk_conn_wants(&self->conn) & RLK_WANT_CLOSE) != 0)
        rlk_conn_closed(&self->conn, RLK_OK, 0, self->now_ms);
}

bool fake_holds(const void *memory, size_t len, const char *word)
{
    const char *at = (const char *)memory;
    size_t n = strlen(word);
    size_t i;

    for (i = 0; i + n <= len; i++)
        if (memcmp(at + i, word, n) == 0)
            return true;
    return false;
}
