// atrous bench, atrous profile, --help and --version.
#include <sstream>

#include "layers/cpu/parallel.h"
#include "runtime/engine/plan.h"
#include "runtime/engine/program.h"
#include "tests/support/cli_testing.h"

namespace atrous::measurements_test {

using namespace atrous::cli_testing;

namespace {

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// The cells of a line of CSV (RFC 4180, without line breaks in cells).
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      out.back() += line[i++];
    else if (line[i] == '"')
      quoted = !quoted;
    else if (line[i] == ',' && !quoted)
      out.emplace_back();
    else
      out.back() += line[i];
  }
  return out;
}

const Arguments quick{"--size", "17x9", "--runs", "3", "--warmup", "0", "--threads", "1"};

}  // namespace

TEST_CASE_FIXTURE(
    Bench, "without a number of threads OMP_NUM_THREADS is the number, and never more than there are") {
  const auto threads = [&](const Arguments& more, const std::string& variable) {
    const Arguments bench{"bench", checkpoint, "--size", "17x9", "--runs", "1", "-o", "json"};
    return Json::parse(succeed(bench + more, {.environment = {{"OMP_NUM_THREADS", variable}}}))["threads"]
        .get<int>();
  };
  const int all = available_threads();
  CHECK(threads({}, "1") == 1);
  CHECK(threads({}, "64") == std::min(64, all));
  CHECK(threads({"--threads", "64"}, "1") == std::min(64, all));
}

TEST_CASE_FIXTURE(Bench, "bench reports the same measurement as a table, CSV and JSON") {
  const Arguments bench = Arguments{"bench", checkpoint, "--batch", "2"} + quick;
  const Json report = Json::parse(succeed(bench + Arguments{"-o", "json"}));
  CHECK(report["architecture"] == "deeplabv3_resnet(1,1,1,1)");
  CHECK(report["width"] == 17);
  CHECK(report["height"] == 9);
  CHECK(report["batch"] == 2);
  CHECK(report["threads"] == 1);
  CHECK(report["runs"] == 3);
  CHECK(report["device"] == str_cat("cpu ", name_of(supported_isas().front())));
  CHECK(report["precision"] == "fp32");
  const double least = report["min_ms"], middle = report["median_ms"], most = report["p90_ms"];
  CHECK(0 < least);
  CHECK(least <= middle);
  CHECK(middle <= most);
  CHECK(report["first_ms"].get<double>() > 0);
  const Model plain = tiny_model("deeplabv3");
  const Plan plan = make_plan(*plain.program, {2, 9, 17, 3}, 1);
  CHECK(report["gflops"].get<double>() == doctest::Approx(2e-6 * static_cast<double>(plan.macs) / middle));
  CHECK(report["weight_bytes"] == plain.program->packed_bytes());
  CHECK(report["arena_bytes"] == plan.arena_bytes());
  CHECK(report["peak_resident_bytes"].get<std::size_t>() > plan.arena_bytes());

  const auto csv = lines(succeed(bench + Arguments{"-o", "csv"}));
  REQUIRE(csv.size() == 2);
  CHECK(cells(csv[0]).size() == 16);
  CHECK(cells(csv[1]).size() == 16);
  CHECK(cells(csv[1])[0] == "deeplabv3_resnet(1,1,1,1)");
  CHECK(cells(csv[1])[1] == "17x9");

  const auto table = lines(succeed(bench));
  REQUIRE(table.size() == 3);
  CHECK(table[0].starts_with("| network | input | batch |"));
  for (const std::string& line : table) CHECK(std::ranges::count(line, '|') == 17);
}

TEST_CASE_FIXTURE(Bench, "profile names the implementation of every layer, and its parts add up") {
  const Arguments profile = Arguments{"profile", checkpoint} + quick;
  const Json rows = Json::parse(succeed(profile + Arguments{"-o", "json"}));
  const Model plain = tiny_model("deeplabv3");
  const auto& nodes = plain.program->graph.nodes;
  REQUIRE(rows.size() == nodes.size() + 2);
  double gmac = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Json& row = rows[i];
    CAPTURE(row.dump());
    const std::string layer = row["layer"], how = row["implementation"];
    CHECK(row["node"] == nodes[i].name);
    CHECK(layer == name_of(nodes[i].layer));
    const auto* conv = std::get_if<Conv2d>(&nodes[i].layer);
    const bool pointwise = conv && conv->weight.kernel_h == 1 && conv->stride == 1;
    const bool special =
        conv && conv->weight.kernel_h == 3 &&
        (how.starts_with("winograd") || (how == "few_outputs" && conv->out_channels() <= 32));
    CHECK(how == (special                            ? how
                  : pointwise                        ? "pointwise"
                  : conv && conv->in_channels() == 3 ? "few_channels"
                  : conv                             ? "implicit_gemm"
                  : layer == "concat"                ? "in place"
                                                     : "channelwise"));
    CHECK(row["output"].get<std::string>().starts_with("[1, "));
    gmac += row["gmac"].get<double>();
  }
  CHECK(rows[nodes.size()]["node"] == "upsample + argmax");
  const Json& total = rows.back();
  CHECK(total["node"] == "total");
  CHECK(total["share"] == 1.0);
  CHECK(total["gmac"].get<double>() == doctest::Approx(gmac));

  const auto csv = lines(succeed(profile + Arguments{"-o", "csv"}));
  CHECK(csv.size() == rows.size() + 1);
  for (const std::string& line : csv) CHECK(cells(line).size() == 9);
  CHECK(cells(csv[1])[2] == rows[0]["output"]);
  CHECK(lines(succeed(profile)).size() == rows.size() + 2);
}

