// atrous segment: which pictures it takes, and what becomes of broken ones.
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "layers/base/visible_text.h"
#include "tests/support/cli_testing.h"

namespace atrous::inputs_test {

using namespace atrous::cli_testing;

TEST_CASE_FIXTURE(Bench, "several photos give the results that each gives alone") {
  const std::string cat = write_photo("cat.png", photo(33, 57, 3));
  succeed(segment({dog, cat, "--labels", "-o", folder / "both"}));
  CHECK(names_in(folder / "both") == Names{"cat.labels.png", "cat.mask.png", "cat.overlay.png",
                                           "dog.labels.png", "dog.mask.png", "dog.overlay.png"});
  CHECK(read_text(folder / "both/cat.labels.png") == succeed(segment({cat, "-o", "-", "--labels"})));
  CHECK(read_text(folder / "both/dog.labels.png") == succeed(segment({dog, "-o", "-", "--labels"})));
}

TEST_CASE_FIXTURE(Bench, "a folder means its pictures by extension, sorted; what is passed over is counted") {
  std::filesystem::create_directories(folder / "in/deeper.png");
  for (const char* name : {"in/b.PNG", "in/a.png", "in/deeper.png/c.png", "in/notes.txt"})
    write_photo(name, dog_photo);
  const ProcessResult r = run_atrous(segment({folder / "in", "--json", "-", "-o", folder / "out"}));
  CHECK(r.exit_code == 0);
  CHECK(r.errors == str_cat("atrous: ", folder.path(), "/in: 1 folder not read\n"));
  const Json report = Json::parse(r.output);
  REQUIRE(report.size() == 2);
  CHECK(report[0]["file"] == folder / "in/a.png");
  CHECK(report[1]["file"] == folder / "in/b.PNG");
  CHECK(names_in(folder / "out") == Names{"a.mask.png", "a.overlay.png", "b.mask.png", "b.overlay.png"});
}

TEST_CASE_FIXTURE(Bench,
                  "a broken picture among good ones is named, the good ones are written, and the exit is 1") {
  std::filesystem::create_directory(folder / "in");
  write_photo("in/a.png", dog_photo);
  write_text(folder / "in/b.png", read_text(dog).substr(0, 100));
  write_photo("in/c.png", dog_photo);
  write_text(folder / "in/d.png", "no picture");
  write_text(folder / "in/e.png", "");
  const ProcessResult r = run_atrous(segment({folder / "in", "--json", folder / "all.json"}));
  CHECK(r.exit_code == 1);
  for (const char* broken : {"b.png", "d.png", "e.png"})
    CHECK_MESSAGE(mentions(r.errors, str_cat("atrous: error: ", folder.path(), "/in/", broken)), r.errors);
  CHECK(mentions(r.errors, "3 of 5"));
  CHECK(std::ranges::count(r.errors, '\n') == 4);
  CHECK(names_in(folder / "in") == Names{"a.mask.png", "a.overlay.png", "a.png", "b.png", "c.mask.png",
                                         "c.overlay.png", "c.png", "d.png", "e.png"});
  const Json report = Json::parse(read_text(folder / "all.json"));
  REQUIRE(report.size() == 2);
  CHECK(report[1]["file"] == folder / "in/c.png");
}

TEST_CASE_FIXTURE(Bench, "a picture that is read but cannot be run is named as well") {
  const std::string thin = write_photo("thin.png", photo(1, 100));
  const Arguments how{"segment", "-m", checkpoint, "--threads", "1", "--resize", "200"};
  refuse(1, how + Arguments{thin}, {"thin.png", "20000"});
  const ProcessResult r = run_atrous(how + Arguments{dog, thin, "-q"});
  CHECK(r.exit_code == 1);
  CHECK_MESSAGE(mentions(r.errors, "thin.png"), r.errors);
  CHECK(mentions(r.errors, "1 of 2"));
}

TEST_CASE_FIXTURE(Bench, "a missing photo among others does not stop them") {
  const ProcessResult r = run_atrous(segment({folder / "none.png", dog, "-q"}));
  CHECK(r.exit_code == 1);
  CHECK(mentions(r.errors, "none.png"));
  CHECK(names() == Names{"dog.mask.png", "dog.overlay.png", "dog.png", "net.safetensors"});
}

TEST_CASE_FIXTURE(Bench, "photos that differ in their extension alone keep it in their results' names") {
  write_photo("dog.bmp", dog_photo);  // recognised by content
  write_photo("cat.png", dog_photo);
  succeed(segment({folder.path(), "--no-overlay", "-q", "-o", folder / "out"}));
  CHECK(names_in(folder / "out") == Names{"cat.mask.png", "dog.bmp.mask.png", "dog.png.mask.png"});
}

TEST_CASE_FIXTURE(Bench, "photos that would write the same files are refused by name") {
  for (const char* sub : {"a", "b"}) {
    std::filesystem::create_directory(folder / sub);
    write_photo(str_cat(sub, "/dog.png"), dog_photo);
  }
  refuse(2, segment({folder / "a", folder / "b", "-o", folder / "out"}), {"a/dog.png", "b/dog.png"});
  refuse(2, segment({dog, dog}), {"dog.png"});
  CHECK_FALSE(std::filesystem::exists(folder / "out"));
  succeed(segment({folder / "a", folder / "b", "-q"}));
  CHECK(std::filesystem::exists(folder / "b/dog.mask.png"));
}

TEST_CASE_FIXTURE(Bench, "results of an earlier run are not taken as inputs") {
  const Arguments all =
      segment({folder.path(), "--labels", "--confidence", "--cutout", "class 2", "--json", "-"});
  CHECK(Json::parse(succeed(all)).size() == 1);
  const Names after_first = names();
  CHECK(Json::parse(succeed(all)).size() == 1);
  CHECK(names() == after_first);
}

TEST_CASE_FIXTURE(Bench, "a result given by name is a photo like any other") {
  succeed(segment({dog, "-q"}));
  succeed(segment({folder / "dog.mask.png", "-q", "--no-overlay"}));
  CHECK(std::filesystem::exists(folder / "dog.mask.mask.png"));
}

TEST_CASE_FIXTURE(Bench, "a .npy of several images gives numbered results at the input's size") {
  const Tensor batch = noise({3, 24, 40, 3});
  write_file(folder / "batch.npy", encode_npy(batch.view()));
  const Json report = Json::parse(succeed(segment({folder / "batch.npy", "--labels", "--json", "-",
                                                   "--logits", folder / "out.npy", "-o", folder / "r"})));
  REQUIRE(report.size() == 3);
  CHECK(report[1]["file"] == (folder / "batch.npy") + "[1]");
  CHECK(names_in(folder / "r") == Names{"batch.0.labels.png", "batch.0.mask.png", "batch.1.labels.png",
                                        "batch.1.mask.png", "batch.2.labels.png", "batch.2.mask.png"});
  const auto results =
      atrous::segment(session, model, ConstView(batch.view()), {.resize = {}, .logits = true});
  for (std::size_t n = 0; n < 3; ++n)
    CHECK(read_text(folder / str_cat("r/batch.", n, ".labels.png")) == labels_png(results[n].labels));
  const Tensor logits = read_npy(read_file(folder / "out.npy", 1 << 20), "out.npy", 5);
  CHECK(logits.shape() == Shape{3, 24, 40, 5});
  CHECK(std::memcmp(logits.view().pixel(2, 0, 0), results[2].logits.data(), 24 * 40 * 5 * sizeof(float)) ==
        0);
}

TEST_CASE_FIXTURE(Bench, "a .npy of one image keeps its plain name") {
  write_file(folder / "one.npy", encode_npy(noise({1, 24, 40, 3}).view()));
  succeed(segment({folder / "one.npy", "-q", "-o", folder / "r"}));
  CHECK(names_in(folder / "r") == Names{"one.mask.png"});
}

TEST_CASE_FIXTURE(Bench, "what needs a photo's pixels is refused for a tensor, and nothing is written") {
  const std::string one = folder / "one.npy", two = folder / "two.npy";
  write_file(one, encode_npy(noise({1, 24, 40, 3}).view()));
  write_file(two, encode_npy(noise({2, 24, 40, 3}).view()));
  refuse(2, segment({two, "-o", "-"}), {"two.npy", "2 images"});
  refuse(1, segment({one, "--cutout", "class 2"}), {"one.npy", "tensor", "--cutout"});
  refuse(1, segment({one, "--overlay"}), {"one.npy", "tensor", "--overlay"});
  refuse(1, segment({one, "-o", "-", "--overlay"}), {"one.npy", "tensor", "--overlay"});
  CHECK(names() == Names{"dog.png", "net.safetensors", "one.npy", "two.npy"});
}

TEST_CASE_FIXTURE(Bench, "a tensor that has no cut-out does not stop the photos after it") {
  std::filesystem::create_directory(folder / "in");
  write_photo("in/a.png", dog_photo);
  write_file(folder / "in/b.npy", encode_npy(noise({1, 24, 40, 3}).view()));
  write_photo("in/c.png", dog_photo);
  const ProcessResult r =
      run_atrous(segment({folder / "in/a.png", folder / "in/b.npy", folder / "in/c.png", "--cutout",
                          "class 2", "-q", "-o", folder / "out", "--json", folder / "all.json"}));
  CHECK(r.exit_code == 1);
  CHECK_MESSAGE(mentions(r.errors, "b.npy"), r.errors);
  CHECK(std::filesystem::exists(folder / "out/a.cutout-class_2.png"));
  CHECK(std::filesystem::exists(folder / "out/c.cutout-class_2.png"));
  CHECK(std::filesystem::exists(folder / "all.json"));
}

TEST_CASE_FIXTURE(Bench, "a tensor of another number of channels, or cut short, is refused") {
  write_file(folder / "four.npy", encode_npy(noise({1, 8, 8, 4}).view()));
  refuse(1, segment({folder / "four.npy"}), {"four.npy", "expected 3 channels, found 4"});
  const std::string whole = text_of(encode_npy(noise({1, 8, 8, 3}).view()));
  write_text(folder / "short.npy", whole.substr(0, whole.size() - 4));
  refuse(1, segment({folder / "short.npy"}), {"short.npy", "768", "764"});
}

TEST_CASE_FIXTURE(Bench, "a tensor with values that are not numbers is refused") {
  Tensor broken = noise({1, 8, 8, 3});
  broken.data()[100] = std::nanf("");
  write_file(folder / "nan.npy", encode_npy(broken.view()));
  refuse(1, segment({folder / "nan.npy"}), {"nan.npy"});
}

TEST_CASE_FIXTURE(Bench, "what is no picture is refused by name and reason, and leaves nothing behind") {
  std::filesystem::create_directory(folder / "empty");
  write_text(folder / "empty.png", "");
  write_text(folder / "words.png", "words");
  write_text(folder / "cut.png", read_text(dog).substr(0, 200));
  std::string damaged = read_text(dog);
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  write_text(folder / "damaged.png", damaged);
  const Names before = names();
  refuse(1, segment({folder / "none.png"}), {"none.png", "No such file"});
  refuse(1, segment({folder / "empty.png"}), {"empty.png", "empty"});
  refuse(1, segment({folder / "words.png"}), {"words.png"});
  refuse(1, segment({folder / "cut.png"}), {"cut.png"});
  refuse(1, segment({folder / "damaged.png"}), {"damaged.png"});
  refuse(1, segment({checkpoint}), {"net.safetensors"});
  refuse(1, segment({"-"}), {"standard input", "empty"});
  refuse(1, segment({"-"}), {"standard input"}, {.input = "words"});
  refuse(1, segment({"/dev/null"}), {"/dev/null"});
  refuse(2, segment({folder / "empty"}), {"empty", "no pictures"});
  CHECK(names() == before);
}

TEST_CASE_FIXTURE(Bench, "a FIFO is refused rather than waited for") {
  REQUIRE(::mkfifo((folder / "pipe.png").c_str(), 0600) == 0);
  refuse(1, segment({folder / "pipe.png"}), {"pipe.png"}, {.timeout_seconds = 20});
  CHECK(names() == Names{"dog.png", "net.safetensors", "pipe.png"});
}

TEST_CASE_FIXTURE(Bench, "a folder that may not be read is named") {
  if (::geteuid() == 0) {
    MESSAGE("skipped: root reads every folder");
    return;
  }
  std::filesystem::create_directory(folder / "locked");
  std::filesystem::permissions(folder / "locked", std::filesystem::perms::none);
  refuse(1, segment({folder / "locked"}), {"locked", "ermission denied"});
  std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_all);
}

