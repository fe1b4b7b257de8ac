#include "runtime/segment/options_json.h"

namespace atrous {

JsonText crf_json(const CrfParameters& o) {
  return json_object(
      {{"iterations", o.iterations},
       {"gaussian", json_object({{"weight", o.gaussian.weight}, {"xy", o.gaussian.xy}})},
       {"bilateral",
        json_object({{"weight", o.bilateral.weight}, {"xy", o.bilateral.xy}, {"rgb", o.bilateral.rgb}})}});
}

JsonText protocol_json(const TestProtocol& p) {
  JsonText out =
      json_object({{"style", name_of(p.style)}, {"scales", json_list(p.scales)}, {"flip", p.flip}});
  if (p.tile_width > 0) {
    add_member(out, "base_size", p.base_size);
    add_member(out, "tile_width", p.tile_width);
    add_member(out, "tile_height", p.tile_height);
    if (p.overlap >= 0) add_member(out, "overlap", p.overlap);
  }
  return out;
}

}  // namespace atrous
