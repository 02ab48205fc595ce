/* Goal:   events come out as the standard says, however the text is cut into pieces.
 * Method: one text with everything in it, fed whole, byte by byte and in every two pieces; broken
 *         connections; limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/sse_parser.h"

static alv_bytes heard;
static int stop_after;

static bool hear(void *payload, const alv_sse_event *event)
{
    int *count = payload;
    alv_bytes_printf(&heard, "[%.*s|%.*s|%.*s]", (int)event->type.size, event->type.data,
                     (int)event->data.size, event->data.data, (int)event->id.size, event->id.data);
    return ++*count != stop_after;
}

static void expect_heard(const char *text)
{
    if (!alv_view_equal(alv_bytes_view(&heard), alv_view_of(text))) {
        fail_msg("heard %.*s", (int)heard.size, heard.data);
    }
    alv_bytes_done(&heard);
}

static const char stream[] = "retry: 500\n: a comment\nid: 1\n\n"
                             "data: one\nid: 2\n\n"
                             "data:two\r\ndata\r\ndata:  three\r\n\r\n"
                             "event: reset\rdata: x\r\r"
                             "id: 3\nunknown: y\ndata: z\n\n"
                             "data: not whole";
static const char told[] = "[|one|2][|two\n\n three|2][reset|x|2][|z|3]";

static void feed__any_pieces_give_the_same(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof stream; cut++) {
        int count = 0;
        alv_sse_parser parser;
        alv_sse_parser_init(&parser, hear, &count);
        assert_true(alv_sse_parser_feed(&parser, (alv_view){stream, cut}));
        assert_true(alv_sse_parser_feed(
            &parser,
            (alv_view){stream + cut, sizeof stream - 1 - cut + (cut == sizeof stream - 1)}));
        alv_sse_parser_done(&parser);
        expect_heard(told);
    }
    int count = 0;
    alv_sse_parser parser;
    alv_sse_parser_init(&parser, hear, &count);
    for (size_t i = 0; i < sizeof stream - 1; i++) {
        assert_true(alv_sse_parser_feed(&parser, (alv_view){&stream[i], 1}));
    }
    alv_sse_parser_done(&parser);
    expect_heard(told);
}

/* The id of an event that did not come whole must not be sent back: its data was not heard. */
static void restart__forgets_what_was_not_whole(void **state)
{
    (void)state;
    int count = 0;
    alv_sse_parser parser;
    alv_sse_parser_init(&parser, hear, &count);
    assert_true(alv_sse_parser_feed(&parser, ALV_VIEW("id: 1\n\nid: 2\ndata: lost\n")));
    assert_true(alv_view_equal(alv_bytes_view(&parser.id), ALV_VIEW("1")));
    alv_sse_parser_restart(&parser);
    assert_true(alv_sse_parser_feed(&parser, ALV_VIEW("data: again\n\n")));
    alv_sse_parser_done(&parser);
    expect_heard("[|again|1]");
}

static void feed__ends_when_the_listener_says_so(void **state)
{
    (void)state;
    int count = 0;
    alv_sse_parser parser;
    alv_sse_parser_init(&parser, hear, &count);
    stop_after = 1;
    assert_false(alv_sse_parser_feed(&parser, ALV_VIEW("data: a\n\ndata: b\n\n")));
    stop_after = 0;
    alv_sse_parser_done(&parser);
    expect_heard("[|a|]");
}

static void feed__refuses_endless_lines(void **state)
{
    (void)state;
    static const char block[4096] = {'x'};
    int count = 0;
    size_t fed = 0;
    alv_sse_parser parser;
    alv_sse_parser_init(&parser, hear, &count);
    while (alv_sse_parser_feed(&parser, (alv_view){block, sizeof block})) {
        fed += sizeof block;
        assert_true(fed <= ALV_SSE_LINE_BYTES_MAX);
    }
    alv_sse_parser_done(&parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(feed__any_pieces_give_the_same),
        cmocka_unit_test(restart__forgets_what_was_not_whole),
        cmocka_unit_test(feed__ends_when_the_listener_says_so),
        cmocka_unit_test(feed__refuses_endless_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
