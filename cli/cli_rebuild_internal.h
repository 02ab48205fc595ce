/* cli_rebuild_internal.h — what the parts of `alluvium rebuild` share: cli_rebuild.c has the options and the
 * order of things, cli_rebuild_plan.c looks at what there is and decides, cli_rebuild_print.c says it,
 * cli_rebuild_rows.c writes PostgreSQL's rows into the changelog.
 *
 * Thread: main.
 */
#ifndef ALV_CLI_CLI_REBUILD_INTERNAL_H
#define ALV_CLI_CLI_REBUILD_INTERNAL_H

#include "changelog/durable_rows.h"
#include "cli/cli_common.h"
#include "topics/kafka.h"

typedef enum rebuild_source {
    REBUILD_FROM_NOTHING, /* not said yet */
    REBUILD_FROM_POSTGRES,
    REBUILD_FROM_COMMANDS,
} rebuild_source;

typedef struct rebuild_options {
    alv_cli_options common;
    rebuild_source from;
    bool dry_run;
    bool yes;
    bool wipe;          /* what changelog and ledger hold may go */
    bool accept_gap;    /* commands that are no longer there */
    bool accept_loss;   /* rows without a state, changes behind the checkpoint */
    bool commands_end;  /* go on at the end of the commands, whatever was consumed */
    bool commands_from; /* --commands-from was given */
} rebuild_options;

/* Offsets: ends are exclusive, ALV_OFFSET_NONE = not known. */
typedef struct rebuild_shard {
    int64_t commands_start;
    int64_t commands_end;
    int64_t committed;      /* by the group */
    int64_t ledger_command; /* next one, as the ledger's position record says */
    int64_t changelog_end;
    int64_t changelog_records;
    int64_t ledger_records; /* both: an upper bound, offsets have gaps */
    int64_t next_command;   /* where the shard is to go on; NONE = it was never started */
    alv_durable_shard rows; /* what PostgreSQL has of it */
} rebuild_shard;

typedef struct rebuild_plan {
    const rebuild_options *options;
    const alv_config *config;
    const alv_settings *settings;
    alv_topic_info topics[ALV_TOPICS_MAX];
    alv_log_port *log;
    alv_reader *reader;
    alv_durable_store *durable; /* NULL = PostgreSQL is not configured */
    rebuild_shard *shards;
    int32_t shard_count;
    bool state_is_there; /* in state.dir; it has to go first */
    uint64_t written;    /* rows that are in the changelog now */
} rebuild_plan;

/* Looks at everything and decides; changes nothing. ALV_REJECT: it must not be done, `err` says why and what
 * helps. ALV_RETRY: something is away. */
alv_status alv_cli_rebuild_plan(rebuild_plan *plan, alv_error *err);

/* Sums over all shards. */
int64_t alv_cli_rebuild_rows(const rebuild_plan *plan);
int64_t alv_cli_rebuild_rows_without_state(const rebuild_plan *plan);
int64_t alv_cli_rebuild_replays(
    const rebuild_plan *plan); /* commands that will run again, or for the
                                                               first time */
int64_t alv_cli_rebuild_records(const rebuild_plan *plan); /* in changelog and ledger */

void alv_cli_rebuild_print(const rebuild_plan *plan);
void alv_cli_rebuild_print_json(const rebuild_plan *plan, bool done);

/* Writes the rows of all shards into the changelog, which is empty, and where to go on into the ledger; then
 * gives the rows their new offsets. ALV_RETRY, ALV_REJECT, ALV_FENCED. */
alv_status alv_cli_rebuild_write_rows(rebuild_plan *plan, alv_error *err);

#endif
