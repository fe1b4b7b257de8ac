// atrous-serve -m MODEL: the command line.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <exception>
#include <new>
#include <sstream>

#include "cli/cli.h"
#include "cli/model_argument.h"
#include "cli/names.h"
#include "cli/stop_signals.h"
#include "layers/base/visible_text.h"
#include "layers/cpu/parallel.h"
#include "runtime/engine/program.h"
#include "runtime/engine/version.h"
#include "runtime/serve/options.h"
#include "runtime/serve/server.h"

namespace atrous::serve {

namespace {

using cli::UsageError;

ServerOptions server_options(const Arguments& a) {
  ServerOptions options;
  options.listen = parse_listen_address(a.listen);
  if (!a.token_file.empty()) options.tokens = Tokens::of_file(a.token_file);
  if (!options.listen.loopback() && !options.tokens.asked_for() && !a.no_token)
    throw UsageError{"--listen: " + a.listen +
                     " is not loopback: give --token-file FILE, or --no-token where anybody may ask"};
  options.hosts = a.hosts;
  options.origins = Origins(a.origins);
  options.model_name = a.run.model.substr(a.run.model.rfind('/') + 1);
  options.queue = static_cast<std::size_t>(a.queue);
  options.timeout = std::chrono::seconds(a.timeout);
  options.max_body = cli::parse_bytes(a.max_body);
  options.max_pixels = std::int64_t{a.max_megapixels} * 1'000'000;
  options.refinements = {.runs = static_cast<double>(a.max_runs),
                         .crf_pixels = std::int64_t{a.max_crf_megapixels} * 1'000'000};
  options.log = a.log;
  options.connections.connections = static_cast<std::size_t>(a.connections);
  options.connections.buffers =
      std::max<std::size_t>(options.connections.buffers, 4 * static_cast<std::size_t>(options.max_body));
  return options;
}

// Threads and memory are divided among the sessions.
void divide(const Arguments& a, const Model& model, ServerOptions& options) {
  options.sessions = a.sessions > 0 ? static_cast<std::size_t>(a.sessions) : model.program->device ? 4 : 2;
  options.session = a.run.session_options();
  const int sessions = static_cast<int>(options.sessions);
  const int threads = resolve_threads(options.session.threads);
  options.session.threads = model.program->device ? 1 : std::max(1, threads / sessions);
  options.session.memory_limit /= options.sessions;
}

// Buffers of bodies and pictures go back to the system as they are freed, whichever thread had them, so that
// the memory of a busy hour is not kept.
void give_memory_back() {
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 20);
  mallopt(M_ARENA_MAX, 4);
}

int run(const Arguments& a) {
  ServerOptions options = server_options(a);
  Model model = cli::open_model(a.run.model, a.run.model_options());
  if (!a.quiet) cli::notify_choice(a.run.model, model);
  cli::apply_names(model, a.classes, a.palette);
  a.normalise.apply(model.preparation);
  if (const auto rule = a.size.rule()) {
    if (model.task() == Task::instances)
      throw UsageError{
          "--resize, --size, --no-resize: of a network that finds instances --arch min_size=480 says the "
          "size"};
    model.preparation.resize = *rule;
  }
  divide(a, model, options);
  cli::stop_on_signals();
  serve(
      model, options,
      [&](int port) {
        const std::string& address = options.listen.address;
        const bool v6 = address.find(':') != address.npos;
        if (!a.quiet) cli::print(str_cat("http://", v6 ? "[" : "", address, v6 ? "]" : "", ":", port, '\n'));
      },
      [] { return cli::stopping_signal() != 0; });
  return 0;
}

int parse_and_run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(std::string(program_summary), "atrous-serve");
  app.set_version_flag("--version", str_cat("atrous-serve ", version()));
  cli::Verb verb(app);
  add_options(verb, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    std::ostringstream said;
    said.imbue(std::locale::classic());
    app.exit(success, said, said);
    cli::print(said.str());
    return 0;
  } catch (const CLI::ParseError& error) {
    throw UsageError{error.what()};
  }
  return run(arguments);
}

int failed(std::string_view sentence, int status) {
  cli::complain(sentence);
  return status;
}

}  // namespace

}  // namespace atrous::serve

int main(int argc, char** argv) {
  using namespace atrous;
  work_without_openmp();
  serve::give_memory_back();
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return serve::parse_and_run(argc, argv);
  } catch (const cli::UsageError& error) {
    return serve::failed(visible(error.sentence), 2);
  } catch (const std::bad_alloc&) {
    return serve::failed("out of memory", 1);
  } catch (const std::exception& error) {
    return serve::failed(error.what(), 1);
  }
}
