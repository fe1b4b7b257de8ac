// Which pictures a command line means, and what their results are called.
#pragma once

#include <string>
#include <vector>

namespace atrous::cli {

struct Input {
  std::string path;  // "-" for standard input
  std::string stem;  // results are called FOLDER/stem.mask.png and so on
};

// Files as given, folders replaced by the pictures in them (by extension, sorted, not recursively; results of
// earlier runs left out). Results go to `folder`, or beside each picture where it is empty; standard input's
// to the working folder. Of pictures that would share their results' names (dog.jpg, dog.png) all keep their
// extension (dog.jpg.mask.png). UsageError when that does not help, or when a folder holds no
// picture. A path that does not exist is found when it is read.
std::vector<Input> expand_inputs(const std::vector<std::string>& paths, const std::string& folder);

// The bytes of a file, or of standard input for "-". Error(io, limit).
std::vector<std::byte> read_input(const std::string& path);

}  // namespace atrous::cli
