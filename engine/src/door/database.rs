//! A database: one folder, one writer, any number of readers.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::admin::scouting::before_opening;
use crate::background::Shared;
use crate::background::Worker;
use crate::catalog::Catalog;
use crate::disk::{
    CATALOG, Folder, Lock, Making, Record, What, free_bytes, is_backup, look_at_database, must_fit, only_read,
    refuse_unfinished, release, set_aside, too_full,
};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Operation, Receipt};
use crate::options::{OpenOptions, Options};
use crate::ports::Propose;
use crate::process::leaving::inside_slow;
use crate::process::pool;
use crate::process::room;
use crate::progress::Watch;
use crate::report::SegmentInfo;
use crate::state::Snapshot;
use crate::write::{Core, Deferral, Expect, refuse_unnamed};

/// The bytes that must be free for a new database: the reserve, the same amount besides, and the catalog's first files.
const NEW_BYTES: u64 = 16 << 20;
/// Bytes that must be free to open a database for writing.
const OPENING_BYTES: u64 = 1 << 20;

/// A database. Clones share it; it closes when the last clone and the last snapshot are gone.
///
/// **Threads.** Any thread may make any call, several at once, also from tasks of rayon's or another pool: no call depends on its
/// caller's pool, and none runs other tasks while it waits. Calls block; in asynchronous code make them where blocking is allowed
/// (`tokio::task::spawn_blocking`).
///
/// **Callbacks** (a port of [`Ports`](crate::Ports), a [`Reembed`](crate::model::Reembed), a progress callback, a [`Propose`]) may call
/// the database for anything. A call that would wait for the callback itself is refused at once (`Reentrant`): writes and the
/// like by a `Propose`, and by callbacks during the last round of a model change. A callback must not wait for other threads that
/// write: during a model change those threads are refused after a minute (`Locked`); during a `Propose` they wait for its end.
///
/// **A fork** of the process has no threads of the database: there every call is refused (`Forked`), and nothing is closed or saved.
///
/// **The end of the process.** `main` may return, and `exit` may be called, while any thread is in a call. Such a call does not
/// return; a commit that has started is finished, and the database is saved as by a close. `exit` waits for a call into RocksDB
/// or a network for 10 seconds at most; then the process ends with the same code, without running destructors of C++ objects.
///
/// ```
/// # fn main() -> cairn::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// use cairn::{Database, Options, Put, Query, Rerank, SearchRequest};
///
/// let database = Database::create(&folder.path().join("places"), Options::for_vectors(2))?;
/// // Both views of the tower are labelled; the images to search have no labels.
/// database.write(vec![
///     Put::new("outside", [1.0, 0.0]).label("tower").into(),
///     Put::new("inside", [0.0, 1.0]).label("tower").into(),
///     Put::new("a", [0.9, 0.1]).into(),
///     Put::new("b", [0.1, 0.9]).into(),
/// ])?;
/// let request = SearchRequest::new().depth(2).rerank(Rerank::new().k(1));
/// let answers = database.snapshot().search(&request, &[Query::new([1.0, 0.05])])?;
/// assert_eq!(answers[0].prediction.as_ref().map(|vote| vote.instance.as_str()), Some("tower"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Database {
    pub(crate) shared: Arc<Shared>,
}

impl Database {
    /// Creates a database in a folder that does not exist, is empty, or has an interrupted creation.
    ///
    /// # Errors
    /// `AlreadyExists`: the folder is not empty; `Locked`: another process is creating it; `Invalid`: an option is out of range;
    /// `DiskFull`: less than 16 MiB are free, and nothing is left; `Io`: the same call starts over.
    pub fn create(folder: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::create_with_files(folder, options, &[])
    }

