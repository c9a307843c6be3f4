/* JSON values that follow one another: where each begins and ends, and the same values one a line, without the blanks between
 * their parts. Newlines say nothing here: a value may go on over many lines, and a line may hold many values.
 *
 * A value is what RFC 8259 has, and NaN, Infinity and -Infinity, as Python's json module takes them. Bytes that are not UTF-8
 * pass within texts: whose cells they are, the exact path finds. */
#define _GNU_SOURCE /* memmem */
#include "kernel.h"

#include <stdio.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Levels of nesting; a log has five. */
#define MOST_LEVELS 65536

/* What may stand where the next value does. */
enum { IN_ARRAY = 1, ENTERS_ARRAYS = 2, IS_LAST = 4 };

enum { AT_START = 0, BEHIND_VALUE = 1, BEHIND_COMMA = 2 };

/* Why no further value was taken: the data is used up; it ends within a value; a value is broken; the array is closed; an
 * array begins that the caller enters; there is no more room; a value is nested too deeply. */
enum { USED_UP = 0, CUT = 1, BROKEN = 2, CLOSED = 3, ENTERED = 4, FULL = 5, TOO_DEEP = 6 };

typedef struct {
    int64_t position; /* where to go on: behind the last value, or where the one begins that is not taken */
    int64_t error;    /* where a value is broken */
    int64_t size;     /* of what is written to `lines` */
    int32_t behind;   /* one of the three above */
    int32_t status;
} json_split;

/* A walk over one value. The byte at `end` is 0, which no value has: whoever meets it looks whether the data ends there. */
typedef struct {
    text_t end;
    uint8_t *out;
    text_t from, to; /* what is to be written next: what goes on without blanks is copied at once */
    text_t stop;     /* where the value is broken, or cut */
    int status;
} walk;

static text_t fail(walk *self, text_t p) {
    self->stop = p;
    self->status = p == self->end ? CUT : BROKEN;
    return NULL;
}

static inline text_t skip_space(text_t p) {
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') p++;
    return p;
}

static inline void write_copied(walk *self) {
    memcpy(self->out, self->from, (size_t)(self->to - self->from));
    self->out += self->to - self->from;
    self->from = self->to;
}

static inline text_t copy(walk *self, text_t from, text_t to) {
    if (UNLIKELY(from != self->to)) {
        write_copied(self);
        self->from = from;
    }
    return self->to = to;
}

static inline int is_hexadecimal(uint8_t byte) {
    return (uint8_t)(byte - '0') < 10 || (uint8_t)((byte | 0x20) - 'a') < 6;
}

/* Behind the next byte of a text that ends it, begins an escape, or must not stand there. */
static inline text_t plain_end(text_t p, text_t end) {
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
        int marks = _mm_movemask_epi8(_mm_or_si128(ends, controls));
        if (marks) return p + __builtin_ctz((unsigned)marks);
    }
#endif
    for (; end - p >= 8; p += 8) {
        uint64_t word = load64(p);
        uint64_t controls = (word - ONES * 0x20) & ~word & HIGHS;
        uint64_t marks = zeros(word ^ ONES * '"') | zeros(word ^ ONES * '\\') | controls;
        if (marks) return p + first_of(marks);
    }
    while (*p != '"' && *p != '\\' && *p >= 0x20) p++;
    return p;
}

/* Where a text ends that begins at `start`. */
static text_t text_value(walk *self, text_t start) {
    text_t p = start + 1;
    while (*(p = plain_end(p, self->end)) != '"') {
        if (*p != '\\') return fail(self, p);
        p++;
        if (*p == 'u') {
            for (int i = 0; i < 4; i++)
                if (!is_hexadecimal(*++p)) return fail(self, p);
        } else if (!*p || !strchr("\"\\/bfnrt", *p)) {
            return fail(self, p);
        }
        p++;
    }
    return copy(self, start, p + 1);
}

static text_t word_value(walk *self, text_t start, const char *word) {
    text_t p = start;
    for (; *word; word++, p++)
        if (*p != (uint8_t)*word) return fail(self, p);
    return copy(self, start, p);
}

static inline text_t skip_digits(text_t p) {
    while ((uint8_t)(*p - '0') < 10) p++;
    return p;
}

/* A fraction or an exponent that the data ends within is cut; one without digits is none of the number's, as Python has it. */
static text_t number_value(walk *self, text_t start) {
    text_t p = start + (*start == '-'), digits;
    if (*p == 'I') return word_value(self, start, "-Infinity");
    if ((uint8_t)(*p - '0') >= 10) return fail(self, p);
    p = *p == '0' ? p + 1 : skip_digits(p);
    if (*p == '.') {
        if (p + 1 == self->end) return fail(self, p + 1);
        if ((digits = skip_digits(p + 1)) > p + 1) p = digits;
    }
    if (*p == 'e' || *p == 'E') {
        digits = p + 1 + (p[1] == '+' || p[1] == '-');
        if (digits == self->end) return fail(self, digits);
        if (skip_digits(digits) > digits) p = skip_digits(digits);
    }
    return copy(self, start, p);
}

