// 512-bit vectors: sixteen floats, read from floats or bfloat16, and summed.

#pragma once

#include <immintrin.h>

#include <cstdint>

// Bytes between what is multiplied and what is fetched of one long stream. Zen 4 was slower from 2 KB on, Emerald Rapids half as
// fast again at 4 KB as at 1.
static const std::int64_t AHEAD = (__builtin_cpu_init(), __builtin_cpu_is("intel")) ? 4096 : 1024;

// The sums across the lanes of four vectors, side by side.
inline __m128 across(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 first = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 second = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(first, second, 0x44), _mm512_shuffle_ps(first, second, 0xee));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

inline __mmask16 lanes(std::int64_t left) { return left >= 16 ? 0xffff : __mmask16((1u << left) - 1); }

// Of 32, of which none may be left.
inline __mmask32 lanes32(std::int64_t left) { return left >= 32 ? 0xffffffffu : left > 0 ? (1u << left) - 1 : 0; }

inline __m512 load16(const float *at) { return _mm512_loadu_ps(at); }
inline __m512 load16(const float *at, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, at); }

inline __m512 widen16(__m256i half) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16)); }
inline __m512 load16(const std::uint16_t *at) { return widen16(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(at))); }
inline __m512 load16(const std::uint16_t *at, __mmask16 mask) { return widen16(_mm256_maskz_loadu_epi16(mask, at)); }
