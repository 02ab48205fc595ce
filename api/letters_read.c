/* letters_read.c — from the topic of dead letters to the newest of them.
 *
 * Kafka is read forwards only, so each shard is read from a little before its end: enough for so many letters,
 * the marks of those that were retried, and the control records between them. Only the newest of all shards
 * are kept.
 */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "api/http_limits.h"
#include "api/letters_internal.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "include/alluvium/behavior.h"
#include "processor/letter_view.h"
#include "processor/text.h"

/* Records of a shard that are read for `limit` letters: each comes with a control record, and perhaps with a mark
 * and its control record. With a choice among them more are looked at. */
#define READ_RECORDS_PER_LETTER 4
#define READ_RECORDS_FILTERED 10000

/* With after=: how far from the end it may be, because marks come later than letters. */
#define READ_RECORDS_MAX 100000

#define READ_POLL_MS 100
#define READ_ENDS_MS 3000
#define READ_MAX_US (INT64_C(8) * 1000 * 1000)
#define READ_HEADERS_SHOWN 16
#define READ_HEADER_BYTES 256

typedef struct letters_read {
    const alv_letters_options *options;
    alv_reader *reader;
    const letters_query *query;
    const alv_inbox *inbox; /* closed: stop */
    alv_shard_offset *ends; /* exclusive, by shard; 0 = not read */
    alv_letter_view *rows;  /* newest first */
    json_t **headers;       /* of each */
    size_t count;
    bool more;
} letters_read;

/* ---- rows ------------------------------------------------------------------------------------ */

static bool read_is_newer(const alv_letter_view *row, const alv_letter_view *than)
{
    if (row->at_ms != than->at_ms) {
        return row->at_ms > than->at_ms;
    }
    return row->shard != than->shard ? row->shard < than->shard : row->offset > than->offset;
}

static bool read_is_chosen(const letters_query *query, const alv_letter_view *row)
{
    return row->offset < query->before &&
           (query->reason.size == 0 ||
            alv_view_equal(alv_bytes_view(&query->reason), alv_view_of(row->reason))) &&
           (query->key.size == 0 ||
            alv_view_equal(alv_bytes_view(&query->key), alv_view_of(row->key)));
}

/* Those that the command came with, as far as they are text. */
static json_t *read_headers(const letters_read *read, const alv_record *record)
{
    alv_header headers[ALV_HEADERS_MAX];
    size_t count = read->options->log->ops->headers(record, headers, ALV_HEADERS_MAX);
    json_t *object = json_object();
    for (size_t i = 0; i < count && i < ALV_HEADERS_MAX; i++) {
        char text[READ_HEADER_BYTES];
        if (strncmp(headers[i].name, "alluvium-", 9) == 0 ||
            json_object_size(object) == READ_HEADERS_SHOWN) {
            continue;
        }
        (void)alv_text_copy(headers[i].value.data != NULL ? headers[i].value : ALV_VIEW(""), text,
                            sizeof text);
        (void)json_object_set_new(object, headers[i].name,
                                  json_string(text)); /* a name that is text */
    }
    return object;
}

static void read_drop_last(letters_read *read)
{
    read->count--;
    alv_letter_view_done(&read->rows[read->count]);
    json_decref(read->headers[read->count]);
    read->more = true;
}

/* Takes the row. */
static void read_insert(letters_read *read, alv_letter_view *row, const alv_record *record)
{
    size_t limit = read->query->limit;
    if (read->count == limit && !read_is_newer(row, &read->rows[limit - 1])) {
        alv_letter_view_done(row);
        read->more = true;
        return;
    }
    if (read->count == limit) {
        read_drop_last(read);
    }
    size_t at = read->count++;
    for (; at > 0 && read_is_newer(row, &read->rows[at - 1]); at--) {
        read->rows[at] = read->rows[at - 1];
        read->headers[at] = read->headers[at - 1];
    }
    read->rows[at] = *row;
    read->headers[at] = read_headers(read, record);
}

static void read_take(letters_read *read, const alv_record *record)
{
    const alv_log_port *log = read->options->log;
    int64_t retried = 0;
    if (alv_letter_is_mark(log, record, &retried)) {
        for (size_t i = 0; i < read->count; i++) {
            if (read->rows[i].shard == record->shard && read->rows[i].offset == retried) {
                read->rows[i].retried_at_ms = record->timestamp_ms;
            }
        }
        return;
    }
    alv_letter_view row = alv_letter_view_of(log, record);
    if (read_is_chosen(read->query, &row)) {
        read_insert(read, &row, record);
    } else {
        alv_letter_view_done(&row);
    }
}

/* ---- the topic ------------------------------------------------------------------------------- */

static int64_t read_window(const letters_query *query)
{
    bool filtered = query->reason.size > 0 || query->key.size > 0;
    int64_t window = READ_RECORDS_PER_LETTER * ((int64_t)query->limit + 16);
    return filtered && window < READ_RECORDS_FILTERED ? READ_RECORDS_FILTERED : window;
}

