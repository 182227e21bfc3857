//! A table of figures that is printed row by row and kept for a report.

use std::io::Write;

use super::judge::Figure;
use crate::failure::Result;
use crate::output::{Cell, Format, Printer};
use crate::report::{Chart, Group, Mark, Sheet};

/// Prints a table and remembers it.
pub(super) struct Recorder<'a> {
    printer: Printer<'a>,
    sheet: Sheet,
}

impl<'a> Recorder<'a> {
    /// Begins a table.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn begin(out: &'a mut dyn Write, format: Format, columns: Vec<String>) -> Result<Self> {
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let printer = Printer::begin(out, format, &names)?;
        Ok(Self { printer, sheet: Sheet { columns, ..Sheet::default() } })
    }

    /// Writes a row, with one cell for each column.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn row(&mut self, cells: Vec<Cell>) -> Result<()> {
        self.sheet.rows.push(cells.clone());
        Ok(self.printer.row(cells)?)
    }

    /// Adds the means of a method to the plots, one for each figure: `series` within `group`.
    pub(super) fn mark(&mut self, group: &str, series: &str, figures: &[Figure]) {
        let known = self.sheet.series.iter().position(|name| name == series);
        let number = known.unwrap_or_else(|| {
            self.sheet.series.push(series.to_owned());
            self.sheet.series.len() - 1
        });
        for figure in figures {
            let Some(range) = figure.range() else { continue };
            let at = self.sheet.charts.iter().position(|chart| chart.title == figure.name).unwrap_or_else(|| {
                self.sheet.charts.push(Chart { title: figure.name.clone(), groups: Vec::new() });
                self.sheet.charts.len() - 1
            });
            let groups = &mut self.sheet.charts[at].groups;
            if groups.last().is_none_or(|last| last.name != group) {
                groups.push(Group { name: group.to_owned(), marks: Vec::new() });
            }
            let mark = Mark { series: number, least: range.least, mean: range.mean, most: range.most };
            if let Some(group) = groups.last_mut() {
                group.marks.push(mark);
            }
        }
    }

    /// Adds a sentence about the whole table.
    pub(super) fn note(&mut self, note: String) {
        self.sheet.notes.push(note);
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn end(self) -> Result<Sheet> {
        self.printer.end()?;
        Ok(self.sheet)
    }
}
