/* Goal:   every setting has its default, its bounds and its origin, and a mistake is answered with
 *         the key, the place and what would be right.
 * Method: configurations made of small .properties texts and -X assignments; messages are compared
 *         as a whole where people act on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/limits.h"

static void apply(alv_config *config, const char *text)
{
    alv_error err = ALV_ERROR_NONE;
    alv_properties properties;
    assert_int_equal(alv_properties_parse(alv_view_of(text), "f", &properties, &err), ALV_OK);
    if (alv_config_apply(config, &properties, "f", &err) != ALV_OK)
        fail_msg("refused: %s", err.text);
    alv_properties_done(&properties);
}

static void set(alv_config *config, const char *assignment)
{
    alv_error err = ALV_ERROR_NONE;
    if (alv_config_set(config, assignment, &err) != ALV_OK)
        fail_msg("refused: %s", err.text);
}

static void finish(alv_config *config)
{
    alv_error err = ALV_ERROR_NONE;
    if (alv_config_finish(config, &err) != ALV_OK)
        fail_msg("refused: %s", err.text);
}

/* The text, as file "f", must be refused while it is read. */
static void check_apply_refused(const char *text, const char *message)
{
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    alv_properties properties;
    assert_int_equal(alv_properties_parse(alv_view_of(text), "f", &properties, &err), ALV_OK);
    assert_int_equal(alv_config_apply(config, &properties, "f", &err), ALV_REJECT);
    assert_string_equal(err.text, message);
    alv_properties_done(&properties);
    alv_config_free(config);
}

/* The text is well formed, but does not make a configuration. */
static void check_finish_refused(const char *text, const char *message)
{
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    apply(config, text);
    assert_int_equal(alv_config_finish(config, &err), ALV_REJECT);
    assert_string_equal(err.text, message);
    alv_config_free(config);
}

static void check_set_refused(const char *assignment, const char *message)
{
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    assert_int_equal(alv_config_set(config, assignment, &err), ALV_REJECT);
    assert_string_equal(err.text, message);
    alv_config_free(config);
}

static void defaults__are_those_of_the_manual(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    const alv_settings *settings = alv_config_settings(config);
    assert_string_equal(settings->bootstrap_servers, "127.0.0.1:9092");
    assert_string_equal(settings->application_id, "alluvium");
    assert_null(settings->node_roles);
    assert_string_equal(settings->state_dir, "./state");
    assert_int_equal(settings->state_memory_bytes, 512 << 20);
    assert_int_equal(settings->cache_memory_bytes, 256 << 20);
    assert_int_equal(settings->shards, 32);
    assert_true(settings->topics_create);
    assert_int_equal(settings->topics_replication_factor, -1);
    assert_int_equal(settings->commands_retention_ms, 604800000);
    assert_int_equal(settings->dead_letters_retention_ms, INT64_C(2592000000));
    assert_int_equal(settings->events_retention_ms, 604800000);
    assert_int_equal(settings->replies_retention_ms, 3600000);
    assert_int_equal(settings->tombstone_retention_ms, 86400000);
    assert_string_equal(settings->http_listen, "127.0.0.1:8090");
    assert_null(settings->http_auth);
    assert_null(settings->postgres_url);
    assert_string_equal(settings->postgres_schema, "alluvium");
    assert_int_equal(settings->postgres_interval_ms, 1000);
    assert_int_equal(settings->commit_interval_max_ms, 50);
    assert_int_equal(settings->commit_commands_max, 20000);
    assert_true(settings->changelog_coalesce);
    assert_int_equal(settings->passivate_after_ms, 1800000);
    assert_int_equal(settings->passivate_check_ms, 300000);
    assert_string_equal(settings->behavior_default, "user");
    assert_null(settings->behavior_libraries);
    assert_string_equal(settings->shutdown, "leave");
    assert_string_equal(settings->on_command_gap, "stop");
    assert_string_equal(settings->log_level, "info");
    assert_false(alv_config_is_set(config, "shards"));
    alv_config_free(config);
    alv_config_free(NULL);
}

