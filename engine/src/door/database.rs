//! A database: one folder, one writer, any number of readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::answer::Status;
use crate::catalog::Catalog;
use crate::disk::{LOCK_FILE, Lock, catalog_folder};
use crate::error::{Error, ErrorKind, Result};
use crate::motion::{Published, Snapshot, Writer};
use crate::operation::{Operation, Receipt};
use crate::options::Options;
use crate::ports::Propose;

/// A database. Clones share it; it closes when the last clone and the last snapshot are gone.
///
/// ```
/// # fn main() -> cairn::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// use cairn::{Database, Operation, Options, Put, Query, Rerank, SearchRequest};
///
/// let database = Database::create(&folder.path().join("places"), Options::for_vectors(2))?;
/// let image = |key: &str, label: Option<&str>, vector: [f32; 2]| {
///     let label = label.map(str::to_owned);
///     Operation::Put(Put { key: key.into(), label, vector: vector.into(), source: None, content: None, photo: None })
/// };
/// // Both views of the tower are labelled; what is searched has no labels.
/// database.write(vec![
///     image("outside", Some("tower"), [1.0, 0.0]),
///     image("inside", Some("tower"), [0.0, 1.0]),
///     image("a", None, [0.9, 0.1]),
///     image("b", None, [0.1, 0.9]),
/// ])?;
/// let request = SearchRequest { depth: 2, rerank: Some(Rerank { k: 1, sort: true, insert: Some(0.6) }), ..Default::default() };
/// let answers = database.snapshot().search(&request, &[Query { vector: vec![1.0, 0.05], without: None }])?;
/// assert_eq!(answers[0].prediction.as_ref().map(|vote| vote.instance.as_str()), Some("tower"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    catalog: Arc<Catalog>,
    writer: Mutex<Writer>,
    current: RwLock<Arc<Published>>,
    proposer: RwLock<Option<Arc<dyn Propose>>>,
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

    /// Opens a database and reads its rows into memory.
    ///
    /// # Errors
    /// `NotFound`, `Locked` with the process id of the holder, `Corrupt`, `Io`.
    pub fn open(folder: &Path) -> Result<Self> {
        if !catalog_folder(folder).is_dir() {
            return Err(Error::not_found(format!("there is no database in {}", folder.display())).help(
                "make one first: cairn create DB --model lite0-gem, or cairn create DB --dim N for your own vectors",
            ));
        }
        let lock = Lock::take(folder)?;
        Self::start(folder, Catalog::open(&catalog_folder(folder), lock)?)
    }

    fn start(folder: &Path, catalog: Catalog) -> Result<Self> {
        let catalog = Arc::new(catalog);
        let state = Published::load(&catalog)?;
        let writer = Writer::new(Arc::clone(&catalog), &state)?;
        let shared = Shared {
            folder: folder.to_owned(),
            catalog,
            writer: Mutex::new(writer),
            current: RwLock::new(Arc::new(state)),
            proposer: RwLock::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What it was created with.
    pub fn options(&self) -> &Options {
        self.shared.catalog.options()
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Lets a device propose neighbours during writes; results do not change, only their speed.
    pub fn set_proposer(&self, proposer: Option<Arc<dyn Propose>>) {
        *self.shared.proposer.write() = proposer;
    }

    /// The database as it is now. Never waits for a write in progress.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { state: Arc::clone(&self.shared.current.read()) }
    }

    /// Carries out a transaction: all operations and every prediction that they change become durable together, or nothing does.
    ///
    /// Writers wait for each other. Complexity: `O(index * added train + train * added index)` similarities, plus the lists of the
    /// images that voters were taken from.
    ///
    /// # Errors
    /// The first operation that cannot be carried out (an unknown key, a vector of another dimension, ..), or `Io`.
    pub fn write(&self, operations: Vec<Operation>) -> Result<Receipt> {
        let mut writer = self.shared.writer.lock();
        let state = Arc::clone(&self.shared.current.read());
        let proposer = self.shared.proposer.read().clone();
        let (published, receipt) = writer.write(&state, operations, proposer.as_deref())?;
        *self.shared.current.write() = Arc::new(published);
        Ok(receipt)
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
            ("bytes in tables", self.shared.catalog.bytes().to_string()),
        ];
        if options.model.is_some() {
            lines.push(("photos kept as", options.keep.word().to_owned()));
        }
        Ok(Status { lines: lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() })
    }
}
