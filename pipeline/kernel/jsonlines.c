/* JSON Lines whose objects are plain: texts without escapes, whole numbers, decimals, true, false and null, one level
 * deep. Everything else is odd: escapes, nested values, exponents, a wanted key that is there twice, a cell of another type
 * than its column's. */
#include "texts.h"
#include "numbers.h"

#include <stdlib.h>

static inline text_t skip_blanks(text_t p) {
    while (*p == ' ' || *p == '\t') p++;
    return p;
}

/* Where a text ends whose opening quote is before `p`: at its closing quote; NULL if it has an escape or a control character. */
static inline text_t text_end(text_t p) {
    for (;; p += 8) {
        uint64_t word = load64(p);
        /* A byte below 0x20 borrows into its high bit, unless that was set. */
        uint64_t controls = (word - ONES * 0x20) & ~word & HIGHS;
        uint64_t marks = zeros(word ^ ONES * '"') | zeros(word ^ ONES * '\\') | controls;
        if (LIKELY(marks)) {
            p += first_of(marks);
            return *p == '"' ? p : NULL;
        }
    }
}

static inline int is_digit(uint8_t byte) { return (uint8_t)(byte - '0') < 10; }

/* Where a number ends, as JSON has it; NULL if it is none, or has an exponent. */
static inline text_t number_end(text_t p) {
    p += *p == '-';
    if (!is_digit(*p) || (*p == '0' && is_digit(p[1]))) return NULL;
    while (is_digit(*p)) p++;
    if (*p == '.') {
        if (!is_digit(*++p)) return NULL;
        while (is_digit(*p)) p++;
    }
    return *p == 'e' || *p == 'E' ? NULL : p;
}

static inline text_t literal_end(text_t p, const char *word, size_t length) { return memcmp(p, word, length) ? NULL : p + length; }

/* Where a value ends that nobody wants; NULL if it is not plain. */
static text_t skip_value(text_t p) {
    if (*p == '"') {
        p = text_end(p + 1);
        return p ? p + 1 : NULL;
    }
    if (*p == 't') return literal_end(p, "true", 4);
    if (*p == 'f') return literal_end(p, "false", 5);
    if (*p == 'n') return literal_end(p, "null", 4);
    return number_end(p);
}

static inline int two_digits(text_t p) { return is_digit(p[0]) && is_digit(p[1]) ? 10 * (p[0] - '0') + p[1] - '0' : -1; }

/* Days from 1970-01-01 to a day of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
static int64_t days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Reads "2026-11-24T08:00:00.123456Z" from its opening quote on, into seconds since 1970. Returns where it ends, or NULL. */
static text_t read_time(text_t p, double *value) {
    static const int days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int century = two_digits(p + 1), years = two_digits(p + 3);
    if (century < 1 || years < 0 || p[5] != '-' || p[8] != '-' || p[11] != 'T' || p[14] != ':' || p[17] != ':') return NULL;
    int year = 100 * century + years, month = two_digits(p + 6), day = two_digits(p + 9);
    int hour = two_digits(p + 12), minute = two_digits(p + 15), second = two_digits(p + 18);
    int is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month < 1 || month > 12 || day < 1 || day > days_of[month - 1] + (month == 2 && is_leap)) return NULL;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return NULL;
    int64_t microseconds = 0;
    p += 20;
    if (*p == '.') {
        int places = 0;
        for (p++; is_digit(*p) && places < 7; p++, places++) microseconds = 10 * microseconds + *p - '0';
        if (places != 3 && places != 6) return NULL; /* what Python reads in all its versions */
        if (places == 3) microseconds *= 1000;
    }
    if (p[0] != 'Z' || p[1] != '"') return NULL;
    int64_t total = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    if (total > (1LL << 53) / 1000000 - 1 || total < -(1LL << 53) / 1000000) return NULL; /* a double would not hold it exactly */
    *value = (double)(total * 1000000 + microseconds) / 1e6;
    return p + 2;
}

static void set_null(column *self, int64_t row) {
    self->is_valid[row] = 0;
    if (self->kind == TEXT) ((int32_t *)self->values)[row] = 0;
}

/* Reads a value into a row of its column. Returns where it ends; NULL if it is not plain, or the memory is used up. What
 * follows a number, a fraction or an exponent, is seen by whoever expects another value or the end. */
static inline text_t read_value(text_t p, column *into, int64_t row, int *failed) {
    text_t end;
    if (UNLIKELY(*p == 'n')) {
        set_null(into, row); /* as if the key were not there */
        return literal_end(p, "null", 4);
    }
    if (into->kind == TEXT) {
        if (*p != '"' || !(end = text_end(++p))) return NULL;
        int32_t code = names_code(into->texts, p, (uint32_t)(end - p));
        if (UNLIKELY(code < 0)) {
            *failed = code == OUT_OF_MEMORY;
            return NULL;
        }
        ((int32_t *)into->values)[row] = code;
        end++;
    } else if (into->kind == SECONDS && *p == '"') {
        end = read_time(p, (double *)into->values + row);
    } else {
        text_t digits = p + (*p == '-');
        if (UNLIKELY(*digits == '0' && is_digit(digits[1]))) return NULL; /* 007 */
        end = into->kind == INTEGER ? read_integer(p, (int64_t *)into->values + row) : read_decimal(p, (double *)into->values + row);
    }
    into->is_valid[row] = end != NULL;
    return end;
}

