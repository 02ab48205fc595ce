/* chaos_load_kind.h — what a load sends, and how it knows what must come of it.
 *
 * Why:    the same things go wrong under different loads; only commands and truth are their own.
 * How:    chaos_load.h owns the producer, its thread and the rate; a kind is a table of functions over
 *         memory of its own.
 * Thread: said in each place. The truth is asked for only while nothing is produced.
 */
#ifndef ALV_TESTS_SUPPORT_CHAOS_LOAD_KIND_H
#define ALV_TESTS_SUPPORT_CHAOS_LOAD_KIND_H

#include "tests/support/chaos_load.h"

struct alv_chaos_load_kind {
    const char *name;
    int users; /* unless told otherwise, as the rate */
    int rate;  /* steps per second */
    bool
        is_alone; /* nothing but what it sends becomes a command or takes effect: no emits, no timers */
    void *(*open)(alv_chaos_load *load, const alv_chaos_load_options *options);
    void (*close)(void *self);

    /* ---- the load's thread ---- */

    /* Sends a command, or a few that belong together. */
    void (*step)(void *self);
    /* A command that was sent with a `tag` that is not 0 is in the log. */
    void (*acknowledged)(void *self, int tag, int64_t offset);

    /* ---- main, while nothing is produced ---- */

    /* What has not come to its end by these states of the changelog. NULL = every command is an end. */
    size_t (*pending)(void *self, json_t *changelog);
    /* See alv_chaos_load_keys and those below it. */
    json_t *(*keys)(void *self);
    json_t *(*states)(void *self, json_t *changelog);
    json_t *(*dead_letters)(void *self);
    /* Whatever else must hold; fails the running cmocka test. NULL = nothing. */
    void (*check)(void *self, const alv_cluster *cluster, json_t *changelog);
    /* What readers may ask for; borrowed. NULL = nothing. */
    alv_chaos_counters *(*counters)(void *self);
};

/* A command is sent with its number as "n" in front. */
typedef struct alv_chaos_command {
    const char *key;
    const char *value;           /* a JSON object with at least one member */
    const char *idempotency_key; /* NULL = none */
    int64_t timestamp_ms;        /* 0 = now */
    int tag;                     /* 0 = nobody wants to hear that it is in the log */
} alv_chaos_command;

/* The load's thread: produces a command, whose number is what alv_chaos_load_sent was before. */
void alv_chaos_load_send(alv_chaos_load *load, const alv_chaos_command *command);

#endif
