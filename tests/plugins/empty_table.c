/* A library whose table names no behavior. */
#include <alluvium/behavior.h>

const alv_behavior_library alluvium_library = {ALV_LIBRARY_HEAD, .name = "x", .version = "1"};
