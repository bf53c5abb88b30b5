/* SPDX-License-Identifier: MIT
 *
 * fake_tls.h: a TLS backend that does what a test says, and checks what the driver may ask of it
 * (resplock/tls.h). It encrypts nothing, so that the other end is a peer of socket_fixture.h.
 *
 *     fake.write = "wr";       the next write wants to write, the one after that to read
 *     fake.read = "x";         the next read finds the stream cut
 *
 * Behind its script a step does its work. Include it behind socket_fixture.h.
 */
#ifndef TEST_FAKE_TLS_H
#define TEST_FAKE_TLS_H

/* The letters of the scripts. */
#define FAKE_LETTERS "drwcxfR1s"

static struct {
    rlk_tls tls;
    const char *handshake; /* scripts: what is left of them. "d": done; "rwcxfR": a status; */
    const char *read;      /* "1": of a read and a write, one byte only; "s": of a handshake, a */
    const char *write;     /* byte leaves, and it waits for one */
    const char *words;     /* of an error */
    bool no_memory;        /* for a session */
    bool begin_fails;
    bool hoards; /* reads all that came, and delivers it by bytes: what is left is pending */

    unsigned opened; /* counts */
    unsigned closed;
    unsigned begun;
    unsigned ended;
    unsigned notified;
    unsigned handshakes;
    unsigned reads;
    unsigned writes;

    char name[300]; /* of the peer */
    uint8_t ip[16];
    unsigned ip_len;

    rlk_tls_io io;
    bool streaming; /* between begin and end */
    bool up;
    bool over; /* a step has failed */
    char unfinished[1024];
    size_t unfinished_len; /* of a write that must be repeated; 0: none */
    char hoard[4096];
    size_t hoard_len;
} fake;

FIXTURE bool fake_script(const char **script, char *letter)
{
    if (*script == NULL || **script == '\0') {
        return false;
    }
    *letter = **script;
    assert_non_null(strchr(FAKE_LETTERS, *letter));
    (*script)++;
    return true;
}

static rlk_tls_status fake_status(char letter)
{
    switch (letter) {
    case 'r':
        return RLK_TLS_WANT_READ;
    case 'w':
        return RLK_TLS_WANT_WRITE;
    case 'c':
        fake.over = true;
        return RLK_TLS_CLOSED;
    case 'x':
        fake.over = true;
        return RLK_TLS_CUT;
    case 'f':
        fake.over = true;
        return RLK_TLS_FAILED;
    case 'R':
        fake.over = true;
        return RLK_TLS_REFUSED;
    default:
        return RLK_TLS_DONE;
    }
}

static void *fake_open(const rlk_tls *tls)
{
    assert_ptr_equal(tls, &fake.tls);
    if (fake.no_memory) {
        return NULL;
    }
    fake.opened++;
    return &fake;
}

static void fake_close(void *session)
{
    assert_ptr_equal(session, &fake);
    assert_false(fake.streaming);
    fake.closed++;
}

static rlk_tls_status fake_begin(void *session, const rlk_tls_io *io, const rlk_tls_peer *whom)
{
    assert_ptr_equal(session, &fake);
    assert_int_equal(fake.opened, fake.closed + 1);
    assert_false(fake.streaming);
    fake.begun++;
    fake.io = *io;
    fake.streaming = true;
    fake.up = false;
    fake.over = fake.begin_fails;
    fake.unfinished_len = 0;
    fake.hoard_len = 0;
    (void)snprintf(fake.name, sizeof fake.name, "%s", whom->name);
    memcpy(fake.ip, whom->ip, sizeof fake.ip);
    fake.ip_len = whom->ip_len;
    return fake.begin_fails ? RLK_TLS_FAILED : RLK_TLS_DONE;
}

