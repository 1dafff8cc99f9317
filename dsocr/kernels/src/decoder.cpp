// The decoder's whole pass in one call: rows of several requests in, their hidden states and logits out.
//
// Every number of an answer is summed in an order that depends on neither the other rows of the pass nor the number
// of threads, so a request reads the same alone and in a batch. Weights are streamed once for each pass; activations
// stay float32 between the products and take the form that a matrix asks for just before it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "attention.h"
#include "tile_attention.h"

#ifdef __AVX512VNNI__
#include "tile_avx512.h"
#elif defined(__AVX2__)
#include "tile_avx2.h"
#else
#include "tile_plain.h"
#endif
#include "threads.h"
#include "twelve.h"

extern "C" {

struct FeedForward {
    Matrix gate, up, down;
};

struct Layer {
    const float *attention_norm, *ffn_norm;
    Matrix q, k, v, out;
    FeedForward always;  // the dense network of a layer, or the shared expert
    const float *router;
    const FeedForward *experts;
    i64 expert_count;
};

struct Decoder {
    i64 width, heads, kv_heads, head_dim, layer_count, per_token, renormalise;
    double eps, scale;
    const Layer *layers;
    const float *norm;
    Matrix head, coarse;           // coarse: the head in 4 bits, by which its likeliest rows are found; without data: none
    const float *blur;             // [vocab]: how far off each of its rows is, against the others
    const float *cosines, *sines;  // [places, head_dim / 2]
};

struct Pass {
    i64 rows;
    float *x;                          // [rows, width]: embeddings in, hidden states before the last norm out
    const std::int32_t *positions;     // [rows]: neighbouring rows of one owner are neighbouring places
    const std::int32_t *owners;        // [rows]: which row of tables is theirs
    const std::uint8_t *given;         // [rows]: whether it is of a prompt; nowhere: none is
    const std::uint8_t *exact;         // [rows]: whether each of its logits must be exact; nowhere: all rows' must
    const std::int32_t *tables;        // [sequences, table_width]: the blocks of each sequence
    i64 table_width, blocks, block;    // blocks in the pool, places in a block
    void *keys, *values;               // [layers, blocks, block, kv_heads, head_dim]
    i64 cache_is_bfloat16;
    const std::int32_t *wanted;        // [wanted_count]: rows whose logits are asked for
    i64 wanted_count;
    float *logits;                     // [wanted_count, vocab]
    i64 threads;
    char *scratch;
};

i64 decoder_scratch(const Decoder *decoder, i64 rows, i64 longest, i64 threads);
void decoder_run(const Decoder *decoder, const Pass *pass);
void matrix_product(const Matrix *matrix, const float *x, i64 rows, float *out, char *scratch, i64 threads);
i64 matrix_scratch(const Matrix *matrix, i64 rows);
}

