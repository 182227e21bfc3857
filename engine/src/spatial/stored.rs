//! The compact form of an image's local features in the catalog.
//!
//! Little-endian: version (u8, 1) | step (i8) | dimension (u16) | features (u16) | per feature x and y (i16 each) | per feature
//! `dimension` signed bytes. A coordinate is its number times 2^step pixels, so it is off by at most half of that (1/64 pixel up to
//! 1,023 pixels). A descriptor is the direction of its bytes: each is scaled so that its largest component is 127, and that scale
//! is not stored, because unit length gives it back.
//!
//! 6 + n (4 + d) bytes: 68,006 for 1,000 features of 64 dimensions, 44,006 at 40. There is no checksum inside: the storage must
//! provide one.

use bytes::{Buf, BufMut};

use crate::error::{Error, Result};
use crate::spatial::features::{Features, MAX_FEATURE_DIMENSION, MAX_FEATURES};
use crate::vector::stride;

/// The version this build writes, and the only one it reads.
const VERSION: u8 = 1;
/// Bytes before the first feature.
const HEADER: usize = 6;
/// Bytes of a location.
const LOCATION: usize = 4;
/// The finest step, 2^-8 pixel: no extractor is more precise.
const FINEST_STEP: i8 = -8;
/// The coarsest step: 32,767 times 2^5 is above `MAX_COORDINATE`.
const COARSEST_STEP: i8 = 5;
/// The largest number of a coordinate.
const LARGEST: f32 = i16::MAX as f32;

/// 2^step, exactly and on every machine: the step becomes the exponent.
fn pixels(step: i8) -> f32 {
    /// What stands for an exponent of 0 in an f32.
    const BIAS: i32 = 127;
    /// Bits below the exponent.
    const MANTISSA: u32 = 23;
    f32::from_bits(((BIAS + i32::from(step)) as u32) << MANTISSA)
}

impl Features {
    /// The compact form, `6 + n (4 + d)` bytes: 68 kB at 64 dimensions and 1,000 features, 44 kB at 40. A function of the features
    /// alone, the same on every machine.
    pub fn encode(&self) -> Vec<u8> {
        let largest = self.locations().iter().flatten().fold(0.0f32, |largest, c| largest.max(c.abs()));
        let fits = |step: &i8| largest <= LARGEST * pixels(*step);
        let step = (FINEST_STEP..COARSEST_STEP).find(fits).unwrap_or(COARSEST_STEP);
        let mut bytes = Vec::with_capacity(HEADER + self.len() * (LOCATION + self.dimension()));
        bytes.put_u8(VERSION);
        bytes.put_i8(step);
        bytes.put_u16_le(self.dimension() as u16);
        bytes.put_u16_le(self.len() as u16);
        for coordinate in self.locations().iter().flatten() {
            bytes.put_i16_le((coordinate / pixels(step)).round_ties_even().clamp(-LARGEST, LARGEST) as i16);
        }
        for row in self.codes().chunks_exact(stride(self.dimension())) {
            bytes.put_slice(&row[..self.dimension()]);
        }
        bytes
    }

