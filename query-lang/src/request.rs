//! A search request with everything decided: the planner makes it, and the engine runs it.

use crate::ast::{Condition, Scope};
use crate::limits::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_CUT, DEFAULT_DEGREE, DEFAULT_DEPTH, DEFAULT_EXPANDED, DEFAULT_OF_LABEL,
    DEFAULT_RECIPROCAL, DEFAULT_REFINED, DEFAULT_SOURCES, DEFAULT_TAU,
};

/// A search of stored images, made by the planner or by a program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SearchRequest {
    /// The scope; default index images.
    pub scope: Scope,
    /// Number of candidates to retrieve and re-rank; 1 to [`MAX_COUNT`](crate::MAX_COUNT), default [`DEFAULT_DEPTH`].
    pub depth: usize,
    /// Number of rows returned, at most `depth`; default all of them.
    pub limit: usize,
    /// `None`: score every row; `Some(ef)`: search the graph with this breadth (at most [`MAX_COUNT`](crate::MAX_COUNT)); then
    /// the query's vote may miss a voter now and then. Default exact.
    pub ef: Option<usize>,
    /// Query expansion: the first stage searches a mean of the query and its nearest images; default none. The query's own vote
    /// and the similarities of rows are always the query's.
    pub expand: Option<Expand>,
    /// Database-side augmentation: the first stage compares each index image's mean with its nearest ones instead of its descriptor;
    /// default none. Of index images only, without [`ef`](Self::ef) and without an [`order`](Self::order).
    pub augment: Option<Expand>,
    /// What orders the images that the first stage found; default their similarity.
    pub order: Option<Order>,
    /// Spatial verification: so many images of the first stage are ordered by the inliers of their local features with the query, equal
    /// ones as they were; at most `depth`, default none. It needs somebody who counts inliers.
    pub verify: Option<usize>,
    /// The second stage; default none.
    pub rerank: Option<Rerank>,
    /// Rows with a smaller similarity to the query are left out, inserted rows too; in [-1, 1], default none.
    pub least_similarity: Option<f64>,
    /// Rows that are at least this similar to one before them count as its copies, and are left out; in [-1, 1], default none.
    /// Then `depth` is at most [`MAX_COLLAPSED`](crate::MAX_COLLAPSED).
    pub collapse: Option<f64>,
    /// Conditions; all must hold, also for inserted rows; default none.
    pub filter: Vec<Condition>,
    /// Each row says where its image came from, which takes one read of the catalog a row; default no.
    pub paths: bool,
}

/// Expansion of a query or, as augmentation, of each index or train image (Chum et al. 2007; Radenovic et al. 2018): the sum of the query and of its nearest images, each times its
/// similarity to the query to the power of alpha, as a unit vector. Negative similarities weigh nothing unless alpha is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Expand {
    /// Number of descriptors in the sum, the query's included; 2 to [`MAX_EXPANDED`](crate::MAX_EXPANDED), default 10.
    pub images: usize,
    /// Power of the similarities; 0 (all weigh 1) to [`MAX_ALPHA`](crate::MAX_ALPHA).
    pub alpha: f64,
}

/// What orders the images of the first stage.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Order {
    /// SuperGlobal re-ranking.
    SuperGlobal(SuperGlobal),
    /// Diffusion over the neighbour graph; of index images only.
    Diffusion(Diffusion),
    /// Explore-exploit traversal of the neighbour graph; of index images only.
    Exploration(Exploration),
    /// k-reciprocal re-ranking against the neighbour graph; of index images only.
    Reciprocal(Reciprocal),
    /// Reciprocal neighbourhoods fused with the evidence of labels; of index images only.
    Fusion(Fusion),
}

/// Label-aware fusion (docs/ALGORITHMS.md): nearness by reciprocal neighbourhoods plus the evidence of labels. It contains what the
/// second stage does, so that it needs no RERANK.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Fusion {
    /// Weight of the evidence of labels, 0 to [`MAX_LABELS`](crate::MAX_LABELS); `None` (the default): chosen on the train images
    /// alone.
    pub labels: Option<f64>,
}

impl Fusion {
    /// With the weight that the train images choose.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Fusion::labels`].
    #[must_use]
    pub fn labels(self, labels: impl Into<Option<f64>>) -> Self {
        Self { labels: labels.into() }
    }
}