namespace {

// Where a product is made; of each thread its own.
struct Bench {
    float *sums;              // [the larger of ROWS times the activations, and STREAM]
    std::uint16_t *unpacked;  // [ROWS, padded columns]
    // For products on tiles: activations as pairs of numbers, BLOCK rows, and which activations are given and which not.
    std::uint16_t *pairs, *widened;
    std::int32_t *spots[2], *chosen[2];
};

constexpr i64 STREAM = 64;  // rows of a matrix that meet a single activation in one go
constexpr i64 BLOCK = 32;   // rows, and activations, of a product on tiles

// Of a head that is found by its coarse form: how many good rows tell how far off that is, and how many of the best are sure to be
// exact, where nothing is off by more than so many times its spread. Of the rows at most so many are scored twice.
constexpr i64 PEAKS = 48, SURE = 8;
constexpr float TIMES_OFF = 6;
constexpr float MOST_TWICE = 1 / 16.0f;

#ifdef HAS_TILES
constexpr bool USES_TILES = true;
#else
constexpr bool USES_TILES = false;
#endif

i64 whole_blocks(i64 count) { return (count + BLOCK - 1) / BLOCK * BLOCK; }

bool takes_tiles(i64 format, i64 columns) {
    return (format == BFLOAT16 || format == TWELVE || format == INT8) && columns % BLOCK == 0;
}

// Hands out pieces of the scratch, or only counts them when there is none.
struct Shelf {
    char *at;
    i64 used = 0;
    template <class T> T *take(i64 count) {
        T *piece = at ? reinterpret_cast<T *>(at + used) : nullptr;
        used += (count * i64(sizeof(T)) + 127) / 128 * 128;
        return piece;
    }
    Activations activations(i64 rows, i64 columns) {
        const i64 wide = padded(columns);
        Activations a{columns, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
        a.exact = take<float>(rows * columns);
        a.half = take<std::uint16_t>(rows * columns);
        a.pairs = take<float>(PAIRS ? rows * columns : 0);
        a.small = take<std::int8_t>(rows * wide);
        a.scales = take<float>(rows * wide / GROUP);
        a.offset8 = take<std::int32_t>(rows * wide / GROUP);
        a.offset4 = take<std::int32_t>(rows * wide / 32);
        return a;
    }
    // given: at most so many activations of a product go over tiles.
    Bench bench(i64 rows, i64 columns, i64 given) {
        Bench bench{};
        bench.sums = take<float>(std::max(rows * ROWS, STREAM));
        bench.unpacked = take<std::uint16_t>(ROWS * padded(columns));
        if (!given) return bench;
        bench.pairs = take<std::uint16_t>(whole_blocks(given) * columns);
        bench.widened = take<std::uint16_t>(BLOCK * padded(columns));
        for (int mark = 0; mark < 2; ++mark)
            bench.spots[mark] = take<std::int32_t>(given), bench.chosen[mark] = take<std::int32_t>(given);
        return bench;
    }
};

// One group to 8 bits, with what the weights' offsets add to its products.
void quantise_group(const float *x, std::int8_t *small, float &scale, std::int32_t &offset) {
    float most = 0, nothing = 0;  // nothing, unless there is what is no number
#pragma omp simd reduction(max : most) reduction(+ : nothing)
    for (i64 k = 0; k < GROUP; ++k) most = std::max(most, std::fabs(x[k])), nothing += x[k] * 0;
    const float inverse = most > 1e-30f && nothing == 0 ? 127 / most : 0;
    std::int32_t rounded[GROUP], sum = 0;
#pragma omp simd reduction(+ : sum)
    for (i64 k = 0; k < GROUP; ++k) sum += rounded[k] = nearest(inverse == 0 ? 0 : x[k] * inverse);
#pragma omp simd
    for (i64 k = 0; k < GROUP; ++k) small[k] = std::int8_t(rounded[k]);
    scale = most / 127 + nothing;
    offset = -128 * sum;
}

// For weights of 4 bits: the columns of a group in the order of those weights (tile.h), and their sums.
void reorder_group(std::int8_t *small, std::int32_t *offset) {
    std::int32_t in_order[GROUP / 4], reordered[GROUP / 4];  // four columns each
    std::memcpy(in_order, small, GROUP);
    for (i64 part = 0; part < 4; ++part) {
        std::int32_t sum = 0;
        for (i64 k = 32 * part; k < 32 * part + 32; ++k) sum += small[k];
        offset[part] = -8 * sum;
    }
    for (i64 at = 0; at < GROUP / 8; ++at) {
        reordered[at] = in_order[at % 4 * 8 + at / 4];
        reordered[at + GROUP / 8] = in_order[at % 4 * 8 + at / 4 + 4];
    }
    std::memcpy(small, reordered, GROUP);
}

void quantise_row(const Activations &a, i64 row, bool reordered) {
    const i64 wide = padded(a.columns);
    const float *x = a.exact + row * a.columns;
    for (i64 start = 0; start < wide; start += GROUP) {
        const i64 at = row * wide + start;
        float last[GROUP] = {};  // of a row that ends within a group
        if (start + GROUP > a.columns) std::copy(x + start, x + a.columns, last);
        quantise_group(start + GROUP > a.columns ? last : x + start, a.small + at, a.scales[at / GROUP], a.offset8[at / GROUP]);
        if (reordered) reorder_group(a.small + at, a.offset4 + at / 32);
    }
}

// The form of row `row` that a matrix of `format` multiplies; `exact` must be filled.
void prepare(const Activations &a, i64 row, i64 format) {
    if (format == INT8 || format == INT4) quantise_row(a, row, format == INT4);
    if (format != BFLOAT16 && format != TWELVE) return;
    const float *x = a.exact + row * a.columns;
    std::uint16_t *half = a.half + row * a.columns;
    for (i64 k = 0; k < a.columns; ++k) half[k] = narrow(x[k]);
    if (!PAIRS) return;
    float *pairs = a.pairs + row * a.columns;
    for (i64 k = 0; k + 16 <= a.columns; k += 16)
        for (i64 n = 0; n < 8; ++n) pairs[k + n] = widen(half[k + 2 * n]), pairs[k + 8 + n] = widen(half[k + 2 * n + 1]);
}

// The same for a row that goes over tiles if it is `given` and the matrix takes them.
void prepare(const Activations &a, i64 row, i64 format, bool given) {
    prepare(a, row, given && takes_tiles(format, a.columns) ? i64(BFLOAT16) : format);
}

template <int T> void run(const Products<T> &tile) {
    if constexpr (Products<T>::STREAMS_TWELVE)
        if (tile.m.format == TWELVE) return tile.run_twelve();
    switch (tile.m.format) {
        case FLOAT32: return tile.template run_float<false>();
        case WIDENED: return tile.template run_float<true>();
        case BFLOAT16: return tile.run_bfloat16();
        case INT8: return tile.run_int8();
        default: return tile.run_int4();
    }
}

// ROWS rows of a matrix times the activations in `tokens` → out[t * ROWS + r].
void four_rows(const Matrix &m, i64 row, const Activations &a, const std::int32_t *tokens, i64 count, const Bench &bench,
               float *out) {
    if (m.format == TWELVE && !(count <= TOKENS && Products<1>::STREAMS_TWELVE)) {
        Twelve(m).unpack(row, bench.unpacked);
        const Matrix wide{bench.unpacked, nullptr, ROWS, m.columns, padded(m.columns) * 2, BFLOAT16};
        return four_rows(wide, 0, a, tokens, count, bench, out);
    }
    for (; count >= TOKENS; count -= TOKENS, tokens += TOKENS, out += TOKENS * ROWS)
        run(Products<TOKENS>(m, row, a, tokens, out));
    if (count == 3) run(Products<3>(m, row, a, tokens, out));
    if (count == 2) run(Products<2>(m, row, a, tokens, out));
    if (count == 1) run(Products<1>(m, row, a, tokens, out));
}

#ifdef HAS_TILES
// One row, or with 12 bits four, as bfloat16; 8 bits times their scale are rounded to it.
void widen_row(const Matrix &m, i64 row, std::uint16_t *to) {
    const i64 wide = padded(m.columns);
    const char *const from = static_cast<const char *>(m.data) + row * m.stride;
    if (m.format == BFLOAT16) std::memcpy(to, from, m.columns * 2);
    else if (m.format == TWELVE && row % ROWS == 0) Twelve(m).unpack(row, to);
    if (m.format != INT8) return;
    const std::uint16_t *const scales = static_cast<const std::uint16_t *>(m.scales) + row * (wide / GROUP);
    const std::uint8_t *const bytes = reinterpret_cast<const std::uint8_t *>(from);
    for (i64 start = 0; start < wide; start += GROUP) {
        const __m512 scale = _mm512_set1_ps(widen(scales[start / GROUP])), zero = _mm512_mul_ps(scale, _mm512_set1_ps(-128));
        const auto scaled = [&](i64 k) {
            const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes + k));
            return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(some)), scale, zero);
        };
        for (i64 k = start; k < start + GROUP; k += 32)
            _mm512_storeu_si512(to + k, (__m512i)_mm512_cvtne2ps_pbh(scaled(k + 16), scaled(k)));
    }
}

