/* secret.h — compares secrets without telling how much of a guess was right.
 *
 * Why:    a comparison that stops at the first wrong byte takes longer for a better guess, and that can
 *         be measured over a network.
 * Thread: any; pure.
 */
#ifndef ALV_BASE_SECRET_H
#define ALV_BASE_SECRET_H

#include "base/bytes.h"

/* Whether `guess` is `secret`. Takes a time that depends on the size of the guess alone. An empty secret
 * equals nothing. */
bool alv_secret_equal(alv_view secret, alv_view guess);

#endif
