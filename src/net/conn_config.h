/* SPDX-License-Identifier: MIT
 *
 * Internal: the configuration of a connection.
 */
#ifndef RLKI_NET_CONN_CONFIG_H
#define RLKI_NET_CONN_CONFIG_H

#include "resplock/net.h"

/* RLK_OK, and the configuration is copied; or what is wrong with it. */
rlk_result rlki_config_take(rlk_conn *conn, const rlk_conn_config *config);

/* True if a text that the connection leaves where the caller has it is another now. */
bool rlki_config_dangles(const rlk_conn *conn);

/* Name of the first buffer of a configuration that is too small (*size, of which *least is needed)
 * or too large; NULL: none is. With RLK_NO_TEXT the name is "". */
const char *rlki_conn_bad_buffer(const rlk_conn_config *config, size_t *size, size_t *least);

#endif
