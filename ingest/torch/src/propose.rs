//! Finds the nearest train rows by one matrix product on a device, and proves that none of the true best is missing.
//!
//! The proof. Let s be the exact inner product of a query q and a row r of dimension d, and u = 2^-24 the unit roundoff of f32.
//! Computed in f32 in any order of summation, with or without fused multiply-add, the result differs from s by at most
//! g(d) |q| |r| with g(d) = d u / (1 - d u) (Higham, Accuracy and Stability, section 3.1, and |q|.|r| <= |q| |r|), plus an
//! underflow of less than the smallest normal number a term. That holds for the device's score and for the engine's canonical
//! score alike, so the two differ by at most `e = 2 g(d) max|r| |q| + 2 d MIN_POSITIVE`.
//! Let t be the device's count-th best score. The count rows at or above t have canonical scores of at least t - e, so the
//! canonical count-th best is at least t - e, and every row that reaches it, ties included, has a device score of at least
//! t - 2e. If the device's list goes below t - 2e, or holds all live rows, all of them are in it: a superset is proven. Else the
//! query gets no proposal, and the engine scores every row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use cairn::embed::{Propose, VectorChunk, VectorChunks};
use cairn::runtime::Gated;
use cairn::{Error, ErrorKind, Result};
use tch::{Kind, TchError, Tensor};

use crate::device::{Hardware, one_thread, torch_error};

/// Rows asked for beyond `count`, so that the list reaches below the bound: this many, and as many again as `count`.
const MARGIN: usize = 64;
/// Most scores computed at once: 64 million, 256 MiB of f32.
const SCORES_AT_ONCE: usize = 64 << 20;

/// A chunk on the device.
struct Placed {
    /// Held so that the address cannot come to mean another chunk.
    chunk: VectorChunk,
    /// (rows, dimension), f32.
    rows: Tensor,
    /// Largest length of a row.
    longest: f64,
}

/// Chunks by address, length and dimension.
type AllPlaced = HashMap<(usize, usize, usize), Placed>;

/// Proposes by `queries x rows^T` in f32 on the CPU or on CUDA; the rows stay on the device between calls.
pub struct TorchProposer {
    hardware: Hardware,
    placed: Gated<Mutex<AllPlaced>>,
}

impl TorchProposer {
    /// A proposer on a device.
    ///
    /// # Errors
    /// When the device multiplies f32 matrices in lower precision (TF32), which would void the proof.
    pub fn new(hardware: &Hardware) -> Result<Self> {
        let _native = cairn::runtime::native();
        one_thread();
        let residue = tch::no_grad(|| lost_precision(hardware)).map_err(torch_error)?;
        if residue != 0.0 {
            return Err(Error::new(ErrorKind::Mismatch, "the device multiplies f32 matrices in lower precision")
                .help("unset TORCH_ALLOW_TF32_CUBLAS_OVERRIDE, NVIDIA_TF32_OVERRIDE and ONEDNN_DEFAULT_FPMATH_MODE"));
        }
        Ok(Self { hardware: hardware.clone(), placed: Gated::new(Mutex::default) })
    }

    fn place(&self, chunk: &VectorChunk, dimension: usize) -> Result<Placed, TchError> {
        let rows = Tensor::f_from_slice(chunk)?
            .f_view([(chunk.len() / dimension) as i64, dimension as i64])?
            .f_to_device(self.hardware.torch())?;
        let longest = rows.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?.f_max()?.f_sqrt()?;
        Ok(Placed { chunk: chunk.clone(), longest: longest.f_double_value(&[])?, rows })
    }

