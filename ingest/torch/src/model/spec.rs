//! Which model to load.

use std::path::PathBuf;
use std::str::FromStr;

use cairn::{Error, Result};

use super::{Architecture, ensemble};

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
    pub architecture: Architecture,
    /// A safetensors file; `None` (the default): the default weights, which only `lite0-gem` and `lite2-gem` have.
    pub weights: Option<PathBuf>,
    /// How much its descriptor counts among several, 0.01 to 100 (1 by default).
    pub weight: f64,
}

impl ModelSpec {
    /// That architecture with its default weights at a single scale.
    pub fn new(architecture: Architecture) -> Self {
        Self::of_members([(architecture, 1.0)])
    }

    fn of_members(members: impl IntoIterator<Item = (Architecture, f64)>) -> Self {
        let member = |(architecture, weight)| MemberSpec { architecture, weights: None, weight };
        Self { members: members.into_iter().map(member).collect(), scales: vec![1.0] }
    }

    /// Gives the networks these files of weights in order: one for each network, or one for each that has no default weights.
    ///
    /// # Errors
    /// `Invalid`: the number of files fits neither.
    pub fn weights(mut self, files: &[PathBuf]) -> Result<Self> {
        let all = self.members.len();
        let lacks = |member: &&mut MemberSpec| member.architecture.default_weights().is_none();
        let lacking = self.members.iter_mut().filter(lacks).count();
        if files.len() == all {
            self.members.iter_mut().zip(files).for_each(|(member, file)| member.weights = Some(file.clone()));
        } else if files.len() == lacking {
            let members = self.members.iter_mut().filter(lacks);
            members.zip(files).for_each(|(member, file)| member.weights = Some(file.clone()));
        } else {
            let name = ensemble::text(self.members.iter().map(|member| (member.architecture, member.weight)));
            let message = format!("{name} does not take {} files of weights", files.len());
            return Err(Error::invalid(message).help(match lacking {
                0 => format!("give --weights {all} times, in the order of the networks, or not at all"),
                _ if lacking == all => format!("give --weights {all} times, in the order of the networks"),
                _ => format!(
                    "give --weights {all} times, in the order of the networks, or {lacking} times, for those without default weights"
                ),
            }));
        }
        Ok(self)
    }
}

impl FromStr for ModelSpec {
    type Err = Error;

    /// `lite0-gem`, or an ensemble like `lite0-gem+lite2-gem:0.5`, in which a weight of 1 is left out.
    fn from_str(text: &str) -> Result<Self> {
        ensemble::parse(text).map(Self::of_members)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// It catches: files that go to the wrong networks.
    #[test]
    fn files_go_to_the_networks_in_order() {
        let files = ["a", "b", "c"].map(PathBuf::from);
        let spec: ModelSpec = "resnet18-gem+lite0-gem:2+fishnet150-gem".parse().unwrap();
        let given = |spec: &ModelSpec| -> Vec<Option<String>> {
            let name = |path: &PathBuf| path.display().to_string();
            spec.members.iter().map(|member| member.weights.as_ref().map(name)).collect()
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(given(&spec.clone().weights(&files).unwrap()), [some("a"), some("b"), some("c")]);
        assert_eq!(given(&spec.clone().weights(&files[..2]).unwrap()), [some("a"), None, some("b")]);
        for few in [&files[..1], &[]] {
            let error = spec.clone().weights(few).unwrap_err();
            assert!(error.next_step().unwrap().contains("3 times") && error.next_step().unwrap().contains("2 times"));
        }
        let plain = ModelSpec::new(Architecture::Lite0);
        assert_eq!(plain.clone().weights(&[]).unwrap(), plain);
        assert_eq!(given(&plain.weights(&files[..1]).unwrap()), [some("a")]);
    }
}
