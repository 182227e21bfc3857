//! Puts the values that an application binds in their places and checks them as if they had been typed there.

use std::ops::RangeBounds as _;

use crate::ast::{
    Clean, Condition, Cut, Freshness, Image, Mode, Options, Origin, Recognize, Role, Search, Span, Spanned, Statement,
    Train,
};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::value::{Binding, Setting, Takes, Value, Whole};

/// The statement with the value of each positional parameter that is a text or a number. Image parameters stay:
/// [`plan`](crate::plan()) resolves them.
///
/// # Errors
///
/// A diagnostic that names a parameter without a value, with a value of the wrong type, or with one that its place does not take.
///
/// ```
/// use cairndb_query::{Binding, fill, parse};
/// let statement = &parse("LABEL ID $1 AS $2").statements[0];
/// let values = [Binding::Key("a".into()), Binding::Text("it's".into())];
/// assert_eq!(fill(statement, &values)?.node.to_string(), "LABEL ID 'a' AS 'it''s'");
/// assert!(fill(statement, &[Binding::Key("a".into()), Binding::Whole(3)]).is_err());
/// # Ok::<(), cairndb_query::Diagnostic>(())
/// ```
pub fn fill(statement: &Spanned<Statement>, values: &[Binding]) -> Result<Spanned<Statement>, Diagnostic> {
    let mut filled = statement.clone();
    Filling { values }.statement(&mut filled.node)?;
    Ok(filled)
}

type Filled = Result<(), Diagnostic>;

struct Filling<'a> {
    values: &'a [Binding],
}

impl Filling<'_> {
    fn statement(&self, statement: &mut Statement) -> Filled {
        match statement {
            Statement::Search(search) => self.search(search),
            Statement::Predict { image, k, freshness } => {
                self.image(image)?;
                self.given(k)?;
                self.freshness(freshness)
            }
            Statement::Recognize(recognize) => self.recognize(recognize),
            Statement::Put { key, image, label, .. } => {
                self.value(key)?;
                self.image(image)?;
                self.given(label)
            }
            Statement::Delete { key } | Statement::Unlabel { key } => self.value(key),
            Statement::Label { key, label } => {
                self.value(key)?;
                self.value(label)
            }
            Statement::ShowClean { number }
            | Statement::UseModel { number }
            | Statement::DropModel { number, force: _ } => self.value(number),
            Statement::ShowSuspects { limit } => self.given(limit),
            Statement::Train(train) => self.train(train),
            Statement::Clean(clean) => self.clean(clean),
            Statement::Reembed { model } => self.given(model),
            Statement::Backup { folder } | Statement::BackupVerify { folder } => self.value(folder),
            Statement::BackupRestore { from, to } => {
                self.value(from)?;
                self.value(to)
            }
            Statement::Explain { statement, .. } => self.statement(&mut statement.node),
            Statement::ShowStatus
            | Statement::ShowLabels
            | Statement::ShowSegments
            | Statement::ShowStale
            | Statement::ShowCleans
            | Statement::ShowMarked
            | Statement::ShowModels
            | Statement::UndoClean
            | Statement::UndoLabel
            | Statement::Flush
            | Statement::Compact { .. }
            | Statement::Check { .. } => Ok(()),
        }
    }

    fn search(&self, search: &mut Search) -> Filled {
        self.image(&mut search.image)?;
        for Spanned { node: Condition { value, .. }, span } in &mut search.filter {
            self.put(value, *span)?;
        }
        self.given(&mut search.depth)?;
        self.given(&mut search.limit)?;
        if let Some(Spanned { node: Mode::Ef(breadth), span }) = &mut search.mode {
            self.put(breadth, *span)?;
        }
        for method in [&mut search.expand, &mut search.augment, &mut search.order].into_iter().flatten() {
            self.options(&mut method.node.options)?;
        }
        self.given(&mut search.verify)?;
        self.given(&mut search.least)?;
        self.given(&mut search.collapse)?;
        if let Some(rerank) = &mut search.rerank {
            self.given(&mut rerank.node.k)?;
            self.given(&mut rerank.node.tau)?;
            if let Some(augment) = &mut rerank.node.augment {
                self.options(&mut augment.node.options)?;
            }
        }
        self.freshness(&mut search.freshness)?;
        self.given(&mut search.into)
    }

    fn recognize(&self, recognize: &mut Recognize) -> Filled {
        self.image(&mut recognize.image)?;
        self.given(&mut recognize.n)?;
        self.given(&mut recognize.least)?;
        self.given(&mut recognize.distractors)?;
        self.freshness(&mut recognize.freshness)?;
        self.given(&mut recognize.into)
    }

    fn options(&self, options: &mut Options) -> Filled {
        options.iter_mut().try_for_each(|given| self.value(&mut given.value))
    }

    fn train(&self, train: &mut Train) -> Filled {
        self.options(&mut train.options)?;
        match &mut train.from {
            Some(Spanned { node: Origin::File(path), span }) => self.put(path, *span),
            Some(Spanned { node: Origin::Model(number), span }) => self.put(number, *span),
            None => Ok(()),
        }
    }

    fn clean(&self, clean: &mut Clean) -> Filled {
        self.options(&mut clean.options)?;
        match &mut clean.cut {
            Some(Spanned { node: Cut::Top(images), span }) => self.put(images, *span)?,
            Some(Spanned { node: Cut::Evidence(least), span }) => self.put(least, *span)?,
            None => {}
        }
        self.given(&mut clean.into)
    }

    fn freshness(&self, freshness: &mut Option<Spanned<Freshness<Value<u64>>>>) -> Filled {
        match freshness {
            Some(Spanned { node: Freshness::Since(sequence), span }) => self.put(sequence, *span),
            _ => Ok(()),
        }
    }

    /// An image that is a parameter stays one, if its value can be an image.
    fn image(&self, image: &mut Spanned<Image>) -> Filled {
        let span = image.span;
        match &mut image.node {
            Image::Key(text) | Image::Queries(text) => self.put(text, span),
            Image::Parameter(number) => match number.checked_sub(1).and_then(|at| self.values.get(at)) {
                Some(other @ (Binding::Text(_) | Binding::Whole(_) | Binding::Number(_))) => {
                    Err(complaints::parameter_no_image(span, *number, other))
                }
                _ => Ok(()),
            },
            Image::File(_) | Image::Name(_) | Image::Vector(_) => Ok(()),
        }
    }

    fn given<T: Bindable>(&self, value: &mut Option<Spanned<Value<T>>>) -> Filled {
        value.as_mut().map_or(Ok(()), |value| self.value(value))
    }

    fn value<T: Bindable>(&self, value: &mut Spanned<Value<T>>) -> Filled {
        let span = value.span;
        self.put(&mut value.node, span)
    }

    fn put<T: Bindable>(&self, value: &mut Value<T>, span: Span) -> Filled {
        let Value::Parameter(parameter) = value else { return Ok(()) };
        let bound = parameter.number.checked_sub(1).and_then(|at| self.values.get(at));
        let bound = bound.ok_or_else(|| complaints::unbound_parameter(span, parameter.number, self.values.len()))?;
        let taken = T::take(bound, parameter.takes);
        *value = Value::Typed(taken.ok_or_else(|| complaints::parameter_value(span, parameter, bound))?);
        Ok(())
    }
}

