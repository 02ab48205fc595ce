#include "base/nearest.h"

#include <string.h>

static size_t nearest_min(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Levenshtein's distance: insertions, deletions and replacements that turn `from` into `to`. `row`
 * is one line of the usual table, overwritten line by line. Both words are short enough. */
static size_t nearest_distance(const char *from, const char *to)
{
    size_t row[ALV_NEAREST_BYTES_MAX + 1];
    size_t to_length = strlen(to);
    for (size_t j = 0; j <= to_length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; from[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= to_length; j++) {
            size_t replaced = diagonal + (from[i - 1] != to[j - 1]);
            diagonal = row[j];
            row[j] = nearest_min(replaced, nearest_min(row[j], row[j - 1]) + 1);
        }
    }
    return row[to_length];
}

const char *alv_nearest(const char *word, const char *const *names, size_t count)
{
    size_t length = strlen(word);
    if (length == 0 || length > ALV_NEAREST_BYTES_MAX) {
        return NULL;
    }
    const char *nearest = NULL;
    size_t best = length / 3 > 1 ? length / 3 : 1;
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) > ALV_NEAREST_BYTES_MAX) {
            continue;
        }
        size_t distance = nearest_distance(word, names[i]);
        if (distance < best || (distance == best && nearest == NULL)) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}
