/* cli_dead_letters_retry.c — puts commands back into the command topic, each once.
 *
 * The producer comes first: whoever else is retrying is fenced by it and commits nothing from then on. Then
 * the topic is read, so that all earlier retries are seen, and the commands are written together with their
 * marks, a transaction per some hundred.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/cli_dead_letters_internal.h"
#include "processor/reply_box.h"

#define RETRY_BATCH 500
#define RETRY_RELEASE_BATCH 20000 /* together with a release: so many in its transaction */
#define RETRY_OWNER "dead-letters"

typedef struct letter_retry {
    letter_run *run;
    alv_producer *producer;
    const letter_rows *rows;
    size_t next;  /* row that comes next in the shard that is being read */
    bool is_open; /* a transaction is */
    size_t in_transaction;
    uint64_t retried;
    uint64_t refused;
    alv_status status; /* of the first failure */
    alv_error err;
} letter_retry;

/* ---- which ----------------------------------------------------------------------------------- */

/* Why a letter is not put back; NULL when it is. */
static const char *retry_refusal(const letter_retry *retry, const letter_row *row)
{
    if (row->answered) {
        return "the entity that emitted it was told that it failed, and may have undone its part";
    }
    if (!row->has_key) {
        return "it has no key, so nobody would execute it";
    }
    if (row->retried_at_ms != 0 && !retry->run->options->again) {
        return "it was retried before; --again does it once more";
    }
    return NULL;
}

static void retry_refuse(letter_retry *retry, const letter_row *row, const char *why)
{
    /* With --all, what was retried is not news. */
    if (retry->run->options->id_count > 0) {
        retry->refused++;
        (void)alv_cli_fail(&retry->run->options->common, ALV_EXIT_FAILED, NULL,
                           "%" PRId32 "/%" PRId64 ": %s", row->shard, row->offset, why);
    }
}

/* ---- one command ----------------------------------------------------------------------------- */

/* Headers that a dead letter has and a command has not. Who waited for the reply over HTTP has gone. */
static bool retry_drops(const alv_header *header, bool node_waited)
{
    static const char *const names[] = {
        ALV_HEADER_REASON,    ALV_HEADER_DETAIL, ALV_HEADER_ACTION,    ALV_HEADER_TOPIC,
        ALV_HEADER_PARTITION, ALV_HEADER_OFFSET, ALV_HEADER_TIMESTAMP, ALV_HEADER_RETRY_OF,
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(header->name, names[i]) == 0) {
            return true;
        }
    }
    return node_waited && (strcmp(header->name, ALV_HEADER_REPLY_TO) == 0 ||
                           strcmp(header->name, ALV_HEADER_CORRELATION_ID) == 0);
}

static alv_status retry_produce_command(letter_retry *retry, const alv_record *record,
                                        const char *id)
{
    letter_run *run = retry->run;
    alv_header headers[ALV_HEADERS_MAX + 16];
    size_t capacity = sizeof headers / sizeof headers[0];
    size_t count = run->log->ops->headers(record, headers, capacity - 1);
    count = count < capacity - 1 ? count : capacity - 1;
    bool node_waited = alv_view_starts_with(
        alv_letter_header(run->log, record, ALV_HEADER_REPLY_TO), ALV_VIEW(ALV_REPLY_TO_NODE));
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!retry_drops(&headers[i], node_waited)) {
            headers[kept++] = headers[i];
        }
    }
    headers[kept++] = (alv_header){ALV_HEADER_RETRY_OF, alv_view_of(id)};
    const alv_produce command = {.topic = ALV_TOPIC_COMMANDS,
                                 .shard = -1,
                                 .key = record->key,
                                 .value = record->value,
                                 .headers = headers,
                                 .header_count = kept};
    return retry->producer->ops->produce(retry->producer, &command, &retry->err);
}

