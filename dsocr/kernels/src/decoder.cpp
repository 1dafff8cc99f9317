// The decoder's whole pass in one call: rows of several requests in, their hidden states and logits out.
//
// Every number of an answer is summed in an order that depends on neither the other rows of the pass nor the number
// of threads, so a request reads the same alone and in a batch. Weights are streamed once for each pass; activations
// stay float32 between the products and take the form that a matrix asks for just before it.

#include "decoder.h"
#include "products.h"
#include "self_attention.h"
#include "sieve.h"
#include "threads.h"

extern "C" {

i64 decoder_scratch(const Decoder *decoder, i64 rows, i64 longest, i64 threads);
void decoder_run(const Decoder *decoder, const Pass *pass);
void matrix_product(const Matrix *matrix, const float *x, i64 rows, float *out, char *scratch, i64 threads);
i64 matrix_scratch(const Matrix *matrix, i64 rows);

}  // extern "C"

namespace {

inline float silu(float x) { return x / (1 + power_of_e(-x)); }

// A feed-forward network with the rows that go through it; a pass through a layer is a list of these.
struct Errand {
    const FeedForward *network;
    i64 first, count;  // of its rows among all (row, network) pairs of the layer
};

struct Worker : SelfAttention {
    Activations normed, inner;
    float *answers, *weights;
    std::int32_t *every, *chosen, *token_of, *spot_of;
    std::uint8_t *given_of;  // what `given` says of the row of each pair
    Bench *benches;  // [threads]; their sums are also where a row's experts are scored
    Errand *errands;
    i64 *errand_count;
    Activations in_few_bits;        // of the wanted rows, as the coarse head multiplies them
    std::int32_t *sifted, *plain;   // which of them go over it, and which over the whole head
    i64 sifted_count, plain_count;
    float *peaks;                   // [threads, 2, blocks of the head]
    std::int32_t *fours;            // [threads, fours of the head]
    i64 most_inner;

    Worker(const Decoder &decoder, const Pass &pass, Shelf &shelf, i64 longest)
        : SelfAttention(decoder, pass, shelf, longest) {
        const i64 n = pass.rows, pairs = n * (1 + decoder.per_token);
        i64 experts = 0;
        most_inner = 0;
        for (i64 index = 0; index < decoder.layer_count; ++index) {
            const Layer &layer = decoder.layers[index];
            experts = std::max(experts, layer.expert_count);
            most_inner = std::max(most_inner, layer.always.gate.rows);
            if (layer.expert_count) most_inner = std::max(most_inner, layer.experts[0].gate.rows);
        }
        normed = shelf.activations(n, decoder.width);
        inner = shelf.activations(pairs, most_inner);
        answers = shelf.take<float>(pairs * decoder.width);
        weights = shelf.take<float>(pairs);
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

    static float dot(const float *x, const float *y, i64 count) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (i64 c = 0; c < count; ++c) sum += x[c] * y[c];
        return sum;
    }

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

// So many floats or a few more: rows of them then begin at like addresses, and no compiler sums one in another order.
inline i64 whole_lines(i64 count) { return (count + 31) / 32 * 32; }

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
