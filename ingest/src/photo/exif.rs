//! What the camera noted in a photo, as attributes: when, with what and where it was taken.

use std::io::Cursor;
use std::panic::catch_unwind;

use cairn::{Attributes, Value};
use exif::{Exif, In, Rational, Reader, Tag, Value as Field};
use jiff::civil;
use jiff::tz::{Offset, TimeZone};

/// Most bytes of a camera's name that are kept.
const MOST_CAMERA_BYTES: usize = 128;

/// The attributes `taken`, `camera` and `place` of a photo's file, as far as it has them. A time without an offset counts as UTC.
/// What is damaged or out of range is left out, and never costs the photo.
pub fn noted_by_camera(bytes: &[u8]) -> Attributes {
    let read = || {
        let mut reader = Reader::new();
        reader.continue_on_error(true);
        let read = reader.read_from_container(&mut Cursor::new(bytes));
        read.or_else(|error| error.distill_partial_result(|_| ())).ok()
    };
    let noted = || {
        let mut attributes = Attributes::new();
        let Some(exif) = read() else { return attributes };
        let mut note = |name: &str, value: Option<Value>| value.map(|value| attributes.insert(name.to_owned(), value));
        note("taken", taken(&exif));
        note("camera", camera(&exif));
        note("place", place(&exif));
        attributes
    };
    catch_unwind(noted).unwrap_or_default()
}

/// A text of a tag, without the padding that cameras leave.
fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let Field::Ascii(lines) = &exif.get_field(tag, In::PRIMARY)?.value else { return None };
    let text =
        String::from_utf8_lossy(lines.first()?).trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned();
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

/// When the shutter opened: the original time, otherwise the time of the file's last change that the camera noted.
fn taken(exif: &Exif) -> Option<Value> {
    let times = [(Tag::DateTimeOriginal, Tag::OffsetTimeOriginal), (Tag::DateTimeDigitized, Tag::OffsetTimeDigitized)];
    let times = times.into_iter().chain([(Tag::DateTime, Tag::OffsetTime)]);
    times.into_iter().find_map(|(tag, offset)| {
        let mut at = exif::DateTime::from_ascii(text(exif, tag)?.as_bytes()).ok()?;
        if let Some(offset) = text(exif, offset) {
            let _unknown = at.parse_offset(offset.as_bytes());
        }
        let part = |number: u8| i8::try_from(number).ok();
        let year = i16::try_from(at.year).ok().filter(|&year| year > 0)?;
        let (month, day) = (part(at.month)?, part(at.day)?);
        let time =
            civil::DateTime::new(year, month, day, part(at.hour)?, part(at.minute)?, part(at.second)?, 0).ok()?;
        let offset = Offset::from_seconds(i32::from(at.offset.unwrap_or(0)) * 60).ok()?;
        Some(Value::Time(time.to_zoned(TimeZone::fixed(offset)).ok()?.timestamp().as_millisecond()))
    })
}

/// Maker and model; many models begin with their maker's name.
fn camera(exif: &Exif) -> Option<Value> {
    let (make, model) = (text(exif, Tag::Make), text(exif, Tag::Model));
    let name = match (make, model) {
        (Some(make), Some(model)) => {
            let first = make.split_whitespace().next().unwrap_or_default().to_lowercase();
            if model.to_lowercase().starts_with(&first) { model } else { format!("{make} {model}") }
        }
        (make, model) => model.or(make)?,
    };
    let end = name.floor_char_boundary(MOST_CAMERA_BYTES);
    Some(Value::Text(name[..end].to_owned()))
}

