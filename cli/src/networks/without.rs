//! The build for bare vectors: each function that needs a network returns an error that says so, and how to get a program with
//! networks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::embed::LoadFeatures;
use cairn::language::TrainPlan;
use cairn::model::{Maintain, Maintained, ModelInfo};
use cairn::{Database, Error, Watch};
use cairndb_ingest::PhotoEmbedder;
use clap::builder::ValueParser;

use super::ForCreation;
use crate::args::{DeviceWord, ModelArgs};

/// The build's lines of `--version`.
pub(crate) fn version() -> String {
    "features: none (bare vectors only)".to_owned()
}

/// Any name: the command is refused later.
pub(crate) fn model_names() -> ValueParser {
    ValueParser::string()
}

/// The error of a function that needs a network.
pub(crate) fn missing(what: &str) -> Error {
    Error::invalid(format!("{what}, but this build of cairn has no networks (it was built without torch)")).help(
        "build the program with networks from source, `cargo build --workspace` or `python3 .setup/run.py install --prefix DIR`; \
         bare vectors work with this one: create DB --dim N, ingest DB vectors.npy",
    )
}

/// Always an error.
pub(crate) fn of_model(
    _name: &str,
    _weights: &[PathBuf],
    _scales: Option<&[f64]>,
    _rules: &str,
) -> cairn::Result<ForCreation> {
    Err(missing("--model needs a network"))
}

/// Always an error.
pub(crate) fn trust(_what: &Path) -> cairn::Result<usize> {
    Err(missing("modules run with torch"))
}

/// Always an error.
pub(crate) fn trust_list() -> cairn::Result<Vec<(String, String)>> {
    Err(missing("modules run with torch"))
}

/// Always an error.
pub(crate) fn forget(_digest: &str) -> cairn::Result<()> {
    Err(missing("modules run with torch"))
}

/// No module is ever tried.
pub(crate) fn called() -> Option<u8> {
    None
}

/// There is nothing to install.
pub(crate) fn install() {}

/// Always an error.
pub(crate) fn embedder(_: &Database, _: &ModelInfo, _: &ModelArgs) -> cairn::Result<Arc<PhotoEmbedder>> {
    Err(missing("photos need a network"))
}

/// There is no device for the CPU build to use; a device that the user named is an error.
pub(crate) fn propose(_database: &Database, args: &ModelArgs) -> cairn::Result<()> {
    match args.device {
        DeviceWord::Cuda => Err(missing("--device cuda needs torch")),
        DeviceWord::Auto | DeviceWord::Cpu => Ok(()),
    }
}

/// An extractor that is always an error.
pub(crate) fn features(_database: &Database, _args: &ModelArgs) -> LoadFeatures {
    Arc::new(|| Err(missing("local features need a network")))
}

/// A maintainer that is always an error.
pub(crate) fn maintainer(_args: &ModelArgs) -> Arc<dyn Maintain> {
    Arc::new(Nobody)
}

struct Nobody;

impl Maintain for Nobody {
    fn train(&self, _: &Database, _: &TrainPlan, _: Option<&dyn Watch>) -> cairn::Result<Maintained> {
        Err(missing("TRAIN needs a network"))
    }

    fn reembed(&self, _: &Database, _: Option<&str>) -> cairn::Result<Maintained> {
        Err(missing("REEMBED needs a network"))
    }

    fn use_model(&self, _: &Database, _: u64) -> cairn::Result<Maintained> {
        Err(missing("USE MODEL may have to embed photos"))
    }

    fn base(&self, model: &ModelInfo) -> cairn::Result<ModelInfo> {
        Err(missing(&format!("only a program with networks can tell what {} was trained on", model.name)))
    }

    fn released(&self, dropped: &ModelInfo, _: &[ModelInfo]) -> cairn::Result<Vec<String>> {
        Err(missing(&format!(
            "the model is dropped, but the files of its training stay in the database ({})",
            dropped.name
        )))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::Cli;

    fn run(line: &str) -> crate::failure::Result<()> {
        crate::commands::run(Cli::try_parse_from(line.split_whitespace()).unwrap().command)
    }

    /// It catches: a command that fails without saying how to get a program that can do it, or a command for vectors that needs a
    /// network.
    #[test]
    fn what_needs_a_network_says_so_and_vectors_need_none() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("v.db").display().to_string();
        let out = folder.path().join("demo").display().to_string();
        let lines = [
            format!("cairn create {database} --model lite0-gem"),
            format!("cairn demo --out {out}"),
            "cairn device".to_owned(),
            format!("cairn bench losses {database} --queries q.csv --truth t.csv"),
        ];
        for line in lines {
            let said = run(&line).unwrap_err().to_string();
            assert!(
                said.contains("no networks") && said.contains("help: build the program with networks"),
                "{line}: {said}"
            );
        }
        assert!(!folder.path().join("demo").exists() && !folder.path().join("v.db").exists());
        run(&format!("cairn create {database} --dim 4")).unwrap();
        run(&format!("cairn check {database}")).unwrap();
    }
}
