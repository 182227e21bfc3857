//! Helpers for the tests of this crate and of `cairndb-torch`: golden files of the shared material, which may be missing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// `../shared/<name>` beside the repository; `None`, with a printed reason, if it does not exist. With `CI=true` that fails,
/// unless `CAIRN_ALLOW_NO_SHARED` is set.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap();
    let path = root.join("../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    let strict =
        std::env::var("CI").is_ok_and(|ci| ci == "true") && std::env::var_os("CAIRN_ALLOW_NO_SHARED").is_none();
    assert!(!strict, "{} is absent; set CAIRN_ALLOW_NO_SHARED=1 to skip the tests that need it", path.display());
    println!("SKIPPED: {} is absent", path.display());
    None
}
