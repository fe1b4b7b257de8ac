// Ctrl-C and SIGTERM, for verbs that end in order: what is begun is finished, and said.
#pragma once

namespace atrous::cli {

// The first signal from here on is only remembered, for stopping_signal(); the second ends the process.
void stop_on_signals();

// Its number, or 0.
int stopping_signal();

}  // namespace atrous::cli
