//! The nearest rows to each of many rows, by cosine.

use cairn::runtime::pool;
use tch::{Device, Kind, TchError, Tensor};

use crate::device::one_thread;

/// Queries whose similarities are in memory at a time, for each thread.
const CHUNK: usize = 256;

/// For each of the unit rows `queries` (q, d): the `k` rows of `base` (n, d) with the largest inner product, best first, equal
/// ones in their order. `but`, one number a query, is a row that does not count. Both f32 on the CPU.
///
/// O(q n d); memory: 256 n numbers for each thread.
pub(crate) fn nearest(
    queries: &Tensor,
    base: &Tensor,
    k: usize,
    but: Option<&[usize]>,
) -> Result<Vec<Vec<(u32, f32)>>, TchError> {
    let (count, _) = queries.size2()?;
    let chunks: Vec<(usize, Tensor, Tensor)> = (0..count)
        .step_by(CHUNK)
        .map(|start| {
            let rows = queries.f_narrow(0, start, (count - start).min(CHUNK as i64))?;
            Ok((usize::try_from(start).unwrap_or(0), rows, base.f_tr()?))
        })
        .collect::<Result<_, TchError>>()?;
    let found = pool::try_map_owned(chunks, |(start, queries, base)| {
        one_thread();
        let similarities = queries.f_mm(&base)?;
        let (rows, columns) = similarities.size2()?;
        let values = numbers(&similarities)?;
        let columns = usize::try_from(columns).unwrap_or(0);
        let row = |at: usize| {
            let left_out = but.and_then(|but| but.get(start + at).copied());
            best(values.get(at * columns..(at + 1) * columns).unwrap_or(&[]), k, left_out)
        };
        Ok::<_, TchError>((0..usize::try_from(rows).unwrap_or(0)).map(row).collect::<Vec<_>>())
    });
    Ok(found?.into_iter().flatten().collect())
}

/// The places of the `k` largest similarities.
fn best(similarities: &[f32], k: usize, but: Option<usize>) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let all = (0u32..).zip(similarities.iter().copied());
    let mut list: Vec<(u32, f32)> = all.filter(|(at, _)| but != Some(*at as usize)).collect();
    if list.len() > k && k > 0 {
        list.select_nth_unstable_by(k - 1, order);
    }
    list.truncate(k);
    list.sort_unstable_by(order);
    list
}

/// Rows of `dimension` numbers as an f32 tensor.
pub(crate) fn tensor(rows: &[f32], dimension: usize) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(rows)?.f_view([-1, dimension.max(1) as i64])
}

/// The numbers of a tensor as f32, row after row.
pub(crate) fn numbers(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let flat = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0f32; flat.numel()];
    let count = values.len();
    flat.f_copy_data(&mut values, count)?;
    Ok(values)
}

/// Some rows of a tensor.
pub(crate) fn select(rows: &Tensor, places: &[usize]) -> Result<Tensor, TchError> {
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    rows.f_index_select(0, &Tensor::f_from_slice(&places)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn best_first_equal_ones_in_their_order_and_one_left_out() {
        let base = tensor(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.6, 0.8], 2).unwrap();
        let queries = tensor(&[1.0, 0.0, 0.0, 1.0], 2).unwrap();
        let found = nearest(&queries, &base, 3, None).unwrap();
        assert_eq!(found[0], [(0, 1.0), (2, 1.0), (3, 0.6)]);
        assert_eq!(found[1], [(1, 1.0), (3, 0.8), (0, 0.0)]);
        let found = nearest(&queries, &base, 9, Some(&[0, 3])).unwrap();
        assert_eq!(found[0], [(2, 1.0), (3, 0.6), (1, 0.0)]);
        assert_eq!(found[1].len(), 3);
        assert!(nearest(&queries, &select(&base, &[]).unwrap(), 3, None).unwrap().iter().all(Vec::is_empty));
    }

    #[test]
    fn chunks_make_no_difference() {
        let rows: Vec<f32> = (0..700).flat_map(|i| [(i as f32).cos(), (i as f32).sin()]).collect();
        let rows = tensor(&rows, 2).unwrap();
        let selves: Vec<usize> = (0..700).collect();
        let found = nearest(&rows, &rows, 5, Some(&selves)).unwrap();
        assert_eq!(found.len(), 700);
        for at in [0, 255, 256, 699] {
            let alone = nearest(&rows.narrow(0, at, 1), &rows, 5, Some(&[at as usize])).unwrap();
            let places = |list: &[(u32, f32)]| list.iter().map(|(at, _)| *at).collect::<Vec<_>>();
            assert_eq!(places(&alone[0]), places(&found[at as usize]));
        }
    }
}
