//! One interface for all libraries: an index is built once, kept in the cache folder, and queried one query at a time.

use std::path::Path;
use std::time::Duration;

use anndists::dist::DistDot;
use cairn::{Database, Operation, Options, Put, Query, SearchRequest, Snapshot};
use cpu_time::ProcessTime;
use cxx::UniquePtr;
use hnsw_rs::api::AnnT;
use hnsw_rs::hnsw::Hnsw;
use hnsw_rs::hnswio::HnswIo;

use crate::files::Rows;
use crate::hnswlib::bridge;

/// Links of a node above the base layer, which has twice as many; of hnswlib and hnsw_rs.
const M: usize = 16;
/// Breadth of the search for a new node's links; of hnswlib and hnsw_rs.
const EF_CONSTRUCTION: usize = 200;
/// Most layers, as hnsw_rs' examples choose them.
const LAYERS: usize = 16;
/// hnsw_rs asserts that no inner product passes 1, and rounding may lift one of equal vectors above: all are this much shorter.
const SHORTER: f32 = 0.999_99;
/// Rows of a transaction.
const TRANSACTION: usize = 1_000;

/// What fails, in words.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A library with its index.
pub(crate) trait Library {
    /// Its name in the table.
    fn name(&self) -> &'static str;
    /// Breadths of search to be measured.
    fn breadths(&self) -> &'static [usize];
    /// Chooses the breadth.
    fn set_breadth(&mut self, ef: usize);
    /// Writes the rows nearest to a query to `found`, replacing what is there.
    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Outcome<()>;
}

/// A library and the processor time that its index took, all threads; `None` for one that was made earlier.
pub(crate) type Made = (Box<dyn Library>, Option<Duration>);

/// Makes something unless it is there; the time of the making is kept beside it.
fn once(cache: &Path, name: &str, make: impl FnOnce() -> Outcome<()>) -> Outcome<Option<Duration>> {
    let note = cache.join(format!("{name}.build_seconds"));
    if let Ok(text) = std::fs::read_to_string(&note) {
        return Ok(text.trim().parse().ok().map(Duration::from_secs_f64));
    }
    eprintln!("building {name}");
    let start = ProcessTime::now();
    make()?;
    let time = start.elapsed();
    std::fs::write(note, time.as_secs_f64().to_string())?;
    Ok(Some(time))
}

/// Cairn, through its public interface: a database on disk, rows by key.
struct Cairn {
    snapshot: Snapshot,
    request: SearchRequest,
    query: Query,
    _open: Database,
}

/// Cairn over these rows.
pub(crate) fn cairn(cache: &Path, base: &Rows<f32>) -> Outcome<Made> {
    let folder = cache.join("cairn");
    let time = once(cache, "cairn", || {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let database = Database::create(&folder, Options::for_vectors(base.width))?;
        let put = |row: usize| {
            let (key, vector) = (row.to_string(), base.row(row).to_vec());
            Operation::Put(Put::new(key, vector))
        };
        for first in (0..base.len()).step_by(TRANSACTION) {
            database.write((first..base.len().min(first + TRANSACTION)).map(put).collect())?;
        }
        Ok(database.compact()?)
    })?;
    let open = Database::open(&folder)?;
    let library =
        Cairn { snapshot: open.snapshot(), request: SearchRequest::default(), query: Query::default(), _open: open };
    Ok((Box::new(library), time))
}

impl Library for Cairn {
    fn name(&self) -> &'static str {
        "cairn"
    }

    fn breadths(&self) -> &'static [usize] {
        &[100, 130, 160, 200, 260, 320, 400, 500, 650, 900]
    }

    fn set_breadth(&mut self, ef: usize) {
        self.request.ef = Some(ef);
    }

    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Outcome<()> {
        (self.request.depth, self.request.limit) = (k, k);
        self.query.vector.clear();
        self.query.vector.extend_from_slice(query);
        let answers = self.snapshot.search(&self.request, std::slice::from_ref(&self.query))?;
        found.clear();
        for row in &answers[0].rows {
            found.push(row.id.parse()?);
        }
        Ok(())
    }
}

/// The C++ library hnswlib, in this process.
struct Hnswlib(UniquePtr<bridge::Graph>);

/// hnswlib over these rows.
pub(crate) fn hnswlib(cache: &Path, base: &Rows<f32>) -> Outcome<Made> {
    let file = cache.join("hnswlib.bin").display().to_string();
    let time = once(cache, "hnswlib", || {
        let graph = bridge::create(base.width, base.len(), M, EF_CONSTRUCTION)?;
        for row in 0..base.len() {
            graph.add(base.row(row), row)?;
        }
        Ok(graph.save(&file)?)
    })?;
    Ok((Box::new(Hnswlib(bridge::load(&file, base.width)?)), time))
}

impl Library for Hnswlib {
    fn name(&self) -> &'static str {
        "hnswlib"
    }

    fn breadths(&self) -> &'static [usize] {
        &[100, 170, 260, 400, 650, 900]
    }

    fn set_breadth(&mut self, ef: usize) {
        self.0.set_ef(ef);
    }

    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Outcome<()> {
        found.resize(k, 0);
        let count = self.0.search(query, found)?;
        found.truncate(count);
        Ok(())
    }
}

/// The Rust library hnsw_rs, with its own SIMD inner product.
struct HnswRs {
    graph: Hnsw<'static, f32, DistDot>,
    ef: usize,
    query: Vec<f32>,
}

fn shorter(vector: &[f32]) -> Vec<f32> {
    vector.iter().map(|value| value * SHORTER).collect()
}

/// hnsw_rs over these rows.
pub(crate) fn hnsw_rs(cache: &Path, base: &Rows<f32>) -> Outcome<Made> {
    let time = once(cache, "hnsw_rs", || {
        let graph = Hnsw::<f32, DistDot>::new(M, base.len(), LAYERS, EF_CONSTRUCTION, DistDot {});
        for row in 0..base.len() {
            graph.insert((&shorter(base.row(row)), row));
        }
        graph.file_dump(cache, "hnsw_rs")?;
        Ok(())
    })?;
    // What is loaded borrows from its loader: it lives as long as the process.
    let loader: &'static mut HnswIo = Box::leak(Box::new(HnswIo::new(cache, "hnsw_rs")));
    let mut graph = loader.load_hnsw::<f32, DistDot>()?;
    graph.set_searching_mode(true);
    Ok((Box::new(HnswRs { graph, ef: 0, query: Vec::new() }), time))
}

impl Library for HnswRs {
    fn name(&self) -> &'static str {
        "hnsw_rs"
    }

    fn breadths(&self) -> &'static [usize] {
        &[100, 170, 260, 400, 650, 900]
    }

    fn set_breadth(&mut self, ef: usize) {
        self.ef = ef;
    }

    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Outcome<()> {
        self.query.clear();
        self.query.extend(query.iter().map(|value| value * SHORTER));
        found.clear();
        found.extend(self.graph.search(&self.query, k, self.ef).iter().map(|hit| hit.d_id as u32));
        Ok(())
    }
}
