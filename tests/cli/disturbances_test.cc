// atrous segment over folders: full disks, readers that go away, Ctrl-C.
#include <sys/mount.h>

#include <csignal>

#include "runtime/image/image_read.h"
#include "tests/support/cli_testing.h"

namespace atrous::disturbances_test {

using namespace atrous::cli_testing;

namespace {

// A folder of tiny pictures.
struct Album : Bench {
  const std::string in = folder / "in", out = folder / "out";

  Album() { std::filesystem::create_directory(in); }
  void fill(int pictures) const {
    const auto png = encode_png(photo(8, 8));
    for (int i = 0; i < pictures; ++i) write_file(str_cat(in, "/", 1000 + i, ".png"), png);
  }
  Arguments segment_all(const Arguments& more = {}) const {
    return segment({in, "-o", out, "--no-overlay"}) + more;
  }
  // Whole masks and nothing else in `where`; how many.
  int check_masks(const std::string& where) const {
    int masks = 0;
    for (const std::string& name : names_in(where)) {
      REQUIRE_MESSAGE(name.ends_with(".mask.png"), name);
      CHECK(read_image(read_file(where + '/' + name, 1 << 20), name).width == 8);
      ++masks;
    }
    return masks;
  }
};

// A file system of 256 KiB, for as long as the object lives.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directory(path_);
    mounted_ = ::mount("atrous-test", path_.c_str(), "tmpfs", 0, "size=256k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  bool make_read_only() const {
    return ::mount("atrous-test", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=256k") == 0;
  }

 private:
  std::string path_;
  bool mounted_ = false;
};

}  // namespace

TEST_CASE_FIXTURE(Album, "--skip-broken does not excuse results that cannot be written, which end the run") {
  fill(5);
  std::filesystem::create_directories(out + "/1002.mask.png");
  refuse(1, segment_all({"-q", "--skip-broken"}), {"1002.mask.png", "is a directory"});
  CHECK(names_in(out) == Names{"1000.mask.png", "1001.mask.png", "1002.mask.png"});
}

TEST_CASE_FIXTURE(Album, "a disk that fills up is said in one line, and holds whole results only") {
  const SmallDisk disk(out);
  if (!disk.mounted()) {
    MESSAGE("skipped: no file system may be mounted here");
    return;
  }
  fill(500);
  const std::string said = refuse(1, segment_all({"-q"}), {out + "/", ".mask.png: cannot "});
  CHECK_MESSAGE(mentions(said, "No space left on device"), said);
  const int masks = check_masks(out);
  CHECK(masks > 10);
  CHECK(masks < 500);
}

TEST_CASE_FIXTURE(Album, "a folder that cannot be written is said in one line") {
  fill(3);
  SUBCASE("a read-only file system") {
    const SmallDisk disk(out);
    if (!disk.mounted() || !disk.make_read_only()) {
      MESSAGE("skipped: no file system may be mounted here");
      return;
    }
    refuse(1, segment_all({"-q"}), {out + "/1000.mask.png", "Read-only file system"});
  }
  SUBCASE("a folder below a file") {
    write_text(out, "a file");
    refuse(1, segment({in, "-q", "-o", out + "/deeper"}), {out + "/deeper", "Not a directory"});
    CHECK(read_text(out) == "a file");
  }
}

TEST_CASE_FIXTURE(Album, "a reader that goes away ends the run with one line, after whole results") {
  fill(500);
  const ProcessResult r = run_atrous(segment_all(), {.close_after = 1});
  CHECK(r.exit_code == 1);
  CHECK(mentions(r.errors, "atrous: error: standard output"));
  CHECK(r.errors.find('\n') == r.errors.size() - 1);
  CHECK(check_masks(out) > 0);
  CHECK(check_masks(out) < 500);
}

TEST_CASE_FIXTURE(Album, "Ctrl-C and worse, in the middle of a folder, leave whole results only") {
  fill(500);
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    CAPTURE(signal);
    const ProcessResult r = run_atrous(segment_all(), {.signal_at_output = signal});
    CHECK(r.signal == signal);
    CHECK(r.errors == "");
    const int masks = check_masks(out);
    CHECK(masks > 0);
    CHECK(masks < 500);
    std::filesystem::remove_all(out);
  }
}

}  // namespace atrous::disturbances_test
