/* Goal:   a ledger record that can be read is within the limits, is written again as a record with the same
 *         content, and the time of its earliest timer is found without reading the rest.
 * Method: the input is a record, whoever wrote it.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "statestore/ledger.h"
#include "tests/support/fuzz_target.h"

/* Empties `ledger` timer by timer: earliest first, none too large. */
static void fuzz_take_timers(alv_ledger *ledger)
{
    int64_t before_ms = INT64_MIN;
    int count = 0;
    alv_timer timer;
    while (alv_ledger_first_timer(ledger, &timer)) {
        ALV_ASSERT(timer.due_ms >= before_ms && timer.due_ms == alv_ledger_due(ledger));
        ALV_ASSERT(timer.command.size > 0 && timer.command.data[0] == '{');
        before_ms = timer.due_ms;
        ALV_ASSERT(alv_ledger_cancel_timer(ledger, timer.name));
        count++;
    }
    ALV_ASSERT(count <= ALV_LEDGER_TIMERS_MAX);
    ALV_ASSERT(alv_ledger_due(ledger) == ALV_DUE_NEVER && !alv_ledger_cancel_timers(ledger));
}

static void fuzz_round_trip(alv_ledger *ledger)
{
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_bytes out_again = ALV_BYTES_EMPTY;
    alv_ledger *again = NULL;
    alv_ledger_encode(ledger, &out);
    ALV_ASSERT(out.size <= ALV_STATE_BYTES_MAX);
    if (out.size > 0) {
        ALV_ASSERT(alv_ledger_decode(alv_bytes_view(&out), &again, NULL) == ALV_OK);
        ALV_ASSERT(alv_ledger_peek_due(alv_bytes_view(&out)) == alv_ledger_due(ledger));
        alv_ledger_encode(again, &out_again);
        ALV_ASSERT(alv_view_equal(alv_bytes_view(&out), alv_bytes_view(&out_again)));
    }
    alv_ledger_free(again);
    alv_bytes_done(&out_again);
    alv_bytes_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_view encoded = alv_fuzz_view(data, size);
    alv_error err = ALV_ERROR_NONE;
    alv_ledger *ledger = NULL;
    (void)alv_ledger_peek_due(encoded); /* of anything */
    alv_status status = alv_ledger_decode(encoded, &ledger, &err);
    if (status != ALV_OK) {
        ALV_ASSERT(status == ALV_REJECT && ledger == NULL);
        alv_fuzz_check_refusal(&err);
        return 0;
    }
    fuzz_round_trip(ledger);
    alv_ledger *timers = alv_ledger_dup_timers(ledger);
    ALV_ASSERT(alv_ledger_due(timers) == alv_ledger_timer_due(ledger));
    ALV_ASSERT(alv_ledger_due(ledger) <= alv_ledger_timer_due(ledger));
    ALV_ASSERT(alv_ledger_memory(timers) <= alv_ledger_memory(ledger));
    fuzz_take_timers(timers);
    alv_ledger_free(timers);
    alv_ledger_free(ledger);
    return 0;
}