/* The column that a key names; -1 if nobody wants it. */
static int32_t column_of(text_t key, int64_t length, const column *columns, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (columns[i].key_length == length && !memcmp(columns[i].key, key, (size_t)length)) return i;
    return -1;
}

/* All that stands before a value, from the end of the one before it on, and the column that it names. Files repeat themselves:
 * what is the same as in the line before need not be understood again. */
typedef struct {
    text_t text; /* with PADDING readable bytes behind it */
    uint32_t length;
    int32_t column;
    uint8_t below; /* the byte behind it is above this; none is above 255 */
} lead;

/* A longer one is not remembered: it would be looked for beyond a block's end. */
enum { REMEMBERED = 64, LONGEST_LEAD = PADDING - 16 };

/* The text of a lead that no text has: what rules it out is `below`. */
static const uint8_t nothing[8] = {0};

/* Whether the text has this lead, and the value begins right behind it. */
static inline int has_lead(text_t p, const lead *known) {
    uint64_t differs = 0;
    uint32_t i = 0;
    for (; i + 8 < known->length; i += 8) differs |= load64(p + i) ^ load64(known->text + i);
    differs |= (load64(p + i) ^ load64(known->text + i)) << (64 - 8 * (known->length - i));
    return !differs && p[known->length] > known->below;
}

/* Understands a lead that is new. Returns where its value begins; NULL if it is not plain. */
static text_t read_lead(text_t p, const column *columns, int32_t count, lead *found) {
    text_t start = p;
    p = skip_blanks(skip_blanks(p) + 1); /* behind the brace or the comma */
    if (*p != '"') return NULL;
    text_t key = ++p;
    if (!(p = text_end(p))) return NULL;
    int32_t column = column_of(key, p - key, columns, count);
    p = skip_blanks(p + 1);
    if (*p != ':') return NULL;
    p = skip_blanks(p + 1);
    if (p - start <= LONGEST_LEAD)
        *found = (lead){start, (uint32_t)(p - start), column, ' '};
    else
        *found = (lead){nothing, 1, column, 255};
    return p;
}

static text_t read_object(text_t p, int32_t count, column *columns, int64_t row, lead leads[REMEMBERED], int *failed) {
    uint64_t seen = 0;
    if (*p != '{') return NULL;
    for (int place = 0; p; place++) {
        lead *known = &leads[place < REMEMBERED ? place : REMEMBERED - 1];
        if (LIKELY(has_lead(p, known))) {
            p += known->length;
        } else {
            text_t next = skip_blanks(place ? p : p + 1);
            if (*next == '}') {
                if (next[1] != '\n') return NULL;
                for (int32_t i = 0; i < count; i++)
                    if (UNLIKELY(!(seen >> i & 1))) set_null(&columns[i], row);
                return next + 2;
            }
            if ((place && *next != ',') || !(p = read_lead(p, columns, count, known))) return NULL;
        }
        if (known->column < 0) {
            p = skip_value(p);
        } else {
            if (UNLIKELY(seen >> known->column & 1)) return NULL;
            seen |= 1ULL << known->column;
            p = read_value(p, &columns[known->column], row, failed);
        }
    }
    return NULL;
}

typedef struct {
    int64_t row, line; /* the next ones */
    int64_t *odd;
    int64_t odd_count;
    lead leads[REMEMBERED];
} progress;

/* Reads lines that end in a newline, with PADDING readable bytes behind it. */
static int read_lines(text_t p, text_t end, int32_t count, column *columns, progress *at) {
    int failed = 0;
    for (; p < end; at->line++) {
        text_t next = read_object(p, count, columns, at->row, at->leads, &failed);
        if (LIKELY(next != NULL)) {
            at->row++;
            p = next;
        } else {
            if (failed) return OUT_OF_MEMORY;
            at->odd[at->odd_count++] = at->line;
            p = (text_t)memchr(p, '\n', (size_t)(end - p)) + 1;
        }
    }
    return 0;
}

/* Reads whole lines into columns.
 *
 * data, size: the lines; the last one may lack its newline.
 * count, columns: those that are wanted, fewer than 64, all with `is_valid`, with room for a row for each line.
 * odd: receives the numbers of the lines, from 0 on, that are not plain; odd_count: how many these are.
 *
 * Returns the number of rows, or OUT_OF_MEMORY.
 */
API int64_t parse_json_lines(text_t data, int64_t size, int32_t count, column *columns, int64_t *odd, int64_t *odd_count) {
    progress at = {.odd = odd};
    padded_tail tail;
    for (int i = 0; i < REMEMBERED; i++) at.leads[i] = (lead){nothing, 1, -1, 255};
    if (!padded_tail_of(data, size, &tail)) return OUT_OF_MEMORY;
    int state = read_lines(data, tail.start, count, columns, &at);
    if (!state) state = read_lines(tail.copy, tail.copy_end, count, columns, &at);
    free(tail.copy);
    *odd_count = at.odd_count;
    return state ? state : at.row;
}
