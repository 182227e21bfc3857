//! Decides whether a trained model may become active: it compares the new model, the network that the training started from, and
//! the active model on the same images held out.

use crate::train::{Comparison, HeldOut, Validation};

/// What a training is worth.
pub(super) struct Judged {
    /// Those that decide.
    figures: Vec<Figure>,
    lines: Vec<(&'static str, String)>,
}

/// A figure of the three models, mAP@100.
struct Figure {
    name: &'static str,
    /// The network that the training began with.
    base: f64,
    new: f64,
    /// The active model; `None`: it is that network.
    in_force: Option<f64>,
    /// Above the network's; otherwise it must not fall.
    must_rise: bool,
}

impl Figure {
    /// An active model whose descriptors were stored may have learnt from images that are held out now. That favours it: a model
    /// that replaces it anyway is better.
    fn why_worse(&self) -> Option<String> {
        let Self { name, base, new, must_rise, .. } = *self;
        if new == base && must_rise {
            return Some(format!("{name} is {base:.4} before and after the training, which has to raise it"));
        }
        if new < base {
            let digits = telling_digits(base, new);
            return Some(format!("{name} fell from {base:.digits$} to {new:.digits$}"));
        }
        let in_force = self.in_force.filter(|in_force| new < *in_force)?;
        let digits = telling_digits(in_force, new);
        Some(format!("{name} is {in_force:.digits$} with it and {new:.digits$} with the new one"))
    }
}

/// Number of digits at which two different figures look different.
fn telling_digits(one: f64, other: f64) -> usize {
    /// Those of every figure.
    const DIGITS: usize = 4;
    /// More than a figure has.
    const MOST_DIGITS: usize = 17;
    (DIGITS..MOST_DIGITS)
        .find(|&digits| format!("{one:.digits$}") != format!("{other:.digits$}"))
        .unwrap_or(MOST_DIGITS)
}

impl Judged {
    /// Images held out, and whole labels held out; `in_force` are the figures of the active model if it is not the network that
    /// the training started from.
    pub(super) fn of_two_ways(validation: &HeldOut, in_force: Option<&HeldOut>) -> Self {
        let HeldOut { images, classes, .. } = validation;
        let known = Figure {
            name: "sort + insert mAP@100 of images held out",
            base: images.before.reranked,
            new: images.after.reranked,
            in_force: in_force.map(|in_force| in_force.images.after.reranked),
            must_rise: true,
        };
        let others = in_force.map(|in_force| &in_force.images);
        Self::new(
            known,
            line(images, others),
            classes.as_ref(),
            in_force.and_then(|in_force| in_force.classes.as_ref()),
        )
    }

    /// Images held out; `in_force` as above.
    pub(super) fn of_images(validation: &Validation, in_force: Option<&Validation>) -> Self {
        let known = Figure {
            name: "mAP@100 of images held out",
            base: validation.before.map,
            new: validation.after.map,
            in_force: in_force.map(|in_force| in_force.after.map),
            must_rise: true,
        };
        let mut text = format!("{:.4} -> {:.4}", known.base, known.new);
        if let Some(in_force) = known.in_force {
            text.push_str(&format!("; active: {in_force:.4}"));
        }
        let others = in_force.and_then(|in_force| in_force.unknown.as_ref());
        Self::new(known, text, validation.unknown.as_ref(), others)
    }

    fn new(known: Figure, text: String, labels: Option<&Comparison>, in_force: Option<&Comparison>) -> Self {
        let mut judged = Self { figures: vec![known], lines: vec![("mAP@100, images held out", text)] };
        if let Some(labels) = labels {
            judged.lines.push(("mAP@100, labels held out too", line(labels, in_force)));
            judged.figures.push(Figure {
                name: "kNN mAP@100 of labels held out too",
                base: labels.before.knn,
                new: labels.after.knn,
                in_force: in_force.map(|in_force| in_force.after.knn),
                must_rise: false,
            });
        }
        judged
    }

    /// Why the new model is not better; `None`: it is.
    pub(super) fn why_worse(&self) -> Option<String> {
        self.figures.iter().find_map(Figure::why_worse)
    }

    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        self.lines.clone()
    }
}

fn line(Comparison { before, after }: &Comparison, in_force: Option<&Comparison>) -> String {
    let mut text = format!(
        "kNN {:.4} -> {:.4}, sort + insert {:.4} -> {:.4}",
        before.knn, after.knn, before.reranked, after.reranked
    );
    if let Some(Comparison { after, .. }) = in_force {
        text.push_str(&format!("; active: kNN {:.4}, sort + insert {:.4}", after.knn, after.reranked));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn figure(base: f64, new: f64, in_force: Option<f64>, must_rise: bool) -> Figure {
        Figure { name: "mAP", base, new, in_force, must_rise }
    }

    #[test]
    fn a_new_model_is_as_good_as_both() {
        assert_eq!(figure(0.6, 0.7, None, true).why_worse(), None);
        assert_eq!(figure(0.6, 0.7, Some(0.7), true).why_worse(), None);
        assert_eq!(figure(0.6, 0.6, Some(0.5), false).why_worse(), None);
        let why = figure(1.0, 1.0, None, true).why_worse().unwrap();
        assert!(why.contains("is 1.0000 before and after") && why.contains("has to raise it"), "{why}");
        // It catches: figures whose difference nobody sees.
        let why = figure(1.0, 0.999_996, None, false).why_worse().unwrap();
        assert!(why.contains("fell from 1.000000 to 0.999996"), "{why}");
        assert_ne!(why.split(" from ").nth(1).unwrap().split(" to ").next(), why.split(" to ").nth(1), "{why}");
        assert!(figure(0.6, 0.5, None, false).why_worse().unwrap().contains("fell from 0.6000 to 0.5000"));
        let why = figure(0.6, 0.7, Some(0.85), true).why_worse().unwrap();
        assert!(why.contains("0.8500 with it") && why.contains("0.7000 with the new one"), "{why}");
    }
}
