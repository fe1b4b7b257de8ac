// RoIAlign: layers/ops/roi_align.h, of all regions and maps in one launch.
//
//   1. A thread for each vector of each cell of each region. Its neighbours in x take the cell's other
//      channels: they have the same taps, and read and write next to each other.
//   2. The samples of a cell, and the cells of a region, mostly share their pixels: these come from the L1
//      cache.
//   3. Places are rounded as the processor rounds them. One beyond the map counts nothing and one at its edge
//      everything, so that the last bit of a place may decide of a whole sample.
#include <array>
#include <cstddef>

#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/maps/cells.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr std::size_t most_roi_maps = 8;

template <class T>
struct MapOnDevice {
  const T* data = nullptr;
  int h = 0, w = 0, pitch = 0, samples = 0;
  float scale = 0;

  __device__ const T* pixel(int y, int x) const { return data + (1LL * y * w + x) * pitch; }
};
template <class T>
struct MapsOnDevice {
  MapOnDevice<T> map[most_roi_maps];
};

// As roi_axis(), whose place of a sample roi_tap() takes.
struct DeviceRoiAxis {
  float start, cell;
};
__device__ DeviceRoiAxis device_roi_axis(float low, float high, float scale, int size) {
  const float start = __fmul_rn(low, scale), length = __fsub_rn(__fmul_rn(high, scale), start);
  return {start, (length < 1.f ? 1.f : length) / static_cast<float>(size)};
}

struct RoiTap {
  int first, second;
  float weight_first, weight_second;
};
__device__ RoiTap roi_tap(const DeviceRoiAxis& axis, int index, int sample, int samples, int length) {
  const float within =
      __fmul_rn(__fadd_rn(static_cast<float>(sample), 0.5f), axis.cell) / static_cast<float>(samples);
  const float place =
      __fadd_rn(__fadd_rn(axis.start, __fmul_rn(static_cast<float>(index), axis.cell)), within);
  if (!(place >= -1.f && place <= static_cast<float>(length))) return {0, 0, 0.f, 0.f};
  const float held = fmaxf(place, 0.f);
  const int first = static_cast<int>(held);
  if (first >= length - 1) return {length - 1, length - 1, 1.f, 0.f};
  const float above = __fsub_rn(held, static_cast<float>(first));
  return {first, first + 1, __fsub_rn(1.f, above), above};
}

template <class T>
__global__ void __launch_bounds__(256)
    roi_align_kernel(MapsOnDevice<T> maps, const MapRegion* regions, int count, int size, CellsOut<T> out) {
  const InRow at = in_row_of_thread(size, size);
  const int vector = vector_of_thread();
  if (at.column >= size) return;
  Vector<T> sum = splat<T>(0);
  if (at.n < count && vector * lanes<T> < out.channels) {
    const Region region = regions[at.n].region;
    const MapOnDevice<T>& map = maps.map[regions[at.n].map];
    const DeviceRoiAxis rows = device_roi_axis(region.y1, region.y2, map.scale, size);
    const DeviceRoiAxis columns = device_roi_axis(region.x1, region.x2, map.scale, size);
    for (int i = 0; i < map.samples; ++i) {
      const RoiTap y = roi_tap(rows, at.y, i, map.samples, map.h);
      for (int j = 0; j < map.samples; ++j) {
        const RoiTap x = roi_tap(columns, at.column, j, map.samples, map.w);
        const auto add = [&](float weight, int row, int column) {
          const Vector<T> value = load(map.pixel(row, column) + vector * lanes<T>);
#pragma unroll
          for (int k = 0; k < lanes<T>; ++k) sum.v[k] += weight * value.v[k];
        };
        add(y.weight_first * x.weight_first, y.first, x.first);
        add(y.weight_first * x.weight_second, y.first, x.second);
        add(y.weight_second * x.weight_first, y.second, x.first);
        add(y.weight_second * x.weight_second, y.second, x.second);
      }
    }
    const auto samples = static_cast<float>(map.samples * map.samples);
#pragma unroll
    for (int k = 0; k < lanes<T>; ++k) sum.v[k] /= samples;
  }
  out.write(at.n, at.y * size + at.column, vector, sum);
}

}  // namespace

void roi_align(cudaStream_t stream, std::span<const RoiMap<Map>> maps, const MapRegion* regions, int count,
               Map out) {
  if (maps.empty() || maps.size() > most_roi_maps)
    fail(ErrorCode::limit, "roi_align: ", maps.size(), " maps, at least 1 and at most ", most_roi_maps);
  const int size = static_cast<int>(maps.front().layer.size), channels = maps.front().map.c;
  with_type_of(out, [&]<class T>(T) {
    MapsOnDevice<T> all;
    for (std::size_t m = 0; m < maps.size(); ++m) {
      const auto& [layer, map] = maps[m];
      all.map[m] = {static_cast<const T*>(map.data), map.h,      map.w, map.pitch,
                    static_cast<int>(layer.samples), layer.scale};
    }
    const CellsOut<T> to(out, size * size, channels);
    const long long rooms = out.pixels() / (to.flat ? 1 : size * size);
    const Grid grid = grid_of_rows(rooms * size, size, to.vectors());
    launch(roi_align_kernel<T>, grid.blocks, grid.threads, 0, stream, all, regions, count, size, to);
  });
}

}  // namespace atrous::cuda
