#include "base/logger.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

/* What a pipe takes in one piece. A longer line is cut. */
#define LOGGER_LINE_BYTES_MAX PIPE_BUF
#define LOGGER_THREAD_BYTES 16 /* what the kernel keeps, with the NUL */

/* A reader that is busy for a moment. */
#define LOGGER_PATIENCE_MS 100

static atomic_int logger_level = ALV_LOG_INFO;
static pthread_mutex_t logger_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t logger_lost; /* lines that found no room, since the last that did; under the lock */
static _Thread_local char logger_thread[LOGGER_THREAD_BYTES] = "main";

typedef struct logger_line {
    size_t size;
    char data[LOGGER_LINE_BYTES_MAX];
} logger_line;

void alv_log_set_level(alv_log_level level)
{
    atomic_store_explicit(&logger_level, (int)level, memory_order_relaxed);
}

bool alv_log_enabled(alv_log_level level)
{
    return (int)level <= atomic_load_explicit(&logger_level, memory_order_relaxed);
}

void alv_log_set_thread(const char *name)
{
    (void)snprintf(logger_thread, sizeof logger_thread, "%s", name); /* cut when it is longer */
    /* The first thread's name is the process's name in ps, which stays what it is. */
    if (gettid() != getpid()) {
        (void)pthread_setname_np(pthread_self(), logger_thread); /* only for people who look */
    }
}

static const char *logger_level_name(alv_log_level level)
{
    switch (level) {
    case ALV_LOG_NOTHING:
        break;
    case ALV_LOG_ERROR:
        return "error";
    case ALV_LOG_WARN:
        return "warn";
    case ALV_LOG_INFO:
        return "info";
    case ALV_LOG_DEBUG:
        return "debug";
    }
    return "unknown";
}

/* All of `piece` or nothing, so that no escape is cut in half; the last byte is for the line
 * end. */
static void logger_add(logger_line *line, const char *piece, size_t size)
{
    if (size >= sizeof line->data - line->size) {
        return;
    }
    memcpy(line->data + line->size, piece, size);
    line->size += size;
}

static void logger_add_text(logger_line *line, const char *text)
{
    logger_add(line, text, strlen(text));
}

/* One character of a value: control characters are written as escapes, and so are `"` and `\` when
 * the logger itself put the value into quotes. */
static void logger_add_char(logger_line *line, const char *sequence, size_t size, bool quoted)
{
    unsigned char c = (unsigned char)*sequence;
    char escape[8];
    if (c == '\n') {
        logger_add(line, "\\n", 2);
    } else if (c == '\r') {
        logger_add(line, "\\r", 2);
    } else if (c == '\t') {
        logger_add(line, "\\t", 2);
    } else if (size == 0 || c < 0x20 || c == 0x7f) {
        logger_add(line, escape, (size_t)snprintf(escape, sizeof escape, "\\x%02x", c));
    } else if (quoted && (c == '"' || c == '\\')) {
        logger_add(line, (const char[]){'\\', (char)c}, 2);
    } else {
        logger_add(line, sequence, size);
    }
}

/* `room` bytes at the end of the line are left free for what must still follow. */
static void logger_add_value(logger_line *line, const char *value, bool quoted, size_t room)
{
    size_t size = strlen(value);
    for (size_t at = 0; at < size;) {
        if (line->size + room + ALV_UTF8_BYTES_MAX >= sizeof line->data) {
            return;
        }
        size_t length = alv_utf8_sequence(value + at, size - at);
        logger_add_char(line, value + at, length, quoted);
        at += length == 0 ? 1 : length;
    }
}

static void logger_add_quoted(logger_line *line, const char *key, const char *value, size_t room)
{
    logger_add(line, " ", 1);
    logger_add_text(line, key);
    logger_add(line, "=\"", 2);
    logger_add_value(line, value, true, room + 1);
    logger_add(line, "\"", 1);
}

static void logger_begin(logger_line *line, alv_log_level level, const char *event)
{
    char now[ALV_CLOCK_TEXT_BYTES];
    line->size = 0;
    logger_add_text(line, alv_clock_format(alv_now_ms(alv_clock_system()), now));
    logger_add_text(line, " level=");
    logger_add_text(line, logger_level_name(level));
    logger_add_text(line, " thread=");
    logger_add_text(line, logger_thread);
    logger_add_text(line, " event=");
    logger_add_text(line, event);
}

