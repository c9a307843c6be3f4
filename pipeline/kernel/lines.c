/* Blocks of text as a whole. */
#include "kernel.h"

#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

int padded_tail_of(text_t data, int64_t size, padded_tail *tail) {
    int64_t start = size - PADDING;
    while (start > 0 && data[start - 1] != '\n') start--;
    if (start < 0) start = 0;
    size_t length = (size_t)(size - start);
    tail->start = data + start;
    tail->copy = malloc(length + 1 + PADDING);
    if (!tail->copy) return 0;
    memcpy(tail->copy, data + start, length);
    if (length && tail->copy[length - 1] != '\n') tail->copy[length++] = '\n';
    memset(tail->copy + length, 0, PADDING);
    tail->copy_end = tail->copy + length;
    return 1;
}

/* The bytes of a vector. */
#ifdef __AVX2__
enum { WIDTH = 32 };
#else
enum { WIDTH = 16 };
#endif

/* The number of lines; the last one may lack its newline. `seen` receives which bytes are there of those that decide how text is read:
 * a bit each for 0, a carriage return, a quote, the first byte of a byte order mark, and for either of the letters r and w. */
API int64_t survey(text_t data, int64_t size, uint8_t *seen) {
    int64_t count = size && data[size - 1] != '\n';
    uint8_t all = 0;
    for (int64_t start = 0; start < size; start += 255 * WIDTH) {
        /* As many counters of a byte each, which the compiler keeps in one register, and likewise for the others. */
        uint8_t newlines[WIDTH] = {0}, least[WIDTH], returns[WIDTH] = {0}, quotes[WIDTH] = {0}, marks[WIDTH] = {0}, letters[WIDTH] = {0};
        memset(least, 0xFF, sizeof least);
        int64_t end = start + 255 * WIDTH < size ? start + 255 * WIDTH : size, i = start;
        for (; i + WIDTH <= end; i += WIDTH)
            for (int j = 0; j < WIDTH; j++) {
                uint8_t byte = data[i + j];
                newlines[j] += byte == '\n';
                least[j] = byte < least[j] ? byte : least[j];
                returns[j] |= byte == '\r';
                quotes[j] |= byte == '"';
                marks[j] |= byte == 0xEF;
                letters[j] |= (byte == 'r') | (byte == 'w');
            }
        for (int j = 0; j < WIDTH; j++) {
            count += newlines[j];
            all |= (uint8_t)((least[j] == 0) | returns[j] << 1 | quotes[j] << 2 | marks[j] << 3 | letters[j] << 4);
        }
        for (; i < end; i++) {
            count += data[i] == '\n';
            all |= (uint8_t)((data[i] == 0) | (data[i] == '\r') << 1 | (data[i] == '"') << 2 | (data[i] == 0xEF) << 3);
            all |= (uint8_t)(((data[i] == 'r') | (data[i] == 'w')) << 4);
        }
    }
    *seen = all;
    return count;
}

/* One bit for each byte, all of which are 0 or 1, as Arrow's validity bitmaps have it. Returns how many are 0. */
API int64_t pack_bits(text_t bytes, int64_t count, uint8_t *bits) {
    int64_t ones = 0, start = 0;
#ifdef __SSE2__
    const __m128i zero = _mm_setzero_si128();
    __m128i sums = zero;
    for (; start + 16 <= count; start += 16) {
        __m128i some = _mm_loadu_si128((const __m128i *)(bytes + start));
        uint16_t packed = (uint16_t)_mm_movemask_epi8(_mm_cmpgt_epi8(some, zero));
        memcpy(bits + start / 8, &packed, sizeof packed);
        sums = _mm_add_epi64(sums, _mm_sad_epu8(some, zero));
    }
    ones = _mm_cvtsi128_si64(sums) + _mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums));
#endif
    for (; start < count; start += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + start, count - start < 8 ? (size_t)(count - start) : 8);
        /* The product's highest byte gets each of the eight bits at its own place, and no carry; or the sum of all. */
        bits[start / 8] = (uint8_t)(word * 0x0102040810204080ULL >> 56);
        ones += (int64_t)(word * ONES >> 56);
    }
    return count - ones;
}

