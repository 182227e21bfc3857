//! Numbers: the canonical similarity, unit vectors, the best k under a total order.

mod aligned;
mod code;
mod kernel;
mod random;
mod scores;
mod sketch;
mod top;

pub(crate) use aligned::Aligned;
pub(crate) use code::{CodedQuery, encode, is_of_a_unit_vector, row_residual, stride};
pub use kernel::kernels;
pub(crate) use kernel::{COMPARED, dot, prefetch, within};
pub(crate) use random::Random;
pub(crate) use scores::{products, row_score};
pub(crate) use sketch::{SketchBuilder, SketchQuery, Sketches, sketched_once};
pub(crate) use top::{Hit, Top};

use crate::error::{Error, Result};

/// Whether numbers may be a stored descriptor: each is finite, and the length is 1 but for rounding.
pub(crate) fn is_unit(vector: impl IntoIterator<Item = f32>) -> bool {
    /// Squared norms of what [`unit`] gives are nearer to 1.
    const NEAR: f64 = 1e-4;
    let squared: f64 = vector.into_iter().map(|x| f64::from(x) * f64::from(x)).sum();
    // What is not a number is not near.
    (squared - 1.0).abs() < NEAR
}

/// The vector with unit length.
///
/// The norm is accumulated in f64 and each component rounded once. A vector whose norm is 1 to within f32 rounding is returned as
/// it is, bit for bit: normalising what a model has already normalised must not change what is stored.
///
/// # Errors
/// A component that is not finite, or a norm of zero.
pub(crate) fn unit(vector: &[f32]) -> Result<Vec<f32>> {
    /// Squared norms closer to 1 than this are rounding, not scale.
    const ALREADY_UNIT: f64 = 1e-6;
    if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
        return Err(Error::invalid(format!("component {at} of the vector is {}", vector[at]))
            .help("every component must be a finite number"));
    }
    let squared: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if squared == 0.0 {
        return Err(
            Error::invalid("the vector is all zeros").help("a zero vector has no cosine to others; leave it out")
        );
    }
    if (squared - 1.0).abs() < ALREADY_UNIT {
        return Ok(vector.to_vec());
    }
    let norm = squared.sqrt();
    Ok(vector.iter().map(|&x| (f64::from(x) / norm) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_vectors_keep_their_bits_and_others_are_scaled() {
        let scaled = unit(&[3.0, 0.0, 4.0]).unwrap();
        assert_eq!(scaled, [0.6, 0.0, 0.8]);
        assert_eq!(unit(&scaled).unwrap(), scaled);
    }

    #[test]
    fn tiny_and_huge_vectors_have_a_direction_too() {
        assert_eq!(unit(&[1e-30, 0.0]).unwrap(), [1.0, 0.0]);
        assert_eq!(unit(&[0.0, -3e38]).unwrap(), [0.0, -1.0]);
    }

    #[test]
    fn what_has_no_direction_is_refused() {
        assert!(unit(&[0.0, 0.0]).is_err());
        assert!(unit(&[f32::NAN, 1.0]).is_err());
        assert!(unit(&[f32::INFINITY, 1.0]).is_err());
        assert!(unit(&[]).is_err());
    }
}
