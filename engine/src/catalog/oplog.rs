//! The operation log: the transactions that were acknowledged and deferred, in the order of their sequence numbers.

use prost::Message;

use super::attributes::AttributeMessage;
use super::messages::{
    DescribeMessage, LabelMessage, OperationMessage, PutMessage, RenameMessage, SaidMessage, StepMessage,
    TransactionMessage, decode,
};
use super::{Batch, Family, Pinned, codec};
use crate::error::{Error, Result};
use crate::id::ImageId;
use crate::operation::{Listed, Operation, Put, Reading};

/// A transaction that waits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) sequence: u64,
    pub(crate) operations: Vec<Operation>,
}

fn key_of(sequence: u64) -> [u8; 8] {
    // Sequence numbers are ordered as ids are.
    codec::image_key(ImageId(sequence))
}

impl Batch<'_> {
    /// Puts a transaction into the log.
    pub(crate) fn put_waiting(&mut self, sequence: u64, operations: &[Operation]) -> Result<()> {
        self.put(Family::Oplog, &key_of(sequence), &encoded(operations))
    }

    /// This batch applies the transaction.
    pub(crate) fn delete_waiting(&mut self, sequence: u64) -> Result<()> {
        self.delete(Family::Oplog, &key_of(sequence))
    }
}

impl Pinned {
    /// Everything that waits, oldest first.
    pub(crate) fn waiting(&self) -> Result<Vec<Waiting>> {
        let mut all = Vec::new();
        self.each_waiting(|sequence, operations| {
            all.push(Waiting { sequence, operations: operations? });
            Ok(())
        })?;
        Ok(all)
    }

    /// Visits the deferred transactions, oldest first, even if they cannot be decoded or have an impossible number.
    pub(crate) fn each_waiting(&self, mut visit: impl FnMut(u64, Result<Vec<Operation>>) -> Result<()>) -> Result<()> {
        self.scan(Family::Oplog, &[], |key, value| {
            let number = codec::raw_number_of_key(key)?;
            let operations =
                codec::counted(number, "the number of a deferred write").and_then(|_| operations_of(value));
            visit(number, operations)?;
            Ok(true)
        })
    }
}

/// The value of `oplog` for a transaction.
pub(super) fn encoded(operations: &[Operation]) -> Vec<u8> {
    let operations = operations.iter().map(|operation| OperationMessage { step: Some(step_of(operation)) }).collect();
    TransactionMessage { operations }.encode_to_vec()
}

/// The operations of a stored transaction.
///
/// # Errors
/// `Corrupt`.
pub(super) fn operations_of(value: &[u8]) -> Result<Vec<Operation>> {
    let message: TransactionMessage = decode(value, "a deferred transaction")?;
    message.operations.into_iter().map(operation_of).collect()
}

fn step_of(operation: &Operation) -> StepMessage {
    match operation {
        Operation::Put(put) => StepMessage::Put(message_of(put)),
        Operation::Delete { key } => StepMessage::Delete(key.clone()),
        Operation::Label { key, label } => StepMessage::Label(LabelMessage { key: key.clone(), label: label.clone() }),
        Operation::Unlabel { key } => StepMessage::Unlabel(key.clone()),
        Operation::Rename { key, to, source } => {
            StepMessage::Rename(RenameMessage { key: key.clone(), to: to.clone(), source: source.clone() })
        }
        Operation::Describe { key, changes } => {
            StepMessage::Describe(DescribeMessage { key: key.clone(), changes: AttributeMessage::of_changes(changes) })
        }
        Operation::Listed(Listed { key, label, content, photo, attributes, reading }) => {
            StepMessage::Listed(SaidMessage {
                key: key.clone(),
                label: label.clone(),
                content: content.map(|content| content.to_vec()),
                photo: photo.as_ref().map(message_of),
                reading: reading.number,
                overrules: reading.overrules,
                attributes: AttributeMessage::of_changes(attributes),
            })
        }
    }
}

fn message_of(put: &Put) -> PutMessage {
    PutMessage {
        key: put.key.clone(),
        label: put.label.clone(),
        vector: put.vector.clone(),
        source: put.source.clone(),
        content: put.content.map(|content| content.to_vec()),
        photo: put.photo.clone(),
        attributes: AttributeMessage::of(put.attributes.clone()),
    }
}

fn put_of(PutMessage { key, label, vector, source, content, photo, attributes }: PutMessage) -> Result<Put> {
    let attributes = AttributeMessage::attributes(attributes)?;
    Ok(Put { key, label, vector, source, content: content.map(hash_of).transpose()?, photo, attributes })
}

fn hash_of(content: Vec<u8>) -> Result<[u8; 32]> {
    content.try_into().map_err(|_| Error::corrupt("a deferred operation has a content hash that is not 32 bytes"))
}

fn operation_of(message: OperationMessage) -> Result<Operation> {
    let step = message.step.ok_or_else(|| Error::corrupt("empty operation in the operation log"))?;
    Ok(match step {
        StepMessage::Put(put) => Operation::Put(put_of(put)?),
        StepMessage::Delete(key) => Operation::Delete { key },
        StepMessage::Label(LabelMessage { key, label }) => Operation::Label { key, label },
        StepMessage::Unlabel(key) => Operation::Unlabel { key },
        StepMessage::Rename(RenameMessage { key, to, source }) => Operation::Rename { key, to, source },
        StepMessage::Describe(DescribeMessage { key, changes }) => {
            Operation::Describe { key, changes: AttributeMessage::changes(changes)? }
        }
        StepMessage::Listed(SaidMessage { key, label, content, photo, reading, overrules, attributes }) => {
            let content = content.map(hash_of).transpose()?;
            let photo = photo.map(put_of).transpose()?;
            let attributes = AttributeMessage::changes(attributes)?;
            let reading = Reading { number: reading, overrules };
            Operation::Listed(Listed { key, label, content, photo, attributes, reading })
        }
    })
}
