//! Lists with a header line: comma-separated values, or the semicolons, tabs or bars of spreadsheets.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;

use cairn::{Error, Result};

use super::first_few;
use super::text::{MAX_LIST_BYTES, Text};

/// Largest row: 16 MiB. Known answers name many images in one row.
pub const MAX_ROW_BYTES: usize = 16 << 20;
/// Most rows of a list.
pub const MAX_LIST_ROWS: usize = 1 << 24;
/// Separators; the first one if none fits better.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// An open list after its header.
pub struct Table {
    name: String,
    columns: Vec<String>,
    separator: u8,
    rows: csv::Reader<Bounded>,
    /// Bytes that the current row may still have.
    left: Rc<Cell<usize>>,
    /// Number of lines before the first row.
    lines_before: u64,
}

/// A reader that fails if a row or the list is too long.
struct Bounded {
    input: Box<dyn Read>,
    left: Rc<Cell<usize>>,
    all: u64,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.all += read as u64;
        let too_long = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if self.all > MAX_LIST_BYTES {
            return too_long(format!("the list has more than {MAX_LIST_BYTES} bytes"));
        }
        match self.left.get().checked_sub(read) {
            Some(left) => self.left.set(left),
            None => return too_long(format!("a row has more than {MAX_ROW_BYTES} bytes; is a quote missing?")),
        }
        Ok(read)
    }
}

/// The columns of a header line, or of any other line.
fn cut(line: &[u8], separator: u8) -> csv::Result<csv::StringRecord> {
    let mut record = csv::StringRecord::new();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(line);
    reader.read_record(&mut record)?;
    Ok(record)
}

fn plain_name(column: &str) -> String {
    column.trim().to_ascii_lowercase()
}

/// The name of a separator.
fn spoken(separator: u8) -> &'static str {
    match separator {
        b';' => "semicolons",
        b'\t' => "tabs",
        b'|' => "bars",
        _ => "commas",
    }
}

impl Table {
    /// Reads the header line. The separator is the one that gives most of the `known` columns.
    ///
    /// # Errors
    /// When the text cannot be read or is longer than [`MAX_LIST_BYTES`], or the header is no text of at most [`MAX_ROW_BYTES`].
    pub fn open(text: Text, known: &[&str]) -> Result<Self> {
        text.is_no_longer_than_a_list()?;
        let name = text.name().to_owned();
        let broken = |what: String| unreadable(&name, &what);
        let mut input = BufReader::new(text);
        let (mut line, mut lines_before) = (Vec::new(), 0);
        let mut told = None;
        loop {
            line.clear();
            let limit = MAX_ROW_BYTES as u64;
            input.by_ref().take(limit).read_until(b'\n', &mut line).map_err(|error| broken(error.to_string()))?;
            lines_before += 1;
            match line.trim_ascii() {
                // A line by which one spreadsheet tells another its separator.
                [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', rest @ ..] if lines_before == 1 && rest.len() < 2 => {
                    told = rest.first().copied().filter(|&separator| separator != b'"');
                }
                [] if !line.is_empty() => {}
                _ => break,
            }
        }
        if line.len() >= MAX_ROW_BYTES {
            return Err(broken(format!("the first line has more than {MAX_ROW_BYTES} bytes")));
        }
        let of = |separator: u8| cut(&line, separator).map_err(|error| broken(error.to_string()));
        let mut best = (of(SEPARATORS[0])?, SEPARATORS[0], 0);
        for separator in SEPARATORS.into_iter().chain(told) {
            let columns = of(separator)?;
            let count = known.iter().filter(|name| columns.iter().any(|column| plain_name(column) == **name)).count();
            if count > best.2 {
                best = (columns, separator, count);
            }
        }
        let (columns, separator, _) = best;
        if line.trim_ascii().contains(&b'\r') {
            return Err(broken("its lines end with a carriage return alone; save it with line feeds".to_owned()));
        }
        let twice = |name: &&&str| columns.iter().filter(|column| plain_name(column) == ***name).count() > 1;
        if let Some(name) = known.iter().find(twice) {
            return Err(broken(format!("the header has the column '{name}' twice")));
        }
        let left = Rc::new(Cell::new(MAX_ROW_BYTES));
        // A header with an end of line in quotes looks like one that is cut short: the rows are read unchanged.
        let bounded = Bounded { input: Box::new(input), left: Rc::clone(&left), all: line.len() as u64 };
        let mut settings = csv::ReaderBuilder::new();
        let rows = settings.has_headers(false).flexible(true).delimiter(separator).from_reader(bounded);
        let columns = columns.iter().map(|column| column.trim().to_owned()).collect();
        Ok(Self { name, columns, separator, rows, left, lines_before })
    }

