/* effects.h — what a handler asked for, before it takes hold.
 *
 * Why:    collecting first and applying afterwards makes a rejection free: there is nothing to
 *         undo. Handlers fill it through alluvium/behavior.h; the shard reads and applies it.
 * Thread: one lane; one alv_effects is reused for every command of the lane.
 * Owns:   the values handed in, until they are applied or cleared.
 * Limits: as below; a handler that goes beyond is rejected. Memory is kept from command to command,
 *         so that the usual command allocates nothing here but jansson's values.
 */
#ifndef ALV_PROCESSOR_EFFECTS_H
#define ALV_PROCESSOR_EFFECTS_H

#include "base/bytes.h"
#include "base/status.h"
#include "include/alluvium/behavior.h"

#define ALV_EFFECTS_MAX 4096            /* set, unset, replace, delete of one command */
#define ALV_EFFECTS_FIELD_BYTES_MAX 512 /* a member's name */

/* Nesting of one value. Far below jansson's 2,048, so that a state can always be read back; it also
 * catches a value that contains itself. */
#define ALV_EFFECTS_DEPTH_MAX 128

/* A rejection's text, with its NUL. */
#define ALV_REJECTION_BYTES_MAX 501

alv_effects *alv_effects_new(void);
void alv_effects_free(alv_effects *effects);

/* Forgets the last command's effects. `reply_wanted`: whether alv_reply builds a value. */
void alv_effects_begin(alv_effects *effects, bool reply_wanted);

/* Where alv_table_get looks: the row (borrowed at least until the handler has returned), NULL when there is none.
 * *out_known: whether there is a table of that name. `payload` NULL and `get` NULL: there are no tables. */
typedef struct alv_table_lookup {
    const json_t *(*get)(void *payload, const char *table, const char *key, bool *out_known);
    void *payload;
} alv_table_lookup;

/* For all handlers from now on. */
void alv_effects_set_tables(alv_effects *effects, alv_table_lookup lookup);

/* The text of a rejection, NULL when the handler did not reject. */
const char *alv_effects_rejection(const alv_effects *effects);

/* The text of alv_fatal, NULL when the handler did not call it; it then counts as not rejected, and there are
 * no effects. */
const char *alv_effects_failure(const alv_effects *effects);

/* Whether applying would change the state of an entity that exists (or not): false for a rejection
 * and for the deletion of what is not there. An unset always counts as a change of an entity that
 * exists. */
bool alv_effects_changes(const alv_effects *effects, bool exists);

/* Applies set, unset, replace, delete in the order they were asked for, to *state (a reference that
 * the caller owns; NULL = no entity; replaced or released as needed). The object is changed in
 * place only if that is the one reference to it; otherwise (the reply holds it, the caller keeps it
 * to go back) a shallow copy takes its place. Values below the top level never change, so they may
 * be shared. Must not be called after a rejection, and once per command. */
void alv_effects_apply(alv_effects *effects, const alv_behavior *behavior, const char *key,
                       const char *id, json_t **state);

/* ---- what goes to others --------------------------------------------------------------------- */

typedef enum alv_output_kind {
    ALV_OUTPUT_COMMAND,
    ALV_OUTPUT_EVENT,
    ALV_OUTPUT_TIMER_SET,
    ALV_OUTPUT_TIMER_CANCEL,
} alv_output_kind;

/* Encoded as it is to be written; borrowed until the next begin. Views that do not apply are absent. */
typedef struct alv_output {
    alv_output_kind kind;
    alv_view key; /* of the entity that a command is for; NUL-terminated name of a timer */
    alv_view value;
    int64_t due_ms; /* of a timer that is set */
    alv_view idempotency_key;
    alv_view on_reply; /* NUL-terminated */
} alv_output;

/* Whether timers are set or cancelled; whether the entity is deleted, at least for a while. */
bool alv_effects_has_timers(const alv_effects *effects);
bool alv_effects_deletes(const alv_effects *effects);

/* In the order in which they were asked for; none after a rejection. */
size_t alv_effects_output_count(const alv_effects *effects);
alv_output alv_effects_output(const alv_effects *effects, size_t index);

/* The reply, borrowed until the next begin; NULL when there is none. For a rejection:
 * {"error":...}. */
json_t *alv_effects_reply(alv_effects *effects);

#endif
