//! Progress of work: on a terminal a bar with rate and time left, elsewhere a plain line every few seconds.

use std::fmt::Write;
use std::io::{self, IsTerminal as _};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::terminal::note;

/// Time between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "     {bar:32.cyan/dim} {pos}/{len} {msg}  {rate}  {eta} left";
const COLOURLESS: &str = "     {bar:32} {pos}/{len} {msg}  {rate}  {eta} left";

/// Progress of one piece of work; many threads may step it.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// Plain lines instead, and when the last one was written.
    plain: Option<Mutex<Instant>>,
    done: AtomicU64,
    total: AtomicU64,
    began: Instant,
    noun: &'static str,
}

impl Bar {
    /// Progress towards `total` items of a kind.
    pub(crate) fn new(total: u64, noun: &'static str) -> Self {
        let person = io::stderr().is_terminal();
        let target = if person { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(noun);
        let template =
            if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) { COLOURLESS } else { TEMPLATE };
        // A template that does not parse would leave the library's plain bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                // A sink that refuses loses a number on the screen.
                let _ = write!(out, "{:.1} per second", state.per_sec());
            };
            bar.set_style(style.progress_chars("━╸─").with_key("rate", rate));
        }
        let plain = (!person).then(|| Mutex::new(Instant::now()));
        Self { bar, plain, done: AtomicU64::new(0), total: AtomicU64::new(total), began: Instant::now(), noun }
    }

    /// Sets the number of items done, which may be the same as before.
    pub(crate) fn reach(&self, done: u64) {
        if self.done.swap(done, Ordering::Relaxed) != done {
            self.show(done);
        }
    }

    fn show(&self, done: u64) {
        self.bar.set_position(done);
        if let Some(last) = &self.plain {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= PLAIN_EVERY {
                *last = Instant::now();
                let total = self.total.load(Ordering::Relaxed);
                note(&format!(
                    "     {done}/{total} {} ({:.1} per second)",
                    self.noun,
                    rate(done, self.began.elapsed())
                ));
            }
        }
    }

    /// Ends the work: removes the bar and prints a line with the speed.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
        let (done, took) = (self.done.load(Ordering::Relaxed), self.began.elapsed());
        if done > 0 {
            note(&format!(
                "     {done} {} in {:.1} s ({:.1} per second)",
                self.noun,
                took.as_secs_f64(),
                rate(done, took)
            ));
        }
    }
}

fn rate(done: u64, took: Duration) -> f64 {
    done as f64 / took.as_secs_f64().max(1e-3)
}
