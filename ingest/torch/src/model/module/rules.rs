//! The rules of a network that somebody else made: how a photo becomes its input, and its output a descriptor.

use std::io::Read;
use std::path::Path;

use cairn::limits::MAX_DIMENSION;
use cairn::{Error, Result};
use cairndb_ingest::photo::SizeRule;
use cairndb_ingest::source::open_plain;
use serde::{Deserialize, Serialize};

use super::super::gem::GEM_P;

/// Pixels of a side of the input, unless the rules say otherwise.
pub const DEFAULT_SIDE: u32 = 224;
/// Sides that an input may have.
const SIDES: std::ops::RangeInclusive<u32> = 16..=4096;
/// What a GeM exponent may be.
const EXPONENTS: std::ops::RangeInclusive<f64> = 0.1..=100.0;
/// Mean of R, G and B of ImageNet's photos, on 0 to 1.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Their deviation.
const DEVIATION: [f64; 3] = [0.229, 0.224, 0.225];
/// Largest file of rules.
const MOST_BYTES: u64 = 64 << 10;

/// How a photo gets the size of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The short side is scaled, and the middle is cut out (the default).
    Short,
    /// Both sides are scaled to the input, whatever the ratio.
    Squash,
    /// The whole photo is scaled into the input; the rest has the mean colour.
    Pad,
    /// The photo as it is.
    None,
}

/// What the network returns, and how a descriptor is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// N x D: the descriptor.
    Vector,
    /// N x C x H x W: a feature map, which GeM pools.
    Map,
    /// N x T x D: the first token.
    FirstToken,
    /// N x T x D: the mean of the tokens.
    MeanToken,
}

/// A size: one number for both sides, or width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sides {
    /// Width and height.
    Square(u32),
    /// Width, height.
    Both([u32; 2]),
}

impl Sides {
    fn both(self) -> [u32; 2] {
        match self {
            Sides::Square(side) => [side; 2],
            Sides::Both(sides) => sides,
        }
    }
}

/// What is known of the rules: from the command line, from a file beside the network, or complete, as a database keeps them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Rules {
    /// Pixels of the input; default 224 x 224. Not with [`Fit::None`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Sides>,
    /// How a photo gets that size; default [`Fit::Short`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Fit>,
    /// With [`Fit::Short`]: pixels of the short side before the middle is cut out; default the longer side of `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_side: Option<u32>,
    /// Mean of R, G and B on 0 to 1; default ImageNet's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f64; 3]>,
    /// Deviation of R, G and B on 0 to 1; default ImageNet's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<[f64; 3]>,
    /// What comes out; default: what its axes say, where they say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// With [`Output::Map`]: GeM's exponent; default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gem_p: Option<f64>,
    /// Length of a descriptor; default: what comes out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
}

