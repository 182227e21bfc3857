//! The frame of a photo's locations, and the input sizes that follow from it.

use cairn::Result;

use cairndb_ingest::photo::{Pixels, resize};

/// Sides of an input are multiples of this.
const STRIDE: f64 = 32.0;

/// Width and height of a frame, at least one pixel each; the aspect ratio is the photo's otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    width: f64,
    height: f64,
}

impl Frame {
    pub(super) fn of(photo: &Pixels, longest: u32) -> Self {
        let (width, height) = (f64::from(photo.width()), f64::from(photo.height()));
        let scale = (f64::from(longest) / width.max(height)).min(1.0);
        Self { width: (width * scale).max(1.0), height: (height * scale).max(1.0) }
    }

    /// Pixels of the frame.
    pub(super) fn area(self) -> f64 {
        self.width * self.height
    }

    /// (width, height) of the network's input for this frame at a scale: each side the nearest multiple of 32, at least 32.
    pub(super) fn input(self, scale: f64) -> (u32, u32) {
        let side = |side: f64| ((side * scale / STRIDE).round_ties_even().max(1.0) * STRIDE) as u32;
        (side(self.width), side(self.height))
    }

    /// The photo at the size of [`Frame::input`].
    pub(super) fn resized(self, photo: &Pixels, scale: f64) -> Result<Pixels> {
        let (width, height) = self.input(scale);
        resize(photo, width, height)
    }

    /// Where pixel (x, y) of an input of that size lies in the frame. Pixels are areas: their edges are mapped onto each other.
    pub(super) fn place(self, [x, y]: [f64; 2], (width, height): (u32, u32)) -> [f32; 2] {
        let along = |at: f64, input: u32, frame: f64| ((at + 0.5) * (frame / f64::from(input)) - 0.5) as f32;
        [along(x, width, self.width), along(y, height, self.height)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use cairndb_ingest::photo::FRAME_LONGEST_SIDE;

    fn frame(width: u32, height: u32) -> Frame {
        let pixels = Pixels::new(width, height, vec![0; (width * height * 3) as usize]).unwrap();
        Frame::of(&pixels, FRAME_LONGEST_SIDE)
    }

    #[test]
    fn large_photos_shrink_and_small_ones_stay() {
        assert_eq!(frame(1280, 960), Frame { width: 640.0, height: 480.0 });
        assert_eq!(frame(416, 312), Frame { width: 416.0, height: 312.0 });
        assert_eq!(frame(1, 1), Frame { width: 1.0, height: 1.0 });
        assert_eq!(frame(64_000, 1), Frame { width: 640.0, height: 1.0 });
    }

    #[test]
    fn inputs_are_multiples_of_the_stride() {
        assert_eq!(frame(416, 312).input(1.0), (416, 320));
        assert_eq!(frame(416, 312).input(0.25), (96, 64));
        assert_eq!(frame(64_000, 1).input(1.0), (640, 32));
        assert_eq!(frame(1, 1).input(2.0), (32, 32));
    }

    #[test]
    fn the_corners_of_the_input_are_the_corners_of_the_frame() {
        let frame = frame(416, 312);
        assert_eq!(frame.place([-0.5, -0.5], (416, 320)), [-0.5, -0.5]);
        assert_eq!(frame.place([415.5, 319.5], (416, 320)), [415.5, 311.5]);
    }
}
