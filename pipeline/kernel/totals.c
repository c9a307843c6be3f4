/* Sums by hour, source app, destination app and VPC: for each hour an open-addressing hash table over rows that lie side by side.
 *
 * Logs come more or less in the order of time. So the rows of a moment go to one small table, which the processor's cache holds
 * where it would not hold that of all hours; and the rows of an hour need not be gathered before they are written.
 *
 * Rows are added a few at a time: first all their slots are fetched from memory, then all the rows that these point
 * to, then they are summed. The waits for memory, which is where a big table's time goes, so overlap.
 *
 * A hash names a bucket of slots, which are looked at all at once: whether the first slot is the right one is nothing that a processor
 * could foresee, and to guess wrong costs it as much as a row. A row has a slot in the bucket or, if that is full, in the next with room. */
#include "texts.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef struct {
    int32_t key[3]; /* src_app, dest_app, vpc_id: codes of `texts` */
    uint32_t hash;
    int64_t sums[3]; /* bytes_tx, bytes_rx, flows */
} total;

/* What an hour adds up to. */
typedef struct {
    int64_t hour;
    total *rows;
    uint32_t *slots; /* a row's number plus 1 in the bits of the mask, and above them its hash's bits; 0 is free */
    uint32_t count, capacity, mask;
} table;

typedef struct {
    texts *texts;
    table **tables; /* in the order in which their hours came */
    uint32_t *slots; /* a table's number plus 1, where its hour belongs; 0 is free */
    uint32_t count, capacity, mask;
} totals;

/* There may be many hours of few rows. From so many rows on, the system gives memory as it is written to. */
enum { BUCKET = 4, FIRST_SLOTS = 2 * BUCKET, FIRST_TABLES = 32, AT_ONCE = 32, MANY_ROWS = 4096 };

/* How many rows a table has room for: beyond that, too many buckets would be full. */
static inline uint32_t rows_for(uint32_t slots) { return slots / 4 * 3; }

API void totals_free(totals *self);

API totals *totals_new(void) {
    totals *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->capacity = FIRST_TABLES;
    self->mask = 2 * FIRST_TABLES - 1;
    self->texts = texts_new();
    self->tables = malloc(self->capacity * sizeof *self->tables);
    self->slots = calloc((size_t)self->mask + 1, sizeof *self->slots);
    if (self->texts && self->tables && self->slots) return self;
    totals_free(self);
    return NULL;
}

static void table_free(table *self) {
    if (!self) return;
    free(self->rows);
    free(self->slots);
    free(self);
}

API void totals_free(totals *self) {
    if (!self) return;
    for (uint32_t i = 0; i < self->count; i++) table_free(self->tables[i]);
    texts_free(self->texts);
    free(self->tables);
    free(self->slots);
    free(self);
}

/* The number of hours, and of all rows. */
API int64_t totals_hour_count(const totals *self) { return self->count; }

API int64_t totals_count(const totals *self) {
    int64_t count = 0;
    for (uint32_t i = 0; i < self->count; i++) count += self->tables[i]->count;
    return count;
}

API texts *totals_names(totals *self) { return self->texts; }

/* The memory that it takes. */
API int64_t totals_memory(const totals *self) {
    uint64_t memory = self->capacity * sizeof *self->tables + ((uint64_t)self->mask + 1) * sizeof *self->slots;
    for (uint32_t i = 0; i < self->count; i++) {
        const table *one = self->tables[i];
        uint64_t rows = one->capacity > MANY_ROWS && one->count > MANY_ROWS / 2 ? one->count : one->capacity;
        memory += sizeof *one + rows * sizeof *one->rows + ((uint64_t)one->mask + 1) * sizeof *one->slots;
    }
    return (int64_t)memory + texts_memory(self->texts);
}

/* The row to which a slot in use points. */
static inline uint32_t row_at(const table *self, uint32_t slot) { return (self->slots[slot] & self->mask) - 1; }

/* Where the bucket that a hash names starts. */
static inline uint32_t bucket_of(const table *self, uint32_t hash) { return hash & self->mask & -(uint32_t)BUCKET; }

