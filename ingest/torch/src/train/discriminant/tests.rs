//! Discriminant training: the algebra exactly, what it learns, leaves out and refuses; and real photos.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tch::Kind;

use super::*;
use crate::testing::{landmarks, largest_difference};
use crate::train::judge::{Comparison, Labelled, Quality, judge};
use crate::train::nearest::numbers;

const SIDE: usize = 24;
const LABELS: u32 = 6;

/// Rows of six labels: four numbers say the label, the others are louder and say nothing.
fn rows(count: u32, seed: u64) -> (Vec<f32>, Vec<u32>) {
    let mut centres = Mix::new(&[77]);
    let centre: Vec<Vec<f64>> = (0..LABELS).map(|_| (0..4).map(|_| 2.0 * centres.normal()).collect()).collect();
    let mut mix = Mix::new(&[seed]);
    let labels: Vec<u32> = (0..count).map(|i| 10 * (i % LABELS)).collect();
    let mut vectors = Vec::new();
    for image in 0..count {
        for at in 0..SIDE {
            let loud = mix.normal();
            let quiet = centre[(image % LABELS) as usize].get(at).map_or(loud, |c| c + 0.2 * loud);
            vectors.push(quiet as f32);
        }
    }
    (vectors, labels)
}

fn samples(count: u32, seed: u64) -> Samples {
    let (vectors, labels) = rows(count, seed);
    Samples { dimension: SIDE, vectors, image: (0..count).collect(), labels }
}

fn options() -> DiscriminantOptions {
    DiscriminantOptions { compress: Some(12), validation: 0.0, ..DiscriminantOptions::default() }
}

