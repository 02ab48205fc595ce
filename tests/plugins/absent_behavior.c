/* A library whose table counts a behavior that is not there. */
#include <alluvium/behavior.h>

static const alv_behavior quiet = {ALV_BEHAVIOR_HEAD, .type = "quiet"};
static const alv_behavior *const behaviors[] = {&quiet, NULL};

const alv_behavior_library alluvium_library = {ALV_LIBRARY_HEAD, .name = "x", .version = "1",
                                               .behaviors = behaviors, .behavior_count = 2};
