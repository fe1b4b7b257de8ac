#include "cli/segment_layer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iomanip>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/explain.h"
#include "cli/inputs.h"
#include "cli/model_argument.h"
#include "cli/names.h"
#include "cli/progress_line.h"
#include "cli/segment_options.h"
#include "cli/suggest.h"
#include "layers/cpu/parallel.h"
#include "layers/networks/segmentation.h"
#include "runtime/drawing/heat_maps.h"
#include "runtime/engine/plan.h"
#include "runtime/engine/program.h"
#include "runtime/explain/layer_facts.h"
#include "runtime/explain/layer_maps.h"
#include "runtime/image/image_read.h"
#include "runtime/image/npy.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/image/png.h"
#include "weights_tools/io/json_output.h"

namespace atrous::cli {

namespace {

constexpr int most_maps = 64, usual_maps = 19, usual_aspp_maps = 4;
constexpr int map_side = 216, sheet_columns = 5;  // in pixels; with the photo 20 cells
constexpr int usual_cells = 16, most_cells = 64;
constexpr double long_seconds = 10;

// Three digits that count.
std::string short_number(double v) { return str_cat(std::setprecision(3), v); }

std::string range_in_words(const ChannelFacts& f) {
  return str_cat(short_number(f.least), " .. ", short_number(f.largest));
}

std::string branch_in_words(const AsppBranch& b) {
  return b.pools ? "mean" : b.conv ? str_cat("rate ", b.dilation()) : "1x1";
}

struct Place {
  int x = 0, y = 0;
};

// "X,Y" of a photo.
Place parse_pixel(const std::string& text) {
  Place p;
  const char* const end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, p.x);
  const bool comma = parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == ',';
  if (comma) parsed = std::from_chars(parsed.ptr + 1, end, p.y);
  if (!comma || parsed.ec != std::errc() || parsed.ptr != end || p.x < 0 || p.y < 0)
    throw UsageError{"--pixel " + visible(text) + ": expected X,Y, a column and a row of the photo"};
  return p;
}

// What is to be seen in a photo.
struct Sight {
  Image picture;
  std::string said;
  JsonText json = json_object();
};

// Of numbers and texts, so that each place that writes one has a call and no JsonText.
void add_count(JsonText& json, std::string_view key, std::int64_t v) { add_member(json, key, v); }
void add_number(JsonText& json, std::string_view key, double v) { add_member(json, key, v); }
void add_text(JsonText& json, std::string_view key, std::string_view v) { add_member(json, key, v); }

void add_size(JsonText& json, std::string_view key, std::int64_t width, std::int64_t height) {
  JsonText size = json_object();
  add_count(size, "width", width);
  add_count(size, "height", height);
  add_member(json, key, size);
}

void add_counts(JsonText& json, std::string_view key, std::span<const std::int64_t> counts) {
  add_member(json, key, json_list(counts));
}

// "a b c", of which a list of strings is made where one is wanted.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text)
    if (c == ' ')
      words.emplace_back();
    else
      words.back() += c;
  return words;
}

// Of all channels together.
ChannelFacts taken_together(const std::vector<ChannelFacts>& channels) {
  ChannelFacts all = channels.front();
  all.mean = 0;
  double squares = 0;
  for (const ChannelFacts& f : channels) {
    all.least = std::min(all.least, f.least);
    all.largest = std::max(all.largest, f.largest);
    all.mean += f.mean;
    squares += f.variance + f.mean * f.mean;
  }
  const auto count = static_cast<double>(channels.size());
  all.mean /= count;
  all.variance = std::max(0.0, squares / count - all.mean * all.mean);
  return all;
}

Tensor mean_of_channels(ConstView map) {
  Tensor mean({1, map.shape.h, map.shape.w, 1});
  float* to = mean.data();
  for (std::int64_t i = 0; i < map.shape.pixels(); ++i) {
    const float* v = map.data + i * map.pitch;
    *to++ = static_cast<float>(std::accumulate(v, v + map.shape.c, 0.0) / static_cast<double>(map.shape.c));
  }
  return mean;
}

// Maps as panels behind the photo, and what is said of them.
class Maps {
 public:
  // Of the table; the first column is the name, then follow the facts.
  explicit Maps(std::string_view head) : table_(words_of(head)) {}

