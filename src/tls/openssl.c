/* SPDX-License-Identifier: MIT
 *
 * TLS by OpenSSL 3.
 *
 * OpenSSL verifies the chain, the dates, the usage and the name of a certificate. The callback of
 * the verification only finds words. The name is compared again, and the pin, when the handshake is
 * over: before that the driver sends nothing.
 */
#include "resplock/tls/openssl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "resplock's backend is for OpenSSL 3"
#endif

#define OPENSSL_NAME_MAX  256 /* a host name has 253 bytes at most (RFC 1035) */
#define OPENSSL_NAMES_MAX 48  /* bytes of a certificate's names that a text shows */

/* The memory of one node. */
typedef struct openssl_session {
    const rlk_openssl *tls;
    SSL *ssl;          /* of the stream; NULL: none */
    SSL_SESSION *kept; /* of the stream before, to be resumed; NULL: none */
    bool up;           /* the handshake is over */
    bool over;         /* a step has failed */
    bool ended;        /* the stream below has */
    bool broken;       /* ... or has failed */
    bool received;     /* any byte */
    bool no_tls;       /* the first byte was none of TLS */
    bool passing;      /* the verification failed for want of something that may come */
    rlk_tls_io io;
    uint8_t ip[16];
    uint8_t ip_len; /* 0: it is a name */
    char name[OPENSSL_NAME_MAX];
    char error[160];
} openssl_session;

/* Writes as much of a text as fits. */
static void openssl_text(char *out, size_t cap, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void openssl_text(char *out, size_t cap, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(out, cap, format, arguments);
    va_end(arguments);
}

#define OPENSSL_SAY(session, ...)                                                                  \
    openssl_text((session)->error, sizeof(session)->error, __VA_ARGS__)

/* Before a step OpenSSL wants the queue to be empty, and after it the program does. */
static void openssl_forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* ---- Verification, in words ---------------------------------------------------------------- */

/* Whose certificate it is. */
static const char *openssl_whose(int depth)
{
    return depth == 0 ? "server's certificate" : "certificate of a CA";
}

/* Appends a name that a certificate has: only what a terminal takes. */
static void openssl_note_name(char names[OPENSSL_NAMES_MAX], const char *name, size_t len)
{
    size_t used = strlen(names);
    size_t i;

    if (used > 0 && used + len + 3 > OPENSSL_NAMES_MAX)
        return;
    if (len > OPENSSL_NAMES_MAX - 1)
        len = OPENSSL_NAMES_MAX - 1; /* its begin says more than "no host" */
    if (used > 0) {
        names[used++] = ',';
        names[used++] = ' ';
    }
    for (i = 0; i < len; i++)
        names[used++] = (char)(name[i] >= 0x20 && name[i] < 0x7f ? name[i] : '?');
    names[used] = '\0';
}

static void openssl_note_string(char names[OPENSSL_NAMES_MAX], const ASN1_STRING *name)
{
    openssl_note_name(names, (const char *)ASN1_STRING_get0_data(name),
                      (size_t)ASN1_STRING_length(name));
}

/* The common name of a subject or an issuer. */
static void openssl_common_name(char names[OPENSSL_NAMES_MAX], const X509_NAME *of)
{
    int at = X509_NAME_get_index_by_NID(of, NID_commonName, -1);

    if (at >= 0)
        openssl_note_string(names, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(of, at)));
}

static void openssl_note_address(char names[OPENSSL_NAMES_MAX], const ASN1_STRING *address)
{
    const unsigned char *ip = ASN1_STRING_get0_data(address);
    char text[16];

    if (ASN1_STRING_length(address) == 4) {
        openssl_text(text, sizeof text, "%d.%d.%d.%d", ip[0], ip[1], ip[2], ip[3]);
        openssl_note_name(names, text, strlen(text));
    } else {
        openssl_note_name(names, "an IPv6 address", 15);
    }
}

/* Whom the certificate is for. */
static void openssl_explain_name(openssl_session *session, const X509 *cert)
{
    GENERAL_NAMES *list = (GENERAL_NAMES *)X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char names[OPENSSL_NAMES_MAX] = "";
    bool has_dns = false;
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);

        has_dns = has_dns || name->type == GEN_DNS;
        if (name->type == GEN_DNS)
            openssl_note_string(names, name->d.dNSName);
        else if (name->type == GEN_IPADD)
            openssl_note_address(names, name->d.iPAddress);
    }
    GENERAL_NAMES_free(list);
    if (!has_dns)
        openssl_common_name(names, X509_get_subject_name(cert));
    OPENSSL_SAY(session, "server's certificate is not for %.64s, but for %s", session->name,
                names[0] != '\0' ? names : "no host");
}

