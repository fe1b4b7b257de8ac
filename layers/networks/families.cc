#include <algorithm>
#include <charconv>

#include "layers/networks/family.h"

// The table of families. Each name is a constant that the file of that name defines (rcnn.cc defines two,
// maskrcnn and fasterrcnn); a checkpoint is compared with them in this order. CMake's ATROUS_FAMILIES
// replaces the list by a shorter one.
#ifndef ATROUS_FAMILIES
#define ATROUS_FAMILIES                                                                                  \
  fcn, deeplabv3, lraspp, deeplabv3plus_jfzhang, deeplabv3plus_vainf, deeplabv3_vainf, deeplabv2_kazuto, \
      pspnet_semseg, encnet, fcn_wkentaro, deconvnet, parsenet, smp_unet, smp_unetplusplus, smp_manet,   \
      smp_linknet, smp_fpn, smp_pspnet, smp_pan, smp_deeplabv3, smp_deeplabv3plus, maskrcnn, fasterrcnn
#endif

namespace atrous {

namespace networks {
extern const Family ATROUS_FAMILIES;
}

std::span<const std::reference_wrapper<const Family>> families() {
  using namespace networks;
  static constexpr std::reference_wrapper<const Family> table[] = {ATROUS_FAMILIES};
  return table;
}

const Family* family_of(std::string_view variant) {
  for (const Family& family : families())
    if (std::ranges::find(family.variants, variant) != family.variants.end() ||
        (family.is_variant && family.is_variant(variant)))
      return &family;
  return nullptr;
}

std::string_view name_of(Task task) { return task == Task::semantic ? "semantic" : "instances"; }

std::int64_t output_stride_in(std::string_view variant) {
  constexpr std::string_view mark = "-os", smp_mark = "_os";
  const std::size_t at = std::min(variant.find(mark), variant.find(smp_mark));
  if (at == variant.npos) return 0;
  std::int64_t output_stride = 0;
  const std::string_view rest = variant.substr(at + mark.size());
  std::from_chars(rest.data(), rest.data() + rest.size(), output_stride);
  return output_stride;
}

Evidence look_for(const StateDict& state, std::initializer_list<std::string_view> telling) {
  Evidence evidence;
  for (const std::string_view key : telling)
    (state.has(key) ? evidence.found : evidence.missing).emplace_back(key);
  return evidence;
}

void output(std::string name, Var value) {
  value.builder->graph.outputs.emplace_back(std::move(name), value.id);
}

}  // namespace atrous
