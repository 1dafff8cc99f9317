// Bfloat16 in 12 bits. Of a number's sign, 8 bits of exponent and 7 of mantissa, the lower byte stays as it is; of the upper
// one, sign and upper 7 bits of the exponent, a row uses few values: a code of 4 bits tells the sign and one of eight.
// Code 0 is 0, codes 1 to 7 are the seven values behind the row's base, of two exponents each: a factor of 2^14 from the
// smallest number to the largest. What lies outside is listed with its column and reads as 0 before it is put in.
//
// Four rows lie side by side, so that they are read in one stream: 128 columns of the first row, then of the second ...
// Each 128 columns take 192 bytes: 64 lower bytes of the first 64 columns, 64 of the others, and 64 bytes with the codes
// of the first in their lower halves and of the others in their upper ones. Byte 16 l + 8 u + b belongs to column
// 32 u + 8 l + b of its 64: interleaved with their upper bytes the lower ones then are 32 columns in order.

#pragma once

#include <algorithm>
#include <cstring>

#include "tile.h"

#ifdef __AVX512BW__
#include <immintrin.h>
#endif

struct Twelve {
    static constexpr i64 BYTES = GROUP + GROUP / 2;  // of 128 columns of a row
    static constexpr i64 BASE = 24;                  // the bit of a mark where the row's base begins

    const Matrix &m;
    i64 groups;
    const std::uint32_t *marks;  // [rows padded to fours + 1]: where the row's list begins, and its base
    const std::uint32_t *list;   // each the column · 2^16 and the number that reads as 0

    explicit Twelve(const Matrix &matrix)
        : m(matrix), groups(padded(m.columns) / GROUP), marks(static_cast<const std::uint32_t *>(m.scales)),
          list(marks + (m.rows + ROWS - 1) / ROWS * ROWS + 1) {}

    // Its first 128 columns; the next ones lie ROWS · BYTES behind.
    const char *of(i64 row) const {
        return static_cast<const char *>(m.data) + (row / ROWS * groups * ROWS + row % ROWS) * BYTES;
    }
    std::uint8_t base(i64 row) const { return std::uint8_t(marks[row] >> BASE); }
    const std::uint32_t *begin(i64 row) const { return list + (marks[row] & ((1u << BASE) - 1)); }

    // The four rows from `row` on as bfloat16 [ROWS, padded columns].
    void unpack(i64 row, std::uint16_t *to) const {
        for (i64 r = 0; r < ROWS; ++r) {
            std::uint16_t *out = to + r * groups * GROUP;
            unpack_groups(row + r, out);
            for (const std::uint32_t *one = begin(row + r); one < begin(row + r + 1); ++one) out[*one >> 16] = std::uint16_t(*one);
        }
    }

#ifdef __AVX512BW__
    // The upper byte that each code of a row stands for, in every 16 bytes.
    __m512i uppers(i64 row) const {
        const __m128i codes = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -128, -127, -126, -125, -124, -123, -122, -121);
        return _mm512_broadcast_i32x4(_mm_mask_add_epi8(codes, 0xfefe, codes, _mm_set1_epi8(char(base(row)))));
    }

    // 128 columns of a row, in order.
    static void take(const char *at, __m512i upper, __m512i (&out)[4]) {
        const __m512i nibble = _mm512_set1_epi8(15), codes = _mm512_loadu_si512(at + GROUP);
        const __m512i lower[] = {_mm512_loadu_si512(at), _mm512_loadu_si512(at + 64)};
        const __m512i halves[] = {_mm512_and_si512(codes, nibble), _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble)};
        for (int half = 0; half < 2; ++half) {
            const __m512i own = _mm512_shuffle_epi8(upper, halves[half]);
            out[2 * half] = _mm512_unpacklo_epi8(lower[half], own);
            out[2 * half + 1] = _mm512_unpackhi_epi8(lower[half], own);
        }
    }

    // Puts a number of the list into its place of these.
    static void put(std::uint32_t listed, __m512i (&columns)[4]) {
        const i64 lane = (listed >> 16) % GROUP;
        for (i64 part = 0; part < 4; ++part)
            columns[part] = _mm512_mask_set1_epi16(columns[part], lane / 32 == part ? 1u << lane % 32 : 0, short(listed));
    }
#endif

  private:
#ifdef __AVX512BW__
    void unpack_groups(i64 row, std::uint16_t *out) const {
        const __m512i upper = uppers(row);
        const char *at = of(row);
        for (i64 g = 0; g < groups; ++g, at += ROWS * BYTES) {
            __m512i ws[4];
            take(at, upper, ws);
            for (i64 part = 0; part < 4; ++part) _mm512_storeu_si512(out + g * GROUP + 32 * part, ws[part]);
            // The same of the next four rows.
            for (i64 byte = 0; byte < BYTES; byte += 64) _mm_prefetch(at + ROWS * groups * BYTES + byte, _MM_HINT_T1);
        }
    }
#else
    void unpack_groups(i64 row, std::uint16_t *out) const {
        std::uint8_t upper[16];
        for (int code = 0; code < 16; ++code)
            upper[code] = std::uint8_t((code & 8 ? 128 : 0) + (code & 7 ? base(row) + (code & 7) : 0));
        const std::uint8_t *at = reinterpret_cast<const std::uint8_t *>(of(row));
        for (i64 g = 0; g < groups; ++g, at += ROWS * BYTES)
            for (i64 k = 0; k < 64; ++k) {
                const i64 byte = k % 32 / 8 * 16 + k / 32 * 8 + k % 8;
                const std::uint8_t codes = at[GROUP + byte];
                out[g * GROUP + k] = std::uint16_t(upper[codes & 15] << 8 | at[byte]);
                out[g * GROUP + 64 + k] = std::uint16_t(upper[codes >> 4] << 8 | at[64 + byte]);
            }
    }
#endif
};
