//! Head-only training: it learns, it can be interrupted anywhere, and it refuses bad input.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::validate::retrieval;
use super::super::{Init, Loss, LossOptions, Sampling, Singles};
use std::path::Path;

use cairn::ErrorKind;

use super::*;

const DIMENSION: usize = 24;
const CLASSES: u32 = 6;

/// Images of six labels in 24 dimensions: four numbers say the label, the others are louder and say nothing. Two views each.
fn samples(images: u32, seed: u64) -> Samples {
    let mut centres = Mix::new(&[77]);
    let centre: Vec<Vec<f64>> = (0..CLASSES).map(|_| (0..4).map(|_| centres.normal()).collect()).collect();
    let mut mix = Mix::new(&[seed]);
    let labels: Vec<u32> = (0..images).map(|i| 10 * (i % CLASSES)).collect();
    let mut samples = Samples { dimension: DIMENSION, labels, ..Samples::default() };
    for image in 0..images {
        let loud: Vec<f64> = (0..DIMENSION).map(|_| mix.normal()).collect();
        for _ in 0..2 {
            samples.image.push(image);
            for (at, loud) in loud.iter().enumerate() {
                let quiet = centre[(image % CLASSES) as usize].get(at).map_or(*loud, |c| c + 0.2 * loud);
                samples.vectors.push((quiet + 0.05 * mix.normal()) as f32);
            }
        }
    }
    samples
}

fn options(loss: Loss) -> HeadOptions {
    let init = if loss.classifies() { Init::Whitened { shrinkage: 0.5 } } else { Init::Xavier };
    HeadOptions {
        dimension: 16,
        init,
        epochs: 12,
        batch: 20,
        noise: 0.1,
        dropout: 0.1,
        rate: 0.01,
        validation: 0.1,
        ..HeadOptions::new(loss)
    }
}

fn train(samples: &Samples, options: &HeadOptions, run: &Run) -> Result<Trained> {
    train_head(samples, options, &Hardware::cpu(), run)
}

/// What must not differ between two runs: the adapter's bits, and of every step all but its speed.
fn bits(trained: &Trained) -> Vec<u64> {
    let maps = trained.adapter.blocks.iter().filter_map(|block| block.map.as_ref());
    let single = |x: f32| u64::from(x.to_bits());
    let log = trained.log.iter().flat_map(|s| [s.epoch, single(s.loss), single(s.accuracy), s.rate.to_bits()]);
    maps.flat_map(|map| [&map.matrix, &map.bias]).flatten().map(|&x| single(x)).chain(log).collect()
}

#[test]
fn every_loss_learns_what_the_descriptor_hides() {
    let (samples, other) = (samples(120, 1), samples(60, 2));
    for loss in Loss::ALL {
        let options =
            HeadOptions { rate: 0.05, init: Init::Xavier, centres: false, epochs: 40, noise: 0.0, ..options(loss) };
        let trained = train(&samples, &options, &Run::quiet()).unwrap();
        let validation = trained.validation.unwrap();
        println!("{}: mAP {:.3} -> {:.3}", loss.word(), validation.before.map, validation.after.map);
        assert!(validation.after.map > validation.before.map + 0.1, "{}", loss.word());
        let mean = |steps: &[Step]| steps.iter().map(|s| s.loss).sum::<f32>() / steps.len() as f32;
        let log = &trained.log;
        assert!(mean(&log[log.len() - 5..]) < mean(&log[..5]), "{}", loss.word());
        // And on images that it never saw, each against the others.
        let rows: Vec<Vec<f32>> =
            other.vectors.chunks(2 * DIMENSION).map(|views| views[..DIMENSION].to_vec()).collect();
        let adapted: Vec<Vec<f32>> = rows.iter().map(|row| trained.adapter.apply(row).unwrap()).collect();
        let unit: Vec<Vec<f32>> = rows.iter().map(|row| crate::model::adapter::unit(row).unwrap()).collect();
        let map = |rows: &[Vec<f32>]| retrieval(&rows[..30], &other.labels[..30], &rows[30..], &other.labels[30..]).map;
        assert!(map(&adapted) > map(&unit) + 0.1, "{}: {} {}", loss.word(), map(&unit), map(&adapted));
    }
}

#[test]
fn closed_form_starts_are_good_before_the_first_step() {
    let samples = samples(120, 1);
    let options = HeadOptions { rate: 0.0, last_rate: 0.0, epochs: 1, frozen_epochs: 1, ..options(Loss::ArcFace) };
    let validation = |init, dimension| {
        let options = HeadOptions { init, dimension, ..options.clone() };
        train(&samples, &options, &Run::quiet()).unwrap().validation.unwrap()
    };
    let identity = validation(Init::Identity, DIMENSION);
    assert!((identity.before.map - identity.after.map).abs() < 1e-3);
    let whitened = validation(Init::Whitened { shrinkage: 0.1 }, 8);
    assert!(whitened.after.map > whitened.before.map + 0.1);
}

