//! What people see of a training: how it was judged, and its loss as a picture.

use std::fmt::Write;
use std::path::Path;

use cairn::{Error, Result};

use crate::train::{Comparison, HeldOut, Step, Validation};

/// How a training was judged.
pub(super) struct Judged {
    /// Why the new model is not better: the figure that decided. `None`: it is.
    worse: Option<String>,
    /// mAP@100 of sort + insert with the new descriptors: images held out ask for each other.
    pub(super) reranked: f64,
    lines: Vec<(&'static str, String)>,
}

impl Judged {
    /// Images held out, and whole labels held out.
    pub(super) fn of_two_ways(validation: &HeldOut) -> Self {
        let mut lines = vec![line("mAP@100, images held out", &validation.images)];
        lines.extend(validation.classes.as_ref().map(|classes| line("mAP@100, labels held out too", classes)));
        let HeldOut { images, classes, .. } = validation;
        let worse = fell(
            "kNN mAP@100 of labels held out too",
            classes.map(|labels| (labels.before.knn, labels.after.knn)),
            false,
        );
        let known = Some((images.before.reranked, images.after.reranked));
        Self {
            reranked: images.after.reranked,
            worse: fell("sort + insert mAP@100 of images held out", known, true).or(worse),
            lines,
        }
    }

    /// Images held out.
    pub(super) fn of_images(validation: &Validation) -> Self {
        let (before, after) = (validation.before.map, validation.after.map);
        let unknown = validation.unknown.map(|unknown| (unknown.before.knn, unknown.after.knn));
        let mut lines = vec![("mAP@100, images held out", format!("{before:.4} -> {after:.4}"))];
        lines.extend(validation.unknown.as_ref().map(|unknown| line("mAP@100, labels held out too", unknown)));
        Self {
            reranked: validation.among.after.reranked,
            worse: fell("mAP@100 of images held out", Some((before, after)), true).or(fell(
                "kNN mAP@100 of labels held out too",
                unknown,
                false,
            )),
            lines,
        }
    }

    /// Why the new model is not better; `None`: it is.
    pub(super) fn why_worse(&self) -> Option<String> {
        self.worse.clone()
    }

    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        self.lines.clone()
    }
}

/// What to say where a figure, before and after, did not rise as it `must`, or fell.
fn fell(name: &str, figures: Option<(f64, f64)>, must_rise: bool) -> Option<String> {
    let (before, after) = figures?;
    let is_worse = if must_rise { after <= before } else { after < before };
    is_worse.then(|| format!("{name} went from {before:.4} to {after:.4}"))
}

fn line(name: &'static str, Comparison { before, after }: &Comparison) -> (&'static str, String) {
    let text = format!(
        "kNN {:.4} -> {:.4}, sort + insert {:.4} -> {:.4}",
        before.knn, after.knn, before.reranked, after.reranked
    );
    (name, text)
}

/// A number of a step.
type Value<'v> = &'v dyn Fn(&Step) -> f32;

/// A page with the loss and the accuracy of every step.
///
/// # Errors
/// `Io`.
pub(super) fn loss_plot(path: &Path, name: &str, log: &[Step]) -> Result<()> {
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
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Training with {name}</title>\
         <style>body{{font:16px system-ui;margin:2em;max-width:60em}}svg{{background:#f6f6f4}}\
         polyline{{fill:none;stroke:#2a6f97;stroke-width:1.5}}</style></head><body><h1>Training with {name}</h1>"
    );
    let plots: [(&str, Value<'_>); 3] = [
        ("loss", &|step| step.loss),
        ("accuracy of the mini-batch", &|step| step.accuracy),
        ("learning rate", &|step| step.rate as f32),
    ];
    for (title, value) in plots {
        let (points, most) = line(value);
        page.push_str(&format!(
            "<h2>{title}, 0 to {most:.4}, {} steps</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\"><polyline points=\"{points}\"/></svg>",
            log.len()
        ));
    }
    page.push_str("</body></html>\n");
    std::fs::write(path, page).map_err(|error| Error::io(path, error))
}
