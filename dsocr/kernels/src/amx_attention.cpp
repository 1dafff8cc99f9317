// Attention on tiles of bfloat16 (Intel's AMX), forward and backward, without the matrix of weights.
//
// Everything is worked out with keys down and queries across, so that what belongs to a query lies in one lane and no
// sum runs across a vector.

#include <cstdint>

#include "amx.h"

#ifdef HAS_TILES

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "numbers.h"
#include "vectors.h"

namespace {

using std::int64_t;
using half = std::uint16_t;

constexpr int64_t BLOCK = 32;   // queries and keys that are worked on together
constexpr int64_t SIDE = 16;    // rows and columns of a tile of sums

inline __m256i narrow16(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

// Two rows of sixteen numbers → sixteen pairs.
inline __m512i paired(__m512 even, __m512 odd) {
    const __m512i low = _mm512_cvtepu16_epi32(narrow16(even)), high = _mm512_cvtepu16_epi32(narrow16(odd));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// Rows [places, wide], as they are, filled up with rows of nothing.
void copy_rows(const half *from, int64_t places, int64_t whole, int64_t wide, half *to) {
    std::memcpy(to, from, places * wide * sizeof(half));
    std::memset(to + places * wide, 0, (whole - places) * wide * sizeof(half));
}

// Rows [whole, wide] with sixteen rows side by side: words [whole / 16, wide / 2, 16], columns [wide, across]; either
// may be left out.
void turn(const half *rows, int64_t whole, int64_t wide, half *words, half *columns = nullptr, int64_t across = 0) {
    const __m512i stride = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(int(wide / 2)));
    for (int64_t row = 0; row < whole; row += SIDE) {
        for (int64_t pair = 0; pair < wide / 2; ++pair) {
            const __m512i both = _mm512_i32gather_epi32(stride, rows + row * wide + 2 * pair, 4);
            if (words) _mm512_store_si512(words + (row * (wide / 2) + pair * SIDE) * 2, both);
            if (!columns) continue;
            half *const column = columns + 2 * pair * across + row;
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(column), _mm512_cvtepi32_epi16(both));
            _mm256_storeu_si256(
                reinterpret_cast<__m256i *>(column + across), _mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
        }
    }
}

// Rows [whole, wide] two by two: [whole / 32, wide / 16, 16 pairs of rows, 16 columns of pairs].
void pair_up(const half *rows, int64_t whole, int64_t wide, half *pairs) {
    for (int64_t row = 0; row < whole; row += 2) {
        for (int64_t column = 0; column < wide; column += SIDE) {
            const half *const at = rows + row * wide + column;
            const __m512i even = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(at)));
            const __m512i odd = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(at + wide)));
            half *const to = pairs + (row / BLOCK * (wide / SIDE) + column / SIDE) * 512 + row % BLOCK / 2 * 32;
            _mm512_store_si512(to, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
        }
    }
}

// Columns [wide, across] of floats → rows [places, wide] in bfloat16, each row times its own factor.
void turn_back(const float *columns, int64_t across, int64_t places, int64_t wide, const float *factors, half *rows) {
    const __m512i stride = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(int(across)));
    for (int64_t row = 0; row < places; ++row) {
        for (int64_t column = 0; column < wide; column += SIDE) {
            __m512 values = _mm512_i32gather_ps(stride, columns + column * across + row, 4);
            if (factors) values = _mm512_mul_ps(values, _mm512_set1_ps(factors[row]));
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(rows + row * wide + column), narrow16(values));
        }
    }
}

// sums [32 keys, 32 queries] = rows of keys [32, wide] · words of queries.
TILES inline void score(const half *keys, const half *words, int64_t wide, float *sums) {
    multiply_block(keys, wide * 2, words, words + wide * SIDE, wide, sums);
}

// sums [wide, of 32 queries] += columns [wide, of 32 keys] · pairs of keys [2, 16, 16].
TILES void gather(const half *columns, int64_t across, const half *pairs, int64_t wide, float *sums, int64_t step) {
    ALL_IS_WRITTEN;
    LOAD(6, pairs, 64);
    LOAD(7, pairs + 512, 64);
    for (int64_t at = 0; at < wide; at += SIDE) {
        float *const to = sums + at * step;
        LOAD(0, to, step * 4);
        LOAD(1, to + SIDE, step * 4);
        LOAD(4, columns + at * across, across * 2);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        STORE(0, to, step * 4);
        STORE(1, to + SIDE, step * 4);
    }
}

