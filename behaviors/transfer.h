/* transfer.h — the built-in entity type `transfer`; see transfer.c. */
#ifndef ALV_BEHAVIORS_TRANSFER_H
#define ALV_BEHAVIORS_TRANSFER_H

#include "alluvium/behavior.h"

extern const alv_behavior alv_transfer_behavior;

#endif
