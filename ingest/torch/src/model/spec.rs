//! Which model to load.

use std::path::PathBuf;
use std::str::FromStr;

use cairn::{Error, Result};

use super::ensemble::{self, Word};
use super::module::rules::Rules;
use super::{Architecture, module};

/// Which model to load.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The networks: one, or several whose descriptors stand one behind the other; at most [`MAX_MEMBERS`](super::MAX_MEMBERS).
    pub members: Vec<MemberSpec>,
    /// Scales of the input: `[1.0]` (the default), or for example `[0.75, 1.0, 1.25]`; at most
    /// [`MAX_SCALES`](super::MAX_SCALES), each 0.1 to 4.
    pub scales: Vec<f64>,
}

/// A network of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberSpec {
    /// The network.
    pub network: NetworkSpec,
    /// How much its descriptor counts among several, 0.01 to 100 (1 by default).
    pub weight: f64,
}

/// A network to load.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkSpec {
    /// One that Cairn builds.
    Built {
        /// What is built.
        architecture: Architecture,
        /// A safetensors file; `None` (the default): the default weights, which only `lite0-gem` and `lite2-gem` have.
        weights: Option<PathBuf>,
    },
    /// A TorchScript module.
    Module {
        /// Its file.
        file: PathBuf,
        /// What goes in and what comes out, as far as it is known.
        rules: Rules,
    },
}

impl NetworkSpec {
    /// The file of a built network's weights; `None`: it is a module.
    fn weights(&mut self) -> Option<&mut Option<PathBuf>> {
        match self {
            Self::Built { weights, .. } => Some(weights),
            Self::Module { .. } => None,
        }
    }

    fn lacks_weights(&self) -> bool {
        matches!(self, Self::Built { architecture, .. } if architecture.default_weights().is_none())
    }

    fn word(&self) -> Word {
        match self {
            Self::Built { architecture, .. } => Word::Built(*architecture),
            Self::Module { file, .. } => Word::Module(module::name_of(file)),
        }
    }
}

impl ModelSpec {
    /// That architecture with its default weights at a single scale.
    pub fn new(architecture: Architecture) -> Self {
        Self::of_members([(Word::Built(architecture), 1.0)])
    }

    /// A TorchScript module with these rules; what they leave open is found when it is loaded.
    pub fn module(file: impl Into<PathBuf>, rules: Rules) -> Self {
        let network = NetworkSpec::Module { file: file.into(), rules };
        Self { members: vec![MemberSpec { network, weight: 1.0 }], scales: vec![1.0] }
    }

    fn of_members(members: impl IntoIterator<Item = (Word, f64)>) -> Self {
        let member = |(word, weight)| {
            let network = match word {
                Word::Built(architecture) => NetworkSpec::Built { architecture, weights: None },
                Word::Module(file) => NetworkSpec::Module { file: file.into(), rules: Rules::default() },
            };
            MemberSpec { network, weight }
        };
        Self { members: members.into_iter().map(member).collect(), scales: vec![1.0] }
    }

    fn name(&self) -> String {
        ensemble::text(self.members.iter().map(|member| (member.network.word(), member.weight)))
    }

    /// Gives every module these rules; what they leave open is taken from the file beside it (`net.json` of `net.pt`), where there is
    /// one.
    ///
    /// # Errors
    /// `Invalid`: there is no module, or the file beside one cannot be read.
    pub fn rules(mut self, given: &Rules) -> Result<Self> {
        let mut modules = 0;
        for member in &mut self.members {
            if let NetworkSpec::Module { file, rules } = &mut member.network {
                *rules = given.clone().or(Rules::beside(file)?);
                modules += 1;
            }
        }
        if modules == 0 && !given.is_empty() {
            return Err(Error::invalid(format!("{} knows its own input and output", self.name())).help(
                "size, resize rule, mean, deviation and output are those of a TorchScript module: --model FILE.pt",
            ));
        }
        Ok(self)
    }

