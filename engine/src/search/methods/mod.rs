//! Methods of the first stage: what is searched instead of the query, and what orders the images that were found.

mod expand;
mod superglobal;
