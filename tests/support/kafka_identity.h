/* kafka_identity.h — who somebody is to a broker that asks (dev/stack --secured), and the command line as them.
 *
 * Why:    a test of rights has several users, each with a configuration file, a way to be let in and the name by
 *         which the broker knows them.
 * Thread: one.
 * Owns:   the struct is the caller's, what hangs from it ends with alv_kafka_identity_done.
 * Fails:  what does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_KAFKA_IDENTITY_H
#define ALV_TESTS_SUPPORT_KAFKA_IDENTITY_H

#include "tests/support/cluster.h"
#include "tests/support/kafka_guard.h"

typedef struct alv_kafka_identity {
    const char *name;      /* of PLAIN there is one: "plain" */
    const char *mechanism; /* of SASL; NULL = a certificate */
    char *principal;       /* as Kafka names it: "User:x" */
    char *config_path;     /* a .properties file; this and above are NULL until it is made */
} alv_kafka_identity;

/* Makes the user and the file. `settings`: further lines of the file, "" for none. */
void alv_kafka_identity_make(alv_kafka_identity *who, const alv_cluster *cluster,
                             alv_kafka_guard *guard, const char *settings);
void alv_kafka_identity_done(alv_kafka_identity *who);

/* Runs `alluvium ARGUMENT...` (NULL-terminated) as somebody. */
alv_cluster_result alv_kafka_identity_run(const alv_kafka_identity *who, alv_cluster *cluster,
                                          const char *const *arguments);

/* Reads a topic to its end with kcat, a client that is not ours; keys are written to the file `out`. The exit
 * status. */
int alv_kafka_identity_kcat(const alv_kafka_identity *who, const char *topic, const char *out);

#endif
