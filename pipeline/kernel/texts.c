#include "texts.h"

#include <stdlib.h>

/* Four slots for each entry: most texts are found in the first slot that is looked at. */
enum { FIRST_ENTRIES = 64, FIRST_BYTES = 1024, SLOTS_FOR_EACH = 4 };

uint64_t hash_keys[4] = {0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB};

/* Takes the keys of all hashes, once, before there is a table. */
API void set_hash_keys(text_t keys) { memcpy(hash_keys, keys, sizeof hash_keys); }

API texts *texts_new(void) {
    texts *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->capacity = FIRST_ENTRIES;
    self->mask = SLOTS_FOR_EACH * FIRST_ENTRIES - 1;
    self->room = FIRST_BYTES;
    self->entries = malloc(self->capacity * sizeof *self->entries);
    self->slots = calloc((size_t)self->mask + 1, sizeof *self->slots);
    self->bytes = malloc(self->room);
    if (self->entries && self->slots && self->bytes) return self;
    texts_free(self);
    return NULL;
}

API void texts_free(texts *self) {
    if (!self) return;
    free(self->entries);
    free(self->slots);
    free(self->bytes);
    free(self);
}

API int64_t texts_count(const texts *self) { return self->count; }

API int64_t texts_bytes(const texts *self) { return (int64_t)self->used; }

API int64_t texts_memory(const texts *self) {
    return (int64_t)(self->capacity * sizeof *self->entries + ((uint64_t)self->mask + 1) * sizeof *self->slots + self->room);
}

API int64_t texts_detours(const texts *self) {
    int64_t total = 0;
    for (uint32_t slot = 0; slot <= self->mask; slot++)
        if (self->slots[slot]) total += (slot - self->entries[self->slots[slot] - 1].hash) & self->mask;
    return total;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static int is_utf8(text_t p, uint32_t length) {
    text_t end = p + length;
    while (p < end) {
        uint8_t lead = *p++;
        if (lead < 0x80) continue;
        unsigned more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        if (lead < 0xC2 || lead > 0xF4 || (unsigned)(end - p) < more) return 0;
        uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (*p < low || *p > high) return 0;
        for (p++; --more; p++)
            if ((*p & 0xC0) != 0x80) return 0;
    }
    return 1;
}

static int grow(texts *self) {
    uint32_t capacity = 2 * self->capacity, mask = SLOTS_FOR_EACH * capacity - 1;
    if (capacity > INT32_MAX / SLOTS_FOR_EACH) return 0;
    entry *entries = realloc(self->entries, capacity * sizeof *entries);
    if (!entries) return 0;
    self->entries = entries;
    uint32_t *slots = calloc((size_t)mask + 1, sizeof *slots);
    if (!slots) return 0;
    for (uint32_t i = 0; i < self->count; i++) {
        uint32_t slot = entries[i].hash & mask;
        while (slots[slot]) slot = (slot + 1) & mask;
        slots[slot] = i + 1;
    }
    free(self->slots);
    self->slots = slots;
    self->mask = mask;
    self->capacity = capacity;
    return 1;
}

int32_t texts_add(texts *self, text_t text, uint32_t length) {
    if (!is_utf8(text, length)) return NOT_UTF8;
    if (self->count == self->capacity && !grow(self)) return OUT_OF_MEMORY;
    if (self->used + length > self->room) {
        uint64_t room = 2 * self->room + length;
        uint8_t *bytes = realloc(self->bytes, room);
        if (!bytes) return OUT_OF_MEMORY;
        self->bytes = bytes;
        self->room = room;
    }
    words w = words_of(text, length);
    uint32_t slot = w.hash & self->mask;
    while (self->slots[slot]) slot = (slot + 1) & self->mask;
    self->entries[self->count] = (entry){w.first, w.second, w.last, self->used, length, w.hash};
    memcpy(self->bytes + self->used, text, length);
    self->used += length;
    self->slots[slot] = ++self->count;
    return (int32_t)(self->count - 1);
}

/* The codes of some texts as Arrow has them. Returns 0 or what `texts_code` does. */
API int texts_codes(texts *self, int64_t count, const int32_t *offsets, text_t bytes, int32_t *codes) {
    for (int64_t i = 0; i < count; i++) {
        text_t text = bytes + offsets[i];
        uint8_t padded[16] = {0};
        uint32_t length = (uint32_t)(offsets[i + 1] - offsets[i]);
        if (length < 16) text = length ? memcpy(padded, text, length) : padded; /* there may be no bytes at all */
        codes[i] = texts_code(self, text, length);
        if (UNLIKELY(codes[i] < 0)) return codes[i];
    }
    return 0;
}

/* The number of the first of some texts, as Arrow has them, that is a given one; -1 if none is. */
API int64_t texts_index(int64_t count, const int32_t *offsets, text_t bytes, text_t text, int32_t length) {
    for (int64_t i = 0; i < count; i++)
        if (offsets[i + 1] - offsets[i] == length && (!length || !memcmp(bytes + offsets[i], text, (size_t)length))) return i;
    return -1;
}

typedef struct {
    text_t text;
    uint32_t length, code;
} sortable;

static int by_bytes(const void *left, const void *right) {
    const sortable *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

API int texts_export(const texts *self, int32_t *offsets, uint8_t *bytes, int32_t *rank) {
    if (self->used > INT32_MAX) return OUT_OF_MEMORY; /* Arrow's offsets have 32 bits */
    sortable *all = malloc((self->count + 1) * sizeof *all);
    if (!all) return OUT_OF_MEMORY;
    for (uint32_t i = 0; i < self->count; i++)
        all[i] = (sortable){self->bytes + self->entries[i].offset, self->entries[i].length, i};
    if (rank) qsort(all, self->count, sizeof *all, by_bytes);
    offsets[0] = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        memcpy(bytes + offsets[i], all[i].text, all[i].length);
        offsets[i + 1] = offsets[i] + (int32_t)all[i].length;
        if (rank) rank[all[i].code] = (int32_t)i;
    }
    free(all);
    return 0;
}
