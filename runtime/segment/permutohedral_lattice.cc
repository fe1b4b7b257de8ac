#include "runtime/segment/permutohedral_lattice.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "layers/base/error.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t pixels_of_task = 1024, vertices_of_task = 256, chains_of_task = 64;
constexpr float farthest = 1e8f;  // of a coordinate: whole numbers that floats hold nearly

// The first coordinates of a vertex, 16 bits each as in the authors' code; the last one makes their sum 0.
using Key = std::array<std::int16_t, 8>;

// Keys in the order in which they come, found by open addressing. A slot holds part of its key's hash, so
// that a key that is absent, as most neighbours are, costs one look at the slots and none at the keys.
class Vertices {
 public:
  Vertices() : slots_(1 << 12) {}

  std::uint32_t find(const Key& key) const {
    const std::uint64_t hash = hash_of(key);
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    for (std::size_t at = hash;; ++at) {
      const Slot& slot = slots_[at & (slots_.size() - 1)];
      if (slot.number == none || (slot.tag == tag && keys_[slot.number] == key)) return slot.number;
    }
  }
  std::uint32_t add(const Key& key) {
    if (const std::uint32_t found = find(key); found != none) return found;
    if (2 * (keys_.size() + 1) > slots_.size()) grow();
    const auto number = static_cast<std::uint32_t>(keys_.size());
    keys_.push_back(key);
    place(number);
    return number;
  }
  const std::vector<Key>& keys() const { return keys_; }

 private:
  struct Slot {
    std::uint32_t tag = 0, number = none;
  };
  static std::uint64_t hash_of(const Key& key) {
    std::uint64_t half[2];
    std::memcpy(half, key.data(), sizeof half);
    std::uint64_t h = (half[0] ^ (half[1] << 17 | half[1] >> 47)) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32) * 0xBF58476D1CE4E5B9u;
    return h ^ h >> 29;
  }
  void place(std::uint32_t number) {
    const std::uint64_t hash = hash_of(keys_[number]);
    std::size_t at = hash;
    while (slots_[at & (slots_.size() - 1)].number != none) ++at;
    slots_[at & (slots_.size() - 1)] = {static_cast<std::uint32_t>(hash >> 32), number};
  }
  void grow() {
    slots_.assign(2 * slots_.size(), {});
    for (std::uint32_t i = 0; i < keys_.size(); ++i) place(i);
  }

  std::vector<Key> keys_;
  std::vector<Slot> slots_;
};

// Where a feature lies: the corners of its simplex and how near it is to each.
struct Place {
  std::array<Key, PermutohedralLattice::most_dimensions + 1> corners;
  std::array<float, PermutohedralLattice::most_dimensions + 1> weights;
};

// Section 3.1 of the paper; false for a feature that is too far out.
bool locate(const float* feature, int d, std::span<const float> scale, Place& place) {
  std::array<float, PermutohedralLattice::most_dimensions + 1> elevated, nearest;
  std::array<int, PermutohedralLattice::most_dimensions + 1> rank{};
  float sum = 0;
  for (int j = d; j > 0; --j) {
    const float c = feature[j - 1] * scale[static_cast<std::size_t>(j - 1)];
    elevated[static_cast<std::size_t>(j)] = sum - static_cast<float>(j) * c;
    sum += c;
  }
  elevated[0] = sum;
  const float step = static_cast<float>(d + 1), inverse = 1.f / step;
  int whole = 0;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(d); ++i) {
    if (!(std::abs(elevated[i]) < farthest)) return false;
    const float quotient = std::nearbyint(elevated[i] * inverse);  // half to even
    nearest[i] = quotient * step;
    whole += static_cast<int>(quotient);
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(d); ++i)
    for (std::size_t j = i + 1; j <= static_cast<std::size_t>(d); ++j)
      ++rank[elevated[i] - nearest[i] < elevated[j] - nearest[j] ? i : j];
  for (std::size_t i = 0; i <= static_cast<std::size_t>(d); ++i) {
    rank[i] += whole;
    if (rank[i] < 0) {
      rank[i] += d + 1;
      nearest[i] += step;
    } else if (rank[i] > d) {
      rank[i] -= d + 1;
      nearest[i] -= step;
    }
  }
  std::array<float, PermutohedralLattice::most_dimensions + 2> barycentric{};
  for (std::size_t i = 0; i <= static_cast<std::size_t>(d); ++i) {
    const float v = (elevated[i] - nearest[i]) * inverse;
    barycentric[static_cast<std::size_t>(d - rank[i])] += v;
    barycentric[static_cast<std::size_t>(d + 1 - rank[i])] -= v;
  }
  barycentric[0] += 1.f + barycentric[static_cast<std::size_t>(d + 1)];
  for (int r = 0; r <= d; ++r) {
    Key key{};
    for (std::size_t i = 0; i < static_cast<std::size_t>(d); ++i)
      key[i] = static_cast<std::int16_t>(static_cast<int>(nearest[i]) + (rank[i] <= d - r ? r : r - (d + 1)));
    place.corners[static_cast<std::size_t>(r)] = key;
    place.weights[static_cast<std::size_t>(r)] = barycentric[static_cast<std::size_t>(r)];
  }
  return true;
}

