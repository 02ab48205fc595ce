#include "base/decimal.h"

/* The number is summed up below 0, where there is room for INT64_MIN. */
bool alv_decimal_take(alv_view *text, int64_t *out)
{
    bool negative = text->size > 0 && text->data[0] == '-';
    size_t at = negative;
    int64_t number = 0;
    while (at < text->size && text->data[at] >= '0' && text->data[at] <= '9') {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, text->data[at] - '0', &number)) {
            return false;
        }
        at++;
    }
    size_t digits = at - negative;
    bool zero_first = digits > 0 && text->data[negative] == '0';
    if (digits == 0 || (zero_first && (digits > 1 || negative))) {
        return false;
    }
    if (!negative && number == INT64_MIN) {
        return false;
    }
    *text = (alv_view){text->data + at, text->size - at};
    *out = negative ? number : -number;
    return true;
}