/// A type that a value can be converted to.
trait Bindable: Sized {
    /// `None` if the place does not take it.
    fn take(bound: &Binding, takes: Takes) -> Option<Self>;
}

impl Bindable for String {
    fn take(bound: &Binding, takes: Takes) -> Option<Self> {
        let (text, is_key) = match bound {
            Binding::Text(text) => (text, false),
            Binding::Key(key) => (key, true),
            Binding::Image | Binding::Whole(_) | Binding::Number(_) => return None,
        };
        match takes {
            Takes::Text => !is_key && !text.is_empty(),
            Takes::Key => !text.is_empty(),
            Takes::AnyText => !is_key,
            Takes::AnyKey => true,
            // In any case, as typed; the statement stores it as the language writes it.
            Takes::Split if !is_key => return Role::named(text).map(|role| role.name().to_owned()),
            Takes::Split | Takes::Whole { .. } | Takes::Number(_) => false,
        }
        .then(|| text.clone())
    }
}

impl Bindable for u64 {
    fn take(bound: &Binding, takes: Takes) -> Option<Self> {
        whole(bound, takes)
    }
}

impl Bindable for usize {
    fn take(bound: &Binding, takes: Takes) -> Option<Self> {
        whole(bound, takes)
    }
}

impl Bindable for Setting {
    fn take(bound: &Binding, takes: Takes) -> Option<Self> {
        match takes {
            Takes::Whole { .. } => whole(bound, takes).map(Self::Whole),
            Takes::Number(_) => f64::take(bound, takes).map(Self::Number),
            Takes::Text | Takes::Key | Takes::AnyText | Takes::AnyKey | Takes::Split => None,
        }
    }
}

fn whole<T: Whole>(bound: &Binding, takes: Takes) -> Option<T> {
    match (bound, takes) {
        (Binding::Whole(number), Takes::Whole { least, most }) if (least..=most).contains(number) => T::of(*number),
        _ => None,
    }
}

impl Bindable for f64 {
    fn take(bound: &Binding, takes: Takes) -> Option<Self> {
        let number = match bound {
            Binding::Number(number) => *number,
            // Above 2^53 this is the nearest number; no place takes such large ones.
            Binding::Whole(number) => *number as Self,
            Binding::Image | Binding::Key(_) | Binding::Text(_) => return None,
        };
        match takes {
            Takes::Number(interval) if number.is_finite() && interval.contains(&number) => Some(number),
            _ => None,
        }
    }
}
