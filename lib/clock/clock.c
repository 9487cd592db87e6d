/* clock: the system's clocks, and times as RFC 3339 text. */
#include "clock/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define S_PER_DAY 86400

int64_t rl_clock_wall_ns(void)
{
    struct timespec now;
    RL_ASSERT(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t rl_clock_wall_s(void)
{
    return rl_clock_wall_ns() / NS_PER_S;
}

uint64_t rl_clock_boot_ms(void)
{
    struct timespec now;
    RL_ASSERT(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)(now.tv_nsec / NS_PER_MS);
}

struct date {
    int year, month, day;
};

/* By hand: the libc's calendar ends in 2038 where time_t has 32 bits. In years that begin in March
 * the leap day is the last one. */
static struct date date_of(int64_t days_since_1970)
{
    int64_t days = days_since_1970 + 719468; /* since the 1st of March of the year 0 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int month = (int)((5 * of_year + 2) / 153);
    return (struct date){
        .year = (int)(year + era * 400) + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = (int)of_year - (153 * month + 2) / 5 + 1,
    };
}

static char *put_number(char *at, int number, int digits, char after)
{
    for (int i = digits - 1; i >= 0; i--, number /= 10)
        at[i] = (char)('0' + number % 10);
    at[digits] = after;
    return at + digits + 1;
}

void rl_clock_format(int64_t time_ns, char text[RL_CLOCK_TEXT_BYTES])
{
    int64_t seconds = time_ns / NS_PER_S;
    int64_t rest_ns = time_ns % NS_PER_S;
    if (rest_ns < 0) { /* before 1970: the fraction still counts forward */
        seconds--;
        rest_ns += NS_PER_S;
    }
    int64_t days = seconds / S_PER_DAY - (seconds % S_PER_DAY < 0);
    int of_day = (int)(seconds - days * S_PER_DAY);
    struct date date = date_of(days);
    int ms = (int)(rest_ns / NS_PER_MS);
    char *at = put_number(text, date.year, 4, '-');
    at = put_number(at, date.month, 2, '-');
    at = put_number(at, date.day, 2, 'T');
    at = put_number(at, of_day / 3600, 2, ':');
    at = put_number(at, of_day / 60 % 60, 2, ':');
    at = put_number(at, of_day % 60, 2, ms ? '.' : 'Z');
    if (ms)
        at = put_number(at, ms, 3, 'Z');
    *at = '\0';
}

/* ---- reading ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes exactly `digits` digits and, unless `after` is NUL, that character behind them. */
static bool take(const char **at, int digits, char after, int *value)
{
    int v = 0;
    const char *p = *at;
    for (int i = 0; i < digits; i++, p++) {
        if (!is_digit(*p))
            return false;
        v = v * 10 + (*p - '0');
    }
    if (after && *p++ != after)
        return false;
    *at = p;
    *value = v;
    return true;
}

/* Digits beyond the ninth are below a nanosecond: read and dropped. */
static bool take_fraction(const char **at, int64_t *ns)
{
    *ns = 0;
    if (**at != '.')
        return true;
    const char *p = *at + 1;
    if (!is_digit(*p))
        return false;
    int64_t unit = NS_PER_S / 10;
    for (; is_digit(*p); p++) {
        *ns += (*p - '0') * unit;
        unit /= 10;
    }
    *at = p;
    return true;
}

static bool take_offset(const char **at, int *offset_s)
{
    char sign = **at;
    *offset_s = 0;
    if (sign == 'Z' || sign == 'z') {
        (*at)++;
        return true;
    }
    if (sign != '+' && sign != '-')
        return false;
    (*at)++;
    int hours, minutes;
    if (!take(at, 2, ':', &hours) || !take(at, 2, '\0', &minutes) || hours > 23 || minutes > 59)
        return false;
    *offset_s = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return true;
}

static bool take_date_and_time(const char **at, struct tm *tm)
{
    if (!take(at, 4, '-', &tm->tm_year) || !take(at, 2, '-', &tm->tm_mon) ||
        !take(at, 2, '\0', &tm->tm_mday))
        return false;
    if (**at != 'T' && **at != 't')
        return false;
    (*at)++;
    return take(at, 2, ':', &tm->tm_hour) && take(at, 2, ':', &tm->tm_min) &&
           take(at, 2, '\0', &tm->tm_sec);
}

static bool is_on_the_calendar(const struct tm *tm)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (tm->tm_mon < 1 || tm->tm_mon > 12 || tm->tm_mday < 1)
        return false;
    int year = tm->tm_year;
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int last = days[tm->tm_mon - 1] + (tm->tm_mon == 2 && is_leap ? 1 : 0);
    return tm->tm_mday <= last && tm->tm_hour <= 23 && tm->tm_min <= 59 &&
           tm->tm_sec <= 60; /* a leap second is the first of the next minute */
}

rl_code rl_clock_parse(const char *text, int64_t *time_ns, struct rl_error *err)
{
    const char *at = text;
    struct tm tm = {0};
    int64_t fraction_ns;
    int offset_s;
    if (!take_date_and_time(&at, &tm) || !take_fraction(&at, &fraction_ns) ||
        !take_offset(&at, &offset_s) || *at)
        return rl_fail(err, RL_E_INVAL,
                       "\"%.40s\" is not a time; write it like 2026-11-22T15:47:43Z", text);
    if (!is_on_the_calendar(&tm))
        return rl_fail(err, RL_E_INVAL, "\"%.40s\" is not a day and time of the calendar", text);
    if (tm.tm_year < 1678 || tm.tm_year > 2261) /* what 64 bits of nanoseconds hold */
        return rl_fail(err, RL_E_INVAL, "\"%.40s\" is not between the years 1678 and 2261", text);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *time_ns = ((int64_t)timegm(&tm) - offset_s) * NS_PER_S + fraction_ns;
    return RL_OK;
}
