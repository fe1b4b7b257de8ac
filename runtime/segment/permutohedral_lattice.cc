#include "runtime/segment/permutohedral_lattice.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <exception>
#include <limits>
#include <utility>

#include "layers/base/error.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t pixels_at_once = 1024, vertices_at_once = 1024, chains_at_once = 256;
constexpr std::int64_t pixels_of_part = 4096, most_parts = 8;
constexpr int most_coordinates = PermutohedralLattice::most_dimensions + 1;
constexpr float farthest = 0x1p23f;  // of a coordinate: floats hold such whole numbers exactly

std::int64_t tasks_of(std::int64_t count, std::int64_t of_task) { return (count + of_task - 1) / of_task; }

// Work that may throw, in parallel: the first failure by number is thrown when all tasks have ended.
template <class Work>
void parallel_or_throw(int threads, std::int64_t tasks, const Work& work) {
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(tasks));
  parallel_tasks(threads, tasks, [&](std::int64_t task, int) {
    try {
      work(task);
    } catch (...) {
      failures[static_cast<std::size_t>(task)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

// A vertex's first d coordinates (the last one makes their sum 0) as one whole number, each in bits of its
// own above its least value. To go from vertex to vertex is then to add a number.
__extension__ using Wide = unsigned __int128;

}  // namespace

// Of this file; named, since lambdas of a member template hold its types.
namespace lattice {

inline std::uint64_t hash_of(std::uint64_t key) {
  key *= 0x9E3779B97F4A7C15u;
  key = (key ^ key >> 32) * 0xBF58476D1CE4E5B9u;
  return key ^ key >> 29;
}
inline std::uint64_t hash_of(Wide key) {
  return hash_of(static_cast<std::uint64_t>(key) ^ hash_of(static_cast<std::uint64_t>(key >> 64)));
}

// Keys in the order in which they come, found by open addressing. Many are looked up at a time, so that the
// memory that they lie in is fetched for all of them at once.
template <class Key>
class Vertices {
 public:
  Vertices(std::int64_t expected, std::size_t most)
      : slots_(std::bit_ceil(std::clamp<std::size_t>(static_cast<std::size_t>(expected), 1024,
                                                     std::max<std::size_t>(most, 1024))),
               Slot()),
        most_(most) {
    keys_.reserve(slots_.size() / 3 * 2);
  }

  // numbers[i] becomes that of keys[i], added where that was not there. At most at_once keys.
  void add(std::span<const Key> keys, std::uint32_t* numbers) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      hashes_[i] = hash_of(keys[i]);
      __builtin_prefetch(&slots_[hashes_[i] & (slots_.size() - 1)]);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) numbers[i] = add(keys[i], hashes_[i]);
  }
  const LargeVector<Key>& keys() const { return keys_; }

  static constexpr std::size_t at_once = 512;
  struct Slot {
    Key key = 0;
    std::uint32_t number = none;
  };

  // Vertices by key, which has so many bits: a radix sort in the memory of the slots. Nothing else is left.
  LargeVector<Slot> sorted(int bits) && {
    const std::size_t count = keys_.size();
    LargeVector<Slot> other(count);
    slots_.resize(count);
    for (std::uint32_t i = 0; i < count; ++i) slots_[i] = {keys_[i], i};
    constexpr int digit = 11;
    std::vector<std::uint32_t> places(std::size_t{1} << digit);
    for (int shift = 0; shift < bits; shift += digit) {
      const auto digit_of = [&](const Slot& slot) {
        return static_cast<std::size_t>(slot.key >> shift) & (places.size() - 1);
      };
      std::ranges::fill(places, 0);
      for (const Slot& slot : slots_) ++places[digit_of(slot)];
      std::uint32_t sum = 0;
      for (std::uint32_t& place : places) sum += std::exchange(place, sum);
      for (const Slot& slot : slots_) other[places[digit_of(slot)]++] = slot;
      slots_.swap(other);
    }
    return std::move(slots_);
  }

 private:
  // Slot of the key, or the empty one where the key would be.
  std::size_t slot_of(Key key, std::uint64_t hash) const {
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at].number != none && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  std::uint32_t add(Key key, std::uint64_t hash) {
    std::size_t at = slot_of(key, hash);
    if (slots_[at].number != none) return slots_[at].number;
    if (3 * (keys_.size() + 1) > 2 * slots_.size()) {
      grow();
      at = slot_of(key, hash);
    }
    if (keys_.size() == most_)
      fail(ErrorCode::limit, "a CRF's lattice has more than ", most_,
           " vertices, for which there is no memory");
    const auto number = static_cast<std::uint32_t>(keys_.size());
    keys_.push_back(key);
    slots_[at] = {key, number};
    return number;
  }
  void grow() {
    LargeVector<Slot>(2 * slots_.size(), Slot()).swap(slots_);
    for (std::uint32_t i = 0; i < keys_.size(); ++i)
      slots_[slot_of(keys_[i], hash_of(keys_[i]))] = {keys_[i], i};
  }

  LargeVector<Key> keys_;
  LargeVector<Slot> slots_;
  std::array<std::uint64_t, at_once> hashes_;
  std::size_t most_;
};

}  // namespace lattice

// A coordinate of the lattice: its least value and its bits in a key.
struct PermutohedralLattice::Coordinate {
  std::int32_t least = 0;
  int bits = 0;
};

namespace {

using Coordinates = std::array<PermutohedralLattice::Coordinate, most_coordinates>;

struct Range {
  float low = 0, high = 0;
};

// Coordinates of all vertices that pixels touch and of their neighbours.
Coordinates coordinates_of(std::span<const float> features, int d, std::int64_t pixels, const float* scale,
                           const CrfRows& rows) {
  std::array<Range, most_coordinates> ranges{};  // with 0, where pixels that are not there lie
  for (int i = 0; i < d; ++i) {
    Range& range = ranges[static_cast<std::size_t>(i)];
    if (!rows.range(features.data() + i * pixels, pixels, range.low, range.high))
      fail(ErrorCode::invalid_argument, "feature ", i, " of a lattice is not finite everywhere");
    range.low *= scale[i];
    range.high *= scale[i];
  }
  Coordinates coordinates{};
  Range sum;  // of the features that follow
  for (int j = d; j >= 0; --j) {
    Range e = sum;
    if (j > 0) {
      const Range& c = ranges[static_cast<std::size_t>(j - 1)];
      e.low -= static_cast<float>(j) * c.high;
      e.high -= static_cast<float>(j) * c.low;
      sum.low += c.low;
      sum.high += c.high;
    }
    if (!(e.low > -farthest && e.high < farthest))
      fail(ErrorCode::invalid_argument, "a lattice from ", e.low, " to ", e.high, ": expected less than ",
           farthest, " on either side of 0");
    const int margin = 4 * (d + 1);  // of the nearest point, the corners and their neighbours
    auto& coordinate = coordinates[static_cast<std::size_t>(j)];
    coordinate.least = static_cast<std::int32_t>(e.low) - margin;
    coordinate.bits = static_cast<int>(std::bit_width(
        static_cast<std::uint32_t>(static_cast<std::int32_t>(e.high) + margin - coordinate.least)));
  }
  return coordinates;
}

}  // namespace

template <class Key>
LargeVector<std::uint32_t> PermutohedralLattice::number(std::span<const float> features,
                                                        std::span<const Coordinate> coordinates,
                                                        const float* scale, const Bounds& bounds,
                                                        int threads) {
  const int d = dimensions_;
  const std::int64_t corners = d + 1;
  // From a corner to the next, and from a vertex to its neighbour along an axis: each coordinate by 1, that
  // of the axis by -d.
  std::array<int, most_coordinates> shift{};
  std::array<Key, most_coordinates> step{};
  {
    Key all = 0;
    int bits = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(d); ++i) {
      shift[i] = bits;
      all += Key{1} << bits;
      bits += coordinates[i].bits;
    }
    for (std::size_t i = 0; i <= static_cast<std::size_t>(d); ++i)
      step[i] = i < static_cast<std::size_t>(d)
                    ? all - static_cast<Key>(static_cast<unsigned>(corners)) * (Key{1} << shift[i])
                    : all;
  }
  const auto keys_of = [&](const CrfSimplexes& simplexes, std::int64_t count, Key* keys) {
    for (std::int64_t i = 0; i < count; ++i) {
      Key key = 0;
      for (std::size_t c = 0; c < static_cast<std::size_t>(d); ++c)
        key += static_cast<Key>(static_cast<std::uint32_t>(simplexes.nearest[c][i] - coordinates[c].least))
               << shift[c];
      *keys++ = key;
      for (int r = 1; r <= d; ++r)
        *keys++ = key += step[static_cast<std::size_t>(simplexes.sorted[d + 1 - r][i])];
    }
  };

  const std::int64_t parts =
      std::clamp<std::int64_t>(pixels_ / pixels_of_part, 1, std::min<std::int64_t>(threads, most_parts));
  std::vector<lattice::Vertices<Key>> tables;
  for (std::int64_t part = 0; part < parts; ++part)
    tables.emplace_back(pixels_ / parts * 2, bounds.most_vertices);
  parallel_or_throw(threads, parts, [&](std::int64_t part) {
    std::array<float, most_dimensions * crf_block> block{};
    std::array<Key, most_coordinates * crf_block> keys;
    CrfSimplexes simplexes;
    const std::int64_t last = pixels_ * (part + 1) / parts;
    for (std::int64_t p = pixels_ * part / parts; p < last; p += crf_block) {
      const std::int64_t count = std::min(crf_block, last - p);
      for (int i = 0; i < d; ++i)
        std::copy_n(features.data() + i * pixels_ + p, count, block.data() + i * crf_block);
      rows_.locate(block.data(), d, scale, simplexes);
      keys_of(simplexes, count, keys.data());
      tables[static_cast<std::size_t>(part)].add({keys.data(), static_cast<std::size_t>(count * corners)},
                                                 index_.data() + p * corners);
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t r = 0; r < corners; ++r)
          weights_[static_cast<std::size_t>((p + i) * corners + r)] = simplexes.weights[r][i];
    }
  });
  // The other parts' vertices follow in the order in which they came: as if one had gone through all pixels.
  lattice::Vertices<Key>& all = tables[0];
  for (std::int64_t part = 1; part < parts; ++part) {
    const LargeVector<Key>& theirs = tables[static_cast<std::size_t>(part)].keys();
    LargeVector<std::uint32_t> numbers(theirs.size());
    for (std::size_t i = 0; i < theirs.size(); i += lattice::Vertices<Key>::at_once)
      all.add(std::span(theirs).subspan(i, std::min(lattice::Vertices<Key>::at_once, theirs.size() - i)),
              &numbers[i]);
    const std::int64_t first = pixels_ * part / parts, last = pixels_ * (part + 1) / parts;
    parallel_tasks(threads, tasks_of(last - first, pixels_at_once), [&](std::int64_t task, int) {
      const std::int64_t from = first + task * pixels_at_once, to = std::min(last, from + pixels_at_once);
      for (std::int64_t i = from * corners; i < to * corners; ++i)
        index_[static_cast<std::size_t>(i)] = numbers[index_[static_cast<std::size_t>(i)]];
    });
  }
  if (bounds.with_origin) {
    const std::array<float, most_dimensions * crf_block> zeros{};
    std::array<Key, most_coordinates> keys;
    std::array<std::uint32_t, most_coordinates> numbers;
    CrfSimplexes simplexes;
    rows_.locate(zeros.data(), d, scale, simplexes);
    keys_of(simplexes, 1, keys.data());
    all.add({keys.data(), static_cast<std::size_t>(corners)}, numbers.data());
  }

  // Sorted, the neighbours along an axis come in the order of the vertices: one walk finds them all.
  int bits = 0;
  for (int i = 0; i < d; ++i) bits += coordinates[static_cast<std::size_t>(i)].bits;
  const auto sorted = std::move(all).sorted(bits);
  const std::size_t count = sorted.size();
  LargeVector<std::uint32_t> after(static_cast<std::size_t>(corners) * count);
  parallel_tasks(threads, corners, [&](std::int64_t axis, int) {
    std::uint32_t* out = after.data() + static_cast<std::size_t>(axis) * count;
    auto at = sorted.begin();
    for (const auto& vertex : sorted) {
      const Key key = vertex.key + step[static_cast<std::size_t>(axis)];
      while (at != sorted.end() && at->key < key) ++at;
      out[vertex.number] = at != sorted.end() && at->key == key ? at->number : none;
    }
  });
  return after;
}

