//! The work of a scout: everything that RocksDB will be asked to do with a catalog, so that a crash ends the scout and not the
//! program.

use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;

use rocksdb::{DB, DBRawIterator, LiveFile};

use super::{Catalog, Family, handle, salvage};
use crate::disk::{CATALOG, Folder, is_of_catalog};
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::process::leaving::{Gated, inside_slow};

/// A copy of a catalog up to this many bytes is also compacted: that is quick.
const COMPACTED_BYTES: u64 = 64 << 20;

/// Bytes of logs and lists that are copied at most; a catalog has a sixteenth of that.
const MOST_COPIED: u64 = 1 << 30;

/// How closely a scout looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    /// Opens the catalog, for reading and for writing.
    Open,
    /// Reads every entry, too.
    All,
    /// Does to a copy, too, what a repair does with a catalog that cannot be read.
    Repair,
}

impl Look {
    const ALL: [Self; 3] = [Self::Open, Self::All, Self::Repair];

    /// The scout's instructions.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::All => "all",
            Self::Repair => "repair",
        }
    }

    /// The scout's instructions.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|look| look.word() == word)
    }
}

impl Catalog {
    /// Does with the catalog of a folder what others will do with it; calls `alive` repeatedly meanwhile. It ignores what it
    /// finds: the next opening of the catalog finds it too. `scratch` is an empty folder for files that are opened for writing.
    ///
    /// Complexity: `Open`: as an opening; `All`: one reading of the catalog, and of a small one also a writing; `Repair`: also one
    /// writing, where it is damaged.
    ///
    /// # Errors
    /// What `alive` gives.
    pub(crate) fn probe(
        folder: &Folder,
        look: Look,
        scratch: &Path,
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let sound = Self::sound_folder(folder);
        if let Ok(its) = &sound {
            // What it refuses, an opening for writing refuses as well.
            let _refused = write_to_a_copy(its, scratch, look);
            alive()?;
        }
        let (db, mut is_damaged) = match sound.and_then(|its| Self::opened_unchanged(&its)) {
            Ok(db) => (db, false),
            Err(error) => (None, salvage::is_damaged(&error)),
        };
        alive()?;
        if let Some(db) = db.filter(|_| look >= Look::All) {
            for family in Family::ALL {
                is_damaged |= !is_read(&db, family, alive)?;
            }
        }
        if look == Look::Repair && is_damaged {
            salvage::rehearse(folder, alive)?;
        }
        Ok(())
    }

    /// Opens it for reading with the families that it has.
    fn opened_unchanged(its: &Folder) -> Result<Option<Gated<DB>>> {
        let _inside = inside_slow();
        Ok(Self::open_unsound(its)?.map(|db| Gated::new(|| db)))
    }
}

/// Opens a copy of a catalog for writing, as RocksDB does only then more than read; of a small one also compacts it. The tables of the
/// copy are links: RocksDB never writes into a table.
fn write_to_a_copy(its: &Folder, scratch: &Path, look: Look) -> Result<()> {
    let (from, to) = (std::path::absolute(its.path()), Folder::open(scratch)?);
    let from = from.map_err(|error| Error::io(its.path(), error))?;
    let (mut bytes, mut copied) = (0u64, 0u64);
    for name in its.names()?.iter().filter(|name| is_of_catalog(name)) {
        let text = name.to_string_lossy();
        let length = its.about(name)?.map_or(0, |found| found.bytes);
        if ["LOG", "LOCK"].iter().any(|begin| text.starts_with(begin)) {
            continue;
        }
        if text.ends_with(".sst") {
            bytes = bytes.saturating_add(length);
            symlink(from.join(name), to.path().join(name)).map_err(|error| Error::io(to.path(), error))?;
        } else if let Some(file) = its.file(name)? {
            copied = copied.saturating_add(length);
            if copied > MOST_COPIED {
                return Err(Error::corrupt("the catalog's logs are too long to be copied"));
            }
            let written = std::io::copy(&mut file.take(length), &mut to.create(name)?);
            written.map_err(|error| Error::io(&to.path_of(name), error))?;
        }
    }
    let _inside = inside_slow();
    let (db, _) = Catalog::open_db(&to, false, &OpenOptions::new())?;
    if look >= Look::All && bytes <= COMPACTED_BYTES {
        for family in Family::ALL {
            let family = handle(&db, family)?;
            db.flush_cf(family).map_err(Error::of_catalog)?;
            db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        }
    }
    Ok(())
}

/// Reads every entry of a family, and looks some of them up by their keys, which reads the filters; no: something cannot be read.
fn is_read(db: &DB, family: Family, alive: &mut dyn FnMut() -> Result<()>) -> Result<bool> {
    /// Entries that are read before a process that ends may do so, and before the next sign of life.
    const AT_ONCE: usize = 1_024;
    /// One entry in this many is looked up.
    const LOOKED_UP: usize = 64;
    let Ok(of_family) = handle(db, family) else { return Ok(true) };
    let mut entries = Gated::new(|| db.raw_iterator_cf_opt(of_family, salvage::thorough()));
    entries.with(DBRawIterator::seek_to_first);
    let mut is_sound = true;
    let mut some = |entries: &mut DBRawIterator<'_>| {
        for number in 0..AT_ONCE {
            let Some(key) = entries.key() else { break };
            if number.is_multiple_of(LOOKED_UP) {
                is_sound &= db.get_cf(of_family, key).is_ok();
            }
            entries.next();
        }
        entries.valid()
    };
    while entries.with(&mut some) {
        alive()?;
    }
    is_sound &= entries.with(|entries| entries.status()).is_ok();
    // Behind what cannot be read there may be more, in other tables.
    let _inside = inside_slow();
    let tables: Vec<LiveFile> = db.live_files().unwrap_or_default();
    for table in tables.iter().filter(|table| table.column_family_name == family.name()) {
        for key in [&table.start_key, &table.end_key].into_iter().flatten() {
            is_sound &= db.get_cf(of_family, key).is_ok();
            let mut entries = db.raw_iterator_cf_opt(of_family, salvage::thorough());
            entries.seek(key);
            is_sound &= entries.status().is_ok();
        }
        alive()?;
    }
    Ok(is_sound)
}

/// Whether a database's folder has a catalog that a scout can look at.
pub(crate) fn can_be_probed(folder: &Folder) -> bool {
    folder.inner(CATALOG).is_ok_and(|catalog| catalog.is_some())
}