  void add_panel(Image picture, std::string caption) {
    panels_.push_back({std::move(picture), std::move(caption)});
  }
  void add_map(ConstView map, std::int64_t channel, double one, std::string caption) {
    add_panel(heat_map(map, channel, one, map_side), std::move(caption));
  }
  // `json` holds what comes before the facts, `more` the columns after them.
  void add_facts(JsonText& json, const std::string& name, const ChannelFacts& f,
                 const std::string* more = nullptr, std::size_t columns = 0) {
    negative_ = negative_ || f.least < 0;
    constexpr std::string_view names[] = {"least", "largest", "mean", "deviation"};
    const double values[] = {f.least, f.largest, f.mean, std::sqrt(f.variance)};
    std::vector<std::string> row(1, name);
    for (std::size_t i = 0; i < std::size(names); ++i) {
      add_number(json, names[i], values[i]);
      row.push_back(short_number(values[i]));
    }
    for (std::size_t i = 0; i < columns; ++i) row.push_back(more[i]);
    table_.add(std::move(row));
    facts_.push_back(std::move(json));
  }

  // The photo as large as the maps that follow it.
  void finish(Sight& sight, const std::string& title, std::size_t columns, const Image& photo,
              std::string_view facts, const char* of_one = "1: the largest of the map") {
    const Image& map = panels_[1].picture;
    const int longer = std::max(map.width, map.height), of_photo = std::max(photo.width, photo.height);
    const auto side = [&](int s) { return std::max(1, (s * longer + of_photo / 2) / of_photo); };
    panels_[0] = {resize_bilinear(photo, side(photo.width), side(photo.height)), "photo"};
    sight.picture = with_legend(captioned_grid(title, panels_, static_cast<int>(columns)),
                                heat_legend(negative_, of_one));
    sight.said = title + '\n' + table_.plain();
    add_member(sight.json, facts, json_list(facts_));
  }

 private:
  std::vector<Panel> panels_{1};  // the photo's place
  Table table_;
  std::vector<JsonText> facts_;
  bool negative_ = false;
};

// By its name; a module's, which several layers begin with, is told apart from none.
ValueId value_named(const Graph& graph, const std::string& name, const std::string& architecture) {
  std::vector<std::string> names{LayerArguments::classes, LayerArguments::aspp};
  const Node* last = nullptr;
  for (const Node& node : graph.nodes) {
    if (node.name == name) return node.output;
    if (node.name.starts_with(name + '.')) last = &node;
    names.push_back(node.name);
  }
  if (last)
    fail(ErrorCode::invalid_argument, "--layer ", name, ": a module of the ", architecture,
         ", whose last layer is ", last->name);
  fail(ErrorCode::invalid_argument, "--layer ", name, ": the ", architecture, " has no such layer",
       suggestion(name, names), "; atrous inspect --explain lists them");
}

// Those that --layer asks for; none for the classes.
std::vector<ValueId> values_asked_for(const std::string& layer, const Model& model, const Graph& whole) {
  std::vector<ValueId> values;
  if (layer == LayerArguments::aspp) {
    for (const AsppBranch& branch : aspp_branches(whole)) values.push_back(branch.last->output);
    if (values.empty())
      fail(ErrorCode::invalid_argument, "--layer aspp: the ", model.architecture,
           " has none, no value that convolutions of several dilations read");
  } else if (layer != LayerArguments::classes) {
    values.push_back(value_named(whole, layer, model.architecture));
  }
  return values;
}

std::shared_ptr<const Program> program_of(Graph part, const RunOptions& run, const Program& whole) {
  const ModelOptions how = run.model_options();
  auto program = std::make_shared<Program>(compile(
      std::move(part), {.isa = how.isa, .force = how.force, .threads = resolve_threads(how.threads)}));
  program->name = whole.name;
  program->padding = whole.padding;
  return program;
}

// One photo at a time is looked at.
class Looker {
 public:
  Looker(const SegmentArguments& options, const Model& model, const Graph& whole)
      : options_(options),
        layer_(options.layer),
        model_(model),
        preparation_(model.preparation),
        values_(values_asked_for(layer_.name, model, whole)),
        built_(part_of(whole, values_)),
        program_(values_.empty() ? model.program
                                 : program_of(part_of(whole, values_), options.run, *model.program)),
        session_(program_, options.run.session_options()) {
    if (const auto rule = options.size.rule()) preparation_.resize = *rule;
  }

  Sight look(const Image& photo, const std::string& name);

 private:
  void maps(const Image& photo, Sight&);
  void aspp(const Image& photo, Sight&);
  void classes(const Image& photo, Sight&);
  void pixel(const Image& photo, const std::string& name, Sight&);