TEST_CASE_FIXTURE(Bench, "profile shows the implementation and instruction set that were asked for") {
  const Arguments profile = Arguments{"profile", checkpoint, "-o", "json"} + quick;
  const Json rows = Json::parse(succeed(profile + Arguments{"--force", "reference"}));
  CHECK(rows[0]["implementation"] == "reference");
  const std::string slowest(name_of(supported_isas().back()));
  CHECK(Json::parse(succeed(profile + Arguments{"--isa", slowest})).back()["implementation"] ==
        "cpu " + slowest);
}

TEST_CASE_FIXTURE(Bench, "bench and profile refuse nonsense") {
  for (const char* verb : {"bench", "profile"}) {
    refuse(2, {verb, checkpoint, "--size", "5"}, {"5", "WIDTHxHEIGHT"});
    refuse(2, {verb, checkpoint, "--runs", "0"}, {"--runs"});
    refuse(2, {verb, checkpoint, "--runs", "2x"}, {"--runs"});
    refuse(2, {verb, checkpoint, "--batch", "0"}, {"--batch"});
    refuse(2, {verb, checkpoint, "--warmup", "-1"}, {"--warmup"});
    refuse(2, {verb, checkpoint, "-o", "xml"}, {"xml", "csv"});
    refuse(1, {verb, checkpoint, "--memory-limit", "1KiB"}, {"1024"});
    refuse(1, {verb, "resnet50"}, {"resnet50"});
    refuse(1, {verb, "fcn_resnet999"}, {"fcn_resnet999", "resnet50"});
    refuse(1, {verb, "deeplabv3_resnet(1,1,1)"}, {"deeplabv3_resnet(1,1,1)"});
    refuse(1, {verb, "lraspp_resnet50"}, {"lraspp_resnet50", "mobilenet_v3_large"});
  }
}

TEST_CASE_FIXTURE(Bench, "a network's name means random weights, unless a file is called so") {
  CHECK(Json::parse(succeed(Arguments{"bench", "fcn_resnet18", "-o", "json"} + quick))["architecture"] ==
        "fcn_resnet18");
  for (const char* name : {"deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"})
    CHECK(Json::parse(succeed(Arguments{"bench", name, "-o", "json"} + quick))["architecture"] == name);
  std::filesystem::copy_file(checkpoint, folder / "fcn_resnet18");
  const std::string report =
      succeed(Arguments{"bench", "fcn_resnet18", "-o", "json"} + quick, {.folder = folder.path()});
  CHECK(Json::parse(report)["architecture"] == "deeplabv3_resnet(1,1,1,1)");
}

TEST_CASE("--version prints the program's name and version") {
  const std::string said = succeed({"--version"});
  CHECK(said.starts_with("atrous "));
  CHECK(std::ranges::count(said, '.') == 2);
  CHECK(said.find('\n') == said.size() - 1);
}

TEST_CASE("--help names every verb, and every verb's help its options and an example") {
  const std::string all = succeed({"--help"});
  const std::pair<const char*, std::vector<const char*>> verbs[] = {
      {"segment",
       {"--model",      "--output",     "--mask",      "--no-mask",     "--overlay",      "--no-overlay",
        "--labels",     "--confidence", "--cutout",    "--logits",      "--json",         "--quiet",
        "--resize",     "--size",       "--no-resize", "--center-crop", "--no-exif",      "--at",
        "--upsample",   "--aux",        "--palette",   "--classes",     "--alpha",        "--no-contours",
        "--background", "--threads",    "--isa",       "--force",       "--memory-limit", "--format",
        "--quality",    "--cutout-on",  "--threshold", "--recursive",   "--mean",         "--std",
        "--range",      "--order"}},
      {"inspect", {"--size", "--threads", "--tensors", "--json"}},
      {"convert", {"--classes", "--palette", "--background"}},
      {"bench", {"--size", "--batch", "--runs", "--warmup", "--format", "--threads", "--isa", "--force"}},
      {"profile", {"--size", "--batch", "--runs", "--warmup", "--format", "--threads", "--isa", "--force"}}};
  for (const auto& entry : verbs) {
    const char* verb = entry.first;
    CHECK(mentions(all, verb));
    const std::string help = succeed({verb, "--help"});
    for (const char* option : entry.second) CHECK_MESSAGE(mentions(help, option), verb, " ", option);
    CHECK(mentions(help, str_cat("atrous ", verb, " ")));
    CHECK(help == succeed({verb, "-h"}));
  }
}

}  // namespace atrous::measurements_test
