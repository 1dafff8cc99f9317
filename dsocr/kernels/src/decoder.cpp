// The decoder's whole pass in one call: rows of several requests in, their hidden states and logits out.
//
// Every number of an answer is summed in an order that depends on neither the other rows of the pass nor the number
// of threads, so a request reads the same alone and in a batch. Weights are streamed once for each pass, four rows at
// a time; activations stay float32 between the products and take the form that a matrix asks for just before it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "numbers.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __AVX512VNNI__
#include <immintrin.h>
#define FAST 1
#endif

namespace {

using i64 = std::int64_t;

enum Format : i64 {
    FLOAT32 = 0,   // float weights, float activations
    WIDENED = 1,   // bfloat16 weights widened to float, float activations: exact
    BFLOAT16 = 2,  // both rounded to bfloat16, products summed in float
    INT8 = 3,      // weights in groups of 128 with a float scale, stored + 128; activations likewise
    INT4 = 4,      // weights in groups of 32 with a half scale, stored + 8; activations as for INT8
};

constexpr i64 GROUP = 128;  // columns that share a scale of the activations
constexpr i64 ROWS = 4;     // rows of a matrix that are read side by side
constexpr i64 TOKENS = 4;   // activations that meet them at once
constexpr i64 AHEAD = 8192; // bytes between what is multiplied and what is fetched

}  // namespace

extern "C" {

struct Matrix {
    const void *data;
    const void *scales;
    i64 rows, columns, stride, format;  // stride: bytes from a row to the next
};

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
    Matrix head;
    const float *cosines, *sines;  // [places, head_dim / 2]
};

struct Pass {
    i64 rows;
    float *x;                          // [rows, width]: embeddings in, hidden states before the last norm out
    const std::int32_t *positions;     // [rows]
    const std::int32_t *owners;        // [rows]: which row of tables is theirs
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

inline i64 padded(i64 columns) { return (columns + GROUP - 1) / GROUP * GROUP; }

// Rows of activations in every form that the matrices of a pass may ask for.
struct Activations {
    i64 columns;
    float *exact;          // [rows, columns]
    std::uint16_t *half;   // [rows, columns]
    std::int8_t *small;    // [rows, padded]
    float *scales;         // [rows, padded / GROUP]
    std::int32_t *offset;  // [rows, padded / GROUP]: what the weights' + 128 adds, to be taken off
    std::int32_t *lanes;   // [rows, padded / 4]: what the weights' + 8 adds to each four columns, to be taken off
};

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
        Activations a{columns, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
        a.exact = take<float>(rows * columns);
        a.half = take<std::uint16_t>(rows * columns);
        a.small = take<std::int8_t>(rows * wide);
        a.scales = take<float>(rows * wide / GROUP);
        a.offset = take<std::int32_t>(rows * wide / GROUP);
        a.lanes = take<std::int32_t>(rows * wide / 4);
        return a;
    }
};

void quantise_row(const Activations &a, i64 row) {
    const i64 wide = padded(a.columns);
    const float *x = a.exact + row * a.columns;
    for (i64 group = 0; group < wide / GROUP; ++group) {
        const i64 start = group * GROUP, end = std::min(start + GROUP, a.columns);
        float most = 0;
#pragma omp simd reduction(max : most)
        for (i64 k = start; k < end; ++k) most = std::max(most, std::fabs(x[k]));
        const float scale = most / 127, inverse = most > 0 ? 127 / most : 0;
        std::int8_t *small = a.small + row * wide + start;
        std::int32_t sum = 0;
        std::memset(small, 0, GROUP);
        for (i64 k = start; k < end; ++k) small[k - start] = std::int8_t(std::nearbyintf(x[k] * inverse));
        std::int32_t *lanes = a.lanes + (row * wide + start) / 4;
        for (i64 lane = 0; lane < GROUP / 4; ++lane) {
            const std::int32_t four = small[4 * lane] + small[4 * lane + 1] + small[4 * lane + 2] + small[4 * lane + 3];
            lanes[lane] = -8 * four;
            sum += four;
        }
        a.scales[row * wide / GROUP + group] = scale;
        a.offset[row * wide / GROUP + group] = -128 * sum;
    }
}

