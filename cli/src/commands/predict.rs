//! `cairn predict`: the predicted instance of photos or stored images, and the train images that voted.

use std::io::Write as _;

use cairn::{Photo, Query};

use super::partial::Tally;
use crate::args::Predict;
use crate::failure::{Failure, Result};
use crate::output::print_predictions;
use crate::session::Session;
use crate::terminal::{complain, standard_output};

/// Runs the command: it tries every image, and fails if one of them fails.
///
/// # Errors
/// When the database cannot be opened, k is 0, or an image fails.
pub(super) fn run(args: &Predict) -> Result<()> {
    let session = Session::open(&args.opened, &args.model, args.format, None)?;
    let snapshot = session.database.snapshot();
    let k = args.k.unwrap_or(session.database.options().vote_k);
    if k == 0 {
        return Err(Failure::usage("--k must be at least 1"));
    }
    let embed = session.ports.embed.as_ref();
    let photos = args.photos.iter().map(|path| {
        let name = path.display().to_string();
        let query = match embed {
            Some(embed) => embed.embed(&Photo::File(path.clone())).map(|done| Query::new(done.vector)),
            None => Err(cairn::Error::invalid("this is a database of bare vectors: it has no model to embed a photo")
                .help("predict a stored image with --id KEY")),
        };
        (name, query)
    });
    let stored = args.id.iter().map(|key| {
        let query = snapshot.vector(key).and_then(|vector| match vector {
            Some(vector) => Ok(Query::new(vector).without(key.clone())),
            None => Err(cairn::Error::not_found(format!("image '{key}' does not exist"))),
        });
        (key.clone(), query)
    });
    let mut out = standard_output();
    let mut failed = 0;
    let mut predictions = Vec::new();
    for (name, query) in photos.chain(stored) {
        match query.and_then(|query| snapshot.predict(&query, k)) {
            Ok(prediction) => predictions.push((name, prediction)),
            Err(error) => {
                failed += 1;
                complain(&Failure::from(error));
            }
        }
    }
    let named: Vec<_> = predictions.iter().map(|(name, prediction)| (name.as_str(), prediction)).collect();
    print_predictions(&mut out, args.format, &named)?;
    out.flush()?;
    let all = failed + predictions.len();
    Tally { failed, all }.end(args.allow_failures, "predicted", "the list is above")
}
