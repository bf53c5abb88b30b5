/* SPDX-License-Identifier: MIT
 *
 * Errors in words, rendered on demand into the client's one buffer.
 */
#include "acquire.h"
#include "command.h"
#include "lease.h"
#include "refusal.h"
#include "node_lock.h"
#include "text_out.h"
#include "waiting.h"

#include <string.h>

#ifndef RLK_NO_TEXT
/* Longest part of a key that is shown. */
#define TEXT_KEY_MAX 48

/* Longest part of a host or path that is shown: its end, which says more than its beginning. */
#define TEXT_ADDRESS_MAX 108u
#endif

static text_out text_start(rlk_client *client)
{
    return text_begin(client->text, sizeof client->text);
}

#ifndef RLK_NO_TEXT
static void text_bytes(text_out *out, const char *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        rlki_text_char(out, bytes[i]);
}

/* "NAME: meaning" */
static void text_result(text_out *out, rlk_result result)
{
    rlki_text_string(out, rlk_result_name(result));
    rlki_text_string(out, ": ");
    rlki_text_string(out, rlk_result_text(result));
}

/* What ended a lease; NULL: nothing is known. */
static const char *text_lost_cause(unsigned cause)
{
    static const char *const causes[RLK_LOST_CAUSES] = {
        NULL,
        "the lease ran out before it was renewed",
        "the lease ran out, because the server refused to renew it",
        "the key is gone: deleted, evicted, expired, or lost with the server's data",
        "the key has another value: somebody wrote it, or deleted and acquired it",
        "the key has something that is not a string"};

    return causes[cause];
}

/* What a result means to an operation; NULL: what it means to all. */
static const char *text_of_operation(unsigned operation, rlk_result result)
{
    switch (operation) {
    case RLK_OP_ACQUIRE:
        return result == RLK_E_TIMES ? "the wait is negative: RLK_TRY, RLK_FOREVER, RLK_DEFAULT or "
                                       "milliseconds"
                                     : NULL;
    case RLK_OP_QUERY:
        if (result == RLK_E_ARGUMENT)
            return "holders is NULL, or has room for less than rlk_client_nodes()";
        return result == RLK_NOT_HELD ? "nobody has the lock" : NULL;
    case RLK_OP_EXTEND:
    case RLK_OP_RENEW:
        return result == RLK_UNKNOWN ? "sent, but not answered in time: held until the deadline of "
                                       "before, and the key may live longer"
                                     : NULL;
    case RLK_OP_RELEASE:
        return result == RLK_UNKNOWN ? "not answered in time: the key may stay until its TTL is "
                                       "over; the delete is repeated while the client is served"
                                     : NULL;
    case RLK_OP_FORCE_RELEASE:
        return result == RLK_UNKNOWN ? "sent, but not answered in time: perhaps the key is deleted"
                                     : NULL;
    default:
        return NULL;
    }
}

/* "NAME: meaning", of a lock's operation */
static void text_lock_result(text_out *out, const rlk_lock *lock, unsigned operation,
                             rlk_result result)
{
    const char *meaning = text_of_operation(operation, result);
    bool lost = result == RLK_LOST || result == RLK_NOT_OWNER;

    if (lost)
        meaning = text_lost_cause(lock->lost_cause);
    rlki_text_string(out, rlk_result_name(result));
    rlki_text_string(out, ": ");
    rlki_text_string(out, meaning != NULL ? meaning : rlk_result_text(result));
    rlki_text_lock_limit(out, lock, operation, result);
    if (result == RLK_LOST)
        rlki_text_string(out, "; stop using what it protects");
}

/* The end of a text that may be long. */
static void text_tail(text_out *out, const char *bytes, size_t len)
{
    if (len > TEXT_ADDRESS_MAX) {
        rlki_text_string(out, "...");
        bytes += len - TEXT_ADDRESS_MAX;
        len = TEXT_ADDRESS_MAX;
    }
    text_bytes(out, bytes, len);
}

/* "127.0.0.1:6379", "[::1]:6379", "/run/redis.sock" */
static void text_address(text_out *out, const rlk_url *url)
{
    bool v6 = false;
    uint16_t i;

    if (url->host != NULL) {
        for (i = 0; i < url->host_len; i++)
            v6 = v6 || url->host[i] == ':';
        rlki_text_string(out, v6 ? "[" : "");
        text_tail(out, url->host, url->host_len);
        rlki_text_string(out, v6 ? "]:" : ":");
        rlki_text_number(out, url->port);
    } else {
        text_tail(out, url->path, url->path_len);
    }
}

