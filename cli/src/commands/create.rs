//! `cairn create`: an empty database, for bare vectors or for photos.

use std::path::Path;

use cairn::{Database, Keep, Options};

use crate::args::Create;
use crate::failure::{Failure, Result};
use crate::networks::{self, ForCreation};
use crate::output::must_be_outside;
use crate::terminal::note;

/// The rules of a module where no argument gives any.
const NO_RULES: &str = "{}";

/// Runs the command.
///
/// # Errors
/// When the model cannot be loaded or the folder cannot hold a new database.
pub(super) fn run(args: &Create) -> Result<()> {
    let keep =
        Keep::from_word(&args.keep).ok_or_else(|| Failure::usage(format!("--keep has no value '{}'", args.keep)))?;
    if args.vote_k > args.neighbours {
        let what = format!("--vote-k is {}, but only {} neighbours are kept", args.vote_k, args.neighbours);
        return Err(Failure::usage(what).help("keep at least as many neighbours (--neighbours) as vote"));
    }
    let rules = args.module.rules();
    let model = match (&args.model, args.dim) {
        (Some(name), _) => networks::of_model(name, &args.weights, args.scales.as_deref(), &rules)?,
        (None, Some(_)) if rules != NO_RULES => {
            return Err(Failure::usage("size, resize rule, mean, deviation and output are those of --model FILE.pt"));
        }
        (None, Some(dimension)) => ForCreation::of(Options::for_vectors(dimension)),
        (None, None) => return Err(Failure::usage("name --dim or --model")),
    };
    let options = model.options.vote_k(args.vote_k).kept_neighbours(args.neighbours).keep(keep);
    create(&args.database, ForCreation { options, ..model })
}

/// Creates the database with the files of its model, and prints a line about it.
///
/// # Errors
/// When the folder cannot hold a new database.
pub(super) fn create(folder: &Path, model: ForCreation) -> Result<()> {
    let ForCreation { options, files, created } = model;
    let what = match &options.model {
        Some(model) => format!("photos, {} with {} dimensions", model.name, options.dimension),
        None => format!("vectors of {} dimensions", options.dimension),
    };
    must_be_outside(folder)?;
    Database::create_with_files(folder, options, &files)?.close()?;
    created()?;
    note(&format!("created {} for {what}", folder.display()));
    Ok(())
}