    /// [`Database::create`] with names and bytes that the database keeps for its model, in every backup
    /// ([`Snapshot::model_file`](crate::Snapshot::model_file)): the network itself, where nobody else has it. They are stored in this
    /// order, each in a transaction, so a file of more than a few megabytes is given in parts.
    ///
    /// # Errors
    /// As [`Database::create`].
    pub fn create_with_files(folder: impl AsRef<Path>, options: Options, files: &[(String, Bytes)]) -> Result<Self> {
        let folder = folder.as_ref();
        options.check()?;
        room::must_be_enough()?;
        // Before there is anything: what does not fit leaves nothing.
        let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
        let bytes: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        must_fit(&Folder::open(there)?, "a new database", NEW_BYTES + bytes)?;
        let making = Making::begin(folder, What::Creation)?;
        let folder = making.folder().clone();
        let lock = taken(&folder)?;
        Catalog::create(making.catalog().clone(), options, files)?;
        making.finish()?;
        let catalog = Catalog::open(&folder, lock, &OpenOptions::new())?;
        catalog.vouch(&folder);
        let (core, worker) = Self::start(&folder, catalog, &OpenOptions::new())?;
        Ok(Self::sharing(&folder, core, Some(worker), &OpenOptions::new()))
    }

    /// Whether a folder looks like a database's: it has a catalog. Opening it can fail all the same.
    pub fn is_at(folder: impl AsRef<Path>) -> bool {
        folder.as_ref().join(CATALOG).join("CURRENT").is_file()
    }

    /// Opens the database of that folder, or creates it with these options if there is none. An existing one keeps the options that
    /// it was created with; only dimension and model are compared. After a change of the model the earlier options do not fit any more:
    /// then open it with [`Database::open`], and read [`Database::options`].
    ///
    /// # Errors
    /// `Mismatch`: it exists, with descriptors of another dimension or model; as [`Database::open`] and [`Database::create`].
    pub fn open_or_create(folder: impl AsRef<Path>, options: Options) -> Result<Self> {
        let folder = folder.as_ref();
        let database = match Self::open(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => match Self::create(folder, options.clone()) {
                // Another process was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::open(folder)?,
                created => return created,
            },
            opened => opened?,
        };
        let found = database.options();
        if found.dimension != options.dimension || found.fingerprint() != options.fingerprint() {
            let word = |options: &Options| {
                let model = options.model.as_ref().map_or("no model", |model| &model.name);
                format!("dimension {} and {model}", options.dimension)
            };
            let what = format!("{} has descriptors of {}, not of {}", folder.display(), word(&found), word(&options));
            return Err(
                Error::new(ErrorKind::Mismatch, what).help(
                    "open another folder, or pass the options of this one; if its model was changed, open it with Database::open",
                )
            );
        }
        Ok(database)
    }

