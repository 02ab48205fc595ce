/* Goal:   the verifier finds every difference and blames nobody who is only behind, compacted or not.
 * Method: each rule of verifier.h by itself; then random logs, compacted as Kafka does it at random places,
 *         with sides at random positions that hold exactly what they must, and then one thing that is wrong.
 *         The random seed is printed; ALLUVIUM_TEST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "changelog/verifier.h"
#include "topics/record.h"

#define STORE ALV_VERIFY_STORE
#define POSTGRES ALV_VERIFY_POSTGRES
#define NONE ALV_OFFSET_NONE

static void record(alv_verifier *verifier, int64_t offset, const char *key, const char *value)
{
    alv_verifier_record(verifier, alv_view_of(key), alv_view_of(value), offset);
}

static void hold(alv_verifier *verifier, alv_verify_side side, const char *key, const char *value,
                 int64_t offset)
{
    alv_verifier_hold(verifier, side, alv_view_of(key), alv_view_of(value), offset);
}

static void expect_tally(alv_verifier *verifier, alv_verify_side side, int compared, int untold,
                         int differences)
{
    const alv_verify_tally *tally = alv_verifier_tally(verifier, side);
    assert_int_equal(tally->compared, compared);
    assert_int_equal(tally->untold, untold);
    assert_int_equal(tally->differences, differences);
}

/* The only difference there is. */
static void expect_difference(alv_verifier *verifier, const char *key, alv_verify_side side,
                              alv_verify_fault fault, int64_t changelog_offset, int64_t held_offset)
{
    size_t count = 0;
    const alv_verify_difference *it = alv_verifier_differences(verifier, &count);
    assert_int_equal(count, 1);
    assert_true(alv_view_equal(it->key, alv_view_of(key)));
    assert_int_equal(it->side, side);
    assert_int_equal(it->fault, fault);
    assert_int_equal(it->changelog_offset, changelog_offset);
    assert_int_equal(it->held_offset, held_offset);
}

/* ---- rules, one by one ----------------------------------------------------------------------- */

static void verifier__equal_sides_have_no_differences(void **state)
{
    (void)state;
    alv_verifier *verifier = alv_verifier_new();
    alv_verifier_set_position(verifier, STORE, 10);
    alv_verifier_set_position(verifier, POSTGRES, 10);
    hold(verifier, STORE, "a", "{\"n\":2,\"m\":1}", NONE);
    hold(verifier, POSTGRES, "a", "{\"m\": 1, \"n\": 2.0}", 5);
    record(verifier, 3, "a", "{\"n\":1}");
    record(verifier, 4, "b", "{}");
    record(verifier, 5, "a", "{\"n\":2,\"m\":1}");
    record(verifier, 6, "b", NULL);
    alv_verifier_finish(verifier);
    expect_tally(verifier, STORE, 1, 0, 0);
    expect_tally(verifier, POSTGRES, 1, 0, 0);
    assert_int_equal(alv_verifier_entities(verifier), 1);
    alv_verifier_free(verifier);
}

/* The store holds the changelog's bytes; to be written in another way is to be changed. */
static void verifier__the_store_is_compared_byte_by_byte(void **state)
{
    (void)state;
    alv_verifier *verifier = alv_verifier_new();
    alv_verifier_set_position(verifier, STORE, 10);
    hold(verifier, STORE, "a", "{\"m\":1,\"n\":2}", NONE);
    record(verifier, 5, "a", "{\"n\":2,\"m\":1}");
    alv_verifier_finish(verifier);
    expect_difference(verifier, "a", STORE, ALV_VERIFY_OTHER_STATE, 5, NONE);
    alv_verifier_free(verifier);
}