    /// The best `wanted` live rows of each query: (scores, row numbers), row-major (queries, wanted), best first.
    fn best(
        &self,
        rows: &[&Placed],
        live: &[bool],
        queries: &Tensor,
        wanted: i64,
    ) -> Result<(Tensor, Tensor), TchError> {
        let device = self.hardware.torch();
        let (mut scores, mut numbers) = (Vec::new(), Vec::new());
        let mut first = 0usize;
        for placed in rows {
            let count = placed.rows.size()[0];
            let live = &live[first..first + count as usize];
            let mut product = queries.f_mm(&placed.rows.f_tr()?)?;
            if live.contains(&false) {
                let dead: Vec<u8> = live.iter().map(|&live| u8::from(!live)).collect();
                let dead = Tensor::f_from_slice(&dead)?.f_to_device(device)?.f_to_kind(Kind::Bool)?;
                product = product.f_masked_fill(&dead.f_view([1, count])?, f64::NEG_INFINITY)?;
            }
            let (best, at) = product.f_topk(wanted.min(count), 1, true, true)?;
            scores.push(best);
            numbers.push(at.f_add_scalar(first as i64)?);
            first += count as usize;
        }
        let (scores, numbers) = (Tensor::f_cat(&scores, 1)?, Tensor::f_cat(&numbers, 1)?);
        let (scores, at) = scores.f_topk(wanted.min(scores.size()[1]), 1, true, true)?;
        let numbers = numbers.f_gather(1, &at, false)?;
        Ok((scores, numbers))
    }
}

impl Propose for TorchProposer {
    fn propose(
        &self,
        rows: &VectorChunks,
        live: &[bool],
        queries: &[f32],
        count: usize,
    ) -> Result<Vec<Option<Vec<u32>>>> {
        let _native = cairn::runtime::native();
        let dimension = rows.dimension.max(1);
        let chunks: Vec<&VectorChunk> = rows.chunks.iter().filter(|chunk| !chunk.is_empty()).collect();
        let total: usize = chunks.iter().map(|chunk| chunk.len() / dimension).sum();
        let whole =
            chunks.iter().all(|chunk| chunk.len().is_multiple_of(dimension)) && queries.len().is_multiple_of(dimension);
        if !whole || live.len() != total || u32::try_from(total).is_err() {
            return Err(Error::invalid(format!(
                "a proposer was given {total} rows of dimension {dimension}, {} live flags and {} query numbers",
                live.len(),
                queries.len()
            )));
        }
        let asked = queries.len() / dimension;
        let alive = live.iter().filter(|&&live| live).count();
        if count == 0 || alive == 0 {
            return Ok(vec![Some(Vec::new()); asked]);
        }
        one_thread();
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |chunk: &VectorChunk| (chunk.address(), chunk.len(), dimension);
        placed.retain(|_, old| chunks.iter().any(|chunk| chunk.is_same(&old.chunk)));
        for chunk in &chunks {
            if let Entry::Vacant(place) = placed.entry(name(chunk)) {
                place.insert(tch::no_grad(|| self.place(chunk, dimension)).map_err(torch_error)?);
            }
        }
        let matrix: Vec<&Placed> = chunks.iter().filter_map(|chunk| placed.get(&name(chunk))).collect();
        let longest = matrix.iter().map(|placed| placed.longest).fold(0.0, nan_or_larger);
        let wanted = alive.min(count.saturating_mul(2).saturating_add(MARGIN));
        let largest_chunk = matrix.iter().map(|placed| placed.rows.size()[0] as usize).max().unwrap_or(1);
        let at_once = (SCORES_AT_ONCE / largest_chunk.max(1)).clamp(1, asked.max(1));

        let mut proposals = Vec::with_capacity(asked);
        for queries in queries.chunks(at_once * dimension) {
            let (scores, numbers) = tch::no_grad(|| -> Result<_, TchError> {
                let shape = [(queries.len() / dimension) as i64, dimension as i64];
                let q = Tensor::f_from_slice(queries)?.f_view(shape)?.f_to_device(self.hardware.torch())?;
                let (scores, numbers) = self.best(&matrix, live, &q, wanted as i64)?;
                Ok((to_host::<f32>(&scores)?, to_host::<i64>(&numbers)?))
            })
            .map_err(torch_error)?;
            let lists = queries.chunks(dimension).zip(scores.chunks(wanted)).zip(numbers.chunks(wanted));
            proposals.extend(lists.map(|((q, scores), numbers)| {
                let kept = proven(scores, count, error_bound(q, longest), alive)?;
                numbers[..kept].iter().map(|&number| u32::try_from(number).ok()).collect()
            }));
        }
        Ok(proposals)
    }
}

