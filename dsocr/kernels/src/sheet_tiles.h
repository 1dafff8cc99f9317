// Attention over a sheet (sheet_attention.cpp) on tiles of bfloat16.

#pragma once

#include "tile_attention.h"

#ifdef HAS_TILES

#include "sheets.h"

namespace {

// What one thread needs: packed forms of the tables, and the state of a block of queries.
template <int DIM>
class TileWorker {
   public:
    explicit TileWorker(const Sheets<bf16> &sheets)
        : s(sheets),
          row_words(Core::round_up(2 * s.window_rows - 1) * DIM),
          column_words(Core::round_up(2 * s.window_columns - 1) * DIM),
          products((BLOCK + 1) * Core::round_up(2 * std::max(s.window_rows, s.window_columns) - 1)),
          row_bias(Core::round_up(s.window_rows) * BLOCK),
          column_bias(Core::round_up(s.window_columns) * BLOCK) {
        set_up_tiles();
        if (!s.row_table) return;  // then what is added stays 0
        pack_table<DIM>(s.row_table, s.window_rows, Core::words(row_words));
        pack_table<DIM>(s.column_table, s.window_columns, Core::words(column_words));
    }

    ~TileWorker() { put_tiles_away(); }

    void attend(const Item<bf16> &item) {
        item.all_places(1, keys);
        item.all_places(2, values);
        core.hold(s.keys(), [&](i64 at) { return keys[at]; }, [&](i64 at) { return values[at]; });
        core.attend(
            item.last - item.first,
            [&](i64 first, i64 who, bf16 *rows) { ask(item, item.first + first, who, rows); },
            [&](i64) { return s.keys(); },
            [&](i64, i64 who, i64 start, i64 many, float *logits, __m512 *most) {
                if (start == 0 && s.row_table) find_biases(who);
                join_biases(start, many, logits, most);
            },
            [&](i64 first, i64 who, int side) { write(item, item.first + first, who, side); });
    }

   private:
    using Core = TileAttention<DIM>;
    static constexpr i64 BLOCK = Core::BLOCK;

    // A block of queries; the last one fills it up.
    void ask(const Item<bf16> &item, i64 first, i64 who, bf16 *rows) {
        for (i64 i = 0; i < BLOCK; i++) {
            const i64 query = std::min(first + i, item.last - 1), across = item.columns_within();
            at_row[who][i] = query / across, at_column[who][i] = query % across;
            std::copy_n(item.place(at_row[who][i], at_column[who][i], 0), DIM, rows + i * DIM);
        }
    }

    void find_biases(i64 who) {
        find_bias(core.queries_of(who), row_words, s.window_rows, at_row[who], row_bias.data());
        find_bias(core.queries_of(who), column_words, s.window_columns, at_column[who], column_bias.data());
    }

    // Products of a block of queries with a table, as powers of two: [keys' rows or columns, 32 queries].
    void find_bias(const bf16 *rows, const Room<bf16> &table, i64 side, const i64 *own, float *bias) {
        const i64 entries = Core::round_up(2 * side - 1);
        for (i64 at = 0; at < entries; at += BLOCK) {
            const bf16 *const first = table.data() + at * DIM;
            multiply_block(rows, DIM * 2, first, first + LANES * DIM, DIM, products.data() + at, entries);
        }
        for (i64 query = 0; query < BLOCK; query += LANES)
            for (i64 at = 0; at < side; at += LANES) {
                __m512i square[LANES];
                for (i64 i = 0; i < LANES; i++)
                    square[i] = _mm512_loadu_si512(products.data() + (query + i) * entries + side - 1 - own[query + i] + at);
                transpose(square);
                for (i64 i = 0; i < LANES; i++) {
                    const __m512 scaled = _mm512_mul_ps(_mm512_castsi512_ps(square[i]), _mm512_set1_ps(LOG2_E));
                    _mm512_store_ps(bias + (at + i) * BLOCK + query, scaled);
                }
            }
    }

    void join_biases(i64 start, i64 many, float *logits, __m512 *most) {
        const __m512 scale = _mm512_set1_ps(LOG2_E / std::sqrt(static_cast<float>(DIM)));
        __m512 high[2] = {most[0], most[1]};
        for (i64 at = 0, y = start / s.window_columns, x = start % s.window_columns; at < many; y++, x = 0) {
            const __m512 first = _mm512_load_ps(row_bias.data() + y * BLOCK);
            const __m512 second = _mm512_load_ps(row_bias.data() + y * BLOCK + LANES);
            for (; x < s.window_columns && at < many; x++, at++) {
                float *const here = logits + at * BLOCK;
                const float *const column = column_bias.data() + x * BLOCK;
                const __m512 one = _mm512_fmadd_ps(_mm512_load_ps(here), scale, _mm512_add_ps(first, _mm512_load_ps(column)));
                const __m512 other = _mm512_fmadd_ps(
                    _mm512_load_ps(here + LANES), scale, _mm512_add_ps(second, _mm512_load_ps(column + LANES)));
                _mm512_store_ps(here, one);
                _mm512_store_ps(here + LANES, other);
                high[0] = _mm512_max_ps(high[0], one);
                high[1] = _mm512_max_ps(high[1], other);
            }
        }
        most[0] = high[0], most[1] = high[1];
    }

    void write(const Item<bf16> &item, i64 first, i64 who, int side) {
        for (i64 start = 0; start < DIM; start += LANES) {
            __m512i square[LANES];
            core.means(side, start, square);
            for (i64 i = side * LANES; i < std::min(item.last - first, (side + 1) * LANES); i++) {
                const __m256i mean = (__m256i)_mm512_cvtneps_pbh(_mm512_castsi512_ps(square[i % LANES]));
                bf16 *const to = item.attended(at_row[who][i], at_column[who][i]) + start;
                _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), mean);
            }
        }
    }

    const Sheets<bf16> &s;
    Core core;
    Room<bf16> row_words, column_words;
    Room<float> products, row_bias, column_bias;
    std::vector<const bf16 *> keys, values;
    i64 at_row[2][BLOCK], at_column[2][BLOCK];
};

}  // namespace

#endif