static text_t scalar_value(walk *self, text_t p) {
    switch (*p) {
    case '"': return text_value(self, p);
    case 't': return word_value(self, p, "true");
    case 'f': return word_value(self, p, "false");
    case 'n': return word_value(self, p, "null");
    case 'N': return word_value(self, p, "NaN");
    case 'I': return word_value(self, p, "Infinity");
    default: return number_value(self, p);
    }
}

/* From a key to where its value begins. */
static text_t key_end(walk *self, text_t p) {
    if (*p != '"') return fail(self, p);
    if (!(p = text_value(self, p))) return NULL;
    p = skip_space(p);
    if (*p != ':') return fail(self, p);
    copy(self, p, p + 1);
    return skip_space(p + 1);
}

/* Where the value ends that begins at `p`; NULL, with `status` and `stop`, if it does not. */
static text_t value_end(walk *self, text_t p) {
    uint64_t objects[MOST_LEVELS / 64]; /* which of the levels are objects; the others are arrays */
    int32_t depth = 0;
    for (;;) {
        int is_open = *p == '{' || *p == '[';
        if (is_open) {
            if (depth == MOST_LEVELS) {
                self->status = TOO_DEEP;
                return NULL;
            }
            uint64_t *level = &objects[depth / 64];
            if (depth % 64 == 0) *level = 0;
            *level = (*level & ~(1ULL << (depth % 64))) | (uint64_t)(*p == '{') << (depth % 64);
            depth++;
            copy(self, p, p + 1);
            p = skip_space(p + 1);
        } else if (!(p = scalar_value(self, p))) {
            return NULL;
        }
        /* Close what ends here; then the next value begins behind a comma, or as the first of what was opened. */
        for (;; is_open = 0) {
            if (!depth) return p;
            int is_object = objects[(depth - 1) / 64] >> ((depth - 1) % 64) & 1;
            if (!is_open) p = skip_space(p);
            if (*p == (is_object ? '}' : ']')) {
                p = copy(self, p, p + 1);
                depth--;
                continue;
            }
            if (!is_open) {
                if (*p != ',') return fail(self, p);
                copy(self, p, p + 1);
                p = skip_space(p + 1);
            }
            if (is_object && !(p = key_end(self, p))) return NULL;
            break;
        }
    }
}

/* Blanks, and the byte order marks that stand between files that were joined. */
static text_t skip_gap(text_t p, text_t end, int in_array) {
    for (;;) {
        p = skip_space(p);
        if (in_array || end - p < 3 || memcmp(p, "\xef\xbb\xbf", 3)) return p;
        p += 3;
    }
}

/* Takes values off some data, until something else stands there.
 *
 * data, size: the text; the byte behind it must be 0.
 * flags: IN_ARRAY: the values are an array's, with commas between them, up to its bracket; else there may be nothing between
 *     them, blanks, or a comma. ENTERS_ARRAYS: values that are arrays are not taken. IS_LAST: no more data follows.
 * at: where to begin, and behind what; receives where to go on, and why.
 * room: the most values that are taken; starts, ends: receive where they are.
 * lines: receives the values, one a line; with room for size + room bytes.
 *
 * Returns the number of values.
 */
API int64_t split_json(
    text_t data, int64_t size, int32_t flags, json_split *at, int64_t room, int64_t *starts, int64_t *ends, uint8_t *lines) {
    walk self = {.end = data + size, .out = lines};
    text_t p = data + at->position;
    int64_t count = 0;
    for (;;) {
        p = skip_gap(p, self.end, flags & IN_ARRAY);
        at->position = p - data;
        at->size = self.out - lines;
        at->error = at->position;
        at->status = USED_UP;
        if (p == self.end) return count;
        at->status = CUT;
        if (!(flags & (IN_ARRAY | IS_LAST)) && self.end - p < 3 && !memcmp(p, "\xef\xbb\xbf", (size_t)(self.end - p))) return count;
        at->status = BROKEN;
        if (*p == ',') {
            if (at->behind != BEHIND_VALUE) return count;
            at->behind = BEHIND_COMMA;
            p++;
            continue;
        }
        if (flags & IN_ARRAY && *p == ']') {
            at->position++;
            at->status = CLOSED;
            return count;
        }
        if (flags & IN_ARRAY && at->behind == BEHIND_VALUE) return count;
        at->status = ENTERED;
        if (flags & ENTERS_ARRAYS && *p == '[') return count;
        at->status = FULL;
        if (count == room) return count;
        self.from = self.to = p;
        text_t end = value_end(&self, p);
        if (end == self.end && !(flags & IS_LAST) && (uint8_t)(end[-1] - '0') < 10) end = fail(&self, end); /* the number may go on */
        if (!end) {
            at->status = self.status;
            at->error = self.status == TOO_DEEP ? at->position : self.stop - data;
            return count;
        }
        write_copied(&self);
        *self.out++ = '\n';
        starts[count] = p - data;
        ends[count++] = end - data;
        at->behind = BEHIND_VALUE;
        p = end;
    }
}

