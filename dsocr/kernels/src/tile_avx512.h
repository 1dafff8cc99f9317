// Tiles with 512-bit vectors: AVX-512 with VNNI, and with BF16 where there is that.

#pragma once

#include <immintrin.h>

#include <type_traits>

#include "twelve.h"
#include "vectors.h"

template <int T> struct Products : Tile<T> {
    using Tile<T>::Tile, Tile<T>::m, Tile<T>::a, Tile<T>::w, Tile<T>::row_of, Tile<T>::x, Tile<T>::out, Tile<T>::ahead;

    void fetch_scales(i64 bytes) const {
        const char *at = static_cast<const char *>(m.scales) + (row_of[0] + ahead()) * bytes;
        for (i64 byte = 0; byte < ROWS * bytes; byte += 64) _mm_prefetch(at + byte, _MM_HINT_T0);
    }

    // The sums of the four rows of each activation, added up across their lanes side by side.
    void store(const __m512 (*sums)[T]) const {
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) _mm_storeu_ps(out + t * ROWS, across(sums[0][t], sums[1][t], sums[2][t], sums[3][t]));
    }

    // What loops over rows and activations add up stays in registers only where compilers unroll all of these loops.
    template <bool WIDE> void run_float() const {
        using Number = std::conditional_t<WIDE, std::uint16_t, float>;
        const i64 before = ahead() * m.stride;
        __m512 sums[ROWS][T] = {};
        const auto step = [&](i64 k, __mmask16 mask) __attribute__((always_inline)) {
            __m512 xs[T];
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t) xs[t] = _mm512_maskz_loadu_ps(mask, a.exact + x[t] * a.columns + k);
#pragma GCC unroll 4
            for (i64 r = 0; r < ROWS; ++r) {
                _mm_prefetch(w[r] + before + k * i64(sizeof(Number)), _MM_HINT_T1);
                const __m512 ws = load16(reinterpret_cast<const Number *>(w[r]) + k, mask);
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) sums[r][t] = _mm512_fmadd_ps(ws, xs[t], sums[r][t]);
            }
        };
        i64 k = 0;
        for (; k + 16 <= m.columns; k += 16) step(k, 0xffff);
        if (k < m.columns) step(k, lanes(m.columns - k));
        store(sums);
    }

    // Adds the products of 16 pairs of bfloat16; without an instruction for it as two products of floats.
#ifdef __AVX512BF16__
    static constexpr bool MULTIPLIES_BFLOAT16 = true, STREAMS_TWELVE = true;

    static __m512 add_products(__m512 sum, __m512i ws, __m512i xs) {
        return _mm512_dpbf16_ps(sum, (__m512bh)ws, (__m512bh)xs);
    }
#else
    static constexpr bool MULTIPLIES_BFLOAT16 = false, STREAMS_TWELVE = false;

    static __m512 add_products(__m512 sum, __m512i ws, __m512i xs) {
        const __m512i upper = _mm512_set1_epi32(int(0xffff0000u));
        sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(ws, 16)),
                              _mm512_castsi512_ps(_mm512_slli_epi32(xs, 16)), sum);
        return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(ws, upper)),
                               _mm512_castsi512_ps(_mm512_and_si512(xs, upper)), sum);
    }
#endif

    template <i64 N> void bfloat16_rows(i64 base, __m512 (*all)[T]) const {
        const i64 before = N == 1 ? AHEAD : ahead() * m.stride;
        const char *const *at = w + base;
        __m512 sums[N][T] = {};
        const auto step = [&](i64 k, __mmask32 mask) __attribute__((always_inline)) {
            __m512i xs[T];
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t) xs[t] = _mm512_maskz_loadu_epi16(mask, a.half + x[t] * a.columns + k);
#pragma GCC unroll 4
            for (i64 r = 0; r < N; ++r) {
                _mm_prefetch(at[r] + before + k * 2, _MM_HINT_T1);
                const __m512i ws = _mm512_maskz_loadu_epi16(mask, at[r] + k * 2);
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) sums[r][t] = add_products(sums[r][t], ws, xs[t]);
            }
        };
        i64 k = 0;
        for (; k + 32 <= m.columns; k += 32) step(k, 0xffffffff);
        if (k < m.columns) step(k, lanes32(m.columns - k));