fn place(exif: &Exif) -> Option<Value> {
    let degrees = |tag, reference, negative: &str, most: f64| {
        let Field::Rational(parts) = &exif.get_field(tag, In::PRIMARY)?.value else { return None };
        let part =
            |at: usize| parts.get(at).map_or(Some(0.0), |part: &Rational| (part.denom > 0).then(|| part.to_f64()));
        let degrees = part(0)? + part(1)? / 60.0 + part(2)? / 3600.0;
        let sign = if text(exif, reference)?.eq_ignore_ascii_case(negative) { -1.0 } else { 1.0 };
        (degrees <= most).then_some(sign * degrees)
    };
    let latitude = degrees(Tag::GPSLatitude, Tag::GPSLatitudeRef, "S", 90.0)?;
    let longitude = degrees(Tag::GPSLongitude, Tag::GPSLongitudeRef, "W", 180.0)?;
    // Phones without a fix write zeros.
    (latitude != 0.0 || longitude != 0.0).then_some(Value::Place { latitude, longitude })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use exif::Field as Entry;
    use exif::experimental::Writer;

    use super::*;

    fn tiff(fields: &[(Tag, Field)]) -> Vec<u8> {
        let fields: Vec<Entry> =
            fields.iter().map(|(tag, value)| Entry { tag: *tag, ifd_num: In::PRIMARY, value: value.clone() }).collect();
        let mut writer = Writer::new();
        fields.iter().for_each(|field| writer.push_field(field));
        let mut bytes = Cursor::new(Vec::new());
        writer.write(&mut bytes, false).unwrap();
        bytes.into_inner()
    }

    fn ascii(text: &str) -> Field {
        Field::Ascii(vec![text.as_bytes().to_vec()])
    }

    fn angle(degrees: u32, minutes: u32) -> Field {
        let whole = |num| Rational { num, denom: 1 };
        Field::Rational(vec![whole(degrees), whole(minutes), whole(0)])
    }

    /// It catches: an offset added instead of taken away, a hemisphere ignored, a maker said twice.
    #[test]
    fn time_camera_and_place_are_read() {
        let noted = noted_by_camera(&tiff(&[
            (Tag::DateTimeOriginal, ascii("2024:05:01 12:30:00")),
            (Tag::OffsetTimeOriginal, ascii("+02:00")),
            (Tag::Make, ascii("Canon  ")),
            (Tag::Model, ascii("Canon EOS R5")),
            (Tag::GPSLatitude, angle(33, 30)),
            (Tag::GPSLatitudeRef, ascii("S")),
            (Tag::GPSLongitude, angle(151, 0)),
            (Tag::GPSLongitudeRef, ascii("E")),
        ]));
        // 2024-05-01T10:30:00Z
        assert_eq!(noted["taken"], Value::Time(1_714_559_400_000));
        assert_eq!(noted["camera"], Value::Text("Canon EOS R5".to_owned()));
        assert_eq!(noted["place"], Value::Place { latitude: -33.5, longitude: 151.0 });
        let other = noted_by_camera(&tiff(&[(Tag::Make, ascii("SONY")), (Tag::Model, ascii("ILCE-7M3"))]));
        assert_eq!(other, Attributes::from([("camera".to_owned(), Value::from("SONY ILCE-7M3"))]));
    }

    /// It catches: an impossible value that is stored or ends the program.
    #[test]
    fn what_is_impossible_is_left_out() {
        let noted = noted_by_camera(&tiff(&[
            (Tag::DateTimeOriginal, ascii("0000:00:00 00:00:00")),
            (Tag::DateTime, ascii("2023:13:41 99:00:00")),
            (Tag::GPSLatitude, angle(95, 0)),
            (Tag::GPSLatitudeRef, ascii("N")),
            (Tag::GPSLongitude, Field::Rational(vec![Rational { num: 1, denom: 0 }])),
            (Tag::GPSLongitudeRef, ascii("W")),
        ]));
        assert!(noted.is_empty(), "{noted:?}");
        for bytes in [&b""[..], b"II*\0", b"\xFF\xD8\xFF\xE1\0\x08Exif\0\0", b"no photo"] {
            assert!(noted_by_camera(bytes).is_empty());
        }
    }
}
