//! Seeded unit vectors in clusters, so that neighbours mean something.

use cairn::{Operation, Put};

/// A generator of the splitmix64 family: the same seed gives the same vectors everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal: the sum of four uniforms, centred.
    fn normal(&mut self) -> f32 {
        (0..4).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5).sum()
    }

    /// A point near the centre of a cluster; the centre depends on the cluster's number only.
    pub(crate) fn near(&mut self, cluster: u64, dimension: usize) -> Vec<f32> {
        let mut centre = Random(cluster.wrapping_mul(0x1234_5678_9abc_def1));
        (0..dimension).map(|_| centre.normal() + 0.7 * self.normal()).collect()
    }
}

/// A put of a point of a cluster; with a label it is a train image.
pub(crate) fn put(random: &mut Random, key: String, cluster: u64, labelled: bool, dimension: usize) -> Operation {
    Operation::Put(Put {
        key,
        label: labelled.then(|| format!("place {cluster}")),
        vector: random.near(cluster, dimension),
        source: None,
        content: None,
        photo: None,
    })
}