static void verifier__missing_and_surplus_are_told_apart(void **state)
{
    (void)state;
    alv_verifier *verifier = alv_verifier_new();
    alv_verifier_set_position(verifier, STORE, 10);
    hold(verifier, STORE, "c", "{}", NONE); /* never written */
    hold(verifier, STORE, "b", "{}", NONE); /* deleted */
    record(verifier, 1, "a", "{}");
    record(verifier, 2, "b", NULL);
    alv_verifier_finish(verifier);
    expect_tally(verifier, STORE, 0, 0, 3);
    size_t count = 0;
    const alv_verify_difference *it = alv_verifier_differences(verifier, &count);
    const alv_verify_fault faults[] = {ALV_VERIFY_MISSING, ALV_VERIFY_SURPLUS, ALV_VERIFY_SURPLUS};
    const int64_t offsets[] = {1, 2, NONE};
    for (size_t i = 0; i < count; i++) { /* in the order of keys */
        assert_int_equal(it[i].key.data[0], 'a' + (int)i);
        assert_int_equal(it[i].fault, faults[i]);
        assert_int_equal(it[i].changelog_offset, offsets[i]);
    }
    alv_verifier_free(verifier);
}

static void verifier__who_is_behind_is_compared_where_it_is(void **state)
{
    (void)state;
    alv_verifier *verifier = alv_verifier_new();
    alv_verifier_set_position(verifier, STORE, 4);
    hold(verifier, STORE, "a", "{\"n\":1}", NONE);
    hold(verifier, STORE, "b", "{\"n\":1}", NONE); /* its record before 4 was compacted away */
    record(verifier, 3, "a", "{\"n\":1}");
    record(verifier, 4, "a", "{\"n\":2}");
    record(verifier, 5, "b", "{\"n\":2}");
    record(verifier, 6, "c", "{\"n\":2}"); /* new since then, or compacted: nobody knows */
    alv_verifier_finish(verifier);
    expect_tally(verifier, STORE, 1, 2, 0);
    assert_int_equal(alv_verifier_entities(verifier), 3);
    alv_verifier_free(verifier);
}

static void verifier__a_side_behind_can_still_be_wrong(void **state)
{
    (void)state;
    alv_verifier *verifier = alv_verifier_new();
    alv_verifier_set_position(verifier, STORE, 4);
    hold(verifier, STORE, "a", "{\"n\":2}", NONE); /* from the future */
    record(verifier, 3, "a", "{\"n\":1}");
    record(verifier, 4, "a", "{\"n\":2}");
    alv_verifier_finish(verifier);
    expect_difference(verifier, "a", STORE, ALV_VERIFY_OTHER_STATE, 3, NONE);
    alv_verifier_free(verifier);
}

static void verifier__a_row_must_come_from_the_last_record(void **state)
{
    (void)state;
    const int64_t held[] = {2, 4, 9};
    for (size_t i = 0; i < 3;
         i++) { /* an older one, one that is not there, one behind the position */
        alv_verifier *verifier = alv_verifier_new();
        alv_verifier_set_position(verifier, POSTGRES, 5);
        hold(verifier, POSTGRES, "a", "{}", held[i]);
        record(verifier, 2, "a", "{}");
        record(verifier, 3, "a", "{}");
        alv_verifier_finish(verifier);
        expect_difference(verifier, "a", POSTGRES, ALV_VERIFY_OTHER_RECORD, 3, held[i]);
        alv_verifier_free(verifier);
    }
}

/* Records at 2 (still there) and 4 (compacted, because of 7); the row is from 4. */
static void verifier__a_row_from_a_removed_record_cannot_be_compared(void **state)
{
    (void)state;
    for (int64_t held = 3; held <= 5; held++) {
        alv_verifier *verifier = alv_verifier_new();
        alv_verifier_set_position(verifier, POSTGRES, 5);
        hold(verifier, POSTGRES, "a", "{\"n\":4}", held);
        record(verifier, 2, "a", "{\"n\":2}");
        record(verifier, 7, "a", "{\"n\":7}");
        alv_verifier_finish(verifier);
        expect_tally(verifier, POSTGRES, 0, held < 5, held == 5); /* 5 is not before the position */
        alv_verifier_free(verifier);
    }
}

