#include "cli/cli_shards.h"

/* Takes a number of at most four digits off the front of the text. */
static bool shards_number(const char **text, int32_t *out)
{
    int32_t number = 0;
    int digits = 0;
    for (; **text >= '0' && **text <= '9' && digits < 5; (*text)++, digits++) {
        number = number * 10 + (**text - '0');
    }
    *out = number;
    return digits > 0 && number < ALV_SHARDS_MAX;
}

static bool shards_add_range(alv_cli_shards *shards, const char **text)
{
    int32_t first = 0;
    if (!shards_number(text, &first)) {
        return false;
    }
    int32_t last = first;
    if (**text == '-') {
        (*text)++;
        if (!shards_number(text, &last) || last < first) {
            return false;
        }
    }
    for (int32_t shard = first; shard <= last; shard++) {
        shards->chosen[shard] = true;
    }
    return true;
}

bool alv_cli_shards_add(alv_cli_shards *shards, const char *text)
{
    shards->some = true;
    while (shards_add_range(shards, &text)) {
        if (*text == '\0') {
            return true;
        }
        if (*text++ != ',') {
            return false;
        }
    }
    return false;
}

bool alv_cli_shards_has(const alv_cli_shards *shards, int32_t shard)
{
    return !shards->some || shards->chosen[shard];
}

int32_t alv_cli_shards_last(const alv_cli_shards *shards)
{
    int32_t last = -1;
    for (int32_t shard = 0; shards->some && shard < ALV_SHARDS_MAX; shard++) {
        last = shards->chosen[shard] ? shard : last;
    }
    return last;
}
