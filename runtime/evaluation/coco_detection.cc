#include "runtime/evaluation/coco_detection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "layers/base/error.h"

namespace atrous {

namespace {

// NumPy's linspace(.5, .95, 10) to the last bit: an IoU may be equal to one.
constexpr std::array<double, 10> thresholds{0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999,
                                            0.95};
constexpr std::size_t threshold50 = 0, threshold75 = 5, points = 101;
constexpr std::size_t detections_limit = 100;

struct AreaRange {
  double least, most;
};
enum Area : std::size_t { all_areas, small, medium, large, area_count };
constexpr std::array<AreaRange, area_count> area_ranges{{{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}}};

bool is_outside(double area, const AreaRange& range) { return area < range.least || area > range.most; }

// A bit a threshold.
using Bits = std::uint16_t;
constexpr Bits bit(std::size_t threshold) { return static_cast<Bits>(1u << threshold); }

// One detection, and for each range of areas what became of it.
struct MatchedDetection {
  double score = 0;
  std::size_t rank = 0;  // in its image, from 0
  std::array<Bits, area_count> matched{}, ignored{};
};

struct CategoryMatches {
  std::vector<MatchedDetection> detections;  // images in the order of their ids
  std::array<std::size_t, area_count> truths{};
};

// A box or a mask.
struct CocoShape {
  CocoBox box{};
  std::vector<CocoSpan> spans;
  double area = 0;
};

double box_overlap(const CocoBox& a, const CocoBox& b) {
  const double width = std::min(a[0] + a[2], b[0] + b[2]) - std::max(a[0], b[0]);
  const double height = std::min(a[1] + a[3], b[1] + b[3]) - std::max(a[1], b[1]);
  return width <= 0 || height <= 0 ? 0 : width * height;
}

double box_iou(const CocoBox& detection, const CocoBox& truth, bool crowd) {
  const double common = box_overlap(detection, truth);
  if (common == 0) return 0;
  const double area = detection[2] * detection[3];
  return common / (crowd ? area : area + truth[2] * truth[3] - common);
}

double mask_iou(const CocoShape& detection, const CocoShape& truth, bool crowd, CocoWork& work) {
  constexpr std::uint64_t span_work = 4;
  if (box_overlap(detection.box, truth.box) == 0) return 0;
  work.take(span_work * (detection.spans.size() + truth.spans.size()));
  const auto common = static_cast<double>(coco_intersection(detection.spans, truth.spans));
  if (common == 0) return 0;
  const auto area = static_cast<double>(coco_area(detection.spans));
  return common / (crowd ? area : area + static_cast<double>(coco_area(truth.spans)) - common);
}

void check_box(const CocoBox& box) {
  for (const double v : box) {
    if (!std::isfinite(v)) fail(ErrorCode::invalid_argument, "its box has the number ", v);
    if (std::abs(v) > coco_coordinate_limit)
      fail(ErrorCode::limit, "its box has the number ", v, ", beyond ", coco_coordinate_limit);
  }
}

CocoShape box_shape(const CocoBox& box) {
  check_box(box);
  return {box, {}, box[2] * box[3]};
}

CocoShape mask_shape(const CocoMask& mask, const CocoImage& image, CocoWork& work) {
  CocoShape shape;
  shape.spans = coco_spans(mask, image.width, image.height, work);
  shape.box = coco_box_around(shape.spans, image.height);
  shape.area = static_cast<double>(coco_area(shape.spans));
  return shape;
}

CocoShape shape_of(const CocoAnnotation& a, const CocoImage& image, CocoGeometry geometry, CocoWork& work) {
  if (!std::isfinite(a.area)) fail(ErrorCode::invalid_argument, "its area is ", a.area);
  if (geometry == CocoGeometry::boxes) {
    if (!a.box) fail(ErrorCode::malformed, "there is no bbox");
    return box_shape(*a.box);
  }
  if (!a.mask) fail(ErrorCode::malformed, "there is no segmentation");
  return mask_shape(*a.mask, image, work);
}

// The area is the box's wherever there is one.
CocoShape shape_of(const CocoDetection& d, const CocoImage& image, CocoGeometry geometry, CocoWork& work) {
  if (geometry == CocoGeometry::boxes && d.box) return box_shape(*d.box);
  if (d.mask) {
    CocoShape shape = mask_shape(*d.mask, image, work);
    if (d.box) shape.area = box_shape(*d.box).area;
    return shape;
  }
  if (!d.box) fail(ErrorCode::malformed, "there is neither bbox nor segmentation");
  check_box(*d.box);
  CocoMask rectangle;
  rectangle.polygons.push_back(coco_fifths(coco_box_corners(*d.box)));
  CocoShape shape = mask_shape(rectangle, image, work);
  shape.area = (*d.box)[2] * (*d.box)[3];
  return shape;
}

// Where something is: indices into the images and categories.
struct CocoPlace {
  std::size_t image = 0, category = 0, index = 0;
};

bool is_before(const CocoPlace& a, const CocoPlace& b) {
  return a.image != b.image ? a.image < b.image : a.category < b.category;
}

template <class Value>
std::size_t index_of(const std::vector<Value>& values, std::int64_t id) {
  const auto found = std::ranges::lower_bound(values, id, {}, &Value::id);
  return found != values.end() && found->id == id ? static_cast<std::size_t>(found - values.begin())
                                                  : values.size();
}

// Truths and detections of one category in one image.
struct CocoGroup {
  const CocoImage& image;
  std::span<const CocoPlace> truths, detections;  // detections by descending score
};

class CocoMeasurement {
 public:
  CocoMeasurement(const CocoAnnotations& truth, const CocoResults& results, CocoGeometry geometry)
      : truth_(truth), results_(results), geometry_(geometry), matches_(truth.categories.size()) {}

