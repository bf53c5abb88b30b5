/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "proxy_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t proxy_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- Lanes ---- */

static void proxy_lane_clear(proxy_lane *lane)
{
    while (lane->head != NULL) {
        proxy_chunk *chunk = lane->head;

        lane->head = chunk->next;
        free(chunk);
    }
    lane->tail = NULL;
    lane->collected.len = 0;
}

static void proxy_lane_add(proxy_lane *lane, const char *data, size_t len, int64_t due_us)
{
    proxy_chunk *chunk = (proxy_chunk *)malloc(sizeof *chunk + len);

    if (chunk == NULL)
        abort();
    chunk->next = NULL;
    chunk->due_us = due_us;
    chunk->len = len;
    chunk->taken = 0;
    memcpy(chunk->data, data, len);
    if (lane->tail != NULL)
        lane->tail->next = chunk;
    else
        lane->head = chunk;
    lane->tail = chunk;
}

size_t proxy_lane_waiting(const proxy_lane *lane)
{
    size_t sum = lane->out.len - lane->out_start + lane->collected.len;
    const proxy_chunk *chunk;

    for (chunk = lane->head; chunk != NULL; chunk = chunk->next)
        sum += chunk->len - chunk->taken;
    return sum;
}

static void proxy_lane_flush_collected(proxy_lane *lane)
{
    admin_append(&lane->out, lane->collected.data, lane->collected.len);
    lane->collected.len = 0;
    lane->collecting = false;
}

static void proxy_lane_written(proxy_state *state, int direction, proxy_lane *lane, size_t n)
{
    lane->out_start += n;
    state->passed[direction] += n;
    if (lane->out_start == lane->out.len)
        lane->out_start = lane->out.len = 0;
}

static void proxy_lane_write(proxy_state *state, int direction, proxy_lane *lane, int fd,
                             int64_t *next_us)
{
    while (lane->out_start < lane->out.len) {
        size_t len = lane->out.len - lane->out_start;
        ssize_t n;

        if (fd < 0) { /* nobody is there to take it */
            lane->out_start = lane->out.len = 0;
            return;
        }
        if (state->dribble_us[direction] > 0) {
            int64_t now_us = proxy_now_us();

            if (now_us < lane->next_us) {
                if (lane->next_us < *next_us)
                    *next_us = lane->next_us;
                return;
            }
            lane->next_us = now_us + state->dribble_us[direction];
            len = 1;
        }
        n = send(fd, lane->out.data + lane->out_start, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            lane->out_start = lane->out.len = 0;
            return;
        }
        proxy_lane_written(state, direction, lane, (size_t)n);
    }
}

/* ---- Links ---- */

proxy_link *proxy_link_new(proxy_state *state, int client, int server)
{
    proxy_link *link = (proxy_link *)calloc(1, sizeof *link);

    if (link == NULL)
        abort();
    link->client = client;
    link->server = server;
    link->next = state->links;
    state->links = link;
    return link;
}

static void proxy_close(int *fd, proxy_ending ending)
{
    char drain[4096];

    if (*fd >= 0 && ending == PROXY_RST) {
        stream_close_rst(*fd);
    } else if (*fd >= 0) {
        /* Bytes that nobody read would make the FIN an RST. */
        while (recv(*fd, drain, sizeof drain, MSG_DONTWAIT) > 0)
            ;
        close(*fd);
    }
    *fd = -1;
}

void proxy_link_cut_client(proxy_link *link, proxy_ending ending)
{
    proxy_close(&link->client, ending);
    link->lanes[PROXY_TO_SERVER].ended = true;
    proxy_lane_clear(&link->lanes[PROXY_TO_CLIENT]);
    link->lanes[PROXY_TO_CLIENT].held = false;
}

void proxy_link_cut(proxy_link *link, proxy_ending ending)
{
    proxy_link_cut_client(link, ending);
    proxy_lane_clear(&link->lanes[PROXY_TO_SERVER]);
    link->lanes[PROXY_TO_SERVER].held = false;
}

