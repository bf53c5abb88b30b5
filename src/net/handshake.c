/* SPDX-License-Identifier: MIT
 *
 * The handshake: a table of steps, sent in order, as many at once as need not wait for each other.
 *
 *    HELLO 3 | --map---> [CLIENT TRACKING] ------> [CLIENT ID] SELECT [INFO] | [fence] scripts
 *              | --proto 2, array -----------------> ^                                   |
 *              '-refused--> AUTH [CLIENT SETNAME] ---'                                   ready
 *
 *    [ ] optional: refused is good enough       | barrier: first all replies before it
 *
 * HELLO is refused in any words but those of handshake_hello_refused; the stream goes on as RESP2.
 *
 * Where no fence is due, two round trips. The fence waits for INFO, since that says how.
 *
 * The fence: commands of a connection that ended may still stand in buffers of the system or of
 * the server, and execute after this connection's first. Killing the old connection by its id
 * empties them. The server must be known to be the same instance before, since ids begin anew
 * with each instance, and an innocent client may bear the old one.
 */
#include "conn_internal.h"

#include <string.h>

#define HANDSHAKE_BARRIER  0x01u /* waits until all earlier replies were read */
#define HANDSHAKE_OPTIONAL 0x02u /* an error is tolerated */
#define HANDSHAKE_SECRET   0x04u /* the command has the password in it */
#define HANDSHAKE_EXTRA    0x08u /* left out where the peer hangs up at what it does not know */

typedef struct handshake_step {
    const char *name;
    bool (*needed)(const rlk_conn *conn);                          /* NULL: always */
    rlk_result (*encode)(rlk_conn *conn, rlk_resp_writer *writer); /* nothing written: skipped */
    void (*token)(rlk_conn *conn, const rlk_resp_token *token);    /* NULL: not looked into */
    rlk_result (*reply)(rlk_conn *conn, const rlk_reply *reply);   /* NULL: any will do */
    uint8_t flags;
} handshake_step;

static void handshake_word(rlk_resp_writer *writer, const char *word)
{
    rlk_resp_put_bulk(writer, word, strlen(word));
}

/* ---- Credentials ------------------------------------------------------------------------- */

/* Texts are where the caller or the URL has them; only the transmit buffer gets a copy. */
typedef struct handshake_secret {
    rlk_credentials texts;
    bool escaped; /* percent-encoded, as in the URL */
    bool wanted;
} handshake_secret;

static void handshake_url_secret(const rlk_url *url, handshake_secret *secret)
{
    secret->texts.user = url->user;
    secret->texts.user_len = url->user != NULL ? url->user_len : 0;
    secret->texts.password = url->password;
    secret->texts.password_len = url->password != NULL ? url->password_len : 0;
    secret->escaped = true;
    /* A user alone has an empty password; ":@" is nobody. */
    secret->wanted = secret->texts.user_len != 0 || secret->texts.password_len != 0;
}

/* The connection remembers where the password is, as long as its owner leaves it there: until the
 * handshake is over. */
static rlk_result handshake_ask_secret(rlk_conn *conn, handshake_secret *secret)
{
    int refused;

    if (conn->credentials == NULL) {
        handshake_url_secret(&conn->url, secret);
    } else {
        memset(secret, 0, sizeof *secret);
        refused = conn->credentials(conn->credentials_context, &secret->texts);
        if (refused != 0)
            return refused == RLK_E_DANGLING ? RLK_E_DANGLING : RLK_E_CREDENTIALS;
        if (secret->texts.user == NULL)
            secret->texts.user_len = 0;
        secret->wanted = secret->texts.password != NULL;
    }
    conn->password = secret->texts.password;
    conn->password_len = secret->wanted ? secret->texts.password_len : 0;
    return RLK_OK;
}

static size_t handshake_plain_len(const char *text, size_t len, bool escaped)
{
    return escaped ? rlk_url_decode(text, len, NULL, 0) : len;
}

static void handshake_put_text(rlk_resp_writer *writer, const char *text, size_t len, bool escaped)
{
    size_t plain = handshake_plain_len(text, len, escaped);
    uint8_t *hole = rlk_resp_put_hole(writer, plain);

    if (hole == NULL || plain == 0)
        return;
    if (escaped)
        (void)rlk_url_decode(text, len, hole, plain);
    else
        memcpy(hole, text, len);
}

