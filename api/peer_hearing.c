#include "api/peer_hearing.h"

#include <stdio.h>
#include <string.h>

#include "api/http_limits.h"

void alv_peer_hearing_init(alv_peer_hearing *hearing, const char *node_id)
{
    *hearing = (alv_peer_hearing){.line = ALV_BYTES_EMPTY};
    (void)snprintf(hearing->node_id, sizeof hearing->node_id, "%s", node_id);
}

void alv_peer_hearing_done(alv_peer_hearing *hearing)
{
    alv_bytes_done(&hearing->line);
}

void alv_peer_hearing_begin(alv_peer_hearing *hearing, int64_t now_ms)
{
    hearing->greeted = false;
    hearing->heard_at_ms = now_ms;
    alv_bytes_clear(&hearing->line);
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Cuts the text up to the next blank off `rest`. */
static alv_view hearing_cut_word(alv_view *rest)
{
    const char *blank = memchr(rest->data, ' ', rest->size);
    size_t size = blank != NULL ? (size_t)(blank - rest->data) : rest->size;
    alv_view word = {rest->data, size};
    size_t skip = blank != NULL ? size + 1 : size;
    *rest = (alv_view){rest->data + skip, rest->size - skip};
    return word;
}

/* Somebody else may answer at a peer's address: it was wrong, or was given to another node. */
static bool hearing_take_hello(alv_peer_hearing *hearing, alv_peer_verdict *verdict, alv_view rest,
                               int64_t now_ms)
{
    char boot[ALV_PEER_BOOT_BYTES];
    alv_view node_id = hearing_cut_word(&rest);
    if (hearing->greeted || !alv_view_equal(node_id, alv_view_of(hearing->node_id)) ||
        rest.size == 0 || rest.size >= sizeof boot) {
        return false;
    }
    (void)snprintf(boot, sizeof boot, "%.*s", (int)rest.size, rest.data);
    hearing->greeted = true;
    hearing->heard_at_ms = now_ms;
    alv_peer_verdict_hello(verdict, hearing->node_id, boot, now_ms);
    return true;
}

/* Other words may come from newer versions. */
static bool hearing_take_line(alv_peer_hearing *hearing, alv_peer_verdict *verdict, alv_view line,
                              int64_t now_ms)
{
    alv_view verb = hearing_cut_word(&line);
    if (alv_view_equal(verb, ALV_VIEW("hello"))) {
        return hearing_take_hello(hearing, verdict, line, now_ms);
    }
    if (!hearing->greeted) {
        return false;
    }
    hearing->heard_at_ms = now_ms;
    if (alv_view_equal(verb, ALV_VIEW("beat"))) {
        hearing->retry_ms = 0;
        alv_peer_verdict_beat(verdict, hearing->node_id, line, now_ms);
    } else if (alv_view_equal(verb, ALV_VIEW("bye"))) {
        hearing->retry_ms = ALV_PEER_RETRY_MAX_MS;
        alv_peer_verdict_goodbye(verdict, hearing->node_id);
    }
    return true;
}

bool alv_peer_hearing_take(alv_peer_hearing *hearing, alv_peer_verdict *verdict, alv_view bytes,
                           int64_t now_ms)
{
    alv_bytes_append(&hearing->line, bytes.data, bytes.size);
    alv_view rest = alv_bytes_view(&hearing->line);
    const char *end;
    bool fine = true;
    while (fine && (end = memchr(rest.data, '\n', rest.size)) != NULL) {
        size_t size = (size_t)(end - rest.data);
        fine = hearing_take_line(hearing, verdict, (alv_view){rest.data, size}, now_ms);
        rest = (alv_view){rest.data + size + 1, rest.size - size - 1};
    }
    memmove(hearing->line.data, rest.data, rest.size);
    hearing->line.size = rest.size;
    return fine && rest.size < ALV_PEER_LINE_BYTES_MAX;
}

/* ---- when to listen again ---------------------------------------------------------------------- */

bool alv_peer_hearing_is_mute(const alv_peer_hearing *hearing, int64_t patience_ms, int64_t now_ms)
{
    return now_ms - hearing->heard_at_ms >= patience_ms;
}

void alv_peer_hearing_end(alv_peer_hearing *hearing, int64_t now_ms)
{
    hearing->try_at_ms = now_ms + hearing->retry_ms;
    int64_t longer_ms = hearing->retry_ms > 0 ? 2 * hearing->retry_ms : ALV_PEER_RETRY_FIRST_MS;
    hearing->retry_ms = longer_ms < ALV_PEER_RETRY_MAX_MS ? longer_ms : ALV_PEER_RETRY_MAX_MS;
}
