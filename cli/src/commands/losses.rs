//! `cairn bench losses`: the comparison of losses of the paper's Table 5 on a database with queries and known answers.

use std::io::Write as _;

use cairn::language::Loss;
use cairn_torch::model::Adapter;

use super::bench::{Change, Score, Set, opened, plan, spread};
use crate::args::measure::BenchLosses;
use crate::failure::Result;
use crate::output::{Cell, Printer};
use crate::terminal::{note, standard_output};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, the database has no model or no labels, or a training fails.
pub(super) fn run(args: &BenchLosses) -> Result<()> {
    let (session, maintainer) = opened(&args.set)?;
    let trial = maintainer.trial(&session.database)?;
    let set = Set::read(&session, &trial, &args.set)?;
    let mut out = standard_output();
    let columns = ["loss", "dim", "seeds", "kNN mAP@100", "kNN +-", "sort+insert mAP@100", "sort+insert +-"];
    let mut printer = Printer::begin(&mut out, args.set.format, &columns)?;
    let plain = set.score(&session, &Change::new(), &|vector: &[f32]| Ok(vector.to_vec()))?;
    printer.row(line("none: as published", trial.base().dimension(), &[plain]))?;
    for loss in Loss::ALL {
        let mut scores = Vec::new();
        let mut dimension = 0;
        for seed in 0..args.set.seeds {
            note(&format!("training with {}, seed {seed}", loss.name()));
            let adapter = trial.learn(&plan(loss, seed, args.set.epochs))?;
            dimension = adapter.dimension();
            scores.push(set.score(&session, &Change::new(), &|vector: &[f32]| Adapter::apply(&adapter, vector))?);
        }
        printer.row(line(loss.name(), dimension, &scores))?;
    }
    printer.end()?;
    out.flush()?;
    session.end()
}

fn line(name: &str, dimension: usize, scores: &[Score]) -> Vec<Cell> {
    let mut cells = vec![Cell::Text(name.to_owned()), Cell::Whole(dimension as u64), Cell::Whole(scores.len() as u64)];
    for method in 0..2 {
        let (mean, least, most) = spread(scores, method);
        cells.push(Cell::Fixed(mean, 2));
        cells.push(Cell::Fixed((most - least).max(0.0) / 2.0, 2));
    }
    cells
}
