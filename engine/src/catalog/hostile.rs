//! R10: crafted bytes for every decoder of the catalog's values, used by fuzz targets (`fuzz/catalog_values.rs`) and by the tests
//! below, which run in every CI: random bytes, and valid values with bits flipped, cut, extended and spliced. A decoder returns a
//! typed error or a value, never panics, and never holds more memory than the number of bytes justifies.
//!
//! It catches: a byte read without a check of the length, memory allocated by a number in the bytes, a field that is stored and
//! not read, or read into another field, a list with more ids than similarities. Tried, two or three at a time: `bytes_at` that
//! slices without a check, operations collected after a reservation that grows with a power of the length, `first` and `last` of
//! a segment's entry swapped, `label` of a deferred put dropped; the tests failed.

use prost::Message;

use super::messages::{
    CleaningMessage, LabelMessage, ListMessage, ModelMessage, OptionsMessage, RecordMessage, RelabellingMessage,
    SegmentMessage, SpaceMessage, decode,
};
use super::{SegmentEntry, StoredList, codec, oplog};
use crate::attribute::{AttributeChanges, Value};
use crate::error::{ErrorKind, Result};
use crate::operation::{Operation, Put};

/// What a decoder made of some bytes.
pub(crate) struct Made {
    /// What would be stored of it.
    encoded: Vec<u8>,
    /// Bytes of memory that it holds.
    held: usize,
}

type Decoder = fn(&[u8]) -> Result<Made>;

/// Bytes of memory that a stored byte may cost: two of them say that a cleaning changed an image, which is 160 in a list that grows by
/// doubling; four say a whole operation.
const HELD_A_BYTE: usize = 192;
/// Bytes of memory that the smallest value may cost.
const HELD_AT_LEAST: usize = 2048;

fn text(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::capacity)
}

fn bytes_of(bytes: &Option<Vec<u8>>) -> usize {
    bytes.as_ref().map_or(0, Vec::capacity)
}

fn of_value(name: &String, value: Option<&Value>) -> usize {
    name.capacity() + if let Some(Value::Text(text)) = value { text.capacity() } else { 0 }
}

fn of_changes(changes: &AttributeChanges) -> usize {
    let sum: usize = changes.iter().map(|(name, value)| of_value(name, value.as_ref())).sum();
    sum + changes.capacity() * size_of::<(String, Option<Value>)>()
}

fn of_put(put: &Put) -> usize {
    put.key.capacity() + text(&put.label) + 4 * put.vector.capacity() + text(&put.source) + bytes_of(&put.photo) + {
        put.attributes.iter().map(|(name, value)| of_value(name, Some(value))).sum::<usize>()
    }
}

fn of_operation(operation: &Operation) -> usize {
    match operation {
        Operation::Put(put) => of_put(put),
        Operation::Listed(listed) => {
            let held = listed.key.capacity() + text(&listed.label) + listed.photo.as_ref().map_or(0, of_put);
            held + of_changes(&listed.attributes)
        }
        Operation::Delete { key } | Operation::Unlabel { key } => key.capacity(),
        Operation::Label { key, label } => key.capacity() + label.capacity(),
        Operation::Rename { key, to, source } => key.capacity() + to.capacity() + text(source),
        Operation::Describe { key, changes } => key.capacity() + of_changes(changes),
    }
}

fn message<M: Message + Default>(bytes: &[u8], held: impl FnOnce(&M) -> usize) -> Result<Made> {
    let message: M = decode(bytes, "a value")?;
    Ok(Made { encoded: message.encode_to_vec(), held: held(&message) })
}

