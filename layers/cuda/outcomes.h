// What came of the problems that a convolution was asked about, each found once: for several threads, and as
// long as the convolution, since recordings may run a plan's code.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "layers/cuda/conv/conv2d_call.h"

namespace atrous::cuda {

template <class Outcome>
class Outcomes {
 public:
  // find(): std::shared_ptr<const Outcome>, which other convolutions may have, too.
  template <class Find>
  const Outcome& of(const Conv2dProblem& problem, Find find) const {
    const std::lock_guard lock(lock_);
    std::shared_ptr<const Outcome>& outcome = outcomes_[problem.key()];
    if (!outcome) outcome = find();
    return *outcome;
  }

 private:
  mutable std::mutex lock_;
  mutable std::map<decltype(Conv2dProblem{}.key()), std::shared_ptr<const Outcome>> outcomes_;
};

}  // namespace atrous::cuda