/* The newlines from an offset of some text to another. Python looks at one byte at a time. */
API int64_t count_newlines(text_t data, int64_t start, int64_t end) {
    int64_t count = 0;
    while (start < end) {
        int64_t stop = end - start < 255 ? end : start + 255;
        uint8_t some = 0; /* so that the compiler counts in bytes */
        for (; start < stop; start++) some += data[start] == '\n';
        count += some;
    }
    return count;
}

/* --- arrays of texts ----------------------------------------------------------------------------------------------- */

/* What is written. */
typedef struct {
    uint8_t *rest, *texts;
    int64_t *ends, *counts; /* of each array: where its texts end, and how many they are */
    int64_t count;
} cuts;

static inline int is_ascii(text_t p, size_t length) {
    uint64_t bytes = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) bytes |= load64(p + i);
    for (; i < length; i++) bytes |= p[i];
    return !(bytes & HIGHS);
}

/* Copies the texts of an array, from behind its bracket on, one a line. Returns where the array ends; NULL if one of them is empty, or
 * is not plain ASCII, or no text. */
static text_t cut_array(text_t p, text_t end, cuts *out) {
    int64_t count = 0;
    while (*p != ']') {
        if (count && *p++ != ',') return NULL;
        if (*p++ != '"') return NULL;
        text_t from = p;
        p = plain_end(p, end);
        size_t length = (size_t)(p - from);
        if (!length || !is_ascii(from, length) || *p++ != '"') return NULL;
        memcpy(out->texts, from, length);
        out->texts += length;
        *out->texts++ = '\n';
        count++;
    }
    out->counts[out->count] = count;
    return p + 1;
}

/* Copies a line, with the number of each array in its place. Returns how many these are; -1 if one cannot be cut out. */
static int32_t cut_line(text_t p, text_t end, text_t key, int64_t key_length, uint8_t *texts, cuts *out) {
    int32_t number = 0;
    if (memchr(p, '\\', (size_t)(end - p))) return -1; /* then a key may be within a text, or be written otherwise */
    for (text_t found; (found = memmem(p, (size_t)(end - p), key, (size_t)key_length)); number++) {
        found += key_length;
        memcpy(out->rest, p, (size_t)(found - p));
        out->rest += found - p;
        if (*found != '[' || !(p = cut_array(found + 1, end, out))) return -1;
        out->ends[out->count++] = out->texts - texts;
        out->rest += sprintf((char *)out->rest, "%d", number);
    }
    memcpy(out->rest, p, (size_t)(end - p));
    out->rest += end - p;
    return number;
}

/* Cuts out the arrays of texts that stand under a key.
 *
 * lines, size: objects, as `split_json` writes them.
 * key, key_length: the key with its quotes and the colon.
 * rest: receives the lines, with the numbers of the arrays on the line, from 0 on, in their places; a line with an array that cannot
 *     be cut out, or with an escape, is left as it is. Room for 2 * size.
 * cut: receives for each line how many arrays were cut out of it; -1 for a line that was left.
 * texts: receives the texts of all arrays, one a line; room for size.
 * ends, counts: receive for each array where its texts end, and how many they are; room for as many as keys have in size.
 * written: receives the size of `rest`, and of `texts`.
 *
 * Returns the number of arrays.
 */
API int64_t cut_arrays(text_t lines, int64_t size, text_t key, int64_t key_length, uint8_t *rest, int32_t *cut, uint8_t *texts,
    int64_t *ends, int64_t *counts, int64_t *written) {
    cuts out = {.rest = rest, .texts = texts, .ends = ends, .counts = counts};
    for (text_t p = lines, next; p < lines + size; p = next) {
        cuts before = out;
        next = (text_t)memchr(p, '\n', (size_t)(lines + size - p)) + 1;
        *cut = cut_line(p, next, key, key_length, texts, &out);
        if (*cut++ < 0) {
            out = before;
            memcpy(out.rest, p, (size_t)(next - p));
            out.rest += next - p;
        }
    }
    written[0] = out.rest - rest;
    written[1] = out.texts - texts;
    return out.count;
}
