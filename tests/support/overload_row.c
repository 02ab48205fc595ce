#include "tests/support/overload_row.h"

#include <inttypes.h>
#include <stdio.h>

#define MIB_KIB 1024

void alv_overload_row_print_head(void)
{
    printf("%-12s %10s %10s %9s %9s %9s %9s %9s %8s %8s %8s\n", "", "offered/s", "done/s",
           "p99 here", "max here", "p99 other", "max other", "healthz", "back ms", "MiB",
           "peak MiB");
}

static double ms(int64_t us)
{
    return (double)us / 1000;
}

void alv_overload_row_print(const alv_overload_row *row)
{
    printf("%-12s %10.0f %10.0f %9.0f %9.0f %9.0f %9.0f %9.0f %8" PRId64 " %8" PRId64 " %8" PRId64
           "\n",
           row->what, row->offered_s, row->done_s, ms(row->here.p99_us), ms(row->here.max_us),
           ms(row->others.p99_us), ms(row->others.max_us), ms(row->node.longest_us), row->back_ms,
           row->node.first_kib / MIB_KIB, row->node.peak_kib / MIB_KIB);
    if (row->node.refused > 0) {
        printf("    /healthz: %d of %d were not 200\n", row->node.refused, row->node.looks);
    }
    if (row->notes.size > 0) {
        printf("    %.*s\n", (int)row->notes.size, row->notes.data);
    }
    (void)fflush(stdout);
}

json_t *alv_overload_row_json(const alv_overload_row *row)
{
    return json_pack(
        "{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:s#}", "what",
        row->what, "offered_per_s", row->offered_s, "done_per_s", row->done_s, "here_p99_ms",
        ms(row->here.p99_us), "here_max_ms", ms(row->here.max_us), "others_p99_ms",
        ms(row->others.p99_us), "others_max_ms", ms(row->others.max_us), "healthz_max_ms",
        ms(row->node.longest_us), "healthz_refused", row->node.refused, "healthz_asked",
        row->node.looks, "back_ms", (json_int_t)row->back_ms, "first_kib",
        (json_int_t)row->node.first_kib, "peak_kib", (json_int_t)row->node.peak_kib, "last_kib",
        (json_int_t)row->node.last_kib, "cpu_us", (json_int_t)row->node.cpu_us, "notes",
        row->notes.data != NULL ? row->notes.data : "", (int)row->notes.size);
}

void alv_overload_row_done(alv_overload_row *row)
{
    alv_bytes_done(&row->notes);
}
