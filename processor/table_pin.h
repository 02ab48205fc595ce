/* table_pin.h — the view of the global tables that a lane's open transaction has.
 *
 * Why:    all handlers of a transaction see one version of each table, so that what was committed together
 *         was made from the same rows, and that version can be recorded with it. Taken at the first look, so
 *         that transactions whose handlers look nothing up pay nothing; let go of when the transaction has
 *         ended, so that the same commands, run again, see the same rows or newer ones.
 * Thread: the lane.
 * Owns:   its reference to the view.
 */
#ifndef ALV_PROCESSOR_TABLE_PIN_H
#define ALV_PROCESSOR_TABLE_PIN_H

#include "processor/effects.h"
#include "statestore/tables.h"

typedef struct alv_table_pin {
    alv_tables *tables;    /* borrowed; NULL = there are no global tables */
    alv_tables_view *view; /* NULL = nobody has looked yet */
    uint32_t read;         /* by number: tables looked at since this was cleared */
} alv_table_pin;
static_assert(ALV_TABLES_MAX <= 32, "a bit per table");

/* For alv_effects_set_tables; the pin must stay where it is. */
alv_table_lookup alv_table_pin_lookup(alv_table_pin *pin);

/* The transaction has ended. */
void alv_table_pin_release(alv_table_pin *pin);

#endif