// sums [32 keys, wide] += weights [32 keys, 32 queries] · pairs of queries [wide / 16, 16, 16].
TILES void spread(const half *weights, const half *pairs, int64_t wide, float *sums) {
    ALL_IS_WRITTEN;
    LOAD(4, weights, 64);
    LOAD(5, weights + SIDE * BLOCK, 64);
    for (int64_t at = 0; at < wide; at += SIDE) {
        LOAD(0, sums + at, wide * 4);
        LOAD(1, sums + SIDE * wide + at, wide * 4);
        LOAD(6, pairs + at / SIDE * 512, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 5, 6);
        STORE(0, sums + at, wide * 4);
        STORE(1, sums + SIDE * wide + at, wide * 4);
    }
}

struct Shape {
    int64_t places, wide, deep;  // queries and keys; widths of these, and of values
    bool causal;
    float scale;
    int64_t whole() const { return (places + BLOCK - 1) / BLOCK * BLOCK; }
    int64_t across() const { return whole() + BLOCK; }  // of columns: rows of 2^n bytes would share a few lines of cache
};

// The queries, of sixteen from `query` on, that may look at a key.
inline __mmask16 who_looks(const Shape &shape, int64_t key, int64_t query) {
    if (key >= shape.places) return 0;
    if (!shape.causal || key <= query) return 0xffff;
    return key - query >= SIDE ? 0 : __mmask16(0xffff << (key - query));
}

struct Forward {
    Room<half> keys, columns, words, pairs;
    Room<float> sums, gathered;

    TILES void run(const Shape &shape, const half *q, const half *k, const half *v, half *out, float *logs) {
        const int64_t whole = shape.whole(), across = shape.across(), wide = shape.wide, deep = shape.deep;
        half *const rows = keys.at(whole * std::max(wide, deep)), *const turned = columns.at(across * deep);
        half *const asked = words.at(whole * wide), *const weights = pairs.at(2 * 512);
        float *scores = sums.at(2 * BLOCK * BLOCK), *coming = scores + BLOCK * BLOCK, *const found = gathered.at(deep * BLOCK);
        copy_rows(v, shape.places, whole, deep, rows);
        turn(rows, whole, deep, nullptr, turned, across);
        copy_rows(q, shape.places, whole, wide, rows);
        turn(rows, whole, wide, asked);
        copy_rows(k, shape.places, whole, wide, rows);
        const __m512 factor = _mm512_set1_ps(shape.scale * LOG2_E);
        for (int64_t query = 0; query < whole; query += BLOCK) {
            __m512 most[2], total[2];
            for (int side = 0; side < 2; ++side) {
                most[side] = _mm512_set1_ps(-INFINITY);
                total[side] = _mm512_setzero_ps();
            }
            std::memset(found, 0, deep * BLOCK * sizeof(float));
            const int64_t end = shape.causal ? query + BLOCK : whole;
            score(rows, asked + query * wide, wide, coming);
            for (int64_t key = 0; key < end; key += BLOCK) {
                std::swap(scores, coming);
                const int64_t next = key + BLOCK;  // on the tiles, while this one is on the vectors
                if (next < end) score(rows + next * wide, asked + query * wide, wide, coming);
                const bool plain = key + BLOCK <= shape.places && !(shape.causal && key + BLOCK > query);
                for (int side = 0; side < 2; ++side) {
                    __m512 high = most[side];
                    for (int64_t row = 0; row < BLOCK; ++row) {
                        float *const at = scores + row * BLOCK + side * SIDE;
                        __m512 value = _mm512_mul_ps(_mm512_load_ps(at), factor);
                        if (!plain) {
                            const __mmask16 seen = who_looks(shape, key + row, query + side * SIDE);
                            value = _mm512_mask_blend_ps(seen, _mm512_set1_ps(-INFINITY), value);
                        }
                        _mm512_store_ps(at, value);
                        high = _mm512_max_ps(high, value);
                    }
                    if (const __mmask16 more = _mm512_cmp_ps_mask(high, most[side], _CMP_GT_OQ)) {
                        const __m512 less = power_of_two(_mm512_sub_ps(most[side], high));
                        most[side] = high;
                        total[side] = _mm512_mask_mul_ps(total[side], more, total[side], less);
                        for (int64_t row = 0; row < deep; ++row) {
                            float *const at = found + row * BLOCK + side * SIDE;
                            _mm512_mask_store_ps(at, more, _mm512_mul_ps(_mm512_load_ps(at), less));
                        }
                    }
                    for (int64_t row = 0; row < BLOCK; row += 2) {
                        const float *const at = scores + row * BLOCK + side * SIDE;
                        const __m512 even = power_of_two(_mm512_sub_ps(_mm512_load_ps(at), high));
                        const __m512 odd = power_of_two(_mm512_sub_ps(_mm512_load_ps(at + BLOCK), high));
                        total[side] = _mm512_add_ps(total[side], _mm512_add_ps(even, odd));
                        _mm512_store_si512(weights + side * 512 + row * SIDE, paired(even, odd));
                    }
                }
                gather(turned + key, across, weights, deep, found, BLOCK);
            }
            alignas(64) float highest[BLOCK], sum[BLOCK], shares[BLOCK];
            for (int side = 0; side < 2; ++side) {
                _mm512_store_ps(highest + side * SIDE, most[side]);
                _mm512_store_ps(sum + side * SIDE, total[side]);
            }
            const int64_t left = std::min(BLOCK, shape.places - query);
            for (int64_t at = 0; at < left; ++at) {
                logs[query + at] = highest[at] + std::log2(sum[at]);
                shares[at] = 1 / sum[at];
            }
            turn_back(found, BLOCK, left, deep, shares, out + query * deep);
        }
    }
};

