//! Work on the elements of a slice by several threads; the distribution of the work cannot change the result.

use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Elements that a thread takes at a time.
const PIECE: usize = 16;

/// Calls `work` with each element and its number, on up to `threads` threads, each with its own `state`.
pub(super) fn each<T: Send, S>(
    threads: usize,
    elements: &mut [T],
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut T) + Sync,
) {
    let threads = threads.min(elements.len().div_ceil(PIECE));
    let pieces = Mutex::new(elements.chunks_mut(PIECE).enumerate());
    let run = || {
        let mut state = state();
        loop {
            let piece = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, piece)) = piece else {
                break;
            };
            for (at, element) in piece.iter_mut().enumerate() {
                work(&mut state, number * PIECE + at, element);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Where the system gives no more threads, fewer do the work.
            let _fewer = Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_worked_on_once() {
        for (threads, count) in [(0, 5), (1, 100), (3, 1000), (8, 0)] {
            let mut elements = vec![0; count];
            each(threads, &mut elements, || 7, |state, at, element| *element += at + *state);
            assert!(elements.iter().enumerate().all(|(at, &element)| element == at + 7));
        }
    }
}
