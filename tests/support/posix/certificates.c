/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "certificates.h"
#include "program.h"
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CERTIFICATE_PATHS 128

static char *certificate_home; /* NULL: this test has made none */
static unsigned certificate_count;
static char certificate_paths[CERTIFICATE_PATHS][CERTIFICATE_PATH];
static size_t certificate_paths_len;

static void certificate_remove_all(void)
{
    if (certificate_home == NULL)
        return;
    support_folder_remove(certificate_home);
    free(certificate_home);
    certificate_home = NULL;
    certificate_paths_len = 0;
}

static void certificate_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void certificate_shell(const char *format, ...)
{
    char line[2048];
    int used = snprintf(line, sizeof line, "cd %s && ", certificate_home);
    va_list arguments;
    program *run;

    va_start(arguments, format);
    vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    va_end(arguments);
    run = program_start("/bin/sh", "-c", line, NULL);
    if (program_wait(run) != 0)
        support_fail("%s: %s", line, program_output(run));
}

/* The path of a file or folder of the test. */
static const char *certificate_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *certificate_path(const char *format, ...)
{
    char *path = certificate_paths[certificate_paths_len];
    char name[64];
    va_list arguments;

    if (certificate_paths_len == CERTIFICATE_PATHS)
        support_fail("more than %d files and folders of certificates", CERTIFICATE_PATHS);
    certificate_paths_len++;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    snprintf(path, CERTIFICATE_PATH, "%s/%s", certificate_home, name);
    return path;
}

/* openssl's settings, the key of all certificates, and a request that has it. */
static void certificate_begin(void)
{
    static const char settings[] = "[ca]\ndefault_ca=it\n"
                                   "[it]\nnew_certs_dir=.\ndatabase=index\nrand_serial=yes\n"
                                   "default_md=sha256\npolicy=any\nunique_subject=no\n"
                                   "[any]\ncommonName=supplied\n"
                                   "[req]\ndistinguished_name=name\nprompt=no\n"
                                   "[name]\nCN=server\n"
                                   "[authority]\nbasicConstraints=critical,CA:TRUE\n"
                                   "keyUsage=critical,keyCertSign,cRLSign\n";

    if (certificate_home != NULL)
        return;
    support_at_teardown(certificate_remove_all);
    certificate_home = support_folder_new();
    certificate_text("settings", settings);
    certificate_shell(
        ": >index && openssl ecparam -name prime256v1 -genkey -noout -out server.key && "
        "openssl req -new -config settings -key server.key -out server.csr");
}

const char *certificate_text(const char *name, const char *text)
{
    const char *path;
    FILE *file;

    certificate_begin();
    path = certificate_path("%s", name);
    file = fopen(path, "we");
    if (file == NULL)
        support_fail("%s: %s", path, strerror(errno));
    fputs(text, file);
    fclose(file);
    return path;
}

const char *certificate_authority(const char *name)
{
    char end[64];
    size_t i;

    certificate_begin();
    snprintf(end, sizeof end, "/%s.crt", name);
    for (i = 0; i < certificate_paths_len; i++) {
        const char *path = certificate_paths[i];

        if (strlen(path) > strlen(end) && strcmp(path + strlen(path) - strlen(end), end) == 0)
            return path;
    }
    certificate_shell("openssl ecparam -name prime256v1 -genkey -noout -out %s.key && "
                      "openssl req -x509 -new -config settings -extensions authority "
                      "-key %s.key -subj '/CN=authority %s' -days 9 -out %s.crt",
                      name, name, name, name);
    return certificate_path("%s.crt", name);
}

static void certificate_date(char *out, size_t cap, int days)
{
    time_t when = time(NULL) + (time_t)days * 86400;
    struct tm parts;

    gmtime_r(&when, &parts);
    strftime(out, cap, "%Y%m%d%H%M%SZ", &parts);
}

/* An authority by another one, for certificate `n`. `by` is who signs, and becomes that authority.
 */
static void certificate_between(char *by, size_t cap, const char *extensions, unsigned n)
{
    certificate_shell(
        "openssl ecparam -name prime256v1 -genkey -noout -out %u.between.key && "
        "openssl req -new -config settings -key %u.between.key -out %u.between.csr && "
        "{ echo basicConstraints=critical,CA:TRUE; "
        "echo keyUsage=critical,keyCertSign; echo '%s'; } >%u.between.ext && "
        "openssl ca -batch -notext -config settings %s -in %u.between.csr "
        "-subj '/CN=authority between' -days 2 "
        "-extfile %u.between.ext -out %u.between.crt",
        n, n, n, extensions, n, by, n, n, n);
    snprintf(by, cap, "-cert %u.between.crt -keyfile %u.between.key", n, n);
}

