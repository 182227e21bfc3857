//! The images of each mini-batch: a function of only the seed and the epoch.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Mix;

/// Tells this file's draws from others of the same seed.
const PURPOSE: u64 = 0xba7c;

/// Fewest images that a group's own small batch has: of fewer, a batch's statistics say nothing.
const SMALLEST_BATCH: usize = 4;

/// How an epoch goes through the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampling {
    /// Every image once, in random order (the default of the classifying losses).
    #[default]
    Shuffled,
    /// Every class as often as any other, for long tails: as many draws as there are images; the images of a class take turns.
    ClassBalanced {
        /// Number of images of a class that are sampled together, if it has that many: 1, or more for the losses that compare
        /// rows.
        images: usize,
    },
    /// `images` of a class at a time side by side, for the losses that compare rows (triplet, AP: 4 by default). Every image
    /// once; a class whose count leaves one over shows another of its images with it.
    Grouped {
        /// Images of a class that stand together, at least 2.
        images: usize,
    },
}

/// The images to draw from.
pub(crate) struct Pool<'a> {
    /// Class of each image.
    pub(crate) classes: &'a [u32],
    /// Group of each image (its aspect ratio): a batch holds one group. `None`: all are of one.
    pub(crate) groups: Option<&'a [u8]>,
    /// Images of a batch; fewer where no group has as many.
    pub(crate) batch: usize,
    pub(crate) sampling: Sampling,
    pub(crate) seed: u64,
}

