#include "api/peer_saying.h"

/* Beats per peer.timeout.ms, so that a late one or two do not make a suspect; and a bound for long
 * time-outs, because a client that has gone is noticed only by writing to it. */
#define BEATS_PER_TIMEOUT 4
#define BEAT_INTERVAL_MAX_MS 10000

void alv_peer_saying_greet(const alv_peer_saying *saying, const char *node_id, const char *boot,
                           alv_bytes *out)
{
    alv_bytes_printf(out, "hello %s %s\n", node_id, boot);
    alv_bytes_append(out, saying->beat.data, saying->beat.size);
}

static int64_t saying_interval_ms(int64_t timeout_ms)
{
    int64_t interval_ms = timeout_ms / BEATS_PER_TIMEOUT;
    return interval_ms < BEAT_INTERVAL_MAX_MS ? interval_ms : BEAT_INTERVAL_MAX_MS;
}

bool alv_peer_saying_turn(alv_peer_saying *saying, const alv_peer_verdict *verdict,
                          int64_t timeout_ms, int64_t now_ms)
{
    alv_bytes line = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&line, "beat");
    alv_peer_verdict_write_suspects(verdict, &line);
    alv_bytes_append_text(&line, "\n");
    bool is_news = !alv_view_equal(alv_bytes_view(&line), alv_bytes_view(&saying->beat));
    alv_bytes_done(&saying->beat);
    saying->beat = line;
    bool is_due = is_news || now_ms >= saying->beat_at_ms;
    if (is_due) {
        saying->beat_at_ms = now_ms + saying_interval_ms(timeout_ms);
    }
    return is_due;
}

void alv_peer_saying_done(alv_peer_saying *saying)
{
    alv_bytes_done(&saying->beat);
}
