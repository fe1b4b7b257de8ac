#include "cli/stop_signals.h"

#include <csignal>
#include <initializer_list>

namespace atrous::cli {

namespace {

volatile std::sig_atomic_t caught_signal = 0;

}  // namespace

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int signal) { caught_signal = signal; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

int stopping_signal() { return caught_signal; }

}  // namespace atrous::cli
