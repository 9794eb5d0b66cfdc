// A compiled design behind a C interface: ports and memories by name, many cycles in one call.
//
// SINGLE_PHASE is defined where Yosys found no combinational feedback and no combinational wire
// between modules: then one evaluation with the clock high computes a cycle's outputs and the next
// state, and the rewritten edge detectors (see code.py) make every such evaluation a cycle.
// Elsewhere outputs settle with the clock low, and a second evaluation is the clock edge.

#include "native.h"
#include "sparse_memory.h"

#pragma GCC visibility push(hidden) // so that calls within it are direct
#include "design.cc"
#pragma GCC visibility pop

#include <chrono>
#include <cstring>

namespace {

using cxxrtl::debug_item;

struct Design {
    cxxrtl_design::p_top top;
    cxxrtl::debug_items items;
    uint32_t *clock = nullptr;
    std::string names;

    Design() {
        top.debug_info(&items, nullptr, "");
        if (items.count("clk"))
            clock = items["clk"].curr;
        settle();
    }

    void set_clock(uint32_t level) {
        if (clock)
            *clock = level;
    }

    // Make outputs a function of the present inputs and state.
    void settle() {
        set_clock(0);
#ifdef SINGLE_PHASE
        top.wake();
        top.eval();
#else
        top.step();
#endif
        wake();
    }

    // To be called after memories may have been changed from outside.
    void wake() {
#ifdef SINGLE_PHASE
        top.wake();
#endif
    }

    // Run one clock cycle; `observe` is called when the cycle's outputs are there.
    template <class Observe> void cycle(Observe observe) {
#ifdef SINGLE_PHASE
        set_clock(1);
        top.eval();
        observe();
        top.commit();
#else
        settle();
        observe();
        set_clock(1);
        top.step();
#endif
    }

    const debug_item *find(const char *name) const {
        auto found = items.table.find(name);
        return found == items.table.end() || found->second.size() != 1 ? nullptr
                                                                      : &found->second[0];
    }
};

// Time slices of a long call, so that its caller can look for an interrupt in between; and for
// changes of memories, so that each begins with the whole design awake.
class Slice {
    std::chrono::steady_clock::time_point end;
    unsigned count = 0;

  public:
    Slice(Design &design, double seconds)
        : end(std::chrono::steady_clock::now() +
              std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                  std::chrono::duration<double>(seconds))) {
        design.wake();
    }

    bool over() { return (++count & 63) == 0 && std::chrono::steady_clock::now() >= end; }
};

} // namespace

extern "C" {

// Ports in the order of their columns in a trace: where they are and how many words they have.
struct Ports {
    uint32_t count;
    uint32_t *const *words;
    const uint32_t *lengths;
};

Design *design_create() { return new Design; }

void design_destroy(Design *design) { delete design; }

// Return the words of a port, or of a memory's first entry; null if there is none of that name.
uint32_t *design_find(Design *design, const char *name, uint32_t *width, uint32_t *depth) {
    const debug_item *item = design->find(name);
    if (!item)
        return nullptr;
    *width = item->width;
    *depth = item->type == debug_item::MEMORY ? item->depth : 0;
    return item->curr;
}

// Return the names of all memories, a line each.
const char *design_memories(Design *design) {
    design->names.clear();
    for (const auto &entry : design->items.table)
        if (entry.second[0].type == debug_item::MEMORY)
            design->names += entry.first + "\n";
    return design->names.c_str();
}

void design_settle(Design *design) {
    design->settle();
}

// Run with inputs as they are; return how many cycles there was time for.
uint64_t design_step(Design *design, uint64_t cycles, double seconds) {
    Slice slice(*design, seconds);
    uint64_t done = 0;
    while (done < cycles && !(done && slice.over())) {
        design->cycle([] {});
        done++;
    }
    return done;
}

// Run with a row of inputs a cycle, record a row of outputs; return how many there was time for.
uint64_t design_replay(Design *design, uint64_t cycles, double seconds, const Ports *in,
                       const Ports *out, const uint32_t *inputs, uint32_t *outputs) {
    Slice slice(*design, seconds);
    uint64_t done = 0;
    while (done < cycles && !(done && slice.over())) {
        for (uint32_t i = 0; i < in->count; inputs += in->lengths[i++])
            std::memcpy(in->words[i], inputs, 4 * in->lengths[i]);
        design->cycle([&] {
            for (uint32_t i = 0; i < out->count; outputs += out->lengths[i++])
                std::memcpy(outputs, out->words[i], 4 * out->lengths[i]);
        });
        done++;
    }
    return done;
}

} // extern "C"