static void handshake_put_user(rlk_resp_writer *writer, const handshake_secret *secret)
{
    handshake_put_text(writer, secret->texts.user, secret->texts.user_len, secret->escaped);
}

static void handshake_put_password(rlk_resp_writer *writer, const handshake_secret *secret)
{
    handshake_put_text(writer, secret->texts.password, secret->texts.password_len, secret->escaped);
}

size_t rlki_handshake_room(const rlk_url *url)
{
    handshake_secret secret;

    handshake_url_secret(url, &secret);
    if (!secret.wanted)
        return RLK_CONN_TX_MIN;
    return RLK_CONN_TX_AUTH(
        handshake_plain_len(secret.texts.user, secret.texts.user_len, true),
        handshake_plain_len(secret.texts.password, secret.texts.password_len, true));
}

/* "standalone", "cluster", "sentinel": as HELLO and INFO have it. */
static void handshake_take_mode(rlk_conn *conn, uint8_t first, uint8_t second)
{
    if (first == 'c')
        conn->server |= RLK_SERVER_CLUSTER;
    if (first == 's' && second == 'e')
        conn->server |= RLK_SERVER_SENTINEL;
}

/* ---- HELLO ------------------------------------------------------------------------------- */

#ifndef RLK_RESP2_ONLY

/* match: what the next element of the map is: a key, or the value of which key. */
enum {
    HANDSHAKE_MAP_KEY,
    HANDSHAKE_MAP_VALUE,
    HANDSHAKE_MAP_ID,
    HANDSHAKE_MAP_PROTO,
    HANDSHAKE_MAP_MODE,
    HANDSHAKE_MAP_ROLE
};

/* Dragonfly has "dragonfly_version", and had "dfly_version". */
#define HANDSHAKE_FLY     "fly_version"
#define HANDSHAKE_FLY_LEN (sizeof HANDSHAKE_FLY - 1)

static bool handshake_hello_needed(const rlk_conn *conn)
{
    return !conn_is_resp2_only(conn);
}

static rlk_result handshake_hello_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    handshake_secret secret;
    rlk_result result = handshake_ask_secret(conn, &secret);

    if (result != RLK_OK)
        return result;
    rlk_resp_put_command(writer,
                         2u + (secret.wanted ? 3u : 0u) + (conn->client_name != NULL ? 2u : 0u));
    handshake_word(writer, "HELLO");
    handshake_word(writer, "3");
    if (secret.wanted) {
        handshake_word(writer, "AUTH");
        if (secret.texts.user_len != 0)
            handshake_put_user(writer, &secret);
        else
            handshake_word(writer, "default");
        handshake_put_password(writer, &secret);
    }
    if (conn->client_name != NULL) {
        handshake_word(writer, "SETNAME");
        handshake_word(writer, conn->client_name);
    }
    return RLK_OK;
}

static bool handshake_is_word(const rlk_resp_token *token, const char *word)
{
    size_t n = strlen(word);

    return token->len == n && memcmp(token->data, word, n) == 0;
}

static uint8_t handshake_hello_key(rlk_conn *conn, const rlk_resp_token *token)
{
    if (handshake_is_word(token, "id"))
        return HANDSHAKE_MAP_ID;
    if (handshake_is_word(token, "proto"))
        return HANDSHAKE_MAP_PROTO;
    if (handshake_is_word(token, "mode"))
        return HANDSHAKE_MAP_MODE;
    if (handshake_is_word(token, "role"))
        return HANDSHAKE_MAP_ROLE;
    if (token->len > HANDSHAKE_FLY_LEN &&
        memcmp(token->data + token->len - HANDSHAKE_FLY_LEN, HANDSHAKE_FLY, HANDSHAKE_FLY_LEN) == 0)
        conn->server |= RLK_SERVER_DRAGONFLY;
    return HANDSHAKE_MAP_VALUE;
}

