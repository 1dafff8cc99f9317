// Attention over a sheet of places, in windows, whose logits gain q·R for the row distance and q·R for the column
// distance.
//
// That bias is as large as the attention matrix. Neither is ever stored: a few queries meet a block of keys at a time,
// the bias joins their logits, and the softmax is corrected from block to block. Here it is done on vectors of bfloat16,
// in sheet_floats.h on floats, in sheet_tiles.h on tiles. Keys lie in sixteens, row after row of the window without gaps,
// so that a vector may hold the end of one row and the next.

#include <cmath>

#include "numbers.h"
#include "sheet_floats.h"
#include "sheet_tiles.h"
#include "sheets.h"

namespace {

constexpr i64 ITEMS_PER_THREAD = 4;  // at least, so that none waits long for the last

#ifdef __AVX512BF16__

constexpr i64 TILE = 48;         // queries that go through the keys together
constexpr int TOGETHER = 6;      // queries in registers at once
constexpr i64 BLOCK = 32;        // vectors of keys between two corrections of the softmax

using Products = __m512[TOGETHER];

// 2^x to 3e-6 for x of 0 or less: the whole part goes into the exponent, a polynomial takes the rest.
inline __m512 exp2(__m512 x) {
    const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 rest = _mm512_sub_ps(x, whole);
    __m512 y = _mm512_set1_ps(0.00957007f);
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(0.05591781f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(0.24024745f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(0.69312182f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(0.99999926f));
    return _mm512_scalef_ps(y, whole);
}

inline __m512 dot(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

inline __m512i pair(const bf16 *at) { return _mm512_set1_epi32(*reinterpret_cast<const std::int32_t *>(at)); }

// Values as [pairs of keys][dim][2], so that a pair of weights meets a pair of values.
void pack_values(const std::vector<const bf16 *> &places, i64 dim, std::vector<std::uint32_t> &packed) {
    const i64 keys = static_cast<i64>(places.size()), padded = vectors_for(keys) * LANES;
    packed.resize(padded / 2 * dim);
    auto wide = [](const bf16 *from) {
        return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)));
    };
    const __m512i none = _mm512_setzero_si512();
    for (i64 at = 0; at < padded; at += 2)
        for (i64 start = 0; start < dim; start += LANES) {
            const __m512i even = at < keys ? wide(places[at] + start) : none;
            const __m512i odd = at + 1 < keys ? wide(places[at + 1] + start) : none;
            const __m512i both = _mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
            _mm512_storeu_si512(packed.data() + at / 2 * dim + start, both);
        }
}

// The products of six queries, one after another, with N vectors of packed rows from number `at` on:
// `take(vector, products)` gets those of one vector with each query.
template <int DIM, int N, typename Take>
inline void multiply(const bf16 *queries, const std::uint32_t *rows, i64 at, Take take) {
    __m512 sums[N][TOGETHER];
    for (auto &sum : sums)
        for (auto &part : sum) part = _mm512_setzero_ps();
    rows += at * DIM / 2 * LANES;
    for (i64 p = 0; p < DIM / 2; p++) {
        __m512i vectors[N];
        for (int n = 0; n < N; n++) vectors[n] = _mm512_loadu_si512(rows + (n * DIM / 2 + p) * LANES);
        for (int i = 0; i < TOGETHER; i++) {
            const __m512i query = pair(queries + i * DIM + 2 * p);
            for (int n = 0; n < N; n++) sums[n][i] = dot(sums[n][i], query, vectors[n]);
        }
    }
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) take(at + n, sums[n]);
}

// The same with any number of vectors.
template <int DIM, typename Take>
inline void multiply_all(const bf16 *queries, const std::uint32_t *rows, i64 vectors, Take take) {
    i64 at = 0;
    for (; at + 4 <= vectors; at += 4) multiply<DIM, 4>(queries, rows, at, take);
    for (; at + 2 <= vectors; at += 2) multiply<DIM, 2>(queries, rows, at, take);
    if (at < vectors) multiply<DIM, 1>(queries, rows, at, take);
}

