// Products of a matrix, whatever its weights are kept in, with several activations.
//
// Each number is summed in an order that depends neither on the other activations nor on the number of threads.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "amx.h"
#include "numbers.h"
#include "squares.h"
#ifdef __AVX512VNNI__
#include "tile_avx512.h"
#elif defined(__AVX2__)
#include "tile_avx2.h"
#else
#include "tile_plain.h"
#endif
#include "twelve.h"

namespace {

// Where a product is made; of each thread its own.
struct Bench {
    float *sums;              // [the larger of ROWS times the activations, and STREAM]
    std::uint16_t *unpacked;  // [ROWS, padded columns]
    // For products on tiles: activations as pairs of numbers, BLOCK rows, and which activations are given and which not.
    std::uint16_t *pairs, *widened;
    std::int32_t *spots[2], *chosen[2];
};

constexpr i64 STREAM = 64;  // rows of a matrix that meet a single activation in one go
constexpr i64 BLOCK = 32;   // rows, and activations, of a product on tiles

#ifdef HAS_TILES
constexpr bool USES_TILES = true;
#else
constexpr bool USES_TILES = false;
#endif

i64 whole_blocks(i64 count) { return (count + BLOCK - 1) / BLOCK * BLOCK; }

bool takes_tiles(i64 format, i64 columns) {
    return (format == BFLOAT16 || format == TWELVE || format == INT8) && columns % BLOCK == 0;
}

// Hands out pieces of the scratch, or only counts them when there is none.
struct Shelf {
    char *at;
    i64 used = 0;
    template <class T> T *take(i64 count) {
        T *piece = at ? reinterpret_cast<T *>(at + used) : nullptr;
        used += (count * i64(sizeof(T)) + 127) / 128 * 128;
        return piece;
    }
    Activations activations(i64 rows, i64 columns) {
        const i64 wide = padded(columns);
        Activations a{columns, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
        a.exact = take<float>(rows * columns);
        a.half = take<std::uint16_t>(rows * columns);
        a.pairs = take<float>(PAIRS ? rows * columns : 0);
        a.small = take<std::int8_t>(rows * wide);
        a.scales = take<float>(rows * wide / GROUP);
        a.offset8 = take<std::int32_t>(rows * wide / GROUP);
        a.offset4 = take<std::int32_t>(rows * wide / 32);
        return a;
    }
    // given: at most so many activations of a product go over tiles.
    Bench bench(i64 rows, i64 columns, i64 given) {
        Bench bench{};
        bench.sums = take<float>(std::max(rows * ROWS, STREAM));
        bench.unpacked = take<std::uint16_t>(ROWS * padded(columns));
        if (!given) return bench;
        bench.pairs = take<std::uint16_t>(whole_blocks(given) * columns);
        bench.widened = take<std::uint16_t>(BLOCK * padded(columns));
        for (int mark = 0; mark < 2; ++mark)
            bench.spots[mark] = take<std::int32_t>(given), bench.chosen[mark] = take<std::int32_t>(given);
        return bench;
    }
};

// One group to 8 bits, with what the weights' offsets add to its products.
void quantise_group(const float *x, std::int8_t *small, float &scale, std::int32_t &offset) {
    float most = 0, nothing = 0;  // nothing, unless there is what is no number
#pragma omp simd reduction(max : most) reduction(+ : nothing)
    for (i64 k = 0; k < GROUP; ++k) most = std::max(most, std::fabs(x[k])), nothing += x[k] * 0;
    const float inverse = most > 1e-30f && nothing == 0 ? 127 / most : 0;
    std::int32_t rounded[GROUP], sum = 0;
#pragma omp simd reduction(+ : sum)
    for (i64 k = 0; k < GROUP; ++k) sum += rounded[k] = nearest(inverse == 0 ? 0 : x[k] * inverse);
#pragma omp simd
    for (i64 k = 0; k < GROUP; ++k) small[k] = std::int8_t(rounded[k]);
    scale = most / 127 + nothing;
    offset = -128 * sum;
}

// For weights of 4 bits: the columns of a group in the order of those weights (tile.h), and their sums.
void reorder_group(std::int8_t *small, std::int32_t *offset) {
    std::int32_t in_order[GROUP / 4], reordered[GROUP / 4];  // four columns each
    std::memcpy(in_order, small, GROUP);
    for (i64 part = 0; part < 4; ++part) {
        std::int32_t sum = 0;
        for (i64 k = 32 * part; k < 32 * part + 32; ++k) sum += small[k];
        offset[part] = -8 * sum;
    }
    for (i64 at = 0; at < GROUP / 8; ++at) {
        reordered[at] = in_order[at % 4 * 8 + at / 4];
        reordered[at + GROUP / 8] = in_order[at % 4 * 8 + at / 4 + 4];
    }
    std::memcpy(small, reordered, GROUP);
}

void quantise_row(const Activations &a, i64 row, bool reordered) {
    const i64 wide = padded(a.columns);
    const float *x = a.exact + row * a.columns;
    for (i64 start = 0; start < wide; start += GROUP) {
        const i64 at = row * wide + start;
        float last[GROUP] = {};  // of a row that ends within a group
        if (start + GROUP > a.columns) std::copy(x + start, x + a.columns, last);
        quantise_group(start + GROUP > a.columns ? last : x + start, a.small + at, a.scales[at / GROUP], a.offset8[at / GROUP]);
        if (reordered) reorder_group(a.small + at, a.offset4 + at / 32);
    }
}

// The form of row `row` that a matrix of `format` multiplies; `exact` must be filled.
void prepare(const Activations &a, i64 row, i64 format) {
    if (format == INT8 || format == INT4) quantise_row(a, row, format == INT4);
    if (format != BFLOAT16 && format != TWELVE) return;
    const float *x = a.exact + row * a.columns;
    std::uint16_t *half = a.half + row * a.columns;
    for (i64 k = 0; k < a.columns; ++k) half[k] = narrow(x[k]);
    if (!PAIRS) return;
    float *pairs = a.pairs + row * a.columns;
    for (i64 k = 0; k + 16 <= a.columns; k += 16)
        for (i64 n = 0; n < 8; ++n) pairs[k + n] = widen(half[k + 2 * n]), pairs[k + 8 + n] = widen(half[k + 2 * n + 1]);
}

// The same for a row that goes over tiles if it is `given` and the matrix takes them.
void prepare(const Activations &a, i64 row, i64 format, bool given) {
    prepare(a, row, given && takes_tiles(format, a.columns) ? i64(BFLOAT16) : format);
}

template <int T> void run(const Products<T> &tile) {
    if constexpr (Products<T>::STREAMS_TWELVE)
        if (tile.m.format == TWELVE) return tile.run_twelve();
    switch (tile.m.format) {
        case FLOAT32: return tile.template run_float<false>();
        case WIDENED: return tile.template run_float<true>();
        case BFLOAT16: return tile.run_bfloat16();
        case INT8: return tile.run_int8();
        default: return tile.run_int4();
    }
}

// ROWS rows of a matrix times the activations in `tokens` → out[t * ROWS + r].
void four_rows(const Matrix &m, i64 row, const Activations &a, const std::int32_t *tokens, i64 count, const Bench &bench,
               float *out) {
    if (m.format == TWELVE && !(count <= TOKENS && Products<1>::STREAMS_TWELVE)) {
        Twelve(m).unpack(row, bench.unpacked);
        const Matrix wide{bench.unpacked, nullptr, ROWS, m.columns, padded(m.columns) * 2, BFLOAT16};
        return four_rows(wide, 0, a, tokens, count, bench, out);
    }
    for (; count >= TOKENS; count -= TOKENS, tokens += TOKENS, out += TOKENS * ROWS)
        run(Products<TOKENS>(m, row, a, tokens, out));
    if (count == 3) run(Products<3>(m, row, a, tokens, out));
    if (count == 2) run(Products<2>(m, row, a, tokens, out));
    if (count == 1) run(Products<1>(m, row, a, tokens, out));
}

#ifdef HAS_TILES
// One row, or with 12 bits four, as bfloat16; 8 bits times their scale are rounded to it.
void widen_row(const Matrix &m, i64 row, std::uint16_t *to) {
    const i64 wide = padded(m.columns);
    const char *const from = static_cast<const char *>(m.data) + row * m.stride;
    if (m.format == BFLOAT16) std::memcpy(to, from, m.columns * 2);
    else if (m.format == TWELVE && row % ROWS == 0) Twelve(m).unpack(row, to);
    if (m.format != INT8) return;
    const std::uint16_t *const scales = static_cast<const std::uint16_t *>(m.scales) + row * (wide / GROUP);
    const std::uint8_t *const bytes = reinterpret_cast<const std::uint8_t *>(from);
    for (i64 start = 0; start < wide; start += GROUP) {
        const __m512 scale = _mm512_set1_ps(widen(scales[start / GROUP])), zero = _mm512_mul_ps(scale, _mm512_set1_ps(-128));
        const auto scaled = [&](i64 k) {
            const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes + k));
            return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(some)), scale, zero);
        };
        for (i64 k = start; k < start + GROUP; k += 32)
            _mm512_storeu_si512(to + k, (__m512i)_mm512_cvtne2ps_pbh(scaled(k + 16), scaled(k)));
    }
}

