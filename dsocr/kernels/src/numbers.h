// Numbers of 16 bits: bfloat16 and half, to float and back.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

inline float widen(std::uint16_t half) {
    std::uint32_t bits = std::uint32_t(half) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

inline std::uint16_t narrow(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return std::uint16_t((bits >> 16) | 64);  // not a number stays one
    return std::uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);               // to the nearest, ties to even
}

inline float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = std::uint32_t(half & 0x8000) << 16;
    const int exponent = (half >> 10) & 31;
    const int fraction = half & 1023;
    float value = exponent ? std::ldexp(float(fraction + 1024), exponent - 25) : std::ldexp(float(fraction), -24);
    return sign ? -value : value;
}
