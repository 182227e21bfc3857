//! The neighbour graph of the images of one role: the nearest other images of each. It is computed exactly on first use. A graph that was
//! computed for other images of the same model is brought in line with these: only what changed is searched for. The graph of the index
//! images is kept here and saved; that of the train images belongs to their augmentation.

mod build;
mod file;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

pub(crate) use file::Owner;

use super::kept::kept;
use crate::catalog::{Catalog, StoredFile};
use crate::disk::Folder;
use crate::error::Result;
use crate::id::ImageId;
use crate::progress::Interrupt;
use crate::rows::RowSet;
use crate::vector::Hit;

/// Rows of a derivation that are kept; an index with more has the others computed again.
const KEPT_ROWS: usize = 200_000;

/// The graph as directed edges: row by row, the most similar first, equal ones by key.
pub(crate) struct Neighbourhood {
    /// Edges that a row has, unless there are fewer other rows.
    others: usize,
    starts: Vec<usize>,
    edges: Vec<Hit>,
    /// The rows that answer and their images, by which a graph of other rows finds them; none in a graph that is not kept.
    images: Vec<(usize, ImageId)>,
}

impl Neighbourhood {
    /// The graph of these lists: of each row the nearest others and their similarities, best first.
    pub(crate) fn of_lists(others: usize, lists: &[Vec<(usize, f32)>]) -> Self {
        let (mut starts, mut edges) = (vec![0], Vec::new());
        for list in lists {
            edges.extend(list.iter().map(|&(row, similarity)| Hit { similarity, row: row as u32 }));
            starts.push(edges.len());
        }
        Self { others, starts, edges, images: Vec::new() }
    }

    /// The graph in the file that the catalog knows; `None`: there is no file, or it is of another model's space.
    ///
    /// # Errors
    /// `Corrupt`: it is not the file that was written; `Io`.
    pub(crate) fn saved(folder: &Folder, owner: Owner, known: StoredFile) -> Result<Option<Self>> {
        file::read(folder, owner, known, usize::MAX)
    }

    /// Edges that a row has, unless there are fewer other rows.
    pub(crate) fn others(&self) -> usize {
        self.others
    }

    /// The images that have a row.
    pub(crate) fn images(&self) -> impl Iterator<Item = ImageId> {
        self.images.iter().map(|&(_, id)| id)
    }

    /// A number for the images and edges that it has: the images and how many edges each has decide the edges.
    fn digest(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.others.to_le_bytes());
        self.images.iter().for_each(|(_, id)| hasher.update(&id.0.to_le_bytes()));
        hasher.finalize()
    }

    /// Rows, dead ones included; these have no edges.
    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The nearest other rows of a row, at most so many.
    pub(crate) fn nearest(&self, row: usize, most: usize) -> &[Hit] {
        let all = &self.edges[self.starts[row]..self.starts[row + 1]];
        &all[..most.min(all.len())]
    }

    /// The edges from their ends: to each row from those that have it among their nearest `degree`, in the order of rows.
    fn reversed(&self, degree: usize) -> Self {
        let mut starts = vec![0; self.rows() + 1];
        for edge in (0..self.rows()).flat_map(|row| self.nearest(row, degree)) {
            starts[edge.row as usize + 1] += 1;
        }
        let mut next = 0;
        for start in &mut starts {
            next += *start;
            *start = next;
        }
        let mut edges = vec![Hit { similarity: 0.0, row: 0 }; next];
        let mut ends = starts.clone();
        for row in 0..self.rows() {
            for edge in self.nearest(row, degree) {
                let end = &mut ends[edge.row as usize];
                edges[*end] = Hit { similarity: edge.similarity, row: row as u32 };
                *end += 1;
            }
        }
        Self { others: degree, starts, edges, images: Vec::new() }
    }

    /// Whether a row is among the nearest ones of another.
    pub(crate) fn has(&self, row: usize, other: usize, most: usize) -> bool {
        self.nearest(row, most).iter().any(|edge| edge.row as usize == other)
    }
}