/* A node answers, as far as the last operation of the lock (NULL: the connection) has seen. */
static bool text_answers(const rlk_client *client, const rlk_lock *lock, unsigned node)
{
    unsigned vote = lock != NULL ? lock->nodes[node].vote : (unsigned)RLKI_VOTE_NONE;

    if (rlki_conn_state(client->conns[node]) != RLK_CONN_READY || vote == RLKI_VOTE_ERROR)
        return false;
    return lock == NULL || vote != RLKI_VOTE_NONE || lock->error != RLK_E_RESPONSE_TIMEOUT;
}

/* "; 2 of 5 nodes answer, 3 are needed" */
static void text_quorum(text_out *out, const rlk_client *client, const rlk_lock *lock)
{
    unsigned answering = 0;
    unsigned i;

    if (rlki_nodes(client) == 1)
        return;
    for (i = 0; i < rlki_nodes(client); i++)
        answering += text_answers(client, lock, i);
    rlki_text_string(out, "; ");
    rlki_text_number(out, answering);
    rlki_text_string(out, " of ");
    rlki_text_number(out, rlki_nodes(client));
    rlki_text_string(out, answering == 1 ? " nodes answers, " : " nodes answer, ");
    rlki_text_number(out, rlki_needed(client));
    rlki_text_string(out, " are needed");
}

/* "; connection refused, errno 111" */
static void text_errno(text_out *out, const rlk_env *env, int number)
{
    const char *words = env->errno_text != NULL ? env->errno_text(env->context, number) : NULL;

    rlki_text_string(out, "; ");
    if (words != NULL) {
        rlki_text_string(out, words);
        rlki_text_string(out, ", ");
    }
    rlki_text_string(out, "errno ");
    rlki_text_number(out, (uint32_t)number);
}

/* The connection's text has the driver's words, not the server's. */
static bool text_is_drivers(rlk_result error)
{
    return error == RLK_E_NOT_CONNECTED || error == RLK_E_RESOLVE ||
           error == RLK_E_CONNECT_TIMEOUT || error == RLK_E_TLS || error == RLK_E_TLS_REFUSED;
}

/* " (node 0, 127.0.0.1:6379, HELLO; the server said: ...; errno 111)" */
static void text_node(text_out *out, rlk_client *client, unsigned node, const char *command,
                      rlk_result error)
{
    rlk_conn *conn = client->conns[node];
    rlk_result_kind kind = rlk_result_class(error);
    const char *said = rlk_conn_text(conn);

    rlki_text_string(out, " (node ");
    rlki_text_number(out, node);
    if (error != RLK_E_DANGLING) { /* else whose memory the URL's is now is not known */
        rlki_text_string(out, ", ");
        text_address(out, rlk_conn_url(conn));
    }
    if (command[0] != '\0') {
        rlki_text_string(out, ", ");
        rlki_text_string(out, command);
    }
    if (said[0] != '\0' &&
        (kind == RLK_KIND_SERVER || kind == RLK_KIND_FATAL || text_is_drivers(error))) {
        rlki_text_string(out, text_is_drivers(error) ? "; " : "; the server said: ");
        rlki_text_string(out, said);
    }
    /* Redis hangs up without a word on its TLS port; other servers have sent RLK_E_NOT_RESP. */
    if ((error == RLK_E_EOF || error == RLK_E_IO) && rlki_conn_was_mute(conn))
        rlki_text_string(out, "; hung up before the first reply: is it a TLS port?");
    if (kind == RLK_KIND_TRANSPORT && rlk_conn_errno(conn) > 0)
        text_errno(out, &client->env, rlk_conn_errno(conn));
    rlki_text_char(out, ')');
}

/* The same, of an operation's command; RLKI_NO_COMMAND: of the connection's own. */
static void text_command_node(text_out *out, rlk_client *client, const rlk_lock *lock,
                              unsigned node, unsigned command, rlk_result error)
{
    const char *name = command != RLKI_NO_COMMAND ? rlki_command_name(command)
                                                  : rlk_conn_step(client->conns[node]);

    rlki_text_conn_limit(out, client->conns[node], error);
    text_quorum(out, client, lock);
    text_node(out, client, node, name, error);
}

