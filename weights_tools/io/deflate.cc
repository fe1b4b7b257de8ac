#include "weights_tools/io/deflate.h"

#include <libdeflate.h>

#include <memory>

#include "layers/base/error.h"

namespace atrous {

std::uint32_t crc32(std::span<const std::byte> bytes) {
  return libdeflate_crc32(0, bytes.data(), bytes.size());
}

Inflated zlib_inflate(std::span<const std::byte> compressed, std::span<std::byte> room) {
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> inflater(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (!inflater) fail(ErrorCode::limit, "zlib: out of memory");
  std::size_t consumed = 0, produced = 0;
  const libdeflate_result result = libdeflate_zlib_decompress_ex(
      inflater.get(), compressed.data(), compressed.size(), room.data(), room.size(), &consumed, &produced);
  if (result == LIBDEFLATE_SUCCESS) return {Inflation::done, produced};
  return {result == LIBDEFLATE_INSUFFICIENT_SPACE ? Inflation::no_room : Inflation::damaged, 0};
}

std::vector<std::byte> zlib_deflate(std::span<const std::byte> bytes, int level) {
  const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> deflater(
      libdeflate_alloc_compressor(level), libdeflate_free_compressor);
  if (!deflater) fail(ErrorCode::limit, "zlib: out of memory");
  // Uninitialised: of what might be needed at most little is touched.
  const std::size_t most = libdeflate_zlib_compress_bound(deflater.get(), bytes.size());
  const std::unique_ptr<std::byte[]> compressed(new std::byte[most]);
  const std::size_t size =
      libdeflate_zlib_compress(deflater.get(), bytes.data(), bytes.size(), compressed.get(), most);
  return {compressed.get(), compressed.get() + size};
}

}  // namespace atrous