impl Pool<'_> {
    /// Images in a batch: `batch`, or the size of the largest group where that is less.
    pub(crate) fn size(&self) -> usize {
        let largest = match self.groups {
            None => self.classes.len(),
            Some(groups) => Self::group_sizes(groups).into_iter().max().unwrap_or(0),
        };
        self.batch.min(largest).max(1)
    }

    /// Images of each group, by its number.
    fn group_sizes(groups: &[u8]) -> Vec<usize> {
        let mut sizes = vec![0; usize::from(u8::MAX) + 1];
        groups.iter().for_each(|&group| sizes[usize::from(group)] += 1);
        sizes
    }

    /// Images that no batch of `epochs` holds, because their group is too small for one.
    pub(crate) fn never_seen(&self, epochs: u64) -> usize {
        let Some(groups) = self.groups else { return 0 };
        let (sizes, least) = (Self::group_sizes(groups), SMALLEST_BATCH.min(self.size()));
        let small = (0u32..).zip(groups).filter(|(_, group)| sizes[usize::from(**group)] < least);
        let mut small: BTreeSet<u32> = small.map(|(image, _)| image).collect();
        // Drawn again and again, the few images of a group may fill one all the same.
        for epoch in (0..epochs).take_while(|_| self.is_balanced()) {
            self.epoch(epoch).iter().flatten().for_each(|image| {
                small.remove(image);
            });
        }
        small.len()
    }

    /// The batches of an epoch, in order, as many in every epoch. Incomplete ones are dropped, as released; but of a group that
    /// does not fill one, [`SMALLEST_BATCH`] images or more make one, or they would never be seen.
    pub(crate) fn epoch(&self, epoch: u64) -> Vec<Vec<u32>> {
        let mut mix = Mix::new(&[self.seed, PURPOSE, epoch]);
        let order = match self.sampling {
            Sampling::Shuffled => {
                let mut all: Vec<u32> = (0..self.classes.len() as u32).collect();
                mix.shuffle(&mut all);
                all
            }
            Sampling::ClassBalanced { images } => self.balanced(images.max(1), &mut mix),
            Sampling::Grouped { images } => self.grouped(images.max(2), &mut mix),
        };
        let Some(groups) = self.groups else {
            return order.chunks_exact(self.size()).map(<[u32]>::to_vec).collect();
        };
        let size = self.size();
        let least = SMALLEST_BATCH.min(size);
        let (mut batches, mut count) = (Vec::new(), 0);
        for (group, images) in (0..=u8::MAX).zip(Self::group_sizes(groups)) {
            let wanted = if images < size { usize::from(images >= least) } else { images / size };
            count += wanted;
            let of = order.iter().copied().filter(|&image| groups.get(image as usize) == Some(&group));
            let of: Vec<u32> = of.collect();
            let full = of.chunks_exact(of.len().clamp(1, size)).filter(|batch| batch.len() >= least);
            // Balanced classes draw a group more often or less often than it has images, as they stand in it.
            let most = if self.is_balanced() { usize::MAX } else { wanted };
            batches.extend(full.take(most).map(<[u32]>::to_vec));
        }
        if batches.is_empty() && self.sampling != Sampling::Shuffled {
            return Pool { sampling: Sampling::Shuffled, ..*self }.epoch(epoch);
        }
        mix.shuffle(&mut batches);
        batches.truncate(count);
        // The count of steps stays.
        let missing = count.saturating_sub(batches.len());
        let again: Vec<Vec<u32>> = batches.iter().cycle().take(missing).cloned().collect();
        batches.extend(again);
        batches
    }

    /// The images of each class, and, where they must stand together in a batch, of each group in it; each in a random order.
    fn by_class(&self, together: bool, mix: &mut Mix) -> Vec<Vec<u32>> {
        let mut classes: BTreeMap<(u32, u8), Vec<u32>> = BTreeMap::new();
        for (image, &class) in (0..).zip(self.classes) {
            let group = self.groups.filter(|_| together).and_then(|groups| groups.get(image as usize));
            classes.entry((class, group.copied().unwrap_or(0))).or_default().push(image);
        }
        let mut classes: Vec<Vec<u32>> = classes.into_values().collect();
        classes.iter_mut().for_each(|images| mix.shuffle(images));
        classes
    }

    fn is_balanced(&self) -> bool {
        matches!(self.sampling, Sampling::ClassBalanced { .. })
    }

    fn balanced(&self, together: usize, mix: &mut Mix) -> Vec<u32> {
        let mut classes = self.by_class(false, mix);
        if let Some(groups) = self.groups.filter(|_| together > 1) {
            // What is drawn together meets in a batch only where it is of one group.
            classes.iter_mut().for_each(|images| images.sort_by_key(|&image| groups.get(image as usize)));
        }
        let mut order = Vec::with_capacity(self.classes.len());
        let mut round = 0;
        while order.len() < self.classes.len() {
            mix.shuffle(&mut classes);
            // A class that has fewer images takes more turns in a round, and as many draws.
            let turns = |images: &Vec<u32>| together.div_ceil(images.len());
            let mut round_of: Vec<(&Vec<u32>, usize)> =
                classes.iter().flat_map(|images| (0..turns(images)).map(move |turn| (images, turn))).collect();
            if together > 1 {
                mix.shuffle(&mut round_of);
            }
            for (images, turn) in round_of {
                let size = (together / turns(images)).max(together.min(2)).min(images.len());
                let first = (round * turns(images) + turn) * size;
                order.extend((first..first + size).map(|at| images[at % images.len()]));
            }
            round += 1;
        }
        order.truncate(self.classes.len());
        order
    }

    fn grouped(&self, size: usize, mix: &mut Mix) -> Vec<u32> {
        let mut parts: Vec<Vec<u32>> = Vec::new();
        for images in self.by_class(true, mix) {
            for part in images.chunks(size) {
                let mut part = part.to_vec();
                if let ([_], [first, _, ..]) = (part.as_slice(), images.as_slice()) {
                    part.push(*first);
                }
                parts.push(part);
            }
        }
        mix.shuffle(&mut parts);
        parts.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Class 0 has 40 images, class 1 has 9, class 2 has 2.
    fn classes() -> Vec<u32> {
        [vec![0; 40], vec![1; 9], vec![2; 2]].concat()
    }

    fn pool(classes: &[u32], sampling: Sampling) -> Pool<'_> {
        Pool { classes, groups: None, batch: 8, sampling, seed: 1 }
    }

    #[test]
    fn an_epoch_shows_every_image_at_most_once_in_an_order_of_its_own() {
        let classes = classes();
        let pool = pool(&classes, Sampling::Shuffled);
        let batches = pool.epoch(0);
        assert_eq!(batches.len(), 6); // 51 / 8, the rest dropped
        let mut seen = batches.concat();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 48);
        assert_eq!(pool.epoch(0), batches);
        assert_ne!(pool.epoch(1), batches);
        assert_ne!(Pool { seed: 2, ..pool }.epoch(0), batches);
    }

    #[test]
    fn balanced_classes_are_drawn_equally_often() {
        let classes = classes();
        let order = pool(&classes, Sampling::ClassBalanced { images: 1 }).epoch(3).concat();
        let count = |class: u32| order.iter().filter(|&&image| classes[image as usize] == class).count();
        assert!((0..3).all(|class| count(class).abs_diff(16) <= 1), "{:?}", [count(0), count(1), count(2)]);
    }

    #[test]
    fn balanced_classes_have_company_where_rows_are_compared() {
        // 120 classes of 2 to 5 images: drawn one by one, hardly any batch of 16 holds two of a class.
        let classes: Vec<u32> = (0..120).flat_map(|class| vec![class; 2 + class as usize % 4]).collect();
        let groups: Vec<u8> = classes.iter().map(|class| u8::from(class % 3 == 0)).collect();
        let compared = Pool { batch: 16, ..pool(&classes, Sampling::ClassBalanced { images: 4 }) };
        for pool in [Pool { groups: None, ..compared }, Pool { groups: Some(&groups), ..compared }] {
            let mut drawn = vec![0usize; 120];
            for batch in (0..60).flat_map(|epoch| pool.epoch(epoch)) {
                let mut of: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
                for &image in &batch {
                    drawn[classes[image as usize] as usize] += 1;
                    of.entry(classes[image as usize]).or_default().insert(image);
                }
                let pairs = of.values().filter(|images| images.len() > 1).count();
                assert!(pairs > 1, "{batch:?}");
            }
            let mean = drawn.iter().sum::<usize>() as f64 / 120.0;
            assert!(drawn.iter().all(|&draws| (draws as f64 - mean).abs() < 0.35 * mean), "{mean}: {drawn:?}");
        }
    }

    #[test]
    fn grouped_images_have_company_of_their_class() {
        let classes = classes();
        let order = pool(&classes, Sampling::Grouped { images: 4 }).epoch(0).concat();
        let mut runs: Vec<usize> = Vec::new();
        for (at, &image) in order.iter().enumerate() {
            let class = classes[image as usize];
            match at.checked_sub(1).map(|before| classes[order[before] as usize] == class) {
                Some(true) => *runs.last_mut().unwrap_or(&mut 0) += 1,
                _ => runs.push(1),
            }
        }
        // Only the cut at the end of the last batch can leave an image alone.
        assert!(runs[..runs.len() - 1].iter().all(|&run| run >= 2), "{runs:?}");
    }

    #[test]
    fn a_batch_holds_one_aspect_group() {
        let classes = classes();
        let groups: Vec<u8> = (0..51).map(|image| u8::from(image % 3 == 0)).collect();
        let pool = Pool { groups: Some(&groups), ..pool(&classes, Sampling::Shuffled) };
        let batches = pool.epoch(0);
        assert_eq!(batches.len(), 2 + 4); // 17 and 34 images
        let group = |image: &u32| groups[*image as usize];
        assert!(batches.iter().all(|batch| batch.iter().all(|image| group(image) == group(&batch[0]))));
    }

    #[test]
    fn a_small_group_is_seen_and_every_epoch_has_as_many_steps() {
        let classes = classes();
        let groups: Vec<u8> = (0..51).map(|image| if image < 5 { 3 } else { u8::from(image < 8) }).collect();
        let balanced = [1, 4].map(|images| Sampling::ClassBalanced { images });
        for sampling in [Sampling::Shuffled, balanced[0], balanced[1], Sampling::Grouped { images: 4 }] {
            let pool = Pool { groups: Some(&groups), ..pool(&classes, sampling) };
            for epoch in 0..50 {
                let batches = pool.epoch(epoch);
                // 5 images of group 3 make a batch, the 3 of group 1 none, the 43 others five.
                assert_eq!(batches.len(), 6, "{sampling:?}");
                assert!(batches.iter().all(|batch| batch.len() >= 4 && groups[batch[0] as usize] != 1));
            }
            assert_eq!(pool.never_seen(50), 3, "{sampling:?}");
        }
    }

    #[test]
    fn balanced_classes_of_groups_are_drawn_equally_often() {
        // Class 0 has 320 images of group 0; 8 classes have 4 of group 1 each.
        let classes: Vec<u32> = (0..352).map(|image| if image < 320 { 0 } else { 1 + (image - 320) / 4 }).collect();
        let groups: Vec<u8> = (0..352).map(|image| u8::from(image >= 320)).collect();
        let pool = Pool { groups: Some(&groups), ..pool(&classes, Sampling::ClassBalanced { images: 1 }) };
        let drawn: Vec<u32> = (0..20).flat_map(|epoch| pool.epoch(epoch).concat()).collect();
        let share = drawn.iter().filter(|&&image| image < 320).count() as f64 / drawn.len() as f64;
        assert!((share - 1.0 / 9.0).abs() < 0.03, "{share}");
    }

    #[test]
    fn few_images_make_one_batch() {
        let batches = pool(&[0, 0, 1], Sampling::Shuffled).epoch(0);
        assert_eq!((batches.len(), batches[0].len()), (1, 3));
        assert!(pool(&[], Sampling::Shuffled).epoch(0).is_empty());
    }
}
