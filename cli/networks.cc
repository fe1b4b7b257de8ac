// atrous networks
#include <span>

#include "cli/cli.h"
#include "layers/networks/segmentation.h"
#include "runtime/image/preprocess.h"
#include "runtime/instances/detector.h"
#include "weights_tools/io/json_output.h"
#include "weights_tools/metadata.h"

namespace atrous::cli {

namespace {

// What photos become where a checkpoint does not say otherwise, for networks of as many classes as published.
Preparation preparation_of(const Family& family) {
  return published_network(family, family.variants.front()).network.preparation;
}

// What photos become in the network's size.
std::string size_in_words(const Family& family, const Preparation& preparation) {
  const PublishedNetwork published = published_network(family, family.variants.front());
  const auto& two = published.network.two_stage;
  return two ? in_words(two->sides) : in_words(preparation.resize);
}

const char* score_name(const Family& family) { return family.task == Task::semantic ? "mIoU" : "AP"; }

std::string in_words(const std::vector<Hyper::Choice>& choices) {
  std::string out;
  for (const Hyper::Choice& choice : choices)
    out += str_cat(out.empty() ? "" : ",", choice.key, "=", choice.value);
  return out;
}

std::vector<const PublishedCheckpoint*> published_of(const Family& family, std::string_view variant) {
  std::vector<const PublishedCheckpoint*> found;
  for (const PublishedCheckpoint& checkpoint : family.published)
    if (checkpoint.name == variant) found.push_back(&checkpoint);
  return found;
}

std::string table_of_networks() {
  std::string out;
  for (const Family& family : families()) {
    const Preparation preparation = preparation_of(family);
    out += str_cat(out.empty() ? "" : "\n", family.title, ": ", family.source, "\n",
                   size_in_words(family, preparation), ", ", in_words(preparation), "\n\n");
    Table table({"network", "assumes", "MiB", score_name(family), "published as"});
    for (const std::string_view variant : family.variants) {
      const std::string name(variant), assumed = in_words(published_network(family, variant).network.choices);
      const auto published = published_of(family, variant);
      if (published.empty()) table.add({name, assumed, "", "", ""});
      for (const PublishedCheckpoint* p : published)
        table.add({name, assumed, str_cat(p->mebibytes), fixed(p->score, 1), std::string(p->file)});
    }
    out += table.plain();
  }
  return out;
}

JsonText in_json(const PublishedCheckpoint& p, const Family& family) {
  return json_object({{"file", p.file},
                      {"url", p.folder == by_hand ? JsonText() : JsonText(str_cat(p.folder, p.file))},
                      {"mebibytes", p.mebibytes},
                      {family.task == Task::semantic ? "miou" : "ap", p.score},
                      {"data", p.data}});
}

JsonText in_json(const Family& family, std::string_view variant) {
  const PublishedNetwork network = published_network(family, variant);
  JsonText hyper = json_object();
  for (const Hyper::Choice& choice : network.network.choices) add_member(hyper, choice.key, choice.value);
  JsonText out = json_object({{"name", variant},
                              {"hyper", hyper},
                              {"classes", network.network.classes},
                              {"tensors", network.keys.size()}});
  std::vector<JsonText> published;
  for (const PublishedCheckpoint* p : published_of(family, variant)) published.push_back(in_json(*p, family));
  if (!published.empty()) add_member(out, "published", published.front());
  if (published.size() > 1) add_member(out, "also_published", json_list(std::span(published).subspan(1)));
  return out;
}

JsonText in_json(const Family& family) {
  const Preparation preparation = preparation_of(family);
  return json_object({{"family", family.name},
                      {"title", family.title},
                      {"source", family.source},
                      {"task", name_of(family.task)},
                      {"preprocessing", json_object({{"resize", size_in_words(family, preparation)},
                                                     {"order", name_of(preparation.order)},
                                                     {"range", preparation.range},
                                                     {"mean", json_list(preparation.mean)},
                                                     {"std", json_list(preparation.std)}})},
                      {"variants", json_list(family.variants, [&](std::string_view variant) {
                         return in_json(family, variant);
                       })}});
}

std::string report() {
  return json_output(json_list(families(), [](const Family& family) { return in_json(family); }));
}

}  // namespace

Action add_networks(Verb& verb) {
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
    print(*json ? report() : table_of_networks());
    return 0;
  };
}

}  // namespace atrous::cli