/* ---- Commands ---- */

void proxy_rule_free(proxy_rule *rule)
{
    free(rule->words);
    free(rule->bytes);
    free(rule);
}

/* The rule that acts on this command, taken out unless it is for every one; NULL if none does.
 * Others that match count it. */
static proxy_rule *proxy_rule_take(proxy_state *state, const char *command, bool *temporary)
{
    proxy_rule *found = NULL;
    proxy_rule **next = &state->rules;

    *temporary = false;
    while (*next != NULL) {
        proxy_rule *rule = *next;

        if (stream_matches(command, rule->words)) {
            if (found == NULL && rule->left <= 1) {
                found = rule;
                if (rule->left == 1) {
                    *next = rule->next;
                    *temporary = true;
                    continue;
                }
            } else if (rule->left > 1) {
                rule->left--;
            }
        }
        next = &rule->next;
    }
    return found;
}

static void proxy_due_add(proxy_link *link, const proxy_rule *rule)
{
    proxy_due *due = (proxy_due *)calloc(1, sizeof *due);
    proxy_due **end = &link->dues;

    if (due == NULL)
        abort();
    due->number = link->commands;
    due->action = rule->action;
    due->ending = rule->ending;
    due->len = rule->len;
    due->bytes = (char *)malloc(rule->len + 1);
    if (due->bytes == NULL)
        abort();
    memcpy(due->bytes, rule->bytes, rule->len);
    while (*end != NULL)
        end = &(*end)->next;
    *end = due;
}

static void proxy_due_drop(proxy_link *link)
{
    proxy_due *due = link->dues;

    link->dues = due->next;
    free(due->bytes);
    free(due);
}

/* Answers whose turn has come: all real replies before them have passed. */
static void proxy_link_answer(proxy_link *link)
{
    while (link->dues != NULL && link->dues->action == PROXY_ANSWER &&
           link->dues->number <= link->replies) {
        admin_append(&link->lanes[PROXY_TO_CLIENT].out, link->dues->bytes, link->dues->len);
        proxy_due_drop(link);
    }
}

/* A whole command has come and was collected. */
static void proxy_link_command(proxy_state *state, proxy_link *link)
{
    proxy_lane *lane = &link->lanes[PROXY_TO_SERVER];
    int64_t never = INT64_MAX;
    bool temporary;
    proxy_rule *rule = proxy_rule_take(state, lane->tracker.words, &temporary);

    if (rule == NULL) {
        proxy_lane_flush_collected(lane);
        link->commands++;
        return;
    }
    switch (rule->action) {
    case PROXY_ANSWER:
        proxy_due_add(link, rule);
        lane->collected.len = 0;
        proxy_link_answer(link);
        break;
    case PROXY_REWRITE:
    case PROXY_DUPLICATE:
    case PROXY_CUT_REPLY:
        proxy_due_add(link, rule);
        proxy_lane_flush_collected(lane);
        link->commands++;
        break;
    case PROXY_CUT_BEFORE:
        proxy_link_cut(link, rule->ending);
        break;
    case PROXY_CUT_LATE:
    case PROXY_HOLD:
        /* What is before it leaves; it waits in `out`, where no rule sees it again. */
        proxy_lane_write(state, PROXY_TO_SERVER, lane, link->server, &never);
        proxy_lane_flush_collected(lane);
        link->commands++;
        lane->held = true;
        if (rule->action == PROXY_CUT_LATE)
            proxy_link_cut_client(link, rule->ending);
        break;
    }
    if (temporary)
        proxy_rule_free(rule);
}

static void proxy_log(proxy_state *state, const char *words)
{
    state->log = (char **)realloc(state->log, (state->log_len + 1) * sizeof *state->log);
    if (state->log == NULL)
        abort();
    state->log[state->log_len++] = strdup(words);
}