// As `multiply`, 32 rows and 32 activations at a time.
template <class Keep>
void multiply_on_tiles(const Matrix &m, i64 first, i64 end, const Activations &a, const std::int32_t *tokens, i64 count,
                       const Bench &bench, Keep keep) {
    const i64 wide = padded(m.columns);
    for (i64 group = 0; group < whole_blocks(count) / 16; ++group) {
        std::uint16_t *const to = bench.pairs + group * m.columns * 16;
        const auto half_of = [&](i64 i) { return a.half + tokens[group * 16 + i] * m.columns; };
        const i64 few = std::min<i64>(count - group * 16, 16);
        if (few > 0) pack_rows(half_of, few, m.columns / 2, reinterpret_cast<std::uint32_t *>(to));
        else std::fill(to, to + m.columns * 16, std::uint16_t(0));
    }
    alignas(64) float sums[BLOCK * BLOCK], turned[BLOCK * BLOCK];
    for (i64 row = first; row < end; row += BLOCK) {
        const i64 here = std::min(BLOCK, end - row);
        const std::uint16_t *from = reinterpret_cast<const std::uint16_t *>(static_cast<const char *>(m.data) + row * m.stride);
        i64 stride = m.stride;
        if (m.format != BFLOAT16 || here < BLOCK) {
            for (i64 r = 0; r < here; ++r) widen_row(m, row + r, bench.widened + r * wide);
            from = bench.widened, stride = wide * 2;
        }
        for (i64 t = 0; t < count; t += BLOCK) {
            const std::uint16_t *const pair = bench.pairs + t * m.columns;
            multiply_block(from, stride, pair, pair + 16 * m.columns, m.columns, sums);
            for (i64 r = 0; r < BLOCK; r += LANES)
                for (i64 n = 0; n < BLOCK; n += LANES) {
                    __m512i square[LANES];
                    for (i64 i = 0; i < LANES; ++i) square[i] = _mm512_load_si512(sums + (r + i) * BLOCK + n);
                    transpose(square);
                    for (i64 i = 0; i < LANES; ++i) _mm512_store_si512(turned + (n + i) * BLOCK + r, square[i]);
                }
            for (i64 n = 0; n < std::min(BLOCK, count - t); ++n) {
                const float *const own = turned + n * BLOCK;
                if (here == BLOCK)  // so many in any case: a compiler takes them at once
                    for (i64 r = 0; r < BLOCK; ++r) keep(t + n, row + r, own[r]);
                else
                    for (i64 r = 0; r < here; ++r) keep(t + n, row + r, own[r]);
            }
        }
    }
}
#endif

// keep(t, row, sum) for each number of the rows from `first` to `end` times the activations in `tokens`.
template <class Keep>
void multiply(const Matrix &m, i64 first, i64 end, const Activations &a, const std::int32_t *tokens, i64 count,
              const Bench &bench, Keep keep) {
    const i64 step = count == 1 ? STREAM : ROWS;
    for (i64 row = first; row < end; row += step) {
        const i64 rows = std::min(step, end - row);
        if (count != 1) four_rows(m, row, a, tokens, count, bench, bench.sums);
        else if (!Products<1>(m, row, a, tokens, bench.sums).run_rows(row + rows))
            for (i64 r = 0; r < rows; r += ROWS) four_rows(m, row + r, a, tokens, 1, bench, bench.sums + r);
        if (rows == ROWS)  // so many in any case: a compiler takes them at once
            for (i64 t = 0; t < count; ++t)
                for (i64 r = 0; r < ROWS; ++r) keep(t, row + r, bench.sums[t * ROWS + r]);
        else
            for (i64 t = 0; t < count; ++t)
                for (i64 r = 0; r < rows; ++r) keep(t, row + r, bench.sums[t * ROWS + r]);
    }
}

// The same for the activations that `given` marks, on tiles where there are any: what a row comes to depends on whether it
// is of a prompt, but never on the others.
template <class Keep>
void multiply_marked(const Matrix &m, i64 first, i64 end, const Activations &a, const std::int32_t *tokens,
                     const std::uint8_t *given, i64 count, const Bench &bench, Keep keep) {
#ifdef HAS_TILES
    if (given && takes_tiles(m.format, m.columns)) {
        i64 counts[2] = {};
        for (i64 t = 0; t < count; ++t) {
            const bool mark = given[t];
            bench.spots[mark][counts[mark]] = std::int32_t(t);
            bench.chosen[mark][counts[mark]++] = tokens[t];
        }
        const std::int32_t *other = bench.spots[0], *own = bench.spots[1];
        if (counts[1])
            multiply_on_tiles(m, first, end, a, bench.chosen[1], counts[1], bench,
                              [=](i64 t, i64 row, float sum) { keep(own[t], row, sum); });
        if (counts[0])
            multiply(m, first, end, a, bench.chosen[0], counts[0], bench,
                     [=](i64 t, i64 row, float sum) { keep(other[t], row, sum); });
        return;
    }
#endif
    multiply(m, first, end, a, tokens, count, bench, keep);
}

// The coarse logits of one row of activations in; exact ones out wherever a row of the head could be among the likeliest.
class Sieve {
  public:
    static i64 blocks(const Matrix &head) { return (head.rows + STREAM - 1) / STREAM; }
    static i64 fours(const Matrix &head) { return (head.rows + ROWS - 1) / ROWS; }

    Sieve(const Matrix &head, const float *blur, const Activations &a, std::int32_t token, float *logits, const Bench &bench)
        : head(head), blur(blur), a(a), token(token), own(logits), bench(bench) {
        std::fill(best, best + SURE, -INFINITY);
    }

    // Whether that could be done: else so many rows could be, or something is no number, that all are to be multiplied.
    // peaks: room for 2 · blocks; found: for the fours of the head.
    bool run(float *peaks, std::int32_t *found) {
        find_peaks(peaks, found);
        const i64 few = count;
        score(found, 0);
        // What could still be as good as the best, were it off by six times as much as these were.
        const float least = *std::min_element(best, best + SURE), reach = TIMES_OFF * std::sqrt(off / float(scored));
        const i64 most = i64(float(fours(head)) * MOST_TWICE);
        i64 known = 0;
        for (i64 first = 0; first < head.rows; first += STREAM) {
            const i64 end = std::min(first + STREAM, head.rows);
            if (!beyond(first, end, least, reach)) continue;
            while (known < few && found[known] < first) ++known;
            for (i64 row = first; row < end; row += ROWS) {
                if (known < few && found[known] == row) ++known;
                else if (beyond(row, std::min(row + ROWS, end), least, reach)) found[count++] = std::int32_t(row);
            }
            if (count - few > most) return false;
        }
        score(found, few);
        return true;
    }

  private:
    const Matrix &head;
    const float *blur;
    const Activations &a;
    const std::int32_t token;
    float *own;
    const Bench &bench;
    float best[SURE], off = 0;
    i64 count = 0, scored = 0;