// The form of row `row` that a matrix of `format` multiplies; `exact` must be filled.
void prepare(const Activations &a, i64 row, i64 format) {
    if (format == INT8 || format == INT4) quantise_row(a, row);
    if (format != BFLOAT16) return;
    const float *x = a.exact + row * a.columns;
    std::uint16_t *half = a.half + row * a.columns;
    for (i64 k = 0; k < a.columns; ++k) half[k] = narrow(x[k]);
}

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

#ifdef FAST
    // What is read later is fetched here: of rows that are read side by side the hardware sees only short streams.
    template <i64 N> void fetch(i64 r, i64 byte) const {
        if (N == 1) _mm_prefetch(w[r] + AHEAD + byte, _MM_HINT_T0);
        else _mm_prefetch(w[r] + ahead() * m.stride + byte, _MM_HINT_T1);
    }

    i64 ahead() const { return ROWS * (AHEAD / (ROWS * m.stride) + 1); }

    void fetch_scales(i64 bytes) const {
        const char *at = static_cast<const char *>(m.scales) + (row_of[0] + ahead()) * bytes;
        for (i64 byte = 0; byte < ROWS * bytes; byte += 64) _mm_prefetch(at + byte, _MM_HINT_T0);
    }

    template <i64 N> void store(__m512 sums[N][T], i64 base) const {
        for (int t = 0; t < T; ++t)
            for (i64 r = 0; r < N; ++r) out[t * ROWS + base + r] = _mm512_reduce_add_ps(sums[r][t]);
    }

    static __m512 widen16(const char *at, __mmask16 mask) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at)), 16));
    }

    template <bool WIDE> void run_float() const {
        __m512 sums[ROWS][T] = {};
        for (i64 k = 0; k < m.columns; k += 16) {
            const __mmask16 mask = m.columns - k >= 16 ? 0xffff : __mmask16((1u << (m.columns - k)) - 1);
            __m512 xs[T];
            for (int t = 0; t < T; ++t) xs[t] = _mm512_maskz_loadu_ps(mask, a.exact + x[t] * a.columns + k);
            for (i64 r = 0; r < ROWS; ++r) {
                fetch<ROWS>(r, k * (WIDE ? 2 : 4));
                const __m512 ws = WIDE ? widen16(w[r] + k * 2, mask) : _mm512_maskz_loadu_ps(mask, w[r] + k * 4);
                for (int t = 0; t < T; ++t) sums[r][t] = _mm512_fmadd_ps(ws, xs[t], sums[r][t]);
            }
        }
        store<ROWS>(sums, 0);
    }

    // Adds the products of 16 pairs of bfloat16; without an instruction for it as two products of floats.
    static __m512 add_products(__m512 sum, __m512i ws, __m512i xs) {
#ifdef __AVX512BF16__
        return _mm512_dpbf16_ps(sum, (__m512bh)ws, (__m512bh)xs);
#else
        const __m512i upper = _mm512_set1_epi32(int(0xffff0000u));
        sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(ws, 16)),
                              _mm512_castsi512_ps(_mm512_slli_epi32(xs, 16)), sum);
        return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(ws, upper)),
                               _mm512_castsi512_ps(_mm512_and_si512(xs, upper)), sum);
