// What the library writes and reads is the same whatever locale the host has set, for C++ and for C.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <locale>
#include <regex>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "cli/application.h"
#include "runtime/drawing/lettering.h"
#include "runtime/engine/self_test.h"
#include "runtime/evaluation/class_map.h"
#include "runtime/evaluation/evaluation_state.h"
#include "runtime/evaluation/merge.h"
#include "runtime/image/npy.h"
#include "runtime/image/palette.h"
#include "tests/support/detection_report_testing.h"
#include "tests/support/report_testing.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/sanitizers.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/io/json.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous::locale_test {

using namespace atrous::runtime_testing;
using testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

// 1.234.567,89
struct Grouping final : std::numpunct<char> {
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
  char do_decimal_point() const override { return ','; }
  std::string do_truename() const override { return "wahr"; }
};

// The host's locale for as long as the object lives: numbers of C++ grouped, and C's those of a language with
// a decimal comma where the machine has one.
class ForeignLocale {
 public:
  ForeignLocale() : before_(std::locale::global(std::locale(std::locale::classic(), new Grouping))) {
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "tr_TR.UTF-8", "de_DE"})
      if (std::setlocale(LC_ALL, name)) break;
  }
  ~ForeignLocale() {
    std::locale::global(before_);
    std::setlocale(LC_ALL, "C");
  }
  ForeignLocale(const ForeignLocale&) = delete;
  ForeignLocale& operator=(const ForeignLocale&) = delete;

 private:
  std::locale before_;
};

