/* Goal:   the right row for a request, or the reason why there is none; errors that programs can
 *         read.
 * Method: a table of its own with two methods on one path; answers are parsed as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/answer.h"
#include "api/routes.h"

static void handle_entity(alv_api *api, alv_exchange *exchange, alv_view parameter)
{
    (void)api;
    (void)exchange;
    (void)parameter;
}

static const alv_route routes[] = {
    {"GET", "/things", handle_entity, 0},
    {"GET", "/things/{key}", handle_entity, 0},
    {"PUT", "/things/{key}", handle_entity, 0},
    {"POST", "/push", handle_entity, 0},
    {"POST", "/things/{key}/parts", handle_entity, 10},
};

static alv_route_match match(const char *method, const char *path)
{
    return alv_routes_match(routes, sizeof routes / sizeof routes[0], method, alv_view_of(path));
}

static void routes__exact_path(void **state)
{
    (void)state;
    alv_route_match found = match("GET", "/things");
    assert_ptr_equal(found.route, &routes[0]);
    assert_null(found.parameter.data);
}

static void routes__parameter_is_the_whole_rest(void **state)
{
    (void)state;
    alv_route_match found = match("GET", "/things/a/b%2Fc");
    assert_ptr_equal(found.route, &routes[1]);
    assert_true(alv_view_equal(found.parameter, ALV_VIEW("a/b%2Fc")));
    found = match("GET", "/things/");
    assert_ptr_equal(found.route, &routes[1]);
    assert_int_equal(found.parameter.size, 0);
}

static void routes__parameter_in_the_middle(void **state)
{
    (void)state;
    alv_route_match found = match("POST", "/things/a/b/parts");
    assert_ptr_equal(found.route, &routes[4]);
    assert_true(alv_view_equal(found.parameter, ALV_VIEW("a/b")));
    found = match("POST", "/things/a/parts/parts");
    assert_true(alv_view_equal(found.parameter, ALV_VIEW("a/parts")));
    found = match("POST", "/things//parts");
    assert_ptr_equal(found.route, &routes[4]);
    assert_int_equal(found.parameter.size, 0);
    assert_null(match("POST", "/things/parts").route);
    assert_null(match("POST", "/things/a/parts/").route);
}

static void routes__method_decides_between_rows(void **state)
{
    (void)state;
    assert_ptr_equal(match("PUT", "/things/x").route, &routes[2]);
    assert_ptr_equal(match("HEAD", "/things/x").route, &routes[1]);
    assert_null(match("HEAD", "/push").route);
    assert_null(match("get", "/things").route);
}

static void routes__other_method_names_those_there_are(void **state)
{
    (void)state;
    alv_route_match found = match("DELETE", "/things/x");
    assert_null(found.route);
    assert_string_equal(found.allow, "GET, HEAD, PUT");
    assert_string_equal(match("GET", "/push").allow, "POST");
}

static void routes__unknown_path_allows_nothing(void **state)
{
    (void)state;
    static const char *const paths[] = {"", "/", "/thing", "/things2", "things", "/THINGS"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        alv_route_match found = match("GET", paths[i]);
        assert_null(found.route);
        assert_string_equal(found.allow, "");
    }
}

static void answer__problem_is_json(void **state)
{
    (void)state;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 503, "quote \" newline \n byte \xff end");
    assert_int_equal(answer.status, 503);
    assert_string_equal(answer.content_type, "application/problem+json");
    assert_true(answer.retry_after_s > 0);
    json_t *json = json_loadb(answer.body.data, answer.body.size, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "type")), "about:blank");
    assert_string_equal(json_string_value(json_object_get(json, "title")), "Service Unavailable");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 503);
    assert_string_equal(json_string_value(json_object_get(json, "detail")),
                        "quote \" newline \n byte ? end");
    json_decref(json);
    alv_answer_done(&answer);
}

static void answer__a_new_content_replaces_the_last(void **state)
{
    (void)state;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, 503, "first");
    alv_answer_set_json(&answer, 200, json_pack("[i]", 1));
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.retry_after_s, 0);
    assert_int_equal(answer.body.size, 3);
    assert_memory_equal(answer.body.data, "[1]", 3);
    alv_answer_done(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes__exact_path),
        cmocka_unit_test(routes__parameter_is_the_whole_rest),
        cmocka_unit_test(routes__parameter_in_the_middle),
        cmocka_unit_test(routes__method_decides_between_rows),
        cmocka_unit_test(routes__other_method_names_those_there_are),
        cmocka_unit_test(routes__unknown_path_allows_nothing),
        cmocka_unit_test(answer__problem_is_json),
        cmocka_unit_test(answer__a_new_content_replaces_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