// What one thread needs: packed forms of the tables and of one head of one window, and the state of a tile of queries.
template <int DIM>
class Worker {
   public:
    explicit Worker(const Sheets<bf16> &sheets)
        : s(sheets),
          key_vectors(vectors_for(s.keys())),
          row_stride((vectors_for(2 * s.window_rows - 1) + 1) * LANES),
          column_stride((vectors_for(2 * s.window_columns - 1) + 1) * LANES),
          turn_stride(s.window_columns + LANES),
          row_table(row_stride * DIM / 2),
          column_table(column_stride * DIM / 2),
          keys(key_vectors * LANES * DIM / 2),
          row_bias(TILE * row_stride),
          column_bias(TOGETHER * column_stride),
          turns(TILE * turn_stride),
          start_of_vector(key_vectors),
          row_of_lane(s.window_columns * LANES) {
        if (s.row_table) pack_table<DIM>(s.row_table, s.window_rows, row_table.data());
        if (s.row_table) pack_table<DIM>(s.column_table, s.window_columns, column_table.data());
        for (i64 at = 0; at < key_vectors; at++)
            start_of_vector[at] = {at * LANES / s.window_columns, at * LANES % s.window_columns};
        for (i64 start = 0; start < s.window_columns; start++)
            for (i64 lane = 0; lane < LANES; lane++)
                row_of_lane[start * LANES + lane] = static_cast<std::int32_t>((start + lane) / s.window_columns);
    }

    void attend(const Item<bf16> &item) {
        item.all_places(1, places);
        pack_rows([&](i64 at) { return places[at]; }, s.keys(), DIM / 2, keys.data());
        item.all_places(2, places);
        pack_values(places, DIM, values);
        for (i64 first = item.first; first < item.last; first += TILE)
            attend_tile(item, first, std::min(TILE, item.last - first));
    }

   private:
    void attend_tile(const Item<bf16> &item, i64 first, i64 count) {
        const i64 across = item.columns_within();
        for (i64 i = 0; i < (count + TOGETHER - 1) / TOGETHER * TOGETHER; i++) {
            const i64 query = first + std::min(i, count - 1);  // the last one fills up the last six
            at_row[i] = query / across, at_column[i] = query % across;
            std::copy_n(item.place(at_row[i], at_column[i], 0), DIM, queries + i * DIM);
            greatest[i] = NEVER, totals[i] = 0;
        }
        std::fill(sums, sums + TILE * DIM, 0.0f);
        for (i64 i = 0; s.row_table && i < count; i += TOGETHER) make_biases(i);  // else they stay 0
        for (i64 start = 0; start < key_vectors; start += BLOCK)
            for (i64 i = 0; i < count; i += TOGETHER) {
                const i64 many = std::min(BLOCK, key_vectors - start);
                make_logits(i, start, many);
                for (i64 each = 0; each < TOGETHER; each++) make_weights(i + each, each, many);
                gather(i, start, many);
            }
        for (i64 i = 0; i < count; i++) write(i, item.attended(at_row[i], at_column[i]));
    }

    // Products with every row of both tables; those with the columns are repeated, as the keys go on row after row.
    void make_biases(i64 first) {
        multiply_table(first, row_table, row_bias.data() + first * row_stride, row_stride);
        multiply_table(first, column_table, column_bias.data(), column_stride);
        for (i64 i = 0; i < TOGETHER; i++) {
            const float *from = column_bias.data() + i * column_stride + s.window_columns - 1 - at_column[first + i];
            float *to = turns.data() + (first + i) * turn_stride;
            for (i64 at = 0; at < s.window_columns; at += LANES) {  // what is too much is overwritten below
                const __m512 some = _mm512_loadu_ps(from + at);
                _mm512_mask_storeu_ps(to + at, lanes(turn_stride - at), some);
            }
            for (i64 at = s.window_columns; at < turn_stride; at++) to[at] = to[at - s.window_columns];
        }
    }

    void multiply_table(i64 first, const std::vector<std::uint32_t> &table, float *bias, i64 stride) {
        auto take = [=](i64 vector, const Products &products) {
            for (int i = 0; i < TOGETHER; i++) {
                const __m512 scaled = _mm512_mul_ps(products[i], _mm512_set1_ps(LOG2_E));
                _mm512_storeu_ps(bias + i * stride + vector * LANES, scaled);
            }
        };
        multiply_all<DIM>(queries + first * DIM, table.data(), stride / LANES - 1, take);
    }

