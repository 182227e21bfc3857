//! The local features of one image: their locations and descriptors.

use crate::error::{Error, Result};
use crate::vector::{encode, stride, unit};

/// Largest number of features of an image; the released code requests this many from DELF.
pub const MAX_FEATURES: usize = 1_000;
/// Components that a local descriptor may have (DELF after PCA: 40, XFeat: 64).
pub const MAX_FEATURE_DIMENSION: usize = 1_024;
/// Largest absolute coordinate of a location, in pixels.
pub const MAX_COORDINATE: f32 = 1_000_000.0;

/// The local features of one image, in the order that the extractor gave them.
///
/// Descriptors are of unit length, as those of DELF and XFeat are. Beside them stand their 8-bit codes, so that an image that is
/// compared with many others is coded once. In memory a feature takes `4 d + 8 + stride` bytes: 392 at 64 dimensions, 232 at 40.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    dimension: usize,
    locations: Vec<[f32; 2]>,
    descriptors: Vec<f32>,
    codes: Vec<u8>,
}

impl Features {
    /// Features from `locations` (n times x and y, in pixels) and `descriptors` (row-major, n x `dimension`), which are scaled to
    /// unit length; those that have it keep their bits. None at all is fine: some photos have no features.
    ///
    /// # Errors
    /// Invalid: a dimension of zero or above [`MAX_FEATURE_DIMENSION`], more than [`MAX_FEATURES`], lengths that do not fit, a
    /// location that is not finite or beyond [`MAX_COORDINATE`], a descriptor that has no direction.
    pub fn new(dimension: usize, locations: Vec<[f32; 2]>, descriptors: &[f32]) -> Result<Self> {
        if dimension == 0 || dimension > MAX_FEATURE_DIMENSION {
            return Err(Error::invalid(format!("local descriptors of {dimension} dimensions"))
                .help(format!("1 to {MAX_FEATURE_DIMENSION} are supported")));
        }
        if locations.len() > MAX_FEATURES {
            return Err(Error::invalid(format!("{} local features in one image", locations.len()))
                .help(format!("keep the {MAX_FEATURES} strongest")));
        }
        if descriptors.len() != locations.len() * dimension {
            return Err(Error::invalid(format!(
                "{} locations, but descriptors of {} numbers ({dimension} dimensions)",
                locations.len(),
                descriptors.len()
            ))
            .help("each location needs one descriptor"));
        }
        let is_far = |location: &&[f32; 2]| !location.iter().all(|c| c.abs() <= MAX_COORDINATE);
        if let Some([x, y]) = locations.iter().find(is_far) {
            return Err(Error::invalid(format!("a local feature at ({x}, {y})"))
                .help(format!("locations are finite numbers of pixels, at most {MAX_COORDINATE} from the corner")));
        }
        let mut scaled = Vec::with_capacity(descriptors.len());
        let mut codes = vec![0; locations.len() * stride(dimension)];
        for (descriptor, code) in descriptors.chunks_exact(dimension).zip(codes.chunks_exact_mut(stride(dimension))) {
            let descriptor = unit(descriptor)?;
            encode(&descriptor, code);
            scaled.extend_from_slice(&descriptor);
        }
        Ok(Self { dimension, locations, descriptors: scaled, codes })
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.locations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }

    /// Components of a descriptor.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// x and y of each feature, in pixels of the image that the extractor saw.
    pub fn locations(&self) -> &[[f32; 2]] {
        &self.locations
    }

    /// Descriptors of unit length, row-major.
    pub fn descriptors(&self) -> &[f32] {
        &self.descriptors
    }

    /// The descriptor of one feature.
    ///
    /// # Panics
    /// When there is no feature of that number.
    pub(crate) fn descriptor(&self, feature: usize) -> &[f32] {
        &self.descriptors[feature * self.dimension..][..self.dimension]
    }

    /// Coded descriptors, one row of `stride(dimension)` bytes each.
    pub(crate) fn codes(&self) -> &[u8] {
        &self.codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_get_unit_length() {
        let features = Features::new(2, vec![[1.0, 2.0], [-3.0, 4.0]], &[3.0, 4.0, 0.0, -9.0]).unwrap();
        assert_eq!(features.descriptors(), [0.6, 0.8, 0.0, -1.0]);
        assert_eq!((features.len(), features.descriptor(1)), (2, &[0.0, -1.0][..]));
        assert!(Features::new(64, vec![], &[]).unwrap().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |dimension, locations: Vec<[f32; 2]>, descriptors: &[f32]| {
            Features::new(dimension, locations, descriptors).unwrap_err().message().to_owned()
        };
        assert!(refused(0, vec![], &[]).contains("0 dimensions"));
        assert!(refused(MAX_FEATURE_DIMENSION + 1, vec![], &[]).contains("1025 dimensions"));
        assert!(refused(1, vec![[0.0; 2]; MAX_FEATURES + 1], &[1.0; MAX_FEATURES + 1]).contains("1001 local features"));
        assert!(refused(2, vec![[0.0; 2]], &[1.0]).contains("1 locations"));
        assert!(refused(1, vec![[f32::NAN, 0.0]], &[1.0]).contains("NaN"));
        assert!(refused(1, vec![[0.0, -2e6]], &[1.0]).contains("-2000000"));
        assert!(refused(2, vec![[0.0; 2]], &[0.0, 0.0]).contains("zeros"));
    }
}
