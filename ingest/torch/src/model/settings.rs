//! The settings that a database keeps of its model: enough to load the same one again, and to verify that it is the same.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cairn::model::ModelInfo;
use cairn::{Error, ErrorKind, Result, Snapshot};

use super::built::Built;
use super::ensemble::{self, Word};
use super::kept::{self, Files};
use super::member::{Member, Network};
use super::module::rules::Rules;
use super::module::trust::TrustList;
use super::module::{self, Module};
use super::weights::Weights;
use super::{Architecture, ModelSpec};
use crate::device::Hardware;

/// The model without what was trained behind its network.
///
/// # Errors
/// `Mismatch` when the settings cannot be read.
pub fn base_of(info: &ModelInfo) -> Result<ModelInfo> {
    Ok(Settings { adapter: None, ..Settings::parse(&info.settings)? }.info())
}

/// What a file makes of a model of a database: its architecture and scales with other weights (safetensors), or a module (`.pt`) under
/// the rules of the file beside it, and where they say nothing those of the database's own module.
///
/// # Errors
/// `Mismatch` when the settings cannot be read; `Invalid` for weights of an ensemble or a module.
pub fn spec_of(info: &ModelInfo, file: &Path) -> Result<ModelSpec> {
    let Settings { networks, scales, .. } = Settings::parse(&info.settings)?;
    let [network] = networks.as_slice() else {
        return Err(Error::invalid(format!("{} has {} networks, and FROM names one file", info.name, networks.len()))
            .help("create a database of the networks with the other files, and ingest the photos there"));
    };
    let is_module = module::is_named_so(&file.to_string_lossy());
    match &network.kind {
        NetworkKind::Module { rules, .. } if is_module => {
            let rules = Rules { dimension: None, ..rules.clone() };
            Ok(ModelSpec::module(file, Rules::beside(file)?.or(rules)))
        }
        NetworkKind::Built(_) if is_module => Ok(ModelSpec::module(file, Rules::beside(file)?)),
        NetworkKind::Built(architecture) => {
            ModelSpec { scales, ..ModelSpec::new(*architecture) }.weights(&[file.to_owned()])
        }
        NetworkKind::Module { name, .. } => {
            let what =
                format!("{name} is a TorchScript module, which has its own weights, not those of {}", file.display());
            Err(Error::invalid(what).help("name another module (.pt or .onnx)"))
        }
    }
}

/// A module that a database keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptModule {
    /// BLAKE3 of the module.
    pub digest: blake3::Hash,
    /// What the database calls it.
    pub name: String,
    rules: Rules,
}

impl KeptModule {
    /// Loads it in another process, if [`set_prober`](super::set_prober) names one, and gives a photo to it.
    ///
    /// # Errors
    /// `Corrupt`: the database has lost it; `Invalid`: it cannot be used.
    pub fn try_first(&self, files: Files<'_>) -> Result<()> {
        let bytes = kept_bytes(files, self.digest, &self.name)?;
        module::probe::probe(&bytes, &self.name, &self.rules).map(|_| ())
    }
}

/// The modules of a model of a database.
///
/// # Errors
/// `Mismatch` when the settings cannot be read.
pub fn modules_of(info: &ModelInfo) -> Result<Vec<KeptModule>> {
    let module = |network: NetworkSettings| match network.kind {
        NetworkKind::Module { name, rules } => Some(KeptModule { digest: network.digest, name, rules }),
        NetworkKind::Built(_) => None,
    };
    Ok(Settings::parse(&info.settings)?.networks.into_iter().filter_map(module).collect())
}

/// The bytes of a module that a database keeps.
fn kept_bytes(files: Files<'_>, digest: blake3::Hash, name: &str) -> Result<Vec<u8>> {
    let bytes = kept::read(files, digest)?.ok_or_else(|| lost(&format!("its network {name}")))?;
    if blake3::hash(&bytes) != digest {
        return Err(Error::corrupt(format!("the stored network {name} is damaged"))
            .help("restore a backup, or create a database with the network's file and ingest the photos there"));
    }
    Ok(bytes)
}

/// The name under which a database keeps an adapter.
pub fn adapter_file(digest: blake3::Hash) -> String {
    format!("adapter {digest}")
}

pub(crate) fn pinned(hex: &str) -> Result<blake3::Hash> {
    blake3::Hash::from_hex(hex).map_err(|e| Error::invalid(format!("'{hex}' is not a BLAKE3 digest")).because(e))
}

/// What a database remembers of its model, as lines `name = value`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// One, or those of an ensemble.
    pub(crate) networks: Vec<NetworkSettings>,
    pub(crate) scales: Vec<f64>,
    /// Digest of the adapter that was trained on it, which the database keeps.
    pub(crate) adapter: Option<blake3::Hash>,
}