// The vertex after `key` along an axis.
Key neighbour(Key key, int axis, int d) {
  for (int i = 0; i < d; ++i) {
    auto& coordinate = key[static_cast<std::size_t>(i)];
    coordinate = static_cast<std::int16_t>(coordinate + (i == axis ? -d : 1));
  }
  return key;
}

std::int64_t tasks_of(std::int64_t count, std::int64_t of_task) { return (count + of_task - 1) / of_task; }

}  // namespace

PermutohedralLattice::PermutohedralLattice(std::span<const float> features, int dimensions,
                                           std::int64_t touched, Isa isa, int threads)
    : dimensions_(dimensions),
      pixels_(static_cast<std::int64_t>(features.size()) / dimensions),
      rows_(crf_rows(isa)) {
  const int d = dimensions_;
  const std::int64_t corners = d + 1;
  std::array<float, most_dimensions> scale{};
  for (int i = 0; i < d; ++i)
    scale[static_cast<std::size_t>(i)] =
        static_cast<float>(static_cast<double>(static_cast<float>(std::sqrt(2. / 3.) * (d + 1))) /
                           std::sqrt((i + 1.) * (i + 2.)));

  index_.resize(static_cast<std::size_t>(pixels_ * corners));
  weights_.resize(index_.size());
  Vertices vertices;
  {
    // Places of a batch by all threads, their vertices by one.
    constexpr std::int64_t batch = 16 * pixels_of_task;
    std::vector<Place> places(static_cast<std::size_t>(std::min(batch, std::max<std::int64_t>(pixels_, 1))));
    for (std::int64_t first = 0; first < pixels_; first += batch) {
      const std::int64_t count = std::min(batch, pixels_ - first);
      std::atomic<bool> too_far{false};
      parallel_tasks(threads, tasks_of(count, pixels_of_task), [&](std::int64_t task, int) {
        for (std::int64_t i = task * pixels_of_task; i < std::min(count, (task + 1) * pixels_of_task); ++i)
          if (!locate(features.data() + (first + i) * d, d, scale, places[static_cast<std::size_t>(i)]))
            too_far = true;
      });
      if (too_far) fail(ErrorCode::invalid_argument, "a feature lies too far from 0 for the lattice");
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t r = 0; r < corners; ++r) {
          const Place& place = places[static_cast<std::size_t>(i)];
          const auto at = static_cast<std::size_t>((first + i) * corners + r);
          index_[at] = vertices.add(place.corners[static_cast<std::size_t>(r)]);
          weights_[at] = place.weights[static_cast<std::size_t>(r)];
        }
    }
    if (touched > pixels_) {
      const std::array<float, most_dimensions> zero{};
      Place place;
      locate(zero.data(), d, scale, place);
      for (std::int64_t r = 0; r < corners; ++r) vertices.add(place.corners[static_cast<std::size_t>(r)]);
    }
  }

  // By vertex, its pixels in order.
  const std::size_t count = vertices.keys().size();
  begins_.assign(count + 1, 0);
  for (const std::uint32_t v : index_) ++begins_[v + 1];
  for (std::size_t v = 0; v < count; ++v) begins_[v + 1] += begins_[v];
  sources_.resize(index_.size());
  {
    std::vector<std::uint32_t> next(begins_.begin(), begins_.end() - 1);
    for (std::size_t i = 0; i < index_.size(); ++i)
      sources_[next[index_[i]]++] = {static_cast<std::uint32_t>(i / static_cast<std::size_t>(corners)),
                                     weights_[i]};
  }

  axes_.resize(static_cast<std::size_t>(corners));
  parallel_tasks(threads, corners, [&](std::int64_t axis, int) {
    std::vector<std::uint32_t> after(count);
    std::vector<bool> has_before(count, false);
    for (std::size_t v = 0; v < count; ++v) {
      after[v] = vertices.find(neighbour(vertices.keys()[v], static_cast<int>(axis), d));
      if (after[v] != none) has_before[after[v]] = true;
    }
    Axis& a = axes_[static_cast<std::size_t>(axis)];
    a.begins.push_back(0);
    for (std::size_t v = 0; v < count; ++v) {
      if (has_before[v] || after[v] == none) continue;
      for (std::uint32_t at = static_cast<std::uint32_t>(v); at != none; at = after[at])
        a.order.push_back(at);
      a.begins.push_back(static_cast<std::uint32_t>(a.order.size()));
    }
  });
}

