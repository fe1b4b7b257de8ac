// Boxes with captions on a picture.
#include "runtime/drawing/boxes.h"

#include <doctest/doctest.h>

#include <limits>

#include "layers/base/error.h"
#include "runtime/drawing/lettering.h"

namespace atrous::boxes_test {

namespace {

constexpr Colour red{255, 0, 0}, blue{0, 0, 255}, black{0, 0, 0};

Colour colour_at(const Image& image, int x, int y) {
  const std::uint8_t* p = image.row(y) + std::ptrdiff_t{3} * x;
  return {p[0], p[1], p[2]};
}

}  // namespace

TEST_CASE("a box's outline runs through its corners' pixels and leaves its inside alone") {
  Image image = make_image(20, 16, 3);
  draw_boxes(image, std::vector<CaptionedBox>{{2.9F, 3.2F, 10.0F, 12.5F, red}});
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 20; ++x) {
      const bool inside = x >= 2 && x <= 10 && y >= 3 && y <= 12,
                 border = inside && (x == 2 || x == 10 || y == 3 || y == 12);
      CHECK(colour_at(image, x, y) == (border ? red : black));
    }
}

TEST_CASE("the first box lies on top, and corners outside the picture are drawn at its border") {
  Image image = make_image(20, 16, 3);
  draw_boxes(image, std::vector<CaptionedBox>{{4, 4, 8, 8, red}, {4, 4, 8, 8, blue}});
  CHECK(colour_at(image, 4, 4) == red);
  draw_boxes(image, std::vector<CaptionedBox>{{-50, -1, 500, 16, blue}});
  CHECK(colour_at(image, 0, 0) == blue);
  CHECK(colour_at(image, 19, 15) == blue);
}

TEST_CASE("a caption stands on the box's colour above it, and inside where there is no room") {
  const int height = text_height() + 2;
  Image above = make_image(120, 80, 3);
  draw_boxes(above, std::vector<CaptionedBox>{{10, 40, 100, 70, red, "dog 0.98"}});
  CHECK(colour_at(above, 11, 40 - height) == red);
  CHECK(colour_at(above, 11, 39 - height) == black);
  Image inside = make_image(120, 80, 3);
  draw_boxes(inside, std::vector<CaptionedBox>{{10, 2, 100, 70, red, "dog 0.98"}});
  CHECK(colour_at(inside, 11, 1) == black);
  CHECK(colour_at(inside, 11, 3) == red);
}

TEST_CASE("a picture that is not RGB and a corner that is no number are refused") {
  Image grey = make_image(4, 4, 1), image = make_image(4, 4, 3);
  CHECK_THROWS_AS(draw_boxes(grey, {}), Error);
  const std::vector<CaptionedBox> boxes{{0, 0, std::numeric_limits<float>::quiet_NaN(), 1, red}};
  CHECK_THROWS_AS(draw_boxes(image, boxes), Error);
}

}  // namespace atrous::boxes_test