PermutohedralLattice::PermutohedralLattice(std::span<const float> features, int dimensions,
                                           const Bounds& bounds, Isa isa, int threads, const Window& window)
    : dimensions_(dimensions),
      pixels_(static_cast<std::int64_t>(features.size()) / dimensions),
      window_(window),
      rows_(crf_rows(isa)) {
  if (dimensions != 2 && dimensions != 5)
    fail(ErrorCode::invalid_argument, "a lattice of ", dimensions, " dimensions: expected 2 or 5");
  const int d = dimensions_;
  const std::int64_t corners = d + 1;
  if (pixels_ > (none - 8) / corners)
    fail(ErrorCode::limit, "a lattice for ", pixels_, " pixels: at most ", (none - 8) / corners);
  std::array<float, most_dimensions> scale{};
  for (int i = 0; i < d; ++i)
    scale[static_cast<std::size_t>(i)] =
        static_cast<float>(static_cast<double>(static_cast<float>(std::sqrt(2. / 3.) * (d + 1))) /
                           std::sqrt((i + 1.) * (i + 2.)));

  index_.resize(static_cast<std::size_t>(pixels_ * corners));
  weights_.resize(index_.size());
  const Coordinates coordinates = coordinates_of(features, d, pixels_, scale.data(), rows_);
  int bits = 0;
  for (int i = 0; i < d; ++i) bits += coordinates[static_cast<std::size_t>(i)].bits;
  const LargeVector<std::uint32_t> after =
      bits <= 64 ? number<std::uint64_t>(features, coordinates, scale.data(), bounds, threads)
                 : number<Wide>(features, coordinates, scale.data(), bounds, threads);
  list_sources(after.size() / static_cast<std::size_t>(corners), threads);
  list_chains(after, threads);
}

