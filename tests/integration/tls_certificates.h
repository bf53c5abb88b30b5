/* SPDX-License-Identifier: MIT
 *
 * tls_certificates.h: whom a client trusts: one table of cases for each TLS backend. A program
 * includes it behind the header of its backend and these names:
 *     typedef rlk_openssl tls_backend;
 *     #define tls_backend_init rlk_openssl_init, and _close, and _error
 *     #define TLS_BACKEND_13 1: it has TLS 1.3; 0: it has not
 */
#ifndef TEST_TLS_CERTIFICATES_H
#define TEST_TLS_CERTIFICATES_H

#include "certificates.h"
#include "hostile.h"
#include "server.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum case_trust {
    TRUST_FILE,        /* ca_file */
    TRUST_FOLDER,      /* ca_dir, with another authority's certificate too */
    TRUST_SYSTEM_FILE, /* the system's store, which SSL_CERT_FILE names */
    TRUST_SYSTEM_DIR,  /* ... SSL_CERT_DIR */
    TRUST_SYSTEM,      /* the system's own */
    TRUST_ITSELF       /* ca_file is the server's certificate */
} case_trust;

typedef enum case_pin {
    PIN_NONE,
    PIN_RIGHT,
    PIN_WRONG
} case_pin;

/* Of one case; what is not named is right. */
typedef struct case_row {
    const char *name;
    const char *words; /* of the error; NULL: the certificate is taken */
    certificate_spec server;
    const char *host;        /* of the URL; NULL: "localhost" */
    const char *server_name; /* of rlk_tls_config */
    const char *clients;  /* authority whose certificates the server wants; NULL: it wants none */
    const char *client;   /* authority of the client's certificate; NULL: it has none */
    const char *versions; /* of the server */
    case_trust trust;
    case_pin pin;
    bool insecure;
} case_row;

#define LOCALHOST .server.names = "DNS:localhost"
#define DAY_AGO   -1

