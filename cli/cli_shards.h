/* cli_shards.h — a choice of shards on the command line: "3", "0,4-7".
 *
 * Thread: main.
 */
#ifndef ALV_CLI_CLI_SHARDS_H
#define ALV_CLI_CLI_SHARDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

typedef struct alv_cli_shards {
    bool chosen[ALV_SHARDS_MAX];
    bool some; /* false = no choice was made: all of them */
} alv_cli_shards;

/* Adds what `text` names. False when it is no such list. */
bool alv_cli_shards_add(alv_cli_shards *shards, const char *text);

bool alv_cli_shards_has(const alv_cli_shards *shards, int32_t shard);

/* The largest that was named; -1 when no choice was made. */
int32_t alv_cli_shards_last(const alv_cli_shards *shards);

#endif
