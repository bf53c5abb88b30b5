/* SPDX-License-Identifier: MIT
 *
 * The parser against the reference reader: same events, same outcome, however the bytes are cut.
 *
 * Input: a byte for whole_max (and its top bit for the smallest window), a byte for the number of
 * cuts, the cuts, then the stream. Its bytes are also encoded as a command and read back: what is
 * written can be read.
 */
#include "resp_feed.h"
#include "resp_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CUTS_MAX 4

static void fuzz_check(const char *broken)
{
    if (broken != NULL) {
        fprintf(stderr, "%s\n", broken);
        abort();
    }
}

/* Three arguments cut out of the bytes, written and read back. */
static void fuzz_round_trip(const uint8_t *bytes, size_t len)
{
    static const size_t cut = SIZE_MAX;
    const resp_feed_plan plan = {UINT32_MAX, SIZE_MAX, &cut, 1};
    const void *argv[3];
    size_t lens[3];
    resp_log log;
    uint8_t *text;
    size_t need;
    size_t i;

    memset(&log, 0, sizeof log);
    for (i = 0; i < 3; i++) {
        argv[i] = bytes + len * i / 3;
        lens[i] = len * (i + 1) / 3 - len * i / 3;
    }
    need = rlk_resp_encode(NULL, 0, 3, argv, lens);
    text = (uint8_t *)malloc(need);
    if (text == NULL || rlk_resp_encode(text, need, 3, argv, lens) != need)
        abort();
    fuzz_check(resp_feed(&log, &plan, text, need));
    if (log.outcome != RESP_COMPLETE || log.count != 4 || resp_log_values(&log) != 1)
        abort();
    for (i = 0; i < 3; i++)
        if (log.events[i + 1].len != lens[i] ||
            (lens[i] > 0 && memcmp(log.bytes + log.events[i + 1].at, argv[i], lens[i]) != 0))
            abort();
    free(text);
    resp_log_free(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t whole[] = {0, 1, 2, 4, 16, 64, 240, 4096};
    size_t cuts[FUZZ_CUTS_MAX];
    resp_feed_plan plan;
    resp_log wanted;
    resp_log log;
    size_t i;

    if (size < 2 + FUZZ_CUTS_MAX)
        return 0;
    plan.whole_max = whole[data[0] % 8];
    plan.window = (data[0] & 0x80u) != 0 ? RESP_FEED_SMALLEST : SIZE_MAX;
    plan.cut_count = 1 + data[1] % FUZZ_CUTS_MAX;
    plan.cuts = cuts;
    for (i = 0; i < FUZZ_CUTS_MAX; i++)
        cuts[i] = data[2 + i] == 255 ? SIZE_MAX : (size_t)data[2 + i] + 1;
    data += 2 + FUZZ_CUTS_MAX;
    size -= 2 + FUZZ_CUTS_MAX;

    memset(&wanted, 0, sizeof wanted);
    memset(&log, 0, sizeof log);
    resp_reader_read(&wanted, data, size);
    fuzz_check(resp_feed(&log, &plan, data, size));
    fuzz_check(resp_log_difference(&wanted, &log));
    resp_log_free(&wanted);
    resp_log_free(&log);
    fuzz_round_trip(data, size);
    return 0;
}