#endif
    }

    template <i64 N> void bfloat16_rows(i64 base) const {
        __m512 sums[N][T] = {};
        for (i64 k = 0; k < m.columns; k += 32) {
            const __mmask32 mask = m.columns - k >= 32 ? 0xffffffffu : (1u << (m.columns - k)) - 1;
            __m512i xs[T];
            for (int t = 0; t < T; ++t) xs[t] = _mm512_maskz_loadu_epi16(mask, a.half + x[t] * a.columns + k);
            for (i64 r = 0; r < N; ++r) {
                fetch<N>(base + r, k * 2);
                const __m512i ws = _mm512_maskz_loadu_epi16(mask, w[base + r] + k * 2);
                for (int t = 0; t < T; ++t) sums[r][t] = add_products(sums[r][t], ws, xs[t]);
            }
        }
        store<N>(sums, base);
    }

    template <i64 N> void int8_rows(i64 base) const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        const float *scales = static_cast<const float *>(m.scales);
        if (base == 0) fetch_scales(groups * 4);
        __m512 sums[N][T] = {};
        for (i64 g = 0; g < groups; ++g) {
            __m512i low[N], high[N];
            __m512 ws[N];
            for (i64 r = 0; r < N; ++r) {
                fetch<N>(base + r, g * GROUP);
                fetch<N>(base + r, g * GROUP + 64);
                low[r] = _mm512_loadu_si512(w[base + r] + g * GROUP);
                high[r] = _mm512_loadu_si512(w[base + r] + g * GROUP + 64);
                ws[r] = _mm512_set1_ps(scales[row_of[base + r] * groups + g]);
            }
            for (int t = 0; t < T; ++t) {
                const std::int8_t *small = a.small + x[t] * wide + g * GROUP;
                const __m512i first = _mm512_loadu_si512(small), second = _mm512_loadu_si512(small + 64);
                const __m512i start = _mm512_zextsi128_si512(_mm_cvtsi32_si128(a.offset[x[t] * groups + g]));
                const __m512 scale = _mm512_set1_ps(a.scales[x[t] * groups + g]);
                for (i64 r = 0; r < N; ++r) {
                    const __m512i dots = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(start, low[r], first), high[r], second);
                    sums[r][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_mul_ps(ws[r], scale), sums[r][t]);
                }
            }
        }
        store<N>(sums, base);
    }

    template <i64 N> void int4_rows(i64 base) const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        const __m512i nibble = _mm512_set1_epi8(15);
        const __m512i left = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        const __m512i right = _mm512_add_epi32(left, _mm512_set1_epi32(2));
        const std::uint16_t *scales = static_cast<const std::uint16_t *>(m.scales);
        if (base == 0) fetch_scales(groups * 8);
        __m512 sums[N][T] = {};
        for (i64 g = 0; g < groups; ++g) {
            for (i64 r = 0; r < N; ++r) {
                fetch<N>(base + r, g * GROUP / 2);
                const __m512i both = _mm512_loadu_si512(w[base + r] + g * GROUP / 2);
                const __m512i low = _mm512_and_si512(both, nibble);
                const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
                const __m128 four = _mm_cvtph_ps(_mm_loadl_epi64(
                    reinterpret_cast<const __m128i *>(scales + (row_of[base + r] * groups + g) * 4)));
                const __m512 all = _mm512_castps128_ps512(four);
                const __m512 low_scale = _mm512_permutexvar_ps(left, all), high_scale = _mm512_permutexvar_ps(right, all);
                for (int t = 0; t < T; ++t) {
                    const i64 at = x[t] * wide + g * GROUP;
                    const __m512i first = _mm512_dpbusd_epi32(
                        _mm512_loadu_si512(a.lanes + at / 4), low, _mm512_loadu_si512(a.small + at));
                    const __m512i second = _mm512_dpbusd_epi32(
                        _mm512_loadu_si512(a.lanes + at / 4 + 16), high, _mm512_loadu_si512(a.small + at + 64));
                    const __m512 mixed = _mm512_fmadd_ps(_mm512_cvtepi32_ps(first), low_scale,
                                                         _mm512_mul_ps(_mm512_cvtepi32_ps(second), high_scale));
                    const __m512 scale = _mm512_set1_ps(a.scales[x[t] * groups + g]);
                    sums[r][t] = _mm512_fmadd_ps(mixed, scale, sums[r][t]);
                }
            }
        }
        store<N>(sums, base);
    }
    // One row after another for a single activation: memory is then read in one stream. 4 bits take so much arithmetic
    // that rows side by side, which do not wait for each other's sums, are faster all the same.
    void run_bfloat16() const {
        if (T > 1) return bfloat16_rows<ROWS>(0);
        for (i64 r = 0; r < ROWS; ++r) bfloat16_rows<1>(r);
    }

    void run_int8() const {
        if (T > 1) return int8_rows<ROWS>(0);
        for (i64 r = 0; r < ROWS; ++r) int8_rows<1>(r);
    }

    void run_int4() const { int4_rows<ROWS>(0); }
