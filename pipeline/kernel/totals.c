/* Sums by hour, source app, destination app and VPC: an open-addressing hash table over rows that lie side by side.
 *
 * Rows are added a few at a time: first all their slots are fetched from memory, then all the rows that these point
 * to, then they are summed. The waits for memory, which is where a big table's time goes, so overlap. */
#include "texts.h"

#include <stdlib.h>

typedef struct {
    int64_t hour;
    int32_t key[3]; /* src_app, dest_app, vpc_id: codes of `texts` */
    uint32_t hash;
    int64_t sums[3]; /* bytes_tx, bytes_rx, flows */
} total;

typedef struct {
    texts *texts;
    total *rows;
    uint32_t count, capacity;
    uint32_t *slots; /* a row's number plus 1; 0 is free */
    uint32_t mask;
} totals;

enum { FIRST_ROWS = 256, AT_ONCE = 32 };

API void totals_free(totals *self);

API totals *totals_new(void) {
    totals *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->capacity = FIRST_ROWS;
    self->mask = 2 * FIRST_ROWS - 1;
    self->texts = texts_new();
    self->rows = malloc(self->capacity * sizeof *self->rows);
    self->slots = calloc((size_t)self->mask + 1, sizeof *self->slots);
    if (self->texts && self->rows && self->slots) return self;
    totals_free(self);
    return NULL;
}

API void totals_free(totals *self) {
    if (!self) return;
    texts_free(self->texts);
    free(self->rows);
    free(self->slots);
    free(self);
}

API int64_t totals_count(const totals *self) { return self->count; }

API texts *totals_names(totals *self) { return self->texts; }

/* The memory that it takes: of the room for more rows, the system gives what is written to. */
API int64_t totals_memory(const totals *self) {
    return (int64_t)(self->count * sizeof *self->rows + ((uint64_t)self->mask + 1) * sizeof *self->slots) + texts_memory(self->texts);
}

/* How many slots beyond the first must be looked at to find each row once. */
API int64_t totals_detours(const totals *self) {
    int64_t total = 0;
    for (uint32_t slot = 0; slot <= self->mask; slot++)
        if (self->slots[slot]) total += (slot - self->rows[self->slots[slot] - 1].hash) & self->mask;
    return total;
}

/* Makes room for some more rows. */
static int reserve(totals *self, uint32_t more) {
    if (LIKELY(self->count + more <= self->capacity)) return 1;
    uint32_t capacity = 2 * self->capacity, mask = 2 * capacity - 1;
    if (capacity > INT32_MAX / 2) return 0;
    total *rows = realloc(self->rows, capacity * sizeof *rows);
    if (!rows) return 0;
    self->rows = rows;
    free(self->slots);
    self->slots = calloc((size_t)mask + 1, sizeof *self->slots);
    if (!self->slots) return 0;
    for (uint32_t i = 0; i < self->count; i++) {
        uint32_t slot = rows[i].hash & mask;
        while (self->slots[slot]) slot = (slot + 1) & mask;
        self->slots[slot] = i + 1;
    }
    self->mask = mask;
    self->capacity = capacity;
    return 1;
}

static inline uint32_t hash_of(int64_t hour, const int32_t key[3]) {
    uint64_t apps = (uint64_t)(uint32_t)key[0] << 32 | (uint32_t)key[1];
    uint64_t hash = fold((uint64_t)hour ^ hash_keys[0], apps ^ hash_keys[1]);
    hash = fold(hash ^ (uint32_t)key[2], hash_keys[2]);
    return (uint32_t)(hash ^ hash >> 32);
}

static inline int is_same(const total *a, const total *b) {
    return a->hash == b->hash && a->hour == b->hour && a->key[0] == b->key[0] && a->key[1] == b->key[1] && a->key[2] == b->key[2];
}

/* Adds a few rows, which have their hashes. Returns 0, OUT_OF_MEMORY, or OVERFLOW with the row and the sum in `failed`. */
static int add_few(totals *self, const total *few, unsigned count, int64_t failed[2]) {
    uint32_t places[AT_ONCE];
    if (UNLIKELY(!reserve(self, AT_ONCE))) return OUT_OF_MEMORY;
    for (unsigned i = 0; i < count; i++) __builtin_prefetch(&self->slots[few[i].hash & self->mask]);
    for (unsigned i = 0; i < count; i++) {
        places[i] = self->slots[few[i].hash & self->mask];
        if (places[i]) __builtin_prefetch(&self->rows[places[i] - 1], 1);
    }
    for (unsigned i = 0; i < count; i++) {
        uint32_t slot = few[i].hash & self->mask;
        while (self->slots[slot] && !is_same(&self->rows[self->slots[slot] - 1], &few[i])) slot = (slot + 1) & self->mask;
        if (!self->slots[slot]) {
            self->rows[self->count] = few[i];
            self->slots[slot] = ++self->count;
            continue;
        }
        total *found = &self->rows[self->slots[slot] - 1];
        for (int j = 0; j < 3; j++) {
            if (LIKELY(!__builtin_add_overflow(found->sums[j], few[i].sums[j], &found->sums[j]))) continue;
            failed[0] = self->slots[slot] - 1;
            failed[1] = j;
            return OVERFLOW;
        }
    }
    return 0;
}