static void finish__computes_what_depends_on_the_machine(void **state)
{
    (void)state;
    char host[256] = "";
    alv_config *config = alv_config_new();
    finish(config);
    const alv_settings *settings = alv_config_settings(config);
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    assert_string_equal(settings->node_id, host);
    assert_in_range(settings->lanes, 1, 4);
    assert_string_equal(settings->http_advertise, "127.0.0.1:8090");
    assert_false(alv_config_is_set(config, "node.id"));
    assert_false(alv_config_is_set(config, "lanes"));
    alv_config_free(config);
}

static void finish__leaves_advertise_to_the_node(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "http.listen=127.0.0.1:0",
        "http.listen=none",
        "http.listen=0.0.0.0:8090\nhttp.auth=none",
        "http.listen=[::]:8090\nhttp.auth=none",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        alv_config *config = alv_config_new();
        apply(config, texts[i]);
        finish(config);
        assert_null(alv_config_settings(config)->http_advertise);
        alv_config_free(config);
    }
}

static void apply__reads_values_of_each_type(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    apply(config, "lanes = 7 \nstate.memory.bytes=1GiB\ncache.memory.bytes=64 mib\n"
                  "topics.create=FALSE\nnode.roles = seed , shard,,\nshutdown=stay\n"
                  "commands.retention.ms=-1\nstate.dir=/var/lib/my state\nnode.id=n-1.x_2\n"
                  "bootstrap.servers=a:1, b:2");
    finish(config);
    const alv_settings *settings = alv_config_settings(config);
    assert_int_equal(settings->lanes, 7);
    assert_int_equal(settings->state_memory_bytes, 1 << 30);
    assert_int_equal(settings->cache_memory_bytes, 64 << 20);
    assert_false(settings->topics_create);
    assert_string_equal(settings->node_roles, "seed,shard");
    assert_string_equal(settings->shutdown, "stay");
    assert_int_equal(settings->commands_retention_ms, -1);
    assert_string_equal(settings->state_dir, "/var/lib/my state");
    assert_string_equal(settings->node_id, "n-1.x_2");
    assert_string_equal(settings->bootstrap_servers, "a:1,b:2");
    assert_true(alv_config_is_set(config, "lanes"));
    assert_false(alv_config_is_set(config, "shards"));
    alv_config_free(config);
}

static void apply__takes_plain_bytes(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    apply(config, "state.memory.bytes=5000001\ncache.memory.bytes=1024KiB");
    assert_int_equal(alv_config_settings(config)->state_memory_bytes, 5000001);
    assert_int_equal(alv_config_settings(config)->cache_memory_bytes, 1 << 20);
    alv_config_free(config);
}

static void apply__takes_an_empty_value_for_not_set(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    apply(config, "postgres.url=\nnode.id=\nlanes=\nhttp.advertise=\nnode.roles= , \nhttp.auth=\n"
                  "behavior.libraries=");
    finish(config);
    const alv_settings *settings = alv_config_settings(config);
    assert_null(settings->postgres_url);
    assert_null(settings->node_roles);
    assert_null(settings->http_auth);
    assert_null(settings->behavior_libraries);
    assert_non_null(settings->node_id);
    assert_in_range(settings->lanes, 1, 4);
    assert_non_null(settings->http_advertise);
    alv_config_free(config);
}

static void apply__later_files_win(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    apply(config, "shards=8\nlanes=2");
    apply(config, "shards=16");
    assert_int_equal(alv_config_settings(config)->shards, 16);
    assert_int_equal(alv_config_settings(config)->lanes, 2);
    alv_config_free(config);
}

static void set__wins_over_files_in_any_order(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    set(config, "shards=4");
    set(config, " lanes = 3 ");
    set(config, "kafka.debug=all");
    apply(config, "shards=8\nlanes=2\nkafka.debug=broker");
    set(config, "lanes=5");
    assert_int_equal(alv_config_settings(config)->shards, 4);
    assert_int_equal(alv_config_settings(config)->lanes, 5);
    size_t count;
    const alv_property *kafka = alv_config_kafka(config, &count);
    assert_int_equal(count, 1);
    assert_string_equal(kafka[0].value, "all");
    alv_config_free(config);
}

static void set__refuses_what_is_no_assignment(void **state)
{
    (void)state;
    check_set_refused("lanes", "-X lanes: must be key=value");
    check_set_refused("=3", "-X =3: must be key=value");
    check_set_refused("lane=3", "-X: unknown key 'lane': did you mean 'lanes'?");
    check_set_refused("lanes=x", "-X: lanes=x: must be a whole number from 1 to 64");
    check_set_refused("state.dir=\xff", "-X: not UTF-8 text: state.dir=?");
}

