//! The embedding networks: photos' pixels in, unit descriptors out.
//!
//! A [`Model`] is an architecture, its weights, an input rule and scales; together they give its fingerprint, and a database
//! never mixes vectors of different fingerprints.

pub(crate) mod adapter;
mod adapter_file;
mod architecture;
mod built;
mod ensemble;
pub(crate) mod extract;
mod fast;
pub(crate) mod file;
pub(crate) mod fishnet;
pub(crate) mod gem;
pub(crate) mod kept;
pub(crate) mod layers;
mod layout;
pub(crate) mod lite;
mod member;
mod module;
pub(crate) mod resnet;
mod settings;
mod spec;
pub(crate) mod weights;

use std::path::Path;
use std::sync::Arc;

use cairn::limits::MAX_DIMENSION;
use cairn::model::ModelInfo;
use cairn::{Error, ErrorKind, Result};

pub use adapter::{Adapter, Affine, Block, MAX_BLOCKS, Projection};
pub use architecture::{Architecture, WEIGHTS_VARIABLE};
pub(crate) use architecture::{SET_UP, find_weights};
pub(crate) use file::write_whole;
pub use gem::{GEM_EPSILON, GEM_P};
pub use weights::{MAX_WEIGHTS_BYTES, MAX_WEIGHTS_HEADER};

use bytes::Bytes;

use crate::device::{Hardware, one_thread};
use cairndb_ingest::Encoder;
use cairndb_ingest::photo::{Pixels, SizeRule};
pub use ensemble::MAX_MEMBERS;
pub use kept::Files;
use member::{Member, Network};
pub use module::probe::{Prober, probe_network, set_prober};
pub use module::{ONNX_RUNTIME_VARIABLE, rules, trust, try_file};
pub use settings::{KeptModule, adapter_file, base_of, modules_of, spec_of};
pub(crate) use settings::{NetworkKind, NetworkSettings, Place, Settings, is_lost, pinned};
pub use spec::{MemberSpec, ModelSpec, NetworkSpec};
use weights::Weights;

/// Photos in one forward on CUDA; a batch that is not full is padded to this, so that a photo's descriptor does not depend on
/// how many others came with it.
pub const CUDA_BATCH: usize = 32;
/// Most scales of a multi-scale model.
pub const MAX_SCALES: usize = 8;

/// A loaded model on a device: one network, or several whose descriptors stand one behind the other. It may be used by many
/// threads at once.
pub struct Model {
    info: ModelInfo,
    dimension: usize,
    members: Vec<Member>,
    hardware: Hardware,
    adapter: Option<Arc<Adapter>>,
    /// What a database keeps for it.
    files: Vec<(String, Bytes)>,
}

/// Judges a module before it is loaded, by its digest and its name.
type Judge<'a> = &'a dyn Fn(blake3::Hash, &str) -> Result<()>;

impl Model {
    /// Loads the networks that `spec` describes. A module runs, whoever made it: first in a process of its own, where
    /// [`set_prober`] names one.
    ///
    /// # Errors
    /// When weights are missing, damaged, of another model, or not the pinned ones; when a module cannot be used.
    pub fn load(spec: &ModelSpec, hardware: &Hardware) -> Result<Self> {
        Self::judged(spec, hardware, &|_, _| Ok(()))
    }

    /// [`Model::load`], but for modules that this machine does not trust ([`trust::TrustList`]).
    ///
    /// # Errors
    /// As [`Model::load`]; `Mismatch`: a module is not trusted.
    pub fn load_trusted(spec: &ModelSpec, hardware: &Hardware) -> Result<Self> {
        Self::judged(spec, hardware, &|digest, name| trust::TrustList::of_this_user()?.must_have(digest, name))
    }