  CocoScores measure() {
    scores_.outcomes50.resize(results_.detections.size());
    scores_.found50.resize(truth_.annotations.size());
    place_truths();
    place_detections();
    match_all();
    return scores();
  }

 private:
  void place_truths();
  void place_detections();
  void match_all();
  void match(const CocoGroup&, CocoWork&);
  std::vector<CocoShape> truth_shapes(const CocoGroup&, CocoWork&) const;
  std::vector<CocoShape> detection_shapes(const CocoGroup&, CocoWork&) const;
  CocoScores scores();

  const CocoAnnotations& truth_;
  const CocoResults& results_;
  const CocoGeometry geometry_;
  std::vector<CocoPlace> truths_, detections_;
  std::vector<CategoryMatches> matches_;
  CocoScores scores_;
};

void CocoMeasurement::place_truths() {
  for (std::size_t i = 0; i < truth_.annotations.size(); ++i) {
    const CocoAnnotation& a = truth_.annotations[i];
    const CocoPlace place{index_of(truth_.images, a.image), index_of(truth_.categories, a.category), i};
    if (place.image == truth_.images.size() || place.category == truth_.categories.size()) continue;
    truths_.push_back(place);
    ++(a.crowd ? scores_.crowds : scores_.truths);
    scores_.truth_of_id_zero = scores_.truth_of_id_zero || a.id == 0;
  }
  std::ranges::stable_sort(truths_, is_before);
}

void CocoMeasurement::place_detections() {
  const std::vector<CocoDetection>& all = results_.detections;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const CocoDetection& d = all[i];
    if (!std::isfinite(d.score))
      fail(ErrorCode::invalid_argument, results_.path, ": result ", i + 1, ": its score is ", d.score);
    const CocoPlace place{index_of(truth_.images, d.image), index_of(truth_.categories, d.category), i};
    if (place.image == truth_.images.size())
      fail(ErrorCode::mismatch, results_.path, ": result ", i + 1, " is of image ", d.image,
           ", which is not in ", truth_.path);
    if (place.category == truth_.categories.size())
      ++scores_.other_categories;
    else
      detections_.push_back(place);
  }
  scores_.detections = detections_.size();
  std::ranges::stable_sort(detections_, [&all](const CocoPlace& a, const CocoPlace& b) {
    if (is_before(a, b) || is_before(b, a)) return is_before(a, b);
    return all[a.index].score > all[b.index].score;
  });
}

// Takes what is at `place` off the front of `rest`.
std::span<const CocoPlace> take_group(std::span<const CocoPlace>& rest, const CocoPlace& place) {
  std::size_t count = 0;
  while (count < rest.size() && rest[count].image == place.image && rest[count].category == place.category)
    ++count;
  const std::span<const CocoPlace> group = rest.first(count);
  rest = rest.subspan(count);
  return group;
}

void CocoMeasurement::match_all() {
  std::span<const CocoPlace> truths = truths_, detections = detections_;
  CocoWork work;
  for (std::size_t image = 0; !truths.empty() || !detections.empty();) {
    const bool truth_next =
        detections.empty() || (!truths.empty() && !is_before(detections.front(), truths.front()));
    const CocoPlace next = truth_next ? truths.front() : detections.front();
    if (next.image != image) work = {};
    image = next.image;
    CocoGroup group{truth_.images[image], take_group(truths, next), take_group(detections, next)};
    group.detections = group.detections.first(std::min(group.detections.size(), detections_limit));
    match(group, work);
  }
}

std::vector<CocoShape> CocoMeasurement::truth_shapes(const CocoGroup& group, CocoWork& work) const {
  std::vector<CocoShape> shapes;
  for (const CocoPlace& place : group.truths) {
    const CocoAnnotation& a = truth_.annotations[place.index];
    try {
      shapes.push_back(shape_of(a, group.image, geometry_, work));
    } catch (const Error& error) {
      fail(error.code(), truth_.path, ": annotation ", a.id, ": ", error.what());
    }
  }
  return shapes;
}

std::vector<CocoShape> CocoMeasurement::detection_shapes(const CocoGroup& group, CocoWork& work) const {
  std::vector<CocoShape> shapes;
  for (const CocoPlace& place : group.detections) {
    try {
      shapes.push_back(shape_of(results_.detections[place.index], group.image, geometry_, work));
    } catch (const Error& error) {
      fail(error.code(), results_.path, ": result ", place.index + 1, ": ", error.what());
    }
  }
  return shapes;
}

// A truth as the matching takes it, those that count first.
struct CocoCandidate {
  std::size_t truth = 0;
  bool ignored = false, crowd = false;
  std::int64_t id = 0;
  bool taken = false;
};

constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

// The candidate that a detection of these IoUs is matched to, or none.
std::size_t best_match(std::span<const CocoCandidate> candidates, std::span<const double> ious,
                       double threshold) {
  double best = std::min(threshold, 1 - 1e-10);
  std::size_t found = none;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const CocoCandidate& c = candidates[i];
    if (c.taken && !c.crowd) continue;
    if (found != none && !candidates[found].ignored && c.ignored) break;
    if (ious[c.truth] < best) continue;
    best = ious[c.truth];
    found = i;
  }
  return found;
}

