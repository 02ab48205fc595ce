/* A library whose table forgot ALV_LIBRARY_HEAD, but for its first number. */
#include <alluvium/behavior.h>

const alv_behavior_library alluvium_library = {
    .abi = ALV_BEHAVIOR_ABI, .name = "x", .version = "1"};