impl From<Fusion> for Order {
    fn from(method: Fusion) -> Self {
        Self::Fusion(method)
    }
}

/// Diffusion: similarities spread from the query's nearest images over the mutual neighbour graph of the index images.
///
/// Complexity: with a [`cut`](Self::cut), one system of `cut` equations for each source, solved once for each state of the index;
/// without, one system of all index images for each query.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Diffusion {
    /// Number of nearest images that an image has in the graph, itself included; 2 to [`MAX_DEGREE`](crate::MAX_DEGREE), default 50.
    pub degree: usize,
    /// Number of the query's nearest images from which similarities spread; 1 to [`MAX_DEGREE`](crate::MAX_DEGREE), default 10.
    pub sources: usize,
    /// Number of a source's nearest images over which its similarity spreads, itself included (Yang et al. 2019); 2 to
    /// [`MAX_CUT`](crate::MAX_CUT), default 1000. `None`: all images (Iscen et al. 2017).
    pub cut: Option<usize>,
    /// The queries of the request are images of the graph, too, and an image is as near as its spread similarities are like the
    /// query's (the authors' later code); default no. It needs a cut, takes no sources, and computes the spread of every image again
    /// for each request.
    pub transductive: bool,
}

/// Explore-exploit traversal (Chang et al. 2019): from the query along the best edges of the neighbour graph.
///
/// Complexity: one heap of edges a query.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Exploration {
    /// Number of nearest images to which an image, and the query, has edges; 2 to [`MAX_DEGREE`](crate::MAX_DEGREE), default 50.
    pub degree: usize,
    /// A round takes all images whose best edge is more similar than this; `None`: one image a round. In [-1, 1], default `None`.
    pub threshold: Option<f64>,
    /// An edge leads only from an image to its nearest ones, which count the image itself (Yokoo et al.'s code); default no: it leads
    /// back, too (Chang et al.).
    pub directed: bool,
}

/// k-reciprocal re-ranking (Zhong et al. 2017) of one query against the neighbour graph.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Reciprocal {
    /// Two images are reciprocal if each is among the other's `k1` nearest; 1 to [`MAX_DEGREE`](crate::MAX_DEGREE), default 20.
    pub k1: usize,
    /// The reciprocal neighbourhoods of so many images are averaged, the image itself included; 1 to k1 + 1, default 6.
    pub k2: usize,
    /// Weight of the plain distance beside that of the neighbourhoods; 0 to 1, default 0.3.
    pub lambda: f64,
    /// The queries of the request are images of the graph, too, and distances are divided by the largest of each image, as
    /// published; default no. It compares all images with all, for each request.
    pub transductive: bool,
}

/// SuperGlobal re-ranking (Shao et al. 2023): each of the first images is refined by its nearest ones among them, the query by the
/// best of these.
///
/// Complexity: `first` squared similarities a query.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SuperGlobal {
    /// Number of images that are refined and ordered; 2 to [`MAX_REFINED`](crate::MAX_REFINED), default 400. Those behind them keep
    /// their order.
    pub first: usize,
    /// Number of descriptors that refine one, its own included; 2 to [`MAX_EXPANDED`](crate::MAX_EXPANDED), default 10.
    pub images: usize,
    /// Weight of another image's descriptor, times their similarity; 0 to [`MAX_BETA`](crate::MAX_BETA), default 0.15.
    pub beta: f64,
}

/// The second stage: soft vote, sort-step, insert-step (paper section 5.3).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Rerank {
    /// Voters; 1 to 1000; default [`Rerank::STORED_K`].
    pub k: usize,
    /// The train images vote by augmented descriptors: each one that no cleaning marked by the mean of itself and of those of its nearest
    /// ones that have its label; default none. All votes of the search are of these, on index images, too.
    pub augment: Option<Expand>,
    /// Sort-step: move positives to the front; default true.
    pub sort: bool,
    /// Insert-step: `Some(tau)` inserts unretrieved positives unless score(query) + score(item) < tau, in -2 .. 2; default 0.6.
    pub insert: Option<f64>,
}

