// What the expressions of sim/engine/cpp/native.py use: values of CXXRTL of 33 to 64 bits as one number.

#include <cstdint>

inline uint64_t load64(const uint32_t *chunks) { return chunks[0] | uint64_t(chunks[1]) << 32; }

inline void store64(uint32_t *chunks, uint64_t number) {
    chunks[0] = uint32_t(number);
    chunks[1] = uint32_t(number >> 32);
}

// Give a register its next value; return whether that is another one.
inline bool commit32(uint32_t *curr, const uint32_t *next) {
    bool changed = curr[0] != next[0];
    curr[0] = next[0];
    return changed;
}

inline bool commit64(uint32_t *curr, const uint32_t *next) {
    bool changed = curr[0] != next[0] || curr[1] != next[1];
    curr[0] = next[0];
    curr[1] = next[1];
    return changed;
}
