#include <csignal>
#include <exception>

#include "cli/application.h"
#include "layers/base/visible_text.h"
#include "layers/cpu/parallel.h"

namespace {

using namespace atrous::cli;

int failed(std::string_view sentence, int status) {
  complain(sentence);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  atrous::work_without_openmp();
  // A reader that goes away (| head) is an error on write, not a death.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return parse(argc, argv)();
  } catch (const UsageError& error) {
    return failed(atrous::visible(error.sentence), 2);
  } catch (const std::bad_alloc&) {
    return failed("out of memory", 1);
  } catch (const std::exception& error) {
    return failed(error.what(), 1);
  }
}