/* How many buckets beyond the first must be looked at to find each row once. */
API int64_t totals_detours(const totals *self) {
    int64_t total = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        const table *one = self->tables[i];
        for (uint32_t slot = 0; slot <= one->mask; slot++)
            if (one->slots[slot]) total += ((slot - bucket_of(one, one->rows[row_at(one, slot)].hash)) & one->mask) / BUCKET;
    }
    return total;
}

/* The slot of an hour, or the free one where it belongs. */
static inline uint32_t slot_of_hour(const totals *self, int64_t hour) {
    /* Multiply-shift by an odd key (Dietzfelbinger et al. 1997), as far as hours have 32 bits. */
    uint32_t slot = (uint32_t)(((uint64_t)hour * (hash_keys[3] | 1)) >> 32) & self->mask;
    while (self->slots[slot] && self->tables[self->slots[slot] - 1]->hour != hour) slot = (slot + 1) & self->mask;
    return slot;
}

/* The table of an hour; NULL if there is none. */
static inline table *table_at(const totals *self, int64_t hour) {
    uint32_t place = self->slots[slot_of_hour(self, hour)];
    return place ? self->tables[place - 1] : NULL;
}

/* Makes room for another table. */
static int reserve_table(totals *self) {
    if (LIKELY(self->count < self->capacity)) return 1;
    uint32_t capacity = 2 * self->capacity, mask = 2 * capacity - 1;
    table **tables = capacity > INT32_MAX / 2 ? NULL : realloc(self->tables, capacity * sizeof *tables);
    if (!tables) return 0;
    self->tables = tables;
    uint32_t *slots = calloc((size_t)mask + 1, sizeof *slots);
    if (!slots) return 0;
    free(self->slots);
    self->slots = slots;
    self->mask = mask;
    self->capacity = capacity;
    for (uint32_t i = 0; i < self->count; i++) self->slots[slot_of_hour(self, tables[i]->hour)] = i + 1;
    return 1;
}

/* Takes in a table of an hour that has none. Returns 0 if there is no memory. */
static int put_table(totals *self, table *one) {
    if (!reserve_table(self)) return 0;
    self->slots[slot_of_hour(self, one->hour)] = self->count + 1;
    self->tables[self->count++] = one;
    return 1;
}

/* The table of an hour, which is made where there is none; NULL if there is no memory. */
static table *table_of(totals *self, int64_t hour) {
    table *one = table_at(self, hour);
    if (LIKELY(one != NULL) || !(one = calloc(1, sizeof *one))) return one;
    one->hour = hour;
    one->capacity = rows_for(FIRST_SLOTS);
    one->mask = FIRST_SLOTS - 1;
    one->rows = malloc(one->capacity * sizeof *one->rows);
    one->slots = calloc((size_t)one->mask + 1, sizeof *one->slots);
    if (one->rows && one->slots && put_table(self, one)) return one;
    table_free(one);
    return NULL;
}

/* Which slots of a bucket have rows that may have a hash, as bits; with 0 for both, which are free. */
static inline uint32_t matches(const uint32_t *bucket, uint32_t hash, uint32_t mask) {
#ifdef __SSE2__
    __m128i above = _mm_and_si128(_mm_loadu_si128((const __m128i *)bucket), _mm_set1_epi32((int32_t)~mask));
    return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(above, _mm_set1_epi32((int32_t)(hash & ~mask)))));
#else
    uint32_t found = 0;
    for (int i = 0; i < BUCKET; i++) found |= (uint32_t)(((bucket[i] ^ hash) & ~mask) == 0) << i;
    return found;
#endif
}

/* Gives a row the first free slot from its hash's bucket on. */
static inline void give_slot(table *self, uint32_t row) {
    uint32_t hash = self->rows[row].hash, start = bucket_of(self, hash), free_ones;
    while (!(free_ones = matches(&self->slots[start], 0, 0))) start = (start + BUCKET) & self->mask;
    self->slots[start + (uint32_t)__builtin_ctz(free_ones)] = (hash & ~self->mask) | (row + 1);
}

/* Gives each row its slot; all slots are free. */
static void fill_slots(table *self) {
    for (uint32_t i = 0; i < self->count; i++) give_slot(self, i);
}

