#include "base/status.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/utf8.h"

/* Other libraries' messages bring line ends (libpq) or whatever bytes the input had; a diagnosis is
 * one line of UTF-8, fit for a log line, a header and a JSON string. */
static void error_tidy(char *text)
{
    alv_utf8_repair(text);
    size_t end = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) {
            text[i] = ' ';
        }
        if (text[i] != ' ') {
            end = i + 1;
        }
    }
    text[end] = '\0';
}

alv_status alv_error_set(alv_error *err, alv_status status, const char *source, int code,
                         const char *file, int line, const char *format, ...)
{
    ALV_ASSERT(status != ALV_OK);
    if (err == NULL || err->status != ALV_OK) {
        return status;
    }
    err->status = status;
    err->source = source;
    err->code = code;
    err->file = file;
    err->line = line;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(err->text, sizeof err->text, format, arguments); /* cut when it is longer */
    va_end(arguments);
    error_tidy(err->text);
    return status;
}

void alv_error_clear(alv_error *err)
{
    if (err != NULL) {
        *err = ALV_ERROR_NONE;
    }
}

const char *alv_status_name(alv_status status)
{
    switch (status) {
    case ALV_OK:
        return "ok";
    case ALV_RETRY:
        return "retry";
    case ALV_REJECT:
        return "reject";
    case ALV_ABORT:
        return "abort";
    case ALV_FENCED:
        return "fenced";
    case ALV_FATAL:
        return "fatal";
    }
    return "unknown";
}