static void unknown__keys_are_refused_with_the_nearest(void **state)
{
    (void)state;
    check_apply_refused("shards=1\nlane=2", "f:2: unknown key 'lane': did you mean 'lanes'?");
    check_apply_refused("commit.interval.ms=2",
                        "f:1: unknown key 'commit.interval.ms': did you mean "
                        "'commit.interval.max.ms'?");
    check_apply_refused("bootstrap.server=x",
                        "f:1: unknown key 'bootstrap.server': did you mean 'bootstrap.servers'?");
    check_apply_refused("fetch.wait.max.ms=2",
                        "f:1: unknown key 'fetch.wait.max.ms' (settings of librdkafka are written "
                        "kafka.NAME)");
    check_apply_refused("kafka.=1", "f:1: unknown key 'kafka.' (settings of librdkafka are written "
                                    "kafka.NAME)");
    check_apply_refused("Lanes=1", "f:1: unknown key 'Lanes': did you mean 'lanes'?");
    check_apply_refused("sasl.jaas.config=1",
                        "f:1: unknown key 'sasl.jaas.config' (settings of librdkafka are written "
                        "kafka.NAME)");
}

static void values__that_do_not_fit_are_refused_with_their_bounds(void **state)
{
    (void)state;
    check_apply_refused("lanes=0", "f:1: lanes=0: must be a whole number from 1 to 64");
    check_apply_refused("lanes=65", "f:1: lanes=65: must be a whole number from 1 to 64");
    check_apply_refused("lanes=3x", "f:1: lanes=3x: must be a whole number from 1 to 64");
    check_apply_refused("lanes=+3", "f:1: lanes=+3: must be a whole number from 1 to 64");
    check_apply_refused("lanes=1.5", "f:1: lanes=1.5: must be a whole number from 1 to 64");
    check_apply_refused("shards=", "f:1: shards=: must be a whole number from 1 to 4096");
    check_apply_refused("shards=99999999999999999999",
                        "f:1: shards=99999999999999999999: must be a whole number from 1 to 4096");
    check_apply_refused("topics.replication.factor=0",
                        "f:1: topics.replication.factor=0: must be -1 or a whole number from 1 to "
                        "32767");
    check_apply_refused("topics.create=yes", "f:1: topics.create=yes: must be true or false");
    check_apply_refused("shutdown=go", "f:1: shutdown=go: must be leave or stay");
    check_apply_refused("shutdown=leave|stay", "f:1: shutdown=leave|stay: must be leave or stay");
    check_apply_refused("shutdown=", "f:1: shutdown=: must be leave or stay");
    check_apply_refused("on.command.gap=skip",
                        "f:1: on.command.gap=skip: must be stop or continue");
    check_apply_refused("http.auth=token", "f:1: http.auth=token: must be none");
    check_apply_refused("state.dir=", "f:1: state.dir=: must be a text that is not empty");
    check_apply_refused("bootstrap.servers=,",
                        "f:1: bootstrap.servers=,: must be a text that is not empty");
    static const char *const sizes[] = {"512MB",      "1",           "GiB",    "-1GiB",
                                        "9999999TiB", "16777217TiB", "1.5GiB", "2TiB"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char text[64];
        char message[256];
        (void)snprintf(text, sizeof text, "state.memory.bytes=%s", sizes[i]);
        (void)snprintf(
            message, sizeof message,
            "f:1: %s: must be a number of bytes, plain or like 512MiB, from 4MiB to 1TiB", text);
        check_apply_refused(text, message);
    }
}

static void later__features_are_refused_and_never_ignored(void **state)
{
    (void)state;
    check_apply_refused("changelog.coalesce=false", "f:1: changelog.coalesce=false: not yet "
                                                    "available; leave it out or write true");
    alv_config *config = alv_config_new();
    apply(config, "changelog.coalesce=true");
    finish(config);
    assert_true(alv_config_settings(config)->changelog_coalesce);
    alv_config_free(config);
}

