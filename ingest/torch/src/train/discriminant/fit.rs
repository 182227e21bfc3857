//! Discriminant analysis in closed form: it suppresses the differences within labels and amplifies those between labels.

use tch::{Kind, TchError, Tensor};

use crate::model::adapter::{Adapter, Affine, Block, Projection};
use crate::train::nearest::{numbers, select};

/// Rows that are in memory in f64 at a time.
const BLOCK: i64 = 4096;
/// Eigenvalues below this share of the largest are noise.
const LEAST_EIGENVALUE: f64 = 1e-12;
/// Singular values below this share of the largest are noise.
const LEAST_SINGULAR: f64 = 1e-9;

/// W(d) = d + ((d U) o f) U^T, the shrunk whitening of the scatter inside the labels, and V, the directions in which the labels'
/// middles differ after it.
pub(super) struct Fit {
    /// (1, D).
    mean: Tensor,
    /// U (D, r), orthonormal.
    axes: Tensor,
    /// f (r): sqrt(t / (eigenvalue + t)) - 1.
    factors: Tensor,
    /// V (D, m), orthonormal, m below the number of labels.
    directions: Tensor,
}

impl Fit {
    /// The fit of unit rows x (n, D), f32, of `classes` below `class_count`; some may have no row. t is `ridge` times the mean
    /// eigenvalue. Where no label's rows differ, W is the identity; where there is one label, V is empty.
    ///
    /// O(n D min(n, D) + min(n, D)^3), and O(C D min(C, D)) for C labels; memory: 2 D^2 numbers, or, for fewer rows than
    /// numbers, n (n + D).
    pub(super) fn new(x: &Tensor, classes: &[i64], class_count: usize, ridge: f64) -> Result<Self, TchError> {
        let (_, side) = x.size2()?;
        let options = (Kind::Double, x.device());
        let (middles, sizes) = middles(x, classes, class_count)?;
        let count = classes.len().max(1) as f64;
        let shares: Vec<f64> = sizes.iter().map(|&size| size as f64 / count).collect();
        let present: Vec<usize> = (0..class_count).filter(|&class| sizes[class] > 0).collect();
        let shares = Tensor::f_from_slice(&present.iter().map(|&class| shares[class]).collect::<Vec<_>>())?;
        let present = select(&middles, &present)?;
        let shares = shares.f_unsqueeze(1)?;
        let mean = present.f_mul(&shares)?.f_sum_dim_intlist([0i64].as_slice(), true, None)?;
        let (values, axes) = inside(x, classes, &middles, &sizes)?;
        let ridge = ridge * values.f_sum(Kind::Double)?.f_double_value(&[])? / side as f64;
        let mut fit = Self {
            mean,
            factors: values.f_add_scalar(ridge)?.f_reciprocal()?.f_mul_scalar(ridge)?.f_sqrt()?.f_sub_scalar(1.0)?,
            axes,
            directions: Tensor::f_zeros([side, 0], options)?,
        };
        if shares.numel() > 1 {
            let between = fit.whiten(&present.f_sub(&fit.mean)?.f_mul(&shares.f_sqrt()?)?)?;
            let (_, values, directions) = between.f_svd(true, true)?;
            let first = values.f_max()?.f_double_value(&[])?;
            // Middles of unit rows that differ by less than this differ by rounding.
            if first > LEAST_EIGENVALUE {
                let large = values.f_gt(LEAST_SINGULAR * first)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
                // The middles, weighted, sum to zero.
                fit.directions = upright(&directions.f_narrow(1, 0, large.min(shares.numel() as i64 - 1))?)?;
            }
        }
        Ok(fit)
    }

    /// W of rows d (n, D), f64.
    pub(super) fn whiten(&self, d: &Tensor) -> Result<Tensor, TchError> {
        d.f_add(&d.f_mm(&self.axes)?.f_mul(&self.factors)?.f_mm(&self.axes.f_tr()?)?)
    }

    /// Number of columns of V.
    fn directions(&self) -> Result<i64, TchError> {
        Ok(self.directions.size2()?.1)
    }