#pragma GCC unroll 4
        for (i64 r = 0; r < N; ++r)
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t) all[base + r][t] = sums[r][t];
    }

    // The four rows are one stream, and each its own chain of sums, in run_bfloat16's order.
    void run_twelve() const {
        const Twelve packed(m);
        const char *at = packed.of(row_of[0]);
        __m512 sums[ROWS][T] = {};
        __m512i upper[ROWS];
        const std::uint32_t *listed[ROWS + 1];
        for (i64 r = 0; r < ROWS; ++r) upper[r] = packed.uppers(row_of[0] + r), listed[r] = packed.begin(row_of[0] + r);
        listed[ROWS] = packed.begin(row_of[0] + ROWS);
        const std::uint32_t *const ends[ROWS] = {listed[1], listed[2], listed[3], listed[4]};
        const auto step = [&](i64 k, auto whole) __attribute__((always_inline)) {
#pragma GCC unroll 4
            for (i64 r = 0; r < ROWS; ++r, at += Twelve::BYTES) {
                for (i64 byte = 0; byte < Twelve::BYTES; byte += 64) _mm_prefetch(at + AHEAD + byte, _MM_HINT_T1);
                __m512i ws[4];
                Twelve::take(at, upper[r], ws);
                for (; listed[r] < ends[r] && i64(*listed[r] >> 16) < k + GROUP; ++listed[r]) Twelve::put(*listed[r], ws);
#pragma GCC unroll 4
                for (i64 part = 0; part < 4; ++part) {
                    const i64 from = k + 32 * part;
                    const __mmask32 mask = decltype(whole)::value ? 0xffffffff : lanes32(m.columns - from);
#pragma GCC unroll 4
                    for (int t = 0; t < T; ++t) {
                        const __m512i xs = _mm512_maskz_loadu_epi16(mask, a.half + x[t] * a.columns + from);
                        sums[r][t] = add_products(sums[r][t], ws[part], xs);
                    }
                }
            }
        };
        i64 k = 0;
        for (; k + GROUP <= m.columns; k += GROUP) step(k, std::true_type());
        if (k < m.columns) step(k, std::false_type());
        store(sums);
    }

    // Eight and four bits. The scales of weights and activations are multiplied with each other in all 16 lanes of a vector
    // at once: those of 16 groups of 128 columns, or of 4 groups with four scales each.
    template <bool FOUR> static constexpr i64 AT_ONCE = FOUR ? 4 : 16;
    template <bool FOUR> static constexpr i64 BYTES = FOUR ? GROUP / 2 : GROUP;

    // The scales of row r, and of activation t, from group `first` on, as lanes that belong together.
    template <bool FOUR> __m512 row_scales(i64 r, i64 first) const {
        const i64 groups = padded(m.columns) / GROUP, each = FOUR ? 4 : 1, at = (row_of[r] * groups + first) * each;
        const __mmask16 used = lanes((groups - first) * each);
        const __m256i scales = _mm256_maskz_loadu_epi16(used, static_cast<const std::uint16_t *>(m.scales) + at);
        return FOUR ? _mm512_cvtph_ps(scales) : widen16(scales);
    }

    template <bool FOUR> __m512 activation_scales(int t, i64 first) const {
        const i64 groups = padded(m.columns) / GROUP;
        const __m512i spread = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        const __m512 xs = _mm512_maskz_loadu_ps(lanes(std::min(AT_ONCE<FOUR>, groups - first)), a.scales + x[t] * groups + first);
        return FOUR ? _mm512_permutexvar_ps(spread, xs) : xs;
    }

    // What takes off the weights' + 128 or + 8, to be multiplied by both scales.
    template <bool FOUR> __m512 offsets(int t, i64 first) const {
        const i64 groups = padded(m.columns) / GROUP, each = FOUR ? 4 : 1;
        const std::int32_t *from = (FOUR ? a.offset4 : a.offset8) + (x[t] * groups + first) * each;
        return _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(lanes((groups - first) * each), from));
    }

    // The weights of a group as bytes, 64 that meet the first activations and 64 that meet the others.
    template <bool FOUR> static void take(const char *at, __m512i &first, __m512i &second) {
        const __m512i nibble = _mm512_set1_epi8(15), bytes = _mm512_loadu_si512(at);
        first = FOUR ? _mm512_and_si512(bytes, nibble) : bytes;
        second = FOUR ? _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble) : _mm512_loadu_si512(at + 64);
    }

    static __m512i dot(__m512i first, __m512i second, __m512i before, __m512i behind) {
        return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), first, before), second, behind);
    }

    // Eight bits and one activation, which stays in registers, times the rows up to `end`: they are read one after another, as
    // one stream, and the fewer instructions lie between two reads, the more reads are under way.
    template <i64 GROUPS> void alone(i64 end) const {
        static_assert(GROUPS <= AT_ONCE<false>);
        __m512i xs[2 * GROUPS];
#pragma GCC unroll 32
        for (i64 half = 0; half < 2 * GROUPS; ++half)
            xs[half] = _mm512_loadu_si512(a.small + x[0] * GROUPS * GROUP + 64 * half);
        const __m512 scales = activation_scales<false>(0, 0), offset = offsets<false>(0, 0);
        const char *at = w[0];
        const std::uint16_t *own = static_cast<const std::uint16_t *>(m.scales) + row_of[0] * GROUPS;
        for (i64 row = row_of[0]; row < end; row += ROWS) {
            __m512 sums[ROWS];
#pragma GCC unroll 4
            for (i64 r = 0; r < ROWS; ++r, own += GROUPS) {
                const __m512 factors = _mm512_mul_ps(load16(own, lanes(GROUPS)), scales);
                __m512 sum = _mm512_mul_ps(offset, factors);
#pragma GCC unroll 16
                for (i64 g = 0; g < GROUPS; ++g, at += GROUP) {
                    _mm_prefetch(at + AHEAD, _MM_HINT_T1);
                    _mm_prefetch(at + AHEAD + 64, _MM_HINT_T1);
                    const __m512i dots = dot(_mm512_loadu_si512(at), _mm512_loadu_si512(at + 64), xs[2 * g], xs[2 * g + 1]);
                    const __m512 factor = _mm512_permutexvar_ps(_mm512_set1_epi32(int(g)), factors);
                    sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), factor, sum);
                }
                sums[r] = sum;
            }
            _mm_storeu_ps(out + row - row_of[0], across(sums[0], sums[1], sums[2], sums[3]));
        }
    }

    template <bool FOUR> static __m512 factor_of(const float *factors, i64 g) {
        if (FOUR) return _mm512_broadcast_f32x4(_mm_load_ps(factors + g * 4));
        return _mm512_set1_ps(factors[g]);
    }

    template <bool FOUR> void run_few_bits() const {
        const i64 groups = padded(m.columns) / GROUP, before = ahead() * m.stride;
        fetch_scales(groups * (FOUR ? 8 : 2));
        alignas(64) float factors[ROWS][T][16];
        __m512 sums[ROWS][T] = {};
        for (i64 start = 0; start < groups; start += AT_ONCE<FOUR>) {
            __m512 ws[ROWS];
#pragma GCC unroll 4
            for (i64 r = 0; r < ROWS; ++r) ws[r] = row_scales<FOUR>(r, start);
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t) {
                const __m512 xs = activation_scales<FOUR>(t, start), offset = offsets<FOUR>(t, start);
#pragma GCC unroll 4
                for (i64 r = 0; r < ROWS; ++r) {
                    const __m512 factor = _mm512_mul_ps(ws[r], xs);
                    sums[r][t] = _mm512_fmadd_ps(offset, factor, sums[r][t]);
                    _mm512_store_ps(factors[r][t], factor);
                }
            }
            for (i64 g = start; g < std::min(start + AT_ONCE<FOUR>, groups); ++g) {
                __m512i first[ROWS], second[ROWS];
#pragma GCC unroll 4
                for (i64 r = 0; r < ROWS; ++r) {
                    const char *at = w[r] + g * BYTES<FOUR>;
                    for (i64 byte = 0; byte < BYTES<FOUR>; byte += 64) _mm_prefetch(at + before + byte, _MM_HINT_T1);
                    take<FOUR>(at, first[r], second[r]);
                }
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) {
                    const std::int8_t *xs = a.small + (x[t] * groups + g) * GROUP;
                    const __m512i ahead = _mm512_loadu_si512(xs), behind = _mm512_loadu_si512(xs + 64);
#pragma GCC unroll 4
                    for (i64 r = 0; r < ROWS; ++r) {
                        const __m512 dots = _mm512_cvtepi32_ps(dot(first[r], second[r], ahead, behind));
                        sums[r][t] = _mm512_fmadd_ps(dots, factor_of<FOUR>(factors[r][t], g - start), sums[r][t]);
                    }
                }
            }
        }
        store(sums);
    }

    // The rows up to `end` where there is a way to take them at once; whether there was.
    bool run_rows(i64 end) const {
        const i64 groups = padded(m.columns) / GROUP;
        if (m.format != INT8 || end % ROWS || m.stride != groups * GROUP) return false;
        // The released model's widths but one, which is only met once; others are not worth a function each.
        if (groups == 7) return alone<7>(end), true;
        if (groups == 10) return alone<10>(end), true;
        if (groups == 14) return alone<14>(end), true;
        return false;
    }

    void run_int8() const { run_few_bits<false>(); }
    void run_int4() const { run_few_bits<true>(); }

    // One row after another for a single activation: memory is then read in one stream. Bfloat16 without instructions for
    // it takes so much arithmetic that rows side by side, which do not wait for each other's sums, are faster all the same.
    void run_bfloat16() const {
        __m512 sums[ROWS][T];
        if (T > 1 || !MULTIPLIES_BFLOAT16) bfloat16_rows<ROWS>(0, sums);
        else
            for (i64 r = 0; r < ROWS; ++r) bfloat16_rows<1>(r, sums);
        store(sums);
    }
};
