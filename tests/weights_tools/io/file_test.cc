#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/support/weights_helpers.h"
#include "weights_tools/io/sha256.h"

namespace atrous::file_test {

using namespace atrous::weights_testing;

TEST_CASE("a file reads back as it was written") {
  const TempFolder folder;
  const std::string path = folder.save("a", "atrous");
  CHECK(as_text(read_file(path, 6)) == "atrous");
  check_refused([&] { read_file(path, 5); }, ErrorCode::limit, "has 6 bytes, more than the limit of 5");
  CHECK(folder.files() == 1);
}

TEST_CASE("an input file reads at offsets and not beyond its end") {
  const TempFolder folder;
  const InputFile file(folder.save("a", "atrous"));
  std::array<std::byte, 3> part;
  file.read(2, part);
  CHECK(as_text(part) == "rou");
  check_refused([&] { file.read(4, part); }, ErrorCode::io, "3 bytes wanted at offset 4, but the file has 6");
  check_refused([&] { file.read(~std::uint64_t{0}, part); }, ErrorCode::io, "but the file has 6");
}

TEST_CASE("a file that shrinks while it is read is an error, not a signal") {
  const TempFolder folder;
  const std::string path = folder.save("a", Bytes(100'000, 'x'));
  const InputFile file(path);
  std::vector<std::byte> all(100'000);
  file.read(0, all);
  REQUIRE(::truncate(path.c_str(), 70'000) == 0);
  check_refused([&] { file.read(0, all); }, ErrorCode::io, "ended at byte 70000 while being read, of 100000");
  check_refused([&] { file.read(90'000, std::span(all).first(1)); }, ErrorCode::io, "ended at byte 90000");
  file.read(0, std::span(all).first(70'000));
  REQUIRE(::truncate(path.c_str(), 0) == 0);
  check_refused([&] { file.read(0, all); }, ErrorCode::io, "ended at byte 0");
}

TEST_CASE("what is not a regular file is refused by its kind, without waiting") {
  const TempFolder folder;
  REQUIRE(::mkfifo(folder.path("fifo").c_str(), 0600) == 0);
  check_refused([&] { InputFile{folder.path("fifo")}; }, ErrorCode::io, "is a FIFO");
  check_refused([&] { InputFile{folder.path("")}; }, ErrorCode::io, "is a directory");
  check_refused([&] { InputFile{"/dev/null"}; }, ErrorCode::io, "is a device");
  check_refused([&] { InputFile{folder.path("none")}; }, ErrorCode::io, "No such file or directory");
  check_refused([&] { InputFile{""}; }, ErrorCode::io, "empty name");
}

TEST_CASE("an output file appears only when it is committed") {
  const TempFolder folder;
  {
    OutputFile file(folder.path("a"));
    file.write(as_bytes("half"));
    CHECK_FALSE(std::filesystem::exists(folder.path("a")));
  }
  CHECK(folder.files() == 0);
  OutputFile file(folder.path("a"));
  file.write(as_bytes("whole"));
  file.commit();
  CHECK(as_text(read_file(folder.path("a"), 100)) == "whole");
  CHECK(folder.files() == 1);
  check_refused([&] { file.write(as_bytes("more")); }, ErrorCode::invalid_argument, "after it was committed");
  check_refused([&] { file.commit(); }, ErrorCode::invalid_argument, "committed twice");
}

namespace {

bool has_unnamed_files(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (descriptor >= 0) ::close(descriptor);
  return descriptor >= 0 && std::filesystem::exists("/proc/self/fd");
}

// The signal that ended a process which was at work on the file `path` when it came.
int killed_while_writing(const std::string& path, int signal) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(signal, SIG_DFL);
    OutputFile file(path);
    file.write(as_bytes(Bytes(100'000, 'x')));
    ::raise(signal);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

TEST_CASE("of a file whose writer is killed nothing is left, and the old one stays") {
  const TempFolder folder;
  if (!has_unnamed_files(folder.path(""))) {
    MESSAGE("skipped: this file system has no files without a name");
    return;
  }
  folder.save("old", "as it was");
  for (const int signal : {SIGKILL, SIGINT, SIGTERM})
    for (const char* name : {"old", "new"}) CHECK(killed_while_writing(folder.path(name), signal) == signal);
  CHECK(folder.files() == 1);
  CHECK(as_text(read_file(folder.path("old"), 100)) == "as it was");
}

TEST_CASE("a file in the working folder is written as any other") {
  const TempFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path(""));
  write_file("a", as_bytes("here"));
  std::filesystem::current_path(before);
  CHECK(as_text(read_file(folder.path("a"), 100)) == "here");
  CHECK(folder.files() == 1);
}

TEST_CASE("an output file respects the umask") {
  const TempFolder folder;
  const mode_t before = ::umask(027);
  folder.save("a", "x");
  ::umask(before);
  struct stat status {};
  REQUIRE(::stat(folder.path("a").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0640);
}

TEST_CASE("an output file writes through a symbolic link") {
  const TempFolder folder;
  folder.save("target", "old");
  std::filesystem::create_symlink(folder.path("target"), folder.path("link"));
  folder.save("link", "new");
  CHECK(std::filesystem::is_symlink(folder.path("link")));
  CHECK(as_text(read_file(folder.path("target"), 100)) == "new");
}

TEST_CASE("an output file never replaces a directory or a device") {
  const TempFolder folder;
  std::filesystem::create_directory(folder.path("sub"));
  check_refused([&] { OutputFile{folder.path("sub")}; }, ErrorCode::io, "is a directory");
  check_refused([] { OutputFile{"/dev/null"}; }, ErrorCode::io, "is a device");
  check_refused([&] { OutputFile{folder.path("none/a")}; }, ErrorCode::io, "No such file or directory");
  check_refused([] { OutputFile{""}; }, ErrorCode::io, "empty name");
}

TEST_CASE("SHA-256 gives the digests of FIPS 180-4's examples") {
  CHECK(sha256_of_bytes({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_of_bytes(as_bytes("abc")) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_of_bytes(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const TempFolder folder;
  CHECK(sha256_of_file(folder.save("a", Bytes(3'000'000, 'a'))) ==
        sha256_of_bytes(as_bytes(Bytes(3'000'000, 'a'))));
  CHECK(sha256_of_bytes(as_bytes(Bytes(1'000'000, 'a'))) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the bytes are cut") {
  for (const std::size_t length : {55u, 56u, 63u, 64u, 65u, 119u, 120u, 128u}) {
    const Bytes whole(length, 'x');
    Sha256 once, bytewise;
    once.update(as_bytes(whole));
    for (const char& c : whole) bytewise.update(as_bytes({&c, 1}));
    CHECK(once.finish() == bytewise.finish());
  }
}

TEST_CASE("bytes in memory are read as a file is") {
  const std::string bytes = "atrous";
  const InputFile file(as_bytes(bytes), "the embedded file");
  CHECK(file.size() == 6);
  CHECK(file.path() == "the embedded file");
  std::array<std::byte, 3> part;
  file.read(3, part);
  CHECK(as_text(part) == "ous");
  check_refused([&] { file.read(4, part); }, ErrorCode::io, "the embedded file: 3 bytes wanted at offset 4");
  InputFile({}, "nothing").read(0, {});
}

}  // namespace atrous::file_test
