//! RocksDB's static objects, created deliberately before any other use of it.
//!
//! Each is created at the first call of the function that contains it, in the middle of an opening or, later, of a flush or a
//! compaction by threads of RocksDB. If the process ends just then, its destructor runs although the thread continues (seen:
//! `std::bad_alloc`, and an end that waited forever for threads that were joined). If they are created here, in small steps with
//! the handler of `process/leaving.rs` registered after each, they are destroyed after that handler has run.

use std::sync::Once;

use rocksdb::{DB, Env, Options};

use crate::process::leaving::{constructs, inside_slow};

/// The name of a database in memory. Nothing of it reaches a disk.
const NAME: &str = "/statics";

/// Makes the static objects, once in the life of a process, with the options `by_name` (text of RocksDB): opens, fills, compacts and reads a database in memory, some milliseconds.
pub(super) fn construct(by_name: &str) {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        // An opening that gets no memory waits for itself in RocksDB's destructor for ever, and this one asks for more than a look does.
        if rustix::process::getrlimit(rustix::process::Resource::As).current.is_some() {
            return;
        }
        // Others wait for this thread inside the gate, so that it must not be held up before it between two steps.
        let _inside = inside_slow();
        // A failure here happens again where somebody handles it.
        let _not_needed = rehearse(by_name);
    });
}

fn rehearse(by_name: &str) -> Result<(), rocksdb::Error> {
    let mut first = constructs(Options::default);
    let mut options = constructs(|| first.get_options_from_string(by_name))?;
    let memory = constructs(Env::mem_env)?;
    options.set_env(&memory);
    options.create_if_missing(true);
    let db = constructs(|| DB::open(&options, NAME))?;
    for value in [b"1", b"2"] {
        constructs(|| db.put(b"key", value))?;
        constructs(|| db.flush())?;
    }
    constructs(|| db.compact_range(None::<&[u8]>, None::<&[u8]>));
    constructs(|| db.property_value("rocksdb.stats"))?;
    constructs(|| db.live_files())?;
    constructs(|| drop(db));
    constructs(|| DB::list_cf(&options, NAME))?;
    let read_only = constructs(|| DB::open_for_read_only(&options, NAME, false))?;
    constructs(|| read_only.get(b"key"))?;
    constructs(|| drop(read_only));
    Ok(())
}

#[cfg(test)]
mod tests {
    /// It catches: a step that RocksDB refuses, behind which the others are left out.
    #[test]
    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    fn every_step_is_taken() {
        super::rehearse(super::super::tables::BY_NAME).unwrap();
    }
}