static alv_status retry_produce_mark(letter_retry *retry, const alv_record *record)
{
    char offset[24];
    (void)snprintf(offset, sizeof offset, "%" PRId64, record->offset);
    const alv_header header = {ALV_HEADER_RETRIED, alv_view_of(offset)};
    const alv_produce mark = {.topic = ALV_TOPIC_DEAD_LETTERS,
                              .shard = record->shard,
                              .key = record->key,
                              .value = ALV_VIEW_NONE,
                              .headers = &header,
                              .header_count = 1};
    return retry->producer->ops->produce(retry->producer, &mark, &retry->err);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static alv_status retry_commit(letter_retry *retry)
{
    if (!retry->is_open) {
        return ALV_OK;
    }
    alv_producer *producer = retry->producer;
    alv_status status = producer->ops->flush(producer, &retry->err);
    if (status == ALV_OK && producer->ops->commit(producer, NULL, NULL, 0, RETRY_OWNER,
                                                  &retry->err) != ALV_COMMIT_DONE) {
        status = retry->err.status != ALV_OK ? retry->err.status : ALV_RETRY;
    }
    if (status == ALV_OK) {
        retry->retried += retry->in_transaction;
        retry->in_transaction = 0;
        retry->is_open = false;
    }
    return status;
}

static alv_status retry_begin(letter_retry *retry)
{
    alv_status status =
        retry->is_open ? ALV_OK : retry->producer->ops->begin(retry->producer, &retry->err);
    retry->is_open = status == ALV_OK;
    return status;
}

/* In front of the commands that it lets through. */
static alv_status retry_release(letter_retry *retry)
{
    const letter_options *options = retry->run->options;
    if (!options->releases || options->is_late) {
        return ALV_OK;
    }
    const alv_header header = {ALV_HEADER_RELEASE, ALV_VIEW("1")};
    const alv_produce release = {.topic = ALV_TOPIC_COMMANDS,
                                 .shard = -1,
                                 .key = alv_view_of(options->key),
                                 .value = ALV_VIEW_NONE,
                                 .headers = &header,
                                 .header_count = 1};
    alv_status status = retry_begin(retry);
    return status == ALV_OK ? retry->producer->ops->produce(retry->producer, &release, &retry->err)
                            : status;
}

static alv_status retry_one(letter_retry *retry, const alv_record *record)
{
    char id[48];
    (void)snprintf(id, sizeof id, "%" PRId32 "/%" PRId64, record->shard, record->offset);
    size_t batch = retry->run->options->releases ? RETRY_RELEASE_BATCH : RETRY_BATCH;
    alv_status status = retry_begin(retry);
    if (status == ALV_OK) {
        retry->in_transaction++;
        status = retry_produce_command(retry, record, id);
    }
    if (status == ALV_OK) {
        status = retry_produce_mark(retry, record);
    }
    if (status == ALV_OK && retry->in_transaction == batch) {
        status = retry_commit(retry);
    }
    alv_cli_progress_update(&retry->run->progress, retry->retried,
                            (double)retry->next / (double)retry->rows->count);
    return status;
}

/* Rows and records come in the same order. */
static void retry_visit(void *payload, const alv_record *record)
{
    letter_retry *retry = payload;
    const letter_rows *rows = retry->rows;
    if (retry->status != ALV_OK || retry->next == rows->count ||
        rows->items[retry->next].shard != record->shard ||
        rows->items[retry->next].offset != record->offset) {
        return;
    }
    const letter_row *row = &rows->items[retry->next++];
    const char *why = retry_refusal(retry, row);
    if (why != NULL) {
        retry_refuse(retry, row, why);
    } else {
        retry->status = retry_one(retry, record);
    }
}

static void retry_rows(letter_retry *retry)
{
    while (retry->status == ALV_OK && retry->next < retry->rows->count) {
        const letter_row *row = &retry->rows->items[retry->next];
        size_t before = retry->next;
        retry->status = alv_cli_letters_visit(retry->run, row->shard, row->offset, retry_visit,
                                              retry, &retry->err);
        if (retry->next == before) {
            retry->next++; /* retention took it meanwhile */
        }
    }
    if (retry->status == ALV_OK) {
        retry->status = retry_commit(retry);
    }
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int retry_report(letter_retry *retry)
{
    const letter_options *options = retry->run->options;
    alv_cli_progress_done(&retry->run->progress);
    if (retry->status != ALV_OK) {
        (void)alv_cli_fail_error(&options->common, &retry->err,
                                 "what was committed is marked: run it again for the rest");
    }
    size_t missing =
        options->id_count > retry->rows->count ? options->id_count - retry->rows->count : 0;
    if (missing > 0) {
        (void)alv_cli_fail(&options->common, ALV_EXIT_FAILED,
                           "`alluvium dead-letters list` shows them",
                           "%zu of these are no dead letters", missing);
    }
    if (options->releases) {
        /* whoever released tells */
    } else if (options->common.json) {
        printf("{\"retried\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"more\":%s}\n", retry->retried,
               retry->refused, retry->rows->more ? "true" : "false");
    } else {
        printf("%" PRIu64 " put back%s\n", retry->retried,
               retry->rows->more ? "; there are more: run it again" : "");
    }
    return retry->status == ALV_OK && retry->refused == 0 && missing == 0 ? ALV_EXIT_DONE
                                                                          : ALV_EXIT_FAILED;
}

int alv_cli_letters_retry(letter_run *run, uint64_t *out_retried)
{
    letter_rows rows = {.items = NULL};
    letter_retry retry = {.run = run, .rows = &rows};
    retry.status = run->log->ops->open_producer(run->log, 0, &retry.producer, &retry.err);
    if (retry.status == ALV_OK) {
        retry.status = alv_cli_letters_load(run, false, ALV_CLI_LETTERS_MAX, &rows, &retry.err);
        if (retry.status == ALV_OK) {
            retry.status = retry_release(&retry);
        }
        if (retry.status == ALV_OK) {
            retry_rows(&retry);
        }
        retry.producer->ops->close(retry.producer);
    }
    int status = retry_report(&retry);
    *out_retried = retry.retried;
    alv_cli_letters_done(&rows);
    return status;
}
