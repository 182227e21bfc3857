//! The settings that a database keeps of its model: enough to load the same one again, and to verify that it is the same.

use std::path::{Path, PathBuf};

use cairn::model::ModelInfo;
use cairn::{Error, ErrorKind, Result, Snapshot};

use super::kept::{self, Files};
use super::weights::Weights;
use super::{Architecture, ModelSpec};

/// The model without what was trained behind its network.
///
/// # Errors
/// `Mismatch` when the settings cannot be read.
pub fn base_of(info: &ModelInfo) -> Result<ModelInfo> {
    Ok(Settings { adapter: None, ..Settings::parse(&info.settings)? }.info())
}

/// The architecture and the scales of a model of a database, with the weights of a file.
///
/// # Errors
/// `Mismatch` when the settings cannot be read.
pub fn spec_of(info: &ModelInfo, weights: &Path) -> Result<ModelSpec> {
    let Settings { architecture, scales, .. } = Settings::parse(&info.settings)?;
    Ok(ModelSpec { architecture, weights: Some(weights.to_owned()), scales })
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
    pub(crate) architecture: Architecture,
    /// BLAKE3 of the file of weights.
    pub(crate) digest: blake3::Hash,
    pub(crate) scales: Vec<f64>,
    pub(crate) place: Place,
    /// Digest of the adapter that was trained on it, which the database keeps.
    pub(crate) adapter: Option<blake3::Hash>,
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

impl Settings {
    /// The weights themselves, with the remembered digest. `moved`: where the file is now, if they are in one.
    pub(crate) fn weights(&self, files: Files<'_>, moved: Option<&Path>) -> Result<Weights> {
        let path = match (&self.place, moved) {
            (Place::Kept, _) => {
                let bytes = kept::read(files, self.digest)?.ok_or_else(|| lost("its trained network"))?;
                return Weights::from_bytes(Path::new(KEPT), bytes, Some(self.digest));
            }
            (_, Some(path)) => path.to_owned(),
            (Place::File(path), None) => path.clone(),
            (Place::Default, None) => match self.architecture.default_weights() {
                Some(weights) => weights.find()?,
                None => return Err(lost("where the weights of its model are")),
            },
        };
        Weights::read_network(&path, Some(self.digest), self.architecture)
    }

    fn scales_text(&self) -> String {
        self.scales.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
    }

    /// A digest of everything that decides a descriptor; where the weights lie does not.
    fn fingerprint(&self) -> String {
        let (mean, deviation) = self.architecture.normalisation();
        let text = format!(
            "cairn model 1\n{}\nweights {}\ninput {:?}, antialiased bilinear, mean {mean:?}, deviation {deviation:?}\nscales {}\n",
            self.architecture.word(),
            self.digest,
            self.architecture.size_rule(),
            self.scales_text(),
        );
        let adapted = self.adapter.map(|adapter| format!("adapter {adapter}\n")).unwrap_or_default();
        blake3::hash((text + &adapted).as_bytes()).to_hex().to_string()
    }

    fn name(&self) -> String {
        let tuned = if self.place == Place::Kept { "+tuned" } else { "" };
        let adapted = if self.adapter.is_some() { "+trained" } else { "" };
        format!("{}{tuned}{adapted}", self.architecture.word())
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
        let scales: Result<Vec<f64>, _> = needed("scales")?.split(',').map(str::parse).collect();
        Ok(Self {
            architecture: needed("model")?.parse()?,
            digest: pinned(needed("weights")?)?,
            scales: scales.map_err(|_| broken("'scales' are not numbers"))?,
            place: match (value("network"), value("path")) {
                (Some(KEPT), _) => Place::Kept,
                (Some(other), _) => return Err(broken(&format!("'network' is '{other}'"))),
                (None, Some(path)) => Place::File(PathBuf::from(path)),
                (None, None) => Place::Default,
            },
            adapter: value("adapter").map(pinned).transpose()?,
        })
    }
}

/// Whether a model is of a network that the database should keep and does not.
///
/// # Errors
/// `Mismatch` when the settings of the model cannot be read; a damaged catalog.
pub(crate) fn is_lost(snapshot: &Snapshot, info: &ModelInfo) -> Result<bool> {
    let settings = Settings::parse(&info.settings)?;
    Ok(settings.place == Place::Kept && kept::lacks(snapshot, settings.digest)?)
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "model = {}\nweights = {}\nscales = {}", self.architecture.word(), self.digest, self.scales_text())?;
        match &self.place {
            Place::Default => {}
            Place::File(path) => write!(f, "\npath = {}", path.display())?,
            Place::Kept => write!(f, "\nnetwork = {KEPT}")?,
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