/// Every decoder of a value, by name.
pub(crate) const DECODERS: [(&str, Decoder); 13] = [
    ("record", |bytes| {
        message(bytes, |record: &RecordMessage| {
            let listed = record.listed.as_ref().map_or(0, |listed| bytes_of(&listed.content));
            record.key.capacity() + text(&record.source) + bytes_of(&record.content) + listed
        })
    }),
    ("neighbour list", |bytes| {
        let StoredList { entries, floor } = StoredList::of(bytes)?;
        let held = entries.capacity() * size_of::<(u64, f32)>() + floor.as_ref().map_or(0, |floor| floor.1.capacity());
        let (ids, similarities) = entries.into_iter().map(|(id, similarity)| (id.0, similarity)).unzip();
        let (floor_similarity, floor_key) = floor.map_or((None, String::new()), |(at, key)| (Some(at), key));
        let message = ListMessage { ids, similarities, floor_similarity, floor_key };
        Ok(Made { encoded: message.encode_to_vec(), held })
    }),
    ("waiting transaction", |bytes| {
        let operations = oplog::operations_of(bytes)?;
        let each: usize = operations.iter().map(of_operation).sum();
        let held = operations.capacity() * size_of::<Operation>() + each;
        Ok(Made { encoded: oplog::encoded(&operations), held })
    }),
    ("segment's entry", |bytes| {
        let (key, value) = bytes.split_at_checked(9).unwrap_or((bytes, &[]));
        let (key, value) = SegmentEntry::of(key, value)?.encoded();
        Ok(Made { encoded: [&key[..], &value].concat(), held: 0 })
    }),
    ("segment's message", |bytes| message(bytes, |_: &SegmentMessage| 0)),
    ("label's message", |bytes| message(bytes, |label: &LabelMessage| label.key.capacity() + label.label.capacity())),
    ("cleaning", |bytes| {
        message(bytes, |cleaning: &CleaningMessage| {
            let change = size_of::<super::ChangeMessage>();
            let texts = cleaning.changes.iter().map(|c| c.key.capacity() + c.label.capacity() + text(&c.becomes));
            cleaning.what.capacity() + cleaning.changes.capacity() * change + texts.sum::<usize>()
        })
    }),
    ("change of labels", |bytes| {
        message(bytes, |change: &RelabellingMessage| {
            let texts = change.changes.iter().map(|c| c.key.capacity() + text(&c.was) + text(&c.becomes));
            change.changes.capacity() * size_of::<super::RelabelledMessage>() + texts.sum::<usize>()
        })
    }),
    ("space", |bytes| message(bytes, |space: &SpaceMessage| space.model.as_ref().map_or(0, ModelMessage::encoded_len))),
    ("options", |bytes| {
        let options = decode::<OptionsMessage>(bytes, "the options")?.options()?;
        Ok(Made { encoded: OptionsMessage::of(&options).encode_to_vec(), held: 0 })
    }),
    ("prediction", |bytes| Ok(Made { encoded: codec::prediction(codec::prediction_of(bytes)?).to_vec(), held: 0 })),
    ("number", |bytes| Ok(Made { encoded: codec::number(codec::number_of(bytes)?).to_vec(), held: 0 })),
    ("descriptor", |bytes| {
        let mut values = Vec::new();
        codec::vector_into(bytes, bytes.len() / 4, &mut values)?;
        Ok(Made { encoded: codec::vector(&values), held: 4 * values.capacity() })
    }),
];

