//! The ground truth of revisited Oxford and Paris as JSON: `{"imlist": [..], "qimlist": [..], "gnd": [{"easy", "hard", "junk"}, ..]}`, or
//! the array `gnd` alone.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read as _};

use cairn::Result;
use cairn::eval::Revisited;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::refuse;
use crate::source::Text;

/// Largest JSON of known answers: 64 MiB (that of revisited Paris has 0.3).
pub const MAX_JSON_BYTES: u64 = 64 << 20;

const HELP: &str = "the ground truth of revisited Oxford or Paris is {\"imlist\": [names], \"qimlist\": [names], \"gnd\": [{\"easy\": \
                    [..], \"hard\": [..], \"junk\": [..]}, ..]}, with numbers of imlist from 0 on and one entry for each query";

/// The images that each query should find, by difficulty, as numbers of a list of names.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisitedAnswers {
    /// The name of the file in messages.
    name: String,
    images: Option<Vec<String>>,
    queries: Option<Vec<String>>,
    gnd: Vec<Entry>,
}

/// The file with names. Other fields are skipped.
#[derive(Deserialize)]
struct File {
    imlist: Vec<String>,
    qimlist: Vec<String>,
    gnd: Vec<Entry>,
}

/// What one query should find: numbers of images. The box of the query (`bbx`) is skipped.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Entry {
    easy: Vec<u32>,
    hard: Vec<u32>,
    junk: Vec<u32>,
}

impl Entry {
    fn fields(&self) -> [(&'static str, &[u32]); 3] {
        [("easy", &self.easy), ("hard", &self.hard), ("junk", &self.junk)]
    }
}

impl RevisitedAnswers {
    /// Reads the file and checks it as far as it goes by itself.
    pub(super) fn read(text: Text) -> Result<Self> {
        let name = text.name().to_owned();
        let mut bytes = Vec::new();
        let mut limited = BufReader::new(text).take(MAX_JSON_BYTES + 1);
        limited.read_to_end(&mut bytes).map_err(|error| refuse(&name, &error.to_string()))?;
        if bytes.len() as u64 > MAX_JSON_BYTES {
            return Err(refuse(&name, &format!("it has more than {MAX_JSON_BYTES} bytes")).help(HELP));
        }
        let is_array = bytes.trim_ascii_start().first() == Some(&b'[');
        let (images, queries, gnd) = if is_array {
            (None, None, parsed(&name, &bytes)?)
        } else {
            let File { imlist, qimlist, gnd } = parsed(&name, &bytes)?;
            (Some(imlist), Some(qimlist), gnd)
        };
        let answers = Self { name, images: None, queries, gnd };
        if answers.gnd.is_empty() {
            return Err(refuse(&answers.name, "gnd has no query").help(HELP));
        }
        if let Some(names) = &answers.queries {
            if names.len() != answers.gnd.len() {
                let what = format!("qimlist has {} names and gnd {} entries", names.len(), answers.gnd.len());
                return Err(refuse(&answers.name, &what).help(HELP));
            }
            answers.must_differ("qimlist", names)?;
        }
        answers.must_be_disjoint()?;
        if answers.gnd.iter().all(|entry| entry.easy.is_empty() && entry.hard.is_empty()) {
            return Err(refuse(&answers.name, "no query has an easy or a hard image").help(HELP));
        }
        match images {
            Some(images) => answers.with_images("imlist", images),
            None => Ok(answers),
        }
    }

    /// Number of queries.
    pub fn count(&self) -> usize {
        self.gnd.len()
    }

    /// The names of the queries, in the order of `gnd`; `None`: the file has none.
    pub fn queries(&self) -> Option<&[String]> {
        self.queries.as_deref()
    }

    /// The names of the images that its numbers mean; `None`: the file has none ([`RevisitedAnswers::with_images`]).
    pub fn images(&self) -> Option<&[String]> {
        self.images.as_deref()
    }

    /// The same with names for its numbers; `source` says in messages where they are from.
    ///
    /// # Errors
    /// A number without a name, or a name that comes twice.
    pub fn with_images(mut self, source: &str, images: Vec<String>) -> Result<Self> {
        self.must_differ(source, &images)?;
        for (at, entry) in self.gnd.iter().enumerate() {
            for (field, numbers) in entry.fields() {
                if let Some(number) = numbers.iter().find(|&&number| number as usize >= images.len()) {
                    let what = format!(
                        "{}, {field}: {source} has no number {number}; it has {} names",
                        self.query(at),
                        images.len()
                    );
                    return Err(refuse(&self.name, &what).help(HELP));
                }
            }
        }
        self.images = Some(images);
        Ok(self)
    }