static void logger_add_format(logger_line *line, size_t room, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void logger_add_format(logger_line *line, size_t room, const char *format, va_list arguments)
{
    char rest[LOGGER_LINE_BYTES_MAX];
    if (vsnprintf(rest, sizeof rest, format, arguments) <= 0) {
        return;
    }
    logger_add(line, " ", 1);
    logger_add_value(line, rest, false, room);
}

static void logger_put(const char *data, size_t left)
{
    while (left > 0) {
        ssize_t written = write(STDERR_FILENO, data, left);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return; /* there is nobody to tell */
        }
        data += written;
        left -= (size_t)written;
    }
}

/* A pipe that can be written takes PIPE_BUF bytes without waiting (poll(2), pipe(7)), so a line. */
static bool logger_has_room(int timeout_ms)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&out, 1, timeout_ms) != 0; /* an error is for write to tell */
}

static void logger_tell_lost(void)
{
    char lines[32];
    logger_line line;
    logger_begin(&line, ALV_LOG_WARN, "log-lost");
    (void)snprintf(lines, sizeof lines, " lines=%" PRId64 "\n", logger_lost);
    logger_add_text(&line, lines);
    logger_put(line.data, line.size);
    logger_lost = 0;
}

/* Whoever does not read what is logged must not hold up lanes: after a moment of patience lines are lost, and
 * counted, until there is room again. */
static bool logger_may_write(void)
{
    if (logger_lost > 0) {
        if (!logger_has_room(0)) {
            return false;
        }
        logger_tell_lost();
    }
    return logger_has_room(LOGGER_PATIENCE_MS);
}

/* One at a time, as two might be for the same room. */
static void logger_write(logger_line *line)
{
    line->data[line->size++] = '\n';
    (void)pthread_mutex_lock(&logger_lock); /* a leaf; cannot fail */
    if (logger_may_write()) {
        logger_put(line->data, line->size);
    } else {
        logger_lost++;
    }
    (void)pthread_mutex_unlock(&logger_lock);
}

void alv_log(alv_log_level level, const char *event, const char *format, ...)
{
    if (!alv_log_enabled(level)) {
        return;
    }
    int saved_errno = errno;
    logger_line line;
    logger_begin(&line, level, event);
    va_list arguments;
    va_start(arguments, format);
    logger_add_format(&line, 0, format, arguments);
    va_end(arguments);
    logger_write(&line);
    errno = saved_errno;
}

void alv_log_text(alv_log_level level, const char *event, const char *text, const char *format, ...)
{
    if (!alv_log_enabled(level)) {
        return;
    }
    int saved_errno = errno;
    logger_line line;
    logger_begin(&line, level, event);
    va_list arguments;
    va_start(arguments, format);
    logger_add_format(&line, ALV_ERROR_TEXT_BYTES, format, arguments);
    va_end(arguments);
    logger_add_quoted(&line, "msg", text, 0);
    logger_write(&line);
    errno = saved_errno;
}

/* The last part of a path says enough: file names are unique in the tree. */
static const char *logger_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

void alv_log_error(alv_log_level level, const char *event, const alv_error *err, const char *format,
                   ...)
{
    if (!alv_log_enabled(level)) {
        return;
    }
    int saved_errno = errno;
    const size_t room = 2 * ALV_ERROR_TEXT_BYTES; /* for what comes after `format` */
    logger_line line;
    logger_begin(&line, level, event);
    va_list arguments;
    va_start(arguments, format);
    logger_add_format(&line, room, format, arguments);
    va_end(arguments);
    logger_add_quoted(&line, "error", err->text, room / 4);
    char place[256];
    (void)snprintf(place, sizeof place, " status=%s source=%s code=%d at=%s:%d",
                   alv_status_name(err->status), err->source == NULL ? "none" : err->source,
                   err->code, err->file == NULL ? "none" : logger_file_name(err->file), err->line);
    logger_add_text(&line, place);
    logger_write(&line);
    errno = saved_errno;
}