impl Default for SearchRequest {
    fn default() -> Self {
        Self {
            scope: Scope::Index,
            depth: DEFAULT_DEPTH,
            limit: usize::MAX,
            ef: None,
            expand: None,
            augment: None,
            order: None,
            verify: None,
            rerank: None,
            least_similarity: None,
            collapse: None,
            filter: Vec::new(),
            paths: false,
        }
    }
}

impl SearchRequest {
    /// Sets every field to its default; the other methods change one each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Searches these images.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Retrieves this many candidates, and returns as many rows unless a [`limit`](Self::limit) is set.
    #[must_use]
    pub fn depth(self, depth: usize) -> Self {
        Self { depth, ..self }
    }

    /// Returns this many rows.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Searches the graph with this breadth, 1 or more; `None`: scores every row.
    #[must_use]
    pub fn ef(self, ef: impl Into<Option<usize>>) -> Self {
        Self { ef: ef.into(), ..self }
    }

    /// Sets the query expansion; `None`: none.
    #[must_use]
    pub fn expand(self, expand: impl Into<Option<Expand>>) -> Self {
        Self { expand: expand.into(), ..self }
    }

    /// Sets the augmentation of the index images; `None`: none.
    #[must_use]
    pub fn augment(self, augment: impl Into<Option<Expand>>) -> Self {
        Self { augment: augment.into(), ..self }
    }

    /// Sets what orders the images of the first stage.
    #[must_use]
    pub fn order(self, order: impl Into<Order>) -> Self {
        Self { order: Some(order.into()), ..self }
    }

    /// Orders so many images of the first stage by their inliers; `None`: none.
    #[must_use]
    pub fn verify(self, images: impl Into<Option<usize>>) -> Self {
        Self { verify: images.into(), ..self }
    }

    /// Leaves out rows that are less similar to the query; `None`: none.
    #[must_use]
    pub fn least_similarity(self, least: impl Into<Option<f64>>) -> Self {
        Self { least_similarity: least.into(), ..self }
    }

    /// Leaves out rows that are at least this similar to one before them; `None`: none.
    #[must_use]
    pub fn collapse(self, near: impl Into<Option<f64>>) -> Self {
        Self { collapse: near.into(), ..self }
    }

    /// Sets the second stage; `None`: none.
    #[must_use]
    pub fn rerank(self, rerank: impl Into<Option<Rerank>>) -> Self {
        Self { rerank: rerank.into(), ..self }
    }

    /// Each row says where its image came from.
    #[must_use]
    pub fn paths(self) -> Self {
        Self { paths: true, ..self }
    }

    /// Adds a condition on the rows.
    #[must_use]
    pub fn filter(mut self, condition: Condition) -> Self {
        self.filter.push(condition);
        self
    }
}

impl Expand {
    /// The augmentation of train images with the defaults of the language: 3 descriptors, alpha 3.
    pub fn of_label() -> Self {
        Self { images: DEFAULT_OF_LABEL, alpha: DEFAULT_ALPHA }
    }

    /// Alpha query expansion with the defaults of the language: 10 descriptors, alpha 3.
    pub fn alpha() -> Self {
        Self { images: DEFAULT_EXPANDED, alpha: DEFAULT_ALPHA }
    }

    /// Average query expansion: all weigh 1.
    pub fn mean() -> Self {
        Self { images: DEFAULT_EXPANDED, alpha: 0.0 }
    }

    /// Sets [`Expand::images`].
    #[must_use]
    pub fn images(self, images: usize) -> Self {
        Self { images, ..self }
    }

    /// Sets [`Expand::alpha`].
    #[must_use]
    pub fn power(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }
}

impl SuperGlobal {
    /// With the defaults of the language.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`SuperGlobal::first`].
    #[must_use]
    pub fn first(self, first: usize) -> Self {
        Self { first, ..self }
    }

    /// Sets [`SuperGlobal::images`].
    #[must_use]
    pub fn images(self, images: usize) -> Self {
        Self { images, ..self }
    }

    /// Sets [`SuperGlobal::beta`].
    #[must_use]
    pub fn beta(self, beta: f64) -> Self {
        Self { beta, ..self }
    }
}

impl Default for Diffusion {
    fn default() -> Self {
        Self { degree: DEFAULT_DEGREE, sources: DEFAULT_SOURCES, cut: Some(DEFAULT_CUT), transductive: false }
    }
}

