// Attention over a sheet (sheet_attention.cpp) on tiles of bfloat16.
//
// Keys go down and queries across, so that what belongs to a query lies in one lane and no sum runs across a vector.
// While the weights of one chunk of keys are made on the vectors, the logits of the next are multiplied on the tiles.

#pragma once

#include "amx.h"

#ifdef HAS_TILES

#include "sheets.h"

namespace {

// What one thread needs: packed forms of the tables and of one head of one window, and the state of a block of queries.
template <int DIM>
class TileWorker {
   public:
    explicit TileWorker(const Sheets &sheets)
        : s(sheets),
          whole(round_up(s.keys())),
          stride(whole + BLOCK),  // rows of 2^n bytes would share a few lines of cache
          keys(whole * DIM),
          values(DIM * stride),
          queries(2 * BLOCK * DIM),
          asked(2 * BLOCK * DIM),
          row_words(round_up(2 * s.window_rows - 1) * DIM),
          column_words(round_up(2 * s.window_columns - 1) * DIM),
          products((BLOCK + 1) * round_up(2 * std::max(s.window_rows, s.window_columns) - 1)),
          row_bias(round_up(s.window_rows) * BLOCK),
          column_bias(round_up(s.window_columns) * BLOCK),
          logits(2 * CHUNK * BLOCK),
          weights(CHUNK * BLOCK),
          sums(DIM * BLOCK) {
        set_up_tiles();
        if (!s.row_table) return;  // then what is added stays 0
        pack_table<DIM>(s.row_table, s.window_rows, words(row_words, 0));
        pack_table<DIM>(s.column_table, s.window_columns, words(column_words, 0));
    }

    ~TileWorker() { put_tiles_away(); }

    void attend(const Item &item) {
        item.all_places(1, places);
        for (i64 at = 0; at < s.keys(); at++) std::copy_n(places[at], DIM, keys.data() + at * DIM);
        item.all_places(2, places);
        pack_values();
        ask(item, item.first, 0);
        for (i64 at = 0; at < std::min(CHUNK, whole); at += BLOCK) score(at, 0, at, 0);
        i64 who = 0, now = 0;  // whose turn of two blocks of queries it is, and of two chunks of logits
        for (i64 first = item.first; first < item.last; first += BLOCK, who = 1 - who) {
            const i64 count = std::min(BLOCK, item.last - first);
            const bool others = first + BLOCK < item.last;
            if (others) ask(item, first + BLOCK, 1 - who);
            if (s.row_table) find_biases(who);
            for (int side = 0; side < 2; side++) greatest[side] = _mm512_set1_ps(NEVER), totals[side] = _mm512_setzero_ps();
            for (i64 start = 0; start < s.keys(); start += CHUNK, now = 1 - now) {
                const i64 many = std::min(CHUNK, s.keys() - start);
                join_biases(start, many, now);
                const bool ends = start + CHUNK >= s.keys();  // then the next chunk is the first one of other queries
                const i64 next = ends ? 0 : start + CHUNK, whose = ends ? 1 - who : who;
                for (i64 at = 0; at < CHUNK; at += BLOCK) {
                    if (at < many) make_weights(at, std::min(BLOCK, many - at), now);
                    if ((others || !ends) && next + at < whole) score(next + at, whose, at, 1 - now);
                }
                gather(start, many);
            }
            for (i64 side = 0; side * LANES < count; side++) write(item, side, std::min(LANES, count - side * LANES), who);
        }
    }

   private:
    static constexpr i64 BLOCK = 32;   // queries, and keys, that are multiplied together
    static constexpr i64 CHUNK = 256;  // keys between two corrections of the softmax

    static i64 round_up(i64 count) { return (count + BLOCK - 1) / BLOCK * BLOCK; }

    static std::uint32_t *words(Room<bf16> &room, i64 at) { return reinterpret_cast<std::uint32_t *>(room.data() + at); }

