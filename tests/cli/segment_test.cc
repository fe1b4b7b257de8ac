// atrous segment: what it writes.
#include <libdeflate.h>

#include "runtime/drawing/pictures.h"
#include "runtime/image/class_table.h"
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/palette.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/metrics/metrics.h"
#include "tests/support/cli_testing.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/seeded.h"

namespace atrous::segment_test {

using namespace atrous::cli_testing;

namespace {

const ResizeRule no_resize{.kind = ResizeRule::Kind::none, .width = 0};

}  // namespace

TEST_CASE_FIXTURE(Bench, "segment writes a mask and an overlay beside the photo, and says so") {
  const std::string said = succeed(segment({dog}));
  CHECK(names() == Names{"dog.mask.png", "dog.overlay.png", "dog.png", "net.safetensors"});
  const Segmentation s = expected();
  CHECK(class_shares(s).size() > 1);
  CHECK(read_text(folder / "dog.mask.png") == text_of(encode_png(colourise(s.labels, model.palette))));
  CHECK(read_text(folder / "dog.overlay.png") == overlay_png(dog_photo, s.labels, model.palette));
  CHECK(mentions(said, "dog.png: 48x32, network at 48x32, "));
  CHECK(mentions(said, "class 0"));
  CHECK(mentions(said, "wrote " + (folder / "dog.mask.png")));
  CHECK(mentions(said, "wrote " + (folder / "dog.overlay.png")));
}

TEST_CASE_FIXTURE(Bench, "a relative photo's results lie beside it, in whatever folder the program runs") {
  std::filesystem::create_directory(folder / "in");
  std::filesystem::rename(dog, folder / "in/dog.png");
  const std::string said = succeed(segment({"in/dog.png"}), {.folder = folder.path()});
  CHECK(names_in(folder / "in") == Names{"dog.mask.png", "dog.overlay.png", "dog.png"});
  CHECK(mentions(said, "wrote in/dog.mask.png"));
  succeed(segment({"dog.png"}), {.folder = folder / "in"});
}

TEST_CASE_FIXTURE(Bench, "without other options the model's resize rule holds: shorter side 520") {
  const Json report = Json::parse(succeed(
      {"segment", dog, "-m", checkpoint, "--threads", "2", "--no-mask", "--no-overlay", "--json", "-"}));
  CHECK(report[0]["input_width"] == 780);
  CHECK(report[0]["input_height"] == 520);
}

TEST_CASE_FIXTURE(Bench, "a folder for the results is made, parents too") {
  succeed(segment({dog, "-o", folder / "a/b", "-q"}));
  CHECK(names_in(folder / "a/b") == Names{"dog.mask.png", "dog.overlay.png"});
  CHECK(names() == Names{"a", "dog.png", "net.safetensors"});
}

TEST_CASE_FIXTURE(Bench, "-q prints nothing") { CHECK(succeed(segment({dog, "-q"})) == ""); }

TEST_CASE_FIXTURE(Bench, "-o - sends one picture to standard output and writes no file") {
  const Segmentation s = expected();
  const std::string mask = text_of(encode_png(colourise(s.labels, model.palette)));
  CHECK(succeed(segment({dog, "-o", "-"})) == mask);
  CHECK(succeed(segment({dog, "-o", "-", "--mask"})) == mask);
  CHECK(succeed(segment({dog, "-o", "-", "--overlay"})) == overlay_png(dog_photo, s.labels, model.palette));
  CHECK(succeed(segment({dog, "-o", "-", "--labels"})) == labels_png(s.labels));
  CHECK(names() == Names{"dog.png", "net.safetensors"});
}

TEST_CASE_FIXTURE(Bench, "-o - for more than one picture or photo is a usage error") {
  refuse(2, segment({dog, "-o", "-", "--mask", "--labels"}), {"2 of 1"});
  const std::string cat = write_photo("cat.png", dog_photo);
  refuse(2, segment({dog, cat, "-o", "-"}), {"1 of 2"});
  refuse(2, segment({dog, "-o", "-", "--json", "-"}), {"standard output"});
  refuse(2, segment({dog, "-o", "-", "--logits", "-"}), {"standard output"});
  refuse(2, segment({dog, "--logits", "-", "--json", "-"}), {"standard output"});
}

TEST_CASE_FIXTURE(Bench, "- reads the photo from standard input, and its results are called stdin") {
  const ProcessOptions piped{.input = read_text(dog), .folder = folder.path()};
  const std::string said = succeed(segment({"-"}), piped);
  CHECK(mentions(said, "standard input: 48x32"));
  CHECK(names() == Names{"dog.png", "net.safetensors", "stdin.mask.png", "stdin.overlay.png"});
  CHECK(succeed(segment({"-", "-o", "-", "--labels"}), piped) == labels_png(expected().labels));
}

TEST_CASE_FIXTURE(Bench, "a photo larger than a pipe's buffer comes in whole") {
  const Image large = photo(400, 300);
  const std::string png = text_of(encode_png(large));
  REQUIRE(png.size() > 200'000);
  const auto how = Arguments{"segment", "-m", checkpoint, "--threads", "1", "--size", "24x16"};
  const std::string piped = succeed(how + Arguments{"-", "-o", "-", "--overlay"}, {.input = png});
  CHECK(piped == succeed(how + Arguments{write_photo("large.png", large), "-o", "-", "--overlay"}));
  CHECK(read_image(std::as_bytes(std::span(piped)), "overlay").width == 400);
}

TEST_CASE_FIXTURE(Bench, "every picture asked for is written, by the library's own bytes") {
  const std::string said =
      succeed(segment({dog, "--labels", "--confidence", "--cutout", "class 2", "--no-overlay"}));
  CHECK(names() == Names{"dog.confidence.png", "dog.cutout-class_2.png", "dog.labels.png", "dog.mask.png",
                         "dog.png", "net.safetensors"});
  const Segmentation s = expected();
  CHECK(read_text(folder / "dog.labels.png") == labels_png(s.labels));
  CHECK(read_text(folder / "dog.confidence.png") ==
        text_of(encode_png(confidence_picture(s.confidence, 48, 32))));
  CHECK(read_text(folder / "dog.cutout-class_2.png") == text_of(encode_png(cutout(dog_photo, s.labels, 2))));
  for (const char* kind : {"labels", "confidence", "mask", "cutout-class_2"})
    CHECK(mentions(said, str_cat("wrote ", folder.path(), "/dog.", kind, ".png")));
}

TEST_CASE_FIXTURE(Bench, "--no-mask and --no-overlay leave out what is written by default") {
  succeed(segment({dog, "--no-mask"}));
  CHECK(names() == Names{"dog.overlay.png", "dog.png", "net.safetensors"});
  std::filesystem::remove(folder / "dog.overlay.png");
  succeed(segment({dog, "--no-overlay"}));
  CHECK(names() == Names{"dog.mask.png", "dog.png", "net.safetensors"});
  std::filesystem::remove(folder / "dog.mask.png");
  refuse(2, segment({dog, "--no-mask", "--mask"}), {"--mask", "--no-mask"});
  refuse(2, segment({dog, "--no-overlay", "--overlay"}), {"--overlay", "--no-overlay"});
  refuse(2, segment({dog, "-o", "-", "--no-mask"}), {"0 of 1"});
}

TEST_CASE_FIXTURE(Bench, "a cut-out is asked for by name or index; an unknown class lists those there are") {
  const std::string by_name = succeed(segment({dog, "-o", "-", "--cutout", "class 2"}));
  CHECK(by_name == text_of(encode_png(cutout(dog_photo, expected().labels, 2))));
  CHECK(succeed(segment({dog, "-o", "-", "--cutout", "2"})) == by_name);
  for (const char* unknown : {"zebra", "5", "-1", "2x", "Class 2"})
    refuse(2, segment({dog, str_cat("--cutout=", unknown)}),
           {unknown, "class 0, class 1, class 2, class 3, class 4"});
  CHECK(names() == Names{"dog.png", "net.safetensors"});
}

TEST_CASE_FIXTURE(Bench, "--logits writes N x C x H x W at the input's size, as the library computes them") {
  succeed(segment({dog, "--logits", folder / "out.npy", "-q"}));
  const auto file = read_file(folder / "out.npy", 1 << 20);
  CHECK(mentions(text_of(file), "'shape': (1, 5, 32, 48)"));
  const Tensor logits = read_npy(file, "out.npy", 5);
  CHECK(same_bits(values(logits.view()),
                  values(expected({.resize = no_resize, .logits = true}).logits.view())));

  succeed(Arguments{"segment", dog, "-m", checkpoint, "--threads", "1", "--size", "40x24", "--logits",
                    folder / "small.npy"});
  CHECK(read_npy(read_file(folder / "small.npy", 1 << 20), "small.npy", 5).shape() == Shape{1, 24, 40, 5});
}

TEST_CASE_FIXTURE(Bench, "--logits - sends a .npy and nothing else to standard output") {
  succeed(segment({dog, "--logits", folder / "out.npy", "-q"}));
  CHECK(succeed(segment({dog, "--logits", "-"})) == read_text(folder / "out.npy"));
}

TEST_CASE_FIXTURE(Bench, "--json - prints one entry a photo, and nothing else") {
  const std::string cat = write_photo("cat.png", photo(40, 24, 5));
  const std::string bird = write_photo("b\"ird\xc3\xa9.png", photo(24, 24, 6));
  const Json report = Json::parse(succeed(segment({dog, cat, bird, "--json", "-"})));
  REQUIRE(report.size() == 3);
  const Segmentation s = expected();
  const auto shares = class_shares(s);
  const Json& first = report[0];
  Names keys;
  for (const auto& [key, value] : first.items()) keys.push_back(key);
  CHECK(keys == Names{"file", "width", "height", "input_width", "input_height", "device", "precision",
                      "classes", "seconds", "written"});
  CHECK(first["file"] == dog);
  CHECK(first["width"] == 48);
  CHECK(first["height"] == 32);
  CHECK(first["written"] == Json{folder / "dog.mask.png", folder / "dog.overlay.png"});
  REQUIRE(first["classes"].size() == shares.size());
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const Json& c = first["classes"][i];
    CHECK(c["index"] == shares[i].index);
    CHECK(c["name"] == str_cat("class ", shares[i].index));
    CHECK(c["pixels"] == shares[i].pixels);
    CHECK(c["share"] == shares[i].share);
    CHECK(c["confidence"] == shares[i].confidence);
  }
  for (const Json& entry : report) {
    double sum = 0;
    for (const Json& c : entry["classes"]) sum += c["share"].get<double>();
    CHECK(sum == doctest::Approx(1));
    for (const char* step : {"prepare", "network", "label"}) CHECK(entry["seconds"][step].get<double>() >= 0);
  }
  CHECK(report[1]["width"] == 40);
  CHECK(report[2]["file"] == bird);
}

TEST_CASE_FIXTURE(Bench, "--json FILE holds the same while the table is printed") {
  const std::string said = succeed(segment({dog, "--json", folder / "all.json"}));
  CHECK(mentions(said, "class 0"));
  CHECK(Json::parse(read_text(folder / "all.json"))[0]["file"] == dog);
}

TEST_CASE_FIXTURE(Bench, "colours come from the model, from voc, from hub or from a file") {
  const auto mask_with = [&](const std::string& palette) {
    return succeed(segment({dog, "-o", "-", "--palette", palette}));
  };
  const LabelMap labels = expected().labels;
  CHECK(mask_with("voc") == text_of(encode_png(colourise(labels, voc_palette(5)))));
  CHECK(mask_with("hub") == text_of(encode_png(colourise(labels, hub_palette(5)))));
  write_text(folder / "colours.txt", "# mine\n10 20 30 sky\n#ff8000\n1 1 1\n2 2 2\n3 3 3\n");
  const Palette mine{{10, 20, 30}, {255, 128, 0}, {1, 1, 1}, {2, 2, 2}, {3, 3, 3}};
  CHECK(mask_with(folder / "colours.txt") == text_of(encode_png(colourise(labels, mine))));
}

TEST_CASE_FIXTURE(
    Bench, "classes come with their colours from a dataset that is named, unless a file has that name") {
  const std::string streets = folder / "streets.safetensors";
  write_safetensors(streets, seeded_state("lraspp_mobilenet_v3_small", {.classes = 11, .width = 8}), {});
  const auto converted = [&](const Arguments& more) {
    succeed(Arguments{"convert", "streets.safetensors", "out.safetensors"} + more, {.folder = folder.path()});
    return *load_checkpoint(folder / "out.safetensors").metadata;
  };
  CHECK(converted({}).classes.front() == "class 0");
  const Metadata named = converted({"--classes", "camvid"});
  CHECK(named.classes == camvid_classes());
  CHECK(named.palette == camvid_palette());
  CHECK(converted({"--classes", "camvid", "--palette", "voc"}).palette == voc_palette(11));
  refuse(2, segment({dog, "--classes", "cityscapes"}), {"cityscapes: expected 5", "found 19"});
  refuse(1, segment({dog, "--classes", "cityscape"}), {"cityscape", "No such file"});
  write_text(folder / "camvid", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n");
  const Metadata from_file = converted({"--classes", "camvid"});
  CHECK(from_file.classes.back() == "k");
  CHECK(from_file.palette == voc_palette(11));
}

TEST_CASE_FIXTURE(
    Bench, "a palette or class file with another number of entries is a usage error with both numbers") {
  write_text(folder / "three.txt", "1 1 1\n2 2 2\n3 3 3\n");
  refuse(2, segment({dog, "--palette", folder / "three.txt"}), {"three.txt", "expected 5", "found 3"});
  write_text(folder / "six.txt", "a\nb\nc\nd\ne\nf\n");
  refuse(2, segment({dog, "--classes", folder / "six.txt"}), {"six.txt", "expected 5", "found 6"});
}

TEST_CASE_FIXTURE(Bench,
                  "a palette or class file that cannot be read or understood is a failure that names it") {
  refuse(1, segment({dog, "--palette", "vok"}), {"vok", "No such file"});
  refuse(1, segment({dog, "--classes", folder / "none.txt"}), {"none.txt", "No such file"});
  write_text(folder / "bad.txt", "1 1 1\n2 2\n3 3 3\n4 4 4\n5 5 5\n");
  refuse(1, segment({dog, "--palette", folder / "bad.txt"}), {"bad.txt", "line 2"});
  write_text(folder / "bell.txt", "a\nb\n\x07\nd\ne\n");
  refuse(1, segment({dog, "--classes", folder / "bell.txt"}), {"bell.txt", "line 3", "\\x07"});
  write_text(folder / "gap.txt", "a\nb\n\nd\ne\nf\n");
  refuse(1, segment({dog, "--classes", folder / "gap.txt"}),
         {"gap.txt", "line 3 is empty, but names follow"});
}

TEST_CASE_FIXTURE(Bench, "--classes renames what the table, the report and --cutout say") {
  write_text(folder / "names.txt", "\ufeffsky\r\nroad \r\ntree/bush\r\ncar\r\ndog\r\n\r\n");
  const Arguments named = segment({dog, "--classes", folder / "names.txt"});
  const Names names{"sky", "road", "tree/bush", "car", "dog"};
  const Json report = Json::parse(succeed(named + Arguments{"--json", "-"}));
  for (const Json& c : report[0]["classes"]) CHECK(c["name"] == names[c["index"].get<std::size_t>()]);
  CHECK(mentions(succeed(named), report[0]["classes"][0]["name"].get<std::string>()));
  succeed(named + Arguments{"--cutout", "tree/bush", "-q", "-o", folder / "out"});
  CHECK(names_in(folder / "out") == Names{"dog.cutout-tree_bush.png", "dog.mask.png", "dog.overlay.png"});
  refuse(2, named + Arguments{"--cutout", "class 2"}, {"sky, road, tree/bush, car, dog"});
}

TEST_CASE_FIXTURE(Bench, "no path is taken from a model file: a class called like one stays in the folder") {
  const std::vector<std::string> classes{"../../up", "/etc/passwd", "a\\b", "..", "dog"};
  const std::string evil = folder / "evil.safetensors", out = folder / "in/out";
  Metadata metadata;
  metadata.classes = classes;
  write_safetensors(evil, tiny_state("deeplabv3"), to_strings(metadata));
  const Names before = names();
  const Names safe{"______up", "_etc_passwd", "a_b", "__", "dog"};
  for (std::size_t i = 0; i < classes.size(); ++i) {
    succeed(Arguments{"segment", dog, "-m", evil, "--threads", "1", "--no-resize", "-q", "--no-mask",
                      "--no-overlay", "--cutout", classes[i], "-o", out});
    CHECK(names_in(out) == Names{"dog.cutout-" + safe[i] + ".png"});
    std::filesystem::remove_all(folder / "in");
  }
  CHECK(names() == before);
}

TEST_CASE_FIXTURE(Bench, "--alpha and --no-contours shape the overlay") {
  const LabelMap labels = expected().labels;
  const Arguments how = segment({dog, "-o", "-", "--overlay", "--palette", "hub"});
  CHECK(succeed(how + Arguments{"--alpha", "0.25"}) ==
        overlay_png(dog_photo, labels, hub_palette(5), {.alpha = 0.25f}));
  CHECK(succeed(how + Arguments{"--no-contours"}) ==
        overlay_png(dog_photo, labels, hub_palette(5), {.contours = false}));
}

TEST_CASE_FIXTURE(Bench, "the background stays clear in the overlay, unless --background") {
  write_text(folder / "names.txt", "__background__\na\nb\nc\nd\n");
  const LabelMap labels = expected().labels;
  REQUIRE(std::ranges::count(labels.labels, 0) > 0);
  const Arguments how =
      segment({dog, "-o", "-", "--overlay", "--palette", "voc", "--classes", folder / "names.txt"});
  CHECK(succeed(how) == overlay_png(dog_photo, labels, voc_palette(5), {.background = 0}));
  CHECK(succeed(how + Arguments{"--background"}) == overlay_png(dog_photo, labels, voc_palette(5)));
  CHECK(succeed(how) != succeed(how + Arguments{"--background"}));
}

TEST_CASE_FIXTURE(Bench, "--resize, --size, --no-resize and --center-crop decide what the network sees") {
  const auto input_of = [&](const Arguments& how) {
    const Json r = Json::parse(succeed(Arguments{"segment", dog, "-m", checkpoint, "--threads", "1",
                                                 "--no-mask", "--no-overlay", "--json", "-"} +
                                       how))[0];
    return str_cat(r["input_width"], "x", r["input_height"], " on ", r["width"], "x", r["height"]);
  };
  CHECK(input_of({"--resize", "64"}) == "96x64 on 48x32");
  CHECK(input_of({"--size", "20x60"}) == "20x60 on 48x32");
  CHECK(input_of({"--no-resize"}) == "48x32 on 48x32");
  CHECK(input_of({"--size", "20x60", "--at", "input"}) == "20x60 on 20x60");
  CHECK(input_of({"--no-resize", "--center-crop", "24"}) == "24x24 on 24x24");
  CHECK(input_of({"--resize", "40", "--center-crop", "50"}) == "50x50 on 50x50");
}

TEST_CASE_FIXTURE(Bench, "--at input writes pictures of the network's input") {
  const auto how =
      Arguments{"segment", dog, "-m", checkpoint, "--threads", "1", "--size", "40x24", "--at", "input"};
  const Segmentation s =
      expected({.resize = ResizeRule{ResizeRule::Kind::exact, 40, 24, 0}, .at_input = true});
  CHECK(succeed(how + Arguments{"-o", "-", "--labels"}) == labels_png(s.labels));
  CHECK(succeed(how + Arguments{"-o", "-", "--overlay"}) ==
        overlay_png(resize_bilinear(dog_photo, 40, 24), s.labels, model.palette));
}

TEST_CASE_FIXTURE(Bench, "--upsample transposed labels by the transposed convolution") {
  const Segmentation s =
      expected({.resize = no_resize, .logits = true, .upsampling = Upsampling::transposed});
  CHECK(succeed(segment({dog, "-o", "-", "--labels", "--upsample", "transposed"})) == labels_png(s.labels));
  succeed(segment({dog, "--upsample", "transposed", "--logits", folder / "t.npy", "-q"}));
  CHECK(read_text(folder / "t.npy") == text_of(encode_npy(s.logits.view())));
}

TEST_CASE_FIXTURE(Bench, "--aux gives the auxiliary head's labels, and an error where there is none") {
  const Segmentation s = expected({.resize = no_resize, .output = "aux"});
  const std::string aux = succeed(segment({dog, "-o", "-", "--labels", "--aux"}));
  CHECK(aux == labels_png(s.labels));
  CHECK(aux != succeed(segment({dog, "-o", "-", "--labels"})));

  write_safetensors(folder / "plain.safetensors",
                    seeded_state("fcn_resnet(1,1,1,1)", {.classes = 2, .width = 4, .aux = false}), {});
  refuse(1, {"segment", dog, "-m", folder / "plain.safetensors", "--aux"},
         {"plain.safetensors", "no auxiliary head", "aux_classifier"});
}

TEST_CASE_FIXTURE(Bench, "the EXIF orientation is applied unless --no-exif") {
  // Orientation 6, the phone held upright: TIFF's header, one entry of the directory, no next directory.
  const std::string chunk("eXIfII*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0", 30);
  const auto big_endian = [](std::uint32_t v) {
    return std::string{static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
                       static_cast<char>(v)};
  };
  std::string png = read_text(dog);
  constexpr std::size_t behind_header = 8 + 25;  // signature and IHDR
  png.insert(behind_header, big_endian(static_cast<std::uint32_t>(chunk.size() - 4)) + chunk +
                                big_endian(libdeflate_crc32(0, chunk.data(), chunk.size())));
  write_text(folder / "phone.png", png);
  const auto labels = [&](const Arguments& more) {
    return succeed(segment({folder / "phone.png", "-o", "-", "--labels"}) + more);
  };
  const std::string upright = labels({}), as_stored = labels({"--no-exif"});
  CHECK(read_image(std::as_bytes(std::span(upright)), "upright").width == 32);
  CHECK(as_stored == labels_png(expected().labels));
}

TEST_CASE_FIXTURE(Bench, "seeded:NETWORK runs without a file") {
  const Json report =
      Json::parse(succeed(Arguments{"segment", dog, "-m", "seeded:fcn_resnet18", "--no-resize", "--no-mask",
                                    "--no-overlay", "--json", "-"}));
  const std::string first = report[0]["classes"][0]["name"];
  const auto known = voc_classes();
  CHECK(std::ranges::find(known, first) != known.end());
  refuse(1, {"segment", dog, "-m", "seeded:vgg16"}, {"vgg16", "resnet50"});
}

TEST_CASE_FIXTURE(Bench, "--indexed writes the labels as an indexed PNG in the classes' colours") {
  succeed(segment({dog, "--indexed", "--no-mask", "--no-overlay", "-q"}));
  const Segmentation s = expected();
  CHECK(read_text(folder / "dog.labels.png") == text_of(encode_png(s.labels, model.palette)));
  CHECK(read_labels_file(folder / "dog.labels.png") == s.labels);
  succeed(segment({dog, "--labels", "--no-mask", "--no-overlay", "-q"}));
  CHECK(read_labels_file(folder / "dog.labels.png") == s.labels);
}

TEST_CASE_FIXTURE(Bench, "--legend adds a legend below the overlay, which stays as it is") {
  succeed(segment({dog, "--no-mask", "-q"}));
  const Image plain = read_image_file(folder / "dog.overlay.png");
  succeed(segment({dog, "--no-mask", "--legend", "-q"}));
  const Image with = read_image_file(folder / "dog.overlay.png");
  CHECK(with.height > plain.height);
  REQUIRE(with.width >= plain.width);
  for (int y = 0; y < plain.height; ++y)
    CHECK(std::equal(plain.row(y), plain.row(y) + plain.row_bytes(), with.row(y)));
}

TEST_CASE_FIXTURE(Bench,
                  "--sheet sets photo, mask and overlay side by side, and the truth where it is given") {
  succeed(segment({dog, "--sheet", "-q"}));
  const Image three = read_image_file(folder / "dog.sheet.png");
  CHECK(three.width >= 3 * dog_photo.width);
  CHECK(three.height > dog_photo.height);
  write_text(folder / "true.png", labels_png(expected().labels));
  succeed(segment({dog, "--sheet", "-q", "--truth", folder / "true.png"}));
  CHECK(read_image_file(folder / "dog.sheet.png").width > three.width);
  // A sheet is a result: a folder that holds one is segmented without it.
  CHECK(!mentions(succeed(segment({folder.path(), "--no-mask", "--no-overlay"})), "sheet"));
}

TEST_CASE_FIXTURE(Bench, "--truth prints each class's IoU, the mean and the pixel accuracy") {
  LabelMap truth = expected().labels;
  write_text(folder / "true.png", labels_png(truth));
  CHECK(mentions(succeed(segment({dog, "--truth", folder / "true.png"})),
                 "true.png: mean IoU 1.000, pixel accuracy 1.000\n"));
  // Half of the picture is void, in the other half everything is class 4.
  for (std::size_t i = 0; i < truth.labels.size(); ++i) truth.labels[i] = i % 2 ? 200 : 4;
  write_text(folder / "true.png", labels_png(truth));
  const Json report =
      Json::parse(succeed(segment({dog, "--no-mask", "--no-overlay", "--truth", folder / "true.png",
                                   "--ignore", "200", "--json", "-"})))[0];
  ConfusionMatrix confusion(5);
  confusion.add(truth, expected().labels, 200);
  const Metrics metrics = compute_metrics(confusion);
  CHECK(report["truth"]["mean_iou"] == *metrics.mean_iou);
  CHECK(report["truth"]["pixel_accuracy"] == *metrics.pixel_accuracy);
  bool listed = false;  // a class that only the truth has is listed too
  for (const auto& c : report["classes"])
    if (c["index"] == 4) {
      listed = true;
      CHECK(c["iou"] == *metrics.classes[4].iou);
    }
  CHECK(listed);
}

TEST_CASE_FIXTURE(Bench, "--truth reads colours, by the model's palette or a dictionary, and says so") {
  const LabelMap truth = expected().labels;
  write_text(folder / "true.png", text_of(encode_png(colourise(truth, model.palette))));
  const std::string said = succeed(segment({dog, "--truth", folder / "true.png"}));
  CHECK(mentions(said, "true.png: mean IoU 1.000, pixel accuracy 1.000\n"));
  CHECK(mentions(said, "true.png: colours, looked up in the model's palette\n"));

  Palette other{{9, 8, 7}, {1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {200, 100, 0}};
  write_text(folder / "true.png", text_of(encode_png(colourise(truth, other))));
  refuse(1, segment({dog, "--truth", folder / "true.png"}), {"true.png: the colour (", "is none of the 5"});
  std::string dict;
  for (std::size_t c = 0; c < 5; ++c)
    dict += str_cat("class ", c, ',', int{other[c][0]}, ',', int{other[c][1]}, ',', int{other[c][2]}, '\n');
  write_text(folder / "class_dict.csv", dict);
  const Json report = Json::parse(succeed(segment({dog, "--truth", folder / "true.png", "--json", "-"})))[0];
  CHECK(report["truth"]["mean_iou"] == 1.);
  CHECK(mentions(report["truth"]["notes"][0], "class_dict.csv"));
  std::filesystem::rename(folder / "class_dict.csv", folder / "named.csv");
  CHECK(mentions(
      succeed(segment({dog, "--truth", folder / "true.png", "--label-palette", folder / "named.csv"})),
      "mean IoU 1.000"));
}

TEST_CASE("the field's labels that an editor renumbered score as those that were drawn") {
  const std::string data = ATROUS_SOURCE_DIR "/../shared/data/field/20-palette-order/";
  if (!std::filesystem::exists(data)) {
    MESSAGE("skipped: ", data, " is not there");
    return;
  }
  const TemporaryFolder folder;
  const std::string street = ATROUS_SOURCE_DIR "/tests/street/street.png";
  const auto said = [&](const std::string& truth) {
    return succeed(
        {"segment", street, "-o", folder.path(), "--no-mask", "--no-overlay", "--truth", data + truth});
  };
  CHECK(mentions(said("as_drawn.png"), "mean IoU 0.700"));
  const std::string renumbered = said("after_editor.png");
  CHECK(mentions(renumbered, "mean IoU 0.700"));
  CHECK(mentions(renumbered, "stand at other indices of its palette"));
}

TEST_CASE_FIXTURE(Bench, "a truth that does not fit is refused by name") {
  LabelMap truth = expected().labels;
  truth.labels[50] = 7;
  write_text(folder / "true.png", labels_png(truth));
  refuse(1, segment({dog, "--truth", folder / "true.png"}), {"true.png", "7"});
  LabelMap small{8, 8, std::vector<std::uint8_t>(64)};
  write_text(folder / "small.png", labels_png(small));
  refuse(1, segment({dog, "--truth", folder / "small.png"}), {"small.png", "8", "48"});
  refuse(1, segment({dog, "--truth", dog}), {"dog.png"});
  refuse(1, segment({dog, "--truth", folder / "none.png"}), {"none.png", "No such file"});
  refuse(2, segment({dog, folder / "small.png", "--truth", folder / "true.png"}), {"--truth", "2"});
  refuse(2, segment({dog, "--truth", folder / "true.png", "--ignore", "256"}), {"--ignore"});
}

TEST_CASE_FIXTURE(Bench,
                  "--mean, --std, --range and --order are how a network trained elsewhere takes photos") {
  std::string net = checkpoint;
  const auto logits = [&](const Arguments& how) {
    succeed(Arguments{"segment", dog, "-m", net, "--threads", "1", "--no-resize", "--no-mask", "--no-overlay",
                      "-q", "--logits", folder / "logits.npy"} +
            how);
    return read_text(folder / "logits.npy");
  };
  const auto expected = [&](const Preparation& how) {
    Preparation p = how;
    p.resize = {ResizeRule::Kind::none, 0, 0, 0};
    const Prepared prepared = prepare(dog_photo, p, 1);
    const auto results =
        atrous::segment(session, model, prepared.input.view(), {.resize = {}, .logits = true});
    return text_of(encode_npy(results.at(0).logits.view()));
  };
  CHECK(logits({}) == expected({}));
  CHECK(logits({"--mean", "0.5", "--std", "0.25,0.5,1"}) ==
        expected({.mean = {.5f, .5f, .5f}, .std = {.25f, .5f, 1}}));
  const Preparation caffe{
      .mean = {104.008f, 116.669f, 122.675f}, .std = {1, 1, 1}, .range = 255, .order = ChannelOrder::bgr};
  CHECK(logits({"--range", "255", "--order", "bgr", "--mean", "104.008,116.669,122.675"}) == expected(caffe));
  // What is not given: mean and std of a colour stay with it; another range has none.
  CHECK(logits({"--order", "bgr"}) ==
        expected({.mean = {.406f, .456f, .485f}, .std = {.225f, .224f, .229f}, .order = ChannelOrder::bgr}));
  CHECK(logits({"--range", "255"}) == expected({.mean = {0, 0, 0}, .std = {1, 1, 1}, .range = 255}));
  // convert keeps them, inspect says them, and segment then needs no options.
  const std::string kept = folder / "caffe.safetensors";
  succeed(
      {"convert", checkpoint, kept, "--range", "255", "--order", "bgr", "--mean", "104.008,116.669,122.675"});
  CHECK(
      mentions(succeed({"inspect", kept}), "BGR of 0 to 255, mean 104.008, 116.669, 122.675, std 1, 1, 1\n"));
  CHECK(Json::parse(succeed({"inspect", kept, "--json"}))["preprocessing"]["mean"] ==
        Json{104.008, 116.669, 122.675});
  net = kept;
  CHECK(logits({}) == expected(caffe));
  CHECK(logits({"--range", "1"}) ==
        expected({.mean = {0, 0, 0}, .std = {1, 1, 1}, .order = ChannelOrder::bgr}));

  for (const char* bad : {"1,2", "1,2,3,4", "1,2,x", "1,,2", "1,2,3,", "nan", "inf"})
    refuse(2, segment({dog, std::string("--mean=") + bad}), {"--mean"});
  refuse(2, segment({dog, "--std", "1,0,1"}), {"--std 1,0,1", "above 0"});
  refuse(2, segment({dog, "--range", "2"}), {"--range"});
  refuse(2, segment({dog, "--order", "gbr"}), {"--order"});
}

}  // namespace atrous::segment_test
