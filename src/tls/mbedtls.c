/* SPDX-License-Identifier: MIT
 *
 * TLS by Mbed TLS 2.28 or 3.
 *
 * Mbed TLS verifies the chain, the dates and the usage of a certificate. Its own check of names
 * takes "*.com", knows no IP addresses before 3.5, and compares with the common name what is no
 * name. So the names are checked here, in the callback that Mbed TLS calls for each certificate.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#elif !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#define MBEDTLS_ALLOW_PRIVATE_ACCESS /* the alert that came; in 3.0 also fields of certificates */

#include "resplock/tls/mbedtls.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef RLK_NO_POSIX
#include <unistd.h>
#endif

#include <mbedtls/asn1.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform.h>

/* ---- Versions and configurations ---------------------------------------------------------- */

#if MBEDTLS_VERSION_NUMBER < 0x021c0000 || MBEDTLS_VERSION_NUMBER >= 0x04000000
#error "resplock's backend is for Mbed TLS 2.28 and 3"
#endif
#ifndef MBEDTLS_HAVE_TIME_DATE
#error "Mbed TLS without MBEDTLS_HAVE_TIME_DATE takes certificates that have expired"
#endif
#ifndef MBEDTLS_FS_IO
#error "resplock's backend reads files: Mbed TLS needs MBEDTLS_FS_IO"
#endif

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define MBED_BAD_CERTIFICATE MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE
#define MBED_BAD_VERSION     MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION
#define MBED_NO_COMMON       MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN
#define MBED_KEY_RANDOM(random)
#else /* it is TLS 1.2 at least; keys are blinded */
#define MBED_BAD_CERTIFICATE    MBEDTLS_ERR_SSL_BAD_CERTIFICATE
#define MBED_BAD_VERSION        MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION
#define MBED_NO_COMMON          MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE
#define MBED_KEY_RANDOM(random) , mbedtls_ctr_drbg_random, (random)
#endif

#if defined(MBEDTLS_SSL_PROTO_TLS1_3) || defined(MBEDTLS_USE_PSA_CRYPTO)
#define MBED_PSA /* which wants to be initialised */
#include <psa/crypto.h>
#endif

/* ---- Texts -------------------------------------------------------------------------------- */

#define MBED_NAME_MAX    256 /* a host name has 253 bytes at most (RFC 1035) */
#define MBED_FLIGHT      4096 /* a client's messages between two of the server's; more leave earlier */
#define MBED_AHEAD       512  /* a record of a reply, or some of them, by one system call */
#define MBED_VERIFY_ROOM 4096 /* for a signature */
#define MBED_NAMES_MAX   48   /* bytes of a certificate's names that a text shows */

/* The memory of one node. */
typedef struct mbed_session {
    const rlk_mbedtls *tls;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_session kept; /* of the stream before, to be resumed */
    bool has_kept;
    bool begun;      /* to be reset before the next stream */
    bool up;         /* the handshake is over */
    bool over;       /* a step has failed */
    bool verified;   /* the server showed a certificate */
    bool received;   /* any byte */
    bool ended;      /* the stream below has */
    bool dry;        /* the stream had no more bytes */
    bool unfinished; /* a write must be repeated */
    bool no_tls;     /* the first byte was none of TLS */
    rlk_tls_io io;
    unsigned char *flight; /* of the handshake, so that it leaves at once; NULL: not in one */
    size_t flight_len;
    unsigned char ahead[MBED_AHEAD]; /* what came, and Mbed TLS has not taken yet */
    size_t ahead_at;
    size_t ahead_len;
    uint8_t ip[16];
    uint8_t ip_len;
    mbedtls_x509_time valid_to; /* of the server's certificate */
    char name[MBED_NAME_MAX];
    char error[160];
} mbed_session;

/* Writes as much of a text as fits. */
static void mbed_text(char *out, size_t cap, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(out, cap, format, arguments);
    va_end(arguments);
}

/* Copies what a peer sent: only what a terminal takes. */
static void mbed_copy(char *out, size_t cap, const unsigned char *bytes, size_t len)
{
    size_t i;

    if (len >= cap)
        len = cap - 1;
    for (i = 0; i < len; i++)
        out[i] = (char)(bytes[i] >= 0x20 && bytes[i] < 0x7f ? bytes[i] : '?');
    out[len] = '\0';
}

/* Words of Mbed TLS, without the name of its module. */
static void mbed_words(char *out, size_t cap, int error)
{
    char words[128];
    const char *rest;

    mbedtls_strerror(error, words, sizeof words);
    rest = strstr(words, " - ");
    mbed_text(out, cap, "%s (-0x%04x)", rest != NULL ? rest + 3 : words, (unsigned)-error);
}

/* ---- Names of a certificate ---------------------------------------------------------------- */