void CocoMeasurement::match(const CocoGroup& group, CocoWork& work) {
  const std::vector<CocoShape> truths = truth_shapes(group, work), detections = detection_shapes(group, work);
  std::vector<double> ious(truths.size() * detections.size());
  for (std::size_t d = 0; d < detections.size(); ++d)
    for (std::size_t t = 0; t < truths.size(); ++t) {
      const bool crowd = truth_.annotations[group.truths[t].index].crowd;
      ious[d * truths.size() + t] = geometry_ == CocoGeometry::boxes
                                        ? box_iou(detections[d].box, truths[t].box, crowd)
                                        : mask_iou(detections[d], truths[t], crowd, work);
    }
  const CocoPlace& place = group.truths.empty() ? group.detections.front() : group.truths.front();
  CategoryMatches& matches = matches_[place.category];
  std::vector<MatchedDetection> rows(detections.size());
  for (std::size_t d = 0; d < rows.size(); ++d) {
    rows[d].score = results_.detections[group.detections[d].index].score;
    rows[d].rank = d;
  }
  for (std::size_t area = 0; area < area_count; ++area) {
    std::vector<CocoCandidate> candidates;
    for (std::size_t t = 0; t < truths.size(); ++t) {
      const CocoAnnotation& a = truth_.annotations[group.truths[t].index];
      const bool ignored = a.crowd || is_outside(a.area, area_ranges[area]);
      matches.truths[area] += !ignored;
      candidates.push_back({t, ignored, a.crowd, a.id});
    }
    std::ranges::stable_sort(candidates, {}, &CocoCandidate::ignored);
    for (std::size_t t = 0; t < thresholds.size(); ++t) {
      for (CocoCandidate& c : candidates) c.taken = false;
      for (std::size_t d = 0; d < rows.size(); ++d) {
        const std::size_t found =
            best_match(candidates, std::span(ious).subspan(d * truths.size(), truths.size()), thresholds[t]);
        const bool matched = found != none && candidates[found].id != 0;
        if (found != none) candidates[found].taken = true;
        const bool ignored = (found != none && candidates[found].ignored) ||
                             (!matched && is_outside(detections[d].area, area_ranges[area]));
        if (matched) rows[d].matched[area] |= bit(t);
        if (ignored) rows[d].ignored[area] |= bit(t);
        if (area != all_areas || t != threshold50) continue;
        scores_.outcomes50[group.detections[d].index] = ignored   ? CocoOutcome::not_counted
                                                        : matched ? CocoOutcome::right
                                                                  : CocoOutcome::wrong;
        if (!matched) continue;
        std::optional<std::size_t>& best = scores_.found50[group.truths[candidates[found].truth].index];
        if (!best) best = group.detections[d].index;  // a crowd may have several, by falling score
      }
    }
  }
  matches.detections.insert(matches.detections.end(), rows.begin(), rows.end());
}

