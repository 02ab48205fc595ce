/* effects_internal.h — what effects.c (changes of the state, reply, rejection) and effects_outputs.c (what
 * is sent to others) share.
 */
#ifndef ALV_PROCESSOR_EFFECTS_INTERNAL_H
#define ALV_PROCESSOR_EFFECTS_INTERNAL_H

#include "base/bytes.h"
#include "processor/effects.h"

typedef enum effect_kind {
    EFFECT_SET,
    EFFECT_UNSET,
    EFFECT_REPLACE,
    EFFECT_DELETE,
} effect_kind;

typedef struct effect {
    effect_kind kind;
    size_t field_at; /* of the NUL-terminated name in `fields`; set, unset */
    json_t *value;   /* owned; set, replace; NULL once applied */
} effect;

/* Where a text is in `texts`, which moves while it grows. */
typedef struct effect_text {
    size_t at;
    size_t size;
    bool is_there;
} effect_text;

typedef struct effect_output {
    alv_output_kind kind;
    effect_text key;
    effect_text value;
    effect_text idempotency_key;
    effect_text on_reply;
    int64_t due_ms;
} effect_output;

struct alv_effects {
    effect *items;
    size_t count;
    size_t capacity;
    alv_bytes fields; /* names, each with its NUL */
    effect_output *outputs;
    size_t output_count;
    size_t output_capacity;
    alv_bytes texts; /* of the outputs, each with a NUL behind it */
    alv_table_lookup tables;
    json_t *reply;   /* owned; NULL = none, or not built */
    bool has_timers; /* some output sets or cancels one */
    bool deletes;    /* some item is a deletion */
    bool reply_wanted;
    bool rejected; /* nothing is added any more */
    bool failed;   /* by alv_fatal; `rejected` as well, and `rejection` has its text */
    char rejection[ALV_REJECTION_BYTES_MAX];
};

/* Rejects unless `value` is there and can be written and read back. */
void alv_effects_check_value(alv_effects *effects, const json_t *value);

/* Forgets what is to be sent. */
void alv_effects_drop_outputs(alv_effects *effects);

#endif
