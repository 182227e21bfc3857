//! Attributes of an image: a small map of typed values that people and files give, beside label and descriptor. No prediction
//! depends on them.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Most attributes of an image.
pub const MAX_ATTRIBUTES: usize = 64;
/// Most bytes of an attribute's name.
pub const MAX_ATTRIBUTE_NAME_BYTES: usize = 64;
/// Most bytes of a text.
pub const MAX_ATTRIBUTE_BYTES: usize = 4096;

/// Columns of answers: an attribute with such a name could not be asked for.
const TAKEN: [&str; 18] = [
    "id",
    "label",
    "instance",
    "instance_score",
    "similarity",
    "score",
    "split",
    "role",
    "path",
    "source",
    "rank",
    "stage",
    "marked",
    "version",
    "added",
    "content",
    "vector",
    "inliers",
];

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Value {
    /// A text of 1 to [`MAX_ATTRIBUTE_BYTES`] bytes.
    Text(String),
    /// A finite number.
    Number(f64),
    /// Milliseconds since 1970-01-01 00:00 UTC. A time without an offset, as most cameras note it, counts as UTC.
    Time(i64),
    /// A place on Earth, in degrees (WGS 84).
    Place {
        /// -90 to 90, north is positive.
        latitude: f64,
        /// -180 to 180, east is positive.
        longitude: f64,
    },
}

impl Value {
    /// # Errors
    /// When it is no value that can be stored.
    fn check(&self, name: &str) -> Result<()> {
        let problem = match self {
            Value::Text(text) if text.is_empty() => "is empty",
            Value::Text(text) if text.len() > MAX_ATTRIBUTE_BYTES => "is longer than 4,096 bytes",
            Value::Text(text) if text.contains('\0') => "contains a NUL character",
            Value::Number(number) if !number.is_finite() => "is no finite number",
            Value::Place { latitude, longitude } if !(latitude.abs() <= 90.0 && longitude.abs() <= 180.0) => {
                "is no place: latitudes are -90 to 90, longitudes -180 to 180"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid(format!("the attribute '{name}' {problem}")))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// Values by their names, in the order of the names.
pub type Attributes = BTreeMap<String, Value>;

/// Changes of attributes: a value, or `None`: the attribute goes.
pub type AttributeChanges = Vec<(String, Option<Value>)>;

/// Checks one attribute.
///
/// # Errors
/// `Invalid`: the name is no word (a letter, then letters, digits and underscores, ASCII) or a column's; the value is out of range.
pub(crate) fn check(name: &str, value: Option<&Value>) -> Result<()> {
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_word || name.len() > MAX_ATTRIBUTE_NAME_BYTES {
        return Err(Error::invalid(format!("'{}' cannot be the name of an attribute", name.escape_debug()))
            .help("use a letter, then letters, digits and underscores, at most 64"));
    }
    if TAKEN.contains(&&*name.to_ascii_lowercase()) {
        return Err(Error::invalid(format!("'{name}' is a column of answers, and no name of an attribute")));
    }
    value.map_or(Ok(()), |value| value.check(name))
}

/// Carries changes out.
///
/// # Errors
/// `Invalid`: a name or a value, as [`check`]; or there would be more than [`MAX_ATTRIBUTES`].
pub(crate) fn change(attributes: &mut Attributes, changes: AttributeChanges) -> Result<()> {
    for (name, value) in changes {
        check(&name, value.as_ref())?;
        match value {
            Some(value) => attributes.insert(name, value),
            None => attributes.remove(&name),
        };
    }
    match attributes.len() {
        0..=MAX_ATTRIBUTES => Ok(()),
        count => Err(Error::invalid(format!("{count} attributes are more than the {MAX_ATTRIBUTES} of an image"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// It catches: a name that no statement could have, a value that no file can hold, a limit that is not held.
    #[test]
    fn names_are_words_and_values_are_in_range() {
        for name in ["camera", "ISO_speed2", "T"] {
            check(name, Some(&Value::Number(1.0))).unwrap();
        }
        let long = "a".repeat(65);
        for name in ["", "2nd", "a b", "a-b", "größe", "label", "Path", &long] {
            assert!(check(name, None).is_err(), "{name}");
        }
        let place = |latitude, longitude| Value::Place { latitude, longitude };
        check("at", Some(&place(-90.0, 180.0))).unwrap();
        for value in [
            Value::Text(String::new()),
            Value::Text("a\0".to_owned()),
            Value::Text("a".repeat(4097)),
            Value::Number(f64::NAN),
            place(90.1, 0.0),
            place(0.0, f64::INFINITY),
        ] {
            assert!(check("at", Some(&value)).is_err(), "{value:?}");
        }
        let mut attributes = Attributes::new();
        let set =
            |count| (0..count).map(|at| (format!("a{at}"), Some(Value::Number(0.0)))).collect::<AttributeChanges>();
        change(&mut attributes, set(64)).unwrap();
        assert!(change(&mut attributes.clone(), set(65)).is_err());
        change(&mut attributes, vec![("a3".to_owned(), None)]).unwrap();
        assert!(attributes.len() == 63 && !attributes.contains_key("a3"));
    }
}