static const case_row case_rows[] = {
    {"right", NULL, LOCALHOST},
    {"one of several names", NULL, .server.names = "DNS:a.example,IP:10.0.0.1,DNS:localhost"},
    {"in capital letters", NULL, .server.names = "DNS:LocalHost"},
    {"common name, without others", NULL, .server.common_name = "localhost"},
    {"common name beside another name", "not for localhost", .server.common_name = "localhost",
     .server.names = "DNS:example.org"},
    {"another name", "not for localhost, but for example.org", .server.names = "DNS:example.org"},
    {"the name and more", "not for localhost", .server.names = "DNS:localhost.example.org"},
    {"the name, NUL, and more", "not for localhost, but for localhost?.example.com",
     .server.names = "DER:301882166c6f63616c686f7374002e6578616d706c652e636f6d"},
    {"no name at all", "not for localhost", .server.common_name = "server"},

    {"expired", "expired", LOCALHOST, .server.to_days = DAY_AGO},
    {"not yet valid", "not yet valid", LOCALHOST, .server.from_days = 1, .server.to_days = 3},
    {"for clients", "not for servers", LOCALHOST, .server.usage = "clientAuth"},

    {"IPv4", NULL, .server.names = "IP:127.0.0.1", .host = "127.0.0.1"},
    {"IPv4 of another", "not for 127.0.0.1, but for 10.0.0.1", .server.names = "IP:10.0.0.1",
     .host = "127.0.0.1"},
    {"IPv4 as a name", "not for 127.0.0.1", .server.names = "DNS:127.0.0.1", .host = "127.0.0.1"},
    {"IPv4 as common name", "not for 127.0.0.1", .server.common_name = "127.0.0.1",
     .host = "127.0.0.1"},
    {"name for an address", "not for 127.0.0.1", LOCALHOST, .host = "127.0.0.1"},
    {"address for a name", "not for localhost", .server.names = "IP:127.0.0.1"},
    {"IPv6", NULL, .server.names = "IP:::1", .host = "[::1]"},
    {"IPv6 of another", "not for ::1", .server.names = "IP:::2,IP:127.0.0.1", .host = "[::1]"},

    {"wildcard", NULL, .server.names = "DNS:*.example.com", .server_name = "a.example.com"},
    {"wildcard, two labels", "not for a.b.example.com", .server.names = "DNS:*.example.com",
     .server_name = "a.b.example.com"},
    {"wildcard, no label", "not for example.com", .server.names = "DNS:*.example.com",
     .server_name = "example.com"},
    {"wildcard of a part", "not for foo.example.com", .server.names = "DNS:f*.example.com",
     .server_name = "foo.example.com"},
    {"wildcard of another part", "not for foo.example.com", .server.names = "DNS:*o.example.com",
     .server_name = "foo.example.com"},
    {"wildcard of all", "not for example.com", .server.names = "DNS:*.com",
     .server_name = "example.com"},
    {"wildcard alone", "not for localhost", .server.names = "DNS:*"},
    {"wildcard for what is no label of a host", "not for a_b.example.com",
     .server.names = "DNS:*.example.com", .server_name = "a_b.example.com"},
    {"wildcard within", "not for a.b.example.com", .server.names = "DNS:a.*.example.com",
     .server_name = "a.b.example.com"},

    {"name of the configuration", NULL, .server.names = "DNS:example.org",
     .server_name = "example.org"},
    {"another than that", "not for example.org", LOCALHOST, .server_name = "example.org"},
    {"address of the configuration", NULL, .server.names = "IP:10.1.2.3",
     .server_name = "10.1.2.3"},
    {"with a dot at its end", NULL, LOCALHOST, .server_name = "localhost."},
    {"empty name of the configuration", "name is empty", LOCALHOST, .server_name = ""},
    {"zone without an address", "not for %lo", LOCALHOST, .server_name = "%lo"},
    {"zone behind a name", "not for localhost%lo", LOCALHOST, .server_name = "localhost%lo"},
    {"domain of names", "a dot is first", .server.names = "DNS:a.example.com",
     .server_name = ".example.com"},
    {"long name in the words", "but for a-name-that-is-",
     .server.names = "DNS:a-name-that-is-longer-than-a-line-has-room-for.example.org"},

    {"by another CA", "untrusted CA", LOCALHOST, .server.issuer = "other"},
    {"by another CA, which the server sends",
     "server's certificate is by an untrusted CA (ca_file): CN=authority other", LOCALHOST,
     .server.issuer = "other", .server.root = true},
    {"self-signed", "self-signed", LOCALHOST, .server.issuer = ""},
    {"self-signed, and trusted", NULL, LOCALHOST, .server.issuer = "", .trust = TRUST_ITSELF},
    {"folder of CAs", NULL, LOCALHOST, .trust = TRUST_FOLDER},
    {"folder of other CAs", "untrusted CA", LOCALHOST, .server.issuer = "third",
     .trust = TRUST_FOLDER},
    {"file of the system", NULL, LOCALHOST, .trust = TRUST_SYSTEM_FILE},
    {"folder of the system", NULL, LOCALHOST, .trust = TRUST_SYSTEM_DIR},
    {"not of the system", "untrusted CA", LOCALHOST, .trust = TRUST_SYSTEM},

    {"CA between", NULL, LOCALHOST, .server.between = ""},
    {"CA between, for clients", "certificate of a CA is not for servers", LOCALHOST,
     .server.between = "extendedKeyUsage=clientAuth"},
    {"CA between, for both", NULL, LOCALHOST,
     .server.between = "extendedKeyUsage=clientAuth,serverAuth"},
    {"CA between, for another name", "name constraints", LOCALHOST,
     .server.between = "nameConstraints=permitted;DNS:example.org"},
    {"CA between, not for the name", "name constraints", LOCALHOST,
     .server.between = "nameConstraints=excluded;DNS:localhost"},
    {"CA between, not for the name, critical", "server's certificate", LOCALHOST,
     .server.between = "nameConstraints=critical,excluded;DNS:localhost"},
    {"CA between, not for CAs", "CA", LOCALHOST,
     .server.between = "basicConstraints=critical,CA:FALSE"},
    {"CA between, by another CA",
     "certificate of a CA is by an untrusted CA (ca_file): CN=authority other", LOCALHOST,
     .server.issuer = "other", .server.between = ""},
    {"any usage", "not for servers", LOCALHOST, .server.usage = "anyExtendedKeyUsage"},
    {"critical extension that nobody knows", "server's certificate: ", LOCALHOST,
     .server.extension = "1.2.3.4=critical,ASN1:NULL"},

    {"TLS 1.1", "1.2 at least", LOCALHOST, .versions = "TLSv1.1"},
    {"TLS 1.2", NULL, LOCALHOST, .versions = "TLSv1.2"},
    {"TLS 1.3", TLS_BACKEND_13 ? NULL : "1.2 at least", LOCALHOST, .versions = "TLSv1.3"},

    {"client's certificate missing", "wants a client certificate", LOCALHOST, .clients = "ca"},
    {"client's certificate missing, TLS 1.2", "wants a client certificate", LOCALHOST,
     .clients = "ca", .versions = "TLSv1.2"},
    {"client's certificate", NULL, LOCALHOST, .clients = "ca", .client = "ca"},
    {"client's certificate, TLS 1.2", NULL, LOCALHOST, .clients = "ca", .client = "ca",
     .versions = "TLSv1.2"},
    {"client's certificate by another", "refused the client certificate", LOCALHOST,
     .clients = "ca", .client = "other"},
    {"client's certificate by another, TLS 1.2", "refused the client certificate", LOCALHOST,
     .clients = "ca", .client = "other", .versions = "TLSv1.2"},

    {"pinned", NULL, LOCALHOST, .pin = PIN_RIGHT},
    {"another key pinned", "not the pinned one", LOCALHOST, .pin = PIN_WRONG},
    {"pinned, but by another CA", "untrusted CA", LOCALHOST, .server.issuer = "other",
     .pin = PIN_RIGHT},
    {"pinned, but another name", "not for localhost", .server.names = "DNS:example.org",
     .pin = PIN_RIGHT},

    {"insecure: another name", NULL, .server.names = "DNS:example.org", .insecure = true},
    {"insecure: expired, by another CA", NULL, LOCALHOST, .server.issuer = "other",
     .server.to_days = DAY_AGO, .insecure = true},
    {"insecure: self-signed", NULL, .server.issuer = "", .insecure = true},
    {"insecure: for clients", NULL, LOCALHOST, .server.usage = "clientAuth", .insecure = true},
    {"insecure, and pinned", NULL, .server.issuer = "", .insecure = true, .pin = PIN_RIGHT},
    {"insecure, another key pinned", "not the pinned one", .server.issuer = "", .insecure = true,
     .pin = PIN_WRONG},
};

