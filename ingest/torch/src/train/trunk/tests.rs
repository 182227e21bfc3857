#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;

use super::*;
use crate::model::{Model, NetworkKind, NetworkSettings, Place as Where, Settings};
use crate::random::Mix;
use crate::testing::largest_difference;
use cairndb_ingest::Encoder as _;
use cairndb_ingest::photo::Pixels;

const LABELS: usize = 3;
const EACH: usize = 4;

/// Photos of three kinds of stripes, some wide and some tall, as PNG files.
fn photos(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut mix = Mix::new(&[11]);
    let mut one = |image: usize| {
        let (width, height) = if image.is_multiple_of(EACH) { (60, 90) } else { (96, 64) };
        let (period, phase) = (4 + 5 * (image / EACH), mix.below(9));
        let mut rgb = Vec::new();
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            let stripe = if ((row + column + phase) / period).is_multiple_of(2) { 220 } else { 30 };
            rgb.extend([stripe, 255 - stripe, (mix.below(40) + image) as u8]);
        }
        let path = folder.join(format!("{image}.png"));
        image::save_buffer(&path, &rgb, width as u32, height as u32, image::ColorType::Rgb8).unwrap();
        path
    };
    (0..LABELS * EACH).map(&mut one).collect()
}

fn samples() -> Samples {
    let count = LABELS * EACH;
    Samples {
        dimension: 2,
        vectors: (0..count).flat_map(|image| [1.0, image as f32]).collect(),
        image: (0..count as u32).collect(),
        labels: (0..count).map(|image| (image / EACH) as u32).collect(),
    }
}

fn options() -> TrunkOptions {
    TrunkOptions {
        dimension: 32,
        epochs: 2,
        batch: 4,
        rate: 0.01,
        learns_p: true,
        validation: 0.0,
        ..TrunkOptions::new(Loss::ArcFace)
    }
}

fn begin() -> Weights {
    Weights::read(&Architecture::Lite0.default_weights().unwrap().find().unwrap(), None).unwrap()
}

fn train(paths: &[std::path::PathBuf], options: &TrunkOptions, run: &Run) -> Result<TrainedTrunk> {
    let (samples, photo) = (samples(), |image: u32| Ok(Photo::File(paths[image as usize].clone())));
    let set = PhotoSet { samples: &samples, photo: &photo, photos: blake3::hash(b"stripes") };
    train_trunk(&set, Architecture::Lite0, &begin(), options, &Hardware::cpu(), run)
}

fn settings(digest: blake3::Hash) -> Settings {
    let network =
        NetworkSettings { kind: NetworkKind::Built(Architecture::Lite0), weight: 1.0, digest, place: Where::Kept };
    Settings { networks: vec![network], scales: vec![1.0], adapter: None }
}

