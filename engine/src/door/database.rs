//! A database: one folder, one writer, any number of readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::staleness::Ages;
use crate::answer::{SegmentInfo, Status};
use crate::catalog::Catalog;
use crate::disk::{LOCK_FILE, Lock, catalog_folder, release, set_aside};
use crate::error::{Error, ErrorKind, Result};
use crate::motion::{Core, Deferral, Snapshot, Worker};
use crate::operation::{Operation, Receipt, Role};
use crate::options::Options;
use crate::ports::Propose;

/// A database. Clones share it; it closes when the last clone and the last snapshot are gone.
///
/// ```
/// # fn main() -> cairn::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// use cairn::{Database, Options, Put, Query, Rerank, SearchRequest};
///
/// let database = Database::create(&folder.path().join("places"), Options::for_vectors(2))?;
/// // Both views of the tower are labelled; what is searched has no labels.
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
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    folder: PathBuf,
    /// Of the active space; another one after a flip.
    core: RwLock<Arc<Core>>,
    /// Held for reading by everything that changes the database, for writing by a flip. Readers do not touch it.
    pub(super) gate: RwLock<()>,
    /// Held while another model is being put in force.
    pub(super) epochs: Mutex<()>,
    pub(super) ages: Ages,
    worker: Mutex<Option<Worker>>,
}

impl Shared {
    /// The running database of the active space.
    pub(super) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.core.read())
    }

    /// Lets another one answer from now on; its worker is started.
    pub(super) fn replace(&self, core: Arc<Core>) -> Result<()> {
        let worker = Worker::start(&core).map_err(|error| Error::io(&self.folder, error))?;
        *self.core.write() = core;
        *self.worker.lock() = Some(worker);
        Ok(())
    }

    /// The worker goes on where it was stopped.
    pub(super) fn restart_worker(&self) -> Result<()> {
        let core = self.core();
        core.resume();
        self.replace(core)
    }

    /// Stops the worker and waits for it; `false`: there was none.
    pub(super) fn stop_worker(&self) -> bool {
        self.worker.lock().take().is_some()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The worker first: what it still does is in what is saved.
        if self.stop_worker() {
            // Without the saved columns the next opening reads them from the catalog: slower, and nothing else.
            let _slower = self.core().save();
        }
    }
}

impl Database {
    /// Makes a database in a folder that does not exist or is empty.
    ///
    /// # Errors
    /// `AlreadyExists` when the folder holds something; `Invalid` for options out of range; `Io`.
    pub fn create(folder: &Path, options: Options) -> Result<Self> {
        options.check()?;
        let occupied = match std::fs::read_dir(folder) {
            // A lone lock file is what a creation that was cut short leaves.
            Ok(mut entries) => entries.any(|entry| entry.map_or(true, |entry| entry.file_name() != LOCK_FILE)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(Error::io(folder, error)),
        };
        if occupied {
            let what = if catalog_folder(folder).exists() { "already holds a database" } else { "is not empty" };
            return Err(Error::new(ErrorKind::AlreadyExists, format!("{} {what}", folder.display()))
                .help("choose another folder, or delete this one"));
        }
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let lock = Lock::take(folder)?;
        Self::start(folder, Catalog::create(&catalog_folder(folder), options, lock)?)
    }

    /// Opens a database: segments are checked and mapped, rows newer than the segments are read into memory.
    ///
    /// # Errors
    /// `NotFound`, `Locked` with the process id of the holder, `Corrupt` (also when acknowledged writes are gone), `Io`.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::must_exist(folder)?;
        let open = || Self::start(folder, Catalog::open(&catalog_folder(folder), Lock::take(folder)?)?);
        match open() {
            // What was set aside for a full disk is enough for an opening.
            Err(error) if error.is_disk_full() && release(folder) => open(),
            opened => opened,
        }
    }

    /// Opens a database for reading, beside a process that may be writing it. It shows what was durable at this moment; open it again
    /// for what came later.
    ///
    /// # Errors
    /// As [`Database::open`]; `Locked` only when the writer was too busy for a consistent look.
    pub fn open_read_only(folder: &Path) -> Result<Self> {
        Self::must_exist(folder)?;
        let core = Core::load(folder, Catalog::open_beside(&catalog_folder(folder))?)?;
        Ok(Self::sharing(folder, Arc::new(core), None))
    }

