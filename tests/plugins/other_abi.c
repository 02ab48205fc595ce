/* A library compiled against another version of behavior.h: all but the first number is noise. */
#include <alluvium/behavior.h>

const alv_behavior_library alluvium_library = {
    .abi = ALV_BEHAVIOR_ABI - 1, .size = 1, .name = (const char *)8};
