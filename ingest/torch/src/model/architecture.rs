//! The architectures of the networks: names, numbers, input rules, and where their default weights are.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use cairn::{Error, Result};
use cairndb_ingest::photo::SizeRule;

use super::extract::{self, Trunk};
use super::settings::pinned;
use super::weights::Weights;
use super::{fishnet, layers, lite, resnet};

/// The environment variable that names the folder of the default weights.
pub const WEIGHTS_VARIABLE: &str = "CAIRN_WEIGHTS";
/// How to get the weights of the default model.
pub(crate) const SET_UP: &str = "run the set-up of the README";
/// How to get those of `lite2-gem`.
const FETCH_LITE2: &str = "fetch them: run `python3 .setup/run.py fetch lite2` in the source folder of cairn";

/// The architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Architecture {
    /// EfficientNet-Lite0 + GeM: 1,280 dimensions; the default, whose weights are included.
    #[default]
    Lite0,
    /// EfficientNet-Lite2 + GeM: 1,280 dimensions; the set-up fetches its weights on demand.
    Lite2,
    /// ResNet-18 + GeM: 512 dimensions.
    Resnet18,
    /// ResNet-50 + GeM: 512 dimensions with a head, 2,048 without.
    Resnet50,
    /// ResNet-101 + GeM: 512 dimensions with a head, 2,048 without.
    Resnet101,
    /// SE-ResNeXt-101 (32x4d) + GeM: 512 dimensions with a head, 2,048 without.
    SeResnext101,
    /// FishNet-150, whose four head stages are pooled by GeM: 512 dimensions with a head, 4,864 without.
    Fishnet150,
}

/// Weights that a model has without `--weights`.
pub(crate) struct DefaultWeights {
    pub(crate) file: &'static str,
    /// BLAKE3 of the file.
    blake3: &'static str,
    /// What to do where there is no such file.
    get: &'static str,
}

impl DefaultWeights {
    /// Where they are.
    ///
    /// # Errors
    /// `NotFound`, with what to run.
    pub(crate) fn find(&self) -> Result<PathBuf> {
        find_weights(self.file, self.get)
    }

    /// The tensors themselves, compared with the digest.
    ///
    /// # Errors
    /// `NotFound`, with what to run; `Mismatch` for other weights.
    pub(crate) fn read(&self) -> Result<Weights> {
        Weights::read(&self.find()?, Some(pinned(self.blake3)?))
    }
}

impl Architecture {
    /// All of them.
    pub const ALL: [Architecture; 7] = [
        Architecture::Lite0,
        Architecture::Lite2,
        Architecture::Resnet18,
        Architecture::Resnet50,
        Architecture::Resnet101,
        Architecture::SeResnext101,
        Architecture::Fishnet150,
    ];

