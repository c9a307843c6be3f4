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
/* The texts as Arrow has them: `offsets` has room for count + 1, `bytes` for texts_bytes(). Where `rank` is given, they
 * come sorted by their bytes, and `rank` receives each code's place. */
API int texts_export(const texts *self, int32_t *offsets, uint8_t *bytes, int32_t *rank);

/* Adds a text that is not there. Returns its code, OUT_OF_MEMORY or NOT_UTF8. */
int32_t texts_add(texts *self, text_t text, const entry *wanted);

/* The code of a text, which is added if it is new; OUT_OF_MEMORY or NOT_UTF8. 16 bytes must be readable at `text`. */
static inline int32_t texts_code(texts *self, text_t text, uint32_t length) {
    /* masks[n] keeps the first n bytes of a word. */
    static const uint64_t masks[9] = {0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, ~0ULL};
    entry wanted = {.length = length};
    wanted.first = load64(text) & masks[length < 8 ? length : 8];
    wanted.second = load64(text + 8) & masks[length < 8 ? 0 : length < 16 ? length - 8 : 8];
    wanted.last = length > 16 ? load64(text + length - 8) : 0;
    uint64_t middle = 0;
    for (uint32_t i = 16; UNLIKELY(i + 8 < length); i += 8) middle = fold(middle ^ load64(text + i), hash_keys[3]);
    /* As NH does (Black et al., "UMAC", 1999), and then folded. */
    unsigned __int128 sum = (unsigned __int128)(wanted.first ^ hash_keys[0]) * (wanted.second ^ hash_keys[1]) +
                            (unsigned __int128)(wanted.last ^ middle ^ hash_keys[2]) * (hash_keys[3] + length);
    wanted.hash = (uint32_t)((uint64_t)sum ^ (uint64_t)(sum >> 64));
    for (uint32_t slot = wanted.hash & self->mask; LIKELY(self->slots[slot]); slot = (slot + 1) & self->mask) {
        const entry *found = &self->entries[self->slots[slot] - 1];
        uint64_t differs = (found->first ^ wanted.first) | (found->second ^ wanted.second) | (found->last ^ wanted.last) | (found->length ^ length);
        if (LIKELY(!differs) && LIKELY(length <= 24 || !memcmp(self->bytes + found->offset, text, length)))
            return (int32_t)(self->slots[slot] - 1);
    }
    return texts_add(self, text, &wanted);
}

#endif
