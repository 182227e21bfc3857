//! The options of a training, from its plan.

use cairn::language::TrainPlan;
use cairn::{Progress, Result, Watch};
use std::ops::ControlFlow;

use crate::train::{Loss, LossOptions, Sampling, Step};

/// How an epoch goes through the images: as the loss needs it, in a mini-batch of the plan's size.
pub(super) fn sampling(plan: &TrainPlan, of_loss: Sampling) -> Sampling {
    match of_loss {
        // Two labels in a batch at least: images of one alone have nothing to be told from.
        Sampling::Grouped { images } => {
            let images = images.min(plan.batch / 2).max(2);
            if plan.balance { Sampling::ClassBalanced { images } } else { Sampling::Grouped { images } }
        }
        _ if plan.balance => Sampling::ClassBalanced { images: 1 },
        other => other,
    }
}

/// The loss with the margin and the scale of a plan.
pub(super) fn loss_options(plan: &TrainPlan) -> Result<LossOptions> {
    let defaults = LossOptions::new(plan.loss.name().parse::<Loss>()?);
    Ok(LossOptions {
        margin: plan.margin.unwrap_or(defaults.margin),
        scale: plan.scale.unwrap_or(defaults.scale),
        ..defaults
    })
}

/// Tells of a training's steps.
pub(super) fn progress<'w>(watch: Option<&'w dyn Watch>) -> impl Fn(&Step) -> ControlFlow<()> + 'w {
    move |step| {
        let Some(watch) = watch else { return ControlFlow::Continue(()) };
        let note = format!("loss {:.3}, {:.0} images/s", step.loss, step.images_per_second);
        watch.progress(Progress::new("steps", step.step as usize, step.steps as usize).note(&note))
    }
}
