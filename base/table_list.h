/* table_list.h — what global.tables says: which tables there are, and the topic that each is a copy of.
 *
 * Why:    the configuration checks it, the topics are found by it, the copies are named by it.
 * Thread: any; pure.
 * Owns:   nothing; the list is a value of some kilobytes.
 *
 *     global.tables=prices,limits=shop.customer-limits
 *
 * is the table `prices` from the topic of that name, and `limits` from another one. A table's number is its
 * place in the list.
 */
#ifndef ALV_BASE_TABLE_LIST_H
#define ALV_BASE_TABLE_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/status.h"

#define ALV_TABLE_NAME_BYTES 65   /* with the NUL */
#define ALV_TABLE_TOPIC_BYTES 250 /* Kafka: 249 characters */

typedef struct alv_table_item {
    char name[ALV_TABLE_NAME_BYTES];
    char topic[ALV_TABLE_TOPIC_BYTES];
} alv_table_item;

typedef struct alv_table_list {
    alv_table_item items[ALV_TABLES_MAX];
    size_t count;
} alv_table_list;

/* `text` is the value of the key, NULL when there is none. ALV_REJECT: a name or topic that cannot be, one
 * that is there twice, or too many. */
alv_status alv_table_list_parse(const char *text, alv_table_list *out, alv_error *err);

/* Number of the table, ALV_TABLE_NONE when there is none of that name. */
#define ALV_TABLE_NONE SIZE_MAX
size_t alv_table_list_find(const alv_table_list *list, const char *name);

#endif
