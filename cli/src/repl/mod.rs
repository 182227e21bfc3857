//! The shell: statements over several lines up to `;`, dot commands, history, completion. Ctrl-C leaves the line or the
//! statement and not the shell.

mod complete;
mod dot;

use std::cell::RefCell;
use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cairn::{Arguments, Outcome, Watch};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::failure::{Exit, Failure, Result};
use crate::interrupt::{self, Again};
use crate::session::Session;
use crate::terminal::{complain, note, standard_output};
use crate::watch::Attention;
use complete::Words;
use dot::After;

/// Lines of history that are kept.
const HISTORY_LINES: usize = 2_000;
/// How often a running statement looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(30);

/// How long leaving the shell waits for statements that were left by Ctrl-C: a write that had begun is finished.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state of a shell.
pub(crate) struct Shell {
    session: Session,
    /// Threads of statements that were left and may still run. Each holds the database.
    left: RefCell<Vec<JoinHandle<()>>>,
    timer: bool,
    /// Where answers go; `None`: standard output.
    output: Option<(PathBuf, File)>,
}

/// Runs the shell until `.exit` or the end of the input.
///
/// # Errors
/// When the terminal cannot be used.
pub(crate) fn run(session: Session) -> Result<()> {
    interrupt::listen(Again::Waits)?;
    let failed = |error: ReadlineError| Failure::new(format!("the terminal cannot be used: {error}"));
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)
        .map_err(failed)?
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .build();
    let mut editor: Editor<Words, FileHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Words::new(session.database.clone())));
    let history = history_file();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    note(&format!(
        "cairn {}: .help lists what can be typed, Tab completes, statements end with ;",
        env!("CARGO_PKG_VERSION")
    ));
    let mut shell = Shell { session, left: RefCell::default(), timer: false, output: None };
    loop {
        match editor.readline("cairn> ") {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                if shell.take(&line)? == After::Leave {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        }
        if let Some(path) = &history {
            // A history that cannot be kept is no reason to stop.
            let _ = editor.append_history(path);
        }
    }
    Ok(())
}

/// `$CAIRN_HISTORY` (empty: none is kept), else `~/.cairn_history`.
fn history_file() -> Option<PathBuf> {
    match env::var_os("CAIRN_HISTORY") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => env::home_dir().map(|home| home.join(".cairn_history")),
    }
}

/// Whether a line is a word by which other shells are left or asked for help.
fn leaves(line: &str) -> bool {
    ["quit", "exit", "help"].iter().any(|word| line.eq_ignore_ascii_case(word))
}

impl Shell {
    /// Runs what was typed. Failures are shown and the shell goes on; only a lost output ends it.
    fn take(&mut self, line: &str) -> Result<After> {
        interrupt::forget();
        let began = Instant::now();
        // A dot command behind an unfinished statement drops the statement.
        let last = line.lines().last().unwrap_or_default().trim();
        let command = if leaves(last) { Some(last) } else { last.strip_prefix('.') };
        let done = match command {
            Some(command) => self.dot(command),
            None => self.run(line).map(|()| After::Stay),
        };
        let after = match done {
            Ok(after) => after,
            Err(failure) if failure.exit() == Exit::Quiet => return Err(failure),
            Err(failure) if failure.exit() == Exit::Interrupted => {
                note(&failure.to_string().replace("error: ", ""));
                After::Stay
            }
            Err(failure) => {
                complain(&failure);
                After::Stay
            }
        };
        if self.timer {
            note(&format!("{:.3} s", began.elapsed().as_secs_f64()));
        }
        Ok(after)
    }

    /// Runs statements.
    fn run(&mut self, text: &str) -> Result<()> {
        let session = &self.session;
        let execute = |statement: String| execute(session, &self.left, statement);
        match &self.output {
            None => session.run_by(&execute, text, &mut Watched(standard_output())),
            Some((_, file)) => session.run_by(&execute, text, &mut Watched(BufWriter::new(file))),
        }
    }
}

/// Runs a statement on a thread of its own, so that Ctrl-C need not wait for it.
fn execute(session: &Session, left: &RefCell<Vec<JoinHandle<()>>>, statement: String) -> Result<Vec<Outcome>> {
    // Its own, so that what was left goes on stopping while the next statement runs.
    let watch = Arc::new(Attention::new());
    let (database, mut ports) = (session.database.clone(), session.ports.clone());
    ports.watch = Some(Arc::clone(&watch) as Arc<dyn Watch>);
    let (sender, receiver) = channel();
    let thread = thread::spawn(move || {
        // Nobody listens any more after Ctrl-C.
        let _ = sender.send(database.query(&statement, &Arguments::default(), &ports));
    });
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(outcomes) => {
                watch.rest();
                // It lets go of the database: whoever closes it last is the session.
                let _panicked = thread.join();
                return Ok(outcomes?);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::new("the statement ended without an answer")),
            Err(RecvTimeoutError::Timeout) if interrupt::pressed() => {
                watch.stop();
                let mut left = left.borrow_mut();
                left.retain(|thread| !thread.is_finished());
                left.push(thread);
                return Err(Failure::interrupted("cancelled; a write that had begun is finished in the background"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Drop for Shell {
    /// Statements that were left stop at their next piece. What does not come to an end in time, or before another Ctrl-C, ends with
    /// the process, which loses nothing that was acknowledged.
    fn drop(&mut self) {
        interrupt::forget();
        let mut waited = Duration::ZERO;
        while self.left.borrow().iter().any(|thread| !thread.is_finished()) {
            if waited >= PATIENCE || interrupt::pressed() {
                return;
            }
            thread::sleep(LOOK);
            waited += LOOK;
        }
        // Finished, they still have to let go of the database.
        self.left.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// An output that Ctrl-C ends.
struct Watched<W>(W);

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if interrupt::pressed() {
            return Err(io::Error::other("cancelled"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