/// What a database remembers of a network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NetworkSettings {
    pub(crate) kind: NetworkKind,
    /// How much its descriptor counts beside those of others.
    pub(crate) weight: f64,
    /// BLAKE3 of the file of weights, or of the module.
    pub(crate) digest: blake3::Hash,
    pub(crate) place: Place,
}

/// Who made a network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NetworkKind {
    /// Cairn, by this architecture.
    Built(Architecture),
    /// Somebody else: a TorchScript module. The rules have every value.
    Module { name: String, rules: Rules },
}

/// Where the weights of a network are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// They came with the program, and are looked for again.
    Default,
    /// In this file.
    File(PathBuf),
    /// In the database, which trained them.
    Kept,
}

/// What [`Place::Kept`] is called in the settings.
const KEPT: &str = "kept by the database";

impl NetworkSettings {
    /// The network on a device. `moved`: where the file of its weights is now, if it is in one, or the folder that has it under its
    /// name.
    ///
    /// # Errors
    /// When the weights are not found, or are other ones; `Mismatch`: it is a module that this machine does not trust.
    pub(super) fn load(
        &self,
        files: Files<'_>,
        moved: Option<&Path>,
        scales: &[f64],
        hardware: &Hardware,
    ) -> Result<Member> {
        let network = match &self.kind {
            NetworkKind::Built(architecture) => {
                let weights = self.weights(*architecture, files, moved)?;
                Network::Built(Box::new(Built::load(*architecture, scales, &weights, hardware)?))
            }
            NetworkKind::Module { name, rules } => {
                TrustList::of_this_user()?.must_have(self.digest, name)?;
                let bytes = kept_bytes(files, self.digest, name)?;
                Network::Module(Box::new(Module::load(&bytes, name, rules.clone(), hardware)?))
            }
        };
        Ok(Member { network, weight: self.weight })
    }

    /// The weights of a network that Cairn builds, with the remembered digest; `moved` as in [`NetworkSettings::load`].
    pub(crate) fn weights(
        &self,
        architecture: Architecture,
        files: Files<'_>,
        moved: Option<&Path>,
    ) -> Result<Weights> {
        let inside = |name: &OsStr| moved.map(|path| if path.is_dir() { path.join(name) } else { path.to_owned() });
        let path = match &self.place {
            Place::Kept => {
                let bytes = kept::read(files, self.digest)?.ok_or_else(|| lost("its trained network"))?;
                return Weights::from_bytes(Path::new(KEPT), bytes, Some(self.digest));
            }
            Place::File(path) => path.file_name().and_then(inside).unwrap_or_else(|| path.clone()),
            Place::Default => match architecture.default_weights() {
                Some(weights) => match inside(weights.file.as_ref()).filter(|path| path.is_file()) {
                    Some(path) => path,
                    None => weights.find()?,
                },
                None => return Err(lost("where the weights of its model are")),
            },
        };
        Weights::read_network(&path, Some(self.digest), architecture)
    }

    fn word(&self) -> Word {
        match &self.kind {
            NetworkKind::Built(architecture) => Word::Built(*architecture),
            NetworkKind::Module { name, .. } => Word::Module(name.clone()),
        }
    }

    /// Everything of it that decides a descriptor.
    fn identity(&self) -> String {
        let architecture = match &self.kind {
            NetworkKind::Built(architecture) => architecture,
            NetworkKind::Module { rules, .. } => return format!("module {}\nrules {}\n", self.digest, rules.text()),
        };
        let (mean, deviation) = architecture.normalisation();
        format!(
            "{}\nweights {}\ninput {:?}, antialiased bilinear, mean {mean:?}, deviation {deviation:?}\n",
            architecture.word(),
            self.digest,
            architecture.size_rule(),
        )
    }
}

impl Settings {
    fn scales_text(&self) -> String {
        self.scales.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
    }

    /// What people type for the networks.
    fn networks_text(&self) -> String {
        ensemble::text(self.networks.iter().map(|network| (network.word(), network.weight)))
    }

    /// The one network of a model of that name and its architecture, for TRAIN TRUNK.
    ///
    /// # Errors
    /// `Invalid`: it is an ensemble, or a module.
    pub(crate) fn only(&self, name: &str) -> Result<(&NetworkSettings, Architecture)> {
        match self.networks.as_slice() {
            [only] => match &only.kind {
                NetworkKind::Built(architecture) => Ok((only, *architecture)),
                NetworkKind::Module { .. } => {
                    let message = format!(
                        "TRAIN TRUNK trains the layers of a network, and {name} is a module whose layers it cannot see"
                    );
                    Err(Error::invalid(message).help("train a map behind it: TRAIN without TRUNK"))
                }
            },
            several => {
                let message = format!("TRAIN TRUNK trains one network, and {name} has {}", several.len());
                Err(Error::invalid(message).help(
                    "train a map behind all of them (TRAIN without TRUNK), or each network in a database of its own",
                ))
            }
        }
    }

