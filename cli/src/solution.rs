//! Known answers: `solution.csv` with the columns id, images (ids separated by spaces) and Usage.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cairn::eval::Truth;
use cairndb_ingest::source::{Table, Text};

use crate::failure::{Failure, Result};
use crate::lists::text;

/// The images that each query should find.
#[derive(Debug, Default)]
pub(crate) struct Solution {
    truths: Vec<Truth>,
    relevant: HashMap<String, HashSet<String>>,
}

/// The header of the file.
const HEADER: &str = "id,images,Usage";

impl Solution {
    /// Reads the file; it skips rows whose Usage is `Ignored`; this column is optional.
    ///
    /// # Errors
    /// When the file cannot be read or lacks a column, a row is invalid, or no row names a query.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(text(path)?)
    }

    fn parse(text: Text) -> Result<Self> {
        let name = text.name().to_owned();
        let table = Table::open(text, &["id", "images", "usage"])?;
        let (id, images) = (table.needed(&["id"], HEADER)?, table.needed(&["images"], HEADER)?);
        let places = [Some(id), Some(images), table.place(&["usage"])];
        let (mut solution, mut ignored) = (Self::default(), 0usize);
        table.rows(&places, 2, |_, fields| {
            let field = |at: usize| fields[at].unwrap_or_default().trim();
            if field(2).eq_ignore_ascii_case("ignored") {
                ignored += 1;
                return Ok(());
            }
            let id = field(0);
            if id.is_empty() {
                return Err("the id is empty".to_owned());
            }
            let relevant: Vec<String> = field(1).split_whitespace().map(str::to_owned).collect();
            if solution.relevant.insert(id.to_owned(), relevant.iter().cloned().collect()).is_some() {
                return Err(format!("it repeats the query '{id}'"));
            }
            solution.truths.push(Truth { query: id.to_owned(), relevant });
            Ok(())
        })?;
        if solution.truths.is_empty() {
            let rest = if ignored > 0 { format!("; {ignored} are marked Ignored") } else { String::new() };
            return Err(Failure::new(format!("{name} names no query{rest}")).help(format!(
                "known answers are a CSV file with the header {HEADER}; images has ids separated by spaces"
            )));
        }
        Ok(solution)
    }

    /// All queries, in file order.
    pub(crate) fn truths(&self) -> &[Truth] {
        &self.truths
    }

    /// The images that a query should find; `None` for a query that is not in the file.
    pub(crate) fn of(&self, query: &str) -> Option<&HashSet<String>> {
        self.relevant.get(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<Solution, String> {
        Solution::parse(Text::standard(text.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn ignored_rows_are_left_out_and_the_usage_column_may_be_missing() {
        let solution = parse("\u{feff}id,images,Usage\nq1,a b,Public\nq2,None,Ignored\n q3 , c ,Private\n").unwrap();
        let queries: Vec<_> = solution.truths().iter().map(|truth| truth.query.as_str()).collect();
        assert_eq!(queries, ["q1", "q3"]);
        assert_eq!(solution.of("q1").unwrap().len(), 2);
        assert!(solution.of("q2").is_none());
        assert_eq!(parse("images,id\na b,q\n").unwrap().truths()[0].relevant, ["a", "b"]);
        assert_eq!(parse("id;images\nq;a b\n").unwrap().truths()[0].relevant, ["a", "b"]);
    }

    /// It catches: answers without a query, which gave a table of zeros.
    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(parse("id,Usage\nq,Public\n").unwrap_err().contains("'images'"));
        assert!(parse("id,images\nq,a\nq,b\n").unwrap_err().contains("line 3"));
        assert!(parse("id,images\n,a\n").unwrap_err().contains("line 2"));
        assert!(parse("id,images\n").unwrap_err().contains("names no query"));
        assert!(parse("id,images,Usage\nq,a,Ignored\n").unwrap_err().contains("1 are marked Ignored"));
    }
}
