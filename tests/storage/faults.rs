//! Arms the engine's named points in a test program, by the variables with which its test starts it. No other program reads them.
//!
//! `CAIRN_FAULT=name:count:action`: the `count`-th passage of that name (from 1) is answered by `kill`, `eio` or `enospc`. With
//! `CAIRN_FAULT_LOG=file` the name of every point passed is appended to that file. `CAIRN_SYNC=off`: nothing is synced. `CAIRN_ROOM=unknown`: nobody looks
//! at what is free on a disk.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn::{Error, Faults, Result, install_faults};

/// What a test can say.
pub(crate) const VARIABLES: [&str; 4] = ["CAIRN_FAULT", "CAIRN_FAULT_LOG", "CAIRN_SYNC", "CAIRN_ROOM"];

#[derive(Default)]
struct Armed {
    /// Name, passage and action.
    fault: Option<(String, u64, String)>,
    log: Option<PathBuf>,
    passed: AtomicU64,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Does from now on what the variables say; call it first of all.
pub fn obey_faults() {
    let [fault, log, sync, room] = VARIABLES.map(std::env::var_os);
    let text = fault.map(|text| text.into_string().unwrap());
    let fault = text.map(|text| {
        let mut parts = text.rsplitn(3, ':');
        let mut part = || parts.next().unwrap_or_else(|| panic!("{text}: not name:count:action")).to_owned();
        let (action, count, name) = (part(), part(), part());
        (name, count.parse().unwrap(), action)
    });
    let armed = Armed { fault, log: log.map(PathBuf::from), ..Armed::default() };
    assert!(ARMED.set(armed).is_ok(), "the faults are armed already");
    let (syncs, sees_room) = (sync.is_none_or(|value| value != "off"), room.is_none_or(|value| value != "unknown"));
    assert!(install_faults(Faults { point: pass, syncs, sees_room }));
}

fn pass(name: &str) -> Result<()> {
    let Some(armed) = ARMED.get() else { return Ok(()) };
    if let Some(path) = &armed.log {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        if let Ok(mut file) = opened {
            let _lost = file.write_all(format!("{name}\n").as_bytes());
        }
    }
    let Some((wanted, count, action)) = &armed.fault else { return Ok(()) };
    if wanted != name || armed.passed.fetch_add(1, Ordering::Relaxed) + 1 != *count {
        return Ok(());
    }
    let refuse = |code| Err(Error::io(Path::new(name), std::io::Error::from_raw_os_error(code)));
    match action.as_str() {
        "kill" => die(),
        "enospc" => refuse(28),
        _ => refuse(5),
    }
}

/// Dies as by SIGKILL: no destructor runs and nothing is flushed.
fn die() -> ! {
    let _unused = std::process::Command::new("kill").arg("-9").arg(std::process::id().to_string()).status();
    std::process::abort()
}
