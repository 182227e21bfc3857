//! ONNX graphs, by the ONNX Runtime: a library that is fetched on demand and loaded when the first graph needs it.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

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
const FETCH: &str = "fetch it: run `python3 .setup/run.py fetch onnx` in the source folder of cairn";

/// A graph on the CPU. Runs take turns: a session belongs to one of them at a time.
pub(super) struct OnnxGraph(Gated<Mutex<Session>>);

impl OnnxGraph {
    /// # Errors
    /// `NotFound`: there is no runtime; `Invalid`: the bytes are no graph of one input.
    pub(super) fn load(bytes: &[u8], name: &str, _hardware: &Hardware) -> Result<Self> {
        let environment = runtime()?;
        let refuse = |why: String| {
            Error::invalid(format!("{name} is no ONNX graph that can be loaded: {}", first_line(&why))).help(
                "export it by torch.onnx.export with one input (a batch of photos), one output of f32, and the weights inside the file",
            )
        };
        if !is_whole(bytes) {
            return Err(refuse("some of its weights are in other files, or it is cut short".to_owned()));
        }
        // One thread, as torch has: photos are embedded in parallel, and sums do not depend on the number of threads.
        let session = Session::builder(environment)
            .and_then(|builder| Ok(builder.with_intra_threads(1)?.with_inter_threads(1)?))
            .and_then(|mut builder| builder.commit_from_memory(bytes))
            .map_err(|error| refuse(error.to_string()))?;
        match (session.inputs().len(), session.outputs().len()) {
            (1, 1) => Ok(Self(Gated::new(|| Mutex::new(session)))),
            (inputs, outputs) => {
                Err(refuse(format!("it has {inputs} inputs and {outputs} outputs, and one of each is used")))
            }
        }
    }

    /// The first output in f32 for an input (n, 3, h, w) of that width and height.
    pub(super) fn forward(&self, name: &str, x: &Tensor, size: (u32, u32)) -> Result<Tensor> {
        let shape = x.size();
        let mut numbers = vec![0f32; x.numel()];
        let count = numbers.len();
        x.f_to_device(Device::Cpu).and_then(|x| x.f_copy_data(&mut numbers, count)).map_err(torch_error)?;
        let failed = |error: ort::Error| own_words(name, &first_line(&error.to_string()), size);
        let given = TensorRef::from_array_view((shape, numbers.as_slice())).map_err(failed)?;
        let mut session = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let out = session.run(ort::inputs![given]).map_err(failed)?;
        let first =
            out.values().next().ok_or_else(|| Error::invalid(format!("{name} returns nothing")).help(ACCEPTED))?;
        let (shape, values) = first.try_extract_tensor::<f32>().map_err(|error| {
            Error::invalid(format!("{name} returns no tensor of f32: {}", first_line(&error.to_string())))
                .help(ACCEPTED)
        })?;
        Tensor::f_from_slice(values)
            .and_then(|flat| flat.f_to_kind(Kind::Float)?.f_view(&shape[..]))
            .map_err(torch_error)
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