// Sources by vertex, its pixels in order.
void PermutohedralLattice::list_sources(std::size_t vertices, int threads) {
  const std::int64_t corners = dimensions_ + 1,
                     parts = std::clamp<std::int64_t>(pixels_ / pixels_of_part, 1,
                                                      std::min<std::int64_t>(threads, most_parts));
  LargeVector<std::uint32_t> next(static_cast<std::size_t>(parts) * vertices, 0);  // of each part, by vertex
  const auto each = [&](const auto& take) {
    parallel_tasks(threads, parts, [&](std::int64_t part, int) {
      std::uint32_t* of_part = next.data() + static_cast<std::size_t>(part) * vertices;
      for (std::int64_t p = pixels_ * part / parts; p < pixels_ * (part + 1) / parts; ++p)
        for (std::int64_t r = 0; r < corners; ++r) {
          const auto at = static_cast<std::size_t>(p * corners + r);
          take(of_part[index_[at]], p, at);
        }
    });
  };
  each([](std::uint32_t& count, std::int64_t, std::size_t) { ++count; });
  begins_.resize(vertices + 1);
  std::uint32_t sum = 0;
  for (std::size_t v = 0; v < vertices; ++v) {
    begins_[v] = sum;
    for (std::size_t part = 0; part < static_cast<std::size_t>(parts); ++part)
      sum += std::exchange(next[part * vertices + v], sum);
  }
  begins_[vertices] = sum;
  sources_.resize(index_.size());
  each([&](std::uint32_t& place, std::int64_t p, std::size_t at) {
    sources_[place++] = {static_cast<std::uint32_t>(window_.row_of(p)), weights_[at]};
  });
}

