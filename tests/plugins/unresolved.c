/* A library that calls what nobody has. */
#include <alluvium/behavior.h>

extern const alv_behavior *const *nobody_has_this(void);

extern ALV_PUBLIC const alv_behavior *const *call_it(void);
const alv_behavior *const *call_it(void)
{
    return nobody_has_this();
}

const alv_behavior_library alluvium_library = {ALV_LIBRARY_HEAD, .name = "x", .version = "1"};
