//! The embedding networks: photos' pixels in, unit descriptors out.
//!
//! A [`Model`] is an architecture, its weights, an input rule and scales; together they give its fingerprint, and a database
//! never mixes vectors of different fingerprints.

pub(crate) mod adapter;
mod adapter_file;
mod architecture;
pub(crate) mod extract;
pub(crate) mod file;
pub(crate) mod fishnet;
pub(crate) mod gem;
pub(crate) mod kept;
pub(crate) mod layers;
mod layout;
pub(crate) mod lite;
pub(crate) mod resnet;
mod settings;
pub(crate) mod weights;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cairn::model::ModelInfo;
use cairn::runtime::Gated;
use cairn::{Error, ErrorKind, Result};
use tch::{Kind, Tensor};

pub use adapter::{Adapter, Affine, Block, MAX_BLOCKS, Projection};
pub use architecture::{Architecture, WEIGHTS_VARIABLE};
pub(crate) use architecture::{SET_UP, find_weights};
pub(crate) use file::write_whole;
pub use gem::{GEM_EPSILON, GEM_P};
pub use weights::{MAX_WEIGHTS_BYTES, MAX_WEIGHTS_HEADER};

use crate::device::{Hardware, one_thread, torch_error};
use cairndb_ingest::Encoder;
use cairndb_ingest::photo::{Pixels, SizeRule};
use extract::{Network, channel, unit_rows};
pub use kept::Files;
use layers::Conv;
pub(crate) use settings::{Place, Settings, is_lost, pinned};
pub use settings::{adapter_file, base_of, spec_of};
use weights::Weights;

/// Photos in one forward on CUDA; a batch that is not full is padded to this, so that a photo's descriptor does not depend on
/// how many others came with it.
pub const CUDA_BATCH: usize = 32;
/// Most scales of a multi-scale model.
pub const MAX_SCALES: usize = 8;

/// Which model to load.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The network.
    pub architecture: Architecture,
    /// A safetensors file; `None` (the default): the default weights, which only `lite0-gem` and `lite2-gem` have.
    pub weights: Option<PathBuf>,
    /// Scales of the input: `[1.0]` (the default), or for example `[0.75, 1.0, 1.25]`; at most [`MAX_SCALES`], each 0.1 to 4.
    pub scales: Vec<f64>,
}

impl ModelSpec {
    /// That architecture with its default weights at a single scale.
    pub fn new(architecture: Architecture) -> Self {
        Self { architecture, weights: None, scales: vec![1.0] }
    }
}

/// What stands behind the pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadKind {
    /// A fully connected layer and a batch normalisation.
    Normed,
    /// The layer alone.
    Plain,
}

impl HeadKind {
    fn of(weights: &Weights) -> Self {
        if gem::has_norm(weights) { Self::Normed } else { Self::Plain }
    }
}

/// A loaded network on a device. It may be used by many threads at once.
pub struct Model {
    info: ModelInfo,
    dimension: usize,
    /// Of the trunk's feature map.
    channels: usize,
    architecture: Architecture,
    head: Option<HeadKind>,
    hardware: Hardware,
    adapter: Option<Arc<Adapter>>,
    /// Tensors may move between threads but not be shared by reference: each call takes its own handles.
    network: Gated<Mutex<Network>>,
}

