#include "runtime/tiles/reduced.h"

#include <doctest/doctest.h>

#include "tests/support/image_helpers.h"

namespace atrous::reduced_test {

using namespace atrous::testing;

namespace {

Image rows_from(const Image& all, int y, int count) {
  const std::size_t bytes = all.row_bytes();
  return {all.width, count, all.channels, {all.row(y), all.row(y) + static_cast<std::size_t>(count) * bytes}};
}

}  // namespace

TEST_CASE("reduced: the least factor that brings a picture to a side") {
  CHECK(reduction_to(2048, 2048, 5) == 1);
  CHECK(reduction_to(2048, 5, 2049) == 2);
  CHECK(reduction_to(2048, 4096, 4096) == 2);
  CHECK(reduction_to(2048, 65535, 1) == 32);
}

TEST_CASE("reduced: a photo's pixel is the rounded mean of its block, a label the block's middle") {
  for (const auto& [width, height, factor] :
       {std::array{13, 11, 3}, {12, 9, 3}, {5, 7, 1}, {4, 3, 9}, {20, 31, 4}}) {
    const Image photo = noise(width, height, 3);
    const Image levels = noise(width, height, 1);
    ReducedPhoto small(width, height, factor);
    ReducedLabels map(width, height, factor);
    for (int y = 0; y < height; y += 4) {
      const int count = std::min(4, height - y);
      small.add(rows_from(photo, y, count));
      map.add({width, count, rows_from(levels, y, count).pixels});
    }
    const Image& got = small.picture();
    CHECK(got.width == (width + factor - 1) / factor);
    CHECK(got.height == (height + factor - 1) / factor);
    CHECK(map.map().width == got.width);
    CHECK(map.map().height == got.height);
    for (int y = 0; y < got.height; ++y)
      for (int x = 0; x < got.width; ++x) {
        const int right = std::min(width, (x + 1) * factor), bottom = std::min(height, (y + 1) * factor);
        for (int c = 0; c < 3; ++c) {
          int sum = 0;
          for (int v = y * factor; v < bottom; ++v)
            for (int u = x * factor; u < right; ++u) sum += photo.row(v)[3 * u + c];
          const int count = (right - x * factor) * (bottom - y * factor);
          CHECK(int{got.row(y)[3 * x + c]} == (2 * sum + count) / (2 * count));
        }
        CHECK(map.map().row(y)[x] == levels.row((y * factor + bottom) / 2)[(x * factor + right) / 2]);
      }
  }
}

TEST_CASE("reduced: rows that are not the picture's are refused") {
  CHECK(contains(sentence([] { ReducedPhoto(5, 0, 2); }), "5x0"));
  CHECK(contains(sentence([] { ReducedLabels(5, 5, 0); }), "reduced 0 times"));
  ReducedPhoto photo(5, 3, 2);
  CHECK(contains(sentence([&] { photo.add(make_image(4, 1, 3)); }), "5 wide"));
  photo.add(make_image(5, 2, 3));
  CHECK(contains(sentence([&] { photo.add(make_image(5, 2, 3)); }), "of which 1 are left"));
}

}  // namespace atrous::reduced_test
