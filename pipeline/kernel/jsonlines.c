/* JSON Lines, one record a line, whose records are plain. In a plain record the wanted values are texts without escapes, whole
 * numbers, decimals and null, in the record itself or in objects within it; all other values may be anything that JSON has, and
 * so may those that are wanted as they are written.
 * Any other line is odd: an escape in a wanted text, or in a key of an object that has wanted keys; a wanted key that is there
 * twice; a value of another type than its column's. */
#include "jsonscan.h"
#include "texts.h"
#include "times.h"

#include <stdlib.h>

/* A key on the way to a column. Columns and objects are numbered together: the columns first, then the record, which is an
 * object, then the objects within it. */
typedef struct {
    text_t key;
    int32_t key_length;
    int32_t within; /* the number of the object that has it */
    int32_t number; /* of what its value is: a column or an object */
} field;

/* So many keys have room in the table, which is never full. */
enum { SLOTS = 256 };

/* What is wanted of a line. */
typedef struct {
    column *columns;
    const field *fields;
    int32_t record; /* the number of the record, and of columns */
    int32_t field_count;
    uint8_t slots[SLOTS]; /* a table of the keys: 1 + the place of a field, or 0; what has no room in its slot is in the next */
} wanted;

static inline uint8_t slot_of(text_t key, int64_t length, int32_t inside) {
    return (uint8_t)(length * 59 + key[0] * 31 + key[length >> 1] * 13 + key[length - 1] * 7 + inside * 101);
}

static void fill_slots(wanted *self) {
    memset(self->slots, 0, sizeof self->slots);
    for (int32_t i = 0; i < self->field_count; i++) {
        const field *each = &self->fields[i];
        uint8_t slot = slot_of(each->key, each->key_length, each->within);
        while (self->slots[slot]) slot++;
        self->slots[slot] = (uint8_t)(i + 1);
    }
}

static void set_null(column *self, int64_t row) {
    self->is_valid[row] = 0;
    if (self->kind == TEXT || self->kind == JSON_TEXT) ((int32_t *)self->values)[row] = 0;
}

/* Reads the fraction of an integer, from the point on, where the column may have such and a double holds the integer exactly.
 * Returns where the fraction ends, or NULL if it has anything but zeros. */
static __attribute__((noinline)) text_t read_zeros(text_t point, const column *into, int64_t row) {
    int64_t value = ((int64_t *)into->values)[row];
    if (!(into->forms & IN_FLOAT) || value >= 1LL << 53 || value <= -(1LL << 53)) return NULL;
    text_t p = point + 1;
    while (*p == '0') p++;
    return p > point + 1 ? p : NULL;
}

/* Reads an integer, or a decimal, of which JSON has none with leading zeros. Returns where it ends, or NULL. */
static inline text_t read_number(text_t p, column *into, int64_t row) {
    text_t digits = p + (*p == '-');
    if (UNLIKELY(*digits == '0' && is_digit(digits[1]))) return NULL; /* 007 */
    if (into->kind == SECONDS) return read_decimal(p, (double *)into->values + row);
    p = read_integer(p, (int64_t *)into->values + row);
    return UNLIKELY(p && *p == '.') ? read_zeros(p, into, row) : p;
}

/* Reads what a text says that is not a text to its column, from its opening quote on. Returns where it ends, or NULL. */
static __attribute__((noinline)) text_t read_quoted(text_t p, column *into, int64_t row) {
    if (into->kind == SECONDS) return read_time(p, (double *)into->values + row);
    if (!(into->forms & IN_TEXT)) return NULL;
    p = read_number(p + 1, into, row);
    return p && *p == '"' ? p + 1 : NULL;
}

/* Reads a value into a row of its column. Returns where it ends; NULL if it is not plain, or the memory is used up. What
 * follows a number, a fraction or an exponent, is seen by whoever expects another value or the end. */