    /// Gives the networks that Cairn builds these files of weights in order: one for each, or one for each that has no default
    /// weights.
    ///
    /// # Errors
    /// `Invalid`: the number of files fits neither.
    pub fn weights(mut self, files: &[PathBuf]) -> Result<Self> {
        let all = self.members.iter_mut().filter_map(|member| member.network.weights()).count();
        let lacking = self.members.iter().filter(|member| member.network.lacks_weights()).count();
        if files.len() != all && files.len() != lacking {
            let message = format!("{} does not take {} files of weights", self.name(), files.len());
            return Err(Error::invalid(message).help(match lacking {
                0 if all == 0 => "leave --weights out: a module has its own".to_owned(),
                0 => format!("give --weights {all} times, in the order of the networks, or not at all"),
                _ if lacking == all => format!("give --weights {all} times, in the order of the networks"),
                _ => format!(
                    "give --weights {all} times, in the order of the networks, or {lacking} times, for those without default weights"
                ),
            }));
        }
        let takes = |member: &MemberSpec| files.len() == all || member.network.lacks_weights();
        let takers = self.members.iter_mut().filter(|member| takes(member));
        let places = takers.filter_map(|member| member.network.weights());
        places.zip(files).for_each(|(weights, file)| *weights = Some(file.clone()));
        Ok(self)
    }
}

impl FromStr for ModelSpec {
    type Err = Error;

    /// `lite0-gem`, a module's file like `net.pt`, or an ensemble like `lite0-gem+net.pt:0.5`, in which a weight of 1 is left out.
    fn from_str(text: &str) -> Result<Self> {
        ensemble::parse(text).map(Self::of_members)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::module::rules::Sides;
    use super::*;

    /// It catches: rules of the command line that a file beside the network overrides, and rules for a network that has its own.
    #[test]
    fn rules_come_from_the_caller_and_then_from_the_file_beside() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("net.pt");
        std::fs::write(folder.path().join("net.json"), r#"{"size": 96, "gem_p": 2}"#).unwrap();
        let spec: ModelSpec = format!("lite0-gem+{}", file.display()).parse().unwrap();
        let given = Rules { size: Some(Sides::Square(64)), ..Rules::default() };
        let spec = spec.rules(&given).unwrap();
        let NetworkSpec::Module { rules, .. } = &spec.members[1].network else { unreachable!() };
        assert_eq!((rules.size, rules.gem_p), (Some(Sides::Square(64)), Some(2.0)));
        assert!(ModelSpec::new(Architecture::Lite0).rules(&given).unwrap_err().message().contains("lite0-gem knows"));
        assert!(ModelSpec::new(Architecture::Lite0).rules(&Rules::default()).is_ok());
        std::fs::write(folder.path().join("net.json"), "{").unwrap();
        let refused = spec.rules(&given).unwrap_err();
        assert!(refused.message().contains("net.json: the rules"), "{refused}");
    }

    /// It catches: files that go to the wrong networks.
    #[test]
    fn files_go_to_the_networks_in_order() {
        let files = ["a", "b", "c"].map(PathBuf::from);
        let spec: ModelSpec = "resnet18-gem+lite0-gem:2+fishnet150-gem".parse().unwrap();
        let given = |spec: &ModelSpec| -> Vec<Option<String>> {
            let name = |path: &PathBuf| path.display().to_string();
            let weights = |member: &MemberSpec| match &member.network {
                NetworkSpec::Built { weights, .. } => weights.as_ref().map(name),
                NetworkSpec::Module { file, .. } => Some(name(file)),
            };
            spec.members.iter().map(weights).collect()
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(given(&spec.clone().weights(&files).unwrap()), [some("a"), some("b"), some("c")]);
        assert_eq!(given(&spec.clone().weights(&files[..2]).unwrap()), [some("a"), None, some("b")]);
        for few in [&files[..1], &[]] {
            let error = spec.clone().weights(few).unwrap_err();
            assert!(error.next_step().unwrap().contains("3 times") && error.next_step().unwrap().contains("2 times"));
        }
        let mixed: ModelSpec = "net.pt+lite0-gem+resnet18-gem".parse().unwrap();
        assert_eq!(given(&mixed.clone().weights(&files[..1]).unwrap()), [some("net.pt"), None, some("a")]);
        assert_eq!(given(&mixed.weights(&files[..2]).unwrap()), [some("net.pt"), some("a"), some("b")]);
        let module: ModelSpec = "net.pt".parse().unwrap();
        let refused = module.clone().weights(&files[..1]).unwrap_err();
        assert!(refused.next_step().unwrap().contains("leave --weights out"), "{refused}");
        assert_eq!(module.clone().weights(&[]).unwrap(), module);
        let plain = ModelSpec::new(Architecture::Lite0);
        assert_eq!(plain.clone().weights(&[]).unwrap(), plain);
        assert_eq!(given(&plain.weights(&files[..1]).unwrap()), [some("a")]);
    }
}
