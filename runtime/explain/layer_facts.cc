#include "runtime/explain/layer_facts.h"

#include <libdeflate.h>

#include <algorithm>

#include "layers/base/error.h"
#include "runtime/explain/layer_texts.h"

namespace atrous {

namespace {

std::size_t index(ValueId v) { return static_cast<std::size_t>(v); }

struct Fields {
  ReceptiveField height, width;
};

// One side of a layer's window: how many values it covers, how far the next one is, and which value, counted
// from value 0 on, lies in the middle of the first.
ReceptiveField window(ReceptiveField field, std::int64_t covered, double step, double middle) {
  field.field += static_cast<double>(covered - 1) * field.jump;
  field.centre += middle * field.jump;
  field.jump *= step;
  return field;
}

// That of a kernel whose first place is `padding` values before the map.
ReceptiveField window(const ReceptiveField& field, std::int64_t covered, std::int64_t stride,
                      std::int64_t padding) {
  return window(field, covered, static_cast<double>(stride),
                static_cast<double>(covered - 1) / 2 - static_cast<double>(padding));
}

// Side by side: from where the first of both begins to where the last ends.
ReceptiveField joined(const ReceptiveField& a, const ReceptiveField& b) {
  const double first = std::min(a.centre - a.field / 2, b.centre - b.field / 2),
               last = std::max(a.centre + a.field / 2, b.centre + b.field / 2);
  return {last - first, a.all ? b.jump : a.jump, a.all || b.all, (first + last) / 2};
}

// A map of `in` made `out` pixels large, each of them from `read`.
ReceptiveField resized(const ReceptiveField& field, std::int64_t in, std::int64_t out, std::int64_t read,
                       bool align_corners = false) {
  const double ratio = static_cast<double>(in) / static_cast<double>(out);
  return in == out ? field : window(field, std::min(read, in), ratio, align_corners ? 0 : 0.5 * ratio - 0.5);
}

ReceptiveField pooled(ReceptiveField field, std::int64_t in, std::int64_t out) {
  if (out == 1) return {field.field, field.jump, true, field.centre};
  return resized(field, in, out, (in + out - 1) / out + (in % out != 0));
}

ReceptiveField everything(ReceptiveField field) {
  field.all = true;
  return field;
}

// How the layer changes its inputs' fields, joined. `in` and `out`: its map's sides.
ReceptiveField through(const Layer& layer, const ReceptiveField& from, bool down, const Shape& in_shape,
                       const Shape& out_shape) {
  const std::int64_t in = down ? in_shape.h : in_shape.w, out = down ? out_shape.h : out_shape.w;
  return std::visit(
      [&]<class L>(const L& l) {
        if constexpr (std::is_same_v<L, Conv2d>) {
          const std::int64_t taps = down ? l.weight.kernel_h : l.weight.kernel_w;
          return window(from, (taps - 1) * l.dilation + 1, l.stride, l.padding);
        } else if constexpr (std::is_same_v<L, ConvTranspose2d>) {
          const std::int64_t taps = down ? l.weight.kernel_h : l.weight.kernel_w;
          const std::int64_t reach = (taps - 1) * l.dilation;
          const double step = 1 / static_cast<double>(l.stride);
          return window(from, (reach + l.stride) / l.stride, step,
                        (static_cast<double>(l.padding) - static_cast<double>(reach) / 2) * step);
        } else if constexpr (std::is_same_v<L, MaxPool2d>) {
          return window(from, l.kernel, l.stride, l.padding);
        } else if constexpr (std::is_same_v<L, AdaptiveAvgPool2d>) {
          return pooled(from, in, out);
        } else if constexpr (std::is_same_v<L, Resize>) {
          return resized(from, in, out, l.mode == ResizeMode::bilinear ? 2 : 1, l.align_corners);
        } else if constexpr (std::is_same_v<L, MaxUnpool2d>) {
          return resized(from, in, out, 1);
        } else if constexpr (std::is_same_v<L, Crop>) {
          return window(from, 1, 1, static_cast<double>(down ? l.top : l.left));
        } else if constexpr (std::is_same_v<L, Encoding> || std::is_same_v<L, GroupNorm> ||
                             std::is_same_v<L, PositionAttention>) {
          return everything(from);
        } else {
          return from;
        }
      },
      layer);
}

// Inputs whose size alone counts.
bool reads(const Node& node, std::size_t input) {
  return input == 0 ||
         !(std::holds_alternative<Resize>(node.layer) || std::holds_alternative<Crop>(node.layer));
}

// Of one side: taps that fall on the map, of all.
double side_inside(std::int64_t in, std::int64_t out, std::int64_t taps, const Conv2d& layer) {
  std::int64_t inside = 0;
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const std::int64_t at = o * layer.stride - layer.padding + tap * layer.dilation;
      inside += at >= 0 && at < in;
    }
  return static_cast<double>(inside) / static_cast<double>(out * taps);
}

double share_inside(const Layer& layer, const Shape& in, const Shape& out) {
  const auto* conv = std::get_if<Conv2d>(&layer);
  if (!conv) return 1;
  return side_inside(in.h, out.h, conv->weight.kernel_h, *conv) *
         side_inside(in.w, out.w, conv->weight.kernel_w, *conv);
}

// The program's node that makes a value of the built graph, or what the only reader of it has become; -1 for
// none.
std::ptrdiff_t maker(const Graph& built, const Graph& run, ValueId v) {
  for (;;) {
    const auto made = std::ranges::find(run.nodes, v, &Node::output);
    if (made != run.nodes.end()) return made - run.nodes.begin();
    const auto reads_it = [&](const Node& node) { return std::ranges::count(node.inputs, v) > 0; };
    const auto reader = std::ranges::find_if(built.nodes, reads_it);
    if (reader == built.nodes.end()) return -1;
    v = reader->output;
  }
}

std::string filter_in_words(const Filter& w, std::int64_t in, std::int64_t out) {
  return str_cat(w.kernel_h, 'x', w.kernel_w, " kernel, ", in, " -> ", out, " channels");
}

}  // namespace

