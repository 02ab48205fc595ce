/* json_digest.h — a number that is the same for equal JSON values, however they are written.
 *
 * Why:    PostgreSQL's jsonb reorders members and rewrites numbers (1e2 becomes 100). To find out
 *         whether a row is the state in the changelog, values are compared, not texts; and millions of
 *         digests fit into memory where the states do not.
 * Thread: any; pure.
 * Limits: numbers are compared as doubles, as RFC 8259 advises: integers beyond 2^53 that round to the
 *         same double are taken for equal. Two different values have the same digest once in 2^64.
 */
#ifndef ALV_CHANGELOG_JSON_DIGEST_H
#define ALV_CHANGELOG_JSON_DIGEST_H

#include <stdint.h>

#include "base/bytes.h"

/* Of any JSON value. What is not JSON gets the digest of its bytes. */
uint64_t alv_json_digest(alv_view json);

#endif
