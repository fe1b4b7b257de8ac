// The journal of an evaluation: the input as the file, and its lines with checksums that fit, merged. What is
// accepted counts as many pixels as its images have, and has numbers that can be measured.
#include "runtime/evaluation/merge.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/signed_lines.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

void merge_labels(Bytes file) {
  const MemoryFile on_disk(file);
  const std::vector<std::string> paths{on_disk.path()};
  Evaluation e;
  if (!may_refuse([&] { e = merge_evaluations(paths, true); })) return;
  std::int64_t pixels = 0;
  for (const ImageScore& image : e.images) pixels += image.pixels;
  promise(e.confusion.pixels() == pixels, "pixels: ", e.confusion.pixels(), " and ", pixels);
  promise(!e.binary, "a reading of masks that is not settled");
  promise(static_cast<std::size_t>(e.confusion.classes) == e.classes.size(), "classes without names");
  may_refuse([&] { notes(e); });
}

}  // namespace

void evaluation_state(Bytes input) {
  merge_labels(input);
  merge_labels(as_bytes(signed_lines(input)));
}

}  // namespace atrous::fuzz
