#include "runtime/quantisation/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <memory>
#include <numeric>
#include <set>

#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "layers/cpu/parallel.h"
#include "layers/networks/segmentation.h"
#include "runtime/engine/passes.h"
#include "runtime/engine/program.h"
#include "runtime/quantisation/quantisable_layers.h"
#include "runtime/quantisation/quantised_weights.h"
#include "runtime/segment/segmenter.h"

namespace atrous {

namespace {

constexpr std::size_t most_compared = 64;  // photos whose labels are
constexpr std::size_t most_measured = 4;   // of them, those on which layers are measured one by one
constexpr std::size_t enough_photos = 16;
constexpr float least_divisor = 1.f / 16;
constexpr double most_distance = 0.2;  // from the training; 0.1 and less of photos like its own

std::size_t index(ValueId v) { return static_cast<std::size_t>(v); }

// sums: by channel, of the histogram's values.
std::vector<double> means_of_sums(std::vector<double> sums, const Histogram& histogram) {
  const double pixels =
      static_cast<double>(histogram.count) / static_cast<double>(std::max<std::size_t>(1, sums.size()));
  for (double& m : sums) m /= pixels;
  return sums;
}

// What the photos showed of one map.
struct Seen {
  Histogram histogram;
  std::vector<double> sums = {};  // by channel
  double width_before = 0;        // after two thirds of the photos

  // Of the range but for a thousandth of the values at each end.
  double width() const {
    const ValueRange range = cut_off(histogram, 1e-3);
    return static_cast<double>(range.highest) - static_cast<double>(range.lowest);
  }
  std::vector<double> means() const { return means_of_sums(sums, histogram); }
};
using SeenByName = std::map<std::string, Seen, std::less<>>;  // by Value::name

// A photo on which networks are compared.
struct Compared {
  Image picture;  // at the network's size
  LabelMap labels;
  std::vector<float> logits = {};  // of those that layers are measured on
};

struct QuantisedLayer {
  std::size_t layer;  // of weighted_layers()
  double weight_error;
  StateTensor weight, scale, correction;
  std::optional<StateTensor> equalisation = std::nullopt;
};

// A map whose channels can be divided, between the convolution that makes it and the one that reads it.
struct EqualisedMap {
  std::size_t layer;                               // that reads it, of weighted_layers()
  ValueId value;                                   // of the graph that ran
  std::vector<float> largest = {}, divisors = {};  // by channel
  Histogram histogram = {};                        // of it divided
  std::vector<double> sums = {};
};

template <class T>
StateTensor tensor_of(std::vector<T> values, DType dtype, std::vector<std::int64_t> shape) {
  const auto kept = std::make_shared<std::vector<T>>(std::move(values));
  return {dtype, std::move(shape), {kept, reinterpret_cast<const std::byte*>(kept->data())}};
}

class Progress {
 public:
  explicit Progress(const std::function<void(const CalibrationProgress&)>& tell) : tell_(tell) {}
  void begin(std::string_view doing, std::size_t all) {
    now_ = {doing, 0, all};
    began_ = std::chrono::steady_clock::now();
  }
  void step() {
    ++now_.done;
    now_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    if (tell_) call_host(tell_, now_);
  }