/* Adds a shard to what is read. */
static alv_status read_assign(letters_read *read, alv_shard_offset *end, alv_error *err)
{
    const letters_query *query = read->query;
    int64_t start = 0;
    int64_t high = 0;
    alv_status status = read->reader->ops->range(read->reader, ALV_TOPIC_DEAD_LETTERS, end->shard,
                                                 &start, &high, err);
    if (status != ALV_OK) {
        return status;
    }
    int64_t upper = query->before < end->offset ? query->before : end->offset;
    int64_t from = upper - read_window(query) > start ? upper - read_window(query) : start;
    read->more = read->more || from > start;
    if (end->offset - from > READ_RECORDS_MAX) {
        return alv_fail(err, ALV_REJECT,
                        "offset %" PRId64 " is more than %d records back: `alluvium dead-letters "
                        "list` reads the whole topic",
                        query->before, READ_RECORDS_MAX);
    }
    if (from >= end->offset) {
        end->offset = 0;
        return ALV_OK;
    }
    return read->reader->ops->assign(read->reader, ALV_TOPIC_DEAD_LETTERS, end->shard, from, err);
}

/* What is committed, and where it ends. */
static alv_status read_begin(letters_read *read, alv_error *err)
{
    int32_t count = read->options->shard_count;
    for (int32_t shard = 0; shard < count; shard++) {
        read->ends[shard] = (alv_shard_offset){.shard = shard};
    }
    int32_t one = read->query->shard;
    alv_status status = read->reader->ops->ends(read->reader, ALV_TOPIC_DEAD_LETTERS,
                                                one < 0 ? read->ends : &read->ends[one],
                                                one < 0 ? (size_t)count : 1, READ_ENDS_MS, err);
    for (int32_t shard = 0; status == ALV_OK && shard < count; shard++) {
        if (read->ends[shard].offset > 0) {
            status = read_assign(read, &read->ends[shard], err);
        }
    }
    return status;
}

static bool read_is_done(const letters_read *read)
{
    for (int32_t shard = 0; shard < read->options->shard_count; shard++) {
        int64_t end = read->ends[shard].offset;
        if (end > 0 &&
            read->reader->ops->position(read->reader, ALV_TOPIC_DEAD_LETTERS, shard) < end) {
            return false;
        }
    }
    return true;
}

static alv_status read_all(letters_read *read, alv_batch *batch, alv_error *err)
{
    const alv_clock *clock = read->options->clock;
    int64_t deadline_us = alv_monotonic_us(clock) + READ_MAX_US;
    while (!read_is_done(read)) {
        alv_error why = ALV_ERROR_NONE;
        alv_status status = read->reader->ops->poll(read->reader, READ_POLL_MS, batch, &why);
        if (status != ALV_OK && status != ALV_RETRY) {
            return alv_fail_from(err, ALV_RETRY, why.source, why.code, "%s", why.text);
        }
        for (size_t i = 0; i < batch->count; i++) {
            const alv_record *record = &batch->records[i];
            if (record->offset < read->ends[record->shard].offset) {
                read_take(read, record);
            }
        }
        if (alv_monotonic_us(clock) > deadline_us || alv_inbox_is_closed(read->inbox)) {
            return alv_fail(err, ALV_RETRY, "the dead letters could not be read in time: %s",
                            why.status != ALV_OK ? why.text : "there is too much to read");
        }
    }
    return ALV_OK;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static json_t *read_time(int64_t at_ms)
{
    char text[ALV_TIMESTAMP_BYTES];
    return at_ms != 0 && alv_timestamp_format(at_ms, text) ? json_string(text) : json_null();
}

static json_t *read_row_json(const alv_letter_view *row, json_t *headers)
{
    char *id = alv_format("%" PRId32 "/%" PRId64, row->shard, row->offset);
    json_t *json =
        json_pack("{s:s, s:i, s:I, s:o, s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:O}", "id", id, "shard",
                  (int)row->shard, "offset", (json_int_t)row->offset, "at", read_time(row->at_ms),
                  "key", row->key, "reason", row->reason, "detail", row->detail, "action",
                  row->action, "origin", row->origin, "retried", read_time(row->retried_at_ms),
                  "answered", (int)row->answered, "headers", headers);
    ALV_ASSERT(json != NULL); /* the texts are UTF-8 */
    alv_free(id);
    return json;
}

static void read_answer(const letters_read *read, alv_answer *answer)
{
    json_t *list = json_array();
    for (size_t i = 0; i < read->count; i++) {
        (void)json_array_append_new(list, read_row_json(&read->rows[i], read->headers[i]));
    }
    alv_answer_set_json(answer, 200,
                        json_pack("{s:o, s:b}", "letters", list, "more", (int)read->more));
}

alv_status alv_letters_read(const alv_letters_options *options, alv_reader *reader,
                            const letters_query *query, const alv_inbox *inbox, alv_answer *answer,
                            alv_error *err)
{
    ALV_ASSERT(query->limit > 0 && query->shard < options->shard_count);
    size_t shards = (size_t)options->shard_count;
    letters_read read = {.options = options, .reader = reader, .query = query, .inbox = inbox};
    read.ends = alv_alloc_array(shards, sizeof *read.ends);
    read.rows = alv_alloc_array(query->limit, sizeof *read.rows);
    read.headers = alv_alloc_array(query->limit, sizeof *read.headers);
    alv_batch batch;
    alv_batch_init(&batch, ALV_POLL_RECORDS_MAX);
    alv_status status = read_begin(&read, err);
    if (status == ALV_OK) {
        status = read_all(&read, &batch, err);
    }
    if (status == ALV_OK) {
        read_answer(&read, answer);
    }
    alv_batch_done(&batch);
    for (int32_t shard = 0; shard < options->shard_count; shard++) {
        reader->ops->unassign(reader, ALV_TOPIC_DEAD_LETTERS, shard); /* nothing when it is not */
    }
    while (read.count > 0) {
        read_drop_last(&read);
    }
    alv_free(read.ends);
    alv_free(read.rows);
    alv_free(read.headers);
    return status;
}
