/* What the parts of the kernel share: distinct texts and their codes, and the columns that a parser fills.
 *
 * Memory safety rests on three rules. What a parser walks over ends in a newline with PADDING readable bytes behind it,
 * so that it may load whole words and needs no check of the end within a line: `padded_tail_of` sees to that. It writes
 * at most one row for each line, and the caller has made room for as many. Whatever is not plain is not judged here: its
 * line is listed as odd, and read again by the exact path in Python.
 */
#ifndef FLOWLOG_KERNEL_H
#define FLOWLOG_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as little-endian numbers"
#endif

#define API __attribute__((visibility("default")))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Readable bytes behind a block. */
#define PADDING 128

typedef const uint8_t *text_t;

/* What a call may return instead of a count. */
enum { OUT_OF_MEMORY = -1, NOT_UTF8 = -2, OVERFLOW = -3, MORE_LINES = -4 };

typedef struct texts texts;

/* In JSON alone, JSON_TEXT: any value, as it is written; VARIED: texts that nearly all differ, each kept as it stands. */
enum kind { SKIPPED = 0, TEXT = 1, INTEGER = 2, SECONDS = 3, JSON_TEXT = 4, VARIED = 5 };

/* A longer text is not plain in a column of VARIED ones. */
#define LONGEST_VARIED 64

/* How else JSON may write a cell. IN_TEXT: an integer as a text, or a text as the bare integer of its digits. IN_FLOAT: an integer with
 * a fraction of zeros, as floating-point numbers have it. */
enum forms { IN_TEXT = 1, IN_FLOAT = 2 };

/* A column that a parser fills. */
typedef struct {
    int32_t kind;      /* enum kind */
    int32_t forms;     /* in JSON: any of enum forms */
    texts *texts;      /* TEXT, JSON_TEXT: gives the codes */
    void *values;      /* int32_t codes, int64_t or double, one for each row; VARIED: int32_t offsets, one more than rows */
    uint8_t *is_valid; /* one for each row; NULL where no cell can be null */
    uint8_t *bytes;    /* VARIED: the texts, with room for LONGEST_VARIED for each row, and for one more */
} column;

static inline uint64_t load64(text_t p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

/* Marks the bytes of a word that are zero, by their high bits; above the first marks may be false. */
static inline uint64_t zeros(uint64_t word) { return (word - ONES) & ~word & HIGHS; }

/* The number of the first marked byte. */
static inline unsigned first_of(uint64_t marks) { return (unsigned)__builtin_ctzll(marks) >> 3; }

/* What every hash in this process depends on, and nothing that is written: who could tell where a text goes in a table could
 * send half a million that go to one place, and make each of them take as long as all before it. */
extern uint64_t hash_keys[4] __attribute__((visibility("hidden")));

/* Both halves of a product of two words, folded (as wyhash does). Where both depend on a key, nobody who does not know the keys
 * can make it collide more often than chance does. */
static inline uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The end of a block, copied to where it has its newline and PADDING readable bytes behind it; before `start`, the block
 * itself has both. */
typedef struct {
    text_t start;
    uint8_t *copy, *copy_end;
} padded_tail;

/* Returns 0 if there is no memory for the copy, which the caller frees. */
int padded_tail_of(text_t data, int64_t size, padded_tail *tail);

#endif
