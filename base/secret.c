#include "base/secret.h"

/* Every byte of the guess is looked at, whatever was found so far; `different` is volatile, so that no
 * compiler finds out that the first difference decides. */
bool alv_secret_equal(alv_view secret, alv_view guess)
{
    if (secret.size == 0) {
        return false;
    }
    volatile unsigned different = secret.size != guess.size;
    for (size_t i = 0; i < guess.size; i++) {
        unsigned expected = (unsigned char)secret.data[i % secret.size];
        different |= expected ^ (unsigned char)guess.data[i];
    }
    return different == 0;
}
