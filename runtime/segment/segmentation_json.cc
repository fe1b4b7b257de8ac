#include "runtime/segment/segmentation_json.h"

#include "runtime/engine/program.h"

namespace atrous {

JsonText class_share_json(const ClassShare& c, const Model& model) {
  return json_object({{"index", c.index},
                      {"name", model.classes[static_cast<std::size_t>(c.index)]},
                      {"pixels", c.pixels},
                      {"share", c.share},
                      {"confidence", c.confidence}});
}

JsonText segmentation_json(std::string_view file, const Model& model, const Segmentation& s,
                           std::span<const JsonText> classes, std::span<const std::string> written) {
  return json_object({{"file", file},
                      {"width", s.labels.width},
                      {"height", s.labels.height},
                      {"input_width", s.input_width},
                      {"input_height", s.input_height},
                      {"device", model.program->runs_on()},
                      {"precision", model.program->precision()},
                      {"classes", json_list(classes)},
                      {"seconds", json_object({{"prepare", s.prepare_seconds},
                                               {"network", s.network_seconds},
                                               {"label", s.label_seconds}})},
                      {"written", json_list(written)}});
}

}  // namespace atrous
