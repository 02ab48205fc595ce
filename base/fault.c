#include "base/fault.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

alv_fault alv_fault_armed = ALV_FAULT_NONE;

static int fault_signal = SIGKILL;
static atomic_long fault_left; /* times it is still passed by */

static const char *const fault_names[ALV_FAULT_COUNT] = {
    [ALV_FAULT_NONE] = "none",
    [ALV_FAULT_BEFORE_PREPARE] = "before-prepare",
    [ALV_FAULT_AFTER_PREPARE] = "after-prepare",
    [ALV_FAULT_BEFORE_SEND] = "before-send",
    [ALV_FAULT_BEFORE_END] = "before-end",
    [ALV_FAULT_AFTER_SEND] = "after-send",
    [ALV_FAULT_BEFORE_FINISH] = "before-finish",
    [ALV_FAULT_IN_FINISH] = "in-finish",
    [ALV_FAULT_AFTER_FINISH] = "after-finish",
    [ALV_FAULT_IN_REVOKE] = "in-revoke",
    [ALV_FAULT_IN_RESTORE] = "in-restore",
    [ALV_FAULT_AFTER_RESTORE] = "after-restore",
};

const char *alv_fault_name(alv_fault fault)
{
    ALV_ASSERT(fault >= ALV_FAULT_NONE && fault < ALV_FAULT_COUNT);
    return fault_names[fault];
}

static alv_fault fault_find(const char *name, size_t length)
{
    int fault = ALV_FAULT_NONE + 1;
    while (fault < ALV_FAULT_COUNT && (strlen(fault_names[fault]) != length ||
                                       memcmp(fault_names[fault], name, length) != 0)) {
        fault++;
    }
    return (alv_fault)fault;
}

alv_status alv_fault_arm(const char *text, alv_error *err)
{
    long times = 1;
    int signal_number = SIGKILL;
    if (text == NULL) {
        return ALV_OK;
    }
    size_t length = strcspn(text, ":");
    alv_fault fault = fault_find(text, length);
    if (fault == ALV_FAULT_COUNT) {
        return alv_fail(err, ALV_REJECT, "there is no place \"%.*s\"", (int)length, text);
    }
    const char *rest = text + length;
    if (*rest == ':') {
        char *end = NULL;
        times = strtol(rest + 1, &end, 10);
        if (end == rest + 1 || times < 1) {
            return alv_fail(err, ALV_REJECT, "\"%s\" is no number of times", rest + 1);
        }
        rest = end;
    }
    if (strcmp(rest, ":stop") == 0) {
        signal_number = SIGSTOP;
    } else if (*rest != '\0' && strcmp(rest, ":kill") != 0) {
        return alv_fail(err, ALV_REJECT, "\"%s\" is neither :kill nor :stop", rest);
    }
    fault_signal = signal_number;
    atomic_store(&fault_left, times - 1);
    alv_fault_armed = fault;
    return ALV_OK;
}

void alv_fault_strike(void)
{
    if (atomic_fetch_sub(&fault_left, 1) == 0) {
        (void)raise(fault_signal); /* kill: the last thing that happens; stop: later it goes on */
    }
}
