#include "behaviors/builtin.h"

#include "behaviors/transfer.h"
#include "behaviors/user.h"

static const alv_behavior *const builtin_behaviors[] = {
    &alv_user_behavior,
    &alv_transfer_behavior,
};

alv_status alv_builtin_register(alv_registry *registry, alv_error *err)
{
    for (size_t i = 0; i < sizeof builtin_behaviors / sizeof builtin_behaviors[0]; i++) {
        alv_status status = alv_registry_add(registry, builtin_behaviors[i], err);
        if (status != ALV_OK) {
            return status;
        }
    }
    return ALV_OK;
}