static inline text_t read_value(text_t p, column *into, int64_t row, int *failed) {
    text_t end;
    if (UNLIKELY(*p == 'n')) {
        set_null(into, row); /* as if the key were not there */
        return skip_word(p, "null", 4);
    }
    if (into->kind == TEXT || into->kind == JSON_TEXT) {
        int is_text = into->kind == TEXT;
        if (is_text && *p++ != '"') return NULL;
        if (!(end = is_text ? text_end(p) : skip_value(p))) return NULL;
        int32_t code = texts_code(into->texts, p, (uint32_t)(end - p));
        if (UNLIKELY(code < 0)) {
            *failed = code == OUT_OF_MEMORY;
            return NULL;
        }
        ((int32_t *)into->values)[row] = code;
        end += is_text;
    } else if (*p == '"') {
        end = read_quoted(p, into, row);
    } else {
        end = read_number(p, into, row);
    }
    into->is_valid[row] = end != NULL;
    return end;
}

/* --- key prefixes -------------------------------------------------------------------------------------------------
 *
 * A key prefix is the text between two values that are read or skipped: from the end of a value (or from behind the record's
 * brace) to the first byte of the next value. A prefix closes objects, has a comma and keys, and opens the objects that are
 * entered. The last prefix of a line ends with the newline:
 *
 *     {"start":17,"connection":{"src":"a","dst":"b"},"bytes":{"sent":1}}
 *      |------|  |-------------------|   |-----|   |----------------| |-|
 *
 * Lines of a file have mostly the same prefixes. So the prefix at each place of a line is remembered together with its meaning:
 * which column follows, which object is open then, and which keys the prefix has. Where the same bytes stand at the same place
 * of the next line, their meaning is taken over. This is sound because the meaning of a prefix depends on three things:
 *
 * 1. on its bytes, all of which are compared;
 * 2. on the object that is open before the prefix: `from` is compared;
 * 3. on whether a value stands before the prefix: at the first place never, at every other place always.
 *
 * Whether a key was in the line before depends on the whole line, and is no part of the meaning: `marks` says which keys a
 * prefix has, and each line compares them with those that it has seen.
 *
 * The bytes are the same, but the prefix may be longer: a blank may follow. Then the next byte is not above ' ', and the prefix
 * is read anew. */

/* What follows a prefix, if not the value of a column: a value that is skipped, or the next line. */
enum { SKIP = -1, END = -2 };

/* The object that is open before a prefix which must not be taken over: no object has this number. */
enum { NOWHERE = -1 };

/* A longer prefix is not remembered: comparing it would read beyond a block's padding. */
enum { REMEMBERED = 64, LONGEST_PREFIX = PADDING - 16 };

typedef struct {
    text_t text; /* in some line before, with PADDING readable bytes behind it */
    uint32_t length;
    int32_t from, to; /* the objects that are open before and behind it */
    int32_t column;   /* the number of the column whose value follows, or SKIP, or END */
    uint64_t marks;   /* the columns and the objects whose keys the prefix has: a bit each, by their numbers */
} key_prefix;

/* Whether a remembered prefix stands at `p`, where the object `inside` is open. */
static inline int stands_at(text_t p, int32_t inside, const key_prefix *known) {
    if (known->from != inside) return 0;
    uint64_t differs = 0;
    uint32_t i = 0;
    for (; i + 8 < known->length; i += 8) differs |= load64(p + i) ^ load64(known->text + i);
    differs |= (load64(p + i) ^ load64(known->text + i)) << (64 - 8 * (known->length - i));
    return !differs && p[known->length] > ' ';
}

/* The number of the column or the object that a key of an object leads to; SKIP if to neither. */
static int32_t number_of(text_t key, int64_t length, int32_t inside, const wanted *all) {
    for (uint8_t slot = slot_of(key, length, inside); all->slots[slot]; slot++) {
        const field *each = &all->fields[all->slots[slot] - 1];
        if (each->within == inside && each->key_length == length && !memcmp(each->key, key, (size_t)length)) return each->number;
    }
    return SKIP;
}

/* The number of the object around another one. */
static int32_t around(int32_t object, const wanted *all) {
    int32_t i = 0;
    while (all->fields[i].number != object) i++;
    return all->fields[i].within;
}

/* Reads the prefix that stands at `start`, where the object `inside` is open. Returns 0 if the text there is not plain.
 *
 * An object that is null has no keys. The prefix goes on behind the null, as it does behind an empty object. */