    /// Length of the descriptors.
    pub(super) fn width(&self) -> Result<usize, TchError> {
        let (_, side) = self.mean.size2()?;
        Ok(usize::try_from(2 * side + self.directions()?).unwrap_or(0))
    }

    /// The descriptors L2([x; L2(W(x - mean) V); L2(W(x - mean))]) of unit rows x (n, D), f32: (n, 2 D + m), f32. O(n D r).
    pub(super) fn embed(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (count, side) = x.size2()?;
        let directions = self.directions()?;
        let out = Tensor::f_zeros([count, 2 * side + directions], (Kind::Float, x.device()))?;
        for start in (0..count).step_by(BLOCK as usize) {
            let rows = BLOCK.min(count - start);
            let x = x.f_narrow(0, start, rows)?.f_to_kind(Kind::Double)?;
            let white = self.whiten(&x.f_sub(&self.mean)?)?;
            let mut parts = vec![x];
            if directions > 0 {
                parts.push(unit(&white.f_mm(&self.directions)?)?);
            }
            parts.push(unit(&white)?);
            out.f_narrow(0, start, rows)?.f_copy_(&unit(&Tensor::f_cat(&parts, 1)?)?)?;
        }
        Ok(out)
    }

    /// The same map as plain data.
    pub(super) fn adapter(&self, projection: Option<&Tensor>) -> Result<Adapter, TchError> {
        let (_, side) = self.mean.size2()?;
        let white = self.whiten(&Tensor::f_eye(side, (Kind::Double, self.mean.device()))?)?;
        let affine = |matrix: &Tensor| -> Result<Block, TchError> {
            let bias = matrix.f_mm(&self.mean.f_tr()?)?.f_neg()?;
            Ok(Block { map: Some(Affine { matrix: numbers(matrix)?, bias: numbers(&bias)? }), weight: 1.0 })
        };
        let mut blocks = vec![Block { map: None, weight: 1.0 }];
        if self.directions()? > 0 {
            // W is symmetric.
            blocks.push(affine(&self.directions.f_tr()?.f_mm(&white)?)?);
        }
        blocks.push(affine(&white)?);
        let projection = match projection {
            None => None,
            Some(matrix) => {
                let rows = usize::try_from(matrix.size2()?.0).unwrap_or(0);
                Some(Projection { rows, matrix: numbers(matrix)? })
            }
        };
        Ok(Adapter { input: usize::try_from(side).unwrap_or(0), blocks, projection })
    }
}

/// The top `count` eigenvectors (rows, k) of Z^T Z for rows z (n, k), f32, largest first, fewer where z has fewer. O(n k min(n, k) +
/// min(n, k)^3).
pub(super) fn principal(z: &Tensor, count: usize) -> Result<Tensor, TchError> {
    let (_, vectors) = scatter(z, |block, _| block.f_to_kind(Kind::Double))?;
    let (_, found) = vectors.size2()?;
    let count = found.min(count as i64);
    upright(&vectors.f_narrow(1, found - count, count)?.f_flip([1i64])?)?.f_tr()?.f_contiguous()
}

/// Middle (class_count, D), f64, and number of rows of each class; zeros for a class without any.
fn middles(x: &Tensor, classes: &[i64], class_count: usize) -> Result<(Tensor, Vec<usize>), TchError> {
    let (count, side) = x.size2()?;
    let mut sums = Tensor::f_zeros([class_count as i64, side], (Kind::Double, x.device()))?;
    let places = Tensor::f_from_slice(classes)?;
    for start in (0..count).step_by(BLOCK as usize) {
        let rows = BLOCK.min(count - start);
        let block = x.f_narrow(0, start, rows)?.f_to_kind(Kind::Double)?;
        sums = sums.f_index_add(0, &places.f_narrow(0, start, rows)?, &block)?;
    }
    let mut sizes = vec![0usize; class_count];
    classes.iter().filter_map(|&class| usize::try_from(class).ok()).for_each(|class| sizes[class] += 1);
    let divisors: Vec<f64> = sizes.iter().map(|&size| size.max(1) as f64).collect();
    Ok((sums.f_div(&Tensor::f_from_slice(&divisors)?.f_unsqueeze(1)?)?, sizes))
}