    fn sharing(folder: &Path, core: Arc<Core>, worker: Option<Worker>) -> Self {
        let shared = Shared {
            folder: folder.to_owned(),
            core: RwLock::new(core),
            gate: RwLock::default(),
            epochs: Mutex::default(),
            ages: Ages::default(),
            worker: Mutex::new(worker),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn must_exist(folder: &Path) -> Result<()> {
        if Catalog::exists(&catalog_folder(folder)) {
            return Ok(());
        }
        Err(Error::not_found(format!("there is no database in {}", folder.display()))
            .help("make one first: cairn create DB --model lite0-gem, or cairn create DB --dim N for your own vectors"))
    }

    fn start(folder: &Path, catalog: Catalog) -> Result<Self> {
        let core = Arc::new(Core::load(folder, catalog)?);
        // Before anything is written: on a nearly full disk it takes all there is for a moment.
        set_aside(folder);
        let worker = Worker::start(&core).map_err(|error| Error::io(folder, error))?;
        Ok(Self::sharing(folder, core, Some(worker)))
    }

    /// What it was created with; the model and the dimension are those in force.
    pub fn options(&self) -> Options {
        self.shared.core().catalog().options().clone()
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Lets a device propose neighbours during writes; results do not change, only their speed.
    pub fn set_proposer(&self, proposer: Option<Arc<dyn Propose>>) {
        self.shared.core().set_proposer(proposer);
    }

    /// Chooses which writes may return before their predictions are made; [`Deferral::Automatic`] until it is called.
    pub fn set_deferral(&self, deferral: Deferral) {
        self.shared.core().set_deferral(deferral);
    }

    /// The database as it is now. Never waits for a write in progress.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.core().snapshot()
    }

    /// Carries out a transaction: all operations and every prediction that they change become durable together, or nothing does.
    ///
    /// Writers wait for each other. A transaction that would change very many predictions is acknowledged when it is in the log and
    /// carried out behind the caller ([`Receipt::deferred`], [`Database::set_deferral`]).
    ///
    /// Complexity: `O(index * added train + train * added index)` 8-bit products, plus the lists of the images that voters were taken
    /// from.
    ///
    /// # Errors
    /// The first operation that cannot be carried out, or `Io`; nothing changed then.
    pub fn write(&self, operations: Vec<Operation>) -> Result<Receipt> {
        let _no_flip = self.shared.gate.read();
        let receipt = self.shared.core().write(operations)?;
        if receipt.deferred {
            self.shared.ages.note(receipt.sequence);
        }
        Ok(receipt)
    }

    /// Carries out everything that waits and returns the state after it.
    ///
    /// # Errors
    /// What the writes give.
    pub fn drain(&self) -> Result<Snapshot> {
        self.reach(self.shared.core().accepted())
    }

    /// The state once readers see write number `sequence`; what waits before it is carried out now.
    ///
    /// # Errors
    /// `Invalid` when no such write was acknowledged yet; what the writes give.
    pub fn reach(&self, sequence: u64) -> Result<Snapshot> {
        let _no_flip = self.shared.gate.read();
        self.shared.core().reach(sequence)
    }

    /// Makes the rows newer than the segments into segments; `false`: there were none. It happens by itself as rows come in.
    ///
    /// # Errors
    /// `Io`; nothing changed then.
    pub fn flush(&self) -> Result<bool> {
        let _no_flip = self.shared.gate.read();
        self.shared.core().flush()
    }

    /// Makes one segment of each role's rows and drops the dead ones. Merging happens by itself as segments come in; this is for
    /// the best search speed before a long time of reading.
    ///
    /// # Errors
    /// `Io`; nothing changed then.
    pub fn compact(&self) -> Result<()> {
        let _no_flip = self.shared.gate.read();
        self.shared.core().compact()
    }

    /// The segments, train before index, in the order of their rows.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let state = self.snapshot().state;
        Role::ALL.into_iter().flat_map(|role| state.segments(role)).collect()
    }

    /// The state of the database, line by line.
    ///
    /// # Errors
    /// None at present.
    pub fn status(&self) -> Result<Status> {
        let snapshot = self.snapshot();
        let counts = snapshot.counts();
        let options = self.options();
        let model = match &options.model {
            Some(model) => format!("{} ({})", model.name, model.fingerprint.get(..12).unwrap_or(&model.fingerprint)),
            None => "none: vectors are brought".to_owned(),
        };
        let segments = self.segments();
        let tail = counts.train + counts.index - segments.iter().map(|segment| segment.live).sum::<usize>();
        let (waiting, operations) = self.shared.core().waiting();
        let mut lines = vec![
            ("folder", self.folder().display().to_string()),
            ("model", model),
            ("dimension", options.dimension.to_string()),
            ("train images", counts.train.to_string()),
            ("index images", counts.index.to_string()),
            ("labels", counts.labels.to_string()),
            ("vote_k", options.vote_k.to_string()),
            ("kept neighbours", options.kept_neighbours.to_string()),
            ("sequence", snapshot.sequence().to_string()),
            ("waiting writes", format!("{waiting} ({operations} operations)")),
            ("segments", segments.len().to_string()),
            ("rows in the tail", tail.to_string()),
            ("bytes in segments", segments.iter().map(|segment| segment.bytes).sum::<u64>().to_string()),
            ("bytes in tables", self.shared.core().catalog().bytes().to_string()),
        ];
        if options.model.is_some() {
            lines.push(("photos kept as", options.keep.word().to_owned()));
        }
        let degraded: Vec<String> = segments
            .iter()
            .filter_map(|segment| {
                let problem = segment.problem.as_ref()?;
                Some(format!("segment {} {problem}", segment.number))
            })
            .collect();
        let health = match (degraded.is_empty(), self.shared.core().trouble()) {
            (true, None) => "ok".to_owned(),
            (true, Some(trouble)) => format!("the worker is in trouble: {trouble}"),
            (false, trouble) => {
                let trouble =
                    trouble.map(|trouble| format!("; the worker is in trouble: {trouble}")).unwrap_or_default();
                format!(
                    "degraded: {}; answers are exact, from the catalog, until it is rebuilt{trouble}",
                    degraded.join("; ")
                )
            }
        };
        lines.push(("health", health));
        Ok(Status { lines: lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() })
    }
}
