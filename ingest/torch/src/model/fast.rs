//! A trunk on the CPU by the ONNX Runtime, where the machine has it: it joins a convolution with what follows, and needs two thirds of
//! torch's time. The numbers agree to about 1e-6.

use cairn::Result;
use prost::Message;
use tch::{Kind, TchError, Tensor};

use super::extract::Trunk;
use super::layers::{Activation, Conv, Geometry, Padding};
use super::lite::Lite;
use super::module::OnnxGraph;
use crate::device::{Hardware, torch_error};

/// A trunk as a graph of the runtime.
pub(super) struct FastTrunk(OnnxGraph);

impl FastTrunk {
    /// `None`: there is no runtime, the trunk is of another kind, or the runtime does not take it; torch computes all of them.
    pub(super) fn of(trunk: &Trunk, hardware: &Hardware) -> Option<Self> {
        let Trunk::Lite(lite) = trunk else { return None };
        if hardware.is_cuda() || !OnnxGraph::has_runtime() {
            return None;
        }
        let graph = Graph::of(lite).ok()?.encoded();
        OnnxGraph::load(&graph, "the trunk", hardware).ok().map(Self)
    }

    /// (n, 3, h, w), f32 -> the feature map.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (_, _, height, width) = x.size4()?;
        let size = (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0));
        self.0.forward("the trunk", x, size).map_err(|error| TchError::Torch(error.to_string()))
    }
}

/// A graph that grows, node by node.
#[derive(Default)]
struct Graph {
    nodes: Vec<NodeMessage>,
    numbers: Vec<TensorMessage>,
}

impl Graph {
    fn of(lite: &Lite) -> Result<Self> {
        let graph = std::cell::RefCell::new(Self::default());
        let output = lite.walk(
            "x".to_owned(),
            &mut |conv, x| graph.borrow_mut().conv(conv, x).map_err(torch_error),
            &mut |y, x| Ok(graph.borrow_mut().node("Add", vec![y, x.clone()], Vec::new())),
        )?;
        let mut graph = graph.into_inner();
        graph.nodes.push(NodeMessage {
            input: vec![output],
            output: vec!["y".to_owned()],
            op_type: "Identity".to_owned(),
            ..NodeMessage::default()
        });
        Ok(graph)
    }

    /// A node, and the name of its output.
    fn node(&mut self, operator: &str, input: Vec<String>, attribute: Vec<AttributeMessage>) -> String {
        let output = format!("v{}", self.nodes.len());
        self.nodes.push(NodeMessage { input, output: vec![output.clone()], op_type: operator.to_owned(), attribute });
        output
    }

    /// Stored numbers, and their name.
    fn constant(&mut self, tensor: &Tensor) -> Result<String, TchError> {
        let mut numbers = vec![0f32; tensor.numel()];
        let count = numbers.len();
        tensor.f_to_kind(Kind::Float)?.f_contiguous()?.f_copy_data(&mut numbers, count)?;
        Ok(self.stored(tensor.size(), &numbers))
    }

    fn stored(&mut self, dims: Vec<i64>, numbers: &[f32]) -> String {
        let name = format!("c{}", self.numbers.len());
        let raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.numbers.push(TensorMessage { dims, data_type: TensorMessage::FLOAT, name: name.clone(), raw_data });
        name
    }

    fn conv(&mut self, conv: &Conv, x: &str) -> Result<String, TchError> {
        let (weight, bias, geometry, activation) = conv.parts();
        let mut input = vec![x.to_owned(), self.constant(weight)?];
        if let Some(bias) = bias {
            input.push(self.constant(bias)?);
        }
        let y = self.node("Conv", input, attributes(geometry));
        Ok(match activation {
            Activation::None => y,
            Activation::Relu => self.node("Relu", vec![y], Vec::new()),
            Activation::Sigmoid => self.node("Sigmoid", vec![y], Vec::new()),
            Activation::Relu6 => {
                let bounds = [0.0, 6.0].map(|bound| self.stored(Vec::new(), &[bound]));
                let input = [y].into_iter().chain(bounds).collect();
                self.node("Clip", input, Vec::new())
            }
        })
    }

