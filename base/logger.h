/* logger.h — one line per event, key=value, on stderr.
 *
 * Why:    only the owners of threads log (node, lane, replicator, checkpointer, http); everything
 *         below returns errors. So each error is said once, by the one who decides what it means.
 *         librdkafka's and RocksDB's own messages enter through the same door.
 * Thread: any; a line is written with one write(2), so lines never mix.
 * Fails:  never: a log that cannot be written is lost. One that nobody reads (a pipe that is full) holds its threads
 *         up for a tenth of a second once; then lines are lost until there is room, and `event=log-lost lines=N` says
 *         how many.
 */
#ifndef ALV_BASE_LOGGER_H
#define ALV_BASE_LOGGER_H

#include "base/status.h"

typedef enum alv_log_level {
    ALV_LOG_NOTHING = -1, /* for set_level alone */
    ALV_LOG_ERROR,
    ALV_LOG_WARN,
    ALV_LOG_INFO,
    ALV_LOG_DEBUG,
} alv_log_level;

/* Sets what is written from now on; the default is ALV_LOG_INFO. */
void alv_log_set_level(alv_log_level level);
bool alv_log_enabled(alv_log_level level);

/* Names the calling thread in its log lines (thread=lane-0) and for debuggers and top -H; copied,
 * cut to 15 characters. */
void alv_log_set_thread(const char *name);

/* Writes `2026-11-21T10:00:00.123Z level=info thread=lane-0 event=EVENT FORMAT...`. `event` is a
 * short fixed word (shard-state, commit-aborted); the rest is key=value pairs, text values in
 * quotes (msg="..."). Control characters in values are escaped, so one event is one line. A line
 * longer than 4096 bytes is cut. */
void alv_log(alv_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, and `text` follows as msg="..." with its quotes and backslashes escaped: for messages
 * that somebody else wrote (librdkafka, RocksDB). */
void alv_log_text(alv_log_level level, const char *event, const char *text, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Logs an error's text, source, code and place after `format`. */
void alv_log_error(alv_log_level level, const char *event, const alv_error *err, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

#endif
