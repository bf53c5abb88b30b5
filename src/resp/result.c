/* SPDX-License-Identifier: MIT
 *
 * Names and meanings of results.
 */
#include "resplock/base.h"

#ifndef RLK_NO_TEXT
typedef struct result_row {
    int16_t code;
    const char *name;
    const char *text;
} result_row;

static const result_row result_rows[] = {
    {RLK_OK, "OK", "done"},
    {RLK_PENDING, "PENDING", "under way: the result comes as an event"},
    {RLK_BUSY, "BUSY", "somebody else has the lock; rlk_query says who and for how long"},
    {RLK_TIMED_OUT, "TIMED_OUT",
     "somebody else had it until the deadline; rlk_query says who has it and for how long"},
    {RLK_NOT_OWNER, "NOT_OWNER",
     "the server does not have this lock's token under the key: it expired, was deleted or "
     "overwritten"},
    {RLK_NOT_HELD, "NOT_HELD", "nothing to do: the lock is not held (a query: nobody has it)"},
    {RLK_LOST, "LOST",
     "the lease is over: it ran out, or the key was deleted or overwritten; stop using what it "
     "protects"},
    {RLK_GONE, "GONE",
     "the key is not this lock's now; a try whose reply was lost may have deleted it, or it "
     "expired"},
    {RLK_UNKNOWN, "UNKNOWN",
     "not answered in time, so the outcome is open: the key may hold this lock's token until its "
     "TTL is "
     "over"},
    {RLK_CANCELLED, "CANCELLED", "ended by rlk_cancel"},
    {RLK_E_ARGUMENT, "E_ARGUMENT", "an argument is NULL or out of its range"},
    {RLK_E_TTL, "E_TTL",
     "the TTL or the time added is not positive, too long, or no longer than drift and one try on "
     "one node (node_timeout_ms)"},
    {RLK_E_KEY, "E_KEY",
     "the key is empty, or too long for the transmit buffer: rlk_posix_open_nodes takes larger "
     "ones (tx_cap), also for one node"},
    {RLK_E_URL, "E_URL",
     "not a URL that resplock knows: write redis://[[user]:password@]host[:port][/db], "
     "valkey://..., rediss://... for TLS, or unix:///path, without quotes or spaces"},
    {RLK_E_URL_SCHEME, "E_URL_SCHEME",
     "the URL's scheme is not known: write redis:// or valkey:// for TCP, rediss:// for TLS, "
     "unix:///path for a socket"},
    {RLK_E_URL_TLS, "E_URL_TLS",
     "rediss:// and valkeys:// need a TLS library: with resplock/tls/openssl.h write "
     "rlk_openssl_init(&tls, NULL); and set options.tls = &tls.tls;"},
    {RLK_E_URL_HOST, "E_URL_HOST",
     "the URL's host is malformed: it names one server; an IPv6 address is in brackets, and its "
     "zone behind %25: redis://[fe80::1%25eth0]"},
    {RLK_E_URL_PORT, "E_URL_PORT",
     "the URL's port is not a number from 1 to 65535; an @ ends a password: "
     "redis://:password@host"},
    {RLK_E_URL_DB, "E_URL_DB",
     "the URL's database is not a number from 0 to 2147483647, or it names two; the path of a "
     "socket is unix:///path"},
    {RLK_E_URL_ESCAPE, "E_URL_ESCAPE",
     "the URL has a character that must be escaped: in user, password and path write @ : / ? # % + "
     "& as %40 %3A %2F %3F %23 %25 %2B %26"},
    {RLK_E_URL_PATH, "E_URL_PATH",
     "the URL's socket path is missing, too long, or has a NUL; it begins with a third slash: "
     "unix:///path"},
    {RLK_E_URL_QUERY, "E_URL_QUERY",
     "the URL has a parameter other than db, username and password, or credentials twice; settings "
     "are in rlk_posix_options"},
    {RLK_E_BUFFER, "E_BUFFER",
     "a buffer is too small for the connection, or for its credentials: rlk_posix_open_nodes "
     "takes larger ones (tx_cap, rx_cap, ring_len), also for one node"},
    {RLK_E_LAYOUT, "E_LAYOUT",
     "compiled against another layout of the structs: use the headers of this library"},
    {RLK_E_STATE, "E_STATE", "another operation of this lock is under way, or it is held already"},
    {RLK_E_FORKED, "E_FORKED",
     "this process inherited the client by fork; it belongs to the parent: open a new one"},
    {RLK_E_SAME_NODE, "E_SAME_NODE",
     "the same server is listed twice; a quorum needs independent ones"},
    {RLK_E_NODES, "E_NODES", "the number of nodes is 0, or more than the library was built for"},
    {RLK_E_RESOLVER, "E_RESOLVER",
     "a host name in an event loop needs a resolver: use an address, or set one in "
     "rlk_posix_options"},
    {RLK_E_PREFIX, "E_PREFIX", "the token prefix is too long"},
    {RLK_E_CLOSED, "E_CLOSED", "the client or the lock is closed, or was never initialised"},
    {RLK_E_ENTROPY, "E_ENTROPY", "the system gave no random bytes, so there is no token"},
    {RLK_E_TIMES, "E_TIMES",
     "a time limit is negative or longer than a day, or max_hold_ms is shorter than the TTL or too "
     "long"},
    {RLK_E_CREDENTIALS, "E_CREDENTIALS",
     "the credentials hook gave none, or they do not fit the transmit buffer: "
     "rlk_posix_open_nodes takes larger ones (tx_cap), also for one node"},
    {RLK_E_WAIT, "E_WAIT",
     "the environment can't wait: use the started forms, or give it a wait function"},
    {RLK_E_CLOCK, "E_CLOCK", "the system's clock can't be read"},
    {RLK_E_PIPE, "E_PIPE",
     "the system has no pipe for rlk_posix_interrupt: raise the limit of open files, or close "
     "some"},
    {RLK_E_DANGLING, "E_DANGLING",
     "a text has changed since init: keep key, token prefix, URL and texts of the options as they "
     "are while the lock or the client is in use"},
    {RLK_E_URL_PLAIN, "E_URL_PLAIN",
     "the URL is not encrypted, but options.tls is set: write rediss:// or valkeys://"},
    {RLK_E_NOT_CONNECTED, "E_NOT_CONNECTED",
     "not connected yet: is it the right port, and does the server answer?"},
    {RLK_E_RESOLVE, "E_RESOLVE",
     "the host name can't be resolved: is it spelt right, and does DNS know it?"},
    {RLK_E_CONNECT, "E_CONNECT", "can't connect: is the server running, and the address right?"},
    {RLK_E_CONNECT_TIMEOUT, "E_CONNECT_TIMEOUT",
     "no connection within the connect time: is DNS slow, or is a firewall between?"},
    {RLK_E_RESPONSE_TIMEOUT, "E_RESPONSE_TIMEOUT",
     "no answer in time: is the server stopped, overloaded, or another kind of server?"},
    {RLK_E_EOF, "E_EOF", "the server closed the connection"},
    {RLK_E_IO, "E_IO", "reading from or writing to the server failed"},
    {RLK_E_TLS_CUT, "E_TLS_CUT",
     "the stream ended without TLS's close_notify: the server died, or somebody cut it"},
    {RLK_E_TLS, "E_TLS", "TLS with the server failed"},
    {RLK_E_PROTOCOL, "E_PROTOCOL", "the server sent something that is not valid RESP"},
    {RLK_E_NOT_RESP, "E_NOT_RESP", "this is not a RESP server: is it an HTTP or a TLS port?"},
    {RLK_E_UNSOLICITED, "E_UNSOLICITED",
     "the server sent a reply to no request; is a proxy between?"},
    {RLK_E_UNEXPECTED, "E_UNEXPECTED",
     "the server sent a reply of a type that the command does not have"},
    {RLK_E_SERVER, "E_SERVER", "the server refused the command"},
    {RLK_E_LOADING, "E_LOADING", "the server is loading its data; it will answer when it is done"},
    {RLK_E_READONLY, "E_READONLY", "the server is a replica: connect to the primary"},
    {RLK_E_MASTERDOWN, "E_MASTERDOWN", "the server is a replica that lost its primary"},
    {RLK_E_MISCONF, "E_MISCONF", "the server refuses writes because it can't persist: see its log"},
    {RLK_E_OOM, "E_OOM", "the server is out of memory: raise maxmemory or free some"},
    {RLK_E_SCRIPT_BUSY, "E_SCRIPT_BUSY",
     "the server is busy with somebody's script; SCRIPT KILL ends that"},
    {RLK_E_NOSCRIPT, "E_NOSCRIPT",
     "the server forgot the script right after loading it; is a proxy between?"},
    {RLK_E_MOVED, "E_MOVED",
     "this is a node of a Redis Cluster, and the key lives on another: connect to a server without "
     "Cluster"},
    {RLK_E_ASK, "E_ASK",
     "this is a node of a Redis Cluster, and the key moves to another: connect to a server without "
     "Cluster"},
    {RLK_E_CLUSTERDOWN, "E_CLUSTERDOWN", "the cluster is down"},
    {RLK_E_TRYAGAIN, "E_TRYAGAIN", "the cluster is moving the key"},
    {RLK_E_CROSSSLOT, "E_CROSSSLOT", "keys of one command are in different slots"},
    {RLK_E_NOREPLICAS, "E_NOREPLICAS", "the server has not enough replicas to accept writes"},
    {RLK_E_SERVER_FULL, "E_SERVER_FULL",
     "the server has reached its maximum number of clients (maxclients)"},
    {RLK_E_WRONGTYPE, "E_WRONGTYPE",
     "the key holds something that is not a string: it is used for something else"},
    {RLK_E_NOAUTH, "E_NOAUTH",
     "the server asks for a password again on this connection; the next connection sends it"},
    {RLK_E_AUTH, "E_AUTH",
     "wrong or missing user or password; in a URL a password alone is redis://:password@host"},
    {RLK_E_NOPERM, "E_NOPERM",
     "the ACL user may not do this: docs/guide.md lists the permissions that it needs"},
    {RLK_E_PROTECTED, "E_PROTECTED", "the server is in protected mode: set a password or bind it"},
    {RLK_E_DATABASE, "E_DATABASE",
     "there is no such database, or no SELECT, as in a cluster or behind a proxy: use database 0"},
    {RLK_E_UNSUPPORTED, "E_UNSUPPORTED",
     "the server lacks a command that resplock needs, or it has another name there"},
    {RLK_E_SENTINEL, "E_SENTINEL",
     "this is a Sentinel's port, which keeps no keys: connect to the primary that it names"},
    {RLK_E_USER, "E_USER",
     "the server takes no user's name (before Redis 6, or a proxy): give the password alone"},
    {RLK_E_TLS_REFUSED, "E_TLS_REFUSED",
     "TLS refused a certificate or the version: mend that, then rlk_client_reset"},
};

static const result_row *result_find(rlk_result result)
{
    size_t i;

    for (i = 0; i < sizeof result_rows / sizeof result_rows[0]; i++)
        if (result_rows[i].code == (int16_t)result)
            return &result_rows[i];
    return NULL;
}

const char *rlk_result_name(rlk_result result)
{
    const result_row *row = result_find(result);

    return row != NULL ? row->name : "?";
}

const char *rlk_result_text(rlk_result result)
{
    const result_row *row = result_find(result);

    return row != NULL ? row->text : "";
}

#else
const char *rlk_result_name(rlk_result result)
{
    (void)result;
    return "";
}

const char *rlk_result_text(rlk_result result)
{
    (void)result;
    return "";
}
#endif

rlk_result_kind rlk_result_class(rlk_result result)
{
    /* a hundred codes each, in the order of the kinds */
    unsigned kind = (unsigned)RLK_KIND_USAGE + (unsigned)-result / 100u;

    if (result >= 0)
        return RLK_KIND_OUTCOME;
    return kind < (unsigned)RLK_KIND_FATAL ? (rlk_result_kind)kind : RLK_KIND_FATAL;
}

const char *rlk_version(void)
{
    return RLK_VERSION_STRING;
}
