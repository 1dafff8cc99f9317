// Tiles with 256-bit vectors: AVX2 with FMA and half floats, as nearly every x86 processor since 2013 has them.

#pragma once

#include <immintrin.h>

#include "tile.h"

template <int T> struct Products : Tile<T> {
    using Tile<T>::Tile, Tile<T>::m, Tile<T>::a, Tile<T>::w, Tile<T>::row_of, Tile<T>::x, Tile<T>::out, Tile<T>::ahead;

    static constexpr bool STREAMS_TWELVE = false;

    bool run_rows(i64) const { return false; }

    static constexpr i64 SIDE_BY_SIDE = T > 1 ? 2 : 4;  // rows: with their sums for each activation they fill the registers

    static float sum(__m256 v) {
        __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        four = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
    }

    static __m256i load(const void *at) { return _mm256_loadu_si256(static_cast<const __m256i *>(at)); }

    static __m256 widen8(const char *at) {
        const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16));
    }

    // What loops over rows and activations add up stays in registers only where compilers unroll all of these loops.
    // Adds up `step(r, k, sums of row r)` over whole vectors of `width` columns, then `last(r, t, k)` over the columns left.
    template <class Step, class Last> void rows(i64 width, Step step, Last last) const {
        for (i64 base = 0; base < ROWS; base += SIDE_BY_SIDE) {
            __m256 sums[SIDE_BY_SIDE][T] = {};
            i64 k = 0;
            for (; k + width <= m.columns; k += width) step(base, k, sums);
#pragma GCC unroll 4
            for (i64 r = 0; r < SIDE_BY_SIDE; ++r)
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) {
                    float total = sum(sums[r][t]);
                    for (i64 left = k; left < m.columns; ++left) total += last(base + r, t, left);
                    out[t * ROWS + base + r] = total;
                }
        }
    }

    template <bool WIDE> void run_float() const {
        const i64 before = ahead() * m.stride;
        rows(
            8,
            [&](i64 base, i64 k, __m256(*sums)[T]) {
                __m256 xs[T];
                for (int t = 0; t < T; ++t) xs[t] = _mm256_loadu_ps(a.exact + x[t] * a.columns + k);
                for (i64 r = 0; r < SIDE_BY_SIDE; ++r) {
                    _mm_prefetch(w[base + r] + before + k * (WIDE ? 2 : 4), _MM_HINT_T1);
                    const __m256 ws = WIDE ? widen8(w[base + r] + k * 2)
                                           : _mm256_loadu_ps(reinterpret_cast<const float *>(w[base + r]) + k);
                    for (int t = 0; t < T; ++t) sums[r][t] = _mm256_fmadd_ps(ws, xs[t], sums[r][t]);
                }
            },
            [&](i64 r, int t, i64 k) {
                const float weight = WIDE ? widen(reinterpret_cast<const std::uint16_t *>(w[r])[k])
                                          : reinterpret_cast<const float *>(w[r])[k];
                return weight * a.exact[x[t] * a.columns + k];
            });
    }

    // Of each pair of bfloat16 weights in 32 bits the second one is a float already but for bits that are too small to
    // matter: these are cleared, and the first one is moved up. The activations lie as floats in the same order.
    void run_bfloat16() const {
        const __m256i upper = _mm256_set1_epi32(int(0xffff0000u));
        const i64 before = ahead() * m.stride;
        rows(
            16,
            [&](i64 base, i64 k, __m256(*sums)[T]) __attribute__((always_inline)) {
                __m256 first[SIDE_BY_SIDE], second[SIDE_BY_SIDE];
#pragma GCC unroll 4
                for (i64 r = 0; r < SIDE_BY_SIDE; ++r) {
                    _mm_prefetch(w[base + r] + before + k * 2, _MM_HINT_T1);
                    const __m256i ws = load(w[base + r] + k * 2);
                    first[r] = _mm256_castsi256_ps(_mm256_slli_epi32(ws, 16));
                    second[r] = _mm256_castsi256_ps(_mm256_and_si256(ws, upper));
                }
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) {
                    const float *xs = a.pairs + x[t] * a.columns + k;
                    const __m256 even = _mm256_loadu_ps(xs), odd = _mm256_loadu_ps(xs + 8);
#pragma GCC unroll 4
                    for (i64 r = 0; r < SIDE_BY_SIDE; ++r) {
                        sums[r][t] = _mm256_fmadd_ps(first[r], even, sums[r][t]);
                        sums[r][t] = _mm256_fmadd_ps(second[r], odd, sums[r][t]);
                    }
                }
            },
            [&](i64 r, int t, i64 k) {
                return widen(reinterpret_cast<const std::uint16_t *>(w[r])[k]) * widen(a.half[x[t] * a.columns + k]);
            });
    }

    // Products of four neighbours each: of bytes without a sign and bytes with one, small enough for 16 bits a pair.
    static __m256i fours(__m256i plain, __m256i with_sign) {
        return _mm256_madd_epi16(_mm256_maddubs_epi16(plain, with_sign), _mm256_set1_epi16(1));
    }

    void run_int8() const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        const std::uint16_t *scales = static_cast<const std::uint16_t *>(m.scales);
        const __m256i flip = _mm256_set1_epi8(char(0x80));
        for (i64 r = 0; r < ROWS; ++r) {
            __m256 sums[T] = {};
            for (i64 g = 0; g < groups; ++g) {
                const char *at = w[r] + g * GROUP;
                _mm_prefetch(at + FAR_AHEAD, _MM_HINT_T0);
                _mm_prefetch(at + FAR_AHEAD + 64, _MM_HINT_T0);
                __m256i dots[T] = {};
                for (i64 part = 0; part < GROUP; part += 32) {
                    // A sign is moved from the weight to the activation: no pair of products then leaves 16 bits.
                    const __m256i ws = _mm256_xor_si256(load(at + part), flip), size = _mm256_abs_epi8(ws);
#pragma GCC unroll 4
                    for (int t = 0; t < T; ++t) {
                        const __m256i xs = load(a.small + x[t] * wide + g * GROUP + part);
                        dots[t] = _mm256_add_epi32(dots[t], fours(size, _mm256_sign_epi8(xs, ws)));
                    }
                }
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) {
                    const __m256 scale = _mm256_set1_ps(widen(scales[row_of[r] * groups + g]) * a.scales[x[t] * groups + g]);
                    sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t]), scale, sums[t]);
                }
            }
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t) out[t * ROWS + r] = sum(sums[t]);
        }
    }

    void run_int4() const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        const std::uint16_t *scales = static_cast<const std::uint16_t *>(m.scales);
        const __m256i nibble = _mm256_set1_epi8(15);
        for (i64 r = 0; r < ROWS; ++r) {
            __m256 sums[T] = {};
            for (i64 g = 0; g < groups; ++g) {
                const char *at = w[r] + g * GROUP / 2;
                _mm_prefetch(at + FAR_AHEAD, _MM_HINT_T0);
                const __m256i both[2] = {load(at), load(at + 32)};
                const __m256i low[2] = {_mm256_and_si256(both[0], nibble), _mm256_and_si256(both[1], nibble)};
                const __m256i high[2] = {_mm256_and_si256(_mm256_srli_epi16(both[0], 4), nibble),
                                         _mm256_and_si256(_mm256_srli_epi16(both[1], 4), nibble)};
                const __m128 four = _mm_cvtph_ps(
                    _mm_loadl_epi64(reinterpret_cast<const __m128i *>(scales + (row_of[r] * groups + g) * 4)));
                const __m256 scale = _mm256_set_m128(four, four);
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) {
                    const i64 group = x[t] * groups + g;
                    const std::int8_t *xs = a.small + group * GROUP;
                    __m256i dots = _mm256_zextsi128_si256(
                        _mm_loadu_si128(reinterpret_cast<const __m128i *>(a.offset4 + group * 4)));
                    for (i64 part = 0; part < 2; ++part) {
                        dots = _mm256_add_epi32(dots, fours(low[part], load(xs + part * 32)));
                        dots = _mm256_add_epi32(dots, fours(high[part], load(xs + 64 + part * 32)));
                    }
                    const __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(a.scales[group]));
                    sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), factor, sums[t]);
                }
            }
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t) out[t * ROWS + r] = sum(sums[t]);
        }
    }
};
