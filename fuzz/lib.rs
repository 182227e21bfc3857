//! Fuzz targets. Each is a libFuzzer program, guided by coverage: `python3 .setup/run.py fuzz 3600 query_text`. A finding is a
//! panic, a hang, unbounded memory or a broken promise. Inputs of earlier findings are in `regressions/`.

pub mod history;

use std::io::Write as _;
use std::path::PathBuf;

/// A file or folder of this process in memory, where the system has a file system there: most inputs would wait for a disk otherwise.
#[must_use]
pub fn scratch(ending: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    place.join(format!("cairn-fuzz-{}.{ending}", std::process::id()))
}

/// Lets panics of other crates be caught, and says nothing of them; one of ours, or one that nobody catches, ends the target.
pub fn catches_decoders() {
    std::panic::set_hook(Box::new(|info| {
        let is_foreign = |file: &str| file.contains("/registry/") || file.contains("/rustc/");
        if info.location().is_some_and(|place| !is_foreign(place.file())) {
            // Standard error may be closed.
            let _ = writeln!(std::io::stderr(), "{info}");
            std::process::abort();
        }
    }));
}