fn train(samples: &Samples, index: &[f32], options: &DiscriminantOptions) -> Result<TrainedDiscriminant> {
    train_discriminant(samples, index, options, &|_: Progress<'_>| ControlFlow::Continue(()))
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Unit rows and classes of [`samples`].
fn given(count: u32) -> (Tensor, Vec<i64>) {
    let samples = samples(count, 3);
    let unit: Vec<f32> = samples.vectors.chunks(SIDE).flat_map(|row| unit(row).unwrap()).collect();
    (tensor(&unit, SIDE).unwrap(), samples.labels.iter().map(|label| i64::from(label / 10)).collect())
}

#[test]
fn few_rows_and_many_rows_have_the_same_scatter() {
    // 20 rows of 24 numbers go by their inner products; twice over, with half the weight, by their covariance.
    let (x, _) = given(20);
    let same = |block: &Tensor, _| block.f_to_kind(Kind::Double);
    let half = |block: &Tensor, _| block.f_to_kind(Kind::Double)?.f_mul_scalar(0.5f64.sqrt());
    let (values, axes) = fit::scatter(&x, same).unwrap();
    let (other_values, other_axes) = fit::scatter(&Tensor::cat(&[&x, &x], 0), half).unwrap();
    assert!(largest_difference(&values, &other_values) < 1e-10);
    let product = |axes: &Tensor, values: &Tensor| (axes * values).mm(&axes.tr());
    assert!(largest_difference(&product(&axes, &values), &product(&other_axes, &other_values)) < 1e-10);
    let x = x.to_kind(Kind::Double);
    assert!(largest_difference(&product(&axes, &values), &x.tr().mm(&x)) < 1e-10);
}

#[test]
fn the_whitening_is_the_root_of_the_inverse() {
    for count in [20, 120] {
        let (x, classes) = given(count);
        let fit = Fit::new(&x, &classes, 6, 2.0).unwrap();
        // S and t from their definitions.
        let hot = Tensor::from_slice(&classes).one_hot(6).to_kind(Kind::Double);
        let x = x.to_kind(Kind::Double);
        let middles = hot.tr().mm(&x) / hot.sum_dim_intlist([0i64].as_slice(), false, None).unsqueeze(1);
        let apart = &x - hot.mm(&middles);
        let inside = apart.tr().mm(&apart) / f64::from(count);
        let ridge = 2.0 * inside.trace().double_value(&[]) / SIDE as f64;
        let eye = Tensor::eye(SIDE as i64, (Kind::Double, tch::Device::Cpu));
        let white = fit.whiten(&eye).unwrap();
        // W (S + t) W = t.
        let identity = white.mm(&(inside + ridge * &eye)).mm(&white) / ridge;
        assert!(largest_difference(&identity, &eye) < 1e-9, "{count} rows");
    }
}

#[test]
fn the_adapter_is_the_fit_and_signs_are_fixed() {
    let (x, classes) = given(60);
    let fit = Fit::new(&x, &classes, 6, 2.0).unwrap();
    let embedded = fit.embed(&x).unwrap();
    let adapter = fit.adapter(None).unwrap();
    assert_eq!((adapter.dimension(), adapter.blocks.len()), (2 * SIDE + 5, 3));
    let adapted = tensor(&adapter.apply_many(&numbers(&x).unwrap()).unwrap(), adapter.dimension()).unwrap();
    assert!(largest_difference(&adapted, &embedded) < 1e-5);
    let projection = principal(&embedded, 9).unwrap();
    assert_eq!(projection.size(), [9, 2 * SIDE as i64 + 5]);
    for row in 0..9 {
        let row = projection.get(row);
        let largest = row.abs().argmax(0, false).int64_value(&[]);
        assert!(row.double_value(&[largest]) > 0.0);
    }
    // Orthonormal, and its first direction holds the most.
    let gram = projection.mm(&projection.tr());
    assert!(largest_difference(&gram, &Tensor::eye(9, (Kind::Double, tch::Device::Cpu))) < 1e-9);
    let held =
        embedded.to_kind(Kind::Double).mm(&projection.tr()).square().sum_dim_intlist([0i64].as_slice(), false, None);
    let held = Vec::<f64>::try_from(held).unwrap();
    assert!(held.windows(2).all(|pair| pair[0] >= pair[1]));
    // Fewer rows than asked for directions: as many as there are.
    assert_eq!(principal(&embedded.narrow(0, 0, 4), 9).unwrap().size()[0], 4);
}

#[test]
fn rows_that_say_nothing_make_no_numbers_that_are_none() {
    // One label; labels of one row each; equal rows.
    let (x, _) = given(8);
    for (x, classes) in [
        (x.shallow_clone(), vec![0; 8]),
        (x.shallow_clone(), (0..8).collect()),
        (x.narrow(0, 0, 1).repeat([8, 1]), (0..8).map(|i| i / 4).collect()),
        (x.narrow(0, 0, 0), vec![]),
    ] {
        let fit = Fit::new(&x, &classes, 8, 2.0).unwrap();
        let adapter = fit.adapter(None).unwrap();
        adapter.check().unwrap();
        assert!(fit.embed(&x).unwrap().isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn it_learns_the_same_bits_twice_and_nearly_the_same_in_another_order() {
    let (samples, (index, _)) = (samples(120, 1), rows(90, 2));
    let first = train(&samples, &index, &options()).unwrap();
    assert_eq!((first.adapter.dimension(), first.left_out.len()), (12, 0));
    assert!((70..=90).contains(&first.added), "{}", first.added);
    let second = train(&samples, &index, &options()).unwrap();
    assert_eq!(first, second);
    let adapted = first.adapter.apply_many(&index).unwrap();
    assert_eq!(bits(&adapted), bits(&second.adapter.apply_many(&index).unwrap()));
    let mut order: Vec<usize> = (0..120).collect();
    Mix::new(&[5]).shuffle(&mut order);
    let mixed = Samples {
        vectors: order.iter().flat_map(|&at| samples.vectors[at * SIDE..(at + 1) * SIDE].to_vec()).collect(),
        labels: order.iter().map(|&at| samples.labels[at]).collect(),
        ..samples
    };
    let other = train(&mixed, &index, &options()).unwrap().adapter.apply_many(&index).unwrap();
    let largest = adapted.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-5, "{largest}");
}

#[test]
fn wrong_labels_are_left_out_and_labels_of_one_image_too() {
    let mut samples = samples(120, 1);
    let wrong = [3u32, 40, 77, 101];
    for image in wrong {
        samples.labels[image as usize] = (samples.labels[image as usize] + 30) % 60;
    }
    samples.labels[5] = 999;
    let trained = train(&samples, &[], &options()).unwrap();
    assert_eq!(trained.left_out, [3, 5, 40, 77, 101]);
    assert_eq!(trained.added, 0);
    // What was left out changes nothing: without these images the fit is the same.
    let without = |keep: &dyn Fn(u32) -> bool| {
        let kept: Vec<usize> = (0..120).filter(|&image| keep(image as u32)).collect();
        Samples {
            vectors: kept.iter().flat_map(|&at| samples.vectors[at * SIDE..(at + 1) * SIDE].to_vec()).collect(),
            labels: kept.iter().map(|&at| samples.labels[at]).collect(),
            image: (0..kept.len() as u32).collect(),
            ..samples.clone()
        }
    };
    let clean = without(&|image| !trained.left_out.contains(&image));
    let (all, clean) = (DiscriminantOptions { compress: None, ..options() }, clean);
    let other = train(&clean, &[], &all).unwrap();
    assert!(other.left_out.is_empty());
    assert_eq!(other.adapter, train(&samples, &[], &all).unwrap().adapter);
}

#[test]
fn where_cleaning_would_leave_one_label_all_stay() {
    // Two labels of two images that lie crosswise: no image's neighbour has its label.
    let vectors = vec![1.0, 0.0, 0.0, 1.0, 0.99, 0.01, 0.01, 0.99];
    let samples = Samples { dimension: 2, vectors, image: (0..4).collect(), labels: vec![1, 1, 2, 2] };
    let few = DiscriminantOptions { neighbours: 1, folds: 4, ..options() };
    let trained = train(&samples, &[], &few).unwrap();
    assert!(trained.left_out.is_empty());
    assert!(trained.adapter.apply(&[0.5, 0.5]).is_ok());
}

#[test]
fn only_images_whose_neighbours_agree_are_taken_in() {
    let samples = samples(120, 1);
    let (mut index, _) = rows(30, 2);
    // Noise alone.
    let mut mix = Mix::new(&[8]);
    index.extend((0..30 * SIDE).map(|_| mix.normal() as f32));
    let taken = train(&samples, &index, &options()).unwrap();
    assert!((30..50).contains(&taken.added), "{}", taken.added);
    let inductive = DiscriminantOptions { transductive: false, ..options() };
    assert_eq!(train(&samples, &index, &inductive).unwrap().added, 0);
}

#[test]
fn the_validation_says_what_the_adapter_is_worth() {
    let judged = DiscriminantOptions { validation: 0.34, repeats: 2, ..options() };
    let (samples, (index, _)) = (samples(120, 1), rows(60, 2));
    let told = AtomicUsize::new(0);
    let count = |at: Progress<'_>| {
        assert_eq!((at.done, at.all), (told.fetch_add(1, Ordering::Relaxed) + 1, 5 * 8));
        ControlFlow::Continue(())
    };
    let trained = train_discriminant(&samples, &index, &judged, &count).unwrap();
    assert_eq!(told.into_inner(), 40);
    let held_out = trained.validation.unwrap();
    assert!(held_out.is_better() && held_out.repeats == 2, "{held_out:?}");
    assert!(held_out.images.after.knn > held_out.images.before.knn + 0.1, "{held_out:?}");
    assert!(held_out.classes.unwrap().after.knn > 0.0);
    // Labels by chance: nothing to learn.
    let mut mix = Mix::new(&[4]);
    let noise = Samples { labels: (0..120).map(|_| mix.below(6) as u32).collect(), ..samples.clone() };
    let held_out = train(&noise, &[], &judged).unwrap().validation.unwrap();
    assert!(held_out.images.after.knn < held_out.images.before.knn + 0.1, "{held_out:?}");
    // Two labels: none can be held out.
    let two = Samples { labels: samples.labels.iter().map(|label| label % 20).collect(), ..samples.clone() };
    assert_eq!(train(&two, &[], &judged).unwrap().validation.unwrap().classes, None);
    let none = DiscriminantOptions { repeats: 0, ..judged };
    assert_eq!(train(&samples, &[], &none).unwrap().validation, None);
}

#[test]
fn labels_of_few_images_are_judged_and_where_nothing_is_asked_nothing_is_said() {
    let judged = DiscriminantOptions { validation: 0.34, repeats: 4, ..options() };
    let of = |count: u32, judged: &DiscriminantOptions| train(&samples(count, 1), &[], judged).unwrap().validation;
    // Six labels of 3 and 4 images: a third of each is one, which alone would find nothing.
    for count in [18, 24] {
        let held_out = of(count, &judged).unwrap();
        assert!(held_out.images.before.knn > 0.0 && held_out.images.after.knn > 0.0, "{count}: {held_out:?}");
    }
    let little = of(120, &DiscriminantOptions { validation: 0.05, ..judged.clone() }).unwrap();
    assert!(little.images.before.knn > 0.0, "{little:?}");
    // Of two images of a label neither can be spared.
    assert_eq!(of(12, &judged), None);
}

#[test]
fn what_learnt_from_more_is_judged_by_the_same_questions() {
    let judged = DiscriminantOptions { validation: 0.34, repeats: 4, ..options() };
    let (few, more) = (samples(36, 1), samples(240, 9));
    let asked = |more: &Samples| {
        judge_with_more(&few, more, &judged, &|_: Progress<'_>| ControlFlow::Continue(())).unwrap().unwrap()
    };
    let alone = train(&few, &[], &judged).unwrap().validation.unwrap();
    let none = Samples { vectors: Vec::new(), image: Vec::new(), labels: Vec::new(), ..few.clone() };
    assert_eq!(asked(&none), alone);
    let better = asked(&more);
    assert_eq!(better.images.before, alone.images.before);
    assert!(better.images.after.knn > alone.images.after.knn, "{better:?} {alone:?}");
    // A label that only the others have is one more class, and a label held out whole is learnt from none of its images.
    let strangers = Samples { labels: more.labels.iter().map(|label| label + 1).collect(), ..more.clone() };
    assert_eq!(asked(&strangers).images.before, alone.images.before);
    let classes = asked(&Samples { labels: vec![0; 240], ..more });
    assert!(classes.classes.unwrap().after.knn > 0.0);
}

#[test]
fn a_comparison_decides_by_both_tables() {
    let better = Comparison { before: Quality { knn: 0.5, reranked: 0.5 }, after: Quality { knn: 0.6, reranked: 0.6 } };
    let worse = Comparison { before: better.after, after: better.before };
    let decided = |images, classes| HeldOut { images, classes, repeats: 1 }.is_better();
    assert!(decided(better, Some(better)) && decided(better, None));
    assert!(!decided(better, Some(worse)) && !decided(worse, Some(better)) && !decided(worse, None));
    let equal = Comparison { after: better.before, ..better };
    assert!(decided(better, Some(equal)) && !decided(equal, Some(equal)));
}

#[test]
fn what_cannot_be_learnt_from_is_refused_with_a_reason() {
    let refusal = |samples: &Samples, index: &[f32], change: &dyn Fn(&mut DiscriminantOptions)| {
        let mut options = options();
        change(&mut options);
        train(samples, index, &options).unwrap_err().to_string()
    };
    let sound = samples(30, 1);
    assert!(refusal(&Samples::default(), &[], &|_| ()).contains("no labelled images"));
    let one = Samples { labels: vec![4; 30], ..sound.clone() };
    assert!(refusal(&one, &[], &|_| ()).contains("1 label(s)"));
    let single = Samples { labels: (0..30).collect(), ..sound.clone() };
    assert!(refusal(&single, &[], &|_| ()).contains("no label has two images"));
    assert!(refusal(&sound, &[1.0; 25], &|_| ()).contains("25 numbers"));
    assert!(refusal(&sound, &[0.0; 24], &|_| ()).contains("index row 0"));
    assert!(refusal(&sound, &[], &|o| o.ridge = 0.0).contains("ridge is 0"));
    assert!(refusal(&sound, &[], &|o| o.ridge = f64::NAN).contains("ridge is NaN"));
    assert!(refusal(&sound, &[], &|o| o.folds = 1).contains("folds"));
    assert!(refusal(&sound, &[], &|o| o.neighbours = 0).contains("neighbours"));
    assert!(refusal(&sound, &[], &|o| o.compress = Some(0)).contains("dimension"));
    assert!(refusal(&sound, &[], &|o| o.validation = 1.0).contains("held out"));
    let at_the_third = |at: Progress<'_>| if at.done == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let stop = train_discriminant(&sound, &[], &options(), &at_the_third);
    assert_eq!(stop.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn the_caps_are_fair() {
    assert_eq!(spread(10, 4), [0, 2, 5, 7]);
    assert_eq!(spread(3, 4), [0, 1, 2]);
    assert!(spread(0, 4).is_empty());
    // 100 of class 0, 10 of class 1, 1 of class 2.
    let classes: Vec<i64> = (0..111)
        .map(|i| {
            if i < 100 {
                0
            } else if i < 110 {
                1
            } else {
                2
            }
        })
        .collect();
    let chosen = balanced(&classes, 3, 41, 1);
    let of = |chosen: &[usize], class| chosen.iter().filter(|&&place| classes[place] == class).count();
    assert_eq!([of(&chosen, 0), of(&chosen, 1), of(&chosen, 2)], [30, 10, 1]);
    assert!(chosen.is_sorted());
    assert_ne!(chosen, balanced(&classes, 3, 41, 2));
    let few = balanced(&classes, 3, 3, 1);
    assert!(few.len() <= 3 && !few.is_empty());
}

/// kNN and re-ranked mAP of the shared landmarks as they are and adapted.
fn measure(options: &DiscriminantOptions) -> Option<(Quality, Quality, TrainedDiscriminant)> {
    let mut names = Vec::new();
    let (train_rows, labels) = landmarks("train", &mut names)?;
    let (index, index_labels) = landmarks("index", &mut names)?;
    let (query, query_labels) = landmarks("query", &mut names)?;
    let side = index[0].len();
    let (train_rows, index, query) = (train_rows.concat(), index.concat(), query.concat());
    let images = (0..labels.len() as u32).collect();
    let samples = Samples { dimension: side, vectors: train_rows.clone(), image: images, labels: labels.clone() };
    let start = Instant::now();
    let trained = train(&samples, &index, options).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let quality = |adapter: &Adapter| {
        let rows = |rows: &[f32]| tensor(&adapter.apply_many(rows).unwrap(), adapter.dimension()).unwrap();
        let (voters, items, queries) = (rows(&train_rows), rows(&index), rows(&query));
        let voters = Labelled { rows: &voters, labels: &labels };
        let items = Labelled { rows: &items, labels: &index_labels };
        judge(voters, items, Labelled { rows: &queries, labels: &query_labels }, None).unwrap()
    };
    let (before, after) = (quality(&Adapter::plain(side)), quality(&trained.adapter));
    let (left_out, added) = (trained.left_out.len(), trained.added);
    println!(
        "{before:.4?} -> {after:.4?}, {left_out} left out, {added} added, {seconds:.1} s, {:?}",
        trained.validation
    );
    Some((before, after, trained))
}

#[test]
fn real_photos_are_found_well_above_the_plain_descriptor() {
    for seed in 1..=3 {
        let options = DiscriminantOptions { seed, validation: 0.0, ..DiscriminantOptions::default() };
        let Some((before, after, trained)) = measure(&options) else { return };
        assert_eq!(trained.adapter.dimension(), 256);
        assert!(after.reranked >= 0.82 && after.reranked > before.reranked + 0.05, "{before:?} {after:?}");
        assert!(after.knn > before.knn + 0.1, "{before:?} {after:?}");
    }
}
