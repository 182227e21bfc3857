//! A copy of a catalog that another process may be writing.
//!
//! Its tables never change, so they are linked, or copied while they exist. Its list of tables and its logs are taken as of one
//! moment: the list is read and the logs are opened between two listings of the folder that show the same logs. From then on, no
//! merge and no flush of the writer removes anything from the copy.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;

use rocksdb::{ColumnFamilyDescriptor, DB};

use super::tables::{Work, db_options};
use super::{BESIDE_PAUSE, BESIDE_TRIES, Catalog, Family, logs, moving_files, too_busy};
use crate::disk::{CATALOG, Folder, Kind, MOST_CURRENT, link_or_copy, syncs};
use crate::error::{Error, ErrorKind, Result};
use crate::process::leaving::inside_slow;

/// Neither the catalog's own name nor the file of its options is so long.
const MOST_SMALL: u64 = 1 << 20;

/// The list of tables and the logs of one moment.
struct Look {
    /// `CURRENT` and the list that it names; the catalog's own name and the options, which say nothing about tables.
    small: Vec<(OsString, Vec<u8>)>,
    /// Each with the length that it had.
    logs: Vec<(OsString, File, u64)>,
    /// Every table that was there, also such as the list does not name.
    tables: Vec<OsString>,
}

impl Catalog {
    /// Copies the catalog of a database's folder as it is at some moment of the call into a folder that holds nothing of a catalog, or
    /// what an earlier call left there.
    ///
    /// Complexity: reads the logs and the list; tables are linked, or copied once each.
    ///
    /// # Errors
    /// `Locked`: the writer is too busy; `Corrupt`; `Io`.
    pub(crate) fn copy_beside(folder: &Folder, to: &Folder) -> Result<()> {
        let from = Self::sound_folder(folder)?;
        let mut trouble = None;
        for _ in 0..BESIDE_TRIES {
            match try_once(&from, to) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A file went between the look that found it and its opening.
                Err(error) if error.kind() == ErrorKind::NotFound && folder.about(CATALOG)?.is_some() => {
                    trouble = Some(error);
                }
                Err(error) => return Err(error),
            }
            std::thread::sleep(BESIDE_PAUSE);
        }
        let busy = too_busy(folder);
        Err(match trouble {
            Some(error) => busy.because(error),
            None => busy,
        })
    }
}

/// Whether it came out; no: the writer was faster.
fn try_once(from: &Folder, to: &Folder) -> Result<bool> {
    let before = moving_files(from)?;
    let look = Look::at(from)?;
    for table in &look.tables {
        copy_table(from, to, table)?;
    }
    // Links are made at once. On another file system the copying takes its time, and a second look begins with what is there.
    if !moving_files(from)?.same_logs(&before) {
        return Ok(false);
    }
    look.write(to)?;
    logs::check(to)?;
    let _inside = inside_slow();
    let families = Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options(&Work::USUAL)));
    let opened = DB::open_cf_descriptors_read_only(&db_options()?, to.native(), families, false);
    let live: HashSet<OsString> = match opened {
        Ok(db) => db
            .live_files()
            .map_err(Error::of_catalog)?
            .into_iter()
            .map(|file| file.name.trim_start_matches('/').into())
            .collect(),
        // A table that the list names went before it was copied.
        Err(_) if moving_files(from)? != before => return Ok(false),
        Err(error) => return Err(Error::of_catalog(error)),
    };
    for name in to.names()?.into_iter().filter(|name| is_table(name) && !live.contains(name)) {
        to.discard(&name)?;
    }
    Ok(true)
}

/// Copies a table unless that was done before; one that went meanwhile is needed no longer, or missed later.
fn copy_table(from: &Folder, to: &Folder, name: &OsStr) -> Result<()> {
    let length = |folder: &Folder| Ok::<_, Error>(folder.about(name)?.map(|found| found.bytes));
    let (wanted, found) = (length(from)?, length(to)?);
    if wanted.is_none() || wanted == found {
        return Ok(());
    }
    // It was being written when it was copied.
    to.discard(name)?;
    match link_or_copy(from, to, name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        copied => copied,
    }
}

impl Look {
    fn at(folder: &Folder) -> Result<Self> {
        let gone = |name: &OsStr| Error::io(&folder.path_of(name), std::io::Error::from(std::io::ErrorKind::NotFound));
        let current = folder.read("CURRENT", MOST_CURRENT)?.ok_or_else(|| gone("CURRENT".as_ref()))?;
        let manifest = OsString::from(String::from_utf8_lossy(&current).trim_end());
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !manifest.to_str().and_then(|name| name.strip_prefix("MANIFEST-")).is_some_and(is_number) {
            return Err(Error::corrupt(format!(
                "{} does not name a list of tables",
                folder.path_of("CURRENT").display()
            )));
        }
        let list = folder.read(&manifest, logs::MOST_BYTES)?.ok_or_else(|| gone(&manifest))?;
        let mut look =
            Self { small: vec![(manifest, list), ("CURRENT".into(), current)], logs: vec![], tables: vec![] };
        for name in folder.names()? {
            let text = name.to_string_lossy();
            if text.ends_with(".log") {
                let file = folder.file(&name)?.ok_or_else(|| gone(&name))?;
                let length = file.metadata().map_err(|error| Error::io(&folder.path_of(&name), error))?.len();
                look.logs.push((name, file, length));
            } else if is_table(&name) {
                look.tables.push(name);
            } else if text == "IDENTITY" || text.strip_prefix("OPTIONS-").is_some_and(is_number) {
                // The writer may replace the options meanwhile.
                look.small.extend(folder.read(&name, MOST_SMALL)?.map(|bytes| (name, bytes)));
            }
        }
        Ok(look)
    }

    /// Writes everything but the tables, in place of what another look wrote.
    fn write(self, to: &Folder) -> Result<()> {
        for name in to.names()? {
            let text = name.to_string_lossy();
            let is_ours =
                text.ends_with(".log") || ["MANIFEST-", "OPTIONS-"].iter().any(|start| text.starts_with(start));
            if is_ours && to.about(&name)?.is_some_and(|found| found.kind == Kind::File) {
                to.discard(&name)?;
            }
        }
        for (name, file, length) in self.logs {
            write(to, &name, &mut file.take(length))?;
        }
        for (name, bytes) in &self.small {
            write(to, name, &mut &bytes[..])?;
        }
        Ok(())
    }
}

/// A synced file of these bytes.
fn write(folder: &Folder, name: &OsStr, bytes: &mut dyn Read) -> Result<()> {
    let io = |error| Error::io(&folder.path_of(name), error);
    let mut file = folder.create(name)?;
    std::io::copy(bytes, &mut file).map_err(io)?;
    if syncs() { file.sync_all().map_err(io) } else { Ok(()) }
}

fn is_table(name: &OsStr) -> bool {
    name.to_string_lossy().ends_with(".sst")
}
