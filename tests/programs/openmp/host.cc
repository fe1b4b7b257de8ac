// A program that links clang's OpenMP, with parallel regions before, around and behind atrous's: usage: host
// PHOTO LABELS.
#include <atrous/atrous.h>

#include <array>
#include <cstdio>

namespace {

// Whether as many threads as asked for meet in a region of the program's own.
bool meets() {
  int threads = 0;
#pragma omp parallel num_threads(4) reduction(+ : threads)
  threads += 1;
  return threads == 4;
}

}  // namespace

int main(int, char** arguments) {
  const bool before = meets();
  const atrous::Model model = atrous::load_default_model();
  const atrous::Image photo = atrous::read_image_file(arguments[1]);
  std::array<atrous::Segmentation, 2> within;
#pragma omp parallel for num_threads(2)
  for (std::size_t i = 0; i < 2; ++i) {
    atrous::Session session(model.program);
    within[i] = atrous::segment(session, model, photo);
  }
  atrous::Session session(model.program);
  const atrous::Segmentation s = atrous::segment(session, model, photo);
  bool same = true;
  for (const atrous::Segmentation& other : within) same = same && other.labels.labels == s.labels.labels;
  const bool behind = meets();
  if (!before || !behind || !same)
    std::printf("regions before %d, behind %d; labels the same %d\n", before, behind, same);
  atrous::write_file(arguments[2], atrous::encode_png(s.labels, model.palette));
  return before && behind && same ? 0 : 1;
}
