//! Texts and numbers of a statement that an application may bind: the typed value or a parameter, and what its place takes.

use std::fmt::Display;
use std::ops::Bound;
use std::str::FromStr;

/// A text or a number of a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<T> {
    /// A typed value.
    Typed(T),
    /// `$1`: an application binds it.
    Parameter(Parameter),
}

impl<T> Value<T> {
    /// The typed value; `None` for a parameter.
    pub fn typed(&self) -> Option<&T> {
        match self {
            Self::Typed(value) => Some(value),
            Self::Parameter(_) => None,
        }
    }
}

impl<T> From<T> for Value<T> {
    fn from(value: T) -> Self {
        Self::Typed(value)
    }
}

/// `$1` instead of a text or a number.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its position, from 1.
    pub number: usize,
    /// The name of its place, for messages: `K`, `a label`.
    pub what: &'static str,
    /// The type that this place takes.
    pub takes: Takes,
}

/// Two parameters are equal if their positions are: the rest follows from their places.
impl PartialEq for Parameter {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

/// The type that a parameter's place takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Takes {
    /// A non-empty text.
    Text,
    /// A non-empty text, or a key.
    Key,
    /// Any text: the value of a condition.
    AnyText,
    /// Any text or a key: the value of a condition on an id.
    AnyKey,
    /// `train` or `index`.
    Split,
    /// A whole number from `least` to `most`.
    Whole {
        /// The smallest one.
        least: u64,
        /// The largest one.
        most: u64,
    },
    /// A finite number of this interval.
    Number(Interval),
}

/// The value of an option of TRAIN or CLEAN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// A whole number.
    Whole(u64),
    /// Another number.
    Number(f64),
    /// One of some words.
    Word(&'static str),
    /// A flag that was given.
    Set,
}

impl Setting {
    /// The whole number; `None` if it is something else, or does not fit.
    pub fn whole(self) -> Option<usize> {
        match self {
            Self::Whole(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }

    /// The number, whole or not.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The word.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// The numbers that a place takes; both ends are given.
pub type Interval = (Bound<f64>, Bound<f64>);

/// A whole number of a statement.
pub(crate) trait Whole: Copy + PartialOrd + Display + FromStr {
    /// In 64 bits.
    fn wide(self) -> u64;
    /// As 64 bits; `None` if it does not fit.
    fn of(wide: u64) -> Option<Self>;
}

impl Whole for u64 {
    fn wide(self) -> u64 {
        self
    }

    fn of(wide: u64) -> Option<Self> {
        Some(wide)
    }
}

impl Whole for usize {
    fn wide(self) -> u64 {
        u64::try_from(self).unwrap_or(u64::MAX)
    }

    fn of(wide: u64) -> Option<Self> {
        Self::try_from(wide).ok()
    }
}

/// The value that an application binds to a positional parameter, as far as the language needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    /// A descriptor or a photo; the application keeps it.
    Image,
    /// The key of a stored image.
    Key(String),
    /// A text: a key, a label, the value of a condition, the name of a file.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// Another number.
    Number(f64),
}
