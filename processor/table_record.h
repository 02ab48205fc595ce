/* table_record.h — which versions of the global tables the handlers of a shard have seen.
 *
 * I12: the versions that a shard's handlers see never go backwards, wherever the shard is executed, and what they
 * changed says which versions it was made from.
 *   - Within a process views only get newer (statestore/tables.h), and a transaction has one (table_pin.h).
 *   - A transaction whose handlers looked something up writes the versions to the ledger of the shard, together
 *     with its position record, unless they stand there already; and as a header to the records of the
 *     changelog. All of it is one Kafka transaction: an aborted one leaves no trace.
 *   - Whoever gets the shard next restores its ledger first, and lets the shard go on only when its own copies
 *     cover what stands there (rebalance.c). That ends, because the copies are of the same log: what a committed
 *     transaction saw is committed there.
 * A command that runs again after an abort or a crash may see a newer version than the first time, of which
 * nothing was committed; never an older one than anything that was.
 *
 * Notation: {"prices":{"topic":"<Kafka's id of it>","offsets":[12,40]}}, offsets by partition, exclusive. A
 * topic that was deleted and made anew has another id, and its versions begin anew.
 *
 * Thread: the lane that has the shard.
 * Owns:   what it holds.
 */
#ifndef ALV_PROCESSOR_TABLE_RECORD_H
#define ALV_PROCESSOR_TABLE_RECORD_H

#include "base/status.h"
#include "statestore/store.h"
#include "statestore/tables.h"

typedef struct alv_table_record {
    uint32_t read;    /* by number: tables that handlers of the open transaction looked at */
    json_t *recorded; /* what the ledger has; NULL = nothing */
    json_t *next;     /* what the open transaction writes; NULL = nothing */
    alv_bytes text;   /* of `next` */
    alv_bytes header; /* versions of `read` */
    alv_store_write write;
} alv_table_record;

void alv_table_record_done(alv_table_record *record);

/* The shard was restored: `text` is what its ledger has, absent when nothing. ALV_REJECT: it is not ours. */
alv_status alv_table_record_load(alv_table_record *record, alv_view text, alv_error *err);

/* Whether the view has all that the shard has seen; else `err` says what is missing. Tables that are no longer
 * configured, or whose topic was made anew, are not waited for. */
bool alv_table_record_is_covered(const alv_table_record *record, const alv_table_list *list,
                                 const alv_tables_view *view, alv_error *err);

/* Handlers of the open transaction have looked at `read`, in `view`. Makes `header` and returns what is to be
 * written to the ledger, NULL when it stands there. Valid until commit or rewind. */
const alv_store_write *alv_table_record_prepare(alv_table_record *record,
                                                const alv_table_list *list,
                                                const alv_tables_view *view);

/* The open transaction was committed; it was undone. */
void alv_table_record_commit(alv_table_record *record);
void alv_table_record_rewind(alv_table_record *record);

#endif