    // The fours that hold the PEAKS best blocks' best.
    void find_peaks(float *peaks, std::int32_t *found) {
        float *const sorted = peaks + blocks(head);
        for (i64 at = 0; at < blocks(head); ++at) {
            float most = -INFINITY;
#pragma omp simd reduction(max : most)
            for (i64 row = at * STREAM; row < std::min((at + 1) * STREAM, head.rows); ++row) most = own[row] > most ? own[row] : most;
            peaks[at] = sorted[at] = most;
        }
        const i64 last = std::min(PEAKS, blocks(head)) - 1;
        std::nth_element(sorted, sorted + last, sorted + blocks(head), [](float x, float y) { return x > y; });
        const auto is_good = [least = sorted[last]](float logit) { return logit >= least; };
        for (i64 at = 0; at < blocks(head); ++at)
            for (i64 row = at * STREAM; is_good(peaks[at]) && row < std::min((at + 1) * STREAM, head.rows); row += ROWS)
                if (std::any_of(own + row, own + std::min(row + ROWS, head.rows), is_good)) found[count++] = std::int32_t(row);
    }

    // Whether any of these rows could be above `least`, or is no number.
    bool beyond(i64 first, i64 end, float least, float reach) const {
        int many = 0;
#pragma omp simd reduction(+ : many)
        for (i64 row = first; row < end; ++row) many += !(own[row] + reach * blur[row] <= least);
        return many;
    }

    // Multiplies the fours from number `first` on, and sees how far off they were.
    void score(const std::int32_t *found, i64 first) {
        for (i64 at = first; at < count; ++at) {
            const i64 row = found[at], next = found[std::min(at + 2, count - 1)];
            const char *const ahead = static_cast<const char *>(head.data) + next * head.stride;
            for (i64 byte = 0; byte < std::min(ROWS, head.rows - next) * head.stride; byte += 64) __builtin_prefetch(ahead + byte, 0, 2);
            four_rows(head, row, a, &token, 1, bench, bench.sums);
            for (i64 r = 0; r < std::min(ROWS, head.rows - row); ++r, ++scored) {
                const float wrong = (bench.sums[r] - own[row + r]) / blur[row + r];
                off += wrong * wrong;
                own[row + r] = bench.sums[r];
                float *const worst = std::min_element(best, best + SURE);
                *worst = std::max(*worst, bench.sums[r]);
            }
        }
    }
};

// So many floats or a few more: rows of them then begin at like addresses, and no compiler sums one in another order.
inline i64 whole_lines(i64 count) { return (count + 31) / 32 * 32; }

inline float silu(float x) { return x / (1 + power_of_e(-x)); }

// A feed-forward network with the rows that go through it; a pass through a layer is a list of these.
struct Errand {
    const FeedForward *network;
    i64 first, count;  // of its rows among all (row, network) pairs of the layer
};

struct Stretch {
    i64 first, count;  // rows
};

struct Worker {
    const Decoder &d;
    const Pass &p;
    Activations normed, attended, inner;
    float *q, *k, *v, *answers, *weights, *scores;
    std::int32_t *every, *chosen, *token_of, *spot_of;
    std::uint8_t *given_of;  // what `given` says of the row of each pair
    std::int32_t *kv_of;  // [heads]: where the keys of a head begin among those of a place
    Bench *benches;  // [threads]; their sums are also where a row's experts are scored
    Errand *errands;
    i64 *errand_count;
    Stretch *stretches, *prompts;  // rows that attend together; of prompts that attend on tiles, all of each
    i64 *stretch_count, *prompt_count;
    Activations in_few_bits;        // of the wanted rows, as the coarse head multiplies them
    std::int32_t *sifted, *plain;   // which of them go over it, and which over the whole head
    i64 sifted_count, plain_count;
    float *peaks;                   // [threads, 2, blocks of the head]
    std::int32_t *fours;            // [threads, fours of the head]
    i64 most_inner;

    Worker(const Decoder &decoder, const Pass &pass, Shelf &shelf, i64 longest) : d(decoder), p(pass) {
        const i64 n = pass.rows, pairs = n * (1 + decoder.per_token), kv = decoder.kv_heads * decoder.head_dim;
        i64 experts = 0;
        most_inner = 0;
        for (i64 index = 0; index < decoder.layer_count; ++index) {
            const Layer &layer = decoder.layers[index];
            experts = std::max(experts, layer.expert_count);
            most_inner = std::max(most_inner, layer.always.gate.rows);
            if (layer.expert_count) most_inner = std::max(most_inner, layer.experts[0].gate.rows);
        }
        normed = shelf.activations(n, decoder.width);
        attended = shelf.activations(n, decoder.heads * decoder.head_dim);
        inner = shelf.activations(pairs, most_inner);
        q = shelf.take<float>(n * decoder.heads * decoder.head_dim);
        k = shelf.take<float>(n * kv);
        v = shelf.take<float>(n * kv);
        answers = shelf.take<float>(pairs * decoder.width);
        weights = shelf.take<float>(pairs);
        scores = shelf.take<float>(pass.threads * decoder.heads * TOKENS * longest);
        kv_of = shelf.take<std::int32_t>(decoder.heads);
        every = shelf.take<std::int32_t>(n);
        chosen = shelf.take<std::int32_t>(pairs);
        token_of = shelf.take<std::int32_t>(pairs);
        spot_of = shelf.take<std::int32_t>(pairs);
        given_of = shelf.take<std::uint8_t>(pairs);
        benches = shelf.take<Bench>(pass.threads);
        for (i64 own = 0; own < pass.threads; ++own) {
            const i64 most_columns = std::max({decoder.width, decoder.heads * decoder.head_dim, most_inner});
            const Bench bench = shelf.bench(std::max(pairs, experts), most_columns, USES_TILES ? n : 0);
            if (benches) benches[own] = bench;
        }
        errands = shelf.take<Errand>(experts + 1);
        errand_count = shelf.take<i64>(1);
        stretches = shelf.take<Stretch>(n);
        stretch_count = shelf.take<i64>(1);
        prompts = shelf.take<Stretch>(n);
        prompt_count = shelf.take<i64>(1);
        sifted = shelf.take<std::int32_t>(n);
        plain = shelf.take<std::int32_t>(n);
        if (!decoder.coarse.data) return;
        const i64 wide = padded(decoder.width);
        in_few_bits = normed;
        in_few_bits.small = shelf.take<std::int8_t>(n * wide);
        in_few_bits.scales = shelf.take<float>(n * wide / GROUP);
        in_few_bits.offset8 = shelf.take<std::int32_t>(n * wide / GROUP);
        in_few_bits.offset4 = shelf.take<std::int32_t>(n * wide / 32);
        peaks = shelf.take<float>(pass.threads * 2 * Sieve::blocks(d.head));
        fours = shelf.take<std::int32_t>(pass.threads * Sieve::fours(d.head));
    }

