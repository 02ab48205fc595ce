/* webdriver.h — a real browser without a window, driven as the WebDriver standard says.
 *
 * Why:    what a person sees is checked in the program that shows it. Chromium and its driver are
 *         Debian's; nothing is installed beside them.
 * Thread: one; the same that opened it.
 * Owns:   the driver's process, the browser, its folder; gone with alv_browser_close.
 * Fails:  what the driver refuses fails the running cmocka test; without a browser the program is skipped
 *         (exit status 77).
 */
#ifndef ALV_TESTS_SUPPORT_WEBDRIVER_H
#define ALV_TESTS_SUPPORT_WEBDRIVER_H

#include <jansson.h>

#include "tests/support/process.h"

typedef struct alv_browser {
    alv_process driver;
    char address[32];
    char *folder; /* its profile and its log */
    char *session;
} alv_browser;

void alv_browser_open(alv_browser *browser);
void alv_browser_close(alv_browser *browser);

void alv_browser_go(alv_browser *browser, const char *url);

/* Runs `script` in the page, a function's body; its result. A new reference. */
json_t *alv_browser_run(alv_browser *browser, const char *script);

/* Whether a script returns true. */
bool alv_browser_is(alv_browser *browser, const char *script);

/* Waits until it does; fails with the page's text when it does not within `timeout_ms`. */
void alv_browser_wait(alv_browser *browser, const char *script, int timeout_ms);

/* Presses the keys of `text`, one after the other, wherever the focus is. "\t" is Tab, "\n" Enter. */
void alv_browser_type(alv_browser *browser, const char *text);

/* A command of the DevTools protocol. Takes `parameters`. */
void alv_browser_cdp(alv_browser *browser, const char *command, json_t *parameters);

/* The size of what is seen, in CSS pixels; `mobile` as on a phone. */
void alv_browser_resize(alv_browser *browser, int width, int height, bool mobile);

/* What the page said on its console since the last call, warnings and errors of the browser among it:
 * an array of {"level","message"}. A new reference. */
json_t *alv_browser_console(alv_browser *browser);

/* Writes what is seen as PNG, or the whole page, also what one would have to scroll to. */
void alv_browser_screenshot(alv_browser *browser, const char *path, bool whole);

#endif
