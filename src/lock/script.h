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
 *   no argument, with a key or without      0, or "ERR unknown command ...": one that the script
 *                                           or the lock needs is missing, or has another name
 *
 * What came of GET because GETEX can't be used comes as RLKI_BY_GET less the reply: the caller
 * remembers that, and passes ARGV[3] = 1 from then on (of a release with ARGV[2] empty), so that
 * the script uses GET at once and no denial is logged (fault 106).
 *
 * EVALSHA's digest is fixed here; a test compares it with the server's own.
 */
#ifndef RLKI_SCRIPTS_H
#define RLKI_SCRIPTS_H

#include "resplock/net.h"

#define RLKI_SCRIPT_DIGEST "cf0fa691994b553610beb3adf90d35b481bfff75"

#define RLKI_ABSENT   (-2)
#define RLKI_NOT_OURS (-3)

/* Replies of the script itself are -3 and above, so that these are -97 and below. */
#define RLKI_BY_GET (-100)

extern const rlk_conn_script rlki_script;

#endif
