// The sheets that are attended over, in windows, and one head of a window of them.

#pragma once

#include <vector>

#include "squares.h"

namespace {

// The arguments of `sheet_attention`, which describes them; the numbers are bfloat16 or floats.
template <class Number>
struct Sheets {
    const Number *qkv, *outside, *row_table, *column_table;
    Number *attended;
    i64 count, rows, columns, window_rows, window_columns, heads, dim;

    i64 keys() const { return window_rows * window_columns; }
};

// One head of one window of one sheet, and some of its queries.
template <class Number>
struct Item {
    const Sheets<Number> &sheets;
    i64 sheet, top, left, head, first, last;

    i64 columns_within() const { return std::min(sheets.window_columns, sheets.columns - left); }

    // Part 0, 1 or 2 (q, k, v) of a place of the window; below and right of the sheet all places are alike.
    const Number *place(i64 y, i64 x, i64 part) const {
        const Sheets<Number> &s = sheets;
        const i64 within = (part * s.heads + head) * s.dim;
        if (top + y >= s.rows || left + x >= s.columns) return s.outside + within;
        return s.qkv + ((sheet * s.rows + top + y) * s.columns + left + x) * 3 * s.heads * s.dim + within;
    }

    // The same part of all places, row after row.
    void all_places(i64 part, std::vector<const Number *> &places) const {
        places.clear();
        for (i64 y = 0; y < sheets.window_rows; y++)
            for (i64 x = 0; x < sheets.window_columns; x++) places.push_back(place(y, x, part));
    }

    Number *attended(i64 y, i64 x) const {
        const Sheets<Number> &s = sheets;
        return s.attended + (((sheet * s.rows + top + y) * s.columns + left + x) * s.heads + head) * s.dim;
    }
};

#ifdef __AVX512BF16__

// A table of distances, reversed, so that the row for key k and query q stands at k + (side - 1 - q).
template <int DIM>
void pack_table(const bf16 *table, i64 side, std::uint32_t *packed) {
    pack_rows([=](i64 at) { return table + (2 * side - 2 - at) * DIM; }, 2 * side - 1, DIM / 2, packed);
}

#endif

}  // namespace