  const Node& node_of(std::size_t output) const {
    return *std::ranges::find(built_.nodes, values_[output], &Node::output);
  }
  ConstView map_of(std::size_t output) { return session_.output(part_output(output)); }
  std::size_t count(int usual) const {
    return static_cast<std::size_t>(layer_.channels > 0 ? layer_.channels : usual);
  }
  Prepared run(const Image& photo) {
    Prepared prepared = prepare(photo, preparation_, session_.threads());
    session_.run(prepared.input.view());
    return prepared;
  }
  Shape input_of(const Image& picture) const {
    return padded_shape(program_->padding, {1, picture.height, picture.width, 3});
  }
  std::vector<LayerFacts> facts_at(const Shape& input) {
    return layer_facts(built_, *program_, session_.plan(input), input);
  }
  static const LayerFacts& facts_of(const std::vector<LayerFacts>& layers, const Node* node) {
    return *std::ranges::find(layers, node, &LayerFacts::node);
  }

  const SegmentArguments& options_;
  const LayerArguments& layer_;
  const Model& model_;
  Preparation preparation_;
  std::vector<ValueId> values_;
  Graph built_;  // the part of the network that is looked at, as it was written down
  std::shared_ptr<const Program> program_;
  Session session_;
};

Sight Looker::look(const Image& photo, const std::string& name) {
  Sight sight;
  add_text(sight.json, "layer", layer_.name);
  if (layer_.name == LayerArguments::classes)
    classes(photo, sight);
  else if (layer_.name == LayerArguments::aspp)
    aspp(photo, sight);
  else if (layer_.pixel.empty())
    maps(photo, sight);
  else
    pixel(photo, name, sight);
  return sight;
}

void Looker::maps(const Image& photo, Sight& sight) {
  const Prepared prepared = run(photo);
  const ConstView map = map_of(0);
  const Node& node = node_of(0);
  const auto shown = strongest(channel_facts(map, node.name), count(usual_maps));
  Maps maps("channel least largest mean deviation");
  for (const ChannelFacts& f : shown) {
    const std::string number = std::to_string(f.channel);
    maps.add_map(map, f.channel, f.magnitude(), number + ": " + range_in_words(f));
    JsonText json = json_object();
    add_count(json, "channel", f.channel);
    maps.add_facts(json, number, f);
  }
  const std::string_view kind = name_of(node.layer);
  std::string title =
      str_cat(node.name, " (", kind, "), ", map.shape.w, "x", map.shape.h, ", ", map.shape.c, " channels");
  if (std::ssize(shown) < map.shape.c) title += str_cat(", the ", shown.size(), " of largest variance");
  if (const auto side = values_a_pixel(map, map_side); side > 1)
    title += str_cat("; a dot is the mean of ", side, "x", side);
  add_text(sight.json, "kind", kind);
  add_size(sight.json, "map", map.shape.w, map.shape.h);
  add_count(sight.json, "channels", map.shape.c);
  add_size(sight.json, "input", prepared.picture.width, prepared.picture.height);
  maps.finish(sight, title, sheet_columns, prepared.picture, "maps");
}

// A row of the branches' means over all channels, then a row for each channel.
void Looker::aspp(const Image& photo, Sight& sight) {
  const Prepared prepared = run(photo);
  const std::vector<AsppBranch> branches = aspp_branches(built_);
  const std::vector<LayerFacts> layers = facts_at(input_of(prepared.picture));
  std::vector<std::vector<ChannelFacts>> facts(branches.size());
  Maps maps("branch least largest mean deviation sees taps layer");
  for (std::size_t b = 0; b < branches.size(); ++b) {
    const ConstView map = map_of(b);
    const std::string &name = node_of(b).name, branch = branch_in_words(branches[b]);
    facts[b] = channel_facts(map, name);
    std::string caption = branch, more[] = {field_in_words(facts_of(layers, branches[b].last)), "", name};
    if (branches[b].dilation() > 1) {
      more[1] = percent(facts_of(layers, branches[b].conv).taps_inside, 0);
      caption += ", taps " + more[1];
    }
    const Tensor mean = mean_of_channels(map);
    maps.add_map(mean.view(), 0, channel_facts(mean.view(), name).front().magnitude(), std::move(caption));
    JsonText json = json_object();
    add_text(json, "branch", branch);
    add_text(json, "layer", name);
    add_text(json, "sees", more[0]);
    maps.add_facts(json, branch, taken_together(facts[b]), more, std::size(more));
  }
  const auto shown = strongest_together(facts, count(usual_aspp_maps));
  for (const std::int64_t c : shown) {
    Image paper = make_image(1, 1, 3);
    fill_rectangle(paper, 0, 0, 1, 1, {255, 255, 255});
    maps.add_panel(std::move(paper), str_cat("channel ", c));
    for (std::size_t b = 0; b < branches.size(); ++b) {
      const ChannelFacts& f = facts[b][static_cast<std::size_t>(c)];
      maps.add_map(map_of(b), c, f.magnitude(), range_in_words(f));
    }
  }
  const Shape shape = map_of(0).shape;
  add_size(sight.json, "map", shape.w, shape.h);
  add_size(sight.json, "input", prepared.picture.width, prepared.picture.height);
  add_counts(sight.json, "channels", shown);
  maps.finish(sight,
              str_cat("ASPP of the ", model_.architecture, ", ", shape.w, "x", shape.h,
                      ": first the mean of ", shape.c, " channels, then ", shown.size(), " of them"),
              branches.size() + 1, prepared.picture, "branches");
}

