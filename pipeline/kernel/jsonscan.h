/* Where JSON values end, on a line that ends in a newline with PADDING readable bytes behind the newline. These functions pass
 * over nothing but what JSON has within a line, so that each of them ends at the newline at the latest. */
#ifndef FLOWLOG_JSONSCAN_H
#define FLOWLOG_JSONSCAN_H

#include "numbers.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* How deeply a value that is skipped may be nested: each level takes a bit. */
#define MOST_SKIPPED_LEVELS 64

static inline text_t skip_blanks(text_t p) {
    while (*p == ' ' || *p == '\t') p++;
    return p;
}

/* The next byte that is a quote, a backslash, or a control character, as is a newline. */
static inline text_t next_mark(text_t p) {
#ifdef __SSE2__
    for (;; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
        int marks = _mm_movemask_epi8(_mm_or_si128(ends, controls));
        if (LIKELY(marks)) return p + __builtin_ctz((unsigned)marks);
    }
#endif
    for (;; p += 8) {
        uint64_t word = load64(p);
        /* A byte below 0x20 borrows into its high bit, unless that was set. */
        uint64_t controls = (word - ONES * 0x20) & ~word & HIGHS;
        uint64_t marks = zeros(word ^ ONES * '"') | zeros(word ^ ONES * '\\') | controls;
        if (LIKELY(marks)) return p + first_of(marks);
    }
}

/* Whether the same bytes stand at two places. Where they differ, nothing is read that is 16 bytes behind the difference. */
static inline int are_same(text_t a, text_t b, uint32_t length) {
    uint32_t i = 0;
#ifdef __SSE2__
    for (;; i += 16) {
        __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(a + i)), _mm_loadu_si128((const __m128i *)(b + i)));
        unsigned differs = (unsigned)_mm_movemask_epi8(same) ^ 0xFFFF;
        if (length - i <= 16) return !(differs << (16 - (length - i)) & 0xFFFF);
        if (differs) return 0;
    }
#endif
    for (; length - i > 8; i += 8)
        if (load64(a + i) != load64(b + i)) return 0;
    return !((load64(a + i) ^ load64(b + i)) << (64 - 8 * (length - i)));
}

/* The closing quote of a text whose opening quote is before `p`; NULL if it has an escape or a control character. */
static inline text_t text_end(text_t p) {
    p = next_mark(p);
    return *p == '"' ? p : NULL;
}

static inline int is_hexadecimal(uint8_t byte) { return is_digit(byte) || (uint8_t)((byte | 0x20) - 'a') < 6; }

/* Behind an escape whose backslash is before `p`; NULL if JSON has no such escape. */
static __attribute__((noinline)) text_t skip_escape(text_t p) {
    switch (*p) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': return p + 1;
    case 'u':
        for (int i = 1; i <= 4; i++)
            if (!is_hexadecimal(p[i])) return NULL;
        return p + 5;
    default: return NULL;
    }
}

/* Behind a text whose opening quote is before `p`; NULL if it is none. */
static inline text_t skip_text(text_t p) {
    while (UNLIKELY(*(p = next_mark(p)) != '"'))
        if (*p != '\\' || !(p = skip_escape(p + 1))) return NULL;
    return p + 1;
}

static inline text_t skip_digits(text_t p) {
    if (!is_digit(*p)) return NULL;
    for (;; p += 8) {
        uint64_t marks = not_digits(load64(p) ^ ZERO_CHARACTERS);
        if (LIKELY(marks)) return p + first_of(marks);
    }
}

/* Behind a number; NULL if it is none as JSON has it. */
static inline text_t skip_number(text_t p) {
    p += *p == '-';
    if (*p == '0' && is_digit(p[1])) return NULL;
    p = skip_digits(p);
    if (p && *p == '.') p = skip_digits(p + 1);
    if (p && (*p | 0x20) == 'e') p = skip_digits(p + 1 + (p[1] == '+' || p[1] == '-'));
    return p;
}

static inline text_t skip_word(text_t p, const char *word, size_t length) { return memcmp(p, word, length) ? NULL : p + length; }

static inline text_t skip_scalar(text_t p) {
    if (*p == '"') return skip_text(p + 1);
    if (*p == 't') return skip_word(p, "true", 4);
    if (*p == 'f') return skip_word(p, "false", 5);
    if (*p == 'n') return skip_word(p, "null", 4);
    return skip_number(p);
}

/* From a key to where its value begins; NULL if there is no key. */
static inline text_t skip_key(text_t p) {
    if (*p != '"' || !(p = skip_text(p + 1))) return NULL;
    p = skip_blanks(p);
    return *p == ':' ? skip_blanks(p + 1) : NULL;
}

/* Behind an object or an array, whatever is in it; NULL if it is not whole JSON, or nested too deeply. */
static __attribute__((noinline)) text_t skip_nested(text_t p) {
    uint64_t objects = 0; /* the levels that are open, the innermost lowest: 1 for an object, 0 for an array */
    int depth = 0;
    for (;;) {
        int is_open = *p == '{' || *p == '[';
        if (is_open) {
            if (depth++ == MOST_SKIPPED_LEVELS) return NULL;
            objects = objects << 1 | (*p == '{');
            p = skip_blanks(p + 1);
        } else if (!(p = skip_scalar(p))) {
            return NULL;
        }
        /* Close what ends here; then the next value begins behind a comma, or as the first of what was opened. */
        for (;; is_open = 0) {
            if (!is_open) p = skip_blanks(p);
            if (*p != (objects & 1 ? '}' : ']')) break;
            p++;
            objects >>= 1;
            if (!--depth) return p;
        }
        if (!is_open) {
            if (*p != ',') return NULL;
            p = skip_blanks(p + 1);
        }
        if (objects & 1 && !(p = skip_key(p))) return NULL;
    }
}

/* Behind a value of any kind; NULL if there is none, or if it is nested too deeply. */
static inline text_t skip_value(text_t p) { return UNLIKELY(*p == '{' || *p == '[') ? skip_nested(p) : skip_scalar(p); }

#endif