static void handshake_hello_value(rlk_conn *conn, const rlk_resp_token *token)
{
    bool is_integer = token->type == RLK_RESP_INTEGER;

    if (conn->match == HANDSHAKE_MAP_ID && is_integer && token->value > 0)
        conn->identity.client_id = (uint64_t)token->value;
    if (conn->match == HANDSHAKE_MAP_PROTO && is_integer && token->value == 2)
        conn->protocol = 2;
    if (is_integer || token->len < 2)
        return;
    if (conn->match == HANDSHAKE_MAP_MODE)
        handshake_take_mode(conn, token->data[0], token->data[1]);
    if (conn->match == HANDSHAKE_MAP_ROLE && (token->data[0] == 'r' || token->data[0] == 's'))
        conn->server |= RLK_SERVER_REPLICA; /* "replica", "slave" */
}

/* A map, or an array of its keys and values in turn. Values may be aggregates: only what stands at
 * depth 1 counts. */
static void handshake_hello_token(rlk_conn *conn, const rlk_resp_token *token)
{
    if (token->depth == 0)
        conn->match = HANDSHAKE_MAP_KEY;
    if (token->depth != 1 || token->type == RLK_RESP_END || (token->flags & RLK_RESP_FIRST) == 0)
        return;
    if (conn->match == HANDSHAKE_MAP_KEY) {
        conn->match = handshake_hello_key(conn, token);
        return;
    }
    handshake_hello_value(conn, token);
    conn->match = HANDSHAKE_MAP_KEY;
}

/* These say more than "no HELLO here", whatever their words (fault 98): the next step would meet
 * them too. NOAUTH is none of them: proxies answer it to a HELLO that had AUTH. */
static bool handshake_hello_refused(const rlk_reply *reply)
{
    switch (reply->error) {
    case RLK_E_LOADING:
    case RLK_E_SCRIPT_BUSY:
    case RLK_E_MASTERDOWN:
    case RLK_E_PROTECTED:
    case RLK_E_SERVER_FULL:
        return true;
    default:
        return reply->error == RLK_E_AUTH && reply->data[0] == 'W'; /* WRONGPASS */
    }
}

/*
 * An array is a yes too, and so is a map that says proto 2: the stream goes on as RESP2, with AUTH
 * and SETNAME done (fault 99). Servers that answer so are proxies or other products: whose ids and
 * run_id theirs are is not known, so the fence goes by address too.
 */
static rlk_result handshake_hello_reply(rlk_conn *conn, const rlk_reply *reply)
{
    bool is_map = reply->type == RLK_RESP_MAP;

    if (reply->error != RLK_OK) {
        if (handshake_hello_refused(reply))
            return reply->error;
        rlki_mask_forget(conn);
        conn->protocol = 2;
        return RLK_OK;
    }
    if (!is_map && reply->type != RLK_RESP_ARRAY)
        return RLK_E_UNEXPECTED;
    conn->server |= RLK_SERVER_HELLO;
    if (conn->protocol == 0)
        conn->protocol = is_map ? 3 : 2;
    return (conn->server & RLK_SERVER_SENTINEL) != 0 ? RLK_E_SENTINEL : RLK_OK;
}

#endif /* RLK_RESP2_ONLY */

/* ---- AUTH, CLIENT SETNAME, CLIENT TRACKING, CLIENT ID, SELECT ------------------------------ */

/* Unless HELLO did it; while that is not known, yes: and then the barrier waits for its reply. */
static bool handshake_auth_needed(const rlk_conn *conn)
{
    return (conn->server & RLK_SERVER_HELLO) == 0;
}

/* The default user is who gives no name: so servers before Redis 6, which know no names, take him
 * too (fault 101). */
static bool handshake_has_name(const handshake_secret *secret)
{
    return secret->texts.user_len != 0 &&
           !(secret->texts.user_len == 7 && memcmp(secret->texts.user, "default", 7) == 0);
}

static rlk_result handshake_auth_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    handshake_secret secret;
    rlk_result result = handshake_ask_secret(conn, &secret);

    if (result != RLK_OK || !secret.wanted)
        return result;
    rlk_resp_put_command(writer, handshake_has_name(&secret) ? 3 : 2);
    handshake_word(writer, "AUTH");
    if (handshake_has_name(&secret)) {
        handshake_put_user(writer, &secret);
        conn->server |= RLK_SERVER_NAMED;
    }
    handshake_put_password(writer, &secret);
    return RLK_OK;
}

/*
 * A refusal in words that nobody knows is fatal all the same: the same password would meet the same
 * words, and servers count failures against a user (fault 108). With a user's name it is most
 * likely the name that is not known: "wrong number of arguments" (fault 101).
 */