    /// Whether the text has no header, and so no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.iter().all(String::is_empty)
    }

    /// The names in the header.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The position of the first of these columns that exists, in any case.
    pub fn place(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.columns.iter().position(|column| column.eq_ignore_ascii_case(name)))
    }

    /// The same for a column that must exist; the message asks for the first name.
    ///
    /// # Errors
    /// When it does not exist; the message lists the columns.
    pub fn needed(&self, names: &[&str], header: &str) -> Result<usize> {
        self.place(names).ok_or_else(|| {
            let missing = names.first().copied().unwrap_or_default();
            Error::invalid(format!(
                "{}: no column '{missing}'; the columns are {}",
                self.name,
                first_few(self.columns.iter().map(String::as_str), self.columns.len())
            ))
            .help(format!(
                "the first line must be a header with {header}, separated by commas, semicolons, tabs or bars"
            ))
        })
    }

    /// Calls `visit` with each row's line and the fields at `places`; an error of `visit` gets the row's line.
    ///
    /// # Errors
    /// A row that `visit` refuses, one that lacks a field that is `needed`, one that is too long; more than [`MAX_LIST_ROWS`]; a text
    /// that is not UTF-8 or cannot be read.
    pub fn rows(
        mut self,
        places: &[Option<usize>],
        needed: usize,
        mut visit: impl FnMut(u64, &[Option<&str>]) -> Result<(), String>,
    ) -> Result<()> {
        let mut record = csv::StringRecord::new();
        for count in 0.. {
            let line = self.lines_before + self.rows.position().line();
            self.left.set(MAX_ROW_BYTES);
            let read = self.rows.read_record(&mut record).map_err(|error| {
                let what = match error.kind() {
                    csv::ErrorKind::Io(error) => error.to_string(),
                    csv::ErrorKind::Utf8 { .. } => format!("line {line} is not UTF-8 text"),
                    _ => error.to_string(),
                };
                unreadable(&self.name, &what)
            })?;
            if !read {
                break;
            }
            let refuse = |what: String| Err(Error::invalid(format!("{}, line {line}: {what}", self.name)));
            if count == MAX_LIST_ROWS {
                return refuse(format!("a list may have {MAX_LIST_ROWS} rows"));
            }
            if record.iter().skip(self.columns.len()).any(|field| !field.trim().is_empty()) {
                return refuse(format!(
                    "{} fields, but the header has {} columns; a value with {} needs quotation marks",
                    record.len(),
                    self.columns.len(),
                    spoken(self.separator)
                ));
            }
            let fields: Vec<Option<&str>> = places.iter().map(|place| place.and_then(|at| record.get(at))).collect();
            if let Some(at) = fields.iter().take(needed).position(Option::is_none) {
                let column = places[at].and_then(|at| self.columns.get(at)).map_or("", String::as_str);
                let cause = self.other_separator(&record);
                return refuse(format!("the column '{column}' is missing{cause}"));
            }
            if let Some(at) = fields.iter().position(|field| field.is_some_and(|field| field.contains(['\n', '\r']))) {
                let column = places[at].and_then(|at| self.columns.get(at)).map_or("", String::as_str);
                return refuse(format!(
                    "the column '{column}' continues in the next line; is a quotation mark not closed?"
                ));
            }
            if let Err(what) = visit(line, &fields) {
                return refuse(what);
            }
        }
        Ok(())
    }

    /// Adds that a row has other separators than the header, if that is why a field is missing.
    fn other_separator(&self, record: &csv::StringRecord) -> String {
        let text: String = record.iter().collect();
        let other = SEPARATORS.into_iter().find(|&other| other != self.separator && text.contains(char::from(other)));
        other.map_or_else(String::new, |other| {
            format!("; the header has {}, this line has {}", spoken(self.separator), spoken(other))
        })
    }
}

fn unreadable(name: &str, what: &str) -> Error {
    Error::invalid(format!("{name}: {what}")).help("the list must be a UTF-8 CSV file with a header line")
}

/// Refuses an id that is empty or repeated.
#[derive(Default)]
pub struct Unique {
    lines: HashMap<String, u64>,
}

