/* SPDX-License-Identifier: MIT
 *
 * Internal: what a server says of itself, to HELLO and to INFO.
 */
#ifndef RLKI_NET_INFO_H
#define RLKI_NET_INFO_H

#include "steps.h"

/*
 * What is noted: a key of HELLO, or a key and its value in one. The mode of INFO is noted as
 * HELLO's. The library holds its rlk_key_hash alone: test_info compares each one with its text.
 */
#define RLKI_INFO_FACTS(X)                                                                         \
    X("modecluster", 0x4fb10994, RLK_SERVER_CLUSTER)                                               \
    X("modesentinel", 0x9faa2956, RLK_SERVER_SENTINEL)                                             \
    X("rolereplica", 0x06ca5533, RLK_SERVER_REPLICA)                                               \
    X("roleslave", 0x5f8cc6d4, RLK_SERVER_REPLICA)                                                 \
    X("dragonfly_version", 0x79f77ddc, RLK_SERVER_DRAGONFLY)                                       \
    X("dfly_version", 0x33dfc29f, RLK_SERVER_DRAGONFLY)

/* The same of other keys. */
#define RLKI_INFO_ID          UINT32_C(0x37386ae0) /* "id" */
#define RLKI_INFO_PROTO       UINT32_C(0x73c00bb1) /* "proto" */
#define RLKI_INFO_MODE        UINT32_C(0xec6ee012) /* "mode", of HELLO */
#define RLKI_INFO_RUN_ID      UINT32_C(0x16ce6bc2) /* "run_id", of INFO like those below */
#define RLKI_INFO_REDIS_MODE  UINT32_C(0x7683b62e) /* "redis_mode" */
#define RLKI_INFO_SERVER_MODE UINT32_C(0x88ea5410) /* "server_mode": Valkey's */

/* Notes the fact whose hash is handshake.words. */
void rlki_info_note(rlk_conn *conn);

/* RLK_OK, or RLK_E_SENTINEL if that was noted. */
rlk_result rlki_info_result(const rlk_conn *conn);

extern const conn_step rlki_step_info;

#endif