static void names__hold_only_what_topics_and_ids_can(void **state)
{
    (void)state;
    check_finish_refused("application.id=my app", "f:1: application.id=my app: must be 1 to 100 "
                                                  "characters out of A-Z a-z 0-9 . _ -");
    check_finish_refused("lanes=1\nnode.id=a@b",
                         "f:2: node.id=a@b: must be 1 to 100 characters out "
                         "of A-Z a-z 0-9 . _ -");
    check_finish_refused("node.id=a/b", "f:1: node.id=a/b: must be 1 to 100 characters out of A-Z "
                                        "a-z 0-9 . _ -");
    check_finish_refused("postgres.schema=1x",
                         "f:1: postgres.schema=1x: must be 1 to 63 characters "
                         "out of a-z 0-9 _ and not begin with a digit");
    char text[128] = "node.id=";
    memset(text + strlen(text), 'n', 100);
    alv_config *config = alv_config_new();
    apply(config, text);
    finish(config);
    alv_config_free(config);
    text[strlen(text)] = 'n';
    alv_error err = ALV_ERROR_NONE;
    config = alv_config_new();
    apply(config, text);
    assert_int_equal(alv_config_finish(config, &err), ALV_REJECT);
    alv_config_free(config);
}

static void commit__interval_stays_clear_of_the_transaction_timeout(void **state)
{
    (void)state;
    check_apply_refused("commit.interval.max.ms=5001",
                        "f:1: commit.interval.max.ms=5001: must be a whole number from 1 to 5000");
    alv_config *config = alv_config_new();
    apply(config, "commit.interval.max.ms=5000");
    finish(config);
    assert_true(2 * alv_config_settings(config)->commit_interval_max_ms <=
                ALV_TRANSACTION_TIMEOUT_MS);
    alv_config_free(config);
}

static void commit__interval_has_its_bounds_in_order(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    apply(config, "application.id=a\ncommit.interval.max.ms=20\ncommit.interval.min.ms=20");
    finish(config);
    assert_int_equal(alv_config_settings(config)->commit_interval_min_ms, 20);
    alv_config_free(config);

    alv_error err = ALV_ERROR_NONE;
    config = alv_config_new();
    apply(config, "application.id=a\ncommit.interval.min.ms=51");
    assert_int_equal(alv_config_finish(config, &err), ALV_REJECT);
    assert_string_equal(err.text, "f:2: commit.interval.min.ms=51: must not be more than "
                                  "commit.interval.max.ms, which is 50");
    alv_config_free(config);
}

static void http__is_not_opened_to_others_by_accident(void **state)
{
    (void)state;
    check_finish_refused(
        "http.listen=0.0.0.0:8090",
        "f:1: http.listen=0.0.0.0:8090: others can reach this address: set http.tls.client.ca "
        "(with http.tls.cert and http.tls.key) or http.auth.token.file, or write "
        "http.auth=none to let everybody in");
    static const char *const open[] = {"10.0.0.5:80", "node1:80", "[fe80::1]:80", "127.1:80"};
    static const char *const local[] = {"127.0.0.1:80", "localhost:0", "[::1]:80", "127.8.8.8:80"};
    for (size_t i = 0; i < 4; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "http.listen=%s", open[i]);
        alv_config *config = alv_config_new();
        apply(config, text);
        assert_int_equal(alv_config_finish(config, NULL), ALV_REJECT);
        set(config, "http.auth=none");
        finish(config);
        assert_string_equal(alv_config_settings(config)->http_advertise, open[i]);
        alv_config_free(config);

        (void)snprintf(text, sizeof text, "http.listen=%s", local[i]);
        config = alv_config_new();
        apply(config, text);
        finish(config);
        alv_config_free(config);
    }
}

static void http__addresses_must_be_addresses(void **state)
{
    (void)state;
    check_finish_refused("http.listen=8090", "f:1: http.listen=8090: must be host:port, "
                                             "[IPv6 address]:port or none");
    check_finish_refused(
        "http.advertise=0.0.0.0:8090",
        "f:1: http.advertise=0.0.0.0:8090: must be host:port or [IPv6 address]:port "
        "that others can connect to");
    check_finish_refused("http.advertise=a/b:1",
                         "f:1: http.advertise=a/b:1: must be host:port or [IPv6 address]:port that "
                         "others can connect to");
    check_finish_refused(
        "http.advertise=host:0",
        "f:1: http.advertise=host:0: must be host:port or [IPv6 address]:port that "
        "others can connect to");
    check_finish_refused("http.listen=none\nhttp.advertise=host:1",
                         "f:2: http.advertise=host:1: has no meaning with http.listen=none");
}

