// The few functions of hnswlib that the comparison calls.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "rust/cxx.h"

namespace rivals {

class Graph {
  public:
    struct Inside;
    explicit Graph(std::unique_ptr<Inside> inside);
    ~Graph();
    void add(rust::Slice<const float> vector, std::size_t label) const;
    void save(rust::Str path) const;
    void set_ef(std::size_t ef) const;
    std::size_t search(rust::Slice<const float> query, rust::Slice<std::uint32_t> found) const;

  private:
    std::unique_ptr<Inside> inside;
};

std::unique_ptr<Graph> create(std::size_t dimension, std::size_t rows, std::size_t m, std::size_t ef_construction);
std::unique_ptr<Graph> load(rust::Str path, std::size_t dimension);

}  // namespace rivals
