//! Fuzz targets. Each is a program of libFuzzer, guided by coverage: `python3 .setup/run.py fuzz 3600 query_text`. A finding is a
//! panic, a hang, memory without bound or a broken promise. An input that was one stays in `regressions/`.

pub mod history;

use std::path::PathBuf;

/// A file or folder of this process in memory, where the system has a file system there: most inputs would wait for a disk otherwise.
#[must_use]
pub fn scratch(ending: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    place.join(format!("cairn-fuzz-{}.{ending}", std::process::id()))
}
