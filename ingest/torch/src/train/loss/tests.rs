//! Compares every loss with golden logits and numbers, and its gradient with finite differences in f64.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tch::Device;

use super::*;
use crate::testing::{largest_difference, shared, shared_npy};

struct Golden {
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    numbers: String,
}

impl Golden {
    fn load() -> Option<Self> {
        let file = |name: &str| shared_npy(&format!("golden/model/{name}.npy"));
        Some(Self {
            x: file("loss_x")?,
            weight: file("loss_w")?,
            targets: file("loss_y")?.to_kind(Kind::Int64),
            numbers: std::fs::read_to_string(shared("golden/model/loss_expected.json")?).unwrap(),
        })
    }

    fn number(&self, name: &str) -> f64 {
        let rest = self.numbers.split(&format!("\"{name}\": ")).nth(1).unwrap();
        rest.split([',', '}', '\n']).next().unwrap().trim().parse().unwrap()
    }

    /// Logits and cross-entropy to 1e-5, computed in f64 and, relative to the scale, in f32.
    fn check(&self, objective: &Objective, logits: &str, cross_entropy: Option<&str>) {
        let golden = shared_npy(&format!("golden/model/{logits}.npy")).unwrap().to_kind(Kind::Double);
        for (kind, most) in [(Kind::Double, 1e-5), (Kind::Float, 1e-5 * objective.scale)] {
            let weights = objective.weights.iter().map(|weight| weight.to_kind(kind)).collect();
            let objective = Objective { weights, ..*objective };
            let x = self.x.to_kind(kind);
            let ours = objective.logits(&x, &self.targets).unwrap().unwrap().to_kind(Kind::Double);
            let difference = largest_difference(&ours, &golden);
            println!("{logits} in {kind:?}: {difference:e}");
            assert!(difference < most);
            if let Some(name) = cross_entropy {
                let value = objective.value(&x, &self.targets).unwrap().double_value(&[]);
                assert!((value - self.number(name)).abs() < most, "{value} is not {}", self.number(name));
            }
        }
    }
}

#[test]
fn arcface_cosface_and_adacos_equal_the_golden_logits() {
    let Some(golden) = Golden::load() else { return };
    let weight = golden.weight.to_kind(Kind::Double);
    let objective = |options| Objective::new(options, weight.copy()).unwrap();
    for loss in Loss::ALL {
        let typed: cairn::language::Loss =
            cairn::language::Loss::ALL.into_iter().find(|l| l.name() == loss.word()).unwrap();
        assert_eq!(loss.margin(), typed.default_margin().unwrap_or(0.0), "the name is the language's");
    }
    let arcface = LossOptions::new(Loss::ArcFace);
    golden.check(&objective(arcface), "arcface_logits_s30_m0.3", Some("arcface_ce"));
    golden.check(&objective(LossOptions { smoothing: 0.1, ..arcface }), "arcface_logits_s30_m0.3_ls0.1", None);
    golden.check(&objective(LossOptions::new(Loss::CosFace)), "cosface_logits_s30_m0.3", Some("cosface_ce"));
    let mut adacos = objective(LossOptions { theta0: 1.25, margin: 0.3, ..LossOptions::new(Loss::AdaCos) });
    assert!((adacos.scale - golden.number("adacos_s_init")).abs() < 1e-5);
    adacos.adapt(&golden.x.to_kind(Kind::Double), &golden.targets).unwrap();
    assert!((adacos.scale - golden.number("adacos_s_after")).abs() < 1e-5, "{}", adacos.scale);
    golden.check(&adacos, "adacos_logits_m0.3_theta1.25", Some("adacos_ce"));
}

/// Numbers between -1 and 1 that look random and are the same on every machine.
fn scattered(rows: i64, columns: i64, salt: u64) -> Tensor {
    let mut mix = crate::random::Mix::new(&[salt]);
    let values: Vec<f64> = (0..rows * columns).map(|_| 2.0 * mix.unit() - 1.0).collect();
    Tensor::from_slice(&values).view([rows, columns])
}

fn objective(options: LossOptions, classes: i64, dimension: i64) -> Objective {
    Objective::new(options, scattered(classes, dimension, 7)).unwrap()
}

#[test]
fn gradients_equal_finite_differences() {
    const STEP: f64 = 1e-6;
    for loss in Loss::ALL {
        for salt in 0..4 {
            let x = scattered(8, 6, 100 + salt);
            let targets = Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2, 0, 3]);
            let mut objective = objective(LossOptions::new(loss), 4, 6);
            objective.adapt(&x, &targets).unwrap();
            let mut inputs = vec![x];
            inputs.extend(objective.weights.iter().map(Tensor::shallow_clone));
            inputs.iter_mut().for_each(|t| drop(t.requires_grad_(true)));
            let value = objective.value(&inputs[0], &targets).unwrap();
            assert!(value.double_value(&[]) > 0.0, "{}", loss.word());
            let gradients = Tensor::run_backward(&[value], &inputs, false, false);
            let mut largest = 0f64;
            for (input, gradient) in inputs.iter().zip(&gradients) {
                let flat = input.detach().view(-1);
                for at in 0..flat.size()[0] {
                    let nudged = |by: f64| {
                        let _guard = tch::no_grad_guard();
                        let mut entry = flat.get(at);
                        let _ = entry.g_add_scalar_(by);
                        let value = objective.value(&inputs[0], &targets).unwrap().double_value(&[]);
                        let _ = entry.g_add_scalar_(-by);
                        value
                    };
                    let numeric = (nudged(STEP) - nudged(-STEP)) / (2.0 * STEP);
                    let exact = gradient.view(-1).double_value(&[at]);
                    let difference = (numeric - exact).abs() / (1.0 + exact.abs());
                    largest = largest.max(difference);
                    assert!(difference < 1e-6, "{} at {at}: {exact} is not {numeric}", loss.word());
                }
            }
            println!("{}: {largest:e}", loss.word());
        }
    }
}

