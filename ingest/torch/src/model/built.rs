//! A network that Cairn builds, on a device.

use std::sync::{Arc, Mutex, PoisonError};

use cairn::runtime::Gated;
use cairn::{Error, ErrorKind, Result};
use tch::{Kind, Tensor};

use super::extract::{self, Network, channel, unit_rows};
use super::fast::FastTrunk;
use super::layers::Conv;
use super::weights::Weights;
use super::{Architecture, CUDA_BATCH, gem};
use crate::device::{Hardware, one_thread, torch_error};
use cairndb_ingest::photo::Pixels;

/// What stands behind the pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadKind {
    /// A fully connected layer and a batch normalisation.
    Normed,
    /// The layer alone.
    Plain,
}

/// A network on a device. It may be used by many threads at once.
pub(super) struct Built {
    pub(super) architecture: Architecture,
    /// Length of its descriptor.
    pub(super) dimension: usize,
    head: Option<HeadKind>,
    hardware: Hardware,
    /// Tensors may move between threads but not be shared by reference: each call takes its own handles.
    pub(super) network: Gated<Mutex<Network>>,
}

impl Built {
    pub(super) fn load(
        architecture: Architecture,
        scales: &[f64],
        weights: &Weights,
        hardware: &Hardware,
    ) -> Result<Self> {
        let _native = cairn::runtime::native();
        one_thread();
        let trunk = architecture.trunk(&mut |shape| Conv::load(weights, shape))?;
        let pooled = architecture.pooled();
        let head = gem::Head::load(weights, pooled)?;
        let p = gem::exponent(weights)?;
        let dimension = head.as_ref().map_or(pooled, gem::Head::dimension);
        let kind_of_head =
            head.as_ref().map(|_| if gem::has_norm(weights) { HeadKind::Normed } else { HeadKind::Plain });

        let device = hardware.torch();
        let kind = if hardware.is_cuda() { Kind::BFloat16 } else { Kind::Float };
        let place = || -> Result<Network, tch::TchError> {
            let (mean, deviation) = architecture.normalisation();
            Ok(Network {
                trunk: trunk.map(&|conv: &Conv| conv.to(device, kind))?,
                p,
                head: head.as_ref().map(|head| head.to(device)).transpose()?,
                scales: scales.to_vec(),
                mean: channel(mean, device)?,
                deviation: channel(deviation, device)?,
                kind,
                fast: FastTrunk::of(&trunk, hardware).map(Arc::new),
            })
        };
        let placed = place().map_err(torch_error)?;
        Ok(Self {
            architecture,
            dimension: usize::try_from(dimension).unwrap_or(0),
            head: kind_of_head,
            hardware: hardware.clone(),
            network: Gated::new(|| Mutex::new(placed)),
        })
    }

    fn share(&self) -> Result<Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).share()
    }

    /// What makes the descriptor of the feature maps, for people.
    pub(super) fn last(&self) -> &'static str {
        match self.head {
            Some(HeadKind::Normed) => "GeM, FC and batch normalisation",
            Some(HeadKind::Plain) => "GeM and FC",
            None => "GeM (the weights have no head)",
        }
    }

    /// Channels of the trunk's last feature map.
    pub(super) fn channels(&self) -> usize {
        usize::try_from(self.architecture.channels()).unwrap_or(0)
    }

    /// The unit descriptors of photos at its input size, in order.
    pub(super) fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        let network = self.share()?;
        if !self.hardware.is_cuda() {
            let nothing = || Error::new(ErrorKind::Io, "the network gave no descriptor");
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

    /// One forward of photos of one size, padded with black ones to `batch`.
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

    /// Of the trunk's feature map: pixels of the input from one cell to the next, and the pixel, along each axis, that the
    /// receptive field of the first cell is centred on.
    pub(super) fn cell_geometry(&self) -> (usize, usize) {
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
    pub(super) fn feature_map(&self, picture: &Pixels) -> Result<Vec<f32>> {
        let network = self.share()?;
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
}
