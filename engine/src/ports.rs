//! What the engine asks of the outside: embedding photos, finding their local features, reading files of queries, proposing neighbours on a device.
//!
//! The engine never links torch and never decodes a pixel; the ingest crate implements these traits and the program hands them in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::attribute::Attributes;
use crate::error::{Error, Result};
use crate::report::Report;

/// A photo as it comes: a file, or bytes from a pipe or an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Photo {
    /// A file of an image format.
    File(PathBuf),
    /// The bytes of such a file.
    Bytes(Vec<u8>),
}

/// A photo turned into what the database keeps of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Embedded {
    /// The descriptor, L2-normalised, of the model's dimension.
    pub vector: Vec<f32>,
    /// BLAKE3 of the photo's bytes.
    pub content: [u8; 32],
    /// What the database's [`Keep`](crate::Keep) policy asks to be kept.
    pub kept: Option<Vec<u8>>,
    /// What its file says of it, such as when it was taken.
    pub attributes: Attributes,
}

impl Embedded {
    /// A descriptor and its photo's bytes as they are in the file, of which the BLAKE3 is computed: it tells whether a photo that comes
    /// under the same key is another one. Nothing is kept of the photo.
    pub fn of_photo(vector: impl Into<Vec<f32>>, bytes: &[u8]) -> Self {
        Self::new(vector, *blake3::hash(bytes).as_bytes())
    }

    /// A descriptor and the BLAKE3 of its photo; nothing is kept of the photo.
    pub fn new(vector: impl Into<Vec<f32>>, content: [u8; 32]) -> Self {
        Self { vector: vector.into(), content, kept: None, attributes: Attributes::new() }
    }

    /// Keeps these bytes of the photo.
    #[must_use]
    pub fn kept(self, kept: impl Into<Option<Vec<u8>>>) -> Self {
        Self { kept: kept.into(), ..self }
    }

    /// Stores these attributes with the photo.
    #[must_use]
    pub fn attributes(self, attributes: Attributes) -> Self {
        Self { attributes, ..self }
    }
}

/// Turns photos into descriptors. One call embeds one photo; bulk work goes through the ingest crate's pipeline.
pub trait Embed: Send + Sync {
    /// Fingerprint of the model that embeds; where a descriptor is stored or searched it must be the active model's
    /// ([`ModelInfo::fingerprint`](crate::model::ModelInfo)). Default `None`: unknown, and nothing is compared.
    ///
    /// The engine asks before and after each photo. An embedder that follows the active model answers with that model's.
    fn fingerprint(&self) -> Option<String> {
        None
    }

    /// Embeds one photo.
    ///
    /// # Errors
    /// A message for people when the photo cannot be read, decoded or embedded.
    fn embed(&self, photo: &Photo) -> Result<Embedded>;
}

/// Local features of one photo: what geometric verification compares.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LocalFeatureSet {
    /// (x, y) of every feature in pixels of a frame that the extractor documents, best feature first.
    pub locations: Vec<[f32; 2]>,
    /// Row-major descriptors in the order of `locations`: `dimension` f32 each, of unit length.
    pub descriptors: Vec<f32>,
    /// Length of a descriptor; told even when there is no feature.
    pub dimension: usize,
    /// How sure the extractor is of every feature, in the order of `locations`: finite, above 0, never rising.
    pub scores: Vec<f32>,
}

impl LocalFeatureSet {
    /// No features, of descriptors of that length.
    pub fn new(dimension: usize) -> Self {
        Self { dimension, ..Self::default() }
    }

