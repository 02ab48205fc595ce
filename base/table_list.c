#include "base/table_list.h"

#include <string.h>

/* Kafka's rule for topics; names of tables become labels and parts of paths. */
#define TABLE_LIST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

size_t alv_table_list_find(const alv_table_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) {
            return i;
        }
    }
    return ALV_TABLE_NONE;
}

/* Whether all of the text is what a name may be; then it is copied. */
static bool table_list_take(const char *text, size_t size, char *out, size_t out_size)
{
    if (size == 0 || size >= out_size || strspn(text, TABLE_LIST_CHARACTERS) < size) {
        return false;
    }
    memcpy(out, text, size);
    out[size] = '\0';
    return strcmp(out, ".") != 0 && strcmp(out, "..") != 0;
}

/* "name" or "name=topic", of `size` bytes. */
static alv_status table_list_add(alv_table_list *list, const char *text, size_t size,
                                 alv_error *err)
{
    if (list->count == ALV_TABLES_MAX) {
        return alv_fail(err, ALV_REJECT, "at most %d tables", ALV_TABLES_MAX);
    }
    alv_table_item item;
    const char *equals = memchr(text, '=', size);
    size_t name_size = equals == NULL ? size : (size_t)(equals - text);
    const char *topic = equals == NULL ? text : equals + 1;
    if (!table_list_take(text, name_size, item.name, sizeof item.name) ||
        !table_list_take(topic, (size_t)(text + size - topic), item.topic, sizeof item.topic)) {
        return alv_fail(err, ALV_REJECT,
                        "%.*s: must be NAME or NAME=TOPIC, of A-Z a-z 0-9 . _ -, a name of at most "
                        "%d characters",
                        (int)size, text, ALV_TABLE_NAME_BYTES - 1);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, item.name) == 0 ||
            strcmp(list->items[i].topic, item.topic) == 0) {
            return alv_fail(err, ALV_REJECT, "%.*s: this table or its topic is there twice",
                            (int)size, text);
        }
    }
    list->items[list->count++] = item;
    return ALV_OK;
}

alv_status alv_table_list_parse(const char *text, alv_table_list *out, alv_error *err)
{
    out->count = 0;
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t size = strcspn(at, ",");
        alv_status status = table_list_add(out, at, size, err);
        if (status != ALV_OK) {
            return status;
        }
        at += at[size] == ',' ? size + 1 : size;
    }
    return ALV_OK;
}
