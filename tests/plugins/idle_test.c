/* A library whose second test does nothing: it has no function. */
#include <alluvium/behavior_test.h>

static const alv_behavior quiet = {ALV_BEHAVIOR_HEAD, .type = "quiet"};
static const alv_behavior *const behaviors[] = {&quiet};

static void expect_nothing(alv_test *test)
{
    alv_test_expect_nothing_more(test);
}

static const alv_test_case tests[] = {
    {"says nothing", &quiet, "quiet/1", expect_nothing},
    {"says nothing again", &quiet, "quiet/1", NULL},
};

const alv_behavior_library alluvium_library = {
    ALV_LIBRARY_HEAD,    .name = "x",    .version = "1",  .behaviors = behaviors,
    .behavior_count = 1, .tests = tests, .test_count = 2,
};
