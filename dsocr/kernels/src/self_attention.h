// The attention of a pass: rows of several sequences, each over the keys and values that its own has kept in blocks.

#pragma once

#include "attention.h"
#include "decoder.h"
#include "products.h"
#include "threads.h"
#include "tile_attention.h"

namespace {

struct Stretch {
    i64 first, count;  // rows
};

struct SelfAttention {
    const Decoder &d;
    const Pass &p;
    Activations attended;
    float *q, *k, *v, *scores;
    std::int32_t *kv_of;  // [heads]: where the keys of a head begin among those of a place
    Stretch *stretches, *prompts;  // rows that attend together; of prompts that attend on tiles, all of each
    i64 *stretch_count, *prompt_count;

    SelfAttention(const Decoder &decoder, const Pass &pass, Shelf &shelf, i64 longest) : d(decoder), p(pass) {
        const i64 n = pass.rows, kv = decoder.kv_heads * decoder.head_dim;
        attended = shelf.activations(n, decoder.heads * decoder.head_dim);
        q = shelf.take<float>(n * decoder.heads * decoder.head_dim);
        k = shelf.take<float>(n * kv);
        v = shelf.take<float>(n * kv);
        scores = shelf.take<float>(pass.threads * decoder.heads * TOKENS * longest);
        kv_of = shelf.take<std::int32_t>(decoder.heads);
        stretches = shelf.take<Stretch>(n);
        stretch_count = shelf.take<i64>(1);
        prompts = shelf.take<Stretch>(n);
        prompt_count = shelf.take<i64>(1);
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
};

}  // namespace
