// Tiles of Intel's AMX: eight of 16 rows of 64 bytes, of which two are multiplied as bfloat16 and added to a third.

#pragma once

#if defined(__AVX512BF16__) && defined(__linux__) && defined(__x86_64__) && \
    (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)

#define HAS_TILES
#define TILES __attribute__((target("amx-tile,amx-bf16")))  // a function that makes use of them
// Some compilers' headers cast the first term of an address alone, and do not say that these touch memory.
#define LOAD(tile, address, stride) _tile_loadd(tile, (address), (stride))
#define STORE(tile, address, stride) _tile_stored(tile, (address), (stride))
#define ALL_IS_WRITTEN __asm__ volatile("" ::: "memory")

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

// For what tiles are loaded from: it begins at a line of the cache.
template <typename T> struct Room {
    explicit Room(std::int64_t count = 0) { at(count); }

    T *at(std::int64_t count) {  // never smaller than before
        if (std::int64_t(held.size()) < count + 64) held.resize(count + 64);
        return data();
    }

    T *data() { return const_cast<T *>(const_cast<const Room *>(this)->data()); }

    const T *data() const {
        const auto address = reinterpret_cast<std::uintptr_t>(held.data());
        return held.data() + ((64 - address % 64) % 64) / sizeof(T);
    }

    std::vector<T> held;
};

// 2^x to 3e-6, and 0 for what is far below.
inline __m512 power_of_two(__m512 x) {
    const __m512 rest = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);  // from 0 to 1
    __m512 sum = _mm512_set1_ps(1.3534167e-2f);
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(5.2011468e-2f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(0.24144275f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(0.69300383f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1.0000026f));
    return _mm512_scalef_ps(sum, x);
}

struct alignas(64) TileSizes {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t columns[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

TILES inline void set_up_tiles() {  // for this thread
    static const TileSizes sizes;
    _tile_loadconfig(&sizes);
}

TILES inline void put_tiles_away() { _tile_release(); }

// sums [32 rows, 32 columns] = rows [32, wide], `stride` bytes apart, times 32 columns: sixteen and sixteen of them as pairs
// of numbers [wide / 2, 16, 2]. Each sum is one chain over `wide`, whatever the others are.
TILES inline void multiply_block(
    const std::uint16_t *rows, std::int64_t stride, const std::uint16_t *first, const std::uint16_t *second,
    std::int64_t wide, float *sums, std::int64_t step = 32) {
    ALL_IS_WRITTEN;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (std::int64_t at = 0; at < wide; at += 32) {
        LOAD(4, rows + at, stride);
        LOAD(5, rows + 8 * stride + at, stride);
        LOAD(6, first + at * 16, 64);
        LOAD(7, second + at * 16, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    STORE(0, sums, step * 4);
    STORE(1, sums + 16, step * 4);
    STORE(2, sums + 16 * step, step * 4);
    STORE(3, sums + 16 * step + 16, step * 4);
    ALL_IS_WRITTEN;
}

// Whether the processor has tiles and the system lets this process use them.
inline bool may_use_tiles() {
    static const bool allowed = [] {
        unsigned a, b, c, d;
        constexpr unsigned BFLOAT16 = 1u << 22, AMX_TILE = 1u << 24;
        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & BFLOAT16) || !(d & AMX_TILE)) return false;
        return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
    }();
    return allowed;
}

#endif