    /// A digest of everything that decides a descriptor; where the weights lie does not.
    fn fingerprint(&self) -> String {
        let networks = match self.networks.as_slice() {
            [only] => format!("cairn model 1\n{}", only.identity()),
            several => {
                let member = |network: &NetworkSettings| format!("weight {}\n{}", network.weight, network.identity());
                format!("cairn ensemble 1\n{}", several.iter().map(member).collect::<String>())
            }
        };
        let adapted = self.adapter.map(|adapter| format!("adapter {adapter}\n")).unwrap_or_default();
        let text = format!("{networks}scales {}\n{adapted}", self.scales_text());
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    fn name(&self) -> String {
        let tuned =
            |network: &NetworkSettings| network.place == Place::Kept && matches!(network.kind, NetworkKind::Built(_));
        let is_tuned = self.networks.iter().any(tuned);
        let tuned = if is_tuned { "+tuned" } else { "" };
        let adapted = if self.adapter.is_some() { "+trained" } else { "" };
        format!("{}{tuned}{adapted}", self.networks_text())
    }

    pub(crate) fn info(&self) -> ModelInfo {
        ModelInfo::new(self.name(), self.fingerprint()).settings(self.to_string())
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let broken = |what: &str| {
            Error::new(ErrorKind::Mismatch, format!("the database's model settings cannot be read: {what}"))
                .help("use the version of cairn that created the database")
        };
        let value = |name: &str| {
            text.lines().find_map(|line| line.split_once(" = ").filter(|(n, _)| *n == name).map(|(_, value)| value))
        };
        let needed = |name: &str| value(name).ok_or_else(|| broken(&format!("'{name}' is missing")));
        let network = |(at, (word, weight)): (usize, (Word, f64))| -> Result<NetworkSettings> {
            let name = |part: &str| numbered(part, at);
            let kind = match word {
                Word::Built(architecture) => NetworkKind::Built(architecture),
                Word::Module(of) => {
                    let rules = Rules::parse(needed(&name("rules"))?).map_err(|error| broken(error.message()))?;
                    rules.check().map_err(|error| broken(error.message()))?;
                    NetworkKind::Module { name: of, rules }
                }
            };
            let place = match (value(&name("network")), value(&name("path"))) {
                (Some(KEPT), _) => Place::Kept,
                (Some(other), _) => return Err(broken(&format!("'{}' is '{other}'", name("network")))),
                (None, Some(path)) => Place::File(PathBuf::from(path)),
                (None, None) => Place::Default,
            };
            Ok(NetworkSettings { kind, weight, digest: pinned(needed(&name("weights"))?)?, place })
        };
        let scales: Result<Vec<f64>, _> = needed("scales")?.split(',').map(str::parse).collect();
        Ok(Self {
            networks: ensemble::parse(needed("model")?)?.into_iter().enumerate().map(network).collect::<Result<_>>()?,
            scales: scales.map_err(|_| broken("'scales' are not numbers"))?,
            adapter: value("adapter").map(pinned).transpose()?,
        })
    }
}

/// The name of a value of the network at that place of an ensemble: those of the first one have no number.
fn numbered(name: &str, at: usize) -> String {
    if at == 0 { name.to_owned() } else { format!("{name} {}", at + 1) }
}

/// Whether a model is of a network that the database should keep and does not.
///
/// # Errors
/// `Mismatch` when the settings of the model cannot be read; a damaged catalog.
pub(crate) fn is_lost(snapshot: &Snapshot, info: &ModelInfo) -> Result<bool> {
    let settings = Settings::parse(&info.settings)?;
    for network in settings.networks.iter().filter(|network| network.place == Place::Kept) {
        if kept::lacks(snapshot, network.digest)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "model = {}", self.networks_text())?;
        for (at, network) in self.networks.iter().enumerate() {
            write!(f, "\n{} = {}", numbered("weights", at), network.digest)?;
            if at == 0 {
                write!(f, "\nscales = {}", self.scales_text())?;
            }
            match &network.place {
                Place::Default => {}
                Place::File(path) => write!(f, "\n{} = {}", numbered("path", at), path.display())?,
                Place::Kept => write!(f, "\n{} = {KEPT}", numbered("network", at))?,
            }
            if let NetworkKind::Module { rules, .. } = &network.kind {
                write!(f, "\n{} = {}", numbered("rules", at), rules.text())?;
            }
        }
        match &self.adapter {
            Some(adapter) => write!(f, "\nadapter = {adapter}"),
            None => Ok(()),
        }
    }
}

/// The database does not have what its model is made of.
pub(crate) fn lost(what: &str) -> Error {
    Error::corrupt(format!("the database has lost {what}")).help("return to the published network: USE MODEL 0")
}
