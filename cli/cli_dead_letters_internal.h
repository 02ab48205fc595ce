/* cli_dead_letters_internal.h — what the files of `alluvium dead-letters` share: cli_dead_letters.c (options, list,
 * show), cli_dead_letters_read.c (from the topic to rows), cli_dead_letters_retry.c.
 *
 * A dead letter is named by its place in the topic, SHARD/OFFSET. One that was retried is followed, in the same
 * shard, by a record without a value whose header alluvium-retried has its offset: it was written in one
 * transaction with the command, so a retry cannot happen half, nor twice without being seen.
 */
#ifndef ALV_CLI_CLI_DEAD_LETTERS_INTERNAL_H
#define ALV_CLI_CLI_DEAD_LETTERS_INTERNAL_H

#include "cli/cli_common.h"
#include "cli/cli_progress.h"
#include "cli/cli_shards.h"
#include "processor/letter_view.h"
#include "topics/kafka.h"

#define ALV_CLI_LETTERS_MAX 100000 /* rows in memory; a retry of more is done in several runs */

typedef alv_letter_view letter_row;

typedef struct letter_rows {
    letter_row *items; /* by shard and offset */
    size_t count;
    size_t capacity;
    bool more; /* than were asked for */
} letter_rows;

typedef struct letter_options {
    alv_cli_options common;
    alv_cli_shards shards;
    const char *verb;
    const char *reason; /* NULL = every */
    const char *key;
    int64_t limit;
    bool all;
    bool again;
    const char **ids;
    size_t id_count;

    /* `alluvium quarantine release KEY --retry`, not on the command line: a retry of what made `key` fail and what
     * waits, whose commands have offsets from `origin_min` on, with the release in front of it in the same
     * transaction; `is_late`: of what waited too late to be among them. Says nothing when it went well. */
    bool releases;
    bool is_late;
    int64_t origin_min;
} letter_options;

/* An open log with what is asked of it. */
typedef struct letter_run {
    const letter_options *options;
    const alv_config *config;
    alv_log_port *log;
    alv_reader *reader;
    int32_t shard_count;
    alv_cli_progress progress;
} letter_run;

/* cli_dead_letters_read.c */

/* "3/17". False when it is no such name. */
bool alv_cli_letter_parse(const char *id, int32_t *out_shard, int64_t *out_offset);

/* Appends the rows that the options choose, up to `limit` per shard: the newest ones, or the oldest. */
alv_status alv_cli_letters_load(letter_run *run, bool newest, size_t limit, letter_rows *out,
                                alv_error *err);
void alv_cli_letters_done(letter_rows *rows);

/* Visits what is committed of a shard's dead letters from `start` (-1 = the first) on. */
alv_status alv_cli_letters_visit(letter_run *run, int32_t shard, int64_t start,
                                 void (*visit)(void *payload, const alv_record *record),
                                 void *payload, alv_error *err);

/* cli_dead_letters_retry.c: the exit status. `out_retried`: how many were put back. */
int alv_cli_letters_retry(letter_run *run, uint64_t *out_retried);

/* cli_dead_letters.c: does what the options say; the exit status. */
int alv_cli_letters_run(const letter_options *options, alv_config *config, uint64_t *out_retried);

#endif
