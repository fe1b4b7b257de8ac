// From a checkpoint to a network: either any bytes, or the state dict of a tiny network with a few entries
// dropped, renamed, reshaped and filled otherwise. What build_network accepts has shapes that can be
// inferred.
#include <limits>
#include <map>
#include <utility>

#include "layers/base/checked.h"
#include "layers/networks/segmentation.h"
#include "tests/fuzz/read_tensors.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/seeded.h"

namespace atrous::fuzz {

namespace {

using Entries = std::vector<StateDict::Entry>;

constexpr std::string_view architectures[] = {"fcn_resnet18",
                                              "fcn_resnet(1,1,2,1)",
                                              "deeplabv3_resnet18",
                                              "deeplabv3_resnet(1,1,1,1)",
                                              "deeplabv3_mobilenet_v3_large",
                                              "fcn_mobilenet_v3_small",
                                              "lraspp_mobilenet_v3_large",
                                              "lraspp_mobilenet_v3_small"};

// Made once each: their weights take longer than all that is done to them.
const Entries& seeded(std::size_t architecture, bool aux) {
  static std::map<std::pair<std::size_t, bool>, Entries> made;
  Entries& entries = made[{architecture, aux}];
  if (entries.empty())
    entries = seeded_state(architectures[architecture], {.classes = 3, .width = 4, .aux = aux}).entries();
  return entries;
}

std::int64_t dimension(Draws& draws) {
  switch (draws.pick(0, 7)) {
    case 0:
      return 0;
    case 1:
      return std::numeric_limits<std::int64_t>::max() - draws.byte();
    case 2:
      return std::int64_t{1} << draws.pick(0, 62);
    case 3:
      return 256 * draws.byte();
    default:
      return draws.pick(1, 64);
  }
}

// A tensor of that shape whose bytes are all `fill`, if it is small enough to have been in a small file.
StateTensor filled(DType dtype, std::vector<std::int64_t> shape, std::byte fill) {
  constexpr std::int64_t most = 1 << 16;
  std::int64_t elements = most + 1;
  may_refuse([&] { elements = checked_product(shape, "shape"); });
  if (elements > most) shape = {}, elements = 1;
  const auto buffer = std::make_shared<Buffer>(static_cast<std::size_t>(elements) * size_of(dtype));
  std::fill_n(buffer->data(), buffer->size(), fill);
  return {dtype, std::move(shape), {buffer, buffer->data()}};
}

void spoil(Entries& entries, Draws& draws) {
  if (entries.empty()) return;
  const std::size_t at = (draws.byte() * std::size_t{256} + draws.byte()) % entries.size();
  auto& [name, tensor] = entries[at];
  const std::byte fill{draws.byte()};
  switch (draws.pick(0, 8)) {
    case 0:
      entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(at));
      return;
    case 1:
      name = std::string(as_text(draws.take(draws.byte() % 64)));
      return;
    case 2:
      name += as_text(draws.take(draws.byte() % 8));
      return;
    case 3: {  // another layer's place: "layer2" for "layer1"
      const std::size_t digit = name.find_first_of("0123456789");
      if (digit != name.npos) name[digit] = static_cast<char>('0' + draws.pick(0, 9));
      return;
    }
    case 4:
      if (!tensor.shape.empty()) {
        auto shape = tensor.shape;
        shape[static_cast<std::size_t>(draws.byte()) % shape.size()] = dimension(draws);
        tensor = filled(tensor.dtype, shape, fill);
      }
      return;
    case 5: {
      std::vector<std::int64_t> shape;
      for (std::int64_t rank = draws.pick(0, 8); rank > 0; --rank) shape.push_back(dimension(draws));
      tensor = filled(tensor.dtype, shape, fill);
      return;
    }
    case 6:  // of another kind of numbers
      tensor = filled(static_cast<DType>(draws.pick(0, 9)), tensor.shape, fill);
      return;
    case 7:  // NaN, infinite, negative, tiny
      tensor = filled(tensor.dtype, tensor.shape, fill);
      return;
    default: {  // entries with another one's tensor
      tensor = entries[draws.byte() % entries.size()].second;
    }
  }
}

// A prefix of a name with another number of channels throughout: what is consistent in itself goes further.
void rescale(Entries& entries, Draws& draws) {
  const std::int64_t from = draws.pick(1, 64), to = dimension(draws);
  for (auto& [name, tensor] : entries) {
    auto shape = tensor.shape;
    std::ranges::replace(shape, from, to);
    if (shape != tensor.shape) tensor = filled(tensor.dtype, shape, std::byte{0x3c});
  }
}

StateDict spoilt_state(Draws& draws) {
  const auto architecture = static_cast<std::size_t>(draws.pick(0, std::ssize(architectures) - 1));
  Entries entries = seeded(architecture, draws.flip());
  if (draws.pick(0, 3) == 0) rescale(entries, draws);
  for (std::int64_t times = draws.pick(0, 6); times > 0; --times) spoil(entries, draws);
  StateDict state;
  for (auto& [name, tensor] : entries) state.add(name, tensor);
  return state;
}

void build(const StateDict& state, bool aux) {
  const Network network = build_network(state, {.aux = aux});
  promise(network.classes >= 1, "a network of ", network.classes, " classes");
  for (const std::int64_t side : {1, 33})
    for (const auto& [name, output] : network.graph.outputs) {
      const Shape shape =
          infer_shapes(network.graph, {1, side, side, 3}).at(static_cast<std::size_t>(output));
      promise(shape.c == network.classes, name, " has ", shape.c, " channels of ", network.classes,
              " classes");
    }
}

}  // namespace

void checkpoint(Bytes input) {
  may_refuse([&] { build(load_checkpoint(input, "fuzz.pth").state, false); });
  may_refuse([&] {
    Draws draws(input);
    const bool aux = draws.flip();
    build(spoilt_state(draws), aux);
  });
}

}  // namespace atrous::fuzz
