/* cli_version.c — `alluvium version`: what this program is and what it runs on. */
#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/cli_common.h"
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

int alv_cli_version_run(int argc, char **argv)
{
    alv_cli_options options = {0};
    alv_cli_parse(&version_argp, argc, argv, &options);
    if (options.json) {
        printf("{\"alluvium\":\"%s\",\"librdkafka\":\"%s\",\"jansson\":\"%s\"}\n", ALV_VERSION,
               alv_kafka_library_version(), jansson_version_str());
    } else {
        printf("alluvium %s\nlibrdkafka %s\njansson %s\n", ALV_VERSION, alv_kafka_library_version(),
               jansson_version_str());
    }
    int status = alv_cli_finish(&options, ALV_EXIT_DONE);
    alv_cli_options_done(&options);
    return status;
}
