// Attention over a sheet (sheet_attention.cpp) in floats, on vectors of whatever width there is.
//
// A row of keys begins with a vector of its own; what is left of its last vector are keys that are never chosen. So a window
// of a single column costs as much as one of a vector's width.

#pragma once

#include <cmath>
#include <vector>

#include "numbers.h"
#include "sheets.h"

namespace {
namespace floats {  // whose short names other files have for vectors of their own

#ifdef __AVX512F__
constexpr i64 WIDE = 16;      // floats in a vector
constexpr int ABREAST = 4;    // vectors that meet the same queries at once
#else
constexpr i64 WIDE = 8;
constexpr int ABREAST = 2;
#endif

typedef float Floats __attribute__((vector_size(WIDE * 4)));
typedef std::uint32_t Words __attribute__((vector_size(WIDE * 4)));

inline Floats load(const float *at) {
    Floats all;
    std::memcpy(&all, at, sizeof all);
    return all;
}

inline void store(float *at, Floats all) { std::memcpy(at, &all, sizeof all); }

inline Floats greater(Floats a, Floats b) { return a > b ? a : b; }

inline float as_float(float number) { return number; }
inline float as_float(bf16 number) { return widen(number); }
inline void put(float *at, float number) { *at = number; }
inline void put(bf16 *at, float number) { *at = narrow(number); }

// 2^x to 2e-7 for x of 0 or less: the whole part goes into the exponent, a polynomial (Taylor's) takes the rest. What is
// not a number stays none.
inline Floats power_of_two(Floats x) {
    const Floats least = Floats{} - 126.0f, round = Floats{} + 12582912.0f;  // 1.5 · 2^23
    const Floats there = x < least ? least : x, shifted = there + round, rest = there - (shifted - round);
    Floats sum = rest * 1.5403530e-4f + 1.3333558e-3f;
    sum = sum * rest + 9.6181291e-3f;
    sum = sum * rest + 5.5504109e-2f;
    sum = sum * rest + 0.24022651f;
    sum = sum * rest + 0.69314718f;
    sum = sum * rest + 1.0f;
    const Floats power = (Floats)((Words)sum + ((Words)shifted << 23));
    return x == x ? power : x;
}

// What one thread needs: packed forms of the tables and of one head of one window, and the state of some queries.
template <class Number, int DIM>
class Worker {
   public:
    explicit Worker(const Sheets<Number> &sheets)
        : s(sheets),
          row_vectors(vectors_in(s.window_columns)),
          key_vectors(row_vectors * s.window_rows),
          row_entries(whole(2 * s.window_rows - 1)),
          column_entries(whole(2 * s.window_columns - 1)),
          row_table(row_entries * DIM),
          column_table(column_entries * DIM),
          keys(whole(key_vectors * WIDE) * DIM),
          values(key_vectors * WIDE * DIM),
          row_bias(TILE * row_entries),
          products(TOGETHER * column_entries),
          column_bias(TILE * row_vectors * WIDE) {
        if (!s.row_table) return;
        pack_table(s.row_table, s.window_rows, row_table.data());
        pack_table(s.column_table, s.window_columns, column_table.data());
    }

    void attend(const Item<Number> &item) {
        for (i64 y = 0; y < s.window_rows; y++)
            for (i64 x = 0; x < s.window_columns; x++) {
                const Number *key = item.place(y, x, 1), *value = item.place(y, x, 2);
                const i64 at = y * row_vectors * WIDE + x;
                pack(key, at, keys.data());
                for (i64 d = 0; d < DIM; d++) values[at * DIM + d] = as_float(value[d]);
            }
        for (i64 first = item.first; first < item.last; first += TILE)
            attend_tile(item, first, std::min(TILE, item.last - first));
    }

   private:
    static constexpr i64 TILE = 48;           // queries that go through the keys together
    static constexpr int TOGETHER = 6;        // queries in registers at once
    static constexpr i64 BLOCK = 256 / WIDE;  // vectors of keys between two corrections of the softmax
    static constexpr int OUT = std::min<int>(ABREAST, DIM / WIDE);  // vectors of sums in registers

