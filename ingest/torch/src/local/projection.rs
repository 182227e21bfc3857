//! Principal components that shorten the descriptors of a trunk's cells, fitted once on train photos.

use std::collections::HashMap;
use std::path::Path;

use cairn::{Error, ErrorKind, Result};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tch::{Device, Kind, TchError, Tensor};

use super::xfeat::numbers;
use crate::device::{one_thread, torch_error};
use crate::model::weights::Weights;

/// Length of a descriptor of [`super::TrunkExtractor`]: 40, as DELF's.
pub const TRUNK_DIMENSION: usize = 40;
/// Most photos that a projection is fitted on.
pub const FIT_PHOTOS: usize = 256;
/// Features of each photo that a projection is fitted on: its best ones.
pub const FIT_FEATURES: usize = 64;
/// Rows that are multiplied at a time while fitting.
const ROWS: usize = 4096;

/// A mean and [`TRUNK_DIMENSION`] orthonormal directions in the space of a trunk's channels. Without whitening.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Fingerprint of the model whose cells it shortens.
    model: String,
    channels: usize,
    mean: Vec<f32>,
    /// Row-major (TRUNK_DIMENSION, channels), largest variance first.
    components: Vec<f32>,
}

impl Projection {
    /// The principal components of unit rows of `channels` numbers each, row-major.
    ///
    /// Mean and covariance are sums in f64 in the order of the rows; the eigenvectors are LAPACK's in f64. A direction's sign is
    /// such that its component of largest magnitude, the first of equals, is positive. O(rows channels² + channels³).
    ///
    /// # Errors
    /// When there are not more rows than directions, a row is not finite, or torch fails.
    pub(super) fn fit(model: &str, rows: &[f32], channels: usize) -> Result<Self> {
        one_thread();
        let count = rows.len() / channels.max(1);
        if channels < TRUNK_DIMENSION || count <= TRUNK_DIMENSION {
            return Err(Error::invalid(format!(
                "{count} local descriptors of {channels} numbers are too few to fit {TRUNK_DIMENSION} directions on"
            ))
            .help("give more photos: a few dozen of the train set"));
        }
        if !rows.iter().all(|x| x.is_finite()) {
            return Err(Error::invalid("a local descriptor holds NaN or infinity")
                .help("check the weights: they may belong to another model"));
        }
        let mut mean = vec![0f64; channels];
        for row in rows.chunks_exact(channels) {
            mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        mean.iter_mut().for_each(|sum| *sum /= count as f64);
        let components = components(rows, &mean, channels).map_err(torch_error)?;
        let mean = mean.into_iter().map(|x| x as f32).collect();
        Ok(Self { model: model.to_owned(), channels, mean, components })
    }

    /// Fingerprint of the model whose cells it shortens.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// BLAKE3 of its numbers, in hexadecimal.
    pub(super) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for number in self.mean.iter().chain(&self.components) {
            hasher.update(&number.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Writes it as a safetensors file: `pca.mean.<model>` (channels) and `pca.components.<model>` (40, channels), f32.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let (mean, components) = (bytes(&self.mean), bytes(&self.components));
        let failed = |error: safetensors::SafeTensorError| {
            Error::new(ErrorKind::Io, format!("{}: cannot be written", path.display())).because(error)
        };
        let view = |shape: Vec<usize>, data| TensorView::new(Dtype::F32, shape, data).map_err(failed);
        let tensors = HashMap::from([
            (self.name("mean"), view(vec![self.channels], &mean)?),
            (self.name("components"), view(vec![TRUNK_DIMENSION, self.channels], &components)?),
        ]);
        let file = safetensors::serialize(&tensors, None).map_err(failed)?;
        std::fs::write(path, file).map_err(|error| Error::io(path, error))
    }

    /// Reads a projection that was saved for the model of that fingerprint, with that many channels.
    ///
    /// # Errors
    /// When the file is missing, damaged, or of another model.
    pub(super) fn read(path: &Path, model: &str, channels: usize) -> Result<Self> {
        let weights = Weights::read(path, None)?;
        let empty = Self { model: model.to_owned(), channels, mean: Vec::new(), components: Vec::new() };
        let tensor = |part: &str, shape: &[i64]| {
            weights.tensor(&empty.name(part), shape).and_then(|t| numbers(&t).map_err(torch_error))
        };
        let (rows, columns) = (TRUNK_DIMENSION as i64, channels as i64);
        let (mean, components) = (tensor("mean", &[columns])?, tensor("components", &[rows, columns])?);
        Ok(Self { mean, components, ..empty })
    }

    fn name(&self, part: &str) -> String {
        format!("pca.{part}.{}", self.model)
    }

    /// Unit rows of `channels` numbers -> rows of [`TRUNK_DIMENSION`] numbers, not normalised.
    pub(super) fn apply(&self, rows: &[f32]) -> Result<Vec<f32>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let shorten = || -> Result<Vec<f32>, TchError> {
            let directions =
                Tensor::f_from_slice(&self.components)?.f_view([TRUNK_DIMENSION as i64, self.channels as i64])?;
            let centred = Tensor::f_from_slice(rows)?
                .f_view([-1, self.channels as i64])?
                .f_sub(&Tensor::f_from_slice(&self.mean)?)?;
            numbers(&centred.f_matmul(&directions.f_tr()?)?)
        };
        tch::no_grad(shorten).map_err(torch_error)
    }
}

/// The directions of largest variance, row-major.
fn components(rows: &[f32], mean: &[f64], channels: usize) -> Result<Vec<f32>, TchError> {
    tch::no_grad(|| {
        let width = channels as i64;
        let centre = Tensor::f_from_slice(mean)?;
        let mut covariance = Tensor::f_zeros([width, width], (Kind::Double, Device::Cpu))?;
        for block in rows.chunks(ROWS * channels) {
            let x = Tensor::f_from_slice(block)?.f_view([-1, width])?.f_to_kind(Kind::Double)?.f_sub(&centre)?;
            covariance = covariance.f_add(&x.f_tr()?.f_matmul(&x)?)?;
        }
        // Eigenvalues rise; eigenvectors are columns.
        let (_, vectors) = covariance.f_linalg_eigh("L")?;
        let largest =
            vectors.f_narrow(1, width - TRUNK_DIMENSION as i64, TRUNK_DIMENSION as i64)?.f_tr()?.f_flip([0])?;
        let mut directions = vec![0f64; TRUNK_DIMENSION * channels];
        let count = directions.len();
        largest.f_contiguous()?.f_copy_data(&mut directions, count)?;
        for direction in directions.chunks_exact_mut(channels) {
            let top = direction.iter().fold(0f64, |top, &x| if x.abs() > top.abs() { x } else { top });
            if top < 0.0 {
                direction.iter_mut().for_each(|x| *x = -*x);
            }
        }
        Ok(directions.into_iter().map(|x| x as f32).collect())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const CHANNELS: usize = 48;

    /// Rows whose channel `c` is a wave of amplitude 0.9^c: the principal directions are the axes, in order.
    fn rows() -> Vec<f32> {
        let wave = |row: usize, c: usize| ((row * (c + 1)) as f64 * std::f64::consts::TAU / 997.0).sin();
        (0..997)
            .flat_map(|row| (0..CHANNELS).map(move |c| (3.0 + 0.9f64.powi(c as i32) * wave(row, c)) as f32))
            .collect()
    }

    #[test]
    fn known_directions_are_found_in_order_and_with_their_sign() {
        let projection = Projection::fit("m", &rows(), CHANNELS).unwrap();
        assert!(projection.mean.iter().all(|x| (x - 3.0).abs() < 1e-5));
        for (d, direction) in projection.components.chunks_exact(CHANNELS).enumerate() {
            assert!(direction[d] > 0.999, "direction {d}: {direction:?}");
        }
        assert_eq!(projection, Projection::fit("m", &rows(), CHANNELS).unwrap());
        let shortened = projection.apply(&rows()[..CHANNELS]).unwrap();
        assert_eq!(shortened.len(), TRUNK_DIMENSION);
        assert!(shortened.iter().all(|x| x.abs() < 1e-3)); // all waves are 0 in row 0
    }

    #[test]
    fn a_saved_projection_is_read_again_and_no_other() {
        let projection = Projection::fit("m", &rows(), CHANNELS).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pca.safetensors");
        projection.save(&path).unwrap();
        assert_eq!(Projection::read(&path, "m", CHANNELS).unwrap(), projection);
        assert!(Projection::read(&path, "other", CHANNELS).is_err());
        assert!(Projection::read(&path, "m", CHANNELS + 1).is_err());
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 7, 100, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(Projection::read(&path, "m", CHANNELS).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn too_few_or_infinite_rows_are_errors() {
        assert!(Projection::fit("m", &rows()[..CHANNELS * TRUNK_DIMENSION], CHANNELS).is_err());
        assert!(Projection::fit("m", &[], CHANNELS).is_err());
        let mut rows = rows();
        rows[5] = f32::NAN;
        assert!(Projection::fit("m", &rows, CHANNELS).is_err());
    }
}