static rlk_result handshake_auth_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->error == RLK_E_SERVER)
        return (conn->server & RLK_SERVER_NAMED) != 0 ? RLK_E_USER : RLK_E_AUTH;
    if (reply->error != RLK_OK)
        return reply->error;
    return reply->type == RLK_RESP_SIMPLE ? RLK_OK : RLK_E_UNEXPECTED;
}

static bool handshake_setname_needed(const rlk_conn *conn)
{
    return (conn->server & RLK_SERVER_HELLO) == 0 && conn->client_name != NULL;
}

static rlk_result handshake_setname_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_resp_put_command(writer, 3);
    handshake_word(writer, "CLIENT");
    handshake_word(writer, "SETNAME");
    handshake_word(writer, conn->client_name);
    return RLK_OK;
}

#ifndef RLK_RESP2_ONLY
static bool handshake_tracking_needed(const rlk_conn *conn)
{
    return conn->protocol == 3 && (conn->flags & CONN_NO_TRACKING) == 0;
}

/* NOLOOP: no pushes for what this connection changes itself. Dragonfly takes it, and then sends no
 * pushes at all. */
static rlk_result handshake_tracking_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    bool noloop = (conn->server & RLK_SERVER_DRAGONFLY) == 0;

    rlk_resp_put_command(writer, noloop ? 4 : 3);
    handshake_word(writer, "CLIENT");
    handshake_word(writer, "TRACKING");
    handshake_word(writer, "ON");
    if (noloop)
        handshake_word(writer, "NOLOOP");
    return RLK_OK;
}

static rlk_result handshake_tracking_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->type == RLK_RESP_SIMPLE)
        conn->flags |= CONN_TRACKING;
    return RLK_OK;
}
#endif

static bool handshake_client_id_needed(const rlk_conn *conn)
{
    return conn->identity.client_id == 0;
}

static rlk_result handshake_client_id_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)conn;
    rlk_resp_put_command(writer, 2);
    handshake_word(writer, "CLIENT");
    handshake_word(writer, "ID");
    return RLK_OK;
}

static rlk_result handshake_client_id_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->type == RLK_RESP_INTEGER && reply->value > 0)
        conn->identity.client_id = (uint64_t)reply->value;
    return RLK_OK;
}

static bool handshake_select_needed(const rlk_conn *conn)
{
    return conn->url.db != 0;
}

static rlk_result handshake_select_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_resp_put_command(writer, 2);
    handshake_word(writer, "SELECT");
    rlk_resp_put_integer(writer, (int64_t)conn->url.db);
    return RLK_OK;
}

/* A lock in another database than the others' is none (fault 72), whatever the words of the refusal
 * (fault 104). */
static rlk_result handshake_select_reply(rlk_conn *conn, const rlk_reply *reply)
{
    (void)conn;
    if (reply->error == RLK_E_SERVER || reply->error == RLK_E_UNSUPPORTED)
        return RLK_E_DATABASE;
    if (reply->error != RLK_OK)
        return reply->error;
    return reply->type == RLK_RESP_SIMPLE ? RLK_OK : RLK_E_UNEXPECTED;
}

/* ---- INFO -------------------------------------------------------------------------------- */

/*
 * Two lines of a text that comes in fragments of any size. match counts what was found of one: the
 * newline before it, its name, its value (40 digits, or two letters). The newline occurs only at
 * the beginning, so a mismatch need not go back. Both names begin with 'r'; from the letter behind
 * it on match has HANDSHAKE_MODE_BIT too where it is the mode's.
 */
#define HANDSHAKE_RUN_ID     "\nrun_id:"
#define HANDSHAKE_RUN_ID_LEN (sizeof HANDSHAKE_RUN_ID - 1)
#define HANDSHAKE_DIGITS     40u
#define HANDSHAKE_MODE       "\nredis_mode:"
#define HANDSHAKE_MODE_LEN   (sizeof HANDSHAKE_MODE - 1)
#define HANDSHAKE_MODE_BIT   0x80u

static int handshake_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return -1;
}

