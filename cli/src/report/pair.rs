//! Two photos side by side, with a line for each matching point.

use maud::{Markup, html};

use super::html::{at, short};
use super::pictures::{FRAME, Framed};

/// Number of inlier lines drawn for a pair.
pub(super) const MOST_DRAWN: usize = 80;
/// Gap between the two photos of a pair, in pixels of the drawing.
const GAP: f64 = 12.0;
/// Radius of the dot at the end of a line, in pixels of the drawing.
const DOT: f64 = 3.0;
/// Step of the hue from line to line, so that neighbours differ: the golden angle in degrees.
const HUE_STEP: f64 = 137.5;

/// Matched points in pixels of the extractor's frames.
pub(super) type Lines = [[[f32; 2]; 2]];

/// Both photos at one height, with the lines over them: a name and a picture, and beside it another, if there is one.
pub(super) fn pair(first: (&str, Option<Framed>), second: Option<(&str, Option<Framed>, &Lines)>) -> Markup {
    let side = |framed: Option<Framed>| framed.map_or((4.0, 3.0), |framed| (framed.width, framed.height));
    let other_framed = second.and_then(|(_, framed, _)| framed);
    let (own, beside) = (side(first.1), side(other_framed));
    let height = own.1.max(beside.1);
    let (scale, other) = (height / own.1, height / beside.1);
    let width = own.0 * scale;
    let right = width + GAP * height / 480.0;
    let all = if second.is_some() { right + beside.0 * other } else { width };
    let percent = |part: f64| 100.0 * part / all;
    let both = first.1.is_some() && other_framed.is_some();
    let radius = at(DOT * height / 480.0);
    html! {
        div.two style={ "aspect-ratio:" (at(all)) "/" (at(height)) } {
            (photo(first.1, first.0, 0.0, percent(width)))
            @if let Some((key, framed, lines)) = second {
                (photo(framed, key, percent(right), percent(beside.0 * other)))
                @if both && !lines.is_empty() {
                    @let label = format!("{} matching points of both photos", lines.len());
                    svg viewBox={ "0 0 " (at(all)) " " (at(height)) } role="img" aria-label=(label) {
                        @for (number, [from, to]) in lines.iter().enumerate() {
                            @let (x1, y1) = (at(f64::from(from[0]) * scale), at(f64::from(from[1]) * scale));
                            @let (x2, y2) = (at(right + f64::from(to[0]) * other), at(f64::from(to[1]) * other));
                            g style={ "--hue:" (format!("{:.0}", (HUE_STEP * number as f64) % 360.0)) } {
                                line x1=(x1) y1=(y1) x2=(x2) y2=(y2) {}
                                circle cx=(x1) cy=(y1) r=(radius) {}
                                circle cx=(x2) cy=(y2) r=(radius) {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn photo(framed: Option<Framed>, key: &str, left: f64, width: f64) -> Markup {
    let place = format!("left:{left:.2}%;width:{width:.2}%");
    html! {
        @match framed {
            Some(framed) => div class={ "whole p" (framed.picture) } style=(place) role="img" aria-label=(key) {},
            None => div.whole.none style=(place) { span { (short(key, 40)) } },
        }
    }
}

/// The frame of these positions. If the photo's file has disappeared since its features were detected, the database's copy is
/// smaller than what the extractor saw: the frame was full size.
pub(super) fn holding(framed: Framed, mut places: impl Iterator<Item = [f32; 2]>) -> Framed {
    let beyond = |[x, y]: [f32; 2]| f64::from(x) > framed.width + 1.0 || f64::from(y) > framed.height + 1.0;
    if !places.any(beyond) {
        return framed;
    }
    let scale = f64::from(FRAME) / framed.width.max(framed.height);
    Framed { width: framed.width * scale, height: framed.height * scale, ..framed }
}

/// This many items of a list, evenly spaced.
pub(super) fn sample<T: Copy>(list: &[T], most: usize) -> Vec<T> {
    let count = list.len().min(most);
    (0..count).map(|at| list[at * list.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_the_whole_list() {
        assert_eq!(sample(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 3), [0, 3, 6]);
        assert_eq!(sample(&[1, 2], 3), [1, 2]);
        assert!(sample::<u8>(&[], 3).is_empty());
    }

    #[test]
    fn places_beyond_the_frame_tell_that_the_extractor_saw_a_larger_photo() {
        let framed = Framed { picture: 0, width: 256.0, height: 128.0 };
        assert_eq!(holding(framed, [[256.0, 100.0]].into_iter()), framed);
        let wider = holding(framed, [[10.0, 10.0], [600.0, 100.0]].into_iter());
        assert_eq!((wider.width, wider.height), (640.0, 320.0));
    }
}
