//! Figures as tables: a line for each method, or for each method and difficulty.

use std::io::Write;

use super::judge::{DEPTHS, DIFFICULTIES, Figure, Judge, about_ranges};
use crate::failure::Result;
use crate::output::{Cell, Format, Printer};
use crate::terminal::note;

/// A mean with two decimals; nothing if no query counts.
pub(super) fn mean(figure: &Figure) -> Cell {
    if figure.values.is_empty() { Cell::Nothing } else { Cell::Fixed(figure.mean(), 2) }
}

/// The range of a mean.
pub(super) fn range(figure: &Figure) -> Cell {
    Cell::text(figure.range().map(|range| format!("{:.2} to {:.2}", range.least, range.most)))
}

/// Prints the figures of some methods with their ranges.
///
/// # Errors
/// When the output cannot be written.
pub(super) fn figures(
    out: &mut dyn Write,
    format: Format,
    judge: &Judge<'_>,
    methods: Vec<(String, Vec<Figure>)>,
) -> Result<()> {
    match judge {
        Judge::Landmarks(..) => {
            let names = judge.figures();
            let mut columns: Vec<&str> = vec!["method"];
            columns.extend(names.iter().map(|figure| figure.name.as_str()));
            columns.extend(["range", "queries"]);
            let mut printer = Printer::begin(out, format, &columns)?;
            for (name, figures) in methods {
                let mut cells = vec![Cell::Text(name)];
                cells.extend(figures.iter().map(mean));
                cells.extend([range(&figures[0]), Cell::Whole(figures[0].values.len() as u64)]);
                printer.row(cells)?;
            }
            printer.end()?;
        }
        Judge::Revisited(_) => {
            let at = DEPTHS.map(|depth| format!("mP@{depth}"));
            let mut columns = vec!["method", "difficulty", "mAP", "range"];
            columns.extend(at.iter().map(String::as_str));
            columns.push("queries");
            let mut printer = Printer::begin(out, format, &columns)?;
            for (name, figures) in methods {
                let (precisions, at) = figures.split_at(DIFFICULTIES.len());
                for (number, (difficulty, _)) in DIFFICULTIES.iter().enumerate() {
                    let mut cells = vec![Cell::Text(name.clone()), Cell::Text((*difficulty).to_owned())];
                    cells.extend([mean(&precisions[number]), range(&precisions[number])]);
                    cells.extend(at[number * DEPTHS.len()..][..DEPTHS.len()].iter().map(mean));
                    cells.push(Cell::Whole(precisions[number].values.len() as u64));
                    printer.row(cells)?;
                }
            }
            printer.end()?;
        }
    }
    note(&about_ranges());
    Ok(())
}