static char mbed_lower(unsigned char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool mbed_equal(const unsigned char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t i;

    for (i = 0; i < a_len && i < b_len; i++)
        if (mbed_lower(a[i]) != mbed_lower((unsigned char)b[i]))
            return false;
    return a_len == b_len;
}

/* Returns true if a name of a certificate means the host. "*" is the whole first label, of letters,
 * digits and hyphens, and at least two follow it (RFC 9525, 6.3). */
static bool mbed_name_matches(const unsigned char *name, size_t len, const char *host)
{
    size_t host_len = strlen(host);
    size_t label;

    if (len < 2 || name[0] != '*' || name[1] != '.')
        return mbed_equal(name, len, host, host_len);
    label = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    return label > 0 && memchr(name + 2, '.', len - 2) != NULL &&
           mbed_equal(name + 1, len - 1, host + label, host_len - label);
}

/* What is asked of the names of a certificate, and the answer. */
typedef struct mbed_search {
    const mbed_session *session;
    bool found;
    bool has_dns;
    char names[MBED_NAMES_MAX]; /* as many as fit */
} mbed_search;

static void mbed_note_name(mbed_search *search, const char *text)
{
    size_t used = strlen(search->names);

    /* the begin of the first one says more than "no host" */
    if (used == 0 || used + strlen(text) + 3 <= sizeof search->names)
        mbed_text(search->names + used, sizeof search->names - used, "%s%s", used > 0 ? ", " : "",
                  text);
}

/* One GeneralName (RFC 5280, 4.2.1.6). */
static void mbed_general_name(mbed_search *search, int tag, const unsigned char *bytes, size_t len)
{
    const mbed_session *session = search->session;
    char text[MBED_NAMES_MAX];

    if (tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME)) {
        search->has_dns = true;
        if (session->ip_len == 0 && mbed_name_matches(bytes, len, session->name))
            search->found = true;
        mbed_copy(text, sizeof text, bytes, len);
        mbed_note_name(search, text);
    } else if (tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_IP_ADDRESS)) {
        if (session->ip_len != 0 && len == session->ip_len && memcmp(bytes, session->ip, len) == 0)
            search->found = true;
        if (len == 4)
            mbed_text(text, sizeof text, "%d.%d.%d.%d", bytes[0], bytes[1], bytes[2], bytes[3]);
        mbed_note_name(search, len == 4 ? text : "an IPv6 address");
    }
}

/* Finds an extension by the last byte of its OID, which is 2.5.29.n: Mbed TLS keeps no addresses of
 * subjectAltName before 3.5, and no name constraints. Returns its value, or an empty one. */
static mbedtls_x509_buf mbed_extension(const mbedtls_x509_crt *cert, unsigned char number)
{
    static const mbedtls_x509_buf none;
    unsigned char *p = cert->v3_ext.p;
    const unsigned char *end;
    mbedtls_x509_buf value;
    size_t len = 0;

    if (p == NULL || mbedtls_asn1_get_tag(&p, p + cert->v3_ext.len, &len,
                                          MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0)
        return none;
    memset(&value, 0, sizeof value);
    for (end = p + len; p < end; p = value.p + value.len) {
        bool found;
        int critical = 0;

        if (mbedtls_asn1_get_tag(&p, end, &len, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) !=
                0 ||
            mbedtls_asn1_get_tag(&p, end, &len, MBEDTLS_ASN1_OID) != 0)
            return none;
        found = len == 3 && p[0] == 0x55 && p[1] == 0x1d && p[2] == number;
        p += len;
        (void)mbedtls_asn1_get_bool(&p, end, &critical);
        if (mbedtls_asn1_get_tag(&p, end, &value.len, MBEDTLS_ASN1_OCTET_STRING) != 0)
            return none;
        value.p = p;
        if (found)
            return value;
    }
    return none;
}

/* subjectAltName: a SEQUENCE of GeneralNames. */
static void mbed_search_names(mbed_search *search, const mbedtls_x509_crt *cert)
{
    mbedtls_x509_buf names = mbed_extension(cert, 17);
    const unsigned char *end;
    unsigned char *p = names.p;
    size_t len = 0;

    if (p == NULL || mbedtls_asn1_get_tag(&p, p + names.len, &len,
                                          MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0)
        return;
    for (end = p + len; p < end; p += len) {
        int tag = *p++;

        if (mbedtls_asn1_get_len(&p, end, &len) != 0)
            return;
        mbed_general_name(search, tag, p, len);
    }
}

/* Common names count where there is no DNS name, and for no address. */
static void mbed_search_subject(mbed_search *search, const mbedtls_x509_crt *cert)
{
    const mbedtls_x509_name *part;

    for (part = &cert->subject; part != NULL; part = part->next) {
        char text[MBED_NAMES_MAX];

        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) != 0)
            continue;
        if (search->session->ip_len == 0 &&
            mbed_name_matches(part->val.p, part->val.len, search->session->name))
            search->found = true;
        mbed_copy(text, sizeof text, part->val.p, part->val.len);
        mbed_note_name(search, text);
    }
}

/* ---- Verification -------------------------------------------------------------------------- */

static bool mbed_pin_matches(const rlk_mbedtls *tls, const mbedtls_x509_crt *cert)
{
    uint8_t hash[RLK_TLS_PIN];

    return mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), cert->pk_raw.p,
                      cert->pk_raw.len, hash) == 0 &&
           memcmp(hash, tls->pin, sizeof hash) == 0;
}

