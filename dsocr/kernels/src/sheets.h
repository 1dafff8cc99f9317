// The sheets that are attended over, in windows, and one head of a window of them.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace {

using i64 = std::int64_t;
using bf16 = std::uint16_t;

// The arguments of `sheet_attention`, which describes them.
struct Sheets {
    const bf16 *qkv, *outside, *row_table, *column_table;
    bf16 *attended;
    i64 count, rows, columns, window_rows, window_columns, heads, dim;

    i64 keys() const { return window_rows * window_columns; }
};

// One head of one window of one sheet, and some of its queries.
struct Item {
    const Sheets &sheets;
    i64 sheet, top, left, head, first, last;

    i64 columns_within() const { return std::min(sheets.window_columns, sheets.columns - left); }

    // Part 0, 1 or 2 (q, k, v) of a place of the window; below and right of the sheet all places are alike.
    const bf16 *place(i64 y, i64 x, i64 part) const {
        const Sheets &s = sheets;
        const i64 within = (part * s.heads + head) * s.dim;
        if (top + y >= s.rows || left + x >= s.columns) return s.outside + within;
        return s.qkv + ((sheet * s.rows + top + y) * s.columns + left + x) * 3 * s.heads * s.dim + within;
    }

    // The same part of all places, row after row.
    void all_places(i64 part, std::vector<const bf16 *> &places) const {
        places.clear();
        for (i64 y = 0; y < sheets.window_rows; y++)
            for (i64 x = 0; x < sheets.window_columns; x++) places.push_back(place(y, x, part));
    }

    bf16 *attended(i64 y, i64 x) const {
        const Sheets &s = sheets;
        return s.attended + (((sheet * s.rows + top + y) * s.columns + left + x) * s.heads + head) * s.dim;
    }
};

#ifdef __AVX512BF16__

constexpr i64 LANES = 16;
constexpr float NEVER = -1e30f;  // the logit of a key that is not there
constexpr float LOG2_E = 1.44269504f;

i64 vectors_for(i64 count) { return (count + LANES - 1) / LANES; }

__mmask16 first_lanes(i64 count) { return static_cast<__mmask16>((1u << std::min(count, LANES)) - 1); }

__m512i lanes() { return _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0); }

// Sixteen rows of sixteen words, turned: four rounds of swapping the two off-diagonal quarters of ever smaller squares.
void transpose(__m512i (&rows)[LANES]) {
#pragma GCC unroll 4
    for (int half = 8; half; half /= 2) {
        const __m512i low = _mm512_and_si512(lanes(), _mm512_set1_epi32(~half));
        const __mmask16 upper = _mm512_test_epi32_mask(lanes(), _mm512_set1_epi32(half));
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
            const __mmask16 mask = first_lanes(few);
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

// A table of distances, reversed, so that the row for key k and query q stands at k + (side - 1 - q).
template <int DIM>
void pack_table(const bf16 *table, i64 side, std::uint32_t *packed) {
    pack_rows([=](i64 at) { return table + (2 * side - 2 - at) * DIM; }, 2 * side - 1, DIM / 2, packed);
}

#endif

}  // namespace
