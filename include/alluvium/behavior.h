/* alluvium/behavior.h — all that the author of a behavior needs.
 *
 * A behavior answers the commands of one entity type: (state, command, now) -> effects. It is a
 * table of rows, each naming a command, the fields it must carry and the handler:
 *
 *     static void greet(const json_t *state, const alv_command *command, int64_t now_ms,
 *                       alv_effects *effects)
 *     {
 *         json_int_t count = json_integer_value(json_object_get(state, "count")) + 1;
 *         alv_set(effects, "count", json_integer(count));
 *         alv_reply(effects, "{s:I}", "count", count);
 *     }
 *
 *     static const alv_command_row rows[] = {
 *         {.name = "greet", .handler = greet, .fields = {ALV_REQUIRED("name", ALV_FIELD_TEXT)}},
 *     };
 *     const alv_behavior greeter = {
 *         ALV_BEHAVIOR_HEAD, .type = "greeter", .commands = rows, .command_count = 1,
 *     };
 *
 * Rules: a handler is pure. It sees the state as it was before the command, changes nothing in
 *        place, asks for effects, and uses no I/O, clock, randomness or globals: the same command
 *        may run again after a crash and must give the same effects. Effects take hold together
 *        when the handler returns, in the order in which they were asked for, and not at all when
 *        it rejects. All of them, with the consumed command, are one Kafka transaction.
 *
 * Thread: handlers run on lane threads; two entities may be handled at the same time.
 * Values: jansson's. "steals" means that the function takes over the caller's reference, always;
 *         "borrowed" values are valid until the handler returns. A value that is already in the
 *         state or the command may be part of a new one: json_incref it.
 *
 * docs/behaviors.md is the guide: effects, sagas, timers, idempotency, by example.
 */
#ifndef ALLUVIUM_BEHAVIOR_H
#define ALLUVIUM_BEHAVIOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the program and its libraries see of one another; everything else is compiled to be hidden. */
#define ALV_PUBLIC __attribute__((visibility("default")))

/* Grows when this header changes incompatibly; a behavior compiled against another is not loaded.
 * New members are only ever added at the end of a struct, which does not make it grow: a behavior
 * says how large its structs are (ALV_BEHAVIOR_HEAD), and what it does not have counts as zero. */
#define ALV_BEHAVIOR_ABI 3u

/* Longest name of an entity type, a command or a field, in bytes. */
#define ALV_NAME_BYTES_MAX 64

typedef struct alv_command {
    const char *name;   /* the value of "type" */
    const char *key;    /* the entity's key, NUL-terminated */
    const char *id;     /* the key without its "type/" prefix */
    const json_t *body; /* the whole command, a JSON object whose declared fields were checked */

    /* Who emitted it: the key of an entity; NULL when it came from outside. */
    const char *from;

    /* Its idempotency key, NULL when it has none. */
    const char *idempotency_key;

    /* The timer that it is (see alv_timer_set), and when that was due; NULL when it is a command that
     * somebody sent. Only the entity itself sets its timers, so a handler can trust this. */
    const char *timer;
    int64_t due_ms;
} alv_command;

/* ---- effects --------------------------------------------------------------------------------- */

/* Collects what a handler asks for. Limits, beyond which the command is rejected: 4,096 changes of
 * the state; 256 emitted commands, events and timers, of 256 KiB each and 2 MiB together; a member's name of
 * 512 bytes; values nested 128 deep. The encoded state must stay below 1,000,000 bytes, or the
 * command goes to the dead letters. */
typedef struct alv_effects alv_effects;

/* Sets one member of the state. Steals `value`; NULL counts as a failure of the handler (the
 * command is rejected), so the result of json_string and the like needs no check. Copies `field`.
 * Creates the entity, starting from `init`, when there is none. */
ALV_PUBLIC void alv_set(alv_effects *effects, const char *field, json_t *value);

/* Removes one member of the state; nothing happens when it is absent. */
ALV_PUBLIC void alv_unset(alv_effects *effects, const char *field);

