/* Goal:   patterns mean what glob.h says, for any pattern and text, and the index of watchers finds whoever a
 *         comparison one by one would find.
 * Method: the first line is the pattern, the rest the text. The answer is compared with that of a matcher that
 *         is written in another way: the pattern taken apart first, then a table of what matches what.
 */
#include "api/watch_index.h"
#include "base/assert.h"
#include "base/glob.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "tests/support/fuzz_target.h"

/* Longer ones only cost time. */
#define PIECES_MAX 64
#define RANGES_MAX 64

typedef struct fuzz_range {
    uint32_t low;
    uint32_t high;
} fuzz_range;

typedef struct fuzz_piece {
    bool is_star;
    bool negated;
    fuzz_range ranges[RANGES_MAX]; /* what it takes; a "?" takes everything */
    size_t count;
} fuzz_piece;

typedef struct fuzz_pattern {
    fuzz_piece pieces[PIECES_MAX];
    size_t count;
} fuzz_pattern;

static uint32_t fuzz_code_point(alv_view *rest)
{
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t size = alv_utf8_sequence(rest->data, rest->size);
    ALV_ASSERT(size > 0);
    uint32_t point = alv_fuzz_byte(rest) & lead_bits[size];
    for (size_t i = 1; i < size; i++) {
        point = point << 6 | (alv_fuzz_byte(rest) & 0x3f);
    }
    return point;
}

/* ---- taking the pattern apart, once it is known to be one ------------------------------------ */

static void fuzz_add_range(fuzz_piece *piece, uint32_t low, uint32_t high)
{
    ALV_ASSERT(piece->count < RANGES_MAX);
    piece->ranges[piece->count++] = (fuzz_range){low, high};
}

static uint32_t fuzz_member(alv_view *rest)
{
    if (rest->data[0] == '\\') {
        (void)alv_fuzz_byte(rest);
    }
    return fuzz_code_point(rest);
}

static void fuzz_read_class(alv_view *rest, fuzz_piece *piece)
{
    if (rest->data[0] == '!') {
        piece->negated = true;
        (void)alv_fuzz_byte(rest);
    }
    do {
        uint32_t low = fuzz_member(rest);
        uint32_t high = low;
        if (rest->data[0] == '-' && rest->data[1] != ']') {
            (void)alv_fuzz_byte(rest);
            high = fuzz_member(rest);
        }
        fuzz_add_range(piece, low, high);
    } while (rest->data[0] != ']');
    (void)alv_fuzz_byte(rest);
}

static void fuzz_read_piece(alv_view *rest, fuzz_piece *piece)
{
    char first = rest->data[0];
    *piece = (fuzz_piece){.is_star = first == '*'};
    if (first != '*' && first != '?' && first != '[') {
        uint32_t literal = fuzz_member(rest);
        fuzz_add_range(piece, literal, literal);
        return;
    }
    (void)alv_fuzz_byte(rest);
    if (first == '[') {
        fuzz_read_class(rest, piece);
    } else {
        fuzz_add_range(piece, 0, UINT32_MAX);
    }
}

static void fuzz_read_pattern(alv_view text, fuzz_pattern *out)
{
    out->count = 0;
    while (text.size > 0) {
        fuzz_read_piece(&text, &out->pieces[out->count++]);
    }
}

/* ---- the other matcher ----------------------------------------------------------------------- */

static bool fuzz_takes(const fuzz_piece *piece, uint32_t point)
{
    for (size_t i = 0; i < piece->count; i++) {
        if (piece->ranges[i].low <= point && point <= piece->ranges[i].high) {
            return !piece->negated;
        }
    }
    return piece->negated;
}

/* fits[i]: the first i pieces match the text so far. */
static bool fuzz_match(const fuzz_pattern *pattern, alv_view text)
{
    bool fits[PIECES_MAX + 1] = {true};
    for (size_t i = 0; i < pattern->count; i++) {
        fits[i + 1] = fits[i] && pattern->pieces[i].is_star;
    }
    while (text.size > 0) {
        uint32_t point = fuzz_code_point(&text);
        bool before = fits[0];
        fits[0] = false;
        for (size_t i = 0; i < pattern->count; i++) {
            const fuzz_piece *piece = &pattern->pieces[i];
            bool now = piece->is_star ? fits[i] || fits[i + 1] || before
                                      : before && fuzz_takes(piece, point);
            before = fits[i + 1];
            fits[i + 1] = now;
        }
    }
    return fits[pattern->count];
}

/* ---- the index ------------------------------------------------------------------------------- */

typedef struct fuzz_watcher {
    alv_watch_member member;
    bool told;
} fuzz_watcher;

static void fuzz_tell(void *payload, alv_watch_member *member)
{
    fuzz_watcher *watcher = (fuzz_watcher *)(void *)member;
    (void)payload;
    ALV_ASSERT(!watcher->told);
    watcher->told = true;
}

static void fuzz_index(alv_view pattern, alv_view key, bool matches)
{
    fuzz_watcher watchers[3] = {0};
    const bool expected[3] = {alv_view_equal(key, pattern), alv_view_starts_with(key, pattern),
                              matches};
    alv_watch_index *index = alv_watch_index_new();
    for (int i = 0; i < 3; i++) {
        alv_watch_index_add(index, (alv_watch_kind)i, pattern, &watchers[i].member);
    }
    alv_watch_index_match(index, key, fuzz_tell, NULL);
    for (int i = 0; i < 3; i++) {
        ALV_ASSERT(watchers[i].told == expected[i]);
        alv_watch_index_remove(index, &watchers[i].member);
    }
    alv_watch_index_free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_pattern pieces;
    alv_view text = alv_fuzz_view(data, size);
    alv_view pattern = alv_fuzz_line(&text);
    alv_error err = ALV_ERROR_NONE;
    if (alv_glob_check(pattern, &err) != ALV_OK) {
        alv_fuzz_check_refusal(&err);
        return 0;
    }
    bool matches = alv_glob_match(pattern, text);
    size_t literal = alv_glob_literal(pattern);
    ALV_ASSERT(literal <= pattern.size);
    ALV_ASSERT(!matches || alv_view_starts_with(text, (alv_view){pattern.data, literal}));
    if (pattern.size <= PIECES_MAX && alv_utf8_valid(text.data, text.size)) {
        fuzz_read_pattern(pattern, &pieces);
        ALV_ASSERT(matches == fuzz_match(&pieces, text));
        if (text.size <= ALV_KEY_BYTES_MAX) {
            fuzz_index(pattern, text, matches);
        }
    }
    return 0;
}
