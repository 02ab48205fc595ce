/* cli_send_internal.h — what cli_send.c (through Kafka) and cli_send_wait.c (over HTTP, with replies) share. */
#ifndef ALV_CLI_CLI_SEND_INTERNAL_H
#define ALV_CLI_CLI_SEND_INTERNAL_H

#include <stdio.h>

#include "base/limits.h"
#include "cli/cli_common.h"
#include "topics/record.h"

#define ALV_CLI_LINE_BYTES_MAX (2 * 1024 * 1024) /* more than any stock broker takes */

typedef struct send_options {
    alv_cli_options common;
    const char *key; /* NULL = lines from stdin */
    const char *value;
    const char *node; /* --wait: the node to ask; NULL = the configured one */
    bool wait;
    bool raw;
    bool verbose;
    alv_header headers[ALV_HEADERS_MAX];
    size_t header_count;
} send_options;

/* Refuses what cannot be a command. */
alv_status alv_cli_send_check(alv_view key, alv_view value, alv_error *err);

/* Reads up to the next newline; false at the end of the input. A line that is too long is refused by split. */
bool alv_cli_send_read_line(FILE *in, alv_bytes *line);

/* KEY<TAB>JSON; an empty line gives an absent key. */
alv_status alv_cli_send_split(alv_view line, alv_view *out_key, alv_view *out_value,
                              alv_error *err);

/* How much of a file that is read by line is behind us; negative when the size is unknown. */
double alv_cli_send_fraction(uint64_t bytes_read);

/* `send --wait`. The exit status. */
int alv_cli_send_wait(const send_options *options, const alv_config *config);

#endif