    /// Whether it is what its fields say; places, numbers and lengths are checked where they become `Features`.
    ///
    /// # Errors
    /// `Invalid`: another number of scores than of locations, a score that is not above 0 or larger than the one before it, a descriptor
    /// that is not of unit length.
    pub fn check(&self) -> Result<()> {
        /// What rounding to 16 bits leaves of a length of 1, squared.
        const CLOSE: f32 = 0.01;
        if self.scores.len() != self.locations.len() {
            let what = format!("{} local features with {} scores", self.locations.len(), self.scores.len());
            return Err(Error::invalid(what).help("each feature needs one score"));
        }
        let falls = self.scores.windows(2).all(|pair| pair[0] >= pair[1]);
        if !falls || !self.scores.iter().all(|&score| score > 0.0 && score.is_finite()) {
            return Err(Error::invalid("scores of local features that are not finite, not above 0 or not in order")
                .help("the best feature stands first, with the largest score"));
        }
        let squared = |descriptor: &[f32]| descriptor.iter().map(|x| x * x).sum::<f32>();
        let mut lengths = self.descriptors.chunks(self.dimension.max(1)).map(squared);
        // What is no number is in no range.
        match lengths.find(|squared| !(1.0 - CLOSE..1.0 + CLOSE).contains(squared)) {
            None => Ok(()),
            Some(squared) => Err(Error::invalid(format!("a local descriptor of length {}", squared.sqrt()))
                .help("local descriptors have unit length")),
        }
    }
}

/// Finds local features of photos. One call takes one photo; callers use many threads.
pub trait LocalFeatures: Send + Sync {
    /// Whatever decides the features: network, weights, sizes. Features of different fingerprints are never compared.
    fn fingerprint(&self) -> String;

    /// Descriptors of one place are at most this far apart (L2 of unit vectors), and each other's nearest.
    fn max_distance(&self) -> f32;

    /// The local features of one photo. A photo without any texture has none, which is no error. `content` is the BLAKE3 of the file
    /// that was stored: another file in its place shows something else.
    ///
    /// # Errors
    /// A message for people when the photo cannot be read or decoded, is another file, or the network fails.
    fn extract(&self, photo: &Photo, content: Option<&[u8; 32]>) -> Result<LocalFeatureSet>;
}

/// Counts the inliers of queries with stored images, for recognition and for searches that verify.
pub trait CountInliers: Send + Sync {
    /// For each query, by its number in the call that asks, and each of the stored images with these keys the number of inliers, in the
    /// same order; `None`: the two cannot be compared.
    ///
    /// # Errors
    /// A message for people, where nothing can be compared.
    fn count(&self, asked: &[(usize, Vec<String>)]) -> Result<Vec<Vec<Option<u32>>>>;
}

/// One query of a file of queries.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NamedQuery {
    /// Its place in the file, from 0 on; those that cannot be asked count too.
    pub number: usize,
    /// Its id in the file, where the file has ids.
    pub id: Option<String>,
    /// Its descriptor.
    pub vector: Vec<f32>,
    /// Its photo, where the file names photos.
    pub photo: Option<Photo>,
}

impl NamedQuery {
    /// The query of that place in the file, without an id.
    pub fn new(number: usize, vector: impl Into<Vec<f32>>) -> Self {
        Self { number, id: None, vector: vector.into(), photo: None }
    }

    /// Its id in the file, and its photo.
    #[must_use]
    pub fn of_photo(self, id: impl Into<String>, photo: Photo) -> Self {
        Self { id: Some(id.into()), photo: Some(photo), ..self }
    }
}

/// A query of a file that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedQuery {
    /// Its place in the file, from 0 on.
    pub number: usize,
    /// Its id in the file, where the file has ids.
    pub id: Option<String>,
    /// Why, for people.
    pub reason: String,
}

impl FailedQuery {
    /// The query of that place in the file, without an id, and the reason.
    pub fn new(number: usize, reason: impl Into<String>) -> Self {
        Self { number, id: None, reason: reason.into() }
    }

    /// Its id in the file.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// What people call it: its id, or its place.
    pub fn name(&self) -> String {
        self.id.clone().unwrap_or_else(|| format!("query {}", self.number))
    }
}

/// What a file of queries holds.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct QueryFile {
    /// What can be asked, in file order.
    pub queries: Vec<NamedQuery>,
    /// What cannot, in file order: a photo that is damaged, a vector that is zero.
    pub failed: Vec<FailedQuery>,
}

