//! Tables in each format: a header, rows as they come, an end.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::cell::Cell;
use super::escape::json_string;

/// Output formats
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Table,
    /// One array of objects for each statement.
    Json,
    /// One object per line
    Jsonl,
    /// Comma-separated, with a header for each statement; every value exactly as it is
    Csv,
    /// The same for a spreadsheet: a ' before text that it would read as a formula
    CsvSafe,
    /// A Markdown table.
    Markdown,
}

impl Format {
    /// True for formats for people.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Format::Table | Format::Markdown)
    }
}

/// Writes one table. It collects the rows of `table` until the end, for the widths of the columns; the other formats stream.
pub(crate) struct Printer<'a> {
    out: &'a mut dyn Write,
    format: Format,
    columns: Vec<String>,
    held: Vec<Vec<Cell>>,
    rows: usize,
}

impl<'a> Printer<'a> {
    /// Begins a table.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn begin(out: &'a mut dyn Write, format: Format, columns: &[&str]) -> io::Result<Self> {
        match format {
            Format::Table => {}
            Format::Json => write!(out, "[")?,
            Format::Jsonl => {}
            Format::Csv | Format::CsvSafe => writeln!(out, "{}", columns.join(","))?,
            Format::Markdown => {
                writeln!(out, "| {} |", columns.join(" | "))?;
                writeln!(out, "|{}", " --- |".repeat(columns.len()))?;
            }
        }
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        Ok(Self { out, format, columns, held: Vec::new(), rows: 0 })
    }

    /// Writes a row, with one cell for each column.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        let join = |text: fn(&Cell) -> String, between: &str| cells.iter().map(text).collect::<Vec<_>>().join(between);
        let object = || {
            let pairs =
                self.columns.iter().zip(&cells).map(|(name, cell)| format!("{}:{}", json_string(name), cell.json()));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        };
        match self.format {
            Format::Table => self.held.push(cells),
            Format::Json => write!(self.out, "{}\n  {}", if self.rows == 0 { "" } else { "," }, object())?,
            Format::Jsonl => writeln!(self.out, "{}", object())?,
            Format::Csv => writeln!(self.out, "{}", join(Cell::csv, ","))?,
            Format::CsvSafe => writeln!(self.out, "{}", join(Cell::csv_safe, ","))?,
            Format::Markdown => writeln!(self.out, "| {} |", join(Cell::markdown, " | "))?,
        }
        self.rows += 1;
        Ok(())
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn end(self) -> io::Result<()> {
        match self.format {
            Format::Table => writeln!(self.out, "{}", self.drawn()),
            Format::Json => writeln!(self.out, "{}]", if self.rows == 0 { "" } else { "\n" }),
            Format::Jsonl | Format::Csv | Format::CsvSafe => Ok(()),
            Format::Markdown => writeln!(self.out),
        }
    }

    fn drawn(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(&self.columns);
        for row in &self.held {
            table.add_row(row.iter().map(|cell| {
                let alignment = if cell.is_number() { CellAlignment::Right } else { CellAlignment::Left };
                comfy_table::Cell::new(cell.shown()).set_alignment(alignment)
            }));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(format: Format, rows: &[Vec<Cell>]) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::begin(&mut out, format, &["id", "similarity"]).unwrap();
        for row in rows {
            printer.row(row.clone()).unwrap();
        }
        printer.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rows() -> Vec<Vec<Cell>> {
        vec![vec![Cell::Text("a,1".to_owned()), Cell::Number(0.25)], vec![Cell::Text("b".to_owned()), Cell::Nothing]]
    }

    #[test]
    fn each_format_writes_the_same_rows() {
        assert_eq!(print(Format::Csv, &rows()), "id,similarity\n\"a,1\",0.25\nb,\n");
        assert_eq!(
            print(Format::Jsonl, &rows()),
            "{\"id\":\"a,1\",\"similarity\":0.25}\n{\"id\":\"b\",\"similarity\":null}\n"
        );
        let json: serde_json::Value = serde_json::from_str(&print(Format::Json, &rows())).unwrap();
        assert_eq!(json[1]["id"], "b");
        assert_eq!(
            print(Format::Markdown, &rows()),
            "| id | similarity |\n| --- | --- |\n| a,1 | 0.2500 |\n| b |  |\n\n"
        );
        assert!(print(Format::Table, &rows()).contains("0.2500"));
    }

    #[test]
    fn no_rows_are_still_an_answer() {
        assert_eq!(print(Format::Csv, &[]), "id,similarity\n");
        assert_eq!(print(Format::Json, &[]), "[]\n");
        assert_eq!(print(Format::Jsonl, &[]), "");
    }
}
