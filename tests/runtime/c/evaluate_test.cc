// C: evaluations, against those of the C++ library.
#include <doctest/doctest.h>

#include <cstddef>
#include <string>

#include "runtime/evaluation/evaluate.h"
#include "runtime/evaluation/evaluation_json.h"
#include "tests/support/c_testing.h"
#include "tests/support/cli_testing.h"
#include "tests/support/evaluate_testing.h"

namespace atrous::c_evaluate_test {

using namespace atrous::c_testing;

TEST_CASE("C: an evaluation is the JSON of the C++ library, and a caller may end it") {
  const evaluate_testing::Pairs pairs;
  const auto c = c_model();
  const std::string photos = pairs.folder / "photos", labels = pairs.folder / "labels";
  struct Seen {
    std::size_t calls = 0, all = 0, stop_at = 0;
  } seen;
  atrous_evaluate_options options{};
  options.size = sizeof options;
  options.labels = labels.c_str();
  options.threads = 1;
  options.user = &seen;
  options.progress = [](void* user, std::size_t done, std::size_t all) {
    Seen& s = *static_cast<Seen*>(user);
    s.all = all;
    return static_cast<int>(++s.calls == s.stop_at && done > 0);
  };
  const auto run = [&] {
    const auto bytes = made<atrous_bytes>(
        [&](atrous_bytes** out) { return atrous_evaluate(c.get(), "pairs", photos.c_str(), &options, out); });
    std::size_t size = 0;
    const auto* data = static_cast<const char*>(atrous_bytes_data(bytes.get(), &size));
    return cli_testing::Json::parse(std::string(data, size));
  };
  const Model model = make_model(StateDict(state_of_test()), std::nullopt, {.name = "tiny", .threads = 1});
  for (const int limit : {0, 3}) {
    options.limit = limit;
    Dataset dataset = pairs.open();
    if (limit > 0) dataset.samples.resize(3);
    EvaluateOptions how{.session = {.threads = 1}};
    how.model = "tiny";
    how.dataset = described(dataset, 6);
    cli_testing::Json expected = cli_testing::Json::parse(evaluation_json(evaluate(model, dataset, how)));
    cli_testing::Json found = run();
    for (auto* json : {&expected, &found}) {  // clocks differ
      json->erase("seconds");
      for (auto& image : (*json)["per_image"]) image.erase("seconds");
    }
    CHECK(found == expected);
    CHECK(seen.all == (limit > 0 ? 3 : 6));
  }
  // Behind a CRF and mirrored too; in tiles; by a program that knows neither.
  const atrous_crf_options crf{.size = sizeof crf, .iterations = 2};
  const atrous_protocol_options flip{.size = sizeof flip, .flip = 1};
  options.limit = 2;
  options.crf = &crf;
  options.protocol = &flip;
  cli_testing::Json found = run();
  CHECK(found["crf"]["iterations"] == 2);
  CHECK(found["protocol"]["flip"] == true);
  options.crf = nullptr;
  options.protocol = nullptr;
  options.tile = 16;
  options.at_original = 1;
  found = run();
  CHECK(found["tiles"]["tile"] == 16);
  CHECK(found["tiles"]["overlap"] == 2);
  options.size = 80;  // of the first version
  CHECK_FALSE(run().contains("tiles"));
  options.size = sizeof options;
  options.tile = 0;
  options.at_original = 0;
  options.limit = 0;
  seen = {.stop_at = 1};
  CHECK(run()["images"] < 6);
  fails<atrous_bytes>(ATROUS_INVALID_ARGUMENT, "nosuch", [&](atrous_bytes** out) {
    return atrous_evaluate(c.get(), "nosuch", photos.c_str(), nullptr, out);
  });
  fails<atrous_bytes>(ATROUS_IO, "/no/such", [&](atrous_bytes** out) {
    return atrous_evaluate(c.get(), "voc", "/no/such", nullptr, out);
  });
}

}  // namespace atrous::c_evaluate_test
