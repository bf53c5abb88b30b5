/* SPDX-License-Identifier: MIT */
#include "outage.h"

static void stop(proxied *world, size_t node)
{
    server_pause(world->set.servers[node]);
}

static void resume(proxied *world, size_t node)
{
    server_resume(world->set.servers[node]);
}

static void mute_replies(proxied *world, size_t node)
{
    proxy_mute(world->proxies[node], true);
    proxy_hold(world->proxies[node], PROXY_TO_CLIENT);
}

static void swallow(proxied *world, size_t node)
{
    mute_replies(world, node); /* first, so that no new connection passes */
    proxy_hold(world->proxies[node], PROXY_TO_SERVER);
}

static void heal(proxied *world, size_t node)
{
    proxy_mute(world->proxies[node], false);
    proxy_release(world->proxies[node]);
}

static void refuse(proxied *world, size_t node)
{
    proxy_refuse(world->proxies[node], true);
    proxy_cut(world->proxies[node], PROXY_FIN);
}

static void accept_again(proxied *world, size_t node)
{
    proxy_refuse(world->proxies[node], false);
}

static void save_and_kill(proxied *world, size_t node)
{
    server_save(world->set.servers[node]);
    server_kill(world->set.servers[node]);
}

static void restart(proxied *world, size_t node)
{
    server_restart(world->set.servers[node], true);
}

static void restart_empty(proxied *world, size_t node)
{
    server_restart(world->set.servers[node], false);
}

const outage outage_stopped = {"stopped", stop, resume};
const outage outage_swallowed = {"all swallowed", swallow, heal};
const outage outage_unheard = {"replies swallowed", mute_replies, heal};
const outage outage_refused = {"refused", refuse, accept_again};
const outage outage_killed = {"killed, data kept", save_and_kill, restart};
const outage outage_emptied = {"killed, data lost", save_and_kill, restart_empty};

void outage_begin(const outage *what, proxied *world, size_t first, size_t end)
{
    size_t node;

    for (node = first; node < end; node++)
        what->begin(world, node);
}

void outage_end(const outage *what, proxied *world, size_t first, size_t end)
{
    size_t node;

    for (node = first; node < end; node++)
        what->end(world, node);
}
