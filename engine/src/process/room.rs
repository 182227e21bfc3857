//! The address space that is left to this process. RocksDB does not survive an opening that gets none: its destructor then waits
//! forever for a mutex that the interrupted opening holds.

use memmap2::MmapMut;
use rustix::process::{Resource, getrlimit};

use crate::error::{Error, ErrorKind, Result};

/// What an opening takes: stacks and heaps of a dozen threads, tables and logs in memory.
const OPENING_BYTES: usize = 768 << 20;

/// Refuses an opening for which a limited address space is too small. Without a limit it checks nothing.
///
/// # Errors
/// `Io`.
pub(crate) fn must_be_enough() -> Result<()> {
    let Some(limit) = getrlimit(Resource::As).current else { return Ok(()) };
    // Reserved and given back: the system counts it as it would count what RocksDB asks for.
    if MmapMut::map_anon(OPENING_BYTES).is_ok() {
        return Ok(());
    }
    let what = format!(
        "opening a database takes up to {} MiB of address space, but the limit of this process, {} MiB, leaves less",
        OPENING_BYTES >> 20,
        limit >> 20
    );
    Err(Error::new(ErrorKind::Io, what).help("raise the limit (ulimit -v)"))
}
