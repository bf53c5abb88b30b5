/* SPDX-License-Identifier: MIT
 *
 * User and password, and the step AUTH. HELLO has them too (hello.c).
 */
#include "login.h"

#include "../resp/apart.h"

#include <string.h>

/* ---- Credentials ------------------------------------------------------------------------- */

/* Those of the URL. A user alone has an empty password; ":@" is nobody. */
static RLKI_APART_FOR_SIZE void login_of_url(const rlk_url *url, rlki_login *login)
{
    login->texts.user = url->user;
    login->texts.user_len = url->user != NULL ? url->user_len : 0;
    login->texts.password = url->password;
    login->texts.password_len = url->password != NULL ? url->password_len : 0;
    login->escaped = true;
    login->wanted = (login->texts.user_len | login->texts.password_len) != 0;
}

/* Those of the hook. */
static rlk_result login_of_hook(const rlk_conn *conn, rlki_login *login)
{
    int refused;

    memset(login, 0, sizeof *login);
    refused = conn->login.hook(conn->login.context, &login->texts);
    if (refused != 0)
        return refused == RLK_E_DANGLING ? RLK_E_DANGLING : RLK_E_CREDENTIALS;
    if (login->texts.user == NULL)
        login->texts.user_len = 0;
    login->wanted = login->texts.password != NULL;
    return RLK_OK;
}

/* The connection remembers where the password is, as long as its owner leaves it there: until the
 * handshake is over. */
rlk_result rlki_login_ask(rlk_conn *conn, rlki_login *login)
{
    rlk_result result = RLK_OK;

    if (conn->login.hook == NULL)
        login_of_url(&conn->url, login);
    else
        result = login_of_hook(conn, login);
#ifndef RLK_NO_TEXT
    conn->phase.handshake.password = login->texts.password;
    conn->phase.handshake.password_len = login->wanted ? login->texts.password_len : 0;
#endif
    return result;
}

static size_t login_plain_len(const char *text, size_t len, bool escaped)
{
    return escaped ? rlk_url_decode(text, len, NULL, 0) : len;
}

static void login_put(rlk_resp_writer *writer, const char *text, size_t len, bool escaped)
{
    size_t plain = login_plain_len(text, len, escaped);
    uint8_t *hole = rlk_resp_put_hole(writer, plain);

    if (hole == NULL || plain == 0)
        return;
    if (escaped)
        (void)rlk_url_decode(text, len, hole, plain);
    else
        memcpy(hole, text, len);
}

void rlki_login_put(rlk_resp_writer *writer, const rlki_login *login)
{
    if (login->texts.user_len != 0)
        login_put(writer, login->texts.user, login->texts.user_len, login->escaped);
    login_put(writer, login->texts.password, login->texts.password_len, login->escaped);
}

size_t rlki_login_room(const rlk_url *url)
{
    rlki_login login;

    login_of_url(url, &login);
    if (!login.wanted)
        return RLK_CONN_TX_MIN;
    return RLK_CONN_TX_AUTH(login_plain_len(login.texts.user, login.texts.user_len, true),
                            login_plain_len(login.texts.password, login.texts.password_len, true));
}

/* ---- AUTH -------------------------------------------------------------------------------- */

/* Unless HELLO did it: while that is not known, it waits. The default user is who gives no name: so
 * servers before Redis 6, which know no names, take him too (fault 101). */
static rlk_result login_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlki_login login;
    rlk_result result;

    if ((conn->server & RLK_SERVER_HELLO) != 0)
        return RLK_OK;
    if (conn->ring.used != 0)
        return RLK_PENDING;
    result = rlki_login_ask(conn, &login);
    if (result != RLK_OK || !login.wanted)
        return result;
    if (login.texts.user_len == 7 && memcmp(login.texts.user, "default", 7) == 0)
        login.texts.user_len = 0;
    if (login.texts.user_len != 0)
        conn->server |= RLK_SERVER_NAMED;
    rlki_step_command(writer, "AUTH", login.texts.user_len != 0 ? 2 : 1);
    rlki_login_put(writer, &login);
    return RLK_OK;
}

/*
 * A refusal in words that nobody knows is fatal all the same: the same password would meet the same
 * words, and servers count failures against a user (fault 108). With a user's name it is most
 * likely the name that is not known: "wrong number of arguments" (fault 101).
 */
static rlk_result login_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->error == RLK_E_SERVER)
        return (conn->server & RLK_SERVER_NAMED) != 0 ? RLK_E_USER : RLK_E_AUTH;
    return rlki_step_simple(reply);
}

const conn_step rlki_step_auth = {
    "AUTH", login_encode, NULL, login_reply, CONN_STEP_SECRET,
};