/* Makes room for as many rows again. Returns 0 if there is no memory. */
static int grow(table *self) {
    uint32_t mask = 2 * self->mask + 1, capacity = rows_for(mask + 1);
    total *rows = mask > INT32_MAX / 2 ? NULL : realloc(self->rows, capacity * sizeof *rows);
    if (!rows) return 0;
    self->rows = rows;
    uint32_t *slots = calloc((size_t)mask + 1, sizeof *slots);
    if (!slots) return 0;
    free(self->slots);
    self->slots = slots;
    self->mask = mask;
    self->capacity = capacity;
    fill_slots(self);
    return 1;
}

/* Its highest bit is set, so that a free slot matches none. */
static inline uint32_t hash_of(const int32_t key[3]) {
    uint64_t apps = (uint64_t)(uint32_t)key[0] << 32 | (uint32_t)key[1];
    uint64_t hash = fold(apps ^ hash_keys[1], (uint32_t)key[2] ^ hash_keys[0]);
    /* Folded once, codes that follow each other would crowd together under one in a hundred choices of the keys. */
    return (uint32_t)fold(hash ^ hash_keys[2], hash_keys[3]) | 1U << 31;
}

static inline int is_same(const int32_t a[3], const int32_t b[3]) { return a[0] == b[0] && a[1] == b[1] && a[2] == b[2]; }

/* Adds to the sums of a row. Returns 0, or OVERFLOW with the number of the row and of the sum in `failed`. */
static inline int add_sums(table *self, uint32_t row, const int64_t more[3], int64_t failed[2]) {
    int64_t *sums = self->rows[row].sums;
    for (int j = 0; j < 3; j++) {
        if (LIKELY(!__builtin_add_overflow(sums[j], more[j], &sums[j]))) continue;
        failed[0] = row;
        failed[1] = j;
        return OVERFLOW;
    }
    return 0;
}

/* Adds a row, wherever the one with its key is. Returns what `add_sums` does, or OUT_OF_MEMORY. */
static int add_row(table *self, const total *row, int64_t failed[2]) {
    for (uint32_t start = bucket_of(self, row->hash);; start = (start + BUCKET) & self->mask) {
        for (uint32_t found = matches(&self->slots[start], row->hash, self->mask); found; found &= found - 1) {
            uint32_t place = row_at(self, start + (uint32_t)__builtin_ctz(found));
            if (is_same(self->rows[place].key, row->key)) return add_sums(self, place, row->sums, failed);
        }
        if (LIKELY(!self->slots[start + BUCKET - 1])) break;
    }
    if (UNLIKELY(self->count == self->capacity) && !grow(self)) return OUT_OF_MEMORY;
    self->rows[self->count] = *row;
    give_slot(self, self->count++);
    return 0;
}

/* Fetches the slots of a row that will be added soon. */
static inline void look_ahead(const table *self, const total *row) {
    __builtin_prefetch(&self->slots[bucket_of(self, row->hash)]);
}

/* Adds a few rows, each to its table. They have their hashes, and it was looked ahead. Returns what `add_row` does, with the hour
 * in `failed[2]`. */
static int add_few(table *const *tables, const total *few, unsigned count, int64_t failed[3]) {
    uint32_t places[AT_ONCE]; /* the number plus 1 of the row that probably has the key; 0 where there is none */
    for (unsigned i = 0; i < count; i++) {
        const table *one = tables[i];
        const uint32_t *bucket = &one->slots[bucket_of(one, few[i].hash)];
        uint32_t last = 1U << (BUCKET - 1); /* is taken where none matches, and is free then or has another key's row */
        places[i] = bucket[__builtin_ctz(matches(bucket, few[i].hash, one->mask) | last)] & one->mask;
        __builtin_prefetch(&one->rows[places[i] - (places[i] > 0)], 1);
    }
    for (unsigned i = 0; i < count; i++) {
        table *one = tables[i];
        uint32_t place = places[i];
        int state = LIKELY(place && is_same(one->rows[place - 1].key, few[i].key)) ? add_sums(one, place - 1, few[i].sums, failed)
                                                                                  : add_row(one, &few[i], failed);
        if (LIKELY(!state)) continue;
        failed[2] = one->hour;
        return state;
    }
    return 0;
}

/* Adds flow records.
 *
 * hours, src_apps, dest_apps, vpc_ids, tx, rx: their columns; flows: how many records each stands for, NULL for one.
 * src_names, dest_names, vpc_names: the code here of each code there.
 * halves: receives the sums over all rows of the upper and of the lower 32 bits of tx, and of rx: none can pass int64.
 * failed: receives the row of an hour, which of its sums would pass int64, and the hour; `self` is then of no use any more.
 *
 * Returns 0, OUT_OF_MEMORY or OVERFLOW.
 */
