/* SPDX-License-Identifier: MIT
 *
 * A program's file that is compiled with other options than the library: LAYOUT_CALLER is its
 * function. Part of test_layout_options.c.
 */
#include "layout_caller.h"

#include <string.h>

/* Aligned as the library expects it, whatever the options. */
static union {
    int64_t align;
    char bytes[2 * sizeof(rlk_posix_client)];
} memory[2];

layout_results LAYOUT_CALLER(const rlk_conn_config *config, rlk_posix_client *posix);

layout_results LAYOUT_CALLER(const rlk_conn_config *config, rlk_posix_client *posix)
{
    layout_results results;
    rlk_posix_client *own = (rlk_posix_client *)(void *)memory[0].bytes;
    rlk_client_config client_config;

    memset(&results, 0, sizeof results);
    memset(&client_config, 0, sizeof client_config);
    results.enum_size = (int)sizeof(rlk_event_type);
    results.offset = (int)offsetof(rlki_layout, number);
    results.event_size = (int)sizeof(rlk_event);
    results.open = (int)rlk_posix_open(own, "redis://h", NULL);
    results.init = (int)rlk_client_init(&own->client, NULL, 1, &client_config);
    results.conn = (int)rlk_conn_init((rlk_conn *)(void *)memory[1].bytes, config, 0);
    results.lock =
        (int)rlk_lock_init((rlk_lock *)(void *)memory[1].bytes, &posix->client, "key", NULL);
    return results;
}