/// A small valid value of every kind that has a variable length: the first inputs of a fuzzer.
#[cfg(feature = "hostile")]
pub(crate) fn first_values() -> Vec<Vec<u8>> {
    use super::AttributeMessage;
    use super::messages::{ChangeMessage, OriginMessage, RelabelledMessage};
    use crate::id::{ImageId, SegmentId, SpaceId};
    use crate::operation::{Listed, Reading, Role};
    use crate::options::Options;

    let text = |word: &str| Some(word.to_owned());
    let origin = || Some(OriginMessage { by: 2, at: 7, cleaning: Some(1) });
    let record = RecordMessage {
        key: "key".to_owned(),
        label: Some(3),
        source: text("photos/a.jpg"),
        content: Some(vec![7; 32]),
        version: 5,
        origin: origin(),
        listed: None,
        attributes: AttributeMessage::of([("rating".to_owned(), Value::Number(5.0))].into()),
    };
    let list = ListMessage {
        ids: vec![1, 2, 9],
        similarities: vec![0.5, 0.25, -1.0],
        floor_similarity: Some(0.125),
        floor_key: "floor".to_owned(),
    };
    let change = ChangeMessage {
        key: "key".to_owned(),
        label: "place".to_owned(),
        becomes: text("other"),
        version: 4,
        left_alone: false,
        judged: Some(1),
        left: None,
        was_by: origin(),
    };
    let cleaning = CleaningMessage {
        number: 1,
        sequence: 9,
        what: "CLEAN".to_owned(),
        changes: vec![change],
        keep_voters: true,
        undone: false,
        next_image: Some(8),
    };
    let relabelled = RelabelledMessage { key: "key".to_owned(), was: text("a"), was_by: origin(), becomes: text("b") };
    let relabelling =
        RelabellingMessage { sequence: 3, reading: Some(1), part: 0, images: 1, changes: vec![relabelled] };
    let put = Put::new("key", [0.5, -0.5]).label("place");
    let listed = Listed {
        key: "key".to_owned(),
        label: text("a"),
        content: None,
        photo: Some(put.clone()),
        attributes: vec![("rating".to_owned(), Some(Value::Number(5.0)))],
        reading: Reading { number: 1, overrules: true },
    };
    let operations = [
        put.into(),
        Operation::Listed(listed),
        Operation::Delete { key: "a".to_owned() },
        Operation::Label { key: "a".to_owned(), label: "b".to_owned() },
        Operation::Unlabel { key: "a".to_owned() },
        Operation::rename("a", "b", text("place")),
        Operation::Describe { key: "a".to_owned(), changes: vec![("seen".to_owned(), None)] },
    ];
    let entry = SegmentEntry {
        id: SegmentId(3),
        space: SpaceId::FIRST,
        role: Role::Index,
        rows: 3,
        first: ImageId(0),
        last: ImageId(2),
        check: 77,
        bytes: 4096,
    };
    let (key, value) = entry.encoded();
    vec![
        record.encode_to_vec(),
        list.encode_to_vec(),
        cleaning.encode_to_vec(),
        relabelling.encode_to_vec(),
        oplog::encoded(&operations),
        [&key[..], &value].concat(),
        OptionsMessage::of(&Options::for_vectors(4)).encode_to_vec(),
    ]
}

