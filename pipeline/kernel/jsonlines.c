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
    uint64_t varied; /* the VARIED columns, a bit each */
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
    if (self->texts) ((int32_t *)self->values)[row] = 0;
    if (self->kind == VARIED) ((int32_t *)self->values)[row + 1] = ((int32_t *)self->values)[row];
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
static __attribute__((noinline)) text_t read_quoted(text_t p, column *into, int64_t row, known_hour *hour) {
    if (into->kind == SECONDS) return read_time(p, hour, (double *)into->values + row);
    if (!(into->forms & IN_TEXT)) return NULL;
    p = read_number(p + 1, into, row);
    return p && *p == '"' ? p + 1 : NULL;
}

/* Keeps the text that stands from `p` to `end`. Returns `end`; NULL if the text is long, or may not be UTF-8. */
static inline text_t keep_text(text_t p, text_t end, column *into, int64_t row) {
    int32_t *offsets = (int32_t *)into->values + row, length = (int32_t)(end - p);
    uint8_t *kept = into->bytes + offsets[0];
    uint64_t bytes = 0;
    if (UNLIKELY(end - p > LONGEST_VARIED)) return NULL;
    int32_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word = load64(p + i);
        memcpy(kept + i, &word, sizeof word);
        bytes |= word;
    }
    uint64_t rest = load64(p + i);
    memcpy(kept + i, &rest, sizeof rest);
    if (i < length) bytes |= rest << (64 - 8 * (length - i));
    offsets[1] = offsets[0] + length;
    return UNLIKELY(bytes & HIGHS) ? NULL : end;
}

/* The last text of a column, and its code: some columns have the same text in nearly all rows, and to compare it is faster than
 * to look it up. `luck` falls with each row in which the comparison was in vain; without luck nothing is compared any more. */
typedef struct {
    text_t text;
    uint32_t length;
    int32_t code;
    int32_t luck;
} known_text;

enum { MOST_LUCK = 16 };

/* Reads the text that stands from `p` to `end` into a row. Returns `end`; NULL if it is not UTF-8, or the memory is used up. */
static inline text_t read_text(text_t p, text_t end, column *into, int64_t row, known_text *known, int *failed) {
    if (into->kind == VARIED) return keep_text(p, end, into, row);
    uint32_t length = (uint32_t)(end - p);
    int32_t *code = (int32_t *)into->values + row;
    if (known->luck > 0 && length == known->length && are_same(p, known->text, length)) {
        known->luck += known->luck < MOST_LUCK;
        *code = known->code;
        return end;
    }
    *code = texts_code(into->texts, p, length);
    if (UNLIKELY(*code < 0)) {
        *failed = *code == OUT_OF_MEMORY;
        return NULL;
    }
    if (known->luck > 0) *known = (known_text){p, length, *code, known->luck - 1};
    return end;
}

/* Reads an integer whose digits are a text. Returns where it ends, or NULL. Python writes -0 as 0, and others would not fit. */
static __attribute__((noinline)) text_t read_bare(text_t p, column *into, int64_t row, known_text *known, int *failed) {
    text_t digits = p + (*p == '-'), end = skip_digits(digits);
    if (!end || end - digits > 19 || (*digits == '0' && end - p > 1)) return NULL;
    return read_text(p, end, into, row, known, failed);
}

/* Reads a value into a row of its column, of whatever kind both are. Returns where it ends; NULL if it is not plain, or the memory is
 * used up. */
static __attribute__((noinline)) text_t read_any(text_t p, column *into, int64_t row, known_text *known, known_hour *hour, int *failed) {
    text_t end;
    if (*p == 'n') {
        set_null(into, row); /* as if the key were not there */
        return skip_word(p, "null", 4);
    }
    if (into->kind == JSON_TEXT) {
        if (!(end = skip_value(p)) || !read_text(p, end, into, row, known, failed)) return NULL;
    } else if (into->texts || into->kind == VARIED) {
        if (*p == '"') {
            if (!(end = text_end(++p)) || !read_text(p, end, into, row, known, failed)) return NULL;
            end++;
        } else if (!(into->forms & IN_TEXT) || !(end = read_bare(p, into, row, known, failed))) {
            return NULL;
        }
    } else {
        end = *p == '"' ? read_quoted(p, into, row, hour) : read_number(p, into, row);
    }
    into->is_valid[row] = end != NULL;
    return end;
}

