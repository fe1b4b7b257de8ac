// atrous eval: what it prints and writes, what it refuses, and how it stops and goes on.
#include <csignal>
#include <iomanip>
#include <sstream>

#include "runtime/drawing/pictures.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/segment/segmenter.h"
#include "tests/support/cli_testing.h"
#include "tests/support/evaluate_testing.h"

namespace atrous::eval_test {

using namespace atrous::cli_testing;
using atrous::evaluate_testing::Pairs;
using atrous::evaluate_testing::patches;
using atrous::evaluate_testing::write_labels;

namespace {

struct EvalBench : Pairs {
  const std::string checkpoint = folder / "net.safetensors";
  EvalBench() { write_safetensors(checkpoint, tiny_state("deeplabv3"), {}); }

  Arguments eval(const Arguments& arguments) const {
    return Arguments{"eval",      "-m",    checkpoint,        "--threads",      "1", "--resize", "40",
                     "--dataset", "pairs", folder / "photos", folder / "labels"} +
           arguments;
  }
  Json json(const Arguments& arguments = {}) const {
    return Json::parse(succeed(eval(arguments + Arguments{"--json", "-"})));
  }
  void break_photo(std::size_t i) const { write_text(photo_path(i), "no picture"); }
};

bool same(const Json& json, const Ratio& ratio) {
  return ratio ? json.is_number() && json.get<double>() == *ratio : json.is_null();
}

// All but the seconds, which no two runs share.
Json without_seconds(Json all) {
  all.erase("seconds");
  for (Json& image : all["per_image"]) image.erase("seconds");
  return all;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE_FIXTURE(EvalBench, "eval's JSON holds every number of the library's evaluation to the last digit") {
  const Evaluation e = evaluate(model, open(), options());
  const Metrics m = e.metrics();
  const Json all = json();
  CHECK(all["model"] == "net.safetensors");
  CHECK(all["architecture"] == model.architecture);
  CHECK(all["dataset"] == "pairs: 6 images");
  CHECK(all["size"] == e.size);
  CHECK(all["images"] == 6);
  CHECK(all["failed"].empty());
  CHECK(all["seconds"].get<double>() > 0);
  const std::pair<const char*, Ratio> summary[] = {{"pixel_accuracy", m.pixel_accuracy},
                                                   {"mean_accuracy", m.mean_recall},
                                                   {"mean_iou", m.mean_iou},
                                                   {"mean_dice", m.mean_dice},
                                                   {"mean_precision", m.mean_precision},
                                                   {"mean_average_precision", m.mean_average_precision},
                                                   {"frequency_weighted_iou", m.frequency_weighted_iou},
                                                   {"micro_iou", m.micro_iou},
                                                   {"micro_dice", m.micro_dice},
                                                   {"image_mean_iou", m.image_mean_iou},
                                                   {"image_mean_dice", m.image_mean_dice},
                                                   {"image_pixel_accuracy", m.image_pixel_accuracy},
                                                   {"cross_entropy", m.cross_entropy}};
  CHECK(all["summary"].size() == std::size(summary) + 2);
  CHECK(all["summary"]["void_pixels"] == e.void_pixels());
  CHECK(all["notes"].empty());
  CHECK(all["summary"]["pixels"] == m.pixels);
  for (const auto& one : summary) CHECK_MESSAGE(same(all["summary"][one.first], one.second), one.first);
  REQUIRE(all["classes"].size() == 5);
  for (std::size_t c = 0; c < 5; ++c) {
    const Json& found = all["classes"][c];
    const ClassMetrics& expected = m.classes[c];
    CHECK(found["index"] == c);
    CHECK(found["name"] == model.classes[c]);
    CHECK(same(found["iou"], expected.iou));
    CHECK(same(found["dice"], expected.dice));
    CHECK(same(found["precision"], expected.precision));
    CHECK(same(found["recall"], expected.recall));
    CHECK(same(found["average_precision"], expected.average_precision));
    CHECK(same(found["iou_per_image"], expected.iou_per_image));
    CHECK(found["truth_pixels"] == expected.truth_pixels);
    CHECK(found["predicted_pixels"] == expected.predicted_pixels);
    CHECK(found["correct_pixels"] == expected.correct_pixels);
    for (std::size_t p = 0; p < 5; ++p)
      CHECK(all["confusion_matrix"][c][p] == e.confusion.at(static_cast<int>(c), static_cast<int>(p)));
  }
  REQUIRE(all["per_image"].size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    const Json& found = all["per_image"][i];
    const ImageScore& expected = e.images[i];
    CHECK(found["name"] == expected.name);
    CHECK(found["width"] == expected.width);
    CHECK(found["height"] == expected.height);
    CHECK(found["pixels"] == expected.pixels);
    CHECK(same(found["pixel_accuracy"], expected.pixel_accuracy));
    CHECK(same(found["mean_iou"], expected.mean_iou));
    CHECK(same(found["cross_entropy"], expected.cross_entropy));
    REQUIRE(found["iou"].size() == expected.iou.size());
    for (std::size_t k = 0; k < expected.iou.size(); ++k) {
      CHECK(found["iou"][k]["class"] == expected.iou[k].first);
      CHECK(same(found["iou"][k]["iou"], expected.iou[k].second));
    }
  }
}

TEST_CASE_FIXTURE(EvalBench, "eval's table has a line per class and the summary, with absent ratios as -") {
  for (std::size_t i = 0; i < names.size(); ++i) {  // class 4 is nowhere in the labels
    LabelMap map = read_labels_file(label_path(i));
    std::ranges::replace(map.labels, std::uint8_t{4}, std::uint8_t{0});
    write_labels(label_path(i), map);
  }
  const std::string table = succeed(eval({}));
  const auto lines = lines_of(table);
  CAPTURE(table);
  CHECK(lines[0].starts_with("net.safetensors (" + model.architecture +
                             ") on pairs: 6 images; compared at shorter side 40"));
  CHECK(lines[1].starts_with("class"));
  for (const char* head : {"IoU", "Dice", "precision", "recall", "AP", "pixels"})
    CHECK(mentions(lines[1], head));
  const Metrics m = evaluate(model, open(), options()).metrics();
  for (std::size_t c = 0; c < 5; ++c) {
    CHECK(lines[2 + c].starts_with(model.classes[c]));
    CHECK(lines[2 + c].ends_with(' ' + std::to_string(m.classes[c].truth_pixels)));
  }
  CHECK(mentions(lines[6], " - "));
  CHECK(mentions(lines[7], "absent"));
  std::ostringstream miou;
  miou << std::fixed << std::setprecision(4) << m.mean_iou.value();
  for (const char* what : {"pixel accuracy", "mean accuracy", "mean IoU", "frequency-weighted IoU",
                           "mean Dice", "mean average precision", "cross-entropy"})
    CHECK_MESSAGE(mentions(table, what), what);
  CHECK(mentions(table, miou.str()));
  const Evaluation e = evaluate(model, open(), options());
  CHECK(mentions(table, str_cat("void: ", e.void_pixels(), " of ", e.all_pixels(), " pixels, ")));
  CHECK(mentions(table, "classes without truth: " + model.classes[4] + "\n"));
  CHECK(json()["classes"][4]["recall"].is_null());
  CHECK(json()["classes"][4]["average_precision"].is_null());
}

TEST_CASE_FIXTURE(EvalBench, "eval's CSVs have a row per class and a row per image") {
  break_photo(3);
  const Json all = [&] {
    const ProcessResult r = run_atrous(eval({"-q", "--json", folder / "all.json", "--csv",
                                             folder / "classes.csv", "--images-csv", folder / "images.csv"}));
    CHECK(r.exit_code == 0);
    CHECK(r.output == "");
    return Json::parse(read_text(folder / "all.json"));
  }();
  const auto classes = lines_of(read_text(folder / "classes.csv"));
  REQUIRE(classes.size() == 6);
  CHECK(classes[0] ==
        "index,name,iou,dice,precision,recall,average_precision,iou_per_image,truth_pixels,predicted_pixels,"
        "correct_pixels");
  for (std::size_t c = 0; c < 5; ++c) {
    CHECK(classes[c + 1].starts_with(str_cat(c, ',', model.classes[c], ',')));
    const double iou = std::stod(classes[c + 1].substr(str_cat(c, ',', model.classes[c], ',').size()));
    CHECK(iou == all["classes"][c]["iou"].get<double>());
  }
  const auto images = lines_of(read_text(folder / "images.csv"));
  REQUIRE(images.size() == 7);
  CHECK(images[0] ==
        "name,width,height,pixels,pixel_accuracy,mean_iou,mean_dice,cross_entropy,seconds,error");
  CHECK(images[1].starts_with("a,60,40,"));
  CHECK(images[6].starts_with("d,,,,,,,,,"));
  CHECK(mentions(images[6], photo_path(3)));
}

TEST_CASE_FIXTURE(EvalBench, "eval's report is a folder with a page") {
  CHECK(succeed(eval({"-q", "--report", folder / "made/report"})) == "");
  CHECK(mentions(read_text(folder / "made/report/index.html"), "net.safetensors"));
  CHECK(!names_in(folder / "made/report/images").empty());
}

TEST_CASE_FIXTURE(EvalBench, "eval's batch sheet has the first photos, predictions and truths, void white") {
  const auto is_at = [](const Image& all, int x0, int y0, const Image& part) {
    if (x0 + part.width > all.width || y0 + part.height > all.height) return false;
    const auto row = static_cast<std::size_t>(3 * part.width);
    for (int y = 0; y < part.height; ++y) {
      const std::size_t at = 3 * (static_cast<std::size_t>(y0 + y) * static_cast<std::size_t>(all.width) +
                                  static_cast<std::size_t>(x0));
      if (!std::equal(
              part.pixels.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(y) * row),
              part.pixels.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(y + 1) * row),
              all.pixels.begin() + static_cast<std::ptrdiff_t>(at)))
        return false;
    }
    return true;
  };
  const auto places = [&](const Image& all, const Image& part) {
    std::vector<std::pair<int, int>> found;
    for (int y = 0; y < all.height; ++y)
      for (int x = 0; x < all.width; ++x)
        if (is_at(all, x, y, part)) found.emplace_back(x, y);
    return found;
  };
  const auto truth = [&](std::size_t i) {
    Palette palette = model.palette;
    palette.resize(256, {255, 255, 255});
    return colourise(read_labels_file(label_path(i)), palette);
  };
  const std::string file = folder / "four.png";
  succeed(eval({"--batch-sheet", "4", file, "--at", "original", "-q"}));
  const Image sheet = read_image_file(file);
  // Two by two in cells of 70x61, the largest width and height, and two pixels between them.
  const auto photo = places(sheet, read_image_file(photo_path(0))), label = places(sheet, truth(0));
  REQUIRE(photo.size() == 1);
  REQUIRE(label.size() == 1);
  const auto [x, y] = photo.front();
  CHECK(label.front().second == y);
  CHECK((label.front().first - x) % 2 == 0);
  const int panel = (label.front().first - x) / 2;  // from one panel to the next
  CHECK(panel > 2 * 70 + 2);
  for (std::size_t i = 1; i < 4; ++i) {
    const int right = i % 2 == 1 ? 72 : 0, down = i >= 2 ? 63 : 0;
    CHECK(is_at(sheet, x + right, y + down, read_image_file(photo_path(i))));
    CHECK(is_at(sheet, x + 2 * panel + right, y + down, truth(i)));
  }
  const Segmentation s = [&] {
    Session session(model.program, {.threads = 1});
    return segment(session, model, read_image_file(photo_path(3)), {.resize = *options().resize});
  }();
  CHECK(is_at(sheet, x + panel + 72, y + 63, colourise(s.labels, model.palette)));
  CHECK(places(sheet, read_image_file(photo_path(4))).empty());

