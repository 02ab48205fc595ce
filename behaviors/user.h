/* user.h — the built-in entity type `user`; see user.c. */
#ifndef ALV_BEHAVIORS_USER_H
#define ALV_BEHAVIORS_USER_H

#include "alluvium/behavior.h"

extern const alv_behavior alv_user_behavior;

#endif
