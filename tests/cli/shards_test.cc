// Many processes for one list: --shard, --resume and --pack of segment, --shard of eval, merge.
#include <csignal>
#include <filesystem>

#include "runtime/image/npy.h"
#include "tests/support/instance_bench.h"
#include "weights_tools/io/sha256.h"

namespace atrous::shards_test {

using namespace atrous::cli_testing;

namespace {

// Five pictures, one of them broken.
struct ManyBench : Bench {
  const std::string many = folder / "many", out = folder / "out", manifest = folder / "run.jsonl";
  ManyBench() {
    std::filesystem::create_directory(many);
    for (unsigned i = 0; i < 5; ++i)
      write_file(many + "/" + std::to_string(i) + ".png",
                 encode_png(photo(40, 30 + static_cast<int>(i), i + 1)));
    write_text(many + "/3.png", "no picture");
  }
  Arguments labels(const Arguments& more = {}) const {
    return segment(Arguments{many, "--labels", "--no-mask", "--no-overlay", "-q"} + more);
  }
};

std::vector<Json> lines_of(const std::string& path) {
  std::vector<Json> all;
  const std::string text = read_text(path);
  for (std::size_t from = 0, end = 0; (end = text.find('\n', from)) != text.npos; from = end + 1)
    all.push_back(Json::parse(text.substr(from, end - from)));
  return all;
}

// A tar's entries as Debian's tar lists and extracts them.
std::string tar_list(const std::string& path) {
  return testing::run_process({"/bin/tar", "-tvf", path}).output;
}

}  // namespace

TEST_CASE_FIXTURE(ManyBench, "shards of segment write every picture's results once") {
  CHECK(run_atrous(labels({"-o", out, "--skip-broken"})).exit_code == 0);
  const Names whole = names_in(out);
  CHECK(whole == Names{"0.labels.png", "1.labels.png", "2.labels.png", "4.labels.png"});
  std::size_t count = 0;
  for (const char* shard : {"1/3", "2/3", "3/3"}) {
    const std::string part = folder / ("part " + std::string(shard, 1));
    run_atrous(labels({"-o", part, "--skip-broken", "--shard", shard}));
    for (const std::string& name : names_in(part)) {
      ++count;
      CHECK((std::stoi(name) % 3 + 1) == shard[0] - '0');
      const bool is_same = read_text(part + "/" + name) == read_text(out + "/" + name);
      CHECK(is_same);
    }
  }
  CHECK(count == whole.size());
}

TEST_CASE_FIXTURE(ManyBench, "a manifest says what became of each picture, and a run goes on from it") {
  const Arguments all = labels({"-o", out, "--resume", manifest, "--skip-broken"});
  const ProcessResult first = run_atrous(all);
  CHECK(first.exit_code == 0);
  const auto lines = lines_of(manifest);
  REQUIRE(lines.size() == 6);
  CHECK(lines[0]["kind"] == "pictures");
  for (std::size_t i = 0; i < 5; ++i) {
    const Json& line = lines[i + 1];
    CHECK(line["number"] == i + 1);
    CHECK(line["input"] == many + "/" + std::to_string(i) + ".png");
    CHECK(line["seconds"] > 0);
    const auto sum = testing::run_process({"/usr/bin/sha256sum", line["input"]}).output;
    CHECK(sum.starts_with(line["sha256"].get<std::string>()));
    CHECK(line["error"].is_null() == (i != 3));
    CHECK(line["outputs"] == (i == 3 ? Json::array() : Json{out + "/" + std::to_string(i) + ".labels.png"}));
  }
  CHECK(mentions(lines[4]["error"], "3.png"));
  // Nothing is done twice but what failed, and that is mended.
  write_file(many + "/3.png", encode_png(photo(40, 33, 4)));
  std::filesystem::remove(out + "/1.labels.png");
  succeed(all);
  CHECK(names_in(out) == Names{"0.labels.png", "2.labels.png", "3.labels.png", "4.labels.png"});
  CHECK(lines_of(manifest).size() == 7);
  CHECK(lines_of(manifest).back()["error"].is_null());
  // A torn last line is done again.
  const std::string text = read_text(manifest);
  write_text(manifest, text.substr(0, text.size() - 5));
  succeed(all);
  CHECK(lines_of(manifest).size() == 7);
  const std::string before = read_text(manifest);
  refuse(1, labels({"-o", out, "--resume", manifest, "--at", "input"}),
         {manifest, "--at was nothing, is input"});
  refuse(1, labels({"-o", out, "--resume", manifest, "--shard", "1/2"}),
         {manifest, "shard was 1 of 1, is 1 of 2"});
  refuse(1, labels({"-o", folder / "other", "--resume", manifest}), {manifest, "--output was "});
  std::filesystem::remove(many + "/0.png");
  refuse(1, all, {manifest, "pictures was 5, sha256"});
  CHECK(read_text(manifest) == before);
}

TEST_CASE_FIXTURE(Bench, "a tensor is segmented the same with a manifest, which knows its file") {
  const std::string tensor = folder / "input.npy";
  write_file(tensor, encode_npy(noise({1, 24, 40, 3}).view()));
  const auto labels_in = [&](const std::string& out, const Arguments& more) {
    succeed(Arguments{"segment", tensor, "-m", checkpoint, "--labels", "-q", "-o", out} + more);
    return read_text(out + "/input.labels.png");
  };
  const std::string labels = labels_in(folder / "a", {});
  CHECK(labels_in(folder / "b", {"--resume", folder / "b.jsonl"}) == labels);
  CHECK(read_text(folder / "b.jsonl").find(sha256_of_file(tensor)) != std::string::npos);
}

TEST_CASE_FIXTURE(ManyBench, "a pack holds what the files would, whole or resumed, byte for byte") {
  run_atrous(labels({"-o", out, "--skip-broken"}));
  const std::string tar = folder / "all.tar", resumed = folder / "resumed.tar";
  CHECK(run_atrous(labels({"--pack", tar, "--skip-broken"})).exit_code == 0);
  CHECK(!std::filesystem::exists(tar + ".part"));
  const std::string list = tar_list(tar);
  for (const std::string& name : names_in(out)) CHECK(mentions(list, name));
  std::filesystem::create_directory(folder / "unpacked");
  CHECK(testing::run_process({"/bin/tar", "-xf", tar, "-C", folder / "unpacked"}).exit_code == 0);
  for (const std::string& name : names_in(out)) {
    const bool is_same = read_text(folder / ("unpacked/" + name)) == read_text(out + "/" + name);
    CHECK(is_same);
  }
  CHECK(names_in(folder / "unpacked") == names_in(out));

  const Arguments again = labels({"--pack", resumed, "--resume", manifest, "--skip-broken"});
  run_atrous(again);
  const std::string whole = read_text(tar), text = read_text(manifest);
  CHECK(read_text(resumed) == whole);
  run_atrous(again);
  CHECK(read_text(resumed) == whole);
  // As a kill would leave them: two records, and more in the tar than they say.
  std::size_t end = 0;
  for (int line = 0; line < 3; ++line) end = text.find('\n', end) + 1;
  for (const std::size_t more : {std::size_t{0}, std::size_t{100}, std::size_t{5000}}) {
    write_text(manifest, text.substr(0, end));
    const std::size_t packed = lines_of(manifest).back()["packed"];
    std::filesystem::remove(resumed);
    write_text(resumed + ".part", whole.substr(0, std::min(whole.size(), packed + more)));
    run_atrous(again);
    CHECK(read_text(resumed) == whole);
    CHECK(!std::filesystem::exists(resumed + ".part"));
  }
  write_text(manifest, text.substr(0, end));
  std::filesystem::remove(resumed);
  write_text(resumed + ".part", "short");
  refuse(1, again, {resumed + ".part: has 5 bytes"});
}

TEST_CASE_FIXTURE(Bench, "names of any length fit into a pack") {
  const std::string deep = folder / "deep", tar = folder / "all.tar";
  const std::string names[] = {
      std::string(90, 'a'), std::string(120, 'b') + "/" + std::string(60, 'c'),
      std::string(120, 'd') + "/" + std::string(120, 'e') + "/" + std::string(100, 'f'),
      std::string(200, 'g')};
  for (const std::string& name : names) {
    const std::string path = deep + "/" + name + ".png";
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_file(path, encode_png(dog_photo));
  }
  succeed(segment({deep, "-r", "--labels", "--no-mask", "--no-overlay", "-q", "--pack", tar}));
  const std::string list = tar_list(tar);
  for (const std::string& name : names) CHECK(mentions(list, name + ".labels.png"));
}

TEST_CASE_FIXTURE(ManyBench, "what does not go with shards, manifests and packs is refused") {
  for (const char* shard :
       {"0/3", "4/3", "1", "1/", "/3", "a/b", "1/0", "1/3/4", "-1/3", "1/99999999999", ""})
    refuse(2, labels({"--shard", shard}), {"--shard"});
  refuse(2, labels({"--pack", folder / "a.tar", "-o", out}), {"--pack does not go with -o"});
  refuse(2, labels({"--resume", manifest, "--json", "-"}), {"--resume does not go with --json"});
  refuse(2, segment({"-", "--pack", folder / "a.tar"}), {"--pack does not go with standard input"});
  refuse(2, labels({"--pack", folder / "a.tar", "--tile", "32"}), {"--pack does not go with --tile"});
  refuse(1, labels({"--pack", folder / "nowhere/a.tar"}), {"there is no folder"});
}

TEST_CASE_FIXTURE(ManyBench, "schedulers say which shard a process is, without gaps or steps") {
  using Environment = std::vector<std::pair<std::string, std::string>>;
  const auto asked = [&](const Environment& environment) {
    return run_atrous(labels({"--shard", "auto", "-o", out, "--skip-broken"}), {.environment = environment});
  };
  const auto slurm = [](const char* id, const char* low, const char* high, const char* count,
                        const char* step) {
    return Environment{{"SLURM_ARRAY_TASK_ID", id},
                       {"SLURM_ARRAY_TASK_MIN", low},
                       {"SLURM_ARRAY_TASK_MAX", high},
                       {"SLURM_ARRAY_TASK_COUNT", count},
                       {"SLURM_ARRAY_TASK_STEP", step}};
  };
  const auto is = [&](const Environment& environment, const char* said, const Names& written) {
    std::filesystem::remove_all(out);
    const ProcessResult r = asked(environment);
    CAPTURE(r.errors);
    CHECK(mentions(r.errors, said));
    CHECK(names_in(out) == written);
  };
  const Names second{"1.labels.png", "4.labels.png"};  // of 3
  is(slurm("2", "1", "3", "3", "1"), "shard 2 of 3, by Slurm's job array (SLURM_ARRAY_TASK_ID)", second);
  is(slurm("11", "10", "12", "3", "1"), "shard 2 of 3", second);
  is({{"JOB_COMPLETION_INDEX", "1"}, {"JOB_COMPLETIONS", "3"}}, "shard 2 of 3, by Kubernetes' indexed job",
     second);
  is({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "3"}}, "shard 2 of 3, by Open MPI", second);
  is({{"PMI_RANK", "1"}, {"PMI_SIZE", "3"}}, "shard 2 of 3, by PMI", second);
  const auto refused = [&](const Environment& environment, const char* said) {
    const ProcessResult r = asked(environment);
    CHECK_MESSAGE(mentions(r.errors, said), said, ": ", r.errors);
    CHECK(r.exit_code == 2);
  };
  refused(slurm("3", "1", "5", "3", "2"), "SLURM_ARRAY_TASK_STEP is 2, expected an array of step 1");
  refused(slurm("3", "1", "7", "3", "1"), "expected an array without gaps");
  refused(slurm("x", "1", "3", "3", "1"), "SLURM_ARRAY_TASK_ID is x, expected a whole number");
  refused({{"JOB_COMPLETION_INDEX", "3"}, {"JOB_COMPLETIONS", "3"}},
          "JOB_COMPLETION_INDEX is 3, expected 0 to 2");
  refused({{"JOB_COMPLETION_INDEX", "3"}}, "has no JOB_COMPLETIONS here");
  refused({}, "the environment has none of SLURM_ARRAY_TASK_ID");
}

