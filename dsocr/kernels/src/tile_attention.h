// What queries find among the keys of one head, on tiles of bfloat16.
//
// Keys go down and queries across, so that what belongs to a query lies in one lane and no sum runs across a vector.
// While the weights of one chunk of keys are made on the vectors, the logits of the next are multiplied on the tiles.
// What a query finds depends on no other query.

#pragma once

#include "amx.h"

#ifdef HAS_TILES

#include <cmath>

#include "numbers.h"
#include "squares.h"

namespace {

template <int DIM>
class TileAttention {
   public:
    static constexpr i64 BLOCK = 32;   // queries, and keys, that are multiplied together
    static constexpr i64 CHUNK = 256;  // keys between two corrections of the softmax

    static i64 round_up(i64 count) { return (count + BLOCK - 1) / BLOCK * BLOCK; }

    TileAttention()
        : queries(2 * BLOCK * DIM),
          asked(2 * BLOCK * DIM),
          logits(2 * CHUNK * BLOCK),
          weights(CHUNK * BLOCK),
          sums(DIM * BLOCK) {}

    // The keys and values from now on: `key(i)` and `value(i)` are where those of place i lie.
    template <class Key, class Value>
    void hold(i64 count, Key key, Value value) {
        const i64 whole = round_up(count);
        stride = whole + BLOCK;  // rows of 2^n bytes would share a few lines of cache
        bf16 *const rows = keys.at(whole * DIM);
        for (i64 at = 0; at < count; at++) std::copy_n(key(at), DIM, rows + at * DIM);
        std::fill(rows + count * DIM, rows + whole * DIM, bf16(0));
        bf16 *const turned = values.at(DIM * stride);
        auto wide = [&](i64 at, i64 start) {
            if (at >= count) return _mm512_setzero_si512();
            return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(value(at) + start)));
        };
        for (i64 at = 0; at < whole; at += BLOCK)
            for (i64 start = 0; start < DIM; start += LANES) {
                __m512i square[LANES];
                for (i64 i = 0; i < LANES; i++) {
                    const __m512i odd = _mm512_slli_epi32(wide(at + 2 * i + 1, start), 16);
                    square[i] = _mm512_or_si512(wide(at + 2 * i, start), odd);
                }
                transpose(square);
                for (i64 i = 0; i < LANES; i++) _mm512_store_si512(turned + (start + i) * stride + at, square[i]);
            }
    }

    // Attends with `count` queries, a block after another; `who` says which of two, in turn, a block is.
    //
    // ask(first, who, rows): writes the BLOCK queries from number `first` on, [32, DIM]; those that there are not may be
    //     anything.
    // keys_of(first): how many keys the block has to look at.
    // join(first, who, start, many, logits, most): completes the logits [many keys, 32 queries] from key `start` on, as
    //     powers of two, and raises most [2] to the greatest of them.
    // write(first, who, side): may ask `means` for what the 16 queries of a side of the block found.
    template <class Ask, class KeysOf, class Join, class Write>
    void attend(i64 count, Ask ask, KeysOf keys_of, Join join, Write write) {
        const auto make_ready = [&](i64 first, i64 who) {
            const bf16 *const rows = queries_of(who);
            ask(first, who, queries.data() + who * BLOCK * DIM);
            pack_rows([=](i64 i) { return rows + i * DIM; }, BLOCK, DIM / 2, words(asked, who * BLOCK * DIM));
            ends[who] = keys_of(first);
        };
        make_ready(0, 0);
        for (i64 at = 0; at < std::min(CHUNK, ends[0]); at += BLOCK) score(at, 0, at, 0);
        i64 who = 0, now = 0;  // whose turn of two blocks it is, and of two chunks of logits
        for (i64 first = 0; first < count; first += BLOCK, who = 1 - who) {
            const bool others = first + BLOCK < count;
            if (others) make_ready(first + BLOCK, 1 - who);
            for (int side = 0; side < 2; side++) greatest[side] = _mm512_set1_ps(NEVER), totals[side] = _mm512_setzero_ps();
            for (i64 start = 0; start < ends[who]; start += CHUNK, now = 1 - now) {
                const i64 many = std::min(CHUNK, ends[who] - start);
                __m512 most[2] = {greatest[0], greatest[1]};
                join(first, who, start, many, logits.data() + now * CHUNK * BLOCK, most);
                correct(most, start);
                const bool last = start + CHUNK >= ends[who];  // then the next chunk is the first one of other queries
                const i64 next = last ? 0 : start + CHUNK, whose = last ? 1 - who : who;
                for (i64 at = 0; at < CHUNK; at += BLOCK) {
                    if (at < many) make_weights(at, std::min(BLOCK, many - at), now);
                    if ((others || !last) && next + at < ends[whose]) score(next + at, whose, at, 1 - now);
                }
                gather(start, many);
            }
            for (int side = 0; side * LANES < std::min(BLOCK, count - first); side++) write(first, who, side);
        }
    }

    // Sixteen numbers from `start` on of what each query of a side found.
    void means(int side, i64 start, __m512i (&square)[LANES]) const {
        const __m512 share = _mm512_div_ps(_mm512_set1_ps(1), totals[side]);
        for (i64 i = 0; i < LANES; i++) {
            const __m512 sum = _mm512_load_ps(sums.data() + (start + i) * BLOCK + side * LANES);
            square[i] = _mm512_castps_si512(_mm512_mul_ps(sum, share));
        }
        transpose(square);
    }

    const bf16 *queries_of(i64 who) const { return queries.data() + who * BLOCK * DIM; }

    static std::uint32_t *words(Room<bf16> &room, i64 at = 0) { return reinterpret_cast<std::uint32_t *>(room.data() + at); }

   private:
    // Logits of a block of keys: [32 keys, 32 queries].
    void score(i64 key, i64 who, i64 at, i64 turn) {
        const bf16 *const first = asked.data() + who * BLOCK * DIM;
        float *const to = logits.data() + (turn * CHUNK + at) * BLOCK;
        multiply_block(keys.data() + key * DIM, DIM * 2, first, first + LANES * DIM, DIM, to);
    }

    // What was gathered before, at the scale of new greatest logits; untouched where they are the old ones.
    void correct(const __m512 (&most)[2], i64 start) {
        for (int side = 0; side < 2; side++) {
            const __mmask16 more = _mm512_cmp_ps_mask(most[side], greatest[side], _CMP_NEQ_UQ);
            const __m512 less = power_of_two(_mm512_sub_ps(greatest[side], most[side]));
            greatest[side] = most[side];
            if (start == 0 || !more) continue;
            totals[side] = _mm512_mask_mul_ps(totals[side], more, totals[side], less);
            for (i64 row = 0; row < DIM; row++) {
                float *const sum = sums.data() + row * BLOCK + side * LANES;
                _mm512_mask_store_ps(sum, more, _mm512_mul_ps(_mm512_load_ps(sum), less));
            }
        }
    }

    // Logits of a block of keys → weights, a pair of keys together: [2 x 16 queries, 16 pairs, 16 queries].
    void make_weights(i64 at, i64 many, i64 turn) {
        const __m512i odd_lanes = _mm512_slli_epi32(_mm512_add_epi32(each_lane(), _mm512_set1_epi32(LANES)), 16);
        const __m512i order = _mm512_or_si512(each_lane(), odd_lanes);  // 0, 16, 1, 17, ...
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

    // Adds the values of a chunk of keys, weighted: [DIM, 32 queries].
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

    Room<bf16> keys, values, queries, asked;
    Room<float> logits;
    Room<bf16> weights;
    Room<float> sums;
    i64 stride = 0, ends[2] = {};
    __m512 greatest[2], totals[2];
};

}  // namespace

#endif