    static i64 vectors_in(i64 count) { return (count + WIDE - 1) / WIDE; }

    // As many places as whole steps over vectors take.
    static i64 whole(i64 count) { return (vectors_in(count) + ABREAST - 1) / ABREAST * ABREAST * WIDE; }

    // A row, to its place among those of its vector: [vectors][DIM][WIDE].
    static void pack(const Number *row, i64 at, float *packed) {
        float *to = packed + at / WIDE * DIM * WIDE + at % WIDE;
        for (i64 d = 0; d < DIM; d++) to[d * WIDE] = as_float(row[d]);
    }

    // A table of distances, reversed, so that the row for key k and query q stands at k + (side - 1 - q).
    static void pack_table(const Number *table, i64 side, float *packed) {
        for (i64 at = 0; at < 2 * side - 1; at++) pack(table + (2 * side - 2 - at) * DIM, at, packed);
    }

    void attend_tile(const Item<Number> &item, i64 first, i64 count) {
        const i64 across = item.columns_within();
        for (i64 i = 0; i < (count + TOGETHER - 1) / TOGETHER * TOGETHER; i++) {
            const i64 query = first + std::min(i, count - 1);  // the last one fills up the last six
            at_row[i] = query / across, at_column[i] = query % across;
            const Number *const place = item.place(at_row[i], at_column[i], 0);
            for (i64 d = 0; d < DIM; d++) queries[i * DIM + d] = as_float(place[d]);
            greatest[i] = NEVER, totals[i] = Floats{};
        }
        std::fill(sums, sums + TILE * DIM, 0.0f);
        for (i64 i = 0; i < count; i += TOGETHER) find_biases(i);
        for (i64 start = 0; start < key_vectors; start += BLOCK)
            for (i64 i = 0; i < count; i += TOGETHER) {
                const i64 many = std::min(BLOCK, key_vectors - start);
                make_logits(i, start, many);
                for (i64 each = 0; each < TOGETHER; each++) make_weights(i + each, each, many);
                gather(i, start, many);
            }
        for (i64 i = 0; i < count; i++) {
            float total = 0;
            for (i64 lane = 0; lane < WIDE; lane++) total += totals[i][lane];
            Number *const to = item.attended(at_row[i], at_column[i]);
            for (i64 d = 0; d < DIM; d++) put(to + d, sums[i * DIM + d] / total);
        }
    }

    // Products with every row of both tables, as powers of two; of the columns' those of the query's own distances.
    void find_biases(i64 first) {
        if (s.row_table) {  // else they stay 0
            multiply_table(first, row_table, row_bias.data() + first * row_entries, row_entries);
            multiply_table(first, column_table, products.data(), column_entries);
        }
        for (i64 i = 0; i < TOGETHER; i++) {
            const float *const from = products.data() + i * column_entries + s.window_columns - 1 - at_column[first + i];
            float *const to = column_bias.data() + (first + i) * row_vectors * WIDE;
            std::copy_n(from, s.window_columns, to);
            std::fill(to + s.window_columns, to + row_vectors * WIDE, NEVER);
        }
    }

    void multiply_table(i64 first, const std::vector<float> &table, float *to, i64 entries) {
        multiply_all(first, table.data(), vectors_in(entries), [=](i64 vector, const Floats(&found)[TOGETHER]) {
            for (int i = 0; i < TOGETHER; i++) store(to + i * entries + vector * WIDE, found[i] * LOG2_E);
        });
    }

    // The products of six queries with packed rows: `take(vector, products)` gets those of one vector with each query.
    template <class Take>
    void multiply_all(i64 first, const float *rows, i64 vectors, Take take) const {
        const float *const together = queries + first * DIM;
        for (i64 at = 0; at < vectors; at += ABREAST) {  // what lies behind the last vector is multiplied and left
            Floats found[ABREAST][TOGETHER] = {};
            const float *row = rows + at * DIM * WIDE;
            for (i64 d = 0; d < DIM; d++, row += WIDE) {
                Floats each[ABREAST];
#pragma GCC unroll 4
                for (int n = 0; n < ABREAST; n++) each[n] = load(row + n * DIM * WIDE);
#pragma GCC unroll 6
                for (int i = 0; i < TOGETHER; i++)
#pragma GCC unroll 4
                    for (int n = 0; n < ABREAST; n++) found[n][i] += each[n] * together[i * DIM + d];
            }
#pragma GCC unroll 4
            for (int n = 0; n < ABREAST; n++)
                if (at + n < vectors) take(at + n, found[n]);
        }
    }

