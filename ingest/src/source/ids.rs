//! A file of ids: one per line, in the order of the rows.

use std::collections::HashMap;

use cairn::Result;
use cairn::limits::MAX_KEY_BYTES;

use super::text::Text;

/// The ids of a text, which must be `rows` different ones. It skips empty lines at the end, and reads no further than those rows
/// need.
///
/// # Errors
/// When the text cannot be read, is not UTF-8, has another number of lines, a line that is too long for an id, an empty line, or
/// a repeated
/// id.
pub fn read_ids(text: Text, rows: usize) -> Result<Vec<String>> {
    let name = text.name().to_owned();
    let refuse = |what: &str| cairn::Error::invalid(format!("{name}: {what}"));
    let count = |found: &str| {
        refuse(&format!("{found} ids for {rows} vectors"))
            .help("the file needs one id per line, in the order of the vectors, without a header")
    };
    let (mut lines, mut ids, mut empty) = (HashMap::new(), Vec::new(), None);
    // Including the ends of lines, and a few empty lines.
    let in_all = (rows as u64).saturating_add(64).saturating_mul(MAX_KEY_BYTES as u64 + 2);
    text.lines(MAX_KEY_BYTES, in_all, |line, id| {
        if id.is_empty() {
            empty.get_or_insert(line);
            return Ok(());
        }
        if let Some(empty) = empty {
            return Err(refuse(&format!("line {empty} is empty")));
        }
        if ids.len() == rows {
            return Err(count(&format!("more than {rows}")));
        }
        if let Some(before) = lines.insert(id.to_owned(), line) {
            return Err(refuse(&format!("the id '{id}' is in line {before} and in line {line}")));
        }
        ids.push(id.to_owned());
        Ok(())
    })?;
    if ids.len() == rows { Ok(ids) } else { Err(count(&ids.len().to_string())) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::cell::Cell;
    use std::io::{Cursor, Read};
    use std::rc::Rc;

    #[test]
    fn ids_must_be_as_many_as_rows_and_different() {
        let read = |text: &'static str, rows| read_ids(Text::standard(text.as_bytes()), rows);
        assert_eq!(read("a\r\nb\n", 2).unwrap(), ["a", "b"]);
        assert_eq!(read("\u{feff}a\nb\n\n", 2).unwrap(), ["a", "b"]);
        assert!(read("a\nb\n", 3).unwrap_err().to_string().contains("2 ids for 3 vectors"));
        assert!(read("a\n\nb", 3).unwrap_err().to_string().contains("line 2 is empty"));
        assert!(read("a\nb\na", 3).unwrap_err().to_string().contains("line 1 and in line 3"));
        assert!(read("", 1).unwrap_err().to_string().contains("0 ids for 1 vectors"));
    }

    /// It catches: a file of ids that is read to its end whatever number is needed.
    #[test]
    fn no_more_is_read_than_the_rows_need() {
        struct Counted(Rc<Cell<usize>>);
        impl Read for Counted {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let line = format!("{}\n", self.0.get());
                self.0.set(self.0.get() + 1);
                into[..line.len()].copy_from_slice(line.as_bytes());
                Ok(line.len())
            }
        }
        let lines = Rc::new(Cell::new(0));
        let error = read_ids(Text::standard(Counted(Rc::clone(&lines))), 3).unwrap_err().to_string();
        assert!(error.contains("more than 3 ids for 3 vectors"), "{error}");
        assert_eq!(lines.get(), 4);
        let endless = Cursor::new("a\n").chain(std::io::repeat(b'b'));
        let error = read_ids(Text::standard(endless), 3).unwrap_err().to_string();
        assert!(error.contains("line 2 has more than"), "{error}");
    }
}
