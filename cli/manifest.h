// Many pictures by several processes, any of which may end at any time: --shard, --resume and --pack of
// `atrous segment`.
//
// The manifest is a journal (runtime/evaluation/journal.h) of kind "pictures", JSON lines, with a record as
// each picture is done:
//
//   {"crc32": ..., "number": of the picture in the whole list, from 1, "input": path, "sha256": of its bytes,
//    "outputs": [file or name in the tar, ...], "seconds": ..., "error": sentence or null, "packed": bytes of
//    the tar that are done}
//
// A picture with an error is tried again by the next run; its last record counts.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/inputs.h"
#include "cli/segment_options.h"
#include "cli/tar_file.h"
#include "runtime/evaluation/journal.h"

namespace atrous::cli {

using PackedFiles = std::vector<std::pair<std::string, std::vector<std::byte>>>;

// One picture's record.
struct PictureDone {
  std::size_t place = 0;  // among inputs()
  std::string sha256;
  std::vector<std::string> outputs;
  double seconds = 0;
  std::optional<std::string> error;
};

class Manifest {
 public:
  // The shard that is asked for. Names in a tar do not begin with ./; UsageError for options that do not go
  // with these.
  static Shard check(const SegmentArguments&, std::vector<Input>&);

  // `all`: the whole list; `given`: the options that results depend on. Errors of Journal and TarFile.
  Manifest(const SegmentArguments&, const Shard&, const Model&, std::vector<Input> all,
           const std::vector<std::pair<std::string, std::string>>& given);

  std::size_t size() const { return size_; }  // pictures of the shard, done or not
  // What is left to do, and a picture's number in the whole list, from 1.
  const std::vector<Input>& inputs() const { return inputs_; }
  std::size_t number(std::size_t place) const { return numbers_[place]; }

  void add(const PictureDone&, const PackedFiles&);
  void finish();

 private:
  std::vector<Input> inputs_;
  std::vector<std::size_t> numbers_;
  std::optional<Journal> journal_;
  std::optional<TarFile> tar_;
  std::size_t size_ = 0;
  int unsynced_ = 0;
};

}  // namespace atrous::cli
