// Queries against keys, and values by their weights: what attention is made of. Keys and values are floats or bfloat16.
//
// Each score and each output is summed in an order of its own, whatever else is there.

#pragma once

#include <cstdint>

#include "numbers.h"

#ifdef __AVX512VNNI__
#include "vectors.h"
#endif

constexpr std::int64_t ABREAST = 4;  // heads whose scores are found at once
constexpr std::int64_t SOON = 1024;   // bytes between what is multiplied and what is fetched

#ifdef __AVX512VNNI__

template <class Number> inline void fetch(const Number *at) {
    _mm_prefetch(reinterpret_cast<const char *>(at) + SOON, _MM_HINT_T1);
}

// scores[n] = queries[n] · keys[n], all of `size` numbers.
template <class Number>
inline void score(const float *const *queries, const Number *const *keys, std::int64_t size, float *scores) {
    __m512 sums[ABREAST] = {};
    for (int n = 0; n < ABREAST; ++n) {
        std::int64_t c = 0;
        for (; c + 16 <= size; c += 16) {
            fetch(keys[n] + c);
            sums[n] = _mm512_fmadd_ps(_mm512_loadu_ps(queries[n] + c), load16(keys[n] + c), sums[n]);
        }
        if (c == size) continue;
        const __mmask16 mask = lanes(size - c);
        sums[n] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, queries[n] + c), load16(keys[n] + c, mask), sums[n]);
    }
    _mm_storeu_ps(scores, across(sums[0], sums[1], sums[2], sums[3]));
}

// out += weight · values
template <class Number> inline void blend(float *out, float weight, const Number *values, std::int64_t size) {
    const __m512 all = _mm512_set1_ps(weight);
    std::int64_t c = 0;
    for (; c + 16 <= size; c += 16) {
        fetch(values + c);
        _mm512_storeu_ps(out + c, _mm512_fmadd_ps(all, load16(values + c), _mm512_loadu_ps(out + c)));
    }
    if (c == size) return;
    const __mmask16 mask = lanes(size - c);
    const __m512 sum = _mm512_fmadd_ps(all, load16(values + c, mask), _mm512_maskz_loadu_ps(mask, out + c));
    _mm512_mask_storeu_ps(out + c, mask, sum);
}

#else

inline float value(float number) { return number; }
inline float value(std::uint16_t number) { return widen(number); }

template <class Number>
inline void score(const float *const *queries, const Number *const *keys, std::int64_t size, float *scores) {
    for (int n = 0; n < ABREAST; ++n) {
        const float *query = queries[n];
        const Number *key = keys[n];
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::int64_t c = 0; c < size; ++c) sum += query[c] * value(key[c]);
        scores[n] = sum;
    }
}

template <class Number> inline void blend(float *out, float weight, const Number *values, std::int64_t size) {
#pragma omp simd
    for (std::int64_t c = 0; c < size; ++c) out[c] += weight * value(values[c]);
}

#endif
