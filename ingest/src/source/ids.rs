//! A file of ids: one a line, in the order of the rows that they name.

use std::collections::HashMap;
use std::path::Path;

use cairn::{Error, Result};

/// The ids of a file, which must be `rows` different ones. A last empty line is passed over.
///
/// # Errors
/// When the file cannot be read, is not UTF-8, has another number of lines, an empty line, or an id twice.
pub fn read_ids(path: &Path, rows: usize) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let refuse = |what: String| Error::invalid(format!("{}: {what}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| refuse("not UTF-8 text; expected is one id a line".to_owned()))?;
    let ids: Vec<&str> = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    if ids.len() != rows {
        return Err(refuse(format!("{} ids for {rows} vectors", ids.len()))
            .help("the file needs one id a line, in the order of the vectors, without a header"));
    }
    let mut lines = HashMap::new();
    for (line, id) in (1..).zip(&ids) {
        if id.is_empty() {
            return Err(refuse(format!("line {line} is empty")));
        }
        if let Some(before) = lines.insert(id, line) {
            return Err(refuse(format!("the id '{id}' stands in line {before} and in line {line}")));
        }
    }
    Ok(ids.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn ids_must_be_as_many_as_rows_and_different() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        let read = |text: &str, rows| {
            std::fs::write(&path, text).unwrap();
            read_ids(&path, rows)
        };
        assert_eq!(read("a\r\nb\n", 2).unwrap(), ["a", "b"]);
        assert!(read("a\nb\n", 3).unwrap_err().to_string().contains("2 ids for 3 vectors"));
        assert!(read("a\n\nb", 3).unwrap_err().to_string().contains("line 2 is empty"));
        assert!(read("a\nb\na", 3).unwrap_err().to_string().contains("line 1 and in line 3"));
    }
}
