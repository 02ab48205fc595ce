#include "tests/support/webdriver.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "tests/support/cluster.h"
#include "tests/support/wait.h"

#define DRIVER_START_MS 60000
#define DRIVER_CALL_MS 120000
#define SKIPPED 77

/* ---- requests -------------------------------------------------------------------------------- */

static size_t driver_read(char *data, size_t size, size_t count, void *payload)
{
    alv_bytes_append(payload, data, size * count);
    return size * count;
}

/* The "value" of the driver's answer, NULL when it does not answer. Takes `body` (may be NULL: GET). */
static json_t *driver_call(const alv_browser *browser, const char *method, const char *path,
                           json_t *body, long *out_status)
{
    CURL *curl = curl_easy_init();
    char *url = alv_format("http://%s%s", browser->address, path);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    alv_bytes answer = ALV_BYTES_EMPTY;
    *out_status = 0;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)DRIVER_CALL_MS);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (text != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, driver_read);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    if (curl_easy_perform(curl) == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, out_status);
    }
    json_t *all = json_loadb(answer.size > 0 ? answer.data : "", answer.size, 0, NULL);
    json_t *value = json_incref(json_object_get(all, "value"));
    json_decref(all);
    json_decref(body);
    free(text);
    alv_free(url);
    alv_bytes_done(&answer);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return value;
}

