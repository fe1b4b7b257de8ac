#include "runtime/evaluation/merge.h"

#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "runtime/evaluation/coco_state.h"
#include "runtime/evaluation/evaluation_state.h"
#include "runtime/evaluation/journal.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

constexpr std::int64_t most_images = std::int64_t{1} << 32;

// "3, 5 and 12 more"
std::string some_numbers(const std::vector<std::size_t>& numbers) {
  constexpr std::size_t shown = 10;
  std::string said;
  for (std::size_t i = 0; i < numbers.size() && i < shown; ++i)
    said += str_cat(i > 0 ? ", " : "", numbers[i]);
  return numbers.size() > shown ? str_cat(said, " and ", numbers.size() - shown, " more") : said;
}

// States that are to be of one run.
class States {
 public:
  explicit States(std::span<const std::string> paths, bool partial) : paths_(paths), partial_(partial) {}

  std::size_t images() const { return images_; }

  // head: of every state. record: with the place of its image in the whole list.
  void read(const std::function<void(const StateReader&, const Json&)>& head,
            const std::function<void(const StateReader&, const Json&, std::size_t)>& record) {
    for (const std::string& path : paths_) {
      const StateReader reader{path};
      std::optional<Shard> shard;
      std::size_t done = 0, all = 0;
      read_journal(path, [&](const Json& json) {
        if (!shard) {
          shard = take_head(reader, json);
          all = shard->size(images_);
          head(reader, json);
          return true;
        }
        if (done == all) reader.refuse("counts more than the ", all, " images of its shard");
        record(reader, json, shard->at(done++));
        return true;
      });
      if (done < all && !partial_)
        reader.refuse("has ", done, " of the ", all, " images of shard ", shard->number, " of ", shard->count,
                      "; --partial merges what is there");
    }
    std::vector<std::size_t> missing;
    for (std::size_t number = 1; number <= count_; ++number)
      if (!owners_.contains(number)) missing.push_back(number);
    if (!missing.empty() && !partial_)
      fail(ErrorCode::malformed, "of ", count_, " shards ", missing.size(),
           missing.size() == 1 ? " is missing, number " : " are missing, numbers ", some_numbers(missing),
           "; --partial merges what is there");
  }

 private:
  Shard take_head(const StateReader& reader, const Json& head) {
    const Shard shard = reader.shard(head);
    auto run = reader.identity(head);
    run["kind"] = reader.kind(head);
    run["shards"] = std::to_string(shard.count);
    const auto images = static_cast<std::size_t>(reader.integer(head, "images", 0, most_images));
    run["images in all"] = std::to_string(images);
    if (const Json::Object* about = reader.member(head, "about").object())
      for (const JsonMember& one : *about) run["description: " + one.key] = json_text(one.value).text;
    if (owners_.empty()) {
      run_ = std::move(run);
      images_ = images;
      count_ = shard.count;
    } else {
      compare(reader.path, run);
    }
    if (const auto [at, fresh] = owners_.emplace(shard.number, reader.path); !fresh)
      fail(ErrorCode::mismatch, reader.path, " and ", at->second, ": are both of shard ", shard.number,
           " of ", shard.count);
    return shard;
  }

  void compare(const std::string& path, const std::map<std::string, std::string>& run) const {
    if (const auto other = difference_of(run_, run))
      fail(ErrorCode::mismatch, path, ": is of another run than ", paths_.front(), ": ", other->what, " is ",
           other->second, ", not ", other->first);
  }

  const std::span<const std::string> paths_;
  const bool partial_;
  std::map<std::string, std::string> run_;
  std::map<std::size_t, std::string> owners_;  // of shards, by number
  std::size_t images_ = 0, count_ = 0;
};

// What is left to add once the whole numbers are.
void drop_counts(ImageCounts& counts) {
  counts.confusion = counts.sharpened = {};
  counts.scores.positives = counts.scores.all = {};
}

}  // namespace

std::string kind_of_state(const std::string& path) try {
  std::string kind;
  read_journal(path, [&](const Json& head) {
    kind = StateReader{path}.kind(head);
    return false;
  });
  return kind;
} catch (...) {
  rethrow_as_error();
}

Evaluation merge_evaluations(std::span<const std::string> paths, bool partial) try {
  std::optional<Evaluation> empty;
  Evaluation e;
  std::map<std::size_t, EvaluatedImage> images;
  States states(paths, partial);
  states.read(
      [&](const StateReader& reader, const Json& head) {
        if (empty) return;
        empty = EvaluationReader{{reader.path}}.empty(head);
        e = *empty;
      },
      [&](const StateReader& reader, const Json& record, std::size_t at) {
        EvaluatedImage image = EvaluationReader{{reader.path}}.image(record, *empty);
        add_counts(e, image);
        drop_counts(image.counts);
        if (image.foreground) drop_counts(*image.foreground);
        images.emplace(at, std::move(image));
      });
  for (auto& [at, image] : images) {
    e.seconds += image.seconds;
    add_image(e, std::move(image));
  }
  settle_binary(e);
  expect_images(e);
  e.missing = states.images() - images.size();
  return e;
} catch (...) {
  rethrow_as_error();
}

DetectionsOfState run_of_state(const std::string& path) try {
  DetectionsOfState state;
  read_journal(path, [&](const Json& head) {
    const DetectionsReader reader{{path}};
    state = {reader.run(head), static_cast<std::size_t>(reader.integer(head, "images", 0, most_images))};
    return false;
  });
  return state;
} catch (...) {
  rethrow_as_error();
}

DetectedCoco merge_detections(std::span<const std::string> paths, bool partial,
                              std::span<const CocoImage> images) try {
  const std::string expected = images_identity(images);
  std::optional<DetectionRun> run;
  std::map<std::size_t, DetectedImage> found;
  States states(paths, partial);
  states.read(
      [&](const StateReader& reader, const Json& head) {
        if (const std::string was = reader.identity(head)["images"]; was != expected)
          fail(ErrorCode::mismatch, reader.path,
               ": is of other images than the annotations have: images was ", printable(was), ", is ",
               expected);
        if (!run) run = DetectionsReader{{reader.path}}.run(head);
      },
      [&](const StateReader& reader, const Json& record, std::size_t at) {
        if (at >= images.size()) reader.refuse("counts more images than the annotations have");
        found.emplace(at, DetectionsReader{{reader.path}}.image(record, images[at], *run));
      });
  DetectedCoco all;
  for (auto& [at, image] : found) {
    all.seconds += image.seconds;
    add_image(all, images[at], std::move(image));
  }
  expect_images(all);
  return all;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
