/* Bytes of flows, shared over the hours in which these lasted. */
#include "kernel.h"

static const int64_t HOUR = 3600000000000LL; /* nanoseconds */

enum { FIRST, BETWEEN, LAST };

/* The hours of a flow in three groups: the first, the last, and those between, which it fills. */
typedef struct {
    int64_t duration;
    int64_t part[3]; /* how long the flow was in an hour of the group */
    int64_t size[3]; /* how many hours are in it */
} hours;

/* What an hour of each group has of a number of bytes; the first `more` hours of a group have one byte more. */
typedef struct {
    int64_t whole[3], more[3];
} shares;

static hours hours_of(int64_t start, int64_t end) {
    int64_t first = start / HOUR, last = end > start ? (end - 1) / HOUR : first;
    if (first == last) return (hours){1, {1, 0, 0}, {1, 0, 0}}; /* has all, whatever the duration */
    return (hours){end - start, {(first + 1) * HOUR - start, HOUR, end - last * HOUR}, {1, last - first - 1, 1}};
}

/* Integer shares in proportion to time by largest remainder: they sum to the bytes. Of hours with the same remainder the earlier
 * ones come first. */
static shares shares_of(int64_t bytes, const hours *flow) {
    shares found = {{0}, {0}};
    int64_t rest[3], left = bytes;
    for (int i = 0; i < 3; i++) {
        __int128 product = (__int128)bytes * flow->part[i];
        found.whole[i] = (int64_t)(product / flow->duration);
        rest[i] = (int64_t)(product % flow->duration);
        left -= found.whole[i] * flow->size[i];
    }
    for (int rank = 0; rank < 3; rank++) {
        int largest = FIRST;
        for (int i = BETWEEN; i <= LAST; i++)
            if (rest[i] > rest[largest]) largest = i;
        found.more[largest] = left < flow->size[largest] ? left : flow->size[largest];
        left -= found.more[largest];
        rest[largest] = -1;
    }
    return found;
}

/* Spreads flow records.
 *
 * starts, ends: when the flows started and ended, in nanoseconds since 1970; tx, rx: their bytes, none less than 0.
 * rows, hour, tx_shares, rx_shares, flows: receive, for each hour that a flow has a part in, in order, the flow's row, the hour,
 *   the bytes, and 1 for the first hour, 0 for the others. Hours without any bytes are left out, but for the first.
 *
 * Returns how many there are; the caller has made room for all hours from each start to its end.
 */
API int64_t spread(int64_t count, const int64_t *starts, const int64_t *ends, const int64_t *tx, const int64_t *rx, int64_t *rows,
                   int64_t *hour, int64_t *tx_shares, int64_t *rx_shares, int64_t *flows) {
    int64_t filled = 0;
    for (int64_t row = 0; row < count; row++) {
        hours flow = hours_of(starts[row], ends[row]);
        shares sent = shares_of(tx[row], &flow), received = shares_of(rx[row], &flow);
        int64_t at = starts[row] / HOUR;
        for (int group = FIRST; group <= LAST; group++)
            for (int64_t i = 0; i < flow.size[group]; i++, at++) {
                int64_t more_tx = sent.whole[group] + (i < sent.more[group]);
                int64_t more_rx = received.whole[group] + (i < received.more[group]);
                if (group != FIRST && !more_tx && !more_rx) continue;
                rows[filled] = row;
                hour[filled] = at;
                tx_shares[filled] = more_tx;
                rx_shares[filled] = more_rx;
                flows[filled++] = group == FIRST;
            }
    }
    return filled;
}
