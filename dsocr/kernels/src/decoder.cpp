// The decoder's whole pass in one call: rows of several requests in, their hidden states and logits out.
//
// Every number of an answer is summed in an order that depends on neither the other rows of the pass nor the number
// of threads, so a request reads the same alone and in a batch. Weights are streamed once for each pass, four rows at
// a time; activations stay float32 between the products and take the form that a matrix asks for just before it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __AVX512VNNI__
#include "tile_avx512.h"
#elif defined(__AVX2__)
#include "tile_avx2.h"
#else
#include "tile_plain.h"
#endif

#ifdef _OPENMP
#include <omp.h>
#endif

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


template <int T> void run(const Products<T> &tile) {
    switch (tile.m.format) {
        case FLOAT32: return tile.template run_float<false>();
        case WIDENED: return tile.template run_float<true>();
        case BFLOAT16: return tile.run_bfloat16();
        case INT8: return tile.run_int8();
        default: return tile.run_int4();
    }
}

// ROWS rows of a matrix times the activations in `tokens` → out[t * ROWS + r].
void four_rows(const Matrix &m, i64 row, const Activations &a, const std::int32_t *tokens, i64 count, float *out) {
    for (; count >= TOKENS; count -= TOKENS, tokens += TOKENS, out += TOKENS * ROWS)
        run(Products<TOKENS>(m, row, a, tokens, out));
    if (count == 3) run(Products<3>(m, row, a, tokens, out));
    if (count == 2) run(Products<2>(m, row, a, tokens, out));
    if (count == 1) run(Products<1>(m, row, a, tokens, out));
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