/* Replaces the whole state by an object; anything else counts as a failure. Steals `state`. */
ALV_PUBLIC void alv_replace(alv_effects *effects, json_t *state);

/* Deletes the entity: its key gets a tombstone in the changelog; nothing happens when it is
 * absent. Its timers are cancelled, except those that the same handler sets. */
ALV_PUBLIC void alv_delete(alv_effects *effects);

/* Answers the caller, in the notation of json_pack. Built only when somebody waits for the answer,
 * so arguments must be cheap and "o" (which steals) must not be used: take "O", or "O?" for a value
 * that may be NULL. The last call counts. For the same reason a reply that cannot be built does not
 * undo the effects: the caller gets `{"note": "the reply could not be built"}`. */
ALV_PUBLIC void alv_reply(alv_effects *effects, const char *format, ...);

/* Sends a command to another entity (or to the same one: it is executed later, like any other). It
 * goes through the command topic in the same transaction as the other effects, so it is executed
 * once or, when this command is rejected, not at all; commands for one entity from one entity are
 * executed in the order in which they were emitted.
 * `key` is the other entity's whole key, `command` an object with a member "type"; both are what a
 * client would send. Steals `command`, copies the texts.
 * `idempotency_key` (1 to 1,024 bytes, or NULL): a later command with the same key is not executed
 * again by that entity, but answered as the first one was.
 * `on_reply` (or NULL) names a command of this behavior with which the outcome comes back to this
 * entity, once for every execution and for every repeated answer:
 *     {"type": on_reply, "from": key, "idempotencyKey": ..., "accepted": true, "reply": ...}
 *     {"type": on_reply, "from": key, "idempotencyKey": ..., "accepted": false, "error": text}
 * It comes for every such command in the end: also for one that cannot be processed and becomes a
 * dead letter ("error" is then its reason, and the command is not executed any more). Only when the other
 * entity is quarantined the command waits, and its outcome comes when it is put back and executed. */
ALV_PUBLIC void alv_emit(alv_effects *effects, const char *key, json_t *command,
                         const char *idempotency_key, const char *on_reply);

/* Sets a timer of this entity, or sets it anew: at `due_ms` (ms since the epoch; `now_ms` + a delay) or
 * later, the entity executes `command`, an object with a member "type" that names a command of this
 * behavior. Steals `command`, copies `name` (1 to 64 bytes).
 * It is stored with the entity and fires once, whatever dies in between; late rather than never, and
 * never before commands that were in the log when it was due. `now_ms` of its handler is the time at
 * which it fires, so that time does not run backwards for an entity; command->due_ms is when it
 * should have. One whose due time has passed fires soon. A handler of a timer that rejects changes
 * nothing, and the timer is gone all the same.
 * Limits: 64 pending timers per entity, 384 KiB of commands; beyond, the command is rejected. */
ALV_PUBLIC void alv_timer_set(alv_effects *effects, const char *name, int64_t due_ms,
                              json_t *command);

/* Cancels a timer; nothing happens when none of that name is pending. */
ALV_PUBLIC void alv_timer_cancel(alv_effects *effects, const char *name);

/* Publishes a fact to the events topic, under this entity's key, in the same transaction. Steals
 * `event`, an object. Other than changes of the state, every event of a transaction is published. */
ALV_PUBLIC void alv_publish(alv_effects *effects, json_t *event);

/* Refuses the command: no effect takes hold, asked for before or after, and the caller is told
 * `{"error": text}`. The first call counts. The text is one line, cut after 500 bytes. */