impl Diffusion {
    /// With the defaults of the language.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Diffusion::degree`].
    #[must_use]
    pub fn degree(self, degree: usize) -> Self {
        Self { degree, ..self }
    }

    /// Sets [`Diffusion::sources`].
    #[must_use]
    pub fn sources(self, sources: usize) -> Self {
        Self { sources, ..self }
    }

    /// Sets [`Diffusion::cut`].
    #[must_use]
    pub fn cut(self, cut: impl Into<Option<usize>>) -> Self {
        Self { cut: cut.into(), ..self }
    }

    /// Sets [`Diffusion::transductive`].
    #[must_use]
    pub fn transductive(self) -> Self {
        Self { transductive: true, ..self }
    }
}

impl Default for Exploration {
    fn default() -> Self {
        Self { degree: DEFAULT_DEGREE, threshold: None, directed: false }
    }
}

impl Exploration {
    /// With the defaults of the language.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Exploration::degree`].
    #[must_use]
    pub fn degree(self, degree: usize) -> Self {
        Self { degree, ..self }
    }

    /// Sets [`Exploration::directed`].
    #[must_use]
    pub fn directed(self) -> Self {
        Self { directed: true, ..self }
    }

    /// Sets [`Exploration::threshold`].
    #[must_use]
    pub fn threshold(self, threshold: impl Into<Option<f64>>) -> Self {
        Self { threshold: threshold.into(), ..self }
    }
}

impl Default for Reciprocal {
    fn default() -> Self {
        let (k1, k2, lambda) = DEFAULT_RECIPROCAL;
        Self { k1, k2, lambda, transductive: false }
    }
}

impl Reciprocal {
    /// With the defaults of the language.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Reciprocal::k1`].
    #[must_use]
    pub fn k1(self, k1: usize) -> Self {
        Self { k1, ..self }
    }

    /// Sets [`Reciprocal::k2`].
    #[must_use]
    pub fn k2(self, k2: usize) -> Self {
        Self { k2, ..self }
    }

    /// Sets [`Reciprocal::lambda`].
    #[must_use]
    pub fn lambda(self, lambda: f64) -> Self {
        Self { lambda, ..self }
    }

    /// Sets [`Reciprocal::transductive`].
    #[must_use]
    pub fn transductive(self) -> Self {
        Self { transductive: true, ..self }
    }
}

impl From<Diffusion> for Order {
    fn from(method: Diffusion) -> Self {
        Self::Diffusion(method)
    }
}

impl From<Exploration> for Order {
    fn from(method: Exploration) -> Self {
        Self::Exploration(method)
    }
}

impl From<Reciprocal> for Order {
    fn from(method: Reciprocal) -> Self {
        Self::Reciprocal(method)
    }
}

impl Default for SuperGlobal {
    fn default() -> Self {
        Self { first: DEFAULT_REFINED, images: DEFAULT_EXPANDED, beta: DEFAULT_BETA }
    }
}

impl From<SuperGlobal> for Order {
    fn from(method: SuperGlobal) -> Self {
        Self::SuperGlobal(method)
    }
}

impl Default for Rerank {
    fn default() -> Self {
        Self { k: Self::STORED_K, augment: None, sort: true, insert: Some(DEFAULT_TAU) }
    }
}

impl Rerank {
    /// As a [`k`](Self::k): the database's own `vote_k`, which its stored predictions use. No other k is as fast.
    pub const STORED_K: usize = usize::MAX;

    /// Sort-step and insert-step with the database's k and the paper's tau (section 5.3).
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the vote of this many train images.
    #[must_use]
    pub fn k(self, k: usize) -> Self {
        Self { k, ..self }
    }

    /// Inserts unretrieved positives unless score(query) + score(item) < tau.
    #[must_use]
    pub fn tau(self, tau: f64) -> Self {
        Self { insert: Some(tau), ..self }
    }

    /// Augments the train images that vote; `None`: they vote by their own descriptors.
    #[must_use]
    pub fn augment(self, augment: impl Into<Option<Expand>>) -> Self {
        Self { augment: augment.into(), ..self }
    }

    /// Without the insert-step.
    #[must_use]
    pub fn sort_only(self) -> Self {
        Self { sort: true, insert: None, ..self }
    }
}
