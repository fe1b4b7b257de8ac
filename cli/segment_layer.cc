#include "cli/segment_layer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <iomanip>
#include <numeric>

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

// The photo as large as the maps that follow it.
void set_photo(std::vector<Panel>& panels, const Image& photo) {
  const Image& map = panels[1].picture;
  const int longer = std::max(map.width, map.height), of_photo = std::max(photo.width, photo.height);
  const auto side = [&](int s) { return std::max(1, (s * longer + of_photo / 2) / of_photo); };
  panels[0] = {resize_bilinear(photo, side(photo.width), side(photo.height)), "photo"};
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
  JsonText json;
};

JsonText size_json(std::int64_t width, std::int64_t height) {
  return json_object({{"width", width}, {"height", height}});
}

void add_facts(JsonText& json, const ChannelFacts& f) {
  add_member(json, "least", f.least);
  add_member(json, "largest", f.largest);
  add_member(json, "mean", f.mean);
  add_member(json, "deviation", std::sqrt(f.variance));
}

std::vector<std::string> facts_row(std::string name, const ChannelFacts& f) {
  return {std::move(name), short_number(f.least), short_number(f.largest), short_number(f.mean),
          short_number(std::sqrt(f.variance))};
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

// One photo at a time is looked at.
class Looker {
 public:
  Looker(const SegmentArguments& options, const Model& model, const Graph& whole);

  Sight look(const Image& photo, const std::string& name);

 private:
  Sight maps(const Image& photo);
  Sight aspp(const Image& photo);
  Sight classes(const Image& photo);
  Sight pixel(const Image& photo, const std::string& name);

  const Node& node_of(std::size_t output) const {
    return *std::ranges::find(built_.nodes, built_.outputs[output].second, &Node::output);
  }
  std::size_t count(int usual) const {
    return static_cast<std::size_t>(layer_.channels > 0 ? layer_.channels : usual);
  }
  Prepared run(const Image& photo) {
    Prepared prepared = prepare(photo, preparation_, session_->threads());
    session_->run(prepared.input.view());
    return prepared;
  }
  Shape input_of(const Image& picture) const {
    return padded_shape(program_->padding, {1, picture.height, picture.width, 3});
  }
  std::vector<LayerFacts> facts_at(const Shape& input) {
    return layer_facts(built_, *program_, session_->plan(input), input);
  }
  Sight sight_of(const std::string& title, const std::vector<Panel>& panels, int columns, bool negative,
                 const Table& table) const {
    return {with_legend(captioned_grid(title, panels, columns),
                        heat_legend(negative, "1: the largest of the map")),
            title + '\n' + table.plain(), json_object({{"layer", layer_.name}})};
  }

  const SegmentArguments& options_;
  const LayerArguments& layer_;
  const Model& model_;
  Preparation preparation_;
  Graph built_;  // the part of the network that is looked at, as it was written down
  std::shared_ptr<const Program> program_;
  std::optional<Session> session_;
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

Looker::Looker(const SegmentArguments& options, const Model& model, const Graph& whole)
    : options_(options), layer_(options.layer), model_(model), preparation_(model.preparation) {
  if (const auto rule = options.size.rule()) preparation_.resize = *rule;
  if (layer_.name == LayerArguments::classes) {
    program_ = model.program;
    session_.emplace(program_, options.run.session_options());
    return;
  }
  std::vector<ValueId> values;
  if (layer_.name == LayerArguments::aspp) {
    for (const AsppBranch& branch : aspp_branches(whole)) values.push_back(branch.last->output);
    if (values.empty())
      fail(ErrorCode::invalid_argument, "--layer aspp: the ", model.architecture,
           " has none, no value that convolutions of several dilations read");
  } else {
    values.push_back(value_named(whole, layer_.name, model.architecture));
  }
  built_ = part_of(whole, values);
  const ModelOptions how = options.run.model_options();
  Program program =
      compile(built_, {.isa = how.isa, .force = how.force, .threads = resolve_threads(how.threads)});
  program.name = model.program->name;
  program.padding = model.program->padding;
  program_ = std::make_shared<const Program>(std::move(program));
  session_.emplace(program_, options.run.session_options());
}

Sight Looker::look(const Image& photo, const std::string& name) {
  if (layer_.name == LayerArguments::classes) return classes(photo);
  if (layer_.name == LayerArguments::aspp) return aspp(photo);
  return layer_.pixel.empty() ? maps(photo) : pixel(photo, name);
}

Sight Looker::maps(const Image& photo) {
  const Prepared prepared = run(photo);
  const ConstView map = session_->output(part_output(0));
  const Node& node = node_of(0);
  const auto shown = strongest(channel_facts(map, node.name), count(usual_maps));
  std::vector<Panel> panels(1);  // the photo's place
  Table table({"channel", "least", "largest", "mean", "deviation"});
  bool negative = false;
  for (const ChannelFacts& f : shown) {
    panels.push_back(
        {heat_map(map, f.channel, f.magnitude(), map_side), str_cat(f.channel, ": ", range_in_words(f))});
    table.add(facts_row(str_cat(f.channel), f));
    negative = negative || f.least < 0;
  }
  set_photo(panels, prepared.picture);
  std::string title = str_cat(node.name, " (", name_of(node.layer), "), ", map.shape.w, "x", map.shape.h,
                              ", ", map.shape.c, " channels");
  if (std::ssize(shown) < map.shape.c) title += str_cat(", the ", shown.size(), " of largest variance");
  if (const auto side = values_a_pixel(map, map_side); side > 1)
    title += str_cat("; a dot is the mean of ", side, "x", side);
  Sight sight = sight_of(title, panels, sheet_columns, negative, table);
  add_member(sight.json, "kind", name_of(node.layer));
  add_member(sight.json, "map", size_json(map.shape.w, map.shape.h));
  add_member(sight.json, "channels", map.shape.c);
  add_member(sight.json, "input", size_json(prepared.picture.width, prepared.picture.height));
  add_member(sight.json, "maps", json_list(shown, [](const ChannelFacts& f) {
               JsonText json = json_object({{"channel", f.channel}});
               add_facts(json, f);
               return json;
             }));
  return sight;
}

// A row of the branches' means over all channels, then a row for each channel.
Sight Looker::aspp(const Image& photo) {
  const Prepared prepared = run(photo);
  const std::vector<AsppBranch> branches = aspp_branches(built_);
  const std::vector<LayerFacts> layers = facts_at(input_of(prepared.picture));
  const auto layer_of = [&](const Node* node) { return *std::ranges::find(layers, node, &LayerFacts::node); };
  std::vector<std::vector<ChannelFacts>> facts;
  std::vector<Panel> panels(1);  // the photo's place
  Table table({"branch", "least", "largest", "mean", "deviation", "sees", "taps", "layer"});
  std::vector<JsonText> all_json;
  bool negative = false;
  for (std::size_t b = 0; b < branches.size(); ++b) {
    const ConstView map = session_->output(part_output(b));
    const std::string &name = node_of(b).name, branch = branch_in_words(branches[b]),
                      sees = field_in_words(layer_of(branches[b].last));
    facts.push_back(channel_facts(map, name));
    const ChannelFacts all = taken_together(facts.back());
    negative = negative || all.least < 0;
    const Tensor mean = mean_of_channels(map);
    const auto of_mean = channel_facts(mean.view(), name).front();
    std::string taps, caption = branch;
    if (branches[b].conv && branches[b].dilation() > 1) {
      taps = percent(layer_of(branches[b].conv).taps_inside, 0);
      caption += ", taps " + taps;
    }
    panels.push_back({heat_map(mean.view(), 0, of_mean.magnitude(), map_side), caption});
    std::vector<std::string> row = facts_row(branch, all);
    row.insert(row.end(), {sees, taps, name});
    table.add(std::move(row));
    JsonText json = json_object({{"branch", branch}, {"layer", name}, {"sees", sees}});
    add_facts(json, all);
    all_json.push_back(std::move(json));
  }
  const auto shown = strongest_together(facts, count(usual_aspp_maps));
  for (const std::int64_t c : shown) {
    Image paper = make_image(1, 1, 3);
    fill_rectangle(paper, 0, 0, 1, 1, {255, 255, 255});
    panels.push_back({std::move(paper), str_cat("channel ", c)});
    for (std::size_t b = 0; b < branches.size(); ++b) {
      const ChannelFacts& f = facts[b][static_cast<std::size_t>(c)];
      panels.push_back(
          {heat_map(session_->output(part_output(b)), c, f.magnitude(), map_side), range_in_words(f)});
    }
  }
  set_photo(panels, prepared.picture);
  const Shape shape = session_->output(part_output(0)).shape;
  const std::string title =
      str_cat("ASPP of the ", model_.architecture, ", ", shape.w, "x", shape.h, ": first the mean of ",
              shape.c, " channels, then ", shown.size(), " of them");
  Sight sight = sight_of(title, panels, static_cast<int>(branches.size()) + 1, negative, table);
  add_member(sight.json, "map", size_json(shape.w, shape.h));
  add_member(sight.json, "input", size_json(prepared.picture.width, prepared.picture.height));
  add_member(sight.json, "channels", json_list(shown));
  add_member(sight.json, "branches", json_list(all_json));
  return sight;
}

Sight Looker::classes(const Image& photo) {
  const Segmentation s =
      segment(*session_, model_, photo,
              {.resize = preparation_.resize, .at_input = true, .confidence = false, .probabilities = true});
  const ConstView map = s.probabilities.view();
  std::vector<ChannelFacts> facts = channel_facts(map, model_.architecture);
  std::ranges::stable_sort(facts, std::greater<>{}, &ChannelFacts::mean);
  facts.resize(std::min(count(most_maps), facts.size()));
  std::vector<Panel> panels(1);  // the photo's place
  Table table({"class", "least", "largest", "mean", "deviation"});
  const auto class_of = [&](const ChannelFacts& f) {
    return model_.classes[static_cast<std::size_t>(f.channel)];
  };
  for (const ChannelFacts& f : facts) {
    panels.push_back({heat_map(map, f.channel, 1, map_side),
                      str_cat(class_of(f), ": ", fixed(100 * f.mean, 1), "%, up to ",
                              fixed(100 * static_cast<double>(f.largest), 0), '%')});
    table.add(facts_row(class_of(f), f));
  }
  set_photo(panels, picture_under(s, photo));
  const std::string title =
      str_cat("Probabilities of the classes, ", model_.architecture, ", ", map.shape.w, "x", map.shape.h);
  Sight sight{with_legend(captioned_grid(title, panels, sheet_columns), heat_legend(false, "1")),
              title + '\n' + table.plain(), json_object({{"layer", layer_.name}})};
  add_member(sight.json, "input", size_json(map.shape.w, map.shape.h));
  add_member(sight.json, "maps", json_list(facts, [&](const ChannelFacts& f) {
               JsonText json = json_object({{"class", class_of(f)}, {"index", f.channel}});
               add_facts(json, f);
               return json;
             }));
  return sight;
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

Sight Looker::pixel(const Image& photo, const std::string& name) {
  const Place at = parse_pixel(layer_.pixel);
  if (at.x >= photo.width || at.y >= photo.height)
    fail(ErrorCode::invalid_argument, "--pixel ", layer_.pixel, ": the photo has ", photo.width, "x",
         photo.height, " pixels");
  if (preparation_.resize.center_crop > 0)
    fail(ErrorCode::unsupported,
         "--pixel: the network sees only a square of the photo's middle; --no-resize shows it all");
  const Image picture = apply(preparation_.resize, photo, session_->threads());
  const Shape input = input_of(picture);
  const std::vector<LayerFacts> layers = facts_at(input);
  const Node& node = node_of(0);
  const LayerFacts& facts = *std::ranges::find(layers, &node, &LayerFacts::node);
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
  const Occlusion o = occlude(*session_, picture, preparation_, how);
  line.clear();
  const double largest = std::ranges::max(o.change),
               all = std::accumulate(o.change.begin(), o.change.end(), 0.0);
  std::vector<double> sorted = o.change, shares = o.change;
  for (double& share : shares) share /= largest > 0 ? largest : 1;
  std::ranges::sort(sorted, std::greater<>{});
  std::size_t half = 0;
  for (double sum = 0; half < sorted.size() && sum < all / 2; ++half) sum += sorted[half];

  const std::string value =
      str_cat("value ", across.value, ",", down.value, " of ", facts.output.w, "x", facts.output.h);
  constexpr Colour frame{255, 214, 0}, mark{255, 0, 96};
  const auto framed = [&](Image image) {
    draw_frame(image, across.first, down.first, across.last, down.last, frame);
    const int reach = std::max(3, std::max(picture.width, picture.height) / 100);
    const int px = static_cast<int>(x), py = static_cast<int>(y);
    draw_frame(image, px - reach, py - reach, px + reach + 1, py + reach + 1, mark);
    return image;
  };
  const std::string sees = field_in_words(facts);
  const Panel panels[] = {{framed(picture), str_cat(node.name, ", ", value)},
                          {framed(heat_over(picture, shares, o.side, o.across)),
                           str_cat("its change where ", o.side, "x", o.side, " pixels are grey")}};
  std::vector<LegendEntry> legend{{mark, "the pixel"}, {frame, "what the value can see: " + sees}};
  for (LegendEntry& entry :
       heat_legend(false, str_cat("1: by ", short_number(100 * largest), "% of its length")))
    legend.push_back(std::move(entry));
  Sight sight{sheet(panels, legend),
              str_cat(node.name, " (", name_of(node.layer), "): ", value, ", under pixel ", at.x, ",", at.y,
                      " of the photo\nsees ", sees, " of the input, of the picture ", across.first, ",",
                      down.first, " to ", across.last, ",", down.last, "\n", o.across, "x", o.down,
                      " cells of ", o.side, " pixels: the largest change is ", short_number(100 * largest),
                      "% of the value's length, half of all change comes from ", half, " cells\n"),
              json_object({{"layer", layer_.name}})};
  add_member(sight.json, "kind", name_of(node.layer));
  add_member(sight.json, "map", size_json(facts.output.w, facts.output.h));
  add_member(sight.json, "input", size_json(picture.width, picture.height));
  add_member(sight.json, "value", json_list({across.value, down.value}));
  add_member(sight.json, "sees", json_list({across.first, down.first, across.last, down.last}));
  add_member(sight.json, "cell", o.side);
  add_member(sight.json, "cells", size_json(o.across, o.down));
  add_member(sight.json, "change", json_list(o.change));
  return sight;
}

// With the network's graph as it was written down, as `inspect --explain` has it.
std::pair<Model, Graph> opened(const SegmentArguments& o) {
  const std::string& name = o.run.model;
  const Checkpoint checkpoint = open_checkpoint(name, o.run.weights);
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
  Graph graph = build_network(checkpoint.state, {.hyper = model.hyper, .named = model.architecture}).graph;
  return {std::move(model), std::move(graph)};
}

}  // namespace

void add_layer_options(Verb& verb, LayerArguments& o) {
  const auto group = "What a layer computes";
  verb.add_option("--layer", o.name,
                  "NAME.layer.png alone: the layer's maps, by a name that atrous inspect --explain lists; "
                  "aspp: its branches side by side; classes: their probabilities")
      .type_name("LAYER")
      .group(group);
  verb.add_option("--channels", o.channels,
                  str_cat("How many maps, those of largest variance (default: ", usual_maps, ", of aspp ",
                          usual_aspp_maps, ", of classes the ", most_maps, " most probable)"))
      .whole_number(1, most_maps)
      .group(group);
  verb.add_option("--pixel", o.pixel,
                  "What the layer's value at this pixel of the photo depends on, measured by covering parts "
                  "of the photo, and what it can see")
      .type_name("X,Y")
      .group(group);
  verb.add_option("--cells", o.cells,
                  str_cat("Parts along the photo's longer side that are covered, one run each (default: ",
                          usual_cells, ")"))
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
  const auto others = verb.given({"photos",    "--model", "--output",    "--weights",   "--arch",
                                  "--threads", "--isa",   "--force",     "--precision", "--memory-limit",
                                  "--resize",  "--size",  "--no-resize", "--mean",      "--std",
                                  "--range",   "--order", "--no-exif",   "--json",      "--quiet",
                                  "--classes", "--layer", "--channels",  "--pixel",     "--cells"});
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
  auto [model, whole] = opened(o);
  if (!o.quiet) notify_choice(o.run.model, model);
  apply_names(model, o.classes, "");
  o.normalise.apply(model.preparation);
  for (const std::string& sentence : found.passed_over) note(sentence);
  Looker looker(o, model, whole);
  whole = {};
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
    JsonText json = json_object({{"file", name}});
    add_member(json, "model", model.architecture);
    add_member(json, "sight", sight.json);
    add_member(json, "picture", to);
    report.push_back(std::move(json));
  }
  if (!o.json.empty()) write_to(o.json, json_output(json_list(report)));
  return 0;
}

}  // namespace atrous::cli
