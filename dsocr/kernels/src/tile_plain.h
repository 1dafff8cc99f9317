// Tiles in plain C++, for any processor.

#pragma once

#include "tile.h"

template <int T> struct Products : Tile<T> {
    using Tile<T>::Tile, Tile<T>::m, Tile<T>::a, Tile<T>::w, Tile<T>::row_of, Tile<T>::x, Tile<T>::out;

    static constexpr bool STREAMS_TWELVE = false;

    bool run_rows(i64) const { return false; }

    template <class Product> void each(Product product) const {
        for (int t = 0; t < T; ++t)
            for (i64 r = 0; r < ROWS; ++r) out[t * ROWS + r] = product(r, t);
    }

    template <bool WIDE> void run_float() const {
        each([&](i64 r, int t) {
            const float *xs = a.exact + x[t] * a.columns;
            const float *exact = reinterpret_cast<const float *>(w[r]);
            const std::uint16_t *half = reinterpret_cast<const std::uint16_t *>(w[r]);
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (i64 k = 0; k < m.columns; ++k) sum += xs[k] * (WIDE ? widen(half[k]) : exact[k]);
            return sum;
        });
    }

    void run_bfloat16() const {
        each([&](i64 r, int t) {
            const std::uint16_t *xs = a.half + x[t] * a.columns;
            const std::uint16_t *half = reinterpret_cast<const std::uint16_t *>(w[r]);
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (i64 k = 0; k < m.columns; ++k) sum += widen(xs[k]) * widen(half[k]);
            return sum;
        });
    }

    void run_int8() const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        each([&](i64 r, int t) {
            float sum = 0;
            for (i64 g = 0; g < groups; ++g) {
                const std::uint8_t *ws = reinterpret_cast<const std::uint8_t *>(w[r]) + g * GROUP;
                const std::int8_t *xs = a.small + x[t] * wide + g * GROUP;
                std::int32_t dot = a.offset8[x[t] * groups + g];
                for (i64 k = 0; k < GROUP; ++k) dot += std::int32_t(ws[k]) * xs[k];
                const std::uint16_t *scales = static_cast<const std::uint16_t *>(m.scales) + row_of[r] * groups;
                sum += float(dot) * widen(scales[g]) * a.scales[x[t] * groups + g];
            }
            return sum;
        });
    }

    void run_int4() const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        each([&](i64 r, int t) {
            float sum = 0;
            for (i64 g = 0; g < groups; ++g) {
                const std::uint8_t *both = reinterpret_cast<const std::uint8_t *>(w[r]) + g * GROUP / 2;
                const std::int8_t *xs = a.small + x[t] * wide + g * GROUP;
                const std::uint16_t *scales = static_cast<const std::uint16_t *>(m.scales) + (row_of[r] * groups + g) * 4;
                std::int32_t products[GROUP / 2], quarters[16];
                for (i64 k = 0; k < GROUP / 2; ++k) products[k] = (both[k] & 15) * xs[k] + (both[k] >> 4) * xs[GROUP / 2 + k];
                for (i64 k = 0; k < 16; ++k) quarters[k] = products[k] + products[k + 16] + products[k + 32] + products[k + 48];
                float mixed = 0;
                for (i64 part = 0; part < 4; ++part) {
                    std::int32_t dot = a.offset4[(x[t] * groups + g) * 4 + part];
                    for (i64 k = 4 * part; k < 4 * part + 4; ++k) dot += quarters[k];
                    mixed += float(dot) * half_to_float(scales[part]);
                }
                sum += mixed * a.scales[x[t] * groups + g];
            }
            return sum;
        });
    }
};