    // Logits of six queries and a block of keys, as powers of two.
    [[gnu::noinline]] void make_logits(i64 first, i64 start, i64 many) {
        const float scale = LOG2_E / std::sqrt(static_cast<float>(DIM));
        const float *by_row[TOGETHER], *by_column = column_bias.data() + first * row_vectors * WIDE;
        for (i64 i = 0; i < TOGETHER; i++)
            by_row[i] = row_bias.data() + (first + i) * row_entries + s.window_rows - 1 - at_row[first + i];
        i64 row = start / row_vectors, column = start % row_vectors;
        multiply_all(first, keys.data() + start * DIM * WIDE, many, [&](i64 vector, const Floats(&found)[TOGETHER]) {
#pragma GCC unroll 6
            for (int i = 0; i < TOGETHER; i++) {
                const Floats bias = load(by_column + (i * row_vectors + column) * WIDE) + by_row[i][row];
                store(logits + (i * BLOCK + vector) * WIDE, found[i] * scale + bias);
            }
            if (++column == row_vectors) column = 0, row++;
        });
    }

    // Logits → weights, relative to the greatest so far; what was summed before is scaled to match.
    [[gnu::noinline]] void make_weights(i64 query, i64 row, i64 many) {
        float *const own = logits + row * BLOCK * WIDE;
        Floats most = Floats{} + greatest[query];
        for (i64 at = 0; at < many; at++) most = greater(most, load(own + at * WIDE));
        float now = most[0];
        for (i64 lane = 1; lane < WIDE; lane++) now = std::max(now, most[lane]);
        shrink[row] = power_of_two(Floats{} + (greatest[query] - now))[0];
        Floats total = totals[query] * shrink[row];
        for (i64 at = 0; at < many; at++) {
            const Floats weight = power_of_two(load(own + at * WIDE) - now);
            store(own + at * WIDE, weight);
            total += weight;
        }
        totals[query] = total;
        greatest[query] = now;
    }

    // Adds the values of a block of keys, weighted, to the sums of six queries.
    [[gnu::noinline]] void gather(i64 first, i64 start, i64 many) {
        for (i64 d = 0; d < DIM; d += OUT * WIDE) {
            Floats parts[TOGETHER][OUT] = {};  // of this block alone: one sum over all keys would be less exact
            float *const own = sums + first * DIM + d;
            const float *value = values.data() + start * WIDE * DIM + d;
            for (i64 key = 0; key < many * WIDE; key++, value += DIM) {
                Floats each[OUT];
#pragma GCC unroll 4
                for (int n = 0; n < OUT; n++) each[n] = load(value + n * WIDE);
#pragma GCC unroll 6
                for (int i = 0; i < TOGETHER; i++)
#pragma GCC unroll 4
                    for (int n = 0; n < OUT; n++) parts[i][n] += each[n] * logits[i * BLOCK * WIDE + key];
            }
#pragma GCC unroll 6
            for (int i = 0; i < TOGETHER; i++)
#pragma GCC unroll 4
                for (int n = 0; n < OUT; n++) {
                    float *const sum = own + i * DIM + n * WIDE;
                    store(sum, load(sum) * shrink[i] + parts[i][n]);
                }
        }
    }

    const Sheets<Number> &s;
    const i64 row_vectors, key_vectors, row_entries, column_entries;
    std::vector<float> row_table, column_table, keys, values, row_bias, products, column_bias;
    alignas(64) float queries[TILE * DIM];
    alignas(64) float logits[TOGETHER * BLOCK * WIDE];
    alignas(64) float sums[TILE * DIM];
    Floats totals[TILE];
    i64 at_row[TILE], at_column[TILE];
    float greatest[TILE], shrink[TOGETHER];
};

}  // namespace floats
}  // namespace
