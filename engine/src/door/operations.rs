//! Care of a database: checks, compaction, the saved neighbour graph, backups, repairs.

use std::path::Path;
use std::sync::Arc;

use cairndb_query::DEFAULT_DEGREE;

use super::database::Database;
use super::within::Within;
use crate::admin::scouting::before_care;
use crate::admin::{backup, repair};
use crate::catalog::Look;
use crate::disk::{Folder, Record, release};
use crate::error::Result;
use crate::process::scout::has_scout;
use crate::progress::{Interrupt, Watch};
use crate::report::{CheckReport, Copied, Repaired};

impl Database {
    /// Checks that the stored data is consistent; with `deep`, also that every list, floor and prediction equals a recompute and
    /// that every byte of the catalog and the segments is intact. Reads and writes continue meanwhile.
    ///
    /// Complexity: reads records, lists and postings once; `deep`: every file, photos included, and `O(index * train)` similarities.
    ///
    /// A reader beside a process that writes checks the state that it holds, whatever that process merged away since.
    ///
    /// # Errors
    /// When the folder cannot be listed at all; `Locked`: there are more tables than this process may have open, and another
    /// process merged some away; `Displaced`: the folder was moved, deleted or replaced; `Forked`. Problems are in the report.
    pub fn check(&self, deep: bool) -> Result<CheckReport> {
        self.check_by(deep, None)
    }

    /// [`Database::check`] that `watch` may end; the watch may call the database for anything.
    ///
    /// # Errors
    /// As [`Database::check`]; `Cancelled`.
    pub fn check_watched(&self, deep: bool, watch: &dyn Watch) -> Result<CheckReport> {
        self.check_by(deep, Some(watch))
    }

    pub(super) fn check_by(&self, deep: bool, watch: Option<&dyn Watch>) -> Result<CheckReport> {
        // Its files are read again where its path leads.
        self.shared.core().check_place()?;
        before_care(&self.shared.folder, if deep { Look::All } else { Look::Open })?;
        // Without the gate: it looks at one state, which stays as it is.
        self.shared.core().check(deep, &Interrupt::by(watch))
    }

    /// Merges each role's segments into one without dead rows, and frees the catalog's space of images that were replaced or
    /// deleted. The background does both itself as rows arrive, later and in parts; call this for the best search speed before a
    /// long time of reading, and for photos that must be erased now. Data that a snapshot holds stays.
    ///
    /// Complexity: reads and writes every row of the segments and of the catalog once.
    ///
    /// # Errors
    /// `Io`; then nothing is lost.
    pub fn compact(&self) -> Result<()> {
        self.compact_by(None)
    }

    /// [`Database::compact`] that `watch` may end: between two parts, and during the construction of a segment's graph. The watch
    /// may read; calls that would wait for the compaction are refused (`Reentrant`). Finished parts stay.
    ///
    /// # Errors
    /// As [`Database::compact`]; `Cancelled`.
    pub fn compact_watched(&self, watch: &dyn Watch) -> Result<()> {
        self.compact_by(Some(watch))
    }

    pub(super) fn compact_by(&self, watch: Option<&dyn Watch>) -> Result<()> {
        let (no_flip, core) = self.shared.enter_upkeep()?;
        let within = Within::of(&core, watch);
        let interrupt = &Interrupt::by(within.watch());
        // A deletion that waits is meant, too.
        core.reach(core.accepted(), within.watch())?;
        core.compact(interrupt)?;
        // Behind the gate a flip would wait for it.
        drop(no_flip);
        core.compact_catalog(interrupt)
    }

    /// Computes the neighbour graph of the index images, which AUGMENT and methods that order images need, and saves it for later
    /// processes; returns the number of images. Searches compute it themselves, and a database that is closed saves what they computed.
    /// It takes nothing from an earlier graph, so it replaces one in which [`Database::check`] found something.
    ///
    /// Complexity: `O(index^2)` 8-bit products. Writers and readers continue meanwhile.
    ///
    /// # Errors
    /// `ReadOnly`; `Io`, and no file counts then.
    pub fn save_neighbours(&self) -> Result<usize> {
        self.save_neighbours_by(None)
    }

    /// [`Database::save_neighbours`] that `watch` may end.
    ///
    /// # Errors
    /// As [`Database::save_neighbours`]; `Cancelled`.
    pub fn save_neighbours_watched(&self, watch: &dyn Watch) -> Result<usize> {
        self.save_neighbours_by(Some(watch))
    }

    /// Refuses to save the neighbour graph where nothing may be written.
    ///
    /// # Errors
    /// `ReadOnly`.
    pub(super) fn must_save_neighbours(&self) -> Result<()> {
        self.shared.core().refuse_when_read_only().map_err(|error| {
            error.told(|why| {
                format!("{why}, so the neighbour graph cannot be saved; searches here compute it for themselves")
            })
        })
    }

    pub(super) fn save_neighbours_by(&self, watch: Option<&dyn Watch>) -> Result<usize> {
        self.must_save_neighbours()?;
        let core = {
            let (_no_flip, core) = self.shared.enter_upkeep()?;
            core
        };
        let state = core.current();
        let within = Within::of(&core, watch);
        // Behind the gate a flip would wait for it.
        state.derived.compute(&state.index, DEFAULT_DEGREE - 1, &Interrupt::by(within.watch()))?;
        let (_no_flip, now) = self.shared.enter_upkeep()?;
        // Of a model that is active no more nobody needs it.
        if Arc::ptr_eq(&core, &now) {
            core.save_neighbours()?;
        }
        Ok(state.index.live_rows())
    }

