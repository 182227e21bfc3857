//! The scout: a separate process that does the dangerous work first, and whose death is an error here.
//!
//! RocksDB trusts bytes with valid checksums. A crafted table or list of tables can therefore make it read invalid memory, which
//! ends the process by a signal. No library can prevent that from outside; a separate process can absorb it.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

/// The first output of a scout: a process that prints something else is another program.
pub(crate) const GREETING: &[u8] = b"CAIRN SCOUT 1\n";
/// A scout that gives no sign of life for so long goes round in circles. It gives one for each thousand entries.
const PATIENCE: Duration = Duration::from_secs(120);
/// SIGHUP, SIGINT, SIGTERM, SIGXCPU: a person or another program stopped it.
const STOPS: [i32; 4] = [1, 2, 15, 24];
/// SIGKILL: the system ends so what takes the memory of others; no bytes do that.
const KILLED: i32 = 9;
/// SIGABRT: an assertion, or no memory.
const ABORTED: i32 = 6;
/// What a shell adds to the number of a signal for an exit code.
const OF_SIGNAL: i32 = 128;

/// How to start a process that reads a catalog first: a program and its first arguments, to which the engine adds others. The
/// program must pass the added ones to the function `scout` and end with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scout {
    program: PathBuf,
    words: Vec<OsString>,
}

impl Scout {
    /// That program, called with these words first.
    pub fn new(program: impl Into<PathBuf>, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { program: program.into(), words: words.into_iter().map(Into::into).collect() }
    }
}

static SCOUT: Mutex<Option<Scout>> = Mutex::new(None);

/// From now on a scout first reads each catalog that is not known to have been written on this machine, before this process opens
/// it, and every catalog that is checked, repaired, verified or restored. Catalogs crafted to end the process that reads them are
/// then refused as `Corrupt`. Without a scout (`None`, the default) they may end this process.
///
/// Cost: where nothing of a catalog changed since it was closed here, a call of the system for each of its files. Otherwise the start of
/// a process; of a catalog from elsewhere one reading of it, until it was opened for writing once.
///
/// ```no_run
/// // In `main`, before anything else:
/// let mut words = std::env::args_os().skip(1);
/// if words.next().is_some_and(|word| word == "look-first") {
///     std::process::exit(i32::from(!cairn::runtime::scout(&words.collect::<Vec<_>>())));
/// }
/// cairn::runtime::set_scout(Some(cairn::runtime::Scout::new("/proc/self/exe", ["look-first"])));
/// ```
pub fn set_scout(scout: Option<Scout>) {
    *SCOUT.lock() = scout;
}

/// Whether there is one.
pub(crate) fn has_scout() -> bool {
    SCOUT.lock().is_some()
}

/// What became of a scout.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It came to its end, whatever it found.
    Lived,
    /// The catalog ended it; how, in words that follow `it`.
    Died(String),
}

/// Sends the scout with these words, and waits for it. Without one nobody goes, and that is as good.
///
/// # Errors
/// `Io`: it cannot be started, or is another program; `Cancelled`: it was stopped from outside.
pub(crate) fn send(what: &[&OsStr]) -> Result<End> {
    let scout = SCOUT.lock().clone();
    scout.map_or(Ok(End::Lived), |scout| sent(&scout, what))
}

