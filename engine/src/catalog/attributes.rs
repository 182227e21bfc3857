//! Attributes inside stored values.

use prost::Message;

use crate::attribute::{self, AttributeChanges, Attributes, Value};
use crate::error::{Error, Result};

/// An attribute: its name, and the fields of one kind of value. Without a value: it goes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributeMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, optional, tag = "2")]
    text: Option<String>,
    #[prost(double, optional, tag = "3")]
    number: Option<f64>,
    /// Milliseconds since 1970, UTC.
    #[prost(sint64, optional, tag = "4")]
    time: Option<i64>,
    #[prost(double, optional, tag = "5")]
    latitude: Option<f64>,
    #[prost(double, optional, tag = "6")]
    longitude: Option<f64>,
}

impl AttributeMessage {
    fn one(name: String, value: Option<Value>) -> Self {
        let mut message = Self { name, ..Self::default() };
        match value {
            None => {}
            Some(Value::Text(text)) => message.text = Some(text),
            Some(Value::Number(number)) => message.number = Some(number),
            Some(Value::Time(time)) => message.time = Some(time),
            Some(Value::Place { latitude, longitude }) => {
                (message.latitude, message.longitude) = (Some(latitude), Some(longitude));
            }
        }
        message
    }

    /// What is stored of attributes.
    pub(crate) fn of(attributes: Attributes) -> Vec<Self> {
        attributes.into_iter().map(|(name, value)| Self::one(name, Some(value))).collect()
    }

    /// What is stored of changes.
    pub(crate) fn of_changes(changes: &AttributeChanges) -> Vec<Self> {
        changes.iter().map(|(name, value)| Self::one(name.clone(), value.clone())).collect()
    }

    fn change(self) -> Result<(String, Option<Value>)> {
        let Self { name, text, number, time, latitude, longitude } = self;
        let value = match (text, number, time, latitude, longitude) {
            (None, None, None, None, None) => None,
            (Some(text), None, None, None, None) => Some(Value::Text(text)),
            (None, Some(number), None, None, None) => Some(Value::Number(number)),
            (None, None, Some(time), None, None) => Some(Value::Time(time)),
            (None, None, None, Some(latitude), Some(longitude)) => Some(Value::Place { latitude, longitude }),
            _ => return Err(Error::corrupt(format!("the attribute '{}' has several values", name.escape_debug()))),
        };
        attribute::check(&name, value.as_ref()).map_err(|error| Error::corrupt(error.message().to_owned()))?;
        Ok((name, value))
    }

    /// The attributes that were stored.
    ///
    /// # Errors
    /// `Corrupt`: a name or a value that cannot have been stored.
    pub(crate) fn attributes(stored: Vec<Self>) -> Result<Attributes> {
        let mut attributes = Attributes::new();
        let changes = Self::changes(stored)?;
        attribute::change(&mut attributes, changes).map_err(|error| Error::corrupt(error.message().to_owned()))?;
        Ok(attributes)
    }

    /// The changes that were stored.
    ///
    /// # Errors
    /// As [`AttributeMessage::attributes`].
    pub(crate) fn changes(stored: Vec<Self>) -> Result<AttributeChanges> {
        stored.into_iter().map(Self::change).collect()
    }
}
