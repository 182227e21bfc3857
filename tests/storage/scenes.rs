//! Generated photos for cleanings: an image's bytes name its scene and its view, and pairs of one scene verify.

use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::embed::{LocalFeatureSet, LocalFeatures};
use cairn::{Error, Photo};

use crate::Random;

/// Numbers of a made-up descriptor.
pub const DIMENSION: usize = 16;
/// Features of a photo.
pub const FEATURES: usize = 60;

/// Features of made-up photos; counts how many it was asked for.
#[derive(Default)]
pub struct Scenes {
    /// How many photos it was asked for.
    pub asked: AtomicUsize,
    /// Another one stands for another extractor.
    pub version: u64,
}

impl LocalFeatures for Scenes {
    fn fingerprint(&self) -> String {
        format!("scenes {}", self.version)
    }

    fn max_distance(&self) -> f32 {
        0.6
    }

    fn extract(&self, photo: &Photo, _: Option<&[u8; 32]>) -> cairn::Result<LocalFeatureSet> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let bytes = match photo {
            Photo::Bytes(bytes) => bytes.clone(),
            Photo::File(path) => std::fs::read(path).unwrap(),
        };
        if bytes.len() < 2 {
            return Err(Error::invalid("it is cut short"));
        }
        let (scene, view) = (u64::from(bytes[0]), u64::from(bytes[1]));
        let (mut of_scene, mut of_view) = (Random::new(1000 + scene), Random::new(5000 + view));
        let (turn, shift) = (0.2 * of_view.signed(), 30.0 * of_view.signed());
        let mut set = LocalFeatureSet::new(DIMENSION);
        for n in 0..FEATURES {
            let (x, y) = (150.0 + 140.0 * of_scene.signed(), 150.0 + 140.0 * of_scene.signed());
            set.locations.push([x * turn.cos() - y * turn.sin() + shift, x * turn.sin() + y * turn.cos()]);
            let vector: Vec<f32> = (0..DIMENSION).map(|_| of_scene.signed()).collect();
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            set.descriptors.extend(vector.iter().map(|x| x / length));
            set.scores.push(1.0 / (n + 1) as f32);
        }
        Ok(set)
    }
}