// Precision by recall, and the recall that all detections reach together.
struct CocoCurve {
  double recall = 0;
  std::array<double, points> precision{}, score{};
};

struct CocoCurvePoint {
  double recall = 0, precision = 0, score = 0;
};

// `detections` by descending score; those of rank `most` and above are left out.
CocoCurve curve_of(std::span<const MatchedDetection> detections, std::size_t truths, std::size_t area,
                   std::size_t threshold, std::size_t most) {
  std::vector<CocoCurvePoint> found;
  double right = 0, wrong = 0;
  for (const MatchedDetection& d : detections) {
    if (d.rank >= most) continue;
    if ((d.ignored[area] & bit(threshold)) == 0) ++((d.matched[area] & bit(threshold)) != 0 ? right : wrong);
    found.push_back({.recall = right / static_cast<double>(truths),
                     .precision = right / (wrong + right + std::numeric_limits<double>::epsilon()),
                     .score = d.score});
  }
  CocoCurve curve;
  if (found.empty()) return curve;
  curve.recall = found.back().recall;
  for (std::size_t i = found.size() - 1; i > 0; --i)
    found[i - 1].precision = std::max(found[i - 1].precision, found[i].precision);
  for (std::size_t p = 0, i = 0; p < points; ++p) {
    while (i < found.size() && found[i].recall < static_cast<double>(p) * 0.01) ++i;
    if (i == found.size()) break;
    curve.precision[p] = found[i].precision;
    curve.score[p] = found[i].score;
  }
  return curve;
}

struct CocoMean {
  double sum = 0;
  std::size_t count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
  void add(const CocoCurve& curve) {
    for (const double p : curve.precision) add(p);
  }
  double value() const { return count > 0 ? sum / static_cast<double>(count) : -1; }
};

// Of one range of areas and one number of detections.
struct CocoMeans {
  CocoMean ap, ap50, ap75, ar;
  void add(const CocoCurve& curve, std::size_t threshold) {
    ap.add(curve);
    if (threshold == threshold50) ap50.add(curve);
    if (threshold == threshold75) ap75.add(curve);
    ar.add(curve.recall);
  }
};

CocoScores CocoMeasurement::scores() {
  std::array<CocoMeans, area_count> of_area;
  CocoMeans with1, with10;
  for (std::size_t c = 0; c < matches_.size(); ++c) {
    CategoryMatches& m = matches_[c];
    std::ranges::stable_sort(m.detections, std::ranges::greater(), &MatchedDetection::score);
    CocoCategoryScore score{truth_.categories[c].id, truth_.categories[c].name, m.truths[all_areas],
                            m.detections.size()};
    CocoMeans own;
    for (std::size_t t = 0; t < thresholds.size(); ++t) {
      for (std::size_t area = 0; area < area_count; ++area) {
        if (m.truths[area] == 0) continue;
        const CocoCurve curve = curve_of(m.detections, m.truths[area], area, t, detections_limit);
        of_area[area].add(curve, t);
        if (area != all_areas) continue;
        own.add(curve, t);
        if (t != threshold50) continue;
        score.recall50 = curve.recall;
        score.precision50 = curve.precision;
        score.score50 = curve.score;
      }
      if (m.truths[all_areas] == 0) continue;
      with1.add(curve_of(m.detections, m.truths[all_areas], all_areas, t, 1), t);
      with10.add(curve_of(m.detections, m.truths[all_areas], all_areas, t, 10), t);
    }
    score.ap = own.ap.value();
    score.ap50 = own.ap50.value();
    score.ap75 = own.ap75.value();
    score.ar100 = own.ar.value();
    scores_.categories.push_back(std::move(score));
  }
  const CocoMeans& all = of_area[all_areas];
  scores_.summary = {all.ap.value(),
                     all.ap50.value(),
                     all.ap75.value(),
                     of_area[small].ap.value(),
                     of_area[medium].ap.value(),
                     of_area[large].ap.value(),
                     with1.ar.value(),
                     with10.ar.value(),
                     all.ar.value(),
                     of_area[small].ar.value(),
                     of_area[medium].ar.value(),
                     of_area[large].ar.value()};
  scores_.images = truth_.images.size();
  return std::move(scores_);
}

}  // namespace

CocoScores measure_coco(const CocoAnnotations& truth, const CocoResults& results, CocoGeometry geometry) try {
  return CocoMeasurement(truth, results, geometry).measure();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
