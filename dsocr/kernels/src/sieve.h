// The likeliest rows of a head, found by its coarse form (kernels/coarse_head.py).

#pragma once

#include "products.h"

namespace {

// Of a head that is found by its coarse form: how many good rows tell how far off that is, and how many of the best are sure to be
// exact, where nothing is off by more than so many times its spread. Of the rows at most so many are scored twice.
constexpr i64 PEAKS = 48, SURE = 8;
constexpr float TIMES_OFF = 6;
constexpr float MOST_TWICE = 1 / 16.0f;

// The coarse logits of one row of activations in; exact ones out wherever a row of the head could be among the likeliest.
class Sieve {
  public:
    static i64 blocks(const Matrix &head) { return (head.rows + STREAM - 1) / STREAM; }
    static i64 fours(const Matrix &head) { return (head.rows + ROWS - 1) / ROWS; }

    Sieve(const Matrix &head, const float *blur, const Activations &a, std::int32_t token, float *logits, const Bench &bench)
        : head(head), blur(blur), a(a), token(token), own(logits), bench(bench) {
        std::fill(best, best + SURE, -INFINITY);
    }

    // Whether that could be done: else so many rows could be, or something is no number, that all are to be multiplied.
    // peaks: room for 2 · blocks; found: for the fours of the head.
    bool run(float *peaks, std::int32_t *found) {
        find_peaks(peaks, found);
        const i64 few = count;
        score(found, 0);
        // What could still be as good as the best, were it off by six times as much as these were.
        const float least = *std::min_element(best, best + SURE), reach = TIMES_OFF * std::sqrt(off / float(scored));
        const i64 most = i64(float(fours(head)) * MOST_TWICE);
        i64 known = 0;
        for (i64 first = 0; first < head.rows; first += STREAM) {
            const i64 end = std::min(first + STREAM, head.rows);
            if (!beyond(first, end, least, reach)) continue;
            while (known < few && found[known] < first) ++known;
            for (i64 row = first; row < end; row += ROWS) {
                if (known < few && found[known] == row) ++known;
                else if (beyond(row, std::min(row + ROWS, end), least, reach)) found[count++] = std::int32_t(row);
            }
            if (count - few > most) return false;
        }
        score(found, few);
        return true;
    }

  private:
    const Matrix &head;
    const float *blur;
    const Activations &a;
    const std::int32_t token;
    float *own;
    const Bench &bench;
    float best[SURE], off = 0;
    i64 count = 0, scored = 0;

    // The fours that hold the PEAKS best blocks' best.
    void find_peaks(float *peaks, std::int32_t *found) {
        float *const sorted = peaks + blocks(head);
        for (i64 at = 0; at < blocks(head); ++at) {
            float most = -INFINITY;
#pragma omp simd reduction(max : most)
            for (i64 row = at * STREAM; row < std::min((at + 1) * STREAM, head.rows); ++row) most = own[row] > most ? own[row] : most;
            peaks[at] = sorted[at] = most;
        }
        const i64 last = std::min(PEAKS, blocks(head)) - 1;
        std::nth_element(sorted, sorted + last, sorted + blocks(head), [](float x, float y) { return x > y; });
        const auto is_good = [least = sorted[last]](float logit) { return logit >= least; };
        for (i64 at = 0; at < blocks(head); ++at)
            for (i64 row = at * STREAM; is_good(peaks[at]) && row < std::min((at + 1) * STREAM, head.rows); row += ROWS)
                if (std::any_of(own + row, own + std::min(row + ROWS, head.rows), is_good)) found[count++] = std::int32_t(row);
    }

    // Whether any of these rows could be above `least`, or is no number.
    bool beyond(i64 first, i64 end, float least, float reach) const {
        int many = 0;
#pragma omp simd reduction(+ : many)
        for (i64 row = first; row < end; ++row) many += !(own[row] + reach * blur[row] <= least);
        return many;
    }

    // Multiplies the fours from number `first` on, and sees how far off they were.
    void score(const std::int32_t *found, i64 first) {
        for (i64 at = first; at < count; ++at) {
            const i64 row = found[at], next = found[std::min(at + 2, count - 1)];
            const char *const ahead = static_cast<const char *>(head.data) + next * head.stride;
            for (i64 byte = 0; byte < std::min(ROWS, head.rows - next) * head.stride; byte += 64) __builtin_prefetch(ahead + byte, 0, 2);
            four_rows(head, row, a, &token, 1, bench, bench.sums);
            for (i64 r = 0; r < std::min(ROWS, head.rows - row); ++r, ++scored) {
                const float wrong = (bench.sums[r] - own[row + r]) / blur[row + r];
                off += wrong * wrong;
                own[row + r] = bench.sums[r];
                float *const worst = std::min_element(best, best + SURE);
                *worst = std::max(*worst, bench.sums[r]);
            }
        }
    }
};

}  // namespace
