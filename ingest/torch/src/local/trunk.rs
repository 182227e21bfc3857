//! Local features from the embedding model's trunk: the cells of its feature map at several scales, best by activation.
//!
//! In the manner of DELF (Noh et al., ICCV 2017; scales, count and dimension of docs/ALGORITHMS.md), but with no learned attention: a
//! cell's rank is the length of its activation. A cell stands for 32 pixels of its scale, so locations are coarse.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::path::Path;
use std::sync::Arc;

use cairn::embed::{LocalFeatureSet, LocalFeatures};
use cairn::{Error, Photo, Result};

use super::MAX_FEATURES;
use super::frame::Frame;
use super::projection::{FIT_FEATURES, FIT_PHOTOS, Projection, TRUNK_DIMENSION};
use crate::model::Model;
use cairndb_ingest::photo::FRAME_LONGEST_SIDE;
use cairndb_ingest::photo::{DecodeLimits, Need, Pixels, about_photo, stored_pixels};

/// Scales of the frame at which cells are taken: half powers of two from 1/4 to 2.
pub const TRUNK_SCALES: [f64; 7] = [0.25, FRAC_1_SQRT_2 / 2.0, 0.5, FRAC_1_SQRT_2, 1.0, SQRT_2, 2.0];
/// Most pixels of an input: a scale that would exceed them is lowered to fit.
pub const MAX_SCALED_PIXELS: f64 = 1_300_000.0;
/// The largest scale shows twice the frame.
const NEED: Need = Need::LongestSide(2 * FRAME_LONGEST_SIDE);

/// A cell of a photo's maps.
struct Cell {
    location: [f32; 2],
    /// Length of its activation, above 0.
    score: f32,
}

/// Cells, best first, with their activations at unit length (row-major).
struct Cells {
    cells: Vec<Cell>,
    activations: Vec<f32>,
}

/// Extracts at most [`MAX_FEATURES`] features of [`TRUNK_DIMENSION`] numbers with an embedding model; locations are in the frame
/// described at [`FRAME_LONGEST_SIDE`]. It may be used by many threads at once.
///
/// On the CPU a photo gives the same bits on every call and thread.
pub struct TrunkExtractor {
    model: Arc<Model>,
    projection: Projection,
    limits: DecodeLimits,
}

