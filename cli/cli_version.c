/* cli_version.c — `alluvium version`: what this program is and what it runs on. */
#include <jansson.h>
#include <stdio.h>

#include "api/http_security.h"
#include "changelog/durable_store.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "statestore/store.h"
#include "topics/kafka.h"

static error_t version_parse(int key, char *argument, struct argp_state *state)
{
    (void)argument;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = state->input;
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp version_argp = {
    .parser = version_parse,
    .doc = "Prints the versions of alluvium and of the libraries it runs on.",
    .children = alv_cli_argp_children,
};

/* As they are at run time, where the library can tell. */
static json_t *version_all(void)
{
    alv_http_versions http;
    alv_http_versions_get(&http);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "alluvium", ALV_VERSION,
                     "librdkafka", alv_kafka_library_version(), "rocksdb",
                     alv_store_rocksdb_version(), "jansson", jansson_version_str(), "libpq",
                     alv_durable_postgres_version(), "libmicrohttpd", http.server, "libcurl",
                     http.client, "gnutls", http.tls, "compiler", __VERSION__);
}

static void version_print(json_t *versions)
{
    const char *name;
    json_t *version;
    json_object_foreach(versions, name, version)
    {
        printf("%-14s%s\n", name, json_string_value(version));
    }
}

int alv_cli_version_run(int argc, char **argv)
{
    alv_cli_options options = {0};
    alv_cli_parse(&version_argp, argc, argv, &options);
    json_t *versions = version_all();
    if (options.json) {
        json_dumpf(versions, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        version_print(versions);
    }
    json_decref(versions);
    int status = alv_cli_finish(&options, ALV_EXIT_DONE);
    alv_cli_options_done(&options);
    return status;
}