static void openssl_explain_date(openssl_session *session, const char *whose, const char *what,
                                 const ASN1_TIME *date, const char *end)
{
    struct tm parts;

    memset(&parts, 0, sizeof parts);
    (void)ASN1_TIME_to_tm(date, &parts);
    OPENSSL_SAY(session, "%s %s %d-%02d-%02d%s", whose, what, parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, end);
}

static void openssl_explain(openssl_session *session, X509_STORE_CTX *context)
{
    const X509 *cert = X509_STORE_CTX_get_current_cert(context);
    const char *whose = openssl_whose(X509_STORE_CTX_get_error_depth(context));
    char issuer[OPENSSL_NAMES_MAX] = "";
    int error = X509_STORE_CTX_get_error(context);

    switch (cert != NULL ? error : X509_V_ERR_UNSPECIFIED) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        openssl_explain_date(session, whose, "has expired on", X509_get0_notAfter(cert), "");
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        openssl_explain_date(session, whose, "is not yet valid, but from",
                             X509_get0_notBefore(cert), " on");
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        openssl_explain_name(session, cert);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        OPENSSL_SAY(session, "%s is self-signed, and is not among the trusted ones", whose);
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: /* the CA's own, which the server sent, too */
        whose = openssl_whose(0);
        /* fall through */
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        openssl_common_name(issuer, X509_get_issuer_name(cert));
        OPENSSL_SAY(session, "%s is by an untrusted CA (ca_file)%s%s", whose,
                    issuer[0] != '\0' ? ": CN=" : "", issuer);
        break;
    case X509_V_ERR_INVALID_PURPOSE:
        OPENSSL_SAY(session, "%s is not for servers (its key usage)", whose);
        break;
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
        OPENSSL_SAY(session, "%s breaks the name constraints of a CA", whose);
        break;
    case X509_V_ERR_OUT_OF_MEM:
    case X509_V_ERR_UNSPECIFIED:
        session->passing = true;
        /* fall through */
    default:
        OPENSSL_SAY(session, "%s: %s", whose, X509_verify_cert_error_string(error));
        break;
    }
}

/* Called for each certificate of a chain, and for each error; 0 ends the handshake. */
static int openssl_verify(int good, X509_STORE_CTX *context)
{
    const SSL *ssl =
        (const SSL *)X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
    openssl_session *session = (openssl_session *)SSL_get_app_data(ssl);

    if (good != 0 || session->tls->insecure)
        return 1;
    openssl_explain(session, context);
    return 0;
}

/* OpenSSL 3.0 loses the name, and verifies none, if memory runs out where it begins to verify a
 * chain. The certificate of a resumed session is that of the session. */
