// Files as publishers' training code writes them: the network in a dictionary beside an optimizer, under the
// prefix of DataParallel, or plain. ../shared/docs/networks-semantic.md lists what each writes.
#include "runtime/segment/model.h"
#include "tests/support/weights_helpers.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/seeded.h"

namespace atrous::publishers_test {

using namespace atrous::weights_testing;

namespace {

// Storages are numbered by their order.
struct File {
  Items storages;

  // A dictionary of the state dict's tensors.
  Bytes weights(const StateDict& state, const std::string& prefix = "") {
    Items items;
    for (const auto& [key, value] : state.entries()) {
      const std::string name = std::to_string(storages.size());
      std::vector<std::int64_t> strides(value.shape.size());
      std::int64_t step = 1;
      for (std::size_t i = strides.size(); i-- > 0; step *= value.shape[i]) strides[i] = step;
      const char* type = value.dtype == DType::i64 ? "LongStorage" : "FloatStorage";
      items.emplace_back(prefix + key,
                         tensor(storage(name, value.elements(), type), 0, value.shape, strides));
      storages.emplace_back(name, bytes_of(value));
    }
    return dict(items);
  }

  Bytes saved(const Bytes& value) const { return pth_zip(pickled(value), storages); }
};

Bytes optimizer() { return dict({{"param_groups", dict({{"lr", num(1)}})}}); }

StateDict narrow(const char* variant) { return seeded_state(variant, {.classes = 3, .width = 4}); }

Model load(const Bytes& file, const std::string& name) {
  return load_model(as_bytes(file), name, {.threads = 1});
}

bool mentions(const std::string& sentence, std::string_view part) {
  return sentence.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("pytorch-fcn's training checkpoint names its class under arch, which settles 8s against at-once") {
  const StateDict state = narrow("fcn8s-wkentaro");
  for (const auto& row : {std::pair{"FCN8sAtOnce", "fcn8s-atonce-wkentaro"}, {"FCN8s", "fcn8s-wkentaro"}}) {
    File file;
    const Bytes model = file.weights(state);
    const Model read = load(file.saved(dict({{"epoch", num(3)},
                                             {"iteration", num(9)},
                                             {"arch", str(row.first)},
                                             {"optim_state_dict", optimizer()},
                                             {"model_state_dict", model},
                                             {"best_mean_iu", num(0)}})),
                            "model_best.pth.tar");
    CHECK(read.architecture == row.second);
    CHECK(mentions(read.choice, row.first));
  }
  File plain;
  const Bytes published = plain.weights(state);
  CHECK(load(plain.saved(published), "fcn8s-atonce_from_caffe.pth").architecture == "fcn8s-atonce-wkentaro");
  CHECK(load(plain.saved(published), "fcn8s_from_caffe.pth").architecture == "fcn8s-wkentaro");
}

TEST_CASE("semseg's checkpoint: DistributedDataParallel's prefix, beside an optimizer") {
  File file;
  const Bytes model = file.weights(narrow("pspnet-semseg-resnet(1,1,1,1)"), "module.");
  const Bytes bytes =
      file.saved(dict({{"epoch", num(100)}, {"state_dict", model}, {"optimizer", optimizer()}}));
  CHECK(load(bytes, "train_epoch_100.pth").architecture == "pspnet-semseg-resnet(1,1,1,1)");
  const Checkpoint read = load_checkpoint(as_bytes(bytes), "train_epoch_100.pth");
  REQUIRE(read.notes.size() == 2);
  CHECK(read.notes[0] == "took the weights under state_dict.module");
  CHECK(mentions(read.notes[1], "optimizer"));
}

TEST_CASE(
    "deeplab-pytorch's files are plain, with MSC's prefix base, or none after a conversion from Caffe") {
  const StateDict state = narrow("deeplabv2-kazuto-resnet(1,1,1,1)-msc");
  File msc, parallel, bare;
  CHECK(load(msc.saved(msc.weights(state)), "deeplabv2_resnet101_msc-vocaug-20000.pth").architecture ==
        "deeplabv2-kazuto-resnet(1,1,1,1)-msc");
  CHECK(load(parallel.saved(parallel.weights(state, "module.")), "a.pth").architecture ==
        "deeplabv2-kazuto-resnet(1,1,1,1)-msc");
  const StateDict without = narrow("deeplabv2-kazuto-resnet(1,1,1,1)");
  const Bytes model = bare.weights(without);
  CHECK(load(bare.saved(dict({{"state_dict", model}, {"epoch", num(1)}})), "a.pth").architecture ==
        "deeplabv2-kazuto-resnet(1,1,1,1)");
}

TEST_CASE("PyTorch-Encoding's training checkpoint") {
  File file;
  const Bytes model = file.weights(narrow("encnet-resnet(1,1,1,1)s"));
  const Bytes bytes = file.saved(
      dict({{"epoch", num(1)}, {"state_dict", model}, {"optimizer", optimizer()}, {"best_pred", num(0)}}));
  CHECK(load(bytes, "model_best.pth.tar").architecture == "encnet-resnet(1,1,1,1)s");
}

}  // namespace atrous::publishers_test