    // x / sqrt(mean(x²) + eps) · weight, and the form that the next matrix asks for.
    void norm(const float *weight, i64 format) {
#pragma omp for schedule(static)
        for (i64 row = 0; row < p.rows; ++row) {
            norm_row(row, row, weight);
            prepare(normed, row, format, p.given && p.given[row]);
        }
    }

    // A function of its own: a compiler that takes it into two loops may sum in two orders.
    __attribute__((noinline)) void norm_row(i64 from, i64 to, const float *weight) {
        const float *x = p.x + from * d.width;
        float *out = normed.exact + to * d.width;
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (i64 c = 0; c < d.width; ++c) squares += x[c] * x[c];
        const float inverse = 1 / std::sqrt(squares / float(d.width) + float(d.eps));
        for (i64 c = 0; c < d.width; ++c) out[c] = x[c] * inverse * weight[c];
    }

    // out[row, r] = matrix · activations, or added to it, of all rows. Each thread takes neighbouring rows of the matrix.
    void product(const Matrix &m, const Activations &a, const std::uint8_t *given, i64 count, float *out, bool add) {
        product(m, a, every, given, count, out, add);
    }

    // The same of the rows in `tokens`.
    void product(const Matrix &m, const Activations &a, const std::int32_t *tokens, const std::uint8_t *given, i64 count,
                 float *out, bool add) {
        const i64 tiles = (m.rows + ROWS - 1) / ROWS, first = tiles * this_thread() / team() * ROWS;
        const i64 end = std::min(tiles * (this_thread() + 1) / team() * ROWS, m.rows);
        if (count)
            rows_of(m, first, end, a, tokens, given, count, [=](i64 t, i64 row, float sum) {
                float &to = out[tokens[t] * m.rows + row];
                to = add ? to + sum : sum;
            });
#pragma omp barrier
    }

    // Where a place's keys or values of all heads lie.
    char *place_of(void *store, i64 layer, i64 owner, i64 place) const {
        const i64 block = p.tables[owner * p.table_width + place / p.block];
        const i64 at = ((layer * p.blocks + block) * p.block + place % p.block) * d.kv_heads * d.head_dim;
        return static_cast<char *>(store) + at * (p.cache_is_bfloat16 ? 2 : 4);
    }

    // Stores the heads of one row.
    void keep(void *to, const float *from) const {
        const i64 count = d.kv_heads * d.head_dim;
        if (!p.cache_is_bfloat16) {
            std::memcpy(to, from, count * 4);
            return;
        }
        for (i64 c = 0; c < count; ++c) static_cast<std::uint16_t *>(to)[c] = narrow(from[c]);
    }

    // Rotary positions, half-split as in Llama: channel i turns with channel i + head_dim / 2.
    void rotate(float *x, i64 position) const {
        const i64 half = d.head_dim / 2;
        const float *cosines = d.cosines + position * half, *sines = d.sines + position * half;
        for (i64 c = 0; c < half; ++c) {
            const float first = x[c], second = x[c + half];
            x[c] = first * cosines[c] - second * sines[c];
            x[c + half] = second * cosines[c] + first * sines[c];
        }
    }

    void remember(i64 layer) {
#pragma omp for schedule(static)
        for (i64 row = 0; row < p.rows; ++row) {
            const i64 position = p.positions[row];
            for (i64 head = 0; head < d.heads; ++head) rotate(q + (row * d.heads + head) * d.head_dim, position);
            const i64 at = row * d.kv_heads * d.head_dim;
            for (i64 head = 0; head < d.kv_heads; ++head) rotate(k + at + head * d.head_dim, position);
            keep(place_of(p.keys, layer, p.owners[row], position), k + at);
            keep(place_of(p.values, layer, p.owners[row], position), v + at);
        }
    }