/// How many of the first scores (best first) hold the canonical `count` best for certain; `None` when that is not proven.
fn proven(scores: &[f32], count: usize, bound: f64, alive: usize) -> Option<usize> {
    if scores.iter().any(|score| score.is_nan()) || !bound.is_finite() {
        return None;
    }
    if count >= alive {
        return (scores.len() >= alive).then_some(alive);
    }
    let floor = f64::from(*scores.get(count.checked_sub(1)?)?) - 2.0 * bound;
    let kept = scores.iter().take_while(|&&score| f64::from(score) >= floor).count();
    (kept < scores.len() || scores.len() >= alive).then_some(kept)
}

/// `e` of the module's text: how far the device's score and the canonical one can be apart.
fn error_bound(query: &[f32], longest: f64) -> f64 {
    let d = query.len() as f64;
    // Two more terms than d: the canonical kernel may round its accumulators together.
    let nu = (d + 2.0) * (-24f64).exp2();
    let length = query.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    // The lengths themselves are rounded a little; 1e-6 covers that.
    2.0 * (nu / (1.0 - nu)) * length * longest * (1.0 + 1e-6) + 2.0 * d * f64::from(f32::MIN_POSITIVE)
}

/// The larger of two, NaN if one is.
fn nan_or_larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// What a product loses of the last bit of f32: exactly 0 in f32, more in TF32 or bf16.
fn lost_precision(hardware: &Hardware) -> Result<f64, TchError> {
    const SIDE: i64 = 256;
    let last_bit = 1.0 + f64::from(f32::EPSILON);
    let values = Tensor::f_full([SIDE, SIDE], last_bit, (Kind::Float, hardware.torch()))?;
    let identity = Tensor::f_eye(SIDE, (Kind::Float, hardware.torch()))?;
    values.f_mm(&identity)?.f_sub(&values)?.f_abs()?.f_max()?.f_double_value(&[])
}

