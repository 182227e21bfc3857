//! Query expansion: the query and its nearest images as one descriptor (docs/ALGORITHMS.md, query expansion).

use cairndb_query::Expand;

use super::super::first_stage::{Context, Found, Ready};
use crate::error::Result;
use crate::vector::unit;

impl Context<'_> {
    /// The queries that the first stage searches for. They expand by plain descriptors, also where the index is augmented: so do the
    /// authors of the paper.
    pub(in crate::search) fn expanded(&self, queries: &[Ready], expand: Expand) -> Result<Vec<Ready>> {
        let nearest = self.nearest(queries, expand.images - 1, false)?;
        queries.iter().zip(nearest).map(|(query, nearest)| self.expanded_by(query, &nearest, expand.alpha)).collect()
    }

    fn expanded_by(&self, query: &Ready, nearest: &[Found], alpha: f64) -> Result<Ready> {
        // The query's own weight is 1, its cosine to itself.
        let mut sum: Vec<f64> = query.vector.iter().map(|&x| f64::from(x)).collect();
        for found in nearest {
            let weight = weight(found.score, alpha);
            let vector = self.state.rows(found.role).vector(found.row)?;
            sum.iter_mut().zip(vector.iter()).for_each(|(sum, &x)| *sum += weight * f64::from(x));
        }
        let sum: Vec<f32> = sum.into_iter().map(|x| x as f32).collect();
        // The images may cancel the query out; then there is nothing else to search for.
        let vector = unit(&sum).unwrap_or_else(|_| query.vector.clone());
        Ok(Ready { vector, without: query.without })
    }
}

/// Weight of an image of this cosine. A negative one to a power need not be a number, and says that the image is another instance's.
pub(super) fn weight(cosine: f32, alpha: f64) -> f64 {
    if alpha == 0.0 { 1.0 } else { f64::from(cosine).max(0.0).powf(alpha) }
}

#[cfg(test)]
mod tests {
    use super::weight;

    /// It catches: a power of a negative cosine, and AQE that leaves dissimilar images out.
    #[test]
    fn negative_cosines_weigh_nothing_but_in_the_plain_mean() {
        assert_eq!(weight(-0.5, 3.0), 0.0);
        assert_eq!(weight(-0.5, 0.5), 0.0);
        assert_eq!(weight(-0.5, 0.0), 1.0);
        assert_eq!(weight(0.5, 3.0), 0.125);
    }
}
