// Runs programs on a compiled hw.device.Device: feeds the queues, notes when instructions start and
// retire, and records every DRAM command and acceptance, all in one call for many cycles.

#include "driver.cc"

#include <vector>

extern "C" {

// A queue: where its ports are, its instructions in words, and when they started and retired.
struct QueueState {
    uint32_t *payload;
    uint32_t *valid;
    const uint32_t *ready;
    uint32_t words;
    const uint32_t *stream;
    uint64_t count, pushed, started, retired;
    uint64_t *starts, *retires;
};

// A field of the trace port, and where it goes in a record.
struct TraceField {
    uint32_t bit, width, offset, bytes;
};

// What makes a record: a condition field (the record exists where it is not zero), and its fields.
struct TraceRecord {
    TraceField condition;
    uint32_t count;
    const TraceField *fields;
    int32_t command; // stored where it is not negative, else the condition is
};

struct Run {
    uint32_t queues;
    QueueState *queue;
    const uint32_t *start, *retire, *done, *error;
    uint32_t *list_write;
    uint32_t list_words;
    const uint32_t *list;
    uint64_t list_count, list_pushed;
    uint32_t channels;
    const uint32_t *const *trace;
    uint32_t kinds;
    const TraceRecord *kind;
    uint32_t record_bytes, cycle_offset, channel_offset, command_offset;
    uint64_t first_cycle; // since reset, of the run's cycle 0
    uint64_t cycle;       // of the run
    uint64_t limit;       // cycles without any start or retirement after which it has hung
    uint64_t last_event;
    uint32_t state; // 0 runs, 1 done, 2 error, 3 hung
};

std::vector<uint8_t> *trace_create() { return new std::vector<uint8_t>; }
void trace_destroy(std::vector<uint8_t> *trace) { delete trace; }
const uint8_t *trace_data(std::vector<uint8_t> *trace) { return trace->data(); }
uint64_t trace_bytes(std::vector<uint8_t> *trace) { return trace->size(); }

} // extern "C"

namespace {

uint32_t field_of(const uint32_t *words, const TraceField &field) {
    uint32_t word = field.bit >> 5, shift = field.bit & 31;
    uint64_t value = words[word];
    if (shift + field.width > 32)
        value |= uint64_t(words[word + 1]) << 32;
    return uint32_t(value >> shift & ((uint64_t(1) << field.width) - 1));
}

bool bit_of(const uint32_t *words, uint32_t index) { return words[index >> 5] >> (index & 31) & 1; }

void record(const Run &run, std::vector<uint8_t> &trace, uint32_t channel,
            const TraceRecord &kind, uint32_t code) {
    size_t start = trace.size();
    trace.resize(start + run.record_bytes);
    uint8_t *to = trace.data() + start;
    uint64_t cycle = run.first_cycle + run.cycle;
    uint16_t number = uint16_t(channel);
    std::memcpy(to + run.cycle_offset, &cycle, 8);
    std::memcpy(to + run.channel_offset, &number, 2);
    to[run.command_offset] = uint8_t(kind.command < 0 ? code : uint32_t(kind.command));
    for (uint32_t i = 0; i < kind.count; i++) {
        const TraceField &field = kind.fields[i];
        uint32_t value = field_of(run.trace[channel], field);
        std::memcpy(to + field.offset, &value, field.bytes);
    }
}

void feed(Run &run) {
    bool listing = run.list_pushed < run.list_count;
    for (uint32_t i = 0; i < run.list_words; i++)
        run.list_write[i] = listing ? run.list[run.list_pushed * run.list_words + i] : 0;
    for (uint32_t q = 0; q < run.queues; q++) {
        QueueState &queue = run.queue[q];
        bool valid = !listing && queue.pushed < queue.count;
        *queue.valid = valid;
        if (valid)
            std::memcpy(queue.payload, queue.stream + queue.pushed * queue.words, 4 * queue.words);
    }
}

// Look at a cycle's outputs; return whether all queues have ended.
bool look(Run &run, std::vector<uint8_t> &trace) {
    bool over = run.list_pushed >= run.list_count;
    run.list_pushed += !over;
    for (uint32_t q = 0; q < run.queues; q++) {
        QueueState &queue = run.queue[q];
        if (*queue.valid & *queue.ready & 1)
            queue.pushed++;
        if (bit_of(run.start, q) && queue.started < queue.count) {
            queue.starts[queue.started++] = run.cycle;
            run.last_event = run.cycle;
        }
        if (bit_of(run.retire, q) && queue.retired < queue.count) {
            queue.retires[queue.retired++] = run.cycle;
            run.last_event = run.cycle;
        }
        over = over && queue.retired == queue.count;
    }
    for (uint32_t c = 0; c < run.channels; c++)
        for (uint32_t k = 0; k < run.kinds; k++)
            if (uint32_t code = field_of(run.trace[c], run.kind[k].condition))
                record(run, trace, c, run.kind[k], code);
    return over;
}

} // namespace

extern "C" {

// Run until the program is over, has failed, or the time is; the state says which.
void device_run(Design *design, Run *run, std::vector<uint8_t> *trace, double seconds) {
    Slice slice(*design, seconds);
    while (run->state == 0 && !slice.over()) {
        bool over = false, done = false, error = false;
        feed(*run);
        design->cycle([&] {
            over = look(*run, *trace);
            done = *run->done & 1;
            error = *run->error & 7;
        });
        run->cycle++;
        if (error)
            run->state = 2;
        else if (over && done)
            run->state = 1;
        else if (run->cycle - run->last_event > run->limit)
            run->state = 3;
    }
    for (uint32_t q = 0; q < run->queues; q++)
        *run->queue[q].valid = 0;
}

} // extern "C"
