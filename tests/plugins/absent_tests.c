/* A library whose table counts tests and has none. */
#include <alluvium/behavior.h>

static const alv_behavior quiet = {ALV_BEHAVIOR_HEAD, .type = "quiet"};
static const alv_behavior *const behaviors[] = {&quiet};

const alv_behavior_library alluvium_library = {
    ALV_LIBRARY_HEAD,       .name = "x",         .version = "1",
    .behaviors = behaviors, .behavior_count = 1, .test_count = 1,
};
