#include "cli/segment_stream.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <limits>
#include <system_error>

#include "cli/progress_line.h"
#include "cli/stop_signals.h"
#include "layers/base/ascii.h"
#include "runtime/engine/pipeline.h"
#include "runtime/image/frame_stream.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/png.h"
#include "runtime/image/y4m.h"
#include "runtime/instances/instance_overlay.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"

namespace atrous::cli {

namespace {

[[noreturn]] void fail_errno(std::string_view stream) {
  fail(ErrorCode::io, stream, ": ", std::generic_category().message(errno));
}

// Standard input's next bytes; none at its end, and none once it is stopped.
std::size_t read_standard_input(std::span<std::byte> to, const std::atomic<bool>& stopped) {
  constexpr int milliseconds = 100;  // until a stop is noticed while nothing comes
  while (!stopped && stopping_signal() == 0) {
    pollfd wait{STDIN_FILENO, POLLIN, 0};
    if (::poll(&wait, 1, milliseconds) <= 0) continue;
    const ssize_t got = ::read(STDIN_FILENO, to.data(), to.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR && errno != EAGAIN) fail_errno("standard input");
  }
  return 0;
}

// Where the frames go. A signal does not end the frame that is being written.
class Sink {
 public:
  explicit Sink(const std::string& path) {
    if (path != "-") file_.emplace(path);
  }
  void write(std::span<const std::byte> bytes) {
    if (file_) return file_->write(bytes);
    while (!bytes.empty()) {
      const ssize_t put = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (put >= 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(put));
      } else if (errno == EAGAIN) {
        pollfd wait{STDOUT_FILENO, POLLOUT, 0};
        ::poll(&wait, 1, -1);
      } else if (errno != EINTR) {
        fail_errno("standard output");
      }
    }
  }
  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::optional<OutputFile> file_;
};

// Turns pictures into the output's format.
class FrameEncoder {
 public:
  explicit FrameEncoder(const SegmentArguments& o) : options_(o), format_(o.format) {}

  // Of RGB, or of grey for labels. The first frame decides what is not asked for: the format is the input's,
  // PNG for JPEG; the header of YUV4MPEG2 is the input's too, or of 4:4:4.
  std::vector<std::byte> encode(const Image& picture, const StreamFrame& from) {
    if (format_.empty())
      format_ = from.format == FrameFormat::y4m ? "y4m" : from.format == FrameFormat::pnm ? "ppm" : "png";
    if (format_ == "png") return encode_png(picture);
    if (format_ == "jpg") return encode_jpeg(picture, options_.quality ? options_.quality : 90);
    if (format_ == "ppm") return encode_pnm(picture);
    std::vector<std::byte> out;
    if (!header_) {
      header_ = from.y4m.value_or(Y4mHeader{.format = {.chroma = Chroma::c444}});
      header_->width = picture.width;
      header_->height = picture.height;
      if (picture.channels == 1) header_->format.chroma = Chroma::mono;
      append(out, as_bytes(y4m_header_line(*header_)));
    }
    if (picture.width != header_->width || picture.height != header_->height)
      fail(ErrorCode::unsupported, "frame ", from.number, " is ", picture.width, "x", picture.height,
           ", the YUV4MPEG2 written so far ", header_->width, "x", header_->height,
           "; --format png and ppm have room for frames of any size");
    append(out, encode_y4m_frame(picture, *header_));
    return out;
  }

 private:
  static void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  static std::vector<std::byte> encode_pnm(const Image& picture) {
    std::vector<std::byte> out;
    append(out, as_bytes(str_cat(picture.channels == 1 ? "P5\n" : "P6\n", picture.width, ' ', picture.height,
                                 "\n255\n")));
    append(out, std::as_bytes(std::span(picture.pixels)));
    return out;
  }

  const SegmentArguments& options_;
  std::string format_;
  std::optional<Y4mHeader> header_;
};

// A frame, and what came of it.
struct FrameJob {
  std::optional<StreamFrame> frame = {};  // none: the stream has ended
  Segmentation result = {};
  std::optional<Instances> instances = {};
};

// The network, for one frame after the other; it plans anew where their size changes.
class FrameNetwork {
 public:
  FrameNetwork(const SegmentArguments& o, const Model& model, const SessionOptions& session)
      : options_(o), model_(model) {
    if (model.task() == Task::instances) {
      detector_.emplace(model, session);
      return;
    }
    session_.emplace(model.program, session);
    how_ = segment_options(o, model);
    how_.confidence = false;
  }
  void run(FrameJob& job) {
    const Image& photo = job.frame->picture;
    if (session_) {
      const auto tiling = options_.protocol.tiling();
      job.result =
          tiling ? segment_tiled(*session_, model_, photo, {*tiling, false, how_.output, how_.threshold})
                 : segment(*session_, model_, photo, how_);
      return;
    }
    job.instances =
        detector_->detect(photo, instance_options(options_.instances, options_.size, model_, photo));
  }

