//! XFeat as the engine's port: photos in, local features out.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cairn::embed::{LocalFeatureSet, LocalFeatures};
use cairn::runtime::Gated;
use cairn::{Photo, Result};

use super::frame::Frame;
use super::xfeat::{CHANNELS, XFeat};
use super::{MAX_FEATURES, detect};
use crate::device::{Hardware, one_thread, torch_error};
use crate::model::weights::Weights;
use crate::model::{SET_UP, find_weights, pinned};
use cairndb_ingest::photo::FRAME_LONGEST_SIDE;
use cairndb_ingest::photo::{DecodeLimits, Need, Pixels, about_photo, stored_pixels};

/// File name of XFeat's weights, in the folder of the default weights.
pub const XFEAT_WEIGHTS_FILE: &str = "xfeat.safetensors";
/// Length of a descriptor of [`XFeatExtractor`].
pub const XFEAT_DIMENSION: usize = CHANNELS;
/// BLAKE3 of the weights (SHA-256 f42df07e..ba8d), converted from the authors' `xfeat.pt`.
const XFEAT_WEIGHTS_BLAKE3: &str = "b8bdf3d22b934495558571d4061c78d673d81bacf1b3735117cbed77b9ac06b8";

/// Extracts XFeat features: at most [`MAX_FEATURES`] of [`XFEAT_DIMENSION`] numbers, locations in the frame described at
/// [`FRAME_LONGEST_SIDE`]. It may be used by many threads at once; each call computes on one.
///
/// On the CPU a photo gives the same bits on every call and thread.
pub struct XFeatExtractor {
    hardware: Hardware,
    limits: DecodeLimits,
    longest: u32,
    digest: blake3::Hash,
    /// Tensors may move between threads but not be shared by reference: each call takes its own handles.
    network: Gated<Mutex<XFeat>>,
}

impl XFeatExtractor {
    /// Loads the network. `weights`: a safetensors file with the authors' tensor names; `None`: the pinned one of the set-up.
    ///
    /// # Errors
    /// When the weights are missing, damaged, of another network, or not the pinned ones.
    pub fn load(weights: Option<&Path>, hardware: &Hardware) -> Result<Self> {
        let _native = cairn::runtime::native();
        one_thread();
        let weights = match weights {
            Some(path) => Weights::read(path, None)?,
            None => Weights::read(&find_weights(XFEAT_WEIGHTS_FILE, SET_UP)?, Some(pinned(XFEAT_WEIGHTS_BLAKE3)?))?,
        };
        let network = XFeat::load(&weights)?.to(hardware.torch()).map_err(torch_error)?;
        Ok(Self {
            hardware: hardware.clone(),
            limits: DecodeLimits::default(),
            longest: FRAME_LONGEST_SIDE,
            digest: weights.digest(),
            network: Gated::new(|| Mutex::new(network)),
        })
    }

    /// Other limits of what a photo may cost.
    #[must_use]
    pub fn with_limits(self, limits: DecodeLimits) -> Self {
        Self { limits, ..self }
    }

    /// Another longest side of the frame, in pixels, 32 to 4096; default [`FRAME_LONGEST_SIDE`].
    #[must_use]
    pub fn with_longest_side(self, longest: u32) -> Self {
        Self { longest: longest.clamp(32, 4096), ..self }
    }

    /// The features of decoded pixels.
    ///
    /// # Errors
    /// When the network fails.
    pub fn extract_pixels(&self, photo: &Pixels) -> Result<LocalFeatureSet> {
        let _native = cairn::runtime::native();
        one_thread();
        let frame = Frame::of(photo, self.longest);
        let picture = frame.resized(photo, 1.0)?;
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner).share().map_err(torch_error)?;
        let maps = network.maps(&picture, self.hardware.torch()).map_err(torch_error)?;
        let found = detect::features(&maps, MAX_FEATURES);
        let size = (picture.width(), picture.height());
        Ok(LocalFeatureSet {
            locations: found.iter().map(|f| frame.place([f.x as f64, f.y as f64], size)).collect(),
            descriptors: found.iter().flat_map(|f| f.descriptor).collect(),
            dimension: XFEAT_DIMENSION,
            scores: found.iter().map(|f| f.score).collect(),
        })
    }
}

impl LocalFeatures for XFeatExtractor {
    /// A digest of weights, frame, and limit of the number.
    fn fingerprint(&self) -> String {
        let text = format!(
            "cairn local features 1\nxfeat {}\nframe {}, sides multiples of 32, antialiased bilinear\nmost {MAX_FEATURES}\n",
            self.digest, self.longest,
        );
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// Cosine 0.82, the authors' own threshold.
    fn max_distance(&self) -> f32 {
        0.6
    }

    fn extract(&self, photo: &Photo, content: Option<&[u8; 32]>) -> Result<LocalFeatureSet> {
        let pixels = stored_pixels(photo, content, Need::LongestSide(self.longest), &self.limits)?;
        self.extract_pixels(&pixels).map_err(|error| about_photo(photo, error))
    }
}
