/* io_faults.h — counts the calls through ports, and says which one is to fail.
 *
 * Why:    "what if this call fails?" is asked of every call there is, one run per call: the first one, the second
 *         one, and so on, until a run is over before the call that was to fail. Nobody has to know beforehand
 *         which calls there are.
 * Thread: one.
 */
#ifndef ALV_TESTS_SUPPORT_IO_FAULTS_H
#define ALV_TESTS_SUPPORT_IO_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct alv_io_faults {
    int64_t
        at; /* the call that fails, from 0; ALV_IO_FAULTS_OFF = none, and calls are not counted */
    int flavour; /* how it fails, where the port knows several ways; each port says what its numbers mean */
    int64_t calls;    /* so far */
    const char *call; /* that failed, such as "store.apply"; NULL = none yet */
} alv_io_faults;

#define ALV_IO_FAULTS_OFF ((int64_t)-1)

/* Call number `at` from now on fails. */
void alv_io_faults_arm(alv_io_faults *faults, int64_t at, int flavour);

/* None fails any more. What failed is still known. */
void alv_io_faults_disarm(alv_io_faults *faults);

/* Counts a call; whether it is the one. `call` is static. `faults` may be NULL. */
bool alv_io_faults_hit(alv_io_faults *faults, const char *call);

#endif