#else
    template <class Product> void each(Product product) const {
        for (int t = 0; t < T; ++t)
            for (i64 r = 0; r < ROWS; ++r) out[t * ROWS + r] = product(r, t);
    }

    template <bool WIDE> void run_float() const {
        each([&](i64 r, int t) {
            const float *xs = a.exact + x[t] * a.columns;
            const float *exact = reinterpret_cast<const float *>(w[r]);
            const std::uint16_t *half = reinterpret_cast<const std::uint16_t *>(w[r]);
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (i64 k = 0; k < m.columns; ++k) sum += xs[k] * (WIDE ? widen(half[k]) : exact[k]);
            return sum;
        });
    }

    void run_bfloat16() const {
        each([&](i64 r, int t) {
            const std::uint16_t *xs = a.half + x[t] * a.columns;
            const std::uint16_t *half = reinterpret_cast<const std::uint16_t *>(w[r]);
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (i64 k = 0; k < m.columns; ++k) sum += widen(xs[k]) * widen(half[k]);
            return sum;
        });
    }

    void run_int8() const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        each([&](i64 r, int t) {
            float sum = 0;
            for (i64 g = 0; g < groups; ++g) {
                const std::uint8_t *ws = reinterpret_cast<const std::uint8_t *>(w[r]) + g * GROUP;
                const std::int8_t *xs = a.small + x[t] * wide + g * GROUP;
                std::int32_t dot = a.offset[x[t] * groups + g];
                for (i64 k = 0; k < GROUP; ++k) dot += std::int32_t(ws[k]) * xs[k];
                sum += float(dot) * static_cast<const float *>(m.scales)[row_of[r] * groups + g] *
                       a.scales[x[t] * groups + g];
            }
            return sum;
        });
    }

    void run_int4() const {
        const i64 wide = padded(m.columns), groups = wide / GROUP;
        each([&](i64 r, int t) {
            float sum = 0;
            for (i64 g = 0; g < groups; ++g) {
                const std::uint8_t *both = reinterpret_cast<const std::uint8_t *>(w[r]) + g * GROUP / 2;
                const std::int8_t *xs = a.small + x[t] * wide + g * GROUP;
                const std::uint16_t *scales = static_cast<const std::uint16_t *>(m.scales) + (row_of[r] * groups + g) * 4;
                float mixed = 0;
                for (i64 part = 0; part < 4; ++part) {
                    std::int32_t dot = 0;
                    for (i64 k = 0; k < 32; ++k) {
                        const std::uint8_t byte = both[(part % 2) * 32 + k];
                        dot += (std::int32_t(part < 2 ? byte & 15 : byte >> 4) - 8) * xs[part * 32 + k];
                    }
                    mixed += float(dot) * half_to_float(scales[part]);
                }
                sum += mixed * a.scales[x[t] * groups + g];
            }
            return sum;
        });
    }
#endif

    void run() const {
        switch (m.format) {
            case FLOAT32: return run_float<false>();
            case WIDENED: return run_float<true>();
            case BFLOAT16: return run_bfloat16();
            case INT8: return run_int8();
            default: return run_int4();
        }
    }
};

// ROWS rows of a matrix times the activations in `tokens` → out[t * ROWS + r].
void four_rows(const Matrix &m, i64 row, const Activations &a, const std::int32_t *tokens, i64 count, float *out) {
    for (; count >= TOKENS; count -= TOKENS, tokens += TOKENS, out += TOKENS * ROWS)
        Tile<TOKENS>(m, row, a, tokens, out).run();
    if (count == 3) Tile<3>(m, row, a, tokens, out).run();
    if (count == 2) Tile<2>(m, row, a, tokens, out).run();
    if (count == 1) Tile<1>(m, row, a, tokens, out).run();
}

