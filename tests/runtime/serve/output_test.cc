#include "runtime/serve/output.h"

#include "doctest/doctest.h"
#include "runtime/serve/problem.h"

namespace atrous::serve {

TEST_CASE("the closest range of Accept gives a type's weight (RFC 9110, 12.5.1)") {
  // The example of the RFC, with types of ours.
  const char* accept = "image/*;q=0.3, image/png;q=0.7, image/png;level=1, */*;q=0.5";
  CHECK(weight_of(accept, "image/jpeg") == 0.3);
  CHECK(weight_of(accept, "application/json") == 0.5);
  CHECK(weight_of("", "image/png") == 1);
  CHECK(weight_of("text/html", "image/png") == 0);
  CHECK(weight_of("IMAGE/PNG ; Q=0.25", "image/png") == 0.25);
  CHECK(weight_of("image/png;q=0", "image/png") == 0);
  CHECK(weight_of("*/*, image/png;q=0.1", "image/png") == 0.1);
  CHECK(weight_of(",,;,", "image/png") == 0);
}

TEST_CASE("Accept chooses where ?output= does not") {
  CHECK(wanted_output("", "").output == Output::json);
  CHECK(wanted_output("", "*/*").output == Output::json);
  CHECK(wanted_output("", "image/png").output == Output::labels);
  CHECK(wanted_output("", "image/*").output == Output::labels);
  CHECK(wanted_output("", "image/jpeg").output == Output::overlay);
  CHECK(wanted_output("", "image/jpeg").type == "image/jpeg");
  CHECK(wanted_output("", "application/json;q=0.5, image/png").output == Output::labels);
  CHECK(wanted_output("", "image/avif,image/webp,*/*;q=0.8").output == Output::json);
  CHECK_THROWS_AS(wanted_output("", "text/html"), Problem);
  CHECK_THROWS_AS(wanted_output("", "image/png;q=0"), Problem);
}

TEST_CASE("?output= comes before Accept, which then chooses an overlay's format alone") {
  CHECK(wanted_output("mask", "application/json").output == Output::mask);
  CHECK(wanted_output("mask", "image/jpeg").type == "image/png");
  CHECK(wanted_output("overlay", "*/*").type == "image/png");
  CHECK(wanted_output("overlay", "image/jpeg").type == "image/jpeg");
  CHECK(wanted_output("instances", "text/html").type == "application/json");
  for (const char* wrong : {"depth", "JSON", "labels,mask", " json"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(wanted_output(wrong, ""), Problem);
  }
}

TEST_CASE("?include= lists pictures") {
  CHECK(parts_of_include("").empty());
  CHECK(parts_of_include("labels, confidence,labels") == std::vector<std::string>{"labels", "confidence"});
  CHECK(parts_of_include("instance_map") == std::vector<std::string>{"instance_map"});
  CHECK_THROWS_AS(parts_of_include("labels,,confidence"), Problem);
  CHECK_THROWS_AS(parts_of_include("overlay"), Problem);
}

}  // namespace atrous::serve