/* Adds flow records.
 *
 * hours, src_apps, dest_apps, vpc_ids, tx, rx: their columns; flows: how many records each stands for, NULL for one.
 * src_names, dest_names, vpc_names: the code here of each code there.
 * halves: receives the sums over all rows of the upper and of the lower 32 bits of tx, and of rx: none can pass int64.
 * failed: receives the row of `self` and which of its sums would pass int64; `self` is then of no use any more.
 *
 * Returns 0, OUT_OF_MEMORY or OVERFLOW.
 */
API int totals_add(totals *self, int64_t count, const int64_t *hours, const int32_t *src_apps, const int32_t *dest_apps,
                   const int32_t *vpc_ids, const int64_t *tx, const int64_t *rx, const int64_t *flows, const int32_t *src_names,
                   const int32_t *dest_names, const int32_t *vpc_names, int64_t halves[4],
                   int64_t failed[2]) {
    total few[AT_ONCE];
    memset(halves, 0, 4 * sizeof *halves);
    for (int64_t start = 0; start < count; start += AT_ONCE) {
        unsigned size = count - start < AT_ONCE ? (unsigned)(count - start) : AT_ONCE;
        for (unsigned i = 0; i < size; i++) {
            int64_t row = start + i;
            few[i] = (total){hours[row],
                             {src_names[src_apps[row]], dest_names[dest_apps[row]], vpc_names[vpc_ids[row]]},
                             0,
                             {tx[row], rx[row], flows ? flows[row] : 1}};
            few[i].hash = hash_of(few[i].hour, few[i].key);
            halves[0] += tx[row] >> 32, halves[1] += tx[row] & 0xFFFFFFFF;
            halves[2] += rx[row] >> 32, halves[3] += rx[row] & 0xFFFFFFFF;
        }
        int state = add_few(self, few, size, failed);
        if (UNLIKELY(state)) return state;
    }
    return 0;
}

/* Adds all that another has gathered; `renamed` is the code here of each code there. Returns what `totals_add` does. */
API int totals_absorb(totals *self, const totals *other, const int32_t *renamed, int64_t failed[2]) {
    total few[AT_ONCE];
    for (uint32_t start = 0; start < other->count; start += AT_ONCE) {
        unsigned size = other->count - start < AT_ONCE ? other->count - start : AT_ONCE;
        for (unsigned i = 0; i < size; i++) {
            few[i] = other->rows[start + i];
            for (int j = 0; j < 3; j++) few[i].key[j] = renamed[few[i].key[j]];
            few[i].hash = hash_of(few[i].hour, few[i].key);
        }
        int state = add_few(self, few, size, failed);
        if (UNLIKELY(state)) return state;
    }
    return 0;
}

/* Hours, each once, and the place of each: an open-addressing hash table. */
typedef struct {
    int64_t *hours; /* 0 is no hour, and so a free slot */
    int64_t *places;
    uint32_t mask, count;
} hour_map;

static int hour_map_init(hour_map *map, uint32_t size) {
    *map = (hour_map){calloc(size, sizeof *map->hours), malloc(size * sizeof *map->places), size - 1, 0};
    return map->hours && map->places;
}

static void hour_map_free(hour_map *map) {
    free(map->hours);
    free(map->places);
}

/* The slot of an hour, or the free one where it belongs. */
static inline uint32_t hour_slot(const hour_map *map, int64_t hour) {
    /* Multiply-shift by an odd key (Dietzfelbinger et al. 1997), as far as hours have 32 bits. */
    uint32_t slot = (uint32_t)(((uint64_t)hour * (hash_keys[3] | 1)) >> 32) & map->mask;
    while (map->hours[slot] && map->hours[slot] != hour) slot = (slot + 1) & map->mask;
    return slot;
}

/* Adds an hour in the next place, if it is new. Returns 0 if there is no memory. */
static inline int hour_map_add(hour_map *map, int64_t hour) {
    uint32_t slot = hour_slot(map, hour);
    if (LIKELY(map->hours[slot] != 0)) return 1;
    if (UNLIKELY(map->count > map->mask / 2)) {
        hour_map wider;
        if (!hour_map_init(&wider, 2 * (map->mask + 1))) {
            hour_map_free(&wider);
            return 0;
        }
        for (uint32_t i = 0; i <= map->mask; i++) {
            if (!map->hours[i]) continue;
            uint32_t to = hour_slot(&wider, map->hours[i]);
            wider.hours[to] = map->hours[i];
            wider.places[to] = map->places[i];
        }
        wider.count = map->count;
        hour_map_free(map);
        *map = wider;
        slot = hour_slot(map, hour);
    }
    map->hours[slot] = hour;
    map->places[slot] = map->count++;
    return 1;
}