/// Stops after some steps, or dies there silently; `None` once the training ends normally.
fn cut_short(samples: &Samples, options: &HeadOptions, path: &Path, after: u64, dies: bool) -> Option<Trained> {
    let left = Cell::new(after);
    let progress = |_: &Step| {
        left.set(left.get() - 1);
        match left.get() {
            0 if dies => std::panic::resume_unwind(Box::new("killed")),
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let run = Run { checkpoint: Some(path), every: 4, log: None, progress: &progress };
    match catch_unwind(AssertUnwindSafe(|| train(samples, options, &run))) {
        Ok(Ok(trained)) => Some(trained),
        Ok(Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
            assert!(error.to_string().contains("to resume from"), "{error}");
            None
        }
        Err(_) => None,
    }
}

#[test]
fn a_training_cut_short_anywhere_ends_in_the_same_bits() {
    let samples = samples(120, 1);
    for loss in Loss::ALL {
        let options = options(loss);
        let whole = train(&samples, &options, &Run::quiet()).unwrap();
        assert_eq!(whole.log.len(), 60, "{}", loss.word());
        for seed in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("training");
            let mut mix = Mix::new(&[seed, 4711]);
            let mut parts = 1;
            let resumed = loop {
                // A death loses up to three steps, so each part makes at least four.
                let after = 5 + mix.below(20) as u64;
                match cut_short(&samples, &options, &path, after, mix.below(2) == 0) {
                    Some(trained) => break trained,
                    None => parts += 1,
                }
            };
            assert!(parts > 2);
            assert!(bits(&resumed) == bits(&whole), "{} in {parts} parts", loss.word());
            assert_eq!(resumed.validation, whole.validation);
            // A training that has ended is read, not made again.
            let again = train(
                &samples,
                &options,
                &Run { checkpoint: Some(&path), progress: &|_| unreachable!(), ..Run::quiet() },
            );
            assert!(bits(&again.unwrap()) == bits(&whole));
        }
    }
}

#[test]
fn the_log_file_of_a_resumed_training_has_every_step_once() {
    let (samples, options) = (samples(120, 1), options(Loss::CosFace));
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("training"), folder.path().join("log.csv"));
    let stop = |step: &Step| if step.step == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    for progress in [&stop as &dyn Fn(&Step) -> ControlFlow<()>, &|_| ControlFlow::Continue(())] {
        let run = Run { checkpoint: Some(&path), every: 50, log: Some(&log), progress };
        let ended = train(&samples, &options, &run);
        let text = std::fs::read_to_string(&log).unwrap();
        let steps: Vec<u64> =
            text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
        assert!(steps.into_iter().eq(1..=if ended.is_ok() { 60 } else { 7 }));
    }
}

