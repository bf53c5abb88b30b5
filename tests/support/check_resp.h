/* SPDX-License-Identifier: MIT
 *
 * check_resp.h: assertions on what bytes mean in RESP, to the reference reader and to the parser,
 * however the bytes are cut.
 */
#ifndef TEST_CHECK_RESP_H
#define TEST_CHECK_RESP_H

#include "resp_log.h"

/*
 * Text of a log: each token as its type byte with its value or data, streamed ones with `?`; `@`
 * before what is in an attribute, `^` in a push; elements in parentheses; `;` at DONE. To be freed.
 */
char *check_resp_text(const resp_log *log);

/*
 * The reader and the parser come to `outcome`, and to `events` (NULL: not said, but the same for
 * both): with whole_max 0, 1, 16, 64 and 240, with all in the window and with the smallest one, in
 * every two-part split (of the first 400 bytes), byte by byte, and in pieces of 7 bytes.
 */
void check_resp(const char *bytes, size_t len, resp_outcome outcome, const char *events);

/* The same for every beginning of the bytes, which may not be malformed. */
void check_resp_prefixes(const char *bytes, size_t len);

/* Reader and parser agree on the bytes as a whole; the reader's log. */
void check_resp_read(resp_log *log, const char *bytes, size_t len);

/* What the parser finds wrong; the same for every cut. */
rlk_resp_fault check_resp_fault(const char *bytes, size_t len);

#endif
