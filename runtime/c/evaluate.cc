#include <cstddef>

#include "runtime/c/handles.h"
#if ATROUS_HAS_EVALUATION
#include <atomic>

#include "runtime/evaluation/evaluate.h"
#include "runtime/evaluation/evaluation_json.h"
#endif

namespace atrous::c {

namespace {

#if ATROUS_HAS_EVALUATION
std::string evaluated(const NamedModel& named, const std::string& kind, const std::string& root,
                      const atrous_evaluate_options& o) {
  if (o.limit < 0) fail(ErrorCode::invalid_argument, "limit: expected 0 or more, found ", o.limit);
  if (named.model.task() == Task::instances)
    fail(ErrorCode::unsupported, named.model.architecture,
         " finds instances, the data sets here have label maps");
  Dataset dataset = open_dataset(kind, root, {.set = text(o.set), .labels = text(o.labels)});
  const std::size_t listed = dataset.samples.size(), limit = static_cast<std::size_t>(o.limit);
  if (limit > 0 && limit < listed) dataset.samples.resize(limit);
  EvaluateOptions options;
  options.session.threads = thread_count(o.threads);
  options.resize = resize_rule(o.resize, o.width, o.height);
  options.at_original = o.at_original != 0;
  options.strict = o.strict != 0;
  if (o.threshold != 0) options.threshold = o.threshold;
  if (o.crf) options.crf = crf_of_model(o.crf, named.model);
  if (o.protocol) options.protocol = test_protocol(*o.protocol, named.model);
  options.tiling = tiling(o.tile, o.overlap);
  options.model = named.name.substr(named.name.find_last_of('/') + 1);
  options.dataset = described(dataset, listed);
  std::atomic<bool> stop = false;
  EvaluateCallbacks callbacks;
  callbacks.stop = [&] { return stop.load(); };
  callbacks.progress = [&](const EvaluateProgress& p) {
    if (o.progress && o.progress(o.user, p.done, p.all) != 0) stop = true;
  };
  Model model = named.model;
  take_names(model, dataset);
  return evaluation_json(evaluate(model, dataset, options, callbacks));
}
#else
std::string evaluated(const NamedModel&, const std::string&, const std::string&,
                      const atrous_evaluate_options&) {
  fail(ErrorCode::unsupported, "evaluation: this library was built without it");
}
#endif

}  // namespace

}  // namespace atrous::c

using namespace atrous::c;

extern "C" atrous_status atrous_evaluate(const atrous_model* model, const char* kind, const char* root,
                                         const atrous_evaluate_options* options, atrous_bytes** json) {
  return made(json, [&] {
    const NamedModel& named = *given(model, "model").named;
    const std::string text =
        evaluated(named, &given(kind, "kind"), &given(root, "root"),
                  options_of(options, "atrous_evaluate_options", offsetof(atrous_evaluate_options, crf)));
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    return bytes_of({bytes, bytes + text.size()});
  });
}