/* Whose certificate it is, for a text. */
static const char *mbed_whose(int depth)
{
    return depth == 0 ? "server's certificate" : "certificate of a CA";
}

static void mbed_explain_untrusted(mbed_session *session, const mbedtls_x509_crt *cert, int depth)
{
    char issuer[MBED_NAMES_MAX] = "";
    const mbedtls_x509_name *part;
    bool own = cert->issuer_raw.len == cert->subject_raw.len &&
               memcmp(cert->issuer_raw.p, cert->subject_raw.p, cert->issuer_raw.len) == 0;

    if (own && depth == 0) {
        mbed_text(session->error, sizeof session->error,
                  "%s is self-signed, and is not among the trusted ones", mbed_whose(depth));
        return;
    }
    for (part = &cert->issuer; part != NULL; part = part->next)
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) == 0)
            mbed_copy(issuer, sizeof issuer, part->val.p, part->val.len);
    mbed_text(session->error, sizeof session->error, "%s is by an untrusted CA (ca_file)%s%s",
              mbed_whose(own ? 0 : depth), /* the CA's own, which the server sent, too */
              issuer[0] != '\0' ? ": CN=" : "", issuer);
}

/* Keeps the reason in words; the leaf's replaces those of the CAs above it. */
static void mbed_explain(mbed_session *session, const mbedtls_x509_crt *cert, int depth,
                         uint32_t flags)
{
    const mbedtls_x509_time *from = &cert->valid_from;
    const mbedtls_x509_time *to = &cert->valid_to;
    char words[128];
    char *end;

    if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0) {
        mbed_text(session->error, sizeof session->error, "%s has expired on %d-%02d-%02d",
                  mbed_whose(depth), to->year, to->mon, to->day);
    } else if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0) {
        mbed_text(session->error, sizeof session->error,
                  "%s is not yet valid, but from %d-%02d-%02d on", mbed_whose(depth), from->year,
                  from->mon, from->day);
    } else if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
        mbed_explain_untrusted(session, cert, depth);
    } else if ((flags & MBEDTLS_X509_BADCERT_EXT_KEY_USAGE) != 0) {
        mbed_text(session->error, sizeof session->error, "%s is not for servers (its key usage)",
                  mbed_whose(depth));
    } else if ((flags & MBEDTLS_X509_BADCERT_OTHER) != 0) {
        mbed_text(session->error, sizeof session->error,
                  "%s has name constraints, which Mbed TLS can't verify", mbed_whose(depth));
    } else {
        (void)mbedtls_x509_crt_verify_info(words, sizeof words, "", flags);
        end = strchr(words, '\n');
        if (end != NULL)
            *end = '\0';
        mbed_text(session->error, sizeof session->error, "%s: %s", mbed_whose(depth), words);
    }
}

/* Mbed TLS asks it of the server's certificate alone, so that a CA for clients could make one. */
static bool mbed_is_for_servers(const mbedtls_x509_crt *cert)
{
    const mbedtls_x509_sequence *usage = &cert->ext_key_usage;

    if (usage->buf.p == NULL)
        return true; /* it has no such extension */
    for (; usage != NULL; usage = usage->next)
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_SERVER_AUTH, &usage->buf) == 0)
            return true;
    return false;
}

/* Where memory runs out while Mbed TLS verifies a signature, it finds that nobody trusted has made
 * it, and has other wrong reasons elsewhere. Returns false if there is less than that takes. */
static bool mbed_has_memory(void)
{
    void *volatile room = mbedtls_calloc(1, MBED_VERIFY_ROOM); /* else compilers drop both calls */
    bool has_memory = room != NULL;

    mbedtls_free(room);
    return has_memory;
}

/* Returns true if the server's certificate is for the host; else it keeps whom it is for. */
static bool mbed_is_for_host(mbed_session *session, const mbedtls_x509_crt *cert)
{
    mbed_search search;

    memset(&search, 0, sizeof search);
    search.session = session;
    mbed_search_names(&search, cert);
    if (!search.has_dns)
        mbed_search_subject(&search, cert);
    if (!search.found)
        mbed_text(session->error, sizeof session->error,
                  "server's certificate is not for %.64s, but for %s", session->name,
                  search.names[0] != '\0' ? search.names : "no host");
    return search.found;
}