// As `multiply`, 32 rows and 32 activations at a time.
template <class Keep>
void multiply_on_tiles(const Matrix &m, i64 first, i64 end, const Activations &a, const std::int32_t *tokens, i64 count,
                       const Bench &bench, Keep keep) {
    const i64 wide = padded(m.columns);
    for (i64 group = 0; group < whole_blocks(count) / 16; ++group) {
        std::uint16_t *const to = bench.pairs + group * m.columns * 16;
        const auto half_of = [&](i64 i) { return a.half + tokens[group * 16 + i] * m.columns; };
        const i64 few = std::min<i64>(count - group * 16, 16);
        if (few > 0) pack_rows(half_of, few, m.columns / 2, reinterpret_cast<std::uint32_t *>(to));
        else std::fill(to, to + m.columns * 16, std::uint16_t(0));
    }
    alignas(64) float sums[BLOCK * BLOCK], turned[BLOCK * BLOCK];
    for (i64 row = first; row < end; row += BLOCK) {
        const i64 here = std::min(BLOCK, end - row);
        const std::uint16_t *from = reinterpret_cast<const std::uint16_t *>(static_cast<const char *>(m.data) + row * m.stride);
        i64 stride = m.stride;
        if (m.format != BFLOAT16 || here < BLOCK) {
            for (i64 r = 0; r < here; ++r) widen_row(m, row + r, bench.widened + r * wide);
            from = bench.widened, stride = wide * 2;
        }
        for (i64 t = 0; t < count; t += BLOCK) {
            const std::uint16_t *const pair = bench.pairs + t * m.columns;
            multiply_block(from, stride, pair, pair + 16 * m.columns, m.columns, sums);
            for (i64 r = 0; r < BLOCK; r += LANES)
                for (i64 n = 0; n < BLOCK; n += LANES) {
                    __m512i square[LANES];
                    for (i64 i = 0; i < LANES; ++i) square[i] = _mm512_load_si512(sums + (r + i) * BLOCK + n);
                    transpose(square);
                    for (i64 i = 0; i < LANES; ++i) _mm512_store_si512(turned + (n + i) * BLOCK + r, square[i]);
                }
            for (i64 n = 0; n < std::min(BLOCK, count - t); ++n) {
                const float *const own = turned + n * BLOCK;
                if (here == BLOCK)  // so many in any case: a compiler takes them at once
                    for (i64 r = 0; r < BLOCK; ++r) keep(t + n, row + r, own[r]);
                else
                    for (i64 r = 0; r < here; ++r) keep(t + n, row + r, own[r]);
            }
        }
    }
}
#endif

