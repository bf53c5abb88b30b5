/* SPDX-License-Identifier: MIT */
#include "script.h"

/* k: the key; v: the token in it, false if there is none; r: the reply; g: GET instead of GETEX. An
 * error but "no such command" and "not allowed" (words of Redis 5 to 8 and Valkey) is the script's
 * own reply. Without arguments each command is called without its own: known, it says so before it
 * does anything or asks for permissions. The header of the script has its length; a test compares
 * it. */
static const char script_load[] =
    /* clang-format off */
    "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$697\r\n"
    "local k,a,v=KEYS[1],ARGV\n"
    "if not a[1] then\n"
    "for _,c in ipairs{'SET','GET','DEL','PTTL','PEXPIRE'} do\n"
    "local e=redis.pcall(c)\n"
    "if e.err:find('nknown') then return redis.error_reply('ERR unknown command '..c) end\n"
    "end\n"
    "return 0\n"
    "end\n"
    "local g=a[3]\n"
    "if not g then\n"
    "v=redis.pcall('GETEX',k)\n"
    "if type(v)=='table' then\n"
    "local e=v.err\n"
    "if not(e:find('nknown') or e:find(\"can't run\") or e:find('permissions to run')) then return v end\n"
    "g=1\n"
    "end\n"
    "end\n"
    "if g then v=redis.call('GET',k) end\n"
    "local r=v and -3 or -2\n"
    "if v==a[1] then\n"
    "local t=tonumber(a[2])\n"
    "if t then\n"
    "r=redis.call('PTTL',k)\n"
    "if r<t then\n"
    "redis.call('PEXPIRE',k,a[2])\n"
    "r=redis.call('PTTL',k)\n"
    "end\n"
    "else\n"
    "r=redis.call('DEL',k)\n"
    "end\n"
    "end\n"
    "if g~=a[3] then r=-100-r end\n"
    "return r\n"
    "\r\n";
/* clang-format on */

static const char script_probe[] =
    "*3\r\n$7\r\nEVALSHA\r\n$40\r\n" RLKI_SCRIPT_DIGEST "\r\n$1\r\n0\r\n";

const rlk_conn_script rlki_script = {script_load, script_probe, sizeof script_load - 1};