static bool openssl_is_verified(const openssl_session *session)
{
    X509 *cert = SSL_get0_peer_certificate(session->ssl);

    if (session->tls->insecure)
        return true;
    if (cert == NULL || SSL_get_verify_result(session->ssl) != X509_V_OK)
        return false;
    if (session->ip_len != 0)
        return X509_check_ip(cert, session->ip, session->ip_len, 0) == 1;
    return X509_check_host(cert, session->name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

/* Hashes the key of the server's certificate; false: there is none, or no memory. */
static bool openssl_hash_key(const openssl_session *session, uint8_t hash[EVP_MAX_MD_SIZE])
{
    const X509 *cert = SSL_get0_peer_certificate(session->ssl);
    unsigned char *key = NULL;
    int len = cert != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &key) : 0;
    bool done = len > 0 && EVP_Digest(key, (size_t)len, hash, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(key);
    return done;
}

/* ---- The stream below ---------------------------------------------------------------------- */

static int openssl_send(BIO *bio, const char *bytes, int len)
{
    openssl_session *session = (openssl_session *)BIO_get_data(bio);
    ptrdiff_t n = session->io.send(session->io.context, bytes, (size_t)len);

    BIO_clear_retry_flags(bio);
    if (n >= 0)
        return (int)n;
    if (n == RLK_TLS_IO_AGAIN)
        BIO_set_retry_write(bio);
    else
        session->broken = true;
    return -1;
}

/* The first byte shows a server without TLS, which answers in words. */
static int openssl_receive(BIO *bio, char *room, int cap)
{
    openssl_session *session = (openssl_session *)BIO_get_data(bio);
    ptrdiff_t n = session->io.recv(session->io.context, room, (size_t)cap);

    BIO_clear_retry_flags(bio);
    if (n > 0) {
        if (!session->received)
            session->no_tls = room[0] != SSL3_RT_HANDSHAKE && room[0] != SSL3_RT_ALERT;
        session->received = true;
        return session->no_tls ? -1 : (int)n; /* it answers in words */
    }
    session->ended = n == 0;
    if (n == RLK_TLS_IO_AGAIN)
        BIO_set_retry_read(bio);
    else
        session->broken = n < 0;
    return n == 0 ? 0 : -1;
}

static long openssl_control(BIO *bio, int command, long number, void *pointer)
{
    const openssl_session *session = (const openssl_session *)BIO_get_data(bio);

    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return session->ended;
    return command == BIO_CTRL_FLUSH;
}

/* ---- Sessions ------------------------------------------------------------------------------ */

static void openssl_forget(openssl_session *session)
{
    SSL_SESSION_free(session->kept);
    session->kept = NULL;
}

/* Called when the server has sent what resumes the session: with TLS 1.3 behind the handshake. */
static int openssl_keep(SSL *ssl, SSL_SESSION *resumable)
{
    openssl_session *session = (openssl_session *)SSL_get_app_data(ssl);

    openssl_forget(session);
    session->kept = resumable;
    return 1; /* it is ours now */
}

static void *openssl_open(const rlk_tls *tls)
{
    openssl_session *session = (openssl_session *)OPENSSL_zalloc(sizeof *session);

    if (session != NULL)
        session->tls = (const rlk_openssl *)(const void *)tls;
    openssl_forget_errors();
    return session;
}

/* Has the certificate verified for the peer. SNI is for names only (RFC 6066, 3). */
static bool openssl_expect(const openssl_session *session, const rlk_tls_peer *peer)
{
    X509_VERIFY_PARAM *expected = SSL_get0_param(session->ssl);

    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (peer->ip_len != 0)
        return X509_VERIFY_PARAM_set1_ip(expected, peer->ip, peer->ip_len) == 1;
    return X509_VERIFY_PARAM_set1_host(expected, peer->name, 0) == 1 &&
           SSL_set_tlsext_host_name(session->ssl, peer->name) == 1;
}

static bool openssl_new_stream(openssl_session *session, const rlk_tls_peer *peer)
{
    BIO *bio;

    session->ssl = SSL_new(session->tls->context);
    bio = BIO_new(session->tls->stream);
    if (session->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_connect_state(session->ssl);
    if (SSL_set_app_data(session->ssl, session) != 1 || !openssl_expect(session, peer))
        return false;
    if (session->kept != NULL)
        (void)SSL_set_session(session->ssl, session->kept);
    return true;
}

static void openssl_end(void *context, bool notify)
{
    openssl_session *session = (openssl_session *)context;

    if (session->ssl == NULL)
        return;
    if (notify && session->up && !session->over)
        (void)SSL_shutdown(session->ssl);
    /* also without a word to the server the session can be resumed */
    SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(session->ssl);
    session->ssl = NULL;
    openssl_forget_errors();
}

/* Returns true if what is kept is by a server whose certificate has expired. */
static bool openssl_has_expired(const openssl_session *session)
{
    const X509 *cert = session->kept != NULL ? SSL_SESSION_get0_peer(session->kept) : NULL;

    return cert != NULL && !session->tls->insecure &&
           X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0;
}

static rlk_tls_status openssl_begin(void *context, const rlk_tls_io *io, const rlk_tls_peer *peer)
{
    openssl_session *session = (openssl_session *)context;

    openssl_end(session, false);
    session->up = false;
    session->over = false;
    session->ended = false;
    session->broken = false;
    session->received = false;
    session->no_tls = false;
    session->passing = false;
    session->io = *io;
    session->error[0] = '\0';
    /* OpenSSL verifies no name where it is empty, and that of a domain where a dot is first */
    if (peer->name[0] == '\0' || peer->name[0] == '.' ||
        strlen(peer->name) >= sizeof session->name) {
        OPENSSL_SAY(session, "the server's name is empty or too long, or a dot is first");
        return RLK_TLS_REFUSED;
    }
    /* it was verified for another name, or has expired since, which no resumption verifies */
    if (strcmp(session->name, peer->name) != 0 || openssl_has_expired(session))
        openssl_forget(session);
    memcpy(session->name, peer->name, strlen(peer->name) + 1);
    memcpy(session->ip, peer->ip, sizeof session->ip);
    session->ip_len = peer->ip_len;
    if (!openssl_new_stream(session, peer)) {
        OPENSSL_SAY(session, "OpenSSL has no memory");
        openssl_end(session, false);
        openssl_forget_errors();
        return RLK_TLS_FAILED;
    }
    openssl_forget_errors();
    return RLK_TLS_DONE;
}

static void openssl_close(void *context)
{
    openssl_session *session = (openssl_session *)context;

    openssl_end(session, false);
    openssl_forget(session);
    OPENSSL_free(session);
}

static rlk_tls_status openssl_alert(openssl_session *session, int alert)
{
    bool shown = SSL_CTX_get0_certificate(session->tls->context) != NULL;
    bool verified = SSL_get0_peer_certificate(session->ssl) != NULL;
    const char *words = rlki_tls_alert(alert, verified, shown);

    if (words == NULL) {
        OPENSSL_SAY(session, "server sent alert %d", alert);
        return RLK_TLS_FAILED;
    }
    OPENSSL_SAY(session, "%s", words);
    return RLK_TLS_REFUSED;
}

/* The reason of an error that is not the stream's. */
static rlk_tls_status openssl_refusal(openssl_session *session)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    const char *words = ERR_reason_error_string(error);
    rlk_tls_status status = RLK_TLS_FAILED;

    if (session->no_tls) {
        OPENSSL_SAY(session, "server speaks no TLS at this port");
        return RLK_TLS_REFUSED;
    }
    if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
        if (reason >= SSL_AD_REASON_OFFSET)
            return openssl_alert(session, reason - SSL_AD_REASON_OFFSET);
        if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && session->error[0] != '\0')
            return session->passing ? RLK_TLS_FAILED : RLK_TLS_REFUSED;
        if (!session->up && /* then it is one of a record that anybody may have changed */
            (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_WRONG_SSL_VERSION ||
             reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_VERSION_TOO_LOW)) {
            OPENSSL_SAY(session, "server has no TLS version in common: 1.2 at least");
            return RLK_TLS_REFUSED;
        }
        if (reason == SSL_R_EE_KEY_TOO_SMALL || reason == SSL_R_DH_KEY_TOO_SMALL)
            status = RLK_TLS_REFUSED;
    }
    OPENSSL_SAY(session, "TLS: %s", words != NULL ? words : "unknown error");
    return status;
}

