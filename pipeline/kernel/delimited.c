/* Delimited text without quotes: finds the cells of each line, and reads those that are wanted in the same pass. */
#include "texts.h"
#include "numbers.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Passed by value: else each byte that is stored could change it, as far as a compiler knows. */
typedef struct {
    uint8_t delimiter;
    uint8_t is_trimmed; /* blanks around a text are no part of it */
    uint8_t is_blank;   /* the delimiter is a blank: several in a row are one, so that no cell is empty */
    text_t null; /* what stands for "no value" */
    uint32_t null_length;
} dialect;

/* Where cells end: the next 64 bytes are searched at once, and then give one end after the other. */
typedef struct {
    text_t window;
    uint64_t ends; /* a bit for each byte of the window that is a delimiter or a newline, and was not given yet */
} cursor;

#ifdef __SSE2__
static inline uint64_t find_ends(text_t window, uint8_t delimiter) {
    const __m128i delimiters = _mm_set1_epi8((char)delimiter), newlines = _mm_set1_epi8('\n');
    uint64_t ends = 0;
    for (int i = 0; i < 4; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(window + 16 * i));
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(bytes, delimiters), _mm_cmpeq_epi8(bytes, newlines));
        ends |= (uint64_t)(uint32_t)_mm_movemask_epi8(found) << (16 * i);
    }
    return ends;
}
#else
/* One bit for each byte of a word that is zero. */
static inline uint64_t zero_bits(uint64_t word) {
    uint64_t marks = ~(((word & ~HIGHS) + ~HIGHS) | word | ~HIGHS);
    return ((marks >> 7) * 0x0102040810204080ULL) >> 56;
}

static inline uint64_t find_ends(text_t window, uint8_t delimiter) {
    uint64_t ends = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t word = load64(window + 8 * i);
        ends |= (zero_bits(word ^ ONES * delimiter) | zero_bits(word ^ ONES * '\n')) << (8 * i);
    }
    return ends;
}
#endif

static inline text_t next_end(cursor *at, dialect d) {
    while (UNLIKELY(!at->ends)) {
        at->window += 64;
        at->ends = find_ends(at->window, d.delimiter);
    }
    text_t end = at->window + __builtin_ctzll(at->ends);
    at->ends &= at->ends - 1;
    return end;
}

static inline int is_blank(uint8_t byte) { return byte == ' ' || byte == '\t'; }

static inline int is_null(text_t p, uint32_t length, dialect d) { return length == d.null_length && !memcmp(p, d.null, length); }

/* Adds a text that is new. Returns its code; less than 0 if it is not plain, or the memory is used up. */
static __attribute__((noinline)) int32_t add_text(text_t p, text_t end, texts *into, dialect d, int *failed) {
    /* A text that is there has no blanks around it. */
    if (d.is_trimmed && p < end && (is_blank(*p) || is_blank(end[-1]))) return NOT_UTF8;
    int32_t code = texts_add(into, p, (uint32_t)(end - p));
    *failed = code == OUT_OF_MEMORY;
    return code;
}

/* Reads a number that is not written as most are, or a null. Returns 0 if it is neither. */
static __attribute__((noinline)) int read_rare_number(text_t p, text_t end, const column *into, int64_t row, dialect d) {
    void *value = (int64_t *)into->values + row;
    if ((into->kind == INTEGER ? read_integer(p, value) : read_decimal(p, value)) == end) return 1;
    if (!into->is_valid || !is_null(p, (uint32_t)(end - p), d)) return 0;
    *(int64_t *)value = 0;
    into->is_valid[row] = 0;
    return 1;
}

/* Reads a cell into a row of its column. Returns 0 if it is not plain, or the memory is used up. */
static inline __attribute__((always_inline)) int read_cell(text_t p, text_t end, const column *into, int64_t row, dialect d, int *failed) {
    uint32_t length = (uint32_t)(end - p);
    if (into->is_valid) into->is_valid[row] = 1;
    if (into->kind == TEXT) {
        int32_t code = 0;
        if (into->is_valid && UNLIKELY(is_null(p, length, d)))
            into->is_valid[row] = 0;
        else if (UNLIKELY((code = texts_find(into->texts, p, length)) < 0) && (code = add_text(p, end, into->texts, d, failed)) < 0)
            return 0;
        ((int32_t *)into->values)[row] = code;
        return 1;
    }
    return (into->kind == INTEGER ? LIKELY(read_short_integer(p, length, (int64_t *)into->values + row))
                                  : LIKELY(read_plain_seconds(p, length, (double *)into->values + row))) ||
           read_rare_number(p, end, into, row, d);
}

/* Reads the cells of a line. Returns where it ends, behind its newline; NULL if it is not plain, or the memory is used up. */
static inline text_t read_line(text_t p, cursor *at, const column *first, const column *last, int64_t row, dialect d, int *failed) {
    if (UNLIKELY(*p == '\n')) return NULL; /* blank */
    for (const column *into = first;; into++) {
        text_t end = next_end(at, d);
        if (UNLIKELY((*end == '\n' && into < last) || end < p + d.is_blank)) return NULL;
        if (into->kind != SKIPPED && UNLIKELY(!read_cell(p, end, into, row, d, failed))) return NULL;
        p = end + 1;
        if (into == last) return LIKELY(*end == '\n') ? p : NULL;
    }
}

typedef struct {
    int64_t row, line; /* the next ones */
    int64_t *odd;
    int64_t odd_count;
} progress;

/* Reads lines that end in a newline, with PADDING readable bytes behind it. */
static int read_lines(text_t p, text_t end, int32_t width, column *columns, dialect d, progress *at) {
    int failed = 0;
    cursor cells = {p, p < end ? find_ends(p, d.delimiter) : 0};
    for (; p < end; at->line++) {
        text_t next = read_line(p, &cells, columns, columns + width - 1, at->row, d, &failed);
        if (LIKELY(next != NULL)) {
            at->row++;
            p = next;
        } else {
            if (failed) return OUT_OF_MEMORY;
            at->odd[at->odd_count++] = at->line;
            p = (text_t)memchr(p, '\n', (size_t)(end - p)) + 1;
            cells.window = p;
            cells.ends = p < end ? find_ends(p, d.delimiter) : 0;
        }
    }
    return 0;
}

/* Reads whole lines into columns.
 *
 * data, size: the lines; the last one may lack its newline.
 * delimiter; is_trimmed: whether blanks around a text are no part of it; null: what stands for "no value" in the columns that have `is_valid`.
 * width, columns: one for each cell of a line, with room for a row for each line.
 * odd: receives the numbers of the lines, from 0 on, that are not plain; odd_count: how many these are.
 *
 * Returns the number of rows, or OUT_OF_MEMORY.
 */
API int64_t parse_delimited(text_t data, int64_t size, uint8_t delimiter, int32_t is_trimmed, text_t null, int32_t null_length,
                            int32_t width, column *columns, int64_t *odd, int64_t *odd_count) {
    dialect d = {delimiter, (uint8_t)is_trimmed, delimiter == ' ', null, (uint32_t)null_length};
    progress at = {.odd = odd};
    padded_tail tail;
    if (!padded_tail_of(data, size, &tail)) return OUT_OF_MEMORY;
    int state = read_lines(data, tail.start, width, columns, d, &at);
    if (!state) state = read_lines(tail.copy, tail.copy_end, width, columns, d, &at);
    free(tail.copy);
    *odd_count = at.odd_count;
    return state ? state : at.row;
}