/* ---- One case ---- */

static server *case_server(const case_row *row, certificate *cert)
{
    server_config config;

    certificate_make(cert, &row->server);
    memset(&config, 0, sizeof config);
    config.tcp = true;
    config.tls_cert = cert->file;
    config.tls_key = cert->key_file;
    config.tls_versions = row->versions;
    if (row->clients != NULL)
        config.tls_clients = certificate_authority(row->clients);
    return server_start(&config);
}

static void case_trusted(const case_row *row, const certificate *cert, rlk_tls_config *config)
{
    switch (row->trust) {
    case TRUST_FILE:
        config->ca_file = certificate_authority("ca");
        break;
    case TRUST_FOLDER:
        config->ca_dir = certificate_folder("other", "ca", NULL);
        break;
    case TRUST_SYSTEM_FILE:
        setenv("SSL_CERT_FILE", certificate_authority("ca"), 1);
        break;
    case TRUST_SYSTEM_DIR:
        setenv("SSL_CERT_DIR", certificate_folder("ca", NULL), 1);
        break;
    case TRUST_SYSTEM:
        break;
    case TRUST_ITSELF:
        config->ca_file = cert->file;
        break;
    }
}

static void case_backend(tls_backend *backend, const case_row *row, const certificate *cert)
{
    const certificate_spec spec = {.common_name = "client", .issuer = row->client};
    uint8_t pin[CERTIFICATE_PIN];
    rlk_tls_config config;
    certificate client;

    memset(&config, 0, sizeof config);
    case_trusted(row, cert, &config);
    config.server_name = row->server_name;
    config.insecure_any_certificate = row->insecure;
    if (row->client != NULL) {
        certificate_make(&client, &spec);
        config.cert_file = client.file;
        config.key_file = client.key_file;
    }
    if (row->pin != PIN_NONE) {
        certificate_pin(row->pin == PIN_RIGHT ? cert->file : certificate_authority("ca"), pin);
        config.pin = pin;
    }
    assert_result(tls_backend_init(backend, &config), RLK_OK);
    assert_string_equal(tls_backend_error(backend), "");
    memset(pin, 0, sizeof pin); /* the backend has copied it */
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

static void case_accepted(rlk_lock *lock, server *redis)
{
    rlk_result result = rlk_acquire(lock, 10000);

    if (result != RLK_OK)
        print_error("%s\n", rlk_lock_error(lock));
    assert_result(result, RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS foobar"), 1);
    assert_result(rlk_release(lock), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS foobar"), 0);
}

/* At once, with its reason, and once: the server gets no command, and no second connection. */
static void case_refused(rlk_lock *lock, const rlk_conn *conn, server *redis, const case_row *row)
{
    int64_t start_ms = support_now_ms();

    assert_result(rlk_acquire(lock, 30000), RLK_E_TLS_REFUSED);
    assert_between(support_now_ms() - start_ms, 0, scaled(2500));
    assert_contains(rlk_lock_error(lock), row->words);
    assert_int_equal(rlk_conn_failures(conn), 1);
    assert_int_equal(server_calls(redis, "hello"), 0);
    /* it stays, and costs nothing */
    assert_result(rlk_acquire(lock, RLK_TRY), RLK_E_TLS_REFUSED);
    assert_int_equal(rlk_conn_failures(conn), 1);
}

/* A row is what a user has set up: server, certificate, client, one acquire. */
static void case_run(const case_row *row)
{
    certificate cert;
    server *redis = case_server(row, &cert);
    rlk_posix_options options;
    rlk_posix_client client;
    tls_backend backend;
    rlk_lock lock;
    char url[64];

    if (row->host != NULL && row->host[0] == '[' && !support_has_ipv6())
        return;
    case_backend(&backend, row, &cert);
    snprintf(url, sizeof url, "rediss://%s:%d", row->host != NULL ? row->host : "localhost",
             server_port(redis));
    memset(&options, 0, sizeof options);
    options.tls = &backend.tls;
    assert_result(rlk_posix_open(&client, url, &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &client.client, "foobar", NULL), RLK_OK);
    if (row->words == NULL)
        case_accepted(&lock, redis);
    else
        case_refused(&lock, &client.node.conn, redis, row);
    rlk_lock_close(&lock);
    rlk_posix_close(&client);
    tls_backend_close(&backend);
    server_free(redis);
}

static void test_tls_certificates(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(case_rows)); i++) {
        support_row_name("%s", case_rows[i].name);
        case_run(&case_rows[i]);
    }
}

/* ---- Files ---- */

typedef struct file_row {
    const char *name;
    rlk_result result;
    const char *words; /* the file's name is part of them */
    const char *ca_file;
    const char *ca_dir;
    const char *cert_file;
    const char *key_file;
} file_row;

/* "ca", "other": authorities; "!...": a file with that text; else a path. */
static const char *file_path(const char *name)
{
    if (name == NULL)
        return NULL;
    if (strcmp(name, "ca") == 0 || strcmp(name, "other") == 0)
        return certificate_authority(name);
    return name[0] == '!' ? certificate_text("garbage.crt", name + 1) : name;
}

static void test_tls_files_that_are_wrong(void **state)
{
    static const file_row rows[] = {
        {"no CA file", RLK_E_TLS, "/nowhere/ca.crt: can't be read: No such file",
         .ca_file = "/nowhere/ca.crt"},
        {"garbage", RLK_E_TLS, "garbage.crt: has no certificate in PEM", .ca_file = "!garbage\n"},
        {"empty", RLK_E_TLS, "garbage.crt: has no certificate in PEM", .ca_file = "!"},
        {"broken PEM", RLK_E_TLS, "garbage.crt: ",
         .ca_file = "!-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        {"a folder as file", RLK_E_TLS, "/tmp: ", .ca_file = "/tmp"},
        {"no folder", RLK_E_TLS, "/nowhere: ", .ca_dir = "/nowhere"},
        {"no client certificate", RLK_E_TLS, "/nowhere/client.crt: can't be read", .ca_file = "ca",
         .cert_file = "/nowhere/client.crt"},
        {"no key in its file", RLK_E_TLS, "ca.crt: has no private key", .ca_file = "ca",
         .cert_file = "ca"},
        {"no key file", RLK_E_TLS, "/nowhere/key: can't be read", .ca_file = "ca",
         .cert_file = "ca", .key_file = "/nowhere/key"},
        {"key without certificate", RLK_E_ARGUMENT, "key_file without cert_file", .ca_file = "ca",
         .key_file = "/nowhere/key"},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        const file_row *row = &rows[i];
        rlk_tls_config config;
        tls_backend backend;

        support_row_name("%s", row->name);
        memset(&config, 0, sizeof config);
        config.ca_file = file_path(row->ca_file);
        config.ca_dir = file_path(row->ca_dir);
        config.cert_file = file_path(row->cert_file);
        config.key_file = file_path(row->key_file);
        assert_result(tls_backend_init(&backend, &config), row->result);
        assert_contains(tls_backend_error(&backend), row->words);
        tls_backend_close(&backend); /* is so already */
    }
}

/* A key that is another certificate's, and one that is encrypted. */
static void test_tls_keys_that_are_wrong(void **state)
{
    static const certificate_spec spec = {.common_name = "client"};
    rlk_tls_config config;
    certificate client;
    tls_backend backend;
    const char *path;

    (void)state;
    certificate_make(&client, &spec);
    memset(&config, 0, sizeof config);
    config.ca_file = certificate_authority("ca");
    config.cert_file = config.ca_file;
    config.key_file = client.key_file;
    assert_result(tls_backend_init(&backend, &config), RLK_E_TLS);
    assert_contains(tls_backend_error(&backend), "is not the key of");

    path = certificate_encrypted_key("open sesame");
    config.cert_file = client.file;
    config.key_file = path;
    assert_result(tls_backend_init(&backend, &config), RLK_E_TLS);
    assert_contains(tls_backend_error(&backend), path);
    assert_contains(tls_backend_error(&backend), ": is encrypted, and key_password is not set");
    config.key_password = "wrong";
    assert_result(tls_backend_init(&backend, &config), RLK_E_TLS);
    assert_contains(tls_backend_error(&backend), path);
    assert_contains(tls_backend_error(&backend), ": is encrypted, and key_password is wrong");
    config.key_password = "open sesame";
    config.cert_file = config.ca_file;
    assert_result(tls_backend_init(&backend, &config), RLK_E_TLS);
    assert_contains(tls_backend_error(&backend), "is not the key of");
    config.cert_file = client.file;
    assert_result(tls_backend_init(&backend, &config), RLK_OK);
    tls_backend_close(&backend);
    config.key_file = certificate_encrypted_pkcs8("open sesame");
    if (tls_backend_init(&backend, &config) == RLK_OK)
        tls_backend_close(&backend);
    else
        assert_contains(tls_backend_error(&backend), "use openssl pkey -traditional");
}

/* ---- The wrong port ---- */

static void wrong_port_open(rlk_posix_client *client, const char *url, const rlk_tls *tls)
{
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.tls = tls;
    options.connect_timeout_ms = scaled(100);
    assert_result(rlk_posix_open(client, url, &options), RLK_OK);
}

static void wrong_port_backend(tls_backend *backend)
{
    rlk_tls_config config;

    memset(&config, 0, sizeof config);
    config.ca_file = certificate_authority("ca");
    assert_result(tls_backend_init(backend, &config), RLK_OK);
}

/* TLS to a port without it: what answers in words is refused. */
static void test_tls_to_a_server_that_speaks_first(void **state)
{
    hostile *peer = hostile_greet("-ERR max number of clients reached\r\n", HOSTILE_STAY, true);
    rlk_posix_client client;
    tls_backend backend;
    rlk_lock lock;
    char url[64];

    (void)state;
    wrong_port_backend(&backend);
    snprintf(url, sizeof url, "rediss%s", hostile_url(peer) + strlen("redis"));
    wrong_port_open(&client, url, &backend.tls);
    assert_result(rlk_lock_init(&lock, &client.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, 30000), RLK_E_TLS_REFUSED);
    assert_contains(rlk_lock_error(&lock), "speaks no TLS");
    assert_int_equal(hostile_accepted(peer), 1);
    rlk_lock_close(&lock);
    rlk_posix_close(&client);
    tls_backend_close(&backend);
}

/* A real server waits for the end of a line. What it got was no command. */
static void test_tls_to_a_server_without_tls(void **state)
{
    const server_config config = {.tcp = true};
    server *redis = server_start(&config);
    rlk_posix_options options;
    rlk_posix_client client;
    tls_backend backend;
    rlk_result result;
    rlk_lock lock;
    char url[64];

    (void)state;
    wrong_port_backend(&backend);
    snprintf(url, sizeof url, "rediss://localhost:%d", server_port(redis));
    wrong_port_open(&client, url, &backend.tls);
    assert_result(rlk_lock_init(&lock, &client.client, "foobar", NULL), RLK_OK);
    result = rlk_acquire(&lock, RLK_TRY);
    if (result != RLK_E_TLS_REFUSED) /* by chance a byte ended a line */
        assert_result(result, RLK_E_CONNECT_TIMEOUT);
    assert_contains(rlk_lock_error(&lock),
                    result == RLK_E_TLS_REFUSED ? "speaks no TLS" : "is it a TLS port?");
    assert_int_equal(server_calls(redis, "set"), 0);
    rlk_lock_close(&lock);
    rlk_posix_close(&client);

    /* also where the acquire ends before the time for the connect does */
    memset(&options, 0, sizeof options);
    options.tls = &backend.tls;
    options.connect_timeout_ms = 60000;
    assert_result(rlk_posix_open(&client, url, &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &client.client, "foobar", NULL), RLK_OK);
    result = rlk_acquire(&lock, scaled(300));
    if (result != RLK_E_TLS_REFUSED)
        assert_result(result, RLK_E_NOT_CONNECTED);
    assert_contains(rlk_lock_error(&lock),
                    result == RLK_E_TLS_REFUSED ? "speaks no TLS" : "is it a TLS port?");
    rlk_lock_close(&lock);
    rlk_posix_close(&client);
    tls_backend_close(&backend);
}

/* The reverse: plain text to a port with TLS. */
static void test_tls_port_gets_plain_text(void **state)
{
    static const case_row row = {LOCALHOST};
    rlk_posix_client client;
    certificate cert;
    server *redis = case_server(&row, &cert);
    rlk_result result;
    rlk_lock lock;

    (void)state;
    wrong_port_open(&client, server_tcp_url(redis), NULL);
    assert_result(rlk_lock_init(&lock, &client.client, "foobar", NULL), RLK_OK);
    result = rlk_acquire(&lock, RLK_TRY);
    if (result != RLK_E_IO)
        assert_result(result, RLK_E_EOF);
    assert_contains(rlk_lock_error(&lock), "is it a TLS port?");
    rlk_lock_close(&lock);
    rlk_posix_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_certificates),
        support_test(test_tls_files_that_are_wrong),
        support_test(test_tls_keys_that_are_wrong),
        support_test(test_tls_to_a_server_that_speaks_first),
        support_test(test_tls_to_a_server_without_tls),
        support_test(test_tls_port_gets_plain_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
