//! The catalog: RocksDB with typed column families. It holds the truth; everything in memory is read from it at open.

mod batch;
pub(crate) mod codec;
mod messages;
mod pin;
mod read;

use std::path::Path;
use std::sync::Arc;

use prost::Message;
use rocksdb::{BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode};

pub(crate) use batch::Batch;
pub(crate) use messages::RecordMessage;
use messages::{OptionsMessage, decode};
pub(crate) use pin::Pinned;
pub(crate) use read::StoredList;

use crate::disk::Lock;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;

/// The column families, as in the plan of the house.
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
}

impl Family {
    const ALL: [Family; 10] = [
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
        }
    }

    fn options(self) -> rocksdb::Options {
        let mut options = rocksdb::Options::default();
        let mut table = BlockBasedOptions::default();
        table.set_bloom_filter(10.0, false);
        // Unit vectors and JPEGs do not compress; large blocks suit values of kilobytes.
        if matches!(self, Family::Embeddings | Family::Blobs) {
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

/// An open catalog.
pub(crate) struct Catalog {
    db: DB,
    options: Options,
    // Behind `db`, so that it is released when RocksDB is closed: a snapshot may outlive its `Database`.
    _lock: Lock,
}

impl Catalog {
    /// Makes a catalog in a folder that must not hold one.
    pub(crate) fn create(folder: &Path, options: Options, lock: Lock) -> Result<Self> {
        let db = Self::open_db(folder, true)?;
        let catalog = Self { db, options, _lock: lock };
        let mut batch = Batch::new(&catalog);
        batch.put(Family::Meta, OPTIONS, &OptionsMessage::of(&catalog.options).encode_to_vec())?;
        batch.set_sequence(0)?;
        batch.set_next_image(0)?;
        batch.commit()?;
        Ok(catalog)
    }

    /// Opens the catalog of a folder.
    pub(crate) fn open(folder: &Path, lock: Lock) -> Result<Self> {
        // A folder without a CURRENT file or without all families was never finished.
        let db = Self::open_db(folder, false).map_err(|error| match error.kind() {
            ErrorKind::Invalid => unfinished(folder).because(error),
            ErrorKind::Io if error.message().contains("No such file") => unfinished(folder).because(error),
            _ => error,
        })?;
        let stored = {
            let meta =
                db.cf_handle(Family::Meta.name()).ok_or_else(|| Error::corrupt("the catalog has no family 'meta'"))?;
            db.get_cf(meta, OPTIONS)?
        };
        let stored = stored.ok_or_else(|| unfinished(folder))?;
        let options = decode::<OptionsMessage>(&stored, "the options")?.options()?;
        Ok(Self { db, options, _lock: lock })
    }

    fn open_db(folder: &Path, create: bool) -> Result<DB> {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(create);
        options.set_error_if_exists(create);
        options.create_missing_column_families(create);
        // Absolute consistency turns a torn last record, which every crash may leave, into a database that never opens.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_keep_log_file_num(4);
        options.set_max_total_wal_size(256 << 20);
        let families = Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options()));
        Ok(DB::open_cf_descriptors(&options, folder, families)?)
    }

    /// What the database was created with.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    fn family(&self, family: Family) -> Result<&rocksdb::ColumnFamily> {
        self.db
            .cf_handle(family.name())
            .ok_or_else(|| Error::corrupt(format!("the catalog has no family '{}'", family.name())))
    }

    /// Bytes of the catalog's tables; what is still in its log is not counted.
    pub(crate) fn bytes(&self) -> u64 {
        let live = |family: &Family| {
            let handle = self.db.cf_handle(family.name())?;
            self.db.property_int_value_cf(handle, "rocksdb.total-sst-files-size").ok()?
        };
        Family::ALL.iter().filter_map(live).sum()
    }

    /// A view of now that later writes do not change.
    pub(crate) fn pin(self: &Arc<Self>) -> Pinned {
        Pinned::of(Arc::clone(self))
    }
}

fn unfinished(folder: &Path) -> Error {
    Error::corrupt(format!("{} holds no finished database", folder.display()))
        .help("its creation was cut short, or files of it are missing: restore a copy, or delete the folder and create it again")
}
