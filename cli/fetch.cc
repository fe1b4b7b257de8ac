// atrous fetch NAME... and atrous fetch --list

#include "cli/cache.h"
#include "cli/cli.h"
#include "weights_tools/download/store.h"

namespace atrous::cli {

namespace {

struct FetchArguments {
  std::vector<std::string> names;
  FetchOptions how;
  bool list = false;
};

std::string listing() {
  Table table({"name", "file", "MiB", "score", "where"});
  for (const PublishedCheckpoint& p : published_checkpoints())
    table.add({std::string(p.name), std::string(p.file), atrous::str_cat(p.mebibytes), fixed(p.score, 1),
               stored_checkpoint(p.name).value_or("not here")});
  return table.plain();
}

int run(const FetchArguments& options) {
  if (options.list) {
    if (!options.names.empty()) throw UsageError{"--list takes no names"};
    print(listing());
    return 0;
  }
  if (options.names.empty()) throw UsageError{"fetch: expected a name or a url, or --list"};
  const std::string& mirror = options.how.url;
  if (options.names.size() > 1 && !mirror.empty() && !mirror.ends_with('/'))
    throw UsageError{"--url names one file, but several are to be fetched: a folder's url ends in a slash"};
  for (const std::string& name : options.names) print(fetch_checkpoint(name, options.how) + '\n');
  return 0;
}

}  // namespace

Action add_fetch(Verb& verb) {
  auto options = std::make_shared<FetchArguments>();
  verb.add_option("names", options->names, "Published checkpoints by name, or urls of files")
      .type_name("NAME");
  verb.add_option("--url", options->how.url,
                  "A mirror: a folder's url, ending in a slash, or the url of the file itself")
      .type_name("URL");
  verb.add_flag("--list", options->list, "List the published checkpoints and where they are");
  verb.add_flag("--force", options->how.force, "Download again what is there already");
  verb.add_flag("-q,--quiet", options->how.quiet, "No progress and no notices");
  verb.footer(
      "Prints the path of each file. Downloads go to $ATROUS_CACHE, else $XDG_CACHE_HOME/atrous, else\n"
      "~/.cache/atrous; what torch.hub has downloaded before is used where it lies. The sha256 is checked, "
      "and a\n"
      "download that broke off is resumed. Needs curl.\n\n"
      "Examples:\n"
      "  atrous fetch deeplabv3_resnet101\n"
      "  atrous segment dog.jpg -m $(atrous fetch lraspp_mobilenet_v3_large)");
  return [options] { return run(*options); };
}

}  // namespace atrous::cli
