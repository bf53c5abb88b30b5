/* SPDX-License-Identifier: MIT
 *
 * resplock/config.h: limits and switches that change the layout of structs. The library and all
 * that is compiled against it must see the same ones; a program that doesn't gets RLK_E_LAYOUT from
 * rlk_posix_open, rlk_client_init, rlk_conn_init and rlk_lock_init.
 *
 * Used from its sources: define others (-DRLK_MAX_NODES=1) for every file, or edit this one.
 * Built by CMake: they are its options (-DRESPLOCK_MAX_NODES=1). CMake reads the list from here and
 * makes a copy with fixed values, for its own build and for installing.
 */
#ifndef RESPLOCK_CONFIG_H
#define RESPLOCK_CONFIG_H

/* ---- Limits: a number -------------------------------------------------------------------- */

/* The most nodes that a client may have. 1 leaves the quorum out. */
#ifndef RLK_MAX_NODES
#define RLK_MAX_NODES 5
#endif

/* Longest prefix of a token; the token is the prefix and 40 hex digits. */
#ifndef RLK_PREFIX_MAX
#define RLK_PREFIX_MAX 64
#endif

/* Longest text that rlk_client_error and rlk_lock_error render, with its terminator. */
#ifndef RLK_TEXT_CAP
#define RLK_TEXT_CAP 384
#endif

/* Longest text of the server that a connection keeps, with its terminator. */
#ifndef RLK_CONN_TEXT
#define RLK_CONN_TEXT 76
#endif

/* Aggregates inside aggregates: a top-level scalar is at depth 0. One level more is an error. */
#ifndef RLK_RESP_MAX_DEPTH
#define RLK_RESP_MAX_DEPTH 8
#endif

/* Most addresses of one name that are tried in one attempt; the next goes on behind them. */
#ifndef RLK_MAX_ADDRESSES
#define RLK_MAX_ADDRESSES 8
#endif

/* Memory of the node that rlk_posix_open embeds: entries of its ring, bytes of its buffers. */
#ifndef RLK_NODE_RING
#define RLK_NODE_RING 32
#endif
#ifndef RLK_NODE_TX
#define RLK_NODE_TX 1024
#endif
#ifndef RLK_NODE_RX
#define RLK_NODE_RX 512
#endif

/* Buckets of a client's own index of keys, a power of two. */
#ifndef RLK_BUCKETS
#define RLK_BUCKETS 16
#endif

/* Random bytes that a client draws at once, for tokens of 16 bytes; below 32 each token draws its
 * own. With RLK_NO_POSIX a client always does: there, entropy is no system call. */
#ifndef RLK_RANDOM_BLOCK
#define RLK_RANDOM_BLOCK 512
#endif

/* ---- Switches: what is left out when they are defined ------------------------------------- */

/* Sockets, system clock, rlk_posix_open: what is left is the engine, for bare ports. resplock.h
 * then includes neither socket.h nor posix.h. Compile neither src/net/posix nor src/lock/posix.c.
 */
/* #define RLK_NO_POSIX */

/* rlk_url_parse: you fill in an rlk_url by hand. Needs RLK_NO_POSIX. */
/* #define RLK_NO_URL */

/* Names and texts of results. */
/* #define RLK_NO_TEXT */

/* Counters and the trace hook. */
/* #define RLK_NO_TRACE */

/* HELLO and the types of RESP3, and with them the wake-up by the server: waiters ask again. */
/* #define RLK_RESP2_ONLY */

/* Defined if POSIX is not switched off, and there, as far as its headers show. */
#ifndef RLK_NO_POSIX
#ifndef __has_include
#define RLKI_POSIX
#elif __has_include(<netdb.h>) && __has_include(<poll.h>) && __has_include(<sys/socket.h>)
#define RLKI_POSIX
#endif
#endif

/* ---- What can't be ----------------------------------------------------------------------- */

/* Behind the first error follows what lets the compiler end without another. */
#if !defined(__cplusplus) && (defined(__STDC_VERSION__) || defined(__STRICT_ANSI__))
#if !defined(__STDC_VERSION__) || __STDC_VERSION__ < 199901L
#error "resplock needs C99: compile with -std=c99 or later"
#define inline
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wlong-long"
#pragma GCC diagnostic ignored "-Wvariadic-macros"
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
#endif
#endif

/* Too small a RLK_NODE_* is RLK_E_BUFFER when a client is opened. */
#if RLK_MAX_NODES < 1 || RLK_MAX_NODES > 31
#error "RLK_MAX_NODES is not in 1..31"
#endif
#if RLK_PREFIX_MAX < 0 || RLK_PREFIX_MAX > 255
#error "RLK_PREFIX_MAX is not in 0..255"
#endif
#if RLK_TEXT_CAP < 16
#error "RLK_TEXT_CAP is below 16"
#endif
#if RLK_CONN_TEXT < 48 || RLK_CONN_TEXT > 255 /* the words that distinguish errors fit */
#error "RLK_CONN_TEXT is not in 48..255"
#endif
#if RLK_RESP_MAX_DEPTH < 4 || RLK_RESP_MAX_DEPTH > 254 /* HELLO, of a server with modules */
#error "RLK_RESP_MAX_DEPTH is not in 4..254"
#endif
#if RLK_BUCKETS < 1 || RLK_BUCKETS > 65536 || (RLK_BUCKETS & (RLK_BUCKETS - 1)) != 0
#error "RLK_BUCKETS is not a power of two in 1..65536"
#endif
#if RLK_RANDOM_BLOCK < 0 || RLK_RANDOM_BLOCK > 4096
#error "RLK_RANDOM_BLOCK is not in 0..4096"
#endif
#if RLK_MAX_ADDRESSES < 2 || RLK_MAX_ADDRESSES > 255 /* localhost has two */
#error "RLK_MAX_ADDRESSES is not in 2..255"
#endif

#endif
