// atrous inspect MODEL --explain and --graph: a model's layers, one by one.
#pragma once

#include <string>

#include "runtime/explain/layer_facts.h"
#include "runtime/segment/model.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/io/json.h"

namespace atrous::cli {

// A model that was made of a checkpoint, and the size at which its layers are looked at. Of a model that
// finds instances it is the graph that a picture goes through first.
struct Explained {
  const Model& model;
  const Checkpoint& checkpoint;
  int width, height, threads;
};

// Without a name a table of all layers; of a name the layer in words; of the beginning of several names, up
// to a dot, a table of these. Error(invalid_argument) with a suggestion where there is none.
std::string explained(const Explained&, const std::string& layer);

// The same facts for programs: of all layers, of one with its header's text, or of those whose names begin
// so.
JsonText explained_in_json(const Explained&, const std::string& file, const std::string& layer);

// "427x427", or "all": what one value of a layer's output depends on.
std::string field_in_words(const LayerFacts&);

// Writes the graph as it runs: .dot, or .svg where Graphviz's dot is installed. Error(unsupported) where it
// is not; UsageError for other endings.
void write_graph(const Explained&, const std::string& file);

}  // namespace atrous::cli
