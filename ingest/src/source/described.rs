//! Columns of a list that become attributes, and how their words become values.

use cairn::{AttributeChanges, Error, Result, Value};
use jiff::civil;
use jiff::tz::TimeZone;

use super::table::Table;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Time,
    Place,
}

/// Which columns of a list become attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttributeColumns {
    columns: Vec<(String, Option<Type>)>,
    all: bool,
}

impl AttributeColumns {
    /// From words: `all`, or names of columns, each with a type behind a colon if the values do not tell it (`code:text`). Without
    /// one a value is a number, a time (2024-05-01, 2024-05-01T12:30:00+02:00), a place (48.858 2.294), or else a text.
    ///
    /// # Errors
    /// A type that is none.
    pub fn new(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut chosen = Self::default();
        for word in words {
            if word == "all" {
                chosen.all = true;
                continue;
            }
            let (name, kind) = match word.rsplit_once(':') {
                None => (word.as_str(), None),
                Some((name, "text")) => (name, Some(Type::Text)),
                Some((name, "number")) => (name, Some(Type::Number)),
                Some((name, "time")) => (name, Some(Type::Time)),
                Some((name, "place")) => (name, Some(Type::Place)),
                Some((_, other)) => {
                    return Err(Error::invalid(format!("'{other}' is no type of an attribute"))
                        .help("types are text, number, time and place"));
                }
            };
            chosen.columns.push((name.trim().to_owned(), kind));
        }
        Ok(chosen)
    }

    /// Position, name and type of each of them in a list, but for the columns that the list itself uses.
    ///
    /// # Errors
    /// When a named column is missing.
    pub(super) fn places(&self, table: &Table, used: &[&str]) -> Result<Vec<Column>> {
        let mut found = Vec::new();
        for (name, kind) in &self.columns {
            found.push(Column { place: table.needed(&[name], name)?, name: name.clone(), kind: *kind });
        }
        if self.all {
            let is_free = |name: &str, found: &[Column]| {
                !name.is_empty()
                    && !used.iter().any(|used| used.eq_ignore_ascii_case(name))
                    && !found.iter().any(|column| column.name.eq_ignore_ascii_case(name))
            };
            for (place, name) in table.columns().iter().enumerate() {
                if is_free(name, &found) {
                    found.push(Column { place, name: name.clone(), kind: None });
                }
            }
        }
        Ok(found)
    }
}

/// A column of attributes.
pub(super) struct Column {
    pub(super) place: usize,
    name: String,
    kind: Option<Type>,
}

/// The attributes of a row; what is empty goes.
///
/// # Errors
/// A word that is no value of its column's type.
pub(super) fn attributes(columns: &[Column], words: &[Option<&str>]) -> Result<AttributeChanges, String> {
    let change = |(column, word): (&Column, &Option<&str>)| {
        let word = word.unwrap_or_default().trim();
        let value = (!word.is_empty()).then(|| value(word, column.kind)).transpose();
        value
            .map(|value| (column.name.clone(), value))
            .map_err(|what| format!("column '{}': '{word}' is {what}", column.name))
    };
    columns.iter().zip(words).map(change).collect()
}

fn value(word: &str, kind: Option<Type>) -> Result<Value, &'static str> {
    match kind {
        None => Ok(number(word).or_else(|| time(word)).or_else(|| place(word)).unwrap_or_else(|| Value::from(word))),
        Some(Type::Text) => Ok(Value::from(word)),
        Some(Type::Number) => number(word).ok_or("no number"),
        Some(Type::Time) => time(word).ok_or("no time such as 2024-05-01 or 2024-05-01T12:30:00+02:00"),
        Some(Type::Place) => place(word).ok_or("no place: a latitude and a longitude, such as 48.858 2.294"),
    }
}

fn number(word: &str) -> Option<Value> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    word.parse().ok().filter(|number: &f64| is_plain && number.is_finite()).map(Value::Number)
}

/// A day, or a time with or without an offset; without one it counts as UTC.
fn time(word: &str) -> Option<Value> {
    let starts_with_year = word.len() >= 10 && word.as_bytes()[..4].iter().all(u8::is_ascii_digit);
    if !starts_with_year {
        return None;
    }
    let word = word.replacen(' ', "T", 1);
    let milliseconds = match word.parse::<jiff::Timestamp>() {
        Ok(at) => at.as_millisecond(),
        Err(_) => {
            let at = word
                .parse::<civil::DateTime>()
                .ok()
                .or_else(|| Some(word.parse::<civil::Date>().ok()?.to_datetime(civil::Time::midnight())))?;
            at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()
        }
    };
    Some(Value::Time(milliseconds))
}

fn place(word: &str) -> Option<Value> {
    let mut parts = word.split([',', ' ', ';']).filter(|part| !part.is_empty()).map(str::parse::<f64>);
    let (latitude, longitude) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let is_place = parts.next().is_none() && latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    is_place.then_some(Value::Place { latitude, longitude })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// It catches: an offset that is ignored, a code with a leading letter taken for a number, `nan` taken for one.
    #[test]
    fn words_tell_their_type() {
        let of = |word| value(word, None).unwrap();
        assert_eq!(of("4.5"), Value::Number(4.5));
        assert_eq!(of("-1e3"), Value::Number(-1000.0));
        assert_eq!(of("1970-01-02"), Value::Time(86_400_000));
        assert_eq!(of("1970-01-01T02:00:00+02:00"), Value::Time(0));
        assert_eq!(of("1970-01-01 00:00:01"), Value::Time(1000));
        assert_eq!(of("48.858, 2.294"), Value::Place { latitude: 48.858, longitude: 2.294 });
        for text in ["nan", "inf", "A12", "2024-13-41", "95.0 1.0", "1 2 3", "0x10"] {
            assert_eq!(of(text), Value::from(text), "{text}");
        }
        assert_eq!(value("007", Some(Type::Text)), Ok(Value::from("007")));
        for kind in [Type::Number, Type::Time, Type::Place] {
            assert!(value("word", Some(kind)).is_err());
        }
        assert!(AttributeColumns::new(["a:colour".to_owned()]).is_err());
    }
}