/* Whether one of four bytes is nowhere in a part of a text. `absent` is the one that was in no part before, and most probably is not in
 * this: the C library looks for one byte several times as fast as a loop here does for two. */
static int lacks_one(text_t part, size_t size, text_t four, unsigned *absent) {
    for (unsigned i = 0; i < 4; i++, *absent = (*absent + 1) % 4)
        if (!memchr(part, four[*absent], size)) return 1;
    return 0;
}

/* Where four bytes stand first, in this order, from an offset on; -1 where they do not. */
API int64_t find_four(text_t data, int64_t size, int64_t start, text_t four) {
    int64_t last = size - 4;
    unsigned absent = 0;
    for (; start <= last; start += 4096) {
        int64_t end = start + 4096 <= last ? start + 4096 : last + 1;
        if (LIKELY(lacks_one(data + start, (size_t)(end + 3 - start), four, &absent))) continue;
        uint8_t any = 0; /* as in `lines_from`; with two of the bytes, which are rarely there */
        for (int64_t i = start; i < end; i++) any |= (data[i] == four[0]) & (data[i + 3] == four[3]);
        if (LIKELY(!any)) continue;
        any = 0;
        for (int64_t i = start; i < end; i++)
            any |= (data[i] == four[0]) & (data[i + 1] == four[1]) & (data[i + 2] == four[2]) & (data[i + 3] == four[3]);
        for (int64_t i = start; any && i < end; i++)
            if (!memcmp(data + i, four, 4)) return i;
    }
    return -1;
}

/* Where the lines start that have these four bytes: `starts` receives up to `room` offsets. Returns how many there are. */
API int64_t lines_with(text_t data, int64_t size, text_t four, int64_t *starts, int64_t room) {
    int64_t count = 0, line = 0, found;
    while ((found = find_four(data, size, line, four)) >= 0) {
        while (found > line && data[found - 1] != '\n') found--;
        if (count++ < room) starts[count - 1] = found;
        text_t newline = memchr(data + found, '\n', (size_t)(size - found));
        if (!newline) break;
        line = newline + 1 - data;
    }
    return count;
}

/* Where the lines start whose first byte is one from `low` to `high`: `starts` receives up to `room` offsets. Returns how
 * many there are. */
API int64_t lines_from(text_t data, int64_t size, uint8_t low, uint8_t high, int64_t *starts, int64_t room) {
    uint8_t range = (uint8_t)(high - low);
    int64_t count = 0;
    if (size && (uint8_t)(data[0] - low) <= range && count++ < room) starts[0] = 0;
    for (int64_t start = 0; start < size - 1; start += 4096) {
        int64_t end = start + 4096 < size - 1 ? start + 4096 : size - 1;
        uint8_t any = 0; /* the compiler tests many bytes at once, as long as nothing else is to be done */
        for (int64_t i = start; i < end; i++) any |= (data[i] == '\n') & ((uint8_t)(data[i + 1] - low) <= range);
        for (int64_t i = start; any && i < end; i++)
            if (data[i] == '\n' && (uint8_t)(data[i + 1] - low) <= range && count++ < room) starts[count - 1] = i + 1;
    }
    return count;
}

/* How far the distinct values of a column may lie from its first. */
#define DISTINCT_REACH 2048

/* The distinct values of some numbers, in order: `found` has room for 2 * DISTINCT_REACH. Returns how many there are; -1 where a value lies
 * too far from the first. */
API int64_t distinct(const int64_t *values, int64_t count, int64_t *found) {
    uint8_t is_there[2 * DISTINCT_REACH] = {0};
    if (!count) return 0;
    if (values[0] < INT64_MIN + DISTINCT_REACH || values[0] > INT64_MAX - DISTINCT_REACH) return -1;
    uint64_t low = (uint64_t)values[0] - DISTINCT_REACH;
    for (int64_t i = 0; i < count; i++) {
        uint64_t place = (uint64_t)values[i] - low;
        if (UNLIKELY(place >= sizeof is_there)) return -1;
        is_there[place] = 1;
    }
    int64_t distinct = 0;
    for (uint64_t place = 0; place < sizeof is_there; place++)
        if (is_there[place]) found[distinct++] = (int64_t)(low + place);
    return distinct;
}