 private:
  const std::function<void(const CalibrationProgress&)>& tell_;
  CalibrationProgress now_;
  std::chrono::steady_clock::time_point began_;
};

std::vector<float> logits_of(Session& session) {
  const ConstView view = session.output();
  std::vector<float> all;
  for (std::int64_t p = 0; p < view.shape.pixels(); ++p)
    all.insert(all.end(), view.data + p * view.pitch, view.data + p * view.pitch + view.shape.c);
  return all;
}

// The mean of each output channel for such means of the input's; padding is left out of account.
std::vector<double> mean_of_sums(const Conv2d& conv, std::span<const double> in) {
  const Filter& w = conv.weight;
  const std::int64_t taps = w.kernel_h * w.kernel_w, group = w.d0 / conv.groups;
  std::vector<double> out;
  for (std::int64_t o = 0; o < w.d0; ++o) {
    double sum = conv.bias ? static_cast<double>(conv.bias.get()[o]) : 0;
    for (std::int64_t i = 0; i < w.d1 * taps; ++i)
      sum += static_cast<double>(w.data.get()[o * w.d1 * taps + i]) *
             in[static_cast<std::size_t>(o / group * w.d1 + i / taps)];
    out.push_back(sum);
  }
  return out;
}

// A map of these values, with the best of the estimates.
CalibratedValue calibrated(std::string name, const Histogram& own,
                           const std::array<EstimatedRange, estimators>& estimates) {
  const auto best = std::ranges::min_element(estimates, {}, &EstimatedRange::error);
  CalibratedValue value{.name = std::move(name),
                        .seen = {own.lowest, own.highest},
                        .range = best->range,
                        .estimator = static_cast<Estimator>(best - estimates.begin()),
                        .saturated = saturated_share(own, best->range)};
  std::ranges::transform(estimates, value.errors.begin(), &EstimatedRange::error);
  return value;
}

class Calibrator {
 public:
  Calibrator(const StateDict& state, const Metadata& metadata, const CalibrationPhotos& photos,
             const CalibrationOptions& options, const std::function<void(const CalibrationProgress&)>& tell)
      : state_(state),
        floats_(with_float_convolutions(state)),
        metadata_(metadata),
        photos_(photos),
        options_(options),
        threads_(resolve_threads(options.threads)),
        progress_(tell) {
    metadata_.activations.clear();
    if (photos.count == 0) fail(ErrorCode::invalid_argument, "calibration: no photos");
    if (std::ranges::any_of(state.entries(), [](const auto& e) { return e.second.dtype == DType::i8; }))
      fail(ErrorCode::unsupported, "the network is quantised already");
    NetworkOptions built{.hyper = Hyper(metadata.hyper), .named = metadata.architecture};
    network_ = build_network(floats_, built);
    if (network_.two_stage) fail(ErrorCode::unsupported, "networks of instances are not quantised yet");
    if (network_.has_aux) {  // its head is quantised too, though it does not run here
      built.aux = true;
      network_ = build_network(floats_, built);
    }
    layers_ = weighted_layers(network_.graph, floats_);
  }

  Calibration run() {
    observe();
    choose_ranges();
    quantise();
    equalise();
    keep_within_loss();
    judge_photos();
    return std::move(result_);
  }

 private:
  Model model_of(StateDict state, const std::map<std::string, ValueRange>& activations, bool separate) const {
    Metadata metadata = metadata_;
    metadata.activations = activations;
    return make_model(std::move(state), metadata, {.threads = options_.threads, .device_layers = separate});
  }

  void observe() {
    const Model model = model_of(state_, {}, true);
    Session session(model.program, {.threads = options_.threads});
    graph_ = model.program->graph;
    for (Node& node : graph_.nodes) node.kernels.clear();  // with them go the packed weights
    find_equalised();
    const std::size_t all = photos_.count;
    progress_.begin("ranges", all);
    for (std::size_t i = 0; i < all; ++i) {
      Prepared prepared = prepare(call_host(photos_.read, i), model.preparation, threads_);
      session.run(prepared.input.view(), [&](std::size_t node, double, ConstView map) { see(node, map); });
      const std::size_t kept = std::min(all, most_compared), measured = std::min(kept, most_measured);
      if ((i + 1) * kept / all > i * kept / all) {
        const std::size_t k = compared_.size();
        const int height = prepared.picture.height, width = prepared.picture.width;
        compared_.push_back({std::move(prepared.picture), label(session, 0, height, width, nullptr)});
        if ((k + 1) * measured / kept > k * measured / kept) compared_.back().logits = logits_of(session);
      }
      if (i + 1 == all * 2 / 3)
        for (auto& [name, seen] : seen_) seen.width_before = seen.width();
      progress_.step();
    }
    for (const Node& node : graph_.nodes)
      if (std::holds_alternative<Concat>(node.layer)) see_joined(node);
    result_.photos = all;
    result_.compared = compared_.size();
    scores_ = holds_scores(network_.graph);
  }

  // Concatenations are made of their inputs' histograms afterwards: many never run, their inputs lie in them.
  void see(std::size_t node, const ConstView& map) {
    if (std::holds_alternative<Concat>(graph_.nodes[node].layer)) return;
    const ValueId value = graph_.nodes[node].output;
    Seen& seen = seen_[name_of(value)];
    naming(name_of(value), [&] { add_map(map, seen.histogram, seen.sums, threads_); });
    if (const auto found = std::ranges::find(equalised_, value, &EqualisedMap::value);
        found != equalised_.end())
      add_largest(map, found->largest, threads_);
  }

