/* Goal:   a page of metrics is written as Prometheus reads it, whatever stands in a label.
 * Method: small pages, compared with the text of the format's description, and read by a checker of
 *         the tests' own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/exposition.h"
#include "tests/support/metrics_text.h"

static alv_bytes text;
static alv_exposition page;

static int begin(void **state)
{
    (void)state;
    alv_exposition_init(&page, &text);
    return 0;
}

static int end(void **state)
{
    (void)state;
    alv_exposition_done(&page);
    alv_bytes_done(&text);
    return 0;
}

static const char *finished(void)
{
    alv_bytes_append(&text, "", 1);
    alv_metrics_text_check(text.data);
    return text.data;
}

static void exposition__help_and_type_come_before_the_samples(void **state)
{
    (void)state;
    alv_exposition_family(&page, ALV_METRIC_COUNTER, "a_total", "How many.");
    alv_exposition_count(&page, ALV_LABELS({"x", "1"}, {"y", "b"}), 18446744073709551615u);
    alv_exposition_one(&page, ALV_METRIC_GAUGE, "b_seconds", "How long.", 0.25);
    assert_string_equal(finished(), "# HELP a_total How many.\n"
                                    "# TYPE a_total counter\n"
                                    "a_total{x=\"1\",y=\"b\"} 18446744073709551615\n"
                                    "# HELP b_seconds How long.\n"
                                    "# TYPE b_seconds gauge\n"
                                    "b_seconds 0.25\n");
}

static void exposition__label_values_are_escaped(void **state)
{
    (void)state;
    alv_exposition_family(&page, ALV_METRIC_GAUGE, "a", "Any.");
    alv_exposition_value(&page, ALV_LABELS({"x", "q\"b\\n\nz\xff"}), -1);
    assert_non_null(strstr(finished(), "a{x=\"q\\\"b\\\\n\\nz?\"} -1\n"));
}

static void exposition__buckets_are_cumulated(void **state)
{
    (void)state;
    alv_histogram histogram = {0};
    alv_histogram_observe(&histogram, 50, 2);
    alv_histogram_observe(&histogram, 900, 1);
    alv_histogram_observe(&histogram, 90000000, 1);
    alv_exposition_family(&page, ALV_METRIC_HISTOGRAM, "a_seconds", "How long.");
    alv_exposition_histogram(&page, ALV_LABELS({"x", "1"}), &histogram);
    double value = 0;
    assert_true(
        alv_metrics_text_find(finished(), "a_seconds_bucket{x=\"1\",le=\"0.0001\"}", &value));
    assert_true(value == 2);
    assert_true(alv_metrics_text_find(text.data, "a_seconds_bucket{x=\"1\",le=\"0.001\"}", &value));
    assert_true(value == 3);
    assert_true(alv_metrics_text_find(text.data, "a_seconds_bucket{x=\"1\",le=\"60\"}", &value));
    assert_true(value == 3);
    assert_true(alv_metrics_text_find(text.data, "a_seconds_bucket{x=\"1\",le=\"+Inf\"}", &value));
    assert_true(value == 4);
    assert_true(alv_metrics_text_find(text.data, "a_seconds_sum{x=\"1\"}", &value));
    assert_true(value > 90.0009 && value < 90.0011);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exposition__help_and_type_come_before_the_samples, begin,
                                        end),
        cmocka_unit_test_setup_teardown(exposition__label_values_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(exposition__buckets_are_cumulated, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