    static float dot(const float *x, const float *y, i64 count) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (i64 c = 0; c < count; ++c) sum += x[c] * y[c];
        return sum;
    }

    // Some heads of up to TOKENS rows of one sequence. The outer loops go over places, whose keys and values lie one
    // after another with all heads side by side: memory is read as it lies.
    template <class Number> void attend_rows(i64 layer, const Stretch &rows, i64 head, i64 end, i64 longest) {
        // A compiler that knows how wide a head is unrolls its loops: the released width, and nano's.
        if (d.head_dim == 128) attend_rows<Number, 128>(layer, rows, head, end, longest);
        else if (d.head_dim == 64) attend_rows<Number, 64>(layer, rows, head, end, longest);
        else attend_rows<Number, 0>(layer, rows, head, end, longest);
    }

    template <class Number, i64 SIZE> void attend_rows(i64 layer, const Stretch &rows, i64 head, i64 end, i64 longest) {
        const i64 owner = p.owners[rows.first], size = SIZE ? SIZE : d.head_dim;
        const i64 most = p.positions[rows.first + rows.count - 1] + 1;
        const float scale = 1 / std::sqrt(float(size));
        float *scores_here = scores + this_thread() * d.heads * TOKENS * longest;
        const auto scores_of = [&](i64 t, i64 h) { return scores_here + (h * TOKENS + t) * longest; };
        const auto out_of = [&](i64 t, i64 h) { return attended.exact + ((rows.first + t) * d.heads + h) * size; };
        each_place<Number>(p.keys, layer, owner, most, [&](i64 place, const Number *keys) {
            for (i64 h = head; h < end; h += ABREAST)
                for (i64 t = 0; t < rows.count; ++t) {
                    const float *query_of[ABREAST];
                    const Number *key_of[ABREAST];
                    float found[ABREAST];
                    for (i64 n = 0; n < ABREAST; ++n) {
                        const i64 own = std::min(h + n, end - 1);  // the last one again where there are fewer
                        query_of[n] = q + ((rows.first + t) * d.heads + own) * size;
                        key_of[n] = keys + kv_of[own];
                    }
                    score(query_of, key_of, size, found);
                    for (i64 n = 0; n < std::min(ABREAST, end - h); ++n) scores_of(t, h + n)[place] = found[n];
                }
        });
        for (i64 h = head; h < end; ++h)
            for (i64 t = 0; t < rows.count; ++t) {
                softmax(scores_of(t, h), scale, p.positions[rows.first + t] + 1, most);
                std::memset(out_of(t, h), 0, size * 4);
            }
        each_place<Number>(p.values, layer, owner, most, [&](i64 place, const Number *values) {
            for (i64 h = head; h < end; ++h)
                for (i64 t = 0; t < rows.count; ++t)
                    blend(out_of(t, h), scores_of(t, h)[place], values + kv_of[h], size);
        });
    }

    // work(place, the keys or values of all heads there), block after block.
    template <class Number, class Work> void each_place(void *store, i64 layer, i64 owner, i64 most, Work work) const {
        for (i64 first = 0; first < most; first += p.block) {
            const Number *at = reinterpret_cast<const Number *>(place_of(store, layer, owner, first));
            for (i64 place = first; place < std::min(first + p.block, most); ++place, at += d.kv_heads * d.head_dim)
                work(place, at);
        }
    }

    // Over the first `seen` numbers times the scale; those up to `count`, of places that come later, become 0.
    static void softmax(float *score, float scale, i64 seen, i64 count) {
        float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
        for (i64 k = 0; k < seen; ++k) most = std::max(most, score[k] * scale);
#pragma omp simd reduction(+ : sum)
        for (i64 k = 0; k < seen; ++k) sum += score[k] = power_of_e(score[k] * scale - most);
        const float inverse = 1 / sum;
        for (i64 k = 0; k < seen; ++k) score[k] *= inverse;
        for (i64 k = seen; k < count; ++k) score[k] = 0;
    }

    void attend(i64 layer, i64 longest, i64 format) {
        // With few rows to share out, threads share the heads.
        const i64 parts = *stretch_count < 2 * p.threads ? std::min(d.heads, p.threads) : 1;
#pragma omp for schedule(dynamic)
        for (i64 unit = 0; unit < *stretch_count * parts; ++unit) {
            const Stretch &rows = stretches[unit / parts];
            const i64 head = d.heads * (unit % parts) / parts, end = d.heads * (unit % parts + 1) / parts;
            if (p.cache_is_bfloat16) attend_rows<std::uint16_t>(layer, rows, head, end, longest);
            else attend_rows<float>(layer, rows, head, end, longest);
        }
#ifdef HAS_TILES
        if (*prompt_count && d.head_dim == 128) attend_prompts<128>(layer);
        if (*prompt_count && d.head_dim == 64) attend_prompts<64>(layer);
        if (*prompt_count && d.head_dim == 32) attend_prompts<32>(layer);
#endif
#pragma omp for schedule(static)
        for (i64 row = 0; row < p.rows; ++row) prepare(attended, row, format, p.given && p.given[row]);
    }

    bool attends_on_tiles(i64 row) const {
        const bool fits = p.cache_is_bfloat16 && (d.head_dim == 128 || d.head_dim == 64 || d.head_dim == 32);
        return fits && p.given && p.given[row];
    }

    // Neighbouring rows of one sequence, which attend together.
    void find_stretches() {
        i64 count = 0, given = 0;
        for (i64 row = 0; row < p.rows; ++row) {
            const bool tiles = attends_on_tiles(row);
            const i64 most = tiles ? p.rows : TOKENS;
            Stretch *const list = tiles ? prompts : stretches;
            i64 &own = tiles ? given : count;
            const bool joins = row && attends_on_tiles(row - 1) == tiles && p.owners[row] == p.owners[row - 1];
            if (joins && list[own - 1].count < most) ++list[own - 1].count;
            else list[own++] = {row, 1};
        }
        *stretch_count = count;
        *prompt_count = given;
    }

#ifdef HAS_TILES
    template <int SIZE> void attend_prompts(i64 layer) {
        TileAttention<SIZE> tiles;
        std::vector<const std::uint16_t *> keys, values;
        // With few heads to share out, threads share the rows.
        const i64 units = *prompt_count * d.heads, parts = (2 * p.threads + units - 1) / units;
#pragma omp for schedule(dynamic)
        for (i64 unit = 0; unit < units * parts; ++unit) {
            const Stretch &rows = prompts[unit / parts / d.heads];
            const i64 head = unit / parts % d.heads, part = unit % parts;
            const i64 first = rows.first + rows.count * part / parts, end = rows.first + rows.count * (part + 1) / parts;
            if (first == end) continue;
            keys.clear(), values.clear();
            for (i64 place = 0; place <= p.positions[end - 1]; ++place) {
                const auto of = [&](void *store) {
                    return reinterpret_cast<const std::uint16_t *>(place_of(store, layer, p.owners[first], place)) + kv_of[head];
                };
                keys.push_back(of(p.keys)), values.push_back(of(p.values));
            }
            tiles.hold(keys.size(), [&](i64 at) { return keys[at]; }, [&](i64 at) { return values[at]; });
            attend_prompt(tiles, {first, end - first}, head);
        }
    }

    // Neighbouring rows of a prompt, one head.
    template <int SIZE> void attend_prompt(TileAttention<SIZE> &tiles, const Stretch &rows, i64 head) {
        constexpr i64 AT_ONCE = TileAttention<SIZE>::BLOCK, SIDE = AT_ONCE / 2;
        const auto left = [&](i64 first) { return std::min(AT_ONCE, rows.count - first); };
        const auto of = [&](float *all, i64 row) { return all + ((rows.first + row) * d.heads + head) * SIZE; };
        const __m512 scale = _mm512_set1_ps(LOG2_E / std::sqrt(float(SIZE)));
        tiles.attend(
            rows.count,
            [&](i64 first, i64, std::uint16_t *to) {
                for (i64 i = 0; i < left(first); ++i)
                    for (i64 c = 0; c < SIZE; ++c) to[i * SIZE + c] = rounded(of(q, first + i)[c]);
            },
            [&](i64 first) { return i64(p.positions[rows.first + first + left(first) - 1]) + 1; },
            [&](i64 first, i64, i64 start, i64 many, float *logits, __m512 *most) {
                const i64 position = p.positions[rows.first + first];
                for (i64 at = 0; at < many; ++at)
                    for (i64 side = 0; side < 2; ++side) {
                        const i64 unseen = std::clamp<i64>(start + at - position - side * SIDE, 0, SIDE);  // queries before the key
                        float *const here = logits + at * AT_ONCE + side * SIDE;
                        const __m512 scaled = _mm512_mul_ps(_mm512_load_ps(here), scale);
                        const __m512 logit = _mm512_mask_mov_ps(scaled, lanes(unseen), _mm512_set1_ps(NEVER));
                        _mm512_store_ps(here, logit);
                        most[side] = _mm512_max_ps(most[side], logit);
                    }
            },
            [&](i64 first, i64, int side) {
                for (i64 start = 0; start < SIZE; start += SIDE) {
                    __m512i square[SIDE];
                    tiles.means(side, start, square);
                    for (i64 i = side * SIDE; i < std::min(left(first), (side + 1) * SIDE); ++i)
                        _mm512_storeu_si512(of(attended.exact, first + i) + start, square[i % SIDE]);
                }
            });
    }
