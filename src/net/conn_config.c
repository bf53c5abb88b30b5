/* SPDX-License-Identifier: MIT
 *
 * The configuration of a connection. It is checked once. Texts stay where the caller has them, and
 * their hash says whether they are still the same.
 */
#include "conn_config.h"

#include "../resp/apart.h"

#include "conn_flags.h"
#include "limit.h"
#include "login.h"

/* Longest client name: RLK_CONN_TX_MIN reckons with it. */
#define CONFIG_NAME_MAX 64u

#ifdef RLK_NO_TEXT
#define CONFIG_WORD(word) ""
#else
#define CONFIG_WORD(word) (word)
#endif

/* ---- Texts of the caller ----------------------------------------------------------------- */

static uint32_t config_hash(uint32_t hash, const char *text, size_t len)
{
    return text != NULL ? rlk_key_hash(hash, text, len) : hash;
}

/* Of all texts that a connection leaves where the caller has them. */
static uint32_t config_texts(const rlk_conn *conn)
{
    const rlk_url *url = &conn->url;
    const char *name = conn->client_name;
    uint32_t hash = RLK_KEY_HASH;
    size_t n;

    hash = config_hash(hash, url->host, url->host_len);
    hash = config_hash(hash, url->path, url->path_len);
    hash = config_hash(hash, url->user, url->user_len);
    hash = config_hash(hash, url->password, url->password_len);
    for (n = 0; name != NULL && n <= CONFIG_NAME_MAX && name[n] != '\0'; n++)
        continue;
    return config_hash(hash, name, n);
}

bool rlki_config_dangles(const rlk_conn *conn)
{
    return config_texts(conn) != conn->texts;
}

/* ---- What is wrong ----------------------------------------------------------------------- */

/* CLIENT SETNAME takes printable characters, without spaces. */
static bool config_is_name(const char *name)
{
    size_t n = 0;

    while (name[n] > ' ' && name[n] < 0x7f && n <= CONFIG_NAME_MAX)
        n++;
    return n > 0 && n <= CONFIG_NAME_MAX && name[n] == '\0';
}

static bool config_buffer_fits(size_t size, size_t least)
{
    return size >= least && size <= RLKI_BUFFER_MAX;
}

const char *rlki_conn_bad_buffer(const rlk_conn_config *config, size_t *size, size_t *least)
{
    *size = config->ring_len;
    *least = RLK_CONN_RING_MIN;
    if (!config_buffer_fits(*size, *least))
        return CONFIG_WORD("ring_len");
    *size = config->rx_cap;
    *least = RLK_CONN_RX_MIN;
    if (!config_buffer_fits(*size, *least))
        return CONFIG_WORD("rx_cap");
    *size = config->tx_cap;
    *least = config->credentials == NULL ? rlki_login_room(&config->url) : RLK_CONN_TX_MIN;
    return config_buffer_fits(*size, *least) ? NULL : CONFIG_WORD("tx_cap");
}

/* Of all except the time limits. */
static RLKI_APART_FOR_SIZE rlk_result config_check(const rlk_conn_config *config)
{
    const rlk_conn_calls *calls = config->calls;
    size_t size;
    size_t least;
    unsigned i;

    if ((config->url.host == NULL && config->url.path == NULL) || config->ring == NULL ||
        config->tx == NULL || config->rx == NULL || calls == NULL || calls->encode == NULL ||
        calls->reply == NULL || calls->lost == NULL || calls->changed == NULL ||
        calls->invalidated == NULL)
        return RLK_E_ARGUMENT;
    if (config->client_name != NULL && !config_is_name(config->client_name))
        return RLK_E_ARGUMENT;
    if (config->scripts == NULL && config->scripts_len != 0)
        return RLK_E_ARGUMENT;
    for (i = 0; i < config->scripts_len; i++)
        if (config->scripts[i].load == NULL || config->scripts[i].load_len == 0)
            return RLK_E_ARGUMENT;
    return rlki_conn_bad_buffer(config, &size, &least) != NULL ? RLK_E_BUFFER : RLK_OK;
}

/* ---- Taken ------------------------------------------------------------------------------- */

static void config_copy(rlk_conn *conn, const rlk_conn_config *config)
{
    conn->url = config->url;
    conn->calls = config->calls;
    conn->calls_context = config->calls_context;
    conn->login.hook = config->credentials;
    conn->login.context = config->credentials_context;
    conn->client_name = config->client_name;
    conn->scripts.all = config->scripts;
    conn->scripts.count = config->scripts_len;
    conn->scripts.next = config->scripts_len;
    conn->ring.entries = config->ring;
    conn->ring.len = config->ring_len;
    conn->tx.bytes = config->tx;
    conn->tx.cap = (uint32_t)config->tx_cap;
    conn->rx.bytes = config->rx;
    conn->rx.cap = (uint32_t)config->rx_cap;
    conn->flags = (uint16_t)((config->resp2_only ? CONN_RESP2_ONLY : 0u) |
                             (config->no_tracking ? CONN_NO_TRACKING : 0u));
    conn->texts = config_texts(conn);
    conn->backoff.random =
        config->jitter_seed != 0 ? config->jitter_seed : 1u; /* 0 is its fixed point */
}

rlk_result rlki_config_take(rlk_conn *conn, const rlk_conn_config *config)
{
    rlk_result result = config_check(config);

    if (result != RLK_OK)
        return result;
    if (!rlki_limit_take(&conn->connect_timeout_ms, config->connect_timeout_ms,
                         RLK_CONNECT_TIMEOUT_MS) ||
        !rlki_limit_take(&conn->response_timeout_ms, config->response_timeout_ms,
                         RLK_RESPONSE_TIMEOUT_MS) ||
        !rlki_limit_take(&conn->backoff.min_ms, config->backoff_min_ms, RLK_BACKOFF_MIN_MS) ||
        !rlki_limit_take(&conn->backoff.max_ms, config->backoff_max_ms, RLK_BACKOFF_MAX_MS))
        return RLK_E_TIMES;
    config_copy(conn, config);
    return RLK_OK;
}
