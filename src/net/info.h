/* SPDX-License-Identifier: MIT
 *
 * Internal: what a server says of itself, to HELLO and to INFO.
 */
#ifndef RLKI_NET_INFO_H
#define RLKI_NET_INFO_H

#include "steps.h"

/*
 * What is noted: a key of HELLO, a key and its value in one, or a line of INFO. The library holds
 * its rlk_key_hash alone: test_info compares each one with its text.
 */
#define RLKI_INFO_FACTS(X)                                                                         \
    X("modecluster", 0x4fb10994, RLK_SERVER_CLUSTER)                                               \
    X("modesentinel", 0x9faa2956, RLK_SERVER_SENTINEL)                                             \
    X("rolereplica", 0x06ca5533, RLK_SERVER_REPLICA)                                               \
    X("roleslave", 0x5f8cc6d4, RLK_SERVER_REPLICA)                                                 \
    X("dragonfly_version", 0x79f77ddc, RLK_SERVER_DRAGONFLY)                                       \
    X("dfly_version", 0x33dfc29f, RLK_SERVER_DRAGONFLY)                                            \
    X("redis_mode:cluster", 0x268ac1b6, RLK_SERVER_CLUSTER)                                        \
    X("redis_mode:sentinel", 0xa7f742ec, RLK_SERVER_SENTINEL)

/* The same of keys that have a value of another kind. */
#define RLKI_INFO_ID     UINT32_C(0x37386ae0) /* "id" */
#define RLKI_INFO_PROTO  UINT32_C(0x73c00bb1) /* "proto" */
#define RLKI_INFO_RUN_ID UINT32_C(0x16ce6bc2) /* "run_id" */

/* Notes the fact whose hash is handshake.words. */
void rlki_info_note(rlk_conn *conn);

/* RLK_OK, or RLK_E_SENTINEL if that was noted. */
rlk_result rlki_info_result(const rlk_conn *conn);

extern const conn_step rlki_step_info;

#endif