static bool handshake_run_id_byte(rlk_conn *conn, uint8_t byte)
{
    size_t at = conn->match;
    int digit = handshake_digit(byte);

    if (at < HANDSHAKE_RUN_ID_LEN)
        return byte == (uint8_t)HANDSHAKE_RUN_ID[at];
    if (digit < 0)
        return false;
    at -= HANDSHAKE_RUN_ID_LEN;
    if (at % 2 == 0)
        conn->identity.run_id[at / 2] = (uint8_t)(digit << 4);
    else
        conn->identity.run_id[at / 2] |= (uint8_t)digit;
    return true;
}

/* "cluster" or "sentinel", by as many letters as tell them from "standalone". */
static bool handshake_mode_byte(rlk_conn *conn, size_t at, uint8_t byte)
{
    if (at < HANDSHAKE_MODE_LEN)
        return byte == (uint8_t)HANDSHAKE_MODE[at];
    handshake_take_mode(conn, at == HANDSHAKE_MODE_LEN ? byte : 's', byte);
    return at == HANDSHAKE_MODE_LEN && byte == 's';
}

static bool handshake_info_byte(rlk_conn *conn, uint8_t byte)
{
    size_t at = conn->match & ~HANDSHAKE_MODE_BIT;

    if (at == 2 && byte == (uint8_t)HANDSHAKE_MODE[2])
        conn->match |= HANDSHAKE_MODE_BIT;
    return (conn->match & HANDSHAKE_MODE_BIT) != 0 ? handshake_mode_byte(conn, at, byte)
                                                   : handshake_run_id_byte(conn, byte);
}

static rlk_result handshake_info_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)conn;
    rlk_resp_put_command(writer, 2);
    handshake_word(writer, "INFO");
    handshake_word(writer, "server");
    return RLK_OK;
}

static void handshake_info_token(rlk_conn *conn, const rlk_resp_token *token)
{
    /* A proxy's run_id says nothing of the server behind it. */
    bool foreign = (conn->server & RLK_SERVER_HELLO) != 0 && conn->protocol == 2;
    size_t i;

    if (token->depth != 0 || (token->type != RLK_RESP_BULK && token->type != RLK_RESP_VERBATIM))
        return;
    if ((token->flags & RLK_RESP_FIRST) != 0)
        conn->match = 1; /* the beginning of the text is the beginning of a line */
    for (i = 0; i < token->len && !conn->identity.has_run_id; i++) {
        if (handshake_info_byte(conn, token->data[i]))
            conn->match++;
        else
            conn->match = token->data[i] == '\n';
        if (conn->match == HANDSHAKE_RUN_ID_LEN + HANDSHAKE_DIGITS) {
            conn->identity.has_run_id = !foreign;
            conn->match = 0; /* a foreign one may have more digits than there is room for */
        }
    }
}

static rlk_result handshake_info_reply(rlk_conn *conn, const rlk_reply *reply)
{
    (void)reply;
    return (conn->server & RLK_SERVER_SENTINEL) != 0 ? RLK_E_SENTINEL : RLK_OK;
}

/* ---- The fence --------------------------------------------------------------------------- */

conn_fence rlki_handshake_fence(const rlk_conn_identity *old, const rlk_conn_identity *fresh)
{
    if (old->has_run_id && fresh->has_run_id) {
        if (memcmp(old->run_id, fresh->run_id, sizeof old->run_id) == 0)
            return old->client_id != 0 ? CONN_FENCE_KILL : CONN_FENCE_NONE;
        /* Another address: the old instance may live on there (fault 91). */
        return old->peer == fresh->peer ? CONN_FENCE_GONE : CONN_FENCE_NONE;
    }
    /* The id alone could be an innocent client's by now (fault 71), id and address hardly. */
    return old->client_id != 0 && old->local[0] != '\0' ? CONN_FENCE_KILL_ADDR : CONN_FENCE_NONE;
}

static bool handshake_fence_needed(const rlk_conn *conn)
{
    return (conn->flags & CONN_FENCE_DUE) != 0;
}

static void handshake_fenced(rlk_conn *conn)
{
    conn->flags &= (uint16_t)~CONN_FENCE_DUE;
    CONN_FENCED(conn);
}

