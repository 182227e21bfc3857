//! Embeds single photos and files of queries for the engine: with the steps of the pipeline, so the bits are the same.

use std::path::Path;
use std::sync::Arc;

use cairn::embed::{Embed, Embedded, FailedQuery, NamedQuery, QueryFile, ReadQueries};
use cairn::runtime::pool;
use cairn::{Error, Keep, Photo, Result};

use crate::encoder::Encoder;
use crate::photo::{DecodeLimits, Need, Pixels, about_photo, decode_for, noted_by_camera, read_photo, thumbnail};
use crate::source::{AttributeColumns, Spellings, Text, VectorFile, is_vectors, read_list, row_fault};

/// The largest size in memory of a file of query vectors: 1 GiB.
const MAX_QUERY_BYTES: usize = 1 << 30;

/// A photo before the network.
pub(crate) struct Prepared {
    /// At the model's input size.
    pub(crate) pixels: Pixels,
    /// The copy that the database keeps.
    pub(crate) kept: Option<Vec<u8>>,
}

/// Decodes, resizes and embeds photos with one model.
#[derive(Clone)]
pub struct PhotoEmbedder {
    encoder: Arc<dyn Encoder>,
    keep: Keep,
    limits: DecodeLimits,
}

impl PhotoEmbedder {
    /// An embedder that keeps copies of photos according to `keep`, with the default limits.
    pub fn new(encoder: Arc<dyn Encoder>, keep: Keep) -> Self {
        Self { encoder, keep, limits: DecodeLimits::default() }
    }

    /// Sets other limits on photos.
    #[must_use]
    pub fn with_limits(self, limits: DecodeLimits) -> Self {
        Self { limits, ..self }
    }

    /// Its model.
    pub fn encoder(&self) -> &dyn Encoder {
        &*self.encoder
    }

    pub(crate) fn limits(&self) -> &DecodeLimits {
        &self.limits
    }

    /// Everything before the network.
    pub(crate) fn prepare(&self, bytes: Vec<u8>) -> Result<Prepared> {
        let rule = self.encoder.size_rule();
        let photo = decode_for(&bytes, Need::Input(rule), &self.limits)?;
        let pixels = rule.fit(&photo)?;
        let kept = match self.keep {
            Keep::Original => Some(bytes),
            Keep::Thumb => Some(thumbnail(&photo)?),
            Keep::None => None,
        };
        Ok(Prepared { pixels, kept })
    }

    fn prepared(&self, photo: &Photo) -> Result<Prepared> {
        self.prepare(read_photo(photo, &self.limits)?).map_err(|error| about_photo(photo, error))
    }

    /// The descriptors of many photos (each with its key), in order: on the engine's threads, or in batches if the encoder
    /// prefers them. A photo that cannot be embedded has an error in its place.
    ///
    /// # Errors
    /// When the device fails.
    pub fn embed_all(&self, photos: &[(String, Photo)]) -> Result<Vec<Result<Vec<f32>>>> {
        let group = self.encoder.preferred_batch().max(1);
        if group == 1 {
            let one =
                |(_, photo): &(String, Photo)| -> Result<_> { Ok(self.embed(photo).map(|embedded| embedded.vector)) };
            return pool::try_map(photos, one);
        }
        let many = |photos: &[(String, Photo)]| -> Result<Vec<Result<Vec<f32>>>> {
            let one = |(_, photo): &(String, Photo)| -> Result<_> { Ok(self.prepared(photo)) };
            let ready: Vec<_> = pool::try_map(photos, one)?;
            let pixels: Vec<_> = ready.iter().flatten().map(|ready| &ready.pixels).collect();
            let mut vectors = self.encoder.embed(&pixels)?.into_iter();
            Ok(ready.into_iter().map(|ready| ready.map(|_| vectors.next().unwrap_or_default())).collect())
        };
        Ok(photos.chunks(group).map(many).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

impl Embed for PhotoEmbedder {
    fn fingerprint(&self) -> Option<String> {
        Some(self.encoder.info().fingerprint.clone())
    }

    fn embed(&self, photo: &Photo) -> Result<Embedded> {
        let bytes = read_photo(photo, &self.limits)?;
        let (content, attributes) = (*blake3::hash(&bytes).as_bytes(), noted_by_camera(&bytes));
        let Prepared { pixels, kept } = self.prepare(bytes).map_err(|error| about_photo(photo, error))?;
        let vector =
            self.encoder.embed(&[&pixels])?.pop().ok_or_else(|| Error::invalid("the network gave no descriptor"))?;
        Ok(Embedded::new(vector, content).kept(kept).attributes(attributes))
    }
}

/// Reads files of queries: `.npy`, `.npz` and `.fvecs` as vectors, `.csv` (`id,path`) as photos, which needs an embedder.
#[derive(Default)]
pub struct QueryReader {
    embedder: Option<Arc<PhotoEmbedder>>,
}

impl QueryReader {
    /// A reader of vectors and, with an embedder, of lists of photos.
    pub fn new(embedder: Option<Arc<PhotoEmbedder>>) -> Self {
        Self { embedder }
    }

    fn vectors(path: &Path) -> Result<QueryFile> {
        let mut file = VectorFile::open(path)?;
        if file.rows().saturating_mul(file.dimension()).saturating_mul(4) > MAX_QUERY_BYTES {
            return Err(Error::invalid(format!("{}: {} queries are too many at once", path.display(), file.rows()))
                .help("split the file into parts of at most 1 GiB"));
        }
        let numbers = file.read(0, file.rows())?;
        let mut found = QueryFile::default();
        for (number, vector) in numbers.chunks_exact(file.dimension()).enumerate() {
            match row_fault(vector) {
                None => found.queries.push(NamedQuery::new(number, vector)),
                Some(fault) => found.failed.push(FailedQuery::new(number, format!("row {number} {fault}"))),
            }
        }
        Ok(found)
    }

    fn photos(&self, path: &Path) -> Result<QueryFile> {
        let Some(embedder) = &self.embedder else {
            return Err(Error::invalid(format!("{}: this database has no model to embed photos with", path.display()))
                .help("give a file of vectors (.npy, .npz or .fvecs), or use a database created with --model"));
        };
        let items = read_list(Text::open(path)?, None, &AttributeColumns::default(), &mut Spellings::default())?;
        let photos: Vec<(String, Photo)> = items.into_iter().map(|item| (item.key, Photo::File(item.path))).collect();
        let vectors = embedder.embed_all(&photos)?;
        let mut found = QueryFile::default();
        for (number, ((id, photo), vector)) in photos.into_iter().zip(vectors).enumerate() {
            match vector {
                Ok(vector) => found.queries.push(NamedQuery::new(number, vector).of_photo(id, photo)),
                Err(error) => found.failed.push(FailedQuery::new(number, error.message()).id(id)),
            }
        }
        Ok(found)
    }
}

impl ReadQueries for QueryReader {
    fn read(&self, path: &Path) -> Result<QueryFile> {
        match path.extension() {
            Some(ending) if ending.eq_ignore_ascii_case("csv") => self.photos(path),
            _ if is_vectors(path) => Self::vectors(path),
            _ => Err(Error::invalid(format!("{}: not a file of queries", path.display()))
                .help("files of queries are .npy, .npz and .fvecs (vectors) and .csv (id,path of photos)")),
        }
    }
}
