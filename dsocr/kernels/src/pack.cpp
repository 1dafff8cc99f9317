// Weights to 12, 8 or 4 bits, in the layouts that decoder.cpp multiplies with (described in twelve.h and quantise.py).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "twelve.h"

namespace {

constexpr float TINY = 6.103515625e-5f;  // the least number a half holds in full

inline float number(const void *row, i64 column, i64 is_bfloat16) {
    if (!is_bfloat16) return static_cast<const float *>(row)[column];
    return widen(static_cast<const std::uint16_t *>(row)[column]);
}

// To the nearest half, ties to even.
std::uint16_t to_half(float value) {
    if (value < 0) return std::uint16_t(to_half(-value) | 0x8000);
    if (value >= 65520.0f) return 0x7c00;
    if (value < TINY) return std::uint16_t(std::nearbyintf(value * 16777216.0f));
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    bits += 0xfff + ((bits >> 13) & 1);
    return std::uint16_t((bits >> 13) - (112 << 10));
}

float largest(const float *x, i64 count) {
    float most = 0;
#pragma omp simd reduction(max : most)
    for (i64 k = 0; k < count; ++k) most = std::max(most, std::fabs(x[k]));
    return most;
}

// The number farthest from zero, the first of several.
float extreme(const float *x, i64 count) {
    float most = 0, least = 0;
#pragma omp simd reduction(max : most) reduction(min : least)
    for (i64 k = 0; k < count; ++k) most = x[k] > most ? x[k] : most, least = x[k] < least ? x[k] : least;
    if (most != -least) return most > -least ? most : least;
    for (i64 k = 0; k < count; ++k)
        if (std::fabs(x[k]) == most) return x[k];
    return 0;
}

void round_to(const float *x, i64 count, float scale, float least, float most, std::int32_t *out) {
    if (scale == 0) scale = 1;
    for (i64 k = 0; k < count; ++k) out[k] = std::int32_t(std::min(most, std::max(least, std::nearbyintf(x[k] / scale))));
}

}  // namespace

extern "C" {

void pack_int8(const void *weight, i64 is_bfloat16, i64 rows, i64 columns, std::uint8_t *data, std::uint16_t *scales, i64 threads);
void pack_int4(
    const void *weight, i64 is_bfloat16, i64 rows, i64 columns, std::uint8_t *data, std::uint16_t *scales, i64 threads);
void pack_twelve(const std::uint16_t *weight, i64 rows, i64 columns, std::uint8_t *data, std::uint32_t *marks, i64 threads);
void list_twelve(
    const std::uint16_t *weight, i64 rows, i64 columns, const std::uint32_t *marks, std::uint32_t *list, i64 threads);
}

namespace {

// Calls work(row, chunk, the chunk's 128 numbers) for each chunk of each row.
template <class Work> void chunks(const void *weight, i64 is_bfloat16, i64 rows, i64 columns, i64 threads, Work work) {
    const i64 count = padded(columns) / GROUP;
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (i64 row = 0; row < rows; ++row) {
        const char *at = static_cast<const char *>(weight) + row * columns * (is_bfloat16 ? 2 : 4);
        for (i64 chunk = 0; chunk < count; ++chunk) {
            float x[GROUP] = {};
            const i64 start = chunk * GROUP, used = std::min(GROUP, columns - start);
            for (i64 k = 0; k < used; ++k) x[k] = number(at, start + k, is_bfloat16);
            work(row, row * count + chunk, x);
        }
    }
}

}  // namespace

void pack_int8(
    const void *weight, i64 is_bfloat16, i64 rows, i64 columns, std::uint8_t *data, std::uint16_t *scales, i64 threads) {
    chunks(weight, is_bfloat16, rows, columns, threads, [=](i64, i64 at, const float *x) {
        std::int32_t rounded[GROUP];
        scales[at] = narrow(largest(x, GROUP) / 127);
        round_to(x, GROUP, widen(scales[at]), -127, 127, rounded);
        for (i64 k = 0; k < GROUP; ++k) data[at * GROUP + k] = std::uint8_t(rounded[k] + 128);
    });
}