static void kafka__settings_pass_through_in_order(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    apply(config, "kafka.b=1\nlanes=2\nkafka.a=2\nkafka.c=");
    apply(config, "kafka.b= 3 ");
    set(config, "kafka.d=x=y");
    size_t count;
    const alv_property *kafka = alv_config_kafka(config, &count);
    assert_int_equal(count, 4);
    assert_string_equal(kafka[0].key, "b");
    assert_string_equal(kafka[0].value, "3");
    assert_string_equal(kafka[1].key, "a");
    assert_string_equal(kafka[2].key, "c");
    assert_string_equal(kafka[2].value, "");
    assert_string_equal(kafka[3].value, "x=y");
    alv_config_free(config);
}

/* The printed form, NUL-terminated. */
static char *printed(const alv_config *config, bool json, alv_bytes *out)
{
    alv_config_print(config, json, out);
    alv_bytes_append(out, "", 1);
    return out->data;
}

static void print__names_the_origin_of_each_value(void **state)
{
    (void)state;
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_config *config = alv_config_new();
    apply(config, "\nshards=8\nstate.memory.bytes=1073741824\nkafka.debug=all\nstate.dir=a\\nb");
    set(config, "shards=16");
    set(config, "lanes=2");
    finish(config);
    const char *text = printed(config, false, &out);
    assert_non_null(strstr(text, "shards=16  # -X\n"));
    assert_non_null(strstr(text, "lanes=2  # -X\n"));
    assert_non_null(strstr(text, "state.memory.bytes=1GiB  # f:3\n"));
    assert_non_null(strstr(text, "kafka.debug=all  # f:4\n"));
    assert_non_null(strstr(text, "state.dir=a\\u000ab  # f:5\n"));
    assert_non_null(strstr(text, "application.id=alluvium  # default\n"));
    assert_non_null(strstr(text, "http.advertise=127.0.0.1:8090  # computed\n"));
    assert_non_null(strstr(text, "postgres.url=  # default\n"));
    alv_bytes_done(&out);
    alv_config_free(config);
}

static void check_url_shown(const char *url, const char *shown)
{
    char assignment[256];
    char line[256];
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_config *config = alv_config_new();
    (void)snprintf(assignment, sizeof assignment, "postgres.url=%s", url);
    (void)snprintf(line, sizeof line, "postgres.url=%s  # -X\n", shown);
    set(config, assignment);
    assert_string_equal(alv_config_settings(config)->postgres_url, url);
    if (strstr(printed(config, false, &out), line) == NULL)
        fail_msg("not shown as %s", shown);
    alv_bytes_done(&out);
    alv_config_free(config);
}

static void print__hides_passwords_of_postgres(void **state)
{
    (void)state;
    check_url_shown("postgresql://h:5432/d", "postgresql://h:5432/d");
    check_url_shown("postgresql://u@h/d", "postgresql://u@h/d");
    check_url_shown("postgresql://u:pw@h:5432/d", "postgresql://u:***@h:5432/d");
    check_url_shown("postgresql://u:p@w:x@h/d", "postgresql://u:***@h/d");
    check_url_shown("postgresql://u:p/w?z@h/d", "postgresql://u:***@h/d");
    check_url_shown("postgresql:///d?user=u&password=pw&sslmode=require",
                    "postgresql:///d?user=u&password=***&sslmode=require");
    check_url_shown("postgresql:///d?sslpassword=pw", "postgresql:///d?sslpassword=***");
    check_url_shown("host=h password=pw dbname=d", "host=h password=*** dbname=d");
    check_url_shown("PASSWORD = 'p w\\'x' dbname=d", "PASSWORD = *** dbname=d");
    check_url_shown("password='open", "password=***");
    check_url_shown("dbname=password user=u", "dbname=password user=u");
}

