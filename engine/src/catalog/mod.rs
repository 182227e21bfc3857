//! The catalog: RocksDB with typed column families. It holds the truth; everything in memory is read from it at open.

mod attributes;
mod batch;
mod beside;
pub(crate) mod codec;
#[cfg(feature = "hostile")]
pub(crate) mod crafted;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
mod identity;
mod jobs;
mod logs;
mod manifest;
mod messages;
mod oplog;
mod pages;
mod pin;
mod probe;
mod read;
mod refusals;
mod relabellings;
mod salvage;
mod spaces;
mod statics;
mod store;
mod tables;
mod through;
mod vouched;

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType};

pub(crate) use attributes::AttributeMessage;
pub(crate) use batch::Batch;
pub(crate) use jobs::Seen;
pub(crate) use manifest::SegmentEntry;
pub(crate) use messages::{
    ChangeMessage, CleaningMessage, ListedMessage, OriginMessage, RecordMessage, RelabelledMessage, RelabellingMessage,
};
use messages::{FORMAT, OptionsMessage, decode};
pub(crate) use oplog::Waiting;
pub(crate) use pages::Posting;
pub(crate) use pin::Pinned;
pub(crate) use probe::{Look, can_be_probed};
pub(crate) use read::StoredList;
pub(crate) use refusals::too_busy;
use refusals::{foreign, half_repaired, if_incomplete, older_format, unfinished};
pub(crate) use salvage::Lost;
pub(crate) use spaces::{Space, forget_derived, forget_half_derived};
use store::Store;
pub(crate) use tables::{LISTS, ROOM_TO_COMPACT};
use tables::{Work, db_options, options_beside};
pub(crate) use vouched::StoredFile;

use crate::disk::{CATALOG, Folder, Lock, look_at_catalog, refuse_shared_lists};
use crate::error::{Error, Result};
use crate::id::SpaceId;
use crate::options::{OpenOptions, Options};
use crate::process::leaving::{inside, inside_slow};

fn handle(db: &DB, family: Family) -> Result<&rocksdb::ColumnFamily> {
    db.cf_handle(family.name()).ok_or_else(|| Error::corrupt(format!("the catalog has no family '{}'", family.name())))
}

/// The column families (docs/FORMAT.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Options, sequence, next ids.
    Meta,
    /// Image id -> record.
    Records,
    /// External key -> image id.
    Keys,
    /// Image id -> what is kept of the photo.
    Blobs,
    /// Label id -> text.
    Labels,
    /// Space, image id -> descriptor.
    Embeddings,
    /// Space, index image -> its best train images.
    Neighbours,
    /// Space, train image, index image -> nothing: the reverse of `Neighbours`.
    Voters,
    /// Space, k, index image -> label and score.
    Predictions,
    /// Space, k, role, label, descending score, external key -> image id: this range scan is the insert-step.
    ByInstance,
    /// Which segments there are, and which of their rows are dead.
    Manifest,
    /// Sequence -> operations that were acknowledged and deferred.
    Oplog,
    /// Image id -> its local features.
    Features,
    /// Long work: what is kept of it over a crash, and the log of cleanings.
    Jobs,
}

impl Family {
    const ALL: [Family; 14] = [
        Family::Meta,
        Family::Records,
        Family::Keys,
        Family::Blobs,
        Family::Labels,
        Family::Embeddings,
        Family::Neighbours,
        Family::Voters,
        Family::Predictions,
        Family::ByInstance,
        Family::Manifest,
        Family::Oplog,
        Family::Features,
        Family::Jobs,
    ];

    fn name(self) -> &'static str {
        match self {
            Family::Meta => "meta",
            Family::Records => "records",
            Family::Keys => "keys",
            Family::Blobs => "blobs",
            Family::Labels => "labels",
            Family::Embeddings => "embeddings",
            Family::Neighbours => "neighbours",
            Family::Voters => "voters",
            Family::Predictions => "predictions",
            Family::ByInstance => "by_instance",
            Family::Manifest => "manifest",
            Family::Oplog => "oplog",
            Family::Features => "features",
            Family::Jobs => "jobs",
        }
    }

    fn options(self, work: &Work) -> rocksdb::Options {
        let mut options = rocksdb::Options::default();
        options.set_write_buffer_size(work.write_buffer);
        options.set_disable_auto_compactions(work.holds_compactions);
        let mut table = BlockBasedOptions::default();
        table.set_bloom_filter(10.0, false);
        if let Some(cache) = &work.cache {
            table.set_block_cache(cache);
        }
        // Unit vectors and JPEGs do not compress; large blocks suit values of kilobytes.
        if matches!(self, Family::Embeddings | Family::Blobs | Family::Features) {
            options.set_compression_type(DBCompressionType::None);
            table.set_block_size(64 << 10);
        } else {
            options.set_compression_type(DBCompressionType::Lz4);
        }
        options.set_block_based_table_factory(&table);
        options
    }
}

