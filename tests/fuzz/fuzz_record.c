/* Goal:   no record of the command topic stops its shard: it takes effect, is rejected, or is in the dead
 *         letters with a reason, and the next command is executed (I8).
 * Method: a whole lane over the simulated log. The input is a record as HTTP would write it: the key in the
 *         first line, headers as "name: value", an empty line, the value. A user's command follows in the same
 *         shard; then the lane dies and another one must find the same state (I2).
 */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "processor/command.h"
#include "statestore/codec.h"
#include "statestore/ledger.h"
#include "tests/support/fuzz_target.h"
#include "tests/support/sim_world.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define HEADERS_MAX 80 /* more than are kept */
#define TURNS_MAX 200
#define TURNS_QUIET 3

typedef struct fuzz_record {
    alv_view key;
    alv_view value;
    alv_header headers[HEADERS_MAX];
    char names[HEADERS_MAX][64]; /* NUL-terminated */
    size_t header_count;
} fuzz_record;

static void fuzz_add_header(fuzz_record *record, alv_view line)
{
    alv_view name = alv_fuzz_field(&line, ':');
    if (record->header_count == HEADERS_MAX || name.size >= sizeof record->names[0] ||
        memchr(name.data, '\0', name.size) != NULL) {
        return;
    }
    if (line.size > 0 && line.data[0] == ' ') {
        (void)alv_fuzz_byte(&line);
    }
    size_t index = record->header_count++;
    memcpy(record->names[index], name.data, name.size);
    record->names[index][name.size] = '\0';
    record->headers[index] = (alv_header){record->names[index], line};
}

static void fuzz_read_record(alv_view input, fuzz_record *out)
{
    memset(out, 0, sizeof *out);
    out->key = alv_fuzz_line(&input);
    if (alv_view_equal(out->key, ALV_VIEW("(none)"))) {
        out->key = ALV_VIEW_NONE;
    }
    alv_view line = alv_fuzz_line(&input);
    while (line.size > 0) {
        fuzz_add_header(out, line);
        line = alv_fuzz_line(&input);
    }
    out->value = input;
}

/* Where a record of this key is produced: with the right partitioner, unless the key is bad anyway. */
static int32_t fuzz_shard(alv_view key)
{
    return key.data == NULL ? 0 : alv_partitioner_shard(key, ALV_SIM_SHARDS);
}

/* What changes as long as commands are executed. */
static int64_t fuzz_progress(const alv_sim_world *world)
{
    int64_t sum = 0;
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        ALV_ASSERT(alv_directory_view(world->directory, shard).state == ALV_SHARD_ACTIVE);
        sum += alv_sim_log_end(world->log, ALV_TOPIC_COMMANDS, shard) +
               alv_sim_log_committed(world->log, shard);
    }
    return sum;
}

/* Until nothing happens any more: commands that the record caused are executed, and there is an end to it. */
static void fuzz_consume(alv_sim_world *world)
{
    int64_t before = 0;
    for (int turns = 0; turns < TURNS_MAX; turns += TURNS_QUIET) {
        alv_sim_world_run(world, TURNS_QUIET);
        int64_t now = fuzz_progress(world);
        if (now == before) {
            return;
        }
        before = now;
    }
    ALV_ASSERT(!"the commands come to no end");
}

static void fuzz_check_state(alv_sim_world *world, int32_t shard, alv_view key)
{
    if (key.data == NULL) {
        return;
    }
    alv_bytes value = ALV_BYTES_EMPTY;
    alv_store *store = world->store;
    json_t *state = NULL;
    alv_ledger *ledger = NULL;
    bool found = false;
    ALV_ASSERT(store->ops->get(store, shard, ALV_STORE_STATE, key, &found, &value, NULL) == ALV_OK);
    if (found) {
        ALV_ASSERT(alv_codec_decode(alv_bytes_view(&value), &state, NULL) == ALV_OK);
    }
    ALV_ASSERT(store->ops->get(store, shard, ALV_STORE_LEDGER, key, &found, &value, NULL) ==
               ALV_OK);
    if (found) {
        ALV_ASSERT(alv_ledger_decode(alv_bytes_view(&value), &ledger, NULL) == ALV_OK);
    }
    json_decref(state);
    alv_ledger_free(ledger);
    alv_bytes_done(&value);
}

/* A user of each shard, of whom the inputs know nothing. */
static void fuzz_use_users(alv_sim_world *world, int64_t balance)
{
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        (void)alv_sim_world_send(world, alv_sim_world_user(shard),
                                 "{\"type\":\"add_balance\",\"amount\":5}");
    }
    fuzz_consume(world);
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        const char *user = alv_sim_world_user(shard);
        ALV_ASSERT(alv_sim_world_stored_balance(world, user) == balance);
        ALV_ASSERT(alv_sim_world_logged_balance(world, user) == balance);
    }
}

static bool fuzz_is_code(alv_view text)
{
    bool known = false;
    for (int i = ALV_REASON_NONE + 1; i < ALV_REASON_COUNT; i++) {
        known = known || alv_view_equal(text, alv_view_of(alv_reason_code((alv_reason)i)));
    }
    return known;
}

/* Whatever is in the dead letters says why. */
static void fuzz_check_letter(alv_log_port *log, const alv_record *letter)
{
    alv_header headers[HEADERS_MAX];
    int reasons = 0;
    size_t count = log->ops->headers(letter, headers, HEADERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(headers[i].name, ALV_HEADER_REASON) == 0) {
            ALV_ASSERT(fuzz_is_code(headers[i].value));
            reasons++;
        }
    }
    ALV_ASSERT(reasons == 1);
}

static void fuzz_check_letters(alv_sim_world *world)
{
    alv_log_port *log = alv_sim_log_port(world->log);
    alv_reader *reader = NULL;
    alv_batch letters;
    alv_batch_init(&letters, 64);
    ALV_ASSERT(log->ops->open_reader(log, "letters", &reader, NULL) == ALV_OK);
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        ALV_ASSERT(reader->ops->assign(reader, ALV_TOPIC_DEAD_LETTERS, shard, 0, NULL) == ALV_OK);
    }
    ALV_ASSERT(reader->ops->poll(reader, 0, &letters, NULL) == ALV_OK);
    for (size_t i = 0; i < letters.count; i++) {
        fuzz_check_letter(log, &letters.records[i]);
    }
    reader->ops->close(reader);
    alv_batch_done(&letters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_record record;
    alv_sim_world world;
    fuzz_read_record(alv_fuzz_view(data, size), &record);
    int32_t shard = fuzz_shard(record.key);
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    (void)alv_sim_log_append_bytes(world.log, ALV_TOPIC_COMMANDS, shard, record.key, record.value,
                                   record.headers, record.header_count);
    fuzz_use_users(&world, 5);
    fuzz_check_state(&world, shard, record.key);
    fuzz_check_letters(&world);
    ALV_ASSERT(world.replies_early == 0);
    alv_sim_world_crash(&world, SIZE_MAX);
    alv_sim_world_activate(&world);
    fuzz_use_users(&world, 10);
    alv_sim_world_done(&world);
    return 0;
}