/// A sparse row of a derivation: rows and weights.
pub(crate) type Sparse = Arc<[(u32, f32)]>;

/// Which derivation of the graph a sparse row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Derivation {
    /// Diffusion from one source, by degree and cut.
    Diffusion(usize, usize),
    /// The reciprocal neighbourhood of a row, by k1.
    Reciprocal(usize),
    /// Its mean over the row and its k2 - 1 nearest, by k1 and k2.
    Mean(usize, usize),
}

/// What was computed of one set of index images; states with the same ones share it.
#[derive(Default)]
pub(crate) struct Neighbourhoods {
    graph: Mutex<Option<Arc<Neighbourhood>>>,
    /// All states of one model share it.
    last: Arc<Last>,
    rows: Mutex<HashMap<(Derivation, u32), Sparse>>,
    /// The edges from their ends, of the degree that was asked for last.
    reversed: Mutex<Option<(usize, Arc<Neighbourhood>)>>,
    /// By number of images and bits of alpha; those of the last augmentation.
    lengths: Mutex<Option<(Augmentation, Arc<[f32]>)>>,
}

/// The graph that was computed or read last, of whichever index images.
#[derive(Default)]
struct Last {
    graph: Mutex<Option<Arc<Neighbourhood>>>,
    file: Option<Stored>,
    /// What [`Neighbourhood::digest`] says of the graph in the file.
    saved: Mutex<Option<u32>>,
}

/// The file that a process found.
struct Stored {
    folder: Folder,
    owner: Owner,
    known: StoredFile,
    /// It was looked at; what it has is the graph, or there is none.
    is_read: Mutex<bool>,
}

/// Number of averaged images, and the bits of alpha.
type Augmentation = (usize, u64);

impl Last {
    /// The graph with at least so many edges an image, from the file if nothing was computed yet.
    fn of(&self, others: usize, images: usize) -> Option<Arc<Neighbourhood>> {
        if let Some(Stored { folder, owner, known, is_read }) = &self.file {
            let mut is_read = is_read.lock();
            let is_needed = !*is_read && self.graph.lock().is_none();
            if let Some(graph) = is_needed.then(|| file::load(folder, *owner, *known, images)).flatten() {
                *self.saved.lock() = Some(graph.digest());
                self.graph.lock().get_or_insert(Arc::new(graph));
            }
            *is_read = true;
        }
        self.graph.lock().clone().filter(|graph| graph.others >= others)
    }
}

impl Neighbourhoods {
    /// Those of a database that is being opened.
    pub(crate) fn stored(folder: &Folder, owner: Owner, known: Option<StoredFile>) -> Self {
        let stored = |known| Stored { folder: folder.clone(), owner, known, is_read: Mutex::new(false) };
        Self { last: Arc::new(Last { file: known.map(stored), ..Last::default() }), ..Self::default() }
    }

    /// Saves the graph that was computed last, of these index images or earlier ones, unless it is the saved one.
    ///
    /// While the file changes the catalog knows none: so a file that is not the known one is damaged, and no crash left it.
    ///
    /// # Errors
    /// `Io`; then the catalog knows no file.
    pub(crate) fn save(&self, folder: &Folder, catalog: &Arc<Catalog>) -> Result<()> {
        let mut saved = self.last.saved.lock();
        let Some(graph) = self.last.graph.lock().clone() else { return Ok(()) };
        let digest = graph.digest();
        if *saved == Some(digest) {
            return Ok(());
        }
        *saved = None;
        catalog.forget_neighbours()?;
        catalog.know_neighbours(file::save(folder, Owner::of(catalog), &graph)?)?;
        *saved = Some(digest);
        Ok(())
    }

