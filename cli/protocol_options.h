// --protocol, --scales, --flip and what belongs to them, in the verbs that segment photos.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "runtime/segment/test_protocol.h"
#include "weights_tools/io/json.h"

namespace atrous::cli {

struct ProtocolArguments {
  std::string name = {}, scales = {}, tile = {}, overlap = {};
  int base_size = 0;  // 0: not given
  bool flip = false;

  // The first option that was given; null where none was.
  const char* given() const;

  // What contradicts itself or the way photos are resized, before there is a model. UsageError.
  void check(const SizeOptions&) const;

  // None where none is asked for. UsageError as check(TestProtocol).
  std::optional<TestProtocol> protocol(const Model&) const;
};

void add_protocol_options(Verb&, ProtocolArguments&, const std::string& group);

JsonText protocol_json(const TestProtocol&);

}  // namespace atrous::cli