  void see_joined(const Node& node) {
    Seen joined;
    for (const ValueId v : node.inputs) {
      const Seen& part = seen_[name_of(v)];
      add(part.histogram, joined.histogram);
      joined.sums.insert(joined.sums.end(), part.sums.begin(), part.sums.end());
      joined.width_before = std::max(joined.width_before, part.width_before);
    }
    seen_[name_of(node.output)] = std::move(joined);
  }

  const std::string& name_of(ValueId v) const { return graph_.values[index(v)].name; }

  // By value of the graph that ran: the first of those that have one range, since layers between them only
  // move values (choose_int8() in runtime/engine/passes.h).
  std::vector<ValueId> groups() const {
    std::vector<ValueId> first(graph_.values.size());
    std::iota(first.begin(), first.end(), 0);
    for (const Node& node : graph_.nodes)
      for (const ValueId v : moved_values(node))
        std::ranges::replace(first, first[index(node.output)], first[index(v)]);
    return first;
  }

  void choose_ranges() {
    std::set<std::string_view> left_out;
    for (std::size_t v = 0; v < scores_.size(); ++v)
      if (scores_[v]) left_out.insert(network_.graph.values[v].name);
    const std::vector<ValueId> first = groups();
    std::map<std::string_view, ValueId> group_of;
    std::map<ValueId, Histogram> histograms;
    for (std::size_t v = 0; v < first.size(); ++v)
      if (const auto seen = seen_.find(graph_.values[v].name); seen != seen_.end())
        if (group_of.emplace(seen->first, first[v]).second) add(seen->second.histogram, histograms[first[v]]);
    std::map<ValueId, std::array<EstimatedRange, estimators>> estimates_of;
    for (const auto& [group, histogram] : histograms) estimates_of[group] = estimate_ranges(histogram);
    for (const auto& [name, group] : group_of) {
      if (left_out.contains(name)) continue;
      CalibratedValue value =
          calibrated(std::string(name), seen_.find(name)->second.histogram, estimates_of[group]);
      result_.activations[value.name] = value.range;
      result_.values.push_back(std::move(value));
    }
  }

  // The mean of each of a value's channels; empty where that was not seen. What passes left out of the graph
  // that ran are concatenations, of which a part was hoisted, and what only repeats a pixel.
  std::vector<double> means_of(ValueId v) const {
    const Graph& graph = network_.graph;
    const Value& value = graph.values[index(v)];
    if (const auto seen = seen_.find(value.name);
        seen != seen_.end() && static_cast<std::int64_t>(seen->second.sums.size()) == value.channels)
      return seen->second.means();
    const auto node = std::ranges::find(graph.nodes, v, &Node::output);
    if (node == graph.nodes.end()) return {};
    if (std::holds_alternative<Resize>(node->layer)) return means_of(node->inputs[0]);
    if (!std::holds_alternative<Concat>(node->layer)) return {};
    std::vector<double> all;
    for (const ValueId part : node->inputs) {
      const std::vector<double> means = means_of(part);
      if (means.empty()) return {};
      all.insert(all.end(), means.begin(), means.end());
    }
    return all;
  }

  void quantise() {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      WeightedLayer& layer = layers_[i];
      CalibratedLayer told{.name = layer.name,
                           .kind = layer.kind,
                           .in_fp32 = layer.in_fp32,
                           .input = layer.input_name,
                           .loss = {}};
      const std::vector<double> means = layer.in_fp32.empty() ? means_of(layer.input) : std::vector<double>();
      if (layer.in_fp32.empty() && means.empty()) told.in_fp32 = "reads a map that was not seen";
      if (told.in_fp32.empty()) {
        const Filter& filter = layer.conv->weight;
        quantised_.push_back(quantised(i, filter, means));
        told.weight_error = quantised_.back().weight_error;
      }
      result_.layers.push_back(std::move(told));
    }
  }

  QuantisedLayer quantised(std::size_t layer, const Filter& filter, std::span<const double> means) const {
    QuantisedWeights q = quantise_weights(filter, threads_);
    std::vector<float> correction = bias_correction(filter, q, layers_[layer].conv->groups, means);
    return {
        layer, q.relative_error,
        tensor_of(std::move(q.values), DType::i8, {filter.d0, filter.d1, filter.kernel_h, filter.kernel_w}),
        tensor_of(std::move(q.scale), DType::f32, {filter.d0}),
        tensor_of(std::move(correction), DType::f32, {filter.d0})};
  }