ALV_PUBLIC void alv_reject(alv_effects *effects, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says that this entity cannot be worked with, for a reason that no caller can do anything about: its state is
 * not what the behavior ever writes, or a case has come that the behavior does not know. No effect takes
 * hold, asked for before or after, nor does a rejection; the command goes to the dead letters with reason
 * `failed` and this text, and may be retried from there. After `quarantine.after.failures` in a row [3] the
 * entity is quarantined: its commands wait in the dead letters, unseen by any handler, and its timers in the
 * ledger, until an operator releases it. The first call counts. The text is one line, cut after 500 bytes. */
ALV_PUBLIC void alv_fatal(alv_effects *effects, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- global tables --------------------------------------------------------------------------- */

/* Looks up a row of a global table (global.tables in the configuration): a compacted topic of which every node
 * holds a copy, so that this is no I/O. NULL when the table has no such row. Borrowed until the handler
 * returns, and never to be changed; as part of the state, or of what is sent, json_incref it.
 *
 * All commands of a transaction see the same version of each table. It is recorded with what they did, and
 * later commands of a shard never see an older one, on whichever node they run. A command that runs again,
 * because its transaction was aborted, may see a newer one.
 *
 * A table that is not configured rejects the command; a behavior that names its tables (see alv_behavior)
 * is not started without them. */
ALV_PUBLIC const json_t *alv_table_get(alv_effects *effects, const char *table, const char *key);

/* ---- times ----------------------------------------------------------------------------------- */

#define ALV_TIMESTAMP_BYTES 25 /* with the NUL */

/* Writes ms since the epoch as ISO 8601 UTC, "2026-01-02T03:04:05.678Z". False, and an empty text,
 * when the time is outside the years 0000 to 9999, which that notation cannot express. Pure: unlike
 * gmtime_r it takes no lock that all lanes would share. */
ALV_PUBLIC bool alv_timestamp_format(int64_t time_ms, char out[ALV_TIMESTAMP_BYTES]);

/* ---- the table ------------------------------------------------------------------------------- */

/* `state` is NULL when the entity does not exist (json_object_get takes that). `now_ms` is the
 * record's time in ms since the epoch, never the wall clock. All arguments are borrowed. */
typedef void (*alv_handler)(const json_t *state, const alv_command *command, int64_t now_ms,
                            alv_effects *effects);

typedef enum alv_field_kind {
    ALV_FIELD_NONE,     /* ends the list */
    ALV_FIELD_TEXT,     /* a string */
    ALV_FIELD_BOOLEAN,  /* true or false */
    ALV_FIELD_INTEGER,  /* a whole number */
    ALV_FIELD_POSITIVE, /* a whole number > 0 */
    ALV_FIELD_OBJECT,
    ALV_FIELD_ARRAY,
} alv_field_kind;

typedef struct alv_field {
    const char *name;
    alv_field_kind kind;
    bool optional; /* may be missing or null; when there, it must be of the kind */
} alv_field;

/* clang-format off */
#define ALV_REQUIRED(name, kind) {(name), (kind), false}
#define ALV_OPTIONAL(name, kind) {(name), (kind), true}
/* clang-format on */

#define ALV_FIELDS_MAX 8

/* `fields` ends at ALV_FIELD_NONE or when full; members it does not name are left alone. A command
 * that lacks a field or carries one of another kind never reaches the handler: it goes to the dead
 * letters with reason `bad-field`. */
typedef struct alv_command_row {
    const char *name;
    alv_handler handler;
    alv_field fields[ALV_FIELDS_MAX];
} alv_command_row;

/* A job of the cluster: every `every_ms` (100 ms to 366 days) the entity `<type>/<id>` gets the command
 * {"type": command, "due": ms}, from the first start of a node that has the behavior on. It is sent once
 * each time, by the node that has shard 0 at that moment, however many nodes there are; the entity may
 * be anywhere. What falls due while nobody is there is sent once, and not made up for. */
typedef struct alv_singleton {
    const char *id;
    const char *command; /* of this behavior */
    int64_t every_ms;
} alv_singleton;

/* How every behavior begins. */
#define ALV_BEHAVIOR_HEAD                                            \
    .abi = ALV_BEHAVIOR_ABI, .size = (uint32_t)sizeof(alv_behavior), \
    .row_size = (uint32_t)sizeof(alv_command_row)

typedef struct alv_behavior {
    uint32_t abi; /* these three by ALV_BEHAVIOR_HEAD */
    uint32_t size;
    uint32_t row_size;
    const char *type;                /* entity type: the part of a key before "/" */
    const alv_command_row *commands; /* names are unique */
    size_t command_count;

    /* The state a new entity starts from, before the first effects are applied; a new reference to
     * an object. May be NULL: then it is {}, as when the result is not an object. */
    json_t *(*init)(const char *key, const char *id);

    /* Whether an id is well formed; commands to others go to the dead letters, reason `bad-key`.
     * May be NULL: then every id is. */
    bool (*accepts)(const char *id);

    /* Jobs of the cluster; NULL and 0 without any. */
    const alv_singleton *singletons;
    size_t singleton_count;

    /* Names of the global tables that handlers look up; a node without one of them does not start. NULL
     * and 0 without any. */
    const char *const *tables;
    size_t table_count;

    /* Which version the states of this behavior have: 1 (or 0) at first, one more whenever handlers expect
     * something of a state that older ones do not have. A stored state of version 2 or later says so in its member
     * "$version", which handlers never see and cannot set. */
    uint32_t state_version;

    /* Brings a state of version `from`, which is lower than state_version, to state_version, by changing the object
     * in place: nobody else has it. Pure, as handlers are. Called when the entity gets its next command, before the
     * handler; what comes of it is stored with the next change. False: it cannot be done; the command goes to the
     * dead letters with reason `state-version`, as it does when the stored state is of a version higher than
     * state_version, and may be retried when a library is loaded that can. Required when state_version > 1. */
    bool (*migrate)(uint32_t from, json_t *state);

    /* An entity that has not changed for so long (1 s to 100 years; 0 = for ever), by the clock of the node that
     * owns it, is deleted: as by alv_delete, its timers with it, without a command. It happens between so long and
     * an eighth more, or later when nobody is there; never before commands that were in the log by then.
     * Commands that change nothing do not count. Entities that were there before the behavior said so count
     * from their next change. */
    int64_t expire_after_ms;
} alv_behavior;

/* ---- a library ------------------------------------------------------------------------------- */

/* One test of a behavior, written with alluvium/behavior_test.h. */
typedef struct alv_test alv_test;

typedef struct alv_test_case {
    const char *name;
    const alv_behavior *behavior;
    const char *key; /* of the entity that is tested, which does not exist yet */
    void (*run)(alv_test *test);
} alv_test_case;

/* How every library's table begins. */
#define ALV_LIBRARY_HEAD .abi = ALV_BEHAVIOR_ABI, .size = (uint32_t)sizeof(alv_behavior_library)

/* A shared object that `behavior.libraries` names tells with this table what it offers:
 *
 *     static const alv_behavior *const behaviors[] = {&greeter};
 *     const alv_behavior_library alluvium_library = {
 *         ALV_LIBRARY_HEAD, .name = "greeter", .version = "1.0.0",
 *         .behaviors = behaviors, .behavior_count = 1,
 *     };
 *
 * It is linked with nothing of Alluvium's: the program that loads it has the functions of this header. */
typedef struct alv_behavior_library {
    uint32_t abi; /* these two by ALV_LIBRARY_HEAD */
    uint32_t size;
    const char *name;    /* 1 to ALV_NAME_BYTES_MAX bytes, for people */
    const char *version; /* the same */
    const alv_behavior *const *behaviors;
    size_t behavior_count; /* at least 1 */

    /* What `alluvium behavior check` runs; NULL and 0 without any. A node runs none of it. */
    const alv_test_case *tests;
    size_t test_count;
} alv_behavior_library;

/* The name under which it is looked for. */
#define ALV_LIBRARY_SYMBOL "alluvium_library"
extern ALV_PUBLIC const alv_behavior_library alluvium_library;

#ifdef __cplusplus
}
#endif

#endif