void Looker::classes(const Image& photo, Sight& sight) {
  const Segmentation s =
      segment(session_, model_, photo,
              {.resize = preparation_.resize, .at_input = true, .confidence = false, .probabilities = true});
  const ConstView map = s.probabilities.view();
  Maps maps("class least largest mean deviation");
  for (const ChannelFacts& f :
       strongest(channel_facts(map, model_.architecture), count(most_maps), &ChannelFacts::mean)) {
    const std::string& name = model_.classes[static_cast<std::size_t>(f.channel)];
    maps.add_map(
        map, f.channel, 1,
        str_cat(name, ": ", percent(f.mean, 1), ", up to ", percent(static_cast<double>(f.largest), 0)));
    JsonText json = json_object();
    add_text(json, "class", name);
    add_count(json, "index", f.channel);
    maps.add_facts(json, name, f);
  }
  add_size(sight.json, "input", map.shape.w, map.shape.h);
  maps.finish(
      sight,
      str_cat("Probabilities of the classes, ", model_.architecture, ", ", map.shape.w, "x", map.shape.h),
      sheet_columns, picture_under(s, photo), "maps", "1");
}

// Along one side of the map: the value under a place of the input, and the pixels that it sees.
struct Side {
  std::int64_t value = 0;
  int first = 0, last = 0;  // of the picture, the last one not in it
};

Side side_under(double place, const ReceptiveField& field, std::int64_t map, std::int64_t input,
                int picture) {
  if (field.all)
    return {static_cast<std::int64_t>(place * static_cast<double>(map) / static_cast<double>(input)), 0,
            picture};
  const std::int64_t value =
      std::clamp<std::int64_t>(std::llround((place - field.centre) / field.jump), 0, map - 1);
  const double centre = field.centre + static_cast<double>(value) * field.jump;
  const auto within = [&](double v) { return static_cast<int>(std::clamp<double>(v, 0, picture)); };
  return {value, within(std::floor(centre - field.field / 2)), within(std::ceil(centre + field.field / 2))};
}