/* The same, with a shorter way for what most values are: texts, and integers above 0. What follows a number, a fraction or an exponent,
 * is seen by whoever expects another value or the end. */
static inline text_t read_value(text_t p, column *into, int64_t row, known_text *known, known_hour *hour, int *failed) {
    text_t end;
    if (into->kind == TEXT && LIKELY(*p == '"')) {
        if (!(end = text_end(++p)) || !read_text(p, end, into, row, known, failed)) return NULL;
        end++;
    } else if (into->kind == INTEGER && (uint8_t)(*p - '1') < 9) {
        if (!(end = read_integer(p, (int64_t *)into->values + row))) return NULL;
        if (UNLIKELY(*end == '.') && !(end = read_zeros(end, into, row))) return NULL;
    } else {
        return read_any(p, into, row, known, hour, failed);
    }
    into->is_valid[row] = 1;
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
 * is read anew.
 *
 * Many of the values that are skipped are the same in each line. So a prefix is joined, where such a value stands behind it, with
 * the value and the next prefix, and so on up to a value that is read, or that changes:
 *
 *     {"start":17,"type":"IPFIX","site":4,"bytes":1}
 *                |-----------------------------|
 *
 * A stretch of text like this one says what its prefixes say one after the other, for its bytes are the same. */

/* What follows a prefix, if not the value of a column: a value that is skipped, or the next line. */
enum { SKIP = -1, END = -2 };

/* The object that is open before a prefix which must not be taken over: no object has this number. */
enum { NOWHERE = -1 };

/* So many places of a line are remembered. */
enum { REMEMBERED = 64 };

typedef struct {
    text_t text; /* in some line before, with PADDING readable bytes behind it */
    uint32_t length;
    int32_t from, to; /* the objects that are open before and behind it */
    int32_t column;   /* the number of the column whose value follows, or SKIP, or END */
    int32_t places;   /* how many prefixes it has */
    uint64_t marks;   /* the columns and the objects whose keys the prefix has: a bit each, by their numbers */
} key_prefix;

/* Whether a remembered prefix stands at `p`, where the object `inside` is open. */
static inline int stands_at(text_t p, int32_t inside, const key_prefix *known) {
    return known->from == inside && are_same(p, known->text, known->length) && p[known->length] > ' ';
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
    *found = (key_prefix){start, (uint32_t)(p - start), from, inside, number, 1, marks};
    return 1;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

/* The stretches of a block are looked for at its third line, and again after so many lines: the values that are the same change. */
enum { JOINED_LINE = 2, LINES_BETWEEN = 64 };

typedef struct {
    int64_t row, line; /* the next ones */
    int64_t most_lines;
    int64_t *odd;
    int64_t odd_count;
    key_prefix prefixes[REMEMBERED];  /* by the number of values before them; the last one for all places from there on */
    key_prefix stretches[REMEMBERED]; /* what they are joined to, if to anything */
    text_t starts[REMEMBERED];        /* where the prefixes of the last line begin that were not part of a stretch */
    known_text texts[64];             /* by column */
    known_hour hour;
} progress;

/* Notes that a line lacks the columns whose keys were not seen: their cells are null, as all are from the start. */
static inline void set_missing(const wanted *all, uint64_t seen, int64_t row) {
    for (uint64_t missing = all->varied & ~seen; missing; missing &= missing - 1) set_null(&all->columns[__builtin_ctzll(missing)], row);
}

/* Reads a line into a row. Returns where the next line begins; NULL if it is not plain, or the memory is used up. */
static text_t read_record(text_t p, const wanted *all, progress *at, int *failed) {
    uint64_t seen = 0;
    int32_t inside = all->record;
    if (*p++ != '{') return NULL;
    for (int place = 0; p;) {
        int here = place < REMEMBERED ? place : REMEMBERED - 1;
        key_prefix *known = &at->stretches[here];
        if (!stands_at(p, inside, known)) {
            known->from = NOWHERE;
            known = &at->prefixes[here];
            if (UNLIKELY(!stands_at(p, inside, known)) && !read_prefix(p, place == 0, inside, all, known)) return NULL;
        }
        if (UNLIKELY(seen & known->marks)) return NULL; /* a key that is there twice */
        at->starts[here] = p;
        place += known->places;
        seen |= known->marks;
        inside = known->to;
        p += known->length;
        if (known->column >= 0) {
            p = read_value(p, &all->columns[known->column], at->row, &at->texts[known->column], &at->hour, failed);
        } else if (known->column == SKIP) {
            p = skip_value(p);
        } else {
            set_missing(all, seen, at->row);
            return p;
        }
    }
    return NULL;
}
/* Joins the prefixes of a plain line, which was read without stretches, where values between them are skipped and are the same
 * as they were where the prefixes were found. */
static void join_prefixes(progress *at) {
    int last = 0;
    while (last < REMEMBERED - 1 && at->prefixes[last].column != END) last++;
    for (int place = last - 1; place >= 0; place--) {
        const key_prefix *one = &at->prefixes[place], *next = &at->stretches[place + 1];
        if (next->from == NOWHERE) next = &at->prefixes[place + 1];
        ptrdiff_t length = at->starts[place + 1] - at->starts[place];
        if (one->column != SKIP || place + 1 == REMEMBERED - 1 || one->text == at->starts[place]) continue;
        if (next->text - one->text != length || !are_same(at->starts[place], one->text, (uint32_t)length) || one->marks & next->marks) continue;
        at->stretches[place] = (key_prefix){.text = one->text, .length = (uint32_t)length + next->length, .from = one->from, .to = next->to,
            .column = next->column, .places = 1 + next->places, .marks = one->marks | next->marks};
    }
}

/* Reads lines that end in a newline, with PADDING readable bytes behind it. Returns 0, or why not all were read. */
static int read_lines(text_t p, text_t end, const wanted *all, progress *at) {
    int failed = 0;
    for (; p < end; at->line++) {
        if (UNLIKELY(at->line == at->most_lines)) return MORE_LINES;
        int is_joined = at->line % LINES_BETWEEN == JOINED_LINE;
        for (int i = 0; is_joined && i < REMEMBERED; i++) at->stretches[i].from = NOWHERE;
        text_t next = read_record(p, all, at, &failed);
        if (LIKELY(next != NULL)) {
            if (is_joined) join_prefixes(at);
            at->row++;
            p = next;
        } else {
            if (failed) return OUT_OF_MEMORY;
            for (int32_t i = 0; *p == '{' && i < all->record; i++) set_null(&all->columns[i], at->row);
            at->odd[at->odd_count++] = at->line;
            p = (text_t)memchr(p, '\n', (size_t)(end - p)) + 1;
        }
    }
    return 0;
}

/* Makes all cells null. */
static void clear(column *self, int64_t rows) {
    memset(self->is_valid, 0, (size_t)rows);
    if (self->texts) memset(self->values, 0, (size_t)rows * sizeof(int32_t));
    if (self->kind == VARIED) *(int32_t *)self->values = 0;
}

/* Reads whole lines into columns.
 *
 * data, size: the lines; the last one may lack its newline.
 * most_lines: how many lines may be read.
 * count, columns: those that are wanted, all with `is_valid`, with room for `rows`, of which there is one for each line that begins
 *     with a brace.
 * field_count, fields: the keys that lead to them; of columns and objects together there are at most 64.
 * odd: receives the numbers of the lines, from 0 on, that are not plain, with room for `most_lines`.
 * odd_count, line_count: receive how many these are, and how many all are.
 *
 * Returns the number of rows, or MORE_LINES, or OUT_OF_MEMORY.
 */
API int64_t parse_json_lines(text_t data, int64_t size, int64_t most_lines, int32_t count, column *columns, int64_t rows,
    int32_t field_count, const field *fields, int64_t *odd, int64_t *odd_count, int64_t *line_count) {
    wanted all = {.columns = columns, .fields = fields, .record = count, .field_count = field_count};
    progress at = {.most_lines = most_lines, .odd = odd, .hour = no_hour};
    padded_tail tail;
    fill_slots(&all);
    for (int32_t i = 0; i < count; i++) {
        clear(&columns[i], rows);
        all.varied |= (uint64_t)(columns[i].kind == VARIED) << i;
        at.texts[i] = (known_text){.length = UINT32_MAX, .luck = MOST_LUCK}; /* no text is so long */
    }
    for (int i = 0; i < REMEMBERED; i++) at.prefixes[i].from = at.stretches[i].from = NOWHERE;
    if (!padded_tail_of(data, size, &tail)) return OUT_OF_MEMORY;
    int state = read_lines(data, tail.start, &all, &at);
    if (!state) state = read_lines(tail.copy, tail.copy_end, &all, &at);
    free(tail.copy);
    *odd_count = at.odd_count;
    *line_count = at.line;
    return state ? state : at.row;
}
