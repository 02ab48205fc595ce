/* kafka_events.c — what librdkafka says by itself: log lines and error callbacks.
 *
 * Two things are read out of them. First, whether a request may have been lost or delayed while
 * nobody knows its outcome (I10): such a request always ends in one of two log lines, which
 * librdkafka writes before it lets anybody know or tries again:
 *   REQTMOUT  a request timed out in flight or in a queue
 *   FAIL      a connection was lost; "in state UP" when requests could be under way on it
 * Failing to connect, as to a broker that is down for days, is neither. librdkafka's statistics
 * (req_timeouts, txretries) would add only retries after a definite answer, and late. Closing an idle connection is logged below the level asked for, and is no reason
 * either. Second, trouble that the owner of the handle should know: alv_kafka_client_trouble.
 *
 * And third, to which topic a transaction may not write: the records come back as purged, whatever the reason
 * was, and only the line ADDPARTS names the topic.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "base/clock.h"
#include "base/logger.h"
#include "topics/kafka_internal.h"

/* A line of the same facility and client within this time is counted instead of written. */
#define REPEAT_MS 5000
#define REPEAT_SLOTS 64

typedef struct repeat_slot {
    uint64_t hash;
    int64_t written_at_ms;
    unsigned suppressed;
} repeat_slot;

/* The only lock here; a leaf, taken for lines that are about to be written and no longer than
 * that. */
static pthread_mutex_t repeat_lock = PTHREAD_MUTEX_INITIALIZER;
static repeat_slot repeat_slots[REPEAT_SLOTS];

static uint64_t repeat_hash(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    }
    return hash;
}

/* False when the line is a repetition; else *out_suppressed is how many went before it unseen. */
static bool repeat_pass(const char *client, const char *facility, unsigned *out_suppressed)
{
    uint64_t hash = repeat_hash(repeat_hash(0xcbf29ce484222325u, client), facility);
    int64_t now_ms = alv_monotonic_us(alv_clock_system()) / 1000;
    bool pass = true;

    pthread_mutex_lock(&repeat_lock);
    repeat_slot *slot = &repeat_slots[hash % REPEAT_SLOTS];
    if (slot->hash == hash && now_ms - slot->written_at_ms < REPEAT_MS) {
        slot->suppressed++;
        pass = false;
    } else {
        *out_suppressed = slot->hash == hash ? slot->suppressed : 0;
        *slot = (repeat_slot){.hash = hash, .written_at_ms = now_ms};
    }
    pthread_mutex_unlock(&repeat_lock);
    return pass;
}

/* Only the owner of a handle knows whether something is an error for it, and says so itself;
 * librdkafka's own errors are warnings here. `level` is syslog's. */
static void events_say(int level, const char *facility, const char *client, unsigned suppressed,
                       const char *text)
{
    alv_log_level ours = level <= LOG_CRIT      ? ALV_LOG_ERROR
                         : level <= LOG_WARNING ? ALV_LOG_WARN
                         : level <= LOG_INFO    ? ALV_LOG_INFO
                                                : ALV_LOG_DEBUG;
    if (suppressed > 0) {
        alv_log_text(ours, "rdkafka", text, "facility=%s client=%s repeated=%u", facility, client,
                     suppressed);
    } else {
        alv_log_text(ours, "rdkafka", text, "facility=%s client=%s", facility, client);
    }
}

static bool events_is_indefinite(const char *facility, const char *text)
{
    if (strcmp(facility, "REQTMOUT") == 0) {
        return true;
    }
    if (strcmp(facility, "FAIL") != 0) {
        return false;
    }
    return strstr(text, "in state ") == NULL || strstr(text, "in state UP") != NULL ||
           strstr(text, "in state REAUTH") != NULL;
}

/* The topic whose name, in quotes, is in the text; -1 when there is none. */
static int events_topic(const char *text)
{
    char end[ALV_TOPIC_NAME_BYTES];
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        (void)snprintf(end, sizeof(end), ".%s\"", alv_schema_suffix((alv_topic)topic));
        if (strstr(text, end) != NULL) {
            return topic;
        }
    }
    return -1;
}

void alv_kafka_events_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    alv_kafka_client *client = rd_kafka_opaque(rk);
    if (client != NULL && events_is_indefinite(facility, text)) {
        atomic_store(&client->indefinite, true);
    }
    if (client != NULL && strcmp(facility, "ADDPARTS") == 0 &&
        strstr(text, "authorization failed") != NULL) {
        atomic_store(&client->forbidden, events_topic(text));
    }

    /* A setting of kafka.* that concerns the other kind of handle only. */
    if (strcmp(facility, "CONFWARN") == 0) {
        level = LOG_DEBUG;
    }
    const char *name = client != NULL ? client->name : rd_kafka_name(rk);
    unsigned suppressed = 0;
    if (level == LOG_DEBUG || repeat_pass(name, facility, &suppressed)) {
        events_say(level, facility, name, suppressed, text);
    }
}

void alv_kafka_events_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    alv_kafka_client *client = opaque;
    char text[ALV_ERROR_TEXT_BYTES];
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        code = (int)rd_kafka_fatal_error(rk, text, sizeof(text));
        reason = text;
    }
    bool is_lost = code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                   code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT ||
                   code == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
                   (code == RD_KAFKA_RESP_ERR__TRANSPORT && events_is_indefinite("FAIL", reason));
    if (is_lost || reason == text) {
        atomic_store(&client->indefinite, true);
    }

    /* One broker that cannot be reached is an everyday thing; librdkafka uses the others. */
    bool is_refusal = alv_kafka_refusal_note(client, (rd_kafka_resp_err_t)code, reason);
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT && !is_refusal) {
        return;
    }
    alv_error_clear(&client->trouble);
    if (is_refusal) {
        (void)alv_kafka_fail(&client->trouble, ALV_RETRY, code, "%s", client->refusal.text);
        return;
    }
    (void)alv_kafka_fail(&client->trouble, ALV_RETRY, code, "%s", reason);
}
