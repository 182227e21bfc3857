//! ONNX graphs, by the ONNX Runtime: a library of the set-up that is loaded when the first graph needs it.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use cairn::runtime::Gated;
use cairn::{Error, ErrorKind, Result};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use tch::{Device, Kind, Tensor};

use super::{ACCEPTED, LONGEST_LINE, own_words};
use crate::device::{Hardware, torch_error};
use crate::model::architecture::find_beside;

/// The environment variable that names the runtime's library.
pub const ONNX_RUNTIME_VARIABLE: &str = "CAIRN_ONNXRUNTIME";
/// The runtime's library where the set-up puts it, beside the weights.
pub(super) const LIBRARY: &str = "libonnxruntime.so";
/// How to get it.
const FETCH: &str = "fetch it: run `python3 .setup/run.py fetch` in the source folder of cairn";

/// Bytes that all sessions of a graph may have together; one session may have more.
const MOST_BYTES: usize = 1 << 30;

/// A graph on the CPU. A session runs one photo at a time, so photos of several threads get sessions of their own.
pub(in crate::model) struct OnnxGraph(Gated<Sessions>);

/// The sessions of a graph: made when they are needed, at most one for each processor.
struct Sessions {
    name: String,
    bytes: Vec<u8>,
    free: Mutex<Free>,
    given_back: Condvar,
}

struct Free {
    sessions: Vec<Session>,
    /// How many more may be made.
    left: usize,
}

/// A session that belongs to one run.
struct Borrowed<'s> {
    sessions: &'s Sessions,
    session: Option<Session>,
}

impl Sessions {
    fn take(&self) -> Result<Borrowed<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(session) = free.sessions.pop() {
                return Ok(Borrowed { sessions: self, session: Some(session) });
            }
            if free.left > 0 {
                free.left -= 1;
                drop(free);
                let mut borrowed = Borrowed { sessions: self, session: None };
                // If it cannot be made, another one may try.
                borrowed.session = Some(session_of(&self.bytes, &self.name)?);
                return Ok(borrowed);
            }
            free = self.given_back.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut free = self.sessions.free.lock().unwrap_or_else(PoisonError::into_inner);
        match self.session.take() {
            Some(session) => free.sessions.push(session),
            None => free.left += 1,
        }
        drop(free);
        self.sessions.given_back.notify_one();
    }
}

fn refuse(name: &str, why: &str) -> Error {
    Error::invalid(format!("{name} is no ONNX graph that can be loaded: {}", first_line(why))).help(
        "export it by torch.onnx.export with one input (a batch of photos), one output of numbers, and the weights inside the file",
    )
}

/// One thread, as torch has: photos are embedded in parallel, and sums do not depend on the number of threads.
fn session_of(bytes: &[u8], name: &str) -> Result<Session> {
    Session::builder(runtime()?)
        .and_then(|builder| Ok(builder.with_intra_threads(1)?.with_inter_threads(1)?))
        .and_then(|mut builder| builder.commit_from_memory(bytes))
        .map_err(|error| refuse(name, &error.to_string()))
}

impl OnnxGraph {
    /// Whether this machine has the runtime.
    pub(in crate::model) fn has_runtime() -> bool {
        runtime().is_ok()
    }