TEST_CASE_FIXTURE(Bench, "of 500 pictures with 20 broken ones 480 are segmented, 20 named") {
  std::filesystem::create_directory(folder / "photos");
  const std::string good = text_of(encode_png(photo(16, 12)));
  for (int i = 0; i < 500; ++i)
    write_text(folder / str_cat("photos/", i, ".png"), i % 25 == 7 ? good.substr(0, 60) : good);
  const Arguments all = segment({folder / "photos", "-o", folder / "out", "-q", "--no-overlay"});
  const auto broken_lines = [](const std::string& errors) {
    std::istringstream lines(errors);
    int count = 0;
    for (std::string line; std::getline(lines, line);) count += mentions(line, ".png: ");
    return count;
  };

  const ProcessResult strict = run_atrous(all);
  CHECK(strict.exit_code == 1);
  CHECK(broken_lines(strict.errors) == 20);
  CHECK(strict.errors.ends_with("atrous: error: 20 of 500 pictures failed\n"));
  CHECK(names_in(folder / "out").size() == 480);

  std::filesystem::remove_all(folder / "out");
  const ProcessResult lenient = run_atrous(all + Arguments{"--skip-broken"});
  CHECK(lenient.exit_code == 0);
  CHECK(broken_lines(lenient.errors) == 20);
  CHECK(names_in(folder / "out").size() == 480);
}