#endif

    // Softmax over all experts, the likeliest few of them, in the experts' order.
    void route_row(const Layer &layer, i64 row, float *logits) {
        const i64 n = layer.expert_count;
        float most = -INFINITY, sum = 0, kept = 0;
        for (i64 e = 0; e < n; ++e) {
            logits[e] = dot(normed.exact + row * d.width, layer.router + e * d.width, d.width);
            most = std::max(most, logits[e]);
        }
        for (i64 e = 0; e < n; ++e) sum += logits[e] = power_of_e(logits[e] - most);
        std::int32_t *picks = chosen + row * d.per_token;
        for (i64 slot = 0; slot < d.per_token; ++slot) {
            i64 best = -1;
            for (i64 e = 0; e < n; ++e)
                if (!std::count(picks, picks + slot, std::int32_t(e)) && (best < 0 || logits[e] > logits[best])) best = e;
            picks[slot] = std::int32_t(best);
            kept += logits[best] / sum;
        }
        std::sort(picks, picks + d.per_token);
        for (i64 slot = 0; slot < d.per_token; ++slot)
            weights[row * d.per_token + slot] = logits[picks[slot]] / sum / (d.renormalise ? kept : 1) * float(d.scale);
    }

    // Which rows go through which network: all through the one that is always asked, each through its experts.
    void plan(const Layer &layer) {
        const i64 n = p.rows;
        i64 pairs = 0, count = 0;
        for (i64 row = 0; row < n; ++row) token_of[pairs++] = every[row];
        errands[count++] = {&layer.always, 0, n};
        for (i64 e = 0; e < layer.expert_count; ++e) {
            const i64 first = pairs;
            for (i64 at = 0; at < n * d.per_token; ++at)
                if (chosen[at] == e) {
                    spot_of[at] = std::int32_t(pairs);
                    token_of[pairs++] = std::int32_t(at / d.per_token);
                }
            if (pairs > first) errands[count++] = {&layer.experts[e], first, pairs - first};
        }
        if (p.given)
            for (i64 pair = 0; pair < pairs; ++pair) given_of[pair] = p.given[token_of[pair]];
        *errand_count = count;
    }

    // Work that is shared out in stretches of rows of a matrix, over all errands: long ones, so that memory is read as it lies,
    // but some for each thread, of which one may wait for a processor. A single thread takes whole matrices.
    template <class Rows, class Work> void share(Rows rows, Work work) {
        i64 all = 0, total = 0;
        for (i64 e = 0; e < *errand_count; ++e) all += rows(errands[e]);
        const i64 unit = p.threads == 1 ? all : (all / (16 * p.threads) / STREAM + 1) * STREAM;
        for (i64 e = 0; e < *errand_count; ++e) total += (rows(errands[e]) + unit - 1) / unit;
#pragma omp for schedule(dynamic)
        for (i64 index = 0; index < total; ++index) {
            i64 e = 0, left = index;
            for (; left >= (rows(errands[e]) + unit - 1) / unit; ++e) left -= (rows(errands[e]) + unit - 1) / unit;
            work(errands[e], left * unit, std::min((left + 1) * unit, rows(errands[e])));
        }
    }

    template <class Keep>
    void rows_of(const Matrix &m, i64 first, i64 end, const Activations &a, const std::int32_t *tokens,
                 const std::uint8_t *given, i64 count, Keep keep) {
        multiply_marked(m, first, end, a, tokens, given, count, benches[this_thread()], keep);
    }

    void feed_forward(const Layer &layer) {
        if (layer.expert_count) {
#pragma omp for schedule(static)
            for (i64 row = 0; row < p.rows; ++row) route_row(layer, row, benches[this_thread()].sums);
        }
#pragma omp single
        plan(layer);
        share([](const Errand &e) { return e.network->gate.rows; }, [&](const Errand &e, i64 first, i64 end) {
            const std::int32_t *tokens = token_of + e.first;
            float *hidden = narrowed(e).exact;
            const i64 wide = e.network->gate.rows;
            const std::uint8_t *given = p.given ? given_of + e.first : nullptr;
            rows_of(e.network->gate, first, end, normed, tokens, given, e.count,
                    [=](i64 t, i64 row, float gate) { hidden[t * wide + row] = gate; });
            for (i64 t = 0; t < e.count; ++t)
#pragma omp simd
                for (i64 row = t * wide + first; row < t * wide + end; ++row) hidden[row] = silu(hidden[row]);
            rows_of(e.network->up, first, end, normed, tokens, given, e.count,
                    [=](i64 t, i64 row, float up) { hidden[t * wide + row] *= up; });
        });
        prepare_hidden();
        share([](const Errand &e) { return e.network->down.rows; }, [&](const Errand &e, i64 first, i64 end) {
            const std::uint8_t *given = p.given ? given_of + e.first : nullptr;
            rows_of(e.network->down, first, end, narrowed(e), every, given, e.count,
                    [&](i64 t, i64 row, float sum) { answers[(e.first + t) * d.width + row] = sum; });
        });
        gather(layer);
    }

    // The hidden activations of an errand: its share of `inner`, as rows of its own width.
    Activations narrowed(const Errand &e) const {
        const i64 wide = padded(most_inner);
        return {e.network->gate.rows,
                inner.exact + e.first * most_inner,
                inner.half + e.first * most_inner,
                inner.pairs + (PAIRS ? e.first * most_inner : 0),
                inner.small + e.first * wide,
                inner.scales + e.first * wide / GROUP,
                inner.offset8 + e.first * wide / GROUP,
                inner.offset4 + e.first * wide / 32};
    }

    void prepare_hidden() {
        for (i64 e = 0; e < *errand_count; ++e) {
            const Activations own = narrowed(errands[e]);
#pragma omp for schedule(static) nowait
            for (i64 t = 0; t < errands[e].count; ++t)
                prepare(own, t, errands[e].network->down.format, p.given && given_of[errands[e].first + t]);
        }
#pragma omp barrier
    }

    void gather(const Layer &layer) {
#pragma omp for schedule(static)
        for (i64 row = 0; row < p.rows; ++row) {
            float *x = p.x + row * d.width, *sums = benches[this_thread()].sums;
            for (i64 first = 0; first < d.width; first += STREAM) {
                const i64 count = std::min(STREAM, d.width - first);
                std::fill(sums, sums + count, 0.0f);
                for (i64 slot = 0; slot < (layer.expert_count ? d.per_token : 0); ++slot) {
                    const i64 at = row * d.per_token + slot;
                    const float weight = weights[at], *answer = answers + i64(spot_of[at]) * d.width + first;
#pragma omp simd
                    for (i64 c = 0; c < count; ++c) sums[c] += weight * answer[c];
                }
#pragma omp simd
                for (i64 c = 0; c < count; ++c) x[first + c] += sums[c] + answers[row * d.width + first + c];
            }
        }
    }

    void run(i64 longest) {
        for (i64 index = 0; index < d.layer_count; ++index) {
            const Layer &layer = d.layers[index];
            norm(layer.attention_norm, layer.q.format);
            product(layer.q, normed, p.given, p.rows, q, false);
            product(layer.k, normed, p.given, p.rows, k, false);
            product(layer.v, normed, p.given, p.rows, v, false);
            remember(index);
            attend(index, longest, layer.out.format);
            product(layer.out, attended, p.given, p.rows, p.x, true);
            norm(layer.ffn_norm, layer.always.gate.format);
            feed_forward(layer);
        }
#pragma omp for schedule(static)
        for (i64 index = 0; index < p.wanted_count; ++index) {
            norm_row(p.wanted[index], index, d.norm);
            prepare(normed, index, d.head.format);
        }
        if (!d.coarse.data) return product(d.head, normed, nullptr, p.wanted_count, p.logits, false);
#pragma omp for schedule(static)
        for (i64 at = 0; at < sifted_count; ++at)
            prepare(in_few_bits, sifted[at], d.coarse.format);
        product(d.coarse, in_few_bits, sifted, nullptr, sifted_count, p.logits, false);
#pragma omp for schedule(dynamic)
        for (i64 at = 0; at < sifted_count; ++at) {
            const i64 own = this_thread();
            Sieve sieve(d.head, d.blur, normed, sifted[at], p.logits + sifted[at] * d.head.rows, benches[own]);
            if (sieve.run(peaks + own * 2 * Sieve::blocks(d.head), fours + own * Sieve::fours(d.head))) continue;
            i64 place;
#pragma omp atomic capture
            place = plain_count++;
            plain[place] = sifted[at];
        }
        product(d.head, normed, plain, nullptr, plain_count, p.logits, false);
    }
};

