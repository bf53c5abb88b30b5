/* SPDX-License-Identifier: MIT
 *
 * Streams as TCP makes them: in order, without loss or repetition, until they break. What breaks a
 * stream decides how much of what is under way still arrives, and which side gets its end. A lost
 * packet is a stall; a blocked path holds back what is due until it is free again. What a closed
 * sender had sent still arrives.
 */
#include "world.h"

#include <string.h>

static sim_path *net_path(const sim_stream *stream)
{
    return &sim.paths[stream->process][stream->server];
}

static void net_schedule(sim_stream *stream, sim_way way)
{
    sim_pipe *pipe = &stream->pipes[way];

    if (pipe->scheduled || pipe->held || pipe->used == 0)
        return;
    pipe->scheduled = true;
    world_at(pipe->segments[pipe->head].at_us, SIM_EVENT_PIPE,
             (unsigned)(stream - sim.streams) * 2u + (unsigned)way, stream->generation);
}

/* When what is sent now arrives. */
static int64_t net_arrival(const sim_stream *stream)
{
    const sim_path *path = net_path(stream);
    sim_rng *rng = &sim.members[stream->process].rng;
    int64_t at_us = sim.now_us + path->delay_us + (int64_t)sim_dice(rng, path->jitter_us + 1);

    if (path->loss > 0 && sim_chance(rng, path->loss)) {
        MET(LOSS);
        at_us += sim_between(rng, 200, 800) * SIM_MS;
    }
    return at_us;
}

static void net_add(sim_stream *stream, sim_way way, uint32_t upto, bool end)
{
    sim_pipe *pipe = &stream->pipes[way];
    int64_t at_us = net_arrival(stream);
    sim_segment *segment;

    if (pipe->used > 0) {
        const sim_segment *last = &pipe->segments[(pipe->head + pipe->used - 1u) % SIM_SEGMENTS];

        if (at_us < last->at_us)
            at_us = last->at_us;
    }
    if (pipe->used == SIM_SEGMENTS) /* they come together */
        pipe->used--;
    segment = &pipe->segments[(pipe->head + pipe->used) % SIM_SEGMENTS];
    pipe->used++;
    segment->at_us = at_us;
    segment->upto = upto;
    segment->end = end;
    net_schedule(stream, way);
}

/* One that neither side uses. Where there is none, keepalive finds one whose client is gone without
 * a word. */
static sim_stream *net_unused(void)
{
    unsigned i;

    for (i = 0; i < SIM_STREAMS; i++)
        if (!sim.streams[i].client_open && !sim.streams[i].server_open)
            return &sim.streams[i];
    for (i = 0; i < SIM_STREAMS; i++) {
        sim_stream *stream = &sim.streams[i];

        if (!stream->client_open && stream->pipes[SIM_UP].limited) {
            host_kill(&sim.hosts[stream->server], stream->slot);
            return stream;
        }
    }
    world_violate(SIM_SELF, "too many streams");
    return NULL;
}

sim_stream *net_open(unsigned process, unsigned node, unsigned server, const char *address)
{
    sim_host *host = &sim.hosts[server];
    sim_stream *stream = net_unused();
    unsigned way;
    unsigned slot;

    if (stream == NULL)
        return NULL;
    slot = model_open(&host->model, address);
    if (slot == MODEL_CLIENTS)
        return NULL;
    stream->client_open = true;
    stream->server_open = true;
    stream->process = (uint8_t)process;
    stream->node = (uint8_t)node;
    stream->server = (uint8_t)server;
    stream->slot = (uint8_t)slot;
    stream->generation++;
    host->streams[slot] = (uint8_t)(stream - sim.streams);
    for (way = SIM_UP; way <= SIM_DOWN; way++)
        memset(&stream->pipes[way], 0, offsetof(sim_pipe, segments));
    return stream;
}

size_t net_write(sim_stream *stream, sim_way way, const void *bytes, size_t len)
{
    sim_pipe *pipe = &stream->pipes[way];
    size_t room = SIM_PIPE - (pipe->written - pipe->read);
    size_t at = pipe->written % SIM_PIPE;
    size_t first;

    if (len > room)
        len = room;
    first = len < SIM_PIPE - at ? len : SIM_PIPE - at;
    memcpy(pipe->bytes + at, bytes, first);
    memcpy(pipe->bytes, (const uint8_t *)bytes + first, len - first);
    pipe->written += (uint32_t)len;
    return len;
}