const OPTIONS: &[u8] = b"options";
const SEQUENCE: &[u8] = b"sequence";
const NEXT_IMAGE: &[u8] = b"next_image";
/// Times a reader beside a writer looks again.
const BESIDE_TRIES: usize = 200;
/// Between two tries.
const BESIDE_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
const NEXT_SEGMENT: &[u8] = b"next_segment";
const COVERED: &[u8] = b"covered";
const DATABASE: &[u8] = b"database";
const REPAIRING: &[u8] = b"repairing";
/// Number of the space that answers; absent: the first.
const ACTIVE: &[u8] = b"active";

/// An open catalog as one space sees it. Views of other spaces share the store.
pub(crate) struct Catalog {
    store: Arc<Store>,
    space: SpaceId,
    options: Options,
    database: [u8; 16],
}

impl Catalog {
    /// Whether a database's folder holds one, damaged and half repaired ones included.
    ///
    /// # Errors
    /// `Invalid`: something else has its name; `Io`.
    pub(crate) fn exists(folder: &Folder) -> Result<bool> {
        Ok(folder.inner(CATALOG)?.is_some() || salvage::is_half_done(folder)?)
    }

    /// Makes a catalog in its folder, which holds nothing of one, with these files of its model. The caller holds whatever lock there
    /// is.
    pub(crate) fn create(folder: Folder, options: Options, files: &[(String, Bytes)]) -> Result<()> {
        let _inside = inside_slow();
        let (db, work) = Self::open_db(&folder, true, &OpenOptions::new())?;
        let store = Arc::new(Store::new(db, folder, None).at(&work));
        let catalog = Self { store, space: SpaceId::FIRST, options, database: fresh_name() };
        let mut batch = Batch::new(&catalog);
        batch.set_sequence(0)?;
        batch.set_next_image(0)?;
        batch.put_identity()?;
        batch.commit()?;
        for (name, bytes) in files {
            let mut batch = Batch::new(&catalog);
            batch.put_file(name, bytes)?;
            batch.commit()?;
        }
        Ok(())
    }

    /// Whether what lies at the database's path is still the folder that was opened. Everything that writes asks this before, and a
    /// commit also after it.
    ///
    /// # Errors
    /// `Displaced`.
    pub(crate) fn check_place(&self) -> Result<()> {
        self.store.check_place()
    }

    /// Opens the catalog of a database's folder; one of an older format is brought up to date.
    pub(crate) fn open(folder: &Folder, lock: Lock, opening: &OpenOptions) -> Result<Self> {
        Self::open_for_repair(folder, lock, opening)?.unless_half_repaired()
    }

    /// An unfinished repair would silently return wrong answers.
    fn unless_half_repaired(self) -> Result<Self> {
        let _inside = inside();
        if self.store.db.get_cf(self.family(Family::Meta)?, REPAIRING).map_err(Error::of_catalog)?.is_none() {
            return Ok(self);
        }
        Err(half_repaired())
    }

    /// [`Catalog::open`], also of a database whose last repair was cut short.
    fn open_for_repair(folder: &Folder, lock: Lock, opening: &OpenOptions) -> Result<Self> {
        let _inside = inside_slow();
        let its = Self::sound_folder(folder)?;
        refuse_shared_lists(&its)?;
        let no_file = |error| if_incomplete(error, folder);
        // Before anything is written: another program's RocksDB must not get families of ours.
        let found = DB::list_cf(&db_options()?, its.native()).map_err(|error| no_file(Error::of_catalog(error)))?;
        if !found.iter().any(|name| name == Family::Records.name()) {
            return Err(foreign(folder));
        }
        let (db, work) = Self::open_db(&its, false, opening).map_err(no_file)?;
        let Identity { options, database, space, is_current } = Self::identity(&db, || unfinished(folder))?;
        lock.sign();
        let store = Arc::new(Store::new(db, its, Some(lock)).at(&work));
        let catalog = Self { store, space, options, database: database.unwrap_or_else(fresh_name) };
        catalog.read_spaces()?;
        if !is_current {
            // Format 1 had neither segments nor a name, format 2 one model and no cleanings, format 3 did not tell who set a label;
            // everything else is as it was.
            let mut batch = Batch::new(&catalog);
            batch.put_identity()?;
            batch.commit()?;
        }
        Ok(catalog)
    }