    /// Copies the database, as it is at one moment, into a folder that does not exist, is empty, or has an interrupted backup.
    /// Writes continue meanwhile, even those of another process if this one only reads: then the copy is what is durable at the
    /// moment of the call, whatever this process sees, and the source folder does not change.
    ///
    /// On the same file system the copies are hard links, which protect against mistakes and lost folders, not against a failing
    /// disk: back up to another disk for that.
    ///
    /// # Errors
    /// `AlreadyExists`; `Invalid`: the folder would lie inside the database; `Locked`: another process makes the same backup; `Io`,
    /// after which the same call starts over.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<Copied> {
        self.backup_by(to.as_ref(), None)
    }

    /// [`Database::backup`] that `watch` may end. The watch may read; calls that would wait for the backup are refused
    /// (`Reentrant`).
    ///
    /// # Errors
    /// As [`Database::backup`]; `Cancelled`: the same call starts over.
    pub fn backup_watched(&self, to: impl AsRef<Path>, watch: &dyn Watch) -> Result<Copied> {
        self.backup_by(to.as_ref(), Some(watch))
    }

    pub(super) fn backup_by(&self, to: &Path, watch: Option<&dyn Watch>) -> Result<Copied> {
        let (_no_flip, core) = self.shared.enter_upkeep()?;
        let within = Within::of(&core, watch);
        core.backup(to, &Interrupt::by(within.watch()))
    }

    /// Reads every file of a backup and compares it with its checksum.
    ///
    /// # Errors
    /// `NotFound`: no backup; `Unfinished`; `Corrupt`: a file differs, or does not belong to the backup.
    pub fn verify_backup(folder: impl AsRef<Path>) -> Result<Copied> {
        Self::verify_backup_by(folder.as_ref(), None)
    }

    /// [`Database::verify_backup`] that `watch` may end.
    ///
    /// # Errors
    /// As [`Database::verify_backup`]; `Cancelled`.
    pub fn verify_backup_watched(folder: impl AsRef<Path>, watch: &dyn Watch) -> Result<Copied> {
        Self::verify_backup_by(folder.as_ref(), Some(watch))
    }

    pub(super) fn verify_backup_by(folder: &Path, watch: Option<&dyn Watch>) -> Result<Copied> {
        backup::verify(folder, &|backup| before_care(backup, Look::All), &Interrupt::by(watch))
    }

    /// Verifies a backup and copies it into a folder that does not exist, is empty, or has an interrupted restore; then that
    /// folder is a database.
    ///
    /// # Errors
    /// As [`Database::verify_backup`], except that files which do not belong to the backup are ignored; `AlreadyExists`;
    /// `Locked`;
    /// `Io`, after which the same call starts over.
    pub fn restore_backup(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Copied> {
        Self::restore_backup_by(from.as_ref(), to.as_ref(), None)
    }

    /// [`Database::restore_backup`] that `watch` may end.
    ///
    /// # Errors
    /// As [`Database::restore_backup`]; `Cancelled`: the same call starts over.
    pub fn restore_backup_watched(from: impl AsRef<Path>, to: impl AsRef<Path>, watch: &dyn Watch) -> Result<Copied> {
        Self::restore_backup_by(from.as_ref(), to.as_ref(), Some(watch))
    }

    pub(super) fn restore_backup_by(from: &Path, to: &Path, watch: Option<&dyn Watch>) -> Result<Copied> {
        let judge = |backup: &Folder| before_care(backup, Look::All);
        let restored = backup::restore(from, to, &judge, &Interrupt::by(watch))?;
        if has_scout() {
            let folder = Folder::open(to)?;
            // Without it the next opening takes longer.
            let _slower = Record::now(&folder).and_then(|record| record.note(&folder));
        }
        Ok(restored)
    }

    /// Makes a database usable again that cannot be opened, or whose check found problems, with every image that can still be
    /// read. Returns what it found, did and lost. Make a copy of the folder first.
    ///
    /// # Errors
    /// `Locked`; `Unfinished`; `ReadOnly`: the folder is a backup; `Invalid`: one of the database's own names is a link, a pipe,
    /// ..; `Corrupt` if not even the options can be read, or if it would drop more images than it keeps
    /// ([`Database::repair_at_any_loss`]); then nothing has changed; `Io`.
    pub fn repair(folder: impl AsRef<Path>) -> Result<Repaired> {
        Self::repaired(folder.as_ref(), false, None)
    }

    /// [`Database::repair`], even if it drops more images than it keeps.
    ///
    /// # Errors
    /// As [`Database::repair`].
    pub fn repair_at_any_loss(folder: impl AsRef<Path>) -> Result<Repaired> {
        Self::repaired(folder.as_ref(), true, None)
    }

    /// [`Database::repair`], or with `at_any_loss` [`Database::repair_at_any_loss`], that `watch` may end.
    ///
    /// # Errors
    /// As [`Database::repair`]; `Cancelled`: the same call starts over, and if the repair had started to change something, no
    /// other call opens the database before that.
    pub fn repair_watched(folder: impl AsRef<Path>, at_any_loss: bool, watch: &dyn Watch) -> Result<Repaired> {
        Self::repaired(folder.as_ref(), at_any_loss, Some(watch))
    }

    fn repaired(folder: &Path, at_any_loss: bool, watch: Option<&dyn Watch>) -> Result<Repaired> {
        let folder = &Self::writable_folder(folder)?;
        let look_first = || before_care(folder, Look::Repair).map(|()| has_scout());
        let interrupt = &Interrupt::by(watch);
        let repair = || repair::repair(folder, at_any_loss, &look_first, interrupt);
        match repair() {
            // What was set aside for a full disk may be enough for it.
            Err(error) if error.is_disk_full() && release(folder) => repair(),
            repaired => repaired,
        }
    }
}
