//! The shell: statements over several lines up to `;`, dot commands, history, completion. Ctrl-C leaves the line or the
//! statement and not the shell.

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

use cairn::language::{MAX_TEXT_BYTES, Script};
use cairn::{Arguments, Outcome, Prepared, Watch};
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
    answers: Answers,
    failures: Failures,
}

/// What failed while the shell ran.
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

/// Where answers go.
enum Answers {
    Screen,
    /// Away, because `/dev/null` was named.
    Nowhere,
    /// Into a file that has its name when they go elsewhere.
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
    // However the shell is left, the file of .output gets its name.
    let kept = shell.answer_to(Answers::Screen);
    served.and(kept).and_then(|()| streams::check())?;
    // A person has seen what failed; a script that pipes its statements here looks at the exit code.
    if is_typed { Ok(()) } else { shell.failures.outcome() }
}

/// Reads what a person types.
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
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    note(&format!(
        "cairn {}: .help lists what can be typed, Tab completes, statements end with ;",
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
            // A terminal that is gone cannot be read; the signal that said so is what happened.
            Err(_) if interrupt::ending() => break,
            Err(error) => return Err(failed(error)),
        }
        if let Some(path) = &history {
            // A history that cannot be kept is no reason to stop.
            let _ = editor.append_history(path);
        }
    }
    Ok(())
}

/// Reads lines from a pipe or a file: each statement runs when its `;` has come, dot commands stand on lines of their own.
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
            // Ctrl-C drops what was begun.
            Err(_) if interrupt::pressed() => {
                interrupt::forget();
                script = Script::at_line(number + 1);
                continue;
            }
            Err(error) => return Err(Failure::new(format!("standard input cannot be read: {error}"))),
        }
        let text = String::from_utf8_lossy(&line);
        if dot_command(&text).is_some() {
            // It drops a statement that was begun.
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

/// How a history begins, by which it is told from files of others.
const HISTORY_BEGINS: &str = "#V2\n";

/// `$CAIRN_HISTORY` (empty: none is kept), else `~/.cairn_history`; none where something else lies there.
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
                    .replace("error: ", "no history is kept: "),
            );
            None
        }
    }
}

/// Whether a line is a word by which other shells are left or asked for help.
fn leaves(line: &str) -> bool {
    ["quit", "exit", "help"].iter().any(|word| line.eq_ignore_ascii_case(word))
}

/// The dot command of a text, without its dot: its last line, as behind a statement that was not ended.
fn dot_command(text: &str) -> Option<&str> {
    let last = text.lines().last().unwrap_or_default().trim();
    if leaves(last) {
        Some(last)
    } else {
        last.strip_prefix('.').filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

impl Shell {
    /// Runs what was typed. Failures are shown and the shell goes on; only a lost output ends it.
    fn take(&mut self, line: &str) -> Result<After> {
        interrupt::forget();
        let began = Instant::now();
        // A dot command behind an unfinished statement drops the statement.
        let done = match dot_command(line) {
            Some(command) => self.dot(command),
            None => self.run(line).map(|()| After::Stay),
        };
        self.settle(done, began)
    }

    /// Shows what failed, and how long it took.
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
                note(&format!("{} is as it was before; answers go to the screen again", draft.path().display()));
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

    /// Runs the script of a file as it comes.
    fn read(&mut self, path: &Path) -> Result<()> {
        let mut input = Input::open(path)?;
        let name = path.display().to_string();
        self.answer(|session, execute, out| session.run_script(execute, &mut input, &name, out))
    }

    /// Does something whose answers go where they shall.
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

    /// From now on answers go there; the file to which they went before gets its name.
    ///
    /// # Errors
    /// That file cannot be finished; nothing of it is left then.
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

/// Runs a statement on a thread of its own, so that Ctrl-C need not wait for it.
fn execute(session: &Session, left: &RefCell<Vec<JoinHandle<()>>>, statement: &Prepared) -> Result<Vec<Outcome>> {
    // Its own, so that what was left goes on stopping while the next statement runs.
    let watch = Arc::new(Attention::new());
    let (database, mut ports) = (session.database.clone(), session.ports.clone());
    ports.watch = Some(Arc::clone(&watch) as Arc<dyn Watch>);
    let (sender, receiver) = channel();
    let statement = statement.clone();
    let thread = thread::spawn(move || {
        // Nobody listens any more after Ctrl-C.
        let _ = sender.send(database.execute(&statement, &Arguments::default(), &ports));
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
            return Err(io::Error::other(Stopped));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
