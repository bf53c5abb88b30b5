/* SPDX-License-Identifier: MIT
 *
 * The Lua script of the lock, as a SCRIPT LOAD command and a digest.
 *
 * It reads the token by GETEX, a write command without effect: so a replica or a demoted primary
 * answers READONLY instead of a false "not ours", and a paused server lets it wait behind the SETs
 * that came before (rules 5 and 6). Where the server does not know GETEX (before 6.2), or the ACL
 * user may not run it, it uses GET.
 *
 *   KEYS[1] key, ARGV[1] token              release. 1: deleted
 *   KEYS[1] key, ARGV[1] token, ARGV[2] ms  raise: the PTTL, raised to ms if it was less, or none.
 *                                           ms = -1 raises nothing: a check
 *   of both, without the token              -2: there is no such key. -3: it holds another value
 *
 * EVALSHA's digest is fixed here; a test compares it with the server's own.
 */
#ifndef RLKI_SCRIPTS_H
#define RLKI_SCRIPTS_H

#include "resplock/net.h"

#define RLKI_SCRIPT_DIGEST "c276b8293023fd55907525a4ba70250d43691201"

#define RLKI_ABSENT   (-2)
#define RLKI_NOT_OURS (-3)

extern const rlk_conn_script rlki_script;

#endif
