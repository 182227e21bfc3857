//! Fuzz targets. Each is a program of libFuzzer: `cargo run --bin query_text -- -max_total_time=60`, or through cargo-fuzz for
//! coverage guidance. A finding is a panic, a hang or a broken promise.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzzer_mutate;

/// Files and folders of files, separated as in PATH, whose bytes inputs are made of; unset: libFuzzer chooses, which needs coverage.
pub const SEEDS: &str = "CAIRN_FUZZ_SEEDS";
/// Changes of one input at most.
const MOST_CHANGES: u32 = 8;

/// The next input: a seed that was changed a few times, or what libFuzzer makes of its own. Without coverage it keeps nothing but its
/// first byte, and would never come near a file of ours.
pub fn mutated(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let seeds = seeds();
    let Some(chosen) = seeds.get(seed as usize % seeds.len().max(1)) else {
        return fuzzer_mutate(data, size, max_size);
    };
    let mut size = chosen.len().min(max_size);
    data[..size].copy_from_slice(&chosen[..size]);
    // Another part of the number than the one that chose.
    for _ in 0..=(seed >> 16) % MOST_CHANGES {
        size = fuzzer_mutate(data, size, max_size);
    }
    size
}

fn seeds() -> &'static [Vec<u8>] {
    static READ: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    READ.get_or_init(|| {
        let named = std::env::var_os(SEEDS).unwrap_or_default();
        let mut files: Vec<PathBuf> = Vec::new();
        std::env::split_paths(&named).for_each(|path| files_of(&path, &mut files));
        files.sort();
        files.iter().filter_map(|path| std::fs::read(path).ok()).collect()
    })
}

/// A file, or all files below a folder.
fn files_of(path: &Path, files: &mut Vec<PathBuf>) {
    if let Ok(entries) = std::fs::read_dir(path) {
        entries.flatten().for_each(|entry| files_of(&entry.path(), files));
    } else if path.is_file() {
        files.push(path.to_owned());
    }
}
