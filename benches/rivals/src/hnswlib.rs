//! The bridge to hnswlib.
#![allow(missing_docs, unreachable_pub, reason = "the bridge generates items")]

#[cxx::bridge(namespace = "rivals")]
pub(crate) mod bridge {
    // SAFETY: `shim.cc` checks lengths and keeps nothing that it is lent.
    unsafe extern "C++" {
        include!("cairn-rivals/src/shim.h");

        /// A graph over inner products.
        type Graph;

        /// An empty graph.
        fn create(dimension: usize, rows: usize, m: usize, ef_construction: usize) -> Result<UniquePtr<Graph>>;
        /// A saved graph.
        fn load(path: &str, dimension: usize) -> Result<UniquePtr<Graph>>;
        /// Inserts a row.
        fn add(self: &Graph, vector: &[f32], label: usize) -> Result<()>;
        /// Saves it.
        fn save(self: &Graph, path: &str) -> Result<()>;
        /// Chooses the breadth of searches.
        fn set_ef(self: &Graph, ef: usize);
        /// Fills `found` with the labels of the nearest rows; how many there are.
        fn search(self: &Graph, query: &[f32], found: &mut [u32]) -> Result<usize>;
    }
}