  // Maps that one convolution makes and one other reads, which runs once and can be quantised; one of them
  // depthwise. Between others, measured with trained networks, it helps as often as not.
  void find_equalised() {
    for (const Node& node : graph_.nodes) {
      const auto layer = std::ranges::find(layers_, node.name, &WeightedLayer::name);
      if (layer == layers_.end() || !layer->in_fp32.empty() || name_of(node.inputs[0]) != layer->input_name ||
          layer->conv->in_channels() == 1 || (layer->conv->groups > 1 && !layer->conv->is_depthwise()) ||
          std::ranges::count_if(network_.graph.nodes, [&](const Node& other) {
            const auto* conv = std::get_if<Conv2d>(&other.layer);
            return conv && conv->weight.id() == layer->conv->weight.id();
          }) != 1)
        continue;
      const auto before = divider(graph_, node);
      if (!before) continue;
      if (layer->conv->is_depthwise() || std::get<Conv2d>(graph_.nodes[*before].layer).is_depthwise())
        equalised_.push_back({static_cast<std::size_t>(layer - layers_.begin()), node.inputs[0]});
    }
  }

  // Divides channels so that all have the range of the largest one. Histograms of what that makes take a
  // second run of the photos.
  void see_equalised() {
    for (EqualisedMap& map : equalised_) {
      const float most = std::ranges::max(map.largest);
      for (const float largest : map.largest)
        map.divisors.push_back(most > 0 ? std::max(least_divisor, largest / most) : 1);
    }
    const Model model = model_of(state_, {}, true);
    Session session(model.program, {.threads = options_.threads});
    progress_.begin("equalised ranges", photos_.count);
    for (std::size_t i = 0; i < photos_.count; ++i) {
      const Prepared prepared = prepare(call_host(photos_.read, i), model.preparation, threads_);
      session.run(prepared.input.view(), [&](std::size_t node, double, ConstView seen) {
        const auto map = std::ranges::find(equalised_, graph_.nodes[node].output, &EqualisedMap::value);
        if (map == equalised_.end()) return;
        Tensor divided(seen.shape);
        parallel_for(threads_, seen.shape.n * seen.shape.h, [&](std::int64_t row) {
          for (std::int64_t p = row * seen.shape.w; p < (row + 1) * seen.shape.w; ++p)
            for (std::int64_t c = 0; c < seen.shape.c; ++c)
              divided.data()[p * seen.shape.c + c] =
                  seen.data[p * seen.pitch + c] / map->divisors[static_cast<std::size_t>(c)];
        });
        add_map(divided.view(), map->histogram, map->sums, threads_);
      });
      progress_.step();
    }
  }

  // The layer that reads the map divided, with its weights multiplied.
  QuantisedLayer of_divided(const EqualisedMap& map) const {
    Filter filter = layers_[map.layer].conv->weight;
    const std::int64_t taps = filter.kernel_h * filter.kernel_w;
    std::shared_ptr<float[]> multiplied(new float[static_cast<std::size_t>(filter.elements())]);
    for (std::int64_t i = 0; i < filter.elements(); ++i) {
      const std::int64_t channel = filter.d1 == 1 ? i / taps : i / taps % filter.d1;
      multiplied[i] = filter.data.get()[i] * map.divisors[static_cast<std::size_t>(channel)];
    }
    filter.data = {multiplied, multiplied.get()};
    QuantisedLayer layer = quantised(map.layer, filter, means_of_sums(map.sums, map.histogram));
    layer.equalisation = tensor_of(map.divisors, DType::f32, {std::ssize(map.divisors)});
    return layer;
  }

  // Equalises those maps of which the logits then differ less, with the layer that reads the map quantised
  // alone.
  void equalise() {
    std::erase_if(equalised_, [&](const EqualisedMap& map) {
      return !result_.activations.contains(name_of(map.value)) ||
             std::ranges::find(quantised_, map.layer, &QuantisedLayer::layer) == quantised_.end();
    });
    if (equalised_.empty()) return;
    see_equalised();
    progress_.begin("equalised one by one", equalised_.size());
    for (const EqualisedMap& map : equalised_) {
      QuantisedLayer& plain = *std::ranges::find(quantised_, map.layer, &QuantisedLayer::layer);
      QuantisedLayer divided = of_divided(map);
      CalibratedValue value = calibrated(name_of(map.value), map.histogram, estimate_ranges(map.histogram));
      auto activations = result_.activations;
      activations[value.name] = value.range;
      if (loss_of_one(divided, activations) < loss_of_one(plain, result_.activations)) {
        CalibratedLayer& told = result_.layers[map.layer];
        told.equalised = true;
        told.weight_error = divided.weight_error;
        plain = std::move(divided);
        result_.activations = std::move(activations);
        *std::ranges::find(result_.values, value.name, &CalibratedValue::name) = std::move(value);
      }
      progress_.step();
    }
  }