impl Model {
    /// Loads the network that `spec` describes.
    ///
    /// # Errors
    /// When the weights are missing, damaged, of another model, or not the pinned ones.
    pub fn load(spec: &ModelSpec, hardware: &Hardware) -> Result<Self> {
        let (place, weights) = match (&spec.weights, spec.architecture.default_weights()) {
            (Some(path), _) => {
                let place = Place::File(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
                (place, Weights::read_network(path, None, spec.architecture)?)
            }
            (None, Some(weights)) => (Place::Default, weights.read()?),
            (None, None) => {
                return Err(Error::invalid(format!("{} has no default weights", spec.architecture.word()))
                    .help("name a safetensors file in the layout of its publishers with --weights"));
            }
        };
        let (architecture, scales, digest) = (spec.architecture, spec.scales.clone(), weights.digest());
        Self::of_weights(Settings { architecture, scales, digest, place, adapter: None }, &weights, hardware)
    }

    /// Loads a model of a database. `weights` replaces the remembered path, never the remembered digest; `files` gives what the
    /// database keeps under a name.
    ///
    /// # Errors
    /// When the weights are not found any more, or are not the same ones; `Corrupt` when the database lost the adapter.
    pub fn reload(info: &ModelInfo, files: Files<'_>, weights: Option<&Path>, hardware: &Hardware) -> Result<Self> {
        let mut settings = Settings::parse(&info.settings)?;
        let loaded = settings.weights(files, weights)?;
        let adapter = settings.adapter.take();
        let mut model = Self::of_weights(settings, &loaded, hardware)?;
        if let Some(digest) = adapter {
            let bytes = files(&adapter_file(digest))?.ok_or_else(|| settings::lost("the adapter of its model"))?;
            // Another adapter gives another fingerprint, which is compared below.
            model = model.adapted(Adapter::decode(&bytes)?)?;
        }
        if model.info.fingerprint == info.fingerprint {
            Ok(model)
        } else {
            Err(Error::new(
                ErrorKind::Mismatch,
                format!("this build of {} computes other descriptors than the database has", info.name),
            )
            .help("use the version of cairn that created it, or ingest the photos into a new database"))
        }
    }

    /// The network of these weights, without an adapter.
    pub(crate) fn of_weights(settings: Settings, weights: &Weights, hardware: &Hardware) -> Result<Self> {
        let _native = cairn::runtime::native();
        let sound = |s: &f64| (0.1..=4.0).contains(s);
        let scales = &settings.scales;
        if scales.is_empty() || scales.len() > MAX_SCALES || !scales.iter().all(sound) {
            return Err(Error::invalid(format!("scales {scales:?} cannot be used"))
                .help(format!("give 1 to {MAX_SCALES} numbers between 0.1 and 4, for example 0.75,1,1.25")));
        }
        one_thread();
        let architecture = settings.architecture;
        let trunk = architecture.trunk(&mut |shape| Conv::load(weights, shape))?;
        let (channels, pooled) = (architecture.channels(), architecture.pooled());
        let head = gem::Head::load(weights, pooled)?;
        let p = gem::exponent(weights)?;
        let kind_of_head = head.as_ref().map(|_| HeadKind::of(weights));
        let dimension = head.as_ref().map_or(pooled, gem::Head::dimension);
        let info = settings.info();

        let device = hardware.torch();
        let kind = if hardware.is_cuda() { Kind::BFloat16 } else { Kind::Float };
        let place = || -> Result<Network, tch::TchError> {
            let (mean, deviation) = architecture.normalisation();
            Ok(Network {
                trunk: trunk.map(&|conv: &Conv| conv.to(device, kind))?,
                p,
                head: head.as_ref().map(|head| head.to(device)).transpose()?,
                scales: settings.scales.clone(),
                mean: channel(mean, device)?,
                deviation: channel(deviation, device)?,
                kind,
            })
        };
        let placed = place().map_err(torch_error)?;
        let network = Gated::new(|| Mutex::new(placed));
        let [dimension, channels] = [dimension, channels].map(|count| usize::try_from(count).unwrap_or(0));
        Ok(Self {
            info,
            dimension,
            channels,
            architecture,
            head: kind_of_head,
            hardware: hardware.clone(),
            adapter: None,
            network,
        })
    }

    /// The same network with an adapter behind it.
    ///
    /// # Errors
    /// `Mismatch`: the adapter takes descriptors of another length.
    pub fn adapted(self, adapter: Adapter) -> Result<Self> {
        if adapter.input != self.dimension {
            let message =
                format!("the adapter takes {} numbers, {} gives {}", adapter.input, self.info.name, self.dimension);
            return Err(Error::new(ErrorKind::Mismatch, message).help("use the model that it was trained on"));
        }
        let info = self.info_with(&adapter)?;
        Ok(Self { info, dimension: adapter.dimension(), adapter: Some(Arc::new(adapter)), ..self })
    }

    /// What this network with an adapter behind it is called.
    ///
    /// # Errors
    /// `Invalid` for an adapter whose numbers do not fit together.
    pub fn info_with(&self, adapter: &Adapter) -> Result<ModelInfo> {
        Ok(Settings { adapter: Some(adapter.digest()?), ..Settings::parse(&self.info.settings)? }.info())
    }

    /// The adapter behind the network, if there is one.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_deref()
    }

    /// Name, fingerprint and settings, for [`cairn::Options::for_model`].
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Length of a descriptor.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Where it runs.
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// One line for people: architecture, dimension, what makes the descriptor, device.
    pub fn describe(&self) -> String {
        let last = match self.head {
            Some(HeadKind::Normed) => "GeM, FC and batch normalisation",
            Some(HeadKind::Plain) => "GeM and FC",
            None => "GeM (the weights have no head)",
        };
        let last = if self.adapter.is_some() { format!("{last}, then the adapter") } else { last.to_owned() };
        format!("{}, {} dimensions by {last}, on {}", self.info.name, self.dimension, self.hardware.describe())
    }

