//! The photo sizes of a training: one of five by aspect ratio, so that a mini-batch has photos of one shape (docs/ALGORITHMS.md).

use crate::model::Architecture;

/// (width, height) of the five groups, widest first.
pub(crate) type Sizes = [(u32, u32); 5];

/// (width, height) of the groups of [`cairndb_ingest::photo::aspect_group`], widest first: the paper's section 4.1, "S2" of the released code.
pub const TRAINING_SIZES: [(u32, u32); 5] = [(512, 352), (512, 384), (448, 448), (384, 512), (352, 512)];
/// The larger sizes of a last epoch with frozen batch normalisation: "M2" of the released code.
pub const LAST_EPOCH_SIZES: [(u32, u32); 5] = [(800, 544), (800, 608), (704, 704), (608, 800), (544, 800)];
/// The sizes for `lite0-gem` and `lite2-gem`, which embed at a longest side of 320: 0.7 of those at which they embed, in multiples of 32.
const LITE_TRAINING_SIZES: Sizes = [(224, 160), (224, 160), (224, 224), (160, 224), (160, 224)];
/// Those at which they embed photos in the middle of a group.
const LITE_LAST_EPOCH_SIZES: Sizes = [(320, 224), (320, 256), (320, 320), (256, 320), (224, 320)];

/// The sizes of an architecture: those of the training, and the larger ones of its last epochs.
pub(crate) fn sizes(architecture: Architecture) -> [Sizes; 2] {
    if architecture.is_lite() {
        [LITE_TRAINING_SIZES, LITE_LAST_EPOCH_SIZES]
    } else {
        [TRAINING_SIZES, LAST_EPOCH_SIZES]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use cairndb_ingest::photo::aspect_group;

    #[test]
    fn groups_and_sizes_equal_the_golden_cases() {
        let Some(path) = crate::testing::shared("golden/model/preprocess_cases.json") else { return };
        let text = std::fs::read_to_string(path).unwrap();
        // Flat objects: the first numbers after a name are read.
        let after = |case: &str, name: &str| -> Vec<u32> {
            let rest = &case[case.find(name).unwrap() + name.len()..];
            rest.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).take(2).collect()
        };
        let mut cases = 0;
        for case in text.split("{\"w\"").skip(1) {
            let case = format!("{{\"w\"{case}");
            let (width, height) = (after(&case, "\"w\":")[0], after(&case, "\"h\":")[0]);
            let group = aspect_group(width, height);
            assert_eq!(u32::from(group), after(&case, "\"gid\":")[0], "{width}x{height}");
            for (set, sizes) in [("\"S2\"", TRAINING_SIZES), ("\"M2\"", LAST_EPOCH_SIZES)] {
                let golden = after(&case[case.find(set).unwrap()..], "\"resize_wh\":");
                assert_eq!(sizes[usize::from(group)], (golden[0], golden[1]), "{width}x{height} {set}");
            }
            cases += 1;
        }
        assert!(cases > 10, "{cases}");
    }
}