    /// The graph as a file of ONNX, with an input x (n, 3, h, w) and an output y (n, c, h', w') of any size.
    fn encoded(self) -> Vec<u8> {
        let graph = GraphMessage {
            node: self.nodes,
            name: "trunk".to_owned(),
            initializer: self.numbers,
            input: vec![ValueMessage::map("x")],
            output: vec![ValueMessage::map("y")],
        };
        let opset = vec![OpsetMessage { version: 13 }];
        ModelMessage { ir_version: 8, graph: Some(graph), opset_import: opset }.encode_to_vec()
    }
}

fn attributes(geometry: Geometry) -> Vec<AttributeMessage> {
    let Geometry { kernel, stride, dilation, groups, padding } = geometry;
    let half = dilation * (kernel - 1) / 2;
    let padding = match padding {
        Padding::Half => AttributeMessage::many("pads", vec![half; 4]),
        Padding::Same => AttributeMessage::word("auto_pad", "SAME_UPPER"),
    };
    vec![
        AttributeMessage::many("strides", vec![stride; 2]),
        AttributeMessage::many("dilations", vec![dilation; 2]),
        AttributeMessage::many("kernel_shape", vec![kernel; 2]),
        AttributeMessage { name: "group".to_owned(), i: groups, kind: 2, ..AttributeMessage::default() },
        padding,
    ]
}

/// The messages of onnx.proto3, as far as they are written here.
#[derive(Clone, PartialEq, Message)]
struct ModelMessage {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphMessage>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OpsetMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct OpsetMessage {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphMessage {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeMessage>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorMessage>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueMessage>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeMessage {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(bytes = "vec", tag = "4")]
    s: Vec<u8>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    /// 2: a number, 3: a text, 7: numbers.
    #[prost(int32, tag = "20")]
    kind: i32,
}

impl AttributeMessage {
    fn many(name: &str, ints: Vec<i64>) -> Self {
        Self { name: name.to_owned(), ints, kind: 7, ..Self::default() }
    }

    fn word(name: &str, word: &str) -> Self {
        Self { name: name.to_owned(), s: word.into(), kind: 3, ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
struct TensorMessage {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

impl TensorMessage {
    /// f32.
    const FLOAT: i32 = 1;
}

#[derive(Clone, PartialEq, Message)]
struct ValueMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeMessage>,
}

impl ValueMessage {
    /// A map in f32, all of whose four sides are any number.
    fn map(name: &str) -> Self {
        let side = |side: &str| SideMessage { any: format!("{name}{side}") };
        let shape = ShapeMessage { sides: ["n", "c", "h", "w"].map(side).into() };
        let tensor = TensorTypeMessage { element: TensorMessage::FLOAT, shape: Some(shape) };
        Self { name: name.to_owned(), kind: Some(TypeMessage { tensor: Some(tensor) }) }
    }
}

#[derive(Clone, PartialEq, Message)]
struct TypeMessage {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorTypeMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeMessage {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<ShapeMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ShapeMessage {
    #[prost(message, repeated, tag = "1")]
    sides: Vec<SideMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SideMessage {
    #[prost(string, tag = "2")]
    any: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use tch::Device;

    use super::*;
    use crate::model::Architecture;

    /// It catches: a padding on the other side, a weight whose axes are exchanged, a skip that is left out, a map that depends on what
    /// was computed before.
    #[test]
    fn the_runtime_gives_torchs_numbers() {
        if !OnnxGraph::has_runtime() {
            println!("SKIPPED: the ONNX Runtime is absent (python3 .setup/run.py fetch)");
            return;
        }
        let Some(weights) = Architecture::Lite0.default_weights() else { return };
        let weights = crate::model::weights::Weights::read(&weights.find().unwrap(), None).unwrap();
        let trunk = Architecture::Lite0.trunk(&mut |shape| Conv::load(&weights, shape)).unwrap();
        let fast = FastTrunk::of(&trunk, &Hardware::cpu()).unwrap();
        let _guard = tch::no_grad_guard();
        for (height, width) in [(256, 320), (320, 96), (32, 32), (256, 320)] {
            let x = Tensor::randn([1, 3, height, width], (Kind::Float, Device::Cpu));
            let [expected] = &trunk.forward(&x, &Conv::forward).unwrap()[..] else { unreachable!() };
            let given = fast.forward(&x).unwrap();
            assert_eq!(given.size(), expected.size());
            let most = f64::try_from((&given - expected).abs().max()).unwrap();
            assert!(most < 1e-4, "{height}x{width}: {most}");
            assert!(given.equal(&fast.forward(&x).unwrap()));
        }
    }
}
