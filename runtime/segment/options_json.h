// How photos were segmented, in what programs read.
#pragma once

#include "layers/networks/preparation.h"
#include "runtime/segment/test_protocol.h"
#include "weights_tools/io/json.h"

namespace atrous {

JsonText crf_json(const CrfParameters&);
JsonText protocol_json(const TestProtocol&);

}  // namespace atrous
