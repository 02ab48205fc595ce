/* probe.h — commands at a steady rate, and how long each one waits for its committed change.
 *
 * Why:    what a user of the product waits for is the time from sending a command to the change that
 *         everybody can see. It is measured from outside, with plain librdkafka: a node that is killed
 *         or slow must not be the one that holds the watch.
 * How:    user bench:i gets `update_profile` with a running number as nickname, in turn. A read_committed
 *         reader of the changelog takes the time when it sees this number or a later one of the same
 *         user (commands of one user take effect in order, and a node may write several changes of a
 *         transaction as one). The time counts from just before produce(). Other users in the same topics do not
 *         matter.
 * Thread: one opens, asks and closes; sending and reading have threads of their own.
 * Owns:   heap object.
 * Fails:  what does not work (no broker, a command that is not delivered) ends the program.
 */
#ifndef ALV_TESTS_SUPPORT_PROBE_H
#define ALV_TESTS_SUPPORT_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#define ALV_PROBE_SHARDS_MAX 1024
#define ALV_PROBE_SLICE_MS 100 /* see slow_ms */

typedef struct alv_probe alv_probe;

typedef struct alv_probe_options {
    const char *brokers;
    const char *application; /* prefix of the command topic */
    const char *changelog;   /* where states appear; NULL = "<application>.changelog" */
    int rate;                /* commands per second */
    int users;
    int seconds_max; /* sending for longer ends the program */
} alv_probe_options;

/* Which commands are meant; times as alv_monotonic_us has them. */
typedef struct alv_probe_range {
    int64_t from_us;    /* sent then or later */
    int64_t to_us;      /* sent before; 0 = up to now */
    const bool *shards; /* only users of shards that are true here; NULL = all */
} alv_probe_range;

typedef struct alv_probe_summary {
    int64_t count;
    int64_t waiting; /* not seen yet; they count with the time they have waited so far */
    int64_t p50_us;
    int64_t p90_us;
    int64_t p99_us;
    int64_t p999_us;
    int64_t max_us;
    int64_t
        slow_ms; /* sum of the slices in which the p99 of the commands sent is above the limit */
} alv_probe_summary;

/* Both topics must exist. Copies the options. Sending begins at once. */
alv_probe *alv_probe_open(const alv_probe_options *options);

/* Sends no more, and waits until the broker has everything. */
void alv_probe_stop(alv_probe *probe);

/* Waits until every command sent so far is seen. False: not within `timeout_ms`. */
bool alv_probe_wait_seen(const alv_probe *probe, int timeout_ms);

int64_t alv_probe_sent(const alv_probe *probe);

/* When the command with this number (the nickname) was sent, and when its change was seen; 0 = not yet. */
int64_t alv_probe_sent_us(const alv_probe *probe, int64_t number);
int64_t alv_probe_seen_us(const alv_probe *probe, int64_t number);

/* `slow_us`: the limit for slow_ms. */
alv_probe_summary alv_probe_summarize(const alv_probe *probe, const alv_probe_range *range,
                                      int64_t slow_us);

/* After alv_probe_stop: how many users' last command is not what the changelog says, read again from
 * its beginning. */
int alv_probe_count_lost(const alv_probe *probe);

void alv_probe_close(alv_probe *probe);

#endif
