// atrous networks
#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "layers/networks/segmentation.h"
#include "runtime/image/preprocess.h"
#include "weights_tools/metadata.h"

namespace atrous::cli {

namespace {

// What photos become where a checkpoint does not say otherwise, for networks of as many classes as published.
Preparation preparation_of(const Family& family) {
  return published_network(family, family.variants.front()).network.preparation;
}

std::string in_words(const std::vector<Hyper::Choice>& choices) {
  std::string out;
  for (const Hyper::Choice& choice : choices)
    out += text(out.empty() ? "" : ",", choice.key, "=", choice.value);
  return out;
}

std::vector<const PublishedCheckpoint*> published_of(const Family& family, std::string_view variant) {
  std::vector<const PublishedCheckpoint*> found;
  for (const PublishedCheckpoint& checkpoint : family.published)
    if (checkpoint.name == variant) found.push_back(&checkpoint);
  return found;
}

std::string listing() {
  std::string out;
  for (const Family& family : families()) {
    const Preparation preparation = preparation_of(family);
    out += text(out.empty() ? "" : "\n", family.title, ": ", family.source, "\n",
                in_words(preparation.resize), ", ", in_words(preparation), "\n\n");
    Table table({"network", "assumes", "MiB", "mIoU", "published as"});
    for (const std::string_view variant : family.variants) {
      const std::string name(variant), assumed = in_words(published_network(family, variant).network.choices);
      const auto published = published_of(family, variant);
      if (published.empty()) table.add({name, assumed, "", "", ""});
      for (const PublishedCheckpoint* p : published)
        table.add({name, assumed, text(p->mebibytes), fixed(p->miou, 1), std::string(p->file)});
    }
    out += table.plain();
  }
  return out;
}

nlohmann::ordered_json in_json(const Family& family, std::string_view variant) {
  nlohmann::ordered_json out{{"name", variant}, {"hyper", nlohmann::ordered_json::object()}};
  const PublishedNetwork network = published_network(family, variant);
  for (const Hyper::Choice& choice : network.network.choices) out["hyper"][choice.key] = choice.value;
  out["classes"] = network.network.classes;
  out["tensors"] = network.keys.size();
  const auto published = published_of(family, variant);
  for (std::size_t i = 0; i < published.size(); ++i) {
    const PublishedCheckpoint& p = *published[i];
    const nlohmann::ordered_json one{
        {"file", p.file},
        {"url",
         p.folder == by_hand ? nlohmann::ordered_json() : nlohmann::ordered_json(text(p.folder, p.file))},
        {"mebibytes", p.mebibytes},
        {"miou", p.miou},
        {"data", p.data}};
    if (i == 0)
      out["published"] = one;
    else
      out["also_published"].push_back(one);
  }
  return out;
}

std::string report() {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Family& family : families()) {
    const Preparation preparation = preparation_of(family);
    nlohmann::ordered_json variants = nlohmann::ordered_json::array();
    for (const std::string_view variant : family.variants) variants.push_back(in_json(family, variant));
    all.push_back({{"family", family.name},
                   {"title", family.title},
                   {"source", family.source},
                   {"task", name_of(family.task)},
                   {"preprocessing",
                    {{"resize", in_words(preparation.resize)},
                     {"order", name_of(preparation.order)},
                     {"range", preparation.range},
                     {"mean", preparation.mean},
                     {"std", preparation.std}}},
                   {"variants", variants}});
  }
  return all.dump(2) + '\n';
}

}  // namespace

Action add_networks(CLI::App& verb) {
  auto json = std::make_shared<bool>(false);
  verb.add_flag("--json", *json, "Print JSON");
  verb.footer(
      "The networks that atrous runs, by family: each name may stand behind seeded: for random weights, and "
      "in\n"
      "atrous bench. FCN and DeepLabV3 also run on ResNets of other depths, as fcn_resnet(2,2,3,2). What "
      "the\n"
      "weights do not say is assumed as listed; --arch os=16 gives something else.\n\n"
      "Examples:\n"
      "  atrous networks | grep resnet50\n"
      "  atrous networks --json > networks.json");
  return [json] {
    print(*json ? report() : listing());
    return 0;
  };
}

}  // namespace atrous::cli
