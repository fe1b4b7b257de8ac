#include "runtime/serve/server.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <thread>

#include "layers/base/error.h"
#include "runtime/engine/program.h"
#include "runtime/engine/version.h"
#include "runtime/serve/access_log.h"
#include "runtime/serve/jobs.h"
#include "runtime/serve/metrics.h"
#include "runtime/serve/photo_request.h"
#include "runtime/serve/router.h"
#include "runtime/serve/site.h"
#include "weights_tools/io/json_output.h"

namespace atrous::serve {

namespace {

constexpr const char* segment_path = "/v1/segment";

std::string hex_colour(const Colour& colour) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "#";
  for (const auto value : colour) {
    out += digits[value >> 4];
    out += digits[value & 15];
  }
  return out;
}

JsonText models_json(const Model& model, const ServerOptions& options) {
  std::vector<JsonText> classes;
  for (std::size_t i = 0; i < model.classes.size(); ++i)
    classes.push_back(
        json_object({{"index", i}, {"name", model.classes[i]}, {"colour", hex_colour(model.palette[i])}}));
  const JsonText one = json_object({{"name", options.model_name},
                                    {"architecture", model.architecture},
                                    {"task", model.task() == Task::instances ? "instances" : "semantic"},
                                    {"masks", model.has_masks()},
                                    {"device", model.program->runs_on()},
                                    {"precision", model.program->precision()},
                                    {"background", model.background},
                                    {"classes", json_list(classes)}});
  return json_object(
      {{"models", json_list(std::vector{one})},
       {"limits", json_object({{"body_bytes", options.max_body},
                               {"pixels", options.max_pixels},
                               {"runs", options.refinements.runs},
                               {"crf_pixels", options.refinements.crf_pixels},
                               {"waiting", options.queue},
                               {"wait_seconds", static_cast<double>(options.timeout.count()) / 1e3}})},
       {"version", version()}});
}

// The answers, on the connections' thread but for photos, which have a thread for each session.
class Service final : public Requests {
 public:
  Service(const Model& model, const ServerOptions& options, Connections& connections)
      : options_(options),
        connections_(connections),
        names_({options.listen.address, connections.port()}, options.hosts),
        jobs_(options.queue) {
    if (!options.log.empty()) log_.emplace(options.log);
    const auto json = [](std::string text) {
      return [text = std::move(text)](const Query& query) {
        query.check_parameters({});
        return Reply{200, "application/json", text, {}};
      };
    };
    on("/healthz", json("{\"status\": \"ok\"}\n"), Access::anybody);
    on("/v1/models", json(json_output(models_json(model, options))), Access::by_token);
    on(
        "/metrics",
        [this](const Query&) {
          return Reply{200, "text/plain; version=0.0.4", metrics(), {}};
        },
        Access::by_token);
    for (const SiteFile& file : site_files())
      on(
          std::string(file.path),
          [&file](const Query&) {
            return Reply{200,
                         std::string(file.type),
                         std::string(file.text),
                         {{"Content-Security-Policy", std::string(site_policy)}}};
          },
          Access::anybody);
    quick_.on("POST", segment_path, [](const Query&) -> Reply { throw Problem{500, "not here"}; });
    for (std::size_t i = 0; i < options.sessions; ++i) {
      sessions_.push_back(
          std::make_unique<PhotoSession>(model, options.session, options.max_pixels, options.refinements));
      jobs_.add_worker();
    }
    try {
      for (auto& session : sessions_) threads_.emplace_back([this, &session] { work(*session); });
    } catch (...) {
      end();
      throw;
    }
  }
  ~Service() override { end(); }

  std::optional<Answer> admit(const RequestHead& head, const std::string& local_address) override {
    try {
      check(head, local_address);
      return std::nullopt;
    } catch (const Problem& problem) {
      count(head, problem.status);
      return answer_without_request(problem, fields_for(head), head.method != "HEAD");
    }
  }

  std::optional<Answer> handle(std::uint64_t connection, RequestHead head, std::string body) override {
    if (head.method == "OPTIONS") return preflight(head);
    if (head.path == segment_path && head.method == "POST") {
      Job job{connection, std::move(head), std::move(body), Clock::now()};
      const RequestHead copy = job.head;
      if (jobs_.push(std::move(job))) return std::nullopt;
      return refused(copy, too_many());
    }
    int status = 0;
    Answer answer =
        quick_.answer(head, fields_for(head), !head.keep_alive || connections_.stopping(), status);
    count(head, status);
    return answer;
  }

  Answer refusal(const Problem& problem) override {
    metrics_.count("other", problem.status);
    return answer_without_request(problem, common_fields());
  }

  void gone(std::uint64_t connection) override { jobs_.drop(connection); }

  void served(const Served& request) noexcept override {
    if (log_) log_->write(request);
  }

  void tick() override {
    if (log_ && Clock::now() - looked_ > std::chrono::seconds(1)) {
      log_->look_after();
      looked_ = Clock::now();
    }
    for (const Job& job : jobs_.take_older(Clock::now() - options_.timeout)) {
      const double seconds = static_cast<double>(options_.timeout.count()) / 1e3;
      connections_.answer(job.connection,
                          refused(job.head, {503, str_cat("no session was free within ", seconds, " seconds"),
                                             retry_later()}));
    }
  }

 private:
  enum class Access { anybody, by_token };

  void on(const std::string& path, Handler handler, Access access) {
    quick_.on("GET", path, std::move(handler));
    paths_[path] = access;
  }