fn to_host<T: tch::kind::Element + Copy + Default>(tensor: &Tensor) -> Result<Vec<T>, TchError> {
    let mut values = vec![T::default(); tensor.numel()];
    let count = values.len();
    tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_copy_data(&mut values, count)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn numbers(count: usize, mut state: u64) -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 24) as f32) - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    fn unit(mut rows: Vec<f32>, dimension: usize) -> Vec<f32> {
        for row in rows.chunks_mut(dimension) {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= length);
        }
        rows
    }

    fn chunks(dimension: usize, chunks: &[Vec<f32>]) -> VectorChunks {
        VectorChunks { dimension, chunks: chunks.iter().cloned().map(VectorChunk::from).collect() }
    }

    /// The rows of the `count` best canonical scores (plain f32 loop), with every tie of the last.
    fn exact(rows: &VectorChunks, live: &[bool], query: &[f32], count: usize) -> Vec<u32> {
        let all = rows.chunks.iter().flat_map(|chunk| chunk.chunks(rows.dimension));
        let mut scored: Vec<(f32, u32)> = all
            .zip(0..)
            .filter(|&(_, number)| live[number as usize])
            .map(|(row, number)| (row.iter().zip(query).map(|(a, b)| a * b).sum(), number))
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let Some(&(last, _)) = scored.get(count.min(scored.len()).wrapping_sub(1)) else { return Vec::new() };
        scored.into_iter().take_while(|&(score, _)| score >= last).map(|(_, number)| number).collect()
    }

    fn check(rows: &VectorChunks, live: &[bool], queries: &[f32], count: usize) -> usize {
        let proposer = TorchProposer::new(&Hardware::cpu()).unwrap();
        let proposals = proposer.propose(rows, live, queries, count).unwrap();
        assert_eq!(proposals.len(), queries.len() / rows.dimension);
        let mut proven = 0;
        for (query, proposal) in queries.chunks(rows.dimension).zip(proposals) {
            let Some(proposal) = proposal else { continue };
            proven += 1;
            assert!(proposal.iter().all(|&row| live[row as usize]));
            for row in exact(rows, live, query, count) {
                assert!(proposal.contains(&row), "row {row} is missing");
            }
        }
        proven
    }

    #[test]
    fn proposals_hold_the_exact_best_over_chunks_and_dead_rows() {
        let d = 64;
        let rows = chunks(d, &[unit(numbers(700 * d, 1), d), vec![], unit(numbers(300 * d, 2), d)]);
        let live: Vec<bool> = (0..1000).map(|i| i % 7 != 0).collect();
        let queries = unit(numbers(20 * d, 3), d);
        for count in [1, 3, 8, 100, 900, 5000] {
            assert_eq!(check(&rows, &live, &queries, count), 20, "count {count}");
        }
    }

    #[test]
    fn near_duplicates_and_ties_are_kept_or_the_query_is_given_back() {
        let d = 128;
        let base = unit(numbers(d, 5), d);
        // 60 rows that differ in the last bits, and 40 equal ones, among others.
        let mut rows: Vec<f32> = Vec::new();
        for i in 0..60 {
            rows.extend(base.iter().enumerate().map(|(j, &x)| if j == i { x * (1.0 + 2e-7) } else { x }));
        }
        (0..40).for_each(|_| rows.extend(&base));
        rows.extend(unit(numbers(400 * d, 6), d));
        let rows = chunks(d, &[rows]);
        assert_eq!(check(&rows, &[true; 500], &base, 3), 0, "100 rows within the bound cannot be told apart by 70");
        assert_eq!(check(&rows, &[true; 500], &base, 50), 1, "a list of 164 reaches below them");
        let equal = chunks(d, &[base.repeat(1000)]);
        assert_eq!(check(&equal, &[true; 1000], &base, 3), 0);
        assert_eq!(check(&equal, &[true; 1000], &base, 1000), 1);
    }

    #[test]
    fn what_cannot_be_proven_or_is_malformed_is_given_back() {
        let proposer = TorchProposer::new(&Hardware::cpu()).unwrap();
        let rows = chunks(2, &[vec![1.0, 0.0, 0.0, 1.0]]);
        assert_eq!(proposer.propose(&rows, &[true, true], &[f32::NAN, 0.0], 1).unwrap(), [None]);
        assert_eq!(proposer.propose(&rows, &[false, false], &[1.0, 0.0], 1).unwrap(), [Some(vec![])]);
        assert_eq!(proposer.propose(&rows, &[false, true], &[1.0, 0.0], 1).unwrap(), [Some(vec![1])]);
        assert!(proposer.propose(&rows, &[true], &[1.0, 0.0], 1).is_err());
        assert!(proposer.propose(&rows, &[true, true], &[1.0], 1).is_err());
        let bad = chunks(2, &[vec![f32::INFINITY, 0.0, 0.0, 1.0]]);
        assert_eq!(proposer.propose(&bad, &[true, true], &[1.0, 0.0], 1).unwrap(), [None]);
    }

    #[test]
    fn rows_are_uploaded_once_and_dropped_with_their_chunk() {
        let proposer = TorchProposer::new(&Hardware::cpu()).unwrap();
        let mut rows = chunks(2, &[vec![1.0, 0.0], vec![0.0, 1.0]]);
        proposer.propose(&rows, &[true, true], &[1.0, 0.0], 1).unwrap();
        assert_eq!(proposer.placed.lock().unwrap().len(), 2);
        rows.chunks.pop();
        proposer.propose(&rows, &[true], &[1.0, 0.0], 1).unwrap();
        assert_eq!(proposer.placed.lock().unwrap().len(), 1);
    }
}
