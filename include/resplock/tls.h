/* SPDX-License-Identifier: MIT
 *
 * resplock/tls.h: what a TLS library does for a driver: the interface of all backends, and their
 * configuration. Nothing here needs a TLS library or an operating system, or is linked to a program
 * without TLS.
 *
 * Programs include the header of a backend, such as resplock/tls/openssl.h, and give its `tls` to
 * rlk_posix_open:
 *     rlk_openssl tls;
 *     rlk_openssl_init(&tls, &(rlk_tls_config){.ca_file = "ca.crt"});
 *     rlk_posix_open(&redis, "rediss://example.com", &(rlk_posix_options){.tls = &tls.tls});
 *
 * What is below rlk_tls_config is for those who write a backend, or a driver.
 */
#ifndef RESPLOCK_TLS_H
#define RESPLOCK_TLS_H

#include "resplock/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a pin: SHA-256. */
#define RLK_TLS_PIN 32

/*
 * Configuration of a backend. All of it may be 0. A backend's init reads the files, and copies what
 * it keeps: nothing here need outlive init, except server_name.
 *
 * Without insecure_any_certificate a server's certificate must have a chain to a trusted CA, be
 * valid now, be for servers, as the CAs must, and have the host of the URL among its
 * subjectAltNames: a DNS name, where "*" may stand for the whole first label, or an IP address
 * (RFC 9525, RFC 6125). The common name counts only where a certificate has no DNS name among them.
 * A session is resumed only for the same host, and while the certificate is valid. TLS 1.2 is the
 * least (RFC 8996); 1.3 is used where both sides have it (RFC 8446).
 */
typedef struct rlk_tls_config {
    const char *ca_file;      /* trusted CAs, PEM */
    const char *ca_dir;       /* folder of them. Neither ca_file nor ca_dir: the system's store */
    const char *cert_file;    /* the client's certificate, then its chain, PEM; NULL: none */
    const char *key_file;     /* its private key, PEM; NULL: in cert_file */
    const char *key_password; /* of an encrypted key; NULL: it is not encrypted */
    /* Name, or IP address as a text, that the certificate must have instead of the URL's host; a
     * name is also sent as SNI (RFC 6066). Outlives the backend, unchanged. NULL: the URL's host.
     */
    const char *server_name;
    /* RLK_TLS_PIN bytes: SHA-256 of the SubjectPublicKeyInfo (DER) of the server's certificate. It
     * must match *besides* all else. NULL: none. */
    const uint8_t *pin;
    /* Takes any certificate, of anybody, so that anyone on the way can read and change all. Only
     * `pin` is still compared. For experiments. */
    bool insecure_any_certificate;
} rlk_tls_config;

/* ---- For backends and drivers ------------------------------------------------------------ */

/* How one step ended. */
typedef enum rlk_tls_status {
    RLK_TLS_DONE,
    RLK_TLS_WANT_READ,  /* repeat it when the stream is readable */
    RLK_TLS_WANT_WRITE, /* repeat it when the stream can be written */
    RLK_TLS_CLOSED,     /* the peer ended TLS as it should, by close_notify */
    RLK_TLS_CUT,        /* the stream ended without close_notify: perhaps not by the peer */
    RLK_TLS_FAILED,     /* it failed and may succeed the next time; `error` says why */
    RLK_TLS_REFUSED     /* it failed and will fail again: certificate, version, client's certificate
                           refused; `error` says why */
} rlk_tls_status;

/* Returned by rlk_tls_io; other values are numbers of bytes. */
#define RLK_TLS_IO_AGAIN  (-1) /* would block: WANT_READ or WANT_WRITE */
#define RLK_TLS_IO_FAILED (-2) /* the stream is broken; the driver keeps the reason: FAILED */

/* The stream below TLS: the driver's. Neither call waits, except a recv by the driver's own wish,
 * and neither raises SIGPIPE. Backends touch no descriptor. */
typedef struct rlk_tls_io {
    /* Returns how many of `len` > 0 bytes the system took, > 0; or RLK_TLS_IO_*. */
    ptrdiff_t (*send)(void *context, const void *bytes, size_t len);
    /* Returns how many of `cap` > 0 bytes came; 0 at the stream's end; or RLK_TLS_IO_*. */
    ptrdiff_t (*recv)(void *context, void *room, size_t cap);
    void *context;
} rlk_tls_io;