    /// Computes the graph of these index images from the start, with at least so many edges a row, and forgets what was known and
    /// derived of an earlier one. The next [`Neighbourhoods::save`] writes it.
    ///
    /// # Errors
    /// Those of [`Neighbourhoods::graph`].
    pub(crate) fn compute(&self, index: &RowSet, others: usize, interrupt: &Interrupt<'_>) -> Result<()> {
        let known = self.last.of(others, index.live_rows()).map_or(others, |last| last.others);
        let graph = Arc::new(Neighbourhood::of(index, known, interrupt)?);
        *self.graph.lock() = Some(Arc::clone(&graph));
        *self.last.graph.lock() = Some(graph);
        // Behind the graph: whoever saves meanwhile saves this one, or an earlier one before this one.
        *self.last.saved.lock() = None;
        self.rows.lock().clear();
        *self.reversed.lock() = None;
        *self.lengths.lock() = None;
        Ok(())
    }

    /// The graphs in memory: that of these index images, and the one that was computed or read last.
    pub(crate) fn held(&self) -> Vec<Arc<Neighbourhood>> {
        let mut held: Vec<_> =
            [self.graph.lock().clone(), self.last.graph.lock().clone()].into_iter().flatten().collect();
        held.dedup_by(|one, other| Arc::ptr_eq(one, other));
        held
    }

    /// Those of other index images of the same model.
    pub(crate) fn of_others(&self) -> Self {
        Self { last: Arc::clone(&self.last), ..Self::default() }
    }

    /// The neighbour graph of these index images, with at least so many edges a row where there are as many other rows.
    ///
    /// Complexity: on first use `O(index^2)` 8-bit products and `8 * others` bytes a row. Then nothing until an index image comes or
    /// goes, and `O(index)` for each image that came, and for each image that had one among its nearest that went.
    ///
    /// # Errors
    /// A damaged catalog; `Cancelled`.
    pub(crate) fn graph(&self, index: &RowSet, others: usize, interrupt: &Interrupt<'_>) -> Result<Arc<Neighbourhood>> {
        if let Some(graph) = self.graph.lock().as_ref().filter(|graph| graph.others >= others) {
            return Ok(Arc::clone(graph));
        }
        // No lock is held while processors share the work; two readers who ask at once do it twice.
        let graph = Arc::new(match self.last.of(others, index.live_rows()) {
            Some(last) => last.moved_to(index, interrupt)?,
            None => Neighbourhood::of(index, others, interrupt)?,
        });
        *self.graph.lock() = Some(Arc::clone(&graph));
        *self.last.graph.lock() = Some(Arc::clone(&graph));
        Ok(graph)
    }

    /// The edges of a graph of these index images from their ends: with them it is symmetric. Those of one degree are kept.
    ///
    /// Complexity: on first use one pass over the edges, and as much memory as they take.
    pub(crate) fn reversed(&self, graph: &Neighbourhood, degree: usize) -> Arc<Neighbourhood> {
        if let Some((_, known)) = self.reversed.lock().as_ref().filter(|(known, _)| *known == degree) {
            return Arc::clone(known);
        }
        let made = Arc::new(graph.reversed(degree));
        *self.reversed.lock() = Some((degree, Arc::clone(&made)));
        made
    }

    /// The lengths of the augmented descriptors of an augmentation, a number a row; those of one augmentation are kept.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn lengths(&self, of: Augmentation, make: impl FnOnce() -> Result<Arc<[f32]>>) -> Result<Arc<[f32]>> {
        if let Some((_, known)) = self.lengths.lock().as_ref().filter(|(known, _)| *known == of) {
            return Ok(Arc::clone(known));
        }
        let made = make()?;
        *self.lengths.lock() = Some((of, Arc::clone(&made)));
        Ok(made)
    }

    /// A row of a derivation; `make` computes it without a lock, so two readers who ask at once do it twice.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn row(&self, of: Derivation, row: usize, make: impl FnOnce() -> Result<Sparse>) -> Result<Sparse> {
        kept(&self.rows, KEPT_ROWS, (of, row as u32), make)
    }
}
