// A memory of CXXRTL whose pages take room only where something was written.
//
// The base class writes its zeros, so the cells of a channel of a gigabyte would take a gigabyte.

#include <cstdlib>
#include <new>

#include <cxxrtl/cxxrtl.h>

template <size_t Width> struct sparse_memory : cxxrtl::memory<Width> {
    using word = cxxrtl::value<Width>;

    explicit sparse_memory(size_t depth) : cxxrtl::memory<Width>(0) {
        void *zeros = std::calloc(depth, sizeof(word)); // pages that the system fills when touched
        if (!zeros)
            throw std::bad_alloc();
        this->data.reset(static_cast<word *>(zeros));
        const_cast<size_t &>(this->depth) = depth; // const, but not to those who make the object
    }
    sparse_memory(sparse_memory &&) = default;
    ~sparse_memory() { std::free(this->data.release()); }
};
