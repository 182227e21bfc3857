// The few functions of hnswlib that the comparison calls; hnswlib's own headers are found through HNSWLIB_INCLUDE.
#include "cairn-rivals/src/shim.h"

#include <stdexcept>
#include <string>

#include "hnswlib/hnswlib.h"

namespace rivals {

struct Graph::Inside {
    explicit Inside(std::size_t dimension) : dimension(dimension), space(dimension) {}
    std::size_t dimension;
    hnswlib::InnerProductSpace space;
    std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph;
};

static void check(std::size_t found, std::size_t expected) {
    if (found != expected) throw std::invalid_argument("a vector of another dimension");
}

Graph::Graph(std::unique_ptr<Inside> inside) : inside(std::move(inside)) {}
Graph::~Graph() = default;

void Graph::add(rust::Slice<const float> vector, std::size_t label) const {
    check(vector.size(), inside->dimension);
    inside->graph->addPoint(vector.data(), label);
}

void Graph::save(rust::Str path) const { inside->graph->saveIndex(std::string(path)); }

void Graph::set_ef(std::size_t ef) const { inside->graph->setEf(ef); }

std::size_t Graph::search(rust::Slice<const float> query, rust::Slice<std::uint32_t> found) const {
    check(query.size(), inside->dimension);
    auto nearest = inside->graph->searchKnn(query.data(), found.size());
    const std::size_t count = nearest.size();
    for (std::size_t at = count; at > 0; --at) {
        found[at - 1] = static_cast<std::uint32_t>(nearest.top().second);
        nearest.pop();
    }
    return count;
}

std::unique_ptr<Graph> create(std::size_t dimension, std::size_t rows, std::size_t m, std::size_t ef_construction) {
    auto inside = std::make_unique<Graph::Inside>(dimension);
    inside->graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(&inside->space, rows, m, ef_construction, 1);
    return std::make_unique<Graph>(std::move(inside));
}

std::unique_ptr<Graph> load(rust::Str path, std::size_t dimension) {
    auto inside = std::make_unique<Graph::Inside>(dimension);
    inside->graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(&inside->space, std::string(path));
    return std::make_unique<Graph>(std::move(inside));
}

}  // namespace rivals
