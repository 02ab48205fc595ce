#include "tests/support/log_capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"

void alv_log_capture_begin(alv_log_capture *capture)
{
    (void)fflush(stderr);
    capture->text = NULL;
    capture->file = memfd_create("log", MFD_CLOEXEC);
    capture->saved = dup(STDERR_FILENO);
    assert_true(capture->file >= 0 && capture->saved >= 0);
    assert_true(dup2(capture->file, STDERR_FILENO) >= 0);
}

char *alv_log_capture_end(alv_log_capture *capture)
{
    (void)fflush(stderr);
    assert_true(dup2(capture->saved, STDERR_FILENO) >= 0);
    (void)close(capture->saved);
    off_t size = lseek(capture->file, 0, SEEK_END);
    assert_true(size >= 0);
    capture->text = alv_alloc((size_t)size + 1);
    assert_int_equal(pread(capture->file, capture->text, (size_t)size, 0), size);
    (void)close(capture->file);
    return capture->text;
}

void alv_log_capture_done(alv_log_capture *capture)
{
    alv_free(capture->text);
    capture->text = NULL;
}