  StateDict state_with(const std::vector<const QuantisedLayer*>& layers) const {
    std::map<std::string_view, const QuantisedLayer*> by_key;
    for (const QuantisedLayer* q : layers)
      for (const std::string& key : layers_[q->layer].keys) by_key[key] = q;
    StateDict out;
    for (const auto& [key, tensor] : state_.entries()) {
      const auto found = by_key.find(key);
      out.add(key, found == by_key.end() ? tensor : found->second->weight);
      if (found == by_key.end()) continue;
      out.add(key + ".scale", found->second->scale);
      out.add(key + ".correction", found->second->correction);
      if (found->second->equalisation) out.add(key + ".equalisation", *found->second->equalisation);
    }
    return out;
  }

  // The labels of all photos compared with those in fp32; and which layers read maps in 8 bits.
  ConfusionMatrix compare(const StateDict& state) {
    const Model model = model_of(state, result_.activations, false);
    Session session(model.program, {.threads = options_.threads});
    std::set<std::string_view> narrow;
    for (const Value& value : model.program->graph.values)
      if (value.dtype == DType::u8 || value.quantisation != Quantisation{}) narrow.insert(value.name);
    for (CalibratedLayer& layer : result_.layers) layer.reads_fp32 = !narrow.contains(layer.input);
    ConfusionMatrix all(static_cast<int>(model.classes.size()));
    progress_.begin("labels", compared_.size());
    for (const Compared& photo : compared_) {
      session.run(photo.picture, model.preparation);
      all.add(photo.labels, label(session, 0, photo.picture.height, photo.picture.width, nullptr), no_label);
      progress_.step();
    }
    return all;
  }

  double loss_of_one(const QuantisedLayer& q, const std::map<std::string, ValueRange>& activations) {
    const Model model = model_of(state_with({&q}), activations, false);
    Session session(model.program, {.threads = options_.threads});
    double error = 0, square = 0;
    for (const Compared& photo : compared_) {
      if (photo.logits.empty()) continue;
      session.run(photo.picture, model.preparation);
      const std::vector<float> logits = logits_of(session);
      for (std::size_t i = 0; i < logits.size(); ++i) {
        const double expected = photo.logits[i], difference = static_cast<double>(logits[i]) - expected;
        error += difference * difference;
        square += expected * expected;
      }
    }
    return square > 0 ? std::sqrt(error / square) : 0;
  }

  void keep_within_loss() {
    std::vector<const QuantisedLayer*> order;  // the worst first
    for (const QuantisedLayer& q : quantised_) order.push_back(&q);
    StateDict state = state_with(order);
    result_.agreement = compare(state);
    if (result_.loss() > options_.max_loss) {
      progress_.begin("layers one by one", order.size());
      for (const QuantisedLayer* q : order) {
        result_.layers[q->layer].loss = loss_of_one(*q, result_.activations);
        progress_.step();
      }
      std::ranges::stable_sort(order, std::greater<>{},
                               [&](const QuantisedLayer* q) { return result_.layers[q->layer].loss; });
      const auto without = [&](std::size_t kept) {
        return state_with({order.begin() + static_cast<std::ptrdiff_t>(kept), order.end()});
      };
      const std::size_t kept = layers_to_keep(order.size(), options_.max_loss, [&](std::size_t k) {
        result_.agreement = compare(without(k));
        return result_.loss();
      });
      state = without(kept);
      result_.agreement = compare(state);
      for (std::size_t i = 0; i < kept; ++i) {
        CalibratedLayer& layer = result_.layers[order[i]->layer];
        layer.in_fp32 = "costs too much";
        layer.weight_error = 0;
        layer.equalised = false;
      }
    }
    if (result_.quantised() == 0) result_.activations.clear();
    result_.state = std::move(state);
  }