void pack_int4(
    const void *weight, i64 is_bfloat16, i64 rows, i64 columns, std::uint8_t *data, std::uint16_t *scales, i64 threads) {
    chunks(weight, is_bfloat16, rows, columns, threads, [=](i64, i64 at, const float *x) {
        std::int32_t rounded[GROUP];
        for (i64 group = 0; group < 4; ++group) {
            scales[at * 4 + group] = to_half(extreme(x + group * 32, 32) / -8);
            round_to(x + group * 32, 32, half_to_float(scales[at * 4 + group]), -8, 7, rounded + group * 32);
        }
        for (i64 k = 0; k < GROUP / 2; ++k) {
            const std::int32_t *first = rounded + k / 4 % 4 * 32 + k / 16 * 4 + k % 4;
            data[at * GROUP / 2 + k] = std::uint8_t((first[0] + 8) | ((first[16] + 8) << 4));
        }
    });
}

namespace {

// A number's exponent but for its last bit.
inline std::uint32_t pair_of(std::uint16_t number) { return number >> 8 & 127; }

// Whether it is neither 0 nor one of the seven values behind the base.
inline bool is_listed(std::uint16_t number, std::uint32_t base) {
    const std::uint32_t pair = pair_of(number);
    return pair != 0 && pair - base - 1 > 6u;
}

// The base that reaches the row's largest number.
std::uint32_t highest_base(const std::uint16_t *x, i64 columns) {
    std::uint16_t most = 0;
    for (i64 k = 0; k < columns; ++k) most = std::max(most, std::uint16_t(x[k] & 0x7fff));
    return pair_of(most) > 7 ? pair_of(most) - 7 : 0;
}

// The base that leaves the fewest numbers out.
std::uint32_t best_base(const std::uint16_t *x, i64 columns) {
    i64 of_pair[128] = {}, inside = 0, best = -1;
    for (i64 k = 0; k < columns; ++k) ++of_pair[pair_of(x[k])];
    for (std::uint32_t pair = 1; pair < 7; ++pair) inside += of_pair[pair];
    std::uint32_t base = 0;
    for (std::uint32_t from = 0; from <= 120; ++from) {
        inside += of_pair[from + 7] - (from ? of_pair[from] : 0);
        if (inside > best) best = inside, base = from;
    }
    return base;
}

// 128 columns to 192 bytes; how many of them are left to the list.
#ifdef __AVX512BW__
i64 pack_group(const std::uint16_t *x, std::uint32_t base, std::uint8_t *to) {
    const __m512i byte = _mm512_set1_epi16(255), none = _mm512_setzero_si512();
    __m512i codes[2];
    i64 listed = 0;
    for (i64 half = 0; half < 2; ++half) {
        const __m512i first = _mm512_loadu_si512(x + 64 * half), second = _mm512_loadu_si512(x + 64 * half + 32);
        const __m512i lower = _mm512_packus_epi16(_mm512_and_si512(first, byte), _mm512_and_si512(second, byte));
        const __m512i upper = _mm512_packus_epi16(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8));
        const __m512i pair = _mm512_and_si512(upper, _mm512_set1_epi8(127));
        const __m512i code = _mm512_sub_epi8(pair, _mm512_set1_epi8(char(base)));
        const __mmask64 is_zero = _mm512_cmpeq_epi8_mask(pair, none);
        const __mmask64 fits = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(code, _mm512_set1_epi8(1)), _mm512_set1_epi8(7));
        _mm512_storeu_si512(to + 64 * half, _mm512_maskz_mov_epi8(fits | is_zero, lower));
        const __m512i sign = _mm512_and_si512(_mm512_srli_epi16(upper, 4), _mm512_set1_epi8(8));
        codes[half] = _mm512_maskz_mov_epi8(fits | is_zero, _mm512_or_si512(sign, _mm512_maskz_mov_epi8(fits, code)));
        listed += 64 - __builtin_popcountll(fits | is_zero);
    }
    _mm512_storeu_si512(to + GROUP, _mm512_or_si512(codes[0], _mm512_slli_epi16(codes[1], 4)));
    return listed;
}
#else
i64 pack_group(const std::uint16_t *x, std::uint32_t base, std::uint8_t *to) {
    std::uint8_t codes[GROUP];
    i64 listed = 0;
    for (i64 k = 0; k < GROUP; ++k) {
        const i64 at = k / 64 * 64 + k % 32 / 8 * 16 + k % 64 / 32 * 8 + k % 8;
        const bool out = is_listed(x[k], base);
        const std::uint32_t pair = pair_of(x[k]), code = pair ? pair - base : 0;
        to[at] = out ? 0 : std::uint8_t(x[k]);
        codes[at] = out ? 0 : std::uint8_t(x[k] >> 15 << 3 | code);
        listed += out;
    }
    for (i64 k = 0; k < 64; ++k) to[GROUP + k] = std::uint8_t(codes[k] | codes[64 + k] << 4);
    return listed;
}
#endif

