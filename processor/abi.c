#include "processor/abi.h"

#include <string.h>

bool alv_abi_copy(const void *from, size_t size, void *out, size_t out_size)
{
    memcpy(out, from, size < out_size ? size : out_size);
    const char *bytes = from;
    for (size_t i = out_size; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}
