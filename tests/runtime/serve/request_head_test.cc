#include "runtime/serve/request_head.h"

#include <string>

#include "doctest/doctest.h"
#include "runtime/serve/problem.h"

namespace atrous::serve {

namespace {

// 0 for a head that is taken.
int status_of(const std::string& head) {
  try {
    parse_head(head);
    return 0;
  } catch (const Problem& problem) {
    return problem.status;
  }
}

// A GET with these lines between Host and the end.
std::string with(const std::string& fields) { return "GET / HTTP/1.1\r\nHost: here\r\n" + fields + "\r\n"; }

}  // namespace

TEST_CASE("a head ends at its empty line, and empty lines may stand before it") {
  CHECK_FALSE(head_length(""));
  CHECK_FALSE(head_length("GET / HTTP/1.1\r\nHost: here\r\n"));
  CHECK(head_length("GET / HTTP/1.1\r\n\r\nrest") == 18u);
  CHECK_FALSE(head_length("\r\n\r\n"));
  CHECK(head_length("\r\n\r\nGET / HTTP/1.1\r\n\r\nrest") == 22u);
  CHECK_FALSE(head_length("GET / HTTP/1.1\n\nrest"));
}

TEST_CASE("a head's fields are found whatever their case, spaces around values left out") {
  const RequestHead head = parse_head(
      "POST /v1/segment?output=mask HTTP/1.1\r\nhOST:\t here:80 \r\nCONTENT-LENGTH: 17\r\nexpect: "
      "100-Continue\r\n"
      "Accept: image/png\r\nX-Other: thing\r\nAuthorization: Bearer x\r\nOrigin: http://here:80\r\nRange: "
      "bytes=0-\r\n\r\n");
  CHECK(head.method == "POST");
  CHECK(head.target == "/v1/segment?output=mask");
  CHECK(head.path == "/v1/segment");
  CHECK(head.host == "here:80");
  CHECK(head.origin == "http://here:80");
  CHECK(head.authorization == "Bearer x");
  CHECK(head.content_length == 17);
  CHECK(head.expects_continue);
  CHECK(head.keep_alive);
  CHECK(head.for_httplib == "POST /v1/segment?output=mask HTTP/1.1\r\naccept: image/png\r\n\r\n");
}

TEST_CASE("a connection outlives its answer unless either side says otherwise") {
  CHECK(parse_head(with("")).keep_alive);
  CHECK(parse_head(with("Connection: keep-alive\r\n")).keep_alive);
  CHECK_FALSE(parse_head(with("Connection: Close\r\n")).keep_alive);
  CHECK_FALSE(parse_head(with("Connection: te, close\r\n")).keep_alive);
  CHECK_FALSE(parse_head(with("Connection: te\r\nConnection: close\r\n")).keep_alive);
  CHECK_FALSE(parse_head("GET / HTTP/1.0\r\nHost: here\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}

TEST_CASE("what could be read in two ways is refused") {
  for (const char* head :
       {"GET /\r\nHost: here\r\n\r\n", "GET  / HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: here\r\n\r\n", " GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET / http/1.1\r\nHost: here\r\n\r\n", "GET x HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET http://here/ HTTP/1.1\r\nHost: here\r\n\r\n", "GET /# HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET /\xc3\xa4 HTTP/1.1\r\nHost: here\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\r\n\r\n"}) {
    CAPTURE(head);
    CHECK(status_of(head) == 400);
  }
  for (const char* fields : {"A\r\n",
                             ": b\r\n",
                             "A : b\r\n",
                             " A: b\r\n",
                             "A: b\r\n c\r\n",
                             "A: b\nB: c\r\n",
                             "A: b\rB: c\r\n",
                             "A: \x01\r\n",
                             "A: \x7f\r\n",
                             "Host: here\r\n",
                             "Content-Length: 1\r\nContent-Length: 1\r\n",
                             "Content-Length: \r\n",
                             "Content-Length: 1,1\r\n",
                             "Content-Length: 0x1\r\n",
                             "Content-Length: -1\r\n",
                             "Content-Length: +1\r\n",
                             "Content-Length: 1 1\r\n",
                             "Content-Length: 18446744073709551616\r\n",
                             "Origin: a\r\nOrigin: a\r\n",
                             "Authorization: a\r\nAuthorization: b\r\n"}) {
    CAPTURE(fields);
    CHECK(status_of(with(fields)) == 400);
  }
  CHECK(status_of(with("Content-Length: 18446744073709551615\r\n")) == 0);
  CHECK(status_of(with(std::string("A: \0\r\n", 6))) == 400);
}

TEST_CASE("statuses say what else is wrong with a head") {
  CHECK(status_of("BREW / HTTP/1.1\r\nHost: here\r\n\r\n") == 501);
  CHECK(status_of("TRACE / HTTP/1.1\r\nHost: here\r\n\r\n") == 501);
  CHECK(status_of("GET / HTTP/2.0\r\nHost: here\r\n\r\n") == 505);
  CHECK(status_of("POST / HTTP/1.1\r\nHost: here\r\n\r\n") == 411);
  CHECK(status_of(with("Transfer-Encoding: chunked\r\n")) == 411);
  CHECK(status_of(with("Expect: more\r\n")) == 417);
  CHECK(status_of("GET /" + std::string(longest_target, 'a') + " HTTP/1.1\r\nHost: here\r\n\r\n") == 414);
  CHECK(status_of("GET /" + std::string(longest_target - 1, 'a') + " HTTP/1.1\r\nHost: here\r\n\r\n") == 0);
  std::string fields;
  for (std::size_t i = 1; i < most_head_fields; ++i) fields += "A: b\r\n";
  CHECK(status_of(with(fields)) == 0);
  CHECK(status_of(with(fields + "A: b\r\n")) == 431);
  CHECK(status_of(with("A: " + std::string(most_head_bytes, 'b') + "\r\n")) == 431);
}

}  // namespace atrous::serve