impl Unique {
    /// Notes the id of a line.
    ///
    /// # Errors
    /// The error of this line.
    pub fn note(&mut self, id: &str, line: u64) -> Result<(), String> {
        if id.is_empty() {
            return Err("the id is empty".to_owned());
        }
        match self.lines.insert(id.to_owned(), line) {
            Some(before) => Err(format!("the id '{id}' is already in line {before}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::io::Cursor;

    fn pairs(text: impl Read + 'static) -> Result<Vec<(u64, String, String)>> {
        let table = Table::open(Text::standard(text), &["id", "label"])?;
        let places = [Some(table.needed(&["id"], "id,label")?), Some(table.needed(&["label"], "id,label")?)];
        let mut found = Vec::new();
        table.rows(&places, 2, |line, fields| {
            found.push((line, fields[0].unwrap_or_default().to_owned(), fields[1].unwrap_or_default().to_owned()));
            Ok(())
        })?;
        Ok(found)
    }

    /// It catches: a separator that makes one column of all; a line that announces the separator and is read as the header.
    #[test]
    fn spreadsheets_separators_are_read() {
        let one = [(2, "a".to_owned(), "x, y".to_owned())];
        for text in
            ["id;label\na;x, y\n", "id\tlabel\na\tx, y", "id|label\r\na|x, y\r\n", "\u{feff}id,label\na,\"x, y\""]
        {
            assert_eq!(pairs(Cursor::new(text)).unwrap(), one, "{text}");
        }
        let three = [(3, "a".to_owned(), "x".to_owned())];
        assert_eq!(pairs(Cursor::new("sep=;\nid;label\na;x\n")).unwrap(), three);
        assert_eq!(pairs(Cursor::new("SEP=^\nLabel^ID\nx^a\n")).unwrap(), three);
        let error = pairs(Cursor::new("id,label\na,x\nb;y\n")).unwrap_err().to_string();
        assert!(
            error.contains("line 3: the column 'label' is missing; the header has commas, this line has semi"),
            "{error}"
        );
        let error = pairs(Cursor::new("id;name\na;x\n")).unwrap_err().to_string();
        assert!(error.contains("no column 'label'; the columns are 'id', 'name'"), "{error}");
    }

    /// It catches: a comma inside a name that changes a label, a quote that swallows the next rows, a repeated column of which
    /// one is used.
    #[test]
    fn what_the_header_does_not_explain_is_refused() {
        for (text, said) in [
            ("id,label\na,Paris, France\n", "line 2: 3 fields, but the header has 2 columns"),
            ("id,label,x\na,b,c\nb,\"y,z\n", "line 3: the column 'label' continues in the next line"),
            ("id,label\na,\"L\nb,M\nc,N\n", "line 2: the column 'label' continues in the next line"),
            ("id,label,label\na,b,c\n", "the header has the column 'label' twice"),
            ("id,ID ,label\na,b,c\n", "the header has the column 'id' twice"),
            ("id,label\ra,b\rc,d\r", "its lines end with a carriage return alone"),
        ] {
            let error = pairs(Cursor::new(text)).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        // Spreadsheets write the separators of empty columns; a quoted comma and a quote inside quotes keep their meaning.
        let found = pairs(Cursor::new("id,label\na,\"Paris, France\",,\nb,5\" gun\n")).unwrap();
        assert_eq!((found[0].2.as_str(), found[1].2.as_str()), ("Paris, France", "5\" gun"));
    }

    /// It catches: a quote that is never closed, or an endless line, that is read into memory as one record.
    #[test]
    fn a_row_without_an_end_is_refused() {
        let endless = |start: &'static str| Cursor::new(start).chain(io::repeat(b'a'));
        let error = pairs(endless("id,label\na,\"x")).unwrap_err().to_string();
        assert!(error.contains("more than 16777216 bytes"), "{error}");
        let error = pairs(endless("id,label")).unwrap_err().to_string();
        assert!(error.contains("the first line has more than"), "{error}");
    }

    /// It catches: an endless list that is read without a limit.
    #[test]
    fn a_list_has_an_end() {
        struct Rows(u64);
        impl Read for Rows {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let mut rows = Vec::new();
                while rows.len() + 16 < into.len() {
                    rows.extend(format!("\n{},x", self.0).bytes());
                    self.0 += 1;
                }
                into[..rows.len()].copy_from_slice(&rows);
                Ok(rows.len())
            }
        }
        let table = Table::open(Text::standard(Cursor::new("id,label").chain(Rows(0))), &["id", "label"]).unwrap();
        let mut count = 0usize;
        let error = table.rows(&[Some(0)], 1, |_, _| {
            count += 1;
            Ok(())
        });
        assert!(error.unwrap_err().to_string().contains("may have 16777216 rows"));
        assert_eq!(count, MAX_LIST_ROWS);
    }
}