static rlk_result handshake_fence_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    conn_fence fence = rlki_handshake_fence(&conn->old, &conn->identity);
    bool by_id; /* too; Dragonfly takes one filter only, and the address is the one that lasts */

    if (fence == CONN_FENCE_GONE)
        handshake_fenced(conn);
    if (fence != CONN_FENCE_KILL && fence != CONN_FENCE_KILL_ADDR)
        return RLK_OK;
    by_id = fence == CONN_FENCE_KILL || (conn->server & RLK_SERVER_DRAGONFLY) == 0;
    rlk_resp_put_command(writer, fence == CONN_FENCE_KILL_ADDR && by_id ? 6 : 4);
    handshake_word(writer, "CLIENT");
    handshake_word(writer, "KILL");
    if (by_id) {
        handshake_word(writer, "ID");
        rlk_resp_put_integer(writer, (int64_t)conn->old.client_id);
    }
    if (fence == CONN_FENCE_KILL_ADDR) {
        handshake_word(writer, "ADDR");
        handshake_word(writer, conn->old.local);
    }
    return RLK_OK;
}

/* A client that is not there can't send any more; said so by the old form of the command. */
#define HANDSHAKE_NO_CLIENT "ERR No such client"

/* Not fenced is no failure: the connection says so (rlk_conn_fenced). */
static rlk_result handshake_fence_reply(rlk_conn *conn, const rlk_reply *reply)
{
    size_t n = sizeof HANDSHAKE_NO_CLIENT - 1;
    bool killed = reply->type == RLK_RESP_INTEGER && reply->value == 1;
    bool absent = (reply->type == RLK_RESP_INTEGER && reply->value == 0) ||
                  (reply->error == RLK_E_SERVER && reply->len >= n &&
                   memcmp(reply->data, HANDSHAKE_NO_CLIENT, n) == 0);
    bool by_id = rlki_handshake_fence(&conn->old, &conn->identity) == CONN_FENCE_KILL;

    if (killed || (absent && by_id))
        handshake_fenced(conn);
    rlki_mask_forget(conn);
    return RLK_OK;
}

/* ---- Scripts ----------------------------------------------------------------------------- */

/*
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
bool rlki_handshake_may_eval(const rlk_conn *conn)
{
    return conn->scripts_len != 0 && conn->scripts[0].probe != NULL;
}

static bool handshake_scripts_needed(const rlk_conn *conn)
{
    return (conn->server & RLK_SERVER_NO_LOAD) == 0;
}

/* Only begins: their bytes are no part of tx. */
static rlk_result handshake_scripts_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)writer;
    conn->script = 0;
    return RLK_OK;
}

/* Another refusal is met again by EVAL: it is passing, or the same for both. */
static rlk_result handshake_scripts_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->error == RLK_OK)
        return reply->type == RLK_RESP_BULK ? RLK_OK : RLK_E_UNEXPECTED;
    if (!rlki_handshake_may_eval(conn) ||
        (reply->error != RLK_E_UNSUPPORTED && reply->error != RLK_E_NOPERM &&
         reply->error != RLK_E_SERVER))
        return reply->error;
    conn->server |= RLK_SERVER_NO_LOAD;
    rlki_mask_forget(conn);
    return RLK_OK;
}

static rlk_result handshake_probe_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_resp_put_raw(writer, conn->scripts[0].probe, strlen(conn->scripts[0].probe));
    return RLK_OK;
}

/* An error in words that nobody knows is no answer: proxies want keys. */
static rlk_result handshake_probe_reply(rlk_conn *conn, const rlk_reply *reply)
{
    switch (reply->error) {
    case RLK_OK:
        conn->server |= RLK_SERVER_EVALSHA;
        return RLK_OK;
    case RLK_E_UNSUPPORTED:
    case RLK_E_NOPERM:
        if ((conn->server & RLK_SERVER_NO_LOAD) != 0)
            break;
        return reply->error;
    case RLK_E_LOADING:
    case RLK_E_SCRIPT_BUSY:
    case RLK_E_MASTERDOWN:
        return reply->error;
    case RLK_E_NOSCRIPT: /* EVALSHA is known, keys are not asked for */
        if ((conn->server & RLK_SERVER_NO_LOAD) != 0)
            conn->server |= RLK_SERVER_EVAL;
        break;
    default:
        break;
    }
    rlki_mask_forget(conn);
    return RLK_OK;
}

/* While the answers before it are not known, yes: and then the barrier waits for them. */
static bool handshake_eval_needed(const rlk_conn *conn)
{
    return rlki_handshake_may_eval(conn) &&
           (conn->ring_used != 0 ||
            (conn->server & (RLK_SERVER_NO_LOAD | RLK_SERVER_EVALSHA)) == RLK_SERVER_NO_LOAD);
}