std::size_t PermutohedralLattice::bytes() const {
  std::size_t sum = index_.size() * sizeof(std::uint32_t) + weights_.size() * sizeof(float) +
                    begins_.size() * sizeof(std::uint32_t) + sources_.size() * sizeof(CrfSource);
  for (const Axis& a : axes_) sum += (a.order.size() + a.begins.size()) * sizeof(std::uint32_t);
  return sum;
}

void PermutohedralLattice::spread(const float* values, std::int64_t stride, std::span<float> out,
                                  int threads) const {
  const std::int64_t count = vertices();
  parallel_tasks(threads, tasks_of(count, vertices_of_task), [&](std::int64_t task, int) {
    rows_.splat(values, stride, begins_.data(), sources_.data(), task * vertices_of_task,
                std::min(count, (task + 1) * vertices_of_task), out.data());
  });
  std::vector<float> before(static_cast<std::size_t>(threads * stride));
  for (const Axis& a : axes_) {
    const auto chains = static_cast<std::int64_t>(a.begins.size()) - 1;
    parallel_tasks(threads, tasks_of(chains, chains_of_task), [&](std::int64_t task, int thread) {
      for (std::int64_t i = task * chains_of_task; i < std::min(chains, (task + 1) * chains_of_task); ++i) {
        const auto chain = static_cast<std::size_t>(i);
        rows_.blur(out.data(), stride, a.order.data() + a.begins[chain],
                   std::int64_t{a.begins[chain + 1]} - a.begins[chain], before.data() + thread * stride);
      }
    });
  }
}

CrfMessage PermutohedralLattice::message(std::span<const float> vertices) const {
  return {.vertices = vertices.data(),
          .index = index_.data(),
          .weights = weights_.data(),
          .corners = dimensions_ + 1,
          .factor = 1.f / (1.f + std::pow(2.f, static_cast<float>(-dimensions_))),
          .scale = 1,
          .diagonal = nullptr,
          .matrix = nullptr};
}

std::vector<float> PermutohedralLattice::ones(int threads) const {
  const std::vector<float> in(static_cast<std::size_t>(pixels_ * crf_lanes), 1.f);
  std::vector<float> mixed(static_cast<std::size_t>(vertices() * crf_lanes)),
      out(static_cast<std::size_t>(pixels_));
  spread(in.data(), crf_lanes, mixed, threads);
  const CrfMessage m = message(mixed);
  for (std::int64_t p = 0; p < pixels_; ++p) {
    float sum = 0;
    for (std::int64_t r = 0; r < m.corners; ++r)
      sum += m.weights[p * m.corners + r] *
             mixed[m.index[p * m.corners + r] * static_cast<std::size_t>(crf_lanes)];
    out[static_cast<std::size_t>(p)] = sum * m.factor;
  }
  return out;
}

void PermutohedralLattice::scale(std::span<const float> before, std::span<const float> after) {
  for (CrfSource& source : sources_) source.weight *= before[source.pixel];
  const auto corners = static_cast<std::size_t>(dimensions_ + 1);
  for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] *= after[i / corners];
}

}  // namespace atrous