static void print__hides_secrets_of_kafka(void **state)
{
    (void)state;
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_config *config = alv_config_new();
    apply(config, "kafka.sasl.password=geheim\nkafka.ssl.key.pem=geheim\n"
                  "kafka.sasl.oauthbearer.client.secret=geheim\nkafka.sasl.username=u\n"
                  "kafka.sasl.oauthbearer.config=geheim\nkafka.ssl.keystore.password=geheim");
    const char *text = printed(config, false, &out);
    assert_null(strstr(text, "geheim"));
    assert_non_null(strstr(text, "kafka.sasl.password=***  # f:1\n"));
    assert_non_null(strstr(text, "kafka.sasl.username=u  # f:4\n"));
    alv_bytes_done(&out);
    assert_null(strstr(printed(config, true, &out), "geheim"));
    alv_bytes_done(&out);
    alv_config_free(config);
}

static const json_t *printed_value(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(json_object_get(object, key), "value");
    assert_non_null(value);
    return value;
}

static void print__writes_json_with_types(void **state)
{
    (void)state;
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_config *config = alv_config_new();
    set(config, "cache.memory.bytes=64MiB");
    set(config, "kafka.a=1");
    set(config, "postgres.url=postgresql://u:pw@h/d");
    finish(config);
    json_t *object = json_loads(printed(config, true, &out), 0, NULL);
    assert_non_null(object);
    assert_int_equal(json_integer_value(printed_value(object, "cache.memory.bytes")), 64 << 20);
    assert_true(json_is_true(printed_value(object, "topics.create")));
    assert_true(json_is_null(printed_value(object, "node.roles")));
    assert_string_equal(json_string_value(printed_value(object, "kafka.a")), "1");
    assert_string_equal(json_string_value(printed_value(object, "postgres.url")),
                        "postgresql://u:***@h/d");
    const json_t *lanes = json_object_get(object, "lanes");
    assert_string_equal(json_string_value(json_object_get(lanes, "origin")), "computed");
    json_decref(object);
    alv_bytes_done(&out);
    alv_config_free(config);
}

static void describe__has_a_row_for_each_key(void **state)
{
    (void)state;
    alv_bytes table = ALV_BYTES_EMPTY;
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_config *config = alv_config_new();
    alv_config_describe(&table);
    alv_bytes_append(&table, "", 1);
    char *line = strtok(printed(config, false, &out), "\n");
    for (; line != NULL; line = strtok(NULL, "\n")) {
        char row[128];
        *strchr(line, '=') = '\0';
        (void)snprintf(row, sizeof row, "\n| `%s` | ", line);
        if (strstr(table.data, row) == NULL)
            fail_msg("no row for %s", line);
    }
    assert_int_equal(strncmp(table.data, "| key | default | meaning |\n|---|---|---|\n", 41), 0);
    assert_non_null(strstr(table.data, "| `shards` | `32` | "));
    assert_non_null(strstr(table.data, "| `node.id` | host name | "));
    assert_non_null(strstr(table.data, "as it is at the end (not yet available) |"));
    assert_non_null(strstr(table.data, "| `kafka.*` | "));
    alv_bytes_done(&table);
    alv_bytes_done(&out);
    alv_config_free(config);
}

#define TOKEN "0123456789-abcdef"

static void http__a_token_or_client_certificates_open_other_addresses(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "http.listen=0.0.0.0:8090\nhttp.auth.token=" TOKEN,
        "http.listen=0.0.0.0:8090\nhttp.tls.cert=c\nhttp.tls.key=k\nhttp.tls.client.ca=a",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        alv_config *config = alv_config_new();
        apply(config, texts[i]);
        finish(config);
        alv_config_free(config);
    }
    /* A server's certificate says nothing about clients. */
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    apply(config, "http.listen=0.0.0.0:8090\nhttp.tls.cert=c\nhttp.tls.key=k");
    assert_int_equal(alv_config_finish(config, &err), ALV_REJECT);
    alv_config_free(config);
}

static void http__halves_of_settings_are_refused(void **state)
{
    (void)state;
    check_finish_refused("http.tls.cert=c", "f:1: http.tls.cert: needs http.tls.key as well");
    check_finish_refused("http.tls.key=k", "f:1: http.tls.key: needs http.tls.cert as well");
    check_finish_refused("http.tls.client.ca=a", "f:1: http.tls.client.ca: needs http.tls.cert "
                                                 "and http.tls.key as well");
    check_finish_refused("http.auth=none\nhttp.auth.token=" TOKEN,
                         "f:1: http.auth=none: contradicts http.auth.token and "
                         "http.tls.client.ca");
}

