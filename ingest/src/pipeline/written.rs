//! Rows that are ready, and how they are written.

use cairn::lists::Listed;
use cairn::{Database, Error, ErrorKind, Expect, Operation, Result};

use super::Report;
use super::heard::Word;
use crate::encoder::Encoder;

/// A row that is ready to write.
pub(super) struct Ready {
    pub(super) listed: Listed,
    pub(super) word: Word,
    /// Its descriptor without the adapter, if the database keeps those.
    pub(super) of_network: Option<Vec<f32>>,
    /// Written before it, in the same transaction: the photo was found at another place.
    pub(super) before: Option<Operation>,
    /// The image is known, and gets other attributes.
    pub(super) is_described: bool,
}

impl Ready {
    pub(super) fn new(listed: Listed, word: Word) -> Self {
        Self { listed, word, of_network: None, before: None, is_described: false }
    }

    fn operations(&self) -> impl Iterator<Item = Operation> {
        self.before.clone().into_iter().chain([Operation::Listed(self.listed.clone())])
    }

    /// Counts it, once it is written.
    fn count(&self, report: &mut Report) {
        self.word.count(report);
        report.moved += usize::from(self.before.is_some());
        report.described += usize::from(self.is_described);
        report.added_photos.note(&self.word, &self.listed);
    }

    /// Sets the photo's descriptor, from the network's.
    ///
    /// # Errors
    /// As [`Encoder::adapt`].
    pub(super) fn describe(&mut self, encoder: &dyn Encoder, of_network: Vec<f32>, network: Option<u32>) -> Result<()> {
        self.of_network = network.map(|_| of_network.clone());
        if let Some(photo) = &mut self.listed.photo {
            photo.vector = encoder.adapt(of_network)?;
        }
        Ok(())
    }
}

/// One transaction. If the engine refuses a value in it, each row gets a separate transaction, so that only the refused one is
/// left out. A change of the active model is no such value: it ends the ingest.
pub(super) fn write(db: &Database, made_by: Option<&str>, rows: Vec<Ready>, report: &mut Report) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let is_in_force = || db.options().model.as_ref().map(|model| model.fingerprint.as_str()) == made_by;
    // An image that does not exist was deleted meanwhile.
    let refused_value = |error: &Error| {
        matches!(
            error.kind(),
            ErrorKind::Invalid | ErrorKind::Mismatch | ErrorKind::NotFound | ErrorKind::AlreadyExists
        ) && is_in_force()
    };
    let write_all = |operations| db.write_if([Expect::Model(made_by.map(str::to_owned))], operations);
    match write_all(rows.iter().flat_map(Ready::operations).collect::<Vec<_>>()) {
        Ok(_) => rows.iter().for_each(|row| row.count(report)),
        Err(error) if refused_value(&error) => {
            for row in rows {
                match write_all(row.operations().collect()) {
                    Ok(_) => row.count(report),
                    Err(error) if refused_value(&error) => {
                        report.failed.push((row.listed.key, error.message().to_owned()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