impl Rules {
    /// Those of a JSON text.
    ///
    /// # Errors
    /// `Invalid`: it is no object of these fields.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text, "")
    }

    fn read(text: &str, place: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!("{place}the rules of a network cannot be read: {error}")).help(
                r#"they are like {"size": 288, "resize": "short", "mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225], "output": "vector"}"#,
            )
        })
    }

    /// Those of the file beside a network, if there is one: `net.json` of `net.pt`.
    ///
    /// # Errors
    /// When it cannot be read, or has other fields.
    pub fn beside(network: &Path) -> Result<Self> {
        let path = network.with_extension("json");
        if !path.exists() {
            return Ok(Self::default());
        }
        let (file, length) = open_plain(&path)?;
        if length > MOST_BYTES {
            return Err(Error::invalid(format!("{}: has {length} bytes, too many for rules", path.display()))
                .help("it stands beside the network and has its name: move it, or make it the rules of that network"));
        }
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| Error::io(&path, error))?;
        Self::read(&text, &format!("{}: ", path.display()))
    }

    /// These, and where they say nothing the `other` ones.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            size: self.size.or(other.size),
            resize: self.resize.or(other.resize),
            short_side: self.short_side.or(other.short_side),
            mean: self.mean.or(other.mean),
            deviation: self.deviation.or(other.deviation),
            output: self.output.or(other.output),
            gem_p: self.gem_p.or(other.gem_p),
            dimension: self.dimension.or(other.dimension),
        }
    }

    /// Whether they say nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn resize(&self) -> Fit {
        self.resize.unwrap_or(Fit::Short)
    }

    /// Mean and deviation of R, G and B on 0 to 255.
    pub(crate) fn normalisation(&self) -> [[f32; 3]; 2] {
        [self.mean.unwrap_or(MEAN), self.deviation.unwrap_or(DEVIATION)].map(|of| of.map(|x| (x * 255.0) as f32))
    }

    /// How large a photo goes in.
    pub(crate) fn size_rule(&self) -> SizeRule {
        let [width, height] = self.size.map_or([DEFAULT_SIDE; 2], Sides::both);
        match self.resize() {
            Fit::Short => SizeRule::ShortSide { short: self.short_side.unwrap_or(width.max(height)), width, height },
            Fit::Squash => SizeRule::Squash { width, height },
            Fit::Pad => {
                let fill = self.mean.unwrap_or(MEAN).map(|mean| (mean * 255.0).round().clamp(0.0, 255.0) as u8);
                SizeRule::Pad { width, height, fill }
            }
            Fit::None => SizeRule::Unchanged,
        }
    }

    /// GeM's exponent.
    pub(crate) fn exponent(&self) -> f64 {
        self.gem_p.unwrap_or(GEM_P)
    }

    /// # Errors
    /// `Invalid`: a number is out of its range, or rules contradict each other.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String, help: &str| Err(Error::invalid(what).help(help));
        if let Some(size) = self.size.map(Sides::both) {
            if !size.iter().all(|side| SIDES.contains(side)) {
                let what = format!("the input cannot have {}x{} pixels", size[0], size[1]);
                return refuse(what, "sides of the input have 16 to 4096 pixels");
            }
            if self.resize() == Fit::None {
                return refuse(
                    format!("the input has {}x{} pixels, and photos go in as they are", size[0], size[1]),
                    "leave the size out, or choose short, squash or pad",
                );
            }
        }
        let longest = self.size.map_or(DEFAULT_SIDE, |size| size.both()[0].max(size.both()[1]));
        match self.short_side {
            Some(_) if self.resize() != Fit::Short => {
                return refuse("short_side belongs to resize short".to_owned(), "leave it out, or choose resize short");
            }
            Some(short) if short < longest || !SIDES.contains(&short) => {
                let what = format!("a short side of {short} pixels has no middle of {longest}");
                return refuse(what, "short_side is at least as long as the sides of the input, and at most 4096");
            }
            _ => {}
        }
        let sound = |values: Option<[f64; 3]>, least: f64| {
            values.is_none_or(|values| values.iter().all(|&x| x.is_finite() && x >= least && x <= 255.0))
        };
        if !sound(self.mean, -255.0) || !sound(self.deviation, 1e-6) {
            return refuse(
                "this mean and deviation cannot be used".to_owned(),
                "give three numbers each, on 0 to 1, for example 0.485,0.456,0.406; a deviation is above 0",
            );
        }
        if let Some(p) = self.gem_p {
            if !EXPONENTS.contains(&p) {
                return refuse(format!("a GeM exponent of {p} cannot be used"), "it must be 0.1 to 100");
            }
            if self.output.is_some_and(|output| output != Output::Map) {
                return refuse("gem_p belongs to output map".to_owned(), "leave it out, or choose output map");
            }
        }
        match self.dimension {
            Some(dimension) if !(1..=MAX_DIMENSION).contains(&dimension) => {
                let what = format!("descriptors of {dimension} numbers cannot be stored");
                Err(Error::invalid(what).help(format!("a descriptor has 1 to {MAX_DIMENSION} numbers")))
            }
            _ => Ok(()),
        }
    }

    /// These with every value that decides a descriptor.
    pub(crate) fn complete(self, output: Output, dimension: usize) -> Self {
        let resize = self.resize();
        let size = (resize != Fit::None).then(|| Sides::Both(self.size.map_or([DEFAULT_SIDE; 2], Sides::both)));
        let longest = size.map(|size| size.both()[0].max(size.both()[1]));
        Self {
            size,
            resize: Some(resize),
            short_side: if resize == Fit::Short { self.short_side.or(longest) } else { None },
            mean: self.mean.or(Some(MEAN)),
            deviation: self.deviation.or(Some(DEVIATION)),
            output: Some(output),
            gem_p: (output == Output::Map).then_some(self.exponent()),
            dimension: Some(dimension),
        }
    }

    /// One line, in the order of the fields.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn rules_survive_their_text_and_fill_each_other_in() {
        let given = Rules::parse(r#"{"size": 96, "output": "map", "gem_p": 2.5}"#).unwrap();
        let other = Rules::parse(r#"{"size": [320, 200], "resize": "pad", "mean": [0, 0.5, 1]}"#).unwrap();
        let both = given.clone().or(other);
        assert_eq!((both.size, both.resize), (Some(Sides::Square(96)), Some(Fit::Pad)));
        both.check().unwrap();
        assert_eq!(both.size_rule(), SizeRule::Pad { width: 96, height: 96, fill: [0, 128, 255] });
        let complete = both.complete(Output::Map, 16);
        assert_eq!(
            complete.text(),
            r#"{"size":[96,96],"resize":"pad","mean":[0.0,0.5,1.0],"deviation":[0.229,0.224,0.225],"output":"map","gem_p":2.5,"dimension":16}"#
        );
        assert_eq!(Rules::parse(&complete.text()).unwrap(), complete);
        let plain = Rules::default().complete(Output::Vector, 3);
        assert_eq!(plain.size_rule(), SizeRule::ShortSide { short: 224, width: 224, height: 224 });
        assert_eq!(plain.gem_p, None);
        assert_eq!(Rules::parse(r#"{"resize": "none"}"#).unwrap().size_rule(), SizeRule::Unchanged);
    }

    #[test]
    fn rules_that_cannot_be_are_refused_with_what_to_do() {
        for (text, why) in [
            (r#"{"sise": 3}"#, "unknown field `sise`"),
            (r#"{"size": -1}"#, "cannot be read"),
            (r#"{"size": "96"}"#, "cannot be read"),
            (r#"{"mean": [1, 2]}"#, "cannot be read"),
            (r#"[1]"#, "cannot be read"),
            (r#"{"size": 8}"#, "8x8 pixels"),
            (r#"{"size": [96, 5000]}"#, "96x5000 pixels"),
            (r#"{"size": 96, "resize": "none"}"#, "as they are"),
            (r#"{"short_side": 200}"#, "no middle of 224"),
            (r#"{"size": 96, "resize": "pad", "short_side": 96}"#, "belongs to resize short"),
            (r#"{"deviation": [0.1, 0, 0.1]}"#, "cannot be used"),
            (r#"{"gem_p": 0}"#, "exponent of 0"),
            (r#"{"gem_p": 3, "output": "vector"}"#, "belongs to output map"),
            (r#"{"dimension": 0}"#, "descriptors of 0 numbers"),
        ] {
            let error = Rules::parse(text).and_then(|rules| rules.check()).unwrap_err();
            assert!(error.message().contains(why) && error.next_step().is_some(), "{text}: {error}");
        }
    }
}