/* Translates what a step returned, which was not 1. */
static rlk_tls_status openssl_status(openssl_session *session, int result)
{
    rlk_tls_status status;

    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return RLK_TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return RLK_TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        session->over = true;
        return RLK_TLS_CLOSED;
    default:
        break;
    }
    session->over = true;
    if (!session->up)
        openssl_forget(session); /* it may be what failed */
    if (session->broken) {
        OPENSSL_SAY(session, "the stream is broken");
        status = RLK_TLS_FAILED;
    } else if (session->ended) {
        status = RLK_TLS_CUT;
    } else {
        status = openssl_refusal(session);
        openssl_forget(session);
    }
    openssl_forget_errors();
    return status;
}

/* Gives up a stream for which OpenSSL has found no fault. */
static rlk_tls_status openssl_no(openssl_session *session, rlk_tls_status status, const char *why)
{
    OPENSSL_SAY(session, "%s", why);
    session->over = true;
    openssl_forget(session);
    openssl_forget_errors();
    return status;
}

static rlk_tls_status openssl_handshake(void *context)
{
    openssl_session *session = (openssl_session *)context;
    const rlk_openssl *tls = session->tls;
    uint8_t hash[EVP_MAX_MD_SIZE];
    int result;

    openssl_forget_errors();
    result = SSL_do_handshake(session->ssl);
    if (result != 1)
        return openssl_status(session, result);
    if (!openssl_is_verified(session) || (tls->pinned && !openssl_hash_key(session, hash)))
        return openssl_no(session, RLK_TLS_FAILED, "OpenSSL has no memory to verify a certificate");
    if (tls->pinned && memcmp(hash, tls->pin, sizeof tls->pin) != 0)
        return openssl_no(session, RLK_TLS_REFUSED, "server's public key is not the pinned one");
    openssl_forget_errors();
    session->up = true;
    return RLK_TLS_DONE;
}