    /// The features of a compact form.
    ///
    /// # Errors
    /// Corrupt, whatever else the bytes are: another version, a length or a number out of range, a descriptor without direction.
    /// Allocates no more than a small multiple of the length of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let broken = |what: String| Error::corrupt(format!("stored local features: {what}"));
        if bytes.len() < HEADER {
            return Err(broken(format!("{} bytes are shorter than a header", bytes.len())));
        }
        let mut read = bytes;
        let (version, step) = (read.get_u8(), read.get_i8());
        if version != VERSION {
            return Err(broken(format!("version {version}, this build reads {VERSION}")));
        }
        let (dimension, count) = (usize::from(read.get_u16_le()), usize::from(read.get_u16_le()));
        if !(FINEST_STEP..=COARSEST_STEP).contains(&step)
            || !(1..=MAX_FEATURE_DIMENSION).contains(&dimension)
            || count > MAX_FEATURES
        {
            return Err(broken(format!("{count} of {dimension} dimensions, step 2^{step}")));
        }
        if read.len() != count * (LOCATION + dimension) {
            let expected = HEADER + count * (LOCATION + dimension);
            return Err(broken(format!("{} bytes where {expected} are expected", bytes.len())));
        }
        let (locations, codes) = read.split_at(count * LOCATION);
        let coordinate = |pair: &[u8]| f32::from(i16::from_le_bytes([pair[0], pair[1]])) * pixels(step);
        let locations = locations.chunks_exact(LOCATION).map(|l| [coordinate(&l[..2]), coordinate(&l[2..])]).collect();
        let descriptors: Vec<f32> = codes.iter().map(|code| f32::from(code.cast_signed())).collect();
        Self::new(dimension, locations, &descriptors).map_err(|error| broken(error.message().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    fn features() -> impl Strategy<Value = Features> {
        let extent = prop_oneof![Just(0.01f32), Just(1.0), Just(1000.0), Just(1e6)];
        (1usize..80, 0usize..20, extent).prop_flat_map(|(dimension, count, extent)| {
            let location = [-extent..=extent, -extent..=extent];
            let component = prop_oneof![-1.0f32..1.0, Just(1e-6), Just(0.0)];
            (prop::collection::vec(location, count), prop::collection::vec(component, count * dimension)).prop_map(
                move |(locations, mut descriptors)| {
                    descriptors.iter_mut().step_by(dimension).for_each(|first| *first += 1.5);
                    Features::new(dimension, locations, &descriptors).unwrap()
                },
            )
        })
    }

    proptest! {
        #[test]
        fn what_comes_back_is_near(features in features()) {
            let bytes = features.encode();
            prop_assert_eq!(bytes.len(), 6 + features.len() * (4 + features.dimension()));
            let back = Features::decode(&bytes).unwrap();
            prop_assert_eq!((back.len(), back.dimension()), (features.len(), features.dimension()));
            let extent = features.locations().iter().flatten().fold(0.0f32, |most, c| most.max(c.abs()));
            // Half a step; a step is less than twice the extent over 32,767 unless it is the finest.
            let near = (extent / 32_767.0).max(1.0 / 512.0);
            for (a, b) in features.locations().iter().flatten().zip(back.locations().iter().flatten()) {
                prop_assert!((a - b).abs() <= near, "{} became {}", a, b);
            }
            for at in 0..features.len() {
                let cosine: f32 = features.descriptor(at).iter().zip(back.descriptor(at)).map(|(a, b)| a * b).sum();
                prop_assert!(cosine > 0.999, "cosine {}", cosine);
            }
        }

        #[test]
        fn hostile_bytes_give_errors_or_features(mut bytes in prop::collection::vec(any::<u8>(), 0..400), count in 0u16..9) {
            // Half of the headers make sense, so that what follows is reached too.
            if bytes.len() >= HEADER && count < 5 {
                let dimension = ((bytes.len() - HEADER) / usize::from(count.max(1))).saturating_sub(LOCATION) as u16;
                bytes[..2].copy_from_slice(&[VERSION, 0]);
                bytes[2..4].copy_from_slice(&dimension.to_le_bytes());
                bytes[4..6].copy_from_slice(&count.to_le_bytes());
                let length = HEADER + usize::from(count) * (LOCATION + usize::from(dimension));
                bytes.truncate(length);
            }
            match Features::decode(&bytes) {
                Ok(features) => prop_assert_eq!(features.encode().len(), bytes.len()),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
            }
        }
    }

    #[test]
    fn these_are_the_bytes() {
        let features = Features::new(3, vec![[1.5, -2.0]], &[0.6, 0.0, -0.8]).unwrap();
        let bytes = features.encode();
        // 1.5 and -2 pixels in steps of 1/256; the largest component is 127.
        assert_eq!(bytes, [1, 248, 3, 0, 1, 0, 128, 1, 0, 254, 95, 0, 129]);
        assert_eq!(Features::decode(&bytes).unwrap().locations(), [[1.5, -2.0]]);
    }

    #[test]
    fn the_documented_sizes_are_the_sizes() {
        for (dimension, expected) in [(64, 68_006), (40, 44_006)] {
            let full = Features::new(dimension, vec![[1e6, 0.0]; MAX_FEATURES], &vec![1.0; MAX_FEATURES * dimension]);
            assert_eq!(full.unwrap().encode().len(), expected);
        }
    }

    #[test]
    fn each_kind_of_damage_is_told() {
        let good = Features::new(2, vec![[1.0, 2.0]; 3], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap().encode();
        let told = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            Features::decode(&bytes).unwrap_err().message().to_owned()
        };
        assert!(told(&|bytes| bytes.clear()).contains("0 bytes"));
        assert!(told(&|bytes| bytes[0] = 2).contains("version 2"));
        assert!(told(&|bytes| bytes[1] = 6).contains("step 2^6"));
        assert!(told(&|bytes| bytes[2] = 0).contains("0 dimensions"));
        assert!(told(&|bytes| bytes[5] = 0xff).contains("65283 of"));
        assert!(told(&|bytes| bytes.push(0)).contains("25 bytes where 24"));
        assert!(told(&|bytes| bytes.truncate(23)).contains("23 bytes where 24"));
        assert!(told(&|bytes| bytes[18..20].fill(0)).contains("zeros"));
    }
}