i64 pack_row(const std::uint16_t *x, i64 columns, std::uint32_t base, std::uint8_t *to) {
    i64 listed = 0;
    for (i64 k = 0; k < padded(columns); k += GROUP, to += ROWS * Twelve::BYTES) {
        std::uint16_t last[GROUP] = {};  // of a row that ends within a group
        if (k + GROUP > columns) std::copy(x + k, x + columns, last);
        listed += pack_group(k + GROUP > columns ? last : x + k, base, to);
    }
    return listed;
}

}  // namespace

// marks [rows padded to fours + 1]: each row's base above the bit Twelve::BASE, and how many of its numbers are listed. Of
// the bases it is the highest, unless that leaves more than a 64th of the row to the list.
void pack_twelve(const std::uint16_t *weight, i64 rows, i64 columns, std::uint8_t *data, std::uint32_t *marks, i64 threads) {
    const i64 wide = padded(columns), padded_rows = (rows + ROWS - 1) / ROWS * ROWS;
    std::fill(marks + rows, marks + padded_rows + 1, 0);
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (i64 row = 0; row < padded_rows; ++row) {
        std::uint8_t *to = data + (row / ROWS * ROWS * wide / GROUP + row % ROWS) * Twelve::BYTES;
        if (row >= rows) {
            for (i64 k = 0; k < wide; k += GROUP, to += ROWS * Twelve::BYTES) std::memset(to, 0, Twelve::BYTES);
            continue;
        }
        const std::uint16_t *x = weight + row * columns;
        std::uint32_t base = highest_base(x, columns);
        i64 listed = pack_row(x, columns, base, to);
        if (listed * 64 > columns) base = best_base(x, columns), listed = pack_row(x, columns, base, to);
        marks[row] = base << Twelve::BASE | std::uint32_t(listed);
    }
}

// The numbers that are listed, each behind its column; marks tell by now where each row's begin.
void list_twelve(
    const std::uint16_t *weight, i64 rows, i64 columns, const std::uint32_t *marks, std::uint32_t *list, i64 threads) {
    constexpr std::uint32_t BELOW = (1u << Twelve::BASE) - 1;
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (i64 row = 0; row < rows; ++row) {
        const std::uint16_t *x = weight + row * columns;
        const std::uint32_t base = marks[row] >> Twelve::BASE, *end = list + (marks[row + 1] & BELOW);
        std::uint32_t *to = list + (marks[row] & BELOW);
        for (i64 first = 0; to != end && first < columns; first += 32) {
            const i64 behind = std::min(first + 32, columns);
            bool any = false;  // most often none is, which a compiler sees of all at once
            for (i64 k = first; k < behind; ++k) any |= is_listed(x[k], base);
            for (i64 k = first; any && k < behind; ++k)
                if (is_listed(x[k], base)) *to++ = std::uint32_t(k) << 16 | x[k];
        }
    }
}