  // At the network's input size photos are as it took them.
  succeed(eval({"--batch-sheet", "1", file, "-q"}));
  CHECK(places(read_image_file(file), apply(*options().resize, read_image_file(photo_path(0)))).size() == 1);
}

TEST_CASE_FIXTURE(EvalBench, "eval compares where it is told to") {
  CHECK(json({"--at", "original"})["per_image"][0]["width"] == 48);
  CHECK(json({"--at", "input"})["per_image"][0]["width"] == 60);
  const Arguments plain{
      "eval", "-m", checkpoint, "--dataset", "pairs", folder / "photos", folder / "labels", "--limit", "1"};
  const auto first = [&](const Arguments& arguments) {
    const Json all = Json::parse(succeed(plain + arguments + Arguments{"--json", "-"}));
    CHECK(all["dataset"] == "pairs: first 1 of 6 images");
    return str_cat(all["per_image"][0]["width"], 'x', all["per_image"][0]["height"]);
  };
  CHECK(first({"--no-resize"}) == "48x32");
  CHECK(first({"--size", "50x70"}) == "50x70");
  CHECK(first({"--resize", "64"}) == "96x64");
  CHECK(first({}) == "780x520");
}

TEST_CASE_FIXTURE(EvalBench, "eval normalises photos as it is told to") {
  const std::string kept = folder / "caffe.safetensors";
  const Arguments caffe{"--range", "255", "--order", "bgr", "--mean", "104.008,116.669,122.675"};
  succeed(Arguments{"convert", checkpoint, kept} + caffe);
  const auto evaluated = [&](const std::string& net, const Arguments& how) {
    Json all =
        Json::parse(succeed(Arguments{"eval", "-m", net, "--dataset", "pairs", folder / "photos",
                                      folder / "labels", "--limit", "1", "--no-resize", "--json", "-"} +
                            how));
    return std::pair(all["input"].get<std::string>(), all["summary"]["cross_entropy"].get<double>());
  };
  const auto told = evaluated(checkpoint, caffe);
  CHECK(told.first == "BGR of 0 to 255, mean 104.008, 116.669, 122.675, std 1, 1, 1");
  CHECK(told == evaluated(kept, {}));
  CHECK(told.second != evaluated(checkpoint, {}).second);
}

TEST_CASE_FIXTURE(EvalBench, "eval's options of the truth: void, other labels, a map, fewer images") {
  const Json plain = json();
  const Json with_void = json({"--void-class"});
  CHECK(with_void["classes"].size() == 6);
  CHECK(with_void["classes"][5]["name"] == "void");
  CHECK(with_void["summary"]["pixels"] > plain["summary"]["pixels"]);
  write_text(folder / "map.txt", "0 = 1\n1 = 0\n* = ignore\n");
  const Json mapped = json({"--map", folder / "map.txt"});
  CHECK(mapped["classes"][0]["truth_pixels"] == plain["classes"][1]["truth_pixels"]);
  CHECK(mapped["classes"][2]["truth_pixels"] == 0);
  CHECK(json({"--no-scores"})["summary"]["cross_entropy"].is_null());
  for (std::size_t i = 0; i < names.size(); ++i) {
    LabelMap map = read_labels_file(label_path(i));
    std::ranges::replace(map.labels, std::uint8_t{255}, std::uint8_t{3});
    write_labels(label_path(i), map);
  }
  const Json none = json({"--ignore", "none"});
  CHECK(none["summary"]["pixels"] == with_void["summary"]["pixels"]);
  CHECK(json({"--ignore", "3"})["summary"]["pixels"] ==
        none["summary"]["pixels"].get<int>() - none["classes"][3]["truth_pixels"].get<int>());
}

TEST_CASE_FIXTURE(EvalBench, "eval takes names and colours for its classes") {
  write_text(folder / "names.txt", "sky\nroad\ncar, parked\ntree\npole\n");
  CHECK(json({"--classes", folder / "names.txt"})["classes"][1]["name"] == "road");
  CHECK(mentions(succeed(eval({"--classes", folder / "names.txt", "--csv", "-"})), "2,\"car, parked\","));
  refuse(1, eval({"--palette", folder / "names.txt"}), {"names.txt", "line 1"});
}

TEST_CASE_FIXTURE(EvalBench, "a broken image is one complaint, counted at the end, and no failure") {
  break_photo(1);
  break_photo(4);
  const ProcessResult r = run_atrous(eval({"--json", "-"}));
  CHECK(r.exit_code == 0);
  const auto said = lines_of(r.errors);
  CAPTURE(r.errors);
  REQUIRE(said.size() == 3);
  CHECK(said[0].starts_with("atrous: error: " + photo_path(1) + ": "));
  CHECK(said[1].starts_with("atrous: error: " + photo_path(4) + ": "));
  CHECK(said[2] == "atrous: error: 2 of 6 images failed");
  const Json all = Json::parse(r.output);
  CHECK(all["images"] == 4);
  REQUIRE(all["failed"].size() == 2);
  CHECK(all["failed"][0]["name"] == "b");
  CHECK("atrous: error: " + all["failed"][0]["error"].get<std::string>() == said[0]);
  refuse(1, eval({"--strict"}), {photo_path(1)});
  for (std::size_t i = 0; i < names.size(); ++i) break_photo(i);
  const ProcessResult none = run_atrous(eval({}));
  CHECK(none.exit_code == 1);
  CHECK(none.output == "");
  CHECK(mentions(none.errors, "none of 6 images"));
}

TEST_CASE_FIXTURE(EvalBench, "an interrupted eval leaves a state, says so, and goes on to the same numbers") {
  // The broken photo's complaint is the sign that the run is under way.
  const Image large = photo(150, 150);
  for (int i = 0; i < 60; ++i) {
    write_file(folder / str_cat("photos/g", i, ".png"), encode_png(large));
    write_labels(folder / str_cat("labels/g", i, ".png"), patches(150, 150, static_cast<unsigned>(i)));
  }
  break_photo(0);
  const Arguments whole{"eval",
                        "-m",
                        checkpoint,
                        "--threads",
                        "1",
                        "--size",
                        "160x160",
                        "--dataset",
                        "pairs",
                        folder / "photos",
                        folder / "labels",
                        "--json",
                        folder / "whole.json",
                        "-q"};
  CHECK(run_atrous(whole).exit_code == 0);
  Arguments kept = whole + Arguments{"--resume", folder / "state"};
  kept[12] = folder / "resumed.json";
  for (const int signal : {SIGINT, SIGTERM}) {
    std::filesystem::remove(folder / "state");
    const ProcessResult r = run_atrous(kept, {.signal_at_errors = signal});
    CAPTURE(r.errors);
    CHECK(r.exit_code == 128 + signal);
    CHECK(mentions(r.errors, "atrous: error: stopped after "));
    CHECK(mentions(r.errors, " of 66 images; the same command goes on"));
    CHECK(!std::filesystem::exists(folder / "resumed.json"));
  }
  const ProcessResult r = run_atrous(kept);
  CHECK(r.exit_code == 0);
  CHECK(r.errors == "atrous: error: 1 of 66 images failed\n");
  CHECK(without_seconds(Json::parse(read_text(folder / "resumed.json"))) ==
        without_seconds(Json::parse(read_text(folder / "whole.json"))));
  const ProcessResult lost = run_atrous(whole, {.signal_at_errors = SIGINT});
  CHECK(lost.exit_code == 130);
  CHECK(mentions(lost.errors, "--resume"));
}

TEST_CASE_FIXTURE(EvalBench, "the state of another eval is refused") {
  const Arguments kept = eval({"-q", "--resume", folder / "state"});
  succeed(kept);
  refuse(1, kept + Arguments{"--no-scores"}, {folder / "state", "scores"});
  refuse(1, kept + Arguments{"--limit", "2"}, {folder / "state", "samples"});
  refuse(1, kept + Arguments{"--ignore", "3"}, {folder / "state", "ignored label was 255, is 3"});
  refuse(1, kept + Arguments{"--force", "reference"}, {folder / "state", "implementation"});
  refuse(1, kept + Arguments{"--precision", "bf16"}, {folder / "state", "precision was fp32, is bf16"});
  succeed(kept + Arguments{"--precision", "fp32"});
  write_safetensors(checkpoint, other_tiny_state("deeplabv3"), {});
  refuse(1, kept, {folder / "state", "model"});
  write_text(folder / "state", "{}");
  refuse(1, kept, {folder / "state", "not the state"});
}

TEST_CASE_FIXTURE(EvalBench, "nonsense for eval is refused, naming it") {
  refuse(2, {"eval"}, {"--dataset"});
  refuse(2, {"eval", "-m", checkpoint}, {"--dataset"});
  refuse(2, {"eval", "-m", checkpoint, "--dataset", "voc"}, {"--dataset"});
  refuse(1, {"eval", "-m", checkpoint, "--dataset", "vos", folder.path()}, {"vos", "voc", "pairs"});
  refuse(1, {"eval", "-m", checkpoint, "--dataset", "voc", folder / "none"}, {"none"});
  refuse(1, {"eval", "-m", checkpoint, "--dataset", "pairs", folder / "photos"}, {"pairs"});
  refuse(2, {"eval", "-m", checkpoint, "--dataset", "voc", folder.path(), folder.path()}, {"voc", "pairs"});
  refuse(1, {"eval", "-m", folder / "none.pth", "--dataset", "pairs", folder / "photos", folder / "labels"},
         {"none.pth"});
  const std::pair<const char*, std::vector<const char*>> nonsense[] = {
      {"--ignore", {"256", "-1", "x", "", "5x", "None"}},
      {"--at", {"photo", ""}},
      {"--limit", {"0", "-1", "x"}},
      {"--batch-sheet", {"0", "65", "x"}},
      {"--resize", {"0", "x"}},
      {"--size", {"5", "0x5"}},
      {"--threads", {"-1"}},
  };
  for (const auto& [option, values] : nonsense)
    for (const char* value : values) {
      const Arguments plain{"eval",           "-m", checkpoint, "--dataset", "pairs", folder / "photos",
                            folder / "labels"};
      refuse(2, plain + Arguments{str_cat(option, '=', value)}, {std::string_view(option).substr(2).data()});
    }
  refuse(2, eval({"--no-resize"}), {"--resize", "--no-resize"});
  refuse(2, eval({"--json", "-", "--csv", "-"}), {"--json", "--csv"});
  refuse(2, eval({"--colour"}), {"--colour"});
}

TEST_CASE_FIXTURE(EvalBench, "an output that cannot be written is found before the work is done") {
  for (const char* option : {"--json", "--csv", "--images-csv", "--resume"}) {
    refuse(1, eval({option, folder / "none/out"}), {"none/out"});
    refuse(1, eval({option, folder / "photos"}), {"photos", "directory"});
  }
  refuse(1, eval({"--batch-sheet", "2", folder / "none/out"}), {"none/out"});
  write_text(folder / "file", "");
  refuse(1, eval({"--report", folder / "file/report"}), {"file/report"});
  refuse(1, eval({}), {"standard output"}, {.output_file = "/dev/full"});
}

TEST_CASE_FIXTURE(EvalBench, "eval says which of two networks it evaluates, unless it is to be quiet") {
  StateDict all;
  for (const std::string prefix : {"model_ema.", "model."}) {
    const StateDict state = tiny_state("deeplabv3");
    for (const auto& [name, tensor] : state.entries()) all.add(prefix + name, tensor);
  }
  write_safetensors(folder / "two.safetensors", all, {});
  Arguments two = eval({});
  *std::ranges::find(two, checkpoint) = folder / "two.safetensors";
  const auto own_lines = [](const ProcessResult& r) {
    return std::ranges::count_if(lines_of(r.errors), [](const std::string& line) {
      return mentions(line, "holds 2 networks: model was taken, not model_ema");
    });
  };
  const ProcessResult said = run_atrous(two);
  CHECK(said.exit_code == 0);
  CHECK(own_lines(said) == 1);
  CHECK(own_lines(run_atrous(two + Arguments{"-q"})) == 0);
  CHECK(own_lines(run_atrous(two + Arguments{"--weights", "model_ema"})) == 0);
}

namespace {

// A network of two classes, and masks of 0 and 255.
struct MaskBench : EvalBench {
  MaskBench() {
    write_safetensors(checkpoint, seeded_state("deeplabv3_resnet(1,1,1,1)", {.classes = 2, .width = 8}), {});
    for (std::size_t i = 0; i < names.size(); ++i) {
      LabelMap map = read_labels_file(label_path(i));
      for (std::uint8_t& label : map.labels) label = label == 255 || label > 2 ? 255 : 0;
      write_labels(label_path(i), map);
    }
  }
};

}  // namespace

TEST_CASE_FIXTURE(MaskBench, "masks of 0 and 255 are binary, void where asked for, and what a map says") {
  const Json found = json();
  CHECK(found["summary"]["void_pixels"] == 0);
  CHECK(found["classes"][1]["truth_pixels"] > 0);
  REQUIRE(found["notes"].size() == 1);
  CHECK(mentions(found["notes"][0], "255 is taken as class 1"));
  CHECK(mentions(succeed(eval({})), "the labels are 0 and 255 alone: 255 is taken as class 1"));

  const Json as_void = json({"--ignore", "255"});
  CHECK(as_void["summary"]["void_pixels"] == found["classes"][1]["truth_pixels"]);
  CHECK(as_void["classes"][1]["truth_pixels"] == 0);

  write_text(folder / "map.txt", "0 = 0\n255 = 1\n");
  const Json mapped = json({"--ignore", "none", "--map", folder / "map.txt"});
  CHECK(mapped["confusion_matrix"] == found["confusion_matrix"]);
  CHECK(mapped["notes"].empty());
  refuse(1, eval({"--map", folder / "map.txt"}), {"map.txt: line 2", "255 is void", "--ignore none"});
}

TEST_CASE_FIXTURE(EvalBench,
                  "labels that are colours are read by a dictionary beside them, or one that is named") {
  const Json by_index = json();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const LabelMap map = read_labels_file(label_path(i));
    Image picture{map.width, map.height, 3, {}};
    for (const std::uint8_t label : map.labels)
      for (const int level : {label == 255 ? 250 : 10 * label, 7, 99})
        picture.pixels.push_back(static_cast<std::uint8_t>(level));
    write_file(label_path(i), encode_png(picture));
  }
  const ProcessResult none = run_atrous(eval({}));
  CHECK(none.exit_code == 1);
  CHECK(mentions(none.errors, " is none of the 5 of the classes' palette; "));