static void verifier__a_row_without_state_has_only_its_offset(void **state)
{
    (void)state;
    alv_verifier *verifier = alv_verifier_new();
    alv_verifier_set_position(verifier, POSTGRES, 5);
    hold(verifier, POSTGRES, "a", NULL, 2);
    hold(verifier, POSTGRES, "b", NULL, 2);
    record(verifier, 2, "a", "{\"text\":\"\\u0000\"}");
    record(verifier, 3, "b", "{}");
    alv_verifier_finish(verifier);
    expect_tally(verifier, POSTGRES, 1, 0, 1);
    expect_difference(verifier, "b", POSTGRES, ALV_VERIFY_OTHER_RECORD, 3, 2);
    alv_verifier_free(verifier);
}

static void verifier__keys_that_postgres_cannot_hold_are_not_missed(void **state)
{
    (void)state;
    alv_verifier *verifier = alv_verifier_new();
    alv_verifier_set_position(verifier, POSTGRES, 5);
    record(verifier, 1, "\xff", "{}");
    alv_verifier_record(verifier, ALV_VIEW("a\0b"), ALV_VIEW("{}"), 2);
    alv_verifier_finish(verifier);
    expect_tally(verifier, POSTGRES, 0, 2, 0);
    alv_verifier_free(verifier);
}

static void verifier__a_side_that_takes_no_part_has_no_differences(void **state)
{
    (void)state;
    alv_verifier *verifier = alv_verifier_new();
    alv_verifier_set_position(verifier, STORE, 5);
    hold(verifier, STORE, "a", "{}", NONE);
    record(verifier, 1, "a", "{}");
    alv_verifier_finish(verifier);
    expect_tally(verifier, STORE, 1, 0, 0);
    expect_tally(verifier, POSTGRES, 0, 0, 0);
    alv_verifier_free(verifier);
}

/* ---- random logs ----------------------------------------------------------------------------- */

#define KEYS 300
#define RECORDS 2000
#define ROUNDS 50

typedef struct log_record {
    int key;
    int value; /* -1 = tombstone */
    bool gone; /* compacted */
} log_record;

static uint64_t random_state;

static uint64_t next_random(uint64_t below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(2685821657736338717) % below;
}

/* As Kafka's cleaner: it knows the last record of each key before `known`, and has got as far as `done`. */
static void compact(log_record *log, int done, int known)
{
    for (int i = 0; i < done; i++) {
        for (int later = i + 1; later < known && !log[i].gone; later++) {
            log[i].gone = log[later].key == log[i].key;
        }
    }
}

static void make_log(log_record *log)
{
    for (int i = 0; i < RECORDS; i++) {
        int value = next_random(5) == 0 ? -1 : (int)next_random(1000);
        log[i] = (log_record){.key = (int)next_random(KEYS), .value = value};
    }
}

static int last_before(const log_record *log, int key, int64_t position)
{
    int last = -1;
    for (int i = 0; i < position; i++) {
        last = log[i].key == key ? i : last;
    }
    return last;
}

static void text_of(const char *format, int number, char out[32])
{
    (void)snprintf(out, 32, format, number);
}

/* Gives the side what it must have; of `wrong`, a key, something else. */
static void hold_all(alv_verifier *verifier, alv_verify_side side, const log_record *log,
                     int64_t position, int wrong)
{
    for (int key = 0; key < KEYS; key++) {
        char key_text[32];
        char value[32];
        int last = last_before(log, key, position);
        text_of("key-%d", key, key_text);
        if (last >= 0 && log[last].value >= 0) {
            text_of("%d", log[last].value + (key == wrong), value);
            hold(verifier, side, key_text, value, side == STORE ? NONE : last);
        } else if (key == wrong) {
            hold(verifier, side, key_text, "-5", side == STORE ? NONE : 0);
        }
    }
}