    /// Opens the catalog of a folder for reading, beside a process that may be writing it. What it sees is what was durable at this
    /// moment, and stays so.
    ///
    /// # Errors
    /// `Locked`: the writer was too busy for a consistent look; trying again helps.
    pub(crate) fn open_beside(folder: &Folder, opening: &OpenOptions) -> Result<Self> {
        Self::beside(&Self::sound_folder(folder)?, folder, opening)
    }

    /// [`Catalog::open_beside`] of a catalog in a folder of another name.
    pub(crate) fn beside(its: &Folder, folder: &Folder, opening: &OpenOptions) -> Result<Self> {
        let _inside = inside_slow();
        let work = Work::reading(opening);
        must_have_all_families(its)?;
        let mut trouble = None;
        for _ in 0..BESIDE_TRIES {
            let before = moving_files(its)?;
            let families = Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options(&work)));
            let opened =
                DB::open_cf_descriptors_read_only(&options_beside(its, opening)?, its.native(), families, false);
            let after = moving_files(its)?;
            // Without that, a file that the list named may have gone before it was opened.
            if !after.same_logs(&before) || (opened.is_err() && after != before) {
                trouble = opened.err();
                std::thread::sleep(BESIDE_PAUSE);
                continue;
            }
            let opened = opened.map_err(|error| if_incomplete(Error::of_catalog(error), folder))?;
            return Self::only_read(opened, its.clone())?.unless_half_repaired();
        }
        // What was refused while files came and went says nothing about the database.
        let busy = too_busy(folder);
        Err(match trouble {
            Some(error) => busy.because(error),
            None => busy,
        })
    }

    /// The folder of a catalog in which RocksDB can be let loose: whatever it opens is a plain file, and it comes to an end with it.
    fn sound_folder(folder: &Folder) -> Result<Folder> {
        let its = folder.inner(CATALOG)?.ok_or_else(|| unfinished(folder))?;
        look_at_catalog(&its)?;
        if its.about("CURRENT")?.is_none() {
            return Err(unfinished(folder));
        }
        logs::check(&its)?;
        Ok(its)
    }

    fn identity(db: &DB, unfinished: impl FnOnce() -> Error) -> Result<Identity> {
        let meta = handle(db, Family::Meta)?;
        let stored = db.get_cf(meta, OPTIONS).map_err(Error::of_catalog)?.ok_or_else(unfinished)?;
        let message: OptionsMessage = decode(&stored, "the options")?;
        let is_current = message.format() == FORMAT;
        let options = message.options()?;
        let database = match db.get_cf(meta, DATABASE).map_err(Error::of_catalog)? {
            Some(name) => {
                Some(name.try_into().map_err(|_| Error::corrupt("the database's identifier is not 16 bytes long"))?)
            }
            None => None,
        };
        let space = match db.get_cf(meta, ACTIVE).map_err(Error::of_catalog)? {
            Some(number) => spaces::space_of(&number)?,
            None => SpaceId::FIRST,
        };
        Ok(Identity { options, database, space, is_current })
    }

    /// Opens the catalog for writing with what is in its log in memory, and no table of it is written.
    fn open_db(folder: &Folder, create: bool, opening: &OpenOptions) -> Result<(DB, Work)> {
        let mut options = db_options()?;
        options.create_if_missing(create);
        options.set_error_if_exists(create);
        // A database of an older format gets the families that came later.
        options.create_missing_column_families(true);
        let work = Work::on(folder, &mut options, opening);
        let families = Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options(&work)));
        let db = DB::open_cf_descriptors(&options, folder.native(), families).map_err(Error::of_catalog)?;
        Ok((db, work))
    }

    /// The name that its segments carry.
    pub(crate) fn database(&self) -> [u8; 16] {
        self.database
    }

    /// Whether it was opened for reading only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.store.is_read_only()
    }

    /// Opens, for reading, a catalog of which some files may be damaged; `None`: RocksDB cannot list its files.
    fn open_unsound(folder: &Folder) -> Result<Option<DB>> {
        let mut options = db_options()?;
        let Ok(found) = DB::list_cf(&options, folder.native()) else { return Ok(None) };
        for paranoid in [true, false] {
            options.set_paranoid_checks(paranoid);
            let families = Family::ALL.iter().filter(|family| found.iter().any(|name| name == family.name()));
            let families =
                families.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options(&Work::USUAL)));
            match DB::open_cf_descriptors_read_only(&options, folder.native(), families, false) {
                Ok(db) => return Ok(Some(db)),
                Err(error) => salvage::is_damage(error)?,
            }
        }
        Ok(None)
    }

    /// Ends a salvage that was cut short before its last step.
    pub(crate) fn take_up_salvage(folder: &Folder) -> Result<()> {
        salvage::take_up(folder)
    }

    /// Removes what a scout left that died.
    pub(crate) fn clear_rehearsal(folder: &Folder) {
        // The next repair does it otherwise.
        let _stays = salvage::clear_rehearsal(folder);
    }

    /// Whether an error tells of a damaged catalog, which [`Catalog::salvage`] may help.
    pub(crate) fn is_damaged(error: &Error) -> bool {
        salvage::is_damaged(error)
    }

    /// Opens a catalog that nobody writes for reading, also one whose repair was cut short; nothing of it is changed.
    ///
    /// # Errors
    /// `OlderFormat`; `Corrupt`; `Io`.
    pub(crate) fn open_still(folder: &Folder) -> Result<Self> {
        Self::of_folder(Self::sound_folder(folder)?)
    }

    /// [`Catalog::open_still`] of a catalog in a folder of whatever name.
    fn of_folder(its: Folder) -> Result<Self> {
        let _inside = inside_slow();
        must_have_all_families(&its)?;
        let families =
            Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options(&Work::USUAL)));
        let db = DB::open_cf_descriptors_read_only(&db_options()?, its.native(), families, false)
            .map_err(Error::of_catalog)?;
        Self::only_read(db, its)
    }

    /// Whether every entry can be read.
    ///
    /// # Errors
    /// `Corrupt`, as RocksDB says it.
    pub(crate) fn read_through(&self) -> Result<()> {
        salvage::read_all(&self.store.db)
    }

    /// What a repair that was cut short had lost.
    pub(crate) fn lost_by_repair(&self) -> Result<Lost> {
        let _inside = inside();
        let noted = self.store.db.get_cf(self.family(Family::Meta)?, REPAIRING).map_err(Error::of_catalog)?;
        Ok(noted.map_or_else(Lost::default, |bytes| Lost::decode(&bytes)))
    }

    fn only_read(db: DB, its: Folder) -> Result<Self> {
        let missing = || Error::corrupt(format!("{} lacks the identity of the database", its.path().display()));
        let Identity { options, database, space, .. } = Self::identity(&db, missing)?;
        let database = database.ok_or_else(older_format)?;
        Ok(Self { store: Arc::new(Store::new(db, its, None)), space, options, database })
    }

    /// [`Catalog::open_for_repair`] of a catalog that can be read to the end.
    pub(crate) fn open_whole(folder: &Folder, lock: Lock) -> Result<Self> {
        let catalog = Self::open_for_repair(folder, lock, &OpenOptions::new())?;
        salvage::read_all(&catalog.store.db)?;
        Ok(catalog)
    }

    /// Opens what can be read of a damaged catalog, as a new one in its place; also says what was done. `judge` sees the new one
    /// before it takes the place.
    ///
    /// # Errors
    /// `Corrupt`: not even what the database is can be read; `Io`; what `judge` gives. The damaged catalog is then as it was.
    pub(crate) fn salvage(
        folder: &Folder,
        lock: Lock,
        judge: &dyn Fn(&Arc<Self>) -> Result<()>,
    ) -> Result<(Self, Vec<String>)> {
        let _inside = inside_slow();
        let story = salvage::salvage(folder, judge)?;
        Ok((Self::open_for_repair(folder, lock, &OpenOptions::new())?, story))
    }

    /// What the database was created with.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The space that it is a view of.
    pub(crate) fn space(&self) -> SpaceId {
        self.space
    }

    /// A number that no other handle of a catalog has while this one is there; the views of all spaces share it.
    pub(crate) fn handle_number(&self) -> usize {
        Arc::as_ptr(&self.store).addr()
    }

    /// # Errors
    /// `Forked`: this process is a fork of the one that opened it.
    pub(crate) fn refuse_in_fork(&self) -> Result<()> {
        self.store.refuse_in_fork()
    }

    fn family(&self, family: Family) -> Result<&rocksdb::ColumnFamily> {
        // Every read and write of an entry comes by here.
        self.store.refuse_in_fork()?;
        handle(&self.store.db, family)
    }

    /// How many changes RocksDB has taken, whatever they were: after a write that failed, as many as before it when nothing of it was.
    pub(crate) fn changes(&self) -> u64 {
        let _inside = inside();
        self.store.db.latest_sequence_number()
    }

    /// Whether RocksDB takes writes, by one that changes nothing.
    ///
    /// # Errors
    /// What RocksDB says.
    pub(crate) fn try_write(&self) -> Result<()> {
        let _inside = inside_slow();
        let Some(sequence) = self.store.db.get_cf(self.family(Family::Meta)?, SEQUENCE).map_err(Error::of_catalog)?
        else {
            return Ok(());
        };
        let mut batch = Batch::new(self);
        batch.put(Family::Meta, SEQUENCE, &sequence)?;
        batch.commit()
    }

    /// The catalog's files are known on this machine from now on, and as they are whenever it is saved and closed.
    pub(crate) fn vouch(&self, folder: &Folder) {
        self.store.vouch(folder);
    }

    /// Notes its files as they are, where [`Catalog::vouch`] was called.
    pub(crate) fn note_known(&self) {
        self.store.note_known();
    }

    /// A view of now that later writes do not change.
    pub(crate) fn pin(self: &Arc<Self>) -> Pinned {
        Pinned::of(Arc::clone(self))
    }
}