std::string as_string(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string file_at(const std::string& path) { return as_string(read_file(path, 1 << 24)); }

std::string sentence_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// What the program prints for a command line.
std::string printed(const TemporaryFolder& folder, const std::vector<const char*>& arguments) {
  const std::string path = folder / "printed";
  std::fflush(stdout);
  const int before = dup(STDOUT_FILENO), file = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  REQUIRE(before >= 0);
  REQUIRE(dup2(file, STDOUT_FILENO) >= 0);
  close(file);
  int status = -1;
  std::string failure;
  try {
    status = cli::parse(static_cast<int>(arguments.size()), arguments.data())();
  } catch (const std::exception& error) {
    failure = error.what();
  } catch (const cli::UsageError& error) {
    failure = error.sentence;
  }
  std::fflush(stdout);
  dup2(before, STDOUT_FILENO);
  close(before);
  CHECK(failure == "");
  CHECK(status == 0);
  return file_at(path);
}

Metadata metadata() {
  Metadata m;
  m.architecture = "fcn_resnet50";
  m.classes = {"one", "two"};
  m.palette = {{0, 1, 200}, {128, 64, 255}};
  m.preparation.resize = {
      .kind = ResizeRule::Kind::exact, .width = 1040, .height = 2080, .center_crop = 1024};
  m.preparation.mean = {0.5f, 1234.5f, -0.25f};
  m.self_test =
      SelfTest{.height = 1065, .width = 97, .logits = {{0, -1234.25f}, {12345, 1e-7f}}, .largest = 3};
  return m;
}

struct Written {
  std::string what;
  std::function<std::string(const TemporaryFolder&)> write;
};

// Everything that numbers are written into, and read back from.
std::vector<Written> all_written() {
  return {
      {"text",
       [](const TemporaryFolder&) {
         return str_cat(1234567, ' ', -1234567.5, ' ', 0.001f, ' ', Shape{1, 2, 1040, 20000}, ' ', true, ' ',
                        std::hex, 0xabcdef, std::dec, ' ', std::fixed, std::setprecision(2), 12345.678);
       }},
      {"a sentence of an error",
       [](const TemporaryFolder&) { return sentence_of([] { make_image(1040, -20800, 3); }); }},
      {".npy",
       [](const TemporaryFolder&) {
         const auto file = encode_npy(Tensor::zeros({1, 2, 1040, 1}).view());
         return as_string(file) + str_cat(read_npy(file, "x.npy", 1).shape());
       }},
      {"metadata",
       [](const TemporaryFolder&) {
         std::string all;
         const auto strings = to_strings(metadata());
         for (const auto& [key, value] : strings) all += key + '=' + value + '\n';
         CHECK(metadata_from_strings(strings)->preparation == metadata().preparation);
         CHECK(metadata_from_strings(strings)->self_test == metadata().self_test);
         return all;
       }},
      {".safetensors",
       [](const TemporaryFolder& folder) {
         write_safetensors(folder / "a", tiny_state("fcn"), to_strings(metadata()));
         const Checkpoint read = load_checkpoint(folder / "a");
         return file_at(folder / "a") + str_cat(read.state.size());
       }},
      {"a self-test",
       [](const TemporaryFolder&) {
         const Model model = tiny_model("fcn");
         Session session(model.program, {.threads = 1});
         Metadata m = metadata();
         m.self_test = make_self_test(session);
         return to_strings(m).at("self_test");
       }},
      {"JSON",
       [](const TemporaryFolder&) {
         const auto json = parse_json("[1234567, 1234.5, 1e9, -0.001]", 4, "it");
         return json_text(*json).text + JsonText(1234567.25).text + JsonText(1234567).text;
       }},
      {"a report",
       [](const TemporaryFolder& folder) {
         Report report(folder / "report", voc_palette(4));
         Evaluation e = report_testing::evaluation(true);
         e.seconds = 12345.678;
         report.finish(e);
         return file_at(folder / "report/index.html");
       }},
      {"a report of detections",
       [](const TemporaryFolder& folder) {
         const CocoEvaluation e = report_testing::drawn_detections({"a.png"});
         const Image photo{120, 90, 3, std::vector<std::uint8_t>(120 * 90 * 3, 200)};
         DetectionReport report(folder / "report");
         for (const std::size_t image : report.begin(e, 1)) report.add(image, encode_png(photo), photo);
         report.finish();
         return file_at(folder / "report/index.html") + file_at(folder / "report/images/a.png-10-found.png");
       }},
      {"an evaluation's state",
       [](const TemporaryFolder& folder) {
         Evaluation e = report_testing::evaluation(true);
         const std::string path = folder / "state";
         const std::size_t images = e.images.size();
         {
           Journal journal(path, evaluation_head(e, {{"a", "1040"}}, {}, images), {});
           for (const ImageScore& score : e.images) {
             EvaluatedImage image{
                 .name = score.name, .failed = {}, .counts = {}, .foreground = {}, .forms = {}};
             image.counts.score = score;
             image.counts.confusion = image.counts.sharpened = ConfusionMatrix(e.confusion.classes);
             image.counts.confusion.counts[0] = score.pixels;
             image.counts.scores = ScoreHistogram(e.scores.classes);
             journal.append(evaluation_record(image));
           }
         }
         const Evaluation read = merge_evaluations(std::span(&path, 1), false);
         CHECK(read.images == e.images);
         CHECK(read.classes == e.classes);
         return file_at(folder / "state");
       }},
      {"a palette",
       [](const TemporaryFolder&) {
         std::string all;
         for (const Colour& c : read_palette("0 128 255 Name\n#0a0B0c\n", "it"))
           all += str_cat(int{c[0]}, ',', int{c[1]}, ',', int{c[2]}, ';');
         return all;
       }},
      {"a map of classes",
       [](const TemporaryFolder&) {
         const ClassMap map =
             read_class_map("ISTANBUL = 1\n1 = ignore\n", "it", {"istanbul", "b"}, {"x", "y"});
         return str_cat(int{map.to[0]}, ' ', int{map.to[1]});
       }},
      {"a legend",
       [](const TemporaryFolder&) {
         return legend_of({{.index = 1, .pixels = 1234567, .share = 0.12345}}, {"a", "b"}, voc_palette(2))[0]
             .value;
       }},
      {"the program's numbers",
       [](const TemporaryFolder&) {
         cli::Table table({"name", "value"});
         table.add({"a", cli::fixed(1234567.891, 2)});
         return cli::megabytes(123456789000) + table.csv() + table.plain() +
                str_cat(cli::parse_bytes("1.5GiB"), ' ', cli::parse_size("1040x2080").first);
       }},
      {"the program's description of a model",
       [](const TemporaryFolder& folder) {
         write_safetensors(folder / "a", tiny_state("fcn"), {});
         const std::string path = folder / "a";
         std::string all;
         for (const char* how : {"--json", "--tensors"})
           all += printed(folder, {"atrous", "inspect", path.c_str(), how});
         for (std::size_t at; (at = all.find(folder.path())) != all.npos;)  // another one each time
           all.erase(at, folder.path().size());
         return all;
       }},
  };
}

}  // namespace

