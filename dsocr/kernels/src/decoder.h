// A decoder and a pass through it, as Python fills them in (kernels/decoder_core.py).

#pragma once

#include "tile.h"

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