/* What rlk_lock_init or open refused, of one node if that is not the first. */
static void text_refused(text_out *out, const rlk_client *client)
{
    unsigned node = client->error_node;

    text_result(out, (rlk_result)client->error);
    rlki_text_refusal(out, client);
    if (node == 0)
        return;
    rlki_text_string(out, " (node ");
    rlki_text_number(out, node);
    rlki_text_char(out, ')');
}

/* "acquire "foobar": " */
static void text_lock(text_out *out, const rlk_lock *lock, unsigned operation)
{
    rlki_text_string(out, rlki_operation_name(operation));
    if (lock->error == RLK_E_DANGLING) {
        rlki_text_string(out, ": ");
        return;
    }
    rlki_text_string(out, " \"");
    text_bytes(out, (const char *)lock->key,
               lock->key_len < TEXT_KEY_MAX ? lock->key_len : TEXT_KEY_MAX);
    rlki_text_string(out, lock->key_len > TEXT_KEY_MAX ? "...\": " : "\": ");
}

/* "still waiting after 30 s: " */
static void text_waiting(text_out *out, const rlk_lock *lock)
{
    int64_t waited_ms = lock->client->clock_ms - lock->as.wait.began_ms;

    rlki_text_string(out, "still waiting after ");
    rlki_text_number(out,
                     (waited_ms < (int64_t)UINT32_MAX ? (uint32_t)waited_ms : UINT32_MAX) / 1000);
    rlki_text_string(out, " s: ");
}

static void text_last_error(text_out *out, rlk_result error)
{
    rlki_text_string(out, "; last error ");
    rlki_text_string(out, rlk_result_name(error));
}

#else /* RLK_NO_TEXT: numbers */

static void text_result(text_out *out, rlk_result result)
{
    if (result < 0)
        rlki_text_char(out, '-');
    rlki_text_number(out, (uint32_t)(result < 0 ? -(int)result : (int)result));
}

static void text_lock_result(text_out *out, const rlk_lock *lock, unsigned operation,
                             rlk_result result)
{
    (void)lock;
    (void)operation;
    text_result(out, result);
}

static void text_refused(text_out *out, const rlk_client *client)
{
    unsigned node = client->error_node;
    text_result(out, (rlk_result)client->error);
    rlki_text_char(out, ' ');
    rlki_text_char(out, '@');
    rlki_text_number(out, node);
}

static void text_command_node(text_out *out, rlk_client *client, const rlk_lock *lock,
                              unsigned node, unsigned command, rlk_result error)
{
    (void)lock;
    (void)client;
    (void)command;
    (void)error;
    rlki_text_char(out, ' ');
    rlki_text_char(out, '@');
    rlki_text_number(out, node);
}

static void text_lock(text_out *out, const rlk_lock *lock, unsigned operation)
{
    (void)out;
    (void)lock;
    (void)operation;
}

static void text_waiting(text_out *out, const rlk_lock *lock)
{
    (void)out;
    (void)lock;
}

static void text_last_error(text_out *out, rlk_result error)
{
    rlki_text_char(out, ' ');
    text_result(out, error);
}
#endif

/* ---- what a server can't do ---- */

#ifndef RLK_NO_TEXT
static void text_limit(text_out *out, const rlk_client *client, unsigned node, const char *limit)
{
    rlki_text_string(out, *client->text != '\0' ? "; " : "works, but ");
    if (rlki_nodes(client) > 1) {
        rlki_text_string(out, "node ");
        rlki_text_number(out, node);
        rlki_text_char(out, ' ');
    }
    rlki_text_string(out, limit);
}
#endif

/* Of a client that works: "works, but ...; ...", or nothing. */
static void text_limits(text_out *out, const rlk_client *client)
{
#ifdef RLK_NO_TEXT
    (void)out;
    (void)client;
#else
    unsigned i;

    for (i = 0; i < rlki_nodes(client); i++) {
        const rlk_conn *conn = client->conns[i];
        unsigned server = rlki_conn_server(conn);

        if (!rlk_conn_is_tracking(conn))
            text_limit(out, client, i, "does not notify waiters: they ask again after pauses");
        if ((server & RLK_SERVER_IDENTITY) == 0)
            text_limit(out, client, i, "can't fence lost connections: more results are UNKNOWN");
        if ((server & RLK_SERVER_CLUSTER) != 0)
            text_limit(out, client, i, "is a cluster's node: refuses keys of other nodes");
        if ((server & RLK_SERVER_NO_LOAD) != 0)
            text_limit(out, client, i, "takes no SCRIPT LOAD: the script may leave with each call");
    }
#endif
}

