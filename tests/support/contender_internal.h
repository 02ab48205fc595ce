/* contender_internal.h — what the two kinds of contender implement.
 *
 * Why:    contender.c holds what is the same for both.
 * Thread: as contender.h.
 */
#ifndef ALV_TESTS_SUPPORT_CONTENDER_INTERNAL_H
#define ALV_TESTS_SUPPORT_CONTENDER_INTERNAL_H

#include "tests/support/contender.h"

typedef struct contender_ops {
    void (*start)(alv_contender *contender, int node);
    bool (*is_ready)(alv_contender *contender, int node);
    alv_process *(*process)(alv_contender *contender, int node);
    const char *(*state_dir)(alv_contender *contender, int node);
    /* Fills in what `node` says; `calm` becomes false when it is not content. */
    void (*look)(alv_contender *contender, int node, alv_contender_view *view);
    void (*restore)(alv_contender *contender, int node, int64_t *out_records, int64_t *out_ms);
    void (*close)(alv_contender *contender);
} contender_ops;

struct alv_contender {
    const contender_ops *ops;
    alv_contender_kind kind;
    const alv_cluster *stack;
    const alv_cluster *cluster; /* Alluvium's nodes, else NULL */
    char *topics;
    char *group;
    char *changelog;
    char **settings; /* NULL-terminated */
    int shards;
    bool up[ALV_CONTENDER_NODES_MAX];
    bool passed;
};

/* Fills in what is the same for both; `group` and `changelog` are left to the kinds. */
void contender_init(alv_contender *contender, const alv_contender_options *options,
                    const contender_ops *ops);

alv_contender *contender_open_alluvium(const alv_contender_options *options);
alv_contender *contender_open_streams(const alv_contender_options *options);

#endif