/* Called for each certificate of a chain, that of the server last. */
static int mbed_verify(void *context, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
    mbed_session *session = (mbed_session *)context;
    const rlk_mbedtls *tls = session->tls;

    if (depth == 0) {
        session->verified = true;
        session->valid_to = cert->valid_to;
        *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
        if (tls->pinned && !mbed_pin_matches(tls, cert)) {
            mbed_text(session->error, sizeof session->error,
                      "server's public key is not the pinned one");
            return MBEDTLS_ERR_X509_FATAL_ERROR; /* also where any certificate will do */
        }
    }
    if (tls->insecure) {
        *flags = 0;
        return 0;
    }
    if ((*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0 && !mbed_has_memory())
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    if (!mbed_is_for_servers(cert))
        *flags |= MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
    if (depth > 0 && mbed_extension(cert, 30).p != NULL) /* nameConstraints */
        *flags |= MBEDTLS_X509_BADCERT_OTHER;
    if (*flags != 0)
        mbed_explain(session, cert, depth, *flags);
    else if (depth == 0 && !mbed_is_for_host(session, cert))
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

/* ---- Streams ------------------------------------------------------------------------------- */

static int mbed_send_now(mbed_session *session, const unsigned char *bytes, size_t len)
{
    ptrdiff_t n = session->io.send(session->io.context, bytes, len);

    if (n == RLK_TLS_IO_AGAIN)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    return n > 0 ? (int)n : MBEDTLS_ERR_NET_SEND_FAILED;
}

/* Sends the flight that is collected. Returns 0, or an error. */
static int mbed_flush(mbed_session *session)
{
    while (session->flight_len > 0) {
        int n = mbed_send_now(session, session->flight, session->flight_len);

        if (n < 0)
            return n;
        session->flight_len -= (size_t)n;
        memmove(session->flight, session->flight + n, session->flight_len);
    }
    return 0;
}

/* Collects the messages of a flight, which Mbed TLS sends one by one. A server that refuses the
 * first one would hang up while the others leave, and nobody would read why. */
static int mbed_send(void *context, const unsigned char *bytes, size_t len)
{
    mbed_session *session = (mbed_session *)context;
    int result;

    if (session->flight != NULL && len <= MBED_FLIGHT - session->flight_len) {
        memcpy(session->flight + session->flight_len, bytes, len);
        session->flight_len += len;
        return (int)len;
    }
    result = mbed_flush(session);
    return result != 0 ? result : mbed_send_now(session, bytes, len);
}

static int mbed_receive_now(mbed_session *session, unsigned char *room, size_t cap)
{
    ptrdiff_t n = session->io.recv(session->io.context, room, cap);

    session->dry = n == RLK_TLS_IO_AGAIN;
    if (session->dry)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (n < 0)
        return MBEDTLS_ERR_NET_RECV_FAILED;
    session->ended = n == 0;
    if (n > 0 && !session->received) {
        session->received = true;
        session->no_tls = room[0] != MBEDTLS_SSL_MSG_HANDSHAKE && room[0] != MBEDTLS_SSL_MSG_ALERT;
        if (session->no_tls) /* it answers in words */
            return MBEDTLS_ERR_SSL_INVALID_RECORD;
    }
    return (int)n;
}

/* Reads ahead: Mbed TLS asks for the head of a record, then for the rest. */
static int mbed_receive(void *context, unsigned char *room, size_t cap)
{
    mbed_session *session = (mbed_session *)context;
    int n = mbed_flush(session);

    if (n != 0)
        return n;
    if (session->ahead_len == 0) {
        if (cap >= sizeof session->ahead)
            return mbed_receive_now(session, room, cap);
        n = mbed_receive_now(session, session->ahead, sizeof session->ahead);
        if (n <= 0)
            return n;
        session->ahead_at = 0;
        session->ahead_len = (size_t)n;
    }
    if (cap > session->ahead_len)
        cap = session->ahead_len;
    memcpy(room, session->ahead + session->ahead_at, cap);
    session->ahead_at += cap;
    session->ahead_len -= cap;
    return (int)cap;
}

static rlk_tls_status mbed_alert(mbed_session *session)
{
    int alert = session->ssl.in_msg[1];
    bool shown = session->tls->config.key_cert != NULL;
    const char *words = rlki_tls_alert(alert, session->verified, shown);

    if (words == NULL) {
        mbed_text(session->error, sizeof session->error, "server sent alert %d", alert);
        return RLK_TLS_FAILED;
    }
    mbed_text(session->error, sizeof session->error, "%s", words);
    return RLK_TLS_REFUSED;
}

static void mbed_forget(mbed_session *session)
{
    mbedtls_ssl_session_free(&session->kept);
    mbedtls_ssl_session_init(&session->kept);
    session->has_kept = false;
}

/* Keeps what resumes the session. Without it the next handshake is a whole one. */
static void mbed_keep(mbed_session *session)
{
    mbed_forget(session);
    session->has_kept = mbedtls_ssl_get_session(&session->ssl, &session->kept) == 0;
}

static bool mbed_is_tls13(const mbed_session *session)
{
    return strcmp(mbedtls_ssl_get_version(&session->ssl), "TLSv1.3") == 0;
}

/* Returns true if it is the server's certificate that Mbed TLS can't read, such as one with a
 * critical extension that it does not know. */
static bool mbed_is_unreadable(int error)
{
    int kind = -error & 0xff80; /* without the error of the layer below */

    return kind >= -MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE &&
           kind <= -MBEDTLS_ERR_X509_CERT_UNKNOWN_FORMAT &&
           (-error & 0x7f) != -MBEDTLS_ERR_ASN1_ALLOC_FAILED;
}

/* The reason of an error that is neither the stream's nor an alert's. */
static rlk_tls_status mbed_refusal(mbed_session *session, int result)
{
    uint32_t flags;
    char words[128];

    if (session->no_tls) {
        mbed_text(session->error, sizeof session->error, "server speaks no TLS at this port");
        return RLK_TLS_REFUSED;
    }
    switch (result) {
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
    case MBEDTLS_ERR_X509_FATAL_ERROR: /* of the callback, which has written why */
        if (session->error[0] != '\0')
            return RLK_TLS_REFUSED;
        break;
    case MBED_BAD_CERTIFICATE:
        flags = mbedtls_ssl_get_verify_result(&session->ssl);
        if (flags != UINT32_MAX &&
            (flags & (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE)) != 0) {
            mbed_text(session->error, sizeof session->error,
                      "server's certificate is not for servers (its key usage)");
            return RLK_TLS_REFUSED;
        }
        break;
    case MBED_BAD_VERSION:
        mbed_text(session->error, sizeof session->error,
                  "server has no TLS version in common: 1.2 at least");
        return RLK_TLS_REFUSED;
    default:
        break;
    }
    mbed_words(words, sizeof words, result);
    mbed_text(session->error, sizeof session->error, "%s: %s",
              mbed_is_unreadable(result) ? mbed_whose(0) : "TLS", words);
    return (result == MBED_BAD_CERTIFICATE || result == MBED_NO_COMMON ||
            mbed_is_unreadable(result)) &&
                   mbed_has_memory()
               ? RLK_TLS_REFUSED
               : RLK_TLS_FAILED;
}

/* Translates a result of Mbed TLS. */
static rlk_tls_status mbed_status(mbed_session *session, int result)
{
    rlk_tls_status status;

    switch (result) {
    case MBEDTLS_ERR_SSL_WANT_READ:
        return RLK_TLS_WANT_READ;
    case MBEDTLS_ERR_SSL_WANT_WRITE:
    case MBEDTLS_ERR_SSL_ASYNC_IN_PROGRESS:
    case MBEDTLS_ERR_SSL_CRYPTO_IN_PROGRESS: /* goes on at once: the stream can be written */
        return RLK_TLS_WANT_WRITE;
    default:
        break;
    }
    session->over = true;
    switch (result) {
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return RLK_TLS_CLOSED;
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return RLK_TLS_CUT;
    case MBEDTLS_ERR_NET_SEND_FAILED:
    case MBEDTLS_ERR_NET_RECV_FAILED:
        mbed_text(session->error, sizeof session->error, "the stream is broken");
        return RLK_TLS_FAILED;
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        status = mbed_alert(session);
        break;
    default:
        status = mbed_refusal(session, result);
        break;
    }
    mbed_forget(session); /* it may be what failed */
    return status;
}

static void mbed_free_flight(mbed_session *session)
{
    mbedtls_free(session->flight);
    session->flight = NULL;
    session->flight_len = 0;
}

static void *mbed_open(const rlk_tls *tls)
{
    mbed_session *session = (mbed_session *)mbedtls_calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    session->tls = (const rlk_mbedtls *)tls;
    mbedtls_ssl_init(&session->ssl);
    mbedtls_ssl_session_init(&session->kept);
    if (mbedtls_ssl_setup(&session->ssl, &session->tls->config) != 0) {
        mbedtls_ssl_free(&session->ssl);
        mbedtls_free(session);
        return NULL;
    }
    mbedtls_ssl_set_verify(&session->ssl, mbed_verify, session);
    mbedtls_ssl_set_bio(&session->ssl, session, mbed_send, mbed_receive, NULL);
    return session;
}

static void mbed_close(void *context)
{
    mbed_session *session = (mbed_session *)context;

    mbed_forget(session);
    mbed_free_flight(session);
    mbedtls_ssl_free(&session->ssl);
    mbedtls_free(session);
}

static rlk_tls_status mbed_begin(void *context, const rlk_tls_io *io, const rlk_tls_peer *peer)
{
    mbed_session *session = (mbed_session *)context;
    int result = 0;

    session->error[0] = '\0';
    session->up = false;
    session->over = false;
    session->verified = false;
    session->received = false;
    session->ended = false;
    session->no_tls = false;
    session->unfinished = false;
    session->ahead_len = 0;
    session->io = *io;
    if (peer->name[0] == '\0' || peer->name[0] == '.' ||
        strlen(peer->name) >= sizeof session->name) {
        mbed_text(session->error, sizeof session->error,
                  "the server's name is empty or too long, or a dot is first");
        return RLK_TLS_REFUSED;
    }
    /* it was verified for another name, or has expired since, which no resumption verifies */
    if (strcmp(session->name, peer->name) != 0 ||
        (!session->tls->insecure && mbedtls_x509_time_is_past(&session->valid_to) != 0))
        mbed_forget(session);
    memcpy(session->name, peer->name, strlen(peer->name) + 1);
    memcpy(session->ip, peer->ip, sizeof session->ip);
    session->ip_len = peer->ip_len;
    mbed_free_flight(session);
    session->flight = (unsigned char *)mbedtls_calloc(1, MBED_FLIGHT);
    if (session->flight == NULL)
        result = MBEDTLS_ERR_SSL_ALLOC_FAILED;
    if (result == 0 && session->begun)
        result = mbedtls_ssl_session_reset(&session->ssl);
    session->begun = true;
#ifndef RLK_NO_POSIX
    if (result == 0) /* else a child of fork has the keys of its parent */
        result = mbedtls_ctr_drbg_reseed((mbedtls_ctr_drbg_context *)session->tls->config.p_rng,
                                         NULL, 0);
#endif
    if (result == 0) /* sent as SNI, and so not of an address */
        result = mbedtls_ssl_set_hostname(&session->ssl, peer->ip_len == 0 ? peer->name : NULL);
    if (result == 0 && session->has_kept)
        (void)mbedtls_ssl_set_session(&session->ssl, &session->kept);
    return result == 0 ? RLK_TLS_DONE : mbed_status(session, result);
}

static rlk_tls_status mbed_handshake(void *context)
{
    mbed_session *session = (mbed_session *)context;
    int result = mbedtls_ssl_handshake(&session->ssl);

    if (result == 0)
        result = mbed_flush(session); /* a resumed one ends with a message of the client */
    if (result != 0) {
        rlk_tls_status status = mbed_status(session, result);

        if (session->over)
            (void)mbed_flush(session); /* an alert says why, to the server's operator */
        return status;
    }
    mbed_free_flight(session);
    session->up = true;
    if (!mbed_is_tls13(session)) /* its tickets come later */
        mbed_keep(session);
    return RLK_TLS_DONE;
}

/* 0 of Mbed TLS is an end of the stream or an empty record, too many of which it refuses. */
static rlk_tls_status mbed_read(void *context, void *room, size_t cap, size_t *len)
{
    mbed_session *session = (mbed_session *)context;
    int result;

    do {
        session->dry = false;
        result = mbedtls_ssl_read(&session->ssl, (unsigned char *)room, cap);
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
        if (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            mbed_keep(session);
            result = 0;
        }
#endif
        /* behind a ticket Mbed TLS 3 wants to be called again, although bytes are there */
    } while ((result == 0 && !session->ended) ||
             (result == MBEDTLS_ERR_SSL_WANT_READ && !session->dry));
    if (result <= 0)
        return mbed_status(session, result != 0 ? result : MBEDTLS_ERR_SSL_CONN_EOF);
    *len = (size_t)result;
    return RLK_TLS_DONE;
}

/* As long as anything is left to send, Mbed TLS takes a write for the repetition of one before, and
 * else for another one. But what is left may be an alert, and a read may send what was left. */
static rlk_tls_status mbed_write(void *context, const void *bytes, size_t len, size_t *done)
{
    mbed_session *session = (mbed_session *)context;
    int result = mbedtls_ssl_get_max_out_record_payload(&session->ssl);

    if (result > 0 && len > (size_t)result)
        len = (size_t)result;
    if (session->ssl.out_left != 0) /* this sends what is left, and nothing of `bytes` */
        result = mbedtls_ssl_write(&session->ssl, (const unsigned char *)bytes, len);
    if (result >= 0 && !session->unfinished) {
        result = mbedtls_ssl_write(&session->ssl, (const unsigned char *)bytes, len);
        session->unfinished = result == MBEDTLS_ERR_SSL_WANT_WRITE;
    }
    if (result < 0)
        return mbed_status(session, result);
    session->unfinished = false;
    *done = len;
    return RLK_TLS_DONE;
}

static bool mbed_pending(const void *context)
{
    const mbed_session *session = (const mbed_session *)context;

    return session->ahead_len > 0 || mbedtls_ssl_check_pending(&session->ssl) != 0;
}

/* The reset clears the buffers of Mbed TLS, which held tokens, and perhaps a password. */
static void mbed_end(void *context, bool notify)
{
    mbed_session *session = (mbed_session *)context;

    if (notify && session->up && !session->over)
        (void)mbedtls_ssl_close_notify(&session->ssl);
    session->begun = mbedtls_ssl_session_reset(&session->ssl) != 0;
    mbed_free_flight(session);
    session->up = false;
}

static const char *mbed_error(const void *context)
{
    return ((const mbed_session *)context)->error;
}

static const rlk_tls_calls mbed_calls = {mbed_open,      mbed_close, mbed_begin,
                                         mbed_handshake, mbed_read,  mbed_write,
                                         mbed_pending,   mbed_end,   mbed_error};

/* ---- Configuration ------------------------------------------------------------------------- */

/* Where systems have a file with all CAs. */
static const char *const mbed_stores[] = {
    "/etc/ssl/certs/ca-certificates.crt",     /* Debian, Arch, Gentoo, Alpine */
    "/etc/pki/tls/certs/ca-bundle.crt",       /* Fedora and its relatives */
    "/etc/ssl/ca-bundle.pem",                 /* openSUSE */
    "/etc/ssl/cert.pem",                      /* Alpine, BSD, macOS */
    "/usr/local/share/certs/ca-root-nss.crt", /* FreeBSD */
};

/* Returns false, with the reason, if the system can't read it: Mbed TLS does not say why, and takes
 * a folder for a file without end. */
static bool mbed_is_readable(rlk_mbedtls *tls, const char *path)
{
    FILE *file;
    bool readable;

    errno = 0;
    file = fopen(path, "rb");
    readable = file != NULL && (fgetc(file) != EOF || ferror(file) == 0);
    if (!readable)
        mbed_text(tls->error, sizeof tls->error, "%.150s: can't be read: %s", path,
                  strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
    if (file != NULL)
        (void)fclose(file);
    return readable;
}

/* The reason for a file; `error` is of Mbed TLS, 0: nothing of the kind is in it. */
static rlk_result mbed_file_error(rlk_mbedtls *tls, const char *file, const char *kind, int error)
{
    int kind_of_error = -(-error & 0xff80); /* without that of the layer below */
    char words[96] = "";

    if (error == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || error == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
        mbed_text(words, sizeof words, "is encrypted, and key_password is %s",
                  error == MBEDTLS_ERR_PK_PASSWORD_REQUIRED ? "not set" : "wrong");
    else if (error == MBEDTLS_ERR_PKCS5_FEATURE_UNAVAILABLE)
        mbed_text(words, sizeof words,
                  "is encrypted as this Mbed TLS can't read it: use openssl pkey -traditional");
    else if (error == 0 || kind_of_error == MBEDTLS_ERR_X509_CERT_UNKNOWN_FORMAT ||
             kind_of_error == MBEDTLS_ERR_X509_INVALID_FORMAT ||
             kind_of_error == MBEDTLS_ERR_PK_KEY_INVALID_FORMAT)
        mbed_text(words, sizeof words, "has no %s in PEM", kind);
    else if (error == MBEDTLS_ERR_X509_FILE_IO_ERROR)
        mbed_text(words, sizeof words, "can't be read");
    else
        mbed_words(words, sizeof words, error);
    mbed_text(tls->error, sizeof tls->error, "%.150s: %s", file, words);
    return RLK_E_TLS;
}

/* Certificates that this Mbed TLS can't read don't matter, if there is one that it can. */
static rlk_result mbed_load_certs(rlk_mbedtls *tls, mbedtls_x509_crt *certs, const char *path,
                                  bool is_folder)
{
    int error;

    if (!is_folder && !mbed_is_readable(tls, path))
        return RLK_E_TLS;
    error = is_folder ? mbedtls_x509_crt_parse_path(certs, path)
                      : mbedtls_x509_crt_parse_file(certs, path);
    if (error >= 0 && certs->version != 0)
        return RLK_OK;
    return mbed_file_error(tls, path, "certificate", error < 0 ? error : 0);
}

/* As OpenSSL does: who starts a program with the rights of another user (set-user-ID) does not
 * choose whom it trusts. */
static const char *mbed_environment(const char *name)
{
#ifndef RLK_NO_POSIX
    if (getuid() != geteuid() || getgid() != getegid())
        return NULL;
#endif
    return getenv(name); /* NOLINT(concurrency-mt-unsafe) */
}

static rlk_result mbed_load_system(rlk_mbedtls *tls)
{
    const char *file = mbed_environment("SSL_CERT_FILE");
    const char *folder = mbed_environment("SSL_CERT_DIR");
    size_t i;

    if (file != NULL)
        return mbed_load_certs(tls, &tls->ca, file, false);
    if (folder != NULL)
        return mbed_load_certs(tls, &tls->ca, folder, true);
    for (i = 0; i < sizeof mbed_stores / sizeof mbed_stores[0]; i++)
        if (mbedtls_x509_crt_parse_file(&tls->ca, mbed_stores[i]) >= 0 && tls->ca.version != 0)
            return RLK_OK;
    mbed_text(tls->error, sizeof tls->error,
              "no CAs: the system has no store (such as %s); set ca_file", mbed_stores[0]);
    return RLK_E_TLS;
}

static rlk_result mbed_load_cas(rlk_mbedtls *tls, const rlk_tls_config *config)
{
    rlk_result result = RLK_OK;

    if (config->ca_file != NULL)
        result = mbed_load_certs(tls, &tls->ca, config->ca_file, false);
    if (result == RLK_OK && config->ca_dir != NULL)
        result = mbed_load_certs(tls, &tls->ca, config->ca_dir, true);
    if (config->ca_file == NULL && config->ca_dir == NULL && !config->insecure_any_certificate)
        result = mbed_load_system(tls);
    return result;
}

static rlk_result mbed_load_own(rlk_mbedtls *tls, const rlk_tls_config *config)
{
    const char *key_file = config->key_file != NULL ? config->key_file : config->cert_file;
    rlk_result result;
    int error;

    if (config->cert_file == NULL) {
        if (config->key_file == NULL)
            return RLK_OK;
        mbed_text(tls->error, sizeof tls->error, "key_file without cert_file");
        return RLK_E_ARGUMENT;
    }
    result = mbed_load_certs(tls, &tls->cert, config->cert_file, false);
    if (result != RLK_OK)
        return result;
    if (!mbed_is_readable(tls, key_file))
        return RLK_E_TLS;
    error = mbedtls_pk_parse_keyfile(&tls->key, key_file,
                                     config->key_password MBED_KEY_RANDOM(&tls->random));
    if (error != 0 || mbedtls_pk_get_type(&tls->key) == MBEDTLS_PK_NONE)
        return mbed_file_error(tls, key_file, "private key", error);
    if (mbedtls_pk_check_pair(&tls->cert.pk, &tls->key MBED_KEY_RANDOM(&tls->random)) != 0) {
        mbed_text(tls->error, sizeof tls->error, "%.110s is not the key of %.110s", key_file,
                  config->cert_file);
        return RLK_E_TLS;
    }
    return RLK_OK;
}

static rlk_result mbed_configure(rlk_mbedtls *tls)
{
    mbedtls_ssl_config *config = &tls->config;

    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        (tls->cert.version != 0 && mbedtls_ssl_conf_own_cert(config, &tls->cert, &tls->key) != 0)) {
        mbed_text(tls->error, sizeof tls->error, "Mbed TLS has no memory");
        return RLK_E_TLS;
    }
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
#ifdef MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    /* a server that knows no RFC 5746 may take what another client sent for a part of this stream
     */
    mbedtls_ssl_conf_legacy_renegotiation(config, MBEDTLS_SSL_LEGACY_BREAK_HANDSHAKE);
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &tls->random);
    mbedtls_ssl_conf_ca_chain(config, &tls->ca, NULL);
    mbedtls_ssl_conf_authmode(config, tls->insecure ? MBEDTLS_SSL_VERIFY_OPTIONAL
                                                    : MBEDTLS_SSL_VERIFY_REQUIRED);
    return RLK_OK;
}

/* Where memory runs out, Mbed TLS 3.5 leaves sources of entropy that have no hash any more, and
 * uses it the next time. */
static int mbed_entropy(void *context, unsigned char *out, size_t len)
{
    mbedtls_entropy_context *entropy = (mbedtls_entropy_context *)context;

#if MBEDTLS_VERSION_NUMBER >= 0x03050000
    if (entropy->accumulator_started != 0 && entropy->accumulator.md_ctx == NULL) {
        mbedtls_entropy_free(entropy);
        mbedtls_entropy_init(entropy);
    }
#endif
    return mbedtls_entropy_func(entropy, out, len);
}

/* ---- Public -------------------------------------------------------------------------------- */

rlk_result rlk_mbedtls_init(rlk_mbedtls *tls, const rlk_tls_config *config)
{
    static const rlk_tls_config defaults;
    static const char personal[] = "resplock";
    rlk_result result;
    int error;

    if (tls == NULL)
        return RLK_E_ARGUMENT;
    if (config == NULL)
        config = &defaults;
    memset(tls, 0, sizeof *tls);
    tls->tls.calls = &mbed_calls;
#ifndef RLK_NO_POSIX
    tls->tls.driver = rlk_socket_tls_driver();
#endif
    tls->tls.server_name = config->server_name;
    tls->insecure = config->insecure_any_certificate;
    tls->pinned = config->pin != NULL;
    if (tls->pinned)
        memcpy(tls->pin, config->pin, sizeof tls->pin);
    mbedtls_entropy_init(&tls->entropy);
    mbedtls_ctr_drbg_init(&tls->random);
    mbedtls_x509_crt_init(&tls->ca);
    mbedtls_x509_crt_init(&tls->cert);
    mbedtls_pk_init(&tls->key);
    mbedtls_ssl_config_init(&tls->config);
    error = mbedtls_ctr_drbg_seed(&tls->random, mbed_entropy, &tls->entropy,
                                  (const unsigned char *)personal, sizeof personal - 1);
#ifdef MBED_PSA
    if (error == 0 && psa_crypto_init() != PSA_SUCCESS)
        error = MBEDTLS_ERR_CTR_DRBG_ENTROPY_SOURCE_FAILED;
#endif
    if (error != 0) {
        result = RLK_E_ENTROPY;
        mbed_text(tls->error, sizeof tls->error, "Mbed TLS has no entropy");
    } else {
        result = mbed_load_cas(tls, config);
    }
    if (result == RLK_OK)
        result = mbed_load_own(tls, config);
    if (result == RLK_OK)
        result = mbed_configure(tls);
    if (result != RLK_OK)
        rlk_mbedtls_close(tls);
    return result;
}

void rlk_mbedtls_close(rlk_mbedtls *tls)
{
    if (tls == NULL || tls->tls.calls == NULL)
        return;
    mbedtls_ssl_config_free(&tls->config);
    mbedtls_pk_free(&tls->key);
    mbedtls_x509_crt_free(&tls->cert);
    mbedtls_x509_crt_free(&tls->ca);
    mbedtls_ctr_drbg_free(&tls->random);
    mbedtls_entropy_free(&tls->entropy);
    tls->tls.calls = NULL;
}

const char *rlk_mbedtls_error(const rlk_mbedtls *tls)
{
    return tls->error;
}
