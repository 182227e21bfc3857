//! The loss of a training as a picture.

use std::fmt::Write;
use std::path::Path;

use cairn::Result;
use maud::{DOCTYPE, html};

use crate::model::write_whole;
use crate::train::Step;

/// A number of a step.
type Value<'v> = &'v dyn Fn(&Step) -> f32;

/// A page with the loss and the accuracy of every step.
///
/// # Errors
/// `Io`.
pub(super) fn loss_plot(path: &Path, name: &str, log: &[Step]) -> Result<()> {
    const STYLE: &str = "body{font:16px system-ui;margin:2em;max-width:60em}svg{background:#f6f6f4}\
                         polyline{fill:none;stroke:#2a6f97;stroke-width:1.5}";
    /// Size of a plot in pixels.
    const WIDTH: f32 = 900.0;
    const HEIGHT: f32 = 280.0;
    let line = |value: Value<'_>| {
        let most = log.iter().map(value).fold(f32::MIN_POSITIVE, f32::max);
        let mut points = String::new();
        for (at, step) in log.iter().enumerate() {
            let x = WIDTH * at as f32 / log.len().max(2) as f32;
            // Writing to a string cannot fail.
            let _infallible = write!(points, "{x:.1},{:.1} ", HEIGHT - HEIGHT * value(step) / most);
        }
        (points, most)
    };
    let plots: [(&str, Value<'_>); 3] = [
        ("loss", &|step| step.loss),
        ("accuracy of the mini-batch", &|step| step.accuracy),
        ("learning rate", &|step| step.rate as f32),
    ];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Training with " (name) }
                style { (STYLE) }
            }
            body {
                h1 { "Training with " (name) }
                @for (title, value) in plots {
                    @let (points, most) = line(value);
                    h2 { (title) ", 0 to " (format!("{most:.4}")) ", " (log.len()) " steps" }
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img" aria-label=(title) {
                        polyline points=(points) {}
                    }
                }
            }
        }
    };
    let page = page.into_string();
    write_whole(path, page.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// It catches: a page that may load or run something.
    #[test]
    fn the_page_may_load_and_run_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.html");
        loss_plot(&path, "arcface", &[]).unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        let policy = page.find("Content-Security-Policy").unwrap();
        assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""), "{page}");
        // Nothing stands before it that it would not be asked about.
        assert!(policy < page.find("<style>").unwrap() && !page.contains("<script") && !page.contains("http://"));
    }
}
