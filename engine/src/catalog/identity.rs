//! What a database is: its options, its name, its spaces and which of them answers. Without these few entries of `meta` nothing else
//! could be read, so each is written a second time, to another family and thereby to another table.

use prost::Message;
use rocksdb::{DB, IteratorMode, WriteBatch};

use super::messages::OptionsMessage;
use super::{Batch, Catalog, DATABASE, Family, OPTIONS};
use crate::error::Result;

/// Key prefix in `jobs` of the second copies.
const COPY: &[u8] = b"meta/";

fn copy_of(key: &[u8]) -> Vec<u8> {
    [COPY, key].concat()
}

impl Batch<'_> {
    /// The options and the name of the database.
    pub(crate) fn put_identity(&mut self) -> Result<()> {
        let (options, database) = (OptionsMessage::of(&self.catalog.options).encode_to_vec(), self.catalog.database);
        self.state(OPTIONS, &options)?;
        self.state(DATABASE, &database)
    }

    /// Writes an entry of `meta` that says what the database is, twice.
    pub(super) fn state(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(Family::Meta, key, value)?;
        self.put(Family::Jobs, &copy_of(key), value)
    }

    /// Forgets such an entry.
    pub(super) fn unstate(&mut self, key: &[u8]) -> Result<()> {
        self.delete(Family::Meta, key)?;
        self.delete(Family::Jobs, &copy_of(key))
    }
}

impl Catalog {
    /// Writes the second copies where there are none: of a database that was made before there were any, or lost them.
    pub(super) fn copy_identity(&self) -> Result<()> {
        let (meta, jobs) = (self.family(Family::Meta)?, self.family(Family::Jobs)?);
        if self.store.db.get_pinned_cf(jobs, copy_of(OPTIONS))?.is_some() {
            return Ok(());
        }
        let mut batch = Batch::new(self);
        for entry in self.store.db.iterator_cf(meta, IteratorMode::Start) {
            let (key, value) = entry?;
            if super::spaces::is_stated(&key) || *key == *OPTIONS || *key == *DATABASE {
                batch.put(Family::Jobs, &copy_of(&key), &value)?;
            }
        }
        batch.commit()
    }
}

/// Gives a catalog that lost what it is the second copies back.
pub(super) fn restore(db: &DB) -> Result<()> {
    let (meta, jobs) = (super::handle(db, Family::Meta)?, super::handle(db, Family::Jobs)?);
    if db.get_pinned_cf(meta, OPTIONS)?.is_some() {
        return Ok(());
    }
    let mut batch = WriteBatch::default();
    for entry in db.prefix_iterator_cf(jobs, COPY) {
        let (key, value) = entry?;
        match key.strip_prefix(COPY) {
            Some(key) => batch.put_cf(meta, key, value),
            None => break,
        }
    }
    Ok(db.write(batch)?)
}
