// POST /v1/segment: a picture's bytes in, what the request asks for out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine/session.h"
#include "runtime/instances/detector.h"
#include "runtime/segment/model.h"
#include "runtime/segment/test_protocol.h"
#include "runtime/serve/output.h"
#include "runtime/serve/problem.h"
#include "runtime/serve/router.h"

namespace atrous::serve {

constexpr std::array<std::string_view, 6> stage_names{"queue",   "decode", "prepare",
                                                      "network", "label",  "encode"};
using StageSeconds = std::array<double, stage_names.size()>;

// What a request may ask for beside one run of the network, since one request is then many times the work.
struct Refinements {
  // ?scales= and ?flip=: the pixels that the network sees, in those of the photo as one run has it: the sum
  // of the scales' squares, doubled by a flip. At most; 0: neither.
  double runs = 20;
  std::int64_t crf_pixels = 2'000'000;  // of a photo with ?crf=1, at most; 0: none
};

// One caller's: a session of the model's own kind.
class PhotoSession {
 public:
  PhotoSession(const Model&, const SessionOptions&, std::int64_t max_pixels, const Refinements&);

  // Problem for a picture of more than max_pixels, known from its header before it is decoded, for parameters
  // that cannot be, and for what the model has nothing for; Error as read_image() and segment(). The seconds
  // of each stage but the queue's are added.
  Reply answer(const Query&, std::string_view body, StageSeconds&);

 private:
  struct Asked {
    Wanted wanted;
    std::vector<std::string> parts;
    std::string name;
    std::optional<float> score;
    bool crf = false;
    std::optional<TestProtocol> protocol;
  };
  void check(const Asked&) const;
  std::optional<TestProtocol> protocol_of(const Query&) const;
  Reply label_map(const Asked&, const Image&, StageSeconds&);
  Reply instances(const Asked&, const Image&, StageSeconds&);

  const Model& model_;
  std::int64_t max_pixels_;
  Refinements refinements_;
  std::optional<Session> session_;    // of a model that gives each pixel a class
  std::optional<Detector> detector_;  // of one that finds instances
};

}  // namespace atrous::serve
