/* codec.h — how a state is written in the changelog and the store, and read back.
 *
 * Why:    plain compact JSON, so that any Kafka client can read the changelog. Whoever wants to try
 *         another reader or writer of JSON has this one place to change.
 * Thread: any; pure.
 */
#ifndef ALV_STATESTORE_CODEC_H
#define ALV_STATESTORE_CODEC_H

#include <jansson.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* Appends the encoding of an object: compact, members in their order. */
void alv_codec_encode(const json_t *state, alv_bytes *out);

/* The member that says of which version of its behavior's states an encoded state is. Those of version 1 have
 * none, so a behavior that never changed costs and shows nothing. */
#define ALV_CODEC_VERSION "$version"

/* The same for a state of version 2 or later, which does not have that member: it comes first. */
void alv_codec_encode_version(const json_t *state, uint32_t version, alv_bytes *out);

/* What that adds to alv_codec_size at most. */
#define ALV_CODEC_VERSION_BYTES (sizeof "\"$version\":4294967295,")

/* The size alv_codec_encode would append. */
size_t alv_codec_size(const json_t *state);

/* Decodes; *out is a new reference to an object. ALV_REJECT: it is not one. */
alv_status alv_codec_decode(alv_view encoded, json_t **out, alv_error *err);

/* An estimate of the memory that a decoded state of `encoded_bytes` takes in the cache: jansson needs
 * an allocation per value and a hash entry per member; measured factors are in docs/performance.md. */
size_t alv_codec_memory(size_t encoded_bytes);

#endif