#[test]
fn average_precision_loss_is_the_exact_one_where_bins_part_the_similarities() {
    // Unit rows on a circle: for row 0, cosines 1 (label 1), 0.5 (label 0), 0 (label 1): its one positive is at rank 2.
    let angles = [0.0, 0.0, std::f64::consts::FRAC_PI_3, std::f64::consts::FRAC_PI_2];
    let rows: Vec<f64> = angles.iter().flat_map(|a: &f64| [a.cos(), a.sin()]).collect();
    let x = Tensor::from_slice(&rows).view([4, 2]);
    let value = ap::loss(&x, &Tensor::from_slice(&[0i64, 1, 0, 2])).unwrap().double_value(&[]);
    // Row 2: cosine .866 to row 2 itself left out, .5 to rows 0 and 1 (tied in one bin: precision 1/2), .866 to row 3.
    // The bin of .866 is empty of positives, so its precision at the bin of .5 is 1/3.
    assert!((value - (1.0 - (0.5 + 1.0 / 3.0) / 2.0)).abs() < 1e-6, "{value}");
}

#[test]
fn triplet_loss_by_hand() {
    // Anchor and positive at a right angle, the negative on top of the anchor: 2 - 0 + 0.1; the other way round 2 - 2 + 0.1.
    let x = Tensor::from_slice(&[1f64, 0.0, 0.0, 1.0, 1.0, 0.0]).view([3, 2]);
    let value = triplet::loss(&x, &Tensor::from_slice(&[0i64, 0, 1]), 0.1).unwrap().double_value(&[]);
    assert!((value - (2.1 + 0.1) / 2.0).abs() < 1e-12, "{value}");
}

#[test]
fn a_batch_without_pairs_teaches_nothing_and_breaks_nothing() {
    for (loss, labels) in [(Loss::Triplet, [0i64, 0, 0]), (Loss::Triplet, [0, 1, 2]), (Loss::Ap, [0, 1, 2])] {
        let x = scattered(3, 5, 1).set_requires_grad(true);
        let value = objective(LossOptions::new(loss), 3, 5).value(&x, &Tensor::from_slice(&labels)).unwrap();
        assert_eq!(value.double_value(&[]), 0.0, "{loss:?}");
        let gradients = Tensor::run_backward(&[value], &[x], false, false);
        assert_eq!(gradients[0].abs().max().double_value(&[]), 0.0, "{loss:?}");
    }
}

#[test]
fn a_row_that_is_its_class_weight_has_a_finite_gradient() {
    for loss in [Loss::ArcFace, Loss::CosFace, Loss::AdaCos] {
        let objective = objective(LossOptions::new(loss), 3, 5);
        let x = (&objective.weights[0] * 4.0).to_kind(Kind::Float).set_requires_grad(true);
        let objective = Objective { weights: vec![objective.weights[0].to_kind(Kind::Float)], ..objective };
        let value = objective.value(&x, &Tensor::from_slice(&[0i64, 1, 2])).unwrap();
        let gradients = Tensor::run_backward(&[value], &[x], false, false);
        assert!(gradients[0].isfinite().all().int64_value(&[]) == 1, "{loss:?}");
    }
}

#[test]
fn adacos_with_two_classes_keeps_a_scale_that_can_move() {
    let mut objective = objective(LossOptions::new(Loss::AdaCos), 2, 5);
    objective.adapt(&scattered(4, 5, 3), &Tensor::from_slice(&[0i64, 1, 0, 1])).unwrap();
    assert!(objective.scale >= 1.0 && objective.scale.is_finite());
}

#[test]
fn accuracy_counts_best_classes_and_nearest_rows() {
    let x = Tensor::from_slice(&[1f32, 0.0, 0.0, 1.0, 0.9, 0.1]).view([3, 2]);
    let targets = Tensor::from_slice(&[0i64, 1, 1]);
    let weight = Tensor::eye(2, (Kind::Float, Device::Cpu));
    for loss in [Loss::ArcFace, Loss::Softmax] {
        let objective = Objective::new(LossOptions::new(loss), weight.copy()).unwrap();
        assert!((objective.accuracy(&x, &targets).unwrap() - 2.0 / 3.0).abs() < 1e-9);
    }
    let triplet = Objective::new(LossOptions::new(Loss::Triplet), weight.copy()).unwrap();
    assert_eq!(triplet.accuracy(&x, &Tensor::from_slice(&[0i64, 1, 0])).unwrap(), 2.0 / 3.0);
}

#[test]
fn words_and_numbers_out_of_range_are_refused() {
    for loss in Loss::ALL {
        assert_eq!(loss.word().parse::<Loss>().unwrap(), loss);
        LossOptions::new(loss).check().unwrap();
    }
    assert!("contrastive".parse::<Loss>().unwrap_err().to_string().contains("arcface, cosface"));
    let options = LossOptions { margin: f64::NAN, ..LossOptions::default() };
    assert!(options.check().unwrap_err().to_string().contains("margin"));
}