    // Values with a key a column: [dim, whole].
    void pack_values() {
        auto wide = [&](i64 key, i64 start) {
            if (key >= s.keys()) return _mm512_setzero_si512();
            return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(places[key] + start)));
        };
        for (i64 key = 0; key < whole; key += BLOCK)
            for (i64 start = 0; start < DIM; start += LANES) {
                __m512i square[LANES];
                for (i64 i = 0; i < LANES; i++) {
                    const __m512i odd = _mm512_slli_epi32(wide(key + 2 * i + 1, start), 16);
                    square[i] = _mm512_or_si512(wide(key + 2 * i, start), odd);
                }
                transpose(square);
                for (i64 i = 0; i < LANES; i++)
                    _mm512_store_si512(values.data() + (start + i) * stride + key, square[i]);
            }
    }

    // Makes a block of queries ready, the `who`th of two; the last query fills it up.
    void ask(const Item &item, i64 first, i64 who) {
        bf16 *const rows = queries.data() + who * BLOCK * DIM;
        for (i64 i = 0; i < BLOCK; i++) {
            const i64 query = std::min(first + i, item.last - 1), across = item.columns_within();
            at_row[who][i] = query / across, at_column[who][i] = query % across;
            std::copy_n(item.place(at_row[who][i], at_column[who][i], 0), DIM, rows + i * DIM);
        }
        pack_rows([=](i64 i) { return rows + i * DIM; }, BLOCK, DIM / 2, words(asked, who * BLOCK * DIM));
    }

    // Logits of a block of keys: [32 keys, 32 queries].
    TILES void score(i64 key, i64 who, i64 at, i64 turn) {
        const bf16 *const first = asked.data() + who * BLOCK * DIM;
        float *const to = logits.data() + (turn * CHUNK + at) * BLOCK;
        multiply_block(keys.data() + key * DIM, DIM * 2, first, first + LANES * DIM, DIM, to);
    }

    void find_biases(i64 who) {
        find_bias(who, row_words, s.window_rows, at_row[who], row_bias.data());
        find_bias(who, column_words, s.window_columns, at_column[who], column_bias.data());
    }

    // Products of a block of queries with a table, as powers of two: [keys' rows or columns, 32 queries].
    TILES void find_bias(i64 who, const Room<bf16> &table, i64 side, const i64 *own, float *bias) {
        const i64 entries = round_up(2 * side - 1);
        const bf16 *const rows = queries.data() + who * BLOCK * DIM;
        for (i64 at = 0; at < entries; at += BLOCK) {
            const bf16 *const first = table.data() + at * DIM;
            multiply_block(rows, DIM * 2, first, first + LANES * DIM, DIM, products.data() + at, entries);
        }
        ALL_IS_WRITTEN;
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

    // Completes the logits of a chunk, as powers of two; what was gathered is scaled to their greatest.
    void join_biases(i64 start, i64 many, i64 turn) {
        const __m512 scale = _mm512_set1_ps(LOG2_E / std::sqrt(static_cast<float>(DIM)));
        __m512 most[2] = {greatest[0], greatest[1]};
        float *at = logits.data() + turn * CHUNK * BLOCK;
        i64 y = start / s.window_columns, x = start % s.window_columns;
        for (i64 left = many; left > 0; y++, x = 0) {
            const i64 few = std::min(left, s.window_columns - x);
            const __m512 first = _mm512_load_ps(row_bias.data() + y * BLOCK);
            const __m512 second = _mm512_load_ps(row_bias.data() + y * BLOCK + LANES);
            const float *column = column_bias.data() + x * BLOCK;
            for (i64 i = 0; i < few; i++, at += BLOCK, column += BLOCK) {
                const __m512 one = _mm512_add_ps(first, _mm512_load_ps(column));
                const __m512 other = _mm512_add_ps(second, _mm512_load_ps(column + LANES));
                const __m512 logit = _mm512_fmadd_ps(_mm512_load_ps(at), scale, one);
                const __m512 twin = _mm512_fmadd_ps(_mm512_load_ps(at + LANES), scale, other);
                _mm512_store_ps(at, logit);
                _mm512_store_ps(at + LANES, twin);
                most[0] = _mm512_max_ps(most[0], logit);
                most[1] = _mm512_max_ps(most[1], twin);
            }
            left -= few;
        }
        for (int side = 0; side < 2; side++) {
            const __m512 less = power_of_two(_mm512_sub_ps(greatest[side], most[side]));
            greatest[side] = most[side];
            totals[side] = _mm512_mul_ps(totals[side], less);
            if (start == 0) continue;
            for (i64 row = 0; row < DIM; row++) {
                float *const sum = sums.data() + row * BLOCK + side * LANES;
                _mm512_store_ps(sum, _mm512_mul_ps(_mm512_load_ps(sum), less));
            }
        }
    }

    // Logits of a block of keys → weights, a pair of keys together: [2 x 16 queries, 16 pairs, 16 queries].
    void make_weights(i64 at, i64 many, i64 turn) {
        const __m512i order = _mm512_add_epi16(  // 0, 16, 1, 17, ...
            _mm512_cvtepu16_epi32(_mm256_set_epi16(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)),
            _mm512_slli_epi32(_mm512_add_epi32(lanes(), _mm512_set1_epi32(16)), 16));
        const float *const from = logits.data() + (turn * CHUNK + at) * BLOCK;
        bf16 *const to = weights.data() + at * BLOCK;
        for (int side = 0; side < 2; side++) {
            const __m512 most = greatest[side];
            __m512 even_sum = totals[side], odd_sum = _mm512_setzero_ps();
            for (i64 row = 0; row < BLOCK; row += 2) {
                const float *const here = from + row * BLOCK + side * LANES;
                __m512 even = _mm512_setzero_ps(), odd = even;
                if (row < many) even = power_of_two(_mm512_sub_ps(_mm512_load_ps(here), most));
                if (row + 1 < many) odd = power_of_two(_mm512_sub_ps(_mm512_load_ps(here + BLOCK), most));
                even_sum = _mm512_add_ps(even_sum, even);
                odd_sum = _mm512_add_ps(odd_sum, odd);
                const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
                _mm512_store_si512(to + side * LANES * BLOCK + row * LANES, _mm512_permutexvar_epi16(order, both));
            }
            totals[side] = _mm512_add_ps(even_sum, odd_sum);
        }
    }

    // Adds the values of a chunk of keys, weighted: [dim, 32 queries].
    TILES void gather(i64 start, i64 many) {
        ALL_IS_WRITTEN;
        for (i64 row = 0; row < DIM; row += BLOCK) {
            float *const sum = sums.data() + row * BLOCK;
            if (start == 0) {
                _tile_zero(0);
                _tile_zero(1);
                _tile_zero(2);
                _tile_zero(3);
            } else {
                LOAD(0, sum, 128);
                LOAD(1, sum + LANES, 128);
                LOAD(2, sum + LANES * BLOCK, 128);
                LOAD(3, sum + LANES * BLOCK + LANES, 128);
            }
            const bf16 *value = values.data() + row * stride + start, *weight = weights.data();
            for (i64 at = 0; at < many; at += BLOCK, value += BLOCK, weight += BLOCK * BLOCK) {
                LOAD(4, value, stride * 2);
                LOAD(5, value + LANES * stride, stride * 2);
                LOAD(6, weight, 64);
                LOAD(7, weight + LANES * BLOCK, 64);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
            STORE(0, sum, 128);
            STORE(1, sum + LANES, 128);
            STORE(2, sum + LANES * BLOCK, 128);
            STORE(3, sum + LANES * BLOCK + LANES, 128);
        }
        ALL_IS_WRITTEN;
    }

    void write(const Item &item, i64 side, i64 count, i64 who) {
        const __m512 share = _mm512_div_ps(_mm512_set1_ps(1), totals[side]);
        for (i64 start = 0; start < DIM; start += LANES) {
            __m512i square[LANES];
            for (i64 i = 0; i < LANES; i++) {
                const __m512 sum = _mm512_load_ps(sums.data() + (start + i) * BLOCK + side * LANES);
                square[i] = _mm512_castps_si512(_mm512_mul_ps(sum, share));
            }
            transpose(square);
            for (i64 i = 0; i < count; i++) {
                const i64 query = side * LANES + i;
                bf16 *const to = item.attended(at_row[who][query], at_column[who][query]) + start;
                const __m256i mean = (__m256i)_mm512_cvtneps_pbh(_mm512_castsi512_ps(square[i]));
                _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), mean);
            }
        }
    }

    const Sheets &s;
    const i64 whole, stride;
    Room<bf16> keys, values, queries, asked, row_words, column_words;
    Room<float> products, row_bias, column_bias, logits;
    Room<bf16> weights;
    Room<float> sums;
    std::vector<const bf16 *> places;
    i64 at_row[2][BLOCK], at_column[2][BLOCK];
    __m512 greatest[2], totals[2];
};

}  // namespace

#endif