    // Logits of six queries and a block of keys, as powers of two.
    [[gnu::noinline]] void make_logits(i64 first, i64 start, i64 many) {
        const __m512 scale = _mm512_set1_ps(LOG2_E / std::sqrt(static_cast<float>(DIM)));
        const float *by_row[TOGETHER], *by_column = turns.data() + first * turn_stride;
        for (i64 i = 0; i < TOGETHER; i++)
            by_row[i] = row_bias.data() + (first + i) * row_stride + s.window_rows - 1 - at_row[first + i];
        auto take = [&](i64 vector, const Products &products) {
            const auto [row, column] = start_of_vector[start + vector];
            const __m512i rows = _mm512_loadu_si512(row_of_lane.data() + column * LANES);
#pragma GCC unroll 6
            for (int i = 0; i < TOGETHER; i++) {
                const __m512 vertical = _mm512_permutexvar_ps(rows, _mm512_loadu_ps(by_row[i] + row));
                const __m512 bias = _mm512_add_ps(vertical, _mm512_loadu_ps(by_column + i * turn_stride + column));
                const __m512 logit = _mm512_fmadd_ps(products[i], scale, bias);
                _mm512_storeu_ps(logits + (i * BLOCK + vector) * LANES, logit);
            }
        };
        multiply_all<DIM>(queries + first * DIM, keys.data() + start * DIM / 2 * LANES, many, take);
        const i64 there = s.keys() - (start + many - 1) * LANES;
        for (i64 i = 0; there < LANES && i < TOGETHER; i++)
            std::fill_n(logits + (i * BLOCK + many - 1) * LANES + there, LANES - there, NEVER);
    }

    // Logits → weights in bf16, relative to the greatest so far; what was summed before is scaled to match.
    [[gnu::noinline]] void make_weights(i64 query, i64 row, i64 many) {
        const float *from = logits + row * BLOCK * LANES;
        bf16 *to = weights + row * BLOCK * LANES;
        __m512 most = _mm512_set1_ps(greatest[query]), total = _mm512_setzero_ps();
        for (i64 at = 0; at < many; at++) most = _mm512_max_ps(most, _mm512_loadu_ps(from + at * LANES));
        const float now = _mm512_reduce_max_ps(most);
        for (i64 at = 0; at < many; at++) {
            const __m512 weight = exp2(_mm512_sub_ps(_mm512_loadu_ps(from + at * LANES), _mm512_set1_ps(now)));
            total = _mm512_add_ps(total, weight);
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + at * LANES), (__m256i)_mm512_cvtneps_pbh(weight));
        }
        shrink[row] = _mm512_cvtss_f32(exp2(_mm512_set1_ps(greatest[query] - now)));
        totals[query] = totals[query] * shrink[row] + _mm512_reduce_add_ps(total);
        greatest[query] = now;
    }

    // Adds the values of a block of keys, weighted, to the sums of six queries.
    [[gnu::noinline]] void gather(i64 first, i64 start, i64 many) {
        constexpr int N = DIM / LANES;
        __m512 parts[TOGETHER][N];
        float *own = sums + first * DIM;
        for (int i = 0; i < TOGETHER; i++)
            for (int n = 0; n < N; n++)
                parts[i][n] = _mm512_mul_ps(_mm512_loadu_ps(own + (i * N + n) * LANES), _mm512_set1_ps(shrink[i]));
        const std::uint32_t *value = values.data() + start * LANES / 2 * DIM;
        for (i64 key = 0; key < many * LANES; key += 2, value += DIM) {
            __m512i vectors[N];
            for (int n = 0; n < N; n++) vectors[n] = _mm512_loadu_si512(value + n * LANES);
            for (int i = 0; i < TOGETHER; i++) {
                const __m512i weight = pair(weights + i * BLOCK * LANES + key);
                for (int n = 0; n < N; n++) parts[i][n] = dot(parts[i][n], weight, vectors[n]);
            }
        }
        for (int i = 0; i < TOGETHER; i++)
            for (int n = 0; n < N; n++) _mm512_storeu_ps(own + (i * N + n) * LANES, parts[i][n]);
    }

    void write(i64 query, bf16 *to) {
        const __m512 share = _mm512_set1_ps(1 / totals[query]);
        for (i64 at = 0; at < DIM; at += LANES) {
            const __m512 mean = _mm512_mul_ps(_mm512_loadu_ps(sums + query * DIM + at), share);
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + at), (__m256i)_mm512_cvtneps_pbh(mean));
        }
    }

    const Sheets<bf16> &s;
    const i64 key_vectors, row_stride, column_stride, turn_stride;
    std::vector<std::uint32_t> row_table, column_table, keys, values;
    std::vector<float> row_bias, column_bias, turns;
    struct Start {
        i64 row, column;
    };
    std::vector<Start> start_of_vector;
    std::vector<std::int32_t> row_of_lane;
    std::vector<const bf16 *> places;
    alignas(64) bf16 queries[TILE * DIM];
    alignas(64) bf16 weights[TOGETHER * BLOCK * LANES];
    alignas(64) float logits[TOGETHER * BLOCK * LANES];
    alignas(64) float sums[TILE * DIM];
    i64 at_row[TILE], at_column[TILE];
    float greatest[TILE], totals[TILE], shrink[TOGETHER];
};

