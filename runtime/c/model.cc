#include <filesystem>

#include "runtime/c/handles.h"
#include "runtime/engine/open_device.h"
#include "runtime/segment/named_model.h"
#include "weights_tools/io/file.h"
#if ATROUS_HAS_FETCH
#include "weights_tools/download/store.h"
#endif

namespace atrous::c {

namespace {

Precision precision_of(const std::string& name) {
  for (const Precision p :
       {Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16, Precision::int8})
    if (name == name_of(p)) return p;
  fail(ErrorCode::invalid_argument, "precision ", name, ": expected fp32, bf16, int8, tf32 or fp16");
}

ModelOptions model_options(const atrous_model_options& o) {
  ModelOptions options{.name = text(o.name),
                       .hyper = Hyper(text(o.arch)),
                       .threads = thread_count(o.threads),
                       .weights = text(o.weights)};
  const std::string device = o.device ? o.device : "cpu";
  if (o.precision) options.precision = precision_of(o.precision);
  const Precision numbers = options.precision.value_or(Precision::fp32);
  const bool on_cpu = device == "cpu",
             fits = numbers == Precision::fp32 ||
                    on_cpu == (numbers == Precision::bf16 || numbers == Precision::int8);
  if (!fits)
    fail(ErrorCode::invalid_argument, "precision ", name_of(numbers), " is not for the device ", device, ": ",
         on_cpu ? "the processor computes in fp32, bf16 or int8" : "a GPU computes in fp32, tf32 or fp16");
  if (on_cpu) return options;
  options.precision.reset();
  options.device = open_device(device, {.precision = numbers});
  return options;
}

// The file that a word stands for: a published checkpoint's, downloaded where it is not here, or a path.
std::string path_of_word(const std::string& name, const atrous_model_options& o) {
#if ATROUS_HAS_FETCH
  if (const PublishedCheckpoint* published = find_published(name)) {
    if (const auto path = stored_checkpoint(name)) return *path;
    if (o.offline) fail(ErrorCode::io, name, ": the checkpoint is not here, and downloads are not allowed");
    bool stopped = false;
    StoreOptions how;
    if (o.progress)
      how.progress = [&](std::uint64_t bytes, std::uint64_t total) {
        stopped = o.progress(o.user, bytes, total) != 0;
        if (stopped) fail(ErrorCode::io, name, ": the download was stopped");
      };
    try {
      return fetch_into_store(remote_file(*published), how);
    } catch (const Error& error) {
      if (!stopped) throw;
      throw Stopped{error.what()};
    }
  }
#else
  static_cast<void>(o);
#endif
  std::error_code ignored;
  if (name.find('/') == name.npos && !std::filesystem::exists(name, ignored))
    fail(ErrorCode::io, name, ": neither a file nor a model's name");
  return name;
}

std::unique_ptr<atrous_model> handle_of(Model model, std::string name) {
  auto named = std::make_shared<NamedModel>();
  named->model = std::move(model);
  named->name = std::move(name);
  for (const Colour& colour : named->model.palette)
    named->palette.insert(named->palette.end(), colour.begin(), colour.end());
  return std::make_unique<atrous_model>(atrous_model{std::move(named)});
}

}  // namespace

int thread_count(std::int32_t threads) {
  if (threads < 0) fail(ErrorCode::invalid_argument, "threads: expected 0 or more, found ", threads);
  return threads;
}

}  // namespace atrous::c

using namespace atrous::c;

extern "C" {

atrous_status atrous_model_load(const char* name_or_path, const atrous_model_options* options,
                                atrous_model** out) {
  return made(out, [&] {
    const std::string name = &given(name_or_path, "name_or_path");
    const atrous_model_options o = options_of(options, "atrous_model_options");
    return handle_of(atrous::load_named_model(name, model_options(o),
                                              [&](const std::string& word) { return path_of_word(word, o); }),
                     name);
  });
}

atrous_status atrous_model_load_memory(const void* file, size_t size, const char* name,
                                       const atrous_model_options* options, atrous_model** out) {
  return made(out, [&] {
    const auto* bytes = static_cast<const std::byte*>(file);
    if (size > 0) given(bytes, "file");
    const std::string called = name ? name : "model";
    const atrous_model_options o = options_of(options, "atrous_model_options");
    return handle_of(atrous::load_model({bytes, size}, called, model_options(o)), called);
  });
}

void atrous_model_free(atrous_model* handle) { delete handle; }

atrous_status atrous_model_get_info(const atrous_model* handle, atrous_model_info* out) {
  return guarded([&] {
    const NamedModel& named = *given(handle, "model").named;
    const atrous::Model& model = named.model;
    atrous_model_info all{};
    all.architecture = model.architecture.c_str();
    all.task = model.task() == atrous::Task::instances ? ATROUS_INSTANCES : ATROUS_SEMANTIC;
    all.classes = static_cast<int32_t>(model.classes.size());
    all.logits = static_cast<int32_t>(model.logits());
    all.background = model.background.value_or(-1);
    all.has_masks = model.has_masks();
    all.palette = named.palette.data();
    std::ranges::copy(model.preparation.mean, all.mean);
    std::ranges::copy(model.preparation.std, all.std);
    all.range = model.preparation.range;
    all.bgr = model.preparation.order == atrous::ChannelOrder::bgr;
    all.weight_bytes = model.packed_bytes();
    fill(out, all, "atrous_model_info");
  });
}

const char* atrous_model_class_name(const atrous_model* handle, int32_t index) {
  if (!handle || index < 0) return nullptr;
  const auto& classes = handle->named->model.classes;
  const auto i = static_cast<std::size_t>(index);
  return i < classes.size() ? classes[i].c_str() : nullptr;
}

atrous_status atrous_session_new(const atrous_model* model, const atrous_session_options* options,
                                 atrous_session** out) {
  return made(out, [&] {
    const atrous_session_options o = options_of(options, "atrous_session_options");
    auto session = std::make_unique<atrous_session>();
    session->named = given(model, "model").named;
    const atrous::Model& loaded = session->named->model;
    const atrous::SessionOptions how{.threads = thread_count(o.threads),
                                     .memory_limit = static_cast<std::size_t>(o.memory_limit)};
    if (loaded.task() == atrous::Task::instances)
      session->instances.emplace(loaded, how);
    else
      session->semantic.emplace(loaded.program, how);
    return session;
  });
}

void atrous_session_free(atrous_session* handle) { delete handle; }

}  // extern "C"