static void http__a_token_must_be_fit_for_a_header(void **state)
{
    (void)state;
    static const char *const tokens[] = {"short", "0123456789 abcdef", "0123456789abcde\xc3\xa9",
                                         "0123456789\"abcdef"};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "http.auth.token=%s", tokens[i]);
        check_finish_refused(text, "f:1: http.auth.token: must be 16 to 512 characters out of "
                                   "A-Z a-z 0-9 - . _ ~ + / =");
    }
}

static void http__a_second_token_needs_a_first_one(void **state)
{
    (void)state;
    check_finish_refused("http.auth.token.also=" TOKEN,
                         "f:1: http.auth.token.also: needs http.auth.token or "
                         "http.auth.token.file");
    check_finish_refused("http.auth.token.also=short\nhttp.auth.token=" TOKEN,
                         "f:1: http.auth.token.also: must be 16 to 512 characters out of "
                         "A-Z a-z 0-9 - . _ ~ + / =");
}

static void http__a_token_comes_from_a_file_and_is_never_shown(void **state)
{
    (void)state;
    char path[] = "/tmp/alluvium-test-token.XXXXXX";
    char text[256];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, TOKEN "\n", sizeof TOKEN), sizeof TOKEN);
    assert_int_equal(close(fd), 0);
    (void)snprintf(text, sizeof text, "http.auth.token.file=%s", path);
    alv_config *config = alv_config_new();
    apply(config, text);
    finish(config);
    finish(config); /* a second time, as a node does when its address is known */
    assert_string_equal(alv_config_settings(config)->http_auth_token, TOKEN);
    alv_bytes shown = ALV_BYTES_EMPTY;
    alv_config_print(config, false, &shown);
    alv_config_print(config, true, &shown);
    alv_bytes_append(&shown, "", 1);
    assert_null(strstr(shown.data, TOKEN));
    assert_non_null(strstr(shown.data, "http.auth.token=***  # computed"));
    assert_non_null(strstr(shown.data, path));
    alv_bytes_done(&shown);
    alv_config_free(config);
    assert_int_equal(unlink(path), 0);
    char message[256];
    (void)snprintf(message, sizeof message,
                   "f:1: http.auth.token.file=%s: No such file or directory", path);
    check_finish_refused(text, message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults__are_those_of_the_manual),
        cmocka_unit_test(finish__computes_what_depends_on_the_machine),
        cmocka_unit_test(finish__leaves_advertise_to_the_node),
        cmocka_unit_test(apply__reads_values_of_each_type),
        cmocka_unit_test(apply__takes_plain_bytes),
        cmocka_unit_test(apply__takes_an_empty_value_for_not_set),
        cmocka_unit_test(apply__later_files_win),
        cmocka_unit_test(set__wins_over_files_in_any_order),
        cmocka_unit_test(set__refuses_what_is_no_assignment),
        cmocka_unit_test(unknown__keys_are_refused_with_the_nearest),
        cmocka_unit_test(values__that_do_not_fit_are_refused_with_their_bounds),
        cmocka_unit_test(later__features_are_refused_and_never_ignored),
        cmocka_unit_test(names__hold_only_what_topics_and_ids_can),
        cmocka_unit_test(commit__interval_stays_clear_of_the_transaction_timeout),
        cmocka_unit_test(commit__interval_has_its_bounds_in_order),
        cmocka_unit_test(http__is_not_opened_to_others_by_accident),
        cmocka_unit_test(http__addresses_must_be_addresses),
        cmocka_unit_test(kafka__settings_pass_through_in_order),
        cmocka_unit_test(print__names_the_origin_of_each_value),
        cmocka_unit_test(print__hides_passwords_of_postgres),
        cmocka_unit_test(print__hides_secrets_of_kafka),
        cmocka_unit_test(print__writes_json_with_types),
        cmocka_unit_test(describe__has_a_row_for_each_key),
        cmocka_unit_test(http__a_token_or_client_certificates_open_other_addresses),
        cmocka_unit_test(http__halves_of_settings_are_refused),
        cmocka_unit_test(http__a_token_must_be_fit_for_a_header),
        cmocka_unit_test(http__a_second_token_needs_a_first_one),
        cmocka_unit_test(http__a_token_comes_from_a_file_and_is_never_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
