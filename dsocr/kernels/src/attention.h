// Queries against keys, and values by their weights: what attention is made of. Keys and values are floats or bfloat16.
//
// Each score and each output is summed in an order of its own, whatever else is there.

#pragma once

#include "numbers.h"
#include "tile.h"

#ifdef __AVX512VNNI__
#include "vectors.h"
#endif

constexpr i64 ABREAST = 4;  // heads whose scores are found at once

#ifdef __AVX512VNNI__

template <class Number> inline void fetch(const Number *at) {
    _mm_prefetch(reinterpret_cast<const char *>(at) + AHEAD, _MM_HINT_T1);
}

// scores[n] = queries[n] · keys[n], all of `size` numbers.
template <class Number>
inline void score(const float *const *queries, const Number *const *keys, i64 size, float *scores) {
    __m512 sums[ABREAST] = {};
    for (int n = 0; n < ABREAST; ++n) {
        i64 c = 0;
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
template <class Number> inline void blend(float *out, float weight, const Number *values, i64 size) {
    const __m512 all = _mm512_set1_ps(weight);
    i64 c = 0;
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
inline void score(const float *const *queries, const Number *const *keys, i64 size, float *scores) {
    for (int n = 0; n < ABREAST; ++n) {
        const float *query = queries[n];
        const Number *key = keys[n];
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (i64 c = 0; c < size; ++c) sum += query[c] * value(key[c]);
        scores[n] = sum;
    }
}

template <class Number> inline void blend(float *out, float weight, const Number *values, i64 size) {
#pragma omp simd
    for (i64 c = 0; c < size; ++c) out[c] += weight * value(values[c]);
}

#endif
