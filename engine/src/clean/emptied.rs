//! The images whose label would have no image without them.

use std::collections::HashMap;
use std::hash::Hash;

/// Of images that are to leave their labels, in this order, whether each would leave its label without any of the images that it has
/// now. Such an image stays, and the label with it. `images` says how many carry each label now, those that are to leave included.
///
/// What a label gains by the same change does not count: two labels of one image each would exchange their meaning otherwise.
///
/// Cost: `O(n)`.
pub fn would_empty<L: Eq + Hash>(leaving: impl IntoIterator<Item = L>, mut images: HashMap<L, usize>) -> Vec<bool> {
    let stays = |label: L| match images.get_mut(&label) {
        Some(left) if *left > 1 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    leaving.into_iter().map(stays).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_images_that_a_label_has_stays() {
        let images = HashMap::from([("a", 1), ("b", 2), ("c", 3)]);
        let leaving = ["c", "a", "b", "c", "b", "c", "unknown"];
        assert_eq!(would_empty(leaving, images), [false, true, false, false, true, true, true]);
    }
}
