/* SPDX-License-Identifier: MIT
 *
 * The steps SCRIPT LOAD, EVALSHA and EVAL.
 *
 * Before the first SET it is certain that the script can run, so that no undo depends on a round
 * trip (rule 4). SCRIPT LOAD and EVALSHA leave in one go; only where the server takes no SCRIPT
 * LOAD (proxies route by keys, and refuse it in many words) EVAL follows, with the script in it:
 *
 *    SCRIPT LOAD --OK-------> EVALSHA --any answer but "it can't"--> ready
 *        | refused               | answered --> ready
 *        '---------> EVALSHA ----+
 *    (plain)                     | refused
 *        '-----------------------+----------> EVAL --answered--> ready
 *                                                  refused: the attempt fails
 *
 * Scripts without a probe need SCRIPT LOAD.
 */
#include "script_steps.h"

#include "server_text.h"

#include <string.h>

bool rlki_script_may_eval(const rlk_conn *conn)
{
    return conn->scripts.count != 0 && conn->scripts.all[0].probe != NULL;
}

/* Only begins: their bytes are no part of tx. */
static rlk_result script_load_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)writer;
    if ((conn->server & RLK_SERVER_NO_LOAD) == 0)
        conn->scripts.next = 0;
    return RLK_OK;
}

/* Another refusal is met again by EVAL: it is passing, or the same for both. */
static rlk_result script_load_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->error == RLK_OK)
        return reply->type == RLK_RESP_BULK ? RLK_OK : RLK_E_UNEXPECTED;
    if (!rlki_script_may_eval(conn) ||
        (reply->error != RLK_E_UNSUPPORTED && reply->error != RLK_E_NOPERM &&
         reply->error != RLK_E_SERVER))
        return reply->error;
    conn->server |= RLK_SERVER_NO_LOAD;
    rlki_text_forget(conn);
    return RLK_OK;
}

static rlk_result script_probe_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if (rlki_script_may_eval(conn))
        rlk_resp_put_raw(writer, conn->scripts.all[0].probe, strlen(conn->scripts.all[0].probe));
    return RLK_OK;
}

/* An error in words that nobody knows is no answer: proxies want keys. */
static rlk_result script_probe_reply(rlk_conn *conn, const rlk_reply *reply)
{
    bool no_load = (conn->server & RLK_SERVER_NO_LOAD) != 0;
    bool denied = reply->error == RLK_E_UNSUPPORTED || reply->error == RLK_E_NOPERM;

    if ((denied && !no_load) || rlki_step_is_refused(reply->error))
        return reply->error;
    if (reply->error == RLK_OK) {
        conn->server |= RLK_SERVER_EVALSHA;
        return RLK_OK;
    }
    if (reply->error == RLK_E_NOSCRIPT && no_load) /* EVALSHA is known, keys are not asked for */
        conn->server |= RLK_SERVER_EVAL;
    rlki_text_forget(conn);
    return RLK_OK;
}

/* Waits, because the answers before it say whether it is needed. Without further arguments the
 * script only probes, and touches no key. Proxies want one to route by; where it was not asked for,
 * none: the user may have keys of his own only. */
static rlk_result script_eval_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    bool keyless = (conn->server & RLK_SERVER_EVAL) != 0;

    if (!rlki_script_may_eval(conn))
        return RLK_OK;
    if (conn->ring.used != 0)
        return RLK_PENDING;
    if ((conn->server & (RLK_SERVER_NO_LOAD | RLK_SERVER_EVALSHA)) != RLK_SERVER_NO_LOAD)
        return RLK_OK;
    rlk_resp_put_command(writer, keyless ? 3 : 4);
    rlk_conn_put_script(conn, writer);
    rlk_resp_put_integer(writer, keyless ? 0 : 1);
    if (!keyless)
        rlki_step_word(writer, "resplock");
    return RLK_OK;
}

/* EVALSHA works from now on, until NOSCRIPT. What a plain attempt is refused a full one may get, if
 * the hang-ups before were accidents: so it is not fatal. */
static rlk_result script_eval_reply(rlk_conn *conn, const rlk_reply *reply)
{
    conn->server &= (uint16_t)~RLK_SERVER_EVAL;
    if (reply->error != RLK_OK && (conn->server & RLK_SERVER_PLAIN) != 0)
        return RLK_E_SERVER;
    return reply->error;
}

const conn_step rlki_step_scripts = {
    CONN_SCRIPT_LOAD, script_load_encode, NULL, script_load_reply, 0,
};

const conn_step rlki_step_probe = {
    "EVALSHA", script_probe_encode, NULL, script_probe_reply, CONN_STEP_EXTRA,
};

const conn_step rlki_step_eval = {
    "SCRIPT LOAD, EVAL", script_eval_encode, NULL, script_eval_reply, 0,
};
