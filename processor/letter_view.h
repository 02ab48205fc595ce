/* letter_view.h — a dead letter as people see it: read back from its record.
 *
 * Why:    command line and API show the same of it (dead_letter.h writes what is read here).
 * Thread: any.
 * Owns:   its texts, which are fit for a terminal: UTF-8 on one line, cut after 2,047 bytes.
 */
#ifndef ALV_PROCESSOR_LETTER_VIEW_H
#define ALV_PROCESSOR_LETTER_VIEW_H

#include "topics/log_port.h"

typedef struct alv_letter_view {
    int32_t shard;
    int64_t offset;
    int64_t at_ms;
    int64_t retried_at_ms; /* 0 = never, as far as is known; for the user of the view */
    int64_t origin_offset; /* in the command topic; -1 = it was a timer */
    bool answered;         /* whoever emitted the command was told that it failed */
    bool has_key;
    char *key; /* NUL-terminated */
    char *reason;
    char *detail;
    char *action;
    char *origin; /* "topic/partition/offset" */
} alv_letter_view;

/* Of a record of the dead letters whose batch is held. The caller's. */
alv_letter_view alv_letter_view_of(const alv_log_port *log, const alv_record *record);
void alv_letter_view_done(alv_letter_view *view);

/* Whether a record is no letter but says that one was retried; *out_offset is that one's. */
bool alv_letter_is_mark(const alv_log_port *log, const alv_record *record, int64_t *out_offset);

/* The value of a header of a record; absent when there is none. */
alv_view alv_letter_header(const alv_log_port *log, const alv_record *record, const char *name);

#endif
