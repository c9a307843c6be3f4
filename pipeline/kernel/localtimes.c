/* Texts that are times: as clocks show them, without an offset, or as numbers since 1970. */
#include "times.h"

#include <math.h>

enum { SHORTEST_CLOCK = 19, LONGEST_NUMBER = 19, LONGEST_TIME = 32 };

#define MICROSECONDS 1000000

/* A whole number since 1970 in seconds; rounding must not move it into the next second. */
static inline double seconds_of_whole(uint64_t whole) {
    double last = (double)whole_seconds_of((int64_t)whole) + 0.999999, time = seconds_of((double)whole);
    return time < last ? time : last;
}

/* Reads 9 to 19 digits that are all of a text, as most numbers since 1970 are. Returns 0 if that is not what it is. */
static inline int read_whole(text_t p, int32_t length, uint64_t *whole) {
    int64_t first;
    uint64_t last = load64(p + length - 8) ^ ZERO_CHARACTERS;
    if (!read_short_integer(p, (uint32_t)length - 8, &first) || not_digits(last)) return 0;
    *whole = (uint64_t)first * 100000000 + eight_digits(last);
    return 1;
}

/* Reads a number since 1970 that has all of a text: digits, or digits on both sides of a point. Returns NAN where the text is none,
 * or is one that a double does not hold exactly, but for whole ones: rounding must not move these into the next second. */
static double read_number(text_t p, int32_t length) {
    uint64_t whole = 0, fraction = 0;
    if (length > LONGEST_NUMBER || (length == LONGEST_NUMBER && *p == '9')) return NAN;
    if (LIKELY(length > 8 && read_whole(p, length, &whole))) return seconds_of_whole(whole);
    text_t end = p + length, point = read_digits(p, LONGEST_NUMBER, &whole);
    if (!point) return NAN;
    if (point == end) return seconds_of_whole(whole);
    if (*point != '.' || read_digits(point + 1, LONGEST_NUMBER, &fraction) != end) return NAN;
    double divisor = 1;
    for (text_t place = point + 1; place < end; place++) {
        if (whole > (1ULL << 53) / 10) return NAN;
        whole *= 10;
        divisor *= 10;
    }
    return whole + fraction > 1ULL << 53 ? NAN : seconds_of((double)(whole + fraction) / divisor);
}

/* The days from 1970-01-01 to a date like 2026-11-24 or 2026/11/24; -1, with `is_date` 0, where there is none. */
static int64_t read_date(text_t p, int *is_date) {
    int century = two_digits(p), years = two_digits(p + 2), month = two_digits(p + 5), day = two_digits(p + 8);
    int year = 100 * century + years;
    *is_date = century >= 0 && years >= 0 && year > 0 && (p[4] == '-' || p[4] == '/') && p[7] == p[4] && day >= 1 &&
               day <= days_of_month(year, month);
    return *is_date ? days_from_civil(year, month, day) : -1;
}

/* What a date was that was read before: most times of a log are of the same day. */
typedef struct {
    uint8_t text[10];
    int is_date;
    int64_t days;
} known_date;

/* Reads a time like "2026-11-24T08:00:00.123", with a blank for the T, in microseconds since the clock showed 1970. Returns
 * whether all of the text is one. */
static int read_clock(text_t p, int32_t length, known_date *known, int64_t *clock) {
    int64_t microseconds = 0;
    if (length < SHORTEST_CLOCK || (p[10] != 'T' && p[10] != ' ') || p[13] != ':' || p[16] != ':') return 0;
    int hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
    if (length > SHORTEST_CLOCK && (p[19] != '.' || read_fraction(p + 20, &microseconds) != p + length)) return 0;
    if (UNLIKELY(memcmp(p, known->text, sizeof known->text))) {
        memcpy(known->text, p, sizeof known->text);
        known->days = read_date(p, &known->is_date);
    }
    *clock = (((known->days * 24 + hour) * 60 + minute) * 60 + second) * MICROSECONDS + microseconds;
    return known->is_date;
}

/* Reads texts, as Arrow has them, that are times.
 *
 * clock: receives what the clock showed, in microseconds since 1970; 0 where the text is no local time.
 * seconds: receives the seconds since 1970 of texts that are numbers; NAN for all others.
 * kinds: receives 1 for a local time, 0 for a number or an empty text, and 2 for what is none of these, or cannot be told here.
 *
 * Returns how many have 2 in `kinds`.
 */
API int64_t read_times(int64_t count, const int32_t *offsets, text_t bytes, int64_t *clock, double *seconds, uint8_t *kinds) {
    known_date known = {.text = "", .is_date = 0};
    int64_t others = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t length = offsets[i + 1] - offsets[i];
        uint8_t text[LONGEST_TIME + 16];
        clock[i] = 0;
        seconds[i] = NAN;
        kinds[i] = 0;
        if (!length) continue;
        if (LIKELY(length <= LONGEST_TIME)) {
            /* As many bytes as there may be are copied much faster than as many as there are. */
            if (LIKELY(offsets[count] - offsets[i] >= LONGEST_TIME)) memcpy(text, bytes + offsets[i], LONGEST_TIME);
            else memcpy(text, bytes + offsets[i], (size_t)length);
            memset(text + length, 0, 16);
            kinds[i] = (uint8_t)read_clock(text, length, &known, &clock[i]);
            if (!kinds[i]) {
                clock[i] = 0;
                seconds[i] = read_number(text, length);
            }
        }
        if (UNLIKELY(!kinds[i] && isnan(seconds[i]))) {
            kinds[i] = 2;
            others++;
        }
    }
    return others;
}
