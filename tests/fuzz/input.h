/* SPDX-License-Identifier: MIT
 *
 * input.h: what every fuzz target reads its input with, and how it says what was broken.
 */
#ifndef TEST_FUZZ_INPUT_H
#define TEST_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_REQUIRE(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input as a list of decisions; zeros behind its end. */
typedef struct fuzz_input {
    const uint8_t *data;
    size_t left;
} fuzz_input;

static inline uint8_t fuzz_byte(fuzz_input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

/* 0 .. n-1; n at most 256. */
static inline unsigned fuzz_below(fuzz_input *input, unsigned n)
{
    return fuzz_byte(input) % n;
}

/* The next bytes, at most `len` of them; returns how many. */
static inline size_t fuzz_bytes(fuzz_input *input, size_t len, const uint8_t **bytes)
{
    if (len > input->left)
        len = input->left;
    *bytes = input->data;
    input->data += len;
    input->left -= len;
    return len;
}

#endif