static rlk_tls_status openssl_read(void *context, void *room, size_t cap, size_t *len)
{
    openssl_session *session = (openssl_session *)context;
    int result;

    openssl_forget_errors();
    result = SSL_read_ex(session->ssl, room, cap, len);
    return result == 1 ? RLK_TLS_DONE : openssl_status(session, result);
}

static rlk_tls_status openssl_write(void *context, const void *bytes, size_t len, size_t *done)
{
    openssl_session *session = (openssl_session *)context;
    int result;

    openssl_forget_errors();
    result = SSL_write_ex(session->ssl, bytes, len, done);
    return result == 1 ? RLK_TLS_DONE : openssl_status(session, result);
}

static bool openssl_pending(const void *context)
{
    return SSL_has_pending(((const openssl_session *)context)->ssl) == 1;
}

static const char *openssl_error(const void *context)
{
    return ((const openssl_session *)context)->error;
}

static const rlk_tls_calls openssl_calls = {openssl_open,      openssl_close, openssl_begin,
                                            openssl_handshake, openssl_read,  openssl_write,
                                            openssl_pending,   openssl_end,   openssl_error};

/* ---- Configuration ------------------------------------------------------------------------- */

#define OPENSSL_FAIL(tls, ...) openssl_text((tls)->error, sizeof(tls)->error, __VA_ARGS__)

/* The system's words, which OpenSSL gets in a way that threads may use. */
static void openssl_system_error(rlk_openssl *tls, const char *path, int number)
{
    char text[128];
    const char *words;

    ERR_error_string_n((unsigned long)number | ERR_SYSTEM_FLAG, text, sizeof text);
    words = strrchr(text, ':');
    OPENSSL_FAIL(tls, "%.150s: can't be read: %s", path, words != NULL ? words + 1 : text);
}

/* Returns false, with the reason, if the system can't read it. */
static bool openssl_is_readable(rlk_openssl *tls, const char *path, bool is_folder)
{
    FILE *file = fopen(path, "r");
    struct stat info;

    if (file == NULL || stat(path, &info) != 0) {
        openssl_system_error(tls, path, errno);
        if (file != NULL)
            (void)fclose(file);
        return false;
    }
    (void)fclose(file);
    if ((S_ISDIR(info.st_mode) != 0) == is_folder)
        return true;
    OPENSSL_FAIL(tls, "%.150s: %s", path, is_folder ? "is no folder" : "is a folder");
    return false;
}

/* The reason of OpenSSL for a file; where it is not of the PEM's form. */
static rlk_result openssl_file_error(rlk_openssl *tls, const char *path, const char *kind)
{
    unsigned long error = ERR_peek_last_error();
    int reason = ERR_GET_REASON(error);
    const char *words = ERR_reason_error_string(error);

    if (reason == PEM_R_NO_START_LINE || reason == X509_R_NO_CERTIFICATE_OR_CRL_FOUND ||
        reason == ERR_R_PEM_LIB)
        OPENSSL_FAIL(tls, "%.150s: has no %s in PEM", path, kind);
    else
        OPENSSL_FAIL(tls, "%.150s: %s", path, words != NULL ? words : "unknown error");
    return RLK_E_TLS;
}

static rlk_result openssl_load_cas(rlk_openssl *tls, const rlk_tls_config *config)
{
    if (config->ca_file != NULL) {
        if (!openssl_is_readable(tls, config->ca_file, false))
            return RLK_E_TLS;
        if (SSL_CTX_load_verify_file(tls->context, config->ca_file) != 1)
            return openssl_file_error(tls, config->ca_file, "certificate");
    }
    if (config->ca_dir != NULL) {
        if (!openssl_is_readable(tls, config->ca_dir, true))
            return RLK_E_TLS;
        if (SSL_CTX_load_verify_dir(tls->context, config->ca_dir) != 1)
            return openssl_file_error(tls, config->ca_dir, "certificate");
    }
    if (config->ca_file == NULL && config->ca_dir == NULL &&
        SSL_CTX_set_default_verify_paths(tls->context) != 1)
        return openssl_file_error(tls, "the system's store of CAs", "certificate");
    return RLK_OK;
}

/* How often OpenSSL asked for the password of a key: an encrypted one alone has it ask. */
typedef struct openssl_asked {
    const char *password;
    unsigned times;
} openssl_asked;

/* The password of an encrypted key; without it, OpenSSL would ask for one on the terminal.
 * `context` is NULL while a certificate is read, which has none. */