/* ---- the public calls ---- */

/* The first node whose connection has failed; the number of nodes if there is none. */
static unsigned text_failed_node(const rlk_client *client)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(client); i++)
        if (rlk_conn_result(client->conns[i]) != RLK_OK)
            break;
    return i;
}

/* The error that keeps a lock of the client waiting; false: none does. */
static bool text_waiter(const rlk_client *client, rlki_reason *reason)
{
    const rlk_lock *lock;

    for (lock = client->locks; lock != NULL; lock = lock->next) {
        if (!rlki_acquire_is_trying(lock))
            continue;
        *reason = rlki_waiting_reason(lock);
        if (reason->result < 0)
            return true;
    }
    return false;
}

const char *rlk_client_error(rlk_client *client)
{
    rlki_reason reason;
    text_out out;
    unsigned node;

    if (client == NULL)
        return rlk_result_text(RLK_E_ARGUMENT);
    out = text_start(client);
    if (client->error != RLK_OK) {
        text_refused(&out, client);
        return client->text;
    }
    if (client->state != RLKI_CLIENT_OPEN)
        return client->text;
    node = text_failed_node(client);
    if (node < rlki_nodes(client)) {
        rlk_result result = rlk_conn_result(client->conns[node]);

        text_result(&out, result);
        text_command_node(&out, client, NULL, node, RLKI_NO_COMMAND, result);
    } else if (text_waiter(client, &reason)) {
        text_result(&out, reason.result);
        text_command_node(&out, client, NULL, reason.node, reason.command, reason.result);
    } else if (client->failed != RLK_OK) {
        rlk_result result = (rlk_result)client->failed;

        text_result(&out, result);
        text_command_node(&out, client, NULL, client->failed_node, client->failed_command, result);
    } else if (client->checked) {
        text_limits(&out, client);
    }
    return client->text;
}

/* Returns what came last: the result of the last call, or of a renewal or a loss since then. */
static rlk_result text_outcome(const rlk_lock *lock, unsigned *operation)
{
    bool renewed = (lock->options & RLKI_OPTION_RENEWED) != 0;
    bool fell = (lock->options & RLKI_OPTION_FELL) != 0;

    *operation = lock->done_operation;
    if (renewed || fell)
        *operation = renewed ? RLK_OP_RENEW : RLK_OP_NONE;
    if (fell && !(renewed && lock->renewal == RLK_NOT_OWNER))
        return RLK_LOST;
    return (rlk_result)(renewed ? lock->renewal : lock->done_result);
}

/* What an acquire that goes on waits for. */
static void text_still_waits(text_out *out, const rlk_lock *lock)
{
    rlki_reason reason = rlki_waiting_reason(lock);

    text_lock(out, lock, RLK_OP_ACQUIRE);
    text_waiting(out, lock);
    text_result(out, reason.result);
    if (reason.result < 0)
        text_command_node(out, lock->client, NULL, reason.node, reason.command, reason.result);
}

/* Returns true if the next acquire has just begun behind a loss, of which the words are. */
static bool text_has_just_lost(const rlk_lock *lock)
{
    return (lock->options & RLKI_OPTION_FELL) != 0 &&
           lock->as.wait.began_ms == lock->client->clock_ms;
}

const char *rlk_lock_error(rlk_lock *lock)
{
    rlk_client *client;
    unsigned operation;
    rlk_result result;
    rlk_result error;
    text_out out;

    if (lock == NULL || lock->client == NULL)
        return rlk_result_text(RLK_E_CLOSED);
    client = lock->client;
    out = text_start(client);
    if (rlki_acquire_is_trying(lock) && !text_has_just_lost(lock)) {
        text_still_waits(&out, lock);
        return client->text;
    }
    result = text_outcome(lock, &operation);
    error = (rlk_result)lock->error;
    text_lock(&out, lock, operation);
    text_lock_result(&out, lock, operation, result);
    /* of wrong use a connection has a text of some only (RLK_E_RESOLVER, RLK_E_CREDENTIALS) */
    if (error < 0 && (rlk_result_class(result) != RLK_KIND_USAGE || error == result)) {
        if (error != result)
            text_last_error(&out, error);
        text_command_node(&out, client, lock, lock->error_node, lock->error_command, error);
    }
    return client->text;
}