/// What a catalog says of itself.
struct Identity {
    /// With the dimension and the model of the active space.
    options: Options,
    /// `None`: format 1.
    database: Option<[u8; 16]>,
    space: SpaceId,
    /// It has the format that this build writes.
    is_current: bool,
}

/// The logs and lists of a RocksDB folder.
#[derive(PartialEq, Eq)]
struct Moving {
    /// Names of the logs.
    logs: Vec<std::ffi::OsString>,
    /// `CURRENT` and the lists of tables, with their lengths.
    lists: Vec<(std::ffi::OsString, u64)>,
}

impl Moving {
    /// Whether the logs are the same. An entry leaves a log only by a flush, which begins another log, and a log goes only when all of
    /// its entries are in tables. So a list of tables and logs fit if the logs were the same before the list was read and after the
    /// logs were read, whatever was appended to both.
    fn same_logs(&self, other: &Self) -> bool {
        self.logs == other.logs
    }
}

/// What may change while another process writes the catalog.
fn moving_files(folder: &Folder) -> Result<Moving> {
    let (mut logs, mut lists) = (Vec::new(), Vec::new());
    for name in folder.names()? {
        let text = name.to_string_lossy();
        if text.starts_with("MANIFEST") || text == "CURRENT" {
            let bytes = folder.about(&name)?.map_or(0, |found| found.bytes);
            lists.push((name, bytes));
        } else if text.ends_with(".log") {
            logs.push(name);
        }
    }
    logs.sort();
    lists.sort();
    Ok(Moving { logs, lists })
}

/// A catalog of an older format has fewer families, and RocksDB refuses to open what is not there.
fn must_have_all_families(folder: &Folder) -> Result<()> {
    match DB::list_cf(&db_options()?, folder.native()) {
        Ok(found) if Family::ALL.iter().any(|family| !found.iter().any(|name| name == family.name())) => {
            Err(older_format())
        }
        _ => Ok(()),
    }
}

/// A name that no other database has.
fn fresh_name() -> [u8; 16] {
    use std::hash::{BuildHasher, RandomState};
    // The standard library seeds this from the operating system; the name decides nothing but whether a file belongs here.
    let halves = [0u8, 1].map(|half| RandomState::new().hash_one(half).to_le_bytes());
    let mut name = [0; 16];
    name[..8].copy_from_slice(&halves[0]);
    name[8..].copy_from_slice(&halves[1]);
    name
}
