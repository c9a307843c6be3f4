/* Numbers from text, eight digits at a time. */
#ifndef FLOWLOG_NUMBERS_H
#define FLOWLOG_NUMBERS_H

#include "kernel.h"

#define ZERO_CHARACTERS 0x3030303030303030ULL

/* Marks the bytes that are no digits, in a word from which '0' was taken off; above the first marks may be false. */
static inline uint64_t not_digits(uint64_t word) { return ((word + 0x7676767676767676ULL) | word) & HIGHS; }

/* The number that eight digits make, the first of which is the word's lowest byte. */
static inline uint64_t eight_digits(uint64_t word) {
    word = (word * 10) + (word >> 8);
    return (((word & 0x000000FF000000FFULL) * 0x000F424000000064ULL) + (((word >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL)) >> 32;
}

static inline int is_digit(uint8_t byte) { return (uint8_t)(byte - '0') < 10; }

static const uint64_t powers_of_ten[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* Reads up to `most` digits, which fit into 64 bits. Returns where they end; NULL if there are none, or more. */
static inline text_t read_digits(text_t p, unsigned most, uint64_t *value) {
    uint64_t total = 0;
    unsigned count = 0;
    for (;;) {
        uint64_t word = load64(p) ^ ZERO_CHARACTERS, marks = not_digits(word);
        unsigned digits = marks ? first_of(marks) : 8;
        if (LIKELY(digits)) total = total * powers_of_ten[digits] + eight_digits(word << (64 - 8 * digits));
        count += digits;
        p += digits;
        if (LIKELY(digits < 8)) break;
        if (count > most) return NULL;
    }
    *value = total;
    return count && count <= most ? p : NULL;
}

/* Reads an optional minus and 1 to 19 digits that fit into 64 bits. Returns where they end, or NULL if they do not. */
static inline text_t read_integer(text_t p, int64_t *value) {
    uint64_t digits;
    int is_negative = *p == '-';
    p = read_digits(p + is_negative, 19, &digits);
    if (UNLIKELY(!p || digits > INT64_MAX)) return NULL;
    *value = is_negative ? -(int64_t)digits : (int64_t)digits;
    return p;
}

/* Reads an integer of 1 to 16 digits, which are all of a cell's bytes. Returns 0 if that is not what it is. */
static inline int read_short_integer(text_t p, uint32_t length, int64_t *value) {
    uint64_t last = length <= 8 ? 0 : load64(p + 8) ^ ZERO_CHARACTERS, first = load64(p) ^ ZERO_CHARACTERS;
    if (LIKELY(length - 1 < 8)) { /* the digits become the word's last bytes, and zeros stand before them */
        first <<= 64 - 8 * length;
        *value = (int64_t)eight_digits(first);
        return !not_digits(first);
    }
    if (length - 9 >= 8) return 0;
    last <<= 128 - 8 * length;
    *value = (int64_t)(eight_digits(first) * powers_of_ten[length - 8] + eight_digits(last));
    return !(not_digits(first) | not_digits(last));
}

/* Reads seconds since 1970 as most logs write them, ten digits and a fraction of 1 to 6, which are all of a cell's bytes. Returns 0 if that
 * is not what they are. */
static inline int read_plain_seconds(text_t p, uint32_t length, double *value) {
    static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    uint32_t places = length - 11;
    int64_t whole;
    if (places - 1 >= 6 || p[10] != '.' || !read_short_integer(p, 10, &whole)) return 0;
    uint64_t fraction = (load64(p + 11) ^ ZERO_CHARACTERS) << (64 - 8 * places);
    uint64_t digits = (uint64_t)whole * powers_of_ten[places] + eight_digits(fraction);
    *value = (double)digits / tens[places];
    return !not_digits(fraction) && digits <= 1ULL << 53; /* which a double holds: the quotient is rounded once, as in `read_decimal` */
}

/* Reads an optional minus and 1 to 19 digits, rounded towards 0 where a double does not hold them, as nanoseconds are: a time must
 * not move into the next hour. There may be a fraction, if a double holds all the digits exactly: their quotient is then no whole
 * number that the decimal is not. */
static inline text_t read_decimal(text_t p, double *value) {
    /* A quotient of two numbers that a double holds exactly is rounded once, as it must be (Clinger 1990). */
    static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    static const uint64_t wholes[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000,
                                      1000000000000, 10000000000000, 100000000000000, 1000000000000000};
    uint64_t whole, fraction = 0;
    int is_negative = *p == '-';
    p = read_digits(p + is_negative, 19, &whole);
    if (UNLIKELY(!p)) return NULL;
    unsigned places = 0;
    if (*p == '.') {
        if (UNLIKELY(whole > 1ULL << 53)) return NULL;
        text_t start = ++p;
        p = read_digits(p, 15, &fraction);
        if (UNLIKELY(!p)) return NULL;
        places = (unsigned)(p - start);
        if (UNLIKELY(whole > (1ULL << 53) / wholes[places])) return NULL;
        whole *= wholes[places];
    }
    if (UNLIKELY(places && whole + fraction > 1ULL << 53)) return NULL;
    if (UNLIKELY(whole > 1ULL << 53)) whole &= ~0ULL << (11 - __builtin_clzll(whole));
    double quotient = (double)(whole + fraction) / tens[places];
    *value = is_negative ? -quotient : quotient;
    return p;
}

#endif
