//! The measurements: times, memory, bytes of files, and the table of results.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often memory is measured.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Ticks in which the kernel counts processor time.
const TICKS_PER_SECOND: f64 = 100.0;

/// One line of the table.
pub(crate) fn line(name: &str, value: impl std::fmt::Display) {
    println!("{name:<64} {value}");
}

/// A heading of the table.
pub(crate) fn heading(text: &str) {
    println!("\n## {text}");
}

/// A line of progress, with the time since the start.
pub(crate) fn progress(start: Instant, text: impl std::fmt::Display) {
    eprintln!("[{:8.1} s] {text}", start.elapsed().as_secs_f64());
}

/// Times of one kind of thing.
#[derive(Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Times one thing.
    pub(crate) fn time<T>(&mut self, thing: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = thing();
        self.0.push(start.elapsed().as_secs_f64());
        result
    }

    /// The time, in seconds, that this share of the things did not exceed; 0 when there were none.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// How many took longer than that, in seconds.
    pub(crate) fn longer_than(&self, seconds: f64) -> usize {
        self.0.iter().filter(|&&time| time > seconds).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in seconds.
    pub(crate) fn sum(&self) -> f64 {
        self.0.iter().sum()
    }

    /// `p50 and p99 in milliseconds`.
    pub(crate) fn summary(&self) -> String {
        format!("p50 {:.3} ms, p99 {:.3} ms", 1e3 * self.quantile(0.5), 1e3 * self.quantile(0.99))
    }
}

/// A field of this process's status, in bytes; 0 where there is no such file.
fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap_or_default();
    1024 * line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default()
}

/// A field of this process's stat line, counted as in proc(5).
fn stat(field: usize) -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().nth(field - 3).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Processor seconds of this process so far, all threads.
pub(crate) fn cpu() -> f64 {
    (stat(14) + stat(15)) / TICKS_PER_SECOND
}

/// Pages that this process had to wait for a disk for.
pub(crate) fn major_faults() -> f64 {
    stat(12)
}

/// Resident memory now: all of it, and without the pages of mapped files.
pub(crate) fn memory() -> (u64, u64) {
    (status("VmRSS"), status("RssAnon"))
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
}

/// Watches memory from its making to [`Watch::peak`].
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    anonymous: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Forgets earlier peaks, where the system permits it, and begins to watch.
    pub(crate) fn start() -> Self {
        let _otherwise_the_peak_is_that_of_all_so_far = std::fs::write("/proc/self/clear_refs", "5");
        let (stop, anonymous) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, highest) = (Arc::clone(&stop), Arc::clone(&anonymous));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                highest.fetch_max(memory().1, Ordering::Relaxed);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { stop, anonymous, thread }
    }

    /// The peaks, in words.
    pub(crate) fn peak(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        let _it_only_looked = self.thread.join();
        let anonymous = mib(self.anonymous.load(Ordering::Relaxed));
        format!("{} resident, of it {anonymous} not of mapped files", mib(status("VmHWM")))
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// Bytes of the files below a folder.
pub(crate) fn bytes(folder: &Path) -> u64 {
    files(folder).iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum()
}

/// Asks the system to forget what it cached of the files below a folder; `false`: that cannot be asked here.
pub(crate) fn evict(folder: &Path) -> bool {
    let synced = Command::new("sync").status().is_ok_and(|status| status.success());
    synced
        && files(folder).iter().all(|path| {
            let file = format!("if={}", path.display());
            let asked = Command::new("dd").args([&file, "iflag=nocache", "count=0", "status=none"]).status();
            asked.is_ok_and(|status| status.success())
        })
}
