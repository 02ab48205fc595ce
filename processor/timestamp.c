/* timestamp.c — ms since the epoch as ISO 8601 UTC, for behaviors (alluvium/behavior.h).
 *
 * The C library's way (gmtime_r, snprintf) takes a lock that all lanes share and costs ten times as
 * much; a command sets up to two times.
 */
#include "base/assert.h"
#include "include/alluvium/behavior.h"

#define MS_PER_DAY (24 * 60 * 60 * (int64_t)1000)

/* Days from 0000-01-01 to 1970-01-01 in the Gregorian calendar extended backwards. */
#define DAYS_TO_EPOCH 719528
#define DAYS_TO_YEAR_10000 3652425

static bool timestamp_is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 0000-01-01, itself in a leap year, to the first of January of `year`. */
static int timestamp_days_before(int year)
{
    return 365 * year + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

static char *timestamp_put(char *out, int value, int digits, char after)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    ALV_ASSERT(value == 0);
    out[digits] = after;
    return out + digits + 1;
}

/* `day` counts from 0000-01-01. */
static char *timestamp_put_date(char *out, int day)
{
    static const int month_starts[2][13] = {
        {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365},
        {0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366},
    };
    int year =
        (int)((int64_t)day * 400 / 146097); /* right, or one off: 400 years are that many days */
    if (timestamp_days_before(year) > day) {
        year--;
    } else if (timestamp_days_before(year + 1) <= day) {
        year++;
    }

    const int *starts = month_starts[timestamp_is_leap(year)];
    int day_of_year = day - timestamp_days_before(year);
    ALV_ASSERT(day_of_year >= 0 && day_of_year < starts[12]);
    int month = day_of_year / 32; /* right, or one too low: no month is longer than 31 days */
    if (starts[month + 1] <= day_of_year) {
        month++;
    }

    out = timestamp_put(out, year, 4, '-');
    out = timestamp_put(out, month + 1, 2, '-');
    return timestamp_put(out, day_of_year - starts[month] + 1, 2, 'T');
}

bool alv_timestamp_format(int64_t time_ms, char out[ALV_TIMESTAMP_BYTES])
{
    out[0] = '\0';
    if (time_ms < -DAYS_TO_EPOCH * MS_PER_DAY ||
        time_ms >= (DAYS_TO_YEAR_10000 - DAYS_TO_EPOCH) * MS_PER_DAY) {
        return false;
    }

    int64_t since_year_0 = time_ms + DAYS_TO_EPOCH * MS_PER_DAY; /* never negative */
    int ms = (int)(since_year_0 % MS_PER_DAY);
    char *end = timestamp_put_date(out, (int)(since_year_0 / MS_PER_DAY));
    end = timestamp_put(end, ms / (60 * 60 * 1000), 2, ':');
    end = timestamp_put(end, ms / (60 * 1000) % 60, 2, ':');
    end = timestamp_put(end, ms / 1000 % 60, 2, '.');
    end = timestamp_put(end, ms % 1000, 3, 'Z');
    *end = '\0';
    ALV_ASSERT(end == out + ALV_TIMESTAMP_BYTES - 1);
    return true;
}
