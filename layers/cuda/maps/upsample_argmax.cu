// Labels from low-resolution logits, without ever writing the logits at full size:
// layers/cpu/maps/upsample_argmax.h says what is computed, and it is computed in the same order, rounded at
// the same places.
//
//   1. A thread for each pixel: blends the four logits around it, class after class, and keeps the largest.
//   2. A block is a run of one output row. It lies between two low-resolution rows, and the few pixels of
//      those that it needs it copies into shared memory, in fp32, before: at eightfold upsampling 128 pixels
//      read 34, and each of them once instead of some thirty times. Pixels are an odd number of words apart
//      there, so that threads between different pixels use different banks.
//   3. Where these do not fit (many classes, little upsampling), they are read from the map itself.
//   4. The confidence takes the logits a second time; to keep them would take a register for each class.
#include "layers/cuda/conv/taps.h"
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr int run = 128;
constexpr std::size_t shared_limit = 48 << 10;

struct Labelling {
  Taps rows, columns;
  int height, width;
  float threshold;  // of one channel
  std::uint8_t* labels;
  float* confidence;
};

// `logit(c)` -> the label, and into confidence[at] unless null.
template <class Logit>
__device__ void label_pixel(const Labelling& to, long long at, int classes, Logit logit) {
  float largest = logit(0);
  if (classes == 1) {
    to.labels[at] = largest > to.threshold;
    if (to.confidence) to.confidence[at] = 1.f / (1.f + expf(-fabsf(largest)));
    return;
  }
  int label = 0;
  for (int c = 1; c < classes; ++c) {
    const float value = logit(c);
    if (value > largest) {
      largest = value;
      label = c;
    }
  }
  to.labels[at] = static_cast<std::uint8_t>(label);
  if (!to.confidence) return;
  float sum = 0;
  for (int c = 0; c < classes; ++c) sum += expf(logit(c) - largest);
  to.confidence[at] = 1.f / sum;
}

template <class T, bool Staged>
__global__ void __launch_bounds__(run) upsample_argmax_kernel(TypedMap<T> in, Labelling to, int runs) {
  const int y = static_cast<int>(blockIdx.x / static_cast<unsigned>(runs));
  const int from = static_cast<int>(blockIdx.x % static_cast<unsigned>(runs)) * run;
  const int x = from + static_cast<int>(threadIdx.x);
  const Tap row = tap_of(to.rows, y), column = tap_of(to.columns, x);
  const long long at = 1LL * y * to.width + x;

  // Both rows from the first pixel that the run needs.
  const auto blend = [&](const auto* top, const auto* bottom, int pitch, int first_column) {
    const int left = (column.low - first_column) * pitch, right = (column.high - first_column) * pitch;
    label_pixel(to, at, in.c, [&](int c) {
      const float high = blended(to_float(top[left + c]), to_float(top[right + c]), column.f);
      const float low = blended(to_float(bottom[left + c]), to_float(bottom[right + c]), column.f);
      return __fmaf_rn(__fsub_rn(1.f, row.f), high, __fmul_rn(row.f, low));
    });
  };

  if constexpr (Staged) {
    const int first = tap_of(to.columns, from).low;
    const int pixels = tap_of(to.columns, min(from + run, to.width) - 1).high + 1 - first;
    const int pitch = in.c | 1;
    float* top = shared_memory<float>();
    float* bottom = top + pixels * pitch;
    const int vectors = (in.c + lanes<T> - 1) / lanes<T>;
    for (int i = static_cast<int>(threadIdx.x); i < 2 * pixels * vectors; i += run) {
      const int pixel = i / vectors, vector = i - pixel * vectors;  // of both rows
      const bool second = pixel >= pixels;
      const T* source = in.pixel(0, second ? row.high : row.low, first + (second ? pixel - pixels : pixel));
      const Vector<T> value = load(source + vector * lanes<T>);
#pragma unroll
      for (int k = 0; k < lanes<T>; ++k)
        if (vector * lanes<T> + k < in.c) top[pixel * pitch + vector * lanes<T> + k] = value.v[k];
    }
    __syncthreads();
    if (x < to.width) blend(top, bottom, pitch, first);
  } else {
    if (x < to.width) blend(in.pixel(0, row.low, 0), in.pixel(0, row.high, 0), in.pitch, 0);
  }
}

// Of a row's pixels, how many a run can need at most.
long long pixels_of_run(const Taps& columns) {
  const double exact = static_cast<double>(run - 1) * static_cast<double>(columns.scale);
  return std::min(static_cast<long long>(exact) + 4, static_cast<long long>(columns.in_size));
}

}  // namespace

void upsample_argmax(cudaStream_t stream, Map logits, const Growth& growth, int height, int width,
                     float threshold, std::uint8_t* labels, float* confidence) {
  if (logits.c > 256) fail(ErrorCode::limit, "argmax: ", logits.c, " classes, at most 256 fit a label map");
  const Resize bilinear{.mode = ResizeMode::bilinear, .align_corners = growth.align_corners};
  const Labelling to{.rows = Taps(bilinear, logits.h, growth.out_h),
                     .columns = Taps(bilinear, logits.w, growth.out_w),
                     .height = height,
                     .width = width,
                     .threshold = threshold,
                     .labels = labels,
                     .confidence = confidence};
  const int runs = static_cast<int>(parts(width, run));
  const std::size_t staged =
      2 * static_cast<std::size_t>(pixels_of_run(to.columns) * (logits.c | 1)) * sizeof(float);
  const bool fits = staged <= shared_limit;
  with_type_of(logits, [&]<class T>(T) {
    launch(fits ? upsample_argmax_kernel<T, true> : upsample_argmax_kernel<T, false>,
           dim3(blocks_of(1LL * height * runs)), dim3(run), fits ? staged : 0, stream, TypedMap<T>(logits),
           to, runs);
  });
}

}  // namespace atrous::cuda
