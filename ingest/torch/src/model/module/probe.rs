//! The first loading of a network that somebody else made, in another process: a file of 2 KB can ask for 226 GB, or compute for ever.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output as Ended, Stdio};
use std::sync::{Mutex, PoisonError};

use cairn::{Error, ErrorKind, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::{MAX_WEIGHTS_BYTES, Module};
use crate::device::Hardware;

/// The first output of a probe: a process that prints something else is another program.
const GREETING: &str = "CAIRN NETWORK 1\n";
/// Bytes that a probe may take, beside several times those of the file.
const BYTES: u64 = 4 << 30;
/// How many times those of the file: as they are, unpacked, and what libtorch makes of them.
const TIMES_THE_FILE: u64 = 6;
/// Seconds of a processor that a probe may take.
const SECONDS: u64 = 60;
/// Most bytes of its answer.
const MOST_ANSWER: u64 = 1 << 20;
/// SIGXCPU.
const OUT_OF_TIME: i32 = 24;

/// How to start a process that loads a network first: a program and its first arguments, to which others are added. The program must
/// pass the added ones to [`probe_network`] and end with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prober {
    program: PathBuf,
    words: Vec<OsString>,
}

impl Prober {
    /// That program, called with these words first.
    pub fn new(program: impl Into<PathBuf>, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { program: program.into(), words: words.into_iter().map(Into::into).collect() }
    }
}

static PROBER: Mutex<Option<Prober>> = Mutex::new(None);

/// From now on a process of its own loads each network of a new database, and each that is to be trusted, before this process does:
/// with 60 seconds of a processor and 4 GiB of memory beside six times the file's length. Without one (`None`, the default) a
/// hostile file can take what this process may take.
pub fn set_prober(prober: Option<Prober>) {
    *PROBER.lock().unwrap_or_else(PoisonError::into_inner) = prober;
}

/// What a probe answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// The complete rules.
    Fits(Rules),
    /// Why it cannot be used, and what to do.
    Refused(String, String),
}

/// What a probe does, in the process that [`set_prober`] names; `words` is what was put behind those of the [`Prober`]. It reads the
/// network from standard input and writes its answer to standard output.
///
/// Returns whether the words were understood.
#[must_use = "the process must end with a failure where it was called with other words"]
pub fn probe_network(words: &[OsString]) -> bool {
    let [name, rules] = words else { return false };
    let (Some(name), Some(rules)) = (name.to_str(), rules.to_str()) else { return false };
    let answer = probed(name, rules);
    let answer = answer.unwrap_or_else(|error| {
        Answer::Refused(error.message().to_owned(), error.next_step().unwrap_or_default().to_owned())
    });
    let text = serde_json::to_string(&answer).unwrap_or_default();
    let mut out = std::io::stdout();
    out.write_all(format!("{GREETING}{text}").as_bytes()).and_then(|()| out.flush()).is_ok()
}

fn probed(name: &str, rules: &str) -> Result<Answer> {
    let rules = Rules::parse(rules)?;
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(MAX_WEIGHTS_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| Error::new(ErrorKind::Io, format!("the network cannot be read: {error}")))?;
    let memory = most_memory(bytes.len());
    let limits = [
        // A core of a process that is meant to die helps nobody.
        (Resource::Core, 0, 0),
        // At the second one the system kills it; the first one says why.
        (Resource::Cpu, SECONDS, SECONDS + 5),
        (Resource::Data, memory, memory),
    ];
    for (resource, most, last) in limits {
        let limit = Rlimit { current: Some(most), maximum: Some(last) };
        // Where the limit is lower already, that one stays.
        let _as_it_was = setrlimit(resource, limit);
    }
    Ok(Answer::Fits(Module::load(&bytes, name, rules, &Hardware::cpu())?.rules().clone()))
}

/// Bytes that the probe of a file of that length may take.
fn most_memory(length: usize) -> u64 {
    BYTES + TIMES_THE_FILE * length as u64
}

/// The complete rules of a network, found by a process of its own, or by this one where no prober is set.
///
/// # Errors
/// `Invalid`: the bytes are no network that can be used, with these rules; `Io`: the process cannot be started.
pub(crate) fn probe(bytes: &[u8], name: &str, rules: &Rules) -> Result<Rules> {
    rules.check()?;
    let prober = PROBER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(Prober { program, words }) = prober else {
        return Ok(Module::load(bytes, name, rules.clone(), &Hardware::cpu())?.rules().clone());
    };
    let cannot = |why: String| {
        Error::new(ErrorKind::Io, format!("{} cannot be started to try {name} first: {why}", program.display()))
            .help("raise the limits of this process (ulimit -u, ulimit -v), or end other programs")
    };
    let mut command = Command::new(&program);
    command.args(words).arg(name).arg(rules.text());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| cannot(error.to_string()))?;
    let into = child.stdin.take();
    let ended = std::thread::scope(|scope| {
        // It may die before it has read everything, which is told by how it ended.
        scope.spawn(move || into.map(|mut into| into.write_all(bytes)));
        let mut answer = Vec::new();
        if let Some(out) = child.stdout.take() {
            out.take(MOST_ANSWER).read_to_end(&mut answer)?;
        }
        Ok::<_, std::io::Error>(Ended { status: child.wait()?, stdout: answer, stderr: Vec::new() })
    });
    let ended = ended.map_err(|error| cannot(error.to_string()))?;
    let refuse = |what: String, help: &str| Err(Error::invalid(format!("{name} {what}")).help(help));
    if let Some(signal) = ended.status.signal() {
        return match signal {
            1 | 2 | 15 => Err(Error::new(ErrorKind::Cancelled, format!("stopped while {name} was tried"))),
            OUT_OF_TIME => refuse(
                format!("computes for more than {SECONDS} seconds of a processor on one photo"),
                "a network that embeds photos answers in seconds: name another",
            ),
            _ => refuse(
                format!("ended the process that tried it, by signal {signal}"),
                &format!(
                    "it is damaged, made to do harm, or needs more than the {} bytes of memory that a file of its length gets",
                    most_memory(bytes.len())
                ),
            ),
        };
    }
    let text = String::from_utf8(ended.stdout).unwrap_or_default();
    let answer = text.strip_prefix(GREETING).and_then(|text| serde_json::from_str(text).ok());
    match answer {
        Some(Answer::Fits(rules)) => Ok(rules),
        Some(Answer::Refused(message, help)) => Err(Error::invalid(message).help(help)),
        None => Err(cannot(format!("it does not try networks, and ended with {}", ended.status))),
    }
}