static rlk_tls_status fake_handshake(void *session)
{
    char letter = 'd';

    assert_ptr_equal(session, &fake);
    assert_true(fake.streaming && !fake.up && !fake.over);
    fake.handshakes++;
    if (fake_script(&fake.handshake, &letter) && letter == 's') {
        char byte;

        assert_true(fake.io.send(fake.io.context, "", 1) > 0);
        switch (fake.io.recv(fake.io.context, &byte, 1)) {
        case 0:
            letter = 'x';
            break;
        case RLK_TLS_IO_AGAIN:
            letter = 'r';
            break;
        case RLK_TLS_IO_FAILED:
            letter = 'f';
            break;
        default:
            letter = 'd';
            break;
        }
    }
    fake.up = letter == 'd';
    return fake_status(letter);
}

/* What came, by one call. */
static rlk_tls_status fake_receive(void *room, size_t cap, size_t *len)
{
    ptrdiff_t n = fake.io.recv(fake.io.context, room, cap);

    if (n > 0) {
        *len = (size_t)n;
        return RLK_TLS_DONE;
    }
    return fake_status(n == 0 ? 'x' : n == RLK_TLS_IO_AGAIN ? 'r' : 'f');
}

static rlk_tls_status fake_read(void *session, void *room, size_t cap, size_t *len)
{
    char letter = 'd';

    assert_ptr_equal(session, &fake);
    assert_true(fake.streaming && fake.up && !fake.over && cap > 0);
    fake.reads++;
    if (fake_script(&fake.read, &letter) && letter != '1') {
        return fake_status(letter);
    }
    if (fake.hoards) {
        if (fake.hoard_len == 0) {
            rlk_tls_status status = fake_receive(fake.hoard, sizeof fake.hoard, &fake.hoard_len);

            if (status != RLK_TLS_DONE) {
                return status;
            }
        }
        memcpy(room, fake.hoard, 1);
        memmove(fake.hoard, fake.hoard + 1, --fake.hoard_len);
        *len = 1;
        return RLK_TLS_DONE;
    }
    return fake_receive(room, letter == '1' ? 1 : cap, len);
}

static rlk_tls_status fake_write(void *session, const void *bytes, size_t len, size_t *done)
{
    char letter = 'd';
    ptrdiff_t n;

    assert_ptr_equal(session, &fake);
    assert_true(fake.streaming && fake.up && !fake.over && len > 0);
    fake.writes++;
    if (fake.unfinished_len != 0) { /* the same bytes, and as many */
        assert_int_equal(len, fake.unfinished_len);
        assert_memory_equal(bytes, fake.unfinished, len);
        fake.unfinished_len = 0;
    }
    if (fake_script(&fake.write, &letter) && letter != '1') {
        n = RLK_TLS_IO_AGAIN;
    } else {
        n = fake.io.send(fake.io.context, bytes, letter == '1' ? 1 : len);
        letter = 'w';
    }
    if (n > 0) {
        *done = (size_t)n;
        return RLK_TLS_DONE;
    }
    assert_true(len <= sizeof fake.unfinished);
    memcpy(fake.unfinished, bytes, len);
    fake.unfinished_len = len;
    return fake_status(letter);
}

static bool fake_pending(const void *session)
{
    assert_ptr_equal(session, &fake);
    return fake.hoard_len > 0;
}

static void fake_end(void *session, bool notify)
{
    assert_ptr_equal(session, &fake);
    assert_true(fake.streaming);
    assert_true(!notify || (fake.up && !fake.over));
    fake.streaming = false;
    fake.ended++;
    fake.notified += notify;
}

static const char *fake_error(const void *session)
{
    assert_ptr_equal(session, &fake);
    return fake.words;
}

static const rlk_tls_calls fake_calls = {fake_open,      fake_close, fake_begin,
                                         fake_handshake, fake_read,  fake_write,
                                         fake_pending,   fake_end,   fake_error};

FIXTURE void fake_init(void)
{
    memset(&fake, 0, sizeof fake);
    fake.tls.calls = &fake_calls;
    fake.tls.driver = rlk_socket_tls_driver();
    fake.words = "words of TLS";
}

#endif
