//! Metrics: of ranked lists (Google Landmarks, revisited Oxford and Paris) and of recognition.

mod range;
mod ranked;
mod recognised;
mod revisited;

pub use range::{MeanRange, mean_range};
pub use ranked::{Metrics, Truth, average_precision, evaluate, precision};
pub use recognised::{Recognised, RecognitionTruth, global_average_precision, top_1};
pub use revisited::{Difficulty, Revisited, RevisitedMetrics, RevisitedTruth, revisited, revisited_average_precision};
