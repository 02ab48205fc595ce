/* scan_internal.h — what the scan's files share: scan.c (requests and thread), scan_read.c (this node's shards),
 * scan_text.c (what nodes tell each other).
 */
#ifndef ALV_API_SCAN_INTERNAL_H
#define ALV_API_SCAN_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/scan.h"
#include "api/scan_page.h"
#include "base/inbox.h"

/* What is known of a shard within one request. */
typedef enum scan_shard {
    SCAN_SKIP, /* nobody asked for it */
    SCAN_TODO,
    SCAN_ASKED, /* another node */
    SCAN_DONE,
} scan_shard;

typedef struct scan_request {
    alv_scan *scan;
    alv_exchange *exchange;
    bool is_local; /* another node asks */
    alv_scan_list list;
    alv_bytes prefix;
    alv_bytes after;
    size_t limit;
    alv_scan_page page;
    unsigned char *shards;        /* scan_shard, by number */
    alv_read_position *floors;    /* what must not be older, by number */
    alv_read_position *positions; /* of those that are done */
    int asked;                    /* nodes that have not answered */
    int64_t hold_until_us;
    int64_t again_us;
    struct scan_request *next; /* in the list of those that wait */
} scan_request;

/* A question to another node. */
typedef struct scan_part {
    scan_request *request;
    char address[ALV_PEER_ADDRESS_BYTES];
    bool *shards;      /* by number */
    alv_answer answer; /* status 0 = none */
} scan_part;

struct alv_scan {
    alv_scan_options options;
    int32_t shard_count;
    pthread_t thread;
    bool started;       /* and not yet joined; main only */
    alv_inbox *inbox;   /* scan_message */
    atomic_int count;   /* requests under way */
    scan_request *held; /* scan thread */
};

/* Either of the two. */
typedef struct scan_message {
    scan_request *request;
    scan_part *part;
} scan_message;

bool alv_scan_is_active(const alv_scan *scan, int32_t shard);

/* scan_read.c: reads one shard of this node into the page; false when it is not here, or not any more, or
 * older than it may be. `page` is then as before, but for keys of that shard. */
bool alv_scan_read_shard(scan_request *request, int32_t shard);

/* scan_text.c: the question, as a path; its answer; and reading that into the request's page. False when it is
 * none, or older than it may be: then nothing was put in. */
void alv_scan_write_path(const scan_part *part, alv_bytes *out);
bool alv_scan_read_shards(alv_view text, unsigned char *shards, int32_t shard_count);
void alv_scan_write_answer(const scan_request *request, alv_answer *out);
bool alv_scan_read_answer(scan_part *part);

#endif
