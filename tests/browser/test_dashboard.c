/* Goal:   the page at "/" shows the cluster as it is, lets people look up, command and watch entities,
 *         stays right when nodes go, and can be used with keys alone, in light and dark, on a phone.
 * Method: two real nodes, a real Chromium without a window. What the page shows is read from its
 *         document. With ALLUVIUM_SCREENSHOTS=FOLDER the pictures of docs/ are made on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"
#include "tests/support/webdriver.h"
#include "tests/support/wire.h"

#define WAIT_MS 60000
#define USERS 60
#define TEST_COUNT 11

static const char *const settings[] = {"shards=24", "lanes=1", "node.roles=seed,shard", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    alv_browser browser;
    alv_wire *wire;
    int passed;
} job;

/* ---- helpers --------------------------------------------------------------------------------- */

static void send_value(const char *key, const char *value)
{
    const alv_wire_record record = {.topic = alv_cluster_topic(&job.cluster, "commands"),
                                    .partition = -1,
                                    .key = alv_view_of(key),
                                    .value = alv_view_of(value)};
    alv_wire_send(job.wire, &record);
    alv_wire_flush(job.wire);
}

static void send_to_all(void)
{
    for (int user = 0; user < USERS; user++) {
        char key[32];
        (void)snprintf(key, sizeof key, "mall-%d:%d", user % 3, user);
        send_value(key, "{\"type\":\"add_balance\",\"amount\":100,\"transferId\":\"t\"}");
    }
}

static void until(const char *script)
{
    alv_browser_wait(&job.browser, script, WAIT_MS);
}

static void open_page(void)
{
    char *url = alv_format("http://%s/", job.nodes[0]->address);
    alv_browser_go(&job.browser, url);
    alv_free(url);
}

/* Puts the focus there, as a click would, and types. */
static void type_into(const char *id, const char *text)
{
    char *script =
        alv_format("const it = document.getElementById('%s'); it.focus(); it.value = '';", id);
    json_decref(alv_browser_run(&job.browser, script));
    alv_browser_type(&job.browser, text);
    alv_free(script);
}

static void picture(const char *name, bool whole)
{
    const char *folder = getenv("ALLUVIUM_SCREENSHOTS");
    if (folder != NULL) {
        char *path = alv_format("%s/%s.png", folder, name);
        alv_browser_screenshot(&job.browser, path, whole);
        alv_free(path);
    }
}

/* Sends commands until the chart of their rate has so many points. */
static void send_until_drawn(int points)
{
    char *script = alv_format("return (document.querySelector('#chart-rate .series')"
                              "?.getAttribute('d') || '').split('L').length > %d",
                              points);
    int64_t deadline = alv_wait_deadline(5 * WAIT_MS);
    while (!alv_browser_is(&job.browser, script)) {
        assert_false(alv_wait_expired(deadline));
        send_to_all();
    }
    alv_free(script);
}

static void prefer(const char *scheme)
{
    alv_browser_cdp(
        &job.browser, "Emulation.setEmulatedMedia",
        json_pack("{s:[{s:s, s:s}]}", "features", "name", "prefers-color-scheme", "value", scheme));
}

