// The state of an interrupted evaluation: the input as the file, and as the state in a file whose checksum is
// right. What is refused leaves the evaluation as it was; what is accepted counts as many pixels as its
// images have.
#include <nlohmann/json.hpp>

#include "runtime/evaluation/evaluation_state.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/io/sha256.h"

namespace atrous::fuzz {

namespace {

void load(Bytes file) {
  const MemoryFile on_disk(file);
  Evaluation evaluation;
  evaluation.confusion = ConfusionMatrix(2);
  evaluation.binary.emplace();
  const bool loaded = may_refuse([&] {
    load_evaluation(on_disk.path(), {{"model", "m"}}, {"a", "b", "c"}, evaluation);
  });
  std::int64_t pixels = 0;
  for (const ImageScore& image : evaluation.images) pixels += image.pixels;
  promise(evaluation.confusion.counts.size() == 4, evaluation.confusion.counts.size(), " counts");
  promise(evaluation.confusion.pixels() == pixels, "pixels: ", evaluation.confusion.pixels(), " and ",
          pixels);
  if (loaded && evaluation.binary)
    promise(evaluation.binary->images.size() == evaluation.images.size(), "images of two lengths");
  promise(evaluation.images.size() + evaluation.failed.size() <= 3, "more images than there are");
  if (!loaded) promise(evaluation.images.empty() && evaluation.failed.empty(), "half a state");
  if (loaded) may_refuse([&] { evaluation.metrics(); });
}

}  // namespace

void evaluation_state(Bytes input) {
  load(input);
  const auto state = nlohmann::ordered_json::parse(as_text(input), nullptr, false);
  if (state.is_discarded()) return;
  const std::string body = state.dump();
  load(as_bytes(str_cat("{\"atrous_evaluation\": 2, \"sha256\": \"", sha256_of_bytes(as_bytes(body)),
                        "\", \"state\": ", body, "}")));
}

}  // namespace atrous::fuzz
