//! The paper's cleaning rule: a train image stays if enough images of its label show the same rigid thing.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use crate::error::{Error, Result};

/// Number of images that a label must keep; with fewer, the whole label is removed (`cleaning_train2019.py:377`).
pub const LEAST_IMAGES: usize = 2;

/// One compared pair of train images, by their row numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The image in question; the pair counts only for it.
    pub image: usize,
    /// The image that it was compared with.
    pub other: usize,
    /// Inliers of the comparison, as counted by `cairn::spatial::verify`.
    pub inliers: u32,
}

/// The requirements on a train image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Number of inliers from which a pair is verified, inclusive. Default 31: the paper says "greater than 30"; the released
    /// code takes 30 too.
    pub min_inliers: u32,
    /// Number of verified pairs that an image needs, 1 or more. Default 3 (the paper's tau_freq).
    pub freq: usize,
}

impl Default for Rule {
    fn default() -> Self {
        Self { min_inliers: 31, freq: 3 }
    }
}

/// Whether one train image passes. Its `Display` is the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Kept {
        /// Number of its verified pairs, `freq` or more.
        verified: usize,
    },
    /// It fails: too few images of its label match it.
    TooFewPairs {
        /// Number of its verified pairs.
        verified: usize,
        /// The number that it needs.
        needed: usize,
    },
    /// It has enough verified pairs, but its label would be left with fewer than [`LEAST_IMAGES`].
    LabelTooSmall {
        /// Number of images that its label would keep.
        left: usize,
    },
}

impl Verdict {
    /// Whether the image passes.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Kept { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { verified } => write!(f, "{verified} verified pairs"),
            Self::TooFewPairs { verified, needed } => write!(f, "{verified} of {needed} verified pairs"),
            Self::LabelTooSmall { left } => {
                write!(f, "its label is left with {left} of {LEAST_IMAGES} images needed")
            }
        }
    }
}

/// The cleaning rule (Yokoo et al. 2020, section 3.1) on train images with these `labels`, one verdict each.
///
/// Pairs count only for `image`, as in the released code: whether the other image was also compared with this one does not
/// matter. A pair counts if its images differ and have one label; a repeated pair counts once, with the larger number of inliers.
/// The result does not depend on the order of the pairs.
///
/// # Errors
/// `Invalid` if a pair names a row that does not exist, or `freq` is zero.
///
/// Cost: `O(p log p)` for p pairs.
pub fn clean<L: Copy + Eq + Hash>(labels: &[L], pairs: &[Pair], rule: &Rule) -> Result<Vec<Verdict>> {
    if rule.freq == 0 {
        return Err(Error::invalid("cleaning with 0 verified pairs would keep every image")
            .help("ask for 1 or more; the default is 3"));
    }
    if let Some(pair) = pairs.iter().find(|pair| pair.image.max(pair.other) >= labels.len()) {
        return Err(Error::invalid(format!("images {} and {} are not a valid pair", pair.image, pair.other))
            .help(format!("there are {} train images; rows are counted from 0", labels.len())));
    }
    let is_verified = |pair: &&Pair| {
        pair.inliers >= rule.min_inliers && pair.image != pair.other && labels[pair.image] == labels[pair.other]
    };
    let mut verified: Vec<(usize, usize)> =
        pairs.iter().filter(is_verified).map(|pair| (pair.image, pair.other)).collect();
    verified.sort_unstable();
    verified.dedup();
    let mut count = vec![0; labels.len()];
    verified.iter().for_each(|(image, _)| count[*image] += 1);
    let mut left: HashMap<L, usize> = HashMap::new();
    for (label, _) in labels.iter().zip(&count).filter(|(_, count)| **count >= rule.freq) {
        *left.entry(*label).or_default() += 1;
    }
    let verdict = |(label, &verified): (&L, &usize)| match left.get(label).copied().unwrap_or_default() {
        _ if verified < rule.freq => Verdict::TooFewPairs { verified, needed: rule.freq },
        left if left < LEAST_IMAGES => Verdict::LabelTooSmall { left },
        _ => Verdict::Kept { verified },
    };
    Ok(labels.iter().zip(&count).map(verdict).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(usize, usize, u32)]) -> Vec<Pair> {
        list.iter().map(|&(image, other, inliers)| Pair { image, other, inliers }).collect()
    }

    #[test]
    fn the_defaults_are_those_of_the_paper() {
        assert_eq!(Rule::default(), Rule { min_inliers: 31, freq: 3 });
    }

    #[test]
    fn each_verdict_has_its_reason() {
        let labels = ["a", "a", "a", "b", "b", "b"];
        let rule = Rule { min_inliers: 31, freq: 2 };
        // 30 inliers are one too few; image 3 alone of label b has two.
        let list = [(0, 1, 31), (0, 2, 40), (1, 0, 31), (1, 2, 99), (2, 0, 31), (2, 1, 30), (3, 4, 50), (3, 5, 50)];
        let verdicts = clean(&labels, &pairs(&list), &rule).unwrap();
        let words: Vec<String> = verdicts.iter().map(Verdict::to_string).collect();
        assert_eq!(words[0], "2 verified pairs");
        assert_eq!(words[1], "2 verified pairs");
        assert_eq!(words[2], "1 of 2 verified pairs");
        assert_eq!(words[3], "its label is left with 1 of 2 images needed");
        assert_eq!(words[4], "0 of 2 verified pairs");
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_kept()).count(), 2);
    }

    #[test]
    fn pairs_count_for_the_image_that_asked() {
        let list = [(0, 1, 40), (1, 0, 40), (2, 0, 40)];
        let kept = |list: &[(usize, usize, u32)]| {
            let verdicts = clean(&[1, 1, 1], &pairs(list), &Rule { min_inliers: 31, freq: 1 }).unwrap();
            verdicts.iter().map(Verdict::is_kept).collect::<Vec<_>>()
        };
        assert_eq!(kept(&list), [true, true, true]);
        assert_eq!(kept(&list[..2]), [true, true, false]);
    }

    #[test]
    fn itself_another_label_and_a_second_time_are_no_evidence() {
        let rule = Rule { min_inliers: 31, freq: 2 };
        let list = [(0, 0, 99), (0, 3, 99), (0, 1, 40), (0, 1, 50)];
        let verdicts = clean(&[1, 1, 1, 2], &pairs(&list), &rule).unwrap();
        assert_eq!(verdicts[0], Verdict::TooFewPairs { verified: 1, needed: 2 });
    }

    #[test]
    fn rows_that_are_not_there_are_refused() {
        assert!(clean(&[1, 1], &pairs(&[(0, 2, 1)]), &Rule::default()).is_err());
        assert!(clean(&[1, 1], &[], &Rule { min_inliers: 31, freq: 0 }).is_err());
        assert_eq!(clean::<u32>(&[], &[], &Rule::default()).unwrap(), []);
    }
}