void PermutohedralLattice::list_chains(const LargeVector<std::uint32_t>& after, int threads) {
  axes_.resize(static_cast<std::size_t>(dimensions_ + 1));
  const std::size_t count = after.size() / axes_.size();
  parallel_or_throw(threads, dimensions_ + 1, [&](std::int64_t number) {
    Axis& axis = axes_[static_cast<std::size_t>(number)];
    const std::uint32_t* next = after.data() + static_cast<std::size_t>(number) * count;
    std::vector<std::uint8_t> has_before(count);
    std::size_t links = 0, beginnings = 0;
    for (std::size_t v = 0; v < count; ++v)
      if (next[v] != none) {
        has_before[next[v]] = 1;
        ++links;
      }
    for (std::size_t v = 0; v < count; ++v) beginnings += next[v] != none && !has_before[v];
    axis.order.reserve(links + beginnings);
    axis.begins.reserve(beginnings + 1);
    axis.begins.push_back(0);
    for (std::size_t v = 0; v < count; ++v) {
      if (has_before[v] || next[v] == none) continue;
      for (auto at = static_cast<std::uint32_t>(v); at != none; at = next[at]) axis.order.push_back(at);
      axis.begins.push_back(static_cast<std::uint32_t>(axis.order.size()));
    }
  });
}