impl TrunkExtractor {
    /// Fits the projection on train photos: on at most [`FIT_PHOTOS`] of them, photo `i * n / m` of the `n` given for each `i`
    /// below `m`, and of each its [`FIT_FEATURES`] best cells; it skips a photo that cannot be read, or whose BLAKE3 differs from
    /// the given one. The same photos in the same order give the same projection.
    ///
    /// # Errors
    /// When the photos that can be read have too few cells: then that of the first that cannot be read, if there is one.
    pub fn fit(model: Arc<Model>, photos: &[(Photo, Option<[u8; 32]>)]) -> Result<Self> {
        let limits = DecodeLimits::default();
        let count = photos.len().min(FIT_PHOTOS);
        let (mut rows, mut unreadable) = (Vec::new(), None);
        for i in 0..count {
            let (photo, content) = &photos[i * photos.len() / count];
            match stored_pixels(photo, content.as_ref(), NEED, &limits) {
                Ok(pixels) => rows.extend(cells(&model, &pixels, FIT_FEATURES)?.activations),
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
        let fitted = Projection::fit(&model.info().fingerprint, &rows, model.channels()?);
        let projection = fitted.map_err(|few| unreadable.unwrap_or(few))?;
        Ok(Self { model, projection, limits })
    }

    /// With a projection that [`Projection::save`] wrote for the same model.
    ///
    /// # Errors
    /// When the file is missing, damaged, or of another model.
    pub fn with_projection(model: Arc<Model>, path: &Path) -> Result<Self> {
        let projection = Projection::read(path, &model.info().fingerprint, model.channels()?)?;
        Ok(Self { model, projection, limits: DecodeLimits::default() })
    }

    /// Other limits of what a photo may cost.
    #[must_use]
    pub fn with_limits(self, limits: DecodeLimits) -> Self {
        Self { limits, ..self }
    }

    /// What shortens its descriptors, to be saved.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// The features of decoded pixels.
    ///
    /// # Errors
    /// When the network fails.
    pub fn extract_pixels(&self, photo: &Pixels) -> Result<LocalFeatureSet> {
        let Cells { cells, activations } = cells(&self.model, photo, MAX_FEATURES)?;
        let short = self.projection.apply(&activations)?;
        let mut set = LocalFeatureSet { dimension: TRUNK_DIMENSION, ..LocalFeatureSet::default() };
        for (cell, row) in cells.iter().zip(short.chunks_exact(TRUNK_DIMENSION)) {
            let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            // A cell at the very mean has no direction.
            if length.is_finite() && length > 0.0 {
                set.locations.push(cell.location);
                set.scores.push(cell.score);
                set.descriptors.extend(row.iter().map(|&x| (f64::from(x) / length) as f32));
            }
        }
        Ok(set)
    }
}

impl LocalFeatures for TrunkExtractor {
    /// A digest of the model, the projection, the scales and the limits.
    fn fingerprint(&self) -> String {
        let text = format!(
            "cairn local features 1\ntrunk of {}\nprojection {}\nframe {FRAME_LONGEST_SIDE}, scales {TRUNK_SCALES:?}, most \
             {MAX_SCALED_PIXELS} pixels\nmost {MAX_FEATURES}\n",
            self.projection.model(),
            self.projection.digest(),
        );
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// Cosine 0.68: what separated pairs of one label best among those tried.
    fn max_distance(&self) -> f32 {
        0.8
    }

    fn extract(&self, photo: &Photo, content: Option<&[u8; 32]>) -> Result<LocalFeatureSet> {
        let pixels = stored_pixels(photo, content, NEED, &self.limits)?;
        self.extract_pixels(&pixels).map_err(|error| about_photo(photo, error))
    }
}

/// The sizes of input that a frame has at the scales, each once.
fn inputs(frame: Frame) -> Vec<(u32, u32)> {
    let fitting = (MAX_SCALED_PIXELS / frame.area()).sqrt();
    let mut sizes: Vec<(u32, u32)> = TRUNK_SCALES.iter().map(|scale| frame.input(scale.min(fitting))).collect();
    sizes.dedup();
    sizes
}

/// The `most` strongest cells over all scales, strongest first; equals in the order of scales and in reading order.
fn cells(model: &Model, photo: &Pixels, most: usize) -> Result<Cells> {
    let frame = Frame::of(photo, FRAME_LONGEST_SIDE);
    let channels = model.channels()?;
    let (stride, first) = model.cell_geometry()?;
    let mut maps = Vec::new();
    let mut ranked: Vec<(f32, [f32; 2], usize, usize)> = Vec::new();
    for size in inputs(frame) {
        let picture = cairndb_ingest::photo::resize(photo, size.0, size.1)?;
        let map = model.feature_map(&picture)?;
        let columns = (size.0 as usize).div_ceil(stride).max(1);
        for (i, activation) in map.chunks_exact(channels).enumerate() {
            let length = length(activation) as f32;
            if length.is_finite() && length > 0.0 {
                let centre = [i % columns, i / columns].map(|at| (at * stride + first) as f64);
                ranked.push((length, frame.place(centre, size), maps.len(), i));
            }
        }
        maps.push(map);
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.truncate(most);
    let mut activations = Vec::with_capacity(ranked.len() * channels);
    for &(_, _, map, i) in &ranked {
        let activation: &[f32] = &maps[map][i * channels..(i + 1) * channels];
        let length = length(activation);
        activations.extend(activation.iter().map(|&x| (f64::from(x) / length) as f32));
    }
    let cells = ranked.into_iter().map(|(score, location, ..)| Cell { location, score }).collect();
    if activations.iter().all(|x: &f32| x.is_finite()) {
        Ok(Cells { cells, activations })
    } else {
        Err(Error::invalid("the network gave no usable feature map (NaN or infinite)")
            .help("check the weights: they may belong to another model"))
    }
}

fn length(activation: &[f32]) -> f64 {
    activation.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn sizes(width: u32, height: u32) -> Vec<(u32, u32)> {
        inputs(Frame::of(
            &Pixels::new(width, height, vec![0; (width * height * 3) as usize]).unwrap(),
            FRAME_LONGEST_SIDE,
        ))
    }

    #[test]
    fn scales_follow_the_specification_within_the_budget() {
        assert_eq!(
            sizes(640, 480),
            [(160, 128), (224, 160), (320, 256), (448, 352), (640, 480), (896, 672), (1280, 960)]
        );
        // 1280 x 1280 would be more pixels than the budget.
        assert_eq!(sizes(900, 900).last(), Some(&(1152, 1152)));
        assert_eq!(sizes(1, 1), [(32, 32)]);
    }
}
