//! Upkeep in the background: the watermark's file, recovery from a full disk, merging of small tables, and the last save.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::disk::{COLUMNS, NEIGHBOURS, release, set_aside};
use crate::error::{Error, Result};
use crate::state::{columns, watermark};
use crate::write::Core;

impl Core {
    /// Notes what was acknowledged, if it was not noted yet; `true`: it was not.
    pub(crate) fn note_if_behind(&self) -> Result<bool> {
        let accepted = self.accepted();
        let is_behind = self.noted.load(Ordering::Relaxed) != accepted;
        if is_behind {
            self.check_place()?;
            watermark::note(&self.folder, self.catalog.database(), accepted)?;
            self.noted.store(accepted, Ordering::Relaxed);
        }
        Ok(is_behind)
    }

    /// Makes good what a full disk did, once there is room: writes are taken again, space is set aside, segments that nobody names are
    /// removed. Without trouble it costs one look for a file.
    pub(crate) fn heal(&self) -> Result<()> {
        if self.catalog.is_read_only() {
            return Ok(());
        }
        if self.commits.poison().is_some() {
            // Whoever commits holds one of these.
            let _no_write = self.writer.lock();
            let _no_acceptance = self.waitlist.lock();
            if !self.commits.heal() {
                return Ok(());
            }
            self.signal.notify();
        }
        let unnamed = std::mem::take(&mut *self.unnamed.lock());
        if !unnamed.is_empty() {
            // The next opening removes what stays.
            let _stays = self.remove_segments(unnamed, "orphan");
        }
        set_aside(&self.folder);
        self.catalog.use_room()
    }

    /// Merges the catalog's small tables if there are many, at first and after every few changes; RocksDB never does. `false`:
    /// there is nothing to do now.
    pub(crate) fn merge_tables(&self) -> Result<bool> {
        /// Changes after which there may be more tables.
        const CHANGES: u64 = 100_000;
        let changes = self.catalog.changes();
        let mut next_look = self.next_look.lock();
        if changes >= *next_look {
            *next_look = changes + CHANGES;
            self.catalog.merge_small_tables()?;
        }
        Ok(false)
    }

    /// Saves what makes the next opening fast. Call it when nothing writes any more.
    ///
    /// A log of a few MiB stays for the next opening to read: a table for each family and session would be many tables. Where the disk
    /// is too full for tables or for the columns, they are left out, and the next opening takes longer.
    ///
    /// # Errors
    /// `Displaced`: the folder that was opened is not at its path any more, and nothing was written; why the database takes no more
    /// writes; `Io`. Nothing acknowledged is lost.
    pub(crate) fn save(&self) -> Result<()> {
        if self.catalog.is_read_only() {
            return Ok(());
        }
        self.check_place()?;
        self.commits.refuse()?;
        // Whether or not it is behind: a crash may have left half of one.
        let note = || watermark::note(&self.folder, self.catalog.database(), self.accepted());
        match note() {
            Err(error) if error.is_disk_full() && release(&self.folder) => note()?,
            noted => noted?,
        }
        if self.catalog.has_much_log() {
            unless_full(self.catalog.flush())?;
            self.catalog.merge_small_tables()?;
        }
        let saved = columns::save(&self.folder, self.catalog.database(), &self.current());
        if saved.as_ref().is_err_and(Error::is_disk_full) {
            // Those of an earlier state help nobody.
            self.folder.discard(COLUMNS)?;
        }
        let known = unless_full(saved.and_then(|check| self.catalog.know_columns(check)));
        let known = known.and_then(|()| self.save_neighbours());
        self.catalog.note_known();
        known
    }

    /// Saves the neighbour graph if one was computed. A full disk leaves it out: the next process computes it.
    pub(crate) fn save_neighbours(&self) -> Result<()> {
        // What a crash left of one; perhaps nothing is saved now.
        self.folder.discard(Path::new(NEIGHBOURS).with_extension("tmp"))?;
        let saved = self.current().derived.save(&self.folder, &self.catalog);
        if saved.as_ref().is_err_and(Error::is_disk_full) {
            self.folder.discard(NEIGHBOURS)?;
        }
        unless_full(saved)
    }
}

/// What a full disk leaves undone is done another time.
fn unless_full(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.is_disk_full() => Ok(()),
        outcome => outcome,
    }
}
