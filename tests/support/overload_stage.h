/* overload_stage.h — what the scenarios of bench/overload share: a node of its own each, floods, probes, the row
 * that comes of it.
 *
 * Thread: main.
 * Owns:   the caller's struct; rows are handed over to end.
 * Fails:  what does not work ends the program.
 */
#ifndef ALV_TESTS_SUPPORT_OVERLOAD_STAGE_H
#define ALV_TESTS_SUPPORT_OVERLOAD_STAGE_H

#include "tests/support/cluster.h"
#include "tests/support/flood.h"
#include "tests/support/http_flood.h"
#include "tests/support/overload_row.h"
#include "tests/support/probe.h"

#define ALV_OVERLOAD_SHARDS 32 /* the default */
#define ALV_OVERLOAD_PROBE_USERS 1000
#define ALV_OVERLOAD_WAIT_MS 300000

typedef struct alv_overload_stage {
    alv_cluster cluster; /* with brokers and one node that is described */
    alv_cluster_node *node;
    alv_node_watch *watch;
    bool quick;
    bool json;
    json_t *rows;
} alv_overload_stage;

/* A fifth of it with --quick. */
int alv_overload_scaled(const alv_overload_stage *stage, int full);

/* Starts a node that has never been there, of an application that has never been there. */
void alv_overload_begin(alv_overload_stage *stage, const char *name, const char *const *settings);

/* Stops it and prints the row. */
void alv_overload_end(alv_overload_stage *stage, alv_overload_row *row);

/* Waits until every command has been executed; the ms that took. */
int64_t alv_overload_drain(const alv_overload_stage *stage);

/* Commands that are certainly executed. */
int64_t alv_overload_committed(const alv_overload_stage *stage);

int64_t alv_overload_ms_since(int64_t begin_us);

/* Fills in brokers, application and number of shards. */
alv_flood *alv_overload_flood(const alv_overload_stage *stage, alv_flood_options options);

/* Sends commands at a steady rate; returns when it has done so for a while. */
alv_probe *alv_overload_probe(const alv_overload_stage *stage);

/* The waits since `from_us` on `shards`, and on the others; closes the probe. */
void alv_overload_probe_end(alv_probe *probe, int64_t from_us, const bool *shards,
                            alv_overload_row *row);

/* One client that asks for `path` fifty times a second. Borrows it. */
alv_http_flood *alv_overload_get(const alv_overload_stage *stage, const char *path);

/* Stops it and notes what was answered. */
void alv_overload_note(alv_overload_row *row, const char *what, alv_http_flood *flood);

/* `{"type":"update_profile",...}` of so many bytes, not terminated. */
void alv_overload_profile(size_t bytes, alv_bytes *out);

/* overload_huge.c, overload_connections.c: scenarios. */
void alv_overload_run_huge(alv_overload_stage *stage);
void alv_overload_run_connections(alv_overload_stage *stage);

#endif