// keep(t, row, sum) for each number of the rows from `first` to `end` times the activations in `tokens`.
template <class Keep>
void multiply(const Matrix &m, i64 first, i64 end, const Activations &a, const std::int32_t *tokens, i64 count,
              const Bench &bench, Keep keep) {
    const i64 step = count == 1 ? STREAM : ROWS;
    for (i64 row = first; row < end; row += step) {
        const i64 rows = std::min(step, end - row);
        if (count != 1) four_rows(m, row, a, tokens, count, bench, bench.sums);
        else if (!Products<1>(m, row, a, tokens, bench.sums).run_rows(row + rows))
            for (i64 r = 0; r < rows; r += ROWS) four_rows(m, row + r, a, tokens, 1, bench, bench.sums + r);
        if (rows == ROWS)  // so many in any case: a compiler takes them at once
            for (i64 t = 0; t < count; ++t)
                for (i64 r = 0; r < ROWS; ++r) keep(t, row + r, bench.sums[t * ROWS + r]);
        else
            for (i64 t = 0; t < count; ++t)
                for (i64 r = 0; r < rows; ++r) keep(t, row + r, bench.sums[t * ROWS + r]);
    }
}

// The same for the activations that `given` marks, on tiles where there are any: what a row comes to depends on whether it
// is of a prompt, but never on the others.
template <class Keep>
void multiply_marked(const Matrix &m, i64 first, i64 end, const Activations &a, const std::int32_t *tokens,
                     const std::uint8_t *given, i64 count, const Bench &bench, Keep keep) {
#ifdef HAS_TILES
    if (given && takes_tiles(m.format, m.columns)) {
        i64 counts[2] = {};
        for (i64 t = 0; t < count; ++t) {
            const bool mark = given[t];
            bench.spots[mark][counts[mark]] = std::int32_t(t);
            bench.chosen[mark][counts[mark]++] = tokens[t];
        }
        const std::int32_t *other = bench.spots[0], *own = bench.spots[1];
        if (counts[1])
            multiply_on_tiles(m, first, end, a, bench.chosen[1], counts[1], bench,
                              [=](i64 t, i64 row, float sum) { keep(own[t], row, sum); });
        if (counts[0])
            multiply(m, first, end, a, bench.chosen[0], counts[0], bench,
                     [=](i64 t, i64 row, float sum) { keep(other[t], row, sum); });
        return;
    }
#endif
    multiply(m, first, end, a, tokens, count, bench, keep);
}

}  // namespace