/// Gives bytes to a decoder; `true`: they are a value.
///
/// # Panics
/// Where the decoder breaks its promise: that is how a fuzz target reports.
pub(crate) fn withstands((name, decoder): (&str, Decoder), bytes: &[u8]) -> bool {
    let made = match decoder(bytes) {
        Ok(made) => made,
        Err(error) => {
            let is_typed = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Mismatch);
            assert!(is_typed, "{name}: {error}");
            return false;
        }
    };
    let most = HELD_A_BYTE * bytes.len() + HELD_AT_LEAST;
    assert!(made.held <= most, "{name}: {} bytes hold {} bytes of memory", bytes.len(), made.held);
    // What was understood is understood again, whatever the bytes were.
    let again = decoder(&made.encoded).map(|again| again.encoded);
    assert!(again.is_ok_and(|again| again == made.encoded), "{name}: another value after storing it");
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::super::AttributeMessage;
    use super::super::messages::{ChangeMessage, ListedMessage, OriginMessage, RelabelledMessage};
    use super::*;
    use crate::attribute::Attributes;
    use crate::hostile::{mutated, mutations};
    use crate::id::{ImageId, SegmentId, SpaceId};
    use crate::operation::{Listed, Reading, Role};
    use crate::options::{Keep, ModelInfo, Options};
    use crate::vote::{Candidate, List};

    fn words() -> impl Strategy<Value = String> {
        "\\PC{0,12}"
    }

    fn record() -> impl Strategy<Value = RecordMessage> {
        let content = || option::of(vec(any::<u8>(), 32));
        let listed =
            (option::of(any::<u32>()), content()).prop_map(|(label, content)| ListedMessage { label, content });
        let label = (option::of(any::<u32>()), option::of(origin()), option::of(listed));
        (words(), label, option::of(words()), (content(), attributes()), any::<u64>()).prop_map(
            |(key, (label, origin, listed), source, (content, attributes), version)| RecordMessage {
                key,
                label,
                source,
                content,
                version,
                origin,
                listed,
                attributes: AttributeMessage::of(attributes),
            },
        )
    }

    fn origin() -> impl Strategy<Value = OriginMessage> {
        (any::<u32>(), any::<u64>(), any::<Option<u64>>()).prop_map(|(by, at, cleaning)| OriginMessage {
            by,
            at,
            cleaning,
        })
    }

    fn relabelling() -> impl Strategy<Value = RelabellingMessage> {
        let change = (words(), option::of(words()), option::of(origin()), option::of(words()))
            .prop_map(|(key, was, was_by, becomes)| RelabelledMessage { key, was, was_by, becomes });
        (any::<[u64; 3]>(), any::<Option<u64>>(), vec(change, 0..6)).prop_map(
            |([sequence, part, images], reading, changes)| RelabellingMessage {
                sequence,
                reading,
                part,
                images,
                changes,
            },
        )
    }

    fn list() -> impl Strategy<Value = List> {
        let entry = (any::<u64>(), -1.0f32..1.0);
        (vec(entry, 0..12), option::of((-1.0f32..1.0, words()))).prop_map(|(entries, floor)| List {
            entries: entries.into_iter().map(|(id, similarity)| Candidate { similarity, key: "".into(), id }).collect(),
            floor: floor.map(|(similarity, key)| (similarity, key.into())),
        })
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            "[a-z]{1,9}".prop_map(Value::Text),
            (-1e9..1e9).prop_map(Value::Number),
            any::<i64>().prop_map(Value::Time),
            (-90.0..=90.0, -180.0..=180.0).prop_map(|(latitude, longitude)| Value::Place { latitude, longitude }),
        ]
    }

    fn attributes() -> impl Strategy<Value = Attributes> {
        proptest::collection::btree_map("x[a-z]{1,5}", value(), 0..4)
    }

    fn changes() -> impl Strategy<Value = AttributeChanges> {
        vec(("x[a-z]{1,5}", option::of(value())), 0..4)
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let put = || {
            let vector = vec(-1.0f32..1.0, 0..9);
            let put = (words(), option::of(words()), vector, option::of(words()), any::<Option<[u8; 32]>>());
            let more = (option::of(vec(any::<u8>(), 0..40)), attributes());
            (put, more).prop_map(|((key, label, vector, source, content), (photo, attributes))| Put {
                key,
                label,
                vector,
                source,
                content,
                photo,
                attributes,
            })
        };
        let said = (words(), option::of(words()), any::<Option<[u8; 32]>>(), option::of(put()));
        prop_oneof![
            put().prop_map(Operation::Put),
            (said, changes(), any::<(u64, bool)>()).prop_map(
                |((key, label, content, photo), attributes, (number, overrules))| {
                    let reading = Reading { number, overrules };
                    Operation::Listed(Listed { key, label, content, photo, attributes, reading })
                }
            ),
            (words(), changes()).prop_map(|(key, changes)| Operation::Describe { key, changes }),
            words().prop_map(|key| Operation::Delete { key }),
            (words(), words()).prop_map(|(key, label)| Operation::Label { key, label }),
            words().prop_map(|key| Operation::Unlabel { key }),
            (words(), words(), option::of(words())).prop_map(|(key, to, source)| Operation::Rename { key, to, source }),
        ]
    }

    fn entry() -> impl Strategy<Value = SegmentEntry> {
        let numbers = (0..=codec::MOST_NUMBER, any::<u32>(), any::<bool>());
        let range = (0..=codec::MOST_NUMBER / 2, 0..=codec::MOST_NUMBER / 2);
        (numbers, (0..=codec::MOST_NUMBER, range, 0..=1u64 << 48), any::<u32>()).prop_map(
            |((id, space, train), (rows, (first, more), bytes), check)| SegmentEntry {
                id: SegmentId(id),
                space: SpaceId(space),
                role: if train { Role::Train } else { Role::Index },
                rows,
                first: ImageId(first),
                last: ImageId(first + more),
                check,
                bytes,
            },
        )
    }

    fn cleaning() -> impl Strategy<Value = CleaningMessage> {
        let ids = [option::of(any::<u64>()), option::of(any::<u64>())];
        let ids = (ids, option::of(origin()));
        let change = (words(), words(), option::of(words()), any::<u64>(), any::<bool>(), ids).prop_map(
            |(key, label, becomes, version, left_alone, ([judged, left], was_by))| ChangeMessage {
                key,
                label,
                becomes,
                version,
                left_alone,
                judged,
                left,
                was_by,
            },
        );
        let next_image = option::of(any::<u64>());
        (any::<[u64; 2]>(), words(), vec(change, 0..6), any::<[bool; 2]>(), next_image).prop_map(
            |([number, sequence], what, changes, [keep_voters, undone], next_image)| CleaningMessage {
                number,
                sequence,
                what,
                changes,
                keep_voters,
                undone,
                next_image,
            },
        )
    }

    fn options() -> impl Strategy<Value = Options> {
        let model = (words(), words(), words()).prop_map(|(name, fingerprint, settings)| ModelInfo {
            name,
            fingerprint,
            settings,
        });
        let keep = prop_oneof![Just(Keep::Original), Just(Keep::Thumb), Just(Keep::None)];
        (1usize..4096, option::of(model), 1usize..8, 0usize..8, keep).prop_map(
            |(dimension, model, vote_k, more, keep)| Options {
                dimension,
                model,
                vote_k,
                kept_neighbours: vote_k + more,
                keep,
            },
        )
    }

    /// A sound value of each kind, by the name of its decoder.
    fn sound() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
        prop_oneof![
            record().prop_map(|record| ("record", record.encode_to_vec())),
            list().prop_map(|list| ("neighbour list", ListMessage::of(&list).encode_to_vec())),
            vec(operation(), 0..6).prop_map(|all| ("waiting transaction", oplog::encoded(&all))),
            entry().prop_map(|entry| {
                let (key, value) = entry.encoded();
                ("segment's entry", [&key[..], &value].concat())
            }),
            cleaning().prop_map(|cleaning| ("cleaning", cleaning.encode_to_vec())),
            relabelling().prop_map(|change| ("change of labels", change.encode_to_vec())),
            options().prop_map(|options| ("options", OptionsMessage::of(&options).encode_to_vec())),
        ]
    }

    fn decoder(name: &str) -> (&'static str, Decoder) {
        *DECODERS.iter().find(|decoder| decoder.0 == name).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn random_bytes_are_errors_or_values(bytes in vec(any::<u8>(), 0..200)) {
            DECODERS.iter().for_each(|&decoder| { withstands(decoder, &bytes); });
        }

        #[test]
        fn mutated_values_are_errors_or_values(
            (name, bytes) in sound(), (_, other) in sound(), mutations in mutations()
        ) {
            prop_assert!(withstands(decoder(name), &bytes), "a sound value was refused");
            let bytes = mutated(&bytes, &other, &mutations);
            DECODERS.iter().for_each(|&decoder| { withstands(decoder, &bytes); });
        }

        #[test]
        fn values_are_read_as_they_were_written(
            record in record(), list in list(), operations in vec(operation(), 0..6), entry in entry(), cleaning in cleaning(),
            relabelling in relabelling(), options in options()
        ) {
            prop_assert_eq!(decode::<RecordMessage>(&record.encode_to_vec(), "a record").unwrap(), record);
            let stored = StoredList::of(&ListMessage::of(&list).encode_to_vec()).unwrap();
            let entries: Vec<_> = list.entries.iter().map(|entry| (ImageId(entry.id), entry.similarity)).collect();
            prop_assert_eq!(stored.entries, entries);
            prop_assert_eq!(stored.floor, list.floor.as_ref().map(|(at, key)| (*at, key.to_string())));
            prop_assert_eq!(oplog::operations_of(&oplog::encoded(&operations)).unwrap(), operations);
            let (key, value) = entry.encoded();
            prop_assert_eq!(SegmentEntry::of(&key, &value).unwrap(), entry);
            prop_assert_eq!(decode::<CleaningMessage>(&cleaning.encode_to_vec(), "a cleaning").unwrap(), cleaning);
            let stored = decode::<RelabellingMessage>(&relabelling.encode_to_vec(), "a change of labels").unwrap();
            prop_assert_eq!(stored, relabelling);
            let stored = OptionsMessage::of(&options).encode_to_vec();
            let again = decode::<OptionsMessage>(&stored, "the options").unwrap().options().unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{options:?}"));
        }

        #[test]
        fn a_list_with_a_similarity_more_or_less_is_refused(list in list(), more in any::<bool>()) {
            let mut message = ListMessage::of(&list);
            if more || message.similarities.pop().is_none() {
                message.similarities.push(0.5);
            }
            prop_assert!(StoredList::of(&message.encode_to_vec()).is_err());
        }
    }
}