  void check(const RequestHead& head, const std::string& local_address) const {
    if (!names_.accept(head.host, local_address))
      throw Problem{421, "the Host of the request is no name of this server (--host adds one)"};
    const bool own = head.origin.empty() || same_origin(head);
    if (!own && !origins().allowed(head.origin))
      throw Problem{403, "pages of this origin may not ask (--cors allows one)"};
    if (head.method == "OPTIONS") {
      if (head.content_length > 0) throw Problem{413, "expected no body"};
      return;
    }
    const auto found = paths_.find(head.path);
    const bool for_anybody = found != paths_.end() && found->second == Access::anybody;
    if (!for_anybody && !options_.tokens.accept(head.authorization))
      throw Problem{401,
                    "expected Authorization: Bearer and a token of this server",
                    {{"WWW-Authenticate", "Bearer realm=\"atrous\""}}};
    if (head.path != segment_path) {
      if (found == paths_.end()) throw Problem{404, "there is nothing of that name here"};
      if (head.method != "GET" && head.method != "HEAD")
        throw Problem{405, "expected GET", {{"Allow", "GET, HEAD"}}};
      if (head.content_length > 0) throw Problem{413, "expected no body"};
      return;
    }
    if (head.method != "POST") throw Problem{405, "expected POST", {{"Allow", "POST"}}};
    if (head.content_length > options_.max_body)
      throw Problem{413, str_cat("a body of ", head.content_length, " bytes, at most ", options_.max_body)};
    if (!head.content_encoding.empty() && head.content_encoding != "identity")
      throw Problem{415, "expected a picture's own bytes, without a Content-Encoding"};
    if (head.content_type.starts_with("multipart/"))
      throw Problem{415, "expected the picture alone as the body (curl --data-binary @photo.jpg), no form"};
    if (jobs_.full()) throw too_many();
  }

  const Origins& origins() const { return options_.origins; }

  Headers retry_later() const {
    const double share = metrics_.mean_seconds() / static_cast<double>(options_.sessions);
    const double seconds = share * static_cast<double>(jobs_.waiting() + 1);
    return {{"Retry-After", std::to_string(std::clamp(static_cast<int>(std::ceil(seconds)), 1, 120))}};
  }

  Problem too_many() const {
    return {429, str_cat(options_.queue, " photos wait already, as many as may"), retry_later()};
  }

  static Headers common_fields() {
    return {{"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-store"}};
  }

  Headers fields_for(const RequestHead& head) const {
    Headers fields = common_fields();
    const auto allowed = head.origin.empty() ? std::nullopt : origins().allowed(head.origin);
    if (allowed) {
      fields.emplace_back("Access-Control-Allow-Origin", *allowed);
      fields.emplace_back("Access-Control-Expose-Headers", "Retry-After");
      if (*allowed != "*") fields.emplace_back("Vary", "Origin");
    } else {
      fields.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
    }
    return fields;
  }

  // What a browser asks before a page of another origin may: as if each path had all that any has.
  Answer preflight(const RequestHead& head) {
    count(head, 204);
    std::string bytes =
        "HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"
        "Access-Control-Allow-Methods: GET, POST\r\n"
        "Access-Control-Allow-Headers: Authorization, Content-Type, Accept\r\nAccess-Control-Max-Age: "
        "600\r\n";
    for (const auto& [name, value] : fields_for(head)) bytes += str_cat(name, ": ", value, "\r\n");
    return {bytes + "\r\n", false};
  }

  Answer refused(const RequestHead& head, const Problem& problem) {
    count(head, problem.status);
    return answer_without_request(problem, fields_for(head), head.method != "HEAD");
  }

  void count(const RequestHead& head, int status) {
    const bool known = paths_.contains(head.path) || head.path == segment_path;
    metrics_.count(known ? head.path : "other", status);
  }

  std::string metrics() const {
    return metrics_.text({.waiting = jobs_.waiting(),
                          .capacity = jobs_.capacity(),
                          .busy = jobs_.busy(),
                          .sessions = sessions_.size(),
                          .connections = connections_.count(),
                          .held_bytes = connections_.held_bytes(),
                          .evicted = connections_.evicted(),
                          .lost_log_lines = log_ ? log_->lost() : 0,
                          .received_bytes = connections_.received_bytes()});
  }

  // One session's thread.
  void work(PhotoSession& session) {
    StageSeconds seconds{};
    const Job* current = nullptr;
    Router router;
    router.on("POST", segment_path,
              [&](const Query& query) { return session.answer(query, current->body, seconds); });
    while (const auto job = jobs_.pop()) {
      seconds = {};
      seconds[0] = std::chrono::duration<double>(Clock::now() - job->came).count();
      current = &*job;
      int status = 500;
      const bool close = !job->head.keep_alive || connections_.stopping();
      Answer answer;
      try {
        answer = router.answer(job->head, fields_for(job->head), close, status);
      } catch (const std::bad_alloc&) {
        answer = {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", true};
        status = 503;
      }
      if (status == 200) metrics_.add(seconds);
      count(job->head, status);
      jobs_.done();
      connections_.answer(job->connection, std::move(answer));
    }
  }

  // What waits still, once the grace is over, is not computed.
  void end() {
    jobs_.take_older(Clock::time_point::max());
    jobs_.end();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  const ServerOptions& options_;
  Connections& connections_;
  const Names names_;
  Jobs jobs_;
  Metrics metrics_;
  std::optional<AccessLog> log_;
  Clock::time_point looked_ = Clock::now();
  Router quick_;
  std::map<std::string, Access, std::less<>> paths_;  // of GET
  std::vector<std::unique_ptr<PhotoSession>> sessions_;
  std::vector<std::thread> threads_;
};

}  // namespace

void serve(const Model& model, const ServerOptions& options, const std::function<void(int port)>& listening,
           const std::function<bool()>& stopping) {
  Connections connections(options.listen, options.connections);
  Service service(model, options, connections);
  listening(connections.port());
  connections.run(service, stopping);
}

}  // namespace atrous::serve
