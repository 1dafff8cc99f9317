// Tiles with 512-bit vectors: AVX-512 with VNNI, and with BF16 where there is that.

#pragma once

#include <immintrin.h>

#include "tile.h"

template <int T> struct Products : Tile<T> {
    using Tile<T>::Tile, Tile<T>::m, Tile<T>::a, Tile<T>::w, Tile<T>::row_of, Tile<T>::x, Tile<T>::out, Tile<T>::ahead;

    // What is read later is fetched here: of rows that are read side by side the hardware sees only short streams.
    template <i64 N> void fetch(i64 r, i64 byte) const {
        if (N == 1) _mm_prefetch(w[r] + AHEAD + byte, _MM_HINT_T0);
        else _mm_prefetch(w[r] + ahead() * m.stride + byte, _MM_HINT_T1);
    }

    void fetch_scales(i64 bytes) const {
        const char *at = static_cast<const char *>(m.scales) + (row_of[0] + ahead()) * bytes;
        for (i64 byte = 0; byte < ROWS * bytes; byte += 64) _mm_prefetch(at + byte, _MM_HINT_T0);
    }

    template <i64 N> void store(__m512 sums[N][T], i64 base) const {
        for (int t = 0; t < T; ++t)
            for (i64 r = 0; r < N; ++r) out[t * ROWS + base + r] = _mm512_reduce_add_ps(sums[r][t]);
    }

    static __m512 widen16(const char *at, __mmask16 mask) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at)), 16));
    }

    template <bool WIDE> void run_float() const {
        __m512 sums[ROWS][T] = {};
        for (i64 k = 0; k < m.columns; k += 16) {
            const __mmask16 mask = m.columns - k >= 16 ? 0xffff : __mmask16((1u << (m.columns - k)) - 1);
            __m512 xs[T];
            for (int t = 0; t < T; ++t) xs[t] = _mm512_maskz_loadu_ps(mask, a.exact + x[t] * a.columns + k);
            for (i64 r = 0; r < ROWS; ++r) {
                fetch<ROWS>(r, k * (WIDE ? 2 : 4));
                const __m512 ws = WIDE ? widen16(w[r] + k * 2, mask) : _mm512_maskz_loadu_ps(mask, w[r] + k * 4);
                for (int t = 0; t < T; ++t) sums[r][t] = _mm512_fmadd_ps(ws, xs[t], sums[r][t]);
            }
        }
        store<ROWS>(sums, 0);
    }

    // Adds the products of 16 pairs of bfloat16; without an instruction for it as two products of floats.
#ifdef __AVX512BF16__
    static constexpr bool MULTIPLIES_BFLOAT16 = true;

    static __m512 add_products(__m512 sum, __m512i ws, __m512i xs) {
        return _mm512_dpbf16_ps(sum, (__m512bh)ws, (__m512bh)xs);
    }
#else
    static constexpr bool MULTIPLIES_BFLOAT16 = false;

    static __m512 add_products(__m512 sum, __m512i ws, __m512i xs) {
        const __m512i upper = _mm512_set1_epi32(int(0xffff0000u));
        sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(ws, 16)),
                              _mm512_castsi512_ps(_mm512_slli_epi32(xs, 16)), sum);
        return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(ws, upper)),
                               _mm512_castsi512_ps(_mm512_and_si512(xs, upper)), sum);
    }
