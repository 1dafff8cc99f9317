// What this machine can do at most: bytes read and operations of three kinds, measured with nothing else in the way.
// Each function runs on `threads` threads and gives bytes or operations per second, the threads' own rates added up.
// A thread's clock stands still while it waits for a processor, so that neighbours on the machine count less.
#include <cstdint>
#include <ctime>

#include "amx.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

namespace {

constexpr int LANES = 16, CHAINS = 12;  // enough independent chains to hide the latency of a multiply-add

volatile double sink;  // so that no compiler finds the work useless

#if !defined(__AVX512VNNI__)
template <typename Value>
double multiply_add(int64_t rounds) {
    Value sums[CHAINS][LANES] = {}, factors[LANES];
    for (int lane = 0; lane < LANES; lane++) factors[lane] = static_cast<Value>(lane & 1);
    for (int64_t round = 0; round < rounds; round++)
        for (auto& chain : sums)
            for (int lane = 0; lane < LANES; lane++) chain[lane] = chain[lane] * factors[lane] + factors[lane];
    double total = 0;
    for (auto& chain : sums)
        for (Value value : chain) total += static_cast<double>(value);
    return total;
}
#endif

double operations(int each, int64_t rounds) { return static_cast<double>(each) * LANES * CHAINS * rounds; }

double processor_seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// `work(thread)` does `amount` of bytes or operations.
template <typename Work>
double rate(int threads, double amount, Work work) {
    double rates = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : rates) schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        const double start = processor_seconds();
        sink = work(thread);
        rates += amount / (processor_seconds() - start);
    }
    return rates;
}

#ifdef HAS_TILES
constexpr double TILE_OPERATIONS = 2 * 16 * 16 * 32;  // of one product

TILES double multiply_tiles(int64_t products) {
    alignas(64) float sums[16 * 16];
    set_up_tiles();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (int64_t product = 0; product < products; product += 4) {
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 5);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 5);
    }
    STORE(0, sums, 64);
    put_tiles_away();
    return sums[0];
}
#endif

}  // namespace

extern "C" {

// Reads `bytes` (a multiple of 64 · threads) once, each thread its own stretch.
double limit_read(const void* buffer, int64_t bytes, int threads) {
    const int64_t share = bytes / 8 / threads;
    return rate(threads, static_cast<double>(share) * 8, [=](int thread) {
        const uint64_t* own = static_cast<const uint64_t*>(buffer) + thread * share;
        uint64_t sums[32] = {}, total = 0;
        for (int64_t at = 0; at + 32 <= share; at += 32)
            for (int lane = 0; lane < 32; lane++) sums[lane] += own[at + lane];
        for (uint64_t sum : sums) total += sum;
        return static_cast<double>(total);
    });
}

double limit_fp32(int64_t rounds, int threads) {
    return rate(threads, operations(2, rounds), [=](int) {
#if defined(__AVX512VNNI__)
        __m512 sums[CHAINS], factor = _mm512_set1_ps(0.5f);
        for (auto& sum : sums) sum = _mm512_setzero_ps();
        for (int64_t round = 0; round < rounds; round++) {
            for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, factor, factor);
            asm volatile("" : "+v"(factor));
        }
        __m512 all = sums[0];
        for (auto& sum : sums) all = _mm512_add_ps(all, sum);
        return static_cast<double>(_mm512_reduce_add_ps(all));
#else
        return multiply_add<float>(rounds);
#endif
    });
}

// On tiles where there are; without instructions of its own a bf16 product is a float32 one.
double limit_bf16(int64_t rounds, int threads) {
#ifdef HAS_TILES
    if (may_use_tiles()) return rate(threads, TILE_OPERATIONS * rounds, [=](int) { return multiply_tiles(rounds); });
#endif
#if defined(__AVX512BF16__)
    return rate(threads, operations(4, rounds), [=](int) {
        __m512 sums[CHAINS];
        __m512i bits = _mm512_set1_epi16(0x3f00);  // 0.5
        for (auto& sum : sums) sum = _mm512_setzero_ps();
        for (int64_t round = 0; round < rounds; round++) {
            for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, (__m512bh)bits, (__m512bh)bits);
            asm volatile("" : "+v"(bits));
        }
        __m512 all = sums[0];
        for (auto& sum : sums) all = _mm512_add_ps(all, sum);
        return static_cast<double>(_mm512_reduce_add_ps(all));
    });
#else
    return limit_fp32(rounds, threads);
#endif
}

double limit_int8(int64_t rounds, int threads) {
#if defined(__AVX512VNNI__)
    return rate(threads, operations(8, rounds), [=](int) {
        __m512i sums[CHAINS], bytes = _mm512_set1_epi8(1);
        for (auto& sum : sums) sum = _mm512_setzero_si512();
        for (int64_t round = 0; round < rounds; round++) {
            for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, bytes, bytes);
            asm volatile("" : "+v"(bytes));
        }
        __m512i all = sums[0];
        for (auto& sum : sums) all = _mm512_add_epi32(all, sum);
        return static_cast<double>(_mm512_reduce_add_epi32(all));
    });
#else
    return rate(threads, operations(2, rounds), [=](int) { return multiply_add<uint32_t>(rounds); });
#endif
}

}  // extern "C"