// Places of the longest sequence.
i64 longest_of(const Pass &pass) {
    i64 longest = 0;
    for (i64 row = 0; row < pass.rows; ++row) longest = std::max<i64>(longest, pass.positions[row] + 1);
    return whole_lines(longest);
}

}  // namespace

i64 decoder_scratch(const Decoder *decoder, i64 rows, i64 longest, i64 threads) {
    Pass pass{};
    pass.rows = rows;
    pass.threads = threads;
    Shelf shelf{nullptr};
    Worker worker(*decoder, pass, shelf, whole_lines(longest));
    return shelf.used;
}

void decoder_run(const Decoder *decoder, const Pass *asked) {
    Pass task = *asked;
#ifdef HAS_TILES
    const bool any = task.given && std::count(task.given, task.given + task.rows, 0) < task.rows;
    if (!any || !may_use_tiles()) task.given = nullptr;
#else
    task.given = nullptr;
#endif
    const Pass *const pass = &task;
    const i64 longest = longest_of(task);
    Shelf shelf{pass->scratch};
    Worker worker(*decoder, task, shelf, longest);
    for (i64 row = 0; row < pass->rows; ++row) worker.every[row] = std::int32_t(row);
    const i64 sharing = decoder->heads / decoder->kv_heads;
    for (i64 head = 0; head < decoder->heads; ++head)
        worker.kv_of[head] = std::int32_t(head / sharing * decoder->head_dim);
    worker.find_stretches();
    worker.sifted_count = worker.plain_count = 0;
    for (std::int32_t index = 0; index < pass->wanted_count; ++index)
        if (!pass->exact || pass->exact[pass->wanted[index]]) worker.plain[worker.plain_count++] = index;
        else worker.sifted[worker.sifted_count++] = index;
#pragma omp parallel num_threads(pass->threads)
    {
#ifdef HAS_TILES
        if (pass->given) set_up_tiles();
#endif
        worker.run(longest);
#ifdef HAS_TILES
        if (pass->given) put_tiles_away();
#endif
    }
}

i64 matrix_scratch(const Matrix *matrix, i64 rows) {
    Shelf shelf{nullptr};
    shelf.activations(rows, matrix->columns);
    shelf.take<std::int32_t>(rows);
    shelf.bench(rows, matrix->columns, 0);
    return shelf.used;
}

// out [rows, matrix rows] = x [rows, columns] times the matrix; the piece that tests compare with its plain twin.
void matrix_product(const Matrix *matrix, const float *x, i64 rows, float *out, char *scratch, i64) {
    Shelf shelf{scratch};
    Activations a = shelf.activations(rows, matrix->columns);
    std::int32_t *every = shelf.take<std::int32_t>(rows);
    const Bench bench = shelf.bench(rows, matrix->columns, 0);
    std::memcpy(a.exact, x, rows * matrix->columns * 4);
    for (i64 row = 0; row < rows; ++row) {
        every[row] = std::int32_t(row);
        prepare(a, row, matrix->format);
    }
    multiply(*matrix, 0, matrix->rows, a, every, rows, bench,
             [=](i64 t, i64 row, float sum) { out[t * matrix->rows + row] = sum; });
}
