//! `cairn create`: an empty database, for bare vectors or for photos.

use std::path::Path;

use cairn::{Database, Keep, Options};
use cairndb_ingest::model::{Model, ModelSpec};

use crate::args::{Create, DeviceWord};
use crate::failure::{Failure, Result};
use crate::output::must_be_outside;
use crate::session::hardware;
use crate::terminal::note;

/// Runs the command.
///
/// # Errors
/// When the model cannot be loaded or the folder cannot hold a new database.
pub(super) fn run(args: &Create) -> Result<()> {
    let keep =
        Keep::from_word(&args.keep).ok_or_else(|| Failure::usage(format!("there is no policy '{}'", args.keep)))?;
    let options = match (&args.model, args.dim) {
        (Some(name), _) => {
            // The model decides the dimension, and its fingerprint is stored: it is loaded once, here, on the CPU.
            let mut spec = ModelSpec::new(name.parse()?);
            spec.weights.clone_from(&args.weights);
            if let Some(scales) = &args.scales {
                spec.scales.clone_from(scales);
            }
            let model = Model::load(&spec, &hardware(DeviceWord::Cpu)?)?;
            Options::for_model(model.info().clone(), model.dimension())
        }
        (None, Some(dimension)) => Options::for_vectors(dimension),
        (None, None) => return Err(Failure::usage("name --dim or --model")),
    };
    let options = Options { vote_k: args.vote_k, kept_neighbours: args.neighbours, keep, ..options };
    create(&args.database, options)
}

/// Makes the database and says so.
///
/// # Errors
/// When the folder cannot hold a new database.
pub(super) fn create(folder: &Path, options: Options) -> Result<()> {
    let what = match &options.model {
        Some(model) => format!("photos, {} with {} dimensions", model.name, options.dimension),
        None => format!("vectors of {} dimensions", options.dimension),
    };
    must_be_outside(folder)?;
    Database::create(folder, options)?.close()?;
    note(&format!("created {} for {what}", folder.display()));
    Ok(())
}