void Looker::pixel(const Image& photo, const std::string& name, Sight& sight) {
  const Place at = parse_pixel(layer_.pixel);
  if (at.x >= photo.width || at.y >= photo.height)
    fail(ErrorCode::invalid_argument, "--pixel ", layer_.pixel, ": the photo has ", photo.width, "x",
         photo.height, " pixels");
  if (preparation_.resize.center_crop > 0)
    fail(ErrorCode::unsupported,
         "--pixel: the network sees only a square of the photo's middle; --no-resize shows it all");
  const Image picture = apply(preparation_.resize, photo, session_.threads());
  const Shape input = input_of(picture);
  const std::vector<LayerFacts> layers = facts_at(input);
  const Node& node = node_of(0);
  const LayerFacts& facts = facts_of(layers, &node);
  const auto moved = [](int place, int to, int from) { return (place + 0.5) * to / from; };
  const double x = moved(at.x, picture.width, photo.width), y = moved(at.y, picture.height, photo.height);
  const Side across = side_under(x, facts.width, facts.output.w, input.w, picture.width),
             down = side_under(y, facts.height, facts.output.h, input.h, picture.height);

  ProgressLine line(!options_.quiet);
  OcclusionOptions how{.y = down.value,
                       .x = across.value,
                       .cells = std::min(layer_.cells > 0 ? layer_.cells : usual_cells,
                                         std::max(picture.width, picture.height)),
                       .seen = {across.first, down.first, across.last, down.last}};
  how.progress = [&](int done, int all, double seconds) {
    if (done == 0 && seconds * all > long_seconds && !options_.quiet)
      note(str_cat(visible(name), ": ", all, " runs, about ", fixed(seconds * all, 0),
                   " s; fewer with --cells"));
    line.show(str_cat(visible(name), ": cell ", done + 1, " of ", all));
  };
  const Occlusion o = occlude(session_, picture, preparation_, how);
  line.clear();
  std::vector<double> sorted = o.change, shares = o.change;
  std::ranges::sort(sorted);
  const double largest = sorted.back(), all = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::size_t half = 0;
  for (double sum = 0; half < sorted.size() && sum < all / 2; ++half) sum += sorted[sorted.size() - 1 - half];
  for (double& share : shares) share /= largest > 0 ? largest : 1;

  const std::string value =
      str_cat("value ", across.value, ",", down.value, " of ", facts.output.w, "x", facts.output.h);
  constexpr Colour frame{255, 214, 0}, mark{255, 0, 96};
  Panel panels[] = {{picture, str_cat(node.name, ", ", value)},
                    {heat_over(picture, shares, o.side, o.across),
                     str_cat("its change where ", o.side, "x", o.side, " pixels are grey")}};
  for (Panel& panel : panels) {
    draw_frame(panel.picture, across.first, down.first, across.last, down.last, frame);
    const int reach = std::max(3, std::max(picture.width, picture.height) / 100);
    const int px = static_cast<int>(x), py = static_cast<int>(y);
    draw_frame(panel.picture, px - reach, py - reach, px + reach + 1, py + reach + 1, mark);
  }
  const std::string sees = field_in_words(facts), percentage = short_number(100 * largest);
  std::vector<LegendEntry> legend{{mark, "the pixel"}, {frame, "what the value can see: " + sees}};
  for (LegendEntry& entry : heat_legend(false, "1: by " + percentage + "% of its length"))
    legend.push_back(std::move(entry));
  sight.picture = sheet(panels, legend);
  sight.said = str_cat(node.name, " (", name_of(node.layer), "): ", value, ", under pixel ", at.x, ",", at.y,
                       " of the photo\nsees ", sees, " of the input, of the picture ", across.first, ",",
                       down.first, " to ", across.last, ",", down.last, "\n", o.across, "x", o.down,
                       " cells of ", o.side, " pixels: the largest change is ", percentage,
                       "% of the value's length, half of all change comes from ", half, " cells\n");
  add_text(sight.json, "kind", name_of(node.layer));
  add_size(sight.json, "map", facts.output.w, facts.output.h);
  add_size(sight.json, "input", picture.width, picture.height);
  add_counts(sight.json, "value", std::array{across.value, down.value});
  add_counts(sight.json, "sees",
             std::array<std::int64_t, 4>{across.first, down.first, across.last, down.last});
  add_count(sight.json, "cell", o.side);
  add_size(sight.json, "cells", o.across, o.down);
  add_member(sight.json, "change", json_list(o.change));
}

Model model_of(const Checkpoint& checkpoint, const SegmentArguments& o) {
  const std::string& name = o.run.model;
  ModelOptions how = o.run.model_options();
  const bool calibrated = checkpoint.metadata && !checkpoint.metadata->activations.empty();
  if (how.precision ? *how.precision != Precision::fp32 : calibrated)
    fail(ErrorCode::unsupported, name, ": --layer shows maps in fp32, ",
         how.precision ? "not with --precision " + o.run.precision
                       : "and this model is for 8 bits; give --precision fp32");
  how.name = name;
  how.config = checkpoint.config;
  how.arch = checkpoint.arch;
  how.normalisation = checkpoint.normalisation;
  Model model = naming(name, [&] { return make_model(checkpoint.state, checkpoint.metadata, how); });
  if (model.task() == Task::instances)
    fail(ErrorCode::unsupported, "--layer: the ", model.architecture,
         " finds instances, by several graphs; --layer is for networks of one");
  return model;
}

}  // namespace