/* Without further arguments the script only probes, and touches no key. Proxies want one to route
 * by; where it was not asked for, none: the user may have keys of his own only. */
static rlk_result handshake_eval_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    bool keyless = (conn->server & RLK_SERVER_EVAL) != 0;

    rlk_resp_put_command(writer, keyless ? 3 : 4);
    rlk_conn_put_script(conn, writer);
    rlk_resp_put_integer(writer, keyless ? 0 : 1);
    if (!keyless)
        handshake_word(writer, "resplock");
    return RLK_OK;
}

/* EVALSHA works from now on, until NOSCRIPT. What a plain attempt is refused a full one may get, if
 * the hang-ups before were accidents: so it is not fatal. */
static rlk_result handshake_eval_reply(rlk_conn *conn, const rlk_reply *reply)
{
    conn->server &= (uint16_t)~RLK_SERVER_EVAL;
    if (reply->error != RLK_OK && (conn->server & RLK_SERVER_PLAIN) != 0)
        return RLK_E_SERVER;
    return reply->error;
}

/* ---- The table, and what steps through it ------------------------------------------------ */

static const handshake_step handshake_steps[CONN_STEPS] = {
#ifndef RLK_RESP2_ONLY
    {"HELLO", handshake_hello_needed, handshake_hello_encode, handshake_hello_token,
     handshake_hello_reply, HANDSHAKE_SECRET | HANDSHAKE_EXTRA},
#endif
    {"AUTH", handshake_auth_needed, handshake_auth_encode, NULL, handshake_auth_reply,
     HANDSHAKE_BARRIER | HANDSHAKE_SECRET},
    {"CLIENT SETNAME", handshake_setname_needed, handshake_setname_encode, NULL, NULL,
     HANDSHAKE_OPTIONAL | HANDSHAKE_EXTRA},
#ifndef RLK_RESP2_ONLY
    {"CLIENT TRACKING", handshake_tracking_needed, handshake_tracking_encode, NULL,
     handshake_tracking_reply, HANDSHAKE_OPTIONAL | HANDSHAKE_EXTRA},
#endif
    {"CLIENT ID", handshake_client_id_needed, handshake_client_id_encode, NULL,
     handshake_client_id_reply, HANDSHAKE_OPTIONAL | HANDSHAKE_EXTRA},
    {"SELECT", handshake_select_needed, handshake_select_encode, NULL, handshake_select_reply, 0},
    {"INFO", NULL, handshake_info_encode, handshake_info_token, handshake_info_reply,
     HANDSHAKE_OPTIONAL | HANDSHAKE_EXTRA},
    {"CLIENT KILL", handshake_fence_needed, handshake_fence_encode, NULL, handshake_fence_reply,
     HANDSHAKE_BARRIER | HANDSHAKE_EXTRA},
    {CONN_SCRIPT_LOAD, handshake_scripts_needed, handshake_scripts_encode, NULL,
     handshake_scripts_reply, 0},
    {"EVALSHA", rlki_handshake_may_eval, handshake_probe_encode, NULL, handshake_probe_reply,
     HANDSHAKE_EXTRA},
    {"SCRIPT LOAD, EVAL", handshake_eval_needed, handshake_eval_encode, NULL, handshake_eval_reply,
     HANDSHAKE_BARRIER},
};

const char *rlki_handshake_name(unsigned kind)
{
    /* Behind the last step: only the driver's word is awaited that the last script has left. */
    return handshake_steps[kind < CONN_STEPS ? kind : (unsigned)CONN_STEP_SCRIPTS].name;
}

