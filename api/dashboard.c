#include "api/dashboard.h"

#include <stddef.h>

/* The files as the build put them into the program. */
extern const char alv_dashboard_index[];
extern const size_t alv_dashboard_index_size;
extern const char alv_dashboard_style[];
extern const size_t alv_dashboard_style_size;
extern const char alv_dashboard_page[];
extern const size_t alv_dashboard_page_size;
extern const char alv_dashboard_icon[];
extern const size_t alv_dashboard_icon_size;

static const struct {
    const char *name;
    const char *content_type;
    const char *data;
    const size_t *size;
} dashboard_files[] = {
    {"index.html", "text/html; charset=utf-8", alv_dashboard_index, &alv_dashboard_index_size},
    {"style.css", "text/css; charset=utf-8", alv_dashboard_style, &alv_dashboard_style_size},
    {"page.js", "text/javascript; charset=utf-8", alv_dashboard_page, &alv_dashboard_page_size},
    {"icon.svg", "image/svg+xml", alv_dashboard_icon, &alv_dashboard_icon_size},
};

/* Its own files and its own server, nothing else: what keys and states contain can do nothing here, and
 * no other page may show this one within itself. */
#define DASHBOARD_POLICY                                                        \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

void alv_dashboard_answer(alv_view name, alv_answer *out)
{
    for (size_t i = 0; i < sizeof dashboard_files / sizeof dashboard_files[0]; i++) {
        if (alv_view_equal(name, alv_view_of(dashboard_files[i].name))) {
            alv_answer_begin(out, 200, dashboard_files[i].content_type);
            out->policy = DASHBOARD_POLICY;
            alv_bytes_append(&out->body, dashboard_files[i].data, *dashboard_files[i].size);
            return;
        }
    }
    alv_answer_set_problem(out, 404, "the dashboard has no such file");
}
