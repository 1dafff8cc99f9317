// Weights to 8 or 4 bits, in the layouts that decoder.cpp multiplies with (described in quantise.py).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "numbers.h"

namespace {

using i64 = std::int64_t;

constexpr i64 CHUNK = 128;          // columns are filled up to a multiple of this
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
    for (i64 k = 0; k < count; ++k) most = std::max(most, std::fabs(x[k]));
    return most;
}

// The number farthest from zero, the first of several.
float extreme(const float *x, i64 count) {
    float most = 0;
    for (i64 k = 0; k < count; ++k)
        if (std::fabs(x[k]) > std::fabs(most)) most = x[k];
    return most;
}

void round_to(const float *x, i64 count, float scale, float least, float most, std::int32_t *out) {
    if (scale == 0) scale = 1;
    for (i64 k = 0; k < count; ++k) out[k] = std::int32_t(std::min(most, std::max(least, std::nearbyintf(x[k] / scale))));
}

}  // namespace

extern "C" {

void pack_int8(const void *weight, i64 is_bfloat16, i64 rows, i64 columns, std::uint8_t *data, float *scales, i64 threads);
void pack_int4(
    const void *weight, i64 is_bfloat16, i64 rows, i64 columns, std::uint8_t *data, std::uint16_t *scales, i64 threads);
}

namespace {

// Calls work(row, chunk, the chunk's 128 numbers) for each chunk of each row.
template <class Work> void chunks(const void *weight, i64 is_bfloat16, i64 rows, i64 columns, i64 threads, Work work) {
    const i64 count = (columns + CHUNK - 1) / CHUNK;
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (i64 row = 0; row < rows; ++row) {
        const char *at = static_cast<const char *>(weight) + row * columns * (is_bfloat16 ? 2 : 4);
        for (i64 chunk = 0; chunk < count; ++chunk) {
            float x[CHUNK] = {};
            const i64 start = chunk * CHUNK, used = std::min(CHUNK, columns - start);
            for (i64 k = 0; k < used; ++k) x[k] = number(at, start + k, is_bfloat16);
            work(row, row * count + chunk, x);
        }
    }
}

}  // namespace

void pack_int8(
    const void *weight, i64 is_bfloat16, i64 rows, i64 columns, std::uint8_t *data, float *scales, i64 threads) {
    chunks(weight, is_bfloat16, rows, columns, threads, [=](i64, i64 at, const float *x) {
        std::int32_t rounded[CHUNK];
        scales[at] = largest(x, CHUNK) / 127;
        round_to(x, CHUNK, scales[at], -127, 127, rounded);
        for (i64 k = 0; k < CHUNK; ++k) data[at * CHUNK + k] = std::uint8_t(rounded[k] + 128);
    });
}

void pack_int4(
    const void *weight, i64 is_bfloat16, i64 rows, i64 columns, std::uint8_t *data, std::uint16_t *scales, i64 threads) {
    chunks(weight, is_bfloat16, rows, columns, threads, [=](i64, i64 at, const float *x) {
        std::int32_t rounded[CHUNK];
        for (i64 group = 0; group < 4; ++group) {
            scales[at * 4 + group] = to_half(extreme(x + group * 32, 32) / -8);
            round_to(x + group * 32, 32, half_to_float(scales[at * 4 + group]), -8, 7, rounded + group * 32);
        }
        for (i64 k = 0; k < CHUNK / 2; ++k) {
            const std::int32_t *first = rounded + k / 4 % 4 * 32 + k / 16 * 4 + k % 4;
            data[at * CHUNK / 2 + k] = std::uint8_t((first[0] + 8) | ((first[16] + 8) << 4));
        }
    });
}
