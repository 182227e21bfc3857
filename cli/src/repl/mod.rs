//! The shell: statements over several lines up to `;`, dot commands, history, completion. Ctrl-C cancels the line or the
//! statement, but does not leave the shell.

mod complete;
mod dot;

use std::cell::RefCell;
use std::env;
use std::io::{self, BufRead as _, BufReader, BufWriter, IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cairn::{Arguments, Outcome, Prepared, Watch};
use cairndb_query::{MAX_TEXT_BYTES, Script};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Again, Stopped};
use crate::output::{Draft, Replace, Target};
use crate::session::{Execute, Session};
use crate::streams::{self, Input};
use crate::terminal::{complain, note, standard_output};
use crate::watch::Attention;
use complete::Words;
use dot::After;

/// Number of history lines that are kept.
const HISTORY_LINES: usize = 2_000;
/// How often a running statement checks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(30);

/// How long the end of the shell waits for statements that Ctrl-C cancelled: a write that has started is finished.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state of a shell.
pub(crate) struct Shell {
    session: Session,
    /// Threads of cancelled statements that may still run. Each holds the database.
    left: RefCell<Vec<JoinHandle<()>>>,
    timer: bool,
    answers: Answers,
    failures: Failures,
}

/// The failures so far.
#[derive(Default)]
struct Failures {
    first: Option<Exit>,
    count: usize,
}

impl Failures {
    fn show(&mut self, failure: &Failure) {
        complain(failure);
        self.first.get_or_insert(failure.exit());
        self.count += 1;
    }

    /// # Errors
    /// Something failed; the exit code is that of the first failure.
    fn outcome(&self) -> Result<()> {
        let Some(first) = self.first else { return Ok(()) };
        let what = if self.count == 1 { "statement or command" } else { "statements or commands" };
        Err(Failure::new(format!("{} {what} failed; the others are done", self.count)).exits(first))
    }
}

/// The destination of answers.
enum Answers {
    Screen,
    /// None, because the user named `/dev/null`.
    Nowhere,
    /// A file, which gets its name when answers go elsewhere.
    File(Draft),
}

/// Runs the shell until `.exit`, the end of the input, or a signal that ends programs.
///
/// # Errors
/// When the terminal cannot be used, or such a signal came.
pub(crate) fn run(session: Session) -> Result<()> {
    interrupt::listen(Again::Waits);
    let mut shell = Shell {
        session,
        left: RefCell::default(),
        timer: false,
        answers: Answers::Screen,
        failures: Failures::default(),
    };
    let is_typed = io::stdin().is_terminal();
    let served = if is_typed { typed(&mut shell) } else { piped(&mut shell) };
    // However the shell ends, the file of .output gets its name.
    let kept = shell.answer_to(Answers::Screen);
    served.and(kept).and_then(|()| streams::check())?;
    // A person has seen the failures; a script that pipes its statements here checks the exit code.
    if is_typed { Ok(()) } else { shell.failures.outcome() }
}

/// Reads lines from a terminal.
fn typed(shell: &mut Shell) -> Result<()> {
    let failed = |error: ReadlineError| Failure::new(format!("the terminal cannot be used: {error}"));
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)
        .map_err(failed)?
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .build();
    let mut editor: Editor<Words, FileHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Words::new(shell.session.database.clone())));
    let history = history_file();
    if let Some(path) = &history {
        // The first time, there is no history.
        let _ = editor.load_history(path);
    }
    note(&format!(
        "cairn {}: .help lists the commands, Tab completes, statements end with ;",
        env!("CARGO_PKG_VERSION")
    ));
    while !interrupt::ending() {
        match editor.readline("cairn> ") {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                if shell.take(&line)? == After::Leave {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            // A terminal that is gone cannot be read; the cause is the signal that said so.
            Err(_) if interrupt::ending() => break,
            Err(error) => return Err(failed(error)),
        }
        if let Some(path) = &history {
            // A history that cannot be saved is no reason to stop.
            let _ = editor.append_history(path);
        }
    }
    Ok(())
}

