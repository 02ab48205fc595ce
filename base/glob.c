#include "base/glob.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

/* A place in pattern or text. */
typedef struct glob_cursor {
    const char *at;
    const char *end;
} glob_cursor;

static glob_cursor glob_begin(alv_view text)
{
    return (glob_cursor){text.data, text.data + text.size};
}

static bool glob_ended(const glob_cursor *cursor)
{
    return cursor->at == cursor->end;
}

/* The character as one number that compares like code points do: its bytes, first one highest. */
static uint32_t glob_take(glob_cursor *cursor)
{
    size_t size = alv_utf8_sequence(cursor->at, (size_t)(cursor->end - cursor->at));
    uint32_t character = 0;
    size = size > 0 ? size : 1; /* not UTF-8: a byte is a character */
    for (size_t i = 0; i < size; i++) {
        character = character << 8 | (unsigned char)*cursor->at++;
    }
    return character;
}

/* ---- classes: the cursor stands behind "[" --------------------------------------------------- */

/* One member, with its escape; false at the "]" that ends the class or at the end of the pattern. */
static bool glob_take_member(glob_cursor *pattern, bool first, uint32_t *out)
{
    if (glob_ended(pattern) || (*pattern->at == ']' && !first)) {
        return false;
    }
    if (*pattern->at == '\\' && pattern->at + 1 < pattern->end) {
        pattern->at++;
    }
    *out = glob_take(pattern);
    return true;
}

static bool glob_is_range(const glob_cursor *pattern)
{
    return pattern->end - pattern->at >= 2 && pattern->at[0] == '-' && pattern->at[1] != ']';
}

/* Whether `character` is in the class; the cursor stands behind its "]" afterwards. */
static bool glob_in_class(glob_cursor *pattern, uint32_t character)
{
    bool negated = !glob_ended(pattern) && *pattern->at == '!';
    bool found = false;
    uint32_t low;
    pattern->at += negated;
    for (bool first = true; glob_take_member(pattern, first, &low); first = false) {
        uint32_t high = low;
        if (glob_is_range(pattern)) {
            pattern->at++;
            (void)glob_take_member(pattern, true, &high); /* there is one */
        }
        found = found || (low <= character && character <= high);
    }
    ALV_ASSERT(!glob_ended(pattern) && *pattern->at == ']'); /* it was checked */
    pattern->at++;
    return found != negated;
}

/* ---- matching -------------------------------------------------------------------------------- */

/* One character of the text against the pattern's next piece, which is not "*". */
static bool glob_step(glob_cursor *pattern, glob_cursor *text)
{
    uint32_t character = glob_take(text);
    switch (*pattern->at) {
    case '?':
        pattern->at++;
        return true;
    case '[':
        pattern->at++;
        return glob_in_class(pattern, character);
    case '\\':
        pattern->at++;
        break;
    default:
        break;
    }
    return glob_take(pattern) == character;
}

/* Only the last "*" ever has to take more: what stands before it has matched, and an earlier one
 * that took more could not do better. So there is no recursion. */
bool alv_glob_match(alv_view pattern_text, alv_view text)
{
    glob_cursor pattern = glob_begin(pattern_text);
    glob_cursor rest = glob_begin(text);
    glob_cursor star = {NULL, NULL}; /* behind the last "*"; none yet */
    glob_cursor taken = rest;        /* what that one has taken ends here */
    while (!glob_ended(&rest)) {
        if (!glob_ended(&pattern) && *pattern.at == '*') {
            pattern.at++;
            star = pattern;
            taken = rest;
        } else if (glob_ended(&pattern) || !glob_step(&pattern, &rest)) {
            if (star.end == NULL) {
                return false;
            }
            (void)glob_take(&taken);
            pattern = star;
            rest = taken;
        }
    }
    while (!glob_ended(&pattern) && *pattern.at == '*') {
        pattern.at++;
    }
    return glob_ended(&pattern);
}

size_t alv_glob_literal(alv_view pattern)
{
    size_t size = 0;
    while (size < pattern.size && memchr("*?[\\", pattern.data[size], 4) == NULL) {
        size++;
    }
    return size;
}

/* ---- checking -------------------------------------------------------------------------------- */

static bool glob_check_class(glob_cursor *pattern)
{
    uint32_t ignored;
    pattern->at += !glob_ended(pattern) && *pattern->at == '!';
    for (bool first = true; glob_take_member(pattern, first, &ignored); first = false) {
    }
    if (glob_ended(pattern)) {
        return false;
    }
    pattern->at++;
    return true;
}

alv_status alv_glob_check(alv_view text, alv_error *err)
{
    if (!alv_utf8_valid(text.data, text.size)) {
        return alv_fail(err, ALV_REJECT, "the pattern is not UTF-8");
    }
    glob_cursor pattern = glob_begin(text);
    while (!glob_ended(&pattern)) {
        int place = (int)(pattern.at - text.data);
        char piece = *pattern.at++;
        if (piece == '[' && !glob_check_class(&pattern)) {
            return alv_fail(err, ALV_REJECT, "the \"[\" at byte %d of the pattern is not closed",
                            place);
        }
        if (piece == '\\') {
            if (glob_ended(&pattern)) {
                return alv_fail(err, ALV_REJECT,
                                "nothing follows the \"\\\" that ends the pattern");
            }
            (void)glob_take(&pattern);
        }
    }
    return ALV_OK;
}