  std::string dict = "name,r,g,b\n";
  for (int c = 0; c < 5; ++c) dict += str_cat("thing ", c, ',', 10 * c, ",7,99\n");
  write_text(folder / "class_dict.csv", dict + "void,250,7,99\n");
  const Json found = json();
  CHECK(found["confusion_matrix"] == by_index["confusion_matrix"]);
  CHECK(found["classes"][3]["name"] == "thing 3");
  REQUIRE(found["notes"].size() == 1);
  CHECK(mentions(found["notes"][0], "6 label maps of colours, looked up in "));
  CHECK(mentions(found["notes"][0], folder / "class_dict.csv"));
  CHECK(run_atrous(eval({"--label-palette", "none"})).exit_code == 1);

  std::filesystem::rename(folder / "class_dict.csv", folder / "other.csv");
  CHECK(json({"--label-palette", folder / "other.csv"})["confusion_matrix"] == by_index["confusion_matrix"]);
  write_text(folder / "bad.csv", "name,r,g,b\nroad,1,2\n");
  refuse(1, eval({"--label-palette", folder / "bad.csv"}), {"bad.csv: line 2"});
  refuse(1, eval({"--label-palette", folder / "nothing.csv"}), {"nothing.csv"});
}

TEST_CASE_FIXTURE(EvalBench, "--predictions scores label maps that exist, with the same table and report") {
  std::filesystem::create_directory(folder / "made");
  ConfusionMatrix expected(5);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const LabelMap truth = read_labels_file(label_path(i));
    LabelMap made = truth;
    for (std::size_t p = 0; p < made.labels.size(); ++p)
      made.labels[p] = static_cast<std::uint8_t>(made.labels[p] == 255 || p % 3 == 0 ? 2 : made.labels[p]);
    write_labels(folder / ("made/" + names[i] + ".png"), made);
    expected.add(truth, made);
  }
  write_text(folder / "names.txt", "sky\nroad\ncar\ntree\npole\n");
  const Arguments plain{"eval",  "--predictions",   folder / "made",  "--dataset",
                        "pairs", folder / "photos", folder / "labels"};
  const Arguments named = plain + Arguments{"--classes", folder / "names.txt"};
  const Json all = Json::parse(succeed(named + Arguments{"--json", "-"}));
  CHECK(all["classes"][1]["name"] == "road");
  for (std::size_t t = 0; t < 5; ++t)
    for (std::size_t p = 0; p < 5; ++p)
      CHECK(all["confusion_matrix"][t][p] == expected.at(static_cast<int>(t), static_cast<int>(p)));
  const std::string table = succeed(named + Arguments{"--report", folder / "report"});
  CHECK(mentions(table, "made (label maps) on pairs: 6 images; compared at the label maps' own size"));
  CHECK(mentions(table, "void: "));
  CHECK(mentions(read_text(folder / "report/index.html"), "road"));

  // Stopped and gone on is tested in evaluation_state_test; another folder's state is refused.
  succeed(named + Arguments{"-q", "--resume", folder / "state"});
  succeed(named + Arguments{"-q", "--resume", folder / "state"});
  refuse(1, named + Arguments{"--resume", folder / "state", "--limit", "2"}, {"state", "samples"});

  refuse(2, plain, {"--predictions", "--classes"});
  refuse(2, plain + Arguments{"-m", checkpoint}, {"--predictions", "--model"});
  write_labels(folder / "made/b.png", LabelMap{2, 1, {0, 1}});
  const ProcessResult small = run_atrous(named);
  CHECK(small.exit_code == 0);
  CHECK(mentions(small.errors, "made/b.png: expected labels of 37x61 as the truth has, found 2x1"));
  std::filesystem::remove(folder / "made/b.png");
  refuse(1, named, {"made/b.png: no such prediction", "1 of 6"});
}

TEST_CASE("the field's masks of 0 and 255 score as torch says") {
  const std::string data = ATROUS_SOURCE_DIR "/../shared/data/field/02-masks-0-255/";
  if (!std::filesystem::exists(data)) {
    MESSAGE("skipped: ", data, " is not there");
    return;
  }
  const Arguments plain{"eval",          "-m",           data + "two.pth", "--dataset", "pairs",
                        data + "photos", data + "masks", "--no-resize",    "--json",    "-"};
  for (const Arguments& how : {Arguments{}, Arguments{"--ignore", "none", "--map", data + "map.txt"}}) {
    const Json all = Json::parse(succeed(plain + how));
    CHECK(all["summary"]["pixels"] == 4096);
    CHECK(all["summary"]["pixel_accuracy"] == 0.5);
    CHECK(all["classes"][0]["iou"] == 0.);
    CHECK(all["classes"][1]["iou"] == 0.5);
  }
}

}  // namespace atrous::eval_test