inline float silu(float x) { return x / (1 + std::exp(-x)); }

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
    float *piece;  // [threads, rows, 2, ROWS]
    Errand *errands;
    i64 *errand_count;
    Stretch *stretches;
    i64 *stretch_count;
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
        every = shelf.take<std::int32_t>(n);
        chosen = shelf.take<std::int32_t>(pairs);
        token_of = shelf.take<std::int32_t>(pairs);
        spot_of = shelf.take<std::int32_t>(pairs);
        piece = shelf.take<float>(pass.threads * pairs * 2 * ROWS);
        errands = shelf.take<Errand>(experts + 1);
        errand_count = shelf.take<i64>(1);
        stretches = shelf.take<Stretch>(n);
        stretch_count = shelf.take<i64>(1);
    }

    float *own_piece() const { return piece + thread() * p.rows * (1 + d.per_token) * 2 * ROWS; }

    static i64 thread() {
#ifdef _OPENMP
        return omp_get_thread_num();
#else
        return 0;
#endif
    }

    // x / sqrt(mean(x²) + eps) · weight, and the form that the next matrix asks for.
    void norm(const float *weight, i64 format) {
#pragma omp for schedule(static)
        for (i64 row = 0; row < p.rows; ++row) {
            norm_row(row, row, weight);
            prepare(normed, row, format);
        }
    }

    void norm_row(i64 from, i64 to, const float *weight) {
        const float *x = p.x + from * d.width;
        float *out = normed.exact + to * d.width;
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (i64 c = 0; c < d.width; ++c) squares += x[c] * x[c];
        const float inverse = 1 / std::sqrt(squares / float(d.width) + float(d.eps));
        for (i64 c = 0; c < d.width; ++c) out[c] = x[c] * inverse * weight[c];
    }

    // out[row, r] = matrix · activations, or added to it.
    void product(const Matrix &m, const Activations &a, const std::int32_t *tokens, i64 count, float *out, bool add) {
#pragma omp for schedule(static)
        for (i64 row = 0; row < m.rows; row += ROWS) {
            float *mine = own_piece();
            four_rows(m, row, a, tokens, count, mine);
            for (i64 t = 0; t < count; ++t)
                for (i64 r = 0; r < std::min(ROWS, m.rows - row); ++r) {
                    float &to = out[t * m.rows + row + r];
                    to = add ? to + mine[t * ROWS + r] : mine[t * ROWS + r];
                }
        }
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

    template <bool HALF> static float dot(const float *x, const void *y, i64 count) {
        const std::uint16_t *half = static_cast<const std::uint16_t *>(y);
        const float *exact = static_cast<const float *>(y);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (i64 c = 0; c < count; ++c) sum += x[c] * (HALF ? widen(half[c]) : exact[c]);
        return sum;
    }

    template <bool HALF> static void add_scaled(float *to, float weight, const void *y, i64 count) {
        const std::uint16_t *half = static_cast<const std::uint16_t *>(y);
        const float *exact = static_cast<const float *>(y);
#pragma omp simd
        for (i64 c = 0; c < count; ++c) to[c] += weight * (HALF ? widen(half[c]) : exact[c]);
    }

    // Some heads of up to TOKENS rows of one sequence. The outer loops go over places, whose keys and values lie one
    // after another with all heads side by side: memory is read as it lies.
    template <bool HALF> void attend_rows(i64 layer, const Stretch &rows, i64 head, i64 end, i64 longest) {
        const i64 owner = p.owners[rows.first], size = d.head_dim * (HALF ? 2 : 4), sharing = d.heads / d.kv_heads;
        const i64 most = p.positions[rows.first + rows.count - 1] + 1;
        const float scale = 1 / std::sqrt(float(d.head_dim));
        float *scores_here = scores + thread() * d.heads * TOKENS * longest;
        for (i64 place = 0; place < most; ++place) {
            const char *keys = place_of(p.keys, layer, owner, place);
            for (i64 h = head, kv = head / sharing, left = sharing - head % sharing; h < end; ++h) {
                for (i64 t = 0; t < rows.count; ++t)
                    scores_here[(h * TOKENS + t) * longest + place] =
                        scale * dot<HALF>(q + ((rows.first + t) * d.heads + h) * d.head_dim, keys + kv * size, d.head_dim);
                if (--left == 0) ++kv, left = sharing;
            }
        }
        for (i64 h = head; h < end; ++h)
            for (i64 t = 0; t < rows.count; ++t) {
                softmax(scores_here + (h * TOKENS + t) * longest, p.positions[rows.first + t] + 1, most);
                std::memset(attended.exact + ((rows.first + t) * d.heads + h) * d.head_dim, 0, d.head_dim * 4);
            }
        for (i64 place = 0; place < most; ++place) {
            const char *values = place_of(p.values, layer, owner, place);
            for (i64 h = head, kv = head / sharing, left = sharing - head % sharing; h < end; ++h) {
                for (i64 t = 0; t < rows.count; ++t)
                    add_scaled<HALF>(attended.exact + ((rows.first + t) * d.heads + h) * d.head_dim,
                                     scores_here[(h * TOKENS + t) * longest + place], values + kv * size, d.head_dim);
                if (--left == 0) ++kv, left = sharing;
            }
        }
    }

    // Over the first `seen` numbers; those up to `count`, of places that come later, become 0.
    static void softmax(float *score, i64 seen, i64 count) {
        float most = -INFINITY, sum = 0;
        for (i64 k = 0; k < seen; ++k) most = std::max(most, score[k]);
        for (i64 k = 0; k < seen; ++k) sum += score[k] = std::exp(score[k] - most);
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
            if (p.cache_is_bfloat16) attend_rows<true>(layer, rows, head, end, longest);
            else attend_rows<false>(layer, rows, head, end, longest);
        }
#pragma omp for schedule(static)
        for (i64 row = 0; row < p.rows; ++row) prepare(attended, row, format);
    }

    // Neighbouring rows of one sequence, which attend together.
    void find_stretches() {
        i64 count = 0;
        for (i64 row = 0; row < p.rows; ++row) {
            const bool joins = count && stretches[count - 1].count < TOKENS && p.owners[row] == p.owners[row - 1];
            if (joins) ++stretches[count - 1].count;
            else stretches[count++] = {row, 1};
        }
        *stretch_count = count;
    }

    // Softmax over all experts, the likeliest few of them, in the experts' order.
    void route_row(const Layer &layer, i64 row, float *logits) {
        const i64 n = layer.expert_count;
        float most = -INFINITY, sum = 0, kept = 0;
        for (i64 e = 0; e < n; ++e) {
            logits[e] = dot<false>(normed.exact + row * d.width, layer.router + e * d.width, d.width);
            most = std::max(most, logits[e]);
        }
        for (i64 e = 0; e < n; ++e) sum += logits[e] = std::exp(logits[e] - most);
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
        *errand_count = count;
    }

    // Work that is shared out in pieces of so many rows of a matrix, over all errands.
    template <class Rows, class Work> void share(i64 unit, Rows rows, Work work) {
        i64 total = 0;
        for (i64 e = 0; e < *errand_count; ++e) total += (rows(errands[e]) + unit - 1) / unit;
#pragma omp for schedule(dynamic)
        for (i64 index = 0; index < total; ++index) {
            i64 e = 0, left = index;
            for (; left >= (rows(errands[e]) + unit - 1) / unit; ++e) left -= (rows(errands[e]) + unit - 1) / unit;
            const i64 end = std::min((left + 1) * unit, rows(errands[e]));
            for (i64 row = left * unit; row < end; row += ROWS) work(errands[e], row, std::min(ROWS, end - row));
        }
    }

    void feed_forward(const Layer &layer) {
        if (layer.expert_count) {
#pragma omp for schedule(static)
            for (i64 row = 0; row < p.rows; ++row) route_row(layer, row, own_piece());
        }
#pragma omp single
        plan(layer);
        share(64, [](const Errand &e) { return e.network->gate.rows; }, [&](const Errand &e, i64 row, i64 rows) {
            float *gate = own_piece(), *up = gate + e.count * ROWS;
            four_rows(e.network->gate, row, normed, token_of + e.first, e.count, gate);
            four_rows(e.network->up, row, normed, token_of + e.first, e.count, up);
            for (i64 t = 0; t < e.count; ++t)
                for (i64 r = 0; r < rows; ++r)
                    hidden(e, t)[row + r] = silu(gate[t * ROWS + r]) * up[t * ROWS + r];
        });
        prepare_hidden();
        share(128, [](const Errand &e) { return e.network->down.rows; }, [&](const Errand &e, i64 row, i64 rows) {
            float *down = own_piece();
            const Activations own = narrowed(e);
            four_rows(e.network->down, row, own, every, e.count, down);
            for (i64 t = 0; t < e.count; ++t)
                for (i64 r = 0; r < rows; ++r) answers[(e.first + t) * d.width + row + r] = down[t * ROWS + r];
        });
        gather(layer);
    }

    float *hidden(const Errand &e, i64 t) const { return narrowed(e).exact + t * e.network->gate.rows; }

    // The hidden activations of an errand: its share of `inner`, as rows of its own width.
    Activations narrowed(const Errand &e) const {
        const i64 wide = padded(most_inner);
        return {e.network->gate.rows,
                inner.exact + e.first * most_inner,
                inner.half + e.first * most_inner,
                inner.small + e.first * wide,
                inner.scales + e.first * wide / GROUP,
                inner.offset + e.first * wide / GROUP,
                inner.lanes + e.first * wide / 4};
    }

    void prepare_hidden() {
        for (i64 e = 0; e < *errand_count; ++e) {
            const Activations own = narrowed(errands[e]);
#pragma omp for schedule(static) nowait
            for (i64 t = 0; t < errands[e].count; ++t) prepare(own, t, errands[e].network->down.format);
        }
#pragma omp barrier
    }

    void gather(const Layer &layer) {
#pragma omp for schedule(static)
        for (i64 row = 0; row < p.rows; ++row) {
            float *x = p.x + row * d.width;
            for (i64 c = 0; c < d.width; ++c) {
                float sum = 0;
                for (i64 slot = 0; slot < (layer.expert_count ? d.per_token : 0); ++slot) {
                    const i64 at = row * d.per_token + slot;
                    sum += weights[at] * answers[i64(spot_of[at]) * d.width + c];
                }
                x[c] += sum + answers[row * d.width + c];
            }
        }
    }

    void run(i64 longest) {
        for (i64 index = 0; index < d.layer_count; ++index) {
            const Layer &layer = d.layers[index];
            norm(layer.attention_norm, layer.q.format);
            product(layer.q, normed, every, p.rows, q, false);
            product(layer.k, normed, every, p.rows, k, false);
            product(layer.v, normed, every, p.rows, v, false);
            remember(index);
            attend(index, longest, layer.out.format);
            product(layer.out, attended, every, p.rows, p.x, true);
            norm(layer.ffn_norm, layer.always.gate.format);
            feed_forward(layer);
        }
#pragma omp for schedule(static)
        for (i64 index = 0; index < p.wanted_count; ++index) {
            norm_row(p.wanted[index], index, d.norm);
            prepare(normed, index, d.head.format);
        }
        product(d.head, normed, every, p.wanted_count, p.logits, false);
    }
};

