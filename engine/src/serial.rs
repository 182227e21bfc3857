//! How what applications show is serialized, where the words or the form of a field are not those of its type.

use std::fmt::Debug;

use cairndb_query::Role;
use serde::Serializer;

/// `train` or `index`.
pub(crate) fn role<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.name())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex<S: Serializer>(bytes: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => serializer.serialize_some(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        None => serializer.serialize_none(),
    }
}

/// The name of an enumerator.
pub(crate) fn debug<S: Serializer, T: Debug>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_some(&format!("{value:?}")),
        None => serializer.serialize_none(),
    }
}