static void proxy_byte_to_server(proxy_state *state, proxy_link *link, char byte)
{
    proxy_lane *lane = &link->lanes[PROXY_TO_SERVER];
    stream_event event;

    if (!lane->tracker.inside)
        lane->collecting = state->rules != NULL && !lane->tracker.broken;
    event = stream_feed(&lane->tracker, byte);
    admin_append(lane->collecting ? &lane->collected : &lane->out, &byte, 1);
    if (event == STREAM_BROKEN && lane->collecting)
        proxy_lane_flush_collected(lane);
    if (event != STREAM_VALUE)
        return;
    proxy_log(state, lane->tracker.words);
    if (lane->collecting)
        proxy_link_command(state, link);
    else
        link->commands++;
    lane->collecting = false;
}

/* ---- Replies ---- */

static void proxy_link_reply(proxy_link *link)
{
    proxy_lane *lane = &link->lanes[PROXY_TO_CLIENT];
    proxy_due *due = link->dues;
    proxy_ending ending = due->ending;

    link->replies++;
    switch (due->action) {
    case PROXY_REWRITE:
        lane->collected.len = 0;
        admin_append(&lane->out, due->bytes, due->len);
        break;
    case PROXY_DUPLICATE:
        admin_append(&lane->out, lane->collected.data, lane->collected.len);
        proxy_lane_flush_collected(lane);
        break;
    default:
        proxy_due_drop(link);
        lane->collected.len = 0;
        proxy_link_cut(link, ending);
        return;
    }
    proxy_due_drop(link);
    proxy_link_answer(link);
}

/* The reply under way is one that a rule wants. */
static bool proxy_reply_is_due(const proxy_link *link)
{
    return link->dues != NULL && link->dues->action != PROXY_ANSWER &&
           link->dues->number == link->replies;
}

static void proxy_byte_to_client(const proxy_state *state, proxy_link *link, char byte)
{
    proxy_lane *lane = &link->lanes[PROXY_TO_CLIENT];
    stream_event event;

    if (!lane->tracker.inside)
        lane->collecting = !lane->tracker.broken &&
                           (proxy_reply_is_due(link) || (state->drop_pushes && byte == '>'));
    event = stream_feed(&lane->tracker, byte);
    admin_append(lane->collecting ? &lane->collected : &lane->out, &byte, 1);
    if (event == STREAM_BROKEN && lane->collecting)
        proxy_lane_flush_collected(lane);
    if (event != STREAM_VALUE)
        return;
    if (lane->tracker.push) {
        if (lane->collecting && state->drop_pushes)
            lane->collected.len = 0;
        else if (lane->collecting)
            proxy_lane_flush_collected(lane);
    } else if (lane->collecting) {
        proxy_link_reply(link);
    } else {
        link->replies++;
        proxy_link_answer(link);
    }
    lane->collecting = false;
}

void proxy_link_inject(proxy_link *link, const void *bytes, size_t len)
{
    if (link->client >= 0)
        admin_append(&link->lanes[PROXY_TO_CLIENT].out, bytes, len);
}

/* ---- Bytes ---- */

static void proxy_lane_pump(proxy_state *state, proxy_link *link, int direction, int64_t *next_us)
{
    proxy_lane *lane = &link->lanes[direction];
    proxy_cut_rule *cut = &state->cuts[direction];
    int64_t now_us = proxy_now_us();

    while (lane->head != NULL && !lane->held) {
        proxy_chunk *chunk = lane->head;
        char byte;

        if (chunk->due_us > now_us) {
            if (chunk->due_us < *next_us)
                *next_us = chunk->due_us;
            return;
        }
        byte = chunk->data[chunk->taken++];
        if (chunk->taken == chunk->len) {
            lane->head = chunk->next;
            if (lane->head == NULL)
                lane->tail = NULL;
            free(chunk);
        }
        if (cut->armed && !cut->pass)
            ; /* counted and dropped */
        else if (direction == PROXY_TO_SERVER)
            proxy_byte_to_server(state, link, byte);
        else
            proxy_byte_to_client(state, link, byte);
        if (cut->armed && --cut->left == 0) {
            int64_t never = INT64_MAX;

            cut->armed = false;
            proxy_lane_flush_collected(lane);
            if (cut->hold) {
                proxy_lane_write(state, direction, lane,
                                 direction == PROXY_TO_SERVER ? link->server : link->client,
                                 &never);
                lane->held = true;
                return;
            }
            /* The client's socket is closed by the cut: what is for it must be in it before. */
            if (direction == PROXY_TO_CLIENT)
                proxy_lane_write(state, direction, lane, link->client, &never);
            proxy_link_cut(link, cut->ending);
        }
    }
}