    /// What the query with this number should find; nothing without names of images or such a query.
    pub fn of(&self, query: usize) -> Revisited {
        let (Some(images), Some(entry)) = (&self.images, self.gnd.get(query)) else { return Revisited::default() };
        let names = |numbers: &[u32]| {
            numbers.iter().filter_map(|&number| images.get(number as usize)).cloned().collect::<Vec<_>>()
        };
        Revisited { easy: names(&entry.easy), hard: names(&entry.hard), junk: names(&entry.junk) }
    }

    fn query(&self, at: usize) -> String {
        match self.queries.as_ref().and_then(|names| names.get(at)) {
            Some(name) => format!("query {at} ('{name}')"),
            None => format!("query {at}"),
        }
    }

    fn must_differ(&self, list: &str, names: &[String]) -> Result<()> {
        let mut seen = HashSet::new();
        match names.iter().find(|name| !seen.insert(name.as_str())) {
            Some(name) => Err(refuse(&self.name, &format!("{list} has the name '{name}' twice")).help(HELP)),
            None => Ok(()),
        }
    }

    /// An image that is easy and junk at once would count both ways.
    fn must_be_disjoint(&self) -> Result<()> {
        for (at, entry) in self.gnd.iter().enumerate() {
            let mut first: HashMap<u32, &str> = HashMap::new();
            for (field, numbers) in entry.fields() {
                for &number in numbers {
                    if let Some(other) = first.insert(number, field) {
                        let what = format!("{}: {number} is in {other} and again in {field}", self.query(at));
                        return Err(refuse(&self.name, &what).help(HELP));
                    }
                }
            }
        }
        Ok(())
    }
}

/// JSON of this form. serde_json ends its messages with "at line 3 column 7".
fn parsed<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| refuse(name, &error.to_string()).help(HELP))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn read(text: &'static str) -> Result<RevisitedAnswers, String> {
        RevisitedAnswers::read(Text::standard(text.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_those_of_imlist() {
        let answers = read(
            "{\"qimlist\": [\"q\", \"r\"], \"imlist\": [\"a\", \"b\", \"c\"], \"gnd\": [{\"bbx\": [0.5, 1, 2, 3], \"easy\": [2], \
             \"hard\": [], \"junk\": [0]}, {\"easy\": [], \"hard\": [1], \"junk\": []}]}",
        )
        .unwrap();
        assert_eq!(answers.queries().unwrap(), ["q", "r"]);
        let first = answers.of(0);
        assert_eq!((first.easy, first.hard, first.junk), (vec!["c".to_owned()], vec![], vec!["a".to_owned()]));
        assert_eq!(answers.of(1).hard, ["b"]);
        assert_eq!(answers.of(2), Revisited::default());
    }

    #[test]
    fn a_bare_array_gets_the_names_of_its_images_later() {
        let answers = read("[{\"easy\": [1], \"hard\": [], \"junk\": []}]").unwrap();
        assert!(answers.queries().is_none() && answers.images().is_none());
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(answers.clone().with_images("names.txt", names(&["a", "b"])).unwrap().of(0).easy, ["b"]);
        let error = answers.clone().with_images("names.txt", names(&["a"])).unwrap_err().to_string();
        assert!(error.contains("query 0, easy: names.txt has no number 1; it has 1 names"), "{error}");
        assert!(answers.with_images("names.txt", names(&["a", "a"])).is_err());
    }

    /// It catches: a number that no name has, a file that is cut short, the older ground truth, each with the place of the mistake.
    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, said) in [
            ("{\"imlist\": [\"a\"],\n\"qimlist\": [\"q\"],\n\"gnd\": [{\"easy\": [0]", "at line 3"),
            (
                "{\"imlist\": [\"a\"], \"qimlist\": [\"q\"],\n\"gnd\": [{\"ok\": [0], \"junk\": []}]}",
                "missing field `easy` at line 2",
            ),
            ("{\"imlist\": [\"a\"]}", "missing field `qimlist` at line 1"),
            ("[{\"easy\": [-1], \"hard\": [], \"junk\": []}]", "expected u32 at line 1"),
            (
                "{\"imlist\": [\"a\"], \"qimlist\": [\"q\"], \"gnd\": [{\"easy\": [1], \"hard\": [], \"junk\": []}]}",
                "query 0 ('q'), easy: imlist has no number 1; it has 1 names",
            ),
            (
                "{\"imlist\": [\"a\"], \"qimlist\": [\"q\", \"r\"], \"gnd\": [{\"easy\": [0], \"hard\": [], \"junk\": []}]}",
                "qimlist has 2 names and gnd 1 entries",
            ),
            ("[{\"easy\": [4], \"hard\": [], \"junk\": [4]}]", "query 0: 4 is in easy and again in junk"),
            ("[{\"easy\": [], \"hard\": [], \"junk\": [4]}]", "no query has an easy or a hard image"),
            ("[]", "gnd has no query"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
