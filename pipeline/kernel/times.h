/* Times in text, as RFC 3339 has them. */
#ifndef FLOWLOG_TIMES_H
#define FLOWLOG_TIMES_H

#include "numbers.h"

/* Two digits as a number; less than 0 where there are none. */
static inline int two_digits(text_t p) { return is_digit(p[0]) && is_digit(p[1]) ? 10 * (p[0] - '0') + p[1] - '0' : -1; }

/* Days from 1970-01-01 to a day of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
static inline int64_t days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline int is_leap_year(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

/* The days of a month of a year; 0 where there is no such month. */
static inline int days_of_month(int year, int month) {
    static const int8_t days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month < 1 || month > 12 ? 0 : days_of[month - 1] + (month == 2 && is_leap_year(year));
}

/* Reads the fraction of a second, of one to nine digits, in microseconds: what is below them is cut off, as Python does. Returns
 * where the fraction ends, or NULL. */
static inline text_t read_fraction(text_t p, int64_t *microseconds) {
    uint64_t word = load64(p) ^ ZERO_CHARACTERS, marks = not_digits(word);
    unsigned places = marks ? first_of(marks) : 8;
    if (UNLIKELY(!places)) return NULL;
    /* The digits become the word's last bytes, and zeros stand before them. */
    *microseconds = (int64_t)(places < 6 ? eight_digits(word << (64 - 8 * places)) * powers_of_ten[6 - places] : eight_digits(word << 16));
    if (places == 8 && is_digit(p[8])) places = 9;
    return is_digit(p[places]) ? NULL : p + places;
}

/* Reads "Z", " UTC", "+0100", "+01:00" or nothing, in seconds. Returns where it ends, or NULL. */
static inline text_t read_offset(text_t p, int64_t *offset) {
    *offset = 0;
    if (*p == '"') return p;
    if (*p == 'Z') return p + 1;
    if (!memcmp(p, " UTC", 4)) return p + 4;
    if (*p != '+' && *p != '-') return NULL;
    int hours = two_digits(p + 1), minutes = two_digits(p + 3 + (p[3] == ':'));
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return NULL;
    *offset = (hours * 60 + minutes) * (*p == '-' ? -60 : 60);
    return p + 5 + (p[3] == ':');
}

/* The hour of a time that was read before, as 14 bytes that end in its colon: most times of a log are of the same hour. */
typedef struct {
    uint64_t first, last; /* the first eight bytes, and the last eight */
    int64_t seconds;      /* since 1970 */
} known_hour;

/* That of no time: of the bytes that the two words share, they say different things. */
static const known_hour no_hour = {0, UINT64_MAX, 0};

/* Reads "2026-11-24T08:", with a blank for the T, in seconds since 1970. Returns 0 if that is not what it is. */
static inline int read_hour(text_t p, int64_t *seconds) {
    int century = two_digits(p), years = two_digits(p + 2);
    if (century < 1 || years < 0 || p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != ' ') || p[13] != ':') return 0;
    int year = 100 * century + years, month = two_digits(p + 5), day = two_digits(p + 8), hour = two_digits(p + 11);
    if (day < 1 || day > days_of_month(year, month) || hour < 0 || hour > 23) return 0;
    *seconds = (days_from_civil(year, month, day) * 24 + hour) * 3600;
    return 1;
}

/* Reads "2026-11-24T08:00:00.123456Z", or as BigQuery writes it, "2026-11-24 08:00:00.123456 UTC", from its opening quote on, in
 * seconds since 1970. Returns where it ends, or NULL. */
static inline text_t read_time(text_t p, known_hour *known, double *value) {
    uint64_t first = load64(p + 1), last = load64(p + 7);
    if (UNLIKELY(first != known->first || last != known->last)) {
        int64_t seconds;
        if (!read_hour(p + 1, &seconds)) return NULL;
        *known = (known_hour){first, last, seconds};
    }
    int minute = two_digits(p + 15), second = two_digits(p + 18);
    if (minute < 0 || minute > 59 || p[17] != ':' || second < 0 || second > 59) return NULL;
    int64_t microseconds = 0, offset;
    p += 20;
    if (*p == '.' && !(p = read_fraction(p + 1, &microseconds))) return NULL;
    if (!(p = read_offset(p, &offset)) || *p != '"') return NULL;
    int64_t total = known->seconds + minute * 60 + second - offset;
    if (total > (1LL << 53) / 1000000 - 1 || total < -(1LL << 53) / 1000000) return NULL; /* a double would not hold it exactly */
    *value = (double)(total * 1000000 + microseconds) / 1e6;
    return p + 1;
}

/* How many units make a second of a time since 1970, whose size tells: seconds, milliseconds, microseconds or nanoseconds (see
 * syntax/times.py). */
static inline int64_t units_of_second(int64_t time) {
    return time >= 100000000000000000 ? 1000000000 : time >= 100000000000000 ? 1000000 : time >= 100000000000 ? 1000 : 1;
}

/* A time in seconds, from such units. */
static inline double seconds_of(double time) {
    return time >= 1e17 ? time / 1e9 : time >= 1e14 ? time / 1e6 : time >= 1e11 ? time / 1e3 : time;
}

/* The same, of integers, without the fraction of a second. A division by a constant is a multiplication. */
static inline int64_t whole_seconds_of(int64_t time) {
    return time >= 100000000000000000 ? time / 1000000000 : time >= 100000000000000 ? time / 1000000 : time >= 100000000000 ? time / 1000 : time;
}

#endif
