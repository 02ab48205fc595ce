#include "tests/support/kafka_identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/certificates.h"

#define IDENTITY_PASSWORD "password-of-a-test-and-nothing-else"
#define IDENTITY_ARGUMENTS_MAX 24
#define IDENTITY_KCAT_MS 60000

/* Of the one user that PLAIN knows; the caller frees it. */
static char *identity_plain_password(const char *tls)
{
    char line[128];
    char *password = NULL;
    char *path = alv_format("%s/plain.properties", tls);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "password=", strlen("password=")) == 0) {
            password = alv_strdup(line + strlen("password="));
        }
    }
    (void)fclose(file);
    alv_free(path);
    assert_non_null(password);
    return password;
}

static void identity_write_sasl(const alv_kafka_identity *who, FILE *file, const char *tls,
                                alv_kafka_guard *guard)
{
    bool is_plain = strcmp(who->mechanism, "PLAIN") == 0;
    char *password = is_plain ? identity_plain_password(tls) : alv_strdup(IDENTITY_PASSWORD);
    fprintf(file, "kafka.sasl.mechanism=%s\nkafka.sasl.username=%s\nkafka.sasl.password=%s\n",
            who->mechanism, who->name, password);
    if (!is_plain) {
        alv_kafka_guard_add_user(guard, who->name, password);
    }
    alv_free(password);
}

static void identity_write_certificate(const alv_kafka_identity *who, FILE *file, const char *tls)
{
    alv_certificates_make(tls, "ca", who->name);
    fprintf(file, "kafka.ssl.certificate.location=%s/%s.pem\nkafka.ssl.key.location=%s/%s.key\n",
            tls, who->name, tls, who->name);
}

void alv_kafka_identity_make(alv_kafka_identity *who, const alv_cluster *cluster,
                             alv_kafka_guard *guard, const char *settings)
{
    bool has_sasl = who->mechanism != NULL;
    char *brokers = alv_cluster_stack_setting(cluster, has_sasl ? "KAFKA_SASL_SSL" : "KAFKA_SSL");
    char *tls = alv_cluster_stack_setting(cluster, "KAFKA_TLS");
    char *name = alv_format("%s.properties", who->name);
    who->config_path = alv_cluster_path(cluster, name);
    who->principal = alv_format(has_sasl ? "User:%s" : "User:CN=%s", who->name);
    FILE *file = fopen(who->config_path, "we");
    assert_non_null(file);
    fprintf(file,
            "application.id=%s\nbootstrap.servers=%s\nkafka.security.protocol=%s\n"
            "kafka.ssl.ca.location=%s/ca.pem\n%s",
            cluster->application, brokers, has_sasl ? "SASL_SSL" : "SSL", tls, settings);
    if (has_sasl) {
        identity_write_sasl(who, file, tls, guard);
    } else {
        identity_write_certificate(who, file, tls);
    }
    assert_int_equal(fclose(file), 0);
    alv_free(name);
    alv_free(tls);
    alv_free(brokers);
}

void alv_kafka_identity_done(alv_kafka_identity *who)
{
    alv_free(who->principal);
    alv_free(who->config_path);
    who->principal = NULL;
    who->config_path = NULL;
}

alv_cluster_result alv_kafka_identity_run(const alv_kafka_identity *who, alv_cluster *cluster,
                                          const char *const *arguments)
{
    const char *all[IDENTITY_ARGUMENTS_MAX] = {arguments[0], "-c", who->config_path};
    int count = 3;
    for (int i = 1; arguments[i] != NULL; i++) {
        assert_true(count + 1 < IDENTITY_ARGUMENTS_MAX);
        all[count++] = arguments[i];
    }
    return alv_cluster_run(cluster, NULL, all);
}

int alv_kafka_identity_kcat(const alv_kafka_identity *who, const char *topic, const char *out)
{
    static const char script[] =
        "sed -n 's/^kafka\\.//p; /^bootstrap/p' \"$1\" >\"$1.kcat\" && "
        "exec kcat -F \"$1.kcat\" -C -q -e -o beginning -f '%k\\n' -t \"$2\"";
    const char *const argv[] = {"sh", "-c", script, "kcat", who->config_path, topic, NULL};
    return alv_process_run(argv, (alv_process_files){.out = out}, IDENTITY_KCAT_MS);
}