  // How far the means of what convolutions make are, with these photos, from those that batch normalisation
  // kept of the training: in its standard deviations, the median over all channels.
  double distance_from_training() const {
    std::vector<double> distances;
    const auto& nodes = network_.graph.nodes;
    for (const Node& norm : nodes) {
      const StateTensor* const mean = state_.find(norm.name + ".running_mean");
      const StateTensor* const variance = state_.find(norm.name + ".running_var");
      if (!std::holds_alternative<BatchNorm>(norm.layer) || !mean || !variance) continue;
      const auto made = std::ranges::find(nodes, norm.inputs[0], &Node::output);
      const auto* conv = made == nodes.end() ? nullptr : std::get_if<Conv2d>(&made->layer);
      if (!conv) continue;
      const std::vector<double> in = means_of(made->inputs[0]);
      if (in.empty()) continue;
      const std::vector<double> out = mean_of_sums(*conv, in);
      const auto means = to_float(*mean), variances = to_float(*variance);
      for (std::size_t o = 0; o < out.size(); ++o)
        distances.push_back(std::abs(out[o] - static_cast<double>(means.get()[o])) /
                            std::sqrt(static_cast<double>(variances.get()[o]) + 1e-5));
    }
    if (distances.empty()) return 0;
    const auto middle = distances.begin() + std::ssize(distances) / 2;
    std::ranges::nth_element(distances, middle);
    return *middle;
  }

  void judge_photos() {
    const auto warn = [&](std::string sentence) { result_.warnings.push_back(std::move(sentence)); };
    if (result_.photos < enough_photos)
      warn(str_cat("photos are few: ", result_.photos, ", ", enough_photos, " or more show what maps hold"));
    std::size_t moving = 0, zero = 0;
    const std::string* first_zero = nullptr;
    for (const CalibratedValue& value : result_.values) {
      const Seen& seen = seen_.find(value.name)->second;
      moving += std::abs(seen.width() - seen.width_before) > 0.1 * seen.width();
      if (seen.histogram.width > 0) continue;
      if (zero++ == 0) first_zero = &value.name;
    }
    if (result_.photos > 2 && moving * 5 > result_.values.size())
      warn(str_cat("ranges have not settled: those of ", moving, " of ", result_.values.size(),
                   " maps changed by more than 10% in the last third of the photos"));
    if (first_zero)
      warn(str_cat("maps that are zero in every photo: ", zero, ", the first is ", *first_zero));
    result_.distance = distance_from_training();
    if (result_.distance > most_distance)
      warn(str_cat("the photos seem unlike those of the training: means of maps lie ", std::setprecision(2),
                   result_.distance, " standard deviations from those that it kept, 0.1 or less is usual"));
  }

  const StateDict& state_;
  const StateDict floats_;
  Metadata metadata_;
  const CalibrationPhotos& photos_;
  const CalibrationOptions& options_;
  const int threads_;
  Progress progress_;
  Network network_;  // before any pass
  Graph graph_;      // that ran, without weights
  std::vector<WeightedLayer> layers_;
  std::vector<bool> scores_;
  SeenByName seen_;
  std::vector<Compared> compared_;
  std::vector<QuantisedLayer> quantised_;
  std::vector<EqualisedMap> equalised_;
  Calibration result_;
};

}  // namespace

double Calibration::loss() const try {
  std::int64_t same = 0;
  for (int c = 0; c < agreement.classes; ++c) same += agreement.at(c, c);
  const std::int64_t all = agreement.pixels();
  return all > 0 ? 1 - static_cast<double>(same) / static_cast<double>(all) : 0;
} catch (...) {
  rethrow_as_error();
}

std::size_t Calibration::quantised() const try {
  return static_cast<std::size_t>(
      std::ranges::count_if(layers, [](const CalibratedLayer& l) { return l.in_fp32.empty(); }));
} catch (...) {
  rethrow_as_error();
}

std::size_t layers_to_keep(std::size_t layers, double allowed,
                           const std::function<double(std::size_t)>& loss) try {
  std::size_t too_few = 0, enough = 1;
  while (enough < layers && loss(enough) > allowed) {
    too_few = enough;
    enough *= 2;
  }
  enough = std::min(enough, layers);
  while (enough - too_few > 1) {
    const std::size_t middle = too_few + (enough - too_few) / 2;
    (loss(middle) > allowed ? too_few : enough) = middle;
  }
  return enough;
} catch (...) {
  rethrow_as_error();
}

Calibration calibrate(const StateDict& state, const Metadata& metadata, const CalibrationPhotos& photos,
                      const CalibrationOptions& options,
                      const std::function<void(const CalibrationProgress&)>& progress) try {
  return Calibrator(state, metadata, photos, options, progress).run();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
