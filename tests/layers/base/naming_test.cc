#include "layers/base/naming.h"

#include <string>

#include "doctest/doctest.h"

namespace atrous::naming_test {

namespace {

std::string sentence_of(auto&& step) {
  try {
    step();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("what a step is about stands before the sentence of its error, whose code stays") {
  const auto fails = [] { fail(ErrorCode::mismatch, "expected 3, found 4"); };
  CHECK(sentence_of([&] { naming(std::string("a\n.png"), fails); }) == "a\\x0a.png: expected 3, found 4");
  try {
    naming("a.png", fails);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::mismatch);
  }
  CHECK(naming("a.png", [] { return 7; }) == 7);
}

TEST_CASE("an error of the code that names itself passes as it is") {
  const auto fails = [] { fail(ErrorCode::io, "b.png: cannot open"); };
  CHECK(sentence_of([&] { naming("a.json", fails, ErrorCode::io); }) == "b.png: cannot open");
  CHECK(sentence_of([&] { naming("a.json", fails, ErrorCode::limit); }) == "a.json: b.png: cannot open");
}

}  // namespace atrous::naming_test