TEST_CASE("what is written and read does not depend on the host's locale") {
  for (const Written& written : all_written()) {
    CAPTURE(written.what);
    const TemporaryFolder here, there;
    const std::string expected = written.write(here);
    const ForeignLocale foreign;
    REQUIRE((std::ostringstream() << 1234567).str() == "1.234.567");  // the locale is the host's indeed
    CHECK(written.write(there) == expected);
  }
}

TEST_CASE("numbers in sentences and files are those of the classic locale") {
  const ForeignLocale foreign;
  CHECK(str_cat(1234567, ' ', 0.5, ' ', Shape{1, 2, 1040, 20000}) == "1234567 0.5 [1, 2, 1040, 20000]");
  CHECK(str_cat(std::fixed, std::setprecision(1), 12345.67) == "12345.7");
  const std::string npy = as_string(encode_npy(Tensor::zeros({1, 2, 1040, 1}).view()));
  CHECK(mentions(npy, "'shape': (1, 1, 2, 1040)"));  // as numpy.save writes it
  CHECK(mentions(to_strings(metadata()).at("resize"), "1040"));
}

// ---- the sources

namespace {

struct Forbidden {
  std::regex pattern;
  const char* instead;
};

std::string without_comments(const std::string& source) {
  std::string out;
  for (std::size_t from = 0; from < source.size();) {
    const std::size_t end = std::min(source.find('\n', from), source.size());
    const std::string line = source.substr(from, end - from);
    out += line.substr(0, line.find("//")) + '\n';
    from = end + 1;
  }
  return out;
}

}  // namespace

TEST_CASE("no source but those of str_cat() asks the process's locale") {
  SKIP_UNDER_ADDRESS_SANITIZER();
  const std::vector<Forbidden> all{
      {std::regex(
           R"(\b(is(alpha|alnum|digit|xdigit|space|print|punct|upper|lower|graph|cntrl|blank)|to(upper|lower))\()"),
       "ascii.h"},
      {std::regex(R"(\b(strto[a-z]+|ato[fil]|sto[dfil]|stold|stoul+|localeconv|setlocale|sscanf|scanf)\()"),
       "std::from_chars"},
      {std::regex(R"(printf\([^;]*%[-+ #0-9.*]*l?[aefgAEFG]\b)"), "str_cat() with std::fixed"},
      {std::regex(R"(\bstd::(cout|cerr|clog|cin|regex|put_time|get_time|put_money)\b)"),
       "str_cat() and print()"},
      {std::regex(R"(\bstd::locale\(|locale::global)"), "std::locale::classic()"},
  };
  const std::regex stream(R"(\b[io]?(string|f)stream\b *[a-z(])"),
      imbued(R"(imbue\(std::locale::classic\(\)\))");
  const std::string root = ATROUS_SOURCE_DIR;
  std::size_t files = 0;
  for (const char* folder : {"layers", "weights_tools", "runtime", "cli"})
    for (const auto& entry : fs::recursive_directory_iterator(root + '/' + folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".cc" && extension != ".h" && extension != ".cu") continue;
      ++files;
      const std::string path = entry.path().string(), source = without_comments(file_at(path));
      CAPTURE(path);
      for (const Forbidden& f : all) {
        std::smatch found;
        const bool there = std::regex_search(source, found, f.pattern);
        CHECK_MESSAGE(!there, found.str(), " depends on the locale; instead: ", f.instead);
      }
      if (std::regex_search(source, stream))
        CHECK_MESSAGE(std::regex_search(source, imbued), "a stream that has the process's locale");
    }
  CHECK(files > 200);
}

}  // namespace atrous::locale_test