API int totals_add(totals *self, int64_t count, const int64_t *hours, const int32_t *src_apps, const int32_t *dest_apps,
                   const int32_t *vpc_ids, const int64_t *tx, const int64_t *rx, const int64_t *flows, const int32_t *src_names,
                   const int32_t *dest_names, const int32_t *vpc_names, int64_t halves[4],
                   int64_t failed[3]) {
    total few[AT_ONCE];
    table *tables[AT_ONCE], *last = NULL;
    memset(halves, 0, 4 * sizeof *halves);
    for (int64_t start = 0; start < count; start += AT_ONCE) {
        unsigned size = count - start < AT_ONCE ? (unsigned)(count - start) : AT_ONCE;
        for (unsigned i = 0; i < size; i++) {
            int64_t row = start + i;
            if (UNLIKELY(!last || last->hour != hours[row]) && !(last = table_of(self, hours[row]))) return OUT_OF_MEMORY;
            tables[i] = last;
            few[i] = (total){{src_names[src_apps[row]], dest_names[dest_apps[row]], vpc_names[vpc_ids[row]]},
                             0,
                             {tx[row], rx[row], flows ? flows[row] : 1}};
            few[i].hash = hash_of(few[i].key);
            look_ahead(last, &few[i]);
            halves[0] += tx[row] >> 32, halves[1] += tx[row] & 0xFFFFFFFF;
            halves[2] += rx[row] >> 32, halves[3] += rx[row] & 0xFFFFFFFF;
        }
        int state = add_few(tables, few, size, failed);
        if (UNLIKELY(state)) return state;
    }
    return 0;
}

/* Gives a row the codes that its names have here. */
static inline void rename_row(total *row, const int32_t *renamed) {
    for (int j = 0; j < 3; j++) row->key[j] = renamed[row->key[j]];
    row->hash = hash_of(row->key);
}

/* Adds a table's rows to that of the same hour. Returns what `totals_add` does. */
static int add_table(table *into, table *from, const int32_t *renamed, int64_t failed[3]) {
    table *tables[AT_ONCE];
    for (unsigned i = 0; i < AT_ONCE; i++) tables[i] = into;
    for (uint32_t start = 0; start < from->count; start += AT_ONCE) {
        total *few = &from->rows[start];
        unsigned size = from->count - start < AT_ONCE ? from->count - start : AT_ONCE;
        for (unsigned i = 0; i < size; i++) {
            rename_row(&few[i], renamed);
            look_ahead(into, &few[i]);
        }
        int state = add_few(tables, few, size, failed);
        if (UNLIKELY(state)) return state;
    }
    return 0;
}

/* Takes over a table whose hour has none here. Returns 0 or OUT_OF_MEMORY. */
static int take_table(totals *self, table *from, const int32_t *renamed) {
    for (uint32_t i = 0; i < from->count; i++) rename_row(&from->rows[i], renamed);
    memset(from->slots, 0, ((size_t)from->mask + 1) * sizeof *from->slots);
    fill_slots(from);
    return put_table(self, from) ? 0 : OUT_OF_MEMORY;
}

/* Keeps the first tables alone. */
static void keep_tables(totals *self, uint32_t count) {
    self->count = count;
    memset(self->slots, 0, ((size_t)self->mask + 1) * sizeof *self->slots);
    for (uint32_t i = 0; i < count; i++) self->slots[slot_of_hour(self, self->tables[i]->hour)] = i + 1;
}

/* Takes over what another has gathered, of all hours or of those alone that are here already; the other keeps the rest. `renamed` is
 * the code here of each code there. Returns what `totals_add` does; where that is not 0, both are of no use any more. */
API int totals_absorb(totals *self, totals *other, const int32_t *renamed, int known_hours_alone, int64_t failed[3]) {
    uint32_t kept = 0;
    int state = 0;
    for (uint32_t i = 0; i < other->count; i++) {
        table *from = other->tables[i], *into = table_at(self, from->hour);
        if (state || (known_hours_alone && !into)) {
            other->tables[kept++] = from;
        } else if (into) {
            state = add_table(into, from, renamed, failed);
            table_free(from);
        } else if ((state = take_table(self, from, renamed))) {
            table_free(from);
        }
    }
    keep_tables(other, kept);
    return state;
}

