#include <doctest/doctest.h>

#include <limits>

#include "runtime/image/pillow_resize.h"
#include "runtime/image/preprocess.h"
#include "tests/support/image_helpers.h"

namespace atrous::pillow_resize_test {

using namespace atrous::testing;

TEST_CASE("shrinking by two weighs four neighbours 1 3 3 1") {
  // Pillow 9.4: Image.frombytes("L", (8, 1), ...).resize((4, 1), Image.BILINEAR)
  CHECK(resize_bilinear(picture(8, 1, 1, {0, 255, 0, 255, 10, 20, 30, 40}), 4, 1) ==
        picture(4, 1, 1, {109, 129, 47, 33}));
}

TEST_CASE("enlarging interpolates between pixel centres and repeats the border") {
  CHECK(resize_bilinear(picture(2, 1, 1, {0, 255}), 8, 1) ==
        picture(8, 1, 1, {0, 0, 32, 96, 159, 223, 255, 255}));
  CHECK(resize_bilinear(picture(1, 1, 3, {1, 2, 3}), 3, 2) ==
        picture(3, 2, 3, {1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3}));
}

TEST_CASE("a resize in both directions rounds to bytes between the passes") {
  CHECK(resize_bilinear(noise(7, 5, 1), 3, 4) ==
        picture(3, 4, 1, {89, 113, 127, 124, 120, 144, 93, 112, 128, 126, 112, 155}));
}

TEST_CASE("a resize to the same size changes nothing") {
  CHECK(resize_bilinear(noise(9, 7, 3), 9, 7) == noise(9, 7, 3));
}

TEST_CASE("the number of threads does not change a resize") {
  for (const int channels : {1, 3, 4}) {
    const Image image = noise(123, 77, channels), one = resize_bilinear(image, 50, 91, 1);
    for (const int threads : {2, 3, 7}) CHECK(resize_bilinear(image, 50, 91, threads) == one);
  }
}

TEST_CASE("the channels of a picture are resized alone") {
  const Image image = noise(40, 30, 4), all = resize_bilinear(image, 17, 19);
  for (std::size_t c = 0; c < 4; ++c) {
    Image one = make_image(40, 30, 1);
    for (std::size_t i = 0; i < one.pixels.size(); ++i) one.pixels[i] = image.pixels[4 * i + c];
    const Image resized = resize_bilinear(one, 17, 19);
    for (std::size_t i = 0; i < resized.pixels.size(); ++i) CHECK(resized.pixels[i] == all.pixels[4 * i + c]);
  }
}

TEST_CASE("the longer side is truncated, not rounded") {
  const ResizeRule shorter{ResizeRule::Kind::shorter_side, 520, 0, 0};
  CHECK(resized_size(shorter, 1546, 1213) == std::pair{662, 520});  // 662.77
  CHECK(resized_size(shorter, 1213, 1546) == std::pair{520, 662});
  CHECK(resized_size(shorter, 520, 520) == std::pair{520, 520});
  CHECK(resized_size(shorter, 1, 31) == std::pair{520, 16120});
  CHECK(resized_size({ResizeRule::Kind::exact, 30, 40, 0}, 1, 31) == std::pair{30, 40});
  CHECK(resized_size({ResizeRule::Kind::none, 0, 0, 0}, 1, 31) == std::pair{1, 31});
}

TEST_CASE("the longer side's rule rounds the shorter one half up, as EncNet's test code does") {
  const ResizeRule longer{ResizeRule::Kind::longer_side, 513, 0, 0};
  CHECK(resized_size(longer, 500, 375) == std::pair{513, 385});  // 384.75
  CHECK(resized_size(longer, 375, 500) == std::pair{385, 513});
  CHECK(resized_size(longer, 2048, 1024) == std::pair{513, 257});  // 256.5
  CHECK(resized_size(longer, 640, 427) == std::pair{513, 342});    // 342.27
  CHECK(resized_size(longer, 513, 513) == std::pair{513, 513});
  CHECK(resized_size(longer, 9000, 1) == std::pair{513, 1});
}

TEST_CASE("sizes that cannot be are refused with both numbers") {
  const ResizeRule shorter{ResizeRule::Kind::shorter_side, 520, 0, 0};
  CHECK(contains(sentence([&] { resized_size(shorter, 1, 32); }),
                 "520x16640: a side is outside 1..16384; an exact size (--size)"));
  CHECK(contains(sentence([&] { resized_size(shorter, 32, 1); }), "resize to 16640x520: a side is outside"));
  CHECK(contains(sentence([&] { resized_size(shorter, 1, 2147483647); }), "a side is outside"));
  CHECK(contains(sentence([] { resize_bilinear(noise(2, 2, 3), 0, 5); }), "0x5"));
  CHECK(contains(sentence([] { resize_bilinear(noise(2, 2, 3), 5, 16385); }), "5x16385"));
  CHECK(contains(sentence([] { resize_bilinear(noise(2, 2, 3), 5, 5, 0); }), "0 threads"));
  CHECK(contains(sentence([] { resize_bilinear(Image{2, 2, 3, {}}, 5, 5); }), "needs 12 bytes, found 0"));
  CHECK(contains(sentence([] { resize_bilinear(Image{2, 2, 2, {}}, 5, 5); }), "not 2"));
  CHECK(contains(sentence([] { center_crop(noise(2, 2, 3), -1); }), "-1x-1"));
}

TEST_CASE("a centre crop's offset is rounded half to even, and small pictures are padded with zeros") {
  CHECK(center_crop(picture(5, 1, 1, {1, 2, 3, 4, 5}), 2) == picture(2, 2, 1, {3, 4, 0, 0}));  // 1.5 -> 2
  CHECK(center_crop(picture(3, 1, 1, {1, 2, 3}), 2) == picture(2, 2, 1, {1, 2, 0, 0}));        // 0.5 -> 0
  CHECK(center_crop(picture(1, 1, 1, {7}), 4) ==
        picture(4, 4, 1, {0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST_CASE("normalising divides, subtracts and divides, into a pitch that may be wider") {
  const Image image = picture(2, 1, 3, {0, 128, 255, 1, 2, 3});
  std::vector<float> out(10, -9.f);
  normalise(image, {}, View{out.data(), {1, 1, 2, 3}, 5});
  CHECK(out[0] == (0.f / 255.f - 0.485f) / 0.229f);
  CHECK(out[1] == (128.f / 255.f - 0.456f) / 0.224f);
  CHECK(out[2] == (255.f / 255.f - 0.406f) / 0.225f);
  CHECK(out[5] == (1.f / 255.f - 0.485f) / 0.229f);
  CHECK(out[3] == -9.f);
  CHECK(out[4] == -9.f);
  // As Caffe's networks take it: torch.tensor([255, 128, 0]) - torch.tensor([104.008, 116.669, 122.675]).
  normalise(
      image,
      {.mean = {104.008f, 116.669f, 122.675f}, .std = {1, 2, 1}, .range = 255, .order = ChannelOrder::bgr},
      View{out.data(), {1, 1, 2, 3}, 5});
  CHECK(out[0] == 255.f - 104.008f);
  CHECK(out[1] == (128.f - 116.669f) / 2.f);
  CHECK(out[2] == 0.f - 122.675f);
  CHECK(out[5] == 3.f - 104.008f);
  CHECK(contains(sentence([&] {
                   normalise(image, {}, View{out.data(), {1, 2, 1, 3}, 3});
                 }),
                 "[1, 1, 2, 3], found [1, 2, 1, 3]"));
  CHECK(contains(sentence([&] {
                   normalise(noise(2, 1, 4), {}, View{out.data(), {1, 1, 2, 4}, 4});
                 }),
                 "expected 3 channels, found 4"));
}

TEST_CASE("a normalisation that is none is refused with its number") {
  const auto refusal = [](const Preparation& p) { return sentence([&] { normalisation(p); }); };
  CHECK(contains(refusal({.range = 2}), "range 2 is neither 1 nor 255"));
  CHECK(contains(refusal({.std = {1, 0, 1}}), "std 0 of channel 1 is not above 0"));
  CHECK(contains(refusal({.std = {1, 1, std::numeric_limits<float>::infinity()}}), "std inf of channel 2"));
  CHECK(contains(refusal({.mean = {std::numeric_limits<float>::quiet_NaN(), 0, 0}}),
                 "of channel 0 is not finite"));
}

}  // namespace atrous::pillow_resize_test