/* How bright the page's ground is, 0 to 765. */
static int brightness(void)
{
    json_t *value = alv_browser_run(
        &job.browser, "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
                      ".slice(0, 3).reduce((sum, part) => sum + Number(part), 0)");
    int sum = (int)json_integer_value(value);
    json_decref(value);
    return sum;
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int start(void **state)
{
    (void)state;
    alv_browser_open(&job.browser); /* first: without one, nothing else is needed */
    alv_cluster_open(&job.cluster, "browser");
    for (int i = 0; i < 2; i++) {
        job.nodes[i] = alv_cluster_add_node(&job.cluster);
        alv_cluster_start_node(job.nodes[i], settings);
        alv_cluster_wait_ready(job.nodes[i]);
    }
    job.wire = alv_wire_open(job.cluster.brokers);
    alv_browser_resize(&job.browser, 1280, 900, false);
    return 0;
}

static int end(void **state)
{
    (void)state;
    alv_browser_close(&job.browser);
    alv_wire_close(job.wire);
    job.cluster.passed = job.passed == TEST_COUNT;
    alv_cluster_close(&job.cluster);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void page__is_confined_by_its_headers(void **state)
{
    (void)state;
    alv_http_result result = alv_http_call(NULL, "GET", job.nodes[0]->address, "/", NULL);
    assert_int_equal(result.status, 200);
    assert_string_equal(result.content_type, "text/html; charset=utf-8");
    alv_http_result_done(&result);
    open_page();
    /* What a foreign script could do here: nothing. */
    json_decref(alv_browser_run(
        &job.browser, "const it = document.createElement('script');"
                      "it.textContent = 'window.broken = true'; document.body.append(it)"));
    assert_false(alv_browser_is(&job.browser, "return window.broken === true"));
    json_decref(alv_browser_console(&job.browser)); /* says that it was refused */
    job.passed++;
}

static void cluster__is_shown_with_shards_and_replicas(void **state)
{
    (void)state;
    open_page();
    send_to_all();
    until("return document.getElementById('tile-nodes').textContent === '2'");
    until("return document.getElementById('tile-shards').textContent === '24 of 24'");
    until("return document.querySelectorAll('#nodes article').length === 2");
    until("return document.querySelectorAll('#nodes .shard.active').length === 24");
    until("return document.querySelectorAll('#nodes .shard.hot').length === 24");
    assert_true(alv_browser_is(
        &job.browser, "const of = (style) => [...document.querySelectorAll('#nodes article')]"
                      ".map((node) => [...node.querySelectorAll(style)].map((it) => "
                      "it.textContent).sort().join());"
                      "const [a, b] = of('.active'); const [c, d] = of('.hot');"
                      "return a === d && b === c && a !== b")); /* each kept by the other */
    assert_true(alv_browser_is(&job.browser,
                               "return [...document.querySelectorAll('#nodes h3')].map("
                               "(it) => it.firstChild.textContent).join() === "
                               "'node-1,node-2'"));
    assert_true(alv_browser_is(&job.browser, "return document.querySelector('#nodes article')"
                                             ".innerText.includes('this node')"));
    job.passed++;
}

static void charts__show_rates_and_latencies(void **state)
{
    (void)state;
    send_to_all();
    until("return (document.querySelector('#chart-rate .series')?.getAttribute('d') || '')"
          ".includes('L')");
    until("return document.querySelector('#chart-rate svg').getAttribute('aria-label')"
          ".match(/most: [1-9]/) !== null");
    until("return document.querySelector('#chart-latency svg').getAttribute('aria-label')"
          ".match(/most: [1-9.]/) !== null");
    job.passed++;
}

/* With the keyboard alone. */
static void entity__is_looked_up_commanded_and_watched(void **state)
{
    (void)state;
    open_page();
    type_into("key", "mall-9:ada\n");
    until("return document.getElementById('live').textContent === 'watching'");
    until("return document.getElementById('found-note').textContent.includes('no such entity')");
    type_into("command-fields", "{\"amount\": 5, \"transferId\": \"t\"}");
    type_into("command-type", "add_balance\n");
    until("return document.getElementById('reply').textContent.startsWith('Committed: ')");
    until("return document.getElementById('state').innerText.match(/balance\\s+5\\b/) !== null");
    send_value("mall-9:ada", "{\"type\":\"update_profile\",\"nickname\":\"<b>Ada</b>\"}");
    until("return document.getElementById('state').innerText.includes('<b>Ada</b>')");
    assert_true(alv_browser_is(&job.browser, "return document.querySelector('#state b') === null"));
    type_into("command-fields", "{\"amount\": 500, \"transferId\": \"t\"}");
    type_into("command-type", "deduct_balance\n");
    until("return document.getElementById('reply').textContent.startsWith('422: ')");
    type_into("command-fields", "{\"amount\": 5");
    type_into("command-type", "add_balance\n");
    until("return document.getElementById('reply').textContent.includes('not JSON')");
    send_value("mall-9:ada", "{\"type\":\"delete_user\"}");
    until("return document.getElementById('found-note').textContent.startsWith('Deleted')");
    until("return document.querySelectorAll('#state tr').length === 0");
    job.passed++;
}

static void feed__follows_a_pattern(void **state)
{
    (void)state;
    type_into("pattern", "mall-7:*\n");
    until("return document.getElementById('feed-note').textContent.startsWith('Watching')");
    send_value("mall-8:x", "{\"type\":\"login\"}");
    send_value("mall-7:<i>", "{\"type\":\"add_balance\",\"amount\":7,\"transferId\":\"t\"}");
    until("return document.querySelectorAll('#feed li').length === 1");
    assert_true(alv_browser_is(&job.browser, "return document.querySelector('#feed button')"
                                             ".textContent === 'mall-7:<i>'"));
    json_decref(alv_browser_run(&job.browser, "document.querySelector('#feed button').focus()"));
    alv_browser_type(&job.browser, "\n"); /* opens it */
    until("return document.getElementById('found-key').textContent === 'mall-7:<i>'");
    until("return document.getElementById('state').innerText.match(/balance\\s+7\\b/) !== null");
    type_into("pattern", "mall-[\n"); /* stops the one that runs */
    until("return document.getElementById('feed-note').textContent === 'Stopped.'");
    alv_browser_type(&job.browser, "\n");
    until("return document.getElementById('feed-note').textContent.includes('not closed')");
    job.passed++;
}

static void dead_letters__are_counted_by_reason(void **state)
{
    (void)state;
    assert_true(
        alv_browser_is(&job.browser, "return !document.getElementById('dead-none').hidden"));
    send_value("mall-1:1", "{\"type\":\"fly\"}");
    send_value("mall-1:2", "this is not JSON");
    until("return document.querySelectorAll('#dead tbody tr').length >= 2");
    assert_true(alv_browser_is(&job.browser, "return document.getElementById('dead').innerText"
                                             ".match(/unknown/) !== null"));
    until("return document.getElementById('tile-dead').textContent === '2'");
    job.passed++;
}

/* Newest first, as text, with the entity to open. */
static void dead_letters__are_listed(void **state)
{
    (void)state;
    until("return document.querySelectorAll('#letters tbody tr').length === 2");
    /* Of these two, which were sent at once, either may be the newer one. */
    assert_true(alv_browser_is(&job.browser,
                               "return [...document.querySelectorAll('#letters tbody tr')].some("
                               "({innerText: text}) => text.includes('not-json') && "
                               "text.includes('mall-1:2'))"));
    send_value("mall-1:<i>", "{\"type\":\"fly\"}");
    until("return document.querySelectorAll('#letters tbody tr').length === 3");
    assert_true(alv_browser_is(&job.browser,
                               "return document.querySelector('#letters tbody button')"
                               ".textContent === 'mall-1:<i>'"));
    json_decref(
        alv_browser_run(&job.browser, "document.querySelector('#letters tbody button').focus()"));
    alv_browser_type(&job.browser, "\n");
    until("return document.getElementById('found-key').textContent === 'mall-1:<i>'");
    alv_cluster_result result =
        alv_cluster_run(&job.cluster, NULL,
                        (const char *const[]){"dead-letters", "retry", "--all", "--key",
                                              "mall-1:<i>", "-c", job.cluster.config_path, NULL});
    assert_int_equal(result.exit_status, 0);
    alv_cluster_result_done(&result);
    until(
        "return document.querySelectorAll('#letters tbody tr').length === 4"); /* it failed again */
    until("return document.querySelectorAll('#letters tbody .chip').length === 1");
    job.passed++;
}

static void page__is_silent_on_the_console(void **state)
{
    (void)state;
    size_t i;
    json_t *entry;
    json_t *console = alv_browser_console(&job.browser);
    json_array_foreach(console, i, entry)
    {
        const char *message = json_string_value(json_object_get(entry, "message"));
        /* The browser itself notes each answer that is an error: those the tests asked for. */
        if (strstr(message, "Failed to load resource") == NULL) {
            fail_msg("the console has: %s", message);
        }
    }
    json_decref(console);
    job.passed++;
}

static void page__fits_light_dark_and_phones(void **state)
{
    (void)state;
    open_page();
    send_to_all();
    type_into("pattern", "mall-*\n");
    until("return document.getElementById('feed-note').textContent.startsWith('Watching') || "
          "document.querySelectorAll('#feed li').length > 0");
    type_into("key", "mall-1:1\n");
    until("return document.querySelectorAll('#state tr').length > 3");
    until("return document.querySelectorAll('#nodes .shard.hot').length === 24");
    send_until_drawn(getenv("ALLUVIUM_SCREENSHOTS") != NULL ? 60 : 4);
    prefer("light");
    int light = brightness();
    picture("dashboard-light", true);
    prefer("dark");
    int dark = brightness();
    picture("dashboard-dark", true);
    assert_true(light > 600 && dark < 150);
    json_decref(alv_browser_run(&job.browser, "document.getElementById('theme').focus()"));
    alv_browser_type(&job.browser, "\n"); /* light, whatever the system has */
    assert_int_equal(brightness(), light);
    alv_browser_type(&job.browser, "\n\n"); /* dark, and as the system again */
    assert_int_equal(brightness(), dark);
    prefer("light");
    alv_browser_resize(&job.browser, 390, 844, true);
    until("return document.documentElement.scrollWidth <= 390");
    alv_browser_resize(&job.browser, 390, 1560, true);
    picture("dashboard-phone", false);
    alv_browser_resize(&job.browser, 1280, 900, false);
    job.passed++;
}

/* The first Tab leads to the entity browser past the header; everything that can be done has a focus
 * that is seen. */
static void page__is_walked_with_tab(void **state)
{
    (void)state;
    open_page();
    until("return document.querySelectorAll('#nodes article').length === 2");
    alv_browser_type(&job.browser, "\t");
    assert_true(alv_browser_is(&job.browser, "return document.activeElement.className === 'skip'"));
    alv_browser_type(&job.browser, "\n\t");
    until("return document.activeElement.id === 'key'");
    assert_true(alv_browser_is(&job.browser,
                               "return getComputedStyle(document.activeElement).outlineStyle !== "
                               "'none'"));
    job.passed++;
}

/* The other node dies, then this one: the page says so, and goes on when it is back. */
static void page__survives_the_death_of_nodes(void **state)
{
    (void)state;
    open_page();
    type_into("key", "mall-1:1\n");
    until("return document.getElementById('live').textContent === 'watching'");
    until("return document.querySelectorAll('#nodes .shard.hot').length === 24");
    alv_process_kill(&job.nodes[1]->process);
    until("return document.querySelectorAll('#nodes article')[0]"
          ".querySelectorAll('.shard.active').length === 24");
    until("return document.getElementById('tile-shards').textContent === '24 of 24'");
    send_value("mall-1:1", "{\"type\":\"update_profile\",\"nickname\":\"after the other\"}");
    until("return document.getElementById('state').innerText.includes('after the other')");
    alv_process_kill(&job.nodes[0]->process);
    until("return !document.getElementById('trouble').hidden");
    until("return document.getElementById('live').textContent === 'connecting again'");
    alv_cluster_start_node(job.nodes[0], settings);
    alv_cluster_wait_ready(job.nodes[0]);
    send_value("mall-1:1", "{\"type\":\"update_profile\",\"nickname\":\"after this one\"}");
    until("return document.getElementById('trouble').hidden");
    until("return document.getElementById('live').textContent === 'watching'");
    until("return document.getElementById('state').innerText.includes('after this one')");
    job.passed++;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page__is_confined_by_its_headers),
        cmocka_unit_test(cluster__is_shown_with_shards_and_replicas),
        cmocka_unit_test(charts__show_rates_and_latencies),
        cmocka_unit_test(entity__is_looked_up_commanded_and_watched),
        cmocka_unit_test(feed__follows_a_pattern),
        cmocka_unit_test(dead_letters__are_counted_by_reason),
        cmocka_unit_test(dead_letters__are_listed),
        cmocka_unit_test(page__is_silent_on_the_console),
        cmocka_unit_test(page__fits_light_dark_and_phones),
        cmocka_unit_test(page__is_walked_with_tab),
        cmocka_unit_test(page__survives_the_death_of_nodes),
    };
    return cmocka_run_group_tests(tests, start, end);
}