/// Eigenvalues (r) and eigenvectors (D, r) of the scatter inside the classes, divided by the number of rows.
fn inside(x: &Tensor, classes: &[i64], middles: &Tensor, sizes: &[usize]) -> Result<(Tensor, Tensor), TchError> {
    // The only row of a class is its middle.
    let company = |place: &usize| usize::try_from(classes[*place]).is_ok_and(|class| sizes[class] > 1);
    let places: Vec<usize> = (0..classes.len()).filter(company).collect();
    let kept: Vec<i64> = places.iter().map(|&place| classes[place]).collect();
    let kept = Tensor::f_from_slice(&kept)?;
    let factor = 1.0 / (classes.len().max(1) as f64).sqrt();
    scatter(&select(x, &places)?, |block, start| {
        let (rows, _) = block.size2()?;
        let middle = middles.f_index_select(0, &kept.f_narrow(0, start, rows)?)?;
        block.f_to_kind(Kind::Double)?.f_sub(&middle)?.f_mul_scalar(factor)
    })
}

/// Eigenvalues (r), ascending, and eigenvectors (k, r) of Y^T Y, where Y are the rows (n, k) after `change` (a block of them, its
/// first row's number -> the block in f64). Fewer rows than numbers go by Y Y^T, with the same result; directions without
/// scatter are left out.
pub(super) fn scatter(
    rows: &Tensor,
    change: impl Fn(&Tensor, i64) -> Result<Tensor, TchError>,
) -> Result<(Tensor, Tensor), TchError> {
    let (count, side) = rows.size2()?;
    let options = (Kind::Double, rows.device());
    let large = |values: &Tensor| -> Result<i64, TchError> {
        if values.numel() == 0 {
            return Ok(0);
        }
        let least = (LEAST_EIGENVALUE * values.f_max()?.f_double_value(&[])?).max(f64::MIN_POSITIVE);
        values.f_gt(least)?.f_sum(Kind::Int64)?.f_int64_value(&[])
    };
    if count < side {
        let y = change(rows, 0)?;
        let (values, vectors) = y.f_mm(&y.f_tr()?)?.f_linalg_eigh("L")?;
        let kept = large(&values)?;
        let values = values.f_narrow(0, count - kept, kept)?;
        let vectors = vectors.f_narrow(1, count - kept, kept)?;
        return Ok((values.shallow_clone(), y.f_tr()?.f_mm(&vectors)?.f_div(&values.f_sqrt()?)?));
    }
    let mut sum = Tensor::f_zeros([side, side], options)?;
    for start in (0..count).step_by(BLOCK as usize) {
        let y = change(&rows.f_narrow(0, start, BLOCK.min(count - start))?, start)?;
        sum = sum.f_addmm_(&y.f_tr()?, &y)?;
    }
    let (values, vectors) = sum.f_linalg_eigh("L")?;
    let kept = large(&values)?;
    Ok((values.f_narrow(0, side - kept, kept)?, vectors.f_narrow(1, side - kept, kept)?))
}

/// Columns, each with its largest number positive: eigenvectors know no sign.
fn upright(columns: &Tensor) -> Result<Tensor, TchError> {
    if columns.numel() == 0 {
        return Ok(columns.shallow_clone());
    }
    let largest = columns.f_abs()?.f_argmax(0, true)?;
    columns.f_mul(&columns.f_gather(0, &largest, false)?.f_sign()?)
}

/// Rows over their lengths; rows of zeros stay.
fn unit(rows: &Tensor) -> Result<Tensor, TchError> {
    let lengths = rows.f_square()?.f_sum_dim_intlist([1i64].as_slice(), true, None)?.f_sqrt()?;
    rows.f_div(&lengths.f_clamp_min(f64::MIN_POSITIVE)?)
}
