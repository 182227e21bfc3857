//! Reads the markers of a JPEG: its size, what decoding takes, its colour profile and orientation, and whether it is complete.

use image::metadata::Orientation;

/// Largest colour profile that is read: 4 MiB.
const MOST_PROFILE_BYTES: usize = 4 << 20;
/// Coefficients of a block.
const COEFFICIENTS: usize = 64;

/// A component of the picture: one colour channel.
#[derive(Debug, Clone)]
struct Component {
    id: u8,
    /// Samples across and down in a unit of the picture.
    across: u8,
    down: u8,
    /// Whether each coefficient came with its last bit.
    arrived: [bool; COEFFICIENTS],
}

/// What the markers say.
#[derive(Debug, Default)]
pub(super) struct Markers {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The end marker follows the scans.
    pub(super) complete: bool,
    /// The picture comes in several passes: its coefficients are held until the last one.
    pub(super) in_passes: bool,
    pub(super) orientation: Option<Orientation>,
    pub(super) profile: Option<Vec<u8>>,
    components: Vec<Component>,
    /// Passes, and parts of passes.
    pub(super) scans: usize,
}

impl Markers {
    /// Walks the markers. Segments are skipped by their length, so that the end marker of an embedded thumbnail is not taken for
    /// the picture's; inside a scan every 0xFF is stuffed or a restart, so the next other marker ends it.
    pub(super) fn read(bytes: &[u8]) -> Self {
        const END_OF_IMAGE: u8 = 0xD9;
        let mut found = Self::default();
        let mut profile = Vec::new();
        let mut at = 2;
        while let Some(skip) = bytes.get(at..).and_then(|rest| memchr::memchr(0xFF, rest)) {
            at += skip + 1;
            let Some(&marker) = bytes.get(at) else { break };
            match marker {
                0xFF => continue, // fill byte
                END_OF_IMAGE if found.scans > 0 => {
                    found.complete = true;
                    break;
                }
                0x00 | 0x01 | 0xD0..=END_OF_IMAGE => at += 1,
                _ => {
                    let Some(length) = bytes.get(at + 1..at + 3) else { break };
                    let next = at + 1 + usize::from(length[0]) * 256 + usize::from(length[1]);
                    if let Some(body) = bytes.get(at + 3..next) {
                        found.segment(marker, body, &mut profile);
                    }
                    at = next.max(at + 1);
                }
            }
        }
        found.profile = joined(profile);
        found
    }

    fn segment(&mut self, marker: u8, body: &[u8], profile: &mut Vec<(u8, Vec<u8>)>) {
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) && self.components.is_empty() => {
                self.frame(marker, body)
            }
            0xDA => self.scan(body),
            0xE1 if self.orientation.is_none() => {
                self.orientation = body.strip_prefix(b"Exif\0\0").and_then(Orientation::from_exif_chunk);
            }
            0xE2 => {
                if let Some([number, _of, part @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                    profile.push((*number, part.to_vec()));
                }
            }
            _ => {}
        }
    }

    /// A frame's head: precision, height, width, then three bytes for each component.
    fn frame(&mut self, marker: u8, body: &[u8]) {
        let &[_precision, h0, h1, w0, w1, _count, ref components @ ..] = body else { return };
        self.height = u32::from(h0) * 256 + u32::from(h1);
        self.width = u32::from(w0) * 256 + u32::from(w1);
        self.in_passes = matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE);
        let component = |part: &[u8]| Component {
            id: part[0],
            across: (part[1] >> 4).max(1),
            down: (part[1] & 15).max(1),
            arrived: [false; COEFFICIENTS],
        };
        self.components = components.chunks_exact(3).map(component).collect();
    }

    /// A scan's head: its components, the coefficients it brings, and the bit it stops at.
    fn scan(&mut self, body: &[u8]) {
        let Some((&count, rest)) = body.split_first() else { return };
        let Some((ids, &[first, last, bits])) = rest
            .split_at_checked(2 * usize::from(count))
            .and_then(|(ids, tail)| Some((ids, <&[u8; 3]>::try_from(tail.get(..3)?).ok()?)))
        else {
            return;
        };
        self.scans += 1;
        // A sequential picture of several scans is held like a progressive one.
        self.in_passes |= usize::from(count) < self.components.len();
        let is_last_bit = bits & 15 == 0;
        for id in ids.chunks_exact(2).map(|pair| pair[0]) {
            let Some(component) = self.components.iter_mut().find(|component| component.id == id) else { continue };
            let range = usize::from(first)..(usize::from(last) + 1).min(COEFFICIENTS);
            for arrived in component.arrived.get_mut(range).into_iter().flatten() {
                *arrived |= is_last_bit;
            }
        }
    }

    /// Whether every coefficient of every component was announced with its last bit: nothing but an end marker can be missing.
    pub(super) fn announces_all(&self) -> bool {
        !self.components.is_empty() && self.components.iter().all(|component| component.arrived.iter().all(|&it| it))
    }

    /// Number of colour channels.
    pub(super) fn channels(&self) -> usize {
        self.components.len()
    }

    /// Bytes of the coefficients that a picture in passes holds: 16 bits each, in whole blocks.
    pub(super) fn coefficient_bytes(&self) -> u64 {
        if !self.in_passes {
            return 0;
        }
        let most = |side: fn(&Component) -> u8| self.components.iter().map(side).max().map_or(1, u64::from);
        let (across, down) = (most(|it| it.across), most(|it| it.down));
        let blocks = |pixels: u32, unit: u64, samples: u8| u64::from(pixels).div_ceil(8 * unit) * u64::from(samples);
        let of = |it: &Component| blocks(self.width, across, it.across) * blocks(self.height, down, it.down);
        self.components.iter().map(|component| of(component) * 2 * COEFFICIENTS as u64).sum()
    }
}

/// A colour profile from its parts, which are numbered from 1.
fn joined(mut parts: Vec<(u8, Vec<u8>)>) -> Option<Vec<u8>> {
    parts.sort_by_key(|&(number, _)| number);
    let is_whole = parts.iter().zip(1u32..).all(|(&(number, _), expected)| u32::from(number) == expected);
    let bytes: usize = parts.iter().map(|(_, part)| part.len()).sum();
    (is_whole && bytes > 0 && bytes <= MOST_PROFILE_BYTES)
        .then(|| parts.into_iter().flat_map(|(_, part)| part).collect())
}