    /// The name people type.
    pub fn word(self) -> &'static str {
        match self {
            Architecture::Lite0 => "lite0-gem",
            Architecture::Lite2 => "lite2-gem",
            Architecture::Resnet18 => "resnet18-gem",
            Architecture::Resnet50 => "resnet50-gem",
            Architecture::Resnet101 => "resnet101-gem",
            Architecture::SeResnext101 => "se-resnext101-gem",
            Architecture::Fishnet150 => "fishnet150-gem",
        }
    }

    /// How large a photo goes in.
    pub fn size_rule(self) -> SizeRule {
        if self.is_lite() {
            SizeRule::LongestSide { longest: 320, multiple: extract::STRIDE }
        } else {
            SizeRule::AspectGroups
        }
    }

    /// Whether it is an EfficientNet-Lite, which sees small photos.
    pub(crate) fn is_lite(self) -> bool {
        matches!(self, Architecture::Lite0 | Architecture::Lite2)
    }

    /// Mean and deviation of R, G and B on 0 to 255.
    pub(crate) fn normalisation(self) -> ([f32; 3], [f32; 3]) {
        if self.is_lite() {
            ([127.0; 3], [128.0; 3])
        } else {
            ([0.485, 0.456, 0.406].map(|x: f32| x * 255.0), [0.229, 0.224, 0.225].map(|x: f32| x * 255.0))
        }
    }

    /// `None`: people name a file.
    pub(crate) fn default_weights(self) -> Option<DefaultWeights> {
        match self {
            // Both are converted from the published files: efficientnet-lite0-57934424.pth, efficientnet-lite2-9656183e.pth.
            Architecture::Lite0 => Some(DefaultWeights {
                file: "lite0.safetensors",
                blake3: "b2e62dfbc3e1b3f2b759d5e2cc84f1684df5f56b4061e4eb30d7b745dbef5563",
                get: SET_UP,
            }),
            Architecture::Lite2 => Some(DefaultWeights {
                file: "lite2.safetensors",
                blake3: "a9998bc922b64123dd540264105eec6c8d0633d36a868bef8d9496ecc5e46e13",
                get: FETCH_LITE2,
            }),
            _ => None,
        }
    }

    /// Channels of the trunk's last feature map.
    pub(crate) fn channels(self) -> i64 {
        self.variant()
            .map_or_else(|| if self.is_lite() { lite::CHANNELS } else { fishnet::CHANNELS }, |net| net.channels())
    }

    /// Numbers of the pooled feature maps.
    pub(crate) fn pooled(self) -> i64 {
        if self == Architecture::Fishnet150 { fishnet::POOLED } else { self.channels() }
    }

    /// `None`: it is no ResNet.
    fn variant(self) -> Option<resnet::Variant> {
        match self {
            Architecture::Lite0 | Architecture::Lite2 | Architecture::Fishnet150 => None,
            Architecture::Resnet18 => Some(resnet::Variant::R18),
            Architecture::Resnet50 => Some(resnet::Variant::R50),
            Architecture::Resnet101 => Some(resnet::Variant::R101),
            Architecture::SeResnext101 => Some(resnet::Variant::SeX101),
        }
    }

    /// The trunk of the layers that `make` makes.
    pub(crate) fn trunk<L>(self, make: &mut dyn FnMut(&layers::ConvShape) -> Result<L>) -> Result<Trunk<L>> {
        Ok(match (self, self.variant()) {
            (_, Some(variant)) => Trunk::Resnet(resnet::Resnet::build(variant, make)?),
            (Architecture::Fishnet150, None) => Trunk::Fishnet(fishnet::Fishnet::build(make)?),
            (Architecture::Lite2, None) => Trunk::Lite(lite::Lite::build(lite::Size::Lite2, make)?),
            (_, None) => Trunk::Lite(lite::Lite::build(lite::Size::Lite0, make)?),
        })
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|a| a.word() == word).ok_or_else(|| {
            Error::invalid(format!("there is no model '{word}'"))
                .help(format!("models are {}", Self::ALL.map(Architecture::word).join(", ")))
        })
    }
}

/// Folder of the weights of an installed program, from the folder that the program lies in.
const INSTALLED_WEIGHTS: &str = "../share/cairn/weights";

/// Default weights (`get` says how to get them): a file that [`find_beside`] finds, or that lies in the folder named by
/// `CAIRN_WEIGHTS`.
pub(crate) fn find_weights(file: &str, get: &str) -> Result<PathBuf> {
    find_beside(file, &format!("{get}, or set {WEIGHTS_VARIABLE} to the folder that has {file}"))
}

/// A file of the set-up: in the folder named by `CAIRN_WEIGHTS`; where the set-up installs it beside the program; next to the program;
/// or in the build's workspace. A program that was installed and moved never looks outside its own folder. `get` says how to get it.
pub(crate) fn find_beside(file: &str, get: &str) -> Result<PathBuf> {
    let program = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    let folders = [
        std::env::var_os(WEIGHTS_VARIABLE).map(PathBuf::from),
        program.as_ref().map(|folder| folder.join(INSTALLED_WEIGHTS)),
        program,
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.deps/weights")),
    ];
    let places: Vec<PathBuf> = folders.into_iter().flatten().map(|f| f.join(file)).collect();
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        Error::not_found(format!("the file {file} does not exist; looked for {}", looked.join(", "))).help(get)
    })
}
