// Where regions are written cell by cell: as maps, [n, h, w, c], or flattened, a region a pixel, its cells
// row by row, [1, n, 1, h * w * c]. For .cu files only.
#pragma once

#include "layers/cuda/vectors.h"

namespace atrous::cuda {

template <class T>
struct CellsOut {
  T* data;
  int cells, channels;  // of a region, of a cell
  int cell_pitch;       // elements from cell to cell
  long long region_pitch;
  int behind;          // zeros that follow every cell, flattened only a region's last one
  bool flat, aligned;  // whether every cell begins at a multiple of 16 bytes

  CellsOut(const Map& out, int cells_, int channels_)
      : data(static_cast<T*>(out.data)),
        cells(cells_),
        channels(channels_),
        cell_pitch(out.c == channels_ ? out.pitch : channels_),
        region_pitch(out.c == channels_ ? 1LL * cells_ * out.pitch : out.pitch),
        behind(out.pitch - out.c),
        flat(out.c != channels_),
        aligned(cell_pitch % lanes<T> == 0) {}

  // How many of them cover a cell and what follows it.
  int vectors() const { return (channels + behind + lanes<T> - 1) / lanes<T>; }

  __device__ void write(int region, int cell, int vector, Vector<T> x) const {
    const int first = vector * lanes<T>;
    const int width = flat && cell + 1 < cells ? channels : channels + behind;
    if (first >= width) return;
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i)
      if (first + i >= channels) x.v[i] = 0;
    T* to = data + region * region_pitch + 1LL * cell * cell_pitch + first;
    if (aligned) {
      store(to, x);
      return;
    }
    for (int i = 0; i < lanes<T> && first + i < width; ++i) to[i] = from_float<T>(x.v[i]);
  }
};

}  // namespace atrous::cuda
