//! The initial head: random, or a linear map in closed form that already gives a good descriptor.

use cairn::Result;
use tch::{Device, Kind, TchError, Tensor};

use super::head::{NORM_EPSILON, TrainHead};
use crate::device::torch_error;
use crate::random::{Mix, xavier_normal, xavier_uniform};

/// Tells this file's draws from others of the same seed.
const PURPOSE: u64 = 0x1417;
const CLASSES: u64 = 0xc1a5;

/// The head before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Init {
    /// Weights drawn from Xavier's normal distribution, bias 0, as released (the default).
    #[default]
    Xavier,
    /// The descriptor as it is; the dimension must be that of the samples.
    Identity,
    /// The first principal axes of the samples; the dimension may be at most that of the samples.
    Pca,
    /// Learned whitening (Mikolajczyk and Matas, ICCV 2007; Radenovic et al., TPAMI 2019): what differs between images of one
    /// label is whitened, then the first principal axes are taken. `shrinkage`, 0 to 1, mixes the scatter inside labels with a
    /// round one of the same size; samples fewer than dimensions need some.
    Whitened {
        /// Share of the round scatter.
        shrinkage: f64,
    },
}

impl Init {
    /// For the identity of a training.
    pub(crate) fn text(self) -> String {
        match self {
            Init::Xavier => "xavier".to_owned(),
            Init::Identity => "identity".to_owned(),
            Init::Pca => "pca".to_owned(),
            Init::Whitened { shrinkage } => format!("whitened {shrinkage}"),
        }
    }
}

/// A head of `output` numbers for rows x (n, d), f32 on the CPU, of `classes` (n, i64). Its running statistics fit x, and
/// its factor and shift undo the normalisation (except after [`Init::Xavier`], which has statistics 0 and 1).
pub(crate) fn initial_head(init: Init, x: &Tensor, classes: &Tensor, output: usize, seed: u64) -> Result<TrainHead> {
    build(init, x, classes, output, seed).map_err(torch_error)
}

/// A head of `output` numbers from `input` ones, drawn from Xavier's normal distribution; bias 0.
pub(crate) fn chance_head(input: usize, output: usize, seed: u64) -> Result<TrainHead, TchError> {
    let weight = xavier_normal(&mut Mix::new(&[seed, PURPOSE]), output, input);
    let weight = Tensor::f_from_slice(&weight)?.f_view([output as i64, input as i64])?;
    TrainHead::new(weight, Tensor::f_zeros([output as i64], (Kind::Float, Device::Cpu))?)
}

/// The weights of the classes, (classes, dimension), drawn from Xavier's uniform distribution.
pub(crate) fn class_weights(classes: usize, dimension: usize, seed: u64) -> Result<Tensor, TchError> {
    let drawn = xavier_uniform(&mut Mix::new(&[seed, CLASSES]), classes, dimension);
    Tensor::f_from_slice(&drawn)?.f_view([classes as i64, dimension as i64])
}

fn build(init: Init, x: &Tensor, classes: &Tensor, output: usize, seed: u64) -> Result<TrainHead, TchError> {
    let (_, input) = x.size2()?;
    let rows = output as i64;
    let options = (Kind::Double, x.device());
    let x = x.f_to_kind(Kind::Double)?;
    let mean = x.f_mean_dim([0i64].as_slice(), true, Kind::Double)?;
    let weight = match init {
        Init::Xavier => return chance_head(usize::try_from(input).unwrap_or(0), output, seed),
        Init::Identity => Tensor::f_eye(input, options)?,
        Init::Pca => axes(&covariance(&x.f_sub(&mean)?)?, rows)?,
        Init::Whitened { shrinkage } => whitened(&x, &mean, classes, shrinkage, rows)?,
    };
    let y = x.f_sub(&mean)?.f_mm(&weight.f_tr()?)?;
    let shift = weight.f_mm(&mean.f_tr()?)?.f_view([-1])?;
    let variance = y.f_square()?.f_mean_dim([0i64].as_slice(), false, Kind::Double)?;
    let single = |t: &Tensor| t.f_to_kind(Kind::Float)?.f_contiguous();
    let bias = shift.f_neg()?;
    let zeros = Tensor::f_zeros([rows], options)?;
    // Identity keeps the mean; the others centre.
    let (bias, mean, beta) = if init == Init::Identity { (&zeros, &shift, &shift) } else { (&bias, &zeros, &zeros) };
    Ok(TrainHead {
        weight: single(&weight)?,
        bias: single(bias)?,
        gamma: single(&variance.f_add_scalar(NORM_EPSILON)?.f_sqrt()?)?,
        beta: single(beta)?,
        mean: single(mean)?,
        variance: single(&variance)?,
    })
}