i64 longest_of(const Pass &pass) {
    i64 longest = 0;
    for (i64 row = 0; row < pass.rows; ++row) longest = std::max<i64>(longest, pass.positions[row] + 1);
    return longest;
}

}  // namespace

i64 decoder_scratch(const Decoder *decoder, i64 rows, i64 longest, i64 threads) {
    Pass pass{};
    pass.rows = rows;
    pass.threads = threads;
    Shelf shelf{nullptr};
    Worker worker(*decoder, pass, shelf, longest);
    return shelf.used;
}

void decoder_run(const Decoder *decoder, const Pass *pass) {
    const i64 longest = longest_of(*pass);
    Shelf shelf{pass->scratch};
    Worker worker(*decoder, *pass, shelf, longest);
    for (i64 row = 0; row < pass->rows; ++row) worker.every[row] = std::int32_t(row);
    worker.find_stretches();
#pragma omp parallel num_threads(pass->threads)
    worker.run(longest);
}

i64 matrix_scratch(const Matrix *matrix, i64 rows) {
    Shelf shelf{nullptr};
    shelf.activations(rows, matrix->columns);
    shelf.take<std::int32_t>(rows);
    shelf.take<float>(rows * ROWS);
    return shelf.used;
}

// out [rows, matrix rows] = x [rows, columns] times the matrix; the piece that tests compare with its plain twin.
void matrix_product(const Matrix *matrix, const float *x, i64 rows, float *out, char *scratch, i64) {
    Shelf shelf{scratch};
    Activations a = shelf.activations(rows, matrix->columns);
    std::int32_t *every = shelf.take<std::int32_t>(rows);
    float *piece = shelf.take<float>(rows * ROWS);
    std::memcpy(a.exact, x, rows * matrix->columns * 4);
    for (i64 row = 0; row < rows; ++row) {
        every[row] = std::int32_t(row);
        prepare(a, row, matrix->format);
    }
    for (i64 row = 0; row < matrix->rows; row += ROWS) {
        four_rows(*matrix, row, a, every, rows, piece);
        for (i64 t = 0; t < rows; ++t)
            for (i64 r = 0; r < std::min(ROWS, matrix->rows - row); ++r)
                out[t * matrix->rows + row + r] = piece[t * ROWS + r];
    }
}
