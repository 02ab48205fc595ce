/* cli_verify_shard.c — reads what store, PostgreSQL and changelog hold of a shard, and has them compared. */
#include "base/assert.h"
#include "base/clock.h"
#include "changelog/durable_rows.h"
#include "changelog/log_scan.h"
#include "cli/cli_verify_internal.h"

/* One comparison of one shard. */
typedef struct verify_pass {
    verify_sources *sources;
    alv_verifier *verifier;
    verify_shard_result *result;
} verify_pass;

/* ---- the changelog --------------------------------------------------------------------------- */

static void pass_take_record(void *payload, const alv_record *record)
{
    verify_pass *pass = payload;
    verify_sources *sources = pass->sources;
    if (record->key.data != NULL) { /* who writes records without a key is not us */
        alv_verifier_record(pass->verifier, record->key, record->value, record->offset);
    }
    alv_cli_progress_update(&sources->progress, ++sources->records, sources->fraction);
}

/* ---- the store ------------------------------------------------------------------------------- */

static bool pass_take_entry(void *payload, alv_view key, alv_view value)
{
    verify_pass *pass = payload;
    alv_verifier_hold(pass->verifier, ALV_VERIFY_STORE, key, value, ALV_OFFSET_NONE);
    return true;
}

/* As a node decides when it starts (changelog/restorer.c): a store that it throws away is not wrong. */
static bool store_is_too_old(const verify_pass *pass, const alv_position *position)
{
    int64_t age_ms = alv_now_ms(alv_clock_system()) - position->at_ms;
    bool behind = position->changelog < pass->result->end;
    return position->changelog < pass->result->start ||
           (behind && age_ms > pass->sources->settings->tombstone_retention_ms);
}

static verify_outcome store_outcome(const verify_pass *pass, const alv_position *position)
{
    if (position->changelog == 0 && position->ledger == 0) {
        return VERIFY_NONE;
    }
    if (position->changelog > pass->result->end) {
        return VERIFY_AHEAD;
    }
    return store_is_too_old(pass, position) ? VERIFY_OLD : VERIFY_COMPARED;
}

static alv_status pass_take_store(verify_pass *pass, alv_error *err)
{
    alv_store *store = pass->sources->state.store;
    verify_side_result *side = &pass->result->sides[ALV_VERIFY_STORE];
    side->outcome = pass->sources->store_in_use ? VERIFY_IN_USE : VERIFY_NONE;
    if (store == NULL) {
        return ALV_OK;
    }
    alv_position position = ALV_POSITION_START;
    alv_error problem = ALV_ERROR_NONE;
    alv_status status = store->ops->open_shard(store, pass->result->shard, &position, &problem);
    if (status == ALV_REJECT) {
        side->outcome = VERIFY_CORRUPT;
        return ALV_OK;
    }
    if (status != ALV_OK) {
        return alv_fail_from(err, status, problem.source, problem.code, "%s", problem.text);
    }
    side->position = position.changelog;
    side->outcome = store_outcome(pass, &position);
    if (side->outcome != VERIFY_COMPARED) {
        return ALV_OK;
    }
    status = store->ops->scan(store, pass->result->shard, ALV_STORE_STATE, ALV_VIEW_NONE,
                              ALV_VIEW_NONE, pass_take_entry, pass, &problem);
    if (status == ALV_REJECT) {
        side->outcome = VERIFY_CORRUPT; /* without a position the side takes no part */
        return ALV_OK;
    }
    if (status != ALV_OK) {
        return alv_fail_from(err, status, problem.source, problem.code, "%s", problem.text);
    }
    alv_verifier_set_position(pass->verifier, ALV_VERIFY_STORE, position.changelog);
    return ALV_OK;
}

/* ---- PostgreSQL ------------------------------------------------------------------------------ */

static bool pass_take_row(void *payload, const alv_checkpoint_row *row)
{
    verify_pass *pass = payload;
    alv_verifier_hold(pass->verifier, ALV_VERIFY_POSTGRES, row->key, row->state,
                      row->changelog_offset);
    return true;
}

/* The changelog's range is asked afterwards: so its end lies behind the position, if all is well. */
static alv_status pass_take_rows(verify_pass *pass, alv_error *err)
{
    if (pass->sources->durable == NULL) {
        return ALV_OK;
    }
    verify_side_result *side = &pass->result->sides[ALV_VERIFY_POSTGRES];
    side->outcome = VERIFY_COMPARED;
    return alv_durable_rows_scan(pass->sources->durable, pass->result->shard, pass_take_row, pass,
                                 &side->position, err);
}

static void pass_place_rows(const verify_pass *pass)
{
    verify_side_result *side = &pass->result->sides[ALV_VERIFY_POSTGRES];
    if (side->outcome != VERIFY_COMPARED) {
        return;
    }
    if (side->position > pass->result->end) {
        side->outcome = VERIFY_AHEAD;
        return;
    }
    alv_verifier_set_position(pass->verifier, ALV_VERIFY_POSTGRES, side->position);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static alv_status pass_run(verify_pass *pass, alv_error *err)
{
    alv_reader *reader = pass->sources->reader;
    verify_shard_result *result = pass->result;
    alv_status status = pass_take_rows(pass, err);
    if (status == ALV_OK) {
        status = reader->ops->range(reader, ALV_TOPIC_CHANGELOG, result->shard, &result->start,
                                    &result->end, err);
    }
    if (status == ALV_OK) {
        pass_place_rows(pass);
        status = pass_take_store(pass, err);
    }
    if (status == ALV_OK) {
        const alv_log_range all = {ALV_TOPIC_CHANGELOG, result->shard, result->start, result->end};
        status = alv_log_scan(reader, &all, alv_clock_system(), pass_take_record, pass, err);
    }
    if (status != ALV_OK) {
        return status;
    }
    alv_verifier_finish(pass->verifier);
    result->entities = alv_verifier_entities(pass->verifier);
    for (int side = 0; side < ALV_VERIFY_SIDES; side++) {
        result->sides[side].tally = *alv_verifier_tally(pass->verifier, (alv_verify_side)side);
    }
    return ALV_OK;
}

int64_t alv_cli_verify_count(const verify_side_result *side)
{
    return side->tally.differences + (side->outcome == VERIFY_AHEAD);
}

static bool result_has_differences(const verify_shard_result *result)
{
    return alv_cli_verify_count(&result->sides[ALV_VERIFY_STORE]) > 0 ||
           alv_cli_verify_count(&result->sides[ALV_VERIFY_POSTGRES]) > 0;
}

alv_status alv_cli_verify_shard(verify_sources *sources, int32_t shard, verify_shard_result *out,
                                alv_verifier **out_verifier, alv_error *err)
{
    for (int pass_number = 1;; pass_number++) {
        *out = (verify_shard_result){.shard = shard};
        verify_pass pass = {.sources = sources, .verifier = alv_verifier_new(), .result = out};
        alv_status status = pass_run(&pass, err);
        if (status != ALV_OK) {
            alv_verifier_free(pass.verifier);
            return status;
        }
        if (pass_number == 2 || !result_has_differences(out)) {
            *out_verifier = pass.verifier;
            return ALV_OK;
        }
        alv_verifier_free(pass.verifier);
    }
}
