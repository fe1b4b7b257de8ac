// --protocol, --scales, --flip and what belongs to them, and --tile and --overlap, which without a protocol
// are those of large pictures, in the verbs that segment photos.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "runtime/segment/test_protocol.h"
#if ATROUS_HAS_TILES
#include "runtime/tiles/tiled.h"
#endif

namespace atrous::cli {

struct ProtocolArguments {
  std::string name = {}, scales = {}, tile = {}, overlap = {};
  int base_size = 0;  // 0: not given
  bool flip = false;

  // The first option that was given; null where none was.
  const char* given() const;

  // What contradicts itself or the way photos are resized, before there is a model. UsageError.
  void check(const SizeOptions&) const;

#if ATROUS_HAS_TILES
  // Of large pictures, at their own size; none where none is asked for. UsageError as check(Tiling).
  std::optional<Tiling> tiling() const;
#endif

  // None where none is asked for. UsageError as check(TestProtocol).
  std::optional<TestProtocol> protocol(const Model&) const;
};

void add_protocol_options(Verb&, ProtocolArguments&, const std::string& group);

}  // namespace atrous::cli
