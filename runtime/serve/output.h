// What a request asks back, by ?output= or, without it, by Accept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace atrous::serve {

// As `atrous segment` calls them. labels: indices as grey; indexed: the same with the palette; instances:
// COCO's results format.
enum class Output { json, labels, indexed, mask, overlay, confidence, instances };

struct Wanted {
  Output output = Output::json;
  std::string type;  // of the answer: image/png, image/jpeg, application/json
};

// Without ?output=: application/json asks for json, image/png for labels, image/jpeg for an overlay; of
// several the one of the highest weight, json before the others where they are equal. With it, Accept chooses
// between PNG and JPEG of an overlay alone. Problem(400) for another word, Problem(406) where nothing that is
// accepted can be given.
Wanted wanted_output(std::string_view output, std::string_view accept);

// "labels,confidence": pictures that JSON holds as members, base64 of PNG. Problem(400).
std::vector<std::string> parts_of_include(std::string_view include);

// 0..1: how much Accept wants a type such as image/png (RFC 9110, 12.5.1); an empty one wants all.
double weight_of(std::string_view accept, std::string_view type);

}  // namespace atrous::serve
