/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver: every way that a stream ends, and signals.
 */
#include "socket_fixture.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

/* ---- Ends -------------------------------------------------------------------------------- */

/* Fault 31. */
static void test_socket_reports_end_of_stream_in_a_reply(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    socket_start_mute(&c, &server, &e, "hello");
    wait_until(peer_read(&server) && server.input_len > 0); /* unread bytes would make it RST */

    peer_say(&server, "$5\r\nhel", 7);
    peer_hang_up(&server);
    client_until(&c, e.losses == 1);

    assert_int_equal(e.replies, 0);
    assert_true(e.maybe_sent);
    assert_ended(&c, RLK_E_EOF, 0);

    server.mute = false; /* and again */
    client_wait_backoff(&c);
    client_ready(&c);
    client_exchange(&c, "hello");
    assert_int_equal(rlk_conn_generation(&c.conn), 2);
    socket_end(&c, &server);
}

/* Fault 30. */
static void test_socket_reports_a_reset(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    socket_start_mute(&c, &server, &e, "hello");
    peer_reset(&server);
    client_until(&c, e.losses == 1);

    assert_true(e.maybe_sent);
    assert_ended(&c, RLK_E_IO, ECONNRESET);
    socket_end(&c, &server);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* Fault 48; and the reply that came before the hang-up is not lost to the failed write. */
static void test_socket_raises_no_sigpipe(void **state)
{
    char *folder = support_folder_new();
    char path[200];
    char url[220];
    peer server;
    client c;
    echo first;
    echo late;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/socket", folder);
    (void)snprintf(url, sizeof url, "unix://%s", path);
    signals = 0;
    (void)signal(SIGPIPE, count_signal);
    peer_init_unix(&server, path);
    client_init(&c, url, NULL);
    c.server = &server;
    client_ready(&c);
    server.mute = true;
    client_submit(&c, &first, "first");
    client_service(&c, 0);
    assert_true(peer_read(&server));
    peer_say(&server, "$5\r\nfirst\r\n", 11);
    peer_hang_up(&server);
    client_submit(&c, &late, "late");
    client_service(&c, 0); /* writes without having read */
    assert_int_equal(signals, 0);
    assert_int_equal(first.replies, 1);
    assert_true(first.good);
    assert_int_equal(late.replies, 0);
    assert_int_equal(late.losses, 1);
    assert_ended(&c, RLK_E_EOF, EPIPE);
    socket_end(&c, &server);
    (void)signal(SIGPIPE, SIG_DFL);
    support_folder_remove(folder);
    free(folder);
}

/* Fault 16: what the server says before it hangs up is received. */
static void test_socket_receives_the_last_words(void **state)
{
    static const char words[] = "-ERR max number of clients reached\r\n";
    peer server;
    client c;

    (void)state;
    socket_init(&c, &server);
    server.mute = true;
    client_service(&c, 0);
    wait_until(peer_accept(&server));

    peer_say(&server, words, sizeof words - 1);
    peer_hang_up(&server);
    client_until(&c, rlk_socket_fd(&c.sock) < 0);

    assert_ended(&c, RLK_E_SERVER_FULL, 0);
    socket_end(&c, &server);
}

/* A stream that the connection gives up: here for a reply to nothing. What comes behind it, more
 * than the window, is not read. */
static void test_socket_closes_when_asked_to(void **state)
{
    char words[1000];
    peer server;
    client c;
    size_t i;

    (void)state;
    socket_start(&c, &server);
    for (i = 0; i < sizeof words; i += 5) {
        memcpy(words + i, "+OK\r\n", 5);
    }
    peer_say(&server, words, sizeof words);
    assert_int_equal(client_poll(&c, 5000), POLLIN);
    memset(&calls, 0, sizeof calls);
    client_service(&c, POLLIN);
    assert_ended(&c, RLK_E_UNSOLICITED, 0);
    assert_int_equal(calls.recv, 1);
    socket_end(&c, &server);
}

/* The tick decides to close; the driver's deadline asks for a call at once. */
static void test_socket_closes_after_response_time(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    socket_start_mute(&c, &server, &e, "hello");
    c.now_ms += RLK_RESPONSE_TIMEOUT_MS;
    rlk_conn_tick(&c.conn, c.now_ms);
    assert_int_equal(client_state(&c), RLK_CONN_CLOSING);
    assert_true(rlk_socket_deadline(&c.sock) <= c.now_ms);
    client_service(&c, POLLIN); /* of the stream that it closes: not read */
    assert_ended(&c, RLK_E_RESPONSE_TIMEOUT, 0);
    assert_int_equal(e.losses, 1);
    socket_end(&c, &server);
}

static void test_socket_reports_a_failed_write(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    socket_start(&c, &server);
    fault.send = ENOBUFS; /* fault 47 */
    client_submit(&c, &e, "hello");
    client_service(&c, 0);
    assert_int_equal(e.losses, 1);
    assert_ended(&c, RLK_E_IO, ENOBUFS);
    socket_end(&c, &server);
}

/* Shutdown by the owner while the stream is up. */
static void test_socket_close_needs_no_word(void **state)
{
    peer server;
    client c;

    (void)state;
    socket_init(&c, &server);
    rlk_socket_close(&c.sock); /* nothing open: nothing happens */
    client_ready(&c);
    rlk_socket_close(&c.sock);
    rlk_socket_close(&c.sock);
    assert_int_equal(rlk_socket_fd(&c.sock), -1);
    assert_int_equal(client_state(&c), RLK_CONN_READY);
    socket_end(&c, &server);
}

/* Fault 45: what a child closes is its own copy. */
static void test_socket_survives_the_close_of_a_child(void **state)
{
    peer server;
    client c;
    pid_t child;
    int status = 0;

    (void)state;
    socket_start(&c, &server);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        rlk_socket_close(&c.sock);
        _exit(rlk_socket_fd(&c.sock) == -1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    client_exchange(&c, "still here");
    assert_int_equal(rlk_conn_generation(&c.conn), 1);
    socket_end(&c, &server);
}

/* ---- Signals ----------------------------------------------------------------------------- */

/* Fault 47. */
static void test_socket_goes_on_after_interrupted_calls(void **state)
{
    peer server;
    client c;

    (void)state;
    socket_init(&c, &server);
    fault.connect_interrupted = true;
    fault.send_interrupts = 3;
    fault.recv_interrupts = 3;
    client_ready(&c);
    assert_int_equal(calls.connect, 1);
    assert_int_equal(fault.send_interrupts, 0);
    assert_int_equal(fault.recv_interrupts, 0);
    client_exchange(&c, "hello");
    socket_end(&c, &server);
}

/* A call that is interrupted again and again ends all the same, and nothing is lost. */
static void test_socket_bounds_interrupted_calls(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    socket_start(&c, &server);
    fault.send_interrupts = 1000;
    memset(&calls, 0, sizeof calls);
    client_submit(&c, &e, "hello");
    client_service(&c, 0);
    assert_int_equal(calls.send, RLK_SOCKET_ROUNDS);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN | POLLOUT);
    fault.send_interrupts = 0;
    fault.recv_interrupts = 1000;
    client_service(&c, POLLIN);
    assert_int_equal(calls.recv, RLK_SOCKET_ROUNDS);
    fault.recv_interrupts = 0;
    client_service(&c, POLLIN); /* nothing there: no harm */
    client_until(&c, e.replies == 1);

    assert_true(e.good);
    socket_end(&c, &server);
}

/* The same with real signals. */
static void test_socket_works_under_a_timer(void **state)
{
    struct itimerval often = {{0, 300}, {0, 300}};
    struct itimerval never = {{0, 0}, {0, 0}};
    struct sigaction action;
    peer server;
    client c;
    int i;

    (void)state;
    memset(&action, 0, sizeof action);
    action.sa_handler = count_signal; /* without SA_RESTART */
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    socket_init(&c, &server);
    signals = 0;
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    client_ready(&c);
    for (i = 0; i < 20 || signals < 20; i++) {
        client_exchange(&c, "hello");
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    /* a last signal may be on its way: the handler stays */
    assert_int_equal(rlk_conn_generation(&c.conn), 1);
    socket_end(&c, &server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        socket_test(test_socket_reports_end_of_stream_in_a_reply),
        socket_test(test_socket_reports_a_reset),
        socket_test(test_socket_raises_no_sigpipe),
        socket_test(test_socket_receives_the_last_words),
        socket_test(test_socket_closes_when_asked_to),
        socket_test(test_socket_closes_after_response_time),
        socket_test(test_socket_reports_a_failed_write),
        socket_test(test_socket_close_needs_no_word),
        socket_test(test_socket_survives_the_close_of_a_child),
        socket_test(test_socket_goes_on_after_interrupted_calls),
        socket_test(test_socket_bounds_interrupted_calls),
        socket_test(test_socket_works_under_a_timer),
    };

    return cmocka_run_group_tests_name("socket_stream_ends", tests, NULL, NULL);
}
