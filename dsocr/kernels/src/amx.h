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

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

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

// Whether the processor has tiles and the system lets this process use them.
inline bool may_use_tiles() {
    static const bool allowed = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
    return allowed;
}

#endif
