// Feeds a design's input streams from arrays and notes what its outputs show, many cycles a call.

#include "driver.cc"

#include <vector>

extern "C" {

// An input stream: its ports, its items in words, and when they may come and did go in.
struct Source {
    uint32_t *payload;
    uint32_t *valid;
    const uint32_t *ready;
    uint32_t words;
    const uint32_t *items;
    const uint64_t *earliest; // cycle before which an item is not offered
    const uint32_t *gap;      // nor sooner than so many cycles after the item before it went in
    uint64_t count, taken;
    uint64_t *times; // in which cycle each item went in
    uint64_t free;   // cycle from which the next may be offered
    uint64_t loaded; // items whose payload has been set
};

// An output that is noted in every cycle in which a field of it is not zero.
struct Probe {
    const uint32_t *condition;
    uint32_t bit, width;
    const uint32_t *port;
    uint32_t words;
    uint32_t wakes; // whether it shows that the design gets on
    std::vector<uint32_t> *notes; // cycle in two words, then the port
};

struct Session {
    uint32_t sources;
    Source *source;
    uint32_t probes;
    const Probe *probe;
    const uint32_t *idle; // nothing is left to do
    uint64_t cycle;
    uint64_t end;   // stop in this cycle
    uint64_t quiet; // or when all items are in and the design has been idle for so many cycles
    uint64_t limit; // or after so many without any item or note that wakes: it has hung
    uint64_t last_busy, last_event;
    uint32_t state; // 0 runs, 1 over, 2 hung
};

std::vector<uint32_t> *notes_create() { return new std::vector<uint32_t>; }
void notes_destroy(std::vector<uint32_t> *notes) { delete notes; }
void notes_clear(std::vector<uint32_t> *notes) { notes->clear(); }
const uint32_t *notes_data(std::vector<uint32_t> *notes) { return notes->data(); }
uint64_t notes_words(std::vector<uint32_t> *notes) { return notes->size(); }

} // extern "C"

namespace {

// Offer the next item of each stream whose time has come.
void offer(Session &session) {
    for (uint32_t i = 0; i < session.sources; i++) {
        Source &source = session.source[i];
        bool valid = source.taken < source.count && session.cycle >= source.free &&
                     session.cycle >= source.earliest[source.taken];
        if (valid && source.loaded == source.taken)
            std::memcpy(source.payload, source.items + source.words * source.loaded++,
                        4 * source.words);
        *source.valid = valid;
    }
}

// Look at a cycle's outputs.
void look(Session &session) {
    bool left = false;
    for (uint32_t i = 0; i < session.sources; i++) {
        Source &source = session.source[i];
        if (*source.valid & *source.ready & 1) {
            source.times[source.taken++] = session.cycle;
            session.last_event = session.cycle;
            if (source.taken < source.count)
                source.free = session.cycle + 1 + source.gap[source.taken];
        }
        left = left || source.taken < source.count;
    }
    for (uint32_t i = 0; i < session.probes; i++) {
        const Probe &probe = session.probe[i];
        if (!(*probe.condition >> probe.bit & ((uint64_t(1) << probe.width) - 1)))
            continue;
        probe.notes->push_back(uint32_t(session.cycle));
        probe.notes->push_back(uint32_t(session.cycle >> 32));
        probe.notes->insert(probe.notes->end(), probe.port, probe.port + probe.words);
        if (probe.wakes)
            session.last_event = session.cycle;
    }
    if (left || !(*session.idle & 1))
        session.last_busy = session.cycle;
}

} // namespace

extern "C" {

// Run until the session is over or the time is; its state says which.
void session_run(Design *design, Session *session, double seconds) {
    Slice slice(*design, seconds);
    while (session->state == 0 && !slice.over()) {
        offer(*session);
        design->cycle([&] { look(*session); });
        session->cycle++;
        if (session->cycle >= session->end ||
            session->cycle - session->last_busy > session->quiet)
            session->state = 1;
        else if (session->cycle - session->last_event > session->limit)
            session->state = 2;
    }
}

} // extern "C"