/// Reads lines from a pipe or a file: each statement runs when its `;` has come; dot commands have their own lines.
fn piped(shell: &mut Shell) -> Result<()> {
    let mut input = BufReader::new(Input::standard()?);
    let (mut script, mut number) = (Script::new(), 0);
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(MAX_TEXT_BYTES as u64).read_until(b'\n', &mut line);
        number += usize::from(line.ends_with(b"\n"));
        match read {
            Ok(_) => {}
            Err(_) if interrupt::ending() => return Ok(()),
            // Ctrl-C drops an unfinished statement.
            Err(_) if interrupt::pressed() => {
                interrupt::forget();
                script = Script::at_line(number + 1);
                continue;
            }
            Err(error) => return Err(Failure::new(format!("standard input cannot be read: {error}"))),
        }
        let text = String::from_utf8_lossy(&line);
        if dot_command(&text).is_some() {
            // It drops an unfinished statement.
            script = Script::at_line(number + 1);
            if shell.take(&text)? == After::Leave {
                return Ok(());
            }
        } else if line.is_empty() {
            script.end();
        } else if let Err(error) = script.push(&line) {
            shell.failures.show(&Failure::new(error.to_string()).help(error.help()));
            script = Script::at_line(number + 1);
        }
        loop {
            let began = Instant::now();
            match script.take() {
                Ok(None) => break,
                Ok(Some(piece)) => {
                    interrupt::forget();
                    let done = shell.answer(|session, execute, out| session.run_piece(execute, piece, out));
                    shell.settle(done.map(|()| After::Stay), began)?;
                }
                Err(error) => {
                    shell.failures.show(&Failure::new(error.to_string()).help(error.help()));
                    script = Script::at_line(number + 1);
                }
            }
            if interrupt::ending() {
                return Ok(());
            }
        }
        if line.is_empty() {
            return Ok(());
        }
    }
}

/// The first line of a history, which tells it from other files.
const HISTORY_BEGINS: &str = "#V2\n";

/// `$CAIRN_HISTORY` (empty: no history), else `~/.cairn_history`; no history if that path has another kind of file.
fn history_file() -> Option<PathBuf> {
    let path = match env::var_os("CAIRN_HISTORY") {
        Some(path) if path.is_empty() => return None,
        Some(path) => path.into(),
        None => env::home_dir()?.join(".cairn_history"),
    };
    match Target::check(&path, Replace::Beginning(HISTORY_BEGINS)) {
        Ok(_) => Some(path),
        Err(failure) => {
            note(
                &failure
                    .help("CAIRN_HISTORY names another file")
                    .to_string()
                    .replace("error: ", "no history is saved: "),
            );
            None
        }
    }
}

/// Whether a line is a word that leaves other shells or asks for help there.
fn leaves(line: &str) -> bool {
    ["quit", "exit", "help"].iter().any(|word| line.eq_ignore_ascii_case(word))
}

