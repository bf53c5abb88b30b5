/* SPDX-License-Identifier: MIT
 *
 * resp_reader.h: the reference reader of RESP: slow, recursive, one byte after the other over a
 * whole string, written from the specification and not from the parser.
 */
#ifndef TEST_RESP_READER_H
#define TEST_RESP_READER_H

#include "resp_log.h"

/* Reads all of it into a cleared log, up to the first byte that can't stand where it stands. */
void resp_reader_read(resp_log *log, const uint8_t *bytes, size_t len);

#endif