#endif

// Heads of windows; they are cut in pieces where that makes too few items for all threads.
template <class Number>
std::vector<Item<Number>> split(const Sheets<Number> &s, i64 threads) {
    const i64 down = (s.rows + s.window_rows - 1) / s.window_rows;
    const i64 across = (s.columns + s.window_columns - 1) / s.window_columns;
    const i64 whole = s.count * down * across * s.heads, pieces = (ITEMS_PER_THREAD * threads + whole - 1) / whole;
    std::vector<Item<Number>> items;
    for (i64 at = 0; at < whole; at++) {
        const i64 head = at % s.heads, window = at / s.heads % (down * across), sheet = at / s.heads / (down * across);
        const i64 top = window / across * s.window_rows, left = window % across * s.window_columns;
        const i64 queries = std::min(s.window_rows, s.rows - top) * std::min(s.window_columns, s.columns - left);
        for (i64 piece = 0; piece < pieces; piece++) {
            const i64 first = queries * piece / pieces, last = queries * (piece + 1) / pieces;
            if (first < last) items.push_back({s, sheet, top, left, head, first, last});
        }
    }
    return items;
}

template <class OneWorker, class Number>
void attend_all(const Sheets<Number> &sheets, i64 threads) {
    const std::vector<Item<Number>> items = split(sheets, threads);
#pragma omp parallel num_threads(static_cast<int>(threads))
    {
        OneWorker worker(sheets);
#pragma omp for schedule(dynamic)
        for (std::size_t at = 0; at < items.size(); at++) worker.attend(items[at]);
    }
}

template <class Number>
void attend_in_floats(const Sheets<Number> &sheets, i64 threads) {
    if (sheets.dim == 64) attend_all<floats::Worker<Number, 64>>(sheets, threads);
    else if (sheets.dim == 32) attend_all<floats::Worker<Number, 32>>(sheets, threads);
    else attend_all<floats::Worker<Number, 16>>(sheets, threads);
}

}  // namespace

extern "C" {

// Every place attends to its own window.
//
// qkv: bf16 [sheets, rows, columns, 3, heads, dim]; outside: bf16 [3, heads, dim], q, k and v of the places that fill
// up windows below and right of a sheet; row_table, column_table: bf16 [2 · window side - 1, dim], entry a - b + side
// - 1 for a query at a and a key at b, or both null for none; attended: bf16 [sheets, rows, columns, heads, dim]. dim
// is 16, 32 or 64. `tiles`: whether the processor's may be made use of, where it has some.
void sheet_attention(const std::uint16_t *qkv, const std::uint16_t *outside, const std::uint16_t *row_table,
                     const std::uint16_t *column_table, std::uint16_t *attended, std::int64_t sheet_count,
                     std::int64_t rows, std::int64_t columns, std::int64_t window_rows, std::int64_t window_columns,
                     std::int64_t heads, std::int64_t dim, std::int64_t tiles, std::int64_t threads) {
    const Sheets<bf16> sheets = {qkv,  outside, row_table,   column_table,   attended, sheet_count,
                                 rows, columns, window_rows, window_columns, heads,    dim};
#ifdef HAS_TILES
    if (tiles && may_use_tiles() && dim == 64) return attend_all<TileWorker<64>>(sheets, threads);
    if (tiles && may_use_tiles() && dim == 32) return attend_all<TileWorker<32>>(sheets, threads);
#endif
#ifdef __AVX512BF16__
    if (dim == 64) attend_all<Worker<64>>(sheets, threads);
    else if (dim == 32) attend_all<Worker<32>>(sheets, threads);
    else attend_all<Worker<16>>(sheets, threads);
#else
    attend_in_floats(sheets, threads);
#endif
}

// The same of floats, which no tiles multiply.
void sheet_attention_float(const float *qkv, const float *outside, const float *row_table, const float *column_table,
                           float *attended, std::int64_t sheet_count, std::int64_t rows, std::int64_t columns,
                           std::int64_t window_rows, std::int64_t window_columns, std::int64_t heads, std::int64_t dim,
                           std::int64_t threads) {
    attend_in_floats<float>({qkv,  outside, row_table,   column_table,   attended, sheet_count,
                             rows, columns, window_rows, window_columns, heads,    dim},
                            threads);
}

}  // extern "C"
