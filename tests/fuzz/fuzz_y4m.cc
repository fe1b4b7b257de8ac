// A line of YUV4MPEG2 and planes behind it. What is read of a header is written and read again the same;
// planes become a picture of its size, whose planes are as many.
#include "runtime/image/y4m.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

void y4m(Bytes input) {
  constexpr std::int64_t most_pixels = 1 << 12;
  const std::string_view text = as_text(input), line = text.substr(0, text.find('\n'));
  Y4mHeader header;
  if (!may_refuse([&] { header = read_y4m_header(line, most_pixels, "fuzz"); })) return;
  promise(std::int64_t{header.width} * header.height <= most_pixels, "too many pixels");
  const std::string again = y4m_header_line(header);
  promise(
      read_y4m_header(std::string_view(again).substr(0, again.size() - 1), most_pixels, "again") == header,
      "read again a header differs");
  std::vector<std::byte> planes(yuv_bytes(header.width, header.height, header.format));
  const Bytes rest = input.subspan(std::min(line.size() + 1, input.size()));
  std::ranges::copy(rest.first(std::min(rest.size(), planes.size())), planes.begin());
  const Image image = rgb_of_yuv(planes, header.width, header.height, header.format);
  check(image, "fuzz");
  promise(image.width == header.width && image.height == header.height, "a picture of another size");
  promise(yuv_of_rgb(image, header.format).size() == planes.size(), "planes of another size");
}

}  // namespace atrous::fuzz
