/* codec.h — how a state is written in the changelog and the store, and read back.
 *
 * Why:    plain compact JSON, so that any Kafka client can read the changelog. Whoever wants to try
 *         another reader or writer of JSON has this one place to change.
 * Thread: any; pure.
 */
#ifndef ALV_STATESTORE_CODEC_H
#define ALV_STATESTORE_CODEC_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/status.h"

/* Appends the encoding of an object: compact, members in their order. */
void alv_codec_encode(const json_t *state, alv_bytes *out);

/* The size alv_codec_encode would append. */
size_t alv_codec_size(const json_t *state);

/* Decodes; *out is a new reference to an object. ALV_REJECT: it is not one. */
alv_status alv_codec_decode(alv_view encoded, json_t **out, alv_error *err);

/* An estimate of the memory that a decoded state of `encoded_bytes` takes in the cache: jansson needs
 * an allocation per value and a hash entry per member; measured factors are in docs/performance.md. */
size_t alv_codec_memory(size_t encoded_bytes);

#endif