enum { FIRST_HOURS = 1024 };

/* Finds the distinct hours, in no order: `hours` receives up to `room` of them. Returns how many there are, or OUT_OF_MEMORY. */
API int64_t totals_hours(const totals *self, int64_t *hours, int64_t room) {
    hour_map map;
    int fits = hour_map_init(&map, FIRST_HOURS);
    for (uint32_t i = 0; fits && i < self->count; i++) fits = hour_map_add(&map, self->rows[i].hour);
    for (uint32_t i = 0; fits && map.count <= room && i <= map.mask; i++)
        if (map.hours[i]) hours[map.places[i]] = map.hours[i];
    hour_map_free(&map);
    return fits ? (int64_t)map.count : OUT_OF_MEMORY;
}

/* Sorts the rows by their hours.
 *
 * count, hours: all hours that there are, in the order that is wanted.
 * starts: receives where each of them begins in `order`, and the end; order: receives the rows' numbers.
 *
 * Returns 0 or OUT_OF_MEMORY.
 */
API int totals_order(const totals *self, int64_t count, const int64_t *hours, int64_t *starts, int32_t *order) {
    hour_map map;
    int fits = hour_map_init(&map, FIRST_HOURS);
    for (int64_t i = 0; fits && i < count; i++) fits = hour_map_add(&map, hours[i]);
    if (fits) {
        /* First how many rows each hour has, one place on, so that the sums are where it starts; in filling them, each
         * start moves to its end, which is the next one's start. */
        memset(starts, 0, ((size_t)count + 1) * sizeof *starts);
        for (uint32_t i = 0; i < self->count; i++) starts[map.places[hour_slot(&map, self->rows[i].hour)] + 1]++;
        for (int64_t j = 0; j < count; j++) starts[j + 1] += starts[j];
        for (uint32_t i = 0; i < self->count; i++)
            order[starts[map.places[hour_slot(&map, self->rows[i].hour)]]++] = (int32_t)i;
        for (int64_t j = count; j > 0; j--) starts[j] = starts[j - 1];
        starts[0] = 0;
    }
    hour_map_free(&map);
    return fits ? 0 : OUT_OF_MEMORY;
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

/* The rows of one hour, sorted by the ranks of their names.
 *
 * count, order: their numbers, as `totals_hours` gives them.
 * rank: of each name, as `texts_export` gives it; names: how many there are.
 * keys[3]: receive a number for each row, and texts[3] the rank of each number: every text once, in the order in which
 *   it comes; text_counts[3]: how many these are.
 * sums[3]: receive the sums.
 *
 * Returns 0 or OUT_OF_MEMORY.
 */
API int totals_hour(const totals *self, int64_t count, const int32_t *order, const int32_t *rank, int64_t names, int32_t *keys[3],
                    int32_t *texts[3], int64_t text_counts[3], int64_t *sums[3]) {
    ranked *from = malloc((size_t)(count + 1) * sizeof *from), *to = malloc((size_t)(count + 1) * sizeof *to);
    int32_t *numbers = malloc((size_t)(names + 1) * sizeof *numbers);
    if (!from || !to || !numbers) {
        free(from), free(to), free(numbers);
        return OUT_OF_MEMORY;
    }
    for (int64_t i = 0; i < count; i++) {
        const int32_t *key = self->rows[order[i]].key;
        from[i] = (ranked){{(uint32_t)rank[key[0]], (uint32_t)rank[key[1]], (uint32_t)rank[key[2]]}, order[i]};
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
        for (int64_t i = 0; i < count; i++) sums[part][i] = self->rows[from[i].row].sums[part];
    }
    free(from), free(to), free(numbers);
    return 0;
}

/* Some rows as they are: keys[3] receive the codes of their names, sums[3] their sums. */
API void totals_rows(const totals *self, int64_t count, const int32_t *order, int32_t *keys[3], int64_t *sums[3]) {
    for (int64_t i = 0; i < count; i++) {
        const total *row = &self->rows[order[i]];
        for (int part = 0; part < 3; part++) {
            keys[part][i] = row->key[part];
            sums[part][i] = row->sums[part];
        }
    }
}

/* What a row's key is, to be shown. */
API void totals_key(const totals *self, int64_t row, int64_t *hour, int32_t key[3]) {
    *hour = self->rows[row].hour;
    memcpy(key, self->rows[row].key, sizeof self->rows[row].key);
}
