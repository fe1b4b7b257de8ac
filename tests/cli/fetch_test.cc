// atrous fetch, against a server of the tests' own; torchvision's is never asked.
#include <csignal>
#include <filesystem>
#include <optional>
#include <thread>

#include "tests/support/cli_testing.h"
#include "tests/support/http_server.h"
#include "weights_tools/download/catalogue.h"
#include "weights_tools/io/sha256.h"

namespace atrous::fetch_test {

using namespace atrous::cli_testing;
using testing::answer_with;
using testing::HttpAnswer;
using testing::HttpRequest;
using testing::HttpServer;

namespace {

namespace fs = std::filesystem;

const std::string lraspp = "lraspp_mobilenet_v3_large", lraspp_file = lraspp + "-d234d4ea.pth";

// A home of its own, and a file whose name tells its sha256 as published ones do.
struct Home {
  const TemporaryFolder folder;
  const std::string content = std::string(100'000, 'w') + "eights";
  const std::string sha256 = sha256_of_bytes(std::as_bytes(std::span(content)));
  const std::string file = "mine-" + sha256.substr(0, 8) + ".pth";
  const std::string cache = folder / "cache/atrous";

  ProcessOptions environment(std::vector<std::pair<std::string, std::string>> more = {}) const {
    ProcessOptions options;
    options.environment = std::move(more);
    // What is not set by a test is empty, which counts as unset.
    for (const auto& [name, value] :
         std::vector<std::pair<std::string, std::string>>{{"HOME", folder / "home"},
                                                          {"XDG_CACHE_HOME", folder / "cache"},
                                                          {"ATROUS_CACHE", ""},
                                                          {"TORCH_HOME", ""},
                                                          {"no_proxy", "127.0.0.1"},
                                                          {"NO_PROXY", "127.0.0.1"}})
      if (std::ranges::find(options.environment, name, &std::pair<std::string, std::string>::first) ==
          options.environment.end())
        options.environment.emplace_back(name, value);
    return options;
  }
  HttpServer server() const {
    return HttpServer([this](const HttpRequest& r) { return answer_with(r, content); });
  }
  std::string fetched(const Arguments& arguments, const ProcessOptions& options) const {
    return succeed(Arguments{"fetch", "-q"} + arguments, options);
  }
  std::string save(const std::string& path, const std::string& bytes) const {
    fs::create_directories(fs::path(path).parent_path());
    write_text(path, bytes);
    return path;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Home, "fetch of a url puts the file into the cache and prints where it is") {
  const HttpServer at = server();
  const std::string url = at.url("/models/" + file);
  CHECK(fetched({url}, environment()) == cache + '/' + file + '\n');
  CHECK(read_text(cache + '/' + file) == content);
  CHECK(names_in(cache) == Names{file});
  // and a second time from there
  CHECK(fetched({url}, environment()) == cache + '/' + file + '\n');
  CHECK(at.requests().size() == 1);
  fetched({url, "--force"}, environment());
  CHECK(at.requests().size() == 2);
}

TEST_CASE_FIXTURE(Home, "fetch says in one line what it does where no terminal is") {
  const HttpServer at = server();
  const std::string url = at.url("/" + file);
  const ProcessResult r = run_atrous({"fetch", url}, environment());
  CHECK(r.exit_code == 0);
  CHECK(r.errors == "fetching " + url + " to " + cache + '/' + file + '\n');
  CHECK(run_atrous({"fetch", url}, environment()).errors == "");
}

TEST_CASE_FIXTURE(Home, "fetch draws one line on a terminal and leaves none behind") {
  if (!fs::exists("/usr/bin/script")) {
    std::puts("skipped: no script program to make a terminal");
    return;
  }
  const HttpServer at([&](const HttpRequest& request) {
    HttpAnswer answer = answer_with(request, std::string(3 << 20, 'x'));
    answer.milliseconds = 5;
    return answer;
  });
  const char* other = std::getenv("ATROUS_CLI");
  const std::string program = other ? other : ATROUS_CLI;
  for (const char* size : {"stty columns 120; ", "stty columns 30; "}) {
    const std::string command =
        std::string(size) + "'" + program + "' fetch --force '" + at.url("/bar.pth") + "' > /dev/null";
    const ProcessResult r =
        testing::run_process({"/usr/bin/script", "-qec", command, "/dev/null"}, environment());
    CAPTURE(r.output);
    CHECK(r.exit_code == 0);
    const bool wide = size[13] == '1';
    CHECK(mentions(r.output, wide ? "\r\033[Kbar.pth  [" : "\r\033[Kbar.pth  "));
    CHECK(mentions(r.output, " of 3.0 MiB"));
    CHECK(mentions(r.output, " MiB/s") == wide);
    CHECK(mentions(r.output, "\r\033[Kbar.pth: its name carries no sha256"));
  }
}

TEST_CASE_FIXTURE(Home, "fetch says of a file whose name carries no sha256 that it is unchecked") {
  const HttpServer at = server();
  const ProcessResult r = run_atrous({"fetch", at.url("/mine.pth")}, environment());
  CHECK(r.exit_code == 0);
  CHECK(r.output == cache + "/mine.pth\n");
  CHECK(mentions(r.errors, "mine.pth: its name carries no sha256"));
  CHECK(mentions(r.errors, sha256));
}

TEST_CASE_FIXTURE(Home, "fetch of a name downloads from a mirror, by its folder or by the file") {
  const HttpServer at = server();
  for (const auto& [mirror, path] : std::vector<std::pair<std::string, std::string>>{
           {"/models/", "/models/" + lraspp_file},
           {"/models/other.pth?version=2", "/models/other.pth?version=2"}}) {
    // What the server has is not what torchvision has published.
    refuse(1, {"fetch", "-q", lraspp, "--url", at.url(mirror)}, {lraspp_file, "d234d4ea", sha256},
           environment());
    CHECK(at.requests().back().path == path);
    CHECK(names_in(cache) == Names{});
  }
}

TEST_CASE_FIXTURE(Home, "fetch of several files prints a path for each") {
  const HttpServer at = server();
  CHECK(fetched({at.url("/a-1.pth"), at.url("/b.pth")}, environment()) ==
        cache + "/a-1.pth\n" + cache + "/b.pth\n");
  refuse(2, {"fetch", lraspp, "fcn_resnet50", "--url", at.url("/one.pth")}, {"several", "slash"},
         environment());
}

TEST_CASE_FIXTURE(Home,
                  "the cache is ATROUS_CACHE, else below an absolute XDG_CACHE_HOME, else below the home") {
  const HttpServer at = server();
  const auto place = [&](std::vector<std::pair<std::string, std::string>> variables) {
    return fetched({at.url("/" + file)}, environment(std::move(variables)));
  };
  CHECK(place({{"ATROUS_CACHE", folder / "own"}}) == folder / "own/" + file + '\n');
  CHECK(place({}) == folder / "cache/atrous/" + file + '\n');
  CHECK(place({{"XDG_CACHE_HOME", ""}}) == folder / "home/.cache/atrous/" + file + '\n');
  CHECK(place({{"XDG_CACHE_HOME", "relative"}}) == folder / "home/.cache/atrous/" + file + '\n');
  CHECK(at.requests().size() == 3);
  refuse(1, {"fetch", at.url("/" + file)}, {"ATROUS_CACHE", "XDG_CACHE_HOME", "HOME"},
         environment({{"XDG_CACHE_HOME", ""}, {"HOME", ""}}));
  refuse(1, {"fetch", "--list"}, {"HOME"}, environment({{"XDG_CACHE_HOME", ""}, {"HOME", ""}}));
}

TEST_CASE_FIXTURE(Home, "what torch.hub has downloaded is used where it lies") {
  const HttpServer at = server();
  const std::string url = at.url("/" + file);
  const auto place = [&](std::vector<std::pair<std::string, std::string>> variables) {
    return fetched({url}, environment(std::move(variables)));
  };
  const std::string in_home = save(folder / "home/.cache/torch/hub/checkpoints/" + file, content);
  const std::string in_cache = save(folder / "cache/torch/hub/checkpoints/" + file, content);
  const std::string in_torch = save(folder / "home/torch/hub/checkpoints/" + file, content);
  CHECK(place({}) == in_cache + '\n');
  CHECK(place({{"XDG_CACHE_HOME", ""}}) == in_home + '\n');
  CHECK(place({{"TORCH_HOME", folder / "home/torch"}}) == in_torch + '\n');
  CHECK(place({{"TORCH_HOME", "~/torch"}}) == in_torch + '\n');
  CHECK(at.requests().empty());
  CHECK_FALSE(fs::exists(cache));
}

TEST_CASE_FIXTURE(Home, "torch.hub's file with a wrong sha256 is not used, which is said") {
  const HttpServer at = server();
  const std::string wrong = save(folder / "cache/torch/hub/checkpoints/" + file, "half");
  const ProcessResult r = run_atrous({"fetch", at.url("/" + file)}, environment());
  CHECK(r.exit_code == 0);
  CHECK(r.output == cache + '/' + file + '\n');
  CHECK(mentions(r.errors, wrong + ": not used"));
  CHECK(read_text(wrong) == "half");
  CHECK(read_text(cache + '/' + file) == content);
}

TEST_CASE_FIXTURE(Home, "fetch --list says of all where they are") {
  const std::string empty = succeed({"fetch", "--list"}, environment());
  for (const PublishedCheckpoint& p : published_checkpoints()) {
    CHECK(mentions(empty, p.name));
    CHECK(mentions(empty, p.file));
  }
  CHECK(mentions(empty, "  57.9  not here"));
  CHECK_FALSE(fs::exists(folder / "cache"));
  const std::string ours = save(cache + '/' + lraspp_file, "x");
  const std::string hubs = save(folder / "cache/torch/hub/checkpoints/fcn_resnet50_coco-1167a1af.pth", "x");
  save(folder / "cache/torch/hub/checkpoints/" + lraspp_file, "x");
  const std::string listed = succeed({"fetch", "--list"}, environment());
  CHECK(mentions(listed, "13   57.9  " + ours + '\n'));
  CHECK(mentions(listed, "135   60.5  " + hubs + '\n'));
  CHECK(mentions(listed, " 67.4  not here"));
}

TEST_CASE_FIXTURE(Home, "a fetch that was killed is resumed by the next") {
  bool first = true;
  const HttpServer at([&](const HttpRequest& request) {
    HttpAnswer answer = answer_with(request, content);
    if (std::exchange(first, false)) answer.stop_after = 50'000, answer.hang = true;
    return answer;
  });
  ProcessOptions killed = environment();
  killed.kill_when = [part = cache + '/' + file + ".part"] {
    std::error_code none;
    return fs::file_size(part, none) == 50'000 && !none;
  };
  CHECK(run_atrous({"fetch", at.url("/" + file)}, killed).signal == SIGKILL);
  CHECK(names_in(cache) == Names{file + ".part"});
  fetched({at.url("/" + file)}, environment());
  CHECK(at.requests().back().from == 50'000u);
  CHECK(read_text(cache + '/' + file) == content);
  CHECK(names_in(cache) == Names{file});
}

TEST_CASE_FIXTURE(Home, "two programs that fetch the same file share one download") {
  const HttpServer at([&](const HttpRequest& request) {
    HttpAnswer answer = answer_with(request, content);
    answer.milliseconds = 300;
    return answer;
  });
  std::vector<ProcessResult> results(2);
  std::vector<std::thread> threads;
  for (ProcessResult& r : results)
    threads.emplace_back([&] { r = run_atrous({"fetch", at.url("/" + file)}, environment()); });
  for (std::thread& thread : threads) thread.join();
  for (const ProcessResult& r : results) {
    CHECK(r.exit_code == 0);
    CHECK(r.output == cache + '/' + file + '\n');
  }
  CHECK(at.requests().size() == 1);
  CHECK(mentions(results[0].errors + results[1].errors, file + ": another process is downloading it"));
  CHECK(names_in(cache) == Names{file});
}

TEST_CASE_FIXTURE(
    Home, "fetch without a connection, without curl or without a folder to write to says so in a sentence") {
  const std::string url = testing::refused_url("/" + file);
  refuse(1, {"fetch", url}, {file, "cannot fetch it from 127.0.0.1", url, cache + '/' + file}, environment());
  refuse(1, {"fetch", url}, {"cannot run curl", "installed", url, cache + '/' + file},
         environment({{"PATH", folder / "nowhere"}}));
  save(folder / "plain", "");
  refuse(1, {"fetch", url}, {folder / "plain/atrous", "cache folder", "Not a directory"},
         environment({{"XDG_CACHE_HOME", folder / "plain"}}));
  const HttpServer empty([](const HttpRequest&) { return HttpAnswer{.status = 404}; });
  refuse(1, {"fetch", empty.url("/" + file)}, {empty.url("/" + file), "no such file", "404"}, environment());
  CHECK(names_in(cache) == Names{});
}

TEST_CASE_FIXTURE(Home, "a fetch without standard output does not print into the file") {
  const HttpServer at = server();
  ProcessOptions closed = environment();
  closed.close_output = true;
  refuse(1, {"fetch", "-q", at.url("/" + file)}, {"standard output"}, closed);
  CHECK(read_text(cache + '/' + file) == content);
  CHECK(names_in(cache) == Names{file});
}

TEST_CASE_FIXTURE(Home, "a full disk keeps what arrived under the part's name only") {
  const HttpServer at = server();
  ProcessOptions full = environment();
  full.file_size_limit = 20'000;
  refuse(1, {"fetch", "-q", at.url("/" + file)}, {file + ".part", "cannot write"}, full);
  CHECK(names_in(cache) == Names{file + ".part"});
  fetched({at.url("/" + file)}, environment());
  CHECK(read_text(cache + '/' + file) == content);
}

TEST_CASE_FIXTURE(Home, "names and urls that are none are mistakes in the command line") {
  const auto wrong = [&](const Arguments& arguments, const std::vector<std::string>& parts) {
    const std::string said = refuse(2, Arguments{"fetch"} + arguments, parts, environment());
    CHECK(said.find('\033') == std::string::npos);
  };
  wrong({"resnet"}, {"resnet: no published checkpoint", "deeplabv3_resnet101", "lraspp_mobilenet_v3_large"});
  wrong({"deeplabv3_resnet110"}, {"no published checkpoint (did you mean deeplabv3_resnet101?), expected"});
  wrong({"../../etc/passwd"}, {"no published checkpoint"});
  wrong({"a\033[2J"}, {"no published checkpoint"});
  wrong({}, {"expected a name"});
  wrong({lraspp, "--list"}, {"--list"});
  wrong({"ftp://host/a.pth"}, {"https:// or http://"});
  wrong({"http://host/"}, {"usable file name"});
  wrong({"http://host/.."}, {"usable file name"});
  wrong({"http://host/a\033[2J"}, {"printable ASCII"});
  wrong({"http://me:secret@host/a"}, {"passwords"});
  wrong({"http://host/a.pth", "--url", "http://host/"}, {"--url"});
  wrong({lraspp, "--url", "ftp://host/"}, {"https:// or http://"});
  wrong({lraspp, "--url=-o/tmp/x"}, {"https:// or http://"});
  wrong({lraspp, "--url=http://host/\n/"}, {"printable ASCII"});
  CHECK_FALSE(fs::exists(cache));
}

}  // namespace atrous::fetch_test
