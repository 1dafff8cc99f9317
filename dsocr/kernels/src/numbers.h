// Numbers of 16 bits, to float and back; rounding and powers of e in forms that compilers turn into vectors.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

constexpr float LOG2_E = 1.44269504f;
constexpr float NEVER = -1e30f;  // the logit of a key that is not there

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

// The same of what is a number, in a form that compilers turn into vectors.
inline std::uint16_t rounded(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return std::uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = std::uint32_t(half & 0x8000) << 16;
    const int exponent = (half >> 10) & 31;
    const int fraction = half & 1023;
    float value = exponent ? std::ldexp(float(fraction + 1024), exponent - 25) : std::ldexp(float(fraction), -24);
    return sign ? -value : value;
}

// The nearest whole number, ties to even, of a number of at most 2^22 either way; of anything else, some number.
inline std::int32_t nearest(float value) {
    const float shifted = value + 12582912.0f;  // 1.5 · 2^23: what is left of the fraction is rounded off
    std::int32_t bits;
    std::memcpy(&bits, &shifted, 4);
    return bits - 0x4b400000;
}

// e^x to a few units in the last place, for x from -87 to 88; beyond, what it is at the nearer of these.
inline float power_of_e(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const std::int32_t whole = nearest(x * LOG2_E);
    float rest = x - float(whole) * 0.693359375f;  // ln 2 in two parts, of which the first has few digits
    rest += float(whole) * 2.12194440e-4f;
    float sum = 1.9841270e-4f;  // Taylor's series, to the seventh power
    sum = sum * rest + 1.3888889e-3f;
    sum = sum * rest + 8.3333333e-3f;
    sum = sum * rest + 4.1666667e-2f;
    sum = sum * rest + 1.6666667e-1f;
    sum = sum * rest + 0.5f;
    sum = sum * rest * rest + rest + 1.0f;
    const std::uint32_t bits = std::uint32_t(whole + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, 4);
    return sum * scale;
}