TEST_CASE_FIXTURE(Bench, "--skip-broken does not help where every picture is broken, or the only one") {
  write_text(folder / "a.png", "no picture");
  refuse(1, segment({folder / "a.png", "--skip-broken"}), {"a.png"});
  write_text(folder / "b.png", "nor this");
  const ProcessResult none = run_atrous(segment({folder / "a.png", folder / "b.png", "--skip-broken"}));
  CHECK(none.exit_code == 1);
  CHECK(mentions(none.errors, "2 of 2 pictures failed"));
}

TEST_CASE_FIXTURE(Bench,
                  "a file's name neither steers the terminal nor begins a line, and JSON has it exactly") {
  const std::string hostile = "a\natrous: error: b\x1b[2J\u009b\u202e\u2028", broken = hostile + "\xff\r";
  const std::string shown = "a\\x0aatrous: error: b\\x1b[2J\\u009b\\u202e\\u2028",
                    shown_broken = shown + "\\xff\\x0d";
  const std::string picture = write_photo(hostile + ".png", dog_photo);
  write_text(folder / (broken + ".png"), "no picture");

  const std::string said = succeed(segment({picture}));
  CHECK(said.starts_with(folder / (shown + ".png: 48x32, ")));
  CHECK(mentions(said, "wrote " + (folder / (shown + ".mask.png\n"))));
  CHECK(visible(said, Newlines::kept) == said);
  CHECK(std::filesystem::exists(folder / (hostile + ".mask.png")));

  const std::string report = succeed(segment({picture, "--json", "-", "--no-mask", "--no-overlay"}));
  CHECK(Json::parse(report)[0]["file"] == picture);
  CHECK(visible(report, Newlines::kept) == report);

  refuse(1, segment({folder / (broken + ".png")}), {shown_broken + ".png: "});
  refuse(1, segment({folder / (broken + ".jpg")}), {shown_broken + ".jpg: "});
  refuse(1, {"inspect", folder / (broken + ".png")}, {shown_broken});
  refuse(1, {"convert", folder / (broken + ".png"), folder / "out.safetensors"}, {shown_broken});
  refuse(2, segment({dog, "--cutout", hostile}), {"class " + shown});
  refuse(2, segment({dog, "--" + hostile}), {shown});
  refuse(2, {hostile}, {shown});
  const ProcessResult several = run_atrous(segment({folder / (broken + ".png"), dog, "-q"}));
  CHECK(several.exit_code == 1);
  CHECK(mentions(several.errors, shown_broken));
  CHECK(visible(several.errors, Newlines::kept) == several.errors);
}