std::size_t PermutohedralLattice::bytes(int dimensions, std::int64_t pixels) {
  const auto corners = static_cast<std::size_t>(dimensions) + 1;
  return static_cast<std::size_t>(pixels) *
         (corners * (sizeof(std::uint32_t) + sizeof(float) + sizeof(CrfSource)) +
          static_cast<std::size_t>(dimensions) * sizeof(float));
}

void PermutohedralLattice::spread(const float* values, std::int64_t stride, float* out, int threads) const {
  const std::int64_t count = vertices();
  parallel_tasks(threads, tasks_of(count, vertices_at_once), [&](std::int64_t task, int) {
    rows_.splat(values, stride, begins_.data(), sources_.data(), task * vertices_at_once,
                std::min(count, (task + 1) * vertices_at_once), out);
  });
  for (const Axis& a : axes_) {
    const auto chains = static_cast<std::int64_t>(a.begins.size()) - 1;
    parallel_tasks(threads, tasks_of(chains, chains_at_once), [&](std::int64_t task, int) {
      rows_.blur(out, stride, a.order.data(), a.begins.data(), task * chains_at_once,
                 std::min(chains, (task + 1) * chains_at_once));
    });
  }
}

CrfMessage PermutohedralLattice::message(const float* vertices) const {
  return {.vertices = vertices,
          .index = index_.data(),
          .weights = weights_.data(),
          .first = 0,
          .corners = dimensions_ + 1,
          .factor = 1.f / (1.f + std::pow(2.f, static_cast<float>(-dimensions_))),
          .scale = 1,
          .diagonal = nullptr,
          .matrix = nullptr,
          .near = false};
}

std::vector<float> PermutohedralLattice::ones(int threads) const {
  std::vector<float> mixed(static_cast<std::size_t>(vertices())), out(static_cast<std::size_t>(pixels_));
  parallel_tasks(threads, tasks_of(vertices(), vertices_at_once), [&](std::int64_t task, int) {
    const std::int64_t last = std::min(vertices(), (task + 1) * vertices_at_once);
    for (auto v = static_cast<std::size_t>(task * vertices_at_once); v < static_cast<std::size_t>(last); ++v)
      for (std::uint32_t s = begins_[v]; s < begins_[v + 1]; ++s) mixed[v] += sources_[s].weight;
  });
  for (const Axis& a : axes_) {
    const auto chains = static_cast<std::int64_t>(a.begins.size()) - 1;
    parallel_tasks(threads, tasks_of(chains, chains_at_once), [&](std::int64_t task, int) {
      const auto last = static_cast<std::size_t>(std::min(chains, (task + 1) * chains_at_once));
      for (auto chain = static_cast<std::size_t>(task * chains_at_once); chain < last; ++chain) {
        float before = 0;
        for (std::uint32_t i = a.begins[chain]; i < a.begins[chain + 1]; ++i) {
          float& here = mixed[a.order[i]];
          const float after = i + 1 < a.begins[chain + 1] ? mixed[a.order[i + 1]] : 0.f;
          const float sum = here + 0.5f * (before + after);
          before = std::exchange(here, sum);
        }
      }
    });
  }
  const CrfMessage m = message(mixed.data());
  parallel_tasks(threads, tasks_of(pixels_, pixels_at_once), [&](std::int64_t task, int) {
    for (std::int64_t p = task * pixels_at_once; p < std::min(pixels_, (task + 1) * pixels_at_once); ++p) {
      float sum = 0;
      for (std::int64_t r = p * m.corners; r < (p + 1) * m.corners; ++r)
        sum += m.weights[r] * mixed[m.index[r]];
      out[static_cast<std::size_t>(p)] = sum * m.factor;
    }
  });
  return out;
}

void PermutohedralLattice::scale(std::span<const float> before, std::span<const float> after, int threads) {
  const std::int64_t corners = dimensions_ + 1;
  const auto sources = static_cast<std::int64_t>(sources_.size());
  parallel_tasks(threads, tasks_of(sources, pixels_at_once), [&](std::int64_t task, int) {
    for (std::int64_t i = task * pixels_at_once; i < std::min(sources, (task + 1) * pixels_at_once); ++i) {
      CrfSource& source = sources_[static_cast<std::size_t>(i)];
      source.weight *= before[source.pixel];
      weights_[static_cast<std::size_t>(i)] *= after[static_cast<std::size_t>(window_.row_of(i / corners))];
    }
  });
}

}  // namespace atrous
