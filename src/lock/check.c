/* SPDX-License-Identifier: MIT
 *
 * rlk_client_check: connects, and says whether the servers can do what a lock needs. It sends what
 * the handshake sends, and no more:
 *
 *           call                 each node is ready, or its attempt failed, or the time is over
 *     IDLE --------> CONNECTING ----------------------------------------------------------> IDLE
 *                        |                                                                   ^
 *                        +----- interrupted: RLK_CANCELLED, connections go on ---------------+
 */
#include "clock.h"
#include "epoch.h"
#include "command.h"
#include "lease.h"

/* Begins: what ended unnoticed is noticed, and who was a replica may not be one any more. */
static rlk_result check_begin(rlk_client *client, uint32_t *failures)
{
    unsigned i;
    int answer;

    rlki_client_now(client);
    answer = client->env.wait(client->env.context, client, client->clock_ms);
    if (client->state != RLKI_CLIENT_OPEN)
        return RLK_E_CLOSED;
    if (answer != 0)
        return answer == RLK_CANCELLED ? RLK_CANCELLED : RLK_E_WAIT;
    rlki_client_now(client);
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_conn *conn = client->conns[i];

        if ((rlki_conn_server(conn) & RLK_SERVER_REPLICA) != 0)
            rlk_conn_reset(conn, client->clock_ms);
        rlk_conn_hurry(conn, client->clock_ms);
        failures[i] = rlk_conn_failures(conn);
    }
    return RLK_OK;
}

static bool check_is_over(const rlk_client *client, const uint32_t *failures)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(client); i++) {
        const rlk_conn *conn = client->conns[i];

        if (rlki_conn_state(conn) != RLK_CONN_READY && !rlki_conn_is_over(conn) &&
            rlk_conn_failures(conn) == failures[i])
            return false;
    }
    return true;
}

static rlk_result check_wait(rlk_client *client, const uint32_t *failures)
{
    int64_t end_ms = client->clock_ms + client->operation_timeout_ms;

    while (!check_is_over(client, failures) && client->clock_ms < end_ms) {
        int64_t deadline_ms = rlk_client_deadline(client);
        int answer = client->env.wait(client->env.context, client,
                                      deadline_ms < end_ms ? deadline_ms : end_ms);

        if (client->state != RLKI_CLIENT_OPEN)
            return RLK_E_CLOSED;
        if (answer != 0)
            return answer == RLK_CANCELLED ? RLK_CANCELLED : RLK_E_WAIT;
        rlk_client_tick(client);
        rlki_client_now(client);
    }
    return RLK_OK;
}

static rlk_result check_node(const rlk_conn *conn)
{
    rlk_result result = rlk_conn_result(conn); /* RLK_OK: it is ready */

    if (result == RLK_OK && (rlki_conn_server(conn) & RLK_SERVER_REPLICA) != 0)
        return RLK_E_READONLY;
    return result;
}

rlk_result rlk_client_check(rlk_client *client)
{
    uint32_t failures[RLK_MAX_NODES] = {0};
    rlk_result result = rlki_client_enter(client);
    unsigned i;

    if (result != RLK_OK)
        return result;
    if (client->env.wait == NULL)
        return RLK_E_WAIT;
    rlki_client_changing(client);
    result = check_begin(client, failures);
    if (result == RLK_OK)
        result = check_wait(client, failures);
    client->served_ms = client->now_ms;
    for (i = 0; i < rlki_nodes(client) && result == RLK_OK; i++) {
        result = check_node(client->conns[i]);
        client->failed_node = (uint8_t)i;
    }
    client->failed_command = RLKI_NO_COMMAND;
    client->failed = (int16_t)(result < 0 ? result : RLK_OK);
    client->checked = result == RLK_OK;
    return result;
}
