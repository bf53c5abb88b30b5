/* SPDX-License-Identifier: MIT */
#include "scripts.h"

/* v: the token in the key, false if there is none. An error but "no such command" and "not allowed"
 * (words of Redis 5 to 8 and Valkey) is the script's own reply. The length of the script stands in
 * its header; a test compares it. */
static const char script_load[] =
    /* clang-format off */
    "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$449\r\n"
    "local v=redis.pcall('GETEX',KEYS[1])\n"
    "if type(v)=='table' then\n"
    "local e=v.err\n"
    "if not(e:find('nknown') or e:find(\"can't run\") or e:find('permissions to run')) then return v end\n"
    "v=redis.call('GET',KEYS[1])\n"
    "end\n"
    "if v~=ARGV[1] then return v and -3 or -2 end\n"
    "local t=ARGV[2]\n"
    "if not t then return redis.call('DEL',KEYS[1]) end\n"
    "local p=redis.call('PTTL',KEYS[1])\n"
    "if p<tonumber(t) then\n"
    "redis.call('PEXPIRE',KEYS[1],t)\n"
    "p=redis.call('PTTL',KEYS[1])\n"
    "end\n"
    "return p\n"
    "\r\n";
/* clang-format on */

const rlk_conn_script rlki_script = {script_load, sizeof(script_load) - 1};
