/* Columns of a log's records on their way to those of flow records. */
#include "times.h"

enum { SECONDS_PER_HOUR = 3600 };

/* Finds the hours since 1970 of integers that are times, each in a unit that its size tells. Most records are of the same hour as the one
 * before: then nothing is divided.
 *
 * earliest, latest: times lie between these seconds, each of which begins an hour, the latter excluded.
 * hours: receives the hours; 0 for what is no such time.
 *
 * Returns how many are no such times.
 */
API int64_t hours_of_integers(int64_t count, const int64_t *times, int64_t earliest, int64_t latest, int64_t *hours) {
    int64_t hour = 0, others = 0;
    uint64_t start = 0, length = 0; /* so many numbers from the start on are of that hour */
    for (int64_t i = 0; i < count; i++) {
        hours[i] = hour;
        if (LIKELY((uint64_t)times[i] - start < length)) continue;
        int64_t seconds = whole_seconds_of(times[i]);
        if (seconds < earliest || seconds >= latest) {
            hours[i] = 0;
            others++;
            continue;
        }
        hours[i] = hour = seconds / SECONDS_PER_HOUR;
        length = SECONDS_PER_HOUR * (uint64_t)units_of_second(times[i]);
        start = (uint64_t)hour * length;
    }
    return others;
}

/* The same of floating-point numbers. */
API int64_t hours_of_decimals(int64_t count, const double *times, int64_t earliest, int64_t latest, int64_t *hours) {
    int64_t hour = 0, others = 0;
    double start = 0, end = 0; /* what lies between, in seconds, is of that hour, also when it is divided and rounded */
    for (int64_t i = 0; i < count; i++) {
        hours[i] = hour;
        if (LIKELY(times[i] >= start && times[i] < end)) continue;
        double seconds = seconds_of(times[i]);
        if (!(seconds >= (double)earliest && seconds < (double)latest)) {
            hours[i] = 0;
            others++;
            continue;
        }
        hours[i] = hour = (int64_t)(seconds / SECONDS_PER_HOUR);
        start = (double)(hour * SECONDS_PER_HOUR);
        end = start + SECONDS_PER_HOUR - 0.001;
    }
    return others;
}

/* RFC 9293; AWS keeps the flags that were seen in an interval OR-ed together, and an ACK only beside a SYN. */
enum { SYN = 0x02, ACK = 0x10 };

/* Which records go from the server to the client (see formats/record.py).
 *
 * flags: NULL where there are none.
 * known: lower ports belong to services; ephemeral: from this port on, they belong to clients.
 */
API void find_answers(int64_t count, const int64_t *src_ports, const int64_t *dst_ports, const int64_t *flags, int64_t known,
                      int64_t ephemeral, uint8_t *answers) {
    for (int64_t i = 0; i < count; i++) {
        int64_t src = src_ports[i], dst = dst_ports[i];
        answers[i] = ((src < known) | (dst >= ephemeral)) & (src < dst) & (src >= 0);
    }
    for (int64_t i = 0; flags && i < count; i++)
        answers[i] = flags[i] & SYN ? (flags[i] & ACK) != 0 : answers[i];
}

/* Exchanges the codes of two columns of texts where the mask is 1, behind one another's dictionaries: `shift` is what is added to those of
 * `others`. Less than 0 is null. */
API void exchange_codes(int64_t count, const uint8_t *restrict mask, const int32_t *restrict these, const int32_t *restrict others,
                        int32_t shift, int32_t *restrict first, int32_t *restrict second) {
    for (int64_t i = 0; i < count; i++) {
        int32_t a = these[i], b = others[i] + (others[i] < 0 ? 0 : shift), differ = (a ^ b) & -(int32_t)mask[i];
        first[i] = a ^ differ;
        second[i] = b ^ differ;
    }
}

/* Exchanges the numbers of two columns where the mask is 1. */
API void exchange_numbers(int64_t count, const uint8_t *restrict mask, const int64_t *restrict these, const int64_t *restrict others,
                          int64_t *restrict first, int64_t *restrict second) {
    for (int64_t i = 0; i < count; i++) {
        int64_t a = these[i], b = others[i], differ = (a ^ b) & -(int64_t)mask[i];
        first[i] = a ^ differ;
        second[i] = b ^ differ;
    }
}
