// Searching: the candidates for a layer's shape are timed, and the quickest is kept in a file for the next
// process.
//
// The file is text, a line for each: key, choice, milliseconds and a checksum of these, with tabs between.
// A key names all that the answer depends on: the GPU, the library's version, the layer, the shapes. Lines
// that are damaged are passed over; a file that cannot be read is an empty one.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "layers/cuda/cuda.h"

namespace atrous::cuda {

struct Found {
  std::string choice;  // in the words of who searched
  double milliseconds = 0;
};
std::optional<Found> find_search(const std::string& file, const std::string& key);

// Beside what the file holds; it changes as a whole or not at all. Error(io) when it cannot be written.
void keep_search(const std::string& file, const std::string& key, const Found&);

// Whether a candidate that failed so is only none for this layer, and the others are to be tried: it was
// refused, or there was not enough memory for it. A fault of the device is neither.
inline bool is_unfit(const Error& error) {
  return error.code() == ErrorCode::unsupported || error.code() == ErrorCode::limit;
}

// What the work takes on a stream of its own: the median of a few runs after a first one.
double time_milliseconds(const std::function<void(cudaStream_t)>& enqueue);

}  // namespace atrous::cuda