static void proxy_lane_read(proxy_state *state, int direction, proxy_lane *lane, int fd)
{
    char data[65536];
    ssize_t n;

    while (!lane->ended) {
        n = recv(fd, data, sizeof data, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n > 0) {
            proxy_lane_add(lane, data, (size_t)n,
                           proxy_now_us() + (int64_t)state->delay_ms[direction] * 1000);
            continue;
        }
        lane->ended = true;
        lane->reset = n < 0;
    }
}

void proxy_link_read(proxy_state *state, proxy_link *link, bool client, bool server)
{
    if (client && link->client >= 0)
        proxy_lane_read(state, PROXY_TO_SERVER, &link->lanes[PROXY_TO_SERVER], link->client);
    if (server && link->server >= 0)
        proxy_lane_read(state, PROXY_TO_CLIENT, &link->lanes[PROXY_TO_CLIENT], link->server);
}

static bool proxy_lane_done(const proxy_lane *lane)
{
    return lane->ended && !lane->closed && !lane->held && lane->head == NULL &&
           lane->out_start == lane->out.len;
}

void proxy_link_step(proxy_state *state, proxy_link *link, int64_t *next_us)
{
    proxy_lane *up = &link->lanes[PROXY_TO_SERVER];
    proxy_lane *down = &link->lanes[PROXY_TO_CLIENT];

    proxy_lane_pump(state, link, PROXY_TO_SERVER, next_us);
    proxy_lane_pump(state, link, PROXY_TO_CLIENT, next_us);
    /* A value that will never be complete goes on as the bytes that it is. */
    if (up->ended && up->head == NULL && up->collected.len > 0)
        proxy_lane_flush_collected(up);
    if (down->ended && down->head == NULL && down->collected.len > 0)
        proxy_lane_flush_collected(down);
    if (!up->held)
        proxy_lane_write(state, PROXY_TO_SERVER, up, link->server, next_us);
    if (!down->held)
        proxy_lane_write(state, PROXY_TO_CLIENT, down, link->client, next_us);
    if (proxy_lane_done(up)) {
        /* Not close: replies that nobody read would make it an RST. */
        up->closed = true;
        if (link->server >= 0)
            shutdown(link->server, SHUT_WR);
    }
    if (proxy_lane_done(down)) {
        down->closed = true;
        proxy_close(&link->server, PROXY_FIN);
        if (!link->half_open)
            proxy_close(&link->client, down->reset ? PROXY_RST : PROXY_FIN);
        up->ended = up->ended || link->client < 0;
    }
}

static bool proxy_link_over(const proxy_link *link)
{
    if (link->server >= 0)
        return false;
    return link->client < 0 || link->lanes[PROXY_TO_SERVER].ended;
}

static void proxy_link_free(proxy_link *link)
{
    int i;

    proxy_close(&link->client, PROXY_FIN);
    proxy_close(&link->server, PROXY_FIN);
    for (i = 0; i < 2; i++) {
        proxy_lane_clear(&link->lanes[i]);
        admin_text_free(&link->lanes[i].out);
        admin_text_free(&link->lanes[i].collected);
    }
    while (link->dues != NULL)
        proxy_due_drop(link);
    free(link);
}

void proxy_links_sweep(proxy_state *state, bool every)
{
    proxy_link **next = &state->links;

    while (*next != NULL) {
        proxy_link *link = *next;

        if (every || proxy_link_over(link)) {
            *next = link->next;
            proxy_link_free(link);
        } else {
            next = &link->next;
        }
    }
}