/// (n, d) centred rows -> (d, d).
fn covariance(x: &Tensor) -> Result<Tensor, TchError> {
    let (rows, _) = x.size2()?;
    x.f_tr()?.f_mm(x)?.f_div_scalar(rows.max(1) as f64)
}

/// The first `count` eigenvectors of a symmetric matrix as rows, largest eigenvalue first, each with its largest component
/// positive.
fn axes(matrix: &Tensor, count: i64) -> Result<Tensor, TchError> {
    let (_, vectors) = matrix.f_linalg_eigh("L")?;
    let axes = vectors.f_tr()?.f_flip([0i64])?.f_narrow(0, 0, count)?;
    let largest = axes.f_abs()?.f_argmax(1, true)?;
    let sign = axes.f_gather(1, &largest, false)?.f_sign()?;
    axes.f_mul(&sign)
}

fn whitened(x: &Tensor, mean: &Tensor, classes: &Tensor, shrinkage: f64, count: i64) -> Result<Tensor, TchError> {
    let (_, input) = x.size2()?;
    let hot = classes.f_one_hot(-1)?.f_to_kind(Kind::Double)?;
    let sizes = hot.f_sum_dim_intlist([0i64].as_slice(), false, None)?.f_clamp_min(1.0)?;
    let centres = hot.f_tr()?.f_mm(x)?.f_div(&sizes.f_unsqueeze(1)?)?;
    let inside = covariance(&x.f_sub(&hot.f_mm(&centres)?)?)?;
    let size = inside.f_trace()?.f_double_value(&[])? / input as f64;
    let round = Tensor::f_eye(input, (Kind::Double, x.device()))?.f_mul_scalar(shrinkage * size)?;
    let (values, vectors) = inside.f_mul_scalar(1.0 - shrinkage)?.f_add(&round)?.f_linalg_eigh("L")?;
    // A floor for directions in which images of one label do not differ at all.
    let factors = values.f_clamp_min(1e-6 * size.max(f64::MIN_POSITIVE))?.f_rsqrt()?;
    let whitening = vectors.f_mul(&factors)?.f_mm(&vectors.f_tr()?)?;
    let y = x.f_sub(mean)?.f_mm(&whitening)?;
    axes(&covariance(&y)?, count)?.f_mm(&whitening)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::testing::largest_difference;
    use crate::train::head::Norm;

    /// 40 rows of 5 numbers in 4 classes that differ in the last number; the first is large and uninformative.
    fn samples() -> (Tensor, Tensor) {
        let mut mix = Mix::new(&[9]);
        let row = |i: usize| {
            let noise: Vec<f32> = (0..4).map(|_| mix.normal() as f32).collect();
            vec![5.0 * noise[0], noise[1], noise[2], noise[3], (i % 4) as f32]
        };
        let values: Vec<f32> = (0..40).flat_map(row).collect();
        let classes: Vec<i64> = (0..40).map(|i| i % 4).collect();
        (Tensor::from_slice(&values).view([40, 5]), Tensor::from_slice(&classes))
    }

    #[test]
    fn the_identity_is_one_and_principal_axes_keep_the_angles() {
        let (x, classes) = samples();
        let head = initial_head(Init::Identity, &x, &classes, 5, 1).unwrap();
        assert!(largest_difference(&head.forward(&x, Norm::Frozen).unwrap(), &x) < 1e-4);
        let head = initial_head(Init::Pca, &x, &classes, 5, 1).unwrap();
        let y = head.forward(&x, Norm::Frozen).unwrap();
        let centred = &x - x.mean_dim([0i64].as_slice(), true, Kind::Float);
        assert!(largest_difference(&y.mm(&y.tr()), &centred.mm(&centred.tr())) < 1e-2);
        let first = y.get(0).double_value(&[0]).abs();
        assert!(first > y.get(0).double_value(&[4]).abs());
    }

    #[test]
    fn whitening_turns_down_what_differs_inside_a_label() {
        let (x, classes) = samples();
        let head = initial_head(Init::Whitened { shrinkage: 0.01 }, &x, &classes, 1, 1).unwrap();
        let direction = head.weight.abs().view([-1]);
        assert_eq!(direction.argmax(0, false).int64_value(&[]), 4);
    }

    #[test]
    fn chance_is_the_seeds() {
        let (x, classes) = samples();
        let head = |seed| initial_head(Init::Xavier, &x, &classes, 3, seed).unwrap().weight;
        assert_eq!(largest_difference(&head(1), &head(1)), 0.0);
        assert!(largest_difference(&head(1), &head(2)) > 0.0);
    }
}