    /// Opens a database: it checks and maps segments, and reads rows newer than the segments into memory.
    ///
    /// # Errors
    /// `NotFound`; `Locked` with the process id of the holder; `ReadOnly`: the folder is a backup; `Unfinished`: its creation or
    /// its restore was interrupted; `Corrupt` (also if acknowledged writes are lost); `Invalid`: one of the database's own names
    /// is a link, a pipe, ..; `DiskFull`: not even 1 MiB is free besides the reserve; `TooManyFiles`; `Io`.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(folder, &OpenOptions::new())
    }

    /// [`Database::open`] with other limits on the resources of the process.
    ///
    /// # Errors
    /// As [`Database::open`]; `Invalid`: an option is out of its range.
    pub fn open_with(folder: impl AsRef<Path>, opening: &OpenOptions) -> Result<Self> {
        let (folder, core, worker) = Self::load(folder.as_ref(), opening)?;
        Ok(Self::sharing(&folder, core, Some(worker), opening))
    }

    /// Opens a database for writing.
    fn load(folder: &Path, opening: &OpenOptions) -> Result<(Folder, Arc<Core>, Worker)> {
        obey(opening)?;
        let folder = Self::writable_folder(folder)?;
        span!("open", folder = %folder.path().display());
        let open = || {
            let lock = taken(&folder)?;
            let may_be_known = before_opening(&folder)?;
            let catalog = Catalog::open(&folder, lock, opening)?;
            if may_be_known {
                catalog.vouch(&folder);
            } else {
                Record::forget_half_a_note(&folder);
            }
            Self::start(&folder, catalog, opening)
        };
        let opened = match open() {
            // What was set aside for a full disk is enough for an opening.
            Err(error) if error.is_disk_full() && release(&folder) => open(),
            opened => opened,
        };
        let opened = opened.map_err(|error| unless_replaced(&folder, error));
        let (core, worker) = opened.map_err(|error| match free_bytes(&folder) {
            Some(free) if error.is_disk_full() && free < OPENING_BYTES => {
                too_full(&folder, "opening the database for writing", OPENING_BYTES, free).because(error)
            }
            _ => error,
        })?;
        Ok((folder, core, worker))
    }

    /// Opens a database or a backup for reading, beside a process that may be writing it. It shows what was durable at this
    /// moment; [`Database::refresh`] shows later writes. It changes nothing in the folder and starts no thread.
    ///
    /// # Errors
    /// As [`Database::open`], except that a backup can be opened; `Locked` only if the writer was too busy for a consistent view;
    /// `OlderFormat`: it must be opened for writing once.
    pub fn open_read_only(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_read_only_with(folder, &OpenOptions::new())
    }

    /// [`Database::open_read_only`] with other limits on the resources of the process.
    ///
    /// # Errors
    /// As [`Database::open_read_only`]; `Invalid`: an option is out of its range.
    pub fn open_read_only_with(folder: impl AsRef<Path>, opening: &OpenOptions) -> Result<Self> {
        obey(opening)?;
        let folder = Self::opened_folder(folder.as_ref())?;
        Ok(Self::sharing(&folder, Self::load_beside(&folder, opening)?, None, opening))
    }

    /// Opens a database or a backup for reading.
    fn load_beside(folder: &Folder, opening: &OpenOptions) -> Result<Arc<Core>> {
        let is_backup = is_backup(folder)?;
        let loaded = before_opening(folder).and_then(|_may_be_known| Core::load_beside(folder, opening));
        let loaded = loaded.map_err(|error| unless_replaced(folder, error)).map_err(|error| match error.kind() {
            ErrorKind::Corrupt if is_backup => Error::new(ErrorKind::Corrupt, error.message())
                .help("the backup is damaged: use another one; cairn backup --verify BACKUP names the files"),
            _ => error,
        })?;
        loaded.set_build_threads(opening.build_threads);
        Ok(Arc::new(loaded))
    }

    /// Reopens for writing a database that is open for reading: from now on it shows the present state. Earlier snapshots do not
    /// change. A database that is open for writing stays so.
    ///
    /// # Errors
    /// As [`Database::open`]; `Displaced`: another folder is at its path now. Then it stays open for reading.
    pub fn reopen_for_writing(&self) -> Result<()> {
        // Before it waits: a change of models may be what calls.
        if !self.is_read_only() {
            return Ok(());
        }
        let _alone = self.shared.epochs.lock();
        if !self.is_read_only() {
            return Ok(());
        }
        let (folder, core, worker) = Self::load(self.folder(), &self.shared.opening)?;
        self.must_be_ours(&folder)?;
        self.shared.take_over(core, worker);
        Ok(())
    }

    /// Lets a database that is open for reading show what is durable now; one that is open for writing always does. Earlier
    /// snapshots do not change. Returns the state that it shows from now on.
    ///
    /// Complexity: as [`Database::open_read_only`].
    ///
    /// # Errors
    /// As [`Database::open_read_only`]; `Displaced`: another folder is at its path now. Then it shows the earlier state.
    pub fn refresh(&self) -> Result<Snapshot> {
        if self.is_read_only() {
            let _alone = self.shared.epochs.lock();
            if self.is_read_only() {
                let folder = Self::opened_folder(self.folder())?;
                self.must_be_ours(&folder)?;
                self.shared.show(Self::load_beside(&folder, &self.shared.opening)?);
            }
        }
        Ok(self.snapshot())
    }

    /// # Errors
    /// `Displaced`: the folder is not the one that was opened.
    fn must_be_ours(&self, folder: &Folder) -> Result<()> {
        if folder.id()? == self.shared.folder.id()? {
            return Ok(());
        }
        let what = format!("{} was moved, deleted or replaced during a read", self.folder().display());
        Err(Error::new(ErrorKind::Displaced, what).help("open it again"))
    }

    /// Whether it is open for reading only.
    pub fn is_read_only(&self) -> bool {
        self.shared.core().catalog().is_read_only()
    }

    /// Whether a folder is a backup: it has a list of a backup's files. A backup can only be opened for reading.
    pub fn is_backup(folder: impl AsRef<Path>) -> bool {
        Folder::open(folder.as_ref()).and_then(|folder| is_backup(&folder)).unwrap_or(false)
    }

    fn sharing(folder: &Folder, core: Arc<Core>, worker: Option<Worker>, opening: &OpenOptions) -> Self {
        Self { shared: Arc::new(Shared::new(folder.clone(), core, worker, opening.clone())) }
    }

    /// The folder of an existing database that may be written.
    pub(super) fn writable_folder(folder: &Path) -> Result<Folder> {
        let folder = Self::opened_folder(folder)?;
        if is_backup(&folder)? { Err(only_read(&folder)) } else { Ok(folder) }
    }

    /// The folder of a finished database or backup, whose own names are all plain files or folders.
    pub(super) fn opened_folder(folder: &Path) -> Result<Folder> {
        let missing = || {
            Error::not_found(format!("there is no database in {}", folder.display()))
                .help("create one there first: for photos with a model, for your own vectors with their dimension")
        };
        if folder.is_file() {
            let what = format!("{} is a file, and a database is a folder", folder.display());
            return Err(Error::not_found(what).help("name the folder of a database"));
        }
        if !folder.is_dir() {
            return Err(missing());
        }
        let folder = Folder::open(folder)?;
        refuse_unfinished(&folder)?;
        look_at_database(&folder)?;
        if !Catalog::exists(&folder)? {
            return Err(missing());
        }
        room::must_be_enough()?;
        Ok(folder)
    }

    fn start(folder: &Folder, catalog: Catalog, opening: &OpenOptions) -> Result<(Arc<Core>, Worker)> {
        let core = Arc::new(Core::load(folder, catalog)?);
        core.set_build_threads(opening.build_threads);
        // Before anything is written: on a nearly full disk it takes all there is for a moment.
        set_aside(folder);
        let worker = Worker::start(&core).map_err(|error| Error::io(folder.path(), error))?;
        event!(sequence = core.current().sequence, "the database is open");
        Ok((core, worker))
    }

    /// Closes the database for all its clones: waits for writers and for background work, saves what makes the next opening fast,
    /// and reports whether that succeeded; dropping the last clone does the same without a report. Later writes through clones
    /// are refused (`Invalid`). Snapshots and clones can still be read; the folder is released when the last of them is dropped.
    ///
    /// # Errors
    /// Why the database accepts no more writes, if so; `Io`. Acknowledged writes are stored in any case.
    pub fn close(self) -> Result<()> {
        self.shared.close()
    }

    /// The options that it was created with; model and dimension are the active ones.
    pub fn options(&self) -> Options {
        self.shared.core().catalog().options().clone()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.shared.folder.path()
    }

    /// Lets a device propose neighbours during writes; results do not change, only their speed.
    pub fn set_proposer(&self, proposer: Option<Arc<dyn Propose>>) {
        // Held until it is set: a choice made while another model becomes active must not go to the earlier one.
        self.shared.with_core(|core| core.set_proposer(proposer));
    }

    /// Chooses which writes may return before their predictions are updated; the default is [`Deferral::Automatic`].
    pub fn set_deferral(&self, deferral: Deferral) {
        // As for the proposer.
        self.shared.with_core(|core| core.set_deferral(deferral));
    }

    /// [`history_problems`](crate::hostile::history_problems).
    #[cfg(feature = "hostile")]
    pub(crate) fn history_problems(&self) -> Result<Vec<String>> {
        self.shared.core().history_problems()
    }

    /// The present state of the database. Never waits for a write in progress.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.core().snapshot()
    }

    /// Applies a transaction: all operations and every prediction that they change become durable together, or nothing does. A
    /// put replaces the image with its key, as in any key-value store; the statement PUT asks first.
    ///
    /// Writers wait for each other. A transaction that would change very many predictions is acknowledged once it is in the log,
    /// and applied in the background ([`Receipt::deferred`], [`Database::set_deferral`]).
    ///
    /// Complexity: `O(index * added train + train * added index)` 8-bit products, plus the lists of the images that voters were taken
    /// from.
    ///
    /// Without operations there is no transaction: the receipt has the number of the last one.
    ///
    /// # Errors
    /// The first operation that is not valid; `Mismatch`: descriptors for a database whose model embeds photos
    /// ([`ModelInfo::settings`](crate::model::ModelInfo)) or that changed its model since it was created, without the model that made
    /// them ([`Expect::Model`]); `Reentrant`; `Io`.
    /// Then nothing has changed.
    pub fn write(&self, operations: impl IntoIterator<Item = Operation>) -> Result<Receipt> {
        let operations: Vec<Operation> = operations.into_iter().collect();
        let (_no_flip, core) = self.shared.enter()?;
        refuse_unnamed(core.catalog(), &operations)?;
        self.write_now(&core, operations)
    }

    /// [`Database::write`] if all conditions hold for the very state that it changes: nothing comes between the check and the
    /// write. It is deferred only if the model is the only condition; otherwise deferred writes are applied first.
    ///
    /// ```
    /// # fn main() -> cairn::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// use cairn::{Database, ErrorKind, Expect, Operation, Options, Put};
    ///
    /// let database = Database::create(folder.path().join("db"), Options::for_vectors(2))?;
    /// let put = || [Put::new("a", [1.0, 0.0]).into()];
    /// database.write_if([Expect::absent("a")], put())?;
    /// let second = database.write_if([Expect::absent("a")], put());
    /// assert_eq!(second.unwrap_err().kind(), ErrorKind::Conflict);
    /// // Only if it has not changed since.
    /// let seen = database.snapshot().record("a")?.map_or(0, |record| record.version);
    /// let label = Operation::Label { key: "a".to_owned(), label: "tower".to_owned() };
    /// database.write_if([Expect::version("a", seen)], [label])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Conflict`: a condition does not hold; `Mismatch`: another model is active; the errors of [`Database::write`]. Then
    /// nothing has changed.
    pub fn write_if(
        &self,
        expected: impl IntoIterator<Item = Expect>,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Result<Receipt> {
        let (expected, operations): (Vec<Expect>, Vec<Operation>) =
            (expected.into_iter().collect(), operations.into_iter().collect());
        // Until the write is acknowledged no other model becomes active.
        let (_no_flip, core) = self.shared.enter()?;
        let (models, others): (Vec<Expect>, Vec<Expect>) =
            expected.into_iter().partition(|one| matches!(one, Expect::Model(_)));
        if models.is_empty() {
            refuse_unnamed(core.catalog(), &operations)?;
        } else {
            let state = core.current();
            models.iter().try_for_each(|model| model.check(&state))?;
        }
        if others.is_empty() { self.write_now(&core, operations) } else { core.write_if(&others, operations) }
    }

    /// With the gate held.
    fn write_now(&self, core: &Core, operations: Vec<Operation>) -> Result<Receipt> {
        let receipt = core.write(operations)?;
        if receipt.deferred {
            self.shared.ages.note(receipt.sequence, self.snapshot().sequence());
        }
        Ok(receipt)
    }

    /// Applies all deferred writes and returns the state after them.
    ///
    /// # Errors
    /// `ReadOnly`: writes are deferred, and the database is open for reading only ([`Database::freshest`]); the errors of the
    /// writes.
    pub fn apply_pending(&self) -> Result<Snapshot> {
        self.apply_pending_by(None)
    }

    /// [`Database::apply_pending`] that `watch` may end. Writes applied before stay applied, the others stay deferred.
    ///
    /// # Errors
    /// As [`Database::apply_pending`]; `Cancelled`.
    pub fn apply_pending_watched(&self, watch: &dyn Watch) -> Result<Snapshot> {
        self.apply_pending_by(Some(watch))
    }

    pub(super) fn apply_pending_by(&self, watch: Option<&dyn Watch>) -> Result<Snapshot> {
        self.see_writer()?;
        self.shared.core().reach(self.shared.core().accepted(), watch)
    }

    /// A database that is open for reading only sees what its writer has written by now.
    pub(super) fn see_writer(&self) -> Result<()> {
        if self.is_read_only() {
            self.refresh()?;
        }
        Ok(())
    }

    /// The freshest available state: [`Database::apply_pending`] if the database is open for writing, [`Database::refresh`] if it is
    /// open for reading only. [`Snapshot::lag`] is the number of writes that are deferred and that it does not see.
    ///
    /// # Errors
    /// The errors of the writes.
    pub fn freshest(&self) -> Result<Snapshot> {
        if self.is_read_only() { self.refresh() } else { self.apply_pending() }
    }

    /// The state once readers see write number `sequence`; earlier deferred writes are applied now. A number that a snapshot or
    /// an answer has is that of an acknowledged write. If the database is open for reading only, it looks at what its writer has
    /// written if its own state does not have that number.
    ///
    /// # Errors
    /// `Invalid`: no such write was acknowledged yet; `ReadOnly`: it is deferred, and the database is open for reading only; the
    /// errors of the writes.
    pub fn wait_for(&self, sequence: u64) -> Result<Snapshot> {
        self.wait_for_by(sequence, None)
    }

    pub(super) fn wait_for_by(&self, sequence: u64, watch: Option<&dyn Watch>) -> Result<Snapshot> {
        if sequence > self.snapshot().sequence() {
            self.see_writer()?;
        }
        // Without the gate: nothing waits behind one in whose place another came, and its states stay as they are.
        self.shared.core().reach(sequence, watch)
    }

    /// Writes the rows newer than the segments into segments; `false`: there were none. The background does this itself as rows
    /// arrive.
    ///
    /// # Errors
    /// `Io`; then nothing has changed.
    pub fn flush(&self) -> Result<bool> {
        let (_no_flip, core) = self.shared.enter_upkeep()?;
        core.flush()
    }

    /// The segments, train before index, in the order of their rows.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.snapshot().segments()
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database at {} of sequence {}", self.folder().display(), self.snapshot().sequence())
    }
}

/// An error in a folder that is moved, deleted or replaced during the opening tells nothing about its present content.
fn unless_replaced(folder: &Folder, error: Error) -> Error {
    if folder.id().is_ok_and(|id| folder.id_at_path() == Some(id)) {
        return error;
    }
    let what = format!("{} was moved, deleted or replaced during the opening", folder.path().display());
    Error::new(ErrorKind::Displaced, what).help("open it again").because(error)
}

/// # Errors
/// `Invalid`: an option is out of its range, or the process already computes with another number of threads.
fn obey(opening: &OpenOptions) -> Result<()> {
    opening.check()?;
    opening.search_threads.map_or(Ok(()), pool::set_threads)
}

/// The lock of a folder. In an exiting process nobody gets it: a database that is being saved may still hold it.
fn taken(folder: &Folder) -> Result<Lock> {
    let _inside = inside_slow();
    Lock::take(folder)
}
