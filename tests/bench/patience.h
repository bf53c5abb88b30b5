/* SPDX-License-Identifier: MIT
 *
 * Time limits of resplock's clients and locks for contenders. Under callgrind on a busy machine a
 * connection by TLS takes more than the defaults.
 */
#ifndef BENCH_PATIENCE_H
#define BENCH_PATIENCE_H

#include "resplock.h"

#define PATIENCE_MS      60000
#define PATIENCE_NODE_MS 20000 /* must end within the TTL */

static const rlk_posix_options patience = {
    .connect_timeout_ms = PATIENCE_MS,
    .response_timeout_ms = PATIENCE_MS,
    .operation_timeout_ms = PATIENCE_MS,
    .settle_timeout_ms = PATIENCE_MS,
};

#endif