void add_layer_options(Verb& verb, LayerArguments& o) {
  static_assert(usual_maps == 19 && usual_aspp_maps == 4 && most_maps == 64 && usual_cells == 16);
  const auto group = "What a layer computes";
  // A script's variable may be empty; without a word of that the photo would be segmented.
  const Check some = [](const std::string& value) {
    return std::string(value.empty() ? "expected a value, found an empty one" : "");
  };
  verb.add_option("--layer", o.name,
                  "NAME.layer.png alone: the layer's maps, by a name that atrous inspect --explain lists; "
                  "aspp: its branches side by side; classes: their probabilities")
      .type_name("LAYER")
      .check(some)
      .group(group);
  verb.add_option("--channels", o.channels,
                  "How many maps, those of largest variance (default: 19, of aspp 4, of classes the 64 most "
                  "probable)")
      .whole_number(1, most_maps)
      .group(group);
  verb.add_option("--pixel", o.pixel,
                  "What the layer's value at this pixel of the photo depends on, measured by covering parts "
                  "of the photo, and what it can see")
      .type_name("X,Y")
      .check(some)
      .group(group);
  verb.add_option("--cells", o.cells,
                  "Parts along the photo's longer side that are covered, one run each (default: 16)")
      .whole_number(2, most_cells)
      .group(group);
}

void check_layer(const LayerArguments& o, const Verb& verb) {
  if (o.name.empty()) {
    const char* without = o.channels > 0     ? "--channels"
                          : !o.pixel.empty() ? "--pixel"
                          : o.cells > 0      ? "--cells"
                                             : nullptr;
    if (without) throw UsageError{str_cat(without, ": there is no --layer")};
    return;
  }
  const auto others = verb.given(
      words_of("photos --model --output --weights --arch --threads --isa --force --precision --memory-limit "
               "--resize --size --no-resize --mean --std --range --order --no-exif --json --quiet --classes "
               "--layer --channels --pixel --cells"));
  if (!others.empty()) throw UsageError{str_cat(others.front().first, " does not go with --layer")};
  const bool word = o.name == LayerArguments::aspp || o.name == LayerArguments::classes;
  if (o.pixel.empty()) {
    if (o.cells > 0) throw UsageError{"--cells: there is no --pixel"};
    return;
  }
  if (word) throw UsageError{"--pixel looks at a value of one layer, not at " + o.name};
  if (o.channels > 0) throw UsageError{"--channels: --pixel looks at all of them together"};
  parse_pixel(o.pixel);
}

int segment_layer(const SegmentArguments& o) {
  const bool to_folder = !o.output.empty() && !o.to_stdout();
  const Inputs found = expand_inputs(o.inputs, to_folder ? o.output : "", false);
  if (o.to_stdout() && (found.inputs.size() != 1 || o.json == "-"))
    throw UsageError{"-o -: one picture of one photo can go to standard output, and nothing beside it"};
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint(open_checkpoint(o.run.model, o.run.weights)));
  Model model = model_of(*checkpoint, o);
  if (!o.quiet) notify_choice(o.run.model, model);
  apply_names(model, o.classes, "");
  o.normalise.apply(model.preparation);
  for (const std::string& sentence : found.passed_over) note(sentence);
  // With the network's graph as it was written down, as `inspect --explain` has it.
  Looker looker(o, model,
                build_network(checkpoint->state, {.hyper = model.hyper, .named = model.architecture}).graph);
  checkpoint.reset();
  if (to_folder) make_folder(o.output);
  std::vector<JsonText> report;
  for (const Input& input : found.inputs) {
    const std::string name = input.path == "-" ? "standard input" : input.path;
    const std::vector<std::byte> file = read_input(input.path);
    if (is_npy(file)) fail(ErrorCode::invalid_argument, name, ": a tensor has no pixels for --layer");
    const Image photo = read_image(file, name, {.exif = !o.no_exif, .alone = input.path == "-"});
    Sight sight = naming(name, [&] { return looker.look(photo, name); });
    const std::string to = o.to_stdout() ? "-" : input.stem + ".layer.png";
    write_to(to, encode_png(sight.picture));
    if (o.prints_table())
      print(str_cat(visible(name), ": ", visible(sight.said, Newlines::kept), "wrote ", visible(to), '\n'));
    JsonText json = json_object();
    add_text(json, "file", name);
    add_text(json, "model", model.architecture);
    add_member(json, "sight", sight.json);
    add_text(json, "picture", to);
    report.push_back(std::move(json));
  }
  if (!o.json.empty()) write_to(o.json, json_output(json_list(report)));
  return 0;
}

}  // namespace atrous::cli