/* The hours, and how many rows each has, in the order in which they came; a place is one in this order. */
API void totals_hours(const totals *self, int64_t *hours, int64_t *counts) {
    for (uint32_t i = 0; i < self->count; i++) {
        hours[i] = self->tables[i]->hour;
        counts[i] = self->tables[i]->count;
    }
}

typedef struct {
    uint32_t key[3];
    int32_t row;
} ranked;

/* Sorts by one byte of the key, unless it is the same everywhere. Stable. */
static ranked *sort_by_byte(ranked *from, ranked *to, int64_t count, int part, int byte) {
    int64_t starts[257] = {0};
    for (int64_t i = 0; i < count; i++) starts[(from[i].key[part] >> (8 * byte) & 0xFF) + 1]++;
    for (int i = 1; i < 257; i++)
        if (starts[i] == count) return from;
    for (int i = 0; i < 256; i++) starts[i + 1] += starts[i];
    for (int64_t i = 0; i < count; i++) to[starts[from[i].key[part] >> (8 * byte) & 0xFF]++] = from[i];
    return to;
}

/* The rows of the hour of a place, sorted by the ranks of their names.
 *
 * rank: of each name, as `texts_export` gives it; names: how many there are.
 * keys[3]: receive a number for each row, and texts[3] the rank of each number: every text once, in the order in which
 *   it comes; text_counts[3]: how many these are.
 * sums[3]: receive the sums.
 *
 * Returns 0 or OUT_OF_MEMORY.
 */
API int totals_sorted(const totals *self, int64_t place, const int32_t *rank, int64_t names, int32_t *keys[3], int32_t *texts[3],
                      int64_t text_counts[3], int64_t *sums[3]) {
    const table *hour = self->tables[place];
    int64_t count = hour->count;
    ranked *from = malloc((size_t)(count + 1) * sizeof *from), *to = malloc((size_t)(count + 1) * sizeof *to);
    int32_t *numbers = malloc((size_t)(names + 1) * sizeof *numbers);
    if (!from || !to || !numbers) {
        free(from), free(to), free(numbers);
        return OUT_OF_MEMORY;
    }
    for (int64_t i = 0; i < count; i++) {
        const int32_t *key = hour->rows[i].key;
        from[i] = (ranked){{(uint32_t)rank[key[0]], (uint32_t)rank[key[1]], (uint32_t)rank[key[2]]}, (int32_t)i};
    }
    for (int part = 2; part >= 0; part--)
        for (int byte = 0; byte < 4 && names >> (8 * byte); byte++) {
            ranked *sorted = sort_by_byte(from, to, count, part, byte);
            if (sorted != from) to = from, from = sorted;
        }
    for (int part = 0; part < 3; part++) {
        int32_t found = 0;
        for (int64_t i = 0; i < count; i++) numbers[from[i].key[part]] = -1;
        for (int64_t i = 0; i < count; i++) {
            uint32_t name = from[i].key[part];
            if (numbers[name] < 0) {
                texts[part][found] = (int32_t)name;
                numbers[name] = found++;
            }
            keys[part][i] = numbers[name];
        }
        text_counts[part] = found;
        for (int64_t i = 0; i < count; i++) sums[part][i] = hour->rows[from[i].row].sums[part];
    }
    free(from), free(to), free(numbers);
    return 0;
}

/* The rows of the hour of a place, as they are: keys[3] receive the codes of their names, sums[3] their sums. */
API void totals_rows(const totals *self, int64_t place, int32_t *keys[3], int64_t *sums[3]) {
    const table *hour = self->tables[place];
    for (uint32_t i = 0; i < hour->count; i++)
        for (int part = 0; part < 3; part++) {
            keys[part][i] = hour->rows[i].key[part];
            sums[part][i] = hour->rows[i].sums[part];
        }
}

/* The names of a row of an hour, to be shown. */
API void totals_key(const totals *self, int64_t hour, int64_t row, int32_t key[3]) {
    memcpy(key, table_at(self, hour)->rows[row].key, 3 * sizeof *key);
}