void net_flush(sim_stream *stream, sim_way way)
{
    sim_pipe *pipe = &stream->pipes[way];

    /* into the void; there is always room */
    if (pipe->limited || pipe->ending || (way == SIM_DOWN && !stream->client_open)) {
        pipe->written = pipe->sent;
        return;
    }
    if (pipe->sent == pipe->written)
        return;
    pipe->sent = pipe->written;
    net_add(stream, way, pipe->sent, false);
}

const uint8_t *net_peek(const sim_stream *stream, sim_way way, size_t *len)
{
    const sim_pipe *pipe = &stream->pipes[way];
    size_t at = pipe->read % SIM_PIPE;

    *len = pipe->arrived - pipe->read;
    if (*len > SIM_PIPE - at)
        *len = SIM_PIPE - at;
    return pipe->bytes + at;
}

void net_skip(sim_stream *stream, sim_way way, size_t len)
{
    stream->pipes[way].read += (uint32_t)len;
}

bool net_at_end(const sim_stream *stream, sim_way way)
{
    const sim_pipe *pipe = &stream->pipes[way];

    return pipe->ended && pipe->read == pipe->arrived;
}

uint32_t net_under_way(const sim_stream *stream, sim_way way)
{
    return stream->pipes[way].sent - stream->pipes[way].arrived;
}

void net_close(sim_stream *stream, sim_way way)
{
    sim_pipe *pipe = &stream->pipes[way];

    if (pipe->limited || pipe->ending)
        return;
    net_flush(stream, way);
    pipe->ending = true;
    net_add(stream, way, pipe->sent, true);
}

void net_cut(sim_stream *stream, sim_way way, uint32_t bytes, bool ends)
{
    sim_pipe *pipe = &stream->pipes[way];
    uint32_t most = net_under_way(stream, way);

    if (pipe->limited)
        return;
    pipe->limited = true;
    pipe->silent = !ends;
    pipe->limit = pipe->arrived + (bytes < most ? bytes : most);
    pipe->written = pipe->sent;
    if (ends && !pipe->ending) {
        pipe->ending = true;
        net_add(stream, way, pipe->sent, true);
    }
}

void net_block(unsigned process, unsigned server, sim_way way, bool block)
{
    sim_path *path = &sim.paths[process][server];
    unsigned i;

    if (block) {
        path->blocked[way]++;
        return;
    }
    if (--path->blocked[way] > 0)
        return;
    for (i = 0; i < SIM_STREAMS; i++) {
        sim_stream *stream = &sim.streams[i];
        sim_pipe *pipe = &stream->pipes[way];
        unsigned k;

        if (stream->process != process || stream->server != server || !pipe->held)
            continue;
        pipe->held = false;
        for (k = 0; k < pipe->used; k++) { /* sent again, now that it gets through */
            sim_segment *segment = &pipe->segments[(pipe->head + k) % SIM_SEGMENTS];

            if (segment->at_us < sim.now_us + path->delay_us)
                segment->at_us = sim.now_us + path->delay_us;
        }
        net_schedule(stream, way);
    }
}

static void net_take(sim_pipe *pipe, const sim_segment *segment)
{
    uint32_t upto = segment->upto;

    if (pipe->limited && (int32_t)(upto - pipe->limit) > 0)
        upto = pipe->limit;
    if ((int32_t)(upto - pipe->arrived) > 0)
        pipe->arrived = upto;
    if (segment->end && !pipe->silent)
        pipe->ended = true;
}

void net_arrive(unsigned number, sim_way way, uint32_t generation)
{
    sim_stream *stream = &sim.streams[number];
    sim_pipe *pipe = &stream->pipes[way];

    if (stream->generation != generation || (!stream->client_open && !stream->server_open))
        return;
    pipe->scheduled = false;
    if (net_path(stream)->blocked[way] > 0) {
        pipe->held = true;
        return;
    }
    while (pipe->used > 0 && pipe->segments[pipe->head].at_us <= sim.now_us) {
        net_take(pipe, &pipe->segments[pipe->head]);
        pipe->head = (uint8_t)((pipe->head + 1u) % SIM_SEGMENTS);
        pipe->used--;
    }
    net_schedule(stream, way);
    if (way == SIM_UP)
        host_read(stream);
    else if (stream->client_open)
        process_wake(&sim.members[stream->process]);
}