/* Whom the stream must lead to. Valid during `begin` only. */
typedef struct rlk_tls_peer {
    const char *name; /* terminated, not empty, no dot at either end. Of an address: its text */
    uint8_t ip[16];   /* of an address, in network order; else zeros */
    uint8_t ip_len;   /* 4, 16; 0: it is a name, which is sent as SNI */
} rlk_tls_peer;

typedef struct rlk_tls rlk_tls;

/*
 * What a backend does. A session is the memory of one node: its streams, one after the other, so
 * that each can resume the TLS session of the one before.
 *
 *     open, then for each stream: begin, handshake until DONE, read and write, end; then close
 *
 * After CLOSED, CUT, FAILED or REFUSED only `error`, `end` and `close` follow on that stream. After
 * WANT_* of a write, a read may come before the write is repeated, and the reverse. The calls for
 * one session come from one thread at a time; those for all sessions of an rlk_tls too, unless its
 * backend says otherwise. They leave nothing behind in per-thread state of the TLS library, such as
 * an error queue.
 */
typedef struct rlk_tls_calls {
    /* Returns a new session, in memory of the TLS library; NULL: there is none left. */
    void *(*open)(const rlk_tls *tls);

    /* Gives it back, in the middle of a stream too. Sends nothing: also called in a forked child.
     */
    void (*close)(void *session);

    /* Begins a stream, whatever the one before came to. Copies `io`, and what it needs of `peer`.
     * DONE, FAILED, REFUSED: it is no name of a host, for which nothing would be verified. */
    rlk_tls_status (*begin)(void *session, const rlk_tls_io *io, const rlk_tls_peer *peer);

    /* Does what it can of the handshake, verification included. Any status. */
    rlk_tls_status (*handshake)(void *session);

    /* Reads 1 to `cap` bytes, *len of them where DONE. Any status: a refusal of the client's
     * certificate can come here (RFC 8446, 4.4.2.4). */
    rlk_tls_status (*read)(void *session, void *room, size_t cap, size_t *len);

    /* Writes 1 to `len` bytes, *done of them where DONE. After WANT_* the driver repeats it with
     * the same bytes, at the same place or another, and the same length. */
    rlk_tls_status (*write)(void *session, const void *bytes, size_t len, size_t *done);

    /* Asked after a handshake or a read that returned DONE: returns true if the next read may have
     * bytes that the descriptor doesn't show any more. */
    bool (*pending)(const void *session);

    /* Ends the stream. notify: sends close_notify, if that goes without waiting and no step has
     * failed. Keeps what resumption needs. The stream's descriptor is still open. */
    void (*end)(void *session, bool notify);

    /* Returns why the last step FAILED or was REFUSED, in the caller's words: terminated, without
     * a dot. What matters comes first: a connection keeps RLK_CONN_TEXT - 1 bytes of it. */
    const char *(*error)(const void *session);
} rlk_tls_calls;

/* The driver's side of TLS, between a connection and its descriptor. It is reached by the backend
 * only, so that a program without one does not link it. */
typedef struct rlk_tls_driver rlk_tls_driver;

/* First member of each backend's struct. A backend's init sets all of it. */
struct rlk_tls {
    const rlk_tls_calls *calls;
    const rlk_tls_driver *driver; /* rlk_socket_tls_driver(); with RLK_NO_POSIX none */
    const char *server_name;      /* of rlk_tls_config */
};

/* For backends. Returns what an alert of the server means if it is about what stays as it is
 * (RFC 8446, 6.2; RFC 5246, 7.2.2): REFUSED. NULL: it may pass, FAILED. `verified`: the server has
 * shown its certificate; `shown`: the client has one. */
static inline const char *rlki_tls_alert(int alert, bool verified, bool shown)
{
    switch (alert) {
    case 40: /* handshake_failure */
        return verified && !shown ? "server wants a client certificate (cert_file)"
                                  : "server refused the handshake: nothing in common";
    case 42: /* bad_certificate */
    case 43: /* unsupported_certificate */
    case 44: /* certificate_revoked */
    case 45: /* certificate_expired */
    case 46: /* certificate_unknown */
    case 48: /* unknown_ca */
    case 49: /* access_denied */
        if (shown)
            return "server refused the client certificate (cert_file)";
        return "server wants a client certificate (cert_file)";
    case 116: /* certificate_required */
        return "server wants a client certificate (cert_file)";
    case 70: /* protocol_version */
        return "server has no TLS version in common: 1.2 at least";
    case 71: /* insufficient_security */
        return "server wants stronger ciphers";
    case 112: /* unrecognized_name */
        return "server does not know the name that it was asked for";
    default:
        return NULL;
    }
}

#ifdef __cplusplus
}
#endif

#endif
