/* config_internal.h — what the config_*.c files share: the table of keys and the values in effect.
 *
 * Why:    reading, checking and printing are three subjects over one table.
 * Thread: as config.h.
 */
#ifndef ALV_BASE_CONFIG_INTERNAL_H
#define ALV_BASE_CONFIG_INTERNAL_H

#include "base/config.h"

typedef enum alv_config_type {
    ALV_CONFIG_TEXT,
    ALV_CONFIG_LIST,   /* text; items at commas, without blanks around them */
    ALV_CONFIG_INT,    /* whole number, min..max; a min of -1 stands for "-1, or 1..max" */
    ALV_CONFIG_BYTES,  /* whole number, min..max, with KiB, MiB, GiB, TiB or nothing behind it */
    ALV_CONFIG_BOOL,   /* true or false */
    ALV_CONFIG_CHOICE, /* one of `choices` */
} alv_config_type;

/* One row of the table. */
typedef struct alv_config_key {
    const char *name;
    alv_config_type type;
    size_t offset;       /* of the member in alv_settings */
    int64_t min;         /* INT, BYTES */
    int64_t max;         /* INT, BYTES */
    const char *choices; /* CHOICE: "leave|stay" */

    /* The default, as one would write it. NULL = none; then an empty value is allowed and means
     * "not set", and `computed` says in words what alv_config_finish puts there, if anything. */
    const char *fallback;
    const char *computed;

    /* Not NULL: the feature is not yet available, and this is the only value that is accepted. With
     * ALV_CONFIG_NOTHING no value is. */
    const char *only;

    bool secret;         /* passwords in it are not shown */
    bool hidden;         /* nothing of it is shown */
    const char *meaning; /* for the documentation */
} alv_config_key;

/* No value is written like this: a value never keeps blanks at its ends. */
#define ALV_CONFIG_NOTHING " "

extern const alv_config_key alv_config_keys[];
extern const size_t alv_config_key_count;

/* Index of the key, or alv_config_key_count. */
size_t alv_config_key_find(const char *name);

/* The known key that `name` was probably meant to be, or NULL. */
const char *alv_config_key_nearest(const char *name);

/* Who said it, in rising order of authority. */
typedef enum alv_config_rank {
    ALV_CONFIG_DEFAULT,
    ALV_CONFIG_COMPUTED,
    ALV_CONFIG_FILE,
    ALV_CONFIG_COMMAND_LINE,
} alv_config_rank;

typedef struct alv_config_origin {
    alv_config_rank rank;
    char *place; /* "FILE:LINE" or "-X"; owned; NULL for the first two */
    char *
        reference; /* "${file:...}" or "${env:...}", where the value came from; owned; NULL = none */
} alv_config_origin;

struct alv_config {
    alv_settings settings;
    char **texts;               /* per key: what a text member of `settings` points to; owned */
    alv_config_origin *origins; /* per key */
    alv_property *kafka;        /* without "kafka."; each key once */
    alv_config_origin *kafka_origins;
    size_t kafka_count;
};

/* "default", "computed", "FILE:LINE" or "-X". */
const char *alv_config_origin_text(const alv_config_origin *origin);

/* Parses `text` (no blanks at its ends) by the rules of key number `index` and puts it into the
 * settings. `place` is where it was written; NULL for the defaults. ALV_REJECT. */
alv_status alv_config_value_set(alv_config *config, size_t index, const char *text,
                                const char *place, alv_error *err);

/* config_secret.c: whether a setting of librdkafka's is a secret, by its name. */
bool alv_config_is_secret_name(const char *name);

/* config_print.c: appends a connection string without the passwords in it. */
void alv_config_hide_passwords(const char *url, alv_bytes *out);

/* The value that "${file:PATH}" or "${env:NAME}" stands for, without line ends behind it; the caller frees it.
 * NULL when the text is no reference. ALV_REJECT: it cannot be read, or may not be one. */
alv_status alv_config_dereference(const char *place, const char *key, const char *text,
                                  bool is_allowed, char **out, alv_error *err);

/* config_token.c: reads http.auth.token.file, if it is set, and checks the tokens. ALV_REJECT. */
alv_status alv_config_load_token(alv_config *config, alv_error *err);

/* The value in effect as one would write it; empty when it is not set. */
void alv_config_value_text(const alv_config *config, size_t index, alv_bytes *out);

#endif
