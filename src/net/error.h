/* SPDX-License-Identifier: MIT
 *
 * Internal: what error replies of servers mean, and whom they concern.
 */
#ifndef RLKI_NET_ERROR_H
#define RLKI_NET_ERROR_H

#include "resplock/net.h"

/*
 * The one table of errors: the beginning of what a server says, its rlk_key_hash, what it means and
 * whom it concerns (rlki_scope). The library holds the hash alone: test_error compares each
 * one with its text. The first table has the first words of replies.
 */
#define RLKI_ERROR_CODES(X)                                                                        \
    X("NOSCRIPT", 0x5ff0ed11, RLK_E_NOSCRIPT, COMMAND)                                             \
    X("READONLY", 0xaf103577, RLK_E_READONLY, STREAM)                                              \
    X("LOADING", 0xe91c1557, RLK_E_LOADING, LASTING)                                               \
    X("BUSY", 0x06b6a1c0, RLK_E_SCRIPT_BUSY, COMMAND)                                              \
    X("MASTERDOWN", 0xd6a670ef, RLK_E_MASTERDOWN, LASTING)                                         \
    X("MISCONF", 0x65d5f2b6, RLK_E_MISCONF, COMMAND)                                               \
    X("OOM", 0x2903b4ea, RLK_E_OOM, COMMAND)                                                       \
    X("WRONGTYPE", 0x9b226866, RLK_E_WRONGTYPE, COMMAND)                                           \
    X("NOREPLICAS", 0x2ea2817b, RLK_E_NOREPLICAS, COMMAND)                                         \
    X("MOVED", 0x7fd86c30, RLK_E_MOVED, FINAL)                                                     \
    X("ASK", 0x5cad7d72, RLK_E_ASK, FINAL)                                                         \
    X("CLUSTERDOWN", 0xda213d1d, RLK_E_CLUSTERDOWN, COMMAND)                                       \
    X("TRYAGAIN", 0x88ac9676, RLK_E_TRYAGAIN, COMMAND)                                             \
    X("CROSSSLOT", 0x9a4c6bc7, RLK_E_CROSSSLOT, FINAL)                                             \
    X("NOPERM", 0x3a60866c, RLK_E_NOPERM, FINAL)                                                   \
    X("NOAUTH", 0x411ecab0, RLK_E_NOAUTH, STREAM)                                                  \
    X("WRONGPASS", 0x3cdac087, RLK_E_AUTH, FINAL)                                                  \
    X("DENIED", 0x86d8fef6, RLK_E_PROTECTED, FINAL)                                                \
    X("NOPROTO", 0x1f06bb10, RLK_E_UNSUPPORTED, FINAL)

/*
 * The second table has texts behind the code ERR, the shorter ones first. RLK_OK: the text has the
 * code of a command inside a script among its words, before Redis 7. Two more are of ACL denials
 * inside a script, in Redis 7.0 and later.
 */
#define RLKI_ERROR_SENTENCES(X)                                                                    \
    X("unknown command", 0xb2e7ae38, RLK_E_UNSUPPORTED, FINAL)                                     \
    X("invalid password", 0x4af404f9, RLK_E_AUTH, FINAL)                                           \
    X("unknown subcommand", 0x65504dec, RLK_E_UNSUPPORTED, FINAL)                                  \
    X("Unknown subcommand", 0xe7a45d8c, RLK_E_UNSUPPORTED, FINAL)                                  \
    X("Error running script", 0x94d77db5, RLK_OK, UNKNOWN)                                         \
    X("max number of clients", 0xcb3cb34f, RLK_E_SERVER_FULL, COMMAND)                             \
    X("ACL failure in script", 0xc38f1f7f, RLK_E_NOPERM, FINAL)                                    \
    X("The user executing the script", 0x84a4b6db, RLK_E_NOPERM, FINAL)                            \
    X("Could not find scripting engine", 0x14c2bac7, RLK_E_UNSUPPORTED, FINAL)                     \
    X("Client sent AUTH, but no password is set", 0xb21ebdab, RLK_E_AUTH, FINAL)                   \
    X("AUTH <password> called without any password", 0x80eb4ad4, RLK_E_AUTH, FINAL)                \
    X("This instance has Lua scripting support disabled", 0x81346408, RLK_E_UNSUPPORTED, FINAL)

typedef enum rlki_scope {
    RLKI_SCOPE_UNKNOWN, /* no error that servers are known for: the command was executed or not */
    /* The others say for certain that the command was not executed. */
    RLKI_SCOPE_COMMAND, /* refused for now: the same may be asked again on this stream */
    RLKI_SCOPE_STREAM,  /* this stream leads to the wrong server, or says nothing more to us */
    RLKI_SCOPE_LASTING, /* the same, if it lasts */
    RLKI_SCOPE_FINAL    /* refused for good: not to be asked again */
} rlki_scope;

/* Whom the error concerns that rlk_server_error read; RLKI_SCOPE_UNKNOWN of other results. */
rlki_scope rlki_error_scope(rlk_result error);

#endif
