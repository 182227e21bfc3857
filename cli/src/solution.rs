//! Known answers: `solution.csv` with the columns id, images (ids with spaces between them) and Usage.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cairn::eval::Truth;

use crate::failure::{Failure, Result};

/// What each query should find.
#[derive(Debug, Default)]
pub(crate) struct Solution {
    truths: Vec<Truth>,
    relevant: HashMap<String, HashSet<String>>,
}

impl Solution {
    /// Reads the file; rows whose Usage is `Ignored` are left out, the column may be missing.
    ///
    /// # Errors
    /// When the file cannot be read or lacks a column.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Failure::io(path, error))?;
        Self::parse(&bytes).map_err(|message| {
            Failure::new(format!("{}: {message}", path.display()))
                .help("known answers are a CSV file with the header id,images,Usage; images holds ids with spaces between them")
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let header = reader.headers().map_err(|error| error.to_string())?.clone();
        let column = |name: &str| header.iter().position(|field| field.eq_ignore_ascii_case(name));
        let id = column("id").ok_or("there is no column 'id'")?;
        let images = column("images").ok_or("there is no column 'images'")?;
        let usage = column("usage");
        let mut solution = Self::default();
        for row in reader.records() {
            let row = row.map_err(|error| error.to_string())?;
            let field = |column: usize| row.get(column).unwrap_or("");
            if usage.is_some_and(|usage| field(usage).eq_ignore_ascii_case("ignored")) {
                continue;
            }
            let line = row.position().map_or(0, csv::Position::line);
            if field(id).is_empty() {
                return Err(format!("line {line} has no id"));
            }
            let relevant: Vec<String> = field(images).split_whitespace().map(str::to_owned).collect();
            if solution.relevant.insert(field(id).to_owned(), relevant.iter().cloned().collect()).is_some() {
                return Err(format!("line {line} repeats the query '{}'", field(id)));
            }
            solution.truths.push(Truth { query: field(id).to_owned(), relevant });
        }
        Ok(solution)
    }

    /// All of it, in file order.
    pub(crate) fn truths(&self) -> &[Truth] {
        &self.truths
    }

    /// What a query should find; `None` for a query that is not in the file.
    pub(crate) fn of(&self, query: &str) -> Option<&HashSet<String>> {
        self.relevant.get(query)
    }
}

/// True labels by id: a CSV file with the columns id and label.
///
/// # Errors
/// When the file cannot be read or lacks a column.
pub(crate) fn labels(path: &Path) -> Result<HashMap<String, String>> {
    let bytes = std::fs::read(path).map_err(|error| Failure::io(path, error))?;
    let refused = |message: String| {
        Failure::new(format!("{}: {message}", path.display()))
            .help("true labels are a CSV file with the header id,label")
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| refused(error.to_string()))?.clone();
    let column = |name: &str| {
        let at = header.iter().position(|field| field.eq_ignore_ascii_case(name));
        at.ok_or_else(|| refused(format!("there is no column '{name}'")))
    };
    let (id, label) = (column("id")?, column("label")?);
    let mut labels = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(|error| refused(error.to_string()))?;
        let field = |at: usize| row.get(at).unwrap_or("").to_owned();
        let line = row.position().map_or(0, csv::Position::line);
        if field(id).is_empty() || field(label).is_empty() {
            return Err(refused(format!("line {line} has no id or no label")));
        }
        if labels.insert(field(id), field(label)).is_some() {
            return Err(refused(format!("line {line} repeats '{}'", field(id))));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_rows_are_left_out_and_the_usage_column_may_be_missing() {
        let solution =
            Solution::parse(b"\xef\xbb\xbfid,images,Usage\nq1,a b,Public\nq2,None,Ignored\nq3,c,Private\n").unwrap();
        let queries: Vec<_> = solution.truths().iter().map(|truth| truth.query.as_str()).collect();
        assert_eq!(queries, ["q1", "q3"]);
        assert_eq!(solution.of("q1").unwrap().len(), 2);
        assert!(solution.of("q2").is_none());
        assert_eq!(Solution::parse(b"images,id\na b,q\n").unwrap().truths()[0].relevant, ["a", "b"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(Solution::parse(b"id,Usage\nq,Public\n").unwrap_err().contains("'images'"));
        assert!(Solution::parse(b"id,images\nq,a\nq,b\n").unwrap_err().contains("line 3"));
        assert!(Solution::parse(b"id,images\n,a\n").unwrap_err().contains("line 2"));
    }
}
