//! Seeded landmark-like descriptors, generated one at a time: each row is a function of its number, so none is stored.
//!
//! The number of images per label is long-tailed, with 1 to 4 views of each label. Every image is a sum of a label, a view and
//! its own variation in 192 latent dimensions of decreasing weight, mapped to the descriptor's dimension with a little white
//! noise. So neighbours are meaningful, and no two of them are independent noise (the model of the bench against other
//! libraries).

use cairn::{Operation, Put};
use cairndb_benches::random::Random;

/// Dimension of the descriptors.
pub(crate) const DIMENSION: usize = 512;
/// Latent dimensions.
const LATENT: usize = 192;
/// Rows for each label, on average.
const ROWS_PER_LABEL: u64 = 5;

/// The numbers of one image.
struct Stream(Random);

impl Stream {
    /// The stream of one thing of one kind.
    fn of(kind: u64, number: u64) -> Self {
        let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        let mut random = Random::new(kind.wrapping_mul(0x1234_5678_9abc_def1) ^ number);
        random.bits();
        Self(random)
    }

    /// In 0 .. 1.
    fn uniform(&mut self) -> f64 {
        (self.0.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal: the sum of four uniforms of 16 bits, centred, with variance 1.
    fn normal(&mut self) -> f32 {
        let bits = self.0.bits();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f32 / 65_536.0 - 2.0) * 1.732_050_8
    }
}

/// The generated data: train images, index images and queries each have their own stream.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Labelled.
    Train = 11,
    /// Searched.
    Index = 12,
    /// Asked.
    Query = 13,
}

/// The collection: from it every row can be made.
pub(crate) struct Collection {
    labels: u64,
    /// Standard deviation of each latent dimension.
    weight: Vec<f32>,
    /// Latent to descriptor, a row for each latent dimension.
    map: Vec<f32>,
}

impl Collection {
    /// A collection for about so many rows.
    pub(crate) fn new(rows: usize) -> Self {
        let mut weight: Vec<f32> = (1..=LATENT).map(|n| (n as f32).powf(-0.42)).collect();
        let norm = weight.iter().map(|w| w * w).sum::<f32>().sqrt();
        weight.iter_mut().for_each(|w| *w /= norm);
        let mut random = Stream::of(1, 0);
        let map = (0..LATENT * DIMENSION).map(|_| random.normal() / (DIMENSION as f32).sqrt()).collect();
        Self { labels: (rows as u64 / ROWS_PER_LABEL).max(200), weight, map }
    }

    /// The label of a row: ranks with a tail of exponent 0.8.
    fn label(&self, random: &mut Stream) -> u64 {
        let most = ((self.labels + 1) as f64).powf(0.2);
        let rank = (1.0 + random.uniform() * (most - 1.0)).powi(5);
        (rank as u64).clamp(1, self.labels)
    }

    /// Adds a latent vector, a weight times it.
    fn add(&self, latent: &mut [f32; LATENT], random: &mut Stream, share: f32) {
        for (value, weight) in latent.iter_mut().zip(&self.weight) {
            *value += share * weight * random.normal();
        }
    }

    /// The label and the descriptor of a row.
    pub(crate) fn row(&self, kind: Kind, number: u64) -> (u64, Vec<f32>) {
        let mut random = Stream::of(kind as u64, number);
        let label = self.label(&mut random);
        let views = 1 + Stream::of(2, label).0.bits() % 4;
        let view = (random.uniform().powi(2) * views as f64) as u64;
        // About a Beta(2, 2): the mean of two uniforms.
        let strength = 0.3 + 0.7 * (0.5 * (random.uniform() + random.uniform())) as f32;
        let mut latent = [0.0; LATENT];
        self.add(&mut latent, &mut Stream::of(3, label), 0.55);
        self.add(&mut latent, &mut Stream::of(4, label * 4 + view), 0.85);
        self.add(&mut latent, &mut random, strength);
        let white = 0.25 / (DIMENSION as f32).sqrt();
        let mut vector: Vec<f32> = (0..DIMENSION).map(|_| white * random.normal()).collect();
        for (share, line) in latent.iter().zip(self.map.chunks_exact(DIMENSION)) {
            for (value, along) in vector.iter_mut().zip(line) {
                *value += share * along;
            }
        }
        (label, vector)
    }

    /// A put of a row under this key; a train image is labelled.
    pub(crate) fn put(&self, kind: Kind, number: u64, key: String) -> Operation {
        let (label, vector) = self.row(kind, number);
        let label = matches!(kind, Kind::Train).then(|| name(label));
        Operation::Put({
            let mut put = Put::new(key, vector);
            put.label = label;
            put
        })
    }
}

/// The label of that number.
pub(crate) fn name(label: u64) -> String {
    format!("place {label}")
}

/// The key of an index image.
pub(crate) fn index_key(number: u64) -> String {
    format!("i{number:09}")
}