#[test]
fn a_training_that_was_cut_short_ends_in_the_same_bits_and_its_network_loads() {
    let folder = tempfile::tempdir().unwrap();
    let paths = photos(folder.path());
    let whole = train(&paths, &options(), &Run::quiet()).unwrap();
    // 3 tall photos do not make a batch of 4, the 9 wide ones make two; two epochs.
    assert_eq!((whole.log.len(), whole.never_seen), (4, 3));
    assert!((0.0..=1.0).contains(&whole.waited));
    let checkpoint = folder.path().join("checkpoint");
    let made = RefCell::new(Vec::new());
    let until = |last: u64| {
        let progress = |step: &Step| {
            made.borrow_mut().push(step.step);
            if step.step == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        train(&paths, &options(), &Run { checkpoint: Some(&checkpoint), progress: &progress, ..Run::quiet() })
    };
    for after in [1, 3] {
        let error = until(after).err().unwrap();
        assert_eq!(error.kind(), cairn::ErrorKind::Cancelled, "{error}");
    }
    let resumed = until(u64::MAX).unwrap();
    assert_eq!(*made.borrow(), [1, 2, 3, 4], "each part goes on where the last one stopped");
    assert!(resumed.weights == whole.weights, "the networks differ");
    let losses = |trained: &TrainedTrunk| trained.log.iter().map(|step| step.loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(losses(&resumed), losses(&whole));

    // What learns with frozen normalisations computes what the model computes that is loaded from its file.
    let file = Weights::from_bytes(Path::new("trained"), whole.weights, None).unwrap();
    let network = Network::load(Architecture::Lite0, &file, 32, true, 1, &Hardware::cpu()).unwrap();
    let model = Model::of_weights(&settings(file.digest()), Architecture::Lite0, &file, &Hardware::cpu()).unwrap();
    assert_eq!(model.dimension(), 32);
    let rgb: Vec<u8> = (0..224 * 160 * 3).map(|at| (at * 7 % 251) as u8).collect();
    let pixels = Pixels::new(224, 160, rgb.clone()).unwrap();
    let raw = Tensor::from_data_size(&rgb, &[1, 160, 224, 3], Kind::Uint8);
    let raw = tch::no_grad(|| network.forward(&raw, Norm::Frozen)).unwrap();
    let unit = crate::model::extract::unit_rows(&raw).unwrap().concat();
    let folded = model.embed(&[&pixels]).unwrap().concat();
    let apart = unit.iter().zip(&folded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-4, "{apart}");
}

#[test]
fn it_learns_and_frozen_normalisations_stay() {
    let folder = tempfile::tempdir().unwrap();
    let paths = photos(folder.path());
    let long = TrunkOptions { epochs: 8, augmentation: Augmentation::None, ..options() };
    let trained = train(&paths, &long, &Run::quiet()).unwrap();
    let mean = |steps: &[Step]| steps.iter().map(|step| step.loss).sum::<f32>() / steps.len() as f32;
    let (first, last) = (mean(&trained.log[..4]), mean(&trained.log[10..14]));
    assert!(last < 0.85 * first, "{first} -> {last}");

    let begin = begin();
    let frozen = TrunkOptions { epochs: 1, scaleup_epochs: 1, ..options() };
    let weights = train(&paths, &frozen, &Run::quiet()).unwrap().weights;
    let after = Weights::from_bytes(Path::new("trained"), weights, None).unwrap();
    for name in ["_bn0.weight", "_bn0.bias", "_bn0.running_mean", "_bn0.running_var"] {
        let (a, b) = (begin.tensor(name, &[32]).unwrap(), after.tensor(name, &[32]).unwrap());
        assert_eq!(largest_difference(&a, &b), 0.0, "{name}");
    }
    let moved = |name: &str, shape: &[i64]| {
        largest_difference(&begin.tensor(name, shape).unwrap(), &after.tensor(name, shape).unwrap())
    };
    assert!(moved("_conv_stem.weight", &[32, 3, 3, 3]) > 0.0);
    assert!((after.tensor("gem.p", &[1]).unwrap().double_value(&[0]) - 3.0).abs() > 0.0);
}

#[test]
fn a_photo_that_cannot_be_read_is_named_and_the_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let paths = photos(folder.path());
    let sound = std::fs::read(&paths[5]).unwrap();
    std::fs::write(&paths[5], &sound[..sound.len() / 2]).unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let run = Run { checkpoint: Some(&checkpoint), ..Run::quiet() };
    let error = train(&paths, &options(), &run).err().unwrap();
    assert!(error.to_string().contains("5.png") && error.next_step().is_some(), "{error}");
    std::fs::write(&paths[5], &sound).unwrap();
    let mended = train(&paths, &options(), &run).unwrap();
    assert!(mended.weights == train(&paths, &options(), &Run::quiet()).unwrap().weights, "the networks differ");
    std::fs::write(&paths[5], b"no image").unwrap();
    let error = train(&paths, &options(), &Run::quiet()).err().unwrap();
    assert!(error.to_string().contains("5.png"), "{error}");
}
