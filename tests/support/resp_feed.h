/* SPDX-License-Identifier: MIT
 *
 * resp_feed.h: runs the parser over a byte string as a connection would, cut into pieces, through
 * a window that is compacted, and checks on the way what resp.h promises of every token.
 */
#ifndef TEST_RESP_FEED_H
#define TEST_RESP_FEED_H

#include "resp_log.h"

typedef struct resp_feed_plan {
    uint32_t whole_max;
    size_t window;      /* most bytes shown at once; RESP_FEED_SMALLEST: what resp.h asks for */
    const size_t *cuts; /* lengths of the pieces, used again and again */
    size_t cut_count;
} resp_feed_plan;

#define RESP_FEED_SMALLEST 0

/*
 * Each piece is shown in heap memory of exactly its size, so that a sanitizer sees a read beyond.
 * Returns NULL, or which promise was broken.
 */
const char *resp_feed(resp_log *log, const resp_feed_plan *plan, const uint8_t *bytes, size_t len);

#endif