    fn judged(spec: &ModelSpec, hardware: &Hardware, judge: Judge<'_>) -> Result<Self> {
        let ModelSpec { members: specs, scales } = spec;
        check_scales(scales)?;
        let (mut networks, mut members, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for MemberSpec { network, weight } in specs {
            let weight = *weight;
            match network {
                NetworkSpec::Built { architecture, weights } => {
                    let (place, weights) = weights_of(*architecture, weights.as_deref())?;
                    let built = built::Built::load(*architecture, scales, &weights, hardware)?;
                    members.push(Member { network: Network::Built(Box::new(built)), weight });
                    let (kind, digest) = (NetworkKind::Built(*architecture), weights.digest());
                    networks.push(NetworkSettings { kind, weight, digest, place });
                }
                NetworkSpec::Module { file, rules } => {
                    let (name, bytes) = (module::name_of(file), module::read(file)?);
                    let digest = blake3::hash(&bytes);
                    judge(digest, &name)?;
                    let rules = module::probe::probe(&bytes, &name, rules)?;
                    let loaded = module::Module::load(&bytes, &name, rules.clone(), hardware)?;
                    members.push(Member { network: Network::Module(Box::new(loaded)), weight });
                    files.extend(kept::parts(&bytes.into()));
                    let kind = NetworkKind::Module { name, rules };
                    networks.push(NetworkSettings { kind, weight, digest, place: Place::Kept });
                }
            }
        }
        let settings = Settings { networks, scales: scales.clone(), adapter: None };
        Ok(Self { files, ..Self::of_members(&settings, members, hardware)? })
    }

    /// Loads a model of a database. `weights` replaces the remembered path, never the remembered digest: the file, or the folder
    /// that has it, and those of an ensemble, under its name; `files` gives what the database keeps under a name.
    ///
    /// # Errors
    /// When the weights are not found any more, or are not the same ones; `Corrupt` when the database lost the adapter.
    pub fn reload(info: &ModelInfo, files: Files<'_>, weights: Option<&Path>, hardware: &Hardware) -> Result<Self> {
        let mut settings = Settings::parse(&info.settings)?;
        check_scales(&settings.scales)?;
        if settings.networks.len() > 1 && weights.is_some_and(|path| !path.is_dir()) {
            return Err(Error::invalid(format!("{} has a file of weights for each network, not one", info.name))
                .help("name the folder that has all of them under their names: --weights FOLDER"));
        }
        let adapter = settings.adapter.take();
        let mut members = Vec::new();
        for network in &settings.networks {
            members.push(network.load(files, weights, &settings.scales, hardware)?);
        }
        let mut model = Self::of_members(&settings, members, hardware)?;
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

    /// The one network of these settings, of that architecture, with these weights, without an adapter.
    pub(crate) fn of_weights(
        settings: &Settings,
        architecture: Architecture,
        weights: &Weights,
        hardware: &Hardware,
    ) -> Result<Self> {
        check_scales(&settings.scales)?;
        let built = built::Built::load(architecture, &settings.scales, weights, hardware)?;
        let member = Member { network: Network::Built(Box::new(built)), weight: 1.0 };
        Self::of_members(settings, vec![member], hardware)
    }

    fn of_members(settings: &Settings, members: Vec<Member>, hardware: &Hardware) -> Result<Self> {
        let dimension = members.iter().map(Member::dimension).sum();
        if settings.scales != [1.0] && members.iter().any(|member| member.built().is_none()) {
            return Err(Error::invalid(format!("scales {:?} cannot be used with a module", settings.scales))
                .help("a module has one input size: leave the scales out, or average inside the module"));
        }
        if !(1..=MAX_DIMENSION).contains(&dimension) {
            return Err(Error::invalid(format!("descriptors of {dimension} numbers cannot be stored")).help(format!(
                "a descriptor has 1 to {MAX_DIMENSION} numbers: name fewer networks, or weights with a head"
            )));
        }
        let (info, hardware) = (settings.info(), hardware.clone());
        Ok(Self { info, dimension, members, hardware, adapter: None, files: Vec::new() })
    }

    /// The network whose feature maps stand for the model's: the first one that Cairn builds.
    fn first(&self) -> Result<&built::Built> {
        self.members.iter().find_map(Member::built).ok_or_else(|| {
            Error::invalid(format!("{} is a module, whose feature maps Cairn does not know", self.info.name))
                .help("fetch the weights of the local features (XFeat): run the set-up of the README")
        })
    }

    /// What a database keeps for a model that [`Model::load`] gave, for
    /// [`Database::create_with_files`](cairn::Database::create_with_files): the modules, in parts, and nothing of other networks.
    pub fn files(&self) -> &[(String, Bytes)] {
        &self.files
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
        let mut last: Vec<&str> = self.members.iter().map(Member::last).collect();
        last.dedup();
        let last = last.join(" or ");
        let last = if self.adapter.is_some() { format!("{last}, then the adapter") } else { last };
        format!("{}, {} dimensions by {last}, on {}", self.info.name, self.dimension, self.hardware.describe())
    }

    /// Channels of the feature map of the first network that Cairn builds.
    ///
    /// # Errors
    /// `Invalid`: there is none.
    pub(crate) fn channels(&self) -> Result<usize> {
        Ok(self.first()?.channels())
    }

    /// Of that feature map: pixels of the input from one cell to the next, and the pixel, along each axis, that the receptive
    /// field of the first cell is centred on.
    pub(crate) fn cell_geometry(&self) -> Result<(usize, usize)> {
        Ok(self.first()?.cell_geometry())
    }

    /// The last feature map of the first network's trunk, of a picture whose sides are multiples of the stride: row-major (rows,
    /// columns, channels).
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn feature_map(&self, picture: &Pixels) -> Result<Vec<f32>> {
        let _native = cairn::runtime::native();
        one_thread();
        self.first()?.feature_map(picture)
    }

    /// The descriptors of several networks as one: each photo is resized once for each rule.
    fn encode_by_all(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        let mut joined = vec![Vec::with_capacity(self.members.len()); photos.len()];
        let mut sized: Vec<(SizeRule, Vec<Pixels>)> = Vec::new();
        let given = self.size_rule();
        for member in &self.members {
            let rule = member.size_rule();
            if rule != given && sized.iter().all(|(of, _)| *of != rule) {
                sized.push((rule, photos.iter().map(|photo| rule.fit(photo)).collect::<Result<_>>()?));
            }
            let inputs = sized.iter().find(|(of, _)| *of == rule).map(|(_, photos)| photos.iter().collect::<Vec<_>>());
            let vectors = member.encode(inputs.as_deref().unwrap_or(photos))?;
            joined.iter_mut().zip(vectors).for_each(|(parts, vector)| parts.push((member.weight, vector)));
        }
        Ok(joined.iter().map(|parts| ensemble::concatenated(parts)).collect())
    }
}

/// The weights of an architecture, in this file or by default, and where they are.
fn weights_of(architecture: Architecture, file: Option<&Path>) -> Result<(Place, Weights)> {
    match (file, architecture.default_weights()) {
        (Some(path), _) => {
            let place = Place::File(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
            Ok((place, Weights::read_network(path, None, architecture)?))
        }
        (None, Some(weights)) => Ok((Place::Default, weights.read()?)),
        (None, None) => Err(Error::invalid(format!("{} has no default weights", architecture.word()))
            .help("name a safetensors file in the layout of its publishers with --weights")),
    }
}

/// # Errors
/// `Invalid` for scales that no model can have.
fn check_scales(scales: &[f64]) -> Result<()> {
    let sound = |s: &f64| (0.1..=4.0).contains(s);
    if scales.is_empty() || scales.len() > MAX_SCALES || !scales.iter().all(sound) {
        return Err(Error::invalid(format!("scales {scales:?} cannot be used"))
            .help(format!("give 1 to {MAX_SCALES} numbers between 0.1 and 4, for example 0.75,1,1.25")));
    }
    Ok(())
}

impl Encoder for Model {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// That of its networks; photos come whole if networks have different rules.
    fn size_rule(&self) -> SizeRule {
        let mut rules = self.members.iter().map(Member::size_rule);
        let first = rules.next().unwrap_or(SizeRule::Unchanged);
        if rules.all(|rule| rule == first) { first } else { SizeRule::Unchanged }
    }

    /// 1 on the CPU, where each photo has its own forward pass; on CUDA several batches, so that photos of one size are together,
    /// or one batch of whole photos, which need more memory.
    fn preferred_batch(&self) -> usize {
        match (self.hardware.is_cuda(), self.size_rule()) {
            (false, _) => 1,
            (true, SizeRule::Unchanged) => CUDA_BATCH,
            (true, _) => 8 * CUDA_BATCH,
        }
    }

    fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        let _native = cairn::runtime::native();
        one_thread();
        match self.members.as_slice() {
            [only] => only.encode(photos),
            _ => self.encode_by_all(photos),
        }
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

#[cfg(test)]
mod tests;