/// The dot command of a text, without its dot: its last line, even after an unfinished statement.
fn dot_command(text: &str) -> Option<&str> {
    let last = text.lines().last().unwrap_or_default().trim();
    if leaves(last) {
        Some(last)
    } else {
        last.strip_prefix('.').filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

impl Shell {
    /// Runs a text. It shows failures and the shell continues; only a lost output ends the shell.
    fn take(&mut self, line: &str) -> Result<After> {
        interrupt::forget();
        let began = Instant::now();
        // A dot command after an unfinished statement drops the statement.
        let done = match dot_command(line) {
            Some(command) => self.dot(command),
            None => self.run(line).map(|()| After::Stay),
        };
        self.settle(done, began)
    }

    /// Shows a failure, and the time that it took.
    fn settle(&mut self, done: Result<After>, began: Instant) -> Result<After> {
        let after = match done {
            Ok(after) => after,
            Err(failure) if failure.exit() == Exit::Quiet => return Err(failure),
            Err(failure) if failure.exit().is_stop() => {
                note(&failure.to_string().replace("error: ", ""));
                After::Stay
            }
            Err(failure) => {
                self.failures.show(&failure);
                After::Stay
            }
        };
        if matches!(&self.answers, Answers::File(draft) if draft.failed()) {
            let lost = std::mem::replace(&mut self.answers, Answers::Screen);
            if let Answers::File(draft) = lost {
                note(&format!("{} is unchanged; answers go to the screen again", draft.path().display()));
            }
        }
        if self.timer {
            note(&format!("{:.3} s", began.elapsed().as_secs_f64()));
        }
        Ok(after)
    }

    /// Runs statements.
    fn run(&mut self, text: &str) -> Result<()> {
        self.answer(|session, execute, out| session.run_by(execute, text, out))
    }

    /// Runs the script of a file as it is read.
    fn read(&mut self, path: &Path) -> Result<()> {
        let mut input = Input::open(path)?;
        let name = path.display().to_string();
        self.answer(|session, execute, out| session.run_script(execute, &mut input, &name, out))
    }

    /// Runs something whose answers go to the current destination.
    fn answer(&mut self, run: impl FnOnce(&Session, Execute<'_>, &mut dyn Write) -> Result<()>) -> Result<()> {
        let session = &self.session;
        let left = &self.left;
        let execute = |statement: &Prepared| execute(session, left, statement);
        match &mut self.answers {
            Answers::Screen => run(session, &execute, &mut Watched(standard_output())),
            Answers::Nowhere => run(session, &execute, &mut io::sink()),
            Answers::File(draft) => run(session, &execute, &mut Watched(BufWriter::new(draft))),
        }
    }

    /// Sends answers there from now on; the earlier file gets its name.
    ///
    /// # Errors
    /// The earlier file cannot be finished; no part of it is left then.
    fn answer_to(&mut self, answers: Answers) -> Result<()> {
        match std::mem::replace(&mut self.answers, answers) {
            Answers::File(draft) => {
                let path = draft.path().to_owned();
                draft.finish()?;
                note(&format!("answers are in {}", path.display()));
                Ok(())
            }
            Answers::Screen | Answers::Nowhere => Ok(()),
        }
    }
}

/// Runs a statement on a separate thread, so that Ctrl-C need not wait for it.
fn execute(session: &Session, left: &RefCell<Vec<JoinHandle<()>>>, statement: &Prepared) -> Result<Vec<Outcome>> {
    // A separate flag, so that a cancelled statement still stops while the next one runs.
    let watch = Arc::new(Attention::new());
    let (database, mut ports) = (session.database.clone(), session.ports.clone());
    ports.watch = Some(Arc::clone(&watch) as Arc<dyn Watch>);
    let (sender, receiver) = channel();
    let statement = statement.clone();
    let thread = thread::spawn(move || {
        // After Ctrl-C nobody receives the result.
        let _ = sender.send(database.execute(&statement, &Arguments::default(), &ports));
    });
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(outcomes) => {
                watch.rest();
                // It releases the database: the session must be the last one to close it.
                let _panicked = thread.join();
                return Ok(outcomes?);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::new("the statement ended without an answer")),
            Err(RecvTimeoutError::Timeout) if interrupt::pressed() => {
                watch.stop();
                let mut left = left.borrow_mut();
                left.retain(|thread| !thread.is_finished());
                left.push(thread);
                return Err(Failure::interrupted("cancelled; a write that has started is finished in the background"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Drop for Shell {
    /// Cancelled statements stop at their next check. If one does not end in time, or before another Ctrl-C, it ends with the
    /// process, which loses no acknowledged write.
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
        // Finished threads still have to release the database.
        self.left.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// An output that Ctrl-C ends.
struct Watched<W>(W);

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if interrupt::pressed() {
            return Err(io::Error::other(Stopped));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
