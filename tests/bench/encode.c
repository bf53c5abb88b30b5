/* SPDX-License-Identifier: MIT
 *
 * Encoding of the two commands of an uncontended lock. Unit: one of them.
 */
#include "floor.h"
#include "rounds.h"

#include "resplock/resp.h"

#include <hiredis/hiredis.h>
#include <string.h>

#define ENCODE_KEY    "lock:resource"
#define ENCODE_TOKEN  "0123456789abcdef0123456789abcdef01234567"
#define ENCODE_DIGEST "2c7f62dcf19f31eb2395b92f681e1ac5be879595"
#define ENCODE_TTL_MS 30000

/* A text and its length. */
#define ENCODE_TEXT(text) (text), sizeof(text) - 1

typedef struct encode_command {
    const char *name;
    const void *argv[6];
    size_t lens[6];
    uint32_t argc;
    const char *expected;
} encode_command;

static const encode_command encode_commands[] = {
    {"set",
     {"SET", ENCODE_KEY, ENCODE_TOKEN, "NX", "PX", "30000"},
     {3, sizeof ENCODE_KEY - 1, FLOOR_TOKEN, 2, 2, 5},
     6,
     "*6\r\n$3\r\nSET\r\n$13\r\n" ENCODE_KEY "\r\n$40\r\n" ENCODE_TOKEN
     "\r\n$2\r\nNX\r\n$2\r\nPX\r\n$5\r\n30000\r\n"},
    {"evalsha",
     {"EVALSHA", ENCODE_DIGEST, "1", ENCODE_KEY, ENCODE_TOKEN},
     {7, FLOOR_DIGEST, 1, sizeof ENCODE_KEY - 1, FLOOR_TOKEN},
     5,
     "*5\r\n$7\r\nEVALSHA\r\n$40\r\n" ENCODE_DIGEST "\r\n$1\r\n1\r\n$13\r\n" ENCODE_KEY
     "\r\n$40\r\n" ENCODE_TOKEN "\r\n"},
};

typedef size_t (*encode_one)(const encode_command *command, uint8_t *out, size_t cap);

static unsigned long encode_run(encode_one one, const char *name, unsigned long units)
{
    const encode_command *command =
        strcmp(name, encode_commands[0].name) == 0 ? &encode_commands[0] : &encode_commands[1];
    size_t len = strlen(command->expected);
    uint8_t out[256];
    unsigned long total = 0;
    unsigned long i;

    rounds_require(strcmp(name, command->name) == 0);
    for (i = 0; i < units; i++)
        total += one(command, out, sizeof out);
    rounds_require(total == units * len && memcmp(out, command->expected, len) == 0);
    return units;
}

static size_t encode_floor(const encode_command *command, uint8_t *out, size_t cap)
{
    (void)cap;
    return floor_encode(out, command->argc, command->argv, command->lens);
}

/* hiredis makes its own memory; what it made is copied once, in the end, for the comparison. */
static size_t encode_hiredis(const encode_command *command, uint8_t *out, size_t cap)
{
    const char *argv[6];
    char *text;
    int len;

    memcpy(argv, command->argv, sizeof argv);
    len = redisFormatCommandArgv(&text, (int)command->argc, argv, command->lens);
    rounds_require(len > 0 && (size_t)len <= cap);
    memcpy(out, text, (size_t)len);
    redisFreeCommand(text);
    return (size_t)len;
}

static size_t encode_resplock(const encode_command *command, uint8_t *out, size_t cap)
{
    return rlk_resp_encode(out, cap, command->argc, command->argv, command->lens);
}

/* As the lock layer does it: argument by argument, the token written into its place. */
static size_t encode_writer(const encode_command *command, uint8_t *out, size_t cap)
{
    bool is_set = command == &encode_commands[0];
    rlk_resp_writer writer;
    uint8_t *token;

    rlk_resp_writer_init(&writer, out, cap);
    rlk_resp_put_command(&writer, command->argc);
    if (is_set) {
        rlk_resp_put_bulk(&writer, ENCODE_TEXT("SET"));
    } else {
        rlk_resp_put_bulk(&writer, ENCODE_TEXT("EVALSHA"));
        rlk_resp_put_bulk(&writer, ENCODE_TEXT(ENCODE_DIGEST));
        rlk_resp_put_bulk(&writer, ENCODE_TEXT("1"));
    }
    rlk_resp_put_bulk(&writer, ENCODE_TEXT(ENCODE_KEY));
    token = rlk_resp_put_hole(&writer, FLOOR_TOKEN);
    rounds_require(token != NULL);
    memcpy(token, ENCODE_TOKEN, FLOOR_TOKEN);
    if (is_set) {
        rlk_resp_put_bulk(&writer, ENCODE_TEXT("NX"));
        rlk_resp_put_bulk(&writer, ENCODE_TEXT("PX"));
        rlk_resp_put_integer(&writer, ENCODE_TTL_MS);
    }
    rounds_require(rlk_resp_writer_result(&writer) == RLK_OK);
    return writer.len;
}

static unsigned long encode_run_floor(const char *name, unsigned long units)
{
    return encode_run(encode_floor, name, units);
}

static unsigned long encode_run_hiredis(const char *name, unsigned long units)
{
    return encode_run(encode_hiredis, name, units);
}

static unsigned long encode_run_resplock(const char *name, unsigned long units)
{
    return encode_run(encode_resplock, name, units);
}

static unsigned long encode_run_writer(const char *name, unsigned long units)
{
    return encode_run(encode_writer, name, units);
}

const rounds_contender encode_contenders[4] = {
    {"encode", "floor", NULL, encode_run_floor},
    {"encode", "hiredis", NULL, encode_run_hiredis},
    {"encode", "resplock", NULL, encode_run_resplock},
    {"encode", "writer", NULL, encode_run_writer},
};