/* Within the session; fails the test when it is refused. */
static json_t *session_call(const alv_browser *browser, const char *method, const char *path,
                            json_t *body)
{
    long status = 0;
    char *whole = alv_format("/session/%s%s", browser->session, path);
    json_t *value = driver_call(browser, method, whole, body, &status);
    alv_free(whole);
    if (status != 200) {
        const char *why = json_string_value(json_object_get(value, "message"));
        fail_msg("%s %s: %ld %.400s", method, path, status, why != NULL ? why : "no answer");
    }
    return value;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static int browser_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static bool driver_is_ready(void *payload)
{
    const alv_browser *browser = payload;
    long status = 0;
    json_t *value = driver_call(browser, "GET", "/status", NULL, &status);
    bool ready = json_is_true(json_object_get(value, "ready"));
    json_decref(value);
    return ready;
}

static void browser_start_driver(alv_browser *browser)
{
    int port = browser_free_port();
    char *flag = alv_format("--port=%d", port);
    char *log = alv_format("%s/driver.log", browser->folder);
    const char *const argv[] = {"chromedriver", flag, NULL};
    (void)snprintf(browser->address, sizeof browser->address, "127.0.0.1:%d", port);
    alv_process_start(&browser->driver, argv, (alv_process_files){.out = log, .err = log});
    assert_true(alv_wait_until(driver_is_ready, browser, DRIVER_START_MS));
    alv_free(flag);
    alv_free(log);
}

static json_t *browser_capabilities(const alv_browser *browser)
{
    char *profile = alv_format("--user-data-dir=%s/profile", browser->folder);
    json_t *arguments =
        json_pack("[s, s, s, s, s, s, s, s, s]", "--headless=new", "--no-sandbox", "--disable-gpu",
                  "--no-first-run", "--disable-background-networking", "--disable-component-update",
                  "--disable-sync", "--disable-dev-shm-usage", profile);
    alv_free(profile);
    return json_pack("{s:{s:{s:s, s:{s:s}, s:{s:o}}}}", "capabilities", "alwaysMatch",
                     "browserName", "chrome", "goog:loggingPrefs", "browser", "ALL",
                     "goog:chromeOptions", "args", arguments);
}

void alv_browser_open(alv_browser *browser)
{
    char folder[] = "/tmp/alluvium-browser.XXXXXX";
    long status = 0;
    *browser = (alv_browser){.driver = {.pid = 0}};
    if (access("/usr/bin/chromedriver", X_OK) != 0) {
        print_message("skipped: there is no chromedriver; dev/setup installs it\n");
        exit(SKIPPED);
    }
    assert_non_null(mkdtemp(folder));
    browser->folder = alv_strdup(folder);
    browser_start_driver(browser);
    json_t *value =
        driver_call(browser, "POST", "/session", browser_capabilities(browser), &status);
    const char *session = json_string_value(json_object_get(value, "sessionId"));
    if (session == NULL) {
        const char *why = json_string_value(json_object_get(value, "message"));
        fail_msg("no browser: %s", why != NULL ? why : "no answer");
    }
    browser->session = alv_strdup(session);
    json_decref(value);
}

void alv_browser_close(alv_browser *browser)
{
    long status = 0;
    if (browser->session != NULL) {
        char *path = alv_format("/session/%s", browser->session);
        json_decref(driver_call(browser, "DELETE", path, NULL, &status)); /* ends the browser */
        alv_free(path);
    }
    alv_process_done(&browser->driver);
    if (browser->folder != NULL) {
        alv_cluster_remove(browser->folder);
    }
    alv_free(browser->folder);
    alv_free(browser->session);
    *browser = (alv_browser){.driver = {.pid = 0}};
}

/* ---- pages ----------------------------------------------------------------------------------- */

void alv_browser_go(alv_browser *browser, const char *url)
{
    json_decref(session_call(browser, "POST", "/url", json_pack("{s:s}", "url", url)));
}

json_t *alv_browser_run(alv_browser *browser, const char *script)
{
    return session_call(browser, "POST", "/execute/sync",
                        json_pack("{s:s, s:[]}", "script", script, "args"));
}

bool alv_browser_is(alv_browser *browser, const char *script)
{
    json_t *value = alv_browser_run(browser, script);
    bool is = json_is_true(value);
    json_decref(value);
    return is;
}

void alv_browser_wait(alv_browser *browser, const char *script, int timeout_ms)
{
    int64_t deadline = alv_wait_deadline(timeout_ms);
    while (!alv_browser_is(browser, script)) {
        if (alv_wait_expired(deadline)) {
            json_t *text = alv_browser_run(browser, "return document.body.innerText");
            fail_msg("not within %d ms: %s\nthe page says:\n%s", timeout_ms, script,
                     json_string_value(text));
        }
    }
}

/* One key as it is named by the standard: private characters for those that write none. */
static void key_name(const char *text, size_t size, char out[8])
{
    if (text[0] == '\t') {
        (void)snprintf(out, 8, "\xee\x80\x84");
    } else if (text[0] == '\n') {
        (void)snprintf(out, 8, "\xee\x80\x87");
    } else {
        (void)snprintf(out, 8, "%.*s", (int)size, text);
    }
}

void alv_browser_type(alv_browser *browser, const char *text)
{
    json_t *strokes = json_array();
    while (*text != '\0') {
        char key[8];
        size_t size = alv_utf8_sequence(text, strlen(text));
        assert_true(size > 0);
        key_name(text, size, key);
        json_array_append_new(strokes, json_pack("{s:s, s:s}", "type", "keyDown", "value", key));
        json_array_append_new(strokes, json_pack("{s:s, s:s}", "type", "keyUp", "value", key));
        text += size;
    }
    json_decref(session_call(browser, "POST", "/actions",
                             json_pack("{s:[{s:s, s:s, s:o}]}", "actions", "type", "key", "id",
                                       "keyboard", "actions", strokes)));
}

void alv_browser_cdp(alv_browser *browser, const char *command, json_t *parameters)
{
    json_decref(session_call(browser, "POST", "/goog/cdp/execute",
                             json_pack("{s:s, s:o}", "cmd", command, "params", parameters)));
}

void alv_browser_resize(alv_browser *browser, int width, int height, bool mobile)
{
    alv_browser_cdp(browser, "Emulation.setDeviceMetricsOverride",
                    json_pack("{s:i, s:i, s:i, s:b}", "width", width, "height", height,
                              "deviceScaleFactor", mobile ? 2 : 1, "mobile", mobile));
}

json_t *alv_browser_console(alv_browser *browser)
{
    return session_call(browser, "POST", "/se/log", json_pack("{s:s}", "type", "browser"));
}

/* The driver's own screenshots end where the window does. */
void alv_browser_screenshot(alv_browser *browser, const char *path, bool whole)
{
    json_t *value =
        session_call(browser, "POST", "/goog/cdp/execute",
                     json_pack("{s:s, s:{s:s, s:b}}", "cmd", "Page.captureScreenshot", "params",
                               "format", "png", "captureBeyondViewport", whole));
    char *text = alv_strdup(json_string_value(json_object_get(value, "data")));
    size_t size = strcspn(text, "=");
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    }
    alv_bytes image = ALV_BYTES_EMPTY;
    assert_true(alv_base64url_decode((alv_view){text, size}, &image));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(image.data, 1, image.size, file), image.size);
    assert_int_equal(fclose(file), 0);
    alv_bytes_done(&image);
    alv_free(text);
    json_decref(value);
}