#endif

    template <i64 N> void bfloat16_rows(i64 base) const {
        __m512 sums[N][T] = {};
        for (i64 k = 0; k < m.columns; k += 32) {
            const __mmask32 mask = m.columns - k >= 32 ? 0xffffffffu : (1u << (m.columns - k)) - 1;
            __m512i xs[T];
            for (int t = 0; t < T; ++t) xs[t] = _mm512_maskz_loadu_epi16(mask, a.half + x[t] * a.columns + k);
            for (i64 r = 0; r < N; ++r) {
                fetch<N>(base + r, k * 2);
                const __m512i ws = _mm512_maskz_loadu_epi16(mask, w[base + r] + k * 2);
                for (int t = 0; t < T; ++t) sums[r][t] = add_products(sums[r][t], ws, xs[t]);
            }
        }
        store<N>(sums, base);
    }

    template <i64 N> void int8_rows(i64 base) const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        const float *scales = static_cast<const float *>(m.scales);
        if (base == 0) fetch_scales(groups * 4);
        __m512 sums[N][T] = {};
        for (i64 g = 0; g < groups; ++g) {
            __m512i low[N], high[N];
            __m512 ws[N];
            for (i64 r = 0; r < N; ++r) {
                fetch<N>(base + r, g * GROUP);
                fetch<N>(base + r, g * GROUP + 64);
                low[r] = _mm512_loadu_si512(w[base + r] + g * GROUP);
                high[r] = _mm512_loadu_si512(w[base + r] + g * GROUP + 64);
                ws[r] = _mm512_set1_ps(scales[row_of[base + r] * groups + g]);
            }
            for (int t = 0; t < T; ++t) {
                const std::int8_t *small = a.small + x[t] * wide + g * GROUP;
                const __m512i first = _mm512_loadu_si512(small), second = _mm512_loadu_si512(small + 64);
                const __m512i start = _mm512_zextsi128_si512(_mm_cvtsi32_si128(a.offset[x[t] * groups + g]));
                const __m512 scale = _mm512_set1_ps(a.scales[x[t] * groups + g]);
                for (i64 r = 0; r < N; ++r) {
                    const __m512i dots = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(start, low[r], first), high[r], second);
                    sums[r][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_mul_ps(ws[r], scale), sums[r][t]);
                }
            }
        }
        store<N>(sums, base);
    }

    template <i64 N> void int4_rows(i64 base) const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        const __m512i nibble = _mm512_set1_epi8(15);
        const __m512i left = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        const __m512i right = _mm512_add_epi32(left, _mm512_set1_epi32(2));
        const std::uint16_t *scales = static_cast<const std::uint16_t *>(m.scales);
        if (base == 0) fetch_scales(groups * 8);
        __m512 sums[N][T] = {};
        for (i64 g = 0; g < groups; ++g) {
            for (i64 r = 0; r < N; ++r) {
                fetch<N>(base + r, g * GROUP / 2);
                const __m512i both = _mm512_loadu_si512(w[base + r] + g * GROUP / 2);
                const __m512i low = _mm512_and_si512(both, nibble);
                const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
                const __m128 four = _mm_cvtph_ps(_mm_loadl_epi64(
                    reinterpret_cast<const __m128i *>(scales + (row_of[base + r] * groups + g) * 4)));
                const __m512 all = _mm512_castps128_ps512(four);
                const __m512 low_scale = _mm512_permutexvar_ps(left, all), high_scale = _mm512_permutexvar_ps(right, all);
                for (int t = 0; t < T; ++t) {
                    const i64 at = x[t] * wide + g * GROUP;
                    const __m512i first = _mm512_dpbusd_epi32(
                        _mm512_loadu_si512(a.lanes + at / 4), low, _mm512_loadu_si512(a.small + at));
                    const __m512i second = _mm512_dpbusd_epi32(
                        _mm512_loadu_si512(a.lanes + at / 4 + 16), high, _mm512_loadu_si512(a.small + at + 64));
                    const __m512 mixed = _mm512_fmadd_ps(_mm512_cvtepi32_ps(first), low_scale,
                                                         _mm512_mul_ps(_mm512_cvtepi32_ps(second), high_scale));
                    const __m512 scale = _mm512_set1_ps(a.scales[x[t] * groups + g]);
                    sums[r][t] = _mm512_fmadd_ps(mixed, scale, sums[r][t]);
                }
            }
        }
        store<N>(sums, base);
    }

    // One row after another for a single activation: memory is then read in one stream. 4 bits, and bfloat16 without
    // instructions for it, take so much arithmetic that rows side by side, which do not wait for each other's sums, are
    // faster all the same.
    void run_bfloat16() const {
        if (T > 1 || !MULTIPLIES_BFLOAT16) return bfloat16_rows<ROWS>(0);
        for (i64 r = 0; r < ROWS; ++r) bfloat16_rows<1>(r);
    }

    void run_int8() const {
        if (T > 1) return int8_rows<ROWS>(0);
        for (i64 r = 0; r < ROWS; ++r) int8_rows<1>(r);
    }

    void run_int4() const { int4_rows<ROWS>(0); }
};
