//! Progress of the engine's long work: a line on a terminal, nothing elsewhere; and the request to stop after Ctrl-C.

use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn::{Progress, Watch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupt::{self, Again};

/// How often the line is redrawn, so that its clock runs between two pieces of work.
const EVERY: Duration = Duration::from_millis(250);
/// Work that is done sooner shows no line.
const QUIET: Duration = Duration::from_millis(500);
const TEMPLATE: &str = "     {bar:32.cyan/dim} {pos}/{len} {msg}  {elapsed}  {eta} left";
const COLOURLESS: &str = "     {bar:32} {pos}/{len} {msg}  {elapsed}  {eta} left";

/// Watches the statements of a session, one after the other.
pub(crate) struct Attention {
    /// Standard error is a terminal.
    person: bool,
    /// The kind of work on the line, and the line.
    line: Mutex<Option<(String, ProgressBar)>>,
    /// When the statement first reported progress.
    since: Mutex<Option<Instant>>,
    stopped: AtomicBool,
}

impl Attention {
    /// No statement runs.
    pub(crate) fn new() -> Self {
        Self {
            person: io::stderr().is_terminal(),
            line: Mutex::new(None),
            since: Mutex::new(None),
            stopped: AtomicBool::new(false),
        }
    }

    /// The statement that it watches stops at its next check, and reports nothing more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.rest();
    }

    /// Ends the statement and removes its line.
    pub(crate) fn rest(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some((_, bar)) = self.line.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    fn show(&self, at: Progress<'_>) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        // One line for each kind of work: otherwise its clock would restart with every note.
        if line.as_ref().is_none_or(|(shown, _)| shown != at.what) {
            if let Some((_, bar)) = line.take() {
                bar.finish_and_clear();
            }
            *line = Some((at.what.to_owned(), bar()));
        }
        if let Some((_, bar)) = &*line {
            bar.set_message(at.note.map_or_else(|| at.what.to_owned(), |note| format!("{}, {note}", at.what)));
            bar.set_length(at.all as u64);
            bar.set_position(at.done as u64);
        }
    }
}

impl Watch for Attention {
    fn progress(&self, at: Progress<'_>) -> ControlFlow<()> {
        // From here on, there is something that Ctrl-C must not interrupt.
        interrupt::listen(Again::Ends);
        if self.stopped.load(Ordering::SeqCst) || interrupt::pressed() {
            return ControlFlow::Break(());
        }
        let takes_long = || {
            let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            since.get_or_insert_with(Instant::now).elapsed() >= QUIET
        };
        if self.person && takes_long() {
            self.show(at);
        }
        ControlFlow::Continue(())
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    // A template that does not parse would leave the library's plain bar.
    if let Ok(style) = ProgressStyle::with_template(if plain { COLOURLESS } else { TEMPLATE }) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.enable_steady_tick(EVERY);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_has_one_line_whatever_its_loss() {
        let watch = Attention::new();
        let line = || watch.line.lock().unwrap().as_ref().unwrap().1.clone();
        watch.show(Progress::new("steps", 1, 9).note("loss 2.5"));
        let first = line();
        watch.show(Progress::new("steps", 2, 9).note("loss 1.5"));
        assert!(!first.is_finished() && line().position() == 2 && line().message() == "steps, loss 1.5");
        watch.show(Progress::new("photos", 1, 2));
        assert!(first.is_finished(), "another kind of work has another line");
    }

    #[test]
    fn a_statement_that_is_stopped_is_told_so_and_the_next_one_is_not() {
        let (first, second) = (Attention::new(), Attention::new());
        let photos = |done| Progress::new("photos", done, 2);
        assert!(first.progress(photos(1)).is_continue());
        first.stop();
        assert!(first.progress(photos(2)).is_break());
        assert!(second.progress(photos(1)).is_continue());
    }
}
