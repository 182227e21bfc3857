//! Resolves the names of a statement: which image each one means, given what an application has bound.

use crate::ast::{Image, Span, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::value::Value;

/// The names that an application has bound. The application keeps their values: here they are positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Number of positional parameters `$1`, `$2`, ..
    pub positional: usize,
    /// Named parameters, in the order in which they follow the positional ones.
    pub named: Vec<String>,
}

/// The source of a descriptor, resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A photo file.
    File(String),
    /// A stored image.
    Key(String),
    /// A bound parameter: 0-based, positional ones first, then the named ones.
    Argument(usize),
    /// A literal descriptor.
    Vector(Vec<f32>),
    /// Many queries from one file.
    Queries(String),
}

/// A value; `fill` has replaced each parameter by its value before.
pub(crate) fn known<T: Clone>(value: &Value<T>, span: Span) -> Result<T, Diagnostic> {
    match value {
        Value::Typed(value) => Ok(value.clone()),
        Value::Parameter(parameter) => Err(complaints::unbound_parameter(span, parameter.number, 0)),
    }
}

/// The source of an image's descriptor.
///
/// # Errors
/// A position that is not bound.
pub(crate) fn resolve(image: &Spanned<Image>, names: &Names) -> Result<Source, Diagnostic> {
    Ok(match &image.node {
        Image::File(path) => Source::File(path.clone()),
        Image::Key(key) => Source::Key(known(key, image.span)?),
        Image::Name(name) => match names.named.iter().position(|bound| bound == name) {
            Some(position) => Source::Argument(names.positional + position),
            None => Source::Key(name.clone()),
        },
        Image::Parameter(number) => match number.checked_sub(1) {
            Some(position) if position < names.positional => Source::Argument(position),
            _ => return Err(complaints::unbound_parameter(image.span, *number, names.positional)),
        },
        Image::Vector(values) => Source::Vector(values.clone()),
        Image::Queries(path) => Source::Queries(known(path, image.span)?),
    })
}
