// Zip archives whose entries are stored, not compressed: what torch.save writes since 1.6. torch.jit.save
// compresses a program's code, which is never read.
//
// Format: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 (structure), 4.4 (fields), 4.5.3 (ZIP64). An archive is
//   local header, name, extra field, data [, data descriptor]     for each entry
//   central directory: one header for each entry                  the authority on sizes, offsets and CRCs
//   [ZIP64 end record, ZIP64 locator,] end record
// torch sets bit 3 of the flags: sizes and CRC in the local header are then zero and only the central
// directory has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "weights_tools/io/file.h"

namespace atrous {

struct ZipEntry {
  std::string name;
  std::uint64_t offset = 0;  // of the data in the file
  std::uint64_t size = 0;
  std::uint32_t crc = 0;
  bool compressed = false;
};

// The entries in the order of the central directory. Error(malformed): no end record or two, a directory or
// an entry outside the file, local header unlike the central one, overlapping entries, duplicate, absolute or
// `..` names. Error(unsupported): encrypted entries, compressed ones other than deflated ones in the
// archive's folder `code`, archives split over several files.
std::vector<ZipEntry> read_zip_directory(const InputFile&);

// Fills `out`, which has entry.size bytes. Error(malformed) when the CRC-32 differs. Error(unsupported) for a
// compressed entry.
void read_zip_entry(const InputFile&, const ZipEntry&, std::span<std::byte> out);

}  // namespace atrous