/// Reads `QUERIES 'file'`: vectors (.npy, .npz, .fvecs) or a list of photos (.csv), which it embeds.
pub trait ReadQueries: Send + Sync {
    /// All queries of the file. One that cannot be asked does not keep the others back.
    ///
    /// # Errors
    /// A message for people that names the file, where it cannot be read as a whole.
    fn read(&self, path: &Path) -> Result<QueryFile>;
}

/// A stored image whose descriptor of another model is wanted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Wanted {
    /// External key.
    pub key: String,
    /// Where it came from.
    pub source: Option<String>,
    /// BLAKE3 of the photo's file as it was then, where it came from one.
    pub content: Option<[u8; 32]>,
    /// What the database keeps of the photo.
    pub photo: Option<Vec<u8>>,
    /// Its descriptor of the active model, of unit length.
    pub vector: Vec<f32>,
    /// Its descriptors of other models, by their numbers, where it has them.
    pub others: Vec<(u32, Vec<f32>)>,
}

/// Gives stored images descriptors of another model: from their photos, or from the descriptors they have.
pub trait Reembed {
    /// The descriptors of these images in order; the database normalises them. The last few images may be asked for while writers
    /// wait: then what it writes itself is refused (`Reentrant`), and it must not wait for threads that write.
    ///
    /// An image that has none gives an error of its own, a message for people that names it; the others' descriptors are kept, and
    /// the work can be taken up again.
    ///
    /// # Errors
    /// What concerns no single image.
    fn reembed(&self, images: &[Wanted]) -> Result<Vec<Result<Vec<f32>>>>;

    /// The model is active: the state of its training may be removed. Returns lines for people. Default: none.
    fn activated(&self) -> Report {
        Report::default()
    }
}

/// Row-major vectors that never change, in memory or in a mapped file. Clones share them.
#[derive(Clone)]
pub struct VectorChunk(Arc<dyn AsRef<[f32]> + Send + Sync>);

impl VectorChunk {
    /// The vectors of an owner that is shared.
    pub fn of(owner: Arc<impl AsRef<[f32]> + Send + Sync + 'static>) -> Self {
        Self(owner)
    }

    /// Whether both are the same vectors in the same place, not only equal ones.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::as_ptr(&self.0).addr() == Arc::as_ptr(&other.0).addr()
    }

    /// A number that no other chunk has for as long as a clone of this one is held.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl From<Vec<f32>> for VectorChunk {
    fn from(vectors: Vec<f32>) -> Self {
        Self(Arc::new(vectors))
    }
}

impl std::ops::Deref for VectorChunk {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        (*self.0).as_ref()
    }
}

impl std::fmt::Debug for VectorChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VectorChunk({} numbers)", self.len())
    }
}

/// Train vectors as a proposer sees them: `rows` of `dimension` f32 each, in chunks that never change.
#[derive(Debug, Clone)]
pub struct VectorChunks {
    /// Dimension of a row.
    pub dimension: usize,
    /// Row-major chunks; the row number of the first row of chunk `i` is the sum of the rows before it.
    pub chunks: Vec<VectorChunk>,
}

/// Proposes nearest rows by an approximate product (on a GPU, or a BLAS), for the engine to rescore.
///
/// The engine scores every proposed row with its canonical kernel, so a proposer decides speed and never a result: what it
/// returns must be a superset of the true `count` best.
pub trait Propose: Send + Sync {
    /// For each query row (row-major in `queries`) the row numbers of a superset of its `count` best rows by inner product
    /// among those with `live` set; `None` for a query for which it cannot prove that. It is called in the middle of a write: what would
    /// wait for that is refused (`Reentrant`).
    ///
    /// The engine reads rows that do not exist as `None`, and also fewer live rows than `count` where there are that many; a panic counts
    /// as `None` for all queries. It does not check that the best rows are among the named ones.
    ///
    /// # Errors
    /// When the device fails; the engine then scores every row itself.
    fn propose(
        &self,
        rows: &VectorChunks,
        live: &[bool],
        queries: &[f32],
        count: usize,
    ) -> Result<Vec<Option<Vec<u32>>>>;
}
