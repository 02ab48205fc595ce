/* Goal:   a change finds exactly those who watch its key.
 * Method: a few watchers by hand; then many random ones that come and go, compared with a plain loop
 *         over all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/watch_index.h"
#include "base/glob.h"
#include "base/limits.h"

#define WATCHERS 500
#define ROUNDS 20000

typedef struct watcher {
    alv_watch_member member;
    alv_watch_kind kind;
    char text[16];
    bool present;
    int visits;
} watcher;

static watcher watchers[WATCHERS];

static void count_visit(void *payload, alv_watch_member *member)
{
    int *total = payload;
    ((watcher *)member)->visits++;
    (*total)++;
}

static int match(const alv_watch_index *index, const char *key)
{
    int total = 0;
    alv_watch_index_match(index, alv_view_of(key), count_visit, &total);
    return total;
}

static void add(alv_watch_index *index, watcher *it, alv_watch_kind kind, const char *text)
{
    *it = (watcher){.kind = kind, .present = true};
    (void)snprintf(it->text, sizeof it->text, "%s", text);
    alv_watch_index_add(index, kind, alv_view_of(it->text), &it->member);
}

static void match__finds_keys_prefixes_and_patterns(void **state)
{
    (void)state;
    alv_watch_index *index = alv_watch_index_new();
    add(index, &watchers[0], ALV_WATCH_KEY, "user/1");
    add(index, &watchers[1], ALV_WATCH_KEY, "user/1");
    add(index, &watchers[2], ALV_WATCH_PREFIX, "user/");
    add(index, &watchers[3], ALV_WATCH_PREFIX, "");
    add(index, &watchers[4], ALV_WATCH_PATTERN, "user/?");
    add(index, &watchers[5], ALV_WATCH_PATTERN, "*/1");
    add(index, &watchers[6], ALV_WATCH_PREFIX, "user/1"); /* the same text, another kind */
    assert_int_equal(match(index, "user/1"), 7);
    assert_int_equal(match(index, "user/12"), 3); /* 2, 3 and 6 */
    assert_int_equal(match(index, "user"), 1);
    assert_int_equal(match(index, "mall/1"), 2);
    assert_int_equal(match(index, ""), 1);
    char longest[ALV_KEY_BYTES_MAX + 100];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(match(index, longest), 1); /* no entity's key, but no reason to fall over */
    for (int i = 0; i < 7; i++) {
        alv_watch_index_remove(index, &watchers[i].member);
        alv_watch_index_remove(index, &watchers[i].member);
    }
    assert_int_equal(match(index, "user/1"), 0);
    alv_watch_index_free(index);
}

static const char letters[] = "ab/";

static void random_text(char *out, size_t size_max, bool wildcards)
{
    size_t size = (size_t)rand() % (size_max + 1);
    for (size_t i = 0; i < size; i++) {
        out[i] = wildcards && rand() % 4 == 0 ? "*?"[rand() % 2] : letters[rand() % 3];
    }
    out[size] = '\0';
}

static bool watches(const watcher *it, const char *key)
{
    switch (it->kind) {
    case ALV_WATCH_KEY:
        return strcmp(it->text, key) == 0;
    case ALV_WATCH_PREFIX:
        return strncmp(it->text, key, strlen(it->text)) == 0;
    case ALV_WATCH_PATTERN:
        return alv_glob_match(alv_view_of(it->text), alv_view_of(key));
    }
    return false;
}

static void toggle_one(alv_watch_index *index)
{
    watcher *it = &watchers[rand() % WATCHERS];
    if (it->present) {
        alv_watch_index_remove(index, &it->member);
        it->present = false;
        return;
    }
    char text[8];
    alv_watch_kind kind = (alv_watch_kind)(rand() % 3);
    random_text(text, sizeof text - 1, kind == ALV_WATCH_PATTERN);
    add(index, it, kind, text);
}

static void match__agrees_with_a_plain_loop(void **state)
{
    (void)state;
    alv_watch_index *index = alv_watch_index_new();
    srand(17);
    memset(watchers, 0, sizeof watchers);
    for (int round = 0; round < ROUNDS; round++) {
        char key[8];
        toggle_one(index);
        random_text(key, sizeof key - 1, false);
        (void)match(index, key);
        for (int i = 0; i < WATCHERS; i++) {
            bool expected = watchers[i].present && watches(&watchers[i], key);
            if (watchers[i].visits != (expected ? 1 : 0)) {
                fail_msg("round %d: \"%s\" watched by \"%s\" (kind %d): %d visits", round, key,
                         watchers[i].text, (int)watchers[i].kind, watchers[i].visits);
            }
            watchers[i].visits = 0;
        }
    }
    for (int i = 0; i < WATCHERS; i++) {
        alv_watch_index_remove(index, &watchers[i].member);
    }
    alv_watch_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match__finds_keys_prefixes_and_patterns),
        cmocka_unit_test(match__agrees_with_a_plain_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
