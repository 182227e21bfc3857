//! Seeded unit vectors in clusters, so that neighbours are meaningful.

use cairn::{Operation, Put};
use cairndb_benches::random::Random;

/// About normal: the sum of four uniforms, centred.
fn normal(random: &mut Random) -> f32 {
    (0..4).map(|_| (random.bits() >> 40) as f32 / (1u64 << 24) as f32 - 0.5).sum()
}

/// A point near the centre of a cluster; the centre depends on the cluster's number only.
pub(crate) fn near(random: &mut Random, cluster: u64, dimension: usize) -> Vec<f32> {
    let mut centre = Random::new(cluster.wrapping_mul(0x1234_5678_9abc_def1));
    (0..dimension).map(|_| normal(&mut centre) + 0.7 * normal(random)).collect()
}

/// A put of a point of a cluster; with a label it is a train image.
pub(crate) fn put(random: &mut Random, key: String, cluster: u64, labelled: bool, dimension: usize) -> Operation {
    Operation::Put({
        let mut put = Put::new(key, near(random, cluster, dimension));
        put.label = labelled.then(|| format!("place {cluster}"));
        put
    })
}