/* Sends the next step, or skips it. False: not now, or *result says why the handshake fails. */
static bool handshake_send(rlk_conn *conn, rlk_result *result)
{
    const handshake_step *step = &handshake_steps[conn->step];
    rlk_resp_writer writer;
    bool plain = (conn->flags & CONN_PLAIN) != 0;

    if ((plain && (step->flags & HANDSHAKE_EXTRA) != 0) ||
        (step->needed != NULL && !step->needed(conn))) {
        conn->step++;
        return true;
    }
    if ((step->flags & HANDSHAKE_BARRIER) != 0 && conn->ring_used != 0)
        return false;
    /* What keeps a script back keeps all else back too. */
    if (conn_has_segment(conn) || conn->ring_used == conn->ring_len)
        return false;
    rlki_send_writer(conn, &writer);
    *result = step->encode(conn, &writer);
    if (*result == RLK_OK && rlk_resp_writer_result(&writer) != RLK_OK) {
        rlki_wipe(writer.buf, writer.cap);
        if (conn->tx_end != 0)
            return false;
        /* All the buffer is free, and only credentials can be too long for it. */
        conn->tx_needed = writer.len < UINT32_MAX ? (uint32_t)writer.len : UINT32_MAX;
        *result = RLK_E_CREDENTIALS;
    }
    if (*result != RLK_OK)
        return false;
    if (writer.len != 0) {
        CONN_TRACE(conn, true, step->name);
        rlki_send_push(conn, NULL, conn->step, 1, writer.len);
    }
    conn->step++;
    return true;
}

rlk_result rlki_handshake_pump(rlk_conn *conn)
{
    rlk_result result = RLK_OK;

    do
        rlki_send_flush(conn); /* scripts */
    while (conn->step < CONN_STEPS && handshake_send(conn, &result));
    return result;
}

/* What was not acknowledged yet is not wiped yet: a driver may hear of a reply before it hears that
 * the last bytes have left. */
bool rlki_handshake_is_over(const rlk_conn *conn)
{
    return conn->step == CONN_STEPS && conn->ring_used == 0 && conn->script == conn->scripts_len &&
           conn->tx_end == conn->tx_begin;
}

void rlki_handshake_token(rlk_conn *conn, unsigned kind, const rlk_resp_token *token)
{
    if (handshake_steps[kind].token != NULL)
        handshake_steps[kind].token(conn, token);
}

/*
 * Some proxies end the stream at a command that they do not know (fault 103). That can't be told
 * from an accident, so the first time the attempt is made again as it was. If it ends so again, the
 * next one leaves out HELLO and whatever the lock can do without. If that one gets through, so do
 * later ones, until one fails:
 *
 *    full --hung up--> full --hung up--> plain --ready--> plain ...
 *      ^                 | another         | any failure
 *      '-----------------+-----------------'
 *
 * A peer that took a full handshake before knows all of it: so what is to be fenced can be.
 */
bool rlki_handshake_hung_up(rlk_conn *conn)
{
    bool extra = false; /* among those that were sent: answers before it may be lost too */
    uint32_t i;

    for (i = 0; i < conn->ring_used; i++) {
        uint32_t slot = (conn->ring_head + i) % conn->ring_len;
        unsigned kind = conn->ring[slot].kind;

        if ((handshake_steps[kind].flags & HANDSHAKE_EXTRA) != 0 ||
            (kind == CONN_STEP_SCRIPTS && rlki_handshake_may_eval(conn)))
            extra = true;
    }
    if (!extra || (conn->flags & (CONN_PLAIN | CONN_WHOLE)) != 0)
        return false;
    if (conn->hung != 0)
        conn->flags |= CONN_PLAIN;
    else
        conn->hung = (uint8_t)(conn->ring[conn->ring_head].kind + 1u);
    return true;
}

bool rlki_handshake_is_secret(unsigned kind)
{
    return kind != CONN_REQUEST && (handshake_steps[kind].flags & HANDSHAKE_SECRET) != 0;
}

/* Errors that say the same at any step; HELLO sees to them itself. */
static bool handshake_is_final(const handshake_step *step, rlk_result error)
{
    return step != &handshake_steps[0] && (error == RLK_E_AUTH || error == RLK_E_NOAUTH ||
                                           error == RLK_E_PROTECTED || error == RLK_E_SERVER_FULL);
}

rlk_result rlki_handshake_reply(rlk_conn *conn, unsigned kind, const rlk_reply *reply)
{
    const handshake_step *step = &handshake_steps[kind];

    if (handshake_is_final(step, reply->error)) /* NOAUTH is the credentials' fault here */
        return reply->error == RLK_E_NOAUTH ? RLK_E_AUTH : reply->error;
    if (reply->error != RLK_OK && (step->flags & HANDSHAKE_OPTIONAL) != 0) {
        rlki_mask_forget(conn);
        return RLK_OK;
    }
    return step->reply != NULL ? step->reply(conn, reply) : RLK_OK;
}
