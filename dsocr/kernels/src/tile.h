// Weights and activations as the core multiplies them, and the tile that a product is made of.
//
// tile_avx512.h, tile_avx2.h and tile_plain.h have one way each to compute a tile: `Products`, which decoder.cpp runs.

#pragma once

#include <algorithm>
#include <cstdint>

#include "numbers.h"

using i64 = std::int64_t;

// Four bits: 128 columns lie in 64 bytes. Four bytes after four bytes hold the next columns of the first, the second, the
// third and the fourth 32 of them in turn: the lower halves the first 16 of each, the upper halves the others.
// Twelve bits: four rows lie side by side, 128 columns of each in 192 bytes in turn (twelve.h).
enum Format : i64 {
    FLOAT32 = 0,   // float weights, float activations
    WIDENED = 1,   // bfloat16 weights widened to float, float activations: exact
    BFLOAT16 = 2,  // both rounded to bfloat16, products summed in float
    INT8 = 3,      // weights in groups of 128 with a bfloat16 scale, stored + 128; activations likewise
    INT4 = 4,      // weights in groups of 32 with a half scale, stored + 8; activations as for INT8
    TWELVE = 5,    // bfloat16 weights in 12 bits, nothing of them lost; multiplied as BFLOAT16, to the last bit
};

constexpr i64 GROUP = 128;  // columns that share a scale of the activations
constexpr i64 ROWS = 4;     // rows of a matrix that are read side by side
constexpr i64 TOKENS = 4;   // activations that meet them at once
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
constexpr bool PAIRS = true;  // whether activations are kept as pairs too
#else
constexpr bool PAIRS = false;
#endif
// Bytes between what is multiplied and what is fetched of rows side by side (and, with 256-bit vectors, of all).
constexpr i64 FAR_AHEAD = 8192;

struct Matrix {
    const void *data;
    const void *scales;
    i64 rows, columns, stride, format;  // stride: bytes from a row to the next
};

inline i64 padded(i64 columns) { return (columns + GROUP - 1) / GROUP * GROUP; }

// Rows of activations in every form that the matrices of a pass may ask for.
struct Activations {
    i64 columns;
    float *exact;          // [rows, columns]
    std::uint16_t *half;   // [rows, columns]
    float *pairs;          // [rows, columns]: the same as floats, of each 16 the even ones and then the others (AVX2 only)
    std::int8_t *small;    // [rows, padded]
    float *scales;         // [rows, padded / GROUP]
    std::int32_t *offset8; // [rows, padded / GROUP]: what the weights' + 128 adds, to be taken off
    std::int32_t *offset4; // [rows, padded / 32]: what the weights' + 8 adds to each 32 columns, to be taken off
};

// One tile: ROWS rows of a matrix from `row` times `T` rows of activations → out[t * ROWS + r].
// Rows past the matrix's last repeat that one. Each number is one chain of sums over the columns.
template <int T> struct Tile {
    const Matrix &m;
    const Activations &a;
    const char *w[ROWS];
    i64 row_of[ROWS];
    i64 x[T];
    float *out;

    Tile(const Matrix &matrix, i64 row, const Activations &activations, const std::int32_t *tokens, float *to)
        : m(matrix), a(activations), out(to) {
        for (i64 r = 0; r < ROWS; ++r) {
            row_of[r] = std::min(row + r, m.rows - 1);
            w[r] = static_cast<const char *>(m.data) + row_of[r] * m.stride;
        }
        for (int t = 0; t < T; ++t) x[t] = tokens[t];
    }

    // How many rows later the one lies that is fetched while this one is read, where rows are read side by side. Four rows
    // alone are unpacked ones, which lie in a cache.
    i64 ahead() const { return m.rows == ROWS ? 0 : ROWS * (FAR_AHEAD / (ROWS * m.stride) + 1); }
};
