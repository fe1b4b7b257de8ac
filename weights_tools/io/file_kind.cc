#include "weights_tools/io/file_kind.h"

#include <algorithm>
#include <array>
#include <string>

namespace atrous {

namespace {

using namespace std::string_view_literals;

struct Signature {
  std::size_t offset;
  std::string_view bytes, description;
};

constexpr std::array signatures{
    // Pointers that tools leave in place of large files.
    Signature{0, "version https://git-lfs"sv, "a Git LFS pointer: the real file was not downloaded"sv},
    Signature{0, "/annex/objects/"sv, "a git-annex pointer: the real file was not downloaded"sv},
    // Pictures.
    Signature{0, "\xff\xd8\xff"sv, "a JPEG image"sv},
    Signature{0, "\x89PNG"sv, "a PNG image"sv},
    Signature{0, "GIF8"sv, "a GIF image"sv},
    Signature{0, "II*\0"sv, "a TIFF image"sv},
    Signature{0, "MM\0*"sv, "a TIFF image"sv},
    Signature{0, "II+\0"sv, "a BigTIFF image"sv},
    Signature{0, "MM\0+"sv, "a BigTIFF image"sv},
    Signature{8, "WEBP"sv, "a WebP image"sv},
    Signature{4, "ftypavi"sv, "an AVIF image"sv},
    Signature{4, "ftyphei"sv, "a HEIC image"sv},
    Signature{4, "ftyphev"sv, "a HEIC image"sv},
    Signature{4, "ftypmif1"sv, "a HEIF image"sv},
    Signature{4, "ftypmsf1"sv, "a HEIF image"sv},
    Signature{4, "ftypcrx"sv, "a Canon raw image"sv},
    Signature{4, "ftyp"sv, "an MP4 video"sv},
    Signature{0, "\0\0\0\x0cjP  "sv, "a JPEG 2000 image"sv},
    Signature{0, "\xff\x4f\xff\x51"sv, "a JPEG 2000 image"sv},
    Signature{0, "\xff\x0a"sv, "a JPEG XL image"sv},
    Signature{0, "\0\0\0\x0cJXL "sv, "a JPEG XL image"sv},
    Signature{0, "8BPS"sv, "a Photoshop image"sv},
    Signature{0, "\0\0\1\0"sv, "a Windows icon"sv},
    Signature{0, "qoif"sv, "a QOI image"sv},
    Signature{0, "#?RADIANCE"sv, "a Radiance HDR image"sv},
    Signature{0, "\x76\x2f\x31\x01"sv, "an OpenEXR image"sv},
    Signature{0, "<svg"sv, "an SVG image"sv},
    // Checkpoints and arrays.
    Signature{0, "\x93NUMPY"sv, "a NumPy array"sv},
    Signature{0, "PK\3\4"sv, "a zip archive (perhaps a .pth checkpoint)"sv},
    Signature{5, "\0\0\0{\""sv, "a .safetensors checkpoint"sv},
    Signature{0, "\x89HDF"sv, "an HDF5 file (Keras?), not a torch checkpoint"sv},
    Signature{0, "GGUF"sv, "a GGUF file, not a torch checkpoint"sv},
    Signature{4, "TFL3"sv, "a TensorFlow Lite model, not a torch checkpoint"sv},
    // Containers and documents.
    Signature{0, "\x1f\x8b"sv, "compressed by gzip: unpack it first"sv},
    Signature{0, "BZh"sv, "compressed by bzip2: unpack it first"sv},
    Signature{0,
              "\xfd"
              "7zXZ\0"sv,
              "compressed by xz: unpack it first"sv},
    Signature{0, "\x28\xb5\x2f\xfd"sv, "compressed by zstd: unpack it first"sv},
    Signature{0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive: unpack it first"sv},
    Signature{0, "Rar!\x1a\x07"sv, "a RAR archive: unpack it first"sv},
    Signature{
        257, "ustar"sv,
        "a tar archive: unpack it first; what torch before 0.2 saved so, load and save with a newer torch"sv},
    Signature{0, "%PDF"sv, "a PDF document"sv},
    Signature{0, "\0\x05\x16\x07"sv, "what macOS keeps beside a file (AppleDouble), not the file itself"sv},
};

bool begins_with_tag(std::string_view head, std::string_view tag) {
  return head.size() >= tag.size() && std::equal(tag.begin(), tag.end(), head.begin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
         });
}

bool looks_like_text(std::string_view head) {
  return std::ranges::all_of(
      head, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t'; });
}

}  // namespace

std::string_view describe_file(std::string_view head) {
  head = head.substr(0, described_bytes);
  if (head.empty()) return "empty";
  for (const Signature& s : signatures)
    if (head.size() > s.offset && head.substr(s.offset).starts_with(s.bytes)) return s.description;
  std::string_view text = head;
  if (text.starts_with("\xef\xbb\xbf"sv)) text.remove_prefix(3);  // a byte order mark
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  for (const std::string_view tag : {"<!doctype html"sv, "<html"sv, "<head"sv, "<body"sv, "<script"sv})
    if (begins_with_tag(text, tag)) return "a web page: the download failed or asked for a login";
  if (begins_with_tag(text, "<?xml"sv))
    return text.find("<svg"sv) != text.npos ? "an SVG image"
                                            : "an XML document: the download may have failed";
  if (begins_with_tag(text, "<svg"sv)) return "an SVG image";
  return looks_like_text(head) ? "a text file" : "";
}

}  // namespace atrous