std::vector<LayerFacts> layer_facts(const Graph& built, const Program& program, const Plan& plan,
                                    const Shape& input) {
  const std::vector<Shape> shapes = infer_shapes(built, input);
  std::vector<Fields> fields(built.values.size());
  std::vector<LayerFacts> facts(built.nodes.size());
  for (std::size_t n = 0; n < facts.size(); ++n) {
    const Node& node = built.nodes[n];
    LayerFacts& f = facts[n];
    f.node = &node;
    f.output = shapes[index(node.output)];
    const Shape& in = shapes[index(node.inputs[0])];
    f.macs = macs(node, shapes);
    Fields from = fields[index(node.inputs[0])];
    for (std::size_t i = 1; i < node.inputs.size(); ++i)
      if (reads(node, i)) {
        const Fields& other = fields[index(node.inputs[i])];
        from = {joined(from.height, other.height), joined(from.width, other.width)};
      }
    f.height = through(node.layer, from.height, true, in, f.output);
    f.width = through(node.layer, from.width, false, in, f.output);
    fields[index(node.output)] = {f.height, f.width};
    f.taps_inside = share_inside(node.layer, in, f.output);

    const auto named = std::ranges::find(program.graph.nodes, node.name, &Node::name);
    const std::ptrdiff_t runs = named != program.graph.nodes.end() ? named - program.graph.nodes.begin()
                                                                   : maker(built, program.graph, node.output);
    if (runs < 0) continue;
    f.runs_in = &program.graph.nodes[static_cast<std::size_t>(runs)];
    const auto i = static_cast<std::size_t>(runs);
    f.kernel = plan.steps[i].in_place ? "in place" : plan.steps[i].kernel->name();
  }
  return facts;
}

std::string parameters_in_words(const Layer& layer) {
  const auto steps = [](const auto& l) {
    return str_cat(", stride ", l.stride, ", padding ", l.padding,
                   l.dilation == 1 ? "" : str_cat(", dilation ", l.dilation),
                   l.groups == 1 ? "" : str_cat(", ", l.groups, " groups"), l.bias ? ", bias" : ", no bias");
  };
  if (const auto* l = std::get_if<Conv2d>(&layer))
    return filter_in_words(l->weight, l->in_channels(), l->out_channels()) + steps(*l);
  if (const auto* l = std::get_if<ConvTranspose2d>(&layer))
    return filter_in_words(l->weight, l->in_channels(), l->out_channels()) + steps(*l);
  if (const auto* l = std::get_if<MaxPool2d>(&layer))
    return str_cat(l->kernel, 'x', l->kernel, " window, stride ", l->stride, ", padding ", l->padding);
  if (const auto* l = std::get_if<AdaptiveAvgPool2d>(&layer)) return str_cat("to ", l->out_h, 'x', l->out_w);
  if (const auto* l = std::get_if<Activation>(&layer)) return std::string(name_of(l->kind));
  if (const auto* l = std::get_if<Resize>(&layer))
    return str_cat(l->mode == ResizeMode::bilinear ? "bilinear" : "nearest",
                   l->align_corners ? ", corners aligned" : "");
  return "";
}

std::string text_of(const Layer& layer) {
  const auto [bytes, length] = deflated_layer_texts();
  std::string all(length, '\0');
  libdeflate_decompressor* inflater = libdeflate_alloc_decompressor();
  if (!inflater) fail(ErrorCode::limit, "layer texts: no memory to inflate them");
  libdeflate_deflate_decompress(inflater, bytes.data(), bytes.size(), all.data(), length, nullptr);
  libdeflate_free_decompressor(inflater);
  const std::string_view name = name_of(layer);
  const bool simple = name == "add" || name == "mul" || name == "max" || name == "scale";
  const std::size_t begin = all.find(str_cat("layers/ops/", simple ? "arithmetic" : name, ".h\n"));
  return begin == all.npos ? "" : all.substr(begin, all.find('@', begin) - begin) + '\n';
}

}  // namespace atrous