static alv_verifier *verify(const log_record *log, const log_record *compacted,
                            const int64_t positions[2], int wrong)
{
    alv_verifier *verifier = alv_verifier_new();
    for (int side = 0; side < 2; side++) {
        alv_verifier_set_position(verifier, (alv_verify_side)side, positions[side]);
        hold_all(verifier, (alv_verify_side)side, log, positions[side], wrong);
    }
    for (int i = 0; i < RECORDS; i++) {
        char key[32];
        char value[32];
        text_of("key-%d", compacted[i].key, key);
        text_of("%d", compacted[i].value, value);
        if (!compacted[i].gone) {
            record(verifier, i, key, compacted[i].value >= 0 ? value : NULL);
        }
    }
    alv_verifier_finish(verifier);
    return verifier;
}

static void check_round(int64_t at)
{
    static log_record log[RECORDS];
    static log_record compacted[RECORDS];
    make_log(log);
    memcpy(compacted, log, sizeof(log));
    int known = (int)next_random(RECORDS + 1);
    compact(compacted, (int)next_random((uint64_t)known + 1), known);
    /* At the end of the log everything can be told. */
    const int64_t positions[2] = {at, RECORDS};
    alv_verifier *right = verify(log, compacted, positions, -1);
    expect_tally(right, STORE, (int)alv_verifier_tally(right, STORE)->compared,
                 (int)alv_verifier_tally(right, STORE)->untold, 0);
    expect_tally(right, POSTGRES, (int)alv_verifier_entities(right), 0, 0);
    alv_verifier_free(right);

    int wrong = (int)next_random(KEYS);
    bool ever = last_before(log, wrong, RECORDS) >= 0;
    alv_verifier *caught = verify(log, compacted, positions, wrong);
    assert_int_equal(alv_verifier_tally(caught, POSTGRES)->differences, 1);
    assert_true(ever || alv_verifier_tally(caught, STORE)->differences == 1);
    alv_verifier_free(caught);
}

static void verifier__random_logs_compacted_anywhere(void **state)
{
    (void)state;
    const char *given = getenv("ALLUVIUM_TEST_SEED");
    random_state =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)alv_monotonic_us(alv_clock_system());
    random_state += random_state == 0;
    print_message("seed: ALLUVIUM_TEST_SEED=%" PRIu64 "\n", random_state);
    for (int i = 0; i < ROUNDS; i++) {
        check_round((int64_t)next_random(RECORDS + 1));
    }
}

/* More keys than there is room for at first: what was found before is found again. */
static void verifier__grows_with_the_number_of_keys(void **state)
{
    (void)state;
    enum {
        COUNT = 100000
    };
    alv_verifier *verifier = alv_verifier_new();
    char key[16];
    alv_verifier_set_position(verifier, STORE, COUNT);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        record(verifier, i, key, "{}");
    }
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        if (i != 7)
            hold(verifier, STORE, key, "{}", NONE);
    }
    alv_verifier_finish(verifier);
    expect_tally(verifier, STORE, COUNT - 1, 0, 1);
    expect_difference(verifier, "k7", STORE, ALV_VERIFY_MISSING, 7, NONE);
    assert_int_equal(alv_verifier_entities(verifier), COUNT);
    alv_verifier_free(verifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifier__equal_sides_have_no_differences),
        cmocka_unit_test(verifier__the_store_is_compared_byte_by_byte),
        cmocka_unit_test(verifier__missing_and_surplus_are_told_apart),
        cmocka_unit_test(verifier__who_is_behind_is_compared_where_it_is),
        cmocka_unit_test(verifier__a_side_behind_can_still_be_wrong),
        cmocka_unit_test(verifier__a_row_must_come_from_the_last_record),
        cmocka_unit_test(verifier__a_row_from_a_removed_record_cannot_be_compared),
        cmocka_unit_test(verifier__a_row_without_state_has_only_its_offset),
        cmocka_unit_test(verifier__keys_that_postgres_cannot_hold_are_not_missed),
        cmocka_unit_test(verifier__a_side_that_takes_no_part_has_no_differences),
        cmocka_unit_test(verifier__grows_with_the_number_of_keys),
        cmocka_unit_test(verifier__random_logs_compacted_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
