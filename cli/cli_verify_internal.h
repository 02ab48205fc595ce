/* cli_verify_internal.h — what the parts of `alluvium verify` share: cli_verify.c has the options and goes
 * through the shards, cli_verify_shard.c compares one, cli_verify_print.c says what was found.
 *
 * Thread: main.
 */
#ifndef ALV_CLI_CLI_VERIFY_INTERNAL_H
#define ALV_CLI_CLI_VERIFY_INTERNAL_H

#include "changelog/durable_store.h"
#include "changelog/verifier.h"
#include "cli/cli_common.h"
#include "cli/cli_progress.h"
#include "cli/cli_shards.h"
#include "cli/cli_state.h"
#include "topics/log_port.h"

/* What could be done with a side of a shard. */
typedef enum verify_outcome {
    VERIFY_NONE,     /* there is nothing of it */
    VERIFY_IN_USE,   /* a node has the store and gives no checkpoint of it */
    VERIFY_COMPARED, /* up to its own position */
    VERIFY_OLD,      /* the store is so old that a node restores it: nothing to be learnt */
    VERIFY_AHEAD,    /* its position lies behind the changelog's end: that is a difference */
    VERIFY_CORRUPT,  /* the store cannot be read: a node restores it */
} verify_outcome;

/* What was found of one side of one shard. */
typedef struct verify_side_result {
    verify_outcome outcome;
    int64_t position; /* when it has one */
    alv_verify_tally tally;
} verify_side_result;

typedef struct verify_shard_result {
    int32_t shard;
    int64_t entities;
    int64_t start; /* of the changelog */
    int64_t end;
    verify_side_result sides[ALV_VERIFY_SIDES];
} verify_shard_result;

/* What the comparison needs. */
typedef struct verify_sources {
    const alv_settings *settings;
    alv_reader *reader;
    alv_cli_state state;
    bool store_in_use;          /* by a node that could not be asked */
    alv_durable_store *durable; /* NULL = PostgreSQL is not configured */
    alv_cli_progress progress;
    uint64_t records; /* read so far */
    double fraction;  /* of the shards that are done */
} verify_sources;

/* Compares a shard, a second time when the first found differences (see verifier.h), and fills `out`. The
 * caller frees *out_verifier, which has the differences. */
alv_status alv_cli_verify_shard(verify_sources *sources, int32_t shard, verify_shard_result *out,
                                alv_verifier **out_verifier, alv_error *err);

/* Differences of a side of a shard, one for being ahead included. */
int64_t alv_cli_verify_count(const verify_side_result *side);

/* What is remembered of a difference when its verifier is gone. */
typedef struct verify_finding {
    char *key; /* for people: what is not UTF-8 is replaced */
    int32_t shard;
    alv_verify_difference difference; /* without its key */
} verify_finding;

typedef struct verify_report {
    verify_shard_result *shards;
    size_t shard_count;
    verify_finding *findings; /* the first of them */
    size_t finding_count;
    size_t finding_limit;
} verify_report;

int64_t alv_cli_verify_differences(const verify_report *report);

/* Whether any side of any shard was compared. */
bool alv_cli_verify_compared(const verify_report *report);

void alv_cli_verify_print(const verify_report *report);
void alv_cli_verify_print_json(const verify_report *report);

#endif
