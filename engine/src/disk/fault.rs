//! Named points at which a test can make the disk fail or the process die. Without the feature `faults` they are nothing.
//!
//! A point is armed through the environment: `CAIRN_FAULT=name:count:action`, where the `count`-th passage of that name (from 1)
//! is answered by `kill`, `eio` or `enospc`. With `CAIRN_FAULT_LOG=file` every point passed is appended to that file.

use crate::error::Result;

/// Whether files are synced: always, but for the control run of the power-loss test (`CAIRN_SYNC=off` with the feature `faults`),
/// which must lose data to show that the test can see it.
pub(crate) fn syncs() -> bool {
    #[cfg(feature = "faults")]
    return std::env::var_os("CAIRN_SYNC").is_none_or(|value| value != "off");
    #[cfg(not(feature = "faults"))]
    true
}

/// Passes a named point.
///
/// # Errors
/// The armed error, in tests only.
#[cfg(not(feature = "faults"))]
#[inline]
pub(crate) fn point(_name: &str) -> Result<()> {
    Ok(())
}

/// Passes a named point.
///
/// # Errors
/// The armed error.
#[cfg(feature = "faults")]
pub(crate) fn point(name: &str) -> Result<()> {
    armed::pass(name)
}

#[cfg(feature = "faults")]
mod armed {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::error::{Error, Result};

    struct Armed {
        name: String,
        count: u64,
        action: String,
        passed: AtomicU64,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = std::env::var("CAIRN_FAULT").ok()?;
        let mut parts = text.rsplitn(3, ':');
        let (action, count, name) = (parts.next()?, parts.next()?, parts.next()?);
        let count = count.parse().ok()?;
        Some(Armed { name: name.to_owned(), count, action: action.to_owned(), passed: AtomicU64::new(0) })
    });

    static LOG: LazyLock<Option<std::path::PathBuf>> =
        LazyLock::new(|| Some(std::env::var_os("CAIRN_FAULT_LOG")?.into()));

    pub(super) fn pass(name: &str) -> Result<()> {
        if let Some(path) = &*LOG {
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
            if let Ok(mut file) = opened {
                let _lost = file.write_all(format!("{name}\n").as_bytes());
            }
        }
        let Some(armed) = &*ARMED else { return Ok(()) };
        if armed.name != name || armed.passed.fetch_add(1, Ordering::Relaxed) + 1 != armed.count {
            return Ok(());
        }
        match armed.action.as_str() {
            "kill" => die(),
            "enospc" => Err(refuse(name, 28)),
            _ => Err(refuse(name, 5)),
        }
    }

    fn refuse(name: &str, code: i32) -> Error {
        Error::io(std::path::Path::new(name), std::io::Error::from_raw_os_error(code))
    }

    /// Dies as by SIGKILL: no destructor runs and nothing is flushed.
    fn die() -> ! {
        let _unused = std::process::Command::new("kill").arg("-9").arg(std::process::id().to_string()).status();
        std::process::abort()
    }
}
