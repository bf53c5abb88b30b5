/* SPDX-License-Identifier: MIT
 *
 * The two Lua scripts of the lock, as SCRIPT LOAD commands and digests.
 *
 * Both read the token by GETEX, a write command without effect: so a replica or a demoted primary
 * answers READONLY instead of a false "not ours", and a paused server lets it wait behind the SETs
 * that came before (rules 5 and 6). Where the server does not know GETEX (before 6.2), or the ACL
 * user may not run it, they use GET.
 *
 *   release  KEYS[1] key, ARGV[1] token               1: deleted, 0: not our token
 *   raise    KEYS[1] key, ARGV[1] token, ARGV[2] ms   -3: not our token; else the PTTL, after it
 *                                                     was raised to ms if it was less (or none).
 *                                                     ms = -1 raises nothing: a check
 *
 * EVALSHA's digests are fixed here; a test compares them with the server's own.
 */
#ifndef RLKI_SCRIPTS_H
#define RLKI_SCRIPTS_H

#include "resplock/net.h"

#define RLKI_SCRIPT_DIGEST 40 /* hex digits of a SHA-1 */

#define RLKI_RAISE_NOT_OURS (-3)

extern const char rlki_script_release_digest[RLKI_SCRIPT_DIGEST + 1];
extern const char rlki_script_raise_digest[RLKI_SCRIPT_DIGEST + 1];

#define RLKI_SCRIPTS 2
extern const rlk_conn_script rlki_scripts[RLKI_SCRIPTS];

#endif