 private:
  const SegmentArguments& options_;
  const Model& model_;
  std::optional<Session> session_;
  std::optional<Detector> detector_;
  SegmentOptions how_;
};

Image picture_of(const FrameJob& job, const SegmentArguments& o, const Model& model,
                 const OverlayOptions& style) {
  const Image& photo = job.frame->picture;
  if (job.instances && o.wants_overlay()) return instance_overlay(photo, *job.instances, model, style);
  const LabelMap labels = job.instances ? painted_labels(*job.instances) : job.result.labels;
  if (o.labels) return {labels.width, labels.height, 1, labels.labels};
  if (o.wants_mask()) return colourise(labels, model.palette);
  return overlay(picture_under(job.result, photo), labels, model.palette, style);
}

std::string counted(std::size_t frames) { return str_cat(frames, frames == 1 ? " frame" : " frames"); }

// "300 frames, 24.3 a second"
std::string frame_rate(std::size_t frames, std::chrono::steady_clock::time_point since) {
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - since;
  return str_cat(counted(frames), ", ", fixed(static_cast<double>(frames) / seconds.count(), 1), " a second");
}

}  // namespace

void settle_stream(SegmentArguments& o) {
  if (o.inputs != std::vector<std::string>{"-"})
    throw UsageError{"--stream reads standard input: give - in the photos' place, and nothing else"};
  const std::pair<bool, const char*> unfit[] = {{o.sheet, "--sheet"},
                                                {o.legend, "--legend"},
                                                {o.confidence, "--confidence"},
                                                {o.indexed, "--indexed"},
                                                {!o.cutout.empty(), "--cutout"},
                                                {!o.logits.empty(), "--logits"},
                                                {!o.probabilities.empty(), "--probabilities"},
                                                {!o.json.empty(), "--json"},
                                                {!o.truth.file.empty(), "--truth"},
                                                {!o.instances.folder.empty(), "--instances"},
                                                {o.recursive, "--recursive"},
                                                {o.no_mask, "--no-mask"},
                                                {o.no_overlay, "--no-overlay"}};
  for (const auto& [given, option] : unfit)
    if (given)
      throw UsageError{
          str_cat(option, ": a stream is frames of one picture each, --overlay, --mask or --labels")};
  if (o.mask + o.overlay + o.labels > 1)
    throw UsageError{"--stream: a frame is one picture: --overlay, --mask or --labels"};
  if (o.output.empty()) o.output = "-";
  constexpr std::string_view formats[] = {"y4m", "ppm", "png", "jpg"};
  const std::string extension = lower(o.output.substr(o.output.rfind('.') + 1));
  if (o.format.empty() && std::ranges::count(formats, extension) != 0) o.format = extension;
}

int segment_stream(const SegmentArguments& o, const Model& model, const SessionOptions& session,
                   const OverlayOptions& style) {
  FrameNetwork network(o, model, session);
  Sink sink(o.output);
  FrameEncoder encoder(o);
  std::atomic<bool> stopped = false;
  stop_on_signals();
  FrameStream stream([&](std::span<std::byte> to) { return read_standard_input(to, stopped); },
                     "standard input", {.exif = !o.no_exif});

  const auto begin = std::chrono::steady_clock::now();
  ProgressLine line(!o.quiet && isatty(STDOUT_FILENO) == 0);
  std::size_t written = 0, broken = 0;
  const auto over = [&] { return stopped || stopping_signal() != 0; };
  PipelineSteps<FrameJob> steps;
  steps.prepare = [&](std::size_t) { return FrameJob{.frame = stream.next()}; };
  steps.stop = over;
  const auto run = [&](FrameJob& job) {
    if (!job.frame || over()) {  // what a stop has cut off is no frame
      job.frame.reset();
      stopped = true;
      return;
    }
    if (!job.frame->failure) try {
        naming(str_cat("standard input: frame ", job.frame->number), [&] { network.run(job); });
      } catch (const Error& error) {
        // Neither is the frame's fault.
        if (error.code() == ErrorCode::device || error.code() == ErrorCode::not_finite) throw;
        job.frame->failure = std::current_exception();
      }
    if (job.frame->failure && !o.skip_broken) std::rethrow_exception(job.frame->failure);
  };
  // What fails for good ends the reading too, which may be waiting for bytes that never come.
  const auto stopping = [&](const auto& step) {
    return [&](FrameJob& job) {
      try {
        step(job);
      } catch (...) {
        stopped = true;
        throw;
      }
    };
  };
  steps.run = stopping(run);
  const auto finish = [&](FrameJob& job) {
    if (!job.frame) return;
    if (job.frame->failure) {
      ++broken;
      line.clear();
      try {
        std::rethrow_exception(job.frame->failure);
      } catch (const Error& error) {
        complain(error.what());
      }
      return;
    }
    sink.write(encoder.encode(picture_of(job, o, model, style), *job.frame));
    line.show(frame_rate(++written, begin));
  };
  steps.finish = stopping(finish);
  run_pipeline({.last = std::numeric_limits<std::size_t>::max(), .threads = 1, .ahead = 2, .behind = 1},
               steps);
  line.clear();
  if (const int signal = stopping_signal()) {
    complain(str_cat("stopped after ", counted(written), o.to_stdout() ? "" : "; nothing is kept"));
    return 128 + signal;
  }
  if (written + broken == 0) fail(ErrorCode::malformed, "standard input: holds no frame");
  if (written == 0) fail(ErrorCode::malformed, broken, " of ", counted(broken), " failed");
  sink.commit();
  if (broken > 0) complain(str_cat(broken, " of ", counted(written + broken), " failed"));
  if (!o.quiet) note(frame_rate(written, begin));
  return 0;
}

}  // namespace atrous::cli