#[test]
fn another_trainings_checkpoint_is_refused_by_what_differs() {
    let (images, begun) = (samples(120, 1), options(Loss::ArcFace));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training");
    let run = Run { checkpoint: Some(&path), progress: &|_| ControlFlow::Break(()), ..Run::quiet() };
    train(&images, &begun, &run).unwrap_err();
    let refusal = |samples: &Samples, options: &HeadOptions| {
        let error = train(samples, options, &run).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        error.to_string()
    };
    let other = HeadOptions { dimension: 8, ..begun.clone() };
    assert!(refusal(&images, &other).contains("dimension = 8, there 16"));
    assert!(refusal(&images, &options(Loss::AdaCos)).contains("loss = adacos, there arcface"));
    assert!(refusal(&samples(120, 2), &begun).contains("other images"));
    std::fs::write(&path, b"damaged").unwrap();
    assert_eq!(train(&images, &begun, &run).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_training_and_the_last_one_stays() {
    let (samples, options) = (samples(120, 1), options(Loss::ArcFace));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training");
    let fill = |step: &Step| {
        if step.step == 8 {
            std::fs::create_dir(folder.path().join("training.tmp")).unwrap();
        }
        ControlFlow::Continue(())
    };
    let run = Run { checkpoint: Some(&path), every: 4, log: None, progress: &fill };
    let refusal = train(&samples, &options, &run).unwrap_err().to_string();
    assert!(refusal.contains("File exists") && refusal.contains("can resume from it"), "{refusal}");
    std::fs::remove_dir(folder.path().join("training.tmp")).unwrap();
    let first = Cell::new(0);
    let progress = |step: &Step| {
        first.set(if first.get() == 0 { step.step } else { first.get() });
        ControlFlow::Continue(())
    };
    let resumed = train(&samples, &options, &Run { progress: &progress, ..run }).unwrap();
    assert_eq!(first.get(), 5);
    assert!(bits(&resumed) == bits(&train(&samples, &options, &Run::quiet()).unwrap()));
}

#[test]
fn a_training_that_leaves_the_numbers_says_so() {
    let options = HeadOptions { rate: 1e3, last_rate: 1e3, ..options(Loss::Softmax) };
    let options = HeadOptions { weight_decay: 1.0, ..options };
    let refusal = train(&samples(120, 1), &options, &Run::quiet()).unwrap_err().to_string();
    assert!(refusal.contains("diverged") && refusal.contains("learning rate below"), "{refusal}");
}

#[test]
fn the_options_reach_the_training() {
    let samples = samples(120, 1);
    let base = HeadOptions { epochs: 3, ..options(Loss::ArcFace) };
    let first = bits(&train(&samples, &base, &Run::quiet()).unwrap());
    let changes: [&dyn Fn(&mut HeadOptions); 11] = [
        &|o| o.loss = LossOptions { margin: 0.2, ..o.loss },
        &|o| o.loss = LossOptions { smoothing: 0.1, ..o.loss },
        &|o| o.init = Init::Pca,
        &|o| o.centres = true,
        &|o| o.frozen_epochs = 0,
        &|o| o.sampling = Sampling::Grouped { images: 4 },
        &|o| o.momentum = 0.5,
        &|o| o.weight_decay = 1e-2,
        &|o| o.dropout = 0.0,
        &|o| o.noise = 0.0,
        &|o| o.seed = 2,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut options = base.clone();
        change(&mut options);
        assert!(bits(&train(&samples, &options, &Run::quiet()).unwrap()) != first, "change {at}");
    }
    assert!(bits(&train(&samples, &base, &Run::quiet()).unwrap()) == first);
    let single = Samples { labels: (0..120).map(|i| if i == 0 { 999 } else { i % 3 }).collect(), ..samples };
    assert!(train(&single, &base, &Run::quiet()).unwrap_err().to_string().contains("only one image"));
    train(&single, &HeadOptions { singles: Singles::Keep, ..base }, &Run::quiet()).unwrap();
}

#[test]
#[ignore = "measures; a minute"]
fn landmarks_with_every_loss_and_start() {
    use crate::testing::landmarks;
    let mut names = Vec::new();
    let Some((train_rows, labels)) = landmarks("train", &mut names) else { return };
    let ((index, index_labels), (query, query_labels)) =
        (landmarks("index", &mut names).unwrap(), landmarks("query", &mut names).unwrap());
    let samples = Samples {
        dimension: train_rows[0].len(),
        vectors: train_rows.concat(),
        image: (0..labels.len() as u32).collect(),
        labels,
    };
    println!("as it is: {:.4}", retrieval(&index, &index_labels, &query, &query_labels).map);
    let measure = |what: &str, options: HeadOptions| {
        let options = HeadOptions { validation: 0.0, singles: Singles::Keep, ..options };
        let trained = train(&samples, &options, &Run::quiet()).unwrap();
        let speed = trained.log.iter().map(|s| f64::from(s.images_per_second)).sum::<f64>() / trained.log.len() as f64;
        let map = |concatenation: f32| {
            let map = trained.adapter.blocks[0].map.clone().unwrap();
            let adapter = Adapter::affine(trained.adapter.input, map, concatenation);
            let adapt = |rows: &[Vec<f32>]| rows.iter().map(|row| adapter.apply(row).unwrap()).collect::<Vec<_>>();
            retrieval(&adapt(&index), &index_labels, &adapt(&query), &query_labels).map
        };
        let last = trained.log.last().unwrap();
        println!(
            "{what}: {:.4}, with the descriptor as it was {:.4}; loss {:.3}, accuracy {:.2}, {speed:.0} images/s",
            map(0.0),
            map(1.0),
            last.loss,
            last.accuracy
        );
    };
    for loss in Loss::ALL {
        measure(loss.word(), HeadOptions::new(loss));
    }
    let base = HeadOptions::new(Loss::ArcFace);
    let still = HeadOptions { rate: 0.0, last_rate: 0.0, epochs: 1, ..base.clone() };
    for init in [Init::Pca, Init::Whitened { shrinkage: 0.5 }, Init::Whitened { shrinkage: 0.9 }] {
        for dimension in [128, 512] {
            measure(&format!("{init:?} {dimension}, no step"), HeadOptions { init, dimension, ..still.clone() });
            measure(&format!("{init:?} {dimension}"), HeadOptions { init, dimension, centres: true, ..base.clone() });
        }
    }
}
