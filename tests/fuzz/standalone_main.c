/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target over the files given, once each: the replay of seeds and of findings with any
 * compiler, no fuzzer needed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int standalone_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0;
    size_t room = 0;
    size_t got;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    do {
        if (size == room) {
            room = room * 2 + 4096;
            data = (uint8_t *)realloc(data, room);
            if (data == NULL)
                abort();
        }
        got = fread(data + size, 1, room - size, file);
        size += got;
    } while (got > 0);
    fclose(file);
    /* memory of the exact size, so that a sanitizer sees a read beyond */
    data = (uint8_t *)realloc(data, size > 0 ? size : 1);
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    int i;

    for (i = 1; i < argc; i++)
        failed += standalone_file(argv[i]);
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE...\n", argv[0]);
        return 2;
    }
    printf("%d inputs\n", argc - 1);
    return failed > 0;
}