/// [`send`] for this one.
fn sent(Scout { program, words }: &Scout, what: &[&OsStr]) -> Result<End> {
    let mut command = Command::new(program);
    command.args(words).args(what).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let cannot = |why: String| {
        let message = format!("{} cannot be started to read the catalog first: {why}", program.display());
        Error::new(ErrorKind::Io, message)
            .help("raise the limits of this process (ulimit -u, ulimit -v), or end other programs")
    };
    let mut child = command.spawn().map_err(|error| cannot(error.to_string()))?;
    let heard = child.stdout.take().ok_or_else(|| cannot("its output cannot be read".to_owned())).and_then(|said| {
        let (say, heard) = channel();
        let listen = move || listen(said, |bytes| say.send(bytes).is_ok());
        std::thread::Builder::new()
            .name("cairn-scout".to_owned())
            .spawn(listen)
            .map_err(|error| cannot(error.to_string()))?;
        Ok(heard)
    });
    let greeting = match heard {
        Ok(heard) => listened(&heard),
        Err(error) => {
            end(&mut child);
            return Err(error);
        }
    };
    let Some(greeting) = greeting else {
        end(&mut child);
        return Ok(End::Died(format!("did not respond for {} seconds", PATIENCE.as_secs())));
    };
    let status = child.wait().map_err(|error| cannot(error.to_string()))?;
    if status.success() && greeting == GREETING {
        return Ok(End::Lived);
    }
    let signal = status.signal().or_else(|| status.code()?.checked_sub(OF_SIGNAL));
    if signal.is_some_and(|signal| STOPS.contains(&signal)) {
        return Err(Error::new(ErrorKind::Cancelled, "stopped while a scout read the catalog; nothing was changed"));
    }
    if signal == Some(KILLED) || signal == Some(ABORTED) && has_little_memory() {
        let message = format!(
            "{} read the catalog first and was ended by signal {}, as happens when memory is short; nothing was changed",
            program.display(),
            signal.unwrap_or_default()
        );
        return Err(Error::new(ErrorKind::Io, message)
            .help("raise the limit of this process's memory (ulimit -v), or end other programs, and try again"));
    }
    if greeting != GREETING {
        return Err(cannot(format!("it is no scout, and ended with {status}")));
    }
    Ok(End::Died(words_of(status)))
}

/// Whether this process, and so the scout, may take only so much memory: what does not get any aborts.
fn has_little_memory() -> bool {
    use rustix::process::{Resource, getrlimit};
    [Resource::As, Resource::Data].into_iter().any(|resource| getrlimit(resource).current.is_some())
}

/// Hands on what it says until it says no more.
fn listen(mut said: ChildStdout, hand_on: impl Fn(Vec<u8>) -> bool) {
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = said.read(&mut buffer) {
        if !hand_on(buffer[..length].to_vec()) {
            break;
        }
    }
}

/// The first bytes that it said, once it says no more; `None`: it was silent for too long.
fn listened(heard: &Receiver<Vec<u8>>) -> Option<Vec<u8>> {
    let mut first = Vec::new();
    loop {
        match heard.recv_timeout(PATIENCE) {
            Ok(bytes) => first.extend(bytes.into_iter().take(GREETING.len() - first.len())),
            Err(RecvTimeoutError::Disconnected) => return Some(first),
            Err(RecvTimeoutError::Timeout) => return None,
        }
    }
}

fn end(child: &mut Child) {
    let _gone_already = child.kill();
    let _gone_already = child.wait();
}

/// How it ended, behind `it`.
fn words_of(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (_, Some(code)) => format!("ended with code {code}"),
        _ => "was ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Nothing sets the scout of the whole process here: other tests open databases meanwhile. It catches: a death that counts as an end, another program used as a
    /// scout.
    #[test]
    fn a_death_is_told_from_an_end_and_from_another_program() {
        let ended = |script: &str| sent(&Scout::new("/bin/sh", ["-c", script]), &[]);
        assert_eq!(ended("printf 'CAIRN SCOUT 1\\n....'; exit 0").unwrap(), End::Lived);
        assert_eq!(
            ended("printf 'CAIRN SCOUT 1\\n'; kill -SEGV $$").unwrap(),
            End::Died("was ended by signal 11".to_owned())
        );
        assert_eq!(ended("printf 'CAIRN SCOUT 1\\n'; exit 3").unwrap(), End::Died("ended with code 3".to_owned()));
        // Not SIGINT: whoever was started in the background ignores it.
        for stop in ["exit 143", "kill -TERM $$"] {
            let stopped = ended(&format!("printf 'CAIRN SCOUT 1\\n'; {stop}"));
            assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled, "{stop}");
        }
        // As the system ends what takes too much memory; an abort without a limit is the bytes'.
        assert_eq!(ended("printf 'CAIRN SCOUT 1\\n'; kill -KILL $$").unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(ended("printf 'CAIRN SCOUT 1\\n'; kill -ABRT $$").is_err(), has_little_memory());
        for other in ["exit 0", "exit 2", "echo hello"] {
            assert_eq!(ended(other).unwrap_err().kind(), ErrorKind::Io, "{other}");
        }
        let missing = sent(&Scout::new("/nothing/there", ["x"]), &[]);
        assert!(missing.unwrap_err().message().contains("cannot be started"));
        assert_eq!(send(&[]).unwrap(), End::Lived);
    }
}
