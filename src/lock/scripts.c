/* SPDX-License-Identifier: MIT */
#include "scripts.h"

#define SCRIPTS_LOAD "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n"

/* v: the token in the key, false if there is none. An error but "no such command" and "not allowed"
 * (words of Redis 5 to 8 and Valkey) is the script's own reply. The length of each script stands in
 * its header below; a test compares it. */
/* clang-format off */
#define SCRIPTS_READ_TOKEN "local v=redis.pcall('GETEX',KEYS[1])\n" \
    "if type(v)=='table' then\n" \
    "local e=v.err\n" \
    "if not(e:find('nknown') or e:find(\"can't run\") or e:find('permissions to run')) then return v end\n" \
    "v=redis.call('GET',KEYS[1])\n" \
    "end\n"
/* clang-format on */

static const char scripts_release[] =
    /* clang-format off */
    SCRIPTS_LOAD "$271\r\n" SCRIPTS_READ_TOKEN
    "if v~=ARGV[1] then return 0 end\n"
    "return redis.call('DEL',KEYS[1])\n"
    "\r\n";
/* clang-format on */

static const char scripts_raise[] =
    /* clang-format off */
    SCRIPTS_LOAD "$382\r\n" SCRIPTS_READ_TOKEN
    "if v~=ARGV[1] then return -3 end\n"
    "local p=redis.call('PTTL',KEYS[1])\n"
    "if p<tonumber(ARGV[2]) then\n"
    "redis.call('PEXPIRE',KEYS[1],ARGV[2])\n"
    "p=redis.call('PTTL',KEYS[1])\n"
    "end\n"
    "return p\n"
    "\r\n";
/* clang-format on */

const char rlki_script_release_digest[RLKI_SCRIPT_DIGEST + 1] =
    "2c7f62dcf19f31eb2395b92f681e1ac5be879595";

const char rlki_script_raise_digest[RLKI_SCRIPT_DIGEST + 1] =
    "66da591db664591d60c7ff77580dd6c4f61b22a1";

const rlk_conn_script rlki_scripts[RLKI_SCRIPTS] = {
    {scripts_release, sizeof(scripts_release) - 1},
    {scripts_raise, sizeof(scripts_raise) - 1},
};
