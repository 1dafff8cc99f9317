// Rows of bfloat16 in the order in which they are multiplied: sixteen rows side by side, two numbers of each at a time.

#pragma once

#include <algorithm>
#include <cstdint>

#ifdef __AVX512BF16__
#include "vectors.h"
#endif

namespace {

using i64 = std::int64_t;
using bf16 = std::uint16_t;

#ifdef __AVX512BF16__

constexpr i64 LANES = 16;

i64 vectors_for(i64 count) { return (count + LANES - 1) / LANES; }

__m512i each_lane() { return _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0); }

// Sixteen rows of sixteen words, turned: four rounds of swapping the two off-diagonal quarters of ever smaller squares.
void transpose(__m512i (&rows)[LANES]) {
#pragma GCC unroll 4
    for (int half = 8; half; half /= 2) {
        const __m512i low = _mm512_and_si512(each_lane(), _mm512_set1_epi32(~half));
        const __mmask16 upper = _mm512_test_epi32_mask(each_lane(), _mm512_set1_epi32(half));
        const __m512i first = _mm512_mask_add_epi32(low, upper, low, _mm512_set1_epi32(16));
        const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(half));
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & half) continue;
            const __m512i a = rows[i], b = rows[i + half];
            rows[i] = _mm512_permutex2var_epi32(a, first, b);
            rows[i + half] = _mm512_permutex2var_epi32(a, second, b);
        }
    }
}

// `count` rows, given by `row(i)`, as [vectors][pairs of dims][16 rows][2]; the last vector is filled with zeros.
template <typename Row>
void pack_rows(Row row, i64 count, i64 pairs, std::uint32_t *packed) {
    for (i64 vector = 0; vector < vectors_for(count); vector++)
        for (i64 start = 0; start < pairs; start += LANES) {
            const i64 few = std::min(pairs - start, LANES);
            const __mmask16 mask = lanes(few);
            __m512i square[LANES];
            for (i64 i = 0; i < LANES; i++) {
                const i64 at = vector * LANES + i;
                square[i] = at < count ? _mm512_maskz_loadu_epi32(mask, row(at) + 2 * start) : _mm512_setzero_si512();
            }
            transpose(square);
            for (i64 i = 0; i < few; i++)
                _mm512_storeu_si512(packed + (vector * pairs + start + i) * LANES, square[i]);
        }
}

#endif

}  // namespace
