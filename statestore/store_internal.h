/* store_internal.h — what the stores of this folder have in common: how a position is encoded.
 *
 * Why:    a position decides what is replayed. One that was damaged or written by another version
 *         must be noticed, not believed, whatever the storage below it checks by itself.
 * Thread: any.
 * Fails:  decode: ALV_REJECT, the shard has to be wiped and restored.
 */
#ifndef ALV_STATESTORE_STORE_INTERNAL_H
#define ALV_STATESTORE_STORE_INTERNAL_H

#include "statestore/store.h"

/* Version 1, all numbers little-endian:
 *   0  u32  version (1)
 *   4  i64  commands, changelog, ledger, at_ms: four numbers
 *  36  u32  low half of XXH3-64 over bytes 0..35
 */
#define ALV_POSITION_VERSION 1
#define ALV_POSITION_BYTES 40

/* Asserts that the offsets are not negative. */
void alv_position_encode(const alv_position *position, char out[ALV_POSITION_BYTES]);

/* The other half: size, version, checksum and signs. *out is written only on success. */
alv_status alv_position_decode(alv_view encoded, alv_position *out, alv_error *err);

#endif
