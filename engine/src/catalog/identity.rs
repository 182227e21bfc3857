//! The identity of a database: its options, its identifier, its spaces and the active one. Nothing else can be read without these
//! few entries of `meta`, so each is stored a second time, in another family and thereby in another table.

use std::collections::BTreeMap;

use prost::Message;
use rocksdb::{DB, IteratorMode, WriteBatch};

use super::messages::OptionsMessage;
use super::{Batch, Catalog, DATABASE, Family, OPTIONS};
use crate::error::{Error, Result};
use crate::process::leaving::inside;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

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
    /// Makes the second copies what they should be: of a database that was written by a build that made none, or lost them.
    pub(crate) fn copy_identity(&self) -> Result<()> {
        let _inside = inside();
        let db = &self.store.db;
        let own = stated(db)?;
        // Copies that cannot be read are no reason not to open what they copy.
        let Some(copies) = copies(db).ok().filter(|copies| own != *copies) else { return Ok(()) };
        let mut batch = Batch::new(self);
        copies.keys().try_for_each(|key| batch.delete(Family::Jobs, &copy_of(key)))?;
        own.iter().try_for_each(|(key, value)| batch.put(Family::Jobs, &copy_of(key), value))?;
        batch.commit()
    }
}

/// Whether the second copies say what `meta` says.
///
/// # Errors
/// Entries that cannot be read.
pub(super) fn is_copied(db: &DB) -> Result<bool> {
    let _inside = inside();
    Ok(stated(db)? == copies(db)?)
}

/// Gives a catalog that lost what it is the second copies back; `all`: also where something is there, which may be outdated.
///
/// # Errors
/// `Corrupt`: neither can be read.
pub(super) fn restore(db: &DB, all: bool) -> Result<()> {
    let _inside = inside();
    let (mut own, copies) = (stated(db)?, copies(db)?);
    if copies.contains_key(OPTIONS) && (all || !own.contains_key(OPTIONS) || !own.contains_key(DATABASE)) {
        let meta = super::handle(db, Family::Meta)?;
        let mut batch = WriteBatch::default();
        if all {
            own.keys().for_each(|key| batch.delete_cf(meta, key));
        }
        let missing = |key: &Vec<u8>| all || !own.contains_key(key);
        copies.iter().filter(|(key, _)| missing(key)).for_each(|(key, value)| batch.put_cf(meta, key, value));
        db.write(batch).map_err(Error::of_catalog)?;
        own = stated(db)?;
    }
    if own.contains_key(OPTIONS) {
        return Ok(());
    }
    Err(Error::corrupt("neither copy of the database's identity can be read in its catalog").help("restore a backup"))
}

/// What `meta` says of the database.
fn stated(db: &DB) -> Result<Entries> {
    let is_stated = |key: &[u8]| super::spaces::is_stated(key) || key == OPTIONS || key == DATABASE;
    let entries = db.iterator_cf(super::handle(db, Family::Meta)?, IteratorMode::Start);
    let entries = entries.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())));
    let stated = entries.filter(|entry| entry.as_ref().map_or(true, |(key, _)| is_stated(key)));
    stated.collect::<Result<_, _>>().map_err(Error::of_catalog)
}

/// The second copies, by the keys of what they copy.
fn copies(db: &DB) -> Result<Entries> {
    let mut copies = Entries::new();
    for entry in db.prefix_iterator_cf(super::handle(db, Family::Jobs)?, COPY) {
        let (key, value) = entry.map_err(Error::of_catalog)?;
        match key.strip_prefix(COPY) {
            Some(key) => copies.insert(key.to_vec(), value.into_vec()),
            None => break,
        };
    }
    Ok(copies)
}
