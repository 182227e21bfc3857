//! Known answers of retrieval: the images that each query should find.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cairn::eval::Truth;

use crate::failure::{Failure, Result};
use crate::known::Known;

/// The images that each query should find.
#[derive(Debug, Default)]
pub(crate) struct Solution {
    truths: Vec<Truth>,
    relevant: HashMap<String, HashSet<String>>,
}

impl Solution {
    /// Reads a file with the columns id, images and perhaps Usage.
    ///
    /// # Errors
    /// When the file cannot be read or has known answers of another kind.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let other = |what: &str| {
            Err(Failure::new(format!("{} has {what}, not the images that each query should find", path.display()))
                .help("known answers here are a CSV file with the header id,images,Usage; cairn eval takes the other kinds too"))
        };
        match Known::read(path, None)? {
            Known::Retrieval(solution) => Ok(solution),
            Known::Recognition(_) => other("labels of queries"),
            Known::Revisited(_) => other("easy and hard images"),
        }
    }

    /// Those of different queries.
    pub(crate) fn new(truths: Vec<Truth>) -> Self {
        let relevant = truths.iter().map(|truth| (truth.query.clone(), truth.relevant.iter().cloned().collect()));
        Self { relevant: relevant.collect(), truths }
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

    #[test]
    fn known_answers_of_another_kind_are_refused_with_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Solution::read(&path)
        };
        let solution = read("id,images,Usage\nq1,a b,Public\nq2,,Ignored\n").unwrap();
        assert_eq!(solution.of("q1").unwrap().len(), 2);
        assert!(solution.of("q2").is_none());
        let labels = read("id,landmarks\nq,1\n").unwrap_err().to_string();
        assert!(labels.contains("has labels of queries") && labels.contains("cairn eval"), "{labels}");
        let named =
            "{\"imlist\": [\"a\"], \"qimlist\": [\"q\"], \"gnd\": [{\"easy\": [0], \"hard\": [], \"junk\": []}]}";
        assert!(read(named).unwrap_err().to_string().contains("easy and hard images"));
        let bare = read("[{\"easy\": [0], \"hard\": [], \"junk\": []}]").unwrap_err().to_string();
        assert!(bare.contains("--truth-images"), "{bare}");
    }
}
