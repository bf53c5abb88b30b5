/* SPDX-License-Identifier: MIT
 *
 * layout_caller.h: what a file of another layout sees of the library. Numbers only, in a struct
 * that no option changes.
 */
#ifndef TEST_LAYOUT_CALLER_H
#define TEST_LAYOUT_CALLER_H

#include "resplock.h"

typedef struct layout_results {
    int enum_size;
    int offset;
    int event_size;
    int open; /* results */
    int init;
    int conn;
    int lock;
} layout_results;

typedef layout_results layout_caller(const rlk_conn_config *config, rlk_posix_client *posix);

layout_caller layout_plain;
layout_caller layout_short_enums;
layout_caller layout_pack_1;
layout_caller layout_pack_2;
layout_caller layout_pack_4;

#endif