TEST_CASE_FIXTURE(
    Bench,
    "pictures that cannot be read, folders and broken links are counted, and leftovers of macOS are not") {
  std::filesystem::create_directories(folder / "in/sub/.hidden");
  std::filesystem::create_directory(folder / "in/other");
  write_photo("in/a.png", dog_photo);
  write_photo("in/sub/b.png", dog_photo);
  write_photo("in/sub/.hidden/c.png", dog_photo);
  for (const char* name :
       {"in/x.tif", "in/y.TIFF", "in/z.heic", "in/notes.txt", "in/._a.png", "in/sub/s.gif"})
    write_text(folder / name, "nothing that is read");
  std::filesystem::create_symlink("nowhere.jpg", folder / "in/gone.jpg");
  std::filesystem::create_directory_symlink("sub", folder / "in/loop");
  const ProcessResult flat = run_atrous(segment({folder / "in", "-q", "-o", folder / "out"}));
  CHECK(flat.exit_code == 0);
  CHECK(flat.errors == str_cat("atrous: ", folder.path(),
                               "/in: 3 folders, 1 HEIC file, 2 TIFF files, 1 broken link not read\n"));
  CHECK(names_in(folder / "out") == Names{"a.mask.png", "a.overlay.png"});

  const ProcessResult deep = run_atrous(segment({folder / "in", "-q", "-o", folder / "deep", "--recursive"}));
  CHECK(deep.exit_code == 0);
  CHECK(deep.errors ==
        str_cat("atrous: ", folder.path(),
                "/in: 1 folder, 1 GIF file, 1 HEIC file, 2 TIFF files, 1 broken link not read\n"));
  CHECK(names_in(folder / "deep") == Names{"a.mask.png", "a.overlay.png", "sub"});
  CHECK(names_in(folder / "deep/sub") == Names{"b.mask.png", "b.overlay.png"});
  CHECK(run_atrous(segment({folder / "in", "-q", "-r"})).exit_code == 0);
  CHECK(std::filesystem::exists(folder / "in/sub/b.mask.png"));
  refuse(2, segment({folder / "in/other"}), {"other: no pictures in this folder"});
  std::filesystem::remove(folder / "in/a.png");
  std::filesystem::remove(folder / "in/a.mask.png");
  refuse(2, segment({folder / "in"}), {"no pictures in this folder (3 folders, 1 HEIC file, "});
}

TEST_CASE_FIXTURE(Bench,
                  "a second picture on standard input is refused, in a file it is what a camera left there") {
  const std::string two = read_text(dog) + read_text(dog);
  refuse(1, segment({"-", "-o", folder / "out"}), {"standard input: a second picture begins at byte"},
         {.input = two});
  write_text(folder / "two.png", two);
  succeed(segment({folder / "two.png", "-q"}));
}

TEST_CASE_FIXTURE(Bench, "a photo too long to be resized is refused with its sides in order and a way out") {
  const std::string wide = write_photo("wide.png", photo(100, 1)),
                    tall = write_photo("tall.png", photo(1, 100));
  refuse(1, {"segment", wide, "-m", checkpoint},
         {"wide.png: resize to 52000x520: a side is outside 1..16384", "--size", "--no-resize"});
  refuse(1, {"segment", tall, "-m", checkpoint},
         {"tall.png: resize to 520x52000: a side is outside 1..16384"});
}

}  // namespace atrous::inputs_test
