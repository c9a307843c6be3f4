/* Blocks of text as a whole. */
#include "kernel.h"

#include <stdlib.h>

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

/* The number of lines; the last one may lack its newline. */
API int64_t count_lines(text_t data, int64_t size) {
    int64_t count = size && data[size - 1] != '\n';
    for (int64_t start = 0; start < size; start += 255 * 16) {
        /* Sixteen counters of a byte each, which the compiler keeps in one register. */
        uint8_t counters[16] = {0};
        int64_t end = start + 255 * 16 < size ? start + 255 * 16 : size, i = start;
        for (; i + 16 <= end; i += 16)
            for (int j = 0; j < 16; j++) counters[j] += data[i + j] == '\n';
        for (int j = 0; j < 16; j++) count += counters[j];
        for (; i < end; i++) count += data[i] == '\n';
    }
    return count;
}

/* Whether one of some bytes is there. */
API int has_any(text_t data, int64_t size, text_t bytes, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (memchr(data, bytes[i], (size_t)size)) return 1;
    return 0;
}

/* One bit for each byte, all of which are 0 or 1, as Arrow's validity bitmaps have it. Returns how many are 0. */
API int64_t pack_bits(text_t bytes, int64_t count, uint8_t *bits) {
    int64_t ones = 0;
    for (int64_t start = 0; start < count; start += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + start, count - start < 8 ? (size_t)(count - start) : 8);
        /* The product's highest byte gets each of the eight bits at its own place, and no carry. */
        bits[start / 8] = (uint8_t)(word * 0x0102040810204080ULL >> 56);
        ones += __builtin_popcountll(word);
    }
    return count - ones;
}

/* Where four bytes stand first, in this order, from an offset on; -1 where they do not. */
API int64_t find_four(text_t data, int64_t size, int64_t from, text_t four) {
    int64_t last = size - 4;
    for (int64_t start = from; start <= last; start += 4096) {
        int64_t end = start + 4096 <= last ? start + 4096 : last + 1;
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
