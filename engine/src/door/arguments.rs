//! The values that an application binds to the parameters of a statement.

use cairndb_query::{Binding, Names};

use crate::ports::Photo;

/// A value that an application binds to `$1` or to a name; it is never inserted into query text.
///
/// A vector, a photo and a key are images. A text or a number replaces a `$` parameter wherever a statement takes text in quotes
/// (keys, labels, values of WHERE, names of files) or a number; a key is also accepted as the text of a key.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Argument {
    /// A descriptor.
    Vector(Vec<f32>),
    /// A photo, embedded when the statement runs.
    Photo(Photo),
    /// The key of a stored image.
    Key(String),
    /// A text.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// Another number; finite.
    Number(f64),
}

impl Argument {
    /// Its type for the language: vectors and photos stay here.
    fn binding(&self) -> Binding {
        match self {
            Self::Vector(_) | Self::Photo(_) => Binding::Image,
            Self::Key(key) => Binding::Key(key.clone()),
            Self::Text(text) => Binding::Text(text.clone()),
            Self::Whole(number) => Binding::Whole(*number),
            Self::Number(number) => Binding::Number(*number),
        }
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Argument {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Vec<f32>> for Argument {
    fn from(vector: Vec<f32>) -> Self {
        Self::Vector(vector)
    }
}

impl From<Photo> for Argument {
    fn from(photo: Photo) -> Self {
        Self::Photo(photo)
    }
}

/// The values that an application binds.
///
/// ```
/// # fn main() -> cairn::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// use cairn::{Arguments, Database, Options, Ports};
///
/// let database = Database::create(&folder.path().join("places"), Options::for_vectors(2))?;
/// let arguments = Arguments::of(["it's; a key".into(), vec![0.6, 0.8].into(), "Louvre".into()]);
/// database.query("PUT ID $1 $2 LABEL $3", &arguments, &Ports::default())?;
/// let arguments = Arguments::of([vec![0.6, 0.8].into(), "Louvre".into(), 5_u64.into()]);
/// database.query("SEARCH $1 IN train WHERE label = $2 K $3", &arguments, &Ports::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Arguments {
    /// `$1`, `$2`, ..
    pub positional: Vec<Argument>,
    /// By name; they are images.
    pub named: Vec<(String, Argument)>,
}

impl Arguments {
    /// `$1`, `$2`, ..
    pub fn of(positional: impl IntoIterator<Item = Argument>) -> Self {
        Self { positional: positional.into_iter().collect(), named: Vec::new() }
    }

    /// Their types for the language.
    pub(super) fn bindings(&self) -> Vec<Binding> {
        self.positional.iter().map(Argument::binding).collect()
    }

    pub(super) fn names(&self) -> Names {
        Names { positional: self.positional.len(), named: self.named.iter().map(|(name, _)| name.clone()).collect() }
    }

    pub(super) fn get(&self, at: usize) -> Option<&Argument> {
        match at.checked_sub(self.positional.len()) {
            None => self.positional.get(at),
            Some(at) => self.named.get(at).map(|(_, argument)| argument),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{Database, Outcome, Ports};
    use crate::error::Result;
    use crate::options::Options;

    fn ids(outcome: &Outcome) -> Vec<&str> {
        let Outcome::Answers(answers) = outcome else { panic!("{outcome:?}") };
        answers.answers[0].rows.iter().map(|row| row.id.as_str()).collect()
    }

    /// Text of an application is text and never language, in every statement that takes some.
    ///
    /// It catches: a place that takes no parameter; a value that is spliced into text; a mistake in a value that lets the statements in
    /// front of it run, or that does not name the parameter.
    #[test]
    fn texts_and_numbers_of_an_application_are_bound_and_never_read_as_language() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let run = |text: &str, arguments: Vec<Argument>| -> Result<Vec<Outcome>> {
            database.query(text, &Arguments::of(arguments), &Ports::default())
        };
        let (key, label) = ("it's'; DELETE ID 'b", "x' K 1 --");
        let vector = |x: f32| Argument::Vector(vec![1.0, x]);
        run("PUT ID $1 $2 LABEL $3", vec![key.into(), vector(0.0), label.into()]).unwrap();
        for (at, other) in ["b", "c", "d"].into_iter().enumerate() {
            run("PUT ID $1 $2", vec![other.into(), vector(0.1 * (at + 1) as f32)]).unwrap();
        }
        let found = run(
            "SEARCH $1 IN train WHERE label = $2 AND id = $3 K $4; SEARCH ID $3 IN index K $4 RERANK k=$4 tau=$5; PREDICT ID $3 k=$4",
            vec![vector(0.0), label.into(), Argument::Key(key.to_owned()), Argument::Whole(2), Argument::Number(-2.0)],
        )
        .unwrap();
        assert_eq!((ids(&found[0]), ids(&found[1])), (vec![key], vec!["b", "c"]));
        run("LABEL ID $1 AS $2; UNLABEL ID $3", vec!["b".into(), "a new one".into(), key.into()]).unwrap();
        let labels: Vec<String> = database.snapshot().labels().unwrap().into_iter().map(|label| label.0).collect();
        assert_eq!(labels, ["a new one"]);
        run("EXPLAIN ANALYZE DELETE ID $1", vec![key.into()]).unwrap();
        assert_eq!(database.snapshot().keys(None).unwrap(), ["b", "c", "d"]);

        // A mistake runs nothing, and says where it is.
        for (text, values, said) in [
            ("DELETE ID $1; SEARCH ID $1 K $2", vec!["c".into(), Argument::Text("many".to_owned())], "$2 stands for K"),
            ("DELETE ID $1; LABEL ID $1 AS $2", vec!["c".into(), "".into()], "$2 stands for a label"),
            ("DELETE ID $1; DELETE ID $2", vec!["c".into()], "$2 is not bound"),
            ("DELETE ID $1; SEARCH $1", vec!["c".into()], "$1 stands for an image"),
            (
                "DELETE ID $1; SEARCH ID $1 K $2 LIMIT $3",
                vec!["c".into(), Argument::Whole(3), Argument::Whole(4)],
                "LIMIT 4 is more than K 3",
            ),
        ] {
            let error = run(text, values).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let named = Arguments { named: vec![("img".to_owned(), "c".into())], ..Arguments::default() };
        assert!(database.query("SEARCH img", &named, &Ports::default()).unwrap_err().to_string().contains("a text"));
        assert_eq!(database.snapshot().keys(None).unwrap().len(), 3);
    }
}
