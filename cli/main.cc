#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>

#include "cli/application.h"
#include "layers/base/visible_text.h"

namespace {

using namespace atrous::cli;

#if ATROUS_HAS_OPENMP
// libgomp's threads spin for long where they wait for each other. On a machine with something else to do that
// costs a network of many small layers twenty times its time, and a short spin costs nothing measurable. The
// library reads this setting before main, so the program starts itself once more.
void spin_briefly(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  if (setenv("GOMP_SPINCOUNT", "1000", 0) == 0) execv("/proc/self/exe", argv);
}  // where that cannot be done, it goes on as it is
#else
void spin_briefly(char**) {}
#endif

int failed(std::string_view sentence, int status) {
  complain(sentence);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  spin_briefly(argv);
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