    /// # Errors
    /// `NotFound`: there is no runtime; `Invalid`: the bytes are no graph of one input.
    pub(in crate::model) fn load(bytes: &[u8], name: &str, _hardware: &Hardware) -> Result<Self> {
        runtime()?;
        if !is_whole(bytes) {
            return Err(refuse(name, "some of its weights are in other files, or it is cut short"));
        }
        let session = session_of(bytes, name)?;
        let (inputs, outputs) = (session.inputs().len(), session.outputs().len());
        if (inputs, outputs) != (1, 1) {
            let why = format!("it has {inputs} inputs and {outputs} outputs, and one of each is used");
            return Err(refuse(name, &why));
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let left = threads.min(MOST_BYTES / bytes.len().max(1)).saturating_sub(1);
        let free = Mutex::new(Free { sessions: vec![session], left });
        let sessions = Sessions { name: name.to_owned(), bytes: bytes.to_vec(), free, given_back: Condvar::new() };
        Ok(Self(Gated::new(|| sessions)))
    }

    /// The first output in f32 for an input (n, 3, h, w) of that width and height.
    pub(in crate::model) fn forward(&self, name: &str, x: &Tensor, size: (u32, u32)) -> Result<Tensor> {
        let shape = x.size();
        let mut numbers = vec![0f32; x.numel()];
        let count = numbers.len();
        let flat = x.f_to_device(Device::Cpu).and_then(|x| x.f_contiguous());
        flat.and_then(|x| x.f_copy_data(&mut numbers, count)).map_err(torch_error)?;
        let failed = |error: ort::Error| own_words(name, &first_line(&error.to_string()), size);
        let given = TensorRef::from_array_view((shape, numbers.as_slice())).map_err(failed)?;
        let mut borrowed = self.0.take()?;
        let session = borrowed.session.as_mut().ok_or_else(|| Error::invalid(format!("{name} has no session")))?;
        let out = session.run(ort::inputs![given]).map_err(failed)?;
        let first =
            out.values().next().ok_or_else(|| Error::invalid(format!("{name} returns nothing")).help(ACCEPTED))?;
        let none = |error: ort::Error| {
            Error::invalid(format!("{name} returns no tensor of floating point: {}", first_line(&error.to_string())))
                .help(ACCEPTED)
        };
        let flat = |shape: &ort::value::Shape, flat: Result<Tensor, tch::TchError>| {
            flat.and_then(|flat| flat.f_to_kind(Kind::Float)?.f_view(&shape[..])).map_err(torch_error)
        };
        if let Ok((shape, values)) = first.try_extract_tensor::<f32>() {
            return flat(shape, Tensor::f_from_slice(values));
        }
        if let Ok((shape, values)) = first.try_extract_tensor::<f64>() {
            return flat(shape, Tensor::f_from_slice(values));
        }
        // Graphs in half precision.
        let (shape, values) = first.try_extract_tensor::<half::f16>().map_err(none)?;
        flat(shape, Tensor::f_from_slice(values))
    }
}

/// A model, as far as its tensors may name other files (onnx.proto3). Nothing else of it is kept, its numbers least of all.
#[derive(Clone, PartialEq, prost::Message)]
struct ModelMessage {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphMessage>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FunctionMessage {
    #[prost(message, repeated, tag = "7")]
    nodes: Vec<NodeMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GraphMessage {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<NodeMessage>,
    #[prost(message, repeated, tag = "5")]
    initializers: Vec<TensorMessage>,
    #[prost(message, repeated, tag = "15")]
    sparse: Vec<SparseMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NodeMessage {
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<AttributeMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AttributeMessage {
    #[prost(message, optional, tag = "5")]
    tensor: Option<TensorMessage>,
    #[prost(message, optional, tag = "6")]
    graph: Option<GraphMessage>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<TensorMessage>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphMessage>,
    #[prost(message, optional, tag = "22")]
    sparse: Option<SparseMessage>,
    #[prost(message, repeated, tag = "23")]
    sparses: Vec<SparseMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SparseMessage {
    #[prost(message, optional, tag = "1")]
    values: Option<TensorMessage>,
    #[prost(message, optional, tag = "2")]
    indices: Option<TensorMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorMessage {
    /// Where its numbers are: names and values.
    #[prost(message, repeated, tag = "13")]
    elsewhere: Vec<NodeMessage>,
    /// 1: in another file.
    #[prost(int32, tag = "14")]
    location: i32,
}

impl TensorMessage {
    fn is_inside(&self) -> bool {
        self.elsewhere.is_empty() && self.location == 0
    }
}

impl GraphMessage {
    fn is_whole(&self) -> bool {
        let sparse = |sparse: &SparseMessage| sparse.values.iter().chain(&sparse.indices).all(TensorMessage::is_inside);
        self.initializers.iter().all(TensorMessage::is_inside)
            && self.sparse.iter().all(sparse)
            && self.nodes.iter().flat_map(|node| &node.attributes).all(|attribute| {
                attribute.tensor.iter().chain(&attribute.tensors).all(TensorMessage::is_inside)
                    && attribute.graph.iter().chain(&attribute.graphs).all(GraphMessage::is_whole)
                    && attribute.sparse.iter().chain(&attribute.sparses).all(sparse)
            })
    }
}

/// Whether all numbers of a graph are in these bytes. The runtime looks for others in the folder that the program happens to run in, where
/// they can change under a digest that is trusted.
fn is_whole(bytes: &[u8]) -> bool {
    use prost::Message as _;
    let Ok(ModelMessage { graph, functions }) = ModelMessage::decode(bytes) else { return false };
    let of_functions =
        functions.into_iter().map(|function| GraphMessage { nodes: function.nodes, ..GraphMessage::default() });
    graph.into_iter().chain(of_functions).all(|graph| graph.is_whole())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(LONGEST_LINE).collect()
}

/// The runtime, loaded once.
fn runtime() -> Result<&'static Environment> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let library = match std::env::var_os(ONNX_RUNTIME_VARIABLE).map(PathBuf::from) {
        Some(path) => path,
        None => find_beside(LIBRARY, &format!("{FETCH}, or set {ONNX_RUNTIME_VARIABLE} to it"))?,
    };
    let loaded = LOADED.get_or_init(|| {
        let environment = ort::init_from(&library).map_err(|error| error.to_string())?;
        environment.with_telemetry(false).build().map_err(|error| error.to_string())
    });
    loaded.as_ref().map_err(|why| {
        Error::new(ErrorKind::NotFound, format!("{} cannot be loaded: {}", library.display(), first_line(why)))
            .help(format!("{FETCH}, or set {ONNX_RUNTIME_VARIABLE} to the library of an ONNX Runtime"))
    })
}