struct Backward {
    Room<half> held[8];
    Room<float> kept[7];

    TILES void run(
        const Shape &shape, const half *q, const half *k, const half *v, const half *out, const float *logs,
        const half *wanted, half *for_q, half *for_k, half *for_v) {
        const int64_t whole = shape.whole(), across = shape.across(), wide = shape.wide, deep = shape.deep;
        half *const rows = held[0].at(whole * std::max(wide, deep)), *const keys = held[1].at(whole * wide);
        half *const values = held[2].at(whole * deep), *const columns = held[3].at(across * wide);
        half *const asked = held[4].at(2 * whole * wide), *const asked_pairs = asked + whole * wide;
        half *const want = held[5].at(2 * whole * deep), *const want_pairs = want + whole * deep;
        half *const weights = held[6].at(4 * 1024), *const changes = weights + 1024, *const change_pairs = weights + 2048;
        float *scores = kept[0].at(2 * BLOCK * BLOCK), *coming = scores + BLOCK * BLOCK;
        float *given = kept[1].at(2 * BLOCK * BLOCK), *coming_given = given + BLOCK * BLOCK;
        float *const own = kept[2].at(whole), *const high = kept[3].at(whole);
        float *const key_sums = kept[4].at(BLOCK * wide), *const value_sums = kept[5].at(BLOCK * deep);
        float *const query_sums = kept[6].at(wide * across);
        copy_rows(q, shape.places, whole, wide, rows);
        turn(rows, whole, wide, asked);
        pair_up(rows, whole, wide, asked_pairs);
        copy_rows(wanted, shape.places, whole, deep, rows);
        turn(rows, whole, deep, want);
        pair_up(rows, whole, deep, want_pairs);
        copy_rows(k, shape.places, whole, wide, keys);
        turn(keys, whole, wide, nullptr, columns, across);
        copy_rows(v, shape.places, whole, deep, values);
        std::memset(query_sums, 0, wide * across * sizeof(float));
        for (int64_t place = 0; place < whole; ++place) {
            __m512 sum = _mm512_setzero_ps();
            for (int64_t at = 0; place < shape.places && at < deep; at += SIDE) {
                sum = _mm512_fmadd_ps(load16(out + place * deep + at), load16(wanted + place * deep + at), sum);
            }
            own[place] = _mm512_reduce_add_ps(sum);
            high[place] = place < shape.places ? logs[place] : -NEVER;  // none looks from there
        }
        const __m512 factor = _mm512_set1_ps(shape.scale * LOG2_E), scale = _mm512_set1_ps(shape.scale);
        for (int64_t key = 0; key < whole; key += BLOCK) {
            std::memset(key_sums, 0, BLOCK * wide * sizeof(float));
            std::memset(value_sums, 0, BLOCK * deep * sizeof(float));
            const int64_t first = shape.causal ? key : 0;
            score(keys + key * wide, asked + first * wide, wide, coming);
            score(values + key * deep, want + first * deep, deep, coming_given);
            for (int64_t query = first; query < whole; query += BLOCK) {
                std::swap(scores, coming);
                std::swap(given, coming_given);
                const int64_t next = query + BLOCK;  // on the tiles, while this one is on the vectors
                if (next < whole) {
                    score(keys + key * wide, asked + next * wide, wide, coming);
                    score(values + key * deep, want + next * deep, deep, coming_given);
                }
                const bool plain = key + BLOCK <= shape.places && !(shape.causal && key + BLOCK > query);
                __m512 less[2], log[2];
                for (int side = 0; side < 2; ++side) {
                    less[side] = _mm512_load_ps(own + query + side * SIDE);
                    log[side] = _mm512_load_ps(high + query + side * SIDE);
                }
                for (int64_t row = 0; row < BLOCK; row += 2) {
                    __m512 weight[2][2], change[2][2];
                    for (int64_t odd = 0; odd < 2; ++odd) {
                        for (int side = 0; side < 2; ++side) {
                            const int64_t at = (row + odd) * BLOCK + side * SIDE;
                            __m512 one = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(scores + at), factor, log[side]));
                            if (!plain) {
                                one = _mm512_maskz_mov_ps(who_looks(shape, key + row + odd, query + side * SIDE), one);
                            }
                            weight[odd][side] = one;
                            const __m512 off = _mm512_sub_ps(_mm512_load_ps(given + at), less[side]);
                            change[odd][side] = _mm512_mul_ps(_mm512_mul_ps(one, scale), off);
                        }
                        const int64_t at = (row + odd) * BLOCK;
                        _mm512_store_si512(weights + at, (__m512i)_mm512_cvtne2ps_pbh(weight[odd][1], weight[odd][0]));
                        _mm512_store_si512(changes + at, (__m512i)_mm512_cvtne2ps_pbh(change[odd][1], change[odd][0]));
                    }
                    for (int side = 0; side < 2; ++side) {
                        const __m512i both = paired(change[0][side], change[1][side]);
                        _mm512_store_si512(change_pairs + side * 512 + row * SIDE, both);
                    }
                }
                spread(weights, want_pairs + query * deep, deep, value_sums);
                spread(changes, asked_pairs + query * wide, wide, key_sums);
                gather(columns + key, across, change_pairs, wide, query_sums + query, across);
            }
            const int64_t left = std::min(BLOCK, shape.places - key);
            for (int64_t at = 0; at < left * wide; at += SIDE) {
                _mm256_storeu_si256(
                    reinterpret_cast<__m256i *>(for_k + key * wide + at), narrow16(_mm512_load_ps(key_sums + at)));
            }
            for (int64_t at = 0; at < left * deep; at += SIDE) {
                _mm256_storeu_si256(
                    reinterpret_cast<__m256i *>(for_v + key * deep + at), narrow16(_mm512_load_ps(value_sums + at)));
            }
        }
        turn_back(query_sums, across, shape.places, wide, nullptr, for_q);
    }
};

}  // namespace

