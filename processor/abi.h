/* abi.h — tables of libraries that were compiled against another state of behavior.h.
 *
 * Why:    a library outlives the program it was compiled for. Structs of behavior.h only grow at their end, and each
 *         says how large it is; what one side does not have counts as zero.
 * Thread: any; pure.
 */
#ifndef ALV_PROCESSOR_ABI_H
#define ALV_PROCESSOR_ABI_H

#include <stdbool.h>
#include <stddef.h>

/* What is said of a library or behavior of another version (two %u: its own, ours) and of one that
 * alv_abi_copy does not take. */
#define ALV_ABI_OTHER                                           \
    "was compiled against version %u of behavior.h, this is %u" \
    ": compile it again with the header of this version"
#define ALV_ABI_TOO_NEW \
    "uses parts of behavior.h that this version does not have: take a newer alluvium"

/* Copies an author's struct of `size` bytes into `out` of `out_size` zeroed bytes. False when it has something
 * there that this program does not know: the library would not do what its author expects. */
bool alv_abi_copy(const void *from, size_t size, void *out, size_t out_size);

#endif
