// What is done row by row between the products of a decoder that learns: forward and backward, each in one pass over
// memory, with bfloat16 as the products give and take it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "numbers.h"
#include "threads.h"

using std::int64_t;
using half = std::uint16_t;

extern "C" {

// x [rows, width] · inverse root of its mean square · weight → out; inverses [rows] are kept.
void learned_norm(
    const float *x, const float *weight, half *out, float *inverses, int64_t rows, int64_t width, double eps,
    int64_t threads) {
#pragma omp parallel for num_threads(int(threads))
    for (int64_t row = 0; row < rows; ++row) {
        const float *const own = x + row * width;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t at = 0; at < width; ++at) sum += own[at] * own[at];
        const float inverse = 1 / std::sqrt(sum / float(width) + float(eps));
        inverses[row] = inverse;
        half *const to = out + row * width;
#pragma omp simd
        for (int64_t at = 0; at < width; ++at) to[at] = rounded(own[at] * inverse * weight[at]);
    }
}

// Gradients of x, and of weight, to which they are added.
void learned_norm_back(
    const float *x, const float *weight, const float *inverses, const half *wanted, float *for_x, float *for_weight,
    int64_t rows, int64_t width, int64_t threads) {
    std::vector<float> sums(threads * width);  // of each thread, to be added in their order
#pragma omp parallel num_threads(int(threads))
    {
        float *const total = sums.data() + this_thread() * width;
#pragma omp for
        for (int64_t row = 0; row < rows; ++row) {
            const float *const own = x + row * width;
            const half *const want = wanted + row * width;
            float *const to = for_x + row * width;
            const float inverse = inverses[row];
            float along = 0;
#pragma omp simd reduction(+ : along)
            for (int64_t at = 0; at < width; ++at) {
                const float given = widen(want[at]), seen = own[at] * inverse;
                total[at] += given * seen;
                along += given * weight[at] * seen;
            }
            along /= float(width);
#pragma omp simd
            for (int64_t at = 0; at < width; ++at) {
                to[at] = inverse * (widen(want[at]) * weight[at] - own[at] * inverse * along);
            }
        }
    }
    for (int64_t at = 0; at < threads * width; ++at) for_weight[at % width] += sums[at];
}

// Rows [pages · places, heads, dim] ↔ heads [pages, heads, places, dim], rotated by cos, sin [pages · places, dim]
// (with -sin where they come back; not at all where there are none).
void learned_turn(
    const half *from, const float *cos, const float *sin, half *to, int64_t pages, int64_t places, int64_t heads,
    int64_t dim, int64_t back, int64_t threads) {
    const int64_t middle = dim / 2;
    const float sign = back ? -1 : 1;
#pragma omp parallel for num_threads(int(threads))
    for (int64_t row = 0; row < pages * places; ++row) {
        const int64_t page = row / places, place = row % places;
        for (int64_t head = 0; head < heads; ++head) {
            const int64_t flat = (row * heads + head) * dim, deep = ((page * heads + head) * places + place) * dim;
            const half *const x = from + (back ? deep : flat);
            half *const out = to + (back ? flat : deep);
            if (!cos) {
                std::copy(x, x + dim, out);
                continue;
            }
            const float *const c = cos + row * dim, *const s = sin + row * dim;
#pragma omp simd
            for (int64_t at = 0; at < middle; ++at) {
                const float first = widen(x[at]), second = widen(x[at + middle]);
                out[at] = rounded(first * c[at] - sign * second * s[at]);
                out[at + middle] = rounded(second * c[at] + sign * first * s[at]);
            }
        }
    }
}

// gate · sigmoid(gate) · up, each group of columns times its share [rows, groups]; no shares: one group, as it is.
void learned_gate(
    const half *gate, const half *up, const float *shares, half *out, int64_t rows, int64_t groups, int64_t width,
    int64_t threads) {
#pragma omp parallel for num_threads(int(threads))
    for (int64_t row = 0; row < rows * groups; ++row) {
        const half *const g = gate + row * width, *const u = up + row * width;
        half *const to = out + row * width;
        const float share = shares ? shares[row] : 1;
        if (share == 0) {
            std::fill(to, to + width, half(0));
            continue;
        }
#pragma omp simd
        for (int64_t at = 0; at < width; ++at) {
            const float x = widen(g[at]);
            to[at] = rounded(x / (1 + power_of_e(-x)) * widen(u[at]) * share);
        }
    }
}

void learned_gate_back(
    const half *gate, const half *up, const float *shares, const half *wanted, half *for_gate, half *for_up,
    float *for_shares, int64_t rows, int64_t groups, int64_t width, int64_t threads) {
#pragma omp parallel for num_threads(int(threads))
    for (int64_t row = 0; row < rows * groups; ++row) {
        const half *const g = gate + row * width, *const u = up + row * width, *const want = wanted + row * width;
        half *const to_gate = for_gate + row * width, *const to_up = for_up + row * width;
        const float share = shares ? shares[row] : 1;
        if (share == 0) {  // was not asked
            std::fill(to_gate, to_gate + width, half(0));
            std::fill(to_up, to_up + width, half(0));
            for_shares[row] = 0;
            continue;
        }
        float along = 0;
#pragma omp simd reduction(+ : along)
        for (int64_t at = 0; at < width; ++at) {
            const float x = widen(g[at]), given = widen(want[at]), other = widen(u[at]);
            const float open = 1 / (1 + power_of_e(-x));
            along += given * x * open * other;
            to_up[at] = rounded(given * share * x * open);
            to_gate[at] = rounded(given * share * other * open * (1 + x * (1 - open)));
        }
        if (shares) for_shares[row] = along;
    }
}

}  // extern "C"