extern "C" {

int amx_attention_runs() { return may_use_tiles(); }

// q, k [heads, places, wide], v [heads, places, deep] in bfloat16, widths in 32s → out as v, and the logarithms of the
// sums [heads, places], to the base of two.
void amx_attention(
    const half *q, const half *k, const half *v, half *out, float *logs, int64_t heads, int64_t places, int64_t wide,
    int64_t deep, int64_t causal, double scale, int64_t threads) {
    const Shape shape{places, wide, deep, causal != 0, float(scale)};
#pragma omp parallel num_threads(int(threads))
    {
        set_up_tiles();
        Forward forward;
#pragma omp for schedule(dynamic)
        for (int64_t head = 0; head < heads; ++head) {
            const int64_t key = head * places * wide, value = head * places * deep;
            forward.run(shape, q + key, k + key, v + value, out + value, logs + head * places);
        }
        put_tiles_away();
    }
}

// The gradients of q, k and v from what is wanted of out.
void amx_attention_back(
    const half *q, const half *k, const half *v, const half *out, const float *logs, const half *wanted, half *for_q,
    half *for_k, half *for_v, int64_t heads, int64_t places, int64_t wide, int64_t deep, int64_t causal, double scale,
    int64_t threads) {
    const Shape shape{places, wide, deep, causal != 0, float(scale)};
#pragma omp parallel num_threads(int(threads))
    {
        set_up_tiles();
        Backward backward;
#pragma omp for schedule(dynamic)
        for (int64_t head = 0; head < heads; ++head) {
            const int64_t key = head * places * wide, value = head * places * deep;
            backward.run(
                shape, q + key, k + key, v + value, out + value, logs + head * places, wanted + value, for_q + key,
                for_k + key, for_v + value);
        }
        put_tiles_away();
    }
}

}  // extern "C"

#else

extern "C" int amx_attention_runs() { return 0; }

#endif