static int openssl_password(char *out, int cap, int writing, void *context)
{
    openssl_asked *asked = (openssl_asked *)context;
    const char *password = asked != NULL ? asked->password : NULL;
    size_t len = password != NULL ? strlen(password) : 0;

    (void)writing;
    if (asked != NULL)
        asked->times++;
    if (len == 0 || len > (size_t)cap)
        return -1;
    memcpy(out, password, len);
    return (int)len;
}

static rlk_result openssl_load_own(rlk_openssl *tls, const rlk_tls_config *config)
{
    const char *key_file = config->key_file != NULL ? config->key_file : config->cert_file;
    openssl_asked asked;
    int loaded;

    if (config->cert_file == NULL) {
        if (config->key_file == NULL)
            return RLK_OK;
        OPENSSL_FAIL(tls, "key_file without cert_file");
        return RLK_E_ARGUMENT;
    }
    if (!openssl_is_readable(tls, config->cert_file, false) ||
        !openssl_is_readable(tls, key_file, false))
        return RLK_E_TLS;
    if (SSL_CTX_use_certificate_chain_file(tls->context, config->cert_file) != 1)
        return openssl_file_error(tls, config->cert_file, "certificate");
    asked.password = config->key_password;
    asked.times = 0;
    SSL_CTX_set_default_passwd_cb_userdata(tls->context, &asked);
    loaded = SSL_CTX_use_PrivateKey_file(tls->context, key_file, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(tls->context, NULL);
    if (loaded == 1)
        return RLK_OK;
    if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH) {
        OPENSSL_FAIL(tls, "%.110s is not the key of %.110s", key_file, config->cert_file);
        return RLK_E_TLS;
    }
    if (asked.times > 0) {
        OPENSSL_FAIL(tls, "%.150s: is encrypted, and key_password is %s", key_file,
                     asked.password != NULL ? "wrong" : "not set");
        return RLK_E_TLS;
    }
    return openssl_file_error(tls, key_file, "private key");
}

static rlk_result openssl_configure(rlk_openssl *tls)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    tls->context = context;
    tls->stream = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "resplock");
    if (context == NULL || tls->stream == NULL ||
        BIO_meth_set_write(tls->stream, openssl_send) != 1 ||
        BIO_meth_set_read(tls->stream, openssl_receive) != 1 ||
        BIO_meth_set_ctrl(tls->stream, openssl_control) != 1 ||
        (SSL_CTX_get_min_proto_version(context) < TLS1_2_VERSION && /* the system may want more */
         SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)) {
        OPENSSL_FAIL(tls, "OpenSSL has no memory");
        return RLK_E_TLS;
    }
    /* what the server sent, such as tokens, is cleared when it has been read */
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                           SSL_OP_CLEANSE_PLAINTEXT);
    /* a write that was not done may move, as the driver's buffer does */
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(context, 1); /* one recv for a record, not two */
    (void)SSL_CTX_set_session_cache_mode(context,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, openssl_keep);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, openssl_verify);
    SSL_CTX_set_default_passwd_cb(context, openssl_password); /* before any file is read */
    return RLK_OK;
}

/* ---- Public -------------------------------------------------------------------------------- */

rlk_result rlk_openssl_init(rlk_openssl *tls, const rlk_tls_config *config)
{
    static const rlk_tls_config defaults;
    rlk_result result;

    if (tls == NULL)
        return RLK_E_ARGUMENT;
    if (config == NULL)
        config = &defaults;
    memset(tls, 0, sizeof *tls);
    tls->tls.calls = &openssl_calls;
#ifndef RLK_NO_POSIX
    tls->tls.driver = rlk_socket_tls_driver();
#endif
    tls->tls.server_name = config->server_name;
    tls->insecure = config->insecure_any_certificate;
    tls->pinned = config->pin != NULL;
    if (tls->pinned)
        memcpy(tls->pin, config->pin, sizeof tls->pin);
    openssl_forget_errors();
    result = openssl_configure(tls);
    if (result == RLK_OK)
        result = openssl_load_cas(tls, config);
    if (result == RLK_OK)
        result = openssl_load_own(tls, config);
    openssl_forget_errors();
    if (result != RLK_OK)
        rlk_openssl_close(tls);
    return result;
}

void rlk_openssl_close(rlk_openssl *tls)
{
    if (tls == NULL || tls->tls.calls == NULL)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->stream);
    tls->context = NULL;
    tls->stream = NULL;
    tls->tls.calls = NULL;
}

const char *rlk_openssl_error(const rlk_openssl *tls)
{
    return tls->error;
}