    /// Channels of the trunk's feature map.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Of the trunk's feature map: pixels of the input from one cell to the next, and the pixel, along each axis, that the
    /// receptive field of the first cell is centred on.
    pub(crate) fn cell_geometry(&self) -> (usize, usize) {
        let stride = extract::STRIDE as usize;
        match self.architecture {
            // Each of the five strided layers pads one pixel more after than before, which moves the centre by one of its pixels.
            Architecture::Lite0 | Architecture::Lite2 => (stride, stride - 1),
            // The pooling behind the first layer sees three of that layer's cells, the first one of the map's border.
            Architecture::SeResnext101 => (stride, 2),
            // Three times, a cell stands for two: half a cell of 4, 8 and 16 pixels.
            Architecture::Fishnet150 => (stride, 2 + 4 + 8),
            Architecture::Resnet18 | Architecture::Resnet50 | Architecture::Resnet101 => (stride, 0),
        }
    }

    /// The trunk's last feature map of a picture whose sides are multiples of the stride: row-major (rows, columns, channels).
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn feature_map(&self, picture: &Pixels) -> Result<Vec<f32>> {
        let _native = cairn::runtime::native();
        one_thread();
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner).share()?;
        let shape = [1, i64::from(picture.height()), i64::from(picture.width()), 3];
        Tensor::f_from_data_size(picture.rgb(), &shape, Kind::Uint8)
            .and_then(|rgb| rgb.f_to_device(self.hardware.torch()))
            .and_then(|rgb| network.map(&rgb))
            .and_then(|map| map.f_permute([0, 2, 3, 1])?.f_to_kind(Kind::Float)?.f_to_device(tch::Device::Cpu))
            .and_then(|map| {
                let mut numbers = vec![0f32; map.numel()];
                let count = numbers.len();
                map.f_contiguous()?.f_copy_data(&mut numbers, count)?;
                Ok(numbers)
            })
            .map_err(torch_error)
    }

    /// One forward of the network alone, of photos of one size, padded with black ones to `batch`.
    fn forward(&self, network: &Network, photos: &[&Pixels], batch: usize) -> Result<Vec<Vec<f32>>> {
        let Some(first) = photos.first() else { return Ok(Vec::new()) };
        let mut bytes = Vec::with_capacity(first.rgb().len() * batch);
        photos.iter().for_each(|photo| bytes.extend_from_slice(photo.rgb()));
        bytes.resize(first.rgb().len() * batch, 0);
        let shape = [batch as i64, i64::from(first.height()), i64::from(first.width()), 3];
        let raw = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)
            .and_then(|rgb| rgb.f_to_device(self.hardware.torch()))
            .and_then(|rgb| network.raw(&rgb))
            .and_then(|raw| raw.f_narrow(0, 0, photos.len() as i64))
            .map_err(torch_error)?;
        unit_rows(&raw)
    }
}

impl Encoder for Model {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn size_rule(&self) -> SizeRule {
        self.architecture.size_rule()
    }

    /// 1 on the CPU, where each photo has its own forward pass; on CUDA several batches, so that photos of one size are together.
    fn preferred_batch(&self) -> usize {
        if self.hardware.is_cuda() { 8 * CUDA_BATCH } else { 1 }
    }

    fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        let _native = cairn::runtime::native();
        one_thread();
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner).share()?;
        if !self.hardware.is_cuda() {
            return photos.iter().map(|photo| self.forward(&network, &[photo], 1)?.pop().ok_or_else(nothing)).collect();
        }
        // Photos of one size go together, in order of first appearance.
        let mut groups: Vec<((u32, u32), Vec<usize>)> = Vec::new();
        for (i, photo) in photos.iter().enumerate() {
            let size = (photo.width(), photo.height());
            match groups.iter_mut().find(|(of, _)| *of == size) {
                Some((_, members)) => members.push(i),
                None => groups.push((size, vec![i])),
            }
        }
        let mut vectors = vec![Vec::new(); photos.len()];
        for batch in groups.iter().flat_map(|(_, members)| members.chunks(CUDA_BATCH)) {
            let members: Vec<&Pixels> = batch.iter().map(|&i| photos[i]).collect();
            for (&i, vector) in batch.iter().zip(self.forward(&network, &members, CUDA_BATCH)?) {
                vectors[i] = vector;
            }
        }
        Ok(vectors)
    }

    fn adapt(&self, of_network: Vec<f32>) -> Result<Vec<f32>> {
        match &self.adapter {
            Some(adapter) => adapter.apply(&of_network),
            None => Ok(of_network),
        }
    }

    fn base(&self) -> Result<Option<ModelInfo>> {
        self.adapter.as_ref().map(|_| base_of(&self.info)).transpose()
    }
}

fn nothing() -> Error {
    Error::new(ErrorKind::Io, "the network gave no descriptor")
}

#[cfg(test)]
mod tests;