void certificate_make(certificate *out, const certificate_spec *spec)
{
    const char *issuer = spec->issuer != NULL ? spec->issuer : "ca";
    char by[128] = "-selfsign -keyfile server.key";
    char from[32];
    char to[32];
    unsigned n;

    certificate_begin();
    if (*issuer != '\0') {
        (void)certificate_authority(issuer);
        snprintf(by, sizeof by, "-cert %s.crt -keyfile %s.key", issuer, issuer);
    }
    n = ++certificate_count;
    if (spec->between != NULL)
        certificate_between(by, sizeof by, spec->between, n);
    certificate_date(from, sizeof from, spec->from_days != 0 ? spec->from_days : -3);
    certificate_date(to, sizeof to, spec->to_days != 0 ? spec->to_days : 2);
    certificate_shell("{ echo basicConstraints=CA:FALSE; %s%s%s %s%s%s echo '%s'; } >%u.ext && "
                      "openssl ca -batch -notext -config settings %s -in server.csr "
                      "-subj '/CN=%s' -startdate %s -enddate %s -extfile %u.ext -out %u.crt",
                      spec->names != NULL ? "echo subjectAltName=" : "",
                      spec->names != NULL ? spec->names : "", spec->names != NULL ? ";" : "",
                      spec->usage != NULL ? "echo extendedKeyUsage=" : "",
                      spec->usage != NULL ? spec->usage : "", spec->usage != NULL ? ";" : "",
                      spec->extension != NULL ? spec->extension : "", n, by,
                      spec->common_name != NULL ? spec->common_name : "server", from, to, n, n);
    if (spec->between != NULL)
        certificate_shell("cat %u.between.crt >>%u.crt", n, n);
    if (spec->root)
        certificate_shell("cat %s.crt >>%u.crt", issuer, n);
    snprintf(out->file, sizeof out->file, "%s/%u.crt", certificate_home, n);
    snprintf(out->key_file, sizeof out->key_file, "%s/server.key", certificate_home);
}

server *certificate_server(const char *names, const char *versions)
{
    const certificate_spec spec = {.names = names};
    server_config config;
    certificate cert;

    certificate_make(&cert, &spec);
    memset(&config, 0, sizeof config);
    config.tcp = true;
    config.tls_cert = cert.file;
    config.tls_key = cert.key_file;
    config.tls_versions = versions;
    return server_start(&config);
}

const char *certificate_folder(const char *name, ...)
{
    const char *folder;
    unsigned n = ++certificate_count;
    va_list names;

    certificate_begin();
    folder = certificate_path("folder%u", n);
    if (mkdir(folder, 0700) != 0)
        support_fail("mkdir %s: %s", folder, strerror(errno));
    va_start(names, name);
    for (; name != NULL; name = va_arg(names, const char *)) {
        (void)certificate_authority(name);
        certificate_shell("cp %s.crt folder%u/%s.pem", name, n, name);
    }
    va_end(names);
    certificate_shell("openssl rehash folder%u", n);
    return folder;
}

void certificate_pin(const char *file, uint8_t pin[CERTIFICATE_PIN])
{
    char name[32];
    FILE *in;
    size_t got;

    snprintf(name, sizeof name, "%u.pin", ++certificate_count);
    certificate_shell("openssl x509 -in %s -noout -pubkey | openssl pkey -pubin -outform DER | "
                      "openssl dgst -sha256 -binary >%s",
                      file, name);
    in = fopen(certificate_path("%s", name), "re");
    got = in != NULL ? fread(pin, 1, CERTIFICATE_PIN, in) : 0;
    if (in != NULL)
        fclose(in);
    if (got != CERTIFICATE_PIN)
        support_fail("no public key of %s", file);
}

const char *certificate_encrypted_key(const char *password)
{
    certificate_begin();
    certificate_shell("openssl ec -in server.key -aes128 -passout 'pass:%s' -out encrypted.key",
                      password);
    return certificate_path("encrypted.key");
}

const char *certificate_encrypted_pkcs8(const char *password)
{
    certificate_begin();
    certificate_shell("openssl pkey -in server.key -aes128 -passout 'pass:%s' -out encrypted.p8",
                      password);
    return certificate_path("encrypted.p8");
}
