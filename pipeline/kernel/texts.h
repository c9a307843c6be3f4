/* Distinct texts: an open-addressing hash table. Nearly all names and addresses have at most 24 bytes, which are kept
 * in the entry itself as three words, so that looking one up compares words and not strings. */
#ifndef FLOWLOG_TEXTS_H
#define FLOWLOG_TEXTS_H

#include "kernel.h"

typedef struct {
    uint64_t first, second; /* the first 16 bytes, zero-padded */
    uint64_t last;          /* the last 8 bytes, where there are more than 16 */
    uint64_t offset;        /* of all its bytes, in `bytes` */
    uint32_t length;
    uint32_t hash;
} entry;

struct texts {
    entry *entries;
    uint32_t count, capacity;
    uint32_t *slots; /* an entry's number plus 1; 0 is free */
    uint32_t mask;
    uint8_t *bytes;
    uint64_t used, room;
};

API texts *texts_new(void);
API void texts_free(texts *self);
/* The number of texts; the bytes of all of them; the memory that they take. */
API int64_t texts_count(const texts *self);
API int64_t texts_bytes(const texts *self);
API int64_t texts_memory(const texts *self);
/* How many slots beyond the first must be looked at to find each text once. */
API int64_t texts_detours(const texts *self);
/* The codes of some texts as Arrow has them. Returns 0 or what `texts_code` does. */
API int texts_codes(texts *self, int64_t count, const int32_t *offsets, text_t bytes, int32_t *codes);
/* The number of the first of some texts, as Arrow has them, that is a given one; -1 if none is. */
API int64_t texts_index(int64_t count, const int32_t *offsets, text_t bytes, text_t text, int32_t length);
/* The texts as Arrow has them: `offsets` has room for count + 1, `bytes` for texts_bytes(). Where `rank` is given, they
 * come sorted by their bytes, and `rank` receives each code's place. */
API int texts_export(const texts *self, int32_t *offsets, uint8_t *bytes, int32_t *rank);

/* Adds a text that is not there. Returns its code, OUT_OF_MEMORY or NOT_UTF8. */
int32_t texts_add(texts *self, text_t text, uint32_t length);

/* A text as words: its first 16 bytes, and the last 8 of a longer one. */
typedef struct {
    uint64_t first, second, last;
    uint32_t hash;
} words;

/* 16 bytes must be readable at `text`. */
static inline words words_of(text_t text, uint32_t length) {
    /* masks[8 + n] keeps the first n bytes of a word; what is left of these at masks[n], of the word behind it. */
    static const uint64_t masks[25] = {0, 0, 0, 0, 0, 0, 0, 0,
                                       0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF,
                                       ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL};
    uint32_t size = length < 16 ? length : 16;
    words w = {load64(text) & masks[8 + size], load64(text + 8) & masks[size], 0, 0};
    /* Two words that are multiplied with keys in them, and folded; a longer text goes on as wyhash does. */
    uint64_t sum = fold(w.first ^ hash_keys[0], w.second ^ hash_keys[1]);
    if (length > 16) {
        w.last = load64(text + length - 8);
        for (uint32_t i = 16; UNLIKELY(i + 8 < length); i += 8) sum = fold(sum ^ load64(text + i), hash_keys[3]);
        sum = fold(sum ^ w.last ^ hash_keys[2], hash_keys[3] + length);
    }
    w.hash = (uint32_t)sum;
    return w;
}

/* The code of a text; -1 if it is not there. 16 bytes must be readable at `text`. */
static inline __attribute__((always_inline)) int32_t texts_find(const texts *self, text_t text, uint32_t length) {
    words w = words_of(text, length);
    for (uint32_t slot = w.hash & self->mask; LIKELY(self->slots[slot]); slot = (slot + 1) & self->mask) {
        const entry *found = &self->entries[self->slots[slot] - 1];
        if (LIKELY(found->first == w.first && found->second == w.second && found->length == length) &&
            LIKELY(length <= 16 || (found->last == w.last && (length <= 24 || !memcmp(self->bytes + found->offset, text, length)))))
            return (int32_t)(self->slots[slot] - 1);
    }
    return -1;
}

/* The code of a text, which is added if it is new; OUT_OF_MEMORY or NOT_UTF8. 16 bytes must be readable at `text`. */
static inline int32_t texts_code(texts *self, text_t text, uint32_t length) {
    int32_t code = texts_find(self, text, length);
    return LIKELY(code >= 0) ? code : texts_add(self, text, length);
}

#endif