static int read_prefix(text_t start, int is_first, int32_t inside, const wanted *all, key_prefix *found) {
    text_t p = start;
    uint64_t marks = 0;
    int32_t from = inside, number;
    for (int is_open = is_first;;) {
        p = skip_blanks(p);
        if (*p == '}') {
            p++;
            if (inside == all->record) {
                if (*p++ != '\n') return 0;
                number = END;
                break;
            }
            inside = around(inside, all);
            is_open = 0;
            continue;
        }
        if (!is_open) {
            if (*p != ',') return 0;
            p = skip_blanks(p + 1);
        }
        if (*p != '"') return 0;
        text_t key = ++p;
        if (!(p = text_end(p))) return 0;
        number = number_of(key, p - key, inside, all);
        p = skip_blanks(p + 1);
        if (*p != ':') return 0;
        p = skip_blanks(p + 1);
        if (number == SKIP) break;
        if (marks >> number & 1) return 0;
        marks |= 1ULL << number;
        if (number < all->record) break;
        is_open = *p == '{';
        if (is_open) {
            inside = number;
            p++;
        } else if (!(p = skip_word(p, "null", 4))) {
            return 0;
        }
    }
    *found = (key_prefix){start, (uint32_t)(p - start), p - start <= LONGEST_PREFIX ? from : NOWHERE, inside, number, marks};
    return 1;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t row, line; /* the next ones */
    int64_t *odd;
    int64_t odd_count;
    key_prefix prefixes[REMEMBERED]; /* by the number of values before them; the last one for all places from there on */
} progress;

/* Reads a line into a row. Returns where the next line begins; NULL if it is not plain, or the memory is used up. */
static text_t read_record(text_t p, const wanted *all, int64_t row, key_prefix prefixes[REMEMBERED], int *failed) {
    uint64_t seen = 0;
    int32_t inside = all->record;
    if (*p++ != '{') return NULL;
    for (int place = 0; p; place++) {
        key_prefix *known = &prefixes[place < REMEMBERED ? place : REMEMBERED - 1];
        if (UNLIKELY(!stands_at(p, inside, known)) && !read_prefix(p, place == 0, inside, all, known)) return NULL;
        if (UNLIKELY(seen & known->marks)) return NULL; /* a key that is there twice */
        seen |= known->marks;
        inside = known->to;
        p += known->length;
        if (known->column >= 0) {
            p = read_value(p, &all->columns[known->column], row, failed);
        } else if (known->column == SKIP) {
            p = skip_value(p);
        } else {
            for (int32_t i = 0; i < all->record; i++)
                if (UNLIKELY(!(seen >> i & 1))) set_null(&all->columns[i], row);
            return p;
        }
    }
    return NULL;
}

/* Reads lines that end in a newline, with PADDING readable bytes behind it. */
static int read_lines(text_t p, text_t end, const wanted *all, progress *at) {
    int failed = 0;
    for (; p < end; at->line++) {
        text_t next = read_record(p, all, at->row, at->prefixes, &failed);
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
 * count, columns: those that are wanted, all with `is_valid`, with room for a row for each line.
 * field_count, fields: the keys that lead to them; of columns and objects together there are at most 64.
 * odd: receives the numbers of the lines, from 0 on, that are not plain; odd_count: how many these are.
 *
 * Returns the number of rows, or OUT_OF_MEMORY.
 */
API int64_t parse_json_lines(text_t data, int64_t size, int32_t count, column *columns, int32_t field_count, const field *fields,
    int64_t *odd, int64_t *odd_count) {
    wanted all = {.columns = columns, .fields = fields, .record = count, .field_count = field_count};
    progress at = {.odd = odd};
    padded_tail tail;
    fill_slots(&all);
    for (int i = 0; i < REMEMBERED; i++) at.prefixes[i].from = NOWHERE;
    if (!padded_tail_of(data, size, &tail)) return OUT_OF_MEMORY;
    int state = read_lines(data, tail.start, &all, &at);
    if (!state) state = read_lines(tail.copy, tail.copy_end, &all, &at);
    free(tail.copy);
    *odd_count = at.odd_count;
    return state ? state : at.row;
}
