// Which pictures a command line means, and what their results are called.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "weights_tools/io/file.h"

namespace atrous::cli {

struct Input {
  std::string path;    // "-" for standard input
  std::string stem;    // results are called FOLDER/stem.mask.png and so on
  std::string inside;  // of a picture found in a folder: the folders between that and the picture
};

struct Inputs {
  std::vector<Input> inputs;
  std::vector<std::string> passed_over;  // "photos: 1 folder, 2 TIFF files not read", for each folder
};

// Files as given, folders replaced by the pictures in them (by extension, sorted; results of earlier runs and
// what macOS keeps beside files, ._NAME, left out), and by those in the folders in them where that is asked
// for: hidden folders and links to folders are not followed. Pictures that atrous does not read, folders and
// broken links are counted. Results go to `folder`, in folders as the pictures lie in, or beside each picture
// where it is empty; standard input's to the working folder. Of pictures that would share their results'
// names (dog.jpg, dog.png) all keep their extension (dog.jpg.mask.png). UsageError when that does not help,
// or when no folder holds a picture. A path that does not exist is found when it is read.
Inputs expand_inputs(const std::vector<std::string>& paths, const std::string& folder, bool recursive);

// With those that it lies in, where they do not exist. Error(io).
void make_folder(const std::string& path);

// The bytes of a file, or of standard input for "-". Error(io, limit).
std::vector<std::byte> read_input(const std::string& path);

// The same, but a file that is a tensor is left to be read into its place.
struct OpenInput {
  explicit OpenInput(const std::string& path);  // Error(io, limit)
  std::unique_ptr<const InputFile> tensor;      // a .npy file; null for others and for standard input
  std::vector<std::byte> bytes;                 // of those
};

}  // namespace atrous::cli