TEST_CASE_FIXTURE(ManyBench, "shards of eval merge to the whole run's files and report") {
  const std::string truths = folder / "truths", whole = folder / "whole", merged = folder / "merged";
  std::filesystem::create_directory(truths);
  for (unsigned i = 0; i < 5; ++i) {
    LabelMap map{40, 30 + static_cast<int>(i), {}};
    for (int p = 0; p < map.width * map.height; ++p)
      map.labels.push_back(static_cast<std::uint8_t>(p / 7 % 5));
    write_text(truths + "/" + std::to_string(i) + ".png", labels_png(map));
  }
  const auto eval = [&](const Arguments& more) {
    return Arguments{"eval",        "-m",        checkpoint, "--threads", "1",
                     "--no-resize", "--dataset", "pairs",    many,        truths} +
           more;
  };
  const auto outputs = [](const std::string& to) {
    return Arguments{"--json", to + ".json", "--csv", to + ".csv", "--images-csv", to + ".images.csv"};
  };
  run_atrous(eval({"-q", "--report", whole}) + outputs(whole));
  Arguments states;
  for (const char* shard : {"1/2", "2/2"}) {
    states.push_back(folder / ("state" + std::string(shard, 1)));
    const ProcessResult r =
        run_atrous(eval({"--shard", shard, "--resume", states.back(), "--report", merged}));
    CHECK(r.exit_code == 0);
    CHECK(mentions(r.output, "shard " + std::string(shard, 1) + " of 2: "));
  }
  run_atrous(Arguments{"merge", "-q", "--report", merged} + states + outputs(merged));
  CHECK(read_text(merged + ".csv") == read_text(whole + ".csv"));
  const auto numbers = [](const std::string& path) {
    Json json = Json::parse(read_text(path));
    json.erase("seconds");
    for (Json& image : json["per_image"]) image.erase("seconds");
    return json;
  };
  CHECK(numbers(merged + ".json") == numbers(whole + ".json"));
  CHECK(names_in(merged + "/images") == names_in(whole + "/images"));
  CHECK(std::filesystem::exists(merged + "/index.html"));
  const ProcessResult table = run_atrous(Arguments{"merge"} + states);
  CHECK(mentions(table.output, "4 images"));
  CHECK(mentions(table.errors, "1 of 5 images failed"));

  refuse(1, {"merge", states[0]}, {"of 2 shards 1 is missing, number 2"});
  CHECK(mentions(run_atrous({"merge", "--partial", states[0]}).output,
                 "partial: 2 of 5 images are not there yet"));
  refuse(1, {"merge", states[0], states[0]}, {states[0], "both of shard 1 of 2"});
  refuse(2, eval({"--shard", "1/2"}), {"--resume"});
  refuse(2, eval({"--shard", "1/2", "--resume", folder / "x", "--json", "-"}), {"--json", "atrous merge"});
  refuse(2, Arguments{"merge", "--results", "-"} + states, {"--results"});
  run_atrous(labels({"-o", out, "--resume", manifest, "--skip-broken"}));
  refuse(1, {"merge", manifest}, {manifest, "kind pictures"});
  write_text(folder / "x", "no state");
  refuse(1, {"merge", folder / "x"}, {"is not the state of a run"});
}

TEST_CASE_FIXTURE(InstanceBench,
                  "shards of a model that finds instances merge to COCO's figures of the whole run") {
  succeed(eval({"-q", "--results", results, "--json", folder / "whole.json"}));
  Arguments states;
  for (const char* shard : {"1/2", "2/2"}) {
    states.push_back(folder / ("state" + std::string(shard, 1)));
    succeed(eval({"-q", "--shard", shard, "--resume", states.back()}));
  }
  const Arguments merge = Arguments{"merge",     "-q",
                                    "--results", folder / "merged.results",
                                    "--json",    folder / "merged.json",
                                    "--report",  folder / "pages"} +
                          states;
  succeed(merge);
  const bool is_same = read_text(folder / "merged.results") == read_text(results);
  CHECK(is_same);
  const auto numbers = [](const std::string& path) {
    Json json = Json::parse(read_text(path));
    json.erase("seconds");
    return json;
  };
  CHECK(numbers(folder / "merged.json") == numbers(folder / "whole.json"));
  CHECK(std::filesystem::exists(folder / "pages/index.html"));
  CHECK(mentions(run_atrous({"merge", "--partial", states[0]}).output,
                 "partial: 1 of 3 images are not there yet"));
}

}  // namespace atrous::shards_test
