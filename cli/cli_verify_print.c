/* cli_verify_print.c — what `alluvium verify` found, for people and for programs. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/assert.h"
#include "cli/cli_verify_internal.h"

static const char *outcome_name(verify_outcome outcome)
{
    static const char *const names[] = {"none", "in-use", "compared", "old", "ahead", "corrupt"};
    ALV_ASSERT(outcome <= VERIFY_CORRUPT);
    return names[outcome];
}

int64_t alv_cli_verify_differences(const verify_report *report)
{
    int64_t count = 0;
    for (size_t i = 0; i < report->shard_count; i++) {
        for (int side = 0; side < ALV_VERIFY_SIDES; side++) {
            count += alv_cli_verify_count(&report->shards[i].sides[side]);
        }
    }
    return count;
}

bool alv_cli_verify_compared(const verify_report *report)
{
    for (size_t i = 0; i < report->shard_count; i++) {
        for (int side = 0; side < ALV_VERIFY_SIDES; side++) {
            if (report->shards[i].sides[side].outcome == VERIFY_COMPARED) {
                return true;
            }
        }
    }
    return false;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_side(const verify_shard_result *shard, alv_verify_side which)
{
    const verify_side_result *side = &shard->sides[which];
    if (side->outcome == VERIFY_COMPARED) {
        printf("  %10" PRId64 " %8" PRId64 " %9" PRId64, side->tally.compared,
               shard->end - side->position, side->tally.differences);
    } else {
        printf("  %10s %8s %9s", outcome_name(side->outcome), "-", "-");
    }
}

static void print_table(const verify_report *report)
{
    printf("%5s  %10s  %10s %8s %9s  %10s %8s %9s\n", "SHARD", "ENTITIES", "STORE", "BEHIND",
           "DIFFERENT", "POSTGRES", "BEHIND", "DIFFERENT");
    for (size_t i = 0; i < report->shard_count; i++) {
        const verify_shard_result *shard = &report->shards[i];
        printf("%5" PRId32 "  %10" PRId64, shard->shard, shard->entities);
        print_side(shard, ALV_VERIFY_STORE);
        print_side(shard, ALV_VERIFY_POSTGRES);
        putchar('\n');
    }
}

static void print_ahead(const verify_report *report)
{
    for (size_t i = 0; i < report->shard_count; i++) {
        const verify_shard_result *shard = &report->shards[i];
        for (int side = 0; side < ALV_VERIFY_SIDES; side++) {
            if (shard->sides[side].outcome == VERIFY_AHEAD) {
                printf("shard %" PRId32 ": %s is at %" PRId64 ", but the changelog ends at %" PRId64
                       ": it was deleted and made anew, or lost records\n",
                       shard->shard, alv_verify_side_name((alv_verify_side)side),
                       shard->sides[side].position, shard->end);
            }
        }
    }
}

static void print_finding(const verify_finding *finding)
{
    const alv_verify_difference *it = &finding->difference;
    printf("%s  shard %" PRId32 ", %s: ", finding->key, finding->shard,
           alv_verify_side_name(it->side));
    switch (it->fault) {
    case ALV_VERIFY_MISSING:
        printf("missing; changelog offset %" PRId64 " has a state\n", it->changelog_offset);
        return;
    case ALV_VERIFY_SURPLUS:
        if (it->changelog_offset == ALV_OFFSET_NONE) {
            printf("has a state; the changelog has none\n");
        } else {
            printf("has a state; changelog offset %" PRId64 " deleted it\n", it->changelog_offset);
        }
        return;
    case ALV_VERIFY_OTHER_STATE:
        printf("another state than at changelog offset %" PRId64 "\n", it->changelog_offset);
        return;
    case ALV_VERIFY_OTHER_RECORD:
        printf("says it is from changelog offset %" PRId64 "; the record is at %" PRId64 "\n",
               it->held_offset, it->changelog_offset);
        return;
    }
}

void alv_cli_verify_print(const verify_report *report)
{
    int64_t differences = alv_cli_verify_differences(report);
    print_table(report);
    print_ahead(report);
    for (size_t i = 0; i < report->finding_count; i++) {
        print_finding(&report->findings[i]);
    }
    if (differences > 0) {
        printf("%" PRId64 " differences\n", differences);
    } else if (alv_cli_verify_compared(report)) {
        puts("no differences");
    }
}

/* ---- for programs ---------------------------------------------------------------------------- */

static json_t *side_to_json(const verify_shard_result *shard, alv_verify_side which)
{
    const verify_side_result *side = &shard->sides[which];
    json_t *object = json_pack("{s:s}", "outcome", outcome_name(side->outcome));
    ALV_ASSERT(object != NULL);
    if (side->outcome == VERIFY_COMPARED || side->outcome == VERIFY_AHEAD) {
        json_object_set_new(object, "position", json_integer(side->position));
        json_object_set_new(object, "behind", json_integer(shard->end - side->position));
        json_object_set_new(object, "compared", json_integer(side->tally.compared));
        json_object_set_new(object, "untold", json_integer(side->tally.untold));
        json_object_set_new(object, "different", json_integer(alv_cli_verify_count(side)));
    }
    return object;
}

static json_t *shards_to_json(const verify_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->shard_count; i++) {
        const verify_shard_result *shard = &report->shards[i];
        json_t *object =
            json_pack("{s:I, s:I, s:I, s:o, s:o}", "shard", (json_int_t)shard->shard, "entities",
                      (json_int_t)shard->entities, "end", (json_int_t)shard->end, "store",
                      side_to_json(shard, ALV_VERIFY_STORE), "postgres",
                      side_to_json(shard, ALV_VERIFY_POSTGRES));
        ALV_ASSERT(object != NULL);
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *findings_to_json(const verify_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->finding_count; i++) {
        const verify_finding *finding = &report->findings[i];
        json_t *object = json_pack(
            "{s:s, s:I, s:s, s:s, s:I, s:I}", "key", finding->key, "shard",
            (json_int_t)finding->shard, "side", alv_verify_side_name(finding->difference.side),
            "fault", alv_verify_fault_name(finding->difference.fault), "changelogOffset",
            (json_int_t)finding->difference.changelog_offset, "heldOffset",
            (json_int_t)finding->difference.held_offset);
        ALV_ASSERT(object != NULL); /* the key is UTF-8 by now */
        json_array_append_new(list, object);
    }
    return list;
}

void alv_cli_verify_print_json(const verify_report *report)
{
    json_t *answer = json_pack("{s:o, s:o, s:I}", "shards", shards_to_json(report), "first",
                               findings_to_json(report), "differences",
                               (json_int_t)alv_cli_verify_differences(report));
    ALV_ASSERT(answer != NULL);
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(answer);
}
