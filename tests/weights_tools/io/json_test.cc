#include "weights_tools/io/json.h"

#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "layers/base/error.h"

namespace atrous::json_test {

namespace {

// What is parsed, written again.
std::string again(std::string_view json) { return json_text(parse_json(json, 8, "it").value()).text; }

// The events in one line.
struct Recorder final : JsonEvents {
  std::string seen;
  void add(const auto&... parts) { seen += str_cat(parts..., ' '); }
  void null() override { add("null"); }
  void boolean(bool v) override { add(v ? "true" : "false"); }
  void negative_integer(std::int64_t v) override { add(v); }
  void natural_number(std::uint64_t v) override { add('+', v); }
  void floating_point(double v, std::string_view digits) override { add(v, '=', digits); }
  void string(std::string& v) override { add('"', v, '"'); }
  void start_object() override { add('{'); }
  void key(std::string& v) override { add(v, ':'); }
  void end_object() override { add('}'); }
  void start_list() override { add('['); }
  void end_list() override { add(']'); }
  void malformed(std::size_t position) override { add("malformed@", position); }
};

}  // namespace

TEST_CASE("values become JSON by themselves") {
  CHECK(JsonText().text == "null");
  CHECK(JsonText(nullptr).text == "null");
  CHECK(JsonText(true).text == "true");
  CHECK(JsonText(-3).text == "-3");
  CHECK(JsonText(std::numeric_limits<std::uint64_t>::max()).text == "18446744073709551615");
  CHECK(JsonText(2.0).text == "2.0");
  CHECK(JsonText(0.1).text == "0.1");
  CHECK(JsonText(1e-5).text == "1e-05");
  CHECK(JsonText(std::numeric_limits<double>::infinity()).text == "null");
  CHECK(JsonText(std::numeric_limits<double>::quiet_NaN()).text == "null");
  CHECK(JsonText("a pointer is no boolean").text == "\"a pointer is no boolean\"");
  CHECK(JsonText(std::optional<int>()).text == "null");
  CHECK(JsonText(std::optional<int>(4)).text == "4");
}

TEST_CASE("strings are escaped, and what is no UTF-8 is replaced, refused or kept from ASCII") {
  CHECK(JsonText("\"\\/\b\f\n\r\t\x01").text == R"("\"\\/\b\f\n\r\t\u0001")");
  CHECK(JsonText("a\xff").text == "\"a\xef\xbf\xbd\"");
  CHECK(json_string("\xc3\xa9\xff", Utf8::ascii).text == R"("\u00e9\ufffd")");
  CHECK_THROWS_WITH_AS(json_string("a\xff", Utf8::required),
                       "a\\xff is not UTF-8, and JSON holds nothing else", Error);
}

TEST_CASE("lists and objects hold what they are given, in its order") {
  CHECK(json_list({}).text == "[]");
  CHECK(json_list({1, "two", nullptr}).text == R"([1,"two",null])");
  CHECK(json_list(std::array{1.5F, -2.F}).text == "[1.5,-2.0]");
  CHECK(json_list(std::vector{1, 2}, [](int v) { return v * 2; }).text == "[2,4]");
  JsonText object = json_object();
  CHECK(object.text == "{}");
  add_member(object, "z \"", 1);
  add_member(object, "a", json_object({{"b", true}, {"c", json_list({})}}));
  CHECK(object.text == R"({"z \"":1,"a":{"b":true,"c":[]}})");
}

TEST_CASE("indented JSON is laid out as nlohmann-json lays it out") {
  for (const std::string json :
       {R"({})", R"([])", R"("a, b: [c] {d} \" \\")", R"([[],{},[[]],[1,2]])",
        R"({"a":{"b":[1,{"c":"]}\\"}],"d":{}},"e: ,":null,"f":[{"g":1.5},{"h":"\\\""}]})"}) {
    CAPTURE(json);
    CHECK(indented(JsonText::verbatim(json)) == nlohmann::ordered_json::parse(json).dump(2));
  }
}

TEST_CASE("what is parsed is written as it was") {
  for (const std::string json : {"null", "[true,false]", "-9223372036854775808", "18446744073709551615",
                                 "1.5", R"("\u0001é")", R"({"b":[{},[]],"a":{"":"x"}})"}) {
    CAPTURE(json);
    CHECK(again(json) == json);
  }
  for (const std::string json : {"", "{", "[1,]", "{\"a\":1,}", "1 2", "\"\xff\"", "01", "nul"}) {
    CAPTURE(json);
    CHECK_FALSE(parse_json(json, 8, "it"));
  }
  CHECK_FALSE(parse_json({"1\0", 2}, 8, "it"));
  CHECK_THROWS_WITH_AS(parse_json("[[[1]]]", 2, "it"), "it nests too deep", Error);
  CHECK_THROWS_WITH_AS(parse_json(R"({"a":1,"a":2})", 2, "it"), "it has the key a twice", Error);
}

TEST_CASE("events come in the file's order, from text and from a stream") {
  const std::string json = R"({"a": [null, true, -1, 2, 2.50, "s"], "b": {}})";
  const std::string expected = "{ a: [ null true -1 +2 2.5=2.50 \"s\" ] b: { } } ";
  Recorder from_text, from_stream, broken;
  parse_json(json, from_text);
  CHECK(from_text.seen == expected);
  std::istringstream stream(json);
  parse_json(stream, from_stream);
  CHECK(from_stream.seen == expected);
  parse_json("[1, x]", broken);
  CHECK(broken.seen == "[ +1 malformed@5 ");
}

}  // namespace atrous::json_test
